"""Metrics of what was traded and by whom: delta, CVD, VWAP, trade count and sizes."""

from collections.abc import Sequence
from math import isfinite, isnan, nan
from operator import mul

from metrics.metric import OHLC, TradeMetric, Trades
from metrics.rolling_bars import CompensatedSum, extend_ohlc
from metrics.trade_columns import BUY, OTHER
from orderflow.errors import UsageError

DAY_MS = 86_400_000
ANCHORS = ("start", "day", "bar")


def signed_sizes(trades: Trades) -> list[float]:
    """Return the sizes of taker buys, and those of taker sells negative; others are left out."""
    return [
        size if side == BUY else -size
        for size, side in zip(trades.size, trades.side, strict=True)
        if side != OTHER
    ]


class Delta(TradeMetric):
    """Taker buys less taker sells of a bar, and the extremes of the running difference in it.

    The difference begins at 0, which is among the extremes. A trade of unknown side is left out.
    """

    name = "delta"
    formula = "Σ buy size - Σ sell size; min and max of the running sum, 0 included"
    unit = "size"
    source = "by definition; usual in footprint charts"
    fields = ("value", "min", "max")

    def __init__(self) -> None:
        self.begin_bar()

    def begin_bar(self) -> None:
        """Begin a bar."""
        self._sum = CompensatedSum()
        self._low = self._high = 0.0

    def add_trades(self, trades: Trades) -> None:
        """Add trades of the bar in progress."""
        running = self._sum.add(signed_sizes(trades))
        self._low = min([self._low, *running])
        self._high = max([self._high, *running])

    def value(self) -> Sequence[float]:
        """Return the difference and its extremes."""
        return self._sum.value, self._low, self._high

    def without_events(self, before: Sequence[float]) -> Sequence[float]:
        """Return no difference."""
        return [0.0] * len(before)


class CumulativeDelta(TradeMetric):
    """The delta since START; a bar opens at the value before its first trade."""

    name = "cvd"
    formula = "Σ buy size - Σ sell size since START"
    unit = "size"
    source = "by definition"
    fields = OHLC

    def __init__(self) -> None:
        self._sum = CompensatedSum()
        self.begin_bar()

    def begin_bar(self) -> None:
        """Begin a bar at the value so far."""
        self._bar = [self._sum.value] * 4

    def add_trades(self, trades: Trades) -> None:
        """Add trades of the bar in progress."""
        self._bar = extend_ohlc(self._bar, self._sum.add(signed_sizes(trades)) or self._bar[3:])

    def value(self) -> Sequence[float]:
        """Return open, high, low and close."""
        return self._bar

    def without_events(self, before: Sequence[float]) -> Sequence[float]:
        """Return a flat bar at the last close."""
        return [before[3] if isfinite(before[3]) else 0.0] * 4


class Vwap(TradeMetric):
    """The volume-weighted average price since an anchor.

    `anchor` is `start` (START), `day` (each 00:00 UTC), `bar` (each bar's own), or a time.
    """

    name = "vwap"
    formula = "Σ price·size / Σ size since the anchor"
    unit = "price"
    source = "by definition; Berkowitz, Logue, Noser (1988)"
    moments = ("anchor",)

    def __init__(self, anchor: str = "start") -> None:
        if anchor not in ANCHORS and not anchor.isdecimal():
            msg = (
                f"the parameter anchor is one of {', '.join(ANCHORS)}, or a time as in "
                f"2025-06-09T12:30; found {anchor!r}"
            )
            raise UsageError(msg, "anchor", anchor)
        self._anchor = anchor
        self._from_ms = float(anchor) if anchor.isdecimal() else 0.0
        self._day = nan
        self._clear()

    def _clear(self) -> None:
        self._notional, self._volume = CompensatedSum(), CompensatedSum()

    def begin_bar(self) -> None:
        """Begin a bar."""
        if self._anchor == "bar":
            self._clear()

    def add_trades(self, trades: Trades) -> None:
        """Add trades of the bar in progress."""
        if self._anchor == "day":
            self._add_days(trades)
            return
        if trades.time[0] < self._from_ms:
            count = sum(time < self._from_ms for time in trades.time)
            trades = trades.part(count, len(trades.time))
        self._add(trades)

    def _add_days(self, trades: Trades) -> None:
        start, count = 0, len(trades.time)
        while start < count:
            day = trades.time[start] // DAY_MS
            if day != self._day:
                self._day = day
                self._clear()
            stop = start
            if trades.time[-1] // DAY_MS == day:
                stop = count
            while stop < count and trades.time[stop] // DAY_MS == day:
                stop += 1
            self._add(trades.part(start, stop))
            start = stop

    def _add(self, trades: Trades) -> None:
        self._notional.add(map(mul, trades.price, trades.size))
        self._volume.add(trades.size)

    def value(self) -> Sequence[float]:
        """Return the average; NaN where nothing was traded since the anchor."""
        volume = self._volume.value
        return [self._notional.value / volume if volume else nan]

    def without_events(self, before: Sequence[float]) -> Sequence[float]:
        """Return the last average; of a bar of its own there is none."""
        return [nan] if self._anchor == "bar" else before


class TradeCount(TradeMetric):
    """The number of trades in a bar. A trade that is split between bars counts in each."""

    name = "trade_count"
    formula = "n"
    unit = "trades"
    source = "by definition"

    def __init__(self) -> None:
        self.begin_bar()

    def begin_bar(self) -> None:
        """Begin a bar."""
        self._count = 0

    def add_trades(self, trades: Trades) -> None:
        """Add trades of the bar in progress."""
        self._count += len(trades.time)

    def value(self) -> Sequence[float]:
        """Return the number."""
        return [float(self._count)]

    def without_events(self, before: Sequence[float]) -> Sequence[float]:
        """Return none."""
        return [0.0] * len(before)


class MeanTrade(TradeCount):
    """The mean size of the trades in a bar."""

    name = "mean_trade"
    formula = "Σ size / n"
    unit = "size"

    def begin_bar(self) -> None:
        """Begin a bar."""
        super().begin_bar()
        self._volume = CompensatedSum()

    def add_trades(self, trades: Trades) -> None:
        """Add trades of the bar in progress."""
        super().add_trades(trades)
        self._volume.add(trades.size)

    def value(self) -> Sequence[float]:
        """Return the mean; NaN without a trade."""
        return [self._volume.value / self._count if self._count else nan]

    def without_events(self, before: Sequence[float]) -> Sequence[float]:
        """Return no value."""
        return [nan] * len(before)


class LargestTrade(TradeMetric):
    """The size of the largest trade in a bar."""

    name = "largest_trade"
    formula = "max size"
    unit = "size"
    source = "by definition"

    def __init__(self) -> None:
        self.begin_bar()

    def begin_bar(self) -> None:
        """Begin a bar."""
        self._largest = nan

    def add_trades(self, trades: Trades) -> None:
        """Add trades of the bar in progress."""
        largest = max(trades.size)
        self._largest = largest if isnan(self._largest) else max(self._largest, largest)

    def value(self) -> Sequence[float]:
        """Return the size; NaN without a trade."""
        return [self._largest]
