"""The events of a replay, and how recorded rows become them: book windows with their trades."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from math import inf
from operator import itemgetter
from typing import NamedTuple

from compiled import fastest
from level_parser import RawSide, to_number
from row_order import ORDINARY_IDS, Row, id_of

WINDOW_TRADES = 65_536
"""About the most trades in one window; the rest follows in windows without levels."""
MAX_TRADE_SIZE = 1e290
"""Largest size of a trade: beyond, sums of sizes would no longer be finite."""

Trade = tuple[int, str | None, float, float, str | None, int]
"""`(id, trade_id, price, size, side, timestamp_ms)`; `side` is the taker's, buy or sell."""


BookRow = Row
"""`(timestamp_ms, order, bids, asks)`, sides as recorded, and, where any of them was recorded, also
`action, seq_id, prev_seq_id`: the action in lower case, the ids integers, None what is missing.
The rows of one list have the same fields."""

BookSample = tuple[int, float, float]
"""`(timestamp_ms, bid_sum, ask_sum)`: the sums of the best sizes after a book row."""


class OrderbookLevel(NamedTuple):
    """One price level: `price` in quote currency, absolute `size` as recorded, 0 to delete."""

    price: float
    size: float


class OrderbookUpdate(NamedTuple):
    """One book row and its window `[timestamp, end_timestamp)`, in ms since the epoch, UTC.

    `bids` and `asks` are as recorded (see `level_parser`), or sequences of `OrderbookLevel`; both
    are None in a window that belongs to no book row. `end_timestamp` is None in the last window,
    which is open to the end. `action` (lower case), `seq_id` and `prev_seq_id` are None where they
    were not recorded.
    """

    bids: RawSide
    asks: RawSide
    timestamp: int
    end_timestamp: int | None
    id: int | None = None
    action: str | None = None
    seq_id: int | None = None
    prev_seq_id: int | None = None


class PythonTradeCleaner:
    """Turn rows `(ms, order, trade_id, price, size, side)` into trades of `[start_ms, end_ms)`.

    `skipped` counts trades whose price is not finite and positive or whose size is not finite or
    negative; `repeated` those equal to an earlier one in `trade_id` and in all else, the timestamp
    included, so that remembering the trades of one millisecond is enough.
    """

    def __init__(self, start_ms: float, end_ms: float) -> None:
        self._start, self._end = start_ms, end_ms
        self._seen_ms = -1
        self._first: Row = ()
        self._seen: set[Row] | None = None
        self.skipped = 0
        self.repeated = 0

    def clean(self, batches: Iterable[list[Row]]) -> Iterator[list[Trade]]:
        """Yield the usable trades, in the order of the rows, in lists that are not empty."""
        for batch in batches:
            trades = self._trades(batch)
            if trades:
                yield trades
            if batch[-1][0] >= self._end:
                return

    def _trades(self, batch: list[Row]) -> list[Trade]:
        trades: list[Trade] = []
        seen_ms, first, seen = self._seen_ms, self._first, self._seen
        start, end = self._start, self._end
        for ms, order, raw_id, price, size, raw_side in batch:
            if not start <= ms < end:
                continue
            if type(price) is not float or type(size) is not float:
                price, size = to_float(price), to_float(size)  # noqa: PLW2901
            if not (0.0 < price < inf and 0.0 <= size <= MAX_TRADE_SIZE):
                self.skipped += 1
                continue
            side = _SIDES.get(raw_side) or _lowered(raw_side)
            trade_id = raw_id.decode(errors="replace") if type(raw_id) is bytes else _text(raw_id)
            key = (trade_id, price, size, side)
            if ms != seen_ms:
                seen_ms, first, seen = ms, key, None
            elif trade_id is not None:
                # Most milliseconds have one trade; a set is made for the second.
                seen = {first} if seen is None else seen
                if key in seen:
                    self.repeated += 1
                    continue
                seen.add(key)
            own_id = order if order < ORDINARY_IDS else id_of(order)
            trades.append((own_id, trade_id, price, size, side, ms))
        self._seen_ms, self._first, self._seen = seen_ms, first, seen
        return trades


TradeCleaner = fastest("TradeCleaner", PythonTradeCleaner)


