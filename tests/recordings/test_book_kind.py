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
        (update(deep(50), deep(50)), update(deep(10), deep(10, "0")), True),
        (update(deep(49), deep(50)), update(deep(10), deep(10, "0")), False),
        (update(deep(100), deep(100)), update(deep(50), deep(50, "0")), True),
        (update(deep(100), deep(99)), update(deep(50), deep(50, "0")), False),
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


def one_by_one(count: int) -> list[Row]:
    """Return rows that delete the first levels of `deep` from its end."""
    return [update([[str(100 + i), "0"]], []) for i in range(count)]


def test_a_first_row_is_a_snapshot_when_ten_of_its_levels_are_deleted_and_no_unknown_one() -> None:
    first, busy = update(deep(12), deep(2)), update(deep(12), [])
    assert is_proven_snapshot([first, busy, *one_by_one(10)])
    assert not is_proven_snapshot([first, busy, *one_by_one(9)])
    assert not is_proven_snapshot([first, busy, *one_by_one(10), update([["48", "0"]], [])])


def test_a_quote_that_comes_and_goes_proves_nothing() -> None:
    first = update([["50", "1"]], [["51", "1"]])
    comes_and_goes = [update([["50", size]], []) for _ in range(30) for size in ("0", "1")]
    assert not is_proven_snapshot([first, *comes_and_goes])


@pytest.mark.parametrize(("count", "kind"), [(15, "incremental"), (16, "snapshot")])
def test_a_few_rows_of_several_depths_are_no_snapshots(count: int, kind: str) -> None:
    rows = [update(deep(5), deep(5)), *[update(deep(4), deep(5))] * (count - 1)]
    assert recognise_book_mode(rows) == kind


def test_rows_that_follow_one_another_by_their_ids_are_updates() -> None:
    rows = [update(deep(5), deep(5), None, 7)] * 20
    assert recognise_book_mode(rows) == "incremental"
    assert not is_proven_snapshot(rows)


@pytest.mark.thorough
@needs_recordings
def test_of_the_real_recordings_no_update_is_taken_for_a_snapshot_and_few_remain_unproven() -> None:
    unproven, taken = set(), set()
    for path in sorted(REAL_DATA.glob("*.db")):
        for instrument in instruments_in(path):
            table, _ = open_tables(path, instrument)
            rows = list(table.first_rows(100_000))
            if rows and not is_proven_snapshot(rows[:RECOGNITION_ROWS]):
                unproven.add(instrument)
            # Of long recordings a sample, and the rows that come nearest.
            step = max(1, len(rows) // 100)
            looked_at = {*range(1, len(rows), step), *range(len(rows) - 8, len(rows)), *NEAREST}
            taken |= {
                (path.stem, first)
                for first in looked_at
                if 0 < first < len(rows)
                and is_proven_snapshot(rows[first : first + RECOGNITION_ROWS])
            }
    # The one recording that has a second snapshot right behind the first.
    assert taken == {("okx_v5_202202", 1)}
    # Options and thin pairs of few levels, and a book that begins empty.
    assert unproven == UNPROVEN


NEAREST = {4743, 4744, 7214, 7215, 12522, 17719, 17720, 29620, 64678, 80395, 95267}
UNPROVEN = {
    "BTC-USD-210418-63000-P",
    "BTC-USD-210423-64000-C",
    "BTC-USD-210924-42000-P",
    "BTC-USD-210924-66000-C",
    "BTC-USD-220325-40000-C",
    "EOS-USD-210625-8.00-C",
    "ETH-SGD",
    "ETH-USD-210419-2540-P",
    "ETH-USD-210430-2440-P",
    "ETH-USD-220228-3000-C",
    "ETH-USD-220325-8800-P",
    "ETH-USD-220429-1900-P",
    "ETH-USD-220624-12000-P",
    "ETH-USD-220624-20000-C",
    "PROPS-ETH",
}


def test_where_an_action_is_recorded_it_says_what_a_row_is() -> None:
    rows = [update(deep(5), deep(5))] * 3
    assert recognise_book_mode([*rows, update(deep(1), [], "update")]) == "action"
