from decimal import Decimal
from fractions import Fraction
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.decimals import DecimalError, decimals_of, is_zero, multiply, order_of, pad, plain
from exchanges.levels import Level, in_base_currency, read_side
from orderflow.errors import LevelFormatError

texts = st.from_regex(r"[0-9]{1,12}(\.[0-9]{1,11})?", fullmatch=True)


@given(texts)
def test_plain_text_comes_back_digit_for_digit(text: str) -> None:
    assert plain(text) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-08, "0.00000001"), ("1e-8", "0.00000001"), (30218.8, "30218.8"), (100.0, "100"),
     (7, "7"), ("1E+2", "100"), (Decimal("0.0012029"), "0.0012029"), (0.1, "0.1")],
)  # fmt: skip
def test_numbers_become_the_shortest_plain_text(value: object, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    "value",
    ["", "-1", "nan", "inf", "1e999999999", "1e-999999999", " ", "1_0", "\u0661", True, None, [],
     {}, 1e300, float("nan"), -0.5, "1,5", "1" * 31, "0." + "1" * 19, "0x10", "1\n"],
)  # fmt: skip
def test_what_is_no_decimal_of_an_exchange_is_refused(value: object) -> None:
    with pytest.raises(DecimalError, match="must be a decimal of at most 30 digits"):
        plain(value)


@given(texts, st.integers(0, 12))
def test_padding_adds_zeros_and_changes_no_value(text: str, decimals: int) -> None:
    padded = pad(text, decimals)
    assert padded.startswith(text)
    assert decimals_of(padded) == max(decimals, decimals_of(text))
    assert Decimal(padded) == Decimal(text)


@given(texts, texts)
def test_order_is_that_of_the_values(one: str, other: str) -> None:
    assert (order_of(one) < order_of(other)) == (Decimal(one) < Decimal(other))
    assert order_of(one) == order_of(pad(one, 15))
    assert is_zero(one) == (Decimal(one) == 0)


@given(texts, texts)
def test_a_product_is_exact(one: str, other: str) -> None:
    try:
        product = multiply(one, other)
    except DecimalError:
        assert decimals_of(one) + decimals_of(other) > 18
    else:
        assert Fraction(product) == Fraction(one) * Fraction(other)


def test_contracts_become_base_currency() -> None:
    assert in_base_currency([Level("64000", "13"), Level("1", "0")], "0.01") == (
        Level("64000", "0.13"),
        Level("1", "0"),
    )


def test_bare_numbers_keep_the_digits_they_were_written_with() -> None:
    levels, rejected = read_side('[[27120.10, 0.00100000], ["5","1"], [1, 2.50, 3]]')
    assert levels == [Level("27120.10", "0.00100000"), Level("5", "1"), Level("1", "2.50", "3")]
    assert rejected == 0


def test_orders_are_the_last_of_three_or_four_fields() -> None:
    assert read_side('[["1","2","0","7"],["3","4","5"],["6","7"]]')[0] == [
        Level("1", "2", "7"),
        Level("3", "4", "5"),
        Level("6", "7"),
    ]


def test_a_level_that_is_not_usable_is_counted() -> None:
    assert read_side('[["0","1"],["x","1"],["1"],null,{"a":1},["1","2"]]') == ([Level("1", "2")], 5)


@pytest.mark.parametrize("raw", [None, "", b"", " ", "null", "[]", []])
def test_empty_sides_are_empty(raw: str | None) -> None:
    assert read_side(raw) == ([], 0)


@pytest.mark.parametrize("raw", ["{}", "7", '"x"', "[[1,2]", b"\xff", "[" * 5000, "[1,1e999]["])
def test_what_is_no_array_is_refused(raw: str | bytes) -> None:
    with pytest.raises(LevelFormatError, match="levels must be a JSON array"):
        read_side(raw)


NUMBERS = st.one_of(
    st.from_regex(r"\A[0-9]{1,32}(\.[0-9]{1,20})?\Z"),
    st.sampled_from(["0", "0.0", "00.10", "1e5", "-1", "", ".5", "5.", "1_0", "\u0661"]),
)


@given(
    st.lists(
        st.one_of(
            st.tuples(NUMBERS, NUMBERS),
            st.tuples(NUMBERS, NUMBERS, NUMBERS),
            st.tuples(NUMBERS, NUMBERS, st.sampled_from(["0", "7", "x"]), NUMBERS),
        ),
        max_size=5,
    )
)
def test_levels_as_exchanges_write_them_are_read_as_any_others_are(levels: list[Any]) -> None:
    text = orjson.dumps(levels)
    assert read_side(text) == read_side(b" " + text) == read_side(text.decode())
