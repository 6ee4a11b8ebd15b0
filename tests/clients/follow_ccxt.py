"""Follow a symbol with ccxt.pro: books and trades."""

import argparse
import asyncio
from typing import Any

import ccxt.pro as ccxtpro
from ccxt import BaseError
from saying import begin, say, say_book, say_trade, websocket_url


def exchange(arguments: argparse.Namespace) -> Any:
    """Return the exchange with its URLs turned to the local server, nothing else changed."""
    made = getattr(ccxtpro, arguments.client)()
    api: dict[str, Any] = made.urls["api"]
    url, ws = arguments.url, websocket_url(arguments.url)
    if arguments.client == "okx":
        api |= {"rest": url, "ws": f"{ws}/ws/v5"}
    elif arguments.client == "kraken":
        api["public"] = url
        api["ws"] = {name: f"{ws}/v2" if "V2" in name else ws for name in api["ws"]}
    else:
        # ccxt knows a socket of Binance spot by the word stream in its URL.
        api["ws"] |= {"spot": f"{ws}/stream/ws", "linear": f"{ws}/ws"}
        hosts = {name: there for name, there in api.items() if isinstance(there, str)}
        api |= {name: f"{url}/{there.split('/', 3)[3]}" for name, there in hosts.items()}
    return made


def key(client: str, book: dict[str, Any]) -> int | None:
    """Return the id of the last update, on Kraken its time."""
    number = book["timestamp"] if client == "kraken" else book["nonce"]
    return None if number is None else int(number)


async def follow_books(made: Any, arguments: argparse.Namespace) -> None:
    while True:
        try:
            book = await made.watch_order_book(arguments.symbol, arguments.depth)
            sides = (book[side][: arguments.shown] for side in ("bids", "asks"))
            say_book(key(arguments.client, book), *sides)
        except BaseError as error:
            say("error", text=repr(error))
            # An error that ccxt has kept is raised without a wait, and again until its socket
            # reads on, which it could not do without this wait.
            await asyncio.sleep(0.01)


async def follow_trades(made: Any, arguments: argparse.Namespace) -> None:
    while True:
        try:
            for trade in await made.watch_trades(arguments.symbol):
                said = (trade[name] for name in ("id", "price", "amount", "side", "timestamp"))
                say_trade(*said)
        except BaseError as error:
            say("error", text=repr(error))
            await asyncio.sleep(0.01)


async def follow(arguments: argparse.Namespace) -> None:
    made = exchange(arguments)
    await made.load_markets()
    say("ready")
    await asyncio.gather(follow_books(made, arguments), follow_trades(made, arguments))


if __name__ == "__main__":
    asyncio.run(follow(begin(__doc__)))
