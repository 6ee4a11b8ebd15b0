"""An instrument's files, one a UTC day: rolled, closed, and gone on with by the next recorder.

A disk that is full, or gone, is waited out: what could not be written is counted, and nothing that
was written is harmed.
"""

import fcntl
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from orderflow.errors import OutputError, RecordingError
from recordings.connection import connect, recording_error
from recordings.day_file import DayFile, day_path
from recordings.recorder_rows import BookRow, RecorderEvent, TradeRow, day_of, is_loss

LINGER_MS = 10_000
"""A day's file stays open for so long after the rows have gone on to another day."""
RETRY_MS = 10_000
"""A disk that takes nothing is tried again after so long."""
MOST_OPEN = 4
LAST_TRADES = 1000
MOST_PENDING = 1000

Item = BookRow | TradeRow | RecorderEvent
_FAILURES = (sqlite3.Error, OSError, OutputError)


class RecorderInUseError(OutputError):
    """Report that another recorder, of process `pid`, records the instrument at `path`."""

    def __init__(self, path: Path, instrument: str, pid: str) -> None:
        super().__init__(
            f"{instrument} is recorded into {path} by another recorder, pid {pid}; stop it, or "
            "name another folder with --data-dir",
            path,
        )
        self.instrument = instrument
        self.pid = pid


class DayFiles:
    """The files of one instrument in `directory`, written by this recorder alone.

    `say` takes a line for a person. `last_trades` are the ids of the trades that an earlier
    recorder wrote last. After `write` or `tick`, `recovered` is True when the disk takes rows again
    after it did not; the caller sets it back. `paths` are the files written to; `book_rows`,
    `trades` and `losses`, by the kind of event, count what was written. Times are ms of the
    recorder's clock. Raise `RecorderInUseError` when another recorder has the instrument, `OSError`
    when the directory can't be written.
    """

    def __init__(
        self,
        directory: Path,
        instrument: str,
        now: int,
        say: Callable[[str], None],
        retry_ms: int = RETRY_MS,
    ) -> None:
        self.instrument = instrument
        self.recovered = False
        self.paths: list[Path] = []
        self.book_rows = self.trades = 0
        self.losses: Counter[str] = Counter()
        self.last_trades: list[str | None] = []
        self._directory, self._say, self._retry_ms = directory, say, retry_ms
        self._open: dict[int, DayFile] = {}
        self._day: int | None = None
        self._rolled_at = now
        self._pending: list[RecorderEvent] = []
        self._failing: RecorderEvent | None = None
        self._interruption: RecorderEvent | None = None
        self._tried_at = now
        self._lock = _take_lock(directory, instrument)
        try:
            self._take_over(now)
        except BaseException:
            os.close(self._lock)
            raise

    @property
    def failure(self) -> str | None:
        """Return why the disk takes nothing now, None while it does."""
        return self._failing.detail if self._failing else None

    def _take_over(self, now: int) -> None:
        """Look at what an earlier recorder left: whether it was killed, and its last trades."""
        found = _files_of(self._directory, self.instrument)
        try:
            for path in found[:-1]:
                if path.with_name(f"{path.name}-wal").exists():
                    DayFile(path, self.instrument, now).close(now)
            for newest in found[-1:]:
                self.last_trades, was_killed = left_in(newest)
                if was_killed:
                    self._file(_day_in(newest), now)
                    self._say(f"{newest}: its recorder was killed; what came since then is lost")
        except (*_FAILURES, RecordingError) as error:
            self._say(f"{self.instrument}: {error}")

    # -- writing

    def write(self, items: Sequence[Item], now: int) -> None:
        """Write items, each into the file of its day, events into that of the row after them.

        What can't be written is counted, and becomes an event as soon as something can.
        """
        if self._failing and now - self._tried_at < self._retry_ms:
            self._count_lost(items)
            return
        self._tried_at = now
        groups = self._by_day(items, now)
        while groups:
            day = next(iter(groups))
            try:
                self._write_day(day, groups[day], now)
            except _FAILURES as error:
                self._fail(error, [item for group in groups.values() for item in group], now)
                return
            del groups[day]

    def _by_day(self, items: Sequence[Item], now: int) -> dict[int, list[Item]]:
        groups: dict[int, list[Item]] = {}
        events: list[RecorderEvent] = self._pending
        self._pending = []
        for item in items:
            if isinstance(item, RecorderEvent):
                events.append(item)
                continue
            groups.setdefault(item.day, []).append(item)
            if item.day != self._day:
                self._day, self._rolled_at = item.day, now
        if self._day is None:
            self._pending = events[-MOST_PENDING:]
            return groups
        if self._failing:
            groups.setdefault(self._day, [])
        for event in events:
            day = self._day if event.row_after is None else day_of(event.row_after)
            groups.setdefault(day, []).append(event)
        return groups

    def _write_day(self, day: int, items: list[Item], now: int) -> None:
        file = self._file(day, now)
        rows = [item for item in items if not isinstance(item, RecorderEvent)]
        first = next((row for row in rows if row.received is not None), None)
        over: list[Item] = []
        if self._failing:
            over.append(replace(self._failing, ended=now))
        if self._interruption and first is not None:
            ended = (first.received or 0) // 1_000_000
            over.append(replace(self._interruption, ended=ended, row_after=first.timestamp))
        file.write([*over, *items])
        self._count_written([*over, *items])
        if self._failing:
            self._say(f"{self.instrument}: written again, {self._failing.count:,} rows were lost")
            self._failing, self.recovered = None, True
        if first is not None:
            self._interruption = None

    def _count_written(self, items: Sequence[Item]) -> None:
        for item in items:
            if isinstance(item, RecorderEvent):
                self.losses.update({item.kind: item.count} if is_loss(item.kind) else {})
            elif isinstance(item, BookRow):
                self.book_rows += 1
            else:
                self.trades += 1

    def _file(self, day: int, now: int) -> DayFile:
        """Return the open file of a day."""
        if day not in self._open:
            while len(self._open) >= MOST_OPEN:
                self._close(min(self._open), now)
            path = day_path(self._directory, self.instrument, day)
            file = DayFile(path, self.instrument, now, ours=path in self.paths)
            self._open[day] = file
            self._interruption = self._interruption or file.interruption
            if path not in self.paths:
                self.paths.append(path)
        return self._open[day]

    def tick(self, now: int) -> None:
        """Close the files of days gone by, and try a disk again that took nothing."""
        if self._failing:
            self.write([], now)
        if self._day is not None and now - self._rolled_at >= LINGER_MS:
            for day in [day for day in self._open if day != self._day]:
                self._close(day, now)

    def close(self, now: int) -> None:
        """Close all files and let the next recorder have the instrument."""
        try:
            self._tried_at = now - self._retry_ms
            if self._interruption:
                self._pending.append(replace(self._interruption, ended=now))
            if self._pending and self._day is None:
                self._day = max(self._open, default=day_of(now))
            self.write([], now)
            if self._failing:
                self._count_written([self._failing])
            for day in list(self._open):
                self._close(day, now)
        finally:
            os.close(self._lock)

    def _close(self, day: int, now: int) -> None:
        file = self._open.pop(day)
        try:
            file.close(now)
        except _FAILURES as error:
            self._say(f"{file.path}: closed without its indexes ({error}); its rows are whole")

    # -- a disk that takes nothing

    def _fail(self, error: Exception, items: Sequence[Item], now: int) -> None:
        for file in self._open.values():
            file.abandon()
        self._open = {}
        if self._failing is None:
            self._say(
                f"{self.instrument}: can't be written ({error}); tried again every "
                f"{self._retry_ms / 1000:g} s"
            )
            self._failing = RecorderEvent("not_written", self.instrument, now, None, 0, str(error))
        self._count_lost(items)

    def _count_lost(self, items: Sequence[Item]) -> None:
        lost = sum(not isinstance(item, RecorderEvent) for item in items)
        events = [item for item in items if isinstance(item, RecorderEvent)]
        self._pending = [*self._pending, *events][-MOST_PENDING:]
        if self._failing:
            self._failing = replace(self._failing, count=self._failing.count + lost)


