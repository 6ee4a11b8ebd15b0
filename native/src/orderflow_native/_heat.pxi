"""The compiled twin of `metrics.heat_columns.PythonHeatColumns`, a part of `_book.pyx`."""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport INT64_MAX, int64_t, uint16_t


cdef extern from "heat_columns.h" nogil:
    ctypedef struct ColumnHead:
        double low
        double row
        double bid
        double ask
    ctypedef struct HeatRing:
        int64_t first
        size_t count
        ColumnHead *heads
        uint16_t *updates
        uint16_t *cells
    ctypedef struct BestChange:
        double time
        double bid
        double ask
    ctypedef struct Heat:
        HeatRing *rings
        int64_t end_ms
        int64_t number
        int64_t mid
        int any_price
        BestChange *best
        int64_t best_count
    enum:
        HEAT_COLUMNS
        HEAT_ROWS
        HEAT_COLUMN_MS
        HEAT_BEST
        HEAT_NO_BOOK
        HEAT_NEEDS_TICK
    int64_t HEAT_MAX_MID
    int heat_init(Heat *heat, int64_t start_ms)
    void heat_free(Heat *heat)
    void heat_set_tick(
        Heat *heat, double units, double power, double ticks_per_price, int any_price,
        int64_t finer)
    void heat_apply(
        Heat *heat, Key side, const Key *keys, const double *sizes, const double *before,
        size_t count)
    void heat_forget(Heat *heat)
    void heat_note(Heat *heat, int64_t timestamp, double bid, double ask)
    int heat_look(Heat *heat, const BookSide *bids, const BookSide *asks, int fit)
    int heat_close(
        Heat *heat, const BookSide *bids, const BookSide *asks, int look, int64_t number)
    void heat_write(
        const Heat *heat, int level, const BookSide *bids, const BookSide *asks,
        ColumnHead *head, uint16_t *updates, uint16_t *cells)
    double best_price(const BookSide *side, Key bits)


cdef struct LevelList:
    Key side
    PyObject *levels


cdef void visit_level(void *context, Key key, double size) noexcept nogil:
    cdef LevelList *found = <LevelList *>context
    with gil:
        (<list>found.levels).append((price_of(key, found.side), size))


cdef list levels_of(const BookSide *side, Key bits):
    cdef list levels = []
    cdef LevelList found = LevelList(bits, <PyObject *>levels)
    book_side_visit(side, visit_level, &found)
    return levels


