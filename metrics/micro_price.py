"""The micro-price: where the mid is expected to go, given imbalance and spread."""

from array import array
from collections.abc import Sequence
from math import inf, nan
from operator import add, mul
from typing import Any

from metrics.book_rows import BookRows
from metrics.metric import SampledMetric, check_positive, check_range
from metrics.portions import ROUNDING
from orderflow.errors import UsageError

DOUBLINGS = 10
"""The mid is looked ahead for 2^10 rows, which stands for the limit."""
MAX_STATES = 400
Matrix = list[list[float]]


class MicroPrice(SampledMetric):
    """The micro-price of Stoikov: where the mid is expected to end up; not the weighted mid.

    The state of a row is its imbalance at the touch, in `buckets` equal parts, and its spread in
    ticks of `tick`, those of `spreads` and more together. How states follow one another, and how
    the mid moves on the way (R, P), is counted over the rows so far, each step also mirrored. It is
    estimated at a bar's beginning, so that nothing is known in advance; NaN in the first bar, in
    states never left before, and while the book is crossed.
    """

    name = "micro_price"
    formula = "mid + G(I, S), G = R + P·R + P²·R + … over 1024 rows, counted over the rows so far"
    unit = "price"
    source = "Stoikov (2018), The micro-price, SSRN 2970694"

    def __init__(self, tick: float, buckets: int = 10, spreads: int = 2) -> None:
        super().__init__()
        check_positive("tick", tick)
        check_range("buckets", buckets, 1, MAX_STATES)
        check_range("spreads", spreads, 1, MAX_STATES)
        self._tick, self._buckets, self._spreads = tick, buckets, spreads
        count = buckets * spreads
        if count > MAX_STATES:
            msg = f"buckets times spreads are at most {MAX_STATES} states; found {count}"
            raise UsageError(msg, "buckets", buckets)
        self._follows: Matrix = [[0.0] * count for _ in range(count)]
        self._moves = [0.0] * count
        self._before: tuple[int, float] | None = None
        self._adjustments = [nan] * count

    def samples(self, rows: BookRows) -> Any:
        """Return the micro-price after each row, and count its transition."""
        found = array("d")
        for bid, bid_size, ask, ask_size in zip(
            rows.bid, rows.bid_size, rows.ask, rows.ask_size, strict=True
        ):
            state = self._state(bid, bid_size, ask, ask_size)
            if state is None:
                self._before = None
                found.append(nan)
                continue
            mid = (bid + ask) / 2
            self._count(state, mid)
            found.append(mid + self._adjustments[state])
        return found

    def _state(self, bid: float, bid_size: float, ask: float, ask_size: float) -> int | None:
        if ask <= bid or bid_size + ask_size == inf:
            return None
        ticks = round(min((ask - bid) / self._tick, self._spreads))
        # 2.948 of 3.685 is 0.8, and not below it, as doubles have it.
        share = bid_size / (bid_size + ask_size) * (1.0 + ROUNDING)
        bucket = min(int(share * self._buckets), self._buckets - 1)
        return bucket * self._spreads + min(max(ticks, 1), self._spreads) - 1

    def _count(self, state: int, mid: float) -> None:
        before, self._before = self._before, (state, mid)
        if before is None:
            return
        move = mid - before[1]
        self._follows[before[0]][state] += 1.0
        self._follows[self._mirrored(before[0])][self._mirrored(state)] += 1.0
        self._moves[before[0]] += move
        self._moves[self._mirrored(before[0])] -= move

    def _mirrored(self, state: int) -> int:
        bucket, spread = divmod(state, self._spreads)
        return (self._buckets - 1 - bucket) * self._spreads + spread

    def begin_bar(self) -> None:
        """Begin a bar, with what the rows before it teach."""
        super().begin_bar()
        self._adjustments = adjustments(self._follows, self._moves)


def adjustments(follows: Matrix, moves: Sequence[float]) -> list[float]:
    """Return by how much the mid is expected to move from each state; NaN from one never left.

    `follows` counts how often each state was followed by each, and `moves` has the sum of the moves
    of the mid on the way. The expectation is R + P·R + P²·R + …, of 2^`DOUBLINGS` terms.
    """
    counts = [sum(row) for row in follows]
    left = [i for i, count in enumerate(counts) if count]
    expected = [moves[i] / counts[i] for i in left]
    chances = [[follows[i][j] / counts[i] for j in left] for i in left]
    for _ in range(DOUBLINGS):
        further = [sum(map(mul, row, expected)) for row in chances]
        expected = list(map(add, expected, further))
        columns = list(zip(*chances, strict=True))
        chances = [[sum(map(mul, row, column)) for column in columns] for row in chances]
    found = dict(zip(left, expected, strict=True))
    return [found.get(i, nan) for i in range(len(moves))]
