"""Compare a whole replay with what people would use instead, in one run on one machine.

    uv run --group bench -m benchmarks.compare [--rows 200000] [--repeat 3] [--quick]

Each way works on the same recordings in a process of its own, in turn, several times; the bars of
all must be equal before any speed is printed. Figures are medians. See docs/benchmarks.md.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.compared_recordings import ComparedRecording, generated, real
from benchmarks.task import PROJECT, Bars

TOLERANCE = 1e-9
MAX_BARS = 1000
# A process's peak begins with that of the one it was forked from: so a small one starts them. It
# ends with a line of seconds and MB; Linux counts in kB, macOS in bytes.
LAUNCHER = """
import os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:])
peak = 0
if hasattr(os, "wait4"):
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
code = process.wait()
print(f"\\n{time.perf_counter() - began} {peak}", file=sys.stderr)
sys.exit(code)
"""
CONTENDERS = ("hftbacktest", "nautilus_trader", "polars", "pandas", "numpy")


@dataclass(frozen=True)
class Way:
    """A way to do the work: its name in `contenders` or `main.py`, and what it is given.

    `shape` is the attribute of `ComparedRecording` with what it reads. `makes_bars` is false for
    ways that only read or convert.
    """

    key: str
    label: str
    shape: str = "whole"
    makes_bars: bool = True


PROJECT_WAYS = {
    "compiled": (["--jobs", "1"], {"ORDERFLOW_PURE_PYTHON": ""}, "compiled"),
    "pure": (["--jobs", "1"], {"ORDERFLOW_PURE_PYTHON": "1"}, "python"),
    "jobs": (["--jobs", "2"], {"ORDERFLOW_PURE_PYTHON": ""}, "compiled"),
}
WAYS = [
    Way("scan", "SQLite's own scan, in C", makes_bars=False),
    Way("fetch", "bare fetch into Python", makes_bars=False),
    Way("compiled", "**this project**, `main.py`"),
    Way("jobs", "**this project**, `--jobs 2`, two files", "parts"),
    Way("pure", "**this project**, pure Python"),
    Way("hft-convert", "hftbacktest: conversion alone", "first", makes_bars=False),
    Way("hft-vector", "hftbacktest: replay of its file, vector book"),
    Way("hft-hashmap", "hftbacktest: replay of its file, hash-map book"),
    Way("hft-local", "hftbacktest: vector book, from memory, no exchange side"),
    Way("nautilus", "nautilus_trader: deltas, its book", "first"),
    Way("polars", "polars: json_decode, explode; book in Python", "first"),
    Way("pandas", "pandas script", "first"),
]


@dataclass
class Measured:
    """What the runs of one way gave: seconds of the work, of the whole process, peak in MB."""

    rows: int = 0
    work: list[float] = field(default_factory=list)
    process: list[float] = field(default_factory=list)
    stages: list[dict[str, float]] = field(default_factory=list)
    peak: float = 0.0
    missing: str | None = None

    def rate(self, seconds: list[float]) -> float:
        """Return the rows a second at the median of the runs."""
        return self.rows / statistics.median(seconds)


@dataclass(frozen=True)
class Run:
    """One finished process: its stdout and stderr, seconds, and peak in MB."""

    output: str
    errors: str
    seconds: float
    peak: float


class ComparisonError(Exception):
    """A way failed, or made other bars than this project."""


def run(command: list[str], env: dict[str, str] | None = None) -> Run:
    """Run a Python command in the project's folder to its end, and measure it as a whole.

    It may keep its bytecode, as on most machines: without, each start compiles all it imports.
    """
    own = {name: os.environ[name] for name in os.environ if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", LAUNCHER, sys.executable, *command],
        cwd=PROJECT,
        env=own | (env or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    errors, _, figures = done.stderr.rstrip().rpartition("\n")
    if done.returncode:
        msg = f"{' '.join(command)} ended with exit code {done.returncode}:\n{errors[-2000:]}"
        raise ComparisonError(msg)
    seconds, peak = map(float, figures.split())
    return Run(done.stdout, errors, seconds, peak)


def replay(
    recording: ComparedRecording, way: str, directory: Path
) -> tuple[Run, dict[str, Any], Bars]:
    """Replay with this project; return the process, its summary, and the bars of its files."""
    options, env, _ = PROJECT_WAYS[way]
    with tempfile.TemporaryDirectory() as out:
        command = ["main.py", recording.instrument, recording.first_day, recording.end_day]
        command += ["--data-dir", str(directory), "--output-dir", out, "--no-ui", "--json"]
        done = run([*command, *options], env)
        ohlc, metrics = (
            json.loads((Path(out) / name).read_text())
            for name in ("ohlc_data.json", "metrics_data.json")
        )
    traded = {bar[0] for bar in ohlc}
    bars = {
        "ohlc": ohlc,
        "obi": [bar[:5] for bar in metrics],
        "cvd": [[bar[0], bar[12]] for bar in metrics if bar[0] in traded],
    }
    return done, json.loads(done.output), bars


def measure(recording: ComparedRecording, way: Way, into: Measured) -> Bars | None:
    """Run one way once and note what it took; return its bars."""
    source: Path = getattr(recording, way.shape)
    if way.key not in PROJECT_WAYS:
        try:
            done = run(["-m", "benchmarks.contenders", way.key, str(source)])
        except ComparisonError as error:  # another release may work in another way
            into.missing = str(error).splitlines()[-1]
            return None
        result = json.loads(done.output)
        if "missing" in result:
            into.missing = result["missing"]
            return None
    else:
        directory = source if source.is_dir() else source.parent
        done, result, bars = replay(recording, way.key, directory)
        engine = PROJECT_WAYS[way.key][2]
        if result["engine"] != engine:
            into.missing = f"the {engine} book is not here, {result['engine']} is"
        elif "with one process" in done.errors:
            into.missing = done.errors.strip().splitlines()[-1]
        result["bars"] = bars
    into.rows = result["rows"]
    into.work.append(result["seconds"])
    into.process.append(done.seconds)
    into.stages.append(result.get("stages", {}))
    into.peak = max(into.peak, done.peak)
    found: Bars | None = result.get("bars")
    return found


def difference(bars: Bars, expected: Bars) -> str | None:
    """Say where bars differ by more than 1e-9, relative, or absolute near 0; None if nowhere.

    The files have the last 1000 bars: earlier ones are not compared.
    """
    for name, wanted in expected.items():
        first = wanted[0][0] if len(wanted) == MAX_BARS else 0
        found = [bar for bar in bars[name] if bar[0] >= first]
        if len(found) != len(wanted):
            return f"{name}: {len(found)} bars, not {len(wanted)}"
        for bar, other in zip(found, wanted, strict=True):
            close = (
                math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
                for a, b in zip(bar, other, strict=True)
            )
            if not all(close):
                return f"{name}: {bar}, not {other}"
    return None


def compare(recording: ComparedRecording, ways: list[Way], repeat: int) -> dict[str, Measured]:
    """Run all ways in turn, `repeat` times; raise `ComparisonError` if bars are not equal."""
    expected = {
        shape: replay(recording, "compiled", getattr(recording, shape).parent)[2]
        for shape in ("whole", "first")
    }
    expected["parts"] = expected["whole"]
    measured = {way.key: Measured() for way in ways}
    if any(way.key.startswith("hft-") and way.shape == "whole" for way in ways):
        measure(recording, Way("hft-convert", "", makes_bars=False), Measured())
    for turn in range(repeat):
        for way in ways:
            print(f"  {turn + 1}/{repeat} {way.key} …", file=sys.stderr)
            into = measured[way.key]
            bars = None if into.missing else measure(recording, way, into)
            if way.makes_bars and not into.missing and bars is not None:
                problem = difference(bars, expected[way.shape])
                if problem:
                    msg = f"{way.key} makes other bars than this project's files: {problem}"
                    raise ComparisonError(msg)
    return measured


def table(title: str, ways: list[Way], measured: dict[str, Measured]) -> list[str]:
    """Write the figures of one recording as a Markdown table, and the stages below it."""
    fetch = measured["fetch"]
    lines = [
        f"**{title}**",
        "",
        "| | rows | work alone, rows/s | of fetch | whole process, rows/s | of fetch | MB |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    stages = []
    for way in ways:
        of = measured[way.key]
        if of.missing:
            lines.append(f"| {way.label} | n/a: {of.missing} | | | | | |")
            continue
        work, process = of.rate(of.work), of.rate(of.process)
        lines.append(
            f"| {way.label} | {of.rows:,} | {work:,.0f} | {work / fetch.rate(fetch.work):.3f} "
            f"| {process:,.0f} | {process / fetch.rate(fetch.work):.3f} | {of.peak:,.0f} |"
        )
        if of.stages[0]:
            parts = (
                f"{name} {of.rate([stage[name] for stage in of.stages]):,.0f}"
                for name in of.stages[0]
            )
            stages.append(f"- {way.key}, rows/s by stage: {', '.join(parts)}")
    return [*lines, "", *stages, *headline(measured), ""]


def headline(measured: dict[str, Measured]) -> list[str]:
    """Set this project's whole command against hftbacktest's work, its conversion apart."""
    keys = ("compiled", "hft-convert", "hft-vector", "hft-hashmap")
    if any(key not in measured or measured[key].missing for key in keys):
        return []
    own, convert, *replays = (measured[key] for key in keys)
    whole, best = own.rate(own.process), max(of.rate(of.work) for of in replays)
    with_conversion = 1 / (1 / best + 1 / convert.rate(convert.work))
    return [
        f"- this project's whole command, start-up included, is {whole / best:.2f} times as fast "
        "as the faster of hftbacktest's replays of its prepared file, start-up left out; and "
        f"{whole / with_conversion:.1f} times with the conversion that prepares it counted"
    ]


def machine() -> str:
    """Say what the figures were measured on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = (line.partition(":") for line in info.read_text().splitlines())
        model = next((value.strip() for key, _, value in lines if "model name" in key), model)
    versions = []
    for name in CONTENDERS:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, Python "
        f"{platform.python_version()}; {', '.join(versions)}"
    )


