"""Write recordings for tests: each function is named for what its recording contains."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeVar

import pytest

from db_interpreter import DBInterpreter, ReadCounts
from recordings import recorded_table

START = 1_749_427_200_000  # 2025-06-09, UTC
DAY = 86_400_000
NOBODY = 65_534
Row = TypeVar("Row")

BOOK_COLUMNS = "bids TEXT, asks TEXT"
TRADE_COLUMNS = "trade_id TEXT, price REAL, size REAL, side TEXT"
ID_IS_ROWID = "id INTEGER PRIMARY KEY, "
ID_OF_ITS_OWN = "id INTEGER, "
BY_TIMESTAMP = ("timestamp",)
BY_INSTRUMENT_AND_TIMESTAMP = ("instrument, timestamp",)


class BookRow(NamedTuple):
    id: int | None
    timestamp: Any
    bids: Any = "[]"
    asks: Any = "[]"


class TradeRow(NamedTuple):
    id: int | None
    timestamp: Any
    trade_id: Any = None
    price: Any = 100.0
    size: Any = 1.0
    side: Any = "buy"


class Event(NamedTuple):
    """A window as it comes out, without what a split into files may change: ids and its end."""

    timestamp: int
    bids: Any
    asks: Any
    trades: list[tuple[Any, ...]]


def random_of(seed: int) -> Random:
    return Random(seed)


# -- rows


def book_rows(times: Iterable[Any]) -> list[BookRow]:
    """Make a row a time, each with levels of its own, with ids from 1."""
    return [
        BookRow(number, moment, f'[["{100 + number}.5", "{number}"]]', f'[["{200 + number}", "2"]]')
        for number, moment in enumerate(times, 1)
    ]


def trade_rows(times: Iterable[Any]) -> list[TradeRow]:
    """Make a trade a time, each with a price of its own, with ids from 1."""
    return [
        TradeRow(number, moment, f"t{number}", 100.0 + number, 0.5, ("buy", "sell")[number % 2])
        for number, moment in enumerate(times, 1)
    ]


def random_times(seed: int, count: int, step: int = 3) -> list[int]:
    """Draw rising times, many of them several times over."""
    draw = random_of(seed)
    moment, times = START, []
    for _ in range(count):
        moment += draw.choice((0, 0, 1, step))
        times.append(moment)
    return times


def shuffled_within(rows: Sequence[Row], reach: int, seed: int = 1) -> list[Row]:
    """Shuffle rows so that none has `reach` later ones or more before it."""
    draw = random_of(seed)
    places = [place + draw.random() * (reach - 1) for place in range(len(rows))]
    return [rows[place] for place in sorted(range(len(rows)), key=places.__getitem__)]


# -- files


def write_recording(
    path: Path,
    book: Sequence[BookRow] | None = (),
    trades: Sequence[TradeRow] | None = (),
    *,
    instrument: str | None = None,
    index: Sequence[str] = (),
    id_column: str = ID_IS_ROWID,
    time_type: str = "INTEGER",
    table_end: str = ")",
    settled: bool = True,
) -> Path:
    """Write rows in the order given; None leaves the table out. Old enough for `immutable=1`."""
    with closing(sqlite3.connect(path)) as connection:
        for table, columns, rows in (
            ("book", BOOK_COLUMNS, book),
            ("trades", TRADE_COLUMNS, trades),
        ):
            if rows is None:
                continue
            extra = "instrument TEXT, " if instrument else ""
            all_columns = f"{id_column}{extra}timestamp {time_type}, {columns}"
            connection.execute(f"CREATE TABLE {table}({all_columns}{table_end}")
            for number, on in enumerate(index):
                connection.execute(f"CREATE INDEX {table}_{number} ON {table}({on})")
            insert(connection, table, rows, instrument)
        connection.commit()
    if settled:
        settle(path)
    return path


def insert(
    connection: sqlite3.Connection,
    table: str,
    rows: Sequence[BookRow] | Sequence[TradeRow],
    instrument: str | None = None,
) -> None:
    if not rows:
        return
    fields = ", ".join(rows[0]._fields)
    values: list[tuple[Any, ...]] = list(rows)
    if instrument:
        fields += ", instrument"
        values = [(*row, instrument) for row in rows]
    marks = ", ".join("?" * len(values[0]))
    connection.executemany(f"INSERT INTO {table}({fields}) VALUES ({marks})", values)


def settle(path: Path) -> None:
    """Make a file look unchanged for an hour, as a finished recording is."""
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def change(path: Path, *statements: str) -> Path:
    """Run statements on a recording, which is settled afterwards as before."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    settle(path)
    return path


