"""Answers of Binance's REST, spot and USD-M, that a client of a book asks for."""

from collections.abc import Iterable
from typing import Any

import orjson

from exchanges.binance import scale_of, sides
from exchanges.decimals import decimals_of, multiply, pad
from exchanges.depth import DepthView
from exchanges.symbols import binance_symbol, binance_usdm_symbol
from exchanges.wire import FrameError
from orderflow.instruments import Instrument

USED_WEIGHT_HEADER = "X-MBX-USED-WEIGHT"
"""unicorn-binance-local-depth-cache needs it, an integer, beside an RFC 1123 `Date`."""
MOST_SPOT_LEVELS = 5000
USDM_LIMITS = (5, 10, 20, 50, 100, 500, 1000)
PING = b"{}"
_NO_LIMIT = "0.00000000"
_MOST = "9000000000.00000000"


def parse_depth_limit(text: str | None, *, usdm: bool) -> int:
    """Return how many levels a side a depth request wants; raise `FrameError` with Binance's code.

    Spot gives 100 unless asked and at most 5,000, USD-M 500 and only the numbers it knows.
    """
    if text is None:
        return 500 if usdm else 100
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        msg = "Illegal characters found in parameter 'limit'; legal range is '^[0-9]{1,20}$'."
        raise FrameError(msg, code="-1100")
    limit = int(text)
    if usdm:
        if limit not in USDM_LIMITS:
            raise FrameError(f"'{limit}' is not valid depth limit.", code="-4021")
        return limit
    return min(limit, MOST_SPOT_LEVELS) or 100


def unknown_symbol() -> FrameError:
    """Return the refusal of a symbol that is not there."""
    return FrameError("Invalid symbol.", code="-1121")


def format_rest_error(error: FrameError) -> bytes:
    """Return an error's answer; its HTTP status is 400."""
    return orjson.dumps({"code": int(error.code or "-1000"), "msg": error.text})


def format_time(time_ms: int) -> bytes:
    """Return the answer to `/api/v3/time` and `/fapi/v1/time`."""
    return orjson.dumps({"serverTime": time_ms})


def format_depth(
    view: DepthView, instrument: Instrument, last_id: int, *, usdm_time_ms: int | None = None
) -> bytes:
    """Return a depth answer; `last_id` must be the `u` of the last change that the view has.

    `usdm_time_ms` is for USD-M, which adds its times.
    """
    bids, asks = sides(view, scale_of(instrument, usdm=usdm_time_ms is not None))
    times = b"" if usdm_time_ms is None else b',"E":%d,"T":%d' % (usdm_time_ms, usdm_time_ms)
    return b'{"lastUpdateId":%d%b,"bids":%b,"asks":%b}' % (last_id, times, bids, asks)


def format_exchange_info(instruments: Iterable[Instrument], time_ms: int, *, usdm: bool) -> bytes:
    """Return an exchangeInfo; raise `UnmappableError` for an instrument the venue has no form of.

    What a recording does not tell is switched off (0 as a price limit) or very large.
    """
    symbols = [_usdm_symbol(i) if usdm else _spot_symbol(i) for i in instruments]
    return orjson.dumps(
        {
            "timezone": "UTC",
            "serverTime": time_ms,
            "rateLimits": [],
            "exchangeFilters": [],
            "symbols": symbols,
        }
    )


def _spot_symbol(instrument: Instrument) -> dict[str, Any]:
    return {
        "symbol": binance_symbol(instrument),
        "status": "TRADING",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "MARKET"],
        "icebergAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _filters(pad(instrument.tick, 8), pad(instrument.lot, 8)),
        "permissions": [],
        "permissionSets": [["SPOT"]],
    }


def _usdm_symbol(instrument: Instrument) -> dict[str, Any]:
    scale = scale_of(instrument, usdm=True)
    lot = multiply(instrument.lot, instrument.contract_value)
    return {
        "symbol": binance_usdm_symbol(instrument),
        "pair": f"{instrument.base}{instrument.quote}",
        "contractType": "PERPETUAL" if instrument.kind == "swap" else "CURRENT_QUARTER",
        "deliveryDate": 4133404800000,
        "onboardDate": 0,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": decimals_of(instrument.tick),
        "quantityPrecision": scale.size,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "filters": _filters(instrument.tick, lot),
        "orderTypes": ["LIMIT", "MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK"],
    }


def _filters(tick: str, lot: str) -> list[dict[str, str]]:
    """Return the filters, PRICE_FILTER first: cryptofeed reads the first one's tickSize."""
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": _NO_LIMIT,
            "maxPrice": _NO_LIMIT,
            "tickSize": tick,
        },
        {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": _MOST, "stepSize": lot},
    ]
