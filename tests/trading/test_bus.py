"""Whole runs over real sockets and in real processes: nothing lost, the same order, clean ends."""

import itertools
import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from bus import FIRST_MS, Bus, Cutter, EveryNth, Journal, free_ports, make_ticks, run_of

from messaging.keys import make_keys
from messaging.sockets import ZmqContext
from trading import member
from trading.execution import Execution
from trading.executor import OrderExecutor
from trading.gateway import TickProducer, new_start
from trading.in_process import run_in_process
from trading.protocol import Endpoints, NotThereError
from trading.strategy_process import StrategyProcess

TICKS = 2_000
WITHIN_SECONDS = 5.0
LATER = 10.0
"""More than what is promised, on a machine that is busy with something else."""


def reference(names: list[str], ticks: int = TICKS) -> list[list[Any]]:
    """Return the signals of a run in one process, in their order."""
    begin = new_start("BTC-USDT", names)
    market = Journal()
    run_in_process(
        make_ticks(begin.run_id, ticks),
        {name: EveryNth(name, 10) for name in names},
        Execution(market, begin, 10, lambda _: None),
        begin,
    )
    return market.entries


def nothing_lost(reports: dict[str, dict[str, Any]], ticks: int) -> None:
    assert reports["gateway"]["ticks"] == ticks
    for name, report in reports.items():
        assert report["strange"] == 0, name
        if name == "executor":
            assert report["lost"] == report["late"] == 0
        elif name != "gateway":
            assert report["lost"] == 0
            assert report["ticks"] == {
                "received": ticks, "missing": 0, "repeats": 0, "foreign": 0,
            }  # fmt: skip
            assert report["answers_seen"] == report["signals"]


def nothing_left(bus: Bus) -> None:
    assert list((bus.path / "s").iterdir()) == []


ORDERS = list(itertools.permutations(["gateway", "executor", "a"]))


@pytest.mark.parametrize(
    "order",
    [ORDERS[0], *(pytest.param(o, marks=pytest.mark.thorough) for o in ORDERS[1:-1]), ORDERS[-1]],
)
def test_started_in_any_order_nothing_is_lost(order: tuple[str, ...]) -> None:
    with Bus() as bus:
        for name in order:
            bus.start(name)
        reports = bus.reports()
        nothing_lost(reports, TICKS)
        assert reports["executor"]["entries"] == reference(["a"])
        nothing_left(bus)


@pytest.mark.parametrize(
    "starts",
    [pytest.param(4, marks=pytest.mark.thorough), pytest.param(20, marks=pytest.mark.slow)],
)
def test_started_in_any_order_many_times_none_of_20000_ticks_is_lost(starts: int) -> None:
    draw = random.Random(1)
    expected = reference(["a", "b"], 20_000)
    for _ in range(starts):
        with Bus(["a", "b"], ticks=20_000) as bus:
            for name in draw.sample(bus.names, 4):
                bus.start(name)
                time.sleep(draw.choice((0, 0, 0.3)))  # at different times, whatever comes of it
            reports = bus.reports()
            nothing_lost(reports, 20_000)
            assert reports["executor"]["entries"] == expected
            nothing_left(bus)


@pytest.mark.parametrize(
    ("names", "options"),
    [(["b", "a"], {"window_ms": 1, "credit": 3}), (["d", "a", "c", "b"], {"window_ms": 100})],
)
def test_the_same_signals_in_the_same_order_as_in_one_process(
    names: list[str], options: dict[str, int]
) -> None:
    with run_of(names, options=options) as bus:
        reports = bus.reports()
    nothing_lost(reports, TICKS)
    assert reports["executor"]["entries"] == reference(names)
    assert reports["executor"]["alerts_seen"] == 2 * len(names)


@pytest.mark.thorough
@pytest.mark.parametrize("window_ms", [1, 10, 1000])
@pytest.mark.parametrize(
    "credit", [1, *(pytest.param(credit, marks=pytest.mark.slow) for credit in (16, 500))]
)
@pytest.mark.parametrize("names", [["a"], ["a", "b"], ["a", "b", "c", "d"]])
def test_any_window_credit_and_number_of_strategies_give_the_same(
    window_ms: int, credit: int, names: list[str]
) -> None:
    with run_of(names, options={"window_ms": window_ms, "credit": credit}) as bus:
        reports = bus.reports()
    nothing_lost(reports, TICKS)
    assert reports["executor"]["entries"] == reference(names)


