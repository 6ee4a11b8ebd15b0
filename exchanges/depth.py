"""The book as text, a view of its best levels, and what changed between two views."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from math import inf
from typing import NamedTuple

from exchanges.decimals import is_zero, order_of
from exchanges.levels import Level


class Changes(NamedTuple):
    """Levels of both sides to write over a book, in the order to apply them; size 0 deletes."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class DepthView(NamedTuple):
    """The best `depth` levels of each side, or all of them where `depth` is None; best first."""

    depth: int | None
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


Touched = dict[int, Level | None]
"""What a row wrote to, by its place in the order of prices: the level before, None for none."""


class BookSide:
    """One side of a book, sorted best first, with the text of each level as it came last.

    A level keeps the text of its price for as long as it lives, so that a price written once as
    `1.5` and once as `1.50` is one level, deleted under the name it was inserted with.
    """

    def __init__(self, *, is_bids: bool) -> None:
        self._sign = -1 if is_bids else 1
        self._levels: dict[int, Level] = {}
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self._order)

    def put(self, levels: Iterable[Level]) -> Touched:
        """Write levels over the side and return what they touched.

        Size 0 deletes a level, and deleting what is not there changes nothing.
        """
        touched: Touched = {}
        sides, order, sign = self._levels, self._order, self._sign
        for level in levels:
            key = sign * order_of(level.price)
            known = sides.get(key)
            touched.setdefault(key, known)
            if is_zero(level.size):
                if known is not None:
                    del sides[key]
                    del order[bisect_left(order, key)]
            elif known is None:
                sides[key] = level
                insort(order, key)
            else:
                sides[key] = Level(known.price, level.size, level.orders)
        return touched

    def replace(self, levels: Iterable[Level]) -> Touched:
        """Make `levels`, written over an empty side, the whole side; return what that touched."""
        before = self._levels
        self._levels, self._order = {}, []
        self.put(levels)
        return {key: before.get(key) for key in before.keys() | self._levels.keys()}

    def cut(self, depth: int) -> None:
        """Drop all but the best `depth` levels."""
        for key in self._order[depth:]:
            del self._levels[key]
        del self._order[depth:]

    def best(self, depth: int | None) -> tuple[Level, ...]:
        """Return the best `depth` levels, or all, best first."""
        levels = self._levels
        return tuple([levels[key] for key in self._order[:depth]])

    def changes(
        self, touched: Touched, depth: int | None, *, delete_fallen: bool, with_orders: bool
    ) -> tuple[Level, ...]:
        """Return what `touched` has changed within the best `depth`: see `TextBook.changes`."""
        levels, order = self._levels, self._order
        # Where the view ended before and where it ends now; beyond both nothing is of interest.
        last_before, last = self._last_before(touched, depth), _last(order, depth)
        deletes = [
            (key, old)
            for key, old in touched.items()
            if old is not None and key <= last_before and (key not in levels or key > last)
        ]
        writes = [
            key
            for key, old in touched.items()
            if key <= last
            and key in levels
            and (
                old is None
                or key > last_before
                or _differ(old, levels[key], with_orders=with_orders)
            )
        ]
        if last < last_before:
            fallen = order[depth : bisect_right(order, last_before)]
            deletes += [(key, levels[key]) for key in fallen if key not in touched]
        else:
            risen = order[bisect_right(order, last_before) : depth]
            writes += [key for key in risen if key not in touched]
        if not delete_fallen:
            deletes = [(key, old) for key, old in deletes if key < last]
        return (
            *(Level(old.price, "0", "0") for _, old in sorted(deletes)),
            *(levels[key] for key in sorted(writes)),
        )

    def _last_before(self, touched: Touched, depth: int | None) -> float:
        """Return the key that was the last of the best `depth` before `touched` was."""
        if depth is None:
            return inf
        levels, order = self._levels, self._order
        come = sorted(key for key, old in touched.items() if old is None and key in levels)
        gone = sorted(key for key, old in touched.items() if old is not None and key not in levels)
        # A level that stayed has moved by as many places as came or went before it.
        start = max(0, depth - 1 - len(gone))
        near = order[start : depth + len(come)]
        first = near[0] if near and start else -inf
        passed = start - bisect_left(come, first) + bisect_left(gone, first)
        new = set(come)
        stayed = [key for key in near if key not in new]
        return _last(sorted(stayed + gone[bisect_left(gone, first) :]), depth - passed)


def _last(order: list[int], depth: int | None) -> float:
    """Return the last of the best `depth` keys, infinity where there is room for more."""
    return inf if depth is None or len(order) < depth else order[depth - 1]


def _differ(old: Level, new: Level, *, with_orders: bool) -> bool:
    return old.size != new.size or (with_orders and old.orders != new.orders)


class TextBook:
    """A whole book of levels as text; what the recorded rows say, nothing else.

    A crossed book stays crossed: what a client does about it is its own affair.
    """

    def __init__(self) -> None:
        self._bids = BookSide(is_bids=True)
        self._asks = BookSide(is_bids=False)
        self._touched: tuple[Touched, Touched] = ({}, {})

    def __len__(self) -> int:
        return len(self._bids) + len(self._asks)

    def apply(
        self, bids: Sequence[Level], asks: Sequence[Level], *, snapshot: bool = False
    ) -> Changes:
        """Write a row into the book and return what to send to one that follows each change.

        For an update that is the row itself, for a snapshot the difference to the book before.
        """
        if snapshot:
            self._touched = self._bids.replace(bids), self._asks.replace(asks)
            return self.changes(None, delete_fallen=True)
        self._touched = self._bids.put(bids), self._asks.put(asks)
        return Changes(tuple(bids), tuple(asks))

    def changes(
        self, depth: int | None, *, delete_fallen: bool, with_orders: bool = False
    ) -> Changes:
        """Return what the last row changed within the best `depth` levels: deletes first.

        A client that has the view of before and applies them has the view of now. Deletes stand
        before inserts because clients of Kraken cut the book to its depth after each level. Each
        side is looked at by itself, so that a price that changes sides is deleted on its own.
        `delete_fallen` says whether a level that fell out of the depth, pushed out by better ones,
        is deleted too: OKX does that, Kraken leaves it to the client's cutting. `with_orders`
        counts a changed number of orders as a change.
        """
        (bids, asks), how = self._touched, {"delete_fallen": delete_fallen}
        return Changes(
            self._bids.changes(bids, depth, with_orders=with_orders, **how),
            self._asks.changes(asks, depth, with_orders=with_orders, **how),
        )

    def view(self, depth: int | None) -> DepthView:
        """Return the best `depth` levels of each side, all of them for None."""
        return DepthView(depth, self._bids.best(depth), self._asks.best(depth))


def join_changes(changes: Iterable[Changes]) -> Changes:
    """Return several changes as one: the last size of each price, in the order first changed."""
    bids: dict[int, Level] = {}
    asks: dict[int, Level] = {}
    for change in changes:
        for joined, levels in ((bids, change.bids), (asks, change.asks)):
            for level in levels:
                joined[order_of(level.price)] = level
    return Changes(tuple(bids.values()), tuple(asks.values()))
