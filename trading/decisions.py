"""What the strategies of this package make of a decision: a market order, or an alert."""

from decimal import Decimal

from trading.messages import Alert, Bar, Event, SignalType, TradingSignal
from trading.orders import Side


def mid_of(tick: Event) -> float | None:
    """Return the mid after a tick, None where a side of the book is empty, and of a bar."""
    if isinstance(tick, Bar) or tick.best_bid is None or tick.best_ask is None:
        return None
    return tick.best_bid / 2 + tick.best_ask / 2


def market_order(
    tick: Event, side: Side, quantity: Decimal, reason: str, *, alert_only: bool = False
) -> TradingSignal | Alert:
    """Return a market order at a tick or bar, or where only that is wanted an alert of it."""
    if alert_only:
        return Alert(
            instrument=tick.instrument,
            time_ms=tick.time_ms,
            text=f"{side.value}: {reason}",
            price=mid_of(tick),
        )
    return TradingSignal(
        instrument=tick.instrument,
        time_ms=tick.time_ms,
        side=side,
        order=SignalType.MARKET,
        quantity=quantity,
        reason=reason,
        mid=mid_of(tick),
    )
