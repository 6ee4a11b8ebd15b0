"""What a run of paper execution assumes, and the reasons for which it refuses an order."""

from dataclasses import dataclass, field

from orderflow.errors import UsageError
from trading.account import Contract, Fees

UNRELIABLE = "the book is not reliable"
CROSSED = "the book is crossed"
NOBODY_THERE = "the other side of the book is empty"
BEFORE_START = "it was sent before the start of the run"
TOO_LATE = "it arrived after valid_until_ms"
RUN_ENDED = "the run ended before it could be carried out"
AFTER_END = "it arrived after the last event of the market"
OFF_TICK = "the price is no multiple of the tick"
OFF_LOT = "the quantity is no multiple of the lot"
TOO_FINE = "the price has more decimals than any in the book, and no tick was given"
BOOK_USED_UP = "the book had no more"

LONGEST_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Rules:
    """What a run of paper execution assumes.

    A request arrives `entry_ms` after it was sent, and its answer is back `response_ms` later. With
    `whole_fills` a taker gets its whole quantity at the best price, however little is there;
    otherwise it walks the book. With `partial_makers` a trade fills no more of a resting order
    than what the trade had left when it came to it; otherwise the whole order. With
    `accept_unreliable` a book that is not known to be whole is matched on as any other.

    Raise `UsageError` for a latency below 0 or above a day, and for both ways to fill at once.
    """

    entry_ms: int = 10
    response_ms: int = 10
    whole_fills: bool = False
    partial_makers: bool = False
    accept_unreliable: bool = False
    fees: Fees = field(default_factory=Fees)
    contract: Contract = field(default_factory=Contract)

    def __post_init__(self) -> None:
        for name in ("entry_ms", "response_ms"):
            if not 0 <= getattr(self, name) <= LONGEST_MS:
                msg = f"{name} is 0 to {LONGEST_MS:,} ms, a day; found {getattr(self, name)}"
                raise UsageError(msg, name, getattr(self, name))
        if self.whole_fills and self.partial_makers:
            msg = "whole_fills and partial_makers exclude one another; ask for one of them"
            raise UsageError(msg)
