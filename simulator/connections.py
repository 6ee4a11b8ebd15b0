"""The clients of a publisher: what each is sent, once encoded, and how far one may fall behind."""

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count

from aiohttp import WSCloseCode, web

logger = logging.getLogger(__name__)

MOST_BEHIND_BYTES = 1 << 18
"""A client that leaves more than this unread, snapshots it asked for aside, is closed."""
JOINED_BYTES = 1 << 15
"""So much of a burst is written at once, an eighth of the bound."""
_TEXT = 0x81


def text_frame(payload: bytes) -> bytes:
    """Return a WebSocket frame of a text, as a server sends it (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return bytes((_TEXT, size)) + payload
    if size < 1 << 16:
        return b"%c\x7e%b%b" % (_TEXT, size.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (_TEXT, size.to_bytes(8, "big"), payload)


class Connection:
    """One client's WebSocket, written to without waiting.

    Frames go to the transport as they are, encoded once for all who get them: no extension is
    agreed on, so that they are the same bytes for everyone.
    """

    _numbers = count(1)

    def __init__(self, socket: web.WebSocketResponse, request: web.Request, hub: "Hub") -> None:
        self.number = next(self._numbers)
        self.socket = socket
        self.topics: dict[object, Topic] = {}
        self.sent = 0
        self.sent_at = 0.0
        """When the last frame was written, by `time.monotonic`."""
        self._hub = hub
        self._transport = request.transport
        self._allowed = MOST_BEHIND_BYTES
        self._closing: asyncio.Task[bool] | None = None

    @property
    def behind_bytes(self) -> int:
        """Return how much is written and not yet taken by the client's socket."""
        transport = self._transport
        return 0 if transport is None else transport.get_write_buffer_size()

    def answer(self, payload: bytes) -> None:
        """Send what this client has asked for: an ack, a snapshot. It counts not as falling behind.

        Yet one who asks and never reads is closed, at eight times the bound.
        """
        self._hub.flush()
        self._allowed = min(self._allowed + len(payload), 8 * MOST_BEHIND_BYTES)
        self.send_frame(text_frame(payload))

    def send_frame(self, frame: bytes, count: int = 1) -> None:
        """Write an encoded frame, or `count` of them joined; one too far behind is closed."""
        transport = self._transport
        if transport is None or transport.is_closing() or self._closing:
            return
        behind = transport.get_write_buffer_size()
        if behind == 0:
            self._allowed = max(MOST_BEHIND_BYTES, len(frame))
        elif behind + len(frame) > self._allowed:
            self.drop("slow", f"{behind:,} bytes unread")
            return
        elif behind > MOST_BEHIND_BYTES >> 1 and self._hub.in_long_burst:
            self._hub.wants_pause = True
        transport.write(frame)
        self.sent += count
        self.sent_at = time.monotonic()
        self._hub.frames_sent += count
        self._hub.bytes_sent += len(frame)

    def drop(self, reason: str, detail: str) -> None:
        """End the connection at once, without a word that the client would not read; count it."""
        self._hub.closed[reason] += 1
        logger.info("client %d closed: %s (%s)", self.number, reason, detail)
        self.leave()
        if self._transport is not None:
            self._transport.abort()

    def close(self, code: int, text: str, reason: str) -> None:
        """End the connection with a WebSocket close; count it under `reason`."""
        if self._closing is None:
            self._hub.flush()
            self._hub.closed[reason] += 1
            logger.info("client %d closed: %s (%s)", self.number, reason, text)
            self.leave()
            closing = self.socket.close(code=code, message=text.encode()[:123])
            self._closing = asyncio.ensure_future(closing)

    async def goodbye_said(self) -> None:
        """Wait until a close that has begun is done."""
        if self._closing is not None:
            await self._closing

    def leave(self) -> None:
        """Unsubscribe from everything."""
        for topic in list(self.topics.values()):
            topic.remove(self)
        self._hub.connections.discard(self)


