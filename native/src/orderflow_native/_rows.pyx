# cython: language_level=3
"""The compiled twins of what `recordings` does with every row of a table."""

from orderflow_native._needs import needed

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.unicode cimport PyUnicode_DecodeUTF8
from libc.math cimport INFINITY
from libc.string cimport memcmp


cdef extern from "Python.h":
    bint PyLong_CheckExact(object value)
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1


cdef long long FIRST_MS = 10 ** 11, LAST_MS = 10 ** 14
cdef long long NEVER = -(2 ** 62)


def are_whole_ms(list rows):
    """Return whether every row begins with an integer that is a time in milliseconds."""
    cdef tuple row
    cdef int overflow = 0
    cdef long long ms
    for row in rows:
        if not PyLong_CheckExact(row[0]):
            return False
        ms = PyLong_AsLongLongAndOverflow(row[0], &overflow)
        if overflow or not FIRST_MS <= ms < LAST_MS:
            return False
    return len(rows) > 0


def is_sorted(list rows):
    """Return whether rows are in the order of their first two fields, integers."""
    cdef tuple row
    cdef int ms_overflow = 0, order_overflow = 0
    cdef long long ms, order, ms_before = -1, order_before = 0
    for row in rows:
        ms = PyLong_AsLongLongAndOverflow(row[0], &ms_overflow)
        order = PyLong_AsLongLongAndOverflow(row[1], &order_overflow)
        if ms_overflow or order_overflow:
            keys = [(<tuple>one)[:2] for one in rows]
            return keys == sorted(keys)
        if ms < ms_before or (ms == ms_before and order < order_before):
            return False
        ms_before, order_before = ms, order
    return True


cdef class TradeDecoder:
    """Turn recorded rows into trades: see `recordings.trade_decoder.PythonTradeDecoder`."""

    cdef double _start, _end, _largest
    cdef long long _seen_ms
    cdef tuple _first  # the first trade of that millisecond
    cdef set _seen  # the keys of all of its trades, from the second on
    cdef readonly Py_ssize_t skipped
    cdef readonly Py_ssize_t repeated
    cdef public list skipped_times
    cdef public list repeated_times

    def __cinit__(self, double start_ms, double end_ms):
        self._start, self._end, self._largest = start_ms, end_ms, needed("MAX_TRADE_SIZE")
        self._seen_ms = NEVER
        self.skipped_times, self.repeated_times = [], []

    def decode(self, batches):
        """Yield the usable trades, in the order of the rows, in lists that are not empty."""
        for batch in batches:
            trades = self._trades(batch)
            if trades:
                yield trades
            if batch[-1][0] >= self._end:
                return

    cdef list _trades(self, list batch):
        cdef list trades = []
        cdef tuple row, trade
        cdef long long ms
        for row in batch:
            if len(row) != 6:
                raise ValueError(f"a row of a trade has 6 fields; found {len(row)}")
            ms = row[0]
            if not self._start <= <double>ms < self._end:
                continue
            trade = self._trade(row)
            if trade is None:
                self.skipped += 1
                self.skipped_times.append(row[0])
            elif self._is_repeat(ms, trade):
                self.repeated += 1
                self.repeated_times.append(row[0])
            else:
                trades.append(trade)
        return trades

    cdef tuple _trade(self, tuple row):
        """Return the trade of a row, or None if its price or size is not usable."""
        price, size = row[3], row[4]
        if not (PyFloat_CheckExact(price) and PyFloat_CheckExact(size)):
            to_float = needed("to_float")
            price, size = to_float(price), to_float(size)
        if not (0.0 < PyFloat_AS_DOUBLE(price) < INFINITY
                and 0.0 <= PyFloat_AS_DOUBLE(size) <= self._largest):
            return None
        return own_id(row[1]), to_text(row[2]), price, size, to_side(row[5]), row[0]

    cdef bint _is_repeat(self, long long ms, tuple trade) except -1:
        if ms != self._seen_ms:
            self._seen_ms, self._first, self._seen = ms, trade, None
            return False
        if trade[1] is None:
            return False
        # Most milliseconds have one trade; a set is made for the second.
        if self._seen is None:
            self._seen = {self._first[1:5]}
        key = trade[1:5]
        if key in self._seen:
            return True
        self._seen.add(key)
        return False


cdef object own_id(object order):
    cdef int overflow = 0
    PyLong_AsLongLongAndOverflow(order, &overflow)
    if not overflow:  # as most are: the time has no part finer than 1 ms
        return order
    return needed("id_of")(order)


cdef object to_text(object raw):
    if PyBytes_CheckExact(raw):
        return PyUnicode_DecodeUTF8(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), b"replace")
    return None if raw is None else str(raw)


cdef object to_side(object raw):
    if PyBytes_CheckExact(raw):
        if PyBytes_GET_SIZE(raw) == 3 and memcmp(PyBytes_AS_STRING(raw), b"buy", 3) == 0:
            return "buy"
        if PyBytes_GET_SIZE(raw) == 4 and memcmp(PyBytes_AS_STRING(raw), b"sell", 4) == 0:
            return "sell"
    text = to_text(raw)
    return None if text is None else text.strip().lower()
