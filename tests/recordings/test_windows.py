from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderflow.events import BookBatch, LostRows, OrderbookLevel, OrderbookUpdate, Trade
from recordings import windows
from recordings.book_decoder import BookDecoder
from recordings.trade_decoder import MAX_TRADE_SIZE, TradeDecoder
from recordings.windows import TradeCursor, book_windows

Row = tuple[Any, ...]
Window = tuple[OrderbookUpdate, list[Trade]]


def batches_of(rows: list[Any], size: int) -> Iterator[list[Any]]:
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]


LOST = LostRows("rows_skipped", 8)


def trade(number: int, ms: int) -> Trade:
    return number, f"t{number}", 100.0, 1.0, "buy", ms


def book_row(number: int, ms: int) -> Row:
    return ms, number, b"[]", b"[]"


def windows_of(book_times: list[int], trade_times: list[int], batch: int = 2) -> list[Window]:
    books = [book_row(number, ms) for number, ms in enumerate(book_times)]
    trades = [trade(number, ms) for number, ms in enumerate(trade_times)]
    cursor = TradeCursor(batches_of(trades, batch))
    decoder = BookDecoder("incremental", begins_with_snapshot=False)
    return list(book_windows(map(decoder.decode, batches_of(books, batch)), cursor))


def outline(found: list[Window]) -> list[tuple[int, int | None, list[int]]]:
    return [(u.timestamp, u.end_timestamp, [t[5] for t in trades]) for u, trades in found]


# -- windows


def test_a_trade_at_a_windows_edge_belongs_to_the_window_it_begins() -> None:
    assert outline(windows_of([10, 20, 30], [10, 19, 20, 29, 30])) == [
        (10, 20, [10, 19]),
        (20, 30, [20, 29]),
        (30, None, [30]),
    ]


def test_of_rows_with_one_time_the_last_has_the_trades() -> None:
    assert outline(windows_of([10, 10, 10, 20], [10, 15])) == [
        (10, 10, []),
        (10, 10, []),
        (10, 20, [10, 15]),
        (20, None, []),
    ]


def test_trades_before_the_first_row_come_first_without_levels() -> None:
    found = windows_of([10], [3, 9, 10])
    assert outline(found) == [(3, 10, [3, 9]), (10, None, [10])]
    assert found[0][0] == OrderbookUpdate(None, None, 3, 10)


def test_the_last_window_is_open_to_the_end() -> None:
    assert outline(windows_of([10], [11, 10**15])) == [(10, None, [11, 10**15])]


def test_without_a_book_all_trades_are_in_one_window() -> None:
    assert outline(windows_of([], [5, 6])) == [(5, None, [5, 6])]


def test_without_trades_every_row_has_an_empty_window() -> None:
    assert outline(windows_of([1, 2], [])) == [(1, 2, []), (2, None, [])]
    assert windows_of([], []) == []


def test_more_trades_than_a_window_holds_follow_without_levels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows, "WINDOW_TRADES", 3)
    found = windows_of([10, 20], [1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 21, 22, 23, 24, 25])
    assert outline(found) == [
        (1, 10, [1, 2, 3, 4]),
        (5, 10, [5]),
        (10, 20, [11, 12, 13]),
        (14, 20, [14, 15]),
        (20, None, [21, 22, 23, 24]),
        (25, None, [25]),
    ]
    assert [update.bids is None for update, _ in found] == [True, True, False, True, False, True]


times = st.lists(st.integers(0, 20), max_size=30).map(sorted)


@given(times, times, st.integers(1, 7))
def test_windows_equal_a_brute_force_join(
    book_times: list[int], trade_times: list[int], batch: int
) -> None:
    found = windows_of(book_times, trade_times, batch)
    assert [t[0] for _, trades in found for t in trades] == list(range(len(trade_times)))
    rows = [window for window in found if window[0].bids is not None]
    assert [update.timestamp for update, _ in rows] == book_times
    ends: list[int | None] = [*book_times[1:], None]
    for (update, trades), end in zip(rows, ends, strict=bool(book_times)):
        assert update.end_timestamp == end
        inside = [t for t in trade_times if update.timestamp <= t < (99 if end is None else end)]
        assert [t[5] for t in trades] == inside


# -- updates


def test_an_update_has_what_was_recorded() -> None:
    decoder = BookDecoder("incremental", begins_with_snapshot=False)
    rows = [
        (7, 3, b"[1]", b"[2]", b" Snapshot ", b"12", -1),
        (9, 4, b"[]", b"[]", b"update", 13, 12),
    ]
    batch = replace(decoder.decode(rows), lost=[(1, LOST), (2, LOST)])
    found = [update for update, _ in book_windows([batch], TradeCursor([]))]
    assert found == [
        OrderbookUpdate(b"[1]", b"[2]", 7, 9, 3, True, 12, -1),
        OrderbookUpdate(b"[]", b"[]", 9, None, 4, False, 13, 12, (LOST,)),
        OrderbookUpdate(None, None, 9, None, lost=(LOST,)),
    ]


