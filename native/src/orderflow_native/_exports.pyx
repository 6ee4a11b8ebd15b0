# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The compiled twins of `formats.event_bytes` and `formats.delta_columns`."""

from array import array

from cpython cimport array as c_array
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint64_t


cdef extern from "fixed_point.h" nogil:
    enum:
        FIXED_BYTES
    int fixed_put(double value, int *decimals, unsigned char *out)


ctypedef packed struct Event:
    uint64_t ev
    int64_t exch_ts
    int64_t local_ts
    double px
    double qty
    uint64_t order_id
    int64_t ival
    double fval


cdef enum:
    DEPTH = 1
    TRADE = 2
    CLEAR = 3
    SNAPSHOT = 4
    NS_PER_MS = 1000000

cdef uint64_t BOTH = 3 << 30
cdef uint64_t BUY = 1 << 29
cdef uint64_t SELL = 1 << 28


cdef inline Event *put(Event *event, uint64_t ev, int64_t ns, double px, double qty) noexcept nogil:
    event.ev, event.exch_ts, event.local_ts, event.px, event.qty = ev | BOTH, ns, ns, px, qty
    event.order_id, event.ival, event.fval = 0, 0, 0.0
    return event + 1


def event_bytes(rows, trades):
    """Return events of hftbacktest: see `formats.event_bytes.python_event_bytes`."""
    cdef c_array.array times = rows[0], marks = rows[1], counts = rows[2]
    cdef c_array.array prices = rows[3], sizes = rows[4]
    cdef c_array.array trade_times = trades[0], trade_prices = trades[1]
    cdef c_array.array trade_sizes = trades[2], sides = trades[3]
    cdef Py_ssize_t row, row_count = len(times), trade = 0, trade_count = len(trade_times), level
    cdef Py_ssize_t level_count = len(prices)
    cdef long long total = 0, clears = 0
    for row in range(row_count):
        clears += marks.data.as_schars[row] != 0
        total += counts.data.as_ints[2 * row] + counts.data.as_ints[2 * row + 1]
    if total != level_count or len(sizes) != level_count or len(counts) != 2 * row_count:
        raise ValueError(f"rows of {total} levels, with {level_count} prices")
    if not len(trade_prices) == len(trade_sizes) == len(sides) == trade_count:
        raise ValueError("columns of trades differ in length")
    made = PyBytes_FromStringAndSize(
        NULL, (level_count + clears + trade_count) * <Py_ssize_t>sizeof(Event))
    cdef Event *event = <Event *>PyBytes_AS_STRING(made)
    cdef const double *price = prices.data.as_doubles
    cdef const double *size = sizes.data.as_doubles
    cdef const double *when = trade_times.data.as_doubles
    cdef uint64_t kind
    cdef int64_t ns
    cdef int side
    with nogil:
        for row in range(row_count + 1):
            while trade < trade_count and (
                    row == row_count or when[trade] <= times.data.as_longlongs[row]):
                side = sides.data.as_uchars[trade]
                event = put(
                    event, TRADE | (BUY if side == 1 else SELL if side == 2 else 0),
                    <int64_t>when[trade] * NS_PER_MS, trade_prices.data.as_doubles[trade],
                    trade_sizes.data.as_doubles[trade])
                trade += 1
            if row == row_count:
                break
            ns, kind = times.data.as_longlongs[row] * NS_PER_MS, DEPTH
            if marks.data.as_schars[row]:
                event, kind = put(event, CLEAR, ns, 0.0, 0.0), SNAPSHOT
            for side in range(2):
                for level in range(counts.data.as_ints[2 * row + side]):
                    event = put(event, kind | (SELL if side else BUY), ns, price[level], size[level])
                price += counts.data.as_ints[2 * row + side]
                size += counts.data.as_ints[2 * row + side]
    return made


cdef enum:
    ADD = 1
    UPDATE = 2
    DELETE = 3
    CLEAR_BOOK = 4
    OF_SNAPSHOT = 32
    LAST = 128


cdef struct Columns:
    uint8_t *action
    uint8_t *side
    uint8_t *flags
    unsigned char *price
    unsigned char *size
    uint64_t *sequence
    uint64_t *time
    Py_ssize_t count


