"""Start the processes of a run, watch them, and end them: none is left, whatever happens."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from signal import SIGTERM
from types import TracebackType
from typing import Any, Self

from orderflow.command import say_error
from trading.children import Child, Ended, Event, Events, Reported, Said, how_ended
from trading.gateway import EXECUTOR
from trading.report import FAILED, FINISHED, STOPPED

EXECUTOR_FIRST_SECONDS = 0.5
"""When a run is stopped the executor is told first, so that its report says why."""
KILL_SECONDS = 1.7
"""What has not ended so long after it was told to is killed."""
LOOK_SECONDS = 0.1
HALTED_SECONDS = 1.5
"""Whoever was halted by a signal for so long is taken for dead, be it before the run or in it."""

Say = Callable[[str], None]


@dataclass
class Outcome:
    """How a run has ended: `reports` are those of its processes, `lost` what each has missed.

    `is_written` says whether the executor has written its files, `failed_beside` whether something
    has failed that is beside the run.
    """

    state: str = FINISHED
    reason: str = ""
    reports: dict[str, dict[str, Any]] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    is_written: bool = False
    failed_beside: bool = False


class StartController:
    """Run processes, given by their names with their arguments, until all have ended.

    `members` meet in a directory of this run's own, which is removed at the end; one of them is
    the executor. When one fails, or is killed, the run ends, and so do all others. Those in
    `beside` belong to the run and not to its result: when one fails, it is said. `on_progress` is
    told by the executor how far it is. A context manager, which leaves nothing behind.

    Asked to end, a run is stopped, unless there is a member `finisher`: it alone is asked, to bring
    the run to its end. What is beside such a run ends after it.
    """

    def __init__(
        self,
        members: Mapping[str, Sequence[str]],
        beside: Mapping[str, Sequence[str]],
        say: Say,
        on_progress: Callable[[dict[str, Any]], None] = lambda _: None,
        finisher: str | None = None,
    ) -> None:
        self.outcome = Outcome()
        self._finisher = finisher
        self._is_finishing = False
        self._members, self._beside, self._say = members, beside, say
        self._on_progress = on_progress
        self._events = Events()
        self._children: dict[str, Child] = {}
        self._left: set[str] = set()
        self._asked = False
        self._told_at: float | None = None
        self._halted_since: dict[str, float] = {}
        self._directory: Path | None = None

    def __enter__(self) -> Self:
        if self._members:
            self._directory = Path(tempfile.mkdtemp(prefix="orderflow-trading-"))
        for name, words in {**self._members, **self._beside}.items():
            where = ["--endpoints", str(self._directory)] if name in self._members else []
            self._children[name] = Child(name, [*words, *where, "--with-parent"], self._events)
            self._left.add(name)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        for name in self._left:
            self._children[name].kill()
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)

    def stop(self) -> None:
        """Ask all to end; from a signal handler too."""
        self._asked = True
        self._events.put(None)

    def wait(self, on_look: Callable[[], None] = lambda: None) -> Outcome:
        """Return when all processes have ended; `on_look` is called now and then meanwhile."""
        while self._left:
            self.look(LOOK_SECONDS)
            on_look()
        return self.outcome

    def look(self, seconds: float = 0.0) -> None:
        """See to what has happened, or happens within `seconds`."""
        with contextlib.suppress(Empty):
            event = self._events.get(timeout=seconds) if seconds else self._events.get_nowait()
            self._take(event)
        if self._told_at is None:
            self._see_who_is_halted(time.monotonic())
        if self._asked and self._told_at is None:
            self._finish() if self._finisher else self._stop()
        if self._finisher and self._told_at is None and not self._left & self._members.keys():
            self._end("")
        if self._told_at is not None:
            self._see_to_the_end(time.monotonic() - self._told_at)

    def _stop(self) -> None:
        if self._left & self._members.keys():
            self.outcome.state = STOPPED
        self._end("")

    def _finish(self) -> None:
        if self._finisher in self._left and not self._is_finishing:
            self._children[self._finisher].finish()
        self._is_finishing = True

    def _see_who_is_halted(self, now: float) -> None:
        halted = [name for name in self._left if self._children[name].is_halted]
        self._halted_since = {name: self._halted_since.get(name, now) for name in halted}
        for name, since in self._halted_since.items():
            if name in self._members and now - since > HALTED_SECONDS:
                self._note_failure(name, f"was halted by a signal {now - since:.1f} s ago")
                return

    def _take(self, event: Event) -> None:
        match event:
            case Said():
                self._say(f"{event.name}: {event.text}")
            case Reported():
                self._take_report(event.name, event.facts)
            case Ended():
                self._left.discard(event.name)
                if self._told_at is None and self._has_failed(event):
                    self._note_failure(event.name, how_ended(event.code))

    def _take_report(self, name: str, facts: dict[str, Any]) -> None:
        if "said" in facts:
            self._say(facts["said"])
        if "progress" in facts:
            self._on_progress(facts["progress"])
        if "failed" in facts and self._told_at is None:
            self._note_failure(facts["failed"], facts["reason"])
        if "report" in facts:
            self.outcome.reports[name] = facts["report"]
        self.outcome.lost[name] = facts.get("lost", self.outcome.lost.get(name, 0))
        self.outcome.is_written |= facts.get("is_written", False)

    def _has_failed(self, ended: Ended) -> bool:
        """Return whether a process has failed: one of the run says what it did before it ends."""
        outcome = self.outcome
        has_said = outcome.is_written if ended.name == EXECUTOR else ended.name in outcome.reports
        return ended.code != 0 or (ended.name in self._members and not has_said)

    def _note_failure(self, name: str, reason: str) -> None:
        """End the run for a member that has failed; of others only say it."""
        if name in self._beside:
            self.outcome.failed_beside = True
            self._say(f"{name} {reason}; the run goes on without it")
            return
        if self._is_finishing and reason in (STOPPED, how_ended(128 + SIGTERM)):
            self._stop()  # it had not begun, and there was nothing to bring to its end
            return
        self.outcome.state, self.outcome.reason = FAILED, f"{name}: {reason}"
        say_error(self.outcome.reason)
        self._end(self.outcome.reason)

    def _end(self, words: str) -> None:
        """Tell the executor to end, whose report says why, and what is beside the run."""
        self._told_at = time.monotonic()
        for name in self._left & {EXECUTOR, *self._beside}:
            self._children[name].stop(words)

    def _see_to_the_end(self, seconds: float) -> None:
        for name in self._left:
            if seconds > KILL_SECONDS:
                self._children[name].kill()
            elif seconds > EXECUTOR_FIRST_SECONDS or EXECUTOR not in self._left:
                self._children[name].stop()
