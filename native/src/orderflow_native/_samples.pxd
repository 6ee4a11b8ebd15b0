cdef struct Sample:
    long long timestamp
    double bid_sum
    double ask_sum


cdef class Samples:
    cdef Sample *_first
    cdef Py_ssize_t _count
    cdef Samples _owner  # of the memory, where these are a slice of others


cdef Samples new_samples(Py_ssize_t room)
