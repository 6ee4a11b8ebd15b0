"""`simulator run`, as a user runs it: everything with one command, and nothing left of it."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import orjson
import pytest
from desk_runs import DeskRun, desk_run, is_running, wait_until
from okx_follower import Follower
from places import PROJECT
from stores import INSTRUMENT, START, lines, numbered

from orderflow.errors import UsageError
from recordings.writer import RecordingWriter
from simulator.commands_run import parse_exchanges, parse_ports
from simulator.stored_rows import StoredEnd, parse_row
from simulator.venues import VENUES

DAY = ("2025-06-09", "2025-06-10")
ROWS = 400


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 20 s of a book of which every row changes one bid, or takes it away."""
    path = tmp_path_factory.mktemp("recording") / f"{INSTRUMENT}.db"
    sides = [[[f"{100 - n}.5", "1"] for n in range(20)]]
    sides += [[[f"{100 - n % 20}.5", str(n % 7)]] for n in range(1, ROWS)]
    asks = [["101", "1"]]
    with RecordingWriter(path) as writer:
        writer.write_book(
            (INSTRUMENT, orjson.dumps(bids).decode(), orjson.dumps(asks).decode(), START + 50 * n)
            for n, bids in enumerate(sides)
        )
    return path


async def followed(run: DeskRun, act: Callable[[], None]) -> Follower:
    """Follow a run to the end of the recording, while `act` is done in a thread."""
    client = Follower(await asyncio.to_thread(run.port, "okx"))
    acting = asyncio.ensure_future(asyncio.to_thread(act))
    last = 2 * ROWS
    following = client.follow_to(lambda: client.ids[-1:] == [last] and acting.done())
    await asyncio.gather(following, acting)
    return client


def check(client: Follower, store: Path) -> None:
    """Each row is stored once; each book the client had is that of its id; none went back."""
    found = lines(store)
    assert all(numbered(found))
    assert len(found) == ROWS + 1
    assert isinstance(parse_row(found[-1]), StoredEnd)
    client.check(store)


@pytest.mark.thorough
def test_a_client_follows_a_recording_to_its_end_and_ctrl_c_ends_every_process(
    recording: Path, tmp_path: Path
) -> None:
    arguments = ("--data-dir", recording, "--store", tmp_path / "store", "--speed", "20")
    with desk_run(INSTRUMENT, *DAY, *arguments, "--exchange", "okx", "--poll-seconds", 0.05) as run:
        client = asyncio.run(followed(run, lambda: None))
        run.wait_for("all rows are fetched and sent; the last book is served until Ctrl")
        children = run.children()
        assert list(children) == ["publish okx"]
        assert run.end() == 130
        assert not any(map(is_running, children.values()))
        assert run.lines[-1].startswith("ended after")
    check(client, tmp_path / "store")
    assert client.snapshots == 1


@pytest.mark.thorough
def test_sigterm_ends_it_in_the_middle_and_a_store_of_its_own_is_removed(recording: Path) -> None:
    with desk_run(INSTRUMENT, *DAY, "--data-dir", recording, "--exchange", "okx") as run:
        run.port("okx")
        store = Path(run.wait_for(r"fetch: fetching into (\S+)")[1]).parent
        children = run.children()
        assert list(children) == ["fetch", "publish okx"]
        assert store.is_dir()
        assert run.end(signal.SIGTERM) == 143
        assert not any(map(is_running, children.values()))
        assert not store.exists()


@pytest.mark.thorough
def test_no_child_outlives_a_killed_parent(recording: Path, tmp_path: Path) -> None:
    arguments = ("--data-dir", recording, "--store", tmp_path)
    with desk_run(INSTRUMENT, *DAY, *arguments, "--exchange", "okx") as run:
        run.port("okx")
        children = run.children()
        assert list(children) == ["fetch", "publish okx"]
        assert run.end(signal.SIGKILL) == -9
        wait_until(lambda: not any(map(is_running, children.values())))


@pytest.mark.parametrize(
    "kills", [pytest.param(3, marks=pytest.mark.thorough), pytest.param(8, marks=pytest.mark.slow)]
)
def test_killed_processes_come_back_and_a_client_that_reconnects_misses_nothing(
    recording: Path, tmp_path: Path, kills: int
) -> None:
    random = Random(9)
    killed: list[str] = []
    store = tmp_path / "store"

    def wait_for_rows(stored: int) -> None:
        wait_until(lambda: len(lines(store)) > stored)

    arguments = ("--data-dir", recording, "--store", store, "--speed", "0.5")
    with desk_run(INSTRUMENT, *DAY, *arguments, "--exchange", "okx", "--poll-seconds", 0.05) as run:

        def kill_some() -> None:
            both = ["fetch", "publish okx"]
            for name in [*both, *random.choices(both, k=kills - 2)]:
                pid = run.child(name)
                os.kill(pid, signal.SIGKILL)
                run.child(name, not_pid=pid)
                killed.append(name)
                wait_for_rows(len(lines(store)))

        client = asyncio.run(followed(run, kill_some))
        said = run.text
        assert run.end() == 130
    assert len(killed) == kills
    assert said.count("was killed by signal 9; starting it again in") == kills
    check(client, store)
    assert client.snapshots >= killed.count("publish okx")


