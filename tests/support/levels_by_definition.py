"""Support and resistance from their definition, over whole lists: slow, and without any state."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import fsum
from typing import NamedTuple

from trading.messages import TickEvent


class Bar(NamedTuple):
    high: float
    low: float
    close: float
    closed_by: TickEvent


class Swing(NamedTuple):
    price: float
    bar: int
    known: int


class Found(NamedTuple):
    """A decision: the bar at whose close it was made, and what it was."""

    bar: int
    side: str
    event: str
    role: str
    price: float
    strength: int


@dataclass
class Level:
    born: int
    side: int
    swings: list[Swing]
    signals: list[int] = field(default_factory=list)
    lived: dict[int, bool] = field(default_factory=dict)


def bars_of(ticks: Sequence[TickEvent], seconds: int) -> list[Bar]:
    """Return the closed bars of trades: those with a tick after their window."""
    width = seconds * 1000
    prices: dict[int, list[float]] = {}
    for tick in ticks:
        if tick.price is not None:
            prices.setdefault(tick.time_ms // width, []).append(tick.price)
    bars = []
    for window, traded in sorted(prices.items()):
        after = bisect_left(ticks, (window + 1) * width, key=lambda tick: tick.time_ms)
        if after < len(ticks):
            bars.append(Bar(max(traded), min(traded), traded[-1], ticks[after]))
    return bars


class Definition:
    """What the definition says of these bars; `found` has the decisions in their order."""

    def __init__(
        self, bars: Sequence[Bar], *, k: int, c: float, n: int, tick: float, s: int, m: int
    ) -> None:
        self.bars, self.k, self.c, self.n, self.tick, self.s, self.m = bars, k, c, n, tick, s, m
        self.levels: list[Level] = []
        self.found: list[Found] = []
        for j in range(len(bars)):
            self.found += self.decisions(j)
            for price in self.swings_known_at(j):
                self.join(price, j)

    def true_range(self, j: int) -> float:
        before = self.bars[max(j - 1, 0)].close if j else None
        bar = self.bars[j]
        if before is None:
            return bar.high - bar.low
        return max(bar.high, before) - min(bar.low, before)

    def tolerance(self, j: int) -> float:
        last = [self.true_range(i) for i in range(max(0, j - self.n + 1), j + 1)]
        return max(2 * self.tick, self.c * (fsum(last) / len(last)))

    def swings_known_at(self, j: int) -> list[float]:
        i, k = j - self.k, self.k
        if i - k < 0:
            return []
        before, after = self.bars[i - k : i], self.bars[i + 1 : i + k + 1]
        bar, swings = self.bars[i], []
        if all(bar.high > b.high for b in before) and not any(bar.high < b.high for b in after):
            swings.append(bar.high)
        if all(bar.low < b.low for b in before) and not any(bar.low > b.low for b in after):
            swings.append(bar.low)
        return swings

    def join(self, price: float, j: int) -> None:
        alive = [level for level in self.levels if self.lives(level, j)]
        swing = Swing(price, j - self.k, j)
        # A swing high and a swing low of one bar may meet the same level: both count at once.
        gaps = [abs(self.price(level, j + 1) - price) for level in alive]
        if gaps and min(gaps) <= self.tolerance(j):
            alive[gaps.index(min(gaps))].swings.append(swing)
        else:
            side = 1 if self.bars[j].close >= price else -1
            self.levels.append(Level(j, side, [swing]))

    def swings(self, level: Level, j: int) -> list[Swing]:
        """Return the swings that were known before the close of bar j."""
        return [swing for swing in level.swings if swing.known < j]

    def price(self, level: Level, j: int) -> float:
        known = self.swings(level, j)
        return fsum(swing.price for swing in known) / len(known)

    def touches(self, level: Level, j: int) -> bool:
        reach = (self.bars[j].high, self.bars[j].low, *([self.bars[j - 1].close] if j else []))
        price, tolerance = self.price(level, j), self.tolerance(j)
        return min(reach) <= price + tolerance and max(reach) >= price - tolerance

    def is_beyond(self, level: Level, j: int) -> bool:
        return level.side * (self.bars[j].close - self.price(level, j)) < -self.tolerance(j)

    def lives(self, level: Level, j: int) -> bool:
        """Return whether a level has not been dropped by the close of bar j."""
        if j not in level.lived:
            level.lived[j] = j <= level.born or (self.lives(level, j - 1) and self.stays(level, j))
        return level.lived[j]

    def stays(self, level: Level, j: int) -> bool:
        first = max(level.born + 1, j - self.m + 1)
        beyond = [self.is_beyond(level, t) for t in range(max(first, j - 1), j + 1)]
        is_new = level.swings[0].bar > j - self.m
        touched = is_new or any(self.touches(level, t) for t in range(first, j + 1))
        return touched and beyond != [True, True]

    def decisions(self, j: int) -> list[Found]:
        if not j:
            return []
        before, close = self.bars[j - 1].close, self.bars[j].close
        strong = [
            level
            for level in self.levels
            if len(self.swings(level, j)) >= self.s and self.lives(level, j - 1)
        ]
        price_of = {id(level): self.price(level, j) for level in strong}
        below = [level for level in strong if price_of[id(level)] < before]
        above = [level for level in strong if price_of[id(level)] > before]
        found = []
        for role, levels, best in (("support", below, max), ("resistance", above, min)):
            if not levels:
                continue
            level = best(levels, key=lambda level: price_of[id(level)])
            price, tolerance = price_of[id(level)], self.tolerance(j)
            same_touch = any(
                all(self.touches(level, u) for u in range(t + 1, j)) for t in level.signals
            )
            if same_touch or not self.touches(level, j):
                continue
            away = close - price if role == "support" else price - close
            if away > 0:
                event, side = "bounce", "buy" if role == "support" else "sell"
            elif away < -tolerance:
                event, side = "break", "sell" if role == "support" else "buy"
            else:
                continue
            level.signals.append(j)
            found.append(Found(j, side, event, role, price, len(self.swings(level, j))))
        return found
