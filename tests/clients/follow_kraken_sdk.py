"""Follow a symbol with python-kraken-sdk: books, each checked by the client with its checksum."""

import argparse
import asyncio
from datetime import datetime
from typing import Any

from kraken.spot import SpotClient, SpotOrderBookClient
from kraken.spot.websocket import SpotWSClientBase
from saying import begin, say, say_book, websocket_url


def time_ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


async def follow(arguments: argparse.Namespace) -> None:
    SpotClient.URL = arguments.url
    SpotWSClientBase.WS_URL = websocket_url(arguments.url)

    def show(pair: str, message: dict[str, Any]) -> None:
        if "error" in message:
            say("error", text=message["error"])
            return
        book = client.get(pair=pair)
        # Levels are {price: (size, time)}.
        bids, asks = (
            [(price, of[0]) for price, of in book[side].items()] for side in ("bid", "ask")
        )
        say_book(time_ms(message["data"][0]["timestamp"]), bids, asks)

    client = SpotOrderBookClient(depth=arguments.depth, callback=show)
    await client.start()
    say("ready")
    await client.add_book(pairs=[arguments.symbol])
    while not client.exception_occur:
        await asyncio.sleep(0.1)
    say("error", text="the client has ended with an exception")


if __name__ == "__main__":
    asyncio.run(follow(begin(__doc__)))
