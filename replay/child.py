"""Run a job in a process of its own, whatever becomes of that process.

Nothing of the project is imported here: a worker of a cluster is sent these functions, and needs
the project only in the process that it starts.
"""

import contextlib
import json
import select
import signal
import subprocess
import tempfile
import threading
import time
from typing import IO, Any

MOST_SAID = 500
SECONDS_PER_LOOK = 0.1
"""So often it is looked whether a job is to be ended."""


def run_child(
    command: list[str],
    folder: str,
    spec: str,
    seconds: float,
    stopped: threading.Event | None = None,
) -> dict[str, Any]:
    """Run `command` in `folder`, send it the line `spec`, and return what it prints, a JSON object.

    It must end when its stdin does, so that it ends with this process. Where it takes longer than
    `seconds`, dies or prints anything else, return `{"state": "failed", "error": why}`; when
    `stopped` is set it is killed, and the state is `stopped`.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(  # noqa: S603 (our own program)
                command,
                bufsize=0,  # what could not be sent would be sent again by closing
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            return _failed(f"{command[0]} cannot be started in {folder}: {error.strerror}")
        with process:
            try:
                _send(process, spec)
                outcome = _wait(process, began + seconds, stopped)
            finally:
                process.kill()
        if outcome:
            return (
                _failed(f"took longer than {seconds:g} s")
                if outcome == "late"
                else {"state": outcome}
            )
        return _said(process.returncode, out, err)


def _send(process: "subprocess.Popen[bytes]", spec: str) -> None:
    assert process.stdin is not None  # noqa: S101 (it is a pipe)
    try:
        process.stdin.write(spec.encode() + b"\n")
        process.stdin.flush()
    except BrokenPipeError:  # it has ended already; its exit says why
        return


def _wait(
    process: "subprocess.Popen[bytes]", end: float, stopped: threading.Event | None
) -> str | None:
    """Wait for the end; return `late` or `stopped` where the process has to be ended.

    Its end is noticed at once: nobody reads the pipe to its stdin any more, which is an error that
    `poll` waits for. (`Popen.wait` with a timeout looks every 50 ms.)
    """
    assert process.stdin is not None  # noqa: S101 (it is a pipe)
    ended = select.poll()
    ended.register(process.stdin, 0)  # errors are always told
    while process.poll() is None:
        if stopped and stopped.is_set():
            return "stopped"
        if time.monotonic() > end:
            return "late"
        if ended.poll(SECONDS_PER_LOOK * 1000):
            with contextlib.suppress(subprocess.TimeoutExpired):  # stdin goes just before the rest
                process.wait(SECONDS_PER_LOOK)
    return None


def _said(code: int, out: IO[bytes], err: IO[bytes]) -> dict[str, Any]:
    out.seek(0)
    try:
        said = json.loads(out.read())
    except ValueError:
        said = None
    if code == 0 and isinstance(said, dict):
        return said
    err.seek(0)
    lines = err.read()[-4096:].decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")[:MOST_SAID]
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return _failed(f"its process was killed by {name}{last and ': ' + last}")
    return _failed(last or f"its process ended with code {code} and said nothing")


def _failed(why: str) -> dict[str, Any]:
    return {"state": "failed", "error": why}
