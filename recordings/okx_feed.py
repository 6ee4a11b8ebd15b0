"""OKX's public feed as a recorder uses it: what to send, and what came; no socket here."""

from collections.abc import Sequence

import orjson

from exchanges import okx
from exchanges.level_form import write_levels
from exchanges.levels import Level
from exchanges.messages import BookMessage, Message, TradeMessage
from exchanges.wire import FrameError
from recordings.followed_instrument import SentBook

NAME = "okx"
DEFAULT_URL = "wss://ws.okx.com:8443/ws/v5/public"
CHANNELS = ("books", "trades")
PING = "ping"
CONNECTS = (3, 1.0)
"""Most connections in so many seconds, from one address."""
REQUESTS = (480, 3600.0)
"""Most requests to subscribe and unsubscribe in so many seconds, on one connection."""
END_OF_TIME_US = 4_102_444_800_000_000
LONGEST_TRADE_ID = 100

FeedMessage = Message | SentBook


def request(operation: str, instrument: str, channels: Sequence[str], request_id: str) -> str:
    """Return the request to subscribe or unsubscribe channels; the id comes back in the answers.

    A book that is unsubscribed and subscribed again begins with a new snapshot.
    """
    args = [{"channel": channel, "instId": instrument} for channel in channels]
    return orjson.dumps({"id": request_id, "op": operation, "args": args}).decode()


def read(frame: str) -> list[FeedMessage]:
    """Return what a frame says, books with their text; raise `FrameError` for what is none.

    Also for what no recording can hold: a time outside this century, an id beyond 64 bits.
    """
    return [_usable(said, frame) for said in okx.parse_message(frame)]


def _usable(said: Message, frame: str) -> FeedMessage:
    if not isinstance(said, BookMessage | TradeMessage):
        return said
    if not 0 < (said.time_us or 0) < END_OF_TIME_US:
        msg = f"ts must be ms of a day from 1970 to 2099; found {said.time_us} µs"
        raise FrameError(msg)
    if isinstance(said, TradeMessage):
        _check_numbers(said.seq_id, said.count)
        if len(said.trade_id or "") > LONGEST_TRADE_ID:
            msg = f"tradeId has at most {LONGEST_TRADE_ID} characters"
            raise FrameError(msg)
        return said
    _check_numbers(said.last_id, said.previous_id)
    return SentBook(said, *okx.sides_as_sent(frame))


def _check_numbers(*numbers: int | None) -> None:
    for number in numbers:
        if number is not None and not -(1 << 63) <= number < 1 << 63:
            msg = f"an id has at most 64 bits; found {number}"
            raise FrameError(msg)


def levels_text(levels: Sequence[Level]) -> str:
    """Return levels as OKX sends them."""
    return write_levels(levels, okx.LEVEL_FORM).decode()


def closes_soon(code: str) -> bool:
    """Return whether a notice says that the connection is closed soon."""
    return code == okx.CLOSING_SOON


def is_unknown(code: str) -> bool:
    """Return whether a refusal says that there is no such instrument."""
    return code == okx.UNKNOWN_CHANNEL
