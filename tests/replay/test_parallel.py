"""Several processes make the very files of one."""

import json
import multiprocessing
import os
import random
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bar_files import read_bars

from metrics_calculator import join_metric_bars
from orderflow.array_file import unpack
from recordings.discovery import find_recording
from replay.parallel import ParallelReplay, cut_into_segments, merge_sampled_bars
from replay.run import FAILED, FINISHED, STOPPED, Replay, ReplayOptions
from replay.run_files import RunFiles
from synthetic_market import NORMAL, write_recording
from viz_io import ALL_BARS_FILES, FLOW_FILES

START = 1_749_427_200_000
HOUR = 3_600_000
SNAPSHOT_ROWS = (1300, 2900)
OPTIONS = ReplayOptions("BTC-USDT", START, START + HOUR, jobs=2)
WHOLE = (0, *SNAPSHOT_ROWS, 10**9)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("market") / "BTC-USDT.db"
    write_recording(path, "BTC-USDT", START, START + HOUR, seed=9, density=NORMAL, max_rows=4000)
    return path


def book_at(connection: sqlite3.Connection, row: int) -> list[str]:
    """The whole book after a row, as the text of a snapshot."""
    sides: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for texts in connection.execute(
        "SELECT bids, asks FROM book WHERE id <= ? ORDER BY id", (row,)
    ):
        for side, text in zip(sides, texts, strict=True):
            for price, size, *_ in json.loads(text):
                side[price] = size
                if float(size) == 0:
                    del side[price]
    return [json.dumps([[*level, "0", "1"] for level in side.items()]) for side in sides]


def cut(
    recording: Path, directory: Path, *, marked: bool = False, level_less: bool = False
) -> Path:
    """Cut a recording into three files, the later ones beginning with a snapshot."""
    directory.mkdir()
    for part, (first, last) in enumerate(pairwise(WHOLE)):
        path = directory / f"BTC-USDT-25-06-{9 + part:02}.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("ATTACH ? AS s", (str(recording),))
            for table in ("book", "trades"):
                (sql,) = connection.execute(
                    "SELECT sql FROM s.sqlite_master WHERE name = ?", (table,)
                ).fetchone()
                connection.execute(sql)
            connection.execute(
                "INSERT INTO book SELECT * FROM s.book WHERE id > ? AND id <= ?", (first, last)
            )
            begin, end = connection.execute(
                "SELECT min(timestamp), max(timestamp) FROM book"
            ).fetchone()
            connection.execute(
                "INSERT INTO trades SELECT * FROM s.trades WHERE timestamp >= ? AND timestamp < ?",
                (begin if part else 0, end + (1 << 40) * (part == 2) + 100 * (part < 2)),
            )
            if part:
                with closing(sqlite3.connect(recording)) as source:
                    bids, asks = book_at(source, first)
                if level_less:
                    bids = json.dumps(json.loads(bids)[:-1])
                connection.execute(
                    "INSERT INTO book VALUES (?, 'BTC-USDT', ?, ?, ?)", (first, bids, asks, begin)
                )
            if marked:
                connection.execute("ALTER TABLE book ADD COLUMN action TEXT")
                connection.execute("UPDATE book SET action = 'update'")
                connection.execute(
                    "UPDATE book SET action = 'snapshot' WHERE id = (SELECT min(id) FROM book)"
                )
    return directory


Outcome = tuple[str, dict[str, Any], dict[str, Any]]
Run = Callable[..., Outcome]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def replay(kind: type[Replay], data: Path, options: ReplayOptions = OPTIONS) -> Outcome:
        out = tmp_path / f"out{random.random()}"
        found = find_recording(options.instrument, data, options.start_ms, options.end_ms)
        files = RunFiles(out)
        replayed = kind(options, found, files)
        state = replayed.run()
        files.close()
        written = {path.name: json.loads(path.read_bytes()) for path in out.glob("*.json")}
        for path in (out / file.name for file in ALL_BARS_FILES):
            header, entries = read_bars(path)
            del header["run"]
            written[path.name] = header, entries
        for path in (out / file.name for file in FLOW_FILES if (out / file.name).exists()):
            header, arrays = unpack(path.read_bytes())
            del header["run"], header["tick_refined"]
            written[path.name] = header, {n: bytes(array.data) for n, array in arrays.items()}
        status = written.pop("status_data.json")
        for changing in ("seconds", "rows_per_second", "written", "monitoring"):
            del status[changing]
        return state, written, status

    return replay


