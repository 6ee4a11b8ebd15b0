"""Times as they are typed and written; as they are recorded: tests/recordings/test_row_order.py."""

import pytest

from orderflow.errors import UsageError
from orderflow.times import (
    format_dates,
    format_duration,
    format_range,
    format_utc,
    parse_moment,
    parse_range,
)

START = 1_749_427_200_000  # 2025-06-09
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2025-06-31", "June 2025 has 30 days; found 31"),
        ("2025-06-31T12:30", "June 2025 has 30 days; found 31"),
        ("20250631", "June 2025 has 30 days; found 31"),
        ("2025-02-29", "February 2025 has 28 days; found 29"),
        ("2024-02-30", "February 2024 has 29 days; found 30"),
        ("9999-12-32", "December 9999 has 31 days; found 32"),
        ("2025-06-00", "June 2025 has 30 days; found 00"),
        ("2025-13-09", "a year has months 01 to 12; found 13"),
        ("2025-00-09", "a year has months 01 to 12; found 00"),
    ],
)
def test_a_day_that_does_not_exist_is_said_to_be_none(text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_moment("END", text)
    assert str(caught.value) == f"END {text!r} is not a time: {why}"


@pytest.mark.parametrize("text", ["", "yesterday", "2025-06-09T25:00", "09.06.2025", "0000-01-01"])
def test_a_text_that_is_no_time_shows_the_forms_that_are(text: str) -> None:
    with pytest.raises(UsageError, match="it must be a date like 2025-06-09 or 2025-06-09T12:30"):
        parse_moment("START", text)


def test_ranges_are_in_utc_unless_they_say_otherwise() -> None:
    assert parse_range("2025-06-09", "2025-06-10") == (START, START + 24 * HOUR)
    assert parse_range("2025-06-09T12:30", "2025-06-09T14:30+01:00") == (
        START + 12 * HOUR + HOUR // 2,
        START + 13 * HOUR + HOUR // 2,
    )
    with pytest.raises(UsageError):
        parse_range("2025-06-09T02:00+02:00", "2025-06-09")


def test_a_time_is_written_in_utc_without_its_fraction() -> None:
    assert format_utc(START + HOUR + 999) == "2025-06-09 01:00:00"
    assert format_utc(0) == "1970-01-01 00:00:00"
    assert format_utc(None) == "-"


def test_two_times_of_one_day_are_one_date() -> None:
    assert format_dates(START, START + HOUR) == "2025-06-09"
    assert format_dates(START, START + 48 * HOUR) == "2025-06-09 to 2025-06-11"


def test_a_range_is_written_as_it_is_typed() -> None:
    text = format_range(START, START + HOUR)
    assert text == "2025-06-09T00:00 to 2025-06-09T01:00"
    assert parse_range(*text.split(" to ")) == (START, START + HOUR)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (14.4, "14 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86_399, "23 h 59 min"),
        (86_400, "1 d"),
        (273_600, "3 d 4 h"),
    ],
)
def test_a_length_of_time_has_two_units_at_most(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
