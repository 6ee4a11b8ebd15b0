"""Each mistake that trading programs make, put in on purpose, is seen beside the oracle."""

from functools import cache

import pytest
from paper_mistakes import MISTAKES
from real_recordings import needs_recordings

from trading.matching import MatchingEngine
from trading.orders import OrderRequest

pytest.importorskip(
    "hftbacktest", reason="hftbacktest is not here: uv run --group oracle", exc_type=ImportError
)

import paper_oracle as oracle
from paper_cases import case_of

pytestmark = [needs_recordings, pytest.mark.thorough]

LATENCY = (10, 5)
TWO = ("busy spot", "futures")


@cache
def wanted(name: str) -> tuple[list[OrderRequest], oracle.Outcome]:
    case = case_of(name)
    orders = case.orders(LATENCY, seed=4)
    return orders, case.execute(orders, LATENCY)


def fills_that_differ(name: str, engine: type[MatchingEngine]) -> int:
    case = case_of(name)
    orders, right = wanted(name)
    found = case.run(orders, case.rules(LATENCY, whole_fills=True), engine)
    return len(set(found.fills) ^ set(right.fills))


def test_without_a_mistake_there_is_no_difference() -> None:
    assert [fills_that_differ(name, MatchingEngine) for name in TWO] == [0, 0]


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_makes_fills_differ(mistake: type[MatchingEngine]) -> None:
    assert sum(fills_that_differ(name, mistake) for name in TWO) > 0
