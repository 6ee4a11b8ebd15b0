"""Keep what metrics need of the book after each row, in columns and not as an object a row."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import fsum, inf
from typing import NamedTuple, Protocol

from orderflow.compiled import fastest

ROUNDING = 2.0**-50
"""So small a share of a price is rounding: 1.001 times 30000 is below 30030."""

Columns = list["array[float]"]
Pair = tuple["array[float]", "array[float]"]
"""A column of the bids and one of the asks."""
Best = list[list[float]]


class Needs(NamedTuple):
    """What is to be kept of the book after each row, beside the best prices and their sizes.

    `depths`: the sums of the best so many sizes a side, one for each. `levels`: the best so many
    levels. `ranges`: the sums of the sizes within so many basis points of the mid, one for each.
    """

    depths: tuple[int, ...] = ()
    levels: int = 0
    ranges: tuple[float, ...] = ()

    def joined(self, other: "Needs") -> "Needs":
        """Return what covers both."""
        return Needs(
            tuple(sorted({*self.depths, *other.depths})),
            max(self.levels, other.levels),
            tuple(sorted({*self.ranges, *other.ranges})),
        )


class BookLevels(NamedTuple):
    """The best `per_row` levels a side after each row: of row i, those from i * `per_row` on.

    A bid that is not there has price 0 and an ask infinity, the worst there are; both have size 0.
    """

    per_row: int
    bid_price: "array[float]"
    bid_size: "array[float]"
    ask_price: "array[float]"
    ask_size: "array[float]"


@dataclass(frozen=True, slots=True)
class BookRows:
    """The book after each of some rows that left neither side empty, in time order, in columns.

    `time` is in ms. `bid_sum` and `ask_sum` are over the depth of the run. `sums` and `within` have
    what was asked for by `Needs`, by depth and by basis points.
    """

    time: "array[float]"
    bid: "array[float]"
    bid_size: "array[float]"
    ask: "array[float]"
    ask_size: "array[float]"
    bid_sum: "array[float]"
    ask_sum: "array[float]"
    levels: BookLevels
    sums: dict[int, Pair] = field(default_factory=dict)
    within: dict[float, Pair] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time)

    def part(self, start: int, stop: int) -> "BookRows":
        """Return the rows from `start` to before `stop`."""
        if start == 0 and stop == len(self.time):
            return self
        count, *levels = self.levels
        return BookRows(
            self.time[start:stop],
            self.bid[start:stop],
            self.bid_size[start:stop],
            self.ask[start:stop],
            self.ask_size[start:stop],
            self.bid_sum[start:stop],
            self.ask_sum[start:stop],
            BookLevels(count, *(column[start * count : stop * count] for column in levels)),
            {depth: _part(pair, start, stop) for depth, pair in self.sums.items()},
            {bp: _part(pair, start, stop) for bp, pair in self.within.items()},
        )


def _part(pair: Pair, start: int, stop: int) -> Pair:
    return pair[0][start:stop], pair[1][start:stop]


class Book(Protocol):
    """The book that rows were applied to."""

    def top_levels(self, count: int) -> tuple[Best, Best]:
        """Return the best `count` levels `[price, size]` a side, bids then asks."""

    def all_levels(self) -> tuple[Sequence[tuple[float, float]], Sequence[tuple[float, float]]]:
        """Return all levels `(price, size)`, bids then asks."""


class PythonRowRecorder:
    """Record the book after each row, as far as `depths`, `levels` and `ranges` ask for (`Needs`).

    It is given to an `OrderbookManager`, whose `update_rows` feeds it, and must be emptied with
    `take` after each call of that.
    """

    def __init__(
        self, depths: Sequence[int] = (), levels: int = 0, ranges: Sequence[float] = ()
    ) -> None:
        self._depths = tuple(depths)
        self._levels = levels
        self._ranges = tuple(ranges)
        self._wanted = max([1, levels, *depths])
        self._clear()

    def _clear(self) -> None:
        self._plain = [array("d") for _ in range(7)]
        self._sums = [array("d") for _ in range(2 * len(self._depths))]
        self._within = [array("d") for _ in range(2 * len(self._ranges))]
        self._level_columns = [array("d") for _ in range(4)]

    def note(self, timestamp: int, book: Book, bid_sum: float, ask_sum: float) -> None:
        """Record the book after a row that left neither side empty."""
        bids, asks = book.top_levels(self._wanted)
        row = (timestamp, *bids[0], *asks[0], bid_sum, ask_sum)
        for column, value in zip(self._plain, row, strict=True):
            column.append(value)
        for place, depth in enumerate(self._depths):
            self._sums[2 * place].append(_sum(size for _, size in bids[:depth]))
            self._sums[2 * place + 1].append(_sum(size for _, size in asks[:depth]))
        self._note_levels(bids, asks)
        if self._ranges:
            self._note_ranges(book, (bids[0][0] + asks[0][0]) / 2)

    def _note_levels(self, bids: Best, asks: Best) -> None:
        for side, none, first in ((bids, 0.0, 0), (asks, inf, 2)):
            best = side[: self._levels]
            best = best + [[none, 0.0]] * (self._levels - len(best))
            self._level_columns[first].extend([price for price, _ in best])
            self._level_columns[first + 1].extend([size for _, size in best])

    def _note_ranges(self, book: Book, mid: float) -> None:
        bids, asks = book.all_levels()
        for place, points in enumerate(self._ranges):
            low, high = range_around(mid, points)
            # Of a crossed book bids may be above the range, and asks below it.
            for side, levels in enumerate((bids, asks)):
                within = (size for price, size in levels if low <= price <= high)
                self._within[2 * place + side].append(_sum(within))

    def take(self) -> tuple[Columns, Columns, Columns, Columns]:
        """Return the columns recorded, and begin anew.

        They are time, best prices and sizes and sums; bids and asks of each depth; bids and asks of
        each range; prices and sizes of the levels, bids then asks.
        """
        taken = self._plain, self._sums, self._within, self._level_columns
        self._clear()
        return taken


def range_around(mid: float, points: float) -> tuple[float, float]:
    """Return the prices `points` basis points below and above `mid`, which belong to the range."""
    share = points / 10_000.0
    return mid * (1.0 - share - ROUNDING), mid * (1.0 + share + ROUNDING)


def _sum(sizes: Iterable[float]) -> float:
    """Return the sum, correctly rounded, or infinity where no double is as large."""
    try:
        return fsum(sizes)
    except OverflowError:
        return inf


RowRecorder = fastest("RowRecorder", PythonRowRecorder)


def rows_of(recorder: PythonRowRecorder, needs: Needs) -> BookRows:
    """Take what was recorded out of a recorder that was made for `needs`."""
    plain, sums, within, levels = recorder.take()
    time, bid, bid_size, ask, ask_size, bid_sum, ask_sum = plain
    return BookRows(
        time,
        bid,
        bid_size,
        ask,
        ask_size,
        bid_sum,
        ask_sum,
        BookLevels(needs.levels, *levels),
        {depth: (sums[2 * i], sums[2 * i + 1]) for i, depth in enumerate(needs.depths)},
        {bp: (within[2 * i], within[2 * i + 1]) for i, bp in enumerate(needs.ranges)},
    )
