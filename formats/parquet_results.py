"""Keep results as Parquet files, one for each table, instrument and UTC day.

A file is replaced as a whole, so that it is there or not, whatever is killed when. Those of a day
are written beside, then renamed all at once, and have a stamp in common, by which it is told where
a write was cut short. The directory is locked meanwhile, so that bars of several lengths, or other
metrics of the same bars, can be written to a day at once.
"""

import contextlib
import fcntl
import io
import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from formats.results import (
    METRICS,
    TABLES,
    NothingKeptError,
    ResultsError,
    ResultTable,
    Row,
    Stretch,
    day_of,
)
from orderflow.atomic import remove_leftovers, replace_files
from orderflow.errors import OrderflowError
from orderflow.times import format_utc

logger = logging.getLogger(__name__)

FILE_NAME = "part.parquet"
_KEY = ("window_seconds", "timestamp")
_ROWS_AT_ONCE = 16_384
_STAMP = b"orderflow_day"
_MIXED = "its files of %s are not of one write: one was cut short, or a file has gone"
_INSTRUMENTS = f"{METRICS.name}/instrument=*"
"""Every run that keeps anything keeps metric bars."""


class ParquetResults:
    """Results under a directory: `TABLE/instrument=NAME/day=YYYY-MM-DD/part.parquet`.

    A file has the columns `window_seconds`, `timestamp` and the table's fields, sorted by the first
    two; the same rows are the same bytes. Raise `OrderflowError` where pyarrow is not installed.
    """

    def __init__(self, directory: Path) -> None:
        try:
            import pyarrow  # noqa: F401, PLC0415 (of a group of its own)
        except ImportError as error:
            msg = "results are kept with pyarrow; uv sync --group data installs it"
            raise OrderflowError(msg) from error
        self._directory = directory

    def path_of(self, table: ResultTable, instrument: str, start_ms: int) -> Path:
        """Return where a day's results lie, by any time of the day."""
        folder = self._directory / table.name / f"instrument={instrument}"
        return folder / f"day={day_of(start_ms)}" / FILE_NAME

    def nothing_kept(self, stretch: Stretch) -> NothingKeptError:
        """Return the error for a stretch of which nothing is kept; it says what there is."""
        kept = [self._described(folder) for folder in sorted(self._directory.glob(_INSTRUMENTS))]
        there = f"there are {', '.join(filter(None, kept))}" if any(kept) else "it has no results"
        msg = (
            f"{self._directory}: nothing is kept of {stretch.instrument} in bars of "
            f"{stretch.window_seconds} s from {format_utc(stretch.start_ms)} to "
            f"{format_utc(stretch.end_ms)}; {there}"
        )
        return NothingKeptError(msg, stretch, self._directory)

    def _described(self, folder: Path) -> str:
        """Return what is in the folder of an instrument, nothing where it is empty."""
        files = sorted(folder.glob(f"day=*/{FILE_NAME}"))
        if not files:
            return ""
        windows = sorted({row[0] for row in self._read_file(METRICS, files[-1])})
        first, last = (file.parent.name.removeprefix("day=") for file in (files[0], files[-1]))
        name, lengths = folder.name.removeprefix("instrument="), " and ".join(map(str, windows))
        return f"{name} {first} to {last} in bars of {lengths} s"

    def write(
        self,
        stretch: Stretch,
        rows: Mapping[ResultTable, Sequence[Row]],
        among: Collection[str] | None = None,
    ) -> None:
        """Replace what is kept of a stretch: see `Repository`."""
        with self._locked():
            for day in stretch.days():
                self._write_day(day, rows, among)

    @contextlib.contextmanager
    def _locked(self, *, alone: bool = True) -> Iterator[None]:
        """Let nobody else write meanwhile: a file is read, and written with what is new in it."""
        with contextlib.ExitStack() as stack:
            # What cannot be made or opened is said by the write itself; not all disks have locks.
            with contextlib.suppress(OSError):
                if alone:
                    self._directory.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield

    def _write_day(
        self,
        day: Stretch,
        rows: Mapping[ResultTable, Sequence[Row]],
        among: Collection[str] | None,
    ) -> None:
        """Replace the rows of a day, or of a part of it.

        What a run keeps of a day lies in one file for each of `TABLES`. All of them are written
        anew, with one stamp: files with different ones are left by a write that was cut short.
        """
        tables = TABLES if any(table in TABLES for table in rows) else tuple(rows)
        is_mixed = tables is TABLES and self._is_mixed(day)
        if is_mixed:
            said = "%s: " + _MIXED + "; what else was kept of it in Parquet goes"
            logger.warning(said, self._directory, f"{day.instrument} {day_of(day.start_ms)}")
        merged = {
            table: self._merged(table, day, rows.get(table), among, forget=is_mixed)
            for table in tables
        }
        found = {table: _as_arrow(table, of_day) for table, of_day in merged.items() if of_day}
        stamp = _stamp_of(found) if tables is TABLES else None
        folder = self._directory
        try:
            files = {}
            for table, content in found.items():
                path = self.path_of(table, day.instrument, day.start_ms)
                folder = path.parent
                folder.mkdir(parents=True, exist_ok=True)
                remove_leftovers(folder)
                files[path] = _packed(content, stamp)
            replace_files(files)
            for table in merged.keys() - found.keys():
                _remove(self.path_of(table, day.instrument, day.start_ms))
        except OSError as error:
            msg = f"{folder}: cannot be written ({error.strerror}); make room, or name another DIR"
            raise ResultsError(msg, folder) from error

    def _merged(
        self,
        table: ResultTable,
        day: Stretch,
        rows: Sequence[Row] | None,
        among: Collection[str] | None,
        *,
        forget: bool,
    ) -> list[tuple[Any, ...]]:
        """Return what a day's file is to hold: what stays of it, unless `forget`, and new rows."""
        path = self.path_of(table, day.instrument, day.start_ms)
        kept = [] if forget else self._read_file(table, path)
        if rows is None:
            return kept
        chosen = among if table.keys else None
        kept = [
            row
            for row in kept
            if not (_is_of(day, *row[:2]) and (chosen is None or row[2] in chosen))
        ]
        new = ((day.window_seconds, *row) for row in rows if _is_in(day, row[0]))
        key = len(_KEY) + len(table.keys)
        return sorted([*kept, *new], key=lambda row: row[:key])

    def _is_mixed(self, day: Stretch) -> bool:
        """Return whether the files of a day are not all of one write. Raise `ResultsError`."""
        from pyarrow import parquet  # noqa: PLC0415

        known: dict[str, str] = {}
        for table in TABLES:
            path = self.path_of(table, day.instrument, day.start_ms)
            with contextlib.suppress(FileNotFoundError), _reading(path):
                metadata = parquet.read_metadata(io.BytesIO(path.read_bytes())).metadata
                known[table.name] = (metadata or {}).get(_STAMP, b"").decode()
        stamps = set(known.values())
        if stamps <= {""}:
            return False  # nothing is there, or it is of an older version
        _, *names = max(stamps).split()
        return len(stamps) > 1 or {*names} != known.keys()

    def _check_whole(self, table: ResultTable, day: Stretch) -> None:
        """Raise `ResultsError` where the files of a day are not all of one write."""
        if table not in TABLES:
            return
        with self._locked(alone=False):
            is_mixed = self._is_mixed(day)
        if is_mixed:
            path = self.path_of(table, day.instrument, day.start_ms)
            msg = f"{path}: {_MIXED % day_of(day.start_ms)}; replay the day again"
            raise ResultsError(msg, path)

    def read(
        self, table: ResultTable, stretch: Stretch, among: Collection[str] | None = None
    ) -> list[Row]:
        """Return the rows kept of a stretch: see `Repository`."""
        found: list[Row] = []
        for day in stretch.days():
            self._check_whole(table, day)
            path = self.path_of(table, day.instrument, day.start_ms)
            rows = self._read_file(table, path, among)
            found += [row[1:] for row in rows if _is_of(day, *row[:2])]
        return found

    def row_count(self, table: ResultTable, day: Stretch) -> int:
        """Return how many rows are kept of a stretch within a day. Raise `ResultsError`."""
        self._check_whole(table, day)
        path = self.path_of(table, day.instrument, day.start_ms)
        return sum(_is_of(day, *row) for row in self._read_columns(path, _KEY))

    def _read_file(
        self, table: ResultTable, path: Path, among: Collection[str] | None = None
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a file, each led by its window; none where there is no file."""
        return self._read_columns(path, (*_KEY, *table.fields), table.added, among)

    def _read_columns(
        self,
        path: Path,
        names: Sequence[str],
        added: Collection[str] = (),
        among: Collection[str] | None = None,
    ) -> list[tuple[Any, ...]]:
        """Return columns as rows; those `added` may be missing, and are then None."""
        # pyarrow.compute, imported before a file is read, aborts some processes at their end.
        from pyarrow import parquet  # noqa: PLC0415

        rows: list[tuple[Any, ...]] = []
        with contextlib.suppress(FileNotFoundError), _reading(path):
            # Read as a whole: a file may be replaced meanwhile. Threads gain nothing here.
            file = parquet.ParquetFile(io.BytesIO(path.read_bytes()), pre_buffer=False)
            missing = {*added} - {*file.schema_arrow.names}
            there = [name for name in names if name not in missing]
            for read in file.iter_batches(_ROWS_AT_ONCE, columns=there, use_threads=False):
                columns = [
                    [None] * len(read) if name in missing else _values_of(read[name])
                    for name in names
                ]
                found = zip(*columns, strict=True)
                rows += found if among is None else (row for row in found if row[2] in among)
        return rows


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise `ResultsError` for what goes wrong with a file, unless it is not there."""
    from pyarrow import ArrowException  # noqa: PLC0415

    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        msg = f"{path}: cannot be read ({error.strerror or error}); name another DIR"
        raise ResultsError(msg, path) from error
    except MemoryError:  # of Arrow's exceptions the one that says nothing of the file
        raise
    except (ArrowException, KeyError) as error:
        msg = f"{path}: holds no results of this program ({error}); move it away"
        raise ResultsError(msg, path) from error


def _values_of(column: Any) -> list[Any]:
    from pyarrow import types  # noqa: PLC0415

    # Not cast, which imports all functions of pyarrow.compute: longer than this takes.
    seen: Any = column.view("int64") if types.is_timestamp(column.type) else column
    values: list[Any] = seen.to_pylist()
    return values


def _as_arrow(table: ResultTable, rows: Sequence[tuple[Any, ...]]) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    types = dict.fromkeys(table.integers, pa.int32()) | dict.fromkeys(table.texts, pa.string())
    types |= dict.fromkeys(table.times, pa.timestamp("ms", "UTC"))
    schema = pa.schema(
        [
            pa.field("window_seconds", pa.int32(), nullable=False),
            pa.field("timestamp", pa.timestamp("ms", "UTC"), nullable=False),
            *((name, types.get(name, pa.float64())) for name in table.fields),
        ]
    )
    columns = [pa.array(c, f.type) for c, f in zip(zip(*rows, strict=True), schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _stamp_of(found: Mapping[ResultTable, Any]) -> str:
    """Return what the files of a day say that are written together: a digest, and which they are.

    The same rows are the same stamp.
    """
    digest = blake2b(digest_size=12)
    for batch in found.values():
        digest.update(batch.serialize())
    return " ".join((digest.hexdigest(), *(table.name for table in found)))


def _packed(content: Any, stamp: str | None) -> bytes:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    packed = io.BytesIO()
    if stamp:
        content = content.replace_schema_metadata({_STAMP: stamp})
    parquet.write_table(pa.Table.from_batches([content]), packed, compression="zstd")
    return packed.getvalue()


def _is_in(stretch: Stretch, timestamp: int) -> bool:
    return stretch.start_ms <= timestamp < stretch.end_ms


def _is_of(stretch: Stretch, window_seconds: int, timestamp: int, *_: object) -> bool:
    return window_seconds == stretch.window_seconds and _is_in(stretch, timestamp)


def _remove(path: Path) -> None:
    """Remove a file and its folder, if they are there."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not there, or something of somebody else's is in it
        path.parent.rmdir()
