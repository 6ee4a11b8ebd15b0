"""Check and convert the file of a trading run: figures, fills, open orders, alerts, equity.

Pure, and bounded as in `page.contents`. `trading/live_file.py` writes what is read here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from page import checks
from page.checks import FileContentError
from page.contents import Status
from viz_io import MAX_ALERTS, MAX_BARS, MAX_FILLS, MAX_OPEN_ORDERS, STATES, TRADING_SCHEMA

SIDES = ("buy", "sell")
MAX_STRATEGIES = 100
MAX_POINTS = MAX_BARS + 1
"""The last closes of bars, and the bar in progress."""


@dataclass(frozen=True)
class TradeFill:
    """Hold a fill; `time` in ms, UTC."""

    time: int
    side: str
    price: float
    quantity: float
    maker: bool
    fee: float
    strategy: str


@dataclass(frozen=True)
class OpenOrder:
    """Hold an order that rests: `remaining` is what is not filled of it."""

    side: str
    price: float
    remaining: float
    strategy: str


@dataclass(frozen=True)
class TradeAlert:
    """Hold an alert; `time` in ms, UTC."""

    time: int
    strategy: str
    text: str


@dataclass(frozen=True)
class TradePoint:
    """Hold the account at a moment; `realised` is after fees, and has the starting balance."""

    time: int
    position: float
    equity: float
    realised: float


@dataclass(frozen=True)
class Trading:
    """Hold a trading run so far; what its writer left out is None, 0 or empty.

    The counts are of all there were, the lists of the newest; open orders nearest to the mid first.
    `executes` is False of strategies that have decided on kept bars: there was no account.
    """

    instrument: str
    strategies: tuple[str, ...]
    state: str
    executes: bool = True
    reason: str | None = None
    written: int | None = None
    event_time: int | None = None
    best_bid: float | None = None
    best_ask: float | None = None
    position: float = 0.0
    equity: float = 0.0
    realised: float = 0.0
    fees: float = 0.0
    fill_count: int = 0
    fills: tuple[TradeFill, ...] = ()
    open_count: int = 0
    open_orders: tuple[OpenOrder, ...] = ()
    alert_count: int = 0
    alerts: tuple[TradeAlert, ...] = ()
    rejected: int = 0
    rejected_reason: str | None = None
    curve: tuple[TradePoint, ...] = ()


_COUNTS = ("fill_count", "open_count", "alert_count", "rejected")
_NUMBERS = ("best_bid", "best_ask", "position", "equity", "realised", "fees")
_TIMES = ("written", "event_time")
_TEXTS = ("reason", "rejected_reason")


def parse_trading(document: Any) -> Trading:
    """Return the run of a trading run's file; keys it does not know are left alone.

    Raise `FileContentError` for another schema, a state that is none of `STATES`, or a value of
    another kind than the contract's.
    """
    if not isinstance(document, dict):
        raise FileContentError(f"it holds {checks.kind_of(document)}, not an object", "shape")
    if document.get("schema") != TRADING_SCHEMA:
        found = checks.short_form(document.get("schema"))
        raise FileContentError(f"its schema is {found}, {TRADING_SCHEMA} is read", "shape")
    given = {key: value for key, value in document.items() if value is not None}
    values: dict[str, Any] = {"instrument": checks.name(given.get("instrument"), "'instrument'")}
    values["state"] = _one_of(STATES, given.get("state"), "'state'")
    names = checks.typed(given.get("strategies"), list, "'strategies'")
    checks.bounded(names, MAX_STRATEGIES, "'strategies'", "names")
    values["strategies"] = tuple(checks.name(one, "a name in 'strategies'") for one in names)
    values |= {key: _count(given[key], f"'{key}'") for key in _COUNTS if key in given}
    values |= {key: checks.number(given[key], f"'{key}'") for key in _NUMBERS if key in given}
    values |= {key: checks.timestamp(given[key], f"'{key}'") for key in _TIMES if key in given}
    values |= {key: checks.text(given[key], f"'{key}'") for key in _TEXTS if key in given}
    values["executes"] = checks.typed(given.get("executes", True), bool, "'executes'")
    balance = checks.number(given.get("balance", 0), "'balance'")
    return Trading(
        **values,
        fills=_list(given, "fills", MAX_FILLS, _fill),
        open_orders=_list(given, "open_orders", MAX_OPEN_ORDERS, _open_order),
        alerts=_list(given, "alerts", MAX_ALERTS, _alert),
        curve=_list(given, "curve", MAX_POINTS, lambda row, what: _point(row, what, balance)),
    )


def _one_of(known: tuple[str, ...], value: Any, what: str) -> str:
    if not isinstance(value, str) or value not in known:
        found = checks.short_form(value)
        raise FileContentError(f"{what} is {found}, not one of {', '.join(known)}", "shape")
    return value


def _count(value: Any, what: str) -> int:
    found = int(checks.number(value, what))
    if found < 0:
        raise FileContentError(f"{what} is {found}, less than 0", "shape")
    return found


Item = TypeVar("Item")


def _list(
    given: dict[str, Any], key: str, most: int, convert: Callable[[Any, str], Item]
) -> tuple[Item, ...]:
    """Return the items of a list; `convert` raises for one that is none."""
    items = checks.typed(given.get(key, []), list, f"'{key}'")
    checks.bounded(items, most, f"'{key}'", "entries")
    return tuple(convert(item, f"entry {index} of '{key}'") for index, item in enumerate(items))


def _fill(value: Any, what: str) -> TradeFill:
    fill = checks.typed(value, dict, what)
    return TradeFill(
        checks.timestamp(fill.get("time_ms"), f"the time of {what}"),
        _one_of(SIDES, fill.get("side"), f"the side of {what}"),
        checks.number(fill.get("price"), f"the price of {what}"),
        checks.number(fill.get("qty"), f"the quantity of {what}"),
        checks.typed(fill.get("maker"), bool, f"'maker' of {what}"),
        checks.number(fill.get("fee"), f"the fee of {what}"),
        checks.name(fill.get("strategy"), f"the strategy of {what}"),
    )


def _open_order(value: Any, what: str) -> OpenOrder:
    order = checks.typed(value, dict, what)
    return OpenOrder(
        _one_of(SIDES, order.get("side"), f"the side of {what}"),
        checks.number(order.get("price"), f"the price of {what}"),
        checks.number(order.get("remaining"), f"what remains of {what}"),
        checks.name(order.get("strategy"), f"the strategy of {what}"),
    )


def _alert(value: Any, what: str) -> TradeAlert:
    alert = checks.typed(value, dict, what)
    return TradeAlert(
        checks.timestamp(alert.get("time_ms"), f"the time of {what}"),
        checks.name(alert.get("strategy"), f"the strategy of {what}"),
        checks.text(alert.get("text"), f"the text of {what}"),
    )


def _point(value: Any, what: str, balance: float) -> TradePoint:
    """Return a point of `[time_ms, position, equity, closing, exposure, realised, fees, …]`."""
    row = checks.typed(value, list, what)
    if len(row) < 7:
        raise FileContentError(f"{what} has {len(row)} fields, at least 7 are needed", "shape")
    time, position, equity, _, _, realised, fees = (
        checks.number(number, f"a value of {what}") for number in row[:7]
    )
    checks.timestamp(time, f"the time of {what}")
    return TradePoint(int(time), position, equity, balance + realised - fees)


def trading_of_run(trading: Trading | None, status: Status | None) -> Trading | None:
    """Return the trading run if it is of the market that is shown, else None.

    It is, when the instrument is the replay's and it has not all been before or after its range.
    """
    if trading is None or status is None:
        return trading
    if (status.instrument or trading.instrument).upper() != trading.instrument.upper():
        return None
    if trading.event_time is None:
        return trading
    first = trading.curve[0].time if trading.curve else trading.event_time
    too_early = status.start is not None and trading.event_time < status.start
    too_late = status.end is not None and first >= status.end
    return None if too_early or too_late else trading
