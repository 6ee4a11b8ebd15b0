"""The code of docs/trading.md is run with the orders that stand there, and prints what it shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

from places import PROJECT

PAGE = (PROJECT / "docs" / "trading.md").read_text()
BLOCKS: dict[str, str] = dict(re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


def test_the_code_prints_what_the_page_shows(tmp_path: Path) -> None:
    (tmp_path / "orders.json").write_text(BLOCKS["json"])
    (tmp_path / "script.py").write_text(BLOCKS["python"])
    environment = os.environ | {
        "PYTHONPATH": str(PROJECT),
        "ORDERFLOW_CACHE_DIR": str(tmp_path / "cache"),
    }
    run = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path, env=environment, capture_output=True, check=False, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert run.stdout == BLOCKS["text"]
    assert (tmp_path / "results" / "fills.json").is_file()
