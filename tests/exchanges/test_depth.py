"""A client that applies the difference of two views has the new view, whatever its exchange."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchanges.depth import Changes, DepthView, PythonTextBook, TextBook, join_changes
from exchanges.levels import Level

BOOKS = {book.engine: book for book in (PythonTextBook, TextBook)}
pytestmark = pytest.mark.parametrize("new_book", BOOKS.values(), ids=BOOKS)

NewBook = Callable[[], TextBook]
Rows = list[tuple[list[Level], list[Level]]]
prices = st.sampled_from([f"{99 + tick / 10:.1f}" for tick in range(21)])
levels = st.builds(
    Level, prices, st.sampled_from(["0", "0", "0.0", "1", "2.5", "7"]), st.sampled_from(["1", "2"])
)
# Both sides share their prices: a price may change sides, and books may be crossed.
rows = st.lists(st.tuples(st.lists(levels, max_size=8), st.lists(levels, max_size=8)), max_size=25)
depths = st.integers(1, 6)


class BruteClient:
    """A dictionary a side, cut after each level where its exchange's clients do that."""

    def __init__(self, cut_at: int | None) -> None:
        self._cut_at = cut_at
        self._sides: tuple[dict[Decimal, Level], dict[Decimal, Level]] = ({}, {})

    def apply(self, changes: Changes | DepthView) -> None:
        pairs = zip(self._sides, (changes.bids, changes.asks), (True, False), strict=True)
        for side, written, is_bids in pairs:
            for level in written:
                price = Decimal(level.price)
                side.pop(price, None)
                if Decimal(level.size):
                    side[price] = level
                if self._cut_at is not None:
                    for beyond in sorted(side, reverse=is_bids)[self._cut_at :]:
                        del side[beyond]

    def view(self, depth: int | None) -> DepthView:
        bids, asks = self._sides
        return DepthView(
            depth,
            tuple(bids[price] for price in sorted(bids, reverse=True)[:depth]),
            tuple(asks[price] for price in sorted(asks)[:depth]),
        )


@given(rows=rows)
def test_the_book_equals_brute_force_after_every_row(new_book: NewBook, rows: Rows) -> None:
    book, brute = new_book(), BruteClient(None)
    for bids, asks in rows:
        book.apply(bids, asks)
        brute.apply(Changes(tuple(bids), tuple(asks)))
        assert book.view(None) == brute.view(None)


def follow(
    new_book: NewBook,
    rows: Rows,
    depth: int,
    client: BruteClient,
    make: Callable[[TextBook, int], Changes],
) -> None:
    book = new_book()
    for number, (bids, asks) in enumerate(rows):
        book.apply(bids, asks, snapshot=number % 7 == 5)
        client.apply(make(book, depth))
        assert [[level[:2] for level in side] for side in client.view(None)[1:]] == [
            [level[:2] for level in side] for side in book.view(depth)[1:]
        ]


def kraken(book: TextBook, depth: int) -> Changes:
    return book.changes(depth, delete_fallen=False)


def okx(book: TextBook, depth: int) -> Changes:
    return book.changes(depth, delete_fallen=True, with_orders=True)


def inserts_first(book: TextBook, depth: int) -> Changes:
    right = kraken(book, depth)
    bids, asks = (tuple(sorted(side, key=lambda level: level.size == "0")) for side in right)
    return Changes(bids, asks)


@given(rows=rows, depth=depths)
def test_a_kraken_client_that_cuts_after_each_level_has_the_new_view(
    new_book: NewBook, rows: Rows, depth: int
) -> None:
    follow(new_book, rows, depth, BruteClient(depth), kraken)


@given(rows=rows, depth=depths)
def test_an_okx_client_that_never_cuts_has_the_new_view(
    new_book: NewBook, rows: Rows, depth: int
) -> None:
    follow(new_book, rows, depth, BruteClient(None), okx)


@given(rows=rows, depth=depths)
def test_a_change_of_orders_alone_is_sent_where_orders_count(
    new_book: NewBook, rows: Rows, depth: int
) -> None:
    book, client = new_book(), BruteClient(None)
    for bids, asks in rows:
        book.apply(bids, asks)
        client.apply(okx(book, depth))
        assert client.view(None)[1:] == book.view(depth)[1:]


