"""The slow, obvious way to every figure: dicts, sorting and exact fractions. The tests' oracle."""

from collections import defaultdict
from collections.abc import Iterable
from fractions import Fraction
from math import inf
from typing import Any

Level = tuple[float, float]


def exact_sum(numbers: Iterable[float]) -> float:
    """Add exactly and round once."""
    total = sum((Fraction(number) for number in numbers), Fraction(0))
    try:
        return float(total)
    except OverflowError:
        return inf


class BruteBook:
    """A book as two dicts, sorted anew for every question."""

    def __init__(self, depth: int = 50) -> None:
        self.depth = depth
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}

    def apply(
        self, bids: Iterable[Level], asks: Iterable[Level], *, snapshot: bool = False
    ) -> None:
        if snapshot:
            self.bids, self.asks = {}, {}
        for side, levels in ((self.bids, bids), (self.asks, asks)):
            for price, size in levels:
                side[price] = size
                if size == 0:
                    del side[price]

    def best_bids(self) -> list[Level]:
        return sorted(self.bids.items(), reverse=True)

    def best_asks(self) -> list[Level]:
        return sorted(self.asks.items())

    def sums(self) -> tuple[float, float] | None:
        if not self.bids or not self.asks:
            return None
        return (
            exact_sum(size for _, size in self.best_bids()[: self.depth]),
            exact_sum(size for _, size in self.best_asks()[: self.depth]),
        )

    @property
    def is_crossed(self) -> bool:
        return bool(self.bids and self.asks and max(self.bids) >= min(self.asks))


def ohlc(values: list[float]) -> list[float]:
    return [values[0], max(values), min(values), values[-1]]


def ohlc_bars(trades: Iterable[tuple[int, float, float]], window_ms: int) -> list[list[float]]:
    """Group `(timestamp, price, size)`, in order, into bars."""
    windows: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for timestamp, price, size in trades:
        windows[timestamp // window_ms * window_ms].append((price, size))
    return [
        [start, *ohlc([price for price, _ in found]), exact_sum(size for _, size in found)]
        for start, found in sorted(windows.items())
    ]


def metric_bars(
    samples: list[tuple[int, float, float]],
    trades: list[tuple[int, str, float]],
    window_ms: int,
) -> list[list[float | None]]:
    """Make 13-field bars of `(timestamp, bid_sum, ask_sum)` and `(timestamp, side, size)`."""

    def window(timestamp: int) -> int:
        return timestamp // window_ms * window_ms

    signed = [(t, {"buy": size, "sell": -size}.get(side, 0.0)) for t, side, size in trades]
    starts = {window(t) for t, *_ in samples} | {window(t) for t, *_ in trades}
    bars: list[list[float | None]] = []
    obi: Any = None
    tot: Any = None
    for start in sorted(starts):
        inside = [(b, a) for t, b, a in samples if window(t) == start]
        if inside:
            obis = ohlc([(b - a) / (b + a) for b, a in inside])
            tots = ohlc([b + a for b, a in inside])
            obi, tot = obis[-1], tots[-1]
        else:
            obis, tots = [obi] * 4, [tot] * 4
        known = [i for i, (t, _) in enumerate(signed) if window(t) <= start]
        ends = [i + 1 for i in known if window(signed[i][0]) == start]
        before = (ends[0] - 1) if ends else len(known)
        cvd = [exact_sum(size for _, size in signed[:end]) for end in [before, *ends]]
        bars.append([start, *obis, *tots, *ohlc(cvd)])
    return bars
