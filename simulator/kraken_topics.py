"""What Kraken's two sockets share: a pair with its fixed decimals, its books and its trades."""

from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from exchanges import kraken, kraken_v1
from exchanges.checksums import KRAKEN_LEVELS
from exchanges.kraken import Scale
from exchanges.level_form import LevelForm, Sides
from exchanges.messages import TradeMessage
from exchanges.symbols import kraken_symbol, kraken_v1_symbol
from simulator.connections import Connection, Topic
from simulator.market import BookStep, Market
from simulator.venue import Venue

MOST_RECENT_TRADES = 50
"""How many trades a client gets that asks for a snapshot of them."""


class Key(NamedTuple):
    """A channel of one pair on one of the sockets; `symbol` is that socket's, `depth` a book's."""

    version: int
    channel: str
    symbol: str
    depth: int | None

    def __str__(self) -> str:
        depth = "" if self.depth is None else f"-{self.depth}"
        return f"v{self.version} {self.channel}{depth}:{self.symbol}"


class Pair:
    """A market under its names on Kraken, with decimals that stay as they are.

    Clients compute checksums from numbers printed with the decimals of AssetPairs, which they ask
    for once, so that these, the frames and the checksums sent must be of the same decimals.
    """

    def __init__(self, market: Market) -> None:
        self.market = market
        self.recent: deque[TradeMessage] = deque(maxlen=MOST_RECENT_TRADES)
        self.recent_numbered: deque[TradeMessage] = deque(maxlen=MOST_RECENT_TRADES)
        self.topics: dict[Key, KrakenTopic] = {}
        self.fix_decimals()
        self.symbol = kraken_symbol(self.instrument)
        self.v1_symbol = kraken_v1_symbol(self.instrument)

    def fix_decimals(self) -> None:
        """Take the decimals seen so far; sizes have 8 at least, and on v1 prices 5."""
        self.instrument = self.market.instrument
        self.knows_book = bool(self.market.row_id)
        self.scale = kraken.scale_of(self.instrument)
        self.v1_scale = kraken_v1.scale_of(self.instrument)

    def topic(self, key: Key, venue: Venue, make: "Make") -> "KrakenTopic":
        """Return the topic of a channel, made where it is new."""
        if key not in self.topics:
            self.topics[key] = make(key, self, venue)
        topic = venue.topics[key] = self.topics[key]
        return topic

    @property
    def is_covered(self) -> bool:
        """Return whether all decimals seen so far are within the fixed ones."""
        price, size = self.market.decimals
        return price <= self.scale.price and size <= self.scale.size


class KrakenTopic(Topic):
    """A channel of a pair; a client that follows any gets `heartbeat` when there is nothing new."""

    heartbeat: bytes

    def __init__(self, key: Key, pair: Pair, venue: Venue) -> None:
        super().__init__(key, venue.hub)
        self.pair = pair
        self.venue = venue

    @abstractmethod
    def snapshot(self) -> bytes | None:
        """Return the frame for one who has just subscribed; None where there is nothing yet."""

    def join(self, connection: Connection, *, snapshot: bool) -> None:
        """Send a snapshot if it is wanted, and all that is new from now on."""
        if (frame := self.snapshot()) and snapshot:
            connection.answer(frame)
        self.add(connection)


Make = Callable[[Key, Pair, Venue], KrakenTopic]


class KrakenBook(KrakenTopic):
    """The book of a pair to one depth: what each row has changed within it."""

    def __init__(self, key: Key, pair: Pair, venue: Venue) -> None:
        super().__init__(key, pair, venue)
        self._depth = key.depth
        self._has_book = False
        self._snapshot: bytes | None = None

    @abstractmethod
    def level_form(self, time_us: int) -> LevelForm:
        """Return how levels are written in a message of that time."""

    @abstractmethod
    def snapshot_frame(self, sides: Sides, time_us: int) -> bytes:
        """Return a frame with all levels of a view."""

    @abstractmethod
    def update_frame(self, sides: Sides, time_us: int) -> bytes:
        """Return a frame with what changed, if only one level."""

    @abstractmethod
    def scale(self) -> Scale:
        """Return the decimals of this socket."""

    def checksum(self) -> int:
        """Return the checksum of the book; a wrong one while a fault wants that."""
        view = self.pair.market.book.view(KRAKEN_LEVELS)
        checksum = kraken.book_checksum(view, self.scale())
        return checksum ^ 1 if self.venue.settings.bad_checksum else checksum

    def snapshot(self) -> bytes | None:
        """Return the book of this moment, encoded once for all who join between two rows."""
        market = self.pair.market
        if not self:  # nobody has followed it so far
            self._has_book = bool(market.row_id)
            self._snapshot = None
        if self._has_book and self._snapshot is None:
            time_us = 1000 * market.book_ts
            sides = market.book.view_text(self._depth, self.level_form(time_us))
            self._snapshot = self.snapshot_frame(sides, time_us)
        return self._snapshot

    def step(self, step: BookStep) -> None:
        """Send what a row changed; nothing where it changed nothing within the depth.

        Kraken has no ids, so that rows which were lost before this one leave no trace here.
        """
        if not self:
            return
        self._snapshot = None
        if not self._has_book:  # they subscribed before there was a book
            self._has_book = True
            if first := self.snapshot():
                self.publish(first)
            return
        time_us = 1000 * step.ts
        book, form = self.pair.market.book, self.level_form(time_us)
        if changes := book.changes_text(self._depth, form, delete_fallen=False):
            self.publish(self.update_frame(changes, time_us))
