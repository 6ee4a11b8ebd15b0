"""OKX v5: frames of the public WebSocket and the answers of its REST, as bytes."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from exchanges.depth import DepthView, write_sides
from exchanges.level_form import LevelForm, Sides
from exchanges.messages import (
    Acknowledged,
    BookMessage,
    Message,
    Notice,
    Other,
    Refused,
    TradeMessage,
    levels_of,
    traded,
)
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

PONG = b"pong"
DEPTHS = {"books": 400, "books5": 5, "bbo-tbt": 1}
"""Book channels and their levels a side; all but `books` send full pictures without an action."""
CHANNELS = frozenset({*DEPTHS, "trades"})
"""Channels that can be made out of a recording. `tickers` wants volumes of 24 hours."""
LOGIN_CHANNELS = frozenset({"books-l2-tbt", "books50-l2-tbt"})
"""Channels that OKX gives to some of its logged-in clients alone."""
FIRST_PREVIOUS_ID = -1
CLOSING_SOON = "64008"
"""Code of the notice that the exchange closes the connection in 30 s."""
UNKNOWN_CHANNEL = "60018"
"""Code of the refusal of a channel or instrument that does not exist."""
LEVEL_FORM = LevelForm(b'["', b'","', b'","0","', b'"]')
"""A level is `["px","sz","0","orders"]`."""
_OPERATIONS = ("subscribe", "unsubscribe")
_DECODER = json.JSONDecoder()


class Channel(NamedTuple):
    """One `arg` of a request: a channel of an instrument, not yet known to exist."""

    channel: str
    instrument: str

    def __str__(self) -> str:
        return f"{self.channel}:{self.instrument}"


@dataclass(frozen=True, slots=True)
class Ping:
    """The text `ping`, to be answered by `PONG`."""


@dataclass(frozen=True, slots=True)
class Request:
    """Subscribe to channels, or unsubscribe: each is answered by itself."""

    operation: str
    channels: tuple[Channel, ...]
    request_id: RequestId = None


def parse_request(frame: Frame) -> Ping | Request:
    """Return what a client wants; raise `FrameError`, with OKX's code, for what OKX refuses.

    Answer the error with `format_error`; the socket stays open. Whether the channels exist is the
    caller's to see: see `refusal`.
    """
    if frame in ("ping", b"ping"):
        return Ping()
    try:
        fields = as_object(load(frame, REQUEST_LIMIT_BYTES), "a request")
    except FrameError as error:
        raise _illegal(frame, error) from error
    request_id = fields.get("id")
    if request_id is not None and not is_request_id(request_id):
        raise _illegal(frame)
    operation = fields.get("op")
    if operation == "login":
        msg = "this endpoint has public channels alone, and no login"
        raise FrameError(msg, code="60009", text="Login failed.", request_id=request_id)
    if operation not in _OPERATIONS:
        text = f"Invalid op: {str(operation)[:60]}"
        raise FrameError(text, code="60012", request_id=request_id)
    try:
        channels = tuple(map(_channel, as_array(fields.get("args"), "args")))
    except FrameError as error:
        raise _illegal(frame, error, request_id) from error
    if not channels:
        raise _illegal(frame, None, request_id)
    return Request(str(operation), channels, request_id)


def _channel(arg: object) -> Channel:
    fields = as_object(arg, "an arg")
    return Channel(
        as_text(fields.get("channel"), "channel"), as_text(fields.get("instId"), "instId")
    )


def _illegal(
    frame: Frame, cause: FrameError | None = None, request_id: RequestId = None
) -> FrameError:
    beginning = frame[:200] if isinstance(frame, str) else frame[:200].decode(errors="replace")
    # A lone surrogate could not be sent back.
    beginning = beginning.encode(errors="replace").decode()
    text = f"Illegal request: {beginning}"
    return FrameError(str(cause or text), code="60012", text=text, request_id=request_id)


def refusal(channel: Channel, known: Iterable[str]) -> FrameError | None:
    """Return OKX's refusal of a channel, None where it is in `CHANNELS` and the name `known`."""
    if channel.channel in LOGIN_CHANNELS:
        return FrameError(f"{channel.channel} wants a login", code="60011", text="Please log in.")
    if channel.channel in CHANNELS and channel.instrument in known:
        return None
    asked = f"{channel.channel[:100]},instId:{channel.instrument[:100]}"
    text = (
        f"Wrong URL or channel:{asked} doesn't exist. Please use the "
        "correct URL, channel and parameters referring to API document."
    )
    return FrameError(text, code=UNKNOWN_CHANNEL)


def format_ack(
    operation: str, channel: Channel, connection_id: str, request_id: RequestId = None
) -> bytes:
    """Return the yes to one channel of a request; it goes out before the channel's snapshot."""
    fields = {
        "event": operation,
        "arg": {"channel": channel.channel, "instId": channel.instrument},
        "connId": connection_id,
    }
    return orjson.dumps(_with_id(fields, request_id))


