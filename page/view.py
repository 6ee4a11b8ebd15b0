"""Put the head line, the notes and the ladder of the page into words and elements.

Pure: every function takes plain values and returns text or Dash components. Times are UTC,
prices carry their own decimals, volumes are shortened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dash import html

from orderflow.issues import LABELS
from orderflow.times import format_duration, format_utc
from page import trading_view
from page.charts import cumulative, decimals_of, mid_of, price_decimals, spread_of
from page.contents import Bars, Depth, Metrics, Status
from page.files import PageData
from page.wording import MINUS, fixed, liveness, short

LADDER_LEVELS = 12
DASH = "\N{EN DASH}"
MAX_SECONDS_LEFT = 10 * 365 * 86_400
STORED = (
    "What runs have kept: bars and metrics. The book, the order flow and data issues are not kept."
)
HOW_TO_START = "uv run main.py BTC-USDT 2025-06-09 2025-06-10"


@dataclass(frozen=True)
class RunState:
    """Say in words how the run stands: `label` and `tone` for the badge, `detail` beside it.

    `note` tells what is going on and what to do, None when nothing needs saying.
    """

    label: str
    tone: str
    detail: str = ""
    note: str | None = None
    progress: float | None = None


def run_state(data: PageData) -> RunState:
    """Return the state of the run, from its status and from how old that is."""
    status = data.status.content
    if status is None:
        return _state_without_status(data)
    if data.stale:
        return RunState(
            "stale",
            "warn",
            f"last sign {_clock(status)}",
            "No update for more than 5 s: the replay was killed or is stuck. What it wrote until "
            "then is shown. Look at its terminal, or start it again.",
            status.progress,
        )
    if status.state == "running":
        return _running_state(status)
    bars = data.bars.content or Bars()
    return _ended_state(status, has_bars=bool(bars.times))


def _state_without_status(data: PageData) -> RunState:
    if data.status.problem:
        return RunState(
            "unreadable", "bad", "", "What state the run is in cannot be told from its status file."
        )
    if any(reading.version for reading in (data.bars, data.metrics, data.depth)):
        newest = max(r.modified for r in (data.bars, data.metrics, data.depth))
        return RunState("no run status", "quiet", f"files of {format_utc(int(newest * 1000))} UTC")
    if data.problems():
        return RunState("unreadable", "bad")
    return RunState("no data yet", "quiet")


def _clock(status: Status) -> str:
    return "unknown" if status.written is None else f"{format_utc(status.written)} UTC"


def _running_state(status: Status) -> RunState:
    if status.waiting_for:
        return RunState("waiting", "quiet", "", f"Nothing to replay yet: {status.waiting_for}.")
    behind = liveness(status.behind_ms, status.newest_row_age_ms)
    if status.live:
        return RunState("live", "good live", behind)
    if status.newest_row_age_ms is not None:  # a recording in progress, read so far as it is there
        rate = f"{status.rows_per_second:,.0f} rows/s" if status.rows_per_second else ""
        return RunState("catching up", "good", " · ".join(filter(None, (behind, rate))))
    return RunState("running", "good", _running_detail(status), None, status.progress)


def _running_detail(status: Status) -> str:
    parts = []
    if status.progress is not None:
        parts.append(f"{status.progress:.0%}".replace("%", " %"))
    if status.rows_per_second is not None:
        parts.append(f"{status.rows_per_second:,.0f} rows/s")
    if status.seconds and status.progress and 0 < status.progress < 1:
        left = status.seconds * (1 - status.progress) / status.progress
        if left < MAX_SECONDS_LEFT:
            parts.append(f"{format_duration(left)} left")
    return " · ".join(parts)


def _ended_state(status: Status, *, has_bars: bool) -> RunState:
    detail = []
    if status.rows is not None and status.seconds is not None:
        detail.append(f"{status.rows:,} rows in {format_duration(status.seconds)}")
    if status.rows_per_second is not None:
        detail.append(f"{status.rows_per_second:,.0f} rows/s")
    words = " · ".join(detail)
    if status.state == "finished":
        note = None if has_bars else "The range holds no trades: there are no bars to draw."
        if status.stored:
            return RunState("kept results", "good", f"written {_clock(status)}", note or STORED)
        return RunState("finished", "good", f"{words} · written {_clock(status)}", note)
    done = "" if status.progress is None else f" at {status.progress:.0%}".replace("%", " %")
    if status.state == "stopped":
        why = f" ({status.reason})" if status.reason else ""
        return RunState(
            "stopped",
            "warn",
            words,
            f"Stopped{done}{why}. What was processed until then is shown; start the replay again "
            "for the rest.",
            status.progress,
        )
    why = status.reason or "no reason was given: look at the replay's terminal"
    return RunState("failed", "bad", words, f"Failed{done}: {why}", status.progress)


def notes(data: PageData, state: RunState) -> list[tuple[str, str]]:
    """Return (tone, sentence) of everything a reader of the page has to be told."""
    told = [(state.tone, state.note)] if state.note else []
    for name, problem, kept in data.problems():
        what = "The last good content stays; if this lasts, start" if kept else "Start"
        told.append(
            (
                "warn",
                f"{name} cannot be used: {problem}. {what} the replay again: it writes it anew.",
            )
        )
    if data.no_directory:
        told.append(
            (
                "warn",
                "The output directory does not exist: the page waits for it. See --output-dir.",
            )
        )
    told += trading_view.notes(data.trading_run, stale=data.trading_stale)
    return told + [("warn", sentence) for sentence in _book_notes(data.status.content)]


def _book_notes(status: Status | None) -> list[str]:
    """Say what figures cannot be had, or not be trusted, because of what the recording lacks."""
    if status is None or status.waiting_for:
        return []
    told = [_sentence(LABELS[kind]) for kind in ("no_book", "no_trades") if status.counts.get(kind)]
    if status.reliable is not False:
        return told
    missing = [kind for kind in ("sequence_gaps", "unreliable_rows") if status.counts.get(kind)]
    if status.counts.get("unproven_rows") and not missing:
        told.append(
            "The recording does not begin with a snapshot: the book is not known until one comes."
        )
    elif not status.counts.get("no_book"):
        told.append("The book is not reliable: an update is missing; the next snapshot mends it.")
    return told


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def hint(data: PageData) -> list[Any]:
    """Return what stands in the place of the charts while there is nothing to draw."""
    bars = data.bars.content or Bars()
    metrics = data.metrics.content or Metrics()
    if bars.times or metrics.times:
        return []
    status = data.status.content
    if data.no_directory:
        return [
            html.H2("The output directory does not exist"),
            html.P("Is it a slip of the pen in --output-dir? A replay into it would make it:"),
            html.Code(f"{HOW_TO_START} --output-dir DIR"),
        ]
    if data.problems():
        return [html.H2("Nothing to draw"), html.P("The files here cannot be read; see above.")]
    if status is not None:
        return _hint_of(status)
    return [
        html.H2("No data yet"),
        html.P("Start a replay; this page fills by itself."),
        html.Code(HOW_TO_START),
        html.P(["No recording at hand? Add ", html.Code("--demo"), " for a synthetic one."]),
    ]


def _hint_of(status: Status) -> list[Any]:
    if status.state != "running":
        return [html.H2("Nothing to draw"), html.P("The run ended without a bar.")]
    if status.waiting_for:
        return [
            html.H2("Waiting for the recording"),
            html.P("The page fills by itself as soon as the recorder writes."),
        ]
    return [
        html.H2("Waiting for the first bar"),
        html.P("The replay runs. Rows before the range are read first: they build the book."),
    ]


@dataclass(frozen=True)
class Figures:
    """Hold the head line's figures as text; a dash where one is not known."""

    last: str = DASH
    trend: str = ""
    spread: str = DASH
    obi: str = DASH
    cvd: str = DASH
    event_time: str = DASH


