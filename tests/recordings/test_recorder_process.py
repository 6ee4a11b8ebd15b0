"""The recorder as a process: stopped, killed, without a disk, asked for what can't be."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from notice_brokers import running
from places import PROJECT
from scripted_okx import INSTRUMENT, PATIENCE, ScriptedOkx, until

from recordings.row_writer import COMMIT_SECONDS

FILE = f"{INSTRUMENT}-25-06-09.db"


def command(server: ScriptedOkx, directory: Path, *more: object) -> list[str]:
    program = [sys.executable, "-m", "recordings", "record", "okx", INSTRUMENT]
    return [*program, "--url", server.url, "--data-dir", str(directory), *map(str, more)]


def run(program: Sequence[object]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        list(map(str, program)), capture_output=True, text=True, check=False, cwd=PROJECT
    )


@contextmanager
def recorder(
    server: ScriptedOkx, directory: Path, *more: object
) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        command(server, directory, *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def rows_in(path: Path) -> list[tuple[Any, ...]]:
    """Read what is committed, as long as there is a file."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            return connection.execute("SELECT timestamp, seq_id, action FROM book").fetchall()
    except sqlite3.OperationalError:
        return []


def wait_for_rows(path: Path, count: int) -> None:
    until(lambda: len(rows_in(path)) > count, f"no {count} rows came")


