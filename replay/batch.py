"""Replay days by the hundred into kept results: plan the jobs, run them, note what became of them.

A job is a day of an instrument; where jobs run is a scheduler's matter (`replay.schedulers`), and
what a job does is in `replay.job`. See docs/batch.md.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from time import monotonic
from typing import Any

import orjson

from formats.jobs_table import WAITING, JobRow, JobsTable
from formats.parquet_results import ParquetResults
from formats.results import (
    DATABASE_NAME,
    DAY_MS,
    TABLES,
    ResultsError,
    ResultTable,
    Row,
    Stretch,
    day_of,
)
from formats.results_database import DatabaseResults
from orderflow.errors import NothingToReplayError, OutputError, RecordingError
from orderflow.times import parse_moment
from recordings.connection import lasting_identity
from recordings.discovery import OpenedRecordings, Recording, open_recordings
from recordings.recorded_table import RecordedTable
from recordings.search import FoundFiles, find_files
from replay.job import DONE, EMPTY, FAILED, Job
from replay.output_lock import DirectoryInUseError, OutputLock
from replay.schedulers import LOST, Outcome, Scheduler

logger = logging.getLogger(__name__)

CODE_VERSION = "2"
"""To be raised when the same recording gives other results: all jobs are then done again."""
MOST_ATTEMPTS = 2
MOST_LOSSES = 5
"""So often a job is given out again whose workers had died."""
LOCK_NAME = ".orderflow-batch.lock"
RowCounts = Mapping[ResultTable, Mapping[int, int]]
"""Of each table, how many rows are kept by the day, in ms, in which they lie."""
_DATE = re.compile(r"(\d{2}|\d{4})-?(\d{2})-?(\d{2})")


@dataclass(frozen=True)
class BatchOptions:
    """How each day is replayed, which its results depend on, and what its process may take.

    Results do not depend on whether prepared copies, in `prepared_dir`, are read.
    """

    window_seconds: int = 60
    depth_levels: int = 50
    book_mode: str = "auto"
    uncross: bool = False
    memory_mb: int = 1024
    seconds: float = 3600
    metrics: tuple[str, ...] = ()
    prepared_dir: Path | None = None

    def as_json(self) -> str:
        """Return what the results depend on."""
        options: dict[str, Any] = {
            "window_seconds": self.window_seconds,
            "depth_levels": self.depth_levels,
            "book_mode": self.book_mode,
            "uncross": self.uncross,
        }
        if self.metrics:
            options["metrics"] = sorted(self.metrics)
        return orjson.dumps(options).decode()

    @property
    def hash(self) -> str:
        """Return what tells these options from others."""
        return blake2b(self.as_json().encode(), digest_size=8).hexdigest()


@dataclass
class Report:
    """What has become of the jobs of a batch: each in one of the lists; `total` counts them all."""

    total: int = 0
    skipped: int = 0
    done: list[JobRow] = field(default_factory=list)
    empty: list[JobRow] = field(default_factory=list)
    failed: list[JobRow] = field(default_factory=list)
    began: float = field(default_factory=monotonic)

    @property
    def ended(self) -> int:
        """Count the jobs that need nothing more."""
        return self.skipped + len(self.done) + len(self.empty) + len(self.failed)

    @property
    def seconds(self) -> float:
        """Return how long it has taken so far."""
        return monotonic() - self.began

    def as_json(self, state: str) -> dict[str, Any]:
        """Return the summary: see docs/batch.md."""
        return {
            "state": state,
            "jobs": self.total,
            "skipped": self.skipped,
            "done": len(self.done),
            "empty": len(self.empty),
            "failed": [row.as_json() for row in self.failed],
            "rows": sum(row.rows or 0 for row in self.done),
            "trades": sum(row.trades or 0 for row in self.done),
            "seconds": round(self.seconds, 3),
        }


class Storage:
    """A directory of results that one batch at a time fills, job by job.

    Raise `OutputError` where another one does, or where it cannot be written. `close` frees it.
    """

    def __init__(self, directory: Path, options: BatchOptions) -> None:
        self.directory, self.options = directory, options
        self._parquet = ParquetResults(directory)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = OutputLock(directory, LOCK_NAME)
        except DirectoryInUseError as error:
            msg = f"{directory}: another batch fills it, pid {error.pid}; wait for it, or stop it"
            raise OutputError(msg, directory) from error
        except OSError as error:
            msg = f"{directory}: cannot be written to ({error.strerror}); name another --results"
            raise OutputError(msg, directory) from error
        self._database = DatabaseResults(directory / DATABASE_NAME)
        self._jobs = JobsTable(self._database)
        self._stop_asked = False
        self.report = Report()

    def close(self) -> None:
        """Let another batch have the directory."""
        self._lock.release()

    def stop(self) -> None:
        """Ask `run` to end; what is in hand is lost."""
        self._stop_asked = True

    # -- what is to be done

    def plan(
        self, instruments: Sequence[str], data_dir: Path, start_ms: int, end_ms: int
    ) -> list[tuple[Job, JobRow]]:
        """Return the jobs to be done: all days of all instruments, less those done before.

        A job is done again when its recordings, its options or the program have changed, or when
        its file has gone. Days of which there is no recording are `empty`, and those whose
        recording cannot be opened `failed`, without a job. Raise `OrderflowError` for an instrument
        of which there is nothing.
        """
        known = self._jobs.all()
        found = find_files(data_dir)
        rows: list[JobRow] = []
        todo: list[tuple[Job, JobRow]] = []
        opened_by_name: dict[str, tuple[OpenedRecordings, list[RecordingError]]] = {}
        for instrument in instruments:
            opened, broken = _open(instrument, found, data_dir)
            # A name in another case is that of the recording, which may be among them too.
            opened_by_name.setdefault(opened.instrument, (opened, broken))
        for instrument, (opened, broken) in opened_by_name.items():
            whole = Stretch(instrument, self.options.window_seconds, start_ms, end_ms)
            kept = {table: self._database.row_counts(table, whole) for table in TABLES}
            for day_ms in range(start_ms, end_ms, DAY_MS):
                self.report.total += 1
                row, job = self._planned(opened, broken, day_ms, is_outright=found.is_outright)
                if self._is_done(known.get(row.key), row, kept):
                    self.report.skipped += 1
                    continue
                rows.append(row)
                if job:
                    todo.append((job, row))
                else:
                    self._note_without_job(row, day_ms)
        self._jobs.put_planned(rows)
        return todo

    def _planned(
        self, opened: OpenedRecordings, broken: list[RecordingError], day_ms: int, is_outright: bool
    ) -> tuple[JobRow, Job | None]:
        """Return the row of a day, with its job where there is anything to be replayed."""
        options = self.options
        row = JobRow(
            opened.instrument,
            day_of(day_ms),
            options.hash,
            options.window_seconds,
            options.as_json(),
            code_version=CODE_VERSION,
        )
        try:
            recording = _recording_of(opened, broken, day_ms, options.book_mode)
        except NothingToReplayError:
            return replace(row, state=EMPTY), None
        except RecordingError as error:
            return replace(row, state=FAILED, error=str(error)), None
        files = sorted({table.path for table in (*recording.books, *recording.trades)})
        job = Job(
            opened.instrument,
            day_ms,
            tuple(str(path.absolute()) for path in files),
            is_outright,
            str(self.directory.absolute()),
            options.window_seconds,
            options.depth_levels,
            str(options.book_mode),
            options.uncross,
            options.memory_mb,
            options.metrics,
            str(options.prepared_dir.absolute()) if options.prepared_dir else None,
        )
        return replace(row, source_stamp=_stamp_of(files)), job

    def _is_done(self, known: JobRow | None, row: JobRow, kept: RowCounts) -> bool:
        if known is None or known.state not in {DONE, EMPTY} or row.state != WAITING:
            return False
        same = (known.source_stamp, known.code_version) == (row.source_stamp, row.code_version)
        if known.state == EMPTY:
            return same
        return same and self._is_kept(row, kept)

    def _is_kept(self, row: JobRow, kept: RowCounts) -> bool:
        """Return whether the files have as many rows of a day as the database."""
        day_ms = parse_moment("day", row.day)
        stretch = Stretch(row.instrument, row.window_seconds, day_ms, day_ms + DAY_MS)
        try:
            return all(
                self._parquet.row_count(table, stretch) == counts.get(day_ms, 0)
                for table, counts in kept.items()
            )
        except ResultsError as error:
            logger.info("%s %s: done again: %s", row.instrument, row.day, error)
            return False

    def _has_results(self, instrument: str, day_ms: int) -> bool:
        paths = (self._parquet.path_of(table, instrument, day_ms) for table in TABLES)
        return any(path.exists() for path in paths)

    def _note_without_job(self, row: JobRow, day_ms: int) -> None:
        """Note what became of a day of which nothing is replayed; what was kept of it goes."""
        if row.state == FAILED:
            self.report.failed.append(row)
            return
        self.report.empty.append(row)
        if self._has_results(row.instrument, day_ms):
            stretch = Stretch(row.instrument, row.window_seconds, day_ms, day_ms + DAY_MS)
            nothing: dict[ResultTable, list[Row]] = {table: [] for table in TABLES}
            self._parquet.write(stretch, nothing)
            self._jobs.put_done(row, stretch, nothing)

    # -- doing it

    def run(
        self,
        todo: Sequence[tuple[Job, JobRow]],
        scheduler: Scheduler,
        on_tick: Callable[[Report], None] = lambda _: None,
    ) -> bool:
        """Do the jobs; return whether all have ended, well or not, and none was left by `stop`.

        A job that fails is tried twice. Raise `OrderflowError` where nothing can be noted any more.
        """
        attempts = dict.fromkeys(range(len(todo)), 0)
        losses = dict.fromkeys(attempts, 0)
        for number, (job, _) in enumerate(todo):
            scheduler.submit(number, job.as_line(), self.options.seconds)
        while attempts and not self._stop_asked:
            on_tick(self.report)
            ended = scheduler.next()
            if ended is None or self._stop_asked:
                continue
            number, outcome = ended
            job, row = todo[number]
            is_lost = outcome["state"] == LOST
            counted = losses if is_lost else attempts
            counted[number] += 1
            most = MOST_LOSSES if is_lost else MOST_ATTEMPTS
            if outcome["state"] not in {DONE, EMPTY} and counted[number] < most:
                logger.info("%s %s: %s; once more", job.instrument, job.day, outcome["error"])
                scheduler.submit(number, job.as_line(), self.options.seconds)
                continue
            self._note(job, replace(row, attempts=attempts.pop(number)), outcome)
        on_tick(self.report)
        return not attempts

    def _note(self, job: Job, row: JobRow, outcome: Outcome) -> None:
        state = outcome["state"]
        if why := outcome.get("not_prepared"):
            logger.warning("%s %s: %s", job.instrument, job.day, why)
        row = replace(
            row,
            state=state if state in {DONE, EMPTY} else FAILED,
            error=outcome["error"],
            seconds=outcome.get("seconds"),
            rows=outcome.get("rows"),
            trades=outcome.get("trades"),
            book_from=outcome.get("book_from"),
            counts=orjson.dumps(outcome.get("counts", {})).decode(),
        )
        if row.state == FAILED:
            self._jobs.put([row])
            self.report.failed.append(row)
            return
        results = {table: self._parquet.read(table, job.stretch) for table in TABLES}
        self._jobs.put_done(row, job.stretch, results)
        (self.report.done if row.state == DONE else self.report.empty).append(row)


def _open(
    instrument: str, found: FoundFiles, data_dir: Path
) -> tuple[OpenedRecordings, list[RecordingError]]:
    """Open the files of an instrument; return also the errors of those that cannot be used.

    They are poison for the days that need them alone.
    """
    broken: list[RecordingError] = []
    files = list(found.files)
    while True:
        try:
            part = FoundFiles(files, list(found.hidden), found.is_outright)
            return open_recordings(instrument, part, data_dir), broken
        except RecordingError as error:
            left = [path for path in files if str(path) != str(error.path)]
            if len(left) == len(files) or not left:
                raise
            files = left
            broken.append(error)


def _recording_of(
    opened: OpenedRecordings, broken: list[RecordingError], day_ms: int, book_mode: str
) -> Recording:
    """Return what a day needs; raise as `OpenedRecordings.of_range` does.

    A damaged file that is named for another day would be taken to reach up to the next one: poison
    for the days after it, which need it for the book at midnight at most. The book of files before
    it is not that of midnight either, and is left out too.
    """
    day = day_of(day_ms)

    def may_matter(path: str | Path) -> bool:
        """Return whether a file that cannot be read may have had rows of the day."""
        return _day_of_name(Path(path).stem, opened.instrument) in {None, day}

    def usable(tables: list[RecordedTable]) -> list[RecordedTable]:
        return [table for table in tables if not table.damage or may_matter(table.path)]

    known_ms = _end_of_the_unreadable(opened, broken, day)
    chosen = replace(
        opened,
        books=[
            book
            for book in usable(opened.books)
            if book.last_ms >= day_ms or book.first_ms >= known_ms
        ],
        trades=usable(opened.trades),
        hidden=[*opened.hidden, *(error for error in broken if may_matter(error.path))],
    )
    return chosen.of_range(day_ms, day_ms + DAY_MS, book_mode)


def _end_of_the_unreadable(opened: OpenedRecordings, broken: list[RecordingError], day: str) -> int:
    """Return the end of the last day before `day` whose file cannot be read, in ms; 0 for none."""
    paths = [book.path for book in opened.books if book.damage]
    paths += [Path(error.path) for error in broken]
    days = [_day_of_name(path.stem, opened.instrument) for path in paths]
    return max((parse_moment("day", one) + DAY_MS for one in days if one and one < day), default=0)


def _day_of_name(stem: str, instrument: str) -> str | None:
    """Return the day that a file's name says, `2025-06-09`; None where it says none."""
    found = _DATE.fullmatch(stem.removeprefix(instrument).lstrip("-_."))
    if not found:
        return None
    year, month, day = found.groups()
    return f"{year if len(year) == 4 else '20' + year}-{month}-{day}"


def _stamp_of(files: Sequence[Path]) -> str:
    """Return what changes when one of the files does; the device may change with a restart."""
    known: Iterator[Any] = (
        [str(path), *(part and part[1:] for part in lasting_identity(path) or [])] for path in files
    )
    return blake2b(orjson.dumps(list(known)), digest_size=12).hexdigest()
