"""Read one table of a recording, `book` or `trades`, as rows in time order.

Of a damaged file the rows before the damage come out; of a value over the limit only that
row is skipped.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from copy import copy
from functools import cached_property
from itertools import islice, pairwise
from operator import gt, itemgetter, lt
from pathlib import Path
from typing import Any

from orderflow.errors import RecordingError
from orderflow.events import LostRows
from orderflow.times import format_utc, to_nanoseconds
from recordings.connection import (
    RECOVER,
    connect,
    identity,
    lock_reason,
    not_opened,
    not_while_written,
    recording_error,
)
from recordings.file_merge import TimedSource
from recordings.integrity import IntegrityCheck
from recordings.parsed_table import (
    BATCH_BYTES,
    CHUNK_ROWS,
    HeldRows,
    ParsedReading,
    RowReader,
    open_reader,
    rows_held_back,
)
from recordings.prepared_rows import PreparedRows, Rows
from recordings.row_order import (
    NANOSECONDS_PER_MS,
    ReorderBuffer,
    Row,
    is_sorted,
    normalise_times,
)
from recordings.table_shape import TIME_FORMS, TableShape
from recordings.table_spec import BOOK, TRADES, TableSpec

MAX_KEY = 2**63 - 1
"""The highest key that SQLite has."""

_bids, _asks = itemgetter(2), itemgetter(3)


class RecordedTable:
    """One table of one recording, `book` or `trades`, as rows in time order.

    With an `instrument` column only the rows of `instrument` are read. `exists` is False where the
    file has no such table. `first_ms` and `last_ms` bound the rows as far as the file tells.
    `along_key` is as in `TableShape`.
    `damage` says why rows may be missing although the file can be opened, None if nothing tells so.
    `late` and `skipped` count, while and after reading, the rows left out; `lost` says about when
    each was, for the caller to take and clear.

    The whole file is checked while the `source` is read, once for all tables given one `check`.
    Rows that were `prepared` are read instead of the file's, which was checked when they were.
    `cut` says that what the file was made of has no end, where that is so: reading fails there.
    With `parses`, the source's rows come with their levels parsed where that is quicker.

    Raise `RecordingError` for a view, or when a required column is missing.
    """

    def __init__(
        self,
        path: Path,
        spec: TableSpec,
        instrument: str | None = None,
        check: IntegrityCheck | None = None,
        *,
        along_key: bool = False,
    ) -> None:
        self.path = path
        self._check = check or IntegrityCheck(path)
        self.late = 0
        self.skipped = 0
        self.lost: list[LostRows] = []
        self.instrument = instrument
        self._spec = spec
        self._shape = TableShape(path, spec, instrument, along_key=along_key)
        self.exists = self._shape.exists
        self.first_ms, self.last_ms = self._shape.first_ms, self._shape.last_ms
        self.damage = self._shape.damage
        self._held_back = spec.reorder
        self.prepared: PreparedRows | None = None
        self.cut: str | None = None
        self.parses = False

    @property
    def name(self) -> str:
        """Return `book` or `trades`."""
        return self._spec.name

    @property
    def is_empty(self) -> bool:
        """Return whether there is no row to read."""
        return not self.exists or self.last_ms < self.first_ms

    @property
    def names_instruments(self) -> bool:
        """Return whether rows were chosen by an `instrument` column."""
        return self.exists and self._shape.filtered

    def first_rows(self, count: int) -> Iterator[Row]:
        """Yield the first rows in time order, at most `count`; a reading under way goes on."""
        apart = copy(self)  # which counts for itself
        return islice((row for batch in apart.batches() for row in batch), count)

    @property
    def is_indexed(self) -> bool:
        """Return whether an index gives the rows in order."""
        return self._shape.indexed

    def count_by_instrument(self) -> list[tuple[str | None, int, object, object]]:
        """List the instruments of the table with rows, first and last timestamp as recorded.

        Rows without a usable timestamp are counted too, those without an instrument are not. Where
        no column names instruments, all rows are of None.
        """
        if not self.exists:
            return []
        name = "instrument" if self.names_instruments else "NULL"
        of_any = f"{name} IS NOT NULL" if self.names_instruments else "1"
        sql = (
            f"SELECT {name}, count(*), min(timestamp), max(timestamp) "  # noqa: S608
            f"FROM {self._spec.name} WHERE {of_any} GROUP BY 1"
        )
        with closing(connect(self.path)[0]) as connection:
            try:
                found = connection.execute(sql).fetchall()
            except sqlite3.Error as error:
                raise not_opened(self.path, error) from error
        return [(_as_text(name), count, low, high) for name, count, low, high in found]

    # -- reading

    def source(self) -> TimedSource:
        """Return the table as a source for `FileMerge`, which fails in the end if it is damaged."""
        if self.prepared:
            source = TimedSource(self.first_ms, self.last_ms, self._read_prepared)
        else:
            source = TimedSource(self.first_ms, self.last_ms, self._read_whole, self._check.verdict)
            if self.damage:
                why = f"rows may be missing ({self.damage}); what could be read is used, {RECOVER}"
                source.failure = recording_error(self.path, why)
        if self.cut:
            source.failure = RecordingError(self.cut, str(self.path))
        return source

    def _read_whole(self) -> Iterator[Rows]:
        self._check.begin()
        is_book = self._spec.name == BOOK.name
        return self.parsed_batches() if self.parses and is_book else self.batches()

    def _read_prepared(self) -> Iterator[Rows]:
        self._begin()
        for rows, lost in self.prepared.batches() if self.prepared else ():
            self.late += sum(one.kind == self._late_kind for one in lost)
            self.skipped += sum(one.count for one in lost if one.kind != self._late_kind)
            self.lost += lost
            if len(rows):
                yield rows

    def read_through(self) -> Iterator[list[Row]]:
        """Yield the rows as `batches` does; raise `RecordingError` also for a file with a fault."""
        self._check.begin()
        yield from self.batches()
        if self.damage:
            raise recording_error(self.path, f"damaged ({self.damage}); {RECOVER}")
        if error := self._check.verdict():
            raise error

    @property
    def _late_kind(self) -> str:
        return f"late_{self._spec.rows}"

    def _begin(self) -> None:
        self.late = self.skipped = 0
        self.lost = []

    def batches(self) -> Iterator[list[Row]]:
        """Yield the rows `(ms, order, *payload)` in time order, in lists.

        Raise `RecordingError` when the file cannot be read further, or changed while it was read
        as immutable; whatever was read before has been yielded then.
        """
        self._begin()
        yield from self._in_order(self._raw_batches(), ReorderBuffer(self._spec.reorder))

    def parsed_batches(self) -> Iterator[Rows]:
        """Yield the rows as `batches` does, parsed as long as they are as most are."""
        if self._has_untimed():
            yield from self.batches()
            return
        self._begin()
        as_opened = identity(self.path)
        reading = ParsedReading(self.path, self._shape, lambda: self._check_unchanged(as_opened))
        for rows in reading.batches():
            self._note_late(reading.held)
            yield rows
        self._note_late(reading.held)
        if reading.whole:
            return
        buffer = ReorderBuffer(self._spec.reorder)
        buffer.resume(reading.held.rows(), reading.held.released)
        self._held_back = reading.held_back
        raw = self._raw_batches(reading.last, total=reading.total)
        yield from self._in_order(raw, buffer, usable=reading.total > 0)

    def _has_untimed(self) -> bool:
        """Return whether there may be rows that the index, where one is read along, leaves out."""
        if not self._shape.indexed:
            return False
        try:
            with closing(connect(self.path)[0]) as connection:
                counts = self._shape.untimed_counts(connection)
                return self._shape.has_bad_times or any(counts)
        except (sqlite3.Error, RecordingError):  # which the reading of rows will meet too
            return True

    def _in_order(
        self, raw_batches: Iterator[list[Row]], buffer: ReorderBuffer, *, usable: bool = False
    ) -> Iterator[list[Row]]:
        """Yield rows as fetched in time order; `usable` says that some were before."""
        failure: RecordingError | None = None
        while failure is None:
            try:
                raw = next(raw_batches, None)
            except RecordingError as error:
                raw, failure = None, error
            if raw is None:
                break
            rows, untimed = normalise_times(raw)
            # Along an index, or out of order, what has no time does not lie where it was recorded.
            in_place = untimed and not self._shape.indexed and is_sorted(rows)
            for before in untimed:
                self._skip(before if in_place else None)
            usable = usable or bool(rows)
            rows = rows if self._shape.exact else buffer.push(rows, self._held_back)
            self._note_late(buffer)
            if rows:
                yield rows
        rows = buffer.flush()
        if rows:
            yield rows
        if failure := failure or (None if usable else self._without_times()):
            raise failure

    @property
    def has_keys(self) -> bool:
        """Return whether the `order` of a row says its key, so that `read_keys` can find it."""
        return self.exists and self._shape.ties_by_key

    @property
    def is_exact(self) -> bool:
        """Return whether an index gives the rows as they are wanted, so that `read_times` can."""
        return self.exists and self._shape.exact

    def read_times(self, after_ms: int) -> Iterator[list[Row]]:
        """Yield the rows later than `after_ms`, in time order, in lists. Errors as in `batches`."""
        yield from copy(self)._raw_batches((after_ms, MAX_KEY))

    @cached_property
    def _along_key(self) -> "RecordedTable":
        return RecordedTable(self.path, self._spec, self.instrument, along_key=True)

    def read_keys(self, low: int, high: int) -> Iterator[list[Row]]:
        """Yield the rows with keys from `low` to `high`, in the order of these, in lists.

        They are `(ms, order, *payload)`; what has no usable time is left out. Errors as in
        `batches`.
        """
        for raw in self._along_key._raw_batches((None, max(low - 1, -MAX_KEY))):
            inside = [row for row in raw if row[1] <= high]
            yield normalise_times(inside)[0]
            if raw[-1][1] >= high:
                return

    def _skip(self, timestamp: int | None, count: int = 1) -> None:
        self.skipped += count
        self.lost.append(LostRows(f"{self._spec.rows}_skipped", timestamp, count))

    def _note_late(self, buffer: ReorderBuffer | HeldRows) -> None:
        self.late += len(buffer.late_times)
        self.lost += [LostRows(self._late_kind, ms) for ms in buffer.late_times]
        buffer.late_times = []

    def _without_times(self) -> RecordingError | None:
        """Return the error for a table of which no row could be used for want of a time."""
        if not self.skipped:
            return None
        with closing(connect(self.path)[0]) as connection:
            try:
                found = self._shape.sample_time(connection)
            except sqlite3.Error as error:
                return not_opened(self.path, error)
        if to_nanoseconds(found) is not None:
            return None
        shown = found.decode(errors="replace") if isinstance(found, bytes) else found
        return recording_error(
            self.path,
            f"no row of table {self._spec.name} has a usable timestamp; found "
            f"{'NULL' if shown is None else repr(shown)}; understood are {TIME_FORMS}",
        )

    def _raw_batches(self, last: Row | None = None, total: int = 0) -> Iterator[list[Row]]:
        """Yield the rows as fetched, `(timestamp, tie, *payload)`, in the order of reading.

        Given `last`, the time and key of a row, only those after it; `total` were read before.
        """
        as_opened = identity(self.path)
        connection, immutable = connect(self.path, self._spec.max_value)
        with closing(connection):
            if last is None:
                self._count_untimed(connection)
            cursor: sqlite3.Cursor | None = None
            reader = self._reader(last, immutable=immutable)
            while True:
                error = None
                rows = reader.read(self._spec.batch) if reader else None
                if rows is None:
                    reader = None
                    cursor, rows, error = self._fetch(connection, cursor, last, immutable=immutable)
                if immutable:
                    self._check_unchanged(as_opened)
                # Damage must not lead reading in a circle, nor an index give rows in its own order.
                disorder = not ((reader or cursor) and self._is_in_order(last, rows))
                disorder = disorder and self._cut_at_disorder(last, rows)
                if error and not (rows or disorder):
                    rows, last = self._step_over(connection, last, error, total)
                elif not (rows or disorder):
                    return
                if rows:
                    total, last = total + len(rows), rows[-1]
                    yield rows if self._shape.ties_by_key else [row[:-1] for row in rows]
                if disorder:
                    raise self._cannot_read_on(last, None, total)

    def _reader(self, last: Row | None, *, immutable: bool) -> Any:
        """Return what reads rows more quickly than a cursor, for as long as it can; or None."""
        is_book = self._spec.name == BOOK.name  # whose lists are bounded in bytes too
        if is_book or not (self.parses and immutable and last is None):
            return None
        return open_reader(RowReader, self.path, self._shape)

    def _check_unchanged(self, as_opened: tuple[int, int, int] | None) -> None:
        if identity(self.path) != as_opened:
            why = "changed while it was read; run again when it is done"
            raise recording_error(self.path, why)

    def _count_untimed(self, connection: sqlite3.Connection) -> None:
        try:
            for count in self._shape.untimed_counts(connection):
                if count:
                    self._skip(None, count)
            if self._shape.has_bad_times:  # they lie behind all others, and are met too late
                self._skip(None, 0)
        except sqlite3.Error as error:
            raise self._cannot_read_on(None, error, 0) from error

    def _fetch(
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

    def _cut_at_disorder(self, last: Row | None, rows: list[Row]) -> bool:
        """Cut `rows` before the first that does not lie beyond the one before it."""
        positions = [self._position_of(row) for row in ([last] if last else []) + rows]
        for number, (position, beyond) in enumerate(pairwise(positions)):
            if (position > beyond) if self._shape.descending else (position < beyond):
                continue
            del rows[number + (last is None) :]
            return True
        return False

    def _is_in_order(self, last: Row | None, rows: list[Row]) -> bool:
        """Return whether rows surely come in order; a quick look that may miss that they do."""
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
        size = known = 0
        chunk = 1
        weighed = self._spec.name == BOOK.name
        try:
            while len(rows) < self._spec.batch and size < BATCH_BYTES:
                rows.extend(islice(cursor, chunk))
                if len(rows) == known:
                    break
                if weighed:
                    chunk_rows = rows[known:]
                    size += sum(map(len, map(_bids, chunk_rows)))
                    size += sum(map(len, map(_asks, chunk_rows)))
                known = len(rows)
                # Not all at once: a row may have megabytes.
                chunk = min(2 * chunk, CHUNK_ROWS, self._spec.batch - known)
        finally:
            if rows:
                self._held_back = rows_held_back(len(rows), size)

    def _step_over(
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
            or self._cut_at_disorder(last, [position])
        ):
            raise self._cannot_read_on(last, error, rows_read) from error
        if row is None:
            nanoseconds = to_nanoseconds(self._shape.time_at(connection, position))
            self._skip(None if nanoseconds is None else nanoseconds // NANOSECONDS_PER_MS)
        return ([row] if row else []), position

    def _cannot_read_on(
        self, last: Row | None, error: sqlite3.Error | None, rows_read: int
    ) -> RecordingError:
        where = f"after {rows_read} rows of table {self._spec.name}"
        if last and (time_ns := to_nanoseconds(last[0])) is not None:
            where += f", up to {format_utc(time_ns // NANOSECONDS_PER_MS)} UTC"
        reason = error and lock_reason(self.path, error)
        advice = "" if reason else f", {RECOVER}"
        damage = str(reason or error or "its rows are not in the order of their keys")
        if self.damage not in (None, reason, damage):
            damage = f"{damage}; {self.damage}"
        return recording_error(
            self.path,
            f"cannot be read further ({damage}), {where}; what came before is used{advice}",
        )


def _is_too_big(error: sqlite3.Error) -> bool:
    return error.sqlite_errorname == "SQLITE_TOOBIG"


def _as_text(name: object) -> str | None:
    if name is None:
        return None
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def open_tables(path: Path, instrument: str | None) -> tuple[RecordedTable, RecordedTable]:
    """Open the tables `book` and `trades` of a recording; one of them may be missing.

    Raise `RecordingError` when both are, or when the file is no recording.
    """
    check = IntegrityCheck(path)  # one for both: they are in one file
    book = RecordedTable(path, BOOK, instrument, check)
    trades = RecordedTable(path, TRADES, instrument, check)
    if not book.exists and not trades.exists:
        found = ", ".join(_table_names(path)) or "no table at all"
        why = f"no recording, it has neither a table book nor a table trades; found {found}"
        raise recording_error(path, why)
    return book, trades


def _table_names(path: Path) -> list[str]:
    sql = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name LIMIT 20"
    with closing(connect(path)[0]) as connection:
        try:
            return [name.decode(errors="replace") for (name,) in connection.execute(sql)]
        except sqlite3.Error as error:
            raise not_opened(path, error) from error


def instruments_in(path: Path) -> dict[str, tuple[int, int]]:
    """List the instruments of a recording's `instrument` columns with their first and last ms.

    Both are 0 where no timestamp is usable. Raise `RecordingError` for a file that is no recording.
    """
    spans: dict[str, tuple[int, int]] = {}
    for table in open_tables(path, ""):
        for name, _, *ends in table.count_by_instrument():
            if name is None:
                continue
            times = [t // 1_000_000 for t in map(to_nanoseconds, ends) if t is not None]
            times += [t for t in spans.get(name, ()) if t]
            spans[name] = (min(times), max(times)) if times else (0, 0)
    return spans
