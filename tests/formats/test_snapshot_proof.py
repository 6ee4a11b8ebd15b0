"""Both books that snapshots are compared with count the same levels that differ."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from formats.rows import BookRow
from formats.snapshot_proof import LevelBook, PythonLevelBook

BOTH = pytest.mark.parametrize("new", [PythonLevelBook, LevelBook])


def row(bids: str = "[]", asks: str = "[]") -> BookRow:
    return "X", bids, asks, 0, "update", None, None, None


def side(levels: list[tuple[str, str]]) -> str:
    return "[" + ",".join(f'["{price}","{size}"]' for price, size in levels) + "]"


@BOTH
def test_levels_that_came_went_or_changed_differ(new: Callable[[], PythonLevelBook]) -> None:
    book = new()
    book.apply([row('[["1","5"],["2","5"]]', '[["3","5"],["4","1"]]'), row('[["1","0"]]')], 0, 2)
    assert len(book) == 3
    assert book.replace(row('[["2.0","5"],["1","1"]]', '[["3","6"]]')) == 3  # 1 came, 3, 4 went
    assert book.replace(row('[["2","5.0"],["1","1"]]', '[["3","6"]]')) == 0


@BOTH
def test_the_same_price_may_be_on_both_sides(new: Callable[[], PythonLevelBook]) -> None:
    book = new()
    book.apply([row('[["2","5"]]', '[["2","5"]]')], 0, 1)
    assert book.replace(row('[["2","5"]]', '[["1","5"]]')) == 2


@BOTH
def test_nothing_is_said_of_an_empty_book_or_a_row_that_cannot_be_read(
    new: Callable[[], PythonLevelBook],
) -> None:
    book = new()
    assert book.replace(row('[["2","5"]]')) is None
    assert book.replace(row("unreadable: x")) is None
    assert len(book) == 1
    assert book.replace(row()) is None


@BOTH
def test_a_row_that_cannot_be_read_changes_nothing(new: Callable[[], PythonLevelBook]) -> None:
    book = new()
    book.apply([row('[["2","5"]]'), row("unreadable: x", '[["9","9"]]')], 0, 2)
    assert book.replace(row('[["2","5"]]')) == 0


@BOTH
def test_only_the_rows_asked_for_are_applied(new: Callable[[], PythonLevelBook]) -> None:
    book = new()
    book.apply([row('[["1","5"]]'), row('[["2","5"]]'), row('[["3","5"]]')], 1, 2)
    assert book.replace(row('[["2","5"]]')) == 0


numbers = st.sampled_from(["0", "1", "1.0", "2", "2.50", "1e-05", "NaN", "-1", "1" * 20])
sides = st.one_of(
    st.lists(st.tuples(numbers, numbers), max_size=5).map(side), st.sampled_from(["", "[", "null"])
)
rows = st.lists(st.builds(row, sides, sides), max_size=6)


@given(rows, rows)
def test_the_compiled_book_is_the_python_one(changes: list[BookRow], said: list[BookRow]) -> None:
    compiled, python = LevelBook(), PythonLevelBook()
    for book in (compiled, python):
        book.apply(changes, 0, len(changes))
    assert [compiled.replace(r) for r in said] == [python.replace(r) for r in said]
    assert len(compiled) == len(python)
