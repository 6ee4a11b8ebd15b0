"""`uv run -m formats prepare`: read recordings once, so that every replay after that is faster."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from formats.prepared_reading import has_pyarrow
from formats.reporting import Progress
from orderflow import command
from orderflow import options as shared
from orderflow.command import Quiet, Verbose, print_result, say, say_error, set_up_logging
from orderflow.errors import OrderflowError, UsageError
from orderflow.instruments import check_instrument
from orderflow.issues import describe
from orderflow.times import format_duration, parse_range
from recordings.discovery import DEFAULT_DATA_DIR, BookMode, Recording, find_recording
from recordings.recorded_table import RecordedTable, open_tables

if TYPE_CHECKING:
    from formats.preparing import Prepared, PrepareOptions


def prepare(
    instrument: shared.Instrument,
    start_date: shared.Start,
    end_date: shared.End,
    data_dir: shared.DataDir = None,
    prepared_dir: shared.PreparedDir = None,
    depth_levels: shared.DepthLevels = 50,
    book_mode: Annotated[
        BookMode, typer.Option(help="What rows without an action are, for samples and checkpoints.")
    ] = BookMode.AUTO,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as a JSON object on stdout.")
    ] = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Read recordings once into Parquet files, from which replays are then fed.

    Each file that a replay of the range needs is prepared, as a whole; one that has a true copy is
    left alone. A replay says so when it does not use a copy.
    """
    set_up_logging(verbose, quiet=quiet)
    check_instrument(instrument)
    start_ms, end_ms = parse_range(start_date, end_date)
    if not has_pyarrow():
        msg = "prepared copies are written by pyarrow; uv sync --group data installs it"
        raise UsageError(msg, "prepare")
    from formats.prepared import default_root  # noqa: PLC0415 (import needs none of it)
    from formats.preparing import PrepareOptions  # noqa: PLC0415 (which needs pyarrow)

    recording = find_recording(instrument, data_dir or DEFAULT_DATA_DIR, start_ms, end_ms)
    options = PrepareOptions(prepared_dir or default_root(), depth_levels, book_mode)
    done, failed = _prepare_all(whole_files(recording), options, quiet=quiet)
    if as_json:
        summary = {
            "files": [prepared.as_json() for prepared in done],
            "failed": [{"source": str(path), "reason": why} for path, why in failed],
        }
        print_result(orjson.dumps(summary).decode())
    if failed:
        raise typer.Exit(command.EXIT_FAILED)


def whole_files(recording: Recording) -> list[list[RecordedTable]]:
    """Return the tables of each file of a recording, also those outside its range, by time."""
    tables = [*recording.books, *recording.trades]
    instruments = {table.path: table.instrument for table in tables}
    opened = [open_tables(path, instrument) for path, instrument in instruments.items()]
    files = [[table for table in pair if not table.is_empty] for pair in opened]
    return sorted(files, key=lambda pair: min(table.first_ms for table in pair))


@dataclass
class _Reached:
    """How far a recording is read, in ms of its time."""

    progress: Progress
    first_ms: int
    size: int
    position: int = 0

    def show(self, ms: int, rows: int) -> None:
        self.position = ms - self.first_ms
        self.progress.show(self, rows)


def _prepare_all(
    files: Sequence[Sequence[RecordedTable]], options: "PrepareOptions", *, quiet: bool
) -> tuple[list["Prepared"], list[tuple[Path, str]]]:
    from formats.preparing import prepare_file  # noqa: PLC0415 (which needs pyarrow)

    done: list[Prepared] = []
    failed: list[tuple[Path, str]] = []
    levels: tuple[list[list[float]], list[list[float]]] = [], []
    for tables in files:
        path = tables[0].path
        first_ms = min(table.first_ms for table in tables)
        last_ms = max(table.last_ms for table in tables)
        try:
            with Progress(shown=not quiet) as progress:
                reached = _Reached(progress, first_ms, last_ms - first_ms)
                prepared, levels = prepare_file(tables, options, levels, reached.show)
        except OrderflowError as error:
            say_error(str(error))
            failed.append((path, str(error)))
            levels = [], []
            continue
        done.append(prepared)
        if not quiet:
            say("\n".join(_lines(prepared)))
    return done, failed


def _lines(done: "Prepared") -> list[str]:
    what = f"{done.rows:,} book rows, {done.trades:,} trades"
    if done.state != "made":
        return [f"{done.source}: has a true copy, {what}; nothing is done"]
    rate = f"{done.rows / done.seconds:,.0f} rows/s" if done.seconds else "-"
    size = sum(done.bytes_by_file.values()) / 1e6
    return [
        f"{done.source}: {what}, into {done.place}",
        f"  took        {format_duration(done.seconds)}, {rate}, {size:,.1f} MB",
        f"  data issues {', '.join(describe(done.counts)) or 'none'}",
    ]
