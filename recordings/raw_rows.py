"""Fetch the rows of a table of a recording as they lie in it, on past what cannot be read."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice
from operator import gt, lt
from pathlib import Path
from typing import Any

from orderflow.errors import RecordingError
from orderflow.times import format_utc, to_nanoseconds
from recordings.connection import (
    RECOVER,
    connect,
    identity,
    lock_reason,
    not_while_written,
    recording_error,
)
from recordings.parsed_table import BATCH_BYTES, RowReader, open_reader, rows_held_back
from recordings.row_order import NANOSECONDS_PER_MS, Row, is_sorted
from recordings.table_shape import TableShape
from recordings.table_spec import BOOK


class RawReading:
    """One reading of a table of `shape`; `skip` is told of what is left out, as time and count.

    `damage` says what is known to be wrong with the file, None for nothing. With `parses`, compiled
    code fetches the rows of trades as long as it can. `held_back` is how many of the rows fetched
    last may be held back to be sorted.
    """

    def __init__(
        self,
        path: Path,
        shape: TableShape,
        skip: Callable[[int | None, int], None],
        *,
        damage: str | None,
        parses: bool,
    ) -> None:
        self.path = path
        self.held_back = shape.spec.reorder
        self._shape, self._spec = shape, shape.spec
        self._skip, self._damage, self._parses = skip, damage, parses

    def batches(
        self,
        last: Row | None = None,
        total: int = 0,
        as_begun: tuple[int, int, int] | None = None,
    ) -> Iterator[list[Row]]:
        """Yield the rows as fetched, `(timestamp, tie, *payload)`, in the order of reading.

        Given `last`, the time and key of a row, only those after it; `total` were read before, of
        the file that had the identity `as_begun`.
        Raise `RecordingError` where it cannot be read on, when what came before has been yielded.
        """
        as_opened = as_begun or identity(self.path)
        connection, immutable = connect(self.path, self._spec.max_value)
        with closing(connection):
            if as_begun:
                check_unchanged(self.path, as_begun)
            if last is None:
                self._count_untimed(connection)
            cursor: sqlite3.Cursor | None = None
            reader = self._reader(last, immutable=immutable)
            while True:
                error = None
                rows = reader.read(self._spec.batch) if reader else None
                if rows is None:
                    reader = None
                    cursor, rows, error = self.fetch(connection, cursor, last, immutable=immutable)
                if immutable:
                    check_unchanged(self.path, as_opened)
                # Damage must not lead reading in a circle, nor an index give rows in its own order.
                disorder = not ((reader or cursor) and self._is_in_order(last, rows))
                disorder = disorder and self.cut_at_disorder(last, rows)
                if error and not (rows or disorder):
                    rows, last = self.step_over(connection, last, error, total)
                elif not (rows or disorder):
                    return
                if rows:
                    total, last = total + len(rows), rows[-1]
                    yield rows if self._shape.ties_by_key else [row[:-1] for row in rows]
                if disorder:
                    raise self.cannot_read_on(last, None, total)

    def _reader(self, last: Row | None, *, immutable: bool) -> Any:
        """Return what reads rows more quickly than a cursor, for as long as it can; or None."""
        is_book = self._spec.name == BOOK.name  # whose lists are bounded in bytes too
        if is_book or not (self._parses and immutable and last is None):
            return None
        return open_reader(RowReader, self.path, self._shape)

    def _count_untimed(self, connection: sqlite3.Connection) -> None:
        try:
            for count in self._shape.untimed_counts(connection):
                if count:
                    self._skip(None, count)
            if self._shape.has_bad_times:  # they lie behind all others, and are met too late
                self._skip(None, 0)
        except sqlite3.Error as error:
            raise self.cannot_read_on(None, error, 0) from error

    def fetch(
        self,
        connection: sqlite3.Connection,
        cursor: sqlite3.Cursor | None,
        last: Row | None,
        *,
        immutable: bool,
    ) -> tuple[sqlite3.Cursor | None, list[Row], sqlite3.Error | None]:
        """Read on; return the cursor if it may stay open, the rows, and what ended them."""
        rows: list[Row] = []
        error = None
        try:
            # To the end, or a page of a live file.
            limit = -1 if immutable else self._spec.batch
            cursor = cursor or not_while_written(
                lambda: self._shape.read_on(connection, self._shape.select, last, limit)
            )
            self._fill(rows, cursor)
        except sqlite3.Error as problem:
            error = problem
        if cursor and (error or not immutable):
            # A statement left open would hold up the writer of a live recording.
            cursor.close()
            cursor = None
        return cursor, rows, error

    def cut_at_disorder(self, last: Row | None, rows: list[Row]) -> bool:
        """Cut `rows` before the first without a key, or that does not lie beyond the one before."""
        before = None if last is None else self._position_of(last)
        for number, row in enumerate(rows):
            if self._has_key(row):
                position = self._position_of(row)
                descending = self._shape.descending
                if before is None or (position < before if descending else position > before):
                    before = position
                    continue
            del rows[number:]
            return True
        return False

    def _has_key(self, row: Row) -> bool:
        """Return whether a row has a key, as every one has where there is no damage."""
        return self._shape.key_of(row) is not None and not (self._shape.indexed and row[0] is None)

    def _is_in_order(self, last: Row | None, rows: list[Row]) -> bool:
        """Return whether rows surely come in order; a quick look that may miss that they do."""
        if rows and not self._has_key(rows[0]):
            return False
        rows = [last, *rows] if last else rows
        try:
            if self._shape.exact:
                return is_sorted(rows)
            keys = [self._shape.key_of(row) for row in rows]
            if self._shape.indexed:
                keys = list(zip([row[0] for row in rows], keys, strict=True))
            return all(map(gt if self._shape.descending else lt, keys, keys[1:]))
        except TypeError:  # numbers beside text, or a NULL
            return False

    def _position_of(self, row: Row) -> Row:
        """Return what SQLite compares positions by: numbers come before text."""
        time = row[:1] if self._shape.indexed else ()
        key = self._shape.key_of(row)
        return tuple(part for raw in (*time, key) for part in (isinstance(raw, bytes), raw))

    def _fill(self, rows: list[Row], cursor: sqlite3.Cursor) -> None:
        """Fetch into `rows` a batch, bounded in rows and bytes; on an error what came before it."""
        size = 0
        weighed = self._spec.name == BOOK.name
        try:
            if not weighed:
                rows.extend(islice(cursor, self._spec.batch))
                return
            for row in islice(cursor, self._spec.batch):
                rows.append(row)
                size += len(row[2]) + len(row[3])
                if size >= BATCH_BYTES:
                    break
        finally:
            if rows:
                self.held_back = rows_held_back(len(rows), size)

    def step_over(
        self,
        connection: sqlite3.Connection,
        last: Row | None,
        error: sqlite3.Error,
        rows_read: int,
    ) -> tuple[list[Row], Row]:
        """Return the position of the row after `last`, and the row if it can be read by itself.

        Python's cursor drops the row before the one that fails, and an index that leaves ties to
        be sorted fails at the first of them. A row with a value over the limit is skipped. Raise
        `RecordingError` for any other error.
        """
        position = row = None
        try:
            if not lock_reason(self.path, error):
                position = self._shape.position_after(connection, last)
            if position:
                row = self._shape.row_at(connection, position)
        except sqlite3.Error as problem:
            if not (position and _is_too_big(problem)):
                position = None
        if (
            position is None
            or not (row or _is_too_big(error))
            # Where index and table disagree, reading would go round in a circle.
            or (row and self._position_of(row) != self._position_of(position))
            or self.cut_at_disorder(last, [position])
        ):
            raise self.cannot_read_on(last, error, rows_read) from error
        if row is None:
            nanoseconds = to_nanoseconds(self._shape.time_at(connection, position))
            self._skip(None if nanoseconds is None else nanoseconds // NANOSECONDS_PER_MS, 1)
        return ([row] if row else []), position

    def cannot_read_on(
        self, last: Row | None, error: sqlite3.Error | None, rows_read: int
    ) -> RecordingError:
        """Return the error for a table that ends here, after `rows_read` rows."""
        where = f"after {rows_read} rows of table {self._spec.name}"
        if last and (time_ns := to_nanoseconds(last[0])) is not None:
            where += f", up to {format_utc(time_ns // NANOSECONDS_PER_MS)} UTC"
        reason = error and lock_reason(self.path, error)
        advice = "" if reason else f", {RECOVER}"
        damage = str(reason or error or "its rows are not in the order of their keys")
        if self._damage not in (None, reason, damage):
            damage = f"{damage}; {self._damage}"
        return recording_error(
            self.path,
            f"cannot be read further ({damage}), {where}; what came before is used{advice}",
        )


def check_unchanged(path: Path, as_opened: tuple[int, int, int] | None) -> None:
    """Raise `RecordingError` for a file whose identity is no longer that when it was opened."""
    if identity(path) != as_opened:
        why = "changed while it was read; run again when it is done"
        raise recording_error(path, why)


def _is_too_big(error: sqlite3.Error) -> bool:
    return error.sqlite_errorname == "SQLITE_TOOBIG"
