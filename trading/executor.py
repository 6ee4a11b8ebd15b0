"""The executor of a run: signals in from all strategies, orders to the market, answers out."""

from collections.abc import Callable

from messaging.sockets import Waiter, ZmqContext, ZmqPublisher, ZmqPuller, ZmqPusher, ZmqSubscriber
from trading.execution import Execution, MarketAndOrders
from trading.gateway import EXECUTOR, GATEWAY, IDLE_SECONDS
from trading.member import WAIT_MS, Member
from trading.messages import (
    SERIALIZER,
    Abort,
    Ack,
    Alert,
    Answer,
    AnyMessage,
    Credit,
    End,
    Heartbeat,
    Hello,
    Role,
    Signals,
    Start,
    Welcome,
)
from trading.protocol import (
    RUN_TOPIC,
    Endpoints,
    Interval,
    RunAbortedError,
    answers_topic,
    own_topic,
)
from trading.sessions import Attendance


class OrderExecutor:
    """Pull the signals of all strategies of a run and carry them out on a market, in one order.

    What was acknowledged is never carried out twice. The sockets belong to `context`. `on_answer`
    and `on_alert` get what has become of signals, and alerts; `on_round` is called in each round
    after the start. What lies before `begin_ms` is no part of the run: signals are rejected there.
    """

    def __init__(
        self,
        market: MarketAndOrders,
        endpoints: Endpoints,
        context: ZmqContext,
        *,
        entry_ms: int = 10,
        on_answer: Callable[[Answer], None] = lambda _: None,
        on_alert: Callable[[Alert], None] = lambda _: None,
        on_round: Callable[[], None] = lambda: None,
        begin_ms: int = 0,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        self._member = Member(Role.EXECUTOR, EXECUTOR, stopped)
        self._market = market
        self._entry_ms = entry_ms
        self._on_answer, self._on_alert, self._on_round = on_answer, on_alert, on_round
        self._begin_ms = begin_ms
        self._idle = Interval(IDLE_SECONDS)
        self._puller = ZmqPuller(endpoints.signals, context, EXECUTOR)
        self._publisher = ZmqPublisher(endpoints.answers, context, EXECUTOR)
        self._control = ZmqPusher(endpoints.control, context)
        own = own_topic(EXECUTOR, self._member.instance)
        self._run = ZmqSubscriber(endpoints.ticks, [RUN_TOPIC, own], context)
        self._waiter = Waiter(self._puller, self._run, self._publisher)
        self._attendance = Attendance()
        self._welcomed: set[str] = set()
        self._unacknowledged: set[str] = set()
        self._early: list[Signals | End] = []
        self._credited = 0
        self.execution: Execution | None = None

    def run(self) -> None:
        """Execute until all strategies have ended; raise a `RunError` if a process fails."""
        with self._member.telling(self._tell):
            if self._begin_ms:
                self._market.advance(self._begin_ms)  # which may take longer than silence may last
            while not self.execution or not self.execution.is_over:
                self._round()
            self._settle(self.execution)
            for name in self.execution.messages:
                self._answer_end(name, self.execution.answered[name])
            self._push(End(self._member.run_id, Role.EXECUTOR, EXECUTOR, self.execution.window))

    def idle(self) -> None:
        """Say now and then that this process lives; for the market, while it moves far."""
        if not self._idle.is_due(self._member.now()):
            return
        self._attendance.subscribed(self._publisher.subscriptions())
        self._welcome()
        self._beat()
        while self.execution is None and self.process_received_signal():
            pass  # those who come meanwhile; what they send before the start waits for it

    def process_received_signal(self, timeout_ms: int = 0) -> bool:
        """Take the next message of a strategy and do what it asks; return False if none has come.

        It is carried out when nothing before it can come any more, which may be later.
        """
        data = self._puller.receive(timeout_ms)
        if data is None:
            return False
        message = self._member.decode(data)
        if message is not None:
            self._receive(message)
        return True

    def _round(self) -> None:
        """Take what has come; when nothing has, wait, and see whether the others live."""
        self._attendance.subscribed(self._publisher.subscriptions())
        self._welcome()
        self._beat()
        took = self._read_run()
        # All that has come is taken before anything is done: one acknowledgement for many.
        for _ in range(100):
            if not self.process_received_signal():
                break
            took = True
            self._beat()
        if self.execution:
            if took or not self.execution.is_settled:
                self._settle(self.execution)
            self._on_round()
        # Looked twice: after a halt the first look ends with its time, whatever came meanwhile.
        if not (took or self._waiter.wait(WAIT_MS) or self._waiter.wait(0)):
            there = self.execution or self._member.watch.knows(GATEWAY)
            self._member.check([] if there else [GATEWAY])

    def _read_run(self) -> bool:
        """Take what the gateway says; return whether there was anything."""
        took = False
        with self._member.counting():
            while found := self._run.receive():
                took = True
                message = self._member.decode(found[1])
                if message is not None:
                    self._receive(message)
        return took

    def _knows(self, name: str) -> bool:
        """Return whether a process is one of the run, or may yet be."""
        return not self.execution or name == GATEWAY or name in self.execution.messages

    def _is_ours(self, run_id: str) -> bool:
        """Return whether a message is of this run, or of one that has not begun."""
        return not self.execution or run_id in ("", self.execution.run_id)

    def _receive(self, message: AnyMessage) -> None:
        match message:
            case Abort() if self._is_ours(message.run_id):
                raise RunAbortedError(message.name, message.reason)
            case Hello() if self._knows(message.name):
                self._attendance.hello(message)
                self._member.watch.heard(message.name, self._member.now())
            case Start() if self.execution is None:
                self._start(message)
            case Heartbeat() if self._knows(message.name) and self._is_ours(message.run_id):
                self._member.watch.heard(message.name, self._member.now())
            case End() if message.role is Role.GATEWAY:
                self._member.watch.forget(message.name)
            case Signals() if self._knows(message.strategy):
                self._take(message)
            case End() if self._knows(message.name):
                self._take(message)
            case _:
                self._member.strange += 1

    def _start(self, message: Start) -> None:
        self._member.run_id = message.run_id
        self._attendance.close()
        self._member.watch.only((GATEWAY, *message.strategies))
        self.execution = Execution(
            self._market, message, self._entry_ms, self._publish_answer, self._on_alert,
            begin_ms=self._begin_ms,
        )  # fmt: skip
        early, self._early = self._early, []
        for one in early:
            self._receive(one)

    def _take(self, message: Signals | End) -> None:
        """Take a message of a strategy; those that are here before the start wait for it."""
        if self.execution is None:
            self._early.append(message)
        elif isinstance(message, End):
            self._member.watch.forget(message.name)
            self.execution.end(message)
        else:
            self._member.watch.heard(message.strategy, self._member.now())
            self.execution.take(message)
            self._unacknowledged.add(message.strategy)  # a repeat too: the answer was lost

    def _settle(self, execution: Execution) -> None:
        """Carry out what is certain, acknowledge what is here, and let the gateway go on."""
        execution.settle()
        for name in sorted(self._unacknowledged & execution.messages.keys()):
            last = execution.messages[name].next - 1
            ack = SERIALIZER.encode(Ack(execution.run_id, name, last))
            self._publish(answers_topic(name), ack)
        self._unacknowledged.clear()
        if execution.window > self._credited:
            self._credited = execution.window
            self._push(Credit(execution.run_id, self._credited))

    def _publish_answer(self, answer: Answer) -> None:
        self.idle()  # there may be thousands at once
        self._on_answer(answer)
        self._publish(answers_topic(answer.strategy), SERIALIZER.encode(answer))

    def _answer_end(self, name: str, count: int) -> None:
        end = End(self._member.run_id, Role.EXECUTOR, EXECUTOR, count)
        self._publish(answers_topic(name), SERIALIZER.encode(end))

    def _welcome(self) -> None:
        """Answer those who have said hello and whose subscription is here."""
        for hello in self._attendance.present():
            if hello.instance not in self._welcomed:
                self._welcomed.add(hello.instance)
                welcome = Welcome(hello.name, hello.instance)
                self._publish(own_topic(hello.name, hello.instance), SERIALIZER.encode(welcome))

    def _beat(self) -> None:
        member = self._member
        if not member.is_beat_due():
            return
        beat = SERIALIZER.encode(Heartbeat(member.run_id, Role.EXECUTOR, EXECUTOR))
        self._control.push(beat if self.execution else member.hello())
        for hello in self._attendance.present():
            self._publisher.publish(own_topic(hello.name, hello.instance), beat)

    def _publish(self, topic: str, data: bytes) -> None:
        while not self._publisher.publish(topic, data, WAIT_MS):
            self._wait_for_room()

    def _push(self, message: AnyMessage) -> None:
        data = SERIALIZER.encode(message)
        while not self._control.push(data, WAIT_MS):
            self._wait_for_room()

    def _wait_for_room(self) -> None:
        """Go on living while a peer does not take what is sent; the gateway says if it is dead."""
        self._beat()
        self._read_run()
        self._member.watch.check_one(GATEWAY, self._member.now())

    def _tell(self, data: bytes) -> None:
        self._control.push(data)
        self._publisher.publish(RUN_TOPIC, data)

    def report(self) -> dict[str, object]:
        """Return the counts of all that came."""
        counts = self.execution.report() if self.execution else {}
        return {**counts, "strange": self.strange}

    @property
    def strange(self) -> int:
        """Return how many messages came that were none of this program or run."""
        return self._member.strange

    @property
    def lost(self) -> int:
        """Return how many messages and signals did not come."""
        return self.execution.lost if self.execution else 0
