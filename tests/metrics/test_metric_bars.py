"""Bars of all kinds: where they end, what is split, and that pieces do not matter."""

from array import array
from decimal import Decimal
from fractions import Fraction
from math import isnan, nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_runs import (
    ENGINES,
    Deal,
    Row,
    columns,
    file_of,
    made,
    new,
    prices,
    use,
    values,
)

from metrics.bar_kinds import BarSpec, parse_bars
from metrics.portions import Portions, PythonPortions
from ohlc_processor import OHLCProcessor
from orderflow.array_file import MAX_FILE_BYTES
from orderflow.errors import OrderflowError, UsageError
from orderflow.events import MAX_BARS, Trade

DEALS: list[Deal] = [
    (100, 99, 1, "sell"),
    (200, 101, 3, "buy"),
    (300, 100, 2.5, "sell"),
    (400, 102, 5, "buy"),
    (500, 103, 1, None),
]
BOTH = [(99.0, 1.0)], [(101.0, 1.0)]
ALL = [
    "obi", "obi:levels=2", "spread", "weighted_mid", "depth:bp=50", "slope:levels=3", "ofi",
    "ofi:levels=3", "micro_price:tick=1,buckets=3", "realised_volatility", "delta", "cvd", "vwap",
    "vwap:anchor=bar", "trade_count", "mean_trade", "largest_trade", "vpin:volume=3,buckets=2",
    "kyle_lambda:seconds=1", "tot", "mid",
]  # fmt: skip
KINDS = ["time:2", "tick:3", "volume:4", "value:350", "range:2"]


@pytest.fixture(params=ENGINES, autouse=True)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    use(request.param, monkeypatch)
    return str(request.param)


def volumes(bars: str, deals: list[Deal]) -> list[float]:
    return [bar[4] for bar in prices(made([], (), deals, bars))]


@pytest.mark.parametrize(
    ("bars", "expected"),
    [
        ("tick:2", [4, 7.5, 1]),
        ("tick:5", [12.5]),
        ("volume:4", [4, 4, 4, 0.5]),
        ("volume:2.5", [2.5] * 5),
        # 99 + 303; 250 + 152 of 510; 358 + 44 of 103; 59
        ("value:402", [4, 2.5 + 152 / 102, 358 / 102 + 44 / 103, 59 / 103]),
        # 99 to 101; 100 to 102; 103 alone
        ("range:2", [4, 7.5, 1]),
        ("range:3", [9 + 2.5, 1]),
    ],
)
def test_bars_end_where_their_kind_says(bars: str, expected: list[float]) -> None:
    assert volumes(bars, DEALS) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("base", "tick"), [("60000", "0.1"), ("30227.4", "0.1"), ("0.0000001", "0.000000001")]
)
def test_a_range_of_so_many_ticks_is_one_whatever_doubles_make_of_the_prices(
    base: str, tick: str
) -> None:
    for ticks in (1, 3):
        size = ticks * Decimal(tick)
        steps = range(0, 40 * (ticks + 1))
        deals: list[Deal] = [(i, float(Decimal(base) + i * Decimal(tick)), 1, None) for i in steps]
        found = volumes(f"range:{size}", deals)
        assert found == [ticks + 1] * 40


def test_a_split_trade_is_in_each_bar_with_its_price_time_and_side() -> None:
    measured = made(["delta", "trade_count"], (), DEALS[:3], "volume:4")
    assert prices(measured) == [
        [99, 101, 99, 101, 4, 2, 100, 200],
        [100, 100, 100, 100, 2.5, 1, 300, 300],
    ]
    measured = made(["delta", "trade_count"], (), DEALS[:4], "volume:4")
    found = [bar[1:] for _, bar in measured.bars()]
    assert found == [[[2, -1, 2], [2]], [[-1, -2.5, 0], [2]], [[3.5, 0, 3.5], [1]]]


def test_a_trade_of_several_bars_fills_them_all() -> None:
    assert volumes("volume:2", [(0, 10, 7, "buy")]) == [2, 2, 2, 1]


def test_a_tenth_ten_times_is_one_bar_of_one() -> None:
    deals: list[Deal] = [(i, 10, 0.1, "buy") for i in range(30)]
    assert volumes("volume:1", deals) == pytest.approx([1, 1, 1])
    assert [bar[5] for bar in prices(made([], (), deals, "volume:1"))] == [10, 10, 10]


def test_rounding_does_not_add_up_over_a_hundred_thousand_trades() -> None:
    for kind in (PythonPortions, Portions):
        _, parts, fills = kind(10_000.0).cut(array("d", [0.1]) * 100_000)
        assert len(parts) == 100_000
        assert (fills.index(1), sum(fills)) == (99_999, 1)


