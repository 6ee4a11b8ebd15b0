"""Each metric against figures worked out by hand: see the comments, and docs/metrics.md."""

from fractions import Fraction
from math import log, nan, sqrt

import pytest
from metric_runs import ENGINES, Deal, Row, made, use, values

from metrics.metric import TradeMetric
from metrics.micro_price import adjustments
from metrics.registry import METRICS

DAY = 86_400_000
ROWS: list[Row] = [
    # best bid and ask; sums of all bids and asks
    (0, [(99, 4), (98, 6)], [(101, 2), (103, 8)]),  # 99 x 4, 101 x 2; 10, 10
    (1000, [(99, 7)], []),  # 99 x 7, 101 x 2; 13, 10
    (2000, [(100, 1)], [(101, 0)]),  # 100 x 1, 103 x 8; 14, 8
    (60_000, [(100, 0)], [(102, 5)]),  # 99 x 7, 102 x 5; 13, 13
]
DEALS: list[Deal] = [
    (100, 99, 1, "sell"),
    (200, 101, 3, "buy"),
    (300, 100, 2.5, "sell"),
    (60_000, 102, 5, "buy"),
    (61_000, 100, 1, None),
]
IMPACT: list[Deal] = [
    (0, 100, 1, "buy"),
    (1000, 102, 2, "buy"),
    (2000, 101, 1, "sell"),
    (3000, 104, 4, "buy"),
]
MICRO: list[Row] = [
    (0, [(99, 1)], [(101, 3)]),  # imbalance 1/4: state 0; mid 100
    (1, [(99, 0), (98, 1)], [(101, 0), (100, 3)]),  # state 0 again; the mid moves by -1
    (2, [(98, 3)], [(100, 1)]),  # imbalance 3/4: state 1; no move
    (60_000, [(98, 0), (99, 3)], [(100, 0), (101, 1)]),  # state 1, mid 100
]
FIFTHS: list[Row] = [
    (0, [(99, 9)], [(101, 1)]),  # state 4
    (1, [(99, 9)], []),  # state 4 again; no move
    (60_000, [(99, 2.948)], [(101, 0.737)]),  # state 4, mid 100
]
THIRD = 301 / 3

