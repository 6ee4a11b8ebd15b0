"""Notices through ZeroMQ: writers and readers connect to one endpoint, which a `relay` binds.

Writers are XSUB sockets, which may send upstream to the relay's XPUB, and readers SUB: so one
endpoint is enough, and all of them, the relay too, may come and go.
"""

import contextlib
import threading
from collections.abc import Callable

import zmq
from zmq.utils.monitor import recv_monitor_message

from messaging.endpoints import bind, check_endpoint, own
from messaging.notification import CHECK_SECONDS

NOTICE = b"look"
"""Not beginning with a byte 0 or 1, which XPUB takes for a subscription."""
CONNECT_MS = 1000
LINGER_MS = 100
"""How long closing waits for the last notice to leave."""
FAILURES = (
    zmq.Event.CLOSED
    | zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
)


class ZmqChannel:
    """Notices through the relay at `endpoint`; raise `ValueError` where that is none."""

    def __init__(self, endpoint: str) -> None:
        check_endpoint(endpoint)
        self._endpoint = endpoint
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None

    def publish(self) -> None:
        """Send a notice to the relay; drop it where the relay does not keep up."""
        socket = self._socket or self._connect(zmq.XSUB)
        self._check_connection()
        # Sending alone hears up to 1.5 ms late that the last notice has left, and drops this one;
        # asking for the events hears at once. Where there is no room then, the last notice is
        # still here, and says what this one would.
        socket.getsockopt(zmq.EVENTS)
        with contextlib.suppress(zmq.Again):
            socket.send(NOTICE, zmq.NOBLOCK)

    def listen(self, notice: Callable[[], None], closing: threading.Event) -> None:
        """Take what comes; what has come meanwhile is one notice."""
        socket = self._connect(zmq.SUB)
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        while not closing.is_set():
            for ready, _ in poller.poll(int(CHECK_SECONDS * 1000)):
                if ready is not socket:
                    self._check_connection()
                elif _take_notices(socket):
                    notice()

    def close(self) -> None:
        """Close the connection."""
        if self._context is not None:
            self._context.destroy(LINGER_MS)
        self._context = self._socket = self._monitor = None

    def _connect(self, kind: int) -> "zmq.Socket[bytes]":
        """Return a connected socket; raise `ConnectionError` where there is no relay."""
        self._context = zmq.Context()
        self._socket = socket = self._context.socket(kind)
        socket.sndhwm = socket.rcvhwm = 1  # one notice says as much as many
        socket.reconnect_ivl = -1  # Notifier and Listener do that, and say so
        if kind == zmq.SUB:
            socket.subscribe(b"")
        self._monitor = socket.get_monitor_socket(zmq.Event.HANDSHAKE_SUCCEEDED | FAILURES)
        socket.connect(self._endpoint)
        if not self._check_connection(CONNECT_MS):
            msg = f"no answer from {self._endpoint}"
            raise ConnectionError(msg)
        return socket

    def _check_connection(self, wait_ms: int = 0) -> bool:
        """Return whether something is known of the connection; raise `ConnectionError` if bad."""
        monitor = self._monitor
        known = False
        while monitor is not None and monitor.poll(0 if known else wait_ms):
            if recv_monitor_message(monitor)["event"] & FAILURES:
                msg = f"nobody at {self._endpoint}"
                raise ConnectionError(msg)
            known = True
        return known


def relay(endpoint: str, ready: Callable[[], None], stopped: Callable[[], bool]) -> None:
    """Bind `endpoint` and pass on notices, joined, until `stopped()`; call `ready` once bound.

    Raise `EndpointTakenError` or `EndpointError` where it cannot be bound.
    """
    check_endpoint(endpoint)
    with own(endpoint, "notifier"), zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        socket.sndhwm = 1  # who does not read loses notices, and has those before them
        bind(socket, endpoint)
        ready()
        while not stopped():
            if socket.poll(int(CHECK_SECONDS * 1000)) and _take_notices(socket):
                socket.send(NOTICE)


def _take_notices(socket: "zmq.Socket[bytes]") -> bool:
    """Take what has come; return whether a notice was among it, and not subscriptions alone."""
    noticed = False
    with contextlib.suppress(zmq.Again):
        for _ in range(1000):  # a flood must not keep the first one back
            noticed |= socket.recv(zmq.NOBLOCK) == NOTICE
    return noticed
