"""Keep the order book that a recording's rows describe.

All levels of the exchange's window are kept, in one dict a side. What is asked after every row,
the sums of the best N levels, is answered from a small sorted window of the best prices, so that
a row costs neither a sort nor a walk through the whole book.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Sequence
from heapq import nsmallest
from math import fsum, inf

from errors import LevelFormatError
from level_parser import RawSide, parse_side
from market_events import OrderbookUpdate

BOOK_MODES = ("auto", "incremental", "snapshot")
SNAPSHOT_ACTIONS = frozenset({"snapshot", "partial"})
"""The recorded actions that replace the book."""
RECOGNITION_ROWS = 32
"""How many rows with levels `recognise_book_mode` wants to see."""


class _BookSide:
    """One side of the book, keyed so that the best level has the smallest key.

    Asks are keyed by price and bids by its negative, so that one piece of code serves both.
    `_window` holds, sorted, the key of every level up to `_floor`; levels beyond are in `_sizes`
    alone. The floor is infinite while the window covers the whole side.
    """

    __slots__ = ("_depth", "_floor", "_sizes", "_sum", "_window", "_window_limit")

    def __init__(self, depth: int) -> None:
        self._depth = depth
        # Room for a net loss of levels before the window must be refilled from the whole side.
        self._window_limit = depth + max(depth, 64)
        self.clear()

    def clear(self) -> None:
        self._sizes: dict[float, float] = {}
        self._window: list[float] = []
        self._floor = inf
        self._sum: float | None = 0.0

    def __len__(self) -> int:
        return len(self._sizes)

    def apply(self, keys: list[float], row_sizes: list[float]) -> None:
        """Set the levels of a row; a size of 0 deletes."""
        sizes, window, floor = self._sizes, self._window, self._floor
        for key, size in zip(keys, row_sizes, strict=True):
            if key > floor:
                if size:
                    sizes[key] = size
                else:
                    sizes.pop(key, None)
            elif size:
                if key not in sizes:
                    insort(window, key)
                sizes[key] = size
                self._sum = None
            elif sizes.pop(key, None) is not None:
                del window[bisect_left(window, key)]
                self._sum = None
        if len(window) < self._depth and floor != inf:
            self._refill()
        elif len(window) > 2 * self._window_limit:
            self._cut(self._window_limit)

    def _refill(self) -> None:
        self._window = nsmallest(self._window_limit + 1, self._sizes)
        self._floor = inf
        self._cut(self._window_limit)

    def _cut(self, limit: int) -> None:
        if len(self._window) > limit:
            del self._window[limit:]
            self._floor = self._window[-1]

    def best_key(self) -> float:
        return self._window[0] if self._window else inf

    def best_sum(self) -> float:
        """Sum the sizes of the best `depth` levels, correctly rounded; infinite on overflow."""
        if self._sum is None:
            try:
                self._sum = fsum(map(self._sizes.__getitem__, self._window[: self._depth]))
            except OverflowError:
                self._sum = inf
        return self._sum

    def top(self, count: int) -> list[tuple[float, float]]:
        keys = self._window[:count]
        if len(keys) < count and len(keys) < len(self._sizes):
            keys = nsmallest(count, self._sizes)
        return [(key, self._sizes[key]) for key in keys]

    def best_of(self, keys: list[float]) -> float:
        """Return the best of `keys` that is in the book now, or infinity."""
        return min((key for key in keys if key in self._sizes), default=inf)

    def keys_up_to(self, key: float) -> list[float]:
        return [other for other in self._sizes if other <= key]

    def delete(self, keys: Collection[float]) -> None:
        self.apply(list(keys), [0.0] * len(keys))


class PythonOrderbookManager:
    """Rebuild one instrument's book from rows of changed levels.

    `depth_levels` is the number N of best levels a side that `update` sums. With `uncross`, when
    a row leaves the best bid at or above the best ask, the levels that cross one of the row's
    own and are older than the row are dropped.

    Counts, over all rows: `levels_rejected`; `rows_skipped`, the rows of which a side was no
    array of levels (such a row changes nothing); `crossed_books`, the rows after which the best
    bid was at or above the best ask, counted before any uncrossing.
    """

    engine = "python"

    def __init__(self, depth_levels: int = 50, *, uncross: bool = False) -> None:
        self._bids = _BookSide(depth_levels)
        self._asks = _BookSide(depth_levels)
        self._uncross = uncross
        self.levels_rejected = 0
        self.rows_skipped = 0
        self.crossed_books = 0

    def update(
        self, bids: RawSide, asks: RawSide, snapshot: bool = False
    ) -> tuple[float, float] | None:
        """Apply one row and return the sums of the best N sizes, `(bid_sum, ask_sum)`.

        Sizes are absolute, 0 deletes, and deleting what is not there is normal. A `snapshot`
        replaces the book. The sums are correctly rounded (`math.fsum`), so that any exact
        summation in any order gives the same figure; in the unit of the sizes.

        Return None when a side is empty or the row could not be parsed (see `rows_skipped`).
        """
        try:
            bid_prices, bid_sizes, bids_rejected = parse_side(bids)
            ask_prices, ask_sizes, asks_rejected = parse_side(asks)
        except LevelFormatError:
            self.rows_skipped += 1
            return None
        self.levels_rejected += bids_rejected + asks_rejected
        bid_side, ask_side = self._bids, self._asks
        if snapshot:
            self.clear()
        bid_keys = [-price for price in bid_prices]
        bid_side.apply(bid_keys, bid_sizes)
        ask_side.apply(ask_prices, ask_sizes)
        if bid_side.best_key() + ask_side.best_key() <= 0.0:
            self.crossed_books += 1
            if self._uncross:
                self._drop_older(bid_keys, ask_prices)
        if not bid_side or not ask_side:
            return None
        return bid_side.best_sum(), ask_side.best_sum()

    def _drop_older(self, bid_keys: list[float], ask_keys: list[float]) -> None:
        """Drop the levels that cross one of this row's, unless they are of this row too."""
        bids, asks = self._bids, self._asks
        crossing_asks = asks.keys_up_to(-bids.best_of(bid_keys))
        crossing_bids = bids.keys_up_to(-asks.best_of(ask_keys))
        asks.delete(set(crossing_asks) - set(ask_keys))
        bids.delete(set(crossing_bids) - set(bid_keys))

    def clear(self) -> None:
        """Empty the book, as before a snapshot."""
        self._bids.clear()
        self._asks.clear()

    @property
    def is_empty(self) -> bool:
        """Tell whether neither side holds a level."""
        return not self._bids and not self._asks

    @property
    def level_counts(self) -> tuple[int, int]:
        """Count the levels kept, `(bids, asks)`."""
        return len(self._bids), len(self._asks)

    def top_levels(self, count: int) -> tuple[list[list[float]], list[list[float]]]:
        """Return the best `count` levels a side, `([[price, size], …], …)`, bids then asks.

        Best first; a side that holds fewer gives what it has.
        """
        bids = [[-key, size] for key, size in self._bids.top(count)]
        asks = [[key, size] for key, size in self._asks.top(count)]
        return bids, asks


