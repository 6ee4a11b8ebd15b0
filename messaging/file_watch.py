"""Notices from the file system: whatever changes in the store is one. Writers send nothing."""

import threading
from collections.abc import Callable
from pathlib import Path

from watchfiles import watch

from messaging.notification import CHECK_SECONDS

STEP_MS, DEBOUNCE_MS = 2, 4
"""How often watchfiles looks whether changes have come, and how long it joins them at most.

Looking costs even where nothing changes: 3 % of a core at 1 ms, 1 % at 2 ms.
"""


class FileChannel:
    """Notices about changes in `directory` and below; it need not be there yet."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def publish(self) -> None:
        """Do nothing: the writing itself is seen."""

    def listen(self, notice: Callable[[], None], closing: threading.Event) -> None:
        """Watch the directory, from when it is there; raise `OSError` when it goes again."""
        while not self._directory.is_dir():
            if closing.wait(CHECK_SECONDS):
                return
            if self._directory.is_dir():
                notice()
        watched = self._directory.stat()
        changes = watch(
            self._directory,
            watch_filter=None,
            debounce=DEBOUNCE_MS,
            step=STEP_MS,
            stop_event=closing,
            rust_timeout=int(CHECK_SECONDS * 1000),
            yield_on_timeout=True,
        )
        for found in changes:
            if found:
                notice()
            now = self._directory.stat()
            if (now.st_dev, now.st_ino) != (watched.st_dev, watched.st_ino):
                msg = f"{self._directory} has been replaced"
                raise FileNotFoundError(msg)

    def close(self) -> None:
        """Do nothing: the watching ends with `listen`."""
