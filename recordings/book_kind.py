"""Tell from a recording's first rows what its book rows are: updates, or full snapshots.

Rows may have megabytes each, and are looked at one by one: what is kept of a row is its shape.
"""

from collections.abc import Iterable
from itertools import chain

from level_parser import parse_side
from orderflow.errors import LevelFormatError
from orderflow.events import SNAPSHOT_ACTIONS, OrderbookUpdate

RECOGNITION_ROWS = 32
"""How many rows with levels `recognise_book_mode` wants to see."""


def recognise_book_mode(rows: Iterable[OrderbookUpdate]) -> str:
    """Tell what each of a recording's rows is.

    Return `"action"` when any of the rows has one, and says so itself. `"snapshot"` when at least
    three rows have levels, every one has both sides, none deletes, and none is less than half as
    deep as the first; else `"incremental"`: partial updates hold deletions, or one side only, or
    far fewer levels than the book. Of the rows with levels the first `RECOGNITION_ROWS` count;
    empty and unreadable rows say nothing.
    """
    shapes = [_Shape(row) for row in rows]
    if any(shape.has_action for shape in shapes):
        return "action"
    return "snapshot" if _are_snapshots(shapes) else "incremental"


def is_marked_snapshot(row: OrderbookUpdate) -> bool:
    """Tell whether a row's action, or a `prev_seq_id` of -1, says that it is a snapshot."""
    if row.action is not None:
        return row.action in SNAPSHOT_ACTIONS
    return row.prev_seq_id == -1


def begins_with_snapshot(rows: Iterable[OrderbookUpdate]) -> bool:
    """Tell from a file's first rows whether the first is a full snapshot of the book.

    It is when its action or its `prev_seq_id` (-1) says so. Where neither is recorded, when it has
    both sides, deletes nothing and is at least twice as deep as any of the rows after it, or when
    all are full snapshots.
    """
    remaining = iter(rows)
    row = next(remaining, None)
    if row is None:
        return False
    if row.action is not None or row.prev_seq_id is not None:
        return is_marked_snapshot(row)
    first, *later = [_Shape(row) for row in chain([row], remaining)]
    if _are_snapshots([first, *later]):
        return True
    return (
        first.is_whole
        and first.bids >= 2 * max((other.bids for other in later), default=0)
        and first.asks >= 2 * max((other.asks for other in later), default=0)
    )


class _Shape:
    """How deep a row's sides are, and whether it could be a whole book; unreadable: depth 0."""

    def __init__(self, row: OrderbookUpdate) -> None:
        self.has_action = row.action is not None
        try:
            (_, bid_sizes, _), (_, ask_sizes, _) = parse_side(row.bids), parse_side(row.asks)
        except LevelFormatError:
            bid_sizes = ask_sizes = []
        self.bids, self.asks = len(bid_sizes), len(ask_sizes)
        self.is_whole = bool(bid_sizes and ask_sizes and min(*bid_sizes, *ask_sizes) > 0.0)


def _are_snapshots(shapes: Iterable[_Shape]) -> bool:
    seen = [shape for shape in shapes if shape.bids or shape.asks][:RECOGNITION_ROWS]
    return len(seen) >= 3 and all(
        shape.is_whole and 2 * shape.bids >= seen[0].bids and 2 * shape.asks >= seen[0].asks
        for shape in seen
    )
