"""Metrics of how prices move, and with what volume: realised volatility, VPIN, Kyle's lambda."""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from math import fsum, isnan, log, nan, sqrt

from metrics.book_rows import BookRows
from metrics.metric import BookMetric, TradeMetric, Trades, check_positive, check_range
from metrics.portions import Portions
from metrics.rolling_bars import CompensatedSum
from metrics.trade_columns import BUY, OTHER
from metrics.volume_metrics import signed_sizes
from orderflow.errors import UsageError

MAX_SECONDS = 86_400
MAX_KEPT = 10_000
ROUNDING = 2.0**-50
"""So small a share of a volume is rounding: 0.1 + 0.2 is not 0.3."""


class RealisedVolatility(BookMetric):
    """The realised volatility of the mid in a bar, sampled every `seconds`; not annualised.

    The samples are the last mids of each interval, aligned to the epoch, within the bar; the first
    is held against the last of the bar before.
    """

    name = "realised_volatility"
    formula = "√Σ r², r = ln(mid / previous mid)"
    unit = "none (log return)"
    source = "Andersen, Bollerslev, Diebold, Labys (2003)"

    def __init__(self, seconds: float = 1.0) -> None:
        self._interval_ms = _whole_ms(seconds)
        self._interval = self._sampled = self._mid = nan
        self._squares = CompensatedSum()

    def warm_up(self, rows: BookRows) -> None:
        """Take the last mid before the range as the one to begin with."""
        self._mid = self._sampled = (rows.bid[-1] + rows.ask[-1]) / 2

    def add_rows(self, rows: BookRows) -> None:
        """Add rows of the bar in progress."""
        start, count = 0, len(rows)
        while start < count:
            interval = rows.time[start] // self._interval_ms
            if interval != self._interval:
                self._take_sample()
                self._interval = interval
            start = bisect_left(rows.time, (interval + 1) * self._interval_ms, start)
            self._mid = (rows.bid[start - 1] + rows.ask[start - 1]) / 2

    def _take_sample(self) -> None:
        self._squares.add((self._square(),))
        self._sampled = self._mid

    def _square(self) -> float:
        """Return the square of the return since the last sample; 0 where there is none yet."""
        if isnan(self._sampled) or isnan(self._mid):
            return 0.0
        return log(self._mid / self._sampled) ** 2

    def begin_bar(self) -> None:
        """Begin a bar."""
        self._take_sample()
        self._interval = nan
        self._squares = CompensatedSum()

    def value(self) -> Sequence[float]:
        """Return the root of the sum of squares; NaN before the first row."""
        return [nan if isnan(self._mid) else sqrt(self._squares.value + self._square())]

    def without_events(self, before: Sequence[float]) -> Sequence[float]:
        """Return no volatility; NaN before the first row."""
        return [before[0] * 0.0]


class Vpin(TradeMetric):
    """The volume-synchronised probability of informed trading, after the last full bucket.

    Trades are split where a bucket is full. Those of unknown side are left out; the taker's side
    is known, and no classification in bulk is needed.
    """

    name = "vpin"
    formula = "Σ |VB - VS| / (n·V) over the last n buckets of volume V"
    unit = "none, from 0 to 1"
    source = "Easley, López de Prado, O'Hara (2012), Flow toxicity and liquidity"

    def __init__(self, volume: float, buckets: int = 50) -> None:
        check_positive("volume", volume)
        check_range("buckets", buckets, 1, MAX_KEPT)
        self._volume, self._count = volume, buckets
        self._portions = Portions(volume)
        self._difference = CompensatedSum()
        self._buckets: deque[float] = deque(maxlen=buckets)

    def add_trades(self, trades: Trades) -> None:
        """Add trades of the bar in progress."""
        signed = array("d", signed_sizes(trades))
        indexes, parts, fills = self._portions.cut(array("d", map(abs, signed)))
        signs = [1.0 if side == BUY else -1.0 for side in trades.side if side != OTHER]
        terms = [part * signs[index] for index, part in zip(indexes, parts, strict=True)]
        start = 0
        while 1 in fills[start:]:
            stop = fills.index(1, start) + 1
            self._difference.add(terms[start:stop])
            self._buckets.append(abs(self._difference.value))
            self._difference = CompensatedSum()
            start = stop
        self._difference.add(terms[start:])

    def value(self) -> Sequence[float]:
        """Return the figure; NaN before so many buckets are full."""
        if len(self._buckets) < self._count:
            return [nan]
        return [fsum(self._buckets) / (self._count * self._volume)]

    def without_events(self, before: Sequence[float]) -> Sequence[float]:
        """Return the figure as it was."""
        return before


