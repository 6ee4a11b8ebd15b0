# cython: language_level=3
"""Samples of the book without an object for each, and the figures made of them."""

from libc.math cimport INFINITY
from libc.stdlib cimport free, malloc


cdef class Samples:
    """A sequence of samples `(timestamp_ms, bid_sum, ask_sum)`; a slice of it copies nothing."""

    def __dealloc__(self):
        if self._owner is None:
            free(self._first)

    def __len__(self):
        return self._count

    def __getitem__(self, index):
        cdef Py_ssize_t start, stop, step, i
        cdef Samples part
        if isinstance(index, slice):
            start, stop, step = index.indices(self._count)
            if step != 1:
                raise ValueError(f"samples are sliced with a step of 1; found a step of {step}")
            part = Samples.__new__(Samples)
            part._owner = self if self._owner is None else self._owner
            part._first, part._count = self._first + start, max(stop - start, 0)
            return part
        i = index
        if i < 0:
            i += self._count
        if not 0 <= i < self._count:
            raise IndexError(f"sample {index} of {self._count}")
        return self._first[i].timestamp, self._first[i].bid_sum, self._first[i].ask_sum


def samples_of_columns(const long long[::1] times, const double[::1] bids, const double[::1] asks):
    """Return samples of columns: see `metrics_calculator.python_samples_of_columns`."""
    cdef Py_ssize_t count = times.shape[0], i
    if bids.shape[0] != count or asks.shape[0] != count:
        raise ValueError(f"{count} times with {bids.shape[0]} and {asks.shape[0]} sums")
    cdef Samples made = new_samples(count)
    for i in range(count):
        made._first[i] = Sample(times[i], bids[i], asks[i])
    made._count = count
    return made


cdef Samples new_samples(Py_ssize_t room):
    """Return samples with memory for `room` of them; the caller fills it and sets `_count`."""
    cdef Samples samples = Samples.__new__(Samples)
    samples._first = <Sample *>malloc((room + 1) * sizeof(Sample))
    if samples._first == NULL:
        raise MemoryError
    return samples


def sample_bars(samples, long long window_ms, list bar not None):
    """Add samples to bars of OBI and TOT: see `metrics_calculator.python_sample_bars`."""
    cdef Samples given = samples if type(samples) is Samples else packed(samples)
    cdef double figures[8]
    cdef double bids, asks, total
    cdef long long time, start = 0, bad_start = 0
    cdef bint any_figures = bool(bar)
    cdef list bars = [], unusable = []
    cdef Py_ssize_t i, bad = 0
    if any_figures:
        start = bar[0]
        for i in range(8):
            figures[i] = bar[1 + i]
    for i in range(given._count):
        time, bids, asks = given._first[i].timestamp, given._first[i].bid_sum, given._first[i].ask_sum
        total = bids + asks
        if bad and time >= bad_start + window_ms:
            unusable.append((bad_start, bad))
            bad = 0
        if not total < INFINITY:
            bad_start = time - time % window_ms
            bad += 1
        elif any_figures and time < start + window_ms:
            extend(figures, (bids - asks) / total)
            extend(figures + 4, total)
        else:
            if any_figures:
                bars.append(bar_of(start, figures))
            start, any_figures = time - time % window_ms, True
            figures[0] = figures[1] = figures[2] = figures[3] = (bids - asks) / total
            figures[4] = figures[5] = figures[6] = figures[7] = total
    if bad:
        unusable.append((bad_start, bad))
    if any_figures:
        bars.append(bar_of(start, figures))
    return bars, unusable


cdef list bar_of(long long start, const double *figures):
    return [
        start, figures[0], figures[1], figures[2], figures[3], figures[4], figures[5], figures[6],
        figures[7]]


cdef inline void extend(double *bar, double value) noexcept:
    """Add a value to open, high, low and close."""
    if value > bar[1]:
        bar[1] = value
    elif value < bar[2]:
        bar[2] = value
    bar[3] = value


cdef Samples packed(object samples):
    cdef list given = list(samples)
    cdef Samples made = new_samples(len(given))
    for timestamp, bid_sum, ask_sum in given:
        made._first[made._count] = Sample(timestamp, bid_sum, ask_sum)
        made._count += 1
    return made
