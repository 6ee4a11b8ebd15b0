"""Zoom, hover, touch and names of the page, in a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import browser
import pytest
from browser import DEPTH, TIME, wait_for, wait_for_bars
from page_fixtures import START_MS, WINDOW_MS, market, put, put_run
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not browser.available(), reason=browser.MISSING),
]


def update(directory: Path, driver: Chrome, count: int) -> None:
    """Write the files of `count` bars and wait until they are drawn."""
    put_run(directory, count)
    wait_for_bars(driver, count)


def drag(driver: Chrome, start: float, end: float) -> None:
    """Drag over the price panel, from and to these shares of its width."""
    box = driver.execute_script(
        "const box = document.querySelector('#time .nsewdrag[data-subplot=xy]')"
        ".getBoundingClientRect(); return [box.x, box.y, box.width, box.height]"
    )
    x, y, width, height = box
    mouse = ActionChains(driver, duration=50)
    pointer: Any = mouse.w3c_actions.pointer_action
    pointer.move_to_location(int(x + start * width), int(y + height / 3))
    mouse.click_and_hold()
    pointer.move_to_location(int(x + end * width), int(y + height / 3 + 4))
    mouse.release().perform()


def time_range(driver: Chrome) -> list[str]:
    found: list[str] = driver.execute_script(f"return {TIME}._fullLayout.xaxis.range.map(String)")
    return found


def test_a_zoom_stays_while_data_flows(driver: Chrome, site: str, files: Path) -> None:
    put_run(files, 100)
    driver.get(site)
    wait_for_bars(driver, 100)
    whole = time_range(driver)
    drag(driver, 0.3, 0.6)
    wait_for(driver, f"{TIME}._fullLayout.xaxis.autorange === false", "zoom")
    zoomed = time_range(driver)
    assert whole[0] < zoomed[0] < zoomed[1] < whole[1]
    for count in (101, 102, 103):
        update(files, driver, count)
        assert time_range(driver) == zoomed
    plot = driver.find_element("css selector", "#time .nsewdrag")
    all_seen = f"{TIME}._fullLayout.xaxis.autorange === true"
    browser.double_click(driver, plot, all_seen, "reset by a double click")
    update(files, driver, 140)
    assert time_range(driver)[1] > whole[1]  # it follows the newest bar again


def test_the_next_run_is_seen_whole(driver: Chrome, site: str, files: Path) -> None:
    put_run(files, 100)
    driver.get(site)
    wait_for_bars(driver, 100)
    drag(driver, 0.3, 0.6)
    wait_for(driver, f"{TIME}._fullLayout.xaxis.autorange === false", "zoom")
    put_run(files, 60, instrument="ETH-USDT")
    wait_for_bars(driver, 60)
    wait_for(driver, f"{TIME}._fullLayout.xaxis.autorange === true", "whole new run")


def test_a_hidden_trace_stays_hidden(driver: Chrome, site: str, files: Path) -> None:
    put_run(files, 100)
    driver.get(site)
    wait_for_bars(driver, 100)
    toggles: list[WebElement] = driver.find_elements("css selector", "#time .legendtoggle")
    toggles[1].click()
    hidden = f"{TIME}._fullData[1].visible === 'legendonly'"
    wait_for(driver, hidden, "hidden volume")
    for count in (101, 102, 103):
        update(files, driver, count)
        assert driver.execute_script(f"return {hidden}")
    assert driver.execute_script(f"return {TIME}._fullData[0].visible") is True


def test_hovering_shows_one_instant_of_every_panel(driver: Chrome, site: str, files: Path) -> None:
    put_run(files, 100)
    driver.get(site)
    wait_for_bars(driver, 100)
    plot = driver.find_element("css selector", "#time .nsewdrag[data-subplot=xy]")
    ActionChains(driver).move_to_element(plot).perform()
    text = wait_for(driver, "document.querySelector('#time .hoverlayer')?.textContent", "hover")
    moment = re.search(r"2025-06-09 (\d\d):(\d\d):00 UTC", text)
    assert moment is not None
    index = int(moment[1]) * 60 + int(moment[2])
    bar, metric = market(100)[0][index], market(100)[1][index]
    assert f"O {bar[1]:,.1f}  H {bar[2]:,.1f}  L {bar[3]:,.1f}  C {bar[4]:,.1f}" in plain(text)
    assert f"Volume : {bar[5]:g}" in plain(text)
    assert f"O {metric[1]:+.4f}  H {metric[2]:+.4f}" in plain(text)
    assert f"CVD : {metric[12]:+,.4f}".rstrip("0") in plain(text)


def plain(text: str) -> str:
    """Return Plotly's text with the usual minus and spaces."""
    return text.replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ")


