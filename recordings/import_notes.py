"""Read where an imported recording is from: the notes that `RecordingWriter` wrote into it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from orderflow.errors import RecordingError
from recordings.connection import connect
from recordings.writer import NOTES_TABLE


def read_notes(path: Path) -> dict[str, str] | None:
    """Return the notes of an imported recording by name; None for any other file."""
    try:
        connection = connect(path)[0]
    except RecordingError:
        return None
    with closing(connection):
        try:
            notes = connection.execute(f"SELECT name, value FROM {NOTES_TABLE}").fetchall()  # noqa: S608
        except sqlite3.Error:
            return None
    return {str(name, "utf-8"): str(value, "utf-8") for name, value in notes}
