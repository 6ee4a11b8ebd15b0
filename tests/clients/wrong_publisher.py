"""Run the simulator with one thing wrong: `python -m tests.clients.wrong_publisher WHAT publish …`.

For tests that see whether the comparison with the recording notices.
"""

import runpy
import sys
from typing import Any

from exchanges import binance_rest, depth
from exchanges.decimals import is_zero
from exchanges.levels import Level

ROWS_AHEAD = 3


def insert_before_deleting() -> None:
    vars(depth)["TextBook"] = depth.PythonTextBook
    right = depth.BookSide.changes

    def wrong(*arguments: Any, **options: Any) -> tuple[Level, ...]:
        levels = right(*arguments, **options)
        return tuple(sorted(levels, key=lambda level: is_zero(level.size)))

    setattr(depth.BookSide, "changes", wrong)  # noqa: B010 (mypy lets no method be replaced)


def name_a_later_row() -> None:
    """Give REST snapshots an id that belongs to the levels of some rows later."""
    right = binance_rest.format_depth

    def wrong(view: Any, instrument: Any, last_id: int, **times: Any) -> bytes:
        return right(view, instrument, last_id + 2 * ROWS_AHEAD, **times)

    vars(binance_rest)["format_depth"] = wrong


if __name__ == "__main__":
    wrongs = {"inserts-first": insert_before_deleting, "later-id": name_a_later_row}
    wrongs[sys.argv.pop(1)]()
    runpy.run_module("simulator", run_name="__main__")
