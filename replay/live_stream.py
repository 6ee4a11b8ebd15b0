"""Read a recording that grows as one stream of windows: what `DBInterpreter.stream` gives of it."""

from bisect import bisect_left
from collections.abc import Iterator

from orderflow.events import BookBatch, OrderbookUpdate, Trade, time_of_trade
from recordings.hold_back import HeldTogether
from recordings.live_recording import LiveRecording
from recordings.row_order import Row
from recordings.windows import TradeCursor, book_windows
from replay.live_reader import LiveReader

Window = tuple[OrderbookUpdate, list[Trade]]


class LiveStream(LiveReader):
    """Yield book rows and trades of a recording in progress in one order of time, as they come.

    Rows are held back as in `LiveReader`, but both kinds up to the same time: what `windows` has
    yielded lies before all that comes later, and is cut between two milliseconds. Where one kind is
    quiet, the other waits for it, for `GRACE_SECONDS` at most. A row of either that comes later
    than that is left out and counted.
    """

    def __init__(
        self, recording: LiveRecording, start_ms: int, end_ms: int, book_mode: str = "auto"
    ) -> None:
        super().__init__(recording, start_ms, end_ms, book_mode)
        self._both = HeldTogether(self._held_books, self._held_trades)
        self._waiting: list[Trade] = []

    def windows(self, now: float) -> Iterator[Window]:
        """Yield what can be given out of all that is committed; `now` is in seconds, of any clock.

        Raise `RecordingError` for a recording that cannot be read further.
        """
        for rows, trades in self._released(now):
            yield from self._joined(rows, trades)

    def rest(self, before_ms: int) -> Iterator[Window]:
        """Yield all that is still held back and lies before a time: nothing more is to come."""
        rows, trades = self._both.release_before(before_ms)
        yield from self._joined(rows, trades, is_last=True)

    def _release(self, now: float) -> tuple[list[Row], list[Row]]:
        rows, trades = self._both.release(now)
        return rows, trades

    def _joined(
        self, rows: list[Row], trades: list[Row], *, is_last: bool = False
    ) -> Iterator[Window]:
        batches = list[BookBatch]()
        for batch, some in self._decoded(rows, trades, is_last=is_last):
            batches.append(batch)
            self._waiting += some
        # Rows wait while it is not known yet what they are: their trades wait with them.
        cut = len(self._waiting)
        if self._undecoded:
            cut = bisect_left(self._waiting, self._undecoded[0][0], key=time_of_trade)
        ready, self._waiting = self._waiting[:cut], self._waiting[cut:]
        return book_windows(batches, TradeCursor([ready]))
