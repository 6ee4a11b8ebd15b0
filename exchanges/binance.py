"""Binance spot and USD-M: paths and frames of the WebSocket streams, as bytes."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from exchanges.decimals import decimals_of, pad
from exchanges.depth import Changes, DepthView, write_sides
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
from exchanges.symbols import BINANCE_SPOT, BINANCE_USDM, trade_number
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
    is_request_id,
    load,
    optional_integer,
)
from orderflow.instruments import Instrument

MAX_STREAMS = 1024
"""Most streams of one connection."""
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_STREAM = re.compile(
    r"(?P<symbol>[a-z0-9]+(?:_\d{6})?)@(?:(?P<kind>trade|aggTrade|bookTicker)"
    r"|depth(?P<depth>5|10|20)?(?:@(?P<speed>\d+)ms)?)",
    re.ASCII,
)
# 1000 is not among USD-M's documented speeds; unicorn-binance-local-depth-cache asks for it.
_SPEEDS = {False: (1000, 100), True: (250, 100, 500, 1000)}
_ROUTES = ("public", "market")


class Endpoint(NamedTuple):
    """What a connection's URL asks for: whether frames are wrapped, and the first streams."""

    wrapped: bool
    streams: tuple[str, ...]


def parse_path(path: str, streams: str = "") -> Endpoint | None:
    """Return what the path of a connection means, None where Binance has no such path.

    `streams` is the query parameter of that name. `/stream/ws` is `/ws` (ccxt takes a socket for
    spot by the word stream in its URL), a last part of digits is a name ccxt gives its connections
    and means nothing, and the USD-M routes `/public` and `/market` are like none.
    """
    parts = [part for part in path.split("/") if part]
    if parts and parts[0] in _ROUTES:
        parts = parts[1:]
    if parts[:2] == ["stream", "ws"]:
        parts = parts[1:]
    if parts == ["stream"]:
        return Endpoint(True, tuple(dict.fromkeys(part for part in streams.split("/") if part)))
    if not parts or parts[0] != "ws":
        return None
    return Endpoint(False, tuple(dict.fromkeys(part for part in parts[1:] if not part.isdigit())))


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream: `kind` is depth, trade, aggTrade or bookTicker; `symbol` as in frames, BTCUSDT.

    `depth` is None for the stream of differences, 5, 10 or 20 for pictures of the best levels;
    `speed_ms` is how long changes are joined, 0 for what is sent at once.
    """

    name: str
    symbol: str
    kind: str
    depth: int | None = None
    speed_ms: int = 0


def parse_stream(name: str, *, usdm: bool) -> Stream | None:
    """Return the stream of a name, None where it cannot be made out of a recording or is none.

    Binance acknowledges any name, and sends nothing for one it does not know. Names are in lower
    case; klines, tickers of 24 hours and mark prices are not in a recording.
    """
    found = _STREAM.fullmatch(name)
    if not found:
        return None
    symbol = found["symbol"].upper()
    if found["kind"]:
        return Stream(name, symbol, found["kind"])
    speeds = _SPEEDS[usdm]
    speed = int(found["speed"][:6]) if found["speed"] else speeds[0]
    if speed not in speeds:
        return None
    return Stream(name, symbol, "depth", int(found["depth"]) if found["depth"] else None, speed)


@dataclass(frozen=True, slots=True)
class Request:
    """A client's request; `params` are stream names, or the property and its value."""

    method: str
    params: tuple[str | bool, ...]
    request_id: RequestId


def parse_request(frame: Frame) -> Request:
    """Return what a client wants; raise `FrameError`, with Binance's code, for what it refuses.

    Answer the error with `format_error`; the socket stays open. Subscribing twice is one
    subscription.
    """
    try:
        fields = load(frame, REQUEST_LIMIT_BYTES)
    except FrameError as error:
        text = "Invalid JSON: expected value at line 1 column 1"
        raise FrameError(str(error), code="3", text=text) from error
    if not isinstance(fields, dict):
        raise _invalid("expected an object")
    request_id = fields.get("id")
    if request_id is not None and not is_request_id(request_id):
        raise _invalid("request ID must be an unsigned integer")
    if "method" not in fields:
        raise _invalid("missing field `method` at line 1 column 1", request_id)
    method = fields["method"]
    if method not in _METHODS:
        known = ", ".join(f"`{name}`" for name in _METHODS)
        unknown = f"unknown variant `{str(method)[:60]}`, expected one of {known}"
        raise _invalid(f"{unknown} at line 1 column 1", request_id)
    return Request(str(method), _params(fields, str(method), request_id), request_id)


