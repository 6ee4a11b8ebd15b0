"""One job of a batch: a day of an instrument into Parquet."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batches import damage, files_of
from prepared_runs import prepare
from recording_factory import DAY, START
from truth_runs import MARKED, snapshot, trade, update, write

from formats.parquet_results import ParquetResults
from formats.results import METRICS, OHLC
from recordings.recorded_table import RecordedTable
from replay.job import Job, run_job

pytest.importorskip("pyarrow", reason="results are Parquet files: uv sync --group data")

HOUR = 3_600_000


def job(tmp_path: Path, *files: Path, day: int = 0) -> Job:
    names = tuple(map(str, files))
    into = str(tmp_path / "results")
    return Job("BTC-USDT", START + day * DAY, names, False, into, 60, 50, "auto", False, 1024)


def file(directory: Path, day: int, *rows: Any, trades: Any = None, more: str = "") -> Path:
    """Write a day's file; rows are given by their time in it."""
    deals = [trade(day * DAY + 2 * HOUR)] if trades is None else trades
    return write(directory / f"BTC-USDT-25-06-{9 + day:02}.db", [*rows], deals, more=more)


def test_a_job_is_a_line_and_back(tmp_path: Path) -> None:
    made = job(tmp_path, tmp_path / "a.db")
    assert Job.of_line(made.as_line()) == made
    assert made.day == "2025-06-09"


def test_a_day_is_replayed_and_said(tmp_path: Path) -> None:
    rows = [snapshot(0), *(update(at) for at in range(60_000, HOUR, 60_000))]
    made = job(tmp_path, file(tmp_path, 0, *rows))
    outcome = run_job(made)
    assert outcome.pop("seconds") > 0
    assert outcome == {
        "state": "done", "error": None, "rows": 60, "trades": 1, "book_from": START,
        "counts": outcome["counts"], "not_prepared": None,
    }  # fmt: skip
    assert len(ParquetResults(Path(made.results)).read(METRICS, made.stretch)) == 61


@pytest.mark.parametrize(
    ("day_before", "of_day", "book_from"),
    [
        ([snapshot(0), update(HOUR)], [update(DAY + HOUR)], DAY),
        ([], [snapshot(DAY + HOUR), update(DAY + 2 * HOUR)], DAY + HOUR),
        ([], [update(DAY + HOUR), snapshot(DAY + 2 * HOUR)], DAY + 2 * HOUR),
        ([], [update(DAY + HOUR), update(DAY + 2 * HOUR)], None),
        ([], [], None),
    ],
    ids=["the day before", "a snapshot", "a later snapshot", "never", "no book"],
)
def test_it_says_from_when_the_book_is_right(
    tmp_path: Path, day_before: Any, of_day: Any, book_from: int | None
) -> None:
    def marked(rows: Any) -> Any:
        return [(*row, "snapshot" if len(row[1]) > 100 else "update", None, None) for row in rows]

    path = write(
        tmp_path / "BTC-USDT.db",
        marked([*day_before, *of_day]),
        [trade(DAY + 3 * HOUR)],
        more=MARKED,
    )
    outcome = run_job(job(tmp_path, path, day=1))
    assert outcome["state"] == "done"
    assert outcome["book_from"] == (None if book_from is None else START + book_from)


def test_a_prepared_copy_gives_the_same_results_to_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    paths = [
        file(data, 0, snapshot(0), *(update(at) for at in range(60_000, HOUR, 700))),
        file(data, 1, *(update(DAY + at) for at in range(0, HOUR, 900))),
    ]
    prepare(data, tmp_path / "copies")
    made = job(tmp_path, *paths, day=1)
    text = run_job(made), files_of(tmp_path / "results")
    again = str(tmp_path / "again")
    prepared = replace(made, results=again, prepared_dir=str(tmp_path / "copies"))
    monkeypatch.setattr(RecordedTable, "_read_whole", pytest.fail)
    outcome = run_job(prepared)
    assert files_of(tmp_path / "again") == text[1]
    assert len(text[1]) == 2
    assert {**outcome, "seconds": 0} == {**text[0], "seconds": 0}
    assert outcome["not_prepared"] is None


def test_a_prepared_copy_that_is_not_true_any_more_is_not_used_and_that_is_said(
    tmp_path: Path,
) -> None:
    path = file(tmp_path, 0, snapshot(0), update(HOUR))
    prepare(path, tmp_path / "copies")
    path.touch()
    outcome = run_job(replace(job(tmp_path, path), prepared_dir=str(tmp_path / "copies")))
    assert outcome["state"] == "done"
    assert "the prepared copy is not used" in outcome["not_prepared"]


def test_the_book_at_midnight_comes_from_the_file_before(tmp_path: Path) -> None:
    before = file(tmp_path, 0, snapshot(0), update(HOUR))
    path = file(tmp_path, 1, update(DAY + HOUR), trades=[trade(DAY + 1)])
    run_job(made := job(tmp_path, before, path, day=1))
    bars = ParquetResults(Path(made.results)).read(METRICS, made.stretch)
    assert [(row[5] or 0) > 100 for row in bars if row[5] is not None] == [True]


def test_a_day_without_rows_is_empty_and_what_was_kept_of_it_goes(tmp_path: Path) -> None:
    path = file(tmp_path, 0, snapshot(0), snapshot(3 * DAY), trades=[trade(3 * DAY)])
    made = job(tmp_path, path, day=1)
    ParquetResults(Path(made.results)).write(
        made.stretch, {OHLC: [(START + DAY, 1, 1, 1, 1, 1, 1)]}
    )
    outcome = run_job(made)
    assert (outcome["state"], outcome["rows"], outcome["error"]) == ("empty", 0, None)
    assert files_of(Path(made.results)) == {}


def test_a_damaged_day_fails_with_its_reason_and_nothing_is_written(tmp_path: Path) -> None:
    rows = [snapshot(0), *(update(at) for at in range(1000, 2_000_000, 1000))]
    path = file(tmp_path, 0, *rows)
    damage(path)
    outcome = run_job(made := job(tmp_path, path))
    assert outcome["state"] == "failed"
    assert str(path) in outcome["error"]
    assert files_of(Path(made.results)) == {}


def test_where_the_day_before_is_damaged_the_day_is_replayed_without_it(tmp_path: Path) -> None:
    rows = [snapshot(0), *(update(at) for at in range(1000, 2_000_000, 1000))]
    before = file(tmp_path, 0, *rows)
    damage(before)
    path = file(tmp_path, 1, update(DAY), snapshot(DAY + HOUR))
    outcome = run_job(job(tmp_path, before, path, day=1))
    assert (outcome["state"], outcome.get("rows")) == ("done", 2), outcome["error"]
    assert outcome["error"].startswith("the book before the day cannot be read")


def test_what_cannot_be_opened_fails(tmp_path: Path) -> None:
    path = file(tmp_path, 0, snapshot(0))
    path.write_bytes(b"no database" * 1000)
    assert str(path) in run_job(job(tmp_path, path))["error"]
    gone = job(tmp_path, tmp_path / "BTC-USDT-25-06-09x.db")
    assert run_job(replace(gone, instrument="ETH-USDT"))["state"] in {"empty", "failed"}


def test_results_that_cannot_be_written_fail(tmp_path: Path) -> None:
    made = job(tmp_path, file(tmp_path, 0, snapshot(0), update(HOUR)))
    Path(made.results).write_text("in the way")
    outcome = run_job(made)
    assert (outcome["state"], "name another DIR" in outcome["error"]) == ("failed", True)
