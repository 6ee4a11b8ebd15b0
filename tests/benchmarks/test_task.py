"""How the benchmarks hang together."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

from places import PROJECT

SOURCES = {f"benchmarks.{path.stem}": path for path in (PROJECT / "benchmarks").glob("*.py")}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & SOURCES.keys()


def test_benchmarks_import_one_another_in_no_circle() -> None:
    TopologicalSorter({name: imports_of(path) for name, path in SOURCES.items()}).prepare()


def test_only_what_the_page_takes_from_the_tests_needs_the_path() -> None:
    users = {name for name, path in SOURCES.items() if "sys.path" in path.read_text()}
    assert users == {"benchmarks.support"}
