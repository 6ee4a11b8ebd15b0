"""What a recorder says it lost is counted where it lies in the recording."""

import sqlite3
from contextlib import closing

import pytest

from recordings.day_file import RECORDER_TABLES
from recordings.recorder_losses import losses_in

PLAYED = 1_000_000  # what is recorded is of long ago, as when the simulator plays it again
CLOCK = 9_000_000


@pytest.mark.parametrize(
    ("before", "after", "counts"),
    [
        (PLAYED + 10, PLAYED + 20, True),
        (PLAYED - 10, PLAYED + 10, True),
        (PLAYED + 10, None, True),
        (None, PLAYED + 10, True),
        (PLAYED - 20, PLAYED - 10, False),
        (PLAYED + 1000, PLAYED + 1010, False),
        (None, None, False),
    ],
)
def test_a_loss_lies_between_the_rows_around_it_whatever_the_recorders_clock_said(
    before: int | None, after: int | None, counts: bool
) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.text_factory = bytes
        connection.execute(f"CREATE TABLE recorder_events({RECORDER_TABLES['recorder_events']})")
        connection.execute(
            "INSERT INTO recorder_events VALUES (1, 'killed', 'BTC-USDT', ?, ?, 1, '', ?, ?)",
            (CLOCK, CLOCK + 5, before, after),
        )
        found = losses_in(connection, "BTC-USDT", PLAYED, PLAYED + 1000)
        assert found == ({"killed": 1} if counts else {})
