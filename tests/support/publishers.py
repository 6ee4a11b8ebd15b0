"""Publish a store that the test writes row by row, over real sockets."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import ClientSession, ClientWebSocketResponse
from stores import FETCH

from orderflow.events import Trade
from simulator.faults import make_faults
from simulator.publisher import Publisher
from simulator.server import build_app, serving
from simulator.storage import StoreWriter
from simulator.stored_rows import END_CONTENT, Fetch, LostMark, book_content, trade_content
from simulator.venue import Settings
from simulator.venues import new_venue

Levels = Sequence[tuple[str, ...]]


class Desk:
    """A store that is written, a publisher that has read all of it after each row, a client."""

    def __init__(
        self, store: Path, publisher: Publisher, url: str, http: ClientSession, fetch: Fetch
    ) -> None:
        self.store, self.publisher, self.url, self.http = store, publisher, url, http
        self.writer = StoreWriter(store, fetch.instrument, on_full=_refuse)
        self.writer.__enter__()
        self.writer.begin(fetch, snapshot=True, shift_ms=0)
        self.fetch = fetch
        self.said: list[str] = []

    async def book(
        self,
        ts: int,
        bids: Levels = (),
        asks: Levels = (),
        *,
        snapshot: bool = False,
        lost: Sequence[LostMark] = (),
    ) -> int:
        """Store a book row, let it be published, and return its `seq`."""
        sides = [orjson.dumps([list(level) for level in side]) for side in (bids, asks)]
        content = book_content(*sides, snapshot=snapshot, reliable=not lost, lost=lost)
        return await self.row(ts, content)

    async def trade(
        self, ts: int, trade_id: str | None, price: float, size: float, side: str | None
    ) -> int:
        """Store a trade, let it be published, and return its `seq`."""
        trade: Trade = (0, trade_id, price, size, side, ts)
        return await self.row(ts, trade_content(trade))

    async def end(self, ts: int) -> int:
        """Store the end of the fetch."""
        return await self.row(ts, END_CONTENT)

    async def row(self, ts: int, content: bytes) -> int:
        """Store any row, `ts` after the start, and let it be published."""
        self.writer.append(self.fetch.start_ms + ts, content)
        while await self.publisher.look():
            pass
        return self.writer.last_seq

    async def connect(self, path: str, **settings: Any) -> ClientWebSocketResponse:
        """Open a socket; it is closed with the desk."""
        socket: ClientWebSocketResponse = await self.http.ws_connect(self.url + path, **settings)
        return socket

    async def get(self, path: str, **settings: Any) -> tuple[int, bytes]:
        """Ask by REST."""
        async with self.http.get(f"{self.url}{path}", **settings) as response:
            return response.status, await response.read()


def _refuse(error: OSError) -> None:
    raise error


@asynccontextmanager
async def desk(
    exchange: str,
    store: Path,
    *,
    fetch: Fetch = FETCH,
    settings: Settings | None = None,
    contract_values: dict[str, str] | None = None,
    faults: Sequence[str] = (),
    fault_log: Path | None = None,
) -> AsyncIterator[Desk]:
    """Publish the empty store as an exchange while the context lasts."""
    said: list[str] = []
    venue = new_venue(exchange, settings or Settings())
    publisher = Publisher(
        venue,
        store,
        contract_values=contract_values,
        faults=make_faults(faults, venue, fault_log, said.append),
        say=said.append,
    )
    async with serving(build_app(publisher), "127.0.0.1", 0) as port, ClientSession() as http:
        found = Desk(store, publisher, f"http://127.0.0.1:{port}", http, fetch)
        found.said = said
        try:
            yield found
        finally:
            found.writer.__exit__(None, None, None)


async def received(socket: ClientWebSocketResponse, count: int = 1) -> list[Any]:
    """Return the next frames as JSON values; a text that is none as it is."""
    frames = [await socket.receive_str(timeout=20) for _ in range(count)]
    return [frame if frame in ("ping", "pong") else orjson.loads(frame) for frame in frames]
