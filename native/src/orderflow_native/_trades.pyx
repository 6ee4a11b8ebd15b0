# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The compiled twins of `metrics.trade_columns` and `metrics.volume_by_row`."""

from array import array
from math import fsum

from cpython cimport array as c_array
from libc.math cimport fabs
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, qsort
from libc.string cimport memset


cdef extern from "float.h":
    """
    #if FLT_EVAL_METHOD != 0
    #error "doubles are kept with excess precision here: the sums would not be exact"
    #endif
    """


cdef enum:
    OTHER = 0
    BUY = 1
    SELL = 2
    FIRST_ROOM = 64

cdef double MAX_TICKS = 2.0 ** 45
# Adding it leaves no fraction, in numbers below 2^51.
cdef double ROUNDER = 1.5 * 2.0 ** 52
cdef double TICK_ERROR = 2.0 ** -50
cdef c_array.array DOUBLES = array("d"), BYTES = array("B")


def trade_columns(trades):
    """Return the times, prices, sizes and sides of trades, as arrays."""
    cdef list given = trades if type(trades) is list else list(trades)
    cdef Py_ssize_t count = len(given), i
    cdef c_array.array times = c_array.clone(DOUBLES, count, False)
    cdef c_array.array prices = c_array.clone(DOUBLES, count, False)
    cdef c_array.array sizes = c_array.clone(DOUBLES, count, False)
    cdef c_array.array sides = c_array.clone(BYTES, count, False)
    cdef tuple trade
    for i in range(count):
        trade = given[i]
        side = trade[4]
        times.data.as_doubles[i] = trade[5]
        prices.data.as_doubles[i] = trade[2]
        sizes.data.as_doubles[i] = trade[3]
        sides.data.as_uchars[i] = BUY if side == "buy" else SELL if side == "sell" else OTHER
    return times, prices, sizes, sides


cdef struct Volumes:
    int64_t row
    bint used
    double sides[3]


cdef int by_row(const void *first, const void *second) noexcept nogil:
    cdef int64_t a = (<const Volumes *>first).row, b = (<const Volumes *>second).row
    return (a > b) - (a < b)


