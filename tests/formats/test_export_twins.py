"""Levels, events, deltas and fixed points: the compiled twins give what the Python ones do."""

from array import array
from decimal import Decimal
from random import Random

import pytest
from compiled_twins import compiled_twins
from small_levels import random_rows

from formats.delta_columns import python_delta_columns, python_fixed_point
from formats.event_bytes import python_event_bytes
from metrics.level_log import LevelRows, PythonLevelLog
from metrics.trade_columns import TradeColumns
from orderbook_manager import OrderbookManager, PythonOrderbookManager
from orderflow.events import BookRow

native = compiled_twins()
LIMITS = 1e13, 1e13


def row_levels(rows: list[BookRow], snapshots: list[bool]) -> LevelRows:
    level_log = PythonLevelLog()
    PythonOrderbookManager(5, level_log=level_log).update_rows(rows, snapshots)
    return LevelRows(*level_log.take())


def random_trades(draw: Random, times: list[int]) -> TradeColumns:
    picked = sorted(draw.choice(times) + draw.choice((0, 0, 1)) for _ in range(40))
    count = len(picked)
    return (
        array("d", picked),
        array("d", [draw.randrange(1, 10_000) / 10 for _ in range(count)]),
        array("d", [draw.random() for _ in range(count)]),
        array("B", [draw.randrange(3) for _ in range(count)]),
    )


@pytest.mark.parametrize("seed", range(8))
def test_the_logged_levels_are_equal_whatever_the_rows(seed: int) -> None:
    rows, snapshots = random_rows(seed)
    logs = PythonLevelLog(), native.LevelLog()
    books = PythonOrderbookManager(5, level_log=logs[0]), OrderbookManager(5, level_log=logs[1])
    for begin in range(0, len(rows), 37):
        part = slice(begin, begin + 37)
        for book in books:
            book.update_rows(rows[part], snapshots[part])
        if begin % 2:
            books[1].update("[[1,1]]", "[]")  # is not logged
        found = [LevelRows(*level_log.take()) for level_log in logs]
        assert found[0] == found[1]
    assert not any(LevelRows(*level_log.take()).rows for level_log in logs)


@pytest.mark.parametrize("seed", range(8))
def test_the_events_are_equal(seed: int) -> None:
    rows = row_levels(*random_rows(seed))
    trades = random_trades(Random(seed), list(rows.time))
    assert native.event_bytes(rows, trades) == python_event_bytes(rows, trades)
    none = array("d"), array("d"), array("d"), array("B")
    assert native.event_bytes(rows, none) == python_event_bytes(rows, none)


@pytest.mark.parametrize("seed", range(8))
def test_the_deltas_are_equal(seed: int) -> None:
    rows = row_levels(*random_rows(seed))
    for decimals, limits in (((0, 0), LIMITS), ((3, 8), LIMITS), ((0, 0), (150.0, 5.0))):
        wanted = python_delta_columns(rows, decimals, limits, 7)
        assert native.delta_columns(rows, decimals, limits, 7) == wanted
        assert (wanted[3] > 0) == (limits != LIMITS)


def test_columns_that_do_not_belong_together_are_refused() -> None:
    rows = row_levels(*random_rows(1))._replace(price=array("d"))
    trades = array("d"), array("d"), array("d"), array("B")
    with pytest.raises(ValueError, match="levels, with 0 prices"):
        native.event_bytes(rows, trades)
    with pytest.raises(ValueError, match="levels, with 0 prices"):
        native.delta_columns(rows, (0, 0), LIMITS, 1)
    with pytest.raises(ValueError, match="columns of trades differ in length"):
        native.event_bytes(row_levels([], []), (array("d", [1.0]), *trades[1:]))


@pytest.mark.parametrize("fixed_point", [python_fixed_point, native.fixed_point])
def test_decimals_are_kept_to_the_last_digit(fixed_point: object) -> None:
    texts = ["30243.5", "0.00000001", "1.772e-05", "0.07", "123456.789", "5", "17014118346045.5"]
    for decimals in (0, 5, 8):
        raw, found, inexact = fixed_point(array("d", map(float, texts)), decimals)  # type: ignore[operator]
        numbers = [int.from_bytes(raw[i : i + 16], "little") for i in range(0, len(raw), 16)]
        assert numbers == [int(Decimal(text) * 10**16) for text in texts]
        assert (found, inexact) == (8, 0)


def test_more_decimals_than_there_are_places_for_are_counted() -> None:
    values = array("d", [0.1 + 0.2, 1.0, 1e-20])
    made = python_fixed_point(values, 0)
    assert made == native.fixed_point(values, 0)
    assert made[1:] == (16, 2)


def test_the_fixed_points_are_equal_whatever_the_numbers() -> None:
    draw = Random(3)
    values = array("d", [round(draw.random() * 10 ** draw.randint(0, 12), draw.randint(0, 12))
                         for _ in range(4000)])  # fmt: skip
    values.extend(draw.random() * 10 ** draw.randint(-9, 12) for _ in range(1000))
    for decimals in (0, 4, 16):
        assert native.fixed_point(values, decimals) == python_fixed_point(values, decimals)
