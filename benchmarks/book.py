"""Time `update` of the Python book and of the compiled one.

    uv run -m benchmarks.book                    # books of 400 and of 10,000 levels a side
    uv run -m benchmarks.book RECORDING.db       # a recording's rows, against the bare fetch
    uv run -m benchmarks.book RECORDING.db --dump LEVELS.bin     # for book_structures.c

All figures are the best of several interleaved runs. Without a recording, each row changes 20
levels a side at log-uniform ranks, 45 % of them deletions, and the best 50 are summed after it;
`near` draws the ranks of both books from the best 400, `whole` from the whole book.
"""

import argparse
import sqlite3
import struct
import time
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any

from level_parser import parse_side
from orderbook_manager import OrderbookManager, PythonOrderbookManager

Row = tuple[bytes | None, bytes | None]
DEPTH = 50
CHANGES = 20
DELETIONS = 0.45
GENERATED_ROWS = {"python": 3_000, "compiled": 30_000}


def levels_text(ticks: Iterable[int], sign: int, random: Random, deletions: float) -> bytes:
    levels = (
        (1_000_000 + sign * tick, 0 if random.random() < deletions else random.random() * 10)
        for tick in ticks
    )
    text = ",".join(f'["{tick / 10:.1f}","{size:.9g}","0","1"]' for tick, size in levels)
    return f"[{text}]".encode()


def generated_rows(levels: int, reach: int, count: int) -> list[Row]:
    """Make a snapshot of `levels` a side and `count` rows that change ranks up to `reach`."""
    random = Random(levels)  # noqa: S311 (reproducible on purpose, no secret)
    snapshot = range(1, 2 * levels, 2)
    rows: list[Row] = [
        (levels_text(snapshot, -1, random, 0.0), levels_text(snapshot, 1, random, 0.0))
    ]
    for _ in range(count):
        # Two ticks a level on the mean: a deleted level leaves its tick free, and comes again.
        ticks = [
            sorted({int(2 * reach ** random.random()) for _ in range(CHANGES)}) for _ in range(2)
        ]
        rows.append(
            (
                levels_text(ticks[0], -1, random, DELETIONS),
                levels_text(ticks[1], 1, random, DELETIONS),
            )
        )
    return rows


def seconds_of(update: Callable[..., Any], rows: list[Row]) -> float:
    update(*rows[0], True)
    began = time.perf_counter()
    for bids, asks in rows[1:]:
        update(bids, asks)
    return time.perf_counter() - began


def compare_sizes(repeats: int) -> None:
    classes: list[type[PythonOrderbookManager]] = [PythonOrderbookManager, OrderbookManager]
    print("ns an update       400 levels  10,000 levels  ratio")
    for book in dict.fromkeys(classes):
        count = GENERATED_ROWS[book.engine]
        for name, reach in (("near", 400), ("whole", 10_000)):
            small = generated_rows(400, 400, count)
            large = generated_rows(10_000, reach, count)
            best = [float("inf")] * 2
            for _ in range(repeats):
                for i, rows in enumerate((small, large)):
                    best[i] = min(best[i], seconds_of(book(DEPTH).update, rows) / count * 1e9)
            print(
                f"{book.engine:8} {name:6} {best[0]:13,.0f} {best[1]:14,.0f} "
                f"{best[1] / best[0]:6.2f}"
            )


def fetch(path: Path, limit: int) -> Iterable[Row]:
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    connection.text_factory = bytes
    return connection.execute("SELECT bids, asks FROM book LIMIT ?", [limit])


def replay(path: Path, limit: int, update: Callable[..., Any] | None) -> float:
    """Return rows a second of the fetch, and of `update` if there is one."""
    rows = 0
    began = time.perf_counter()
    if update is None:
        for _bids, _asks in fetch(path, limit):
            rows += 1
    else:
        for bids, asks in fetch(path, limit):
            update(bids, asks)
            rows += 1
    return rows / (time.perf_counter() - began)


def compare_on(path: Path, repeats: int) -> None:
    best = {"fetch": 0.0, "compiled": 0.0, "python": 0.0}
    for _ in range(repeats):
        best["fetch"] = max(best["fetch"], replay(path, -1, None))
        for book in (PythonOrderbookManager, OrderbookManager):
            limit = -1 if book.engine == "compiled" else 20_000
            best[book.engine] = max(best[book.engine], replay(path, limit, book(DEPTH).update))
    for name, rate in best.items():
        print(f"{name:8} {rate:12,.0f} rows/s {rate / best['fetch']:6.3f} of the fetch")


def dump(path: Path, into: Path) -> None:
    """Write the levels of a recording as `book_structures.c` reads them."""
    with into.open("wb") as file:
        for row in fetch(path, -1):
            for raw, mask in zip(row, (0, 2**64 - 1), strict=True):
                prices, sizes, _ = parse_side(raw)
                bits = struct.unpack(f"{len(prices)}Q", struct.pack(f"{len(prices)}d", *prices))
                file.write(struct.pack("q", len(prices)))
                file.write(array("Q", [key ^ mask for key in bits]).tobytes())
                file.write(array("d", sizes).tobytes())


def main() -> None:
    parser = argparse.ArgumentParser(description="Time the book's update.")
    parser.add_argument("recording", nargs="?", type=Path)
    parser.add_argument("--dump", type=Path, metavar="FILE")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if options.dump:
        dump(options.recording, options.dump)
    elif options.recording:
        compare_on(options.recording, options.repeats)
    else:
        compare_sizes(options.repeats)


if __name__ == "__main__":
    main()
