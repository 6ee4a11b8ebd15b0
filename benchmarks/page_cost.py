"""Measure in a real browser what a poll of the page costs, for three ways of sending it.

    uv run -m benchmarks.page_cost

1000 bars are live and the newest changes before each poll, with depth and status. `traces` is the
page as it is: a patch with the whole traces that changed. `figures` answers with whole figures,
layouts and all; `tail` patches the newest point of each trace alone. `idle` is the page as it is
when no file changes. Needs chromium and chromedriver.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import plotly.io
from dash import Patch
from waitress.server import create_server

import app
from benchmarks.support import browser, page_fixtures
from page import charts, layouts, sections

TEMPLATE = plotly.io.templates["plotly_dark"].to_plotly_json()
LAYOUTS = {"time": layouts.time_layout(TEMPLATE), "depth": layouts.depth_layout(TEMPLATE)}
POINT_KEYS = ("open", "high", "low", "close", "y")


def traces_of(parts: list[sections.Section], seen: str) -> dict[tuple[str, int], Any]:
    """Return the traces of the parts that changed, as plain values."""
    known = seen.split(".")
    old = known if len(known) == len(parts) else [""] * len(parts)
    changed = [part for part, version in zip(parts, old, strict=True) if part.version != version]
    return {
        index: orjson.loads(orjson.dumps(fragment))
        for part in changed
        for index, fragment in part.traces.items()
    }


def whole_figures(parts: list[sections.Section], seen: str) -> dict[str, dict[str, Any]]:
    found = app_changes(parts, seen)
    for name in {figure for figure, _ in traces_of(parts, seen)}:
        data = {index[1]: t for index, t in traces_of(parts, "").items() if index[0] == name}
        figure = {"data": [data[index] for index in sorted(data)], "layout": LAYOUTS[name]}
        found[name] = {"figure": figure}
    return found


def tail_alone(parts: list[sections.Section], seen: str) -> dict[str, dict[str, Any]]:
    if not seen:
        return app_changes(parts, seen)
    found = app_changes(parts, seen)
    patches: dict[str, Any] = {}
    for (figure, index), trace in traces_of(parts, seen).items():
        patch = patches.setdefault(figure, Patch())
        if figure == "depth" or index == charts.LAST:
            patch["data"][index] = trace
            continue
        for key in POINT_KEYS:
            if key in trace:
                patch["data"][index][key][len(trace[key]) - 1] = trace[key][-1]
    return found | {name: {"figure": patch.to_plotly_json()} for name, patch in patches.items()}


app_changes = sections.changes
WAYS = {"traces": app_changes, "figures": whole_figures, "tail": tail_alone, "idle": app_changes}


@dataclass
class Cost:
    """What one poll costs: bytes each way without and with headers, main thread in ms."""

    down: float
    up: float
    down_body: float
    up_body: float
    main_ms: float


@contextmanager
def serving(way: str, directory: Path) -> Iterator[str]:
    """Serve the page with another way of telling what changed, on a thread of this process."""
    vars(app)["changes"] = WAYS[way]  # where its callback looks it up
    server: Any = create_server(app.make_app(directory).server, host="127.0.0.1", port=0)
    threading.Thread(target=server.run, daemon=True).start()
    yield f"http://127.0.0.1:{server.effective_port}"
    server.close()
    vars(app)["changes"] = app_changes


class Market:
    """Write 1000 bars of which the newest moves."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._bars, self._metrics = page_fixtures.market(1000)
        self._source = random.Random(2)  # noqa: S311
        self.tick()

    def tick(self) -> None:
        bar, metric, source = self._bars[-1], self._metrics[-1], self._source
        bar[4] = round(bar[4] + source.gauss(0, 3), 1)
        bar[2], bar[3], bar[5] = max(bar[2], bar[4]), min(bar[3], bar[4]), bar[5] + 0.01
        metric[4] = max(metric[3], min(metric[2], metric[4] + source.gauss(0, 0.01)))
        metric[12] += source.gauss(0, 0.1)
        page_fixtures.put(self._directory, "ohlc_data.json", self._bars)
        page_fixtures.put(self._directory, "metrics_data.json", self._metrics)
        page_fixtures.put(
            self._directory,
            "depth_data.json",
            page_fixtures.book(bar[4], seed=source.randint(0, 10**6)),
        )
        page_fixtures.put(
            self._directory, "status_data.json", page_fixtures.status(rows=source.randint(0, 10**6))
        )


def logged(driver: Any) -> list[dict[str, Any]]:
    return [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]


def main_thread_seconds(driver: Any) -> float:
    """Return the processor time of the page's main thread, which other load does not change."""
    metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    return float(next(m["value"] for m in metrics if m["name"] == "ThreadTime"))


def sizes(events: list[dict[str, Any]]) -> tuple[list[int], list[int], list[int], list[int]]:
    """Return bytes of (answers, requests, bodies of answers, bodies of requests)."""
    polls: dict[str, int] = {}
    request_heads: dict[str, int] = {}
    down: dict[str, int] = {}
    down_body: dict[str, int] = {}
    for event in events:
        method, given = event["method"], event["params"]
        key = given.get("requestId", "")
        if method == "Network.requestWillBeSent" and "update-component" in given["request"]["url"]:
            polls[key] = len(given["request"]["postData"])
        elif method == "Network.requestWillBeSentExtraInfo":
            lines = sum(len(k) + len(v) + 4 for k, v in given["headers"].items())
            request_heads[key] = lines + len("POST /_dash-update-component HTTP/1.1\r\n\r\n")
        elif method == "Network.loadingFinished":
            down[key] = int(given["encodedDataLength"])
        elif method == "Network.responseReceivedExtraInfo":
            down_body[key] = -len(given.get("headersText", ""))
    whole = [key for key in polls if key in down and key in request_heads]
    return (
        [down[key] for key in whole],
        [polls[key] + request_heads[key] for key in whole],
        [down[key] + down_body.get(key, 0) for key in whole],
        [polls[key] for key in whole],
    )


def measure(driver: Any, way: str, polls: int) -> Cost:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        live = Market(directory)
        if way == "idle":  # a running run would turn stale
            page_fixtures.put(directory, "status_data.json", page_fixtures.status(state="finished"))
        with serving(way, directory) as url:
            driver.get(url)
            browser.wait_for(driver, "document.querySelector('#badge')", "page", 30)
            time.sleep(2)
            driver.execute_cdp_cmd("Performance.enable", {})
            logged(driver)
            before, start = main_thread_seconds(driver), time.monotonic()
            while time.monotonic() - start < polls * 0.5:
                if way != "idle":
                    live.tick()
                time.sleep(0.5)
            used = main_thread_seconds(driver) - before
            down, up, down_body, up_body = sizes(logged(driver))
            driver.get("about:blank")
    mean = statistics.mean
    return Cost(mean(down), mean(up), mean(down_body), mean(up_body), used / len(down) * 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--polls", type=int, default=30, help="polls for each way and round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    with browser.chromium() as driver:
        results: dict[str, list[Cost]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way in WAYS:
                results[way].append(measure(driver, way, options.polls))
    print("way      answer B (body)      request B (body)   main thread ms, least of rounds")
    for way, costs in results.items():
        best = min(costs, key=lambda cost: cost.main_ms)
        spread = " ".join(f"{cost.main_ms:.0f}" for cost in costs)
        print(f"{way:8} {best.down:8,.0f} ({best.down_body:8,.0f})  {best.up:6,.0f} "
              f"({best.up_body:4,.0f})     {best.main_ms:6.1f}   (all: {spread})")  # fmt: skip


if __name__ == "__main__":
    main()
