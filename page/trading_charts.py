"""Build the traces of a trading run, and the places of its panels in the time figure.

Pure, as `page.charts` is. Everything stands where its window's candle does: a candle is drawn
around the start of its window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from html import escape
from itertools import islice
from textwrap import wrap
from typing import Any, TypeVar

from orderflow.times import format_utc
from page.charts import DOWN, MUTED, SHADE, UP, Trace, between, decimals_of
from page.layouts import BACKGROUND, heading, time_layout, unseen_axis, value_axis
from page.marks import MAX_TOLD, Grid
from page.trading_contents import TradeAlert, TradeFill, TradePoint, Trading
from page.wording import fixed, short

# Where each trace stands in the data of the time figure, after those of `page.charts`.
BOUGHT, SOLD, FILLS, ALERTS, SAID, POSITION, EQUITY, REALISED = range(SHADE + 1, SHADE + 9)

EDGE = "#f0f6fc"
ALERT = "#c58cff"
POSITION_LINE = "#9fb4cc"
POSITION_FILL = "rgba(159, 180, 204, 0.16)"
EQUITY_LINE = "#e6edf3"
PLAIN = ",.8~f"
"""How hover writes a number, in Plotly's terms: all its decimals up to the eighth."""
CANDLE_WIDTH = 0.49
"""Share of a window that Plotly draws a candle over, where a figure has two of such traces."""
LINE_LENGTH = 44
"""Most characters in a line of an alert's words: a label has to fit a phone."""

Layout = dict[tuple[str, ...], Any]

PANELS: Layout = {
    ("yaxis", "domain"): [0.545, 1.0],
    ("yaxis5", "domain"): [0.533, 0.541],
    ("yaxis3", "domain"): [0.39, 0.485],
    ("yaxis4", "domain"): [0.27, 0.355],
    ("yaxis7",): value_axis((0.155, 0.235), zeroline=True, rangemode="tozero", nticks=4),
    ("yaxis8",): value_axis((0.0, 0.12), nticks=5),
    ("yaxis9",): unseen_axis(domain=[0.51, 0.531], range=[0, 1]),
    ("xaxis", "anchor"): "y8",
    ("annotations",): [
        heading("OBI", 0.485, "bottom"),
        heading("CVD", 0.355, "bottom"),
        heading("Position", 0.235, "bottom"),
        heading("Equity · dotted: realised, after fees", 0.12, "bottom"),
        heading("UTC", 0, "top") | {"x": 1.012, "yshift": -7},
    ],
}
"""What of the time figure's layout a trading run changes, by path: it adds two panels."""


ALERTS_ALONE: Layout = {
    ("yaxis", "domain"): [0.465, 1.0],
    ("yaxis5", "domain"): [0.453, 0.461],
    ("yaxis9",): unseen_axis(domain=[0.425, 0.447], range=[0, 1]),
}
"""What it changes where strategies have decided on kept bars, without an account."""


def panels(*, trading: bool, executes: bool = True) -> Layout:
    """Return `PANELS`, or the strip of alerts alone, or what takes either away again."""
    if trading and executes:
        return PANELS
    plain = time_layout({})
    back = {path: unseen_axis() if path[0] not in plain else _at(plain, path) for path in PANELS}
    return back | ALERTS_ALONE if trading else back


