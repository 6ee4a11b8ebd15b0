"""Start the page as a process of its own beside a replay, and end it with the replay."""

import errno
import logging
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from orderflow.errors import PortTakenError

logger = logging.getLogger(__name__)

APP = Path(__file__).resolve().parents[1] / "app.py"


def check_port(host: str, port: int) -> None:
    """Raise `PortTakenError` when another program listens on `port` of `host`.

    Checked before a replay begins, which may otherwise take hours and then have no page. Anything
    else that is wrong with the address is reported by the page itself.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return
    for family, kind, protocol, _, address in found:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the page does
            try:
                probe.bind(address)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    msg = (
                        f"port {port} of {host} is in use, perhaps by the page of another replay; "
                        f"stop that one, choose another port, such as --port {port % 65535 + 1}, "
                        "or replay without the page with --no-ui"
                    )
                    raise PortTakenError(msg, host, port) from error


class PageProcess:
    """The page, `app.py`, run by the same interpreter.

    Its standard input is a pipe that this process holds open: the page ends when the pipe does,
    in whatever way this process dies. A page that can't start, or ends, is reported once and does
    not stop the replay.
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
            # In a session of its own a terminal's Ctrl+C reaches this process alone, not the page
            # in the middle of its imports; it ends by the pipe.
            self._process: subprocess.Popen[bytes] | None = subprocess.Popen(  # noqa: S603 (our own)
                command, stdin=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            self._process = None
            self._say_ended(f"could not be started ({error.strerror}); the replay goes on")

    @property
    def is_up(self) -> bool:
        """Return whether the page's process is running, even if it is still starting."""
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """Report, once, that the page has ended by itself while the replay goes on."""
        if self._process and not self._ended and not self.is_up:
            self._say_ended(f"has ended (exit code {self._process.returncode}); the replay goes on")

    def keep(self) -> None:
        """Wait until the page ends or Ctrl+C; return at once if it has ended."""
        if self._process is None:
            return
        try:
            code = self._process.wait()
        except KeyboardInterrupt:
            return
        if not self._ended:
            self._say_ended(f"has ended (exit code {code})")

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
        logger.warning("the page %s", what)
