"""Make the recordings that `compare.py` measures on: whole, its first rows, and in two files."""

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.contenders import DictBook, apply_levels
from benchmarks.task import MINUTE_MS, PROJECT, connect
from synthetic_market import BUSY, write_recording

SHARED = PROJECT.parent / "shared" / "data"
REAL = SHARED / "binance_usdm_btcusdt_20240718.db"
BUSY_START = 1_749_427_200_000
BUSY_SPACING_MS = 110
SECONDS_AGO = 3600
_NAMES = ("book", "trades")


@dataclass(frozen=True)
class ComparedRecording:
    """One recording in three shapes, each in a directory of its own.

    `whole` and `first` are files; the files in `parts` hold what `whole` does and, at the beginning
    of the second, a snapshot of the book at that time.
    """

    title: str
    instrument: str
    first_day: str
    end_day: str
    whole: Path
    first: Path
    parts: Path


def generated(directory: Path, rows: int, slow_rows: int) -> ComparedRecording:
    """Generate a recording of `rows` busy rows, the same each time."""
    path = directory / "whole" / "BTC-USDT_2025-06-09.db"
    path.parent.mkdir(parents=True)
    made = write_recording(
        path, "BTC-USDT", BUSY_START, BUSY_START + rows * BUSY_SPACING_MS,
        seed=1, density=BUSY, max_rows=rows,
    )  # fmt: skip
    title = (
        f"Generated, {made.rows:,} rows of {made.levels_per_row:.0f} levels and "
        f"{made.bytes_per_row:,.0f} bytes, {made.trades:,} trades"
    )
    return _in_all_shapes(title, "BTC-USDT", path, slow_rows)


def real(directory: Path, slow_rows: int) -> ComparedRecording | None:
    """Copy the real recording beside the project's folder; return None where there is none."""
    if not REAL.exists():
        return None
    path = directory / "whole" / "BTC-USDT-SWAP_2024-07-18.db"
    path.parent.mkdir(parents=True)
    shutil.copy(REAL, path)
    with closing(connect(path)) as connection:
        rows, size = connection.execute(
            "SELECT count(*), avg(length(bids) + length(asks)) FROM book"
        ).fetchone()
        trades = connection.execute("SELECT count(*) FROM trades").fetchone()[0]
    title = f"Binance USD-M BTCUSDT, 480 s: {rows:,} rows of {size:,.0f} bytes, {trades:,} trades"
    return _in_all_shapes(title, "BTC-USDT-SWAP", path, slow_rows)


def _in_all_shapes(title: str, instrument: str, whole: Path, slow_rows: int) -> ComparedRecording:
    directory = whole.parent.parent
    first, parts = directory / "first" / whole.name, directory / "parts"
    with closing(connect(whole)) as connection:
        times = [ms for (ms,) in connection.execute("SELECT timestamp FROM book ORDER BY id")]
        last_trade = connection.execute("SELECT max(timestamp) FROM trades").fetchone()[0]
    days = [datetime.fromtimestamp(ms // 1000, UTC).date() for ms in (times[0], times[-1])]
    end = max(times[-1], last_trade) + 1
    copy_between(whole, first, 0, times[slow_rows] if slow_rows < len(times) else end)
    cut = times[cut_place(times)]
    copy_between(whole, parts / f"{instrument}_{days[0]}.db", 0, cut)
    second = parts / f"{instrument}_{days[0] + timedelta(days=1)}.db"
    copy_between(whole, second, cut, end, begin_with_snapshot=True)
    age(whole)
    end_day = str(days[1] + timedelta(days=1))
    return ComparedRecording(title, instrument, str(days[0]), end_day, whole, first, parts)


def cut_place(times: list[int]) -> int:
    """Return the index, about in the middle, of a row later than the one before in its minute.

    There a row that repeats the whole book changes no bar.
    """
    for index in range(max(len(times) // 2, 1), len(times)):
        before = times[index - 1]
        if before < times[index] < before - before % MINUTE_MS + MINUTE_MS:
            return index
    msg = f"no two rows of one minute in the second half of {len(times)} rows: ask for more rows"
    raise ValueError(msg)


def copy_between(
    source: Path, target: Path, start_ms: int, end_ms: int, *, begin_with_snapshot: bool = False
) -> None:
    """Copy what lies in [start_ms, end_ms) of a recording into a new one, an hour old.

    Its first row may be a snapshot of the book before `start_ms`, put in at the time of the row
    that it stands before.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("ATTACH ? AS source", (str(source),))
        connection.execute("BEGIN")
        for name in _NAMES:
            sql = "SELECT sql FROM source.sqlite_master WHERE type = 'table' AND name = ?"
            connection.execute(connection.execute(sql, (name,)).fetchone()[0])
            connection.execute(
                f"INSERT INTO main.{name} SELECT * FROM source.{name} "  # noqa: S608 (own names)
                "WHERE timestamp >= ? AND timestamp < ? ORDER BY id",
                (start_ms, end_ms),
            )
        if begin_with_snapshot:
            _insert_snapshot(connection, source)
        connection.execute("COMMIT")
    age(target)


def _insert_snapshot(connection: sqlite3.Connection, source: Path) -> None:
    first, instrument, ms = connection.execute(
        "SELECT id, instrument, timestamp FROM main.book ORDER BY id LIMIT 1"
    ).fetchone()
    bids, asks = book_before(source, first)
    connection.execute(
        "INSERT INTO main.book(id, instrument, bids, asks, timestamp) VALUES (?, ?, ?, ?, ?)",
        (first - 1, instrument, bids, asks, ms),
    )


def book_before(path: Path, row_id: int) -> tuple[str, str]:
    """Rebuild the book as it was before a row; return its sides as recorded, best first."""
    book = DictBook()
    with closing(connect(path)) as connection:
        for bids, asks in connection.execute(
            "SELECT bids, asks FROM book WHERE id < ? ORDER BY id", (row_id,)
        ):
            apply_levels(book.bids, json.loads(bids))
            apply_levels(book.asks, json.loads(asks))
    sides = sorted(book.bids.items(), reverse=True), sorted(book.asks.items())
    bids, asks = (
        json.dumps([[str(price), str(size), "0", "1"] for price, size in side]) for side in sides
    )
    return bids, asks


def age(path: Path) -> None:
    """Make a file an hour old: one just written is taken for a recording in progress."""
    then = time.time() - SECONDS_AGO
    os.utime(path, (then, then))
