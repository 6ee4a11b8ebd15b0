"""Join book rows with their trades: window by window, or in long lists."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from math import inf
from operator import itemgetter

from orderflow.compiled import fastest
from orderflow.events import BookRow, OrderbookUpdate, Trade, time_of_trade
from recordings.row_order import Row, id_of
from recordings.trade_decoder import lowered

WINDOW_TRADES = 65_536
"""About the most trades in one window; the rest follows in windows without levels."""


class TradeCursor:
    """Hand out trades up to a time; `next_ms` is the time of the next one, or infinity."""

    def __init__(self, batches: Iterable[list[Trade]]) -> None:
        self._batches = iter(batches)
        self._batch: list[Trade] = []
        self._index = 0
        self.next_ms: float = -inf
        self._look_ahead()

    def take_before(self, ms: float) -> list[Trade]:
        """Return the trades before `ms`; no more batches are joined past `WINDOW_TRADES`."""
        taken: list[Trade] = []
        while self.next_ms < ms and len(taken) < WINDOW_TRADES:
            batch, index = self._batch, self._index
            stop = len(batch)
            if batch[-1][5] >= ms:
                stop = bisect_left(batch, ms, index, key=time_of_trade)
            taken += batch[index:stop]
            self._index = stop
            self._look_ahead()
        return taken

    def _look_ahead(self) -> None:
        if self._index == len(self._batch):
            self._batch, self._index = next(self._batches, []), 0
        self.next_ms = self._batch[self._index][5] if self._batch else inf


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


_time_of_row = itemgetter(0)


def python_to_book_rows(rows: list[Row]) -> list[BookRow]:
    """Give recorded actions and ids the form that the core takes."""
    if set(map(len, rows)) <= {4}:
        return rows
    return [(*row[:4], *to_marks(row)) for row in rows]


def to_update(row: Row, end: int | None) -> OrderbookUpdate:
    """Make the update of a recorded book row `(ms, order, bids, asks)`, perhaps with marks."""
    return OrderbookUpdate(row[2], row[3], row[0], end, id_of(row[1]), *to_marks(row))


def to_marks(row: Row) -> tuple[str | None, int | None, int | None]:
    """Return the action, `seq_id` and `prev_seq_id` of a row, None where they are missing."""
    if len(row) == 4:
        return None, None, None
    action, seq_id, prev_seq_id = row[4:]
    return lowered(action), _integer(seq_id), _integer(prev_seq_id)


to_book_rows = fastest("to_book_rows", python_to_book_rows, to_marks=to_marks)


def _integer(raw: object) -> int | None:
    if isinstance(raw, bytes):
        try:
            return int(raw)
        except ValueError:
            return None
    return raw if isinstance(raw, int) else None