@pytest.mark.thorough
@pytest.mark.parametrize("free", [False, True])
def test_a_slow_strategy_loses_nothing(free: bool) -> None:
    with Bus(["a", "b"], options={"free": free}) as bus:
        bus.start("gateway", "executor", "a")
        bus.start("b", sleep=0.001)
        reports = bus.reports()
    for name in "ab":
        assert reports[name]["ticks"]["received"] == TICKS
        assert reports[name]["lost"] == 0
    assert reports["executor"]["lost"] == 0
    assert sorted(reports["executor"]["entries"]) == reference(["a", "b"])


@pytest.mark.thorough
def test_at_the_recorded_pace_a_run_takes_as_long_as_the_recording() -> None:
    last = list(make_ticks("", 300))[-1].time_ms - FIRST_MS
    with run_of(["a"], ticks=300, speed=1.0) as bus:
        began = time.monotonic()
        reports = bus.reports()
    assert time.monotonic() - began > last / 1000 / 2
    assert reports["executor"]["entries"] == reference(["a"], 300)


def running(bus: Bus) -> None:
    """Wait until the run is under way: it is paced, and lasts for a minute."""
    bus.start(*bus.names)
    deadline = time.monotonic() + 30
    while not all(bus.has_begun(name) for name in bus.names[2:]):
        assert time.monotonic() < deadline
        time.sleep(0.01)


LONG = {"ticks": 100_000, "speed": 1.0}


@pytest.mark.thorough
@pytest.mark.parametrize("victim", ["gateway", "executor", "a"])
def test_after_the_death_of_one_the_others_end_and_name_it(victim: str) -> None:
    with Bus(["a", "b"], **LONG) as bus:
        running(bus)
        bus.processes[victim].kill()
        began = time.monotonic()
        for name in bus.processes:
            if name != victim:
                code, _, said = bus.end(name, LATER)
                assert code == 1
                assert f"Error: {victim}: no sign of life for" in said, name
                assert said.count("\n") == 1
        assert time.monotonic() - began < LATER


def test_a_strategy_started_anew_in_a_run_ends_it_at_once() -> None:
    with Bus(["a", "b"], **LONG) as bus:
        running(bus)
        bus.processes["a"].kill()
        bus.processes["a"].communicate()
        bus.start("a")
        for name in ("gateway", "executor", "b"):
            code, _, said = bus.end(name, LATER)
            assert code == 1
            assert "Error: a: " in said  # silent by then, if the start took long


@pytest.mark.thorough
@pytest.mark.parametrize("victim", ["gateway", "executor", "a", "b"])
@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 5))]
)
def test_killed_at_any_moment_it_is_named_within_five_seconds(victim: str, seed: int) -> None:
    with Bus(["a", "b"], **LONG) as bus:
        bus.start(*bus.names)
        time.sleep(random.Random(seed).random() * 2)
        bus.processes[victim].kill()
        began = time.monotonic()
        for name in bus.processes:
            if name != victim:
                code, _, said = bus.end(name)
                assert code == 1
                assert victim in said
        assert time.monotonic() - began < WITHIN_SECONDS


@pytest.mark.thorough
@pytest.mark.parametrize("victim", ["a", "gateway", "executor"])
def test_one_that_was_stopped_is_noticed_though_it_lives(victim: str) -> None:
    with Bus(["a", "b"], **LONG) as bus:
        running(bus)
        bus.processes[victim].send_signal(signal.SIGSTOP)
        for name in bus.processes:
            if name != victim:
                code, _, said = bus.end(name, LATER)
                assert code == 1
                assert f"Error: {victim}: no sign of life for 1." in said
        bus.processes[victim].send_signal(signal.SIGCONT)
        code, _, said = bus.end(victim)  # and learns what has happened
        assert code == 1
        assert "Error: " in said


@pytest.mark.parametrize(
    "asked", ["gateway", *(pytest.param(v, marks=pytest.mark.thorough) for v in ("executor", "a"))]
)
def test_asked_to_stop_one_tells_the_others(asked: str) -> None:
    with Bus(["a", "b"], **LONG) as bus:
        running(bus)
        bus.processes[asked].terminate()
        for name in bus.processes:
            code, _, said = bus.end(name, LATER)
            assert (code, said) == (1, f"Error: {asked}: stopped\n")
        nothing_left(bus)


def test_a_strategy_that_fails_ends_the_run_with_its_reason() -> None:
    with Bus(["a", "b"]) as bus:
        bus.start("gateway", "executor", "a")
        bus.start("b", fail_at=500)
        for name in ("gateway", "executor", "a"):
            code, _, said = bus.end(name, LATER)
            assert code == 1
            assert "Error: b: the strategy failed at tick 500: RuntimeError('out of ideas')" in said
            assert said.count("\n") == 1
        assert "bus.py, line " in bus.end("b")[2]


