"""The compiled twins of what happens to every row, beside the Python they stand for."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from compiled_twins import compiled_twins
from hostile_rows import hostile_trades
from hypothesis import given, settings
from hypothesis import strategies as st

from metrics.rolling_bars import PythonCompensatedSum
from metrics_calculator import python_sample_bars
from recordings.row_order import python_are_whole_ms, python_is_sorted
from recordings.trade_decoder import PythonTradeDecoder

native = compiled_twins()

Row = tuple[Any, ...]
MS = 10**12


def decoded(decoder: Any, rows: list[Row], batch: int) -> tuple[Any, ...]:
    batches = (rows[begin : begin + batch] for begin in range(0, len(rows), batch))
    trades = list(decoder.decode(batches))
    times = decoder.skipped_times, decoder.repeated_times
    assert list(map(len, times)) == [decoder.skipped, decoder.repeated]
    return trades, decoder.skipped, decoder.repeated, *times


def compare_trades(random: Random) -> None:
    rows, batch = hostile_trades(random), random.randrange(1, 8)
    span = random.randrange(5), random.randrange(4, 10)
    expected = decoded(PythonTradeDecoder(*span), rows, batch)
    # As text, so that types and the sign of zero are compared too.
    assert repr(decoded(native.TradeDecoder(*span), rows, batch)) == repr(expected), rows


@settings(max_examples=10 * settings().max_examples)
@given(st.integers(0, 2**64))
def test_trades_are_decoded_alike(seed: int) -> None:
    compare_trades(Random(seed))


def test_trades_without_an_end_are_decoded_alike() -> None:
    rows = [(MS + n // 3, n, b"%d" % (n % 2), 1.0, 2.0, b"buy") for n in range(100)]
    ends = (float("-inf"), float("inf"))
    expected = decoded(PythonTradeDecoder(*ends), rows, 9)
    assert decoded(native.TradeDecoder(*ends), rows, 9) == expected
    assert expected[2] > 0


def test_what_is_no_row_of_a_trade_is_refused() -> None:
    def batches() -> Iterator[list[Row]]:
        yield [(1, 2, b"a", 1.0, 1.0)]

    with pytest.raises(ValueError, match="6 fields; found 5"):
        list(native.TradeDecoder(0, 9).decode(batches()))


@pytest.mark.parametrize(
    "use",
    [
        lambda: native.are_whole_ms([()]),
        lambda: native.is_sorted([(1,)]),
        lambda: list(native.TradeDecoder(0, 9).decode([[]])),
    ],
)
def test_what_is_no_row_is_an_error_and_no_crash(use: Callable[[], object]) -> None:
    with pytest.raises(IndexError):
        use()


TIMES = st.one_of(
    st.sampled_from([MS, 10**11, 10**11 - 1, 10**14, 10**14 - 1, 2**63, -1]),
    st.sampled_from([float(MS), str(MS), None, True, b"1"]),
)


@given(st.lists(st.tuples(TIMES), max_size=5))
def test_whole_milliseconds_are_recognised_alike(rows: list[Row]) -> None:
    expected = bool(rows) and python_are_whole_ms(rows)
    assert native.are_whole_ms(rows) is expected


ORDERS = st.one_of(st.integers(-3, 3), st.integers(2**63 - 2, 2**63 + 2))


@given(st.lists(st.tuples(st.integers(0, 4), ORDERS, st.text()), max_size=6), st.booleans())
def test_order_is_recognised_alike(rows: list[Row], put_right: bool) -> None:
    rows = sorted(rows, key=lambda row: row[:2]) if put_right else rows
    assert native.is_sorted(rows) is python_is_sorted(rows)
    assert native.is_sorted(rows) is (rows == sorted(rows, key=lambda row: row[:2]))


SUMS = st.one_of(st.floats(1e-300, 1e300), st.sampled_from([1.0, 2.0, 1e308, float("inf")]))


@settings(max_examples=10 * settings().max_examples)
@given(
    st.lists(st.tuples(st.integers(-9, 19), SUMS, SUMS), max_size=8).map(sorted), st.integers(0, 8)
)
def test_samples_make_the_same_bars(samples: list[tuple[int, float, float]], cut: int) -> None:
    bar: list[float] = []
    for part in (samples[:cut], samples[cut:]):
        made = native.sample_bars(part, 5, bar)
        assert repr(made) == repr(python_sample_bars(part, 5, bar))
        bar = made[0][-1] if made[0] else []


def test_samples_are_a_sequence_whose_parts_outlive_it() -> None:
    rows = [(MS + n, n, b"[[1,%d]]" % n, b"[[2,1]]" if n else b"") for n in range(6)]
    samples = native.OrderbookManager().update_rows(rows, [False] * 6).samples
    expected = [(MS + n, float(n), 1.0) for n in range(1, 6)]
    assert list(samples) == expected
    assert [samples[-1], samples[0]] == [expected[4], expected[0]]
    part = samples[1:][1:3]
    for place in (5, -6):
        with pytest.raises(IndexError, match="of 5"):
            samples[place]
    del samples
    assert list(part) == expected[2:4]
    assert list(part[5:]) == list(part[2:1]) == []
    assert bisect_left(part, (MS + 4,)) == 1
    assert native.sample_bars(part, 2, []) == python_sample_bars(expected[2:4], 2, [])
    with pytest.raises(ValueError, match="step of 2"):
        part[::2]


def test_compensated_sums_are_the_same_to_the_last_bit() -> None:
    random = Random(1)
    for _ in range(200):
        sums = (
            [PythonCompensatedSum(), PythonCompensatedSum()],
            [native.CompensatedSum(), native.CompensatedSum()],
        )
        for _ in range(5):
            size = 10 ** random.randint(-8, 12)
            terms = [random.choice((1, -1)) * random.random() * size for _ in range(9)]
            place = random.randrange(2)
            assert sums[1][place].add(terms) == sums[0][place].add(terms)
        for one, two in sums:
            one.merge(two)
        assert sums[1][0].value == sums[0][0].value
