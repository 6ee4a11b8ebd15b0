"""A run of more than a thousand bars in a real browser: all of them can be walked to."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import browser
import pytest
from bar_files import read_bars
from browser import wait_for, wait_until
from flow_browser import go, text, wait_for_text
from page_fixtures import page
from places import PROJECT
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import ActionChains, Chrome

from synthetic_market import NORMAL, write_recording

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not browser.available(), reason=browser.MISSING),
]

START = 1_749_427_200_000  # 2025-06-09
SECONDS = 1800
PLOT = "document.querySelector('#time .js-plotly-plot')"
PRICES = f"{PLOT}.data.find(trace => trace.uid === 'price')"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Half an hour in bars of a second."""
    data, files = tmp_path_factory.mktemp("data"), tmp_path_factory.mktemp("files")
    end = START + SECONDS * 1000
    write_recording(data / "BTC-USDT.db", "BTC-USDT", START, end, seed=3, density=NORMAL)
    command = [sys.executable, str(PROJECT / "main.py"), "BTC-USDT", "2025-06-09", "2025-06-10"]
    told = ["--data-dir", str(data), "--output-dir", str(files), "--window-seconds", "1"]
    subprocess.run([*command, *told, "--no-ui", "-q"], check=True, timeout=120)
    with page(files) as (url, _):
        yield url, files


def bars_in(files: Path, low: int, high: int) -> list[list[float]]:
    """Return time, open, high, low and close of the bars in `[low, high)`, in s after START."""
    bars = read_bars(files / "trade_bars.bin")[1]
    return [list(bar[:5]) for bar in bars if low <= (bar[0] - START) / 1000 < high]


def shown(driver: Chrome) -> list[list[float]]:
    found: list[list[float]] = driver.execute_script(
        f"const price = {PRICES}; return Array.from(price.x, (time, place) => "
        "[time, price.open[place], price.high[place], price.low[place], price.close[place]])"
    )
    return found


def open_bars(driver: Chrome, site: str) -> int:
    """Open the Bars view; return the first time shown, in s after START."""
    driver.get(site)
    wait_for(driver, f"{PLOT}?.data?.[0]?.x?.length > 900", "picture of the newest bars")
    wait_for(driver, "document.getElementById('range-words')", "place for words")
    return int((driver.execute_script(f"return {PRICES}.x[0]") - START) / 1000)


def pan(driver: Chrome, low: float, high: float) -> None:
    """Look at a time, in s after START."""
    driver.execute_script(
        f"window.Plotly.relayout({PLOT}, {{'xaxis.range': [arguments[0], arguments[1]]}})",
        START + low * 1000,
        START + high * 1000,
    )


def wait_for_bars_from(driver: Chrome, seconds: int) -> None:
    """Wait until bars are shown from a time on, or one soon after it."""
    wait_until(
        driver, lambda _: 0 <= (shown(driver)[0][0] - START) / 1000 - seconds < 10, "older bars"
    )


def test_bars_before_the_newest_thousand_are_there_when_one_looks_at_them(
    driver: Chrome, site: str, files: Path
) -> None:
    first = open_bars(driver, site)
    newest = shown(driver)
    assert first > 700
    pan(driver, 300, 500)
    wait_for_bars_from(driver, 200)
    assert shown(driver) == bars_in(files, 200, 600)
    total = len(bars_in(files, 0, SECONDS))
    words = text(driver, "#range-words")
    assert words.startswith(f"{len(bars_in(files, 200, 600)):,} of {total:,} bars, 2025-06-09 ")
    pan(driver, first + 100, first + 300)
    wait_for(driver, "document.getElementById('range-words').hidden", "no words")
    assert shown(driver) == newest


def test_more_than_can_be_drawn_are_joined_and_it_is_said(
    driver: Chrome, site: str, files: Path
) -> None:
    open_bars(driver, site)
    pan(driver, -100, SECONDS + 100)
    wait_for_bars_from(driver, 0)
    found, all_bars = shown(driver), bars_in(files, 0, SECONDS)
    assert "windows in each" in text(driver, "#range-words")
    assert len(found) <= 1000 < len(all_bars)
    assert max(bar[2] for bar in found) == max(bar[2] for bar in all_bars)
    assert (found[0][1], found[-1][4]) == (all_bars[0][1], all_bars[-1][4])


def test_a_poll_and_a_double_click(driver: Chrome, site: str, files: Path) -> None:
    open_bars(driver, site)
    newest = shown(driver)
    # By hand: what a script sets Plotly takes back with the next data.

    def has_older(_: Chrome) -> bool:
        return bool(shown(driver)[0][0] < newest[0][0])

    for _ in range(4):
        axis = driver.find_element("css selector", "#time .ewdrag")
        hand = ActionChains(driver, duration=60).move_to_element(axis).click_and_hold()
        hand.move_by_offset(axis.size["width"] // 4, 0).release().perform()
        with suppress(TimeoutException):  # a hand that holds while data comes has moved nothing
            wait_until(driver, has_older, "older bars", seconds=10)
            break
    assert has_older(driver)
    older = shown(driver)
    status = json.loads((files / "status_data.json").read_bytes())
    ohlc = json.loads((files / "ohlc_data.json").read_bytes())
    for name, content in (
        ("ohlc_data.json", [*ohlc[1:], [ohlc[-1][0] + 1000, *ohlc[-1][1:]]]),
        ("status_data.json", status | {"rows": status["rows"] + 1}),
    ):
        (files / "new").write_text(json.dumps(content))
        (files / "new").rename(files / name)
    try:
        wait_for_text(driver, "#foot", f"{status['rows'] + 1:,} book rows")
        assert shown(driver)[: len(older)] == older  # the newest may have joined it
        driver.execute_script(f"window.Plotly.relayout({PLOT}, {{'xaxis.autorange': true}})")
        wait_for(driver, f"{PRICES}.x[0] > {START + 700_000}", "the newest bars")
        assert shown(driver)[-2] == newest[-1]
    finally:
        (files / "new").write_text(json.dumps(ohlc))
        (files / "new").rename(files / "ohlc_data.json")


def test_the_flow_views_have_older_candles_and_the_strip_the_whole_run(
    driver: Chrome, site: str, files: Path
) -> None:
    total = len(bars_in(files, 0, SECONDS))
    go(driver, site, "view=footprint&from=2025-06-09T00:05:00.000Z&to=2025-06-09T00:08:20.000Z")
    seen = len(bars_in(files, 299, 500))
    wait_for_text(driver, ".flow-note", f"{seen} of {total:,} bars")
    strip = driver.find_element("id", "flow-strip")
    before = driver.execute_script("return location.hash")
    mouse = ActionChains(driver)
    mouse.move_to_element_with_offset(strip, -strip.size["width"] // 2 + 3, 0).click().perform()
    wait_for(driver, f"location.hash !== {before!r} && location.hash.includes('from=')", "jump")
    wait_for(driver, "/from=2025-06-0(8T23:5|9T00:0[0-1])/.test(location.hash)", "the first bars")


def test_what_reading_costs_is_behind_the_foot_line(driver: Chrome, site: str) -> None:
    open_bars(driver, site)
    assert text(driver, "#monitor-table") == ""
    driver.find_element("css selector", "#monitor summary").click()
    wait_for_text(driver, "#monitor-table", "ohlc_data.json, read")
    told: dict[str, Any] = driver.execute_async_script(
        "const done = arguments[0]; fetch('status').then(a => a.json()).then(done)"
    )
    assert told["run"]["files"]["trade_bars.bin"]["count"] >= 2
    assert "trade_bars.bin" in text(driver, "#monitor-table")
