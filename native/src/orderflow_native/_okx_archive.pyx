# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The compiled twin of `formats.okx_archive.python_read_block`."""

from orderflow_native._needs import needed

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcmp, memcpy


ctypedef struct Name:
    const char *text
    Py_ssize_t length


def read_okx_block(bytes block not None):
    """Read the lines of a block; those not written as most are, Python reads."""
    cdef const char *at = PyBytes_AS_STRING(block)
    cdef const char *end = at + PyBytes_GET_SIZE(block)
    cdef const char *stop
    # Four more bytes a level, which has at least thirteen.
    cdef char *text = <char *>malloc(<size_t>(2 * (end - at) + 16))
    cdef list found = []
    cdef Name last
    cdef object name = None
    last.text, last.length = NULL, 0
    if text is NULL:
        raise MemoryError()
    try:
        while at < end:
            stop = <const char *>memchr(at, c"\n", <size_t>(end - at))
            if stop is NULL:
                stop = end
            row = read_usual(at, stop, text, &last, name)
            if row is not None:
                name = (<tuple>row)[0]
                found.append(row)
            else:
                line = PyBytes_FromStringAndSize(at, stop - at)
                if line.strip():
                    found.append(needed("read_okx_line")(line))
            at = stop + 1
    finally:
        free(text)
    return found


cdef object read_usual(const char *at, const char *end, char *text, Name *last, object last_name):
    cdef const char *begin
    cdef bint snapshot
    cdef long long time = 0
    cdef int digit
    cdef char *bids_at
    cdef char *stop
    if not skip(&at, end, b'{"instId":"', 11):
        return None
    begin = at
    while at < end and is_of_name(at[0]):
        at += 1
    cdef Py_ssize_t length = at - begin
    if length == 0 or not skip(&at, end, b'","action":"', 12):
        return None
    snapshot = skip(&at, end, b"snapshot", 8)
    if not snapshot and not skip(&at, end, b"update", 6):
        return None
    if not skip(&at, end, b'","ts":"', 8) or end - at < 13:
        return None
    for digit in range(13):
        if not c"0" <= at[digit] <= c"9":
            return None
        time = 10 * time + (at[digit] - c"0")
    at += 13
    if not skip(&at, end, b'","asks":', 9):
        return None
    bids_at = copy_side(&at, end, text)
    if bids_at is NULL or not skip(&at, end, b',"bids":', 8):
        return None
    stop = copy_side(&at, end, bids_at)
    if stop is NULL or end - at != 1 or at[0] != c"}":
        return None
    if last_name is None or length != last.length or memcmp(begin, last.text, <size_t>length) != 0:
        last_name = PyUnicode_DecodeASCII(begin, length, NULL)
    last.text, last.length = begin, length
    return (
        last_name,
        PyUnicode_DecodeASCII(bids_at, stop - bids_at, NULL),
        PyUnicode_DecodeASCII(text, bids_at - text, NULL),
        time,
        "snapshot" if snapshot else "update",
        None,
        None,
        None,
    )


cdef inline bint skip(const char **at, const char *end, const char *text, Py_ssize_t length) noexcept:
    if end - at[0] < length or memcmp(at[0], text, <size_t>length) != 0:
        return False
    at[0] += length
    return True


cdef inline bint is_of_name(char c) noexcept:
    return c"A" <= c <= c"Z" or c"0" <= c <= c"9" or c == c"-" or c == c"_" or c == c"."


cdef char *copy_side(const char **given, const char *end, char *out) noexcept:
    """Copy `[["p","s","n"],…]` to `out` as `[["p","s","0","n"],…]`; return its end, or NULL."""
    cdef const char *at = given[0]
    cdef const char *begin
    cdef int field
    if not skip(&at, end, b"[", 1):
        return NULL
    out[0] = c"["
    out += 1
    if at < end and at[0] == c"]":
        given[0] = at + 1
        out[0] = c"]"
        return out + 1
    while True:
        if not skip(&at, end, b'["', 2):
            return NULL
        memcpy(out, b'["', 2)
        out += 2
        for field in range(3):
            begin = at
            while at < end and (c"0" <= at[0] <= c"9" or (at[0] == c"." and field < 2)):
                at += 1
            if at == begin:
                return NULL
            memcpy(out, begin, <size_t>(at - begin))
            out += at - begin
            if field == 0:
                if not skip(&at, end, b'","', 3):
                    return NULL
                memcpy(out, b'","', 3)
                out += 3
            elif field == 1:
                if not skip(&at, end, b'","', 3):
                    return NULL
                memcpy(out, b'","0","', 7)
                out += 7
        if not skip(&at, end, b'"]', 2):
            return NULL
        memcpy(out, b'"]', 2)
        out += 2
        if at >= end:
            return NULL
        out[0] = at[0]
        out += 1
        at += 1
        if at[-1] == c"]":
            given[0] = at
            return out
        if at[-1] != c",":
            return NULL
