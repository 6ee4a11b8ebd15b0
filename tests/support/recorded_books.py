"""The right book after each row of a recording: SQLite, json, dicts and Decimals, nothing else.

Nothing of the project builds these books, so that a book that a client shows can be held to them.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import zstandard

Side = list[tuple[Decimal, Decimal]]


class Book(NamedTuple):
    """The levels of both sides, best first."""

    bids: Side
    asks: Side


class RecordedTrade(NamedTuple):
    id: str
    price: float
    size: float
    side: str
    time_ms: int


class RecordedBooks:
    """The rows of one instrument, and the book after any of them.

    Rows count from 0 in the order of (timestamp, id).
    """

    def __init__(self, database: Path, instrument: str) -> None:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            rows = connection.execute(
                "SELECT timestamp, bids, asks FROM book WHERE instrument = ? "
                "ORDER BY timestamp, id",
                (instrument,),
            ).fetchall()
            trades = connection.execute(
                "SELECT trade_id, price, size, side, timestamp FROM trades WHERE instrument = ? "
                "ORDER BY timestamp, id",
                (instrument,),
            ).fetchall()
        self.times: list[int] = [time for time, *_ in rows]
        self.trades = [RecordedTrade(*trade) for trade in trades]
        self._sides = [sides for _, *sides in rows]

    def rows_at(self) -> dict[int, list[int]]:
        """Return the rows of each timestamp: several may share one."""
        found = defaultdict(list)
        for row, time in enumerate(self.times):
            found[time].append(row)
        return found

    def after(self, wanted: Iterable[int], depth: int) -> dict[int, Book]:
        """Return the best `depth` levels of each side after each of the wanted rows."""
        left = set(wanted)
        books: dict[int, Book] = {}
        bids: dict[Decimal, Decimal] = {}
        asks: dict[Decimal, Decimal] = {}
        for row, sides in enumerate(self._sides[: max(left, default=-1) + 1]):
            for side, text in zip((bids, asks), sides, strict=True):
                for price, size, *_ in json.loads(text or "[]"):
                    side[Decimal(price)] = Decimal(size)
                    if Decimal(size) == 0:
                        del side[Decimal(price)]
            if row in left:
                books[row] = Book(
                    sorted(bids.items(), reverse=True)[:depth], sorted(asks.items())[:depth]
                )
        return books


def stored_lines(store: Path, instrument: str) -> list[bytes]:
    """Return all lines of a store, the head of each file too, read plainly in the files' order."""
    lines: list[bytes] = []
    for path in sorted((store / instrument).glob("[0-9]*.jsonl*")):
        text = path.read_bytes()
        if path.suffix == ".zst":
            text = zstandard.ZstdDecompressor().stream_reader(text, read_across_frames=True).read()
        lines += text.splitlines()
    return lines


def book_rows(lines: Iterable[bytes]) -> list[tuple[int, int]]:
    """Return `(seq, ts)` of each book row of a store."""
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [(row["seq"], row["ts"]) for row in rows if row["kind"] == "book"]


@dataclass
class Comparison:
    """What came of holding the books of a client to the recording."""

    books: list[dict[str, Any]]
    rows: list[int | None]
    """The row of each book, None where it is wrong."""
    wrong: list[str]
    """What is wrong with these: a book that differs, one that goes back, an unknown key."""

    @property
    def right(self) -> list[int]:
        """Return the row of each right book."""
        return [row for row in self.rows if row is not None]


def compare(
    shown: list[dict[str, Any]],
    recorded: RecordedBooks,
    rows_of: dict[int, list[int]],
    depth: int,
) -> Comparison:
    """Hold books to the recording, each at its `key`: an update id or a time in ms.

    `rows_of` has the rows of each key; the book of any of them is right, but none may go back. A
    side is right when it is the recording's best `depth` levels, no more and no fewer.
    """
    wanted = {row for book in shown for row in rows_of.get(book["key"], ())}
    books = recorded.after(wanted, depth)
    found = Comparison(shown, [], [])
    newest = 0
    for book in shown:
        rows = rows_of.get(book["key"], [])
        equal = [row for row in rows if _is_equal(book, books[row])]
        onward = [row for row in equal if row >= newest]
        found.rows.append(onward[0] if onward else None)
        if onward:
            newest = onward[0]
        elif not rows:
            found.wrong.append(f"{book['key']} is no id or time of the recording")
        elif equal:
            found.wrong.append(f"row {equal[-1]} was shown after row {newest}")
        else:
            found.wrong.append(f"the book at {book['key']} is not that of rows {rows}")
    return found


def _is_equal(shown: dict[str, Any], right: Book) -> bool:
    return all(
        len(levels) == len(expected)
        and all(
            _is_number(price, level[0]) and _is_number(size, level[1])
            for (price, size), level in zip(levels, expected, strict=True)
        )
        for levels, expected in ((shown["bids"], right.bids), (shown["asks"], right.asks))
    )


def _is_number(shown: str | float, right: Decimal) -> bool:
    """Return whether a client's number is the recorded one: its text exactly, or its double."""
    return Decimal(shown) == right if isinstance(shown, str) else shown == float(right)


def wrong_trades(shown: list[dict[str, Any]], recorded: list[RecordedTrade]) -> list[str]:
    """Return what is wrong with trades: unknown ones, ones seen twice, ones left out between."""
    names = RecordedTrade._fields
    said = Counter(RecordedTrade(*(trade[name] for name in names)) for trade in shown)
    places = [place for place, trade in enumerate(recorded) if trade in said]
    between = recorded[places[0] : places[-1] + 1] if places else []
    unknown = said.keys() - set(between)
    return [
        *(f"{trade} was not recorded" for trade in unknown),
        *(f"{trade} came {times} times" for trade, times in said.items() if times > 1),
        *(f"{trade} was left out" for trade in between if trade not in said),
    ]
