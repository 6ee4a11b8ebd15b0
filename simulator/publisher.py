"""Publish a store as an exchange: read it as it grows, and send what each row became."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from exchanges.wire import UnmappableError
from messaging.notification import Listener
from messaging.watch import Watch
from orderflow.errors import OrderflowError
from simulator.faults import Faults, Send
from simulator.market import BookStep, Market, Step
from simulator.segments import StoreError
from simulator.store_reader import instruments_in
from simulator.venue import Venue

logger = logging.getLogger(__name__)

BREATH_SECONDS = 0.005
"""Longest stretch of rows without a look at the sockets."""
PATIENCE_SECONDS = 0.05
"""How long a burst pauses for clients that read, but not as fast as rows are sent.

Between the first pause and the bound one that does not read gets a few pieces: so many pauses.
"""
SPIN_SECONDS = 0.0005
"""So much of that pause is spent looking whether they have taken what they were sent."""
RETRY_SECONDS = 5.0
"""How long an instrument whose store cannot be read is left alone."""


class Publisher:
    """One exchange made of one store.

    An instrument that has no form on the exchange, or whose store cannot be read, is said once and
    leaves the others alone. `watch` says when to look into the store, `contract_values` are those
    of swaps and futures, by name, and `say` takes what a person should know. Without `faults` rows
    go straight to the venue.
    """

    def __init__(
        self,
        venue: Venue,
        store: Path,
        *,
        watch: Watch | None = None,
        contract_values: dict[str, str] | None = None,
        faults: Faults | None = None,
        say: Callable[[str], None] = logger.warning,
    ) -> None:
        self.watch = watch or Watch(Listener())
        self.venue = venue
        self.store = store
        self.markets: dict[str, Market] = {}
        self.symbols: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self._contract_values = contract_values or {}
        self._faults = faults
        self._send_step: Send = partial(faults.send, self._send) if faults else self._send
        self._say = say
        self._retry_at: dict[str, float] = {}
        self.has_looked = asyncio.Event()
        """Set when all that was stored has been read once."""
        self._began = time.monotonic()

    async def run(self) -> None:
        """Read and send for ever."""
        seconds = asyncio.ensure_future(self._each_second())
        try:
            await self.watch.run(self.look)
        finally:
            seconds.cancel()
            for market in self.markets.values():
                market.close()

    async def _each_second(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.venue.second()

    async def look(self) -> bool:
        """Read what is new in the store and send it; return whether there was anything."""
        self._discover()
        found = any([await self._read(market) for market in list(self.markets.values())])
        self.has_looked.set()
        return found

    def _discover(self) -> None:
        now = time.monotonic()
        there = instruments_in(self.store)
        for name in self.markets.keys() - set(there):
            path = self.store / name
            msg = f"{path} has been removed; it is published again when there is another one"
            self._give_up(self.markets[name], StoreError(msg, path), 0.0)
        for name in there:
            if name not in self.markets and now >= self._retry_at.get(name, 0.0):
                self.markets[name] = Market(self.store, name, self._contract_values.get(name))

    async def _read(self, market: Market) -> bool:
        """Send what is new of an instrument; it is taken in once its past has been read."""
        found = False
        try:
            while (steps := market.read()) is not None:
                found = True
                while not self._send_burst(market, steps):
                    await self._breathe()
            if market.rows and market.name not in self.symbols:
                self.symbols[market.name] = self.venue.add(market)
                self.refused.pop(market.name, None)
                if self._faults:
                    self._faults.joined(market)
                logger.info("publishing %s as %s", market.name, self.symbols[market.name])
        except StoreError as error:
            self._give_up(market, error, RETRY_SECONDS)
        except OrderflowError as error:  # it has no form here, and never will
            self._give_up(market, error, float("inf"))
        return found

    def _send_burst(self, market: Market, steps: Iterator[Step]) -> bool:
        """Send rows for as long as the sockets need not be looked at; return whether all are."""
        end, hub = time.monotonic() + BREATH_SECONDS, self.venue.hub
        is_known = market.name in self.symbols
        # What faults do to a frame, they do to one as it is written.
        with contextlib.nullcontext() if self._faults else hub.burst():
            for step in steps:
                if is_known:
                    self._send_step(market, step)
                if hub.wants_pause or time.monotonic() > end:
                    return False
        return True

    async def _breathe(self) -> None:
        """Look at the sockets, and wait a moment for clients that are slower than the rows."""
        hub = self.venue.hub
        began = time.monotonic()
        await asyncio.sleep(0)
        while hub.wants_pause and not hub.is_calm():
            waited = time.monotonic() - began
            if waited > PATIENCE_SECONDS:
                break
            # The first looks come without a pause, which is a millisecond at least.
            await asyncio.sleep(0 if waited < SPIN_SECONDS else 0.001)
        hub.wants_pause = False

    def _send(self, market: Market, step: Step) -> None:
        if isinstance(step, BookStep):
            self.venue.book(market, step)
            return
        try:
            self.venue.trade(market, step)
        except UnmappableError as error:
            if not market.counts["trades_unmappable"]:
                self._say(f"trades of {market.name} are left out: {error}")
            market.counts["trades_unmappable"] += 1

    def _give_up(self, market: Market, error: OrderflowError, seconds: float) -> None:
        """Leave an instrument alone; who followed it must begin anew, and so all are closed."""
        if self.refused.get(market.name) != str(error):
            self._say(f"{market.name} is not published: {error}")
        self.refused[market.name] = str(error)
        self._retry_at[market.name] = time.monotonic() + seconds
        del self.markets[market.name]
        market.close()
        if self.symbols.pop(market.name, None):
            self.venue.remove(market)
            self.venue.hub.close_all("the store of an instrument cannot be read", "store")

    def status(self) -> dict[str, Any]:
        """Say who is connected, what was sent and read, how far behind, and what could not be."""
        hub, seconds = self.venue.hub, time.monotonic() - self._began
        now_ms = int(time.time() * 1000)
        return {
            "exchange": self.venue.name,
            "store": str(self.store),
            "seconds": seconds,
            "clients": len(hub.connections),
            "clients_accepted": hub.accepted,
            "clients_closed": dict(hub.closed),
            "frames_sent": hub.frames_sent,
            "bytes_sent": hub.bytes_sent,
            "frames_per_second": hub.frames_sent / seconds,
            "most_behind_bytes": max((c.behind_bytes for c in hub.connections), default=0),
            "subscriptions": {str(topic): len(topic.members) for topic in self.venue.live_topics()},
            "instruments": {
                name: {
                    "symbol": self.symbols.get(name),
                    "rows": market.rows,
                    "last_seq": market.last_seq,
                    "row_id": market.row_id,
                    "time_ms": market.ts,
                    "clock_behind_ms": now_ms - market.ts,
                    "reliable": market.reliable,
                    "ended": market.ended,
                    "counts": dict(market.counts),
                }
                for name, market in self.markets.items()
            },
            "refused": self.refused,
            "faults": self._faults.status() if self._faults else None,
            "watch": self.watch.status(),
        }
