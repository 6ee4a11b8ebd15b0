"""Build the page's traces as plain dicts, from plain values.

One function per trace, each pure: the same content gives the same trace. `plotly.graph_objects`
is left out on purpose (building one figure costs 25 times what these dicts do), and so nothing
here imports plotly. Each trace keeps its `uid`: Plotly remembers a hidden trace by it.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import accumulate, compress, pairwise
from typing import Any

from page.contents import Bars, Depth, Metrics, Shown
from page.marks import Grid, Mark

Trace = dict[str, Any]

# Teal and orange differ for deuteranopes, protanopes and tritanopes, in hue and in lightness.
UP = "#3fd0c4"
DOWN = "#e8602c"
UP_FILL = "rgba(63, 208, 196, 0.22)"
DOWN_FILL = "rgba(232, 96, 44, 0.22)"
OBI_UP = "#7cc8ff"
OBI_DOWN = "#2b74d9"
CVD_LINE = "#f2c037"
CVD_FILL = "rgba(242, 192, 55, 0.14)"
# Data issues: what was lost, and what was only repeated.
LOST = "#ff9b3d"
LOST_FILL = "rgba(255, 155, 61, 0.12)"
REPEATED = "#5b6675"
MUTED = "#8b97a8"

MAX_DECIMALS = 12
# The volume takes the lowest part of the price panel.
VOLUME_ROOM = 3.3
# Where each trace stands in the data of its figure: a poll replaces them one by one.
PRICE, VOLUME, ROOM, LAST, OBI, CVD, ISSUES, SHADE = range(8)
BIDS, ASKS, MID = range(3)


def decimals_of(values: list[float]) -> int:
    """Return how many decimals write every one of `values` in full, 12 at most."""
    most = 0
    for value in values:
        exponent = Decimal(repr(value)).normalize().as_tuple().exponent
        most = max(most, -exponent if isinstance(exponent, int) else 0)
    return min(most, MAX_DECIMALS)


def price_decimals(bars: Bars, depth: Depth) -> int:
    """Return the decimals of the prices shown last: the newest bars' and the best levels'."""
    newest = bars.closes[-50:] + bars.opens[-50:]
    return decimals_of(newest + [price for price, _ in depth.bids[:20] + depth.asks[:20]])


def price_trace(bars: Bars, decimals: int = 2) -> Trace:
    """Return the price candles; hover shows prices with `decimals` decimals."""
    return {
        "type": "candlestick",
        "uid": "price",
        "name": "Price",
        "x": bars.times,
        "open": bars.opens,
        "high": bars.highs,
        "low": bars.lows,
        "close": bars.closes,
        "increasing": {"line": {"color": UP, "width": 1}, "fillcolor": UP},
        "decreasing": {"line": {"color": DOWN, "width": 1}, "fillcolor": DOWN},
        "hovertemplate": four_values(f",.{decimals}f"),
        "yaxis": "y",
    }


def four_values(form: str) -> str:
    """Return how hover writes a candle, its numbers in this form."""
    names = (("O", "open"), ("H", "high"), ("L", "low"), ("C", "close"))
    return "  ".join(f"{letter} %{{{name}:{form}}}" for letter, name in names)


def volume_trace(bars: Bars) -> Trace:
    """Return the volume bars, in the recording's unit, coloured by the candle above them."""
    colours = [
        UP if close >= opened else DOWN
        for opened, close in zip(bars.opens, bars.closes, strict=True)
    ]
    return {
        "type": "bar",
        "uid": "volume",
        "name": "Volume",
        "x": bars.times,
        "y": bars.volumes,
        # A colour each, as text: 0 or 1 and a scale of two colours would be 8 kB less to send, and
        # makes Plotly take twice as long to draw the whole figure (211 against 102 ms).
        "marker": {"color": colours, "opacity": 0.45, "line": {"width": 0}},
        "hovertemplate": "%{y:,.8~f}",
        "yaxis": "y2",
    }


