"""Other files in, and recordings prepared: `uv run -m formats import …`, `… prepare …`."""

from orderflow import startup

if __name__ == "__main__":
    startup.begin()

from pathlib import Path
from typing import Annotated

import orjson
import typer

from formats.command_prepare import prepare
from formats.contract_values import parse_contract_values
from formats.importing import Imported, ImportOptions, import_file
from formats.recognition import AUTO, RECOGNISERS, check_format
from formats.reporting import Progress, report_lines
from orderflow import command
from orderflow.command import Quiet, Verbose, new_app, print_result, say, say_error, set_up_logging
from orderflow.errors import OrderflowError, UsageError
from orderflow.instruments import check_instrument

app = new_app()


@app.callback()
def _formats() -> None:
    """Bring in files that others have recorded, and prepare recordings for replays."""


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
    values = parse_contract_values(contract_value or ())
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


app.command()(prepare)

if __name__ == "__main__":
    command.run(app)
