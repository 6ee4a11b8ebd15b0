"""Tardis CSV: `incremental_book_L2`, `book_snapshot_5`, `book_snapshot_25`, `trades`."""

import re
from collections.abc import Iterator

from formats.rows import (
    SNAPSHOT,
    UPDATE,
    BadLines,
    BookRow,
    Job,
    Kind,
    Portion,
    Sample,
    TradeRow,
    levels_text,
    portions_of_book,
    portions_of_trades,
)
from formats.tables import is_quotable, read_columns, to_ms, to_ns

_BOOK = {"exchange", "symbol", "timestamp", "local_timestamp", "is_snapshot", "side", "amount"}
_TRADES = {"exchange", "symbol", "timestamp", "local_timestamp", "id", "side", "amount"}
_DEPTH = re.compile(r"asks\[(\d+)\]\.price")
_BOOK_COLUMNS = (
    "local_timestamp", "timestamp", "is_snapshot", "symbol", "side", "price", "amount"
)  # fmt: skip
_PLACES = {"bid": 0, "ask": 1}
_IS_SNAPSHOT = {"true": True, "1": True, "false": False, "0": False}
MICROSECONDS = "what is finer than a millisecond of the exchange's time"


def recognise(sample: Sample) -> Kind | None:
    """Return the kind of a file of Tardis, None for any other."""
    columns = set(sample.columns)
    if columns >= _BOOK:
        return BOOKS
    if columns >= {"exchange", "symbol", "local_timestamp", "asks[0].price", "bids[0].price"}:
        return SNAPSHOTS
    return TRADES if columns >= _TRADES else None


# -- incremental_book_L2


def read_books(job: Job) -> Iterator[Portion]:
    """Read levels, those of one message as one row."""
    return portions_of_book(_book_rows(job))


class _Message:
    """The levels of one message, and whether it replaces the book."""

    def __init__(self) -> None:
        self.key: tuple[str | None, ...] = ()
        self.sides: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])

    def begin(self, key: tuple[str | None, ...]) -> None:
        self.key, self.sides = key, ([], [])

    def prices(self) -> set[tuple[int, str]]:
        return {(place, price) for place, side in enumerate(self.sides) for price, _ in side}


def _book_rows(job: Job) -> Iterator[BookRow]:
    message, snapshot, bad = _Message(), _SnapshotRun(job), BadLines(job)
    for line, fields in read_columns(job, _BOOK_COLUMNS):
        *head, side, price, size = fields
        key = tuple(head)
        if side not in _PLACES or not is_quotable(price, size) or not _is_key(key):
            bad.add(line)
            continue
        if key != message.key:
            if message.key:
                yield from _rows(job, message, snapshot, bad)
            message.begin(key)
        message.sides[_PLACES[side]].append((price or "", size or ""))
        job.check_depth(message.sides[_PLACES[side]])
    if message.key:
        yield from _rows(job, message, snapshot, bad)


def _is_key(key: tuple[str | None, ...]) -> bool:
    """Return whether a line says a time and whether it is of a snapshot."""
    return to_ms(key[1]) is not None and str(key[2]).lower() in _IS_SNAPSHOT


class _SnapshotRun:
    """Tell the first message of a snapshot from those that go on with it.

    A snapshot of Tardis may be several messages in a row. One that says again what the snapshot has
    said already begins another: so do the files of venues that send nothing but snapshots.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._said: dict[str | None, set[tuple[int, str]]] = {}

    def begins(self, message: _Message) -> bool:
        """Return whether a message replaces the book."""
        _, _, is_snapshot, symbol = message.key
        if not _IS_SNAPSHOT[str(is_snapshot).lower()]:
            self._said.pop(symbol, None)
            return False
        prices, said = message.prices(), self._said.get(symbol)
        if said is None or not said.isdisjoint(prices):
            self._said[symbol] = prices
            return True
        said |= prices
        self._job.check_depth(said)
        return False


def _rows(
    job: Job, message: _Message, snapshot: _SnapshotRun, bad: BadLines
) -> tuple[BookRow, ...]:
    """Return the row of a message, and what stands for lines that are none."""
    received, time, _, symbol = message.key
    action = SNAPSHOT if snapshot.begins(message) else UPDATE
    bids, asks = map(levels_text, message.sides)
    name = job.name_or(symbol)
    row = name, bids, asks, to_ms(time) or 0, action, None, None, to_ns(received)
    return row, *bad.rows_after(row)


# -- book_snapshot_5, book_snapshot_25


def read_snapshots(job: Job) -> Iterator[Portion]:
    """Read lines that are each the best levels of the book; a missing level is empty."""
    columns = Sample(b"", job.source.head().split(b"\n")[0].decode(errors="replace"), "").columns
    depth = sum(bool(_DEPTH.fullmatch(column)) for column in columns)
    job.notes.append(f"each row has the best {depth} levels a side: sums are of so many at most")
    return portions_of_book(_snapshot_rows(job, depth))


def _snapshot_rows(job: Job, depth: int) -> Iterator[BookRow]:
    last: BookRow | None = None
    wanted = ["symbol", "timestamp", "local_timestamp"]
    for side in ("bids", "asks"):
        for level in range(depth):
            wanted += [f"{side}[{level}].price", f"{side}[{level}].amount"]
    for line, (symbol, raw_time, received, *numbers) in read_columns(job, wanted):
        time = to_ms(raw_time)
        levels = [
            (price or "", size or "")
            for price, size in zip(numbers[::2], numbers[1::2], strict=True)
        ]
        if time is None or not is_quotable(*numbers):
            yield from job.bad_book(line, last)
            continue
        bids, asks = (
            levels_text([level for level in side if any(level)])
            for side in (levels[:depth], levels[depth:])
        )
        last = job.name_or(symbol), bids, asks, time, SNAPSHOT, None, None, to_ns(received)
        yield last


# -- trades


def read_trades(job: Job) -> Iterator[Portion]:
    """Read trades; a side may be `unknown`."""
    return portions_of_trades(_trades(job))


def _trades(job: Job) -> Iterator[TradeRow]:
    last: TradeRow | None = None
    wanted = ("symbol", "timestamp", "local_timestamp", "id", "side", "price", "amount")
    for line, fields in read_columns(job, wanted):
        symbol, raw_time, received, trade_id, side, price, size = fields
        time = to_ms(raw_time)
        if time is None or not price or not is_quotable(price, size):
            yield from job.bad_trade(line, last)
            continue
        name = job.name_or(symbol)
        last = name, trade_id or None, price, size, (side or "").lower(), time, to_ns(received)
        yield last


_ORDERS = "numbers of orders", "sequence ids", MICROSECONDS
BOOKS = Kind("tardis", "Tardis incremental_book_L2", read_books, _ORDERS)
SNAPSHOTS = Kind("tardis", "Tardis book_snapshot", read_snapshots, _ORDERS)
TRADES = Kind("tardis", "Tardis trades", read_trades, (MICROSECONDS,))
