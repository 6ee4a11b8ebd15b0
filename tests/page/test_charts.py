import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_fixtures import book, market

from page import charts, layouts
from page.contents import Bars, Depth, Metrics, Shown, parse_bars, parse_depth, parse_metrics
from page.marks import Grid, Mark

BARS, METRICS = (
    parse_bars(market(300)[0]),
    parse_metrics(market(300)[1]),
)
DEPTH = parse_depth(book(105_000.0))


def test_price_candles_carry_the_bars() -> None:
    trace = charts.price_trace(BARS, 1)
    assert trace["type"] == "candlestick"
    assert trace["x"] == [bar[0] for bar in market(300)[0]]
    names = ("open", "high", "low", "close")
    assert [trace[name][7] for name in names] == market(300)[0][7][1:5]
    assert "%{close:,.1f}" in trace["hovertemplate"]


def test_volume_has_the_colour_of_its_candle() -> None:
    bars = Bars([1, 2, 3], [1, 2, 2], [2, 2, 2], [1, 1, 2], [2, 1, 2], [5, 6, 7])
    trace = charts.volume_trace(bars)
    assert trace["y"] == [5, 6, 7]
    # Up, down, and what did not move counts as up.
    assert trace["marker"]["color"] == [charts.UP, charts.DOWN, charts.UP]


def test_the_last_price_line_spans_the_time_shown() -> None:
    trace = charts.last_trace(BARS)
    assert trace["x"] == [BARS.times[0], BARS.times[-1]]
    assert trace["y"] == [BARS.closes[-1]] * 2
    assert charts.last_trace(Bars())["x"] == []


def test_obi_candles_carry_the_metric_bars() -> None:
    trace = charts.obi_trace(METRICS)
    assert trace["close"] == [bar[4] for bar in market(300)[1]]
    for way in ("increasing", "decreasing"):
        colour = trace[way]["fillcolor"]
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        assert blue > green > red


def test_cvd_is_the_line_of_its_closes() -> None:
    trace = charts.cvd_trace(METRICS)
    assert trace["y"] == [bar[12] for bar in market(300)[1]]
    assert trace["x"] == METRICS.times


@pytest.mark.parametrize("fields", [5, 9])
def test_bars_without_cvd_draw_obi_and_no_cvd(fields: int) -> None:
    metrics = parse_metrics([bar[:fields] for bar in market(20)[1]])
    assert len(charts.obi_trace(metrics)["x"]) == 20
    assert charts.cvd_trace(metrics)["x"] == []


def test_depth_is_cumulative_from_the_touch() -> None:
    depth = Depth([(10.0, 0.1), (9.0, 0.2), (8.0, 0.3)], [(11.0, 1.0), (12.5, 0.5)])
    bids, asks, mid = charts.depth_traces(depth)
    assert (bids["x"], bids["y"]) == ([10.0, 9.0, 8.0], [0.1, 0.3, 0.6])
    assert (asks["x"], asks["y"]) == ([11.0, 12.5], [1.0, 1.5])
    assert bids["line"]["shape"] == asks["line"]["shape"] == "hv"
    assert (mid["x"], mid["y"]) == ([10.5, 10.5], [0, 1.5])


def test_mid_and_spread_are_what_the_digits_say() -> None:
    depth = Depth([(63_867.4, 1.0)], [(63_867.5, 1.0)])
    assert charts.mid_of(depth) == 63_867.45
    assert charts.spread_of(depth) == 0.1
    assert charts.mid_of(Depth([(1.0, 1.0)], [])) is None
    assert charts.spread_of(Depth([], [(1.0, 1.0)])) is None
    assert charts.spread_of(Depth([(2.0, 1.0)], [(1.5, 1.0)])) == -0.5


@pytest.mark.parametrize(
    ("values", "decimals"),
    [([], 0), ([100.0, 5], 0), ([30243.5, 1.25], 2), ([1e-05], 5), ([1e300], 0), ([5e-324], 12)],
)
def test_decimals_are_those_that_write_every_value(values: list[float], decimals: int) -> None:
    assert charts.decimals_of(values) == decimals


@given(st.lists(st.floats(0, 1e9, allow_nan=False), max_size=60))
def test_cumulative_equals_an_exact_sum(sizes: list[float]) -> None:
    totals = charts.cumulative([(1.0, size) for size in sizes])
    assert len(totals) == len(sizes)
    if sizes:
        assert totals[-1] == pytest.approx(math.fsum(sizes), rel=1e-12)
    assert totals == sorted(totals)


def test_no_content_gives_the_same_traces_empty() -> None:
    full = charts.time_traces(Shown(BARS, METRICS)) + charts.depth_traces(DEPTH)
    empty = charts.time_traces(Shown(Bars(), Metrics())) + charts.depth_traces(Depth())
    assert [trace["uid"] for trace in full] == [trace["uid"] for trace in empty]
    assert all(trace["x"] == [] for trace in empty)


