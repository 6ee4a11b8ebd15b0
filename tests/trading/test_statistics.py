"""Statistics of a run: by hand, and beside empyrical's on the same equity."""

import random
from decimal import Decimal
from math import sqrt
from statistics import mean, stdev
from typing import Any

import pytest
from fills import BUY, LINEAR, SELL, fill, quotes_of

from trading.equity import Quotes
from trading.orders import OrderEnd, OrderRequest, OrderStatus, OrderType
from trading.statistics import (
    Mean,
    OrderRecord,
    fill_quality,
    limit_orders,
    max_drawdown,
    max_drawdown_share,
    returns_of,
    sharpe,
    statistics_of,
)


def test_the_drawdown_counts_from_the_start() -> None:
    assert max_drawdown([0, -3, -1, 4, 2, 5]) == 3
    assert max_drawdown([0, 5, 1, 6, 3]) == 4
    assert max_drawdown([]) == max_drawdown([7]) == max_drawdown([1, 2]) == 0
    assert max_drawdown_share([100, 90, 200, 170]) == 0.15
    assert max_drawdown_share([0, -3]) is None


def test_returns_are_shares_of_a_balance_or_plain_changes() -> None:
    assert returns_of([100, 110, 99], has_balance=True) == pytest.approx([0.1, -0.1])
    assert returns_of([0, 10, -1], has_balance=False) == [10, -11]
    assert returns_of([100, -1, 5], has_balance=True) == []


# -- Sharpe


def test_sharpe_is_mean_by_deviation_and_says_what_it_was_made_of() -> None:
    returns = [0.01, -0.02, 0.03] * 10
    found = sharpe(returns, 60)
    assert found.value == pytest.approx(mean(returns) / stdev(returns))
    assert (found.samples, found.sample_seconds, found.factor) == (30, 60, 1.0)
    assert not found.annualised


def test_from_one_day_on_it_is_annualised_by_the_samples_of_365_days() -> None:
    assert not sharpe([0.1, 0.2] * 719, 60).annualised
    found = sharpe([0.1, 0.2] * 720, 60)
    assert found.annualised
    assert found.factor == sqrt(365 * 24 * 60)
    assert found.value == pytest.approx(0.15 / stdev([0.1, 0.2] * 720) * found.factor)


@pytest.mark.parametrize("returns", [[], [0.1, 0.2] * 14 + [0.1], [0.1] * 40])
def test_too_few_samples_and_those_that_do_not_differ_have_none(returns: list[float]) -> None:
    assert sharpe(returns, 60).value is None


def test_sharpe_and_drawdown_equal_empyricals_on_the_same_equity() -> None:
    empyrical = pytest.importorskip(
        "empyrical", reason="empyrical is not here: uv run --group oracle", exc_type=ImportError
    )
    import numpy as np  # noqa: PLC0415

    for seed in range(20):
        rng = random.Random(seed)
        equity = [10_000.0]
        for _ in range(rng.randint(40, 400)):
            equity.append(equity[-1] * (1 + rng.gauss(0.001, 0.02)))
        returns = returns_of(equity, has_balance=True)
        array = np.array(returns)
        day, minute = sharpe(returns, 86_400), sharpe([*returns, *([0.0] * 1440)], 60)
        assert day.value == pytest.approx(
            empyrical.sharpe_ratio(array, annualization=365), rel=1e-9
        )
        array = np.array([*returns, *([0.0] * 1440)])
        wanted = empyrical.sharpe_ratio(array, annualization=365 * 1440)
        assert minute.value == pytest.approx(wanted, rel=1e-9)
        drawdown = -empyrical.max_drawdown(np.array(returns))
        assert max_drawdown_share(equity) == pytest.approx(drawdown, rel=1e-9)


# -- orders


def record(
    number: int, kind: OrderType, status: OrderStatus, filled: str = "0", **given: Any
) -> OrderRecord:
    price = None if kind is OrderType.MARKET else Decimal(100)
    request = OrderRequest(number, given.get("side", BUY), kind, Decimal(4), price, 1000)
    end = OrderEnd(number, status, given.get("time_ms", 1500), Decimal(filled))
    return OrderRecord(request, end, given.get("mid"))


