"""Speak as OKX, Binance and Kraken do: wire formats, sequence rules, checksums; pure."""
