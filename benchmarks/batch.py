"""Compare a batch by two workers with the same batch by one.

    uv run -m benchmarks.batch [--rows 120000] [--jobs 8] [--repeat 5] [--scheduler none|local]

The jobs are days of made-up busy rows, of equal size, each by itself. Runs are taken in turn; a
ratio is of the best runs of both, and beside it the median of neighbours. With `--prepared` the
jobs read prepared copies.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.task import PROJECT
from synthetic_market import BUSY, write_recording

FIRST = datetime(2025, 6, 9, tzinfo=UTC)
MS_PER_ROW = 110


def day_of(number: int) -> str:
    """Return the day of a job, as the command takes it."""
    return f"{FIRST + timedelta(days=number):%Y-%m-%d}"


def recordings(jobs: int, rows: int) -> Path:
    """Make, or find, a day's recording for each job."""
    directory = Path(tempfile.gettempdir()) / f"orderflow-busy-days-{rows}"
    directory.mkdir(exist_ok=True)
    for number in range(jobs):
        path = directory / f"BTC-USDT_{day_of(number)}.db"
        if path.exists():
            continue
        print(f"making {rows:,} rows of {day_of(number)} …")
        start = int((FIRST + timedelta(days=number)).timestamp()) * 1000
        end = start + rows * MS_PER_ROW
        write_recording(path, "BTC-USDT", start, end, seed=number, density=BUSY, max_rows=rows)
        os.utime(path, (0, 0))  # finished recordings, not some that may still be written
    return directory


def run(module: list[str], jobs: int, asked: list[str]) -> tuple[float, str]:
    """Run a command over the days of all jobs; return how long it took, and what it printed."""
    command = [sys.executable, "-m", *module, "BTC-USDT", day_of(0), day_of(jobs), *asked]
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "-q"], cwd=PROJECT, env=env, check=True, stdout=subprocess.PIPE, text=True
    )
    return time.perf_counter() - began, done.stdout


def batch_seconds(jobs: int, workers: int, asked: list[str]) -> float:
    """Return how long a whole batch takes that begins with nothing done."""
    with tempfile.TemporaryDirectory() as results:
        more = ["--results", results, "--workers", str(workers), "--json"]
        seconds, said = run(["replay", "batch"], jobs, [*asked, *more])
    if json.loads(said)["done"] != jobs:
        raise SystemExit(f"not all jobs were done: {said}")
    return seconds


def main() -> None:
    """Print how long batches take, and the ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=120_000)
    parser.add_argument("--jobs", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--scheduler", choices=("none", "local"), default="none")
    parser.add_argument("--prepared", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as copies:
        data_dir = recordings(options.jobs, options.rows)
        asked = ["--data-dir", str(data_dir), "--prepared-dir", copies]
        if options.prepared:
            run(["formats", "prepare"], options.jobs, asked)
        asked += ["--scheduler", options.scheduler]
        taken: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(options.repeat):
            for workers, seconds in taken.items():
                seconds.append(batch_seconds(options.jobs, workers, asked))
    pairs = [one / two for one, two in zip(taken[1], taken[2], strict=True)]
    for workers, seconds in taken.items():
        rate = options.jobs * options.rows / min(seconds)
        print(f"{workers} workers: {min(seconds):6.2f} s, {rate:9,.0f} rows/s")
    best = min(taken[1]) / min(taken[2])
    print(f"  as fast: best {best:.2f}, median of pairs {statistics.median(pairs):.2f}")


if __name__ == "__main__":
    main()