def format_error(error: FrameError, connection_id: str, request_id: RequestId = None) -> bytes:
    """Return the frame that says an error; `request_id` is that of the error unless given."""
    fields = {
        "event": "error",
        "msg": error.text,
        "code": error.code or "60012",
        "connId": connection_id,
    }
    return orjson.dumps(
        _with_id(fields, request_id if request_id is not None else error.request_id)
    )


def _with_id(fields: dict[str, Any], request_id: RequestId) -> dict[str, Any]:
    return fields if request_id is None else {"id": request_id, **fields}


def format_book(
    channel: Channel,
    sides: Sides,
    *,
    action: str | None,
    time_ms: int,
    seq_id: int | None,
    prev_seq_id: int | None = None,
    checksum: int | None = 0,
) -> bytes:
    """Return a book frame: `action` is snapshot or update, None for the channels of full pictures.

    `sides` are of `LEVEL_FORM`. A snapshot's `prev_seq_id` is `FIRST_PREVIOUS_ID`; a keep-alive
    repeats the id with no levels. `checksum` is 0 since June 2026, `okx_checksum` of the book
    before; fields that are None are left out.
    """
    bids, asks = sides
    numbers = checksum, seq_id, prev_seq_id
    if None in numbers:
        template = _book_template(channel, action, tuple(number is None for number in numbers))
        return template % (asks, bids, time_ms, *(n for n in numbers if n is not None))
    return _book_template(channel, action) % (asks, bids, time_ms, *numbers)


@lru_cache(maxsize=1 << 10)  # the same for every frame of a channel
def _book_template(
    channel: Channel, action: str | None, left_out: tuple[bool, ...] = (False, False, False)
) -> bytes:
    said = b"" if action is None else b',"action":"%b"' % action.encode()
    names = (b'"checksum"', b'"seqId"', b'"prevSeqId"')
    numbers = [b",%b:%%d" % name for name, out in zip(names, left_out, strict=True) if not out]
    head = (_arg(channel) + said).replace(b"%", b"%%")
    return b'{%b,"data":[{"asks":%%b,"bids":%%b,"ts":"%%d"%b}]}' % (head, b"".join(numbers))


def _arg(channel: Channel) -> bytes:
    arg = {"channel": channel.channel, "instId": channel.instrument}
    return b'"arg":' + orjson.dumps(arg)


