"""What a publisher needs of an exchange: its paths, its answers, and what a row becomes."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import WSMsgType, web

from simulator.connections import Connection, Hub, Topic
from simulator.market import BookStep, Market, TradeStep

MOST_FRAME_BYTES = 1 << 17
"""Longest frame read; twice what exchanges take, so that the answer is theirs up to there."""


@dataclass
class Settings:
    """What is the same for all venues of a publisher, and what faults change while it runs.

    `limits` says whether clients that ask too often are refused as the exchange does,
    `okx_checksums` whether OKX's books have the checksums it sent until June 2026. `ack_delay` is
    in seconds; `bad_checksum` makes the checksums sent at that moment wrong.
    """

    limits: bool = True
    okx_checksums: bool = False
    ack_delay: float = 0.0
    bad_checksum: bool = False


class RateLimit:
    """Count events in a sliding window of `seconds`; the one beyond `most` is refused."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._times: list[float] = []

    def take(self) -> bool:
        """Return whether one more is within the limit, and count it if it is."""
        now = time.monotonic()
        self._times = [at for at in self._times if now - at < self._seconds]
        if len(self._times) >= self._most:
            return False
        self._times.append(now)
        return True


class Session(ABC):
    """One client of a venue: what it has asked for, and the answers."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def opened(self) -> None:  # noqa: B027 (most send nothing)
        """Send what the exchange sends first."""

    @abstractmethod
    def receive(self, frame: bytes | str) -> None:
        """Answer a client's frame; whatever it is, the answer is the exchange's own."""


class Venue(ABC):
    """An exchange: its instruments of the store, topics, REST and sockets.

    Rows come in by `book` and `trade`, in the store's order; the book of the market is then that
    after the row. All of it runs in one thread, so that an answer between two rows is of one state.
    """

    name: str
    port: int
    path: str
    """The path of sockets that most clients want."""
    ping_seconds: float | None = None
    """How often the server sends a WebSocket ping; no pong closes the connection."""
    silence_seconds: float | None = None
    """A connection on which nothing goes either way for so long is closed."""

    def __init__(self, hub: Hub, settings: Settings) -> None:
        self.hub = hub
        self.settings = settings
        self.topics: dict[object, Topic] = {}
        self.markets: dict[str, Market] = {}
        """The instruments taken in, by their own names."""

    @abstractmethod
    def add(self, market: Market) -> str:
        """Take an instrument in and return its name here; raise `UnmappableError` if it has none.

        Called when its first rows have been read.
        """

    def remove(self, market: Market) -> None:
        """Forget an instrument and all topics; every client is about to be closed."""
        self.markets.pop(market.name, None)
        self.topics.clear()

    def live_topics(self) -> list[Topic]:
        """Return the topics that somebody follows."""
        return [topic for topic in self.topics.values() if topic]

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """Return the REST answers, and the paths of sockets, which go to `serve`."""

    @abstractmethod
    def book(self, market: Market, step: BookStep) -> None:
        """Send what a book row became."""

    @abstractmethod
    def trade(self, market: Market, step: TradeStep) -> None:
        """Send a trade; raise `UnmappableError` if it has no form here."""

    def second(self) -> None:  # noqa: B027 (for those with nothing to do)
        """Do what is due each second."""

    def goodbye(self) -> None:  # noqa: B027 (most go without a word)
        """Tell clients that the server is about to be stopped."""

    def addresses(self, host: str, port: int, *, tls: bool) -> list[str]:
        """Return what to tell a person: the addresses to give to a client."""
        at, secure = f"{f'[{host}]' if ':' in host else host}:{port}", "s" if tls else ""
        return [f"{self.name}  ws{secure}://{at}{self.path}  http{secure}://{at}"]

    def topic(self, key: object) -> Topic:
        """Return the topic of a key, made where it is new."""
        if key not in self.topics:
            self.topics[key] = Topic(key, self.hub)
        return self.topics[key]

    def acknowledge(self, act: Callable[[], None]) -> None:
        """Do what answers a subscription, later where a fault asks for slow acks."""
        if self.settings.ack_delay:
            asyncio.get_running_loop().call_later(self.settings.ack_delay, act)
        else:
            act()

    async def serve(
        self, request: web.Request, session: Callable[[Connection], Session]
    ) -> web.WebSocketResponse:
        """Run one client's socket to its end."""
        # No extension: frames are the same bytes for every client.
        socket = web.WebSocketResponse(
            compress=False, heartbeat=self.ping_seconds, max_msg_size=MOST_FRAME_BYTES
        )
        await socket.prepare(request)
        connection = self.hub.make_connection(socket, request, self.hub)
        self.hub.add(connection)
        client = session(connection)
        try:
            client.opened()
            await self._receive_all(socket, client)
        finally:
            connection.leave()
            await connection.goodbye_said()
        return socket

    async def _receive_all(self, socket: web.WebSocketResponse, client: Session) -> None:
        """Answer all that a client sends; one to whom nothing goes either is closed in the end."""
        connection, silence = client.connection, self.silence_seconds
        heard = time.monotonic()
        while True:
            quiet = time.monotonic() - max(heard, connection.sent_at)
            try:
                message = await socket.receive(timeout=silence and max(0.01, silence - quiet))
            except TimeoutError:
                if silence is None or time.monotonic() - connection.sent_at < silence:
                    continue
                text = f"No data received in {silence:.0f}s."
                connection.close(4004, text, "silent")
                return
            heard = time.monotonic()
            if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                return
            client.receive(message.data)