def test_a_batch_cut_in_parts_keeps_what_was_lost_where_it_was() -> None:
    rows = [book_row(number, number) for number in range(4)]
    batch = BookBatch(
        rows,
        [True, False, False, True],
        [1, 2, 3, 4],
        [-1, 1, 2, 3],
        [(0, LOST), (2, LOST), (4, LOST)],
    )
    assert batch.part(0, 2) == BookBatch(rows[:2], [True, False], [1, 2], [-1, 1], [(0, LOST)])
    assert batch.part(2, 4) == BookBatch(
        rows[2:], [False, True], [3, 4], [2, 3], [(0, LOST), (2, LOST)]
    )
    assert batch.part(4, 4) == BookBatch([], [], [], [], [(0, LOST)])


def test_a_level_has_price_and_size() -> None:
    assert OrderbookLevel(1.5, 2.0) == (1.5, 2.0)


# -- trades


def cleaned(
    rows: list[Row], start: float = 0, end: float = 100, batch: int = 2
) -> tuple[list[Trade], Any]:
    cleaner = TradeDecoder(start, end)
    return [t for trades in cleaner.decode(batches_of(rows, batch)) for t in trades], cleaner


def raw(
    ms: int, trade_id: Any = None, price: Any = 1.0, size: Any = 1.0, side: Any = b"buy"
) -> Row:
    return ms, ms, trade_id, price, size, side


def test_the_range_of_trades_is_half_open() -> None:
    found, cleaner = cleaned([raw(ms) for ms in (9, 10, 11, 19, 20, 21)], 10, 20)
    assert [t[5] for t in found] == [10, 11, 19]
    assert cleaner.skipped == 0


def test_reading_ends_with_the_first_batch_past_the_range() -> None:
    def rows() -> Iterator[list[Row]]:
        yield [raw(9), raw(10)]
        pytest.fail("read on past the end")

    assert [len(trades) for trades in TradeDecoder(0, 10).decode(rows())] == [1]


@pytest.mark.parametrize(
    ("price", "size"),
    [
        (0, 1),
        (-1.0, 1),
        (float("nan"), 1),
        (float("inf"), 1),
        (None, 1),
        (b"", 1),
        (b"1_0", 1),
        (b"\xff", 1),
        (b"1\x00", 1),
        (1, -1),
        (1, None),
        (1, "inf"),
        (1, b"1e291"),
        (1, 10**400),
    ],
)
def test_a_trade_without_a_usable_price_or_size_is_skipped_and_counted(
    price: object, size: object
) -> None:
    found, cleaner = cleaned([raw(1, b"a", price, size), raw(2)])
    assert [t[5] for t in found] == [2]
    assert (cleaner.skipped, cleaner.skipped_times) == (1, [1])


def test_numbers_of_trades_may_be_integers_reals_or_text() -> None:
    rows = [raw(1, 7, 30243, "0.5"), raw(2, b"8", b"3.02435e4", b"0"), raw(3, None, 1.5, 1e290)]
    assert [t[1:4] for t in cleaned(rows)[0]] == [
        ("7", 30243.0, 0.5),
        ("8", 30243.5, 0.0),
        (None, 1.5, MAX_TRADE_SIZE),
    ]


@pytest.mark.parametrize(
    ("side", "text"),
    [(b"buy", "buy"), (b"SELL", "sell"), (b" Buy ", "buy"), (b"?", "?"), (None, None), (1, "1")],
)
def test_the_side_is_lower_case_and_kept_when_unknown(side: object, text: str | None) -> None:
    assert cleaned([raw(1, side=side)])[0][0][4] == text


def test_a_trade_equal_to_an_earlier_one_in_its_id_and_all_else_is_a_repeat() -> None:
    rows = [raw(1, b"a"), raw(1, b"b"), raw(1, b"a"), raw(1, b"b"), raw(2, b"a")]
    found, cleaner = cleaned(rows)
    assert [(t[1], t[5]) for t in found] == [("a", 1), ("b", 1), ("a", 2)]
    assert (cleaner.repeated, cleaner.repeated_times) == (2, [1, 1])


def test_times_of_trades_left_out_are_taken_while_more_come() -> None:
    rows = [raw(1, b"a", 0), raw(1, b"b"), raw(2, b"a"), raw(2, b"a"), raw(3, b"c", 0), raw(4)]
    cleaner = TradeDecoder(0, 100)
    taken = []
    for _ in cleaner.decode(batches_of(rows, 2)):
        taken.append((cleaner.skipped_times[:], cleaner.repeated_times))
        cleaner.skipped_times.clear()
        cleaner.repeated_times = []
    assert taken == [([1], []), ([], [2]), ([3], [])]
    assert (cleaner.skipped, cleaner.repeated) == (2, 1)


@pytest.mark.parametrize("change", [{"price": 2.0}, {"size": 2.0}, {"side": b"sell"}])
def test_a_trade_of_the_same_id_that_differs_otherwise_is_kept(change: dict[str, Any]) -> None:
    found, cleaner = cleaned([raw(1, b"a"), raw(1, b"a", **change)])
    assert (len(found), cleaner.repeated) == (2, 0)


def test_equal_trades_without_an_id_are_all_kept() -> None:
    found, cleaner = cleaned([raw(1), raw(1), raw(1)])
    assert (len(found), cleaner.repeated) == (3, 0)