@pytest.mark.parametrize("marked", [False, True])
def test_the_files_are_those_of_one_process(
    recording: Path, tmp_path: Path, run: Run, marked: bool, caplog: pytest.LogCaptureFixture
) -> None:
    data = cut(recording, tmp_path / "data", marked=marked)
    found = find_recording("BTC-USDT", data, START, START + HOUR)
    assert len(cut_into_segments(found, OPTIONS)) == 3
    assert run(ParallelReplay, data) == run(Replay, data)
    assert "one process" not in caplog.text


@pytest.mark.thorough
def test_a_range_that_begins_inside_a_file(recording: Path, tmp_path: Path, run: Run) -> None:
    data = cut(recording, tmp_path / "data")
    options = ReplayOptions("BTC-USDT", START + 600_000, START + 3_000_000, 7, 3, jobs=3)
    state, _, status = parallel = run(ParallelReplay, data, options)
    assert parallel == run(Replay, data, options)
    assert (state, status["rows"] > 1000) == (FINISHED, True)


def test_data_issues_are_counted_alike(recording: Path, tmp_path: Path, run: Run) -> None:
    data = cut(recording, tmp_path / "data", marked=True)
    for path in data.iterdir():
        with closing(sqlite3.connect(path)) as connection, connection:
            (low,) = connection.execute("SELECT min(id) FROM book").fetchone()
            connection.execute("UPDATE book SET bids = 'x' WHERE id = ?", (low + 50,))
            connection.execute("""UPDATE book SET asks = '[["x",1]]' WHERE id = ?""", (low + 90,))
            connection.execute("DELETE FROM book WHERE id BETWEEN ? AND ?", (low + 200, low + 230))
            connection.execute("UPDATE trades SET side = '?' WHERE id % 50 = 0")
            connection.execute("UPDATE trades SET size = -1 WHERE id % 77 = 0")
    _, _, status = parallel = run(ParallelReplay, data)
    assert parallel == run(Replay, data)
    assert status["counts"]["rows_skipped"] == status["counts"]["levels_rejected"] == 3
    assert not status["reliable"]


