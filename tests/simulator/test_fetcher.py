"""Fetching, as a user runs it: every row of a recording once, in order, with its text."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from places import PROJECT
from real_recordings import BINANCE, DATA, needs_recordings
from stores import INSTRUMENT, START, batches, lines, numbered

from messaging.notification import Listener
from messaging.pipes import PipeChannel
from orderflow.times import parse_range
from recordings.discovery import find_recording
from recordings.writer import RecordingWriter
from simulator.fetcher import Fetcher
from simulator.storage import StoreWriter
from simulator.stored_rows import Fetch, StoredBook, StoredEnd, StoredRow, StoredTrade, parse_row

pytestmark = pytest.mark.thorough

DAY = ("2025-06-09", "2025-06-10")
BookRow = tuple[Any, Any, int]


def write(path: Path, books: Sequence[BookRow], trades: Sequence[tuple[Any, ...]] = ()) -> Path:
    """Write a recording of book rows `(bids, asks, ms after START)` and likewise trades."""
    with RecordingWriter(path) as writer:
        writer.write_book((INSTRUMENT, bids, asks, START + ms) for bids, asks, ms in books)
        writer.write_trades((INSTRUMENT, *rest, START + ms) for *rest, ms in trades)
    return path


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "simulator", "fetch", *map(str, arguments)]


def run(*arguments: object) -> tuple[int, str, str]:
    done = subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, timeout=60, cwd=PROJECT
    )
    return done.returncode, done.stdout, done.stderr


def fetch(recording: Path, store: Path, *more: object, day: Sequence[str] = DAY) -> tuple[int, str]:
    common = ("--data-dir", recording, "--store", store, "--speed", "max")
    code, _, err = run(INSTRUMENT, *day, *common, *more)
    return code, err


def stored(store: Path, instrument: str = INSTRUMENT) -> list[StoredRow]:
    return [parse_row(line) for line in lines(store, instrument)]


def side(first: int, levels: int = 12) -> str:
    return json.dumps([[f"{first + n}.50", f"{n + 1}.0"] for n in range(levels)])


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write rows of which many have the same time."""
    books = [(side(100 - n % 7), side(200 + n % 5), n // 3 * 10) for n in range(6000)]
    trades = [(f"t{n}", 150.5 + n % 3, 0.25, "buy", n // 4 * 10) for n in range(6000)]
    return write(tmp_path_factory.mktemp("recording") / f"{INSTRUMENT}.db", books, trades)


@pytest.fixture(scope="module")
def whole(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    store = tmp_path_factory.mktemp("whole")
    assert fetch(recording, store)[0] == 0
    return lines(store)


@needs_recordings
@pytest.mark.parametrize(("stem", "instrument"), BINANCE.items())
def test_all_rows_of_a_real_recording_come_out_equal_to_sqls(
    stem: str, instrument: str, tmp_path: Path
) -> None:
    day = ("2024-01-01", "2025-01-01")
    path = DATA / f"{stem}.db"
    common = ("--data-dir", path, "--store", tmp_path, "--speed", "max")
    assert run(instrument, *day, *common)[0] == 0
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        book_rows = connection.execute(
            "SELECT timestamp, bids, asks FROM book WHERE instrument = ? ORDER BY timestamp, id",
            (instrument,),
        ).fetchall()
        trades = connection.execute(
            "SELECT timestamp, trade_id, price, size, side FROM trades WHERE instrument = ? "
            "ORDER BY timestamp, id",
            (instrument,),
        ).fetchall()
    rows = stored(tmp_path, instrument)
    books = [row for row in rows if isinstance(row, StoredBook)]
    assert [(b.ts, b.bids.decode(), b.asks.decode()) for b in books] == book_rows
    assert [b.snapshot for b in books[:2]] == [True, False]
    assert [
        (t.ts, t.id, float(t.price), float(t.size), t.side)
        for t in rows
        if isinstance(t, StoredTrade)
    ] == [(ts, str(name), price, size, side) for ts, name, price, size, side in trades]
    assert isinstance(rows[-1], StoredEnd)
    assert [row.ts for row in rows] == sorted(row.ts for row in rows)


class TestGoingOn:
    @pytest.mark.parametrize(
        "kills", [3, pytest.param(20, marks=pytest.mark.slow)], ids=["quick", "many"]
    )
    def test_a_fetcher_killed_at_random_loses_doubles_and_tears_nothing(
        self, recording: Path, whole: list[bytes], tmp_path: Path, kills: int
    ) -> None:
        random, in_the_middle = Random(kills), 0
        arguments = ("--data-dir", recording, "--store", tmp_path, "--speed", "5")
        for _ in range(kills):
            before = len(lines(tmp_path))
            with subprocess.Popen(
                command(INSTRUMENT, *DAY, *arguments), stderr=subprocess.DEVNULL, cwd=PROJECT
            ) as process:
                until = time.monotonic() + 20
                while len(lines(tmp_path)) <= before and time.monotonic() < until:
                    time.sleep(0.01)
                time.sleep(random.random() / 8)
                process.kill()
            in_the_middle += len(whole) > len(lines(tmp_path)) > before
        assert in_the_middle >= min(kills, 10)
        assert fetch(recording, tmp_path)[0] == 0
        assert lines(tmp_path) == whole

    def test_ctrl_c_ends_with_130_and_the_next_start_goes_on(
        self, recording: Path, whole: list[bytes], tmp_path: Path
    ) -> None:
        arguments = ("--data-dir", recording, "--store", tmp_path, "--speed", "1", "--json")
        with subprocess.Popen(
            command(INSTRUMENT, *DAY, *arguments),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT,
        ) as process:  # fmt: skip
            while not lines(tmp_path):
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "Traceback" not in err
        said = json.loads(out)
        assert said["state"] == "stopped"
        assert said["last_seq"] == len(lines(tmp_path)) < len(whole)
        assert f"going on after {said['last_seq']:,} rows" in fetch(recording, tmp_path)[1]
        assert lines(tmp_path) == whole

    def test_the_end_of_a_torn_line_is_cut_and_said(
        self, recording: Path, whole: list[bytes], tmp_path: Path
    ) -> None:
        fetch(recording, tmp_path)
        path = next((tmp_path / INSTRUMENT).glob("*.jsonl"))
        path.write_bytes(path.read_bytes()[:-30])
        torn = len(whole[-1]) + 1 - 30
        assert f", {torn} bytes of a torn line cut" in fetch(recording, tmp_path)[1]
        assert lines(tmp_path) == whole

    def test_what_is_whole_stays_as_it_is(self, recording: Path, tmp_path: Path) -> None:
        fetch(recording, tmp_path)
        before = lines(tmp_path)
        assert fetch(recording, tmp_path) == (
            0,
            f"{tmp_path / INSTRUMENT} has all of it already, nothing is added\n",
        )
        assert lines(tmp_path) == before

    def test_a_recording_that_has_changed_is_refused(self, tmp_path: Path) -> None:
        rows = [(side(100), side(200), ms) for ms in range(9)]
        fetch(write(tmp_path / f"{INSTRUMENT}.db", rows), tmp_path / "store")
        path = next((tmp_path / "store" / INSTRUMENT).glob("*.jsonl"))
        path.write_bytes(b"\n".join(path.read_bytes().split(b"\n")[:6]) + b"\n")
        (tmp_path / "other").mkdir()
        for changed in (rows[:3], [*rows[:4], (side(101), side(200), 4), *rows[5:]]):
            other = tmp_path / "other" / f"{INSTRUMENT}.db"
            other.unlink(missing_ok=True)
            code, err = fetch(write(other, changed), tmp_path / "store")
            assert code == 1
            assert "is not what the recording has there now" in err
        assert len(lines(tmp_path / "store")) == 5

    def test_a_later_range_goes_into_the_same_store_and_an_earlier_one_does_not(
        self, recording: Path, tmp_path: Path
    ) -> None:
        fetch(recording, tmp_path, day=("2025-06-09T00:00:01", "2025-06-09T00:00:02"))
        assert fetch(recording, tmp_path, day=("2025-06-09T00:00:02", DAY[1]))[0] == 0
        found = lines(tmp_path)
        assert all(numbered(found))
        assert {rows.head.fetch.start_ms - START for rows in batches(tmp_path)} == {1000, 2000}
        code, err = fetch(recording, tmp_path)
        assert code == 1
        assert "times in a store only go on; name another directory with --store" in err
        assert lines(tmp_path) == found


def test_a_full_disk_is_said_once_and_waited_out_until_ctrl_c(
    recording: Path, whole: list[bytes], tmp_path: Path
) -> None:
    mount, umount = shutil.which("mount"), shutil.which("umount")
    small = [str(mount), "-t", "tmpfs", "-o", "size=256k", "none", str(tmp_path)]
    if not (mount and umount) or subprocess.run(small, check=False).returncode:
        pytest.skip("a small disk can only be mounted as root")
    try:
        arguments = ("--data-dir", recording, "--store", tmp_path, "--speed", "max")
        with subprocess.Popen(
            command(INSTRUMENT, *DAY, *arguments), stderr=subprocess.PIPE, text=True, cwd=PROJECT
        ) as process:
            assert process.stderr is not None
            assert process.stderr.readline().startswith("fetching into")
            assert process.stderr.readline() == (
                f"the disk of {tmp_path / INSTRUMENT} is full (No space left on device); waiting "
                "for room, nothing is lost\n"
            )
            time.sleep(1.5)
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=20)[1]
        assert process.returncode == 130
        assert rest.startswith(f"{INSTRUMENT}  stopped\n")
        stopped = lines(tmp_path)
        assert stopped == whole[: len(stopped)]
        larger = [str(mount), "-o", "remount,size=32m", str(tmp_path)]
        subprocess.run(larger, check=True)
        assert fetch(recording, tmp_path)[0] == 0
        assert lines(tmp_path) == whole
    finally:
        subprocess.run([str(umount), str(tmp_path)], check=True)


class TestWhatIsStored:
    def test_at_one_time_book_rows_come_first_and_each_kind_by_its_id(
        self, whole: list[bytes]
    ) -> None:
        rows = [parse_row(line) for line in whole[:-1]]
        moment = [row for row in rows if row.ts == START + 100]
        assert [type(row) for row in moment] == [StoredBook] * 3 + [StoredTrade] * 4
        assert [row.id for row in moment if isinstance(row, StoredTrade)] == [
            "t40", "t41", "t42", "t43",
        ]  # fmt: skip

    def test_now_shifts_all_times_alike_and_the_head_says_by_how_much(
        self, recording: Path, whole: list[bytes], tmp_path: Path
    ) -> None:
        began = int(time.time() * 1000)
        assert fetch(recording, tmp_path, "--now")[0] == 0
        (shift,) = {rows.head.shift_ms for rows in batches(tmp_path)}
        assert 0 <= START + shift - began < 60_000
        times = [parse_row(line).ts for line in whole]
        assert [row.ts - shift for row in stored(tmp_path)] == times

    def test_what_is_wrong_with_a_recording_is_counted_and_marked(self, tmp_path: Path) -> None:
        books: list[BookRow] = [
            (side(100), side(200), 0),
            ("[('100.50', '3.0')]", None, 10),
            ("no levels", "[]", 20),
            ('[["x", "1"], ["100.5", "0"]]', "[]", 30),
        ]
        trades = [("a", 1.5, 1e-9, "buy", 5), ("b", -1.0, 1.0, "sell", 6), ("c", 2.0, 1.0, "?", 7)]
        path = write(tmp_path / f"{INSTRUMENT}.db", books, trades)
        code, err = fetch(path, tmp_path / "store")
        assert code == 0
        for words in (
            "1 book rows skipped", "1 levels rejected", "1 trades skipped",
            "1 trades of unknown side",
        ):  # fmt: skip
            assert words in err
        rows = stored(tmp_path / "store")
        found = [row for row in rows if isinstance(row, StoredBook)]
        assert [(row.bids, row.asks) for row in found[1:3]] == [
            (b'[["100.50","3.0"]]', b"[]"), (b"[]", b"[]"),
        ]  # fmt: skip
        assert [row.lost for row in found] == [(), (), (("rows_skipped", 1, 0),), ()]
        assert [row.reliable for row in found] == [True, True, False, False]
        assert [(t.price, t.size, t.side) for t in rows if isinstance(t, StoredTrade)] == [
            ("1.5", "0.000000001", "buy"), ("2", "1", "?"),
        ]  # fmt: skip

    def test_what_is_lost_after_the_last_book_row_does_not_turn_time_back(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / f"{INSTRUMENT}.db"
        write(path, [(side(100), side(200), 10)], [("a", 1.5, 1.0, "buy", 50)])
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "INSERT INTO book (instrument, bids, asks, timestamp) VALUES (?, '[]', '[]', '?')",
                (INSTRUMENT,),
            )
        fetch(path, tmp_path / "store")
        rows = stored(tmp_path / "store")
        assert [row.ts - START for row in rows] == [10, 50, 50, 50]
        assert isinstance(rows[2], StoredBook)
        assert [kind for kind, _, _ in rows[2].lost] == ["rows_skipped"]

    def test_ids_and_snapshots_that_were_recorded_are_stored(self, tmp_path: Path) -> None:
        path = tmp_path / f"{INSTRUMENT}.db"
        with RecordingWriter(path, sequenced=True) as writer:
            writer.write_book(
                [
                    (INSTRUMENT, side(100), side(200), START, "snapshot", 7, -1),
                    (INSTRUMENT, side(100, 1), "[]", START + 1, "update", 8, 7),
                    (INSTRUMENT, side(100, 1), "[]", START + 2, "update", 10, 9),
                ]
            )
        fetch(path, tmp_path / "store")
        found = [row for row in stored(tmp_path / "store") if isinstance(row, StoredBook)]
        assert [(r.snapshot, r.seq_id, r.prev_seq_id, r.reliable) for r in found] == [
            (True, 7, -1, True), (False, 8, 7, True), (False, 10, 9, False),
        ]  # fmt: skip

    def test_the_demo_needs_no_data(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ORDERFLOW_CACHE_DIR", str(tmp_path / "cache"))
        day = (INSTRUMENT, "2025-06-09T00:00", "2025-06-09T00:01")
        code, out, err = run(
            *day, "--demo", "--store", tmp_path / "store", "--speed", "max", "--json"
        )
        assert code == 0
        assert "demo: a made-up market" in err
        assert json.loads(out)["book_rows"] == 600
        assert {rows.head.fetch.source for rows in batches(tmp_path / "store")} == {"demo"}


def test_wrong_arguments_are_one_line(recording: Path, tmp_path: Path) -> None:
    for arguments, code, said in (
        ((INSTRUMENT, *DAY, "--store", tmp_path, "--speed", "0"), 2, "--speed must be max or"),
        ((INSTRUMENT, DAY[1], DAY[0], "--store", tmp_path), 2, "START must be before END"),
        (("../x", *DAY, "--store", tmp_path), 2, "an instrument has only letters"),
        ((INSTRUMENT, *DAY), 2, "--store"),
        (("ETH-USDT", *DAY, "--store", tmp_path, "--data-dir", recording), 1, "no recording of"),
    ):
        found, out, err = run(*arguments)
        assert (found, out, err.count("\n")) == (code, "", 1)
        assert said in err
    assert list(tmp_path.iterdir()) == []


class TestNotices:
    def test_each_row_is_stored_before_its_notice_and_the_last_has_one(
        self, recording: Path, tmp_path: Path
    ) -> None:
        start, end = parse_range(*DAY)
        found = find_recording(INSTRUMENT, recording, start, end)
        told: list[int] = []

        def notify() -> None:
            told.append(len(lines(tmp_path)) if writer.last_seq < 20 else writer.last_seq)

        with StoreWriter(tmp_path, INSTRUMENT) as writer:
            fetcher = Fetcher(
                found, Fetch(INSTRUMENT, "recording", start, end, now=False), writer, None,
                notify=notify,
            )  # fmt: skip
            fetcher.run()
            assert told == list(range(1, writer.last_seq + 1))

    def test_a_wrong_spec_is_refused_before_anything_is_made(
        self, recording: Path, tmp_path: Path
    ) -> None:
        store = tmp_path / "store"
        code, err = fetch(recording, store, "--notify", "rabbit:x")
        assert code == 2
        assert "no such way of notices; it is one of none, file, pipe:" in err
        assert not store.exists()

    def test_a_reader_hears_of_a_fetch_through_a_pipe(
        self, recording: Path, tmp_path: Path
    ) -> None:
        source, target = os.pipe()
        arguments = ("--data-dir", recording, "--store", tmp_path, "--speed", "max")
        with closing(Listener(PipeChannel(source))) as listener:
            done = subprocess.run(
                command(INSTRUMENT, *DAY, *arguments, "--notify", f"pipe:{target}"),
                capture_output=True, check=False, cwd=PROJECT, pass_fds=(target,),
            )  # fmt: skip
            assert done.returncode == 0
            assert listener.wait_blocking(30)
        os.close(source)
        os.close(target)

    def test_a_fetch_goes_on_without_its_broker(self, recording: Path, tmp_path: Path) -> None:
        spec = f"redis:unix://{tmp_path}/none.sock"
        code, err = fetch(recording, tmp_path, "--notify", spec)
        assert code == 0
        assert err.count("no notices by redis") == 1