@pytest.mark.thorough
def test_a_second_gateway_is_refused_with_the_pid_of_the_first() -> None:
    with Bus() as bus:
        bus.start("gateway")
        first = bus.processes["gateway"]
        bus.start("gateway")
        code, _, said = bus.end("gateway")
        assert code == 1
        assert f"another gateway, pid {first.pid}, is bound to it" in said
        bus.processes["gateway"] = first
        bus.start("executor", "a")
        nothing_lost(bus.reports(), TICKS)


@pytest.mark.thorough
def test_leftovers_of_a_killed_run_are_no_hindrance() -> None:
    with Bus(["a"], **LONG) as bus:
        running(bus)
        for process in bus.processes.values():
            process.kill()
            process.communicate()
        assert {path.name for path in (bus.path / "s").iterdir()} >= {"ticks", "ticks.lock"}
        bus.start(*bus.names, ticks=TICKS, speed=None)
        nothing_lost(bus.reports(), TICKS)
        nothing_left(bus)


def over_tcp(**changed: int) -> dict[str, str]:
    names = ("ticks", "control", "signals", "answers")
    ports = dict(zip(names, free_ports(4), strict=True)) | changed
    return {name: f"tcp://127.0.0.1:{port}" for name, port in ports.items()}


def test_over_tcp_with_keys_a_run_is_the_same(tmp_path: Path) -> None:
    make_keys(tmp_path / "keys")
    with run_of(["a"], endpoints=over_tcp(), keys=str(tmp_path / "keys")) as bus:
        reports = bus.reports()
    nothing_lost(reports, TICKS)
    assert reports["executor"]["entries"] == reference(["a"])


@pytest.mark.thorough
def test_signals_lost_with_their_connection_are_sent_again_and_executed_once() -> None:
    endpoints = over_tcp()
    cutter = Cutter(int(endpoints["signals"].rpartition(":")[2]))
    with Bus(["a", "b"], endpoints=endpoints, ticks=6_000, speed=1.0) as bus:
        bus.start("gateway", "executor", "b")
        bus.start("a", endpoints=endpoints | {"signals": f"tcp://127.0.0.1:{cutter.port}"})
        cuts = 0
        while bus.processes["executor"].poll() is None and cuts < 2:
            time.sleep(1.0)  # so that all are heard again before the next cut
            cuts += cutter.cut() > 0
        reports = bus.reports()
        cutter.close()
    assert cuts > 0
    nothing_lost(reports, 6_000)
    assert reports["executor"]["entries"] == reference(["a", "b"], 6_000)
    assert reports["a"]["resent"] > 0


@pytest.mark.thorough
def test_ticks_lost_with_their_connection_are_counted_to_the_last() -> None:
    endpoints = over_tcp()
    cutter = Cutter(int(endpoints["ticks"].rpartition(":")[2]))
    with Bus(["a", "b"], endpoints=endpoints, ticks=6_000, speed=1.0) as bus:
        bus.start("gateway", "executor", "b")
        bus.start("a", endpoints=endpoints | {"ticks": f"tcp://127.0.0.1:{cutter.port}"})
        cuts = 0
        while bus.processes["executor"].poll() is None and cuts < 2:
            time.sleep(1.0)  # so that all are heard again before the next cut
            cuts += cutter.cut() > 0
        reports = bus.reports()
        cutter.close()
    counts = reports["a"]["ticks"]
    assert counts["missing"] > 0
    assert counts["received"] + counts["missing"] == 6_000
    assert reports["a"]["lost"] == counts["missing"]
    assert reports["b"]["lost"] == reports["executor"]["lost"] == 0


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("role", "missing"),
    [("strategy", ["executor"]), ("gateway", ["a", "b", "executor"]), ("executor", ["gateway"])],
)
def test_whoever_does_not_come_is_named(
    role: str, missing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "START_SECONDS", 0.3)
    begin = new_start("BTC-USDT", ["b", "a"])
    with tempfile.TemporaryDirectory(prefix="bus-") as name, ZmqContext() as context:
        endpoints = Endpoints.in_directory(Path(name))
        with pytest.raises(NotThereError, match="not there after 0 s; start every") as caught:  # noqa: PT012
            if role == "strategy":
                strategy = EveryNth("a", 10)
                StrategyProcess("a", strategy, "BTC-USDT", endpoints, context).run()
            elif role == "gateway":
                TickProducer(begin, endpoints, context).run(make_ticks(begin.run_id, 10))
            else:
                OrderExecutor(Journal(), endpoints, context).run()
    assert caught.value.names == missing
