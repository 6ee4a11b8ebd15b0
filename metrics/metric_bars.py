"""Make bars of any kind, with the metrics that were asked for in each."""

from array import array
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain
from math import inf, nan
from typing import Any

from metrics.bar_kinds import BarSpec
from metrics.book_rows import BookRows, Needs, PythonRowRecorder, RowRecorder, rows_of
from metrics.metric import BookMetric, Metric, TradeMetric, Trades
from metrics.registry import MetricSpec
from metrics.rolling_bars import CompensatedSum, extend_ohlc
from metrics.trade_columns import trade_columns
from orderflow.array_file import Array
from orderflow.events import MAX_BARS, Trade

Values = list[Sequence[float]]
"""The value of each metric in a bar."""
FileParts = tuple[dict[str, Any], dict[str, Array]]


class Prices(TradeMetric):
    """What every bar has: open, high, low, close, volume, trades and its first and last time."""

    name, formula, unit, source = "prices", "", "", ""
    fields = ("open", "high", "low", "close", "volume", "trades", "first_trade", "last_trade")

    def __init__(self) -> None:
        self.begin_bar()

    def begin_bar(self) -> None:
        """Begin a bar."""
        self._prices: list[float] = []
        self._volume = CompensatedSum()
        self._count = 0
        self._times = nan, nan

    def add_trades(self, trades: Trades) -> None:
        """Add trades of the bar in progress."""
        price = trades.price
        if not self._prices:
            self._times = trades.time[0], nan
        self._prices = extend_ohlc(self._prices, price)
        self._volume.add(trades.size)
        self._count += len(price)
        self._times = self._times[0], trades.time[-1]

    def value(self) -> Sequence[float]:
        """Return the fields; NaN for all but volume and trades where there is no trade."""
        return [*(self._prices or [nan] * 4), self._volume.value, self._count, *self._times]

    def without_events(self, before: Sequence[float]) -> Sequence[float]:
        """Return no prices and no volume."""
        return [nan, nan, nan, nan, 0.0, 0.0, nan, nan]


class Track:
    """The last bars of metrics of one feed, each with the number, or the start, that names it."""

    def __init__(self, metrics: Sequence[Any], max_bars: int) -> None:
        self.metrics = metrics
        self.key: int | None = None
        self._closed: deque[tuple[int, Values]] = deque(maxlen=max_bars)
        self.kept: list[tuple[int, Values]] | None = None
        self._kept_until = -inf

    def begin(self, key: int) -> None:
        """Go on with the bar of this name, or begin it, which ends the one before."""
        if key == self.key:
            return
        if self.key is not None:
            bar = self.key, self._values()
            self._closed.append(bar)
            if self.kept is not None:
                self.kept.append(bar)
            for metric in self.metrics:
                metric.begin_bar()
        self.key = key

    def take(self, until: int) -> dict[int, Values]:
        """Return the bars with a name before `until`, for which nothing more comes; forget them."""
        if self.key is not None and self.key < until:
            self._closed.append((self.key, self._values()))
            for metric in self.metrics:
                metric.begin_bar()
            self.key = None
        taken = {}
        while self._closed and self._closed[0][0] < until:
            key, values = self._closed.popleft()
            taken[key] = values
        return taken

    def _values(self) -> Values:
        return [list(metric.value()) for metric in self.metrics]

    def bars(self) -> dict[int, Values]:
        """Return the last bars by name, the one in progress included."""
        bars = dict(self._closed)
        if self.key is not None:
            bars[self.key] = self._values()
        return bars

    def take_kept(self, until: float) -> dict[int, Values]:
        """Return the bars kept before a name, the one in progress too, that were not taken yet."""
        bars = self.kept or []
        self.kept = [bar for bar in bars if bar[0] >= until]
        current = [] if self.key is None else [(self.key, self._values())]
        begin, self._kept_until = self._kept_until, max(until, self._kept_until)
        return {key: values for key, values in (*bars, *current) if begin <= key < until}


