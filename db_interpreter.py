"""Read OKX recordings from SQLite: the one place with SQL, and with one connection policy.

A recording has a table `book` (`bids`, `asks`, `timestamp`) and a table `trades` (`price`, `size`,
`side`, `timestamp`); `id`, `trade_id`, `instrument` and, in `book`, `action`, `seq_id` and
`prev_seq_id` are used where they exist. Files are never changed and their sidecars never touched.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, pairwise
from math import inf
from pathlib import Path
from time import time
from typing import Any

from errors import RecordingError
from market_events import (
    OrderbookLevel,
    OrderbookUpdate,
    Trade,
    TradeCleaner,
    TradeCursor,
    book_windows,
    to_update,
)
from row_order import (
    FileMerge,
    ReorderBuffer,
    Row,
    TimedSource,
    are_whole_ms,
    normalise_times,
    time_form,
    to_nanoseconds,
)

logger = logging.getLogger(__name__)

__all__ = [
    "BOOK_BATCH",
    "TRADE_BATCH",
    "DBInterpreter",
    "OrderbookLevel",
    "OrderbookUpdate",
    "ReadCounts",
    "RecordedTable",
    "Trade",
    "connect",
    "instruments_in",
    "open_tables",
]

BOOK_BATCH = 2048
"""Most book rows read at once."""
TRADE_BATCH = 4096
"""Most trades read at once."""
BOOK_REORDER = 2048
"""Book rows held back to sort a file without an index on its timestamp."""
TRADE_REORDER = 32_768
"""Trades held back to sort a file without an index on its timestamp."""
CHUNK_ROWS = 32
"""Rows fetched between two looks at how many bytes a batch has."""
BATCH_BYTES = 8_000_000
"""About how many bytes of levels are read at once; twice as many are held back."""
MAX_BOOK_VALUE_BYTES = 8_000_000
"""Largest text or blob read from `book`; a row with a larger one is skipped and counted."""
MAX_TRADE_VALUE_BYTES = 16_000
"""The same for `trades`, whose values are short."""
SETTLED_SECONDS = 60.0
"""A file unchanged for so long is taken as finished, and read as immutable."""
LOCK_SECONDS = 30.0
"""How long to wait for a writer that has locked the whole file."""
UNKNOWN_SPAN = (0, 10**14)
"""First and last ms where a file does not tell: from the beginning of time to its end."""

_WAL_UNREADABLE = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_IOERR", "SQLITE_PERM")
_ROWID_NAMES = ("rowid", "_rowid_", "oid")
# The index has numbers before text before blobs; a blob is no time.
_TIMED, _NUMBERS, _TEXTS = (
    "timestamp < x''",
    "timestamp >= 0 AND timestamp < ''",
    "timestamp >= '' AND timestamp < x''",
)
_PROBED_TEXTS = 32


@dataclass(frozen=True)
class _TableSpec:
    name: str
    payload: tuple[str, ...]
    optional: tuple[str, ...]
    batch: int
    reorder: int
    max_value: int

    @property
    def required(self) -> tuple[str, ...]:
        return tuple(c for c in (*self.payload, "timestamp") if c not in self.optional)


BOOK = _TableSpec(
    "book",
    ("bids", "asks", "action", "seq_id", "prev_seq_id"),
    ("action", "seq_id", "prev_seq_id"),
    BOOK_BATCH,
    BOOK_REORDER,
    MAX_BOOK_VALUE_BYTES,
)
TRADES = _TableSpec(
    "trades",
    ("trade_id", "price", "size", "side"),
    ("trade_id",),
    TRADE_BATCH,
    TRADE_REORDER,
    MAX_TRADE_VALUE_BYTES,
)


@dataclass
class ReadCounts:
    """What was not clean in the rows read, beside the levels themselves.

    `rows_skipped` and `trades_skipped`: no usable timestamp, price or size, or a value over the
    limit; `late_rows` and `late_trades`: further out of order than the reorder buffer
    reaches, and left out; `repeated_rows` and `repeated_trades`: recorded twice, and used once.
    """

    rows_skipped: int = 0
    trades_skipped: int = 0
    late_rows: int = 0
    late_trades: int = 0
    repeated_rows: int = 0
    repeated_trades: int = 0


def connect(path: Path, max_value: int = MAX_BOOK_VALUE_BYTES) -> tuple[sqlite3.Connection, bool]:
    """Open a recording for reading; return the connection and whether it was taken as immutable.

    `mode=ro` and `query_only`, never a memory map. `immutable=1`, which skips locks and leaves no
    `-shm` behind, only for a file that nobody is writing: no `-wal` with content, no `-journal`,
    unchanged for 60 s. Text is fetched as bytes, so that invalid UTF-8 is a bad row and no error.

    Raise `RecordingError` for what is no readable SQLite file, one with a hot journal included.
    """
    immutable = _is_settled(path)
    uri = path.absolute().as_uri() + "?mode=ro" + ("&immutable=1" if immutable else "")
    with ExitStack() as on_failure:
        try:
            connection = sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
            on_failure.callback(connection.close)
            connection.text_factory = bytes
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max_value)
            connection.execute("PRAGMA query_only = 1")
            connection.execute("PRAGMA trusted_schema = 0")
            connection.execute("PRAGMA mmap_size = 0")
            _read_schema(connection)
        except sqlite3.Error as error:
            raise RecordingError(_why_not_open(path, error), str(path)) from error
        except UnicodeDecodeError as error:  # out of SQLite's own message on a damaged schema
            msg = f"{path}: not a readable SQLite recording (its schema is damaged)"
            raise RecordingError(msg, str(path)) from error
        on_failure.pop_all()
    return connection, immutable


def _read_schema(connection: sqlite3.Connection) -> None:
    sql = "SELECT count(*) FROM sqlite_master"
    try:
        connection.execute(sql).fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorname != "SQLITE_CORRUPT":
            raise
        # Only so does SQLite open a file cut short; nothing can be written all the same.
        connection.execute("PRAGMA writable_schema = 1")
        connection.execute(sql).fetchone()


def _is_settled(path: Path) -> bool:
    try:
        stat = path.stat()
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}); check that it exists and is readable"
        raise RecordingError(msg, str(path)) from error
    busy = bool(_sidecar_size(path, "-wal")) or _sidecar_size(path, "-journal") is not None
    return not busy and time() - stat.st_mtime > SETTLED_SECONDS


def _sidecar_size(path: Path, suffix: str) -> int | None:
    """Return the size of a sidecar in bytes, None where there is none (or none any more)."""
    try:
        return path.with_name(path.name + suffix).stat().st_size
    except FileNotFoundError:
        return None


def _why_not_open(path: Path, error: sqlite3.Error) -> str:
    if reason := _writers_doing(path, error):
        return f"{path}: {reason}"
    if path.is_dir():
        return f"{path}: a directory, not a SQLite recording"
    if not os.access(path, os.R_OK, effective_ids=os.access in os.supports_effective_ids):
        return f"{path}: no permission to read it; ask its owner for it"
    if _sidecar_size(path, "-wal") is not None and error.sqlite_errorname.startswith(
        _WAL_UNREADABLE
    ):
        return (
            f"{path}: its write-ahead log {path.name}-wal cannot be read where it lies ({error}); "
            "copy both into a directory you may write to"
        )
    return f"{path}: not a readable SQLite recording ({error})"


def _writers_doing(path: Path, error: sqlite3.Error) -> str | None:
    """Say what the program that records has done to cause `error`; None if it is not to blame."""
    if error.sqlite_errorname == "SQLITE_READONLY_ROLLBACK":
        return (
            "its recorder died in the middle of a write and left the hot journal "
            f"{path.name}-journal; open the file once with the sqlite3 program to roll it back"
        )
    if error.sqlite_errorname.startswith("SQLITE_BUSY"):
        return (
            f"locked by another program for more than {LOCK_SECONDS:g} s; "
            "run again when that program is done"
        )
    return None


def _as_read(column: str, encoding: bytes) -> str:
    """Read levels as bytes whatever their type; None stands for no row, so NULL becomes empty."""
    if column not in ("bids", "asks"):
        return column
    as_bytes = f"ifnull(CAST({column} AS BLOB), x'')"
    if encoding == b"UTF-8":
        return as_bytes
    # A cast would give the text's UTF-16; without one it comes in UTF-8, but a tenth more slowly.
    return f"CASE typeof({column}) WHEN 'text' THEN {column} ELSE {as_bytes} END"


class RecordedTable:
    """One table of one recording, `book` or `trades`, as rows in time order.

    With an `instrument` column only the rows of `instrument` are read. `exists` is False where the
    file has no such table. Raise `RecordingError` for a view, or when a required column is missing.
    """

    def __init__(self, path: Path, spec: _TableSpec, instrument: str | None = None) -> None:
        self.path = path
        self._spec = spec
        self._instrument = instrument
        self.exists = True
        self.late = 0
        self.skipped = 0
        self._held_back = spec.reorder
        self._indexed = self._time_index_first = self._keyed_by_time = False
        self._filtered = self._descending = self._exact = False
        self.first_ms, self.last_ms = UNKNOWN_SPAN
        with closing(connect(path)[0]) as connection:
            try:
                self.exists = self._learn_columns(connection)
            except sqlite3.Error as error:
                raise RecordingError(_why_not_open(path, error), str(path)) from error
            try:
                if self.exists:
                    self._learn_order(connection)
            except sqlite3.Error as error:
                # Damage is reported when the rows are read, after those before it.
                logger.warning("%s: damaged (%s)", path, error)

    # -- what the table looks like

    def _learn_columns(self, connection: sqlite3.Connection) -> bool:
        name = self._spec.name
        found = connection.execute(
            "SELECT type, sql FROM sqlite_master WHERE lower(name) = ? AND type IN (?, ?)",
            (name, "table", "view"),
        ).fetchone()
        if found is None:
            return False
        virtual = found[1].upper().startswith(b"CREATE VIRTUAL")
        if found[0] != b"table" or virtual:
            kind = "virtual table" if virtual else found[0].decode()
            raise self._refusal(f"{name} must be a table; found a {kind}, copy its rows into one")
        # xinfo, unlike info, lists generated columns too.
        columns = {
            column.decode(errors="replace").lower(): (kind.upper(), primary_key)
            for _, column, kind, _, _, primary_key, _ in connection.execute(
                f"PRAGMA table_xinfo({name})"
            )
        }
        for required in self._spec.required:
            if required not in columns:
                listed = ", ".join(columns)
                raise self._refusal(f"table {name} has no column {required}; found {listed}")
        self._filtered = "instrument" in columns and self._instrument is not None
        self._choose_key(connection, columns)
        extra = [] if self._ties_by_key else [self._key]
        (encoding,) = connection.execute("PRAGMA encoding").fetchone()
        payload = [_as_read(c, encoding) if c in columns else "NULL" for c in self._spec.payload]
        self._payload = ", ".join([self._tie, *payload, *extra])
        return True

    def _refusal(self, why: str) -> RecordingError:
        return RecordingError(f"{self.path}: {why}", str(self.path))

    def _choose_key(
        self, connection: sqlite3.Connection, columns: dict[str, tuple[bytes, int]]
    ) -> None:
        """Choose the key to page through the table by, and what tells rows of one time apart.

        That is the id; where it is not the key itself it is read beside it.
        """
        rowid = self._rowid_name(connection, columns)
        if rowid is None:
            self._check_primary_key(columns)
        self._key = rowid or "id"
        self._tie, self._ties_by_key = self._key, True
        if "id" in columns and not (rowid and self._is_rowid(connection, columns["id"])):
            # An id that is no integer cannot order anything.
            otherwise = rowid or "0"
            self._tie = f"CASE typeof(id) WHEN 'integer' THEN id ELSE {otherwise} END"
            self._ties_by_key = False

    def _rowid_name(
        self, connection: sqlite3.Connection, columns: dict[str, tuple[bytes, int]]
    ) -> str | None:
        """Return a name of the rowid that no column has taken; None for a WITHOUT ROWID table."""
        name = next((name for name in _ROWID_NAMES if name not in columns), "rowid")
        try:
            connection.execute(f"SELECT {name} FROM {self._spec.name} LIMIT 0")  # noqa: S608 (constants)
        except sqlite3.OperationalError as error:
            if "no such column" not in str(error):
                raise
            return None
        return name

    def _is_rowid(self, connection: sqlite3.Connection, id_column: tuple[bytes, int]) -> bool:
        """Tell whether the column `id` is the rowid by another name."""
        # A key of two columns, or INTEGER PRIMARY KEY DESC, is kept in an index of its own.
        sql = "SELECT count(*) FROM pragma_index_list(?) WHERE origin = 'pk'"
        (own_index,) = connection.execute(sql, (self._spec.name,)).fetchone()
        return id_column == (b"INTEGER", 1) and not own_index

    def _check_primary_key(self, columns: dict[str, tuple[bytes, int]]) -> None:
        """Refuse a WITHOUT ROWID table whose rows `id` does not tell apart."""
        keyed = sorted((place, name) for name, (_, place) in columns.items() if place)
        names = [name for _, name in keyed if not (self._filtered and name == "instrument")]
        self._keyed_by_time = names == ["timestamp", "id"]
        if names != ["id"] and not self._keyed_by_time:
            found = ", ".join(name for _, name in keyed)
            raise self._refusal(
                f"table {self._spec.name} is WITHOUT ROWID and its primary key ({found}) is "
                "neither (id) nor (timestamp, id), an instrument aside; copy its rows into a "
                "table with an INTEGER PRIMARY KEY id"
            )

    def _sql(self, what: str, conditions: str, order: str, limit: int = -1) -> str:
        """Write a statement of column names and constants; values are always bound."""
        clause = " AND ".join(filter(None, [conditions, self._of_instrument])) or "1"
        return (
            f"SELECT {what} FROM {self._spec.name} WHERE {clause} "  # noqa: S608
            f"ORDER BY {order} LIMIT {limit}"
        )

    @property
    def _of_instrument(self) -> str:
        # The plus keeps an index on the instrument alone from taking the place of the right one.
        plus = "+" if self._time_index_first else ""
        return f"{plus}instrument = :instrument" if self._filtered else ""

    def _run(self, connection: sqlite3.Connection, sql: str, **values: Any) -> sqlite3.Cursor:
        return connection.execute(sql, {"instrument": self._instrument, **values})

    def _learn_order(self, connection: sqlite3.Connection) -> None:
        self._find_index(connection)
        ends = self._index_ends(connection) if self._indexed else None
        if ends is None:
            self._indexed = self._time_index_first = False
            self._descending = self._is_newest_first(connection)
            ends = self._near_ends(connection)
        known = [t // 1_000_000 for t in map(to_nanoseconds, ends) if t is not None]
        if known:
            self.first_ms, self.last_ms = min(known), max(known)
        elif not self._run(connection, self._sql("1", "", self._key, 1)).fetchone():
            self.first_ms, self.last_ms = 0, -1

    def _find_index(self, connection: sqlite3.Connection) -> None:
        """Tell whether an index gives the rows in order, from the first and on from a place."""
        self._indexed = True
        for self._time_index_first in (False, True):
            pages = [self._page_sql(self._select, last, 1) for last in (None, (0, 0))]
            steps = [
                step[3]
                for sql in pages
                for step in self._run(connection, "EXPLAIN QUERY PLAN " + sql, time=0, key=0)
            ]
            if not any(b"TEMP B-TREE FOR ORDER BY" in step for step in steps):
                return
        self._indexed = self._time_index_first = False

    def _index_ends(self, connection: sqlite3.Connection) -> list[object] | None:
        """Return the times at the index's ends; None where its order is not the order of time.

        It is not where units or formats are mixed: an index compares what was recorded.
        """
        numbers = self._ends_within(connection, _NUMBERS, 1)
        texts = self._ends_within(connection, _TEXTS, _PROBED_TEXTS)
        usable = [text for text in texts if to_nanoseconds(text) is not None]
        ends = numbers + usable
        one_form = len({time_form(raw) for raw in ends if raw != 0}) <= 1
        # Integers in ms at both ends: whatever lies between has the index's order on our scale.
        self._exact = self._ties_by_key and not texts and are_whole_ms([(t,) for t in ends])
        return ends if one_form or self._keyed_by_time else None

    def _ends_within(
        self, connection: sqlite3.Connection, condition: str, count: int
    ) -> list[object]:
        return [
            raw
            for way in ("", "DESC")
            for (raw,) in self._run(
                connection, self._sql("timestamp", condition, f"timestamp {way}", count)
            )
        ]

    def _is_newest_first(self, connection: sqlite3.Connection) -> bool:
        """Tell whether times mostly fall along the key, from rows spread over the table."""
        ends = [
            self._run(connection, self._sql(self._key, "", f"{self._key} {way}", 1)).fetchone()
            for way in ("", "DESC")
        ]
        if None in ends or ends[0] == ends[1]:
            return False
        (low,), (high,) = ends
        if not (isinstance(low, int) and isinstance(high, int)):
            return False
        sql = self._sql("timestamp", f"{self._key} >= :key", self._key, 1)
        found = (
            self._run(connection, sql, key=low + (high - low) * part // 16).fetchone()
            for part in range(17)
        )
        times = [t for t in (to_nanoseconds(row[0]) for row in found if row) if t is not None]
        falls = sum(later < earlier for earlier, later in pairwise(times))
        return 2 * falls > len(times) - 1

    def _near_ends(self, connection: sqlite3.Connection) -> list[object]:
        """Return first and last times, as far as the reorder buffer sees them at either end."""
        ends: list[object] = []
        for way in ("", "DESC"):
            reach = self._spec.reorder + self._spec.batch
            near = self._sql("timestamp", _TIMED, f"{self._key} {way}", reach)
            sql = f"SELECT min(timestamp), max(timestamp) FROM ({near})"  # noqa: S608 (own text)
            extremes = self._run(connection, sql).fetchone()
            forms = {time_form(raw) for raw in extremes}
            # Only numbers of one unit compare as their times do.
            if len(forms) == 1 and isinstance(extremes[0], int | float):
                ends += extremes
            else:
                ends += [raw for (raw,) in self._run(connection, near)]
        return ends

    @property
    def name(self) -> str:
        """Return `book` or `trades`."""
        return self._spec.name

    @property
    def is_empty(self) -> bool:
        """Tell whether there is no row to read."""
        return not self.exists or self.last_ms < self.first_ms

    @property
    def names_instruments(self) -> bool:
        """Tell whether rows were chosen by an `instrument` column."""
        return self.exists and self._filtered

    def first_updates(self, count: int) -> list[OrderbookUpdate]:
        """Return the first book rows in time order, at most `count`, each without an end."""
        rows = (row for batch in self.batches() for row in batch)
        return [to_update(row, None) for row in islice(rows, count)]

    def instruments(self) -> list[tuple[str, object, object]]:
        """List the instruments of the table with their first and last timestamp as recorded."""
        if not self.names_instruments:
            return []
        sql = (
            f"SELECT instrument, min(timestamp), max(timestamp) FROM {self._spec.name} "  # noqa: S608
            "WHERE instrument IS NOT NULL GROUP BY instrument"
        )
        with closing(connect(self.path)[0]) as connection:
            try:
                found = connection.execute(sql).fetchall()
            except sqlite3.Error as error:
                raise RecordingError(_why_not_open(self.path, error), str(self.path)) from error
        return [
            (name.decode(errors="replace") if isinstance(name, bytes) else str(name), low, high)
            for name, low, high in found
        ]

    # -- reading

    def source(self) -> TimedSource:
        """Return the table as a source for `FileMerge`."""
        return TimedSource(self.first_ms, self.last_ms, self.batches)

    def batches(self) -> Iterator[list[Row]]:
        """Yield the rows `(ms, order, *payload)` in time order, in lists.

        Raise `RecordingError` when the file cannot be read further, or changed while it was read
        as immutable; whatever was read before has been yielded then.
        """
        self.late = self.skipped = 0
        buffer = ReorderBuffer(self._spec.reorder)
        failure: RecordingError | None = None
        raw_batches = self._raw_batches()
        while failure is None:
            try:
                raw = next(raw_batches, None)
            except RecordingError as error:
                raw, failure = None, error
            if raw is None:
                break
            rows, unusable = normalise_times(raw)
            self.skipped += unusable
            rows = rows if self._exact else buffer.push(rows, self._held_back)
            if rows:
                yield rows
        rows = buffer.flush()
        self.late = buffer.late
        if rows:
            yield rows
        if failure:
            raise failure

    def _raw_batches(self) -> Iterator[list[Row]]:
        """Yield the rows as fetched, `(timestamp, tie, *payload)`, in the order of reading."""
        identity = _identity(self.path)
        connection, immutable = connect(self.path, self._spec.max_value)
        with closing(connection):
            self._count_untimed(connection)
            cursor: sqlite3.Cursor | None = None
            last: Row | None = None
            total = 0
            while True:
                cursor, rows, error = self._fetch(connection, cursor, last, immutable=immutable)
                if immutable and _identity(self.path) != identity:
                    raise self._refusal("changed while it was read; run again when it is done")
                # Where reading goes on from a place, damage must not lead it in a circle.
                disorder = cursor is None and self._cut_at_disorder(last, rows)
                if error and not (rows or disorder):
                    rows, last = self._step_over(connection, last, error, total)
                elif not (rows or disorder):
                    return
                if rows:
                    total, last = total + len(rows), rows[-1]
                    yield rows if self._ties_by_key else [row[:-1] for row in rows]
                if disorder:
                    raise self._cannot_read_on(last, None, total)

    def _fetch(
        self,
        connection: sqlite3.Connection,
        cursor: sqlite3.Cursor | None,
        last: Row | None,
        *,
        immutable: bool,
    ) -> tuple[sqlite3.Cursor | None, list[Row], sqlite3.Error | None]:
        """Read on; return the cursor if it may stay open, the rows, and what ended them."""
        rows: list[Row] = []
        error = None
        try:
            cursor = cursor or self._open_page(connection, last, immutable=immutable)
            self._fill(rows, cursor)
        except sqlite3.Error as problem:
            error = problem
        if cursor and (error or not immutable):
            # A statement left open would hold up the writer of a live recording.
            cursor.close()
            cursor = None
        return cursor, rows, error

    def _cut_at_disorder(self, last: Row | None, rows: list[Row]) -> bool:
        """Cut `rows` before the first that does not lie beyond the one before it."""
        places = [self._place_of(row) for row in ([last] if last else []) + rows]
        for number, (place, beyond) in enumerate(pairwise(places)):
            if (place > beyond) if self._descending else (place < beyond):
                continue
            del rows[number + (last is None) :]
            return True
        return False

    def _place_of(self, row: Row) -> Row:
        """Return what SQLite compares places by: numbers come before text."""
        key = row[1 if self._ties_by_key else -1]
        time = row[:1] if self._indexed else ()
        return tuple(part for raw in (*time, key) for part in (isinstance(raw, bytes), raw))

    def _open_page(
        self, connection: sqlite3.Connection, last: Row | None, *, immutable: bool
    ) -> sqlite3.Cursor:
        """Open the statement that reads on after `last`: to the end, or a page of a live file."""
        limit = -1 if immutable else self._spec.batch
        return self._run(connection, self._page_sql(self._select, last, limit), **self._after(last))

    @property
    def _select(self) -> str:
        # A blob is no time, and the index is read only as far as there are none.
        time = "timestamp"
        if not self._indexed:
            time = "CASE typeof(timestamp) WHEN 'blob' THEN NULL ELSE timestamp END"
        return f"{time}, {self._payload}"

    def _page_sql(self, what: str, last: Row | None, limit: int) -> str:
        """Write the statement that reads on after `last`: along the index, or along the key."""
        if self._indexed:
            # Text that is not UTF-8 can only be bound as a blob.
            time = "CAST(:time AS TEXT)" if last and isinstance(_bound(last[0]), bytes) else ":time"
            beyond = f"(timestamp, {self._key}) > ({time}, :key)" if last else ""
            condition = " AND ".join(filter(None, [beyond, _TIMED]))
            return self._sql(what, condition, f"timestamp, {self._key}", limit)
        beyond, way = ("<", " DESC") if self._descending else (">", "")
        condition = f"{self._key} {beyond} :key" if last else ""
        return self._sql(what, condition, self._key + way, limit)

    def _fill(self, rows: list[Row], cursor: sqlite3.Cursor) -> None:
        """Fetch into `rows` a batch, bounded in rows and bytes; on an error what came before it."""
        size = known = 0
        chunk = 1
        weighed = self._spec.name == BOOK.name
        try:
            while len(rows) < self._spec.batch and size < BATCH_BYTES:
                rows.extend(islice(cursor, chunk))
                if len(rows) == known:
                    break
                if weighed:
                    size += sum([len(row[2]) + len(row[3]) for row in rows[known:]])
                known = len(rows)
                # Not all at once: a row may have megabytes.
                chunk = min(2 * chunk, CHUNK_ROWS, self._spec.batch - known)
        finally:
            if rows:
                self._held_back = 2 * BATCH_BYTES * len(rows) // (size + 1) + 1

    def _step_over(
        self,
        connection: sqlite3.Connection,
        last: Row | None,
        error: sqlite3.Error,
        rows_read: int,
    ) -> tuple[list[Row], Row]:
        """Return the place of the row after `last`, and the row if it can be read by itself.

        Python's cursor drops the row before the one that fails, and an index that leaves ties to
        be sorted fails at the first of them. A row with a value over the limit is skipped. Raise
        `RecordingError` for any other error.
        """
        place = row = None
        try:
            if not _writers_doing(self.path, error):
                place = self._place_after(connection, last)
            if place:
                row = self._row_at(connection, place)
        except sqlite3.Error as problem:
            if not (place and _is_too_big(problem)):
                place = None
        if place is None or not (row or _is_too_big(error)) or self._cut_at_disorder(last, [place]):
            raise self._cannot_read_on(last, error, rows_read) from error
        self.skipped += row is None
        return ([row] if row else []), place

    def _place_after(self, connection: sqlite3.Connection, last: Row | None) -> Row | None:
        # Along the key the time is not needed, and may itself be the value over the limit.
        time = "timestamp" if self._indexed else "NULL"
        sql = self._page_sql(f"{time}, {self._key}", last, 1)
        found: Row | None = self._run(connection, sql, **self._after(last)).fetchone()
        return found

    def _row_at(self, connection: sqlite3.Connection, place: Row) -> Row | None:
        condition = f"{self._key} = :key" + (
            " AND timestamp = :time" if self._keyed_by_time else ""
        )
        sql = self._sql(self._select, condition, self._key, 1)
        row: Row | None = self._run(connection, sql, **self._after(place)).fetchone()
        return row

    def _cannot_read_on(
        self, last: Row | None, error: sqlite3.Error | None, rows_read: int
    ) -> RecordingError:
        where = f"after {rows_read} rows of table {self._spec.name}"
        if last and (time_ns := to_nanoseconds(last[0])) is not None:
            moment = datetime.fromtimestamp(time_ns / 1e9, UTC)
            where += f", up to {moment:%Y-%m-%d %H:%M:%S} UTC"
        reason = error and _writers_doing(self.path, error)
        advice = "" if reason else ", copy the file again or recover it with sqlite3 .recover"
        damage = reason or error or "its rows are not in the order of their keys"
        return self._refusal(
            f"cannot be read further ({damage}), {where}; what came before is used{advice}"
        )

    def _after(self, last: Row | None) -> dict[str, object]:
        """Bind the place to read on from."""
        if last is None:
            return {}
        return {"time": _bound(last[0]), "key": _bound(last[1 if self._ties_by_key else -1])}

    def _count_untimed(self, connection: sqlite3.Connection) -> None:
        """Count the rows that the index leaves out: NULL and blobs for a time."""
        if not self._indexed:
            return
        try:
            for condition in ("timestamp IS NULL", "timestamp >= x''"):
                sql = self._sql("count(*)", condition, "1")
                self.skipped += self._run(connection, sql).fetchone()[0]
        except sqlite3.Error as error:
            raise self._cannot_read_on(None, error, 0) from error


def _is_too_big(error: sqlite3.Error) -> bool:
    return error.sqlite_errorname == "SQLITE_TOOBIG"


def _bound(raw: object) -> object:
    """Give text, which comes as bytes, back as text, where it is any."""
    try:
        return raw.decode() if isinstance(raw, bytes) else raw
    except UnicodeDecodeError:
        return raw


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


class DBInterpreter:
    """Stream one instrument's recording, a file or several, as book windows with their trades.

    `path` is one file or a sequence of files; with `instrument` the rows of an `instrument` column
    are filtered by it. Only trades in `[start_ms, end_ms)` come out, and no book row from `end_ms`
    on; book rows before `start_ms` do come out, to warm up the book. Times are ms, UTC.

    `counts` tells, while and after streaming, what was not clean. Raise `RecordingError` for a file
    that is no recording.
    """

    def __init__(
        self,
        path: Path | str | Sequence[Path | str],
        instrument: str | None = None,
        *,
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> None:
        paths = [path] if isinstance(path, Path | str) else path
        tables = [open_tables(Path(p), instrument) for p in paths]
        self._setup(
            [book for book, _ in tables], [trades for _, trades in tables], start_ms, end_ms
        )

    @classmethod
    def of_tables(
        cls,
        books: Sequence[RecordedTable],
        trades: Sequence[RecordedTable],
        start_ms: int | None = None,
        end_ms: int | None = None,
    ) -> "DBInterpreter":
        """Stream tables that are open already, such as those a search has chosen."""
        interpreter = cls.__new__(cls)
        interpreter._setup(books, trades, start_ms, end_ms)
        return interpreter

    def _setup(
        self,
        books: Sequence[RecordedTable],
        trades: Sequence[RecordedTable],
        start_ms: int | None,
        end_ms: int | None,
    ) -> None:
        self._books = [table for table in books if not table.is_empty]
        self._trades = [table for table in trades if not table.is_empty]
        self._start = -inf if start_ms is None else start_ms
        self._end = inf if end_ms is None else end_ms
        self._begin()

    def _begin(self) -> None:
        self._cleaner = TradeCleaner(self._start, self._end)
        self._book_merge = FileMerge([table.source() for table in self._books])
        self._trade_merge = FileMerge([table.source() for table in self._trades])

    @property
    def books(self) -> list[RecordedTable]:
        """The tables of book rows that are read, those without rows left out."""
        return self._books

    @property
    def counts(self) -> ReadCounts:
        """Count what was not clean so far."""
        return ReadCounts(
            rows_skipped=sum(table.skipped for table in self._books),
            trades_skipped=sum(table.skipped for table in self._trades) + self._cleaner.skipped,
            late_rows=sum(table.late for table in self._books) + self._book_merge.late,
            late_trades=sum(table.late for table in self._trades) + self._trade_merge.late,
            repeated_rows=self._book_merge.repeated,
            repeated_trades=self._trade_merge.repeated + self._cleaner.repeated,
        )

    @property
    def late_advice(self) -> list[str]:
        """Say how to put right each table some of whose rows were too far out of order."""
        return [
            f"{table.path}: {table.late} rows of {table.name} are further out of order than the "
            f"reorder buffer reaches and were left out; CREATE INDEX {table.name}_timestamp ON "
            f"{table.name}(timestamp) puts it right"
            for table in (*self._books, *self._trades)
            if table.late
        ]

    def stream(self) -> Iterator[tuple[OrderbookUpdate, list[Trade]]]:
        """Yield `(update, trades)` in time order: each book row with the trades of its window.

        Trades before the first row come first, in a window without levels; of a window with more
        than `WINDOW_TRADES` the rest follows in windows without levels. Every trade of the range
        comes out exactly once, also when there is no book. A file that cannot be read to its end
        raises its `RecordingError` after everything that was read.
        """
        self._begin()
        trades = TradeCursor(self._cleaner.clean(self._trade_merge.batches()))
        yield from book_windows(self._rows_before_end(), trades)
        for merge in (self._book_merge, self._trade_merge):
            if merge.failure:
                raise merge.failure

    def _rows_before_end(self) -> Iterator[list[Row]]:
        for batch in self._book_merge.batches():
            if batch[-1][0] < self._end:
                yield batch
                continue
            yield [row for row in batch if row[0] < self._end]
            return


def open_tables(path: Path, instrument: str | None) -> tuple[RecordedTable, RecordedTable]:
    """Open the tables `book` and `trades` of a recording; one of them may be missing.

    Raise `RecordingError` when both are, or when the file is no recording.
    """
    book = RecordedTable(path, BOOK, instrument)
    trades = RecordedTable(path, TRADES, instrument)
    if not book.exists and not trades.exists:
        msg = f"{path}: no recording, it has neither a table book nor a table trades"
        raise RecordingError(msg, str(path))
    return book, trades


def instruments_in(path: Path) -> dict[str, tuple[int, int]]:
    """List the instruments of a recording's `instrument` columns with their first and last ms.

    Both are 0 where no timestamp is usable. Raise `RecordingError` for a file that is no recording.
    """
    spans: dict[str, tuple[int, int]] = {}
    for table in open_tables(path, ""):
        for name, *ends in table.instruments():
            times = [t // 1_000_000 for t in map(to_nanoseconds, ends) if t is not None]
            times += [t for t in spans.get(name, ()) if t]
            spans[name] = (min(times), max(times)) if times else (0, 0)
    return spans
