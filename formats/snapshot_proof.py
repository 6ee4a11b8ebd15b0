"""Compare snapshots in mid-file with the book that the rows before them lead to."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from formats.rows import BookRow
from level_parser import parse_side
from orderflow.compiled import fastest
from orderflow.errors import LevelFormatError


class PythonLevelBook:
    """Keep a book of which nothing is asked but how another one differs from it.

    A row that can't be read changes nothing, and of one that can, unusable levels are left out.
    """

    engine = "python"

    def __init__(self) -> None:
        self._sizes: dict[tuple[int, float], float] = {}

    def __len__(self) -> int:
        return len(self._sizes)

    def apply(self, rows: list[BookRow], start: int, stop: int) -> None:
        """Write the rows from index `start` to before `stop` over the book; size 0 deletes."""
        for row in rows[start:stop]:
            _write(row, self._sizes)

    def replace(self, row: BookRow) -> int | None:
        """Make a row the book, and return in how many levels it differs from the book before.

        These are the levels that are in one of the two alone, or there with another size. None
        where the row can't be read, or one of the two books is empty.
        """
        said: dict[tuple[int, float], float] = {}
        if not _write(row, said):
            return None
        known, self._sizes = self._sizes, said
        differing = sum(known.get(level) != said.get(level) for level in known.keys() | said.keys())
        return differing if known and said else None


def _write(row: BookRow, sizes: dict[tuple[int, float], float]) -> bool:
    try:
        sides = [parse_side(side)[:2] for side in row[1:3]]
    except LevelFormatError:
        return False
    for place, levels in enumerate(sides):
        for price, size in zip(*levels, strict=True):
            if size:
                sizes[place, price] = float(size)
            else:
                sizes.pop((place, price), None)
    return True


if TYPE_CHECKING:
    LevelBook = PythonLevelBook
else:
    LevelBook = fastest(
        "LevelBook", PythonLevelBook, parse_side=parse_side, LevelFormatError=LevelFormatError
    )


class SnapshotProof:
    """Keep the book of one instrument, and count in `counts` how far snapshots differ from it.

    `snapshots_compared`, `snapshots_differing`, and `levels_differing`: the levels that are in one
    of the two alone, or there with another size.
    """

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._book = LevelBook()

    def __len__(self) -> int:
        return len(self._book)

    def follow(self, rows: list[BookRow], snapshots: Sequence[bool]) -> None:
        """Apply rows; `snapshots` says which of them replace the book."""
        start = 0
        if True in snapshots:
            for index in [index for index, snapshot in enumerate(snapshots) if snapshot]:
                self._book.apply(rows, start, index)
                self._compare(rows[index])
                start = index + 1
        self._book.apply(rows, start, len(rows))

    def _compare(self, snapshot: BookRow) -> None:
        differing = self._book.replace(snapshot)
        if differing is None:
            return
        self._counts["snapshots_compared"] += 1
        if differing:
            self._counts["snapshots_differing"] += 1
            self._counts["levels_differing"] += differing
