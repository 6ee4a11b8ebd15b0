"""The recorded market as the executor sees it: signals in, answers out, matched on paper."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from orderflow.events import BookBatch, OrderbookUpdate, Trade
from trading.account import RiskGate
from trading.equity import Quotes
from trading.market_feed import MarketFeed
from trading.matching import MatchingEngine
from trading.messages import (
    END_MS,
    Accepted,
    Answer,
    Cancelled,
    Expired,
    Filled,
    Rejected,
    SignalType,
    TradingSignal,
)
from trading.orders import MATH, OrderEnd, OrderError, OrderRequest, OrderStatus, OrderType
from trading.rules import Rules
from trading.stream import LiveStream

NO_SUCH_ORDER = "there is no order of that number to cancel"

EVENTS_BETWEEN_IDLES = 100


@dataclass(frozen=True, slots=True)
class Placed:
    """An order that reached the market, the signal it came from, and the mid at its decision."""

    strategy: str
    signal: int
    request: OrderRequest
    mid: float | None


class AnsweringEngine(MatchingEngine):
    """A matching engine that says what becomes of orders when it does; `tell` gets the answers."""

    def __init__(
        self, rules: Rules, gate: RiskGate | None, tell: Callable[[Answer], None],
        placed: dict[int, Placed],
    ) -> None:  # fmt: skip
        super().__init__(rules, gate)
        self._tell = tell
        self._placed = placed
        self._accepted: set[int] = set()

    def _accept(self, request: OrderRequest, now: int) -> None:
        if request.order not in self._accepted:
            self._accepted.add(request.order)
            placed = self._placed[request.order]
            self._tell(Accepted(strategy=placed.strategy, signal=placed.signal, time_ms=now))

    def _rest(self, request: OrderRequest, left: Decimal, *, crosses: bool = False) -> None:
        self._accept(request, self.now_ms or 0)
        super()._rest(request, left, crosses=crosses)

    def _fill(
        self, request: OrderRequest, now: int, price: Decimal, quantity: Decimal, *, maker: bool
    ) -> None:
        self._accept(request, now)
        super()._fill(request, now, price, quantity, maker=maker)
        placed, fill = self._placed[request.order], self.fills[-1]
        self._tell(
            Filled(
                strategy=placed.strategy,
                signal=placed.signal,
                time_ms=now,
                side=fill.side,
                price=price,
                quantity=quantity,
                remaining=MATH.subtract(request.quantity, self._filled[request.order]),
                maker=maker,
                fee=fill.fee,
            )
        )

    def _end(self, request: OrderRequest, status: OrderStatus, now: int, reason: str = "") -> None:
        super()._end(request, status, now, reason)
        placed = self._placed[request.order]
        remaining = MATH.subtract(request.quantity, self.ends[request.order].filled)
        who = {"strategy": placed.strategy, "signal": placed.signal, "time_ms": now}
        if status is OrderStatus.REJECTED:
            self._tell(Rejected(**who, reason=reason))  # type: ignore[arg-type]
        elif status is OrderStatus.CANCELLED:
            self._tell(Cancelled(**who, remaining=remaining))  # type: ignore[arg-type]
        elif status is OrderStatus.EXPIRED:
            self._tell(
                Expired(**who, remaining=remaining, reason=reason)  # type: ignore[arg-type]
            )


class PaperMarket:
    """A recorded market, which an `Execution` moves on, and sends signals into.

    `stream` is what `DBInterpreter.stream` or `batches` yields. Orders have the numbers in which
    they were submitted; `placed` says whose they are. `quotes` has the best prices so far. An order
    that cannot be meant is rejected, with the reason. Its end is known when the market has been
    moved to `END_MS`, or was stopped. `idle` is called now and then while the market moves far.

    Of a live market the stream has None where nothing is there now, and `end_at` gets the time at
    which the ticks have ended: the stream is to end there, or behind it. Such a market is moved no
    further than the strategies were shown it, short of the entry latency.
    """

    def __init__(
        self,
        stream: LiveStream,
        instrument: str,
        rules: Rules,
        gate: RiskGate | None = None,
        end_at: Callable[[int], None] | None = None,
    ) -> None:
        self.instrument = instrument
        self.idle: Callable[[], None] = lambda: None
        self.rules = rules
        self.quotes = Quotes()
        self.placed: dict[int, Placed] = {}
        self._answers: list[Answer] = []
        self._refused: list[Rejected] = []
        self.engine = AnsweringEngine(rules, gate, self._tell, self.placed)
        self._orders: dict[tuple[str, int], int] = {}
        self._feed = MarketFeed(stream)
        self._end_at = end_at
        self._end_ms = END_MS
        self._ended = False
        self._since_idle = 0

    def advance(self, to_ms: int) -> bool:
        """Let everything happen before `to_ms`; with `END_MS`, the market ends.

        Return whether it has; False, of a live market that is not known so far.
        """
        until = min(to_ms, self._end_ms)
        if self._end_at and to_ms < END_MS:
            # The strategies were shown no more than this, and may not be shown more.
            until = to_ms - self.rules.entry_ms
        feed, engine = self._feed, self.engine
        while (now := feed.next_ms()) is not None and now < until:
            quiet = engine.quiet_to
            if now <= quiet:
                self._since_idle += self._pass_by(*feed.take_before(min(until, quiet + 1)))
            else:
                self._happen(feed.take())
                self._since_idle += 1
            self._be_idle()
        if now is None:
            return False
        if to_ms >= END_MS and not self._ended:
            self.stop()
        return True

    def _tell(self, answer: Answer) -> None:
        self._answers.append(answer)
        self._since_idle += 1  # one event may lead to thousands
        self._be_idle()

    def _be_idle(self) -> None:
        if self._since_idle >= EVENTS_BETWEEN_IDLES:
            self._since_idle = 0
            self.idle()

    def close_at(self, until_ms: int) -> None:
        """Let a live market end at `until_ms`."""
        if self._end_at:
            self._end_ms = until_ms
            self._end_at(until_ms)

    def stop(self) -> None:
        """End the market where it is."""
        self.engine.finish()
        self._ended = True

    def _pass_by(self, batch: BookBatch, trades: Sequence[Trade]) -> int:
        self.quotes.add_each(batch.rows, self.engine.pass_by(batch, trades))
        if self.engine.now_ms is not None:
            self.quotes.reached(self.engine.now_ms)
        return len(batch) + len(trades)

    def _happen(self, event: OrderbookUpdate | Trade) -> None:
        engine = self.engine
        if not isinstance(event, OrderbookUpdate):
            engine.on_trade(event)
            self.quotes.reached(event[5])
            return
        engine.on_update(event)
        if event.id is not None:
            bids, asks = engine.book.top_levels(1)
            self.quotes.reached(event.timestamp)
            if bids and asks and bids[0][0] < asks[0][0]:
                self.quotes.add(event.timestamp, bids[0][0], asks[0][0])

    def submit(self, signal: TradingSignal) -> None:
        """Send the order of a signal, or the cancellation that it is."""
        try:
            if signal.instrument != self.instrument:
                self._reject(signal, f"this is the market of {self.instrument}")
            elif signal.order is SignalType.CANCEL:
                self._cancel(signal)
            else:
                self._place(signal)
        except OrderError as error:
            self._reject(signal, str(error))

    def _place(self, signal: TradingSignal) -> None:
        assert signal.side is not None and signal.quantity is not None, "as every order"  # noqa: S101, PT018
        number = len(self.placed)
        request = OrderRequest(
            order=number,
            side=signal.side,
            type=OrderType(signal.order.value),
            quantity=signal.quantity,
            price=signal.price,
            sent_ms=signal.time_ms,
            cancel_ms=signal.cancel_ms,
            valid_until_ms=signal.valid_until_ms,
        )
        self.placed[number] = Placed(signal.strategy, signal.number, request, signal.mid)
        self._orders[signal.strategy, signal.number] = number
        self.engine.submit(request)

    def _cancel(self, signal: TradingSignal) -> None:
        number = self._orders.get((signal.strategy, signal.reference or 0))
        if number is None:
            self._reject(signal, NO_SUCH_ORDER)
        else:
            self.engine.cancel(number, signal.time_ms)

    def _reject(self, signal: TradingSignal, reason: str) -> None:
        time_ms = self.engine.arrival_of(signal.time_ms)
        self._refused.append(
            Rejected(strategy=signal.strategy, signal=signal.number, time_ms=time_ms, reason=reason)
        )

    def answers(self) -> Sequence[Answer]:
        """Return what has become of signals since the last call, by time.

        A signal that was refused without the engine is answered when the engine has answered all
        that arrived with it, so that the order does not depend on how far the market was moved.
        """
        until = END_MS if self._ended else self.engine.now_ms or 0
        due = [one for one in self._refused if one.time_ms < until]
        self._refused = [one for one in self._refused if one.time_ms >= until]
        taken = sorted([*self._answers, *due], key=lambda answer: answer.time_ms)
        self._answers.clear()
        return taken

    def ends(self) -> Iterator[tuple[Placed, OrderEnd]]:
        """Yield each order that was placed, with its end, when the market has ended."""
        for number, placed in self.placed.items():
            yield placed, self.engine.ends[number]
