"""Fetcher, notifier and publisher, killed at random: the others go on, and nothing is lost."""

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random

import pytest
from desk_runs import wait_until
from okx_follower import Follower
from places import PROJECT
from stores import INSTRUMENT, START, lines, numbered

from recordings.writer import RecordingWriter

RANGE = ("2025-06-09", "2025-06-10")
SPACING_MS = 50
SPEED = 5
NAMES = ("fetch", "notifier", "publish")


def write_recording(path: Path, rows: int) -> None:
    """Write book rows of which each changes one bid or takes it away, and a trade beside each."""
    sides = [[[f"{100 - n}.5", "1"] for n in range(20)]]
    sides += [[[f"{100 - n % 20}.5", str(n % 7)]] for n in range(1, rows)]
    times = range(START, START + SPACING_MS * rows, SPACING_MS)
    with RecordingWriter(path) as writer:
        writer.write_book(
            (INSTRUMENT, json.dumps(bids), '[["101","1"]]', at)
            for bids, at in zip(sides, times, strict=True)
        )
        writer.write_trades(
            (INSTRUMENT, str(number), 100.5, 1.0, "buy", at + 20) for number, at in enumerate(times)
        )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class Desk:
    """The three processes; each can be killed, and started again with the same words."""

    def __init__(self, data: Path, directory: Path, endpoint: str) -> None:
        self.store = directory / "store"
        self.port = free_port()
        self.fetch = ("fetch", INSTRUMENT, *RANGE, "--data-dir", data, "--store", self.store)
        zmq = ("--notify", f"zmq:{endpoint}")
        self._words = {
            "fetch": (*self.fetch, "--speed", SPEED, *zmq),
            "notifier": ("notifier", f"zmq:{endpoint}"),
            "publish": ("publish", "okx", "--store", self.store, "--port", self.port, *zmq),
        }
        self._said = directory / "said"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        words = [sys.executable, "-m", "simulator", *map(str, self._words[name])]
        with self._said.open("ab") as said:
            self._processes[name] = subprocess.Popen(words, stderr=said, cwd=PROJECT)

    def check_running(self) -> None:
        """Fail where one has ended that nobody killed."""
        for name, process in self._processes.items():
            assert process.poll() is None, f"{name} has ended: {self._said.read_text()[-2000:]}"

    def kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.kill()
        process.wait()

    def close(self) -> None:
        for name in list(self._processes):
            self.kill(name)

    def stored(self) -> int:
        return sum(path.stat().st_size for path in self.store.glob("*/*.jsonl"))

    def is_served(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/status", timeout=5) as got:
                return bool(json.loads(got.read())["instruments"])
        except OSError:
            return False


@pytest.fixture
def directory() -> Iterator[Path]:
    """Make a directory with a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        yield Path(name)


def kill_each(desk: Desk, client: Follower, kills: int) -> None:
    """Kill each process so often, in random order and at random moments, and start it again."""
    random = Random(kills)
    pause = threading.Event().wait
    order = [*NAMES] * kills
    random.shuffle(order)
    for name in order:
        pause(random.random())
        desk.check_running()
        desk.kill(name)
        if name == "fetch":
            wait_until(desk.is_served)
        else:
            before = desk.stored()
            wait_until(lambda before=before: desk.stored() > before)  # type: ignore[misc]
        if name == "notifier":
            seen = len(client.ids)
            wait_until(lambda seen=seen: len(client.ids) > seen)  # type: ignore[misc]
        pause(random.random() / 2)
        desk.check_running()
        desk.start(name)


async def follow(desk: Desk, client: Follower, kills: int, last: int) -> None:
    """Follow to the last row, while the processes are killed, and then fetch the rest at once."""

    def act() -> None:
        kill_each(desk, client, kills)
        wait_until(desk.is_served)
        desk.kill("fetch")
        words = [sys.executable, "-m", "simulator", *map(str, desk.fetch), "--speed", "max"]
        subprocess.run(words, check=True, stderr=subprocess.DEVNULL, cwd=PROJECT)

    acting = asyncio.ensure_future(asyncio.to_thread(act))
    following = client.follow_to(lambda: client.ids[-1:] == [last] and acting.done())
    await asyncio.gather(following, acting)


@pytest.mark.parametrize(
    "kills",
    [pytest.param(3, marks=pytest.mark.thorough), pytest.param(20, marks=pytest.mark.slow)],
)
def test_killed_at_random_moments_the_others_go_on_and_no_row_is_lost_doubled_or_torn(
    directory: Path, kills: int
) -> None:
    data = directory / "data"
    data.mkdir()
    # More than is fetched meanwhile: 20 s for each kill of one.
    write_recording(data / f"{INSTRUMENT}.db", kills * 20 * 1000 * SPEED // SPACING_MS)
    whole = directory / "whole"
    desk = Desk(data, directory, f"ipc://{directory}/private/notices")
    words = [*desk.fetch[:-1], whole, "--speed", "max"]
    subprocess.run([sys.executable, "-m", "simulator", *map(str, words)], check=True, cwd=PROJECT)
    expected = lines(whole)
    assert all(numbered(expected))
    with ExitStack() as stack:
        stack.callback(desk.close)
        for name in NAMES:
            desk.start(name)
        wait_until(desk.is_served)
        client = Follower(desk.port, patience=1200.0)
        asyncio.run(follow(desk, client, kills, 2 * last_book_row(expected)))
    assert lines(desk.store) == expected
    client.check(desk.store)
    assert client.snapshots > 1  # some publishers are killed before it has come back


def last_book_row(found: list[bytes]) -> int:
    return max(n for n, line in enumerate(found, 1) if b'"kind":"book"' in line[:60])
