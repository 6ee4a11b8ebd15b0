"""Compare the CPU time of a whole replay of busy rows with metrics, and with bars of a second.

    uv run -m benchmarks.metrics_cost [--rows 200000] [--repeat 5] [--before DIR]

The runs are interleaved. A ratio is the speed of one over that of the other: of the best runs of
both, which a busy machine disturbs least, and the median of neighbours. `--before` names another
checkout, with an environment of its own, to hold the speed without metrics against.
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
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--before", type=Path)
    options = parser.parse_args()
    data_dir = recording(options.rows).parent
    metrics = [word for name in ASKED for word in ("--metric", name)]
    ways: dict[str, tuple[Path, list[str]]] = {
        "without metrics": (PROJECT, []),
        "with six metrics": (PROJECT, metrics),
        "bars of a second": (PROJECT, ["--window-seconds", "1"]),
        "both": (PROJECT, ["--window-seconds", "1", *metrics]),
    }
    if options.before:
        ways["before"] = options.before, []
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeat):
        for name, (project, extra) in ways.items():
            taken[name].append(cpu_seconds(project, data_dir, extra))
    _show("six metrics, against none", taken["without metrics"], taken["with six metrics"])
    _show("bars of 1 s, against 60 s", taken["without metrics"], taken["bars of a second"])
    _show("bars of 1 s, both with six metrics", taken["with six metrics"], taken["both"])
    if options.before:
        _show("without metrics, against before", taken["before"], taken["without metrics"])


def _show(name: str, first: list[float], second: list[float]) -> None:
    """Print the speed of the second over that of the first: of their best, and the median pair."""
    pairs = [one / other for one, other in zip(first, second, strict=True)]
    best, middle = min(first) / min(second), statistics.median(pairs)
    print(f"{name:<36} best {best:.3f}  median of pairs {middle:.3f}")


if __name__ == "__main__":
    main()
