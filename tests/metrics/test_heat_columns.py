"""Columns of the book, on the Python classes and, where they are built, on the compiled ones."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from brute_flow import Heatmap, assert_column_is_the_book, decoded
from brute_force import BruteBook
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import hostile_side_texts

import orderbook_manager
from metrics import heat_columns
from metrics.heat_columns import COLUMNS, LEVELS, PythonHeatColumns, finest_row, to_bfloat16
from metrics.price_grid import PriceGrid
from orderbook_manager import PythonOrderbookManager

T0 = 1_700_000_000_000  # a multiple of all columns' lengths but the longest
WAYS = {
    book.engine: (book, columns)
    for book, columns in (
        (PythonOrderbookManager, PythonHeatColumns),
        (orderbook_manager.OrderbookManager, heat_columns.HeatColumns),
    )
}
LARGEST = 2.0**127 * (2 - 2**-7)
Side = Sequence[tuple[float, float]]


class Market:
    """A book with columns, and beside it the brute one at the end of each finest column."""

    def __init__(self, way: str, *, start_ms: int = -1, uncross: bool = False) -> None:
        book_class, columns_class = WAYS[way]
        self.grid = PriceGrid()
        self.columns: Any = columns_class(self.grid, start_ms)
        self.book: Any = book_class(50, uncross=uncross, columns=self.columns)
        self.brute = BruteBook()

    def row(self, at: int, bids: Side, asks: Side, *, snapshot: bool = False) -> None:
        """Apply a row `at` ms after T0."""
        texts = [
            json.dumps([[repr(price), repr(size)] for price, size in side]).encode()
            for side in (bids, asks)
        ]
        self.book.update_rows([(T0 + at, 0, *texts)], [snapshot])
        self.brute.apply(bids, asks, snapshot=snapshot)

    def heatmap(self, level: int = 0) -> Heatmap:
        return Heatmap(level, self.columns.ring(level, self.book))

    def assert_newest_is_the_book(self) -> None:
        """Hold the column in progress, of each level, against the brute book."""
        for level in range(LEVELS):
            found = self.heatmap(level)
            assert_column_is_the_book(found, len(found) - 1, self.brute)

    def cells(self, place: int, level: int = 0) -> dict[float, float]:
        """Return what rests in a column, by the price of the row's lower edge."""
        found = self.heatmap(level)
        return {
            round(found.low[place] + row * found.row[place], 9): decoded(cell)
            for row, cell in enumerate(found.cells[place])
            if cell
        }


def side_of(first: float, step: float, count: int, size: float = 1.0) -> list[tuple[float, float]]:
    return [(round(first + i * step, 9), size + i % 7) for i in range(count)]


@pytest.fixture(params=WAYS)
def market(request: pytest.FixtureRequest) -> Market:
    market = Market(request.param)
    market.row(0, side_of(99.99, -0.01, 200), side_of(100.01, 0.01, 200), snapshot=True)
    return market


