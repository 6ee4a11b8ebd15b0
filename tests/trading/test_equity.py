"""Best prices and equity through time, at the end and while a market goes on."""

import random
from decimal import Decimal

import pytest
from fills import BUY, LINEAR, SELL, fill, quotes_of

from trading.account import Account, Contract
from trading.equity import EquityCurve, EquityPoint, Quotes, equity_curve


def test_the_prices_at_a_time_are_the_last_of_its_ms() -> None:
    quotes = quotes_of((10, 1, 2), (10, 3, 4), (20, 3, 4), (30, 5, 6), last_ms=45)
    assert [quotes.at(t) for t in (9, 10, 29, 30, 99)] == [None, (3, 4), (3, 4), (5, 6), (5, 6)]
    assert (quotes.mid_at(9), quotes.mid_at(15)) == (None, 3.5)
    assert (quotes.first_ms, quotes.last_ms, Quotes().first_ms) == (10, 45, None)


def test_equity_is_cash_and_position_less_fees_at_each_close_and_at_the_end() -> None:
    quotes = quotes_of((1500, 99, 101), (2500, 109, 111), (5000, 119, 121), last_ms=5300)
    fills = [fill(1600, BUY, "101", "2", fee="0.5"), fill(4000, SELL, "109", "3", fee="-0.25")]
    assert equity_curve(fills, quotes, LINEAR, 1000) == [
        EquityPoint(1500, 0, 0, 0, 0, 0, 0),
        EquityPoint(2000, 2, -202 + 200 - 0.5, -202 + 198 - 0.5, 200, 0, 0.5),
        EquityPoint(3000, 2, -202 + 220 - 0.5, -202 + 218 - 0.5, 220, 0, 0.5),
        # A window without an event has a point too, and one at its close is of the next.
        EquityPoint(4000, 2, -202 + 220 - 0.5, -202 + 218 - 0.5, 220, 0, 0.5),
        EquityPoint(5000, -1, 125 - 110 - 0.25, 125 - 111 - 0.25, 110, 16, 0.25),
        EquityPoint(5301, -1, 125 - 120 - 0.25, 125 - 121 - 0.25, 120, 16, 0.25),
    ]


def test_contracts_have_their_size_and_inverse_ones_the_coin() -> None:
    quotes = quotes_of((0, 100, 100.5), last_ms=999)
    quotes.add(500, 199, 201)
    sized = equity_curve([fill(1, BUY, "100")], quotes, Contract(Decimal("0.01")), 1000)
    assert (sized[-1].equity, sized[-1].exposure) == (1, 2)
    coin = equity_curve([fill(1, BUY, "100")], quotes, Contract(Decimal(100), inverse=True), 1000)
    assert (coin[-1].equity, coin[-1].exposure) == (0.5, 0.5)


def test_a_balance_is_part_of_equity_and_a_start_cuts_the_curve() -> None:
    quotes = quotes_of((0, 99, 101), last_ms=2000)
    curve = equity_curve([], quotes, LINEAR, 1000, start_ms=700, balance=Decimal(50))
    assert [(point.time_ms, point.equity) for point in curve] == [
        (700, 50), (1000, 50), (2000, 50), (2001, 50),
    ]  # fmt: skip
    assert equity_curve([], Quotes(), LINEAR, 1000) == []


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("start_ms", [None, 0, 1_234, 6_000])
def test_a_curve_followed_from_time_to_time_is_that_of_the_whole(
    seed: int, start_ms: int | None
) -> None:
    rng = random.Random(seed)
    times = sorted(rng.randrange(500, 9_000) for _ in range(200))
    quotes, fills, points = Quotes(), [], []
    account = Account(LINEAR)
    curve = EquityCurve(LINEAR, 1000, start_ms=start_ms)
    for time_ms in times:
        bid = rng.randint(90, 99)
        if rng.random() < 0.7:
            quotes.add(time_ms, bid, bid + rng.randint(1, 9))
        elif quotes.first_ms is not None:
            quotes.reached(time_ms)
            fills.append(fill(time_ms, rng.choice([BUY, SELL]), str(bid), fee="0.5"))
            account.add(fills[-1])
        if rng.random() < 0.3:
            points += curve.follow(fills, quotes)
    now = curve.now(account, quotes)
    points += curve.end(fills, quotes)
    assert points == equity_curve(fills, quotes, LINEAR, 1000, start_ms=start_ms)
    assert points[-1] == now
    assert len(points) > 3


def test_a_market_without_prices_has_no_point() -> None:
    curve = EquityCurve(LINEAR, 1000)
    assert curve.follow([], Quotes()) == curve.end([], Quotes()) == []
    assert curve.now(Account(LINEAR), Quotes()) is None
