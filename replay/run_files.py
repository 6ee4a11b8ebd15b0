"""Write the files of one run, which owns their directory, at most ten times a second."""

import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import orjson

from orderflow.atomic import append_in, remove_leftovers, replace_file_in
from orderflow.errors import OutputError
from orderflow.meter import Meter, memory_document
from replay.output_lock import OutputLock
from replay.run_orders import CONTROL_NAME, ControlFile
from viz_io import (
    ALL_BARS_FILES,
    DATA_FILE,
    DEPTH_FILE,
    FLOW_FILES,
    ISSUES_FILE,
    METRICS_FILE,
    STATUS_FILE,
    Levels,
)

logger = logging.getLogger(__name__)

MIN_SECONDS_BETWEEN_WRITES = 0.1
"""A replay writes a file at most ten times a second (ADR-002)."""
MAX_SECONDS_BETWEEN_WRITES = 2.0
"""And at least so often, however slow the disk is: after 5 s without a sign a run is stale."""


class RunFiles:
    """The files of one run in one directory, which no other run may use meanwhile.

    Opening takes the directory's lock and removes the temporaries that dead processes left. Raise
    `OutputError`, with the pid of the other run, when the directory is in use, or when it can't be
    used. A write that fails later is reported once and tried again; `failure` holds its error as
    long as the files are out of date. The same holds for a directory that somebody has moved,
    removed or replaced, or whose lock file is gone: nothing is written where another run may be.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = monotonic) -> None:
        self.directory = directory
        self.failure: OSError | None = None
        self._clock = clock
        self._next_write = -1.0
        self._written: dict[str, bytes] = {}
        self._meters: dict[str, Meter] = {}
        self._failed = 0
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = OutputLock(directory)
            remove_leftovers(directory)
        except OSError as error:
            msg = (
                f"{directory}: cannot be written to ({error.strerror}); choose another directory "
                "with --output-dir"
            )
            raise OutputError(msg, directory) from error

    def clear(self, status: dict[str, Any], issues: dict[str, Any]) -> None:
        """Replace what an earlier run left with empty files and the new run's status and issues.

        Files of the order flow, which not every run has, are removed.
        """
        with contextlib.suppress(OSError):  # it is for a process of another pid
            os.unlink(CONTROL_NAME, dir_fd=self._lock.descriptor)
        self.publish([], [], ([], []), status, issues)
        if self.failure is None:
            for path in (*FLOW_FILES, *ALL_BARS_FILES):
                with contextlib.suppress(OSError):  # a directory of that name is not ours
                    os.unlink(path.name, dir_fd=self._lock.descriptor)

    def control(self) -> ControlFile:
        """Return the orders that somebody may put into the directory."""
        return ControlFile(self._lock.descriptor)

    @property
    def is_due(self) -> bool:
        """Return whether it is time to write again."""
        return self._clock() >= self._next_write

    def publish(
        self,
        ohlc: Sequence[Sequence[float]],
        metrics: Sequence[Sequence[float | None]],
        depth: tuple[Levels, Levels],
        status: dict[str, Any],
        issues: dict[str, Any],
        *,
        durable: bool = False,
    ) -> None:
        """Write each file whose content has changed; `durable` for the last time in a run."""
        began = self._clock()
        contents: dict[str, object] = {
            DATA_FILE.name: ohlc,
            METRICS_FILE.name: metrics,
            DEPTH_FILE.name: {"bids": depth[0], "asks": depth[1]},
            ISSUES_FILE.name: issues,
            STATUS_FILE.name: status,
        }
        self._write({n: orjson.dumps(v) for n, v in contents.items()}, durable=durable)
        ended = self._clock()
        # No more than 2 % of a fast replay's time goes into files; but a disk that stalls once must
        # not make the run look dead.
        wait = max(MIN_SECONDS_BETWEEN_WRITES, 50 * (ended - began))
        self._next_write = ended + min(wait, MAX_SECONDS_BETWEEN_WRITES)

    def write_flow(self, contents: Mapping[str, bytes]) -> None:
        """Replace files of the order flow, which can be made again and are not flushed to disk."""
        self._write(contents, durable=False, keep=False)

    def append_flow(self, name: str, data: bytes, size: int) -> bool:
        """Append to a file of `size` bytes, or begin it where that is 0; return whether it worked.

        Nothing of a write that failed counts: the next one is over it.
        """
        try:
            self._lock.check()
            with self._meter(name).measuring(len(data)):
                if size:
                    append_in(self._lock.descriptor, name, data, size)
                else:
                    replace_file_in(self._lock.descriptor, name, data)
        except OSError as error:
            self._note(error)
            return False
        self._note(None)
        return True

    def _write(self, contents: Mapping[str, bytes], *, durable: bool, keep: bool = True) -> None:
        try:
            self._lock.check()
            for name, data in contents.items():
                if durable or self._written.get(name) != data:
                    with self._meter(name).measuring(len(data)):
                        replace_file_in(self._lock.descriptor, name, data, durable=durable)
                    if keep:
                        self._written[name] = data
        except OSError as error:
            self._note(error)
        else:
            self._note(None)

    def _meter(self, name: str) -> Meter:
        return self._meters.setdefault(name, Meter())

    def monitoring(self) -> dict[str, Any]:
        """Return what writing each file has cost, how many writes failed, and the memory."""
        return {
            "files": {name: meter.document() for name, meter in self._meters.items()},
            "failed": self._failed,
            "memory": memory_document(),
        }

    def _note(self, failure: OSError | None) -> None:
        self._failed += failure is not None
        if failure is not None and self.failure is None:
            why = failure.strerror
            logger.error("%s: cannot be written (%s); will try again", self.directory, why)
        elif failure is None and self.failure is not None:
            logger.warning("%s: written again", self.directory)
        self.failure = failure

    def close(self) -> None:
        """Free the directory for the next run; harmless when repeated."""
        self._lock.release()
