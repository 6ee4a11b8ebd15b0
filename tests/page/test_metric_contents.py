"""What the page reads of a file of metrics, and what it refuses."""

from __future__ import annotations

from math import inf, nan
from pathlib import Path

import pytest
from metric_files import CANDLES, described, metric_file, put_metrics
from page_fixtures import START_MS, WINDOW_MS, put_run

from orderflow.array_file import Array, pack
from page.checks import FileContentError
from page.files import PageFiles
from page.metric_contents import parse_metric_bars
from page.units import Unit, in_unit


def test_each_field_is_a_column_and_what_has_no_value_is_none() -> None:
    values = {(0, "open"): nan, (1, "high"): inf, (1, "low"): -2e30}
    raw = metric_file(
        2, described("spread", CANDLES, "price"), described("ofi"),
        values=lambda bar, name: values.get((bar, name), 10.0 * bar + len(name)),
    )  # fmt: skip
    found = parse_metric_bars(raw)
    assert (found.kind, found.size) == ("time", 60)
    assert found.times == [START_MS, START_MS + WINDOW_MS]
    assert found.described == (("spread", "price"), ("ofi", "size"))
    assert found.metrics[0].columns == {
        "open": [None, 14.0], "high": [4.0, None], "low": [3.0, None], "close": [5.0, 15.0],
    }  # fmt: skip
    assert found.metrics[1].columns == {"value": [5.0, 15.0]}


def test_a_file_without_bars_is_one() -> None:
    assert parse_metric_bars(metric_file(0, described("ofi"))).metrics[0].columns == {"value": []}


GOOD = described("ofi")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{}", "it does not begin with OFR1"),
        (metric_file(2, GOOD)[:-8], "its arrays have"),
        (metric_file(2, GOOD, kind="heatmap"), "it holds 'heatmap', not 'metrics'"),
        (metric_file(2, GOOD, bars=[]), "'bars' holds an array"),
        (metric_file(2, GOOD, bars={"kind": "time"}), "the size of its bars is None"),
        (metric_file(2, GOOD, metrics={}), "'metrics' holds an object"),
        (metric_file(2, GOOD, metrics=[GOOD] * 33), "'metrics' has 33 entries, at most 32"),
        (metric_file(2, GOOD, metrics=[1]), "an entry of 'metrics' holds a number"),
        (metric_file(2, GOOD | {"asked": 1}), "what was asked for holds a number"),
        (metric_file(2, GOOD | {"unit": None}), "a unit holds null"),
        (metric_file(2, GOOD | {"array": "none"}), "it has no 'none' of float64"),
        (metric_file(2, GOOD | {"array": "time"}), "it has no 'time' of float64"),
        (metric_file(2, described("ofi", ("a", "a"))), "the values of 'ofi' are not those"),
        (metric_file(2, described("ofi", ("a" * 101,))), "has 101 characters, at most 100"),
        (metric_file(1, described("ofi", tuple(map(str, range(65))))), "has 65 fields, at most 64"),
        (metric_file(1001, GOOD), "'time' has 1,001 bars, at most 1,000"),
        (
            pack(
                {"kind": "metrics", "bars": {"kind": "time", "size": 60}, "metrics": []},
                {"time": Array("float64", [1], b"\xff" * 8)},
            ),
            "a time is nan",
        ),
    ],
)
def test_what_is_no_file_of_metrics_is_refused(raw: bytes, said: str) -> None:
    with pytest.raises(FileContentError, match=said):
        parse_metric_bars(raw)


def test_a_value_of_another_bar_is_refused() -> None:
    raw = metric_file(3, GOOD)
    one = metric_file(3, described("ofi", ("value", "more")))
    assert len(one) > len(raw)
    wrong = one.replace(b'"fields":["value","more"]', b'"fields":["value"]       ')
    with pytest.raises(FileContentError, match="the values of 'ofi' are not those of its bars"):
        parse_metric_bars(wrong)


def test_sizes_of_metrics_are_in_the_unit_too(tmp_path: Path) -> None:
    put_run(tmp_path, 3)
    units = ("size", "size per basis point", "price per size", "price")
    put_metrics(tmp_path, 1, *(described(unit, unit=unit) for unit in units), values=lambda *_: 3.0)
    data = in_unit(PageFiles(tmp_path).refresh(), Unit("BTC", 0.1))
    assert data.measured.content
    found = [metric.columns["value"] for metric in data.measured.content.metrics]
    assert found == [[0.3], [0.3], [30.0], [3.0]]


def test_a_bad_file_leaves_the_last_metrics_and_is_said(tmp_path: Path) -> None:
    put_run(tmp_path, 3)
    put_metrics(tmp_path, 2, GOOD)
    files = PageFiles(tmp_path)
    assert files.refresh().problems() == []
    put_metrics(tmp_path, 2, GOOD, kind="other")
    data = files.refresh()
    assert data.measured.content
    assert data.problems() == [("metric_bars.bin", "it holds 'other', not 'metrics'", True)]
    (tmp_path / "metric_bars.bin").unlink()
    data = files.refresh()
    assert data.measured.content is None
    assert data.problems() == []
