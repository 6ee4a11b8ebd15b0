"""Processes that a run has started: what they say and report, and how they end, in one queue."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any, NamedTuple

import orjson

from orderflow.parent import FINISH


class Said(NamedTuple):
    """A line that a process has written to stderr."""

    name: str
    text: str


class Reported(NamedTuple):
    """What a process has told its parent, as a line of JSON on stdout."""

    name: str
    facts: dict[str, Any]


class Ended(NamedTuple):
    """The end of a process; `code` is negative where a signal has killed it."""

    name: str
    code: int


Event = Said | Reported | Ended | None
Events = SimpleQueue[Event]
"""None wakes up who waits."""


class Child:
    """A Python process that ends with this one; `words` are its arguments after the interpreter.

    Its stdin is a pipe that this process holds open, and it ends when the pipe does, in whatever
    way this process dies. What becomes of it goes into `events`, its end last.
    """

    def __init__(self, name: str, words: Sequence[str], events: Events) -> None:
        self.name = name
        self._events = events
        # In a session of its own a terminal's Ctrl+C reaches this process alone, which ends it.
        self._process = subprocess.Popen(  # noqa: S603 (our own)
            [sys.executable, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        Thread(target=self._follow, name=f"follow-{name}", daemon=True).start()

    @property
    def pid(self) -> int:
        """Return the number of the process."""
        return self._process.pid

    @property
    def is_halted(self) -> bool:
        """Return whether it was stopped by a signal, as SIGSTOP does, and has not gone on."""
        if not hasattr(os, "waitid"):  # macOS before Python 3.13: silence on the bus tells, later
            return False
        options = os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        try:
            return os.waitid(os.P_PID, self.pid, options) is not None
        except ChildProcessError:
            return False  # it has ended

    def stop(self, words: str = "") -> None:
        """Ask it to end, and say why where it is not simply to stop; harmless when repeated."""
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            return
        with contextlib.suppress(OSError):  # it has ended
            stdin.write(f"{words}\n".encode())
            stdin.close()

    def finish(self) -> None:
        """Ask it to bring what it does to its end."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.closed:
            with contextlib.suppress(OSError):  # it has ended
                stdin.write(FINISH)
                stdin.flush()

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _follow(self) -> None:
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None and stderr is not None, "both are pipes"  # noqa: S101, PT018
        reading = Thread(target=self._read_stderr, args=(stderr,), daemon=True)
        reading.start()
        for line in stdout:
            with contextlib.suppress(orjson.JSONDecodeError):  # cut off by a kill
                self._events.put(Reported(self.name, orjson.loads(line)))
        reading.join()
        self._events.put(Ended(self.name, self._process.wait()))

    def _read_stderr(self, stderr: IO[bytes]) -> None:
        for line in stderr:
            self._events.put(Said(self.name, line.decode(errors="replace").rstrip()))


def how_ended(code: int) -> str:
    """Return in words how a process has ended that was to go on."""
    if code < 0:
        return f"was killed by signal {-code}"
    return f"has ended with code {code}"
