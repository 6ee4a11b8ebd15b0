"""Write what runs have kept into the files that the page draws, by the writers of a replay.

Results have bars and metrics; the book, the order flow and the data issues of the runs are not
among them.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import nan
from typing import Any

import orjson

from formats.results import (
    ALERTS,
    METRIC_VALUES,
    METRICS,
    OHLC,
    JoinedDays,
    Repository,
    Row,
    Stretch,
)
from metrics.bar_kinds import BarSpec
from metrics.metric_bars import FileParts, Values, bars_file, describe
from metrics.registry import MAX_METRICS, is_own, parse_metric
from metrics.rolling_bars import CompensatedSum
from orderflow.array_file import pack
from orderflow.errors import UsageError
from orderflow.times import parse_moment
from replay.bar_files import BarFiles
from replay.flow_files import FlowFiles
from replay.run_files import RunFiles
from replay.summary import SCHEMA
from viz_io import (
    ISSUES_FILE,
    MAX_ALERTS,
    MAX_BARS,
    METRIC_BARS_FILE,
    STATES,
    TRADING_FILE,
    TRADING_SCHEMA,
)

RUNNING, FINISHED, STOPPED, _ = STATES
MOST_CHARACTERS = 300
"""Of the text of an alert in the file, and of a strategy's name with its settings a fourth."""
MOST_STRATEGIES = 100
UNKNOWN = (nan,) * 6
"""What results do not say of a bar of trades: volume by side, extremes of the delta, VWAP."""
NO_ISSUES = {"schema": SCHEMA, "issues": list[object]()}


class StoredRun:
    """The bars kept of a stretch, as the files of a run over it.

    The CVD counts from the beginning of the stretch. One day at a time is in memory. `not_kept` are
    the days without anything, as times in ms.
    """

    def __init__(self, repository: Repository, stretch: Stretch, files: RunFiles) -> None:
        self._repository, self._stretch, self._files = repository, stretch, files
        self._names = FlowFiles(files, stretch.instrument).names
        window_ms = stretch.window_seconds * 1000
        self._bar_files = BarFiles(files, {"window_ms": window_ms, **self._names})
        self._joined = JoinedDays()
        self._ohlc: deque[Row] = deque(maxlen=MAX_BARS)
        self._samples: deque[Row] = deque(maxlen=MAX_BARS)
        self._measured = _Measured(BarSpec("time", stretch.window_seconds))
        self._alerts = _Alerts()
        self._bars, self._volume = 0, CompensatedSum()
        self._trades: int | None = 0
        self._began = time.monotonic()
        self._state = RUNNING
        self._progress = 0.0
        self.not_kept: list[int] = []

    def write(self, on_day: Callable[[float], bool] = lambda _: True) -> dict[str, Any]:
        """Write the files; return the status of the last one.

        `on_day` is told the share that is done, and returns whether to go on. Raise `ResultsError`.
        """
        self._files.clear(self._status(), NO_ISSUES)
        for path in (ISSUES_FILE, TRADING_FILE):  # not known, and of another run
            (self._files.directory / path.name).unlink(missing_ok=True)
        parts = self._stretch.days()
        for number, part in enumerate(parts, 1):
            self._add(part)
            self._progress = number / len(parts)
            if not on_day(self._progress):
                self._state = STOPPED
                break
        else:
            self._state = FINISHED
        return self._finish()

    def _add(self, part: Stretch) -> None:
        ohlc = self._repository.read(OHLC, part)
        samples = self._joined.join(self._repository.read(METRICS, part))
        if not ohlc and not samples:
            self.not_kept.append(part.start_ms)
        self._ohlc.extend(ohlc)
        self._samples.extend(samples)
        cvd = {row[0]: row[9:13] for row in samples}
        self._bar_files.add(  # they are kept together, if the run was not killed in between
            [(*row[:6], *UNKNOWN, *cvd[row[0]]) for row in ohlc if row[0] in cvd],
            [row[:9] for row in samples if row[1] is not None],
        )
        self._measured.add(self._repository.read(METRIC_VALUES, part), {r[0]: r for r in ohlc})
        self._alerts.add(self._repository.read(ALERTS, part))
        self._bars += len(ohlc)
        self._volume.add([row[5] for row in ohlc])
        counts = [row[6] for row in ohlc]
        is_known = self._trades is not None and None not in counts
        self._trades = (self._trades or 0) + sum(counts) if is_known else None

    def _finish(self) -> dict[str, Any]:
        if self._measured.fields:
            fields, arrays = self._measured.file()
            self._files.write_flow({METRIC_BARS_FILE.name: pack({**fields, **self._names}, arrays)})
        if self._alerts.count:
            document = self._alerts.document(self._stretch, self._last_start)
            self._files.write_flow({TRADING_FILE.name: orjson.dumps(document)})
        self._bar_files.write_rest()
        status = self._status()
        bars, samples = [row[:6] for row in self._ohlc], [row[:13] for row in self._samples]
        self._files.publish(bars, samples, ([], []), status, NO_ISSUES, durable=True)
        (self._files.directory / ISSUES_FILE.name).unlink(missing_ok=True)
        return status

    @property
    def _last_start(self) -> int | None:
        return max((rows[-1][0] for rows in (self._ohlc, self._samples) if rows), default=None)

    def _status(self) -> dict[str, Any]:
        """Return the status, as a replay's; what results do not say has no value."""
        stretch, last = self._stretch, self._samples[-1] if self._samples else None
        unknown = (
            *("reason", "first_event", "rows", "rows_per_second", "book_mode", "engine"),
            *("reliable", "longest_silence_ms", "counts", "unknown_sides", "recorder_losses"),
            *("unchecked", "behind_ms", "newest_row_age_ms", "waiting_for", "data_dir"),
            *("asked_book_mode", "uncross", "seeking", "control"),
        )
        return {
            "schema": SCHEMA,
            "instrument": stretch.instrument,
            "start": stretch.start_ms,
            "end": stretch.end_ms,
            "window_seconds": stretch.window_seconds,
            "depth_levels": last and last[13],
            "state": self._state,
            "event_time": self._last_start,
            "files": [],
            "bars": self._bars,
            "trades": self._trades,
            "volume": self._volume.value,
            "cvd": last[12] if last else 0.0,
            "seconds": time.monotonic() - self._began,
            "progress": self._progress,
            "written": int(time.time() * 1000),
            "pid": os.getpid(),
            "live": False,
            "follow": False,
            "paused": False,
            "speed": "max",
            "monitoring": self._files.monitoring(),
            "stored": True,
            "metric_bars": self._measured.count,
            "metrics": [*self._measured.shown],
            "metrics_left_out": self._measured.left_out,
            "alerts": self._alerts.count,
            **dict.fromkeys(unknown),
        }


