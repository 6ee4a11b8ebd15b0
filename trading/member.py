"""What the loops of gateway, strategies and executor have in common."""

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from messaging.serializer import MessageError
from messaging.sockets import TopicError
from orderflow.errors import OrderflowError
from trading.messages import SERIALIZER, Abort, AnyMessage, Hello, Role
from trading.protocol import (
    HEARTBEAT_SECONDS,
    START_SECONDS,
    Interval,
    NotThereError,
    RunError,
    RunStoppedError,
    Watch,
)

WAIT_MS = 50
"""How long a loop waits for messages before it looks at the clock again."""


class Member:
    """A process in a run: its name, its signs of life, and those of others.

    `stopped` is asked in each round; when it is true the run ends with `RunStoppedError`. `strange`
    counts what came and was no message of this program.
    """

    def __init__(self, role: Role, name: str, stopped: Callable[[], bool]) -> None:
        self.role = role
        self.name = name
        self.run_id = ""
        self.watch = Watch()
        self.strange = 0
        self._stopped = stopped
        self._beats = Interval(HEARTBEAT_SECONDS)
        self._waits_since = self.now()
        self._hello = Hello(role, name, secrets.token_hex(4), os.getpid(), datetime.now(UTC))

    @property
    def instance(self) -> str:
        """Return what tells this process from others of its name."""
        return self._hello.instance

    @staticmethod
    def now() -> float:
        """Return seconds of a clock that does not jump."""
        return time.monotonic()

    def hello(self) -> bytes:
        """Return the message that says this process is there."""
        return SERIALIZER.encode(self._hello)

    def wait_from_now(self) -> None:
        """Let the time begin in which all others have to come."""
        self._waits_since = self.now()

    def is_beat_due(self) -> bool:
        """Return whether it is time for a sign of life; raise `RunStoppedError` where asked to."""
        if self._stopped():
            raise RunStoppedError(self.name)
        return self._beats.is_due(self.now())

    def check(self, missing: list[str]) -> None:
        """Raise a `RunError` if somebody has died, or is `missing` for too long at the start."""
        now = self.now()
        self.watch.check(now)
        if missing and now - self._waits_since > START_SECONDS:
            raise NotThereError(missing, START_SECONDS)

    def decode(self, data: bytes) -> AnyMessage | None:
        """Return a message, or None for what is none; that is counted."""
        try:
            return SERIALIZER.decode(data)
        except MessageError:
            self.strange += 1
            return None

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        """Count a frame that has no topic, and go on."""
        try:
            yield
        except TopicError:
            self.strange += 1

    @contextlib.contextmanager
    def telling(self, tell: Callable[[bytes], None]) -> Iterator[None]:
        """Tell the others why the run ends here, if it does by an error."""
        try:
            yield
        except RunError as error:
            tell(SERIALIZER.encode(Abort(self.run_id, error.name[:100], error.reason[:2000])))
            raise
        except Exception as error:
            said = str(error) if isinstance(error, OrderflowError) else repr(error)
            tell(SERIALIZER.encode(Abort(self.run_id, self.name, said[:2000])))
            raise
