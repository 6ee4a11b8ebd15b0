"""Read OKX recordings from SQLite, one file or several, as order-book windows with their trades.

A recording has a table `book` (`bids`, `asks`, `timestamp`) and a table `trades` (`price`, `size`,
`side`, `timestamp`); `id`, `trade_id`, `instrument` and, in `book`, `action`, `seq_id` and
`prev_seq_id` are used where they exist. In the package `recordings`, `connection` opens a file,
`table_shape` learns what a table looks like, and `recorded_table` reads its rows.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from operator import itemgetter
from pathlib import Path
from typing import Protocol, TypeVar

from orderflow.events import (
    BookBatch,
    LostRows,
    OrderbookLevel,
    OrderbookUpdate,
    Trade,
    time_of_row,
)
from orderflow.issues import IssueLog
from orderflow.parsed_rows import first_from
from recordings.book_decoder import BookDecoder
from recordings.book_kind import begins_with_snapshot, book_mode_of, standing_apart
from recordings.file_merge import FileMerge
from recordings.prepared_rows import Rows
from recordings.recorded_table import RecordedTable, open_tables
from recordings.row_order import Row
from recordings.table_spec import BOOK_BATCH, TRADE_BATCH
from recordings.trade_decoder import TradeDecoder
from recordings.windows import NO_ROWS, TradeCursor, book_batches, book_windows

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
    """Count the rows of a recording that were not used as they were recorded.

    `rows_skipped` and `trades_skipped`: no usable timestamp, price or size, or a value over the
    size limit. `late_rows` and `late_trades`: further out of order than the reorder buffer
    reaches, and left out. `repeated_rows` and `repeated_trades`: recorded twice, and used once.
    Rows whose sides cannot be read are the book's to count (`OrderbookManager.rows_skipped`).
    """

    rows_skipped: int = 0
    trades_skipped: int = 0
    late_rows: int = 0
    late_trades: int = 0
    repeated_rows: int = 0
    repeated_trades: int = 0


class Ordering(Protocol):
    """What puts rows into order, and says the times of those late and of those repeated."""

    late_times: list[int]
    repeated_times: list[int]


class DBInterpreter:
    """Stream one instrument's recording, a file or several, as book windows with their trades.

    `path` is one file or a sequence of files, which are merged by time. With `instrument`, tables
    with an `instrument` column are filtered by it; others are read whole. Times are ms since
    the epoch, UTC. Trades in `[start_ms, end_ms)` come out, and book rows before `end_ms`, those
    before `start_ms` included: they warm up the book. None stands for no limit.

    Each book row says whether it replaces the book. `book_mode` says what rows without an action
    are: `incremental` updates, full `snapshot`s, or `auto`, which finds out from the first rows.

    `next_row_ms` is the time of the first book row from `end_ms` on, None before it is known or
    where there is none. `counts` and `issues` say what was wrong, and grow while rows are read;
    each call of `stream` or `batches` starts over with new ones. What was lost of the book comes
    with its rows instead (`OrderbookUpdate.lost`, `BookBatch.lost`), and is not in `issues`.

    Raise `RecordingError` for a file that is missing, cannot be read or is no recording. See
    docs/python.md for examples.
    """

    def __init__(
        self,
        path: Path | str | Sequence[Path | str],
        instrument: str | None = None,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
        book_mode: str = "auto",
    ) -> None:
        paths = [path] if isinstance(path, Path | str) else path
        tables = [open_tables(Path(p), instrument) for p in paths]
        books, trades = [book for book, _ in tables], [trades for _, trades in tables]
        self._setup(books, trades, start_ms, end_ms, book_mode)

    @classmethod
    def of_tables(
        cls,
        books: Sequence[RecordedTable],
        trades: Sequence[RecordedTable],
        start_ms: int | None = None,
        end_ms: int | None = None,
        book_mode: str = "auto",
        *,
        parsed: bool = False,
        threaded: bool = True,
    ) -> "DBInterpreter":
        """Return an interpreter of tables that are already open; the rest as in the constructor.

        With `parsed`, the levels of rows may come as numbers, in `ParsedRows`: for `batches`.
        Unless `threaded`, all is read and checked in the thread of the caller.
        """
        for table in (*books, *trades):
            table.threaded = threaded
        for group in standing_apart(books):
            for table in group:
                # Where files overlap, what one repeats of another is told by its text.
                table.parses = parsed and len(group) == 1
        for table in trades:
            table.parses = parsed
        interpreter = cls.__new__(cls)
        interpreter._setup(books, trades, start_ms, end_ms, book_mode)
        return interpreter

    def _setup(
        self,
        books: Sequence[RecordedTable],
        trades: Sequence[RecordedTable],
        start_ms: int | None,
        end_ms: int | None,
        book_mode: str,
    ) -> None:
        self._groups = standing_apart(table for table in books if not table.is_empty)
        self._books = [table for group in self._groups for table in group]
        self._trades = [table for table in trades if not table.is_empty]
        self._start = -inf if start_ms is None else start_ms
        self._end = inf if end_ms is None else end_ms
        self._book_mode = book_mode
        self._first_mode: str | None = None
        self._begin()

    def _begin(self) -> None:
        self.counts = ReadCounts()
        self.issues = IssueLog()
        self.next_row_ms: int | None = None
        self._lost: list[LostRows] = []
        for table in (*self._books, *self._trades):
            table.lost = []
        self._trade_decoder = TradeDecoder(self._start, self._end)
        self._book_merge = FileMerge([table.source() for table in self._books])
        self._trade_merge = FileMerge([table.source() for table in self._trades])
        self._book_order: Ordering = self._book_merge
        self._trade_order: Ordering = self._trade_merge

    @property
    def books(self) -> list[RecordedTable]:
        """Return the tables of book rows that are read, by time, without the empty ones."""
        return self._books

    @property
    def book_mode(self) -> str:
        """Return what rows are: `incremental`, `snapshot`, or `action` if each row says so itself.

        With `auto`, this reads the first rows of the first file when it is first asked for; a
        later file that stands apart is read as what it is.
        """
        if self._first_mode is None:
            self._first_mode = self._mode_of(self._books)
        return self._first_mode

    def _mode_of(self, tables: Sequence[RecordedTable]) -> str:
        return book_mode_of(tables) if self._book_mode == "auto" else self._book_mode

    @property
    def late_advice(self) -> list[str]:
        """Return a line for each table with rows too far out of order: how to put it right."""
        return [
            f"{table.path}: {table.late} rows of {table.name} are further out of order than the "
            f"reorder buffer reaches and were left out; CREATE INDEX {table.name}_timestamp ON "
            f"{table.name}(timestamp) puts it right"
            for table in (*self._books, *self._trades)
            if table.late
        ]

    def stream(self) -> Iterator[tuple[OrderbookUpdate, list[Trade]]]:
        """Yield `(update, trades)` in time order: each book row with the trades of its window.

        A window without levels, its `bids` and `asks` both None, belongs to no row: trades before
        the first row come in one, and so does what a window has beyond `WINDOW_TRADES` trades.
        Every trade of the range comes out exactly once, even when there is no book. Calling it
        again starts over.

        Raise `RecordingError`, after everything that could be read, for a file that cannot be
        read to its end.
        """
        yield from self._join(book_windows)

    def batches(self) -> Iterator[tuple[BookBatch, list[Trade]]]:
        """Yield `(batch, trades)`: what `stream` yields, in long lists and without windows.

        Rows and trades are each in time order and go on where the list before ended; one of the
        two may be empty. This is far cheaper per row than `stream`, for callers that handle rows
        and trades separately. Errors as in `stream`.
        """
        yield from self._join(book_batches)

    def _join(
        self, join: Callable[[Iterator[BookBatch], TradeCursor], Iterator[Joined]]
    ) -> Iterator[Joined]:
        self._begin()
        trades = TradeCursor(self._decoded_trades())
        merges = self._book_merge, self._trade_merge
        try:
            yield from join(self._decoded_rows(), trades)
        finally:
            for merge in merges:
                merge.close()
        for merge in merges:
            if merge.failure:
                raise merge.failure
        for merge in merges:
            if error := merge.verdict():
                raise error

    def _decoded_trades(self) -> Iterator[list[Trade]]:
        yield from self._trade_decoder.decode(self._trade_rows())
        self._note_trades()

    def _trade_rows(self) -> Iterator[list[Row]]:
        for rows in self._trade_merge.batches():
            # Once a list, and not once a list of usable trades: there may be none.
            self._note_trades()
            yield rows if isinstance(rows, list) else [*rows]

    def _note_trades(self) -> None:
        """Note what was found wrong with trades since the last call."""
        order, decoder = self._trade_order, self._trade_decoder
        lost = [LostRows("late_trades", ms) for ms in order.late_times]
        lost += [LostRows("trades_skipped", ms) for ms in decoder.skipped_times]
        for table in self._trades:
            lost += table.lost
            table.lost = []
        repeated = order.repeated_times + decoder.repeated_times
        order.late_times, decoder.skipped_times = [], []
        order.repeated_times, decoder.repeated_times = [], []
        for rows in lost:
            if rows.timestamp is None or self._start <= rows.timestamp < self._end:
                self._count(rows.kind, rows.count)
                self.issues.note(rows.kind, rows.timestamp, count=rows.count)
        self._note_repeats("repeated_trades", [ms for ms in repeated if ms >= self._start])

    def _note_repeats(self, kind: str, times: list[int]) -> None:
        for ms in times:
            if ms < self._end:
                self._count(kind, 1)
                self.issues.note(kind, ms)

    def _count(self, kind: str, count: int) -> None:
        setattr(self.counts, kind, getattr(self.counts, kind) + count)

    def _decoded_rows(self) -> Iterator[BookBatch]:
        """Yield the book rows before the end, with what was lost where it was lost."""
        for decoder, rows in self._by_group():
            self._take_lost_rows()
            batch = decoder.decode(rows)
            yield replace(batch, lost=self._lost_up_to(batch)) if self._lost else batch
        self._take_lost_rows()
        if self._lost:
            yield replace(NO_ROWS, lost=[(0, rows) for rows in self._lost])
            self._lost = []

    def _by_group(self) -> Iterator[tuple[BookDecoder, Rows]]:
        """Yield the rows, cut where a group of files that stands apart begins, with its decoder."""
        waiting = list(self._groups)
        decoder: BookDecoder | None = None
        for whole in self._rows_before_end():
            rows = whole
            while waiting and (decoder is None or waiting[0][0].first_ms <= rows[-1][0]):
                cut = first_from(rows, waiting[0][0].first_ms) if decoder else 0
                if decoder and cut:
                    yield decoder, rows[:cut]
                rows, group = rows[cut:], waiting.pop(0)
                decoder = BookDecoder(
                    self._mode_of(group), begins_with_snapshot=begins_with_snapshot(group[0])
                )
            if decoder:
                yield decoder, rows

    def _rows_before_end(self) -> Iterator[Rows]:
        for batch in self._book_merge.batches():
            if batch[-1][0] < self._end:
                yield batch
                continue
            cut = first_from(batch, self._end)
            self.next_row_ms = batch[cut][0]
            if cut:
                yield batch[:cut]
            return

    def _take_lost_rows(self) -> None:
        """Collect what was lost of the book since the last call; late rows are lost too."""
        order = self._book_order
        lost = [LostRows("late_rows", ms) for ms in order.late_times]
        for table in self._books:
            lost += table.lost
            table.lost = []
        self._note_repeats("repeated_rows", order.repeated_times)
        order.late_times, order.repeated_times = [], []
        before_end = [rows for rows in lost if rows.timestamp is None or rows.timestamp < self._end]
        for rows in before_end:
            self._count(rows.kind, rows.count)
        self._lost += before_end

    def _lost_up_to(self, batch: BookBatch) -> list[tuple[int, LostRows]]:
        """Remove and return the lost rows that lie before the end of `batch`, by index."""
        last = batch.rows[-1][0]
        placed = [
            (bisect_right(batch.rows, _time_of(rows), key=time_of_row), rows)
            for rows in self._lost
            if _time_of(rows) < last
        ]
        self._lost = [rows for rows in self._lost if _time_of(rows) >= last]
        return sorted(placed, key=itemgetter(0))


def _time_of(lost: LostRows) -> float:
    return -inf if lost.timestamp is None else lost.timestamp
