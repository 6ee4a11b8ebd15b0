"""Write a recording in the input schema: the one place where a recording is made or added to.

The schema is in docs/reference.md; what `RecordingWriter` writes, `DBInterpreter` reads. A recorder
adds to its files through `open_to_append`.
"""

import os
import secrets
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from orderflow.errors import OutputError

BOOK_COLUMNS = ("instrument", "bids", "asks", "timestamp")
SEQUENCE_COLUMNS = ("action", "seq_id", "prev_seq_id")
TRADE_COLUMNS = ("instrument", "trade_id", "price", "size", "side", "timestamp")
RECEIVED = ("received",)
NOTES_TABLE = "import_notes"

_INTEGERS = dict.fromkeys(("timestamp", "seq_id", "prev_seq_id", "received"), "INTEGER")
_TYPES = {"price": "REAL", "size": "REAL"} | _INTEGERS
_IMPORTED_PAGE_BYTES = 32_768
"""Several rows of a busy book fit in a page: they are written and read a third faster."""
_LEFTOVER_SECONDS = 86_400
_LOCK_SECONDS = 5.0


class NotWrittenError(OutputError):
    """Report that the recording at `path` was not written; nothing of it is there."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


def open_to_append(path: Path, tables: dict[str, str]) -> sqlite3.Connection:
    """Open a file for adding rows, in WAL mode; it and its `tables`, name to columns, are made.

    A file that is new appears with its tables and not before. Raise `NotWrittenError` for a file
    with other tables, which is left as it is, `OSError` or `sqlite3.Error` when the file can't be
    opened or written. One process at a time may do this for a path.
    """
    if not path.exists():
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.unlink(missing_ok=True)
        with closing(sqlite3.connect(temporary)) as connection:
            for table, columns in tables.items():
                connection.execute(f"CREATE TABLE {table}({columns})")
        temporary.rename(path)
    connection = sqlite3.connect(
        path, timeout=_LOCK_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        _check_tables(path, connection, tables)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_tables(path: Path, connection: sqlite3.Connection, tables: dict[str, str]) -> None:
    """Raise `NotWrittenError` where one of `tables` is not there, or not as it should be."""
    found = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    for table, columns in tables.items():
        if found.get(table) != f"CREATE TABLE {table}({columns})":
            there = found.get(table, "no such table")
            msg = f"{path} is not a recorder's: table {table} is {there}; name another folder"
            raise NotWrittenError(msg, path)


class RecordingWriter:
    """Write one recording, which appears under its name when it is whole and not before.

    A context manager: leaving it flushes the file to the disk and renames it, leaving it by an
    exception, Ctrl+C too, removes what was written. `sequenced` adds `SEQUENCE_COLUMNS` to `book`,
    `index` an index on the timestamp to both tables. What is written takes no memory.

    An `imported` recording has `SEQUENCE_COLUMNS`, `received` (ns) in both tables, prices and sizes
    of trades as the text they are given, an index on instrument and timestamp, and notes.

    Raise `NotWrittenError` when `path` exists, for nothing is replaced unless `replace` says so, or
    can't be written.
    """

    def __init__(
        self,
        path: Path,
        *,
        sequenced: bool = False,
        index: bool = False,
        imported: bool = False,
        replace: bool = False,
    ) -> None:
        self._path = path
        self._index = "instrument, timestamp" if imported else "timestamp" if index else None
        self._imported, self._replace = imported, replace
        columns = BOOK_COLUMNS + (SEQUENCE_COLUMNS if sequenced or imported else ())
        received = RECEIVED if imported else ()
        self._tables = {"book": columns + received, "trades": TRADE_COLUMNS + received}
        self._types = _TYPES | dict.fromkeys(("price", "size"), "TEXT") if imported else _TYPES
        self._temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
        self._descriptor = -1
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> "RecordingWriter":
        if self._path.exists() and not self._replace:
            msg = f"{self._path} exists already: name another file, or delete it first."
            raise NotWrittenError(msg, self._path)
        try:
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise self._not_written(error) from error
        finally:
            if self._connection is None:
                self._discard()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except (OSError, sqlite3.Error) as failure:
            raise self._not_written(failure) from failure
        finally:
            self._discard()

    def write_book(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Append rows of the book, in the order of `BOOK_COLUMNS` and `SEQUENCE_COLUMNS`."""
        self._insert("book", rows)

    def write_trades(self, trades: Iterable[tuple[Any, ...]]) -> None:
        """Append trades, in the order of `TRADE_COLUMNS`."""
        self._insert("trades", trades)

    def write_notes(self, notes: Mapping[str, str]) -> None:
        """Note where an imported recording is from, by name."""
        self._execute(f"INSERT INTO {NOTES_TABLE} VALUES (?, ?)", notes.items())  # noqa: S608

    def _open(self) -> None:
        # O_EXCL follows no link; sqlite3 takes the empty file for a new database
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR
        self._descriptor = os.open(self._temporary, flags, 0o666)
        self._remove_leftovers()
        connection = sqlite3.connect(self._temporary, isolation_level=None)
        # nobody sees the file before it is whole, so it needs no journal
        if self._imported:
            connection.execute(f"PRAGMA page_size = {_IMPORTED_PAGE_BYTES}")
        for statement in ("PRAGMA journal_mode = OFF", "PRAGMA synchronous = OFF", "BEGIN"):
            connection.execute(statement)
        for table, columns in self._tables.items():
            typed = ", ".join(f"{column} {self._types.get(column, 'TEXT')}" for column in columns)
            connection.execute(f"CREATE TABLE {table}(id INTEGER PRIMARY KEY, {typed})")
        if self._imported:
            connection.execute(f"CREATE TABLE {NOTES_TABLE}(name TEXT PRIMARY KEY, value TEXT)")
        self._connection = connection

    def _remove_leftovers(self) -> None:
        """Remove what runs killed over a day ago left of the same file."""
        now = os.fstat(self._descriptor).st_mtime
        for leftover in self._path.parent.glob(".*.tmp"):
            if not leftover.name.startswith(f".{self._path.name}."):
                continue
            with suppress(OSError):  # another run may be removing it too
                if leftover.stat().st_mtime < now - _LEFTOVER_SECONDS:
                    leftover.unlink()

    def _insert(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        columns = self._tables[table]
        marks = ", ".join("?" * len(columns))
        self._execute(f"INSERT INTO {table}({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608

    def _execute(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        try:
            self._opened.executemany(statement, rows)
        except sqlite3.OperationalError as error:
            raise self._not_written(error) from error

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            msg = "a RecordingWriter is written to inside its `with` block"
            raise ValueError(msg)
        return self._connection

    def _finish(self) -> None:
        if self._index:
            for table in self._tables:
                self._opened.execute(f"CREATE INDEX {table}_timestamp ON {table}({self._index})")
        self._opened.execute("COMMIT")
        self._opened.close()
        os.fsync(self._descriptor)  # or a power cut could leave the name without the content
        self._give_name()
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _give_name(self) -> None:
        """Let the file appear; an imported one never in the place of another's, made meanwhile."""
        if self._imported and not self._replace:
            try:
                os.link(self._temporary, self._path)
            except FileExistsError as error:
                msg = f"{self._path} was written by another process meanwhile; import again"
                raise NotWrittenError(msg, self._path) from error
            except OSError:  # a file system without hard links
                self._temporary.replace(self._path)
        else:
            self._temporary.replace(self._path)

    def _discard(self) -> None:
        """Let go of everything; after a rename there is no temporary file to remove."""
        if self._connection:
            self._connection.close()
            self._connection = None
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            self._temporary.unlink(missing_ok=True)

    def _not_written(self, error: Exception) -> NotWrittenError:
        msg = (
            f"{self._path} can't be written: {error}. Look at its directory and the space left "
            "there."
        )
        return NotWrittenError(msg, self._path)
