"""The state of a run as the gateway and as a strategy see it: pure, driven by messages and time."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias, TypeVar

import msgspec

from trading.messages import (
    END_MS,
    Abort,
    Alert,
    AnyMessage,
    Bar,
    BarWindow,
    Credit,
    End,
    Event,
    Heartbeat,
    Hello,
    Mode,
    Role,
    Signals,
    Start,
    TickEvent,
    TradingSignal,
    Window,
    as_received,
    window_of,
)
from trading.protocol import (
    RESEND_SECONDS,
    CameAgainError,
    NameTakenError,
    RunAbortedError,
    StrategyFailedError,
    Watch,
    own_topic,
)
from trading.protocol import Sequence as Numbers

AnEvent = TypeVar("AnEvent", TickEvent, Bar)


Decisions: TypeAlias = Sequence[TradingSignal | Alert]


class TickStrategy(Protocol):
    """What decides on ticks: the same object in one process, over the bus and on a live market.

    It reads no clock; a tick's time is its time. It may have `on_bar` too.
    """

    def on_tick(self, tick: TickEvent) -> Decisions:
        """Return what the strategy does at a tick, nothing perhaps.

        Times are the tick's, or later ones. Run, name and number are filled in by its process.
        """


class BarStrategy(Protocol):
    """What decides on bars that have ended, of the kind and with the metrics of the run.

    `metrics` may say which metrics it needs, by the texts that ask for them.
    """

    def on_bar(self, bar: Bar) -> Decisions:
        """Return what the strategy does at the end of a bar, nothing perhaps.

        Signals are sent at the bar's `time_ms`, or later.
        """


Strategy: TypeAlias = TickStrategy | BarStrategy
"""A strategy has `on_tick`, or `on_bar`, or both."""


def _nothing(_: Event) -> Decisions:
    return ()


class Attendance:
    """Who is there: has said hello, and listens, as its own topic shows.

    A process that was killed may come again under its name; two at once are refused.
    """

    def __init__(self) -> None:
        self._hellos: dict[str, Hello] = {}
        self._replaced: set[str] = set()
        self._listening: set[str] = set()
        self._is_closed = False

    def close(self) -> None:
        """Let nobody come any more: the run begins."""
        self._is_closed = True

    def hello(self, message: Hello) -> None:
        """Note a hello.

        Raise `NameTakenError` where two processes have its name, and `CameAgainError` where one
        comes again after the run has begun.
        """
        known = self._hellos.get(message.name)
        if known is not None and known.instance != message.instance:
            if self._is_closed:
                raise CameAgainError(message.name, message.pid)
            if message.instance in self._replaced:
                raise NameTakenError(message.name, (known.pid, message.pid))
            self._replaced.add(known.instance)
        self._hellos[message.name] = message

    def subscribed(self, topics: Sequence[str]) -> None:
        """Note topics that were subscribed to."""
        self._listening.update(topics)

    def present(self) -> list[Hello]:
        """Return the hellos of those who are there."""
        return [
            h for h in self._hellos.values() if own_topic(h.name, h.instance) in self._listening
        ]

    def missing(self, names: Sequence[str]) -> list[str]:
        """Return which of the names are not there."""
        present = {hello.name for hello in self.present()}
        return [name for name in names if name not in present]


class GatewaySession:
    """A run as its gateway sees it: who is there, how far it may go, who has ended.

    `executor` is the name of the executor. It is `ended` when everybody has said so.
    """

    def __init__(self, start: Start, executor: str, watch: Watch) -> None:
        self.start = start
        self.attendance = Attendance()
        self.windows = self.ticks = self.until_ms = 0
        self._watch = watch
        self._everyone = [executor, *start.strategies]
        self._ended: set[str] = set()
        self._credited = 0
        self.foreign = 0

    def missing(self) -> list[str]:
        """Return the names of those who are not there yet."""
        return self.attendance.missing(self._everyone)

    def receive(self, message: AnyMessage, now: float) -> None:
        """Take a message of a strategy or the executor; raise `RunError` where it ends the run."""
        match message:
            case Hello() if message.name in self._everyone:
                self.attendance.hello(message)
                self._watch.heard(message.name, now)
            case Abort() if message.run_id == self.start.run_id or (
                not message.run_id and message.name in self._everyone
            ):
                raise RunAbortedError(message.name, message.reason)
            case Heartbeat() if message.run_id == self.start.run_id:
                self._watch.heard(message.name, now)
            case Credit() if message.run_id == self.start.run_id:
                self._credited = max(self._credited, message.window)
            case End() if message.run_id == self.start.run_id:
                self._ended.add(message.name)
                self._watch.forget(message.name)
            case _:
                self.foreign += 1

    @property
    def has_credit(self) -> bool:
        """Return whether the next window may be sent now."""
        free = self.start.mode is Mode.FREE
        return free or self.windows - self._credited < self.start.credit

    @property
    def ended(self) -> bool:
        """Return whether nobody is left."""
        return self._ended.issuperset(self._everyone)

    def next_window(self, until_ms: int, events: Sequence[Event]) -> Window:
        """Return the message of the next window."""
        return window_of(self.start.run_id, self.windows + 1, until_ms, events)

    def sent(self, window: Window) -> None:
        """Note that a window has been sent, which every heartbeat from now on says."""
        self.windows = window.number
        self.ticks += len(window.ticks)
        self.until_ms = window.until_ms

    def heartbeat(self, name: str) -> Heartbeat:
        """Return a sign of life, which says what has been sent before it."""
        run_id = self.start.run_id
        return Heartbeat(run_id, Role.GATEWAY, name, self.ticks, self.windows, self.until_ms)


class StrategySession:
    """A strategy in a run: windows in, signals with watermarks out, kept until acknowledged."""

    def __init__(self, name: str, strategy: Strategy, start: Start) -> None:
        self.start = start
        self.ticks = Numbers(start.run_id, start.first_number)
        self.answers = Numbers(start.run_id)
        self.messages = self.signals = self.alerts = self.resent = 0
        self._name = name
        self._on_tick: Callable[[TickEvent], Decisions] = getattr(strategy, "on_tick", _nothing)
        self._on_bar: Callable[[Bar], Decisions] = getattr(strategy, "on_bar", _nothing)
        self._window = 0
        self._unacknowledged: deque[Signals] = deque()
        self._progress = 0.0

    def work(self, window: Window, now: float, idle: Callable[[], None]) -> Signals | None:
        """Hand a window to the strategy; return what to send, None for a repeat.

        `idle` is called between ticks and bars. Raise `StrategyFailedError` for what the strategy
        raises.
        """
        count, first = len(window.ticks), window.ticks[0].number if window.ticks else 0
        if not count or not self.ticks.take(window.run_id, first, count):
            return None
        made: list[TradingSignal | Alert] = []
        done = 0
        for bar in window.bars if isinstance(window, BarWindow) else ():
            place = max(done, bar.after + 1 - first)
            made += self._asked(self._on_tick, window.ticks[done:place], idle)
            made += self.decided_on((bar,), idle)
            done = place
        made += self._asked(self._on_tick, window.ticks[done:], idle)
        return self._message(window.number, window.until_ms, made, now)

    def decided_on(self, bars: Iterable[Bar], idle: Callable[[], None]) -> Decisions:
        """Hand bars to the strategy; return what it makes of them, numbered, as `work` sends it."""
        return self._asked(self._on_bar, bars, idle)

    def _asked(
        self, decide: Callable[[AnEvent], Decisions], events: Iterable[AnEvent],
        idle: Callable[[], None],
    ) -> list[TradingSignal | Alert]:  # fmt: skip
        made: list[TradingSignal | Alert] = []
        for event in events:
            idle()
            try:
                for one in decide(event):
                    made.append(self._numbered(one))
            except (Exception, SystemExit) as error:  # one that leaves has failed too
                raise StrategyFailedError(self._name, event, error) from error
        return made

    def _numbered(self, one: object) -> TradingSignal | Alert:
        if isinstance(one, Alert):
            self.alerts += 1
            number = self.alerts
        elif isinstance(one, TradingSignal):
            self.signals += 1
            number = self.signals
        else:
            msg = f"a strategy returns a list of TradingSignal and Alert; found {one!r:.60}"
            raise TypeError(msg)
        own = {"run_id": self.start.run_id, "strategy": self._name, "number": number}
        return as_received(msgspec.structs.replace(one, **own))

    def announced(self, message: Heartbeat | End, now: float) -> Signals | None:
        """Count ticks as lost that were sent before this message and have not come.

        Return what to send instead of what they would have led to, so that the run goes on.
        """
        if message.run_id != self.start.run_id or not self.ticks.announce(message.count):
            return None
        if isinstance(message, End):
            return self._message(self._window, END_MS, [], now)
        return self._message(message.window, message.until_ms, [], now)

    def acknowledged(self, number: int, now: float) -> None:
        """Forget what the executor has."""
        while self._unacknowledged and self._unacknowledged[0].number <= number:
            self._unacknowledged.popleft()
            self._progress = now

    def due_again(self, now: float) -> Sequence[Signals]:
        """Return all that was not acknowledged for too long, to be sent again as it was."""
        if not self._unacknowledged or now - self._progress < RESEND_SECONDS:
            return ()
        self._progress = now
        self.resent += len(self._unacknowledged)
        return tuple(self._unacknowledged)

    @property
    def is_acknowledged(self) -> bool:
        """Return whether the executor has everything."""
        return not self._unacknowledged

    def _message(
        self, window: int, watermark_ms: int, made: list[TradingSignal | Alert], now: float
    ) -> Signals:
        self.messages += 1
        self._window = window
        message = Signals(
            self.start.run_id, self._name, self.messages, window, watermark_ms,
            tuple(one for one in made if isinstance(one, TradingSignal)),
            tuple(one for one in made if isinstance(one, Alert)),
        )  # fmt: skip
        if not self._unacknowledged:
            self._progress = now
        self._unacknowledged.append(message)
        return message

    def report(self) -> dict[str, object]:
        """Return the counts of all that came and went."""
        return {
            "ticks": self.ticks.counts(),
            "answers": self.answers.counts(),
            "messages": self.messages,
            "signals": self.signals,
            "alerts": self.alerts,
            "resent": self.resent,
        }

    @property
    def lost(self) -> int:
        """Return how many ticks and answers did not come."""
        return self.ticks.missing + self.answers.missing
