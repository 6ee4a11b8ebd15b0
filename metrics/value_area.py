"""Find the point of control and the value area of a profile of volume by price."""

from collections.abc import Sequence
from math import fsum

VALUE_SHARE = 0.7


def value_area(rows: Sequence[float], volumes: Sequence[float]) -> tuple[int, int, int]:
    """Return the places of the point of control, of the value area's highest and of its lowest row.

    `rows` ascend, are one or more, and have `volumes` of 0 or more. The point of control has the
    most volume; of several, it is the one nearest to the middle of the first and the last row, of
    two as near the lower. From there the larger of the next two rows above and the next two below
    is added, the ones above when equal, until 70 % of all volume is in; a side with one row left
    gives that one. Source: the rule of market profiles, with ties written down.
    """
    middle, most = (rows[0] + rows[-1]) / 2, max(volumes)
    poc = min(
        (place for place, volume in enumerate(volumes) if volume == most),
        key=lambda place: abs(rows[place] - middle),
    )
    low = high = poc
    wanted, inside = VALUE_SHARE * fsum(volumes), volumes[poc]
    while inside < wanted and (low > 0 or high < len(volumes) - 1):
        above, below = fsum(volumes[high + 1 : high + 3]), fsum(volumes[max(low - 2, 0) : low])
        if low == 0 or (high < len(volumes) - 1 and above >= below):
            high = min(high + 2, len(volumes) - 1)
            inside += above
        else:
            low = max(low - 2, 0)
            inside += below
    return poc, high, low
