"""The ticks of real recordings, or of their first part, and what strategies make of them."""

from functools import cache

from real_recordings import DATA

from db_interpreter import DBInterpreter
from trading.messages import Alert, TickEvent, TradingSignal
from trading.sessions import Strategy
from trading.ticks import TickMaker

RECORDINGS = {
    "spot": ("binance_spot_ethusdt_20240808", "ETH-USDT"),
    "futures": ("binance_usdm_btcusdt_20230404", "BTC-USDT-SWAP"),
}


def open_recording(name: str, end_ms: int | None = None) -> DBInterpreter:
    """Open a recording, as if it ended before `end_ms`."""
    stem, instrument = RECORDINGS[name]
    return DBInterpreter(DATA / f"{stem}.db", instrument, end_ms=end_ms)


def ticks_of(name: str, end_ms: int | None = None) -> list[TickEvent]:
    """Return the ticks of a recording, read as if it ended before `end_ms`."""
    stream = open_recording(name, end_ms).batches()
    return list(TickMaker("run", RECORDINGS[name][1], depth=20).ticks(stream))


all_ticks = cache(ticks_of)


def decisions_of(strategy: Strategy, ticks: list[TickEvent]) -> list[TradingSignal | Alert]:
    """Return all that a strategy decides at these ticks."""
    assert hasattr(strategy, "on_tick")
    return [made for tick in ticks for made in strategy.on_tick(tick)]
