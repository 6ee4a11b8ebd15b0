"""Find which bars of the page data issues touch, and say there what happened.

Pure: spans of time in, at most `MAX_CELLS` marks out, however many spans there are.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from itertools import chain, islice, pairwise

from orderflow.issues import HARMLESS, LABELS, WITHOUT_NUMBER, DataIssue
from orderflow.times import format_duration, format_utc
from page.checks import MAX_TIMESTAMP_MS
from page.contents import Shown

MAX_CELLS = 2000
"""Most marks; where the time shown has more windows, several share one."""
MAX_TOLD = 4
"""Most spans that one mark tells of; it counts the rest."""
DEFAULT_WINDOW_MS = 60_000


@dataclass(frozen=True)
class Mark:
    """Hold what happened in one cell: `time` is the start of its window in ms, UTC."""

    time: int
    text: str
    harmless: bool


@dataclass(frozen=True)
class Grid:
    """Hold the cells of the time shown: `count` of them from `first` on, `step` ms each.

    A candle is drawn around the start of its window, so a cell of several windows is drawn `shift`
    ms later than its own start.
    """

    first: int = 0
    step: int = DEFAULT_WINDOW_MS
    count: int = 0
    shift: float = 0


def grid_of(shown: Shown, window_seconds: float | None) -> Grid:
    """Return the windows of the time shown, so that a mark stands where its candle does."""
    times = list(chain(shown.bars.times, shown.metrics.times))
    if not times:
        return Grid()
    first, last = min(times), max(times)
    window = _window_ms(times, window_seconds)
    windows = (last - first) // window + 1
    joined = -(-windows // MAX_CELLS)
    return Grid(first, window * joined, -(-windows // joined), window * (joined - 1) / 2)


def _window_ms(times: list[int], window_seconds: float | None) -> int:
    if window_seconds is not None and 1 <= window_seconds * 1000 <= MAX_TIMESTAMP_MS:
        return round(window_seconds * 1000)
    steps = [b - a for a, b in pairwise(sorted(set(times)))]
    return min(steps, default=DEFAULT_WINDOW_MS)


def marks(issues: Iterable[DataIssue], grid: Grid) -> list[Mark]:
    """Return a mark for each cell of `grid` that an issue touches, by time.

    What was lost is told before what was repeated. An issue of unknown time has no mark.
    """
    waiting = sorted(_placed(issues, grid), key=lambda span: span[0], reverse=True)
    ends: list[tuple[int, int]] = []
    # By number, in the order of their start: what was lost, and what was repeated.
    active: tuple[dict[int, DataIssue], dict[int, DataIssue]] = ({}, {})
    found = []
    for cell in range(grid.count):
        while waiting and waiting[-1][0] == cell:
            _, last, issue = waiting.pop()
            number = len(waiting)
            active[issue.kind in HARMLESS][number] = issue
            heapq.heappush(ends, (last, number))
        if not ends:
            continue
        time = grid.first + cell * grid.step
        found.append(Mark(time, _text(active, len(ends), time), harmless=not active[0]))
        while ends and ends[0][0] == cell:
            _, number = heapq.heappop(ends)
            active[0].pop(number, None)
            active[1].pop(number, None)
    return found


def _placed(issues: Iterable[DataIssue], grid: Grid) -> Iterable[tuple[int, int, DataIssue]]:
    """Give the first and last cell of every issue that lies in the grid."""
    for issue in issues:
        if issue.start is None or issue.end is None or not grid.count:
            continue
        first = max(0, (issue.start - grid.first) // grid.step)
        last = min(grid.count - 1, (issue.end - grid.first) // grid.step)
        if first <= last:
            yield first, last, issue


def _text(active: tuple[dict[int, DataIssue], ...], number: int, time: int) -> str:
    told = [describe_span(issue, time) for issue in islice(_all(active), MAX_TOLD)]
    if number > MAX_TOLD:
        told.append(f"and {number - MAX_TOLD:,} more")
    return "<br>".join(told)


def _all(active: tuple[dict[int, DataIssue], ...]) -> Iterable[DataIssue]:
    return chain.from_iterable(part.values() for part in active)


def describe_span(issue: DataIssue, near: int) -> str:
    """Say what happened, how often and when, in UTC; the date where it is not that of `near`.

    The text is markup to Plotly: what a file says is escaped.
    """
    words = LABELS.get(issue.kind) or escape(issue.kind.replace("_", " "), quote=False)
    if issue.kind not in WITHOUT_NUMBER:
        words += f": {issue.count:,}"
    if issue.start is None or issue.end is None:
        return f"{words} · time unknown"
    start, end = format_utc(issue.start), format_utc(issue.end)
    today = f"{format_utc(near)[:10]} "
    if start.startswith(today) and end.startswith(today):
        start, end = start.removeprefix(today), end.removeprefix(today)
    if start == end:
        return f"{words} · {start}"
    return f"{words} · {start} to {end} · {format_duration((issue.end - issue.start) / 1000)}"