def left_in(path: Path) -> tuple[list[str | None], bool]:
    """Return the last trades' ids of an earlier recorder's file, and whether it was killed."""
    with closing(connect(path)[0]) as connection:
        try:
            trades = connection.execute(
                f"SELECT trade_id FROM trades ORDER BY id DESC LIMIT {LAST_TRADES}"  # noqa: S608
            ).fetchall()
            spell = connection.execute(
                "SELECT ended FROM recorder_events WHERE kind = 'recording' "
                "ORDER BY id DESC LIMIT 1"
            ).fetchone()
        except sqlite3.Error as error:
            raise recording_error(path, f"not a recorder's file ({error})") from error
    ids = [None if trade_id is None else str(trade_id, "utf-8") for (trade_id,) in trades]
    return ids[::-1], spell is not None and spell[0] is None


def _files_of(directory: Path, instrument: str) -> list[Path]:
    """List the files of a recorder by day."""
    named = re.compile(re.escape(instrument) + r"-\d\d-\d\d-\d\d", re.ASCII)
    found = (path for path in directory.glob("*.db") if named.fullmatch(path.stem))
    return sorted(found, key=_day_in)


def _day_in(path: Path) -> int:
    moment = datetime.strptime(path.stem[-8:], "%y-%m-%d").replace(tzinfo=UTC)
    return int(moment.timestamp()) // 86_400


def _take_lock(directory: Path, instrument: str) -> int:
    """Lock an instrument; the file stays for ever, so that no two can lock different ones."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f".{instrument}.recorder.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise RecorderInUseError(directory, instrument, pid) from None
    with suppress(OSError):  # the pid is for people; the lock holds without it
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
    return descriptor
