"""What the processes of a desk need to tell each other of new rows, as `--notify` says."""

import contextlib
from collections.abc import Iterator

from messaging.pipes import PipeForwarder
from simulator.supervisor import Command

PIPE = "pipe"
RELAYED = "zmq:"


class Notices:
    """The arguments of `--notify` for each process, and the pipes, where these are asked for."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        self.forwarder = PipeForwarder() if spec == PIPE else None

    @property
    def relay(self) -> list[str] | None:
        """Return the arguments of the process that passes notices on; None where none is needed."""
        return ["notifier", self.spec] if self.spec.startswith(RELAYED) else None

    @contextlib.contextmanager
    def for_writer(self) -> Iterator[Command]:
        """Give what the fetcher is started with; it must be started within the context."""
        yield self._command(self.forwarder.writer_descriptor if self.forwarder else None)

    @contextlib.contextmanager
    def for_reader(self) -> Iterator[Command]:
        """Give what a publisher is started with; it must be started within the context."""
        if self.forwarder is None:
            yield self._command(None)
            return
        with self.forwarder.reader_descriptor() as descriptor:
            yield self._command(descriptor)

    def close(self) -> None:
        """Close the pipes."""
        if self.forwarder:
            self.forwarder.close()

    def _command(self, descriptor: int | None) -> Command:
        if descriptor is None:
            return Command(["--notify", self.spec])
        return Command(["--notify", f"{PIPE}:{descriptor}"], (descriptor,))
