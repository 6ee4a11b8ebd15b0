"""Serve the store over HTTP: `GET /replay?instrument=&from=&to=` gives a range of time as NDJSON.

To a client that takes zstd the frames go out as they are stored. Files are read, and frames
decoded, in threads of its own, a piece at a time, and the next piece when the client has taken
the one before.
"""

import asyncio
import logging
import re
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from aiohttp import ClientConnectionError, web

from orderflow.errors import NothingToReplayError, OrderflowError, UsageError
from orderflow.instruments import check_instrument, nearest_first
from orderflow.times import parse_moment, to_nanoseconds
from simulator.segments import StoreError
from simulator.time_range import TimeRange, stored_between

logger = logging.getLogger(__name__)

PARAMETERS = ("instrument", "from", "to")
STALL_SECONDS = 300.0
READERS = 2
RESET = struct.pack("ii", 1, 0)  # linger, for no time
_REFUSED = re.compile(r"\s*q\s*=\s*0(\.0*)?\s*")


class Replay:
    """Answer `GET /replay` from a store.

    `counts` has the answers begun, the bytes sent, and the answers broken off, by their reason:
    `disconnected` by the client, `stalled` (it took nothing for `stall_seconds`), `damaged` (the
    store), `shutdown`.
    """

    def __init__(self, store: Path, *, stall_seconds: float = STALL_SECONDS) -> None:
        self._store = store
        self._stall_seconds = stall_seconds
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="replay")
        self._open: set[asyncio.Transport] = set()
        self.counts: Counter[str] = Counter()

    def add_to(self, app: web.Application) -> None:
        """Serve `/replay` from an application; its end breaks off what is being sent."""
        app.router.add_get("/replay", self.answer, allow_head=False)
        app.on_shutdown.append(self._break_off_all)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send the rows that are asked for; errors are JSON, `{"error": "a sentence"}`."""
        try:
            instrument, wanted = self._asked_for(request)
        except UsageError as error:
            return _refusal(400, error)
        except NothingToReplayError as error:
            return _refusal(404, error)
        packed = takes_zstd(request.headers.get("Accept-Encoding", ""))
        with closing(stored_between(self._store / instrument, wanted, packed=packed)) as pieces:
            try:
                first = await self._next(pieces)
            except (StoreError, OSError) as error:
                self.counts["damaged"] += 1
                logger.error("%s can't be answered: %s", request.path_qs, error)
                msg = "the store can't be read; the log of this server says where and why"
                return _refusal(500, OrderflowError(msg))
            return await self._send(request, first, pieces, packed=packed)

    async def _send(
        self, request: web.Request, first: bytes | None, pieces: Iterator[bytes], *, packed: bool
    ) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_type = "application/x-ndjson"
        response.headers["Cache-Control"] = "no-store"
        response.headers["Vary"] = "Accept-Encoding"
        if packed and first is not None:  # nothing at all is no frame
            response.headers["Content-Encoding"] = "zstd"
        self.counts["answers"] += 1
        piece, transport = first, request.transport
        if transport is None:
            self.counts["disconnected"] += 1
            return response
        self._open.add(transport)
        try:
            await response.prepare(request)
            while piece is not None:
                async with asyncio.timeout(self._stall_seconds):
                    await response.write(piece)
                self.counts["bytes"] += len(piece)
                piece = None  # not kept while the next one is read
                piece = await self._next(pieces)
            await response.write_eof()
        except TimeoutError:
            self._break_off(transport, "stalled")
            logger.warning("%s: took nothing for %g s", request.path_qs, self._stall_seconds)
        except (ConnectionError, ClientConnectionError):
            self.counts["disconnected"] += transport in self._open
        except (StoreError, OSError) as error:
            self._break_off(transport, "damaged")
            logger.error("%s broken off: %s", request.path_qs, error)
        finally:
            self._open.discard(transport)
        return response

    async def _next(self, pieces: Iterator[bytes]) -> bytes | None:
        """Read the next piece in a thread, and let that end even when nobody waits any more."""
        reading = asyncio.get_running_loop().run_in_executor(self._readers, next, pieces, None)
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            await asyncio.wait([reading])
            raise

    def _break_off(self, transport: asyncio.Transport, reason: str) -> None:
        """Reset a connection, so that no client takes what it has got for the whole answer."""
        self.counts[reason] += 1
        self._open.discard(transport)
        if transport.is_closing():
            return
        # Without this it would be closed in order, which to HTTP/1.0 is the end of the answer.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        transport.abort()

    async def _break_off_all(self, _: web.Application) -> None:
        for transport in list(self._open):
            self._break_off(transport, "shutdown")

    def _asked_for(self, request: web.Request) -> tuple[str, TimeRange]:
        """Return the instrument and the range of a request.

        Raise `UsageError` for what can't be meant, `NothingToReplayError` for an instrument that
        is not stored.
        """
        said = request.query
        for name in said:
            if name not in PARAMETERS or len(said.getall(name)) > 1:
                found = request.query_string
                msg = f"/replay takes instrument, from and to, each once; found {found!r}"
                raise UsageError(msg, name)
        start, end = (parse_time(n, said[n]) if n in said else None for n in ("from", "to"))
        if start is not None and end is not None and start >= end:
            msg = f"from must be before to; found {said['from']} and {said['to']}"
            raise UsageError(msg, "from", said["from"])
        return self._instrument(said.get("instrument")), TimeRange(start, end)

    def _instrument(self, asked: str | None) -> str:
        stored = _stored_instruments(self._store)
        names = ", ".join(nearest_first(asked, stored) if asked else stored)
        if asked is not None:
            check_instrument(asked)
            if asked in stored:
                return asked
            msg = f"{asked} is not stored here; there is {names or 'nothing yet'}"
            raise NothingToReplayError(msg, asked)
        if not stored:
            msg = "nothing is stored here yet; ask again when a fetch has begun"
            raise NothingToReplayError(msg)
        if len(stored) > 1:
            msg = f"the store has several instruments, say which with instrument=: {names}"
            raise UsageError(msg, "instrument")
        return stored[0]


def takes_zstd(accepted: str) -> bool:
    """Return whether an `Accept-Encoding` names zstd and does not refuse it with `q=0`."""
    for choice in accepted.lower().split(","):
        name, _, weight = choice.partition(";")
        if name.strip() == "zstd":
            return not _REFUSED.fullmatch(weight)
    return False


def parse_time(name: str, text: str) -> int:
    """Read a time as ISO-8601 or as a number, such as ms, to ms since the epoch, rounded up.

    Numbers are seconds, ms, µs or ns by their magnitude, as everywhere; eight digits are a day.
    Raise `UsageError`, calling it `name`, when it is not a time.
    """
    is_day = text.isdecimal() and len(text) == 8
    nanoseconds = None if is_day else to_nanoseconds(text)
    if nanoseconds is None:
        return parse_moment(name, text)
    return -(-nanoseconds // 10**6)


def _stored_instruments(store: Path) -> list[str]:
    try:
        return sorted(path.name for path in store.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []


def _refusal(status: int, error: OrderflowError) -> web.Response:
    return web.json_response({"error": str(error)}, status=status)
