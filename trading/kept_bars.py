"""The bars that runs have kept, by day, as a run of that day hands them to strategies."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import nan

from formats.results import METRIC_VALUES, METRICS, OHLC, JoinedDays, Repository, Row, Stretch
from metrics.metric import BookMetric
from metrics.registry import MetricSpec
from trading.bars import number_of
from trading.messages import Bar

PLAIN = {"obi": 1, "tot": 5, "cvd": 9}
"""Metrics that every run keeps, by the text that asks for them: where a row of them begins."""

Values = tuple[float | None, ...]


@dataclass(frozen=True)
class KeptDay:
    """The bars kept of a stretch of one day, or the `problem` for which there are none.

    `ended` are those that a run over the stretch hands over: something came after their end.
    `going_on` is the bar in progress at the last event, None where that is in no bar. `is_kept`
    says whether there is anything of the day.
    """

    part: Stretch
    problem: str = ""
    is_kept: bool = True
    ended: list[Bar] = field(default_factory=list)
    going_on: Bar | None = None


class KeptBars:
    """Read the bars of successive days, with the metrics that were asked for.

    They are those that a run with the same metrics makes: for every window with a trade or, if a
    metric of the book is among them, with a book row. `obi`, `tot` and `cvd` are there of every
    run, and run on over the days (see `JoinedDays`); others are as they were kept. What a tick
    before or after a bar says is not known: each is handed over at its end.
    """

    def __init__(self, repository: Repository, asked: Sequence[MetricSpec]) -> None:
        self._repository = repository
        self._asked = [_AskedMetric(spec) for spec in asked]
        self._joined = JoinedDays()

    def day(self, part: Stretch) -> KeptDay:
        """Return what is kept of a stretch of one day. Raise `ResultsError`."""
        prices = {row[0]: row[1:] for row in self._repository.read(OHLC, part)}
        samples = {row[0]: row for row in self._joined.join(self._repository.read(METRICS, part))}
        values = self._values(part)
        if not prices and not samples:
            why = "nothing is kept of it"
            if values:
                why = f"no prices are kept beside its metrics; keep bars of {part.window_seconds} s"
            return KeptDay(part, why, is_kept=bool(values))
        if problem := self._problem(prices, samples, values):
            return KeptDay(part, problem)
        of_book = [metric.windows for metric in self._asked if metric.is_of_book]
        starts = sorted(prices.keys() | set().union(*of_book))
        last = max((*prices, *samples, *starts))
        bars = [self._bar(part, start, prices.get(start)) for start in starts]
        is_open = bool(bars) and bars[-1].start_ms == last
        return KeptDay(
            part, "", True, bars[:-1] if is_open else bars, bars[-1] if is_open else None
        )

    def _values(self, part: Stretch) -> dict[str, dict[int, dict[str, float | None]]]:
        """Return the values of metrics by what asked for them, window and field."""
        found: dict[str, dict[int, dict[str, float | None]]] = {}
        among = [metric.text for metric in self._asked]
        for start, asked, name, value in self._repository.read(METRIC_VALUES, part, among):
            found.setdefault(asked, {}).setdefault(start, {})[name] = value
        return found

    def _problem(
        self,
        prices: Mapping[int, Row],
        samples: Mapping[int, Row],
        values: Mapping[str, dict[int, dict[str, float | None]]],
    ) -> str:
        """Give the metrics of a day to those that were asked for; return what is missing."""
        if any(row[-1] is None for row in prices.values()):
            return "kept by an older version, without the number of trades; replay it again"
        for metric in self._asked:
            needed = prices.keys() | samples.keys() if metric.is_of_book else prices.keys()
            metric.take(values.get(metric.text, {}))
            if needed - metric.windows and metric.text in PLAIN:
                metric.take_plain(samples.values())
            if missing := len(needed - metric.windows):
                share = f" in {missing:,} of {len(needed):,} bars"
                share = share if missing < len(needed) else ""
                return f"kept without the metric {metric.text}{share}; replay it with --metric"
        return ""

    def _bar(self, part: Stretch, start: int, prices: Row | None) -> Bar:
        window_ms = part.window_seconds * 1000
        opened, high, low, close, volume, trades = prices or (None, None, None, None, 0.0, 0)
        return Bar(
            run_id="", instrument=part.instrument, kind="time", size=float(part.window_seconds),
            number=start // window_ms, after=0, time_ms=start + window_ms, start_ms=start,
            end_ms=start + window_ms, open=opened, high=high, low=low, close=close,
            volume=volume, trades=trades,
            values={metric.text: metric.value(start) for metric in self._asked},
        )  # fmt: skip


class _AskedMetric:
    """A metric that was asked for: its values of a day, and the last one of the day before."""

    def __init__(self, spec: MetricSpec) -> None:
        self.text = spec.text
        self._metric = spec.make()
        self.is_of_book = isinstance(self._metric, BookMetric)
        self._rows: dict[int, Values] = {}
        self._before: Sequence[float] = [nan] * len(self._metric.fields)

    @property
    def windows(self) -> set[int]:
        """Return the starts of the windows in which it has a value, or is known to have none."""
        return {*self._rows}

    def take(self, kept: Mapping[int, Mapping[str, float | None]]) -> None:
        """Take the values of a day that are kept with all fields."""
        fields = self._metric.fields
        self._rows = {
            start: tuple(found[name] for name in fields)
            for start, found in kept.items()
            if found.keys() >= {*fields}
        }

    def take_plain(self, samples: Iterable[Row]) -> None:
        """Take the values of a day that every run keeps."""
        begin = PLAIN[self.text]
        self._rows = {row[0]: row[begin : begin + 4] for row in samples}

    def value(self, start: int) -> Values:
        """Return the value in a window; in one without events of its kind, what a run has there."""
        if start in self._rows:
            self._before = [nan if value is None else value for value in self._rows[start]]
        else:
            self._before = self._metric.without_events(self._before)
        return tuple(map(number_of, self._before))
