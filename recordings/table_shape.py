"""What a table of a recording looks like: its columns, its key, its order, and the time it spans.

From that follow the statements that read it in order and go on from any row; `recorded_table`
runs them.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from orderflow.times import time_form, to_nanoseconds
from recordings.connection import (
    connect,
    is_closed,
    length_fault,
    lock_reason,
    not_opened,
    not_while_written,
    recording_error,
)
from recordings.row_order import Row, are_whole_ms
from recordings.table_spec import TableSpec

UNKNOWN_SPAN = (0, 10**14)
"""First and last ms where a file does not tell: from the beginning of time to its end."""

TIME_FORMS = (
    "s, ms, µs or ns since 1970 as a number or as text, and ISO-8601 text such as "
    "2025-06-09T12:30:00Z"
)
"""What a timestamp may be, in words."""

_ROWID_NAMES = ("rowid", "_rowid_", "oid")
# The index has numbers before text before blobs; a blob is no time.
_TIMED, _NUMBERS, _TEXTS = (
    "timestamp < x''",
    "timestamp >= 0 AND timestamp < ''",
    "timestamp >= '' AND timestamp < x''",
)
_PROBED_TEXTS = 32

_Columns = dict[str, tuple[bytes, int]]  # declared type and place in the primary key, 0 for none


class TableShape:
    """The shape of one table, learned from its schema and a few of its rows.

    Rows are read along an index on the timestamp where one gives the right order (`indexed`), else
    along the key (`descending` where the newest come first). `exact`: along the index, times need
    neither conversion nor sorting. `has_bad_times`: among the texts of an index are some that are
    no times. `ties_by_key`: rows of one time go by the key, which then stands second in a row; else
    it stands last. `has_trailing`: rows have the columns that some tables lack. `is_utf8`: so
    text is stored. `first_ms` and `last_ms` bound the rows as far as the file tells, `last_ms`
    below `first_ms` where there is none. `damage` says why some of its rows may be missing although
    the file can be opened, None where nothing tells so.

    `along_key`: read along the key, which says what was appended, whatever indexes there are.

    Raise `RecordingError` for a view, a missing required column, or no key to go on from.
    """

    def __init__(
        self, path: Path, spec: TableSpec, instrument: str | None, *, along_key: bool = False
    ) -> None:
        self.path = path
        self.spec = spec
        self.instrument = instrument
        self._along_key = along_key
        self.exists = True
        self.filtered = self.ties_by_key = self.has_trailing = self.is_utf8 = False
        self.indexed = self.descending = self.exact = self.has_bad_times = False
        self._time_index_first = self._keyed_by_time = self._has_rowid = False
        self.first_ms, self.last_ms = UNKNOWN_SPAN
        self.damage: str | None = None
        connection, immutable = connect(path, immutable=is_closed(path) if along_key else None)
        with closing(connection):
            try:
                self.exists = not_while_written(lambda: self._learn_columns(connection))
                self.damage = not_while_written(
                    lambda: length_fault(path, connection, immutable=immutable)
                )
            except sqlite3.Error as error:
                raise not_opened(path, error) from error
            if self.exists:
                self._learn_order_of_damaged(connection)

    # -- its statements

    @property
    def select(self) -> str:
        """Name what a row is read as: time, tie, payload, and the key where it is not the tie."""
        # A blob is no time, and the index is read only as far as there are none.
        time = "timestamp"
        if not self.indexed:
            time = f"CASE WHEN {_TIMED} THEN timestamp END"
        return f"{time}, {self._payload}"

    @property
    def whole_sql(self) -> str:
        """Return the statement that reads all rows as `select`; it binds `:instrument` alone."""
        return self._page_sql(self.select, None, -1)

    def key_of(self, row: Row) -> Any:
        """Return the key of a row that was read as `select`, or as `(timestamp, key)`."""
        return row[1 if self.ties_by_key else -1]

    def read_on(
        self, connection: sqlite3.Connection, what: str, last: Row | None, limit: int = -1
    ) -> sqlite3.Cursor:
        """Read `what` of the rows after `last` (None: from the first), at most `limit` of them."""
        return self._run(connection, self._page_sql(what, last, limit), **self._bind(last))

    def position_after(self, connection: sqlite3.Connection, last: Row | None) -> Row | None:
        """Return `(timestamp, key)` of the row after `last`, without the time along the key."""
        # There it is not needed, and may itself be the value over the limit.
        time = "timestamp" if self.indexed else "NULL"
        position: Row | None = self.read_on(connection, f"{time}, {self._key}", last, 1).fetchone()
        return position

    def row_at(self, connection: sqlite3.Connection, position: Row) -> Row | None:
        """Read the one row that `position_after` returned the position of."""
        timed = " AND timestamp = :time" if self._keyed_by_time else ""
        sql = self._sql(self.select, f"{self._key} = :key{timed}", self._key, 1)
        row: Row | None = self._run(connection, sql, **self._bind(position)).fetchone()
        return row

    def time_at(self, connection: sqlite3.Connection, position: Row) -> object:
        """Return the timestamp of a row too large to be read; None if it is too large itself."""
        if self.indexed:
            return position[0]
        sql = self._sql("timestamp", f"{self._key} = :key", self._key, 1)
        try:
            found = self._run(connection, sql, **self._bind(position)).fetchone()
        except sqlite3.Error:
            return None
        return found[0] if found else None

    def untimed_counts(self, connection: sqlite3.Connection) -> Iterator[int]:
        """Count the rows that the index leaves out: first NULL for a time, then blobs."""
        if not self.indexed:
            return
        for condition in ("timestamp IS NULL", "timestamp >= x''"):
            sql = self._sql("count(*)", condition, "1")
            yield self._run(connection, sql).fetchone()[0]

    def read_between(
        self, connection: sqlite3.Connection, low: int, high: int, limit: int
    ) -> list[Row]:
        """Read the rows with keys from `low` to `high`, both included, at most `limit` of them."""
        sql = self._sql(self.select, f"{self._key} BETWEEN :low AND :high", self._key, limit)
        return self._run(connection, sql, low=low, high=high).fetchall()

    def newest_time(self, connection: sqlite3.Connection) -> object:
        """Return the timestamp, as recorded, of the row with the highest key; None without one."""
        found = self._run(connection, self._sql("timestamp", "", f"{self._key} DESC", 1)).fetchone()
        return found[0] if found else None

    def count_between(
        self, connection: sqlite3.Connection, low: int, high: int, limit: int
    ) -> tuple[int, int | None]:
        """Count rows with keys `low` to `high`, at most `limit`; return the highest key too."""
        inner = self._sql(f"{self._key} AS k", f"{self._key} BETWEEN :low AND :high", "k", limit)
        sql = f"SELECT count(*), max(k) FROM ({inner})"  # noqa: S608 (own text)
        count, highest = self._run(connection, sql, low=low, high=high).fetchone()
        return count, highest

    def sample_time(self, connection: sqlite3.Connection) -> object:
        """Return some row's timestamp as recorded, text cut short; NULL only if there is no other.

        None also for a table without rows.
        """
        short = "CASE WHEN typeof(timestamp) IN ('text', 'blob') THEN substr(timestamp, 1, 40) "
        sql = self._sql(f"{short}ELSE timestamp END", "timestamp IS NOT NULL", "1", 1)
        found = self._run(connection, sql).fetchone()
        return found[0] if found else None

    def _page_sql(self, what: str, last: Row | None, limit: int) -> str:
        """Write the statement that reads on after `last`: along the index, or along the key."""
        if self.indexed:
            # Text that is not UTF-8 can only be bound as a blob.
            time = "CAST(:time AS TEXT)" if last and isinstance(_bound(last[0]), bytes) else ":time"
            beyond = f"(timestamp, {self._key}) > ({time}, :key)" if last else ""
            condition = " AND ".join(filter(None, [beyond, _TIMED]))
            if not self._has_rowid:  # then the index may be the table itself
                return self._sql(what, condition, f"timestamp, {self._key}", limit)
            return self._joined_sql(what, condition, limit)
        beyond, way = ("<", " DESC") if self.descending else (">", "")
        condition = f"{self._key} {beyond} :key" if last else ""
        return self._sql(what, condition, self._key + way, limit)

    def _joined_sql(self, what: str, conditions: str, limit: int) -> str:
        """Write a statement that reads in the order of the index, and every value from the table.

        Plainly asked, SQLite takes the time from the index and the rest from the row that the index
        names. So a damaged entry would give a row another's time, which no order betrays. It is
        as fast either way: the row is looked up once.
        """
        name = self.spec.name
        of_instrument = "instrument = :instrument" if self.filtered else ""
        inside = "" if self._time_index_first else of_instrument
        within = " AND ".join(filter(None, [conditions, inside]))
        return (
            f"SELECT {what} FROM (SELECT timestamp AS t, {self._key} AS k FROM {name} "  # noqa: S608
            f"WHERE {within}) AS entry CROSS JOIN {name} ON {self._key} = entry.k "
            f"WHERE {'+' + of_instrument if of_instrument else '1'} "
            f"ORDER BY entry.t, entry.k LIMIT {limit}"
        )

    def _sql(self, what: str, conditions: str, order: str, limit: int = -1) -> str:
        """Write a statement of column names and constants; values are always bound."""
        # The plus keeps an index on the instrument alone from taking the place of the right one.
        plus = "+" if self._time_index_first else ""
        of_instrument = f"{plus}instrument = :instrument" if self.filtered else ""
        clause = " AND ".join(filter(None, [conditions, of_instrument])) or "1"
        return (
            f"SELECT {what} FROM {self.spec.name} WHERE {clause} "  # noqa: S608
            f"ORDER BY {order} LIMIT {limit}"
        )

    def _run(self, connection: sqlite3.Connection, sql: str, **values: Any) -> sqlite3.Cursor:
        return connection.execute(sql, {"instrument": self.instrument, **values})

    def _bind(self, last: Row | None) -> dict[str, object]:
        return {} if last is None else {"time": _bound(last[0]), "key": _bound(self.key_of(last))}

    # -- its columns and its key

    def _learn_columns(self, connection: sqlite3.Connection) -> bool:
        """Learn what to read, and by which key; return whether there is such a table."""
        if not self._is_table(connection):
            return False
        # xinfo, unlike info, lists generated columns too.
        listed = connection.execute(f"PRAGMA table_xinfo({self.spec.name})")
        columns: _Columns = {
            column.decode(errors="replace").lower(): (kind.upper(), primary_key)
            for _, column, kind, _, _, primary_key, _ in listed
        }
        for required in self.spec.required:
            if required not in columns:
                why = f"table {self.spec.name} has no column {required}; found {', '.join(columns)}"
                raise recording_error(self.path, why)
        self.filtered = "instrument" in columns and self.instrument is not None
        tie = self._choose_key(connection, columns)
        extra = [] if self.ties_by_key else [self._key]
        (encoding,) = connection.execute("PRAGMA encoding").fetchone()
        self.is_utf8 = encoding == b"UTF-8"
        self.has_trailing = any(column in columns for column in self.spec.trailing)
        names = self.spec.payload + (self.spec.trailing if self.has_trailing else ())
        payload = [_as_read(c, encoding) if c in columns else "NULL" for c in names]
        self._payload = ", ".join([tie, *payload, *extra])
        return True

    def _is_table(self, connection: sqlite3.Connection) -> bool:
        """Return whether there is the table; refuse what only looks like one."""
        name = self.spec.name
        found = connection.execute(
            "SELECT type, sql FROM sqlite_master WHERE lower(name) = ? AND type IN (?, ?)",
            (name, "table", "view"),
        ).fetchone()
        if found is None:
            return False
        virtual = found[1].upper().startswith(b"CREATE VIRTUAL")
        if found[0] != b"table" or virtual:
            kind = "virtual table" if virtual else found[0].decode()
            why = f"{name} must be a table; found a {kind}, copy its rows into one"
            raise recording_error(self.path, why)
        return True

    def _choose_key(self, connection: sqlite3.Connection, columns: _Columns) -> str:
        """Choose the key to page through the table by; return what tells rows of one time apart.

        That is the id; where it is not the key itself it is read beside it.
        """
        rowid = self._rowid_name(connection, columns)
        if rowid is None:
            self._check_primary_key(columns)
        self._has_rowid = rowid is not None
        self._key = f"{self.spec.name}.{rowid or 'id'}"
        own_id = "id" in columns and not (rowid and self._is_rowid(connection, columns["id"]))
        self.ties_by_key = not own_id
        # An id that is no integer cannot order anything.
        by_id = f"CASE typeof(id) WHEN 'integer' THEN id ELSE {self._key if rowid else 0} END"
        return by_id if own_id else self._key

    def _rowid_name(self, connection: sqlite3.Connection, columns: _Columns) -> str | None:
        """Return a name of the rowid that no column has taken; None for a WITHOUT ROWID table."""
        name = next((name for name in _ROWID_NAMES if name not in columns), "rowid")
        try:
            connection.execute(f"SELECT {name} FROM {self.spec.name} LIMIT 0")  # noqa: S608 (constants)
        except sqlite3.OperationalError as error:
            if "no such column" not in str(error):
                raise
            return None
        return name

    def _is_rowid(self, connection: sqlite3.Connection, id_column: tuple[bytes, int]) -> bool:
        """Return whether the column `id` is the rowid by another name."""
        # A key of two columns, or INTEGER PRIMARY KEY DESC, is kept in an index of its own.
        sql = "SELECT count(*) FROM pragma_index_list(?) WHERE origin = 'pk'"
        (own_index,) = connection.execute(sql, (self.spec.name,)).fetchone()
        return id_column == (b"INTEGER", 1) and not own_index

    def _check_primary_key(self, columns: _Columns) -> None:
        """Refuse a WITHOUT ROWID table whose rows `id` does not tell apart."""
        keyed = sorted((place, name) for name, (_, place) in columns.items() if place)
        names = [name for _, name in keyed if not (self.filtered and name == "instrument")]
        self._keyed_by_time = names == ["timestamp", "id"]
        if names != ["id"] and not self._keyed_by_time:
            found = ", ".join(name for _, name in keyed)
            why = (
                f"table {self.spec.name} is WITHOUT ROWID and its primary key ({found}) is "
                "neither (id) nor (timestamp, id), an instrument aside; copy its rows into a "
                "table with an INTEGER PRIMARY KEY id"
            )
            raise recording_error(self.path, why)

    # -- its order and its span

    def _learn_order_of_damaged(self, connection: sqlite3.Connection) -> None:
        """Learn the order, as far as damage lets; of what it hides nothing is taken for known."""
        try:
            not_while_written(lambda: self._learn_order(connection))
        except sqlite3.Error as error:
            if lock_reason(self.path, error):
                raise not_opened(self.path, error) from error
            # Along the key, what is read does not depend on an index that may be the damaged part.
            self.indexed = self._time_index_first = False
            self.exact = self.has_bad_times = False
            if error.sqlite_errorname != "SQLITE_TOOBIG":  # that row is skipped when it is read
                self.damage = self.damage or str(error)
        if self.damage and self.last_ms < self.first_ms:
            self.first_ms, self.last_ms = UNKNOWN_SPAN

    def _learn_order(self, connection: sqlite3.Connection) -> None:
        if not self._along_key:
            self._find_index(connection)
        ends = self._index_ends(connection) if self.indexed else None
        if ends is None:
            # Along the key, what has no time is met where it was recorded.
            self.indexed = self._time_index_first = self.has_bad_times = False
            self.descending = self._is_newest_first(connection)
            if self._along_key:
                self._check_appended(connection)
            ends = self._near_ends(connection)
        known = [t // 1_000_000 for t in map(to_nanoseconds, ends) if t is not None]
        if known:
            self.first_ms, self.last_ms = min(known), max(known)
        elif not self._run(connection, self._sql("1", "", self._key, 1)).fetchone():
            self.first_ms, self.last_ms = 0, -1

    def _check_appended(self, connection: sqlite3.Connection) -> None:
        """Refuse a table of which the key does not say what was appended."""
        why = None
        if not self._has_rowid:
            why = "is WITHOUT ROWID"
        elif self.descending:
            # As many as are sorted anyhow may lie in any order, such as what came at the start.
            rows = self._run(connection, self._sql("1", "", self._key, self.spec.reorder + 1))
            why = "has its newest rows first" if len(rows.fetchall()) > self.spec.reorder else None
            self.descending = False
        if why:
            raise recording_error(
                self.path,
                f"table {self.spec.name} {why}, so that nothing tells which rows are new: it "
                "cannot be followed; replay it without --follow",
            )

    def _find_index(self, connection: sqlite3.Connection) -> None:
        """Return whether an index gives the rows in order, also on from a position."""
        self.indexed = True
        for self._time_index_first in (False, True):
            pages = [self._page_sql(self.select, last, 1) for last in (None, (0, 0))]
            steps = [
                step[3]
                for sql in pages
                for step in self._run(connection, "EXPLAIN QUERY PLAN " + sql, time=0, key=0)
            ]
            sorts = any(b"TEMP B-TREE FOR ORDER BY" in step for step in steps)
            # Where the instrument is not in the index, it is looked up with the rest of the row.
            twice = self.filtered and self._has_rowid and not self._time_index_first
            if not sorts and not (twice and not any(b"COVERING" in step for step in steps)):
                return
        self.indexed = self._time_index_first = False

    def _index_ends(self, connection: sqlite3.Connection) -> list[object] | None:
        """Return the times at the index's ends; None where its order is not the order of time.

        It is not where units or formats are mixed: an index compares what was recorded.
        """
        numbers = self._ends_within(connection, _NUMBERS, 1)
        texts = self._ends_within(connection, _TEXTS, _PROBED_TEXTS)
        usable = [text for text in texts if to_nanoseconds(text) is not None]
        ends = numbers + usable
        self.has_bad_times = len(usable) < len(texts)
        one_form = len({time_form(raw) for raw in ends if raw != 0}) <= 1
        # Integers in ms at both ends: whatever lies between has the index's order on our scale.
        self.exact = self.ties_by_key and not texts and are_whole_ms([(t,) for t in ends])
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
        """Return whether times mostly fall along the key, from rows spread over the table."""
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
            reach = self.spec.reorder + self.spec.batch
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


def _as_read(column: str, encoding: bytes) -> str:
    """Read levels as bytes whatever their type; None stands for no row, so NULL becomes empty."""
    if column not in ("bids", "asks"):
        return column
    as_bytes = f"ifnull(CAST({column} AS BLOB), x'')"
    if encoding == b"UTF-8":
        return as_bytes
    # A cast would give the text's UTF-16; without one it comes in UTF-8, but a tenth more slowly.
    return f"CASE typeof({column}) WHEN 'text' THEN {column} ELSE {as_bytes} END"


def _bound(raw: object) -> object:
    """Give text, which comes as bytes, back as text, where it is any."""
    try:
        return raw.decode() if isinstance(raw, bytes) else raw
    except UnicodeDecodeError:
        return raw