cdef class HeatColumns:
    """Keep columns of resting size by price row: see `metrics.heat_columns.PythonHeatColumns`.

    A compiled book that was made with it feeds it. `ring` and `finish` are to be given that book.
    """

    cdef Heat _heat
    cdef object _grid
    cdef object _version
    cdef tuple _tick

    def __cinit__(self, grid, int64_t start_ms=-1, bint heat=True):
        if heat_init(&self._heat, start_ms) < 0:
            raise MemoryError
        if not heat:
            self._heat.end_ms = INT64_MAX
        self._grid = grid
        self._version = None
        self._tick = (0, 0)

    def __dealloc__(self):
        heat_free(&self._heat)

    cdef int _take_tick(self) except -1:
        """Take over what the grid has become."""
        grid = self._grid
        version = grid.version, grid.off_tick
        if version == self._version:
            return 0
        finer = grid.ticks_in(*self._tick) if self._tick[0] else 1
        if self._heat.mid * finer > HEAT_MAX_MID:  # of Python's integers, which do not overflow
            finer = 0
        heat_set_tick(
            &self._heat, grid.units, 10.0 ** grid.decimals, grid.ticks_per_price, grid.off_tick,
            finer)
        self._tick = (grid.units, grid.decimals)
        self._version = version
        return 0

    cdef int _look(self, const BookSide *bids, const BookSide *asks, bint fit) except -1 nogil:
        cdef int look = heat_look(&self._heat, bids, asks, fit)
        if look == HEAT_NEEDS_TICK:
            with gil:
                self._fit_tick(bids, asks)
            look = heat_look(&self._heat, bids, asks, fit)
        return look

    cdef int _fit_tick(self, const BookSide *bids, const BookSide *asks) except -1:
        cdef list levels = levels_of(bids, BIDS) + levels_of(asks, ASKS)
        self._grid.fit([price for price, _ in levels])
        self._take_tick()
        return 0

    cdef int _move_to(self, int64_t timestamp, const BookSide *bids, const BookSide *asks) except -1 nogil:
        """Finish the columns that end at or before the time of the next row."""
        cdef Heat *heat = &self._heat
        cdef int64_t number = timestamp // HEAT_COLUMN_MS
        if heat.number >= 0:
            if heat_close(heat, bids, asks, self._look(bids, asks, True), number) < 0:
                with gil:
                    raise MemoryError
        heat.number = number
        heat.end_ms = (number + 1) * HEAT_COLUMN_MS
        return 0

    def finish(self, OrderbookManager book not None):
        """Look at the book as at a column's end, since no further row comes."""
        book._check_idle()
        self._take_tick()
        if self._heat.number >= 0:
            self._look(&book._bids, &book._asks, True)

    def ring(self, int level, OrderbookManager book not None):
        """Return the number of the first column of a level, and arrays of all, as bytes."""
        cdef HeatRing *ring = &self._heat.rings[level]
        cdef bint is_open
        cdef size_t count = ring.count, kept, i, slot, skipped
        cdef ColumnHead head
        book._check_idle()
        self._take_tick()
        is_open = (self._heat.number >= 0
                   and self._look(&book._bids, &book._asks, False) != HEAT_NO_BOOK)
        kept = min(count, <size_t>HEAT_COLUMNS - is_open)
        skipped = count - kept
        cdef size_t total = kept + is_open
        cdef bytes low = empty(total * 8), row = empty(total * 8)
        cdef bytes bid = empty(total * 8), ask = empty(total * 8)
        cdef bytes updates = empty(total * 2), cells = empty(total * HEAT_ROWS * 2)
        cdef double *lows = <double *><char *>low
        cdef double *rows = <double *><char *>row
        cdef double *bids = <double *><char *>bid
        cdef double *asks = <double *><char *>ask
        cdef uint16_t *updated = <uint16_t *><char *>updates
        cdef uint16_t *found = <uint16_t *><char *>cells
        cdef int64_t first = ring.first + <int64_t>skipped
        if is_open:
            first = (self._heat.number >> 2 * level) - <int64_t>kept
        for i in range(total):
            if i < kept:
                slot = <size_t>(first + <int64_t>i) % HEAT_COLUMNS
                head, updated[i] = ring.heads[slot], ring.updates[slot]
                memcpy(found + i * HEAT_ROWS, ring.cells + slot * HEAT_ROWS, HEAT_ROWS * 2)
            else:
                heat_write(
                    &self._heat, level, &book._bids, &book._asks, &head, &updated[i],
                    found + i * HEAT_ROWS)
            lows[i], rows[i], bids[i], asks[i] = head.low, head.row, head.bid, head.ask
        return first, {
            "low": low, "row": row, "bid": bid, "ask": ask, "updates": updates, "cells": cells}

    def best_changes(self):
        """Return how many changes came before the first one kept, and their columns as bytes."""
        cdef int64_t count = min(self._heat.best_count, <int64_t>HEAT_BEST), i
        cdef int64_t first = self._heat.best_count - count
        cdef bytes time = empty(count * 8), bid = empty(count * 8), ask = empty(count * 8)
        cdef double *times = <double *><char *>time
        cdef double *bids = <double *><char *>bid
        cdef double *asks = <double *><char *>ask
        cdef BestChange change
        for i in range(count):
            change = self._heat.best[(first + i) % HEAT_BEST]
            times[i], bids[i], asks[i] = change.time, change.bid, change.ask
        return first, {"time": time, "bid": bid, "ask": ask}


cdef bytes empty(size_t size):
    return PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
