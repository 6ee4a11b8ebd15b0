"""Bars and metrics that a run keeps beyond its newest thousand: `--results`."""

import json
import sqlite3
from collections.abc import Collection
from contextlib import closing, nullcontext
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import Any

import pytest
from metric_runs import columns
from recording_factory import DAY, START, small_batches
from truth_runs import Row as BookRow
from truth_runs import snapshot, trade, update, write
from typer.testing import CliRunner

import main
from formats.parquet_results import ParquetResults
from formats.results import (
    METRIC_VALUES,
    METRICS,
    OHLC,
    Repository,
    ResultsError,
    ResultTable,
    Row,
    Stretch,
)
from formats.results_database import DatabaseResults
from metrics.registry import parse_metrics
from orderflow.errors import UsageError
from recordings.discovery import find_recording
from replay.follow import FollowReplay
from replay.kept_results import KeptResults, repositories
from replay.parallel import ParallelReplay
from replay.run import Replay, ReplayOptions
from replay.run_files import RunFiles

pytest.importorskip("pyarrow", reason="results are Parquet files: uv sync --group data")

HOUR = 3_600_000
DAYS = 3


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days, a row each half hour and a trade each 42 minutes, sizes that do not add up."""
    directory = tmp_path_factory.mktemp("days")
    for day in range(DAYS):
        times = range(day * DAY, (day + 1) * DAY, 1_800_000)
        rows = [snapshot(times[0]), *(update(at) for at in times[1:])]
        write(directory / f"BTC-USDT-25-06-{9 + day:02}.db", rows, trades_of(day))
    return directory


def trades_of(day: int) -> list[BookRow]:
    times = range(day * DAY + 60_000, (day + 1) * DAY, 2_520_000)
    return [
        (
            START + at,
            f"{at}",
            1000.0 + at % 7,
            at % 11 * 0.1 + 0.1,
            ("buy", "sell")[at // 2_520_000 % 2],
        )
        for at in times
    ]


def run(
    data: Path,
    into: Path,
    start: int = 0,
    end: int = DAYS * DAY,
    *,
    jobs: int = 1,
    flow: bool | None = False,
    stop_at: int | None = None,
    follow: bool = False,
    repository: Repository | None = None,
) -> Replay:
    """Replay and keep the results under `into`; the other files are in `into / "out"`."""
    options = ReplayOptions("BTC-USDT", START + start, START + end, 60, jobs=jobs, flow=flow)
    whole = Stretch("BTC-USDT", 60, options.start_ms, options.end_ms)
    kept = KeptResults(whole, 50, [repository] if repository else repositories(into / "results"))
    files = RunFiles(into / "out")
    if follow:
        options = replace(options, follow=True)
        followed = FollowReplay(options, data, "auto", files, results=kept)
        assert followed.run() == "finished"
        files.close()
        return followed
    recording = find_recording("BTC-USDT", data, options.start_ms, options.end_ms)
    kind = ParallelReplay if jobs > 1 else Replay
    replay = kind(options, recording, files, lambda _: None, kept)
    if stop_at is not None:
        process = replay.processor.process_rows

        def process_rows(batch: object) -> None:
            process(batch)  # type: ignore[arg-type]
            if (replay.processor.last_event or 0) >= START + stop_at:
                replay.stop()

        replay.processor.process_rows = process_rows  # type: ignore[method-assign]
    replay.run()
    files.close()
    return replay


def kept(into: Path, table: ResultTable, start: int = 0, end: int = DAYS * DAY) -> list[Row]:
    """Return what both repositories have, which is the same."""
    stretch = Stretch("BTC-USDT", 60, START + start, START + end)
    parquet, database = (r.read(table, stretch) for r in repositories(into / "results"))
    assert parquet == database
    return parquet


def files_of(into: Path) -> dict[str, bytes]:
    found = (into / "results").rglob("*.parquet")
    return {str(path.relative_to(into)): path.read_bytes() for path in found}


def test_a_day_is_what_the_runs_files_of_that_day_have(recording: Path, tmp_path: Path) -> None:
    run(recording, tmp_path, DAY, 2 * DAY)
    for name, table in (("ohlc_data", OHLC), ("metrics_data", METRICS)):
        written = json.loads((tmp_path / "out" / f"{name}.json").read_bytes())
        assert [row[: len(written[0])] for row in kept(tmp_path, table)] == [
            tuple(bar) for bar in written
        ]
        assert len(written) > 30
    assert {row[-1] for row in kept(tmp_path, METRICS)} == {50}


WAYS = [
    "at once, with the order flow",
    "in small pieces",
    "following it",
    pytest.param("by three processes", marks=pytest.mark.thorough),
]


@pytest.mark.parametrize("way", WAYS)
def test_it_does_not_matter_how_days_are_replayed(
    recording: Path, tmp_path: Path, way: str
) -> None:
    for day in range(DAYS):
        run(recording, tmp_path / "daily", day * DAY, (day + 1) * DAY)
    jobs, flow = (3, False) if way == "by three processes" else (1, None)
    with small_batches(16, 64) if "pieces" in way else nullcontext():
        run(recording, tmp_path / "whole", jobs=jobs, flow=flow, follow="following" in way)
    assert files_of(tmp_path / "whole") == files_of(tmp_path / "daily")
    assert len(files_of(tmp_path / "whole")) == 2 * DAYS
    assert kept(tmp_path / "whole", METRICS) == kept(tmp_path / "daily", METRICS)


def test_cvd_begins_at_0_each_day_and_volume_and_count_are_those_of_the_trades(
    recording: Path, tmp_path: Path
) -> None:
    run(recording, tmp_path)
    for day in range(DAYS):
        rows = kept(tmp_path, METRICS, day * DAY, (day + 1) * DAY)
        signed = [size if side == "buy" else -size for *_, size, side in trades_of(day)]
        assert rows[0][9] == 0.0
        assert rows[-1][12] == pytest.approx(sum(signed), abs=1e-9)
        bars = kept(tmp_path, OHLC, day * DAY, (day + 1) * DAY)
        assert sum(row[5] for row in bars) == pytest.approx(sum(t[3] for t in trades_of(day)))
        assert sum(row[6] for row in bars) == len(trades_of(day))


def test_before_the_first_sample_of_a_day_there_is_no_value(tmp_path: Path) -> None:
    rows = [snapshot(0), update(HOUR), update(DAY + HOUR)]
    trades: list[BookRow] = [
        (START + at, f"{at}", 1.0, 1.0, "buy") for at in (60_000, DAY, DAY + 2 * HOUR)
    ]
    write(tmp_path / "BTC-USDT.db", rows, trades)
    run(tmp_path / "BTC-USDT.db", tmp_path)
    second = kept(tmp_path, METRICS, DAY)
    assert [row[1] is None for row in second] == [True, False, False]
    assert kept(tmp_path, METRICS)[0][1] is not None


def test_a_run_that_is_stopped_keeps_whole_windows_and_leaves_the_rest(
    recording: Path, tmp_path: Path
) -> None:
    stretch = Stretch("BTC-USDT", 60, START, START + DAYS * DAY)
    row: Row = (START + 2 * DAY, 1.0, 1.0, 1.0, 1.0, 1.0, 1)
    for repository in repositories(tmp_path / "results"):
        repository.write(stretch, {OHLC: [row]})
    with small_batches(16, 64):
        replay = run(recording, tmp_path, stop_at=DAY)
    reached = replay.processor.last_event or 0
    assert replay.state == "stopped"
    assert START + DAY <= reached < START + 2 * DAY
    last_window = reached // 60_000 * 60_000
    *found, old = kept(tmp_path, OHLC)
    assert old == row
    run(recording, tmp_path / "whole")
    assert found == [r for r in kept(tmp_path / "whole", OHLC) if (r[0] or 0) < last_window]


@pytest.mark.thorough
def test_of_several_processes_that_are_stopped_nothing_is_kept_where_trades_were_ahead_of_rows(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_trades = ParallelReplay._read_trades

    def read_and_stop(replay: ParallelReplay) -> object:
        failure = read_trades(replay)
        replay.stop()
        return failure

    monkeypatch.setattr(ParallelReplay, "_read_trades", read_and_stop)
    assert run(recording, tmp_path, jobs=2).state == "stopped"
    run(recording, tmp_path / "whole")
    for table in (OHLC, METRICS):
        found = kept(tmp_path, table)
        assert found == kept(tmp_path / "whole", table)[: len(found)]


class Failing:
    """A repository that fails some times."""

    def __init__(self, times: int, into: Repository) -> None:
        self.left, self.into = times, into

    def write(
        self,
        stretch: Stretch,
        rows: dict[ResultTable, list[Row]],
        among: Collection[str] | None = None,
    ) -> None:
        self.left -= 1
        if self.left >= 0:
            raise ResultsError("full", Path("x"))
        self.into.write(stretch, rows, among)

    def read(
        self, table: ResultTable, stretch: Stretch, among: Collection[str] | None = None
    ) -> list[Row]:
        raise NotImplementedError


def test_what_could_not_be_written_is_tried_again(recording: Path, tmp_path: Path) -> None:
    run(recording, tmp_path / "well")
    into: list[Repository] = [ParquetResults(tmp_path / "once" / "results")]
    replay = run(recording, tmp_path / "once", repository=Failing(1, into[0]))  # type: ignore[arg-type]
    assert replay.results is not None
    assert (replay.state, replay.results.failure) == ("finished", None)
    assert files_of(tmp_path / "once") == files_of(tmp_path / "well")
    replay = run(recording, tmp_path / "never", repository=Failing(99, into[0]))  # type: ignore[arg-type]
    assert replay.state == "finished"
    assert replay.results is not None
    assert str(replay.results.failure) == "full"


class Crossed(DatabaseResults):
    """Results into which another run writes a metric just before each write."""

    def write(self, stretch: Stretch, rows: Any, among: Any = None) -> None:
        if METRIC_VALUES in rows:
            other = [(stretch.start_ms, "other", "value", 1.0)]
            super().write(stretch, {METRIC_VALUES: other}, ["other"])
        super().write(stretch, rows, among)


def test_what_another_run_keeps_meanwhile_of_other_metrics_stays(
    recording: Path, tmp_path: Path
) -> None:
    asked = parse_metrics(["spread"], lambda _: 0)
    options = ReplayOptions("BTC-USDT", START, START + DAY, metrics=tuple(asked), flow=False)
    whole, into = Stretch("BTC-USDT", 60, START, START + DAY), Crossed(tmp_path / "results.sqlite")
    files = RunFiles(tmp_path / "out")
    found = find_recording("BTC-USDT", recording, START, START + DAY)
    keeping = KeptResults(whole, 50, [into], None, asked)
    assert Replay(options, found, files, results=keeping).run() == "finished"
    files.close()
    assert {row[1] for row in into.read(METRIC_VALUES, whole)} == {"other", "spread"}


def with_metrics(recording: Path, into: Path, *words: str) -> dict[tuple[str, str], list[float]]:
    """Keep what is asked for of two days; return the values kept, by metric and field."""
    days = ["BTC-USDT", "2025-06-09", "2025-06-11", "--no-ui", "-q", "--data-dir", str(recording)]
    days += ["--output-dir", str(into / "out"), "--results", str(into / "results")]
    done = CliRunner().invoke(main.app, [*days, "--no-flow", *words])
    assert done.exit_code == 0, done.output
    stretch = Stretch("BTC-USDT", 60, START, START + 2 * DAY)
    found = [r.read(METRIC_VALUES, stretch) for r in repositories(into / "results")]
    assert found[0] == found[1]
    values: dict[tuple[str, str], list[float]] = {}
    for _, name, part, value in found[0]:
        values.setdefault((name, part), []).append(value)
    return values


def test_metrics_asked_for_are_kept_as_the_file_has_them_beside_those_of_other_runs(
    recording: Path, tmp_path: Path
) -> None:
    asked = ("spread", "vpin:volume=2,buckets=3", "cvd")
    values = with_metrics(recording, tmp_path, *(w for name in asked for w in ("--metric", name)))
    header, arrays = columns((tmp_path / "out" / "metric_bars.bin").read_bytes())
    for place, metric in enumerate(header["metrics"]):
        for number, name in enumerate(metric["fields"]):
            written = arrays[f"metric_{place}"][number :: len(metric["fields"])]
            none_for_nan = [None if isnan(value) else value for value in written]
            assert values.pop((asked[place], name)) == none_for_nan
    assert values == {}
    more = with_metrics(recording, tmp_path, "--metric", "delta", "--metric", "cvd")
    assert {name for name, _ in more} == {*asked, "delta"}
    hourly = with_metrics(recording, tmp_path, "--metric", "spread", "--bars", "time:3600")
    assert hourly == more
    hours = Stretch("BTC-USDT", 3600, START, START + 2 * DAY)
    kept_hours = ParquetResults(tmp_path / "results").read(METRIC_VALUES, hours)
    assert len(kept_hours) == 48 * 4
    assert with_metrics(recording, tmp_path, "--metric", "spread", "--bars", "tick:5") == more


def test_more_bars_than_a_file_has_are_kept_with_their_metrics(tmp_path: Path) -> None:
    times = range(0, 1_200 * 60_000, 60_000)
    data = write(tmp_path / "BTC-USDT.db", [snapshot(0)], [trade(at, at) for at in times])
    values = with_metrics(data, tmp_path, "--metric", "delta", "--metric", "mid")
    assert len(values["delta", "value"]) == len(times)
    assert values["mid", "close"] == [1000.0] * len(times)
    assert len(kept(tmp_path, OHLC)) == len(times)


DATES = ("2025-06-09", "2025-06-12")


def test_the_command_line_keeps_results_and_says_when_it_cannot(
    recording: Path, tmp_path: Path
) -> None:
    words = ["BTC-USDT", *DATES, "--no-ui", "--no-flow", "--data-dir", str(recording)]
    words += ["--output-dir", str(tmp_path / "out")]
    done = CliRunner().invoke(main.app, [*words, "--results", str(tmp_path / "results")])
    assert done.exit_code == 0, done.output
    run(recording, tmp_path / "other")
    assert kept(tmp_path, METRICS) == kept(tmp_path / "other", METRICS)
    with closing(sqlite3.connect(tmp_path / "results" / "results.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM metrics").fetchone()[0] > 90
    (tmp_path / "file").write_text("in the way")
    failed = CliRunner().invoke(main.app, [*words, "--results", str(tmp_path / "file")])
    assert failed.exit_code == 1
    assert "the results are not kept" in failed.output


@pytest.mark.parametrize(
    "more", [("--window-seconds", "7"), ("--window-seconds", "172800")], ids=["odd", "two days"]
)
def test_windows_that_cannot_be_kept_are_a_usage_error(
    recording: Path, tmp_path: Path, more: tuple[str, ...]
) -> None:
    words = ["BTC-USDT", *DATES, "--no-ui", "--data-dir", str(recording), *more]
    result = CliRunner().invoke(main.app, [*words, "--results", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert "divide it" in str(result.exception)


@pytest.mark.parametrize("more", [[], ["--follow"]])
def test_a_name_in_another_case_is_kept_as_it_is_recorded(
    recording: Path, tmp_path: Path, more: list[str]
) -> None:
    words = ["btc-usdt", *DATES, *more, "--no-ui", "--no-flow", "--data-dir", str(recording)]
    words += ["--output-dir", str(tmp_path / "out"), "--results", str(tmp_path / "results")]
    assert CliRunner().invoke(main.app, words).exit_code == 0
    run(recording, tmp_path / "other")
    assert kept(tmp_path, METRICS) == kept(tmp_path / "other", METRICS)


@pytest.mark.parametrize(("start", "is_said"), [("2025-06-09T12:00", True), (DATES[0], False)])
def test_of_a_day_that_is_replayed_in_part_it_is_said_where_cvd_begins(
    recording: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    *,
    start: str,
    is_said: bool,
) -> None:
    words = ["BTC-USDT", start, DATES[1], "--no-ui", "--no-flow", "--data-dir", str(recording)]
    words += ["--output-dir", str(tmp_path / "out"), "--results", str(tmp_path / "results")]
    done = CliRunner().invoke(main.app, words)
    assert done.exit_code == 0
    assert ("begins at 0 at START" in caplog.text + done.output) == is_said


def test_the_database_alone_reads_back(recording: Path, tmp_path: Path) -> None:
    database = DatabaseResults(tmp_path / "some.sqlite")
    run(recording, tmp_path, repository=database)
    assert len(database.read(OHLC, Stretch("BTC-USDT", 60, START, START + DAY))) > 30


def test_of_a_recording_that_is_followed_no_day_is_written_before_its_trades_are_read(
    tmp_path: Path,
) -> None:
    # Days of rows are read at once, and the trades after them.
    rows = [snapshot(0), *(update(at) for at in range(HOUR, DAYS * DAY, HOUR // 4))]
    trades = [trade for day in range(DAYS) for trade in trades_of(day)]
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "BTC-USDT.db", rows, trades)
    run(tmp_path / "data", tmp_path / "plain", end=2 * DAY)
    run(tmp_path / "data", tmp_path / "followed", end=2 * DAY, follow=True)
    for table in (OHLC, METRICS):
        assert kept(tmp_path / "followed", table) == kept(tmp_path / "plain", table)
