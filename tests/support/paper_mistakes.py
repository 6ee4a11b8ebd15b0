"""The mistakes that trading programs make, put into the engine on purpose, one at a time."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from operator import itemgetter
from typing import Any

from orderflow.events import OrderbookUpdate, Trade
from trading.matching import MatchingEngine
from trading.orders import OrderRequest, OrderStatus, Side, exact
from trading.own_orders import OwnOrders
from trading.rules import Rules

ZERO = Decimal(0)


class QueueIgnored(MatchingEngine):
    def _shown(self, side: Side, price: float) -> float:
        return 0.0


class FilledAtQueue0(MatchingEngine):
    def _match_trade(self, own: OwnOrders, price: float, size: float, now: int) -> None:
        super()._match_trade(own, price, size, now)
        for order in own.at(price):
            if order.queue == 0:
                self._fill_resting(order, now, order.left)


class NoMinRule(MatchingEngine):
    def _move_queues(self, own: OwnOrders, shown: list[float], *, snapshot: bool) -> None:
        own.shown = shown


class DecreaseMovesQueueWholly(MatchingEngine):
    def _move_queues(self, own: OwnOrders, shown: list[float], *, snapshot: bool) -> None:
        for orders, before, size in zip(own.levels.values(), own.shown, shown, strict=True):
            for order in orders:
                order.queue = max(ZERO, order.queue - max(ZERO, exact(before) - exact(size)))
        own.shown = shown


class NoFillByCrossing(MatchingEngine):
    def _cross(self, own: OwnOrders, best: float | None, now: int) -> None:
        pass


class NoTradeThrough(MatchingEngine):
    def _trade_through(self, own: OwnOrders, price: float, now: int) -> None:
        pass


class MakerAtTradePrice(MatchingEngine):
    def _trade_through(self, own: OwnOrders, price: float, now: int) -> None:
        for order in own.beyond(price):
            self._fill(order.request, now, exact(price), order.left, maker=True)
            self._take_out(order, OrderStatus.FILLED, now)


class TakerAtOwnLimit(MatchingEngine):
    def _offers(self, request: OrderRequest) -> Iterable[tuple[Decimal, Decimal]]:
        for price, size in super()._offers(request):
            yield request.price or price, size


class TradeSideInverted(MatchingEngine):
    def _hit_by(self, side: str | None) -> OwnOrders | None:
        return super()._hit_by({"buy": "sell", "sell": "buy"}.get(side or ""))


class NoLatency(MatchingEngine):
    def __init__(self, rules: Rules | None = None, gate: Any = None) -> None:
        super().__init__(replace(rules or Rules(), entry_ms=0), gate)


class RequestsBeforeMarket(MatchingEngine):
    def _advance(self, now_ms: int) -> None:
        super()._advance(now_ms + 1)
        self.now_ms = now_ms


class CancelAtSendingTime(MatchingEngine):
    def cancel(self, order: int, sent_ms: int) -> None:
        answered = self.arrival_of(self._sent[order].sent_ms) + self.rules.response_ms
        self._send(order, max(sent_ms, answered))


class TradesBeforeRows(MatchingEngine):
    """Hold back the rows of a ms until its trades have come; needs an event after the last."""

    def __init__(self, rules: Rules | None = None, gate: Any = None) -> None:
        super().__init__(rules, gate)
        self._held: list[tuple[int, int, Any]] = []

    def on_update(self, update: OrderbookUpdate) -> None:
        self._hold(update.timestamp, 1, update)

    def on_trade(self, trade: Trade) -> None:
        self._hold(trade[5], 0, trade)

    def _hold(self, ms: int, kind: int, event: Any) -> None:
        if self._held and self._held[0][0] != ms:
            self._let_go()
        self._held.append((ms, kind, event))

    def _let_go(self) -> None:
        for _, kind, event in sorted(self._held, key=itemgetter(1)):
            super().on_update(event) if kind else super().on_trade(event)
        self._held = []

    def finish(self) -> None:
        self._let_go()
        super().finish()


MISTAKES: dict[str, type[MatchingEngine]] = {
    "queue ignored": QueueIgnored,
    "filled at queue 0": FilledAtQueue0,
    "no min rule": NoMinRule,
    "a decrease moves the queue wholly": DecreaseMovesQueueWholly,
    "no fill by crossing": NoFillByCrossing,
    "no trade-through": NoTradeThrough,
    "maker at the trade's price": MakerAtTradePrice,
    "taker at its own limit": TakerAtOwnLimit,
    "trade side inverted": TradeSideInverted,
    "no latency": NoLatency,
    "trades before rows at one ms": TradesBeforeRows,
    "requests before market events at one ms": RequestsBeforeMarket,
    "cancel at sending time": CancelAtSendingTime,
}
