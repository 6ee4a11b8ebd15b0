"""The table of the jobs of batches, beside the results; one process, the driver, writes it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields

import orjson

from formats.results import ResultTable, Row, Stretch
from formats.results_database import DatabaseResults, write_rows

WAITING, REPLACED = "waiting", "replaced"


@dataclass(frozen=True)
class JobRow:
    """A row of the table: see docs/batch.md. `options` and `counts` are JSON."""

    instrument: str
    day: str
    options_hash: str
    window_seconds: int
    options: str
    state: str = WAITING
    attempts: int = 0
    seconds: float | None = None
    rows: int | None = None
    trades: int | None = None
    book_from: int | None = None
    counts: str = "{}"
    error: str | None = None
    source_stamp: str = ""
    code_version: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what names the job."""
        return self.instrument, self.day, self.options_hash

    def as_json(self) -> dict[str, object]:
        """Return the row for `--json`."""
        return {
            **asdict(self),
            "options": orjson.loads(self.options),
            "counts": orjson.loads(self.counts),
        }


_NAMES = tuple(field.name for field in fields(JobRow))
_PUT = f"INSERT OR REPLACE INTO jobs({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))})"  # noqa: S608


class JobsTable:
    """The jobs in the file of `database`."""

    def __init__(self, database: DatabaseResults) -> None:
        self._database = database

    def all(self) -> dict[tuple[str, str, str], JobRow]:
        """Return all jobs by key. Raise `ResultsError`, as everything here does."""
        with self._database.transaction() as connection:
            found = connection.execute(f"SELECT {', '.join(_NAMES)} FROM jobs")  # noqa: S608
            rows = [JobRow(*row) for row in found]
        return {row.key: row for row in rows}

    def put(self, rows: Iterable[JobRow]) -> None:
        """Write jobs, in place of those of the same keys."""
        with self._database.transaction() as connection:
            connection.executemany(_PUT, map(astuple, rows))

    def put_planned(self, rows: Sequence[JobRow]) -> None:
        """Write jobs that are to be done.

        What jobs with other options have kept of these days is `replaced` from now on: a job writes
        its files before this table hears of it.
        """
        with self._database.transaction() as connection:
            connection.executemany(
                "UPDATE jobs SET state = ? WHERE instrument = ? AND day = ? AND window_seconds = ? "
                "AND state = 'done' AND options_hash <> ?",
                (
                    (REPLACED, row.instrument, row.day, row.window_seconds, row.options_hash)
                    for row in rows
                    if row.state == WAITING
                ),
            )
            connection.executemany(_PUT, map(astuple, rows))

    def put_done(
        self, row: JobRow, stretch: Stretch, results: Mapping[ResultTable, Sequence[Row]]
    ) -> None:
        """Write a job and its results in one step."""
        with self._database.transaction() as connection:
            write_rows(connection, stretch, results)
            connection.execute(_PUT, astuple(row))
