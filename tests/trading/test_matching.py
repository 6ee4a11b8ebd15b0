"""The rules of paper execution: the examples of docs/trading.md, and what they leave open."""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_market import market_and_orders
from paper_examples import PAGE, Example, examples, outcome_of
from paper_mistakes import MISTAKES

from orderflow.errors import UsageError
from orderflow.events import LostRows, OrderbookUpdate
from trading.account import Contract, RiskGate, RiskLimits
from trading.matching import MatchingEngine
from trading.orders import Fill, OrderError, OrderRequest, OrderType, Side
from trading.paper import run_orders
from trading.rules import Rules

EXAMPLES = examples()
NOW = Rules(entry_ms=0, response_ms=0)


def order(number: int, text: str, sent: int, **more: Any) -> OrderRequest:
    """Make an order of text such as `buy limit 2 at 100`."""
    side, kind, quantity, *price = text.replace(" at", "").split()
    exact = Decimal(price[0]) if price else None
    return OrderRequest(number, Side(side), OrderType(kind), Decimal(quantity), exact, sent, **more)


def row(ms: int, bids: dict[float, float], asks: dict[float, float], **more: Any) -> Any:
    levels = [[list(level) for level in side.items()] for side in (bids, asks)]
    update = OrderbookUpdate(levels[0], levels[1], ms, None, 1)
    return update._replace(**more)


def engine_at(bids: dict[float, float], asks: dict[float, float], **rules: Any) -> MatchingEngine:
    engine = MatchingEngine(Rules(**{"entry_ms": 0, "response_ms": 0} | rules))
    engine.on_update(row(0, bids, asks, snapshot=True))
    return engine


def trade(ms: int, side: str | None, size: float, price: float) -> Any:
    return (1, None, price, size, side, ms)


def takings(engine: MatchingEngine) -> list[tuple[float, float]]:
    return [(float(fill.price), float(fill.quantity)) for fill in engine.fills]


def reason(engine: MatchingEngine, number: int) -> str:
    assert engine.ends[number].status == "rejected"
    return engine.ends[number].reason


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_the_example_comes_out_as_it_stands_in_the_document(example: Example) -> None:
    assert outcome_of(example.run()) == sorted(example.outcome)


def test_every_rule_has_an_example() -> None:
    titles = re.findall(r"^### (\d+\. .*)", PAGE.read_text(), re.MULTILINE)
    assert len(titles) == 13
    # The example of the last, fees, is a table: tests/trading/test_account.py.
    assert {example.title for example in EXAMPLES} == set(titles[:-1])


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_shows_in_an_example(mistake: type[MatchingEngine]) -> None:
    assert any(outcome_of(example.run(mistake)) != sorted(example.outcome) for example in EXAMPLES)


def test_an_order_before_the_first_snapshot_is_refused() -> None:
    engine = MatchingEngine(NOW)
    engine.submit(order(0, "buy market 1", 5))
    engine.on_update(row(0, {100: 5}, {101: 5}))
    engine.on_update(row(9, {100: 6}, {}))
    assert reason(engine, 0) == "the book is not reliable"


def test_a_book_that_is_not_reliable_may_be_accepted() -> None:
    engine = MatchingEngine(Rules(0, 0, accept_unreliable=True))
    engine.submit(order(0, "buy market 1", 5))
    engine.on_update(row(0, {100: 5}, {101: 5}))
    engine.on_update(row(9, {100: 6}, {}))
    assert takings(engine) == [(101.0, 1.0)]