def format_trades(channel: Channel, trades: Sequence[TradeMessage]) -> bytes:
    """Return a trades frame; the side is the taker's."""
    data = []
    for trade in trades:
        fields: dict[str, Any] = {
            "instId": trade.symbol,
            "tradeId": trade.trade_id or "",
            "px": trade.price,
            "sz": trade.size,
            "side": trade.side,
            "ts": str(trade.time_us // 1000),
        }
        if trade.count is not None:
            fields["count"] = str(trade.count)
        if trade.seq_id is not None:
            fields["seqId"] = trade.seq_id
        data.append(fields)
    return b"{" + _arg(channel) + b',"data":' + orjson.dumps(data) + b"}"


def parse_message(frame: Frame) -> list[Message]:
    """Return what a frame of the exchange says; raise `FrameError` when it is none of OKX."""
    if frame in ("pong", b"pong"):
        return [Other("pong")]
    fields = as_object(load(frame, MESSAGE_LIMIT_BYTES), "a message")
    if "event" in fields:
        return [_event(fields)]
    arg = as_object(fields.get("arg"), "arg")
    channel = as_text(arg.get("channel"), "channel")
    data = [as_object(entry, "an entry of data") for entry in as_array(fields.get("data"), "data")]
    if channel == "trades":
        return [_trade(entry) for entry in data]
    if channel in DEPTHS or channel in LOGIN_CHANNELS:
        symbol = as_text(arg.get("instId"), "instId")
        action = fields.get("action", "snapshot")
        if action not in ("snapshot", "update"):
            msg = f"action must be snapshot or update; found {str(action)[:60]!r}"
            raise FrameError(msg)
        return [_book(entry, symbol, channel, action == "snapshot") for entry in data]
    return [Other(channel)]


def _event(fields: dict[str, Any]) -> Message:
    event = as_text(fields["event"], "event")
    request_id = fields.get("id")
    if request_id is not None and not is_request_id(request_id):
        msg = "id must be text or an integer"
        raise FrameError(msg)
    if event == "error":
        return Refused(str(fields.get("code", "")), str(fields.get("msg", "")), request_id)
    if event == "notice":
        return Notice(str(fields.get("code", "")), str(fields.get("msg", "")))
    if event not in _OPERATIONS:
        return Other(event)
    arg = as_object(fields.get("arg"), "arg")
    return Acknowledged(event, str(arg.get("channel", "")), str(arg.get("instId", "")), request_id)


def _book(fields: dict[str, Any], symbol: str, channel: str, snapshot: bool) -> BookMessage:
    return BookMessage(
        symbol,
        snapshot,
        levels_of(fields.get("bids"), "bids"),
        levels_of(fields.get("asks"), "asks"),
        time_us=1000 * as_integer(fields.get("ts"), "ts"),
        last_id=optional_integer(fields.get("seqId"), "seqId"),
        previous_id=optional_integer(fields.get("prevSeqId"), "prevSeqId"),
        checksum=optional_integer(fields.get("checksum"), "checksum"),
        channel=channel,
    )


def sides_as_sent(frame: Frame) -> tuple[str, str]:
    """Return the text of the bids and of the asks in a book frame, character for character.

    Raise `FrameError` unless the frame has just one of each; `parse_message` reads it first.
    """
    text = frame if isinstance(frame, str) else frame.decode()
    return _side_as_sent(text, "bids"), _side_as_sent(text, "asks")


def _side_as_sent(text: str, side: str) -> str:
    found = [match.end() for match in re.finditer(rf'"{side}"\s*:\s*', text)]
    if len(found) != 1:
        msg = f"a book frame has {side} once; found {len(found)} times"
        raise FrameError(msg)
    _, end = _DECODER.raw_decode(text, found[0])
    return text[found[0] : end]


def _trade(fields: dict[str, Any]) -> TradeMessage:
    price, size = traded(fields.get("px"), fields.get("sz"))
    side = as_text(fields.get("side"), "side")
    if side not in ("buy", "sell"):
        msg = f"side must be buy or sell; found {side[:60]!r}"
        raise FrameError(msg)
    return TradeMessage(
        as_text(fields.get("instId"), "instId"),
        as_text(fields.get("tradeId"), "tradeId"),
        price,
        size,
        side,
        time_us=1000 * as_integer(fields.get("ts"), "ts"),
        seq_id=optional_integer(fields.get("seqId"), "seqId"),
        count=optional_integer(fields.get("count"), "count"),
    )


_TYPES = {"spot": "SPOT", "swap": "SWAP", "futures": "FUTURES", "option": "OPTION"}


def format_instruments(
    instruments: Iterable[Instrument], kind: str | None, underlying: str | None = None
) -> bytes:
    """Return the answer to `/api/v5/public/instruments?instType=kind[&uly=underlying]`.

    Types that there are none of, and unknown ones, answer with empty `data`. Times of listing and
    expiry are not known to a recording: empty text, OKX's own for what does not apply.
    """
    data = [
        _instrument(instrument)
        for instrument in instruments
        if _TYPES[instrument.kind] == kind
        and underlying in (None, "", f"{instrument.base}-{instrument.quote}")
    ]
    return format_answer(data)


def _instrument(instrument: Instrument) -> dict[str, str]:
    spot = instrument.kind == "spot"
    base, quote = instrument.base, instrument.quote
    return {
        "instType": _TYPES[instrument.kind],
        "instId": instrument.name,
        "uly": "" if spot else f"{base}-{quote}",
        "instFamily": "" if spot else f"{base}-{quote}",
        "baseCcy": base if spot else "",
        "quoteCcy": quote if spot else "",
        "settleCcy": "" if spot else (quote if instrument.linear else base),
        "ctVal": "" if spot else instrument.contract_value,
        "ctMult": "" if spot else "1",
        "ctValCcy": "" if spot else (base if instrument.linear else quote),
        "ctType": "" if spot else ("linear" if instrument.linear else "inverse"),
        "tickSz": instrument.tick,
        "lotSz": instrument.lot,
        "minSz": instrument.lot,
        "state": "live",
        "listTime": "",
        "expTime": "",
        "optType": "",
        "stk": "",
        "lever": "",
        "alias": "",
    }


def format_book_answer(view: DepthView, time_ms: int, seq_id: int) -> bytes:
    """Return the answer to `/api/v5/market/books?instId=…&sz=…`."""
    bids, asks = write_sides(view, LEVEL_FORM)
    levels = b'"asks":%b,"bids":%b,"ts":"%d","seqId":%d' % (asks, bids, time_ms, seq_id)
    return b'{"code":"0","msg":"","data":[{%b}]}' % levels


def format_answer(data: Sequence[object]) -> bytes:
    """Return a REST answer that says yes."""
    return orjson.dumps({"code": "0", "msg": "", "data": list(data)})


def format_refusal(code: str, text: str) -> bytes:
    """Return a REST answer that says no, such as 51001 for an instrument that does not exist."""
    return orjson.dumps({"code": code, "msg": text, "data": []})
