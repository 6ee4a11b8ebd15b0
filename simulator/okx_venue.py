"""OKX v5: `/ws/v5/public`, and what clients ask of its REST."""

import secrets
import time
from dataclasses import replace
from functools import partial

from aiohttp import web

from exchanges import okx
from exchanges.checksums import OKX_LEVELS, okx_checksum
from exchanges.depth import TextBook
from exchanges.level_form import NO_LEVELS, Sides
from exchanges.wire import FrameError, RequestId
from simulator.connections import Connection, Hub, Topic
from simulator.market import BookStep, Market, TradeStep
from simulator.venue import RateLimit, Session, Settings, Venue

MOST_REQUESTS_AN_HOUR = 480
"""Subscribe, unsubscribe and login together, for each connection."""
MOST_REST_LEVELS = 400
KEEP_ALIVE_SECONDS = 60.0
"""After so long without a change a `books` channel says that there is none."""
NOTHING = NO_LEVELS, NO_LEVELS


class OkxBook(Topic):
    """A book channel of one instrument: `books` in changes, the others in full pictures."""

    def __init__(self, channel: okx.Channel, market: Market, venue: "OkxVenue") -> None:
        super().__init__(channel, venue.hub)
        self.channel = channel
        self._market = market
        self._venue = venue
        self._depth = okx.DEPTHS[channel.channel]
        self._in_changes = channel.channel == "books"
        self._last_id = 0
        self._sent_at = time.monotonic()

    def place(self) -> int:
        """Return where it stands among the channels of an instrument."""
        return list(okx.DEPTHS).index(self.channel.channel)

    def snapshot(self) -> bytes | None:
        """Return the frame for one who has just subscribed; None while there is no book yet."""
        if not self:  # nobody has followed it so far
            self._last_id = self._market.row_id
        if not self._last_id:
            return None
        view = self._market.book.view_text(self._depth, okx.LEVEL_FORM)
        previous = okx.FIRST_PREVIOUS_ID if self._in_changes else None
        action = "snapshot" if self._in_changes else None
        return self._frame(view, action, self._market.book_ts, previous)

    def step(self, step: BookStep) -> None:
        """Send what a row changed; nothing where it changed nothing within the depth."""
        if not self:
            return
        if not self._last_id:  # they subscribed before there was a book
            self._last_id = step.row_id
            if first := self.snapshot():
                self._send(first)
            return
        book = self._market.book
        changes = book.changes_text(
            self._depth, okx.LEVEL_FORM, delete_fallen=True, with_orders=True
        )
        if self._in_changes and (changes or step.lost):
            # After a loss the id that is named as the one before is one that nobody was sent.
            previous = step.row_id - 1 if step.lost else self._last_id
            self._last_id = step.row_id
            self._send(self._frame(changes or NOTHING, "update", step.ts, previous))
        elif changes and not self._in_changes:
            self._last_id = step.row_id
            view = book.view_text(self._depth, okx.LEVEL_FORM)
            self._send(self._frame(view, None, step.ts, None))

    def keep_alive(self) -> None:
        """Say that there is nothing new, where that has not been said for long."""
        if self and self._in_changes and time.monotonic() - self._sent_at > KEEP_ALIVE_SECONDS:
            self._send(self._frame(NOTHING, "update", self._market.ts, self._last_id))

    def _send(self, frame: bytes) -> None:
        self._sent_at = time.monotonic()
        self.publish(frame)

    def _frame(self, sides: Sides, action: str | None, ts: int, previous: int | None) -> bytes:
        return okx.format_book(
            self.channel,
            sides,
            action=action,
            time_ms=ts,
            seq_id=self._last_id,
            prev_seq_id=previous,
            checksum=self._venue.checksum(self._market.book),
        )


