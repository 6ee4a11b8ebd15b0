"""Strategies on a recorded market: ticks out, signals back, and paper execution by stated rules."""
