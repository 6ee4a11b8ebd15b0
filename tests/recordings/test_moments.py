"""The book at a moment is that of a straight replay, level by level, whatever the recording."""

import os
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random
from shutil import copyfile
from typing import Any

import pytest
from real_recordings import DATA, needs_recordings
from recording_factory import (
    ID_IS_ROWID,
    START,
    book_rows,
    insert,
    random_times,
    settle,
    shuffled_within,
    trade_rows,
    write_recording,
)
from small_recordings import END, INSTRUMENT, Kind, write_recordings
from straight import ALL, fields_of, straight_moments
from truth_runs import MARKED, levels, snapshot, update, updates, write, write_days

from recordings import checkpoint_chain, moments
from recordings.discovery import Recording, find_recording
from recordings.moment_service import MomentService, Run
from recordings.moments import Moments, RecordingChangedError, book_at
from recordings.recorded_table import instruments_in

FOREVER = 10**14


@pytest.fixture(autouse=True)
def close_checkpoints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Make checkpoints so often that small recordings have many, in a cache of the test's own."""
    for name in ("COMPILED_DISTANCE", "PYTHON_DISTANCE", "TRADES_DISTANCE"):
        monkeypatch.setattr(moments, name, 20)
    monkeypatch.setattr(checkpoint_chain, "SHORTEST_SPAN", 5)
    monkeypatch.setattr(moments, "BEST_ROWS", 30)
    monkeypatch.setattr("straight.BEST_ROWS", 30)
    monkeypatch.setenv("ORDERFLOW_CACHE_DIR", str(tmp_path / "cache"))


def found_in(path: Path, book_mode: str = "incremental") -> Recording:
    return find_recording("BTC-USDT", path, 0, FOREVER, book_mode)


def times_of(recording: Recording) -> list[int]:
    """Return the times of all rows and trades, as they are read."""
    tables = [*recording.books, *recording.trades]
    return sorted({row[0] for table in tables for batch in table.batches() for row in batch})


def assert_straight(
    recording: Recording, times: list[int], start_ms: int = 0, *, uncross: bool = False
) -> None:
    truth = straight_moments(recording, start_ms, times, uncross=uncross)
    fresh = Moments(recording, start_ms, uncross=uncross)
    fresh.make(FOREVER)
    kept = Moments(recording, start_ms, uncross=uncross)
    shuffled = list(truth)
    Random(1).shuffle(shuffled)
    for time in shuffled:
        assert fields_of(fresh.at(time, levels=ALL)) == truth[time], time
    for time in shuffled[:20]:
        assert fields_of(kept.at(time, levels=ALL)) == truth[time], time


def around(times: list[int]) -> list[int]:
    return sorted({near for time in times for near in (time - 1, time, time + 1) if near >= 0})


