"""hftbacktest's npz: events of 64 bytes, times in ns, numbers as doubles."""

import ast
import re
import struct
from collections.abc import Iterator
from math import isfinite

from formats.rows import (
    PORTION,
    SNAPSHOT,
    UPDATE,
    BookRow,
    Job,
    Kind,
    Portion,
    Sample,
    TradeRow,
    levels_text,
)
from formats.sources import CutError, SourceError

MAGIC = b"\x93NUMPY"
EVENT = struct.Struct("<QqqddQqd")
FIELDS = ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval")
TYPES = ("<u8", "<i8", "<i8", "<f8", "<f8", "<u8", "<i8", "<f8")

DEPTH, TRADE, CLEAR, SNAPSHOT_LEVEL, BEST = 1, 2, 3, 4, 5
AT_EXCHANGE, AT_LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
_BIDS, _ASKS = 0, 1
_NAME = re.compile(r"([A-Za-z0-9.-]+?)[_-]\d{8}")


def recognise(sample: Sample) -> Kind | None:
    """Return the kind of an array that numpy has written, None for any other file."""
    return EVENTS if sample.head.startswith(MAGIC) else None


def read_events(job: Job) -> Iterator[Portion]:
    """Read events; those of one time at the exchange and one here are one row of the book."""
    head = _read_exactly(job, len(MAGIC) + 2)
    size = 2 if head[len(MAGIC)] == 1 else 4
    length = int.from_bytes(_read_exactly(job, size), "little")
    count = _check_header(job, _read_exactly(job, min(length, 1 << 16)))
    named = _NAME.match(job.source.path.name)
    name = job.name_or(named[1] if named else None)
    wanted = AT_EXCHANGE if _has_exchange_events(job) else AT_LOCAL
    messages = _Messages(job, name)
    for events in _events(job, count):
        for event in events:
            if event[0] & wanted:
                messages.take(event)
            elif not event[0] & (AT_EXCHANGE | AT_LOCAL):
                job.counts["events_of_neither_side_left_out"] += 1
        if len(messages.book) + len(messages.trades) >= PORTION:
            yield messages.taken()
    messages.end()
    yield messages.taken()


def _read_exactly(job: Job, size: int) -> bytes:
    found = b""
    while len(found) < size and (more := job.source.read(size - len(found))):
        found += more
    return found


def _check_header(job: Job, raw: bytes) -> int:
    """Return how many events an array has; raise `SourceError` where it is of something else."""
    try:
        header = ast.literal_eval(raw.decode("latin-1"))
        described = [(name, kind) for name, kind, *_ in header["descr"]]
        (count,) = header["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        described, count = [], 0
    if described != list(zip(FIELDS, TYPES, strict=True)):
        msg = (
            f"{job.source.path}: an array, but not of hftbacktest's events with the fields "
            f"{', '.join(FIELDS)}; versions before 2 are not read"
        )
        raise SourceError(msg, job.source.path)
    return int(count)


def _has_exchange_events(job: Job) -> bool:
    head = job.source.head()
    whole = head[: len(head) // EVENT.size * EVENT.size]
    return any(event[0] & AT_EXCHANGE for event in EVENT.iter_unpack(whole))


def _events(
    job: Job, count: int
) -> Iterator[Iterator[tuple[int, int, int, float, float, int, int, float]]]:
    """Yield the events, and note where there are not `count`, as the header says."""
    rest, found = b"", 0
    while block := job.source.read():
        found += len(block)
        block = rest + block
        end = len(block) // EVENT.size * EVENT.size
        rest = block[end:]
        yield EVENT.iter_unpack(memoryview(block)[:end])
    if found != count * EVENT.size and not job.source.failure:
        msg = (
            f"{job.source.path}: cut short or damaged ({found:,} bytes of events, and its header "
            f"says {count * EVENT.size:,}); download it again"
        )
        job.source.failure = CutError(msg, job.source.path)


class _Messages:
    """Make rows of events, and trades."""

    def __init__(self, job: Job, name: str) -> None:
        self.book: list[BookRow] = []
        self.trades: list[TradeRow] = []
        self._job, self._name = job, name
        self._times = (-1, -1)
        self._levels: tuple[list[tuple[str, str]], list[tuple[str, str]]] = ([], [])
        self._replaces = False
        self._known: tuple[set[float], set[float]] = (set(), set())

    def taken(self) -> Portion:
        """Return what there is, and forget it."""
        portion = Portion(self.book, self.trades)
        self.book, self.trades = [], []
        return portion

    def take(self, event: tuple[int, int, int, float, float, int, int, float]) -> None:
        flags, exchange_ns, local_ns, price, size, *_ = event
        kind = flags & 0xFF
        side = _BIDS if flags & BUY else _ASKS if flags & SELL else None
        if kind == TRADE:
            taker = None if side is None else ("buy", "sell")[side]
            time = exchange_ns // 1_000_000
            self.trades.append((self._name, None, repr(price), repr(size), taker, time, local_ns))
            return
        if kind == BEST:
            self._job.counts["best_quotes_left_out"] += 1
            return
        if (exchange_ns, local_ns) != self._times:
            self.end()
            self._times = exchange_ns, local_ns
        if kind == CLEAR:
            self._clear(side, price)
        elif kind in (DEPTH, SNAPSHOT_LEVEL):
            self._level(kind, side, price, size)
        else:
            raise self._refused(f"an event of kind {kind}, which is of single orders")

    def _clear(self, side: int | None, up_to: float) -> None:
        if side is None:
            self.end()
            self._replaces, self._known = True, (set(), set())
            return
        gone = [
            price
            for price in self._known[side]
            if not isfinite(up_to) or (price >= up_to if side == _BIDS else price <= up_to)
        ]
        self._known[side].difference_update(gone)
        self._levels[side].extend((repr(price), "0") for price in sorted(gone))

    def _level(self, kind: int, side: int | None, price: float, size: float) -> None:
        if side is None:
            what = "a level of a snapshot" if kind == SNAPSHOT_LEVEL else "a level"
            raise self._refused(
                f"{what} without a side, as hftbacktest 2.4.4 writes of Bybit's snapshots"
            )
        if size:
            self._known[side].add(price)
            self._job.check_book(len(self._known[side]))
        else:
            self._known[side].discard(price)
        self._levels[side].append((repr(price), repr(size)))
        self._job.check_depth(self._levels[side])

    def _refused(self, what: str) -> SourceError:
        path = self._job.source.path
        return SourceError(f"{path}: {what}; make it again from the exchange's own file", path)

    def end(self) -> None:
        """End the row of the events so far."""
        bids, asks = self._levels
        if not (bids or asks or self._replaces):
            return
        action = SNAPSHOT if self._replaces else UPDATE
        exchange_ns, local_ns = self._times
        sides = levels_text(bids), levels_text(asks)
        time = exchange_ns // 1_000_000
        self.book.append((self._name, *sides, time, action, None, None, local_ns))
        self._levels, self._replaces = ([], []), False


EVENTS = Kind(
    "hftbacktest",
    "hftbacktest npz",
    read_events,
    (
        "ids of trades",
        "numbers of orders",
        "sequence ids",
        "the text of numbers (they are doubles)",
        "which events were one message (those of the same times are one row)",
        "what is finer than a millisecond of the exchange's time",
    ),
)
