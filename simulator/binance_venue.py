"""Binance spot and USD-M: raw and combined streams, and what clients ask of their REST."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import orjson
from aiohttp import WSCloseCode, web

from exchanges import binance, binance_rest
from exchanges.symbols import BINANCE_USDM, binance_symbol, binance_usdm_symbol, by_symbol
from exchanges.wire import FrameError, UnmappableError
from simulator.binance_feeds import Feed, Listing, StreamKey, StreamTopic, new_feed
from simulator.connections import Connection, Hub
from simulator.market import BookStep, Market, TradeStep
from simulator.venue import RateLimit, Session, Settings, Venue

_SPOT_REST, _USDM_REST, _COIN_REST = "/api/v3", "/fapi/v1", "/dapi/v1"
_NOT_FOUND = """<html>
<head><title>404 Not Found</title></head>
<body>
<center><h1>404 Not Found</h1></center>
<hr><center>nginx</center>
</body>
</html>
"""
Answer = Callable[[web.Request], tuple[bytes, int]]
"""Makes the body of an answer, and says what the request weighs."""


class Weights:
    """How much weight each address has used in this minute, as Binance counts it."""

    def __init__(self) -> None:
        self._minute = 0
        self._used: Counter[str] = Counter()

    def use(self, address: str, weight: int) -> int:
        """Count a request and return what its address has used in this minute."""
        minute = int(time.time() // 60)
        if minute != self._minute:
            self._minute = minute
            self._used.clear()
        self._used[address] += weight
        return self._used[address]


class BinanceVenue(Venue):
    """Binance spot as its public clients see it."""

    name, port, path = "binance", 8062, "/stream/ws"
    ping_seconds: float | None = 20.0
    shows_resets = False
    usdm = False
    rest = _SPOT_REST
    messages_a_second = 5
    weight_a_minute = 6000
    roots: tuple[str, ...] = ("",)
    """What may stand before `/ws` and `/stream`."""

    def __init__(self, hub: Hub, settings: Settings) -> None:
        super().__init__(hub, settings)
        self.listings: dict[str, Listing] = {}
        """The instruments taken in, by their names on Binance."""
        self._listed: dict[str, Listing] = {}
        self._feeds: dict[str, dict[binance.Stream, Feed]] = {}
        self._weights = Weights()

    def add(self, market: Market) -> str:
        """Take an instrument in; raise `UnmappableError` for one that has no form here."""
        named = binance_usdm_symbol if self.usdm else binance_symbol
        symbol = named(market.instrument)
        if self.usdm and market.contract_value is None:
            msg = (
                f"{BINANCE_USDM} has sizes in base currency, and no recording tells what a "
                f"contract of {market.name} is worth: give --contract-value {market.name}=N, 1 "
                "where its sizes are in base currency already"
            )
            raise UnmappableError(msg, BINANCE_USDM, market.name)
        by_symbol([m.instrument for m in (*self.markets.values(), market)], named)
        self.markets[market.name] = market
        self.listings[symbol] = self._listed[market.name] = Listing(market, symbol, self.usdm)
        return symbol

    def remove(self, market: Market) -> None:
        """Forget an instrument and all streams."""
        super().remove(market)
        self._feeds.clear()
        del self.listings[self._listed.pop(market.name).symbol]

    def stream_topic(self, key: StreamKey) -> StreamTopic | None:
        """Return the topic of a stream, made where it is new; None for one that sends nothing.

        Binance takes any name. The symbol may be one that is published later.
        """
        topic = self.topics.get(key)
        if isinstance(topic, StreamTopic):
            return topic
        stream = binance.parse_stream(key.name, usdm=self.usdm)
        if stream is None:
            return None
        kind = replace(stream, name="")
        feeds = self._feeds.setdefault(stream.symbol, {})
        if kind not in feeds:
            feeds[kind] = new_feed(kind, self.listings.get(stream.symbol), usdm=self.usdm)
        topic = StreamTopic(key, self.hub, partial(self._forget, feeds[kind]))
        self.topics[key] = topic
        feeds[kind].topics.append(topic)
        return topic

    def _forget(self, feed: Feed, topic: StreamTopic) -> None:
        feed.topics.remove(topic)
        if self.topics.get(topic.key) is topic:
            del self.topics[topic.key]
        feeds = self._feeds.get(feed.stream.symbol, {})
        if not feed.topics and feeds.get(feed.stream) is feed:
            del feeds[feed.stream]
            if not feeds:
                del self._feeds[feed.stream.symbol]

    def book(self, market: Market, step: BookStep) -> None:
        """Send what a book row became on each stream that somebody follows."""
        listing, feeds = self._followed(market)
        if feeds:
            changes = listing.changes(market.book.row_changes())
            for feed in feeds:
                feed.book(listing, step, changes)

    def trade(self, market: Market, step: TradeStep) -> None:
        """Send a trade, each in a frame of its own."""
        listing, feeds = self._followed(market)
        if feeds:
            trade = listing.trade(step.trade)
            for feed in feeds:
                feed.trade(listing, trade)

    def _followed(self, market: Market) -> tuple[Listing, tuple[Feed, ...]]:
        listing = self._listed[market.name]
        return listing, tuple(self._feeds.get(listing.symbol, {}).values())

    def goodbye(self) -> None:
        """Tell all clients that the server is about to go, which only spot does."""
        if not self.usdm:
            for connection in tuple(self.hub.connections):
                connection.answer(binance.format_shutdown(int(time.time() * 1000)))

    def routes(self) -> list[web.RouteDef]:
        """Return the paths of streams, and the REST of public data.

        ccxt asks for the instruments of all three exchanges, wherever they are: those that are
        not this one have none.
        """
        sockets = [
            web.get(f"{root}/{name}{rest}", self._socket)
            for root in self.roots
            for name in ("ws", "stream")
            for rest in ("", "/{rest:.*}")
        ]
        rests = [
            web.get(f"{root}/{name}", partial(self._rest, answer))
            for root in (_SPOT_REST, _USDM_REST, _COIN_REST)
            for name, answer in (
                ("ping", self._ping),
                ("time", self._time),
                ("exchangeInfo", self._exchange_info),
                ("depth", self._depth),
            )
        ]
        unknown = [
            web.route("*", f"/{api}/{{rest:.*}}", self._unknown)
            for api in ("api", "sapi", "fapi", "dapi")
        ]
        return [*sockets, *rests, *unknown]

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        endpoint = binance.parse_path(request.path, request.query.get("streams", ""))
        if endpoint is None:
            return web.Response(status=404)
        return await self.serve(request, partial(BinanceSession, venue=self, endpoint=endpoint))

    async def _rest(self, answer: Answer, request: web.Request) -> web.Response:
        status, weight = 200, 1
        try:
            body, weight = answer(request)
        except FrameError as error:
            status, body = 400, binance_rest.format_rest_error(error)
        used = self._weights.use(request.remote or "", weight)
        headers = {binance_rest.USED_WEIGHT_HEADER: str(used)}
        if self.settings.limits and used > self.weight_a_minute:
            text = (
                f"Too much request weight used; current limit is {self.weight_a_minute} request "
                "weight per 1 MINUTE. Please use WebSocket Streams for live updates to avoid "
                "polling the API."
            )
            status = 429
            body = binance_rest.format_rest_error(FrameError(text, code="-1003"))
            headers["Retry-After"] = str(60 - int(time.time()) % 60)
        return web.Response(
            status=status, body=body, headers=headers, content_type="application/json"
        )

    async def _unknown(self, request: web.Request) -> web.Response:
        if request.path.startswith("/api/"):
            return web.Response(status=404, text=_NOT_FOUND, content_type="text/html")
        text = f"Path {request.path}, Method {request.method} is invalid"
        body = binance_rest.format_rest_error(FrameError(text, code="-5000"))
        return web.Response(status=404, body=body, content_type="application/json")

    def _ping(self, _request: web.Request) -> tuple[bytes, int]:
        return binance_rest.PING, 1

    def _time(self, _request: web.Request) -> tuple[bytes, int]:
        return binance_rest.format_time(int(time.time() * 1000)), 1

    def _listed_at(self, request: web.Request) -> dict[str, Listing]:
        """Return the instruments of the exchange that a request is for."""
        return self.listings if request.path.startswith(self.rest) else {}

    def _exchange_info(self, request: web.Request) -> tuple[bytes, int]:
        listings = self._listed_at(request)
        if asked := _asked_symbols(request):
            listings = {symbol: _known(listings, symbol) for symbol in asked}
        instruments = [listing.market.instrument for listing in listings.values()]
        now_ms = int(time.time() * 1000)
        weight = 1 if self.usdm else 20
        return binance_rest.format_exchange_info(instruments, now_ms, usdm=self.usdm), weight

    def _depth(self, request: web.Request) -> tuple[bytes, int]:
        if not (symbol := request.query.get("symbol")):
            text = "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."
            raise FrameError(text, code="-1102")
        listing = _known(self._listed_at(request), symbol)
        limit = binance_rest.parse_depth_limit(request.query.get("limit"), usdm=self.usdm)
        market = listing.market
        body = binance_rest.format_depth(
            listing.view(limit),
            market.instrument,
            market.row_id,
            usdm_time_ms=market.book_ts if self.usdm else None,
        )
        return body, depth_weight(limit, usdm=self.usdm)


class BinanceUsdmVenue(BinanceVenue):
    """Binance's contracts in USDT and USDC as their public clients see them."""

    name, port, path = "binance-usdm", 8063, "/ws"
    ping_seconds = 180.0
    usdm = True
    rest = _USDM_REST
    messages_a_second = 10
    weight_a_minute = 2400
    roots = ("", "/public", "/market")