PANEL = "#time .nsewdrag[data-subplot=xy]"
ZOOMED = f"{TIME}._fullLayout.xaxis.autorange === false"


def open_page(driver: Chrome, site: str, files: Path, count: int = 300, **changed: Any) -> None:
    driver.get("about:blank")
    put_run(files, count, **changed)
    driver.get(site)
    wait_for_bars(driver, count)
    wait_for(driver, "document.title.startsWith('BTC')", "name of the tab")


def wheel(driver: Chrome, element: str, turns: int = 3, key: str = "") -> None:
    """Turn the wheel over the middle of an element, towards what is pointed at."""
    origin = ScrollOrigin.from_element(driver.find_element("css selector", element))
    for _ in range(turns):
        actions = ActionChains(driver)
        if key:
            actions.key_down(key)
        actions.scroll_from_origin(origin, 0, -300)
        if key:
            actions.key_up(key)
        actions.perform()


def ranges(driver: Chrome, plot: str = TIME) -> dict[str, list[float]]:
    found: dict[str, list[float]] = driver.execute_script(
        f"const l = {plot}._fullLayout; return Object.fromEntries(['xaxis', 'yaxis', 'yaxis2',"
        " 'yaxis3', 'yaxis4'].filter(a => l[a]).map(a => [a, l[a].range.map(l[a].r2l)]))"
    )
    return found


def fitted(driver: Chrome) -> bool:
    """Return whether prices, volume and CVD have the ranges of what is visible of the time."""
    shown = ranges(driver)
    low, high = shown["xaxis"]
    bars, metrics = market(driver.execute_script(f"return {TIME}.data[0].x.length"))
    seen = [bar for bar in bars if low <= bar[0] <= high]
    prices = min(bar[3] for bar in seen), max(bar[2] for bar in seen)
    flows = [metric[12] for metric in metrics if low - WINDOW_MS <= metric[0] <= high + WINDOW_MS]
    volume = max(bar[5] for bar in seen)
    return (
        is_around(shown["yaxis"], prices)
        and is_around(shown["yaxis4"], (min(flows), max(flows)))
        and shown["yaxis2"] == pytest.approx([0, volume * 3.3])
    )


def is_around(shown: list[float], extent: tuple[float, float]) -> bool:
    room = (extent[1] - extent[0]) * 0.06
    return extent[0] - room <= shown[0] <= extent[0] <= extent[1] <= shown[1] <= extent[1] + room


def wait_until_fitted(driver: Chrome) -> None:
    browser.wait_until(driver, fitted, "prices and CVD that fit what is seen")


def test_prices_volume_and_cvd_fit_what_is_visible(driver: Chrome, site: str, files: Path) -> None:
    open_page(driver, site, files)
    drag(driver, 0.3, 0.6)
    wait_for(driver, ZOOMED, "zoom")
    wait_until_fitted(driver)
    zoomed = ranges(driver)
    update(files, driver, 310)
    assert ranges(driver) == zoomed


def test_values_that_the_user_zooms_stay(driver: Chrome, site: str, files: Path) -> None:
    open_page(driver, site, files)
    wheel(driver, PANEL, key=Keys.SHIFT)
    wait_for(driver, f"{TIME}._fullLayout.yaxis.autorange === false", "zoom of the prices")
    mine = ranges(driver)["yaxis"]
    assert driver.execute_script(f"return {TIME}._fullLayout.xaxis.autorange")
    drag(driver, 0.3, 0.6)
    wait_for(driver, ZOOMED, "zoom")
    update(files, driver, 310)
    assert ranges(driver)["yaxis"] == mine
    plot = driver.find_element("css selector", PANEL)
    whole = f"{TIME}._fullLayout.yaxis.autorange === true"
    browser.double_click(driver, plot, whole, "reset of the prices")
    drag(driver, 0.3, 0.6)
    wait_for(driver, ZOOMED, "zoom")
    wait_until_fitted(driver)


