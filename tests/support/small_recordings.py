"""Write small recordings of every kind that SQLite has, each reproducible from a seed."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from shutil import copyfile

INSTRUMENT = "BTC-USDT"
START = 1_749_427_200_000  # 2025-06-09, UTC
END = START + 86_400_000
ROWS = 240
STEP_MS = 700
DEPTH = 12
"""Levels a side: enough for a first row to be known as a snapshot of the book."""
PAGE_SIZES = (512, 512, 1024, 1024, 4096, 4096, 8192, 16384, 32768, 65536)
INDEXES = ("", "timestamp", "timestamp, id", "instrument, timestamp", "timestamp, instrument")


@dataclass(frozen=True)
class Kind:
    """What a recording is like before it is damaged."""

    page_size: int
    journal: str  # "rollback", "wal" with its -wal left behind, or "wal closed"
    index: str
    settled: bool
    files: str  # "one" or "two" that follow one another
    many: bool  # instruments in each file, and its name says none
    times: str  # "ms", "us" or "iso"
    key: str  # "rowid", "own id" or "without rowid"
    book: str  # "updates", "snapshots" or "marked" by action and ids
    encoding: str
    overflow: bool
    freed: bool
    auto_vacuum: bool

    @classmethod
    def draw(cls, random: Random) -> "Kind":
        many = random.random() < 0.35
        key = random.choice(("rowid",) * 5 + ("own id", "without rowid"))
        indexes = INDEXES if many else INDEXES[:3]
        journal = random.choice(("rollback",) * 4 + ("wal", "wal closed"))
        return cls(
            page_size=random.choice(PAGE_SIZES),
            journal=journal,
            index="" if key == "without rowid" else random.choice(("", *indexes[1:] * 2)),
            settled=journal != "wal" and random.random() < 0.5,
            files=random.choice(("one", "one", "two")),
            many=many,
            times=random.choice(("ms",) * 5 + ("us", "iso")),
            key=key,
            book=random.choice(("updates",) * 3 + ("snapshots", "marked")),
            encoding=random.choice(("UTF-8",) * 7 + ("UTF-16le",)),
            overflow=random.random() < 0.25,
            freed=random.random() < 0.3,
            auto_vacuum=random.random() < 0.15,
        )

    def __str__(self) -> str:
        said = [
            f"{self.page_size} B pages",
            self.journal,
            f"index ({self.index})" if self.index else "no index",
            "settled" if self.settled else "fresh",
            f"{self.files} file" + "s" * (self.files == "two"),
            *(["times " + self.times] if self.times != "ms" else []),
            *([self.key] if self.key != "rowid" else []),
            f"book of {self.book}",
            *([self.encoding] if self.encoding != "UTF-8" else []),
            *(["of many instruments"] if self.many else []),
            *(["long rows"] if self.overflow else []),
            *(["free pages"] if self.freed else []),
            *(["auto_vacuum"] if self.auto_vacuum else []),
        ]
        return ", ".join(said)


# -- recordings


def write_recordings(kind: Kind, directory: Path, random: Random) -> list[Path]:
    """Write the files of one recording into `directory`, an older copy of each beside it."""
    stem = "okx" if kind.many else INSTRUMENT
    if kind.files == "one":
        paths, edges = [directory / f"{stem}.db"], [0, ROWS]
    else:
        paths = [directory / f"{stem}-25-06-{day}.db" for day in ("09", "10")]
        edges = [0, ROWS // 2, ROWS]
    for path, (first, last) in zip(paths, pairwise(edges), strict=True):
        _write(kind, path, random, first, last)
    return paths


def older(path: Path) -> Path:
    """Name the copy of a file from the time when half of its rows were written."""
    return path.with_suffix(".older")


def log_of(path: Path) -> Path:
    """Name the write-ahead log of a file."""
    return path.with_name(path.name + "-wal")


def _write(kind: Kind, path: Path, random: Random, first: int, last: int) -> None:
    """Write rows, half of them before the older copy is made, in several transactions."""
    draft = path.with_suffix(".draft")
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        for pragma, value in (
            ("page_size", kind.page_size),
            ("encoding", f"'{kind.encoding}'"),
            ("auto_vacuum", int(kind.auto_vacuum)),
            ("journal_mode", "DELETE" if kind.journal == "rollback" else "WAL"),
            ("wal_autocheckpoint", 0),
            ("synchronous", 0),
        ):
            connection.execute(f"PRAGMA {pragma} = {value}")
        _create(connection, kind)
        half = (first + last) // 2
        _insert(connection, kind, random, first, half)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        copyfile(draft, older(path))
        for begin in range(half, last, 20):
            _insert(connection, kind, random, begin, min(begin + 20, last))
        if kind.freed:
            connection.execute("DROP TABLE junk")
        if kind.journal == "wal":
            copyfile(log_of(draft), log_of(path))
            copyfile(draft, path)
    if kind.journal != "wal":
        copyfile(draft, path)
    for left in path.parent.glob(draft.name + "*"):
        left.unlink()


def _create(connection: sqlite3.Connection, kind: Kind) -> None:
    key = {
        "rowid": "id INTEGER PRIMARY KEY",
        "own id": "id INTEGER",
        "without rowid": "id INTEGER NOT NULL",
    }[kind.key]
    end = ", PRIMARY KEY (timestamp, id)) WITHOUT ROWID" if kind.key == "without rowid" else ")"
    names = "instrument TEXT, " if kind.many else ""
    time_type = "TEXT" if kind.times == "iso" else "INTEGER"
    marks = ", action TEXT, seq_id INTEGER, prev_seq_id INTEGER" if kind.book == "marked" else ""
    for table, columns in (
        ("book", "bids TEXT, asks TEXT" + marks),
        ("trades", "trade_id TEXT, price REAL, size REAL, side TEXT"),
    ):
        connection.execute(
            f"CREATE TABLE {table}({key}, {names}timestamp {time_type}, {columns}{end}"
        )
        if kind.index:
            connection.execute(f"CREATE INDEX {table}_timestamp ON {table}({kind.index})")
    connection.execute("CREATE TABLE junk(x)")


def _insert(
    connection: sqlite3.Connection, kind: Kind, random: Random, first: int, last: int
) -> None:
    instruments = (INSTRUMENT, "ETH-USDT") if kind.many else (None,)
    connection.execute("BEGIN")
    for number in range(first, last):
        for place, instrument in enumerate(instruments):
            key = number * len(instruments) + place + 1
            named = [instrument] if instrument else []
            moment = _time(kind, START + STEP_MS * number + place)
            row = [key, *named, moment, *_book_row(kind, random, number)]
            trade = [key, *named, _time(kind, START + STEP_MS * number + 100), f"t{key}"]
            trade += [100 + number / 8, 1 + random.randrange(1000) / 8]
            trade.append(random.choice(("buy", "sell")))
            for table, values in (("book", row), ("trades", trade)):
                marks = ", ".join("?" * len(values))
                connection.execute(f"INSERT INTO {table} VALUES ({marks})", values)
        if kind.freed:
            connection.execute("INSERT INTO junk VALUES (?)", (bytes(kind.page_size),))
    connection.execute("COMMIT")


def _time(kind: Kind, ms: int) -> object:
    if kind.times == "iso":
        moment = datetime.fromtimestamp(ms / 1000, UTC).replace(tzinfo=None)
        return moment.isoformat(timespec="milliseconds")
    return ms * 1000 if kind.times == "us" else ms


def _book_row(kind: Kind, random: Random, number: int) -> list[object]:
    """Make levels that are never crossed, a snapshot first; blanks fill the pages."""
    whole = number == 0 or kind.book == "snapshots"
    fill = min(kind.page_size // 24, 600)
    if kind.overflow and number % 8 == 3:
        fill = min(5 * kind.page_size // 2, 20_000)
    row: list[object] = []
    for side in (100, 120):
        prices = range(side, side + DEPTH) if whole else [side + random.randrange(DEPTH)]
        levels = ",".join(f'["{p}.5", "{1 + random.randrange(9000) / 8}"]' for p in prices)
        row.append(f"[{levels}" + " " * fill + "]")
    if kind.book == "marked":
        row += ["snapshot" if whole else "update", number + 1, number or -1]
    return row
