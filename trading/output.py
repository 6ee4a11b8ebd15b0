"""The directory that a run writes to: its files are its own, and show how it stands and ended."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Self

import orjson

from orderflow.atomic import remove_leftovers
from orderflow.errors import OutputError
from replay.output_lock import LOCK_NAME as REPLAY_LOCK_NAME
from replay.output_lock import OutputLock
from trading.live_file import LiveRun
from trading.paper import FILLS_FILE, ORDERS_FILE
from trading.paper_market import PaperMarket
from trading.protocol import Interval
from trading.report import ALERTS_FILE, FAILED, REPORT_FILE, Report, RunLog, write_file
from viz_io import TRADING_FILE

UPDATE_SECONDS = 0.25
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


def note_failure(directory: Path, reason: str) -> None:
    """Let the page know that a run has failed, whose executor may not have come to say so."""
    path = directory / TRADING_FILE.name
    with contextlib.suppress(OSError, orjson.JSONDecodeError):  # it had not begun
        told = orjson.loads(path.read_bytes())
        write_file(path, orjson.dumps(told | {"state": FAILED, "reason": reason}))


class Ledger:
    """Keep the output of a run up to date: what the page shows of it, and in the end its report.

    `show` is called once, when the run has begun. `make_report` makes the report of a run that has
    ended with a state and a reason, None where it had not begun. `on_progress` is told now and then
    how far the run is.
    """

    def __init__(
        self,
        output: RunOutput,
        market: PaperMarket,
        log: RunLog,
        show: Callable[[], LiveRun],
        make_report: Callable[[str, str], Report | None],
        on_progress: Callable[[Mapping[str, object]], None],
    ) -> None:
        self._output, self._market, self._log, self._show = output, market, log, show
        self._live: LiveRun | None = None
        self._make_report, self._on_progress = make_report, on_progress
        self._due = Interval(UPDATE_SECONDS)
        self.report: Report | None = None

    def update(self) -> None:
        """Show how the run stands, if it is time to; call this as often as you like."""
        if self._due.is_due(monotonic()):
            self._show_now()

    def _show_now(self) -> None:
        engine = self._market.engine
        now_ms = engine.now_ms or 0
        self._live = self._live or self._show()
        self._live.update(self._market, self._log, now_ms)
        position = float(engine.account.position)
        self._on_progress({"time_ms": now_ms, "fills": len(engine.fills), "position": position})

    def close(self, state: str, reason: str) -> None:
        """Write the report of the run, which has ended like this."""
        self.report = self._make_report(state, reason)
        if self.report:
            self._show_now()
            self.report.write(self._output.directory)
        if self._live:
            self._live.close(state, reason or None)
