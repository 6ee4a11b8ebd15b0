"""Follow a symbol with unicorn-binance-local-depth-cache: books."""

import argparse
import asyncio
import logging

from saying import begin, say, say_book, websocket_url
from unicorn_binance_local_depth_cache import BinanceLocalDepthCacheManager
from unicorn_binance_rest_api import BinanceRestApiManager

EXCHANGES = {"spot": "binance.com", "usdm": "binance.com-futures"}


def staying(url: str) -> property:
    """Return an attribute that stays: the constructor sets the exchange's URLs, and calls them."""
    return property(lambda _: url, lambda *_: None)


def manager(arguments: argparse.Namespace) -> BinanceLocalDepthCacheManager:
    url = arguments.url
    stay = {"API_URL": staying(f"{url}/api"), "FUTURES_URL": staying(f"{url}/fapi")}
    exchange = EXCHANGES[arguments.client]
    rest = type("LocalRest", (BinanceRestApiManager,), stay)(
        exchange=exchange, warn_on_update=False
    )
    made = BinanceLocalDepthCacheManager(
        exchange=exchange,
        depth_cache_update_interval=arguments.speed_ms,
        ubra_manager=rest,
        warn_on_update=False,
    )
    made.ubwa.websocket_base_uri = f"{websocket_url(arguments.url)}/"
    return made


async def follow(made: BinanceLocalDepthCacheManager, market: str, shown: int) -> None:
    """Say each book, in the loop that writes them, so that none is seen half written."""
    said = None
    while True:
        cache = made.depth_caches[market]
        if made.is_depth_cache_synchronized(market) and cache["last_update_id"] != said:
            said = cache["last_update_id"]
            sides = (made.get_bids(market, shown), made.get_asks(market, shown))
            say_book(said, *sides)
        await asyncio.sleep(0.001)


async def begin_following(arguments: argparse.Namespace) -> None:
    made = manager(arguments)
    market = arguments.symbol.lower()
    say("ready")
    made.create_depthcache(markets=market)
    stream = None
    while stream is None:
        await asyncio.sleep(0.01)
        streams = list(made.dc_streams.values())
        stream = made.ubwa.get_event_loop_by_stream_id(streams[0]["stream_id"]) if streams else None
    writing = asyncio.run_coroutine_threadsafe(follow(made, market, arguments.shown), stream)
    await asyncio.wrap_future(writing)


def is_of_the_client(record: logging.LogRecord) -> bool:
    """Return whether a warning is about its work: it also warns of this machine's load."""
    return "High CPU usage" not in record.getMessage()


if __name__ == "__main__":
    logging.getLogger("unicorn_binance_websocket_api").addFilter(is_of_the_client)
    asyncio.run(begin_following(begin(__doc__)))
