"""The gateway of a run: ticks out to all strategies, as far ahead of them as it may be."""

import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from messaging.sockets import Waiter, ZmqContext, ZmqPublisher, ZmqPuller
from replay.pacing import Pace
from trading.member import WAIT_MS, Member
from trading.messages import SERIALIZER, AnyMessage, End, Event, Mode, Role, Start
from trading.protocol import (
    RUN_TOPIC,
    Endpoints,
    Interval,
    check_options,
    own_topic,
    ticks_topic,
    windows,
)
from trading.sessions import GatewaySession

GATEWAY, EXECUTOR = "gateway", "executor"
IDLE_SECONDS = 0.05


def new_start(
    instrument: str,
    strategies: Iterable[str],
    *,
    window_ms: int = 10,
    credit: int = 16,
    free: bool = False,
) -> Start:
    """Return the beginning of a new run; raise `UsageError` for options that cannot be meant.

    With `free`, nobody waits for anybody, and the run is not reproducible.
    """
    check_options(window_ms, credit)
    mode = Mode.FREE if free else Mode.DETERMINISTIC
    names = tuple(sorted(strategies))
    run_id = secrets.token_hex(8)
    return Start(run_id, instrument, names, mode, window_ms, credit, 1, datetime.now(UTC))


class TickProducer:
    """Publish the ticks of a run to its strategies, when they and the executor are there.

    The sockets belong to `context`. `speed` is how many times as fast as recorded, None for as fast
    as can be. Raise `UsageError` or an error of the endpoint where it cannot be bound.
    """

    def __init__(
        self,
        start: Start,
        endpoints: Endpoints,
        context: ZmqContext,
        *,
        speed: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._member = Member(Role.GATEWAY, GATEWAY, stopped)
        self._member.run_id = start.run_id
        self._publisher = ZmqPublisher(endpoints.ticks, context, GATEWAY)
        self._control = ZmqPuller(endpoints.control, context, GATEWAY)
        self._waiter = Waiter(self._control, self._publisher)
        self._topic = ticks_topic(start.instrument)
        self._is_ready = False
        self._idle = Interval(IDLE_SECONDS)
        self._pace = Pace(speed, self._round) if speed else None
        self.session = GatewaySession(start, EXECUTOR, self._member.watch)

    def run(self, ticks: Iterable[Event | None]) -> None:
        """Publish ticks, which come in time order, and return when all have worked them through.

        None says that there are none now: what is there is sent.

        The first one is read before the run starts, so that a long warm-up is over by then. Raise
        a `RunError` if a process of the run fails, or somebody stops it.
        """
        session = self.session
        with self._member.telling(lambda data: self._publish(RUN_TOPIC, data)):
            todo = windows(ticks, session.start.window_ms)
            window = next(todo, None)
            self._member.wait_from_now()
            self._is_ready = True
            self._wait_until(lambda: not session.missing())
            session.attendance.close()
            self._publish_all(session.start)
            while window is not None:
                self._send(*window)
                window = next(todo, None)
            self._publish_all(End(session.start.run_id, Role.GATEWAY, GATEWAY, session.ticks))
            self._wait_until(lambda: session.ended)

    def idle(self) -> None:
        """Say now and then that this process lives; for who reads ticks, while they are read."""
        if self._idle.is_due(self._member.now()):
            self._round()

    def _send(self, until_ms: int, ticks: tuple[Event, ...]) -> None:
        if self._pace:
            self._pace.wait_for(ticks[-1].time_ms)
        self._wait_until(lambda: self.session.has_credit)
        window = self.session.next_window(until_ms, ticks)
        self._publish(self._topic, SERIALIZER.encode(window))
        self.session.sent(window)
        self._round()

    def _publish_all(self, message: AnyMessage) -> None:
        self._publish(RUN_TOPIC, SERIALIZER.encode(message))

    def _publish(self, topic: str, data: bytes) -> None:
        """Send to all; while one has no room for it, wait, and go on giving signs of life."""
        while not self._publisher.publish(topic, data, WAIT_MS):
            self._round()

    def _wait_until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._round(WAIT_MS)

    def _round(self, wait_ms: int = 0) -> None:
        """Take what has come, say that this process lives, and see whether the others do."""
        member, session = self._member, self.session
        session.attendance.subscribed(self._publisher.subscriptions())
        if wait_ms:
            self._waiter.wait(wait_ms)
        while (data := self._control.receive()) is not None:
            message = member.decode(data)
            if message is not None:
                session.receive(message, member.now())
        if member.is_beat_due():
            beat = SERIALIZER.encode(session.heartbeat(GATEWAY))
            for hello in session.attendance.present():
                # Each by itself: one that has no room must not keep it from the others.
                self._publisher.publish(own_topic(hello.name, hello.instance), beat)
        member.check(session.missing() if self._is_ready and not session.windows else [])

    def report(self) -> dict[str, object]:
        """Return the counts of what was sent and what came."""
        return {
            "ticks": self.session.ticks,
            "windows": self.session.windows,
            "foreign": self.session.foreign,
            "strange": self._member.strange,
        }