def _at(layout: dict[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = layout
    for key in path:
        found = found[key]
    return found


def fill_traces(fills: Sequence[TradeFill], grid: Grid, decimals: int) -> list[Trace]:
    """Return the marks of what was bought and sold, and what is said of them at each bar."""
    describe = partial(describe_fill, decimals=decimals)
    cells = _by_cell(fills, grid)
    seen = [fill for found in cells.values() for fill in found]
    words = {cell: _told(found, describe) for cell, found in cells.items()}
    return [
        _marks("bought", [fill for fill in seen if fill.side == "buy"], grid),
        _marks("sold", [fill for fill in seen if fill.side == "sell"], grid),
        _words("fills", "Fills", EDGE, words, grid),
    ]


def _marks(uid: str, fills: list[TradeFill], grid: Grid) -> Trace:
    """Return a mark for each fill, solid for a taker's and hollow for a maker's."""
    buys = uid == "bought"
    colour = UP if buys else DOWN
    fills = sorted(fills, key=lambda fill: fill.maker)  # the legend shows the first mark
    return {
        "type": "scatter",
        "uid": uid,
        "name": "Bought" if buys else "Sold",
        "legendgroup": uid,
        "showlegend": bool(fills),
        "mode": "markers",
        "x": [_over_candle(fill.time, grid) for fill in fills],
        "y": [fill.price for fill in fills],
        "marker": {
            "symbol": "triangle-up" if buys else "triangle-down",
            "size": 9,
            "color": [BACKGROUND if fill.maker else colour for fill in fills] or colour,
            "line": {
                "width": [2 if fill.maker else 1 for fill in fills],
                "color": [colour if fill.maker else EDGE for fill in fills],
            },
        },
        "hoverinfo": "skip",
        "yaxis": "y",
    }


def _over_candle(time: int, grid: Grid) -> float:
    """Return where in its candle a time is: the whole window is as wide as the candle is drawn."""
    window = grid.step - 2 * grid.shift
    since = (time - grid.first) % window
    return time - since + (since - window / 2) * CANDLE_WIDTH


def _words(uid: str, name: str, colour: str, words: dict[float, str], grid: Grid) -> Trace:
    """Return what is said of each bar that has something: bars that nobody sees.

    A mark would also be pointed at from the bars beside its own.
    """
    more = between(list(words), grid)
    return {
        "type": "bar",
        "uid": uid,
        "name": name,
        "showlegend": False,
        "x": [*words, *more],
        "y": [*[1] * len(words), *[None] * len(more)],
        "width": grid.step,
        "offset": -grid.step / 2,
        "marker": {"opacity": 0, "color": colour},
        "customdata": [*words.values(), *[""] * len(more)],
        "hovertemplate": "%{customdata}",
        "yaxis": "y9",
    }


def describe_fill(fill: TradeFill, decimals: int) -> str:
    """Say what a fill was, as markup to Plotly: what a file says is escaped."""
    places = max(decimals, decimals_of([fill.price]))
    role = "maker" if fill.maker else "taker"
    cost = f"fee {short(fill.fee)}" if fill.fee >= 0 else f"rebate {short(-fill.fee)}"
    return (
        f"{_clock(fill.time)} {fill.side} {short(fill.quantity)} at {fixed(fill.price, places)}<br>"
        f"{role} · {cost} · {escape(fill.strategy, quote=False)}"
    )


def _clock(time: int) -> str:
    return f"{format_utc(time)[11:]}.{time % 1000:03d}"


def alert_traces(alerts: Sequence[TradeAlert], grid: Grid) -> list[Trace]:
    """Return a mark on the time axis for each bar with alerts, and what they say."""
    words = {cell: _told(found, describe_alert) for cell, found in _by_cell(alerts, grid).items()}
    marks = {
        "type": "scatter",
        "uid": "alerts",
        "name": "Alerts",
        "showlegend": bool(words),
        "mode": "markers",
        "x": list(words),
        "y": [0.5] * len(words),
        "marker": {"symbol": "diamond", "size": 9, "color": ALERT},
        "hoverinfo": "skip",
        "yaxis": "y9",
    }
    return [marks, _words("said", "Alerts", ALERT, words, grid)]


def describe_alert(alert: TradeAlert) -> str:
    """Say what a strategy said, and when, as markup to Plotly: what a file says is escaped."""
    words = f"{_clock(alert.time)[:8]} {alert.strategy}: {alert.text}"
    return "<br>".join(escape(line, quote=False) for line in wrap(words, LINE_LENGTH))


def position_trace(curve: Sequence[TradePoint], grid: Grid) -> Trace:
    """Return the steps of the position at the close of each bar."""
    return _curve("position", "Position", _closes(curve, grid, lambda point: point.position)) | {
        "line": {"color": POSITION_LINE, "width": 1.5, "shape": "hvh"},
        "fill": "tozeroy",
        "fillcolor": POSITION_FILL,
        "yaxis": "y7",
    }


def equity_trace(curve: Sequence[TradePoint], grid: Grid) -> Trace:
    """Return the line of the equity at the close of each bar."""
    closes = _closes(curve, grid, lambda point: point.equity)
    return _curve("equity", "Equity", closes, _money_form(closes)) | {
        "line": {"color": EQUITY_LINE, "width": 1.5},
        "yaxis": "y8",
    }


def realised_trace(curve: Sequence[TradePoint], grid: Grid) -> Trace:
    """Return the line of what equity would be without the position that is open."""
    closes = _closes(curve, grid, lambda point: point.realised)
    return _curve("realised", "Realised", closes, _money_form(closes)) | {
        "line": {"color": MUTED, "width": 1.2, "dash": "dot"},
        "yaxis": "y8",
    }


def _curve(uid: str, name: str, closes: dict[float, float], form: str = PLAIN) -> Trace:
    return {
        "type": "scatter",
        "uid": uid,
        "name": name,
        "showlegend": False,
        "mode": "lines",
        "x": list(closes),
        "y": list(closes.values()),
        "hovertemplate": f"%{{y:{form}}}",
    }


def _money_form(closes: dict[float, float]) -> str:
    """Return how hover writes amounts: with two decimals, or all where all are under 1."""
    return ",.2f" if max(map(abs, closes.values()), default=0) >= 1 else PLAIN


def _closes(
    curve: Sequence[TradePoint], grid: Grid, value: Callable[[TradePoint], float]
) -> dict[float, float]:
    """Return a value by the bar that it closes, as the point of a close has the time after it."""
    cells = ((_cell(point.time - 1, grid), value(point)) for point in curve)
    return {cell: found for cell, found in cells if cell is not None}


def _cell(time: int, grid: Grid) -> float | None:
    """Return where the bar of a time is drawn, None where it is not shown."""
    index = (time - grid.first) // grid.step
    return grid.first + index * grid.step + grid.shift if 0 <= index < grid.count else None


Timed = TypeVar("Timed", TradeFill, TradeAlert)


def _by_cell(items: Iterable[Timed], grid: Grid) -> dict[float, list[Timed]]:
    """Return what is shown by the bar it belongs to, all in order of time."""
    cells: dict[float, list[Timed]] = {}
    for item in sorted(items, key=lambda item: item.time):
        cell = _cell(item.time, grid)
        if cell is not None:
            cells.setdefault(cell, []).append(item)
    return cells


def _told(found: list[Timed], describe: Callable[[Timed], str]) -> str:
    told = [describe(item) for item in islice(found, MAX_TOLD)]
    if len(found) > MAX_TOLD:
        told.append(f"and {len(found) - MAX_TOLD:,} more")
    return "<br>".join(told)


def trading_traces(trading: Trading | None, grid: Grid, decimals: int) -> dict[int, Trace]:
    """Return the traces of a trading run by their index; all are empty where there is none."""
    run = trading or Trading("", (), "")
    traces = [
        *fill_traces(run.fills, grid, decimals),
        *alert_traces(run.alerts, grid),
        position_trace(run.curve, grid),
        equity_trace(run.curve, grid),
        realised_trace(run.curve, grid),
    ]
    return dict(enumerate(traces, BOUGHT))
