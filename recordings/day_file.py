"""One file of a recorder: an instrument's rows of one UTC day, and what was lost of them."""

import errno
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from time import gmtime, monotonic, sleep, strftime

from recordings.recorder_rows import BookRow, RecorderEvent, TradeRow
from recordings.writer import open_to_append

LOG_SECONDS = 1.0
SECONDS_BETWEEN_TRIES = 0.002

RECORDER_TABLES = {
    "book": "id INTEGER PRIMARY KEY, instrument TEXT, bids TEXT, asks TEXT, timestamp INTEGER, "
    "action TEXT, seq_id INTEGER, prev_seq_id INTEGER, received INTEGER",
    "trades": "id INTEGER PRIMARY KEY, instrument TEXT, trade_id TEXT, price TEXT, size TEXT, "
    "side TEXT, timestamp INTEGER, count INTEGER, seq_id INTEGER, received INTEGER",
    "recorder_events": "id INTEGER PRIMARY KEY, kind TEXT, instrument TEXT, began INTEGER, "
    "ended INTEGER, count INTEGER, detail TEXT, row_before INTEGER, row_after INTEGER",
}
"""The tables of a recorder's file. Prices and sizes are the text that was sent."""

_INSERTS = {
    BookRow: "INSERT INTO book(instrument, bids, asks, timestamp, action, seq_id, prev_seq_id, "
    "received) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    TradeRow: "INSERT INTO trades(instrument, trade_id, price, size, side, timestamp, count, "
    "seq_id, received) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    RecorderEvent: "INSERT INTO recorder_events(kind, instrument, began, ended, count, detail, "
    "row_before, row_after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
}


def day_path(directory: Path, instrument: str, day: int) -> Path:
    """Return the path of an instrument's file of a day, as `BTC-USDT-25-06-09.db`."""
    return directory / f"{instrument}-{strftime('%y-%m-%d', gmtime(day * 86_400))}.db"


class DayFile:
    """An open file that takes rows; `close` makes it whole, with an index and without sidecars.

    `now` is ms of the recorder's clock. `interruption` says, without its end, that an earlier
    recorder had the file and was killed, or stopped a while ago; it is None where `ours` says that
    this recorder had it open before. Raise `sqlite3.Error`, `OSError` or `NotWrittenError` for what
    can't be opened.
    """

    def __init__(self, path: Path, instrument: str, now: int, *, ours: bool = False) -> None:
        self.path = path
        self._instrument = instrument
        self.interruption: RecorderEvent | None = None
        self._connection = open_to_append(path, RECORDER_TABLES)
        try:
            self._identity = _identity(path)
            self._begin_spell(now, ours=ours)
        except BaseException:
            self._connection.close()
            raise

    def _begin_spell(self, now: int, *, ours: bool) -> None:
        """Note since when this recorder has the file, with an end only when it is closed."""
        found = self._connection.execute(
            "SELECT id, ended FROM recorder_events WHERE kind = 'recording' "
            "ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if found and ours:
            self._connection.execute(
                "UPDATE recorder_events SET ended = NULL WHERE id = ?", found[:1]
            )
            return
        if found:
            self._note_interruption(*found)
        self.write([RecorderEvent("recording", self._instrument, now, None)])

    def _note_interruption(self, spell: int, ended: int | None) -> None:
        kind, last = "paused", ended
        if ended is None:
            kind, last = "killed", self._last_received()
            self._connection.execute(
                "UPDATE recorder_events SET ended = ifnull(?, began) WHERE id = ?", (last, spell)
            )
        (row_before,) = self._connection.execute(
            "SELECT max(timestamp) FROM (SELECT timestamp FROM book ORDER BY id DESC LIMIT 1)"
        ).fetchone()
        self.interruption = RecorderEvent(
            kind, self._instrument, last or 0, None, row_before=row_before
        )

    def _last_received(self) -> int | None:
        """Return when the last row that is there was received, in ms."""
        (last,) = self._connection.execute(
            "SELECT max(received) FROM ("
            "SELECT * FROM (SELECT received FROM book ORDER BY id DESC LIMIT 2) UNION ALL "
            "SELECT * FROM (SELECT received FROM trades ORDER BY id DESC LIMIT 1) UNION ALL "
            "SELECT 1000000 * max(began) FROM recorder_events)"
        ).fetchone()
        return None if last is None else int(last) // 1_000_000

    def write(self, items: Sequence[BookRow | TradeRow | RecorderEvent]) -> None:
        """Write items in one transaction; none of them with `sqlite3.Error` or `OSError`."""
        if _identity(self.path) != self._identity:
            raise OSError(errno.ESTALE, "the file has been removed or replaced", str(self.path))
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            for kind, insert in _INSERTS.items():
                self._connection.executemany(insert, _values(items, kind))
            execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite may have rolled it back already
                execute("ROLLBACK")
            raise

    def close(self, now: int) -> None:
        """Close the file for good: end of the spell, indexes, no write-ahead log left.

        A reader that stays keeps the log, whose rows it sees as well. Raise `sqlite3.Error` when
        there is no room for the indexes; the file is whole without.
        """
        execute = self._connection.execute
        try:
            execute(
                "UPDATE recorder_events SET ended = ? WHERE kind = 'recording' AND ended IS NULL",
                (now,),
            )
            for table in ("book", "trades"):
                execute(
                    f"CREATE INDEX IF NOT EXISTS {table}_time ON {table}(instrument, timestamp)"
                )
        finally:
            with suppress(sqlite3.Error):  # a full disk: the log stays
                execute("PRAGMA wal_checkpoint(TRUNCATE)")
                self._leave_log()
            self._connection.close()

    def _leave_log(self) -> None:
        """Remove the write-ahead log, trying again while a reader looks, for at most a second.

        SQLite waits for nobody here. Readers that follow look for some ms, many times a second.
        """
        until = monotonic() + LOG_SECONDS
        while not self._has_left_log() and monotonic() < until:
            sleep(SECONDS_BETWEEN_TRIES)

    def _has_left_log(self) -> bool:
        try:
            (mode,) = self._connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY":
                raise
            return False
        return bool(mode == "delete")

    def abandon(self) -> None:
        """Let go of the file as it is, as after an error; what was committed stays."""
        with suppress(sqlite3.Error):
            self._connection.close()


def _values(
    items: Iterable[BookRow | TradeRow | RecorderEvent], kind: type
) -> list[tuple[object, ...]]:
    if kind is RecorderEvent:
        return [astuple(item) for item in items if isinstance(item, RecorderEvent)]
    return [item[:-1] for item in items if isinstance(item, kind)]  # type: ignore[index]


def _identity(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino
