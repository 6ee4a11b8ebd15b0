"""The compiled book releases the GIL while it works: a book a thread, none shared by two."""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from compiled_twins import compiled_twins

from orderbook_manager import PythonOrderbookManager
from orderflow.errors import OrderflowError

native = compiled_twins()


def side(levels: Any) -> bytes:
    return str([list(level) for level in levels]).encode()


def test_a_book_at_work_is_left_alone() -> None:
    book = native.OrderbookManager()
    uses: tuple[Callable[[], Any], ...] = (
        lambda: book.update(b"", b""),
        lambda: book.update_rows([], []),
        lambda: book.quote_rows([], []),
        lambda: book.top_levels(1),
        lambda: book.level_counts,
        lambda: book.is_empty,
        book.clear,
    )

    class Levels(list[Any]):
        """Is read while the book is at work, as another thread could run meanwhile."""

        def __iter__(self) -> Iterator[Any]:
            for use in uses:
                with pytest.raises(OrderflowError, match="at work in another thread"):
                    use()
            return super().__iter__()

    rows = [(1, 0, Levels([[1, 2]]), b"[[2,6]]")]
    outcome = book.update_rows(rows, [False])
    assert (list(outcome.samples), outcome.skipped) == ([(1, 2.0, 6.0)], [])
    assert book.update(b"", b"") == (2.0, 6.0)


@pytest.mark.slow
def test_threads_that_share_a_book_are_refused_or_served() -> None:
    book, end = native.OrderbookManager(3), time.monotonic() + 15
    rows = [(n, 0, side([(1 + n % 50, n)]), side([(99 - n % 30, n)])) for n in range(50)]
    refused, served = [0], [0]

    def use(do: Callable[[], Any]) -> None:
        while time.monotonic() < end:
            try:
                do()
                served[0] += 1
            except OrderflowError:
                refused[0] += 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(3) as pool:
            uses = [lambda: book.update_rows(rows, [False] * 50)] * 2
            done = [pool.submit(use, do) for do in (*uses, lambda: book.top_levels(9))]
    finally:
        sys.setswitchinterval(interval)
    assert [future.result() for future in done] == [None] * 3
    assert min(*refused, *served) > 0
    bids, asks = book.top_levels(99)
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)


def test_threads_may_each_have_a_book() -> None:
    rows = [(n, 0, side([(1 + n % 50, n)]), side([(99 - n % 30, n)])) for n in range(5000)]
    books = [native.OrderbookManager(3) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(book.update_rows, rows, [False] * 5000) for book in books]
    expected = PythonOrderbookManager(3).update_rows(rows, [False] * 5000)
    for outcome in (future.result() for future in done):
        assert outcome._replace(samples=list(outcome.samples)) == expected
