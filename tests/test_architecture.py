"""The walls of the house: who may import whom, what the core may reach, no circle."""

import ast
import sys
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest
from places import PROJECT

DOORS = (
    "main.py",
    "app.py",
    "db_interpreter.py",
    "ohlc_processor.py",
    "orderbook_manager.py",
    "metrics_calculator.py",
    "level_parser.py",
    "viz_io.py",
    "synthetic_market.py",
)
PACKAGES = (
    "orderflow",
    "metrics",
    "exchanges",
    "messaging",
    "recordings",
    "replay",
    "page",
    "simulator",
    "trading",
    "formats",
)

# What a module of the project may import of the project: a package, or one module of it. Where a
# module has a row of its own, that row holds instead of its package's. A package may always import
# from itself.
MAY_IMPORT: dict[str, set[str]] = {
    "orderflow": set(),
    "orderflow.compiled": {"orderflow_native"},
    "level_parser": {"orderflow"},
    "viz_io": {"orderflow"},
    "metrics": {"orderflow"},
    "exchanges": {"orderflow"},
    "messaging": {"orderflow"},
    "orderbook_manager": {"orderflow", "level_parser"},
    "metrics_calculator": {"orderflow", "metrics"},
    "ohlc_processor": {"orderflow", "metrics", "metrics_calculator", "orderbook_manager"},
    "recordings": {"orderflow", "level_parser", "exchanges"},
    "recordings.moments": {"orderflow", "orderbook_manager"},
    "recordings.moment_sources": {"orderflow", "db_interpreter", "orderbook_manager"},
    "recordings.__main__": {"orderflow", "messaging"},
    "db_interpreter": {"orderflow", "recordings"},
    "replay": {
        "orderflow",
        "metrics",
        "db_interpreter",
        "ohlc_processor",
        "recordings",
        "viz_io",
    },
    "replay.kept_results": {
        "orderflow",
        "formats.parquet_results",
        "formats.results",
        "formats.results_database",
        "metrics",
        "metrics_calculator",
        "ohlc_processor",
    },
    "replay.child": set(),
    "replay.job": {
        "orderflow",
        "formats.parquet_results",
        "formats.prepared_use",
        "formats.results",
        "metrics",
        "ohlc_processor",
        "recordings",
        "viz_io",
    },
    "replay.batch": {
        "orderflow",
        "formats.jobs_table",
        "formats.parquet_results",
        "formats.results",
        "formats.results_database",
        "recordings",
    },
    "replay.stored_run": {"orderflow", "formats.results", "metrics", "viz_io"},
    "replay.__main__": {
        "orderflow",
        "formats.parquet_results",
        "formats.results",
        "metrics",
        "recordings",
        "viz_io",
    },
    "simulator": {
        "orderflow",
        "level_parser",
        "db_interpreter",
        "exchanges",
        "messaging",
        "recordings",
        "replay.pacing",
    },
    "simulator.market_model": {"orderflow"},
    "simulator.__main__": {
        "orderflow",
        "messaging",
        "recordings",
        "replay.pacing",
        "synthetic_market",
    },
    "trading": {
        "orderflow",
        "db_interpreter",
        "level_parser",
        "messaging",
        "metrics",
        "metrics_calculator",
        "ohlc_processor",
        "orderbook_manager",
        "recordings",
        "replay.live_reader",
        "replay.live_stream",
        "replay.output_lock",
        "replay.pacing",
        "viz_io",
    },
    "trading.kept_bars": {"formats.results", "metrics"},
    "trading.kept_decisions": {"formats.results", "metrics"},
    "trading.command_decide": {
        "orderflow",
        "formats.parquet_results",
        "formats.results",
        "formats.results_database",
        "metrics",
        "replay.output_lock",
        "replay.terminal",
    },
    "trading.command_run": {
        "orderflow",
        "db_interpreter",
        "replay.pacing",
        "replay.page_process",
        "synthetic_market",
        "viz_io",
    },
    "formats": {
        "orderflow",
        "db_interpreter",
        "level_parser",
        "metrics",
        "ohlc_processor",
        "recordings",
    },
    "formats.prepared_samples": {"metrics", "metrics_calculator", "orderflow"},
    "synthetic_market": {"orderflow", "simulator.market_model", "recordings.writer"},
    "page": {"orderflow", "viz_io"},
    "app": {"orderflow", "page"},
    "main": {
        "formats.archive_request",
        "formats.archives",
        "formats.prepared_use",
        "orderflow",
        "formats.results",
        "messaging",
        "metrics",
        "recordings",
        "replay",
        "synthetic_market",
        "viz_io",
    },
    "orderflow_native": set(),
}

