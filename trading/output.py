"""The directory that a run writes to: its files are its own, and show how it stands and ended."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from orderflow.atomic import remove_leftovers
from orderflow.errors import OutputError
from replay.output_lock import LOCK_NAME as REPLAY_LOCK_NAME
from replay.output_lock import OutputLock
from trading.live_file import LiveRun
from trading.paper import FILLS_FILE, ORDERS_FILE
from trading.paper_market import PaperMarket
from trading.report import ALERTS_FILE, REPORT_FILE, Report, RunLog
from viz_io import TRADING_FILE

LOCK_NAME = ".trading.lock"
FILES = (REPORT_FILE, FILLS_FILE, ORDERS_FILE, ALERTS_FILE, TRADING_FILE.name)


class RunOutput:
    """Hold a directory for the files of one run, without those of the run before.

    Raise `OutputError`, with the pid of the other run, where the directory is in use or cannot be.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._lock = OutputLock(directory, LOCK_NAME)
            remove_leftovers(directory)
            for name in FILES:
                (directory / name).unlink(missing_ok=True)
        except OSError as error:
            msg = (
                f"{directory}: cannot be written to ({error.strerror}); choose another directory "
                "with --output-dir"
            )
            raise OutputError(msg, directory) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._lock.release()


def remove_locks(directory: Path) -> None:
    """Remove the locks that killed processes have left; those of another run stay."""
    for name in (LOCK_NAME, REPLAY_LOCK_NAME):
        with contextlib.suppress(OSError, OutputError):  # in use, or gone with its directory
            OutputLock(directory, name).release()


class Ledger:
    """Keep the output of a run up to date: what it shows while it goes on, and its report.

    `make_report` makes the report of a run that has ended with a state and a reason, None where it
    had not begun.
    """

    def __init__(
        self,
        output: RunOutput,
        market: PaperMarket,
        log: RunLog,
        live: LiveRun,
        make_report: Callable[[str, str], Report | None],
    ) -> None:
        self._output, self._market, self._log, self._live = output, market, log, live
        self._make_report = make_report
        self.report: Report | None = None

    def update(self) -> None:
        """Show how the run stands."""
        self._live.update(self._market, self._log, self._market.engine.now_ms or 0)

    def close(self, state: str, reason: str) -> None:
        """Write the report of the run, which has ended like this."""
        self.report = self._make_report(state, reason)
        self.update()
        self._live.close(state, reason or None)
        if self.report:
            self.report.write(self._output.directory)
