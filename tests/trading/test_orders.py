"""What an order may say, and exact numbers."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.orders import OrderError, OrderRequest, OrderType, Side, decimals_of, exact, signed

USABLE: dict[str, Any] = {
    "order": 3,
    "side": Side.BUY,
    "type": OrderType.LIMIT,
    "quantity": Decimal(1),
    "price": Decimal(100),
    "sent_ms": 10,
}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"price": None}, "a limit or post_only order has a price, and a market order none"),
        ({"type": OrderType.MARKET}, "found market with price 100"),
        (
            {"quantity": Decimal(0)},
            "qty is above 0, below 1000000000000000 and has at most 18 decimals",
        ),
        ({"quantity": Decimal("NaN")}, "found NaN"),
        ({"quantity": Decimal("-1")}, "found -1"),
        ({"price": Decimal("Infinity")}, "price is above 0"),
        ({"price": Decimal("1e15")}, "found 1E\\+15"),
        ({"price": Decimal("1e-19")}, "at most 18 decimals; found 1E-19"),
        ({"sent_ms": -1}, "sent_ms is a time in ms from 1970 to 9999; found -1"),
        ({"cancel_ms": 1 << 62}, "cancel_ms is a time in ms"),
        ({"valid_until_ms": 10**30}, "valid_until_ms is a time in ms"),
        ({"cancel_ms": 9}, "sent at 10 is cancelled at that time or later; found 9"),
    ],
)
def test_an_order_that_cannot_be_meant_says_what_is_wrong(
    changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(OrderError, match=message) as caught:
        OrderRequest(**(USABLE | changed))
    assert str(caught.value).startswith("order 3: ")
    assert caught.value.order == 3


@given(st.integers(1, 10**15 - 1), st.integers(0, 11))
def test_a_recorded_number_of_15_digits_is_what_its_text_said(digits: int, decimals: int) -> None:
    text = Decimal(digits).scaleb(-decimals)
    assert exact(float(text)) == text


@pytest.mark.parametrize(
    ("text", "decimals"), [("1", 0), ("1.0", 0), ("1.50", 1), ("1e3", 0), ("1e-11", 11)]
)
def test_decimals_are_counted_without_zeros_at_the_end(text: str, decimals: int) -> None:
    assert decimals_of(Decimal(text)) == decimals


def test_a_sign_changes_no_digit() -> None:
    long = Decimal("1." + "1" * 50)
    assert str(signed(long, -1)) == f"-{long}"
    assert signed(long, 1) is long
