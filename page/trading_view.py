"""Put a trading run into words and elements: its state, figures, open orders, newest alert.

Pure, as `page.view` is.
"""

from __future__ import annotations

from typing import Any

from dash import html

from orderflow.times import format_utc
from page.charts import decimals_of
from page.trading_contents import OpenOrder, Trading
from page.wording import fixed, money, short

ORDERS_SHOWN = 4
"""Most open orders a side, those nearest to the mid."""
TONES = {"running": "good", "finished": "good", "stopped": "warn", "failed": "bad"}


def notes(run: Trading | None, *, stale: bool) -> list[tuple[str, str]]:
    """Return (tone, sentence) of what a reader has to be told of a trading run."""
    if run is None:
        return []
    if stale:
        return [
            (
                "warn",
                "The trading run has not written for more than 5 s: it was killed or is stuck. "
                "What it did until then is shown. Look at its terminal, or start it again.",
            )
        ]
    if run.state == "failed":
        return [("bad", f"The trading run failed: {run.reason or 'look at its terminal'}")]
    return []


def panel(run: Trading | None, decimals: int, *, stale: bool) -> list[Any]:
    """Return the panel of a trading run, nothing without one; prices have so many decimals."""
    if run is None:
        return []
    label, tone = ("stale", "warn") if stale else (run.state, TONES[run.state])
    return [
        html.Div(
            [
                html.H2("Trading" if run.executes else "Decisions"),
                html.Span(label, className=f"badge {tone}", id="trading-badge"),
                html.Span(", ".join(run.strategies), className="strategies"),
            ],
            className="trading-head",
        ),
        html.Div(_figures(run) if run.executes else [], className="trading-figures"),
        *_refusals(run),
        *_orders(run, decimals),
        *(html.Div(text, className=f"remark {tone}") for text, tone in _remarks(run, stale=stale)),
    ]


def _figures(run: Trading) -> list[Any]:
    figures = (
        ("Position", short(run.position), _sign(run.position)),
        ("Equity", money(run.equity), ""),
        ("Fills", f"{run.fill_count:,}", ""),
        ("Realised, gross", money(run.realised), ""),
        ("Fees", money(run.fees), ""),
        ("Open orders", f"{run.open_count:,}", ""),
    )
    return [
        html.Div(
            [html.Span(label, className="label"), html.Span(value, className=f"value {tone}")],
            className="figure",
        )
        for label, value, tone in figures
    ]


def _sign(position: float) -> str:
    return "up" if position > 0 else "down" if position < 0 else ""


def _refusals(run: Trading) -> list[Any]:
    if not run.rejected:
        return []
    why = f"; the last: {run.rejected_reason}" if run.rejected_reason else ""
    count = "1 order" if run.rejected == 1 else f"{run.rejected:,} orders"
    return [html.Div(f"{count} refused{why}", className="remark warn")]


def _orders(run: Trading, decimals: int) -> list[Any]:
    """Return the open orders as a ladder: sells, best prices, buys, by price."""
    if not run.open_orders:
        return []
    sells = sorted(_nearest(run, "sell"), key=lambda order: -order.price)
    buys = sorted(_nearest(run, "buy"), key=lambda order: -order.price)
    shown = len(sells) + len(buys)
    title = "Open order" if shown == run.open_count else f"{shown} of {run.open_count:,} open"
    titles = html.Tr([html.Th(title), html.Th("Remaining"), html.Th("Strategy")])
    return [
        html.Table(
            [
                html.Thead(titles),
                html.Tbody([_row(order, "ask", decimals) for order in sells]),
                html.Tbody(html.Tr(html.Td(_best(run, decimals), colSpan=3), className="best")),
                html.Tbody([_row(order, "bid", decimals) for order in buys]),
            ],
            className="orders",
        )
    ]


def _nearest(run: Trading, side: str) -> list[OpenOrder]:
    return [order for order in run.open_orders if order.side == side][:ORDERS_SHOWN]


def _row(order: OpenOrder, side: str, decimals: int) -> Any:
    price = fixed(order.price, max(decimals, decimals_of([order.price])))
    cells = [html.Td(price), html.Td(short(order.remaining)), html.Td(order.strategy)]
    return html.Tr(cells, className=side)


def _best(run: Trading, decimals: int) -> str:
    if run.best_bid is None or run.best_ask is None:
        return "best prices unknown"
    return f"bid {fixed(run.best_bid, decimals)} · ask {fixed(run.best_ask, decimals)}"


def _remarks(run: Trading, *, stale: bool) -> list[tuple[str, str]]:
    """Return (text, tone) of what is not shown, of the newest alert, and of when it was written."""
    told: list[tuple[str, str]] = []
    if run.fill_count > len(run.fills):
        told.append((f"{len(run.fills):,} of {run.fill_count:,} fills are marked, the newest", ""))
    if run.alerts:
        alert = max(run.alerts, key=lambda alert: alert.time)
        words = f"{format_utc(alert.time)[11:]} {alert.strategy}: {alert.text}"
        count = "1 alert" if run.alert_count == 1 else f"{run.alert_count:,} alerts"
        told.append((f"{count} · {words}", "alert"))
    if run.written is not None and (stale or run.state != "running"):
        told.append((f"written {format_utc(run.written)} UTC", ""))
    return told
