"""Make the bars of any part of a run: from the files of all bars, and the newest from the others.

Where more bars are asked for than can be drawn, as many neighbours as need be are joined into one,
as a longer window would have them: nothing is left out.
"""

from __future__ import annotations

import math
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from orderflow.array_file import Array, pack
from orderflow.meter import Meter
from page.bar_files import BarFile, Found
from page.contents import Bars, Metrics
from page.files import PageData
from viz_io import BOOK_BARS_FILE, MAX_BARS, TRADE_BARS_FILE

PRICES = ("open", "high", "low", "close", "volume")
CVD = "cvd_close"
SIDES = ("buy", "sell", "other", "min_delta", "max_delta", "vwap", CVD)
OBI = ("obi_open", "obi_high", "obi_low", "obi_close")
MAX_ANSWERS = 16
DEFAULT_WINDOW_MS = 60_000

Columns = dict[str, list[float]]
Join = Callable[[Sequence[float]], float]


@dataclass(frozen=True)
class Question:
    """Ask for the bars in `[low, high)`, ms, in at most `most` pieces."""

    low: int
    high: int
    most: int = MAX_BARS


class BusyError(Exception):
    """Report that a question has to be asked again in a moment."""


class BarRanges:
    """Answer for parts of the run in a directory; safe for several threads."""

    def __init__(self, directory: Path) -> None:
        self._trades = BarFile(
            directory / TRADE_BARS_FILE.name,
            "trade_bars",
            ("time", *PRICES, *SIDES),
            unknown=SIDES[:-1],  # of kept results
        )
        self._book = BarFile(directory / BOOK_BARS_FILE.name, "book_bars", ("time", *OBI))
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(2)
        self._read_meter, self._meter = Meter(), Meter()
        self._answers: dict[object, bytes | None] = {}

    def problems(self) -> list[tuple[str, str, bool]]:
        """Return (name, what is wrong, True) of each file that a question had trouble with."""
        files = ((TRADE_BARS_FILE, self._trades), (BOOK_BARS_FILE, self._book))
        return [(path.name, file.problem, True) for path, file in files if file.problem]

    def monitoring(self) -> dict[str, Any]:
        """Return what reading and joining has cost: as `read` of the files, `parse` of answers."""
        if not self._meter.count:
            return {}
        torn = self._trades.refused + self._book.refused
        read, made = self._read_meter.document(), self._meter.document()
        return {"all bars": {"read": read, "parse": made, "refused": torn}}

    def answer(self, asked: Question, data: PageData | None) -> bytes | None:
        """Return the bars asked for as an array file; None where the run has no files of all.

        Raise `BusyError` while as many others are being answered as may be.
        """
        newest = _newest_bars(asked, data)
        has_newest = newest != (Bars(), Metrics())
        versions = (data.bars.version, data.metrics.version) if data and has_newest else ()
        key = asked, versions, self._trades.signature(), self._book.signature()
        if key in self._answers:
            return self._answers[key]
        # Of the threads that serve the page one may read, and one wait for it.
        if not self._places.acquire(blocking=False):
            raise BusyError
        try:
            with self._lock:
                if key not in self._answers:
                    with self._meter.measuring(0):
                        made = self._made(asked, data)
                    kept = {} if len(self._answers) >= MAX_ANSWERS else self._answers
                    self._answers = kept | {key: made}
                return self._answers[key]
        finally:
            self._places.release()

    def _made(self, asked: Question, data: PageData | None) -> bytes | None:
        sizes = [
            signature[2] for file in (self._trades, self._book) if (signature := file.signature())
        ]
        with self._read_meter.measuring(sum(sizes)):
            trades = self._trades.read(asked.low, asked.high)
            book = self._book.read(asked.low, asked.high)
        if not trades.header and not book.header:
            return None
        if trades.header and book.header and trades.header["run"] != book.header["run"]:
            book = Found()  # of the run before
        return answer_of(asked, trades, book, *_newest_bars(asked, data))