@pytest.mark.thorough
def test_a_port_that_is_taken_is_said_and_ends_it_where_nothing_else_is_left(
    recording: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ("--data-dir", recording, "--exchange", "okx", "--port", f"okx={port}")
        words = [sys.executable, "-m", "simulator", "run", INSTRUMENT, *DAY, *map(str, arguments)]
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=120, cwd=PROJECT
        )
    assert done.returncode == 3
    assert f"okx: Error: port {port} of 127.0.0.1 is taken" in done.stderr


@pytest.mark.thorough
def test_it_ends_at_the_end_when_asked_to(recording: Path) -> None:
    arguments = ("--data-dir", recording, "--exchange", "okx", "--speed", "max", "--exit-at-end")
    with desk_run(INSTRUMENT, *DAY, *arguments) as run:
        wait_until(lambda: run.process.poll() is not None)
        assert run.process.returncode == 0


@pytest.mark.thorough
def test_a_way_of_notices_that_there_is_not_is_said_before_anything_starts(
    recording: Path,
) -> None:
    with desk_run(INSTRUMENT, *DAY, "--data-dir", recording, "--notify", "drums") as run:
        wait_until(lambda: run.process.poll() is not None)
        assert run.process.returncode == 2
        run.join()
        assert run.lines[0].startswith("Error: --notify 'drums': no such way")
        assert len(run.lines) == 1


@pytest.mark.thorough
def test_an_instrument_that_is_not_recorded_is_said_before_anything_starts(
    recording: Path,
) -> None:
    with desk_run("ETH-USDT", *DAY, "--data-dir", recording) as run:
        wait_until(lambda: run.process.poll() is not None)
        assert run.process.returncode == 1
        run.end()
        assert run.lines[0].startswith("Error: ")
        assert len(run.lines) == 1


@pytest.mark.thorough
def test_faults_are_handed_to_the_publisher_and_written_down(
    recording: Path, tmp_path: Path
) -> None:
    log = tmp_path / "faults.jsonl"
    faults = ("--fault", "gap@#200", "--fault-log", log)
    arguments = ("--data-dir", recording, "--store", tmp_path / "store", "--speed", "4", *faults)
    with desk_run(INSTRUMENT, *DAY, *arguments, "--exchange", "okx", "--poll-seconds", 0.05) as run:
        client = asyncio.run(followed(run, lambda: None))
        run.end()
    (entry,) = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    assert entry["row_id"] >= 400
    assert entry["row_id"] not in client.ids
    assert client.breaks == 1


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("pipe", marks=pytest.mark.thorough),
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("file", "zmq")),
    ],
)
def test_notices_alone_bring_every_row_where_nobody_polls(
    recording: Path, tmp_path: Path, kind: str
) -> None:
    spec = f"zmq:ipc://{tmp_path}/notices" if kind == "zmq" else kind
    arguments = ("--data-dir", recording, "--store", tmp_path / "store", "--speed", "2")
    never = ("--poll-seconds", 3600, "--notify", spec)
    with desk_run(INSTRUMENT, *DAY, *arguments, "--exchange", "okx", *never) as run:
        client = asyncio.run(followed(run, lambda: None))
        children = run.children()
        assert ("notifier" in children) == (kind == "zmq")
        assert run.end() == 130
        assert not any(map(is_running, children.values()))
    check(client, tmp_path / "store")


@pytest.mark.thorough
def test_a_killed_notifier_comes_back_and_its_notices_too(recording: Path, tmp_path: Path) -> None:
    arguments = ("--data-dir", recording, "--store", tmp_path / "store", "--speed", "1")
    never = ("--poll-seconds", 3600, "--notify", f"zmq:ipc://{tmp_path}/notices")
    with desk_run(INSTRUMENT, *DAY, *arguments, "--exchange", "okx", *never) as run:

        def kill_notifier() -> None:
            pid = run.child("notifier")
            os.kill(pid, signal.SIGKILL)
            run.child("notifier", not_pid=pid)

        client = asyncio.run(followed(run, kill_notifier))
        run.end()
    check(client, tmp_path / "store")


def test_ports_and_exchanges_are_understood() -> None:
    assert parse_exchanges(None) == list(VENUES)
    assert parse_exchanges("okx,okx") == ["okx"]
    assert parse_ports(["0", "okx=9000"], list(VENUES)) == dict.fromkeys(VENUES, 0) | {"okx": 9000}
    assert parse_ports([], list(VENUES))["okx"] == 8061
    for text in ("9000", "okx=", "okx=65536", "nyse=80", "okx=-1"):
        with pytest.raises(UsageError, match="--port is 0 for free ones"):
            parse_ports([text], ["okx", "binance"])
    with pytest.raises(UsageError, match="the exchanges are"):
        parse_exchanges("okx,nyse")
