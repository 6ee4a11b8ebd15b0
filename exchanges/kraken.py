"""Kraken v2: frames of the public WebSocket, as bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from exchanges.checksums import kraken_checksum
from exchanges.decimals import decimals_of, json_number, pad
from exchanges.depth import DepthView
from exchanges.level_form import LevelForm, Sides
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
from exchanges.symbols import KRAKEN, trade_number
from exchanges.timestamps import format_rfc3339, parse_rfc3339
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
    load_with_decimals,
    optional_integer,
)
from orderflow.instruments import Instrument

DEPTHS = (10, 25, 100, 500, 1000)
DEFAULT_DEPTH = 10
CHANNELS = ("book", "trade")
HEARTBEAT = b'{"channel":"heartbeat"}'
"""Sent each second in which a subscribed connection has nothing else to send."""
MALFORMED = "Malformed request"
"""Said of a frame that is no request at all, with `error` as its method."""
_METHODS = ("subscribe", "unsubscribe")


class Scale(NamedTuple):
    """The decimals of prices and sizes: on the wire, in AssetPairs and in the checksum alike."""

    price: int
    size: int


def scale_of(instrument: Instrument) -> Scale:
    """Return an instrument's decimals; sizes have 8, or more where the lot has.

    A client prints prices and sizes with these to compute the checksum, so that tick and lot must
    cover every decimal recorded.
    """
    return Scale(decimals_of(instrument.tick), max(8, decimals_of(instrument.lot)))


@dataclass(frozen=True, slots=True)
class Ping:
    """`{"method":"ping"}`, with or without a `req_id`."""

    request_id: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """Subscribe to a channel of some symbols, or unsubscribe; each symbol is answered by itself.

    `depth` is None but for books. `snapshot` says whether one is wanted first; of a book it is
    unless said otherwise, of trades it is not.
    """

    method: str
    channel: str
    symbols: tuple[str, ...]
    depth: int | None
    snapshot: bool
    request_id: int | None = None


def parse_request(frame: Frame) -> Ping | Request:
    """Return what a client wants; raise `FrameError`, in Kraken's words, for what it refuses.

    Answer the error with `format_error`; the socket stays open. Whether the symbols exist is the
    caller's to see: see `unknown_symbol`.
    """
    try:
        fields = as_object(load(frame, REQUEST_LIMIT_BYTES), "a request")
    except FrameError as error:
        raise FrameError(str(error), text=MALFORMED) from error
    request_id = fields.get("req_id")
    if request_id is not None and (isinstance(request_id, bool) or not isinstance(request_id, int)):
        msg = "req_id must be an integer"
        raise FrameError(msg, text=MALFORMED)
    method = fields.get("method")
    if method == "ping":
        return Ping(request_id)
    if method not in _METHODS:
        msg = f"method must be subscribe, unsubscribe or ping; found {str(method)[:60]!r}"
        raise FrameError(msg, text="Unsupported event", request_id=request_id)
    try:
        return _request(str(method), as_object(fields.get("params"), "params"), request_id)
    except FrameError as error:
        own = error.text if error.text != str(error) else MALFORMED
        raise FrameError(str(error), text=own, request_id=request_id) from error


def _request(method: str, params: dict[str, Any], request_id: int | None) -> Request:
    channel = as_text(params.get("channel"), "channel")
    if channel not in CHANNELS:
        msg = f"the channels here are {', '.join(CHANNELS)}; found {channel[:60]!r}"
        raise FrameError(msg, text="Subscription name invalid")
    named = params.get("symbol")
    if not isinstance(named, list):
        msg = f"symbol must be an array of names; found {str(named)[:60]!r}"
        raise FrameError(msg, text="Symbol field must be an array")
    symbols = tuple(dict.fromkeys(as_text(name, "a symbol") for name in named))
    if not symbols:
        msg = "symbol must have a name at least"
        raise FrameError(msg)
    depth = None
    if channel == "book":
        depth = params.get("depth", DEFAULT_DEPTH)
        if isinstance(depth, bool) or depth not in DEPTHS:
            msg = f"depth must be one of {DEPTHS}; found {str(depth)[:60]}"
            raise FrameError(msg, text="Subscription depth not supported")
        depth = int(depth)
    snapshot = params.get("snapshot", channel == "book")
    if not isinstance(snapshot, bool):
        msg = "snapshot must be true or false"
        raise FrameError(msg)
    return Request(method, channel, symbols, depth, snapshot, request_id)


def unknown_symbol(symbol: str) -> FrameError:
    """Return the refusal of a symbol that is not there; answer it with the symbol beside."""
    return FrameError(f"Currency pair not supported {symbol[:60]}")


def format_ack(request: Request, symbol: str, time_in_us: int, time_out_us: int) -> bytes:
    """Return the yes to one symbol; it must go out before the snapshot.

    python-kraken-sdk deletes its book when the yes arrives.
    """
    result: dict[str, Any] = {"channel": request.channel}
    if request.depth is not None:
        result["depth"] = request.depth
    if request.method == "subscribe":
        result["snapshot"] = request.snapshot
    result["symbol"] = symbol
    fields = {"method": request.method, "result": result, "success": True}
    return orjson.dumps(_with_times(fields, time_in_us, time_out_us, request.request_id))


def format_error(
    error: FrameError,
    time_in_us: int,
    time_out_us: int,
    *,
    method: str = "subscribe",
    symbol: str | None = None,
    request_id: RequestId = None,
) -> bytes:
    """Return the frame that says an error; `request_id` is that of the error unless given."""
    fields: dict[str, Any] = {"error": error.text, "method": method, "success": False}
    if symbol is not None:
        fields["symbol"] = symbol[:60]
    request_id = error.request_id if request_id is None else request_id
    return orjson.dumps(_with_times(fields, time_in_us, time_out_us, request_id))


def format_pong(ping: Ping, time_in_us: int, time_out_us: int) -> bytes:
    """Return the answer to a ping, with its id if it had one."""
    return orjson.dumps(_with_times({"method": "pong"}, time_in_us, time_out_us, ping.request_id))


def _with_times(
    fields: dict[str, Any], time_in_us: int, time_out_us: int, request_id: RequestId
) -> dict[str, Any]:
    fields |= {"time_in": format_rfc3339(time_in_us), "time_out": format_rfc3339(time_out_us)}
    return fields if request_id is None else {**fields, "req_id": request_id}


def format_status(connection_id: int, *, version: str = "2.0.10") -> bytes:
    """Return the frame that greets a new connection."""
    status = {
        "version": version,
        "system": "online",
        "api_version": "v2",
        "connection_id": connection_id,
    }
    return orjson.dumps({"channel": "status", "type": "update", "data": [status]})


def book_checksum(view: DepthView, scale: Scale) -> int:
    """Return the checksum of a view of the book; of its best 10 levels, whatever its depth."""
    return kraken_checksum(view.bids, view.asks, *scale)


def level_form(scale: Scale) -> LevelForm:
    """Return how levels are written: numbers with all decimals of `scale`."""
    return LevelForm(b'{"price":', b',"qty":', None, b"}", *scale, numbers=True)


def format_book(
    symbol: str,
    sides: Sides,
    *,
    snapshot: bool,
    checksum: int,
    time_us: int,
) -> bytes:
    """Return a book frame; `checksum` is that of the view after it, `sides` are of `level_form`.

    An update's deletes must stand before its inserts on each side, as `TextBook` gives them.
    """
    kind = b"snapshot" if snapshot else b"update"
    return (
        b'{"channel":"book","type":"%b","data":[{"symbol":%b,"bids":%b,"asks":%b,'
        b'"checksum":%d,"timestamp":"%b"}]}'
    ) % (
        kind,
        orjson.dumps(symbol),
        *sides,
        checksum,
        format_rfc3339(time_us).encode(),
    )


def format_trades(
    symbol: str, trades: Sequence[TradeMessage], scale: Scale, *, snapshot: bool = False
) -> bytes:
    """Return a trade frame; raise `UnmappableError` where a recorded id is no integer.

    `ord_type` is always market: a recording does not tell it, and Kraken's field is never empty.
    """
    data = [
        b'{"symbol":%b,"side":"%b","price":%b,"qty":%b,"ord_type":"market","trade_id":%d,'
        b'"timestamp":"%b"}'
        % (
            orjson.dumps(symbol),
            trade.side.encode(),
            json_number(pad(trade.price, scale.price)).encode(),
            json_number(pad(trade.size, scale.size)).encode(),
            trade_number(trade.trade_id, KRAKEN),
            format_rfc3339(trade.time_us).encode(),
        )
        for trade in trades
    ]
    kind = b"snapshot" if snapshot else b"update"
    return b'{"channel":"trade","type":"%b","data":[%b]}' % (kind, b",".join(data))


def parse_message(frame: Frame) -> list[Message]:
    """Return what a frame of the exchange says, prices with the digits sent.

    Raise `FrameError` when it is none of Kraken v2.
    """
    fields = as_object(load_with_decimals(frame, MESSAGE_LIMIT_BYTES), "a message")
    if "method" in fields or "error" in fields:
        return [_answer(fields)]
    channel = as_text(fields.get("channel"), "channel")
    if channel not in CHANNELS:
        return [Other(channel)]
    kind = fields.get("type")
    if kind not in ("snapshot", "update"):
        msg = f"type must be snapshot or update; found {str(kind)[:60]!r}"
        raise FrameError(msg)
    data = [as_object(entry, "an entry of data") for entry in as_array(fields.get("data"), "data")]
    if channel == "trade":
        return [_trade(entry) for entry in data]
    return [_book(entry, kind == "snapshot") for entry in data]


def _answer(fields: dict[str, Any]) -> Message:
    request_id = optional_integer(fields.get("req_id"), "req_id")
    method = str(fields.get("method", ""))
    if method == "pong":
        return Other("pong")
    if fields.get("success") is not True:
        return Refused("", str(fields.get("error", "")), request_id)
    result = as_object(fields.get("result"), "result")
    return Acknowledged(
        method, str(result.get("channel", "")), str(result.get("symbol", "")), request_id
    )


def _book(fields: dict[str, Any], snapshot: bool) -> BookMessage:
    sides = [
        levels_of(
            [
                (level.get("price"), level.get("qty")) if isinstance(level, dict) else None
                for level in as_array(fields.get(name), name)
            ],
            name,
        )
        for name in ("bids", "asks")
    ]
    timestamp = fields.get("timestamp")
    return BookMessage(
        as_text(fields.get("symbol"), "symbol"),
        snapshot,
        sides[0],
        sides[1],
        time_us=None if timestamp is None else parse_rfc3339(timestamp),
        checksum=as_integer(fields.get("checksum"), "checksum"),
    )


def _trade(fields: dict[str, Any]) -> TradeMessage:
    price, size = traded(fields.get("price"), fields.get("qty"))
    side = fields.get("side")
    if side not in ("buy", "sell"):
        msg = f"side must be buy or sell; found {str(side)[:60]!r}"
        raise FrameError(msg)
    return TradeMessage(
        as_text(fields.get("symbol"), "symbol"),
        str(as_integer(fields.get("trade_id"), "trade_id")),
        price,
        size,
        side,
        time_us=parse_rfc3339(fields.get("timestamp")),
    )
