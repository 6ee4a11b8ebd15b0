"""Record an exchange: connect, follow, hand rows to the writer, connect again when it ends."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random

from aiohttp import ClientSession

from recordings import okx_feed
from recordings.feed_connection import IDLE_SECONDS, PONG_SECONDS, ConnectError, FeedConnection
from recordings.followed_instrument import FollowedInstrument, Item, SentBook
from recordings.pauses import FIRST_SECONDS, Backoff, RateLimit
from recordings.recorder_rows import RecorderEvent
from recordings.row_writer import RowWriter
from recordings.subscribed_feed import Content, SubscribedFeed, symbol_of

TICK_SECONDS = 0.25
HAND_OVER_SECONDS = 25.0
"""How long a new connection may take to catch up with one that is going to be closed."""
MOST_WAITING = 10_000
"""Most events kept for a writer that lags."""


@dataclass(frozen=True)
class RecorderOptions:
    """Where to connect, and for how long; None is until it is stopped."""

    url: str = okx_feed.DEFAULT_URL
    seconds: float | None = None
    idle_seconds: float = IDLE_SECONDS
    pong_seconds: float = PONG_SECONDS
    first_wait: float = FIRST_SECONDS


class Recorder:
    """Record instruments from one exchange until it is stopped.

    `say` takes a line for a person: of each loss when it is met. After `run`, `refused` has the
    instruments that the exchange does not know, with its words, and `why_not` why there has never
    been a connection, None where there was one.
    """

    def __init__(
        self, instruments: Sequence[str], options: RecorderOptions, say: Callable[[str], None]
    ) -> None:
        self.refused: dict[str, str] = {}
        self.why_not: str | None = "it was stopped before"
        self.instruments = {
            name: FollowedInstrument(name, okx_feed.levels_text, say) for name in instruments
        }
        self._options, self._say = options, say
        self._backoff = Backoff(Random(), options.first_wait)  # noqa: S311 (only spreads the tries)
        self._connects = RateLimit(*okx_feed.CONNECTS)
        self._dropping: set[str] = set()
        self._waiting: list[RecorderEvent] = []
        self._feeds: list[SubscribedFeed] = []
        self._stop_asked = False
        self._stop: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: RowWriter | None = None

    # -- from other threads, and from signals

    def stop(self) -> None:
        """Ask the recorder to end; may be called from a signal handler or another thread."""
        self._stop_asked = True
        self._soon(lambda: None)

    def writer_changed(self, name: str | None) -> None:
        """Take the news that rows of `name` are written again; None says the writer has failed."""
        if name is None:
            self.stop()
        else:
            self._soon(lambda: self._ask_snapshot(name))

    def _soon(self, act: Callable[[], None]) -> None:
        loop, stop = self._loop, self._stop
        if loop is None or stop is None:
            return

        def in_loop() -> None:
            act()
            if self._stop_asked:
                stop.set()

        with suppress(RuntimeError):  # the loop has ended in between
            loop.call_soon_threadsafe(in_loop)

    # -- the life of a recorder

    def run(self, writer: RowWriter) -> None:
        """Record into `writer`, until `stop` or for the seconds that the options say.

        Raise what the writer's thread has failed with.
        """
        self._writer = writer
        try:
            asyncio.run(self._run())
        finally:
            now = time.time_ns()
            for followed in self.instruments.values():
                self._write(followed, followed.tick(now, last=True) + followed.end_spells(now))
        if writer.failure:
            raise writer.failure

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._soon(lambda: None)  # it may have been stopped before there was a loop
        if self._options.seconds is not None:
            self._loop.call_later(self._options.seconds, self._stop.set)
        ticking = asyncio.create_task(self._tick())
        try:
            async with ClientSession() as session:
                await self._record(session, self._stop)
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)

    async def _record(self, session: ClientSession, stop: asyncio.Event) -> None:
        feed: SubscribedFeed | None = None
        began = time.time_ns()
        while not stop.is_set():
            if feed is None:
                feed = await self._connect(session, stop, began)
                continue
            await _first_of(feed.task, stop.wait(), feed.closes_soon.wait())
            if feed.task.done():
                began = feed.last_frame
                await self._lose(feed, feed.task.result(), stop)
                feed = None
            elif not stop.is_set():
                feed = await self._hand_over(session, feed, stop)
        for open_feed in list(self._feeds):
            await self._close(open_feed)

    async def _connect(
        self, session: ClientSession, stop: asyncio.Event, began: int
    ) -> SubscribedFeed | None:
        """Return a connection, or None after a try that failed and the wait that follows."""
        try:
            return await self._open(session)
        except ConnectError as error:
            if self.why_not is not None:
                self.why_not = str(error)
            for followed in self._wanted():
                if not followed.is_losing("disconnected"):
                    followed.disconnect(began, str(error))
            await self._wait(str(error), stop)
            return None

    async def _open(self, session: ClientSession, *, held_back: bool = False) -> SubscribedFeed:
        options = self._options
        await asyncio.sleep(self._connects.take(asyncio.get_running_loop().time()))
        connection = await FeedConnection.open(
            session,
            options.url,
            okx_feed.PING,
            RateLimit(*okx_feed.REQUESTS),
            options.idle_seconds,
            options.pong_seconds,
        )
        self.why_not = None
        feed = SubscribedFeed(
            connection, self._follow, self._note_unreadable, self._refuse, held_back=held_back
        )
        self._feeds.append(feed)
        feed.subscribe(followed.name for followed in self._wanted())
        return feed

    async def _lose(self, feed: SubscribedFeed, why: str, stop: asyncio.Event) -> None:
        self._feeds.remove(feed)
        for followed in self._wanted():
            followed.disconnect(feed.last_frame, why)
        self._backoff.succeeded(asyncio.get_running_loop().time() - feed.began)
        if not stop.is_set():
            await self._wait(why, stop)

    async def _wait(self, why: str, stop: asyncio.Event) -> None:
        seconds = self._backoff.wait()
        self._say(f"{why}; connecting again in {seconds:.1f} s")
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), seconds)

    async def _hand_over(
        self, session: ClientSession, old: SubscribedFeed, stop: asyncio.Event
    ) -> SubscribedFeed | None:
        """Open the next connection, let it catch up, and only then let go of the old one."""
        try:
            new = await self._open(session, held_back=True)
        except ConnectError as error:
            self._say(str(error))
            await _first_of(old.task, stop.wait(), asyncio.sleep(1.0))
            return old
        until = asyncio.get_running_loop().time() + HAND_OVER_SECONDS
        while not (stop.is_set() or old.task.done() or new.task.done()):
            if all(new.has_joined(followed) for followed in self._wanted()):
                break
            if asyncio.get_running_loop().time() > until:
                break
            await asyncio.sleep(0.02)
        if new.task.done() and not old.task.done():
            self._feeds.remove(new)
            await self._wait(new.task.result(), stop)
            return old
        await self._close(old)
        joined = {followed.name for followed in self._wanted() if new.has_joined(followed)}
        for followed in self._wanted():
            if followed.name not in joined:
                followed.disconnect(old.last_frame, "closed by the exchange as announced")
        new.release(joined)
        return new

    async def _close(self, feed: SubscribedFeed) -> None:
        await feed.close()
        self._feeds.remove(feed)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.time_ns()
            for followed in self.instruments.values():
                self._write(followed, followed.tick(now))
            waiting, self._waiting = self._waiting, []
            for event in waiting:
                self._write_event(event)
            for feed in self._feeds:
                feed.check()

    # -- what comes

    def _wanted(self) -> list[FollowedInstrument]:
        return [of for name, of in self.instruments.items() if name not in self.refused]

    def _follow(self, feed: SubscribedFeed, content: Content, received: int) -> None:
        followed = self.instruments.get(symbol_of(content))
        if followed is None:
            self._note_unreadable(
                f"a message of {symbol_of(content)[:60]}, not asked for", received
            )
            return
        if isinstance(content, SentBook):
            self._write(followed, followed.book(content, received))
            if followed.wants_snapshot:
                feed.ask_snapshot(followed.name)
        else:
            self._write(followed, followed.trade(content, received))

    def _note_unreadable(self, why: str, received: int) -> None:
        for followed in self._wanted():
            if followed.tally("malformed_frames", received, why):
                self._say(f"{followed.name}: a frame that can't be read: {why}")

    def _refuse(self, name: str, text: str) -> None:
        if name in self.refused:
            return
        self.refused[name] = text
        self._say(f"{name}: refused by the exchange: {text[:200]}")
        if not self._wanted():
            self.stop()

    def _ask_snapshot(self, name: str) -> None:
        for feed in self._feeds:
            feed.ask_snapshot(name)

    # -- what is written

    def _write(self, followed: FollowedInstrument, items: Sequence[Item]) -> None:
        for item in items:
            if isinstance(item, RecorderEvent):
                self._write_event(item)
            elif not self._offer_row(followed, item):
                received = item.received or time.time_ns()
                if followed.name not in self._dropping:
                    self._dropping.add(followed.name)
                    self._say(f"{followed.name}: rows are dropped, the disk is too slow")
                followed.lose("rows_dropped", received)

    def _offer_row(self, followed: FollowedInstrument, row: Item) -> bool:
        """Return whether the writer took a row; once it lagged, it must catch up first."""
        writer = self._opened
        if followed.name in self._dropping:
            if not writer.has_room:
                return False
            self._dropping.remove(followed.name)
            self._ask_snapshot(followed.name)
        return writer.offer(row)

    def _write_event(self, event: RecorderEvent) -> None:
        if not self._opened.offer(event):
            self._waiting = [*self._waiting, event][-MOST_WAITING:]

    @property
    def _opened(self) -> RowWriter:
        if self._writer is None:
            msg = "a Recorder writes inside `run`"
            raise ValueError(msg)
        return self._writer


async def _first_of(task: "asyncio.Task[str]", *others: object) -> None:
    """Wait for the first of them; the task goes on, the others are given up."""
    waiting = [asyncio.ensure_future(other) for other in others]  # type: ignore[call-overload]
    try:
        await asyncio.wait([task, *waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for other in waiting:
            other.cancel()
