"""Work out figures of many book rows at once: column in, column out.

Each function has a compiled twin that makes the same doubles. NaN stands for no value.
"""

from array import array
from collections.abc import Sequence
from math import inf, nan

from orderflow.compiled import fastest

Quote = tuple[float, float, float, float]
"""Best bid, its size, best ask, its size."""


def python_imbalances(bids: "array[float]", asks: "array[float]") -> "array[float]":
    """Return (b - a) / (b + a) of each pair, whose sum is above 0; NaN where it is infinite."""
    return array(
        "d", [(b - a) / (b + a) if b + a < inf else nan for b, a in zip(bids, asks, strict=True)]
    )


def python_sums(bids: "array[float]", asks: "array[float]") -> "array[float]":
    """Return b + a of each pair; NaN where it is infinite."""
    return array("d", [b + a if b + a < inf else nan for b, a in zip(bids, asks, strict=True)])


def python_spreads(bids: "array[float]", asks: "array[float]") -> "array[float]":
    """Return a - b of each pair."""
    return array("d", [a - b for b, a in zip(bids, asks, strict=True)])


def python_mids(bids: "array[float]", asks: "array[float]") -> "array[float]":
    """Return (b + a) / 2 of each pair."""
    return array("d", [(b + a) / 2 for b, a in zip(bids, asks, strict=True)])


def python_weighted_mids(
    bids: "array[float]",
    bid_sizes: "array[float]",
    asks: "array[float]",
    ask_sizes: "array[float]",
) -> "array[float]":
    """Return the mean of the best prices, each weighted with the size of the other side.

    NaN where products or sizes are more than a double holds.
    """
    mids = array("d")
    for bid, bid_size, ask, ask_size in zip(bids, bid_sizes, asks, ask_sizes, strict=True):
        weighted, total = bid * ask_size + ask * bid_size, bid_size + ask_size
        mids.append(weighted / total if weighted < inf and total < inf else nan)
    return mids


def python_flows(
    prices_and_sizes: Sequence["array[float]"], before: Quote | None, place: int, step: int
) -> "array[float]":
    """Return the order flow e of each row, for the levels at `place`, `place + step` and so on.

    The columns are bid prices, bid sizes, ask prices and ask sizes; `before` is the level of the
    row before the first, and without one the first has a flow of 0.
    """
    flows = array("d")
    levels = zip(*(column[place::step] for column in prices_and_sizes), strict=True)
    for bid, bid_size, ask, ask_size in levels:
        flow = 0.0
        if before is not None:
            old_bid, old_bid_size, old_ask, old_ask_size = before
            bids = (bid_size if bid >= old_bid else 0.0) - (old_bid_size if bid <= old_bid else 0.0)
            asks = (ask_size if ask <= old_ask else 0.0) - (old_ask_size if ask >= old_ask else 0.0)
            flow = bids - asks
        flows.append(flow)
        before = bid, bid_size, ask, ask_size
    return flows


def python_ohlc(values: "array[float]") -> list[float]:
    """Return open, high, low and close of the finite values; an empty list where there are none."""
    found = [value for value in values if -inf < value < inf]
    return [found[0], max(found), min(found), found[-1]] if found else []


def python_slopes(
    prices: "array[float]",
    sizes: "array[float]",
    mids: "array[float]",
    count: int,
    used: int,
) -> "array[float]":
    """Return the least-squares slope through 0 of cumulative size against distance from the mid.

    Distances are in basis points; each row has `count` levels, best first, of which the first
    `used` count. Levels of size 0 are left out. NaN where there is no slope.
    """
    slopes = array("d")
    for row, mid in enumerate(mids):
        total = products = squares = 0.0
        for place in range(row * count, row * count + used):
            if sizes[place] > 0.0:
                total += sizes[place]
                distance = abs(prices[place] - mid) / mid * 10_000.0
                products += distance * total
                squares += distance * distance
        slope = products / squares if squares > 0.0 else nan
        slopes.append(slope if -inf < slope < inf else nan)
    return slopes


imbalances = fastest("imbalances", python_imbalances)
sums = fastest("sums", python_sums)
spreads = fastest("spreads", python_spreads)
mids = fastest("mids", python_mids)
weighted_mids = fastest("weighted_mids", python_weighted_mids)
flows = fastest("flows", python_flows)
ohlc = fastest("ohlc", python_ohlc)
slopes = fastest("slopes", python_slopes)
