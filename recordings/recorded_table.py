"""Read one table of a recording, `book` or `trades`, as rows in time order.

Of a damaged file the rows before the damage come out; of a value over the limit only that
row is skipped.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from copy import copy
from functools import cached_property, partial
from itertools import islice
from operator import itemgetter
from pathlib import Path

from orderflow.errors import RecordingError
from orderflow.events import LostRows
from orderflow.times import to_nanoseconds
from recordings.connection import (
    RECOVER,
    connect,
    identity,
    not_opened,
    recording_error,
)
from recordings.file_merge import TimedSource
from recordings.integrity import IntegrityCheck
from recordings.parsed_table import (
    HeldRows,
    ParsedReading,
)
from recordings.prepared_rows import PreparedRows, Rows
from recordings.raw_rows import RawReading, check_unchanged
from recordings.row_order import (
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
    With `parses`, the source's rows come with their levels parsed where that is quicker. Unless it
    is `threaded`, the file is checked after the rows were read and not in a thread beside.

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
        self.prepared: PreparedRows | None = None
        self.cut: str | None = None
        self.parses = False
        self.threaded = True

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
        self._check.begin(threaded=self.threaded)
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
        raw = self._reading()
        yield from self._in_order(raw, raw.batches(), ReorderBuffer(self._spec.reorder))

    def parsed_batches(self) -> Iterator[Rows]:
        """Yield the rows as `batches` does, parsed as long as they are as most are."""
        if self._has_untimed():
            yield from self.batches()
            return
        self._begin()
        as_opened = identity(self.path)
        check = partial(check_unchanged, self.path, as_opened)
        reading = ParsedReading(self.path, self._shape, check)
        for rows in reading.batches():
            self._note_late(reading.held)
            yield rows
        self._note_late(reading.held)
        if reading.whole:
            return
        raw = self._reading()
        if reading.disordered:  # asked for anew, the rest would begin beyond what lies between
            raise raw.cannot_read_on(reading.last, None, reading.total)
        buffer = ReorderBuffer(self._spec.reorder)
        buffer.resume(reading.held.rows(), reading.held.released)
        raw.held_back = reading.held_back
        batches = raw.batches(reading.last, reading.total, as_opened)
        yield from self._in_order(raw, batches, buffer, usable=reading.total > 0)

    def _reading(self) -> RawReading:
        return RawReading(
            self.path, self._shape, self._skip, damage=self.damage, parses=self.parses
        )

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
        self,
        reading: RawReading,
        batches: Iterator[list[Row]],
        buffer: ReorderBuffer,
        *,
        usable: bool = False,
    ) -> Iterator[list[Row]]:
        """Yield rows as fetched in time order; `usable` says that some were before."""
        failure: RecordingError | None = None
        while failure is None:
            try:
                raw = next(batches, None)
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
            rows = rows if self._shape.exact else buffer.push(rows, reading.held_back)
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
        yield from copy(self)._reading().batches((after_ms, MAX_KEY))

    @cached_property
    def _along_key(self) -> "RecordedTable":
        return RecordedTable(self.path, self._spec, self.instrument, along_key=True)

    def read_keys(self, low: int, high: int) -> Iterator[list[Row]]:
        """Yield the rows with keys from `low` to `high`, in the order of these, in lists.

        They are `(ms, order, *payload)`; what has no usable time is left out. Errors as in
        `batches`.
        """
        for raw in self._along_key._reading().batches((None, max(low - 1, -MAX_KEY))):
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