cdef class VolumeByRow:
    """Volume by price row and side: see `metrics.volume_by_row.PythonVolumeByRow`."""

    cdef Volumes *_slots
    cdef size_t _room  # a power of two
    cdef size_t _count
    cdef readonly double delta, min_delta, max_delta, volume, notional, highest

    def __cinit__(self):
        self._room = FIRST_ROOM
        self._slots = <Volumes *>calloc(self._room, sizeof(Volumes))
        if self._slots == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self._slots)

    def clear(self):
        """Begin anew."""
        self._set_room(FIRST_ROOM)
        self.delta = self.min_delta = self.max_delta = 0.0
        self.volume = self.notional = self.highest = 0.0

    def __len__(self):
        return self._count

    cdef int _set_room(self, size_t room) except -1:
        """Begin with an empty table of so many slots."""
        if room == self._room:
            memset(self._slots, 0, room * sizeof(Volumes))
            self._count = 0
            return 0
        cdef Volumes *slots = <Volumes *>calloc(room, sizeof(Volumes))
        if slots == NULL:
            raise MemoryError
        free(self._slots)
        self._slots, self._room, self._count = slots, room, 0
        return 0

    cdef Volumes *_slot(self, int64_t row) noexcept:
        """Return the slot of a row, or the free one where it would go."""
        cdef size_t place = <size_t>row * <size_t>0x9e3779b97f4a7c15
        place ^= place >> 29
        place &= self._room - 1
        while self._slots[place].used and self._slots[place].row != row:
            place = (place + 1) & (self._room - 1)
        return &self._slots[place]

    cdef Volumes *_new(self, int64_t row) except NULL:
        """Return the slot of a row that is not there yet."""
        cdef Volumes *old
        cdef size_t room = self._room, i
        if 2 * (self._count + 1) > room:
            old = self._slots
            self._slots = <Volumes *>calloc(2 * room, sizeof(Volumes))
            if self._slots == NULL:
                self._slots = old
                raise MemoryError
            self._room = 2 * room
            for i in range(room):
                if old[i].used:
                    self._slot(old[i].row)[0] = old[i]
            free(old)
        self._count += 1
        cdef Volumes *slot = self._slot(row)
        slot.row, slot.used = row, True
        return slot

    def add(
            self, tuple trades, Py_ssize_t start, Py_ssize_t stop, double ticks_per_price,
            int64_t row_ticks, Py_ssize_t most, bint any_price):
        """Add trades from `start` to before `stop`; return the place of the first one left."""
        # As arrays, not as views of them, which take longer to make than a few trades to add.
        cdef c_array.array price_array = trades[1], size_array = trades[2], side_array = trades[3]
        cdef const double *prices = price_array.data.as_doubles
        cdef const double *sizes = size_array.data.as_doubles
        cdef const unsigned char *sides = side_array.data.as_uchars
        cdef Py_ssize_t place
        check_columns(price_array, size_array, side_array, start, stop)
        for place in range(start, stop):
            if not self._take(
                    prices[place], sizes[place], sides[place], ticks_per_price, row_ticks, most,
                    any_price):
                return place
        return stop

    cdef inline bint _take(
            self, double price, double size, unsigned char side, double ticks_per_price,
            int64_t row_ticks, Py_ssize_t most, bint any_price) except -1:
        """Add a trade; return whether it could be."""
        cdef double ticks = min(price * ticks_per_price, MAX_TICKS)
        cdef double tick = (ticks + ROUNDER) - ROUNDER
        if not any_price and not (
                0.0 < ticks < MAX_TICKS and fabs(ticks - tick) <= ticks * TICK_ERROR):
            return False
        cdef int64_t row = <int64_t>tick if row_ticks == 1 else <int64_t>tick // row_ticks
        cdef Volumes *slot = self._slot(row)
        if not slot.used:
            if <Py_ssize_t>self._count >= most:
                return False
            slot = self._new(row)
        slot.sides[side] += size
        if side == BUY:
            self.delta += size
        elif side == SELL:
            self.delta -= size
        self.min_delta = min(self.min_delta, self.delta)
        self.max_delta = max(self.max_delta, self.delta)
        self.volume += size
        self.notional += size * price
        self.highest = max(self.highest, price)
        return True

    def rescale(self, multiply, divide):
        """Make each row number times `multiply` by `divide`, and join those that become equal."""
        cdef c_array.array rows, buys, sells, others
        cdef Volumes *slot
        cdef int64_t row, factor = multiply, divisor = divide
        cdef size_t i, count = self._count
        rows, buys, sells, others = self.columns()
        self._set_room(self._room)
        for i in range(count):
            row = <int64_t>rows.data.as_doubles[i] * factor // divisor
            slot = self._slot(row)
            if not slot.used:
                slot = self._new(row)
            slot.sides[OTHER] += others.data.as_doubles[i]
            slot.sides[BUY] += buys.data.as_doubles[i]
            slot.sides[SELL] += sells.data.as_doubles[i]

    def columns(self):
        """Return the rows, ascending, and their volumes, as arrays."""
        cdef Volumes *found = <Volumes *>calloc(self._count + 1, sizeof(Volumes))
        cdef size_t i, count = 0
        if found == NULL:
            raise MemoryError
        cdef c_array.array rows, buys, sells, others
        try:
            rows = c_array.clone(DOUBLES, self._count, False)
            buys = c_array.clone(DOUBLES, self._count, False)
            sells = c_array.clone(DOUBLES, self._count, False)
            others = c_array.clone(DOUBLES, self._count, False)
            for i in range(self._room):
                if self._slots[i].used:
                    found[count] = self._slots[i]
                    count += 1
            qsort(found, count, sizeof(Volumes), by_row)
            for i in range(count):
                rows.data.as_doubles[i] = <double>found[i].row
                buys.data.as_doubles[i] = found[i].sides[BUY]
                sells.data.as_doubles[i] = found[i].sides[SELL]
                others.data.as_doubles[i] = found[i].sides[OTHER]
        finally:
            free(found)
        return rows, buys, sells, others


