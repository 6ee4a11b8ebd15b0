"""Read OKX recordings from SQLite, one file or several, as order-book windows with their trades.

A recording has a table `book` (`bids`, `asks`, `timestamp`) and a table `trades` (`price`, `size`,
`side`, `timestamp`); `id`, `trade_id`, `instrument` and, in `book`, `action`, `seq_id` and
`prev_seq_id` are used where they exist. In the package `recordings`, `connection` opens a file,
`table_shape` learns what a table looks like, and `recorded_table` reads its rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TypeVar

from orderflow.events import BookRow, OrderbookLevel, OrderbookUpdate, Trade
from recordings.file_merge import FileMerge
from recordings.recorded_table import RecordedTable, open_tables
from recordings.row_order import Row
from recordings.table_shape import BOOK_BATCH, TRADE_BATCH
from recordings.trade_decoder import TradeDecoder
from recordings.windows import TradeCursor, book_batches, book_windows

__all__ = [
    "BOOK_BATCH",
    "TRADE_BATCH",
    "DBInterpreter",
    "OrderbookLevel",
    "OrderbookUpdate",
    "ReadCounts",
    "Trade",
]

Joined = TypeVar("Joined")


@dataclass
class ReadCounts:
    """What was not clean in the rows read, beside the levels themselves.

    `rows_skipped` and `trades_skipped`: no usable timestamp, price or size, or a value over the
    limit; `late_rows` and `late_trades`: further out of order than the reorder buffer
    reaches, and left out; `repeated_rows` and `repeated_trades`: recorded twice, and used once.
    """

    rows_skipped: int = 0
    trades_skipped: int = 0
    late_rows: int = 0
    late_trades: int = 0
    repeated_rows: int = 0
    repeated_trades: int = 0


class DBInterpreter:
    """Stream one instrument's recording, a file or several, as book windows with their trades.

    `path` is one file or a sequence of files; with `instrument` the rows of an `instrument` column
    are filtered by it. Only trades in `[start_ms, end_ms)` come out, and no book row from `end_ms`
    on; book rows before `start_ms` do come out, to warm up the book. Times are ms, UTC.

    `counts` tells, while and after streaming, what was not clean. Raise `RecordingError` for a file
    that is no recording.
    """

    def __init__(
        self,
        path: Path | str | Sequence[Path | str],
        instrument: str | None = None,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> None:
        paths = [path] if isinstance(path, Path | str) else path
        tables = [open_tables(Path(p), instrument) for p in paths]
        self._setup(
            [book for book, _ in tables], [trades for _, trades in tables], start_ms, end_ms
        )

    @classmethod
    def of_tables(
        cls,
        books: Sequence[RecordedTable],
        trades: Sequence[RecordedTable],
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> "DBInterpreter":
        """Stream tables that are open already, such as those a search has chosen."""
        interpreter = cls.__new__(cls)
        interpreter._setup(books, trades, start_ms, end_ms)
        return interpreter

    def _setup(
        self,
        books: Sequence[RecordedTable],
        trades: Sequence[RecordedTable],
        start_ms: int | None,
        end_ms: int | None,
    ) -> None:
        self._books = [table for table in books if not table.is_empty]
        self._trades = [table for table in trades if not table.is_empty]
        self._start = -inf if start_ms is None else start_ms
        self._end = inf if end_ms is None else end_ms
        self._begin()

    def _begin(self) -> None:
        self._decoder = TradeDecoder(self._start, self._end)
        self._book_merge = FileMerge([table.source() for table in self._books])
        self._trade_merge = FileMerge([table.source() for table in self._trades])

    @property
    def books(self) -> list[RecordedTable]:
        """The tables of book rows that are read, those without rows left out."""
        return self._books

    @property
    def counts(self) -> ReadCounts:
        """Count what was not clean so far."""
        return ReadCounts(
            rows_skipped=sum(table.skipped for table in self._books),
            trades_skipped=sum(table.skipped for table in self._trades) + self._decoder.skipped,
            late_rows=sum(table.late for table in self._books) + self._book_merge.late,
            late_trades=sum(table.late for table in self._trades) + self._trade_merge.late,
            repeated_rows=self._book_merge.repeated,
            repeated_trades=self._trade_merge.repeated + self._decoder.repeated,
        )

    @property
    def late_advice(self) -> list[str]:
        """Say how to put right each table some of whose rows were too far out of order."""
        return [
            f"{table.path}: {table.late} rows of {table.name} are further out of order than the "
            f"reorder buffer reaches and were left out; CREATE INDEX {table.name}_timestamp ON "
            f"{table.name}(timestamp) puts it right"
            for table in (*self._books, *self._trades)
            if table.late
        ]

    def stream(self) -> Iterator[tuple[OrderbookUpdate, list[Trade]]]:
        """Yield `(update, trades)` in time order: each book row with the trades of its window.

        Trades before the first row come first, in a window without levels; of a window with more
        than `WINDOW_TRADES` the rest follows in windows without levels. Every trade of the range
        comes out exactly once, also when there is no book. A file that cannot be read to its end
        raises its `RecordingError` after everything that was read.
        """
        yield from self._join(book_windows)

    def batches(self) -> Iterator[tuple[list[BookRow], list[Trade]]]:
        """Yield `(rows, trades)`, all that `stream` yields but in long lists without windows.

        Each list is in time order and goes on where the one before it ended; one of the two may be
        empty. For who takes rows and trades apart; it costs far less a row. Errors as in `stream`.
        """
        yield from self._join(book_batches)

    def _join(
        self, join: Callable[[Iterator[list[Row]], TradeCursor], Iterator[Joined]]
    ) -> Iterator[Joined]:
        self._begin()
        trades = TradeCursor(self._decoder.decode(self._trade_merge.batches()))
        merges = self._book_merge, self._trade_merge
        try:
            yield from join(self._rows_before_end(), trades)
        finally:
            for merge in merges:
                merge.close()
        for merge in merges:
            if merge.failure:
                raise merge.failure

    def _rows_before_end(self) -> Iterator[list[Row]]:
        for batch in self._book_merge.batches():
            if batch[-1][0] < self._end:
                yield batch
                continue
            rows = [row for row in batch if row[0] < self._end]
            if rows:
                yield rows
            return
