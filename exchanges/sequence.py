"""Whether an update follows what came before: the rules of each exchange, for any reader."""

from enum import StrEnum

from exchanges.checksums import kraken_checksum
from exchanges.depth import BookSide, DepthView
from exchanges.levels import Level
from exchanges.messages import BookMessage


class Step(StrEnum):
    """What a message is to the book before it."""

    START = "start"
    """A snapshot: the book begins anew."""
    NEXT = "next"
    """The update that follows."""
    KEEP_ALIVE = "keep-alive"
    """It follows and changes nothing."""
    RESET = "reset"
    """It follows, and the exchange's ids began anew (maintenance)."""
    OLD = "old"
    """The book has it already: leave it out."""
    GAP = "gap"
    """An update is missing, or the checksum differs: the book is wrong from here on."""
    WAITING = "waiting"
    """There is no right book to apply it to, until the next snapshot."""


class OkxSequence:
    """Follow `seqId` and `prevSeqId` of one book channel (market-facts: OKX v5, Sequence)."""

    def __init__(self) -> None:
        self._last: int | None = None

    def follow(self, message: BookMessage) -> Step:
        """Say what a message is; after a gap all is waiting for a snapshot."""
        if message.snapshot:
            self._last = message.last_id
            return Step.START
        if self._last is None:
            return Step.WAITING
        if message.previous_id != self._last or message.last_id is None:
            self._last = None
            return Step.GAP
        before, self._last = self._last, message.last_id
        if self._last < before:
            return Step.RESET
        empty = not (message.bids or message.asks)
        return Step.KEEP_ALIVE if self._last == before and empty else Step.NEXT


class BinanceSequence:
    """Follow `U`, `u` (and `pu` on USD-M) of one diff stream, from a REST snapshot on.

    Updates before `start` are waiting: keep them, and follow them again after it.
    """

    def __init__(self, *, usdm: bool = False) -> None:
        self._usdm = usdm
        self._last: int | None = None
        self._joined = False

    def start(self, last_update_id: int) -> None:
        """Begin with the snapshot of this `lastUpdateId`."""
        self._last, self._joined = last_update_id, False

    def follow(self, message: BookMessage) -> Step:
        """Say what an update is; after a gap all is waiting for `start`."""
        if self._last is None:
            return Step.WAITING
        first, last = message.first_id, message.last_id
        if first is None or last is None:
            self._last = None
            return Step.GAP
        if last < self._last or (last == self._last and (self._joined or not self._usdm)):
            return Step.OLD
        if not self._follows(first, last, message.previous_id, self._last):
            self._last = None
            return Step.GAP
        self._last, self._joined = last, True
        return Step.NEXT

    def _follows(self, first: int, last: int, previous: int | None, known: int) -> bool:
        if self._usdm:
            return previous == known or (not self._joined and first <= known <= last)
        return first == known + 1 or (not self._joined and first <= known + 1 <= last)


class KrakenSequence:
    """Keep one book as Kraken's clients do, cut to its depth after each level, and check it.

    Kraken sends no ids: a checksum that differs is all that tells of a missing update. v1 sends
    none with its snapshot.
    """

    def __init__(self, depth: int, price_decimals: int, size_decimals: int) -> None:
        self._depth = depth
        self._decimals = price_decimals, size_decimals
        self._bids = BookSide(is_bids=True)
        self._asks = BookSide(is_bids=False)
        self._right = False

    def follow(self, message: BookMessage) -> Step:
        """Apply a message and say what it is; after a gap all is waiting for a snapshot."""
        if message.snapshot:
            self._bids.replace(message.bids)
            self._asks.replace(message.asks)
        elif not self._right:
            return Step.WAITING
        else:
            self._put(self._bids, message.bids)
            self._put(self._asks, message.asks)
        view = self.view()
        computed = kraken_checksum(view.bids, view.asks, *self._decimals)
        self._right = message.checksum is None or message.checksum == computed
        if not self._right:
            return Step.GAP
        return Step.START if message.snapshot else Step.NEXT

    def _put(self, side: BookSide, levels: tuple[Level, ...]) -> None:
        for level in levels:
            side.put((level,))
            side.cut(self._depth)

    def view(self) -> DepthView:
        """Return the book as it stands."""
        return DepthView(self._depth, self._bids.best(self._depth), self._asks.best(self._depth))
