"""Aggregate trades and book rows into bars: the core of a replay, without I/O or a clock."""

from bisect import bisect_left
from collections.abc import Sequence
from operator import itemgetter, sub

from metrics.rolling_bars import MAX_BARS, Bar, CompensatedSum, RollingBars, extend_ohlc
from metrics_calculator import MetricBar, MetricsCalculator
from orderbook_manager import OrderbookManager, SequenceCheck
from orderflow.events import SNAPSHOT_ACTIONS, BookRow, OrderbookUpdate, Trade, time_of_trade

OhlcBar = Bar
_action, _prev_seq_id = itemgetter(4), itemgetter(6)


class OHLCProcessor:
    """Turn the events of one instrument into OHLC and metric bars.

    Book rows come in time order, and so do trades; of the two either may be ahead, and each may be
    given by a thread of its own. Windows are `window_seconds` long and aligned to the epoch in UTC.
    OBI and TOT are taken over the best `depth_levels_per_side` levels. Rows before
    `start_timestamp` (ms) warm up the book and are in no bar. `book_mode` says what rows without an
    action are: `incremental` updates or full `snapshot`s. `uncross` drops the older of the levels
    that cross.

    Counted: `rows` (book rows since the start), `warm_up_rows` (before it), `trades`.
    """

    def __init__(
        self,
        window_seconds: int = 60,
        depth_levels_per_side: int = 50,
        *,
        start_timestamp: int | None = None,
        book_mode: str = "incremental",
        uncross: bool = False,
        max_bars: int = MAX_BARS,
    ) -> None:
        self.book = OrderbookManager(depth_levels_per_side, uncross=uncross)
        self.metrics = MetricsCalculator(window_seconds, max_bars)
        self.sequence = SequenceCheck()
        self.depth_levels_per_side = depth_levels_per_side
        self.rows = 0
        self.warm_up_rows = 0
        self.trades = 0
        self.longest_silence_ms = 0
        self.row_span: tuple[int, int] | None = None
        self.trade_span: tuple[int, int] | None = None
        self._start = start_timestamp if start_timestamp is not None else -1
        self._replace_all = book_mode == "snapshot"
        self._clearing = SNAPSHOT_ACTIONS | ({None} if self._replace_all else frozenset())
        self._ohlc = OhlcBars(window_seconds, max_bars)

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
        return [span for span in (self.row_span, self.trade_span) if span]

    def process_trades(self, trades: Sequence[Trade]) -> None:
        """Add trades `(id, trade_id, price, size, side, timestamp_ms)`, in time order.

        Prices are finite and positive, sizes finite and not negative. A window without trades has
        no bar. Raise `OrderflowError` for a trade before the current window.
        """
        if not trades:
            return
        self._ohlc.add(trades)
        self.metrics.cvd.add(trades)
        self.trades += len(trades)
        first = self.trade_span[0] if self.trade_span else trades[0][5]
        self.trade_span = first, trades[-1][5]

    def update_orderbook(self, ob_update: OrderbookUpdate) -> None:
        """Apply one book row: see `process_rows`.

        An update whose sides are both None stands for a window without a row and does nothing.
        """
        bids, asks, timestamp, _, _, action, seq_id, prev_seq_id = ob_update
        if bids is not None or asks is not None:
            self.process_rows([(timestamp, 0, bids, asks, action, seq_id, prev_seq_id)])

    def process_rows(self, rows: Sequence[BookRow]) -> None:
        """Apply book rows, in time order, and sample OBI and TOT after each.

        No sample while a side is empty, nor before the start. Raise `OrderflowError` for a sample
        before the current window.
        """
        snapshots = self._find_snapshots(rows)
        outcome = self.book.update_rows(rows, snapshots)
        samples = outcome.samples
        self._check_sequence(rows, snapshots, outcome.skipped)
        times = [row[0] for row in rows]
        begun = bisect_left(times, self._start)
        if begun:
            self.warm_up_rows += begun
            del times[:begun]
            samples = samples[bisect_left(samples, (self._start,)) :]
        if times:
            self._note_times(times)
        self.metrics.samples.add(samples)

    def _find_snapshots(self, rows: Sequence[BookRow]) -> list[bool]:
        """Tell which rows replace the book; most lists need no look at each row."""
        if not _are_marked(rows):
            return [self._replace_all] * len(rows)
        if self._clearing.isdisjoint(map(_action, rows)) and -1 not in map(_prev_seq_id, rows):
            return [False] * len(rows)
        return [row[4] in self._clearing or (row[6] == -1 and row[5] is not None) for row in rows]

    def _check_sequence(
        self, rows: Sequence[BookRow], snapshots: Sequence[bool], skipped: Sequence[int]
    ) -> None:
        """Follow the rows' ids; a row that was skipped makes the book unreliable too."""
        chained = _are_marked(rows) and not {None}.issuperset(map(_prev_seq_id, rows))
        if not skipped and not chained:
            self.sequence.reliable |= True in snapshots
            return
        if not skipped and True not in snapshots and self.sequence.follows(rows):
            return
        unread = set(skipped)
        for index, (row, is_snapshot) in enumerate(zip(rows, snapshots, strict=True)):
            if chained and row[5] is not None and row[6] is not None:
                self.sequence.follow(row[5], row[6], is_snapshot=is_snapshot)
            if index in unread:
                self.sequence.reliable = False
            elif is_snapshot:
                self.sequence.reliable = True

    def _note_times(self, times: list[int]) -> None:
        first = self.row_span[0] if self.row_span else times[0]
        before = self.row_span[1] if self.row_span else times[0]
        silence = max(map(sub, times, [before, *times[:-1]]))
        self.longest_silence_ms = max(self.longest_silence_ms, silence)
        self.row_span = first, times[-1]
        self.rows += len(times)

    def bars(self) -> list[OhlcBar]:
        """Return the last bars `[ts, open, high, low, close, volume]`, the current one included."""
        return self._ohlc.bars()

    def metric_bars(self) -> list[MetricBar]:
        """Return the last metric bars, the current one included (see `MetricsCalculator`)."""
        return self.metrics.bars()

    def depth(self) -> tuple[list[list[float]], list[list[float]]]:
        """Return the best levels `([[price, size], …], …)`, bids then asks, best first."""
        return self.book.top_levels(self.depth_levels_per_side)

    def finalize(self) -> None:
        """Close the bars in progress, as at the end of the data; harmless when repeated."""
        self._ohlc.finalize()
        self.metrics.finalize()


def _are_marked(rows: Sequence[BookRow]) -> bool:
    """Tell whether the rows, which are alike, have actions and ids."""
    return bool(rows) and len(rows[0]) > 4


class OhlcBars(RollingBars):
    """Bars `[ts, open, high, low, close, volume]` of trades."""

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
        for run in self._runs(trades, time_of_trade):
            self._values = extend_ohlc(self._values, [trade[2] for trade in run])
            self._bar_volume.add([trade[3] for trade in run])

    def finalize(self) -> None:
        """Close the bar in progress, as at the end of the data; harmless when repeated."""
        super().finalize()
        self._closed_volume.merge(self._bar_volume)
        self._bar_volume = CompensatedSum()

    def _current_bar(self) -> Bar:
        return [*super()._current_bar(), self._bar_volume.value]
