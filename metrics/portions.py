"""Cut amounts into portions of one size: volume bars, value bars and the buckets of VPIN."""

from array import array

from orderflow.compiled import fastest
from orderflow.errors import OrderflowError

ROUNDING = 1e-12
"""A difference of so small a share of a portion is rounding, and no amount of its own."""
MAX_PARTS = 10_000
"""No amount is cut into more parts."""

Parts = tuple["array[int]", "array[float]", "array[int]"]
"""Of each part: the index of its amount, how much it is, and 1 where it fills a portion."""


class PythonPortions:
    """Fill portions of `size`, which is above 0, one after another."""

    def __init__(self, size: float) -> None:
        self._size = size
        # What is in the portion in progress, in twice the precision: 10 times 0.1 fills 1.
        self._high = self._low = 0.0

    def cut(self, amounts: "array[float]") -> Parts:
        """Return the parts that fill the portions, in order, for amounts that are not negative.

        Raise `OrderflowError` for an amount of more than `MAX_PARTS` portions.
        """
        indexes, parts, fills = array("q"), array("d"), array("B")
        size, slack = self._size, self._size * ROUNDING
        for index, amount in enumerate(amounts):
            if not amount <= size * MAX_PARTS:
                raise too_small(size, amount)
            left = amount
            while True:
                room = size - (self._high + self._low)
                fills_up = left >= room - slack
                part = room if left > room + slack else left
                indexes.append(index)
                parts.append(part)
                fills.append(fills_up)
                if fills_up:
                    self._high = self._low = 0.0
                else:
                    self._add(part)
                if part == left:
                    break
                left -= part
        return indexes, parts, fills

    def _add(self, part: float) -> None:
        total = self._high + part
        rounded = total - self._high
        self._low += (self._high - (total - rounded)) + (part - rounded)
        self._high = total


def too_small(size: float, amount: float) -> OrderflowError:
    """Return the error for an amount that is very many portions."""
    msg = (
        f"a size of {size:g} is too small for bars or buckets: one trade of {amount:g} would be "
        f"cut into more than {MAX_PARTS:,} parts; take at least {amount / MAX_PARTS:g}"
    )
    return OrderflowError(msg)


Portions = fastest("Portions", PythonPortions, too_small=too_small)
