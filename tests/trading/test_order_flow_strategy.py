"""The order-flow strategy signals where its definition in docs/trading.md says so."""

from decimal import Decimal
from itertools import pairwise
from math import fsum
from typing import Any

import pytest
from messages import tick
from real_recordings import needs_recordings
from recorded_ticks import RECORDINGS, all_ticks, decisions_of

from orderflow.errors import UsageError
from trading.messages import Alert, TickEvent, TickKind, TradingSignal
from trading.order_flow_strategy import OrderFlowStrategy
from trading.orders import Side

Decided = list[tuple[int, str]]


def flows_of(ticks: list[TickEvent], measure: str) -> list[tuple[TickEvent, float]]:
    """Return each trade with its signed size, or each book row with its term of the OFI."""
    if measure == "delta":
        return [(t, (t.size or 0) * (1 if t.side == "buy" else -1)) for t in ticks if t.side]
    rows = [t for t in ticks if t.kind is TickKind.BOOK]
    found = []
    for old, new in pairwise(rows):
        sides: list[Any] = [old.best_bid, old.best_ask, new.best_bid, new.best_ask]
        if None in sides:
            continue
        b0, a0, b1, a1 = sides
        qb0, qa0 = old.bid_size or 0, old.ask_size or 0
        qb1, qa1 = new.bid_size or 0, new.ask_size or 0
        bids = qb1 * (b1 >= b0) - qb0 * (b1 <= b0)
        asks = qa1 * (a1 <= a0) - qa0 * (a1 >= a0)
        found.append((new, bids - asks))
    return found


def by_definition(
    ticks: list[TickEvent], measure: str, events: int, threshold: float, cooldown: int
) -> Decided:
    flows, made = flows_of(ticks, measure), Decided()
    for last in range(events, len(flows) + 1):
        at = flows[last - 1][0]
        terms = [flow for _, flow in flows[last - events : last]]
        size = fsum(abs(term) for term in terms)
        share = fsum(terms) / size if size else 0.0
        if made and at.time_ms < made[-1][0] + cooldown:
            continue
        if share > threshold and (at.obi or 0) > 0:
            made.append((at.time_ms, "buy"))
        elif share < -threshold and (at.obi or 0) < 0:
            made.append((at.time_ms, "sell"))
    return made


def decided(strategy: OrderFlowStrategy, ticks: list[TickEvent]) -> Decided:
    made = decisions_of(strategy, ticks)
    return [(s.time_ms, s.side or "") for s in made if isinstance(s, TradingSignal)]


@needs_recordings
@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("measure", ["delta", "ofi"])
def test_signals_on_real_ticks_are_those_of_the_definition(name: str, measure: Any) -> None:
    ticks = all_ticks(name)
    wanted = by_definition(ticks, measure, 20, 0.5, 3000)
    assert decided(OrderFlowStrategy(measure, 20, 0.5, 3000), ticks) == wanted
    assert len({side for _, side in wanted}) == 2
    assert len(wanted) > 5


def trade(number: int, time_ms: int, size: float, obi: float | None = 0.5) -> TickEvent:
    side = Side.BUY if size > 0 else Side.SELL
    return tick(number, time_ms, 100.0, size=abs(size), side=side, obi=obi)


def test_nothing_is_signalled_before_there_are_enough_trades() -> None:
    strategy = OrderFlowStrategy(events=3)
    ticks = [trade(n, n, 1.0) for n in range(1, 6)]
    assert decided(strategy, ticks) == [(3, "buy")]


@pytest.mark.parametrize("obi", [-0.1, 0.0, None])
def test_a_book_that_does_not_lean_the_same_way_keeps_it_quiet(obi: float | None) -> None:
    ticks = [trade(n, n, 1.0, obi) for n in range(5)]
    assert decided(OrderFlowStrategy(events=2), ticks) == []


def test_the_threshold_itself_is_not_beyond_the_threshold() -> None:
    ticks = [trade(1, 1, 3.0), trade(2, 2, -1.0)]
    assert decided(OrderFlowStrategy(events=2, threshold=0.5), ticks) == []
    assert decided(OrderFlowStrategy(events=2, threshold=0.4999), ticks) == [(2, "buy")]


def test_it_pauses_for_the_cool_down_in_event_time() -> None:
    ticks = [trade(n, 100 * n, -1.0, -0.5) for n in range(1, 12)]
    made = decided(OrderFlowStrategy(events=1, cooldown_ms=500), ticks)
    assert made == [(100, "sell"), (600, "sell"), (1100, "sell")]


def test_the_ofi_starts_anew_after_a_side_was_empty() -> None:
    best = {"best_bid": 100.0, "best_ask": 101.0, "bid_size": 1.0, "ask_size": 1.0, "obi": 0.5}
    rows = [
        tick(1, 1, **best),
        tick(2, 2, **best | {"best_ask": None, "ask_size": None, "bid_size": 9.0}),
        tick(3, 3, **best | {"bid_size": 5.0}),
        tick(4, 4, **best | {"bid_size": 6.0}),
    ]
    assert decided(OrderFlowStrategy("ofi", events=1), rows) == [(4, "buy")]


def test_with_alert_only_it_says_what_it_would_have_done() -> None:
    given = trade(1, 7, 1.0)
    (alert,) = decisions_of(OrderFlowStrategy(events=1, alert_only=True), [given])
    assert isinstance(alert, Alert)
    assert (alert.time_ms, alert.text) == (7, "buy: delta +1.000 of the last 1, OBI +0.500")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"events": 0}, "events is at least 1; found 0"),
        ({"threshold": 1.0}, "threshold is a share below 1; found 1"),
        ({"threshold": float("nan")}, "threshold is at least 0; found nan"),
        ({"cooldown_ms": -1}, "cooldown_ms is at least 0; found -1"),
        ({"quantity": Decimal("NaN")}, "quantity is above 0; found NaN"),
    ],
)
def test_settings_that_cannot_be_meant_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        OrderFlowStrategy(**given)