class OkxVenue(Venue):
    """OKX as its public clients see it. `checksums` brings back those sent until June 2026."""

    name, port, path = "okx", 8061, "/ws/v5/public"
    silence_seconds = 30.0

    def __init__(self, hub: Hub, settings: Settings) -> None:
        super().__init__(hub, settings)
        self._book_topics: dict[str, list[OkxBook]] = {}
        self._trade_topics: dict[str, Topic] = {}

    def add(self, market: Market) -> str:
        """Take an instrument in, under its own name."""
        name = market.instrument.name  # which a name of another form has not
        self.markets[market.name] = market
        return name

    def remove(self, market: Market) -> None:
        """Forget an instrument and all topics."""
        super().remove(market)
        self._book_topics.clear()
        self._trade_topics.clear()

    def topic_of(self, channel: okx.Channel) -> Topic:
        """Return the topic of a channel of a known instrument, made where it is new."""
        if channel in self.topics:
            return self.topics[channel]
        name = channel.instrument
        if channel.channel in okx.DEPTHS:
            book = self.topics[channel] = OkxBook(channel, self.markets[name], self)
            books = [*self._book_topics.get(name, ()), book]
            self._book_topics[name] = sorted(books, key=OkxBook.place)
            return book
        topic = self._trade_topics[name] = self.topic(channel)
        return topic

    def checksum(self, book: TextBook) -> int:
        """Return the checksum to send with a book: 0, as since June 2026, unless asked for."""
        checksum = 0
        if self.settings.okx_checksums:
            _, bids, asks = book.view(OKX_LEVELS)
            checksum = okx_checksum(bids, asks)
        return checksum ^ 1 if self.settings.bad_checksum else checksum

    def book(self, market: Market, step: BookStep) -> None:
        """Send what a book row became on each book channel that somebody follows."""
        for topic in self._book_topics.get(market.name, ()):
            topic.step(step)

    def trade(self, market: Market, step: TradeStep) -> None:
        """Send a trade, each in a frame of its own."""
        topic = self._trade_topics.get(market.name)
        if topic:
            trade = replace(step.trade, count=1, seq_id=step.row_id)
            topic.publish(okx.format_trades(okx.Channel("trades", market.name), [trade]))

    def second(self) -> None:
        """Keep quiet channels alive."""
        for topic in self.topics.values():
            if isinstance(topic, OkxBook):
                topic.keep_alive()

    def routes(self) -> list[web.RouteDef]:
        """Return `/ws/v5/…` and the REST of public data."""
        return [
            web.get("/ws/v5/public", self._public),
            web.get("/ws/v5/business", self._without_channels),
            web.get("/ws/v5/private", self._without_channels),
            web.get("/api/v5/public/instruments", self._instruments),
            web.get("/api/v5/public/time", self._time),
            web.get("/api/v5/market/books", self._books),
        ]

    async def _public(self, request: web.Request) -> web.StreamResponse:
        return await self.serve(request, partial(OkxSession, venue=self, channels=okx.CHANNELS))

    async def _without_channels(self, request: web.Request) -> web.StreamResponse:
        return await self.serve(request, partial(OkxSession, venue=self, channels=frozenset()))

    async def _instruments(self, request: web.Request) -> web.Response:
        kind, underlying = request.query.get("instType"), request.query.get("uly")
        if not kind:
            return _rest(okx.format_refusal("50014", "Parameter instType can not be empty."))
        instruments = [market.instrument for market in self.markets.values()]
        name = request.query.get("instId")
        if name:
            instruments = [found for found in instruments if found.name == name]
        return _rest(okx.format_instruments(instruments, kind, underlying))

    async def _time(self, _request: web.Request) -> web.Response:
        return _rest(okx.format_answer([{"ts": str(int(time.time() * 1000))}]))

    async def _books(self, request: web.Request) -> web.Response:
        market = self.markets.get(request.query.get("instId", ""))
        if market is None or not market.row_id:
            text = "Instrument ID, Instrument ID code, or Spread ID doesn't exist."
            return _rest(okx.format_refusal("51001", text))
        asked = request.query.get("sz", "1")
        if not (asked.isascii() and asked.isdigit() and 1 <= int(asked[:9]) <= MOST_REST_LEVELS):
            return _rest(okx.format_refusal("51000", "Parameter sz error"))
        view = market.book.view(int(asked))
        return _rest(okx.format_book_answer(view, market.book_ts, market.row_id))


class OkxSession(Session):
    """One client of OKX's socket."""

    def __init__(self, connection: Connection, venue: OkxVenue, channels: frozenset[str]) -> None:
        super().__init__(connection)
        self._venue = venue
        self._channels = channels
        self._id = secrets.token_hex(4)
        self._requests = RateLimit(MOST_REQUESTS_AN_HOUR, 3600.0)

    def receive(self, frame: bytes | str) -> None:
        """Answer a ping or a request; what is neither gets OKX's error, and the socket stays."""
        try:
            request = okx.parse_request(frame)
            if isinstance(request, okx.Ping):
                self.connection.answer(okx.PONG)
                return
            if self._venue.settings.limits and not self._requests.take():
                msg = f"at most {MOST_REQUESTS_AN_HOUR} requests an hour"
                raise FrameError(
                    msg, code="60014", text="Requests too frequent", request_id=request.request_id
                )
        except FrameError as error:
            self.connection.answer(okx.format_error(error, self._id))
            return
        act = self._subscribe if request.operation == "subscribe" else self._unsubscribe
        for channel in request.channels:
            self._venue.acknowledge(partial(act, channel, request.request_id))

    def _subscribe(self, channel: okx.Channel, request_id: RequestId) -> None:
        known = self._venue.markets if channel.channel in self._channels else ()
        if refused := okx.refusal(channel, known):
            self.connection.answer(okx.format_error(refused, self._id, request_id))
            return
        topic = self._venue.topic_of(channel)
        self.connection.answer(okx.format_ack("subscribe", channel, self._id, request_id))
        if channel in self.connection.topics:
            return  # subscribing twice is one subscription
        if isinstance(topic, OkxBook) and (snapshot := topic.snapshot()):
            self.connection.answer(snapshot)
        topic.add(self.connection)

    def _unsubscribe(self, channel: okx.Channel, request_id: RequestId) -> None:
        if topic := self.connection.topics.get(channel):
            topic.remove(self.connection)
        self.connection.answer(okx.format_ack("unsubscribe", channel, self._id, request_id))


def _rest(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
