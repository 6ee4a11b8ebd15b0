"""What is read from the tables of a recording, in which portions, and up to which size."""

from dataclasses import dataclass

from recordings.connection import MAX_BOOK_VALUE_BYTES

BOOK_BATCH = 2048
"""Most book rows read at once."""
TRADE_BATCH = 4096
"""Most trades read at once."""
BOOK_REORDER = 2048
"""Book rows held back to sort a file without an index on its timestamp."""
TRADE_REORDER = 32_768
"""Trades held back to sort a file without an index on its timestamp."""
MAX_TRADE_VALUE_BYTES = 16_000
"""Largest text or blob read from `trades`, whose values are short."""


@dataclass(frozen=True)
class TableSpec:
    """Name what is read from a table, in which portions, and up to which size of a value.

    Of the columns, `optional` ones are NULL where the table lacks them, and `trailing` ones are
    left out where it has none of them. `batch` and `reorder` are rows, `max_value` bytes.
    """

    name: str
    payload: tuple[str, ...]
    optional: tuple[str, ...]
    trailing: tuple[str, ...]
    batch: int
    reorder: int
    max_value: int

    @property
    def rows(self) -> str:
        """Return what its rows are called in the kinds of data issues."""
        return "rows" if self.name == "book" else self.name

    @property
    def required(self) -> tuple[str, ...]:
        """Name the columns without which the table is refused."""
        return tuple(c for c in (*self.payload, "timestamp") if c not in self.optional)


BOOK = TableSpec(
    "book",
    ("bids", "asks"),
    (),
    ("action", "seq_id", "prev_seq_id"),
    BOOK_BATCH,
    BOOK_REORDER,
    MAX_BOOK_VALUE_BYTES,
)
TRADES = TableSpec(
    "trades",
    ("trade_id", "price", "size", "side"),
    ("trade_id",),
    (),
    TRADE_BATCH,
    TRADE_REORDER,
    MAX_TRADE_VALUE_BYTES,
)