class _Measured:
    """The newest bars with the metrics that were kept of them, whichever those are."""

    def __init__(self, spec: BarSpec) -> None:
        self._spec = spec
        self._bars: deque[tuple[int, Row | None, dict[str, dict[str, float | None]]]] = deque(
            maxlen=MAX_BARS
        )
        self.fields: dict[str, list[str]] = {}
        self.count = 0

    def add(self, rows: Sequence[Row], prices: Mapping[int, Row]) -> None:
        """Add the values of a day, in time order."""
        values: dict[str, dict[str, float | None]] = {}
        at = None
        for start, asked, name, value in rows:
            if start != at:
                at, values = start, {}
                self._bars.append((start, prices.get(start), values))
                self.count += 1
            values.setdefault(asked, {})[name] = value
            known = self.fields.setdefault(asked, [])
            if name not in known:
                known.append(name)

    @property
    def shown(self) -> list[str]:
        """Return the metrics that the file has: no more than it may."""
        return [*self.fields][:MAX_METRICS]

    @property
    def left_out(self) -> int:
        """Count the others."""
        return len(self.fields) - len(self.shown)

    def file(self) -> FileParts:
        """Return the fields and arrays of the file."""
        described = [_described(asked, self.fields[asked]) for asked in self.shown]
        bars = []
        for start, row, values in self._bars:
            prices = [nan, nan, nan, nan, 0.0, 0.0] if row is None else _numbers(row[1:7])
            found: Values = [[*prices, nan, nan]]
            for told in described:
                of_metric = values.get(told["asked"], {})
                found.append(_numbers([of_metric.get(name) for name in told["fields"]]))
            bars.append((start, found))
        return bars_file(self._spec, bars, described)


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [nan if value is None else value for value in values]


def _described(asked: str, fields: list[str]) -> dict[str, Any]:
    """Return what the file says of a metric; of one's own no more than was kept of it.

    To know more, its module would have to be imported, which a directory of results may not cause.
    """
    if not is_own(asked):
        try:
            spec = parse_metric(asked, partial(parse_moment, "anchor"))
        except UsageError:  # of another version, which took other parameters
            pass
        else:
            return describe(spec.make(), spec)
    unknown = {"formula": "", "unit": "", "source": "", "parameters": {}}
    return {"asked": asked, "name": asked, "fields": fields, **unknown}


class _Alerts:
    """The newest alerts of strategies that have decided on the bars."""

    def __init__(self) -> None:
        self._newest: deque[Row] = deque(maxlen=MAX_ALERTS)
        self._strategies: set[tuple[str, str, str]] = set()
        self.count = 0

    def add(self, rows: Sequence[Row]) -> None:
        """Add the alerts of a day."""
        self._newest.extend(rows)
        self._strategies.update(row[1:4] for row in rows)
        self.count += len(rows)

    def document(self, stretch: Stretch, event_time: int | None) -> dict[str, Any]:
        """Return what the file of a trading run has: alerts, and no orders."""
        labels = {each: self._label(each) for each in self._strategies}
        return {
            "schema": TRADING_SCHEMA,
            "instrument": stretch.instrument,
            "bar_seconds": stretch.window_seconds,
            "strategies": sorted({*labels.values()})[:MOST_STRATEGIES],
            "executes": False,
            "state": FINISHED,
            "written": int(time.time() * 1000),
            "event_time": event_time,
            "alert_count": self.count,
            "alerts": [
                {
                    "time_ms": row[5],
                    "strategy": labels[row[1:4]],
                    "text": _cut(row[6], MOST_CHARACTERS),
                    "price": row[7],
                }
                for row in self._newest
            ],
        }

    def _label(self, strategy: tuple[str, str, str]) -> str:
        """Return a strategy's name, with its settings where it is not the only one."""
        name, kind, settings = strategy
        if sum(other[0] == name for other in self._strategies) == 1:
            return name
        given = ", ".join(f"{key}={value}" for key, value in orjson.loads(settings).items())
        return _cut(f"{name} ({kind} {given})", MOST_CHARACTERS // 4)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def has_anything(repository: Repository, stretch: Stretch) -> bool:
    """Return whether anything of a stretch is kept. Raise `ResultsError`."""
    return any(
        repository.read(METRICS, part) or repository.read(OHLC, part) for part in stretch.days()
    )
