"""The one root of every error this program raises on purpose.

A message says the fact, the limit and the value found, and what to do about it, so that the
command line can print it as it is; the values in it are attributes, for programs. Anything that is
not an `OrderflowError` is a bug.
"""

from collections.abc import Sequence
from typing import Any

AnyPath = Any
"""A `pathlib.Path`, which the core, where errors are raised too, does not import."""


class OrderflowError(Exception):
    """Report a condition the user can act on; the base of every error of the project."""


class LevelFormatError(OrderflowError):
    """Report a `bids` or `asks` value that is not an array of levels; `found` is how it begins."""

    def __init__(self, message: str, found: str | bytes) -> None:
        super().__init__(message)
        self.found = found


class TimeOrderError(OrderflowError):
    """Report an event at `timestamp` before `window_start`, when the bar in progress began; in ms.

    Bars are never reopened, so events must come in time order.
    """

    def __init__(self, message: str, timestamp: int, window_start: int) -> None:
        super().__init__(message)
        self.timestamp = timestamp
        self.window_start = window_start


class RecordingError(OrderflowError):
    """Report a recording that cannot be read, or not to its end.

    `path` names the file; the message says how far the reading got.
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class NothingToReplayError(OrderflowError):
    """Report that there is no recording of `instrument`, or no row or trade in the range.

    `data_dir` is where it was looked for. Either may be None.
    """

    def __init__(
        self, message: str, instrument: str | None = None, data_dir: AnyPath = None
    ) -> None:
        super().__init__(message)
        self.instrument = instrument
        self.data_dir = data_dir


class OutputError(OrderflowError):
    """Report a file or directory, `path`, that cannot be written; None where it has no path."""

    def __init__(self, message: str, path: AnyPath = None) -> None:
        super().__init__(message)
        self.path = path


class NumbersError(OutputError):
    """Report `numbers` that no file may hold: not finite, or too few or too many for a bar."""

    def __init__(self, message: str, numbers: Sequence[float]) -> None:
        super().__init__(message)
        self.numbers = numbers


class ArrayFileError(OrderflowError):
    """Report a file that is no whole array file; `kind` says in a word what is wrong with it.

    The kinds are `kind`, `header`, `schema` and `length`.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class UsageError(OrderflowError):
    """Report an argument that cannot be meant; the command line ends with exit code 2.

    `name` is the argument's, as the command line or the function calls it, and `value` what was
    found; both are None where the message is about more than one.
    """

    def __init__(self, message: str, name: str | None = None, value: object = None) -> None:
        super().__init__(message)
        self.name = name
        self.value = value


class ListenError(OrderflowError):
    """Report an address, `host` and `port`, that the page cannot listen on."""

    def __init__(self, message: str, host: str, port: int) -> None:
        super().__init__(message)
        self.host = host
        self.port = port


class PortTakenError(ListenError):
    """Report a port that another program listens on; the command line ends with exit code 3."""
