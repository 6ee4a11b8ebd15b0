"""An exchange that a test plays: OKX's manners over real sockets, everything else by hand."""

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import orjson
from aiohttp import WSMsgType, web

from exchanges import okx
from exchanges.checksums import okx_checksum
from exchanges.depth import Changes, TextBook, write_sides
from exchanges.levels import Level
from exchanges.messages import TradeMessage
from recordings.day_files import DayFiles
from recordings.recorder import Recorder, RecorderOptions
from recordings.row_writer import QUEUE_BYTES, RowWriter

INSTRUMENT = "BTC-USDT"
NOON = 1_749_470_400_000  # 2025-06-09 12:00
MIDNIGHT = 1_749_513_600_000
PATIENCE = 60.0

Answer = TypeVar("Answer")


def until(is_so: Callable[[], object], what: str = "") -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, what or "waited in vain"
        time.sleep(0.01)


class Market:
    """One made-up instrument: a book, ids and times that go on with each update."""

    def __init__(self, name: str, now: int) -> None:
        self.name = name
        self.now = now
        self.seq_id = 1000
        self.trade_id = 500
        self.book = TextBook()
        self.rows = 0
        self.with_checksum = False
        bids = tuple(Level(f"{100 - n}.5", f"{n + 1}.0", "2") for n in range(30))
        asks = tuple(Level(f"{101 + n}.50", f"{n + 1}", "3") for n in range(30))
        self.book.apply(bids, asks, snapshot=True)

    def channel(self, channel: str) -> okx.Channel:
        return okx.Channel(channel, self.name)

    def snapshot(self) -> str:
        return self._frame("snapshot", self.book.view(None), okx.FIRST_PREVIOUS_ID)

    def update(self, step_ms: int = 100, new_id: int | None = None) -> str:
        self.rows += 1
        self.now += step_ms
        before, self.seq_id = self.seq_id, new_id or self.seq_id + 3
        price = f"{90 + self.rows % 9}.25"
        size = "0" if self.rows % 3 == 0 else f"{self.rows % 17 + 1}.10"
        bids, asks = (Level(price, size, "1"),), (Level("105.50", f"{self.rows}", "1"),)
        self.book.apply(bids, asks)
        return self._frame("update", Changes(bids, asks), before)

    def keep_alive(self) -> str:
        return self._frame("update", Changes((), ()), self.seq_id)

    def _frame(self, action: str, levels: Any, previous: int) -> str:
        view = self.book.view(25)
        checksum = okx_checksum(view.bids, view.asks) if self.with_checksum else 0
        return okx.format_book(
            self.channel("books"), write_sides(levels, okx.LEVEL_FORM), action=action,
            time_ms=self.now, seq_id=self.seq_id, prev_seq_id=previous, checksum=checksum,
        ).decode()  # fmt: skip

    def trade(self, count: int = 1) -> str:
        self.trade_id += count
        trade = TradeMessage(
            self.name, str(self.trade_id), "101.50", f"0.{self.trade_id}0", "buy",
            1000 * self.now, seq_id=self.seq_id, count=count,
        )  # fmt: skip
        return okx.format_trades(self.channel("trades"), [trade]).decode()


