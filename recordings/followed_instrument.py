"""Follow one instrument's messages: the rows to write, and the events that say what was lost.

Pure bookkeeping over messages and the times given with them. Nothing is repaired: a message is
written as it came, and what is missing before it becomes an event.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from exchanges.checksums import OKX_LEVELS, okx_checksum
from exchanges.depth import TextBook
from exchanges.levels import Level
from exchanges.messages import BookMessage, TradeMessage
from orderflow.times import format_duration
from recordings.recorder_rows import EVENT_KINDS, BookRow, RecorderEvent, TradeRow, day_of

MOST_REMEMBERED = 8192
"""How many of the last messages are known again when they come twice."""
MOST_LEVELS = 20_000
"""Most levels of a followed book; OKX's has 800."""
TALLY_MS = 10_000
"""What comes in numbers, such as repeated messages, is one event for so long."""
CLOCK_MS, CLOCK_MESSAGES = 2000, 100
"""The clocks differ when times are further apart than this over so many messages."""

Item = BookRow | TradeRow | RecorderEvent


class SentBook(NamedTuple):
    """A book message with the text of its sides as sent."""

    message: BookMessage
    bids: str
    asks: str


class Remembered:
    """The last keys that were seen, in bounded memory."""

    def __init__(self) -> None:
        self._keys: set[Hashable] = set()
        self._order: deque[Hashable] = deque()

    def add(self, key: Hashable) -> bool:
        """Return whether the key is new, and remember it."""
        if key in self._keys:
            return False
        if len(self._order) >= MOST_REMEMBERED:
            self._keys.remove(self._order.popleft())
        self._order.append(key)
        self._keys.add(key)
        return True


@dataclass
class _Spell:
    began: int  # ms
    count: int
    detail: str
    row_before: int | None


