"""The installed extension stands alone: it imports nothing of the program, and asks for it."""

import subprocess
import sys

import pytest
from compiled_twins import compiled_twins

native = compiled_twins()

PLAIN = """
import orderflow_native
book = orderflow_native.OrderbookManager()
print(book.update(b"[[1,2]]", b"[[3,4]]"))
print(book.update('[["1","5"]]', '[["3","6.5"]]'))
"""
# What a twin needs, and a use of it that needs that.
USES = {
    "parse_side": 'OrderbookManager().update(b"odd", b"")',
    "OrderflowError": "OrderbookManager(0)",
    "MAX_TRADE_SIZE": "TradeDecoder(0, 1)",
    "LevelFormatError": 'TextBook().read(b"odd", b"")',
    "python_parse_row": 'parse_row(b"odd")',
}


def run_outside_the_project(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", code], cwd="/", capture_output=True, text=True, check=False
    )


def test_it_is_imported_and_reads_plain_bytes_and_str_by_itself_from_any_directory() -> None:
    run = run_outside_the_project(PLAIN)
    assert (run.stdout, run.stderr) == ("(2.0, 4.0)\n(5.0, 6.5)\n", "")


@pytest.mark.parametrize(("name", "use"), USES.items(), ids=USES)
def test_a_use_before_the_hand_in_says_what_is_missing(name: str, use: str) -> None:
    run = run_outside_the_project(f"import orderflow_native\norderflow_native.{use}")
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith(f"RuntimeError: the compiled code was not handed {name}; import")


def test_what_is_handed_in_is_used() -> None:
    run = run_outside_the_project(
        "import orderflow_native\n"
        "orderflow_native.hand_in(OrderflowError=KeyError)\n"
        "orderflow_native.OrderbookManager(0)"
    )
    assert run.stderr.splitlines()[-1].startswith("KeyError: 'depth is at least 1")
