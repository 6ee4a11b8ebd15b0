"""Ticks from a recording: one for each book row and each trade, with the market right after it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf, isfinite
from typing import overload

from metrics.rolling_bars import CompensatedSum
from orderbook_manager import OrderbookManager
from orderflow.continuity import BookReliability
from orderflow.errors import NumbersError
from orderflow.events import BookBatch, OrderbookUpdate, Trade
from orderflow.issues import IssueLog
from trading.messages import TickEvent, TickKind
from trading.orders import Side

_Best = tuple[float | None, float | None, float | None, float | None]
_SIDES = {side.value: side for side in Side}


class TickMaker:
    """Turn the updates and trades of an interpreter's `stream()` into numbered ticks.

    OBI is over the best `depth` levels. Rows before `start_ms` build up the book and give no tick.
    `issues` has what was wrong with the book.
    """

    def __init__(
        self, run_id: str, instrument: str, *, depth: int = 50, start_ms: int | None = None
    ) -> None:
        self.issues = IssueLog()
        self.book = OrderbookManager(depth)
        self.number = 0
        self._run_id = run_id
        self._instrument = instrument
        self._start = -1 if start_ms is None else start_ms
        self._reliability = BookReliability(self.issues, self._start)
        self._cvd = CompensatedSum()
        self._best: _Best = (None, None, None, None)
        self._obi: float | None = None

    @overload
    def ticks(
        self,
        stream: Iterable[tuple[OrderbookUpdate, Sequence[Trade]]],
        idle: Callable[[], None] = ...,
    ) -> Iterator[TickEvent]: ...

    @overload
    def ticks(
        self,
        stream: Iterable[tuple[OrderbookUpdate, Sequence[Trade]] | None],
        idle: Callable[[], None] = ...,
    ) -> Iterator[TickEvent | None]: ...

    def ticks(
        self,
        stream: Iterable[tuple[OrderbookUpdate, Sequence[Trade]] | None],
        idle: Callable[[], None] = lambda: None,
    ) -> Iterator[TickEvent | None]:
        """Yield ticks by time, at equal times those of book rows first; `idle` is called often.

        None in the stream of a live market, where nothing is there now, is handed on.
        A row that cannot be read changes nothing and gives no tick. Raise `NumbersError` for
        trades whose sizes add up to more than a double can hold.
        """
        for event in stream:
            idle()
            if event is None:
                yield None
                continue
            update, trades = event
            if self._apply(update) and update.timestamp >= self._start:
                yield self._tick(TickKind.BOOK, update.timestamp)
            for _, _, price, size, side, timestamp in trades:
                taker = _SIDES.get(side or "")
                if taker:
                    self._cvd.add([size if taker is Side.BUY else -size])
                    self._check_cvd(timestamp)
                yield self._tick(TickKind.TRADE, timestamp, price, size, taker)

    def _check_cvd(self, timestamp: int) -> None:
        if not isfinite(self._cvd.value):
            msg = f"the sizes of trades up to {timestamp} add up to more than a double can hold"
            raise NumbersError(msg, [self._cvd.value])

    def _apply(self, update: OrderbookUpdate) -> bool:
        """Apply a book row to the book; return whether there was one and it could be read."""
        bids, asks, timestamp, _, _, snapshot, seq_id, prev_seq_id, lost = update
        lost_rows = [(0, rows) for rows in lost]
        if bids is None and asks is None:
            self._reliability.follow(BookBatch([], [], lost=lost_rows))
            return False
        known = seq_id is not None
        batch = BookBatch(
            [(timestamp, 0, bids, asks)],
            [snapshot],
            [seq_id] if known else None,
            [prev_seq_id] if known else None,
            lost_rows,
        )
        skipped = self.book.rows_skipped
        sums = self.book.update(bids, asks, snapshot)
        if self.book.rows_skipped > skipped:
            self._reliability.follow(batch, [0])
            self.issues.note("rows_skipped", timestamp)
            return False
        self._reliability.follow(batch)
        bid, ask = (side[0] if side else (None, None) for side in self.book.top_levels(1))
        self._best = bid[0], ask[0], bid[1], ask[1]
        total = sum(sums) if sums else inf
        self._obi = (sums[0] - sums[1]) / total if sums and total < inf else None
        return True

    def _tick(
        self,
        kind: TickKind,
        time_ms: int,
        price: float | None = None,
        size: float | None = None,
        side: Side | None = None,
    ) -> TickEvent:
        self.number += 1
        return TickEvent(
            self._run_id,
            self.number,
            self._instrument,
            kind,
            time_ms,
            price,
            size,
            side,
            *self._best,
            self._reliability.reliable,
            self._obi,
            self._cvd.value,
        )
