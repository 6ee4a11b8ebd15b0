"""Recordings of several days, and batches over them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from places import PROJECT
from recording_factory import DAY, START, settle

from formats.results import DATABASE_NAME, TABLES, ResultTable, Row, Stretch
from formats.results_database import DatabaseResults
from replay.job import Job, run_job
from replay.schedulers import Outcome
from synthetic_market import write_recording

NAMES = ("BTC-USDT", "ETH-USDT")


def write_market(directory: Path, days: int, rows: int, names: tuple[str, ...] = NAMES) -> Path:
    """Write a file for each day and instrument, of a made-up market."""
    directory.mkdir(exist_ok=True)
    for seed, name in enumerate(names):
        for day in range(days):
            start = START + day * DAY
            path = path_of(directory, name, day)
            write_recording(path, name, start, start + DAY, seed=100 * seed + day, max_rows=rows)
            settle(path)
    return directory


def path_of(directory: Path, name: str, day: int) -> Path:
    return directory / f"{name}-2025-06-{9 + day:02}.db"


def damage(path: Path) -> None:
    """Overwrite a page in the middle of a file."""
    raw = bytearray(path.read_bytes())
    middle = len(raw) // 8192 * 4096
    raw[middle : middle + 4096] = b"\xa5" * 4096
    path.write_bytes(raw)
    settle(path)


def start_batch(
    data: Path, results: Path, days: int, *more: object, names: tuple[str, ...] = NAMES
) -> "subprocess.Popen[str]":
    """Start the command over the first days."""
    words = ["batch", *names, "2025-06-09", f"2025-06-{9 + days:02}", "--json"]
    words += ["--data-dir", str(data), "--results", str(results)]
    return subprocess.Popen(
        [sys.executable, "-m", "replay", *words, *map(str, more)],
        cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def finish(process: "subprocess.Popen[str]") -> tuple[int, dict[str, Any]]:
    """Return the exit code and the summary."""
    out, err = process.communicate(timeout=300)
    assert out, err
    return process.returncode, json.loads(out)


def files_of(results: Path) -> dict[str, bytes]:
    """Return the Parquet files, which is all that jobs write."""
    found = [path for path in results.rglob("*") if path.is_file()]
    assert {path.suffix for path in found} <= {".parquet", ".sqlite", ".lock"}, found
    return {
        str(path.relative_to(results)): path.read_bytes()
        for path in found
        if path.suffix == ".parquet"
    }


def rows_of(results: Path, days: int, name: str = "BTC-USDT") -> dict[str, list[Row]]:
    """Return what the tables have of an instrument, at a minute a bar."""
    stretch = Stretch(name, 60, START, START + days * DAY)
    database = DatabaseResults(results / DATABASE_NAME)
    return {table.name: database.read(table, stretch) for table in TABLES}


def part_of(table: ResultTable, name: str, day: int) -> str:
    return f"{table.name}/instrument={name}/day=2025-06-{9 + day:02}/part.parquet"


class Inline:
    """A scheduler that does each job when it is asked for, or says what `told` has for it."""

    def __init__(self, told: dict[int, list[Outcome]] | None = None) -> None:
        self.told = told or {}
        self.given: list[int] = []
        self.seconds: set[float] = set()
        self._waiting: list[tuple[int, str]] = []

    def submit(self, number: int, spec: str, seconds: float) -> None:
        self.given.append(number)
        self.seconds.add(seconds)
        self._waiting.append((number, spec))

    def next(self) -> tuple[int, Outcome] | None:
        if not self._waiting:
            return None
        number, spec = self._waiting.pop(0)
        if self.told.get(number):
            return number, self.told[number].pop(0)
        return number, run_job(Job.of_line(spec))

    def close(self) -> None:
        pass