def test_a_column_is_the_book_at_its_end_whatever_was_in_between(market: Market) -> None:
    market.row(100, [(99.9, 50)], [])
    market.row(200, [(99.9, 4)], [(100.1, 0)])
    before = BruteBook()
    before.bids, before.asks = dict(market.brute.bids), dict(market.brute.asks)
    market.row(250, [(99.8, 70)], [])
    found = market.heatmap()
    assert (found.first, found.updates) == (T0 // 250, [3, 1])
    assert_column_is_the_book(found, 0, before)
    assert_column_is_the_book(found, 1, market.brute)


def test_the_column_in_progress_is_the_book_so_far(market: Market) -> None:
    market.row(2_000, [(99.95, 1000)], [])
    market.assert_newest_is_the_book()
    market.row(2_001, [(99.95, 0)], [])
    market.assert_newest_is_the_book()


def test_looking_changes_nothing(market: Market) -> None:
    other = Market(market.book.engine)
    other.row(0, side_of(99.99, -0.01, 200), side_of(100.01, 0.01, 200), snapshot=True)
    for at in range(100, 40_000, 700):
        for each in (market, other):
            each.row(at, [(99.99 - at % 9 / 100, at % 5)], [(100.001, at % 3), (100.05, at % 4)])
        market.columns.ring(at % 5, market.book)
    assert market.grid.units == other.grid.units == 1
    for level in range(LEVELS):
        assert market.columns.ring(level, market.book) == other.columns.ring(level, other.book)


def test_the_book_stands_on_while_nothing_is_recorded(market: Market) -> None:
    market.row(1_100, [(99.9, 9)], [])
    found = market.heatmap()
    assert found.updates == [1, 0, 0, 0, 1]
    assert found.cells[0] == found.cells[1] == found.cells[2] == found.cells[3] != found.cells[4]
    assert market.heatmap(1).updates == [1, 1]


@pytest.mark.parametrize("silence", [COLUMNS - 1, COLUMNS, COLUMNS + 1, 10**9])
def test_no_silence_is_too_long(market: Market, silence: int) -> None:
    market.row(silence * 250, [(99.9, 9)], [])
    found = market.heatmap()
    assert len(found) == COLUMNS
    assert found.first + COLUMNS - 1 == T0 // 250 + silence
    assert found.updates == [1 if silence < COLUMNS else 0, *[0] * (COLUMNS - 2), 1]
    assert found.cells[0] == found.cells[-2] != found.cells[-1]
    market.assert_newest_is_the_book()


def test_only_the_last_columns_are_kept(market: Market) -> None:
    for number in range(1, 1100):
        market.row(250 * number, [(99.9, number % 11)], [])
    found = market.heatmap()
    assert (len(found), found.first) == (COLUMNS, T0 // 250 + 1100 - COLUMNS)
    assert {*found.updates} == {1}
    assert [decoded(column[-1]) for column in found.cells] == [0.0] * COLUMNS
    market.assert_newest_is_the_book()


def test_a_snapshot_replaces_what_rested(market: Market) -> None:
    market.row(300, side_of(99.5, -0.01, 30), side_of(99.6, 0.01, 30), snapshot=True)
    market.assert_newest_is_the_book()
    market.row(700, [(99.5, 0)], [])
    market.assert_newest_is_the_book()
    market.row(700, [], [], snapshot=True)
    market.assert_newest_is_the_book()
    assert market.cells(-1) == {}


def test_a_row_with_both_sides_has_the_larger_and_bids_when_equal(market: Market) -> None:
    levels = [(101.99, 2.0)], [(102.01, 2.0), (150.0, 7.0)]
    for at, (bid, ask) in enumerate([(2.0, 2.0), (2.0, 3.0), (4.0, 3.0)]):
        market.row(250 + at, [(102.0, bid)], [(102.0, ask)], snapshot=True)
        assert list(market.cells(-1).values()) == [bid if bid >= ask else -ask]
    market.row(259, *levels, snapshot=True)
    assert list(market.cells(-1).values()) == [2.0, -2.0]


def test_a_crossed_book_is_drawn_as_it_is(market: Market) -> None:
    market.row(300, [(100.3, 5), (100.2, 500)], [])
    found = market.heatmap()
    assert (found.bid[-1], found.ask[-1]) == (100.3, 100.01)
    market.assert_newest_is_the_book()


@pytest.mark.parametrize("way", WAYS)
def test_levels_dropped_because_they_cross_are_gone(way: str) -> None:
    market = Market(way, uncross=True)
    market.row(0, side_of(99.99, -0.01, 20), side_of(100.01, 0.01, 20), snapshot=True)
    market.row(300, [], [(100.2, 3)])
    market.row(400, [(100.05, 5)], [])
    market.row(600, [(100.04, 5)], [])
    market.brute.asks = {p: s for p, s in market.brute.asks.items() if p > 100.05}
    market.assert_newest_is_the_book()


def test_rows_follow_the_price_and_old_columns_stay(market: Market) -> None:
    expected, low = [], set()
    for number in range(1, 60):
        mid = 100 + number * (0.2 if number < 40 else -0.9)
        market.row(
            250 * number,
            side_of(mid, -0.01, 90),
            side_of(mid + 0.01, 0.01, 90),
            snapshot=number % 3 == 0,
        )
        market.brute.bids = {p: s for p, s in market.brute.bids.items() if p <= mid}
        gone = [(p, 0.0) for p, _ in market.book.top_levels(10**6)[0] if p > mid]
        market.row(250 * number + 1, gone, [])
        kept = [(p, 0.0) for p in market.brute.asks if p < mid]
        market.row(250 * number + 2, [], kept)
        expected.append((dict(market.brute.bids), dict(market.brute.asks)))
    for level in range(LEVELS):
        found = market.heatmap(level)
        for place in range(len(found)):
            number = min(found.end_ms(place) // 250 - T0 // 250 - 1, 59)
            if number:
                book = BruteBook()
                book.bids, book.asks = expected[number - 1]
                assert_column_is_the_book(found, place, book)
        low.add((level, len({*found.low})))
    assert dict(low)[0] > 10


def test_rows_become_higher_when_the_price_doubles(market: Market) -> None:
    for number, factor in enumerate((15, 29, 65, 40, 32), 1):
        mid = round(100 * factor, 2)
        bids, asks = [(round(mid - 0.01, 2), 1.0)], [(round(mid + 0.01, 2), 1.0)]
        market.row(250 * number, bids, asks, snapshot=True)
        market.assert_newest_is_the_book()
    market.row(1500, [], [])
    assert market.heatmap().row == [0.01, 0.05, 0.05, 0.2, 0.2, 0.1, 0.1]


def test_a_finer_price_refines_the_tick_and_is_counted(market: Market) -> None:
    market.row(300, [(99.985, 7)], [])
    market.row(500, [], [])
    assert (market.grid.units, market.grid.decimals, market.grid.refined) == (5, 3, 1)
    market.row(700, [(99.98125, 0.001953125)], [])
    market.row(1_000, [], [])
    assert (market.grid.units, market.grid.decimals, market.grid.refined) == (125, 5, 2)
    market.assert_newest_is_the_book()
    assert market.heatmap().row == [0.01] * 5


def test_a_finer_price_that_is_gone_at_the_end_of_its_column_refines_nothing(
    market: Market,
) -> None:
    market.row(300, [(99.985, 7)], [])
    market.row(400, [(99.985, 0)], [])
    market.row(500, [], [])
    market.row(5000, [], [])
    assert (market.grid.units, market.grid.refined) == (1, 0)


def test_sizes_of_any_number_of_digits_are_summed(market: Market) -> None:
    for at, size in enumerate((1e-8, 123456789.12345678, 1e-12, 0.1, 1e12, 5.0)):
        market.row(300 + 250 * at, [(99.9, size), (99.8, 0.3)], [(100.1, size)])
        market.assert_newest_is_the_book()


def test_a_size_beyond_a_float_is_the_largest_there_is(market: Market) -> None:
    market.row(300, [(99.9, 1e300)], [(100.1, 1e290)])
    assert (market.cells(-1)[99.9], market.cells(-1)[100.1]) == (LARGEST, -LARGEST)
    market.row(600, [(99.9, 0)], [(100.1, 3)])
    market.row(900, [], [])
    market.assert_newest_is_the_book()


def test_a_sum_that_returns_to_nothing_is_nothing(market: Market) -> None:
    for at in range(200):
        market.row(300 + at, [(99.9, 0.1 * (at % 17 + 1)), (99.905, 0.3)], [])
    market.row(550, [(99.9, 0), (99.905, 0)], [])
    assert 99.9 not in market.cells(-1)


@pytest.mark.parametrize("way", WAYS)
def test_columns_begin_with_the_first_row_from_the_start_on(way: str) -> None:
    market = Market(way, start_ms=T0 + 1_100)
    market.row(0, [(99.0, 1)], [(101.0, 1)], snapshot=True)
    market.row(1_099, [(99.5, 1)], [])
    assert len(market.heatmap()) == 0
    assert market.columns.best_changes()[0] == 0
    market.row(1_900, [(99.6, 1)], [])
    market.row(2_000, [], [])
    found = market.heatmap()
    assert (found.first, found.updates) == (T0 // 250 + 7, [1, 1])
    market.assert_newest_is_the_book()


@pytest.mark.parametrize("way", WAYS)
def test_there_is_no_column_before_the_first_level(way: str) -> None:
    market = Market(way)
    market.row(0, [], [])
    market.row(1_000, [], [])
    market.row(1_100, [(99.0, 1)], [])
    market.row(1_300, [], [])
    found = market.heatmap()
    assert (found.first, found.updates, found.bid, found.ask) == (
        T0 // 250 + 4, [2, 1], [99.0, 99.0], [0.0, 0.0]
    )  # fmt: skip
    market.row(1_600, [(99.0, 0)], [])
    market.assert_newest_is_the_book()
    market.row(1_900, [], [(77.0, 1)])
    assert len(market.heatmap()) == 4


@pytest.mark.parametrize("way", WAYS)
def test_a_row_that_cannot_be_read_is_no_update(way: str) -> None:
    market = Market(way)
    market.row(0, [(99.0, 1)], [(101.0, 1)])
    market.book.update_rows([(T0 + 300, 0, b"nonsense", b"[]")], [True])
    assert market.heatmap().updates == [1, 0]
    market.assert_newest_is_the_book()


def test_each_change_of_the_best_prices_is_kept(market: Market) -> None:
    market.row(1, [(99.99, 5)], [])
    market.row(1, [(100.0, 5)], [])
    market.row(1, [(100.0, 0)], [])
    market.row(2, [], [(100.005, 1)])
    market.row(3, [], [], snapshot=True)
    first, found = market.columns.best_changes()
    changes = list(
        zip(*(memoryview(found[name]).cast("d") for name in ("time", "bid", "ask")), strict=True)
    )
    assert (first, changes) == (
        0,
        [
            (T0, 99.99, 100.01),
            (T0 + 1, 100.0, 100.01),
            (T0 + 1, 99.99, 100.01),
            (T0 + 2, 99.99, 100.005),
            (T0 + 3, 0.0, 0.0),
        ],
    )


def test_the_last_changes_of_the_best_prices_are_kept(market: Market) -> None:
    rows = [(T0 + 1, 0, b'[["100","%d"]]' % (i % 2), b"[]") for i in range(50_000)]
    market.book.update_rows(rows, [False] * len(rows))
    first, found = market.columns.best_changes()
    # The first row deletes what is not there; each after it changes the best bid.
    assert (first, len(found["time"])) == (50_000 - 20_000, 20_000 * 8)
    assert [*memoryview(found["bid"]).cast("d")][-2:] == [99.99, 100.0]


@pytest.mark.parametrize("way", WAYS)
def test_without_a_heatmap_only_the_best_prices_are_kept(way: str) -> None:
    book_class, columns_class = WAYS[way]
    columns: Any = columns_class(PriceGrid(), -1, False)
    book: Any = book_class(50, columns=columns)
    book.update_rows(
        [(T0 + at, 0, b'[["9","%d"]]' % (at + 1), b"[]") for at in range(900)], [False] * 900
    )
    assert Heatmap(0, columns.ring(0, book)).cells == []
    assert len(columns.best_changes()[1]["bid"]) == 8


def test_prices_that_no_tick_fits_are_counted_as_the_nearest(market: Market) -> None:
    market.row(300, [(99.9900000000001, 3)], [(1e13, 1)])
    market.row(500, [], [])
    assert market.grid.off_tick
    market.row(700, [(99.98, 8)], [])
    assert len(market.heatmap()) == 3
    assert market.cells(-1)[99.98] == 8.0


@pytest.mark.parametrize("way", WAYS)
def test_rows_are_chosen_anew_where_the_last_mid_is_too_high_for_a_finer_tick(way: str) -> None:
    market = Market(way)
    market.row(0, side_of(3e13, -1, 9), side_of(3e13 + 1, 1, 9), snapshot=True)
    market.row(700, [(1e-9, 5)], [(3e-9, 6)], snapshot=True)
    market.row(1000, [], [])
    assert (market.grid.units, market.grid.decimals, market.grid.off_tick) == (1, 9, False)
    assert market.cells(-1) == {1e-9: 5.0, 3e-9: -6.0}
    market.assert_newest_is_the_book()


def test_of_an_empty_book_the_column_stays_where_it_was_when_trades_refine_the_tick(
    market: Market,
) -> None:
    market.row(300, [], [], snapshot=True)
    market.grid.fit([99.9975])
    market.row(600, [], [])
    found = market.heatmap()
    assert len({*found.low}) == len({*found.row}) == 1
    assert not any(found.cells[-1])


@given(st.floats(0, 1e39))
def test_a_bfloat16_is_within_its_error(size: float) -> None:
    found = decoded(to_bfloat16(size))
    assert abs(found - min(size, LARGEST)) <= max(min(size, LARGEST) * 2**-8, 1e-40)


def test_the_finest_rows_are_1_2_5_of_ticks() -> None:
    assert [finest_row(share) for share in (0.0, 0.3, 1, 1.1, 2, 4.16, 9.6, 10.1, 51, 2e8)] == [
        1, 1, 1, 2, 2, 5, 10, 20, 100, 2 * 10**8
    ]  # fmt: skip


prices = st.integers(9_700, 10_300).map(lambda tick: tick / 100)
odd_prices = st.sampled_from([100.005, 99.99123, 1e-9, 1e7, 3e13, 250.0, 30.0])
sizes = st.sampled_from([0, 0, 1, 2.5, 0.001, 17.25, 1e-8, 3e9])
sides = st.lists(
    st.tuples(st.one_of(prices, prices, prices, odd_prices), sizes).map(list), max_size=12
).map(lambda side: json.dumps(side).encode())
market_rows = st.tuples(
    st.sampled_from([0, 0, 1, 90, 110, 250, 900, 20_000, 300_000]),
    st.one_of(sides, sides, sides, hostile_side_texts()),
    st.one_of(sides, sides, sides, hostile_side_texts()),
    st.sampled_from([False] * 9 + [True]),
)


@pytest.mark.skipif(len(WAYS) == 1, reason="the compiled book is not built here")
@settings(max_examples=60)
@given(st.lists(market_rows, max_size=60), st.booleans(), st.integers(-1, 1000))
def test_compiled_and_python_agree(
    given: list[tuple[int, bytes, bytes, bool]], uncross: bool, start: int
) -> None:
    found = []
    for way in WAYS:
        market = Market(way, start_ms=T0 + start if start >= 0 else -1, uncross=uncross)
        now = T0
        for wait, bids, asks, snapshot in given:
            now += wait
            market.book.update_rows([(now, 0, bids, asks)], [snapshot])
        rings = [market.columns.ring(level, market.book) for level in range(LEVELS)]
        market.columns.finish(market.book)
        rings += [market.columns.ring(level, market.book) for level in range(LEVELS)]
        grid = market.grid
        tick = grid.units, grid.decimals, grid.refined, grid.off_tick
        found.append((rings, market.columns.best_changes(), tick))
    assert found[0] == found[1]