@pytest.mark.parametrize(
    "odd",
    [
        row(10, {}, {}, lost=(LostRows("late_rows", 9),)),
        row(10, {}, {})._replace(bids="no levels"),
        OrderbookUpdate(None, None, 0, None, lost=(LostRows("late_rows", 9),)),
    ],
    ids=["lost before a row", "a row that cannot be read", "lost after the last row"],
)
def test_after_a_loss_nothing_is_filled_until_the_next_snapshot(odd: OrderbookUpdate) -> None:
    engine = engine_at({100: 5}, {101: 5})
    engine.submit(order(0, "buy limit 1 at 100", 1))
    engine.submit(order(1, "buy market 1", 15))
    engine.submit(order(2, "buy market 1", 35))
    engine.on_update(row(5, {99: 5}, {}))
    engine.on_update(odd)
    engine.on_trade(trade(12, "sell", 9, 99))
    engine.on_update(row(20, {}, {98: 5}))
    assert engine.fills == []
    assert reason(engine, 1) == "the book is not reliable"
    assert engine.counts["trades_passed_over"] == 1
    engine.on_update(row(30, {99: 5}, {102: 5}, snapshot=True))
    engine.on_trade(trade(40, "sell", 9, 99))
    assert [(fill.order, fill.time_ms) for fill in engine.fills] == [(2, 35), (0, 40)]


def test_a_gap_in_the_sequence_makes_the_book_unreliable() -> None:
    engine = MatchingEngine(NOW)
    engine.on_update(row(0, {100: 5}, {101: 5}, snapshot=True, seq_id=7, prev_seq_id=-1))
    engine.on_update(row(1, {100: 6}, {}, seq_id=8, prev_seq_id=7))
    engine.submit(order(0, "buy market 1", 2))
    engine.submit(order(1, "buy market 1", 4))
    engine.on_update(row(3, {100: 7}, {}, seq_id=11, prev_seq_id=10))
    engine.on_update(row(5, {100: 8}, {}, seq_id=12, prev_seq_id=11))
    assert takings(engine) == [(101.0, 1.0)]
    assert reason(engine, 1) == "the book is not reliable"


def test_rows_and_trades_passed_over_in_a_crossed_book_are_counted() -> None:
    engine = engine_at({100: 5}, {102: 5})
    engine.submit(order(0, "sell limit 1 at 103", 1))
    engine.on_update(row(10, {104: 1}, {}))
    engine.on_trade(trade(11, "buy", 9, 105))
    engine.on_update(row(20, {}, {}))
    assert engine.fills == []
    assert engine.counts == {"rows_passed_over": 2, "trades_passed_over": 1}
    engine.on_update(row(30, {}, {102: 0, 105: 1}))
    assert [(fill.time_ms, float(fill.price)) for fill in engine.fills] == [(30, 103.0)]


def test_a_request_is_refused_after_its_time_and_after_the_market_has_ended() -> None:
    engine = engine_at({100: 5}, {101: 5}, entry_ms=10)
    engine.submit(order(0, "buy market 1", 5, valid_until_ms=15))
    engine.submit(order(1, "buy market 1", 5, valid_until_ms=14))
    engine.submit(order(2, "buy market 1", 15))
    engine.submit(order(3, "buy market 1", 16))
    engine.submit(order(4, "buy limit 1 at 99", 1, cancel_ms=16))
    engine.on_update(row(25, {}, {}))
    engine.finish()
    assert [fill.order for fill in engine.fills] == [0, 2]
    assert reason(engine, 1) == "it arrived after valid_until_ms"
    assert reason(engine, 3) == "it arrived after the last event of the market"
    assert (engine.ends[4].status, engine.ends[4].time_ms) == ("open", 25)


def test_a_run_without_a_market_rejects_every_order() -> None:
    result = run_orders([], [order(0, "buy market 1", 5)], NOW)
    assert [(end.status, end.time_ms) for end in result.ends] == [("rejected", 5)]


def test_prices_and_quantities_that_the_exchange_does_not_have_are_refused() -> None:
    contract = Contract(tick=Decimal("0.5"), lot=Decimal("0.1"))
    engine = engine_at({100: 5}, {101: 5}, contract=contract)
    wanted = {"buy limit 1 at 99.5": "", "buy limit 1 at 99.4": "no multiple of the tick"}
    wanted |= {"buy limit 1.05 at 99": "no multiple of the lot", "buy market 0.3": ""}
    for number, text in enumerate(wanted):
        engine.submit(order(number, text, 1))
    engine.on_update(row(2, {}, {}))
    engine.finish()
    for (_, end), text in zip(sorted(engine.ends.items()), wanted.values(), strict=True):
        assert end.reason.endswith(text)
        assert bool(end.reason) == bool(text)


