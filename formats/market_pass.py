"""Go once over a recording as a replay does, and hand on what exports are made of."""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from db_interpreter import DBInterpreter
from metrics.book_rows import BookRows, Needs, RowRecorder, rows_of
from metrics.level_log import LevelLog, LevelRows, no_rows
from ohlc_processor import OHLCProcessor
from orderflow.errors import NothingToReplayError, UsageError
from orderflow.events import MAX_BARS, BookBatch, Trade
from orderflow.issues import IssueLog

MOST_WINDOWS = 1_000_000
"""Most bars that one export holds: they are all kept until its end."""


@dataclass(frozen=True)
class PassOptions:
    """What to read and what to make: times in ms since the epoch, UTC, the range half open.

    None stands for no limit. `levels` asks for the best so many levels a side after each row, and
    `row_levels` for the levels of the rows themselves.
    """

    instrument: str
    start_ms: int | None = None
    end_ms: int | None = None
    window_seconds: int = 60
    depth_levels: int = 50
    levels: int = 0
    row_levels: bool = False
    all_bars: bool = False

    @property
    def most_bars(self) -> int:
        """Return how many bars to keep; raise `UsageError` for more than there is room for."""
        if not self.all_bars:
            return MAX_BARS
        if self.start_ms is None or self.end_ms is None:
            return MOST_WINDOWS
        windows = (self.end_ms - self.start_ms) // (1000 * self.window_seconds) + 2
        if windows > MOST_WINDOWS:
            msg = (
                f"the range has {windows:,} windows of {self.window_seconds} s, over "
                f"{MOST_WINDOWS:,}; export a shorter one, or with a longer --window-seconds"
            )
            raise UsageError(msg, "--window-seconds", self.window_seconds)
        return windows


class Passed(NamedTuple):
    """Rows and trades of the range, each in time order; `levels` and `books` as asked for.

    Trades are never before rows that were passed earlier, but may be at the time of the last one.
    """

    levels: LevelRows
    books: BookRows | None
    trades: list[Trade]


class MarketPass:
    """One pass over a recording: `portions` yields it, and then the rest says what it was like.

    The book is the replay's, so that the levels handed on are those it was made of, and the data
    issues are those a replay finds.
    """

    def __init__(self, reader: DBInterpreter, options: PassOptions) -> None:
        self.options = options
        self._reader = reader
        self._level_log = LevelLog() if options.row_levels else None
        self._needs = Needs(levels=options.levels)
        self._recorder = RowRecorder(*self._needs) if options.levels else None
        self._start = -1 if options.start_ms is None else options.start_ms
        self._opened = False
        self._is_whole = False
        self.opening_levels = 0
        self.processor = OHLCProcessor(
            options.window_seconds,
            options.depth_levels,
            start_timestamp=options.start_ms,
            max_bars=options.most_bars,
            recorder=self._recorder,
            level_log=self._level_log,
        )

    def portions(self) -> Iterator[Passed]:
        """Yield the range; with `row_levels`, the book at its start first, as a row replacing it.

        Raise `NothingToReplayError` where there is no row and no trade, after which nothing is to
        be kept of what was made, and `RecordingError` after everything that could be read.
        """
        for batch, trades in self._reader.batches():
            begun = bisect_left(batch.rows, (self._start,))
            if begun:
                self._process(batch.part(0, begun))
            if trades or begun < len(batch):
                yield from self._opening()
            rows = self._process(batch.part(begun, len(batch)) if begun else batch)
            self.processor.process_trades(trades)
            yield Passed(*rows, trades)
        yield from self._opening()
        self._note_end()
        self.processor.finalize()
        self._is_whole = True
        if self.processor.first_event is None:
            msg = "no usable row or trade in the range; check START and END, they are in UTC"
            raise NothingToReplayError(msg, self.options.instrument)

    def _process(self, batch: BookBatch) -> tuple[LevelRows, BookRows | None]:
        self.processor.process_rows(batch)
        levels = LevelRows(*self._level_log.take()) if self._level_log else no_rows()
        return levels, rows_of(self._recorder, self._needs) if self._recorder else None

    def _opening(self) -> Iterator[Passed]:
        """Yield the book that the rows before the range have made, once."""
        if self._opened:
            return
        self._opened = True
        if self._level_log is None or self.processor.book.is_empty:
            return
        sides = self.processor.book.top_levels(sum(self.processor.book.level_counts))
        levels = [level for side in sides for level in side]
        self.opening_levels = len(levels)
        opening = LevelRows(
            array("q", [self._start]),
            array("b", [1]),
            array("i", list(map(len, sides))),
            array("d", [price for price, _ in levels]),
            array("d", [size for _, size in levels]),
        )
        yield Passed(opening, None, [])

    def _note_end(self) -> None:
        """Look for a silence of the book between its last row and what came after it."""
        silences, span = self.processor.silences, self.processor.trade_span
        after = self._reader.next_row_ms or (span[1] if span else None)
        if silences.span and after is not None and after > silences.span[1]:
            silences.end_before(after)

    @property
    def issues(self) -> IssueLog:
        """Return the data issues, as a replay of the range reports them."""
        issues = self.processor.issues
        issues.add(self._reader.issues)
        for kind, count in (
            ("no_book", self.processor.rows),
            ("no_trades", self.processor.trades),
        ):
            if self._is_whole and not count:
                issues.note(kind, None)
        return issues

    def summary(self) -> dict[str, Any]:
        """Return what was read, in the words of a replay's summary."""
        processor = self.processor
        return {
            "instrument": self.options.instrument,
            "start": self.options.start_ms,
            "end": self.options.end_ms,
            "first_event": processor.first_event,
            "event_time": processor.last_event,
            "rows": processor.rows,
            "warm_up_rows": processor.warm_up_rows,
            "opening_levels": self.opening_levels,
            "trades": processor.trades,
            "book_mode": self._reader.book_mode,
            "engine": processor.book.engine,
            "reliable": processor.reliable,
            "counts": self.issues.counts(),
            "unknown_sides": processor.metrics.cvd.unknown_sides,
        }
