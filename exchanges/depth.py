"""The book as text, a view of its best levels, and what changed between two views."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
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


EMPTY_VIEW = DepthView(None, (), ())


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

    def put(self, level: Level) -> None:
        """Write one level: size 0 deletes it, and deleting what is not there changes nothing."""
        key = self._sign * order_of(level.price)
        known = self._levels.get(key)
        if is_zero(level.size):
            if known is not None:
                del self._levels[key]
                del self._order[bisect_left(self._order, key)]
        elif known is None:
            self._levels[key] = level
            insort(self._order, key)
        else:
            self._levels[key] = Level(known.price, level.size, level.orders)

    def replace(self, levels: Iterable[Level]) -> None:
        """Make `levels` the whole side."""
        self._levels = {
            self._sign * order_of(level.price): level for level in levels if not is_zero(level.size)
        }
        self._order = sorted(self._levels)

    def cut(self, depth: int) -> None:
        """Drop all but the best `depth` levels."""
        for key in self._order[depth:]:
            del self._levels[key]
        del self._order[depth:]

    def best(self, depth: int | None) -> tuple[Level, ...]:
        """Return the best `depth` levels, or all, best first."""
        levels = self._levels
        return tuple([levels[key] for key in self._order[:depth]])


class TextBook:
    """A whole book of levels as text; what the recorded rows say, nothing else.

    A crossed book stays crossed: what a client does about it is its own affair.
    """

    def __init__(self) -> None:
        self._bids = BookSide(is_bids=True)
        self._asks = BookSide(is_bids=False)

    def __len__(self) -> int:
        return len(self._bids) + len(self._asks)

    def apply(
        self, bids: Sequence[Level], asks: Sequence[Level], *, snapshot: bool = False
    ) -> Changes:
        """Write a row into the book and return what to send to one that follows each change.

        For an update that is the row itself, for a snapshot the difference to the book before.
        """
        if not snapshot:
            for side, levels in ((self._bids, bids), (self._asks, asks)):
                for level in levels:
                    side.put(level)
            return Changes(tuple(bids), tuple(asks))
        before = self.view(None)
        self._bids.replace(bids)
        self._asks.replace(asks)
        return difference(before, self.view(None), delete_fallen=True)

    def view(self, depth: int | None) -> DepthView:
        """Return the best `depth` levels of each side, all of them for None."""
        return DepthView(depth, self._bids.best(depth), self._asks.best(depth))


def difference(
    old: DepthView, new: DepthView, *, delete_fallen: bool, with_orders: bool = False
) -> Changes:
    """Return the changes that make the old view the new one: deletes first on each side.

    Deletes stand before inserts because clients of Kraken cut the book to its depth after each
    level. Each side is looked at by itself, so that a price that changes sides is deleted on its
    own. `delete_fallen` says whether a level that fell out of the depth, pushed out by better
    ones, is deleted too: OKX does that, Kraken leaves it to the client's cutting. `with_orders`
    counts a changed number of orders as a change. Both views must be of one depth.
    """
    bids = _side_difference(old.bids, new.bids, -1, new.depth, delete_fallen, with_orders)
    asks = _side_difference(old.asks, new.asks, 1, new.depth, delete_fallen, with_orders)
    return Changes(bids, asks)


def _side_difference(
    old: tuple[Level, ...],
    new: tuple[Level, ...],
    sign: int,
    depth: int | None,
    delete_fallen: bool,
    with_orders: bool,
) -> tuple[Level, ...]:
    before = {level.price: level for level in old}
    after = {level.price for level in new}
    gone = [level.price for level in old if level.price not in after]
    if not delete_fallen and len(new) == depth and new:
        worst = sign * order_of(new[-1].price)
        gone = [price for price in gone if sign * order_of(price) < worst]
    written = [
        level
        for level in new
        if (known := before.get(level.price)) is None
        or known.size != level.size
        or (with_orders and known.orders != level.orders)
    ]
    return (*(Level(price, "0", "0") for price in gone), *written)


def join_changes(changes: Iterable[Changes]) -> Changes:
    """Return several changes as one: the last size of each price, in the order first changed."""
    bids: dict[int, Level] = {}
    asks: dict[int, Level] = {}
    for change in changes:
        for joined, levels in ((bids, change.bids), (asks, change.asks)):
            for level in levels:
                joined[order_of(level.price)] = level
    return Changes(tuple(bids.values()), tuple(asks.values()))