cdef inline void put_delta(
        Columns *to, uint8_t action, uint8_t side, uint8_t flags, uint64_t sequence,
        uint64_t ns) noexcept nogil:
    to.action[to.count], to.side[to.count], to.flags[to.count] = action, side, flags
    to.sequence[to.count], to.time[to.count] = sequence, ns
    to.count += 1


def delta_columns(rows, decimals, limits, first_sequence):
    """Return deltas of NautilusTrader: see `formats.delta_columns.python_delta_columns`."""
    cdef c_array.array times = rows[0], marks = rows[1], counts = rows[2]
    cdef c_array.array prices = rows[3], sizes = rows[4]
    cdef Py_ssize_t row, row_count = len(times), level = 0, level_count = len(prices), stop
    cdef Py_ssize_t clears = 0, room, begun, inexact = 0, beyond = 0
    cdef long long total = 0
    for row in range(row_count):
        clears += marks.data.as_schars[row] != 0
        total += counts.data.as_ints[2 * row] + counts.data.as_ints[2 * row + 1]
    if total != level_count or len(sizes) != level_count or len(counts) != 2 * row_count:
        raise ValueError(f"rows of {total} levels, with {level_count} prices")
    room = level_count + clears
    made = [bytearray(room * width) for width in (1, 1, 1, FIXED_BYTES, FIXED_BYTES, 8, 8)]
    cdef unsigned char[::1] actions = made[0] or bytearray(1), sides = made[1] or bytearray(1)
    cdef unsigned char[::1] flags = made[2] or bytearray(1), fixed_prices = made[3] or bytearray(1)
    cdef unsigned char[::1] fixed_sizes = made[4] or bytearray(1)
    cdef unsigned char[::1] sequences = made[5] or bytearray(8), stamps = made[6] or bytearray(8)
    cdef Columns to = Columns(
        &actions[0], &sides[0], &flags[0], &fixed_prices[0], &fixed_sizes[0],
        <uint64_t *>&sequences[0], <uint64_t *>&stamps[0], 0)
    cdef int price_decimals = decimals[0], size_decimals = decimals[1], side
    cdef double most_price = limits[0], most_size = limits[1], price, size
    cdef uint64_t sequence = first_sequence, ns
    cdef bint replaces
    with nogil:
        for row in range(row_count):
            ns = <uint64_t>times.data.as_longlongs[row] * NS_PER_MS
            replaces, begun = marks.data.as_schars[row] != 0, to.count
            if replaces:
                put_delta(&to, CLEAR_BOOK, 0, OF_SNAPSHOT, sequence, ns)
            for side in range(2):
                stop = level + counts.data.as_ints[2 * row + side]
                while level < stop:
                    price, size = prices.data.as_doubles[level], sizes.data.as_doubles[level]
                    level += 1
                    if replaces and size == 0.0:
                        continue
                    if price > most_price or size > most_size:
                        beyond += 1
                        continue
                    inexact += not fixed_put(price, &price_decimals, to.price + to.count * FIXED_BYTES)
                    inexact += not fixed_put(size, &size_decimals, to.size + to.count * FIXED_BYTES)
                    put_delta(
                        &to, ADD if replaces else DELETE if size == 0.0 else UPDATE, side + 1,
                        OF_SNAPSHOT if replaces else 0, sequence, ns)
            if to.count > begun:
                to.flags[to.count - 1] |= LAST
            sequence += 1
    columns = [
        bytes(memoryview(column)[: to.count * width])
        for column, width in zip(made, (1, 1, 1, FIXED_BYTES, FIXED_BYTES, 8, 8))
    ]
    return columns, (price_decimals, size_decimals), inexact, beyond


def fixed_point(c_array.array values not None, int decimals):
    """Return values as fixed-point numbers: see `formats.delta_columns.python_fixed_point`."""
    cdef Py_ssize_t count = len(values), i, inexact = 0
    made = PyBytes_FromStringAndSize(NULL, count * FIXED_BYTES)
    cdef unsigned char *to = <unsigned char *>PyBytes_AS_STRING(made)
    for i in range(count):
        inexact += not fixed_put(values.data.as_doubles[i], &decimals, to + i * FIXED_BYTES)
    return made, decimals, inexact
