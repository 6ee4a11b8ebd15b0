"""One job of a batch: a day of an instrument replayed, and its results written as Parquet.

It runs in a process of its own (`replay.job_process`), which `replay.child` starts and looks after,
and in one thread: a batch has as many at once as there are cores for it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from formats.parquet_results import ParquetResults
from formats.prepared_use import read_from_copies
from formats.results import DAY_MS, TABLES, ResultTable, Row, Stretch, day_of
from metrics.registry import parse_metrics
from ohlc_processor import OHLCProcessor
from orderflow.errors import NothingToReplayError, OrderflowError
from orderflow.times import parse_moment
from recordings.discovery import Recording, open_recordings
from recordings.search import FoundFiles
from replay.kept_results import KeptResults
from replay.run import FINISHED, Replay, ReplayOptions
from replay.run_files import RunFiles
from replay.run_orders import ControlFile, Order
from viz_io import Levels

DONE, EMPTY, FAILED = "done", "empty", "failed"


@dataclass(frozen=True)
class Job:
    """A day of an instrument, the files it takes, and how it is replayed into `results`.

    `is_outright`: the one file was named by the user. `memory_mb` is what its process may take,
    `prepared_dir` where prepared copies are, by default in the cache of whoever does the job.
    """

    instrument: str
    start_ms: int
    files: tuple[str, ...]
    is_outright: bool
    results: str
    window_seconds: int
    depth_levels: int
    book_mode: str
    uncross: bool
    memory_mb: int
    metrics: tuple[str, ...] = ()
    prepared_dir: str | None = None

    @property
    def day(self) -> str:
        """Return the UTC day, `2025-06-09`."""
        return day_of(self.start_ms)

    @property
    def stretch(self) -> Stretch:
        """Return which results it makes."""
        return Stretch(self.instrument, self.window_seconds, self.start_ms, self.start_ms + DAY_MS)

    def as_line(self) -> str:
        """Return the job as a line of JSON."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def of_line(cls, line: str | bytes) -> "Job":
        """Return the job of a line that `as_line` has made."""
        given = orjson.loads(line)
        lists = {name: tuple(given[name]) for name in ("files", "metrics")}
        return cls(**{**given, **lists})


def run_job(job: Job) -> dict[str, Any]:
    """Replay the day and write its results; return what the table of jobs has of it.

    `state` is `done`, `empty` where the recordings have nothing of the day, or `failed`: then
    nothing is written, and `error` says why. `book_from` is from when the book is right, ms, UTC.
    Where the files before the day cannot be read the day is replayed without; `error` says so.
    `not_prepared` says why prepared copies are not used, where there are some; the results are the
    same with them.
    """
    began = time.monotonic()
    try:
        outcome = _replayed(job)
    except NothingToReplayError:
        outcome = _emptied(job)
    except MemoryError:
        return {"state": FAILED, "error": f"needs more memory than {job.memory_mb:,} MB"}
    except OrderflowError as error:
        return {"state": FAILED, "error": str(error)}
    return outcome | {"seconds": round(time.monotonic() - began, 3)}


def _replayed(job: Job) -> dict[str, Any]:
    found = FoundFiles([Path(name) for name in job.files], is_outright=job.is_outright)
    opened = open_recordings(job.instrument, found, Path(job.files[0]).parent)
    recording = opened.of_range(job.start_ms, job.start_ms + DAY_MS, job.book_mode)
    root = Path(job.prepared_dir) if job.prepared_dir else None
    not_prepared = read_from_copies(recording, root)
    run, kept = _run(job, recording)
    why = run.reason
    if run.state != FINISHED and not run.is_empty:
        of_day = [
            book
            for book in recording.books
            if book.first_ms >= job.start_ms or not (book.damage or book.last_ms < job.start_ms)
        ]
        if of_day and len(of_day) < len(recording.books):
            run, kept = _run(job, replace(recording, books=of_day))
            why = f"the book before the day cannot be read: {why}"
    if run.is_empty:
        return _emptied(job)
    if kept.failure:
        raise kept.failure
    if run.state != FINISHED:
        return {"state": FAILED, "error": run.reason}
    summary = run.summary()
    return {
        "state": DONE,
        "error": why,
        "rows": summary["rows"],
        "trades": summary["trades"],
        "counts": {kind: count for kind, count in summary["counts"].items() if count},
        "book_from": book_from(run),
        "not_prepared": not_prepared,
    }


