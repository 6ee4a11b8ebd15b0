"""What all processes of a run keep to: numbers, signs of life, names of topics, and what fails.

Pure: what time it is, in seconds of any clock that does not jump, is handed in.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from traceback import extract_tb
from typing import TypeVar

from orderflow.errors import OrderflowError, UsageError
from trading.messages import Bar, Event

HEARTBEAT_SECONDS = 0.2
SILENCE_SECONDS = 1.5
"""Whoever has not been heard for so long is taken for dead: seven heartbeats."""
START_SECONDS = 30.0
"""How long all wait for all others at the start."""
RESEND_SECONDS = 1.0
"""What has not been acknowledged for so long is sent again."""
MAX_WINDOW_MS = 10_000
PACED_WINDOW_MS = 10
"""The usual window where somebody watches: a tick waits so long for the others of its window."""
MAX_CREDIT = 500
"""Less than the high-water mark of the sockets, so that a deterministic run never meets it."""
MOST_TICKS = 200
"""A window with so many ends before its time, with their last millisecond: some 50 kB of bytes.

So the high-water mark bounds memory in a free run, however long the windows are.
"""
RUN_TOPIC = "run"
AnEvent = TypeVar("AnEvent", bound=Event)


def ticks_topic(instrument: str) -> str:
    """Return the topic of an instrument's ticks."""
    return f"ticks/{instrument}"


def answers_topic(strategy: str) -> str:
    """Return the topic of the answers to a strategy."""
    return f"answers/{strategy}"


def own_topic(name: str, instance: str) -> str:
    """Return the topic that one process alone subscribes to.

    A subscriber hands in its topics in the order of their bytes, so the publisher sees this one
    last: then it has seen all of them.
    """
    return f"~{name}/{instance}"


@dataclass(frozen=True)
class Endpoints:
    """Where the sockets of a run are: the gateway binds the first two, the executor the others."""

    ticks: str
    control: str
    signals: str
    answers: str

    @classmethod
    def in_directory(cls, directory: Path) -> "Endpoints":
        """Return those of a run that has a directory of its own for them."""
        names = ("ticks", "control", "signals", "answers")
        return cls(*(f"ipc://{directory.resolve()}/{name}" for name in names))


# -- what fails


class RunError(OrderflowError):
    """Report the end of a run before its time; `name` is the process it is due to."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class PeerSilentError(RunError):
    """Report a process that has not been heard for `seconds`."""

    def __init__(self, name: str, seconds: float) -> None:
        super().__init__(
            name,
            f"no sign of life for {seconds:.1f} s, at most {SILENCE_SECONDS} s are waited; it has "
            "ended, been stopped, or takes longer than that for one tick",
        )
        self.seconds = seconds


class NotThereError(RunError):
    """Report processes, `names`, that have not come within `seconds`."""

    def __init__(self, names: Iterable[str], seconds: float) -> None:
        self.names = sorted(names)
        listed = ", ".join(self.names)
        super().__init__(
            listed,
            f"not there after {seconds:.0f} s; start every process of the run with the same names "
            "and endpoints (and keys: who has none that are known is told nothing)",
        )
        self.seconds = seconds


class NameTakenError(RunError):
    """Report two processes of one name, with the process ids `pids`."""

    def __init__(self, name: str, pids: tuple[int, int]) -> None:
        both = " and ".join(map(str, pids))
        super().__init__(name, f"two processes have this name, pids {both}; give each its own")
        self.pids = pids


class CameAgainError(RunError):
    """Report a process that was started anew, as `pid`, when the run was under way."""

    def __init__(self, name: str, pid: int) -> None:
        super().__init__(
            name,
            f"was started anew, pid {pid}, and can't take part in a run that is under way; start "
            "the whole run again",
        )
        self.pid = pid


class RunAbortedError(RunError):
    """Report that another process has ended the run, because of `name`."""


class StrategyFailedError(RunError):
    """Report an `error` that a strategy raised at the tick, or the bar, with this `number`."""

    def __init__(self, name: str, event: Event, error: BaseException) -> None:
        places = extract_tb(error.__traceback__)
        what = "bar" if isinstance(event, Bar) else "tick"
        at = f" in {places[-1].filename}, line {places[-1].lineno}" if places else ""
        super().__init__(name, f"the strategy failed at {what} {event.number:,}: {error!r}{at}")
        self.number = event.number
        self.error = error


class RunStoppedError(RunError):
    """Report that somebody asked the process `name` to stop."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "stopped")


# -- numbers


