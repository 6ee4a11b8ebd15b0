"""What the README shows is what its commands print."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from places import PROJECT

pytestmark = pytest.mark.thorough

README = (PROJECT / "README.md").read_text()


def shown_summary() -> list[str]:
    (sample,) = re.findall(r"(?:^    .*\n)*^    BTC-USDT  finished\n(?:^    .*\n)*", README, re.M)
    return [line[4:] for line in sample.splitlines()]


def without_what_the_machine_decides(lines: list[str]) -> list[str]:
    kept = [line for line in lines if not line.startswith("  took ")]
    return [line.split(" with the ")[0] for line in kept]  # compiled book or not


def test_the_sample_is_what_the_first_command_prints(tmp_path: Path) -> None:
    (command,) = re.findall(r"^    uv run (main\.py .* --demo)$", README, re.MULTILINE)
    own = {"ORDERFLOW_CACHE_DIR": str(tmp_path), "ORDERFLOW_OUTPUT_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, *command.split(), "--no-ui"],
        cwd=PROJECT, env=os.environ | own, capture_output=True, check=True, text=True, timeout=120,
    )  # fmt: skip
    printed = done.stderr.splitlines()
    assert sum(line.startswith("  took ") for line in shown_summary()) == 1
    assert without_what_the_machine_decides(printed) == without_what_the_machine_decides(
        shown_summary()
    )


def test_the_developers_section_names_the_architecture() -> None:
    assert "docs/architecture.md" in README.split("## For developers")[1]
