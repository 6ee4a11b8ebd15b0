"""Simulate a market and, over the network, the exchange that publishes it."""
