"""A client of Kraken's books by the documented rules, with nothing of the project in it."""

import json
from binascii import crc32
from decimal import Decimal
from typing import Any

from aiohttp import ClientWebSocketResponse

Top = tuple[list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]


class KrakenFollower:
    """Keep one book of a socket: each level is written, then the side is cut to the depth.

    `checked` has, for each frame that carried a checksum, whether that of the book was the same.
    With `inserts_first` the levels of an update are taken in the wrong order.
    """

    def __init__(
        self,
        socket: ClientWebSocketResponse,
        symbol: str,
        depth: int,
        *,
        version: int,
        inserts_first: bool = False,
    ) -> None:
        self.socket, self.symbol, self.depth, self.version = socket, symbol, depth, version
        self.checked: list[bool] = []
        self.answers: list[dict[str, Any]] = []
        self._inserts_first = inserts_first
        # Price and size as they are on the wire, by the value of the price.
        self._sides: tuple[dict[Decimal, tuple[str, str]], ...] = ({}, {})
        self._pings = 0

    async def subscribe(self) -> None:
        """Ask for the book, and take the answer."""
        if self.version == 2:
            params = {"channel": "book", "symbol": [self.symbol], "depth": self.depth}
            await self.socket.send_json({"method": "subscribe", "params": params})
        else:
            book = {"name": "book", "depth": self.depth}
            request = {"event": "subscribe", "pair": [self.symbol], "subscription": book}
            await self.socket.send_json(request)
        await self.catch_up()

    async def catch_up(self) -> None:
        """Take all that was sent so far: up to the answer to a ping sent now."""
        self._pings += 1
        name, number = ("method", "req_id") if self.version == 2 else ("event", "reqid")
        await self.socket.send_json({name: "ping", number: self._pings})
        while True:
            text = await self.socket.receive_str(timeout=20)
            # Numbers stay the text they are: their zeros count in the checksum.
            frame = json.loads(text, parse_float=str, parse_int=str)
            if isinstance(frame, dict) and frame.get(name) == "pong":
                assert frame[number] == str(self._pings)
                return
            self._take(frame)

    def _take(self, frame: Any) -> None:
        if self.version == 2 and frame.get("channel") == "book":
            (book,) = frame["data"]
            asks, bids = (
                [(level["price"], level["qty"]) for level in book[side]]
                for side in ("asks", "bids")
            )
            self._write(bids, asks, snapshot=frame["type"] == "snapshot")
            self._check(book["checksum"])
        elif self.version == 1 and isinstance(frame, list):
            fields = {name: value for part in frame[1:-2] for name, value in part.items()}
            snapshot = "as" in fields
            bids, asks = (
                [(price, size) for price, size, _ in fields.get(name, [])]
                for name in (("bs", "as") if snapshot else ("b", "a"))
            )
            self._write(bids, asks, snapshot=snapshot)
            if not snapshot:
                self._check(fields["c"])
        else:
            self.answers.append(frame)

    def _write(
        self, bids: list[tuple[str, str]], asks: list[tuple[str, str]], *, snapshot: bool
    ) -> None:
        for side, levels, is_bids in zip(self._sides, (bids, asks), (True, False), strict=True):
            if snapshot:
                side.clear()
            if self._inserts_first:
                levels = sorted(levels, key=lambda level: not Decimal(level[1]))  # noqa: PLW2901
            for price, size in levels:
                side.pop(Decimal(price), None)
                if Decimal(size):
                    side[Decimal(price)] = price, size
                for beyond in sorted(side, reverse=is_bids)[self.depth :]:
                    del side[beyond]

    def _check(self, checksum: str) -> None:
        bids, asks = self._sides
        best = [asks[price] for price in sorted(asks)[:10]]
        best += [bids[price] for price in sorted(bids, reverse=True)[:10]]
        digits = "".join(text.replace(".", "").lstrip("0") for level in best for text in level)
        self.checked.append(crc32(digits.encode()) == int(checksum))

    def book(self) -> Top:
        """Return bids and asks, best first."""
        bids, asks = (
            [(price, Decimal(side[price][1])) for price in sorted(side, reverse=is_bids)]
            for side, is_bids in zip(self._sides, (True, False), strict=True)
        )
        return bids, asks
