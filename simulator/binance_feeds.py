"""What Binance's streams send of an instrument: differences, pictures, trades."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from exchanges import binance
from exchanges.depth import Changes, DepthView, join_changes
from exchanges.levels import Level, in_base_currency
from exchanges.messages import TradeMessage
from simulator.connections import Connection, Hub, Topic
from simulator.market import BookStep, Market

AT_ONCE_MS = 100
"""Streams of this speed send each row as it comes: the source's own rhythm is about that."""
_MOST_WAITING = 64
"""So many changes wait for the interval to end before they are joined for the first time."""
_SPOT_SCALE = binance.Scale(8, 8)


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument under its name on Binance; on USD-M its sizes are in base currency."""

    market: Market
    symbol: str
    usdm: bool

    @property
    def scale(self) -> binance.Scale:
        """Return the decimals to write."""
        return binance.scale_of(self.market.instrument, usdm=True) if self.usdm else _SPOT_SCALE

    def changes(self, changes: Changes) -> Changes:
        """Return changes of the market with the sizes of this venue."""
        value = self._factor
        if value == "1":
            return changes
        return Changes(in_base_currency(changes.bids, value), in_base_currency(changes.asks, value))

    def view(self, depth: int | None) -> DepthView:
        """Return the best levels of the market's book with the sizes of this venue."""
        view = self.market.book.view(depth)
        return DepthView(depth, *self.changes(Changes(view.bids, view.asks)))

    def trade(self, trade: TradeMessage) -> TradeMessage:
        """Return a trade under this name, with the size of this venue."""
        (level,) = in_base_currency([Level(trade.price, trade.size)], self._factor)
        return replace(trade, symbol=self.symbol, size=level.size)

    @property
    def _factor(self) -> str:
        return self.market.contract_value or "1" if self.usdm else "1"


class StreamKey(NamedTuple):
    """What a topic of Binance is known by: the stream as it was asked for, and its form."""

    name: str
    wrapped: bool

    def __str__(self) -> str:
        return f"{self.name} (combined)" if self.wrapped else self.name


class StreamTopic(Topic):
    """A stream in one of its two forms; `forget` is called when nobody follows it any more."""

    def __init__(self, key: StreamKey, hub: Hub, forget: Callable[["StreamTopic"], None]) -> None:
        super().__init__(key, hub)
        self.stream_key = key
        self._forget = forget

    def publish_payload(self, payload: bytes) -> None:
        """Send what a raw stream has, wrapped where this is a combined one."""
        key = self.stream_key
        self.publish(binance.wrap(key.name, payload) if key.wrapped else payload)

    def remove(self, connection: Connection) -> None:
        """Send it no more; the last one to leave ends the topic."""
        super().remove(connection)
        if not self:
            self._forget(self)


class Feed:
    """One stream of one symbol, made once for all the names and forms it is followed under.

    It lives while it is followed. The symbol need not be known yet.
    """

    def __init__(self, stream: binance.Stream, *, usdm: bool) -> None:
        self.stream = stream
        self.usdm = usdm
        self.topics: list[StreamTopic] = []

    def publish(self, payload: bytes) -> None:
        """Send a payload to all who follow."""
        for topic in tuple(self.topics):
            topic.publish_payload(payload)

    def book(self, listing: Listing, step: BookStep, changes: Changes) -> None:
        """Take a book row; `changes` has the venue's sizes."""

    def trade(self, listing: Listing, trade: TradeMessage) -> None:
        """Take a trade with the venue's sizes; raise `UnmappableError` if it has no form here."""


class TradeFeed(Feed):
    """`@trade` and `@aggTrade`."""

    def trade(self, listing: Listing, trade: TradeMessage) -> None:
        """Send a trade."""
        aggregated = self.stream.kind == "aggTrade"
        self.publish(
            binance.format_trade(trade, listing.scale, usdm=self.usdm, aggregated=aggregated)
        )


