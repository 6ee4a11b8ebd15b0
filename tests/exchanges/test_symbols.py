from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.symbols import (
    binance_symbol,
    binance_usdm_symbol,
    by_symbol,
    kraken_symbol,
    kraken_v1_symbol,
    trade_number,
)
from exchanges.timestamps import format_rfc3339, format_seconds, parse_rfc3339, parse_seconds
from exchanges.wire import FrameError, UnmappableError
from orderflow.errors import UsageError
from orderflow.instruments import Instrument


def instrument(name: str) -> Instrument:
    return Instrument(name, "0.1", "0.01")


def test_a_spot_pair_has_a_name_everywhere() -> None:
    pair = instrument("BTC-USDT")
    assert binance_symbol(pair) == "BTCUSDT"
    assert kraken_symbol(pair) == "BTC/USDT"
    assert kraken_v1_symbol(pair) == "XBT/USDT"
    assert kraken_v1_symbol(instrument("DOGE-BTC")) == "XDG/XBT"


def test_a_linear_contract_has_a_name_on_usdm_alone() -> None:
    assert binance_usdm_symbol(instrument("BTC-USDT-SWAP")) == "BTCUSDT"
    assert binance_usdm_symbol(instrument("BTC-USDT-220527")) == "BTCUSDT_220527"
    for name in (binance_symbol, kraken_symbol, kraken_v1_symbol):
        with pytest.raises(UnmappableError, match="has spot pairs alone; BTC-USDT-SWAP is of kind"):
            name(instrument("BTC-USDT-SWAP"))


@pytest.mark.parametrize(
    "name", ["BTC-USD-SWAP", "BTC-USD-220527", "BTC-USDT", "BTC-USD-220527-30000-C"]
)
def test_what_is_not_linear_has_no_name_on_usdm(name: str) -> None:
    with pytest.raises(UnmappableError, match="has swaps and futures settled in USDT or USDC"):
        binance_usdm_symbol(instrument(name))


def test_two_instruments_of_one_name_are_refused() -> None:
    found = by_symbol([instrument("BTC-USDT"), instrument("ETH-USDT")], binance_symbol)
    assert set(found) == {"BTCUSDT", "ETHUSDT"}
    with pytest.raises(UnmappableError, match="would both be ABC"):
        by_symbol([instrument("A-BC"), instrument("AB-C")], binance_symbol)


@pytest.mark.parametrize("text", [None, "", "x", "1.5", "-1", "9" * 19])
def test_a_trade_id_that_is_no_integer_is_refused(text: str | None) -> None:
    with pytest.raises(UnmappableError, match="as trade ids; found"):
        trade_number(text, "Kraken")


@pytest.mark.parametrize("name", ["BTC", "BTC-", "BTC-USDT-PERP", "-", "BTC-USD-1", "BTC/USDT"])
def test_a_name_of_no_known_form_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        instrument(name)


@pytest.mark.parametrize("step", ["0", "0.00", "-1", "1e-8", "", "x"])
def test_a_step_must_be_a_plain_decimal_above_zero(step: str) -> None:
    with pytest.raises(UsageError, match="must be a decimal above 0"):
        Instrument("BTC-USDT", step, "1")


@given(st.datetimes(datetime(1970, 1, 1), datetime(2399, 12, 31)))
def test_times_are_written_and_read_as_the_calendar_has_them(moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC)
    time_us = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    text = format_rfc3339(time_us)
    assert text == f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z"
    assert parse_rfc3339(text) == time_us
    if time_us < 10**17:
        assert parse_seconds(format_seconds(time_us)) == time_us


@pytest.mark.parametrize("text", ["2023-02-29T00:00:00Z", "2023-13-01T00:00:00Z", "x", None, 7,
                                  "2023-01-01T24:00:00Z", "2023-00-10T00:00:00Z"])  # fmt: skip
def test_what_is_no_time_is_refused(text: object) -> None:
    with pytest.raises(FrameError, match="a time must be RFC 3339"):
        parse_rfc3339(text)


def test_finer_digits_of_a_time_are_cut() -> None:
    assert parse_rfc3339("1970-01-01T00:00:01.1234569Z") == 1_123_456
    assert parse_rfc3339("1970-01-01T00:00:01Z") == 1_000_000
