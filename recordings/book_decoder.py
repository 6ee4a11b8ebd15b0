"""Turn recorded book rows into batches in which each row says whether it replaces the book."""

from collections.abc import Sequence
from typing import Any

from orderflow.events import BookBatch
from recordings.row_order import Row
from recordings.trade_decoder import lowered

SNAPSHOT_ACTIONS = frozenset({"snapshot", "partial"})
"""The recorded actions that replace the book."""
_UNMARKED = (None, None, None)


class BookDecoder:
    """Make a `BookBatch` of each list of recorded rows.

    Rows are `(ms, order, bids, asks)`, or with `action, seq_id, prev_seq_id` after these. A row
    replaces the book when its action says so, when its `prev_seq_id` is -1, or when it has no
    action and the rows are full snapshots (`book_mode` is `snapshot`). The very first row also does
    where it `begins_with_snapshot`, as `book_kind` has found.
    """

    def __init__(self, book_mode: str, *, begins_with_snapshot: bool) -> None:
        self._unmarked_replace = book_mode == "snapshot"
        self._first_replaces = begins_with_snapshot

    def decode(self, rows: Sequence[Row]) -> BookBatch:
        """Return the rows, at least one, as a batch."""
        lengths = set(map(len, rows))
        if lengths == {4}:
            batch = BookBatch(rows, [self._unmarked_replace] * len(rows))
        else:
            if len(lengths) > 1:  # of several files, of which some have an action and ids
                rows = [row if len(row) > 4 else (*row, *_UNMARKED) for row in rows]
            batch = self._decode_marked(rows)
        if self._first_replaces:
            self._first_replaces = False
            batch = BookBatch(
                batch.rows, [True, *batch.snapshots[1:]], batch.seq_ids, batch.prev_seq_ids
            )
        return batch

    def _decode_marked(self, rows: Sequence[Row]) -> BookBatch:
        # Column by column: it takes a third of the time that row by row does.
        *fields, actions, seq_ids, prev_seq_ids = zip(*rows, strict=True)
        replacing = {action: self._replaces(action) for action in set(actions)}
        snapshots = [replacing[action] for action in actions]
        ids, before = _integers(seq_ids), _integers(prev_seq_ids)
        if -1 in before:
            for index, (seq_id, previous) in enumerate(zip(ids, before, strict=True)):
                snapshots[index] |= previous == -1 and seq_id is not None
        own_rows = list(zip(*fields, strict=True))
        if {None}.issuperset(ids):
            return BookBatch(own_rows, snapshots)
        return BookBatch(own_rows, snapshots, ids, before)

    def _replaces(self, raw_action: object) -> bool:
        action = lowered(raw_action)
        return self._unmarked_replace if action is None else action in SNAPSHOT_ACTIONS


def is_marked_snapshot(raw_action: object, raw_prev_seq_id: object) -> bool:
    """Return whether a row's action, or without one a `prev_seq_id` of -1, calls it a snapshot."""
    action = lowered(raw_action)
    if action is not None:
        return action in SNAPSHOT_ACTIONS
    return _integer(raw_prev_seq_id) == -1


def _integers(column: Sequence[Any]) -> Sequence[int | None]:
    if set(map(type, column)) <= {int, type(None)}:
        return column
    return [_integer(raw) for raw in column]


def _integer(raw: object) -> int | None:
    if isinstance(raw, bytes):
        try:
            return int(raw)
        except ValueError:
            return None
    return raw if isinstance(raw, int) else None
