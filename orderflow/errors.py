"""The one root of every error this program raises on purpose.

A message says the fact, the limit and the value found, and what to do about it, so that the
command line can print it as it is. Anything that is not an `OrderflowError` is a bug.
"""


class OrderflowError(Exception):
    """Report a condition the user can act on; the base of every error of the project."""


class LevelFormatError(OrderflowError):
    """Report a `bids` or `asks` value that is no array of levels at all."""


class RecordingError(OrderflowError):
    """Report a recording that cannot be read, or not any further.

    `path` names the file; the message says how far the reading got.
    """

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class NothingToReplayError(OrderflowError):
    """Report that no recording of the instrument, or no row in the range, was found."""


class OutputError(OrderflowError):
    """Report an output directory that cannot be used."""


class UsageError(OrderflowError):
    """Report an argument that cannot be meant; the command line ends with exit code 2."""


class ListenError(OrderflowError):
    """Report an address, `host` and `port`, that the page cannot listen on."""

    def __init__(self, message: str, host: str, port: int) -> None:
        super().__init__(message)
        self.host = host
        self.port = port


class PortTakenError(ListenError):
    """Report a port that another program listens on; the command line ends with exit code 3."""