# Who may use what the standard library and others offer.
THIRD_PARTIES: dict[str, set[str]] = {
    "sqlite3": {"recordings", "formats.results_database"},
    "pyarrow": {"formats"},
    "cloudpickle": {"replay.schedulers"},
    "dask": {"replay.schedulers"},
    "distributed": {"replay.schedulers"},
    "dash": {"app", "page"},
    "plotly": {"app", "page"},
    "flask": {"app", "page"},
    "waitress": {"app", "page"},
    "aiohttp": {"simulator", "recordings"},
    "redis": {"messaging"},
    "msgspec": {"messaging", "trading"},
    "rich": {"simulator", "trading.terminal"},
    "watchfiles": {"messaging"},
    "zmq": {"messaging"},
    "typer": {
        "main",
        "app",
        "synthetic_market",
        "orderflow.command",
        "formats.__main__",
        "formats.command_prepare",
        "orderflow.options",
        "recordings.__main__",
        "replay.__main__",
        "simulator.__main__",
        "simulator.commands_run",
        "simulator.options",
        "trading.arguments",
        "trading.command_decide",
        "trading.command_run",
        "trading.commands_alone",
        "trading.options",
        "trading.standing",
    },
    "databento_dbn": {"formats.databento"},
    "isal": {"formats.sources"},
    "duckdb": {"formats.export_parquet"},
    "numpy": {"formats.frames"},
    "fcntl": {
        "messaging.endpoints",
        "orderflow.cache",
        "recordings.day_files",
        "replay.output_lock",
        "simulator.storage",
    },
    "zstandard": {"formats.sources", "simulator.segments"},
}

CORE = (
    "level_parser",
    "orderbook_manager",
    "metrics_calculator",
    "ohlc_processor",
    "metrics",
    "exchanges",
)
# As pure as the core, in a package that is not.
PURE_MODULES = {
    "trading.account",
    "trading.equity",
    "trading.matching",
    "trading.orders",
    "trading.own_orders",
    "trading.rules",
    "trading.statistics",
}
# Files, sockets, threads, processes and clocks.
OUTSIDE_WORLD = {
    "asyncio", "concurrent", "datetime", "fcntl", "io", "mmap", "multiprocessing", "os", "pathlib",
    "selectors", "shutil", "signal", "socket", "sqlite3", "subprocess", "tempfile", "threading",
    "time", "urllib", "zoneinfo", "aiohttp", "dash", "flask", "plotly", "redis", "rich", "typer",
    "waitress", "watchfiles", "zmq",
}  # fmt: skip
# The compiled switch alone reads the environment, and the compiled books a seed.
MAY_USE_OS = {"orderflow.compiled", "orderflow_native._book", "orderflow_native._level_book"}


def _name(path: Path) -> str:
    parts = list(path.relative_to(PROJECT).with_suffix("").parts)
    if parts[0] == "native":
        parts = parts[2:]
    return ".".join(part for part in parts if part != "__init__")


def _sources() -> dict[str, Path]:
    folders = [PROJECT / package for package in PACKAGES]
    native = PROJECT / "native" / "src"
    found = chain(
        PROJECT.glob("*.py"),
        *(folder.rglob("*.py") for folder in folders),
        native.rglob("*.py"),
        native.rglob("*.pyx"),
    )
    return {_name(path): path for path in found}


SOURCES = _sources()


