"""Raw lines of a collector, such as hftbacktest's: `local_ns {message of Binance}`."""

import re
from collections import deque
from collections.abc import Iterator
from typing import Any

import orjson

from formats.rows import (
    MOST_ID,
    PORTION,
    PORTION_TEXT,
    SNAPSHOT,
    UPDATE,
    BookRow,
    Job,
    Kind,
    Portion,
    Sample,
    TradeRow,
)
from formats.sources import SourceError
from formats.tables import to_ms

REMEMBERED, REMEMBERED_TEXT = 2000, 32_000_000
"""Updates, and characters in them, that came before a snapshot and go on beyond it, at most."""
_LINE = re.compile(r"\d{19} \{")
_TAKER = {True: "sell", False: "buy"}
"""The taker's side, by whether the buyer is the maker."""
_SYMBOL = re.compile(rb'"s": ?"([A-Za-z0-9_-]+)"')


def recognise(sample: Sample) -> Kind | None:
    """Return the kind of a file of raw lines, None for any other."""
    return LINES if _LINE.match(sample.line) else None


def read_lines(job: Job) -> Iterator[Portion]:
    """Read updates of the book, snapshots and trades; other streams are counted."""
    messages = _Messages(job)
    for line in job.source.lines():
        job.check_arrays(line)
        messages.take(line)
        if messages.is_full:
            yield messages.taken()
    yield messages.taken()
    if not messages.has_snapshot:
        job.notes.append("no snapshot is among the lines: no book in it is proven")


class _Messages:
    """Make rows of Binance's messages, by its rules for keeping a book."""

    def __init__(self, job: Job) -> None:
        self.book: list[BookRow] = []
        self.trades: list[TradeRow] = []
        self.has_snapshot = False
        self._job = job
        named = _SYMBOL.search(job.source.head())
        self._symbol = named[1].decode() if named else None
        self._recent: deque[tuple[int, int, BookRow]] = deque()
        self._recent_text = self._text = 0
        self._last_row: BookRow | None = None
        self._snapshot_id: int | None = None
        self._kind_of_trades = ""

    def taken(self) -> Portion:
        """Return what there is, and forget it."""
        portion = Portion(self.book, self.trades)
        self.book, self.trades, self._text = [], [], 0
        return portion

    @property
    def is_full(self) -> bool:
        """Return whether there is enough to be written."""
        return len(self.book) + len(self.trades) >= PORTION or self._text >= PORTION_TEXT

    def take(self, line: bytes) -> None:
        """Read one line."""
        raw_ns, _, text = line.partition(b" ")
        try:
            if not raw_ns.isdigit() or len(raw_ns) != 19:
                raise ValueError(raw_ns)
            found = orjson.loads(text)
            data = found.get("data", found)
            self._read(data, _integer(raw_ns))
        except (ValueError, KeyError, TypeError, AttributeError):
            self.book += self._job.bad_book(line, self._last_row)

    def _read(self, data: dict[str, Any], received: int) -> None:
        kind = data.get("e")
        self._check_symbol(data.get("s"))
        if kind == "depthUpdate":
            self._update(data, received)
        elif "lastUpdateId" in data:
            self._snapshot(data, received)
        elif kind in ("trade", "aggTrade"):
            self._trade(kind, data, received)
        else:
            self._job.counts["messages_left_out"] += 1

    def _check_symbol(self, symbol: str | None) -> None:
        """Raise `SourceError` for a second instrument: a snapshot does not say of which it is."""
        self._symbol = self._symbol or symbol
        if symbol and symbol != self._symbol:
            path = self._job.source.path
            msg = f"{path}: lines of {self._symbol} and of {symbol}; import a file of each"
            raise SourceError(msg, path)

    def _update(self, data: dict[str, Any], received: int) -> None:
        first, last = _integer(data["U"]), _integer(data["u"])
        if self._snapshot_id is not None and last <= self._snapshot_id:
            self._job.counts["updates_before_the_snapshot"] += 1
            return
        name = self._job.name_or(data.get("s") or self._symbol)
        time = to_ms(str(data.get("T") or data["E"]))
        bids, asks = _text(data["b"]), _text(data["a"])
        if time is None:
            raise ValueError(data["E"])
        before = _integer(data["pu"]) if "pu" in data else first - 1
        row: BookRow = (name, bids, asks, time, UPDATE, last, before, received)
        self._remember(first, last, row)
        self._add(self._joined(first, row))

    def _remember(self, first: int, last: int, row: BookRow) -> None:
        """Keep an update, and let go of the oldest where there are too many."""
        self._recent.append((first, last, row))
        self._recent_text += _length(row)
        while len(self._recent) > REMEMBERED or self._recent_text > REMEMBERED_TEXT:
            self._recent_text -= _length(self._recent.popleft()[2])

    def _joined(self, first: int, row: BookRow) -> BookRow:
        """Return an update, said to follow the snapshot where it is the first to go beyond it."""
        if self._snapshot_id is None:
            return row
        snapshot_id, self._snapshot_id = self._snapshot_id, None
        if first <= snapshot_id + 1:
            return (*row[:6], snapshot_id, row[7])
        return row

    def _snapshot(self, data: dict[str, Any], received: int) -> None:
        last = _integer(data["lastUpdateId"])
        name = self._job.name_or(self._symbol)
        raw_time = data.get("T") or data.get("E")
        time = to_ms(str(raw_time)) if raw_time else received // 1_000_000
        bids, asks = _text(data["bids"]), _text(data["asks"])
        if time is None:
            raise ValueError(raw_time)
        if self._last_row is not None and not raw_time:
            time = self._last_row[3]  # it is of a moment between the updates around it
        self.has_snapshot = True
        self._snapshot_id = last
        self._add((name, bids, asks, time, SNAPSHOT, last, -1, received))
        # What came before the snapshot and goes beyond it is not in it.
        for first, end, row in self._recent:
            if end > last:
                self._add(self._joined(first, (*row[:3], max(time, row[3]), *row[4:])))
        self._recent.clear()
        self._recent_text = 0

    def _add(self, row: BookRow) -> None:
        self._last_row = row
        self._text += _length(row)
        self.book.append(row)

    def _trade(self, kind: str, data: dict[str, Any], received: int) -> None:
        self._kind_of_trades = self._kind_of_trades or kind
        if kind != self._kind_of_trades:  # the same trades once more
            self._job.counts["messages_left_out"] += 1
            return
        time = to_ms(str(data["T"]))
        price, size = data["p"], data["q"]
        if time is None or not isinstance(price, str) or not isinstance(size, str):
            raise ValueError(data["T"])
        side = _TAKER[data["m"]]
        name = self._job.name_or(data.get("s") or self._symbol)
        trade_id = str(data["t" if kind == "trade" else "a"])
        self.trades.append((name, trade_id, price, size, side, time, received))


def _length(row: BookRow) -> int:
    return len(row[1]) + len(row[2])


def _integer(raw: Any) -> int:
    """Return an integer that a recording holds; raise `ValueError` for any other."""
    found = int(raw)
    if not -1 <= found <= MOST_ID:
        raise ValueError(raw)
    return found


def _text(levels: list[list[str]]) -> str:
    if not all(isinstance(field, str) for level in levels for field in level):
        raise ValueError(levels)
    return orjson.dumps(levels).decode()


LINES = Kind(
    "collector", "raw lines of a collector, Binance", read_lines, ("numbers of orders", "quotes")
)