def test_limit_orders_are_counted_by_number_and_by_quantity() -> None:
    limit, post, market = OrderType.LIMIT, OrderType.POST_ONLY, OrderType.MARKET
    orders = [
        record(0, limit, OrderStatus.FILLED, "4", time_ms=1010),
        record(1, post, OrderStatus.FILLED, "4", time_ms=1110),
        record(2, limit, OrderStatus.FILLED, "4", time_ms=2010),
        record(3, limit, OrderStatus.CANCELLED, "1"),
        record(4, limit, OrderStatus.OPEN, "1"),
        # None of these was accepted as a limit order.
        record(5, post, OrderStatus.EXPIRED),
        record(6, limit, OrderStatus.REJECTED),
        record(7, market, OrderStatus.FILLED, "4"),
    ]
    found = limit_orders(orders, 10)
    assert (found.accepted, found.filled) == (5, 3)
    assert (found.fill_ratio, found.fill_ratio_by_quantity) == (0.6, 0.7)
    assert found.share_cancelled == 0.2
    assert found.mean_time_to_fill_ms == pytest.approx(1100 / 3)
    assert found.median_time_to_fill_ms == 100


def test_without_limit_orders_there_are_no_ratios() -> None:
    found = limit_orders([record(0, OrderType.MARKET, OrderStatus.FILLED, "4")], 10)
    assert (found.accepted, found.fill_ratio, found.share_cancelled) == (0, None, None)
    assert found.fill_ratio_by_quantity is found.mean_time_to_fill_ms is None


def near(mean: Mean) -> list[Any]:
    return [pytest.approx(mean.bp), mean.fills]


def test_slippage_costs_and_markout_earns_in_bp_by_quantity() -> None:
    quotes = quotes_of(
        (1000, 99, 101), (1010, 100, 102), (2020, 101, 103), (6020, 89, 91), last_ms=8000
    )
    orders = {
        0: record(0, OrderType.MARKET, OrderStatus.FILLED, "4"),
        1: record(1, OrderType.MARKET, OrderStatus.FILLED, "4", side=SELL, mid=98.0),
    }
    fills = [
        fill(1020, BUY, "102", "3", order=0),
        fill(4000, SELL, "100", "1", order=1),
    ]
    found = fill_quality(fills, orders, quotes, 10)
    assert found.fills == 2
    decision = (3 * (102 - 100) / 100 - (100 - 98) / 98) / 4
    assert near(found.slippage_at_decision) == [1e4 * decision, 2]
    arrival = (3 * (102 - 101) / 101 - (100 - 101) / 101) / 4
    assert near(found.slippage_at_arrival) == [1e4 * arrival, 2]
    one = (3 * (102 - 102) / 102 - (102 - 100) / 100) / 4
    assert near(found.markout_1s) == [1e4 * one, 2]
    # The market ended 4 s after the second fill, and before 30 s.
    assert near(found.markout_5s) == [1e4 * (90 - 102) / 102, 1]
    assert found.markout_30s == Mean(None, 0)


def test_a_run_adds_up() -> None:
    quotes = quotes_of((0, 99, 101), (1500, 109, 111), last_ms=3999)
    fills = [
        fill(10, BUY, "100", "2", fee="1", order=0),
        fill(2500, SELL, "110", "2", maker=True, fee="-0.5", order=1),
    ]
    orders = {
        0: record(0, OrderType.MARKET, OrderStatus.FILLED, "2"),
        1: record(1, OrderType.LIMIT, OrderStatus.FILLED, "2", side=SELL),
    }
    found = statistics_of(
        fills, orders, quotes, LINEAR, entry_ms=10, window_ms=1000, balance=Decimal(100)
    )
    assert (found.fills, found.position, found.cash, found.realised) == (2, 0, 20, 20)
    assert (found.fees, found.maker_fees, found.taker_fees) == (0.5, -0.5, 1)
    assert (found.equity, found.closing_equity, found.turnover) == (119.5, 119.5, 420)
    assert [point.position for point in found.curve] == [0, 2, 2, 0, 0]
    assert (found.mean_exposure, found.largest_exposure) == ((200 + 220) / 5, 220)
    assert found.time_in_market == 0.4
    assert (found.max_drawdown, found.max_drawdown_share) == (1, 0.01)
    assert (found.takers.fills, found.makers.fills, found.sharpe.samples) == (1, 1, 4)
    bare = statistics_of([], {}, Quotes(), LINEAR, entry_ms=0)
    assert (bare.equity, bare.max_drawdown_share, bare.sharpe.value) == (0, None, None)