def test_moving_along_in_time_does_not_hold_the_prices(
    driver: Chrome, site: str, files: Path
) -> None:
    open_page(driver, site, files)
    drag(driver, 0.3, 0.6)
    wait_for(driver, ZOOMED, "zoom")
    wait_until_fitted(driver)
    before = ranges(driver)["xaxis"]
    button = driver.find_element("css selector", '#time .modebar-btn[data-title="Pan"]')
    ActionChains(driver).move_to_element(button).click().perform()
    drag(driver, 0.5, 0.7)  # and four pixels down, as a hand does
    browser.wait_until(driver, lambda _: ranges(driver)["xaxis"][0] < before[0] - 60_000, "move")
    wait_until_fitted(driver)


def test_the_wheel_zooms_time_around_the_pointer(driver: Chrome, site: str, files: Path) -> None:
    open_page(driver, site, files)
    low, high = ranges(driver)["xaxis"]
    wheel(driver, PANEL)
    wait_for(driver, ZOOMED, "zoom")
    wait_until_fitted(driver)
    now = ranges(driver)["xaxis"]
    assert low < now[0] < now[1] < high
    assert sum(now) / 2 == pytest.approx((low + high) / 2, abs=(high - low) / 100)


def test_the_wheel_zooms_the_depth_to_what_is_near(driver: Chrome, site: str, files: Path) -> None:
    open_page(driver, site, files)
    whole = ranges(driver, DEPTH)
    wheel(driver, "#depth .nsewdrag", 5)
    wait_for(driver, f"{DEPTH}._fullLayout.xaxis.autorange === false", "zoom")
    wait_for(driver, f"{DEPTH}._fullLayout.yaxis.range[1] < {whole['yaxis'][1]} * 0.9", "sizes")
    assert ranges(driver, DEPTH)["yaxis"][0] == 0


def test_zoom_and_hidden_traces_survive_a_reload(driver: Chrome, site: str, files: Path) -> None:
    open_page(driver, site, files)
    drag(driver, 0.3, 0.6)
    wait_for(driver, ZOOMED, "zoom")
    driver.find_elements("css selector", "#time .legendtoggle")[1].click()
    hidden = f"{TIME}._fullData.find(t => t.uid === 'volume').visible === 'legendonly'"
    wait_for(driver, hidden, "hidden volume")
    zoomed = ranges(driver)["xaxis"]
    driver.refresh()
    wait_for_bars(driver, 300)
    wait_for(driver, f"{ZOOMED} && {hidden}", "view of before")
    for count in (301, 302):
        update(files, driver, count)
        assert ranges(driver)["xaxis"] == pytest.approx(zoomed, abs=1)
        assert driver.execute_script(f"return {hidden}")
    wait_for(driver, f"{TIME}._fullLayout.yaxis.autorange === false", "fitted prices")


def test_another_run_is_seen_whole_after_a_reload(driver: Chrome, site: str, files: Path) -> None:
    open_page(driver, site, files)
    drag(driver, 0.3, 0.6)
    wait_for(driver, ZOOMED, "zoom")
    put_run(files, 200, instrument="BTC-USDC")
    driver.refresh()
    wait_for_bars(driver, 200)
    wait_for(driver, "document.title.startsWith('BTC-USDC')", "name of the new run")
    assert driver.execute_script(f"return {TIME}._fullLayout.xaxis.autorange")


def at_bar(driver: Chrome, index: int) -> str:
    """Point at a bar in the price panel and return what the label says."""
    x, y = driver.execute_script(
        f"const l = {TIME}._fullLayout, b = document.querySelector('{PANEL}')"
        f".getBoundingClientRect(); return [b.x + l.xaxis.r2p({START_MS + index * WINDOW_MS}),"
        " b.y + b.height / 2]"
    )
    pointer: Any = ActionChains(driver).w3c_actions
    pointer.pointer_action.move_to_location(int(x) - 3, int(y) - 3)
    pointer.pointer_action.move_to_location(round(x), int(y))
    pointer.perform()
    browser.pause(0.3)
    script = "return document.querySelector('#time .hoverlayer')?.textContent ?? ''"
    return plain(driver.execute_script(script))