class BinanceSession(Session):
    """One client of Binance's streams."""

    def __init__(
        self, connection: Connection, venue: BinanceVenue, endpoint: binance.Endpoint
    ) -> None:
        super().__init__(connection)
        self._venue = venue
        self._endpoint = endpoint
        self._combined = endpoint.wrapped
        self._streams: dict[str, None] = {}
        self._messages = RateLimit(venue.messages_a_second, 1.0)

    def opened(self) -> None:
        """Subscribe to what the URL asks for."""
        self._answer(binance.Request("SUBSCRIBE", self._endpoint.streams, None), silent=True)

    def receive(self, frame: bytes | str) -> None:
        """Answer a request; one too many in a second ends the connection, as on Binance."""
        if self._venue.settings.limits and not self._messages.take():
            self.connection.close(WSCloseCode.POLICY_VIOLATION, "Too many requests", "limit")
            return
        try:
            request = binance.parse_request(frame)
        except FrameError as error:
            self.connection.answer(binance.format_error(error))
            return
        self._venue.acknowledge(partial(self._answer, request))

    def _answer(self, request: binance.Request, *, silent: bool = False) -> None:
        act = {
            "SUBSCRIBE": self._subscribe,
            "UNSUBSCRIBE": self._unsubscribe,
            "LIST_SUBSCRIPTIONS": self._list,
            "SET_PROPERTY": self._set_property,
            "GET_PROPERTY": self._get_property,
        }[request.method]
        try:
            answer = binance.format_result(act(request), request.request_id)
        except FrameError as error:
            answer = binance.format_error(error)
            silent = False
        if not silent:
            self.connection.answer(answer)

    def _subscribe(self, request: binance.Request) -> None:
        streams = self._streams | {str(name): None for name in request.params}
        if len(streams) > binance.MAX_STREAMS:
            text = "Too many subscriptions"
            raise FrameError(text, code="4", request_id=request.request_id)
        self._streams = streams
        for name in streams:
            self._join(name)

    def _unsubscribe(self, request: binance.Request) -> None:
        for name in map(str, request.params):
            self._streams.pop(name, None)
            self._leave(name, self._combined)

    def _list(self, _request: binance.Request) -> list[str]:
        return list(self._streams)

    def _set_property(self, request: binance.Request) -> None:
        _check_property(request)
        before, self._combined = self._combined, bool(request.params[1])
        if before != self._combined:
            for name in self._streams:
                self._join(name)  # before it leaves: what waits to be sent would be lost
                self._leave(name, before)

    def _get_property(self, request: binance.Request) -> bool:
        _check_property(request)
        return self._combined

    def _join(self, name: str) -> None:
        key = StreamKey(name, self._combined)
        if key in self.connection.topics:
            return  # subscribing twice is one subscription
        topic = self._venue.stream_topic(key)
        if topic is not None:
            topic.add(self.connection)

    def _leave(self, name: str, combined: bool) -> None:
        if topic := self.connection.topics.get(StreamKey(name, combined)):
            topic.remove(self.connection)


def _check_property(request: binance.Request) -> None:
    if request.params[:1] != ("combined",):
        raise FrameError("Unknown property", code="0", request_id=request.request_id)


def _known(listings: dict[str, Listing], symbol: str) -> Listing:
    if symbol not in listings:
        raise binance_rest.unknown_symbol()
    return listings[symbol]


def _asked_symbols(request: web.Request) -> list[str]:
    """Return the symbols that an exchangeInfo is asked for, none where all are."""
    if "symbol" in request.query:
        return [request.query["symbol"]]
    try:
        symbols = orjson.loads(request.query.get("symbols", "[]"))
    except ValueError:
        symbols = None
    if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
        text = "Illegal characters found in parameter 'symbols'."
        raise FrameError(text, code="-1100")
    return list(symbols)


def depth_weight(limit: int, *, usdm: bool) -> int:
    """Return what a depth request of so many levels costs."""
    steps = ((50, 2), (100, 5), (500, 10)) if usdm else ((100, 5), (500, 25), (1000, 50))
    return next((weight for most, weight in steps if limit <= most), 20 if usdm else 250)
