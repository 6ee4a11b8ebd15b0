"""What a process does for the one that started it: report, listen, and end with it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable

import orjson

GRACE_SECONDS = 1.0
FINISH = b"finish\n"
GONE = "the process that had started it has ended"


def end_with_parent(
    hear: Callable[[str], None] = lambda _: None,
    *,
    grace_seconds: float = GRACE_SECONDS,
    finish: Callable[[], None] = lambda: None,
) -> None:
    """Stop this process, as SIGTERM does, when its stdin ends; its parent holds the other end.

    So it ends in whatever way the parent dies. A line from the parent stops it too: `hear` is told
    first what it says, or that there is no parent any more. One that is too busy to stop is ended
    after `grace_seconds` all the same. The line `FINISH` does not stop it: `finish` is called, to
    bring what it does to its end.
    """

    def wait() -> None:
        line = os.read(sys.stdin.fileno(), 4096)
        while line.startswith(FINISH):
            finish()
            line = line.removeprefix(FINISH) or os.read(sys.stdin.fileno(), 4096)
        hear(line.decode(errors="replace").strip() if line else GONE)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_seconds)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()


def report(**facts: object) -> None:
    """Tell the parent how things stand, the port it can be reached at, say, as a line of JSON."""
    from orderflow.command import print_result  # noqa: PLC0415 (with Typer, which a job goes without)

    print_result(orjson.dumps(facts).decode())
