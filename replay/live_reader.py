"""Read a recording that grows: its rows as they come, in the order of a plain replay."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import replace
from time import time

from db_interpreter import DBInterpreter
from orderflow.events import BookBatch, LostRows, Trade, time_of_row
from recordings.book_decoder import BookDecoder
from recordings.book_kind import RECOGNITION_ROWS, is_proven_snapshot, recognise_book_mode
from recordings.hold_back import HOLD_MS, HeldFile, HoldBack
from recordings.live_file import LiveFile, Page
from recordings.live_recording import LiveRecording
from recordings.live_table import LiveTable
from recordings.row_order import Row
from recordings.windows import NO_ROWS

END_SECONDS = 5.0
"""After a row from the end of the range on, so long nothing before it must come."""
QUIET_SECONDS = 60.0
"""A recording that ends before the range does is at its end when it is quiet for so long."""


class LiveReader(DBInterpreter):
    """Yield `(batch, trades)` of a recording in progress, as `DBInterpreter.batches` would.

    Book rows and trades are each in time order and do not wait for one another, since no bar
    depends on how they interleave. `newest_ms` is the time of the newest row committed.
    """

    def __init__(
        self, recording: LiveRecording, start_ms: int, end_ms: int, book_mode: str = "auto"
    ) -> None:
        self._setup([], [], start_ms, end_ms, book_mode)
        self._recording = recording
        self._book_order = self._held_books = HoldBack()
        self._trade_order = self._held_trades = HoldBack()
        self._held: dict[LiveFile, tuple[HeldFile, HeldFile]] = {}
        self._coming: list[LiveTable] = []
        self._reach_ms = -1
        self._decoder: BookDecoder | None = None
        self._undecoded: list[Row] = []
        self._useful_at = float("-inf")
        self._kinds: list[str] = []
        self._expected: list[LiveTable] = []
        self._has_found_more = self._seems_over = False

    @property
    def book_mode(self) -> str:
        """Return what rows are, as far as it is known by now."""
        if self._kinds:
            return self._kinds[0]
        return "incremental" if self._book_mode == "auto" else self._book_mode

    @property
    def late_advice(self) -> list[str]:
        """Return a line that says how to put right what came too late, if anything did."""
        late = self.counts.late_rows + self.counts.late_trades
        if not late:
            return []
        return [
            f"{late} rows and trades came too late to be put in their places and were left out; "
            "a replay of the finished recording, without --follow, sorts them in"
        ]

    def poll(self, now: float) -> Iterator[tuple[BookBatch, list[Trade]]]:
        """Yield what can be given out of all that is committed; `now` is in seconds, of any clock.

        Raise `RecordingError` for a recording that cannot be read further.
        """
        for rows, trades in self._released(now):
            yield from self._decoded(rows, trades)

    def _released(self, now: float) -> Iterator[tuple[list[Row], list[Row]]]:
        """Read what is committed, page by page; yield the book rows and trades to be given."""
        self._recording.scan()
        self._has_found_more = False
        while True:
            found = 0
            for file, page in self._recording.look():
                found += len(page.book) + len(page.trades)
                self._push(file, page, now)
            yield self._release(now)
            if not found or self._recording.is_dry:
                break
        for file in self._recording.finished_files():
            self._leave(file)

    def _release(self, now: float) -> tuple[list[Row], list[Row]]:
        return self._held_books.release(now), self._held_trades.release(now)

    def finish(self) -> Iterator[tuple[BookBatch, list[Trade]]]:
        """Yield all that is still held back, as at the end of the recording."""
        rows, trades = self._held_books.flush(), self._held_trades.flush()
        yield from self._decoded(rows, trades, is_last=True)

    def close(self) -> Iterator[tuple[BookBatch, list[Trade]]]:
        """Look at the files as a whole; yield what was lost unseen.

        Raise `RecordingError` for a damaged file.
        """
        missed, error = self._recording.close()
        if rows := missed.get("book"):
            self._lost.append(LostRows("late_rows", None, rows))
            self._count("late_rows", rows)
        if trades := missed.get("trades"):
            self._count("late_trades", trades)
            self.issues.note("late_trades", None, count=trades)
        yield from self._left_over()
        if error:
            raise error

    # -- when it is at its end

    def is_at_end(self, now: float) -> bool:
        """Return whether everything before the end of the range has been read, as far as it shows.

        It is when each kind of row has come from beyond the end; when one has, and for
        `END_SECONDS` none before it; or when the end has passed by the wall clock and the recording
        has been quiet for `QUIET_SECONDS`. One more look must find nothing new.
        """
        was_at_end, self._seems_over = self._seems_over, self._is_over(now)
        return was_at_end and self._seems_over

    def _is_over(self, now: float) -> bool:
        if not self._recording.is_dry or self._has_found_more:
            return False
        tables = [table for file in self._recording.files for table in file.tables]
        newest: dict[str, int] = {}
        for table in tables:
            if table.newest_ms is not None:
                newest[table.name] = max(newest.get(table.name, 0), table.newest_ms)
        if newest and min(newest.values()) >= self._end + HOLD_MS:
            return True
        quiet = self._recording.quiet_seconds > QUIET_SECONDS
        if any(ms >= self._end for ms in newest.values()):
            return quiet or now - self._useful_at > END_SECONDS
        return quiet and time() > self._end / 1000 + QUIET_SECONDS

    # -- from the files to the rows held back

    def _push(self, file: LiveFile, page: Page, now: float) -> None:
        if file not in self._held:
            self._held[file] = (
                self._held_books.open(file.book.first_ms),
                self._held_trades.open(file.trades.first_ms),
            )
        holds = self._held_books, self._held_trades
        parts = page.book, page.trades
        for table, hold, held, rows in zip(
            file.tables, holds, self._held[file], parts, strict=True
        ):
            if rows and table is file.book:
                self._expect(table)
            held.first_ms = table.first_ms
            held.has_more = table.exists and not table.is_dry
            held.capacity = table.capacity
            useful = [row for row in rows if row[0] < self._end]
            hold.push(held, useful)
            if useful:
                self._useful_at, self._has_found_more = now, True
            if len(useful) < len(rows):
                self._pass_by(table, hold, [row[0] for row in rows if row[0] >= self._end])

    def _pass_by(self, table: LiveTable, hold: HoldBack, times: list[int]) -> None:
        """Note rows from the end of the range on: they say that the end has come."""
        hold.pass_by(max(times))
        if table.name == "book" and table.first_ms < self._end:
            self.next_row_ms = min(self.next_row_ms or times[0], *times)

    def _expect(self, table: LiveTable) -> None:
        """Note a book table when its first row comes, with the group that it belongs to."""
        if table in self._expected:
            return
        self._reach_ms = max([self._reach_ms, *(known.last_ms for known in self._expected)])
        self._expected.append(table)
        if table.first_ms > self._reach_ms:
            self._coming.append(table)  # it stands apart: see `book_kind.standing_apart`

    def _leave(self, file: LiveFile) -> None:
        """Read a file no further, and forget its tables: days may follow."""
        if any(held.rows for held in self._held[file]):
            return
        self._reach_ms = max(self._reach_ms, file.book.last_ms)
        self._expected = [table for table in self._expected if table is not file.book]
        both = self._held_books, self._held_trades
        for hold, held in zip(both, self._held.pop(file), strict=True):
            hold.close(held)
        self._recording.leave(file)

    # -- from the rows to the events

    def _decoded(
        self, rows: list[Row], trades: list[Row], *, is_last: bool = False
    ) -> Iterator[tuple[BookBatch, list[Trade]]]:
        self._books = [file.book for file in self._held]
        self._trades = [file.trades for file in self._held]
        for batch in self._decoded_books(rows, is_last=is_last):
            yield batch, []
        if trades:
            for decoded in self._trade_decoder.decode([trades]):
                yield NO_ROWS, decoded
        self._note_trades()
        if is_last:
            yield from self._left_over()

    def _left_over(self) -> Iterator[tuple[BookBatch, list[Trade]]]:
        self._take_lost_rows()
        if self._lost:
            yield replace(NO_ROWS, lost=[(0, rows) for rows in self._lost]), []
            self._lost = []

    def _decoded_books(self, rows: list[Row], *, is_last: bool) -> Iterator[BookBatch]:
        rows, self._undecoded = self._undecoded + rows if self._undecoded else rows, []
        while rows:
            cut = self._cut(rows, 0)
            if self._decoder and cut:
                yield self._batch_of(self._decoder, rows[:cut])
                rows = rows[cut:]
                continue
            if not self._begin_group(rows, is_last=is_last):
                self._undecoded = rows
                return

    def _cut(self, rows: list[Row], place: int) -> int:
        """Return the index of the first row of the group that is `place` groups further on."""
        if len(self._coming) <= place:
            return len(rows)
        return bisect_left(rows, self._coming[place].first_ms, key=time_of_row)

    def _begin_group(self, rows: list[Row], *, is_last: bool) -> bool:
        """Make the decoder of the group that `rows` begin; return False where more must be seen."""
        until = self._cut(rows, 1)
        if not until:  # none of its rows could be used
            del self._coming[:1]
            return True
        first = rows[: min(until, RECOGNITION_ROWS)]
        says_so = len(first[0]) > 4 and first[0][4] is not None
        if not (says_so or is_last or len(first) == RECOGNITION_ROWS or until < len(rows)):
            return False
        mode = recognise_book_mode(first) if self._book_mode == "auto" else self._book_mode
        self._kinds = self._kinds or [mode]
        self._decoder = BookDecoder(mode, begins_with_snapshot=is_proven_snapshot(first))
        del self._coming[:1]
        return True

    def _batch_of(self, decoder: BookDecoder, rows: list[Row]) -> BookBatch:
        self._take_lost_rows()
        batch = decoder.decode(rows)
        return replace(batch, lost=self._lost_up_to(batch)) if self._lost else batch
