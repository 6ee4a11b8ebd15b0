"""Look at the order-flow views of the page, and lay hands on them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browser import wait_for, wait_until
from places import PROJECT, REAL_DATA
from selenium.webdriver import ActionChains, Chrome

RECORDING = REAL_DATA / "binance_spot_ethusdt_20240808.db"
MISSING = f"no {RECORDING.name} beside the project"
MOMENT = "2024-08-08T23:59:50.000Z"
PLOT = "document.getElementById('flow-plot')"


def command(output: Path, *options: str) -> list[str]:
    """Return the command that replays the recording of the sketch in bars of 15 s."""
    what = ["ETH-USDT", "2024-08-08", "2024-08-10", "--data-dir", str(REAL_DATA)]
    told = ["--window-seconds", "15", "--no-ui", "-q", "--output-dir", str(output)]
    return [sys.executable, str(PROJECT / "main.py"), *what, *told, *options]


def replay(output: Path, *options: str) -> None:
    subprocess.run(command(output, *options), check=True, timeout=120)


@contextmanager
def running(output: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Let a replay run until the block ends."""
    with subprocess.Popen(command(output, *options)) as process:
        try:
            yield process
        finally:
            process.kill()


def go(driver: Chrome, site: str, fragment: str) -> None:
    """Open the page at a fragment, as a link does, and wait for its first picture."""
    driver.get("about:blank")
    driver.get(f"{site}/#{fragment}")
    wait_for(driver, "document.getElementById('flow-under')?.dataset.drawn", "picture", 30)
    wait_for(driver, f"{PLOT}?._fullLayout?.xaxis?._length > 0", "figure")
    wait_for(driver, "document.getElementById('flow-last').textContent.length > 1", "last price")


def drawn(driver: Chrome) -> dict[str, Any]:
    """Return what the newest draw says of itself."""
    raw = driver.execute_script("return document.getElementById('flow-under').dataset.drawn")
    found: dict[str, Any] = json.loads(raw)
    return found


def wait_for_drawn(driver: Chrome, what: str, **wanted: Any) -> None:
    def holds(_: Any) -> bool:
        found = drawn(driver)
        return all(found[name] == value for name, value in wanted.items())

    wait_until(driver, holds, what)


def text(driver: Chrome, selector: str) -> str:
    found: str = driver.execute_script(
        "return document.querySelector(arguments[0])?.textContent ?? ''", selector
    )
    return found


def wait_for_text(driver: Chrome, selector: str, wanted: str, seconds: float = 40) -> None:
    wait_until(
        driver, lambda _: wanted in text(driver, selector), f"'{wanted}' in {selector}", seconds
    )


def rows(driver: Chrome, selector: str) -> list[list[str]]:
    """Return the cells of the rows of a list."""
    found: list[list[str]] = driver.execute_script(
        "return [...document.querySelectorAll(arguments[0] + ' .row')]"
        ".map(row => [...row.children].map(cell => cell.textContent))",
        selector,
    )
    return found


def ranges(driver: Chrome) -> dict[str, list[float]]:
    """Return the ranges of time (ms) and prices."""
    found: dict[str, list[float]] = driver.execute_script(
        f"const full = {PLOT}._fullLayout;"
        "const ms = end => typeof end === 'number' ? end : Date.parse(end.replace(' ', 'T') + "
        "(end.length > 10 ? 'Z' : ''));"
        "return {time: full.xaxis.range.map(ms), heat: [...full.yaxis.range], "
        "foot: [...full.yaxis2.range]}"
    )
    return found


def box(driver: Chrome, axis: str) -> tuple[float, float, float, float]:
    """Return left, top, width and height of a panel in the window."""
    found = driver.execute_script(
        f"const full = {PLOT}._fullLayout, box = {PLOT}.getBoundingClientRect();"
        "const [x, y] = [full.xaxis, full[arguments[0]]];"
        "return [box.x + x._offset, box.y + y._offset, x._length, y._length]",
        axis,
    )
    return tuple(found)


def place_of(driver: Chrome, time_ms: float, axis: str, share: float = 0.5) -> tuple[int, int]:
    """Return where a time is in the window, at a share of a panel's height."""
    left, top, width, height = box(driver, axis)
    low, high = ranges(driver)["time"]
    return int(left + (time_ms - low) / (high - low) * width), int(top + share * height)


def move_to(driver: Chrome, x: int, y: int) -> None:
    mouse = ActionChains(driver, duration=20)
    mouse.w3c_actions.pointer_action.move_to_location(x, y)  # type: ignore[no-untyped-call]
    mouse.perform()


def click_at(driver: Chrome, x: int, y: int) -> None:
    mouse = ActionChains(driver, duration=20)
    mouse.w3c_actions.pointer_action.move_to_location(x, y)  # type: ignore[no-untyped-call]
    mouse.click().perform()


def drag(driver: Chrome, start: tuple[int, int], end: tuple[int, int]) -> None:
    mouse = ActionChains(driver, duration=60)
    pointer: Any = mouse.w3c_actions.pointer_action
    pointer.move_to_location(*start)
    mouse.click_and_hold()
    pointer.move_to_location((start[0] + end[0]) // 2, (start[1] + end[1]) // 2)
    pointer.move_to_location(*end)
    mouse.release().perform()


def press(driver: Chrome, *keys: str) -> None:
    ActionChains(driver).send_keys(*keys).perform()


def choose(driver: Chrome, field: str, value: str) -> None:
    """Choose a value of a select."""
    driver.execute_script(
        "const field = document.getElementById(arguments[0]);"
        "field.value = arguments[1]; field.dispatchEvent(new Event('change'))",
        field,
        value,
    )