def _params(fields: dict[str, Any], method: str, request_id: RequestId) -> tuple[str | bool, ...]:
    params = fields.get("params", [] if method == "LIST_SUBSCRIPTIONS" else None)
    if not isinstance(params, list):
        raise _invalid("missing field `params` at line 1 column 1", request_id)
    if method == "SET_PROPERTY":
        if len(params) != 2 or not isinstance(params[0], str):
            raise _invalid("property name must be a string", request_id)
        if not isinstance(params[1], bool):
            text = "Invalid value type: expected Boolean"
            raise FrameError(text, code="1", request_id=request_id)
        return params[0], params[1]
    if not all(isinstance(name, str) for name in params):
        raise _invalid("property name must be a string", request_id)
    if len(params) > MAX_STREAMS:
        raise _invalid("too many parameters", request_id)
    return tuple(dict.fromkeys(params))


def _invalid(what: str, request_id: RequestId = None) -> FrameError:
    return FrameError(f"Invalid request: {what}", code="2", request_id=request_id)


def format_result(result: Sequence[str] | bool | None, request_id: RequestId) -> bytes:
    """Return the yes to a request: None, or the streams of LIST_SUBSCRIPTIONS, or a property."""
    return orjson.dumps({"result": result, "id": request_id})


def format_error(error: FrameError) -> bytes:
    """Return the frame that says an error, with the request's id where it is known."""
    fields: dict[str, Any] = {"error": {"code": int(error.code or "2"), "msg": error.text}}
    if error.request_id is not None:
        fields["id"] = error.request_id
    return orjson.dumps(fields)


def wrap(stream: str, payload: bytes) -> bytes:
    """Return a payload as `/stream` sends it, with its stream's name."""
    return b'{"stream":' + orjson.dumps(stream) + b',"data":' + payload + b"}"


class Scale(NamedTuple):
    """How many decimals a venue writes, at least."""

    price: int
    size: int


def scale_of(instrument: Instrument, *, usdm: bool) -> Scale:
    """Return the decimals of an instrument: 8 on spot, those of tick and lot on USD-M.

    A USD-M size is a lot of contracts times the contract value, so its decimals are the sum's.
    """
    if not usdm:
        return Scale(8, 8)
    lot = decimals_of(instrument.lot) + decimals_of(instrument.contract_value)
    return Scale(decimals_of(instrument.tick), lot)


def sides(levels: Changes | DepthView, scale: Scale) -> Sides:
    """Return bids and asks as Binance writes them, `[["px","sz"],…]`."""
    return write_sides(levels, LevelForm(b'["', b'","', None, b'"]', *scale))


def format_depth_update(
    symbol: str,
    changes: Changes | DepthView,
    scale: Scale,
    *,
    time_ms: int,
    first_id: int,
    last_id: int,
    previous_id: int | None = None,
) -> bytes:
    """Return a `depthUpdate`; with `previous_id`, the last event's `u`, that of USD-M."""
    bids, asks = sides(changes, scale)
    traded_at = previous = b""
    if previous_id is not None:
        traded_at, previous = b',"T":%d' % time_ms, b',"pu":%d' % previous_id
    head = b'{"e":"depthUpdate","E":%d%b,"s":"%b"' % (time_ms, traded_at, symbol.encode())
    ids = b',"U":%d,"u":%d%b' % (first_id, last_id, previous)
    return head + ids + b',"b":' + bids + b',"a":' + asks + b"}"


def format_partial_depth(view: DepthView, scale: Scale, last_id: int) -> bytes:
    """Return a picture of the best levels as spot's `@depth5`, `10` and `20` send it."""
    bids, asks = sides(view, scale)
    return b'{"lastUpdateId":%d,"bids":%b,"asks":%b}' % (last_id, bids, asks)


def format_book_ticker(
    symbol: str, view: DepthView, scale: Scale, last_id: int, *, usdm_time_ms: int | None = None
) -> bytes | None:
    """Return the best of both sides, None where a side is empty and there is none.

    `usdm_time_ms` is for USD-M, where the frame has its type and times.
    """
    if not view.bids or not view.asks:
        return None
    fields: dict[str, Any] = {} if usdm_time_ms is None else {"e": "bookTicker"}
    fields |= {"u": last_id, "s": symbol}
    for price, size, level in (("b", "B", view.bids[0]), ("a", "A", view.asks[0])):
        fields[price] = pad(level.price, scale.price)
        fields[size] = pad(level.size, scale.size)
    if usdm_time_ms is not None:
        fields |= {"T": usdm_time_ms, "E": usdm_time_ms}
    return orjson.dumps(fields)


