# cython: language_level=3, cdivision=True
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

    cdef inline double _add(self, double term) noexcept:
        """Add a term and return the sum."""
        cdef double total = self._high + term, rounded = total - self._high
        self._low += (self._high - (total - rounded)) + (term - rounded)
        self._high = total
        return self._high + self._low

    def merge(self, CompensatedSum other not None):
        """Add all of another sum."""
        self._merge(other)

    cdef void _merge(self, CompensatedSum other) noexcept:
        self._add(other._high)
        self._low += other._low

    cpdef void clear(self) noexcept:
        """Begin again from 0."""
        self._high = self._low = 0.0

    @property
    def value(self):
        """Return the sum as the nearest double."""
        return self._high + self._low


cdef struct Progress:
    # of the bar in progress
    bint any
    long long start
    long long end
    double first
    double high
    double low
    double last
    long long trades


cdef Progress progress_of(list bar, long long window_ms) except *:
    """Return where a bar is that was given; its trades are not known."""
    if not bar:
        return Progress(False, 0, 0, 0.0, 0.0, 0.0, 0.0, 0)
    cdef long long start = bar[0]
    return Progress(True, start, start + window_ms, bar[1], bar[2], bar[3], bar[4], 0)


cdef inline long long window_start(long long time, long long window_ms) noexcept:
    cdef long long past = time % window_ms
    return time - (past + window_ms if past < 0 else past)


cdef inline void begin(Progress *bar, long long time, long long window_ms, double value) noexcept:
    bar.any = True
    bar.start = window_start(time, window_ms)
    bar.end = bar.start + window_ms
    bar.first = bar.high = bar.low = bar.last = value
    bar.trades = 0


cdef inline void take(Progress *bar, double value) noexcept:
    if value > bar.high:
        bar.high = value
    elif value < bar.low:
        bar.low = value
    bar.last = value


cdef list price_bar(const Progress *bar, CompensatedSum volume):
    return [
        bar.start, bar.first, bar.high, bar.low, bar.last, volume._high + volume._low, bar.trades]


def price_bars(
        trades, long long window_ms, list bar not None, CompensatedSum volume not None,
        CompensatedSum closed not None):
    """Add trades to bars of prices: see `metrics.traded_bars.python_price_bars`."""
    cdef list given = trades if type(trades) is list else list(trades)
    cdef Progress now = progress_of(bar, window_ms)
    cdef list bars = []
    cdef long long time
    cdef tuple trade
    if bar:
        now.trades = bar[6]
    for trade in given:
        time = trade[5]
        if not now.any or time >= now.end:
            if now.any:
                bars.append(price_bar(&now, volume))
            closed._merge(volume)
            volume.clear()
            begin(&now, time, window_ms, trade[2])
        else:
            take(&now, trade[2])
        volume._add(trade[3])
        now.trades += 1
    if now.any:
        bars.append(price_bar(&now, volume))
    return bars


def delta_bars(trades, long long window_ms, list bar not None, CompensatedSum cvd not None):
    """Add trades to bars of the CVD: see `metrics.traded_bars.python_delta_bars`."""
    cdef list given = trades if type(trades) is list else list(trades)
    cdef Progress now = progress_of(bar, window_ms)
    cdef list bars = []
    cdef long long time
    cdef double size
    cdef Py_ssize_t unknown = 0
    cdef tuple trade
    for trade in given:
        time = trade[5]
        if not now.any or time >= now.end:
            if now.any:
                bars.append([now.start, now.first, now.high, now.low, now.last])
            begin(&now, time, window_ms, cvd._high + cvd._low)
        size, side = trade[3], trade[4]
        if side == "buy":
            take(&now, cvd._add(size))
        elif side == "sell":
            take(&now, cvd._add(-size))
        else:
            unknown += 1
    if now.any:
        bars.append([now.start, now.first, now.high, now.low, now.last])
    return bars, unknown
