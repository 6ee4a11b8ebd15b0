"""Rows are held back until no earlier one is to be expected, and then come in order."""

from collections.abc import Iterable
from typing import Any

from recordings.hold_back import GRACE_SECONDS, HOLD_MS, HeldFile, HoldBack


def opened(hold: HoldBack, first_ms: int = 0, *, has_more: bool = False) -> HeldFile:
    file = hold.open(first_ms)
    file.has_more = has_more
    return file


def rows(*times: int) -> list[tuple[Any, ...]]:
    return [(ms, ms, f"row {ms}") for ms in times]


def times(found: Iterable[tuple[Any, ...]]) -> list[int]:
    return [row[0] for row in found]


def test_a_row_waits_until_one_so_much_later_was_there_at_the_look_before() -> None:
    hold = HoldBack()
    file = opened(hold)
    hold.push(file, rows(0))
    assert hold.release(0.0) == []
    hold.push(file, rows(HOLD_MS + 1))
    assert times(hold.release(0.1)) == [0]


def test_rows_of_one_look_wait_for_the_next_look_whatever_their_times() -> None:
    hold = HoldBack()
    first, second = opened(hold), opened(hold, 10 * HOLD_MS)
    hold.push(second, rows(10 * HOLD_MS, 20 * HOLD_MS))
    assert hold.release(0.0) == []
    hold.push(first, rows(1))  # committed before those of the second file, and seen after them
    assert times(hold.release(0.1)) == [1, 10 * HOLD_MS]
    assert hold.late_times == []


def test_a_row_out_of_order_is_put_into_its_place_while_that_is_held() -> None:
    hold = HoldBack()
    file = opened(hold)
    hold.push(file, rows(100, 400))
    assert hold.release(0.0) == []
    hold.push(file, rows(300, 200))
    assert hold.release(0.1) == []
    assert times(hold.flush()) == [100, 200, 300, 400]


def test_in_a_quiet_market_the_clock_releases_what_no_later_row_does() -> None:
    hold = HoldBack()
    hold.push(opened(hold), rows(5))
    assert hold.release(0.0) == []
    assert hold.release(GRACE_SECONDS - 0.1) == []
    assert times(hold.release(GRACE_SECONDS)) == [5]
    assert hold.held == 0


def test_a_row_before_one_that_was_released_is_late_and_counted() -> None:
    hold = HoldBack()
    file = opened(hold)
    hold.push(file, rows(100))
    hold.release(0.0)
    hold.release(GRACE_SECONDS)
    hold.push(file, rows(99, 100, 101))
    hold.release(2 * GRACE_SECONDS)
    assert hold.late_times == [99]


def test_while_there_is_more_to_read_as_many_rows_as_can_be_sorted_are_held() -> None:
    hold = HoldBack()
    file = opened(hold, has_more=True)
    file.capacity = 3
    hold.push(file, rows(0, 10_000, 20_000))
    assert hold.release(0.0) == []
    hold.push(file, rows(30_000, 5))
    assert times(hold.release(0.1)) == [0, 5]


def test_a_file_that_was_read_waits_for_one_with_more_to_read() -> None:
    hold = HoldBack()
    done, unread = opened(hold), opened(hold, 50, has_more=True)
    hold.push(done, rows(10, 60, 9000))
    assert times(hold.release(0.0)) == [10]
    hold.push(unread, rows(55))
    unread.has_more = False
    assert hold.release(1.0) == []
    assert times(hold.flush()) == [55, 60, 9000]


def test_what_a_later_file_repeats_where_two_overlap_comes_once() -> None:
    hold = HoldBack()
    first, second = opened(hold), opened(hold, 10)
    hold.push(first, rows(5, 10, 20))
    hold.push(second, rows(10, 20, 30))
    assert times(hold.flush()) == [5, 10, 20, 30]
    assert hold.repeated_times == [10, 20]
