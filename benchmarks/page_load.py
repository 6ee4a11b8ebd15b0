"""Let many browsers' worth of polls ask the page, and report how long the answers take.

    uv run -m benchmarks.page_load --clients 50 --seconds 60

Each client polls twice a second over a connection it keeps, and tells the versions it has, as a
browser does. Meanwhile all four files change (--writes a second, 1000 bars), so that every answer
carries the whole picture. With --heatmap clients show the heatmap: two columns of 400 rows come
with each write, and after a poll each asks for what it does not have. Page, clients and writer are
a process each: on two cores the figures contain what the clients take.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import multiprocessing
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.support import flow_files, page_fixtures
from orderflow.array_file import Array, pack, unpack

SEEN = b'"data":"'
COLUMNS, COLUMN_MS = 1024, 250


def heatmap_request(after: int) -> bytes:
    return (
        f"GET /flow/heatmap_0?run=one&after={after} HTTP/1.1\r\nHost: localhost\r\n"
        "Accept-Encoding: gzip\r\n\r\n"
    ).encode()


def poll_request(seen: str, view: str) -> bytes:
    body = json.dumps(
        {
            "output": "seen.data",
            "outputs": {"id": "seen", "property": "data"},
            "inputs": [{"id": "poll", "property": "n_intervals", "value": 1}],
            "changedPropIds": ["poll.n_intervals"],
            "state": [{"id": "seen", "property": "data", "value": seen}],
        }
    ).encode()
    head = (
        "POST /_dash-update-component HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-Order-Flow-View: {view}\r\n\r\n"
    )
    return head.encode() + body


class Client:
    """Poll like one browser tab, and keep the time and size of each answer."""

    def __init__(self, port: int, *, heatmap: bool = False) -> None:
        self._port = port
        self._heatmap = heatmap
        self._newest = -1
        self.seconds: list[float] = []
        self.sizes: list[int] = []
        self.errors: list[str] = []

    async def run(self, first: float, until: float) -> None:
        await asyncio.sleep(first)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        seen = ""
        while time.monotonic() < until:
            start = time.perf_counter()
            try:
                code, body = await self._ask(poll_request(seen, self._view), reader, writer)
                if code == 200 and SEEN in body:
                    seen = body[body.rindex(SEEN) + len(SEEN) :].split(b'"', 1)[0].decode()
                if self._heatmap:
                    found = await self._ask(heatmap_request(self._newest), reader, writer)
                    self._take_columns(*found)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.errors.append(repr(error))
                return
            await asyncio.sleep(max(0.0, 0.5 - (time.perf_counter() - start)))
        writer.close()

    @property
    def _view(self) -> str:
        return "flow" if self._heatmap else "bars"

    async def _ask(
        self, request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[int, bytes]:
        start = time.perf_counter()
        writer.write(request)
        code, body = await self._answer(reader)
        self.seconds.append(time.perf_counter() - start)
        self.sizes.append(len(body))
        if code not in (200, 204):
            self.errors.append(f"{code}: {body[:80]!r}")
        return code, body

    def _take_columns(self, code: int, body: bytes) -> None:
        if code != 200:
            return
        plain = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
        header, _ = unpack(plain)
        if header["first"] not in (self._newest + 1, header["start"]):
            self.errors.append(f"columns from {header['first']} came after {self._newest}")
        self._newest = header["first"] + header["columns"] - 1

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[int, bytes]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [
            int(line.partition(":")[2])
            for line in head.splitlines()
            if line.lower().startswith("content-length:")
        ]
        return int(head.split()[1]), await reader.readexactly(lengths[0] if lengths else 0)


def heatmap(count: int) -> bytes:
    """Return a full file of columns of which `2 · count` have gone by."""
    first = flow_files.START_MS // COLUMN_MS + 2 * count
    cells = bytes(range(256)) * (COLUMNS * flow_files.ROWS * 2 // 256)
    arrays = {
        name: flow_files.array("float64", [value] * COLUMNS)
        for name, value in (("low", 1e5), ("row", 2.0), ("bid", 105_399.9), ("ask", 105_400.0))
    }
    arrays["updates"] = flow_files.array("uint16", [1] * COLUMNS)
    arrays["cells"] = Array("uint16", (COLUMNS, flow_files.ROWS), cells)
    fields: dict[str, Any] = {
        "level": 0,
        "column_ms": COLUMN_MS,
        "first": first,
        "columns": COLUMNS,
    }
    return pack(flow_files.header("heatmap", **fields, rows=flow_files.ROWS), arrays)


def write_files(directory: Path, per_second: float, *, has_heatmap: bool) -> None:
    """Change the last bar and the depth, as a running replay does."""
    bars, metrics = page_fixtures.market(1000)
    count = 0
    while True:
        count += 1
        if has_heatmap:
            flow_files.put_bytes(directory, "heatmap_0.bin", heatmap(count))
        bars[-1][4] += 0.1
        metrics[-1][4] = (count % 100) / 100
        page_fixtures.put(directory, "ohlc_data.json", bars)
        page_fixtures.put(directory, "metrics_data.json", metrics)
        levels = [[105_000 - i / 10, count % 7 + 0.1] for i in range(50)]
        asks = [[105_000.1 + i / 10, 1.0] for i in range(50)]
        page_fixtures.put(directory, "depth_data.json", {"bids": levels, "asks": asks})
        page_fixtures.put(directory, "status_data.json", page_fixtures.status(rows=count))
        time.sleep(1 / per_second)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(options: argparse.Namespace, port: int) -> list[Client]:
    until = time.monotonic() + options.seconds
    clients = [Client(port, heatmap=options.heatmap) for _ in range(options.clients)]
    runs = [client.run(i * 0.5 / options.clients, until) for i, client in enumerate(clients)]
    await asyncio.gather(*runs)
    return clients


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--writes", type=float, default=2, help="changes of the files a second")
    parser.add_argument("--heatmap", action="store_true", help="ask for a heatmap too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, page_fixtures.page(Path(name)) as (url, pid):
        writer = multiprocessing.Process(
            target=write_files,
            args=(Path(name), options.writes),
            kwargs={"has_heatmap": options.heatmap},
        )
        writer.start()
        while not (Path(name) / "status_data.json").exists():
            time.sleep(0.05)
        clients = asyncio.run(load(options, int(url.rpartition(":")[2])))
        used = cpu_seconds(pid)
        writer.kill()
        writer.join()
    seconds = sorted(second for client in clients for second in client.seconds)
    sizes = [size for client in clients for size in client.sizes]
    errors = [error for client in clients for error in client.errors]

    def share(part: float) -> float:
        return seconds[min(len(seconds) - 1, int(part * len(seconds)))] * 1000

    print(f"{len(clients)} clients, {options.seconds:g} s, {len(seconds):,} answers, "
          f"{len(errors)} errors, {len(seconds) / options.seconds:.0f} answers/s")  # fmt: skip
    print(f"answer in ms: p50 {share(0.5):.1f}, p99 {share(0.99):.1f}, most {share(1):.1f}")
    print(f"{sum(size > 1000 for size in sizes):,} answers carried data, "
          f"{sum(sizes) / len(sizes) / 1000:.0f} kB on average")  # fmt: skip
    print(f"the page took {used / options.seconds:.0%} of one core (start included)")
    for error in errors[:5]:
        print(f"error: {error}")


if __name__ == "__main__":
    main()
