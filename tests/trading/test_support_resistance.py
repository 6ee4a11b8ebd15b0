"""Levels and signals are those of the definition in docs/trading.md."""

import random
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from levels_by_definition import Definition, bars_of
from messages import tick
from real_recordings import needs_recordings
from recorded_ticks import RECORDINGS, all_ticks, decisions_of

from orderflow.errors import UsageError
from trading.messages import Alert, TickEvent, TradingSignal
from trading.support_resistance import LevelFinder, PriceBar, SupportResistanceStrategy

OPTIONS: dict[str, Any] = {
    "bar_seconds": 5, "swing_bars": 3, "tolerance": 0.5, "range_bars": 14, "min_strength": 2,
    "max_age_bars": 40,
}  # fmt: skip


def by_definition(ticks: list[TickEvent], options: dict[str, Any]) -> list[tuple[Any, ...]]:
    definition = Definition(
        bars_of(ticks, options["bar_seconds"]), k=options["swing_bars"], c=options["tolerance"],
        n=options["range_bars"], tick=options.get("tick", 0.0), s=options["min_strength"],
        m=options["max_age_bars"],
    )  # fmt: skip
    made = []
    for found in definition.found:
        closed_by = definition.bars[found.bar].closed_by
        reason = f"{found.event} at {found.role} {found.price:.10g}, strength {found.strength}"
        made.append((closed_by.time_ms, found.side, reason))
    return made


def by_strategy(ticks: list[TickEvent], options: dict[str, Any]) -> list[tuple[Any, ...]]:
    made = decisions_of(SupportResistanceStrategy(**options), ticks)
    assert all(isinstance(one, TradingSignal) for one in made)
    return [(one.time_ms, one.side, one.reason) for one in made if isinstance(one, TradingSignal)]


@needs_recordings
@pytest.mark.parametrize("name", RECORDINGS)
@pytest.mark.parametrize(
    "changed",
    [{}, {"swing_bars": 1, "bar_seconds": 2}, {"tolerance": 0.2, "min_strength": 1}],
    ids=str,
)
def test_signals_on_real_ticks_are_those_of_the_definition(
    name: str, changed: dict[str, Any]
) -> None:
    ticks = all_ticks(name)
    wanted = by_definition(ticks, OPTIONS | changed)
    assert by_strategy(ticks, OPTIONS | changed) == wanted
    assert len(wanted) > 2


def walk(seed: int, count: int = 3000) -> list[TickEvent]:
    """Make ticks of a price that goes up and down in whole steps, back to where it has been."""
    rng = random.Random(seed)
    now, price, made = 1_000_000_000, 100, []
    for number in range(count):
        now += rng.choice([0, 1, 100, 400, 1000, 3000])
        price = min(112, max(88, price + rng.choice([-2, -1, 0, 1, 2])))
        made.append(tick(number, now, float(price) if rng.random() < 0.7 else None))
    return made


@pytest.mark.parametrize("seed", range(6))
def test_signals_on_a_walk_are_those_of_the_definition(seed: int) -> None:
    rng = random.Random(seed)
    options = OPTIONS | {
        "swing_bars": rng.choice([1, 2, 3]),
        "tolerance": rng.choice([0.0, 0.25, 0.5]),
        "tick": rng.choice([0.0, 0.5]),
        "max_age_bars": rng.choice([3, 10, 40]),
        "min_strength": rng.choice([1, 2]),
    }
    ticks = walk(seed)
    wanted = by_definition(ticks, options)
    assert by_strategy(ticks, options) == wanted
    kinds = Counter(reason.split()[0] for _, _, reason in wanted)
    assert min(kinds["bounce"], kinds["break"]) > 1


def flat(close: float) -> PriceBar:
    return PriceBar(close, close, close)


def finder(**changed: Any) -> LevelFinder:
    given: dict[str, Any] = {
        "swing_bars": 1, "range_bars": 5, "factor": 0.0, "least": 1.0, "min_strength": 1,
        "max_age_bars": 100,
    }  # fmt: skip
    return LevelFinder(**given | changed)


def test_a_swing_is_a_level_at_the_close_of_the_last_bar_it_is_compared_with() -> None:
    levels = finder(swing_bars=2)
    for close in (101, 103, 110, 105):
        levels.add(flat(close))
        assert levels.levels == []
    levels.add(flat(104))
    assert [(level.price, level.strength, level.touched) for level in levels.levels] == [
        (110, 1, 2)
    ]


def test_swings_within_the_tolerance_make_one_level_at_their_mean() -> None:
    levels = finder()
    for close in (100, 110, 105, 111, 100, 112.5, 100):
        levels.add(flat(close))
    above = [level for level in levels.levels if level.price > 106]
    assert [(level.swings, level.price) for level in above] == [
        ([110, 111], 110.5),
        ([112.5], 112.5),
    ]


def test_a_bounce_buys_and_a_break_sells_once_for_a_touch() -> None:
    levels = finder()
    closes = (110, 100, 110, 100.5, 100.6, 120, 120, 98.5, 98.7)
    made = [levels.add(flat(close)) for close in closes]
    # The bar after a signal belongs to the same touch.
    assert [(i, d.side.value, d.event, d.role, d.price) for i, each in enumerate(made) for d in each
            if d.role == "support"] == [
        (3, "buy", "bounce", "support", 100.0),
        (7, "sell", "break", "support", 100.25),
    ]  # fmt: skip


def test_a_level_that_two_closes_have_passed_is_dropped() -> None:
    levels = finder()
    for close in (110, 100, 110, 98, 105, 98):  # the first close beyond it is taken back
        levels.add(flat(close))
    assert 100 in [level.price for level in levels.levels]
    levels.add(flat(97))
    assert 100 not in [level.price for level in levels.levels]


def test_a_level_that_is_not_touched_for_long_is_dropped() -> None:
    levels = finder(max_age_bars=4)
    for close in (110, 100, 110):  # the swing is bar 1
        levels.add(flat(close))
    for close in (120, 121):  # bars 3 and 4
        levels.add(flat(close))
        assert [level.price for level in levels.levels] == [100]
    levels.add(flat(122))
    assert levels.levels == []


def test_with_alert_only_it_says_what_it_would_have_done() -> None:
    ticks = walk(1)
    options = OPTIONS | {"min_strength": 1}
    said = decisions_of(SupportResistanceStrategy(**options, alert_only=True), ticks)
    assert all(isinstance(one, Alert) for one in said)
    assert [one.text for one in said if isinstance(one, Alert)] == [
        f"{side}: {reason}" for _, side, reason in by_strategy(ticks, options)
    ]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"bar_seconds": 0}, "bar_seconds is at least 1; found 0"),
        ({"tolerance": -0.5}, "tolerance is at least 0; found -0.5"),
        ({"tick": float("inf")}, "tick is at least 0; found inf"),
        ({"quantity": Decimal(0)}, "quantity is above 0; found 0"),
    ],
)
def test_settings_that_cannot_be_meant_are_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SupportResistanceStrategy(**given)
