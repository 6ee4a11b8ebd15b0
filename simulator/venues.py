"""The exchanges that can be published."""

from collections.abc import Callable

from orderflow.errors import UsageError
from simulator.binance_venue import BinanceUsdmVenue, BinanceVenue
from simulator.connections import Hub
from simulator.kraken_venue import KrakenVenue
from simulator.okx_venue import OkxVenue
from simulator.venue import Settings, Venue

VENUES: dict[str, Callable[[Hub, Settings], Venue]] = {
    "okx": OkxVenue,
    "binance": BinanceVenue,
    "binance-usdm": BinanceUsdmVenue,
    "kraken": KrakenVenue,
}


def new_venue(exchange: str, settings: Settings) -> Venue:
    """Return an exchange by its name on the command line; raise `UsageError` for another name."""
    if exchange not in VENUES:
        msg = f"the exchanges are {', '.join(VENUES)}; found {exchange!r}"
        raise UsageError(msg, "EXCHANGE", exchange)
    return VENUES[exchange](Hub(), settings)