@pytest.mark.thorough
@pytest.mark.parametrize("break_it", ["an unreadable snapshot", "a row without a time", "overlap"])
def test_what_cannot_be_joined_is_replayed_by_one_process(
    recording: Path,
    tmp_path: Path,
    run: Run,
    break_it: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = cut(
        recording,
        tmp_path / "data",
        marked=break_it == "an unreadable snapshot",
    )
    second = data / "BTC-USDT-25-06-10.db"
    with closing(sqlite3.connect(second)) as connection, connection:
        if break_it == "an unreadable snapshot":
            connection.execute("UPDATE book SET bids = 'x' WHERE action = 'snapshot'")
        if break_it == "a row without a time":
            connection.execute("CREATE INDEX by_time ON book(timestamp)")
            connection.execute("UPDATE book SET timestamp = NULL WHERE id % 100 = 50")
        if break_it == "overlap":
            third = data / "BTC-USDT-25-06-11.db"
            connection.execute("ATTACH ? AS t", (str(third),))
            connection.execute("INSERT OR IGNORE INTO book SELECT * FROM t.book WHERE id < 2950")
    assert run(ParallelReplay, data) == run(Replay, data)
    assert ("replaying with one process" in caplog.text) == (break_it != "overlap")


@pytest.mark.thorough
def test_a_later_file_that_begins_with_the_whole_book_replaces_it(
    recording: Path, tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    data = cut(recording, tmp_path / "data", level_less=True)
    assert run(ParallelReplay, data) == run(Replay, data)
    assert "replaying with one process" not in caplog.text


def test_one_file_is_replayed_by_one_process(
    recording: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(ParallelReplay, recording.parent) == run(Replay, recording.parent)
    assert "no second file begins with a snapshot" in caplog.text


def test_a_damaged_file_fails_the_run_after_everything_readable(
    recording: Path, tmp_path: Path, run: Run
) -> None:
    data = cut(recording, tmp_path / "data", marked=True)
    path = data / "BTC-USDT-25-06-10.db"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    (one_state, one_files, one), (state, files, status) = (
        run(Replay, data),
        run(ParallelReplay, data),
    )
    assert state == one_state == FAILED
    assert str(path) in status["reason"]
    assert (files, status["rows"]) == (one_files, one["rows"])


def test_a_stopped_run_has_the_parts_up_to_where_it_stopped(
    recording: Path, tmp_path: Path
) -> None:
    data = cut(recording, tmp_path / "data")
    found = find_recording("BTC-USDT", data, START, START + HOUR)
    files = RunFiles(tmp_path / "out")
    replay = ParallelReplay(OPTIONS, found, files)
    replay.stop()
    assert replay.run() == STOPPED
    files.close()


Bars = list[list[float]]


def bar(start: int, value: float) -> list[float]:
    return [start, *[value] * 8]


def test_a_window_cut_in_two_becomes_one_bar() -> None:
    first: Bars = [[0, 1, 5, 0, 2, 10, 50, 0, 20], [60, 1, 4, -1, 3, 10, 40, 5, 30]]
    second: Bars = [[60, 2, 6, 0, 5, 11, 39, 4, 12], [120, *[1] * 8]]
    assert merge_sampled_bars([first, [], second]) == [
        first[0],
        [60, 1, 6, -1, 5, 10, 40, 4, 12],
        second[1],
    ]


def test_windows_of_samples_and_of_trades_make_metric_bars() -> None:
    sampled = [bar(60, 1), bar(180, 2)]
    traded: Bars = [[start, o, o + 1, o, o + 1] for start, o in ((0, 0), (120, 1), (240, 2))]
    assert join_metric_bars(sampled, traded) == [
        [0, *[None] * 8, 0, 1, 0, 1],
        [60, *[1] * 8, 1, 1, 1, 1],
        [120, *[1] * 8, 1, 2, 1, 2],
        [180, *[2] * 8, 2, 2, 2, 2],
        [240, *[2] * 8, 2, 3, 2, 3],
    ]
    assert join_metric_bars([], traded) == [[bar[0], *[None] * 8, *bar[1:]] for bar in traded]


def test_a_killed_process_is_said_as_that_and_what_the_others_made_is_written(
    recording: Path, tmp_path: Path
) -> None:
    def kill_one(_: Replay) -> None:
        for child in multiprocessing.active_children()[:1]:
            child.kill()

    data = cut(recording, tmp_path / "cut")
    for _ in range(5):  # on busy processors the processes may be done before one is killed
        files = RunFiles(tmp_path / "out")
        found = find_recording(OPTIONS.instrument, data, OPTIONS.start_ms, OPTIONS.end_ms)
        run = ParallelReplay(OPTIONS, found, files, kill_one)
        state = run.run()
        files.close()
        if state != FINISHED:
            break
    assert state == FAILED
    assert run.reason == (
        "one of the 2 processes of --jobs has been killed, by hand or because memory ran out; its "
        "rows are missing, so run again, with a smaller --jobs if memory is short"
    )
    status = json.loads((tmp_path / "out" / "status_data.json").read_bytes())
    assert (status["state"], status["reason"]) == ("failed", run.reason)
    assert json.loads((tmp_path / "out" / "ohlc_data.json").read_bytes())


def test_ctrl_c_while_the_processes_start_stops_the_run_and_shows_no_traceback(
    recording: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupt_all(asked: Replay) -> None:
        asked.stop()
        for child in multiprocessing.active_children():  # as a terminal does
            os.kill(child.pid or 0, signal.SIGINT)

    data = cut(recording, tmp_path / "cut")
    files = RunFiles(tmp_path / "out")
    found = find_recording(OPTIONS.instrument, data, OPTIONS.start_ms, OPTIONS.end_ms)
    state = ParallelReplay(OPTIONS, found, files, interrupt_all).run()
    files.close()
    assert state == STOPPED
    assert "Traceback" not in capfd.readouterr().err
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