def format_trade(trade: TradeMessage, scale: Scale, *, usdm: bool, aggregated: bool) -> bytes:
    """Return a `trade`, or an `aggTrade` of this trade alone; `m` is true when the taker sold.

    Raise `UnmappableError` where the recorded id is no integer. Trades are not joined by order,
    which a recording does not tell, so that `a`, `f` and `l` of an `aggTrade` are one id.
    """
    number = trade_number(trade.trade_id, BINANCE_USDM if usdm else BINANCE_SPOT)
    price, size = pad(trade.price, scale.price), pad(trade.size, scale.size)
    time_ms = trade.time_us // 1000
    fields: dict[str, Any] = {"e": "aggTrade" if aggregated else "trade", "E": time_ms}
    if aggregated and usdm:
        fields |= {"a": number, "s": trade.symbol}
    else:
        fields |= {"s": trade.symbol, "a" if aggregated else "t": number}
    fields |= {"p": price, "q": size}
    if aggregated:
        fields |= {"f": number, "l": number}
    fields |= {"T": time_ms}
    if usdm and not aggregated:
        fields["X"] = "MARKET"
    fields["m"] = trade.side == "sell"
    if not usdm:
        fields["M"] = True
    return orjson.dumps(fields)


def format_shutdown(time_ms: int) -> bytes:
    """Return the event that spot sends before it closes a connection."""
    return orjson.dumps({"e": "serverShutdown", "E": time_ms})


def parse_message(frame: Frame) -> list[Message]:
    """Return what a frame of a stream says, wrapped or not; raise `FrameError` if it is none."""
    fields = as_object(load(frame, MESSAGE_LIMIT_BYTES), "a message")
    if "stream" in fields and "data" in fields:
        fields = as_object(fields["data"], "data")
    if "error" in fields or ("code" in fields and "msg" in fields):
        return [_refused(fields)]
    if "result" in fields:
        return [Acknowledged("", request_id=_request_id(fields))]
    event = fields.get("e", "")
    if event == "depthUpdate":
        return [_book(fields)]
    if event in ("trade", "aggTrade"):
        return [_trade(fields, "a" if event == "aggTrade" else "t")]
    return [Other(as_text(event, "e") or "bookTicker")]


def _refused(fields: dict[str, Any]) -> Refused:
    error = as_object(fields.get("error", fields), "error")
    return Refused(str(error.get("code", "")), str(error.get("msg", "")), _request_id(fields))


def _request_id(fields: dict[str, Any]) -> RequestId:
    request_id = fields.get("id")
    if request_id is None or isinstance(request_id, str):
        return request_id
    return as_integer(request_id, "id")


def _book(fields: dict[str, Any]) -> BookMessage:
    return BookMessage(
        as_text(fields.get("s"), "s"),
        False,
        levels_of(fields.get("b"), "b"),
        levels_of(fields.get("a"), "a"),
        time_us=1000 * as_integer(fields.get("E"), "E"),
        first_id=as_integer(fields.get("U"), "U"),
        last_id=as_integer(fields.get("u"), "u"),
        previous_id=optional_integer(fields.get("pu"), "pu"),
    )


def _trade(fields: dict[str, Any], id_field: str) -> TradeMessage:
    price, size = traded(fields.get("p"), fields.get("q"))
    maker_bought = fields.get("m")
    if not isinstance(maker_bought, bool):
        msg = f"m must be true or false; found {str(maker_bought)[:60]!r}"
        raise FrameError(msg)
    return TradeMessage(
        as_text(fields.get("s"), "s"),
        str(as_integer(fields.get(id_field), id_field)),
        price,
        size,
        "sell" if maker_bought else "buy",
        time_us=1000 * as_integer(fields.get("T"), "T"),
    )


def parse_depth_answer(answer: Frame, symbol: str) -> BookMessage:
    """Return the snapshot of a REST depth answer, its `lastUpdateId` as `last_id`.

    Spot sends no time with it. Raise `FrameError` for anything else.
    """
    fields = as_object(load(answer, MESSAGE_LIMIT_BYTES), "a depth answer")
    event_ms = optional_integer(fields.get("E"), "E")
    return BookMessage(
        symbol,
        True,
        levels_of(as_array(fields.get("bids"), "bids"), "bids"),
        levels_of(as_array(fields.get("asks"), "asks"), "asks"),
        time_us=None if event_ms is None else 1000 * event_ms,
        last_id=as_integer(fields.get("lastUpdateId"), "lastUpdateId"),
    )
