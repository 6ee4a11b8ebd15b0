"""The order-flow views in a real browser, on the real recording of the sketch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import browser
import flow_browser
import pytest
from browser import wait_for, wait_until
from flow_browser import (
    MOMENT,
    choose,
    click_at,
    drag,
    drawn,
    go,
    move_to,
    place_of,
    press,
    ranges,
    rows,
    text,
    wait_for_drawn,
    wait_for_text,
)
from page_fixtures import page
from places import PROJECT, REAL_DATA
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.keys import Keys

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not browser.available(), reason=browser.MISSING),
    pytest.mark.skipif(not flow_browser.RECORDING.exists(), reason=flow_browser.MISSING),
]

MINUS = "\N{MINUS SIGN}"
LONG_PRICES = REAL_DATA / "okx_v5_202202.db"
AT = 1_723_161_590_000
END = 1_723_161_905_809


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    directory = tmp_path_factory.mktemp("files")
    flow_browser.replay(directory)
    with page(directory) as (url, _):
        yield url, directory


@pytest.fixture(autouse=True)
def _forget(driver: Chrome, site: str) -> Iterator[None]:
    """Let the next test find the page as a first visit does."""
    yield
    if driver.current_url.startswith(site):
        driver.execute_script("localStorage.clear()")


def exact(driver: Chrome) -> None:
    """Wait until the book is the server's, and no longer read off the heatmap."""
    wait_until(driver, lambda _: text(driver, ".book .list-head").startswith("Book at"), "book", 40)


# --- what is shown ---


def test_bars_are_shown_until_another_view_is_chosen(driver: Chrome, site: str) -> None:
    driver.get(site)
    browser.wait_for_bars(driver, 44)
    wait_for(driver, "!document.getElementById('views').hidden", "views to choose from")
    assert driver.execute_script("return document.getElementById('flow').hidden")
    driver.find_element("id", "view-both").click()
    wait_for(driver, "document.getElementById('flow-under').dataset.drawn", "picture")
    wait_for(driver, "location.hash.includes('view=both')", "fragment")
    driver.get("about:blank")
    driver.get(site)  # the next visit
    wait_for(driver, "document.getElementById('flow-under')?.dataset.drawn", "picture")
    driver.find_element("id", "view-bars").click()
    browser.wait_for_bars(driver, 44)
    assert driver.execute_script("return document.querySelector('#time').clientWidth") > 900


@pytest.mark.parametrize(
    ("view", "heat", "foot"), [("heatmap", 1, 0), ("footprint", 0, 1), ("both", 1, 1)]
)
def test_each_view_has_its_panels(
    driver: Chrome, site: str, view: str, heat: int, foot: int
) -> None:
    go(driver, site, f"view={view}")
    wait_until(driver, lambda _: not heat or drawn(driver)["ring"] == 250, "heatmap")
    wait_until(driver, lambda _: not foot or drawn(driver)["texts"] > 50, "footprint")
    assert (drawn(driver)["texts"] > 0) == bool(foot)
    assert len(rows(driver, ".book")) > 10
    assert len(rows(driver, ".sales")) > 10
    assert text(driver, "#flow-last") == "2,677.61"
    low, high = ranges(driver)["time"]
    assert low < END < high  # the newest is in view, with a margin right of it


def test_what_the_heatmap_paints_is_what_rested(driver: Chrome, site: str) -> None:
    """The largest size of a column is the brightest of its pixels."""
    go(driver, site, "view=heatmap&columns=1000&vwap=off&dots=1000000")
    wait_for_drawn(driver, "columns of a second", ring=1000)
    driver.execute_script("return new Promise(done => setTimeout(done, 400))")
    seen = driver.execute_script(
        "const canvas = document.getElementById('flow-under');"
        "const box = canvas.getContext('2d').getImageData(200, 100, 500, 400).data;"
        "const found = new Set();"
        "for (let i = 0; i < box.length; i += 4) found.add(`${box[i]},${box[i+1]},${box[i+2]}`);"
        "return found.size"
    )
    assert seen > 50


