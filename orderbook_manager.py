"""Keep the order book that a recording's rows describe.

All levels of the exchange's window are kept. What is asked after every row, the sums of the best
N levels, is answered from a small window of the best ones that is kept in order, so that a row
needs neither a sort nor a walk through the whole book; the others are in a dict, unsorted.

`OrderbookManager` is the compiled class of the same semantics where `native/` was built, else the
Python one; `engine` says which.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from itertools import chain
from math import fsum, inf
from operator import neg
from typing import Protocol

from level_parser import parse_side
from orderflow.compiled import fastest
from orderflow.errors import LevelFormatError, OrderflowError
from orderflow.events import BookOutcome, BookRow, BookSample, Quote, RawSide
from orderflow.parsed_rows import ParsedRows

BULK_LEVELS = 2000
"""A row with more levels than this on a side is sorted as a whole."""
WINDOW_MARGIN = 32
"""How many more levels than are summed a window is filled with."""


class _BookSide:
    """One side of the book, keyed so that the best level has the smallest key.

    Asks are keyed by price and bids by its negative, so that one piece of code serves both. The
    best levels, all up to `_floor`, are in two parallel lists in order, `_near` (keys) and
    `_near_sizes`; the rest are in the dict `_far`. The floor is infinite while nothing is far.
    """

    __slots__ = ("_depth", "_far", "_floor", "_most_near", "_near", "_near_sizes", "best_sum")

    def __init__(self, depth: int) -> None:
        self._depth = depth
        # Between a refill and a cut there is room for many rows; a smaller window has fewer
        # levels to keep in order.
        self._most_near = depth + 3 * WINDOW_MARGIN
        self.clear()

    def clear(self) -> None:
        # `_near` ends in infinity, so that a search never runs off its end.
        self._near: list[float] = [inf]
        self._near_sizes: list[float] = []
        self._far: dict[float, float] = {}
        self._floor = inf
        self.best_sum = 0.0

    def __len__(self) -> int:
        return len(self._near_sizes) + len(self._far)

    def __contains__(self, key: float) -> bool:
        return self.size_of(key) != 0

    def size_of(self, key: float) -> float:
        """Return the size at a key, 0 where there is none."""
        index = bisect_left(self._near, key)
        if index < len(self._near_sizes) and self._near[index] == key:
            return self._near_sizes[index]
        return self._far.get(key, 0.0)

    def apply(self, keys: Sequence[float], sizes: Sequence[float]) -> None:
        """Set the levels of a row, as many keys as sizes; a size of 0 deletes.

        `best_sum` is then the sum of the best `depth` sizes, correctly rounded, or infinite where
        it is too large for a double.
        """
        if len(keys) > BULK_LEVELS:
            self._move_all_far()
        near, near_sizes, far, floor = self._near, self._near_sizes, self._far, self._floor
        for key, size in zip(keys, sizes):  # noqa: B905 (checking the lengths costs 2 %)
            if key <= floor:
                index = bisect_left(near, key)
                if near[index] == key:
                    if size:
                        near_sizes[index] = size
                    else:
                        del near[index]
                        del near_sizes[index]
                elif size:
                    near.insert(index, key)
                    near_sizes.insert(index, size)
            elif size:
                far[key] = size
            elif key in far:
                del far[key]
        count = len(near_sizes)
        if count > self._most_near:
            self._cut()
        elif count < self._depth and floor != inf:
            self._refill()
        try:
            self.best_sum = fsum(near_sizes[: self._depth])
        except OverflowError:
            self.best_sum = inf

    def _move_all_far(self) -> None:
        """Empty the window: one sort is less work than very many insertions in order."""
        self._far.update(zip(self._near[:-1], self._near_sizes, strict=True))
        self._near[:-1] = []
        self._near_sizes.clear()
        self._floor = -inf

    def _cut(self) -> None:
        """Move all but the best levels from the lists to the dict."""
        keep = self._depth + WINDOW_MARGIN
        self._far.update(zip(self._near[keep:-1], self._near_sizes[keep:], strict=True))
        del self._near[keep:-1], self._near_sizes[keep:]
        self._floor = self._near[-2]

    def _refill(self) -> None:
        """Move the best levels of the dict to the lists."""
        wanted = self._depth + 2 * WINDOW_MARGIN - len(self._near_sizes)
        keys = sorted(self._far)[:wanted]
        self._near[-1:] = [*keys, inf]
        self._near_sizes += map(self._far.pop, keys)
        self._floor = self._near[-2] if self._far else inf

    def best_key(self) -> float:
        return self._near[0]

    def top(self, count: int) -> list[tuple[float, float]]:
        best = list(zip(self._near[:-1], self._near_sizes, strict=True))[:count]
        if len(best) < count:
            best += sorted(self._far.items())[: count - len(best)]
        return best

    def items(self) -> chain[tuple[float, float]]:
        """Return all keys with their sizes, in any order."""
        near = zip(self._near[:-1], self._near_sizes, strict=True)
        return chain(near, self._far.items())

    def best_of(self, keys: list[float]) -> float:
        """Return the best of `keys` that is in the book now, or infinity."""
        return min((key for key in keys if key in self), default=inf)

    def keys_up_to(self, key: float) -> list[float]:
        return [other for other in (*self._near[:-1], *self._far) if other <= key]

    def delete(self, keys: Collection[float]) -> None:
        self.apply(list(keys), [0.0] * len(keys))


class BookWatcher(Protocol):
    """Who is told of each row, such as `metrics.heat_columns.HeatColumns`."""

    def move_to(self, timestamp: int, book: "PythonOrderbookManager") -> None:
        """Take note that a row of this time, in ms, is about to be applied."""

    def note(self, timestamp: int, bid: float, ask: float) -> None:
        """Take note of a row that was applied, and of the best prices, 0 where a side is empty."""


class RowWatcher(Protocol):
    """Who records the book after each row, such as `metrics.book_rows.RowRecorder`."""

    def note(
        self, timestamp: int, book: "PythonOrderbookManager", bid_sum: float, ask_sum: float
    ) -> None:
        """Record the book after a row of this time, in ms, that left neither side empty."""


class LevelWatcher(Protocol):
    """Who keeps the levels of each row, such as `metrics.level_log.LevelLog`."""

    def note(
        self,
        timestamp: int,
        snapshot: bool,
        bids: tuple[Sequence[float], Sequence[float]],
        asks: tuple[Sequence[float], Sequence[float]],
    ) -> None:
        """Keep a row that was applied, each side as prices and sizes."""


class PythonOrderbookManager:
    """Rebuild one instrument's book from rows of changed levels.

    `depth_levels` is the number N of best levels a side that `update` sums. With `uncross`, when
    a row leaves the best bid at or above the best ask, the levels that cross one of the row's
    own and are older than the row are dropped.

    Counts, over all rows: `levels_rejected`; `rows_skipped`, the rows of which a side was no
    array of levels (such a row changes nothing); `crossed_books`, the rows after which the best
    bid was at or above the best ask, counted before any uncrossing.

    `columns` are told of each row given to `update_rows`, not of those given to `update`, and so is
    the `recorder` of each that left neither side empty, and the `level_log` of the levels of each.

    Raise `OrderflowError` for a depth of less than 1.
    """

    engine = "python"

    def __init__(
        self,
        depth_levels: int = 50,
        *,
        uncross: bool = False,
        columns: BookWatcher | None = None,
        recorder: RowWatcher | None = None,
        level_log: LevelWatcher | None = None,
    ) -> None:
        if depth_levels < 1:
            msg = f"depth is at least 1 level a side; found {depth_levels}"
            raise OrderflowError(msg)
        self._bids = _BookSide(depth_levels)
        self._asks = _BookSide(depth_levels)
        self._uncross = uncross
        self._columns = columns
        self._recorder = recorder
        self._level_log = level_log
        self._logged_ms: int | None = None
        self.levels_rejected = 0
        self.rows_skipped = 0
        self.crossed_books = 0

    def update(
        self, bids: RawSide, asks: RawSide, snapshot: bool = False
    ) -> tuple[float, float] | None:
        """Apply one row and return the sums of the best N sizes, `(bid_sum, ask_sum)`.

        `bids` and `asks` are sides as recorded (see `level_parser`). Sizes are absolute, 0 deletes,
        and deleting what is not there is normal. A `snapshot` replaces the book. The sums are in
        the unit of the sizes and correctly rounded (`math.fsum`), so that any exact summation in
        any order gives the same figure.

        Return None when a side is empty or the row could not be parsed (see `rows_skipped`).
        """
        try:
            return self._apply(bids, asks, snapshot)
        except LevelFormatError:
            self.rows_skipped += 1
            return None

    def update_rows(self, rows: Sequence[BookRow], snapshots: Sequence[bool]) -> BookOutcome:
        """Apply rows and return the samples after each, and which rows were odd.

        `snapshots` says for each row whether it replaces the book. A row that could not be parsed
        changes nothing, and the rows after it are applied all the same. Raise `ValueError` unless
        there are as many `snapshots` as `rows`.
        """
        samples: list[BookSample] = []
        outcome = BookOutcome(samples, [], [], [])
        apply, crossed, rejected = self._apply, self.crossed_books, self.levels_rejected
        columns, recorder = self._columns, self._recorder
        for index, (row, snapshot) in enumerate(zip(rows, snapshots, strict=True)):
            if columns is not None:
                columns.move_to(row[0], self)
            try:
                self._logged_ms = row[0]
                sums = apply(row[2], row[3], snapshot)
            except LevelFormatError:
                self.rows_skipped += 1
                outcome.skipped.append(index)
                continue
            if columns is not None:
                columns.note(row[0], *self._best_prices())
            if sums is not None:
                samples.append((row[0], *sums))
                if recorder is not None:
                    recorder.note(row[0], self, *sums)
            if self.crossed_books != crossed:
                crossed = self.crossed_books
                outcome.crossed.append(index)
            if self.levels_rejected != rejected:
                outcome.rejected.append((index, self.levels_rejected - rejected))
                rejected = self.levels_rejected
        self._logged_ms = None
        return outcome

    def quote_rows(self, rows: Sequence[BookRow], snapshots: Sequence[bool]) -> list[Quote | None]:
        """Apply rows as `update_rows` does; return the best of the book after each, and OBI.

        None stands for a row that could not be parsed.
        """
        quotes: list[Quote | None] = []
        for row, snapshot in zip(rows, snapshots, strict=True):
            skipped = self.rows_skipped
            sums = self.update(row[2], row[3], snapshot)
            quotes.append(self._quote(sums) if self.rows_skipped == skipped else None)
        return quotes

    def _quote(self, sums: tuple[float, float] | None) -> Quote:
        best = [side[0] if side else (None, None) for side in self.top_levels(1)]
        total = sum(sums) if sums else inf
        obi = (sums[0] - sums[1]) / total if sums and total < inf else None
        return best[0][0], best[1][0], best[0][1], best[1][1], obi

    def _apply(self, bids: RawSide, asks: RawSide, snapshot: bool) -> tuple[float, float] | None:
        bid_prices, bid_sizes, bids_rejected = parse_side(bids)
        ask_prices, ask_sizes, asks_rejected = parse_side(asks)
        self.levels_rejected += bids_rejected + asks_rejected
        if self._level_log is not None and self._logged_ms is not None:
            bid_levels, ask_levels = (bid_prices, bid_sizes), (ask_prices, ask_sizes)
            self._level_log.note(self._logged_ms, snapshot, bid_levels, ask_levels)
        bid_side, ask_side = self._bids, self._asks
        if snapshot:
            self.clear()
        bid_keys = list(map(neg, bid_prices))
        if bid_keys:
            bid_side.apply(bid_keys, bid_sizes)
        if ask_prices:
            ask_side.apply(ask_prices, ask_sizes)
        best_bid_key, best_ask_key = bid_side.best_key(), ask_side.best_key()
        if best_bid_key + best_ask_key <= 0.0:
            self.crossed_books += 1
            if self._uncross:
                self._drop_older(bid_keys, ask_prices)
                best_bid_key, best_ask_key = bid_side.best_key(), ask_side.best_key()
        if best_bid_key == inf or best_ask_key == inf:  # noqa: PLR1714 (a tuple costs more)
            return None
        return bid_side.best_sum, ask_side.best_sum

    def _best_prices(self) -> tuple[float, float]:
        bid_key, ask = self._bids.best_key(), self._asks.best_key()
        return -bid_key if bid_key < inf else 0.0, ask if ask < inf else 0.0

    def _drop_older(self, bid_keys: list[float], ask_keys: list[float]) -> None:
        """Drop the levels that cross one of this row's, unless they are of this row too."""
        bids, asks = self._bids, self._asks
        crossing_asks = asks.keys_up_to(-bids.best_of(bid_keys))
        crossing_bids = bids.keys_up_to(-asks.best_of(ask_keys))
        asks.delete(set(crossing_asks) - set(ask_keys))
        bids.delete(set(crossing_bids) - set(bid_keys))

    def clear(self) -> None:
        """Remove all levels, as before a snapshot; the counts stay."""
        self._bids.clear()
        self._asks.clear()

    @property
    def is_empty(self) -> bool:
        """Return whether neither side holds a level."""
        return not self._bids and not self._asks

    @property
    def level_counts(self) -> tuple[int, int]:
        """Return how many levels are kept, `(bids, asks)`."""
        return len(self._bids), len(self._asks)

    def top_levels(self, count: int) -> tuple[list[list[float]], list[list[float]]]:
        """Return the best `count` levels a side, `([[price, size], …], …)`, bids then asks.

        Best first; a side that holds fewer gives what it has.
        """
        bids = [[float(-key), float(size)] for key, size in self._bids.top(count)]
        asks = [[float(key), float(size)] for key, size in self._asks.top(count)]
        return bids, asks

    def all_levels(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        """Return all levels as `(price, size)`, bids then asks, in any order."""
        bids = [(float(-key), float(size)) for key, size in self._bids.items()]
        return bids, [(float(key), float(size)) for key, size in self._asks.items()]

    def sizes_at(
        self, bid_prices: Iterable[float], ask_prices: Iterable[float]
    ) -> tuple[list[float], list[float]]:
        """Return the sizes of the bids and of the asks at these prices, 0 where there is none."""
        bids = [float(self._bids.size_of(-price)) for price in bid_prices]
        return bids, [float(self._asks.size_of(price)) for price in ask_prices]


OrderbookManager = fastest(
    "OrderbookManager",
    PythonOrderbookManager,
    parse_side=parse_side,
    LevelFormatError=LevelFormatError,
    OrderflowError=OrderflowError,
    BookOutcome=BookOutcome,
    ParsedRows=ParsedRows,
)
