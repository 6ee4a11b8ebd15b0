"""Runs of trading as users start them: results, exit codes, ends of every kind, nothing left."""

import json
import os
import random
import re
import signal
import time
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer.main
from bus import free_ports
from desk_runs import is_running, wait_until
from places import PROJECT
from real_recordings import DATA, needs_recordings
from trading_runs import (
    FILES,
    TradingRun,
    contents,
    report_in,
    started,
    trading,
    trading_run,
)
from typer.testing import CliRunner

from orderflow.errors import UsageError
from synthetic_market import write_recording
from trading.__main__ import app

INSTRUMENT = "BTC-USDT"
SPAN = (INSTRUMENT, "2025-06-09T12:00", "2025-06-09T12:05")
START_MS = int(datetime(2025, 6, 9, 12, tzinfo=UTC).timestamp() * 1000)
WITHIN_SECONDS = 15.0
"""Three times what is promised, on a machine that is busy with something else."""
LEVELS = ("--strategy", "support-resistance", "--set", "support-resistance.bar_seconds=2",
          "--set", "min_strength=1")  # fmt: skip
FLOW = ("--strategy", "order-flow", "--set", "events=20", "--set", "threshold=0.3")
MANY = (*LEVELS, *FLOW, "--strategy", "ofi=order-flow", "--set", "ofi.measure=ofi",
        "--set", "quantity=0.01", "--window-seconds", "5")  # fmt: skip
FAILING = ("traders:Trader", "--set", "fail_at=500")
TRADER = ("--strategy", "a=traders:Trader", "--strategy", "b=traders:Trader", "--set", "b.every=70")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    path = directory / f"{INSTRUMENT}_2025-06-09.db"
    write_recording(path, INSTRUMENT, START_MS, START_MS + 300_000, seed=4, max_rows=4000)
    return directory


