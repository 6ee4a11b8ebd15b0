"""Days of a made-up market, kept as results, and runs of strategies over each of them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from recording_factory import DAY, START, settle
from typer.testing import CliRunner, Result

import main
from formats.parquet_results import ParquetResults
from formats.results import ALERTS, ResultTable, Row, Stretch
from synthetic_market import write_recording
from trading.__main__ import app as trading_app

INSTRUMENT = "BTC-USDT"


def day_text(day: int) -> str:
    return f"{datetime(2025, 6, 9, tzinfo=UTC) + timedelta(days=day):%Y-%m-%d}"


def write_days(directory: Path, days: int, rows: int) -> Path:
    """Write a file for each day of a made-up market."""
    for day in range(days):
        path, start = directory / f"{INSTRUMENT}-{day_text(day)}.db", START + day * DAY
        write_recording(path, INSTRUMENT, start, start + DAY, seed=day, max_rows=rows)
        settle(path)
    return directory


def keep(data: Path, results: Path, first: int, end: int, *more: str) -> None:
    """Replay days as one run, and keep its results."""
    words = [INSTRUMENT, day_text(first), day_text(end), "--no-ui", "-q", "--no-flow"]
    words += ["--data-dir", str(data), "--output-dir", str(results.parent / "kept-out")]
    done = CliRunner().invoke(main.app, [*words, "--results", str(results), *more])
    assert done.exit_code == 0, done.output


def alerts_of_run(data: Path, out: Path, first: int, end: int, *more: str) -> list[dict[str, Any]]:
    """Return the alerts of a run of strategies over days of the recording."""
    words = ["run", INSTRUMENT, day_text(first), day_text(end), "--data-dir", str(data)]
    words += ["--output-dir", str(out), "--in-process", "--no-bars", "--no-ui", "-q"]
    done = CliRunner().invoke(trading_app, [*words, "--accept-unreliable", *more])
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads((out / "alerts.json").read_bytes())
    return found


def decide(results: Path, first: int, end: int, *more: str) -> Result:
    words = ["decide", INSTRUMENT, day_text(first), day_text(end), "--results", str(results)]
    return CliRunner().invoke(trading_app, [*words, *more])


def kept(results: Path, table: ResultTable, first: int, end: int, window: int = 60) -> list[Row]:
    stretch = Stretch(INSTRUMENT, window, START + first * DAY, START + end * DAY)
    return ParquetResults(results).read(table, stretch)


def alerts_kept(results: Path, first: int, end: int) -> list[dict[str, Any]]:
    """Return alerts as `alerts.json` of a run has them."""
    rows = kept(results, ALERTS, first, end)
    lines = [
        {"time_ms": row[5], "strategy": row[1], "text": row[6], "price": row[7]} for row in rows
    ]
    return sorted(lines, key=lambda line: (line["time_ms"], line["strategy"]))