class ScriptedOkx:
    """A server in a thread of its own; what it sends beyond acks and snapshots, the test says."""

    def __init__(self, *instruments: str, now: int = NOON) -> None:
        self.markets = {name: Market(name, now) for name in instruments or (INSTRUMENT,)}
        self.connections = self.pings = 0
        self.requests: list[dict[str, Any]] = []
        self.acks = True
        self.pongs = True
        self.accepts = True
        self.late: list[str] | None = None
        """What the oldest connection is not sent yet, where it lags behind the others."""
        self._sockets: dict[web.WebSocketResponse, set[tuple[str, str]]] = {}
        self._ready = threading.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._port = 0

    @property
    def market(self) -> Market:
        return next(iter(self.markets.values()))

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/ws/v5/public"

    def __enter__(self) -> "ScriptedOkx":
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application()
        app.router.add_get("/ws/v5/public", self._talk)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert runner.addresses
        self._port = runner.addresses[0][1]
        self._ready.set()
        await self._end.wait()
        for socket in list(self._sockets):
            await socket.close()
        await runner.cleanup()

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        if not self.accepts:
            return web.Response(status=503)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.connections += 1
        self._sockets[socket] = set()
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await self._answer(socket, message.data)
        self._sockets.pop(socket, None)
        return socket

    async def _answer(self, socket: web.WebSocketResponse, text: str) -> None:
        if text == "ping":
            self.pings += 1
            if self.pongs:
                await socket.send_str("pong")
            return
        request = okx.parse_request(text)
        assert isinstance(request, okx.Request)
        self.requests.append(orjson.loads(text))
        for channel in request.channels if self.acks else ():
            refused = okx.refusal(channel, self.markets)
            if refused:
                frame = okx.format_error(refused, "c0", request.request_id)
                await socket.send_str(frame.decode())
                continue
            key = (channel.channel, channel.instrument)
            ack = okx.format_ack(request.operation, channel, "c0", request.request_id)
            await socket.send_str(ack.decode())
            if request.operation == "unsubscribe":
                self._sockets[socket].discard(key)
                continue
            self._sockets[socket].add(key)
            if channel.channel == "books":
                await socket.send_str(self.markets[channel.instrument].snapshot())

    # -- what a test does

    def _do(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    def subscribed(self, name: str = INSTRUMENT) -> int:
        """Count the connections that have both channels of an instrument."""
        wanted = {("books", name), ("trades", name)}
        return sum(wanted <= have for have in list(self._sockets.values()))

    def update(self, name: str = INSTRUMENT, **how: Any) -> str:
        return self._do(self._make(name, lambda market: market.update(**how)))

    def trade(self, name: str = INSTRUMENT, **how: Any) -> str:
        return self._do(self._make(name, lambda market: market.trade(**how)))

    def keep_alive(self, name: str = INSTRUMENT) -> str:
        return self._do(self._make(name, Market.keep_alive))

    def lose_update(self, name: str = INSTRUMENT) -> None:
        """Let the market go on and tell nobody."""

        async def lose() -> None:
            self.markets[name].update()

        self._do(lose())

    async def _make(self, name: str, make: Callable[[Market], str]) -> str:
        frame = make(self.markets[name])
        channel = okx.parse_message(frame)
        kind = "trades" if isinstance(channel[0], TradeMessage) else "books"
        for place, (socket, have) in enumerate(list(self._sockets.items())):
            if place == 0 and self.late is not None:
                self.late.append(frame)
            elif (kind, name) in have:
                with suppress(ConnectionError):  # a client that was killed
                    await socket.send_str(frame)
        return frame

    def send(self, frame: str | bytes) -> None:
        """Send anything to all."""

        async def send() -> None:
            for socket in list(self._sockets):
                with suppress(ConnectionError):  # a client may not want it
                    if isinstance(frame, str):
                        await socket.send_str(frame)
                    else:
                        await socket.send_bytes(frame)

        self._do(send())

    def catch_up(self) -> None:
        """Send the oldest connection what it was not sent."""

        async def catch_up() -> None:
            late, self.late = self.late or [], None
            for frame in late:
                with suppress(ConnectionError):
                    await next(iter(self._sockets)).send_str(frame)

        self._do(catch_up())

    def drop(self) -> None:
        """Close all connections."""

        async def drop() -> None:
            for socket in list(self._sockets):
                await socket.close(code=1012)

        self._do(drop())


class Recording:
    """A recorder in a thread of this process, with the lines that it said."""

    def __init__(
        self,
        server: ScriptedOkx,
        directory: Path,
        *more: str,
        queue_bytes: int = QUEUE_BYTES,
        **options: Any,
    ) -> None:
        self.said: list[str] = []
        names = [*server.markets, *more]
        how = RecorderOptions(server.url, **{"first_wait": 0.05, **options})
        self.recorder = Recorder(names, how, self.said.append)
        now = time.time_ns() // 1_000_000
        self.files = [DayFiles(directory, name, now, self.said.append, 50) for name in names]
        for files in self.files:
            self.recorder.instruments[files.instrument].know_trades(files.last_trades)
        self.writer = RowWriter(self.files, self.recorder.writer_changed, queue_bytes)
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            with self.writer:
                self.recorder.run(self.writer)
        except BaseException as error:
            self._failed.append(error)
            raise

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.recorder.stop()
        self.join()

    def join(self) -> None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        assert self._failed == []

    def caught_up(self, market: Market) -> bool:
        followed = self.recorder.instruments[market.name]
        return followed.reliable and followed.last_id == market.seq_id


@contextmanager
def recording(
    server: ScriptedOkx, directory: Path, *more: str, **options: Any
) -> Iterator[Recording]:
    """Record, and stop at the end of the block unless it has stopped."""
    running = Recording(server, directory, *more, **options)
    running.start()
    try:
        until(lambda: all(map(server.subscribed, server.markets)), "never subscribed")
        until(lambda: all(map(running.caught_up, server.markets.values())), "no snapshot came")
        yield running
    finally:
        running.stop()