def test_bars_far_too_small_for_a_trade_are_refused_with_a_size_that_would_do() -> None:
    with pytest.raises(OrderflowError, match=r"size of 0\.001 is too small .* at least 0\.01"):
        volumes("volume:0.001", [(0, 10, 100, "buy")])
    with pytest.raises(OrderflowError, match="too small"):
        values("vpin:volume=0.001", (), [(0, 10, 100, "buy")])


def test_a_row_is_in_the_bar_of_the_first_trade_at_its_time_or_after_it() -> None:
    rows: list[Row] = [(t, *BOTH) for t in (0, 99, 100, 101, 200, 300, 350, 600)]
    bids: list[Row] = [(t, [(99, 1 + i)], asks) for i, (t, _, asks) in enumerate(rows)]
    found = values("tot", bids, DEALS[:4], bars="tick:1")
    # Sizes of the rows up to 100; 101 to 200; 201 to 300; 301 to 400: 600 has no bar yet.
    assert [(bar[0], bar[3]) for bar in found] == [(2, 4), (5, 6), (7, 7), (8, 8)]


def test_rows_wait_for_trades_and_are_placed_at_the_end() -> None:
    rows: list[Row] = [(50, *BOTH), (150, *BOTH), (450, *BOTH)]
    measured = made(["trade_count", "mid"], rows, DEALS[:1], "tick:2")
    assert measured.bars()[0][1][2] == [100] * 4
    quiet = made(["mid"], rows, DEALS[:1], "tick:1").bars()
    assert [key for key, _ in quiet] == [0]


def test_bars_of_time_are_those_of_windows_with_a_trade_or_a_row() -> None:
    rows: list[Row] = [(3000, *BOTH), (9000, *BOTH)]
    measured = made(["mid"], rows, DEALS[:1], "time:3")
    assert [key for key, _ in measured.bars()] == [0, 3000, 9000]
    assert [bar[4] for bar in prices(measured)] == [1, 0, 0]
    assert isnan(measured.bars()[0][1][1][0])


def test_the_file_is_bounded_and_says_which_bar_is_its_first() -> None:
    deals: list[Deal] = [(i, 10, 1, "buy") for i in range(MAX_BARS + 7)]
    raw = file_of(made(ALL, (), deals, "tick:1"), ALL)
    header, arrays = columns(raw)
    assert header["first"] == 7
    assert len(arrays["time"]) == MAX_BARS
    assert arrays["time"][0] == 7
    assert len(raw) < MAX_FILE_BYTES / 4


def test_the_first_bar_of_the_file_is_flat_at_a_row_before_it() -> None:
    asked = ["mid", "ofi", "realised_volatility"]
    for bars in ("tick:1", "time:1"):
        deals: list[Deal] = [(1000 * i, 10, 1, "buy") for i in range(MAX_BARS + 7)]
        _, first = made(asked, [(0, *BOTH)], deals, bars).bars()[0]
        assert first[1:] == [[100] * 4, [0.0], [0.0]]


def test_the_file_describes_each_metric_and_has_its_values_bar_by_bar() -> None:
    asked = ["ofi:levels=2", "vwap"]
    rows: list[Row] = [(0, *BOTH), (150, [(99, 3)], [])]
    header, arrays = columns(file_of(made(asked, rows, DEALS, "tick:3"), asked))
    assert header["kind"] == "metrics"
    assert header["bars"] == {"kind": "tick", "size": 3}
    ofi, vwap = header["metrics"]
    assert (ofi["array"], ofi["asked"], ofi["name"]) == ("metric_0", "ofi:levels=2", "ofi")
    assert (ofi["fields"], ofi["parameters"]) == (["level_1", "level_2"], {"levels": 2})
    assert vwap["parameters"] == {"anchor": "start"}
    assert all(metric[word] for metric in (ofi, vwap) for word in ("formula", "unit", "source"))
    assert arrays["metric_0"] == [2, 0, 0, 0]
    assert arrays["metric_1"] == pytest.approx([652 / 6.5, 1265 / 12.5])
    assert arrays["time"] == [100, 400]
    assert arrays["last_trade"] == [300, 500]
    assert (arrays["open"], arrays["high"]) == ([99, 102], [101, 103])
    assert (arrays["low"], arrays["close"]) == ([99, 102], [100, 103])
    assert (arrays["volume"], arrays["trades"]) == ([6.5, 6], [3, 2])


def test_what_is_not_finite_is_written_as_no_value() -> None:
    huge: list[Deal] = [(0, 1e308, 1e10, "buy")]
    _, arrays = columns(file_of(made(["vwap"], (), huge), ["vwap"]))
    assert arrays["metric_0"] == pytest.approx([nan], nan_ok=True)


