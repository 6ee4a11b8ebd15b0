"""The queries of docs/results.md, run as they are printed there."""

import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from places import PROJECT
from recording_factory import START
from typer.testing import CliRunner

import main
from formats.parquet_results import ParquetResults
from formats.results import METRICS, Stretch
from synthetic_market import write_recording
from trading.__main__ import app as trading_app

pytest.importorskip("pyarrow", reason="results are Parquet files: uv sync --group data")

PAGE = (PROJECT / "docs" / "results.md").read_text()
DAY = 86_400_000


def block(head: str) -> str:
    found = re.search(rf"^```{head}\n(.*?)^```", PAGE, re.M | re.S)
    assert found, head
    return found[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with results of two days in it."""
    place = tmp_path_factory.mktemp("place")
    path = place / "BTC-USDT.db"
    write_recording(path, "BTC-USDT", START, START + 2 * DAY, max_rows=3_000)
    words = ["BTC-USDT", "2025-06-09", "2025-06-11", "--no-ui", "-q", "--no-flow"]
    words += ["--data-dir", str(path), "--output-dir", str(place / "out")]
    done = CliRunner().invoke(main.app, [*words, "--results", str(place / "results")])
    assert done.exit_code == 0, done.output
    return place


@pytest.fixture(scope="module")
def closes(place: Path) -> list[tuple[int, float]]:
    """Return time and CVD of all bars, the sum running over both days."""
    rows = ParquetResults(place / "results").read(
        METRICS, Stretch("BTC-USDT", 60, START, START + 2 * DAY)
    )
    first = [row for row in rows if (row[0] or 0) < START + DAY]
    before = first[-1][12] or 0.0
    return [
        (int(row[0] or 0), (row[12] or 0.0) + (before if (row[0] or 0) >= START + DAY else 0.0))
        for row in rows
    ]


def statements(text: str) -> list[str]:
    return [part for part in text.split(";\n") if part.strip()]


def test_the_sqlite_queries_answer(place: Path, closes: list[tuple[int, float]]) -> None:
    queries = statements(block("sql").removeprefix(".mode column\n"))
    with closing(sqlite3.connect(place / "results" / "results.sqlite")) as connection:
        hour, days = [connection.execute(query).fetchall() for query in queries]
    assert hour[0][0] >= "2025-06-09 12:00"
    assert 40 < len(hour) <= 60
    assert [day for day, *_ in days] == ["2025-06-09", "2025-06-10"]
    assert days[-1][2] == pytest.approx(closes[-1][1])


def test_the_query_for_alerts_answers(place: Path) -> None:
    words = ["decide", "BTC-USDT", "2025-06-09", "2025-06-11", "--results", str(place / "results")]
    words += ["--strategy", "calm=metric-alert", "--set", "metric=obi", "--set"]
    for above in ("above=-1", "above=0"):
        assert CliRunner().invoke(trading_app, [*words, above]).exit_code == 0
    with closing(sqlite3.connect(place / "results" / "results.sqlite")) as connection:
        found = connection.execute(block("sql alerts")).fetchall()
    assert [row[:3] for row in found] == [
        ("calm", above, day) for above in ("-1", "0") for day in ("2025-06-09", "2025-06-10")
    ]
    assert all(count > 100 and move is not None for *_, count, move in found)


SHELL = shutil.which("sqlite3")


@pytest.mark.skipif(not SHELL, reason="needs the sqlite3 shell")
def test_the_sqlite3_shell_takes_them_as_printed(place: Path) -> None:
    done = subprocess.run(
        [str(SHELL), "-bail", place / "results" / "results.sqlite"],
        input=block("sql"), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "2025-06-10" in done.stdout


def test_duckdb_answers(
    place: Path, closes: list[tuple[int, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    duckdb: Any = pytest.importorskip("duckdb", reason="of the group oracle")
    monkeypatch.chdir(place)
    days, cvd = (duckdb.sql(query).fetchall() for query in statements(block("sql duckdb")))
    assert [(name, str(day)) for name, day, *_ in days] == [
        ("BTC-USDT", "2025-06-09"),
        ("BTC-USDT", "2025-06-10"),
    ]
    assert [time for _, time, _ in cvd] == [time for time, _ in closes]
    assert [value for *_, value in cvd] == pytest.approx([value for _, value in closes])


def test_polars_answers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("polars", reason="of the group oracle")
    monkeypatch.chdir(place)
    names: dict[str, Any] = {}
    exec(block("python polars"), names)  # noqa: S102 (our own page)
    hours = names["hours"]
    assert hours.height == 48
    assert hours["volume"].sum() > 0
    assert hours["open"].null_count() == 0


def test_the_python_example_runs(place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block("python")],
        cwd=place, env={"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(done.stdout.splitlines()) == 3
    assert "'depth_levels': 50" in done.stdout
