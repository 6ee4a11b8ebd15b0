"""Measure the publisher: beside a bare server, with 200 clients, with clients that do not read.

    uv run -m benchmarks.publishing rate|pace|stalled [--clients N] [--data-dir DIR …]

`rate`: the same frames to 1, 10 and 50 clients, by `simulator publish okx` out of a store and by a
bare aiohttp server that has them in a list; the clients count bytes and parse nothing. `pace`: rows
are stored when their time has come, and 200 clients note when the frame is there; lost ones and the
time from stored to received. `stalled`: 50 clients that never read beside one that does, and what
the publisher takes. Writer, publisher and clients are a process each.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import multiprocessing
import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO, cast

from aiohttp import web

from benchmarks.task import PROJECT
from messaging.specs import open_notifier
from simulator.store_reader import Rows, StoreReader
from simulator.stored_rows import StoredBook, parse_row

REQUEST = b'{"op":"subscribe","args":[{"channel":"books","instId":"%s"}]}'
SEQ_ID = re.compile(rb'"seqId":(\d+)')
UPDATE = b'"action":"update"'
DEADLINE = 300.0


def masked(payload: bytes) -> bytes:
    """Make a client's text frame; a mask of zeros is a mask."""
    size = len(payload)
    head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    return head + b"\0\0\0\0" + payload