def test_the_demo_gives_fills_and_the_bars_beneath_them(tmp_path: Path) -> None:
    span = (INSTRUMENT, "2025-06-09", "2025-06-09T00:05")
    done = trading(
        "run", *span, "--demo", "--strategy", "support-resistance", "--set", "bar_seconds=5",
        "--no-ui",
        "--output-dir", tmp_path, ORDERFLOW_CACHE_DIR=str(tmp_path / "cache"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "support-resistance  finished" in done.stderr
    assert "lost             0, late 0, out of date 0" in done.stderr
    fills = json.loads((tmp_path / "fills.json").read_bytes())
    bars = json.loads((tmp_path / "ohlc_data.json").read_bytes())
    assert len(fills) > 2
    assert bars[0][0] <= fills[0]["time_ms"] <= bars[-1][0] + 60_000
    report = report_in(tmp_path)
    assert report["state"] == "finished"
    assert report["statistics"]["fills"] == len(fills)
    assert report["counts"]["ticks"] > 1000
    shown = json.loads((tmp_path / "trading_data.json").read_bytes())
    assert (shown["state"], shown["fill_count"]) == ("finished", len(fills))
    assert shown["equity"] == report["statistics"]["equity"]


@pytest.mark.parametrize(
    "changed",
    [("--window-ms", "250", "--credit", "3"), pytest.param((), marks=pytest.mark.thorough)],
)
def test_over_the_bus_and_in_one_process_the_files_are_equal(
    data: Path, tmp_path: Path, changed: tuple[str, ...]
) -> None:
    orders = tmp_path / "orders.json"
    order = {"side": "buy", "type": "market", "qty": "0.01"}
    orders.write_text(json.dumps([order | {"time_ms": START_MS + ms} for ms in (-1, 0, 50_000)]))
    metrics = (
        "--bars", "time:2", "--metric", "ofi", "--metric", "vpin:volume=1,buckets=2", "--strategy",
        "metric-alert", "--set", "metric-alert.metric=ofi", "--set", "metric-alert.above=0",
    )  # fmt: skip
    given = (*SPAN, "--data-dir", data, *MANY, "--orders", orders, *metrics, "--no-ui", "--no-bars")
    here = trading("run", *given, "--in-process", "--output-dir", tmp_path / "here")
    apart = trading("run", *given, "--output-dir", tmp_path / "apart", *changed)
    assert (here.returncode, apart.returncode) == (0, 0), here.stderr + apart.stderr
    assert contents(tmp_path / "apart") == contents(tmp_path / "here")
    report = report_in(tmp_path / "here")
    names = ["metric-alert", "ofi", "order-flow", "orders", "support-resistance"]
    assert report["strategies"] == names
    assert report["counts"]["strategies"]["metric-alert"]["alerts"] > 3
    assert report["statistics"]["fills"] > 20
    assert report["counts"]["rejected"] == {"it was sent before the start of the run": 1}
    assert report["counts"]["strategies"]["orders"]["answers"]["received"] >= 3


@needs_recordings
@pytest.mark.parametrize(
    "names",
    [
        pytest.param((), marks=pytest.mark.slow),
        pytest.param(("ofi=order-flow",), marks=pytest.mark.thorough),
        pytest.param(("ofi=order-flow", "c=order-flow", "d=order-flow"), marks=pytest.mark.slow),
    ],
    ids=len,
)
def test_a_recording_gives_the_same_five_times_with_one_two_and_four_strategies(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    span = ("BTC-USDT-SWAP", "2023-04-04", "2023-04-05")
    more = [word for name in names for word in ("--strategy", name)]
    given = (
        *span, "--data-dir", DATA / "binance_usdm_btcusdt_20230404.db", *FLOW, *more,
        "--set", "quantity=0.01", "--accept-unreliable", "--no-ui", "--no-bars",
    )  # fmt: skip
    found = []
    for count, way in enumerate(
        [("--in-process",), (), ("--window-ms", "100"), ("--credit", "2"), ("--in-process",)]
    ):
        out = tmp_path / str(count)
        done = trading("run", *given, *way, "--output-dir", out)
        assert done.returncode == 0, done.stderr
        found.append(contents(out))
    assert all(each == found[0] for each in found)
    assert len(json.loads(found[0]["fills.json"])) >= 10


@pytest.mark.thorough
def test_started_one_by_one_over_tcp_with_keys_the_results_are_the_same(
    data: Path, tmp_path: Path
) -> None:
    assert trading("keys", tmp_path / "keys").returncode == 0
    ports = zip(("ticks", "control", "signals", "answers"), free_ports(4), strict=True)
    where = [w for name, port in ports for w in (f"--{name}", f"tcp://127.0.0.1:{port}")]
    where += ["--keys", str(tmp_path / "keys")]
    span = [*SPAN, "--data-dir", str(data)]
    words = {
        "strategy": ["strategy", "a=traders:Trader", INSTRUMENT, "--set", "every=70"],
        "gateway": ["gateway", *span, "--strategy", "a"],
        "executor": ["executor", *span, "--output-dir", str(tmp_path / "alone"), "--json"],
    }
    with ExitStack() as stack:
        processes = {name: stack.enter_context(started(*w, *where)) for name, w in words.items()}
        ended = {name: process.communicate(timeout=60) for name, process in processes.items()}
    assert [process.returncode for process in processes.values()] == [0, 0, 0], ended
    told = {name: json.loads(out) for name, (out, _) in ended.items()}
    assert told["gateway"]["ticks"] == told["strategy"]["ticks"]["received"] > 1000
    assert told["executor"] == report_in(tmp_path / "alone")
    given = ("--strategy", "a=traders:Trader", "--set", "every=70", "--no-ui", "--no-bars")
    trading("run", *span, *given, "--in-process", "--output-dir", tmp_path / "here")
    alone, here = contents(tmp_path / "alone"), contents(tmp_path / "here")
    assert {name for name in FILES if alone[name] != here[name]} == {"report.json"}
    assert report_in(tmp_path / "alone")["statistics"] == report_in(tmp_path / "here")["statistics"]


@pytest.mark.thorough
def test_what_was_asked_for_is_printed_as_json_with_the_counts_of_the_bus(
    data: Path, tmp_path: Path
) -> None:
    done = trading(
        "run", *SPAN, "--data-dir", data, *TRADER, "--no-ui", "--no-bars", "--json",
        "--output-dir", tmp_path,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found.pop("bus")["windows"] > 20
    assert found == report_in(tmp_path)
    assert done.stderr.count("alert  2025-06-09 12:00:0") == 2
    assert "a: tick 1 is here" in done.stderr


USAGE = {
    ("--strategy", "suport-resistance"): "did you mean support-resistance?",
    ("--strategy", "nowhere:At"): "there is no module 'nowhere'",
    ("--strategy", "order-flow", "--strategy", "order-flow"): "two strategies are named order-flow",
    ("--strategy", "gateway=order-flow"): "the name of another process",
    ("--strategy", "order-flow", "--set", "event=3"): "did you mean events?",
    ("--strategy", "order-flow", "--set", "events=x"): "events cannot be 'x'",
    (*TRADER, "--set", "evry=3"): "no strategy has a setting 'evry'; a has every",
    (): "a run needs a strategy",
    ("--strategy", "order-flow", "--maker", "x"): "--maker is a number",
    ("--strategy", "order-flow", "--lot", "0"): "lot is a number above 0; found 0",
    ("--strategy", "order-flow", "--max-loss", "-1"): "max_loss is above 0; found -1",
    ("--strategy", "order-flow", "--speed", "fast"): "--speed must be max or a number",
    ("--strategy", "order-flow", "--window-ms", "0"): "window_ms must be 1 to 10,000",
    ("--strategy", "order-flow", "--free", "--in-process"): "--free is for several processes",
    ("--strategy", "order-flow", "--whole-fills", "--partial-makers"): "exclude one another",
}


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_what_cannot_be_meant_is_refused_in_a_line(
    data: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    given = ("--data-dir", str(data), "--output-dir", str(tmp_path / "out"), "--no-ui")
    error = CliRunner().invoke(app, ["run", *SPAN, *given, *words]).exception
    assert isinstance(error, UsageError)  # of which the command line makes a line and code 2
    assert USAGE[words] in str(error)
    assert "\n" not in str(error)
    assert not (tmp_path / "out").exists()


def test_without_a_recording_it_says_what_there_is(data: Path, tmp_path: Path) -> None:
    given = ("--data-dir", data, "--output-dir", tmp_path, "--no-ui", *TRADER)
    done = trading("run", "ETH-USDT", *SPAN[1:], *given)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: no recording of ETH-USDT")
    assert "BTC-USDT (2025-06-09)" in done.stderr


def test_a_list_of_orders_that_is_none_is_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "o.json").write_text("{}")
    given = ("--data-dir", data, "--output-dir", tmp_path, "--no-ui")
    done = trading("run", *SPAN, *given, "--orders", tmp_path / "o.json")
    assert done.returncode == 1
    assert "o.json: is no JSON list of orders" in done.stderr


@pytest.mark.parametrize(
    ("strategy", "said", "way"),
    [
        (FAILING, "the strategy failed at tick 500: RuntimeError('out of ideas') in ", ()),
        (("traders:Silent",), "the strategy failed at tick 1: TypeError(", ("--in-process",)),
        pytest.param(
            FAILING, "the strategy failed at tick 500: RuntimeError('out of ideas') in ",
            ("--in-process",), marks=pytest.mark.thorough,
        ),
        pytest.param(
            ("traders:Silent",), "the strategy failed at tick 1: TypeError(", (),
            marks=pytest.mark.thorough,
        ),
        (("traders:Leaving",), "has ended with code 0", ()),
    ],
    ids=["fails", "returns nothing here", "fails here", "returns nothing", "leaves"],
)  # fmt: skip
def test_a_strategy_that_fails_ends_the_run_and_is_named(
    data: Path, tmp_path: Path, strategy: tuple[str, ...], said: str, way: tuple[str, ...]
) -> None:
    name, *more = strategy
    given = ("--data-dir", data, "--output-dir", tmp_path, "--no-ui", "--no-bars")
    short = ("--window-ms", "10")  # so that some are over by then
    done = trading("run", *SPAN, *given, *short, "--strategy", f"a={name}", *more, *way)
    assert done.returncode == 1
    assert f"Error: a: {said}" in done.stderr
    assert done.stderr.count("Error: ") == 1
    if "fail_at=500" in more:  # at the first tick the executor may not have begun
        assert "traders.py, line" in done.stderr
        report = report_in(tmp_path)
        assert report["state"] == "failed"
        assert "failed at tick 500" in report["reason"]
        assert report["statistics"]["fills"] > 0


def paced(out: Path, data: Path, *more: object) -> AbstractContextManager[TradingRun]:
    """Run for minutes, at the recorded pace."""
    return trading_run(out, *SPAN, "--data-dir", data, *TRADER, "--speed", "1", *more)


@pytest.mark.parametrize(
    "victim", ["a", *(pytest.param(v, marks=pytest.mark.thorough) for v in ("gateway", "executor"))]
)
def test_after_the_death_of_a_process_the_run_ends_and_names_it(
    data: Path, tmp_path: Path, victim: str
) -> None:
    with paced(tmp_path / "out", data) as run:
        pids = run.wait_until_under_way()
        assert set(pids) == {"gateway", "executor", "a", "b", "replay"}
        os.kill(pids[victim], signal.SIGKILL)
        began = time.monotonic()
        assert run.end() == 1
        assert time.monotonic() - began < WITHIN_SECONDS
        assert run.text.count("Error: ") == 1
        assert f"Error: {victim}: was killed by signal 9\n" in run.text
        run.check_nothing_is_left()
    shown = json.loads((tmp_path / "out" / "trading_data.json").read_bytes())
    assert (shown["state"], shown["reason"]) == ("failed", f"{victim}: was killed by signal 9")
    if victim != "executor":
        report = report_in(tmp_path / "out")
        assert (report["state"], report["reason"]) == (
            "failed", f"{victim}: was killed by signal 9",
        )  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("victim", ["a", "executor"])
def test_a_process_that_hangs_is_noticed_and_ended(data: Path, tmp_path: Path, victim: str) -> None:
    with paced(tmp_path / "out", data) as run:
        pids = run.wait_until_under_way()
        os.kill(pids[victim], signal.SIGSTOP)
        assert run.end() == 1
        assert re.search(
            f"Error: {victim}: (no sign of life for|was halted by a signal) 1", run.text
        )
        run.check_nothing_is_left()


@pytest.mark.thorough
def test_a_process_that_hangs_before_the_run_is_noticed_too(data: Path, tmp_path: Path) -> None:
    with paced(tmp_path / "out", data) as run:
        wait_until(lambda: "b" in run.children())
        os.kill(run.children()["b"], signal.SIGSTOP)
        began = time.monotonic()
        assert run.end() == 1
        assert time.monotonic() - began < WITHIN_SECONDS
        assert "Error: b: was halted by a signal 1." in run.text
        run.check_nothing_is_left()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 20))]
)
def test_killed_at_any_moment_the_run_ends_and_nothing_is_left(
    data: Path, tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    victim = ("gateway", "executor", "a", "b")[seed % 4]
    with paced(tmp_path / "out", data) as run:
        wait_until(lambda: victim in run.children())
        time.sleep(2 * draw.random())
        os.kill(run.children()[victim], signal.SIGKILL)
        began = time.monotonic()
        assert run.end() == 1
        assert time.monotonic() - began < WITHIN_SECONDS
        assert f"Error: {victim}: was killed by signal 9\n" in run.text
        run.check_nothing_is_left()


@pytest.mark.thorough
def test_a_replay_that_dies_is_said_and_changes_nothing(data: Path, tmp_path: Path) -> None:
    with paced(tmp_path / "out", data, "--speed", "30") as run:
        pids = run.wait_until_under_way()
        os.kill(pids["replay"], signal.SIGKILL)
        assert run.end() == 0
        assert "replay was killed by signal 9; the run goes on without it" in run.text
        run.check_nothing_is_left()
    assert report_in(tmp_path / "out")["state"] == "finished"


def check_stopped(run: TradingRun, out: Path, number: int) -> None:
    run.process.send_signal(number)
    began = time.monotonic()
    assert run.end() == 128 + number
    assert time.monotonic() - began < WITHIN_SECONDS
    assert "Error" not in run.text
    assert "a, b  stopped" in run.text
    assert report_in(out)["state"] == "stopped"
    run.check_nothing_is_left()


@pytest.mark.parametrize(
    ("number", "way"),
    [
        (signal.SIGINT, ()),
        (signal.SIGTERM, ("--in-process",)),
        pytest.param(signal.SIGTERM, (), marks=pytest.mark.thorough),
        pytest.param(signal.SIGINT, ("--in-process",), marks=pytest.mark.thorough),
    ],
)
def test_stopped_by_a_signal_all_end_and_the_report_is_written(
    data: Path, tmp_path: Path, number: int, way: tuple[str, ...]
) -> None:
    status = tmp_path / "out" / "status_data.json"
    with paced(tmp_path / "out", data, *way) as run:
        run.wait_until_under_way()
        wait_until(status.exists)
        check_stopped(run, tmp_path / "out", number)
    assert json.loads(status.read_bytes())["state"] == "stopped"


@pytest.mark.thorough
def test_when_who_started_them_is_killed_all_processes_end(data: Path, tmp_path: Path) -> None:
    with paced(tmp_path / "out", data) as run:
        run.wait_until_under_way()
        run.process.kill()
        run.end()
        run.check_nothing_is_left()
    report = report_in(tmp_path / "out")
    assert report["state"] == "failed"


@pytest.mark.thorough
def test_a_second_run_into_the_same_directory_is_refused(data: Path, tmp_path: Path) -> None:
    with paced(tmp_path / "out", data) as run:
        pids = run.wait_until_under_way()
        given = ("--data-dir", data, *TRADER, "--no-ui", "--output-dir", tmp_path / "out")
        second = trading("run", *SPAN, *given)
        assert second.returncode == 1
        assert f"in use by another run, pid {pids['executor']};" in second.stderr
        assert is_running(pids["executor"])
        check_stopped(run, tmp_path / "out", signal.SIGINT)


@pytest.mark.thorough
def test_the_files_of_the_run_before_are_gone_when_there_are_no_new_ones(
    data: Path, tmp_path: Path
) -> None:
    for name in FILES:
        (tmp_path / name).write_text("{}")
    with paced(tmp_path, data, "--no-bars") as run:
        pids = run.wait_until_under_way()
        assert [name for name in FILES if (tmp_path / name).exists()] == []
        os.kill(pids["executor"], signal.SIGKILL)
        assert run.end() == 1
        assert "No report was written" in run.text
    assert [name for name in FILES if (tmp_path / name).exists()] == []


def test_every_option_is_in_the_docs_and_no_other() -> None:
    text = (PROJECT / "docs" / "trading.md").read_text()
    listed = set(re.findall(r"`[^`]*?(--[a-z][a-z-]+)", text)) | set(
        re.findall(r"/(--[a-z][a-z-]+)", text)
    )
    known = set()
    for command in typer.main.get_command(app).commands.values():  # type: ignore[attr-defined]
        shown = [p for p in command.params if not getattr(p, "hidden", False)]
        known |= {name for p in shown for name in (*p.opts, *p.secondary_opts) if "--" in name}
    assert known - listed - {"--verbose", "--quiet"} == set()
    assert listed - known == set()
