"""Follow one file that a recorder is writing, without being in its way.

A file is opened for each look and closed after it: a connection that stays open would keep its
recorder from closing it, from changing its journal mode, and from removing its write-ahead log.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from time import sleep, time

from orderflow.errors import RecordingError
from recordings.connection import (
    connect,
    identity,
    is_closed,
    lock_reason,
    recording_error,
)
from recordings.integrity import IntegrityCheck
from recordings.live_table import LiveTable, is_passing
from recordings.recorder_losses import losses_in
from recordings.row_order import Row
from recordings.table_shape import UNKNOWN_SPAN
from recordings.table_spec import BOOK, TRADES

LOCK_SECONDS = 0.2
"""How long one look waits for a lock; after it, the next look tries again."""
BLOCKED_SECONDS = 60.0
"""A file that could not be read for so long is said to be blocked, once."""
RACY_SECONDS = 1.0
"""A file whose last change is younger than this may change again without its time changing."""
FINAL_LOOKS = 25
"""How often the end of a file is looked at while something is in the way."""

Stamp = tuple[tuple[int, int, int] | None, ...]


def stamp_of(path: Path) -> Stamp:
    """Return what changes when a file, its write-ahead log or its journal is written."""
    names = ("", "-wal", "-journal")
    return tuple(identity(path.with_name(path.name + suffix)) for suffix in names)


@dataclass
class Page:
    """Rows `(ms, order, *payload)` that were committed when one look was taken."""

    book: list[Row] = field(default_factory=list)
    trades: list[Row] = field(default_factory=list)


class LiveFile:
    """One file of a recording that may be written while it is read.

    `blocked` says what is in the way when a look could not be taken, None when it could.
    `is_dry`: everything committed at the last look was read. `newest_ms` is the time of the row
    last appended to either table. `losses` counts by kind what the recorder says it lost
    in the range.

    Raise `RecordingError` for a file that is no recording, or cannot be followed.
    """

    def __init__(
        self, path: Path, instrument: str | None, start_ms: int = 0, end_ms: int = UNKNOWN_SPAN[1]
    ) -> None:
        self.path = path
        self.instrument = instrument
        self._range = start_ms, end_ms
        self.blocked: str | None = None
        self.newest_ms: int | None = None
        self.losses: dict[str, int] = {}
        self.tables = tuple(LiveTable(path, spec, instrument) for spec in (BOOK, TRADES))
        self._opened_as = identity(path)
        self._read_as: Stamp | None = None
        self._closing: Thread | None = None
        self._missed: dict[str, int] = {}
        self._fault: RecordingError | None = None
        self.is_checked = False

    @property
    def book(self) -> LiveTable:
        """Return the table of book rows."""
        return self.tables[0]

    @property
    def trades(self) -> LiveTable:
        """Return the table of trades."""
        return self.tables[1]

    @property
    def is_dry(self) -> bool:
        """Return whether all that was committed at the last look has been read."""
        return all(table.is_dry or not table.exists for table in self.tables)

    @property
    def first_ms(self) -> int:
        """Return a time in ms that no row is earlier than, as far as the file told when opened."""
        return min((t.first_ms for t in self.tables if not t.is_empty), default=UNKNOWN_SPAN[1])

    @property
    def reach(self) -> int:
        """Return the time in ms that both tables are read up to, where they are not read whole."""
        unread = (table.newest_ms or 0 for table in self.tables if not table.is_dry)
        return min(unread, default=UNKNOWN_SPAN[1])

    @property
    def quiet_seconds(self) -> float:
        """Return for how long the file and its sidecars have not been changed."""
        changed = max((seen[2] for seen in stamp_of(self.path) if seen), default=0)
        return time() - changed / 1e9

    def look(self) -> Page:
        """Read on in both tables, at most a page of each, as of one moment.

        Raise `RecordingError` when the file is no longer the one that was read, or is damaged.
        """
        stamp = self._checked_stamp()
        if stamp == self._read_as:
            return Page()
        try:
            page = self._read(stamp)
        except _ChangedError:
            self.blocked = "it was changed while it was read"
            return Page()
        except sqlite3.Error as error:
            if not is_passing(error):
                raise recording_error(self.path, f"cannot be read further ({error})") from error
            self.blocked = lock_reason(self.path, error) or str(error)
            return Page()
        self.blocked = None
        newest = max((seen[2] for seen in stamp if seen), default=0)
        settled = time() - newest / 1e9 > RACY_SECONDS
        self._read_as = stamp if settled and self.is_dry else None
        return page

    def _checked_stamp(self) -> Stamp:
        stamp = stamp_of(self.path)
        now, before = stamp[0], self._opened_as
        why = None
        if now is None:
            why = "has been deleted or moved"
        elif before and now[0] != before[0]:
            why = "has been replaced by another file"
        elif before and now[1] < before[1]:
            why = f"has become smaller, {now[1]:,} bytes after {before[1]:,},"
        if why:
            raise recording_error(
                self.path, f"{why} while it was followed; what was read of it is used"
            )
        self._opened_as = now
        return stamp

    def _read(self, stamp: Stamp) -> Page:
        """Read both tables in one short transaction: all of it counts, or nothing."""
        before = [table.saved() for table in self.tables]
        try:
            with self._connected() as (connection, immutable):
                if any(not table.exists for table in self.tables):
                    self._look_for_tables()
                page = self._read_over(connection)
            if immutable and stamp_of(self.path) != stamp:
                raise _ChangedError
        except BaseException:
            for table, state in zip(self.tables, before, strict=True):
                table.restore(state)
            raise
        return page

    def _read_over(self, connection: sqlite3.Connection) -> Page:
        connection.execute("BEGIN")
        try:
            page = Page(*(self._rows_of(table, connection) for table in self.tables))
            newest = [table.newest_in(connection) for table in self.tables if table.exists]
            self.losses = losses_in(connection, self.instrument, *self._range)
        finally:
            connection.rollback()
        self.newest_ms = max((ms for ms in newest if ms is not None), default=None)
        return page

    def _rows_of(self, table: LiveTable, connection: sqlite3.Connection) -> list[Row]:
        return table.read(connection) if table.exists else []

    def _look_for_tables(self) -> None:
        """Take up a table that the recorder has made since the file was opened."""
        self.tables = tuple(
            table if table.exists else LiveTable(self.path, spec, self.instrument)
            for table, spec in zip(self.tables, (BOOK, TRADES), strict=True)
        )

    @contextmanager
    def _connected(self) -> Iterator[tuple[sqlite3.Connection, bool]]:
        try:
            connection, immutable = connect(
                self.path, immutable=is_closed(self.path), lock_seconds=LOCK_SECONDS
            )
        except RecordingError as error:
            if isinstance(error.__cause__, sqlite3.Error) and is_passing(error.__cause__):
                raise error.__cause__ from None
            raise
        with closing(connection):
            yield connection, immutable

    # -- at its end

    def begin_to_close(self) -> None:
        """Begin to look at the file as a whole, beside what else is done; it is read no further."""
        self._closing = Thread(target=self._close, daemon=True, name="closing a recording")
        self._closing.start()

    def closed(self) -> tuple[dict[str, int], RecordingError | None]:
        """Wait for what `begin_to_close` began; return what it has found.

        That is how many rows of each table appeared behind what was read, and the error where the
        file is damaged, or cannot be read. `is_checked` says whether it was looked for damage.
        """
        if self._closing:
            self._closing.join()
        return self._missed, self._fault

    def _close(self) -> None:
        try:
            for table in self.tables:
                if table.exists:
                    self._missed[table.name] = self._missed_in(table)
            check = IntegrityCheck(self.path)
            check.begin()
            self._fault = check.verdict()
            self.is_checked = check.is_done
        except RecordingError as error:
            self._fault = error

    def _missed_in(self, table: LiveTable) -> int:
        for _ in range(FINAL_LOOKS):
            try:
                with self._connected() as (connection, _):
                    return table.missed(connection)
            except sqlite3.Error as error:
                if not is_passing(error):
                    raise recording_error(self.path, f"cannot be read ({error})") from error
                sleep(LOCK_SECONDS)
        return 0


class _ChangedError(Exception):
    """Report that a file was written while it was read as if nobody wrote it: look again."""
