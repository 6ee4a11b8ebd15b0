"""A market taken event by event, or in longer pieces where nothing depends on each event."""

from bisect import bisect_left
from collections.abc import Sequence

from orderflow.events import BookBatch, OrderbookUpdate, Trade, time_of_row, time_of_trade
from trading.messages import END_MS
from trading.stream import LiveStream, as_batch, update_at

BEFORE_ALL = -1
"""The time of what was lost with no row after it in its batch: it happens before what follows."""


class MarketFeed:
    """The rows and trades of a stream in their order: by time, at one time rows first."""

    def __init__(self, stream: LiveStream) -> None:
        self._stream = iter(stream)
        self._batch = BookBatch([], [])
        self._trades: Sequence[Trade] = ()
        self._row = self._trade = 0
        self._has_lost = False

    def next_ms(self) -> int | None:
        """Return the time of the next event, `END_MS` after the last; None while it isn't known."""
        while True:
            if self._has_lost:
                return BEFORE_ALL
            rows, trades = self._batch.rows, self._trades
            row_ms = rows[self._row][0] if self._row < len(rows) else END_MS
            trade_ms = trades[self._trade][5] if self._trade < len(trades) else END_MS
            if row_ms < END_MS or trade_ms < END_MS:
                return min(row_ms, trade_ms)
            found = next(self._stream, (None, ()))
            if found is None:
                return None
            if found[0] is None:
                return END_MS
            self._batch, self._trades = as_batch(found[0]), found[1]
            self._row = self._trade = 0
            self._has_lost = bool(self._batch.lost) and not len(self._batch)

    def take(self) -> OrderbookUpdate | Trade:
        """Remove and return the next event; call it after `next_ms`, which says that there is one.

        An update without an id is no row, and only tells what was lost.
        """
        batch, trades = self._batch, self._trades
        if self._has_lost:
            self._has_lost = False
            return OrderbookUpdate(None, None, 0, None, lost=tuple(lost for _, lost in batch.lost))
        has_trade, has_row = self._trade < len(trades), self._row < len(batch)
        if has_trade and not (has_row and batch.rows[self._row][0] <= trades[self._trade][5]):
            self._trade += 1
            return trades[self._trade - 1]
        self._row += 1
        return update_at(batch, self._row - 1)

    def take_before(self, ms: int) -> tuple[BookBatch, Sequence[Trade]]:
        """Remove and return rows and trades before `ms`, some of them at least; as `take`."""
        self._has_lost = False
        batch, trades, row, trade = self._batch, self._trades, self._row, self._trade
        self._row = bisect_left(batch.rows, ms, row, key=time_of_row)
        self._trade = bisect_left(trades, ms, trade, key=time_of_trade)
        return batch.part(row, self._row), trades[trade : self._trade]