def test_the_moment_of_the_sketch(driver: Chrome, site: str) -> None:
    go(driver, site, f"view=both&at={MOMENT}")
    exact(driver)
    asks, bids = rows(driver, ".asks"), rows(driver, ".bids")
    assert asks[-1] == ["2,683.70", "7.3159", "7.316"]
    assert asks[-2] == ["2,683.72", "0.0360", "7.352"]
    assert bids[:2] == [["2,683.69", "3.5467", "3.547"], ["2,683.66", "0.0020", "3.549"]]
    assert text(driver, ".book .middle") == "mid 2,683.695 · spread 0.01 (0.04 bp)"
    head = {name: text(driver, f"#flow-{name}") for name in ("last", "delta", "cvd", "cursor")}
    assert head == {
        "last": "2,683.70",
        "delta": f"{MINUS}477",
        "cvd": f"{MINUS}349",
        "cursor": "2024-08-08 23:59:50",
    }
    trades = [row for row in rows(driver, ".sales") if len(row) == 3]
    assert trades[0] == ["23:59:49.689", "2,683.70", "8\N{MULTIPLICATION SIGN} 7.0150"]
    assert "5 min 16 s behind" in text(driver, "#behind")
    move_to(driver, *place_of(driver, AT - 2000, "yaxis2"))
    wait_for_text(driver, ".hover", "volume 562")
    assert f"delta {MINUS}487 ({MINUS}501 … +4.2) · CVD {MINUS}359" in text(driver, ".hover")


def test_the_heatmap_says_what_rests_under_the_pointer(driver: Chrome, site: str) -> None:
    go(driver, site, "view=heatmap")
    move_to(driver, *place_of(driver, END - 60_000, "yaxis", 0.3))
    wait_for_text(driver, ".hover", "best 2,6")
    words = text(driver, ".hover")
    assert "asks" in words or "bids" in words or "nothing rests" in words


# --- controls ---


def test_columns_and_rows_can_be_chosen(driver: Chrome, site: str) -> None:
    go(driver, site, "view=both")
    for value, ring in (("1000", 1000), ("4000", 4000), ("64000", 64_000), ("0", 250)):
        choose(driver, "columns", value)
        wait_for_drawn(driver, f"columns of {ring} ms", ring=ring)
    choose(driver, "rows", "1")
    wait_for_drawn(driver, "rows of 1 USDT", row=1, group=100)
    wait_for(driver, "location.hash.includes('rows=1')", "rows in the fragment")


def test_contrast_and_dots_change_the_picture(driver: Chrome, site: str) -> None:
    go(driver, site, "view=heatmap")
    picture = "return document.getElementById('flow-under').toDataURL()"
    driver.execute_script("return new Promise(done => setTimeout(done, 500))")
    before = driver.execute_script(picture)
    choose(driver, "contrast", "90-99.9")
    wait_until(driver, lambda d: d.execute_script(picture) != before, "another contrast")
    least = drawn(driver)["leastDot"]
    choose(
        driver,
        "dots",
        driver.execute_script("return document.getElementById('dots').options[4].value"),
    )
    wait_until(driver, lambda _: drawn(driver)["leastDot"] > least, "fewer dots")


def test_keys_choose_views_and_time(driver: Chrome, site: str) -> None:
    go(driver, site, "view=both")
    for key, view in (("2", "heatmap"), ("3", "footprint"), ("4", "both")):
        press(driver, key)
        wait_for(driver, f"location.hash.includes('view={view}')", view)
    press(driver, "v")
    wait_for(driver, "location.hash.includes('vwap=off')", "no VWAP")
    press(driver, "z")
    wait_for(driver, "location.hash.includes('zone=local')", "local time")
    press(driver, "?")
    wait_for(driver, "document.querySelector('dialog[open]')", "list of keys")
    press(driver, Keys.ESCAPE)
    wait_for(driver, "!document.querySelector('dialog[open]')", "closed list")
    press(driver, "1")
    browser.wait_for_bars(driver, 44)


# --- time travel ---