def _newest_bars(asked: Question, data: PageData | None) -> tuple[Bars, Metrics]:
    """Return what the JSON files hold, where any of it may be asked for."""
    bars = data.bars.content if data else None
    metrics = data.metrics.content if data else None
    first = min(
        chain(bars.times[:1] if bars else (), metrics.times[:1] if metrics else ()), default=0
    )
    # Before the newest thousand, all is in the files of all bars.
    if asked.high <= first:
        return Bars(), Metrics()
    return bars or Bars(), metrics or Metrics()


def answer_of(asked: Question, trades: Found, book: Found, bars: Bars, metrics: Metrics) -> bytes:
    """Return the bars asked for, given what the files of all bars and the newest bars hold."""
    header = trades.header or book.header
    window = header.get("window_ms")
    window_ms = window if isinstance(window, int) and window >= 1000 else DEFAULT_WINDOW_MS
    traded, told = traded_bars(trades, bars), metric_rows(trades, book, bars, metrics)
    starts = [part["time"][0] for part in (traded, told) if part["time"]]
    ends = [part["time"][-1] for part in (traded, told) if part["time"]]
    # What was read of the files begins where a block begins; where the tail was cut, later.
    cut = max((part.times[0] for part in (trades, book) if part.is_cut), default=0)
    low = max(asked.low, int(cut))
    traded, told = _between(traded, low, asked.high), _between(told, low, asked.high)
    joined = _joined_windows((traded["time"], told["time"]), window_ms, asked.most)
    firsts = [first for first in (trades.first, book.first, *starts) if first is not None]
    fields = {
        "kind": "range",
        "run": str(header.get("run"))[:200],
        "window_ms": window_ms,
        "joined": joined,
        "from": low,
        "to": asked.high,
        "begin": int(min(firsts, default=0)),
        "end": int(max(ends, default=0)) + window_ms,
        "bars": len(traded["time"]),
        "total": trades.total + sum(time > trades.last for time in bars.times),
    }
    step = window_ms * joined
    arrays = _arrays(_in_windows(traded, step, TRADE_JOINS), "")
    arrays |= _arrays(_in_windows(told, step, METRIC_JOINS), "metric_")
    return pack(fields, arrays)


def _last(found: Found) -> float:
    return found.times[-1] if found.times else -1


def traded_bars(found: Found, bars: Bars) -> Columns:
    """Return bars of trades: those of the file, and the newest, whose sides are not known here."""
    names = ("time", *PRICES, *SIDES)
    columns: dict[str, list[float]] = {n: list(found.columns.get(n, ())) for n in names}
    newer = bisect_right(bars.times, _last(found))
    lists: tuple[Sequence[float], ...] = (
        bars.times,
        bars.opens,
        bars.highs,
        bars.lows,
        bars.closes,
        bars.volumes,
    )
    for name, values in zip(("time", *PRICES), lists, strict=True):
        columns[name] += values[newer:]
    for name in SIDES:
        columns[name] += [math.nan] * (len(bars.times) - newer)
    return columns


def metric_rows(trades: Found, book: Found, bars: Bars, metrics: Metrics) -> Columns:
    """Return OBI and CVD for every window of either; what is missing stays at its last close.

    Before the first sample the OBI is no number, and so is the CVD before the first trade read.
    Neither are those of bars that fill no block yet and are older than the newest thousand.
    """
    obi: dict[float, Sequence[float]] = {}
    if book.times:
        obi = dict(zip(book.times, zip(*(book.columns[n] for n in OBI), strict=True), strict=True))
    cvd = dict(zip(trades.times, trades.columns.get(CVD, ()), strict=True))
    newest = zip(
        metrics.times,
        zip(
            metrics.obi_opens,
            metrics.obi_highs,
            metrics.obi_lows,
            metrics.obi_closes,
            strict=True,
        ),
        metrics.cvd_closes,
        strict=True,
    )
    last_book, last_trade = _last(book), _last(trades)
    for time, sample, close in newest:
        if time > last_book and None not in sample:
            obi[time] = sample  # type: ignore[assignment]  # None was looked for
        if time > last_trade and close is not None:
            cvd[time] = close
    columns: Columns = {name: [] for name in ("time", *OBI, "cvd")}
    unknown: Sequence[float] = (math.nan,) * 4
    shown, total = unknown, math.nan
    told = metrics.times[0] if metrics.times else math.inf
    untold = {time for time in bars.times if trades.last < time < told}
    for start in sorted(obi.keys() | cvd.keys() | untold):
        if start in untold:
            total = math.nan
        if book.last < start < told and not book.is_ended:
            shown = unknown
        shown, total = obi.get(start) or [shown[3]] * 4, cvd.get(start, total)
        for name, value in zip(("time", *OBI, "cvd"), (start, *shown, total), strict=True):
            columns[name].append(value)
    return columns


