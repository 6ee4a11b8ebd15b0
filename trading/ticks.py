"""Ticks from a recording: one for each book row and each trade, with the market right after it."""

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import chain, starmap
from math import isfinite
from typing import TypeVar, overload

from metrics.rolling_bars import CompensatedSum
from orderbook_manager import OrderbookManager
from orderflow.continuity import BookReliability
from orderflow.errors import NumbersError, OrderflowError
from orderflow.events import BookBatch, Quote, Trade, time_of_row
from orderflow.issues import IssueLog
from trading.bars import BarChoice, BarMaker
from trading.messages import END_MS, Event, TickEvent, TickKind
from trading.orders import Side
from trading.stream import LiveStream, Stream, as_batch

_SIDES: dict[str | None, Side] = {side.value: side for side in Side}

Quotes = list[Quote | None]
Made = TypeVar("Made", bound=Event)
Quoted = tuple[BookBatch, Sequence[Trade], Quotes]


def _when_done(batch: BookBatch, trades: Sequence[Trade], quotes: Future[Quotes]) -> Quoted:
    return batch, trades, quotes.result()


class TickMaker:
    """Turn what an interpreter's `stream()` or `batches()` yields into numbered ticks.

    OBI is over the best `depth` levels. Rows before `start_ms` build up the book and give no tick.
    `issues` has what was wrong with the book. A maker that `reads_ahead` has read one more batch
    than it has made ticks of: meanwhile a thread of its own follows the book. That gains something
    with the compiled book, which releases the GIL, where there is a core for it. `bars` are put
    between the ticks.
    """

    def __init__(
        self,
        run_id: str,
        instrument: str,
        *,
        depth: int = 50,
        start_ms: int | None = None,
        reads_ahead: bool = False,
        bars: BarChoice | None = None,
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
        self._reads_ahead = reads_ahead and self.book.engine == "compiled"
        self._bars = BarMaker(bars, run_id, instrument, depth, start_ms) if bars else None

    @overload
    def ticks(
        self, stream: Stream, idle: Callable[[], None] = ...
    ) -> Generator[TickEvent, None, None]: ...

    @overload
    def ticks(
        self, stream: LiveStream, idle: Callable[[], None] = ...
    ) -> Generator[TickEvent | None, None, None]: ...

    def ticks(
        self, stream: LiveStream, idle: Callable[[], None] = lambda: None
    ) -> Generator[TickEvent | None, None, None]:
        """Yield ticks by time, at equal times those of book rows first; `idle` is called often.

        None in the stream of a live market, where nothing is there now, is handed on.
        A row that cannot be read changes nothing and gives no tick. Raise `NumbersError` for
        trades whose sizes add up to more than a double can hold. Who stops before the end closes
        the ticks, and with them the thread that reads ahead.
        """
        return self._made(stream, idle, self._joined)

    def events(
        self, stream: LiveStream, idle: Callable[[], None] = lambda: None
    ) -> Generator[Event | None, None, None]:
        """Yield what `ticks` does, with the `bars` between."""
        bars = self._bars
        return self._made(stream, idle, partial(self._mixed, bars) if bars else self._joined)

    def _made(
        self, stream: LiveStream, idle: Callable[[], None],
        make: Callable[[BookBatch, Sequence[Trade], Quotes], Iterator[Made]],
    ) -> Generator[Made | None, None, None]:  # fmt: skip
        quoted = self._quoted_ahead(stream) if self._reads_ahead else self._quoted(stream)
        with closing(quoted):
            for each in quoted:
                idle()
                if each is None:
                    yield None
                else:
                    yield from make(*each)

    def _mixed(
        self, bars: BarMaker, batch: BookBatch, trades: Sequence[Trade], quotes: Quotes
    ) -> Iterator[Event]:
        return bars.between(batch, trades, self._joined(batch, trades, quotes))

    def _quoted(self, stream: LiveStream) -> Generator[Quoted | None, None, None]:
        """Yield rows and trades with the quotes after each row."""
        for event in stream:
            if event is None:
                yield None
                continue
            batch = as_batch(event[0])
            yield batch, event[1], self.book.quote_rows(batch.rows, batch.snapshots)

    def _quoted_ahead(self, stream: LiveStream) -> Generator[Quoted, None, None]:
        """Yield the same, each batch when the one after it has been read, or could not be."""
        waiting = list[tuple[BookBatch, Sequence[Trade], Future[Quotes]]]()
        with ThreadPoolExecutor(1, "book") as pool:
            try:
                for rows, trades in filter(None, stream):
                    batch = as_batch(rows)
                    quotes = pool.submit(self.book.quote_rows, batch.rows, batch.snapshots)
                    waiting.append((batch, trades, quotes))
                    while len(waiting) > 1:
                        yield _when_done(*waiting.pop(0))
            except OrderflowError:
                yield from starmap(_when_done, waiting)
                raise
            yield from starmap(_when_done, waiting)

    def _joined(
        self, batch: BookBatch, trades: Sequence[Trade], quotes: Quotes
    ) -> Iterator[TickEvent]:
        """Yield the ticks of rows and trades, each with the market after it.

        One place makes all of them, and calls nothing else: a tick is made for every row.
        """
        skipped = [index for index, quote in enumerate(quotes) if quote is None]
        reliable = self._reliability.follow_each(batch, skipped)
        for index in skipped:
            self.issues.note("rows_skipped", batch.rows[index][0])
        cvds = [self._cvd.value, *self._add_to_cvd(trades)]
        run_id, instrument, number = self._run_id, self._instrument, self.number
        bid, ask, bid_size, ask_size, obi = self._quote
        # What was lost with no row after it was lost before these trades.
        is_reliable = self._is_reliable if batch.rows else self._reliability.reliable
        done, count = 0, len(trades)
        rows = zip(map(time_of_row, batch.rows), quotes, reliable, strict=True)
        for ms, quote, is_reliable_after in chain(rows, [(END_MS, None, is_reliable)]):
            while done < count and trades[done][5] < ms:
                _, _, price, size, side, at = trades[done]
                done += 1
                self.number = number = number + 1
                yield TickEvent(
                    run_id, number, instrument, TickKind.TRADE, at, price, size, _SIDES.get(side),
                    bid, ask, bid_size, ask_size, is_reliable, obi, cvds[done],
                )  # fmt: skip
            if ms < END_MS:
                is_reliable = is_reliable_after
            if quote is not None:
                bid, ask, bid_size, ask_size, obi = quote
                if ms >= self._start:
                    self.number = number = number + 1
                    yield TickEvent(
                        run_id, number, instrument, TickKind.BOOK, ms, None, None, None,
                        bid, ask, bid_size, ask_size, is_reliable, obi, cvds[done],
                    )  # fmt: skip
        self._quote = bid, ask, bid_size, ask_size, obi
        self._is_reliable = self._reliability.reliable

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