def _imports_of(path: Path) -> set[str]:
    """Return every module that a file imports, `package.module` where it names one."""
    text = path.read_text()
    if path.suffix == ".pyx":
        # Cython's own statements are no Python: of such a file the plain import lines count.
        lines = [line.strip() for line in text.splitlines()]
        text = "\n".join(
            line.rstrip("(").rstrip() + ("x)" if line.endswith("(") else "")
            for line in lines
            if line.startswith(("import ", "from ")) and " cimport " not in line
        )
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= {name if name in SOURCES else module for name in inner}
    return found


IMPORTS = {name: _imports_of(path) for name, path in SOURCES.items()}
PROJECT_ROOTS = {name.partition(".")[0] for name in SOURCES}


def _own(name: str) -> set[str]:
    return {found for found in IMPORTS[name] if found.partition(".")[0] in PROJECT_ROOTS}


def _reached(name: str) -> set[str]:
    """Return the modules of the project that importing `name` imports, itself included."""
    reached, waiting = set(), [name]
    while waiting:
        module = waiting.pop()
        if module in reached or module not in SOURCES:
            continue
        reached.add(module)
        waiting += [*_own(module), module.rpartition(".")[0]]
    return reached


def _row(name: str) -> set[str]:
    package = name.partition(".")[0]
    allowed = MAY_IMPORT.get(name, MAY_IMPORT.get(package))
    assert allowed is not None, f"{name} has no row in MAY_IMPORT"
    return allowed | {package}


def test_the_root_holds_the_users_modules_and_folders_alone() -> None:
    assert {path.name for path in PROJECT.glob("*.py")} == set(DOORS)
    packages = {path.parent.name for path in PROJECT.glob("*/__init__.py")}
    assert packages - {"benchmarks"} == set(PACKAGES)


def test_no_package_takes_the_name_of_another_library() -> None:
    taken = set(sys.stdlib_module_names) | set(packages_distributions())
    assert not taken & {*PACKAGES, *(Path(door).stem for door in DOORS)}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_module_imports_only_what_its_row_allows(name: str) -> None:
    allowed = _row(name)
    over = {f for f in _own(name) if f not in allowed and f.partition(".")[0] not in allowed}
    assert not over


def test_there_is_no_row_without_a_module() -> None:
    assert all(any(n == row or n.startswith(f"{row}.") for n in SOURCES) for row in MAY_IMPORT)


def test_imports_form_no_circle() -> None:
    graph = {name: _own(name) & SOURCES.keys() - {name} for name in SOURCES}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_nobody_imports_main_or_app(name: str) -> None:
    assert not _own(name) & {"main", "app"}


@pytest.mark.parametrize(
    "name", sorted(n for n in SOURCES if n.partition(".")[0] in CORE or n in PURE_MODULES)
)
def test_the_core_reaches_no_file_socket_thread_or_clock(name: str) -> None:
    for module in _reached(name):
        outside = {found.partition(".")[0] for found in IMPORTS[module]} & OUTSIDE_WORLD
        assert outside <= ({"os"} if module in MAY_USE_OS else set()), module


@pytest.mark.parametrize("library", THIRD_PARTIES)
def test_a_library_is_used_where_it_belongs(library: str) -> None:
    allowed = THIRD_PARTIES[library]
    users = {n for n, found in IMPORTS.items() if library in {f.partition(".")[0] for f in found}}
    assert {u for u in users if u not in allowed and u.partition(".")[0] not in allowed} == set()


def test_connections_to_recordings_are_made_in_one_place() -> None:
    makers = {name for name, path in SOURCES.items() if "sqlite3.connect(" in path.read_text()}
    assert makers == {"recordings.connection", "recordings.writer", "formats.results_database"}


def test_the_page_and_app_reach_only_the_files() -> None:
    for name in SOURCES:
        if name.partition(".")[0] in ("page", "app"):
            roots = {module.partition(".")[0] for module in _reached(name)}
            assert roots <= {"app", "page", "orderflow", "orderflow_native", "viz_io"}
