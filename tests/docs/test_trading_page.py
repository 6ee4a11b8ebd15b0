"""The code of docs/trading.md is run as it stands there, and prints what it shows."""

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from places import PROJECT

from metrics.bar_kinds import parse_bars
from metrics.metric_bars import MetricBars
from metrics.registry import parse_metrics
from ohlc_processor import OHLCProcessor
from orderflow.array_file import pack
from orderflow.events import BookBatch
from trading.equity import EquityPoint
from trading.order_flow_strategy import OrderFlowStrategy
from trading.statistics import FillQuality, LimitOrders, Mean, Sharpe, Statistics
from trading.support_resistance import SupportResistanceStrategy

PAGE = (PROJECT / "docs" / "trading.md").read_text()
STRATEGIES, EXECUTION = PAGE.split("\n## Paper execution\n")


def blocks_of(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def run(folder: Path, script: str) -> str:
    """Run a script in a folder and return what it prints."""
    (folder / "script.py").write_text(script)
    environment = os.environ | {
        "PYTHONPATH": str(PROJECT),
        "ORDERFLOW_CACHE_DIR": str(folder / "cache"),
    }
    ended = subprocess.run(
        [sys.executable, "script.py"],
        cwd=folder, env=environment, capture_output=True, check=False, text=True, timeout=120,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_strategy_in_15_lines_runs_and_prints_what_the_page_shows(tmp_path: Path) -> None:
    strategy, _, script = blocks_of(STRATEGIES, "python")
    own = strategy[strategy.index("@dataclass") :]
    assert len([line for line in own.splitlines() if line.strip()]) <= 15
    (tmp_path / "streak.py").write_text(strategy)
    assert [run(tmp_path, script)] == blocks_of(STRATEGIES, "text")
    written = {path.name for path in (tmp_path / "results").iterdir()}
    listed = set(re.findall(r"^\| `(\w+\.json)`", STRATEGIES, re.MULTILINE))
    assert written == listed


def test_stored_bars_are_decided_on_as_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = (1000, 1, b'[["99", "1"]]', b'[["101", "3"]]')
    later = [(61_000, 2, b'[["99", "201"]]', b"[]"), (121_000, 3, b"[]", b"[]")]
    specs = parse_metrics(["ofi"])
    measured = MetricBars(parse_bars("time:60"), [spec.make() for spec in specs])
    OHLCProcessor(measured=measured).process_rows(BookBatch([row, *later], [True, False, False]))
    header, arrays = measured.file(specs)
    (tmp_path / "metric_bars.bin").write_bytes(pack({**header, "instrument": "A"}, arrays))
    monkeypatch.chdir(tmp_path)
    exec(blocks_of(STRATEGIES, "python")[1], {})  # noqa: S102 (the page's own)
    assert capsys.readouterr().out == "120000 ofi value 200 is above 100\n"


def test_orders_are_executed_as_the_page_shows(tmp_path: Path) -> None:
    (orders,) = blocks_of(EXECUTION, "json")
    (tmp_path / "orders.json").write_text(orders)
    (script,) = blocks_of(EXECUTION, "python")
    assert [run(tmp_path, script)] == blocks_of(EXECUTION, "text")
    assert (tmp_path / "results" / "fills.json").is_file()


def test_every_statistic_is_on_the_page() -> None:
    section = PAGE.split("\n## Statistics of a run\n")[1]
    named = set(re.findall(r"`(\w+)`", section))
    kinds = (Statistics, EquityPoint, Sharpe, LimitOrders, FillQuality, Mean)
    assert {field.name for kind in kinds for field in fields(kind)} <= named


def test_every_setting_is_on_the_page() -> None:
    section = PAGE.split("\n## Strategies that are there\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`(\w+)", section))
    for kind in (SupportResistanceStrategy, OrderFlowStrategy):
        assert {field.name for field in fields(kind) if field.init} <= named
