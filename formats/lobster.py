"""LOBSTER: a file of messages and one of the book after each, read row by row together."""

import re
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from zoneinfo import ZoneInfo

from formats.rows import SNAPSHOT, BookRow, Job, Kind, Portion, Sample, TradeRow, levels_text
from formats.sources import CutError, Source, SourceError

NEW_YORK = ZoneInfo("America/New_York")
PRICE_UNITS = 10_000
EMPTY = 9_999_999_999
EXECUTED, EXECUTED_HIDDEN, CROSS = 4, 5, 6
_NAME = re.compile(r"([A-Z0-9.]+)_(\d{4}-\d{2}-\d{2})_\d+_\d+_(message|orderbook)_(\d+)\.csv")
_ROW = re.compile(r"-?\d+(?:\.\d+)?(?:,-?\d+){3,}(?:,[A-Za-z]*)?")
_PORTION = 500


def recognise(sample: Sample) -> Kind | None:
    """Return the kind of a file of LOBSTER, None for any other."""
    named = _NAME.search(sample.name)
    if not named or not _ROW.fullmatch(sample.line):
        return None
    return MESSAGES if named[3] == "message" else BOOKS


def read_messages(job: Job) -> Iterator[Portion]:
    """Read each message with the book after it."""
    named = _NAME.search(job.source.name)
    if named is None:
        msg = f"{job.source.path}: the instrument, the day and the depth are in LOBSTER's own names"
        raise SourceError(msg, job.source.path)
    name, day, _, depth = named.groups()
    midnight = datetime.fromisoformat(day).replace(tzinfo=NEW_YORK).timestamp()
    reader = _Rows(job, job.name_or(name), int(midnight) * 1000, int(depth))
    with Source(book_beside(job.source.path)) as books:
        yield from reader.read(books)


def book_beside(path: Path) -> Path:
    """Return the file of books to a file of messages; raise `SourceError` where it is missing."""
    beside = path.with_name(path.name.replace("_message_", "_orderbook_"))
    if not beside.is_file():
        msg = f"{path}: {beside.name}, which has the books, is not beside it; put it there"
        raise SourceError(msg, path)
    return beside


class _Rows:
    """Read the two files of one day."""

    def __init__(self, job: Job, name: str, midnight_ms: int, depth: int) -> None:
        self._job, self._name, self._midnight, self._depth = job, name, midnight_ms, depth
        self._line = 0
        self._last_trade: TradeRow | None = None
        job.notes.append(f"each row has the best {depth} levels a side: sums are of so many")

    def read(self, books: Source) -> Iterator[Portion]:
        """Yield what a line of each says, as long as both have lines."""
        book: list[BookRow] = []
        trades: list[TradeRow] = []
        last: BookRow | None = None
        others = books.lines()
        for line in self._job.source.lines():
            self._line += 1
            levels = next(others, None)
            if levels is None:
                self._note_cut(books, f"it ends before line {self._line:,} of its other file")
                break
            time = self._time(line)
            row = None if time is None else self._row(time, levels)
            if row is None:
                book += self._job.bad_book(line, last)
            else:
                last = row
                book.append(row)
            if time is not None:
                trades += self._trade(line, time)
            if len(book) >= _PORTION:
                yield Portion(book, trades)
                book, trades = [], []
        yield Portion(book, trades)
        if next(others, None) is not None:
            self._note_cut(self._job.source, f"{books.path.name} goes on after its last message")

    def _note_cut(self, source: Source, why: str) -> None:
        """Note that one of the two files is not whole: its own damage, else `why`."""
        msg = f"{source.path}: cut short or damaged ({why}); download it again"
        failure = self._job.source.failure or source.failure or CutError(msg, source.path)
        self._job.source.failure = failure

    def _time(self, line: bytes) -> int | None:
        try:
            seconds = Decimal(line.split(b",", 1)[0].decode())
        except (InvalidOperation, ValueError):
            return None
        if not (seconds.is_finite() and 0 <= seconds < 90_000):
            return None
        return self._midnight + int(seconds * 1000)

    def _row(self, time: int, levels: bytes) -> BookRow | None:
        try:
            numbers = [int(number) for number in levels.split(b",")]
        except ValueError:
            return None
        if len(numbers) != 4 * self._depth:
            return None
        asks = _side(numbers[0::4], numbers[1::4])
        bids = _side(numbers[2::4], numbers[3::4])
        return self._name, bids, asks, time, SNAPSHOT, None, None, None

    def _trade(self, line: bytes, time: int) -> list[TradeRow]:
        try:
            kind, _, size, price, direction = (int(field) for field in line.split(b",")[1:6])
        except ValueError:
            return self._job.bad_trade(line, self._last_trade)
        if kind == CROSS:
            self._job.counts["crosses_left_out"] += 1
        if kind not in (EXECUTED, EXECUTED_HIDDEN):
            return []
        side = {-1: "buy", 1: "sell"}.get(direction)  # the direction is the resting order's
        # Executed twice in a millisecond, an order's id would pass for a trade told twice.
        trade_id = f"line {self._line}"
        self._last_trade = self._name, trade_id, _price(price), str(size), side, time, None
        return [self._last_trade]


def _price(units: int) -> str:
    whole, fraction = divmod(abs(units), PRICE_UNITS)
    return f"{'-' * (units < 0)}{whole}.{fraction:04}"


def _side(prices: list[int], sizes: list[int]) -> str:
    there = zip(prices, sizes, strict=True)
    return levels_text([(_price(price), str(size)) for price, size in there if abs(price) < EMPTY])


MESSAGES = Kind(
    "lobster",
    "LOBSTER messages and order books",
    read_messages,
    (
        "levels beyond the depth of the file",
        "ids of orders, and messages of single orders",
        "auctions (type 6) and halts (type 7)",
        "what is finer than a millisecond",
    ),
    beside=book_beside,
)
BOOKS = Kind("lobster", "LOBSTER order books", None)
