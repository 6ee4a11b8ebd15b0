"""What a table reads its rows from where they were prepared: see `formats.prepared`."""

from collections.abc import Iterator
from typing import Protocol

from orderflow.events import LostRows
from orderflow.parsed_rows import ParsedRows
from recordings.row_order import Row

Rows = ParsedRows | list[Row]


class PreparedRows(Protocol):
    """The rows of a table as they were read once, in the same lists, and what was lost.

    It can be sent to another process.
    """

    def batches(self) -> Iterator[tuple[Rows, list[LostRows]]]:
        """Yield the lists of rows, each with what was lost since the one before.

        Rows are `(ms, order, *payload)`. What was lost after the last row comes with an empty list.
        Raise `RecordingError` when the prepared rows cannot be read any more.
        """
        ...