def _run(job: Job, recording: Recording) -> tuple[Replay, KeptResults]:
    options = ReplayOptions(
        job.instrument,
        job.start_ms,
        job.start_ms + DAY_MS,
        job.window_seconds,
        job.depth_levels,
        job.uncross,
        flow=False,
        threaded=False,
        metrics=tuple(parse_metrics(list(job.metrics), partial(parse_moment, "anchor"))),
    )
    into = [ParquetResults(Path(job.results))]
    kept = WholeResults(job.stretch, job.depth_levels, into, None, options.metrics)
    run = Replay(options, recording, NoFiles(), results=kept)
    run.run()
    return run, kept


def _emptied(job: Job) -> dict[str, Any]:
    """Note that there is nothing of the day: what was kept of it goes."""
    nothing: dict[ResultTable, list[Row]] = {table: [] for table in TABLES}
    ParquetResults(Path(job.results)).write(job.stretch, nothing)
    return {"state": EMPTY, "error": None, "rows": 0, "trades": 0, "counts": {}, "book_from": None}


def book_from(run: Replay) -> int | None:
    """Return from when on the book of a run is right, in ms; None where it never is.

    That is START if rows before it have made the book, the first snapshot else, and the next one
    where something was lost before. What is lost later is for the data issues to say.
    """
    span = run.processor.silences.span
    if span is None:
        return None
    kinds = ("unproven_rows", "unreliable_rows")
    spans = [s for s in run.issues.spans() if s.kind in kinds]
    if any(s.start is None for s in spans):
        return None
    ends = [s.end for s in spans if s.start is not None and s.start <= span[0]]
    wrong_until = max((end for end in ends if end is not None), default=None)
    if wrong_until is None:
        return run.options.start_ms if run.processor.warm_up_rows else span[0]
    return None if wrong_until >= span[1] and not run.processor.reliable else wrong_until


class WholeResults(KeptResults):
    """The results of a run that are kept if it comes to its end, and not at all else."""

    def finish(self, processor: OHLCProcessor, *, is_whole: bool, is_in_step: bool = True) -> None:
        """Write the results of a run that has come to its end."""
        if is_whole:
            super().finish(processor, is_whole=True, is_in_step=is_in_step)


class NoFiles(RunFiles):
    """The files of a run of which only the results are wanted: none."""

    def __init__(self) -> None:
        self.failure = None

    def clear(self, status: dict[str, Any], issues: dict[str, Any]) -> None:
        """Do nothing."""

    def control(self) -> ControlFile:
        """Return orders that nobody gives."""
        return _NoOrders(-1)

    @property
    def is_due(self) -> bool:
        """Return that it is not time to write."""
        return False

    def publish(
        self,
        ohlc: Sequence[Sequence[float]],
        metrics: Sequence[Sequence[float | None]],
        depth: tuple[Levels, Levels],
        status: dict[str, Any],
        issues: dict[str, Any],
        *,
        durable: bool = False,
    ) -> None:
        """Do nothing."""

    def write_flow(self, contents: Mapping[str, bytes]) -> None:
        """Do nothing."""

    def append_flow(self, name: str, data: bytes, size: int) -> bool:
        """Do nothing, which always works."""
        return True

    def monitoring(self) -> dict[str, Any]:
        """Return that nothing was written."""
        return {}

    def close(self) -> None:
        """Do nothing."""


class _NoOrders(ControlFile):
    def take(self) -> list[Order]:
        return []
