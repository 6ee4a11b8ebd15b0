"""Open a recording for reading: the one connection policy, and what is said when it fails.

Files are never changed and their sidecars never touched; no committed row is missed.
"""

import os
import sqlite3
from contextlib import ExitStack
from pathlib import Path
from time import time

from orderflow.errors import RecordingError

MAX_BOOK_VALUE_BYTES = 8_000_000
"""Largest text or blob read from `book`; a row with a larger one is skipped and counted."""
SETTLED_SECONDS = 60.0
"""A file unchanged for so long is taken as finished, and read as immutable."""
LOCK_SECONDS = 30.0
"""How long to wait for a writer that has locked the whole file."""

_WAL_UNREADABLE = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_PERM")


def connect(path: Path, max_value: int = MAX_BOOK_VALUE_BYTES) -> tuple[sqlite3.Connection, bool]:
    """Open a recording for reading; return the connection and whether it was taken as immutable.

    `mode=ro` and `query_only`, never a memory map. `immutable=1`, which skips locks and leaves no
    `-shm` behind, only for a file that nobody is writing: no `-wal` with content, no `-journal`,
    unchanged for 60 s. Text is fetched as bytes, so that invalid UTF-8 is a bad row and no error.
    A value over `max_value` bytes fails the row that has it.

    Raise `RecordingError` for what is no readable SQLite file, one with a hot journal included.
    """
    immutable = _is_settled(path)
    uri = path.absolute().as_uri() + "?mode=ro" + ("&immutable=1" if immutable else "")
    with ExitStack() as on_failure:
        try:
            connection = sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
            on_failure.callback(connection.close)
            connection.text_factory = bytes
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max_value)
            connection.execute("PRAGMA query_only = 1")
            connection.execute("PRAGMA trusted_schema = 0")
            connection.execute("PRAGMA mmap_size = 0")
            _read_schema(connection)
        except sqlite3.Error as error:
            raise not_opened(path, error) from error
        except UnicodeDecodeError as error:  # out of SQLite's own message on a damaged schema
            why = "not a readable SQLite recording (its schema is damaged)"
            raise recording_error(path, why) from error
        on_failure.pop_all()
    return connection, immutable


def recording_error(path: Path, why: str) -> RecordingError:
    """Return the error that says why the recording at `path` is not used, or not any further."""
    return RecordingError(f"{path}: {why}", str(path))


def not_opened(path: Path, error: sqlite3.Error) -> RecordingError:
    """Return the error for a recording whose opening, or first question, failed with `error`."""
    return recording_error(path, _why_not_opened(path, error))


def lock_reason(path: Path, error: sqlite3.Error) -> str | None:
    """Say what the program that records has done to cause `error`; None if it is not to blame."""
    if error.sqlite_errorname == "SQLITE_READONLY_ROLLBACK":
        return (
            "its recorder died in the middle of a write and left the hot journal "
            f"{path.name}-journal; open the file once with the sqlite3 program to roll it back"
        )
    if error.sqlite_errorname.startswith("SQLITE_BUSY"):
        return (
            f"locked by another program for more than {LOCK_SECONDS:g} s; "
            "run again when that program is done"
        )
    return None


def identity(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with a file: inode, size in bytes, mtime in ns; None without a file."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _read_schema(connection: sqlite3.Connection) -> None:
    sql = "SELECT count(*) FROM sqlite_master"
    try:
        connection.execute(sql).fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname != "SQLITE_CORRUPT":
            raise
        # Only so does SQLite open a file cut short; nothing can be written all the same.
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute(sql).fetchone()


def _is_settled(path: Path) -> bool:
    try:
        stat = path.stat()
    except OSError as error:
        why = f"cannot be read ({error.strerror}); check that it exists and is readable"
        raise recording_error(path, why) from error
    busy = bool(_sidecar_size(path, "-wal")) or _sidecar_size(path, "-journal") is not None
    return not busy and time() - stat.st_mtime > SETTLED_SECONDS


def _sidecar_size(path: Path, suffix: str) -> int | None:
    """Return the size of a sidecar in bytes, None where there is none (or none any more)."""
    try:
        return path.with_name(path.name + suffix).stat().st_size
    except FileNotFoundError:
        return None


def _why_not_opened(path: Path, error: sqlite3.Error) -> str:
    if reason := lock_reason(path, error):
        return reason
    if path.is_dir():
        return "a directory, not a SQLite recording"
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        return "no permission to read it; ask its owner for it"
    if _sidecar_size(path, "-wal") is not None and error.sqlite_errorname.startswith(
        _WAL_UNREADABLE
    ):
        return (
            f"its write-ahead log {path.name}-wal cannot be read where it lies ({error}); "
            "copy both into a directory you may write to"
        )
    return f"not a readable SQLite recording ({error})"
