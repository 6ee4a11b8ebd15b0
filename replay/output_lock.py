"""Lock the directory of a run's files, so that no other run writes there meanwhile."""

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from orderflow.errors import OutputError

LOCK_NAME = ".orderflow.lock"


class DirectoryInUseError(OutputError):
    """Report that another run, of process `pid`, writes into `directory`."""

    def __init__(self, directory: Path, pid: str) -> None:
        super().__init__(
            f"{directory}: in use by another run, pid {pid}; wait for it, stop it, or choose "
            "another directory with --output-dir",
            directory,
        )
        self.directory = directory
        self.pid = pid


class OutputLock:
    """Hold the lock of `directory` until `release`, or until the process ends in whatever way.

    `name` is the lock file's: who writes other files there has another lock. `descriptor` is the
    directory itself: what is done through it never ends up in another directory that has taken its
    name. Raise `DirectoryInUseError` when another run holds the lock, `OSError` when the lock file
    can't be made.
    """

    def __init__(self, directory: Path, name: str = LOCK_NAME) -> None:
        self._directory = directory
        self._name = name
        self.descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._lock = _take_lock(directory, self.descriptor, name)
        except BaseException:
            os.close(self.descriptor)
            raise
        self._is_held = True

    def check(self) -> None:
        """Raise `OSError`, saying what happened, unless `directory` still holds this lock's file.

        Somebody may have removed, moved or replaced the directory or the file, so that another run
        takes the directory for one that nobody uses.
        """
        path = self._directory / self._name
        try:
            found = path.lstat()
        except FileNotFoundError:
            there = f"its {self._name}" if self._directory.is_dir() else "the directory"
            raise _lost(self._directory, f"{there} has been removed or replaced") from None
        if not os.path.samestat(found, os.fstat(self._lock)):
            raise _lost(self._directory, f"another run, pid {_owner(path)}, has taken it over")

    def release(self) -> None:
        """Free the directory; harmless when repeated. Another run's lock stays."""
        if not self._is_held:
            return
        self._is_held = False
        with contextlib.suppress(OSError):
            if _is_named(self._lock, self.descriptor, self._name):
                os.unlink(self._name, dir_fd=self.descriptor)
        os.close(self._lock)
        os.close(self.descriptor)


def _take_lock(directory: Path, directory_descriptor: int, name: str) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    while True:
        descriptor = os.open(name, flags, 0o666, dir_fd=directory_descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _pid(descriptor)
            os.close(descriptor)
            raise DirectoryInUseError(directory, pid) from None
        # The run before may have removed the file between our open and our lock.
        if _is_named(descriptor, directory_descriptor, name):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
            return descriptor
        os.close(descriptor)


def _is_named(lock: int, directory: int, name: str) -> bool:
    """Return whether the lock file in `directory` is the open one."""
    try:
        return os.path.samestat(os.fstat(lock), os.stat(name, dir_fd=directory))
    except FileNotFoundError:
        return False


def _owner(path: Path) -> str:
    """Return the pid in another run's lock file; `unknown` where it is no such file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return "unknown"
    try:
        return _pid(descriptor)
    finally:
        os.close(descriptor)


def _pid(descriptor: int) -> str:
    try:
        return os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
    except OSError:
        return "unknown"


def _lost(directory: Path, what: str) -> OSError:
    return OSError(errno.ESTALE, what, str(directory))
