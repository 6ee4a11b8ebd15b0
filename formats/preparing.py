"""Make the prepared copy of a recording: read it once, and keep what was read in columns.

First the rows and trades are written as they are read, then the copy is replayed: from that come
the samples, the checkpoints and the counts of what was wrong, and the proof that it can be read.
"""

import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from db_interpreter import DBInterpreter
from formats.parquet_columns import BookFile, CheckpointFile, SampleFile, TradeFile
from formats.prepared import (
    BOOK,
    CHECKPOINTS,
    FILES,
    MANIFEST,
    SAMPLES,
    SCHEMA,
    TRADES,
    CopyError,
    PreparedCopy,
    difference,
    digest_of,
    place_of,
    signed,
    tables_facts,
)
from formats.prepared_reading import Levels, ParquetBook, ParquetTrades, last_levels
from metrics.book_rows import RowRecorder
from metrics.metric_bars import MetricBars
from ohlc_processor import OHLCProcessor
from orderflow.errors import OutputError, RecordingError
from recordings.book_kind import begins_with_snapshot
from recordings.connection import SETTLED_SECONDS, is_settled, recording_error, recording_state
from recordings.recorded_table import RecordedTable

logger = logging.getLogger(__name__)

CHECKPOINT_ROWS = 65_536
"""Rows between two checkpoints, as near as the lists of rows allow."""
MOST_LOST = 100_000
"""Places where rows were lost that are kept of a table; with more, a copy is not worth having."""
GENERATOR = "orderflow-replay 0.1.0"

OnProgress = Callable[[int, int], None]
"""Called now and then with the time reached in ms, and how many rows more were read."""


@dataclass(frozen=True)
class PrepareOptions:
    """Where copies go, and what samples and checkpoints are of."""

    root: Path
    depth_levels: int = 50
    book_mode: str = "auto"


@dataclass
class Prepared:
    """What became of one recording: `made`, or `true already`."""

    source: Path
    place: Path
    state: str
    rows: int = 0
    trades: int = 0
    seconds: float = 0.0
    bytes_by_file: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return {**vars(self), "source": str(self.source), "place": str(self.place)}


def prepare_file(
    tables: Sequence[RecordedTable],
    options: PrepareOptions,
    levels: Levels,
    on_progress: OnProgress = lambda _ms, _rows: None,
) -> tuple[Prepared, Levels]:
    """Make the copy of one recording, whose tables these are, unless there is a true one.

    `levels` is the book that the recording before has ended with. Return what became of it, and the
    book that this one ends with. Raise `RecordingError` for a recording that is no good for it,
    `OutputError` when the copy cannot be written.
    """
    path, instrument = tables[0].path, tables[0].instrument
    place = place_of(options.root, path, instrument)
    began = time.monotonic()
    try:
        true_copy = PreparedCopy.open(place)
        true_copy.check(path, instrument, tables)
    except CopyError as error:
        if os.path.lexists(place):
            logger.info("%s: the copy is made again: %s", place, error)
    else:
        said = true_copy.manifest["tables"]
        rows, trades = (said.get(name, {}).get("rows", 0) for name in ("book", "trades"))
        counts = true_copy.manifest["counts"]
        return Prepared(path, place, "true already", rows, trades, counts=counts), last_levels(
            place / CHECKPOINTS
        )
    maker = _Maker(tables, options, levels, on_progress)
    try:
        done = _write_whole(maker, place)
    except OSError as error:
        msg = (
            f"{place}: the copy cannot be written ({error.strerror}); make room there, or name "
            "another directory with --prepared-dir"
        )
        raise OutputError(msg, place) from error
    done.seconds = time.monotonic() - began
    return done, maker.levels


