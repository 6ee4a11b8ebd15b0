"""The manners of every command line: one line an error, exit codes, what is logged."""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from orderflow.errors import OrderflowError, UsageError

EXIT_DONE, EXIT_FAILED, EXIT_USAGE = 0, 1, 2


def set_up_logging(verbose: int, *, quiet: bool) -> None:
    """Log warnings to stderr; with -v what is going on, with -vv more, with -q errors alone."""
    level = (
        logging.ERROR if quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    )
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s: %(message)s")


@contextmanager
def errors_as_lines(verbose: int) -> Iterator[None]:
    """Turn an error into one line and an exit code; a bug's traceback shows with -vv."""
    try:
        yield
    except typer.Exit:
        raise
    except UsageError as error:
        fail(str(error), EXIT_USAGE)
    except OrderflowError as error:
        fail(str(error), EXIT_FAILED)
    except KeyboardInterrupt:
        fail("stopped", 130)
    except Exception as error:  # noqa: BLE001 (the outermost line of defence: said, never swallowed)
        if verbose >= 2:
            traceback.print_exc()
        hint = "" if verbose >= 2 else "; -vv shows where, please report it"
        fail(f"a bug in the program: {error!r}{hint}", EXIT_FAILED)


def fail(message: str, code: int) -> NoReturn:
    """End with one line on stderr and an exit code."""
    say_error(message)
    raise typer.Exit(code)


def say_error(message: str) -> None:
    """Write one line about an error to stderr, in red where it is a terminal."""
    color = None if not os.environ.get("NO_COLOR") else False
    typer.secho(f"Error: {message}", err=True, fg="red", color=color)
