"""Paper execution: match own orders against a recorded market, by the rules of docs/trading.md.

The recorded market goes its way as it did: own orders are never in its book, and take nothing out
of it. Everything happens in event time, in one order: by time, at one time book rows before trades,
and requests that arrive at that time after both.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from heapq import heappop, heappush

from orderbook_manager import OrderbookManager
from orderflow.continuity import BookReliability
from orderflow.events import (
    BookBatch,
    OrderbookUpdate,
    Quote,
    Trade,
    time_of_row,
    time_of_trade,
)
from orderflow.issues import IssueLog
from trading.account import Account, RiskGate
from trading.orders import (
    MATH,
    Fill,
    OrderEnd,
    OrderError,
    OrderRequest,
    OrderStatus,
    OrderType,
    Side,
    decimals_of,
    exact,
)
from trading.own_orders import OwnOrders, RestingOrder
from trading.rules import (
    AFTER_END,
    BOOK_USED_UP,
    CROSSED,
    NOBODY_THERE,
    OFF_LOT,
    OFF_TICK,
    TOO_FINE,
    TOO_LATE,
    UNRELIABLE,
    Rules,
)

ZERO = Decimal(0)
TAKER_SIDES = {side.value for side in Side}
FOR_EVER = 1 << 62
FIRST_LEVELS = 8
"""How many levels are asked for at first when an order takes more than the best one has."""


class MatchingEngine:
    """Match orders against a market that is handed in event by event, in time order.

    `submit` takes an order before the market has passed its arrival; `on_update` and `on_trade`
    are the market; `finish` ends it. `fills` grows by time, `ends` has how orders ended by
    their numbers, and `account` what the fills add up to. The `gate` refuses orders beyond limits.
    Requests are served when the market goes beyond their arrival, and by nothing else, so that it
    makes no difference when they were submitted.

    `counts` has what was left undone: `rows_passed_over` and `trades_passed_over`, while own orders
    rested and the book was crossed or not reliable; `trades_of_unknown_side`; `late_requests`,
    which came when the market had passed their arrival, and were served at once.
    """

    def __init__(self, rules: Rules | None = None, gate: RiskGate | None = None) -> None:
        self.rules = rules or Rules()
        self.gate = gate or RiskGate()
        self.account = Account(self.rules.contract)
        self.book = OrderbookManager(1)
        self.fills: list[Fill] = []
        self.ends: dict[int, OrderEnd] = {}
        self.counts: Counter[str] = Counter()
        self.now_ms: int | None = None
        self._reliability = BookReliability(IssueLog())
        self._own = {side: OwnOrders(side) for side in Side}
        self._resting: dict[int, RestingOrder] = {}
        self._left_open: list[RestingOrder] = []
        self._filled: dict[int, Decimal] = {}
        self._requests: list[tuple[int, int, OrderRequest | int]] = []  # a heap; an int cancels
        self._sent: dict[int, OrderRequest] = {}
        self._number = 0
        self._best: dict[Side, float | None] = dict.fromkeys(Side)
        self._unclear = UNRELIABLE
        self._looked = False

    @property
    def open_orders(self) -> list[RestingOrder]:
        """Return the orders that rest; when the market has ended, those that rested then."""
        return self._left_open or list(self._resting.values())

    def submit(self, request: OrderRequest) -> None:
        """Send an order, and its cancellation where it has one; raise `OrderError` for a repeat."""
        if request.order in self._sent:
            msg = "its number was given to an earlier order; give each its own"
            raise OrderError(msg, request.order, request.order)
        self._sent[request.order] = request
        self._send(request, self.arrival_of(request.sent_ms))
        if request.cancel_ms is not None:
            self.cancel(request.order, request.cancel_ms)

    def cancel(self, order: int, sent_ms: int) -> None:
        """Send the cancellation of an order that was sent; it does nothing when that has ended.

        Who has no answer yet can't cancel: it waits until the answer to the order is back. Raise
        `OrderError` for an order that was never sent.
        """
        request = self._sent.get(order)
        if request is None:
            msg = "it was never sent, and cannot be cancelled"
            raise OrderError(msg, order, order)
        answered = self.arrival_of(request.sent_ms) + self.rules.response_ms
        self._send(order, self.arrival_of(max(sent_ms, answered)))

    def arrival_of(self, sent_ms: int) -> int:
        """Return when a request that is sent at this time arrives, in ms."""
        return sent_ms + self.rules.entry_ms

    def _send(self, request: OrderRequest | int, arrival: int) -> None:
        if self.now_ms is not None and arrival < self.now_ms:
            self.counts["late_requests"] += 1
            arrival = self.now_ms
        heappush(self._requests, (arrival, self._number, request))
        self._number += 1

    @property
    def quiet_to(self) -> int:
        """Return the ms up to which, and with it, no event can concern an own order."""
        if self._resting:
            return -1
        return self._requests[0][0] if self._requests else FOR_EVER

    def pass_by(self, batch: BookBatch, trades: Sequence[Trade]) -> list[Quote | None]:
        """Let rows and trades up to `quiet_to` happen; return the best of the book after each row.

        They do what `on_update` and `on_trade` would do with each, in far less time.
        """
        quotes: list[Quote | None] = self.book.quote_rows(batch.rows, batch.snapshots)
        self._reliability.follow(batch, [n for n, quote in enumerate(quotes) if quote is None])
        self._looked = False
        unknown = sum(trade[4] not in TAKER_SIDES for trade in trades)
        if unknown:
            self.counts["trades_of_unknown_side"] += unknown
        for events, time_of in ((batch.rows, time_of_row), (trades, time_of_trade)):
            if events:
                self.now_ms = max(self.now_ms or 0, time_of(events[-1]))
        return quotes

    def on_update(self, update: OrderbookUpdate) -> None:
        """Apply a book row; one without an id is no row, and only tells what was lost."""
        if update.id is None:
            self._follow_lost(update)
            return
        self._advance(update.timestamp)
        skipped = self.book.rows_skipped
        self.book.update(update.bids, update.asks, update.snapshot)
        self._follow(update, skipped=self.book.rows_skipped != skipped)
        self._looked = False
        if self._resting:
            if self._look():
                self.counts["rows_passed_over"] += 1
            else:
                self._match_row(update.timestamp, snapshot=update.snapshot)

    def _follow_lost(self, update: OrderbookUpdate) -> None:
        lost = [(0, rows) for rows in update.lost]
        self._reliability.follow(BookBatch([], [], lost=lost))
        self._looked = False

    def _follow(self, update: OrderbookUpdate, *, skipped: bool) -> None:
        """Follow whether the book is reliable; most rows cannot change it, and are passed by."""
        odd = update.snapshot or update.lost or skipped or self._reliability.lost_at_unknown_time
        if odd or update.seq_id is not None:
            row = (update.timestamp, update.id or 0, update.bids, update.asks)
            lost = [(0, rows) for rows in update.lost]
            ids = [update.seq_id], [update.prev_seq_id]
            batch = BookBatch([row], [update.snapshot], *ids, lost)
            self._reliability.follow(batch, [0] * skipped)

    def on_trade(self, trade: Trade) -> None:
        """Let a trade fill what it reaches."""
        _, _, price, size, side, now = trade
        self._advance(now)
        own = self._hit_by(side)
        if own is None:
            self.counts["trades_of_unknown_side"] += 1
        elif own.is_reached_by(price):
            if self._look():
                self.counts["trades_passed_over"] += 1
            else:
                self._match_trade(own, price, size, now)

    def _advance(self, now_ms: int) -> None:
        """Serve the requests that arrive before a market event of this time."""
        while self._requests and self._requests[0][0] < now_ms:
            arrival, _, request = heappop(self._requests)
            self.now_ms = arrival
            self._serve(request, arrival)
        self.now_ms = now_ms

    def finish(self) -> None:
        """End the market with its last event: what arrives later finds nobody there.

        The requests that arrive at that moment are served. Later orders are rejected, later
        cancellations do nothing, and the orders that rest are open.
        """
        last = self.now_ms
        if last is not None:
            self._advance(last + 1)
            self.now_ms = last
        for arrival, _, request in sorted(self._requests, key=lambda waiting: waiting[:2]):
            if isinstance(request, OrderRequest):
                self._end(request, OrderStatus.REJECTED, arrival, AFTER_END)
        self._requests.clear()
        self._left_open = list(self._resting.values())
        for order in self._left_open:
            self._take_out(order, OrderStatus.OPEN, last or 0)

    # Requests

    def _serve(self, request: OrderRequest | int, now: int) -> None:
        if isinstance(request, OrderRequest):
            self._arrive(request, now)
        elif request in self._resting:
            self._take_out(self._resting[request], OrderStatus.CANCELLED, now)

    def _arrive(self, request: OrderRequest, now: int) -> None:
        if reason := self._refusal(request, now):
            self._end(request, OrderStatus.REJECTED, now, reason)
        elif not self._would_take(request):
            self._rest(request, request.quantity)
        elif request.type is OrderType.POST_ONLY:
            self._end(request, OrderStatus.EXPIRED, now)
        else:
            self._take(request, now)

    def _refusal(self, request: OrderRequest, now: int) -> str:
        """Return why an order is refused, or empty text where it is not."""
        if request.valid_until_ms is not None and now > request.valid_until_ms:
            return TOO_LATE
        if unclear := self._look():
            return unclear
        if request.type is OrderType.MARKET and self._best[request.side] is None:
            return NOBODY_THERE
        if misfit := self._misfit(request):
            return misfit
        bid, ask = self._best[Side.SELL], self._best[Side.BUY]
        if bid is not None and ask is not None and self.gate.limits.max_loss is not None:
            self.gate.mark(self.account.equity(exact(bid / 2 + ask / 2)), now)
        own = self._own[request.side].quantity
        return self.gate.refusal(request.side, request.quantity, now, self.account.position, own)

    def _misfit(self, request: OrderRequest) -> str:
        contract, price = self.rules.contract, request.price
        if contract.lot is not None and MATH.remainder(request.quantity, contract.lot):
            return OFF_LOT
        if price is None:
            return ""
        if contract.tick is not None:
            return OFF_TICK if MATH.remainder(price, contract.tick) else ""
        decimals = decimals_of(price)
        if decimals <= self._price_decimals(FIRST_LEVELS):
            return ""
        return TOO_FINE if decimals > self._price_decimals(sum(self.book.level_counts)) else ""

    def _price_decimals(self, count: int) -> int:
        levels = (level for side in self.book.top_levels(count) for level in side)
        return max((decimals_of(exact(price)) for price, _ in levels), default=0)

    def _would_take(self, request: OrderRequest) -> bool:
        best, sign = self._best[request.side], request.side.sign
        if request.price is None:
            return True
        return best is not None and sign * float(request.price) >= sign * best

    def _take(self, request: OrderRequest, now: int) -> None:
        left = request.quantity
        for price, size in self._offers(request):
            taken = left if self.rules.whole_fills else min(left, size)
            self._fill(request, now, price, taken, maker=False)
            left = MATH.subtract(left, taken)
            if not left:
                self._end(request, OrderStatus.FILLED, now)
                return
        if request.type is OrderType.MARKET:
            self._end(request, OrderStatus.EXPIRED, now, BOOK_USED_UP)
        else:
            self._rest(request, left, crosses=True)

    def _offers(self, request: OrderRequest) -> Iterable[tuple[Decimal, Decimal]]:
        """Yield the prices and sizes that an order meets on the other side, the best first."""
        sign, limit = request.side.sign, request.price
        known, count = 0, FIRST_LEVELS
        while True:
            levels = self.book.top_levels(count)[request.side is Side.BUY]
            for price, size in levels[known:]:
                if limit is not None and sign * price > sign * float(limit):
                    return
                yield exact(price), exact(size)
            if len(levels) < count:
                return
            known, count = count, 4 * count

    def _rest(self, request: OrderRequest, left: Decimal, *, crosses: bool = False) -> None:
        assert request.price is not None, "a market order does not rest"  # noqa: S101
        price = float(request.price)
        shown = self._shown(request.side, price)
        order = RestingOrder(request, price, left, exact(shown), crosses)
        self._own[request.side].add(order, shown)
        self._resting[request.order] = order

    def _shown(self, side: Side, price: float) -> float:
        bids, asks = ((price,), ()) if side is Side.BUY else ((), (price,))
        found = self.book.sizes_at(bids, asks)
        return (found[0] or found[1])[0]

    # The market

    def _look(self) -> str:
        """Return why the book is no reference now, or empty text; note the best prices."""
        if not self._looked:
            bids, asks = self.book.top_levels(1)
            bid, ask = bids[0][0] if bids else None, asks[0][0] if asks else None
            self._best[Side.BUY], self._best[Side.SELL] = ask, bid
            crossed = bid is not None and ask is not None and bid >= ask
            reliable = self.rules.accept_unreliable or self._reliability.reliable
            self._unclear = UNRELIABLE if not reliable else CROSSED if crossed else ""
            self._looked = True
        return self._unclear

    def _match_row(self, now: int, *, snapshot: bool) -> None:
        sizes = self.book.sizes_at(self._own[Side.BUY].levels, self._own[Side.SELL].levels)
        for side, shown in zip(Side, sizes, strict=True):
            own = self._own[side]
            if shown != own.shown:
                self._move_queues(own, shown, snapshot=snapshot)
            if own.levels:
                self._cross(own, self._best[side], now)

    def _move_queues(self, own: OwnOrders, shown: list[float], *, snapshot: bool) -> None:
        """Follow what the book shows at own prices; what a snapshot leaves out it does not tell."""
        for orders, before, size in zip(own.levels.values(), own.shown, shown, strict=True):
            if size != before and (size or not snapshot):
                for order in orders:
                    order.queue = min(order.queue, exact(size))
        own.shown = shown

    def _cross(self, own: OwnOrders, best: float | None, now: int) -> None:
        """Fill what the best price of the other side has reached."""
        own.let_go(best)
        if best is not None and own.is_reached_by(best):
            for order in own.up_to(best):
                if not order.crosses:
                    self._fill_resting(order, now, order.left)

    def _hit_by(self, side: str | None) -> OwnOrders | None:
        """Return the own orders that a taker of this side meets, None where it is unknown."""
        if side == "sell":
            return self._own[Side.BUY]
        return self._own[Side.SELL] if side == "buy" else None

    def _match_trade(self, own: OwnOrders, price: float, size: float, now: int) -> None:
        self._trade_through(own, price, now)
        for order in own.at(price):
            order.queue = MATH.subtract(order.queue, exact(size))
            if order.queue < 0:
                reached = order.queue.copy_negate()
                order.queue = ZERO
                whole = not self.rules.partial_makers
                self._fill_resting(order, now, order.left if whole else min(reached, order.left))

    def _trade_through(self, own: OwnOrders, price: float, now: int) -> None:
        """Fill what a trade went beyond: who traded there had all of them before."""
        for order in own.beyond(price):
            self._fill_resting(order, now, order.left)

    # Fills and ends

    def _fill_resting(self, order: RestingOrder, now: int, quantity: Decimal) -> None:
        price = order.request.price
        assert price is not None, "a market order does not rest"  # noqa: S101
        self._fill(order.request, now, price, quantity, maker=True)
        order.left = MATH.subtract(order.left, quantity)
        if not order.left:
            self._take_out(order, OrderStatus.FILLED, now)

    def _fill(
        self, request: OrderRequest, now: int, price: Decimal, quantity: Decimal, *, maker: bool
    ) -> None:
        rules = self.rules
        fee = rules.fees.of(rules.contract.value(price, quantity), maker=maker)
        fill = Fill(request.order, now, request.side, price, quantity, maker, fee)
        self.fills.append(fill)
        self.account.add(fill)
        before = self._filled.get(request.order, ZERO)
        self._filled[request.order] = MATH.add(before, quantity)

    def _take_out(self, order: RestingOrder, status: OrderStatus, now: int) -> None:
        self._own[order.request.side].remove(order)
        del self._resting[order.request.order]
        self._end(order.request, status, now)

    def _end(self, request: OrderRequest, status: OrderStatus, now: int, reason: str = "") -> None:
        filled = self._filled.pop(request.order, ZERO)
        self.ends[request.order] = OrderEnd(request.order, status, now, filled, reason)
