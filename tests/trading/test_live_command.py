"""Runs on live markets as users start them: beside a recorder, and on a WebSocket."""

import signal
import time
from pathlib import Path

import pytest
from desk_runs import desk_run
from live_writer import START, Market, Recorder, name_of_day
from scripted_okx import ScriptedOkx, until
from trading_runs import FILES, TradingRun, contents, report_in, trading, trading_run

from synthetic_market import NORMAL, write_recording

INSTRUMENT = "BTC-USDT"
SPAN = (INSTRUMENT, "2025-06-09", "2026-06-09")
TRADER = ("--strategy", "a=traders:Trader", "--strategy", "b=traders:Trader",
          "--set", "a.every=7", "--set", "b.every=5", "--no-bars")  # fmt: skip
ALL_BUT_THE_REPORT = FILES[:3]


def finish(run: TradingRun, number: int = signal.SIGINT) -> None:
    """Ask a run to end, and see that it does so in good order."""
    run.process.send_signal(number)
    assert run.end() == 128 + number, run.text
    assert "a, b  finished" in run.text
    run.check_nothing_is_left()


def check_replay(live: Path, out: Path, *data: object) -> None:
    """Run again on what was recorded: the results must be the same, to the byte."""
    done = trading("run", *data, *TRADER, "--no-ui", "--in-process", "--output-dir", out)
    assert done.returncode == 0, done.stderr
    again, before = contents(out), contents(live)
    assert {n: again[n] for n in ALL_BUT_THE_REPORT} == {n: before[n] for n in ALL_BUT_THE_REPORT}
    one, other = report_in(live), report_in(out)
    assert one["statistics"] == other["statistics"]
    assert one["counts"]["ticks"] == other["counts"]["ticks"]
    assert one["counts"]["market_lost"] == other["counts"]["market_lost"]
    assert one["statistics"]["fills"] > 3


def recorded(out: Path) -> Path:
    """Return the folder that a run has recorded into."""
    (found,) = out.glob("recording-*")
    return found


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("way", "number"), [((), signal.SIGINT), (("--in-process",), signal.SIGTERM)], ids=str
)
def test_a_run_on_a_websocket_has_the_fills_of_the_replay_of_its_recording(
    tmp_path: Path, way: tuple[str, ...], number: int
) -> None:
    live = tmp_path / "live"
    with (
        ScriptedOkx() as server,
        trading_run(live, *SPAN, "--url", server.url, *TRADER, *way) as run,
    ):
        until(server.subscribed, "never subscribed")
        for count in range(60):
            server.update()
            if count % 4 == 0:
                server.trade()
        before = server.connections
        server.drop()
        until(lambda: server.connections > before and server.subscribed(), "never again")
        for _ in range(30):
            server.update()
        run.wait_until_under_way()
        finish(run, number)
    assert f"recording {server.url} into {recorded(live)}" in run.text
    report = report_in(live)
    assert report["counts"]["market_lost"] == {"disconnected": 1}
    assert report["counts"]["ticks"] == 107  # two of them snapshots
    assert "market lost      1 spells without a connection" in run.text
    check_replay(live, tmp_path / "again", *SPAN, "--data-dir", recorded(live))


@pytest.mark.thorough
def test_followed_beside_a_recorder_a_run_has_the_fills_of_the_finished_recording(
    tmp_path: Path,
) -> None:
    data, live = tmp_path / "data", tmp_path / "live"
    data.mkdir()
    market, recorder = Market(5), Recorder(data)
    recorder.open(name_of_day(0))
    recorder.commit([market.snapshot(0)], [])
    minute = (*SPAN[:2], "2025-06-09T00:01")
    with trading_run(live, *minute, "--follow", "--data-dir", data, *TRADER) as run:
        run.wait_until_under_way()
        for at in range(0, 70_000, 1000):
            rows = [market.update(at + step) for step in range(100, 1000, 100)]
            recorder.commit(rows, [market.trade(at + 450)])
            time.sleep(0.01)  # as it happens; the results do not depend on it
        assert run.end() == 0, run.text
        run.check_nothing_is_left()
    recorder.close("plain")
    assert report_in(live)["counts"]["ticks"] == 1 + 60 * 10
    check_replay(live, tmp_path / "again", *minute, "--data-dir", data)


@pytest.mark.thorough
def test_on_the_simulator_with_the_bars_of_the_page(tmp_path: Path) -> None:
    made, live = tmp_path / "made.db", tmp_path / "live"
    write_recording(made, INSTRUMENT, START, START + 60_000, density=NORMAL)
    words = [word for word in TRADER if word != "--no-bars"]
    with desk_run(*SPAN, "--data-dir", made, "--exchange", "okx", "--speed", "5") as simulator:
        url = f"ws://127.0.0.1:{simulator.port('okx')}/ws/v5/public"
        with trading_run(live, *SPAN, "--url", url, *words) as run:
            run.wait_until_under_way()
            simulator.wait_for("all rows are fetched and sent")
            finish(run)
    assert (live / "ohlc_data.json").exists()
    check_replay(live, tmp_path / "again", *SPAN, "--data-dir", recorded(live))


USAGE = {
    ("--url", "http://x"): "--url must begin with ws:// or wss://; found 'http://x'",
    ("--url", "ws://x", "--follow"): "--url cannot go with that: --url records what comes",
    ("--url", "ws://x", "--demo"): "--url cannot go with that: --demo makes a recording",
    ("--follow", "--speed", "2"): "--follow cannot go with that: what is live comes at its own",
}


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = trading("run", *SPAN, *TRADER, "--no-ui", "--output-dir", tmp_path / "out", *words)
    assert done.returncode == 2
    assert USAGE[words] in done.stderr
    assert not (tmp_path / "out").exists()
