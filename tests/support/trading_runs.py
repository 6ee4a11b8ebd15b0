"""Run `trading run` as a user does, and look at its processes and what they leave behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from desk_runs import WAIT_SECONDS, is_running, wait_until
from places import PROJECT

FILES = ("fills.json", "orders.json", "alerts.json", "report.json")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(PROJECT / "tests" / "support")}
MODULE = [sys.executable, "-m", "trading"]


def trading(*arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command of trading to its end."""
    return subprocess.run(
        [*MODULE, *map(str, arguments)], capture_output=True, text=True, check=False,
        cwd=PROJECT, env=ENVIRONMENT | env, timeout=4 * WAIT_SECONDS,
    )  # fmt: skip


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command of trading; it is killed at the end of the context, if it still runs."""
    with subprocess.Popen(
        [*MODULE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=PROJECT, env=ENVIRONMENT,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def contents(directory: Path) -> dict[str, bytes]:
    """Return what is in the files of a run."""
    return {name: (directory / name).read_bytes() for name in FILES}


def report_in(directory: Path) -> dict[str, Any]:
    """Return the report of a run."""
    found: dict[str, Any] = json.loads((directory / "report.json").read_bytes())
    return found


class TradingRun:
    """A `trading run` under way, with a short directory of its own for what is temporary."""

    def __init__(self, process: subprocess.Popen[str], temporary: Path, out: Path) -> None:
        self.process = process
        self.out = out
        self.temporary = temporary
        self._seen = {process.pid}
        self._lines: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stderr:
            self._lines.extend(stderr)

    @property
    def text(self) -> str:
        """Return what was said so far."""
        return "".join(self._lines)

    def children(self) -> dict[str, int]:
        """Return the pids of the processes it has started, by their names."""
        found = dict(sorted(_children(self.process.pid)))
        self._seen.update(found.values())
        return found

    def wait_until_under_way(self) -> dict[str, int]:
        """Wait until the first tick is said to be here; return the pids by the names."""

        def is_so() -> bool:
            assert self.process.poll() is None, self.text
            return "tick 1 is here" in self.text

        wait_until(is_so)
        return self.children()

    def end(self) -> int:
        """Wait for the end, and return the exit code."""
        code = self.process.wait(WAIT_SECONDS)
        self._reading.join(WAIT_SECONDS)
        return code

    def check_nothing_is_left(self) -> None:
        """Fail where a process, a socket, a temporary directory or a lock is left."""
        wait_until(lambda: not any(map(is_running, self._seen)))
        wait_until(lambda: not list(self.temporary.iterdir()))
        assert [path.name for path in self.out.glob(".*")] == []

    def kill_all(self) -> None:
        """Kill all that is left of it."""
        self.children()
        for pid in filter(is_running, self._seen):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._reading.join(WAIT_SECONDS)


def _children(parent: int) -> Iterator[tuple[str, int]]:
    for path in Path("/proc").glob("[0-9]*"):
        try:
            status = path.joinpath("stat").read_text().rpartition(")")[2].split()
            words = path.joinpath("cmdline").read_text().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if status[1] != str(parent) or status[0] == "Z":
            continue
        if "trading" in words:
            at = words.index("trading") + 1
            name = words[at + 1].partition("=")[0] if words[at] == "strategy" else words[at]
            yield name, int(path.name)
        elif any(word.endswith("main.py") for word in words):
            yield "replay", int(path.name)


@contextmanager
def trading_run(out: Path, *arguments: object) -> Iterator[TradingRun]:
    """Run `trading run` into `out` while the context lasts; nothing of it is left after."""
    temporary = Path(tempfile.mkdtemp(prefix="t-"))  # short: sockets have short names
    words = [*MODULE, "run", *map(str, arguments), "--output-dir", str(out), "--no-ui"]
    process = subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, cwd=PROJECT,
        env=ENVIRONMENT | {"TMPDIR": str(temporary)},
    )  # fmt: skip
    run = TradingRun(process, temporary, out)
    try:
        yield run
    finally:
        run.kill_all()
        shutil.rmtree(temporary)
