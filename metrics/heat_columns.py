"""Keep columns of resting size by price row: what a heatmap of the book is drawn from.

A column is the book at its end. There are five rings of columns, each with columns four times as
long, and rows twice as high, as the one before. docs/flow-files.md has the rules in full.

`HeatColumns` is the compiled class of the same results where `native/` was built. It keeps sums of
the rows up to date with each changed level, where the Python one walks the book for each column.
"""

import struct
from array import array
from collections import deque
from collections.abc import Iterable
from math import inf, log10
from typing import NamedTuple, Protocol

from metrics.last_entries import LastEntries
from metrics.price_grid import TICK_ERROR, PriceGrid
from orderflow.compiled import fastest

COLUMN_MS = 250
LEVELS = 5
COLUMNS = 1024
"""Columns kept of each level."""
ROWS = 400
BEST_CHANGES = 20_000
ROW_SHARE = 1.6e-5
"""The least height of the finest rows, as a share of the mid."""
STEP = 100
"""The range of rows moves by so many."""
MAX_LOTS = float(2**51)
"""The book has at most so many lots, so that sums of them are exact in a double."""
MAX_MID = 2**46
"""In halves of a tick; one that would be higher in a finer tick is forgotten."""
MAX_UPDATES = 65_535
FINEST_LOT = 15
"""Lots have at most so many decimals."""
NEGATIVE = 0x8000
LARGEST = 0x7F7F