def split(rows: Sequence[Row], cuts: Iterable[int]) -> list[Sequence[Row]]:
    """Cut rows at the places given: one part more than there are cuts."""
    places = [0, *sorted(cuts), len(rows)]
    return [rows[begin:end] for begin, end in pairwise(places)]


@contextmanager
def small_batches(batch: int, reorder: int) -> Iterator[None]:
    """Read a few rows at a time, so that small recordings meet every edge of a batch."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("BOOK", "TRADES"):
            spec = replace(getattr(recorded_table, name), batch=batch, reorder=reorder)
            patch.setattr(recorded_table, name, spec)
        yield


# -- what comes out, and what has to


def events(
    paths: Path | Sequence[Path], instrument: str | None = None, **window: Any
) -> tuple[list[Event], ReadCounts]:
    interpreter = DBInterpreter(paths, instrument, **window)
    found = [
        Event(update.timestamp, update.bids, update.asks, [trade[1:] for trade in trades])
        for update, trades in interpreter.stream()
        if update.bids is not None or update.asks is not None or trades
    ]
    return found, interpreter.counts


def times_of(found: Iterable[Event]) -> list[int]:
    return [event.timestamp for event in found]


def prices_of(found: Iterable[Event]) -> list[float]:
    return [trade[1] for event in found for trade in event.trades]


def expected_events(
    book: Iterable[BookRow],
    trades: Iterable[TradeRow],
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> list[Event]:
    """Join rows of whole ms with their trades by brute force, straight from the contract."""
    low = -1 if start_ms is None else start_ms
    high = 10**20 if end_ms is None else end_ms
    rows = [row for row in sorted(book, key=_time_and_id) if row.timestamp < high]
    waiting = [t for t in sorted(trades, key=_time_and_id) if low <= t.timestamp < high]
    edges = [row.timestamp for row in rows] + [10**20]
    before = [t for t in waiting if t.timestamp < edges[0]]
    found = [Event(before[0].timestamp, None, None, _plain(before))] if before else []
    for row, end in zip(rows, edges[1:], strict=True):
        inside = [t for t in waiting if row.timestamp <= t.timestamp < end]
        found.append(Event(row.timestamp, row.bids.encode(), row.asks.encode(), _plain(inside)))
    return found


def _time_and_id(row: BookRow | TradeRow) -> tuple[int, int]:
    return row.timestamp, row.id or 0


def _plain(trades: Iterable[TradeRow]) -> list[tuple[Any, ...]]:
    return [(t.trade_id, t.price, t.size, t.side, t.timestamp) for t in trades]


# -- other programs


@contextmanager
def program(code: str, *arguments: object) -> Iterator[Callable[[str], str]]:
    """Run Python code as another process; what is sent is a line, and so is its answer.

    The code ends by itself when its input does.
    """
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        send, answers = process.stdin, process.stdout

        def ask(line: str) -> str:
            send.write(line + "\n")
            send.flush()
            return answers.readline().strip()

        try:
            yield ask
        finally:
            process.kill()


@contextmanager
def without_privileges() -> Iterator[None]:
    """Act as an ordinary user: root may read and write everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
