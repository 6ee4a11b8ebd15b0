"""Kraken: v2 at `/v2`, v1 at `/` and `/ws`, and what clients of a book ask of its REST."""

import logging
import time
from functools import partial

from aiohttp import WSCloseCode, web

from exchanges import kraken, kraken_rest
from exchanges.kraken import Scale
from exchanges.level_form import LevelForm, Sides
from exchanges.messages import TradeMessage
from exchanges.symbols import KRAKEN, by_symbol, kraken_symbol, kraken_v1_symbol, trade_number
from exchanges.wire import FrameError
from simulator.connections import Connection, Hub, text_frame
from simulator.kraken_topics import Key, KrakenBook, KrakenTopic, Pair
from simulator.kraken_v1_venue import ChannelIds, V1Session, V1Trades
from simulator.market import BookStep, Market, TradeStep
from simulator.venue import Session, Settings, Venue

logger = logging.getLogger(__name__)

VERSION = 2
MOST_REST_LEVELS = 500
_REST_LEVELS = "100"


def now_us() -> int:
    """Return the time that answers carry."""
    return time.time_ns() // 1000


class V2Book(KrakenBook):
    """A book in v2's frames."""

    heartbeat = kraken.HEARTBEAT

    def scale(self) -> Scale:
        """Return v2's decimals, those of AssetPairs."""
        return self.pair.scale

    def level_form(self, time_us: int) -> LevelForm:
        """Return how levels are written, which is the same at any time."""
        return kraken.level_form(self.pair.scale)

    def snapshot_frame(self, sides: Sides, time_us: int) -> bytes:
        """Return a snapshot."""
        return self._frame(sides, time_us, snapshot=True)

    def update_frame(self, sides: Sides, time_us: int) -> bytes:
        """Return an update."""
        return self._frame(sides, time_us, snapshot=False)

    def _frame(self, sides: Sides, time_us: int, *, snapshot: bool) -> bytes:
        return kraken.format_book(
            self.pair.symbol,
            sides,
            snapshot=snapshot,
            checksum=self.checksum(),
            time_us=time_us,
        )


class V2Trades(KrakenTopic):
    """The trades of a pair in v2's frames."""

    heartbeat = kraken.HEARTBEAT

    def frame(self, trades: list[TradeMessage], *, snapshot: bool = False) -> bytes:
        """Return a frame of trades, all of which must have integers as ids."""
        pair = self.pair
        return kraken.format_trades(pair.symbol, trades, pair.scale, snapshot=snapshot)

    def snapshot(self) -> bytes | None:
        """Return the last trades."""
        recent = list(self.pair.recent_numbered)
        return self.frame(recent, snapshot=True) if recent else None