GOLDEN: dict[str, tuple[list[Row], list[Deal], list[list[float]]]] = {
    # (10-10)/20, (13-10)/23, (14-8)/22 | (13-13)/26
    "obi": (ROWS, [], [[0, 6 / 22, 0, 6 / 22], [0, 0, 0, 0]]),
    # (4-2)/6, (7-2)/9, (1-8)/9 | (7-5)/12
    "obi:levels=1": (ROWS, [], [[1 / 3, 5 / 9, -7 / 9, -7 / 9], [1 / 6] * 4]),
    "tot": (ROWS, [], [[20, 23, 20, 22], [26] * 4]),
    "tot:levels=1": (ROWS, [], [[6, 9, 6, 9], [12] * 4]),
    "spread": (ROWS, [], [[2, 3, 2, 3], [3] * 4]),
    "mid": (ROWS, [], [[100, 101.5, 100, 101.5], [100.5] * 4]),
    # (99*2 + 101*4)/6, (99*2 + 101*7)/9, (100*8 + 103*1)/9 | (99*5 + 102*7)/12
    "weighted_mid": (ROWS, [], [[THIRD, 905 / 9, THIRD, THIRD], [100.75] * 4]),
    # within 99 to 101, twice; 100.485 to 102.515: nothing | 99.495 to 101.505: nothing
    "depth:bp=100": (ROWS, [], [[6, 9, 0, 0], [0] * 4]),
    "depth:bp=100,side=bid": (ROWS, [], [[4, 7, 0, 0], [0] * 4]),
    # 99.9775 to 103.0225: 1 and 8 | 98.9925 to 102.0075: 7 and 5
    "depth:bp=150": (ROWS, [], [[6, 9, 6, 9], [12] * 4]),
    "depth:bp=150,side=ask": (ROWS, [], [[2, 8, 2, 8], [5] * 4]),
    # distances 100 and 200: (100*4 + 200*10) / (100^2 + 200^2)
    "slope:levels=2,side=bid": (ROWS[:1], [], [[0.048] * 4]),
    # distances 100 and 300: (100*2 + 300*10) / (100^2 + 300^2)
    "slope:levels=2,side=ask": (ROWS[:1], [], [[0.032] * 4]),
    "slope:levels=2": (ROWS[:1], [], [[0.04] * 4]),
    "slope:levels=1,side=bid": (ROWS[:1], [], [[0.04] * 4]),
    # 7-4; +1 for the new bid, +2 for the ask that left | -1 for the bid that left, -5 for the ask
    "ofi": (ROWS, [], [[6], [-6]]),
    # second levels: none; +7 for 99 above 98, +8 for 103 gone | -7, -8
    "ofi:levels=2": (ROWS, [], [[6, 15], [-6, -15]]),
    # follows [[1, 1], [1, 1]], moves [-1, 1]: expected moves [-0.5, 0.5]
    # Bids of 2.948 of 3.685 are in the last of 5 parts
    "micro_price:tick=1,buckets=5,spreads=1": (FIFTHS, [], [[nan] * 4, [100] * 4]),
    "micro_price:tick=1,buckets=2,spreads=1": (MICRO, [], [[nan] * 4, [100.5] * 4]),
    # running: -1, 2, -0.5 | 5, the trade of unknown side left out
    "delta": ([], DEALS, [[-0.5, -1, 2], [5, 0, 5]]),
    "cvd": ([], DEALS, [[0, 2, -1, -0.5], [-0.5, 4.5, -0.5, 4.5]]),
    # (99 + 303 + 250)/6.5 | (652 + 510 + 100)/12.5
    "vwap": ([], DEALS, [[652 / 6.5], [1262 / 12.5]]),
    "vwap:anchor=bar": ([], DEALS, [[652 / 6.5], [610 / 6]]),
    "vwap:anchor=60000": ([], DEALS, [[nan], [610 / 6]]),
    "vwap:anchor=200": ([], DEALS, [[553 / 5.5], [1163 / 11.5]]),
    "vwap:anchor=day": ([], [*DEALS, (DAY, 90, 1, "buy")], [[652 / 6.5], [1262 / 12.5], [90]]),
    "trade_count": ([], DEALS, [[3], [2]]),
    "mean_trade": ([], DEALS, [[6.5 / 3], [3]]),
    "largest_trade": ([], DEALS, [[3], [5]]),
    # mids at the end of each second: 100, 100, 101.5 | 100.5
    "realised_volatility": (ROWS, [], [[log(1.015)], [log(101.5 / 100.5)]]),
    "realised_volatility:seconds=60": (ROWS, [], [[0], [log(101.5 / 100.5)]]),
    # buckets: s1 b1, b2, s2 | s0.5 b1.5, b2; the last two of them, over 2 * 2
    "vpin:volume=2,buckets=2": ([], DEALS, [[1], [0.75]]),
    "vpin:volume=2,buckets=4": ([], DEALS, [[nan], [7 / 8]]),
    # (2, 2), (-1, -1), (4, 3): 93/9 over 114/9
    "kyle_lambda:seconds=1": ([], IMPACT, [[31 / 38]]),
    "kyle_lambda:seconds=1,intervals=2": ([], IMPACT, [[4 / 5]]),
}