class KyleLambda(TradeMetric):
    """Kyle's lambda: by how much the price moves with the net volume of takers.

    Taken over the last `intervals` of `seconds`, aligned to the epoch, that had a trade; the one in
    progress is among them. The change of price is from the last trade of the interval before.
    """

    name = "kyle_lambda"
    formula = "Σ (q - q̄)(Δp - Δp̄) / Σ (q - q̄)², q = Σ buy size - Σ sell size of an interval"
    unit = "price per size"
    source = "Kyle (1985); estimated by least squares as in Hasbrouck (2009)"

    def __init__(self, seconds: float = 10.0, intervals: int = 60) -> None:
        check_range("intervals", intervals, 2, MAX_KEPT)
        self._interval_ms, self._count = _whole_ms(seconds), intervals
        self._interval = self._price = self._price_before = nan
        self._net, self._gross = CompensatedSum(), 0.0
        self._intervals: deque[tuple[float, float, float]] = deque(maxlen=intervals)

    def add_trades(self, trades: Trades) -> None:
        """Add trades of the bar in progress."""
        start, count = 0, len(trades.time)
        while start < count:
            interval = trades.time[start] // self._interval_ms
            if interval != self._interval:
                self._close_interval()
                self._interval = interval
            stop = bisect_left(trades.time, (interval + 1) * self._interval_ms, start)
            signed = signed_sizes(trades.part(start, stop))
            self._net.add(signed)
            self._gross += fsum(map(abs, signed))
            self._price = trades.price[stop - 1]
            start = stop

    def _close_interval(self) -> None:
        if not isnan(self._price_before):
            self._intervals.append(self._current())
        self._price_before = self._price
        self._net, self._gross = CompensatedSum(), 0.0

    def _current(self) -> tuple[float, float, float]:
        """Return the interval in progress: net volume, change of price, volume."""
        return self._net.value, self._price - self._price_before, self._gross

    def value(self) -> Sequence[float]:
        """Return the slope; NaN while the net volumes do not differ."""
        found = list(self._intervals)
        if not isnan(self._price_before):
            found = [*found, self._current()][-self._count :]
        noise = ROUNDING * max((gross for *_, gross in found), default=0.0)
        return [slope([(net, change) for net, change, _ in found], noise)]

    def without_events(self, before: Sequence[float]) -> Sequence[float]:
        """Return the slope as it was."""
        return before


def _whole_ms(seconds: float) -> int:
    """Return a parameter in ms. Raise `UsageError` for one that is not so many whole ms."""
    check_range("seconds", seconds, 0.001, MAX_SECONDS)
    ms = round(seconds * 1000)
    if abs(seconds * 1000 - ms) > 1e-6:
        msg = f"times are in ms, so that the parameter seconds has 3 decimals; found {seconds:.15g}"
        raise UsageError(msg, "seconds", seconds)
    return ms


def slope(points: Sequence[tuple[float, float]], noise: float = 0.0) -> float:
    """Return the slope of the least-squares line through points (x, y); NaN where there is none.

    Values of x that differ by no more than `noise` from their mean are one.
    """
    if not points:
        return nan
    mean_x = fsum(x for x, _ in points) / len(points)
    if all(abs(x - mean_x) <= noise for x, _ in points):
        return nan
    mean_y = fsum(y for _, y in points) / len(points)
    squares = fsum((x - mean_x) ** 2 for x, _ in points)
    products = fsum((x - mean_x) * (y - mean_y) for x, y in points)
    return products / squares if squares > 0.0 else nan