def test_a_click_travels_and_escape_returns(driver: Chrome, site: str) -> None:
    go(driver, site, "view=both")
    click_at(driver, *place_of(driver, END - 60_000, "yaxis2"))
    wait_for(driver, "location.hash.includes('at=2024-08-09T00:04:0')", "moment")
    exact(driver)
    assert not driver.execute_script("return document.querySelector('.badge.travel').hidden")
    press(driver, Keys.ESCAPE)
    wait_for(driver, "!location.hash.includes('at=')", "return")
    wait_for_text(driver, ".book .list-head", "Book now")
    assert driver.execute_script("return document.querySelector('.badge.travel').hidden")


def test_arrows_step_by_book_rows_and_with_shift_by_bars(driver: Chrome, site: str) -> None:
    go(driver, site, f"view=both&at={MOMENT}")
    exact(driver)
    press(driver, Keys.ARROW_LEFT)
    wait_for_text(driver, ".book .list-head", "23:59:49.8")
    press(driver, Keys.ARROW_RIGHT)
    wait_for_text(driver, ".book .list-head", "23:59:49.9")
    press(driver, Keys.ARROW_RIGHT)
    wait_for_text(driver, ".book .list-head", "23:59:50.0")
    shifted = ActionChains(driver).key_down(Keys.SHIFT).send_keys(Keys.ARROW_LEFT)
    shifted.key_up(Keys.SHIFT).perform()
    wait_for_text(driver, ".book .list-head", "23:59:45.000")
    press(driver, Keys.HOME)
    wait_for_text(driver, "#flow-cursor", "23:54:15")


def test_a_reload_brings_view_and_moment_back(driver: Chrome, site: str) -> None:
    go(driver, site, "view=heatmap")
    click_at(driver, *place_of(driver, END - 100_000, "yaxis"))
    wait_for(driver, "location.hash.includes('at=')", "moment")
    driver.execute_script("return new Promise(done => setTimeout(done, 400))")
    before = driver.execute_script("return location.hash"), ranges(driver)["time"]
    driver.refresh()
    wait_for(driver, "document.getElementById('flow-under')?.dataset.drawn", "picture", 30)
    wait_until(
        driver, lambda _: ranges(driver)["time"] == pytest.approx(before[1], abs=1), "the same time"
    )
    assert driver.execute_script("return location.hash") == before[0]


def test_tabs_travel_each_alone(driver: Chrome, site: str) -> None:
    go(driver, site, f"view=both&at={MOMENT}")
    exact(driver)
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    go(driver, site, "view=both&at=2024-08-08T23:58:00.000Z")
    exact(driver)
    assert "23:58:00" in text(driver, ".book .list-head")
    driver.close()
    driver.switch_to.window(first)
    assert "23:59:50" in text(driver, ".book .list-head")


# --- hands ---


def wheel(driver: Chrome, x: int, y: int, turned: int, *, shift: bool = False) -> None:
    hands = ActionChains(driver)
    if shift:
        hands.key_down(Keys.SHIFT)
    hands.scroll_from_origin(ScrollOrigin.from_viewport(x, y), 0, turned)
    if shift:
        hands.key_up(Keys.SHIFT)
    hands.perform()


def test_the_wheel_zooms_time_and_with_shift_prices(driver: Chrome, site: str) -> None:
    go(driver, site, "view=both")
    before = ranges(driver)
    place = place_of(driver, END - 100_000, "yaxis", 0.5)
    wheel(driver, *place, -300)
    wait_until(driver, lambda _: span(ranges(driver)["time"]) < span(before["time"]) * 0.8, "zoom")
    heat = ranges(driver)["heat"]
    wheel(driver, *place, -300, shift=True)
    wait_until(driver, lambda _: span(ranges(driver)["heat"]) < span(heat) * 0.8, "zoomed prices")


def span(ends: list[float]) -> float:
    return ends[1] - ends[0]


def test_a_drag_moves_the_time_and_newest_returns(driver: Chrome, site: str) -> None:
    go(driver, site, "view=both")
    before = ranges(driver)["time"]
    x, y = place_of(driver, END - 100_000, "yaxis", 0.5)
    drag(driver, (x, y), (x + 300, y + 3))
    wait_until(driver, lambda _: ranges(driver)["time"][1] < before[1] - 10_000, "earlier time")
    assert span(ranges(driver)["time"]) == pytest.approx(span(before), rel=1e-6)
    wait_for_text(driver, "#behind", "behind")
    driver.find_element("id", "behind").click()
    wait_until(driver, lambda _: ranges(driver)["time"][1] > END, "the newest")


