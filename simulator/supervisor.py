"""Keep processes running: start them, pass on what they say, start them again, end them all."""

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import orjson

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.25, 8.0
LONG_SECONDS = 10.0
"""One that has run for so long has not failed at once: the next pause is the first again."""
GRACE_SECONDS = 1.5
"""How long all may take to end before they are killed."""
_LONGEST_LINE = 1 << 20

STARTING, RUNNING, PAUSING = "starting", "running", "restarting"
FINISHED, FAILED, STOPPED = "finished", "failed", "stopped"

Say = Callable[[str], None]


class Command(NamedTuple):
    """Arguments of the simulator, and descriptors that the process inherits."""

    arguments: Sequence[str]
    descriptors: tuple[int, ...] = ()


class Worker:
    """A command of the simulator as a process of its own, kept running until `stop`.

    `ends` says whether the work has an end: code 0 is then a success, and any other one that the
    process chose is final. One that serves is final with codes `FINAL`, or when it ends before it
    has ever been ready. Whatever a signal has killed is started again, after pauses that grow.

    `command` is called at each start, which is within its context. The process's stdin is a pipe
    that it ends with, so that it ends with this process whatever becomes of it. `ready` is what it
    last reported on stdout.
    """

    FINAL = frozenset({2, 3})

    def __init__(
        self,
        name: str,
        command: Callable[[], AbstractContextManager[Command]],
        say: Say,
        *,
        ends: bool,
    ) -> None:
        self.name = name
        self.state = STARTING
        self.restarts = 0
        self.code: int | None = None
        self.ready: dict[str, Any] = {}
        self._command, self._say, self._ends = command, say, ends
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()

    @property
    def pid(self) -> int | None:
        """Return the number of the process, None while there is none."""
        return self._process.pid if self._process else None

    @property
    def is_over(self) -> bool:
        """Return whether it will not run again."""
        return self.state in (FINISHED, FAILED, STOPPED)

    async def keep(self) -> None:
        """Run it until it is over."""
        pause = FIRST_PAUSE_SECONDS
        while not self._stopping.is_set():
            began = time.monotonic()
            self.code = await self._run_once()
            if self._stopping.is_set():
                break
            if (state := self._final_state(self.code)) is not None:
                self.state = state
                return
            if time.monotonic() - began > LONG_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self.restarts += 1
            self.state = PAUSING
            self._say(f"{self.name} {_how_ended(self.code)}; starting it again in {pause:g} s")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(2 * pause, LAST_PAUSE_SECONDS)
        self.state = STOPPED

    def stop(self) -> None:
        """Ask it to end, and not to be started again."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _final_state(self, code: int) -> str | None:
        if self._ends and code == 0:
            return FINISHED
        by_signal = code < 0 or code > 128
        if by_signal or not (self._ends or code in self.FINAL or not self.ready):
            return None
        return FAILED

    async def _run_once(self) -> int:
        """Run the process to its end; return its exit code, negative for a signal."""
        self.state = STARTING
        pipe = asyncio.subprocess.PIPE
        # In a session of its own a terminal's Ctrl+C reaches this process alone, which ends it.
        with self._command() as command:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "simulator", *command.arguments, "--with-parent"),
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                limit=_LONGEST_LINE,
                pass_fds=command.descriptors,
                start_new_session=True,
            )
        self._process = process
        if self._stopping.is_set():  # asked for while it was being started
            self._signal(signal.SIGTERM)
        if self._ends:
            self.state = RUNNING
        said = [self._take_report(process), self._pass_on(process)]
        await asyncio.gather(*said)
        code = await process.wait()
        self._process = None
        return code

    async def _take_report(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is not None:
            async for line in process.stdout:
                self.ready = orjson.loads(line)
                self.state = RUNNING

    async def _pass_on(self, process: asyncio.subprocess.Process) -> None:
        if process.stderr is not None:
            async for line in process.stderr:
                self._say(f"{self.name}: {line.decode(errors='replace').rstrip()}")


async def end_all(workers: Sequence[Worker], keeping: Sequence[asyncio.Task[None]]) -> None:
    """Stop all workers at once, and kill those that do not end in time."""
    for worker in workers:
        worker.stop()
    _, left = await asyncio.wait(keeping, timeout=GRACE_SECONDS)
    if left:
        for worker in workers:
            worker.kill()
        await asyncio.wait(left)


def _how_ended(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"has ended with code {code}"
