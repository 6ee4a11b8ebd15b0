"""Order flow imbalance: what came to and left the best levels, row by row."""

from collections.abc import Sequence
from math import inf

from metrics import kernels
from metrics.book_rows import BookLevels, BookRows, Needs
from metrics.kernels import Quote
from metrics.metric import BookMetric, check_range
from metrics.rolling_bars import CompensatedSum

MAX_LEVELS = 10


class OrderFlowImbalance(BookMetric):
    """The order flow imbalance of a bar, at the best level or at each of the best `levels`.

    A row is compared with the one before that left neither side empty, which may lie before the
    bar. A level that is not there counts as the worst price, with size 0.
    """

    name = "ofi"
    formula = "Σ e, e = [Qb·1(Pb≥Pb') - Qb'·1(Pb≤Pb')] - [Qa·1(Pa≤Pa') - Qa'·1(Pa≥Pa')]"
    unit = "size"
    source = (
        "Cont, Kukanov, Stoikov, arXiv 1011.6402; by level: Xu, Gould, Howison, arXiv 1907.06230"
    )

    def __init__(self, levels: int = 1) -> None:
        check_range("levels", levels, 1, MAX_LEVELS)
        self._levels = levels
        self.fields = ("value",) if levels == 1 else [f"level_{i + 1}" for i in range(levels)]
        self._before: list[Quote | None] = [None] * levels
        self.begin_bar()

    @property
    def needs(self) -> Needs:
        """Return what is to be kept of the book."""
        return Needs(levels=self._levels) if self._levels > 1 else Needs()

    def warm_up(self, rows: BookRows) -> None:
        """Take the last row as the one before the first of the range."""
        self._keep_last(_levels_of(rows, self._levels))

    def add_rows(self, rows: BookRows) -> None:
        """Add rows of the bar in progress."""
        levels = _levels_of(rows, self._levels)
        columns = levels[1:]
        for place, (total, before) in enumerate(zip(self._sums, self._before, strict=True)):
            flows = kernels.flows(columns, before, place, levels.per_row)
            total.add([flow for flow in flows if -inf < flow < inf])
        self._keep_last(levels)

    def _keep_last(self, levels: BookLevels) -> None:
        first = len(levels.bid_price) - levels.per_row
        self._before = [
            (
                levels.bid_price[first + place],
                levels.bid_size[first + place],
                levels.ask_price[first + place],
                levels.ask_size[first + place],
            )
            for place in range(self._levels)
        ]

    def begin_bar(self) -> None:
        """Begin a bar."""
        self._sums = [CompensatedSum() for _ in range(self._levels)]

    def value(self) -> Sequence[float]:
        """Return the sum of each level."""
        return [total.value for total in self._sums]

    def without_events(self, before: Sequence[float]) -> Sequence[float]:
        """Return no flow."""
        return [0.0] * len(before)


def _levels_of(rows: BookRows, levels: int) -> BookLevels:
    """Return the levels of the rows; for one, the best prices and sizes, which are always there."""
    if levels > 1:
        return rows.levels
    return BookLevels(1, rows.bid, rows.bid_size, rows.ask, rows.ask_size)
