"""What is kept of runs, in the files that the page draws: those of the replays that kept it."""

import json
import sys
from itertools import pairwise
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from bar_files import read_bars
from kept_days import INSTRUMENT, day_text, decide, keep, write_days
from metric_runs import columns
from recording_factory import DAY, START
from typer.testing import CliRunner, Result

from formats.parquet_results import ParquetResults
from formats.results import METRIC_VALUES, Row, Stretch
from orderflow.array_file import unpack
from page.bar_range import BarRanges, Question
from page.files import PageFiles
from replay.__main__ import app
from replay.output_lock import OutputLock
from viz_io import TRADE_BARS_FILE

pytest.importorskip("pyarrow", reason="results are Parquet files: uv sync --group data")

DAYS = 3
KEPT = ("--metric", "vwap", "--metric", "obi:levels=3")
TELLER = ("--strategy", "teller=bar_tellers:BarTeller", "--set")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_days(tmp_path_factory.mktemp("data"), DAYS, 450)


@pytest.fixture(scope="module")
def results(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of days that were kept by a run of their own, but for the first."""
    results = tmp_path_factory.mktemp("daily") / "results"
    for day in range(1, DAYS):
        keep(data, results, day, day + 1, *KEPT)
    return results


@pytest.fixture(scope="module")
def first(data: Path, results: Path) -> Path:
    """The files of the replay, with the order flow, that has kept the first day."""
    keep(data, results, 0, 1, *KEPT, "--flow")
    return (results.parent / "kept-out").rename(results.parent / "first")


def show(results: Path, out: Path, start: str, end: str, *more: str) -> Result:
    words = ["show", INSTRUMENT, start, end, "--results", str(results), "--no-ui"]
    return CliRunner().invoke(app, [*words, "--output-dir", str(out), *more])


def shown(results: Path, out: Path, begin: int, end: int) -> Path:
    """Show days, and return where their files are."""
    done = show(results, out, day_text(begin), day_text(end))
    assert done.exit_code == 0, done.output
    return out


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


def range_of(directory: Path, most: int) -> tuple[dict[str, Any], dict[str, list[float]]]:
    asked = Question(START, START + DAY // 2, most)
    answer = BarRanges(directory).answer(asked, PageFiles(directory).refresh())
    assert answer
    return columns(answer)


def test_a_days_files_are_those_of_the_replay_that_kept_it(
    results: Path, first: Path, tmp_path: Path
) -> None:
    out = shown(results, tmp_path, 0, 1)
    for name in ("ohlc_data.json", "metrics_data.json"):
        assert (out / name).read_bytes() == (first / name).read_bytes()
        assert len(read(out / name)) > 100
    header, arrays = unpack((out / "metric_bars.bin").read_bytes())
    known, there = unpack((first / "metric_bars.bin").read_bytes())
    fields = ("kind", "schema", "instrument", "bars", "first")
    assert {name: header[name] for name in fields} == {name: known[name] for name in fields}
    for name in ("time", "open", "high", "low", "close", "volume", "trades"):
        assert bytes(arrays[name].data) == bytes(there[name].data)
    found = {metric.pop("asked"): (metric, metric.pop("array")) for metric in header["metrics"]}
    kept = {metric.pop("asked"): (metric, metric.pop("array")) for metric in known["metrics"]}
    assert {*found} == {*kept} == {"vwap", "obi:levels=3"}
    for asked, (metric, name) in found.items():
        assert metric == kept[asked][0]
        assert bytes(arrays[name].data) == bytes(there[kept[asked][1]].data)


def test_the_status_has_every_field_and_the_figures_of_the_replay(
    results: Path, first: Path, tmp_path: Path
) -> None:
    status = read(shown(results, tmp_path, 0, 1) / "status_data.json")
    known = read(first / "status_data.json")
    assert status.keys() > known.keys()
    same = ("instrument", "start", "end", "window_seconds", "depth_levels", "state", "bars")
    for name in (*same, "trades", "cvd", "progress", "live"):
        assert status[name] == known[name]
    assert status["volume"] == pytest.approx(known["volume"])
    assert 0 <= known["event_time"] - status["event_time"] < 60_000
    assert status["rows"] is status["counts"] is status["reliable"] is None
    data = PageFiles(tmp_path).refresh()
    assert data.problems() == []
    assert data.issues.content is None
    assert data.status.content
    assert data.status.content.stored


@pytest.mark.parametrize("most", [100, 1000])
def test_any_part_of_it_is_as_after_the_replay(
    results: Path, first: Path, tmp_path: Path, most: int
) -> None:
    header, arrays = range_of(shown(results, tmp_path, 0, 1), most)
    known, there = range_of(first, most)
    assert header["joined"] == known["joined"]
    assert (header["joined"] > 1) == (most == 100)
    carried = ("time", "open", "high", "low", "close", "volume", "cvd_close")
    book = [name for name in there if name.startswith("metric_")]
    for name in (*carried, *book):
        assert repr(arrays[name]) == repr(there[name])  # NaN is not equal to itself
    for name in ("buy", "min_delta", "vwap"):
        assert {repr(value) for value in arrays[name]} == {"nan"}
    assert BarRanges(tmp_path).problems() == []


def test_days_that_were_kept_one_by_one_are_those_of_one_replay(
    data: Path, results: Path, first: Path, tmp_path: Path
) -> None:
    keep(data, tmp_path / "whole", 0, DAYS)
    whole, out = tmp_path / "kept-out", shown(results, tmp_path / "out", 0, DAYS)
    assert read(out / "ohlc_data.json") == read(whole / "ohlc_data.json")
    bars, known = read(out / "metrics_data.json"), read(whole / "metrics_data.json")
    assert len(bars) == 1000
    assert [bar[:9] for bar in bars] == [bar[:9] for bar in known]
    for bar, other in zip(bars, known, strict=True):
        assert bar[9:] == pytest.approx(other[9:], abs=1e-9)
    _, all_bars = read_bars(out / TRADE_BARS_FILE.name)
    assert len(all_bars) == read(whole / "status_data.json")["bars"] > 300
    assert all(before[0] < after[0] for before, after in pairwise(all_bars))


def test_the_cvd_counts_from_the_start_of_what_is_shown(
    results: Path, first: Path, tmp_path: Path
) -> None:
    span = f"{day_text(0)}T12:00", day_text(1)
    assert show(results, tmp_path, *span).exit_code == 0
    whole = read(first / "metrics_data.json")
    before = [bar[12] for bar in whole if bar[0] < START + DAY // 2][-1]
    found = read(tmp_path / "metrics_data.json")
    assert before
    assert [bar[12] for bar in found] == pytest.approx(
        [bar[12] - before for bar in whole if bar[0] >= START + DAY // 2], abs=1e-9
    )
    assert found[0][9] == 0.0


def test_alerts_are_shown_by_strategy_and_settings(
    results: Path, first: Path, tmp_path: Path
) -> None:
    results = copytree(results, tmp_path / "results")
    out = shown(results, tmp_path / "out", 0, 1)
    assert not (out / "trading_data.json").exists()
    assert decide(results, 0, 1, *TELLER, "every=40").exit_code == 0
    found = PageFiles(shown(results, out, 0, 1)).refresh().trading_run
    assert found
    assert (found.strategies, found.executes, found.state) == (("teller",), False, "finished")
    assert found.alert_count == len(found.alerts) > 1
    assert all(len(alert.text) <= 300 for alert in found.alerts)
    assert decide(results, 0, 1, *TELLER, "every=50").exit_code == 0
    found = PageFiles(shown(results, out, 0, 1)).refresh().trading_run
    assert found
    assert found.strategies == (
        "teller (bar_tellers:BarTeller every=40)", "teller (bar_tellers:BarTeller every=50)",
    )  # fmt: skip
    assert PageFiles(shown(results, out, 1, 2)).refresh().trading_run is None


def test_a_class_of_ones_own_is_shown_without_being_imported(results: Path, tmp_path: Path) -> None:
    repository = ParquetResults(results)
    day = Stretch(INSTRUMENT, 60, START + 2 * DAY, START + 3 * DAY)
    own: list[Row] = [(START + 2 * DAY, f"antigravity:M{n:02}", "x", 0.5) for n in range(40)]
    before = repository.read(METRIC_VALUES, day)
    repository.write(day, {METRIC_VALUES: own})
    done = show(results, tmp_path, day_text(2), day_text(3))
    repository.write(day, {METRIC_VALUES: before})
    assert "and 8 more, which are left out" in done.output
    assert "antigravity" not in sys.modules
    measured = PageFiles(tmp_path).refresh().measured.content
    assert measured
    assert [metric.asked for metric in measured.metrics] == [row[1] for row in own[:32]]
    assert measured.metrics[0].columns == {"x": [0.5]}


def test_days_without_anything_are_said(results: Path, first: Path, tmp_path: Path) -> None:
    done = show(results, tmp_path, "2025-06-07", day_text(1))
    assert done.exit_code == 0
    assert "nothing is kept of 2025-06-07 to 2025-06-08\n" in done.output
    assert "not kept, and not shown: the book, the order flow, data issues" in done.output
    summary = json.loads(show(results, tmp_path, day_text(0), day_text(1), "--json").stdout)
    assert summary == read(tmp_path / "status_data.json") | {"monitoring": summary["monitoring"]}


def test_where_nothing_is_kept_nothing_is_written(results: Path, tmp_path: Path) -> None:
    done = show(results, tmp_path / "out", "2025-07-01", "2025-07-02")
    assert done.exit_code == 1
    assert "nothing is kept of BTC-USDT in bars of 60 s" in str(done.exception)
    assert not (tmp_path / "out").exists()
    assert "must divide it" in str(
        show(results, tmp_path, "2025-06-09", "2025-06-10", "--window-seconds", "7").exception
    )


def test_what_another_run_left_goes_and_one_that_goes_on_is_left_alone(
    results: Path, first: Path, tmp_path: Path
) -> None:
    for name in ("data_issues.json", "trading_data.json", "footprint_data.bin"):
        (tmp_path / name).write_text("{}")
    shown(results, tmp_path, 0, 1)
    assert {path.name for path in tmp_path.iterdir()} == {
        "ohlc_data.json", "metrics_data.json", "depth_data.json", "status_data.json",
        "metric_bars.bin", "trade_bars.bin", "book_bars.bin",
    }  # fmt: skip
    before = (tmp_path / "status_data.json").read_bytes()
    lock = OutputLock(tmp_path)
    done = show(results, tmp_path, day_text(0), day_text(1))
    lock.release()
    assert "in use by another run" in str(done.exception)
    assert (tmp_path / "status_data.json").read_bytes() == before
