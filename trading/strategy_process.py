"""A strategy in a process of its own: ticks in by subscription, signals out to the executor."""

from collections.abc import Callable

from messaging.sockets import Waiter, ZmqContext, ZmqPusher, ZmqSubscriber
from trading.gateway import EXECUTOR, GATEWAY
from trading.member import WAIT_MS, Member
from trading.messages import (
    SERIALIZER,
    Abort,
    Accepted,
    Ack,
    AnyMessage,
    Cancelled,
    End,
    Expired,
    Filled,
    Heartbeat,
    Rejected,
    Role,
    Signals,
    Start,
    Welcome,
    Window,
)
from trading.protocol import (
    RUN_TOPIC,
    Endpoints,
    RunAbortedError,
    answers_topic,
    own_topic,
    ticks_topic,
)
from trading.sessions import Strategy, StrategySession


class StrategyProcess:
    """Run a strategy on what a gateway publishes, and push what it decides to the executor.

    It says hello to the executor first, and to the gateway when the executor has answered: when the
    gateway starts, every way is open. The sockets belong to `context`. `on_answer` gets what became
    of the signals; the strategy itself does not see it.
    """

    def __init__(
        self,
        name: str,
        strategy: Strategy,
        instrument: str,
        endpoints: Endpoints,
        context: ZmqContext,
        *,
        on_answer: Callable[[AnyMessage], None] = lambda _: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._member = Member(Role.STRATEGY, name, stopped)
        self._strategy = strategy
        self._on_answer = on_answer
        own = own_topic(name, self._member.instance)
        self._control = ZmqPusher(endpoints.control, context)
        self._signals = ZmqPusher(endpoints.signals, context)
        self._ticks = ZmqSubscriber(
            endpoints.ticks, [ticks_topic(instrument), RUN_TOPIC, own], context
        )
        self._answers = ZmqSubscriber(
            endpoints.answers, [answers_topic(name), RUN_TOPIC, own], context
        )
        self._waiter = Waiter(self._ticks, self._answers)
        self._is_welcome = self._is_fed = self._is_ended = False
        self.session: StrategySession | None = None

    def run(self) -> None:
        """Work until the run has ended; raise a `RunError` if a process of it fails."""
        with self._member.telling(self._tell):
            while not (self._is_fed and self.session and self.session.is_acknowledged):
                self._round()
            self._push_end(self._signals, self.session.messages)
            while not self._is_ended:
                self._round()
            self._push_end(self._control, self.session.messages)

    def _round(self) -> None:
        """Take what has come; when nothing has, wait, and see whether the others live."""
        self._beat()
        # A window may take long, and acknowledgements come meanwhile: one at a time.
        if not (self._read(self._answers) + self._read(self._ticks, 1)):
            self._send_again()
            # Looked twice: after a halt the first look ends with its time, whatever came meanwhile.
            if not (self._waiter.wait(WAIT_MS) or self._waiter.wait(0)):
                self._member.check(self._missing())

    def _read(self, socket: ZmqSubscriber, most: int = 1000) -> int:
        """Take what a socket has, at most so many messages; return how many there were."""
        for count in range(most):
            with self._member.counting():
                found = socket.receive()
                if found is None:
                    return count
                message = self._member.decode(found[1])
                if message is not None:
                    self._receive(message)
        return most

    def _missing(self) -> list[str]:
        wanted = GATEWAY if self._is_welcome else EXECUTOR
        return [] if self.session or self._member.watch.knows(wanted) else [wanted]

    def _receive(self, message: AnyMessage) -> None:
        session, now = self.session, self._member.now()
        match message:
            case Abort() if not session or message.run_id in ("", session.start.run_id):
                raise RunAbortedError(message.name, message.reason)
            case Welcome() if message.instance == self._member.instance:
                self._is_welcome = True
            case Start() if session is None:
                self._member.run_id = message.run_id
                self.session = StrategySession(self._member.name, self._strategy, message)
            case Heartbeat() | End() if session and message.run_id not in ("", self._member.run_id):
                session.ticks.foreign += 1
            case Heartbeat():
                self._member.watch.heard(message.name, now)
                if session and message.role is Role.GATEWAY:
                    self._send(session.announced(message, now))
            case End() if session:
                self._end(session, message)
            case Window() if session:
                self._member.watch.heard(GATEWAY, now)
                self._send(session.work(message, now, self._beat))
            case Ack() if session and message.run_id == session.start.run_id:
                self._member.watch.heard(EXECUTOR, now)
                session.acknowledged(message.number, now)
            case Accepted() | Rejected() | Filled() | Cancelled() | Expired() if session:
                self._member.watch.heard(EXECUTOR, now)  # its heartbeats may wait behind them
                if session.answers.take(message.run_id, message.number):
                    self._on_answer(message)
            case _:
                self._member.strange += 1

    def _end(self, session: StrategySession, message: End) -> None:
        self._member.watch.forget(message.name)
        if message.role is Role.GATEWAY:
            self._send(session.announced(message, self._member.now()))
            self._is_fed = True
        else:
            session.answers.announce(message.count)
            self._is_ended = True

    def _send(self, message: Signals | None) -> None:
        if message is not None:
            self._push(self._signals, SERIALIZER.encode(message))

    def _send_again(self) -> None:
        if self.session:
            for message in self.session.due_again(self._member.now()):
                self._send(message)

    def _push(self, pusher: ZmqPusher, data: bytes) -> None:
        while not pusher.push(data, WAIT_MS):
            self._beat()
            self._read(self._answers)  # the executor's signs of life; ticks can't be taken now
            self._member.watch.check_one(EXECUTOR, self._member.now())

    def _push_end(self, pusher: ZmqPusher, count: int) -> None:
        name = self._member.name
        self._push(pusher, SERIALIZER.encode(End(self._member.run_id, Role.STRATEGY, name, count)))

    def _beat(self) -> None:
        """Say that this process does its work; also what it is, while nobody has answered."""
        member = self._member
        if not member.is_beat_due():
            return
        hello = member.hello()
        beat = SERIALIZER.encode(Heartbeat(member.run_id, Role.STRATEGY, member.name))
        self._signals.push(beat if self._is_welcome else hello)
        if self._is_welcome:
            self._control.push(beat if self.session else hello)

    def _tell(self, data: bytes) -> None:
        self._control.push(data)
        self._signals.push(data)

    def report(self) -> dict[str, object]:
        """Return the counts of all that came and went."""
        counts = self.session.report() if self.session else {}
        return {**counts, "strange": self._member.strange}

    @property
    def lost(self) -> int:
        """Return how many ticks and answers did not come."""
        return self.session.lost if self.session else 0
