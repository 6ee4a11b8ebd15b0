"""Metrics of the best prices and their sizes: spread, mid, weighted mid."""

from typing import Any

from metrics import kernels
from metrics.book_rows import BookRows
from metrics.metric import SampledMetric


class Spread(SampledMetric):
    """Best ask less best bid; negative while the book is crossed."""

    name = "spread"
    formula = "Pa - Pb"
    unit = "price"
    source = "by definition"

    def samples(self, rows: BookRows) -> Any:
        """Return the spread after each row."""
        return kernels.spreads(rows.bid, rows.ask)


class Mid(SampledMetric):
    """The mean of the best prices."""

    name = "mid"
    formula = "(Pb + Pa) / 2"
    unit = "price"
    source = "by definition"

    def samples(self, rows: BookRows) -> Any:
        """Return the mid after each row."""
        return kernels.mids(rows.bid, rows.ask)


class WeightedMid(SampledMetric):
    """The mean of the best prices, each weighted with the size on the other side."""

    name = "weighted_mid"
    formula = "(Pb·Qa + Pa·Qb) / (Qa + Qb)"
    unit = "price"
    source = "by definition; often called micro-price, which it is not: see micro_price"

    def samples(self, rows: BookRows) -> Any:
        """Return the weighted mid after each row."""
        return kernels.weighted_mids(rows.bid, rows.bid_size, rows.ask, rows.ask_size)
