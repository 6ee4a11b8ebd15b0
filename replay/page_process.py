"""Start the page as a process of its own beside a replay, and end it with the replay."""

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger(__name__)

APP = Path(__file__).resolve().parents[1] / "app.py"


class PageProcess:
    """The page, `app.py`, run by the same interpreter.

    Its standard input is a pipe that this process holds open: the page ends when the pipe does,
    in whatever way this process dies. A page that can't start, or ends, is said once and is no
    reason to stop the replay.
    """

    def __init__(
        self, output_dir: Path, host: str, port: int, allowed_hosts: Sequence[str] = ()
    ) -> None:
        self._ended = False
        command = [sys.executable, str(APP), "--output-dir", str(output_dir), "--host", host]
        command += ["--port", str(port), "--exit-with-parent"]
        for name in allowed_hosts:
            command += ["--allow-host", name]
        try:
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(  # noqa: S603 (our own)
                command, stdin=subprocess.PIPE
            )
        except OSError as error:
            self._process = None
            self._say_ended(f"could not be started ({error.strerror})")

    def check(self) -> None:
        """Say it, once, when the page has ended by itself."""
        if self._process and not self._ended and (code := self._process.poll()) is not None:
            self._say_ended(f"has ended (exit code {code})")

    def keep(self) -> None:
        """Wait until the page ends or Ctrl+C; return at once when it is gone."""
        if self._process is None:
            return
        try:
            self._process.wait()
            self.check()
        except KeyboardInterrupt:
            pass

    def close(self) -> None:
        """End the page; harmless when it has ended."""
        if self._process is None:
            return
        self._ended = True
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _say_ended(self, what: str) -> None:
        self._ended = True
        logger.warning("the page %s; the replay goes on without it", what)
