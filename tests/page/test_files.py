import json
import logging
from pathlib import Path
from typing import Any

import pytest
from page_fixtures import book, grow_older, market, put, put_run, status

from page import files as page_files
from page.files import FileContentError, PageFiles, parse_bars, parse_depth, parse_metrics

BARS = [[1000, 1.0, 2.0, 0.5, 1.5, 10], [2000, 1.5, 1.5, 1.0, 1.0, 3.25]]


def test_bars_become_columns() -> None:
    bars = parse_bars(BARS)
    assert bars.times == [1000, 2000]
    assert bars.lows == [0.5, 1.0]
    assert bars.volumes == [10, 3.25]


def test_fields_after_the_known_ones_are_left_alone() -> None:
    assert parse_bars([[*BARS[0], 7]]).volumes == [10]
    assert parse_metrics([[1000, *range(12), 99]]).cvd_closes == [11]


def test_only_the_last_thousand_bars_are_kept() -> None:
    bars = parse_bars(market(1200)[0])
    assert len(bars.times) == 1000
    assert bars.times[-1] == market(1200)[0][-1][0]


@pytest.mark.parametrize(
    ("fields", "total", "cvd"), [(5, None, None), (9, 8.0, None), (13, 8.0, 12.0)]
)
def test_metric_bars_of_all_three_lengths(fields: int, total: Any, cvd: Any) -> None:
    metrics = parse_metrics([[float(i) for i in range(fields)]])
    assert metrics.obi_closes == [4.0]
    assert metrics.totals == [total]
    assert metrics.cvd_closes == [cvd]


def test_lengths_may_be_mixed() -> None:
    assert parse_metrics([[1, 0, 0, 0, 0], [2, *range(12)]]).cvd_closes == [None, 11]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "it holds an object, not an array of bars"),
        (None, "it holds null, not an array of bars"),
        ([[1, 2, 3]], "bar 0 has 3 fields, at least 6 are needed"),
        ([*BARS, 5], "bar 2 has a number, at least 6 are needed"),
        ([[1, 2, 3, 4, "5", 6]], "a value of bar 0 is '5', not a finite number"),
        ([[1, 2, 3, 4, True, 6]], "a value of bar 0 is True, not a finite number"),
        ([[-1, 2, 3, 4, 5, 6]], "the time of bar 0 is -1, not a time in ms"),
        ([[1e30, 2, 3, 4, 5, 6]], "the time of bar 0 is 1e+30, not a time in ms"),
    ],
)
def test_what_is_no_bar_is_said(document: Any, message: str) -> None:
    with pytest.raises(FileContentError, match="^" + message.replace("+", r"\+")):
        parse_bars(document)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "it holds an array, not an object"),
        ({"bids": []}, "'asks' holds null, not an array of levels"),
        ({"bids": [[1]], "asks": []}, r"level 0 of 'bids' is no \[price, size\]"),
        ({"bids": [], "asks": [[1, None]]}, "a size of 'asks' is None, not a finite number"),
    ],
)
def test_what_is_no_depth_is_said(document: Any, message: str) -> None:
    with pytest.raises(FileContentError, match=message):
        parse_depth(document)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"state": "asleep"}, "the state is 'asleep', not one of running, finished, stopped"),
        ({"rows": "many"}, "'rows' is 'many', not a finite number"),
        ({"instrument": 5}, "'instrument' holds a number"),
        ({"reliable": "yes"}, "'reliable' holds text"),
        ({"counts": [1]}, "'counts' holds an array"),
        ({"event_time": -5}, "'event_time' is -5, not a time in ms"),
    ],
)
def test_what_is_no_status_is_said(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(FileContentError, match=message):
        page_files.parse_status(status() | changed)


def test_a_status_of_its_state_alone_is_enough() -> None:
    told = page_files.parse_status({"state": "finished", "later": {"field": 1}})
    assert (told.state, told.rows, told.counts) == ("finished", None, {})


def test_no_files_are_no_problem(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = PageFiles(tmp_path / "not there").refresh()
    assert data.bars.content is None
    assert data.problems() == []
    assert caplog.records == []


def test_a_run_is_read(tmp_path: Path) -> None:
    put_run(tmp_path, 300)
    data = PageFiles(tmp_path).refresh()
    assert data.bars.content is not None
    assert data.bars.content.times[-1] == market(300)[0][-1][0]
    assert data.metrics.content is not None
    assert len(data.metrics.content.cvd_closes) == 300
    assert data.depth.content is not None
    assert [list(level) for level in data.depth.content.bids] == book(market(300)[0][-1][4])["bids"]
    assert data.status.content is not None
    assert not data.stale


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    put_run(tmp_path, 5)
    files = PageFiles(tmp_path)
    first = files.refresh().bars
    assert files.refresh().bars is first
    put(tmp_path, page_files.OHLC_NAME, BARS)
    assert files.refresh().bars.version != first.version


def test_the_same_content_in_a_new_file_is_a_new_version(tmp_path: Path) -> None:
    files = PageFiles(tmp_path)
    put(tmp_path, page_files.OHLC_NAME, BARS)
    first = files.refresh().bars.version
    put(tmp_path, page_files.OHLC_NAME, BARS)
    assert files.refresh().bars.version != first


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (json.dumps(BARS)[:-9], "it is not JSON"),
        ("", "it is not JSON"),
        ("[[1, 2, 3, 4, NaN, 6]]", "it is not JSON"),
        ("[" * 5000, "it is not JSON"),
        ('{"foreign": true}', "it holds an object, not an array of bars"),
        ("\x00\x01", "it is not JSON"),
    ],
)
def test_the_last_good_content_stays(tmp_path: Path, raw: str, problem: str) -> None:
    files = PageFiles(tmp_path)
    put(tmp_path, page_files.OHLC_NAME, BARS)
    good = files.refresh().bars
    put(tmp_path, page_files.OHLC_NAME, raw)
    now = files.refresh().bars
    assert (now.content, now.version) == (good.content, good.version)
    assert (now.problem or "").startswith(problem)
    put(tmp_path, page_files.OHLC_NAME, BARS)
    assert files.refresh().bars.problem is None


