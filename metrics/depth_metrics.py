"""Metrics of the sizes that rest in the book: OBI, TOT, depth near the mid, slope."""

from typing import Any

from metrics import kernels
from metrics.book_rows import BookRows, Needs, Pair
from metrics.metric import SampledMetric, check_range
from orderflow.errors import UsageError

MAX_DEPTH = 100_000
MAX_SLOPE_LEVELS = 1000
MIN_POINTS, MAX_POINTS = 0.001, 9999.0
SIDES = ("both", "bid", "ask")


class _SumMetric(SampledMetric):
    """A figure of the sums of the best sizes; of the run's depth where `levels` is 0."""

    def __init__(self, levels: int = 0) -> None:
        super().__init__()
        check_range("levels", levels, 0, MAX_DEPTH)
        self._levels = levels

    @property
    def needs(self) -> Needs:
        """Return what is to be kept of the book."""
        return Needs(depths=(self._levels,)) if self._levels else Needs()

    def _sums(self, rows: BookRows) -> Pair:
        return rows.sums[self._levels] if self._levels else (rows.bid_sum, rows.ask_sum)


class Imbalance(_SumMetric):
    """The static order book imbalance over the best `levels` of each side."""

    name = "obi"
    formula = "(ΣQb - ΣQa) / (ΣQb + ΣQa)"
    unit = "none, from -1 to 1"
    source = "Cao, Hansch, Wang (2009), The information content of an open limit-order book"

    def samples(self, rows: BookRows) -> Any:
        """Return the imbalance after each row."""
        return kernels.imbalances(*self._sums(rows))


class TotalDepth(_SumMetric):
    """The size at the best `levels` of both sides."""

    name = "tot"
    formula = "ΣQb + ΣQa"
    unit = "size"
    source = "by definition"

    def samples(self, rows: BookRows) -> Any:
        """Return the size after each row."""
        return kernels.sums(*self._sums(rows))


class DepthNearMid(SampledMetric):
    """The size that rests within `bp` basis points of the mid, the ends included."""

    name = "depth"
    formula = "Σ Q of levels with |P - mid| ≤ mid · bp / 10000"
    unit = "size"
    source = "by definition; usual in exchange and market-maker reports"

    def __init__(self, bp: float = 10.0, side: str = "both") -> None:
        super().__init__()
        check_range("bp", bp, MIN_POINTS, MAX_POINTS)
        _check_side(side)
        self._bp, self._side = bp, side

    @property
    def needs(self) -> Needs:
        """Return what is to be kept of the book."""
        return Needs(ranges=(self._bp,))

    def samples(self, rows: BookRows) -> Any:
        """Return the size after each row."""
        bids, asks = rows.within[self._bp]
        return kernels.sums(bids, asks) if self._side == "both" else _of(self._side, bids, asks)


class BookSlope(SampledMetric):
    """How fast cumulative size grows with the distance from the mid, over the best `levels`."""

    name = "slope"
    formula = "Σ d·V / Σ d², d = |P - mid| / mid · 10000, V = size cumulated from the best level on"
    unit = "size per basis point"
    source = (
        "least squares through 0; the logarithmic slope of Næss and Skjeltorp (2006) has no value "
        "where a cumulated size is 1"
    )

    def __init__(self, levels: int = 10, side: str = "both") -> None:
        super().__init__()
        check_range("levels", levels, 1, MAX_SLOPE_LEVELS)
        _check_side(side)
        self._levels, self._side = levels, side

    @property
    def needs(self) -> Needs:
        """Return what is to be kept of the book."""
        return Needs(levels=self._levels)

    def samples(self, rows: BookRows) -> Any:
        """Return the slope after each row; of both sides, their mean."""
        mids = kernels.mids(rows.bid, rows.ask)
        prices, sizes, count = rows.levels.bid_price, rows.levels.bid_size, rows.levels.per_row
        bids = kernels.slopes(prices, sizes, mids, count, self._levels)
        prices, sizes = rows.levels.ask_price, rows.levels.ask_size
        asks = kernels.slopes(prices, sizes, mids, count, self._levels)
        return kernels.mids(bids, asks) if self._side == "both" else _of(self._side, bids, asks)


def _of(side: str, bids: Any, asks: Any) -> Any:
    return bids if side == "bid" else asks


def _check_side(side: str) -> None:
    if side not in SIDES:
        msg = f"the parameter side is one of {', '.join(SIDES)}; found {side!r}"
        raise UsageError(msg, "side", side)
