import json

import pytest
from places import REAL_DATA
from real_recordings import needs_recordings

from recordings.book_kind import RECOGNITION_ROWS, is_proven_snapshot, recognise_book_mode
from recordings.recorded_table import instruments_in, open_tables
from recordings.row_order import Row


def update(bids: object, asks: object, action: str | None = None, prev: int | None = None) -> Row:
    row = 0, 1, json.dumps(bids), json.dumps(asks)
    return row if action is None and prev is None else (*row, action, prev, prev)


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
def test_partial_updates_are_recognised(rows: list[Row]) -> None:
    assert recognise_book_mode(rows) == "incremental"


def test_heartbeats_and_unreadable_rows_say_nothing() -> None:
    rows = [update([], []), update(deep(5), deep(5)), update("x", deep(5))] * 4
    assert recognise_book_mode(rows) == "snapshot"


def test_a_mark_says_how_a_file_begins() -> None:
    small = update(deep(9), deep(9, "0"))
    assert not is_proven_snapshot([])
    assert is_proven_snapshot([update(deep(1), [], "snapshot"), small])
    assert not is_proven_snapshot([update(deep(20), deep(20), "update"), *[small] * 3])
    assert is_proven_snapshot([update(deep(1), [], None, -1), small])
    assert not is_proven_snapshot([update(deep(20), deep(20), None, 5), *[small] * 3])


@pytest.mark.parametrize(
    ("first", "later", "proven"),
    [
        (update(deep(20), deep(20)), update(deep(10), deep(10, "0")), True),
        (update(deep(19), deep(20)), update(deep(10), deep(10, "0")), False),
        (update(deep(20), deep(20, "0")), update(deep(9), deep(9)), False),
        (update(deep(10), deep(10)), update([], []), True),
        (update(deep(9), deep(10)), update([], []), False),
        (update(deep(20), []), update([], []), False),
    ],
)
def test_a_first_row_far_deeper_than_those_after_it_is_a_snapshot(
    first: Row, later: Row, proven: bool
) -> None:
    assert is_proven_snapshot([first, *[later] * 3]) is proven
    assert not is_proven_snapshot([first, *[later] * 2])


def deletions(count: int) -> list[Row]:
    """Return rows that set a price and then delete it, over and over."""
    return [update([["50", size]], []) for _ in range(count) for size in ("1", "0")]


def test_a_first_row_is_a_snapshot_when_all_deletions_name_what_it_or_a_later_row_set() -> None:
    first = update([["50", "1"], ["49", "1"]], [["51", "1"]])
    assert is_proven_snapshot([first, *deletions(9), update([["49", "0"]], [])])
    assert not is_proven_snapshot([first, *deletions(9)])
    assert not is_proven_snapshot([first, *deletions(20), update([["48", "0"]], [])])


@needs_recordings
def test_of_the_real_recordings_no_update_is_taken_for_a_snapshot_and_few_remain_unproven() -> None:
    unproven, taken = set(), set()
    for path in sorted(REAL_DATA.glob("*.db")):
        for instrument in instruments_in(path):
            table, _ = open_tables(path, instrument)
            if table.is_empty:
                continue
            rows = list(table.first_rows(RECOGNITION_ROWS + 12))
            if not is_proven_snapshot(rows[:RECOGNITION_ROWS]):
                unproven.add(instrument)
            taken |= {
                (path.stem, instrument)
                for first in range(1, min(12, len(rows) - 1))
                if is_proven_snapshot(rows[first : first + RECOGNITION_ROWS])
            }
    # The one recording that has a second snapshot behind the first.
    assert {stem for stem, _ in taken} <= {"okx_v5_202202"}
    # Options of few levels and few rows, and a book that begins empty.
    assert unproven == UNPROVEN


UNPROVEN = {
    "BTC-USD-210418-63000-P",
    "BTC-USD-210423-64000-C",
    "BTC-USD-210924-66000-C",
    "ETH-SGD",
    "ETH-USD-210430-2440-P",
    "ETH-USD-220228-3000-C",
    "ETH-USD-220429-1900-P",
    "ETH-USD-220624-20000-C",
}


def test_where_an_action_is_recorded_it_says_what_a_row_is() -> None:
    rows = [update(deep(5), deep(5))] * 3
    assert recognise_book_mode([*rows, update(deep(1), [], "update")]) == "action"
