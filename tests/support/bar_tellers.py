"""Strategies that say all they were shown of a bar, or order at each."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from trading.messages import Alert, Bar, SignalType, TradingSignal
from trading.orders import Side


@dataclass
class BarTeller:
    """Alert at each bar with all that is in it, and how many came before."""

    every: int = 1
    told = 0

    def on_bar(self, bar: Bar) -> Sequence[Alert]:
        self.told += 1
        if self.told % self.every:
            return []
        prices = bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades
        text = repr((self.told, bar.kind, bar.size, bar.number, bar.start_ms, *prices, bar.values))
        return [Alert(instrument=bar.instrument, time_ms=bar.end_ms, text=text, price=bar.close)]


@dataclass
class Orderer:
    """Send a limit order at a bar, and cancel it at the next one."""

    quantity: Decimal = Decimal("0.1")
    number = 0

    def on_bar(self, bar: Bar) -> Sequence[TradingSignal]:
        self.number += 1
        if self.number % 2 == 0:
            return [
                TradingSignal(
                    instrument=bar.instrument, time_ms=bar.end_ms, order=SignalType.CANCEL,
                    reference=self.number - 1,
                )
            ]  # fmt: skip
        return [
            TradingSignal(
                instrument=bar.instrument, time_ms=bar.end_ms, side=Side.BUY,
                order=SignalType.LIMIT, price=Decimal("99.5"), quantity=self.quantity,
                valid_until_ms=bar.end_ms + 1000, reason="why not", mid=bar.close,
            )
        ]  # fmt: skip
