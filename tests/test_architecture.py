"""The import rules that keep data running one way."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
CORE = (
    "book_recognition",
    "compiled",
    "level_parser",
    "orderbook_manager",
    "metrics_calculator",
    "ohlc_processor",
    "market_events",
    "rolling_bars",
)
# What each module of the project may import of the project.
ALLOWED = {
    "errors": set(),
    "compiled": set(),
    "level_parser": {"errors"},
    "row_order": {"compiled", "errors"},
    "market_events": {"compiled", "level_parser", "row_order"},
    "orderbook_manager": {"compiled", "errors", "level_parser", "market_events"},
    "book_recognition": {"errors", "level_parser", "market_events", "orderbook_manager"},
    "rolling_bars": {"compiled", "errors"},
    "metrics_calculator": {"compiled", "market_events", "rolling_bars"},
    "ohlc_processor": {
        "market_events",
        "metrics_calculator",
        "orderbook_manager",
        "rolling_bars",
    },
    "db_connection": {"errors"},
    "table_shape": {"db_connection", "row_order"},
    "recorded_table": {"db_connection", "errors", "market_events", "row_order", "table_shape"},
    "db_interpreter": {
        "db_connection",
        "market_events",
        "recorded_table",
        "row_order",
        "table_shape",
    },
    "recordings": {"book_recognition", "db_interpreter", "errors"},
    "viz_io": {"errors"},
    "replay": {
        "db_interpreter",
        "errors",
        "market_events",
        "ohlc_processor",
        "recordings",
        "viz_io",
    },
}

# The modules that a recording is read by; the rest of the project knows the last alone.
READING = {"db_connection", "table_shape", "recorded_table", "db_interpreter"}


def imports_of(module: str) -> set[str]:
    tree = ast.parse((PROJECT / f"{module}.py").read_text())
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


MODULES = sorted(path.stem for path in PROJECT.glob("*.py"))


@pytest.mark.parametrize("module", ALLOWED)
def test_a_module_imports_only_what_lies_before_it(module: str) -> None:
    assert imports_of(module) & set(MODULES) <= ALLOWED[module]


@pytest.mark.parametrize("module", MODULES)
def test_nobody_imports_main(module: str) -> None:
    assert "main" not in imports_of(module)


@pytest.mark.parametrize("module", CORE)
def test_the_core_knows_neither_databases_nor_pages_nor_the_clock(module: str) -> None:
    outside = {
        "sqlite3",
        "dash",
        "plotly",
        "time",
        "datetime",
        "os",
        "pathlib",
        "threading",
        "rich",
    }
    allowed = {"os"} if module == "compiled" else set()  # the switch for the compiled book
    assert imports_of(module) & outside <= allowed


@pytest.mark.parametrize("module", MODULES)
def test_sqlite_is_known_to_the_reading_modules_alone(module: str) -> None:
    if "sqlite3" in imports_of(module):
        assert module in {"db_connection", "table_shape", "recorded_table", "synthetic_market"}


@pytest.mark.parametrize("module", [m for m in MODULES if m not in READING])
def test_recordings_are_read_through_the_interpreter_alone(module: str) -> None:
    assert not imports_of(module) & (READING - {"db_interpreter"})


def test_connections_to_recordings_are_made_in_one_place() -> None:
    makers = {m for m in MODULES if "sqlite3.connect(" in (PROJECT / f"{m}.py").read_text()}
    assert makers == {"db_connection", "synthetic_market"}


@pytest.mark.parametrize("module", [m for m in MODULES if m == "app" or m.startswith("page_")])
def test_the_page_knows_only_the_files(module: str) -> None:
    own = {m for m in MODULES if m.startswith("page_")} | {"errors"}
    assert imports_of(module) & set(MODULES) <= own