class TradeCursor:
    """Hand out trades up to a time; `next_ms` is the time of the next one, or infinity."""

    def __init__(self, batches: Iterable[list[Trade]]) -> None:
        self._batches = iter(batches)
        self._batch: list[Trade] = []
        self._place = 0
        self.next_ms: float = -inf
        self._look_ahead()

    def take_before(self, ms: float) -> list[Trade]:
        """Return the trades before `ms`; no more batches are joined past `WINDOW_TRADES`."""
        taken: list[Trade] = []
        while self.next_ms < ms and len(taken) < WINDOW_TRADES:
            batch, place = self._batch, self._place
            stop = len(batch)
            if batch[-1][5] >= ms:
                stop = bisect_left(batch, ms, place, key=time_of_trade)
            taken += batch[place:stop]
            self._place = stop
            self._look_ahead()
        return taken

    def _look_ahead(self) -> None:
        if self._place == len(self._batch):
            self._batch, self._place = next(self._batches, []), 0
        self.next_ms = self._batch[self._place][5] if self._batch else inf


def book_windows(
    books: Iterable[list[Row]], trades: TradeCursor
) -> Iterator[tuple[OrderbookUpdate, list[Trade]]]:
    """Join recorded book rows with their trades, one by one.

    The window of a row reaches to the next row's time; of rows with one time the last has the
    trades. Trades before the first row come first, in a window without levels, and so does what
    is more than `WINDOW_TRADES` in a window, after it.
    """
    pending: Row | None = None
    for batch in books:
        for row in batch:
            now = row[0]
            if pending is not None:
                yield (
                    to_update(pending, now),
                    trades.take_before(now) if trades.next_ms < now else [],
                )
            if trades.next_ms < now:
                yield from _bare_windows(trades, now)
            pending = row
    if pending is not None:
        yield to_update(pending, None), trades.take_before(inf)
    yield from _bare_windows(trades, None)


def _bare_windows(
    trades: TradeCursor, end: int | None
) -> Iterator[tuple[OrderbookUpdate, list[Trade]]]:
    while window := trades.take_before(inf if end is None else end):
        yield OrderbookUpdate(None, None, window[0][5], end), window


def book_batches(
    books: Iterable[list[Row]], trades: TradeCursor
) -> Iterator[tuple[list[BookRow], list[Trade]]]:
    """Join lists of book rows with the trades before the last of them, and so on in time order.

    Either list may be empty; where trades are many, rows are cut so as not to run ahead of them.
    What comes out is what `book_windows` gives, less the windows.
    """
    for batch in books:
        rows = to_book_rows(batch)
        now = rows[-1][0]
        taken = trades.take_before(now)
        while trades.next_ms < now:
            cut = bisect_left(rows, trades.next_ms, key=_time_of_row)
            yield rows[:cut], taken
            rows, taken = rows[cut:], trades.take_before(now)
        yield rows, taken
    while left := trades.take_before(inf):
        yield [], left


_SIDES = {b"buy": "buy", b"sell": "sell"}
_time_of_row, time_of_trade = itemgetter(0), itemgetter(5)


def _lowered(raw: object) -> str | None:
    text = _text(raw)
    return None if text is None else text.strip().lower()


def _text(raw: object) -> str | None:
    if raw is None:
        return None
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)


def to_float(raw: object) -> float:
    """Return what a recorded price or size says, NaN if it is no number."""
    if isinstance(raw, float):
        return raw
    return to_number(raw.decode(errors="replace") if isinstance(raw, bytes) else raw)


def python_to_book_rows(rows: list[Row]) -> list[BookRow]:
    """Give recorded actions and ids the form that the core takes."""
    if set(map(len, rows)) <= {4}:
        return rows
    return [(*row[:4], *to_marks(row)) for row in rows]


to_book_rows = fastest("to_book_rows", python_to_book_rows)


def to_update(row: Row, end: int | None) -> OrderbookUpdate:
    """Make the update of a recorded book row `(ms, order, bids, asks)`, perhaps with marks."""
    return OrderbookUpdate(row[2], row[3], row[0], end, id_of(row[1]), *to_marks(row))


def to_marks(row: Row) -> tuple[str | None, int | None, int | None]:
    """Return the action, `seq_id` and `prev_seq_id` of a row, None where they are missing."""
    if len(row) == 4:
        return None, None, None
    action, seq_id, prev_seq_id = row[4:]
    return _lowered(action), _integer(seq_id), _integer(prev_seq_id)


def _integer(raw: object) -> int | None:
    if isinstance(raw, bytes):
        try:
            return int(raw)
        except ValueError:
            return None
    return raw if isinstance(raw, int) else None
