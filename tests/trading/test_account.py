"""Fees, cash, profit by average cost, and the limits."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper_examples import PAGE

from orderflow.errors import UsageError
from trading.account import Account, Contract, Fees, RiskGate, RiskLimits
from trading.orders import Fill, Side

LINEAR = Contract()
INVERSE = Contract(Decimal(100), inverse=True)
RATES = Fees(Decimal("-0.0001"), Decimal("0.0005"))


def fill(contract: Contract, side: Side, quantity: str, price: str, *, maker: bool) -> Fill:
    exact = Decimal(price), Decimal(quantity)
    fee = RATES.of(contract.value(*exact), maker=maker)
    return Fill(0, 0, side, *exact, maker, fee)


@pytest.mark.parametrize(("contract", "column"), [(LINEAR, 0), (INVERSE, 1)])
def test_the_table_of_rule_13_is_right(contract: Contract, column: int) -> None:
    rows = PAGE.read_text().split("### 13.")[1].split("## ")[0].splitlines()
    cells = [row.split("|")[2:4] for row in rows if row.startswith("|") and "rate" in row]
    account = Account(contract)
    said = []
    bought = fill(contract, Side.BUY, "2", "100", maker=True)
    sold = fill(contract, Side.SELL, "1", "125", maker=False)
    account.add(bought)
    said.append(f"fee {bought.fee.normalize():f}, cash {account.cash:f}")
    account.add(sold)
    said.append(
        f"fee {sold.fee.normalize():f}, cash {account.cash:f}, realised {account.realised:f}"
    )
    assert [row[column].strip() for row in cells] == said
    assert account.fees == bought.fee + sold.fee
    assert (account.maker_fees, account.taker_fees) == (bought.fee, sold.fee)


def test_going_from_long_to_short_closes_at_average_cost_and_opens_at_the_price() -> None:
    account = Account()
    for side, quantity, price in (("buy", "1", "100"), ("buy", "3", "108"), ("sell", "6", "110")):
        account.add(fill(LINEAR, Side(side), quantity, price, maker=True))
    assert account.realised == 4 * (110 - 106)
    assert account.position == -2
    assert account.average_cost == 110
    account.add(fill(LINEAR, Side.BUY, "2", "111", maker=True))
    assert account.realised == account.cash == 14
    assert account.position == 0
    assert account.average_cost is None


def test_the_average_cost_of_an_inverse_contract_is_the_harmonic_mean() -> None:
    account = Account(INVERSE)
    account.add(fill(INVERSE, Side.SELL, "1", "50", maker=True))
    account.add(fill(INVERSE, Side.SELL, "1", "200", maker=True))
    assert account.average_cost == 80
    account.add(fill(INVERSE, Side.BUY, "2", "80", maker=True))
    assert account.realised == 0


trades = st.tuples(st.sampled_from(Side), st.integers(1, 10**8), st.integers(1, 10**8))


@pytest.mark.parametrize("contract", [LINEAR, INVERSE])
@given(deals=st.lists(trades, max_size=8), mark=st.integers(1, 10**8))
def test_equity_is_realised_and_open_profit_less_fees(
    contract: Contract, deals: list[tuple[Side, int, int]], mark: int
) -> None:
    account = Account(contract)
    paid = Fraction(0)
    for side, quantity, price in deals:
        found = fill(contract, side, f"{quantity}e-8", f"{price}e-4", maker=quantity % 2 == 0)
        account.add(found)
        paid += Fraction(found.fee)
    last = Decimal(mark).scaleb(-4)
    sign = (1 if account.position > 0 else -1) * (-1 if contract.inverse else 1)
    worth = Fraction(contract.value(last, abs(account.position)))
    profit = Fraction(account.realised) + sign * (worth - Fraction(account.open_value))
    difference = Fraction(account.equity(last)) - (profit - paid)
    # Quotients are rounded to 60 digits.
    assert abs(difference) < Fraction(1, 10**35)


@pytest.mark.parametrize("name", ["size", "tick", "lot"])
@pytest.mark.parametrize("value", ["0", "-1", "NaN"])
def test_a_contract_that_cannot_be_is_refused(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"a contract's {name} is a number above 0; found"):
        Contract(**{name: Decimal(value)})  # type: ignore[arg-type]


def test_the_order_rate_is_of_any_window_of_event_time() -> None:
    gate = RiskGate(RiskLimits(max_orders=2, rate_window_ms=100))
    times = [0, 50, 99, 100, 149, 150]
    refused = [bool(gate.refusal(Side.BUY, Decimal(1), t, Decimal(0), Decimal(0))) for t in times]
    assert refused == [False, False, True, False, True, False]


@pytest.mark.parametrize(
    ("side", "position", "open_quantity", "refused"),
    [("buy", 3, 1, False), ("buy", 3, 2, True), ("sell", 3, 7, False), ("sell", -3, 2, True)],
)
def test_the_position_limit_counts_what_is_open_on_the_side(
    side: str, position: int, open_quantity: int, refused: bool
) -> None:
    gate = RiskGate(RiskLimits(max_position=Decimal(5)))
    found = gate.refusal(Side(side), Decimal(1), 0, Decimal(position), Decimal(open_quantity))
    assert found == ("position limit: 6 of 5" if refused else "")
