"""Where the processes of a batch run: started from here, or by the workers of a dask cluster.

A job is a command that `replay.child` runs in a process of its own, wherever it is. What comes back
is a few hundred bytes, and is let go of as it comes: dask computes again what a worker still holds
when it dies.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import resource_tracker
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from orderflow.errors import OrderflowError, UsageError
from replay import child

logger = logging.getLogger(__name__)

PROJECT = str(Path(__file__).resolve().parents[1])
COMMAND = [sys.executable, "-m", "replay.job_process"]
NONE, LOCAL = "none", "local"
SECONDS_PER_LOOK = 0.2
CONNECT_SECONDS = 15
MOST_WORKERS = 256
ALLOWED_FAILURES = 10
"""So many workers may die in the middle of a job before dask blames the job, on `local`."""
LOST = "lost"
"""The state of a job whose worker has died, time and again: nothing is known of the job itself."""

Outcome = dict[str, Any]


class SchedulerError(OrderflowError):
    """Report a scheduler, at `address`, that cannot be reached any more, or never could be."""

    def __init__(self, message: str, address: str) -> None:
        super().__init__(message)
        self.address = address


class Scheduler(Protocol):
    """What runs jobs, several at once."""

    def submit(self, number: int, spec: str, seconds: float) -> None:
        """Run the job of a line, for at most so many seconds, and call it by a number."""

    def next(self) -> tuple[int, Outcome] | None:
        """Return a job that has ended and its outcome; None when none has for a moment.

        Raise `SchedulerError` when there is nobody left to run any.
        """

    def close(self) -> None:
        """End the jobs in progress and let go of everything."""


class Processes:
    """Jobs in processes that this one starts, `workers` at once."""

    def __init__(self, workers: int = 1) -> None:
        self._pool = ThreadPoolExecutor(workers)
        self._stopped = threading.Event()
        self._ended: SimpleQueue[tuple[int, Future[Outcome]]] = SimpleQueue()

    def submit(self, number: int, spec: str, seconds: float) -> None:
        """Run a job: see `Scheduler`."""
        future = self._pool.submit(child.run_child, COMMAND, PROJECT, spec, seconds, self._stopped)
        future.add_done_callback(lambda done: self._ended.put((number, done)))

    def next(self) -> tuple[int, Outcome] | None:
        """Return a job that has ended: see `Scheduler`."""
        try:
            number, future = self._ended.get(timeout=SECONDS_PER_LOOK)
        except Empty:
            return None
        return number, future.result()

    def close(self) -> None:
        """Kill what runs."""
        self._stopped.set()
        self._pool.shutdown(cancel_futures=True)


class Cluster:
    """Jobs on a dask cluster: one of our own on this machine, or that of a scheduler's address."""

    def __init__(self, address: str, workers: int | None = None) -> None:
        try:
            import cloudpickle  # noqa: PLC0415 (of a group of its own, and slow to import)
            import dask  # noqa: PLC0415
            import distributed  # noqa: PLC0415
        except ImportError as error:
            msg = (
                f"--scheduler {address} needs dask.distributed; uv sync --group batch installs it, "
                "or take --scheduler none"
            )
            raise OrderflowError(msg) from error
        # Workers, and the scheduler, need not find the project on their path: the function that
        # they run is sent whole, which cloudpickle does, and pickle would not with one by name.
        cloudpickle.register_pickle_by_value(child)
        run = child.run_child
        self._work = lambda *given: run(*given)  # noqa: PLW0108 (by name it would be sent as a name)
        self._killed: type[Exception] = distributed.KilledWorker
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        dask.config.set({"distributed.scheduler.allowed-failures": ALLOWED_FAILURES})
        self._address, self._warned = address, address == LOCAL
        self._ended: SimpleQueue[tuple[int, Any]] = SimpleQueue()
        self._futures: dict[int, Any] = {}
        self._stack = contextlib.ExitStack()
        if address == LOCAL:
            address = self._own_cluster(distributed, workers or os.cpu_count() or 1)
        self._client = self._connected(distributed, address)

    def _own_cluster(self, distributed: Any, workers: int) -> str:
        """Start workers on this machine; return the address of their scheduler."""
        # Ctrl+C reaches every process of the terminal, and workers would die of it with tracebacks.
        # Threads and processes begin with the mask of who starts them, later workers too.
        resource_tracker.ensure_running()  # which unblocks it when it is started
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            cluster = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,  # a job has a limit of its own
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
            address: str = self._stack.enter_context(cluster).scheduler_address
        except (OSError, RuntimeError, TimeoutError) as error:
            msg = f"dask cannot start {workers} workers here ({error}); take --scheduler none"
            raise SchedulerError(msg, LOCAL) from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return address

    def _connected(self, distributed: Any, address: str) -> Any:
        try:
            client = distributed.Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            self._stack.close()
            msg = f"no dask scheduler answers at {address}; start one with uv run dask scheduler"
            raise SchedulerError(msg, address) from error
        return self._stack.enter_context(client)

    @property
    def workers(self) -> int:
        """Count the workers that the scheduler has now."""
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def submit(self, number: int, spec: str, seconds: float) -> None:
        """Run a job: see `Scheduler`."""
        future = self._client.submit(self._work, COMMAND, PROJECT, spec, seconds, pure=False)
        self._futures[number] = future
        future.add_done_callback(lambda done: self._ended.put((number, done)))

    def next(self) -> tuple[int, Outcome] | None:
        """Return a job that has ended: see `Scheduler`."""
        try:
            number, future = self._ended.get(timeout=SECONDS_PER_LOOK)
        except Empty:
            if self._client.status not in {"running", "connecting"}:
                raise self._gone() from None
            self._warn_without_workers()
            return None
        self._futures.pop(number, None)
        if future.status == "cancelled":
            raise self._gone()
        try:
            outcome: Outcome = future.result()
        except self._killed as error:
            outcome = {"state": LOST, "error": f"its workers died: {_line_of(error)}"}
        except Exception as error:  # noqa: BLE001 (whatever happened to it on a worker)
            outcome = {"state": "failed", "error": f"its worker failed: {_line_of(error)}"}
        future.release()
        return number, outcome

    def _warn_without_workers(self) -> None:
        if not self._warned and not self.workers:
            self._warned = True
            logger.warning(
                "%s has no workers: start some with uv run dask worker %s", *[self._address] * 2
            )

    def _gone(self) -> SchedulerError:
        msg = (
            f"the dask scheduler at {self._address} has gone; start it and then this command "
            "again: what is done is kept"
        )
        return SchedulerError(msg, self._address)

    def close(self) -> None:
        """Forget the jobs in progress, and end a cluster of our own."""
        with contextlib.suppress(Exception):
            self._client.cancel(list(self._futures.values()), force=True)
        self._stack.close()


def _line_of(error: Exception) -> str:
    return " ".join(str(error).split())[: child.MOST_SAID]


def open_scheduler(name: str, workers: int | None) -> Scheduler:
    """Return what `--scheduler` names. Raise `UsageError` for anything else."""
    makers: dict[str, Callable[[], Scheduler]] = {
        NONE: lambda: Processes(workers or 1),
        LOCAL: lambda: Cluster(LOCAL, workers),
    }
    return makers.get(name, lambda: Cluster(name))()


def check_scheduler(name: str, workers: int | None) -> None:
    """Raise `UsageError` for what cannot be meant by `--scheduler` and `--workers`."""
    is_address = name.startswith(("tcp://", "tls://"))
    if name not in {NONE, LOCAL} and not is_address:
        msg = f"--scheduler is none, local or tcp://HOST:PORT; found {name!r}"
        raise UsageError(msg, "--scheduler", name)
    if is_address and workers is not None:
        msg = f"a cluster by address has the workers that were started; found --workers {workers}"
        raise UsageError(msg, "--workers", workers)