def test_without_a_book_metric_nothing_is_kept_of_rows() -> None:
    measured = made(["vwap"], [(0, *BOTH)], ())
    assert measured.bars() == []
    assert measured.version == 0


@pytest.mark.parametrize(
    "text",
    [
        "tick", "tick:", "tick:0", "tick:1.5", "time:0.5", "time:604801", "volume:-1", "range:nan",
        "value:inf", "month:1", "volume:1e16", ":5", "",
    ],
)  # fmt: skip
def test_what_is_no_kind_of_bar_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--bars is time:SECONDS"):
        parse_bars(text)


def test_kinds_of_bars_are_read_as_they_are_written() -> None:
    assert parse_bars("volume:0.5") == BarSpec("volume", 0.5)
    for kind in KINDS:
        assert str(parse_bars(kind)) == kind


sizes = st.sampled_from([0.1, 0.5, 1.0, 2.0, 3.25, 9.0])
gaps = st.sampled_from([0, 0, 1, 400, 1000, 5000])
levels = st.lists(st.tuples(st.integers(1, 4), st.sampled_from([0.0, 0.7, 2.0, 5.0])), max_size=3)


@st.composite
def events(draw: st.DrawFn) -> tuple[list[Row], list[Deal]]:
    rows: list[Row] = []
    deals: list[Deal] = []
    ms = 0
    for _ in range(draw(st.integers(1, 25))):
        ms += draw(gaps)
        if draw(st.booleans()):
            bids = [(100.0 - n, size) for n, size in draw(levels)]
            rows.append((ms, bids, [(101.0 + n, size) for n, size in draw(levels)]))
        else:
            price = 100 + draw(st.integers(0, 6)) / 2
            deals.append((ms, price, draw(sizes), draw(st.sampled_from(["buy", "sell", None]))))
    return rows, deals


def steps(rows: list[Row], deals: list[Deal]) -> list[tuple[int, int]]:
    """Return the cuts that give every event by itself, rows before trades of one ms."""
    times = sorted([(row[0], 0) for row in rows] + [(deal[0], 1) for deal in deals])
    found = [(0, 0)]
    for _, is_deal in times:
        found.append((found[-1][0] + (not is_deal), found[-1][1] + is_deal))
    return found


@pytest.mark.parametrize("bars", KINDS)
@settings(max_examples=6)
@given(given_events=events())
def test_it_does_not_matter_in_what_pieces_events_come(
    bars: str, given_events: tuple[list[Row], list[Deal]]
) -> None:
    rows, deals = given_events
    whole = file_of(made(ALL, rows, deals, bars), ALL)
    assert file_of(made(ALL, rows, deals, bars, cuts=steps(rows, deals)), ALL) == whole
    assert file_of(made(ALL, rows, deals, bars, cuts=[(len(rows), 0)]), ALL) == whole
    assert file_of(made(ALL, rows, deals, bars, cuts=[(0, len(deals))]), ALL) == whole


@pytest.mark.parametrize("size", [0.3, 4.0])
@settings(max_examples=20)
@given(amounts=st.lists(st.floats(0, 10), max_size=20))
def test_bars_of_volume_have_that_volume_and_lose_none(size: float, amounts: list[float]) -> None:
    deals: list[Deal] = [(i, 10, amount, "buy") for i, amount in enumerate(amounts)]
    found = volumes(f"volume:{size}", deals)
    assert found[:-1] == pytest.approx([size] * len(found[:-1]), rel=1e-9)
    assert sum(map(Fraction, found)) == pytest.approx(float(sum(map(Fraction, amounts))), rel=1e-9)


def test_a_bar_that_was_taken_while_it_was_in_progress_is_not_taken_again() -> None:
    measured = new(["delta", "mid"])
    processor = OHLCProcessor(60, measured=measured, keep=True)
    trades: list[Trade] = [
        (number, None, 1.0, 1.0, "buy", at)
        for number, at in enumerate((0, 70_000, 90_000, 130_000))
    ]
    processor.process_trades(trades[:2])
    assert [start for start, _ in measured.take_kept(120_000)] == [0, 60_000]
    assert [bar[0] for bar in processor.take_kept(120_000)[0]] == [0, 60_000]
    processor.process_trades(trades[2:])
    assert [start for start, _ in measured.take_kept()] == [120_000]
    taken = processor.take_kept()
    assert [[bar[0] for bar in bars] for bars in taken] == [[120_000], [], [120_000]]
    assert processor.take_kept() == ([], [], [])