def main() -> None:
    """Make the recordings, run all ways, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000, help="rows of the generated recording")
    parser.add_argument("--slow-rows", type=int, default=20_000, help="rows given to slow ways")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="20,000 rows, 5,000 to slow ways, once"
    )
    options = parser.parse_args()
    if options.quick:
        options.rows, options.slow_rows, options.repeat = 20_000, 5_000, 1
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="orderflow-compare-") as work:
        print("making recordings …", file=sys.stderr)
        made = [
            generated(Path(work) / "generated", options.rows, options.slow_rows),
            real(Path(work) / "real", options.slow_rows),
        ]
        try:
            for recording in filter(None, made):
                measured = compare(recording, WAYS, options.repeat)
                print("\n".join(table(recording.title, WAYS, measured)), flush=True)
        except ComparisonError as error:
            sys.exit(f"error: {error}")
    if made[1] is None:
        print("No real recording: there is no ../shared/data beside the project's folder.\n")
    arguments = " ".join(sys.argv[1:])
    print(f"Machine: {machine()}")
    print(f"Command: uv run --group bench -m benchmarks.compare {arguments}".rstrip())
    print(
        f"Medians of {options.repeat}, bars equal to 1e-9, "
        f"{time.perf_counter() - began:.0f} s in all."
    )


if __name__ == "__main__":
    main()
