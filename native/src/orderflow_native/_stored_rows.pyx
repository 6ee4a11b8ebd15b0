# cython: language_level=3
"""The compiled twin of `simulator.stored_rows.python_parse_row`."""

from orderflow_native._needs import needed

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII


cdef extern from "stored_row.h":
    ctypedef struct Span:
        const char *text
        size_t length
    ctypedef struct Number:
        long long value
        bint is_null
    enum:
        ROW_BOOK
        ROW_TRADE
    ctypedef struct StoredRow:
        long long seq
        long long ts
        bint snapshot
        bint reliable
        Number seq_id
        Number prev_seq_id
        Span bids
        Span asks
        Span id
        Span price
        Span size
        Span side
    int stored_row_read(const char *line, size_t length, StoredRow *row)


def parse_row(bytes line not None):
    """Read a stored row; what is not written as most are, Python reads."""
    cdef StoredRow row
    cdef int kind = stored_row_read(PyBytes_AS_STRING(line), PyBytes_GET_SIZE(line), &row)
    if kind == ROW_BOOK:
        return tuple.__new__(needed("StoredBook"), (
            row.seq, row.ts, row.snapshot, row.reliable,
            number_of(row.seq_id), number_of(row.prev_seq_id), (),
            PyBytes_FromStringAndSize(row.bids.text, row.bids.length),
            PyBytes_FromStringAndSize(row.asks.text, row.asks.length)))
    if kind == ROW_TRADE:
        return tuple.__new__(needed("StoredTrade"), (
            row.seq, row.ts, text_of(row.id), text_of(row.price), text_of(row.size), text_of(row.side)))
    return needed("python_parse_row")(line)


cdef inline object number_of(Number number):
    return None if number.is_null else number.value


cdef inline object text_of(Span span):
    return None if span.text == NULL else PyUnicode_DecodeASCII(span.text, span.length, NULL)
