"""Keep the bars and metrics of a run: gather them by UTC day and write them into repositories.

What is kept of a day is what a run over that day alone makes, so that it does not matter in how
many pieces a year is replayed: the CVD begins at 0 each day, and OBI and TOT have no value before
the day's first sample.
"""

from collections.abc import Sequence
from pathlib import Path

from formats.parquet_results import ParquetResults
from formats.results import (
    DATABASE_NAME,
    DAY_MS,
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
from metrics.rolling_bars import Bar
from metrics_calculator import join_metric_bars
from ohlc_processor import OHLCProcessor
from orderflow.errors import UsageError

PATIENCE_MS = 3_600_000
"""A day is written when book rows have come so far into the next: trades may be behind them."""


def repositories(directory: Path) -> list[Repository]:
    """Return what a run keeps its results in. Raise `OrderflowError` without pyarrow."""
    return [ParquetResults(directory), DatabaseResults(directory / DATABASE_NAME)]


class KeptResults:
    """The results of a run over `whole`, written day by day into `into`.

    What cannot be written is kept and tried again with the next day, and at the end; `failure` says
    what went wrong at the last try. Raise `UsageError` for a range that has windows in part.
    """

    def __init__(self, whole: Stretch, depth_levels: int, into: Sequence[Repository]) -> None:
        if why := check_window(whole.window_seconds, whole.start_ms, whole.end_ms):
            raise UsageError(why, "--results")
        self._whole, self._depth_levels, self._into = whole, depth_levels, into
        self.failure: ResultsError | None = None
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what was gathered: the next bars are the first of the run."""
        self._reached = self._whole.start_ms
        self._waiting: list[tuple[Stretch, dict[ResultTable, list[Row]]]] = []

    def add(self, processor: OHLCProcessor) -> None:
        """Write the days that are over, as far as can be known by the last row."""
        span = processor.silences.span
        until = (span[1] - PATIENCE_MS) // DAY_MS * DAY_MS if span else 0
        if until > self._reached:
            self._take(processor, until)
            self._write()

    def finish(self, processor: OHLCProcessor, *, is_whole: bool) -> None:
        """Write what is left of a run at its end.

        Of one that is not whole, the windows before the one in which it ended: it says nothing of
        what comes after.
        """
        until = self._whole.end_ms
        if not is_whole:
            window_ms = self._whole.window_seconds * 1000
            until = (processor.last_event or 0) // window_ms * window_ms
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
        self._reached = until

    def _write(self) -> None:
        self.failure = None
        while self._waiting and not self.failure:
            try:
                for repository in self._into:
                    repository.write(*self._waiting[0])
            except ResultsError as error:
                self.failure = error
            else:
                del self._waiting[0]


def _by_day(bars: Sequence[Bar]) -> dict[int, list[Bar]]:
    days: dict[int, list[Bar]] = {}
    for bar in bars:
        days.setdefault(int(bar[0]) // DAY_MS, []).append(bar)
    return days
