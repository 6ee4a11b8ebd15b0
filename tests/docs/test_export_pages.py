"""What the pages on exporting tell a reader to type works, and the overview has every option."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main
from exports import recording_of
from places import PROJECT

from formats.__main__ import app
from formats.export_formats import NAMES

PAGES = sorted((PROJECT / "docs").glob("export-*.md"))
OVERVIEW = (PROJECT / "docs" / "formats.md").read_text().split("## Exports")[1]


@pytest.mark.thorough
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_make_what_they_say(page: Path, tmp_path: Path) -> None:
    folder = recording_of(tmp_path / "in", rows=50)
    commands = re.findall(r"^    uv run -m (formats export .*)$", page.read_text(), re.MULTILINE)
    environment = os.environ | {"ORDERFLOW_DATA_DIR": str(folder), "PYTHONPATH": str(PROJECT)}
    for command in commands:
        done = subprocess.run(
            [sys.executable, "-m", *command.split()],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert (tmp_path / command.split()[-1]).exists()
    assert commands


def test_the_overview_has_every_page_format_and_option() -> None:
    assert set(re.findall(r"\((export-\w+\.md)\)", OVERVIEW)) == {page.name for page in PAGES}
    assert all(f"`{name}`" in OVERVIEW for name in NAMES)
    command = typer.main.get_command(app).commands["export"]  # type: ignore[attr-defined]
    names = {name for parameter in command.params for name in parameter.opts if name[:2] == "--"}
    listed = set(re.findall(r"`(--[a-z-]+)", OVERVIEW.split("Exit codes")[0]))
    assert listed == names - {"--verbose", "--quiet"}
