import json
import random
from typing import Any

import pytest
from brute_force import BruteBook, exact_sum, metric_bars, ohlc_bars
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import side_texts

from level_parser import parse_levels_including_zeros
from metrics.rolling_bars import CompensatedSum
from metrics_calculator import MetricsCalculator
from ohlc_processor import OHLCProcessor
from orderflow.errors import OrderflowError
from orderflow.events import BookBatch, LostRows, OrderbookUpdate, Trade
from orderflow.issues import DataIssue, IssueLog

MINUTE = 60_000
T0 = 29_000_000 * MINUTE


def trade(timestamp: int, price: float, size: float, side: str | None = "buy") -> Trade:
    return (0, None, price, size, side, timestamp)


def row(timestamp: int, bids: object, asks: object, **more: Any) -> OrderbookUpdate:
    return OrderbookUpdate(
        json.dumps(bids).encode(), json.dumps(asks).encode(), timestamp, None, 1, **more
    )


class TestOhlc:
    def test_trades_at_exactly_an_edge_belong_to_the_window_that_begins_there(self) -> None:
        processor = OHLCProcessor(60)
        processor.process_trades([trade(T0 + MINUTE - 1, 10, 1), trade(T0 + MINUTE, 20, 2)])
        processor.finalize()
        assert processor.bars() == [[T0, 10, 10, 10, 10, 1], [T0 + MINUTE, 20, 20, 20, 20, 2]]

    def test_windows_are_aligned_to_the_epoch_and_empty_ones_have_no_bar(self) -> None:
        processor = OHLCProcessor(7)
        processor.process_trades([trade(T0 + 1, 10, 1), trade(T0 + 1_000_000, 9, 1)])
        assert [bar[0] % 7000 for bar in processor.bars()] == [0, 0]
        assert len(processor.bars()) == 2

    def test_the_last_window_is_there_before_and_after_finalize(self) -> None:
        processor = OHLCProcessor(60)
        processor.process_trades([trade(T0, 10, 1), trade(T0 + 5, 12, 1), trade(T0 + 6, 9, 0.5)])
        expected = [[T0, 10, 12, 9, 9, 2.5]]
        assert processor.bars() == expected
        processor.finalize()
        processor.finalize()
        assert processor.bars() == expected
        assert (processor.bars_made, processor.trades, processor.volume) == (1, 3, 2.5)

    def test_only_the_last_bars_are_kept_and_all_are_counted(self) -> None:
        processor = OHLCProcessor(1, max_bars=5)
        processor.process_trades([trade(T0 + 1000 * i, 10, 1) for i in range(12)])
        processor.finalize()
        assert [bar[0] for bar in processor.bars()] == [T0 + 1000 * i for i in range(7, 12)]
        assert (processor.bars_made, processor.volume) == (12, 12.0)

    def test_a_trade_before_the_current_window_is_refused(self) -> None:
        processor = OHLCProcessor(60)
        processor.process_trades([trade(T0, 10, 1)])
        with pytest.raises(OrderflowError, match="must come in time order; found one at"):
            processor.process_trades([trade(T0 - 1, 10, 1)])

    @pytest.mark.parametrize(("window", "depth"), [(0, 50), (-5, 50), (60, 0)])
    def test_limits_are_said(self, window: int, depth: int) -> None:
        with pytest.raises(OrderflowError, match=r"at least 1 .*found"):
            OHLCProcessor(window, depth)


