"""Names of instruments on each venue, and what a venue has no honest name for."""

from collections.abc import Callable, Iterable

from exchanges.wire import UnmappableError
from orderflow.instruments import Instrument

BINANCE_SPOT, BINANCE_USDM, KRAKEN = "Binance spot", "Binance USD-M", "Kraken"
_V1_NAMES = {"BTC": "XBT", "DOGE": "XDG"}
_USDM_QUOTES = ("USDT", "USDC")


def binance_symbol(instrument: Instrument) -> str:
    """Return the name on Binance spot, BTCUSDT; raise `UnmappableError` for no spot pair."""
    _require_spot(instrument, BINANCE_SPOT)
    return f"{instrument.base}{instrument.quote}"


def binance_usdm_symbol(instrument: Instrument) -> str:
    """Return the name on Binance USD-M, `BTCUSDT` or `BTCUSDT_220527`.

    Raise `UnmappableError` for spot, for options and for what is settled in a coin. Sizes there
    are in base currency: multiply contracts by the contract value (`exchanges.decimals.multiply`).
    """
    kind = instrument.kind
    if kind not in ("swap", "futures") or instrument.quote not in _USDM_QUOTES:
        msg = (
            f"{BINANCE_USDM} has swaps and futures settled in {' or '.join(_USDM_QUOTES)}; "
            f"{instrument.name} is {_described(instrument)}: publish it as OKX"
        )
        raise UnmappableError(msg, BINANCE_USDM, instrument.name)
    pair = f"{instrument.base}{instrument.quote}"
    return pair if kind == "swap" else f"{pair}_{instrument.name.split('-', 2)[2]}"


def kraken_symbol(instrument: Instrument) -> str:
    """Return the name on Kraken v2, BTC/USDT; raise `UnmappableError` for what is no spot pair."""
    _require_spot(instrument, KRAKEN)
    return f"{instrument.base}/{instrument.quote}"


def kraken_v1_symbol(instrument: Instrument) -> str:
    """Return the name on Kraken v1, where BTC is XBT and DOGE is XDG; errors as in v2."""
    _require_spot(instrument, KRAKEN)
    base, quote = instrument.base, instrument.quote
    return f"{_V1_NAMES.get(base, base)}/{_V1_NAMES.get(quote, quote)}"


def _require_spot(instrument: Instrument, venue: str) -> None:
    if instrument.kind != "spot":
        msg = (
            f"{venue} has spot pairs alone; {instrument.name} is {_described(instrument)}: publish "
            "it as OKX, or as Binance USD-M where it is settled in USDT or USDC"
        )
        raise UnmappableError(msg, venue, instrument.name)


def _described(instrument: Instrument) -> str:
    if instrument.kind == "spot":
        return "a spot pair"
    settled = instrument.quote if instrument.linear else instrument.base
    return f"of kind {instrument.kind}, settled in {settled}"


def by_symbol(
    instruments: Iterable[Instrument], name: Callable[[Instrument], str]
) -> dict[str, Instrument]:
    """Return instruments by their names on a venue; raise `UnmappableError` where two share one."""
    found: dict[str, Instrument] = {}
    for instrument in instruments:
        symbol = name(instrument)
        if symbol in found:
            msg = (
                f"{found[symbol].name} and {instrument.name} would both be {symbol}: publish one "
                "of them"
            )
            raise UnmappableError(msg, symbol, instrument.name)
        found[symbol] = instrument
    return found


def trade_number(trade_id: str | None, venue: str) -> int:
    """Return a recorded trade id as the integer the venue wants, or raise `UnmappableError`."""
    if trade_id and len(trade_id) <= 18 and trade_id.isascii() and trade_id.isdigit():
        return int(trade_id)
    msg = (
        f"{venue} has integers of at most 18 digits as trade ids; found {str(trade_id)[:60]!r}: "
        "number the trades, or publish them as OKX"
    )
    raise UnmappableError(msg, venue, trade_id)
