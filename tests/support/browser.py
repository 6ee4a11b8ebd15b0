"""Drive a headless Chromium for the tests and benchmarks of the page."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
MISSING = "chromium or chromedriver is not installed (Debian: apt install chromium chromium-driver)"
QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)

TIME = "document.querySelector('#time .js-plotly-plot')"
DEPTH = "document.querySelector('#depth .js-plotly-plot')"


def available() -> bool:
    return CHROMIUM is not None and DRIVER is not None


@contextmanager
def chromium(width: int = 1440, height: int = 900) -> Iterator[webdriver.Chrome]:
    """Open a browser with a fresh profile and a viewport of `width` x `height` CSS pixels."""
    os.environ["SE_OFFLINE"] = "true"  # Selenium would look for a driver to download
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = Options()
        options.binary_location = CHROMIUM or ""
        for argument in (*QUIET, f"--user-data-dir={profile}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        try:
            resize(driver, width, height)
            yield driver
        finally:
            driver.quit()


def resize(driver: webdriver.Chrome, width: int, height: int, *, mobile: bool = False) -> None:
    """Set the viewport, which a phone's width is too narrow for as a window."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def wait_for(driver: webdriver.Chrome, script: str, what: str, seconds: float = 40) -> Any:
    """Return the first truthy value of the JavaScript expression `script`."""

    return wait_until(driver, lambda _: driver.execute_script(f"return {script}"), what, seconds)


def wait_until(
    driver: webdriver.Chrome, found: Callable[[Any], Any], what: str, seconds: float = 40
) -> Any:
    """Return the first truthy value of `found`, called with the driver."""
    return WebDriverWait(driver, seconds, poll_frequency=0.05).until(found, f"no {what}")


def screenshot(driver: webdriver.Chrome, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(driver.get_screenshot_as_png())


def console(driver: webdriver.Chrome) -> list[str]:
    """Return the console's errors and warnings since the last call."""
    return [
        entry["message"]
        for entry in driver.get_log("browser")  # type: ignore[no-untyped-call]
        if entry["level"] in {"SEVERE", "WARNING"}
    ]


def points(driver: webdriver.Chrome) -> dict[str, int]:
    found: dict[str, int] = driver.execute_script(
        f"return Object.fromEntries([...{TIME}.data, ...{DEPTH}.data]"
        ".map(trace => [`${trace.uid} ${trace.type}`, trace.x.length]))"
    )
    return found


def wait_for_bars(driver: webdriver.Chrome, count: int) -> None:
    wait_for(driver, f"{TIME}?.data?.[0]?.x?.length === {count}", f"picture of {count} bars")


def badge(driver: webdriver.Chrome, label: str, seconds: float = 40) -> None:
    script = f"document.querySelector('#badge')?.textContent === {json.dumps(label)}"
    wait_for(driver, script, f"badge '{label}'", seconds)


def pause(seconds: float) -> None:
    """Wait for what leaves no trace when it is over: a label that would be empty."""
    time.sleep(seconds)
