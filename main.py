"""Replay a recording from the command line: `main.py INSTRUMENT START END`.

This module wires the others together, and nothing imports it.
"""

from orderflow import startup

if __name__ == "__main__":
    startup.begin()

import gc
import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from formats.prepared_use import read_from_copies
from messaging.notification import Listener
from messaging.specs import open_listener
from metrics.bar_kinds import BarSpec, parse_bars
from metrics.registry import MetricSpec, parse_metrics
from orderflow import command, parent
from orderflow import options as shared
from orderflow.command import EXIT_DONE, EXIT_FAILED, Quiet, Verbose, in_range, say, say_error
from orderflow.errors import UsageError
from orderflow.instruments import check_instrument
from orderflow.times import parse_moment, parse_range
from recordings.discovery import DEFAULT_DATA_DIR, BookMode, Recording, open_recordings
from recordings.search import find_files
from replay.keys import HELP as KEYS_HELP
from replay.keys import terminal_keys
from replay.pacing import parse_speed
from replay.page_process import PageProcess, check_port
from replay.run import FAILED, OBJECTS_PER_COLLECTION, STOPPED, Replay, ReplayOptions
from replay.run_files import RunFiles
from replay.terminal import Progress, WaitingLine, start_line, summary_lines
from viz_io import OUTPUT_DIR

if TYPE_CHECKING:  # seldom needed
    from replay.kept_results import KeptResults

logger = logging.getLogger(__name__)

VERSION = "0.1.0"
MAX_JOBS = 256

app = command.new_app()

MakeReplay = Callable[[RunFiles, Callable[[Replay], None]], Replay]


def _print_version(wanted: bool) -> None:
    if wanted:
        command.print_result(f"orderflow-replay {VERSION}")
        raise typer.Exit


@app.command()
def replay(
    instrument: shared.Instrument,
    start_date: shared.Start,
    end_date: shared.End,
    window_seconds: shared.WindowSeconds = 60,
    depth_levels: shared.DepthLevels = 50,
    data_dir: shared.DataDir = None,
    output_dir: shared.OutputDir = None,
    prepared_dir: shared.PreparedDir = None,
    book_mode: Annotated[
        BookMode,
        typer.Option(help="What book rows without an action are: updates or full snapshots."),
    ] = BookMode.AUTO,
    uncross: shared.Uncross = False,
    speed: shared.Pace = "max",
    start_paused: Annotated[
        bool,
        typer.Option("--start-paused", help="Wait for a key, or the page, before the first event."),
    ] = False,
    jobs: Annotated[
        int,
        typer.Option(
            callback=in_range(1, MAX_JOBS),
            metavar="N",
            help="Replay files that begin with a snapshot side by side.",
        ),
    ] = 1,
    ui: shared.Page = True,
    host: shared.PageHost = shared.LOOPBACK,
    port: shared.PagePort = 8050,
    allow_host: shared.AllowHosts = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Make a recording up and replay it: no data needed.")
    ] = False,
    follow: shared.Follow = False,
    notify: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help="With --follow, notices of new rows: none, file, zmq:ENDPOINT or redis:URL.",
        ),
    ] = "none",
    flow: Annotated[
        bool | None,
        typer.Option(
            "--flow/--no-flow",
            show_default=False,
            help="Write what heatmap and footprint are drawn from; by default it is written, but "
            "without the compiled book no heatmap.",
        ),
    ] = None,
    bars: Annotated[
        str | None,
        typer.Option(
            metavar="KIND:SIZE",
            help="Bars of the metrics: time, tick, volume, value or range; by default time:WINDOW.",
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:P=V,…]",
            help="A metric to be written into metric_bars.bin, as in ofi or vpin:volume=100; "
            "repeatable.",
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep all bars and metrics there: Parquet by day, and tables in results.sqlite.",
        ),
    ] = None,
    json_summary: shared.JsonSummary = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    with_parent: shared.WithParent = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    """Replay recorded order books and trades into bars, and show them live on a page.

    \b
    One day:       main.py BTC-USDT 2025-06-09 2025-06-10
    Without data:  main.py BTC-USDT 2025-06-09 2025-06-10 --demo
    """  # noqa: D301 (the escape keeps the lines apart)
    command.set_up_logging(verbose, quiet=quiet)
    if with_parent:
        parent.end_with_parent()
    check_instrument(instrument)
    directory = data_dir or DEFAULT_DATA_DIR
    options = ReplayOptions(
        instrument,
        *parse_range(start_date, end_date),
        window_seconds,
        depth_levels,
        uncross,
        parse_speed(speed),
        jobs,
        follow,
        flow,
        start_paused,
        None,
        *_metrics_asked(bars, metric or []),
    )
    if follow:
        _check_follow(options, demo=demo)
    elif notify != "none":
        msg = f"--notify is of use with --follow alone; found {notify!r}: add --follow, or leave it"
        raise UsageError(msg, "--notify", notify)
    if jobs > 1 and options.speed is not None:
        msg = f"--jobs {jobs} goes with --speed max; found --speed {speed}"
        raise UsageError(msg, "--jobs", jobs)
    if jobs > 1 and (bars or metric):
        asked = "--bars" if bars else "--metric"
        msg = f"{asked} goes with one process over a whole recording; found --jobs {jobs}"
        raise UsageError(msg, asked)
    if start_paused and not options.obeys:
        found = "--follow" if follow else f"--jobs {jobs}"
        msg = f"--start-paused goes with one process over a whole recording; found {found}"
        raise UsageError(msg, "--start-paused")
    if ui:
        check_port(host, port)
    if demo:
        directory = _make_demo(options)
    code = _run(
        replace(options, data_dir=directory),
        directory,
        output_dir or OUTPUT_DIR,
        prepared_dir,
        book_mode,
        notify,
        (host, port, allow_host or []) if ui else None,
        _kept(options, results) if results else None,
        json_summary=json_summary,
        quiet=quiet,
    )
    raise typer.Exit(code)


