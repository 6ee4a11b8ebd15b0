import pytest

from orderflow.errors import UsageError
from orderflow.instruments import check_instrument, nearest_first


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "*",
        "%",
        "",
        "..",
        ".",
        "a/b",
        "BTC USDT",
        "BTC-USDT\n",
        "\x00",
        "BTC?",
        "БТЦ",
        "a;b",
    ],
)
def test_a_name_that_is_no_instruments_is_a_usage_error(name: str) -> None:
    with pytest.raises(UsageError, match="an instrument has only letters, digits") as caught:
        check_instrument(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["BTC-USDT", "BTC-USD-220527-30000-C", "a_b.c", "..a"])
def test_letters_digits_and_three_signs_are_allowed(name: str) -> None:
    check_instrument(name)


def test_names_are_sorted_by_how_near_they_are_whatever_their_case() -> None:
    names = ["ETH-EUR", "BTC-USDT-SWAP", "btc-usdt"]
    assert nearest_first("BTC-USDT", names) == ["btc-usdt", "BTC-USDT-SWAP", "ETH-EUR"]