@pytest.fixture(params=ENGINES, autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    use(request.param, monkeypatch)


@pytest.mark.parametrize("asked", GOLDEN)
def test_a_metric_is_what_it_is_on_paper(asked: str) -> None:
    rows, deals, expected = GOLDEN[asked]
    found = values(asked, rows, deals)
    assert len(found) == len(expected)
    for bar, right in zip(found, expected, strict=True):
        assert bar == pytest.approx(right, rel=1e-12, abs=1e-12, nan_ok=True)


def test_every_metric_has_a_golden_vector() -> None:
    assert {asked.partition(":")[0] for asked in GOLDEN} == set(METRICS)


@pytest.mark.parametrize(("mid", "bp"), [(30_000, 10), (60_000, 50), (100, 50), (0.5, 2.5)])
def test_the_ends_of_a_depth_are_in_it_whatever_doubles_make_of_them(mid: float, bp: float) -> None:
    share = Fraction(str(bp)) / 10_000
    ends = [float(Fraction(str(mid)) * (1 + sign * share)) for sign in (-1, 1)]
    near = Fraction(str(mid)) * share / 100
    best = [float(Fraction(str(mid)) + sign * near) for sign in (-1, 1)]
    rows: list[Row] = [(0, [(best[0], 1), (ends[0], 2)], [(best[1], 4), (ends[1], 8)])]
    assert values(f"depth:bp={bp}", rows) == [[15] * 4]


def test_of_a_crossed_book_distances_are_distances_on_either_side_of_the_mid() -> None:
    # The mid is 100: bids 100 basis points above it and 200 below, asks 100 below and 300 above.
    rows: list[Row] = [(0, [(101, 4), (98, 6)], [(99, 2), (103, 8)])]
    assert values("depth:bp=50", rows) == [[0] * 4]
    assert values("depth:bp=100", rows) == [[6] * 4]
    assert values("depth:bp=200", rows) == [[12] * 4]
    # (100*4 + 200*10) / (100^2 + 200^2), (100*2 + 300*10) / (100^2 + 300^2)
    assert values("slope:levels=2,side=bid", rows) == [[pytest.approx(0.048)] * 4]
    assert values("slope:levels=2,side=ask", rows) == [[pytest.approx(0.032)] * 4]


def test_realised_volatility_has_no_return_from_before_the_start_however_rows_are_cut() -> None:
    rows: list[Row] = [(0, [(99, 4)], [(101, 2)]), (1000, [], [(101, 0), (103, 1)]),
                       (2000, [(100, 1)], [])]  # fmt: skip
    for cuts in ([], [(1, 0)], [(1, 0), (2, 0)]):
        found = values("realised_volatility", rows, start=2000, cuts=cuts)
        assert found == [[pytest.approx(log(101.5 / 101))]]


@pytest.mark.parametrize("seconds", ["1.001", "2.007", "8.031"])
def test_intervals_begin_where_decimals_say_so(seconds: str) -> None:
    # As doubles 2.007 * 1000 is 2007.0000000000002.
    ms = round(float(seconds) * 1000)
    begin = 1_749_470_400_000 // ms * ms
    rows: list[Row] = [
        (begin - 1, [(99, 1)], [(101, 1)]),
        (begin, [(99, 0), (100, 1)], [(101, 0), (102, 1)]),
        (begin + 1, [(100, 0), (99, 1)], [(102, 0), (101, 1)]),
    ]
    # The last mids of both intervals are 100.
    assert values(f"realised_volatility:seconds={seconds}", rows, bars="time:86400") == [[0.0]]
    deals: list[Deal] = [
        (begin - ms, 100, 1, "buy"), (begin - 1, 100, 3, "buy"), (begin, 102, 2, "buy"),
        (begin + ms - 1, 104, 1, "buy"), (begin + ms, 107, 1, "buy"),
    ]  # fmt: skip
    # Nets 4, 3 and 1; the prices at the ends are 100, 104 and 107.
    found = values(f"kyle_lambda:seconds={seconds}", (), deals, bars="time:86400")
    assert found == [[pytest.approx((3 - 4) / (1 - 3))]]


def test_net_volumes_that_differ_by_rounding_alone_do_not_differ() -> None:
    deals: list[Deal] = [
        (0, 100, 1, "buy"),
        (1000, 101, 0.1, "buy"),
        (1001, 101, 0.2, "buy"),
        (2000, 105, 0.3, "buy"),
        (3000, 99, 0.7, "buy"),
        (3001, 99, 0.1, "buy"),
        (3002, 99, 0.5, "sell"),
    ]
    assert values("kyle_lambda:seconds=1", (), deals) == [pytest.approx([nan], nan_ok=True)]
    other: list[Deal] = [*deals, (4000, 101, 0.4, "buy")]
    assert values("kyle_lambda:seconds=1,intervals=2", (), other) == [[pytest.approx(80)]]


def test_realised_volatility_adds_the_squares_of_the_returns_in_a_bar() -> None:
    rows: list[Row] = [*ROWS[:3], (3000, [(100, 0)], [(102, 5)])]
    right = sqrt(log(1.015) ** 2 + log(100.5 / 101.5) ** 2)
    assert values("realised_volatility", rows) == [[pytest.approx(right, rel=1e-12)]]


def test_rows_before_the_start_are_in_no_bar_but_are_what_the_first_is_held_against() -> None:
    assert values("ofi", ROWS, start=2000) == [[3], [-6]]
    assert values("mid", ROWS, start=2000) == [[101.5] * 4, [100.5] * 4]
    found = values("realised_volatility", ROWS, start=2000)
    assert found[0] == [pytest.approx(log(1.015), rel=1e-12)]


@pytest.mark.parametrize(
    ("asked", "quiet"),
    [
        ("obi", [6 / 22] * 4),
        ("ofi", [0.0]),
        ("realised_volatility", [0.0]),
        ("cvd", [4.5] * 4),
        ("delta", [0.0, 0.0, 0.0]),
        ("vwap", [1262 / 12.5]),
        ("vwap:anchor=bar", [nan]),
        ("trade_count", [0.0]),
        ("mean_trade", [nan]),
        ("largest_trade", [nan]),
        ("vpin:volume=2,buckets=2", [0.75]),
    ],
)
def test_a_bar_in_which_nothing_came_is_flat_or_empty(asked: str, quiet: list[float]) -> None:
    late_row: list[Row] = [(180_000, [(99, 1)], [(101, 1)])]
    late_deal: list[Deal] = [(180_000, 100, 1, "buy")]
    if issubclass(METRICS[asked.partition(":")[0]], TradeMetric):
        measured = made([asked, "mid"], late_row, DEALS)
    else:
        measured = made([asked, "trade_count"], ROWS[:3], late_deal)
    found = list(measured.bars()[-1][1][1])
    assert found == pytest.approx(quiet, rel=1e-12, nan_ok=True)


def test_a_row_that_leaves_a_side_empty_is_not_sampled_and_the_next_is_held_against_the_last() -> (
    None
):
    rows: list[Row] = [*ROWS[:2], (1500, [], [(101, 0), (103, 0)]), (1600, [], [(101, 5)])]
    assert values("spread", rows) == [[2, 2, 2, 2]]
    assert values("ofi", rows) == [[3 - 3]]


def test_sums_beyond_a_double_are_no_sample() -> None:
    huge: list[Row] = [(0, [(99, 1e308), (98, 1e308)], [(101, 1e308)])]
    for asked in ("obi", "tot", "weighted_mid", "tot:levels=2"):
        assert values(asked, huge) == [pytest.approx([nan] * 4, nan_ok=True)]


def test_expected_moves_follow_chances_over_many_rows() -> None:
    # From 0 half the rows stay, half go to 1; from 1 all go to 2, which moves up by 4 and returns.
    follows = [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    # 2 was never left: nothing is known from there, and nothing is added by reaching it.
    assert adjustments(follows, [2.0, -1.0, 0.0])[:2] == pytest.approx([2 / 2 * 2 - 1, -1.0])
    assert adjustments(follows, [2.0, -1.0, 0.0])[2] != adjustments(follows, [2.0, -1.0, 0.0])[2]
