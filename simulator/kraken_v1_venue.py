"""Kraken's older socket, v1: `/`, where Bitcoin is XBT and frames are arrays."""

from collections.abc import Callable
from functools import partial

from exchanges import kraken_v1
from exchanges.kraken import Scale
from exchanges.level_form import LevelForm, Sides
from exchanges.messages import TradeMessage
from exchanges.wire import FrameError
from simulator.connections import Connection
from simulator.kraken_topics import Key, KrakenBook, KrakenTopic, Pair
from simulator.venue import Session, Venue

VERSION = 1
_FIRST_CHANNEL_ID = 336


class ChannelIds:
    """Numbers of channels, the same for a channel of a pair as long as the publisher runs."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str], int] = {}

    def of(self, channel: str, symbol: str) -> int:
        """Return the number of a channel, `book-10`, of a pair."""
        return self._ids.setdefault((channel, symbol), _FIRST_CHANNEL_ID + len(self._ids))


class V1Book(KrakenBook):
    """A book in v1's frames."""

    heartbeat = kraken_v1.HEARTBEAT

    def __init__(self, key: Key, pair: Pair, venue: Venue, channel_id: int) -> None:
        super().__init__(key, pair, venue)
        self._channel = channel_id, f"book-{key.depth}", key.symbol

    def scale(self) -> Scale:
        """Return v1's decimals, 5 of prices or more."""
        return self.pair.v1_scale

    def level_form(self, time_us: int) -> LevelForm:
        """Return how levels are written: each with the time."""
        return kraken_v1.level_form(self.scale(), time_us)

    def snapshot_frame(self, sides: Sides, time_us: int) -> bytes:
        """Return a snapshot, which has no checksum on v1."""
        return kraken_v1.format_snapshot(*self._channel, sides)

    def update_frame(self, sides: Sides, time_us: int) -> bytes:
        """Return an update, in two parts where both sides changed."""
        return kraken_v1.format_update(*self._channel, sides, checksum=self.checksum())


class V1Trades(KrakenTopic):
    """The trades of a pair in v1's frames, which have no ids."""

    heartbeat = kraken_v1.HEARTBEAT

    def __init__(self, key: Key, pair: Pair, venue: Venue, channel_id: int) -> None:
        super().__init__(key, pair, venue)
        self._channel_id = channel_id

    def frame(self, trades: list[TradeMessage]) -> bytes:
        """Return a frame of trades."""
        pair = self.pair
        return kraken_v1.format_trades(self._channel_id, pair.v1_symbol, trades, pair.v1_scale)

    def snapshot(self) -> bytes | None:
        """Return the last trades; v1 sends them to everybody who subscribes."""
        return self.frame(list(self.pair.recent)) if self.pair.recent else None


class V1Session(Session):
    """One client of v1; `pair_of` finds a pair by its name here."""

    def __init__(
        self,
        connection: Connection,
        venue: Venue,
        pair_of: Callable[[str], Pair | None],
        channel_ids: ChannelIds,
    ) -> None:
        super().__init__(connection)
        self._venue = venue
        self._pair_of = pair_of
        self._channel_ids = channel_ids

    def opened(self) -> None:
        """Greet the client."""
        self.connection.answer(kraken_v1.format_status(self.connection.number))

    def receive(self, frame: bytes | str) -> None:
        """Answer a ping or a request; what is neither gets Kraken's error, and the socket stays."""
        try:
            request = kraken_v1.parse_request(frame)
        except FrameError as error:
            self.connection.answer(kraken_v1.format_error(error))
            return
        if isinstance(request, kraken_v1.Ping):
            self.connection.answer(kraken_v1.format_pong(request))
            return
        act = self._subscribe if request.event == "subscribe" else self._unsubscribe
        for name in request.pairs:
            self._venue.acknowledge(partial(act, request, name))

    def _subscribe(self, request: kraken_v1.Request, name: str) -> None:
        pair = self._pair_of(name)
        key = Key(VERSION, request.name, name, request.depth)
        if pair is None:
            self._refuse(request, name, kraken_v1.unknown_pair(name))
        elif key in self.connection.topics:
            self._refuse(request, name, FrameError("Already subscribed"))
        else:
            channel_id = self._channel_ids.of(request.channel, name)
            self._acknowledge(request, name)
            make = partial(V1Trades if request.depth is None else V1Book, channel_id=channel_id)
            pair.topic(key, self._venue, make).join(self.connection, snapshot=True)

    def _unsubscribe(self, request: kraken_v1.Request, name: str) -> None:
        if self._pair_of(name) is None:
            self._refuse(request, name, kraken_v1.unknown_pair(name))
            return
        if topic := self.connection.topics.get(Key(VERSION, request.name, name, request.depth)):
            topic.remove(self.connection)
        self._acknowledge(request, name)

    def _acknowledge(self, request: kraken_v1.Request, name: str) -> None:
        channel_id = self._channel_ids.of(request.channel, name)
        self.connection.answer(kraken_v1.format_ack(request, name, channel_id))

    def _refuse(self, request: kraken_v1.Request, name: str, error: FrameError) -> None:
        frame = kraken_v1.format_error(error, pair=name, request_id=request.request_id)
        self.connection.answer(frame)
