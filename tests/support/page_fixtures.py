"""Write what a replay writes, for the tests and benchmarks of the page alone.

The numbers come from a seed and look like a market; nothing about them is checked here.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from places import PROJECT

from orderflow.issues import LABELS

START_MS = 1_749_427_200_000  # 2025-06-09 00:00 UTC
WINDOW_MS = 60_000

Bar = list[float]


def put(directory: Path, name: str, content: Any) -> None:
    """Replace a file as a whole, as the writer of the files does."""
    raw = content if isinstance(content, str) else json.dumps(content)
    temporary = directory / f".{name}.{os.getpid()}.tmp"
    temporary.write_text(raw)
    temporary.replace(directory / name)


def market(count: int, seed: int = 1) -> tuple[list[Bar], list[Bar]]:
    """Return `count` OHLC bars and as many metric bars of 13 fields."""
    source = random.Random(seed)
    price, cvd, obi, mood = 105_000.0, 0.0, 0.1, 1.0
    bars: list[Bar] = []
    metrics: list[Bar] = []
    for index in range(count):
        moment = START_MS + index * WINDOW_MS
        mood = max(0.3, 0.95 * mood + 0.05 + source.gauss(0, 0.12))
        path = [price]
        for _ in range(8):
            path.append(round(path[-1] + source.gauss(0, 9) * mood, 1))
        volume = round(source.paretovariate(1.7) * mood, 4)
        bars.append([moment, path[0], max(path), min(path), path[-1], volume])
        pull = math.tanh((path[-1] - price) / 40)
        lean = max(-0.95, min(0.95, 0.75 * obi + 0.2 * pull + source.gauss(0, 0.12)))
        low, high = max(-1.0, min(obi, lean) - 0.05), min(1.0, max(obi, lean) + 0.05)
        delta = round(volume * max(-1.0, min(1.0, pull + source.gauss(0, 0.3))), 4)
        flow = [cvd, max(cvd, cvd + delta), min(cvd, cvd + delta), round(cvd + delta, 4)]
        metrics.append([moment, obi, high, low, lean, 52.0, 60.5, 40.2, 55.1, *flow])
        price, obi, cvd = path[-1], lean, flow[3]
    return bars, metrics


def book(mid: float, levels: int = 50, seed: int = 1) -> dict[str, list[list[float]]]:
    """Return `levels` bids and asks around `mid`, best first, a spread of 0.1."""
    source = random.Random(seed)
    sides: dict[str, list[list[float]]] = {"bids": [], "asks": []}
    for name, best, step in (("bids", round(mid * 10), -1), ("asks", round(mid * 10) + 1, 1)):
        ticks = best
        for _ in range(levels):
            sides[name].append([ticks / 10, round(source.paretovariate(1.2) / 8, 3)])
            ticks += step * source.randint(1, 4)
    return sides


def status(**changed: Any) -> dict[str, Any]:
    """Return the status of a running run of BTC-USDT, with the fields in `changed` replaced."""
    counts = dict.fromkeys(LABELS, 0)
    told = {
        "schema": 1,
        "instrument": "BTC-USDT",
        "start": START_MS,
        "end": START_MS + 86_400_000,
        "window_seconds": 60,
        "depth_levels": 50,
        "state": "running",
        "reason": None,
        "event_time": START_MS + 61_440_000,
        "progress": 0.64,
        "rows": 553_118,
        "trades": 431_604,
        "rows_per_second": 212_400.0,
        "seconds": 2.6,
        "bars": 1000,
        "volume": 123_456.78,
        "book_mode": "incremental",
        "engine": "compiled",
        "reliable": True,
        "longest_silence_ms": 430,
        "counts": counts,
        "written": int(time.time() * 1000),
        "pid": os.getpid(),
    }
    return told | changed


Span = tuple[str, int | None, int | None, int]


def put_run(
    directory: Path, count: int = 1000, issues: Iterable[Span] = (), **changed: Any
) -> None:
    """Write all files of a run with `count` bars, and `issues` as (kind, start, end, count)."""
    directory.mkdir(parents=True, exist_ok=True)
    bars, metrics = market(count)
    put(directory, "ohlc_data.json", bars)
    put(directory, "metrics_data.json", metrics)
    put(directory, "depth_data.json", book(bars[-1][4] if bars else 105_000.0))
    names = ("kind", "start", "end", "count")
    spans = [dict(zip(names, issue, strict=True)) for issue in issues]
    put(directory, "data_issues.json", {"schema": 1, "issues": spans})
    put(directory, "status_data.json", status(bars=count, **changed))


def trading(count: int = 40, **changed: Any) -> dict[str, Any]:
    """Return the file of a finished trading run on `market`: a fill every five minutes.

    They are in turn bought by a taker at the close of their bar and sold by a maker. Fields in
    `changed` are replaced.
    """
    bars = market(5 * count)[0]
    told = [
        {
            "order": number,
            "time_ms": bars[5 * number][0] + 45_000,
            "side": "sell" if number % 2 else "buy",
            "price": bars[5 * number][4],
            "qty": 0.01,
            "maker": bool(number % 2),
            "fee": -0.1 if number % 2 else 0.5,
            "strategy": "levels",
        }
        for number in range(count)
    ]
    orders = (("buy", 104_900.5), ("sell", 105_100.5), ("buy", 104_800.0))
    names = ("order", "side", "price", "remaining", "strategy")
    done = {
        "schema": 1,
        "instrument": "BTC-USDT",
        "strategies": ["levels", "watcher"],
        "state": "finished",
        "reason": None,
        "written": int(time.time() * 1000),
        "event_time": START_MS + 5 * count * WINDOW_MS,
        "bar_seconds": 60,
        "balance": 0.0,
        "best_bid": 104_999.9,
        "best_ask": 105_000.0,
        "position": 0.01,
        "equity": -12.5,
        "realised": 3.25,
        "fees": 8.0,
        "fill_count": count,
        "fills": told,
        "open_count": len(orders),
        "open_orders": [
            dict(zip(names, (n, side, price, 0.05, "levels"), strict=True))
            for n, (side, price) in enumerate(orders)
        ],
        "alert_count": 1,
        "alerts": [
            {
                "time_ms": START_MS + 7 * WINDOW_MS + 5,
                "strategy": "watcher",
                "text": "sell: break at support 104990.5",
                "price": 104_990.0,
            }
        ],
        "rejected": 0,
        "rejected_reason": None,
        # The close of a bar is told with the time at which the next one begins.
        "curve": [
            [bar[0] + WINDOW_MS, 0.01 * (n % 3), 0.5 * n, 0.5 * n, 1.0, 0.25 * n, 0.125 * n]
            for n, bar in enumerate(bars)
        ],
    }
    return done | changed


def grow_older(path: Path, seconds: float) -> None:
    """Set a file's time back, as if it had been written `seconds` ago."""
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


@contextmanager
def page(directory: Path, *arguments: str, port: int = 0) -> Iterator[tuple[str, int]]:
    """Run app.py on a free port until the block ends; give its address and process id."""
    command = [sys.executable, str(PROJECT / "app.py"), "--output-dir", str(directory)]
    command += ["--port", str(port), *arguments]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if line.startswith("Page: "):
                    yield line.removeprefix("Page: ").strip(), process.pid
                    return
            raise AssertionError("app.py ended before it listened")
        finally:
            process.kill()