def _check_follow(options: ReplayOptions, *, demo: bool) -> None:
    """Raise `UsageError` for what cannot be had together with `--follow`."""
    why = None
    if demo:
        why = "--demo makes a recording that is whole, to which nothing is appended"
    elif options.speed is not None:
        why = f"what is appended comes at its own pace; found --speed {options.speed:g}"
    elif options.jobs > 1:
        why = f"one process follows a recording; found --jobs {options.jobs}"
    if why:
        msg = f"--follow cannot go with that: {why}; leave one of the two out"
        raise UsageError(msg, "--follow")


def _metrics_asked(
    bars: str | None, texts: list[str]
) -> tuple[BarSpec | None, tuple[MetricSpec, ...]]:
    """Return what `--bars` and `--metric` ask for; a metric of one's own may lie in this folder."""
    if texts and not {"", str(Path.cwd())} & {*sys.path}:
        sys.path.append(str(Path.cwd()))
    return parse_bars(bars) if bars else None, tuple(
        parse_metrics(texts, partial(parse_moment, "anchor"))
    )


def _kept(options: ReplayOptions, directory: Path) -> "KeptResults":
    """Return what keeps the bars of a run. Raise `UsageError` for windows that are not whole."""
    from formats.results import DAY_MS, Stretch  # noqa: PLC0415 (a plain replay keeps nothing)
    from replay.kept_results import KeptResults, repositories  # noqa: PLC0415

    whole = Stretch(options.instrument, options.window_seconds, options.start_ms, options.end_ms)
    if options.bars and options.bars.kind != "time":
        logger.warning(
            "bars of %s are in metric_bars.bin and not among the results", options.bars.kind
        )
    if options.start_ms % DAY_MS:
        logger.warning(
            "the CVD that is kept of the day of START begins at 0 at START: begin at 00:00 for "
            "that of the whole day"
        )
    into = repositories(directory)
    return KeptResults(whole, options.depth_levels, into, options.bars, options.metrics)


def _make_demo(options: ReplayOptions) -> Path:
    from synthetic_market import demo_recording  # noqa: PLC0415 (only a demo needs it)

    say("demo: a made-up market, not a recording")
    return demo_recording(options.instrument, options.start_ms, options.end_ms).parent


