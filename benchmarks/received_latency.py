"""Measure how long a stored row takes to a client of the publisher, by each way of notices.

    uv run -m benchmarks.received_latency --seconds 30 --rate 50

A writer process stores book rows at random moments and notes when each was there; a publisher
sends them to a client, which notes when a frame came. With `zmq, dead` the notifier is not there.
All are on one machine, so its load shows.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import aiohttp
import orjson

from benchmarks.notification_latency import way
from benchmarks.task import PROJECT
from messaging.specs import open_notifier
from simulator.storage import StoreWriter
from simulator.stored_rows import Fetch, book_content

INSTRUMENT = "BTC-USDT"
LEVELS = 30
DEAD = "zmq, dead"


def side(number: int) -> bytes:
    """Return bids of which each row has other sizes, some 1.2 kB with the asks."""
    levels = [[f"{60_000 - n}.1", f"{number % 7 + 1}.{n:06d}"] for n in range(LEVELS)]
    return orjson.dumps(levels)


def write(spec: str, store: Path, rate: float, seconds: float, done: Connection) -> None:
    """Store a row now, and when told to, others at random; send when each was stored."""
    stored: list[int] = []
    fetch = Fetch(INSTRUMENT, "recording", 0, 1 << 41)
    with closing(open_notifier(spec, store)) as notifier, StoreWriter(store, INSTRUMENT) as writer:
        writer.begin(fetch, snapshot=True, shift_ms=0)

        def append(number: int) -> None:
            content = book_content(side(number), b"[]", snapshot=number == 0, reliable=True)
            stored.append(time.monotonic_ns())
            writer.append(number, content)
            notifier.notify()

        append(0)
        done.recv()
        for number in range(1, int(rate * seconds)):
            time.sleep(random.expovariate(rate))
            append(number)
    done.send(stored)


async def receive(url: str, rows: int, connection: Connection) -> dict[int, int]:
    """Return when the frame of each row came, by the row's number from 1 on."""
    came: dict[int, int] = {}
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        arg = {"channel": "books", "instId": INSTRUMENT}
        await socket.send_json({"op": "subscribe", "args": [arg]})
        while len(came) < rows:
            text = await socket.receive_str(timeout=30)
            now = time.monotonic_ns()
            frame = orjson.loads(text)
            if "data" not in frame:
                continue
            if not came:
                connection.send("go")
            came[frame["data"][0]["seqId"] // 2] = now
    return came


@contextmanager
def publisher(spec: str, store: Path, poll_seconds: float) -> Iterator[str]:
    """Publish the store as OKX; yield the URL, from when the instrument is there."""
    words = ["publish", "okx", "--store", str(store), "--port", "0", "--notify", spec]
    command = [sys.executable, "-m", "simulator", *words, "--poll-seconds", str(poll_seconds)]
    kind, _, descriptor = spec.partition(":")
    inherited = (int(descriptor),) if kind == "pipe" else ()
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, pass_fds=inherited
    ) as process:
        try:
            lines = process.stderr or ()
            # Before it there may be a word that nobody sends notices.
            yield next(line.split()[1] for line in lines if line.startswith("okx "))
        finally:
            process.kill()


@contextmanager
def notices(name: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the writer's and the publisher's text of a way of notices."""
    if name == DEAD:
        yield (f"zmq:ipc://{folder}/nobody",) * 2
        return
    with way(name, folder) as (writer_spec, reader_spec, _):
        yield writer_spec, reader_spec


def measure(name: str, rate: float, seconds: float, poll_seconds: float) -> None:
    """Print a line of the table."""
    context = multiprocessing.get_context("fork")  # so that it inherits the pipes' descriptors
    with tempfile.TemporaryDirectory(prefix="received-") as folder_name:
        folder = Path(folder_name)
        with notices(name, folder) as (writer_spec, reader_spec):
            here, there = context.Pipe()
            store = folder / "store"
            writer = context.Process(target=write, args=(writer_spec, store, rate, seconds, there))
            writer.start()
            while not list(store.glob("*/*.jsonl")):
                time.sleep(0.05)
            with publisher(reader_spec, store, poll_seconds) as url:
                came = asyncio.run(receive(url, int(rate * seconds), here))
            stored = here.recv()
            writer.join()
    waits = sorted((came[n] - at) / 1e6 for n, at in enumerate(stored, 1) if n > 1)
    p50, p99, most = (waits[min(len(waits) - 1, int(q * len(waits)))] for q in (0.5, 0.99, 1))
    shown = name if name in ("zmq", "file", "pipe", "redis") else f"{name}, {poll_seconds:g} s"
    print(f"| {shown} | {p50:.2f} | {p99:.2f} | {most:.1f} | {len(waits)} |", flush=True)


def main() -> None:
    """Measure each way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=50, help="rows a second")
    options = parser.parse_args()
    os.chdir(PROJECT)
    print(f"{options.rate:g} rows/s for {options.seconds:g} s; times in ms")
    print("| way | p50 | p99 | most | rows |\n" + "|---" * 5 + "|")
    for name in ("poll", DEAD, "pipe", "file", "zmq"):
        measure(name, options.rate, options.seconds, 1.0)


if __name__ == "__main__":
    main()
