"""Compare NDJSON over HTTP with the bare reading of the same file, in one run on one machine.

    uv run -m benchmarks.ndjson_http [--rows 200000] [--repeat 5]

A server process sends a whole sealed store over loopback, as stored (zstd) and as lines; the client
counts the bytes and throws them away. Beside each: reading the file in the same pieces, and
decoding it frame by frame. Ways take turns, medians are printed; page cache warm.
"""

import argparse
import asyncio
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import zstandard
from aiohttp import web

from benchmarks.task import PROJECT
from simulator.ndjson import Replay
from simulator.segments import LIVE, PIECE_BYTES, SEALED, first_seqs, seal, segment_path
from simulator.storage import StoreWriter
from simulator.stored_rows import Fetch, book_content

INSTRUMENT = "BTC-USDT"
START_MS = 1_749_427_200_000
SEALED_FILE, LINES, DECODED = "read the sealed file", "read the same lines", "decode the file"
AS_STORED, AS_LINES = "HTTP, zstd, as stored", "HTTP, plain lines"


def make_store(store: Path, rows: int) -> None:
    """Store book rows of about 500 bytes, which is what busy recordings have, in one segment."""
    with StoreWriter(store, INSTRUMENT, seal_bytes=1 << 40, seal_seconds=1e9) as writer:
        end_ms = START_MS + 86_400_000
        fetch = Fetch(INSTRUMENT, "demo", START_MS, end_ms)
        writer.begin(fetch, snapshot=True, shift_ms=0)
        for n in range(rows):
            levels = [
                b'["%d.%d","%d.%03d"]' % (60_000 + n * k % 997, k, n % 7, n * 31 * k % 1000)
                for k in range(1, 11)
            ]
            side = b"[%b]" % b",".join(levels)
            writer.append(
                START_MS + n * 10, book_content(side, side, snapshot=n == 0, reliable=True)
            )
    for first_seq in first_seqs(store / INSTRUMENT, LIVE):
        seal(store / INSTRUMENT, first_seq)


def serve(store: Path, ready: Connection) -> None:
    async def run() -> None:
        app = web.Application()
        Replay(store).add_to(app)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ready.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


def download(port: int, encoding: str) -> int:
    """Take a whole answer, and return its bytes, chunk lengths and headers included."""
    taken, buffer = 0, bytearray(1 << 20)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(
            b"GET /replay HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Accept-Encoding: %b\r\n\r\n" % encoding.encode()
        )
        while size := client.recv_into(buffer):
            taken += size
    return taken


def read_bare(path: Path) -> int:
    taken = 0
    descriptor = os.open(path, os.O_RDONLY)
    while piece := os.read(descriptor, PIECE_BYTES):
        taken += len(piece)
    os.close(descriptor)
    return taken


def decode_bare(path: Path) -> int:
    taken = 0
    decoder = zstandard.ZstdDecompressor()
    with path.open("rb") as file, decoder.stream_reader(file, read_across_frames=True) as lines:
        while piece := lines.read(PIECE_BYTES):
            taken += len(piece)
    return taken


def measure(ways: dict[str, Callable[[], int]], repeat: int) -> dict[str, tuple[float, int]]:
    """Return the median seconds and the bytes of each way."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    sizes: dict[str, int] = {}
    for _ in range(repeat):
        for name, way in ways.items():
            began = time.perf_counter()
            sizes[name] = way()
            seconds[name].append(time.perf_counter() - began)
    return {name: (statistics.median(seconds[name]), sizes[name]) for name in ways}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=PROJECT.parent) as name:
        store = Path(name)
        make_store(store, options.rows)
        path = segment_path(store / INSTRUMENT, 1, SEALED)
        plain = store / "plain.ndjson"
        with path.open("rb") as packed, plain.open("wb") as lines:
            decoder = zstandard.ZstdDecompressor()
            with decoder.stream_reader(packed, read_across_frames=True) as whole:
                while piece := whole.read(1 << 20):
                    lines.write(piece)
        here, there = multiprocessing.Pipe()
        server = multiprocessing.Process(target=serve, args=(store, there), daemon=True)
        server.start()
        port = here.recv()
        ways: dict[str, Callable[[], int]] = {
            SEALED_FILE: lambda: read_bare(path),
            DECODED: lambda: decode_bare(path),
            LINES: lambda: read_bare(plain),
            AS_STORED: lambda: download(port, "zstd"),
            AS_LINES: lambda: download(port, "identity"),
        }
        found = measure(ways, options.repeat)
        server.kill()
    lines_mb = found[LINES][1] / 1e6
    print(f"{options.rows:,} rows, {lines_mb:,.0f} MB of lines, median of {options.repeat}")
    for way, (seconds, size) in found.items():
        print(f"{way:24}{seconds * 1000:9.1f} ms{size / seconds / 1e6:9,.0f} MB/s")
    for way, bases in ((AS_STORED, (SEALED_FILE, DECODED)), (AS_LINES, (LINES, DECODED))):
        for base in bases:
            print(f"{way} at {found[base][0] / found[way][0]:.2f} of the speed of: {base}")


if __name__ == "__main__":
    main()
