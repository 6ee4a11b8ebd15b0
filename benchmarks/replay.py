"""Time a whole replay of busy rows beside the bare fetch of the same rows, and the book alone.

    uv run -m benchmarks.replay [--rows 200000] [--repeat 3]

The recording is made once, by `synthetic_market`, under the system's temporary directory. Each
figure is of whole processes, taken in turn; the ratio is what compares across machines. "Work
alone" is a replay without its start-up, as its summary has it; the book alone applies the same rows
from memory, a list at a time, and sums the best 50 levels after each.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.task import PROJECT
from synthetic_market import BUSY, write_recording

START = 1_749_427_200_000
FETCH = """
import sqlite3, sys, time
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro&immutable=1", uri=True)
began = time.perf_counter()
cursor = connection.execute("SELECT id, bids, asks, timestamp FROM book ORDER BY id")
rows = 0
while batch := cursor.fetchmany(2048):
    rows += len(batch)
print(rows / (time.perf_counter() - began))
"""

BOOK = """
import sys, time
from db_interpreter import DBInterpreter
from orderbook_manager import OrderbookManager
batches = [batch for batch, _ in DBInterpreter(sys.argv[1]).batches()]
book = OrderbookManager(50)
began = time.perf_counter()
for batch in batches:
    book.update_rows(batch.rows, batch.snapshots)
print(sum(map(len, batches)) / (time.perf_counter() - began))
"""


def recording(rows: int) -> Path:
    """Make, or find, a recording of `rows` busy rows."""
    path = Path(tempfile.gettempdir()) / f"orderflow-busy-{rows}" / "BTC-USDT_2025-06-09.db"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        end = START + rows * 110
        print(f"making {rows:,} rows …")
        write_recording(path, "BTC-USDT", START, end, seed=1, density=BUSY, max_rows=rows)
        os.utime(path, (0, 0))  # a finished recording, not one that may still be written
    return path


def rate_of(script: str, path: Path) -> float:
    """Return the rows a second that a script prints."""
    command = [sys.executable, "-c", script, str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=PROJECT)
    return float(done.stdout)


def replay_rate(path: Path, *, pure: bool) -> tuple[str, float, float, int]:
    """Return the book in use, rows a second of the whole command and of its work, peak in kB."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, str(PROJECT / "main.py"), "BTC-USDT", "2025-06-09", "2035-01-01"]
        command += ["--data-dir", str(path.parent), "--output-dir", out, "--no-ui", "--json"]
        env = os.environ | {"ORDERFLOW_PURE_PYTHON": "1" if pure else ""}
        # Without its bytecode, which most machines keep, each start would compile all it imports.
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env)
        assert process.stdout is not None  # noqa: S101 (asked for above)
        summary = json.loads(process.stdout.read())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
    rows = summary["rows"]
    return summary["engine"], rows / seconds, rows / summary["seconds"], usage.ru_maxrss


def main() -> None:
    """Print the figures of each way, median of the repeats, and its share of the bare fetch."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    path = recording(options.rows)
    rates: dict[str, list[float]] = {}
    peaks: list[int] = []
    for _ in range(options.repeat):
        rates.setdefault("bare fetch", []).append(rate_of(FETCH, path))
        rates.setdefault("book alone", []).append(rate_of(BOOK, path))
        for pure in (True, False):
            engine, whole, work, peak = replay_rate(path, pure=pure)
            rates.setdefault(f"replay, {engine}", []).append(whole)
            rates.setdefault(f"work alone, {engine}", []).append(work)
            peaks.append(peak)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    fetch, book = medians["bare fetch"], medians["book alone"]
    for name, rate in medians.items():
        shares = f"{rate / fetch:.3f} of the fetch  {rate / book:.3f} of the book alone"
        print(f"{name:<22} {rate:>10,.0f} rows/s  {shares}")
    print(f"peak memory        {max(peaks) / 1024:>10,.0f} MB")


if __name__ == "__main__":
    main()
