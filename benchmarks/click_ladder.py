"""Measure in a real browser how long a click into the past takes to bring the ladder.

    uv run -m benchmarks.click_ladder --rows 200000 --clicks 100

A finished replay of busy rows is shown, and clicked at random moments of the view. What is timed
runs from the press of the button to the first frame after the exact book stands in the ladder.
The first click, which makes the recording's index of moments, is told apart. Needs chromium and
chromedriver.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.replay import recording
from benchmarks.support import browser, flow_browser, page_fixtures
from benchmarks.task import PROJECT

TIMED = """
window.took = null;
const title = () => document.querySelector('.book .list-head span')?.textContent ?? '';
const before = title();
addEventListener('pointerdown', () => {
  const began = performance.now();
  const watcher = new MutationObserver(() => {
    if (!title().startsWith('Book at') || title() === before) return;
    watcher.disconnect();
    requestAnimationFrame(() => { window.took = performance.now() - began; });
  });
  watcher.observe(document.body, { childList: true, subtree: true, characterData: true });
}, { once: true, capture: true });
"""
BETWEEN_SECONDS = 0.15
STEPS = (0.618, 0.414)
"""Shares of the picture from a click to the next: they never come to the same place again."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--clicks", type=int, default=100)
    options = parser.parse_args()
    path = recording(options.rows)
    with tempfile.TemporaryDirectory() as output:
        span = ["BTC-USDT", "2025-06-09", "2035-01-01", "--data-dir", str(path.parent)]
        told = ["--output-dir", output, "--no-ui", "-q"]
        subprocess.run([sys.executable, str(PROJECT / "main.py"), *span, *told], check=True)
        with page_fixtures.page(Path(output)) as (url, _), browser.chromium() as driver:
            flow_browser.go(driver, url, "view=both")
            left, top, width, height = flow_browser.box(driver, "yaxis")
            took = []
            for click in range(options.clicks + 1):
                driver.execute_script(TIMED)
                x, y = (0.02 + 0.96 * (click * step % 1) for step in STEPS)
                flow_browser.click_at(driver, int(left + x * width), int(top + y * height))
                took.append(float(browser.wait_for(driver, "window.took", "ladder")))
                browser.pause(BETWEEN_SECONDS)
    first, *rest = took
    rest.sort()
    print(f"the first click: {first:.0f} ms")
    print(f"{len(rest)} clicks: p50 {statistics.median(rest):.0f} ms, "
          f"p95 {rest[int(0.95 * len(rest))]:.0f} ms, most {rest[-1]:.0f} ms")  # fmt: skip


if __name__ == "__main__":
    main()
