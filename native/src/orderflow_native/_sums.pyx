# cython: language_level=3
"""The compiled twin of `metrics.rolling_bars.PythonCompensatedSum`."""


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
        cdef double high = self._high, low = self._low, term, total, rounded
        cdef list sums = []
        for term in terms:
            total = high + term
            rounded = total - high
            low += (high - (total - rounded)) + (term - rounded)
            high = total
            sums.append(high + low)
        self._high, self._low = high, low
        return sums

    def merge(self, CompensatedSum other not None):
        """Add all of another sum."""
        self.add((other._high,))
        self._low += other._low

    @property
    def value(self):
        """Return the sum as the nearest double."""
        return self._high + self._low
