"""Find out from its first rows what a recording has, updates or snapshots, and how it begins.

Rows may have megabytes each, and are looked at one by one; what is kept of them is bounded.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, islice

from level_parser import parse_side
from orderflow.errors import LevelFormatError, RecordingError
from recordings.book_decoder import is_marked_snapshot
from recordings.recorded_table import RecordedTable
from recordings.row_order import Row

RECOGNITION_ROWS = 64
"""How many rows are looked at."""
KIND_ROWS = 32
"""How many of them, with levels, say whether all rows are full snapshots."""
MIN_LATER_ROWS = 3
DEPTH_RULES = ((10, 5), (50, 2))
"""A first row of so many levels a side is a snapshot when it is so many times as deep as any row
after it. Of all updates in the real recordings none comes nearer than 13 levels and 2.2 times."""
MIN_DELETIONS = 10
"""So many of its own levels must be deleted later; no update in the recordings has more than 5."""
MIN_UNEQUAL_SNAPSHOTS = 16
"""Fewer full snapshots than this must all be of one depth, as those of `books5` are."""
MOST_PRICES_KEPT = 20_000


def standing_apart(tables: Iterable[RecordedTable]) -> list[list[RecordedTable]]:
    """Group book tables by time so that each group begins after all before it have ended.

    Such a group is a recording by itself: it may begin with a snapshot, and its rows may be of
    another kind.
    """
    groups: list[list[RecordedTable]] = []
    last_ms = -1
    for table in sorted(tables, key=lambda table: (table.first_ms, table.last_ms)):
        if groups and table.first_ms <= last_ms:
            groups[-1].append(table)
        else:
            groups.append([table])
        last_ms = max(last_ms, table.last_ms)
    return groups


def book_mode_of(tables: Iterable[RecordedTable]) -> str:
    """Return what the rows of a recording's book tables are, in the order of their time.

    Return `"action"` when any of the first rows has one, and says so itself; else `"snapshot"` or
    `"incremental"` (see `are_snapshots`), the latter also where the rows can't be read.
    """
    rows = chain.from_iterable(table.first_rows(RECOGNITION_ROWS) for table in tables)
    try:
        return recognise_book_mode(islice(rows, RECOGNITION_ROWS))
    except RecordingError:
        return "incremental"


def begins_with_snapshot(table: RecordedTable) -> bool:
    """Return whether a book table is known to begin with a full snapshot of the book.

    False where its first rows can't be read.
    """
    try:
        return is_proven_snapshot(table.first_rows(RECOGNITION_ROWS))
    except RecordingError:
        return False


def recognise_book_mode(rows: Iterable[Row]) -> str:
    """Return what rows `(ms, order, bids, asks[, action, …])` are; see `book_mode_of`."""
    shapes = []
    chained = False
    for row in rows:
        if len(row) > 4 and row[4] is not None:
            return "action"
        # Full snapshots have no id before: only updates follow one another.
        chained |= len(row) > 4 and row[6] is not None
        shapes.append(_Shape(row))
    return "snapshot" if not chained and are_snapshots(shapes) else "incremental"


def is_proven_snapshot(rows: Iterable[Row]) -> bool:
    """Return whether the first of a recording's first rows is known to be a full snapshot.

    Where an action or a `prev_seq_id` is recorded, these say so. Where neither is, a row that
    deletes nothing and has both sides is taken for one when

    - all the rows are full snapshots, or
    - it is far deeper than any of at least `MIN_LATER_ROWS` rows after it (see `DEPTH_RULES`), or
    - the rows after it delete at least `MIN_DELETIONS` of its levels, and no level that neither it
      nor a row since had set: a book of which a part was unknown would be asked to delete that too.

    Measured on 14 real recordings with 61 instruments, taking every row in turn for the first:
    no update is taken for a snapshot. Books of a few levels, such as options, can't be proven.
    """
    remaining = iter(rows)
    row = next(remaining, None)
    if row is None:
        return False
    if len(row) > 4 and (row[4] is not None or row[6] is not None):
        return is_marked_snapshot(row[4], row[6])
    first, known = _Shape(row), _KnownPrices(row)
    if not first.is_whole:
        return False
    later = []
    for row_after in remaining:
        later.append(_Shape(row_after))
        known.follow(row_after)
    return _is_far_deeper(first, later) or known.prove_the_first or are_snapshots([first, *later])


def _is_far_deeper(first: "_Shape", later: Sequence["_Shape"]) -> bool:
    if len(later) < MIN_LATER_ROWS:
        return False
    bids, asks = max(other.bids for other in later), max(other.asks for other in later)
    return any(
        min(first.bids, first.asks) >= levels
        and first.bids >= times * bids
        and first.asks >= times * asks
        for levels, times in DEPTH_RULES
    )


class _Shape:
    """How deep a row's sides are, and whether it could be a whole book; unreadable: depth 0."""

    def __init__(self, row: Row) -> None:
        bids, asks = _sides(row)
        self.bids, self.asks = len(bids[0]), len(asks[0])
        self.is_whole = bool(bids[1] and asks[1] and min(*bids[1], *asks[1]) > 0.0)


class _KnownPrices:
    """The prices that a row and those after it have set, and whether deletions name others."""

    def __init__(self, row: Row) -> None:
        self._prices = tuple(set(prices) for prices, _ in _sides(row))
        self._left_of_first = tuple(set(prices) for prices in self._prices)
        self._deletions = 0
        self._consistent = True

    def follow(self, row: Row) -> None:
        if not self._consistent:
            return
        of_sides = zip(self._prices, self._left_of_first, _sides(row), strict=True)
        for known, left, (prices, sizes) in of_sides:
            for price, size in zip(prices, sizes, strict=True):
                if size:
                    known.add(price)
                elif price in known:
                    known.discard(price)
                    self._deletions += price in left
                    left.discard(price)
                else:
                    self._consistent = False
        # Of so deep a book the depth tells.
        self._consistent &= sum(map(len, self._prices)) <= MOST_PRICES_KEPT

    @property
    def prove_the_first(self) -> bool:
        return self._consistent and self._deletions >= MIN_DELETIONS


Side = tuple[Sequence[float], Sequence[float]]


def _sides(row: Row) -> tuple[Side, Side]:
    try:
        (bid_prices, bid_sizes, _), (ask_prices, ask_sizes, _) = map(parse_side, row[2:4])
    except LevelFormatError:
        return ([], []), ([], [])
    return (bid_prices, bid_sizes), (ask_prices, ask_sizes)


def are_snapshots(shapes: Iterable[_Shape]) -> bool:
    """Return whether each row is a full snapshot of the book, such as those of `books5`.

    They are when at least three rows have levels, every one has both sides, none deletes, and none
    is less than half as deep as the first; partial updates hold deletions, or one side only, or
    far fewer levels than the book. Of the rows with levels the first `KIND_ROWS` count; empty and
    unreadable rows say nothing. Where there are fewer than `MIN_UNEQUAL_SNAPSHOTS`, they must all
    have the same depth.
    """
    seen = [shape for shape in shapes if shape.bids or shape.asks][:KIND_ROWS]
    depths = {(shape.bids, shape.asks) for shape in seen}
    if len(depths) > 1 and len(seen) < MIN_UNEQUAL_SNAPSHOTS:
        return False
    return len(seen) >= 3 and all(
        shape.is_whole and 2 * shape.bids >= seen[0].bids and 2 * shape.asks >= seen[0].asks
        for shape in seen
    )
