"""One pass for an export: what it says of a recording is what a replay says."""

from pathlib import Path

import pytest
from exports import START, exported
from recording_factory import BookRow, TradeRow, write_recording

from db_interpreter import DBInterpreter
from formats.market_pass import MarketPass, PassOptions
from metrics.level_log import no_rows
from recordings.discovery import find_recording
from replay.run import Replay, ReplayOptions
from replay.run_files import RunFiles


def poor_recording(folder: Path) -> Path:
    """Write rows that cross, can't be read or are repeated, a silence, and odd trades."""
    folder.mkdir()
    rows = [BookRow(1, START - 5000, '[["100","1"],["99","1"]]', '[["101","1"],["102","2"]]')]
    rows += [BookRow(2 + i, START + i * 100, f'[["99.{i}","{i}"]]', "[]") for i in range(400)]
    rows += [
        BookRow(410, START + 50_000, "what?", "[]"),
        BookRow(411, START + 50_100, '[["103","1"],["x","1"]]', "[]"),
        BookRow(411, START + 50_100, '[["103","1"],["x","1"]]', "[]"),
        BookRow(412, START + 90_000, "[]", '[["102","0"]]'),
    ]
    trades = [TradeRow(i, START + i * 10_000, f"t{i}", 100.0, 1.0, "buy") for i in range(9)]
    trades += [
        TradeRow(20, START + 85_000, "odd", 100.0, 1.0, "?"),
        TradeRow(21, START + 86_000, "none", "x", 1.0, "buy"),
        TradeRow(8, START + 80_000, "t8", 100.0, 1.0, "buy"),
    ]
    write_recording(
        folder / "X-USDT.db", rows, trades, index=("timestamp",), id_column="id INTEGER, "
    )
    return folder


@pytest.mark.parametrize("start", [START - 60_000, START, START + 20_000])
@pytest.mark.parametrize("end", [START + 60_000, START + 100_000])
def test_the_data_issues_are_those_of_a_replay(start: int, end: int, tmp_path: Path) -> None:
    folder = poor_recording(tmp_path / "in")
    done = exported(
        "hftbacktest", folder, tmp_path / "x.npz", instrument="X-USDT", start=start, end=end
    )
    options = ReplayOptions("X-USDT", start, end, flow=False)
    files = RunFiles(tmp_path)
    run = Replay(options, find_recording("X-USDT", folder, start, end), files)
    assert run.run() == "finished"
    files.close()
    wanted = run.summary()
    assert sum(n > 0 for n in wanted["counts"].values()) >= 2
    for name in ("counts", "rows", "trades", "reliable", "book_mode", "unknown_sides",
                 "first_event", "event_time", "instrument", "start", "end"):  # fmt: skip
        assert done.summary[name] == wanted[name], name


def test_a_range_opens_with_the_book_once_and_then_has_its_rows(tmp_path: Path) -> None:
    path = write_recording(
        tmp_path / "X-USDT.db",
        [
            BookRow(1, START, '[["100","1"],["99","2"]]', '[["101","3"]]'),
            BookRow(2, START + 10, '[["99","0"],["98","4"]]', "[]"),
            BookRow(3, START + 20, "[]", '[["102","5"]]'),
        ],
        [TradeRow(1, START + 15, "t", 100.0, 1.0, "buy")],
    )
    options = PassOptions("X-USDT", START + 15, None, row_levels=True)
    passed = MarketPass(DBInterpreter(path, start_ms=START + 15), options)
    rows = no_rows()
    for portion in passed.portions():
        rows = rows.followed_by(portion.levels)
    assert rows.time.tolist() == [START + 15, START + 20]
    assert rows.snapshot.tolist() == [1, 0]
    assert rows.counts.tolist() == [2, 1, 0, 1]
    assert rows.price.tolist() == [100.0, 98.0, 101.0, 102.0]
    assert rows.size.tolist() == [1.0, 4.0, 3.0, 5.0]
    assert passed.opening_levels == 3


def test_rows_are_parted_and_joined_without_a_loss() -> None:
    rows = no_rows()
    for number in range(6):
        rows.time.append(number // 2)
        rows.snapshot.append(number == 0)
        rows.counts.extend((number, 1))
        rows.price.extend(range(number + 1))
        rows.size.extend(range(number + 1))
    for until in range(5):
        before, after = rows.parted(until)
        assert all(ms < until for ms in before.time)
        assert all(ms >= until for ms in after.time)
        assert before.followed_by(after) == rows
        assert sum(before.counts) == len(before.price) == len(before.size)
