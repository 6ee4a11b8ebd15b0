from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recording_factory import START, random_of, shuffled_within

from orderflow.errors import RecordingError
from orderflow.times import time_form, to_nanoseconds
from recordings.file_merge import FileMerge, TimedSource
from recordings.row_order import ReorderBuffer, id_of, normalise_times

Row = tuple[Any, ...]
NS = START * 1_000_000


@pytest.mark.parametrize(
    "raw",
    [
        START // 1000,
        START,
        START * 1000,
        NS,
        float(START // 1000),
        float(START),
        float(START * 1000),
        str(START // 1000),
        str(START),
        str(START * 1000),
        str(NS),
        f"{START}.0",
        f" {START} ",
        str(START).encode(),
        "1.7494272e9",
        "2025-06-09",
        "2025-06-09T00:00:00",
        "2025-06-09 00:00:00",
        "2025-06-09T00:00:00Z",
        "2025-06-09T00:00:00+00:00",
        "2025-06-09T02:00:00+02:00",
        "2025-06-08 19:30:00.000-04:30",
        b"2025-06-09T00:00:00.000000Z",
    ],
)
def test_every_time_format_says_the_same_instant(raw: object) -> None:
    assert to_nanoseconds(raw) == NS


@pytest.mark.parametrize(
    ("raw", "beyond"),
    [
        (START / 1000 + 0.123, 123_000_000),
        (START / 1000 + 0.123456, 123_456_000),
        (START + 0.5, 500_000),
        (f"{START // 1000}.123456789", 123_456_789),
        (START * 1000 + 7, 7_000),
        (NS + 7, 7),
        ("2025-06-09T00:00:00.000007", 7_000),
        ("2025-06-09T00:00:00.123Z", 123_000_000),
    ],
)
def test_fractions_of_every_unit_are_kept(raw: object, beyond: int) -> None:
    assert to_nanoseconds(raw) == NS + beyond


@pytest.mark.parametrize(
    "raw",
    [
        None,
        "",
        "  ",
        "yesterday",
        "2025-13-01",
        "NaN",
        "-5",
        -5,
        -1.5,
        float("inf"),
        float("nan"),
        10**20,
        1e300,
        "1e999999999",
        "9" * 5000,
        "1_749_427_200",
        "١٧٤٩٤٢٧٢٠٠",
        b"\xff\xfe",
        "2025-06-09\x00",
        "1969-12-31T23:59:59",
        "9999-12-31",
        "0001-01-01T00:00:00+23:59",
        b"[1]",
    ],
)
def test_what_says_no_time_is_none(raw: object) -> None:
    assert to_nanoseconds(raw) is None
    assert time_form(raw) is None


def test_forms_tell_units_and_formats_apart() -> None:
    assert time_form(START) == time_form(START + 0.5) != time_form(START // 1000)
    assert time_form(str(START)) != time_form(START)
    assert time_form(str(START)) != time_form(str(START // 1000))
    assert time_form("2025-06-09 00:00") != time_form("2025-06-09T00:00")
    assert time_form("2025-06-09T00:00") == time_form(b"2025-06-09T00:00:00.5")


def test_rows_without_a_usable_time_are_left_out_and_counted() -> None:
    rows = [(START, 1, "a"), (None, 2, "b"), ("n/a", 3, "c"), (str(START + 1), 4, "d")]
    assert normalise_times(rows) == ([(START, 1, "a"), (START + 1, 4, "d")], [START, START])
    assert normalise_times([(None, 1)]) == ([], [None])
    assert normalise_times([]) == ([], [])


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 999_999))
def test_an_id_survives_being_made_an_order(number: int, finer: int) -> None:
    ((ms, order, _),), _ = normalise_times([(NS + finer, number, "")])
    assert ms == START
    assert id_of(order) == number
    assert id_of(number) == number


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(-5, 5)), max_size=50))
def test_microseconds_come_before_ids(rows: list[tuple[int, int]]) -> None:
    timed, _ = normalise_times([(START * 1000 + us, number, "") for us, number in rows])
    in_order = sorted(timed, key=lambda row: row[:2])
    assert [(ms - START, id_of(order)) for ms, order, _ in in_order] == [
        (us // 1000, number) for us, number in sorted(rows)
    ]


# -- the reorder buffer


def pushed(buffer: ReorderBuffer, rows: list[Row], batch: int) -> list[Row]:
    out = []
    for begin in range(0, len(rows), batch):
        out += buffer.push(rows[begin : begin + batch])
    return out + buffer.flush()


@given(
    st.integers(0, 10**6),
    st.integers(0, 200),
    st.integers(1, 40),
    st.integers(1, 30),
)
def test_rows_shuffled_within_the_buffer_come_out_sorted(
    seed: int, count: int, capacity: int, batch: int
) -> None:
    draw = random_of(seed)
    in_order = sorted((draw.randrange(50), number) for number in range(count))
    buffer = ReorderBuffer(capacity)
    shuffled: list[Row] = list(shuffled_within(in_order, capacity, seed))
    assert pushed(buffer, shuffled, batch) == in_order
    assert buffer.late_times == []


@given(st.lists(st.integers(0, 30), max_size=80), st.integers(0, 5), st.integers(1, 6))
def test_every_row_comes_out_in_order_or_is_counted_late(
    times: list[int], capacity: int, batch: int
) -> None:
    rows: list[Row] = [(time, number) for number, time in enumerate(times)]
    buffer = ReorderBuffer(capacity)
    out = pushed(buffer, rows, batch)
    assert out == sorted(out)
    assert len(out) + len(buffer.late_times) == len(rows)
    assert set(out) <= set(rows)


def test_rows_of_equal_time_and_order_keep_their_places() -> None:
    rows: list[Row] = [(1, 0, text) for text in "edcba"]
    assert pushed(ReorderBuffer(2), rows, 2) == rows


# -- several files


def source(rows: list[Row], batch: int = 2) -> TimedSource:
    def read() -> Iterator[list[Row]]:
        for begin in range(0, len(rows), batch):
            yield rows[begin : begin + batch]

    return TimedSource(rows[0][0], rows[-1][0], read)


def merged(files: list[list[Row]], batch: int = 2) -> tuple[list[Row], FileMerge]:
    merge = FileMerge([source(rows, batch) for rows in files if rows])
    out: list[Row] = []
    for rows in merge.batches():
        assert rows
        out += rows
    return out, merge


rows_of_few_kinds = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 99), st.sampled_from("ab")), max_size=40
).map(sorted)


