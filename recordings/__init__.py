"""Read SQLite recordings: find them, open them, and put their rows in order."""
