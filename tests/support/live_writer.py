"""A recorder for tests: writes what a plan says into SQLite files, commit by commit.

As a script, `live_writer.py PLAN DIRECTORY`, it is a process of its own; it prints the seconds its
slowest commit took. It never waits for a lock: whoever holds it up makes it fail.
"""

import json
import sqlite3
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

START = 1_749_427_200_000  # 2025-06-09, UTC
DAY = 86_400_000
LATE_MS = 400
"""Rows come late by less than this, which is less than is held back."""
Step = dict[str, Any]

BOOK = "instrument, bids, asks, timestamp, action, seq_id, prev_seq_id"
TRADES = "instrument, trade_id, price, size, side, timestamp"


def name_of_day(day: int) -> str:
    return f"BTC-USDT-25-06-{9 + day:02}.db"


class Recorder:
    """Writes one file a day, as a recorder does; `busy_ms` is 0, so that a lock is an error."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._connection: sqlite3.Connection | None = None
        self.slowest = 0.0

    def open(self, name: str, *, journal: str = "wal") -> None:
        connection = sqlite3.connect(self._directory / name, isolation_level=None, timeout=0)
        # Until it is in WAL mode, who looks at a file locks it, if only for a moment.
        connection.execute("PRAGMA busy_timeout = 5000")
        deadline = time.monotonic() + 5
        while True:
            try:
                connection.execute(f"PRAGMA journal_mode = {journal}")
                break
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
        connection.execute("PRAGMA busy_timeout = 0")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        for table, columns in (("book", BOOK), ("trades", TRADES)):
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {table}(id INTEGER PRIMARY KEY, {columns})"
            )
        connection.execute("COMMIT")
        self._connection = connection

    def begin(self, book: list[Any], trades: list[Any]) -> None:
        assert self._connection
        self._connection.execute("BEGIN IMMEDIATE")
        for table, columns, rows in (("book", BOOK, book), ("trades", TRADES, trades)):
            marks = ", ".join("?" * len(columns.split(", ")))
            self._connection.executemany(f"INSERT INTO {table}({columns}) VALUES({marks})", rows)

    def commit(self, book: list[Any], trades: list[Any]) -> None:
        began = time.monotonic()
        self.begin(book, trades)
        self.end()
        self.slowest = max(self.slowest, time.monotonic() - began)

    def end(self) -> None:
        assert self._connection
        self._connection.execute("COMMIT")

    def checkpoint(self) -> None:
        """Write all of the log into the file and empty it, which no reader may keep from ending."""
        self._until_done("PRAGMA wal_checkpoint(TRUNCATE)", lambda row: row[0] == 0)

    def close(self, how: str) -> None:
        """Close the day's file: plainly, or as a recorder that leaves it alone and indexed."""
        assert self._connection
        if how != "plain":
            for table in ("book", "trades"):
                self._connection.execute(
                    f"CREATE INDEX IF NOT EXISTS {table}_by_time ON {table}(timestamp)"
                )
            self.checkpoint()
        if how == "delete":
            self._until_done("PRAGMA journal_mode = DELETE", lambda row: row[0] == "delete")
        self._connection.close()
        self._connection = None

    def _until_done(self, statement: str, is_done: Any) -> None:
        """Try again while a reader is in the way, which it is for milliseconds."""
        assert self._connection
        deadline = time.monotonic() + 30
        while True:
            try:
                if is_done(self._connection.execute(statement).fetchone()):
                    return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error):
                    raise
            if time.monotonic() > deadline:
                raise TimeoutError(statement)
            time.sleep(0.001)


def run(plan: list[Step], directory: Path) -> float:
    recorder = Recorder(directory)
    for step in plan:
        time.sleep(step.get("pause", 0))
        if step["do"] == "open":
            recorder.open(step["name"], journal=step.get("journal", "wal"))
        elif step["do"] == "commit":
            recorder.commit(step["book"], step["trades"])
        elif step["do"] == "hang":  # in the middle of a transaction, to be killed there
            recorder.begin(step["book"], step["trades"])
            sys.stdout.write("hangs\n")
            sys.stdout.flush()
            time.sleep(600)
        else:
            recorder.close(step["how"])
    return recorder.slowest


