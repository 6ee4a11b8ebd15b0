"""Fills, ends, fees and cash beside those of hftbacktest, an independent program."""

import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
from bus_in_threads import run_over_bus
from paper_orders import RECORDINGS
from real_recordings import needs_recordings

from orderbook_manager import OrderbookManager
from orderflow.events import OrderbookUpdate, Trade
from trading.report import SCRIPTED, Report, run_strategies
from trading.strategy import ScriptedStrategy

pytest.importorskip(
    "hftbacktest", reason="hftbacktest is not here: uv run --group oracle", exc_type=ImportError
)

from paper_cases import Case, case_of
from paper_oracle import Outcome

pytestmark = [needs_recordings, pytest.mark.thorough]

LATENCIES = ((0, 0), (10, 5), (50, 20))


@pytest.fixture(params=RECORDINGS)
def case(request: pytest.FixtureRequest) -> Case:
    return case_of(request.param)


@pytest.mark.parametrize("latency", LATENCIES, ids=str)
def test_fills_ends_fees_and_cash_equal_the_oracles(case: Case, latency: tuple[int, int]) -> None:
    orders = case.orders(latency)
    wanted = case.execute(orders, latency)
    assert case.run(orders, case.rules(latency, whole_fills=True)) == wanted
    # What is compared is worth comparing.
    statuses = [status for _, status, _ in wanted.ends]
    makers = sum(fill[5] for fill in wanted.fills)
    assert min(makers, len(wanted.fills) - makers, statuses.count("cancelled")) > 300
    assert min(statuses.count("expired"), statuses.count("open")) > 5


def in_files(case: Case, report: Report) -> tuple[object, ...]:
    """Return what the files of a run say, in the oracle's units but for the sums of money."""
    files = {name: json.loads(data) for name, data in report.files().items()}
    ticks, lots = case.scale.ticks, case.scale.lots
    fills = [
        (f["order"], f["time_ms"], f["side"], ticks(f["price"]), lots(f["qty"]), f["maker"])
        for f in files["fills.json"]
    ]
    ends = [
        (end["order"], end["status"], 0 if end["status"] == "open" else end["time_ms"])
        for end in files["orders.json"]
    ]
    sums = files["report.json"]["statistics"]
    return fills, ends, sums["fees"], sums["cash"], sums["position"]


def in_money(case: Case, outcome: Outcome) -> tuple[object, ...]:
    fills, ends, fee, cash, position = outcome
    unit = case.tick * case.lot
    return fills, ends, float(fee * unit), float(cash * unit), float(position * case.lot)


@pytest.mark.parametrize("way", ["in one process", "over the bus"])
@pytest.mark.parametrize("latency", LATENCIES, ids=str)
def test_the_files_of_a_run_of_strategies_say_what_the_oracle_says(
    case: Case, latency: tuple[int, int], way: str
) -> None:
    orders = case.orders(latency, seed=5)
    strategies = {SCRIPTED: ScriptedStrategy(orders)}
    rules = case.rules(latency, whole_fills=True)
    if way == "in one process":
        report = run_strategies(lambda: case.tape.market, case.instrument, strategies, rules)
    else:
        run = run_over_bus(
            lambda: case.tape.market, case.instrument, strategies, rules, window_ms=100
        )
        assert run.lost == 0
        report = run.report
    wanted = case.execute(orders, latency)
    assert in_files(case, report) == in_money(case, wanted)
    assert len(wanted.fills) > 600


@pytest.mark.parametrize("options", [{}, {"partial_makers": True}], ids=["walking", "partial"])
def test_orders_of_one_lot_fill_as_the_oracles_however_larger_ones_are_filled(
    case: Case, options: dict[str, bool]
) -> None:
    latency = (10, 5)
    orders = [replace(order, quantity=case.lot) for order in case.orders(latency, seed=2)]
    assert case.run(orders, case.rules(latency, **options)) == case.execute(orders, latency)


def test_snapshots_put_into_the_recording_change_no_fill(case: Case) -> None:
    latency = (10, 5)
    orders = case.orders(latency, seed=3)
    market = list(with_snapshots(case.tape.market, len(case.tape.market) // 13))
    assert sum(update.snapshot for update, _ in market) > 12
    found = case.run(orders, case.rules(latency, whole_fills=True), market=market)
    assert found == case.execute(orders, latency)


def with_snapshots(
    market: list[tuple[OrderbookUpdate, list[Trade]]], every: int
) -> Iterator[tuple[OrderbookUpdate, list[Trade]]]:
    """Follow every so many rows by a snapshot of the book, which has its trades then."""
    book, rows = OrderbookManager(1), 0
    for update, trades in market:
        if update.id is None:
            yield update, trades
            continue
        book.update(update.bids, update.asks, update.snapshot)
        rows += 1
        if rows % every:
            yield update, trades
        else:
            yield update, []
            bids, asks = book.top_levels(sum(book.level_counts))
            yield update._replace(bids=bids, asks=asks, snapshot=True), trades