def headline_figures(data: PageData) -> Figures:
    """Return the newest figures of the files, formatted for reading."""
    bars = data.bars.content or Bars()
    metrics = data.metrics.content or Metrics()
    depth = data.depth.content or Depth()
    status = data.status.content
    decimals = price_decimals(bars, depth)
    spread = spread_of(depth)
    obi, cvd = (metrics.obi_closes[-1], metrics.cvd_closes[-1]) if metrics.times else (None, None)
    newest = [times[-1] for times in (bars.times, metrics.times) if times]
    event = max(newest, default=None)
    if status is not None and status.event_time is not None:
        event = status.event_time
    trend = ""
    if bars.closes:
        trend = "up" if bars.closes[-1] >= bars.opens[-1] else "down"
    return Figures(
        last=fixed(bars.closes[-1], decimals) if bars.closes else DASH,
        trend=trend,
        spread=DASH if spread is None else fixed(spread, decimals),
        obi=DASH if obi is None else f"{obi:+.2f}".replace("-", MINUS),
        cvd=DASH if cvd is None else short(cvd),
        event_time=DASH if event is None else format_utc(event),
    )


def _figure(label: str, value: str, name: str, css: str = "") -> Any:
    return html.Div(
        [html.Span(label, className="label"), html.Span(value, id=name, className=f"value {css}")],
        className="figure",
    )


