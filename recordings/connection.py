"""Open a recording for reading: the one connection policy, and what is said when it fails.

Files are never changed and their sidecars never touched; no committed row is missed.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import sleep, time
from typing import TypeVar

from orderflow.errors import RecordingError

MAX_BOOK_VALUE_BYTES = 8_000_000
"""Largest text or blob read from `book`; a row with a larger one is skipped and counted."""
SETTLED_SECONDS = 60.0
"""A file unchanged for so long is taken as finished, and read as immutable."""
LOCK_SECONDS = 30.0
"""How long to wait for a writer that has locked the whole file."""

HOT_JOURNAL_LOOKS = 20
"""How often a journal must look like one that a dead recorder has left."""
SECONDS_BETWEEN_LOOKS = 0.02
RECOVER = "copy the file again or recover it with sqlite3 .recover"
"""What to do about a damaged file."""

Answer = TypeVar("Answer")

_WAL_UNREADABLE = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_PERM")


def connect(
    path: Path,
    max_value: int = MAX_BOOK_VALUE_BYTES,
    *,
    immutable: bool | None = None,
    lock_seconds: float | None = None,
) -> tuple[sqlite3.Connection, bool]:
    """Open a recording for reading; return the connection and whether it was taken as immutable.

    `mode=ro` and `query_only`, never a memory map. `immutable=1`, which skips locks and leaves no
    `-shm` behind, only for a file that nobody is writing: no `-wal` with content, no `-journal`,
    unchanged for 60 s. Text is fetched as bytes, so that invalid UTF-8 is a bad row and no error.
    A value over `max_value` bytes fails the row that has it. `immutable` is for who knows better;
    `lock_seconds` is how long a locked file is waited for, `LOCK_SECONDS` unless given.

    Raise `RecordingError` for what is no readable SQLite file, one with a hot journal included.
    """
    immutable = is_settled(path) if immutable is None else immutable
    timeout = LOCK_SECONDS if lock_seconds is None else lock_seconds
    uri = path.absolute().as_uri() + "?mode=ro" + ("&immutable=1" if immutable else "")
    with ExitStack() as on_failure:
        try:
            connection = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)
            on_failure.callback(connection.close)
            connection.text_factory = bytes
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max_value)
            connection.execute("PRAGMA query_only = 1")
            connection.execute("PRAGMA trusted_schema = 0")
            connection.execute("PRAGMA mmap_size = 0")
            not_while_written(lambda: _read_schema(connection))
        except sqlite3.Error as error:
            raise not_opened(path, error) from error
        except UnicodeDecodeError as error:  # out of SQLite's own message on a damaged schema
            why = "not a readable SQLite recording (its schema is damaged)"
            raise UnreadableError(f"{path}: {why}", str(path)) from error
        on_failure.pop_all()
    return connection, immutable


class UnreadableError(RecordingError):
    """Report a file that may well be a recording, and cannot be looked into: as it is, or now."""


def recording_error(path: Path, why: str) -> RecordingError:
    """Return the error that says why the recording at `path` is not used, or not any further."""
    return RecordingError(f"{path}: {why}", str(path))


def not_opened(path: Path, error: sqlite3.Error) -> RecordingError:
    """Return the error for a recording whose opening, or first question, failed with `error`.

    It is an `UnreadableError` unless the file is certainly no SQLite file.
    """
    kind = RecordingError if error.sqlite_errorname == "SQLITE_NOTADB" else UnreadableError
    return kind(f"{path}: {_why_not_opened(path, error)}", str(path))


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


def not_while_written(ask: Callable[[], Answer]) -> Answer:
    """Return what `ask` does, asking again where a live journal was taken for a dead recorder's.

    SQLite looks whether the file is locked, then whether the journal has content. A recorder that
    keeps its journal (`PERSIST`) may begin to write in between.
    """
    for _ in range(HOT_JOURNAL_LOOKS):
        try:
            return ask()
        except sqlite3.Error as error:
            if error.sqlite_errorname != "SQLITE_READONLY_ROLLBACK":
                raise
        sleep(SECONDS_BETWEEN_LOOKS)
    return ask()


def identity(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with a file: inode, size in bytes, mtime in ns; None without a file."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def lasting_identity(path: Path) -> list[tuple[int, ...] | None] | None:
    """Return what changes with a file or its write-ahead log, from one process to the next.

    Beside `identity` that is the device, and the time of the last change of any kind, which no
    program can set back. (Of a log SQLite sets that time whenever it is opened, and an empty one
    says nothing.) None without a file.
    """
    found: list[tuple[int, ...] | None] = []
    for part in (path, path.with_name(path.name + "-wal")):
        try:
            stat = part.stat()
        except FileNotFoundError:
            found.append(None)
            continue
        known = stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
        if part is path:
            found.append((*known, stat.st_ctime_ns))
        else:
            found.append(known if stat.st_size else None)
    return found if found[0] else None


def recording_state(path: Path) -> dict[str, int] | None:
    """Return what tells whether a finished recording is still the same file with the same bytes.

    The time of the last change of any kind, `ctime_ns`, no program can set back. `wal` counts the
    sidecars that may hold rows, or take some away. None where the file cannot be looked at.
    """
    try:
        stat = path.stat()
        wal = bool(_sidecar_size(path, "-wal")) + (_sidecar_size(path, "-journal") is not None)
        header = b""
        if not wal:  # else closing it would give up the locks on it of the whole process
            with path.open("rb") as file:
                header = file.read(32)
    except OSError:
        return None
    return {
        "wal": wal,
        "inode": stat.st_ino,
        "size": stat.st_size,
        "mtime_ns": stat.st_mtime_ns,
        "ctime_ns": stat.st_ctime_ns,
        "change_counter": int.from_bytes(header[24:28], "big"),
        "pages": int.from_bytes(header[28:32], "big"),
    }


def is_settled(path: Path) -> bool:
    """Return whether nobody is writing the file, as far as its age and its sidecars tell."""
    try:
        stat = path.stat()
    except OSError as error:
        why = f"cannot be read ({error.strerror}); check that it exists and is readable"
        raise UnreadableError(f"{path}: {why}", str(path)) from error
    busy = bool(_sidecar_size(path, "-wal")) or _sidecar_size(path, "-journal") is not None
    return not busy and time() - stat.st_mtime > SETTLED_SECONDS


def is_closed(path: Path) -> bool:
    """Return whether nobody has the file open, so that it can be read without leaving a trace.

    Opened in the ordinary way, a file in WAL mode whose recorder has closed it would get a
    write-ahead log again, which a reader may not remove.
    """
    if _sidecar_size(path, "-wal") is None and _sidecar_size(path, "-journal") is None:
        try:
            if _is_in_wal_mode(path):
                return True
        except FileNotFoundError:  # the next look says so
            return False
    return is_settled(path)


def length_fault(path: Path, connection: sqlite3.Connection, *, immutable: bool) -> str | None:
    """Say how the length of a file differs from the pages that its header counts.

    None where it does not, or where nobody can know: while some pages are in a write-ahead log, or
    when a writer came in between. SQLite itself takes what is missing of the last page for zeros.
    Raise `sqlite3.Error` when SQLite does.
    """
    before = identity(path)
    if before is None or _sidecar_size(path, "-wal"):
        return None
    connection.execute("BEGIN")  # its lock keeps a writer from being in the middle of a change
    try:
        _read_schema(connection)
        (shortened,) = connection.execute("PRAGMA writable_schema").fetchone()
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        if identity(path) != before or _sidecar_size(path, "-wal"):
            return None
    finally:
        connection.execute("ROLLBACK")
    size = before[1]
    if shortened:
        return f"cut short, its {size:,} bytes are fewer pages than its header counts"
    counted = f"its header counts {pages:,} pages of {page_size:,} bytes"
    if size < pages * page_size:
        return f"cut short, it has {size:,} bytes and {counted}"
    # Zeros are space that a recorder has set aside. Only of a file that nobody has locked: closing
    # it gives up the locks on it of the whole process.
    if immutable and size > pages * page_size and not _is_zero_from(path, pages * page_size):
        return f"longer than it says, it has {size:,} bytes and {counted}"
    return None


def _is_zero_from(path: Path, offset: int) -> bool:
    with path.open("rb") as file:
        file.seek(offset)
        return not any(any(block) for block in iter(lambda: file.read(1 << 20), b""))


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
    if _is_in_wal_mode(path) and error.sqlite_errorname.startswith(_WAL_UNREADABLE):
        return (
            f"it keeps a write-ahead log, which can only be looked for by making {path.name}-shm "
            f"beside it, and {path.parent} may not be written to; run again when the file has been "
            f"unchanged for {SETTLED_SECONDS:g} s, or copy it into a directory you may write to"
        )
    return f"not a readable SQLite recording ({error})"


def _is_in_wal_mode(path: Path) -> bool:
    """Return whether the header says that the file is written by way of a write-ahead log."""
    with path.open("rb") as file:  # which nobody in this process has open: it could not be opened
        return 2 in file.read(20)[18:]
