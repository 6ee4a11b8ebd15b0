"""Everything a user can set or read is in the reference, and every public name is documented."""

import ast
import re
from pathlib import Path

import pytest
import typer.main
from places import PROJECT
from test_architecture import DOORS, MAY_IMPORT, PACKAGES

import main
from ohlc_processor import OHLCProcessor
from orderflow.issues import LABELS
from recordings.discovery import Recording
from recordings.table_spec import BOOK, TRADES
from replay.output_lock import LOCK_NAME
from replay.run import Replay, ReplayOptions
from replay.run_files import RunFiles
from viz_io import DATA_FILE, DEPTH_FILE, METRICS_FILE, STATUS_FILE, TRADING_FILE

REFERENCE = (PROJECT / "docs" / "reference.md").read_text()
ARCHITECTURE = (PROJECT / "docs" / "architecture.md").read_text()
DOCUMENTS = [*sorted((PROJECT / "docs").rglob("*.md")), PROJECT / "README.md"]
MODULES = sorted(PROJECT.glob("*.py"))


def test_every_option_is_in_the_reference_and_no_other() -> None:
    command = typer.main.get_command(main.app)
    options = {
        name
        for p in command.params
        if not getattr(p, "hidden", False)
        for name in (*p.opts, *p.secondary_opts)
        if "-" in name
    }
    listed = set(re.findall(r"`(--?[a-z-]+)`", REFERENCE.split("### Exit codes")[0]))
    assert listed - {"--help", "-h", "-vv"} == options


def test_every_file_is_in_the_reference() -> None:
    for path in (DATA_FILE, DEPTH_FILE, METRICS_FILE, STATUS_FILE, TRADING_FILE):
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


def test_the_architecture_names_every_package_and_root_module_and_no_other() -> None:
    named = set(re.findall(r"(?<![\w/])[a-z_]+(?:\.py\b|/)", ARCHITECTURE))
    packages = {f"{name}/" for name in (*PACKAGES, "native", "tests", "benchmarks", "docs")}
    assert named - {"adr/"} == {*DOORS, *packages}


def test_the_architectures_table_is_the_one_that_is_tested() -> None:
    table = ARCHITECTURE.split("## Who may import whom")[1].split("##")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (.*) \|$", table, re.MULTILINE)
    assert {name: set(re.findall(r"`([\w.]+)`", allowed)) for name, allowed in rows} == MAY_IMPORT


def test_the_tests_that_the_architecture_names_are_there() -> None:
    source = (PROJECT / "tests" / "test_architecture.py").read_text()
    tests = re.findall(r"`(test_\w+)`", ARCHITECTURE)
    assert len(tests) >= 8
    assert not [name for name in tests if f"def {name}(" not in source]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_names_is_there(path: Path) -> None:
    text = path.read_text()
    named = set(re.findall(r"`([\w/]+\.(?:pyx?|md|js))`", text))
    links = {link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if ":" not in link}
    roots = (PROJECT, path.parent, PROJECT / "tests" / "page")
    missing = {name for name in named | links if not any((root / name).exists() for root in roots)}
    assert missing == set()


def test_the_defaults_are_the_users() -> None:
    processor = OHLCProcessor()
    assert processor.depth_levels_per_side == 50
    assert ReplayOptions("X", 0, 1).window_seconds == 60


def test_the_glossary_is_sorted_and_has_the_words_of_data_issues() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ", (PROJECT / "docs" / "glossary.md").read_text(), re.M)
    words = [word for word in rows if word != "word"]
    assert words == sorted(words, key=str.lower)
    assert set(words) >= {
        "batch", "channel", "data issue", "lost row", "proven", "recording", "section", "segment",
        "silence", "snapshot", "unproven", "unreliable",
    }  # fmt: skip


def test_every_kind_of_data_issue_is_in_the_reference_and_no_other() -> None:
    counts = REFERENCE.split("### counts")[1].split("**A snapshot**")[0]
    rows = re.findall(r"^\| (`.*?`) \|", counts, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(LABELS)


@pytest.mark.parametrize("word", ["unclean", "not clean"])
def test_data_issues_are_called_by_their_name(word: str) -> None:
    texts = [*MODULES, *(path for path in DOCUMENTS if path.parent.name != "adr")]
    texts += [path for package in PACKAGES for path in (PROJECT / package).rglob("*.py")]
    assert [path.name for path in texts if word in path.read_text().lower()] == []
