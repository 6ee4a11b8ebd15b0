"""The events of a replay: trades, book rows, and the samples taken of the book."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

MAX_BARS = 1000
"""Most bars of a kind that are kept, in memory and in a file."""

LevelSequence = Sequence[Sequence[object]]


class ParsedLevels(NamedTuple):
    """One side of a book row as `level_parser` reads it: its usable levels, in parallel.

    `rejected` counts the levels that were not usable; -1 stands for a side that is no levels.
    """

    prices: tuple[float, ...]
    sizes: tuple[float, ...]
    rejected: int = 0


RawSide = bytes | str | LevelSequence | ParsedLevels | None
"""One side of a book row as recorded: text of levels (see `level_parser`), levels, or parsed."""

Trade = tuple[int, str | None, float, float, str | None, int]
"""`(id, trade_id, price, size, side, timestamp_ms)`; `side` is the taker's, buy or sell."""


BookRow = tuple[int, int, RawSide, RawSide]
"""`(timestamp_ms, order, bids, asks)`, sides as recorded."""

BookSample = tuple[int, float, float]
"""`(timestamp_ms, bid_sum, ask_sum)`: the sums of the best sizes after a book row."""

Quote = tuple[float | None, float | None, float | None, float | None, float | None]
"""`(best_bid, best_ask, bid_size, ask_size, obi)` after a book row.

Prices and sizes are None where a side is empty, and so is OBI over the best levels; also where the
sizes add up to more than a double holds.
"""

time_of_row, time_of_trade = itemgetter(0), itemgetter(5)


class BookOutcome(NamedTuple):
    """What became of a list of book rows, applied one after another; rows are given by index.

    `samples` has one for each row after which neither side was empty. `skipped` are the rows of
    which a side could not be parsed: they changed nothing. `crossed` are those after which the best
    bid was at or above the best ask, before any uncrossing. `rejected` has `(index, count)` for
    each row applied without `count` of its levels, which were not usable.
    """

    samples: Sequence[BookSample]
    skipped: list[int]
    crossed: list[int]
    rejected: list[tuple[int, int]]


class OrderbookLevel(NamedTuple):
    """One price level: `price` in quote currency, absolute `size` as recorded, 0 to delete."""

    price: float
    size: float


@dataclass(frozen=True, slots=True)
class LostRows:
    """Book rows that were recorded and could not be used, so that the book may be wrong.

    `kind` is one of `orderflow.issues`. `timestamp` is the approximate time in ms, None if it is
    unknown. A `count` of 0 announces rows that are counted when they are met.
    """

    kind: str
    timestamp: int | None
    count: int = 1


class OrderbookUpdate(NamedTuple):
    """One book row and its window `[timestamp, end_timestamp)`, in ms since the epoch, UTC.

    `bids` and `asks` are as recorded (see `level_parser`), or sequences of `OrderbookLevel`; both
    are None in a window that belongs to no book row. `end_timestamp` is None in the last window,
    which is open to the end. `snapshot` says whether the row replaces the book. `seq_id` and
    `prev_seq_id` are None where they were not recorded. `lost` are rows lost just before this one.
    """

    bids: RawSide
    asks: RawSide
    timestamp: int
    end_timestamp: int | None
    id: int | None = None
    snapshot: bool = False
    seq_id: int | None = None
    prev_seq_id: int | None = None
    lost: tuple[LostRows, ...] = ()


@dataclass(frozen=True, slots=True)
class BookBatch:
    """Book rows in time order, with a column for each property of a row.

    `snapshots` says which rows replace the book. `seq_ids` and `prev_seq_ids` are None where no row
    has an id. `lost` holds `(index, lost rows)`: they were lost before `rows[index]`, or after the
    last row if `index` is the number of rows. A batch may have no rows, and still have lost ones.
    """

    rows: Sequence[BookRow]
    snapshots: Sequence[bool]
    seq_ids: Sequence[int | None] | None = None
    prev_seq_ids: Sequence[int | None] | None = None
    lost: Sequence[tuple[int, LostRows]] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, start: int, stop: int) -> "BookBatch":
        """Return the rows from index `start` to before `stop`, with what was lost before each.

        The part that reaches the end also has what was lost after the last row.
        """
        last = stop == len(self.rows)
        lost = [
            (i - start, rows) for i, rows in self.lost if start <= i < stop or (last and i == stop)
        ]
        return BookBatch(
            self.rows[start:stop],
            self.snapshots[start:stop],
            self.seq_ids and self.seq_ids[start:stop],
            self.prev_seq_ids and self.prev_seq_ids[start:stop],
            lost,
        )
