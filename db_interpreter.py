"""Read OKX recordings from SQLite: the one place with SQL, and with one connection policy.

A recording has a table `book` (`bids`, `asks`, `timestamp`) and a table `trades` (`price`, `size`,
`side`, `timestamp`); `id`, `trade_id`, `instrument` and, in `book`, `action`, `seq_id` and
`prev_seq_id` are used where they exist. Files are never changed and their sidecars never touched.
"""

import logging
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, pairwise
from math import inf
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import quote

from errors import RecordingError
from market_events import (
    OrderbookLevel,
    OrderbookUpdate,
    Trade,
    TradeCleaner,
    TradeCursor,
    UntilFailure,
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
    uri = f"file:{quote(str(path.absolute()))}?mode=ro" + ("&immutable=1" if immutable else "")
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None)
        connection.text_factory = bytes
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max_value)
        connection.execute("PRAGMA query_only = 1")
        connection.execute("PRAGMA trusted_schema = 0")
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise RecordingError(_why_not_open(path, error), str(path)) from error
    return connection, immutable


def _is_settled(path: Path) -> bool:
    try:
        stat = path.stat()
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror}); check that it exists and is readable"
        raise RecordingError(msg, str(path)) from error
    wal, journal = _sidecar(path, "-wal"), _sidecar(path, "-journal")
    busy = (wal.exists() and wal.stat().st_size > 0) or journal.exists()
    return not busy and time() - stat.st_mtime > SETTLED_SECONDS


