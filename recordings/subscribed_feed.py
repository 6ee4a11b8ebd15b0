"""A connection with its subscriptions: what was asked, what was answered, what is held back."""

import asyncio
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from exchanges.messages import Acknowledged, Notice, Refused, TradeMessage
from exchanges.wire import FrameError
from recordings import okx_feed
from recordings.feed_connection import FeedConnection
from recordings.followed_instrument import FollowedInstrument, SentBook

MOST_UNREADABLE = 100
"""A connection on which so many frames in a row could not be read is given up."""
HELD_BYTES = 64_000_000
"""About how many bytes a new connection holds back while the old one goes on."""
ACK_SECONDS = 15.0
SNAPSHOT_SECONDS = 30.0
"""A snapshot that was asked for and does not come is asked for again after so long."""

Content = SentBook | TradeMessage
_INSTRUMENT = re.compile(r"instId:([A-Za-z0-9._-]+)")


@dataclass
class _Held:
    """What came on a new connection of one instrument before the old one was let go."""

    content: list[tuple[Content, int]] = field(default_factory=list)
    snapshot_id: int | None = None
    has_snapshot: bool = False


class SubscribedFeed:
    """One connection to OKX, on which the book and trades of instruments are subscribed.

    What comes is followed, one message after the other, by `on_content`, unless `held_back`: then
    it waits for `release`. `on_unreadable` is told of frames that make no sense, `on_refused` of
    instruments that the exchange does not know.
    """

    def __init__(
        self,
        connection: FeedConnection,
        on_content: Callable[["SubscribedFeed", Content, int], None],
        on_unreadable: Callable[[str, int], None],
        on_refused: Callable[[str, str], None],
        *,
        held_back: bool,
    ) -> None:
        self._connection = connection
        self._on_content, self._on_unreadable = on_content, on_unreadable
        self._on_refused = on_refused
        self._held: dict[str, _Held] | None = {} if held_back else None
        self._held_bytes = 0
        self._request_id = 0
        self._asked_by: dict[str, str] = {}  # instruments by the id of the request
        self._unanswered: dict[str, float] = {}  # requests by id, and when they were sent
        self._acked: set[tuple[str, str]] = set()
        self._snapshot_asked: dict[str, float] = {}
        self._unreadable = 0
        self.closes_soon = asyncio.Event()
        self.began = asyncio.get_running_loop().time()
        self.task = asyncio.create_task(connection.read(self._take))

    @property
    def last_frame(self) -> int:
        """Return when the last frame came, ns since the epoch."""
        return self._connection.last_frame

    # -- asking

    def subscribe(self, instruments: Iterable[str]) -> None:
        """Ask for the book and the trades of instruments."""
        for name in instruments:
            self._ask(name, okx_feed.CHANNELS, "subscribe")

    def ask_snapshot(self, name: str) -> None:
        """Ask for a book once more, unless that was done just now; a snapshot comes with it."""
        now = asyncio.get_running_loop().time()
        if now - self._snapshot_asked.get(name, -SNAPSHOT_SECONDS) < SNAPSHOT_SECONDS:
            return
        self._snapshot_asked[name] = now
        for operation in ("unsubscribe", "subscribe"):
            self._ask(name, okx_feed.CHANNELS[:1], operation)

    def _ask(self, name: str, channels: Sequence[str], operation: str) -> None:
        self._request_id += 1
        own_id = str(self._request_id)
        self._asked_by[own_id] = name

        def sent() -> None:
            self._unanswered[own_id] = asyncio.get_running_loop().time()

        self._connection.request(okx_feed.request(operation, name, channels, own_id), sent)

    def check(self) -> None:
        """Give the connection up when a request is not answered."""
        now = asyncio.get_running_loop().time()
        late = [i for i, sent in self._unanswered.items() if now - sent > ACK_SECONDS]
        if late:
            name = self._asked_by[late[0]]
            self.fail(f"no answer to a request for {name} within {ACK_SECONDS:g} s")

    def fail(self, why: str) -> None:
        """End the connection; `task` returns why."""
        self._connection.fail(why)

    async def close(self) -> None:
        """Close the connection, and wait until nothing more comes of it."""
        await self._connection.close()
        await asyncio.wait([self.task])

    # -- what comes

    def _take(self, frame: str | None, received: int) -> None:
        try:
            if frame is None:
                msg = "a binary frame, and there are none in this feed"
                raise FrameError(msg)
            messages = okx_feed.read(frame)
        except FrameError as error:
            self._count_unreadable(str(error), received)
            return
        self._unreadable = 0
        for message in messages:
            if isinstance(message, SentBook | TradeMessage):
                self._take_content(message, received)
            elif isinstance(message, Acknowledged):
                self._unanswered.pop(str(message.request_id), None)
                self._acked.add((message.channel, message.symbol))
            elif isinstance(message, Refused):
                self._take_refusal(message)
            elif isinstance(message, Notice) and okx_feed.closes_soon(message.code):
                self.closes_soon.set()

    def _count_unreadable(self, why: str, received: int) -> None:
        self._unreadable += 1
        self._on_unreadable(why, received)
        if self._unreadable >= MOST_UNREADABLE:
            self.fail(f"{MOST_UNREADABLE} frames in a row could not be read, the last: {why}")

    def _take_refusal(self, refused: Refused) -> None:
        name = self._asked_by.get(str(refused.request_id))
        if name is None and (found := _INSTRUMENT.search(refused.text)):
            name = found[1]
        if name in self._asked_by.values() and okx_feed.is_unknown(refused.code):
            self._unanswered = {
                i: sent for i, sent in self._unanswered.items() if self._asked_by[i] != name
            }
            self._on_refused(str(name), refused.text)
        else:
            self.fail(f"the exchange refused a request: {refused.code} {refused.text[:200]}")

    def _take_content(self, content: Content, received: int) -> None:
        name = symbol_of(content)
        if isinstance(content, SentBook) and content.message.snapshot:
            self._snapshot_asked.pop(name, None)
        if self._held is None:
            self._on_content(self, content, received)
            return
        held = self._held.setdefault(name, _Held())
        held.content.append((content, received))
        if isinstance(content, SentBook):
            self._held_bytes += len(content.bids) + len(content.asks)
            if content.message.snapshot:
                held.has_snapshot, held.snapshot_id = True, content.message.last_id
        self._held_bytes += 600
        if self._held_bytes > HELD_BYTES:  # the sequence shows what is missing then
            self._held, self._held_bytes = {}, 0

    # -- taking over from the connection before

    def has_joined(self, followed: FollowedInstrument) -> bool:
        """Return whether nothing more of an instrument is needed from the connection before."""
        held = (self._held or {}).get(followed.name)
        if held is None or not held.has_snapshot:
            return False
        if any((channel, followed.name) not in self._acked for channel in okx_feed.CHANNELS):
            return False
        known, joined = followed.last_id, held.snapshot_id
        return not followed.reliable or known is None or joined is None or joined <= known

    def release(self, joined: set[str]) -> None:
        """Hold nothing back any more; a snapshot of one that has `joined` is not needed."""
        waiting, self._held = self._held or {}, None
        for name, held in waiting.items():
            for content, received in held.content:
                is_snapshot = isinstance(content, SentBook) and content.message.snapshot
                if not (is_snapshot and name in joined):
                    self._on_content(self, content, received)


def symbol_of(content: Content) -> str:
    """Return the instrument that a message is about."""
    return content.message.symbol if isinstance(content, SentBook) else content.symbol
