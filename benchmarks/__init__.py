"""Benchmarks: scripts to run by hand; see each."""
