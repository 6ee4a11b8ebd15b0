"""Kraken v1: frames of the older public WebSocket, where Bitcoin is XBT, as bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from exchanges.decimals import decimals_of, pad
from exchanges.kraken import DEFAULT_DEPTH, DEPTHS, Scale
from exchanges.level_form import NO_LEVELS, LevelForm, Sides
from exchanges.messages import (
    Acknowledged,
    BookMessage,
    Message,
    Other,
    Refused,
    TradeMessage,
    levels_of,
    traded,
)
from exchanges.timestamps import format_seconds, parse_seconds
from exchanges.wire import (
    MESSAGE_LIMIT_BYTES,
    REQUEST_LIMIT_BYTES,
    Frame,
    FrameError,
    RequestId,
    as_array,
    as_integer,
    as_object,
    as_text,
    load,
    optional_integer,
)
from orderflow.instruments import Instrument

HEARTBEAT = b'{"event":"heartbeat"}'
NAMES = ("book", "trade")
_EVENTS = ("subscribe", "unsubscribe")


def scale_of(instrument: Instrument) -> Scale:
    """Return an instrument's decimals: 5 of prices and 8 of sizes, or more where the steps have."""
    return Scale(max(5, decimals_of(instrument.tick)), max(8, decimals_of(instrument.lot)))


@dataclass(frozen=True, slots=True)
class Ping:
    """`{"event":"ping"}`, with or without a `reqid`."""

    request_id: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """Subscribe to a channel of some pairs, or unsubscribe; each pair is answered by itself."""

    event: str
    name: str
    pairs: tuple[str, ...]
    depth: int | None
    request_id: int | None = None

    @property
    def channel(self) -> str:
        """Return the channel's name, `book-10` or `trade`."""
        return self.name if self.depth is None else f"{self.name}-{self.depth}"


def parse_request(frame: Frame) -> Ping | Request:
    """Return what a client wants; raise `FrameError`, in Kraken's words, for what it refuses."""
    try:
        fields = as_object(load(frame, REQUEST_LIMIT_BYTES), "a request")
    except FrameError as error:
        raise FrameError(str(error), text="Malformed request") from error
    request_id = fields.get("reqid")
    if request_id is not None and (isinstance(request_id, bool) or not isinstance(request_id, int)):
        msg = "reqid must be an integer"
        raise FrameError(msg, text="Malformed request")
    event = fields.get("event")
    if event == "ping":
        return Ping(request_id)
    if event not in _EVENTS:
        msg = f"event must be subscribe, unsubscribe or ping; found {str(event)[:60]!r}"
        raise FrameError(msg, text="Unsupported event", request_id=request_id)
    return _request(str(event), fields, request_id)


def _request(event: str, fields: dict[str, Any], request_id: int | None) -> Request:
    def refuse(text: str) -> FrameError:
        return FrameError(text, request_id=request_id)

    pairs, subscription = fields.get("pair"), fields.get("subscription")
    if not isinstance(pairs, list) or not all(isinstance(pair, str) for pair in pairs):
        raise refuse("Pair field must be an array")
    if not isinstance(subscription, dict):
        raise refuse("Subscription field must be an object")
    name = subscription.get("name")
    if name not in NAMES:
        raise refuse("Subscription name invalid")
    depth = None
    if name == "book":
        depth = subscription.get("depth", DEFAULT_DEPTH)
        if isinstance(depth, bool) or not isinstance(depth, int):
            raise refuse("Subscription book depth must be an integer")
        if depth not in DEPTHS:
            raise refuse("Subscription depth not supported")
    return Request(event, str(name), tuple(dict.fromkeys(pairs)), depth, request_id)


def unknown_pair(pair: str) -> FrameError:
    """Return the refusal of a pair that is not there; answer it with the pair beside."""
    return FrameError(f"Currency pair not supported {pair[:60]}")


def format_status(connection_id: int, *, version: str = "1.9.6") -> bytes:
    """Return the frame that greets a new connection."""
    fields = {
        "connectionID": connection_id,
        "event": "systemStatus",
        "status": "online",
        "version": version,
    }
    return orjson.dumps(fields)


def format_pong(ping: Ping) -> bytes:
    """Return the answer to a ping, with its id if it had one."""
    fields: dict[str, Any] = {"event": "pong"}
    return orjson.dumps(fields if ping.request_id is None else {**fields, "reqid": ping.request_id})


def format_ack(request: Request, pair: str, channel_id: int) -> bytes:
    """Return the yes to one pair; it must go out before the snapshot."""
    subscription = {"name": request.name}
    fields: dict[str, Any] = {
        "channelID": channel_id,
        "channelName": request.channel,
        "event": "subscriptionStatus",
        "pair": pair,
    }
    if request.request_id is not None:
        fields["reqid"] = request.request_id
    fields["status"] = f"{request.event}d"
    fields["subscription"] = (
        subscription if request.depth is None else {"depth": request.depth, **subscription}
    )
    return orjson.dumps(fields)