def wait_for_label(driver: Chrome, index: int, *words: str) -> None:
    """Point at a bar until its label has all of `words`: a redraw takes it away for a while."""
    said = f"label of bar {index} with {words}"
    browser.wait_until(driver, lambda _: all(w in at_bar(driver, index) for w in words), said)


def minutes(start: float, end: float, kind: str, count: int = 1) -> tuple[str, int, int, int]:
    first, last = (START_MS + int(minute * WINDOW_MS) for minute in (start, end))
    return kind, first, last, count


def test_pointing_at_a_bar_says_what_happened_to_its_data(
    driver: Chrome, site: str, files: Path
) -> None:
    issues = [minutes(20.1, 30.2, "silences"), minutes(60, 60, "crossed_books", 12)]
    issues.append(minutes(80, 82, "repeated_trades", 7))
    open_page(driver, site, files, 100, issues=issues)
    wait_for(driver, f"{TIME}.data.find(t => t.uid === 'issues')?.x.length", "marks")
    span = "00:20:06 to 00:30:12 · 10 min 6 s"
    wait_for_label(driver, 25, f"Data issues : silences of the book: 1 · {span}")
    wait_for_label(driver, 60, "crossed books: 12 · 01:00:00")
    wait_for_label(driver, 81, "repeated trades: 7 · 01:20:00 to 01:22:00")
    wait_for_label(driver, 50, "Price", "Volume", "OBI", "CVD", "2025-06-09 00:50:00 UTC")
    assert "Data issues" not in at_bar(driver, 50)


def test_what_happened_at_two_bars_is_said_at_these_alone(
    driver: Chrome, site: str, files: Path
) -> None:
    issues = [minutes(minute, minute, "crossed_books") for minute in (20, 80)]
    open_page(driver, site, files, 100, issues=issues)
    wait_for_label(driver, 20, "crossed books: 1 · 00:20:00")
    wait_for_label(driver, 80, "crossed books: 1 · 01:20:00")
    for beside in (19, 21, 50, 79, 81):
        wait_for_label(driver, beside, "Price", f"0{beside // 60}:{beside % 60:02}:00 UTC")
        assert "Data issues" not in at_bar(driver, beside)


def test_pointing_into_a_silence_says_that_it_is_one(
    driver: Chrome, site: str, files: Path
) -> None:
    open_page(driver, site, files, 100)
    bars, metrics = ([bar for n, bar in enumerate(b) if not 40 <= n < 60] for b in market(100))
    put(files, "ohlc_data.json", bars)
    put(files, "metrics_data.json", metrics)
    kind, start, end, count = minutes(40, 59.9, "silences")
    spans = [{"kind": kind, "start": start, "end": end, "count": count}]
    put(files, "data_issues.json", {"schema": 1, "issues": spans})
    wait_for(driver, f"{TIME}.data.find(t => t.uid === 'issues')?.x.length === 20", "marks")
    wait_for_bars(driver, 80)
    silence = "silences of the book: 1 · 00:40:00 to 00:59:54"
    wait_for_label(driver, 50, "2025-06-09 00:50:00 UTC", silence)


def test_a_moment_can_be_seen_among_a_thousand_bars(driver: Chrome, site: str, files: Path) -> None:
    issues = [minutes(500, 500, "crossed_books"), minutes(700, 700, "repeated_rows")]
    open_page(driver, site, files, 1000, issues=issues)
    marks = wait_for(
        driver,
        "(marks => marks.length === 2 && marks)([...document.querySelectorAll("
        "'#time .xy5 .barlayer .point path')].map(path => [path.getBoundingClientRect().width"
        " + parseFloat(getComputedStyle(path).strokeWidth),"
        " path.getBoundingClientRect().height, getComputedStyle(path).fill])"
        ".filter(([, height]) => height))",
        "two marks",
    )
    assert [fill for _, _, fill in marks] == ["rgb(255, 155, 61)", "rgb(91, 102, 117)"]
    for width, height, _ in marks:
        assert (width >= 1.5, height >= 6) == (True, True)
    driver.find_elements("css selector", "#time .legendtoggle")[-1].click()
    wait_for(driver, "!document.querySelector('#time .xy5 .barlayer .point')", "hidden marks")


