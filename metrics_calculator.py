"""Make bars of order book imbalance (OBI), total depth (TOT) and cumulative volume delta (CVD).

Formulas, B and A being the sums of the sizes of the best N bids and asks after a book row:

    OBI = (B - A) / (B + A)        in [-1, 1], no unit
    TOT = B + A                    in the unit of the sizes
    CVD = Σ size of taker buys - Σ size of taker sells, since the start

Source: the definitions of static order book imbalance and of delta in the order-flow literature;
see docs/reference.md.

Samples and trades are made into separate bars, which are joined on request: neither has to wait
for the other, which may come from another thread or process.
"""

from bisect import bisect_left
from collections.abc import Sequence
from math import inf
from operator import itemgetter

from metrics.rolling_bars import Bar, CompensatedSum, RollingBars, extend_ohlc, windows_of
from metrics.traded_bars import delta_bars
from orderflow.compiled import fastest
from orderflow.events import MAX_BARS, BookSample, Trade, time_of_trade
from orderflow.issues import IssueLog

MetricBar = list[float | None]
DAY_MS = 86_400_000
SIDES_SHOWN = 5
LONGEST_SIDE_SHOWN = 20
_time_of_sample = itemgetter(0)


class MetricsCalculator:
    """Aggregate book samples and trades into metric bars.

    A bar is `[ts, obi_open, obi_high, obi_low, obi_close, tot_…, cvd_…]`, 13 fields. There is one
    for every window with a sample or a trade; what was not sampled in a window stays flat at its
    last close. Before the first sample OBI and TOT have no value, and are None. A CVD bar opens at
    the value before its first trade. The last `max_bars` are kept.

    Samples must come in time order, and so must trades; either may be ahead of the other. What
    cannot be used goes into `issues`. `daily_cvd`, of who has called `keep`, are bars of a CVD that
    begins anew each day. Raise `OrderflowError` for a window of less than a second.
    """

    def __init__(
        self,
        window_seconds: int = 60,
        max_bars: int = MAX_BARS,
        issues: IssueLog | None = None,
    ) -> None:
        issues = IssueLog() if issues is None else issues
        self.samples = SampleBars(window_seconds, max_bars, issues)
        self.cvd = CvdBars(window_seconds, max_bars, issues)
        self.daily_cvd: DailyCvdBars | None = None
        self._window_seconds, self._max_bars = window_seconds, max_bars

    def keep(self) -> None:
        """Keep all bars from now on for `take_kept` of `samples` and of `daily_cvd`."""
        self.daily_cvd = DailyCvdBars(self._window_seconds, 1, IssueLog())
        self.samples.kept, self.daily_cvd.kept = [], []

    def add_trades(self, trades: Sequence[Trade]) -> None:
        """Add trades `(id, trade_id, price, size, side, timestamp_ms)`, in time order."""
        self.cvd.add(trades)
        if self.daily_cvd:
            self.daily_cvd.add(trades)

    @property
    def cvd_cumulative(self) -> float:
        """Return the cumulative volume delta since the start, in the unit of the sizes."""
        return self.cvd.cumulative

    def bars(self) -> list[MetricBar]:
        """Return the last bars, oldest first, the window in progress included."""
        return join_metric_bars(self.samples.bars(), self.cvd.bars())[-self._max_bars :]

    def finalize(self) -> None:
        """Close the window in progress, as at the end of the data; harmless when repeated."""
        self.samples.finalize()
        self.cvd.finalize()
        if self.daily_cvd:
            self.daily_cvd.finalize()


class SampleBars(RollingBars):
    """Bars `[ts, obi_open, obi_high, obi_low, obi_close, tot_…]`, 9 fields, of book samples.

    Samples whose sums overflow a double are in no bar, and noted in `issues`.
    """

    def __init__(self, window_seconds: int, max_bars: int, issues: IssueLog) -> None:
        super().__init__(window_seconds, max_bars)
        self._issues = issues

    def add(self, samples: Sequence[BookSample]) -> None:
        """Add samples `(timestamp_ms, bid_sum, ask_sum)`, in time order; both sums above 0."""
        if not samples:
            return
        self._check_order(samples[0][0])
        bars, unusable = sample_bars(samples, self._window_ms, self._bar)
        for start, count in unusable:
            # By the window, so that it does not matter how samples were cut into lists.
            self._issues.note("unusable_samples", start, count=count)
        self._go_on(bars, samples[-1][0])

    def replace(self, bars: Sequence[Bar]) -> None:
        """Replace the closed bars by `bars`, such as those joined from several processes."""
        self._closed.clear()
        self._closed.extend(bars)
        self._bar = []


