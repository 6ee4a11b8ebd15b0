"""Lock the directory of a run's files, so that no other run writes there meanwhile."""

import contextlib
import fcntl
import os
from pathlib import Path

from orderflow.errors import OutputError

LOCK_NAME = ".orderflow.lock"


class OutputLock:
    """Hold the lock of `directory` until `release`, or until the process ends in whatever way.

    Raise `OutputError`, with the pid of the other run, when another run holds it, `OSError` when
    the lock file can't be made.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK_NAME
        self._descriptor: int | None = _take_lock(directory)

    def release(self) -> None:
        """Give the directory free; harmless when repeated."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = None


def _take_lock(directory: Path) -> int:
    path = directory / LOCK_NAME
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            msg = (
                f"{directory}: in use by another run, pid {owner}; wait for it, stop it, or choose "
                "another directory with --output-dir"
            )
            raise OutputError(msg) from None
        with contextlib.suppress(FileNotFoundError):
            # The run before may have removed the file between our open and our lock.
            if os.fstat(descriptor).st_ino == path.stat().st_ino:
                os.ftruncate(descriptor, 0)
                os.write(descriptor, str(os.getpid()).encode())
                return descriptor
        os.close(descriptor)
