"""What a process of `simulator run` does for the one that started it: report, and end with it."""

import os
import signal
import sys
import threading
import time

import orjson

from orderflow.command import print_result

_GRACE_SECONDS = 1.0


def end_with_parent() -> None:
    """Stop this process, as SIGTERM does, when its stdin ends; its parent holds the other end.

    So it ends in whatever way the parent dies. One that is too busy to stop is ended all the same.
    """

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_GRACE_SECONDS)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=wait, name="end-with-parent", daemon=True).start()


def report(**facts: int) -> None:
    """Tell the parent how things stand: the port it can be reached at, say."""
    print_result(orjson.dumps(facts).decode())
