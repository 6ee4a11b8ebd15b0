"""Run tasks one after another, in a thread of their own where that gains anything."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

PENDING_TASKS = 2
"""How many lists may have been read and not yet processed, beside the one being read."""


class Worker:
    """Run tasks one after another, where `threaded` in a thread beside the one that gives them.

    That gains something with the compiled book, which releases the GIL. At most `PENDING_TASKS` are
    pending beside the one being given. Leaving the block waits for them and raises what one of them
    raised; those after it are not run, nor are those still waiting when the block is interrupted.
    """

    def __init__(self, *, threaded: bool) -> None:
        self._pool = ThreadPoolExecutor(1) if threaded else None
        self._pending: deque[Future[None]] = deque()
        self._ended = False

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind and not issubclass(kind, Exception):
            self._ended = True
        try:
            self._wait(0)
        except KeyboardInterrupt:
            # A task takes milliseconds, and what it works on must not be used before its end.
            self.__exit__(KeyboardInterrupt)
            raise
        finally:
            if self._pool:
                self._pool.shutdown()

    def run(self, task: Callable[..., None], *given: object) -> None:
        """Run `task` after those before it; raise what it, or an earlier one, raises."""
        if not self._pool:
            task(*given)
            return
        self._wait(PENDING_TASKS - 1)
        self._pending.append(self._pool.submit(self._run_unless_ended, task, given))

    def wait(self) -> None:
        """Wait for all tasks given; raise what one of them raised."""
        self._wait(0)

    def _run_unless_ended(self, task: Callable[..., None], given: tuple[object, ...]) -> None:
        if self._ended:
            return
        try:
            task(*given)
        except BaseException:
            self._ended = True
            raise

    def _wait(self, left: int) -> None:
        while len(self._pending) > left:
            wait([self._pending[0]])  # where this is interrupted, it is still pending
            self._pending.popleft().result()
