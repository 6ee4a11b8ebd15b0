from decimal import Decimal
from fractions import Fraction
from functools import reduce
from math import gcd

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.price_grid import MAX_TICKS, PriceGrid


def grid_of(*prices: float) -> PriceGrid:
    grid = PriceGrid()
    grid.fit(prices)
    return grid


def tick_of(grid: PriceGrid) -> Fraction:
    return Fraction(grid.units, 10**grid.decimals)


def common_divisor(prices: list[float]) -> Fraction:
    numbers = [Fraction(Decimal(repr(price))) for price in prices]
    bottom = reduce(lambda a, b: a * b // gcd(a, b), (n.denominator for n in numbers))
    return Fraction(gcd(*(int(n * bottom) for n in numbers)), bottom)


decimals = st.tuples(st.integers(1, 10**7), st.integers(0, 6)).map(lambda p: p[0] / 10 ** p[1])


@given(st.lists(decimals, min_size=1, max_size=20))
def test_the_tick_is_the_greatest_common_divisor(prices: list[float]) -> None:
    grid = grid_of(*prices)
    assert not grid.off_tick
    assert tick_of(grid) == common_divisor(prices)


@given(st.lists(decimals, min_size=1, max_size=20), st.lists(decimals, max_size=9))
def test_it_does_not_matter_in_which_order_prices_come(
    first: list[float], later: list[float]
) -> None:
    grid = grid_of(*first)
    for price in later:
        grid.fit([price])
    assert tick_of(grid) == tick_of(grid_of(*later, *first))
    assert all(map(grid.fits, first + later))


@given(st.integers(1, 10**9), st.sampled_from([(1, 1), (1, 2), (5, 1), (25, 2), (1, 8), (1, 0)]))
def test_a_price_is_its_tick(number: int, tick: tuple[int, int]) -> None:
    units, places = tick
    grid = grid_of(units / 10**places)
    price = float(Decimal(number * units).scaleb(-places))
    assert grid.fits(price)
    assert grid.ticks_of(price) == number
    assert grid.price_of(number) == pytest.approx(price, rel=1e-15)


def test_refinements_are_counted_after_the_first_prices() -> None:
    grid = grid_of(100.0, 100.5, 101.0)
    assert (tick_of(grid), grid.refined) == (Fraction(1, 2), 0)
    grid.fit([100.25, 103.0, 100.1])
    assert (tick_of(grid), grid.refined) == (Fraction(1, 20), 2)
    assert grid.ticks_in(5, 1) == 10


def test_a_price_that_would_need_too_fine_a_tick_is_counted_as_the_nearest() -> None:
    grid = grid_of(100.0, 100.5)
    grid.fit([100.1234567890123])
    assert grid.off_tick
    assert tick_of(grid) == Fraction(1, 2)
    assert grid.ticks_of(100.1234567890123) == 200
    grid.fit([100.25])
    assert tick_of(grid) == Fraction(1, 2)


@pytest.mark.parametrize("price", [1.5e-22, 1e-23, 5e-324, 123456.7e-28])
def test_a_price_with_more_decimals_than_a_tick_may_have_is_off_it(price: float) -> None:
    assert grid_of(price).off_tick
    assert grid_of(price, 100.0).off_tick


@given(st.lists(st.floats(5e-324, 1.7e308), min_size=1, max_size=9))
def test_any_price_can_be_counted(prices: list[float]) -> None:
    grid = grid_of(*prices)
    assert grid.off_tick or all(map(grid.fits, prices))
    assert all(0 <= grid.ticks_of(price) <= MAX_TICKS for price in prices)


def test_two_grids_join_into_one_that_divides_both() -> None:
    grid, other = grid_of(100.2, 100.4), grid_of(7.25, 7.5)
    grid.join(other)
    assert tick_of(grid) == Fraction(1, 20)
    grid.join(PriceGrid())
    assert tick_of(grid) == Fraction(1, 20)
    empty = PriceGrid()
    empty.join(other)
    assert tick_of(empty) == Fraction(1, 4)


def test_a_tick_that_is_too_fine_for_the_highest_price_kept_is_not_taken() -> None:
    grid = grid_of(3e13)
    grid.highest = 3e13
    grid.fit([0.5])
    assert (tick_of(grid), grid.off_tick) == (Fraction(3 * 10**13), True)
    joined = grid_of(3e13)
    joined.highest = 3e13
    joined.join(grid_of(0.5))
    assert (tick_of(joined), joined.off_tick) == (Fraction(3 * 10**13), True)
    assert not joined.fits(0.5)
