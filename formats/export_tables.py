"""Make Arrow tables of what a pass over a recording yields: trades, levels, books, bars."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from formats.market_pass import MarketPass, Passed
from metrics.book_rows import BookRows
from metrics.level_log import LevelRows
from orderflow.events import Trade

TIME = pa.timestamp("ms", "UTC")
OHLC = ("open", "high", "low", "close")
METRIC_COLUMNS = tuple(f"{name}_{field}" for name in ("obi", "tot", "cvd") for field in OHLC)
FOOTPRINT_ROWS = 65_536
"""About how many rows of the footprint are handed on at once."""


class Table(Protocol):
    """One table: its columns, and the rows that each portion, or the end, adds to it."""

    name: str
    schema: pa.Schema

    def add(self, portion: Passed) -> Iterable[pa.RecordBatch]:
        """Return what a portion adds."""

    def finish(self, passed: MarketPass) -> Iterable[pa.RecordBatch]:
        """Return what is known at the end alone."""


def _schema(columns: Iterable[tuple[str, pa.DataType]]) -> pa.Schema:
    return pa.schema([("timestamp", TIME), *columns])


def _doubles(names: Iterable[str]) -> list[tuple[str, pa.DataType]]:
    return [(name, pa.float64()) for name in names]


def column(kind: pa.DataType, values: "array[Any]", count: int | None = None) -> pa.Array:
    """Return an array's numbers as an Arrow column, without a copy."""
    length = len(values) if count is None else count
    return pa.Array.from_buffers(kind, length, [None, pa.py_buffer(values)])


class TradesTable:
    """Each trade: `timestamp, id, trade_id, price, size, side`, as a replay takes it."""

    name = "trades"
    schema = _schema(
        [
            ("id", pa.int64()),
            ("trade_id", pa.string()),
            *_doubles(("price", "size")),
            ("side", pa.string()),
        ]
    )

    def add(self, portion: Passed) -> Iterator[pa.RecordBatch]:
        """Return the trades."""
        if portion.trades:
            ids, trade_ids, prices, sizes, sides, times = zip(*portion.trades, strict=True)
            columns = (times, ids, trade_ids, prices, sizes, sides)
            yield pa.RecordBatch.from_arrays(
                [
                    pa.array(values, field.type)
                    for values, field in zip(columns, self.schema, strict=True)
                ],
                schema=self.schema,
            )

    def finish(self, passed: MarketPass) -> Iterable[pa.RecordBatch]:
        """Return nothing."""
        return ()


class LevelsTable:
    """Each level of each book row: `timestamp, row, snapshot, side, price, size`.

    `row` counts the book rows from 0. In a row that is a `snapshot` the book is cleared first; size
    0 deletes. A snapshot without a level has a row without side, price and size.
    """

    name = "levels"
    schema = _schema(
        [
            ("row", pa.int64()),
            ("snapshot", pa.bool_()),
            ("side", pa.dictionary(pa.int8(), pa.string())),
            *_doubles(("price", "size")),
        ]
    )
    _sides = pa.array(["bid", "ask"])

    def __init__(self) -> None:
        self._rows = 0

    def add(self, portion: Passed) -> Iterator[pa.RecordBatch]:
        """Return the levels."""
        rows = portion.levels
        if not rows.rows:
            return
        first = self._rows
        self._rows += rows.rows
        begins = 0
        # An empty snapshot is a row of its own, for it empties the book; few have one.
        for place in [p for p in range(rows.rows) if rows.snapshot[p] and not _levels_in(rows, p)]:
            yield from self._batch(rows, begins, place, first)
            yield self._cleared(rows.time[place], first + place)
            begins = place + 1
        yield from self._batch(rows, begins, rows.rows, first)

    def _batch(self, rows: LevelRows, begin: int, end: int, first: int) -> Iterator[pa.RecordBatch]:
        skipped = sum(rows.counts[: 2 * begin])
        counts = rows.counts[2 * begin : 2 * end]
        total = sum(counts)
        if not total:
            return
        # One number for each side of each row, repeated for its levels.
        places = _repeated(counts, total)
        of_row = pc.shift_right(places, 1)
        stamps = column(TIME, rows.time[begin:end]).take(of_row)
        marks = pa.array(map(bool, rows.snapshot[begin:end]), pa.bool_()).take(of_row)
        sides = pc.bit_wise_and(places, 1).cast(pa.int8())
        yield pa.RecordBatch.from_arrays(
            [
                stamps,
                pc.add(of_row, first + begin),
                marks,
                pa.DictionaryArray.from_arrays(sides, self._sides),
                column(pa.float64(), rows.price[skipped : skipped + total]),
                column(pa.float64(), rows.size[skipped : skipped + total]),
            ],
            schema=self.schema,
        )

    def _cleared(self, ms: int, row: int) -> pa.RecordBatch:
        values = (ms, row, True, None, None, None)
        return pa.RecordBatch.from_arrays(
            [
                pa.array([value], field.type)
                for value, field in zip(values, self.schema, strict=True)
            ],
            schema=self.schema,
        )

    def finish(self, passed: MarketPass) -> Iterable[pa.RecordBatch]:
        """Return nothing."""
        return ()