class Levels(Protocol):
    """What a column needs of a book."""

    def all_levels(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """Return all bids and all asks as `(price, size)`, unsorted."""


class Column(NamedTuple):
    """A column: price of its lower edge, height of a row, best prices, rows seen, and cells."""

    low: float
    row: float
    bid: float
    ask: float
    updates: int
    cells: bytes


class Picture(NamedTuple):
    """A book as sums: lots by the finest row, bids and asks, and what a column says beside them."""

    bids: dict[int, float]
    asks: dict[int, float]
    bid: float
    ask: float
    mid: int


def to_bfloat16(size: float) -> int:
    """Return the upper 16 bits of a size as float32, rounded to nearest, ties to even."""
    try:
        bits = int(struct.unpack("<I", struct.pack("<f", size))[0])
    except OverflowError:
        return LARGEST
    return min((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16, LARGEST)


def finest_row(share: float) -> int:
    """Return the least of 1, 2, 5, 10, 20, … that is at least `share`."""
    power = 10 ** max(int(log10(share)) - 1, 0) if share > 1.0 else 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= share:
                return factor * power
        power *= 10


class Ring:
    """The last columns of a level, without holes; `first` is the number of the oldest."""

    def __init__(self) -> None:
        self.first = 0
        self.columns: deque[Column] = deque(maxlen=COLUMNS)

    def put(self, number: int, column: Column, after: int) -> None:
        """Add the column `number`, and repeat it without updates up to before `after`."""
        self.columns.append(column)
        self.columns.extend([column._replace(updates=0)] * min(after - number - 1, COLUMNS))
        self.first = after - len(self.columns)


class PythonHeatColumns:
    """Keep the columns of the rows from `start_ms` on, at ms since the epoch.

    Give each row's time before it is applied, to `move_to`, and the best prices after it, to
    `note`; times must not go back. `grid` is the tick size, which the book refines at each column's
    end. Without `heat` only the best prices are kept, and there is no column.
    """

    def __init__(self, grid: PriceGrid, start_ms: int = -1, heat: bool = True) -> None:
        self._grid = grid
        self._rings = [Ring() for _ in range(LEVELS)]
        self._updates = [0] * LEVELS
        self._number: int | None = None  # of the finest column in progress
        self._end: float = max(start_ms, 0) if heat else inf
        self._start = start_ms
        self._best = 0.0, 0.0
        self._changes = LastEntries("ddd", BEST_CHANGES)
        self._lot_decimals = 0
        self._mid = 0  # twice the mid, in ticks
        self._tick = 0, 0
        self._row = 0  # of the finest level, in ticks
        self._row_mid = 0.0  # for which the rows were chosen
        self._shifts = [0] * LEVELS

    def move_to(self, timestamp: int, book: Levels) -> None:
        """Finish the columns that end at or before the time of the next row."""
        if timestamp < self._end:
            return
        number = timestamp // COLUMN_MS
        if self._number is not None:
            self._close(number, book)
        self._number = number
        self._end = (number + 1) * COLUMN_MS

    def note(self, timestamp: int, bid: float, ask: float) -> None:
        """Note a row that was applied and the best prices after it, 0 where a side is empty."""
        if timestamp < self._start:
            return
        self._updates = [updates + 1 for updates in self._updates]
        if (bid, ask) != self._best:
            self._best = bid, ask
            self._changes.add((float(timestamp), bid, ask))

    def finish(self, book: Levels) -> None:
        """Look at the book as at a column's end, since no further row comes."""
        if self._number is not None:
            self._look(book, fit=True)

    def _close(self, number: int, book: Levels) -> None:
        picture = None
        for level, ring in enumerate(self._rings):
            current, after = self._number_at(level), number >> 2 * level
            if current == after:
                return
            if level == 0:
                picture = self._look(book, fit=True)
            if picture is not None:
                ring.put(current, self._column(level, picture), after)
            self._updates[level] = 0

    def _number_at(self, level: int) -> int:
        return (self._number or 0) >> 2 * level

    def _look(self, book: Levels, *, fit: bool) -> Picture | None:
        """Return the book as sums; None where it has had no level yet.

        Only where `fit`, tick and rows are made to fit the book: at a column's end.
        """
        self._follow_tick()
        bids, asks = book.all_levels()
        if bids or asks:
            if fit:
                self._grid.fit(price for price, _ in (*bids, *asks))
                self._follow_tick()
                self._fit_rows(bids, asks)
            self._fit_lots([size for _, size in (*bids, *asks)])
        if not self._row:
            return None
        bid, ask = max(bids, default=(0.0,))[0], min(asks, default=(0.0,))[0]
        return Picture(self._sums(bids), self._sums(asks), bid, ask, self._mid_of(bid, ask))

    def _mid_of(self, bid: float, ask: float) -> int:
        if bid and ask:
            return self._grid.ticks_of(bid) + self._grid.ticks_of(ask)
        return self._mid or 2 * self._grid.ticks_of(bid or ask)

    def _fit_lots(self, sizes: list[float]) -> None:
        """Choose the decimals of a lot: all that the sizes have, as far as sums stay exact."""
        total = sum(sizes)  # infinite where it is too large for a double

        def fits(size: float) -> bool:
            lots = size * 10.0**self._lot_decimals
            return lots >= MAX_LOTS or abs(lots - round(lots)) <= lots * TICK_ERROR

        while (
            self._lot_decimals < FINEST_LOT and total * 10.0 ** (self._lot_decimals + 1) < MAX_LOTS
        ):
            if all(map(fits, sizes)):
                break
            self._lot_decimals += 1
        while total * 10.0**self._lot_decimals >= MAX_LOTS and self._lot_decimals > -300:
            self._lot_decimals -= 1

    def _follow_tick(self) -> None:
        grid, tick = self._grid, (self._grid.units, self._grid.decimals)
        if self._tick != tick:
            finer = grid.ticks_in(*self._tick) if self._row else 1
            if self._mid * finer > MAX_MID:
                finer, self._row_mid = 0, 0.0
            self._row *= finer
            self._mid *= finer
            self._tick = tick

    def _fit_rows(self, bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> None:
        grid = self._grid
        self._mid = self._mid_of(max(bids, default=(0.0,))[0], min(asks, default=(0.0,))[0])
        mid = grid.price_of(self._mid / 2)
        if not self._row_mid / 2 <= mid <= self._row_mid * 2:
            self._row_mid = mid
            share = ROW_SHARE * mid * grid.ticks_per_price
            self._row = finest_row(share)
            for level in range(LEVELS):
                shift = 0
                while self._row * 2**shift < share * 2**level:
                    shift += 1
                self._shifts[level] = shift

    def _sums(self, levels: Iterable[tuple[float, float]]) -> dict[int, float]:
        sums: dict[int, float] = {}
        scale, ticks_of, height = 10.0**self._lot_decimals, self._grid.ticks_of, self._row
        for price, size in levels:
            row = ticks_of(price) // height
            sums[row] = sums.get(row, 0.0) + round(size * scale)
        return sums

    def _column(self, level: int, picture: Picture) -> Column:
        shift, grid = self._shifts[level], self._grid
        middle = picture.mid // (2 * self._row) >> shift
        base = max(middle // STEP * STEP - 3 * STEP // 2, 0)
        bids, asks = ([0.0] * ROWS for _ in range(2))
        for sums, cells in ((picture.bids, bids), (picture.asks, asks)):
            for row, lots in sums.items():
                if 0 <= (place := (row >> shift) - base) < ROWS:
                    cells[place] += lots
        scale = 10.0**self._lot_decimals
        found = array("H", [0]) * ROWS
        for place, (bid, ask) in enumerate(zip(bids, asks, strict=True)):
            if bid or ask:
                sign = 0 if bid >= ask else NEGATIVE
                found[place] = to_bfloat16(max(bid, ask) / scale) | sign
        height = self._row << shift
        updates = min(self._updates[level], MAX_UPDATES)
        return Column(
            grid.price_of(base * height),
            grid.price_of(height),
            picture.bid,
            picture.ask,
            updates,
            found.tobytes(),
        )

    def ring(self, level: int, book: Levels) -> tuple[int, dict[str, bytes]]:
        """Return the number of the first column of a level, and arrays of all.

        `low`, `row`, `bid` and `ask` are float64, `updates` and `cells` uint16. The last column is
        the one in progress.
        """
        ring = self._rings[level]
        columns, first = list(ring.columns), ring.first
        if self._number is not None and (picture := self._look(book, fit=False)):
            columns = [*columns, self._column(level, picture)][-COLUMNS:]
            first = self._number_at(level) + 1 - len(columns)
        heads = {
            "low": [column.low for column in columns],
            "row": [column.row for column in columns],
            "bid": [column.bid for column in columns],
            "ask": [column.ask for column in columns],
        }
        arrays = {name: array("d", values).tobytes() for name, values in heads.items()}
        arrays["updates"] = array("H", (column.updates for column in columns)).tobytes()
        arrays["cells"] = b"".join(column.cells for column in columns)
        return first, arrays

    def best_changes(self) -> tuple[int, dict[str, bytes]]:
        """Return how many changes came before the first one kept, and `time`, `bid` and `ask`."""
        first, (time, bid, ask) = self._changes.arrays()
        return first, {"time": time, "bid": bid, "ask": ask}


HeatColumns = fastest("HeatColumns", PythonHeatColumns)
