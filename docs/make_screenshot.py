"""Make docs/images/page.png: the page on a synthetic recording, in a headless Chromium.

    uv run docs/make_screenshot.py

Needs chromium and chromedriver, as the browser tests do. The recording is made from a seed and
replayed by main.py, so that the picture shows what a reader gets from --demo.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import browser  # noqa: E402
from page_fixtures import page  # noqa: E402

PICTURE = ROOT / "docs" / "images" / "page.png"
MAX_BYTES = 300_000


def replay(output: Path) -> None:
    command = [sys.executable, str(ROOT / "main.py"), "BTC-USDT", "2025-06-09", "2025-06-10"]
    command += ["--demo", "--window-seconds", "300", "--no-ui", "-q", "--output-dir", str(output)]
    subprocess.run(command, check=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        replay(Path(name))
        with page(Path(name)) as (url, _), browser.chromium() as driver:
            driver.get(url)
            drawn = "document.querySelector('#time .js-plotly-plot')?.data?.[0]?.x?.length > 100"
            browser.wait_for(
                driver, f"{drawn} && document.querySelector('.barlayer .point')", "bars"
            )
            browser.screenshot(driver, PICTURE)
    size = PICTURE.stat().st_size
    print(f"{PICTURE.relative_to(ROOT)}: {size:,} bytes, at most {MAX_BYTES:,}")
    sys.exit(size > MAX_BYTES)


if __name__ == "__main__":
    main()
