"""Other files in and out: archives of exchanges and vendors into recordings."""
