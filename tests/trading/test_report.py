"""The report of a run of strategies in one process, and its files."""

import json
import threading
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from made_up_market import market_and_orders
from messages import INSTRUMENT, alert, buy
from paper_orders import RECORDINGS as ORDERED
from paper_orders import orders_of, tape_of
from real_recordings import DATA, needs_recordings
from recorded_ticks import RECORDINGS

from db_interpreter import DBInterpreter
from orderflow.errors import OutputError
from trading.account import Account, Fees, RiskGate, RiskLimits
from trading.messages import Alert, TickEvent, TradingSignal
from trading.orders import Fill
from trading.paper import fills_json, orders_json, run_orders
from trading.protocol import StrategyFailedError
from trading.report import SCRIPTED, Report, run_strategies
from trading.rules import TOO_LATE, Rules
from trading.strategy import ScriptedStrategy, make_strategy

RULES = Rules(7, 3, fees=Fees(Decimal("-0.0001"), Decimal("0.0005")))
FLOW = {"events": "20", "threshold": "0.4", "cooldown_ms": "2000", "quantity": "0.01"}
LEVELS = {"bar_seconds": "5", "min_strength": "1", "quantity": "0.02"}


def without_strategy(lines: list[dict[str, object]]) -> list[dict[str, object]]:
    assert {line["strategy"] for line in lines} == {SCRIPTED}
    return [{key: line[key] for key in line if key != "strategy"} for line in lines]


