"""What an importer reads: rows of the book and trades, and what it found on the way."""

from collections import Counter
from collections.abc import Callable, Iterator, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from formats.sources import Source, SourceError

PORTION = 1000
"""About how many rows are read before they are written."""
PORTION_TEXT = 4_000_000
"""About how many characters of levels are read before they are written."""
MOST_LEVELS = 100_000
"""Most levels of a side in one message: more are none, but a file that would fill the memory."""
MOST_IN_BOOK = 500_000
"""Most levels of a book: real ones have some 10,000."""
MOST_ID = (1 << 63) - 1
"""Largest integer that a recording holds."""
SNAPSHOT, UPDATE = "snapshot", "update"
EVERY = ""
"""Instrument of what stands for a line that is no row: it may have been of any in the file."""
_LONG_LINE = 1 << 20
_MOST_BAD = 1000

BookRow = tuple[str, str, str, int, str, int | None, int | None, int | None]
"""`(instrument, bids, asks, timestamp_ms, action, seq_id, prev_seq_id, received_ns)`."""
TradeRow = tuple[str, str | None, str, str | None, str | None, int, int | None]
"""`(instrument, trade_id, price, size, side, timestamp_ms, received_ns)`."""


class Portion(NamedTuple):
    """Rows in the order of the file."""

    book: list[BookRow]
    trades: list[TradeRow]


@dataclass
class Job:
    """One file that is read.

    `instrument` is what the user called it, for files that do not say themselves; `best_only` is
    whether books of one level are wanted. `unreadable` counts lines that are no rows, `counts` what
    else is odd, `notes` are sentences for the report.
    """

    source: Source
    instrument: str | None = None
    best_only: bool = False
    unreadable: int = 0
    first_unreadable: str = ""
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def name_or(self, found: str | None) -> str:
        """Return the instrument as `found` in the file or its name, else as the user called it."""
        name = found or self.instrument
        if not name:
            msg = (
                f"{self.source.path}: neither the file nor its name says which instrument it is "
                "of; name it with --instrument"
            )
            raise SourceError(msg, self.source.path)
        return name.replace("/", "-")

    def check_depth(self, levels: Sized) -> None:
        """Raise `SourceError` where one side of one message has too many levels."""
        if len(levels) > MOST_LEVELS:
            raise self._too_deep()

    def check_book(self, levels: int) -> None:
        """Raise `SourceError` where a book has come to have too many levels."""
        if levels > MOST_IN_BOOK:
            path = self.source.path
            msg = f"{path}: a book of more than {MOST_IN_BOOK:,} levels; none is so deep: look at"
            raise SourceError(f"{msg} whether levels that are gone are said to have size 0", path)

    def check_arrays(self, lines: bytes) -> None:
        """Raise `SourceError` where a line of JSON has more levels than a message may have.

        So they are not all made objects of before that is seen.
        """
        if len(lines) < _LONG_LINE:
            return
        if any(line.count(b"[") > 2 * MOST_LEVELS + 2 for line in lines.split(b"\n")):
            raise self._too_deep()

    def _too_deep(self) -> SourceError:
        path = self.source.path
        msg = f"{path}: a message of more than {MOST_LEVELS:,} levels on a side; no book is so"
        return SourceError(f"{msg} deep: look at its times and ids", path)

    def note_unreadable(self, line: bytes | str) -> str:
        """Count a line that is no row; return text to keep in its place."""
        text = line.decode(errors="replace") if isinstance(line, bytes) else line
        self.unreadable += 1
        self.first_unreadable = self.first_unreadable or text[:80]
        return f"unreadable: {text[:200]}"

    def bad_book(self, line: bytes | str, before: BookRow | None) -> list[BookRow]:
        """Return a row that stands for a line that is none, at the time of the one before.

        A replay can't read it either, counts it, and does not trust the book until a snapshot. It
        is of `EVERY` instrument.
        """
        text = self.note_unreadable(line)
        return [stand_in(text, before)] if before else []

    def bad_trade(self, line: bytes | str, before: TradeRow | None) -> list[TradeRow]:
        """Return a trade that stands for a line that is none, at the time of the one before."""
        text = self.note_unreadable(line)
        return [(EVERY, None, text, None, None, before[5], None)] if before else []


def stand_in(text: str, before: BookRow) -> BookRow:
    """Return the row that a line which is none leaves, at the time of the row before."""
    return EVERY, text, "", before[3], UPDATE, None, None, None


class BadLines:
    """Lines that are none, in files where a message has many lines.

    Of which message one was is not known, so what stands for it comes after the message in which
    it was met, and after the next one too if that is a snapshot: a snapshot that lacks a level
    must not pass for a whole one.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._here: list[str] = []
        self._before: list[str] = []

    def add(self, line: bytes) -> None:
        """Take in a line."""
        text = self._job.note_unreadable(line)
        if len(self._here) < _MOST_BAD:
            self._here.append(text)

    def rows_after(self, row: BookRow) -> list[BookRow]:
        """Return what stands for the lines so far, behind the row of a message."""
        texts = (*self._before, *self._here) if row[4] == SNAPSHOT else self._here
        self._before, self._here = self._here, []
        return [stand_in(text, row) for text in texts]


Reader = Callable[[Job], Iterator[Portion]]


@dataclass(frozen=True)
class Kind:
    """A kind of file: of which `format`, `what` it is in words, and how it is `read`.

    `read` is None for a file that is read together with another one.

    `beside` returns the other file that one is read with, if there is one.

    `lost` says what the recording then lacks that a recording of ours has. Where `proves`, a
    snapshot in mid-file is the book that the rows before it lead to.
    """

    format: str
    what: str
    read: Reader | None
    lost: tuple[str, ...] = ()
    proves: bool = False
    beside: Callable[[Path], Path] | None = None


class Sample(NamedTuple):
    """What a file is recognised by: how its content begins, its first line, and its name."""

    head: bytes
    line: str
    name: str

    @property
    def columns(self) -> list[str]:
        """Return the first line as names of columns."""
        return [column.strip() for column in self.line.split(",")]


def portions_of_trades(trades: Iterator[TradeRow]) -> Iterator[Portion]:
    """Yield trades in portions."""
    waiting: list[TradeRow] = []
    for trade in trades:
        waiting.append(trade)
        if len(waiting) >= PORTION:
            yield Portion([], waiting)
            waiting = []
    if waiting:
        yield Portion([], waiting)


def portions_of_book(rows: Iterator[BookRow]) -> Iterator[Portion]:
    """Yield rows of the book in portions."""
    waiting: list[BookRow] = []
    length = 0
    for row in rows:
        waiting.append(row)
        length += len(row[1]) + len(row[2])
        if len(waiting) >= PORTION or length >= PORTION_TEXT:
            yield Portion(waiting, [])
            waiting, length = [], 0
    if waiting:
        yield Portion(waiting, [])


def levels_text(levels: list[tuple[str, str]]) -> str:
    """Return levels as a recording has them, with the text of each price and size."""
    return "[" + ",".join([f'["{price}","{size}"]' for price, size in levels]) + "]"