def test_without_a_tick_a_price_has_no_more_decimals_than_the_book() -> None:
    asks = {100 + n: 1.0 for n in range(20)}
    engine = engine_at({99: 5}, asks | {200.25: 1.0})
    engine.submit(order(0, "buy limit 1 at 99.25", 1))
    engine.submit(order(1, "buy limit 1 at 99.255", 1))
    engine.submit(order(2, "buy limit 1 at 99.250", 1))
    engine.on_update(row(2, {}, {}))
    assert reason(engine, 1).startswith("the price has more decimals than any in the book")
    assert set(engine.ends) == {1}


def test_an_order_may_rest_where_the_other_side_is_empty() -> None:
    engine = engine_at({100: 5}, {})
    engine.submit(order(0, "buy limit 1 at 105", 1))
    engine.submit(order(1, "buy market 1", 1))
    engine.on_update(row(5, {}, {104: 1}))
    assert takings(engine) == [(105.0, 1.0)]
    assert reason(engine, 1) == "the other side of the book is empty"


def test_the_limits_refuse_with_a_reason_when_the_order_arrives() -> None:
    gate = RiskGate(RiskLimits(max_position=Decimal(3)))
    engine = MatchingEngine(NOW, gate)
    engine.on_update(row(0, {100: 5}, {101: 9}, snapshot=True))
    texts = ["buy market 2", "buy limit 1 at 99", "buy limit 1 at 99", "sell limit 5 at 102"]
    for number, text in enumerate(texts):
        engine.submit(order(number, text, 1))
    engine.on_update(row(2, {}, {}))
    assert reason(engine, 2) == "position limit: 4 of 3"
    gate.kill("asked for")
    engine.submit(order(4, "sell market 1", 3))
    engine.cancel(1, 3)
    engine.on_update(row(4, {}, {}))
    assert reason(engine, 4) == "kill switch: asked for"
    assert engine.ends[1].status == "cancelled"
    engine.finish()
    assert engine.ends[3].status == "open"


def test_a_late_request_is_served_at_once_and_counted() -> None:
    engine = engine_at({100: 5}, {101: 5}, entry_ms=10)
    engine.on_update(row(50, {}, {101: 0, 102: 5}))
    engine.submit(order(0, "buy market 1", 20))
    engine.on_update(row(60, {}, {}))
    assert [(fill.time_ms, float(fill.price)) for fill in engine.fills] == [(50, 102.0)]
    assert engine.counts["late_requests"] == 1


def test_trades_of_unknown_side_fill_nothing_and_are_counted() -> None:
    engine = engine_at({100: 5}, {101: 5})
    engine.submit(order(0, "buy limit 1 at 100", 1))
    for side in (None, "", "bid"):
        engine.on_trade(trade(5, side, 100, 90))
    assert (engine.fills, engine.counts["trades_of_unknown_side"]) == ([], 3)


def test_an_order_has_a_number_of_its_own_and_only_what_was_sent_is_cancelled() -> None:
    engine = engine_at({100: 5}, {101: 5})
    engine.submit(order(7, "buy market 1", 1))
    with pytest.raises(OrderError, match="order 7: its number was given to an earlier order"):
        engine.submit(order(7, "sell market 1", 1))
    with pytest.raises(OrderError, match="order 8: it was never sent"):
        engine.cancel(8, 5)


@pytest.mark.parametrize("options", [{"entry_ms": -1}, {"response_ms": -1}, {"entry_ms": 10**20}])
def test_a_latency_below_0_or_above_a_day_is_refused(options: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="is 0 to 86,400,000 ms, a day; found"):
        Rules(**options)  # type: ignore[arg-type]


def test_whole_and_partial_fills_exclude_one_another() -> None:
    with pytest.raises(UsageError, match="exclude one another"):
        Rules(whole_fills=True, partial_makers=True)