class TestCvd:
    def test_cvd_opens_at_the_value_before_the_first_trade_of_the_window(self) -> None:
        processor = OHLCProcessor(60)
        processor.update_orderbook(row(T0, [["9", "1"]], [["10", "3"]]))
        processor.process_trades([trade(T0, 10, 5), trade(T0 + 1, 9, 7, "sell")])
        processor.process_trades([trade(T0 + MINUTE, 9, 1, "buy")])
        bars = processor.metric_bars()
        assert bars[0][9:] == [0, 5, -2, -2]
        assert bars[1][9:] == [-2, -1, -2, -1]
        assert processor.cvd_cumulative == -1

    def test_a_list_of_trades_over_several_windows_makes_a_bar_of_each(self) -> None:
        processor = OHLCProcessor(60)
        processor.update_orderbook(row(T0, [["9", "1"]], [["10", "3"]]))
        processor.process_trades([trade(T0 + i * MINUTE, 10, 1) for i in range(5)])
        assert [bar[9:] for bar in processor.metric_bars()] == [
            [i, i + 1, i, i + 1] for i in range(5)
        ]

    def test_an_unknown_side_counts_into_volume_but_not_into_cvd(self) -> None:
        processor = OHLCProcessor(60)
        processor.process_trades([trade(T0, 10, 5), trade(T0, 10, 7, None), trade(T0, 10, 1, "b")])
        assert (processor.cvd_cumulative, processor.volume) == (5, 13)
        assert processor.issues.counts()["unknown_sides"] == 2
        assert processor.metrics.cvd.unknown_sides == ["NULL", "'b'"]

    def test_what_cancels_comes_back_to_nothing(self) -> None:
        rng = random.Random(1)
        sizes = [rng.random() * 10 ** rng.randint(-8, 6) for _ in range(20_000)]
        total = CompensatedSum()
        assert total.add(sizes)[-1] == total.value == exact_sum(sizes)
        total.add([-size for size in reversed(sizes)])
        assert abs(total.value) < 1e-25 * 2 * sum(sizes)

    def test_sums_merge_as_if_they_were_one(self) -> None:
        one, two, both = CompensatedSum(), CompensatedSum(), CompensatedSum()
        for i in range(1000):
            (one if i % 3 else two).add([0.1 * i])
            both.add([0.1 * i])
        one.merge(two)
        assert one.value == both.value == exact_sum(0.1 * i for i in range(1000))


class TestBookMetrics:
    def test_obi_and_tot_by_their_formulas(self) -> None:
        processor = OHLCProcessor(60, 2)
        processor.update_orderbook(row(T0, [["9", "1"], ["8", "2"], ["7", "50"]], [["10", "1"]]))
        processor.update_orderbook(row(T0 + 5, [], [["11", "4"], ["12", "90"]]))
        (bar,) = processor.metric_bars()
        assert bar[:9] == [T0, 0.5, 0.5, -0.25, -0.25, 4, 8, 4, 8]

    def test_no_sample_while_a_side_is_empty(self) -> None:
        processor = OHLCProcessor(60)
        processor.update_orderbook(row(T0, [["9", "1"]], []))
        processor.process_trades([trade(T0, 10, 5)])
        assert processor.metric_bars() == [[T0, *[None] * 8, 0, 5, 0, 5]]
        assert processor.rows == 1

    def test_a_window_with_trades_alone_stays_flat_and_one_with_nothing_has_no_bar(self) -> None:
        processor = OHLCProcessor(60)
        processor.update_orderbook(row(T0, [["9", "3"]], [["10", "1"]]))
        processor.process_trades([trade(T0 + 3 * MINUTE, 10, 5)])
        processor.update_orderbook(row(T0 + 5 * MINUTE, [["9", "1"]], []))
        assert processor.metric_bars() == [
            [T0, *[0.5] * 4, *[4] * 4, *[0] * 4],
            [T0 + 3 * MINUTE, *[0.5] * 4, *[4] * 4, 0, 5, 0, 5],
            [T0 + 5 * MINUTE, *[0] * 4, *[2] * 4, *[5] * 4],
        ]

    def test_before_the_first_sample_there_are_bars_of_cvd_alone(self) -> None:
        processor = OHLCProcessor(60)
        processor.process_trades([trade(T0, 10, 1), trade(T0 + MINUTE, 10, 2)])
        processor.update_orderbook(row(T0 + MINUTE + 1, [["9", "3"]], [["10", "1"]]))
        assert processor.metric_bars() == [
            [T0, *[None] * 8, 0, 1, 0, 1],
            [T0 + MINUTE, *[0.5] * 4, *[4] * 4, 1, 3, 1, 3],
        ]

    def test_trades_alone_make_bars_of_cvd_from_the_first_on(self) -> None:
        processor = OHLCProcessor(60)
        processor.process_trades([trade(T0, 10, 1), trade(T0 + MINUTE, 10, 2)])
        assert [bar[1:] for bar in processor.metric_bars()] == [
            [*[None] * 8, 0, 1, 0, 1],
            [*[None] * 8, 1, 3, 1, 3],
        ]

    def test_rows_before_the_start_warm_up_the_book_and_are_in_no_bar(self) -> None:
        processor = OHLCProcessor(60, start_timestamp=T0)
        processor.update_orderbook(row(T0 - 1, [["9", "3"]], [["10", "1"]]))
        assert processor.metric_bars() == []
        processor.update_orderbook(row(T0, [], [["11", "1"]]))
        assert processor.metric_bars()[0][:2] == [T0, 1 / 5]
        assert (processor.warm_up_rows, processor.rows) == (1, 1)

    def test_samples_too_large_for_a_double_are_counted_and_left_out(self) -> None:
        issues = IssueLog()
        metrics = MetricsCalculator(60, issues=issues)
        metrics.samples.add([(T0, 1e308, 1e308)])
        assert metrics.bars() == []
        metrics.samples.add([(T0, 1, 1), (T0 + 1, 1e308, 1e308), (T0 + 2, 3, 1)])
        assert metrics.bars() == [[T0, 0, 0.5, 0, 0.5, 2, 4, 2, 4, 0, 0, 0, 0]]
        assert issues.counts()["unusable_samples"] == 2

    def test_several_rows_of_one_timestamp_are_each_a_sample(self) -> None:
        processor = OHLCProcessor(60)
        for size in ("1", "3", "2"):
            processor.update_orderbook(row(T0, [["9", size]], [["10", "1"]]))
        assert processor.metric_bars()[0][1:5] == [0, 0.5, 0, 1 / 3]


