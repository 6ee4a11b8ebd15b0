"""Run `simulator run` as a user does, and look at its processes."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from places import PROJECT

WAIT_SECONDS = 60.0
"""Far more than anything takes on a machine with nothing else to do."""


class DeskRun:
    """A `simulator run`, and what it has said on stderr so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._seen = {process.pid}
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait until a line is said that has a pattern in it, and return what was found."""
        found: list[re.Match[str]] = []

        def is_said() -> bool:
            found[:] = [match for line in self.lines if (match := re.search(pattern, line))]
            return bool(found) or self.process.poll() is not None

        wait_until(is_said)
        assert found, f"{pattern!r} was not said:\n{self.text}"
        return found[0]

    def port(self, exchange: str) -> int:
        """Wait until an exchange is announced, and return its port."""
        return int(self.wait_for(rf"^{exchange}  wss?://[^/]*:(\d+)/")[1])

    def children(self) -> dict[str, int]:
        """Return the pids of the processes it has started, by command and exchange."""
        found = dict(sorted(_children(self.process.pid)))
        self._seen.update(found.values())
        return found

    def child(self, name: str, *, not_pid: int | None = None) -> int:
        """Wait until there is a process of that name, another one than `not_pid`."""
        wait_until(lambda: self.children().get(name) not in (None, not_pid))
        return self.children()[name]

    def end(self, number: int = signal.SIGINT) -> int:
        """Send a signal, wait for the end, and return the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(WAIT_SECONDS)
        self.join()
        return code

    def kill_all(self) -> None:
        """Kill all that is left of it, those that have lost their parent too."""
        self.children()
        for pid in filter(is_running, self._seen):
            os.kill(pid, signal.SIGKILL)

    def join(self) -> None:
        """Wait until all has been read that it and its processes have said."""
        self._reading.join(WAIT_SECONDS)


def _children(parent: int) -> Iterator[tuple[str, int]]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            status = path.joinpath("stat").read_text().rpartition(")")[2].split()
            words = path.joinpath("cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if status[1] == str(parent) and status[0] != "Z" and "simulator" in words:
            at = words.index("simulator") + 1
            yield " ".join(words[at : at + 2 if words[at] == "publish" else at + 1]), int(path.name)


def is_running(pid: int) -> bool:
    """Return whether a process is there and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Wait until a condition holds; fail after a time in which it would on any machine."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.02)


@contextmanager
def desk_run(*arguments: object) -> Iterator[DeskRun]:
    """Run `simulator run` with free ports while the context lasts; nothing of it is left after."""
    words = [sys.executable, "-m", "simulator", "run", *map(str, arguments), "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=PROJECT) as process:
        run = DeskRun(process)
        try:
            yield run
        finally:
            run.kill_all()
            run.join()
