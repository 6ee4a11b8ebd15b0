"""The compiled twins that add trades to bars do what those in Python do, to the last bit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.rolling_bars import CompensatedSum, PythonCompensatedSum
from metrics.traded_bars import add_deltas, add_prices, python_add_deltas, python_add_prices

prices = st.floats(min_value=1e-9, max_value=1e12)
sizes = st.floats(min_value=0.0, max_value=1e12) | st.just(0.0)
trades = st.lists(
    st.tuples(
        st.just(1), st.none(), prices, sizes, st.sampled_from(("buy", "sell", "other", None)),
        st.integers(0, 20),
    ),
    min_size=1,
).map(lambda found: sorted(found, key=lambda trade: trade[5]))  # fmt: skip
bars = st.lists(prices, min_size=2, max_size=2).map(
    lambda two: [two[0], max(two), min(two), two[1]]
)


@pytest.mark.skipif(add_prices is python_add_prices, reason="nothing is compiled here")
@given(trades, st.just([]) | bars, st.integers(0, 20))
def test_prices(trades: list[tuple[object, ...]], bar: list[float], more_ms: int) -> None:
    end_ms = float(trades[0][5] + more_ms + 1)  # type: ignore[operator]
    volume, expected = CompensatedSum(), PythonCompensatedSum()
    found = add_prices(trades, 0, end_ms, bar, volume)  # type: ignore[arg-type]
    assert repr(found) == repr(python_add_prices(trades, 0, end_ms, bar, expected))  # type: ignore[arg-type]
    assert repr(volume.value) == repr(expected.value)


@pytest.mark.skipif(add_deltas is python_add_deltas, reason="nothing is compiled here")
@given(trades, bars, st.integers(0, 20), sizes)
def test_deltas(
    trades: list[tuple[object, ...]], bar: list[float], more_ms: int, before: float
) -> None:
    end_ms = float(trades[0][5] + more_ms + 1)  # type: ignore[operator]
    cvd, expected = CompensatedSum(), PythonCompensatedSum()
    for one in (cvd, expected):
        one.add([before])
    found = add_deltas(trades, 0, end_ms, bar, cvd)  # type: ignore[arg-type]
    assert repr(found) == repr(python_add_deltas(trades, 0, end_ms, bar, expected))  # type: ignore[arg-type]
    assert repr(cvd.value) == repr(expected.value)
