"""Aggregate trades and book rows into bars: the core of a replay, without I/O or a clock."""

from collections import deque
from collections.abc import Sequence

from market_events import OrderbookUpdate, Trade
from metrics_calculator import MAX_BARS, MetricBar, MetricsCalculator, PreciseSum, WindowClock
from orderbook_manager import SNAPSHOT_ACTIONS, OrderbookManager, SequenceCheck

OhlcBar = list[float]


class OHLCProcessor:
    """Turn the events of one instrument, in time order, into OHLC and metric bars.

    Windows are `window_seconds` long and aligned to the epoch in UTC. OBI and TOT are taken over
    the best `depth_levels_per_side` levels. Rows before `start_timestamp` (ms) warm up the book
    and are in no bar. `book_mode` says what rows without an action are: `incremental` updates or
    full `snapshot`s. `uncross` drops the older of the levels that cross.

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
        self.bars_made = 0
        self.longest_silence_ms = 0
        self.first_event: int | None = None
        self.last_event: int | None = None
        self._last_row: int | None = None
        self._start = start_timestamp if start_timestamp is not None else -1
        self._replace_all = book_mode == "snapshot"
        self._clock = WindowClock(window_seconds)
        self._closed: deque[OhlcBar] = deque(maxlen=max_bars)
        self._prices: list[float] | None = None
        self._bar_volume = PreciseSum()
        self._volume = PreciseSum()

    @property
    def cvd_cumulative(self) -> float:
        """Return the cumulative volume delta since the start, in the unit of the sizes."""
        return self.metrics.cvd_cumulative

    @property
    def volume(self) -> float:
        """Return the sum of all trade sizes, as recorded (contracts for derivatives)."""
        total = PreciseSum()
        total.merge(self._volume)
        total.merge(self._bar_volume)
        return total.value

    def process_trades(self, trades: Sequence[Trade]) -> None:
        """Add trades `(id, trade_id, price, size, side, timestamp_ms)`, in time order.

        Prices are finite and positive, sizes finite and not negative. A window without trades has
        no bar. Raise `OrderflowError` for a trade before the current window.
        """
        if not trades:
            return
        if trades[0][5] < self._clock.start:
            self._clock.move_to(trades[0][5])
        prices, end, add = self._prices, self._clock.end, self._bar_volume.add
        for _, _, price, size, _, timestamp in trades:
            if timestamp >= end or prices is None:
                prices = self._open_bar(timestamp, price)
                end, add = self._clock.end, self._bar_volume.add
            prices[3] = price
            if price > prices[1]:
                prices[1] = price
            elif price < prices[2]:
                prices[2] = price
            add(size)
        self.trades += len(trades)
        if self.first_event is None:
            self.first_event = trades[0][5]
        self.last_event = trades[-1][5]
        self.metrics.add_trades(trades)

    def update_orderbook(self, ob_update: OrderbookUpdate) -> None:
        """Apply a book row and sample OBI and TOT after it.

        No sample while a side is empty, nor before the start. An update whose sides are both None
        stands for a window without a book row and does nothing.
        """
        bids, asks, timestamp, _, _, action, seq_id, prev_seq_id = ob_update
        if bids is None and asks is None:
            return
        is_snapshot = self._replace_all
        if action is not None:
            is_snapshot = action in SNAPSHOT_ACTIONS
        if prev_seq_id is not None and seq_id is not None:
            is_snapshot = is_snapshot or prev_seq_id == -1
            self.sequence.follow(seq_id, prev_seq_id, is_snapshot=is_snapshot)
        skipped_before = self.book.rows_skipped
        sums = self.book.update(bids, asks, is_snapshot)
        if self.book.rows_skipped != skipped_before:
            self.sequence.reliable = False
        elif is_snapshot:
            self.sequence.reliable = True
        if timestamp < self._start:
            self.warm_up_rows += 1
            return
        last_row = self._last_row
        if last_row is None:
            self.first_event = timestamp if self.first_event is None else self.first_event
        elif timestamp - last_row > self.longest_silence_ms:
            self.longest_silence_ms = timestamp - last_row
        self._last_row = self.last_event = timestamp
        self.rows += 1
        if sums is not None:
            self.metrics.add_sample(timestamp, sums[0], sums[1])

    def bars(self) -> list[OhlcBar]:
        """Return the last bars `[ts, open, high, low, close, volume]`, the current one included."""
        current = self._current_bar()
        bars = [*self._closed, current] if current else list(self._closed)
        return bars[-(self._closed.maxlen or 0) :]

    def metric_bars(self) -> list[MetricBar]:
        """Return the last metric bars, the current one included (see `MetricsCalculator`)."""
        return self.metrics.bars()

    def depth(self) -> tuple[list[list[float]], list[list[float]]]:
        """Return the best levels `([[price, size], …], …)`, bids then asks, best first."""
        return self.book.top_levels(self.depth_levels_per_side)

    def finalize(self) -> None:
        """Close the bars in progress, as at the end of the data; harmless when repeated."""
        self._close_bar()
        self.metrics.finalize()

    def _open_bar(self, timestamp: int, price: float) -> list[float]:
        self._close_bar()
        self._clock.move_to(timestamp)
        self._prices = [price] * 4
        return self._prices

    def _current_bar(self) -> OhlcBar | None:
        if self._prices is None:
            return None
        return [int(self._clock.start), *self._prices, self._bar_volume.value]

    def _close_bar(self) -> None:
        bar = self._current_bar()
        if bar is None:
            return
        self._closed.append(bar)
        self.bars_made += 1
        self._volume.merge(self._bar_volume)
        self._prices = None
        self._bar_volume = PreciseSum()
