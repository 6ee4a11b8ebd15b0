"""Compare snapshots in mid-file with the book that the rows before them lead to."""

from collections import Counter
from collections.abc import Sequence

from formats.rows import BookRow
from orderbook_manager import OrderbookManager, PythonOrderbookManager


class SnapshotProof:
    """Keep the book of one instrument, and count in `counts` how far snapshots differ from it.

    `snapshots_compared`, `snapshots_differing`, and `levels_differing`: the levels that are in one
    of the two alone, or there with another size.
    """

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._book = OrderbookManager(1)

    def follow(self, rows: Sequence[BookRow], snapshots: Sequence[bool]) -> None:
        """Apply rows; `snapshots` says which of them replace the book."""
        start = 0
        for index in [*(i for i, snapshot in enumerate(snapshots) if snapshot), len(rows)]:
            part = [(row[3], 0, row[1], row[2]) for row in rows[start:index]]
            self._book.update_rows(part, snapshots[start:index])
            if index < len(rows):
                self._compare(rows[index])
            start = index

    def _compare(self, snapshot: BookRow) -> None:
        if self._book.is_empty:
            return
        said = OrderbookManager(1)
        said.update(snapshot[1], snapshot[2], True)
        if said.is_empty:
            return
        self._counts["snapshots_compared"] += 1
        known, told = _sizes(self._book), _sizes(said)
        differing = sum(known.get(key) != told.get(key) for key in known.keys() | told.keys())
        if differing:
            self._counts["snapshots_differing"] += 1
            self._counts["levels_differing"] += differing


def _sizes(book: PythonOrderbookManager) -> dict[tuple[int, float], float]:
    """Return the sizes of all levels by side and price."""
    sides = book.top_levels(max(book.level_counts))
    return {(place, price): size for place, side in enumerate(sides) for price, size in side}