def connect(port: int, instrument: str, *, small: bool = False) -> socket.socket:
    """Shake hands and subscribe; what comes back is left to be read.

    A `small` client's system takes little for it, so that the rest stays with the publisher.
    """
    peer = socket.socket()
    if small:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.connect(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    peer.sendall(
        f"GET /ws/v5/public HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        "".encode()
    )
    while not peer.recv(4096).endswith(b"\r\n\r\n"):
        pass
    peer.sendall(masked(REQUEST.replace(b"%s", instrument.encode())))
    return peer


def read_all(port: int, instrument: str, clients: int, last: bytes, ready: Any, out: Any) -> None:
    """Read on all sockets until each has seen `last`; put seconds since the first update, bytes."""
    peers = [connect(port, instrument) for _ in range(clients)]
    ready.release()
    waiting = selectors.DefaultSelector()
    for peer in peers:
        waiting.register(peer, selectors.EVENT_READ, [b""])
    began, total = 0.0, 0
    while waiting.get_map():
        for key, _ in waiting.select(DEADLINE):
            peer = cast("socket.socket", key.fileobj)
            data = peer.recv(1 << 18)
            total += len(data)
            tail = key.data[0] + data
            if not began and UPDATE in tail:
                began = time.perf_counter()
            if last in tail or not data:
                waiting.unregister(peer)
            key.data[0] = tail[-len(last) :]
    out.put((time.perf_counter() - began, total))


def note_all(port: int, instrument: str, clients: int, last_id: int, ready: Any, out: Any) -> None:
    """Note when each frame's id is received, for each client, until all have the last one."""
    peers = [connect(port, instrument) for _ in range(clients)]
    ready.release()
    waiting = selectors.DefaultSelector()
    seen: list[list[tuple[int, float]]] = [[] for _ in peers]
    for number, peer in enumerate(peers):
        waiting.register(peer, selectors.EVENT_READ, (number, [b""]))
    while waiting.get_map():
        for key, _ in waiting.select(DEADLINE):
            peer = cast("socket.socket", key.fileobj)
            data = peer.recv(1 << 18)
            now = time.time()
            number, rest = key.data
            tail = rest[0] + data
            for found in SEQ_ID.finditer(tail):
                # A number at the very end may go on in the next piece.
                if found.end() < len(tail):
                    seen[number].append((int(found[1]), now))
                    rest[0] = tail[found.end() :]
            rest[0] = tail[-64:] if not SEQ_ID.search(tail) else rest[0][-4096:]
            if not data or (seen[number] and seen[number][-1][0] >= last_id):
                waiting.unregister(peer)
    out.put(seen)


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command of the simulator while the context lasts."""
    command = [sys.executable, "-m", "simulator", *arguments]
    running = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        running.terminate()
        running.wait()


@contextlib.contextmanager
def publisher(store: Path, *more: str) -> Iterator[tuple[int, int]]:
    """Run a publisher of a store and give its port and process id."""
    arguments = ["publish", "okx", "--store", str(store), "--port", "0", *more]
    with process(*arguments) as running:
        line = cast("TextIO", running.stderr).readline()
        yield int(line.split("/ws/v5")[0].rpartition(":")[2]), running.pid


def status(port: int) -> Any:
    with urllib.request.urlopen(f"http://localhost:{port}/status") as answer:
        return json.load(answer)


def until_known(port: int, instrument: str) -> None:
    while not (status(port)["instruments"].get(instrument) or {}).get("symbol"):
        time.sleep(0.1)


def fetched(arguments: argparse.Namespace, store: Path) -> None:
    """Fetch the recording into a store, all at once."""
    where = ["--data-dir", str(arguments.data_dir)] if arguments.data_dir else ["--demo"]
    command = ["fetch", arguments.instrument, arguments.start, arguments.end]
    command += ["--store", str(store), "--speed", "max", "-q", *where]
    subprocess.run([sys.executable, "-m", "simulator", *command], cwd=PROJECT, check=True)


class Growing:
    """A copy of a store, row by row: the first row at once, the others when asked for."""

    def __init__(self, source: Path, target: Path, instrument: str, most: int) -> None:
        reader = StoreReader(source, instrument)
        rows = cast("Rows", reader.read())
        self.lines = list(rows.lines)
        while len(self.lines) < most and (more := reader.read()):
            self.lines += more.lines
        self.lines = self.lines[:most]
        books = [line for line in self.lines if isinstance(parse_row(line), StoredBook)]
        self.books = {2 * parse_row(line).seq for line in books}
        (target / instrument).mkdir(parents=True)
        path = target / instrument / f"{rows.first_seq:020}.jsonl"
        self._file = path.open("ab", buffering=0)
        self._file.write(rows.head.line() + self.lines[0] + b"\n")

    def append(self, lines: list[bytes]) -> None:
        """Append rows, one write each as the fetcher does, or all of them in one."""
        self._file.write(b"".join(line + b"\n" for line in lines))


def frames_of(store: Path, instrument: str) -> list[bytes]:
    """Return the frames that the publisher makes of a store after its first row."""
    from exchanges import okx  # noqa: PLC0415
    from simulator.connections import Hub  # noqa: PLC0415
    from simulator.market import BookStep, Market  # noqa: PLC0415
    from simulator.okx_venue import OkxBook, OkxVenue  # noqa: PLC0415
    from simulator.venue import Settings  # noqa: PLC0415

    frames: list[bytes] = []
    hub, market = Hub(), Market(store, instrument)
    venue = OkxVenue(hub, Settings())
    hub.deliver = lambda _topic, frame: frames.append(frame[4:])
    topic = None
    while (steps := market.read()) is not None:
        for step in steps:
            if topic is None:
                venue.add(market)
                topic = cast("OkxBook", venue.topic_of(okx.Channel("books", instrument)))
                frames.append(topic.snapshot() or b"")
                topic.members[cast("Any", object())] = None
            elif isinstance(step, BookStep):
                venue.book(market, step)
    return frames


def serve_bare(frames: list[bytes], clients: int, port: Any) -> None:
    """Send a list of frames to all clients: a bare aiohttp server."""
    texts = [frame.decode() for frame in frames]

    async def main() -> None:
        sockets: list[web.WebSocketResponse] = []
        everyone = asyncio.Event()

        async def handle(request: web.Request) -> web.WebSocketResponse:
            ws = web.WebSocketResponse(compress=False)
            await ws.prepare(request)
            await ws.receive()
            sockets.append(ws)
            if len(sockets) == clients:
                everyone.set()
            await asyncio.Event().wait()
            return ws

        app = web.Application()
        app.add_routes([web.get("/ws/v5/public", handle)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port.put(runner.addresses[0][1])
        await everyone.wait()
        for text in texts:
            for ws in sockets:
                await ws.send_str(text)
        await asyncio.Event().wait()

    asyncio.run(main())


def spawn(target: Any, *arguments: Any) -> tuple[Any, Any, Any]:
    ready = multiprocessing.Semaphore(0)
    out: Any = multiprocessing.Queue()
    running = multiprocessing.Process(target=target, args=(*arguments, ready, out), daemon=True)
    running.start()
    return running, ready, out


def rate(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "source"
        fetched(arguments, source)
        most = arguments.rows
        whole = Growing(source, Path(directory) / "whole", arguments.instrument, most)
        whole.append(whole.lines[1:])
        frames = frames_of(Path(directory) / "whole", arguments.instrument)
        last = b'"seqId":%d' % int(SEQ_ID.findall(frames[-1])[-1])
        print(f"{len(frames):,} frames, {sum(map(len, frames)) / len(frames):,.0f} bytes each")
        for clients in arguments.clients or (1, 10, 50):
            figures: dict[str, list[float]] = {"publisher": [], "bare": []}
            for turn in range(arguments.repeat):
                store = Path(directory) / f"{clients}-{turn}"
                growing = Growing(source, store, arguments.instrument, most)
                with publisher(store, "--poll-seconds", "0.05") as (port, _):
                    until_known(port, arguments.instrument)
                    running, ready, out = spawn(read_all, port, arguments.instrument, clients, last)
                    ready.acquire()
                    time.sleep(0.5)
                    growing.append(growing.lines[1:])
                    seconds, total = out.get()
                    running.join()
                    closed = status(port)["clients_closed"]
                figures["publisher"].append(clients * len(frames) / seconds)
                if closed.get("slow"):
                    print(f"closed as slow: {closed}, {total:,} bytes")
                ports: Any = multiprocessing.Queue()
                bare = multiprocessing.Process(
                    target=serve_bare, args=(frames, clients, ports), daemon=True
                )
                bare.start()
                running, _, out = spawn(read_all, ports.get(), arguments.instrument, clients, last)
                seconds, total = out.get()
                running.join()
                bare.kill()
                figures["bare"].append(clients * len(frames) / seconds)
            shares = sorted(a / b for a, b in zip(*figures.values(), strict=True))
            middle = {way: sorted(found)[len(found) // 2] for way, found in figures.items()}
            print(
                f"{clients:>3} clients: publisher {middle['publisher']:,.0f} messages/s, bare "
                f"{middle['bare']:,.0f}, share {shares[len(shares) // 2]:.2f} "
                f"({shares[0]:.2f} to {shares[-1]:.2f})"
            )


def pace(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source, store = Path(directory) / "source", Path(directory) / "store"
        fetched(arguments, source)
        growing = Growing(source, store, arguments.instrument, arguments.rows)
        times = [parse_row(line).ts for line in growing.lines]
        endpoint = f"zmq:ipc://{directory}/notices"
        with (
            process("notifier", endpoint),
            publisher(store, "--notify", endpoint) as (port, _),
            contextlib.closing(open_notifier(endpoint, store)) as notifier,
        ):
            until_known(port, arguments.instrument)
            clients = (arguments.clients or [200])[0]
            last_id = max(growing.books)
            running, ready, out = spawn(note_all, port, arguments.instrument, clients, last_id)
            ready.acquire()
            time.sleep(2.0)
            stored: dict[int, float] = {}
            began = time.monotonic()
            for number in range(1, len(growing.lines)):
                due = began + (times[number] - times[1]) / 1000 / arguments.speed
                time.sleep(max(0.0, due - time.monotonic()))
                growing.append([growing.lines[number]])
                stored[2 * parse_row(growing.lines[number]).seq] = time.time()
                notifier.notify()
            seconds = time.monotonic() - began
            seen = out.get(timeout=DEADLINE)
            running.join()
            said = status(port)
        ids = [{seq for seq, _ in client} for client in seen]
        sent = set.union(*ids) & stored.keys()
        late = sorted(at - stored[seq] for client in seen for seq, at in client if seq in stored)
        lost = sum(len(sent - client) for client in ids)
        print(
            f"{clients} clients, {len(sent):,} frames in {seconds:.0f} s: {lost} lost; stored to "
            f"received p50 {1000 * late[len(late) // 2]:.1f} ms, p99 "
            f"{1000 * late[int(0.99 * len(late))]:.1f} ms, most {1000 * late[-1]:.1f} ms; closed "
            f"{said['clients_closed']}"
        )


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1000


def stalled(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "source"
        fetched(arguments, source)
        for stuck in (0, (arguments.clients or [50])[0]):
            store = Path(directory) / f"store-{stuck}"
            growing = Growing(source, store, arguments.instrument, arguments.rows)
            with publisher(store, "--poll-seconds", "0.05") as (port, pid):
                until_known(port, arguments.instrument)
                peers = [connect(port, arguments.instrument, small=True) for _ in range(stuck)]
                running, ready, out = spawn(
                    note_all, port, arguments.instrument, 1, max(growing.books)
                )
                ready.acquire()
                time.sleep(1.0)
                before = most = resident_mb(pid)
                rows = growing.lines[1:]
                for first in range(0, len(rows), 20):
                    growing.append(rows[first : first + 20])
                    time.sleep(0.02)
                    most = max(most, resident_mb(pid))
                seen = out.get(timeout=DEADLINE)[0]
                closed = status(port)["clients_closed"]
                running.join()
                for peer in peers:
                    peer.close()
            print(
                f"{stuck} stalled: {most - before:+.1f} MB at most ({most:.1f}); closed {closed}; "
                f"the one that reads got {len(seen):,} frames"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("rate", "pace", "stalled"))
    parser.add_argument("--clients", type=int, nargs="*")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--instrument", default="BTC-USDT")
    parser.add_argument("--start", default="2026-11-20")
    parser.add_argument("--end", default="2026-11-21")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--speed", type=float, default=1.0)
    arguments = parser.parse_args()
    {"rate": rate, "pace": pace, "stalled": stalled}[arguments.what](arguments)


if __name__ == "__main__":
    main()
