"""Read and check the files a replay writes, for the page.

Everything the page knows comes through here: four JSON files that another process replaces at
any moment. A file that is missing, torn or not what it should be never takes away what was read
from it before; it is reported as a problem beside the last good content. Only the page's process
reads through this module, and it never writes.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson

from orderflow.errors import OrderflowError

log = logging.getLogger("page")

OHLC_NAME = "ohlc_data.json"
DEPTH_NAME = "depth_data.json"
METRICS_NAME = "metrics_data.json"
STATUS_NAME = "status_data.json"

MAX_BARS = 1000
MAX_FILE_BYTES = 16 * 1024 * 1024
STALE_AFTER_SECONDS = 5.0
STATES = ("running", "finished", "stopped", "failed")
# The end of the year 9999: beyond it there is no date to show.
MAX_TIMESTAMP_MS = 253_402_300_799_999

# Places in a metric bar: what a shorter bar does not reach is not known.
TOTAL_CLOSE = 8
CVD_OPEN = 9

NUMBERS = frozenset({int, float})
Content = TypeVar("Content")


class FileContentError(OrderflowError):
    """Report a file that is no content of the page: `kind` tells the ways apart in the log."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


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

    `totals` and `cvd_*` hold None where the writer's bars have 5 or 9 fields alone.
    """

    times: list[int] = field(default_factory=list)
    obi_opens: list[float] = field(default_factory=list)
    obi_highs: list[float] = field(default_factory=list)
    obi_lows: list[float] = field(default_factory=list)
    obi_closes: list[float] = field(default_factory=list)
    totals: list[float | None] = field(default_factory=list)
    cvd_opens: list[float | None] = field(default_factory=list)
    cvd_highs: list[float | None] = field(default_factory=list)
    cvd_lows: list[float | None] = field(default_factory=list)
    cvd_closes: list[float | None] = field(default_factory=list)


@dataclass(frozen=True)
class Depth:
    """Hold levels as (price, size), best first on each side."""

    bids: list[tuple[float, float]] = field(default_factory=list)
    asks: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Status:
    """Hold what a run says of itself; a field its writer left out is None or empty.

    `event_time`, `start`, `end` and `written` are ms, UTC; `seconds` is wall clock.
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


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise FileContentError(f"{what} is {value!r:.60}, not a finite number", "shape")
    return value


def _timestamp(value: Any, what: str) -> int:
    number = _number(value, what)
    if not 0 <= number <= MAX_TIMESTAMP_MS:
        raise FileContentError(
            f"{what} is {value!r:.60}, not a time in ms from 0 to {MAX_TIMESTAMP_MS}", "shape"
        )
    return int(number)


def _rows(document: Any, fewest: int, what: str) -> list[list[float]]:
    """Return the last `MAX_BARS` rows of `document`, each checked to be numbers alone."""
    if not isinstance(document, list):
        raise FileContentError(f"it holds {_kind(document)}, not an array of {what}s", "shape")
    first = max(0, len(document) - MAX_BARS)
    for index, row in enumerate(document[first:], first):
        if not isinstance(row, list) or len(row) < fewest:
            found = f"{len(row)} fields" if isinstance(row, list) else _kind(row)
            raise FileContentError(
                f"{what} {index} has {found}, at least {fewest} are needed", "shape"
            )
        # One call for a good row: these run a few thousand times for each refresh of 1000 bars.
        if not (NUMBERS.issuperset(map(type, row)) and all(map(math.isfinite, row))):
            for number in row:
                _number(number, f"a value of {what} {index}")
        if not 0 <= row[0] <= MAX_TIMESTAMP_MS:
            _timestamp(row[0], f"the time of {what} {index}")
    return document[first:]


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "text", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")


def parse_bars(document: Any) -> Bars:
    """Return the last 1000 OHLC bars of `[[ts, open, high, low, close, volume], …]`.

    Fields after the sixth are ignored: fields are only ever added at the end. Raise
    `FileContentError` at the first row that is no bar.
    """
    rows = _rows(document, 6, "bar")
    if not rows:
        return Bars()
    times, *columns = map(list, zip(*(row[:6] for row in rows), strict=True))
    return Bars([int(ts) for ts in times], *columns)


