"""Aggregate trades and book rows into bars: the core of a replay, without I/O or a clock."""

from bisect import bisect_left
from collections.abc import Sequence
from math import inf

from metrics.book_rows import PythonRowRecorder
from metrics.flow import Flow
from metrics.level_log import PythonLevelLog
from metrics.metric_bars import MetricBars
from metrics.rolling_bars import Bar, CompensatedSum, RollingBars
from metrics.traded_bars import price_bars
from metrics_calculator import MetricBar, MetricsCalculator
from orderbook_manager import OrderbookManager
from orderflow.continuity import BookReliability, Silences
from orderflow.events import (
    MAX_BARS,
    BookBatch,
    BookSample,
    OrderbookUpdate,
    Trade,
)
from orderflow.issues import IssueLog
from orderflow.parsed_rows import times_of

OhlcBar = Bar


class OHLCProcessor:
    """Turn the events of one instrument into OHLC and metric bars.

    Book rows must come in time order, and so must trades; either may be ahead of the other, and
    each may come from a thread of its own. Windows are `window_seconds` long and aligned to the
    epoch in UTC. OBI and TOT are taken over the best `depth_levels_per_side` levels. Rows before
    `start_timestamp` (ms) warm up the book and are in no bar. `uncross` drops the older of the
    levels that cross. The last `max_bars` bars are kept. With `flow`, so is the order flow, as the
    attribute of that name (see `metrics.flow`), which else is None. `heatmap` says whether that has
    columns of the book; by default if the book is compiled, or they would cost many times the rest.
    `measured` is fed too: see `metrics.metric_bars`. The book is given `recorder` and
    `level_log`. With `keep` all bars are kept for `take_kept`, whatever their number.

    Counts: `rows` (book rows since the start), `warm_up_rows` (before it), `trades`. `noted` has
    the data issues that have ended; `issues` adds those that may still be going on. `book` is the
    `OrderbookManager` with the book at the last row.

    Raise `OrderflowError` for a window of less than a second or a depth of less than 1 level. See
    docs/python.md for examples.
    """

    def __init__(
        self,
        window_seconds: int = 60,
        depth_levels_per_side: int = 50,
        *,
        start_timestamp: int | None = None,
        uncross: bool = False,
        max_bars: int = MAX_BARS,
        flow: bool = False,
        heatmap: bool | None = None,
        measured: MetricBars | None = None,
        recorder: PythonRowRecorder | None = None,
        level_log: PythonLevelLog | None = None,
        keep: bool = False,
    ) -> None:
        self._start = start_timestamp if start_timestamp is not None else -1
        self.noted = IssueLog()
        if heatmap is None:
            heatmap = OrderbookManager.engine == "compiled"
        self.flow = (
            Flow(window_seconds, start_timestamp, max_bars, heatmap=heatmap) if flow else None
        )
        self.measured = measured
        self.book = OrderbookManager(
            depth_levels_per_side,
            uncross=uncross,
            columns=self.flow.columns if self.flow else None,
            recorder=measured.recorder if measured else recorder,
            level_log=level_log,
        )
        self.metrics = MetricsCalculator(window_seconds, max_bars, self.noted)
        self.reliability = BookReliability(self.noted, self._start)
        self.silences = Silences()
        self.depth_levels_per_side = depth_levels_per_side
        self.rows = 0
        self.warm_up_rows = 0
        self.trades = 0
        self.trade_span: tuple[int, int] | None = None
        self._ohlc = OhlcBars(window_seconds, max_bars)
        if flow:
            for bars in (self._ohlc, self.metrics.cvd, self.metrics.samples):
                bars.fresh = []
        if keep:
            self._ohlc.kept = []
            self.metrics.keep()
            if measured and measured.spec.kind == "time":
                measured.keep()

    @property
    def cvd_cumulative(self) -> float:
        """Return the cumulative volume delta since the start, in the unit of the sizes."""
        return self.metrics.cvd_cumulative

    @property
    def volume(self) -> float:
        """Return the sum of all trade sizes, as recorded (contracts for derivatives)."""
        return self._ohlc.volume

    @property
    def bars_made(self) -> int:
        """Count the OHLC bars closed so far."""
        return self._ohlc.made

    @property
    def first_event(self) -> int | None:
        """Return the time of the first row or trade since the start, in ms; None before it."""
        return min((first for first, _ in self._spans()), default=None)

    @property
    def last_event(self) -> int | None:
        """Return the time of the last row or trade since the start, in ms; None before it."""
        return max((last for _, last in self._spans()), default=None)

    def _spans(self) -> list[tuple[int, int]]:
        return [span for span in (self.silences.span, self.trade_span) if span]

    @property
    def reliable(self) -> bool:
        """Return whether the book is proven by a snapshot, with nothing lost since."""
        return self.reliability.reliable

    @property
    def issues(self) -> IssueLog:
        """Return a copy of what was wrong so far; silences are judged by all rows known by now."""
        issues = IssueLog()
        issues.add(self.noted)
        self.reliability.note_open(issues, self.silences.span and self.silences.span[1])
        for before, after in self.silences.found():
            issues.note("silences", before, after)
        return issues

    def process_trades(self, trades: Sequence[Trade]) -> None:
        """Add trades `(id, trade_id, price, size, side, timestamp_ms)`, in time order.

        Prices must be finite and positive, sizes finite and not negative; `side` is the taker's,
        `buy` or `sell`. Neither this nor the order within `trades` is checked here: a
        `DBInterpreter` sees to it. A window without trades has no bar. Raise `TimeOrderError` for
        a trade before the current window.
        """
        if not trades:
            return
        self._ohlc.add(trades)
        self.metrics.add_trades(trades)
        if self.flow:
            self.flow.add_trades(trades)
        if self.measured:
            self.measured.add_trades(trades)
        self.trades += len(trades)
        first = self.trade_span[0] if self.trade_span else trades[0][5]
        self.trade_span = first, trades[-1][5]

    def update_orderbook(self, ob_update: OrderbookUpdate) -> None:
        """Apply one book row: see `process_rows`.

        An update whose sides are both None stands for a window without a row: only its `lost` rows
        are noted. Trades are given separately, to `process_trades`.
        """
        bids, asks, timestamp, _, _, snapshot, seq_id, prev_seq_id, lost = ob_update
        lost_rows = [(0, rows) for rows in lost]
        if bids is None and asks is None:
            self.process_rows(BookBatch([], [], lost=lost_rows))
            return
        row = timestamp, 0, bids, asks
        known = seq_id is not None
        self.process_rows(
            BookBatch(
                [row],
                [snapshot],
                [seq_id] if known else None,
                [prev_seq_id] if known else None,
                lost_rows,
            )
        )

    def process_rows(self, batch: BookBatch) -> None:
        """Apply book rows, in time order, and sample OBI and TOT after each.

        No sample while a side is empty, nor before the start. Raise `TimeOrderError` for a sample
        before the current window.
        """
        rows = batch.rows
        outcome = self.book.update_rows(rows, batch.snapshots)
        self.reliability.follow(batch, outcome.skipped)
        for kind, found in (("rows_skipped", outcome.skipped), ("crossed_books", outcome.crossed)):
            for index in found:
                self.noted.note(kind, rows[index][0])
        for index, count in outcome.rejected:
            self.noted.note("levels_rejected", rows[index][0], count=count)
        self._add_samples(times_of(rows), outcome.samples)
        if self.measured:
            self.measured.add_rows()

    def _add_samples(self, times: list[int], samples: Sequence[BookSample]) -> None:
        begun = bisect_left(times, self._start)
        if begun:
            self.warm_up_rows += begun
            self.silences.begin_after(times[begun - 1])
            del times[:begun]
            samples = samples[bisect_left(samples, (self._start,)) :]
        self.rows += len(times)
        self.silences.add(times)
        self.metrics.samples.add(samples)

    def bars(self) -> list[OhlcBar]:
        """Return the last bars `[ts, open, high, low, close, volume]`, the current one included.

        Oldest first; `ts` is the start of the bar's window in ms, UTC.
        """
        return self._ohlc.bars()

    def metric_bars(self) -> list[MetricBar]:
        """Return the last metric bars, the current one included (see `MetricsCalculator`)."""
        return self.metrics.bars()

    def depth(self) -> tuple[list[list[float]], list[list[float]]]:
        """Return the best levels `([[price, size], …], …)`, bids then asks, best first.

        At most `depth_levels_per_side` a side; fewer where the book holds fewer.
        """
        return self.book.top_levels(self.depth_levels_per_side)

    def finalize(self) -> None:
        """Close the bars in progress, as at the end of the data; harmless when repeated."""
        self._ohlc.finalize()
        self.metrics.finalize()
        if self.flow:
            self.flow.columns.finish(self.book)
            self.flow.footprint.finish()
        if self.measured:
            self.measured.settle()

    def take_closed(self) -> tuple[list[tuple[float, ...]], list[Bar]]:
        """Return the bars closed since the last call: of trades and of book samples, with `flow`.

        A bar of trades has time, open, high, low, close and volume; volume bought, sold and of
        unknown side; least and greatest delta; VWAP; and the CVD as open, high, low and close. One
        of samples is as in `SampleBars`. Who asks for a processor with `flow` has to take them.
        """
        if self.flow is None:
            return [], []
        ohlc, cvd, sampled = self._ohlc.fresh, self.metrics.cvd.fresh, self.metrics.samples.fresh
        if not (ohlc or sampled):
            return [], []
        self._ohlc.fresh, self.metrics.cvd.fresh, self.metrics.samples.fresh = [], [], []
        flow, self.flow.footprint.fresh = self.flow.footprint.fresh, []
        # One list may be longer where an error ended it: a bar is of all of them.
        parts = zip(ohlc or (), flow, cvd or (), strict=False)
        return [(*prices, *sides[1:], *sums[1:]) for prices, sides, sums in parts], sampled or []

    def take_kept(self, until_ms: float = inf) -> tuple[list[Bar], list[Bar], list[Bar]]:
        """Return the bars that begin before a time and were not returned before, with `keep`.

        They are OHLC bars, each with the number of its trades at the end, bars of book samples, and
        of a CVD that begins at 0 each day, UTC. A bar in progress is among them: what comes later
        into it is not.
        """
        daily = self.metrics.daily_cvd
        return (
            self._ohlc.take_kept(until_ms),
            self.metrics.samples.take_kept(until_ms),
            daily.take_kept(until_ms) if daily else [],
        )


class OhlcBars(RollingBars):
    """Bars `[ts, open, high, low, close, volume]` of trades; kept, with their number at the end."""

    def __init__(self, window_seconds: int, max_bars: int = MAX_BARS) -> None:
        super().__init__(window_seconds, max_bars)
        self._bar_volume = CompensatedSum()
        self._closed_volume = CompensatedSum()

    @property
    def volume(self) -> float:
        """Return the sum of the sizes of all trades."""
        total = CompensatedSum()
        total.merge(self._closed_volume)
        total.merge(self._bar_volume)
        return total.value

    def add(self, trades: Sequence[Trade]) -> None:
        """Add trades `(id, trade_id, price, size, side, timestamp_ms)`, in time order."""
        if trades:
            self._check_order(trades[0][5])
            bars = price_bars(
                trades, self._window_ms, self._bar, self._bar_volume, self._closed_volume
            )
            self._go_on(bars, trades[-1][5])

    def finalize(self) -> None:
        """Close the bar in progress, as at the end of the data; harmless when repeated."""
        super().finalize()
        self._closed_volume.merge(self._bar_volume)
        self._bar_volume.clear()

    def _shown(self, bars: list[Bar]) -> list[Bar]:
        return [bar[:6] for bar in bars]
