"""Keep the bars of successive windows: what OHLC, OBI, TOT and CVD bars have in common."""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf
from typing import Any, TypeVar

from orderflow.compiled import fastest
from orderflow.errors import OrderflowError, TimeOrderError

SHORT_RUN = 32

Bar = list[float]
Event = TypeVar("Event", bound=tuple[Any, ...])


class PythonCompensatedSum:
    """Sum doubles in twice their precision, so that rounding never shows in `value`.

    The error of each addition is computed (Knuth's TwoSum) and kept apart: a million additions are
    off by less than 1e-25 of the sum of magnitudes, so that terms that cancel leave 0.
    """

    __slots__ = ("_high", "_low")

    def __init__(self) -> None:
        self._high = self._low = 0.0

    def add(self, terms: Iterable[float]) -> list[float]:
        """Add finite `terms` and return the sum after each."""
        high, low, sums = self._high, self._low, []
        for term in terms:
            total = high + term
            rounded = total - high
            low += (high - (total - rounded)) + (term - rounded)
            high = total
            sums.append(high + low)
        self._high, self._low = high, low
        return sums

    def merge(self, other: "PythonCompensatedSum") -> None:
        """Add all of another sum."""
        self.add((other._high,))
        self._low += other._low

    def clear(self) -> None:
        """Begin again from 0."""
        self._high = self._low = 0.0

    @property
    def value(self) -> float:
        """Return the sum as the nearest double."""
        return self._high + self._low


CompensatedSum = fastest("CompensatedSum", PythonCompensatedSum)


class RollingBars:
    """The bars `[ts, *values]` of successive windows: those closed, and the one in progress.

    Windows are `window_seconds` long and aligned to the epoch in UTC; `ts` is a window's start in
    ms. A window without an event has no bar. The last `max_bars` are kept; `made` counts all that
    were closed. `fresh`, where it is a list, gets each bar that is closed, for who takes them all;
    `kept` likewise, for `take_kept`. Raise `OrderflowError` for a window shorter than a second.
    """

    def __init__(self, window_seconds: int, max_bars: int) -> None:
        if window_seconds < 1:
            msg = f"a window lasts at least 1 second; found {window_seconds}"
            raise OrderflowError(msg)
        self.made = 0
        self.fresh: list[Bar] | None = None
        self.kept: list[Bar] | None = None
        self._kept_until = -inf
        self._window_ms = window_seconds * 1000
        self._max_bars = max_bars
        self._closed: deque[Bar] = deque(maxlen=max_bars)
        self._start = -inf  # of the newest window
        self._bar: Bar = []  # in progress, as it is kept; empty while there is none

    def bars(self) -> list[Bar]:
        """Return the last bars, oldest first, the one in progress included."""
        bars = list(self._closed)
        if self._bar:
            bars += self._shown([self._bar])
        return bars[-self._max_bars :]

    def finalize(self) -> None:
        """Close the bar in progress, as at the end of the data; harmless when repeated."""
        if self._bar:
            self._close([self._bar])
            self._bar = []

    def take_kept(self, until_ms: float = inf) -> list[Bar]:
        """Return the bars kept, also the one in progress, that begin before a time; each once.

        One that is returned while it is in progress is not returned again when it is closed.
        """
        bars = self.kept or []
        self.kept = [bar for bar in bars if bar[0] >= until_ms]
        current = [self._bar] if self._bar else []
        begin, self._kept_until = self._kept_until, max(until_ms, self._kept_until)
        return [bar for bar in (*bars, *current) if begin <= bar[0] < until_ms]

    def _shown(self, bars: list[Bar]) -> list[Bar]:
        """Return bars as others see them, given as they are kept."""
        return bars

    def _close(self, bars: list[Bar]) -> None:
        self.made += len(bars)
        if self.kept is not None:
            self.kept += bars
        shown = self._shown(bars)
        self._closed.extend(shown)
        if self.fresh is not None:
            self.fresh += shown

    def _check_order(self, first_ms: int) -> None:
        """Raise `TimeOrderError` for an event before the newest window: bars are never reopened."""
        if first_ms < self._start:
            msg = (
                f"events must come in time order; found one at {first_ms} ms after the window "
                f"from {self._start:.0f} ms had begun"
            )
            raise TimeOrderError(msg, first_ms, int(self._start))

    def _go_on(self, bars: list[Bar], last_ms: int) -> None:
        """Take over what the bar in progress has become with events up to a time.

        The last of `bars` is the one in progress now, those before it are closed.
        """
        self._start = last_ms - last_ms % self._window_ms
        if bars:
            self._close(bars[:-1])
            self._bar = bars[-1]


def windows_of(
    events: Sequence[Event], window_ms: int, time_of: Callable[[Event], int]
) -> Iterator[tuple[int, Sequence[Event]]]:
    """Cut events, in time order, into runs of a window each; yield its start and the run."""
    index = 0
    while index < len(events):
        first_ms = time_of(events[index])
        start = first_ms - first_ms % window_ms
        # Near, where windows are short: a bisection of all the rest looks at more events.
        near = index + SHORT_RUN
        far = near < len(events) and time_of(events[near]) < start + window_ms
        most = len(events) if far else min(near, len(events))
        stop = bisect_left(events, start + window_ms, index, most, key=time_of)
        yield start, events[index:stop]
        index = stop


def extend_ohlc(bar: Sequence[float], values: Sequence[float]) -> list[float]:
    """Return `[open, high, low, close]` of `bar`, which may be empty, and then of `values`."""
    high, low = max(values), min(values)
    if bar:
        return [bar[0], max(bar[1], high), min(bar[2], low), values[-1]]
    return [values[0], high, low, values[-1]]
