"""Export beside what one would write oneself: `uv run --group oracle -m benchmarks.exporting`.

npz beside a script of json and numpy; the catalog beside NautilusTrader's own objects and writer,
on a part of the rows, for it is slow. Each is a process of its own, in turns; what counts is the
CPU time of the process, start-up included. Last, the memory of exports of two lengths.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from synthetic_market import BUSY, write_recording

START = 1_749_427_200_000  # 2025-06-09, UTC
RANGE = ("BTC-USDT", "2025-06-09", "2025-06-10")
ROWS, FEWER, NONE = 60_000, 12_000, 5
TURNS = 3

NAIVE_NPZ = """
import json, sqlite3, sys, numpy as np
names = ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval")
kinds = ("<u8", "<i8", "<i8", "<f8", "<f8", "<u8", "<i8", "<f8")
BOTH, events = 3 << 30, []
with sqlite3.connect(sys.argv[1]) as recording:
    rows = recording.execute("SELECT bids, asks, timestamp FROM book ORDER BY id")
    for number, (bids, asks, ms) in enumerate(rows):
        ns = ms * 1_000_000
        if number == 0:
            events.append((3 | BOTH, ns, ns, 0, 0, 0, 0, 0))
        kind = BOTH | (1 if number else 4)
        for side, text in ((1 << 29, bids), (1 << 28, asks)):
            for level in json.loads(text):
                events.append((kind | side, ns, ns, float(level[0]), float(level[1]), 0, 0, 0))
    trades = recording.execute("SELECT price, size, side, timestamp FROM trades ORDER BY id")
    for price, size, side, ms in trades:
        ns, of_side = ms * 1_000_000, 1 << 29 if side == "buy" else 1 << 28
        events.append((2 | BOTH | of_side, ns, ns, float(price), float(size), 0, 0, 0))
data = np.array(events, list(zip(names, kinds)))
np.savez(sys.argv[2], data=data[np.argsort(data["exch_ts"], kind="stable")])
"""

OWN_CATALOG = """
import json, sqlite3, sys
from nautilus_trader.model.data import BookOrder, OrderBookDelta, TradeTick
from nautilus_trader.model.enums import AggressorSide, BookAction, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, TradeId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.persistence.catalog import ParquetDataCatalog
catalog, name = ParquetDataCatalog(sys.argv[2]), InstrumentId.from_str("BTC-USDT.OKX")
with sqlite3.connect(sys.argv[1]) as recording:
    deltas = []
    rows = recording.execute("SELECT bids, asks, timestamp FROM book ORDER BY id")
    for number, (bids, asks, ms) in enumerate(rows):
        ns = ms * 1_000_000
        if number == 0:
            deltas.append(OrderBookDelta.clear(name, 0, ns, ns))
        for side, text in ((OrderSide.BUY, bids), (OrderSide.SELL, asks)):
            for level in json.loads(text):
                size = float(level[1])
                action = BookAction.UPDATE if size else BookAction.DELETE
                if number == 0:
                    action = BookAction.ADD
                order = BookOrder(side, Price(float(level[0]), 1), Quantity(size, 9), 0)
                deltas.append(OrderBookDelta(name, action, order, 0, number, ns, ns))
    catalog.write_data(deltas)
    sides = {"buy": AggressorSide.BUYER, "sell": AggressorSide.SELLER}
    catalog.write_data([
        TradeTick(name, Price(float(price), 1), Quantity(float(size), 9), sides[side],
                  TradeId(str(number)), ms * 1_000_000, ms * 1_000_000)
        for number, price, size, side, ms in recording.execute(
            "SELECT id, price, size, side, timestamp FROM trades ORDER BY id")
    ])
"""


def recording_of(folder: Path, rows: int) -> Path:
    """Write busy rows, of 55 changed levels, into a folder of their own; return the folder."""
    folder.mkdir()
    write_recording(
        folder / "BTC-USDT.db", "BTC-USDT", START, START + 86_400_000, density=BUSY, max_rows=rows
    )
    return folder


def used(*command: object) -> tuple[float, int]:
    """Run Python with arguments; return its seconds of CPU and its most memory, in MB."""
    with subprocess.Popen(
        [sys.executable, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        errors = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(errors.decode())
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def ours(name: str, folder: Path, into: Path) -> tuple[float, int]:
    return used("-m", "formats", "export", name, *RANGE, "--data-dir", folder, "--into", into, "-q")


def best_of(name: str, folder: Path, code: str) -> tuple[float, float]:
    """Return the seconds that ours takes, and the other's."""
    into, other = folder / "ours.npz", folder / "other.npz"
    found: list[tuple[float, float]] = []
    for _ in range(TURNS):
        for path in (into, other):
            shutil.rmtree(path, ignore_errors=True)
            if path.exists():
                path.unlink()
        mine = ours(name, folder, into)[0]
        found.append((mine, used("-c", code, folder / "BTC-USDT.db", other)[0]))
    return min(mine for mine, _ in found), min(theirs for _, theirs in found)


def compare(name: str, folder: Path, rows: int, empty: Path, code: str) -> None:
    start_up = best_of(name, empty, code)
    whole = best_of(name, folder, code)
    work = [all_of_it - start for all_of_it, start in zip(whole, start_up, strict=True)]
    for what, (mine, theirs) in (("whole process", whole), ("without start-up", work)):
        print(
            f"{name:<12} {rows:>7,} rows, {what:<16}  ours {rows / mine:>8,.0f} rows/s of CPU  "
            f"other {rows / theirs:>7,.0f}  ratio {theirs / mine:.1f}"
        )


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as name:
        folder, part = recording_of(Path(name) / "all", rows), Path(name) / "part"
        recording_of(part, FEWER)
        empty = recording_of(Path(name) / "empty", NONE)
        print(f"load {os.getloadavg()[0]:.1f}, best of {TURNS} in turns")
        compare("hftbacktest", folder, rows, empty, NAIVE_NPZ)
        if importlib.util.find_spec("nautilus_trader"):
            compare("nautilus", part, FEWER, empty, OWN_CATALOG)
        else:
            print("nautilus: not installed; run with --group oracle")
        for kind in ("hftbacktest", "nautilus", "parquet"):
            sizes = [ours(kind, of, of / f"{kind}.npz")[1] for of in (part, folder)]
            print(f"{kind:<12} memory: {sizes[0]} MB for {FEWER:,} rows, {sizes[1]} for {rows:,}")


if __name__ == "__main__":
    main()
