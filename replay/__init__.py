"""Run one replay: its pace, its files, its summary and its progress."""