cdef int check_columns(
        c_array.array prices, c_array.array sizes, c_array.array sides, Py_ssize_t start,
        Py_ssize_t stop) except -1:
    if prices.typecode != "d" or sizes.typecode != "d" or sides.typecode != "B":
        raise TypeError("prices and sizes must be arrays of doubles, and sides of bytes")
    if not 0 <= start <= stop <= min(len(prices), len(sizes), len(sides)):
        raise IndexError(f"there are not trades from {start} to before {stop}")
    return 0


cdef object total_of(c_array.array volumes):
    """Return the sum of an array, as `math.fsum` does: rounded once."""
    cdef double high = 0.0, low = 0.0, lost = 0.0, value, total, part, error
    cdef Py_ssize_t i
    for i in range(len(volumes)):
        value = volumes.data.as_doubles[i]
        total = high + value
        part = total - high
        error = (high - (total - part)) + (value - part)
        high = total
        total = low + error
        part = total - low
        lost += fabs((low - (total - part)) + (error - part))
        low = total
    # The sum is high and low, exactly, unless something was lost.
    return high + low if lost == 0.0 else fsum(volumes)


cdef tuple footprint_bar(long long window, VolumeByRow cells, VolumeByRow profile):
    cdef tuple columns = cells.columns()
    cdef double vwap = profile.notional / profile.volume if profile.volume != 0.0 else 0.0
    return (
        window, total_of(columns[1]), total_of(columns[2]), total_of(columns[3]), cells.min_delta,
        cells.max_delta, vwap, columns)


def add_windows(
        VolumeByRow cells not None, profile, tuple trades not None, Py_ssize_t start,
        Py_ssize_t stop, window, long long window_ms, scale):
    """Add trades to cells and profile: see `metrics.footprint_windows.python_add_windows`."""
    cdef c_array.array time_array = trades[0], price_array = trades[1]
    cdef c_array.array size_array = trades[2], side_array = trades[3]
    cdef const double *times = time_array.data.as_doubles
    cdef const double *prices = price_array.data.as_doubles
    cdef const double *sizes = size_array.data.as_doubles
    cdef const unsigned char *sides = side_array.data.as_uchars
    cdef double ticks_per_price = scale[0]
    cdef int64_t row_ticks = scale[1], profile_ticks = profile.height.ticks
    cdef Py_ssize_t room = scale[2], most = profile.most
    cdef bint any_price = scale[3], has_window = window is not None
    cdef VolumeByRow profile_rows = profile.rows
    cdef long long begin = window if has_window else 0, time, past
    cdef list closed = []
    check_columns(price_array, size_array, side_array, start, stop)
    if time_array.typecode != "d" or <Py_ssize_t>len(time_array) < stop:
        raise TypeError("times must be an array of doubles, as long as the others")
    while start < stop:
        time = <long long>times[start]
        if not has_window or time >= begin + window_ms:
            if has_window:
                closed.append(footprint_bar(begin, cells, profile_rows))
                room -= <Py_ssize_t>cells._count
                cells.clear()
            past = time % window_ms
            has_window, begin = True, time - (past + window_ms if past < 0 else past)
        if not cells._take(
                prices[start], sizes[start], sides[start], ticks_per_price, row_ticks, room,
                any_price):
            break
        while not profile_rows._take(
                prices[start], sizes[start], sides[start], ticks_per_price, profile_ticks, most,
                True):
            profile.grow()
            profile_ticks = profile.height.ticks
        start += 1
    return start, begin if has_window else None, closed