class TestWrittenByHand:
    def test_at_every_time_of_a_recording_with_many_rows_in_one_millisecond(
        self, tmp_path: Path
    ) -> None:
        times = random_times(3, 150)
        path = write_recording(tmp_path / "BTC-USDT.db", book_rows(times), trade_rows(times))
        assert max(Counter(times).values()) > 3
        assert_straight(found_in(path), around(times))

    @pytest.mark.parametrize("index", [(), ("timestamp",)])
    def test_rows_out_of_order_as_far_as_they_can_be_put_right(
        self, tmp_path: Path, index: tuple[str, ...]
    ) -> None:
        times = random_times(4, 300)
        rows, trades = shuffled_within(book_rows(times), 90), shuffled_within(trade_rows(times), 90)
        numbered = [row._replace(id=number) for number, row in enumerate(rows, 1)]
        path = write_recording(
            tmp_path / "BTC-USDT.db",
            numbered,
            [trade._replace(id=number) for number, trade in enumerate(trades, 1)],
            index=index,
        )
        assert_straight(found_in(path), around(times)[::5])

    @pytest.mark.thorough
    def test_rows_that_come_too_late_are_left_out_as_in_a_replay(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        times = random_times(5, 9000, step=40)
        rows = book_rows(times)
        # Row 6500 belongs where the buffer has long been.
        rows[6500] = rows[6500]._replace(timestamp=times[700])
        path = write_recording(tmp_path / "BTC-USDT.db", rows, trade_rows(times[:50]))
        monkeypatch.setattr(moments, "COMPILED_DISTANCE", 300)
        monkeypatch.setattr(moments, "PYTHON_DISTANCE", 300)
        recording = found_in(path)
        assert_straight(recording, times[600:800:40] + times[6000:7000:150])

    def test_files_that_overlap_and_repeat_each_other(self, tmp_path: Path) -> None:
        times = random_times(6, 250)
        rows, trades = book_rows(times), trade_rows(times)
        write_recording(tmp_path / "BTC-USDT-25-06-09.db", rows[:150], trades[:150])
        write_recording(tmp_path / "BTC-USDT-25-06-10.db", rows[100:], trades[100:])
        assert_straight(found_in(tmp_path), around(times)[::11])

    def test_days_of_which_some_begin_with_a_snapshot(self, tmp_path: Path) -> None:
        day = 86_400_000
        directory = write_days(
            tmp_path / "days",
            [snapshot(0), *updates(range(100, 9000, 100))],
            [update(day + at) for at in range(0, 9000, 100)],
            [snapshot(2 * day), *updates(range(2 * day + 100, 2 * day + 9000, 100))],
        )
        recording = found_in(directory)
        assert_straight(recording, around(times_of(recording))[::5], START + day)

    @pytest.mark.thorough
    def test_gaps_of_the_sequence_and_rows_that_cannot_be_read(self, tmp_path: Path) -> None:
        rows: list[Any] = [snapshot(0, "snapshot", 1, -1)]
        draw = Random(2)
        for number in range(2, 200):
            kind = draw.random()
            at = 100 * number
            if kind < 0.02:
                rows.append(snapshot(at, "snapshot", number, -1))
            elif kind < 0.05:
                rows.append((START + at, "no levels", "[]", "update", number, number - 1))
            elif kind < 0.07:
                rows.append((None, "[]", "[]", "update", number, number - 1))
            else:
                before = number - 1 - (draw.random() < 0.03)
                rows.append(update(at, "update", number, before))
        path = write(tmp_path / "BTC-USDT.db", rows, more=MARKED)
        recording = found_in(path)
        assert_straight(recording, around(times_of(recording))[::3])

    def test_crossed_books_with_and_without_uncrossing(self, tmp_path: Path) -> None:
        draw = Random(3)
        rows: list[Any] = [snapshot(0)]
        for number in range(1, 100):
            sides = [
                levels(*[(1000 + draw.randrange(-6, 6), draw.choice((0, 1, 2))) for _ in range(3)])
                for _ in range(2)
            ]
            rows.append((START + 50 * number, *sides))
        path = write(tmp_path / "BTC-USDT.db", rows, index=True)
        recording = found_in(path)
        times = times_of(recording)
        for uncross in (False, True):
            assert_straight(recording, times, uncross=uncross)

    def test_a_recording_of_full_snapshots(self, tmp_path: Path) -> None:
        rows = [snapshot(100 * number, depth=5 + number % 2) for number in range(200)]
        recording = found_in(write(tmp_path / "BTC-USDT.db", rows), "auto")
        assert_straight(recording, around(times_of(recording))[::3])

    def test_without_book_or_without_trades(self, tmp_path: Path) -> None:
        times = random_times(7, 100)
        for name, book, trades in (
            ("book", book_rows(times), None),
            ("trades", None, trade_rows(times)),
        ):
            (tmp_path / name).mkdir()
            path = write_recording(tmp_path / name / "BTC-USDT.db", book, trades)
            assert_straight(found_in(path), around(times)[::5])

    def test_the_start_of_the_range_counts_for_cvd_and_trades_alone(self, tmp_path: Path) -> None:
        times = random_times(8, 300)
        path = write_recording(tmp_path / "BTC-USDT.db", book_rows(times), trade_rows(times))
        recording = found_in(path)
        assert_straight(recording, around(times[150:])[::3], times[150])
        before = Moments(recording, times[150]).at(times[100])
        assert (before.cvd, before.trades) == (0.0, [])
        assert before.row > 0

    def test_of_a_damaged_file_what_a_replay_uses(self, tmp_path: Path) -> None:
        times = random_times(9, 3000, step=50)
        rows = book_rows(times)
        path = write_recording(tmp_path / "BTC-USDT.db", rows, trade_rows(times[:10]))
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        settle(path)
        recording = found_in(path)
        read = Moments(recording, 0)
        late = read.at(times[-1])
        assert 0 < late.row < len(rows)
        assert read.at(times[100]).bids[0][0] == max(
            100.5 + n for n in range(1, late.row + 1) if times[n - 1] <= times[100]
        )


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.thorough) for seed in range(3, 12))]
)
def test_every_kind_of_recording_that_sqlite_has(tmp_path: Path, seed: int) -> None:
    draw = Random(seed)
    kind = Kind.draw(draw)
    write_recordings(kind, tmp_path, draw)
    for old in tmp_path.glob("*.older"):
        old.unlink()
    recording = find_recording(INSTRUMENT, tmp_path, START, END)
    times = around(times_of(recording))
    assert_straight(recording, times[:: max(len(times) // 60, 1)], START)


class TestRows:
    def test_one_by_one_rows_of_one_millisecond_are_told_apart(self, tmp_path: Path) -> None:
        times = random_times(10, 120)
        rows = book_rows(times)
        path = write_recording(tmp_path / "BTC-USDT.db", rows, trade_rows(times))
        read = Moments(found_in(path), 0)
        for number in range(1, len(rows) + 1):
            moment = read.after_row(number)
            assert (moment.row, moment.row_time) == (number, times[number - 1])
            assert moment.time == times[number - 1]
            assert moment.bid_levels == number
        assert read.after_row(0).bids == []
        assert read.after_row(len(rows) + 5).row == len(rows)

    def test_after_the_last_row_of_a_millisecond_it_is_the_moment_at_that_time(
        self, tmp_path: Path
    ) -> None:
        times = random_times(11, 200)
        path = write_recording(tmp_path / "BTC-USDT.db", book_rows(times), trade_rows(times))
        read = Moments(found_in(path), 0)
        for time in set(times):
            assert read.after_row(sum(t <= time for t in times)) == read.at(time)


class TestRecordingUntouched:
    def test_neither_bytes_nor_times_change_and_nothing_is_written_beside(
        self, tmp_path: Path
    ) -> None:
        folder = tmp_path / "data"
        folder.mkdir()
        times = random_times(12, 200)
        path = write_recording(folder / "BTC-USDT.db", book_rows(times), trade_rows(times))
        before = path.read_bytes(), path.stat()
        folder.chmod(0o555)
        try:
            Moments(found_in(path), 0).at(times[100])
        finally:
            folder.chmod(0o755)
        after = path.read_bytes(), path.stat()
        assert after[0] == before[0]
        assert (after[1].st_mtime_ns, after[1].st_ino) == (before[1].st_mtime_ns, before[1].st_ino)
        assert [found.name for found in folder.iterdir()] == ["BTC-USDT.db"]

    def test_a_changed_recording_is_read_anew(self, tmp_path: Path) -> None:
        times = random_times(13, 200)
        path = write_recording(tmp_path / "BTC-USDT.db", book_rows(times), trade_rows(times))
        opened = Moments(found_in(path), 0)
        old = opened.at(times[-1])
        stat = path.stat()
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute('UPDATE book SET bids = \'[["50", "7"]]\' WHERE id = 100')
        # The size is the same, and so is the time that programs can set.
        assert path.stat().st_size == stat.st_size
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        new = Moments(found_in(path), 0).at(times[-1])
        assert new.bid_levels == old.bid_levels
        assert [50.0, 7.0] in new.bids
        assert [50.0, 7.0] not in old.bids
        with pytest.raises(RecordingChangedError, match="changed while it was read"):
            opened.at(times[-1])

    def test_a_recording_that_goes_on_is_read_to_its_new_end(self, tmp_path: Path) -> None:
        times = random_times(14, 200)
        path = write_recording(tmp_path / "BTC-USDT.db", book_rows(times[:150]), trade_rows(times))
        assert book_at(found_in(path), times[-1]).row == 150
        copyfile(path, tmp_path / "copy")
        path.unlink()
        write_recording(path, book_rows(times), trade_rows(times), id_column=ID_IS_ROWID)
        assert book_at(found_in(path), times[-1]).row == 200


RECORDINGS = [
    (path, name)
    for path in (sorted(DATA.glob("*.db")) if DATA.is_dir() else [])
    for name in instruments_in(path)
]


def several_rows(recording: Recording) -> list[int]:
    """Return the times at which there are several book rows."""
    rows = Counter(r[0] for t in recording.books for batch in t.batches() for r in batch)
    return [time for time, count in rows.items() if count > 1]


def real_moments(
    path: Path, name: str, monkeypatch: pytest.MonkeyPatch, count: int, several: int | None
) -> None:
    for distance in ("COMPILED_DISTANCE", "PYTHON_DISTANCE", "TRADES_DISTANCE"):
        monkeypatch.setattr(moments, distance, 400)
    recording = find_recording(name, path, 0, FOREVER)
    draw = Random(path.name + name)
    times = [draw.randint(recording.first_ms - 5, recording.last_ms + 5) for _ in range(count)]
    assert_straight(recording, times + several_rows(recording)[:several], recording.first_ms)


@needs_recordings
@pytest.mark.parametrize(
    ("path", "name"),
    [
        pytest.param(*one, marks=() if place % 9 == 5 else (pytest.mark.thorough,))
        for place, one in enumerate(RECORDINGS)
    ],
    ids=lambda value: getattr(value, "stem", value),
)
def test_real_recordings(path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real_moments(path, name, monkeypatch, 10, 5)


@pytest.mark.slow
@needs_recordings
@pytest.mark.parametrize(
    ("path", "name"), RECORDINGS, ids=lambda value: getattr(value, "stem", value)
)
def test_real_recordings_at_200_moments_and_wherever_there_are_several_rows(
    path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_moments(path, name, monkeypatch, 200, None)


def test_of_a_recording_in_progress_moments_are_answered_while_it_grows(tmp_path: Path) -> None:
    times = [START + 1000 * number for number in range(60)]
    path = write_recording(tmp_path / "BTC-USDT.db", book_rows(times[:30]), trade_rows(times[:30]))
    run = Run("BTC-USDT", tmp_path, START, START + 86_400_000, "incremental", growing=True)
    service = MomentService(run)

    def answered(time: int) -> dict[str, Any]:
        for _ in range(1000):
            answer = service.answer({"time": time})
            if answer["status"] == 200:
                return answer
        raise AssertionError(answer)

    assert answered(times[10])["row"] == 11
    with closing(sqlite3.connect(path)) as connection, connection:
        insert(connection, "book", book_rows(times)[30:], None)
    assert answered(times[10])["row"] == 11
    assert answered(times[50])["row"] == 51
    assert answered(times[59])["row"] == 60
    assert not list((tmp_path / "cache").rglob("checkpoints.bin"))