class MetricBars:
    """Bars of one kind with prices, volume and `metrics`, as the file of docs/metrics.md has them.

    `recorder` is to be given to the book; after each `update_rows` of that, `add_rows` takes the
    book after each row from it. Rows come in time order and so do trades; either may be ahead.
    Rows before `start_ms` are in no bar. The last `max_bars` bars are kept.

    Bars of time have a bar for every window with a row or a trade. Bars of other kinds are made of
    trades: a row is in the bar that the first trade at its time, or after it, goes on with, so that
    rows come before trades of one ms. Rows later than the last trade wait for the next one, for
    `settle` or for the end.
    """

    def __init__(
        self,
        spec: BarSpec,
        metrics: Sequence[Metric] = (),
        start_ms: int | None = None,
        max_bars: int = MAX_BARS,
    ) -> None:
        self.spec = spec
        self.metrics = list(metrics)
        self.version = 0
        self._start = -inf if start_ms is None else start_ms
        self._max_bars = max_bars
        book = [metric for metric in metrics if isinstance(metric, BookMetric)]
        traded = [metric for metric in metrics if isinstance(metric, TradeMetric)]
        self._book, self._traded = Track(book, max_bars), Track([Prices(), *traded], max_bars)
        self._needs = _needs_of(book)
        self.recorder: PythonRowRecorder = RowRecorder(*self._needs)
        self._placer = _Windows(spec.size) if spec.kind == "time" else _Events(spec)
        self._last_taken = self._no_values()

    def add_rows(self) -> None:
        """Add the rows that the recorder was given since the last call."""
        rows = rows_of(self.recorder, self._needs)
        if not self._book.metrics or not len(rows):
            return
        begun = bisect_left(rows.time, self._start)
        if begun:
            for metric in self._book.metrics:
                metric.warm_up(rows.part(0, begun))
        self._add_placed(self._placer.rows(rows.part(begun, len(rows))))

    def add_trades(self, trades: Sequence[Trade]) -> None:
        """Add trades, in time order. Raise `OrderflowError` for bars too small for a trade."""
        if not trades:
            return
        self.version += 1
        for key, run in self._placer.trades(Trades(*trade_columns(trades))):
            self._traded.begin(key)
            for metric in self._traded.metrics:
                metric.add_trades(run)
        self.settle(inf if self.spec.kind == "time" else trades[-1][5])

    def settle(self, until_ms: float = inf) -> None:
        """Place the rows up to `until_ms`: all trades before that were given."""
        self._add_placed(self._placer.settled(until_ms))

    def _add_placed(self, placed: Iterator[tuple[int, BookRows]]) -> None:
        for key, rows in placed:
            self.version += 1
            self._book.begin(key)
            for metric in self._book.metrics:
                metric.add_rows(rows)

    def bars(self) -> list[tuple[int, Values]]:
        """Return the last bars, the one in progress included, oldest first.

        Each is its start in ms, or its number, with the values of `Prices` and of each metric.
        """
        made = self._joined(self._traded.bars(), self._book.bars(), self._no_values())
        return made[-self._max_bars :]

    def keep(self) -> None:
        """Keep all bars from now on for `take_kept`; they must be bars of time."""
        self._traded.kept, self._book.kept = [], []
        self._kept_before = self._no_values()

    def take_kept(self, until_ms: float = inf) -> list[tuple[int, Values]]:
        """Return the bars, as `bars` does, that begin before a time and were not returned yet."""
        kept = self._traded.take_kept(until_ms), self._book.take_kept(until_ms)
        return self._joined(*kept, self._kept_before)

    def take_closed(self, now_ms: float) -> list[tuple[int, Values]]:
        """Return the bars that have ended, oldest first, and keep them no longer.

        All rows and trades before `now_ms` were given, and of bars of other kinds than time also
        the rows at it; those to come are not before it. Bars are as `bars` has them.
        """
        until = self._placer.open_at(now_ms)
        traded, booked = self._traded.take(until), self._book.take(until)
        return self._joined(traded, booked, self._last_taken)

    def _no_values(self) -> list[Values]:
        feeds = self._traded.metrics, self._book.metrics
        return [[[nan] * len(metric.fields) for metric in metrics] for metrics in feeds]

    def _joined(
        self, traded: dict[int, Values], booked: dict[int, Values], before: list[Values]
    ) -> list[tuple[int, Values]]:
        """Return bars of both feeds; `before` has the values before them, and then the last."""
        is_time = self.spec.kind == "time"
        feeds = (traded, self._traded.metrics), (booked, self._book.metrics)
        made = []
        for key in sorted(traded.keys() | booked.keys()):
            for place, (bars, metrics) in enumerate(feeds):
                before[place] = bars.get(key) or [
                    m.without_events(old) for m, old in zip(metrics, before[place], strict=True)
                ]
            # Bars of other kinds are made of trades: one of rows alone is before those kept, and
            # what stays flat begins with it, or has not begun yet.
            if is_time or key in traded:
                made.append((key, self._in_order(*before)))
        return made

    def _in_order(self, traded: Values, booked: Values) -> Values:
        """Return the prices and the values of the metrics, in the order they were asked for."""
        values = [iter(traded), iter(booked)]
        prices = next(values[0])
        return [prices, *(next(values[isinstance(m, BookMetric)]) for m in self.metrics)]

    def file(self, asked: Sequence[MetricSpec]) -> FileParts:
        """Return the fields and arrays of the file; `asked` are the specs of the metrics."""
        described = [describe(*each) for each in zip(self.metrics, asked, strict=True)]
        return bars_file(self.spec, self.bars(), described)


