"""The command `run`: a fetcher and publishers, each a process of its own, until Ctrl+C."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from messaging.specs import check_spec
from orderflow import command
from orderflow import options as shared
from orderflow.command import Quiet, Verbose, say
from orderflow.errors import UsageError
from orderflow.instruments import check_instrument, parse_contract_values
from orderflow.times import parse_range
from recordings.discovery import DEFAULT_DATA_DIR, find_recording
from replay.pacing import parse_speed
from simulator import options, table
from simulator.desk import Desk, Plan
from simulator.fault_specs import parse_faults
from simulator.notices import PIPE
from simulator.server import tls_context
from simulator.store_reader import instruments_in
from simulator.venue import Settings
from simulator.venues import VENUES, new_venue


def run(
    instrument: shared.Instrument,
    start_date: shared.Start,
    end_date: shared.End,
    exchange: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,…",
            help="Those to publish, by default all that have a form for the instrument.",
            show_default=False,
        ),
    ] = None,
    data_dir: shared.DataDir = None,
    store: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The store, by default one that is removed at the end."),
    ] = None,
    speed: options.Speed = "1",
    demo: options.Demo = False,
    now: options.Now = False,
    exit_at_end: Annotated[
        bool,
        typer.Option("--exit-at-end", help="End when all has been sent, not at Ctrl+C."),
    ] = False,
    host: options.Host = shared.LOOPBACK,
    port: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PORT|0",
            help="The port of an exchange, okx=9000; 0 takes a free one for each; repeatable.",
        ),
    ] = None,
    poll_seconds: options.PollSeconds = 1.0,
    notify: Annotated[
        str,
        typer.Option(
            metavar="SPEC",
            help="Notices of new rows: pipe, none, file, zmq:ENDPOINT or redis:URL.",
        ),
    ] = PIPE,
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
) -> None:
    """Serve a recording as exchanges do: fetch and publish it until Ctrl+C."""
    command.set_up_logging(verbose, quiet=quiet)
    check_instrument(instrument)
    times = parse_range(start_date, end_date)
    parse_speed(speed)
    tls_context(tls_cert, tls_key)
    parse_contract_values(contract_value or ())
    exchanges = parse_exchanges(exchange)
    ports = parse_ports(port or (), exchanges)
    faults = _faults_of(exchanges, fault or (), fault_log, okx_checksums=okx_checksums)
    if not demo:
        find_recording(instrument, data_dir or DEFAULT_DATA_DIR, *times)
    told = _told(verbose, quiet=quiet)
    with _store(store) as directory:
        if notify != PIPE:
            check_spec(notify, directory)
        plan = Plan(
            instrument,
            directory,
            host,
            ports,
            fetch=[
                *(instrument, start_date, end_date, "--speed", speed),
                *_given("--data-dir", data_dir),
                *_flags({"--demo": demo, "--now": now}),
                *told,
            ],
            publish=[
                *("--poll-seconds", str(poll_seconds), "--limits" if limits else "--no-limits"),
                *_given("--tls-cert", tls_cert),
                *_given("--tls-key", tls_key),
                *_given("--contract-value", *(contract_value or ())),
                *_given("--allow-host", *(allow_host or ())),
                *_flags({"--okx-checksums": okx_checksums}),
                *told,
            ],
            faults=faults,
            notify=notify,
            tls=tls_cert is not None,
            exit_at_end=exit_at_end,
        )
        code = _run(lambda heard: Desk(plan, exchanges, heard), quiet=quiet)
    raise typer.Exit(code)


def parse_exchanges(text: str | None) -> list[str]:
    """Return the exchanges of `--exchange`, each once, all without it; raise `UsageError`."""
    if text is None:
        return list(VENUES)
    return [new_venue(name, Settings()).name for name in dict.fromkeys(text.split(","))]


def parse_ports(texts: Sequence[str], exchanges: Sequence[str]) -> dict[str, int]:
    """Return the port of each exchange, of texts like `okx=9000` or `0`; raise `UsageError`."""
    ports = {name: new_venue(name, Settings()).port for name in exchanges}
    for text in texts:
        name, equals, number = text.partition("=") if "=" in text else ("", "", text)
        is_port = number.isascii() and number.isdigit() and int(number[:6]) <= 65535
        if not is_port or (name not in ports if equals else number != "0"):
            msg = (
                "--port is 0 for free ones, or NAME=PORT with a port up to 65,535 and one of "
                f"{', '.join(ports)}; found {text!r}"
            )
            raise UsageError(msg, "--port", text)
        ports |= dict.fromkeys([name] if equals else ports, int(number))
    return ports


def _faults_of(
    exchanges: Sequence[str], texts: Sequence[str], log: Path | None, *, okx_checksums: bool
) -> dict[str, list[str]]:
    """Return the arguments for faults, by exchange: to each those that it can have.

    Raise `UsageError` for one that none can.
    """
    arguments = {name: _given("--fault-log", log) for name in exchanges}
    for text in texts:
        refusals: dict[str, UsageError] = {}
        for name in exchanges:
            try:
                parse_faults([text], name, checksums=okx_checksums or name != "okx")
                arguments[name] += ["--fault", text]
            except UsageError as error:
                refusals[name] = error
        if len(refusals) == len(exchanges):
            raise next(iter(refusals.values()))
        for refusal in refusals.values():
            say(f"left out: {refusal}")
    return arguments


def _given(name: str, *values: object) -> list[str]:
    return [part for value in values if value is not None for part in (name, str(value))]


def _flags(flags: Mapping[str, bool]) -> list[str]:
    return [name for name, wanted in flags.items() if wanted]


def _told(verbose: int, *, quiet: bool) -> list[str]:
    return [*["-v"] * verbose, *_flags({"-q": quiet})]


@contextlib.contextmanager
def _store(given: Path | None) -> Iterator[Path]:
    if given is not None:
        instruments_in(given)  # said here, and not by every process
        yield given
        return
    directory = Path(tempfile.mkdtemp(prefix="orderflow-store-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _run(make: Callable[[Callable[[str], None]], Desk], *, quiet: bool) -> int:
    """Run a desk, with a table of it on a terminal; return the exit code."""
    if quiet:
        return _run_until_stopped(make(_say_errors), lambda: None)
    if command.is_terminal():
        with table.shown(make) as (desk, refresh):
            code = _run_until_stopped(desk, refresh)
    else:
        desk = make(say)
        code = _run_until_stopped(desk, lambda: None)
    say(table.last_line(desk))
    return code


def _say_errors(text: str) -> None:
    if "error: " in text.lower():
        say(text)


def _run_until_stopped(desk: Desk, show: Callable[[], None]) -> int:
    with command.stop_on_signals(desk.stop) as signals:
        code = asyncio.run(desk.run(show))
    return 128 + signals.received if signals.received else code
