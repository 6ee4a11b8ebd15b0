"""Kinds of bars beside those of time: what ends a bar, and which trades are split."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isfinite
from operator import mul
from sys import float_info

from metrics.metric import Trades
from metrics.portions import ROUNDING, Portions
from orderflow.errors import UsageError

KINDS = ("time", "tick", "volume", "value", "range")
MAX_SIZE = 1e15
MAX_SECONDS = 7 * 86_400

Run = tuple[Trades, bool]
"""Trades of one bar, and whether the last of them ends it."""


@dataclass(frozen=True)
class BarSpec:
    """A kind of bar and its size: seconds, trades, volume, value or a range of price."""

    kind: str
    size: float

    def __str__(self) -> str:
        return f"{self.kind}:{self.size:.15g}"

    def cutter(self) -> "TickBars | SizeBars | RangeBars":
        """Return what cuts trades into bars of a kind other than time."""
        if self.kind == "tick":
            return TickBars(int(self.size))
        if self.kind == "range":
            return RangeBars(self.size)
        return SizeBars(self.size, by_value=self.kind == "value")


def parse_bars(text: str) -> BarSpec:
    """Return the kind of bar named by `KIND:SIZE`. Raise `UsageError` for none that there is."""
    kind, colon, size_text = text.partition(":")
    try:
        size = float(size_text)
    except ValueError:
        size = inf
    whole = kind not in {"time", "tick"} or size % 1 == 0
    most = MAX_SECONDS if kind == "time" else MAX_SIZE
    if kind not in KINDS or not colon or not (isfinite(size) and 0 < size <= most and whole):
        msg = (
            f"--bars is time:SECONDS (up to {MAX_SECONDS}), tick:TRADES, volume:SIZE, value:SIZE "
            f"or range:SIZE, seconds and trades whole, all above 0; found {text!r}"
        )
        raise UsageError(msg, "--bars", text)
    return BarSpec(kind, size)


class TickBars:
    """Bars of `count` trades each."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._begun = 0

    def cut(self, trades: Trades) -> Iterator[Run]:
        """Yield the trades of each bar, in order; the last may go on."""
        start, total = 0, len(trades.time)
        while start < total:
            stop = min(start + self._count - self._begun, total)
            self._begun = (self._begun + stop - start) % self._count
            yield trades.part(start, stop), not self._begun
            start = stop


class SizeBars:
    """Bars of so much volume each, or of so much value, price times size.

    A trade that would be more than fills a bar is split: what fills the bar is in it, and the rest
    begins the next one, or several.
    """

    def __init__(self, size: float, *, by_value: bool = False) -> None:
        self._by_value = by_value
        self._portions = Portions(size)

    def cut(self, trades: Trades) -> Iterator[Run]:
        """Yield the trades of each bar, in order; the last may go on."""
        amounts = array("d", trades.size)
        if self._by_value:
            amounts = array("d", map(mul, trades.price, trades.size))
        indexes, parts, fills = self._portions.cut(amounts)
        split = self._split(trades, amounts, indexes, parts)
        start, total = 0, len(parts)
        while start < total:
            stop = next((i + 1 for i in range(start, total) if fills[i]), total)
            yield split.part(start, stop), bool(fills[stop - 1])
            start = stop

    def _split(
        self,
        trades: Trades,
        amounts: "array[float]",
        indexes: "array[int]",
        parts: "array[float]",
    ) -> Trades:
        if len(parts) == len(amounts):
            return trades
        time, price, size, side = trades
        sizes = [
            size[i] if part == amounts[i] else part / price[i] if self._by_value else part
            for i, part in zip(indexes, parts, strict=True)
        ]
        return Trades(
            array("d", [time[i] for i in indexes]),
            array("d", [price[i] for i in indexes]),
            array("d", sizes),
            array("B", [side[i] for i in indexes]),
        )


class RangeBars:
    """Bars that end with the trade that makes highest less lowest price `size` or more."""

    def __init__(self, size: float) -> None:
        self._size = size * (1.0 - ROUNDING)
        self._low, self._high = inf, -inf

    def cut(self, trades: Trades) -> Iterator[Run]:
        """Yield the trades of each bar, in order; the last may go on."""
        start = 0
        low, high, epsilon = self._low, self._high, float_info.epsilon
        for place, price in enumerate(trades.price):
            low, high = min(low, price), max(high, price)
            # Prices are the doubles next to what was recorded: 60000.1 - 60000.0 is below 0.1.
            if high - low + high * epsilon >= self._size:
                low, high = inf, -inf
                yield trades.part(start, place + 1), True
                start = place + 1
        self._low, self._high = low, high
        if start < len(trades.time):
            yield trades.part(start, len(trades.time)), False
