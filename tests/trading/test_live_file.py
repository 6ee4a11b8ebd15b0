"""The file that shows a trading run while it lasts: the same figures as its report."""

import json
import logging
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from made_up_market import Market, market_and_orders
from messages import INSTRUMENT, alert, buy
from places import PROJECT
from shown_run import run_shown

from orderflow.errors import OutputError
from trading import live_file
from trading.account import Fees, RiskGate, RiskLimits
from trading.live_file import LiveRun
from trading.messages import Alert, SignalType, TickEvent, TradingSignal
from trading.paper_market import PaperMarket
from trading.report import Report, RunLog
from trading.rules import Rules
from trading.sessions import Strategy
from trading.strategy import ScriptedStrategy
from viz_io import TRADING_FILE

RULES = Rules(7, 3, fees=Fees(Decimal("-0.0001"), Decimal("0.0005")))


class Clock:
    """A clock that goes on by a second whenever it is looked at to see whether it is time."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 100.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def run(
    live: LiveRun, clock: Clock, market: Market, strategies: dict[str, Strategy], **given: Any
) -> Report:
    """Run strategies on a market, shown by `live` every second, and return the report."""

    def a_second_later() -> None:
        clock.now += 1

    return run_shown(live, lambda: market, strategies, RULES, before_update=a_second_later, **given)


def content(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / TRADING_FILE.name).read_bytes())
    return found


@pytest.mark.parametrize("balance", [None, Decimal(1000)])
@pytest.mark.parametrize("seed", range(3))
def test_at_the_end_all_figures_are_those_of_the_report(
    tmp_path: Path, seed: int, balance: Decimal | None
) -> None:
    market, requests = market_and_orders(seed, 900)
    clock = Clock()
    live = LiveRun(tmp_path, INSTRUMENT, ["orders"], bar_seconds=1, balance=balance, clock=clock)
    strategies: dict[str, Strategy] = {"orders": ScriptedStrategy(requests)}
    report = run(live, clock, market, strategies, bar_seconds=1, balance=balance)
    live.close()
    found, statistics = content(tmp_path), report.statistics
    for name in ("position", "equity", "realised", "fees"):
        assert found[name] == getattr(statistics, name)
    curve = json.loads(report.files()["report.json"])["statistics"]["curve"]
    assert found["curve"] == [list(point.values()) for point in curve]
    assert len(curve) > 3
    key = ["order", "time_ms", "price"]
    assert sorted(found["fills"], key=lambda f: [f[k] for k in key]) == sorted(
        json.loads(report.files()["fills.json"]), key=lambda f: [f[k] for k in key]
    )
    assert found["fill_count"] == statistics.fills > 20
    left = {order["order"] for order in report.orders if order["status"] == "open"}
    assert {order["order"] for order in found["open_orders"]} == left
    assert found["open_count"] == len(left)
    assert found["rejected"] == sum(order["status"] == "rejected" for order in report.orders)
    assert (found["state"], found["reason"], found["instrument"]) == ("finished", None, INSTRUMENT)
    assert found["event_time"] == max(max(u.timestamp, *[t[5] for t in ts], 0) for u, ts in market)


def test_while_it_runs_its_figures_are_those_of_the_run_so_far(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    market, requests = market_and_orders(1, 900)
    clock, seen = Clock(), list[dict[str, Any]]()
    live = LiveRun(tmp_path, INSTRUMENT, ["orders"], bar_seconds=1, clock=clock)
    update = live.update

    def look(market: PaperMarket, log: RunLog, time_ms: int) -> None:
        update(market, log, time_ms)
        found = content(tmp_path)
        assert found["position"] == float(market.engine.account.position)
        assert found["fill_count"] == len(found["fills"]) == len(market.engine.fills)
        assert found["curve"] == [] or found["curve"][-1][1] == found["position"]
        resting = [(float(o.price), float(o.left)) for o in market.engine._resting.values()]
        told = [(one["price"], one["remaining"]) for one in found["open_orders"]]
        assert market._ended or sorted(told) == sorted(resting)
        seen.append(found)

    monkeypatch.setattr(live, "update", look)
    report = run(live, clock, market, {"orders": ScriptedStrategy(requests)}, bar_seconds=1)
    assert max(len(found["open_orders"]) for found in seen[:-1]) > 3
    certain = [list(point.values()) for point in json.loads(report.files()["report.json"])[
        "statistics"]["curve"]]  # fmt: skip
    for found in seen:
        done = found["curve"][:-1]
        assert done == certain[: len(done)]
        assert found["state"] == "running"


class Talker:
    """Send all of these at the first tick."""

    def __init__(self, made: Sequence[TradingSignal | Alert]) -> None:
        self.made = made

    def on_tick(self, tick: TickEvent) -> Sequence[TradingSignal | Alert]:
        made, self.made = self.made, []
        return made


def test_alerts_and_refusals_are_told(tmp_path: Path) -> None:
    market, _ = market_and_orders(1)
    made: list[TradingSignal | Alert] = [
        alert(8, "sooner"),
        alert(9, "x" * 2000),
        buy(5, quantity=Decimal(50)),
    ]
    clock = Clock()
    live = LiveRun(tmp_path, INSTRUMENT, ["a"], clock=clock)
    gate = RiskGate(RiskLimits(max_position=Decimal(3)))
    report = run(live, clock, market, {"a": Talker(made)}, gate=gate)
    live.close("failed", "it was told to")
    found = content(tmp_path)
    assert found["alerts"][0] == report.alerts[0]
    assert (len(found["alerts"][1]["text"]), found["alert_count"]) == (300, 2)
    assert found["rejected"] == 1
    assert found["rejected_reason"].startswith("position limit: 50")
    assert (found["state"], found["reason"]) == ("failed", "it was told to")


def test_only_the_newest_are_kept_and_all_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MAX_FILLS", "MAX_ALERTS", "MAX_OPEN_ORDERS", "MAX_BARS"):
        monkeypatch.setattr(live_file, name, 3)
    market, _ = market_and_orders(2, 1500)
    made: list[TradingSignal | Alert] = [alert(n) for n in range(9)]
    made += [buy(n) for n in range(9)]
    resting = {"order": SignalType.LIMIT, "quantity": Decimal(1)}
    made += [buy(n, price=Decimal(10 + n), **resting) for n in range(9)]
    clock = Clock()
    live = LiveRun(tmp_path, INSTRUMENT, ["a"], bar_seconds=1, clock=clock)
    report = run(live, clock, market, {"a": Talker(made)}, bar_seconds=1)
    live.close()
    found = content(tmp_path)
    assert found["fill_count"] == len(report.fills) >= 9
    assert (found["alert_count"], found["open_count"]) == (9, 9)
    assert [a["time_ms"] for a in found["alerts"]] == [6, 7, 8]
    assert len(found["fills"]) == 3
    assert [order["price"] for order in found["open_orders"]] == [18, 17, 16]
    assert len(report.statistics.curve) > len(found["curve"]) == 4


def test_a_file_is_written_twice_a_second_at_most(tmp_path: Path) -> None:
    market, _ = market_and_orders(1)
    paper, clock = PaperMarket(market, INSTRUMENT, RULES), Clock()
    live = LiveRun(tmp_path, INSTRUMENT, [], clock=clock)
    written: list[int | None] = [None]
    for step in range(1, 31):
        clock.now = 100 + step / 10
        paper.advance(step * 50)
        live.update(paper, RunLog(), step * 50)
        if content(tmp_path).get("event_time") != written[-1]:
            written.append(content(tmp_path)["event_time"])
    assert len(written) == 1 + 6
    live.close()
    assert content(tmp_path)["event_time"] == paper.quotes.last_ms


def test_a_slow_disk_takes_little_of_the_runs_time(tmp_path: Path) -> None:
    paper, clock = PaperMarket([], INSTRUMENT, RULES), Clock(step=1.0)
    live = LiveRun(tmp_path, INSTRUMENT, [], clock=clock)
    live.update(paper, RunLog(), 0)  # a second for each look: the write seems to take one
    (tmp_path / TRADING_FILE.name).unlink()
    for _ in range(45):
        live.update(paper, RunLog(), 0)
        assert not (tmp_path / TRADING_FILE.name).exists()
    for _ in range(10):
        live.update(paper, RunLog(), 0)
    assert (tmp_path / TRADING_FILE.name).exists()


def test_a_new_run_begins_with_nothing(tmp_path: Path) -> None:
    (tmp_path / TRADING_FILE.name).write_text("what another run has left")
    LiveRun(tmp_path / "new", INSTRUMENT, ["b", "a"])
    LiveRun(tmp_path, INSTRUMENT, ["b", "a"])
    for directory in (tmp_path, tmp_path / "new"):
        found = content(directory)
        assert (found["state"], found["strategies"], "fills" in found) == (
            "running", ["a", "b"], False,
        )  # fmt: skip


def content_is_old(live: LiveRun) -> bool:
    return live.failure is not None


def test_a_directory_that_cannot_be_written_is_said_once_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place, clock = tmp_path / "out", Clock()
    live = LiveRun(place, INSTRUMENT, [], clock=clock)
    paper = PaperMarket([], INSTRUMENT, RULES)
    place.rename(tmp_path / "moved")
    with caplog.at_level(logging.WARNING, "trading"):
        for _ in range(3):
            clock.now += 1
            live.update(paper, RunLog(), 0)
        assert content_is_old(live)
        (tmp_path / "moved").rename(place)
        clock.now += 1
        live.update(paper, RunLog(), 0)
    assert not content_is_old(live)
    said = [record.getMessage().partition(": ")[2] for record in caplog.records]
    assert [words[:17] for words in said] == ["cannot be written", "written again"]


def test_what_is_no_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"trading_data\.json cannot be written"):
        LiveRun(tmp_path / "file", INSTRUMENT, [])


def test_every_field_is_in_the_reference(tmp_path: Path) -> None:
    market, requests = market_and_orders(1)
    live, clock = LiveRun(tmp_path, INSTRUMENT, ["orders"]), Clock()
    run(live, clock, market, {"orders": ScriptedStrategy(requests)})
    live.close()
    section = (PROJECT / "docs" / "reference.md").read_text().split("### trading_data.json")[1]
    named = set(re.findall(r"`([a-z_]+)`", section.split("## Metrics")[0]))
    found = content(tmp_path)
    assert set(found) <= named
    assert set(found["open_orders"][0]) <= named