@given(rows=rows, depth=depths)
def test_what_changed_is_the_difference_of_the_views_before_and_after(
    new_book: NewBook, rows: Rows, depth: int
) -> None:
    book = new_book()
    for number, (bids, asks) in enumerate(rows):
        old = book.view(depth)
        book.apply(bids, asks, snapshot=number % 7 == 5)
        new = book.view(depth)
        for before, after, changed in zip(old[1:], new[1:], okx(book, depth), strict=True):
            gone = {level.price for level in before} - {level.price for level in after}
            assert {level.price for level in changed if level.size == "0"} == gone
            assert set(changed) - {Level(price, "0", "0") for price in gone} == (
                set(after) - set(before)
            )


def test_inserts_before_deletes_lose_levels_at_kraken(new_book: NewBook) -> None:
    rows: Rows = [
        ([], [Level("1", "1"), Level("2", "1"), Level("3", "1")]),
        ([], [Level("1", "0"), Level("0.5", "1")]),
    ]
    follow(new_book, rows, 3, BruteClient(3), kraken)
    with pytest.raises(AssertionError):
        follow(new_book, rows, 3, BruteClient(3), inserts_first)


@given(rows=rows)
def test_a_binance_client_that_writes_each_raw_change_has_the_whole_book(
    new_book: NewBook, rows: Rows
) -> None:
    book, client = new_book(), BruteClient(None)
    for number, (bids, asks) in enumerate(rows):
        book.apply(bids, asks, snapshot=number % 5 == 4)
        client.apply(book.row_changes())
        assert [[level[:2] for level in side] for side in client.view(None)[1:]] == [
            [level[:2] for level in side] for side in book.view(None)[1:]
        ]


@given(rows=rows, joined=st.integers(1, 5))
def test_joined_changes_end_in_the_same_book(new_book: NewBook, rows: Rows, joined: int) -> None:
    book, client = new_book(), BruteClient(None)
    waiting: list[Changes] = []
    for bids, asks in rows:
        book.apply(bids, asks)
        waiting.append(book.row_changes())
        if len(waiting) == joined:
            client.apply(join_changes(waiting))
            waiting = []
            assert client.view(None) == book.view(None)


@given(rows=rows, depth=depths)
def test_deletes_stand_before_inserts_on_each_side(
    new_book: NewBook, rows: Rows, depth: int
) -> None:
    book = new_book()
    for bids, asks in rows:
        book.apply(bids, asks)
        for side in kraken(book, depth):
            deletes = [level.size == "0" for level in side]
            assert deletes == sorted(deletes, reverse=True)


def test_a_price_that_changes_sides_is_deleted_on_its_own_side(new_book: NewBook) -> None:
    book = new_book()
    book.apply([Level("100", "1")], [])
    book.apply([Level("100", "0")], [Level("100", "1")])
    assert kraken(book, 10) == Changes((Level("100", "0", "0"),), (Level("100", "1"),))


def test_a_level_that_fell_out_is_deleted_at_okx_and_not_at_kraken(new_book: NewBook) -> None:
    book = new_book()
    book.apply([], [Level("101", "1"), Level("102", "1")])
    book.apply([], [Level("100", "1")])
    assert kraken(book, 2).asks == (Level("100", "1"),)
    assert okx(book, 2).asks == (Level("102", "0", "0"), Level("100", "1"))


def test_a_level_that_comes_back_into_the_depth_is_sent(new_book: NewBook) -> None:
    book = new_book()
    book.apply([], [Level("101", "1"), Level("102", "1"), Level("103", "5")])
    book.apply([], [Level("101", "0")])
    assert okx(book, 2).asks == (Level("101", "0", "0"), Level("103", "5"))


def test_a_snapshot_that_has_a_price_twice_is_read_from_first_to_last(new_book: NewBook) -> None:
    book = new_book()
    twice = [Level("1", "5"), Level("2", "7"), Level("1.0", "0"), Level("2.0", "8")]
    book.apply(twice, [], snapshot=True)
    assert book.view(None).bids == (Level("2", "8"),)


def test_one_price_written_in_two_ways_is_one_level(new_book: NewBook) -> None:
    book = new_book()
    book.apply([Level("1.5", "1")], [])
    book.apply([Level("1.50", "2")], [])
    assert book.view(None).bids == (Level("1.5", "2"),)
    book.apply([Level("1.500", "0.00")], [])
    assert book.view(None).bids == ()