class Market:
    """Rows of one instrument from a seed: a book of 30 levels a side that moves, and trades."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)
        self._sizes: dict[int, int] = {}
        self._mid = 1000
        self._seq = 100
        self._trades = 0

    def snapshot(self, at: int) -> list[Any]:
        """Return a row with the whole book at `at`, in ms after START."""
        self._sizes = {price: self.draw.randrange(1, 50) for price in self._prices()}
        return self._row(at, list(self._sizes), "snapshot", -1)

    def update(self, at: int) -> list[Any]:
        """Return a row that changes a few levels."""
        changed = self.draw.sample(self._prices(), self.draw.randrange(1, 6))
        for price in changed:
            self._sizes[price] = self.draw.choice((0, *range(1, 30)))
        return self._row(at, changed, "update", self._seq)

    def _prices(self) -> list[int]:
        return [self._mid + way * (i + 1) for way in (-1, 1) for i in range(30)]

    def _row(self, at: int, prices: list[int], action: str, before: int) -> list[Any]:
        self._seq += self.draw.randrange(1, 4)
        sides = [
            json.dumps(
                [[str(p), str(self._sizes[p]), "0", "1"] for p in prices if (p < 1000) is low]
            )
            for low in (True, False)
        ]
        return ["BTC-USDT", *sides, START + at, action, self._seq, before]

    def trade(self, at: int) -> list[Any]:
        """Return a trade."""
        self._trades += 1
        price, size = 1000 + self.draw.randrange(-20, 21) / 10, self.draw.randrange(1, 100) / 7
        side = self.draw.choice(("buy", "sell"))
        return ["BTC-USDT", f"t{self._trades}", price, size, side, START + at]


def market_plan(
    seed: int, *, commits: int, pauses: tuple[float, ...] = (0.0, 0.01, 0.05, 0.3)
) -> list[Step]:
    """Plan two days with a midnight between them, about `commits` commits in all.

    Rows lie out of order by less than is held back, within a commit and from one to the next;
    trades come up to three commits after book rows that are later than they are.
    """
    market = Market(seed)
    draw = market.draw
    step_ms = draw.choice((20, 100, 400))
    at = DAY - commits // 2 * step_ms * 5
    plan: list[Step] = [{"do": "open", "name": name_of_day(0), "pause": draw.random()}]
    book, trades = [market.snapshot(at)], []
    is_next_day = False
    for _ in range(commits):
        for _ in range(draw.randrange(9)):
            at += draw.randrange(2 * step_ms)
            book.append(market.update(at))
            times = [at + draw.randrange(-100, 100) for _ in range(draw.choice((0, 0, 1, 3)))]
            trades += [market.trade(time) for time in times]
        midnight = START + DAY
        if at >= DAY and not is_next_day:
            is_next_day = True
            plan.append(_commit(draw, pauses, _before(book, midnight), _before(trades, midnight)))
            how = draw.choice(("plain", "indexed", "delete"))
            closing: Step = {"do": "close", "how": how, "pause": draw.choice(pauses)}
            plan += [closing, {"do": "open", "name": name_of_day(1)}]
            book = [market.snapshot(at)]
            trades = [row for row in trades if row[5] >= midnight]
        kept_book, kept_trades = _late(draw, book, 3), _late(draw, trades, 5)
        draw.shuffle(trades)
        plan.append(_commit(draw, pauses, book, trades))
        book, trades = kept_book, kept_trades
    plan.append(_commit(draw, pauses, book, trades))
    plan.append({"do": "close", "how": draw.choice(("plain", "indexed", "delete")), "pause": 0.05})
    return plan


def _before(rows: list[Any], time: int) -> list[Any]:
    return [row for row in rows if _time_of(row) < time]


def _time_of(row: list[Any]) -> int:
    """Return the timestamp of a row of either table."""
    return int(row[3] if len(row) == len(BOOK.split(", ")) else row[5])


def _late(draw: Random, rows: list[Any], most: int) -> list[Any]:
    """Take rows out of a commit that come with the next one, though others are later than they."""
    if not rows or draw.random() < 0.5:
        return []
    newest = max(map(_time_of, rows))
    near = [row for row in rows if newest - LATE_MS < _time_of(row) < newest][:most]
    late = [row for row in near if draw.random() < 0.5]
    for row in late:
        rows.remove(row)
    return late


def _commit(draw: Random, pauses: tuple[float, ...], book: list[Any], trades: list[Any]) -> Step:
    return {"do": "commit", "book": book, "trades": trades, "pause": draw.choice(pauses)}


if __name__ == "__main__":
    slowest = run(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
    sys.stdout.write(f"{slowest:.6f}\n")