def _write_whole(maker: "_Maker", place: Path) -> Prepared:
    """Make a copy in a directory of its own, then put that in its place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(place.parent)
    working = place.parent / f".{place.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    working.mkdir()
    try:
        done = maker.make(working, place)
        put_in_place(working, place)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    return done


def put_in_place(working: Path, place: Path) -> None:
    """Rename a finished directory to its place; what is there goes."""
    descriptor = os.open(working, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
    while True:
        try:
            working.rename(place)
        except OSError:
            if not place.exists():
                raise
        else:
            break
        old = working.with_name(f"{working.name[:-4]}.old.tmp")
        place.rename(old)
        shutil.rmtree(old, ignore_errors=True)  # the next copy tries again


def remove_leftovers(directory: Path) -> None:
    """Remove what processes that have ended were making in a directory."""
    for path in directory.glob(".*.tmp"):
        parts = path.name.split(".")
        pids = [int(part) for part in parts[-4:-2] if part.isdecimal()]
        if pids and not any(map(_is_alive, pids)):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


class _Maker:
    """Makes one copy; `levels` is the book to begin with, and then the one at the end."""

    def __init__(
        self,
        tables: Sequence[RecordedTable],
        options: PrepareOptions,
        levels: Levels,
        on_progress: OnProgress,
    ) -> None:
        self.levels = levels
        self._tables = tables
        self._path = tables[0].path
        self._instrument = tables[0].instrument
        self._options = options
        self._on_progress = on_progress
        self._stamp = _stamp_of(self._path)
        self._about = {
            "schema": SCHEMA,
            "generator": GENERATOR,
            "instrument": self._instrument,
            "source": {"name": self._path.name, "path": str(self._path.resolve()), **self._stamp},
        }

    def make(self, working: Path, place: Path) -> Prepared:
        facts = tables_facts(self._tables)
        read = [self._write_table(table, working, facts) for table in self._tables]
        self._write_missing(working, facts)
        if why := difference(self._stamp, recording_state(self._path)):
            raise recording_error(self._path, f"changed while it was read ({why}); run again")
        counts = self._replay(read, working)
        for name in FILES:
            _sync(working / name)
        files = {name: digest_of(working / name) for name in FILES}
        manifest = {
            **self._about,
            "tables": facts,
            "files": files,
            "counts": counts,
            "options": self._options_as_json(),
        }
        (working / MANIFEST).write_bytes(signed(manifest))
        _sync(working / MANIFEST)
        rows, trades = (facts.get(name, {}).get("rows", 0) for name in ("book", "trades"))
        sizes = {name: listed["bytes"] for name, listed in files.items()}
        return Prepared(self._path, place, "made", rows, trades, bytes_by_file=sizes, counts=counts)

    def _options_as_json(self) -> dict[str, Any]:
        return {
            "depth_levels": self._options.depth_levels,
            "book_mode": self._options.book_mode,
            "uncross": False,
        }

    def _write_table(
        self, table: RecordedTable, working: Path, facts: dict[str, Any]
    ) -> RecordedTable:
        """Write the rows of a table as they are read; return the table reading what was written."""
        is_book = table.name == "book"
        path = working / (BOOK if is_book else TRADES)
        kind = BookFile if is_book else TradeFile
        with kind(path, {**self._about, "kind": table.name}) as file:
            for rows in table.read_through():
                lost, table.lost = table.lost, []
                file.add(rows, lost)
                self._check_lost(file.places_lost)
                self._on_progress(rows[-1][0], len(rows))
            file.end(table.lost)
        facts[table.name] |= {
            "rows": file.rows,
            "first_ms": file.first_ms,
            "last_ms": file.last_ms,
        }
        apart = copy(table)
        apart.prepared = (ParquetBook if is_book else ParquetTrades).at(path)
        return apart

    def _check_lost(self, places: int) -> None:
        if places > MOST_LOST:
            why = (
                f"rows were lost in more than {MOST_LOST:,} places, most likely for want of an "
                "index on the timestamp; put that right first, or replay it as it is"
            )
            raise recording_error(self._path, why)

    def _write_missing(self, working: Path, facts: dict[str, Any]) -> None:
        """Write files without a row for the tables that are not there."""
        for kind, name, table in ((BookFile, BOOK, "book"), (TradeFile, TRADES, "trades")):
            if table not in facts:
                with kind(working / name, {**self._about, "kind": table}) as file:
                    file.end([])

    def _replay(self, tables: Sequence[RecordedTable], working: Path) -> dict[str, int]:
        """Replay what was written; write samples and checkpoints, and return the data issues."""
        books = [table for table in tables if table.name == "book"]
        trades = [table for table in tables if table.name == "trades"]
        reader = DBInterpreter.of_tables(books, trades, book_mode=self._options.book_mode)
        begins_anew = bool(books) and begins_with_snapshot(books[0])
        about = {
            **self._about,
            **self._options_as_json(),
            "found_book_mode": reader.book_mode if books else None,
            "begins_with_snapshot": begins_anew,
        }
        with (
            SampleFile(working / SAMPLES, {**about, "kind": "samples"}) as samples,
            CheckpointFile(working / CHECKPOINTS, {**about, "kind": "checkpoints"}) as checkpoints,
        ):
            processor = OHLCProcessor(
                60,
                self._options.depth_levels,
                measured=cast("MetricBars", _SampleTaker(samples)),
            )
            if not begins_anew:
                processor.book.update(*self.levels, True)
            _feed(reader, processor, checkpoints)
            issues = processor.issues
            issues.add(reader.issues)
            for file in (samples, checkpoints):
                file.about["counts"] = issues.counts()
        self.levels = _levels_of(processor)
        return issues.counts()


def _feed(reader: DBInterpreter, processor: OHLCProcessor, checkpoints: CheckpointFile) -> None:
    """Process all events; add a checkpoint about every `CHECKPOINT_ROWS` rows, and at the end."""
    reached = 0
    for batch, trades in reader.batches():
        processor.process_rows(batch)
        processor.process_trades(trades)
        if processor.rows // CHECKPOINT_ROWS > reached // CHECKPOINT_ROWS:
            reached = processor.rows
            checkpoints.add(batch.rows[-1][0], reached, _levels_of(processor))
    processor.finalize()
    if processor.silences.span and processor.rows > reached:
        checkpoints.add(processor.silences.span[1], processor.rows, _levels_of(processor))


def _levels_of(processor: OHLCProcessor) -> Levels:
    return processor.book.top_levels(max(processor.book.level_counts))


class _SampleTaker:
    """Gives a processor's book a recorder, and writes what it has recorded."""

    def __init__(self, samples: SampleFile) -> None:
        self.recorder = RowRecorder()
        self._samples = samples

    def add_rows(self) -> None:
        """Write what the book was after each of the last rows."""
        self._samples.add(self.recorder.take()[0])

    def add_trades(self, _trades: object) -> None:
        """Leave them out: samples are of the book alone."""

    def settle(self) -> None:
        """Do nothing: nothing waits."""


def _stamp_of(path: Path) -> dict[str, int]:
    """Return the state of a finished recording. Raise `RecordingError` for any other."""
    stamp = recording_state(path)
    if stamp is None:
        raise recording_error(path, "cannot be read; check that it exists and is readable")
    if not is_settled(path):
        why = (
            "may still be written to: a copy is made of a recording without a write-ahead log or a "
            f"journal beside it that has been unchanged for {SETTLED_SECONDS:g} s; run again later"
        )
        raise RecordingError(f"{path}: {why}", str(path))
    return stamp


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
