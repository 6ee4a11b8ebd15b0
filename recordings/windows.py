"""Join book rows with their trades: window by window, or in long lists."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from math import inf

from orderflow.events import (
    BookBatch,
    LostRows,
    OrderbookUpdate,
    Trade,
    time_of_trade,
)
from orderflow.parsed_rows import first_from
from recordings.row_order import id_of

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
    books: Iterable[BookBatch], trades: TradeCursor
) -> Iterator[tuple[OrderbookUpdate, list[Trade]]]:
    """Join recorded book rows with their trades, one by one.

    The window of a row reaches to the next row's time; of rows with one time the last has the
    trades. Trades before the first row come first, in a window without levels, and so does what
    is more than `WINDOW_TRADES` in a window, after it. What was lost after the last row comes last,
    in a window without levels too.
    """
    pending: OrderbookUpdate | None = None
    lost: list[LostRows] = []
    for batch in books:
        for update in _updates_of(batch, lost):
            now = update.timestamp
            if pending is not None:
                window = trades.take_before(now) if trades.next_ms < now else []
                yield pending._replace(end_timestamp=now), window
            if trades.next_ms < now:
                yield from _bare_windows(trades, now)
            pending = update
        lost += [rows for index, rows in batch.lost if index == len(batch)]
    if pending is not None:
        yield pending, trades.take_before(inf)
    yield from _bare_windows(trades, None)
    if lost:
        last = pending.timestamp if pending is not None else 0
        yield OrderbookUpdate(None, None, last, None, lost=tuple(lost)), []


def _updates_of(batch: BookBatch, lost: list[LostRows]) -> Iterator[OrderbookUpdate]:
    """Make the updates of a batch, not yet with their ends; the first takes all of `lost`."""
    waiting = list(batch.lost)
    for index, (timestamp, order, bids, asks) in enumerate(batch.rows):
        while waiting and waiting[0][0] <= index:
            lost.append(waiting.pop(0)[1])
        yield OrderbookUpdate(
            bids,
            asks,
            timestamp,
            None,
            id_of(order),
            batch.snapshots[index],
            batch.seq_ids[index] if batch.seq_ids is not None else None,
            batch.prev_seq_ids[index] if batch.prev_seq_ids is not None else None,
            tuple(lost),
        )
        lost.clear()


def _bare_windows(
    trades: TradeCursor, end: int | None
) -> Iterator[tuple[OrderbookUpdate, list[Trade]]]:
    while window := trades.take_before(inf if end is None else end):
        yield OrderbookUpdate(None, None, window[0][5], end), window


def book_batches(
    books: Iterable[BookBatch], trades: TradeCursor
) -> Iterator[tuple[BookBatch, list[Trade]]]:
    """Join batches of book rows with the trades before the last of them, and so on in time order.

    Either may be empty; where trades are many, rows are cut so as not to run ahead of them. What
    comes out is what `book_windows` gives, less the windows: what was lost after the last row comes
    last.
    """
    rowless: list[BookBatch] = []
    for whole in books:
        batch = whole
        if not len(batch):
            rowless.append(batch)
            continue
        now = batch.rows[-1][0]
        taken = trades.take_before(now)
        while trades.next_ms < now:
            cut = first_from(batch.rows, trades.next_ms)
            yield batch.part(0, cut), taken
            batch, taken = batch.part(cut, len(batch)), trades.take_before(now)
        yield batch, taken
    while left := trades.take_before(inf):
        yield NO_ROWS, left
    for batch in rowless:
        yield batch, []


NO_ROWS = BookBatch([], [])
