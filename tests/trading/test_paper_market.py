"""The market behind the executor: signals in, what became of them out."""

from decimal import Decimal
from typing import Any

import pytest
from made_up_market import Market, market_and_orders
from messages import INSTRUMENT, buy

from orderflow.events import OrderbookUpdate
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
from trading.orders import OrderRequest, OrderStatus
from trading.paper import result_of, run_orders
from trading.paper_market import NO_SUCH_ORDER, PaperMarket
from trading.rules import Rules
from trading.strategy import ScriptedStrategy
from trading.ticks import TickMaker

RULES = Rules(10, 10)
BOOK = OrderbookUpdate([[100, 5]], [[101, 4], [102, 6]], 0, None, 1, snapshot=True)


def rows(*times: int) -> Market:
    made: Market = [(BOOK, [])]
    for number, ms in enumerate(times):
        made.append((OrderbookUpdate([[50, number]], None, ms, None, number + 2), []))
    return made


def answers_to(*signals: TradingSignal, market: Market | None = None) -> list[Answer]:
    paper = PaperMarket(market or rows(1000, 2000), INSTRUMENT, RULES)
    for signal in signals:
        paper.submit(signal)
    paper.advance(END_MS)
    return list(paper.answers())


def signal(number: int, time_ms: int = 0, **given: Any) -> TradingSignal:
    return buy(time_ms, number=number, strategy="a", **given)


def limit(number: int, price: int, **given: Any) -> TradingSignal:
    return signal(number, order=SignalType.LIMIT, price=Decimal(price), **given)


def cancel(number: int, time_ms: int, reference: int) -> TradingSignal:
    return signal(
        number, time_ms, order=SignalType.CANCEL, side=None, quantity=None, reference=reference
    )


def test_a_taker_is_accepted_and_filled_level_by_level() -> None:
    accepted, first, second = answers_to(signal(1, quantity=Decimal(6)))
    assert accepted == Accepted(strategy="a", signal=1, time_ms=10)
    assert isinstance(first, Filled)
    assert isinstance(second, Filled)
    assert [first.price, first.quantity, first.remaining] == [Decimal(n) for n in (101, 4, 2)]
    assert not first.maker
    assert [second.price, second.quantity, second.remaining] == [Decimal(n) for n in (102, 2, 0)]


def test_an_order_that_rests_is_accepted_and_cancelled_by_its_signals_number() -> None:
    made = answers_to(limit(7, 99), cancel(8, 500, 7), cancel(9, 600, 5), cancel(10, 900, 7))
    assert made == [
        Accepted(strategy="a", signal=7, time_ms=10),
        Cancelled(strategy="a", signal=7, time_ms=510, remaining=Decimal(1)),
        Rejected(strategy="a", signal=9, time_ms=610, reason=NO_SUCH_ORDER),
    ]


def test_what_expires_and_what_is_rejected_say_why() -> None:
    many = signal(1, quantity=Decimal(11))
    late = signal(2, 100, valid_until_ms=105)
    post = signal(3, order=SignalType.POST_ONLY, price=Decimal(101))
    accepted, _, _, rest, posted, rejected = answers_to(many, late, post)
    assert isinstance(accepted, Accepted)
    assert rest == Expired(
        strategy="a", signal=1, time_ms=10, remaining=Decimal(1), reason="the book had no more"
    )
    assert posted == Expired(strategy="a", signal=3, time_ms=10, remaining=Decimal(1))
    assert rejected == Rejected(
        strategy="a", signal=2, time_ms=110, reason="it arrived after valid_until_ms"
    )


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (signal(1, 50, cancel_ms=20), "an order sent at 50 is cancelled at that time or later"),
        (limit(1, 99, quantity=Decimal("1e-19")), "at most 18 decimals"),
    ],
)
def test_an_order_that_cannot_be_meant_is_rejected(given: TradingSignal, reason: str) -> None:
    (answer,) = answers_to(given)
    assert isinstance(answer, Rejected)
    assert reason in answer.reason


def test_a_signal_for_another_instrument_is_rejected() -> None:
    market = PaperMarket(rows(), "ETH-USDT", RULES)
    market.submit(signal(1))
    market.advance(END_MS)
    (answer,) = market.answers()
    assert isinstance(answer, Rejected)
    assert answer.reason == "this is the market of ETH-USDT"


def test_nothing_happens_at_the_time_it_is_moved_to() -> None:
    market = PaperMarket(rows(10, 20), INSTRUMENT, RULES)
    market.submit(signal(1))
    market.advance(20)  # the order arrives at 10, and is served by what comes after
    assert market.answers() == []
    market.advance(21)
    assert [type(answer) for answer in market.answers()] == [Accepted, Filled]


def test_crossed_books_and_empty_sides_leave_the_quotes_as_they_were() -> None:
    made = rows(10)
    made.append((OrderbookUpdate([[101, 1]], None, 20, None, 8), []))
    made.append((OrderbookUpdate([[101, 0], [100, 0], [50, 0]], None, 30, None, 9), []))
    market = PaperMarket(made, INSTRUMENT, RULES)
    market.advance(END_MS)
    assert market.quotes.at(99) == (100, 101)
    assert (market.quotes.first_ms, market.quotes.last_ms) == (0, 30)


