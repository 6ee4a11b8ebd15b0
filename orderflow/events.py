"""The events of a replay: trades, book rows, and the samples taken of the book."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

LevelSequence = Sequence[Sequence[object]]
RawSide = bytes | str | LevelSequence | None
"""One side of a book row as recorded: text of levels (see `level_parser`), or levels."""

Trade = tuple[int, str | None, float, float, str | None, int]
"""`(id, trade_id, price, size, side, timestamp_ms)`; `side` is the taker's, buy or sell."""


BookRow = tuple[Any, ...]
"""`(timestamp_ms, order, bids, asks)`, sides as recorded, and, where any of them was recorded, also
`action, seq_id, prev_seq_id`: the action in lower case, the ids integers, None what is missing.
The rows of one list have the same fields."""

BookSample = tuple[int, float, float]
"""`(timestamp_ms, bid_sum, ask_sum)`: the sums of the best sizes after a book row."""


class BookOutcome(NamedTuple):
    """What became of a list of book rows, applied one after another; places are indexes of it.

    `samples` has one for each row after which neither side was empty. `skipped` are the rows of
    which a side could not be parsed: they changed nothing. `crossed` are those after which the best
    bid was at or above the best ask, before any uncrossing. `rejected` has `(index, count)` for
    each row applied without `count` of its levels, which were not usable.
    """

    samples: Sequence[BookSample]
    skipped: list[int]
    crossed: list[int]
    rejected: list[tuple[int, int]]


SNAPSHOT_ACTIONS = frozenset({"snapshot", "partial"})
"""The recorded actions that replace the book."""

time_of_trade = itemgetter(5)


class OrderbookLevel(NamedTuple):
    """One price level: `price` in quote currency, absolute `size` as recorded, 0 to delete."""

    price: float
    size: float


class OrderbookUpdate(NamedTuple):
    """One book row and its window `[timestamp, end_timestamp)`, in ms since the epoch, UTC.

    `bids` and `asks` are as recorded (see `level_parser`), or sequences of `OrderbookLevel`; both
    are None in a window that belongs to no book row. `end_timestamp` is None in the last window,
    which is open to the end. `action` (lower case), `seq_id` and `prev_seq_id` are None where they
    were not recorded.
    """

    bids: RawSide
    asks: RawSide
    timestamp: int
    end_timestamp: int | None
    id: int | None = None
    action: str | None = None
    seq_id: int | None = None
    prev_seq_id: int | None = None