def parse_metrics(document: Any) -> Metrics:
    """Return the last 1000 metric bars, of 5 (OBI), 9 (and TOT) or 13 (and CVD) fields.

    Raise `FileContentError` at the first row that is no metric bar.
    """
    rows = _rows(document, 5, "metric bar")
    if not rows:
        return Metrics()
    obi: list[list[Any]] = [[row[column] for row in rows] for column in range(1, 5)]
    later: list[list[Any]] = [
        [row[column] if len(row) > column else None for row in rows]
        for column in (TOTAL_CLOSE, *range(CVD_OPEN, CVD_OPEN + 4))
    ]
    return Metrics([int(row[0]) for row in rows], *obi, *later)


def parse_depth(document: Any) -> Depth:
    """Return the levels of `{"bids": [[price, size], …], "asks": …}`, in the file's order.

    Raise `FileContentError` where a side is missing or a level is no pair of numbers.
    """
    if not isinstance(document, dict):
        raise FileContentError(f"it holds {_kind(document)}, not an object", "shape")
    return Depth(_side(document, "bids"), _side(document, "asks"))


def _side(document: dict[str, Any], side: str) -> list[tuple[float, float]]:
    levels = document.get(side)
    if not isinstance(levels, list):
        raise FileContentError(f"'{side}' holds {_kind(levels)}, not an array of levels", "shape")
    for index, level in enumerate(levels):
        if not isinstance(level, list) or len(level) < 2:
            raise FileContentError(f"level {index} of '{side}' is no [price, size]", "shape")
        _number(level[0], f"a price of '{side}'")
        _number(level[1], f"a size of '{side}'")
    return [(level[0], level[1]) for level in levels]


_NUMBERS = ("window_seconds", "progress", "rows_per_second", "seconds", "volume")
_INTEGERS = ("depth_levels", "rows", "trades", "bars", "longest_silence_ms")
_TIMES = ("start", "end", "event_time", "written")
_TEXTS = ("instrument", "reason", "book_mode", "engine")


def parse_status(document: Any) -> Status:
    """Return the status object of a run; keys it does not know are left alone.

    Raise `FileContentError` when the state is none of `STATES` or a known key has a value of
    another type than the contract's.
    """
    if not isinstance(document, dict):
        raise FileContentError(f"it holds {_kind(document)}, not an object", "shape")
    state = document.get("state")
    if state not in STATES:
        known = ", ".join(STATES)
        raise FileContentError(f"the state is {state!r:.60}, not one of {known}", "shape")
    found = {key: value for key, value in document.items() if value is not None}
    values: dict[str, Any] = {"state": state, "counts": _counts(found.get("counts", {}))}
    values |= {key: _number(found[key], f"'{key}'") for key in _NUMBERS if key in found}
    values |= {key: int(_number(found[key], f"'{key}'")) for key in _INTEGERS if key in found}
    values |= {key: _timestamp(found[key], f"'{key}'") for key in _TIMES if key in found}
    values |= {key: _typed(found[key], str, f"'{key}'") for key in _TEXTS if key in found}
    if "reliable" in found:
        values["reliable"] = _typed(found["reliable"], bool, "'reliable'")
    return Status(**values)


def _typed(value: Any, kind: type, what: str) -> Any:
    if not isinstance(value, kind):
        raise FileContentError(f"{what} holds {_kind(value)}", "shape")
    return value


def _counts(value: Any) -> dict[str, int]:
    counts = _typed(value, dict, "'counts'")
    return {str(name): int(_number(count, f"count '{name}'")) for name, count in counts.items()}


@dataclass(frozen=True)
class Reading(Generic[Content]):
    """Hold what is known of one file at one data.

    `content` is the last good content, None before the first; `version` names it, "" before the
    first; `modified` is the file's time in s since the epoch; `problem` says in words why the
    newest file could not be used, None when it could; `missing` is True while there is no file.
    """

    content: Content | None = None
    version: str = ""
    modified: float = 0.0
    problem: str | None = None
    missing: bool = True