def _run(
    options: ReplayOptions,
    data_dir: Path,
    output_dir: Path,
    prepared_dir: Path | None,
    book_mode: BookMode,
    notify: str,
    page_options: tuple[str, int, list[str]] | None,
    results: "KeptResults | None",
    *,
    json_summary: bool,
    quiet: bool,
) -> int:
    listener = open_listener(notify, data_dir)
    is_quiet = quiet or json_summary
    make = _find(options, data_dir, prepared_dir, book_mode, listener, results, quiet=is_quiet)
    files = RunFiles(output_dir)
    page = PageProcess(output_dir, *page_options) if page_options else None
    try:
        progress = Progress(shown=not quiet)
        waiting = WaitingLine(shown=not quiet)
        run = make(files, lambda run: _tick(run, progress, waiting, page))
        if not is_quiet:
            say(start_line(run))
        with progress, command.stop_on_signals(run.stop) as signals, _keys(run) as has_keys:
            is_slow = options.start_paused or options.speed is not None
            if has_keys and is_slow and not is_quiet:
                say(KEYS_HELP)
            state = run.run()
    finally:
        files.close()
        listener.close()
        if sys.exc_info()[0] and page:
            page.close()
    _report(run, files, json_summary=json_summary, quiet=quiet)
    if page and not signals.received:
        if page.is_up and not quiet:
            say("The page stays until Ctrl+C; --no-ui ends with the replay.")
        page.keep()
    if page:
        page.close()
    if state == STOPPED:
        return 128 + signals.received
    failed = state == FAILED or files.failure or (results and results.failure)
    return EXIT_FAILED if failed else EXIT_DONE


def _find(
    options: ReplayOptions,
    data_dir: Path,
    prepared_dir: Path | None,
    book_mode: BookMode,
    listener: Listener,
    results: "KeptResults | None",
    *,
    quiet: bool,
) -> MakeReplay:
    """Find what is to be replayed, or followed; return what makes the run, given its files."""
    if options.follow:
        from replay.follow import FollowReplay  # noqa: PLC0415 (seldom needed)

        return lambda files, tick: FollowReplay(
            options, data_dir, book_mode, files, tick, listener.wait_blocking, results
        )
    recording, files = _recording(options, data_dir, book_mode, quiet=quiet)
    if why := read_from_copies(recording, prepared_dir):
        logger.warning(why)
    options = replace(options, files=files)
    return lambda files, tick: new_replay(options, recording, files, tick, results)


def _recording(
    options: ReplayOptions, data_dir: Path, book_mode: BookMode, *, quiet: bool
) -> tuple[Recording, tuple[Path, ...]]:
    """Find what is to be replayed; return it, and its files where archives are among them."""
    found = find_files(data_dir)
    times = options.start_ms, options.end_ms
    if not found.others:
        opened = open_recordings(options.instrument, found, data_dir)
        return opened.of_range(*times, book_mode), ()
    from formats.archive_request import Asked  # noqa: PLC0415 (databases alone need none of it)
    from formats.archives import find_with_archives  # noqa: PLC0415

    asked = Asked(options.instrument, data_dir, *times, book_mode, quiet)
    with_archives = find_with_archives(asked, found)
    return with_archives.recording, with_archives.files


def new_replay(
    options: ReplayOptions,
    recording: Recording,
    files: RunFiles,
    on_tick: Callable[[Replay], None],
    results: "KeptResults | None" = None,
) -> Replay:
    """Make the run that the options ask for: by one process, or by several."""
    if options.jobs == 1:
        return Replay(options, recording, files, on_tick, results)
    from replay.parallel import ParallelReplay  # noqa: PLC0415 (seldom needed, slow to import)

    return ParallelReplay(options, recording, files, on_tick, results)


def _keys(run: Replay) -> AbstractContextManager[bool]:
    """Let keys order a run that obeys."""
    return terminal_keys(run.player) if run.options.obeys else nullcontext(False)


def _tick(run: Replay, progress: Progress, waiting: WaitingLine, page: PageProcess | None) -> None:
    waiting.show(run)
    progress.show(run)
    if page:
        page.check()


def _report(run: Replay, files: RunFiles, *, json_summary: bool, quiet: bool) -> None:
    summary = run.summary()
    if not (json_summary or quiet):
        say("\n".join(summary_lines(summary)))
    for advice in run.late_advice:
        say(f"Note: {advice}")
    if run.state == FAILED:
        say_error(str(run.reason))
    if run.results and run.results.failure:
        say_error(f"the results are not kept: {run.results.failure}")
    if files.failure:
        say_error(
            f"{files.directory}: the files are not up to date ({files.failure.strerror}); run "
            "again, with room there, or into another directory with --output-dir"
        )
    if json_summary:
        command.print_result(orjson.dumps(summary).decode())


if __name__ == "__main__":
    gc.set_threshold(OBJECTS_PER_COLLECTION)
    command.run(app)
