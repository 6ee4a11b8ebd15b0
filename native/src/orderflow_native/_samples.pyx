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


def sampled_bar(samples):
    """Return OBI and TOT over samples: see `metrics_calculator.python_sampled_bar`."""
    cdef Samples given = samples if type(samples) is Samples else packed(samples)
    cdef double bar[8]
    cdef double bids, asks, total
    cdef Py_ssize_t i, used = 0
    for i in range(given._count):
        bids, asks = given._first[i].bid_sum, given._first[i].ask_sum
        total = bids + asks
        if total < INFINITY:
            extend(bar, (bids - asks) / total, used == 0)
            extend(bar + 4, total, used == 0)
            used += 1
    return [bar[i] for i in range(8 if used else 0)], given._count - used


cdef void extend(double *bar, double value, bint is_first) noexcept:
    """Add a value to open, high, low and close."""
    if is_first:
        bar[0] = bar[1] = bar[2] = value
    elif value > bar[1]:
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