def format_error(
    error: FrameError, *, pair: str | None = None, request_id: RequestId = None
) -> bytes:
    """Return the frame that says an error; `request_id` is that of the error unless given."""
    fields: dict[str, Any] = {"errorMessage": error.text, "event": "subscriptionStatus"}
    if pair is not None:
        fields["pair"] = pair[:60]
    request_id = error.request_id if request_id is None else request_id
    if request_id is not None:
        fields["reqid"] = request_id
    return orjson.dumps(fields | {"status": "error"})


def level_form(scale: Scale, time_us: int) -> LevelForm:
    """Return how levels are written: every level has the time of the message."""
    closing = b'","%b"]' % format_seconds(time_us).encode()
    return LevelForm(b'["', b'","', None, closing, *scale)


def format_snapshot(channel_id: int, channel: str, pair: str, sides: Sides) -> bytes:
    """Return a snapshot, which has no checksum; `sides` are of `level_form`."""
    bids, asks = sides
    return _frame(channel_id, [b'{"as":%b,"bs":%b}' % (asks, bids)], channel, pair)


def format_update(
    channel_id: int,
    channel: str,
    pair: str,
    sides: Sides,
    *,
    checksum: int,
) -> bytes:
    """Return an update, in two parts where both sides change, the checksum in the last.

    `sides` are of `level_form`. One level must have changed at least: v1 has no frame for nothing.
    """
    bids, asks = sides
    parts = [
        b'"%b":%b' % (name, levels)
        for name, levels in ((b"a", asks), (b"b", bids))
        if levels != NO_LEVELS
    ]
    parts[-1] += b',"c":"%d"' % checksum
    return _frame(channel_id, [b"{%b}" % part for part in parts], channel, pair)


def _frame(channel_id: int, parts: Sequence[bytes], channel: str, pair: str) -> bytes:
    names = orjson.dumps(channel), orjson.dumps(pair)
    return b"[%d,%b,%b,%b]" % (channel_id, b",".join(parts), *names)


def format_trades(
    channel_id: int, pair: str, trades: Sequence[TradeMessage], scale: Scale
) -> bytes:
    """Return a trade frame; each is called a market order, which a recording does not tell."""
    written = [
        f'["{pad(trade.price, scale.price)}","{pad(trade.size, scale.size)}",'
        f'"{format_seconds(trade.time_us)}","{trade.side[0]}","m",""]'
        for trade in trades
    ]
    return _frame(channel_id, [f"[{','.join(written)}]".encode()], "trade", pair)


def parse_message(frame: Frame) -> list[Message]:
    """Return what a frame of the exchange says; raise `FrameError` when it is none of v1."""
    value = load(frame, MESSAGE_LIMIT_BYTES)
    if isinstance(value, dict):
        return [_event(value)]
    parts = as_array(value, "a message")
    if len(parts) < 4:
        msg = f"a channel's message has four parts at least; found {len(parts)}"
        raise FrameError(msg)
    channel, symbol = as_text(parts[-2], "the channel"), as_text(parts[-1], "the pair")
    if channel == "trade":
        return [_trade(trade, symbol) for trade in as_array(parts[1], "trades")]
    if channel.partition("-")[0] != "book":
        return [Other(channel)]
    return [_book(parts[1:-2], symbol, channel)]


def _event(fields: dict[str, Any]) -> Message:
    event = as_text(fields.get("event"), "event")
    if event != "subscriptionStatus" and "errorMessage" not in fields:
        return Other(event)
    request_id = optional_integer(fields.get("reqid"), "reqid")
    if fields.get("status") == "error" or "errorMessage" in fields:
        return Refused("", str(fields.get("errorMessage", "")), request_id)
    channel, pair = str(fields.get("channelName", "")), str(fields.get("pair", ""))
    method = str(fields.get("status", "")).removesuffix("d")
    return Acknowledged(method, channel, pair, request_id)


def _book(parts: list[Any], symbol: str, channel: str) -> BookMessage:
    fields: dict[str, Any] = {}
    for part in parts:
        fields |= as_object(part, "a part of a book message")
    snapshot = "as" in fields or "bs" in fields
    names = ("bs", "as") if snapshot else ("b", "a")
    levels = [as_array(fields.get(name, []), name) for name in names]
    times = [parse_seconds(level[2]) for side in levels for level in side if _has_time(level)]
    bids, asks = (
        levels_of([level[:2] for level in side if isinstance(level, list)], name)
        for side, name in zip(levels, names, strict=True)
    )
    if len(bids) + len(asks) != len(levels[0]) + len(levels[1]):
        msg = "levels must be arrays of price, size and time"
        raise FrameError(msg)
    checksum = None if fields.get("c") is None else as_integer(fields["c"], "c")
    time_us = max(times, default=None)
    return BookMessage(
        symbol, snapshot, bids, asks, time_us=time_us, checksum=checksum, channel=channel
    )


def _has_time(level: Any) -> bool:
    return isinstance(level, list) and len(level) > 2


def _trade(fields: Any, symbol: str) -> TradeMessage:
    values = as_array(fields, "a trade")
    if len(values) < 4 or values[3] not in ("b", "s"):
        msg = f"a trade has price, size, time and side b or s; found {str(values)[:120]}"
        raise FrameError(msg)
    price, size = traded(values[0], values[1])
    side = "buy" if values[3] == "b" else "sell"
    return TradeMessage(symbol, None, price, size, side, parse_seconds(values[2]))
