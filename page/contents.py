"""Check and convert what is in the files of a replay: bars, metrics, depth, status, data issues.

Pure: JSON values in, plain values out. What a parser accepts is bounded, in number, in length and
in size, so that whatever is computed from it is finite and small enough to send.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from itertools import chain, compress
from typing import Any

from orderflow.issues import DataIssue
from page import checks
from page.checks import FileContentError
from viz_io import MAX_BARS, STATES

MAX_LEVELS = 10_000
"""Most levels a side."""
MAX_COUNTS = 100
"""Most kinds of data issues in a status."""
MAX_ISSUES = 5_000
"""Most spans of data issues."""
MAX_FILES = 5_000
MAX_PATH = 4096
"""Longest path: no system has longer ones."""
ISSUES_SCHEMA = 1

# The places in a metric bar: four of OBI, four of TOT, which nothing draws, four of CVD.
OBI = slice(1, 5)
CVD_CLOSE = 12


@dataclass(frozen=True)
class Bars:
    """Hold OHLC bars as columns of equal length; `times` are window starts in ms, UTC."""

    times: list[int] = field(default_factory=list)
    opens: list[float] = field(default_factory=list)
    highs: list[float] = field(default_factory=list)
    lows: list[float] = field(default_factory=list)
    closes: list[float] = field(default_factory=list)
    volumes: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Metrics:
    """Hold metric bars as columns of equal length; `times` are window starts in ms, UTC.

    The OBI of a bar is None before the book had both sides, its CVD where the writer's bars have 5
    or 9 fields alone.
    """

    times: list[int] = field(default_factory=list)
    obi_opens: list[float | None] = field(default_factory=list)
    obi_highs: list[float | None] = field(default_factory=list)
    obi_lows: list[float | None] = field(default_factory=list)
    obi_closes: list[float | None] = field(default_factory=list)
    cvd_closes: list[float | None] = field(default_factory=list)


@dataclass(frozen=True)
class Depth:
    """Hold levels as (price, size), best first on each side."""

    bids: list[tuple[float, float]] = field(default_factory=list)
    asks: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Status:
    """Hold what a run says of itself; a field its writer left out is None or empty.

    `event_time`, `start`, `end` and `written` are ms, UTC; `seconds` is wall clock. `live`: a
    recording in progress is followed, and all that it has is shown but the last `behind_ms`.
    `control` is the last order that the run has done; None where it obeys none. `speed` is a
    number or "max". `stored`: it is no run, but what was kept of runs.
    """

    state: str
    instrument: str | None = None
    start: int | None = None
    end: int | None = None
    window_seconds: float | None = None
    depth_levels: int | None = None
    reason: str | None = None
    event_time: int | None = None
    progress: float | None = None
    rows: int | None = None
    trades: int | None = None
    rows_per_second: float | None = None
    seconds: float | None = None
    bars: int | None = None
    volume: float | None = None
    book_mode: str | None = None
    engine: str | None = None
    reliable: bool | None = None
    longest_silence_ms: int | None = None
    written: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    live: bool | None = None
    behind_ms: int | None = None
    newest_row_age_ms: int | None = None
    waiting_for: str | None = None
    recorder_losses: dict[str, int] = field(default_factory=dict)
    pid: int | None = None
    data_dir: str | None = None
    files: list[str] = field(default_factory=list)
    asked_book_mode: str | None = None
    uncross: bool | None = None
    follow: bool | None = None
    paused: bool | None = None
    speed: float | str | None = None
    seeking: int | None = None
    control: int | None = None
    stored: bool | None = None
    monitoring: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Issues:
    """Hold the spans of data issues, by their start, those of unknown time first."""

    spans: list[DataIssue] = field(default_factory=list)


def _rows(document: Any, fewest: int, what: str, check: Callable[[Any, str], None]) -> list[Any]:
    """Return the last `MAX_BARS` rows of `document`; `check` raises for a row that is no bar."""
    if not isinstance(document, list):
        raise FileContentError(
            f"it holds {checks.kind_of(document)}, not an array of {what}s", "shape"
        )
    first = max(0, len(document) - MAX_BARS)
    rows = document[first:]
    for index, row in enumerate(rows, first):
        if not isinstance(row, list) or len(row) < fewest:
            found = f"{len(row)} fields" if isinstance(row, list) else checks.kind_of(row)
            raise FileContentError(
                f"{what} {index} has {found}, at least {fewest} are needed", "shape"
            )
    if not _all_numbers(rows):
        for index, row in enumerate(rows, first):
            check(row, f"{what} {index}")
            checks.timestamp(row[0], f"the time of {what} {index}")
    return rows


def _all_numbers(rows: list[list[Any]]) -> bool:
    """Return whether no row needs a closer look: a few calls for 13,000 values, each refresh."""
    values = list(chain.from_iterable(rows))
    return not rows or (
        checks.NUMBERS.issuperset(map(type, values))
        and -checks.MAX_NUMBER <= min(values) <= max(values) <= checks.MAX_NUMBER
        and not math.isnan(sum(values))
        and min(row[0] for row in rows) >= 0
        and max(row[0] for row in rows) <= checks.MAX_TIMESTAMP_MS
    )


def parse_bars(document: Any) -> Bars:
    """Return the last 1000 OHLC bars of `[[ts, open, high, low, close, volume], …]`.

    Fields after the sixth are ignored: fields are only ever added at the end. Raise
    `FileContentError` at the first row that is no bar.
    """
    rows = _rows(document, 6, "bar", _check_bar)
    if not rows:
        return Bars()
    times, *columns = map(list, zip(*(row[:6] for row in rows), strict=True))
    return Bars([int(ts) for ts in times], *columns)


def _check_bar(row: list[Any], what: str) -> None:
    for number in row[:6]:
        checks.number(number, f"a value of {what}")


def parse_metrics(document: Any) -> Metrics:
    """Return the last 1000 metric bars, of 5 (OBI), 9 (and TOT) or 13 (and CVD) fields.

    Before the book's first sample OBI and TOT are null. Raise `FileContentError` at the first row
    that is no metric bar.
    """
    rows = _rows(document, 5, "metric bar", _check_metric_bar)
    if not rows:
        return Metrics()
    columns: list[list[Any]] = [[row[column] for row in rows] for column in range(1, 5)]
    columns.append([row[CVD_CLOSE] if len(row) > CVD_CLOSE else None for row in rows])
    return Metrics([int(row[0]) for row in rows], *columns)


def _check_metric_bar(row: list[Any], what: str) -> None:
    checks.number(row[0], f"the time of {what}")
    for number in row[1 : CVD_CLOSE + 1]:
        if number is not None:
            checks.number(number, f"a value of {what}")
    if 0 < row[OBI].count(None) < 4:
        raise FileContentError(
            f"the OBI of {what} is partly null; it has all four values or none", "shape"
        )


def parse_depth(document: Any) -> Depth:
    """Return the levels of `{"bids": [[price, size], …], "asks": …}`, in the file's order.

    Raise `FileContentError` where a side is missing or too long, or a level is no price and size.
    """
    if not isinstance(document, dict):
        raise FileContentError(f"it holds {checks.kind_of(document)}, not an object", "shape")
    return Depth(_side(document, "bids"), _side(document, "asks"))


def _side(document: dict[str, Any], side: str) -> list[tuple[float, float]]:
    levels = document.get(side)
    if not isinstance(levels, list):
        raise FileContentError(
            f"'{side}' holds {checks.kind_of(levels)}, not an array of levels", "shape"
        )
    checks.bounded(levels, MAX_LEVELS, f"'{side}'", "levels")
    for index, level in enumerate(levels):
        if not isinstance(level, list) or len(level) < 2:
            raise FileContentError(f"level {index} of '{side}' is no [price, size]", "shape")
        checks.number(level[0], f"a price of '{side}'")
        if checks.number(level[1], f"a size of '{side}'") < 0:
            raise FileContentError(f"a size of '{side}' is {level[1]}, less than 0", "shape")
    return [(level[0], level[1]) for level in levels]


_NUMBERS = ("window_seconds", "progress", "rows_per_second", "seconds", "volume")
_INTEGERS = (
    "depth_levels",
    "rows",
    "trades",
    "bars",
    "longest_silence_ms",
    "behind_ms",
    "newest_row_age_ms",
    "pid",
    "control",
)
_TIMES = ("start", "end", "event_time", "written", "seeking")
_TEXTS = ("instrument", "reason", "book_mode", "engine", "waiting_for", "asked_book_mode")


def parse_status(document: Any) -> Status:
    """Return the status object of a run; keys it does not know are left alone.

    Raise `FileContentError` when the state is none of `STATES` or a known key has a value of
    another type than the contract's.
    """
    if not isinstance(document, dict):
        raise FileContentError(f"it holds {checks.kind_of(document)}, not an object", "shape")
    state = document.get("state")
    if not isinstance(state, str) or state not in STATES:
        known = ", ".join(STATES)
        raise FileContentError(
            f"the state is {checks.short_form(state)}, not one of {known}", "shape"
        )
    found = {key: value for key, value in document.items() if value is not None}
    values: dict[str, Any] = {"state": state}
    for name in ("counts", "recorder_losses"):
        values[name] = _counts(found.get(name, {}), name)
    values |= {key: checks.number(found[key], f"'{key}'") for key in _NUMBERS if key in found}
    values |= {key: int(checks.number(found[key], f"'{key}'")) for key in _INTEGERS if key in found}
    values |= {key: checks.timestamp(found[key], f"'{key}'") for key in _TIMES if key in found}
    values |= {key: checks.text(found[key], f"'{key}'") for key in _TEXTS if key in found}
    if "data_dir" in found:  # a path that was cut would be another one
        values["data_dir"] = _path(found["data_dir"], "'data_dir'")
    if "files" in found:
        paths = checks.typed(found["files"], list, "'files'")
        checks.bounded(paths, MAX_FILES, "'files'", "paths")
        values["files"] = [_path(path, "'files'") for path in paths]
    if "speed" in found:
        is_max = found["speed"] == "max"
        values["speed"] = "max" if is_max else checks.number(found["speed"], "'speed'")
    for name in ("reliable", "live", "paused", "uncross", "follow", "stored"):
        if name in found:
            values[name] = checks.typed(found[name], bool, f"'{name}'")
    if "monitoring" in found:
        values["monitoring"] = _monitoring(found["monitoring"])
    return Status(**values)


def _monitoring(value: Any, depth: int = 3) -> dict[str, Any]:
    """Return numbers by name, some in objects of their own."""
    told = checks.typed(value, dict, "'monitoring'")
    checks.bounded(told, MAX_COUNTS, "'monitoring'", "names")
    return {
        checks.name(key, "a name in 'monitoring'"): _monitoring(found, depth - 1)
        if isinstance(found, dict) and depth > 1
        else None
        if found is None
        else checks.number(found, f"'{key:.60}' in 'monitoring'")
        for key, found in told.items()
    }


def _counts(value: Any, what: str) -> dict[str, int]:
    counts = checks.typed(value, dict, f"'{what}'")
    checks.bounded(counts, MAX_COUNTS, f"'{what}'", "kinds")
    return {
        checks.name(kind, f"a name in '{what}'"): int(checks.number(count, f"count '{kind:.60}'"))
        for kind, count in counts.items()
    }


def _path(value: Any, what: str) -> str:
    path = str(checks.typed(value, str, what))
    checks.bounded(path, MAX_PATH, what, "characters")
    return path


def parse_issues(document: Any) -> Issues:
    """Return the spans of `{"schema": 1, "issues": [{"kind", "start", "end", "count"}, …]}`.

    Raise `FileContentError` for another schema, or at the first that is no span.
    """
    if not isinstance(document, dict):
        raise FileContentError(f"it holds {checks.kind_of(document)}, not an object", "shape")
    if document.get("schema") != ISSUES_SCHEMA:
        found = checks.short_form(document.get("schema"))
        raise FileContentError(f"its schema is {found}, {ISSUES_SCHEMA} is read", "shape")
    issues = checks.typed(document.get("issues"), list, "'issues'")
    checks.bounded(issues, MAX_ISSUES, "'issues'", "entries")
    spans = [_issue(issue, f"issue {index}") for index, issue in enumerate(issues)]
    return Issues(sorted(spans, key=lambda span: -1 if span.start is None else span.start))


def _issue(value: Any, what: str) -> DataIssue:
    issue = checks.typed(value, dict, what)
    kind = checks.name(issue.get("kind"), f"the kind of {what}")
    count = int(checks.number(issue.get("count"), f"the count of {what}"))
    start, end = issue.get("start"), issue.get("end")
    if start is None and end is None:
        return DataIssue(kind, None, None, count)
    span = (
        checks.timestamp(start, f"the start of {what}"),
        checks.timestamp(end, f"the end of {what}"),
    )
    if span[0] > span[1]:
        raise FileContentError(f"{what} ends at {span[1]}, before it starts at {span[0]}", "shape")
    return DataIssue(kind, *span, count)


@dataclass(frozen=True)
class Shown:
    """Hold the bars of both files that lie in the time both cover.

    `start` is the first time shown where a full file may have dropped older bars, else None.
    """

    bars: Bars
    metrics: Metrics
    start: int | None = None


def common_range(bars: Bars, metrics: Metrics) -> Shown:
    """Return what of the two lies in the time that both files cover.

    Each file holds its last `MAX_BARS`, and a window without a trade has no OHLC bar: a full file
    starts where it dropped what was before, and the other is cut there.
    """
    full = [times[0] for times in (bars.times, metrics.times) if len(times) >= MAX_BARS]
    if not full:
        return Shown(bars, metrics)
    start = max(full)
    return Shown(_since(bars, start), _since(metrics, start), start)


def _since(columns: Any, start: int) -> Any:
    if not columns.times or columns.times[0] >= start:
        return columns
    kept = [time >= start for time in columns.times]
    cut = [list(compress(getattr(columns, column.name), kept)) for column in fields(columns)]
    return type(columns)(*cut)