def test_a_thousand_bars_and_thousands_of_issues_are_drawn(
    driver: Chrome, site: str, files: Path
) -> None:
    kinds = ("silences", "repeated_rows", "late_rows")
    issues = [minutes(n / 3, n / 3 + 20, kinds[n % 3]) for n in range(3000)]
    open_page(driver, site, files, 1000, issues=issues)
    wait_for(driver, f"{TIME}.data.find(t => t.uid === 'issues')?.x.length === 1000", "marks")
    wait_for_label(driver, 500, " · 20 min", "and 59 more")


def test_no_grid_is_drawn_through_the_candles(driver: Chrome, site: str, files: Path) -> None:
    open_page(driver, site, files)
    lines = wait_for(
        driver,
        "(lines => lines.length && lines)([...document.querySelectorAll('#time .gridlayer path')]"
        ".map(path => path.getBoundingClientRect()).filter(box => box.height > box.width)"
        ".filter(box => { const p = document.querySelector("
        f"'{PANEL}').getBoundingClientRect(); const y = p.y + 0.9 * p.height;"
        " return box.top < y && y < box.bottom; }).map(box => Math.round(box.x)))",
        "lines of the grid",
    )
    assert len(lines) == len(set(lines))


def test_tab_and_picture_are_named_for_instrument_and_range(
    driver: Chrome, site: str, files: Path, tmp_path: Path
) -> None:
    open_page(driver, site, files)
    assert driver.title == "BTC-USDT 2025-06-09 to 2025-06-10"
    options = {"behavior": "allow", "downloadPath": str(tmp_path)}
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", options)
    button = driver.find_element("css selector", '#time .modebar-btn[data-title^="Download"]')
    ActionChains(driver).move_to_element(button).click().perform()
    browser.wait_until(driver, lambda _: list(tmp_path.glob("*.png")), "saved picture")
    names = [path.name for path in tmp_path.glob("*.png")]
    assert names == ["BTC-USDT_2025-06-09_to_2025-06-10_time.png"]


@pytest.fixture
def phone(driver: Chrome, site: str, files: Path) -> Any:
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    browser.resize(driver, 390, 844, mobile=True)
    open_page(driver, site, files)
    yield driver
    driver.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
    browser.resize(driver, 1440, 900)


def touch(driver: Chrome, kind: str, *points: tuple[float, float]) -> None:
    at = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})


@pytest.mark.parametrize("chart", ["time", "depth"])
def test_a_finger_scrolls_the_page_over_the_charts(phone: Chrome, chart: str) -> None:
    whole = ranges(phone, TIME), ranges(phone, DEPTH)
    phone.execute_script(f"document.getElementById('{chart}').scrollIntoView()")
    before = phone.execute_script("return scrollY")
    touch(phone, "touchStart", (180, 260))
    for step in range(1, 11):
        touch(phone, "touchMove", (180, 260 - 20 * step))
    touch(phone, "touchEnd")
    wait_for(phone, f"scrollY > {before} + 100", "scrolled page")
    assert (ranges(phone, TIME), ranges(phone, DEPTH)) == whole


def test_a_tap_shows_the_values_there(phone: Chrome) -> None:
    touch(phone, "touchStart", (180, 400))
    touch(phone, "touchEnd")
    wait_for(phone, "document.querySelector('#time .hoverlayer')?.textContent", "values")


def test_two_fingers_zoom_time(phone: Chrome) -> None:
    low, high = ranges(phone)["xaxis"]
    touch(phone, "touchStart", (150, 400), (200, 400))
    for step in range(1, 6):
        touch(phone, "touchMove", (150 - 16 * step, 400), (200 + 16 * step, 400))
    touch(phone, "touchEnd")
    wait_for(phone, ZOOMED, "zoom")
    wait_until_fitted(phone)
    now = ranges(phone)["xaxis"]
    assert low < now[0] < now[1] < high
    assert (now[1] - now[0]) / (high - low) == pytest.approx(50 / 210, rel=0.1)
