"""Everything a user can set or read is in the reference, and every public name is documented."""

import ast
import re
from pathlib import Path

import pytest
import typer.main
from places import PROJECT

import main
from ohlc_processor import OHLCProcessor
from recordings.discovery import Recording
from recordings.table_spec import BOOK, TRADES
from replay.output_lock import LOCK_NAME
from replay.run import Replay, ReplayOptions
from replay.run_files import RunFiles
from viz_io import DATA_FILE, DEPTH_FILE, METRICS_FILE, STATUS_FILE

REFERENCE = (PROJECT / "docs" / "reference.md").read_text()
MODULES = sorted(PROJECT.glob("*.py"))


def test_every_option_is_in_the_reference_and_no_other() -> None:
    command = typer.main.get_command(main.app)
    options = {name for p in command.params for name in (*p.opts, *p.secondary_opts) if "-" in name}
    listed = set(re.findall(r"`(--?[a-z-]+)`", REFERENCE.split("### Exit codes")[0]))
    assert listed - {"--help", "-h", "-vv"} == options


def test_every_file_is_in_the_reference() -> None:
    for path in (DATA_FILE, DEPTH_FILE, METRICS_FILE, STATUS_FILE):
        assert f"`{path.name}`" in REFERENCE
    assert f"`{LOCK_NAME}`" in REFERENCE


def test_every_status_field_and_count_is_in_the_reference(tmp_path: Path) -> None:
    files = RunFiles(tmp_path)
    run = Replay(ReplayOptions("X", 0, 1), Recording([], [], "incremental", 0, 1), files)
    files.close()
    status = run.status()
    fields = REFERENCE.split("### status_data.json")[1].split("### counts")[0]
    assert set(re.findall(r"`([a-z_]+)`", re.sub(r"\|[^|]*\|\n", "|\n", fields))) >= set(status)
    counts = REFERENCE.split("### counts")[1].split("## Metrics")[0]
    assert set(re.findall(r"`([a-z_]+)`", counts)) >= set(status["counts"])


@pytest.mark.parametrize("spec", [BOOK, TRADES])
def test_every_column_is_in_the_reference(spec: object) -> None:
    for column in ("timestamp", "instrument", "id", *spec.payload):  # type: ignore[attr-defined]
        assert f"`{column}`" in REFERENCE


def test_every_metric_is_in_the_reference() -> None:
    for metric in ("OHLC", "volume", "OBI", "TOT", "CVD"):
        assert f"| {metric} |" in REFERENCE


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_public_name_has_a_docstring(path: Path) -> None:
    tree = ast.parse(path.read_text())
    missing = [] if ast.get_docstring(tree) else ["module"]
    for node in tree.body:
        public: list[ast.ClassDef | ast.FunctionDef] = []
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            public = [node, *(n for n in node.body if isinstance(n, ast.FunctionDef))]
        elif isinstance(node, ast.FunctionDef):
            public = [node]
        missing += [p.name for p in public if p.name[0] != "_" and not ast.get_docstring(p)]
    assert missing == []


def test_the_defaults_are_the_users() -> None:
    processor = OHLCProcessor()
    assert processor.depth_levels_per_side == 50
    assert ReplayOptions("X", 0, 1).window_seconds == 60
