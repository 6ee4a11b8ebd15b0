"""Write what a recorder received, in a thread of its own, and never hold up the one that reads."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from recordings.day_files import DayFiles, Item

COMMIT_SECONDS = 0.25
COMMIT_ROWS = 500
QUEUE_BYTES = 64_000_000
"""About how many bytes of rows wait for the disk at most."""


class RowWriter:
    """The thread that writes to the `files` of all instruments.

    It commits every `COMMIT_SECONDS`, or every `COMMIT_ROWS` rows where there are more. `on_change`
    is called from the thread when an instrument's disk takes rows again (with its name), and with
    None when the thread has failed: `failure` says why then. `on_commit` is called, from the thread
    too, after each commit. A context manager: leaving it writes what waits, and closes the files.
    """

    def __init__(
        self,
        files: Iterable[DayFiles],
        on_change: Callable[[str | None], None],
        queue_bytes: int = QUEUE_BYTES,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._files = {of.instrument: of for of in files}
        self._on_change = on_change
        self._on_commit = on_commit
        self._limit = queue_bytes
        self._queue: deque[Item] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="recorder's writer")

    def __enter__(self) -> "RowWriter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    @property
    def has_room(self) -> bool:
        """Return whether less than half of what may wait is waiting."""
        return 2 * self._bytes < self._limit

    def offer(self, item: Item) -> bool:
        """Take an item to write; return False, and take nothing, when too much is waiting."""
        with self._changed:
            if self._bytes + item.weight > self._limit:
                return False
            self._bytes += item.weight
            self._queue.append(item)
            self._changed.notify()
        return True

    def _run(self) -> None:
        try:
            while not self._closing or self._queue:
                self._write(self._next_batch())
        except Exception as error:  # noqa: BLE001 (carried to the thread that reads, and raised there)
            self.failure = error
            self._on_change(None)
        finally:
            for files in self._files.values():
                files.close(_now())

    def _next_batch(self) -> list[Item]:
        """Wait for rows, but not for long; give back those of one commit."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closing, timeout=1.0)
            if self._queue:
                self._changed.wait_for(
                    lambda: len(self._queue) >= COMMIT_ROWS or self._closing, COMMIT_SECONDS
                )
            count = min(len(self._queue), COMMIT_ROWS)
            batch = [self._queue.popleft() for _ in range(count)]
            self._bytes -= sum(item.weight for item in batch)
        return batch

    def _write(self, batch: list[Item]) -> None:
        by_instrument: dict[str, list[Item]] = {}
        for item in batch:
            by_instrument.setdefault(item.instrument, []).append(item)
        for name, files in self._files.items():
            if name in by_instrument:
                files.write(by_instrument[name], _now())
            files.tick(_now())
            if files.recovered:
                files.recovered = False
                self._on_change(name)
        if by_instrument:
            self._on_commit()


def _now() -> int:
    return time.time_ns() // 1_000_000
