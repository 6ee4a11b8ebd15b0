# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The compiled twins of `metrics.kernels` and `metrics.portions`."""

from array import array

from orderflow_native._needs import needed

from cpython cimport array as c_array
from libc.math cimport INFINITY, NAN, fabs

cdef c_array.array DOUBLES = array("d"), LONGS = array("q"), BYTES = array("B")
cdef double ROUNDING = 1e-12
cdef double MAX_PARTS = 10000.0


cdef Py_ssize_t length_of(c_array.array first, c_array.array second) except -1:
    """Return how long both are; raise `ValueError` where they differ."""
    if len(first) != len(second):
        raise ValueError(f"columns of {len(first)} and {len(second)} rows")
    return len(first)


def imbalances(c_array.array bids not None, c_array.array asks not None):
    """Return (b - a) / (b + a) of each pair; NaN where the sum is infinite."""
    cdef Py_ssize_t count = length_of(bids, asks), i
    cdef c_array.array made = c_array.clone(DOUBLES, count, False)
    cdef double bid, ask
    for i in range(count):
        bid, ask = bids.data.as_doubles[i], asks.data.as_doubles[i]
        made.data.as_doubles[i] = (bid - ask) / (bid + ask) if bid + ask < INFINITY else NAN
    return made


def sums(c_array.array bids not None, c_array.array asks not None):
    """Return b + a of each pair; NaN where it is infinite."""
    cdef Py_ssize_t count = length_of(bids, asks), i
    cdef c_array.array made = c_array.clone(DOUBLES, count, False)
    cdef double total
    for i in range(count):
        total = bids.data.as_doubles[i] + asks.data.as_doubles[i]
        made.data.as_doubles[i] = total if total < INFINITY else NAN
    return made


def spreads(c_array.array bids not None, c_array.array asks not None):
    """Return a - b of each pair."""
    cdef Py_ssize_t count = length_of(bids, asks), i
    cdef c_array.array made = c_array.clone(DOUBLES, count, False)
    for i in range(count):
        made.data.as_doubles[i] = asks.data.as_doubles[i] - bids.data.as_doubles[i]
    return made


def mids(c_array.array bids not None, c_array.array asks not None):
    """Return (b + a) / 2 of each pair."""
    cdef Py_ssize_t count = length_of(bids, asks), i
    cdef c_array.array made = c_array.clone(DOUBLES, count, False)
    for i in range(count):
        made.data.as_doubles[i] = (bids.data.as_doubles[i] + asks.data.as_doubles[i]) / 2
    return made


def weighted_mids(
        c_array.array bids not None, c_array.array bid_sizes not None, c_array.array asks not None,
        c_array.array ask_sizes not None):
    """Return the best prices' mean, each weighted with the size of the other side."""
    cdef Py_ssize_t count = length_of(bids, bid_sizes), i
    length_of(bids, asks)
    length_of(bids, ask_sizes)
    cdef c_array.array made = c_array.clone(DOUBLES, count, False)
    cdef double weighted, total
    for i in range(count):
        weighted = (
            bids.data.as_doubles[i] * ask_sizes.data.as_doubles[i]
            + asks.data.as_doubles[i] * bid_sizes.data.as_doubles[i])
        total = bid_sizes.data.as_doubles[i] + ask_sizes.data.as_doubles[i]
        made.data.as_doubles[i] = (
            weighted / total if weighted < INFINITY and total < INFINITY else NAN)
    return made