def scripted(requests: list[OrderRequest], market: Market) -> list[TradingSignal]:
    tick = next(iter(TickMaker("", INSTRUMENT).ticks(market)))
    made = ScriptedStrategy(requests).on_tick(tick)
    return [one for one in made if isinstance(one, TradingSignal)]


@pytest.mark.parametrize("seed", range(5))
def test_signals_have_the_fills_and_ends_of_the_same_orders_in_a_list(seed: int) -> None:
    market, requests = market_and_orders(seed)
    requests.sort(key=lambda request: request.sent_ms)
    wanted = run_orders(market, requests, RULES)
    paper = PaperMarket(market, INSTRUMENT, RULES)
    answers: list[Answer] = []
    for number, one in enumerate(scripted(requests, market)):
        paper.advance(one.time_ms)
        paper.submit(buy_as(one, number))
        answers += paper.answers()
    paper.advance(END_MS)
    answers += paper.answers()
    found = result_of(paper.engine)
    numbers = [request.order for request in requests]
    key = [(f.time_ms, f.price, f.quantity, f.maker) for f in wanted.fills]
    assert sorted((f.time_ms, f.price, f.quantity, f.maker) for f in found.fills) == sorted(key)
    ends = {end.order: (end.status, end.time_ms, end.filled) for end in wanted.ends}
    assert {numbers[e.order]: (e.status, e.time_ms, e.filled) for e in found.ends} == ends
    check_answers(paper, answers)


def buy_as(one: TradingSignal, number: int) -> TradingSignal:
    fields = {name: getattr(one, name) for name in one.__struct_fields__}
    return TradingSignal(**fields | {"number": number, "strategy": "a"})


def check_answers(paper: PaperMarket, answers: list[Answer]) -> None:
    """Fail unless the answers to each order say what the engine knows of it."""
    assert [answer.time_ms for answer in answers] == sorted(answer.time_ms for answer in answers)
    for placed, end in paper.ends():
        mine = [answer for answer in answers if answer.signal == placed.signal]
        fills = [answer for answer in mine if isinstance(answer, Filled)]
        assert sum(answer.quantity for answer in fills) == end.filled
        if end.status is OrderStatus.REJECTED:
            assert [type(answer) for answer in mine] == [Rejected]
        elif fills or end.status in (OrderStatus.OPEN, OrderStatus.CANCELLED):
            assert isinstance(mine[0], Accepted)
        last = {OrderStatus.CANCELLED: Cancelled, OrderStatus.EXPIRED: Expired}.get(end.status)
        assert last is None or isinstance(mine[-1], last)
        if end.status is OrderStatus.FILLED:
            assert fills[-1].remaining == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_answers_come_in_one_order_however_the_market_is_moved(seed: int) -> None:
    market, requests = market_and_orders(seed)
    signals = sorted(scripted(requests, market), key=lambda one: one.time_ms)
    numbered = [buy_as(one, number) for number, one in enumerate(signals)]
    numbered += [cancel(900 + n, 7 * n, 901) for n in range(100)]  # which is no order
    numbered.sort(key=lambda one: (one.time_ms, one.number))
    runs = []
    for step in (1, 7, 100, 10**6):
        paper, answers = PaperMarket(market, INSTRUMENT, RULES), list[Answer]()
        for until in range(step, 4000 + step, step):
            for one in numbered:
                if until - step <= one.time_ms < until:
                    paper.submit(one)
            paper.advance(until + RULES.entry_ms)
            answers += paper.answers()
        paper.advance(END_MS)
        runs.append([*answers, *paper.answers()])
    assert all(run == runs[0] for run in runs)
    assert [one.time_ms for one in runs[0]] == sorted(one.time_ms for one in runs[0])
    assert sum(isinstance(one, Rejected) for one in runs[0]) > 50


def test_a_market_that_is_stopped_ends_where_it_is() -> None:
    paper = PaperMarket(rows(1000, 2000), INSTRUMENT, RULES)
    for one in (limit(1, 99), signal(2, 1500), signal(3, 100)):
        paper.submit(one)
    paper.advance(1200)
    paper.stop()
    statuses = [end.status for _, end in paper.ends()]
    assert statuses == [OrderStatus.OPEN, OrderStatus.REJECTED, OrderStatus.FILLED]
    assert [type(answer) for answer in paper.answers()] == [Accepted, Accepted, Filled, Rejected]


def test_while_a_market_moves_far_it_calls_who_waits() -> None:
    paper = PaperMarket(rows(*range(1, 2001)), INSTRUMENT, RULES)
    calls: list[int] = []
    paper.idle = lambda: calls.append(paper.engine.now_ms or 0)
    for until in range(40, 2000, 40):  # it counts on where it was moved in small steps
        paper.advance(until)
    assert len(calls) == 19
    assert calls == sorted(calls)


def test_while_thousands_of_orders_arrive_at_once_it_calls_who_waits() -> None:
    paper = PaperMarket(rows(1000, 2000), INSTRUMENT, RULES)
    calls: list[int] = []
    paper.idle = lambda: calls.append(paper.engine.now_ms or 0)
    for number in range(1, 2001):
        paper.submit(signal(number, 1500))
    paper.advance(2001)
    assert len(calls) >= 20
