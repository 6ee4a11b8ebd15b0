"""The metrics that a run was asked for, under the charts of the page, in a real browser."""

from __future__ import annotations

from pathlib import Path

import browser
import pytest
from browser import TIME, wait_for, wait_for_bars
from metric_files import CANDLES, NAME, described, put_metrics
from page_fixtures import put_run
from selenium.webdriver import Chrome
from test_page_interaction import drag

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.skipif(not browser.available(), reason=browser.MISSING),
]

METRICS = "document.querySelector('#measured .js-plotly-plot')"
SHOWN = "document.getElementById('measured-panel').offsetHeight"
ENDS = "._fullLayout.xaxis.range.map(end => Math.round(Date.parse(end.replace(' ', 'T')) / 1000))"
ALIGNED = f"String({METRICS}{ENDS}) === String({TIME}{ENDS})"


def test_metrics_have_a_panel_each_and_follow_the_time_of_the_charts(
    driver: Chrome, site: str, files: Path
) -> None:
    put_run(files, 200)
    driver.get(site)
    wait_for_bars(driver, 200)
    assert driver.execute_script(f"return {SHOWN}") == 0
    asked = described("ofi"), described("spread", CANDLES, "price")
    put_metrics(files, 200, *asked)
    wait_for(driver, f"{METRICS}?._fullData?.length === 2", "metrics")
    assert driver.execute_script(f"return {SHOWN}") > 150
    names = f"return {METRICS}.layout.annotations.map(each => each.text)"
    assert driver.execute_script(names) == ["ofi · size", "spread · price"]
    wait_for(driver, ALIGNED, "the same time")
    drag(driver, 0.3, 0.6)
    wait_for(driver, f"{TIME}._fullLayout.xaxis.autorange === false", "zoom")
    wait_for(driver, ALIGNED, "the zoomed time")
    seen = f"return {METRICS}._fullLayout.yaxis.range"
    low, high = driver.execute_script(seen)
    assert (round(low, -1), round(high, -1)) == (60, 120)  # the values of what is in view
    put_metrics(files, 200, asked[0], values=lambda bar, _: 1000.0 + bar)
    wait_for(driver, f"{METRICS}._fullData.length === 1", "one metric")
    wait_for(driver, f"{METRICS}._fullLayout.yaxis.range[0] > 1000", "its values")
    (files / NAME).unlink()
    wait_for(driver, f"{SHOWN} === 0", "the charts alone")
