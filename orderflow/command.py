"""The manners of every command line: one line an error, exit codes, what is logged.

A program makes a `typer.Typer` with `new_app`, its commands raise `OrderflowError`s, and it ends in
`run(app)`. The exit codes are in docs/reference.md.
"""

import contextlib
import errno
import gc
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn, TextIO

import typer

from orderflow.errors import OrderflowError, OutputError, PortTakenError, UsageError
from orderflow.startup import EXIT_INTERRUPTED, end_at_interrupt

EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_PORT_TAKEN = 0, 1, 2, 3
EXIT_NOBODY_READS = 141
"""What a shell calls the end by SIGPIPE: the usual end of a command before `| head`."""

CLEAR_LINE = "\r\x1b[K"
"""Clears the terminal's current line, of the progress of this process or of another."""

Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, show_default=False, help="Say more; -vv adds tracebacks."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]


def new_app(**settings: Any) -> typer.Typer:
    """Return a Typer without completion, boxes and long tracebacks; `settings` are Typer's own."""
    # Plain help: laying it out in boxes takes longer to import than the rest of the program.
    return typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, **settings
    )


def set_up_logging(verbose: int, *, quiet: bool) -> None:
    """Log warnings to stderr; with -v what is going on, with -vv more, with -q only errors.

    With -vv, and without -q, an unforeseen error also shows its traceback.
    """
    level = (
        logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    )
    form = f"{_line_start()}%(levelname)s: %(message)s"
    logging.basicConfig(level=level, stream=sys.stderr, format=form)


def is_terminal() -> bool:
    """Return whether stderr is a terminal that understands more than plain text."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def say(text: str) -> None:
    """Write a line to stderr; if it cannot be written, carry on without it."""
    with contextlib.suppress(OSError):
        typer.echo(f"{_line_start()}{text}", err=True)


def say_error(message: str) -> None:
    """Write one line about an error to stderr, in red where it is a terminal."""
    shown = f"Error: {message}"
    if is_terminal() and not os.environ.get("NO_COLOR"):
        shown = typer.style(shown, fg="red")
    say(shown)


def _line_start() -> str:
    return CLEAR_LINE if is_terminal() else ""


class StdoutError(OutputError):
    """Report that standard output cannot be written to.

    `errno` is the system's error number, None if standard output is closed.
    """

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.errno = number


def print_result(text: str) -> None:
    """Print what a command was asked for to stdout, as a line, and flush it.

    Raise `StdoutError` when stdout is closed or cannot be written to.
    """
    if sys.stdout is None:
        msg = "standard output is closed, so the result cannot be printed"
        raise StdoutError(msg)
    with _stdout_errors():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


@contextlib.contextmanager
def _stdout_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = f"standard output cannot be written to ({error.strerror}); send it elsewhere"
        raise StdoutError(msg, error.errno) from error


def in_range(low: int, high: int) -> Callable[[int], int]:
    """Return a callback for an option that refuses a number outside `low` to `high`."""

    def check(value: int) -> int:
        if not low <= value <= high:
            msg = f"must be {low:,} to {high:,}; found {value:,}"
            raise typer.BadParameter(msg)
        return value

    return check


_HANG_UP = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []


@dataclass
class Signals:
    """Which signal asked to stop, if any: 2 for Ctrl+C, 15 for SIGTERM, 1 for a hang-up."""

    received: int = 0


@contextlib.contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[Signals]:
    """Let the first Ctrl+C, SIGTERM or hang-up call `stop`, a second one end the process at once.

    What is ignored, as hang-ups are under `nohup`, stays ignored.
    """
    signals = Signals()

    def stop_once(number: int, _frame: FrameType | None) -> None:
        signals.received = number
        stop()
        for kind, handler in before.items():
            signal.signal(kind, handler)

    kinds = [signal.SIGINT, signal.SIGTERM, *_HANG_UP]
    before = {kind: signal.getsignal(kind) for kind in kinds}
    before = {kind: handler for kind, handler in before.items() if handler != signal.SIG_IGN}
    for kind in before:
        signal.signal(kind, stop_once)
    try:
        yield signals
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def run(app: typer.Typer, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a program's command line and end the process with its exit code.

    An `OrderflowError` becomes one line, and so does a wrong argument; anything else is reported as
    a bug. Ctrl+C ends with 130. `arguments` are those of the process unless given.
    """
    command = typer.main.get_command(app)
    command.context_settings.setdefault("help_option_names", ["-h", "--help"])
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with _stdout_errors():  # --help and --version print
            context = command.make_context(_program_name(), given)
        gc.enable()  # which `startup.begin` has put off
        with context:
            command.invoke(context)
        code = EXIT_DONE
    except KeyboardInterrupt:
        end_at_interrupt()
        code = EXIT_INTERRUPTED
        say_error("stopped")
    except Exception as error:  # noqa: BLE001 (the outermost line of defence: said, never swallowed)
        end_at_interrupt()
        code = _say_why(error)
    end_at_interrupt()
    for stream, descriptor in ((sys.stdout, 1), (sys.stderr, 2)):
        _let_go(stream, descriptor)
    gc.freeze()  # all goes in any case: a last search for garbage would take 50 ms
    sys.exit(code)


def _program_name() -> str:
    path = Path(sys.argv[0])
    return path.name if path.name != "__main__.py" else f"python -m {path.parent.name}"


def _say_why(error: Exception) -> int:
    """Write why a command has ended to stderr, and return its exit code."""
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, StdoutError) and error.errno == errno.EPIPE:
        return EXIT_NOBODY_READS
    if isinstance(error, OrderflowError):
        say_error(str(error))
        kinds = {UsageError: EXIT_USAGE, PortTakenError: EXIT_PORT_TAKEN}
        return next((kinds[kind] for kind in kinds if isinstance(error, kind)), EXIT_FAILED)
    if message := _argument_message(error):
        say_error(message)
        return EXIT_USAGE
    shown = logging.getLogger().isEnabledFor(logging.DEBUG)
    if shown:
        say("".join(traceback.format_exception(error)).rstrip())
    hint = "" if shown else "; -vv shows where, please report it"
    say_error(f"a bug in the program: {error!r}{hint}")
    return EXIT_FAILED


def _argument_message(error: Exception) -> str | None:
    """Return what Typer says about a wrong argument as one line; None for any other error."""
    # Typer exports only one class of that family, so they are known by their common method.
    if not hasattr(error, "format_message"):
        return None
    said = " ".join(error.format_message().split()).removesuffix(".")
    context = getattr(error, "ctx", None)
    return f"{said}; {context.command_path} --help shows what is understood" if context else said


def _let_go(stream: TextIO | None, descriptor: int) -> None:
    """Flush a standard stream for the last time, and discard what it does not accept.

    The interpreter would try once more, and change the exit code. Results are flushed when they are
    printed, so nothing that matters is lost.
    """
    try:
        if stream is not None:
            stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
