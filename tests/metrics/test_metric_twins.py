"""Python and compiled code make the same figures, to the last bit, whatever the book."""

from array import array
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_runs import ENGINES, KERNELS, columns, file_of, new, use
from strategies import side_texts

from metrics import kernels, portions
from metrics.book_rows import Needs, PythonRowRecorder, RowRecorder, rows_of
from metrics.portions import PythonPortions
from ohlc_processor import OHLCProcessor
from orderbook_manager import OrderbookManager, PythonOrderbookManager
from orderflow.errors import OrderflowError
from orderflow.events import BookBatch

pytestmark = pytest.mark.skipif("compiled" not in ENGINES, reason="there is no compiled code here")
NEEDS = Needs((1, 3, 200), 4, (0.5, 30.0, 9000.0))
numbers = st.floats(min_value=1e-300, max_value=1e300) | st.sampled_from([0.1, 1.0, 3.0])
updates = st.lists(st.tuples(side_texts(), side_texts(), st.booleans()), max_size=12)


@settings(max_examples=60)
@given(updates)
def test_both_recorders_keep_the_same(given_rows: list[tuple[bytes, bytes, bool]]) -> None:
    kept = []
    for book, recorder in (
        (PythonOrderbookManager, PythonRowRecorder),
        (OrderbookManager, RowRecorder),
    ):
        recording = recorder(*NEEDS)
        manager = book(2, uncross=True, recorder=recording)
        for cut in (slice(0, 5), slice(5, None)):
            rows = [(i, i, bids, asks) for i, (bids, asks, _) in enumerate(given_rows)][cut]
            manager.update_rows(rows, [mark for *_, mark in given_rows][cut])
            kept.append(rows_of(recording, NEEDS))
            assert not len(rows_of(recording, NEEDS))
    assert kept[:2] == kept[2:]


def test_a_book_far_larger_than_the_window_is_summed_whole() -> None:
    bids = [(1000.0 - i / 8, 1 + i / 3) for i in range(3000)]
    asks = [(1001.0 + i / 8, 1 + i / 7) for i in range(3000)]
    kept = []
    for book, recorder in (
        (PythonOrderbookManager, PythonRowRecorder),
        (OrderbookManager, RowRecorder),
    ):
        recording = recorder((2500,), 2000, (2000.0,))
        manager = book(5, recorder=recording)
        manager.update_rows([(1, 1, bids, asks), (2, 2, [(1000.0, 0)], [])], [True, False])
        kept.append(rows_of(recording, Needs((2500,), 2000, (2000.0,))))
    assert kept[0] == kept[1]
    assert kept[0].levels.bid_price[1999] == 1000.0 - 1999 / 8
    # 20 % of the mid of 1000.5 are 200.1: 800.4 is level 1596 of the bids.
    assert kept[0].within[2000.0][0][0] == pytest.approx(sum(size for _, size in bids[:1597]))


@pytest.mark.parametrize("name", KERNELS[:5])
@given(st.lists(st.tuples(numbers, numbers, numbers, numbers), max_size=6))
def test_both_make_the_same_columns(
    name: str, rows: list[tuple[float, float, float, float]]
) -> None:
    given_columns = [array("d", column) for column in zip(*rows, strict=True)] or [array("d")] * 4
    count = 4 if name == "weighted_mids" else 2
    compiled = getattr(kernels, name)(*given_columns[:count])
    python = getattr(kernels, f"python_{name}")(*given_columns[:count])
    assert compiled.tobytes() == python.tobytes()


@given(st.lists(st.floats(), max_size=6))
def test_both_find_open_high_low_and_close(values: list[float]) -> None:
    column = array("d", values)
    assert repr(kernels.ohlc(column)) == repr(kernels.python_ohlc(column))


@given(st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, inf])] * 4), max_size=8))
def test_both_make_the_same_flows(rows: list[tuple[float, ...]]) -> None:
    levels = [array("d", column) for column in zip(*rows, strict=True)] or [array("d")] * 4
    levels = [column[: len(column) // 2 * 2] for column in levels]
    for before in (None, (1.0, 2.0, 2.0, 1.0)):
        for place in (0, 1):
            compiled = kernels.flows(levels, before, place, 2)
            assert repr(compiled) == repr(kernels.python_flows(levels, before, place, 2))


@given(
    st.lists(st.tuples(numbers, numbers), min_size=6, max_size=6),
    st.lists(numbers, min_size=2, max_size=2),
    st.integers(1, 3),
)
def test_both_find_the_same_slopes(
    levels: list[tuple[float, float]], mids: list[float], used: int
) -> None:
    prices, sizes = (array("d", column) for column in zip(*levels, strict=True))
    asked = prices, sizes, array("d", mids), 3, used
    assert kernels.slopes(*asked).tobytes() == kernels.python_slopes(*asked).tobytes()


@given(st.lists(st.lists(st.floats(0, 30) | st.sampled_from([0.1, 0.7]), max_size=9), max_size=3))
def test_both_cut_amounts_alike(pieces: list[list[float]]) -> None:
    compiled, python = portions.Portions(0.7), PythonPortions(0.7)
    for amounts in pieces:
        assert compiled.cut(array("d", amounts)) == python.cut(array("d", amounts))
    for made in (compiled, python):
        with pytest.raises(OrderflowError, match="too small"):
            made.cut(array("d", [7001.0]))


@pytest.mark.parametrize("name", KERNELS[:5])
def test_columns_of_different_length_are_refused(name: str) -> None:
    uneven = [array("d", [1.0, 2.0]), array("d", [1.0])] * 2
    for function in (getattr(kernels, name), getattr(kernels, f"python_{name}")):
        with pytest.raises(ValueError, match=r"rows|argument"):
            function(*uneven[: 4 if name == "weighted_mids" else 2])


@settings(max_examples=10)
@given(updates)
def test_whole_files_are_the_same(given_rows: list[tuple[bytes, bytes, bool]]) -> None:
    asked = [
        "obi:levels=2",
        "depth:bp=20",
        "slope",
        "ofi:levels=3",
        "weighted_mid",
        "micro_price:tick=0.1",
    ]
    files = []
    for engine in ENGINES:
        with pytest.MonkeyPatch.context() as patch:
            use(engine, patch)
            measured = new(asked, "time:1")
            processor = OHLCProcessor(60, 3, measured=measured)
            rows = [(300 * i, i, bids, asks) for i, (bids, asks, _) in enumerate(given_rows)]
            processor.process_rows(BookBatch(rows, [mark for *_, mark in given_rows]))
            files.append(file_of(measured, asked))
    assert files[0] == files[1]
    assert columns(files[0])[0]["kind"] == "metrics"