def _between(columns: Columns, low: int, high: int) -> Columns:
    start, stop = (bisect_left(columns["time"], time) for time in (low, high))
    return {name: values[start:stop] for name, values in columns.items()}


def _joined_windows(times: Sequence[Sequence[float]], window_ms: int, most: int) -> int:
    """Return how many windows become one, so that there are at most `most`.

    It is 1, 2, 5, 10, 20 and so on.
    """
    joined, place = 1, 0
    while any(
        len(one) > most and len({int(time) // (window_ms * joined) for time in one}) > most
        for one in times
    ):
        joined = (1, 2, 5)[(place := place + 1) % 3] * 10 ** (place // 3)
    return joined


def _first(values: Sequence[float]) -> float:
    return values[0]


def _newest(values: Sequence[float]) -> float:
    return values[-1]


def _of_known(join: Join) -> Join:
    """Return `join` of the values that are numbers: before the first sample there is none."""
    return lambda values: join([v for v in values if not math.isnan(v)] or values)


TRADE_JOINS: dict[str, Join] = {
    "open": _first,
    "high": max,
    "low": min,
    "close": _newest,
    "volume": math.fsum,
    "buy": math.fsum,
    "sell": math.fsum,
    "other": math.fsum,
    "vwap": _newest,
    CVD: _newest,
}
METRIC_JOINS: dict[str, Join] = {
    "obi_open": _of_known(_first),
    "obi_high": _of_known(max),
    "obi_low": _of_known(min),
    "obi_close": _newest,
    "cvd": _newest,
}


def _in_windows(columns: Columns, step: int, joins: Mapping[str, Join]) -> Columns:
    """Return one bar for each window of `step` ms that has any."""
    times = columns["time"]
    starts = [
        place
        for place, time in enumerate(times)
        if not place or int(time) // step != int(times[place - 1]) // step
    ]
    parts = list(pairwise([*starts, len(times)]))
    made: Columns = {"time": [times[start] // step * step for start, _ in parts]}
    for name, join in joins.items():
        values = columns[name]
        made[name] = [
            values[start] if stop == start + 1 else join(values[start:stop])
            for start, stop in parts
        ]
    if "min_delta" in columns:
        made |= _deltas(columns, parts)
    return made


def _deltas(columns: Columns, parts: Sequence[tuple[int, int]]) -> Columns:
    """Return the extremes of the running delta of joined bars, which begins at 0."""
    least, most = [], []
    for start, stop in parts:
        delta, low, high = 0.0, math.inf, -math.inf
        for place in range(start, stop):
            low = min(low, delta + columns["min_delta"][place])
            high = max(high, delta + columns["max_delta"][place])
            delta += columns["buy"][place] - columns["sell"][place]
        if stop == start + 1:
            low, high = columns["min_delta"][start], columns["max_delta"][start]
        is_known = not math.isnan(delta)
        least.append(low if is_known else math.nan)
        most.append(high if is_known else math.nan)
    return {"min_delta": least, "max_delta": most}


def _arrays(columns: Columns, prefix: str) -> dict[str, Array]:
    return {
        prefix + name: Array("float64", [len(values)], array("d", values).tobytes())
        for name, values in columns.items()
    }
