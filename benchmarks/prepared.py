"""Compare the replay of a prepared copy with that of the text, and samples with SQLite's own scan.

    uv run -m benchmarks.prepared [--rows 200000] [--repeat 5]

CPU time of whole commands, taken in turn. A ratio is of the best runs of both, which a busy machine
disturbs least; beside it the median of neighbours.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.replay import recording
from benchmarks.task import PROJECT, connect
from formats.prepared_samples import sampled_bars

RANGE = ("BTC-USDT", "2025-06-09", "2035-01-01")
SCAN = "SELECT sum(length(CAST(bids AS BLOB)) + length(CAST(asks AS BLOB))) FROM book"


def run(command: list[str]) -> tuple[float, float]:
    """Return the CPU time, user and system, of a command, and its peak memory in MB."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    process = subprocess.Popen([sys.executable, *command], cwd=PROJECT, env=env)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def replay(data_dir: Path, extra: list[str]) -> tuple[float, float]:
    """Return what one whole replay takes."""
    with tempfile.TemporaryDirectory() as out:
        asked = ["--data-dir", str(data_dir), "--output-dir", out, "--no-ui", "-q", *extra]
        return run(["main.py", *RANGE, *asked])


def cpu_of(work: object) -> float:
    """Return the least CPU time of a few calls."""
    assert callable(work)  # noqa: S101 (given below)
    taken = []
    for _ in range(5):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return min(taken)


def compare_replays(data_dir: Path, root: Path, repeat: int) -> None:
    """Print the ratio of speeds, and the peak memory."""
    text, prepared, peaks = [], [], []
    for _ in range(repeat):
        text.append(replay(data_dir, [])[0])
        seconds, peak = replay(data_dir, ["--prepared-dir", str(root)])
        prepared.append(seconds)
        peaks.append(peak)
    pairs = [one / other for one, other in zip(text, prepared, strict=True)]
    best = min(text) / min(prepared)
    print(f"replay: text {min(text):.2f} s, prepared {min(prepared):.2f} s of CPU time")
    print(f"  as fast: best {best:.2f}, median of pairs {statistics.median(pairs):.2f}")
    print(f"  peak memory, prepared {max(peaks):,.0f} MB")


def compare_samples(path: Path, samples: Path, rows: int) -> None:
    """Print how much faster bars of samples are made than SQLite reads the bytes."""
    with closing(connect(path)) as connection:
        scan = cpu_of(lambda: connection.execute(SCAN).fetchone())
    bars = cpu_of(lambda: sampled_bars([samples]))
    print(f"samples: {rows / bars:,.0f} rows/s, SQLite's own scan {rows / scan:,.0f} rows/s")
    print(f"  as fast: {scan / bars:.1f}")


def main() -> None:
    """Print what a copy takes, and what it brings."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    path = recording(options.rows)
    root = Path(tempfile.mkdtemp(prefix="orderflow-prepared-"))
    try:
        asked = ["--data-dir", str(path.parent), "--prepared-dir", str(root), "-q"]
        seconds, peak = run(["-m", "formats", "prepare", *RANGE, *asked])
        (manifest,) = root.rglob("manifest.json")
        sizes = {n: f["bytes"] for n, f in json.loads(manifest.read_bytes())["files"].items()}
        with closing(connect(path)) as connection:
            (text,) = connection.execute(SCAN).fetchone()
        rate = options.rows / seconds
        print(f"prepare: {seconds:.1f} s of CPU time, {rate:,.0f} rows/s, peak {peak:,.0f} MB")
        print(f"size of the level text: {sum(sizes.values()) / text:.3f}")
        for name, size in sizes.items():
            print(f"  {name:<20} {size / 1e6:8.1f} MB  {size / text:.3f}")
        compare_replays(path.parent, root, options.repeat)
        compare_samples(path, manifest.parent / "samples.parquet", options.rows)
    finally:
        shutil.rmtree(root)


if __name__ == "__main__":
    main()