def head(data: PageData) -> list[Any]:
    """Return the head line: instrument, figures, and the state of the run."""
    status = data.status.content
    state = run_state(data)
    figures = headline_figures(data)
    return [
        html.H1((status and status.instrument) or "Order flow"),
        _figure("Last", figures.last, "last", f"last {figures.trend}"),
        _figure("Spread", figures.spread, "spread"),
        _figure("OBI", figures.obi, "obi"),
        _figure("CVD", figures.cvd, "cvd"),
        _figure("Event time, UTC", figures.event_time, "event-time"),
        html.Div(_state_parts(state), className="state"),
    ]


def _state_parts(state: RunState) -> list[Any]:
    parts: list[Any] = [html.Span(state.label, id="badge", className=f"badge {state.tone}")]
    if state.progress is not None:
        percent = f"{min(1.0, max(0.0, state.progress)):.1%}"
        bar = html.Div(className="done", style={"width": percent})
        parts.append(html.Div(bar, className="progress", role="progressbar", title=percent))
    if state.detail:
        parts.append(html.Span(state.detail, id="state-detail"))
    return parts


def notes_strip(data: PageData) -> list[Any]:
    """Return the notes as elements, one line each."""
    return [
        html.Div(sentence, className=f"note {tone}")
        for tone, sentence in notes(data, run_state(data))
    ]


def _column(values: list[float]) -> list[str]:
    """Write a column of sizes with one number of decimals, as many as its largest leaves room."""
    whole = len(str(int(max(map(abs, values), default=0))))
    decimals = min(decimals_of(values), max(0, 9 - whole))
    return [fixed(value, decimals) for value in values]


def _ladder_side(levels: list[tuple[float, float]], side: str, decimals: int) -> list[Any]:
    shown = levels[:LADDER_LEVELS]
    sizes = [size for _, size in shown]
    largest = max(sizes, default=0) or 1
    rows = zip(shown, _column(sizes), _column(cumulative(shown)), strict=True)
    return [
        html.Tr(
            [html.Td(fixed(price, decimals)), html.Td(size), html.Td(total)],
            className=side,
            style={"backgroundSize": f"{level_size / largest:.1%} 100%"},
        )
        for (price, level_size), size, total in rows
    ]


def ladder(bars: Bars, depth: Depth) -> list[Any]:
    """Return the best levels, best first: asks (shown upwards), mid and spread, bids."""
    if not depth.bids and not depth.asks:
        return []
    decimals = price_decimals(bars, depth)
    titles = html.Tr([html.Th("Price"), html.Th("Size"), html.Th("Sum")])
    # Best first on both sides: the style sheet turns the asks over, and drops far rows whole
    # where there is no room for all.
    asks = _ladder_side(depth.asks, "ask", decimals)
    bids = _ladder_side(depth.bids, "bid", decimals)
    return [
        html.Table(html.Thead(titles)),
        html.Div(html.Table(html.Tbody(asks)), className="asks"),
        html.Div(mid_line(depth, decimals), className="mid", id="mid-line"),
        html.Div(html.Table(html.Tbody(bids)), className="bids"),
    ]


def mid_line(depth: Depth, decimals: int) -> str:
    """Return mid and spread in words, the spread also in basis points of the mid."""
    mid, spread = mid_of(depth), spread_of(depth)
    if mid is None or spread is None:
        return "no bids" if not depth.bids else "no asks"
    text = f"mid {fixed(mid, decimals_of([mid]))} · spread {fixed(spread, decimals)}"
    if abs(spread) <= abs(mid) != 0:  # else it is no share of the mid that could be read
        text += f" ({fixed(spread / mid * 10_000, 2)} bp)"
    return f"{text} · crossed" if spread <= 0 else text


def title(status: Status | None) -> str:
    """Return what the tab and a saved picture are called: the instrument and the range."""
    if status is None or not status.instrument:
        return "Order flow"
    if status.start is None or status.end is None:
        return status.instrument
    ends = [
        format_utc(moment).removesuffix(":00").removesuffix(" 00:00")
        for moment in (status.start, status.end)
    ]
    return f"{status.instrument} {ends[0]} to {ends[1]}"
