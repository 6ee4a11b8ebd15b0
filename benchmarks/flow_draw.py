"""Measure in a real browser what the order-flow views cost: a draw, an update, what is sent.

    uv run -m benchmarks.flow_draw

The files are made up, and full: 1,024 columns of 400 rows of which none is empty, and bars of 25
rows, so that more than 900 numbers are in view at 1440 px. `draw` is the script's own time for a
picture; `with axes` is the main thread's processor time and has all that a moved view takes.
`update` is that time for one new state of all files, `idle` without news for as long. Needs
chromium and chromedriver.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.page_cost import main_thread_seconds
from benchmarks.support import browser, flow_browser, flow_files, page_fixtures
from orderflow.array_file import pack

SIZES = ((1440, 900), (390, 844))
BAR_ROWS = 25
WINDOW_MS = 16_000
TICK = flow_files.TICK
PER_BAR = WINDOW_MS // 1000
DRAWS = 60
UPDATES = 20
SECONDS_APART = 0.6


def footprint(bars: int) -> bytes:
    """Return bars whose rows all have both sides."""
    row = 1_054_000
    arrays: dict[str, list[float]] = {}
    arrays["time"] = [flow_files.START_MS + place * WINDOW_MS for place in range(bars)]
    high = (row + BAR_ROWS) * TICK
    for name, value in {
        "open": row * TICK, "high": high, "low": row * TICK, "close": high,
        "buy": 30.0 * BAR_ROWS, "sell": 20.0 * BAR_ROWS, "other": 0.0,
        "min_delta": -50.0, "max_delta": 400.0, "vwap": row * TICK + 1,
    }.items():  # fmt: skip
        arrays[name] = [value] * bars
    packed = {name: flow_files.array("float64", values) for name, values in arrays.items()}
    ends = [BAR_ROWS * (place + 1) for place in range(bars)]
    packed["cells_end"] = flow_files.array("uint32", ends)
    rows = [row + place for place in range(BAR_ROWS)]
    cells: dict[str, list[Any]] = {
        "cell_row": rows * bars,
        "cell_buy": [float(1 + (7 * n) % 60) for n in range(BAR_ROWS * bars)],
        "cell_sell": [float(1 + (11 * n) % 40) for n in range(BAR_ROWS * bars)],
        "cell_other": [],
        "profile_row": rows,
        "profile_buy": [30.0 * bars] * BAR_ROWS,
        "profile_sell": [20.0 * bars] * BAR_ROWS,
        "profile_other": [],
    }
    for name, values in cells.items():
        packed[name] = flow_files.array("float64", values)
    session = {"start": flow_files.START_MS, "row_ticks": 1, "volume": 1.0, "vwap": 105_400.0}
    session |= {"poc": row + 9, "vah": row + 20, "val": row + 3}
    header = flow_files.header("footprint", window_ms=WINDOW_MS, first=0, row_ticks=1)
    return pack(header | {"session": session}, packed)


def heatmap(count: int, first: int, level: int) -> bytes:
    """Return columns of 400 rows, none of them empty, whose sizes differ."""
    rows = flow_files.ROWS
    column_ms = 250 * 4**level
    cells = []
    for column in range(first, first + count):
        half = rows // 2
        cells += [0x3F80 + (31 * row + 7 * column) % 700 for row in range(half)]
        cells += [0xBF80 + (17 * row + 5 * column) % 700 for row in range(half)]
    arrays = {
        "low": flow_files.array("float64", [105_380.0] * count),
        "row": flow_files.array("float64", [TICK] * count),
        "bid": flow_files.array("float64", [105_400.0 + n % 5 * TICK for n in range(count)]),
        "ask": flow_files.array("float64", [105_400.1 + n % 5 * TICK for n in range(count)]),
        "updates": flow_files.array("uint16", [1] * count),
        "cells": flow_files.array("uint16", cells, count, rows),
    }
    told = {"level": level, "column_ms": column_ms, "first": first, "columns": count, "rows": rows}
    return pack(flow_files.header("heatmap", **told), arrays)


def put_all(directory: Path, columns: int) -> None:
    """Write all files of a run that has made `columns` columns of 250 ms."""
    now = flow_files.START_MS + columns * 250
    page_fixtures.put_run(directory, 100, event_time=now, window_seconds=WINDOW_MS // 1000)
    for level in range(2):
        total = columns // 4**level
        count = min(1024, total)
        first = flow_files.START_MS // (250 * 4**level) + total - count
        flow_files.put_bytes(directory, f"heatmap_{level}.bin", heatmap(count, first, level))
    bars = columns * 250 // WINDOW_MS + 1
    flow_files.put_bytes(directory, "footprint_data.bin", footprint(bars))
    flow_files.put_bytes(directory, "trades_data.bin", flow_files.trades(bars * PER_BAR))
    flow_files.put_bytes(directory, "best_data.bin", flow_files.best(bars * PER_BAR))


FIRST = 1400
"""Columns that there are at the beginning: of the newest 1,024 are all in view."""


def fragment(end: int) -> str:
    """Return the address of the view that ends with column `end`."""
    from_ms, to_ms = (flow_files.START_MS + column * 250 for column in (end - 1024, end))
    iso = [
        datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        for ms in (from_ms, to_ms)
    ]
    return f"view=both&columns=250&from={iso[0]}&to={iso[1]}&heat=105380~105420"


def draws(driver: Any) -> tuple[list[float], list[float], dict[str, Any]]:
    """Move the time by a column at a time; return script and main-thread ms, and the last draw."""
    script, thread = [], []
    for step in range(DRAWS):
        before = main_thread_seconds(driver)
        driver.execute_async_script(
            "location.hash = arguments[0];"
            "const done = arguments[1];"
            "const frame = () => requestAnimationFrame(() => requestAnimationFrame(() => done()));"
            "setTimeout(frame, 60)",
            fragment(FIRST - step),
        )
        thread.append(1000 * (main_thread_seconds(driver) - before))
        script.append(float(flow_browser.drawn(driver)["ms"]))
    return script, thread, flow_browser.drawn(driver)


def updates(driver: Any, directory: Path) -> tuple[list[float], list[float]]:
    """Return the main thread's ms for a time without news, and for one with two new columns."""
    costs: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * UPDATES):
        before = main_thread_seconds(driver)
        if number >= UPDATES:
            put_all(directory, FIRST + 2 * (number - UPDATES + 1))
        driver.execute_async_script(f"setTimeout(arguments[0], {1000 * SECONDS_APART})")
        costs[number >= UPDATES].append(1000 * (main_thread_seconds(driver) - before))
    return costs


