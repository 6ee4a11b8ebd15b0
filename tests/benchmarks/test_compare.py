"""The benchmark compares equal work, and says so when it is not."""

import json
import os
import sqlite3
import sys
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks import contenders
from benchmarks.compare import (
    WAYS,
    ComparisonError,
    Measured,
    compare,
    difference,
    headline,
    replay,
    run,
    table,
)
from benchmarks.compared_recordings import ComparedRecording, cut_place, generated
from recordings.discovery import find_recording
from replay.parallel import cut_into_segments
from replay.run import ReplayOptions

ROWS, SLOW_ROWS = 1500, 700
BY_KEY = {way.key: way for way in WAYS}
PACKAGES = {
    "pandas": "pandas",
    "polars": "polars",
    "nautilus": "nautilus_trader",
    "hft-vector": "hftbacktest",
    "hft-hashmap": "hftbacktest",
    "hft-local": "hftbacktest",
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> ComparedRecording:
    return generated(tmp_path_factory.mktemp("compared"), ROWS, SLOW_ROWS)


def count(path: Path, table_name: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table_name}").fetchone()[0])


def test_the_shapes_of_a_recording_have_its_rows_and_trades(recording: ComparedRecording) -> None:
    parts = sorted(recording.parts.iterdir())
    assert count(recording.whole, "book") == ROWS
    assert count(recording.first, "book") == SLOW_ROWS
    assert sum(count(part, "book") for part in parts) == ROWS + 1  # the snapshot
    assert sum(count(part, "trades") for part in parts) == count(recording.whole, "trades")


def test_two_files_are_two_parts_to_the_project(recording: ComparedRecording) -> None:
    found = find_recording(recording.instrument, recording.parts, 0, 10**13)
    parts = cut_into_segments(found, ReplayOptions(recording.instrument, 0, 10**13, jobs=2))
    assert len(parts) == 2


def test_the_cut_is_inside_a_minute_and_between_two_times() -> None:
    minute = 60_000
    assert cut_place([0, 1, 2, 3]) == 2
    assert cut_place([0, 1, 1, 2]) == 3
    assert cut_place([0, 1, minute, minute + 1]) == 3
    with pytest.raises(ValueError, match="ask for more rows"):
        cut_place([0, minute])


def test_bars_differ_beyond_the_tolerance_in_number_and_not_before_the_last_1000() -> None:
    wanted = {"obi": [[0, 0.5, 1e-3], [60_000, 0.25, 1e-3]]}
    assert difference(wanted, wanted) is None
    assert difference({"obi": [[0, 0.5, 1e-3 + 1e-13], wanted["obi"][1]]}, wanted) is None
    wrong = difference({"obi": [wanted["obi"][0], [60_000, 0.25 + 1e-8, 1e-3]]}, wanted)
    assert wrong is not None
    assert wrong.startswith("obi: [60000, 0.2500000")
    assert difference({"obi": wanted["obi"][:1]}, wanted) == "obi: 1 bars, not 2"
    many = [[place, 0.0] for place in range(1, 1001)]
    assert difference({"obi": [[0, 9.0], *many]}, {"obi": many}) is None


@pytest.mark.thorough
def test_ways_of_the_project_agree_and_are_tabled(recording: ComparedRecording) -> None:
    ways = [BY_KEY[key] for key in ("scan", "fetch", "pure", "jobs")]
    measured = compare(recording, ways, 1)
    assert [measured[way.key].rows for way in ways] == [ROWS, ROWS, ROWS, ROWS + 1]
    if measured["jobs"].missing:
        assert "compiled book is not here" in measured["jobs"].missing
    lines = table("Title", ways, measured)
    assert lines[0] == "**Title**"
    assert len([line for line in lines if line.startswith("| ") and "1,50" in line]) >= 3


def test_a_table_has_rates_ratios_stages_and_reasons() -> None:
    ways = [BY_KEY[key] for key in ("fetch", "hft-convert", "pandas", "polars")]
    measured = {
        "fetch": Measured(1000, [0.001, 0.002, 0.009], [0.01] * 3, [{}], 20_000.0),
        "hft-convert": Measured(100, [0.01], [0.02], [{"events": 0.005}], 20_000.0),
        "pandas": Measured(missing="pandas is not installed"),
        "polars": Measured(100, [0.01], [0.02], [{}], 30.0),
    }
    _, _, _, _, fetch, convert, pandas, polars, *rest = table("Title", ways, measured)
    assert fetch.endswith("| 1,000 | 500,000 | 1.000 | 100,000 | 0.200 | 20,000 |")
    assert convert.endswith("| 100 | 10,000 | 0.020 | 5,000 | 0.010 | 20,000 |")
    assert "n/a: pandas is not installed" in pandas
    assert polars.endswith("| 100 | 10,000 | 0.020 | 5,000 | 0.010 | 30 |")
    assert rest == ["", "- hft-convert, rows/s by stage: events 20,000", ""]


def test_the_headline_sets_the_whole_command_against_replay_and_conversion() -> None:
    measured = {
        "compiled": Measured(100, [0.5], [1.0]),
        "hft-convert": Measured(100, [4.0], [9.0]),
        "hft-vector": Measured(100, [1.0], [9.0]),
        "hft-hashmap": Measured(100, [2.0], [9.0]),
    }
    (line,) = headline(measured)
    assert "is 1.00 times as fast" in line
    assert "5.0 times with the conversion" in line
    assert headline(measured | {"hft-vector": Measured(missing="not installed")}) == []


@pytest.mark.thorough
def test_other_bars_stop_the_comparison(recording: ComparedRecording) -> None:
    shorter = replace(recording, parts=recording.first.parent)
    ways = [BY_KEY["fetch"], replace(BY_KEY["pure"], shape="parts")]
    with pytest.raises(ComparisonError, match=r"pure makes other bars.*: ohlc: 2 bars, not 3"):
        compare(shorter, ways, 1)


def test_a_process_that_fails_is_quoted() -> None:
    with pytest.raises(ComparisonError, match=r"ended with exit code 1:(.|\n)*no such file.db"):
        run(["-c", "import sys; sys.exit('no such file.db')"])


def test_what_is_not_installed_is_said(
    recording: ComparedRecording,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setattr(sys, "argv", ["contenders", "pandas", str(recording.first)])
    contenders.main()
    assert json.loads(capsys.readouterr().out) == {"missing": "pandas is not installed"}


@pytest.mark.slow
@pytest.mark.parametrize("key", PACKAGES)
def test_each_contender_makes_the_bars_of_the_project(
    recording: ComparedRecording, key: str
) -> None:
    if find_spec(PACKAGES[key]) is None:
        pytest.skip(f"{PACKAGES[key]} is not installed: uv sync --group bench")
    measured = compare(recording, [BY_KEY["fetch"], BY_KEY[key]], 1)  # raises where they differ
    assert measured[key].missing is None


def test_the_bars_compared_are_not_empty(recording: ComparedRecording) -> None:
    done, summary, bars = replay(recording, "pure", recording.first.parent)
    assert summary["rows"] == SLOW_ROWS
    if hasattr(os, "wait4"):
        assert 10 < done.peak < 100
    assert {name: len(found) for name, found in bars.items()} == {"ohlc": 2, "obi": 2, "cvd": 2}
