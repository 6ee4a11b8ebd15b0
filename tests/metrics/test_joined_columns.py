"""Columns of two stretches, joined, are those of one run over both."""

from typing import Any

import pytest

from metrics.flow import Flow
from metrics.heat_columns import COLUMNS, LEVELS
from metrics.joined_columns import JoinedColumns
from orderbook_manager import OrderbookManager

T0 = 1_700_000_000_000
Row = tuple[int, int, bytes, bytes]


def kept_of(rows: list[Row]) -> tuple[Flow, Any]:
    """Apply rows of which every fourth is a snapshot."""
    flow = Flow(60)
    book = OrderbookManager(50, columns=flow.columns)
    book.update_rows(rows, [row[1] % 4 == 0 for row in rows])
    flow.columns.finish(book)
    return flow, book


def row(number: int, at: int) -> Row:
    bids = b'[["100","%d"],["99.9","%d"]]' % (number % 5 + 1, number)
    return T0 + at, number, bids, b'[["100.%d","1"]]' % (number % 3 + 1)


@pytest.mark.parametrize("wait", [0, 10, 240, 250, 700, 5_000, 250 * COLUMNS, 600_000_000])
def test_two_stretches_are_one_whatever_lies_between(wait: int) -> None:
    early = [row(number, 110 * number) for number in range(40)]
    late = [row(number, 110 * number + wait) for number in range(40, 90)]
    whole, book = kept_of(early + late)
    joined = JoinedColumns([flow.stretch(end) for flow, end in map(kept_of, (early, late))])
    for level in range(LEVELS):
        assert joined.ring(level, book) == whole.columns.ring(level, book)
    assert joined.best_changes() == whole.columns.best_changes()


def test_a_stretch_without_a_column_adds_none() -> None:
    flow, book = kept_of([row(number, 110 * number) for number in range(40)])
    empty, _ = kept_of([])
    for order in ([flow, empty], [empty, flow]):
        joined = JoinedColumns([one.stretch(book) for one in order])
        assert joined.ring(0, book) == flow.columns.ring(0, book)
        assert joined.best_changes() == flow.columns.best_changes()