def _levels_in(rows: LevelRows, place: int) -> int:
    return rows.counts[2 * place] + rows.counts[2 * place + 1]


def _repeated(counts: Sequence[int], total: int) -> pa.Array:
    """Return 0 as often as the first count says, 1 as often as the second, and so on."""
    ends = array("i", [0, *accumulate(counts)])
    lists = pa.ListArray.from_arrays(column(pa.int32(), ends), pa.nulls(total, pa.int8()))
    return pc.list_parent_indices(lists)


class BooksTable:
    """The best levels after each row that left neither side empty.

    `timestamp`, then `bid_price_0, bid_size_0, ask_price_0, ask_size_0` and so on; null where the
    book has no such level.
    """

    name = "books"

    def __init__(self, levels: int) -> None:
        self._levels = levels
        self.schema = _schema(
            _doubles(
                f"{side}_{what}_{level}"
                for level in range(levels)
                for side in ("bid", "ask")
                for what in ("price", "size")
            )
        )

    def add(self, portion: Passed) -> Iterator[pa.RecordBatch]:
        """Return the books."""
        books = portion.books
        if books is None or not len(books):
            return
        yield pa.RecordBatch.from_arrays(
            [column(pa.float64(), books.time).cast(pa.int64()).cast(TIME), *self._sides(books)],
            schema=self.schema,
        )

    def _sides(self, books: BookRows) -> Iterator[pa.Array]:
        count, *sides = books.levels
        for level in range(self._levels):
            for prices, sizes in (sides[:2], sides[2:]):
                of_level = column(pa.float64(), sizes[level::count])
                there = pc.greater(of_level, 0.0)
                for values in (column(pa.float64(), prices[level::count]), of_level):
                    yield pc.if_else(there, values, None)

    def finish(self, passed: MarketPass) -> Iterable[pa.RecordBatch]:
        """Return nothing."""
        return ()


class BarsTable:
    """The bars of `ohlc_data.json`: `timestamp, open, high, low, close, volume`."""

    name = "bars"
    schema = _schema(_doubles((*OHLC, "volume")))

    def add(self, portion: Passed) -> Iterable[pa.RecordBatch]:
        """Return nothing."""
        return ()

    def finish(self, passed: MarketPass) -> Iterator[pa.RecordBatch]:
        """Return all bars."""
        yield from _of_rows(self.schema, passed.processor.bars())


class MetricsTable:
    """The bars of `metrics_data.json`: `timestamp`, then open to close of OBI, TOT and CVD.

    OBI and TOT are null in the bars before the first sample.
    """

    name = "metrics"
    schema = _schema(_doubles(METRIC_COLUMNS))

    def add(self, portion: Passed) -> Iterable[pa.RecordBatch]:
        """Return nothing."""
        return ()

    def finish(self, passed: MarketPass) -> Iterator[pa.RecordBatch]:
        """Return all bars."""
        yield from _of_rows(self.schema, passed.processor.metric_bars())


def _of_rows(schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> Iterator[pa.RecordBatch]:
    if rows:
        columns = zip(*rows, strict=True)
        yield pa.RecordBatch.from_arrays(
            [
                pa.array(map(int, values) if field.name == "timestamp" else values, field.type)
                for values, field in zip(columns, schema, strict=True)
            ],
            schema=schema,
        )


class FootprintTable:
    """Volume by bar, price and taker's side: `timestamp, price, buy, sell, unknown`.

    A row for each price at which a bar has a trade, by price within the bar.
    """

    name = "footprint"
    schema = _schema(_doubles(("price", "buy", "sell", "unknown")))

    def __init__(self, window_seconds: int) -> None:
        self._window_ms = 1000 * window_seconds
        self._start: int | None = None
        self._cells: dict[float, list[float]] = {}
        self._closed: list[tuple[float, ...]] = []

    def add(self, portion: Passed) -> Iterator[pa.RecordBatch]:
        """Return bars that are over, once there are many."""
        for trade in portion.trades:
            self._add(trade)
        if len(self._closed) >= FOOTPRINT_ROWS:
            yield from self._taken()

    def _add(self, trade: Trade) -> None:
        _, _, price, size, side, ms = trade
        start = ms - ms % self._window_ms
        if start != self._start:
            self._close()
            self._start = start
        cell = self._cells.get(price)
        if cell is None:
            cell = self._cells[price] = [0.0, 0.0, 0.0]
        cell[0 if side == "buy" else 1 if side == "sell" else 2] += size

    def _close(self) -> None:
        if self._start is not None:
            self._closed += [
                (self._start, price, *volumes) for price, volumes in sorted(self._cells.items())
            ]
            self._cells = {}

    def _taken(self) -> Iterator[pa.RecordBatch]:
        taken, self._closed = self._closed, []
        yield from _of_rows(self.schema, taken)

    def finish(self, passed: MarketPass) -> Iterator[pa.RecordBatch]:
        """Return the bars that are left."""
        self._close()
        yield from self._taken()
