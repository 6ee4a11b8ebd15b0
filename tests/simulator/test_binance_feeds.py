"""Clients that keep a book by Binance's own rules, at random places of random rows."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import orjson
import pytest
from aiohttp import ClientWebSocketResponse
from hypothesis import given, settings
from hypothesis import strategies as st
from publishers import Desk, desk, received
from stores import FETCH

from simulator.venue import Settings

Book = dict[str, dict[Decimal, Decimal]]
CONTRACT = "0.01"


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time can be put forward."""

    ahead = 0.0

    def time(self) -> float:
        return super().time() + self.ahead


class Exchange(NamedTuple):
    name: str
    instrument: str
    socket: str
    rest: str
    speeds: tuple[str, ...]

    @property
    def usdm(self) -> bool:
        return self.name == "binance-usdm"


SPOT = Exchange("binance", "BTC-USDT", "/ws", "/api/v3/depth", ("@100ms", ""))
USDM = Exchange(
    "binance-usdm", "BTC-USDT-SWAP", "/public/ws", "/fapi/v1/depth", ("@100ms", "", "@1000ms")
)


def run(exchange: Exchange, store: Path, test: Callable[[Desk, Clock], Awaitable[None]]) -> None:
    async def within() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Clock)
        fetch = replace(FETCH, instrument=exchange.instrument)
        values = {exchange.instrument: CONTRACT}
        free = Settings(limits=False)
        async with desk(
            exchange.name, store, fetch=fetch, settings=free, contract_values=values
        ) as here:
            await test(here, loop)

    with asyncio.Runner(loop_factory=Clock) as runner:
        runner.run(within())


def written(book: Book, levels: dict[str, list[list[str]]], factor: str = "1") -> Book:
    """Return a book with levels written over it; the obvious way."""
    new = {side: dict(book.get(side, {})) for side in ("b", "a")}
    for side, rows in levels.items():
        for price, size in rows:
            new[side][Decimal(price)] = Decimal(size) * Decimal(factor)
    return {side: {p: s for p, s in rows.items() if s} for side, rows in new.items()}


class LocalBook:
    """Binance's documentation, "How to manage a local order book correctly", word for word."""

    def __init__(self, *, usdm: bool) -> None:
        self.usdm = usdm
        self.buffer: list[dict[str, Any]] = []
        self.book: Book = {}
        self.last: int | None = None
        self.in_step = False
        self.gaps = 0
        self.applied: list[tuple[int, Book]] = []

    def start(self, answer: dict[str, Any]) -> None:
        """Begin with a REST snapshot and what has been buffered."""
        self.book = written({}, {"b": answer["bids"], "a": answer["asks"]})
        self.last, self.in_step = answer["lastUpdateId"], False
        self.applied.append((self.last, self.book))
        buffered, self.buffer = self.buffer, []
        for event in buffered:
            self.take(event)

    def take(self, event: dict[str, Any]) -> None:
        """Take an event of the stream."""
        if self.last is None:
            self.buffer.append(event)
            return
        first, last = event["U"], event["u"]
        assert first <= last
        if not self.in_step and last < self.last + (not self.usdm):
            return
        if not self._follows(event, self.last):
            self.gaps += self.in_step
            self.last, self.buffer = None, [event]
            return
        self.book = written(self.book, {"b": event["b"], "a": event["a"]})
        self.last, self.in_step = last, True
        self.applied.append((last, self.book))

    def _follows(self, event: dict[str, Any], known: int) -> bool:
        if self.in_step:
            return bool(event["pu"] == known if self.usdm else event["U"] == known + 1)
        return bool(event["U"] <= known + (not self.usdm) <= event["u"])