def room_trace(bars: Bars) -> Trace:
    """Return a point that nobody sees: above the volume it keeps the room of the candles free.

    The volume lies over the price panel with an axis of its own. In a panel of its own, at the
    foot of that one, it would bring its own grid, which is drawn through the candles.
    """
    top = max(bars.volumes, default=0) * VOLUME_ROOM
    return {
        "type": "scatter",
        "uid": "room",
        "mode": "lines",
        "x": bars.times[-1:],
        "y": [top] if bars.times else [],
        "hoverinfo": "skip",
        "showlegend": False,
        "yaxis": "y2",
    }


def last_trace(bars: Bars) -> Trace:
    """Return the dotted line at the last price, over the whole time shown."""
    known = bool(bars.closes)
    return {
        "type": "scatter",
        "uid": "last",
        "name": "Last",
        "mode": "lines",
        "x": [bars.times[0], bars.times[-1]] if known else [],
        "y": [bars.closes[-1]] * 2 if known else [],
        "line": {"color": MUTED, "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
        "showlegend": False,
        "yaxis": "y",
    }


def obi_trace(metrics: Metrics) -> Trace:
    """Return the order book imbalance candles, -1 (asks alone) to 1 (bids alone).

    A bar from before the first sample of the book has none.
    """
    columns = (
        metrics.times,
        metrics.obi_opens,
        metrics.obi_highs,
        metrics.obi_lows,
        metrics.obi_closes,
    )
    if None in metrics.obi_closes:
        known = [close is not None for close in metrics.obi_closes]
        columns = tuple(list(compress(column, known)) for column in columns)  # type: ignore[assignment]
    names = ("x", "open", "high", "low", "close")
    return {
        "type": "candlestick",
        "uid": "obi",
        "name": "OBI",
        **dict(zip(names, columns, strict=True)),
        "increasing": {"line": {"color": OBI_UP, "width": 1}, "fillcolor": OBI_UP},
        "decreasing": {"line": {"color": OBI_DOWN, "width": 1}, "fillcolor": OBI_DOWN},
        "hovertemplate": four_values("+.4f"),
        "yaxis": "y3",
    }


def cvd_trace(metrics: Metrics) -> Trace:
    """Return the line of the CVD closes; no points when the writer's bars carry no CVD."""
    known = any(close is not None for close in metrics.cvd_closes)
    return {
        "type": "scatter",
        "uid": "cvd",
        "name": "CVD",
        "mode": "lines",
        "x": metrics.times if known else [],
        "y": metrics.cvd_closes if known else [],
        "line": {"color": CVD_LINE, "width": 1.5},
        "fill": "tozeroy",
        "fillcolor": CVD_FILL,
        "hovertemplate": "%{y:+,.8~f}",
        "yaxis": "y4",
    }


def issues_trace(found: list[Mark], grid: Grid) -> Trace:
    """Return the strip of data issues: a piece for each bar, or window, that one touches."""
    colours = [REPEATED if mark.harmless else LOST for mark in found]
    places = [mark.time + grid.shift for mark in found]
    more = between(places, grid)
    return {
        "type": "bar",
        "uid": "issues",
        "name": "Data issues",
        "legendgroup": "issues",
        "showlegend": bool(found),
        "x": [*places, *more],
        "y": [*[1] * len(found), *[None] * len(more)],
        "width": grid.step,
        "marker": {"color": colours, "line": {"width": 1, "color": colours}},
        "customdata": [*(mark.text for mark in found), *[""] * len(more)],
        "hovertemplate": "%{customdata}",
        "yaxis": "y5",
    }


def between(places: list[float], grid: Grid) -> list[float]:
    """Return where an empty bar has to be added, so that a bar is pointed at from nowhere else.

    Plotly takes a bar for pointed at from half as far as the two nearest are from each other.
    """
    apart = min((after - before for before, after in pairwise(places)), default=0)
    return [places[0] + grid.step / 2] if apart > grid.step else []


def shade_trace(found: list[Mark], grid: Grid) -> Trace:
    """Return the shade over the price panel wherever something was lost."""
    half = grid.step / 2
    xs: list[float | None] = []
    ys: list[float | None] = []
    before = None
    for mark in found:
        if mark.harmless:
            continue
        left, right = (mark.time + grid.shift + side for side in (-half, half))
        if before is not None and mark.time == before + grid.step:
            xs[-3:-1] = [right, right]
        else:
            xs += [left, left, right, right, None]
            ys += [0, 1, 1, 0, None]
        before = mark.time
    return {
        "type": "scatter",
        "uid": "shade",
        "legendgroup": "issues",
        "showlegend": False,
        "mode": "lines",
        "x": xs,
        "y": ys,
        "line": {"width": 0},
        "fill": "toself",
        "fillcolor": LOST_FILL,
        "hoverinfo": "skip",
        "yaxis": "y6",
    }


def bids_trace(depth: Depth, decimals: int = 2) -> Trace:
    """Return the cumulative size of the bids, a step at each level, best first."""
    return _side_trace("bids", depth.bids, (UP, UP_FILL), decimals)


def asks_trace(depth: Depth, decimals: int = 2) -> Trace:
    """Return the cumulative size of the asks, a step at each level, best first."""
    return _side_trace("asks", depth.asks, (DOWN, DOWN_FILL), decimals)


def _side_trace(
    side: str, levels: list[tuple[float, float]], colours: tuple[str, str], decimals: int
) -> Trace:
    return {
        "type": "scatter",
        "uid": side,
        "name": side.capitalize(),
        "mode": "lines",
        "x": [price for price, _ in levels],
        "y": cumulative(levels),
        # Away from the touch the sum holds until the next level's price, then steps up.
        "line": {"color": colours[0], "width": 1.5, "shape": "hv"},
        "fill": "tozeroy",
        "fillcolor": colours[1],
        "hovertemplate": f"%{{x:,.{decimals}f}} · %{{y:,.8~f}}",
    }


def cumulative(levels: list[tuple[float, float]]) -> list[float]:
    """Return the running sum of the sizes, best level first.

    Summed as decimals: 0.1 + 0.2 shown as 0.30000000000000004 would be read as a figure.
    """
    return [float(total) for total in accumulate(Decimal(repr(size)) for _, size in levels)]


def mid_of(depth: Depth) -> float | None:
    """Return the mean of best bid and best ask; None while a side is empty."""
    if not depth.bids or not depth.asks:
        return None
    best = Decimal(repr(depth.bids[0][0])) + Decimal(repr(depth.asks[0][0]))
    return float(best / 2)


def spread_of(depth: Depth) -> float | None:
    """Return best ask minus best bid, negative in a crossed book; None while a side is empty."""
    if not depth.bids or not depth.asks:
        return None
    return float(Decimal(repr(depth.asks[0][0])) - Decimal(repr(depth.bids[0][0])))


def mid_trace(depth: Depth) -> Trace:
    """Return the dotted vertical at the mid, as high as the larger side's sum."""
    mid = mid_of(depth)
    tops = [sums[-1] for sums in map(cumulative, (depth.bids, depth.asks)) if sums]
    return {
        "type": "scatter",
        "uid": "mid",
        "name": "Mid",
        "mode": "lines",
        "x": [] if mid is None else [mid, mid],
        "y": [] if mid is None else [0, max(tops)],
        "line": {"color": MUTED, "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
        "showlegend": False,
    }


def time_traces(shown: Shown, decimals: int = 2) -> list[Trace]:
    """Return the traces of the time figure, each at its own index (`PRICE` … `SHADE`)."""
    bars, metrics = shown.bars, shown.metrics
    return [
        price_trace(bars, decimals),
        volume_trace(bars),
        room_trace(bars),
        last_trace(bars),
        obi_trace(metrics),
        cvd_trace(metrics),
        issues_trace([], Grid()),
        shade_trace([], Grid()),
    ]


def depth_traces(depth: Depth, decimals: int = 2) -> list[Trace]:
    """Return the traces of the depth figure, each at its own index (`BIDS` … `MID`)."""
    return [bids_trace(depth, decimals), asks_trace(depth, decimals), mid_trace(depth)]