def flows(columns, before, Py_ssize_t place, Py_ssize_t step):
    """Return the order flow of each row: see `metrics.kernels.python_flows`."""
    cdef c_array.array bids, bid_sizes, asks, ask_sizes, made
    bids, bid_sizes, asks, ask_sizes = columns
    cdef Py_ssize_t total = length_of(bids, bid_sizes), i, row
    length_of(bids, asks)
    length_of(bids, ask_sizes)
    cdef double bid, bid_size, ask, ask_size, old_bid = 0, old_bid_size = 0, old_ask = 0
    cdef double old_ask_size = 0, flow_of_bids, flow_of_asks
    cdef bint known = before is not None
    if known:
        old_bid, old_bid_size, old_ask, old_ask_size = before
    made = c_array.clone(DOUBLES, total // step, False)
    for row in range(total // step):
        i = row * step + place
        bid, bid_size = bids.data.as_doubles[i], bid_sizes.data.as_doubles[i]
        ask, ask_size = asks.data.as_doubles[i], ask_sizes.data.as_doubles[i]
        flow_of_bids = (bid_size if bid >= old_bid else 0.0) - (
            old_bid_size if bid <= old_bid else 0.0)
        flow_of_asks = (ask_size if ask <= old_ask else 0.0) - (
            old_ask_size if ask >= old_ask else 0.0)
        made.data.as_doubles[row] = flow_of_bids - flow_of_asks if known else 0.0
        known = True
        old_bid, old_bid_size, old_ask, old_ask_size = bid, bid_size, ask, ask_size
    return made


def ohlc(c_array.array values not None):
    """Return open, high, low and close of the finite values; an empty list where there are none."""
    cdef double opened = 0, high = -INFINITY, low = INFINITY, close = 0, value
    cdef Py_ssize_t i
    cdef bint found = False
    for i in range(len(values)):
        value = values.data.as_doubles[i]
        if -INFINITY < value < INFINITY:
            if not found:
                opened, found = value, True
            if value > high:
                high = value
            if value < low:
                low = value
            close = value
    return [opened, high, low, close] if found else []


def slopes(
        c_array.array prices not None, c_array.array sizes not None, c_array.array mids not None,
        Py_ssize_t count, Py_ssize_t used):
    """Return the slope of each row: see `metrics.kernels.python_slopes`."""
    cdef Py_ssize_t rows = len(mids), row, i
    cdef c_array.array made = c_array.clone(DOUBLES, rows, False)
    cdef double total, products, squares, distance, size, mid, slope
    if length_of(prices, sizes) != rows * count or used > count:
        raise ValueError(f"{used} of {count} levels of {rows} rows, from {len(prices)} prices")
    for row in range(rows):
        mid = mids.data.as_doubles[row]
        total = products = squares = 0.0
        for i in range(row * count, row * count + used):
            size = sizes.data.as_doubles[i]
            if size > 0.0:
                total += size
                distance = fabs(prices.data.as_doubles[i] - mid) / mid * 10000.0
                products += distance * total
                squares += distance * distance
        slope = products / squares if squares > 0.0 else NAN
        made.data.as_doubles[row] = slope if -INFINITY < slope < INFINITY else NAN
    return made


cdef class Portions:
    """Fill portions of a size, one after another: see `metrics.portions.PythonPortions`."""

    cdef double _size
    cdef double _high
    cdef double _low

    def __cinit__(self, double size):
        self._size = size

    def cut(self, c_array.array amounts not None):
        """Return the parts that fill the portions, in order."""
        cdef Py_ssize_t room = len(amounts) + 64, count = 0, i
        cdef c_array.array indexes = c_array.clone(LONGS, room, False)
        cdef c_array.array parts = c_array.clone(DOUBLES, room, False)
        cdef c_array.array fills = c_array.clone(BYTES, room, False)
        cdef double slack = self._size * ROUNDING, amount, left, free_size, part
        cdef bint fills_up
        for i in range(len(amounts)):
            amount = left = amounts.data.as_doubles[i]
            if not amount <= self._size * MAX_PARTS:
                raise needed("too_small")(self._size, amount)
            while True:
                free_size = self._size - (self._high + self._low)
                fills_up = left >= free_size - slack
                part = free_size if left > free_size + slack else left
                if count == room:
                    room *= 2
                    for column in (indexes, parts, fills):
                        c_array.resize_smart(column, room)
                indexes.data.as_longlongs[count] = i
                parts.data.as_doubles[count] = part
                fills.data.as_uchars[count] = fills_up
                count += 1
                if fills_up:
                    self._high = self._low = 0.0
                else:
                    self._add(part)
                if part == left:
                    break
                left -= part
        for column in (indexes, parts, fills):
            c_array.resize(column, count)
        return indexes, parts, fills

    cdef void _add(self, double part) noexcept:
        cdef double total = self._high + part
        cdef double rounded = total - self._high
        self._low += (self._high - (total - rounded)) + (part - rounded)
        self._high = total
