"""Other files in and out, and copies: `uv run -m formats import …`, `… export …`, `… prepare …`."""

from orderflow import startup

if __name__ == "__main__":
    startup.begin()

import gc
from pathlib import Path
from typing import Annotated

import orjson
import typer

from formats.command_prepare import prepare
from formats.export_formats import NAMES, find_format
from formats.export_reporting import ExportProgress, export_lines
from formats.exporting import Exported, export
from formats.importing import Imported, ImportOptions, import_file
from formats.market_pass import PassOptions
from formats.recognition import AUTO, RECOGNISERS, check_format
from formats.reporting import Progress, report_lines
from orderflow import command
from orderflow import options as shared
from orderflow.command import (
    Quiet,
    Verbose,
    in_range,
    new_app,
    print_result,
    say,
    say_error,
    set_up_logging,
)
from orderflow.errors import OrderflowError, UsageError
from orderflow.instruments import check_instrument, parse_contract_values
from orderflow.times import parse_range
from recordings.discovery import DEFAULT_DATA_DIR, BookMode

MOST_LEVELS = 400
OBJECTS_PER_COLLECTION = 100_000
"""For `gc.set_threshold`: an export makes no cycles to speak of, as a replay does not."""

app = new_app()


@app.callback()
def _formats() -> None:
    """Bring in files of others, write files for others, and prepare recordings for replays."""


@app.command(name="import")
def import_command(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Archives, packed or not; see the docs.")
    ],
    into: Annotated[
        Path, typer.Option(metavar="DIR", help="Where the recordings go, one for each file.")
    ],
    format_name: Annotated[
        str,
        typer.Option(
            "--format", metavar="NAME", help=f"{AUTO}, by the content, or {', '.join(RECOGNISERS)}."
        ),
    ] = AUTO,
    instrument: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What to call the instrument; else as in the file."),
    ] = None,
    contract_value: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=N", help="Note what a contract stands for; repeatable."),
    ] = None,
    best_only: Annotated[
        bool, typer.Option("--best-only", help="Take books of the best bid and ask alone too.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as a JSON object on stdout.")
    ] = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Make recordings of archives: OKX, Tardis, Bybit, Binance and others, known by their content.

    Each file becomes a recording of its own, whole or not at all; what was imported before adds
    nothing, so that an import that was stopped is simply started again.
    """
    set_up_logging(verbose, quiet=quiet)
    check_format(format_name)
    if instrument is not None:
        check_instrument(instrument)
    for path in files:
        if not path.is_file():
            msg = f"{path} is no file; name the archives themselves, such as DIR/*.zip"
            raise UsageError(msg, "FILE", path)
    values = parse_contract_values(contract_value or (), any_name=True)
    options = ImportOptions(into, format_name, instrument, best_only, values)
    done, failed = _import_all(files, options, quiet=quiet)
    if as_json:
        summary = {
            "files": [imported.as_json() for imported in done],
            "failed": [{"source": str(path), "reason": why} for path, why in failed],
        }
        print_result(orjson.dumps(summary).decode())
    if failed or any(imported.state == "cut" for imported in done):
        raise typer.Exit(command.EXIT_FAILED)


def _import_all(
    files: list[Path], options: ImportOptions, *, quiet: bool
) -> tuple[list[Imported], list[tuple[Path, str]]]:
    done: list[Imported] = []
    failed: list[tuple[Path, str]] = []
    for path in files:
        try:
            with Progress(shown=not quiet) as progress:
                imported = import_file(path, options, progress.show)
        except OrderflowError as error:
            say_error(str(error))
            failed.append((path, str(error)))
            continue
        done.append(imported)
        if imported.state == "cut":
            say_error(f"{imported.why}; the {imported.rows:,} rows before are kept")
        if not quiet:
            say("\n".join(report_lines(imported)))
    return done, failed


@app.command(name="export")
def export_command(
    format_name: Annotated[
        str, typer.Argument(metavar="FORMAT", help=f"One of {', '.join(NAMES)}; see the docs.")
    ],
    instrument: shared.Instrument,
    start_date: shared.Start,
    end_date: shared.End,
    into: Annotated[
        Path, typer.Option(metavar="PATH", help="The file (hftbacktest) or folder to be made.")
    ],
    data_dir: shared.DataDir = None,
    window_seconds: shared.WindowSeconds = 60,
    depth_levels: shared.DepthLevels = 50,
    levels: Annotated[
        int,
        typer.Option(
            callback=in_range(1, MOST_LEVELS),
            metavar="N",
            help="Best levels a side in the table of books (parquet, csv).",
        ),
    ] = 10,
    book_mode: Annotated[
        BookMode,
        typer.Option(help="What book rows without an action are: updates or full snapshots."),
    ] = BookMode.AUTO,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as a JSON object on stdout.")
    ] = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Write a range of a recording for hftbacktest, NautilusTrader, or as Parquet or CSV.

    It is read as a replay reads it, and appears at PATH when it is whole. What is there is replaced
    where it is an export of the same command, and else refused.
    """
    set_up_logging(verbose, quiet=quiet)
    check_instrument(instrument)
    start_ms, end_ms = parse_range(start_date, end_date)
    gc.set_threshold(OBJECTS_PER_COLLECTION)
    options = PassOptions(instrument, start_ms, end_ms, window_seconds, depth_levels)
    form = find_format(format_name, window_seconds, levels)
    directory = data_dir or DEFAULT_DATA_DIR
    with ExportProgress(shown=not quiet) as progress:
        done = export(form, options, directory, into, book_mode, progress.show)
    _report(done, as_json=as_json, quiet=quiet)


def _report(done: Exported, *, as_json: bool, quiet: bool) -> None:
    if not quiet:
        say("\n".join(export_lines(done)))
    if as_json:
        print_result(orjson.dumps(done.as_json()).decode())
    if done.failure:
        say_error(f"{done.failure}; what is before is exported")
        raise typer.Exit(command.EXIT_FAILED)


app.command()(prepare)


if __name__ == "__main__":
    command.run(app)
