"""The order-flow views while files change or are hostile; on a phone; with a run that obeys."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import browser
import flow_browser
import pytest
from browser import wait_for, wait_until
from flow_browser import (
    choose,
    drawn,
    go,
    move_to,
    place_of,
    press,
    ranges,
    rows,
    running,
    text,
    wait_for_text,
)
from flow_files import START_MS, WINDOW_MS, footprint, heatmap, put_bytes, put_flow, trades
from page_fixtures import Span, page, put, put_run, trading
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.keys import Keys

from orderflow.array_file import unpack
from orderflow.times import format_utc
from page.view import DASH
from page.wording import MINUS

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not browser.available(), reason=browser.MISSING),
]


@pytest.fixture(autouse=True)
def _anew(driver: Chrome, site: str, files: Path) -> Iterator[None]:
    """Begin with an empty directory and a browser that has not been here."""
    for path in files.iterdir():
        path.unlink()
    yield
    browser.resize(driver, 1440, 900)
    if driver.current_url.startswith(site):
        driver.execute_script("localStorage.clear()")


def put_all(
    files: Path, bars: int = 10, run: str = "one", issues: Iterable[Span] = (), **changed: Any
) -> None:
    """Write all files of a run of `bars` bars, whose CVD grows by 2 a bar."""
    put_run(files, bars, issues, event_time=START_MS + bars * WINDOW_MS, **changed)
    put(files, "metrics_data.json", [])
    put_flow(files, bars, run)


def newest(driver: Chrome) -> float:
    """Return the right end of the time in view."""
    return float(ranges(driver)["time"][1])


def test_a_page_without_these_files_is_the_bars_page(
    driver: Chrome, site: str, files: Path
) -> None:
    put_run(files, 30)
    driver.get(f"{site}/#view=both")
    browser.wait_for_bars(driver, 30)
    for name in ("views", "flow"):
        assert driver.execute_script(f"return document.getElementById('{name}').hidden")
    assert driver.execute_script("return document.querySelector('main').clientHeight") > 700
    put_flow(files, 30)
    wait_for(driver, "document.getElementById('flow-under')?.dataset.drawn", "picture")
    for path in files.glob("*.bin"):
        path.unlink()
    wait_for(driver, "document.getElementById('flow').hidden", "bars page")
    assert driver.execute_script("return document.querySelector('main').clientHeight") > 700


def test_what_is_new_costs_little_and_is_followed(driver: Chrome, site: str, files: Path) -> None:
    put_all(files, 10)
    go(driver, site, "view=both&columns=250")
    before = newest(driver)
    first = (START_MS + 600_000) // 250 - 1024
    driver.execute_script("performance.clearResourceTimings()")
    put_bytes(files, "heatmap_0.bin", heatmap(1024, first=first + 1))
    put_run(files, 11, event_time=START_MS + 11 * WINDOW_MS)
    put_bytes(files, "trades_data.bin", trades(660))
    put_bytes(files, "footprint_data.bin", footprint(11))
    wait_until(driver, lambda _: newest(driver) > before + 50_000, "the new bar in view")
    asked = driver.execute_script(
        "return performance.getEntriesByType('resource').filter(e => e.name.includes('/flow/'))"
        ".map(e => [e.name, e.encodedBodySize])"
    )
    sizes = {name.partition("/flow/")[2].partition("?")[0]: size for name, size in asked}
    assert 0 < sizes["heatmap_0"] < 3000
    assert 0 < sizes["trades"] < 3000
    assert all("after=" in name for name, _ in asked if "heatmap_0" in name or "trades" in name)


def test_a_view_that_was_moved_stays(driver: Chrome, site: str, files: Path) -> None:
    put_all(files, 100)
    go(driver, site, "view=both")
    box = flow_browser.box(driver, "yaxis")
    middle = (int(box[0] + box[2] / 2), int(box[1] + box[3] / 2))
    before = newest(driver)
    flow_browser.drag(driver, middle, (middle[0] + 350, middle[1]))
    wait_until(driver, lambda _: newest(driver) < before - 60_000, "earlier time")
    moved = ranges(driver)
    for bars in (101, 102, 103):
        put_all(files, bars)
        behind = (START_MS + bars * WINDOW_MS - moved["time"][1]) / 1000
        wait_for_text(driver, "#behind", f"{int(behind // 60)} min")
        assert ranges(driver)["time"] == moved["time"]
    press(driver, Keys.END)
    wait_until(driver, lambda _: newest(driver) > START_MS + 103 * WINDOW_MS, "the newest")


def test_the_next_run_takes_the_place_of_the_last(driver: Chrome, site: str, files: Path) -> None:
    put_all(files, 10)
    go(driver, site, "view=both")
    wait_for_text(driver, "#flow-cvd", "+20")
    put_all(files, 4, run="two", instrument="ETH-USDT")
    wait_for_text(driver, "#flow-cvd", "+8.0")
    assert text(driver, "h1") == "ETH-USDT"
    assert newest(driver) < START_MS + 6 * WINDOW_MS


# --- what is no market ---


def torn(files: Path) -> None:
    put_bytes(files, "footprint_data.bin", footprint(11)[:-100])


def foreign(files: Path) -> None:
    put_bytes(files, "footprint_data.bin", b"PK\x03\x04" + bytes(5000))


def of_another_schema(files: Path) -> None:
    raw = footprint(11).replace(b'"schema":1', b'"schema":2')
    put_bytes(files, "footprint_data.bin", raw)


def test_a_bad_file_leaves_the_last_picture_and_one_note(
    driver: Chrome, site: str, files: Path
) -> None:
    put_all(files, 10)
    go(driver, site, "view=both")
    for bars, harm in enumerate((torn, foreign, of_another_schema), 10):
        wait_for_text(driver, "#flow-cvd", f"+{2 * bars}")
        harm(files)
        wait_for_text(driver, "#notes", "footprint_data.bin cannot be used")
        assert text(driver, "#notes").count("footprint_data.bin") == 1
        assert text(driver, "#flow-cvd") == f"+{2 * bars}"
        assert drawn(driver)["texts"] > 0
        put_all(files, bars + 1)
        wait_for(driver, "document.querySelector('#notes').textContent === ''", "end of the note")


def with_numbers(raw: bytes, name: str, value: float) -> bytes:
    """Return a file in which the numbers of an array are all `value`."""
    header, arrays = unpack(raw)
    listed = next(entry for entry in header["arrays"] if entry["name"] == name)
    start = 8 + int.from_bytes(raw[4:8], "little") + listed["offset"]
    count = len(arrays[name].data) // 8
    return raw[:start] + struct.pack("<d", value) * count + raw[start + 8 * count :]


def test_numbers_that_no_market_has_are_refused_by_the_page(
    driver: Chrome, site: str, files: Path
) -> None:
    put_all(files, 10)
    go(driver, site, "view=both")
    for bars, (name, value, words) in enumerate(
        (
            ("open", float("nan"), "open holds NaN"),
            ("high", float("inf"), "high holds Infinity"),
            ("close", 1e300, "close holds 1e+300"),
            ("time", 1e18, "time holds 1000000000000000000"),
            ("cell_row", -1.0, "cell_row holds -1"),
            ("cell_buy", float("-inf"), "cell holds -Infinity"),
        ),
        10,
    ):
        wait_for_text(driver, "#flow-cvd", f"+{2 * bars}")
        assert driver.execute_script("return document.querySelector('.flow-note').hidden")
        raw = footprint(bars + 1)
        put_bytes(files, "footprint_data.bin", with_numbers(raw, name, value))
        wait_for_text(driver, ".flow-note", words)
        assert text(driver, ".flow-note").startswith("footprint: ")
        assert "the last good picture stays" in text(driver, ".flow-note")
        assert text(driver, "#flow-cvd") == f"+{2 * bars}"
        put_all(files, bars + 1)


def test_a_heatmap_with_impossible_rows_is_refused(driver: Chrome, site: str, files: Path) -> None:
    put_all(files, 10)
    go(driver, site, "view=heatmap&columns=250")
    first = (START_MS + 600_000) // 250 - 1024
    noted = "!document.querySelector('.flow-note').hidden"
    for later, (name, value) in enumerate(
        (("row", 0.0), ("row", float("nan")), ("low", 1e40), ("bid", -5.0)), 1
    ):
        put_bytes(
            files, "heatmap_0.bin", with_numbers(heatmap(1024, first=first + later), name, value)
        )
        wait_for(driver, noted, "note")
        assert "heatmap_0: " in text(driver, ".flow-note")
        assert drawn(driver)["ring"] == 250
        put_all(files, 10)
        wait_for(driver, f"!({noted})", "end of the note")


# --- data issues ---


def test_data_issues_are_told_on_the_time_axis(driver: Chrome, site: str, files: Path) -> None:
    at = START_MS + 400_000
    put_all(files, 10, issues=[("sequence_gaps", at, at + 30_000, 3)])
    go(driver, site, "view=both")
    x, _ = place_of(driver, at + 15_000, "yaxis")
    bottom = driver.execute_script(
        "const box = document.getElementById('flow-chart').getBoundingClientRect();"
        "return box.y + box.height"
    )

    def told(_: Any) -> bool:
        move_to(driver, x, int(bottom - 34))
        return "sequence gaps: 3 · 00:06:40 to 00:07:10" in text(driver, ".hover")

    wait_until(driver, told, "words about the gap")


# --- a phone ---


def test_a_phone_has_everything_in_one_column(driver: Chrome, site: str, files: Path) -> None:
    browser.resize(driver, 390, 844, mobile=True)
    put_all(files, 10)
    go(driver, site, "view=both")
    assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
    assert len(rows(driver, ".asks")) == 10
    assert driver.execute_script("return document.querySelector('.choices').offsetParent === null")
    driver.execute_script("document.getElementById('more').click()")
    assert driver.execute_script("return document.querySelector('.choices').offsetParent !== null")


def touch(driver: Chrome, kind: str, *points: tuple[float, float]) -> None:
    found = [{"x": x, "y": y} for x, y in points]
    driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": found})


def test_two_fingers_zoom_and_a_tap_travels(driver: Chrome, site: str, files: Path) -> None:
    browser.resize(driver, 390, 844, mobile=True)
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        put_all(files, 10)
        go(driver, site, "view=both")
        left, top, width, height = flow_browser.box(driver, "yaxis")
        y = top + height / 2
        before = ranges(driver)["time"]
        touch(driver, "touchStart", (left + width * 0.4, y), (left + width * 0.6, y))
        touch(driver, "touchMove", (left + width * 0.3, y), (left + width * 0.7, y))
        touch(driver, "touchEnd")
        wait_until(
            driver,
            lambda _: (
                ranges(driver)["time"][1] - ranges(driver)["time"][0]
                < (before[1] - before[0]) * 0.7
            ),
            "zoom",
        )
        touch(driver, "touchStart", (left + width * 0.5, y))
        touch(driver, "touchEnd")
        wait_for(driver, "location.hash.includes('at=')", "moment")
    finally:
        driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})


# --- a trading run ---


def test_fills_and_alerts_are_told_where_they_were(driver: Chrome, site: str, files: Path) -> None:
    at = START_MS + 400_000
    fill = {"order": 1, "time_ms": at, "side": "buy", "price": 105_400.0, "qty": 0.25}
    fill |= {"maker": True, "fee": -0.5, "strategy": "levels"}
    alert = {"time_ms": at + 60_000, "strategy": "watcher", "text": "<b>wall</b> at 105400"}
    put_all(files, 10)
    put(files, "trading_data.json", trading(fills=[fill], alerts=[alert], event_time=at))
    go(driver, site, "view=footprint")

    def of_fill() -> tuple[int, int]:
        _, top, _, height = flow_browser.box(driver, "yaxis2")
        low, high = ranges(driver)["foot"]
        y = top + (high - 105_400.0) / (high - low) * height
        return place_of(driver, at, "yaxis2")[0], int(y)

    def of_alert() -> tuple[int, int]:
        _, top, _, height = flow_browser.box(driver, "yaxis2")
        return place_of(driver, at + 60_000, "yaxis2")[0], int(top + height - 8)

    filled, said = "▲ bought 0.25 at 105,400.0 · maker · rebate 0.5 · levels", "◆ 00:07:40 watcher"
    wait_until(driver, lambda _: filled in told_at(driver, of_fill()), "fill")
    alerted = f"{said}: <b>wall</b> at 105400"
    wait_until(driver, lambda _: alerted in told_at(driver, of_alert()), "alert")
    (files / "trading_data.json").unlink()
    wait_until(driver, lambda _: said not in told_at(driver, of_alert()), "end of the trading run")


def told_at(driver: Chrome, place: tuple[int, int]) -> str:
    """Return what the page says where the mouse has just come to."""
    move_to(driver, place[0], place[1] - 60)
    move_to(driver, *place)
    return text(driver, ".hover")


# --- runs that begin, several runs ---


def test_a_run_that_begins_under_an_open_page_is_drawn(
    driver: Chrome, site: str, files: Path
) -> None:
    put_all(files, 1)
    for level in range(5):
        put_bytes(files, f"heatmap_{level}.bin", heatmap(0, first=0, level=level))
    go(driver, site, "view=both")
    wait_until(driver, lambda _: drawn(driver)["ring"] == 0, "no heatmap")
    put_all(files, 10)
    wait_until(driver, lambda _: drawn(driver)["ring"] > 0, "heatmap")
    assert driver.execute_script("return document.querySelector('.flow-note').hidden")


def test_a_run_without_events_says_so(driver: Chrome, site: str, files: Path) -> None:
    put_run(files, 0, event_time=None)
    put_bytes(files, "footprint_data.bin", footprint(0, session=None))
    put_bytes(files, "trades_data.bin", trades(0))
    for level in range(5):
        put_bytes(files, f"heatmap_{level}.bin", heatmap(0, first=0, level=level))
    driver.get(f"{site}/#view=both")
    wait_for_text(driver, ".flow-hint", "Nothing to draw yet")
    assert text(driver, "#flow-cursor") == DASH


def test_runs_are_chosen_in_the_head_line_and_sizes_are_in_currency(
    driver: Chrome, tmp_path: Path
) -> None:
    for name, bars, instrument in (("one", 10, "ETH-USDT"), ("two", 30, "BTC-USDT-SWAP")):
        (tmp_path / name).mkdir()
        put_all(tmp_path / name, bars, instrument=instrument)
    more = ("--output-dir", str(tmp_path / "two"), "--contract-value", "BTC-USDT-SWAP=0.01")
    with page(tmp_path / "one", *more) as (url, _):
        go(driver, url, "view=both&at=2025-06-09T00:05:00.000Z")
        choice = "#run option:checked"
        wait_for_text(driver, choice, "ETH-USDT · one · running")
        choose(driver, "run", "/run/2/")
        wait_for(driver, "location.pathname === '/run/2/'", "second run")
        wait_for_text(driver, "#flow-cvd", "+.60")
        wait_for_text(driver, choice, "BTC-USDT-SWAP · two · running")
        assert driver.execute_script("return location.hash").startswith("#view=both")
        assert "at=" not in driver.execute_script("return location.hash")
        wait_until(driver, lambda _: drawn(driver)["scale"] == 1000, "cells in 0.001 BTC")
        assert browser.console(driver) == []
        driver.get("about:blank")


def test_pure_modules_say_what_they_promise(driver: Chrome, site: str, files: Path) -> None:
    put_all(files, 1)
    driver.get(site)
    found = driver.execute_async_script(
        "const done = arguments[0];"
        "Promise.all([import('/assets/flow/times.mjs'), import('/assets/flow/numbers.mjs')])"
        ".then(([{ readTime }, { told, cellScale }]) => {"
        " const near = Date.UTC(2024, 7, 8, 23, 59, 50);"
        " const times = ['2024-08-09 00:03:00.250', '00:03', '23:58:01', 'now', '2024-08-09', '']"
        "   .map(words => readTime(words, 'utc', near));"
        " done([times.map(ms => Number.isNaN(ms) ? null : new Date(ms).toISOString()),"
        "   [-487, 3, 0.5, -0.0123, 0, 0.00002].map(told),"
        "   [[0.3, 1], [0.002, 0.01], [0.00001, 0.00002], []].map(cellScale)]);"
        "});"
    )
    assert found == [
        ["2024-08-09T00:03:00.250Z", "2024-08-09T00:03:00.000Z", "2024-08-08T23:58:01.000Z"]
        + [None] * 3,
        [f"{MINUS}487", "+3.0", "+.50", f"{MINUS}.012", "0", "+.000020"],
        [1, 1000, 1_000_000, 1],
    ]


def test_the_session_of_another_moment_is_another(driver: Chrome, site: str, files: Path) -> None:
    put_all(files, 1)
    driver.get(site)
    found = driver.execute_async_script(
        "const done = arguments[0];"
        "import('/assets/flow/model.mjs').then(({ sessionAt }) => {"
        " const bar = (time, size) => ({ time, cells:"
        "   { rows: [1], sold: [size], bought: [0], other: [], group: 1, poc: 0 } });"
        " const footprint = { bars: [bar(0, 2), bar(60000, 3)], windowMs: 60000, rowPrice: 1 };"
        " const sold = time => [...(sessionAt({ footprint }, time)?.profile.sold ?? [])];"
        " done([59999, 119999, 59999, 119999, 30000].map(sold));"
        "});"
    )
    assert found == [[2], [5], [2], [5], []]


# --- what stays ---


def wheel(driver: Chrome, x: int, y: int, turned: int) -> None:
    origin = ScrollOrigin.from_viewport(x, y)
    ActionChains(driver).scroll_from_origin(origin, 0, turned).perform()


def kept(driver: Chrome) -> tuple[Any, ...]:
    """Return what the reader has set: time, prices, contrast, moment."""
    hold = "return [document.getElementById('contrast').value, "
    hold += "new URLSearchParams(location.hash.slice(1)).get('at')]"
    seen = ranges(driver)
    return seen["time"], seen["heat"], *driver.execute_script(hold)


@pytest.mark.parametrize("updates", [5, pytest.param(20, marks=pytest.mark.slow)])
def test_what_was_set_survives_updates_a_new_server_and_a_reload(
    driver: Chrome, tmp_path: Path, updates: int
) -> None:
    put_all(tmp_path, 100)
    with page(tmp_path) as (url, _):
        port = int(url.rpartition(":")[2])
        go(driver, url, "view=both")
        left, top, width, height = flow_browser.box(driver, "yaxis")
        middle = (int(left + width / 2), int(top + height / 2))
        wheel(driver, *middle, -200)
        flow_browser.drag(driver, middle, (middle[0] + 250, middle[1]))
        axis = int(left + width + 200)
        flow_browser.drag(driver, (axis, middle[1]), (axis, middle[1] + 40))
        choose(driver, "contrast", "75-99.9")
        flow_browser.click_at(driver, *middle)
        wait_for(driver, "location.hash.includes('&at=')", "moment")
        wait_for(driver, "location.hash.includes('heat=')", "prices")
        before = kept(driver)
        for bars in range(101, 101 + updates):
            put_all(tmp_path, bars)
            wait_for_text(driver, "#behind", f"{duration_of(driver, bars)} behind")
        assert kept(driver) == before
    wait_for(driver, "document.getElementById('lost')", "words that the server is gone")
    with page(tmp_path, port=port):
        wait_for(driver, "!document.getElementById('lost')", "new server", 60)
        put_all(tmp_path, 121)
        wait_for_text(driver, "#behind", f"{duration_of(driver, 121)} behind")
        assert kept(driver) == before
        driver.refresh()
        wait_for(driver, "document.getElementById('flow-under')?.dataset.drawn", "picture", 30)
        wait_for_text(driver, "#behind", f"{duration_of(driver, 121)} behind")
        wait_until(driver, lambda _: about_equal(kept(driver), before), "the same view")
        browser.console(driver)
        driver.get("about:blank")


def duration_of(driver: Chrome, bars: int) -> str:
    """Return how far the moment is behind the newest of a run of `bars` bars, in whole hours."""
    at = driver.execute_script(
        "return Date.parse(new URLSearchParams(location.hash.slice(1)).get('at'))"
    )
    minutes, seconds = divmod(round((START_MS + bars * WINDOW_MS - at) / 1000), 60)
    if minutes < 60:
        return f"{minutes} min" + (f" {seconds} s" if seconds else "")
    hours, rest = divmod(round(minutes + seconds / 60), 60)
    return f"{hours} h" + (f" {rest} min" if rest else "")


def about_equal(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    """Compare two views; a fragment holds whole ms."""
    return (
        one[0] == pytest.approx(other[0], abs=1)
        and one[1] == pytest.approx(other[1], rel=1e-9)
        and one[2:] == other[2:]
    )


@pytest.mark.slow
def test_a_drag_moves_time_and_leaves_prices_fifty_times(
    driver: Chrome, site: str, files: Path
) -> None:
    put_all(files, 200)
    for number in range(50):
        go(driver, site, "view=both")
        before = ranges(driver)
        left, top, width, height = flow_browser.box(driver, "yaxis")
        start = (int(left + width / 2), int(top + height / 2))
        flow_browser.drag(driver, start, (start[0] + 200 + number, start[1] + 5))
        wait_until(driver, lambda _: ranges(driver)["time"] != before["time"], "moved time")  # noqa: B023
        per_pixel = (before["time"][1] - before["time"][0]) / width
        moved = before["time"][1] - (200 + number) * per_pixel
        # A hand's first pixels are not yet a drag.
        wait_until(
            driver,
            lambda _: abs(ranges(driver)["time"][1] - moved) < 12 * per_pixel,  # noqa: B023
            f"time of drag {number}",
        )
        dragged = ranges(driver)
        for bars in (201 + number, 202 + number):
            put_all(files, bars)
        wait_for_text(driver, "#behind", "min")
        assert ranges(driver) == dragged


# --- a run that obeys ---


@pytest.mark.skipif(not flow_browser.RECORDING.exists(), reason=flow_browser.MISSING)
def test_pause_speed_and_seek_are_shared_by_all_tabs(driver: Chrome, tmp_path: Path) -> None:
    with running(tmp_path, "--speed", "4"), page(tmp_path) as (url, _):
        driver.get(f"{url}/#view=both")
        wait_for(driver, "document.getElementById('flow-under')?.dataset.drawn", "picture", 40)
        wait_for(driver, "!document.getElementById('pause').disabled", "run that obeys")
        first = driver.current_window_handle
        driver.switch_to.new_window("tab")
        driver.get(f"{url}/#view=both")
        wait_for(driver, "document.getElementById('pause')?.disabled === false", "second tab", 40)
        driver.find_element("id", "pause").click()
        paused = "document.getElementById('pause').getAttribute('aria-pressed') === 'true'"
        wait_for(driver, paused, "pause")
        status = json.loads((tmp_path / "status_data.json").read_bytes())
        assert status["paused"] is True
        driver.close()
        driver.switch_to.window(first)
        wait_for(driver, paused, "pause seen in the first tab")
        press(driver, "+")
        wait_for(driver, "document.getElementById('speed').value === '8'", "twice the speed")
        press(driver, " ")
        wait_for(driver, f"!({paused})", "going on")
        press(driver, " ")
        wait_for(driver, paused, "pause again")
        driver.switch_to.new_window("tab")
        driver.get(f"{url}/#view=heatmap")
        wait_for(driver, "document.getElementById('seek')?.hidden === false", "second tab", 40)
        for when, seconds in (("00:01:00", 60), ("2024-08-08 23:56:30.500", -209.5)):
            press(driver, "g")
            wait_for(driver, "document.querySelector('#seek-dialog[open]')", "dialog")
            field = driver.find_element("id", "seek-time")
            field.clear()
            field.send_keys(when + Keys.ENTER)
            sought = MIDNIGHT + int(seconds * 1000)
            wait_until(driver, lambda _: sought - 1000 < at_time(tmp_path) <= sought, when)  # noqa: B023
            driver.switch_to.window(first)  # which only watches
            clocks = [format_utc(sought - late) for late in (0, 1000)]  # of the event before it
            wait_until(driver, lambda _: text(driver, "#flow-cursor") in clocks, when)  # noqa: B023
            driver.switch_to.window(driver.window_handles[-1])
        press(driver, "g")
        wait_for(driver, "document.querySelector('#seek-dialog[open]')", "dialog")
        driver.find_element("id", "seek-time").send_keys("yesterday" + Keys.ENTER)
        wait_for_text(driver, ".problem", "That is no time")
        driver.close()
        driver.switch_to.window(first)
        assert browser.console(driver) == []
        driver.get("about:blank")


MIDNIGHT = 1_723_161_600_000


def at_time(directory: Path) -> int:
    """Return the time of the last event that the run has come to."""
    return int(json.loads((directory / "status_data.json").read_bytes())["event_time"] or 0)
