"""Faults on request: gaps, bad checksums, cut connections and more, each of them on record."""

import asyncio
import hashlib
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from exchanges.depth import DepthView
from orderflow.errors import OutputError
from simulator.connections import Connection, Hub, Topic
from simulator.fault_specs import WITHOUT_IDS, Asked, TimedFault, parse_faults
from simulator.market import BookStep, Market, Step
from simulator.venue import Venue

logger = logging.getLogger(__name__)

MOST_SHOWN = 200
"""Faults listed in `/status`, the last ones; the log has all of them."""
CHECKED_LEVELS = 10
"""Levels of a side that Kraken's checksum is of."""
JOINING = frozenset({"binance", "binance-usdm"})
JOINED = "@depth"
"""Streams that may send the rows of a second together, by the clock."""

Send = Callable[[Market, Step], None]
Frames = list[tuple[Topic, bytes]]


class FaultLog:
    """What has happened, kept for `/status`, and a JSON line each in `path` or else in the log."""

    def __init__(self, exchange: str, path: Path | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.last: deque[dict[str, Any]] = deque(maxlen=MOST_SHOWN)
        self._exchange, self._path = exchange, path
        self._descriptor: int | None = None
        if path is not None:
            try:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                self._descriptor = os.open(path, flags, 0o644)
            except OSError as error:
                msg = f"the log of faults, {path}, cannot be written ({error.strerror})"
                raise OutputError(msg, path) from error

    def add(self, kind: str, asked: str, **facts: Any) -> None:
        """Put a fault on record, with the time of the clock."""
        wall_ms = int(time.time() * 1000)
        entry = {"exchange": self._exchange, "kind": kind, "asked": asked, "wall_ms": wall_ms}
        entry |= facts
        self.counts[kind] += 1
        self.last.append(entry)
        line = orjson.dumps(entry)
        if self._descriptor is None:
            logger.info("fault %s", line.decode())
            return
        try:
            os.write(self._descriptor, line + b"\n")
        except OSError as error:
            logger.error("%s cannot be written (%s): %s", self._path, error.strerror, line.decode())


class DelayedConnection(Connection):
    """A connection whose frames all leave later, in their order."""

    def __init__(
        self, socket: web.WebSocketResponse, request: web.Request, hub: Hub, *, seconds: float
    ) -> None:
        super().__init__(socket, request, hub)
        self._seconds = seconds
        self._waiting: deque[tuple[bytes, int]] = deque()

    def send_frame(self, frame: bytes, count: int = 1) -> None:
        """Write the frame when its time has come."""
        # Each timer sends the oldest frame: timers of one moment may come in any order.
        self._waiting.append((frame, count))
        asyncio.get_running_loop().call_later(self._seconds, self._send_oldest)

    def _send_oldest(self) -> None:
        super().send_frame(*self._waiting.popleft())


class Faults:
    """The faults of one venue; they happen to what `send` and the hub are given.

    A fault of a moment waits for the first book row from then on that is sent to somebody, so that
    it shows. A drawn one that finds nobody listening is passed over.
    """

    def __init__(
        self, asked: Asked, venue: Venue, log: FaultLog, say: Callable[[str], None]
    ) -> None:
        self._asked, self._venue, self._log, self._say = asked, venue, log, say
        self._waiting = list(asked.timed)
        self._never: list[str] = []
        self._passed_over = 0
        self._began_ms: int | None = None
        self._joined_ms = 0
        self._minute = -1
        self._with_book: set[str] = set()
        self._tops: dict[str, DepthView] = {}
        self._was_reset: TimedFault | None = None
        self._row: dict[str, Any] = {}
        self._cut: set[object] = set()
        self._held: dict[object, tuple[bytes, list[Connection], dict[str, Any]]] = {}
        seed = asked.draw.seed if asked.draw else "0"
        self._keys = {
            kind: hashlib.blake2b(f"{kind} {seed}".encode(), digest_size=16).digest()
            for kind in asked.shares
        }
        self._install()

    def _install(self) -> None:
        hub, asked = self._venue.hub, self._asked
        hub.deliver = self._deliver
        for kind, ms in asked.waits_ms.items():
            if kind == "delay":
                hub.make_connection = partial(DelayedConnection, seconds=ms / 1000)
            else:
                self._venue.settings.ack_delay = ms / 1000
            self._log.add(kind, self._text_of(kind))

    def status(self) -> dict[str, Any]:
        """Say what was asked for, what has happened, and what has not, for `/status`."""
        return {
            "asked": self._asked.texts,
            "counts": dict(self._log.counts),
            "happened": list(self._log.last),
            "waiting": [fault.asked for fault in self._waiting if not fault.drawn],
            "never": self._never,
            "passed_over": self._passed_over,
        }

    def joined(self, market: Market) -> None:
        """Take note of where an instrument stands before its first row is sent."""
        self._joined_ms = max(self._joined_ms, market.ts)
        if market.row_id:
            self._with_book.add(market.name)
            self._keep_top(market)
        for fault in self._waiting.copy():
            unit, value = fault.moment
            if value <= {"ms": market.ts, "seq": market.seq}.get(unit, -1):
                self._waiting.remove(fault)
                self._never.append(fault.asked)
                self._say(
                    f"--fault {fault.asked} never happens: {market.name} was past it already "
                    "when the publisher began"
                )

    # -- faults of a moment

    def send(self, usual: Send, market: Market, step: Step) -> None:
        """Send a row as `usual` does, or with the fault that is due."""
        if self._began_ms is None:
            self._began_ms = step.ts
        self._row = {"instrument": market.name, "row_id": step.row_id, "stream_ms": step.ts}
        if isinstance(step, BookStep):
            self._send_book(usual, market, step)
        else:
            usual(market, step)
        self._row = {}

    def _send_book(self, usual: Send, market: Market, step: BookStep) -> None:
        fault = self._due(market, step)
        # One who waits for the first book is owed it whole: there is nothing before it to miss.
        if fault and market.name in self._with_book:
            self._send_with(fault, usual, market, step)
        else:
            usual(market, step)
        self._with_book.add(market.name)
        self._keep_top(market)

    def _due(self, market: Market, step: BookStep) -> TimedFault | None:
        minute = step.ts // 60_000
        if self._asked.draw and minute > self._minute:
            self._minute = minute
            drawn = self._asked.draw.faults_of(minute)
            self._waiting += [fault for fault in drawn if fault.moment.value > self._joined_ms]
        nobody = not self._venue.live_topics()
        for fault in self._waiting.copy():
            unit, value = fault.moment
            reached = {"ms": step.ts, "after": step.ts - (self._began_ms or 0), "seq": market.seq}
            if reached[unit] < value:
                continue
            if not nobody:
                return fault
            if fault.drawn:
                self._waiting.remove(fault)
                self._passed_over += 1
        return None

    def _send_with(self, fault: TimedFault, usual: Send, market: Market, step: BookStep) -> None:
        """Send a row with a fault; where nothing of it would show the fault goes on waiting."""
        if fault.kind == "reset" and fault is not self._was_reset:
            self._was_reset = fault
            step = step._replace(row_id=market.reset_ids())
            self._row["row_id"] = step.row_id
        bad_checksum = fault.kind == "bad-checksum"
        frames = self._captured(partial(usual, market, step), bad_checksum=bad_checksum)
        at_once = [topic for topic, _ in frames]
        later = self._sent_later(market, at_once)
        silent_reset = fault.kind == "reset" and not self._venue.shows_resets
        shown = bool(frames or later or silent_reset)
        if not shown or (fault.kind == "gap" and not self._would_show(market)):
            self._deliver_all(frames)
            return
        self._waiting.remove(fault)
        topics = [*at_once, *later]
        hit = {connection for topic in topics for connection in topic.members}
        if fault.kind == "gap":
            self._cut |= {topic.key for topic in later}
        elif fault.kind == "disconnect" or silent_reset:
            hit = set(self._venue.hub.connections)
            for connection in hit:
                connection.drop("fault", fault.asked)
        else:
            self._deliver_all(frames)
        named = [str(topic) for topic in topics]
        self._log.add(fault.kind, fault.asked, **self._row, clients=len(hit), topics=named)

    def _sent_later(self, market: Market, at_once: list[Topic]) -> list[Topic]:
        """Return the topics that will send a row by the clock, joined with others."""
        if self._venue.name not in JOINING or not any(market.book.row_changes()):
            return []
        topics = [topic for topic in self._venue.live_topics() if topic not in at_once]
        return [topic for topic in topics if JOINED in str(topic)]

    def _captured(self, send: Callable[[], None], *, bad_checksum: bool) -> Frames:
        hub, settings, frames = self._venue.hub, self._venue.settings, Frames()
        usual = hub.deliver
        hub.deliver = lambda topic, frame: frames.append((topic, frame))
        settings.bad_checksum = bad_checksum
        try:
            send()
        finally:
            hub.deliver = usual
            settings.bad_checksum = False
        return frames

    def _deliver_all(self, frames: Iterable[tuple[Topic, bytes]]) -> None:
        for topic, frame in frames:
            self._venue.hub.deliver(topic, frame)

    def _would_show(self, market: Market) -> bool:
        """Return whether a client could find that this row is missing, by an id or a checksum."""
        if self._venue.name not in WITHOUT_IDS:
            return True
        return self._tops.get(market.name) != market.book.view(CHECKED_LEVELS)

    def _keep_top(self, market: Market) -> None:
        if self._venue.name in WITHOUT_IDS and self._waiting:
            self._tops[market.name] = market.book.view(CHECKED_LEVELS)

    # -- faults of frames

    def _deliver(self, topic: Topic, frame: bytes) -> None:
        if topic.key in self._cut and not self._row:
            self._cut.remove(topic.key)
            return
        held = self._held.pop(topic.key, None)
        if held is None and self._is_chosen("reorder", frame):
            self._held[topic.key] = frame, list(topic.members), self._row
            return
        self._send_once_or_twice(topic, frame)
        if held is None:
            return
        late, members, row = held
        # Who has come since has got a snapshot with it.
        hit = [connection for connection in members if connection in topic.members]
        for connection in hit:
            connection.send_frame(late)
        self._log_frame("reorder", topic, row, len(hit))

    def _send_once_or_twice(self, topic: Topic, frame: bytes) -> None:
        topic.send(frame)
        if self._is_chosen("duplicate", frame):
            topic.send(frame)
            self._log_frame("duplicate", topic, self._row, len(topic.members))

    def _is_chosen(self, kind: str, frame: bytes) -> bool:
        """Return whether a frame is among the share of a kind; the same frame always is or not."""
        share = self._asked.shares.get(kind)
        if not share:
            return False
        drawn = hashlib.blake2b(frame, digest_size=4, key=self._keys[kind]).digest()
        return int.from_bytes(drawn, "big") < share * (1 << 32)

    def _log_frame(self, kind: str, topic: Topic, row: dict[str, Any], clients: int) -> None:
        asked = self._text_of(kind)
        self._log.add(kind, asked, **row, clients=clients, topics=[str(topic)])

    def _text_of(self, kind: str) -> str:
        return next(text for text in reversed(self._asked.texts) if text.startswith(kind))


def make_faults(
    texts: Iterable[str], venue: Venue, path: Path | None, say: Callable[[str], None]
) -> Faults | None:
    """Return the faults of `--fault`, logged in `path` if given; None where none are asked for.

    Raise `UsageError` for what is no fault, `OutputError` where the log cannot be written.
    """
    checksums = venue.name != "okx" or venue.settings.okx_checksums
    asked = parse_faults(texts, venue.name, checksums=checksums)
    return Faults(asked, venue, FaultLog(venue.name, path), say) if asked.texts else None