class WatchedFile(Generic[Content]):
    """Keep the last good content of one file, reading it again when it was replaced."""

    def __init__(self, path: Path, parse: Callable[[Any], Content]) -> None:
        self._path = path
        self._parse = parse
        self._seen: tuple[int, int, int] | None = None
        self._warned: set[str] = set()
        self._reading: Reading[Content] = Reading()

    def refresh(self) -> Reading[Content]:
        """Return the newest reading; read the file when inode, mtime or size have changed.

        A problem is logged once per kind for the life of the process, not once per data.
        """
        try:
            found = self._path.stat()
            signature = (found.st_ino, found.st_mtime_ns, found.st_size)
            if signature != self._seen:
                self._seen = signature
                self._reading = self._read()
        except FileNotFoundError:
            self._lose(None, missing=True)
        except OSError as error:
            self._lose(error.strerror or type(error).__name__, "access")
        except FileContentError as error:
            self._lose(str(error), error.kind)
        return self._reading

    def _read(self) -> Reading[Content]:
        with self._path.open("rb") as file:
            found = os.fstat(file.fileno())
            raw = file.read(MAX_FILE_BYTES + 1)
        # What was opened may be newer than what was looked at: the name is that of what was read.
        signature = (found.st_ino, found.st_mtime_ns, found.st_size)
        self._seen = signature
        if len(raw) > MAX_FILE_BYTES:
            raise FileContentError(
                f"it has {found.st_size:,} bytes, at most {MAX_FILE_BYTES:,} are read", "size"
            )
        try:
            content = self._parse(orjson.loads(raw))
        except orjson.JSONDecodeError as error:
            raise FileContentError(f"it is not JSON ({error})", "json") from error
        digest = hashlib.blake2s(repr(signature).encode(), digest_size=3).hexdigest()
        return Reading(content, digest, found.st_mtime, missing=False)

    def _lose(self, problem: str | None, kind: str = "", *, missing: bool = False) -> None:
        """Keep the last good content beside what is wrong now."""
        if missing:
            self._seen = None
        before = self._reading
        self._reading = Reading(before.content, before.version, before.modified, problem, missing)
        if missing and before.content is None:
            return  # nothing was here yet: a page without data is no fault
        kind = "missing" if missing else kind
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning(
                "%s: %s; the last good content stays", self._path.name, problem or "it is gone"
            )


@dataclass(frozen=True)
class PageData:
    """Hold what one refresh found in all four files."""

    bars: Reading[Bars]
    metrics: Reading[Metrics]
    depth: Reading[Depth]
    status: Reading[Status]
    stale: bool = False

    def problems(self) -> list[tuple[str, str, bool]]:
        """Return (name, what is wrong, whether a good content stays) of each file in trouble."""
        readings = (
            (OHLC_NAME, self.bars),
            (METRICS_NAME, self.metrics),
            (DEPTH_NAME, self.depth),
            (STATUS_NAME, self.status),
        )
        return [
            (name, reading.problem, reading.content is not None)
            for name, reading in readings
            if reading.problem
        ]


class PageFiles:
    """Watch the four files of one output directory, which need not exist yet."""

    def __init__(self, directory: Path) -> None:
        self._bars = WatchedFile(directory / OHLC_NAME, parse_bars)
        self._metrics = WatchedFile(directory / METRICS_NAME, parse_metrics)
        self._depth = WatchedFile(directory / DEPTH_NAME, parse_depth)
        self._status = WatchedFile(directory / STATUS_NAME, parse_status)

    def refresh(self) -> PageData:
        """Return the newest readings; a running run is stale when its status is over 5 s old.

        Age is the file's own time against this machine's clock. Not safe for several threads at
        once: the caller holds a lock.
        """
        status = self._status.refresh()
        running = status.content is not None and status.content.state == "running"
        stale = running and time.time() - status.modified > STALE_AFTER_SECONDS
        return PageData(
            self._bars.refresh(), self._metrics.refresh(), self._depth.refresh(), status, stale
        )
