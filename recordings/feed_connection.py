"""One WebSocket connection to an exchange: opened, kept awake, read until it ends."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

from aiohttp import ClientError, ClientSession, ClientWebSocketResponse, WSMsgType

from exchanges.wire import MESSAGE_LIMIT_BYTES
from orderflow.errors import OrderflowError
from recordings.pauses import RateLimit

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 20.0
"""An exchange that says nothing for so long is sent a ping; OKX closes after 30 s."""
PONG_SECONDS = 8.0
CLOSE_SECONDS = 2.0


class ConnectError(OrderflowError):
    """Report that `url` could not be connected to; the message says why."""

    def __init__(self, message: str, url: str) -> None:
        super().__init__(message)
        self.url = url


class FeedConnection:
    """A connection that hands every text frame, and None for any other, to `on_frame`.

    `last_frame` is when the last frame came, ns since the epoch. Requests wait for the exchange's
    limit. `read` returns why the connection has ended; `fail` ends it for a reason of one's own.
    """

    def __init__(
        self,
        socket: ClientWebSocketResponse,
        ping: str,
        requests: RateLimit,
        idle_seconds: float = IDLE_SECONDS,
        pong_seconds: float = PONG_SECONDS,
    ) -> None:
        self._socket = socket
        self._ping = ping
        self._requests = requests
        self._idle_seconds, self._pong_seconds = idle_seconds, pong_seconds
        self._outgoing: asyncio.Queue[tuple[str, Callable[[], None]]] = asyncio.Queue()
        self._why: str | None = None
        self._closing: asyncio.Task[None] | None = None
        self.last_frame = time.time_ns()

    @classmethod
    async def open(
        cls,
        session: ClientSession,
        url: str,
        ping: str,
        requests: RateLimit,
        idle_seconds: float,
        pong_seconds: float,
    ) -> "FeedConnection":
        """Connect; raise `ConnectError` when that fails."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                socket = await session.ws_connect(url, max_msg_size=MESSAGE_LIMIT_BYTES)
        except (ClientError, OSError, ValueError) as error:  # TimeoutError is an OSError
            why = str(error) or f"no answer within {CONNECT_SECONDS:g} s"
            msg = f"{url} can't be connected to: {why[:200]}"
            raise ConnectError(msg, url) from error
        return cls(socket, ping, requests, idle_seconds, pong_seconds)

    def request(self, frame: str, on_sent: Callable[[], None] = lambda: None) -> None:
        """Send a request as soon as the exchange's limit allows it."""
        self._outgoing.put_nowait((frame, on_sent))

    async def read(self, on_frame: Callable[[str | None, int], None]) -> str:
        """Read until the connection ends, and return why it did."""
        sender = asyncio.create_task(self._send())
        try:
            return await self._read(on_frame)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            await self.close()

    async def _read(self, on_frame: Callable[[str | None, int], None]) -> str:
        pinged = False
        while self._why is None:
            try:
                wait = self._pong_seconds if pinged else self._idle_seconds
                message = await self._socket.receive(timeout=wait)
            except TimeoutError:
                if pinged:
                    return f"no answer to a ping within {self._pong_seconds:g} s"
                pinged = True
                try:
                    await self._socket.send_str(self._ping)
                except (ClientError, OSError) as error:
                    return f"the connection broke ({error})"
                continue
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED):
                break
            if message.type is WSMsgType.ERROR:
                return self._why or f"the connection broke ({message.data})"
            pinged, self.last_frame = False, time.time_ns()
            on_frame(message.data if message.type is WSMsgType.TEXT else None, self.last_frame)
        code = f", code {self._socket.close_code}" if self._socket.close_code else ""
        return self._why or f"the exchange closed the connection{code}"

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            frame, on_sent = await self._outgoing.get()
            await asyncio.sleep(self._requests.take(loop.time()))
            try:
                await self._socket.send_str(frame)
            except (ClientError, OSError):
                return  # the reader learns of it
            on_sent()

    def fail(self, why: str) -> None:
        """End the connection for a reason that `read` returns."""
        self._why = self._why or why
        self._closing = asyncio.get_running_loop().create_task(self.close())

    async def close(self) -> None:
        """Close the connection; an exchange that does not answer is not waited for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._socket.close()
