"""Replay many days of many instruments into kept results, and show what is kept.

`uv run -m replay batch …`, and `uv run -m replay show …`.
"""

from orderflow import startup

if __name__ == "__main__":
    startup.begin()

from functools import partial
from pathlib import Path
from typing import Annotated

import orjson
import typer

from formats.parquet_results import ParquetResults
from formats.results import DAY_MS, Stretch, check_window, describe_days
from metrics.registry import parse_metrics
from orderflow import command
from orderflow import options as shared
from orderflow.command import EXIT_DONE, EXIT_FAILED, Quiet, Verbose, in_range, say, say_error
from orderflow.errors import NothingToReplayError, UsageError
from orderflow.instruments import check_instrument
from orderflow.times import format_duration, parse_moment, parse_range
from recordings.discovery import DEFAULT_DATA_DIR, BookMode
from replay.batch import BatchOptions, Report, Storage
from replay.page_process import PageProcess, check_port
from replay.run_files import RunFiles
from replay.schedulers import MOST_WORKERS, check_scheduler, open_scheduler
from replay.stored_run import StoredRun, has_anything
from replay.terminal import StatusLine
from viz_io import OUTPUT_DIR

MOST_FAILURES_SAID = 20

app = command.new_app()


@app.callback()
def _replay() -> None:
    """Replay many days of many instruments into kept results, and show what is kept."""


@app.command()
def batch(
    instruments: Annotated[
        list[str], typer.Argument(metavar="INSTRUMENT…", help="As recorded, such as BTC-USDT.")
    ],
    start_date: Annotated[str, typer.Argument(metavar="START", help="First day, YYYY-MM-DD, UTC.")],
    end_date: Annotated[
        str, typer.Argument(metavar="END", help="Not included: one day ends at the next.")
    ],
    results: Annotated[Path, typer.Option(metavar="DIR", help="Where bars and metrics are kept.")],
    data_dir: shared.DataDir = None,
    prepared_dir: shared.PreparedDir = None,
    scheduler: Annotated[
        str,
        typer.Option(
            metavar="none|local|tcp://…",
            help="Processes of this one, a dask cluster of this machine, or a scheduler's address.",
        ),
    ] = "none",
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            show_default=False,
            help="Jobs at once: by default 1 with none, as many as there are cores with local.",
        ),
    ] = None,
    window_seconds: shared.WindowSeconds = 60,
    depth_levels: shared.DepthLevels = 50,
    book_mode: Annotated[
        BookMode,
        typer.Option(help="What book rows without an action are: updates or full snapshots."),
    ] = BookMode.AUTO,
    uncross: shared.Uncross = False,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:P=V,…]",
            help="A metric to be kept too, as in ofi or vpin:volume=100; repeatable.",
        ),
    ] = None,
    memory_mb: Annotated[
        int,
        typer.Option(
            callback=in_range(128, 1_048_576), metavar="N", help="Memory that a job may take."
        ),
    ] = 1024,
    time_limit: Annotated[
        int,
        typer.Option(
            callback=in_range(1, 604_800), metavar="SECONDS", help="Time that a job may take."
        ),
    ] = 3600,
    json_summary: shared.JsonSummary = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Replay each day of each instrument by itself, and keep its bars and metrics.

    Days done before are not done again, so that a batch that was stopped is simply started again.
    """
    command.set_up_logging(verbose, quiet=quiet)
    for instrument in instruments:
        check_instrument(instrument)
    start_ms, end_ms = _days(start_date, end_date, window_seconds)
    check_scheduler(scheduler, _checked(workers))
    parse_metrics(metric or [], partial(parse_moment, "anchor"))
    options = BatchOptions(
        window_seconds,
        depth_levels,
        book_mode,
        uncross,
        memory_mb,
        time_limit,
        tuple(metric or ()),
        prepared_dir,
    )
    storage = Storage(results, options)
    try:
        todo = storage.plan(instruments, data_dir or DEFAULT_DATA_DIR, start_ms, end_ms)
        if not quiet:
            say(f"{storage.report.total:,} jobs, {storage.report.skipped:,} of them done before")
        line = StatusLine(shown=not quiet)
        with command.stop_on_signals(storage.stop) as signals, line:
            is_whole = True
            if todo:
                running = open_scheduler(scheduler, workers)
                try:
                    is_whole = storage.run(
                        todo, running, lambda report: line.write(_progress(report))
                    )
                finally:
                    running.close()
    finally:
        storage.close()
    report = storage.report
    _say(report, is_whole=is_whole, as_json=json_summary, quiet=quiet)
    if not is_whole:
        raise typer.Exit(128 + signals.received)
    if report.total and len(report.empty) == report.total:
        msg = "no recording has a row of any of the days; check START and END, they are in UTC"
        raise NothingToReplayError(msg)
    raise typer.Exit(EXIT_FAILED if report.failed else EXIT_DONE)


@app.command()
def show(
    instrument: shared.Instrument,
    start_date: shared.Start,
    end_date: shared.End,
    results: Annotated[Path, typer.Option(metavar="DIR", help="Where bars and metrics are kept.")],
    window_seconds: shared.WindowSeconds = 60,
    output_dir: shared.OutputDir = None,
    ui: shared.Page = True,
    host: shared.PageHost = shared.LOOPBACK,
    port: shared.PagePort = 8050,
    allow_host: shared.AllowHosts = None,
    json_summary: shared.JsonSummary = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Show kept bars, metrics and alerts on the page, as after a replay of that range."""
    command.set_up_logging(verbose, quiet=quiet)
    check_instrument(instrument)
    stretch = Stretch(instrument, window_seconds, *parse_range(start_date, end_date))
    if why := check_window(window_seconds, stretch.start_ms, stretch.end_ms):
        raise UsageError(why, "--window-seconds", window_seconds)
    kept = ParquetResults(results)
    if not has_anything(kept, stretch):
        raise kept.nothing_kept(stretch)
    if ui:
        check_port(host, port)
    files = RunFiles(output_dir or OUTPUT_DIR)
    page = PageProcess(files.directory, host, port, allow_host or []) if ui else None
    try:
        code = _write_stored(StoredRun(kept, stretch, files), json_summary, quiet=quiet)
        if files.failure:
            why = f"the files are not up to date ({files.failure.strerror})"
            say_error(f"{files.directory}: {why}; run again, with room there")
            code = code or EXIT_FAILED
        files.close()
        if page and code < 128:
            if page.is_up and not quiet:
                say("The page stays until Ctrl+C; --no-ui ends with the files.")
            page.keep()
    finally:
        files.close()
        if page:
            page.close()
    raise typer.Exit(code)