class Topic:
    """What all who subscribed to the same are sent: encoded once, and once framed."""

    def __init__(self, key: object, hub: "Hub") -> None:
        self.key = key
        self.members: dict[Connection, None] = {}
        self._hub = hub

    def __str__(self) -> str:
        return str(self.key)

    def __bool__(self) -> bool:
        return bool(self.members)

    def add(self, connection: Connection) -> None:
        """Send the topic to a connection from now on; once, however often it asks."""
        if connection not in self._hub.connections:
            return  # it has left before its turn came
        self.members[connection] = None
        connection.topics[self.key] = self

    def remove(self, connection: Connection) -> None:
        """Send it no more."""
        self.members.pop(connection, None)
        connection.topics.pop(self.key, None)

    def publish(self, payload: bytes) -> None:
        """Send a payload to all members."""
        if self.members:
            self._hub.deliver(self, text_frame(payload))

    def send(self, frame: bytes) -> None:
        """Write a frame to all members, now or with what else there is in a burst."""
        if self._hub.in_burst:
            self._hub.hold(self, frame)
            return
        for connection in tuple(self.members):
            connection.send_frame(frame)


Delivery = Callable[[Topic, bytes], None]
MakeConnection = Callable[[web.WebSocketResponse, web.Request, "Hub"], Connection]


class Hub:
    """All connections and topics of a publisher, and what was sent to whom."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.closed: Counter[str] = Counter()
        self.frames_sent = self.bytes_sent = 0
        self.accepted = 0
        self.wants_pause = False
        """Set when a long burst has a client halfway to the bound; who sends may give it a moment.

        Not by the few rows of a moment, which must not be late for the sake of one who is stuck.
        """
        self.in_burst = self.in_long_burst = False
        # Two lists, as a pair for each frame would keep the garbage collector busy.
        self._held_topics: list[Topic] = []
        self._held_frames: list[bytes] = []
        self._held_bytes = 0
        self.deliver: Delivery = Topic.send
        """How a frame goes out; faults put themselves in its place."""
        self.make_connection: MakeConnection = Connection
        """What a client is made of; faults make one of their own."""

    def add(self, connection: Connection) -> None:
        """Take a connection in."""
        self.accepted += 1
        self.connections.add(connection)

    @contextlib.contextmanager
    def burst(self) -> Iterator[None]:
        """Join what is sent while the context lasts, which must not wait for anything."""
        self.in_burst = True
        try:
            yield
        finally:
            self.in_burst = False
            self.flush()
            self.in_long_burst = False

    def hold(self, topic: Topic, frame: bytes) -> None:
        """Keep a frame of a burst; write all that is kept where that is enough."""
        self._held_topics.append(topic)
        self._held_frames.append(frame)
        self._held_bytes += len(frame)
        if self._held_bytes >= JOINED_BYTES:
            self.in_long_burst = True
            self.flush()

    def flush(self) -> None:
        """Write what is kept, each connection's frames in their order and in one piece."""
        if not self._held_frames:
            return
        by_topic, held = self._held_topics, self._held_frames
        self._held_topics, self._held_frames, self._held_bytes = [], [], 0
        topics = tuple(dict.fromkeys(by_topic))
        members = {member: None for topic in topics for member in topic.members}
        joined: dict[tuple[bool, ...], tuple[bytes, int]] = {}
        for member in members:
            followed = tuple([member in topic.members for topic in topics])
            if followed not in joined:
                wanted = {topic for topic, follows in zip(topics, followed, strict=True) if follows}
                frames = [f for f, topic in zip(held, by_topic, strict=True) if topic in wanted]
                joined[followed] = b"".join(frames), len(frames)
            member.send_frame(*joined[followed])

    def is_calm(self) -> bool:
        """Return whether no client is more than a quarter of the bound behind."""
        return all(
            connection.behind_bytes <= MOST_BEHIND_BYTES >> 2 for connection in self.connections
        )

    def close_all(self, text: str, reason: str) -> None:
        """Close every connection, as an exchange does that goes away."""
        for connection in tuple(self.connections):
            connection.close(WSCloseCode.GOING_AWAY, text, reason)
