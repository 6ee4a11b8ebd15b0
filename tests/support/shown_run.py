"""Run strategies in this process, shown by a `LiveRun` whenever something is settled."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from places import PROJECT

from db_interpreter import DBInterpreter
from synthetic_market import write_recording
from trading.execution import Execution
from trading.gateway import new_start
from trading.in_process import run_in_process
from trading.live_file import LiveRun
from trading.messages import END_MS
from trading.paper_market import PaperMarket
from trading.report import Report, RunLog, report_of
from trading.rules import Rules
from trading.sessions import Strategy
from trading.strategy import make_strategy
from trading.stream import Stream
from trading.ticks import TickMaker

START_MS = 1_749_427_200_000  # 2025-06-09, UTC
INSTRUMENT = "BTC-USDT"


class _Watched(Execution):
    settled: Callable[[], None]

    def settle(self) -> None:
        super().settle()
        self.settled()


def run_shown(
    live: LiveRun,
    open_stream: Callable[[], Stream],
    strategies: dict[str, Strategy],
    rules: Rules,
    *,
    before_update: Callable[[], None] = lambda: None,
    gate: Any = None,
    **given: Any,
) -> Report:
    """Run strategies on a market and return the report, to which `given` goes."""
    start = new_start(INSTRUMENT, strategies, window_ms=100)
    market, log = PaperMarket(open_stream(), INSTRUMENT, rules, gate), RunLog()
    execution = _Watched(market, start, rules.entry_ms, log.answer, log.alert)

    def show() -> None:
        before_update()
        live.update(market, log, market.engine.now_ms or 0)

    execution.settled = show
    ticks = TickMaker(start.run_id, INSTRUMENT).ticks(open_stream())
    run_in_process(ticks, strategies, execution, start)
    live.update(market, log, END_MS)
    return report_of(market, execution, log, {}, **given)


def write_shown_run(output: Path, bar_seconds: int = 2) -> Report:
    """Write the files of a replay and of strategies on the same made-up recording."""
    recordings = output / "recordings"
    recordings.mkdir(exist_ok=True)
    path = recordings / f"{INSTRUMENT}-25-06-09.db"
    if not path.exists():
        write_recording(path, INSTRUMENT, START_MS, START_MS + 480_000)
    command = [sys.executable, str(PROJECT / "main.py"), INSTRUMENT, "2025-06-09", "2025-06-10"]
    command += ["--data-dir", str(recordings), "--output-dir", str(output), "--no-ui", "-q"]
    subprocess.run([*command, "--window-seconds", str(bar_seconds)], check=True)
    settings = {"bar_seconds": str(bar_seconds), "min_strength": "1", "quantity": "0.02"}
    strategies: dict[str, Strategy] = {
        "levels": make_strategy("support-resistance", settings),
        "watcher": make_strategy("support-resistance", settings | {"alert_only": "true"}),
    }
    live = LiveRun(output, INSTRUMENT, list(strategies), bar_seconds=bar_seconds)
    report = run_shown(
        live,
        lambda: DBInterpreter(path, INSTRUMENT).stream(),
        strategies,
        Rules(),
        bar_seconds=bar_seconds,
    )
    live.close()
    return report
