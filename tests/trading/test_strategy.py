"""Strategies by name, their settings, and that none of them knows the future."""

import random
from decimal import Decimal
from pathlib import Path

import pytest
from messages import tick
from real_recordings import needs_recordings
from recorded_ticks import RECORDINGS, all_ticks, decisions_of, ticks_of

from orderflow.errors import UsageError
from trading.messages import SignalType, TradingSignal
from trading.order_flow_strategy import OrderFlowStrategy
from trading.orders import OrderRequest, OrderType, Side
from trading.strategy import ScriptedStrategy, make_strategy, parse_settings
from trading.support_resistance import SupportResistanceStrategy

SOURCE = """
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal
from trading.strategy import market_order

@dataclass
class MyStrategy:
    level: float
    quantity: Decimal = Decimal(1)
    count: int = 3
    fast: bool = False
    kind: Literal["a", "b"] = "a"

    def __post_init__(self):
        if self.level < 0:
            raise ValueError("the level is below 0")

    def on_tick(self, tick):
        return []

class Plain:
    def on_tick(self, tick):
        return []

class NoStrategy:
    pass
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_strategies.py").write_text(SOURCE)
    (tmp_path / "broken_strategies.py").write_text("import a_module_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    return "own_strategies:MyStrategy"


def test_strategies_come_by_name_with_their_settings() -> None:
    made = make_strategy("support-resistance", {"bar_seconds": "5", "quantity": "0.10"})
    assert made == SupportResistanceStrategy(bar_seconds=5, quantity=Decimal("0.10"))
    assert make_strategy("order-flow", {"measure": "ofi"}) == OrderFlowStrategy("ofi")


def test_ones_own_come_by_module_and_class(own: str) -> None:
    given = {"level": "2.5", "count": "7", "fast": "true", "kind": "b", "quantity": "1e-3"}
    made = make_strategy(own, given)
    assert vars(made) == {
        "level": 2.5, "count": 7, "fast": True, "kind": "b", "quantity": Decimal("0.001"),
    }  # fmt: skip
    assert type(make_strategy("own_strategies:Plain")).__name__ == "Plain"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("suport-resistance", {}, "no strategy 'suport-resistance'; did you mean support-resist"),
        (
            "mine",
            {},
            "there are metric-alert, order-flow, support-resistance, and your own as module:Class",
        ),
        ("order-flow", {"treshold": "1"}, "no setting 'treshold'; did you mean threshold"),
        ("support-resistance", {"finder": "1"}, "no setting 'finder'; it has bar_seconds, swing_"),
        ("order-flow", {"events": "1.5"}, "events cannot be '1.5': Expected `int`"),
        ("order-flow", {"events": "0"}, "events is at least 1; found 0"),
        ("order-flow", {"measure": "cvd"}, "measure cannot be 'cvd': Invalid enum value 'cvd'"),
        ("order-flow", {"threshold": "nan"}, "threshold is a finite number; found 'nan'"),
        ("order-flow", {"quantity": "ten"}, "quantity cannot be 'ten'"),
        ("order-flow", {"alert_only": "maybe"}, "alert_only cannot be 'maybe'"),
        ("own_strategies:MyStrategy", {}, "own_strategies:MyStrategy needs level"),
        ("own_strategies:MyStrategy", {"level": "-1"}, "-1'}: the level is below 0"),
        ("own_strategies:MyStrateg", {}, "no class 'MyStrateg'; did you mean MyStrategy"),
        ("own_strategies:market_order", {}, "has no class 'market_order'"),
        ("own_strategies:NoStrategy", {}, "has no method on_tick"),
        ("own_strategies:Plain", {"level": "1"}, "own_strategies:Plain has no settings; found 'le"),
        ("not_there_at_all:X", {}, "no module 'not_there_at_all' for the strategy"),
        ("own_strategies.deeper:X", {}, "no module 'own_strategies.deeper'"),
        (":X", {}, "no module ''"),
    ],
)
@pytest.mark.usefixtures("own")
def test_what_is_not_there_or_does_not_fit_is_named(
    name: str, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        make_strategy(name, settings)
    assert message in str(caught.value)


@pytest.mark.usefixtures("own")
def test_a_mistake_inside_ones_own_module_keeps_its_traceback() -> None:
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        make_strategy("broken_strategies:X")


def test_settings_are_read_as_name_and_value() -> None:
    assert parse_settings(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a"], "given as name=value; found 'a'"),
        (["=1"], "given as name=value; found '=1'"),
        (["a=1", "a=2"], "the setting a is given twice, as '1' and '2'"),
    ],
)
def test_other_text_is_no_setting(given: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_settings(given)


def test_the_scripted_one_sends_every_order_at_its_own_time_once() -> None:
    orders = [
        OrderRequest(0, Side.BUY, OrderType.LIMIT, Decimal(2), Decimal(100), 50, 70, 90),
        OrderRequest(1, Side.SELL, OrderType.MARKET, Decimal(1), None, 20),
    ]
    made = decisions_of(ScriptedStrategy(orders), [tick(1, 10), tick(2, 60)])
    assert made == [
        TradingSignal(
            instrument="BTC-USDT", time_ms=50, side=Side.BUY, order=SignalType.LIMIT,
            price=Decimal(100), quantity=Decimal(2), cancel_ms=70, valid_until_ms=90,
        ),
        TradingSignal(
            instrument="BTC-USDT", time_ms=20, side=Side.SELL, order=SignalType.MARKET,
            quantity=Decimal(1),
        ),
    ]  # fmt: skip


FLOW = {"events": "10", "threshold": "0.4", "cooldown_ms": "500"}
FAST: dict[str, tuple[str, dict[str, str]]] = {
    "levels": (
        "support-resistance",
        {"bar_seconds": "2", "swing_bars": "1", "min_strength": "1"},
    ),
    "delta": ("order-flow", FLOW),
    "ofi": ("order-flow", FLOW | {"measure": "ofi"}),
}


@needs_recordings
@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize("strategy", FAST)
def test_the_signals_before_a_cut_are_the_same_as_without_it(name: str, strategy: str) -> None:
    ticks = all_ticks(name)
    whole = decisions_of(make_strategy(*FAST[strategy]), ticks)
    assert len(whole) > 20
    rng = random.Random(name)
    cuts = sorted(rng.sample(range(len(ticks)), 50))
    for place in cuts:
        before = decisions_of(make_strategy(*FAST[strategy]), ticks[: place + 1])
        assert before == whole[: len(before)]
        assert all(made.time_ms >= ticks[place].time_ms for made in whole[len(before) :])


@needs_recordings
@pytest.mark.parametrize("name", RECORDINGS)
def test_the_ticks_before_a_cut_of_the_recording_are_the_same_as_without_it(name: str) -> None:
    whole = all_ticks(name)
    for cut in random.Random(name).sample([each.time_ms for each in whole], 4):
        assert ticks_of(name, cut) == [each for each in whole if each.time_ms < cut]


@needs_recordings
@pytest.mark.slow
@pytest.mark.parametrize("name", RECORDINGS)
def test_the_signals_of_a_recording_cut_at_any_tick_are_the_same_up_to_there(name: str) -> None:
    whole = all_ticks(name)
    decided = {key: decisions_of(make_strategy(*FAST[key]), whole) for key in FAST}
    for cut in random.Random(name).sample([each.time_ms for each in whole], 50):
        ticks = ticks_of(name, cut)
        for key, wanted in decided.items():
            found = decisions_of(make_strategy(*FAST[key]), ticks)
            assert found == [made for made in wanted if made.time_ms < cut]


@needs_recordings
@pytest.mark.parametrize("strategy", FAST)
def test_the_same_ticks_give_the_same_signals(strategy: str) -> None:
    ticks = all_ticks("futures")
    first, second = (decisions_of(make_strategy(*FAST[strategy]), ticks) for _ in range(2))
    assert first == second