def sent(driver: Any) -> list[int]:
    """Return the bytes of the newest answers with two new columns."""
    found: list[int] = driver.execute_script(
        "return performance.getEntriesByType('resource')"
        ".filter(e => e.name.includes('/flow/heatmap_0?')).map(e => e.encodedBodySize)"
    )
    return found[-UPDATES:]


def three(values: Iterable[float]) -> str:
    found = sorted(values)
    return f"{found[0]:.1f} / {statistics.median(found):.1f} / {found[-1]:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    print("least / median / most; load", " ".join(f"{load:.1f}" for load in os.getloadavg()))
    for width, height in SIZES:
        with tempfile.TemporaryDirectory() as name, browser.chromium(width, height) as driver:
            browser.resize(driver, width, height, mobile=width < 700)
            driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
            put_all(Path(name), FIRST)
            with page_fixtures.page(Path(name)) as (url, _):
                flow_browser.go(driver, url, fragment(FIRST))
                browser.pause(2)
                script, thread, last = draws(driver)
                flow_browser.go(driver, url, "view=both&columns=250&heat=105380~105420&span=256000")
                browser.pause(2)
                driver.execute_script("performance.clearResourceTimings()")
                idle, news = updates(driver, Path(name))
                print(f"{width}x{height}: {last['ring']} ms columns, {last['texts']} texts")
                print(f"  draw, ms               {three(script)}")
                print(f"  with axes and words    {three(thread)}")
                print(f"  idle {SECONDS_APART} s             {three(idle)}")
                print(f"  update                 {three(news)}")
                print(f"  bytes of two columns   {three(sent(driver))}")


if __name__ == "__main__":
    main()
