"""What gateway, strategies and executor say to one another; docs/messages.md has every field.

Fields are only ever added, each with a default and a new `VERSION`. Times named `_ms` are event
times: ms since the epoch, UTC. Wall-clock times are aware datetimes.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from sys import float_info
from typing import Annotated, TypeAlias, cast, get_args

from msgspec import Meta, Struct

from messaging.serializer import Serializer
from trading.orders import LARGEST, LATEST_MS, Side

VERSION = 1
END_MS = 1 << 62
"""A time after all others: the watermark of a strategy that has ended."""

Version = Annotated[int, Meta(ge=1, le=VERSION)]
Ms = Annotated[int, Meta(ge=0, le=END_MS)]
EventMs = Annotated[int, Meta(ge=0, le=LATEST_MS)]
Count = Annotated[int, Meta(ge=0, le=END_MS)]
Name = Annotated[str, Meta(max_length=100)]
Text = Annotated[str, Meta(max_length=2000)]
Price = Annotated[float, Meta(ge=-float_info.max, le=float_info.max)]
Size = Annotated[float, Meta(ge=0, le=float_info.max)]
Ratio = Annotated[float, Meta(ge=-1, le=1)]
WallTime = Annotated[datetime, Meta(tz=True)]


class TickKind(StrEnum):
    """What a tick is about; `STATUS` is a live market's, about its connection."""

    BOOK = "book"
    TRADE = "trade"
    STATUS = "status"


class SignalType(StrEnum):
    """What a signal asks for; `CANCEL` means the order of an earlier signal of the strategy."""

    MARKET = "market"
    LIMIT = "limit"
    POST_ONLY = "post_only"
    CANCEL = "cancel"


class Role(StrEnum):
    """What a process does in a run."""

    GATEWAY = "gateway"
    STRATEGY = "strategy"
    EXECUTOR = "executor"


class Mode(StrEnum):
    """Whether a run is the same every time; `FREE` depends on how fast each process was."""

    DETERMINISTIC = "deterministic"
    FREE = "free"


class TickEvent(
    Struct, frozen=True, forbid_unknown_fields=True, gc=False, tag_field="type", tag="tick"
):
    """One book row or trade, and the market right after it.

    `price`, `size` and `side` are a trade's, None in a book tick. What is best is None where a side
    is empty. `obi` is over the best levels (see `metrics_calculator`), `cvd` since the first tick.
    """

    run_id: Name
    number: Count
    instrument: Name
    kind: TickKind
    time_ms: Ms
    price: Price | None = None
    size: Size | None = None
    side: Side | None = None
    best_bid: Price | None = None
    best_ask: Price | None = None
    bid_size: Size | None = None
    ask_size: Size | None = None
    book_reliable: bool = False
    obi: Ratio | None = None
    cvd: Price = 0.0
    received_ms: Ms | None = None
    v: Version = VERSION


class TradingSignal(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="signal", kw_only=True
):
    """What a strategy asks of the executor, at the time of the tick that made it do so.

    A strategy leaves out `run_id`, `strategy` and `number`: its process fills them in. `reference`
    is the number of an earlier signal. It may not arrive after `valid_until_ms`; its order is
    cancelled at `cancel_ms`. `mid` is the mid at the decision.
    """

    instrument: Name
    time_ms: EventMs
    side: Side | None = None
    order: SignalType
    price: Decimal | None = None
    quantity: Decimal | None = None
    valid_until_ms: EventMs | None = None
    cancel_ms: EventMs | None = None
    reference: Count | None = None
    reason: Text = ""
    mid: Price | None = None
    run_id: Name = ""
    strategy: Name = ""
    number: Count = 0
    v: Version = VERSION

    def __post_init__(self) -> None:
        """Raise `ValueError` for what cannot be meant; reading turns it into a `MessageError`."""
        is_cancel = self.order is SignalType.CANCEL
        _check(is_cancel == (self.quantity is None), "all but a cancel have a quantity")
        _check(is_cancel == (self.side is None), "all but a cancel have a side")
        _check(is_cancel == (self.reference is not None), "a cancel, and it alone, has a reference")
        priced = self.order in (SignalType.LIMIT, SignalType.POST_ONLY)
        _check(
            priced == (self.price is not None), "limit and post_only, and they alone, are priced"
        )
        for number in (self.price, self.quantity):
            usable = number is None or (number.is_finite() and 0 < number < LARGEST)
            _check(usable, f"numbers are above 0 and below {LARGEST:g}; found {number}")


