"""Keep the last entries of an unending table, column by column."""

from array import array
from collections.abc import Sequence
from typing import Any


class LastEntries:
    """The last `most` entries of a table whose columns have the type codes of `array`."""

    def __init__(self, codes: str, most: int) -> None:
        self._most = most
        self._count = 0
        self._columns: list[array[Any]] = [array(code) for code in codes]

    def extend(self, columns: Sequence["array[Any]"]) -> None:
        """Add entries, given as a column each."""
        for column, values in zip(self._columns, columns, strict=True):
            column.extend(values[-self._most :])
        self._count += len(columns[0])
        self._cut()

    def add(self, entry: Sequence[float]) -> None:
        """Add an entry, with a value for each column."""
        for column, value in zip(self._columns, entry, strict=True):
            column.append(value)
        self._count += 1
        self._cut()

    def _cut(self) -> None:
        if len(self._columns[0]) >= 2 * self._most:
            for column in self._columns:
                del column[: -self._most]

    def arrays(self) -> tuple[int, list[bytes]]:
        """Return how many entries came before the first one kept, and the columns' bytes."""
        first = max(self._count - self._most, 0)
        return first, [column[-self._most :].tobytes() for column in self._columns]
