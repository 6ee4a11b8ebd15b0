"""The simulator's command line: `uv run -m simulator run …`, `fetch …`, `publish …` and more."""

from orderflow import startup

if __name__ == "__main__":
    startup.begin()

import asyncio
import threading
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from messaging.specs import open_listener, open_notifier, zmq_endpoint
from messaging.watch import Watch
from orderflow import command, parent
from orderflow import options as shared
from orderflow.command import Quiet, Verbose, say
from orderflow.instruments import check_instrument, parse_contract_values
from orderflow.issues import HARMLESS, describe, losses
from orderflow.times import format_duration, format_utc, parse_range
from recordings.discovery import DEFAULT_DATA_DIR, find_recording
from replay.pacing import parse_speed
from simulator import options
from simulator.commands_run import run
from simulator.faults import make_faults
from simulator.fetcher import STOPPED, DiskWait, Fetcher
from simulator.publisher import Publisher
from simulator.server import Server, tls_context
from simulator.storage import StoreWriter
from simulator.store_reader import instruments_in
from simulator.stored_rows import Fetch
from simulator.venue import Settings
from simulator.venues import new_venue

app = command.new_app()


def _check_port(port: int | None) -> int | None:
    return None if port is None else command.in_range(0, 65535)(port)


@app.callback()
def simulator() -> None:
    """Serve a recording as an exchange does."""


@app.command()
def fetch(
    instrument: shared.Instrument,
    start_date: shared.Start,
    end_date: shared.End,
    store: Annotated[
        Path, typer.Option(metavar="DIR", help="The store to write; made where it is not there.")
    ],
    data_dir: shared.DataDir = None,
    speed: options.Speed = "1",
    demo: options.Demo = False,
    now: options.Now = False,
    notify: options.Notify = "none",
    json_summary: Annotated[
        bool, typer.Option("--json", help="Print the summary as a JSON object on stdout.")
    ] = False,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    with_parent: shared.WithParent = False,
) -> None:
    """Write the rows of a recording into a store, each once; started again, it goes on."""
    command.set_up_logging(verbose, quiet=quiet)
    if with_parent:
        parent.end_with_parent()
    check_instrument(instrument)
    start_ms, end_ms = parse_range(start_date, end_date)
    pace = parse_speed(speed)
    notifier = open_notifier(notify, store)
    what = Fetch(instrument, "demo" if demo else "recording", start_ms, end_ms, now)
    data = _make_demo(what, quiet=quiet) if demo else data_dir or DEFAULT_DATA_DIR
    recording = find_recording(instrument, data, start_ms, end_ms)
    wait = DiskWait(say, store / instrument)
    with (
        closing(notifier),
        StoreWriter(store, instrument, on_full=wait) as writer,
    ):
        fetcher = Fetcher(recording, what, writer, pace, notify=notifier.notify)
        wait.check = fetcher.check_stop
        if not quiet:
            say(_start_line(fetcher, writer))
        try:
            with command.stop_on_signals(fetcher.stop) as signals:
                state = fetcher.run()
        finally:
            _report(fetcher, json_summary=json_summary, quiet=quiet)
    if with_parent:
        parent.report(last_seq=writer.last_seq)
    if state == STOPPED:
        raise typer.Exit(128 + signals.received)


@app.command()
def publish(
    exchange: Annotated[
        str, typer.Argument(metavar="EXCHANGE", help="okx, binance, binance-usdm or kraken.")
    ],
    store: Annotated[Path, typer.Option(metavar="DIR", help="The store to publish.")],
    host: options.Host = shared.LOOPBACK,
    port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            callback=_check_port,
            help="okx 8061, binance 8062, binance-usdm 8063, kraken 8064; 0 takes a free one.",
            show_default=False,
        ),
    ] = None,
    poll_seconds: options.PollSeconds = 1.0,
    notify: options.Notify = "none",
    contract_value: options.ContractValues = None,
    limits: options.Limits = True,
    okx_checksums: options.OkxChecksums = False,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    allow_host: options.AllowHosts = None,
    fault: options.FaultTexts = None,
    fault_log: options.FaultLogPath = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
    with_parent: shared.WithParent = False,
) -> None:
    """Serve a store as an exchange does, over WebSocket and REST on one port."""
    command.set_up_logging(verbose, quiet=quiet)
    if with_parent:
        parent.end_with_parent()
    venue = new_venue(exchange, Settings(limits=limits, okx_checksums=okx_checksums))
    values = parse_contract_values(contract_value or ())
    faults = make_faults(fault or (), venue, fault_log, say)
    listener = open_listener(notify, store)
    watch = Watch(listener, poll_seconds)
    instruments_in(store)  # a store that is none is said before anything listens
    publisher = Publisher(venue, store, watch=watch, contract_values=values, faults=faults, say=say)
    server = Server(
        publisher,
        host,
        venue.port if port is None else port,
        tls_context(tls_cert, tls_key),
        tuple(allow_host or ()),
    )

    def ready(host: str, port: int) -> None:
        if with_parent:
            parent.report(port=port)
        elif not quiet:
            say("\n".join(venue.addresses(host, port, tls=tls_cert is not None)))

    with closing(listener), command.stop_on_signals(server.stop) as signals:
        asyncio.run(server.run(ready))
    raise typer.Exit(128 + signals.received)


