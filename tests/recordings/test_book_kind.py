import json
from typing import Any

import pytest

from orderflow.events import OrderbookUpdate
from recordings.book_kind import begins_with_snapshot, recognise_book_mode


def update(bids: object, asks: object, action: str | None = None, prev: int | None = None) -> Any:
    return OrderbookUpdate(json.dumps(bids), json.dumps(asks), 0, None, 1, action, prev, prev)


def deep(count: int, size: str = "1") -> list[list[str]]:
    return [[str(100 + i), size] for i in range(count)]


def test_full_snapshots_are_recognised() -> None:
    assert recognise_book_mode([update(deep(5), deep(5))] * 3) == "snapshot"


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [update(deep(5), deep(5))] * 2,
        [update(deep(400), deep(400)), update(deep(9), deep(9)), update(deep(7), deep(8))],
        [update(deep(5), deep(5))] * 9 + [update([*deep(4), ["1", "0"]], deep(5))],
        [update(deep(5), deep(5))] * 9 + [update(deep(5), [])],
    ],
)
def test_partial_updates_are_recognised(rows: list[OrderbookUpdate]) -> None:
    assert recognise_book_mode(rows) == "incremental"


def test_heartbeats_and_unreadable_rows_say_nothing() -> None:
    rows = [update([], []), update(deep(5), deep(5)), update("x", deep(5))] * 4
    assert recognise_book_mode(rows) == "snapshot"


def test_how_a_file_begins() -> None:
    small = update(deep(9), deep(9, "0"))
    assert begins_with_snapshot([update(deep(20), deep(20)), small])
    assert not begins_with_snapshot([update(deep(17), deep(20)), small])
    assert not begins_with_snapshot([update(deep(20), deep(20, "0")), small])
    assert not begins_with_snapshot([])
    assert begins_with_snapshot([update(deep(1), [], "snapshot"), small])
    assert not begins_with_snapshot([update(deep(20), deep(20), "update"), small])
    assert begins_with_snapshot([update(deep(1), [], None, -1), small])
    assert not begins_with_snapshot([update(deep(20), deep(20), None, 5), small])


def test_where_an_action_is_recorded_it_says_what_a_row_is() -> None:
    rows = [update(deep(5), deep(5))] * 3
    assert recognise_book_mode([*rows, update(deep(1), [], "update")]) == "action"
