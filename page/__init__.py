"""Build the page that `app.py` serves, from the files of a replay alone."""
