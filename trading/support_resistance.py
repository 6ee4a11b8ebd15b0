"""Trade at prices where the market has turned before; docs/trading.md has the definition."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import fsum
from typing import NamedTuple

from trading.decisions import market_order
from trading.messages import Alert, TickEvent, TickKind, TradingSignal
from trading.orders import Side
from trading.settings import check_at_least, check_quantity

NAME = "support-resistance"


class PriceBar(NamedTuple):
    """The trades of one window."""

    high: float
    low: float
    close: float


class Decision(NamedTuple):
    """What a closed bar led to: `event` is bounce or break, `role` support or resistance."""

    side: Side
    event: str
    role: str
    price: float
    strength: int


@dataclass(slots=True)
class Level:
    """A price at which the market has turned, once for each of `swings`.

    `side` is 1 for a level that became known below the price, -1 above it. `touched` is the index
    of the last bar that touched it, at first its swing's, and `passes` counts the last closes
    beyond it. `has_signalled` holds until a bar has not touched it.
    """

    swings: list[float]
    side: int
    touched: int
    passes: int = 0
    has_signalled: bool = False

    @property
    def price(self) -> float:
        """Return the mean of the swings."""
        return fsum(self.swings) / len(self.swings)

    @property
    def strength(self) -> int:
        """Return how many swings there were."""
        return len(self.swings)


class LevelFinder:
    """Find levels in closed bars, and what a bar did at the nearest ones.

    `levels` are those known, oldest first, and `tolerance` that of the last bar.
    """

    def __init__(
        self, swing_bars: int, range_bars: int, factor: float, least: float,
        min_strength: int, max_age_bars: int,
    ) -> None:  # fmt: skip
        self.levels: list[Level] = []
        self.tolerance = least
        self._k = swing_bars
        self._factor = factor
        self._least = least
        self._min_strength = min_strength
        self._max_age = max_age_bars
        self._bars = deque[PriceBar](maxlen=2 * swing_bars + 1)
        self._ranges = deque[float](maxlen=range_bars)
        self._index = -1
        self._close: float | None = None

    def add(self, bar: PriceBar) -> list[Decision]:
        """Add a closed bar; return what it did at the levels that were known before it."""
        self._index += 1
        before = bar.close if self._close is None else self._close
        reach = PriceBar(max(bar.high, before), min(bar.low, before), bar.close)
        self._bars.append(bar)
        self._ranges.append(reach.high - reach.low if self._index else bar.high - bar.low)
        mean = fsum(self._ranges) / len(self._ranges)
        self.tolerance = max(self._least, self._factor * mean)
        decisions = self._decide(reach, before)
        self._follow(reach)
        self._add_swings(bar.close)
        self._close = bar.close
        return decisions

    def _decide(self, reach: PriceBar, before: float) -> list[Decision]:
        strong = [level for level in self.levels if level.strength >= self._min_strength]
        below = [level for level in strong if level.price < before]
        above = [level for level in strong if level.price > before]
        decisions = []
        if below:
            support = max(below, key=lambda level: level.price)
            decisions += self._decide_at(support, reach, 1)
        if above:
            resistance = min(above, key=lambda level: level.price)
            decisions += self._decide_at(resistance, reach, -1)
        return decisions

    def _decide_at(self, level: Level, reach: PriceBar, sign: int) -> list[Decision]:
        """Return what a bar that came from above (sign 1) or below (-1) did at a level."""
        if level.has_signalled or not self._is_touched(level, reach):
            return []
        away = sign * (reach.close - level.price)
        if away < -self.tolerance:
            side, event = (Side.SELL, Side.BUY)[sign < 0], "break"
        elif away > 0:
            side, event = (Side.BUY, Side.SELL)[sign < 0], "bounce"
        else:
            return []
        level.has_signalled = True
        role = "support" if sign > 0 else "resistance"
        return [Decision(side, event, role, level.price, level.strength)]

    def _is_touched(self, level: Level, reach: PriceBar) -> bool:
        price = level.price
        return reach.low <= price + self.tolerance and reach.high >= price - self.tolerance

    def _follow(self, reach: PriceBar) -> None:
        """Bring the levels forward by a bar, and drop those that are passed or forgotten."""
        for level in self.levels:
            if self._is_touched(level, reach):
                level.touched = self._index
            else:
                level.has_signalled = False
            is_beyond = level.side * (reach.close - level.price) < -self.tolerance
            level.passes = level.passes + 1 if is_beyond else 0
        self.levels = [
            level
            for level in self.levels
            if level.passes < 2 and self._index - level.touched < self._max_age
        ]

    def _add_swings(self, close: float) -> None:
        """Add the swings of the bar that has as many after it as before it, now."""
        bars, k = list(self._bars), self._k
        if len(bars) <= 2 * k:
            return
        middle, earlier, later = bars[k], bars[:k], bars[k + 1 :]
        if middle.high > max(b.high for b in earlier) and middle.high >= max(b.high for b in later):
            self._add_swing(middle.high, close)
        if middle.low < min(b.low for b in earlier) and middle.low <= min(b.low for b in later):
            self._add_swing(middle.low, close)

    def _add_swing(self, price: float, close: float) -> None:
        near = min(self.levels, key=lambda level: abs(level.price - price), default=None)
        if near is None or abs(near.price - price) > self.tolerance:
            self.levels.append(Level([price], 1 if close >= price else -1, self._index - self._k))
        else:
            near.swings.append(price)


@dataclass
class SupportResistanceStrategy:
    """Buy where a bar bounces at support or breaks resistance, and the other way round.

    `bar_seconds` is w of the definition, `swing_bars` k, `tolerance` c, `range_bars` n,
    `min_strength` s, `max_age_bars` m. `tick` is the step of prices, 0 where it is not known. With
    `alert_only` it says so instead of trading. Raise `UsageError` for what cannot be meant.
    """

    bar_seconds: int = 60
    swing_bars: int = 3
    tolerance: float = 0.5
    range_bars: int = 14
    tick: float = 0.0
    min_strength: int = 2
    max_age_bars: int = 200
    quantity: Decimal = Decimal(1)
    alert_only: bool = False
    finder: LevelFinder = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        whole = ("bar_seconds", "swing_bars", "range_bars", "min_strength", "max_age_bars")
        check_at_least(NAME, 1, **{name: getattr(self, name) for name in whole})
        check_at_least(NAME, 0, tolerance=self.tolerance, tick=self.tick)
        check_quantity(NAME, self.quantity)
        self.finder = LevelFinder(
            self.swing_bars, self.range_bars, self.tolerance, 2 * self.tick,
            self.min_strength, self.max_age_bars,
        )  # fmt: skip
        self._end_ms = 0
        self._bar: PriceBar | None = None

    def on_tick(self, tick: TickEvent) -> Sequence[TradingSignal | Alert]:
        """Return what the bar led to that this tick is the first one after; nothing otherwise."""
        made: Sequence[TradingSignal | Alert] = ()
        if tick.time_ms >= self._end_ms:
            made = self._close(tick)
        if tick.kind is TickKind.TRADE and tick.price is not None:
            price, bar = tick.price, self._bar
            self._bar = (
                PriceBar(max(bar.high, price), min(bar.low, price), price)
                if bar
                else PriceBar(price, price, price)
            )
        return made

    def _close(self, tick: TickEvent) -> Sequence[TradingSignal | Alert]:
        """Close the window before a tick, and open that of the tick."""
        window_ms = self.bar_seconds * 1000
        self._end_ms = tick.time_ms - tick.time_ms % window_ms + window_ms
        closed, self._bar = self._bar, None
        return [
            market_order(
                tick, found.side, self.quantity,
                f"{found.event} at {found.role} {found.price:.10g}, strength {found.strength}",
                alert_only=self.alert_only,
            )
            for found in (self.finder.add(closed) if closed else ())
        ]  # fmt: skip
