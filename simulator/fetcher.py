"""Fetch a recording into the store: its rows in order, each once, at the recorded pace or another.

A row is known by its place in the recording's order. The store says how many rows of a fetch it
has, so that a fetcher killed anywhere goes on where it ended.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from db_interpreter import DBInterpreter
from orderflow.continuity import BookReliability
from orderflow.errors import LevelFormatError, NothingToReplayError
from orderflow.events import BookBatch, LostRows, OrderbookUpdate, Trade
from orderflow.issues import IssueLog
from recordings.book_kind import begins_with_snapshot
from recordings.discovery import Recording
from replay.pacing import Pace
from simulator.level_text import level_text
from simulator.segments import StoreError
from simulator.storage import WAIT_SECONDS, StoreWriter
from simulator.stored_rows import (
    END_CONTENT,
    Fetch,
    book_content,
    lost_marks,
    parse_row,
    row_line,
    trade_content,
)

SUMMARY_SCHEMA = 1
FINISHED, STOPPED, FAILED = "finished", "stopped", "failed"
KNOWN_SIDES = frozenset({"buy", "sell"})


class Stopped(Exception):  # noqa: N818 (no error: the user's wish, carried out of the loop)
    """Carry the wish to stop out of the loop over the rows."""


class RecordingChangedError(StoreError):
    """Report that what the store has of a fetch, up to row `seq`, is not in the recording."""

    def __init__(self, path: Path, seq: int) -> None:
        super().__init__(
            f"{path}: row {seq} is not what the recording has there now, so that it can't be gone "
            "on with; name another directory with --store, or delete this one",
            path,
        )
        self.seq = seq


class TimesOverlapError(StoreError):
    """Report that `start_ms` lies before `last_ms`, the last time that is stored."""

    def __init__(self, path: Path, start_ms: int, last_ms: int) -> None:
        super().__init__(
            f"{path} has rows up to {last_ms} ms, and START is {start_ms} ms: times in a store "
            "only go on; name another directory with --store, delete this one, or shift with --now",
            path,
        )
        self.start_ms = start_ms
        self.last_ms = last_ms


class _Row(NamedTuple):
    ts: int
    content: bytes


class Fetcher:
    """One fetch of a recording into the store of `writer`, from where the store ends.

    `speed` is a multiple of the recorded pace, or None for as fast as possible. `stop()` may be
    called from a signal handler: the fetch then ends between two rows. `on_tick` is called once a
    row and while waiting, `notify` after each stored row: it must not block.
    """

    def __init__(
        self,
        recording: Recording,
        fetch: Fetch,
        writer: StoreWriter,
        speed: float | None,
        on_tick: Callable[["Fetcher"], None] = lambda _: None,
        notify: Callable[[], None] = lambda: None,
    ) -> None:
        self._recording = recording
        self._reader = DBInterpreter.of_tables(
            recording.books, recording.trades, fetch.start_ms, fetch.end_ms, recording.book_mode
        )
        self._fetch, self._writer, self._on_tick = fetch, writer, on_tick
        self._notify = notify
        self._pace = None if speed is None else Pace(speed, self._tick)
        self._issues = IssueLog()
        self._reliability = BookReliability(self._issues, fetch.start_ms)
        self._last_row_ms: int | None = None
        self._shift_ms = 0
        self._stop_asked = False
        self._began = time.monotonic()
        self.state = FAILED
        self.stored_before = 0
        self.first_seq = writer.last_seq + 1
        self.counts = {"book": 0, "trade": 0}
        self.reached_ms: int | None = None
        self._find_place()

    def stop(self) -> None:
        """Ask the fetch to end after the row in hand."""
        self._stop_asked = True

    def run(self) -> str:
        """Store what is not stored yet; return the state, finished or stopped.

        Raise `NothingToReplayError` when there is no row, the recording's error, after all that
        could be read is stored, when it cannot be read to its end.
        """
        try:
            if not self.is_whole:
                self._store_rows()
            self.state = FINISHED
        except Stopped:
            self.state = STOPPED
        return self.state

    def _store_rows(self) -> None:
        for row in self._unstored_rows():
            if self._pace and row.ts >= self._fetch.start_ms:
                self._pace.wait_for(row.ts)
            else:
                self._tick()
            self._append(row)
        if not self._begun:
            if not self.stored_before:
                msg = "no usable row or trade in the range; check START and END, they are in UTC"
                raise NothingToReplayError(msg)
            self._writer.go_on()
        self._writer.append(self._last_ts, END_CONTENT)
        self._notify()

    # -- where to go on

    def _find_place(self) -> None:
        """Learn from the store how much of this fetch it has."""
        self._begun = self.is_whole = False
        head, last_line = self._writer.head, self._writer.last_line
        last = parse_row(last_line) if last_line else None
        self._last_ts = last.ts if last else 0
        if head is not None and head.fetch == self._fetch:
            self.stored_before = self._writer.last_seq - head.fetch_seq + 1
            self._shift_ms = head.shift_ms
            self.is_whole = self.stored_before > 0 and END_CONTENT in last_line
        elif last and not self._fetch.now and self._fetch.start_ms <= last.ts:
            raise TimesOverlapError(self._writer.directory, self._fetch.start_ms, last.ts)

    def _unstored_rows(self) -> Iterator[_Row]:
        """Yield the rows after those that are stored; the last of these must be the same still."""
        writer, left = self._writer, self.stored_before
        for row in self._rows():
            if not left:
                yield row
                continue
            self.check_stop()
            left -= 1
            last = row_line(writer.last_seq, row.ts + self._shift_ms, row.content)
            if not left and last != writer.last_line:
                raise RecordingChangedError(writer.directory, writer.last_seq)
        if left:
            raise RecordingChangedError(writer.directory, writer.last_seq - left + 1)

    def _begin(self, ts: int) -> None:
        """Open the store for rows of this fetch, the first at `ts` ms as recorded."""
        if self._fetch.now:
            # A fetch faster than recorded runs ahead of the present; times in the store only go on.
            begin_ms = max(int(time.time() * 1000), self._last_ts)
            self._shift_ms = begin_ms - max(ts, self._recording.first_ms)
        books = self._reader.books
        snapshot = bool(books) and (
            self._reader.book_mode == "snapshot" or begins_with_snapshot(books[0])
        )
        self._writer.begin(self._fetch, snapshot=snapshot, shift_ms=self._shift_ms)
        self._begun = True

    def _append(self, row: _Row) -> None:
        if not self._begun:
            self._begin(row.ts)
        self._last_ts = row.ts + self._shift_ms
        self._writer.append(self._last_ts, row.content)
        self._notify()
        self.reached_ms = row.ts
        self.counts["book" if row.content.startswith(b'"kind":"book"') else "trade"] += 1

    def _tick(self) -> None:
        self.check_stop()
        self._on_tick(self)

    def check_stop(self) -> None:
        """Raise `Stopped` when the fetch has been asked to end."""
        if self._stop_asked:
            raise Stopped

    # -- rows

    def _rows(self) -> Iterator[_Row]:
        """Yield all rows of the recording in its order: a book row, then the trades up to the next.

        So at one time book rows come before trades, and of rows of one kind the one with the
        smaller id comes first. What was lost after the last book row comes last, at the time of
        the last of all rows.
        """
        last_ms = self._fetch.start_ms
        for update, trades in self._reader.stream():
            if update.bids is not None or update.asks is not None or update.id is not None:
                yield self._book_row(update)
                last_ms = update.timestamp
            elif update.lost:
                last_ms = max(update.timestamp, last_ms)
                yield self._book_row(update._replace(snapshot=False, timestamp=last_ms))
            for trade in trades:
                yield self._trade_row(trade)
                last_ms = trade[5]

    def _book_row(self, update: OrderbookUpdate) -> _Row:
        ts, lost = update.timestamp, update.lost
        rejected, unreadable = 0, False
        try:
            bids, bids_rejected = level_text(update.bids)
            asks, asks_rejected = level_text(update.asks)
            rejected = bids_rejected + asks_rejected
        except LevelFormatError:
            # Nothing of it can be used, but its place and its ids stay known.
            bids = asks = b"[]"
            unreadable = True
            update = update._replace(snapshot=False)
        self._follow(update)
        if unreadable:
            self._reliability.follow(BookBatch([], [], lost=[(0, LostRows("rows_skipped", ts))]))
            lost = (*lost, LostRows("rows_skipped", ts))
        if rejected and ts >= self._fetch.start_ms:
            self._issues.note("levels_rejected", ts, count=rejected)
        content = book_content(
            bids,
            asks,
            snapshot=update.snapshot,
            reliable=self._reliability.reliable,
            ids=(update.seq_id, update.prev_seq_id),
            lost=lost_marks(lost, ts),
        )
        self._last_row_ms = ts
        return _Row(ts, content)

    def _follow(self, update: OrderbookUpdate) -> None:
        has_id = update.seq_id is not None
        batch = BookBatch(
            [(update.timestamp, 0, None, None)],
            [update.snapshot],
            [update.seq_id] if has_id else None,
            [update.prev_seq_id] if has_id else None,
            [(0, rows) for rows in update.lost],
        )
        self._reliability.follow(batch)

    def _trade_row(self, trade: Trade) -> _Row:
        if trade[4] not in KNOWN_SIDES:
            self._issues.note("unknown_sides", trade[5])
        return _Row(trade[5], trade_content(trade))

    # -- what was done

    @property
    def issues(self) -> IssueLog:
        """Return the data issues met in all rows read so far, those stored before included.

        The book itself is not built: what only it would show, such as a crossed book, is not here.
        """
        issues = IssueLog()
        issues.add(self._issues)
        issues.add(self._reader.issues)
        self._reliability.note_open(issues, self._last_row_ms)
        return issues

    def summary(self) -> dict[str, Any]:
        """Say what was stored and which data issues there were; times in ms, UTC."""
        seconds = time.monotonic() - self._began
        stored = sum(self.counts.values())
        return {
            "schema": SUMMARY_SCHEMA,
            "instrument": self._fetch.instrument,
            "store": str(self._writer.directory),
            "state": self.state,
            "book_rows": self.counts["book"],
            "trades": self.counts["trade"],
            "stored_before": self.stored_before,
            "already_whole": self.is_whole,
            "first_seq": self.first_seq,
            "last_seq": self._writer.last_seq,
            "event_time": self.reached_ms,
            "shift_ms": self._shift_ms,
            "torn_bytes": self._writer.torn_bytes,
            "seconds": seconds,
            "rows_per_second": stored / seconds if seconds > 0 else 0.0,
            "counts": self.issues.counts(),
        }


class DiskWait:
    """Wait out a full disk for the writer: said once each time, and ended by `check`."""

    def __init__(self, say: Callable[[str], None], directory: Path) -> None:
        self._say, self._directory = say, directory
        self._until = 0.0
        self.check: Callable[[], None] = lambda: None

    def __call__(self, error: OSError) -> None:
        """Say that the disk is full, unless it has just been said, and wait a little."""
        self.check()
        now = time.monotonic()
        if now > self._until:
            self._say(
                f"the disk of {self._directory} is full ({error.strerror}); waiting for room, "
                "nothing is lost"
            )
        time.sleep(WAIT_SECONDS)
        self._until = time.monotonic() + 2 * WAIT_SECONDS