def events_in(path: Path, kind: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute("SELECT * FROM recorder_events WHERE kind = ?", (kind,))
        return [dict(row) for row in found]


def is_sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@contextmanager
def pumping(server: ScriptedOkx) -> Iterator[list[str]]:
    """Send updates and trades all the while; give back the frames of the book."""
    sent: list[str] = []
    end = threading.Event()

    def pump() -> None:
        while not end.wait(0.002):
            sent.append(server.update())
            server.trade()

    thread = threading.Thread(target=pump)
    thread.start()
    try:
        yield sent
    finally:
        end.set()
        thread.join()


def test_stopped_it_closes_its_file_and_says_what_it_has(tmp_path: Path) -> None:
    with ScriptedOkx() as server, recorder(server, tmp_path, "--json") as process:
        with pumping(server):
            until(lambda: len(rows_in(tmp_path / FILE)) > 20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    said = json.loads(out)["instruments"][INSTRUMENT]
    assert said["files"] == [str(tmp_path / FILE)]
    assert said["losses"] == {}
    assert said["book_rows"] == len(rows_in(tmp_path / FILE))
    assert said["trades"] > 0
    assert err.splitlines()[0] == f"recording {INSTRUMENT} from {server.url} into {tmp_path}"
    assert sorted(path.name for path in tmp_path.glob("*")) == [
        f".{INSTRUMENT}.recorder.lock",
        FILE,
    ]


@pytest.mark.thorough
def test_its_notices_wake_a_reader_when_rows_are_in_the_file(tmp_path: Path) -> None:
    with (
        TemporaryDirectory() as short,
        running("zmq", Path(short)) as broker,
        closing(broker.listener()) as listener,
        ScriptedOkx() as server,
        recorder(server, tmp_path, "--notify", broker.spec),
        pumping(server),
    ):
        until(lambda: listener.wait_blocking(0.1), "no notice came")
        assert rows_in(tmp_path / FILE)


@pytest.mark.thorough
def test_it_ends_by_itself_after_the_seconds_asked_for(tmp_path: Path) -> None:
    with ScriptedOkx() as server:
        done = run(command(server, tmp_path, "--seconds", 0.5))
    assert done.returncode == 0
    assert "lost      nothing" in done.stderr


@pytest.mark.parametrize(
    "kills",
    [
        2,
        pytest.param(6, marks=pytest.mark.thorough),
        pytest.param(20, marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_moment_all_that_is_lost_lies_in_a_span_that_the_next_one_notes(
    tmp_path: Path, kills: int
) -> None:
    path, random = tmp_path / FILE, Random(kills)
    with ScriptedOkx() as server, pumping(server) as sent:
        for _ in range(kills):
            before = len(rows_in(path))
            with recorder(server, tmp_path) as process:
                wait_for_rows(path, before + 50)  # which shows just after a commit
                time.sleep(random.random() * COMMIT_SECONDS)
                process.kill()
        with recorder(server, tmp_path) as process:
            before = len(rows_in(path))
            wait_for_rows(path, before + 50)
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)
            assert process.returncode == 143
    assert is_sound(path)
    killed = events_in(path, "killed")
    assert len(killed) == kills
    spans = [(event["row_before"], event["row_after"]) for event in killed]
    rows = rows_in(path)
    updates = [seq_id for _, seq_id, action in rows if action == "update"]
    assert len(set(updates)) == len(updates)
    recorded = {seq_id for _, seq_id, _ in rows}
    for frame in sent:
        (data,) = json.loads(frame)["data"]
        ms = int(data["ts"])
        if rows[0][0] <= ms <= rows[-1][0] and data["seqId"] not in recorded:
            assert any(before < ms <= after for before, after in spans)


# -- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount, umount = shutil.which("mount"), shutil.which("umount")
    disk = tmp_path / "disk"
    disk.mkdir()
    small = [str(mount), "-t", "tmpfs", "-o", "size=512k", "none", str(disk)]
    if not (mount and umount) or subprocess.run(small, check=False, capture_output=True).returncode:
        pytest.skip("a small disk can only be mounted as root")
    yield disk
    subprocess.run([str(umount), "--lazy", str(disk)], check=True)


@pytest.mark.thorough
def test_a_full_disk_is_waited_out_and_what_was_lost_is_counted(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(150_000))
    path = small_disk / FILE
    retry = ("--retry-seconds", 0.1)
    with ScriptedOkx() as server, recorder(server, small_disk, "--json", *retry) as process:
        until(lambda: rows_in(path))
        with pumping(server) as sent:
            assert "disk is full" in _read_until(process, "can't be written")
            ballast.unlink()
            _read_until(process, "written again")
        until(lambda: [action for *_, action in rows_in(path)].count("snapshot") == 2)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert is_sound(path)
    (event,) = events_in(path, "not_written")
    assert event["ended"] > event["began"]
    summary = json.loads(out)["instruments"][INSTRUMENT]
    assert summary["losses"]["not_written"] == event["count"] > 0
    # Each update and trade was written or counted, and two snapshots beside them.
    assert summary["book_rows"] + summary["trades"] + event["count"] == 2 * len(sent) + 2


def _read_until(process: "subprocess.Popen[str]", word: str) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if word in line:
            return line
    pytest.fail(f"it ended without saying {word!r}")


@pytest.mark.thorough
def test_stopped_while_its_folder_is_gone_it_fails(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with (
        ScriptedOkx() as server,
        recorder(server, folder, "--retry-seconds", 0.1) as process,
        pumping(server),
    ):
        wait_for_rows(folder / FILE, 20)
        folder.rename(tmp_path / "moved")
        said = _read_until(process, "can't be written")
        assert "No such file or directory" in said
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert f"{INSTRUMENT} could not be written to the end" in err.splitlines()[-1]
    assert is_sound(tmp_path / "moved" / FILE)


@pytest.mark.thorough
def test_a_folder_that_comes_back_is_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with ScriptedOkx() as server, recorder(server, folder, "--retry-seconds", 0.1) as process:
        with pumping(server):
            wait_for_rows(folder / FILE, 20)
            folder.rename(tmp_path / "moved")
            _read_until(process, "can't be written")
            folder.mkdir()
            _read_until(process, "written again")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert [event["count"] > 0 for event in events_in(folder / FILE, "not_written")] == [True]


# -- what can't be


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("bitmex", "BTC-USDT"), 2, "only okx can be recorded; found 'bitmex'"),
        (("okx", "../BTC"), 2, "an instrument has only letters"),
        (("okx", "BTC-USDT", "--url", "http://x"), 2, "--url must begin with ws:// or wss://"),
        (("okx", "BTC-USDT", "--seconds", "0"), 2, "--seconds must be above 0; found 0"),
        (("okx",), 2, "Missing argument"),
        (
            ("okx", "BTC-USDT", "--url", "ws://127.0.0.1:1/", "--seconds", "0.2"),
            1,
            "nothing was recorded: ws://127.0.0.1:1/ can't be connected to",
        ),
    ],
)
def test_what_cannot_be_recorded_is_one_line(
    tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    program = [sys.executable, "-m", "recordings", "record", *arguments, "--data-dir", tmp_path]
    done = run(program)
    assert done.returncode == code
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_an_exchange_that_knows_none_of_the_instruments_is_a_usage_error(tmp_path: Path) -> None:
    with ScriptedOkx("ETH-USDT") as server:
        done = run(command(server, tmp_path))
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"Error: okx has none of the instruments: {INSTRUMENT}: Wrong URL")
    assert not list(tmp_path.glob("*.db"))


def test_a_second_recorder_of_an_instrument_is_refused_with_the_pid_of_the_first(
    tmp_path: Path,
) -> None:
    with ScriptedOkx() as server, recorder(server, tmp_path) as first:
        until(server.subscribed)
        done = run(command(server, tmp_path))
        assert done.returncode == 1
        assert f"recorded into {tmp_path} by another recorder, pid {first.pid};" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with ScriptedOkx() as server:
        done = run(command(server, tmp_path))
    assert done.returncode == 1
    assert "can't be written" in done.stderr


@pytest.mark.thorough
def test_another_programs_file_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / FILE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE book(bids TEXT, asks TEXT, timestamp INTEGER)")
    before = path.read_bytes()
    with ScriptedOkx() as server:
        done = run(command(server, tmp_path, "--seconds", 1))
    assert done.returncode == 1
    assert "is not a recorder's: table book is CREATE TABLE book(bids" in done.stderr
    assert path.read_bytes() == before
