"""The book at a moment of a recording, exactly as a straight replay has it there.

    uv run -m recordings book BTC-USDT 2025-06-09T12:30:00

Checkpoints of the whole book are made at the first question and kept in the cache directory, so
that later ones need to apply no more than the rows since the last one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from math import fsum
from pathlib import Path
from typing import Any, TypeVar

from orderbook_manager import OrderbookManager
from orderflow.errors import RecordingError
from orderflow.events import BookBatch, Trade
from recordings.book_kind import standing_apart
from recordings.checkpoint_chain import CheckpointChain, OnProgress
from recordings.checkpoints import Checkpoint, CheckpointCache
from recordings.connection import lasting_identity
from recordings.discovery import Recording
from recordings.moment_sources import FOREVER_MS, BookSource, BookState, TradeSource, TradeState
from recordings.recorded_table import RecordedTable

SCHEMA = 1
COMPILED_DISTANCE, PYTHON_DISTANCE = 2_500, 2_000
"""Book rows between two checkpoints: reading and applying them takes 15 ms, in Python 100, of which
a click into the past waits for half."""
TRADES_DISTANCE = 2_500
HOLD_BACK_MS = 5_000
"""So long before its end a recording in progress may still get rows."""
TRADES_SHARE = 0.1
"""Of the time that checkpoints take, about so much goes into those of trades."""
BEST_ROWS = 500
"""Of so many rows up to the moment the changes of the best prices are told."""
MAX_LEVELS = 10_000
MAX_TRADES = 1_000

Best = tuple[int, int, float | None, float | None, float | None, float | None]
"""`(time, row, bid, bid size, ask, ask size)`."""
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Moment:
    """What a straight replay has processed up to `time`, in ms: all rows and trades at or before.

    `row` and `row_time` are number and time of the last book row applied, 0 and None before the
    first. `bids` and `asks` are the best levels, best first, and `bid_levels` and `ask_levels` how
    many there are. `cvd` counts from the start of the range on, and so do `trades`,
    `(time, price, size, side)`, the last ones. `best` are the best prices after the first of the
    last `BEST_ROWS` rows, and after each that changed one of them.
    """

    time: int
    row: int
    row_time: int | None
    bids: list[list[float]]
    asks: list[list[float]]
    bid_levels: int
    ask_levels: int
    reliable: bool
    cvd: float
    trades: list[tuple[int, float, float, str | None]]
    best: list[Best]

    def as_json(self) -> dict[str, Any]:
        """Return the fields as docs/page.md lists them; their lists are not copied."""
        return {"schema": SCHEMA} | {one.name: getattr(self, one.name) for one in fields(self)}


class RecordingChangedError(RecordingError):
    """Report a recording that has changed since it was opened: its rows may be others now."""


class Moments:
    """Moments of one recording, as `find_recording` has found it, in a range from `start_ms` on.

    `growing` is for a recording in progress: what is appended does not count as a change, and no
    checkpoints are kept; `reaches` says up to when a moment is what it would be now.

    Not for several threads at once, but for `make`, which another thread may run meanwhile.
    """

    def __init__(
        self,
        recording: Recording,
        start_ms: int,
        *,
        uncross: bool = False,
        cache_dir: Path | None = None,
        growing: bool = False,
    ) -> None:
        cache = CheckpointCache(cache_dir, used=not growing)
        self._growing = growing
        self._start_ms = start_ms
        self._first_ms, self._last_ms = recording.first_ms, recording.last_ms
        self._tables = [*recording.books, *recording.trades]
        self._as_opened = self._identities()
        instruments = sorted({str(table.instrument) for table in self._tables})
        mode = recording.book_mode
        is_compiled = OrderbookManager.engine == "compiled"
        distance = COMPILED_DISTANCE if is_compiled else PYTHON_DISTANCE
        books = [BookSource(t, mode, uncross=uncross) for t in _groups(recording.books)]
        settings = ["book", instruments, mode, uncross]
        self._books = CheckpointChain[BookBatch](books, settings, cache, distance)
        trades = [TradeSource(tables) for tables in _groups(recording.trades)]
        settings = ["trades", instruments]
        self._trades = CheckpointChain[list[Trade]](trades, settings, cache, TRADES_DISTANCE)

    def _identities(self) -> list[Any]:
        return [lasting_identity(table.path) for table in self._tables]

    @property
    def is_current(self) -> bool:
        """Return whether the files are still those that were opened, unchanged or only longer."""
        now = self._identities()
        if not self._growing:
            return now == self._as_opened
        return [file and file[0][:2] for file in now] == [f and f[0][:2] for f in self._as_opened]

    def reaches(self, time_ms: int) -> bool:
        """Return whether all rows up to `time_ms` were there when the files were opened.

        Of files that are not growing they were.
        """
        is_unchanged = self._identities() == self._as_opened
        return is_unchanged or (self._growing and time_ms < self._last_ms - HOLD_BACK_MS)

    def make(self, time_ms: int, on_progress: Callable[[float], None] = lambda _: None) -> None:
        """Make the checkpoints that a moment needs, where they are not kept from before.

        `on_progress` is called with the share done, 0 to 1; what it raises ends the making.
        """
        first, span = self._first_ms, max(self._last_ms - self._first_ms, 1)

        def tell(begin: float, end: float) -> OnProgress:
            def reached(ms: int) -> None:
                share = min(max((ms - first) / span, 0.0), 1.0)
                on_progress(begin + share * (end - begin))

            return reached

        self._trades.make(max(time_ms, self._start_ms), tell(0.0, TRADES_SHARE))
        self._books.make(time_ms, tell(TRADES_SHARE, 1.0))

    def is_made(self, time_ms: int) -> bool:
        """Return whether `at` need not make checkpoints first."""
        return self._books.covers(time_ms) and self._trades.covers(max(time_ms, self._start_ms))

    def at(self, time_ms: int, *, levels: int = MAX_LEVELS, trades: int = 100) -> Moment:
        """Return the moment after all rows and trades at or before `time_ms`.

        `levels` and `trades` bound what is told of the book, and of trades and best prices. Raise
        `RecordingError` for a recording that cannot be read, `RecordingChangedError` for one that
        has changed meanwhile.
        """
        self.make(time_ms)
        places = self._books.places()
        index = _last(places, lambda one: one.ms <= time_ms)
        return self._moment(places, index, time_ms, None, levels, trades)

    def after_row(self, row: int, *, levels: int = MAX_LEVELS, trades: int = 100) -> Moment:
        """Return the moment after the first `row` book rows, and the trades up to that row's time.

        Rows are counted from the beginning of the recording's files. Beyond the last one, it is the
        moment after the last. Otherwise like `at`.
        """
        self.make(FOREVER_MS)
        places = self._books.places()
        index = _last(places, lambda one: one.number < row)
        return self._moment(places, index, FOREVER_MS, row, levels, trades)

    def _moment(
        self,
        places: list[tuple[int, Checkpoint]],
        index: int,
        time_ms: int,
        row: int | None,
        levels: int,
        trades: int,
    ) -> Moment:
        book = self._book_at(places, index, time_ms, row)
        if row is not None:
            time_ms = self._start_ms if book.row_ms is None else book.row_ms
        cvd, last = self._trades_at(time_ms, trades)
        bids, asks = book.state.book.top_levels(levels)
        bid_levels, ask_levels = book.state.book.level_counts
        if not self.is_current:
            path = str(self._tables[0].path)
            msg = f"{path}: changed while it was read; ask again"
            raise RecordingChangedError(msg, path)
        return Moment(
            time_ms,
            book.row,
            book.row_ms,
            bids,
            asks,
            bid_levels,
            ask_levels,
            book.state.reliability.reliable,
            cvd,
            last,
            book.best[-trades:] if trades else [],
        )

    def _book_at(
        self, places: list[tuple[int, Checkpoint]], index: int, time_ms: int, row: int | None
    ) -> "_BookAt":
        """Apply the rows since a checkpoint, or since one before it, to have enough for `best`."""
        if not places:
            return _BookAt(BookState(uncross=False), 0, [])
        begin, later = index, _cut(self._read(places, index, time_ms), places[index][1], row)
        while True:
            group, checkpoint = places[begin]
            state = self._books.sources[group].begin(checkpoint.unpacked())
            tail, applied = _apply_all_but_last(state, later, BEST_ROWS)
            count = sum(map(len, tail))
            if applied or count >= BEST_ROWS or begin == 0:
                return _BookAt(state, checkpoint.number + applied, tail)
            begin -= 1
            later = _one_after_the_other(self._read(places, begin, FOREVER_MS), tail)

    def _read(
        self, places: list[tuple[int, Checkpoint]], index: int, time_ms: int
    ) -> Iterator[BookBatch]:
        return self._books.read(places, index, time_ms + 1)

    def _trades_at(
        self, time_ms: int, count: int
    ) -> tuple[float, list[tuple[int, float, float, str | None]]]:
        """Return the CVD from the start on, and the last trades from there on."""
        before = self._sums_before_start
        if time_ms < self._start_ms:
            return 0.0, []
        sums, last = self._sums_at(time_ms, count)
        told = [(t[5], t[2], t[3], t[4]) for t in last if t[5] >= self._start_ms]
        return fsum([*sums, *(-part for part in before)]), told

    @cached_property
    def _sums_before_start(self) -> tuple[float, float]:
        return self._sums_at(self._start_ms - 1, 0)[0]

    def _sums_at(self, time_ms: int, count: int) -> tuple[tuple[float, float], list[Trade]]:
        places = self._trades.places()
        if not places:
            return (0.0, 0.0), []
        index = _last(places, lambda one: one.ms <= time_ms)
        state = TradeState(places[index][1].unpacked())
        last: deque[Trade] = deque(maxlen=count)
        for trades in self._trades.read(places, index, time_ms + 1):
            state.apply(trades)
            last.extend(trades)
        while len(last) < count and index and places[index][1].ms >= self._start_ms:
            index -= 1
            earlier: deque[Trade] = deque(maxlen=count - len(last))
            for trades in self._trades.read(places, index, FOREVER_MS):
                earlier.extend(trades)
            last.extendleft(reversed(earlier))
        return state.sums, list(last)


def book_at(
    recording: Recording, time_ms: int, start_ms: int | None = None, **settings: Any
) -> Moment:
    """Return one moment of a recording; `settings` as in `Moments`. See `Moments.at`."""
    start = recording.first_ms if start_ms is None else start_ms
    return Moments(recording, start, **settings).at(time_ms)


class _BookAt:
    """A book brought to a moment, the last rows one by one."""

    def __init__(self, state: BookState, row: int, tail: list[BookBatch]) -> None:
        self.state = state
        self.row = row
        self.row_ms: int | None = None
        self.best: list[Best] = []
        known: tuple[float | None, float | None] | None = None
        for batch in tail:
            for number in range(len(batch)):
                state.apply(batch.part(number, number + 1))
                self.row += 1
                self.row_ms = batch.rows[number][0]
                now = self._best_now()
                if known != (now[2], now[4]):
                    known = now[2], now[4]
                    self.best.append(now)
            if not len(batch):
                state.apply(batch)

    def _best_now(self) -> Best:
        bids, asks = self.state.book.top_levels(1)
        bid, bid_size = bids[0] if bids else (None, None)
        ask, ask_size = asks[0] if asks else (None, None)
        return self.row_ms or 0, self.row, bid, bid_size, ask, ask_size


def _groups(tables: list[RecordedTable]) -> list[list[RecordedTable]]:
    return standing_apart(table for table in tables if not table.is_empty)


def _last(places: list[tuple[int, Checkpoint]], holds: Any) -> int:
    """Return the index of the last place whose checkpoint `holds`, as all before it do."""
    low, high = 0, len(places)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(places[middle][1]) else (low, middle)
    return low


def _cut(batches: Iterator[BookBatch], begin: Checkpoint, row: int | None) -> Iterator[BookBatch]:
    """Yield batches up to the row of that number; all of them for None."""
    number = begin.number
    for batch in batches:
        if row is None or number + len(batch) <= row:
            number += len(batch)
            yield batch
            continue
        if row > number:
            wanted = batch.part(0, row - number)
            yield wanted
        return


def _apply_all_but_last(
    state: BookState, batches: Iterable[BookBatch], count: int
) -> tuple[list[BookBatch], int]:
    """Apply rows but the last `count`; return these, and how many were applied."""
    held: deque[BookBatch] = deque()
    total = applied = 0
    for batch in batches:
        held.append(batch)
        total += len(batch)
        while total - len(held[0]) >= count:
            first = held.popleft()
            state.apply(first)
            total, applied = total - len(first), applied + len(first)
    if total > count:
        first = held.popleft()
        cut = total - count
        state.apply(first.part(0, cut))
        held.appendleft(first.part(cut, len(first)))
        applied += cut
    return list(held), applied


def _one_after_the_other(
    first: Iterable[BookBatch], second: Iterable[BookBatch]
) -> Iterator[BookBatch]:
    yield from first
    yield from second
