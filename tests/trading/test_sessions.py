"""A session hands ticks to a strategy and checks what it makes of them, before anybody gets it."""

import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from trading.decisions import market_order
from trading.gateway import new_start
from trading.messages import (
    SERIALIZER,
    Alert,
    Bar,
    BarWindow,
    Event,
    TickEvent,
    TickKind,
    TradingSignal,
    Window,
    window_of,
)
from trading.orders import LATEST_MS, Side
from trading.protocol import RunStoppedError, StrategyFailedError
from trading.sessions import StrategySession

START = new_start("BTC-USDT", ["a"])
TICKS = tuple(
    TickEvent(START.run_id, n, "BTC-USDT", TickKind.BOOK, 1000 + n, best_bid=99.0, best_ask=101.0)
    for n in range(1, 6)
)
WINDOW = Window(START.run_id, 1, 1010, TICKS)


class Third:
    """A strategy that does one thing, at the third tick."""

    def __init__(self, act: Callable[[TradingSignal], Any]) -> None:
        self._act = act

    def on_tick(self, tick: TickEvent) -> Any:
        if tick.number != 3:
            return []
        order = market_order(tick, Side.BUY, Decimal(1), "why")
        assert isinstance(order, TradingSignal)
        return self._act(order)


def no_idle() -> None:
    pass


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda _: sys.exit(0), "SystemExit(0)"),
        (lambda _: sys.exit("bye"), "SystemExit('bye')"),
        (lambda order: [replace(order, time_ms=1 << 62)], "$.time_ms"),
        (lambda order: [replace(order, time_ms=1 << 70)], "it cannot be written"),
        (lambda order: [replace(order, cancel_ms=LATEST_MS + 1)], "$.cancel_ms"),
        (lambda order: [replace(order, reason="x" * 2001)], "$.reason"),
        (lambda order: [replace(order, reason="\ud800")], "it cannot be written"),
        (lambda order: [replace(order, mid=float("nan"))], "$.mid"),
        (lambda order: [replace(order, quantity=None)], "have a quantity"),
        (lambda _: [Alert(instrument="BTC-USDT", time_ms=-1, text="")], "$.time_ms"),
        (lambda _: "abc", "found 'a'"),
        (lambda _: [1, 2], "found 1"),
        (lambda _: None, "TypeError("),
    ],
)
def test_what_a_strategy_may_not_do_is_named_with_its_tick(
    act: Callable[[TradingSignal], Any], said: str
) -> None:
    session = StrategySession("a", Third(act), START)
    with pytest.raises(StrategyFailedError, match="at tick 3") as caught:
        session.work(WINDOW, 0.0, no_idle)
    assert said in str(caught.value)
    assert caught.value.name == "a"


def test_signals_and_alerts_are_numbered_apart_and_otherwise_as_they_were() -> None:
    alert = Alert(instrument="BTC-USDT", time_ms=1003, text="look", price=1.5)

    def act(order: TradingSignal) -> list[Any]:
        return [order, alert, replace(order, quantity=Decimal("0.10"))]

    message = StrategySession("a", Third(act), START).work(WINDOW, 0.0, no_idle)
    assert message is not None
    own = {"run_id": START.run_id, "strategy": "a"}
    assert message.alerts == (replace(alert, number=1, **own),)
    assert [signal.number for signal in message.signals] == [1, 2]
    assert [str(signal.quantity) for signal in message.signals] == ["1", "0.10"]
    assert message.signals[0].mid == 100.0


class Listing:
    """A strategy that notes what it is shown."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_tick(self, tick: TickEvent) -> list[Alert]:
        self.seen.append(f"tick {tick.number}")
        return []

    def on_bar(self, bar: Bar) -> list[Alert]:
        self.seen.append(f"bar {bar.number}")
        return [Alert(instrument="BTC-USDT", time_ms=bar.end_ms, text="")]


def bar_after(number: int, after: int) -> Bar:
    return Bar(
        run_id=START.run_id, instrument="BTC-USDT", kind="time", size=1.0, number=number,
        after=after, time_ms=1000, start_ms=0, end_ms=1000,
    )  # fmt: skip


def test_bars_are_handed_over_between_the_ticks_at_their_places() -> None:
    events: list[Event] = [bar_after(7, 0), *TICKS[:2], bar_after(8, 2), bar_after(9, 2)]
    events += [*TICKS[2:], bar_after(10, 5)]
    strategy = Listing()
    window = window_of(START.run_id, 1, 1010, events)
    message = StrategySession("a", strategy, START).work(window, 0.0, no_idle)
    assert strategy.seen == ["bar 7", "tick 1", "tick 2", "bar 8", "bar 9", "tick 3", "tick 4",
                             "tick 5", "bar 10"]  # fmt: skip
    assert message is not None
    assert [alert.number for alert in message.alerts] == [1, 2, 3, 4]
    again = SERIALIZER.decode(SERIALIZER.encode(window))
    assert again == window
    assert isinstance(again, BarWindow)


def test_a_window_without_bars_is_the_same_bytes_as_ever() -> None:
    window = window_of(START.run_id, 1, 1010, TICKS)
    assert type(window) is Window
    assert SERIALIZER.encode(window) == SERIALIZER.encode(WINDOW)
    assert b"bar" not in SERIALIZER.encode(window)


def test_a_failure_at_a_bar_is_named_with_the_bar() -> None:
    session = StrategySession("a", Listing(), START)
    window = window_of(START.run_id, 1, 1010, [*TICKS, replace(bar_after(1234, 5), end_ms=1 << 61)])
    with pytest.raises(StrategyFailedError, match="at bar 1,234"):
        session.work(window, 0.0, no_idle)


def test_being_stopped_between_ticks_is_no_failure_of_the_strategy() -> None:
    def idle() -> None:
        raise RunStoppedError("a")

    with pytest.raises(RunStoppedError):
        StrategySession("a", Third(lambda _: []), START).work(WINDOW, 0.0, idle)
