"""Errors carry as attributes the values that their messages name."""

from pathlib import Path

import pytest

import viz_io
from level_parser import parse_side
from ohlc_processor import OHLCProcessor
from orderflow.errors import (
    LevelFormatError,
    NumbersError,
    OutputError,
    TimeOrderError,
    UsageError,
)
from orderflow.instruments import check_instrument
from orderflow.times import parse_range
from replay.run_files import RunFiles
from synthetic_market import demo_recording, write_recording


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        ("no levels" * 100, (b"no levels" * 100)[:60]),
        (b"no levels", b"no levels"),
        ("\ud800" + "1" * 99, "\ud800" + "1" * 59),
    ],
)
def test_levels_that_are_no_array_show_how_they_begin(raw: str | bytes, found: str | bytes) -> None:
    with pytest.raises(LevelFormatError) as raised:
        parse_side(raw)
    assert raised.value.found == found


def test_an_event_before_its_time_says_which_and_after_what() -> None:
    processor = OHLCProcessor(window_seconds=60)
    processor.process_trades([(1, None, 1.0, 1.0, "buy", 125_000)])
    with pytest.raises(TimeOrderError) as raised:
        processor.process_trades([(2, None, 1.0, 1.0, "buy", 119_999)])
    assert (raised.value.timestamp, raised.value.window_start) == (119_999, 120_000)


def test_numbers_that_no_file_may_hold_are_in_the_error() -> None:
    bar = [60_000, 1.0, float("inf"), 1.0, 1.0, 1.0]
    with pytest.raises(NumbersError) as raised:
        viz_io.add_ohlc_bar(60_000, *bar[1:])
    assert raised.value.numbers == bar
    with pytest.raises(NumbersError) as raised:
        viz_io.add_metric_bar(60_000, 0.1, 0.2, 0.3, 0.4, tot=[1.0])
    assert raised.value.numbers == [60_000, 0.1, 0.2, 0.3, 0.4, 1.0]


@pytest.mark.parametrize(
    ("start", "end", "name", "value"),
    [
        ("2025-06-09", "2025-06-31", "END", "2025-06-31"),
        ("soon", "2025-06-10", "START", "soon"),
        ("2025-06-09", "2025-06-09", "END", "2025-06-09"),
        ("2025-06-09", "2025-06-08", "END", "2025-06-08"),
    ],
)
def test_a_usage_error_names_the_argument_and_its_value(
    start: str, end: str, name: str, value: str
) -> None:
    with pytest.raises(UsageError) as raised:
        parse_range(start, end)
    assert (raised.value.name, raised.value.value) == (name, value)


def test_a_usage_error_names_an_instrument_that_is_no_name() -> None:
    with pytest.raises(UsageError) as raised:
        check_instrument("../x")
    assert (raised.value.name, raised.value.value) == ("INSTRUMENT", "../x")


def test_a_usage_error_names_what_no_recording_can_be_made_of(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    with pytest.raises(UsageError) as raised:
        write_recording(path, "BTC-USDT", 5, 4)
    assert (raised.value.name, raised.value.value) == ("end_ms", 4)
    with pytest.raises(UsageError) as raised:
        write_recording(path, "BTC-USDT", 5, 6, max_rows=0)
    assert (raised.value.name, raised.value.value) == ("max_rows", 0)


def test_an_output_error_has_the_path_that_cannot_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OutputError) as raised:
        RunFiles(file)
    assert raised.value.path == file
    with pytest.raises(OutputError) as raised:
        demo_recording("BTC-USDT", 0, 1000, cache_dir=file)
    assert raised.value.path == file / "orderflow-replay" / "demo"
    first = RunFiles(tmp_path)
    with pytest.raises(OutputError) as raised:
        RunFiles(tmp_path)
    assert raised.value.path == tmp_path
    first.close()