def _sidecar(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _why_not_open(path: Path, error: sqlite3.Error) -> str:
    journal, wal = _sidecar(path, "-journal"), _sidecar(path, "-wal")
    if journal.exists() and journal.stat().st_size and "not a database" not in str(error):
        return (
            f"{path}: its recorder died in the middle of a write and left the hot journal "
            f"{journal.name}; open the file once with the sqlite3 program to roll it back"
        )
    if wal.exists() and wal.stat().st_size and "not a database" not in str(error):
        return (
            f"{path}: its write-ahead log {wal.name} cannot be read where it lies ({error}); "
            "copy both into a directory you may write to"
        )
    return f"{path}: not a readable SQLite recording ({error})"


def _as_read(column: str) -> str:
    """Read levels as bytes whatever their type; None stands for no row, so NULL becomes empty."""
    return f"ifnull(CAST({column} AS BLOB), x'')" if column in ("bids", "asks") else column


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
        self._indexed = self._descending = self._exact = False
        # Where a damaged file does not tell: from the beginning of time to its end.
        self.first_ms, self.last_ms = 0, 10**14
        with closing(connect(path, spec.max_value)[0]) as connection:
            try:
                self.exists = self._learn_columns(connection)
                if self.exists:
                    self._learn_order(connection)
            except sqlite3.Error as error:
                # Damage is reported when the rows are read, after those before it.
                logger.warning("%s: damaged (%s)", path, error)

    # -- what the table looks like

    def _learn_columns(self, connection: sqlite3.Connection) -> bool:
        name = self._spec.name
        found = connection.execute(
            "SELECT type, sql FROM sqlite_master WHERE lower(name) = ?", (name,)
        ).fetchone()
        if found is None:
            return False
        if found[0] != b"table" or found[1].upper().startswith(b"CREATE VIRTUAL"):
            msg = f"{self.path}: {name} must be a table; found a {found[0].decode()}"
            raise RecordingError(msg, str(self.path))
        columns = {
            column.decode().lower(): (kind.upper(), primary_key)
            for _, column, kind, _, _, primary_key in connection.execute(
                f"PRAGMA table_info({name})"
            )
        }
        for required in self._spec.required:
            if required not in columns:
                msg = (
                    f"{self.path}: table {name} has no column {required}; found "
                    f"{', '.join(columns)}"
                )
                raise RecordingError(msg, str(self.path))
        self._filtered = "instrument" in columns and self._instrument is not None
        self._has_rowid = self._check_rowid(connection, columns)
        key = "rowid" if self._has_rowid else "id"
        # An `id` of its own orders ties; the key pages through the table.
        own_id = self._has_rowid and "id" in columns and columns["id"] != (b"INTEGER", 1)
        tie = f"CASE typeof(id) WHEN 'integer' THEN id ELSE {key} END" if own_id else key
        self._key, self._ties_by_key = key, not own_id
        payload = [_as_read(c) if c in columns else "NULL" for c in self._spec.payload]
        self._select = ", ".join(["timestamp", tie, *payload, *([key] if own_id else [])])
        return True

    def _check_rowid(self, connection: sqlite3.Connection, columns: dict[str, Any]) -> bool:
        try:
            connection.execute(f"SELECT rowid FROM {self._spec.name} LIMIT 0")  # noqa: S608 (a constant)
        except sqlite3.OperationalError:
            if "id" not in columns:
                msg = (
                    f"{self.path}: table {self._spec.name} has neither rowid nor id to tell rows "
                    "apart; add an INTEGER PRIMARY KEY id"
                )
                raise RecordingError(msg, str(self.path)) from None
            return False
        return True

    def _sql(self, what: str, conditions: str, order: str, limit: int = -1) -> str:
        """Write a statement of column names and constants; values are always bound."""
        where = [conditions, "instrument = :instrument" if self._filtered else ""]
        clause = " AND ".join(filter(None, where)) or "1"
        return (
            f"SELECT {what} FROM {self._spec.name} WHERE {clause} "  # noqa: S608
            f"ORDER BY {order} LIMIT {limit}"
        )

    def _run(self, connection: sqlite3.Connection, sql: str, **values: Any) -> sqlite3.Cursor:
        return connection.execute(sql, {"instrument": self._instrument, **values})

    def _learn_order(self, connection: sqlite3.Connection) -> None:
        self._indexed = self._order_is_indexed(connection)
        self._descending = not self._indexed and self._is_newest_first(connection)
        self.first_ms, self.last_ms = self._span(connection)

    def _order_is_indexed(self, connection: sqlite3.Connection) -> bool:
        sql = self._sql(self._select, "timestamp IS NOT NULL", f"timestamp, {self._key}")
        plan = self._run(connection, "EXPLAIN QUERY PLAN " + sql).fetchall()
        return not any(b"TEMP B-TREE FOR ORDER BY" in step[3] for step in plan)

    def _is_newest_first(self, connection: sqlite3.Connection) -> bool:
        """Tell whether times mostly fall along the key, from rows spread over the table."""
        ends = [
            self._run(connection, self._sql(self._key, "", f"{self._key} {way}", 1)).fetchone()
            for way in ("", "DESC")
        ]
        if None in ends or ends[0] == ends[1]:
            return False
        (low,), (high,) = ends
        sql = self._sql("timestamp", f"{self._key} >= :key", self._key, 1)
        found = (
            self._run(connection, sql, key=low + (high - low) * part // 16).fetchone()
            for part in range(17)
        )
        times = [t for t in (to_nanoseconds(row[0]) for row in found if row) if t is not None]
        falls = sum(later < earlier for earlier, later in pairwise(times))
        return 2 * falls > len(times) - 1

    def _span(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Return the first and last ms, as far as the reorder buffer sees them at either end."""
        reach = 1 if self._indexed else self._spec.reorder + self._spec.batch
        key = "timestamp" if self._indexed else self._key
        ends: list[object] = []
        for way in ("", "DESC"):
            near = self._sql("timestamp", "timestamp IS NOT NULL", f"{key} {way}", reach)
            sql = f"SELECT min(timestamp), max(timestamp) FROM ({near})"  # noqa: S608 (own text)
            ends += self._run(connection, sql).fetchone()
            if to_nanoseconds(ends[-2]) is None or to_nanoseconds(ends[-1]) is None:
                ends += [raw for (raw,) in self._run(connection, near)]
        # Integers in ms at both ends: whatever lies between has the index's order on our scale.
        self._exact = self._indexed and self._ties_by_key and are_whole_ms([(t,) for t in ends])
        known = [t // 1_000_000 for t in map(to_nanoseconds, ends) if t is not None]
        return (min(known), max(known)) if known else (0, -1)

    @property
    def name(self) -> str:
        """Return `book` or `trades`."""
        return self._spec.name

    @property
    def is_empty(self) -> bool:
        """Tell whether there is no row to read."""
        return not self.exists or self.last_ms < 0

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
            return [
                (name.decode(errors="replace") if isinstance(name, bytes) else str(name), low, high)
                for name, low, high in connection.execute(sql)
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
        connection, immutable = connect(self.path, self._spec.max_value)
        with closing(connection):
            identity = _identity(self.path)
            self.skipped += self._count_untimed(connection) if self._indexed else 0
            # A live file is read in pages, each a statement of its own that holds no lock after.
            limit = -1 if immutable else self._spec.batch
            last: Row | None = None
            total = 0
            while True:
                page_rows = 0
                cursor, error = self._open_page(connection, last, limit)
                while cursor and not error:
                    rows, error = self._fill(cursor)
                    if not rows:
                        break
                    page_rows += len(rows)
                    last = rows[-1]
                    yield rows if self._ties_by_key else [row[:-1] for row in rows]
                    if immutable and _identity(self.path) != identity:
                        msg = f"{self.path}: changed while it was read; run again when it is done"
                        raise RecordingError(msg, str(self.path))
                total += page_rows
                if error:
                    last = self._step_over(connection, last, error, total)
                elif immutable or page_rows < limit:
                    return

    def _open_page(
        self, connection: sqlite3.Connection, last: Row | None, limit: int
    ) -> tuple[sqlite3.Cursor | None, sqlite3.Error | None]:
        try:
            sql = self._page_sql(self._select, last, limit)
            return self._run(connection, sql, **self._after(last)), None
        except sqlite3.Error as error:
            return None, error

    def _page_sql(self, what: str, last: Row | None, limit: int) -> str:
        """Write the statement that reads on after `last`: along the index, or along the key."""
        if self._indexed:
            condition = f"(timestamp, {self._key}) > (:time, :key)" if last else ""
            condition = condition or "timestamp IS NOT NULL"
            return self._sql(what, condition, f"timestamp, {self._key}", limit)
        beyond, way = ("<", " DESC") if self._descending else (">", "")
        condition = f"{self._key} {beyond} :key" if last else ""
        return self._sql(what, condition, self._key + way, limit)

    def _fill(self, cursor: sqlite3.Cursor) -> tuple[list[Row], sqlite3.Error | None]:
        """Fetch a batch, bounded in rows and bytes; on an error return what came before it."""
        rows: list[Row] = []
        size = 0
        error = None
        try:
            while len(rows) < self._spec.batch and size < BATCH_BYTES:
                known = len(rows)
                rows.extend(islice(cursor, CHUNK_ROWS))
                if len(rows) == known:
                    break
                if self._spec is BOOK:
                    size += sum(len(row[2]) + len(row[3]) for row in rows[known:])
        except sqlite3.Error as problem:
            error = problem
        self._held_back = 2 * BATCH_BYTES * len(rows) // (size + 1) + CHUNK_ROWS
        return rows, error

    def _step_over(
        self, connection: sqlite3.Connection, last: Row | None, error: sqlite3.Error, rows_read: int
    ) -> Row:
        """Skip the row with a value over the limit; raise `RecordingError` for any other error."""
        if error.sqlite_errorname == "SQLITE_TOOBIG":
            sql = self._page_sql(f"timestamp, {self._key}", last, 1)
            found = self._run(connection, sql, **self._after(last)).fetchone()
            if found:
                self.skipped += 1
                return tuple(found)
        where = f"after {rows_read} rows of table {self._spec.name}"
        if last and (time_ns := to_nanoseconds(last[0])) is not None:
            moment = datetime.fromtimestamp(time_ns / 1e9, UTC)
            where += f", up to {moment:%Y-%m-%d %H:%M:%S} UTC"
        msg = (
            f"{self.path}: cannot be read further ({error}), {where}; "
            "what came before is used, copy the file again or recover it with sqlite3 .recover"
        )
        raise RecordingError(msg, str(self.path)) from error

    def _after(self, last: Row | None) -> dict[str, Any]:
        """Bind the place to read on from; text comes as bytes but compares as text."""
        if last is None:
            return {}
        moment = last[0].decode(errors="replace") if isinstance(last[0], bytes) else last[0]
        return {"time": moment, "key": last[1] if self._ties_by_key else last[-1]}

    def _count_untimed(self, connection: sqlite3.Connection) -> int:
        sql = self._sql("count(*)", "timestamp IS NULL", "1")
        count: int = self._run(connection, sql).fetchone()[0]
        return count


def _identity(path: Path) -> tuple[int, int, int]:
    stat = path.stat()
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
        self._end = inf if end_ms is None else end_ms
        self._cleaner = TradeCleaner(-inf if start_ms is None else start_ms, self._end)
        self._book_merge = FileMerge([table.source() for table in self._books])
        self._trade_merge = FileMerge([table.source() for table in self._trades])

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
    def late_tables(self) -> list[RecordedTable]:
        """List the tables some of whose rows were too far out of order."""
        return [table for table in (*self._books, *self._trades) if table.late]

    def stream(self) -> Iterator[tuple[OrderbookUpdate, list[Trade]]]:
        """Yield `(update, trades)` in time order: each book row with the trades of its window.

        Trades before the first row come first, in a window without levels; of a window with more
        than `WINDOW_TRADES` the rest follows in windows without levels. Every trade of the range
        comes out exactly once, also when there is no book. A file that cannot be read to its end
        raises its `RecordingError` after everything that was read.
        """
        books = UntilFailure(self._rows_before_end())
        trades = UntilFailure(self._trade_merge.batches())
        yield from book_windows(books, TradeCursor(self._cleaner.clean(trades)))
        for failure in (books.failure, trades.failure):
            if failure:
                raise failure

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
