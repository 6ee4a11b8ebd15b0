"""What options ask for: whose setting it is, what has a name, numbers to their last digit."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from orderflow.errors import UsageError
from trading.setup import balance_of, endpoints_of, gate_of, rules_of, strategies_of, strategy_of
from trading.strategy import OrderFlowStrategy, ScriptedStrategy, SupportResistanceStrategy

NONE: dict[str, Any] = {"strategies": None, "settings": None, "orders": None, "tick": None}
RULES: dict[str, Any] = {
    "entry_ms": 7, "response_ms": 3, "whole_fills": False, "partial_makers": True,
    "accept_unreliable": True, "maker": "-0.0001", "taker": "0.00050", "contract_size": "0.01",
    "inverse": True, "tick": "0.10", "lot": None,
}  # fmt: skip
LIMITS: dict[str, Any] = {
    "max_position": "2.5", "max_orders": 4, "rate_window_ms": 500, "max_loss": "100",
}  # fmt: skip


def chosen(*names: str, settings: tuple[str, ...] = (), **more: Any) -> dict[str, dict[str, str]]:
    given = NONE | {"strategies": list(names), "settings": list(settings)} | more
    return {name: dict(one.settings) for name, one in strategies_of(given).items()}


def test_a_setting_goes_to_all_that_have_it_or_to_the_one_that_is_named() -> None:
    found = chosen(
        "support-resistance", "order-flow", "slow=order-flow",
        settings=("quantity=0.5", "slow.events=200", "slow.quantity=2", "bar_seconds=5"),
    )  # fmt: skip
    assert found == {
        "support-resistance": {"quantity": "0.5", "bar_seconds": "5"},
        "order-flow": {"quantity": "0.5"},
        "slow": {"quantity": "2", "events": "200"},
    }


def test_the_contracts_tick_goes_to_those_that_have_one_and_are_not_told_otherwise() -> None:
    names = ("a=support-resistance", "b=support-resistance", "order-flow")
    found = chosen(*names, settings=("b.tick=2",), tick="0.5")
    assert found == {"a": {"tick": "0.5"}, "b": {"tick": "2"}, "order-flow": {}}


def test_each_choice_makes_a_strategy_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "o.json").write_text("[]")
    given = NONE | {"strategies": ["a=order-flow", "support-resistance"]}
    found = strategies_of(given | {"orders": tmp_path / "o.json"})
    kinds = [OrderFlowStrategy, SupportResistanceStrategy, ScriptedStrategy]
    assert [type(one.make()) for one in found.values()] == kinds
    assert list(found) == ["a", "support-resistance", "orders"]


def test_a_strategy_by_itself_has_the_settings_it_has_in_a_run() -> None:
    alone = strategy_of("slow=order-flow", ["events=200"], None)
    assert (alone.name, alone.kind, alone.settings) == ("slow", "order-flow", {"events": "200"})


@pytest.mark.parametrize(
    ("name", "orders"), [("orders", None), ("order-flow", Path("o.json"))], ids=["none", "foreign"]
)
def test_a_list_of_orders_goes_with_its_own_strategy_alone(name: str, orders: Path | None) -> None:
    with pytest.raises(UsageError, match="--orders FILE goes with the strategy named orders"):
        strategy_of(name, None, orders)


@pytest.mark.parametrize(
    "name", ["", "=order-flow", "executor=order-flow", "orders", "-x=order-flow", 101 * "x"]
)
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="the name of"):
        chosen(name)


def test_numbers_mean_what_their_digits_say() -> None:
    rules = rules_of(RULES)
    assert (rules.entry_ms, rules.response_ms) == (7, 3)
    assert (rules.fees.maker, rules.fees.taker) == (Decimal("-0.0001"), Decimal("0.0005"))
    assert (rules.contract.size, rules.contract.tick) == (Decimal("0.01"), Decimal("0.1"))
    assert (rules.contract.lot, rules.contract.inverse) == (None, True)
    assert (rules.partial_makers, rules.accept_unreliable) == (True, True)
    limits = gate_of(LIMITS).limits
    assert (limits.max_position, limits.max_loss) == (Decimal("2.5"), Decimal(100))
    assert (limits.max_orders, limits.rate_window_ms) == (4, 500)


@pytest.mark.parametrize("text", ["x", "", "nan", "inf", "0x1", "1_0", " 1", "\u0661"])
def test_what_is_no_number_is_refused_by_the_name_of_its_option(text: str) -> None:
    with pytest.raises(UsageError, match=r"--contract-size is a number, such as 0\.01; found"):
        rules_of(RULES | {"contract_size": text})


@pytest.mark.parametrize("name", ["max_position", "max_orders", "rate_window_ms", "max_loss"])
def test_a_limit_that_is_not_above_0_is_refused(name: str) -> None:
    nothing = "0" if isinstance(LIMITS[name], str) else 0
    with pytest.raises(UsageError, match=f"{name} is above 0; found 0"):
        gate_of(LIMITS | {name: nothing})


@pytest.mark.parametrize("text", ["0", "-100"])
def test_a_balance_that_is_not_above_0_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"--balance is above 0; found {text}"):
        balance_of({"balance": text})
    assert balance_of({"balance": None}) is None
    assert balance_of({"balance": "1e3"}) == 1000


def test_endpoints_are_in_a_directory_unless_they_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"ticks": None, "control": None, "signals": None, "answers": None}
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    usual = endpoints_of({"endpoints": None, **names})
    assert usual.control == f"ipc://{tmp_path}/orderflow-trading/control"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    at_home = endpoints_of({"endpoints": None, **names})
    assert at_home.ticks == f"ipc://{tmp_path}/.cache/orderflow-replay/trading/ticks"
    named = endpoints_of({"endpoints": Path("/x"), **names, "ticks": "tcp://127.0.0.1:5000"})
    assert (named.ticks, named.answers) == ("tcp://127.0.0.1:5000", "ipc:///x/answers")