def _write_stored(run: StoredRun, as_json: bool, *, quiet: bool) -> int:
    """Write the files of kept bars, and say what is in them; return the exit code."""
    stopped: list[bool] = []
    with (
        StatusLine(shown=not quiet) as line,
        command.stop_on_signals(lambda: stopped.append(True)) as signals,
    ):

        def go_on(share: float) -> bool:
            line.write(f"{share:4.0%} of the range".replace("%", " %"))
            return not stopped

        status = run.write(go_on)
    if run.not_kept and not quiet:
        say(f"nothing is kept of {describe_days(run.not_kept)}")
    if as_json:
        command.print_result(orjson.dumps(status).decode())
    elif not quiet:
        metrics = ", ".join(status["metrics"]) or "none of --metric"
        left_out = status["metrics_left_out"]
        more = f" and {left_out:,} more, which are left out" if left_out else ""
        say(f"{status['bars']:,} bars with {status['alerts']:,} alerts; metrics: {metrics}{more}")
        say("not kept, and not shown: the book, the order flow, data issues")
    return 128 + signals.received if stopped else EXIT_DONE


def _days(start_date: str, end_date: str, window_seconds: int) -> tuple[int, int]:
    start_ms, end_ms = parse_range(start_date, end_date)
    if start_ms % DAY_MS or end_ms % DAY_MS:
        msg = f"a batch is of whole days, YYYY-MM-DD; found {start_date} and {end_date}"
        raise UsageError(msg, "START")
    if why := check_window(window_seconds, start_ms, end_ms):
        raise UsageError(why, "--window-seconds", window_seconds)
    return start_ms, end_ms


def _checked(workers: int | None) -> int | None:
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        msg = f"--workers must be 1 to {MOST_WORKERS}; found {workers}"
        raise UsageError(msg, "--workers", workers)
    return workers


def _progress(report: Report) -> str:
    """Return how far a batch is, as a line of less than 40 columns."""
    done = report.ended - report.skipped
    seconds = report.seconds
    line = f"{report.ended:,}/{report.total:,} jobs"
    if report.failed:
        line += f", {len(report.failed):,} failed"
    left = seconds * (report.total - report.ended) / done if done else 0
    return f"{line}  {format_duration(left)} left" if left else line


def _say(report: Report, *, is_whole: bool, as_json: bool, quiet: bool) -> None:
    if as_json:
        state = "finished" if is_whole else "stopped"
        command.print_result(orjson.dumps(report.as_json(state)).decode())
    elif not quiet:
        ends = (report.skipped, len(report.done), len(report.empty), len(report.failed))
        words = ("done before", "done now", "without a recording", "failed")
        said = ", ".join(f"{n:,} {word}" for n, word in zip(ends, words, strict=True) if n)
        left = report.total - report.ended
        rows = sum(row.rows or 0 for row in report.done)
        say(f"{said or 'nothing done'}{f', {left:,} left' if left else ''}")
        say(f"{rows:,} book rows in {format_duration(report.seconds)}")
    for row in report.failed[:MOST_FAILURES_SAID]:
        say_error(f"{row.instrument} {row.day}: {row.error}")
    if len(report.failed) > MOST_FAILURES_SAID:
        more = len(report.failed) - MOST_FAILURES_SAID
        say_error(f"and {more:,} more; SELECT * FROM jobs WHERE state = 'failed' has them all")  # noqa: S608


if __name__ == "__main__":
    command.run(app)