class Alert(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="alert", kw_only=True
):
    """What a strategy wants people to know, in place of an order or beside one."""

    instrument: Name
    time_ms: EventMs
    text: Text
    price: Price | None = None
    run_id: Name = ""
    strategy: Name = ""
    number: Count = 0
    v: Version = VERSION


class _Answer(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", kw_only=True):
    """Say what became of `signal` of `strategy`, at `time_ms` at the exchange.

    `number` counts the answers to a strategy, from 1; `run_id` and `number` are filled in on
    sending.
    """

    strategy: Name
    signal: Count
    time_ms: Ms
    run_id: Name = ""
    number: Count = 0
    v: Version = VERSION


class Accepted(_Answer, frozen=True, tag="accepted"):
    """An order has arrived and rests, or has been filled."""


class Rejected(_Answer, frozen=True, tag="rejected"):
    """A signal was refused, for `reason`, and nothing was done."""

    reason: Text = ""


class Filled(_Answer, frozen=True, tag="filled"):
    """An order was filled, or a part of it: `remaining` is what still rests.

    `fee` is in the currency of the cash, below 0 where it is a rebate.
    """

    side: Side
    price: Decimal
    quantity: Decimal
    remaining: Decimal
    maker: bool
    fee: Decimal = Decimal(0)


class Cancelled(_Answer, frozen=True, tag="cancelled"):
    """An order was cancelled, `remaining` of it unfilled."""

    remaining: Decimal


class Expired(_Answer, frozen=True, tag="expired"):
    """An order ended unasked, for `reason`, `remaining` of it unfilled."""

    remaining: Decimal
    reason: Text = ""


class Bar(
    Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="bar", kw_only=True
):
    """A bar that has ended, with the metrics that were asked for (docs/metrics.md).

    It is handed over after the tick with the number `after` and before the next one, at `time_ms`.
    `kind` and `size` are those of `--bars`. `number` counts windows since the epoch for bars of
    time, bars since the start of the run for others. A bar of time goes from `start_ms` to before
    `end_ms`; one of another kind begins and ends with a trade. Prices are None without a trade.
    `values` has by the text of `--metric` a number for each field of the metric, None for none.
    """

    run_id: Name
    instrument: Name
    kind: Name
    size: Size
    number: Count
    after: Count
    time_ms: Ms
    start_ms: Ms
    end_ms: Ms
    open: Price | None = None
    high: Price | None = None
    low: Price | None = None
    close: Price | None = None
    volume: Size = 0.0
    trades: Count = 0
    values: dict[Text, tuple[Price | None, ...]] = {}
    v: Version = VERSION


class Hello(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="hello"):
    """A process is there; repeated until it is answered.

    `instance` tells it from another of the same name: a random text, which also ends the topic that
    it alone subscribes to.
    """

    role: Role
    name: Name
    instance: Name
    pid: Count
    sent_at: WallTime
    v: Version = VERSION


class Welcome(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="welcome"):
    """The executor knows a strategy, and has seen that it listens."""

    strategy: Name
    instance: Name
    v: Version = VERSION


class Start(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="start"):
    """All are there and listen: the run begins. Numbers of ticks begin with `first_number`.

    `credit` is how many windows the gateway may be ahead.
    """

    run_id: Name
    instrument: Name
    strategies: tuple[Name, ...]
    mode: Mode
    window_ms: Count
    credit: Count
    first_number: Count
    started_at: WallTime
    v: Version = VERSION


class Window(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="window"):
    """The ticks of one window; none with a time of `until_ms` or later, and later none before."""

    run_id: Name
    number: Count
    until_ms: Ms
    ticks: tuple[TickEvent, ...]
    v: Version = VERSION


class BarWindow(Window, frozen=True, tag="bar_window"):
    """A window in which bars have ended, in their order; what is common is as in a `Window`."""

    bars: tuple[Bar, ...] = ()


class Signals(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="signals"):
    """What a strategy made of a window, nothing perhaps, and its watermark.

    No signal with a time before `watermark_ms` will follow: the watermark is exclusive. `number`
    counts these messages, from 1, and `window` is the number of the last window worked through.
    """

    run_id: Name
    strategy: Name
    number: Count
    window: Count
    watermark_ms: Ms
    signals: tuple[TradingSignal, ...] = ()
    alerts: tuple[Alert, ...] = ()
    v: Version = VERSION


class Ack(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="ack"):
    """The executor has all `Signals` of a strategy up to `number`."""

    run_id: Name
    strategy: Name
    number: Count
    v: Version = VERSION


class Credit(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="credit"):
    """All strategies have worked through the windows up to `window`, and so has the executor."""

    run_id: Name
    window: Count
    v: Version = VERSION


class Heartbeat(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="heartbeat"):
    """A process does its work: sent by the loop that works, not by a thread beside it.

    `count` is how many ticks, messages of signals or answers it has sent to whom it sends this,
    and `window` and `until_ms` the last window among them: what has not come before it is lost.
    """

    run_id: Name
    role: Role
    name: Name
    count: Count = 0
    window: Count = 0
    until_ms: Ms = 0
    v: Version = VERSION


class End(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="end"):
    """The last message of its sender in a run, which has sent `count` ticks, signals or answers.

    To a strategy, of the gateway: ticks. To the executor, of a strategy: messages `Signals`. To a
    strategy, of the executor: answers.
    """

    run_id: Name
    role: Role
    name: Name
    count: Count
    v: Version = VERSION


class Abort(Struct, frozen=True, forbid_unknown_fields=True, tag_field="type", tag="abort"):
    """The run ends here, without a result: `name` is the process it is due to."""

    run_id: Name
    name: Name
    reason: Text
    v: Version = VERSION


Answer: TypeAlias = Accepted | Rejected | Filled | Cancelled | Expired
AnyMessage: TypeAlias = (
    TickEvent
    | TradingSignal
    | Alert
    | Answer
    | Hello
    | Welcome
    | Start
    | Window
    | Bar
    | BarWindow
    | Signals
    | Ack
    | Credit
    | Heartbeat
    | End
    | Abort
)
MESSAGES: tuple[type[AnyMessage], ...] = get_args(AnyMessage)

SERIALIZER: Serializer[AnyMessage] = Serializer(MESSAGES, VERSION)
"""Writes and reads every message above."""
Event: TypeAlias = TickEvent | Bar
"""What a strategy is shown, in this order: ticks, and bars between them."""
_DECISIONS: Serializer[TradingSignal | Alert] = Serializer((TradingSignal, Alert), VERSION)


def window_of(run_id: str, number: int, until_ms: int, events: Sequence[Event]) -> Window:
    """Return the message of a window, of another type where it has bars."""
    if Bar not in map(type, events):
        return Window(run_id, number, until_ms, cast("tuple[TickEvent, ...]", events))
    ticks = tuple(event for event in events if isinstance(event, TickEvent))
    bars = tuple(event for event in events if isinstance(event, Bar))
    return BarWindow(run_id, number, until_ms, ticks, bars=bars)


def as_received(decision: TradingSignal | Alert) -> TradingSignal | Alert:
    """Return a signal or alert as the executor will read it; raise `MessageError` if it cannot."""
    return _DECISIONS.decode(_DECISIONS.encode(decision))


def _check(holds: bool, rule: str) -> None:
    if not holds:
        raise ValueError(rule)
