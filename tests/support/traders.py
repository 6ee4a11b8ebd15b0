"""Strategies of one's own, for runs as `--strategy traders:Trader`."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading.messages import Alert, TickEvent, TradingSignal
from trading.strategy import Side, market_order


@dataclass
class Trader:
    """Buy and sell in turns, every so many ticks; say so at the first one, and fail at another."""

    every: int = 100
    quantity: Decimal = Decimal("0.01")
    fail_at: int = 0
    alerts: int = 1
    ticks = 0

    def on_tick(self, tick: TickEvent) -> Sequence[TradingSignal | Alert]:
        self.ticks += 1
        if self.ticks == self.fail_at:
            msg = "out of ideas"
            raise RuntimeError(msg)
        if self.ticks <= self.alerts:
            text = f"tick {self.ticks} is here"
            return [Alert(instrument=tick.instrument, time_ms=tick.time_ms, text=text)]
        if self.ticks % self.every:
            return []
        side = (Side.BUY, Side.SELL)[self.ticks // self.every % 2]
        return [market_order(tick, side, self.quantity, "it is time")]


class Leaving:
    """Leave without a word, as a library may that ends the process."""

    def on_tick(self, tick: TickEvent) -> Sequence[TradingSignal | Alert]:
        os._exit(0)


class Silent:
    """Never learn what a strategy returns."""

    def on_tick(self, tick: TickEvent) -> None:
        return None
