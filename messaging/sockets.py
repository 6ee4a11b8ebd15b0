"""Sockets between processes: one publisher to many subscribers, many pushers to one puller.

What ZeroMQ loses in silence by default is not lost here: a publisher that a subscriber can't keep
up with says so, instead of dropping; it also says who has subscribed, so that nobody need sleep
until somebody listens. No call waits for ever, and closing waits at most `LINGER_MS`. Topics are
exact: they end in a separator, which stands between topic and message in one frame.

All sockets of a thread belong to one `ZmqContext`, which closes them in any case.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

import zmq

from messaging.endpoints import TCP, bind, check_endpoint, own, stays_here
from messaging.keys import KeyRing
from messaging.serializer import MAX_BYTES
from orderflow.errors import OrderflowError, UsageError

LINGER_MS = 1000
"""How long closing waits for what was sent to leave."""
FAILED_LINGER_MS = 300
"""The same after an error: then there may be nobody left who takes it."""
HIGH_WATER_MARK = 1000
"""Messages kept for one peer that does not take them, on each side."""
SEPARATOR = b"\0"


class TopicError(OrderflowError):
    """Report a `topic` that cannot be one, or a frame without one."""

    def __init__(self, reason: str, topic: str = "") -> None:
        super().__init__(f"{reason}; found {topic[:60]!r}")
        self.topic = topic


class ZmqContext:
    """What the sockets of one thread share; a context manager that closes them all.

    With `keys`, a directory made by `make_keys`, every connection is encrypted, and only those
    whose keys are in it get in; without, endpoints are on this machine.
    """

    def __init__(self, keys: Path | None = None) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[zmq.Socket[bytes]] = []
        self._held = contextlib.ExitStack()
        self._key_ring = KeyRing(keys, self._context) if keys else None

    def open(self, kind: int) -> "zmq.Socket[bytes]":
        """Return a new socket, with limits that are the same for all."""
        socket = self._context.socket(kind)
        self._sockets.append(socket)
        socket.linger = LINGER_MS
        socket.sndhwm = socket.rcvhwm = HIGH_WATER_MARK
        socket.maxmsgsize = MAX_BYTES
        return socket

    def bind(self, socket: "zmq.Socket[bytes]", endpoint: str, owner: str) -> str:
        """Bind a socket and return where it is: the port that was given for port 0.

        Raise `EndpointTakenError` or `EndpointError` where it cannot be bound, `UsageError` where
        it may not be.
        """
        self._check(endpoint)
        self._held.enter_context(own(endpoint, owner))
        if self._key_ring:
            self._key_ring.serve(socket)
        bind(socket, endpoint)
        return str(socket.getsockopt_string(zmq.LAST_ENDPOINT))

    def connect(self, socket: "zmq.Socket[bytes]", endpoint: str) -> None:
        """Connect a socket to where another is bound, now or later; raise `UsageError`."""
        self._check(endpoint)
        if self._key_ring:
            self._key_ring.join(socket)
        socket.connect(endpoint)

    def close(self, linger_ms: int = LINGER_MS) -> None:
        """Close all sockets, when what was sent has left or after `linger_ms`."""
        for socket in self._sockets:
            socket.close(min(linger_ms, int(socket.get(zmq.LINGER))))
        if self._key_ring:
            self._key_ring.close()
        self._context.term()
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close(FAILED_LINGER_MS if kind else LINGER_MS)

    def _check(self, endpoint: str) -> None:
        try:
            check_endpoint(endpoint)
        except ValueError as error:
            raise UsageError(str(error), "endpoint", endpoint) from error
        if self._key_ring is None and not stays_here(endpoint):
            msg = (
                f"{endpoint}: others could read and write there; use ipc:///PATH or "
                f"{TCP}127.0.0.1:PORT, or give keys with --keys DIR"
            )
            raise UsageError(msg, "endpoint", endpoint)


class ZmqPublisher:
    """Send messages to all who have subscribed to their topic; `endpoint` is where it is bound."""

    def __init__(self, endpoint: str, context: ZmqContext, owner: str = "publisher") -> None:
        self.socket = context.open(zmq.XPUB)
        self.socket.xpub_verbose = True  # each subscription, not the first to a topic alone
        self.socket.xpub_nodrop = True
        self.endpoint = context.bind(self.socket, endpoint, owner)

    def publish(self, topic: str, data: bytes, timeout_ms: int = 0) -> bool:
        """Send a message; return False where a subscriber has had no room for it until then.

        Then nobody has got it.
        """
        return _send(self.socket, _topic(topic) + data, timeout_ms)

    def subscriptions(self) -> list[str]:
        """Return the topics subscribed to since the last call, once for each subscriber.

        After that, whatever is sent under the topic reaches that subscriber.
        """
        found = []
        with contextlib.suppress(zmq.Again):
            while True:
                event = self.socket.recv(zmq.NOBLOCK)
                if event[:1] == b"\1":
                    found.append(event[1:].removesuffix(SEPARATOR).decode(errors="replace"))
        return found


class ZmqSubscriber:
    """Receive what is published at `endpoint` under `topics`."""

    def __init__(self, endpoint: str, topics: Iterable[str], context: ZmqContext) -> None:
        self.socket = context.open(zmq.SUB)
        # Where the publisher has gone first, its subscriptions are unsent: closing would wait.
        self.socket.linger = 0
        for topic in topics:
            self.socket.subscribe(_topic(topic))
        context.connect(self.socket, endpoint)

    def receive(self, timeout_ms: int = 0) -> tuple[str, bytes] | None:
        """Return topic and message, or None where none has come until then; raise `TopicError`."""
        frame = _receive(self.socket, timeout_ms)
        if frame is None:
            return None
        topic, separator, data = frame.partition(SEPARATOR)
        if not separator:
            reason = "a published message begins with its topic and a byte 0"
            raise TopicError(reason, frame[:60].decode(errors="replace"))
        return topic.decode(errors="replace"), data


class ZmqPusher:
    """Send messages to the puller at `endpoint`, be it there already or not."""

    def __init__(self, endpoint: str, context: ZmqContext) -> None:
        self.socket = context.open(zmq.PUSH)
        context.connect(self.socket, endpoint)

    def push(self, data: bytes, timeout_ms: int = 0) -> bool:
        """Send a message; return False where there has been no room for it until then.

        A message that was sent may still get lost with its receiver: who needs to know has it
        acknowledged.
        """
        return _send(self.socket, data, timeout_ms)


class ZmqPuller:
    """Receive messages of any number of pushers; `endpoint` is where it is bound."""

    def __init__(self, endpoint: str, context: ZmqContext, owner: str = "puller") -> None:
        self.socket = context.open(zmq.PULL)
        self.endpoint = context.bind(self.socket, endpoint, owner)

    def receive(self, timeout_ms: int = 0) -> bytes | None:
        """Return the next message, or None where none has come until then."""
        return _receive(self.socket, timeout_ms)


AnySocket = ZmqPublisher | ZmqSubscriber | ZmqPusher | ZmqPuller


class Waiter:
    """Wait until one of several sockets has something to read."""

    def __init__(self, *sockets: AnySocket) -> None:
        self._poller = zmq.Poller()
        for socket in sockets:
            self._poller.register(socket.socket, zmq.POLLIN)

    def wait(self, timeout_ms: int) -> bool:
        """Return whether there is something to read, at the latest after `timeout_ms`."""
        return bool(self._poller.poll(timeout_ms))


def _send(socket: "zmq.Socket[bytes]", frame: bytes, timeout_ms: int) -> bool:
    with contextlib.suppress(zmq.Again):
        socket.send(frame, zmq.NOBLOCK)
        return True
    if timeout_ms:
        socket.sndtimeo = timeout_ms  # a poller calls a publisher writable even when it is not
        with contextlib.suppress(zmq.Again):
            socket.send(frame)
            return True
    return False


def _receive(socket: "zmq.Socket[bytes]", timeout_ms: int) -> bytes | None:
    # Trying first is eight times as fast as asking first whether there is something.
    with contextlib.suppress(zmq.Again):
        return socket.recv(zmq.NOBLOCK)
    if timeout_ms and socket.poll(timeout_ms):
        with contextlib.suppress(zmq.Again):
            return socket.recv(zmq.NOBLOCK)
    return None


def _topic(topic: str) -> bytes:
    if not topic or "\0" in topic:
        reason = "a topic is a text without a byte 0, and not empty"
        raise TopicError(reason, topic)
    return topic.encode() + SEPARATOR
