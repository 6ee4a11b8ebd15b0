"""Read a table of books with its levels parsed at once, as long as its rows are as most are.

Where a row is odd, or SQLite says anything but the next row, the table goes on to be read row by
row (`recorded_table`), from where that would have been: what comes out is the same.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from orderflow.compiled import fastest
from orderflow.errors import RecordingError
from orderflow.parsed_rows import Marks, ParsedRows
from recordings.connection import is_settled
from recordings.row_order import Row
from recordings.sqlite_library import addresses
from recordings.table_shape import TableShape

BATCH_BYTES = 4_000_000
"""About how many bytes of levels are read at once."""
FEWEST_ROWS = 16
"""A list that is full with fewer rows is read as text: parsed it would take more memory."""
HELD_BYTES = 16_000_000
"""About how many bytes of levels are held back at most, to sort them."""

BookReader: Any = fastest("BookReader", None)
RowReader: Any = fastest("RowReader", None)
merged_rows: Any = fastest("merged_rows", None)


def rows_held_back(rows: int, size: int) -> int:
    """Return how many rows may be held back when that many of them had `size` bytes."""
    return HELD_BYTES * rows // (size + 1) + 1


class HeldRows:
    """Put parsed rows into time order as `ReorderBuffer` does with rows, in the same steps."""

    def __init__(self) -> None:
        self.released: Row = ()
        self.late_times: list[int] = []
        self._chunks: deque[ParsedRows] = deque()
        self._count = 0

    def push(self, rows: ParsedRows, keep: int, *, in_order: bool) -> Iterator[ParsedRows]:
        """Take the next rows and yield, oldest first, what is now in order: all but `keep`.

        `in_order` says that none of the rows is earlier than the one before it.
        """
        if not in_order:
            rows = _rows_of(merged_rows([rows]))
        late = bisect_left(range(len(rows)), self.released, key=partial(_position, rows))
        self.late_times += rows.times[:late]
        if late < len(rows):
            self._hold(rows[late:] if late else rows)
        return self._release(keep)

    def _hold(self, rows: ParsedRows) -> None:
        self._count += len(rows)
        if self._chunks and _position(rows, 0) < _position(self._chunks[-1], -1):
            rows = _rows_of(merged_rows([*self._chunks, rows]))
            self._chunks.clear()
        self._chunks.append(rows)

    def _release(self, keep: int) -> Iterator[ParsedRows]:
        ready = []
        while self._count > keep:
            chunk, spare = self._chunks.popleft(), self._count - keep
            if spare < len(chunk):
                self._chunks.appendleft(chunk[spare:])
                chunk = chunk[:spare]
            self._count -= len(chunk)
            ready.append(chunk)
        if ready:
            self.released = _position(ready[-1], -1)
            # One list, as of text: what is late depends on how far others were given out by then.
            yield ready[0] if len(ready) == 1 else _rows_of(merged_rows(ready))

    def flush(self) -> Iterator[ParsedRows]:
        """Yield all that is held back."""
        yield from self._release(0)

    def rows(self) -> list[Row]:
        """Return what is held back, row by row."""
        return [row for chunk in self._chunks for row in chunk]


def _position(rows: ParsedRows, place: int) -> Row:
    return rows.times[place], rows.ids[place]


class ParsedReading:
    """One reading of a table of books, of `shape`, by compiled code.

    After `batches` has ended, `whole` says whether that was all. If not, `last` is the time and key
    of the last row read, None for none, and `total` their number; those `held` were not yielded.
    `disordered` says that it ends where the next row lies before it, as only damage does it.
    """

    def __init__(self, path: Path, shape: TableShape, on_change: Callable[[], None]) -> None:
        self.whole = self.disordered = False
        self.last: Row | None = None
        self.total = 0
        self.held = HeldRows()
        self.held_back = shape.spec.reorder
        self._path, self._shape = path, shape
        self._check_unchanged = on_change

    def batches(self) -> Iterator[ParsedRows]:
        """Yield rows in time order, in the lists in which `RecordedTable.batches` reads them.

        Raise what `on_change` does, when all that was read before has been yielded.
        """
        reader = self._reader()
        if reader is None:
            return
        spec, is_sorted = self._shape.spec, self._shape.exact
        with closing(reader):
            while (columns := reader.read(spec.batch, BATCH_BYTES)) is not None:
                try:
                    self._check_unchanged()
                except RecordingError:
                    yield from self.held.flush()
                    raise
                rows = _rows_of(columns)
                if reader.size >= BATCH_BYTES and len(rows) < FEWEST_ROWS:
                    break
                if len(rows):
                    self.last = _position(rows, -1)
                    self.total += len(rows)
                    self.held_back = min(rows_held_back(len(rows), reader.size), spec.reorder)
                    keep = 0 if is_sorted else self.held_back
                    yield from self.held.push(rows, keep, in_order=reader.in_order)
                if reader.ended or reader.keys_disordered:
                    self.disordered = reader.keys_disordered
                    self.whole = reader.ended and self.total > 0
                    break
        if self.whole or self.disordered:
            yield from self.held.flush()

    def _reader(self) -> Any:
        """Return a reader of a file that nobody writes, and that has the order of its keys."""
        shape = self._shape
        ordered = shape.ties_by_key and not shape.descending and (shape.exact or not shape.indexed)
        if not (ordered and shape.is_utf8 and is_settled(self._path)):
            return None
        return open_reader(
            BookReader, self._path, shape, marked=shape.has_trailing, by_time=shape.indexed
        )


def open_reader(reader: Any, path: Path, shape: TableShape, **how: bool) -> Any:
    """Return a compiled reader of a whole table of an immutable file; None where there is none."""
    found = addresses() if reader else None
    if not found:
        return None
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    return reader(
        found, uri.encode(), shape.whole_sql.encode(), shape.instrument, shape.spec.max_value, **how
    )


def _rows_of(columns: dict[str, Any]) -> ParsedRows:
    marks = None
    if "actions" in columns:
        marks = Marks(columns["actions"], columns["seq_ids"], columns["prev_seq_ids"])
    return ParsedRows(
        columns["times"], columns["ids"], None, columns["starts"], columns["bid_levels"],
        columns["prices"], columns["sizes"], columns["rejected"], columns["states"], marks,
    )  # fmt: skip
