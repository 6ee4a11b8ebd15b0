"""Check recordings from end to end: the file, its tables, every row and level; nothing is changed.

What is wrong with rows is counted by the kinds of `orderflow.issues`, as a replay would, crossed
books aside. Each file is judged by itself.
"""

import sqlite3
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path

from level_parser import parse_side
from orderflow.continuity import BookReliability, Silences
from orderflow.errors import LevelFormatError, RecordingError
from orderflow.events import BookBatch, LostRows, time_of_row, time_of_trade
from orderflow.issues import IssueLog, losses
from recordings.book_decoder import BookDecoder
from recordings.book_kind import begins_with_snapshot, book_mode_of
from recordings.connection import connect, length_fault, not_opened
from recordings.integrity import integrity_faults
from recordings.listing import rows_by_instrument
from recordings.recorded_table import RecordedTable, open_tables
from recordings.recorder_losses import recorder_losses
from recordings.recorder_rows import RecorderEvent
from recordings.search import instrument_of
from recordings.trade_decoder import TradeDecoder
from recordings.windows import NO_ROWS

MOST_FAULTS = 20
"""How many of SQLite's own findings are listed for a file."""


@dataclass
class CheckedRecording:
    """What one instrument of a file has: usable rows and trades, their span in ms, the issues."""

    instrument: str | None
    book_rows: int = 0
    trades: int = 0
    book_mode: str | None = None
    first_ms: int | None = None
    last_ms: int | None = None
    issues: IssueLog = field(default_factory=IssueLog)

    def cover(self, first_ms: int, last_ms: int) -> None:
        """Widen the span."""
        known = [ms for ms in (self.first_ms, self.last_ms) if ms is not None]
        self.first_ms, self.last_ms = min([*known, first_ms]), max([*known, last_ms])


@dataclass
class CheckedFile:
    """What was found in one file; `damage` has a line for each fault of the file itself.

    `recorder_losses` are what the program that recorded it says that it lost.
    """

    path: Path
    damage: list[str] = field(default_factory=list)
    recordings: list[CheckedRecording] = field(default_factory=list)
    recorder_losses: list[RecorderEvent] = field(default_factory=list)

    def add_damage(self, error: RecordingError) -> None:
        """Add what an error says, once."""
        if str(error) not in self.damage:
            self.damage.append(str(error))

    @property
    def has_losses(self) -> bool:
        """Return whether anything is damaged, missing or unusable."""
        of_rows = any(losses(r.issues.counts()) for r in self.recordings)
        return bool(self.damage or self.recorder_losses) or of_rows


def check_file(path: Path, instrument: str | None = None) -> CheckedFile:
    """Check a file, and all its instruments or the one named; what is wrong is in the result.

    Raise `RecordingError` for a file that is a sound database and no recording.
    """
    checked = CheckedFile(path)
    try:
        connection, immutable = connect(path)
        with closing(connection):
            checked.damage += _faults(path, connection, immutable=immutable)
        checked.recorder_losses = recorder_losses(path)
    except RecordingError as error:
        checked.add_damage(error)
        return checked
    try:
        names = list(rows_by_instrument(path))
    except RecordingError as error:
        if not checked.damage:
            raise
        checked.add_damage(error)
        # Of a file whose instruments cannot be listed, the one that is known can be read in part.
        known = instrument or instrument_of(path.stem)
        names = [known] if known else []
    for name in names:
        if instrument in (None, name):
            _check_recording(checked, name)
    return checked


def _faults(path: Path, connection: sqlite3.Connection, *, immutable: bool) -> Iterator[str]:
    """Yield what is wrong with the length of the file, its pages, and its indexes."""
    try:
        length = length_fault(path, connection, immutable=immutable)
        if length:
            yield f"{path}: {length}"
        for line in integrity_faults(connection, MOST_FAULTS):
            yield f"{path}: {line}"
    except sqlite3.Error as error:
        yield str(not_opened(path, error))


def _check_recording(checked: CheckedFile, name: str | None) -> None:
    found = CheckedRecording(name)
    try:
        tables = open_tables(checked.path, name)
        checked.recordings.append(found)
        for table, check in zip(tables, (_check_book, _check_trades), strict=True):
            try:
                if not table.is_empty:
                    check(table, found)
            except RecordingError as error:
                checked.add_damage(error)
    except RecordingError as error:
        checked.add_damage(error)
    if not found.book_rows:
        found.issues.note("no_book", None)
    if not found.trades:
        found.issues.note("no_trades", None)


def _check_book(table: RecordedTable, found: CheckedRecording) -> None:
    found.book_mode = book_mode_of([table])
    decoder = BookDecoder(found.book_mode, begins_with_snapshot=begins_with_snapshot(table))
    reliability, silences = BookReliability(found.issues), Silences()
    try:
        for rows in table.batches():
            batch = decoder.decode(rows)
            batch = replace(batch, lost=_placed(_take_lost(table), batch))
            reliability.follow(batch, _unreadable(batch, found.issues))
            silences.add([row[0] for row in rows])
            found.book_rows += len(rows)
            found.cover(rows[0][0], rows[-1][0])
    finally:
        reliability.follow(replace(NO_ROWS, lost=[(0, lost) for lost in _take_lost(table)]))
        reliability.note_open(found.issues, found.last_ms)
        for start, end in silences.found():
            found.issues.note("silences", start, end)


def _take_lost(table: RecordedTable) -> list[LostRows]:
    lost, table.lost = table.lost, []
    return lost


def _placed(lost: list[LostRows], batch: BookBatch) -> list[tuple[int, LostRows]]:
    """Return lost rows with the index of the row before which each was lost."""
    placed = [
        (0 if one.timestamp is None else bisect_right(batch.rows, one.timestamp, key=time_of_row))
        for one in lost
    ]
    return sorted(zip(placed, lost, strict=True), key=lambda pair: pair[0])


def _unreadable(batch: BookBatch, issues: IssueLog) -> list[int]:
    """Note the levels that are not usable, and return the indexes of rows that say nothing."""
    unreadable = []
    for index, (ms, _, *sides) in enumerate(batch.rows):
        try:
            rejected = sum(parse_side(side)[2] for side in sides)
        except LevelFormatError:
            unreadable.append(index)
            issues.note("rows_skipped", ms)
            continue
        if rejected:
            issues.note("levels_rejected", ms, count=rejected)
    return unreadable


def _check_trades(table: RecordedTable, found: CheckedRecording) -> None:
    decoder = TradeDecoder(-inf, inf)
    try:
        for trades in decoder.decode(table.batches()):
            for trade in trades:
                if trade[4] not in ("buy", "sell"):
                    found.issues.note("unknown_sides", time_of_trade(trade))
            found.trades += len(trades)
            found.cover(trades[0][5], trades[-1][5])
    finally:
        for lost in _take_lost(table):
            found.issues.note(lost.kind, lost.timestamp, count=lost.count)
        for kind, times in (
            ("trades_skipped", decoder.skipped_times),
            ("repeated_trades", decoder.repeated_times),
        ):
            for ms in times:
                found.issues.note(kind, ms)
