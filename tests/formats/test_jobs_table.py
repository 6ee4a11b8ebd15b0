"""The table of jobs, which the driver writes beside the results."""

from dataclasses import replace
from pathlib import Path

from recording_factory import DAY, START

from formats.jobs_table import REPLACED, JobRow, JobsTable
from formats.results import OHLC, Row, Stretch
from formats.results_database import DatabaseResults

DONE = JobRow("BTC-USDT", "2025-06-09", "aa", 60, "{}", "done", 1, 0.5, 10, 3, START, "{}")
FIRST_DAY = Stretch("BTC-USDT", 60, START, START + DAY)
ROWS: dict[object, list[Row]] = {OHLC: [(START, 1.0, 1.0, 1.0, 1.0, 1.0, 1)]}


def test_jobs_are_read_as_they_were_written(tmp_path: Path) -> None:
    table = JobsTable(DatabaseResults(tmp_path / "r.sqlite"))
    assert table.all() == {}
    other = replace(DONE, options_hash="bb", state="failed", error="why")
    table.put([DONE, other])
    table.put([replace(DONE, attempts=2)])
    assert table.all() == {DONE.key: replace(DONE, attempts=2), other.key: other}


def test_who_writes_over_the_results_of_a_job_says_so_in_its_row(tmp_path: Path) -> None:
    database = DatabaseResults(tmp_path / "r.sqlite")
    table = JobsTable(database)
    table.put_done(DONE, FIRST_DAY, ROWS)  # type: ignore[arg-type]
    rows = (DONE, replace(DONE, day="2025-06-10"), replace(DONE, instrument="ETH-USDT"))
    table.put([*rows, replace(DONE, window_seconds=30, options_hash="cc")])
    assert database.read(OHLC, FIRST_DAY) == ROWS[OHLC]
    database.write(replace(FIRST_DAY, end_ms=START + 60_000), ROWS)  # type: ignore[arg-type]
    states = {key: row.state for key, row in table.all().items()}
    assert [key for key, state in states.items() if state == REPLACED] == [DONE.key]
    other = replace(DONE, options_hash="dd")
    table.put([DONE])
    table.put_done(other, FIRST_DAY, ROWS)  # type: ignore[arg-type]
    assert (table.all()[DONE.key].state, table.all()[other.key].state) == (REPLACED, "done")
