"""Between processes: notices that there is something to read, and messages."""
