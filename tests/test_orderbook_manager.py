"""One test class for the book, run on the Python class and, where it is built, on the compiled."""

import json
import random
from typing import Any

import pytest
from brute_force import BruteBook, exact_sum
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import quoted_levels, side_texts

import orderbook_manager
from level_parser import parse_levels_including_zeros
from orderbook_manager import PythonOrderbookManager

CLASSES = {c.engine: c for c in (PythonOrderbookManager, orderbook_manager.OrderbookManager)}


def side(*levels: tuple[float, float]) -> bytes:
    return json.dumps([[str(price), str(size), "0", "1"] for price, size in levels]).encode()


@pytest.mark.parametrize("book_class", CLASSES.values(), ids=CLASSES)
class TestBook:
    def test_sizes_are_absolute_and_zero_deletes(self, book_class: Any) -> None:
        book = book_class(50)
        assert book.update(side((100, 1), (99, 2)), side((101, 3))) == (3.0, 3.0)
        assert book.update(side((100, 5), (99, 0)), side((102, 4))) == (5.0, 7.0)
        assert book.top_levels(5) == ([[100.0, 5.0]], [[101.0, 3.0], [102.0, 4.0]])
        assert book.level_counts == (1, 2)

    def test_deleting_what_is_not_there_is_normal(self, book_class: Any) -> None:
        book = book_class(50)
        book.update(side((100, 1)), side((101, 1)))
        assert book.update(side((55, 0)), side((155, 0))) == (1.0, 1.0)
        assert book.levels_rejected == 0

    def test_empty_rows_change_nothing(self, book_class: Any) -> None:
        book = book_class(50)
        book.update(side((100, 1)), side((101, 2)))
        assert book.update(b"[]", b"[]") == (1.0, 2.0)
        assert book.update(None, b"") == (1.0, 2.0)

    def test_no_sums_while_a_side_is_empty(self, book_class: Any) -> None:
        book = book_class(50)
        assert book.is_empty
        assert book.update(side((100, 1)), b"[]") is None
        assert not book.is_empty
        assert book.update(b"[]", side((101, 1))) == (1.0, 1.0)
        assert book.update(side((100, 0)), b"[]") is None

    def test_a_snapshot_replaces_the_book(self, book_class: Any) -> None:
        book = book_class(50)
        book.update(side((100, 1), (99, 1)), side((101, 1)))
        assert book.update(side((98, 2)), side((103, 3)), True) == (2.0, 3.0)
        assert book.top_levels(5) == ([[98.0, 2.0]], [[103.0, 3.0]])
        assert book.update(b"[]", b"[]", True) is None
        assert book.is_empty

    def test_only_the_best_levels_are_summed_and_all_are_kept(self, book_class: Any) -> None:
        book = book_class(2)
        bids = side(*((1000 - i, 1 + i) for i in range(300)))
        asks = side(*((1101 + i, 2 + i) for i in range(300)))
        assert book.update(bids, asks) == (3.0, 5.0)
        assert book.level_counts == (300, 300)
        for i in range(298):
            book.update(side((1000 - i, 0)), side((1101 + i, 0)))
        assert book.level_counts == (2, 2)
        assert book.top_levels(3)[1] == [[1399.0, 300.0], [1400.0, 301.0]]

    def test_one_price_in_every_spelling_is_one_level(self, book_class: Any) -> None:
        book = book_class(50)
        for bids in ('[["30243.5","1"]]', '[["30243.50","2"]]', "[[3.02435e4,3]]", "[[30243.5,4]]"):
            book.update(bids.encode(), b'[["30244","1"]]')
        assert book.top_levels(9)[0] == [[30243.5, 4.0]]
        book.update(b"[[30243.5,0]]", b'[["30244.000","0"]]')
        assert book.is_empty

    def test_the_last_of_equal_prices_in_a_row_wins(self, book_class: Any) -> None:
        book = book_class(50)
        book.update(side((100, 1), (100, 0), (99, 0), (99, 7)), side((101, 0), (101, 2), (101, 3)))
        assert book.top_levels(9) == ([[99.0, 7.0]], [[101.0, 3.0]])

    def test_a_row_that_cannot_be_parsed_changes_nothing_and_is_counted(
        self, book_class: Any
    ) -> None:
        book = book_class(50)
        book.update(side((100, 1)), side((101, 1)))
        assert book.update(side((99, 1)), b"nonsense", True) is None
        assert book.update(b"{}", side((102, 1))) is None
        assert book.rows_skipped == 2
        assert book.top_levels(9) == ([[100.0, 1.0]], [[101.0, 1.0]])

    def test_rejected_levels_are_counted_and_the_rest_used(self, book_class: Any) -> None:
        book = book_class(50)
        sums = book.update(b'[["100","1"],["x","1"],["99","nan"]]', b'[["101","2"],["0","1"],[7]]')
        assert sums == (1.0, 2.0)
        assert book.levels_rejected == 4

    def test_crossed_books_are_counted_and_kept(self, book_class: Any) -> None:
        book = book_class(50)
        book.update(side((100, 1)), side((101, 1)))
        assert book.update(side((101, 2)), b"[]") == (3.0, 1.0)
        assert book.update(side((102, 2)), b"[]") == (5.0, 1.0)
        assert book.crossed_books == 2

    @pytest.mark.parametrize("uncross", [False, True])
    def test_rows_given_together_say_which_of_them_were_odd(
        self, book_class: Any, uncross: bool
    ) -> None:
        sides = [
            (b'[["x","1"]]', None),
            (side((100, 1)), side((101, 1))),
            (side((99, 1)), b"nonsense"),
            (b'[["102","2"],["nan","1"]]', b'[["103","1"],[7],["104","-1"]]'),
            (b"{}", b'[["x","1"]]'),
            (side((102, 3)), b"[]"),
        ]
        rows = [(1000 + n, n, *both) for n, both in enumerate(sides)]
        book = book_class(50, uncross=uncross)
        outcome = book.update_rows(rows, [False] * len(rows))
        assert [sample[0] for sample in outcome.samples] == [1001, 1003, 1005]
        assert outcome.skipped == [2, 4]
        assert outcome.crossed == ([3] if uncross else [3, 5])
        assert outcome.rejected == [(0, 1), (3, 3)]
        assert (book.rows_skipped, book.levels_rejected) == (2, 4)
        again = book.update_rows([(2000, 9, side((98, 1)), b"")], [True])
        assert [list(field) for field in again] == [[], [], [], []]

    def test_quotes_are_the_best_of_the_book_after_each_row(self, book_class: Any) -> None:
        sides = [
            (side((100, 5), (99, 1)), b"[]"),
            (side((98, 2)), side((101, 3), (103, 9))),
            (b"no levels", b"[]"),
            (side((100, 0)), b"[]"),
            (side((99, 0), (98, 0)), side((101, 1e308), (103, 1e308))),
            (side((97, 4)), b"[]"),
        ]
        rows = [(n, n, *both) for n, both in enumerate(sides)]
        book = book_class(2)
        assert book.quote_rows(rows, [False] * 4 + [False, True]) == [
            (100.0, None, 5.0, None, None),
            (100.0, 101.0, 5.0, 3.0, (6.0 - 12.0) / 18.0),
            None,
            (99.0, 101.0, 1.0, 3.0, (3.0 - 12.0) / 15.0),
            (None, 101.0, None, 1e308, None),
            (97.0, None, 4.0, None, None),
        ]
        assert book.rows_skipped == 1
        quoted = book.quote_rows([(9, 9, side((97, 1e308)), side((99, 1e308)))], [False])
        assert quoted == [(97.0, 99.0, 1e308, 1e308, None)]

    def test_uncrossing_drops_the_older_of_the_levels_that_cross(self, book_class: Any) -> None:
        book = book_class(50, uncross=True)
        book.update(side((100, 1), (99, 1)), side((101, 1), (102, 1), (103, 1)))
        book.update(side((102, 5)), b"[]")
        assert book.top_levels(9) == (
            [[102.0, 5.0], [100.0, 1.0], [99.0, 1.0]],
            [[103.0, 1.0]],
        )
        book.update(b"[]", side((99.5, 4)))
        assert book.top_levels(9) == ([[99.0, 1.0]], [[99.5, 4.0], [103.0, 1.0]])
        assert book.crossed_books == 2

    def test_uncrossing_leaves_levels_of_one_row_alone(self, book_class: Any) -> None:
        book = book_class(50, uncross=True)
        book.update(side((100, 1)), side((100, 2)))
        assert book.top_levels(9) == ([[100.0, 1.0]], [[100.0, 2.0]])
        assert book.crossed_books == 1

    def test_sums_are_correctly_rounded_whatever_the_order(self, book_class: Any) -> None:
        sizes = [0.1, 1e16, 0.2, 3.7e-9, 123456.789, 1e-16, 0.3]
        for rotation in range(len(sizes)):
            turned = sizes[rotation:] + sizes[:rotation]
            book = book_class(50)
            sums = book.update(
                side(*((100 - i, s) for i, s in enumerate(turned))),
                side(*((101 + i, s) for i, s in enumerate(turned))),
            )
            assert sums == (exact_sum(sizes), exact_sum(sizes))

    def test_sums_too_large_for_a_double_are_infinite(self, book_class: Any) -> None:
        book = book_class(50)
        sums = book.update(side((100, 1e308), (99, 1e308)), side((101, 1)))
        assert sums == (float("inf"), 1.0)

    def test_the_size_at_any_price_is_known_and_none_is_0(self, book_class: Any) -> None:
        book = book_class(2)
        far = [(price, price / 10) for price in range(1, 400)]
        book.update(side(*far), side((500, 7), (501, 8)))
        wanted = ([39.9, 0.1, 0.0, 0.0], [7.0, 0.0, 0.0, 0.0, 0.0])
        asked = [399, 1.0, 0.5, 500], [500.0, 499.0, 0.0, -500.0, float("inf")]
        assert book.sizes_at(*asked) == wanted
        assert book_class(2).sizes_at([1.0], iter([2.0])) == ([0.0], [0.0])

    def test_clear_empties_the_book(self, book_class: Any) -> None:
        book = book_class(50)
        book.update(side((100, 1)), side((101, 1)))
        book.clear()
        assert book.is_empty
        assert book.top_levels(5) == ([], [])

    @given(
        st.integers(1, 6),
        st.lists(st.tuples(side_texts(), side_texts(), st.integers(0, 30)), max_size=12),
    )
    def test_agrees_with_dicts_and_sorting(
        self, book_class: Any, depth: int, rows: list[tuple[bytes, bytes, int]]
    ) -> None:
        check_against_brute_force(book_class, depth, rows)

    @pytest.mark.parametrize("depth", [1, 5, 50])
    @pytest.mark.thorough
    def test_a_long_walk_agrees_with_dicts_and_sorting(self, book_class: Any, depth: int) -> None:
        rng = random.Random(depth)
        book, brute = book_class(depth), BruteBook(depth)
        mid = 10_000
        for row in range(3000):
            mid += rng.choice([-2, -1, 0, 0, 1, 2])
            bids = [(mid - rng.randint(1, 300), rng.choice([0, 0, 1.5, 0.1])) for _ in range(8)]
            asks = [(mid + rng.randint(1, 300), rng.choice([0, 0, 2.5, 0.3])) for _ in range(8)]
            bids += [(int(price), 0) for price in brute.bids if price >= mid]
            asks += [(int(price), 0) for price in brute.asks if price <= mid]
            brute.apply(bids, asks)
            assert book.update(side(*bids), side(*asks)) == brute.sums(), row
        assert book.level_counts == (len(brute.bids), len(brute.asks))
        wanted = ([[*x] for x in brute.best_bids()], [[*x] for x in brute.best_asks()])
        assert book.top_levels(10_000) == wanted