class BookFeed(Feed, ABC):
    """A stream made of book rows, at once or at the end of each interval that had any."""

    def __init__(self, stream: binance.Stream, *, usdm: bool) -> None:
        super().__init__(stream, usdm=usdm)
        self._waits = False

    def _send_when_due(self, listing: Listing) -> None:
        if self.stream.speed_ms <= AT_ONCE_MS:
            self._send(listing)
        elif not self._waits:
            self._waits = True
            loop = asyncio.get_running_loop()
            loop.call_later(self.stream.speed_ms / 1000, self._send_late, listing)

    def _send_late(self, listing: Listing) -> None:
        self._waits = False
        self._send(listing)

    @abstractmethod
    def _send(self, listing: Listing) -> None:
        """Send what has come together."""


class DiffFeed(BookFeed):
    """`@depth`: what has changed.

    `u` is the row's id, and `U` follows the `u` sent before, so that all who follow see a chain.
    After a loss `U` leaves one id out, which no event has. Where the ids begin anew it does so too.
    `pu` is the id before `U`.
    """

    def __init__(self, stream: binance.Stream, last_id: int, *, usdm: bool) -> None:
        super().__init__(stream, usdm=usdm)
        self._last_id = last_id
        self._first_id = 0
        self._time_ms = 0
        self._waiting: list[Changes] = []

    def book(self, listing: Listing, step: BookStep, changes: Changes) -> None:
        """Take a row; one that changed nothing and lost nothing is not sent."""
        if step.lost:
            self._first_id = step.row_id
        elif not (changes.bids or changes.asks):
            return
        elif step.row_id <= self._last_id:
            self._first_id = step.row_id - 1
        elif not self._waiting:
            self._first_id = self._last_id + 1
        self._last_id, self._time_ms = step.row_id, step.ts
        self._waiting.append(changes)
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting = [join_changes(self._waiting)]
        self._send_when_due(listing)

    def _send(self, listing: Listing) -> None:
        waiting, self._waiting = self._waiting, []
        payload = binance.format_depth_update(
            listing.symbol,
            waiting[0] if len(waiting) == 1 else join_changes(waiting),
            listing.scale,
            time_ms=self._time_ms,
            first_id=self._first_id,
            last_id=self._last_id,
            previous_id=self._first_id - 1 if self.usdm else None,
        )
        self.publish(payload)


class PictureFeed(BookFeed):
    """`@depth5`, `10`, `20` and `@bookTicker`: the best levels, where they have changed.

    `view` is what is known to who follows; None has the next row sent, whatever it changed.
    """

    def __init__(self, stream: binance.Stream, view: DepthView | None, *, usdm: bool) -> None:
        super().__init__(stream, usdm=usdm)
        self._view = view

    def book(self, listing: Listing, step: BookStep, changes: Changes) -> None:
        """Take a row."""
        if changes.bids or changes.asks:
            self._send_when_due(listing)

    def _send(self, listing: Listing) -> None:
        old, self._view = self._view, listing.view(self.stream.depth or 1)
        if old != self._view and (payload := self._payload(listing, self._view)):
            self.publish(payload)

    def _payload(self, listing: Listing, view: DepthView) -> bytes | None:
        row_id, time_ms = listing.market.row_id, listing.market.book_ts
        if self.stream.depth is None:
            return binance.format_book_ticker(
                listing.symbol,
                view,
                listing.scale,
                row_id,
                usdm_time_ms=time_ms if self.usdm else None,
            )
        if not self.usdm:
            return binance.format_partial_depth(view, listing.scale, row_id)
        return binance.format_depth_update(
            listing.symbol,
            view,
            listing.scale,
            time_ms=time_ms,
            first_id=row_id - 1,
            last_id=row_id,
            previous_id=row_id - 2,
        )


def new_feed(stream: binance.Stream, listing: Listing | None, *, usdm: bool) -> Feed:
    """Return the feed of a stream from this moment on; `listing` is None for an unknown symbol."""
    if stream.kind in ("trade", "aggTrade"):
        return TradeFeed(stream, usdm=usdm)
    if stream.kind == "bookTicker":
        return PictureFeed(stream, listing.view(1) if listing else None, usdm=usdm)
    if stream.depth:
        return PictureFeed(stream, None, usdm=usdm)
    return DiffFeed(stream, listing.market.row_id if listing else 0, usdm=usdm)
