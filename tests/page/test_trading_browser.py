"""A trading run on the page, in a real browser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import browser
import pytest
from browser import TIME, points, wait_for, wait_for_bars
from page_fixtures import START_MS, WINDOW_MS, put, put_run, trading
from selenium.webdriver import Chrome
from test_page_browser import SCREENS, check_fit
from test_page_interaction import at_bar, drag, ranges, time_range, update, wait_for_label
from trading_runs import report_in
from trading_runs import trading as trading_command

from page.wording import money, short
from synthetic_market import write_recording

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not browser.available(), reason=browser.MISSING),
]

NAME = "trading_data.json"
ZOOMED = f"{TIME}._fullLayout.xaxis.autorange === false"
WITH_RUN = f"{TIME}?.data?.[8]?.x.length > 0"
DOMAINS = (
    f"const l = {TIME}._fullLayout; return ['yaxis', 'yaxis3', 'yaxis4', 'yaxis5']"
    ".map(name => l[name].domain).concat([l.annotations.map(a => a.text)])"
)


@pytest.fixture(autouse=True)
def _no_run_is_left(files: Path) -> Any:
    yield
    (files / NAME).unlink(missing_ok=True)


def open_run(driver: Chrome, site: str, files: Path, count: int = 200, **changed: Any) -> None:
    """Open the page of a run of 200 bars with a trading run of `count` bars."""
    driver.get("about:blank")
    put_run(files, 200, state="finished", progress=1.0)
    put(files, NAME, trading(count // 5, **changed))
    driver.get(site)
    wait_for_bars(driver, 200)
    wait_for(driver, WITH_RUN, "fills")


def uids(driver: Chrome) -> dict[str, int]:
    return {name.split()[0]: count for name, count in points(driver).items()}


def test_fills_alerts_position_and_equity_are_drawn(driver: Chrome, site: str, files: Path) -> None:
    open_run(driver, site, files)
    drawn = uids(driver)
    assert (drawn["bought"], drawn["sold"], drawn["alerts"]) == (20, 20, 1)
    assert drawn["position"] == drawn["equity"] == drawn["realised"] == 200
    headings = driver.execute_script(DOMAINS)[-1]
    assert headings[2:4] == ["Position", "Equity · dotted: realised, after fees"]
    assert driver.find_element("id", "trading-badge").text == "finished"
    prices = [
        row.find_elements("css selector", "td")[0].text
        for row in driver.find_elements("css selector", ".orders tbody tr")
    ]
    assert prices == ["105,100.5", "bid 104,999.9 · ask 105,000.0", "104,900.5", "104,800.0"]


def test_a_mark_stands_over_the_candle_of_its_window(
    driver: Chrome, site: str, files: Path
) -> None:
    open_run(driver, site, files, 20)
    drag(driver, 0.01, 0.08)
    wait_for(driver, ZOOMED, "zoom")
    script = (
        "const all = (selector) => [...document.querySelectorAll(`#time ${selector}`)]"
        ".map(path => path.getBoundingClientRect()).map(b => [b.left, b.right]);"
        "return [all('.boxlayer .box'), all('.xy .scatterlayer .point')]"
    )

    def is_drawn_so(_: Chrome) -> bool:
        candles, marks = driver.execute_script(script)
        middles = [(left + right) / 2 for left, right in marks]
        return len(marks) == 4 and all(
            any(left <= x <= right for left, right in candles) for x in middles
        )

    browser.wait_until(driver, is_drawn_so, "marks over candles")


def test_pointing_at_a_bar_tells_of_its_fills_alerts_and_equity(
    driver: Chrome, site: str, files: Path
) -> None:
    open_run(driver, site, files)
    price = trading()["fills"][5]["price"]
    fill = f"Fills : 00:25:45.000 sell 0.01 at {price:,.1f}maker · rebate 0.1 · levels"
    wait_for_label(driver, 25, fill, "Position : 0.01", "Equity : 12.50", "Realised : 3.13")
    wait_for_label(driver, 7, "Alerts : 00:07:00 watcher: sell: break at support", "00:07:00 UTC")
    wait_for_label(driver, 27, "Price", "2025-06-09 00:27:00 UTC", "Equity : 13.50")
    label = at_bar(driver, 27)
    assert "Fills" not in label
    assert "Alerts" not in label


def test_a_run_that_comes_and_goes_leaves_the_zoom_and_the_page_as_they_were(
    driver: Chrome, site: str, files: Path
) -> None:
    driver.get("about:blank")
    put_run(files, 200)
    driver.get(site)
    wait_for_bars(driver, 200)
    before = driver.execute_script(DOMAINS)
    drag(driver, 0.3, 0.6)
    wait_for(driver, ZOOMED, "zoom")
    zoomed = time_range(driver)
    put(files, NAME, trading(30))
    wait_for(driver, WITH_RUN, "fills")
    assert time_range(driver) == zoomed
    assert driver.execute_script(DOMAINS) != before
    put(files, NAME, trading(31))
    wait_for(driver, f"{TIME}.data[8].x.length === 16", "one more fill")
    assert time_range(driver) == zoomed
    (files / NAME).unlink()
    wait_for(driver, f"{TIME}.data[8].x.length === 0", "end of the trading run")
    assert driver.execute_script(DOMAINS) == before
    assert time_range(driver) == zoomed
    assert driver.find_elements("css selector", "#trading *") == []
    assert driver.execute_script("return document.querySelector('#trading').offsetHeight") == 0


def test_position_and_equity_fit_what_is_visible(driver: Chrome, site: str, files: Path) -> None:
    open_run(driver, site, files)
    drag(driver, 0.3, 0.6)
    wait_for(driver, ZOOMED, "zoom")

    def fits(_: Chrome) -> bool:
        low, high = ranges(driver)["xaxis"]
        bars = [n for n in range(200) if low <= START_MS + n * WINDOW_MS <= high]
        bottom, top = driver.execute_script(f"return {TIME}._fullLayout.yaxis8.range")
        # Equity is half of the bar's number, the realised profit after fees an eighth.
        return bool(bottom < bars[0] / 8 < bars[-1] / 2 < top < bars[-1] / 2 * 1.2)

    browser.wait_until(driver, fits, "equity that fits")
    update(files, driver, 201)
    plot = driver.find_element("css selector", "#time .nsewdrag")
    browser.double_click(
        driver, plot, f"{TIME}._fullLayout.yaxis8.autorange === true", "all of equity"
    )


def test_a_hidden_curve_and_a_zoom_survive_a_reload(driver: Chrome, site: str, files: Path) -> None:
    open_run(driver, site, files)
    toggles = driver.find_elements("css selector", "#time .traces")
    next(one for one in toggles if one.text == "Bought").find_element(
        "css selector", ".legendtoggle"
    ).click()
    hidden = f"{TIME}._fullData.find(t => t.uid === 'bought').visible === 'legendonly'"
    wait_for(driver, hidden, "hidden marks")
    drag(driver, 0.3, 0.6)
    wait_for(driver, ZOOMED, "zoom")
    zoomed = ranges(driver)["xaxis"]
    driver.refresh()
    wait_for_bars(driver, 200)
    wait_for(driver, f"{WITH_RUN} && {ZOOMED} && {hidden}", "view of before")
    assert ranges(driver)["xaxis"] == pytest.approx(zoomed, abs=1)


def test_the_run_of_another_market_is_not_shown(driver: Chrome, site: str, files: Path) -> None:
    open_run(driver, site, files)
    put_run(files, 60, instrument="ETH-USDT")
    wait_for_bars(driver, 60)
    wait_for(driver, f"{TIME}.data[8].x.length === 0", "end of the trading run")
    assert driver.find_elements("css selector", "#trading *") == []


def test_a_torn_file_leaves_the_last_run(driver: Chrome, site: str, files: Path) -> None:
    open_run(driver, site, files)
    put(files, NAME, json.dumps(trading(10))[:-20])
    wait_for(driver, f"document.querySelector('#notes').textContent.includes('{NAME}')", "note")
    assert uids(driver)["bought"] == 20
    put(files, NAME, trading(20))
    wait_for(driver, f"{TIME}.data[8].x.length === 10", "the next good file")
    wait_for(driver, "document.querySelector('#notes').textContent === ''", "end of the note")


def crowded(files: Path) -> None:
    """A long run with all that a panel can have, and names as long as they may be."""
    put_run(files, 1000, state="finished", progress=1.0)
    run = trading(200, fill_count=54_321, rejected=1_234, open_count=456, alert_count=789)
    run |= {"strategies": ["levels", "a_strategy_of_a_long_name_" * 3], "position": -1234.56789}
    run |= {"equity": -12_345_678.9, "realised": 9_876_543.21, "fees": 123_456.78}
    run["rejected_reason"] = "position limit: 1234567.891 of 1000000 reached by an order"
    run["alerts"] = [
        {"time_ms": START_MS + n * 7_000_000, "strategy": "watcher", "text": f"look {n} " * 20}
        for n in range(8)
    ]
    run["open_orders"] = [
        {"order": n, "side": side, "price": 105_000.05 + n, "remaining": 1234.5678,
         "strategy": "a_strategy_of_a_long_name"}
        for n in range(1, 30) for side in ("buy", "sell")
    ]  # fmt: skip
    put(files, NAME, run)


def plain(files: Path) -> None:
    """A run as most are."""
    put_run(files, 1000)
    put(files, NAME, trading(200, state="running"))


def just_begun(files: Path) -> None:
    """A run before its first event."""
    put_run(files, 200)
    told = trading(state="running", fills=[], curve=[], alerts=[], open_orders=[])
    told |= dict.fromkeys(("fill_count", "open_count", "alert_count"), 0)
    put(files, NAME, told)


@pytest.mark.parametrize("screen", SCREENS)
def test_a_run_fits_its_screen(
    driver: Chrome, site: str, files: Path, screen: str, request: Any
) -> None:
    put_run(files, 50)
    driver.get(site)
    try:
        for write in (just_begun, plain, crowded):
            write(files)
            drawn = json.loads((files / "ohlc_data.json").read_bytes())
            wait_for_bars(driver, len(drawn))
            told = json.loads((files / NAME).read_bytes())
            bought = sum(fill["side"] == "buy" for fill in told["fills"])
            wait_for(driver, f"{TIME}.data[8]?.x.length === {bought}", "fills")
            panel = "document.querySelector('#trading').textContent"
            said = [told["state"], f"Fills{told['fill_count']:,}"]
            wait_for(driver, f"{json.dumps(said)}.every(t => {panel}.includes(t))", "figures")
            check_fit(driver, screen, request, f"trading-{write.__name__}")
    finally:
        browser.resize(driver, *SCREENS["wide"])


def test_a_run_of_strategies_is_shown_with_its_bars(driver: Chrome, site: str, files: Path) -> None:
    driver.get("about:blank")
    recordings = files / "recordings"
    recordings.mkdir()
    write_recording(recordings / "BTC-USDT.db", "BTC-USDT", START_MS, START_MS + 480_000)
    levels = "support-resistance"
    settings = ("--set", "bar_seconds=2", "--set", "min_strength=1")
    done = trading_command(
        "run", "BTC-USDT", "2025-06-09", "2025-06-10", "--data-dir", recordings,
        "--output-dir", files, "--window-seconds", "2", "--no-ui", "--strategy", levels,
        "--strategy", f"watcher={levels}", "--set", "watcher.alert_only=true", *settings,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    driver.get(site)
    wait_for(driver, WITH_RUN, "fills")
    report = report_in(files)
    found, drawn = report["statistics"], uids(driver)
    assert drawn["bought"] + drawn["sold"] == found["fills"] > 10
    assert drawn["alerts"] > 10
    assert drawn["equity"] > 100
    assert driver.find_element("css selector", ".strategies").text == f"{levels}, watcher"
    figures = driver.find_element("css selector", ".trading-figures").text
    for figure in (short(found["position"]), money(found["equity"]), money(found["realised"])):
        assert figure in figures
