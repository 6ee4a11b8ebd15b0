"""Answers of Kraken's REST that a client of a book asks for: pairs, assets, depth, time."""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from exchanges.decimals import pad
from exchanges.depth import DepthView
from exchanges.kraken import Scale, scale_of
from exchanges.symbols import by_symbol, kraken_symbol, kraken_v1_symbol
from exchanges.timestamps import format_rfc1123, format_rfc3339
from exchanges.wire import FrameError
from orderflow.instruments import Instrument

_FIAT = frozenset({"USD", "EUR", "GBP", "CAD", "JPY", "CHF", "AUD"})
_OLD_COINS = frozenset({"XBT", "ETH", "LTC", "XRP", "XDG", "XLM", "XMR", "ZEC", "ETC", "REP"})


def asset_key(name: str) -> str:
    """Return the key of a currency in Kraken's REST: `XXBT`, `ZUSD`, and newer ones as they are.

    `name` is v1's, XBT for BTC.
    """
    if name in _FIAT:
        return f"Z{name}"
    return f"X{name}" if name in _OLD_COINS else name


def pair_key(instrument: Instrument) -> str:
    """Return the key of a pair in Kraken's REST: `XXBTZUSD` for old pairs, else `XBTUSDT`."""
    base, quote = kraken_v1_symbol(instrument).split("/")
    keys = asset_key(base), asset_key(quote)
    return "".join(keys) if keys[0] != base and keys[1] != quote else f"{base}{quote}"


def format_asset_pairs(instruments: Iterable[Instrument], asked: str | None = None) -> bytes:
    """Return the answer to `/0/public/AssetPairs[?pair=asked]`.

    Raise `FrameError` for a pair that is not there. A pair that was asked for has the text it was
    asked by as its key, as python-kraken-sdk expects; asked for none, Kraken's own keys.
    """
    instruments = list(instruments)
    if asked is None:
        return format_answer({pair_key(i): _pair(i) for i in instruments})
    names = asked[:10_000].split(",")
    return format_answer({name: _pair(find_pair(instruments, name)) for name in names})


def find_pair(instruments: Iterable[Instrument], asked: str) -> Instrument:
    """Return the instrument that a client calls `XXBTZUSD`, `XBTUSD`, `XBT/USD` or `BTC/USD`.

    Raise `FrameError` where there is none.
    """
    names = _names(list(instruments))
    if asked not in names:
        msg = "EQuery:Unknown asset pair"
        raise FrameError(msg)
    return names[asked]


def _names(instruments: list[Instrument]) -> Mapping[str, Instrument]:
    names: dict[str, Instrument] = {}
    for name in (
        pair_key,
        kraken_v1_symbol,
        kraken_symbol,
        lambda i: kraken_v1_symbol(i).replace("/", ""),
    ):
        names |= by_symbol(instruments, name)
    return names


def _pair(instrument: Instrument) -> dict[str, Any]:
    scale = scale_of(instrument)
    base, quote = kraken_v1_symbol(instrument).split("/")
    return {
        "altname": f"{base}{quote}",
        "wsname": f"{base}/{quote}",
        "aclass_base": "currency",
        "base": asset_key(base),
        "aclass_quote": "currency",
        "quote": asset_key(quote),
        "lot": "unit",
        "cost_decimals": scale.price,
        "pair_decimals": scale.price,
        "lot_decimals": scale.size,
        "lot_multiplier": 1,
        "leverage_buy": [],
        "leverage_sell": [],
        "fees": [],
        "fees_maker": [],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": instrument.lot,
        "costmin": "0",
        "tick_size": instrument.tick,
        "status": "online",
    }


def format_assets(instruments: Iterable[Instrument]) -> bytes:
    """Return the answer to `/0/public/Assets`: the currencies of the pairs."""
    names = {name for i in instruments for name in kraken_v1_symbol(i).split("/")}
    result = {
        asset_key(name): {
            "aclass": "currency",
            "altname": name,
            "decimals": 10,
            "display_decimals": 5,
            "status": "enabled",
        }
        for name in sorted(names)
    }
    return format_answer(result)


def format_depth(key: str, view: DepthView, scale: Scale, time_ms: int) -> bytes:
    """Return the answer to `/0/public/Depth`; every level has the time of the book, in seconds."""
    sides = {
        name: [
            [pad(level.price, scale.price), pad(level.size, scale.size), time_ms // 1000]
            for level in levels
        ]
        for name, levels in (("asks", view.asks), ("bids", view.bids))
    }
    return format_answer({key: sides})


def format_time(seconds: int) -> bytes:
    """Return the answer to `/0/public/Time`."""
    return format_answer({"unixtime": seconds, "rfc1123": format_rfc1123(seconds)})


def format_system_status(seconds: int) -> bytes:
    """Return the answer to `/0/public/SystemStatus`."""
    timestamp = format_rfc3339(1_000_000 * seconds).replace(".000000", "")
    return format_answer({"status": "online", "timestamp": timestamp})


def format_answer(result: object) -> bytes:
    """Return a REST answer that says yes."""
    return orjson.dumps({"error": [], "result": result})


def format_rest_error(error: FrameError) -> bytes:
    """Return a REST answer that says no, `EQuery:Unknown asset pair`; its HTTP status is 200."""
    return orjson.dumps({"error": [error.text]})
