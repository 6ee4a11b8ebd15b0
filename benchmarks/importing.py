"""Import an archive of OKX beside the script one would write: `uv run -m benchmarks.importing`.

Both make a recording of the same archive of busy rows, in turns, each in a process of its own; what
counts is the CPU time of the process, start-up included. The recordings must be equal.
"""

import json
import os
import resource
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
from contextlib import closing
from io import BytesIO
from pathlib import Path

from synthetic_market import BUSY, write_recording

START = 1_749_427_200_000  # 2025-06-09, UTC
ROWS = 200_000
TURNS = 3
NAME = "BTC-USDT-L2orderbook-400lv-2025-06-09"

NAIVE = """
import json, sqlite3, sys, tarfile
def four(side):
    return json.dumps([[price, size, "0", orders] for price, size, orders in side])
with sqlite3.connect(sys.argv[2]) as recording, tarfile.open(sys.argv[1]) as archive:
    recording.execute("CREATE TABLE book(id INTEGER PRIMARY KEY, instrument TEXT, bids TEXT, "
                      "asks TEXT, timestamp INTEGER, action TEXT)")
    for line in archive.extractfile(archive.next()):
        row = json.loads(line)
        recording.execute(
            "INSERT INTO book(instrument, bids, asks, timestamp, action) VALUES (?, ?, ?, ?, ?)",
            (row["instId"], four(row["bids"]), four(row["asks"]), int(row["ts"]), row["action"]))
"""


def make_archive(folder: Path) -> Path:
    """Write an archive as OKX does, of made-up rows of 44 changed levels."""
    recording = folder / "BTC-USDT.db"
    write_recording(recording, "BTC-USDT", START, START + 86_400_000, density=BUSY, max_rows=ROWS)
    lines = []
    with closing(sqlite3.connect(recording)) as connection:
        rows = connection.execute("SELECT bids, asks, timestamp FROM book ORDER BY id")
        for number, (bids, asks, time) in enumerate(rows):
            asks, bids = (  # noqa: PLW2901
                [[level[0], level[1], level[-1]] for level in json.loads(side)]
                for side in (asks, bids)
            )
            action = "update" if number else "snapshot"
            head = {"instId": "BTC-USDT", "action": action, "ts": str(time)}
            row = {**head, "asks": asks, "bids": bids}
            lines.append(json.dumps(row, separators=(",", ":")).encode() + b"\n")
    path = folder / f"{NAME}.tar.gz"
    member = tarfile.TarInfo(f"{NAME}.data")
    member.size = sum(map(len, lines))
    with tarfile.open(path, "w:gz", compresslevel=6) as archive:
        archive.addfile(member, BytesIO(b"".join(lines)))
    return path


def cpu_seconds(*command: object) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *map(str, command)], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def content(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT instrument, timestamp, action, bids, asks FROM book")
        return [(*row[:3], json.loads(row[3]), json.loads(row[4])) for row in rows]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = make_archive(folder)
        ours, naive = folder / "in" / f"{NAME}.okx.db", folder / "naive.db"
        seconds: dict[str, list[float]] = {"naive": [], "ours": []}
        for turn in range(TURNS):
            for path in (ours, naive):
                path.unlink(missing_ok=True)
            seconds["naive"].append(cpu_seconds("-c", NAIVE, archive, naive))
            seconds["ours"].append(
                cpu_seconds("-m", "formats", "import", archive, "--into", ours.parent)
            )
            if turn == 0 and content(ours) != content(naive):
                sys.exit("the two recordings differ")
        packed = archive.stat().st_size / ROWS
        print(f"{ROWS:,} rows of {packed:,.0f} packed bytes, load {os.getloadavg()[0]:.1f}")
        print(f"rows/s of CPU, the whole process, best of {TURNS} in turns")
        for what, found in seconds.items():
            print(f"  {what:<6} {ROWS / min(found):>9,.0f}")
        start_up = min(cpu_seconds("-m", "formats", "--help") for _ in range(TURNS))
        work = min(seconds["ours"]) - start_up
        print(f"  ratio  {min(seconds['naive']) / min(seconds['ours']):>9.2f}")
        print(f"without the {start_up:.2f} s of ours to start up: {ROWS / work:,.0f} rows/s, ratio "
              f"{min(seconds['naive']) / work:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
