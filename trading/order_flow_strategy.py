"""Trade with the side that is more aggressive; docs/trading.md has the definition."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import fsum
from typing import Literal, NamedTuple

from orderflow.errors import UsageError
from trading.decisions import market_order
from trading.messages import Alert, TickEvent, TickKind, TradingSignal
from trading.orders import Side
from trading.settings import check_at_least, check_quantity

NAME = "order-flow"


class Touch(NamedTuple):
    """The best prices and the sizes there."""

    bid: float
    ask: float
    bid_size: float
    ask_size: float


def touch_of(tick: TickEvent) -> Touch | None:
    """Return what is best after a tick, None where a side of the book is empty."""
    bid, ask, bid_size, ask_size = tick.best_bid, tick.best_ask, tick.bid_size, tick.ask_size
    if bid is None or ask is None or bid_size is None or ask_size is None:
        return None
    return Touch(bid, ask, bid_size, ask_size)


def flow_of(before: Touch, after: Touch) -> float:
    """Return what one book row adds to the OFI (Cont, Kukanov, Stoikov, arXiv 1011.6402)."""
    bids = (after.bid_size if after.bid >= before.bid else 0.0) - (
        before.bid_size if after.bid <= before.bid else 0.0
    )
    asks = (after.ask_size if after.ask <= before.ask else 0.0) - (
        before.ask_size if after.ask >= before.ask else 0.0
    )
    return bids - asks


@dataclass
class OrderFlowStrategy:
    """Buy when flow beyond a threshold and the book lean to the same side; sell likewise.

    `measure` is delta, over the last `events` trades of known side, or ofi, over the last `events`
    book rows. Either is a share, -1 to 1: delta by volume, OFI by the sum of its terms' magnitudes,
    so that a `threshold` means the same for any instrument. After an order there is none for
    `cooldown_ms` of event time. Raise `UsageError` for what cannot be meant.
    """

    measure: Literal["delta", "ofi"] = "delta"
    events: int = 50
    threshold: float = 0.6
    cooldown_ms: int = 10_000
    quantity: Decimal = Decimal(1)
    alert_only: bool = False

    def __post_init__(self) -> None:
        check_at_least(NAME, 1, events=self.events)
        check_at_least(NAME, 0, threshold=self.threshold, cooldown_ms=self.cooldown_ms)
        check_quantity(NAME, self.quantity)
        if self.threshold >= 1:
            msg = f"{NAME}: threshold is a share below 1; found {self.threshold:g}"
            raise UsageError(msg, "threshold", self.threshold)
        self._flows = deque[float](maxlen=self.events)
        self._touch: Touch | None = None
        self._free_at = 0

    def on_tick(self, tick: TickEvent) -> Sequence[TradingSignal | Alert]:
        """Return an order where this tick makes it due, nothing otherwise."""
        flow = self._delta(tick) if self.measure == "delta" else self._ofi(tick)
        if flow is None:
            return ()
        self._flows.append(flow)
        if len(self._flows) < self.events or tick.time_ms < self._free_at:
            return ()
        share = self._share()
        leaning = tick.obi or 0.0
        if abs(share) <= self.threshold or share * leaning <= 0:
            return ()
        self._free_at = tick.time_ms + self.cooldown_ms
        side = Side.BUY if share > 0 else Side.SELL
        reason = f"{self.measure} {share:+.3f} of the last {self.events}, OBI {leaning:+.3f}"
        return (market_order(tick, side, self.quantity, reason, alert_only=self.alert_only),)

    def _share(self) -> float:
        total = fsum(map(abs, self._flows))
        return fsum(self._flows) / total if total else 0.0

    def _delta(self, tick: TickEvent) -> float | None:
        if tick.kind is not TickKind.TRADE or tick.side is None or tick.size is None:
            return None
        return tick.size if tick.side is Side.BUY else -tick.size

    def _ofi(self, tick: TickEvent) -> float | None:
        """Return what a book row adds; after a side was empty, the first row adds nothing."""
        if tick.kind is not TickKind.BOOK:
            return None
        before, self._touch = self._touch, touch_of(tick)
        return flow_of(before, self._touch) if before and self._touch else None
