"""Build the figure of the metrics that a run was asked for, a panel for each.

Pure, as `page.charts` is. It stands under the time figure, on the same time axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from page.charts import CVD_LINE, MUTED, OBI_DOWN, OBI_UP, Trace, four_values
from page.layouts import Layout, base_layout, heading, time_axis, unseen_axis, value_axis
from page.metric_contents import MAX_METRICS, Measured, MetricBars

PANEL_PIXELS = 92
AXIS_PIXELS = 30
"""For the labels of the time axis, under the last panel."""
GAP = 0.16
"""Share of a panel's height that its name takes."""
COLOURS = ("#e6edf3", "#c58cff", "#7cc8ff", "#3fd0c4", "#e8602c", "#9fb4cc")
OHLC = ("open", "high", "low", "close")
FORM = ",.8~g"
LABEL_LENGTH = 60

Described = Sequence[tuple[str, str]]


def metric_layout(template: dict[str, Any]) -> Layout:
    """Return the layout before any metric is known."""
    return base_layout(template) | {
        "margin": {"l": 34, "r": 74, "t": 6, "b": AXIS_PIXELS},
        "showlegend": False,
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "xaxis": time_axis("y", fixedrange=True),
        "yaxis": unseen_axis(),
        "annotations": [],
    }


def height_of(described: Described) -> int:
    """Return how high the figure is, in pixels."""
    return len(described) * PANEL_PIXELS + AXIS_PIXELS


def panels(described: Described) -> dict[tuple[str, ...], Any]:
    """Return what of the layout the metrics change, by path: an axis and a name for each.

    The axes of an earlier run that had more are hidden.
    """
    count = len(described)
    headings, layout = [], dict[tuple[str, ...], Any]()
    for place in range(MAX_METRICS):
        axis = (f"yaxis{_number(place)}",)
        if place >= count:
            layout[axis] = unseen_axis()
            continue
        domain = (count - place - 1) / count, (count - place - GAP) / count
        layout[axis] = value_axis(domain, nticks=4, fixedrange=True)
        headings.append(heading(_label(*described[place]), domain[1], "bottom"))
    last = _number(max(0, count - 1))
    return layout | {("annotations",): headings, ("xaxis", "anchor"): f"y{last}"}


def _label(asked: str, unit: str) -> str:
    short = asked if len(asked) <= LABEL_LENGTH else asked[: LABEL_LENGTH - 1] + "…"
    return escape(f"{short} · {unit}" if unit and not unit.startswith("none") else short)


def _number(place: int) -> str:
    """Return what Plotly has after the letter of an axis: nothing for the first."""
    return "" if place == 0 else str(place + 1)


def metric_traces(bars: MetricBars) -> list[Trace]:
    """Return the traces of all metrics: candles for open to close, else a line for each field."""
    return [
        trace
        for place, metric in enumerate(bars.metrics)
        for trace in _traces(metric, bars.times, f"y{_number(place)}")
    ]


def _traces(metric: Measured, times: list[int], axis: str) -> list[Trace]:
    columns = metric.columns
    if tuple(columns) == OHLC:
        known = [place for place, close in enumerate(columns["close"]) if close is not None]
        return [
            {
                "type": "candlestick",
                "uid": metric.asked,
                "name": escape(metric.asked),
                "x": [times[place] for place in known],
                **{name: [columns[name][place] for place in known] for name in OHLC},
                "increasing": {"line": {"color": OBI_UP, "width": 1}, "fillcolor": OBI_UP},
                "decreasing": {"line": {"color": OBI_DOWN, "width": 1}, "fillcolor": OBI_DOWN},
                "hovertemplate": four_values(FORM),
                "yaxis": axis,
            }
        ]
    bounds = {"min", "max"} & {*columns}
    colours = [MUTED if name in bounds else COLOURS[i % 6] for i, name in enumerate(columns)]
    colours[0] = CVD_LINE
    return [
        {
            "type": "scatter",
            "uid": f"{metric.asked} {name}",
            "name": escape(metric.asked if len(columns) == 1 else f"{metric.asked} {name}"),
            "mode": "lines",
            "x": times,
            "y": values,
            "line": {"color": colour, "width": 1 if name in bounds else 1.4},
            "hovertemplate": f"%{{y:{FORM}}}",
            "yaxis": axis,
        }
        for (name, values), colour in zip(columns.items(), colours, strict=True)
    ]
