"""Follow a recording as a user does, and replay it afterwards to compare."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from places import PROJECT

BARS = ("ohlc_data.json", "metrics_data.json", "depth_data.json")
SECONDS = 60.0
"""Nothing here takes a tenth of this, but on a machine that is busy with something else."""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Follower:
    """`main.py --follow` as a process; `span` has instrument, START and END."""

    def __init__(
        self, data: Path, out: Path, *more: str, span: tuple[str, str, str], **env: str
    ) -> None:
        self.data, self.out, self._span = data, out, span
        self._process = subprocess.Popen(
            [*self._command(out), "--follow", *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | env,
        )
        self.stderr = ""

    def _command(self, out: Path) -> list[str]:
        return [
            *(sys.executable, str(PROJECT / "main.py"), *self._span),
            *("--no-ui", "--json", "--window-seconds", "1"),
            *("--data-dir", str(self.data), "--output-dir", str(out)),
        ]

    @property
    def status(self) -> dict[str, Any]:
        try:
            told: dict[str, Any] = json.loads((self.out / "status_data.json").read_bytes())
        except FileNotFoundError:
            return {}
        return told

    def wait_for(self, **fields: Any) -> None:
        """Wait until the status says so."""

        def is_so() -> bool:
            assert self._process.poll() is None, self._process.communicate()
            return {key: self.status.get(key) for key in fields} == fields

        wait_until(is_so, f"{fields}; the status is {self.status}")

    def wait_for_end(self) -> tuple[int, dict[str, Any]]:
        """Wait until it ends by itself; return its exit code and its summary."""
        out, self.stderr = self._process.communicate(timeout=SECONDS)
        return self._process.returncode, json.loads(out)

    def stop(self) -> dict[str, Any]:
        """End it by Ctrl+C; return its summary."""
        self._process.send_signal(signal.SIGINT)
        code, summary = self.wait_for_end()
        assert (code, summary["state"]) == (130, "stopped")
        return summary

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def bars(self, directory: Path | None = None) -> list[bytes]:
        return [((directory or self.out) / name).read_bytes() for name in BARS]

    def plain(self) -> tuple[list[bytes], dict[str, Any]]:
        """Replay the same range without following it; return its files and its summary."""
        out = self.out.with_name("plain")
        done = subprocess.run(self._command(out), capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        return self.bars(out), json.loads(done.stdout)


def what_is_said(summary: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a summary what depends on the clock, and how the run ended."""
    changing = ("seconds", "rows_per_second", "state", "unchecked", "engine")
    return {key: value for key, value in summary.items() if key not in changing}
