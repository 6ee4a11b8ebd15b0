"""The book as text, a view of its best levels, and what changed between two views.

`TextBook` is the compiled class of the same semantics where `native/` was built, else the Python
one; `engine` says which.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from exchanges.decimals import is_zero, most_decimals, order_of
from exchanges.level_form import LevelForm, Sides, write_levels
from exchanges.levels import Level, read_side
from orderflow.compiled import fastest
from orderflow.errors import LevelFormatError
from orderflow.events import RawSide


class Changes(NamedTuple):
    """Levels of both sides to write over a book, in the order to apply them; size 0 deletes."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class DepthView(NamedTuple):
    """The best `depth` levels of each side, or all of them where `depth` is None; best first."""

    depth: int | None
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


def write_sides(levels: Changes | DepthView, form: LevelForm) -> Sides:
    """Return the text of both sides."""
    return write_levels(levels.bids, form), write_levels(levels.asks, form)


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
        """Return what `touched` changed within the best `depth`: see `PythonTextBook.changes`."""
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


class PythonTextBook:
    """A whole book of levels as text; what the recorded rows say, nothing else.

    A crossed book stays crossed: what a client does about it is its own affair. `rejected` counts
    the unusable levels of the last row, `unreadable` its sides that are no levels at all;
    `price_decimals` and `size_decimals` are the most that a level read so far has.
    """

    engine = "python"

    def __init__(self) -> None:
        self.rejected = self.unreadable = 0
        self.price_decimals = self.size_decimals = 0
        self._bids = BookSide(is_bids=True)
        self._asks = BookSide(is_bids=False)
        self._touched: tuple[Touched, Touched] = ({}, {})
        self._row = Changes((), ())
        self._snapshot = False

    def __len__(self) -> int:
        return len(self._bids) + len(self._asks)

    def read(self, bids: RawSide, asks: RawSide, *, snapshot: bool = False) -> None:
        """Write a row as it was recorded into the book, and count what of it is of no use.

        A side that can't be read is an empty one.
        """
        self.rejected = self.unreadable = 0
        self._apply(self._levels(bids), self._levels(asks), snapshot=snapshot)

    def apply(
        self, bids: Iterable[Level], asks: Iterable[Level], *, snapshot: bool = False
    ) -> None:
        """Write the levels of a row into the book; a snapshot replaces it."""
        self.rejected = self.unreadable = 0
        self._apply(tuple(bids), tuple(asks), snapshot=snapshot)

    def _apply(self, bids: tuple[Level, ...], asks: tuple[Level, ...], *, snapshot: bool) -> None:
        self._row, self._snapshot = Changes(bids, asks), snapshot
        if snapshot:
            self._touched = self._bids.replace(bids), self._asks.replace(asks)
        else:
            self._touched = self._bids.put(bids), self._asks.put(asks)

    def _levels(self, raw: RawSide) -> tuple[Level, ...]:
        try:
            levels, rejected = read_side(raw)
        except LevelFormatError:
            self.unreadable += 1
            return ()
        self.rejected += rejected
        if levels:
            prices, sizes, _ = zip(*levels, strict=True)
            self.price_decimals = max(self.price_decimals, most_decimals(prices))
            self.size_decimals = max(self.size_decimals, most_decimals(sizes))
        return tuple(levels)

    def row_changes(self) -> Changes:
        """Return what to send to one that follows each change.

        For an update that is the row itself, for a snapshot the difference to the book before.
        """
        return self.changes(None, delete_fallen=True) if self._snapshot else self._row

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
        _check_depth(depth)
        (bids, asks), how = self._touched, {"delete_fallen": delete_fallen}
        return Changes(
            self._bids.changes(bids, depth, with_orders=with_orders, **how),
            self._asks.changes(asks, depth, with_orders=with_orders, **how),
        )

    def changes_text(
        self, depth: int | None, form: LevelForm, *, delete_fallen: bool, with_orders: bool = False
    ) -> Sides | None:
        """Return the text of `changes`; None where nothing has changed."""
        found = self.changes(depth, delete_fallen=delete_fallen, with_orders=with_orders)
        return write_sides(found, form) if found.bids or found.asks else None

    def view(self, depth: int | None) -> DepthView:
        """Return the best `depth` levels of each side, all of them for None."""
        _check_depth(depth)
        return DepthView(depth, self._bids.best(depth), self._asks.best(depth))

    def view_text(self, depth: int | None, form: LevelForm) -> Sides:
        """Return the text of `view`."""
        return write_sides(self.view(depth), form)


def _check_depth(depth: int | None) -> None:
    if depth is not None and depth < 1:
        msg = f"a view has 1 level a side at least; found {depth}"
        raise ValueError(msg)


if TYPE_CHECKING:
    TextBook = PythonTextBook
else:
    TextBook = fastest(
        "TextBook",
        PythonTextBook,
        PythonTextBook=PythonTextBook,
        Level=Level,
        Changes=Changes,
        DepthView=DepthView,
        read_side=read_side,
        LevelFormatError=LevelFormatError,
    )


def join_changes(changes: Iterable[Changes]) -> Changes:
    """Return several changes as one: the last size of each price, in the order first changed."""
    bids: dict[int, Level] = {}
    asks: dict[int, Level] = {}
    for change in changes:
        for joined, levels in ((bids, change.bids), (asks, change.asks)):
            for level in levels:
                joined[order_of(level.price)] = level
    return Changes(tuple(bids.values()), tuple(asks.values()))
