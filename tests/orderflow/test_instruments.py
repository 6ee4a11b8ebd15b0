import pytest

from orderflow.errors import UsageError
from orderflow.instruments import check_instrument, nearest_first, parse_contract_values


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


def test_contract_values_are_of_okx_names_or_of_any() -> None:
    texts = ["XBTUSD=1", "BTC-USDT-SWAP=0.01"]
    assert parse_contract_values(texts, any_name=True) == {"XBTUSD": "1", "BTC-USDT-SWAP": "0.01"}
    with pytest.raises(UsageError, match="a name is BASE-QUOTE"):
        parse_contract_values(texts)
    for text in ("../x=1", "X=0", "X=1e3", "X"):
        with pytest.raises(UsageError):
            parse_contract_values([text], any_name=True)
