"""The command `run`: gateway, strategies and executor, each a process of its own, and a report."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from orderflow import command
from orderflow import options as shared
from orderflow.command import EXIT_DONE, EXIT_FAILED, Quiet, Verbose, say
from orderflow.errors import OrderflowError, OutputError, UsageError
from replay.pacing import parse_speed
from replay.page_process import PageProcess, check_port
from trading import options
from trading.arguments import arguments_of
from trading.commands_alone import executor, gateway, strategy
from trading.controller import LOOK_SECONDS, Outcome, StartController
from trading.gateway import EXECUTOR, GATEWAY
from trading.live_file import LiveRun
from trading.output import Ledger, RunOutput, note_failure, remove_locks
from trading.protocol import Interval, RunStoppedError, check_options, window_ms_of
from trading.report import (
    FAILED,
    REPORT_FILE,
    STOPPED,
    PaperRun,
    Report,
    counts_of,
    write_file,
)
from trading.setup import (
    REPLAY,
    StrategyChoice,
    balance_of,
    bars_of,
    check_bars,
    gate_of,
    market_of,
    rules_of,
    strategies_of,
)
from trading.sources import SourceOptions, open_source, recording_dir
from trading.standing import Standing
from trading.terminal import AlertLines, ProgressLine, say_report
from viz_io import OUTPUT_DIR

MAIN = Path(__file__).resolve().parents[1] / "main.py"


def run(
    context: typer.Context,
    instrument: shared.Instrument,
    start_date: shared.Start,
    end_date: shared.End,
    strategies: options.StrategyNames = None,
    settings: options.SetTexts = None,
    orders: options.Orders = None,
    data_dir: shared.DataDir = None,
    output_dir: shared.OutputDir = None,
    demo: options.Demo = False,
    follow: shared.Follow = False,
    url: options.Url = None,
    speed: shared.Pace = "max",
    in_process: Annotated[
        bool,
        typer.Option("--in-process", help="Run all in one process, without the bus: the same."),
    ] = False,
    bars: options.BarKind = None,
    metric: options.Metrics = None,
    window_ms: options.WindowMs = None,
    credit: options.Credit = 16,
    free: options.Free = False,
    entry_ms: options.EntryMs = 10,
    response_ms: options.ResponseMs = 10,
    maker: options.Maker = "0.0002",
    taker: options.Taker = "0.0005",
    contract_size: options.ContractSize = "1",
    inverse: options.Inverse = False,
    tick: options.Tick = None,
    lot: options.Lot = None,
    whole_fills: options.WholeFills = False,
    partial_makers: options.PartialMakers = False,
    accept_unreliable: options.AcceptUnreliable = False,
    max_position: options.MaxPosition = None,
    max_orders: options.MaxOrders = None,
    rate_window_ms: options.RateWindowMs = 1000,
    max_loss: options.MaxLoss = None,
    balance: options.Balance = None,
    book_mode: options.BookModeOption = options.BookMode.AUTO,
    window_seconds: options.WindowSeconds = 60,
    depth_levels: options.DepthLevels = 50,
    no_bars: Annotated[
        bool,
        typer.Option("--no-bars", help="Don't replay the recording beside it, for the page."),
    ] = False,
    ui: shared.Page = True,
    host: shared.PageHost = shared.LOOPBACK,
    port: shared.PagePort = 8050,
    allow_host: shared.AllowHosts = None,
    json_summary: shared.JsonSummary = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    """Run strategies on a recording, execute their orders on paper, and report what came of it.

    \b
    Without data:  trading run BTC-USDT 2025-06-09 2025-06-10 --demo --strategy support-resistance
    """  # noqa: D301 (the escape keeps the lines apart)
    command.set_up_logging(verbose, quiet=quiet)
    given = dict(context.params)
    chosen = _check(given)
    given["output_dir"] = output_dir or OUTPUT_DIR
    if url is not None:
        given["data_dir"] = recording_dir(given["output_dir"], datetime.now(UTC))
    given["data_dir"] = _find_data(market_of(given), demo=demo, quiet=quiet)
    if ui:
        check_port(host, port)
    _make_directory(given["output_dir"])
    page = PageProcess(given["output_dir"], host, port, allow_host or []) if ui else None
    try:
        code = (_run_here if in_process else _run_apart)(given, chosen, page)
        if page and code < 128:
            if page.is_up and not quiet:
                say("The page stays until Ctrl+C; --no-ui ends with the run.")
            page.keep()
    finally:
        if page:
            page.close()
    raise typer.Exit(code)


def _check(given: Mapping[str, Any]) -> dict[str, StrategyChoice]:
    """Return the strategies of a run; raise an `OrderflowError` for what no process could do."""
    rules_of(given)
    gate_of(given)
    balance_of(given)
    check_options(_window_ms(given), given["credit"])
    chosen = strategies_of(given)
    check_bars(bars_of(given), {name: each.make() for name, each in chosen.items()})
    if given["free"] and given["in_process"]:
        msg = "--free is for several processes; leave it or --in-process out"
        raise UsageError(msg, "--free")
    return chosen


def _window_ms(given: Mapping[str, Any]) -> int:
    return window_ms_of(given["window_ms"], parse_speed(given["speed"]))


def _find_data(market: SourceOptions, *, demo: bool, quiet: bool) -> Path:
    """Return where the recording is, or will be; raise an `OrderflowError` where there is none."""
    if demo:
        from synthetic_market import demo_recording  # noqa: PLC0415 (only a demo needs it)

        if not quiet:
            say("demo: a made-up market, not a recording")
        return demo_recording(market.instrument, market.start_ms, market.end_ms).parent
    if market.url is not None and not quiet:
        say(f"recording {market.url} into {market.data_dir}")
    open_source(market, records=False)
    return market.data_dir


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{directory}: cannot be made ({error.strerror}); choose another with --output-dir"
        raise OutputError(msg, directory) from error


# -- in processes of their own


def _run_apart(
    given: Mapping[str, Any], chosen: Mapping[str, StrategyChoice], page: PageProcess | None
) -> int:
    progress = _progress(given)
    is_live = market_of(given).is_live
    finisher = GATEWAY if is_live else None
    controller = StartController(
        _members(given, chosen), _beside(given), say, progress.show, finisher
    )
    with command.stop_on_signals(controller.stop) as signals, controller:
        outcome = controller.wait(page.check if page else lambda: None)
    progress.close()
    directory = given["output_dir"]
    if outcome.state == FAILED or outcome.failed_beside:
        remove_locks(directory)
    if outcome.state == FAILED:
        note_failure(directory, outcome.reason)
    report = _whole_report(outcome, directory / REPORT_FILE) if outcome.is_written else None
    _say_report(report, _bus_counts(outcome), given)
    return _code(outcome.state, sum(outcome.lost.values()), signals.received, is_live=is_live)


def _members(
    given: Mapping[str, Any], chosen: Mapping[str, StrategyChoice]
) -> dict[str, list[str]]:
    """Return the arguments of the processes of a run by their names."""
    names = {"strategies": list(chosen)}
    follows = {"follow": given["follow"] or given["url"] is not None}
    members = {
        EXECUTOR: _words(executor, {**given, **follows}),
        GATEWAY: _words(gateway, {**given, **names}),
    }
    for each in chosen.values():
        own = {
            "name": each.name if each.name == each.kind else f"{each.name}={each.kind}",
            "settings": [f"{name}={value}" for name, value in each.settings.items()],
            "orders": each.orders,
        }
        members[each.name] = _words(strategy, {**given, **own})
    return members


def _words(function: Callable[..., None], values: Mapping[str, Any]) -> list[str]:
    """Return what is typed to give the options of a command these values, those it has."""
    known = {**values, "json_summary": False}
    name = function.__name__
    return ["-m", "trading", name, *arguments_of(function, known)]


def _beside(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the arguments of the replay that makes the bars of the page, if it is wanted."""
    if given["no_bars"]:
        return {}
    names = ["data_dir", "output_dir", "book_mode", "speed", "window_seconds", "depth_levels"]
    told = [f"--{name.replace('_', '-')}={given[name]}" for name in names]
    told += [f"--bars={given['bars']}"] if given["bars"] is not None else []
    told += [f"--metric={text}" for text in given["metric"] or ()]
    where = (given["instrument"], given["start_date"], given["end_date"])
    follow = ["--follow"] if market_of(given).is_live else []
    return {REPLAY: [str(MAIN), *where, *told, *follow, "--no-ui", "--quiet"]}