class TestRowKinds:
    def test_a_snapshot_replaces_the_book_and_an_update_does_not(self) -> None:
        processor = OHLCProcessor(60)
        processor.update_orderbook(row(T0, [["9", "1"]], [["10", "1"]], snapshot=True))
        processor.update_orderbook(row(T0, [["8", "1"]], []))
        assert processor.book.level_counts == (2, 1)
        processor.update_orderbook(row(T0, [["7", "1"]], [["10", "1"]], snapshot=True))
        assert processor.book.level_counts == (1, 1)

    def test_a_row_that_could_not_be_read_makes_the_book_unreliable(self) -> None:
        processor = OHLCProcessor(60)
        processor.update_orderbook(row(T0, [["9", "1"]], [["10", "1"]], snapshot=True))
        reliable = [processor.reliable]
        processor.update_orderbook(OrderbookUpdate(b"nonsense", b"[]", T0 + 5, None, 1))
        assert [*reliable, processor.reliable] == [True, False]
        assert processor.issues.spans() == [
            DataIssue("rows_skipped", T0 + 5, T0 + 5, 1),
            DataIssue("unreliable_rows", T0 + 5, T0 + 5, 1),
        ]

    def test_crossed_books_and_rejected_levels_are_noted_when_they_were(self) -> None:
        processor = OHLCProcessor(60)
        processor.update_orderbook(row(T0, [["9", "1"]], [["10", "1"]], snapshot=True))
        processor.update_orderbook(row(T0 + 7, [["11", "1"], ["x", "1"], ["y", "1"]], []))
        assert processor.issues.spans() == [
            DataIssue("levels_rejected", T0 + 7, T0 + 7, 2),
            DataIssue("crossed_books", T0 + 7, T0 + 7, 1),
        ]

    def test_a_window_without_a_book_row_does_nothing(self) -> None:
        processor = OHLCProcessor(60)
        processor.update_orderbook(OrderbookUpdate(None, None, T0, None))
        assert processor.rows == 0

    def test_the_longest_silence_is_between_book_rows(self) -> None:
        processor = OHLCProcessor(60)
        for timestamp in (T0, T0 + 5, T0 + 1005, T0 + 1010):
            processor.update_orderbook(row(timestamp, [], []))
        assert processor.silences.longest_ms == 1000


MARKED_ROWS = st.lists(
    st.tuples(
        st.integers(0, 2000),
        st.sampled_from([b"[[9,1]]", b"[[9,0]]", b"[[11,1],[0,0]]", b"[]", b"nonsense"]),
        st.sampled_from([False, False, False, True]),
        st.sampled_from([None, 1, 1, 1, 2]),  # how far the seq_id goes on, if there is one
        st.sampled_from([0, 0, 0, 1, None]),  # how far prev_seq_id is off
        st.sampled_from([False] * 9 + [True]),  # whether a row was lost before it
    ),
    min_size=1,
    max_size=12,
)


