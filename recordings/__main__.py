"""Make, list, check and look into recordings: `uv run -m recordings record|list|check|book …`."""

from orderflow import startup

if __name__ == "__main__":
    startup.begin()

import re
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from orderflow import command, options
from orderflow.command import Quiet, Verbose, in_range, new_app, print_result, set_up_logging
from orderflow.errors import RecordingError, UsageError
from orderflow.instruments import check_instrument
from orderflow.issues import DataIssue, describe, losses
from orderflow.times import format_utc, parse_moment
from recordings.check import CheckedFile, CheckedRecording, check_file
from recordings.discovery import DEFAULT_DATA_DIR, BookMode, find_recording
from recordings.listing import ListedRecording, ListedTable, Listing, list_recordings
from recordings.recorder_losses import loss_line
from recordings.search import find_files

MOST_SPANS = 5
"""How many spans of one kind of issue are lines of their own; --json has them all."""

KINDS = {"action": "by an action column", "snapshot": "full snapshots", "incremental": "updates"}

app = new_app()

DAY_MS = 86_400_000
_MS = re.compile(r"[0-9]{12,14}", re.ASCII)
"""A time of this age is in ms; a date without dashes has eight digits."""

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@app.callback()
def _recordings() -> None:
    """Record an exchange; say what recordings hold, and whether anything of them is lost."""


@app.command(name="list")
def list_command(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only this instrument's.")
    ] = None,
    data_dir: options.DataDir = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """List the recordings: instruments, tables, rows, spans, what book rows are, indexes."""
    set_up_logging(verbose, quiet=quiet)
    if name is not None:
        check_instrument(name)
    listing = list_recordings(data_dir or DEFAULT_DATA_DIR, name)
    if as_json:
        print_result(orjson.dumps(_listing_as_json(listing)).decode())
    elif not quiet:
        lines = [line for recording in listing.recordings for line in _listed_lines(recording)]
        lines += [f"left out: {error}" for error in listing.left_out]
        print_result("\n".join(lines))


