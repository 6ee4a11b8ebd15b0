"""Keep results as Parquet files, one for each table, instrument and UTC day.

A file is replaced as a whole, so that it is there or not, whatever is killed when. The directory
is locked meanwhile, so that bars of several lengths can be written to a day at once. One process at
a time may write those of one.
"""

import contextlib
import fcntl
import io
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from formats.results import (
    METRICS,
    NothingKeptError,
    ResultsError,
    ResultTable,
    Row,
    Stretch,
    day_of,
)
from orderflow.atomic import remove_leftovers, replace_file
from orderflow.errors import OrderflowError
from orderflow.times import format_utc

FILE_NAME = "part.parquet"
_KEY = ("window_seconds", "timestamp")
_ROWS_AT_ONCE = 16_384
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

    def write(self, stretch: Stretch, rows: Mapping[ResultTable, Sequence[Row]]) -> None:
        """Replace what is kept of a stretch: see `Repository`."""
        with self._locked():
            for day in stretch.days():
                for table, given in rows.items():
                    of_day = [row for row in given if day.start_ms <= _time_of(row) < day.end_ms]
                    self._write_day(table, day, of_day)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Let nobody else write meanwhile: a file is read, and written with what is new in it."""
        with contextlib.ExitStack() as stack:
            # What cannot be made or opened is said by the write itself; not all disks have locks.
            with contextlib.suppress(OSError):
                self._directory.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
                stack.callback(os.close, descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    def _write_day(self, table: ResultTable, day: Stretch, rows: Sequence[Row]) -> None:
        path = self.path_of(table, day.instrument, day.start_ms)
        kept = [row for row in self._read_file(table, path) if not _is_of(day, *row[:2])]
        merged = sorted([*kept, *((day.window_seconds, *row) for row in rows)], key=_place_of)
        try:
            if not merged:
                _remove(path)
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(path.parent)
            replace_file(path, _packed(table, merged), durable=True)
        except OSError as error:
            msg = f"{path}: cannot be written ({error.strerror}); make room, or name another DIR"
            raise ResultsError(msg, path) from error

    def read(
        self, table: ResultTable, stretch: Stretch, among: Collection[str] | None = None
    ) -> list[Row]:
        """Return the rows kept of a stretch: see `Repository`."""
        found: list[Row] = []
        for day in stretch.days():
            path = self.path_of(table, day.instrument, day.start_ms)
            rows = self._read_file(table, path, among)
            found += [row[1:] for row in rows if _is_of(day, *row[:2])]
        return found

    def row_count(self, table: ResultTable, day: Stretch) -> int:
        """Return how many rows are kept of a stretch within a day. Raise `ResultsError`."""
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
        from pyarrow import ArrowException, parquet  # noqa: PLC0415

        rows: list[tuple[Any, ...]] = []
        try:
            # Read as a whole: a file may be replaced meanwhile. Threads gain nothing in a small one.
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
        except FileNotFoundError:
            return []
        except OSError as error:
            msg = f"{path}: cannot be read ({error.strerror or error}); name another DIR"
            raise ResultsError(msg, path) from error
        except MemoryError:  # of Arrow's exceptions the one that says nothing of the file
            raise
        except (ArrowException, KeyError) as error:
            msg = f"{path}: holds no results of this program ({error}); move it away"
            raise ResultsError(msg, path) from error
        return rows


def _values_of(column: Any) -> list[Any]:
    from pyarrow import types  # noqa: PLC0415

    values: list[Any] = (
        column.cast("int64") if types.is_timestamp(column.type) else column
    ).to_pylist()
    return values


def _packed(table: ResultTable, rows: Sequence[tuple[Any, ...]]) -> bytes:
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

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
    packed = io.BytesIO()
    parquet.write_table(pa.Table.from_arrays(columns, schema=schema), packed, compression="zstd")
    return packed.getvalue()


def _time_of(row: Row) -> float:
    return row[0] or 0


def _place_of(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return row[:2]


def _is_of(stretch: Stretch, window_seconds: int, timestamp: int) -> bool:
    in_time = stretch.start_ms <= timestamp < stretch.end_ms
    return in_time and window_seconds == stretch.window_seconds


def _remove(path: Path) -> None:
    """Remove a file and its folder, if they are there."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # not there, or something of somebody else's is in it
        path.parent.rmdir()