def test_the_indexes_are_where_the_traces_stand() -> None:
    times = charts.time_traces(Shown(BARS, METRICS))
    names = ("price", "volume", "room", "last", "obi", "cvd", "issues", "shade")
    assert [trace["uid"] for trace in times] == list(names)
    assert [getattr(charts, name.upper()) for name in names] == list(range(8))
    depth = {trace["uid"]: index for index, trace in enumerate(charts.depth_traces(DEPTH))}
    assert depth == {"bids": charts.BIDS, "asks": charts.ASKS, "mid": charts.MID}


def test_every_time_trace_shares_the_one_time_axis() -> None:
    assert all("xaxis" not in trace for trace in charts.time_traces(Shown(BARS, METRICS)))
    layout = layouts.time_layout({})
    assert layout["hovermode"] == "x unified"
    assert layout["hoversubplots"] == "axis"
    assert {
        trace["yaxis"].replace("y", "yaxis") for trace in charts.time_traces(Shown(BARS, METRICS))
    } == {name for name in layout if name.startswith("yaxis")}


def _linear(colour: str) -> list[float]:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]


# Machado, Oliveira, Fernandes (2009), severity 1.0, on linear RGB.
BLINDNESS = {
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def _oklab(linear: list[float]) -> list[float]:
    """Return Oklab coordinates (Ottosson, https://bottosson.github.io/posts/oklab/)."""
    to_cone = (
        (0.4122214708, 0.5363325363, 0.0514459929),
        (0.2119034982, 0.6806995451, 0.1073969566),
        (0.0883024619, 0.2817188376, 0.6299787005),
    )
    to_lab = (
        (0.2104542553, 0.7936177850, -0.0040720468),
        (1.9779984951, -2.4285922050, 0.4505937099),
        (0.0259040371, 0.7827717662, -0.8086757660),
    )
    cones = [math.cbrt(sum(a * b for a, b in zip(row, linear, strict=True))) for row in to_cone]
    return [sum(a * b for a, b in zip(row, cones, strict=True)) for row in to_lab]


@pytest.mark.parametrize("kind", BLINDNESS)
@pytest.mark.parametrize(
    ("up", "down"), [(charts.UP, charts.DOWN), (charts.OBI_UP, charts.OBI_DOWN)]
)
def test_up_and_down_differ_for_the_colour_blind(kind: str, up: str, down: str) -> None:
    seen = []
    for colour in (up, down):
        linear = _linear(colour)
        parts = [sum(a * b for a, b in zip(row, linear, strict=True)) for row in BLINDNESS[kind]]
        seen.append(_oklab([max(0.0, part) for part in parts]))
    # The usual green and red (#26a69a, #ef5350) come to 0.116 for deuteranopes.
    assert math.dist(*seen) > 0.18


def found_marks(*harmless: bool | None) -> list[Mark]:
    """Return a mark for each minute that is not None, harmless or not."""
    return [
        Mark(minute * 60_000, f"text {minute}", harmless=kind)
        for minute, kind in enumerate(harmless)
        if kind is not None
    ]


GRID = Grid(0, 60_000, 10)


def test_issues_are_pieces_of_a_strip_as_wide_as_their_bars() -> None:
    trace = charts.issues_trace(found_marks(False, None, True), GRID)
    assert (trace["x"], trace["width"]) == ([0, 120_000, 30_000], 60_000)
    assert trace["y"] == [1, 1, None]  # nothing is drawn between, and nothing pointed at
    assert trace["marker"]["color"] == [charts.LOST, charts.REPEATED]
    assert trace["customdata"] == ["text 0", "text 2", ""]
    assert trace["showlegend"]
    assert not charts.issues_trace([], GRID)["showlegend"]


def test_the_shade_joins_neighbours_and_leaves_out_the_harmless() -> None:
    trace = charts.shade_trace(found_marks(False, False, True, None, False), GRID)
    assert trace["x"] == [
        -30_000,
        -30_000,
        90_000,
        90_000,
        None,
        *[210_000] * 2,
        *[270_000] * 2,
        None,
    ]
    assert trace["y"] == [0, 1, 1, 0, None] * 2


def test_obi_leaves_out_the_bars_before_the_first_sample() -> None:
    metrics = parse_metrics([[1, *[None] * 8, 0, 1, 0, 1], [2, *[0.5] * 8, 1, 2, 1, 2]])
    obi = charts.obi_trace(metrics)
    assert (obi["x"], obi["open"], obi["close"]) == ([2], [0.5], [0.5])
    assert charts.cvd_trace(metrics)["y"] == [1, 2]


def test_the_volume_has_an_axis_that_draws_no_grid_over_the_candles() -> None:
    layout = layouts.time_layout({})
    axes = {name: axis for name, axis in layout.items() if name.startswith("yaxis")}
    for name, axis in axes.items():
        own = axis.get("domain")
        if own is not None and name != "yaxis":
            low, high = layout["yaxis"]["domain"]
            assert own[1] <= low or own[0] >= high, f"{name} lies in the price panel"
    assert axes["yaxis2"]["overlaying"] == "y"
    assert charts.room_trace(BARS)["y"] == [max(BARS.volumes) * charts.VOLUME_ROOM]
