"""Hypothesis strategies for every message of the bus, made from the types of their fields."""

import types
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from trading.messages import (
    MESSAGES,
    Alert,
    AnyMessage,
    Name,
    SignalType,
    TickEvent,
    TickKind,
    TradingSignal,
)
from trading.orders import OrderRequest, Side

RUN = "0123456789abcdef"
INSTRUMENT = "BTC-USDT"

zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
wall_times = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=zones)
amounts = st.decimals("0.000000000000000001", 10**15 - 1, allow_nan=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Return a strategy of what a field may hold."""
    if get_origin(annotation) in (Union, types.UnionType):
        return st.one_of(*map(values_of, get_args(annotation)))
    if get_origin(annotation) in (dict, tuple):
        held = [values_of(each) for each in get_args(annotation) if each is not ...]
        is_tuple = get_origin(annotation) is tuple
        return st.lists(*held, max_size=3).map(tuple) if is_tuple else st.dictionaries(*held)
    limits = getattr(annotation, "__metadata__", (msgspec.Meta(),))[0]
    kind = getattr(annotation, "__origin__", annotation)
    if kind in (float, int):
        numbers: Any = st.integers if kind is int else st.floats
        strategy: st.SearchStrategy[Any] = numbers(limits.ge, limits.le)
        return strategy
    if issubclass(kind, msgspec.Struct):
        return messages_of(kind)
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    return {
        str: texts,
        bool: st.booleans(),
        datetime: wall_times,
        Decimal: amounts,
        type(None): st.none(),
    }[kind]


@st.composite
def signals(draw: st.DrawFn) -> TradingSignal:
    """A signal of any type that can be meant."""
    order = draw(st.sampled_from(SignalType))
    fields: dict[str, st.SearchStrategy[Any]] = {
        f.name: values_of(f.type) for f in msgspec.structs.fields(TradingSignal)
    }
    fields["order"] = st.just(order)
    cancel, priced = order is SignalType.CANCEL, order in (SignalType.LIMIT, SignalType.POST_ONLY)
    for name, wanted, values in (
        ("side", not cancel, st.sampled_from(Side)),
        ("quantity", not cancel, amounts),
        ("price", priced, amounts),
        ("reference", cancel, st.integers(0, 10**6)),
    ):
        fields[name] = values if wanted else st.none()
    drawn: dict[str, Any] = {name: draw(values) for name, values in fields.items()}
    return TradingSignal(**drawn)


def messages_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Return a strategy of messages of one type."""
    if kind is TradingSignal:
        return signals()
    return st.builds(kind, **{f.name: values_of(f.type) for f in msgspec.structs.fields(kind)})


any_message: st.SearchStrategy[AnyMessage] = st.one_of(*map(messages_of, MESSAGES))


# -- plain ones


def tick(number: int, time_ms: int, price: float | None = None, **rest: Any) -> TickEvent:
    """Make a tick: a trade where it has a price."""
    kind = TickKind.BOOK if price is None else TickKind.TRADE
    return TickEvent(RUN, number, INSTRUMENT, kind, time_ms, price, **rest)


def buy(time_ms: int, **rest: Any) -> TradingSignal:
    """Make a signal to buy one at the market."""
    given: dict[str, Any] = {
        "side": Side.BUY,
        "order": SignalType.MARKET,
        "quantity": Decimal(1),
    } | rest
    return TradingSignal(instrument=INSTRUMENT, time_ms=time_ms, **given)


def signal_of(request: OrderRequest, number: int, sent_ms: int | None = None) -> TradingSignal:
    """Make the signal that asks for an order, of strategy a."""
    return buy(
        request.sent_ms if sent_ms is None else sent_ms,
        side=Side(request.side.value), order=SignalType(request.type.value), price=request.price,
        quantity=request.quantity, strategy="a", number=number,
        cancel_ms=request.cancel_ms if sent_ms is None else None,
    )  # fmt: skip


def alert(time_ms: int, text: Name = "look") -> Alert:
    return Alert(instrument=INSTRUMENT, time_ms=time_ms, text=text)
