"""Hold the rows that were read along an index against those of the table.

An index that lacks rows, or has some twice, gives the others in perfect order.
"""

import sqlite3

from recordings.row_order import Row
from recordings.table_shape import TableShape


class Census:
    """Count the rows read along an index, and add up their keys."""

    def __init__(self, shape: TableShape) -> None:
        self._shape = shape
        self._count = 0
        self._key_sum = 0

    def add(self, rows: list[Row]) -> None:
        """Take rows as they were read, or the positions of rows that were left out."""
        self._count += len(rows)
        self._key_sum += sum(map(self._shape.key_of, rows))

    def difference(self, connection: sqlite3.Connection) -> str | None:
        """Say in what the rows read differ from those of the table, None where they do not.

        Also None where nobody can tell cheaply: where an index by instrument has led to less than
        half of the rows, as in a recording of many, all would have to be looked at for a few.
        """
        ends = self._shape.key_ends(connection)
        if ends is None:
            return None
        low, high = ends
        possible = high - low + 1
        if self._count == possible and 2 * self._key_sum == possible * (low + high):
            return None  # every key there can be, as in most recordings
        if self._shape.indexed_by_instrument and 2 * self._count < possible:
            return None
        count, above_low = self._shape.count_keys(connection, low)
        if (count, above_low) == (self._count, self._key_sum - low * self._count):
            return None
        return f"its index has {self._count:,} rows, not the {count:,} of the table"
