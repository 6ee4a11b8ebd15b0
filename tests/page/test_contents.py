from typing import Any

import pytest
from page_fixtures import market, status

from orderflow.issues import DataIssue
from page.checks import MAX_TEXT, FileContentError
from page.contents import (
    MAX_LEVELS,
    Bars,
    Metrics,
    Shown,
    common_range,
    parse_bars,
    parse_depth,
    parse_issues,
    parse_metrics,
    parse_status,
)

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


@pytest.mark.parametrize(("fields", "cvd"), [(5, None), (9, None), (13, 12.0)])
def test_metric_bars_of_all_three_lengths(fields: int, cvd: Any) -> None:
    metrics = parse_metrics([[float(i) for i in range(fields)]])
    assert metrics.obi_closes == [4.0]
    assert metrics.cvd_closes == [cvd]


def test_metric_bars_before_the_first_sample_have_cvd_alone() -> None:
    before = [1000, *[None] * 8, 1.0, 2.0, 0.5, 1.5]
    metrics = parse_metrics([before, [2000, *map(float, range(12))]])
    assert metrics.times == [1000, 2000]
    assert metrics.obi_opens == [None, 0.0]
    assert metrics.obi_closes == [None, 3.0]
    assert metrics.cvd_closes == [1.5, 11.0]


def test_obi_is_there_whole_or_not_at_all() -> None:
    with pytest.raises(FileContentError, match="the OBI of metric bar 0 is partly null"):
        parse_metrics([[1000, None, 0.1, 0.1, 0.1]])


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
        ([[1, 2, 3, 4, 5, None]], "a value of bar 0 is None, not a finite number"),
        ([[1, 1e308, 3, 4, 5, 6]], "a value of bar 0 is 1e+308, beyond ±1e+30, the largest that"),
        ([[1, 10**400, 3, 4, 5, 6]], "a value of bar 0 is a number of many digits, beyond ±1e+30"),
        ([[1, float("nan"), 3, 4, 5, 6]], "a value of bar 0 is nan, not a finite number"),
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
        ({"bids": [], "asks": [[1, -2]]}, "a size of 'asks' is -2, less than 0"),
        (
            {"bids": [[1, 1]] * (MAX_LEVELS + 1), "asks": []},
            "'bids' has 10,001 levels, at most 10,000 are read",
        ),
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
        ({"volume": 1e300}, r"'volume' is 1e\+300, beyond ±1e\+30"),
        ({"counts": {str(n): 1 for n in range(101)}}, "'counts' has 101 kinds, at most 100"),
        ({"counts": {"x" * 101: 1}}, "a name in 'counts' has 101 characters, at most 100"),
        ({"state": ["running"]}, r"the state is \['running'\], not one of running"),
    ],
)
def test_what_is_no_status_is_said(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(FileContentError, match=message):
        parse_status(status() | changed)


def test_a_status_of_its_state_alone_is_enough() -> None:
    told = parse_status({"state": "finished", "later": {"field": 1}})
    assert (told.state, told.rows, told.counts) == ("finished", None, {})


def test_a_text_without_end_is_cut_where_it_can_be_seen() -> None:
    told = parse_status(status(reason="x" * 10_000)).reason
    assert told is not None
    assert (len(told), told[-2:]) == (MAX_TEXT, "x…")


ISSUE = {"kind": "silences", "start": 1000, "end": 5000, "count": 2}


def test_issues_are_read_by_time() -> None:
    unknown = ISSUE | {"start": None, "end": None}
    found = parse_issues({"schema": 1, "issues": [ISSUE, unknown, ISSUE | {"start": 1}]})
    assert found.spans == [
        DataIssue("silences", None, None, 2),
        DataIssue("silences", 1, 5000, 2),
        DataIssue("silences", 1000, 5000, 2),
    ]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "it holds an array, not an object"),
        ({"issues": []}, "its schema is None, 1 is read"),
        ({"schema": 2, "issues": []}, "its schema is 2, 1 is read"),
        ({"schema": 1}, "'issues' holds null"),
        ({"schema": 1, "issues": [5]}, "issue 0 holds a number"),
        ({"schema": 1, "issues": [ISSUE] * 5001}, "'issues' has 5,001 entries, at most 5,000"),
        ({"schema": 1, "issues": [ISSUE | {"kind": "x" * 101}]}, "the kind of issue 0 has 101"),
        ({"schema": 1, "issues": [ISSUE | {"kind": None}]}, "the kind of issue 0 holds null"),
        ({"schema": 1, "issues": [ISSUE | {"end": None}]}, "the end of issue 0 is None"),
        ({"schema": 1, "issues": [ISSUE | {"end": 9}]}, "issue 0 ends at 9, before it starts"),
        ({"schema": 1, "issues": [ISSUE | {"count": "2"}]}, "the count of issue 0 is '2'"),
    ],
)
def test_what_are_no_issues_is_said(document: Any, message: str) -> None:
    with pytest.raises(FileContentError, match=message):
        parse_issues(document)


def bars_from(start: int, count: int) -> Bars:
    return parse_bars([[start + i, 1, 1, 1, 1, i] for i in range(count)])


def metrics_from(start: int, count: int) -> Metrics:
    return parse_metrics([[start + i, 0, 0, 0, 0] for i in range(count)])


def test_files_that_are_not_full_are_shown_whole() -> None:
    bars, metrics = bars_from(0, 10), metrics_from(5, 999)
    assert common_range(bars, metrics) == Shown(bars, metrics, None)


@pytest.mark.parametrize(("bars_start", "metrics_start"), [(300, 0), (0, 300)])
def test_a_full_file_and_the_other_are_shown_from_the_same_time(
    bars_start: int, metrics_start: int
) -> None:
    shown = common_range(bars_from(bars_start, 1000), metrics_from(metrics_start, 1000))
    assert shown.start == 300
    assert shown.bars.times[0] == shown.metrics.times[0] == 300
    assert len(shown.bars.volumes) == len(shown.bars.times)
    assert len(shown.metrics.obi_closes) == len(shown.metrics.times)


def test_a_file_that_is_not_full_does_not_cut_the_other() -> None:
    bars = bars_from(0, 1000)
    shown = common_range(bars, metrics_from(300, 999))
    assert (shown.bars, shown.start) == (bars, 0)