def test_a_file_that_goes_keeps_its_picture(tmp_path: Path) -> None:
    files = PageFiles(tmp_path)
    put(tmp_path, page_files.OHLC_NAME, BARS)
    good = files.refresh().bars
    (tmp_path / page_files.OHLC_NAME).unlink()
    now = files.refresh().bars
    assert now.content == good.content
    assert now.missing
    put(tmp_path, page_files.OHLC_NAME, BARS)
    assert not files.refresh().bars.missing


def test_a_directory_in_the_place_of_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / page_files.OHLC_NAME).mkdir()
    assert PageFiles(tmp_path).refresh().bars.problem == "Is a directory"


def test_a_file_that_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_files, "MAX_FILE_BYTES", 100)
    put(tmp_path, page_files.OHLC_NAME, " " * 101)
    assert PageFiles(tmp_path).refresh().bars.problem == "it has 101 bytes, at most 100 are read"


def test_each_kind_of_problem_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = PageFiles(tmp_path)
    with caplog.at_level(logging.WARNING, "page"):
        for tick in range(5):
            put(tmp_path, page_files.OHLC_NAME, "[[" + " " * tick)
            files.refresh()
            files.refresh()
            put(tmp_path, page_files.OHLC_NAME, BARS)
            files.refresh()
            put(tmp_path, page_files.OHLC_NAME, [[tick]])
            files.refresh()
    kinds = [record.getMessage() for record in caplog.records]
    assert len(kinds) == 2
    assert kinds[0].startswith("ohlc_data.json: it is not JSON")
    assert kinds[1].startswith("ohlc_data.json: bar 0 has 1 fields")


def test_a_running_run_grows_stale(tmp_path: Path) -> None:
    put_run(tmp_path, 5)
    files = PageFiles(tmp_path)
    assert not files.refresh().stale
    grow_older(tmp_path / page_files.STATUS_NAME, 6)
    assert files.refresh().stale
    put(tmp_path, page_files.STATUS_NAME, status(state="finished"))
    grow_older(tmp_path / page_files.STATUS_NAME, 6)
    assert not files.refresh().stale


def test_nothing_is_ever_written(tmp_path: Path) -> None:
    put_run(tmp_path, 5)
    before = {entry.name: entry.stat().st_mtime_ns for entry in tmp_path.iterdir()}
    PageFiles(tmp_path).refresh()
    assert {entry.name: entry.stat().st_mtime_ns for entry in tmp_path.iterdir()} == before
