"""Read a recording into polars, pandas, DuckDB or numpy: see docs/python.md.

What a method of `Frames` returns is an Arrow stream: it has `__arrow_c_stream__`, by which those
libraries take its columns as they are, without a copy.
https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from db_interpreter import DBInterpreter
from formats.export_tables import (
    BarsTable,
    BooksTable,
    FootprintTable,
    LevelsTable,
    MetricsTable,
    Table,
    TradesTable,
)
from formats.market_pass import MarketPass, PassOptions
from orderflow.errors import UsageError
from orderflow.issues import IssueLog
from recordings.discovery import BookMode
from recordings.recorded_table import instruments_in


class Frame:
    """A table that is read from a recording as it is asked for, one batch of rows after another.

    Each use reads the recording anew. `issues` has the data issues, once a use has come to its end.
    """

    def __init__(
        self, make_table: Callable[[], Table], make_pass: Callable[[], MarketPass]
    ) -> None:
        self._make_table, self._make_pass = make_table, make_pass
        self.schema: pa.Schema = make_table().schema
        self.issues: IssueLog | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """Yield batches of rows. Raise `RecordingError` after all that could be read.

        They are read in a thread of their own: who takes them may do so from several, as DuckDB
        does, and SQLite's objects stay in the thread that made them.
        """
        batches = self._batches()
        with ThreadPoolExecutor(1) as reading:
            try:
                while (batch := reading.submit(next, batches, None).result()) is not None:
                    yield batch
            finally:
                with suppress(RuntimeError):  # the interpreter ends
                    reading.submit(batches.close).result()

    def _batches(self) -> Generator[pa.RecordBatch, None, None]:
        table, passed = self._make_table(), self._make_pass()
        for portion in passed.portions():
            yield from table.add(portion)
        yield from table.finish(passed)
        self.issues = passed.issues

    def reader(self) -> pa.RecordBatchReader:
        """Return a reader of pyarrow, which reads on as batches are taken from it."""
        return pa.RecordBatchReader.from_batches(self.schema, iter(self))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the stream, in a capsule."""
        return self.reader().__arrow_c_stream__(requested_schema)


class BookArrays(NamedTuple):
    """The best levels after each of some rows; prices and sizes are arrays of rows by levels.

    `time` is in ms. A bid that is not there has price 0, an ask infinity, and both size 0. The
    arrays are the memory that the book was recorded into.
    """

    time: Any
    bid_price: Any
    bid_size: Any
    ask_price: Any
    ask_size: Any


class Frames:
    """The tables of a recording: one file, or several of one instrument, which are merged.

    With `instrument`, tables with an instrument column are filtered by it; without, files of
    several are refused when they are read, for rows of two books make none. Times are ms since the
    epoch, UTC, the range half open; None stands for no limit. Rows are those that a replay uses.
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
        if book_mode not in list(BookMode):
            msg = f"book_mode is one of {', '.join(BookMode)}; found {book_mode!r}"
            raise UsageError(msg, "book_mode", book_mode)
        self._path, self._instrument, self._book_mode = path, instrument, book_mode
        self._options = PassOptions(instrument or "", start_ms, end_ms)

    def trades(self) -> Frame:
        """Return the trades: `timestamp, id, trade_id, price, size, side`."""
        return self._frame(TradesTable)

    def levels(self) -> Frame:
        """Return each level of each book row: `timestamp, row, snapshot, side, price, size`.

        Where rows before `start_ms` have made a book, that is the first row, a snapshot.
        """
        return self._frame(LevelsTable, row_levels=True)

    def books(self, levels: int = 10) -> Frame:
        """Return the best levels after each row: `timestamp, bid_price_0, bid_size_0, …`."""
        _check_levels(levels)
        return self._frame(lambda: BooksTable(levels), levels=levels)

    def bars(self, window_seconds: int = 60) -> Frame:
        """Return the bars of trades: `timestamp, open, high, low, close, volume`."""
        return self._frame(BarsTable, window_seconds=window_seconds, all_bars=True)

    def metrics(self, window_seconds: int = 60, depth_levels: int = 50) -> Frame:
        """Return the metric bars: `timestamp, obi_open, …, tot_open, …, cvd_close`."""
        return self._frame(
            MetricsTable, window_seconds=window_seconds, depth_levels=depth_levels, all_bars=True
        )

    def footprint(self, window_seconds: int = 60) -> Frame:
        """Return volume by bar, price and side: `timestamp, price, buy, sell, unknown`."""
        return self._frame(lambda: FootprintTable(window_seconds), window_seconds=window_seconds)

    def book_arrays(self, levels: int = 10) -> Iterator[BookArrays]:
        """Yield the best levels after each row as numpy arrays, for up to 2048 rows at once."""
        import numpy as np  # noqa: PLC0415 (of use here alone)

        _check_levels(levels)
        for portion in self._pass(replace(self._options, levels=levels)).portions():
            books = portion.books
            if books is not None and len(books):
                sides = (np.frombuffer(side).reshape(-1, levels) for side in books.levels[1:])
                yield BookArrays(np.frombuffer(books.time).astype("int64"), *sides)

    def _frame(self, make_table: Callable[[], Table], **options: Any) -> Frame:
        return Frame(make_table, lambda: self._pass(replace(self._options, **options)))

    def _pass(self, options: PassOptions) -> MarketPass:
        self._check_instrument()
        reader = DBInterpreter(
            self._path,
            self._instrument,
            start_ms=options.start_ms,
            end_ms=options.end_ms,
            book_mode=self._book_mode,
        )
        return MarketPass(reader, options)

    def _check_instrument(self) -> None:
        """Raise `UsageError` for files of several instruments of which none is named."""
        if self._instrument is not None:
            return
        paths = [self._path] if isinstance(self._path, Path | str) else self._path
        found = sorted({name for path in paths for name in instruments_in(Path(path))})
        if len(found) > 1:
            more = f" and {len(found) - 3} others" if len(found) > 3 else ""
            msg = f"there are several instruments, {', '.join(found[:3])}{more}; name one"
            raise UsageError(msg, "instrument", None)


def _check_levels(levels: int) -> None:
    if levels < 1:
        msg = f"a book has at least 1 level a side; found {levels}"
        raise UsageError(msg, "levels", levels)
