"""Build the layouts of the page's figures as plain dicts.

Layouts are sent once and then only traces, so that a zoom stays the user's.
"""

from __future__ import annotations

from typing import Any

from page.charts import MUTED

Layout = dict[str, Any]

GRID = "#1c232d"
ZERO = "#3a4452"
BACKGROUND = "#0d1117"
TEXT = "#c9d1d9"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"


def base_layout(template: dict[str, Any]) -> Layout:
    """Return what all figures have in common."""
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


def value_axis(domain: tuple[float, float], **options: Any) -> dict[str, Any]:
    """Return the axis of a panel, at its right, over this share of the figure's height."""
    return _axis(
        domain=list(domain), side="right", separatethousands=True, exponentformat="none", **options
    )


def time_axis(anchor: str, **options: Any) -> dict[str, Any]:
    """Return the axis of time, UTC, under the panel with this axis."""
    return _axis(
        type="date",
        anchor=anchor,
        rangeslider={"visible": False},
        showspikes=True,
        spikemode="across",
        spikesnap="cursor",
        spikethickness=1,
        spikecolor=MUTED,
        spikedash="dot",
        hoverformat="%Y-%m-%d %H:%M:%S UTC",
        **options,
    )


def unseen_axis(**options: Any) -> dict[str, Any]:
    """Return an axis that is not drawn and not zoomed."""
    return {"visible": False, "fixedrange": True, **options}


# What each figure's axes are set to for a new run, to show it whole.
OBI_RANGE = (-1.05, 1.05)
WHOLE: dict[str, dict[str, dict[str, Any]]] = {
    "time": {
        "xaxis": {"autorange": True},
        "yaxis": {"autorange": True},
        "yaxis2": {"autorange": True},
        "yaxis3": {"range": OBI_RANGE},
        "yaxis4": {"autorange": True},
    },
    "depth": {"xaxis": {"autorange": True}, "yaxis": {"autorange": True}},
}


def heading(text: str, y: float, anchor: str) -> dict[str, Any]:
    """Return the name of a panel, at its left."""
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
    return base_layout(template) | {
        # Left of the first tick there is room for half of its date.
        "margin": {"l": 34, "r": 74, "t": 30, "b": 40},
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "xaxis": time_axis("y4"),
        "yaxis": value_axis((0.435, 1.0)),
        "yaxis2": unseen_axis(overlaying="y", rangemode="tozero", autorange=True),
        "yaxis3": value_axis((0.21, 0.38), zeroline=True, range=OBI_RANGE),
        "yaxis4": value_axis((0.0, 0.18), zeroline=True, rangemode="tozero"),
        "yaxis5": unseen_axis(domain=[0.422, 0.432], range=[0, 1]),
        "yaxis6": unseen_axis(overlaying="y", range=[0, 1]),
        "annotations": [
            heading("OBI", 0.38, "bottom"),
            heading("CVD", 0.18, "bottom"),
            heading("UTC", 0, "top") | {"x": 1.012, "yshift": -7},
        ],
    }


def depth_layout(template: dict[str, Any]) -> Layout:
    """Return the layout of the cumulative depth over price."""
    layout = base_layout(template) | {
        "margin": {"l": 10, "r": 54, "t": 30, "b": 30},
        "hovermode": "x",
        "xaxis": _axis(
            separatethousands=True, exponentformat="none", nticks=5, hoverformat=",.12~f"
        ),
        "yaxis": _axis(side="right", rangemode="tozero", separatethousands=True, nticks=8),
    }
    layout["legend"]["title"] = {"text": "Depth", "font": {"size": 11, "color": MUTED}}
    return layout