def bars_file(
    spec: BarSpec, bars: Sequence[tuple[int, Values]], described: Sequence[dict[str, Any]]
) -> FileParts:
    """Return the fields and arrays of the file of bars, which are as `MetricBars.bars` has them.

    `described` is what `describe` says of each metric.
    """
    is_time = spec.kind == "time"
    starts = [key if is_time else values[0][6] for key, values in bars]
    arrays = {"time": _array([starts], len(bars))}
    for place, name in enumerate(Prices.fields[:6]):
        arrays[name] = _array([[values[0][place] for _, values in bars]], len(bars))
    arrays["last_trade"] = _array([[values[0][7] for _, values in bars]], len(bars))
    metrics = []
    for place, told in enumerate(described):
        rows = [values[place + 1] for _, values in bars]
        arrays[f"metric_{place}"] = _array(rows, len(bars), len(told["fields"]))
        metrics.append({"array": f"metric_{place}", **told})
    first = bars[0][0] if bars else 0
    if is_time:
        first //= int(spec.size) * 1000
    bar = {"kind": spec.kind, "size": spec.size}
    return {"kind": "metrics", "bars": bar, "first": first, "metrics": metrics}, arrays


def _needs_of(metrics: Sequence[BookMetric]) -> Needs:
    needs = Needs()
    for metric in metrics:
        needs = needs.joined(metric.needs)
    return needs


def describe(metric: Metric, spec: MetricSpec) -> dict[str, Any]:
    """Return what the file says of a metric."""
    return {
        "asked": spec.text,
        "name": metric.name,
        "fields": list(metric.fields),
        "formula": metric.formula,
        "unit": metric.unit,
        "source": metric.source,
        "parameters": spec.parameters,
    }


def _array(rows: Sequence[Sequence[float]], bars: int, fields: int = 0) -> Array:
    """Return doubles, where `fields` is given with so many a bar; infinities become NaN."""
    values = array("d", chain.from_iterable(rows))
    for i, value in enumerate(values):
        if value in (inf, -inf):
            values[i] = nan
    return Array("float64", [bars, fields] if fields else [bars], values.tobytes())


class _Windows:
    """Windows of time, aligned to the epoch: rows and trades find their bar independently."""

    def __init__(self, seconds: float) -> None:
        self._ms = int(seconds) * 1000

    def rows(self, rows: BookRows) -> Iterator[tuple[int, BookRows]]:
        """Yield the rows of each window."""
        return self._runs(rows)

    def trades(self, trades: Trades) -> Iterator[tuple[int, Trades]]:
        """Yield the trades of each window."""
        return self._runs(trades)

    def _runs(self, events: Any) -> Iterator[tuple[int, Any]]:
        start, count = 0, len(events.time)
        while start < count:
            window = int(events.time[start]) // self._ms
            stop = bisect_left(events.time, (window + 1) * self._ms, start)
            yield window * self._ms, events.part(start, stop)
            start = stop

    def settled(self, until_ms: float) -> Iterator[tuple[int, BookRows]]:
        """Yield the rows that waited: none."""
        return iter(())

    def open_at(self, now_ms: float) -> int:
        """Return the bar that goes on at a time: those before it have ended."""
        return int(now_ms) // self._ms * self._ms


class _Events:
    """Bars of trades, numbered from 0; rows wait until it is known into which they go."""

    def __init__(self, spec: BarSpec) -> None:
        self._cutter = spec.cutter()
        self._number = 0
        self._row_number = 0
        self._ends: deque[float] = deque()
        self._waiting: deque[BookRows] = deque()

    def rows(self, rows: BookRows) -> Iterator[tuple[int, BookRows]]:
        """Keep rows for `settled`."""
        if len(rows):
            self._waiting.append(rows)
        return iter(())

    def trades(self, trades: Trades) -> Iterator[tuple[int, Trades]]:
        """Yield the trades of each bar."""
        for run, ends in self._cutter.cut(trades):
            yield self._number, run
            if ends:
                self._ends.append(run.time[-1])
                self._number += 1

    def open_at(self, _now_ms: float) -> int:
        """Return the bar that goes on after the trades so far."""
        return self._number

    def settled(self, until_ms: float) -> Iterator[tuple[int, BookRows]]:
        """Yield the rows up to a time, by bar: a bar has those up to the trade that ended it."""
        while self._waiting and self._waiting[0].time[0] <= until_ms:
            rows = self._waiting.popleft()
            while self._ends and self._ends[0] < rows.time[0]:
                self._ends.popleft()
                self._row_number += 1
            limit = min(until_ms, self._ends[0] if self._ends else inf)
            stop = bisect_right(rows.time, limit)
            if stop < len(rows):
                self._waiting.appendleft(rows.part(stop, len(rows)))
            yield self._row_number, rows.part(0, stop)