@given(rows_of_few_kinds, st.lists(st.integers(0, 40), max_size=4), st.integers(1, 5))
def test_a_recording_cut_anywhere_is_the_same_rows(
    rows: list[Row], cuts: list[int], batch: int
) -> None:
    places = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    files = [rows[a:b] for a, b in pairwise(places)]
    out, merge = merged(files, batch)
    assert out == rows
    assert merge.repeated_times == merge.late_times == []


@given(st.lists(rows_of_few_kinds, min_size=2, max_size=2), st.integers(1, 5))
def test_of_two_overlapping_files_each_row_comes_as_often_as_in_the_fuller(
    files: list[list[Row]], batch: int
) -> None:
    # Both reach well beyond each other's first and last millisecond, so that they never touch.
    ends: list[Row] = [(-2, 0, "<"), (-1, 0, "<"), (20, 0, ">"), (21, 0, ">")]
    files = [sorted(rows + ends) for rows in files]
    out, merge = merged(files, batch)
    counts = [Counter((ms, what) for ms, _, what in rows) for rows in (*files, out)]
    assert counts[2] == counts[0] | counts[1]
    assert [row[0] for row in out] == sorted(row[0] for row in out)
    assert len(merge.repeated_times) == sum(map(len, files)) - len(out)


def test_the_same_file_twice_is_repeated_as_a_whole() -> None:
    rows: list[Row] = [(1, 1, "a"), (1, 2, "a"), (2, 3, "b"), (4, 4, "a")]
    out, merge = merged([rows, rows])
    assert out == rows
    assert merge.repeated_times == [1, 1, 2, 4]


