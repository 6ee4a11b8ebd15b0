"""The page in a real browser: skipped, saying so, where Chromium or its driver is missing."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import browser
import pytest
from browser import TIME, badge, console, points, wait_for, wait_for_bars
from page_fixtures import book, grow_older, market, page, put, put_run, status
from places import PROJECT, REAL_DATA
from selenium.webdriver import Chrome

from synthetic_market import write_recording

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not browser.available(), reason=browser.MISSING),
]

RECORDINGS = REAL_DATA
REAL = RECORDINGS / "binance_usdm_btcusdt_20240718.db"
START = 1_749_427_200_000


def replay(output: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start main.py on a real recording, or on a synthetic one where there is none here."""
    if REAL.exists():
        what = ["BTC-USDT-SWAP", "2024-07-18", "2024-07-20", "--data-dir", str(RECORDINGS)]
    else:
        recording = output / "recordings" / "BTC-USDT-25-06-09.db"
        recording.parent.mkdir(exist_ok=True)
        if not recording.exists():
            write_recording(recording, "BTC-USDT", START, START + 480_000)
        what = ["BTC-USDT", "2025-06-09", "2025-06-10", "--data-dir", str(recording.parent)]
    command = [sys.executable, str(PROJECT / "main.py"), *what, "--window-seconds", "2", "--no-ui"]
    return subprocess.Popen([*command, "-q", "--output-dir", str(output), *options])


def test_a_recording_is_drawn_complete(driver: Chrome, site: str, files: Path) -> None:
    assert replay(files).wait(60) == 0
    written = {name: json.loads((files / f"{name}_data.json").read_bytes())
               for name in ("ohlc", "metrics", "depth", "status")}  # fmt: skip
    driver.get(site)
    badge(driver, "finished")
    wait_for_bars(driver, len(written["ohlc"]))
    assert points(driver) == {
        "price candlestick": len(written["ohlc"]),
        "volume bar": len(written["ohlc"]),
        "room scatter": 1,
        "last scatter": 2,
        "obi candlestick": len(written["metrics"]),
        "cvd scatter": len(written["metrics"]),
        "issues bar": 0,
        "shade scatter": 0,
        "bids scatter": len(written["depth"]["bids"]),
        "asks scatter": len(written["depth"]["asks"]),
        "mid scatter": 2,
    }
    assert driver.find_element("css selector", "h1").text == written["status"]["instrument"]
    last = driver.find_element("id", "last").text.replace(",", "")
    assert float(last) == written["ohlc"][-1][4]
    assert driver.title.startswith(f"{written['status']['instrument']} 20")


def test_nothing_comes_from_another_host(driver: Chrome, site: str, files: Path) -> None:
    put_run(files, 20)
    driver.get_log("performance")  # type: ignore[no-untyped-call]
    driver.get(site)
    wait_for_bars(driver, 20)
    asked = requests(driver)
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith((f"{site}/", "data:", "blob:"))] == []


def requests(driver: Chrome) -> list[str]:
    entries = driver.get_log("performance")  # type: ignore[no-untyped-call]
    messages = [json.loads(entry["message"])["message"] for entry in entries]
    return [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]


def test_a_torn_file_leaves_the_last_picture(driver: Chrome, site: str, files: Path) -> None:
    put_run(files, 100)
    driver.get(site)
    wait_for_bars(driver, 100)
    put(files, "ohlc_data.json", json.dumps(market(150)[0])[:-500])
    wait_for(driver, "document.querySelector('#notes').textContent.includes('ohlc_data')", "note")
    assert points(driver)["price candlestick"] == 100
    put_run(files, 150)
    wait_for_bars(driver, 150)
    wait_for(driver, "document.querySelector('#notes').textContent === ''", "end of the note")


def test_a_killed_writer_is_seen_within_six_seconds(driver: Chrome, site: str, files: Path) -> None:
    writer = replay(files, "--speed", "20")
    try:
        driver.get(site)
        badge(driver, "running")
        wait_for(driver, f"{TIME}?.data?.[0]?.x?.length > 0", "first bar")
    finally:
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    badge(driver, "stale", 6)


def test_two_tabs_are_both_complete(driver: Chrome, site: str, files: Path) -> None:
    put_run(files, 100)
    driver.get(site)
    wait_for_bars(driver, 100)
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    driver.get(site)
    wait_for_bars(driver, 100)
    second = points(driver)
    put_run(files, 120)
    wait_for_bars(driver, 120)
    driver.close()
    driver.switch_to.window(first)
    wait_for_bars(driver, 120)
    bars = ("price candlestick", "volume bar", "obi candlestick", "cvd scatter")
    assert second == points(driver) | dict.fromkeys(bars, 100)


def test_a_page_that_outlives_its_server_says_so_and_comes_back(
    driver: Chrome, tmp_path: Path
) -> None:
    put_run(tmp_path, 30)
    with page(tmp_path) as (url, _):
        driver.get(url)
        wait_for_bars(driver, 30)
    wait_for(driver, "document.querySelector('#lost')", "word about the lost server")
    put_run(tmp_path, 31)
    with page(tmp_path, port=int(url.rpartition(":")[2])):
        wait_for(driver, "!document.querySelector('#lost')", "end of that word")
        wait_for_bars(driver, 31)
        driver.get("about:blank")


