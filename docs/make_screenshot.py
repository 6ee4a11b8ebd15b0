"""Make the pictures in docs/images, in Chromium.

    uv run docs/make_screenshot.py

page.png and trading.png show a recording made from a seed, replayed by main.py and `trading run`:
what a reader gets from --demo. order-flow.png and order-flow-phone.png show the real recording of
`flow_browser`, and are left as they are where that is absent. Needs chromium and chromedriver, as
the browser tests do.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import browser  # noqa: E402
import flow_browser  # noqa: E402
from page_fixtures import page  # noqa: E402

PICTURES = ROOT / "docs" / "images"
MAX_BYTES = 300_000
MAX_FLOW_BYTES = 400_000


REPLAY = ["main.py"]
TRADING = ["-m", "trading", "run"]
STRATEGIES = [
    "--strategy", "support-resistance", "--strategy", "watcher=support-resistance",
    "--set", "bar_seconds=300", "--set", "quantity=0.02", "--set", "min_strength=1",
    "--set", "watcher.alert_only=true", "--set", "watcher.bar_seconds=900",
]  # fmt: skip


def picture(path: Path, what: list[str], more: list[str]) -> int:
    """Save the page on a run of the demo, and return how many bytes it has."""
    command = [sys.executable, *what, "BTC-USDT", "2025-06-09", "2025-06-10", "--demo", *more]
    with tempfile.TemporaryDirectory() as name:
        command += ["--window-seconds", "300", "--no-ui", "-q", "--output-dir", name]
        subprocess.run(command, check=True, cwd=ROOT)
        with page(Path(name)) as (url, _), browser.chromium() as driver:
            driver.get(url)
            drawn = "document.querySelector('#time .js-plotly-plot')?.data?.[0]?.x?.length > 100"
            browser.wait_for(
                driver, f"{drawn} && document.querySelector('.barlayer .point')", "bars"
            )
            browser.screenshot(driver, path)
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size:,} bytes, at most {MAX_BYTES:,}")
    return size


def flow_picture(path: Path, width: int, height: int, fragment: str) -> int:
    """Save the order-flow views of the real recording, and return how many bytes they have."""
    with tempfile.TemporaryDirectory() as name:
        flow_browser.replay(Path(name))
        with page(Path(name)) as (url, _), browser.chromium() as driver:
            browser.resize(driver, width, height, mobile=width < 700)
            flow_browser.go(driver, url, fragment)
            flow_browser.wait_for_text(driver, ".book .list-head", "Book at")
            browser.pause(1)  # contrast and figures settle
            browser.screenshot(driver, path)
    size = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size:,} bytes, at most {MAX_FLOW_BYTES:,}")
    return size


def main() -> None:
    sizes = [
        picture(PICTURES / "page.png", REPLAY, []),
        picture(PICTURES / "trading.png", TRADING, STRATEGIES),
    ]
    flow_sizes = [0]
    if flow_browser.RECORDING.exists():
        moment = f"view=both&at={flow_browser.MOMENT}"
        flow_sizes = [
            flow_picture(PICTURES / "order-flow.png", 1440, 900, moment),
            flow_picture(PICTURES / "order-flow-phone.png", 390, 1640, moment),
        ]
    sys.exit(max(sizes) > MAX_BYTES or max(flow_sizes) > MAX_FLOW_BYTES)


if __name__ == "__main__":
    main()
