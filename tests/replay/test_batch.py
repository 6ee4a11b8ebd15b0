"""Batches: which jobs there are, what is done again, and what becomes of those that fail."""

import json
import re
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import typer.main
from batches import Inline, damage, files_of, part_of, path_of, rows_of, write_market
from places import PROJECT
from prepared_runs import prepare
from recording_factory import DAY, START, change
from truth_runs import snapshot, trade, update, write
from typer.testing import CliRunner

import main
from formats.jobs_table import JobRow, JobsTable
from formats.results import DATABASE_NAME, METRIC_VALUES, METRICS, OHLC
from formats.results_database import DatabaseResults
from orderflow.errors import NothingToReplayError, OrderflowError, OutputError, UsageError
from replay import __main__ as command
from replay import batch
from replay.batch import BatchOptions, Report, Storage
from replay.child import run_child
from replay.job import run_job
from replay.schedulers import COMMAND, LOST, open_scheduler

pytest.importorskip("pyarrow", reason="results are Parquet files: uv sync --group data")

DAYS = 2
HOUR = 3_600_000
OPTIONS = BatchOptions()
PLAIN = (OHLC, METRICS)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two days of one instrument, of 150 rows each."""
    return write_market(tmp_path / "data", DAYS, 150, ("BTC-USDT",))


def run(
    data: Path,
    results: Path,
    days: int = DAYS,
    options: BatchOptions = OPTIONS,
    scheduler: Inline | None = None,
    names: tuple[str, ...] = ("BTC-USDT",),
) -> Report:
    with closing(Storage(results, options)) as storage:
        todo = storage.plan(names, data, START, START + days * DAY)
        assert storage.run(todo, scheduler or Inline())
        return storage.report


def jobs(results: Path) -> dict[str, JobRow]:
    """Return the rows of the table by day."""
    rows = JobsTable(DatabaseResults(results / DATABASE_NAME)).all().values()
    return {row.day: row for row in rows}


def counts(report: Report) -> tuple[int, int, int, int]:
    return report.skipped, len(report.done), len(report.empty), len(report.failed)


def test_a_batch_keeps_what_one_run_over_all_days_keeps(data: Path, tmp_path: Path) -> None:
    report = run(data, tmp_path / "batch")
    words = ["BTC-USDT", "2025-06-09", "2025-06-11", "--no-ui", "-q", "--data-dir", str(data)]
    words += ["--output-dir", str(tmp_path / "out"), "--results", str(tmp_path / "one")]
    assert CliRunner().invoke(main.app, words).exit_code == 0
    assert (report.total, counts(report)) == (DAYS, (0, DAYS, 0, 0))
    assert files_of(tmp_path / "batch") == files_of(tmp_path / "one")
    assert len(files_of(tmp_path / "one")) == len(PLAIN) * DAYS
    assert rows_of(tmp_path / "batch", DAYS) == rows_of(tmp_path / "one", DAYS)
    row = jobs(tmp_path / "batch")["2025-06-10"]
    assert (row.state, row.attempts, row.rows, row.book_from) == ("done", 1, 150, START + DAY)


def test_prepared_copies_change_no_result_and_one_that_is_not_used_is_said(
    data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepare(data, tmp_path / "copies")
    path_of(data, "BTC-USDT", 1).touch()
    run(data, tmp_path / "of-text")
    run(data, tmp_path / "of-copies", options=replace(OPTIONS, prepared_dir=tmp_path / "copies"))
    assert files_of(tmp_path / "of-copies") == files_of(tmp_path / "of-text")
    (said,) = caplog.messages
    assert said.startswith("BTC-USDT 2025-06-10: the prepared copy is not used: ")


def test_what_is_done_is_not_done_again_unless_something_has_changed(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    run(data, results)
    before = files_of(results)
    assert counts(run(data, results)) == (DAYS, 0, 0, 0)
    change(path_of(data, "BTC-USDT", 1), "DELETE FROM trades WHERE id = 1")
    assert counts(run(data, results)) == (1, 1, 0, 0)
    after = files_of(results)
    assert {name for name in after if after[name] != before[name]} == {
        part_of(table, "BTC-USDT", 1) for table in PLAIN
    }
    for table in PLAIN:
        (results / part_of(table, "BTC-USDT", 0)).unlink()
    assert counts(run(data, results)) == (1, 1, 0, 0)
    assert files_of(results) == after
    (results / part_of(OHLC, "BTC-USDT", 0)).unlink()
    assert counts(run(data, results)) == (1, 1, 0, 0)
    assert files_of(results) == after
    monkeypatch.setattr(batch, "CODE_VERSION", "another")
    assert counts(run(data, results)) == (0, DAYS, 0, 0)


def test_other_options_are_other_jobs_and_what_they_replace_is_done_again(
    data: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    run(data, results)
    before = files_of(results)
    shallow = replace(OPTIONS, depth_levels=1)
    assert counts(run(data, results, options=shallow)) == (0, DAYS, 0, 0)
    assert files_of(results) != before
    assert counts(run(data, results, options=shallow)) == (DAYS, 0, 0, 0)
    assert counts(run(data, results)) == (0, DAYS, 0, 0)
    assert files_of(results) == before
    hourly = replace(OPTIONS, window_seconds=3600)
    assert counts(run(data, results, options=hourly)) == (0, DAYS, 0, 0)
    assert counts(run(data, results)) == (DAYS, 0, 0, 0)
    limits = replace(OPTIONS, memory_mb=2048, seconds=60)
    assert counts(run(data, results, options=limits)) == (DAYS, 0, 0, 0)


def test_a_day_that_another_batch_has_begun_to_replace_is_done_again(
    data: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    run(data, results)
    before = files_of(results)
    shallow = replace(OPTIONS, depth_levels=1)
    with closing(Storage(results, shallow)) as storage:
        (job, _), *_ = storage.plan(["BTC-USDT"], data, START, START + DAY)
        run_job(job)  # and the command is killed before it hears of it
    assert files_of(results) != before
    assert counts(run(data, results)) == (1, 1, 0, 0)
    assert files_of(results) == before


def test_a_day_whose_files_are_of_two_runs_is_done_again(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "results")
    run(data, tmp_path / "shallow", options=replace(OPTIONS, depth_levels=1))
    before = files_of(tmp_path / "results")
    of_day = part_of(METRICS, "BTC-USDT", 0)  # has as many rows in both
    (tmp_path / "results" / of_day).write_bytes((tmp_path / "shallow" / of_day).read_bytes())
    assert counts(run(data, tmp_path / "results")) == (1, 1, 0, 0)
    assert files_of(tmp_path / "results") == before


def test_a_torn_file_of_results_is_said_and_never_taken_for_whole(
    data: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    run(data, results)
    path = results / part_of(METRICS, "BTC-USDT", 0)
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    report = run(data, results)
    assert counts(report) == (1, 0, 0, 1)
    assert "holds no results of this program" in str(report.failed[0].error)
    path.unlink()
    assert counts(run(data, results)) == (1, 1, 0, 0)
    assert path.read_bytes() == whole


def test_an_instrument_that_is_named_twice_in_other_cases_is_replayed_once(
    data: Path, tmp_path: Path
) -> None:
    with closing(Storage(tmp_path / "results", OPTIONS)) as storage:
        names = ["btc-usdt", "BTC-USDT", "BTC-USDT"]
        todo = storage.plan(names, data, START, START + DAYS * DAY)
    assert [job.day for job, _ in todo] == ["2025-06-09", "2025-06-10"]
    assert storage.report.total == DAYS


def test_a_job_is_given_its_limits(data: Path, tmp_path: Path) -> None:
    scheduler, limits = Inline(), replace(OPTIONS, memory_mb=2048, seconds=60)
    with closing(Storage(tmp_path / "results", limits)) as storage:
        todo = storage.plan(["BTC-USDT"], data, START, START + DAY)
        storage.run(todo, scheduler)
    assert ({job.memory_mb for job, _ in todo}, scheduler.seconds) == ({2048}, {60})


def test_metrics_that_are_asked_for_are_kept_as_a_run_of_the_day_keeps_them(
    data: Path, tmp_path: Path
) -> None:
    asked = "ofi", "vwap", "cvd"
    run(data, tmp_path / "batch", options=replace(OPTIONS, metrics=asked))
    words = ["BTC-USDT", "2025-06-10", "2025-06-11", "--no-ui", "-q", "--data-dir", str(data)]
    words += ["--output-dir", str(tmp_path / "out"), "--results", str(tmp_path / "one")]
    words += [word for name in asked for word in ("--metric", name)]
    assert CliRunner().invoke(main.app, words).exit_code == 0
    second = {n: d for n, d in files_of(tmp_path / "batch").items() if "day=2025-06-10" in n}
    assert second == files_of(tmp_path / "one")
    assert part_of(METRIC_VALUES, "BTC-USDT", 1) in second
    assert counts(run(data, tmp_path / "batch")) == (0, DAYS, 0, 0)
    assert part_of(METRIC_VALUES, "BTC-USDT", 1) in files_of(tmp_path / "batch")


def test_a_run_that_writes_over_a_day_has_it_done_again(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "results")
    words = ["BTC-USDT", "2025-06-09", "2025-06-10", "--no-ui", "-q", "--data-dir", str(data)]
    words += ["--output-dir", str(tmp_path / "out"), "--depth-levels", "3"]
    done = CliRunner().invoke(main.app, [*words, "--results", str(tmp_path / "results")])
    assert done.exit_code == 0
    assert counts(run(data, tmp_path / "results")) == (1, 1, 0, 0)


def test_days_without_a_recording_are_empty_and_what_was_kept_of_them_goes(
    data: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    run(data, results)
    path_of(data, "BTC-USDT", 1).unlink()
    assert counts(run(data, results, days=3)) == (1, 0, 2, 0)
    assert set(files_of(results)) == {part_of(table, "BTC-USDT", 0) for table in PLAIN}
    assert len(rows_of(results, DAYS)[OHLC.name]) == len(rows_of(results, 1)[OHLC.name])
    assert jobs(results)["2025-06-11"].state == "empty"
    with pytest.raises(NothingToReplayError, match="no recording of DOGE-USDT"):
        run(data, results, names=("DOGE-USDT",))


@pytest.mark.parametrize("poison", ["damaged", "no database", "empty file"])
def test_poison_fails_alone_with_its_reason(data: Path, tmp_path: Path, poison: str) -> None:
    results = tmp_path / "results"
    run(data, tmp_path / "well")
    path = path_of(data, "BTC-USDT", 0)
    if poison == "damaged":
        damage(path)
    else:
        path.write_bytes(b"what is this" * 999 if poison == "no database" else b"")
    scheduler = Inline()
    report = run(data, results, scheduler=scheduler)
    assert counts(report) == (0, 1, 0, 1)
    row = jobs(results)["2025-06-09"]
    assert (row.state, row.instrument) == ("failed", "BTC-USDT")
    assert str(path) in (row.error or "")
    if poison == "damaged":
        assert (row.attempts, scheduler.given.count(0)) == (2, 2)
    well = files_of(tmp_path / "well")
    assert files_of(results) == {n: well[n] for n in well if "day=2025-06-10" in n}


@pytest.mark.parametrize("poison", [damage, lambda path: path.write_bytes(b"what is this" * 999)])
def test_the_book_at_midnight_does_not_come_from_before_a_day_that_cannot_be_read(
    tmp_path: Path, poison: Callable[[Path], object]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    hours = range(0, DAY, HOUR // 20)
    for day, rows in enumerate(
        [
            [snapshot(0), *(update(at) for at in hours[1:])],
            [update(DAY + at) for at in hours],
            [*(update(2 * DAY + at) for at in hours[:20]), snapshot(2 * DAY + HOUR)],
        ]
    ):
        write(path_of(data, "BTC-USDT", day), rows, [trade(day * DAY + 1, day)])
    assert counts(run(data, tmp_path / "well", days=3)) == (0, 3, 0, 0)
    assert jobs(tmp_path / "well")["2025-06-11"].book_from == START + 2 * DAY
    poison(path_of(data, "BTC-USDT", 1))
    assert counts(run(data, tmp_path / "results", days=3)) == (0, 2, 0, 1)
    assert jobs(tmp_path / "results")["2025-06-11"].book_from is None


FAILED = {"state": "failed", "error": "why"}
DIED = {"state": LOST, "error": "its workers died"}


@pytest.mark.parametrize(
    ("told", "state", "attempts"),
    [
        ([FAILED], "done", 2),
        ([FAILED, FAILED], "failed", 2),
        ([DIED] * 4, "done", 1),
        ([DIED] * 5, "failed", 0),
        ([FAILED, *[DIED] * 4], "done", 2),
    ],
)
def test_a_failure_counts_and_a_worker_that_dies_is_not_the_jobs_fault(
    data: Path, tmp_path: Path, told: list[Any], state: str, attempts: int
) -> None:
    results = tmp_path / "results"
    counts_of = counts(run(data, results, scheduler=Inline({0: list(told)})))
    row = jobs(results)["2025-06-09"]
    assert (row.state, jobs(results)["2025-06-10"].state) == (state, "done")
    assert row.attempts == attempts
    assert (row.error is None) == (state == "done")
    assert counts_of[1] + counts_of[3] == DAYS
    assert counts(run(data, results))[0] == counts_of[1]


def test_what_is_stopped_goes_on_where_it_was(data: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    with closing(Storage(results, OPTIONS)) as storage:
        todo = storage.plan(["BTC-USDT"], data, START, START + DAYS * DAY)

        def stop_after_one(report: Report) -> None:
            if report.done:
                storage.stop()

        assert not storage.run(todo, Inline(), stop_after_one)
    assert {row.day: row.state for row in jobs(results).values()} == {
        "2025-06-09": "done", "2025-06-10": "waiting",
    }  # fmt: skip
    assert counts(run(data, results)) == (1, 1, 0, 0)


def test_one_batch_at_a_time_fills_a_directory(tmp_path: Path) -> None:
    with closing(Storage(tmp_path, OPTIONS)), pytest.raises(OutputError, match="another batch"):
        Storage(tmp_path, OPTIONS)
    Storage(tmp_path, OPTIONS).close()


def invoke(*words: object) -> Any:
    return CliRunner().invoke(command.app, ["batch", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("2025-06-09T12:00", "2025-06-10"), "whole days"),
        (("2025-06-09", "2025-06-10", "--window-seconds", 7), "divide"),
        (("2025-06-09", "2025-06-10", "--scheduler", "ray"), "none, local or tcp"),
        (("2025-06-09", "2025-06-10", "--workers", 0), "1 to 256"),
        (
            ("2025-06-09", "2025-06-10", "--scheduler", "tcp://x:1", "--workers", 2),
            "workers that were started",
        ),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    tmp_path: Path, words: tuple[object, ...], said: str
) -> None:
    result = invoke("BTC-USDT", *words, "--results", tmp_path / "results")
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)
    assert not (tmp_path / "results").exists()


@pytest.mark.thorough
def test_the_command_runs_each_job_in_a_process_and_prints_a_summary(
    data: Path, tmp_path: Path
) -> None:
    days = "BTC-USDT", "2025-06-09", "2025-06-12", "--data-dir", data
    result = invoke(*days, "--results", tmp_path / "results", "--json", "--workers", 2)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    seconds = summary.pop("seconds")
    assert seconds > 0
    assert summary == {
        "state": "finished", "jobs": 3, "skipped": 0, "done": 2, "empty": 1, "failed": [],
        "rows": 300, "trades": summary["trades"],
    }  # fmt: skip
    run(data, tmp_path / "inline")
    assert files_of(tmp_path / "results") == files_of(tmp_path / "inline")
    damage(path_of(data, "BTC-USDT", 0))
    result = invoke(*days, "--results", tmp_path / "results")
    assert result.exit_code == 1
    assert "1 done before, 1 without a recording, 1 failed" in result.output
    assert "Error: BTC-USDT 2025-06-09: " in result.output


def test_every_option_and_column_is_on_its_page() -> None:
    page = (PROJECT / "docs" / "batch.md").read_text()
    group: Any = typer.main.get_command(command.app)
    options = {opt for p in group.commands["batch"].params for opt in p.opts if opt[:2] == "--"}
    assert options - {"--verbose", "--quiet"} == set(re.findall(r"`(--[a-z-]+)`", page))
    table = page.split("## The table of jobs")[1].split("## A cluster")[0]
    columns = {field.name for field in fields(JobRow)}
    assert columns <= set(re.findall(r"`(\w+)`", table))


def test_days_of_which_there_is_nothing_at_all_are_an_error(data: Path, tmp_path: Path) -> None:
    words = "BTC-USDT", "2024-06-09", "2024-06-12", "--data-dir", data, "--results"
    for _ in range(2):
        result = invoke(*words, tmp_path / "results")
        assert isinstance(result.exception, NothingToReplayError)


def test_a_job_that_is_none_fails() -> None:
    said = run_child(COMMAND, str(PROJECT), "no job", 60)
    assert said["state"] == "failed"
    assert "a bug in the program" in said["error"]


def test_without_dask_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(OrderflowError, match="uv sync --group batch"):
        open_scheduler("local", 1)
