"""Compare the CPU time of a whole replay of busy rows without and with metrics.

    uv run -m benchmarks.metrics_cost [--rows 200000] [--repeat 5] [--before DIR]

The runs are interleaved, and each ratio is of two neighbours: the speed with metrics over that
without. `--before` names another checkout, with an environment of its own, to hold the speed
without metrics against.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from benchmarks.replay import recording
from benchmarks.task import PROJECT

ASKED = ("obi", "ofi", "spread", "weighted_mid", "vwap", "vpin:volume=10")


def cpu_seconds(project: Path, data_dir: Path, extra: list[str]) -> float:
    """Return the CPU time, user and system, of one whole run."""
    python = project / ".venv" / "bin" / "python"
    with tempfile.TemporaryDirectory() as out:
        command = [str(python), str(project / "main.py"), "BTC-USDT", "2025-06-09", "2035-01-01"]
        command += ["--data-dir", str(data_dir), "--output-dir", out, "--no-ui", "-q", *extra]
        env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        process = subprocess.Popen(command, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the median of the paired ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--before", type=Path)
    options = parser.parse_args()
    data_dir = recording(options.rows).parent
    metrics = [word for name in ASKED for word in ("--metric", name)]
    ratios: dict[str, list[float]] = {}
    for _ in range(options.repeat):
        without = cpu_seconds(PROJECT, data_dir, [])
        ratios.setdefault("with six metrics", []).append(
            without / cpu_seconds(PROJECT, data_dir, metrics)
        )
        if options.before:
            before = cpu_seconds(options.before, data_dir, [])
            ratios.setdefault("without, against before", []).append(before / without)
    for name, found in ratios.items():
        shown = " ".join(f"{ratio:.3f}" for ratio in found)
        print(f"{name:<26} {statistics.median(found):.3f}  ({shown})")


if __name__ == "__main__":
    main()