class KrakenVenue(Venue):
    """Kraken as its public clients see it."""

    name, port, path = "kraken", 8064, "/v2"
    ping_seconds = 30.0

    def __init__(self, hub: Hub, settings: Settings) -> None:
        super().__init__(hub, settings)
        self._pairs: dict[str, Pair] = {}
        self._symbols: dict[str, Pair] = {}
        self._v1_symbols: dict[str, Pair] = {}
        self._channel_ids = ChannelIds()
        self._sent: dict[Connection, int] = {}

    def add(self, market: Market) -> str:
        """Take an instrument in and fix its decimals."""
        pair = Pair(market)
        known = [other.instrument for other in self._pairs.values()]
        for name in (kraken_symbol, kraken_v1_symbol, kraken_rest.pair_key):
            by_symbol([*known, pair.instrument], name)
        self.markets[market.name] = market
        self._pairs[market.name] = pair
        self._symbols[pair.symbol] = self._v1_symbols[pair.v1_symbol] = pair
        return pair.symbol

    def remove(self, market: Market) -> None:
        """Forget an instrument."""
        super().remove(market)
        pair = self._pairs.pop(market.name)
        del self._symbols[pair.symbol], self._v1_symbols[pair.v1_symbol]

    def book(self, market: Market, step: BookStep) -> None:
        """Send what a book row became to each depth that somebody follows."""
        pair = self._pairs[market.name]
        if not pair.knows_book:
            pair.fix_decimals()
        elif not pair.is_covered:
            self._raise_decimals(pair)
        for topic in pair.topics.values():
            if isinstance(topic, KrakenBook):
                topic.step(step)

    def _raise_decimals(self, pair: Pair) -> None:
        """Take more decimals, and close who follows the pair: they know it with fewer."""
        market, old = pair.market, pair.scale
        pair.fix_decimals()
        text = (
            f"{pair.symbol} has {pair.scale.price} decimals of prices and {pair.scale.size} of "
            f"sizes now, {old.price} and {old.size} before: ask AssetPairs again"
        )
        if not market.counts["decimals_beyond_scale"]:
            logger.warning("clients are closed: %s", text)
        market.counts["decimals_beyond_scale"] += 1
        for connection in {member for topic in pair.topics.values() for member in topic.members}:
            connection.close(WSCloseCode.SERVICE_RESTART, text, "decimals")

    def trade(self, market: Market, step: TradeStep) -> None:
        """Send a trade; raise `UnmappableError` where v2 can't, which has integers as ids."""
        pair, trade = self._pairs[market.name], step.trade
        pair.recent.append(trade)
        for topic in pair.topics.values():
            if topic and isinstance(topic, V1Trades):
                topic.publish(topic.frame([trade]))
        trade_number(trade.trade_id, KRAKEN)
        pair.recent_numbered.append(trade)
        for topic in pair.topics.values():
            if topic and isinstance(topic, V2Trades):
                topic.publish(topic.frame([trade]))

    def second(self) -> None:
        """Send a heartbeat to each client that follows something and got nothing for a second."""
        for connection in tuple(self.hub.connections):
            topic = next(iter(connection.topics.values()), None)
            if isinstance(topic, KrakenTopic) and connection.sent == self._sent.get(connection):
                connection.send_frame(text_frame(topic.heartbeat))
        self._sent = {connection: connection.sent for connection in self.hub.connections}

    def routes(self) -> list[web.RouteDef]:
        """Return the sockets and the REST of public data."""
        return [
            web.get("/v2", self._v2),
            web.get("/", self._v1),
            web.get("/ws", self._v1),
            web.get("/0/public/AssetPairs", self._asset_pairs),
            web.get("/0/public/Assets", self._assets),
            web.get("/0/public/Depth", self._depth),
            web.get("/0/public/SystemStatus", self._system_status),
            web.get("/0/public/Time", self._time),
        ]

    async def _v2(self, request: web.Request) -> web.StreamResponse:
        return await self.serve(request, partial(V2Session, venue=self, pairs=self._symbols))

    async def _v1(self, request: web.Request) -> web.StreamResponse:
        pair_of, channel_ids = self._v1_symbols.get, self._channel_ids
        session = partial(V1Session, venue=self, pair_of=pair_of, channel_ids=channel_ids)
        return await self.serve(request, session)

    async def _asset_pairs(self, request: web.Request) -> web.Response:
        instruments = [pair.instrument for pair in self._pairs.values()]
        try:
            asked = request.query.get("pair")
            return _rest(kraken_rest.format_asset_pairs(instruments, asked))
        except FrameError as error:
            return _rest(kraken_rest.format_rest_error(error))

    async def _assets(self, _request: web.Request) -> web.Response:
        return _rest(kraken_rest.format_assets(pair.instrument for pair in self._pairs.values()))

    async def _depth(self, request: web.Request) -> web.Response:
        asked, count = request.query.get("pair", ""), request.query.get("count", _REST_LEVELS)
        try:
            instruments = [pair.instrument for pair in self._pairs.values()]
            pair = self._pairs[kraken_rest.find_pair(instruments, asked).name]
        except FrameError as error:
            return _rest(kraken_rest.format_rest_error(error))
        if not (count.isascii() and count.isdigit() and 1 <= int(count[:9]) <= MOST_REST_LEVELS):
            return _rest(kraken_rest.format_rest_error(FrameError("EGeneral:Invalid arguments")))
        view = pair.market.book.view(int(count))
        return _rest(kraken_rest.format_depth(asked, view, pair.v1_scale, pair.market.book_ts))

    async def _system_status(self, _request: web.Request) -> web.Response:
        return _rest(kraken_rest.format_system_status(int(time.time())))

    async def _time(self, _request: web.Request) -> web.Response:
        return _rest(kraken_rest.format_time(int(time.time())))


class V2Session(Session):
    """One client of v2."""

    def __init__(self, connection: Connection, venue: KrakenVenue, pairs: dict[str, Pair]) -> None:
        super().__init__(connection)
        self._venue = venue
        self._pairs = pairs

    def opened(self) -> None:
        """Greet the client."""
        self.connection.answer(kraken.format_status(self.connection.number))

    def receive(self, frame: bytes | str) -> None:
        """Answer a ping or a request; what is neither gets Kraken's error, and the socket stays."""
        came = now_us()
        try:
            request = kraken.parse_request(frame)
        except FrameError as error:
            method = "error" if error.text == kraken.MALFORMED else "subscribe"
            self.connection.answer(kraken.format_error(error, came, now_us(), method=method))
            return
        if isinstance(request, kraken.Ping):
            self.connection.answer(kraken.format_pong(request, came, now_us()))
            return
        act = self._subscribe if request.method == "subscribe" else self._unsubscribe
        for symbol in request.symbols:
            self._venue.acknowledge(partial(act, request, symbol, came))

    def _subscribe(self, request: kraken.Request, symbol: str, came: int) -> None:
        pair = self._pairs.get(symbol)
        key = Key(VERSION, request.channel, symbol, request.depth)
        if pair is None:
            self._refuse(request, symbol, came, kraken.unknown_symbol(symbol))
        elif key in self.connection.topics:
            self._refuse(request, symbol, came, FrameError("Already subscribed"))
        else:
            self.connection.answer(kraken.format_ack(request, symbol, came, now_us()))
            make = V2Trades if request.depth is None else V2Book
            topic = pair.topic(key, self._venue, make)
            topic.join(self.connection, snapshot=request.snapshot)

    def _unsubscribe(self, request: kraken.Request, symbol: str, came: int) -> None:
        if symbol not in self._pairs:
            self._refuse(request, symbol, came, kraken.unknown_symbol(symbol))
            return
        key = Key(VERSION, request.channel, symbol, request.depth)
        if topic := self.connection.topics.get(key):
            topic.remove(self.connection)
        self.connection.answer(kraken.format_ack(request, symbol, came, now_us()))

    def _refuse(self, request: kraken.Request, symbol: str, came: int, error: FrameError) -> None:
        frame = kraken.format_error(
            error,
            came,
            now_us(),
            method=request.method,
            symbol=symbol,
            request_id=request.request_id,
        )
        self.connection.answer(frame)


def _rest(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
