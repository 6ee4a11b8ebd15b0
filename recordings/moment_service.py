"""Serve moments of one run to another process: a request a line, an answer a line, JSON each.

The page asks so. It knows no recordings, and its polls never wait for a book.
"""

import logging
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import orjson

from orderflow.errors import OrderflowError
from recordings.discovery import Recording, open_recordings
from recordings.moment_sources import FOREVER_MS
from recordings.moments import MAX_LEVELS, MAX_TRADES, Moments
from recordings.search import FoundFiles, find_files

logger = logging.getLogger(__name__)

FIRST_WAIT_SECONDS = 0.4
"""An answer waits so long for checkpoints before it says how far they are."""


@dataclass(frozen=True)
class Run:
    """The run whose moments are asked for: what to find, and how its book was kept.

    `files` are all its files; where there are none they are those under `data_dir`.
    """

    instrument: str
    data_dir: Path
    start_ms: int
    end_ms: int
    book_mode: str = "auto"
    uncross: bool = False
    growing: bool = False
    files: tuple[Path, ...] = ()

    def find(self) -> Recording:
        """Find its recording. Errors as in `find_recording`."""
        found = FoundFiles([*self.files]) if self.files else find_files(self.data_dir)
        opened = open_recordings(self.instrument, found, self.data_dir)
        return opened.of_range(self.start_ms, self.end_ms, self.book_mode)


class MomentService:
    """Answer requests for moments of one run; checkpoints are made beside, in a thread."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._moments: Moments | None = None
        self._making: threading.Thread | None = None
        self._share = 0.0
        self._failure: OrderflowError | None = None

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to `{"time" or "row", "levels", "trades"}`, as docs/page.md has it."""
        try:
            return self._answer(asked)
        except OrderflowError as error:
            logger.warning("%s", error)
            self._moments = None
            return {"status": 404, "error": "the run's recording cannot be read; see the log"}

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        time_ms, row = asked.get("time"), asked.get("row")
        bounds = {
            "levels": min(asked.get("levels", 50), MAX_LEVELS),
            "trades": min(asked.get("trades", 100), MAX_TRADES),
        }
        wanted = FOREVER_MS if time_ms is None else time_ms
        moments = self._current(wanted)
        if not moments.is_made(wanted) and not self._make(moments, wanted):
            return {"status": 202, "ready": False, "progress": round(self._share, 3)}
        if time_ms is not None:
            moment = moments.at(time_ms, **bounds)
        else:
            moment = moments.after_row(row or 0, **bounds)
        run = self._run
        named = {"instrument": run.instrument, "start": run.start_ms, "end": run.end_ms}
        return {"status": 200, **named, **moment.as_json()}

    def _current(self, wanted: int) -> Moments:
        """Return the moments of the files as they are now.

        Of a recording in progress they may be those of when checkpoints were last made, where that
        changes nothing, or while they are being made: it would never come to an answer.
        """
        known, run = self._moments, self._run
        is_current = known is not None and known.is_current
        if known and is_current and (not run.growing or self._making or known.reaches(wanted)):
            return known
        self._moments = Moments(run.find(), run.start_ms, uncross=run.uncross, growing=run.growing)
        self._share, self._making = 0.0, None
        return self._moments

    def _make(self, moments: Moments, wanted: int) -> bool:
        """Let checkpoints be made, and wait a little; return whether those wanted are there."""
        if self._making is None:
            self._making = threading.Thread(target=self._make_all, args=(moments,), daemon=True)
            self._making.start()
        self._making.join(FIRST_WAIT_SECONDS)
        if self._making.is_alive():
            return moments.is_made(wanted)
        self._making = None
        if failure := self._failure:
            self._failure = None
            raise failure
        return True

    def _make_all(self, moments: Moments) -> None:
        def reached(share: float) -> None:
            self._share = share
            if self._moments is not moments:  # the files have changed: others are made
                raise _NoLongerWanted

        try:
            with suppress(_NoLongerWanted):
                moments.make(FOREVER_MS, reached)
        except OrderflowError as error:
            self._failure = error


class _NoLongerWanted(Exception):  # noqa: N818 (no error: carried out of the loop over the rows)
    """Carry the end of the making out of the loop over the rows."""


def serve(service: MomentService, requests: Iterable[bytes], answers: TextIO) -> None:
    """Answer a request a line with a line, JSON each, until requests end."""
    for line in requests:
        answer = service.answer(orjson.loads(line))
        answers.write(orjson.dumps(answer).decode() + "\n")
        answers.flush()


def serve_standard_streams(run: Run) -> None:
    """Serve whoever has started this process, until they close its standard input."""
    serve(MomentService(run), sys.stdin.buffer, sys.stdout)
