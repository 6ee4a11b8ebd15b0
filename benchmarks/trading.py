"""Time trading runs beside bare pyzmq with the same bytes, and beside the replay.

    uv run -m benchmarks.trading [--rows 200000] [--repeat 3] [--window-ms 10000] [--strategy NAME]

Gateway, strategy, executor and what is beside them are processes of their own, taken in turn. The
recording is made once, by `synthetic_market`. Ratios compare across machines; rates do not.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.replay import recording, replay_rate
from benchmarks.task import PROJECT
from trading.protocol import MAX_WINDOW_MS, Endpoints

MEMBERS = ("gateway", "strategy", "executor")
CORES = 2
TICKS_PER_SECOND = {"free": 80_000, "deterministic": 30_000}
"""What is asked of one strategy over the bus."""


def run(roles: list[str], given: dict[str, Any]) -> list[dict[str, Any]]:
    """Run processes beside one another; return what each printed."""
    with tempfile.TemporaryDirectory(prefix="bus-") as name:
        endpoints = Endpoints.in_directory(Path(name) / "s")
        (Path(name) / "s").mkdir(mode=0o700)
        given = {"endpoints": vars(endpoints)} | given
        command = [sys.executable, "-m", "benchmarks.trading_ways"]
        processes = [
            subprocess.Popen(
                [*command, role, json.dumps(given)], cwd=PROJECT, stdout=subprocess.PIPE, text=True
            )
            for role in roles
        ]
        said = [process.communicate()[0] for process in processes]
        if any(process.returncode for process in processes):
            sys.exit(f"Error: {roles} failed")
        return [json.loads(text) for text in said]


class Figures:
    """What each way took, repeat by repeat."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._path = recording(options.rows)
        self._strategy = options.strategy
        self._window = {"window_ms": options.window_ms}
        self._count = options.signals
        self.rates: dict[str, list[float]] = {}
        self.costs: dict[str, list[list[float]]] = {}
        self.waits: dict[str, list[float]] = {}

    def add(self) -> None:
        """Take every way once."""
        given = {"path": str(self._path), "strategy": self._strategy}
        sent, received = run(["bare-send", "bare-receive"], given | {"options": self._window})
        self._note("bare pyzmq", sent["ticks"], received["seconds"])
        for way, free in (("free", True), ("deterministic", False)):
            options = self._window | {"free": free}
            done, followed, executed = run(list(MEMBERS), given | {"options": options})
            if followed["lost"] or executed["lost"]:
                sys.exit(f"Error: the {way} run lost {followed} {executed}")
            self._note(way, done["ticks"], done["seconds"])
            cpu = [each["cpu"] / done["ticks"] * 1e6 for each in (done, followed, executed)]
            self.costs.setdefault(way, []).append(cpu)
        (alone,) = run(["in-process"], given | {"options": self._window})
        self._note("in process", alone["ticks"], alone["seconds"])
        # The replay counts rows; a tick is a row or a trade.
        _, rows, _, _ = replay_rate(self._path, pure=False)
        self._note("replay", alone["ticks"] * rows, self._rows)
        self._add_waits()

    @property
    def _rows(self) -> int:
        return int(self._path.parent.name.rpartition("-")[2])

    def _note(self, way: str, ticks: float, seconds: float) -> None:
        self.rates.setdefault(way, []).append(ticks / seconds)

    def _add_waits(self) -> None:
        given = {"strategy": "stamp", "count": self._count, "options": {"window_ms": 1}}
        ping, _ = run(["bare-ping", "bare-pong"], given)
        *_, executed = run(list(MEMBERS), given)
        self.waits.setdefault("bare pyzmq, round trip", []).extend(ping["seconds"])
        self.waits.setdefault("tick to signal at the executor", []).extend(executed["seconds"])

    def show(self) -> None:
        """Print medians, and their ratios to what stands beside them."""
        rates = {way: statistics.median(found) for way, found in self.rates.items()}
        for way, rate in rates.items():
            beside = "replay" if way == "in process" else "bare pyzmq"
            asked = f"  asked {TICKS_PER_SECOND[way]:,}" if way in TICKS_PER_SECOND else ""
            share = f"{rate / rates[beside]:.3f} of {beside}"
            print(f"{way:<32}{rate:>12,.0f} ticks/s  {share}{asked}")
        for way, costs in self.costs.items():
            each = [statistics.median(column) for column in zip(*costs, strict=True)]
            most = min(1 / max(each), CORES / sum(each)) * 1e6
            told = ", ".join(f"{n} {us:.1f}" for n, us in zip(MEMBERS, each, strict=True))
            print(f"{way:<32}CPU µs a tick: {told}; so {CORES} free cores do {most:,.0f} ticks/s")
        for way, found in self.waits.items():
            parts = statistics.quantiles(found, n=100)
            print(f"{way:<32}{parts[49] * 1e6:>9,.0f} µs p50 {parts[94] * 1e6:>9,.0f} µs p95")


def main() -> None:
    """Print ticks a second of each way, and how long a signal takes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--window-ms", type=int, default=MAX_WINDOW_MS)
    parser.add_argument("--strategy", default="support-resistance")
    parser.add_argument("--signals", type=int, default=1000)
    options = parser.parse_args()
    figures = Figures(options)
    for _ in range(options.repeat):
        figures.add()
    figures.show()


if __name__ == "__main__":
    main()