def _whole_report(outcome: Outcome, path: Path) -> dict[str, Any]:
    """Return the executor's report with what the others have counted, and write it again."""
    report: dict[str, Any] = orjson.loads(path.read_bytes())
    reports = dict(outcome.reports)
    counts: dict[str, Any] = counts_of(reports.pop(GATEWAY, {}), reports)
    lost = Counter(counts.get("market_lost", {})) | Counter(report["counts"]["market_lost"])
    report["counts"] = counts | report["counts"] | {"market_lost": dict(sorted(lost.items()))}
    report["lost"] = sum(outcome.lost.values())
    report |= {"state": outcome.state, "reason": outcome.reason}
    write_file(path, orjson.dumps(report))
    return report


def _bus_counts(outcome: Outcome) -> dict[str, Any]:
    """Return the counts that a run over the bus alone has."""
    reports = outcome.reports
    messages = {name: told["messages"] for name, told in reports.items() if "messages" in told}
    return {"windows": reports.get(GATEWAY, {}).get("windows", 0), "messages": messages}


# -- in this process


def _run_here(
    given: Mapping[str, Any], chosen: Mapping[str, StrategyChoice], page: PageProcess | None
) -> int:
    market = market_of(given)
    others = StartController({}, _beside(given), say)
    standing = Standing("run", with_parent=False, quiet=given["quiet"])
    progress = _progress(given)
    alerts, due = AlertLines(standing.say), Interval(LOOK_SECONDS)
    source = open_source(market, say=standing.say)
    if market.is_live:
        standing.finish_with(source.stop)

    def idle() -> None:
        if due.is_due(time.monotonic()):
            others.look()
            ledger.update()  # or a quiet market would look like a run that hangs
            if page:
                page.check()
            if standing.stopped():
                raise RunStoppedError(standing.name)

    def make_report(state: str, reason: str) -> Report:
        alerts.close()
        return paper.report(state, reason)

    def show() -> LiveRun:
        return LiveRun(
            given["output_dir"], given["instrument"], list(chosen),
            bar_seconds=given["window_seconds"], start_ms=market.start_ms, balance=balance,
        )  # fmt: skip

    balance = balance_of(given)
    paper = PaperRun(
        source, given["instrument"], {n: each.make() for n, each in chosen.items()},
        rules_of(given), gate_of(given), start_ms=market.start_ms, window_ms=_window_ms(given),
        depth=given["depth_levels"], bar_seconds=given["window_seconds"],
        balance=balance, bars=bars_of(given), on_alert=alerts.show,
        idle=idle,
    )  # fmt: skip
    with (
        RunOutput(given["output_dir"]) as output, standing.listening() as signals, others, source
    ):  # fmt: skip
        ledger = Ledger(output, paper.market, paper.log, show, make_report, progress.show)
        failure = None
        try:
            with standing.closing(ledger.close):
                paper.run(parse_speed(given["speed"]), ledger.update)
        except RunStoppedError:
            others.stop()
        except OrderflowError as error:
            failure = error
            others.stop()
        if market.is_live:
            others.stop()  # it would follow the recording for ever
        others.wait()
    progress.close()
    report = orjson.loads((given["output_dir"] / REPORT_FILE).read_bytes())
    _say_report(report, {}, given)
    if failure:
        raise failure
    return _code(report["state"], report["lost"], signals.received, is_live=market.is_live)


# -- either way


def _progress(given: Mapping[str, Any]) -> ProgressLine:
    market = market_of(given)
    shown = not (given["quiet"] or given["json_summary"])
    return ProgressLine(market.start_ms, market.end_ms, shown=shown)


def _say_report(
    report: dict[str, Any] | None, bus: Mapping[str, Any], given: Mapping[str, Any]
) -> None:
    if report is None:
        say("No report was written: the executor had ended before, or the run had not begun.")
    elif given["json_summary"]:
        command.print_result(orjson.dumps(report | {"bus": bus}).decode())
    elif not given["quiet"]:
        say_report(report, bus)


def _code(state: str, lost: int, signal_number: int, *, is_live: bool) -> int:
    """Return the exit code; a signal ends a live run in good order, and is still the reason."""
    if state == STOPPED or (is_live and signal_number and state != FAILED and not lost):
        return 128 + signal_number
    return EXIT_FAILED if state == FAILED or lost else EXIT_DONE