class Client:
    """A local book and the socket that feeds it."""

    def __init__(self, here: Desk, exchange: Exchange, socket: ClientWebSocketResponse) -> None:
        self.here, self.exchange, self.socket = here, exchange, socket
        self.local = LocalBook(usdm=exchange.usdm)

    async def fetch(self) -> None:
        status, body = await self.here.get(f"{self.exchange.rest}?symbol=BTCUSDT&limit=1000")
        assert status == 200
        self.local.start(orjson.loads(body))

    async def catch_up(self) -> None:
        """Take all that has been sent."""
        await self.socket.send_str('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        while "result" not in (event := (await received(self.socket))[0]):
            self.local.take(event)


prices = ["99", "99.5", "100", "100.25"]
sides = st.lists(st.tuples(st.sampled_from(prices), st.sampled_from("0012")).map(list), max_size=3)
whole_sides = st.dictionaries(st.sampled_from(prices), st.sampled_from("12")).map(
    lambda levels: [list(level) for level in levels.items()]
)
rows = st.one_of(
    st.tuples(sides, sides, st.sampled_from(["", "", "", "lost"])),
    st.tuples(whole_sides, whole_sides, st.just("snapshot")),
)
acts = st.lists(st.one_of(rows, rows, st.sampled_from(["join", "fetch", "interval"])), max_size=30)


class Story:
    """Rows, clients that come, fetch their snapshots and follow, and what the book was."""

    def __init__(self, here: Desk, clock: Clock, exchange: Exchange, stream: str) -> None:
        self.here, self.clock, self.exchange, self.stream = here, clock, exchange, stream
        self.books: dict[int, Book] = {0: {"b": {}, "a": {}}}
        self.book: Book = {}
        self.clients: list[Client] = []
        self.ts = 0

    async def row(self, bids: list[list[str]], asks: list[list[str]], kind: str) -> None:
        if kind == "reset":
            self.here.publisher.markets[self.exchange.instrument].reset_ids()
        self.ts += 10
        lost = [("sequence_gaps", 1, 0)] if kind == "lost" else []
        levels = [[tuple(level) for level in side] for side in (bids, asks)]
        await self.here.book(self.ts, *levels, snapshot=kind == "snapshot", lost=lost)
        before = {} if kind == "snapshot" else self.book
        factor = CONTRACT if self.exchange.usdm else "1"
        self.book = written(before, {"b": bids, "a": asks}, factor)
        self.books[self.row_id] = self.book

    @property
    def row_id(self) -> int:
        market = self.here.publisher.markets[self.exchange.instrument]
        return market.row_id

    async def act(self, act: Any) -> None:
        if act == "interval":
            self.clock.ahead += 1.0
            await asyncio.sleep(0)
        elif act == "join":
            socket = await self.here.connect(f"{self.exchange.socket}/{self.stream}")
            client = Client(self.here, self.exchange, socket)
            await client.catch_up()
            self.clients.append(client)
        elif act == "fetch":
            for client in self.clients:
                if client.local.last is None:
                    await client.fetch()
        else:
            await self.row(*act)

    async def check(self) -> None:
        for client in self.clients:
            await client.catch_up()
            local = client.local
            if local.last is not None:
                assert local.book == self.books[local.last]


@pytest.mark.parametrize(
    ("exchange", "speed"),
    [(SPOT, speed) for speed in SPOT.speeds] + [(USDM, speed) for speed in USDM.speeds],
)
@given(acts=acts)
@settings(max_examples=15, deadline=None)
def test_every_book_kept_by_the_documented_rules_is_right(
    exchange: Exchange, speed: str, acts: list[Any]
) -> None:
    async def test(here: Desk, clock: Clock) -> None:
        story = Story(here, clock, exchange, f"btcusdt@depth{speed}")
        await story.row([["99", "1"]], [["101", "1"]], "snapshot")
        for act in acts:
            await story.act(act)
            await story.check()
        await story.act("join")
        for size in "3456":  # by then everyone is in step
            await story.row([["99", size]], [], "")
            await story.act("interval")
            await story.check()
            await story.act("fetch")
            await story.check()
        nothing_lost = all(act[2] != "lost" for act in acts if isinstance(act, tuple))
        for client in story.clients:
            assert client.local.in_step
            assert client.local.book == story.book
            assert client.local.gaps == 0 or not nothing_lost

    with TemporaryDirectory() as store:
        run(exchange, Path(store), test)


@pytest.mark.parametrize("exchange", [SPOT, USDM])
@pytest.mark.parametrize("speed", ["@100ms", ""])
@pytest.mark.parametrize("kind", ["lost", "reset"])
def test_a_client_in_step_sees_a_loss_and_a_reset_as_a_gap(
    tmp_path: Path, exchange: Exchange, speed: str, kind: str
) -> None:
    async def test(here: Desk, clock: Clock) -> None:
        story = Story(here, clock, exchange, f"btcusdt@depth{speed}")
        await story.row([["99", "1"]], [["101", "1"]], "snapshot")
        await story.act("join")
        (client,) = story.clients
        await story.row([["99", "2"]], [], "")
        await story.act("interval")
        await client.catch_up()
        await client.fetch()
        await story.row([["99", "3"]], [], "")
        await story.act("interval")
        await story.row([["99", "2"]], [], "")
        await story.row([["99", "3"]], [], "")
        await story.act("interval")
        await client.catch_up()
        assert client.local.in_step
        assert client.local.gaps == 0
        # Between two rows that are whole, so that a joined event shows it too.
        await story.row([["99", "4"]], [], "")
        await story.row([["99", "5"]], [], kind)
        await story.row([["99", "6"]], [], "")
        await story.act("interval")
        await client.catch_up()
        assert client.local.gaps == 1
        await client.fetch()
        await story.row([["99", "7"]], [], "")
        await story.act("interval")
        await client.catch_up()
        assert client.local.in_step
        assert client.local.gaps == 1
        assert client.local.book == story.book

    run(exchange, tmp_path, test)