@app.command(name="check")
def check_command(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR", help="Files, or folders to search.")
    ],
    instrument: Annotated[
        str | None, typer.Option(metavar="NAME", help="Check only this instrument's rows.")
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Check recordings from end to end; exit with 1 when anything is damaged, missing or unusable.

    The file and its indexes, the order of rows, sequence, snapshots, silences, every level.
    """
    set_up_logging(verbose, quiet=quiet)
    if instrument is not None:
        check_instrument(instrument)
    checked = _check_all(paths, instrument, shown=not (quiet or as_json))
    if as_json:
        files = [_checked_as_json(file) for file in checked]
        print_result(orjson.dumps({"files": files}).decode())
    raise typer.Exit(
        command.EXIT_FAILED if any(file.has_losses for file in checked) else command.EXIT_DONE
    )


@app.command(name="record")
def record_command(
    exchange: Annotated[str, typer.Argument(metavar="okx", help="The exchange.")],
    instruments: Annotated[
        list[str], typer.Argument(metavar="INSTRUMENT…", help="By its names, such as BTC-USDT.")
    ],
    data_dir: Annotated[
        Path | None,
        typer.Option(
            envvar="ORDERFLOW_DATA_DIR",
            metavar="DIR",
            help="Where the files go, one a UTC day; by default data/OKX beside the project's "
            "folder.",
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Another endpoint, such as that of the simulator."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="N", help="Stop after so long; else at Ctrl+C.")
    ] = None,
    retry_seconds: Annotated[
        float, typer.Option(metavar="N", help="How often a full disk is tried again.")
    ] = 10.0,
    notify: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help="Tell readers when rows are in the files: none, zmq:ENDPOINT or redis:URL.",
        ),
    ] = "none",
    as_json: AsJson = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Record books and trades of an exchange, with what was lost of them, into day files."""
    from messaging.specs import open_notifier  # noqa: PLC0415 (only this needs it, as aiohttp)
    from recordings.recorder import RecorderOptions  # noqa: PLC0415
    from recordings.recording_run import RecordingRun  # noqa: PLC0415

    set_up_logging(verbose, quiet=quiet)
    directory = data_dir or DEFAULT_DATA_DIR
    options = RecorderOptions(url or RecorderOptions.url, seconds)
    say = (lambda _: None) if quiet else command.say
    with closing(open_notifier(notify, directory)) as notifier:
        run = RecordingRun(
            exchange, instruments, directory, options, say, retry_seconds, notifier.notify
        )
        say(f"recording {', '.join(instruments)} from {options.url} into {directory}")
        signals = run.run()
    if as_json:
        print_result(orjson.dumps(run.summary()).decode())
    else:
        say("\n".join(run.summary_lines()))
    run.check(stopped=bool(signals.received))
    if signals.received:
        raise typer.Exit(128 + signals.received)


@app.command(name="book")
def book_command(
    instrument: Annotated[str, typer.Argument(metavar="INSTRUMENT", help="Such as BTC-USDT.")],
    moment: Annotated[
        str,
        typer.Argument(
            metavar="TIME", help="Such as 2025-06-09T12:30:00.250, in UTC; or ms since 1970."
        ),
    ],
    data_dir: options.DataDir = None,
    levels: Annotated[
        int,
        typer.Option(
            "--levels",
            "--depth",
            callback=in_range(1, 10_000),
            metavar="N",
            help="Most levels a side.",
        ),
    ] = 20,
    trades: Annotated[
        int,
        typer.Option(callback=in_range(0, 1_000), metavar="N", help="Most trades before it."),
    ] = 20,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="START", help="Count CVD and trades from here; else from 00:00 UTC."
        ),
    ] = None,
    book_mode: Annotated[
        BookMode, typer.Option(help="What book rows without an action are.")
    ] = BookMode.AUTO,
    uncross: options.Uncross = False,
    as_json: AsJson = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Print the book at a moment, after all rows at or before it, and the trades before it.

    Checkpoints are kept in the cache directory, so that the next moment takes no time.
    """
    from recordings.ladder import book_lines  # noqa: PLC0415 (the book: only this needs it)
    from recordings.moments import Moments  # noqa: PLC0415

    set_up_logging(verbose, quiet=quiet)
    check_instrument(instrument)
    time_ms = int(moment) if _MS.fullmatch(moment) else parse_moment("TIME", moment)
    start_ms = parse_moment("--from", start) if start else time_ms - time_ms % DAY_MS
    if start_ms > time_ms:
        msg = f"--from must be at or before TIME; found {start} and {moment}"
        raise UsageError(msg, "--from", start)
    end_ms = time_ms - time_ms % DAY_MS + DAY_MS
    directory = data_dir or DEFAULT_DATA_DIR
    recording = find_recording(instrument, directory, start_ms, end_ms, book_mode)
    found = Moments(recording, start_ms, uncross=uncross).at(time_ms, levels=levels, trades=trades)
    if as_json:
        print_result(orjson.dumps({"instrument": instrument, **found.as_json()}).decode())
    else:
        print_result("\n".join(book_lines(found, instrument)))


@app.command(name="moments", hidden=True)
def moments_command(
    instrument: Annotated[str, typer.Argument()],
    start_ms: Annotated[int, typer.Argument()],
    end_ms: Annotated[int, typer.Argument()],
    data_dir: options.DataDir = None,
    book_mode: Annotated[BookMode, typer.Option()] = BookMode.AUTO,
    uncross: Annotated[bool, typer.Option("--uncross")] = False,
    growing: Annotated[bool, typer.Option("--growing")] = False,
    files: Annotated[list[Path] | None, typer.Option("--file")] = None,
) -> None:
    """Serve moments of a run to the page that has started this process."""
    from recordings.moment_service import Run, serve_standard_streams  # noqa: PLC0415

    set_up_logging(0, quiet=False)
    check_instrument(instrument)
    directory = data_dir or DEFAULT_DATA_DIR
    asked = (start_ms, end_ms, book_mode, uncross, growing)
    run = Run(instrument, directory, *asked, files=tuple(files or ()))
    serve_standard_streams(run)


def _check_all(paths: list[Path], instrument: str | None, *, shown: bool) -> list[CheckedFile]:
    checked: list[CheckedFile] = []
    for given in paths:
        if not given.exists():
            msg = f"{given} does not exist; name a recording or a folder of recordings"
            raise UsageError(msg)
        found = find_files(given)
        # What could not be looked into has been logged.
        checked += [CheckedFile(Path(e.path), [str(e)]) for e in found.hidden]
        for path in found.files:
            try:
                checked.append(check_file(path, instrument))
                lines = _checked_lines(checked[-1])
            except RecordingError as error:
                if found.is_outright:
                    raise
                lines = [f"{error}; left out"]
            if shown:
                print_result("\n".join(lines))
    if not any(file.recordings or file.damage for file in checked):
        of = f" of {instrument}" if instrument else ""
        where = ", ".join(map(str, paths))
        msg = f"no recording{of} in {where}; uv run -m recordings list shows what is there"
        raise UsageError(msg)
    return checked


# -- lines


def _listed_lines(recording: ListedRecording) -> list[str]:
    name = recording.instrument or "(no instrument named)"
    return [f"{name}  {recording.path}", *map(_table_line, recording.tables)]


def _table_line(table: ListedTable) -> str:
    parts = [f"{table.rows:,} rows", _span(table.first_ms, table.last_ms)]
    if table.kind:
        parts.append(f"{KINDS[table.kind]}, about {table.levels or 0} levels a row")
    parts.append("in time order by an index" if table.indexed else "no usable index")
    if table.damage:
        parts.append(f"DAMAGED: {table.damage}")
    return f"  {table.name:<7} {'; '.join(parts)}"


def _checked_lines(file: CheckedFile) -> list[str]:
    lines = list(file.damage)
    for recording in file.recordings:
        name = recording.instrument or "(no instrument named)"
        lines.append(f"{file.path}: {name}: {_content(recording)}")
        lines += [f"{file.path}: {name}: {said}" for said in _issue_lines(recording)]
    said = [loss_line(event) for event in file.recorder_losses]
    if len(said) > MOST_SPANS:
        said[MOST_SPANS:] = [f"… and {len(said) - MOST_SPANS} more losses, listed with --json"]
    lines += [f"{file.path}: {line}" for line in said]
    verdict = "nothing is lost"
    if file.has_losses:
        verdict = "something is damaged, missing or unusable, see above"
    return [*lines, f"{file.path}: {verdict}"]


def _content(recording: CheckedRecording) -> str:
    kind = f" ({KINDS[recording.book_mode]})" if recording.book_mode else ""
    return (
        f"book rows {recording.book_rows:,}{kind}, trades {recording.trades:,}, "
        f"{_span(recording.first_ms, recording.last_ms)}"
    )


def _issue_lines(recording: CheckedRecording) -> list[str]:
    counts = recording.issues.counts()
    lines = []
    spans = recording.issues.spans()
    for kind in counts:
        of_kind = [span for span in spans if span.kind == kind]
        lines += [_issue_line(span) for span in of_kind[:MOST_SPANS]]
        if more := of_kind[MOST_SPANS:]:
            said = describe({kind: sum(span.count for span in more)})[0]
            lines.append(f"{said} at {len(more)} more times, all listed with --json")
    return lines


def _issue_line(issue: DataIssue) -> str:
    (said,) = describe({issue.kind: issue.count})
    if issue.start is None:
        return said
    return f"{said}, {_span(issue.start, issue.end)}"


def _span(first_ms: int | None, last_ms: int | None) -> str:
    if first_ms is None or last_ms is None:
        return "no usable times"
    first, last = format_utc(first_ms), format_utc(last_ms)
    return f"{first} UTC" if first == last else f"{first} to {last} UTC"


# -- JSON


def _listing_as_json(listing: Listing) -> dict[str, Any]:
    return {
        "recordings": [asdict(r) | {"path": str(r.path)} for r in listing.recordings],
        "left_out": [{"path": e.path, "reason": str(e)} for e in listing.left_out],
    }


def _checked_as_json(file: CheckedFile) -> dict[str, Any]:
    return {
        "path": str(file.path),
        "lost": file.has_losses,
        "damage": file.damage,
        "recorder_losses": [asdict(event) for event in file.recorder_losses],
        "recordings": [
            {
                "instrument": r.instrument,
                "book_rows": r.book_rows,
                "trades": r.trades,
                "book_mode": r.book_mode,
                "first_ms": r.first_ms,
                "last_ms": r.last_ms,
                "losses": losses(r.issues.counts()),
                "issues": [asdict(issue) for issue in r.issues.spans()],
            }
            for r in file.recordings
        ],
    }


if __name__ == "__main__":
    command.run(app)