OrderbookManager = PythonOrderbookManager


def recognise_book_mode(rows: Iterable[OrderbookUpdate]) -> str:
    """Tell from a recording's first rows whether each is a full snapshot.

    Return `"snapshot"` when at least three rows have levels, every one has both sides, none
    deletes, and none is less than half as deep as the first; else `"incremental"`: partial
    updates hold deletions, or one side only, or far fewer levels than the book. At most
    `RECOGNITION_ROWS` rows with levels are looked at; empty and unreadable rows say nothing.
    """
    shapes = [_Shape(row) for row in rows]
    shapes = [shape for shape in shapes if shape.bids or shape.asks][:RECOGNITION_ROWS]
    full = [
        shape.is_whole and 2 * shape.bids >= shapes[0].bids and 2 * shape.asks >= shapes[0].asks
        for shape in shapes
    ]
    return "snapshot" if len(full) >= 3 and all(full) else "incremental"


def begins_with_snapshot(rows: Sequence[OrderbookUpdate]) -> bool:
    """Tell from a file's first rows whether the first is a full snapshot of the book.

    It is when its action or its `prev_seq_id` (-1) says so. Where neither is recorded, when it has
    both sides, deletes nothing and is at least twice as deep as any of the rows after it, or when
    all are full snapshots.
    """
    if not rows:
        return False
    first = rows[0]
    if first.action is not None:
        return first.action in SNAPSHOT_ACTIONS
    if first.prev_seq_id is not None:
        return first.prev_seq_id == -1
    if recognise_book_mode(rows) == "snapshot":
        return True
    shape, later = _Shape(first), [_Shape(row) for row in rows[1:]]
    return (
        shape.is_whole
        and shape.bids >= 2 * max((other.bids for other in later), default=0)
        and shape.asks >= 2 * max((other.asks for other in later), default=0)
    )


class _Shape:
    """How deep a row's sides are, and whether it could be a whole book; unreadable: depth 0."""

    def __init__(self, row: OrderbookUpdate) -> None:
        try:
            (_, bid_sizes, _), (_, ask_sizes, _) = parse_side(row.bids), parse_side(row.asks)
        except LevelFormatError:
            bid_sizes = ask_sizes = []
        self.bids, self.asks = len(bid_sizes), len(ask_sizes)
        self.is_whole = bool(bid_sizes and ask_sizes and min(*bid_sizes, *ask_sizes) > 0.0)


class SequenceCheck:
    """Follow the exchange's `seq_id`/`prev_seq_id` chain and count its gaps.

    `gaps` counts the breaks. `reliable` tells whether the book can be trusted: not from a gap (or
    a row that could not be read) until the next snapshot. Source: the sequence rules of OKX v5.
    """

    def __init__(self) -> None:
        self.gaps = 0
        self.reliable = True
        self._last: int | None = None

    def follow(self, seq_id: int, prev_seq_id: int, *, is_snapshot: bool) -> None:
        """Take the next row's ids.

        A snapshot starts the chain anew. Otherwise `prev_seq_id` must be the last row's `seq_id`,
        whether the ids grow, stay (a keep-alive) or fall (the exchange's reset); else it is a gap,
        a first row that is no snapshot included.
        """
        if is_snapshot:
            self.reliable = True
        elif prev_seq_id != self._last:
            self.gaps += 1
            self.reliable = False
        self._last = seq_id