@pytest.mark.parametrize("window_ms", [1, 10, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_a_list_of_orders_has_the_fills_and_ends_it_has_without_strategies(
    seed: int, window_ms: int
) -> None:
    market, requests = market_and_orders(seed)
    wanted = run_orders(market, requests, RULES)
    strategies = {SCRIPTED: ScriptedStrategy(requests)}
    found = run_strategies(lambda: market, INSTRUMENT, strategies, RULES, window_ms=window_ms)
    assert without_strategy(found.fills) == json.loads(fills_json(wanted.fills))
    assert without_strategy(found.orders) == json.loads(orders_json(wanted.ends))
    assert found.statistics.cash == float(wanted.account.cash)
    assert found.statistics.fees == float(wanted.account.fees)
    assert found.lost == 0


class OutOfIdeas:
    def on_tick(self, tick: TickEvent) -> list[TradingSignal]:
        raise ValueError(tick.number)


def test_a_strategy_that_fails_leaves_no_thread_behind() -> None:
    market, _ = market_and_orders(0)
    with pytest.raises(StrategyFailedError) as failed:
        run_strategies(lambda: market, INSTRUMENT, {"a": OutOfIdeas()}, RULES)
    assert failed.value.__traceback__  # the frames are held
    assert [thread for thread in threading.enumerate() if thread.name.startswith("book")] == []


QUICK = ("thin spot", (10, 5))
ALL = [(name, latency) for name in ORDERED for latency in ((0, 0), (10, 5), (50, 20))]


@needs_recordings
@pytest.mark.parametrize(
    ("name", "latency"),
    [
        pytest.param(*each, marks=pytest.mark.thorough if each == QUICK else pytest.mark.slow)
        for each in ALL
    ],
    ids=str,
)
def test_2000_orders_on_a_recording_have_the_fills_they_have_without_strategies(
    name: str, latency: tuple[int, int]
) -> None:
    tape, rules = tape_of(*ORDERED[name]), Rules(*latency, accept_unreliable=True)
    tick = Decimal("0.1") if "futures" in name else Decimal("0.0001")
    requests = orders_of(tape, tick, Decimal("0.001"), 2000, latency, 4)
    wanted = run_orders(tape.market, requests, rules)
    strategies = {SCRIPTED: ScriptedStrategy(requests)}
    found = run_strategies(lambda: tape.market, ORDERED[name][1], strategies, rules)
    assert without_strategy(found.fills) == json.loads(fills_json(wanted.fills))
    assert without_strategy(found.orders) == json.loads(orders_json(wanted.ends))
    assert len(found.fills) > 500


def real_run(window_ms: int = 10, bar_seconds: int = 5) -> Report:
    stem, instrument = RECORDINGS["futures"]
    strategies = {
        "flow": make_strategy("order-flow", FLOW),
        "ofi": make_strategy("order-flow", FLOW | {"measure": "ofi"}),
        "levels": make_strategy("support-resistance", LEVELS),
        "watcher": make_strategy("support-resistance", LEVELS | {"alert_only": "true"}),
    }
    return run_strategies(
        lambda: DBInterpreter(DATA / f"{stem}.db", instrument).stream(), instrument, strategies,
        Rules(accept_unreliable=True, fees=RULES.fees), window_ms=window_ms,
        bar_seconds=bar_seconds, balance=Decimal(1000),
    )  # fmt: skip


@pytest.mark.thorough
@needs_recordings
def test_strategies_on_a_recording_give_a_report_that_adds_up() -> None:
    found = real_run()
    statistics = found.statistics
    assert {fill["strategy"] for fill in found.fills} == {"flow", "levels", "ofi"}
    assert {one["strategy"] for one in found.alerts} == {"watcher"}
    assert len(found.alerts) == sum(order["strategy"] == "levels" for order in found.orders)
    assert statistics.fills == len(found.fills) > 20
    account = Account()
    for line in found.fills:
        given: Any = line
        numbers = (Decimal(str(given[name])) for name in ("price", "qty"))
        price, quantity = numbers
        fee = RULES.fees.of(price * quantity, maker=given["maker"])
        account.add(Fill(0, 0, given["side"], price, quantity, given["maker"], fee))
    assert statistics.position == float(account.position)
    assert statistics.equity == statistics.curve[-1].equity
    assert statistics.fees == pytest.approx(float(account.fees), rel=1e-12)
    assert statistics.realised == pytest.approx(float(account.realised), rel=1e-12)
    assert statistics.sharpe.samples == len(statistics.curve) - 1 > 60
    assert statistics.sharpe.value is not None
    assert not statistics.sharpe.annualised
    # Whoever takes pays about half of the spread and what the market moved meanwhile.
    assert statistics.takers.slippage_at_arrival.fills == statistics.fills
    assert (statistics.takers.slippage_at_arrival.bp or 0) > 0
    assert (found.lost, found.counts["rejected"]) == (0, {})


@needs_recordings
@pytest.mark.thorough
def test_the_same_run_writes_the_same_bytes_whatever_its_windows(tmp_path: Path) -> None:
    whole = real_run()
    whole.write(tmp_path / "new")
    for name, data in whole.files().items():
        assert (tmp_path / "new" / name).read_bytes() == data
    assert real_run().files() == whole.files()
    other = real_run(window_ms=250)
    for name in ("fills.json", "orders.json", "alerts.json"):
        assert other.files()[name] == whole.files()[name]
    assert other.statistics == whole.statistics


@dataclass
class Once:
    """Give all of these at the first tick."""

    made: list[TradingSignal | Alert]

    def on_tick(self, tick: TickEvent) -> list[TradingSignal | Alert]:
        made, self.made = self.made, []
        return made


def test_what_is_refused_and_what_is_only_said_is_in_the_files() -> None:
    market, _ = market_and_orders(1)
    strategies = {
        "a": Once([buy(5), buy(6, valid_until_ms=7), alert(9, "later"), alert(8, "sooner")]),
        "b": Once([buy(5, quantity=Decimal(50)), alert(8)]),
    }
    gate = RiskGate(RiskLimits(max_position=Decimal(3)))
    found = run_strategies(lambda: market, INSTRUMENT, strategies, RULES, gate)
    assert [(a["time_ms"], a["strategy"], a["text"]) for a in found.alerts] == [
        (8, "a", "sooner"), (8, "b", "look"), (9, "a", "later"),
    ]  # fmt: skip
    ends = {(o["strategy"], o["order"]): (o["status"], o.get("reason")) for o in found.orders}
    assert ends[("a", 2)] == ("rejected", TOO_LATE)
    status, reason = ends[("b", 1)]
    assert status == "rejected"
    assert str(reason).startswith("position limit: 5")
    report = json.loads(found.files()["report.json"])
    assert report["counts"]["rejected"] == {reason: 1, ends[("a", 2)][1]: 1}
    assert report["counts"]["executor"]["too_old"] == 1
    assert (report["schema"], report["instrument"], report["strategies"]) == (
        1, INSTRUMENT, ["a", "b"],
    )  # fmt: skip


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = run_strategies(lambda: [], INSTRUMENT, {"a": Once([])}, RULES)
    with pytest.raises(OutputError, match=r"fills\.json cannot be written"):
        found.write(tmp_path / "file")