class FollowedInstrument:
    """What was received of one instrument: its book, its sequence, its trades.

    `say` is called with a line for each loss, when it is met. `wants_snapshot` is True from a loss
    of the book until the next snapshot: the caller subscribes again. Methods return what to write.
    Times of reception are ns of the recorder's clock. `levels_text` writes the sides of a snapshot
    that the recorder makes itself, with which the file of a new day begins.
    """

    def __init__(
        self, name: str, levels_text: Callable[[Sequence[Level]], str], say: Callable[[str], None]
    ) -> None:
        self.name = name
        self.wants_snapshot = False
        self.reliable = False
        self.last_id: int | None = None
        self.last_received: int | None = None
        self._levels_text, self._say = levels_text, say
        self._book = TextBook()
        self._book_day: int | None = None
        self._begun: set[int] = set()
        self._row_ms: int | None = None
        self._messages, self._trades = Remembered(), Remembered()
        self._last_trade: TradeRow | None = None
        self._last_trade_id: int | None = None
        self._spells: dict[str, _Spell] = {}
        self._tallies: dict[str, _Spell] = {}
        self._far_off = 0

    def know_trades(self, trade_ids: Sequence[str | None]) -> None:
        """Take the ids of trades that an earlier recorder has written, the last one last."""
        for trade_id in trade_ids:
            self._trades.add(trade_id)
        self._last_trade_id = _number(trade_ids[-1]) if trade_ids else None

    # -- messages

    def book(self, sent: SentBook, received: int) -> list[Item]:
        """Follow a message of the book; its row is written unless it came before."""
        message = sent.message
        key = (message.last_id, message.previous_id, message.time_us)
        if not message.snapshot and message.last_id is not None and not self._messages.add(key):
            self.tally("duplicates", received)
            return []
        timestamp = (message.time_us or 0) // 1000
        items = self._begin_day(message, timestamp)
        found = self._follow(message, timestamp, received)
        items.append(
            BookRow(
                self.name,
                sent.bids,
                sent.asks,
                timestamp,
                "snapshot" if message.snapshot else "update",
                message.last_id,
                message.previous_id,
                received,
                day_of(timestamp),
            )
        )
        self._row_ms, self.last_received = timestamp, received
        return items + found + self._watch_clock(timestamp, received)

    def _watch_clock(self, timestamp: int, received: int) -> list[Item]:
        """Return the event of a clock that is wrong, ours or theirs, once until it is right."""
        off_ms = received // 1_000_000 - timestamp
        self._far_off = self._far_off + 1 if abs(off_ms) > CLOCK_MS else 0
        if self._far_off != CLOCK_MESSAGES:
            return []
        which = "behind" if off_ms > 0 else "ahead of"
        said = f"the exchange's times are {format_duration(abs(off_ms) / 1000)} {which} this clock"
        self._say(f"{self.name}: {said}")
        return [self._event("clock_drift", received, said)]

    def _begin_day(self, message: BookMessage, timestamp: int) -> list[Item]:
        """Return the snapshot with which a new day's file begins, for it to stand alone.

        It is the book as it was after the last row, at that row's time: the files after one another
        then give the same samples as one file would.
        """
        day = day_of(timestamp)
        # One row dated wrongly, days ahead, must not leave the days between without a snapshot.
        before, self._book_day = self._book_day, day
        if day in self._begun or (before is not None and day < before):
            return []
        self._begun.add(day)
        if before is None or message.snapshot or not self.reliable or self._row_ms is None:
            return []
        view = self._book.view(None)
        bids, asks = self._levels_text(view.bids), self._levels_text(view.asks)
        made = (self.name, bids, asks, self._row_ms, "snapshot", self.last_id, -1, None, day)
        at = (self.last_received or 0) // 1_000_000
        event = RecorderEvent(
            "made_snapshot", self.name, at, at, detail="the first row", row_before=self._row_ms
        )
        return [BookRow(*made), event]

    def _follow(self, message: BookMessage, timestamp: int, received: int) -> list[Item]:
        before, self.last_id = self.last_id, message.last_id
        found: list[Item] = []
        if message.snapshot:
            self.reliable, self.wants_snapshot = True, False
            found = self.end_spells(received, timestamp)
        elif message.last_id is not None and message.previous_id != before:
            gap = f"an update follows {message.previous_id}, and the one before it was {before}"
            self.lose_book("sequence_gap", received, gap)
        elif before is not None and message.last_id is not None and message.last_id < before:
            found = [self._event("sequence_reset", received, f"{before} to {message.last_id}")]
        if self.reliable:
            self._book.apply(message.bids, message.asks, snapshot=message.snapshot)
            self._check(message, received)
        return found

    def _check(self, message: BookMessage, received: int) -> None:
        if len(self._book) > MOST_LEVELS:
            self._book = TextBook()
            self.lose_book("malformed_frames", received, f"a book of over {MOST_LEVELS:,} levels")
        elif message.checksum:
            view = self._book.view(OKX_LEVELS)
            computed = okx_checksum(view.bids, view.asks)
            if computed != message.checksum:
                said = f"the exchange says {message.checksum}, the book {computed}"
                self.lose_book("checksum_mismatch", received, said)

    def trade(self, message: TradeMessage, received: int) -> list[Item]:
        """Follow a trade; its row is written unless it came before."""
        if message.trade_id is not None and not self._trades.add(message.trade_id):
            self.tally("duplicates", received)
            return []
        timestamp = message.time_us // 1000
        row = TradeRow(
            self.name,
            message.trade_id,
            message.price,
            message.size,
            message.side,
            timestamp,
            message.count,
            message.seq_id,
            received,
            day_of(timestamp),
        )
        missed = self._missed_before(row)
        self._last_trade = row
        return [*missed, row]

    def _missed_before(self, row: TradeRow) -> list[Item]:
        """Return the event of trades whose ids were left out; a message may sum up `count`."""
        number, last, before = _number(row.trade_id), self._last_trade_id, self._last_trade
        if number is None or (last is not None and number <= last):
            return []
        self._last_trade_id = number
        missed = 0 if last is None else number - last - max(row.summed or 1, 1)
        if missed <= 0:
            return []
        self._say(f"{self.name}: {missed:,} trades missed, between {last} and {number}")
        return [
            RecorderEvent(
                "trades_missed",
                self.name,
                (before.received if before else row.received) // 1_000_000,
                row.received // 1_000_000,
                missed,
                f"between the trades {last} and {number}",
                before.timestamp if before else None,
                row.timestamp,
            )
        ]

    # -- what was lost

    def lose_book(self, kind: str, received: int, detail: str) -> None:
        """Note that the book is lost from here on, until the next snapshot."""
        if kind not in self._spells:
            self._say(f"{self.name}: {EVENT_KINDS[kind].label}: {detail}")
        self.lose(kind, received, detail=detail)
        self.reliable, self.wants_snapshot = False, True

    def disconnect(self, last_frame: int, detail: str) -> None:
        """Note that nothing has come since `last_frame` (ns), until the next snapshot."""
        self.lose("disconnected", last_frame, detail=detail)
        self.reliable = self.wants_snapshot = False

    def lose(self, kind: str, began: int, count: int = 1, detail: str = "") -> None:
        """Note a loss that lasts until the next snapshot; `began` is ns, `count` is added up."""
        spell = self._spells.get(kind)
        if spell is None:
            self._spells[kind] = _Spell(began // 1_000_000, count, detail, self._row_ms)
        else:
            spell.count += count

    def is_losing(self, kind: str) -> bool:
        """Return whether a loss of this kind has not ended."""
        return kind in self._spells

    def end_spells(self, received: int, row_after: int | None = None) -> list[Item]:
        """Return the events of all losses that have not ended, which end now."""
        now = received // 1_000_000
        found: list[Item] = []
        for kind, spell in self._spells.items():
            found.append(
                RecorderEvent(
                    kind,
                    self.name,
                    spell.began,
                    now,
                    spell.count,
                    spell.detail,
                    spell.row_before,
                    row_after,
                )
            )
            if row_after is not None:
                lasted = format_duration((now - spell.began) / 1000)
                self._say(f"{self.name}: the book is known again after {lasted} ({kind})")
        self._spells = {}
        return found

    def tally(self, kind: str, received: int, detail: str = "") -> bool:
        """Count what comes in numbers; `tick` makes an event of it. Return whether one begins."""
        known = self._tallies.get(kind)
        if known is None:
            self._tallies[kind] = _Spell(received // 1_000_000, 1, detail, self._row_ms)
            return True
        known.count += 1
        return False

    def tick(self, now: int, *, last: bool = False) -> list[Item]:
        """Return the events of what was counted for long enough by now (ns), or at the `last`."""
        now_ms = now // 1_000_000
        found: list[Item] = []
        for kind, spell in list(self._tallies.items()):
            if last or now_ms - spell.began >= TALLY_MS:
                del self._tallies[kind]
                found.append(
                    RecorderEvent(
                        kind,
                        self.name,
                        spell.began,
                        now_ms,
                        spell.count,
                        spell.detail,
                        spell.row_before,
                        self._row_ms,
                    )
                )
        return found

    def _event(self, kind: str, received: int, detail: str) -> RecorderEvent:
        at = received // 1_000_000
        return RecorderEvent(kind, self.name, at, at, 1, detail, self._row_ms, self._row_ms)


def _number(trade_id: str | None) -> int | None:
    if trade_id is None or not (trade_id.isascii() and trade_id.isdigit() and len(trade_id) < 20):
        return None
    return int(trade_id)
