"""What `trading run` leaves for the page is what its report says."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from trading_runs import report_in, trading

from synthetic_market import write_recording

INSTRUMENT = "BTC-USDT"
START_MS = int(datetime(2025, 6, 9, 12, tzinfo=UTC).timestamp() * 1000)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    path = directory / f"{INSTRUMENT}_2025-06-09.db"
    write_recording(path, INSTRUMENT, START_MS, START_MS + 300_000, seed=4, max_rows=4000)
    return directory


def shown_by_a_run(data: Path, output: Path, *options: str) -> dict[str, Any]:
    done = trading(
        "run", INSTRUMENT, "2025-06-09T12:00", "2025-06-09T12:05", "--data-dir", data,
        "--output-dir", output, "--no-ui", "--no-bars", "--window-seconds", "5",
        "--balance", "1000", "--strategy", "order-flow", "--set", "order-flow.events=20",
        "--set", "threshold=0.3", "--strategy", "watcher=support-resistance",
        "--set", "watcher.alert_only=true", "--set", "watcher.bar_seconds=2",
        "--set", "watcher.min_strength=1", *options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((output / "trading_data.json").read_bytes())
    return found


@pytest.mark.thorough
def test_in_one_process_and_over_the_bus_the_page_gets_the_figures_of_the_report(
    data: Path, tmp_path: Path
) -> None:
    here = shown_by_a_run(data, tmp_path / "here", "--in-process")
    apart = shown_by_a_run(data, tmp_path / "apart")
    assert here | {"written": 0} == apart | {"written": 0}
    report = report_in(tmp_path / "here")
    statistics = report["statistics"]
    assert here["strategies"] == report["strategies"] == ["order-flow", "watcher"]
    assert (here["state"], here["fill_count"]) == ("finished", statistics["fills"])
    for name in ("position", "equity", "realised", "fees"):
        assert here[name] == statistics[name]
    assert here["curve"] == [list(point.values()) for point in statistics["curve"]]
    assert here["fills"] == json.loads((tmp_path / "here" / "fills.json").read_bytes())
    assert len(here["alerts"]) == here["alert_count"] > 3