def no_files(_: Path) -> None:
    pass


def running(directory: Path) -> None:
    put_run(directory, 1000)


def first_rows(directory: Path) -> None:
    put_run(directory, 0, progress=0.0)


def finished(directory: Path) -> None:
    put_run(directory, 1000, state="finished", progress=1.0)


def stopped(directory: Path) -> None:
    put_run(directory, 200, state="stopped", reason="Ctrl+C")


def failed(directory: Path) -> None:
    reason = "BTC-USDT-25-06-09.db is cut short: read up to 2025-06-09 14:21:07, row 553,118"
    put_run(directory, 700, state="failed", reason=reason, counts={"rows_skipped": 3, "gaps": 2})


def stale(directory: Path) -> None:
    put_run(directory, 1000)
    grow_older(directory / "status_data.json", 30)


def unreadable(directory: Path) -> None:
    for name in ("ohlc_data.json", "metrics_data.json", "depth_data.json", "status_data.json"):
        put(directory, name, "<html>not what it should be</html>")


def another_writer(directory: Path) -> None:
    bars, metrics = market(400)
    put(directory, "ohlc_data.json", bars)
    put(directory, "metrics_data.json", [bar[:5] for bar in metrics])
    put(directory, "depth_data.json", book(bars[-1][4], 10))


def doubtful(directory: Path) -> None:
    counts = status()["counts"] | dict.fromkeys(status()["counts"], 123_456)
    put_run(directory, 1000, instrument="BTC-USD-SWAP-LONG-250627", counts=counts, reliable=False)


# A server that has never read a good file is needed for these; the others follow one another.
FRESH: list[tuple[Callable[[Path], None], str]] = [
    (no_files, "no data yet"),
    (unreadable, "unreadable"),
    (another_writer, "no run status"),
]
LATER: list[tuple[Callable[[Path], None], str]] = [
    (first_rows, "running"),
    (running, "running"),
    (finished, "finished"),
    (stopped, "stopped"),
    (failed, "failed"),
    (stale, "stale"),
    (doubtful, "running"),
]
SCREENS = {"wide": (1440, 900), "phone": (390, 844)}
# What stands out of the window's right edge, and is not inside something that clips.
OVERHANG = """return [...document.querySelectorAll('#page *')].filter(e =>
    !e.closest('svg') && !e.closest('.ladder') && e.getBoundingClientRect().right > innerWidth + 0.5
).map(e => e.outerHTML.slice(0, 120))"""
SIZES = """return {wide: document.documentElement.scrollWidth - innerWidth,
    high: document.documentElement.scrollHeight - innerHeight}"""


@pytest.mark.parametrize(("write", "label"), FRESH, ids=[write.__name__ for write, _ in FRESH])
def test_a_fresh_page_fits_its_screen(
    driver: Chrome, tmp_path: Path, write: Callable[[Path], None], label: str, request: Any
) -> None:
    write(tmp_path)
    console(driver)
    with page(tmp_path) as (url, _):
        driver.get(url)
        badge(driver, label)
        try:
            for screen in SCREENS:
                check_fit(driver, screen, request, write.__name__)
        finally:
            browser.resize(driver, *SCREENS["wide"])
        assert console(driver) == []
        driver.get("about:blank")


@pytest.mark.parametrize("screen", SCREENS)
def test_every_state_fits_its_screen(
    driver: Chrome, site: str, files: Path, screen: str, request: Any
) -> None:
    put_run(files, 50)
    driver.get(site)
    try:
        for write, label in LATER:
            write(files)
            badge(driver, label)
            drawn = json.loads((files / "ohlc_data.json").read_bytes())
            wait_for_bars(driver, len(drawn))
            check_fit(driver, screen, request, write.__name__)
    finally:
        browser.resize(driver, *SCREENS["wide"])


def check_fit(driver: Chrome, screen: str, request: Any, name: str) -> None:
    """Check that nothing is cut off, and on the wide screen that nothing scrolls."""
    browser.resize(driver, *SCREENS[screen])
    box = "document.querySelector('#time').getBoundingClientRect()"
    wait_for(
        driver,
        f"Math.abs({TIME}?._fullLayout?.width - {box}.width) < 2"
        f" && Math.abs({TIME}._fullLayout.height - {box}.height) < 2",
        "chart of that size",
    )
    sizes = driver.execute_script(SIZES)
    assert sizes["wide"] == 0, name
    assert screen == "phone" or sizes["high"] == 0, name
    assert driver.execute_script(OVERHANG) == [], name
    keep_picture(driver, request, f"{name}-{screen}")


def keep_picture(driver: Chrome, request: Any, name: str) -> None:
    """Save a picture of the whole page where --page-pictures names a directory."""
    directory = request.config.getoption("--page-pictures")
    if directory:
        options = {"captureBeyondViewport": True, "fromSurface": True}
        shot = driver.execute_cdp_cmd("Page.captureScreenshot", options)
        target = Path(directory) / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(base64.b64decode(shot["data"]))
