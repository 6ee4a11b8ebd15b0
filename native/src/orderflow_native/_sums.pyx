# cython: language_level=3
"""The compiled twins of `metrics.rolling_bars.PythonCompensatedSum` and of `metrics.traded_bars`."""


cdef extern from "float.h":
    """
    #if FLT_EVAL_METHOD != 0
    #error "doubles are kept with excess precision here: the sums would not be exact"
    #endif
    """


cdef class CompensatedSum:
    """Sum doubles in twice their precision: see `metrics.rolling_bars.PythonCompensatedSum`."""

    cdef double _high
    cdef double _low

    def add(self, terms):
        """Add finite `terms` and return the sum after each."""
        cdef double term
        cdef list sums = []
        for term in terms:
            sums.append(self._add(term))
        return sums

    cdef double _add(self, double term) noexcept:
        """Add a term and return the sum."""
        cdef double total = self._high + term, rounded = total - self._high
        self._low += (self._high - (total - rounded)) + (term - rounded)
        self._high = total
        return self._high + self._low

    def merge(self, CompensatedSum other not None):
        """Add all of another sum."""
        self.add((other._high,))
        self._low += other._low

    @property
    def value(self):
        """Return the sum as the nearest double."""
        return self._high + self._low


cdef struct Extremes:
    bint any
    double first
    double high
    double low
    double last


cdef inline void take(Extremes *seen, double value) noexcept:
    if not seen.any:
        seen.any = True
        seen.first = seen.high = seen.low = value
    elif value > seen.high:
        seen.high = value
    elif value < seen.low:
        seen.low = value
    seen.last = value


cdef list extended(list bar, const Extremes *seen):
    """Return open, high, low and close of a bar, which may be empty, and then of what was seen."""
    cdef double high, low
    if not bar:
        return [seen.first, seen.high, seen.low, seen.last]
    high, low = bar[1], bar[2]
    return [
        bar[0], seen.high if seen.high > high else high, seen.low if seen.low < low else low,
        seen.last]


def add_prices(
        list trades not None, Py_ssize_t start, double end_ms, list bar not None,
        CompensatedSum volume not None):
    """Add trades to a bar of prices: see `metrics.traded_bars.python_add_prices`."""
    cdef Extremes seen = Extremes(False, 0.0, 0.0, 0.0, 0.0)
    cdef Py_ssize_t stop = start
    cdef tuple trade
    while stop < len(trades):
        trade = trades[stop]
        if <double>trade[5] >= end_ms:
            break
        take(&seen, trade[2])
        volume._add(trade[3])
        stop += 1
    return stop, extended(bar, &seen) if seen.any else bar


def add_deltas(
        list trades not None, Py_ssize_t start, double end_ms, list bar not None,
        CompensatedSum cvd not None):
    """Add trades to a bar of CVD: see `metrics.traded_bars.python_add_deltas`."""
    cdef Extremes seen = Extremes(False, 0.0, 0.0, 0.0, 0.0)
    cdef Py_ssize_t stop = start, unknown = 0
    cdef double size
    cdef tuple trade
    while stop < len(trades):
        trade = trades[stop]
        if <double>trade[5] >= end_ms:
            break
        stop += 1
        size, side = trade[3], trade[4]
        if side == "buy":
            take(&seen, cvd._add(size))
        elif side == "sell":
            take(&seen, cvd._add(-size))
        else:
            unknown += 1
    return stop, extended(bar, &seen) if seen.any else bar, unknown
