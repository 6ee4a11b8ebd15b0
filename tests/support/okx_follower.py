"""A client of OKX that comes back whenever it is cut off, and what it should have seen."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession, WSMsgType
from stores import INSTRUMENT, lines

from simulator.stored_rows import StoredBook, parse_row

PATH = "/ws/v5/public"
Book = dict[str, str]


def books_by_id(store: Path) -> dict[int, Book]:
    """Return the bids after each book row of a store, by the row's id, by brute force."""
    books: dict[int, Book] = {}
    bids: Book = {}
    for row in map(parse_row, lines(store)):
        if isinstance(row, StoredBook):
            bids = _applied(bids, orjson.loads(row.bids))
            books[2 * row.seq] = bids
    return books


def _applied(bids: Book, levels: list[list[str]]) -> Book:
    changed = bids | {price: size for price, size, *_ in levels}
    return {price: size for price, size in changed.items() if size != "0"}


class Follower:
    """The client; it keeps the ids and books it has seen, and gives up after `patience` seconds."""

    def __init__(self, port: int, patience: float = 120.0) -> None:
        self.url = f"http://127.0.0.1:{port}{PATH}"
        self.ids: list[int] = []
        self.books: list[Book] = []
        self.snapshots = 0
        self.breaks = 0
        self._patience = patience
        self._bids: Book = {}

    async def follow_to(self, is_last: Callable[[], bool]) -> None:
        """Follow until `is_last` says that this was the last book."""
        async with asyncio.timeout(self._patience), ClientSession() as http:
            while not is_last():
                with contextlib.suppress(ClientError, OSError):  # it is being started again
                    await self._follow(http, is_last)
                await asyncio.sleep(0.05)

    async def _follow(self, http: ClientSession, is_last: Callable[[], bool]) -> None:
        async with http.ws_connect(self.url) as ws:
            arg = {"channel": "books", "instId": INSTRUMENT}
            await ws.send_json({"op": "subscribe", "args": [arg]})
            while not is_last():
                with contextlib.suppress(TimeoutError):
                    message = await ws.receive(timeout=1.0)
                    if message.type is not WSMsgType.TEXT:
                        return
                    self._take(orjson.loads(message.data))

    def _take(self, frame: dict[str, Any]) -> None:
        if "event" in frame:
            assert frame["event"] == "subscribe", frame
            return
        (data,) = frame["data"]
        if frame["action"] == "snapshot":
            self.snapshots += 1
            self._bids = {}
        elif data["prevSeqId"] != self.ids[-1]:
            self.breaks += 1
        self._bids = _applied(self._bids, data["bids"])
        self.ids.append(data["seqId"])
        self.books.append(self._bids)

    def check(self, store: Path) -> None:
        """Fail unless each book is that of its id in a store, and no id has gone back."""
        books = books_by_id(store)
        assert self.ids == sorted(self.ids)
        assert [books[row_id] for row_id in self.ids] == self.books
        assert self.breaks == 0
