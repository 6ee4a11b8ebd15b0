"""Read on in one table of a recording that is still being written: what was appended since."""

import sqlite3
from collections import deque
from pathlib import Path
from typing import Any

from orderflow.times import to_nanoseconds
from recordings.connection import recording_error
from recordings.recorded_table import RecordedTable
from recordings.row_order import NANOSECONDS_PER_MS, Row, is_sorted, normalise_times
from recordings.table_spec import TableSpec

MOST_HOLES = 16
"""Of the keys that were left out, so many ranges, the newest, are looked into again."""
COUNTED_ROWS = 20_000
"""Rows counted in one statement, which takes a few milliseconds."""
LOWEST_KEY = -(2**63)


class LiveTable(RecordedTable):
    """One table, `book` or `trades`, of a file that may grow, read in the order of its keys.

    `read` goes on where it last ended, over a connection of the caller's. `is_dry` says whether it
    then came to the end, `newest_ms` is the latest time read; `last_ms` grows with it.
    Rows may also appear under keys that were left out before: the newest such holes are looked into
    at each reading, and `missed` counts what appeared anywhere else.

    Raise `RecordingError` for a table that cannot be followed, besides what `RecordedTable` does.
    """

    def __init__(self, path: Path, spec: TableSpec, instrument: str | None = None) -> None:
        super().__init__(path, spec, instrument, along_key=True)
        self._raw = self._reading()
        self.is_dry = False
        self.newest_ms: int | None = None
        self._last: Row | None = None
        self._mark: object = None
        self._rows_read = 0
        self._holes: deque[tuple[int, int]] = deque(maxlen=MOST_HOLES)

    @property
    def capacity(self) -> int:
        """Return how many rows are to be held back to sort them while there is more to read."""
        return min(self._spec.reorder, self._raw.held_back)

    def saved(self) -> dict[str, Any]:
        """Return the state of reading, to go back to with `restore`."""
        return vars(self) | {"lost": [*self.lost], "_holes": self._holes.copy()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to where reading was: what was read since does not count."""
        vars(self).update(state)

    def read(self, connection: sqlite3.Connection) -> list[Row]:
        """Return the next rows `(ms, order, *payload)`, at most a page; set `is_dry`.

        Raise `RecordingError` where the table cannot be read on, `sqlite3.Error` where a lock is
        in the way.
        """
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self._spec.max_value)
        self._check_place(connection)
        found = self._read_holes(connection)
        page = self._read_page(connection)
        self.is_dry = not page
        self._note_keys(page)
        found += page
        if page:
            self._mark = self._shape.time_at(connection, page[-1])
        self._rows_read += len(found)
        rows, untimed = normalise_times(
            found if self._shape.ties_by_key else [row[:-1] for row in found]
        )
        in_place = bool(untimed) and is_sorted(rows)
        for before in untimed:
            self._skip(before if in_place else None)
        if rows:
            self._note_span(rows)
        return rows

    def _note_span(self, rows: list[Row]) -> None:
        times = [row[0] for row in rows]
        if self.is_empty:  # when it was opened
            self.first_ms = min(times)
        self.newest_ms = max(self.newest_ms or 0, *times)
        self.last_ms = max(self.last_ms, self.newest_ms)

    def _check_place(self, connection: sqlite3.Connection) -> None:
        """Raise `RecordingError` where the last row read is no longer what it was."""
        if self._last is None or self._mark is None:
            return
        if self._shape.time_at(connection, self._last) != self._mark:
            raise recording_error(
                self.path,
                f"rows of table {self._spec.name} that were read have been changed or deleted "
                "since; what was read is used, replay the file again from the beginning",
            )

    def _read_page(self, connection: sqlite3.Connection) -> list[Row]:
        """Read rows beyond the last one; step over a row with a value that is too large."""
        while True:
            _, rows, error = self._raw.fetch(connection, None, self._last, immutable=False)
            if self._raw.cut_at_disorder(self._last, rows):
                raise self._raw.cannot_read_on(self._last, None, self._rows_read)
            if rows or not error:
                return rows
            if is_passing(error):
                raise error
            before = self._last
            rows, self._last = self._raw.step_over(connection, before, error, self._rows_read)
            self._mark = None
            if rows:
                return rows
            self._rows_read += 1
            self._note_hole(before, self._shape.key_of(self._last))

    def _note_keys(self, page: list[Row]) -> None:
        for row in page:
            self._note_hole(self._last, self._shape.key_of(row))
            self._last = row

    def _note_hole(self, last: Row | None, key: int) -> None:
        low = LOWEST_KEY if last is None else self._shape.key_of(last) + 1
        if low < key:
            self._holes.append((low, key - 1))

    def _read_holes(self, connection: sqlite3.Connection) -> list[Row]:
        """Read what has appeared under keys that were left out before."""
        found: list[Row] = []
        for _ in range(len(self._holes)):
            low, high = self._holes.popleft()
            try:
                rows = self._shape.read_between(connection, low, high, self._spec.batch)
            except sqlite3.Error as error:
                if is_passing(error):
                    raise
                continue  # a value too large: `missed` counts the row
            for row in rows:
                key = self._shape.key_of(row)
                if low < key:
                    self._holes.append((low, key - 1))
                low = key + 1
            if low <= high:
                self._holes.append((low, high))
            found += rows
        return found

    def newest_in(self, connection: sqlite3.Connection) -> int | None:
        """Return the time of the row last appended, in ms; None where none is known."""
        if self.is_dry:
            return self.newest_ms
        nanoseconds = to_nanoseconds(self._shape.newest_time(connection))
        return None if nanoseconds is None else nanoseconds // NANOSECONDS_PER_MS

    def missed(self, connection: sqlite3.Connection) -> int:
        """Count the rows that appeared behind the last one and were not read.

        They are counted in short statements, between which a recorder is free to write.
        """
        if self._last is None:
            return 0
        low, last, total = LOWEST_KEY, self._shape.key_of(self._last), 0
        while low <= last:
            count, highest = self._shape.count_between(connection, low, last, COUNTED_ROWS)
            total += count
            if highest is None:
                break
            low = highest + 1
        return max(0, total - self._rows_read)


def is_passing(error: sqlite3.Error) -> bool:
    """Return whether an error comes of what another program does just now, and may pass."""
    passing = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL", "SQLITE_READONLY")
    # A write-ahead log may vanish, and come back, while it is being opened.
    return getattr(error, "sqlite_errorname", "").startswith((*passing, "SQLITE_CANTOPEN"))
