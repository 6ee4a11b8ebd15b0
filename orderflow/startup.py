"""What every program of the project does first, before its slow imports.

A program's first lines are

    from orderflow import startup

    if __name__ == "__main__":
        startup.begin()

so this module imports next to nothing itself.
"""

import gc
import os
import signal
import sys
from types import FrameType

EXIT_INTERRUPTED = 130
BLAS_THREADS = "OPENBLAS_NUM_THREADS"


def begin() -> None:
    """Let Ctrl+C end the process without a traceback, refuse Windows, open closed streams.

    And let numpy, which pyarrow imports, start no threads for matrices: none are multiplied here,
    and the threads busily wait for work, a tenth of a second of CPU time each. Garbage is not
    collected until `command.run`: imports make none to speak of, and looking for it takes a tenth
    of their time.

    Imports take a few tenths of a second, and a KeyboardInterrupt there would show a traceback of
    whatever is being imported. Nothing can be done about one that comes before the first line of
    the program, while the interpreter starts (about 20 ms).
    """
    end_at_interrupt()
    if sys.platform == "win32":
        sys.exit(
            "Error: this program runs on Linux and macOS; found Windows, which lacks the locks it "
            "needs (fcntl). Windows runs it in WSL: https://learn.microsoft.com/windows/wsl"
        )
    _open_standard_streams()
    os.environ.setdefault(BLAS_THREADS, "1")
    gc.disable()


def end_at_interrupt() -> None:
    """Let Ctrl+C end the process at once, with exit code 130."""
    signal.signal(signal.SIGINT, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    os._exit(EXIT_INTERRUPTED)


def _open_standard_streams() -> None:
    """Put /dev/null where a standard stream is closed.

    Otherwise the next file opened gets its number, and what another library or a child process
    writes to "stderr" ends up in it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stderr is None:  # what Python makes of a closed one
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 (a descriptor, to the end)
