"""Benchmarks, to run by hand: `uv run -m benchmarks.NAME`; see each."""