@app.command("notifier")
def run_notifier(
    spec: Annotated[
        str, typer.Argument(metavar="zmq:ENDPOINT", help="zmq:ipc:///PATH or zmq:tcp://HOST:PORT.")
    ],
    verbose: Verbose = 0,
    quiet: Quiet = False,
    with_parent: shared.WithParent = False,
) -> None:
    """Pass on the notices of fetchers to publishers, which all connect here by ZeroMQ."""
    command.set_up_logging(verbose, quiet=quiet)
    if with_parent:
        parent.end_with_parent()
    endpoint = zmq_endpoint(spec)
    from messaging.zmq_channel import relay  # noqa: PLC0415 (no other command needs ZeroMQ)

    def ready() -> None:
        if with_parent:
            parent.report()
        elif not quiet:
            say(f"passing on notices at {endpoint}; Ctrl+C ends it")

    stopped = threading.Event()
    with command.stop_on_signals(stopped.set) as signals:
        relay(endpoint, ready, stopped.is_set)
    raise typer.Exit(128 + signals.received)


app.command()(run)


def _make_demo(what: Fetch, *, quiet: bool) -> Path:
    from synthetic_market import demo_recording  # noqa: PLC0415 (only a demo needs it)

    if not quiet:
        say("demo: a made-up market, not a recording")
    return demo_recording(what.instrument, what.start_ms, what.end_ms).parent


def _start_line(fetcher: Fetcher, writer: StoreWriter) -> str:
    if fetcher.is_whole:
        return f"{writer.directory} has all of it already, nothing is added"
    cut = f", {writer.torn_bytes:,} bytes of a torn line cut" if writer.torn_bytes else ""
    if fetcher.stored_before:
        return f"going on after {fetcher.stored_before:,} rows in {writer.directory}{cut}"
    return f"fetching into {writer.directory}{cut}"


def _report(fetcher: Fetcher, *, json_summary: bool, quiet: bool) -> None:
    summary = fetcher.summary()
    if json_summary:
        command.print_result(orjson.dumps(summary).decode())
    elif not (quiet or fetcher.is_whole):
        say("\n".join(_summary_lines(summary)))


def _summary_lines(summary: dict[str, Any]) -> list[str]:
    stored = summary["book_rows"] + summary["trades"]
    seqs = f", seq {summary['first_seq']:,} to {summary['last_seq']:,}" if stored else ""
    shift = f", shifted by {summary['shift_ms']:,} ms" if summary["shift_ms"] else ""
    rate = f"{summary['rows_per_second']:,.0f} rows/s"
    return [
        f"{summary['instrument']}  {summary['state']}",
        f"  stored      {summary['book_rows']:,} book rows, {summary['trades']:,} trades{seqs}",
        f"  up to       {format_utc(summary['event_time'])} UTC{shift}",
        f"  took        {format_duration(summary['seconds'])}, {rate}",
        f"  data issues {_data_issues(summary['counts'])}",
    ]


def _data_issues(counts: dict[str, int]) -> str:
    lost = ", ".join(describe(losses(counts))) or "none met in reading; no book was built"
    harmless = describe({kind: count for kind, count in counts.items() if kind in HARMLESS})
    return f"{lost} ({', '.join(harmless)}, each used once)" if harmless else lost


if __name__ == "__main__":
    command.run(app)
