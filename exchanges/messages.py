"""What an exchange's frame said, in one form for all of them: for a recorder, and for tests."""

from dataclasses import dataclass

from exchanges.decimals import DecimalError, plain
from exchanges.levels import Level, read_side
from exchanges.wire import FrameError, RequestId, as_array, shown


@dataclass(frozen=True, slots=True)
class BookMessage:
    """A snapshot or an update of a book, levels in the order sent.

    `symbol` is the exchange's own, `time_us` microseconds since the epoch, UTC, None where the
    frame has no time. `first_id`, `last_id` and `previous_id` are the exchange's sequence ids
    (OKX: seqId and prevSeqId; Binance: U, u and pu); ids and checksum are None where not sent.
    """

    symbol: str
    snapshot: bool
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    time_us: int | None
    first_id: int | None = None
    last_id: int | None = None
    previous_id: int | None = None
    checksum: int | None = None
    channel: str = ""


@dataclass(frozen=True, slots=True)
class TradeMessage:
    """One trade: `side` is the taker's, buy or sell; `price` and `size` are decimals as sent.

    `trade_id` is None on Kraken v1, which sends none. `time_us` as in `BookMessage`.
    """

    symbol: str
    trade_id: str | None
    price: str
    size: str
    side: str
    time_us: int
    seq_id: int | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An exchange's yes to a request; `method` is subscribe, unsubscribe or empty if not said."""

    method: str
    channel: str = ""
    symbol: str = ""
    request_id: RequestId = None


@dataclass(frozen=True, slots=True)
class Refused:
    """An exchange's no, in its own words."""

    code: str
    text: str
    request_id: RequestId = None


@dataclass(frozen=True, slots=True)
class Other:
    """A frame of no consequence to a book: heartbeat, pong, status, or a channel not read here."""

    kind: str


@dataclass(frozen=True, slots=True)
class Notice:
    """What an exchange announces, in its own words: that it closes the connection soon, say."""

    code: str
    text: str


Message = BookMessage | TradeMessage | Acknowledged | Refused | Notice | Other


def levels_of(value: object, what: str) -> tuple[Level, ...]:
    """Return the levels of a frame; raise `FrameError` where one of them is not usable."""
    levels, rejected = read_side(as_array(value, what))
    if rejected:
        msg = f"{what} must be levels of decimals; found {rejected} of {len(levels) + rejected} bad"
        raise FrameError(msg)
    return tuple(levels)


def traded(price: object, size: object) -> tuple[str, str]:
    """Return price and size of a trade as sent; raise `FrameError` where one is no decimal text."""
    if not isinstance(price, str) or not isinstance(size, str):
        msg = f"price and size must be decimals as text; found {shown(price)} and {shown(size)}"
        raise FrameError(msg)
    try:
        return plain(price), plain(size)
    except DecimalError as error:
        raise FrameError(str(error)) from error
