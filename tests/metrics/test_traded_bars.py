"""The compiled twins that make bars of trades do what those in Python do, to the last bit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.rolling_bars import CompensatedSum, PythonCompensatedSum
from metrics.traded_bars import delta_bars, price_bars, python_delta_bars, python_price_bars
from orderflow.events import Trade

WINDOW_MS = 5
prices = st.floats(min_value=1e-9, max_value=1e12)
sizes = st.floats(min_value=0.0, max_value=1e12) | st.just(0.0)
trades = st.lists(
    st.tuples(
        st.just(1), st.none(), prices, sizes, st.sampled_from(("buy", "sell", "other", None)),
        st.integers(-20, 40),
    ),
).map(lambda found: sorted(found, key=lambda trade: trade[5]))  # fmt: skip
cuts = st.integers(0, 10)


def parts(given: list[Trade], cut: int) -> list[list[Trade]]:
    """Cut trades into two lists, as two batches of rows would."""
    return [given[:cut], given[cut:]]


@pytest.mark.skipif(price_bars is python_price_bars, reason="nothing is compiled here")
@given(trades, cuts)
def test_prices(found: list[Trade], cut: int) -> None:
    sums, expected_sums = [[kind(), kind()] for kind in (CompensatedSum, PythonCompensatedSum)]
    bar: list[float] = []
    for part in parts(found, cut):
        bars = price_bars(part, WINDOW_MS, bar, *sums)
        expected = python_price_bars(part, WINDOW_MS, bar, *expected_sums)
        assert repr(bars) == repr(expected)
        bar = bars[-1] if bars else []
    assert repr([one.value for one in sums]) == repr([one.value for one in expected_sums])


@pytest.mark.skipif(delta_bars is python_delta_bars, reason="nothing is compiled here")
@given(trades, cuts, sizes)
def test_deltas(found: list[Trade], cut: int, before: float) -> None:
    cvd, expected_cvd = CompensatedSum(), PythonCompensatedSum()
    for one in (cvd, expected_cvd):
        one.add([before])
    bar: list[float] = []
    for part in parts(found, cut):
        bars = delta_bars(part, WINDOW_MS, bar, cvd)
        assert repr(bars) == repr(python_delta_bars(part, WINDOW_MS, bar, expected_cvd))
        bar = bars[0][-1] if bars[0] else []
    assert repr(cvd.value) == repr(expected_cvd.value)


@given(trades, cuts)
def test_it_does_not_matter_how_trades_are_cut_into_lists(found: list[Trade], cut: int) -> None:
    whole = price_bars(found, WINDOW_MS, [], CompensatedSum(), CompensatedSum())
    sums = CompensatedSum(), CompensatedSum()
    first = price_bars(found[:cut], WINDOW_MS, [], *sums)
    rest = price_bars(found[cut:], WINDOW_MS, first[-1] if first else [], *sums)
    assert first[:-1] + rest == whole
    assert [bar[0] for bar in whole] == sorted({t[5] - t[5] % WINDOW_MS for t in found})
    assert sum(bar[6] for bar in whole) == len(found)
