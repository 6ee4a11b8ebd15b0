"""Moments of a recording as a straight replay has them, for holding others against."""

from collections.abc import Iterable, Iterator
from typing import Any

from db_interpreter import DBInterpreter
from ohlc_processor import OHLCProcessor
from orderflow.events import OrderbookUpdate, Trade
from recordings.discovery import Recording
from recordings.moments import BEST_ROWS, Moment

ALL = 10**9
LAST_TRADES = 100
Fields = dict[str, Any]


class Straight:
    """A straight replay that can be asked for what it has processed so far."""

    def __init__(self, recording: Recording, start_ms: int, *, uncross: bool = False) -> None:
        self._processor = OHLCProcessor(start_timestamp=start_ms, uncross=uncross)
        self._reader = DBInterpreter.of_tables(
            recording.books, recording.trades, start_ms, 10**14, recording.book_mode
        )
        self._row, self._row_ms = 0, None
        self._trades: list[Any] = []
        self._best: list[Any] = []

    def events(self) -> Iterator[tuple[int, OrderbookUpdate | Trade]]:
        """Yield each row or trade with its time before it is processed."""
        for update, trades in self._reader.stream():
            yield update.timestamp, update
            self._apply(update)
            for trade in trades:
                yield trade[5], trade
                self._processor.process_trades([trade])
                self._trades.append((trade[5], *trade[2:5]))

    def _apply(self, update: OrderbookUpdate) -> None:
        self._processor.update_orderbook(update)
        if update.bids is None and update.asks is None:
            return
        self._row += 1
        self._row_ms = update.timestamp  # type: ignore[assignment]
        bids, asks = self._processor.book.top_levels(1)
        sides = bids[0] if bids else [None, None], asks[0] if asks else [None, None]
        self._best.append((update.timestamp, self._row, *sides[0], *sides[1]))

    def now(self) -> Fields:
        """Return the fields of a moment but its time."""
        bids, asks = self._processor.book.top_levels(ALL)
        last = self._best[-BEST_ROWS:]
        best = [
            one
            for before, one in zip([None, *last], last, strict=False)
            if before is None or (before[2], before[4]) != (one[2], one[4])
        ]
        return {
            "row": self._row,
            "row_time": self._row_ms,
            "bids": bids,
            "asks": asks,
            "bid_levels": len(bids),
            "ask_levels": len(asks),
            "reliable": self._processor.reliable,
            "cvd": self._processor.cvd_cumulative,
            "trades": self._trades[-LAST_TRADES:],
            "best": best[-LAST_TRADES:],
        }


def straight_moments(
    recording: Recording, start_ms: int, times: Iterable[int], *, uncross: bool = False
) -> dict[int, Fields]:
    """Return what a straight replay has processed up to each time, both ends of it included."""
    straight = Straight(recording, start_ms, uncross=uncross)
    waiting = sorted(set(times))
    found: dict[int, Fields] = {}
    for ms, event in straight.events():
        while waiting and waiting[0] < ms:
            time = waiting.pop(0)
            found[time] = straight.now()
            if isinstance(event, OrderbookUpdate):
                # What was lost comes with the next row, and may lie at or before this time.
                lost = [one.timestamp for one in event.lost if one.timestamp is not None]
                found[time]["reliable"] &= not any(at <= time for at in lost)
    return found | dict.fromkeys(waiting, straight.now())


def fields_of(moment: Moment) -> Fields:
    """Return the fields of a moment but its time."""
    fields = moment.as_json()
    del fields["time"], fields["schema"]
    return fields
