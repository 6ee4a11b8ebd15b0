"""The processes of a run, each alone: `gateway`, `strategy NAME`, `executor`; and keys for them."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from messaging.keys import make_keys
from messaging.sockets import ZmqContext
from orderflow import command
from orderflow import options as shared
from orderflow.command import EXIT_FAILED, Quiet, Verbose
from replay.pacing import parse_speed
from trading import options
from trading.executor import OrderExecutor
from trading.gateway import EXECUTOR, GATEWAY, TickProducer, new_start
from trading.live_file import LiveRun
from trading.output import Ledger, RunOutput
from trading.paper_market import PaperMarket
from trading.protocol import window_ms_of
from trading.report import FINISHED, Report, RunLog, found_in, report_of
from trading.setup import (
    balance_of,
    bars_of,
    endpoints_of,
    gate_of,
    market_of,
    rules_of,
    strategy_of,
)
from trading.sources import open_source
from trading.standing import Standing
from trading.strategy_process import StrategyProcess
from trading.terminal import AlertLines, say_report
from trading.ticks import TickMaker
from viz_io import OUTPUT_DIR


def gateway(
    context: typer.Context,
    instrument: shared.Instrument,
    start_date: shared.Start,
    end_date: shared.End,
    strategies: Annotated[
        list[str],
        typer.Option(
            "--strategy", metavar="NAME", help="The name of one that takes part; repeatable."
        ),
    ],
    data_dir: shared.DataDir = None,
    follow: shared.Follow = False,
    url: options.Url = None,
    book_mode: options.BookModeOption = options.BookMode.AUTO,
    depth_levels: options.DepthLevels = 50,
    bars: options.BarKind = None,
    metric: options.Metrics = None,
    window_seconds: options.WindowSeconds = 60,
    speed: shared.Pace = "max",
    window_ms: options.WindowMs = None,
    credit: options.Credit = 16,
    free: options.Free = False,
    endpoints: options.EndpointDir = None,
    ticks: options.TicksEndpoint = None,
    control: options.ControlEndpoint = None,
    signals: options.SignalsEndpoint = None,
    answers: options.AnswersEndpoint = None,
    keys: options.Keys = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    with_parent: shared.WithParent = False,
) -> None:
    """Publish the ticks of a recording to strategies, when they and an executor are there."""
    command.set_up_logging(verbose, quiet=quiet)
    standing = Standing(GATEWAY, with_parent=with_parent, quiet=quiet)
    with standing.at_work(endpoints):
        market = market_of(context.params)
        pace = parse_speed(speed)
        start = new_start(
            instrument, strategies, window_ms=window_ms_of(window_ms, pace), credit=credit,
            free=free,
        )  # fmt: skip
        maker = TickMaker(
            start.run_id, instrument, depth=depth_levels, start_ms=market.start_ms,
            bars=bars_of(context.params),
        )  # fmt: skip
        where = endpoints_of(context.params)
        with open_source(market, say=standing.say) as source, ZmqContext(keys) as sockets:
            if market.is_live:
                standing.finish_with(source.stop)
            producer = TickProducer(start, where, sockets, speed=pace, stopped=standing.stopped)

            def report() -> dict[str, object]:
                return producer.report() | found_in(source, maker)

            with standing.handing_in(report):
                producer.run(maker.events(source.stream(), producer.idle))


def strategy(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="support-resistance, order-flow, metric-alert, orders, or your own as "
            "module:Class; NAME=STRATEGY gives it a name.",
        ),
    ],
    instrument: shared.Instrument,
    settings: options.SetTexts = None,
    orders: options.Orders = None,
    endpoints: options.EndpointDir = None,
    ticks: options.TicksEndpoint = None,
    control: options.ControlEndpoint = None,
    signals: options.SignalsEndpoint = None,
    answers: options.AnswersEndpoint = None,
    keys: options.Keys = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    with_parent: shared.WithParent = False,
) -> None:
    """Let a strategy decide on the ticks of a gateway, and send its signals to an executor."""
    command.set_up_logging(verbose, quiet=quiet)
    standing = Standing(name.partition("=")[0], with_parent=with_parent, quiet=quiet)
    with standing.at_work(endpoints):
        chosen = strategy_of(name, settings, orders)
        decider, where = chosen.make(), endpoints_of(context.params)
        with ZmqContext(keys) as sockets:
            process = StrategyProcess(
                chosen.name, decider, instrument, where, sockets, stopped=standing.stopped
            )
            with standing.handing_in(process.report, lambda: process.lost):
                process.run()


def executor(
    context: typer.Context,
    instrument: shared.Instrument,
    start_date: shared.Start,
    end_date: shared.End,
    data_dir: shared.DataDir = None,
    follow: shared.Follow = False,
    output_dir: shared.OutputDir = None,
    book_mode: options.BookModeOption = options.BookMode.AUTO,
    window_seconds: options.WindowSeconds = 60,
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
    endpoints: options.EndpointDir = None,
    ticks: options.TicksEndpoint = None,
    control: options.ControlEndpoint = None,
    signals: options.SignalsEndpoint = None,
    answers: options.AnswersEndpoint = None,
    keys: options.Keys = None,
    json_summary: shared.JsonSummary = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    with_parent: shared.WithParent = False,
) -> None:
    """Carry out the signals of strategies on a recorded market, and report what came of them."""
    command.set_up_logging(verbose, quiet=quiet)
    standing = Standing(EXECUTOR, with_parent=with_parent, quiet=quiet)
    given = context.params
    with standing.at_work(endpoints):
        choice, rules = market_of(given), rules_of(given)
        gate, start_balance = gate_of(given), balance_of(given)
        where = endpoints_of(given)
        source = open_source(choice, records=False)
        market = PaperMarket(source.market(), instrument, rules, gate, source.end_at)
        alerts = AlertLines(standing.say)
        log = RunLog(on_alert=alerts.show)

        def make_report(state: str, reason: str) -> Report | None:
            alerts.close()
            if state != FINISHED:
                log.stop(market, process.execution)
            if process.execution is None:
                return None
            return report_of(
                market, process.execution, log, {"market_lost": source.losses()},
                bar_seconds=window_seconds, start_ms=choice.start_ms, balance=start_balance,
                strange=process.strange, state=state, reason=reason,
            )  # fmt: skip

        def show() -> LiveRun:
            names = list(process.execution.messages) if process.execution else []
            return LiveRun(
                output.directory, instrument, names,
                bar_seconds=window_seconds, start_ms=choice.start_ms, balance=start_balance,
            )  # fmt: skip

        with RunOutput(output_dir or OUTPUT_DIR) as output, ZmqContext(keys) as sockets:
            ledger = Ledger(output, market, log, show, make_report, standing.tell_progress)

            def close(state: str, reason: str) -> None:
                ledger.close(state, reason)
                if ledger.report:
                    standing.tell(is_written=True, lost=ledger.report.lost)

            process = OrderExecutor(
                market, where, sockets, entry_ms=entry_ms, on_answer=log.answer,
                on_alert=log.alert, on_round=ledger.update, begin_ms=choice.start_ms,
                stopped=standing.stopped,
            )  # fmt: skip
            market.idle = process.idle
            with standing.closing(close):
                process.run()
        _tell_report(ledger.report, with_parent=with_parent, json_summary=json_summary, quiet=quiet)


def _tell_report(
    report: Report | None, *, with_parent: bool, json_summary: bool, quiet: bool
) -> None:
    """Say what an executor by itself has found; with a parent that is the parent's to do."""
    if report is None or with_parent:
        return
    found = orjson.loads(report.report_json())
    if json_summary:
        command.print_result(orjson.dumps(found).decode())
    elif not quiet:
        say_report(found, {})
    if report.lost:
        raise typer.Exit(EXIT_FAILED)


def keys(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; it is made.")],
) -> None:
    """Make the keys that let processes of a run connect from other machines."""
    make_keys(directory)
    command.say(
        f"{directory} has the keys of a run; every process of it takes them with --keys, and who "
        "only connects needs server.key, client.key and client.key_secret"
    )
