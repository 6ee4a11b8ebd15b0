"""Keep results in tables of an SQLite file, for who wants SQL; the file has the table of jobs too.

One process at a time writes; others wait for it. The journal is a rollback journal, which works on
a shared file system too.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from formats.results import (
    DAY_MS,
    DECISIONS,
    TABLES,
    ResultsError,
    ResultTable,
    Row,
    Stretch,
    day_of,
)

LOCK_SECONDS = 60.0

JOBS = """CREATE TABLE IF NOT EXISTS jobs(
    instrument TEXT, day TEXT, options_hash TEXT, window_seconds INTEGER, options TEXT,
    state TEXT, attempts INTEGER, seconds REAL, rows INTEGER, trades INTEGER, book_from INTEGER,
    counts TEXT, error TEXT, source_stamp TEXT, code_version TEXT,
    PRIMARY KEY (instrument, day, options_hash)) WITHOUT ROWID"""


class DatabaseResults:
    """Results in the SQLite file at `path`, which is made when it is first written or read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give a connection in a transaction that is committed at the end of the block.

        Raise `ResultsError` where something fails; then nothing is changed.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            opened = sqlite3.connect(self._path, timeout=LOCK_SECONDS, isolation_level=None)
            with closing(opened) as connection:
                connection.execute("BEGIN IMMEDIATE")
                for table in (*TABLES, *DECISIONS):
                    _prepare(connection, table)
                connection.execute(JOBS)
                yield connection
                connection.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            msg = f"{self._path}: cannot be used ({error}); make room, or name another DIR"
            raise ResultsError(msg, self._path) from error

    def write(
        self,
        stretch: Stretch,
        rows: Mapping[ResultTable, Sequence[Row]],
        among: Collection[str] | None = None,
    ) -> None:
        """Replace what is kept of a stretch: see `Repository`. Jobs of its days are `replaced`."""
        with self.transaction() as connection:
            write_rows(connection, stretch, rows, among)

    def read(
        self, table: ResultTable, stretch: Stretch, among: Collection[str] | None = None
    ) -> list[Row]:
        """Return the rows kept of a stretch: see `Repository`."""
        only = _only(table, among)
        with self.transaction() as connection:
            found = connection.execute(
                f"SELECT timestamp, {', '.join(table.fields)} FROM {table.name} {_OF_STRETCH} "  # noqa: S608 (our own names)
                f"{only} ORDER BY {', '.join(('timestamp', *table.keys))}",
                (*_bounds(stretch), *(among or ())),
            )
            return found.fetchall()

    def row_counts(self, table: ResultTable, stretch: Stretch) -> dict[int, int]:
        """Return how many rows are kept of each UTC day of a stretch, by its begin in ms."""
        with self.transaction() as connection:
            found = connection.execute(
                f"SELECT timestamp / {DAY_MS}, count(*) FROM {table.name} {_OF_STRETCH} GROUP BY 1",  # noqa: S608
                _bounds(stretch),
            )
            return {day * DAY_MS: count for day, count in found}


_OF_STRETCH = "WHERE instrument = ? AND window_seconds = ? AND timestamp >= ? AND timestamp < ?"


def _only(table: ResultTable, among: Collection[str] | None) -> str:
    return "" if among is None else f" AND {table.keys[0]} IN ({', '.join('?' * len(among))})"


def write_rows(
    connection: sqlite3.Connection,
    stretch: Stretch,
    rows: Mapping[ResultTable, Sequence[Row]],
    among: Collection[str] | None = None,
) -> None:
    """Write what `DatabaseResults.write` does, in a transaction that somebody else ends."""
    for table, given in rows.items():
        chosen = among if table.keys else None
        connection.execute(
            f"DELETE FROM {table.name} {_OF_STRETCH}{_only(table, chosen)}",  # noqa: S608
            (*_bounds(stretch), *(chosen or ())),
        )
        marks = ", ".join("?" * (3 + len(table.fields)))
        connection.executemany(
            f"INSERT OR REPLACE INTO {table.name} VALUES ({marks})",  # noqa: S608
            ((stretch.instrument, stretch.window_seconds, *row) for row in given),
        )
    if rows.keys().isdisjoint(TABLES):
        return  # strategies decide on results, and replace none
    for day in stretch.days():
        connection.execute(
            "UPDATE jobs SET state = 'replaced' WHERE instrument = ? AND window_seconds = ? "
            "AND day = ? AND state = 'done'",
            (day.instrument, day.window_seconds, day_of(day.start_ms)),
        )


def _bounds(stretch: Stretch) -> tuple[str | int, ...]:
    return stretch.instrument, stretch.window_seconds, stretch.start_ms, stretch.end_ms


def _prepare(connection: sqlite3.Connection, table: ResultTable) -> None:
    """Make a table, or add to one of an older version what has been added to it since."""
    types = dict.fromkeys((*table.integers, *table.times), "INTEGER")
    types |= dict.fromkeys(table.texts, "TEXT")
    columns = {name: f"{name} {types.get(name, 'REAL')}" for name in table.fields}
    key = ", ".join(("instrument", "window_seconds", "timestamp", *table.keys))
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {table.name}(instrument TEXT, window_seconds INTEGER, "
        f"timestamp INTEGER, {', '.join(columns.values())}, "
        f"PRIMARY KEY ({key})) WITHOUT ROWID"
    )
    if table.added:
        found = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table.name})")}
        for name in table.added:
            if name not in found:
                connection.execute(f"ALTER TABLE {table.name} ADD COLUMN {columns[name]}")
