"""What a recorder writes: rows of the book, trades, and events that say what it lost and when."""

from dataclasses import dataclass
from typing import NamedTuple

DAY_MS = 86_400_000


class BookRow(NamedTuple):
    """One message of a book channel; `bids` and `asks` are text as sent.

    `timestamp` is the exchange's, ms; `received` the recorder's clock in ns, None for a row that
    the recorder made itself. `day` is of the file to write it to, in days since the epoch.
    """

    instrument: str
    bids: str
    asks: str
    timestamp: int
    action: str
    seq_id: int | None
    prev_seq_id: int | None
    received: int | None
    day: int

    @property
    def weight(self) -> int:
        """Return about how many bytes of memory it takes."""
        return 300 + len(self.bids) + len(self.asks)


class TradeRow(NamedTuple):
    """One trade, price and size as the text that was sent; the rest as in `BookRow`.

    `summed` is how many trades it sums up, None where the exchange does not say.
    """

    instrument: str
    trade_id: str | None
    price: str
    size: str
    side: str
    timestamp: int
    summed: int | None
    seq_id: int | None
    received: int
    day: int

    @property
    def weight(self) -> int:
        """Return about how many bytes of memory it takes."""
        return 600


@dataclass(frozen=True, slots=True)
class RecorderEvent:
    """Something that happened to the recording of an instrument.

    `began` and `ended` are ms of the recorder's clock, the one of `received`; `row_before` and
    `row_after` the timestamps, ms of the exchange's clock, of the rows around what was lost, None
    where not known. `count` is of what the kind counts.
    """

    kind: str
    instrument: str
    began: int
    ended: int | None
    count: int = 1
    detail: str = ""
    row_before: int | None = None
    row_after: int | None = None

    @property
    def weight(self) -> int:
        """Return about how many bytes of memory it takes."""
        return 600


@dataclass(frozen=True, slots=True)
class EventKind:
    """What a kind of event is called, by its count, and whether something is lost by it."""

    label: str
    is_loss: bool


EVENT_KINDS = {
    "disconnected": EventKind("spells without a connection", is_loss=True),
    "sequence_gap": EventKind("sequence gaps", is_loss=True),
    "checksum_mismatch": EventKind("books that differ from their checksum", is_loss=True),
    "trades_missed": EventKind("trades missed", is_loss=True),
    "malformed_frames": EventKind("frames that could not be read", is_loss=True),
    "rows_dropped": EventKind("rows dropped because the disk was too slow", is_loss=True),
    "not_written": EventKind("rows the disk did not take", is_loss=True),
    "killed": EventKind("ends without a close", is_loss=True),
    "paused": EventKind("pauses between two recorders", is_loss=True),
    "sequence_reset": EventKind("resets of the exchange's sequence", is_loss=False),
    "duplicates": EventKind("repeated messages left out", is_loss=False),
    "clock_drift": EventKind("times far from the exchange's clock", is_loss=False),
    "made_snapshot": EventKind("snapshots made by the recorder", is_loss=False),
    "recording": EventKind("spells of recording", is_loss=False),
}
"""Every kind of event in the table `recorder_events`."""


def day_of(timestamp: int) -> int:
    """Return the UTC day of a time in ms, in days since the epoch."""
    return timestamp // DAY_MS


def is_loss(kind: str) -> bool:
    """Return whether something is lost by an event; by one of an unknown kind it is."""
    return kind not in EVENT_KINDS or EVENT_KINDS[kind].is_loss
