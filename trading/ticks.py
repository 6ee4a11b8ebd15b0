"""Ticks from a recording: one for each book row and each trade, with the market right after it."""

from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from typing import overload

from metrics.rolling_bars import CompensatedSum
from orderbook_manager import OrderbookManager
from orderflow.continuity import BookReliability
from orderflow.errors import NumbersError
from orderflow.events import BookBatch, Quote, Trade
from orderflow.issues import IssueLog
from trading.messages import TickEvent, TickKind
from trading.orders import Side
from trading.stream import LiveStream, Stream, as_batch

_SIDES: dict[str | None, Side] = {side.value: side for side in Side}


class TickMaker:
    """Turn what an interpreter's `stream()` or `batches()` yields into numbered ticks.

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
        self._is_reliable = False
        self._cvd = CompensatedSum()
        self._quote: Quote = (None, None, None, None, None)

    @overload
    def ticks(self, stream: Stream, idle: Callable[[], None] = ...) -> Iterator[TickEvent]: ...

    @overload
    def ticks(
        self, stream: LiveStream, idle: Callable[[], None] = ...
    ) -> Iterator[TickEvent | None]: ...

    def ticks(
        self, stream: LiveStream, idle: Callable[[], None] = lambda: None
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
            rows, trades = event
            yield from self._joined(as_batch(rows), trades)

    def _joined(self, batch: BookBatch, trades: Sequence[Trade]) -> Iterator[TickEvent]:
        quotes = self.book.quote_rows(batch.rows, batch.snapshots)
        skipped = [index for index, quote in enumerate(quotes) if quote is None]
        reliable = self._reliability.follow_each(batch, skipped)
        cvds = [self._cvd.value, *self._add_to_cvd(trades)]
        done, count = 0, len(trades)
        for (ms, *_), quote, is_reliable in zip(batch.rows, quotes, reliable, strict=True):
            while done < count and trades[done][5] < ms:
                done += 1
                yield self._trade_tick(trades[done - 1], cvds[done])
            self._is_reliable = is_reliable
            if quote is None:
                self.issues.note("rows_skipped", ms)
                continue
            self._quote = quote
            if ms >= self._start:
                yield self._tick(TickKind.BOOK, ms, None, None, None, cvds[done])
        self._is_reliable = self._reliability.reliable
        for trade, cvd in zip(trades[done:], cvds[done + 1 :], strict=True):
            yield self._trade_tick(trade, cvd)

    def _add_to_cvd(self, trades: Sequence[Trade]) -> list[float]:
        """Return the CVD after each trade."""
        deltas = [
            size if side == "buy" else -size if side == "sell" else 0.0
            for _, _, _, size, side, _ in trades
        ]
        sums: list[float] = self._cvd.add(deltas)
        if sums and not isfinite(sums[-1]):
            at = next(
                trade[5] for trade, cvd in zip(trades, sums, strict=True) if not isfinite(cvd)
            )
            msg = f"the sizes of trades up to {at} add up to more than a double can hold"
            raise NumbersError(msg, [sums[-1]])
        return sums

    def _trade_tick(self, trade: Trade, cvd: float) -> TickEvent:
        _, _, price, size, side, ms = trade
        return self._tick(TickKind.TRADE, ms, price, size, _SIDES.get(side), cvd)

    def _tick(
        self,
        kind: TickKind,
        time_ms: int,
        price: float | None,
        size: float | None,
        side: Side | None,
        cvd: float,
    ) -> TickEvent:
        self.number += 1
        bid, ask, bid_size, ask_size, obi = self._quote
        return TickEvent(
            self._run_id, self.number, self._instrument, kind, time_ms, price, size, side,
            bid, ask, bid_size, ask_size, self._is_reliable, obi, cvd,
        )  # fmt: skip