def python_sample_bars(
    samples: Sequence[BookSample], window_ms: int, bar: Bar
) -> tuple[list[Bar], list[tuple[int, int]]]:
    """Add samples, in time order, to bars as those of `SampleBars`.

    `bar` is the one in progress, empty for none. Return the bars from it on, the last of them in
    progress now, and the windows with samples whose sums overflow a double, with their number.
    """
    bars, unusable = [bar] if bar else [], []
    for start, run in windows_of(samples, window_ms, _time_of_sample):
        sums = [(bids, asks) for _, bids, asks in run if bids + asks < inf]
        if len(sums) < len(run):
            unusable.append((start, len(run) - len(sums)))
        if sums:
            before = bars.pop() if bars and bars[-1][0] == start else []
            obi = extend_ohlc(before[1:5], [(bids - asks) / (bids + asks) for bids, asks in sums])
            bars.append([start, *obi, *extend_ohlc(before[5:], [b + a for b, a in sums])])
    return bars, unusable


sample_bars = fastest("sample_bars", python_sample_bars)


def python_samples_of_columns(
    times: memoryview, bid_sums: memoryview, ask_sums: memoryview
) -> Sequence[BookSample]:
    """Return samples of columns of times in ms and of sums. Raise `ValueError` for unlike ones."""
    return list(zip(times.tolist(), bid_sums.tolist(), ask_sums.tolist(), strict=True))


samples_of_columns = fastest("samples_of_columns", python_samples_of_columns)


class CvdBars(RollingBars):
    """Bars `[ts, cvd_open, cvd_high, cvd_low, cvd_close]`, 5 fields, of trades.

    Trades whose side is neither buy nor sell change nothing and are noted in `issues`;
    `unknown_sides` has the first few such sides found.
    """

    def __init__(self, window_seconds: int, max_bars: int, issues: IssueLog) -> None:
        super().__init__(window_seconds, max_bars)
        self.unknown_sides: list[str] = []
        self._issues = issues
        self._sum = CompensatedSum()

    @property
    def cumulative(self) -> float:
        """Return the CVD after the last trade."""
        value: float = self._sum.value
        return value

    def add(self, trades: Sequence[Trade]) -> None:
        """Add trades `(id, trade_id, price, size, side, timestamp_ms)`, in time order."""
        if not trades:
            return
        self._check_order(trades[0][5])
        bars, unknown = delta_bars(trades, self._window_ms, self._bar, self._sum)
        if unknown:
            self._note_unknown(trades)
        self._go_on(bars, trades[-1][5])

    def _note_unknown(self, trades: Sequence[Trade]) -> None:
        for _, _, _, _, side, timestamp in trades:
            if side not in ("buy", "sell"):
                self._issues.note("unknown_sides", timestamp)
                found = "NULL" if side is None else repr(side[:LONGEST_SIDE_SHOWN])
                if found not in self.unknown_sides and len(self.unknown_sides) < SIDES_SHOWN:
                    self.unknown_sides.append(found)


class DailyCvdBars(CvdBars):
    """Bars as `CvdBars` makes them, of a sum that begins at 0 each day, UTC.

    Windows must not reach over midnight.
    """

    _day = -1

    def add(self, trades: Sequence[Trade]) -> None:
        """Add trades, in time order."""
        start = 0
        while start < len(trades):
            day = trades[start][5] // DAY_MS
            if day != self._day:
                self.finalize()
                self._day = day
                self._sum.clear()
            stop = bisect_left(trades, (day + 1) * DAY_MS, start, key=time_of_trade)
            super().add(trades[start:stop])
            start = stop


def join_metric_bars(sampled: Sequence[Bar], traded: Sequence[Bar]) -> list[MetricBar]:
    """Join bars of samples, 9 fields, with bars of trades, 5 fields, into metric bars.

    There is a bar for every window of either; what is missing in one stays flat at its last close.
    OBI and TOT are None before the first sample, and CVD begins at 0. If the lists were cut to
    their last N bars, only the last N bars of the result are right.
    """
    samples = {bar[0]: bar[1:] for bar in sampled}
    cvds = {bar[0]: bar[1:] for bar in traded}
    obi_tot: Sequence[float | None] = [None] * 8
    cvd: Sequence[float] = [0.0] * 4
    bars: list[MetricBar] = []
    for start in sorted(samples.keys() | cvds.keys()):
        obi_tot = samples.get(start) or [obi_tot[3]] * 4 + [obi_tot[7]] * 4
        cvd = cvds.get(start) or [cvd[3]] * 4
        bars.append([start, *obi_tot, *cvd])
    return bars
