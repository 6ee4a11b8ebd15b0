"""Let SQLite check whole files, as a rule beside reading them."""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Thread, get_native_id

from orderflow.errors import RecordingError
from recordings.connection import RECOVER, connect, identity, is_closed, is_settled, recording_error

MOST_LIVE_BYTES = 64_000_000
"""A larger file that may be live is not checked: it would be locked against its recorder, for
about a tenth of a second in a hundred MB."""

_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_IOERR")


def integrity_faults(connection: sqlite3.Connection, most: int) -> Iterator[str]:
    """Yield at most `most` lines that say what SQLite finds wrong with pages, tables and indexes.

    Raise `sqlite3.Error` when the check itself fails for another reason than damage.
    """
    try:
        for (line,) in connection.execute(f"PRAGMA integrity_check({most})"):
            if line != b"ok":
                said = " ".join(line.decode(errors="replace").split())
                yield said.removeprefix("*** in database main *** ")
    except sqlite3.Error as error:
        if not error.sqlite_errorname.startswith(_DAMAGE):
            raise
        yield str(error)


class IntegrityCheck:
    """Check a file while its tables are read; what is wrong is known when `verdict` is asked.

    A settled file is checked in a thread of its own, which takes what the processors have to
    spare, or when it was read, for who begins it with `threaded` False. One that may be live is
    checked when it was read, if it has not changed until then and is small, so that its recorder is
    not held up. It is checked once, however often it is begun.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begun_as: tuple[int, int, int] | None = None
        self._was_settled = False
        self._thread: Thread | None = None
        self._is_done = False
        self._fault: str | None = None

    @property
    def is_done(self) -> bool:
        """Return whether the file was checked, and was not changed meanwhile."""
        return self._is_done and not self._has_changed()

    def __getstate__(self) -> dict[str, object]:
        """Leave out what belongs to this process: a copy elsewhere checks for itself."""
        return vars(IntegrityCheck(self._path))

    def begin(self, *, threaded: bool = True) -> None:
        """Begin to check, unless it has begun."""
        if self._begun_as is not None:
            return
        self._begun_as = identity(self._path)
        self._was_settled = self._begun_as is not None and is_settled(self._path)
        if self._was_settled and threaded:
            self._thread = Thread(target=self._run_beside, daemon=True, name="integrity check")
            self._thread.start()

    def verdict(self) -> RecordingError | None:
        """Wait for the check that was begun, or make it; return the error for a faulty file."""
        if self._thread:
            self._thread.join()
        elif not self._is_done and (self._was_settled or self._may_be_locked()):
            self._run()
        if self._fault is None or self._has_changed():
            return None
        why = f"rows may be missing ({self._fault}); what could be read is used, {RECOVER}"
        return recording_error(self._path, why)

    def _may_be_locked(self) -> bool:
        size = self._begun_as[1] if self._begun_as else None
        if size is None or size > MOST_LIVE_BYTES:
            return False
        return not self._has_changed()

    def _has_changed(self) -> bool:
        return identity(self._path) != self._begun_as

    def _run_beside(self) -> None:
        if sys.platform == "linux":  # where a thread has a priority of its own
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, get_native_id(), 10)
        self._run()

    def _run(self) -> None:
        self._is_done = True
        # Whatever keeps a file from being opened is said by who reads it.
        with suppress(RecordingError, sqlite3.Error):
            closed = is_closed(self._path)
            with closing(connect(self._path, immutable=closed)[0]) as connection:
                self._fault = next(integrity_faults(connection, 1), None)
