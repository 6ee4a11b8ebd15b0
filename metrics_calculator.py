"""Make bars of order book imbalance (OBI), total depth (TOT) and cumulative volume delta (CVD).

Formulas, B and A being the sums of the sizes of the best N bids and asks after a book row:

    OBI = (B - A) / (B + A)        in [-1, 1], no unit
    TOT = B + A                    in the unit of the sizes
    CVD = Σ size of taker buys - Σ size of taker sells, since the start

Source: the definitions of static order book imbalance and of delta in the order-flow literature;
see docs/reference.md.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from math import inf

from errors import OrderflowError
from market_events import Trade

MetricBar = list[float]
MAX_BARS = 1000


class PreciseSum:
    """Sum doubles in twice their precision, so that rounding never shows in `value`.

    The error of each addition is computed (Knuth's TwoSum) and kept apart: a million additions are
    off by less than 1e-25 of the sum of magnitudes, so that what cancels comes back to nothing.
    """

    __slots__ = ("_high", "_low")

    def __init__(self) -> None:
        self._high = self._low = 0.0

    def add(self, term: float) -> float:
        """Add a finite `term` and return the sum so far."""
        high = self._high
        total = high + term
        rounded = total - high
        low = self._low + ((high - (total - rounded)) + (term - rounded))
        self._high, self._low = total, low
        return total + low

    def merge(self, other: "PreciseSum") -> None:
        """Add all of another sum."""
        self.add(other._high)
        self._low += other._low

    @property
    def value(self) -> float:
        """Return the sum as the nearest double."""
        return self._high + self._low


class WindowClock:
    """Align time to windows of `window_seconds` since the epoch, in UTC.

    `start` and `end` bound the current window in ms, half open; both are -infinity before the
    first event.
    """

    __slots__ = ("_window_ms", "end", "start")

    def __init__(self, window_seconds: int) -> None:
        if window_seconds < 1:
            msg = f"a window lasts at least 1 second; found {window_seconds}"
            raise OrderflowError(msg)
        self._window_ms = window_seconds * 1000
        self.start = self.end = -inf

    def move_to(self, timestamp: int) -> None:
        """Make the window that holds `timestamp` (ms) the current one.

        Raise `OrderflowError` for a time before the current window: bars are never reopened.
        """
        if timestamp < self.start:
            msg = (
                f"events must come in time order; found one at {timestamp} ms after the window "
                f"from {self.start:.0f} ms had begun"
            )
            raise OrderflowError(msg)
        self.start = timestamp - timestamp % self._window_ms
        self.end = self.start + self._window_ms


class MetricsCalculator:
    """Aggregate book samples and trades into metric bars.

    A bar is `[ts, obi_open, obi_high, obi_low, obi_close, tot_…, cvd_…]`, 13 fields. There is one
    for every window with a sample or a trade, from the first sample on; what was not sampled in a
    window stays flat at its last close. A CVD bar opens at the value before its first trade. The
    last `max_bars` are kept.

    `unknown_sides` counts the trades whose side is neither buy nor sell, which leave CVD as it is;
    `unusable_samples` the samples whose sums overflow a double.
    """

    def __init__(self, window_seconds: int = 60, max_bars: int = MAX_BARS) -> None:
        self._clock = WindowClock(window_seconds)
        self._closed: deque[MetricBar] = deque(maxlen=max_bars)
        self._cvd = PreciseSum()
        self._cvd_bar = [0.0] * 4
        self._obi_bar: list[float] | None = None  # None until the first sample of all
        self._tot_bar: list[float] = []
        self._sampled = False  # in the current window
        self._active = False  # a sample or a trade in the current window
        self.unknown_sides = 0
        self.unusable_samples = 0

    @property
    def cvd_cumulative(self) -> float:
        """Return the cumulative volume delta since the start, in the unit of the sizes."""
        return self._cvd_bar[3]

    def add_sample(self, timestamp: int, bid_sum: float, ask_sum: float) -> None:
        """Sample OBI and TOT at `timestamp` (ms) from the sums of the best sizes."""
        total = bid_sum + ask_sum
        if total == inf:
            self.unusable_samples += 1
            return
        if timestamp >= self._clock.end:
            self._roll(timestamp)
        imbalance = (bid_sum - ask_sum) / total
        obi, tot = self._obi_bar, self._tot_bar
        if obi is None or not self._sampled:
            self._obi_bar, self._tot_bar = [imbalance] * 4, [total] * 4
            self._sampled = self._active = True
            return
        obi[3], tot[3] = imbalance, total
        if imbalance > obi[1]:
            obi[1] = imbalance
        elif imbalance < obi[2]:
            obi[2] = imbalance
        if total > tot[1]:
            tot[1] = total
        elif total < tot[2]:
            tot[2] = total

    def add_trades(self, trades: Sequence[Trade]) -> None:
        """Add trades, in time order, to the cumulative volume delta."""
        add, bar, end = self._cvd.add, self._cvd_bar, self._clock.end
        if trades and trades[0][5] < end:
            self._active = True
        for _, _, _, size, side, timestamp in trades:
            if timestamp >= end:
                self._roll(timestamp)
                self._active = True
                bar, end = self._cvd_bar, self._clock.end
            if side == "buy":
                value = add(size)
            elif side == "sell":
                value = add(-size)
            else:
                self.unknown_sides += 1
                continue
            bar[3] = value
            if value > bar[1]:
                bar[1] = value
            elif value < bar[2]:
                bar[2] = value

    def bars(self) -> list[MetricBar]:
        """Return the last bars, oldest first, the window in progress included."""
        current = self._current_bar()
        bars = [*self._closed, current] if current else list(self._closed)
        return bars[-(self._closed.maxlen or 0) :]

    def replace_bars(self, bars: Iterable[MetricBar]) -> None:
        """Take over finished bars in place of the own, such as those joined from several runs."""
        self._closed = deque(bars, maxlen=self._closed.maxlen)
        self._active = self._sampled = False

    def finalize(self) -> None:
        """Close the window in progress, as at the end of the data."""
        current = self._current_bar()
        if current:
            self._closed.append(current)
        self._active = self._sampled = False

    def _current_bar(self) -> MetricBar | None:
        if self._obi_bar is None or not self._active:
            return None
        return [int(self._clock.start), *self._obi_bar, *self._tot_bar, *self._cvd_bar]

    def _roll(self, timestamp: int) -> None:
        self.finalize()
        self._clock.move_to(timestamp)
        self._cvd_bar = [self._cvd_bar[3]] * 4
        if self._obi_bar is not None:
            self._obi_bar, self._tot_bar = [self._obi_bar[3]] * 4, [self._tot_bar[3]] * 4
