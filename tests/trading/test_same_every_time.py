"""The same run gives the same files: over the bus or not, whatever its windows and processes."""

from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import metric_markets
import pytest
from bus_in_threads import run_over_bus
from made_up_market import Market, market_and_orders
from messages import INSTRUMENT
from paper_orders import RECORDINGS as ORDERED
from paper_orders import orders_of, tape_of
from real_recordings import needs_recordings

from trading.account import Fees, RiskGate, RiskLimits
from trading.bars import choose_bars
from trading.messages import Alert, Bar, TickEvent, TradingSignal
from trading.orders import OrderRequest, Side
from trading.report import SCRIPTED, Report, run_strategies
from trading.rules import Rules
from trading.sessions import Strategy
from trading.statistics import Statistics
from trading.strategy import ScriptedStrategy, make_strategy, market_order

RULES = Rules(7, 3, fees=Fees(Decimal("-0.0001"), Decimal("0.0005")), accept_unreliable=True)
LIMITS = RiskLimits(max_position=Decimal(3), max_orders=50)
FLOW = {"events": "20", "threshold": "0.4", "cooldown_ms": "500", "quantity": "0.01"}
LEVELS = {"bar_seconds": "1", "swing_bars": "1", "min_strength": "1", "quantity": "0.02"}
FILES = ("fills.json", "orders.json", "alerts.json")
"""report.json also counts messages, of which there are as many as windows."""


@cache
def market_of(name: str) -> tuple[str, Market, list[OrderRequest]]:
    """Return an instrument, its market, and orders to send there."""
    if name == "made up":
        return INSTRUMENT, *market_and_orders(3, 3000)
    tape = tape_of(*ORDERED[name])
    orders = orders_of(tape, Decimal("0.01"), Decimal("0.001"), 500, (7, 3), 6)
    return ORDERED[name][1], tape.market, orders


def strategies_of(name: str, count: int) -> dict[str, Strategy]:
    """Return the first so many of four strategies, which go in this order on the bus."""
    orders = market_of(name)[2]
    every: dict[str, Strategy] = {
        SCRIPTED: ScriptedStrategy(orders),
        "levels": make_strategy("support-resistance", LEVELS),
        "flow": make_strategy("order-flow", FLOW),
        "alerts": make_strategy("support-resistance", LEVELS | {"alert_only": "true"}),
    }
    return dict(list(every.items())[:count])


def in_process(name: str, count: int, window_ms: int = 10) -> Report:
    instrument, market, _ = market_of(name)
    return run_strategies(
        lambda: market, instrument, strategies_of(name, count), RULES, RiskGate(LIMITS),
        window_ms=window_ms, bar_seconds=1,
    )  # fmt: skip


def over_bus(name: str, count: int, window_ms: int, credit: int) -> Report:
    instrument, market, _ = market_of(name)
    run = run_over_bus(
        lambda: market, instrument, strategies_of(name, count), RULES, RiskGate(LIMITS),
        window_ms=window_ms, credit=credit, bar_seconds=1,
    )  # fmt: skip
    assert run.lost == 0
    return run.report


def said(report: Report) -> tuple[list[bytes], Statistics]:
    """Return what must be the same every time."""
    files = report.files()
    return [files[name] for name in FILES], report.statistics


@cache
def reference(name: str, count: int) -> tuple[list[bytes], Statistics]:
    report = in_process(name, count)
    assert {line["strategy"] for line in report.fills} == set(strategies_of(name, min(count, 3)))
    assert len(report.fills) > 50
    assert count < 4 or len(report.alerts) >= 5
    return said(report)


@pytest.mark.thorough
def test_over_the_bus_the_files_are_those_of_one_process() -> None:
    assert said(over_bus("made up", 4, window_ms=30, credit=3)) == reference("made up", 4)


def test_in_one_process_the_files_are_the_same_whatever_the_windows() -> None:
    for window_ms in (1, 1000):
        assert said(in_process("made up", 4, window_ms)) == reference("made up", 4)


@dataclass
class Barred:
    """Trade at the end of bars and at ticks, and say which came when."""

    last = 0

    def on_tick(self, tick: TickEvent) -> list[TradingSignal | Alert]:
        self.last = tick.number
        return [] if tick.number % 40 else [market_order(tick, Side.SELL, Decimal("0.01"), "tick")]

    def on_bar(self, bar: Bar) -> list[TradingSignal | Alert]:
        assert bar.after == self.last
        text = f"{bar.number} after {self.last}: {bar.volume!r} {bar.values!r}"
        said = Alert(instrument=bar.instrument, time_ms=bar.end_ms, text=text, price=bar.close)
        return [said, market_order(bar, Side.BUY, Decimal("0.02"), "bar")]


def with_bars(kind: str, count: int) -> tuple[dict[str, Any], dict[str, Strategy]]:
    options = {"bars": choose_bars(kind, ["obi", "vpin:volume=4,buckets=3"]), "bar_seconds": 1}
    alert = {"metric": "vpin:volume=4,buckets=3", "above": "0.4"}
    every: dict[str, Strategy] = {
        "barred": Barred(), "vpin": make_strategy("metric-alert", alert), "again": Barred(),
    }  # fmt: skip
    return options, dict(list(every.items())[:count])


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "count"), [("time:1", 1), ("time:1", 3), ("volume:5", 3)])
def test_bars_come_at_the_same_place_over_the_bus_whatever_the_windows(
    kind: str, count: int
) -> None:
    market = metric_markets.batches(*metric_markets.events(1, 1500), 20)
    found = []
    for window_ms in (1, 10, 1000):
        options, made = with_bars(kind, count)
        report = run_strategies(
            lambda: market, INSTRUMENT, made, RULES, RiskGate(LIMITS), window_ms=window_ms,
            **options,
        )  # fmt: skip
        found.append(said(report))
    for window_ms, credit in ((30, 3), (1000, 16)):
        options, made = with_bars(kind, count)
        run = run_over_bus(
            lambda: market, INSTRUMENT, made, RULES, RiskGate(LIMITS), window_ms=window_ms,
            credit=credit, **options,
        )  # fmt: skip
        assert (run.lost, run.counts["executor"]["late"]) == (0, 0)
        found.append(said(run.report))
    assert all(one == found[0] for one in found)
    assert len(report.fills) > 10
    assert {line["strategy"] for line in report.alerts} == set(made)


@needs_recordings
@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("name", ["made up", "thin spot", "futures"])
def test_five_times_the_files_are_the_same(name: str, count: int) -> None:
    for window_ms, credit in ((1, 16), (10, 1), (10, 16), (250, 4), (10_000, 500)):
        assert said(over_bus(name, count, window_ms, credit)) == reference(name, count)
        assert said(in_process(name, count, window_ms)) == reference(name, count)