def test_a_double_click_shows_everything(driver: Chrome, site: str) -> None:
    go(driver, site, "view=both")
    x, y = place_of(driver, END - 100_000, "yaxis2", 0.9)
    mouse = ActionChains(driver, duration=20)
    mouse.w3c_actions.pointer_action.move_to_location(x, y)  # type: ignore[no-untyped-call]
    mouse.double_click().perform()
    wait_until(driver, lambda _: ranges(driver)["time"][0] < END - 650_000, "whole range")
    assert "at=" not in driver.execute_script("return location.hash")


def test_the_strip_moves_what_is_in_view(driver: Chrome, site: str) -> None:
    go(driver, site, "view=both")
    before = ranges(driver)["time"]
    strip = driver.execute_script(
        "const box = document.getElementById('flow-strip').getBoundingClientRect();"
        "return [box.x, box.y, box.width, box.height]"
    )
    middle = int(strip[1] + strip[3] / 2)
    click_at(driver, int(strip[0] + strip[2] * 0.3), middle)
    wait_until(driver, lambda _: ranges(driver)["time"][1] < before[1] - 100_000, "earlier time")
    moved = ranges(driver)["time"]
    at = int(strip[0] + strip[2] * 0.3)
    drag(driver, (at, middle), (at + 100, middle))
    wait_until(driver, lambda _: ranges(driver)["time"][0] > moved[0] + 20_000, "later time")


def test_a_picture_is_saved_under_the_name_of_its_moment(driver: Chrome, site: str) -> None:
    go(driver, site, f"view=both&at={MOMENT}")
    driver.execute_script(
        "HTMLAnchorElement.prototype.click = function () { window.saved = this.download; };"
        "const blob = HTMLCanvasElement.prototype.toBlob;"
        "HTMLCanvasElement.prototype.toBlob = function (...all) {"
        " window.size = [this.width, this.height]; blob.apply(this, all); }"
    )
    press(driver, "s")
    wait_for(driver, "window.saved", "picture")
    assert driver.execute_script("return window.saved") == ("ETH-USDT_2024-08-08_23_59_50_both.png")
    width, height = driver.execute_script("return window.size")
    assert width > 1000
    assert height > 600


CUT = """
const cut = [...document.querySelectorAll('.list .row span, .list .middle')]
    .filter(words => words.scrollWidth > words.clientWidth + 1);
const beside = [...document.querySelectorAll('#flow-plot .ytick text, #flow-plot .y2tick text')]
    .filter(label => label.getBoundingClientRect().right
        > document.getElementById('flow-plot').getBoundingClientRect().right + 1);
return [...cut, ...beside].map(element => element.textContent);
"""


@pytest.mark.skipif(not LONG_PRICES.exists(), reason=f"no {LONG_PRICES.name} beside the project")
def test_no_digit_of_a_price_of_11_decimals_is_cut(driver: Chrome, tmp_path: Path) -> None:
    what = ["ELON-USDT", "2022-02-27", "2022-02-28", "--data-dir", str(LONG_PRICES)]
    told = ["--window-seconds", "1", "--no-ui", "-q", "--output-dir", str(tmp_path)]
    run = [sys.executable, str(PROJECT / "main.py"), *what, *told]
    subprocess.run(run, check=True, timeout=120)
    with page(tmp_path) as (url, _):
        go(driver, url, "view=both")
        wait_until(driver, lambda _: len(rows(driver, ".book")) > 8, "ladder")
        wait_for(driver, "document.querySelectorAll('#flow-plot .y2tick text').length", "prices")
        asks = [row[0] for row in rows(driver, ".asks")]
        assert len(set(asks)) == len(asks)
        assert all(len(price) == len("0.00000074573") for price in asks)
        wait_until(driver, lambda _: not driver.execute_script(CUT), "room for every digit")
