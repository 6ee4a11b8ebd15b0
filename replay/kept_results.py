"""Keep the bars and metrics of a run: gather them by UTC day and write them into repositories.

What is kept of a day is what a run over that day alone makes, so that it does not matter in how
many pieces a year is replayed: the CVD begins at 0 each day, and OBI and TOT have no value before
the day's first sample.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path

from formats.parquet_results import ParquetResults
from formats.results import (
    DATABASE_NAME,
    DAY_MS,
    METRIC_VALUES,
    METRICS,
    OHLC,
    Repository,
    ResultsError,
    ResultTable,
    Row,
    Stretch,
    check_window,
)
from formats.results_database import DatabaseResults
from metrics.bar_kinds import BarSpec
from metrics.metric_bars import MetricBars
from metrics.registry import MetricSpec
from metrics.rolling_bars import Bar
from metrics_calculator import join_metric_bars
from ohlc_processor import OHLCProcessor
from orderflow.errors import UsageError

PATIENCE_MS = 3_600_000
"""A day is written when book rows have come so far into the next: trades may be behind them."""


def repositories(directory: Path) -> list[Repository]:
    """Return what a run keeps its results in. Raise `OrderflowError` without pyarrow.

    The database is the first: where a run is killed in between, a batch knows by it which days are
    not what they were.
    """
    return [DatabaseResults(directory / DATABASE_NAME), ParquetResults(directory)]


class KeptResults:
    """The results of a run over `whole`, written day by day into `into`.

    What cannot be written is kept and tried again with the next day, and at the end; `failure` says
    what went wrong at the last try. The metrics `asked` for are kept too where their `bars` are of
    time. Raise `UsageError` for a range that has windows in part.
    """

    def __init__(
        self,
        whole: Stretch,
        depth_levels: int,
        into: Sequence[Repository],
        bars: BarSpec | None = None,
        asked: Sequence[MetricSpec] = (),
    ) -> None:
        self._whole, self._depth_levels, self._into = whole, depth_levels, into
        self._asked = asked if bars is None or bars.kind == "time" else ()
        self._asked_window = int(bars.size) if bars and self._asked else whole.window_seconds
        for window in (whole.window_seconds, self._asked_window):
            if why := check_window(window, whole.start_ms, whole.end_ms):
                raise UsageError(why, "--results")
        self.failure: ResultsError | None = None
        self.begin_anew()

    def rename(self, instrument: str) -> None:
        """Keep results under the recorded name: the one asked for may be in another case."""
        self._whole = replace(self._whole, instrument=instrument)

    def begin_anew(self) -> None:
        """Forget what was gathered: the next bars are the first of the run."""
        self._reached = self._whole.start_ms
        self._waiting: list[tuple[Stretch, dict[ResultTable, list[Row]]]] = []

    def add(self, processor: OHLCProcessor, *, is_in_step: bool = True) -> None:
        """Write the days that are over, as far as can be known by the last row.

        Unless `is_in_step`, which is that all trades before that row were processed, the last trade
        has to be as far.
        """
        reached = _reached_by(processor, is_in_step=is_in_step, of_rows=True)
        until = (reached - PATIENCE_MS) // DAY_MS * DAY_MS
        if until > self._reached:
            self._take(processor, until)
            self._write()

    def finish(self, processor: OHLCProcessor, *, is_whole: bool, is_in_step: bool = True) -> None:
        """Write what is left of a run at its end.

        Of one that is not whole, the windows before the one in which it ended: it says nothing of
        what comes after. `is_in_step` is as for `add`.
        """
        until = self._whole.end_ms
        if not is_whole:
            window_ms = self._whole.window_seconds * 1000
            reached = _reached_by(processor, is_in_step=is_in_step, of_rows=False)
            until = reached // window_ms * window_ms
        if until > self._reached:
            self._take(processor, until)
        self._write()

    def add_sampled(self, processor: OHLCProcessor, bars: Sequence[Bar]) -> None:
        """Take bars of book samples that other processes have made."""
        processor.metrics.samples.kept = list(bars)

    def _take(self, processor: OHLCProcessor, until: int) -> None:
        ohlc, sampled, cvd = (_by_day(bars) for bars in processor.take_kept(until))
        whole = self._whole
        stretch = Stretch(whole.instrument, whole.window_seconds, self._reached, until)
        for part in stretch.days():
            day = part.start_ms // DAY_MS
            metrics = join_metric_bars(sampled.get(day, []), cvd.get(day, []))
            rows: dict[ResultTable, list[Row]] = {
                OHLC: [tuple(bar) for bar in ohlc.get(day, [])],
                METRICS: [(*bar, self._depth_levels) for bar in metrics],
            }
            self._waiting.append((part, rows))
        if self._asked and processor.measured:
            self._take_asked(processor.measured, until)
        self._reached = until

    def _take_asked(self, measured: MetricBars, until: int) -> None:
        window = self._asked_window
        until -= until % (window * 1000)  # of a run that has ended in the middle of one
        begin = self._reached - self._reached % (window * 1000)
        bars = measured.take_kept(until)
        waiting = dict(self._waiting)
        for part in Stretch(self._whole.instrument, window, begin, until).days():
            rows = [
                (start, spec.text, name, value if isfinite(value) else None)
                for start, (_, *values) in bars
                if part.start_ms <= start < part.end_ms
                for spec, metric, found in zip(self._asked, measured.metrics, values, strict=True)
                for name, value in zip(metric.fields, found, strict=True)
            ]
            if part in waiting:  # written in one with its bars, so that a day is of one run
                waiting[part][METRIC_VALUES] = rows
            else:
                self._waiting.append((part, {METRIC_VALUES: rows}))

    def _write(self) -> None:
        self.failure = None
        names = {spec.text for spec in self._asked}  # those of other runs stay
        while self._waiting and not self.failure:
            try:
                stretch, rows = self._waiting[0]
                for repository in self._into:
                    repository.write(stretch, rows, names)
            except ResultsError as error:
                self.failure = error
            else:
                del self._waiting[0]


def _reached_by(processor: OHLCProcessor, *, is_in_step: bool, of_rows: bool) -> int:
    """Return the time up to which a run has processed rows and trades, 0 before the first.

    In step it is that of the last row, or of the last event; else both have to be as far.
    """
    rows, trades = processor.silences.span, processor.trade_span
    if not is_in_step:
        return min(rows[1], trades[1]) if rows and trades else 0
    if of_rows:
        return rows[1] if rows else 0
    return processor.last_event or 0


def _by_day(bars: Sequence[Bar]) -> dict[int, list[Bar]]:
    days: dict[int, list[Bar]] = {}
    for bar in bars:
        days.setdefault(int(bar[0]) // DAY_MS, []).append(bar)
    return days