@given(MARKED_ROWS, st.integers(1, 12), st.booleans())
def test_lists_of_rows_are_processed_as_one_by_one(
    given_rows: list[tuple[Any, ...]], length: int, numbered: bool
) -> None:
    rows, now, last = [], T0, 0
    lost, ids, previous = [], [], []
    for index, (gap, bids, _, step, off, is_lost) in enumerate(given_rows):
        if is_lost:
            lost.append((index, LostRows("late_rows", now - 50)))
        now += gap
        rows.append((now, 0, bids, b"[[10,3]]"))
        ids.append(None if step is None else last + step)
        previous.append(None if off is None else last - off)
        last = ids[-1] or last
    snapshots = [given_row[2] for given_row in given_rows]
    whole = BookBatch(rows, snapshots, ids, previous, lost)
    if not numbered:
        whole = BookBatch(rows, snapshots, lost=lost)
    one_by_one, in_lists = (OHLCProcessor(60, start_timestamp=T0 + 1000) for _ in range(2))
    for index in range(len(rows)):
        one_by_one.process_rows(whole.part(index, index + 1))
    for begin in range(0, len(rows), length):
        in_lists.process_rows(whole.part(begin, min(begin + length, len(rows))))
    for figure in ("rows", "warm_up_rows", "reliable"):
        assert getattr(in_lists, figure) == getattr(one_by_one, figure)
    assert in_lists.issues.spans() == one_by_one.issues.spans()
    assert in_lists.silences.span == one_by_one.silences.span
    assert in_lists.book.rows_skipped == one_by_one.book.rows_skipped
    assert in_lists.metric_bars() == one_by_one.metric_bars()


events = st.lists(
    st.one_of(
        st.tuples(st.just("row"), st.integers(0, 40_000), side_texts(), side_texts()),
        st.tuples(
            st.just("trade"),
            st.integers(0, 40_000),
            st.sampled_from(["buy", "sell", "?"]),
            st.sampled_from([0.1, 0.2, 3.0, 1e-9, 12345.6]),
        ),
    ),
    max_size=15,
)


def check_events(gaps: list[tuple[Any, ...]], window_seconds: int, depth: int) -> None:
    processor, book = OHLCProcessor(window_seconds, depth), BruteBook(depth)
    now, samples, trades = T0 + 7, [], []
    waiting: list[Trade] = []  # trades come in lists, which may reach over windows
    for kind, gap, one, two in gaps:
        now += gap
        if kind == "row":
            book.apply(parse_levels_including_zeros(one), parse_levels_including_zeros(two))
            if sums := book.sums():
                samples.append((now, *sums))
            processor.process_trades(waiting)
            waiting = []
            processor.update_orderbook(OrderbookUpdate(one, two, now, None, 1))
        else:
            trades.append((now, 100.0 + two, two, one))
            waiting.append(trade(now, 100.0 + two, two, one))
    processor.process_trades(waiting)
    window_ms = window_seconds * 1000
    signed = [(t, side, size) for t, _, size, side in trades]
    for _ in range(2):
        assert processor.bars() == ohlc_bars([t[:3] for t in trades], window_ms)
        assert processor.metric_bars() == metric_bars(samples, signed, window_ms)
        processor.finalize()
    assert processor.volume == exact_sum(t[2] for t in trades)


@settings(max_examples=3 * settings().max_examples)
@given(events, st.sampled_from([1, 60, 3600]), st.integers(1, 5))
def test_bars_agree_with_the_brute_force_model(
    gaps: list[tuple[Any, ...]], window_seconds: int, depth: int
) -> None:
    check_events(gaps, window_seconds, depth)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(events, st.sampled_from([1, 60, 3600]), st.integers(1, 5))
def test_10_000_sequences_agree_with_the_brute_force_model(
    gaps: list[tuple[Any, ...]], window_seconds: int, depth: int
) -> None:
    check_events(gaps, window_seconds, depth)
