"""A cache of directories on the disk that does not grow without bound."""

import fcntl
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orderflow.errors import OutputError

PREPARED_CACHE = Path("orderflow-replay", "prepared")
"""Where in a cache directory prepared copies of recordings are (`formats.prepared`)."""
ARCHIVES_CACHE = Path("orderflow-replay", "archives")
"""Where in a cache directory recordings made of archives are (`formats.archive_cache`)."""


class DirectoryCache:
    """Directories under `root`; the least recently used are removed when there are too many.

    An entry is a directory whose name matches `name` and that holds nothing but plain files whose
    names match `file`: anything else under `root` belongs to somebody else and is never touched. An
    entry in use is locked by every process that uses it, and stays even beyond the bounds.
    """

    def __init__(
        self, root: Path, name: str, file: str, *, max_entries: int, max_bytes: int
    ) -> None:
        self._root = root
        self._name = re.compile(name)
        self._file = re.compile(file)
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._in_use: list[int] = []

    def use(self, name: str) -> Path:
        """Return the entry `name`, made where it is missing; it stays until `release`.

        Without `release`, which is the common case, it stays until the process ends. Raise
        `OSError` when it can't be made.
        """
        path = self._root / name
        while True:
            path.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits while another process removes it
            if path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor)):
                break
            os.close(descriptor)
        self._in_use.append(descriptor)
        os.utime(path)  # the time of an entry's last use is that of its directory
        return path

    def release(self) -> None:
        """Stop using all entries, so that they can be removed when their turn comes."""
        while self._in_use:
            os.close(self._in_use.pop())

    def names(self) -> list[str]:
        """Return the names of the entries, those least recently used first."""
        return [path.name for path in self._entries()] if self._root.is_dir() else []

    def remove(self, name: str) -> bool:
        """Remove an entry and return True; return False where somebody uses it."""
        return self._remove(self._root / name)

    def _entries(self) -> list[Path]:
        return sorted(
            (path for path in self._root.iterdir() if self._is_own(path)),
            key=lambda path: path.stat().st_mtime_ns,
        )

    def trim(self) -> None:
        """Remove the least recently used entries until the rest is within the bounds."""
        entries = self._entries()
        sizes = {path: sum(file.lstat().st_size for file in path.iterdir()) for path in entries}
        left, taken = len(entries), sum(sizes.values())
        for path in entries:
            if left <= self._max_entries and taken <= self._max_bytes:
                return
            if self._remove(path):
                left, taken = left - 1, taken - sizes[path]

    def _is_own(self, path: Path) -> bool:
        if not self._name.fullmatch(path.name) or path.is_symlink() or not path.is_dir():
            return False
        return all(
            self._file.fullmatch(file.name) and file.is_file() and not file.is_symlink()
            for file in path.iterdir()
        )

    def _remove(self, path: Path) -> bool:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for file in path.iterdir():
                file.unlink()
            path.rmdir()
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True


@contextmanager
def locked(path: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a file, made where it is missing; wait for whoever holds it.

    Before it waits it calls `on_wait`.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def user_cache_dir() -> Path:
    """Return where this user's caches are: `ORDERFLOW_CACHE_DIR`, else where the system has them.

    Raise `OutputError` when there is no home directory.
    """
    named = os.environ.get("ORDERFLOW_CACHE_DIR")
    if named is None and sys.platform != "darwin":
        named = os.environ.get("XDG_CACHE_HOME")
    if named:
        return Path(named)
    try:
        return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    except RuntimeError as error:
        raise OutputError(
            "There is no home directory for a cache: name a directory in ORDERFLOW_CACHE_DIR."
        ) from error
