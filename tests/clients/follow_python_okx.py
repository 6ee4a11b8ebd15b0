"""Follow a symbol with python-okx, over TLS: its frames, made into books by the rule of OKX."""

import argparse
import asyncio
import json
from decimal import Decimal
from typing import Any

from okx.websocket.WsPublicAsync import WsPublicAsync
from saying import begin, say, say_book, say_trade, websocket_url


class Frames:
    """Keep the book of the frames: the client itself keeps none."""

    def __init__(self) -> None:
        self.sides: dict[str, dict[Decimal, tuple[str, str]]] = {"bids": {}, "asks": {}}
        self.last_id: int | None = None

    def take(self, frame: str) -> None:
        message = json.loads(frame)
        if message.get("event") == "error":
            say("error", text=frame)
        elif message.get("event"):
            say("ready")
        elif message["arg"]["channel"] == "trades":
            for trade in message["data"]:
                id_, price, size, side = (trade[name] for name in ("tradeId", "px", "sz", "side"))
                say_trade(id_, price, size, side, int(trade["ts"]))
        else:
            self._book(message["action"], message["data"][0])

    def _book(self, action: str, entry: dict[str, Any]) -> None:
        if action == "snapshot":
            for side in self.sides.values():
                side.clear()
        elif entry["prevSeqId"] != self.last_id:
            say("error", text=f"prevSeqId {entry['prevSeqId']} does not follow {self.last_id}")
        self.last_id = entry["seqId"]
        for name, side in self.sides.items():
            for price, size, *_ in entry[name]:
                side[Decimal(price)] = (price, size)
                if not Decimal(size):
                    del side[Decimal(price)]
        bids, asks = (sorted(side.items()) for side in self.sides.values())
        say_book(self.last_id, [level for _, level in reversed(bids)], [level for _, level in asks])


async def follow(arguments: argparse.Namespace) -> None:
    frames = Frames()
    client = WsPublicAsync(url=f"{websocket_url(arguments.url)}/ws/v5/public")
    receiving = await client.start()
    wanted = [{"channel": name, "instId": arguments.symbol} for name in ("books", "trades")]
    await client.subscribe(wanted, frames.take)
    await receiving
    say("error", text="the connection was closed")


if __name__ == "__main__":
    asyncio.run(follow(begin(__doc__)))