def test_files_that_touch_in_one_millisecond_repeat_nothing() -> None:
    out, merge = merged([[(1, 1, "a"), (2, 2, "b")], [(2, 3, "b")], [(2, 4, "b"), (3, 5, "c")]])
    assert [row[1] for row in out] == [1, 2, 3, 4, 5]
    assert merge.repeated_times == []


def test_a_row_that_the_later_file_has_once_more_is_kept() -> None:
    first: list[Row] = [(1, 1, "a"), (2, 2, "b"), (2, 3, "b"), (5, 9, "z")]
    later: list[Row] = [(1, 1, "a"), (2, 2, "b"), (2, 3, "b"), (2, 4, "b"), (6, 9, "z")]
    out, merge = merged([first, later])
    assert [row[0] for row in out] == [1, 2, 2, 2, 5, 6]
    assert merge.repeated_times == [1, 2, 2]


def test_rows_of_different_microseconds_do_not_repeat_each_other() -> None:
    def timed(*microseconds: int) -> list[Row]:
        return normalise_times([(START * 1000 + us, us, "same") for us in microseconds])[0]

    out, merge = merged([timed(0, 5100, 9000), timed(100, 5100, 5200, 9100)])
    assert [id_of(row[1]) for row in out] == [0, 100, 5100, 5200, 9000, 9100]
    assert merge.repeated_times == [START + 5]


def test_a_file_is_opened_only_when_its_turn_comes() -> None:
    opened: list[int] = []

    def file(first: int) -> TimedSource:
        def read() -> Iterator[list[Row]]:
            opened.append(first)
            yield [(first, 0, "")]
            yield [(first + 5, 1, "")]

        return TimedSource(first, first + 5, read)

    batches = FileMerge([file(20), file(0), file(10)]).batches()
    assert [row[0] for row in next(batches)] == [0, 5]
    assert opened == [0]
    assert [row[0] for rows in batches for row in rows] == [10, 15, 20, 25]
    assert opened == [0, 10, 20]


def test_a_file_that_breaks_off_ends_there_and_the_others_go_on() -> None:
    def broken() -> Iterator[list[Row]]:
        yield [(1, 1, "a")]
        msg = "broken"
        raise RecordingError(msg, "x.db")

    merge = FileMerge([TimedSource(1, 9, broken), source([(3, 1, "b"), (4, 2, "c")])])
    assert [row[0] for rows in merge.batches() for row in rows] == [1, 3, 4]
    assert str(merge.failure) == "broken"


def test_a_file_that_begins_earlier_than_it_said_is_late_and_counted() -> None:
    early = source([(2, 1, "late"), (8, 2, "b")])
    early.first_ms = 6
    merge = FileMerge([source([(1, 1, "a"), (4, 2, "a"), (9, 3, "a")], 1), early])
    assert [row[0] for rows in merge.batches() for row in rows] == [1, 4, 8, 9]
    assert merge.late_times == [2]


@settings(max_examples=30)
@given(st.lists(rows_of_few_kinds, min_size=1, max_size=5), st.integers(1, 4))
def test_many_overlapping_files_come_out_in_time_order_without_a_row_lost(
    files: list[list[Row]], batch: int
) -> None:
    out, merge = merged(files, batch)
    assert [row[0] for row in out] == sorted(row[0] for row in out)
    assert {(ms, what) for ms, _, what in out} == {
        (ms, what) for rows in files for ms, _, what in rows
    }
    assert len(out) + len(merge.repeated_times) == sum(map(len, files))
    assert merge.late_times == []
