"""What a metric is: an object with a name, a formula and a unit, fed with the events of a bar."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from math import isfinite, nan
from typing import Any, ClassVar, NamedTuple

from metrics import kernels
from metrics.book_rows import BookRows, Needs
from orderflow.errors import UsageError

OHLC = ("open", "high", "low", "close")


class Trades(NamedTuple):
    """Trades in time order, in columns: ms, price, size, and the taker's side.

    Sides are those of `metrics.trade_columns`: 1 for buy, 2 for sell, 0 where it is not known.
    """

    time: Any
    price: Any
    size: Any
    side: Any

    def part(self, start: int, stop: int) -> "Trades":
        """Return the trades from `start` to before `stop`."""
        if start == 0 and stop == len(self.time):
            return self
        return Trades(*(column[start:stop] for column in self))


class Metric(ABC):
    """A figure, or several, of each bar. Derive from `BookMetric` or `TradeMetric`.

    A run makes one object, and calls, for each bar, `add_rows` or `add_trades` with its events in
    order, in as many pieces as they come; `value` any number of times; and `begin_bar` before the
    next one. What it returns must not depend on how the events were cut into pieces. Parameters are
    those of the constructor, each an int, a float or a str by its default or its annotation.
    """

    name: ClassVar[str]
    formula: ClassVar[str]
    unit: ClassVar[str]
    source: ClassVar[str]
    fields: Sequence[str] = ("value",)
    """What `value` has a number for."""
    moments: ClassVar[tuple[str, ...]] = ()
    """Parameters that may be a time of the form YYYY-MM-DDTHH:MM; they are given in ms."""

    @abstractmethod
    def value(self) -> Sequence[float]:
        """Return a number for each field of the bar in progress; NaN where there is none."""

    def begin_bar(self) -> None:  # noqa: B027 (nothing to do for a metric that runs on over bars)
        """Begin a bar; what runs on over bars stays."""

    def without_events(self, before: Sequence[float]) -> Sequence[float]:
        """Return what `value` is for a bar without any event, after one with the value `before`."""
        return [nan] * len(before)


class BookMetric(Metric):
    """A metric that is made of the book after each row."""

    @property
    def needs(self) -> Needs:
        """Return what it needs beside the best levels and the sums of the run's depth."""
        return Needs()

    def warm_up(self, rows: BookRows) -> None:
        """Take note of rows before START, which are in no bar."""

    @abstractmethod
    def add_rows(self, rows: BookRows) -> None:
        """Add rows of the bar in progress, at least one."""


class TradeMetric(Metric):
    """A metric that is made of trades."""

    @abstractmethod
    def add_trades(self, trades: Trades) -> None:
        """Add trades of the bar in progress, at least one."""


class SampledMetric(BookMetric):
    """Open, high, low and close of a figure that is taken after every row."""

    fields = OHLC

    def __init__(self) -> None:
        self._bar: list[float] = []
        self._last = nan

    @abstractmethod
    def samples(self, rows: BookRows) -> Any:
        """Return the figure after each row, as an array of doubles; NaN where there is none."""

    def add_rows(self, rows: BookRows) -> None:
        """Add rows of the bar in progress, at least one."""
        found = kernels.ohlc(self.samples(rows))
        if found:
            bar = self._bar or found
            self._bar = [bar[0], max(bar[1], found[1]), min(bar[2], found[2]), found[3]]
            self._last = found[3]

    def begin_bar(self) -> None:
        """Begin a bar."""
        self._bar = []

    def value(self) -> Sequence[float]:
        """Return the bar in progress; flat where it has no sample, NaN before the first."""
        return self._bar or [self._last] * 4

    def without_events(self, before: Sequence[float]) -> Sequence[float]:
        """Return a flat bar at the last close."""
        return [before[3]] * 4


def check_range(name: str, value: float, least: float, most: float) -> None:
    """Raise `UsageError` for a parameter that is not between two numbers, which are allowed."""
    if not least <= value <= most:
        msg = f"the parameter {name} is between {least:g} and {most:g}; found {value:g}"
        raise UsageError(msg, name, value)


def check_positive(name: str, value: float) -> None:
    """Raise `UsageError` for a parameter that is not a number above 0."""
    if not (isfinite(value) and value > 0):
        msg = f"the parameter {name} is above 0; found {value:g}"
        raise UsageError(msg, name, value)