@given(
    asks=st.dictionaries(st.integers(101, 160), st.integers(1, 9), min_size=1),
    quantity=st.integers(1, 200),
    limit=st.none() | st.integers(101, 165),
)
def test_a_taker_walks_the_book_as_one_level_after_another_would_fill_it(
    asks: dict[int, int], quantity: int, limit: int | None
) -> None:
    engine = engine_at({100: 1}, {float(p): s / 10 for p, s in asks.items()})
    text = "market" if limit is None else "limit"
    price = "" if limit is None else f" at {limit}"
    engine.submit(order(0, f"buy {text} {quantity / 10}{price}", 1))
    engine.on_update(row(2, {}, {}))
    engine.finish()
    units = [p for p in sorted(asks) for _ in range(asks[p]) if limit is None or p <= limit]
    taken = units[:quantity]
    assert takings(engine) == [(p, taken.count(p) / 10) for p in sorted(set(taken))]
    end = engine.ends[0]
    assert end.filled == Decimal(len(taken)) / 10
    left = "expired" if limit is None else "open"
    assert end.status == ("filled" if len(taken) == quantity else left)


@pytest.mark.parametrize("options", [{}, {"whole_fills": True}, {"partial_makers": True}])
@pytest.mark.parametrize("seed", range(4))
def test_every_order_ends_once_and_its_fills_add_up(seed: int, options: dict[str, bool]) -> None:
    market, requests = market_and_orders(seed)
    result = run_orders(market, requests, Rules(7, 3, **options))  # type: ignore[arg-type]
    assert [end.order for end in result.ends] == [request.order for request in requests]
    position = Decimal(0)
    for end, request in zip(result.ends, requests, strict=True):
        own = [fill for fill in result.fills if fill.order == end.order]
        filled = sum((fill.quantity for fill in own), Decimal(0))
        assert filled == end.filled <= request.quantity
        assert (end.status == "filled") == (filled == request.quantity)
        assert all(request.sent_ms + 7 <= fill.time_ms <= end.time_ms for fill in own)
        position += request.side.sign * filled
    assert result.account.position == position
    assert {end.status for end in result.ends} >= {"filled", "cancelled", "expired", "open"}
    assert {fill.maker for fill in result.fills} == {True, False}


@pytest.mark.parametrize("seed", range(4))
def test_orders_sent_one_by_one_as_the_market_goes_fill_as_those_known_beforehand(
    seed: int,
) -> None:
    market, requests = market_and_orders(seed)
    rules = Rules(7, 3)
    engine = MatchingEngine(rules)
    waiting = sorted(requests, key=lambda request: request.sent_ms)
    for update, trades in market:
        while waiting and waiting[0].sent_ms < update.timestamp:
            engine.submit(waiting.pop(0))
        engine.on_update(update)
        for found in trades:
            engine.on_trade(found)
    for request in waiting:
        engine.submit(request)
    engine.finish()
    assert engine.counts["late_requests"] == 0

    def by_time(fills: list[Fill]) -> list[Fill]:
        return sorted(fills, key=lambda fill: (fill.time_ms, fill.order))

    wanted = run_orders(market, requests, rules)
    assert by_time(engine.fills) == wanted.fills
    assert sorted(engine.ends.items()) == [(end.order, end) for end in wanted.ends]


def test_after_too_large_a_loss_marked_at_the_mid_every_order_is_refused() -> None:
    gate = RiskGate(RiskLimits(max_loss=Decimal(10)))
    engine = MatchingEngine(NOW, gate)
    engine.on_update(row(0, {100: 9}, {102: 9}, snapshot=True))
    for number, sent in enumerate((1, 3, 6)):
        engine.submit(order(number, "buy market 1", sent))
    engine.on_update(row(2, {100: 0, 92: 9}, {102: 0, 93: 9}))  # 1 bought at 102: -9.5
    engine.on_update(row(5, {92: 0, 91: 9}, {93: 9}))  # and 1 at 93: -11
    engine.on_update(row(7, {91: 0, 300: 9}, {93: 0, 301: 9}))
    engine.submit(order(3, "sell market 1", 8))
    engine.on_update(row(9, {300: 8}, {}))
    assert [fill.order for fill in engine.fills] == [0, 1]
    killed = "kill switch: a loss of 11.0 at 6, the limit is 10"
    assert (reason(engine, 2), reason(engine, 3)) == (killed, killed)
