"""Bars with metrics between the ticks: each is handed over as soon as it has ended."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite

from metrics.bar_kinds import BarSpec, parse_bars
from metrics.metric import BookMetric
from metrics.metric_bars import MetricBars, Values
from metrics.portions import MAX_PARTS
from metrics.registry import MetricSpec, parse_metrics
from orderbook_manager import OrderbookManager, PythonOrderbookManager
from orderflow.errors import NumbersError
from orderflow.events import BookBatch, Trade, time_of_row, time_of_trade
from orderflow.times import parse_moment
from trading.messages import Bar, Event, TickEvent, TickKind


@dataclass(frozen=True)
class BarChoice:
    """The bars that were asked for: their kind, and the metrics in them."""

    spec: BarSpec
    metrics: tuple[MetricSpec, ...] = ()


def choose_bars(
    bars: str | None, metrics: Sequence[str], window_seconds: int = 60
) -> BarChoice | None:
    """Return what texts as of `--bars` and `--metric` ask for, None for nothing.

    Bars are those of time of `window_seconds` unless `bars` says otherwise. Raise `UsageError`.
    """
    if bars is None and not metrics:
        return None
    spec = parse_bars(bars) if bars is not None else BarSpec("time", window_seconds)
    return BarChoice(spec, tuple(parse_metrics(list(metrics), partial(parse_moment, "anchor"))))


class BarMaker:
    """Make the bars of a market beside its ticks, and put each between the ticks at its place.

    A bar of time comes before the first tick at or after its end, one of another kind right after
    the trade that filled it. The bar in progress at the end has not ended, and is not handed over.
    The book is followed once more, by itself, and only where a metric needs it: OBI and TOT are
    over the best `depth` levels. Rows before `start_ms` are in no bar.
    """

    def __init__(
        self, choice: BarChoice, run_id: str, instrument: str, depth: int, start_ms: int | None
    ) -> None:
        self._choice = choice
        self._run_id, self._instrument = run_id, instrument
        metrics = [metric.make() for metric in choice.metrics]
        self._measured = MetricBars(choice.spec, metrics, start_ms, MAX_PARTS + 1)
        has_book = any(isinstance(metric, BookMetric) for metric in metrics)
        recorder = self._measured.recorder
        self._book = OrderbookManager(depth, recorder=recorder) if has_book else None
        self._is_time = choice.spec.kind == "time"
        self._window_ms = int(choice.spec.size) * 1000 if self._is_time else 0
        self._window_end = 0

    def between(
        self, batch: BookBatch, trades: Sequence[Trade], ticks: Iterable[TickEvent]
    ) -> Iterator[Event]:
        """Yield the ticks that were made of rows and trades, with bars between them.

        Raise an `OrderflowError` for bars too small for a trade, and for sizes too large.
        """
        feed = _Feed(self._measured, self._book, batch, trades)
        yield from (self._with_windows if self._is_time else self._with_filled)(feed, ticks)
        feed.up_to(len(batch.rows), len(trades))

    def _with_windows(self, feed: "_Feed", ticks: Iterable[TickEvent]) -> Iterator[Event]:
        for tick in ticks:
            at = tick.time_ms
            if at >= self._window_end:
                start = at - at % self._window_ms
                feed.before(start)
                yield from self._closed(tick.number - 1, at)
                self._window_end = start + self._window_ms
            yield tick

    def _with_filled(self, feed: "_Feed", ticks: Iterable[TickEvent]) -> Iterator[Event]:
        for tick in ticks:
            yield tick
            if tick.kind is TickKind.TRADE:
                feed.next_trade()
                yield from self._closed(tick.number, tick.time_ms)

    def _closed(self, after: int, at: int) -> Iterator[Bar]:
        for key, values in self._measured.take_closed(at):
            yield self._bar(key, values, after, at)

    def _bar(self, key: int, values: Values, after: int, at: int) -> Bar:
        prices, *others = values
        opened, high, low, close, volume, trades, first, last = prices
        if not isfinite(volume):
            msg = f"the sizes of trades up to {at} add up to more than a double can hold"
            raise NumbersError(msg, [volume])
        ms = self._window_ms
        return Bar(
            run_id=self._run_id, instrument=self._instrument, kind=self._choice.spec.kind,
            size=self._choice.spec.size, number=key // ms if ms else key, after=after, time_ms=at,
            start_ms=key if ms else int(first), end_ms=key + ms if ms else int(last),
            open=number_of(opened), high=number_of(high), low=number_of(low),
            close=number_of(close), volume=float(volume), trades=int(trades),
            values={
                spec.text: tuple(map(number_of, each))
                for spec, each in zip(self._choice.metrics, others, strict=True)
            },
        )  # fmt: skip


def number_of(value: float) -> float | None:
    """Return a number as a bar has it: None where there is none, or it is not finite."""
    return float(value) if isfinite(value) else None


class _Feed:
    """Hand the rows and trades of a batch to bars, in pieces, each once."""

    def __init__(
        self,
        measured: MetricBars,
        book: PythonOrderbookManager | None,
        batch: BookBatch,
        trades: Sequence[Trade],
    ) -> None:
        self._measured, self._book = measured, book
        self._batch, self._trades = batch, trades
        self._row = self._trade = 0

    def before(self, ms: int) -> None:
        """Hand over what lies before a time."""
        self.up_to(
            bisect_left(self._batch.rows, ms, self._row, key=time_of_row),
            bisect_left(self._trades, ms, self._trade, key=time_of_trade),
        )

    def next_trade(self) -> None:
        """Hand over the next trade, and before it the rows up to its time."""
        ms = time_of_trade(self._trades[self._trade])
        row = bisect_right(self._batch.rows, ms, self._row, key=time_of_row)
        self.up_to(row, self._trade + 1)

    def up_to(self, row: int, trade: int) -> None:
        """Hand over the rows and trades before these places."""
        if self._book and row > self._row:
            rows = slice(self._row, row)
            self._book.update_rows(self._batch.rows[rows], self._batch.snapshots[rows])
            self._measured.add_rows()
        self._measured.add_trades(self._trades[self._trade : trade])
        self._row, self._trade = row, trade