@dataclass
class Sequence:
    """Follow the numbers of one sender's messages in one run, from `next`.

    `missing` are numbers that were passed over, `repeats` those that came again, and `foreign`
    counts messages of other runs.
    """

    run_id: str
    next: int = 1
    received: int = 0
    missing: int = 0
    repeats: int = 0
    foreign: int = 0

    def take(self, run_id: str, number: int, count: int = 1) -> bool:
        """Return whether a message, or `count` of them from `number` on, is new; count it."""
        if run_id != self.run_id:
            self.foreign += count
            return False
        if number < self.next:
            self.repeats += count
            return False
        self.missing += number - self.next
        self.next = number + count
        self.received += count
        return True

    def announce(self, last: int) -> int:
        """Return how many up to number `last`, all sent before now, have not come; count them."""
        lost = max(0, last + 1 - self.next)
        self.missing += lost
        self.next += lost
        return lost

    def counts(self) -> dict[str, int]:
        """Return the counts, for a report."""
        return {
            "received": self.received,
            "missing": self.missing,
            "repeats": self.repeats,
            "foreign": self.foreign,
        }


# -- signs of life


@dataclass
class Watch:
    """Follow when each process was last heard, from the first time on; `now` is in seconds."""

    silence: float = SILENCE_SECONDS
    _heard: dict[str, float] = field(default_factory=dict)
    _checked: float | None = None

    def heard(self, name: str, now: float) -> None:
        """Note a sign of life."""
        self._heard[name] = now

    def knows(self, name: str) -> bool:
        """Return whether a process has been heard, and has not said goodbye."""
        return name in self._heard

    def forget(self, name: str) -> None:
        """Expect no more of a process: it has said its last."""
        self._heard.pop(name, None)

    def only(self, names: Iterable[str]) -> None:
        """Forget all but these."""
        self._heard = {name: self._heard[name] for name in names if name in self._heard}

    def check_one(self, name: str, now: float) -> None:
        """Raise `PeerSilentError` if `name` is silent too long; call it when its signs are read."""
        if now - self._heard.get(name, now) > self.silence:
            raise PeerSilentError(name, now - self._heard[name])

    def check(self, now: float) -> None:
        """Raise `PeerSilentError` for whoever is silent too long; call it when all is read.

        Who has not called it for so long itself judges nobody: it may have been stopped.
        """
        before, self._checked = self._checked, now
        if before is not None and now - before > self.silence:
            self._heard = dict.fromkeys(self._heard, now)
        for name in self._heard:
            self.check_one(name, now)


class Interval:
    """Say when something is due that is done every `seconds`, at once for the first time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due = float("-inf")

    def is_due(self, now: float) -> bool:
        """Return whether it is due; then it is so again after the interval."""
        if now < self._due:
            return False
        self._due = now + self._seconds
        return True


# -- windows


def windows(
    ticks: Iterable[AnEvent | None], window_ms: int
) -> Iterator[tuple[int, tuple[AnEvent, ...]]]:
    """Yield `(until_ms, ticks)` for each window that has ticks, which come in time order.

    The bars between them are in the windows of their times.

    Windows are aligned to the epoch, so they are cut between two milliseconds and never within
    one: no tick of a later window has a time before `until_ms`. One of many ticks is cut into more.

    None among the ticks says that there are no more now, and that those to come are later than all
    before: then the window ends with its last millisecond, so that nobody waits for a live market.
    """
    until, waiting = 0, list[AnEvent]()
    for tick in ticks:
        if tick is None:
            if waiting:
                until = waiting[-1].time_ms + 1
                yield until, tuple(waiting)
                waiting = []
            continue
        if len(waiting) >= MOST_TICKS and tick.time_ms > waiting[-1].time_ms:
            until = waiting[-1].time_ms + 1
        if tick.time_ms >= until:
            if waiting:
                yield until, tuple(waiting)
                waiting = []
            until = tick.time_ms - tick.time_ms % window_ms + window_ms
        waiting.append(tick)
    if waiting:
        yield until, tuple(waiting)


def window_ms_of(asked: int | None, speed: float | None) -> int:
    """Return how long windows are: as asked, or as is usual at a speed, None for full speed."""
    if asked is not None:
        return asked
    return MAX_WINDOW_MS if speed is None else PACED_WINDOW_MS


def check_options(window_ms: int, credit: int) -> None:
    """Raise `UsageError` for a window or credit that cannot be meant."""
    for name, value, most in (
        ("window_ms", window_ms, MAX_WINDOW_MS),
        ("credit", credit, MAX_CREDIT),
    ):
        if not 1 <= value <= most:
            msg = f"{name} must be 1 to {most:,}; found {value:,}"
            raise UsageError(msg, name, value)