def check_against_brute_force(
    book_class: Any, depth: int, rows: list[tuple[bytes, bytes, int]]
) -> None:
    book, brute = book_class(depth), BruteBook(depth)
    crossed = 0
    sampled, crossing = [], []
    for index, (bids, asks, kind) in enumerate(rows):
        brute.apply(
            parse_levels_including_zeros(bids),
            parse_levels_including_zeros(asks),
            snapshot=kind == 0,
        )
        assert book.update(bids, asks, kind == 0) == brute.sums()
        if sums := brute.sums():
            sampled.append((index, *sums))
        if brute.is_crossed:
            crossing.append(index)
        crossed += brute.is_crossed
        assert book.crossed_books == crossed
        bid_levels, ask_levels = book.top_levels(depth)
        assert bid_levels == [[*level] for level in brute.best_bids()[:depth]]
        assert ask_levels == [[*level] for level in brute.best_asks()[:depth]]
        prices = [*brute.bids, *brute.asks]
        wanted = [
            [levels.get(price, 0.0) for price in prices] for levels in (brute.bids, brute.asks)
        ]
        assert list(book.sizes_at(prices, prices)) == wanted
    together = [(index, 0, bids, asks) for index, (bids, asks, _) in enumerate(rows)]
    outcome = book_class(depth).update_rows(together, [kind == 0 for _, _, kind in rows])
    assert (list(outcome.samples), outcome.skipped, outcome.crossed) == (sampled, [], crossing)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(
    st.integers(1, 6),
    st.lists(st.tuples(side_texts(), side_texts(), st.integers(0, 30)), max_size=12),
    st.lists(quoted_levels(), max_size=3),
)
def test_10_000_sequences_agree_with_dicts_and_sorting(
    depth: int, rows: list[tuple[bytes, bytes, int]], more: list[object]
) -> None:
    extra = json.dumps(more).encode()
    for book_class in CLASSES.values():
        check_against_brute_force(book_class, depth, [*rows, (extra, extra, 1)])


def test_a_row_of_very_many_levels_in_any_order_agrees_too() -> None:
    rng = random.Random(4)
    book, brute = PythonOrderbookManager(50), BruteBook(50)
    for count in (3000, 10, 30_000, 40, 2500):
        bids = [(rng.randint(1, 50_000), rng.choice([0, 1.5, 2])) for _ in range(count)]
        asks = [(rng.randint(50_001, 99_000), rng.choice([0, 1.5, 2])) for _ in range(count)]
        brute.apply(bids, asks)
        assert book.update(side(*bids), side(*asks)) == brute.sums()
        assert book.level_counts == (len(brute.bids), len(brute.asks))
    gone = [[(price, 0.0) for price in levels] for levels in (brute.bids, brute.asks)]
    assert book.update(side(*gone[0]), side(*gone[1])) is None
    assert book.is_empty
    assert book.update(side((5, 1)), side((6, 2))) == (1.0, 2.0)
