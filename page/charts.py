"""Build the page's traces and layouts as plain dicts, from plain values.

One function per trace, each pure: the same content gives the same trace. `plotly.graph_objects`
is left out on purpose (building one figure costs 25 times what these dicts do), and so nothing
here imports plotly; the dark template is handed in by the caller.

Layouts are sent once and then only traces, so that a zoom stays the user's. Each trace keeps its
`uid` for the same reason: Plotly remembers a hidden trace by it.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import accumulate
from typing import Any

from page.files import Bars, Depth, Metrics

Trace = dict[str, Any]
Layout = dict[str, Any]

# Teal and orange differ for deuteranopes, protanopes and tritanopes, in hue and in lightness.
UP = "#3fd0c4"
DOWN = "#e8602c"
UP_FILL = "rgba(63, 208, 196, 0.22)"
DOWN_FILL = "rgba(232, 96, 44, 0.22)"
OBI_UP = "#7cc8ff"
OBI_DOWN = "#2b74d9"
CVD_LINE = "#f2c037"
CVD_FILL = "rgba(242, 192, 55, 0.14)"
MUTED = "#8b97a8"
GRID = "#1c232d"
ZERO = "#3a4452"
BACKGROUND = "#0d1117"
TEXT = "#c9d1d9"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

MAX_DECIMALS = 12
# Where each trace stands in the data of its figure: a poll replaces them one by one.
PRICE, VOLUME, LAST, OBI, CVD = range(5)
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
        "hovertemplate": _four_values(f",.{decimals}f"),
        "yaxis": "y",
    }


def _four_values(form: str) -> str:
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
    """Return the order book imbalance candles, -1 (asks alone) to 1 (bids alone)."""
    return {
        "type": "candlestick",
        "uid": "obi",
        "name": "OBI",
        "x": metrics.times,
        "open": metrics.obi_opens,
        "high": metrics.obi_highs,
        "low": metrics.obi_lows,
        "close": metrics.obi_closes,
        "increasing": {"line": {"color": OBI_UP, "width": 1}, "fillcolor": OBI_UP},
        "decreasing": {"line": {"color": OBI_DOWN, "width": 1}, "fillcolor": OBI_DOWN},
        "hovertemplate": _four_values("+.4f"),
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
    tops = [sum(size for _, size in side) for side in (depth.bids, depth.asks)]
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


def _base_layout(template: dict[str, Any]) -> Layout:
    return {
        "template": template,
        # Plotly keeps zoom and pan while this stays the same: it changes with the run alone.
        "uirevision": "",
        "paper_bgcolor": BACKGROUND,
        # Clear: the volume stands in front of the foot of the price panel.
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": TEXT, "family": FONT, "size": 12},
        "hoverlabel": {"bgcolor": "#161b22", "bordercolor": "#30363d", "font": {"color": TEXT}},
        "legend": {
            "uirevision": "kept",  # a trace that was hidden stays so in the next run
            "orientation": "h",
            "itemwidth": 30,
            "x": 0,
            "y": 1,
            "xanchor": "left",
            "yanchor": "bottom",
            "bgcolor": "rgba(0,0,0,0)",
            "font": {"size": 11, "color": MUTED},
        },
        "modebar": {
            "bgcolor": "rgba(0,0,0,0)",
            "color": "#6e7a8a",
            "activecolor": TEXT,
            "uirevision": "kept",
        },
        "bargap": 0.2,
    }


def _axis(**options: Any) -> dict[str, Any]:
    return {
        "gridcolor": GRID,
        "zerolinecolor": ZERO,
        "zeroline": False,
        "automargin": False,
        "tickfont": {"size": 11, "color": MUTED},
        **options,
    }


def _value_axis(domain: tuple[float, float], **options: Any) -> dict[str, Any]:
    return _axis(
        domain=list(domain), side="right", separatethousands=True, exponentformat="none", **options
    )


# What each figure's axes are set to for a new run, to show it whole.
OBI_RANGE = (-1.05, 1.05)
WHOLE: dict[str, dict[str, dict[str, Any]]] = {
    "time": {
        "xaxis": {"autorange": True},
        "yaxis": {"autorange": True},
        "yaxis3": {"range": OBI_RANGE},
        "yaxis4": {"autorange": True},
    },
    "depth": {"xaxis": {"autorange": True}, "yaxis": {"autorange": True}},
}


def _heading(text: str, y: float, anchor: str) -> dict[str, Any]:
    return {
        "text": text,
        "xref": "paper",
        "yref": "paper",
        "x": 0.004,
        "y": y,
        "xanchor": "left",
        "yanchor": anchor,
        "showarrow": False,
        "font": {"size": 11, "color": MUTED},
    }


def time_layout(template: dict[str, Any]) -> Layout:
    """Return the layout of price, volume, OBI and CVD over one time axis, in UTC."""
    return _base_layout(template) | {
        # Left of the first tick there is room for half of its date.
        "margin": {"l": 34, "r": 74, "t": 30, "b": 40},
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "xaxis": _axis(
            type="date",
            anchor="y4",
            rangeslider={"visible": False},
            showspikes=True,
            spikemode="across",
            spikesnap="cursor",
            spikethickness=1,
            spikecolor=MUTED,
            spikedash="dot",
            hoverformat="%Y-%m-%d %H:%M:%S UTC",
        ),
        "yaxis": _value_axis((0.425, 1.0)),
        "yaxis2": _value_axis(
            (0.425, 0.60), showgrid=False, showticklabels=False, rangemode="tozero", fixedrange=True
        ),
        "yaxis3": _value_axis((0.21, 0.39), zeroline=True, range=OBI_RANGE),
        "yaxis4": _value_axis((0.0, 0.18), zeroline=True, rangemode="tozero"),
        "annotations": [
            _heading("OBI", 0.39, "bottom"),
            _heading("CVD", 0.18, "bottom"),
            _heading("UTC", 0, "top") | {"x": 1.012, "yshift": -7},
        ],
    }


def depth_layout(template: dict[str, Any]) -> Layout:
    """Return the layout of the cumulative depth over price."""
    layout = _base_layout(template) | {
        "margin": {"l": 10, "r": 54, "t": 30, "b": 30},
        "hovermode": "x",
        "xaxis": _axis(
            separatethousands=True, exponentformat="none", nticks=5, hoverformat=",.12~f"
        ),
        "yaxis": _axis(side="right", rangemode="tozero", separatethousands=True, nticks=8),
    }
    layout["legend"]["title"] = {"text": "Depth", "font": {"size": 11, "color": MUTED}}
    return layout


def time_traces(bars: Bars, metrics: Metrics, decimals: int = 2) -> list[Trace]:
    """Return the traces of the time figure, each at its own index (`PRICE` … `CVD`)."""
    return [
        price_trace(bars, decimals),
        volume_trace(bars),
        last_trace(bars),
        obi_trace(metrics),
        cvd_trace(metrics),
    ]


def depth_traces(depth: Depth, decimals: int = 2) -> list[Trace]:
    """Return the traces of the depth figure, each at its own index (`BIDS` … `MID`)."""
    return [bids_trace(depth, decimals), asks_trace(depth, decimals), mid_trace(depth)]
