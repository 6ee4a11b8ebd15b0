# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The compiled twin of `orderbook_manager.PythonOrderbookManager`.

The expensive part is done here, in C: reading plain level text, keeping the book, summing its best
levels. What a level is, is not decided here: a side that is not plain goes through `level_parser`.
"""

import os
from math import fsum, inf

from orderflow_native._needs import needed

from cpython.ref cimport PyObject
from libc.math cimport HUGE_VAL
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from orderflow_native._samples cimport Sample, Samples, new_samples


cdef extern from "Python.h":
    # As macros, which only read an object that the caller keeps alive: that needs no GIL.
    int PyBytes_CheckExact(PyObject *value) nogil
    const char *PyBytes_AS_STRING(PyObject *value) nogil
    Py_ssize_t PyBytes_GET_SIZE(PyObject *value) nogil
    int PyUnicode_CheckExact(PyObject *value) nogil
    int PyUnicode_IS_COMPACT_ASCII(PyObject *value) nogil
    const char *PyUnicode_1BYTE_DATA(PyObject *value) nogil
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *value) nogil


cdef extern from "level_table.h" nogil:
    ctypedef uint64_t Key
    ctypedef struct Level:
        Key key
        double size
    Key key_of(double price, Key side)
    double price_of(Key key, Key side)


cdef extern from "book_side.h" nogil:
    ctypedef struct BookSide:
        pass
    void book_side_init(BookSide *side, size_t depth, uint64_t seed)
    void book_side_free(BookSide *side)
    void book_side_clear(BookSide *side)
    int book_side_apply(
        BookSide *side, const Key *keys, const double *sizes, size_t count, double *before)
    ctypedef void LevelVisitor(void *context, Key key, double size) noexcept nogil
    void book_side_visit(const BookSide *side, LevelVisitor *visit, void *context)
    size_t book_side_count(const BookSide *side)
    Key book_side_best(const BookSide *side)
    double book_side_size(const BookSide *side, Key key)
    size_t book_side_top(const BookSide *side, size_t wanted, Level *top)
    int book_side_sum(const BookSide *side, double *sum)
    const double *book_side_summed(const BookSide *side, size_t *count)
    int sum_sizes(const double *sizes, size_t count, double *sum)
    size_t book_side_sizes_between(
        const BookSide *side, Key worst, Key best, double *sizes)


cdef extern from "level_text.h" nogil:
    ctypedef struct LevelRow:
        Key *keys
        double *sizes
        double *before
        size_t count
        size_t room
    enum:
        LEVELS_READ
        LEVELS_NO_MEMORY
    void level_row_free(LevelRow *row)
    int level_row_reserve(LevelRow *row, size_t count)
    int level_text_read(const char *text, size_t length, Key side, LevelRow *row)


include "_heat.pxi"

# No book is deeper; the limit keeps arithmetic on depths far from overflow.
cdef object DEEPEST = 1 << 40
# The side of a key (level_table.h).
cdef Key BIDS = 0
cdef Key ASKS = ~BIDS
# Drawn anew in each process, so that nobody can write a recording whose prices collide
# (level_table.h).
cdef uint64_t SEED = int.from_bytes(os.urandom(8), "little")


cdef PyObject *NONE = <PyObject *>None


cdef enum Outcome:
    SAMPLED
    UNSAMPLED  # a side is empty
    SKIPPED  # a side could not be read


cdef struct Row:
    # borrowed: whoever makes the row keeps them alive
    PyObject *bids
    PyObject *asks
    bint snapshot
    Outcome outcome
    bint crossed
    # where levels are numbers already: borrowed too, those of the bids first
    bint parsed
    bint unreadable
    const double *prices
    const double *sizes
    size_t bid_levels
    size_t ask_levels
    Py_ssize_t rejected  # levels
    long long timestamp
    double bid_sum
    double ask_sum
    # of the best level a side, a size of 0 where there is none; only where quotes are asked for
    Level bid
    Level ask


cdef enum:
    UNREADABLE = -1
    FAILED = -2


include "_recorder.pxi"
include "_level_log.pxi"
include "_parsed.pxi"
include "_row_reader.pxi"
include "_book_reader.pxi"
include "_merged_rows.pxi"


cdef inline const char *text_of(PyObject *raw, size_t *length) noexcept nogil:
    """Return the bytes of text, with a NUL after them, or NULL for what is never plain."""
    if PyBytes_CheckExact(raw):
        length[0] = <size_t>PyBytes_GET_SIZE(raw)
        return PyBytes_AS_STRING(raw)
    # ASCII is UTF-8 as it lies in memory; other text is plain nowhere.
    if PyUnicode_CheckExact(raw) and PyUnicode_IS_COMPACT_ASCII(raw):
        length[0] = <size_t>PyUnicode_GET_LENGTH(raw)
        return <const char *>PyUnicode_1BYTE_DATA(raw)
    return NULL


cdef Py_ssize_t read_side(PyObject *raw, Key side, LevelRow *row) except? FAILED nogil:
    """Read a side into `row`; return how many of its levels were rejected, or UNREADABLE."""
    if raw == NONE:
        row.count = 0
        return 0
    cdef size_t length
    cdef const char *text = text_of(raw, &length)
    if text != NULL and level_text_read(text, length, side, row) == LEVELS_READ:
        return 0
    with gil:
        return read_odd_side(<object>raw, side, row)


cdef Py_ssize_t read_odd_side(object raw, Key side, LevelRow *row) except? FAILED:
    cdef size_t i, count, length
    cdef const char *text = text_of(<PyObject *>raw, &length)
    # With the GIL, numbers of many digits are plain too.
    if text != NULL and level_text_read(text, length, side, row) == LEVELS_READ:
        return 0
    parse_side, unreadable = needed("parse_side"), needed("LevelFormatError")
    try:
        prices, sizes, rejected = parse_side(raw)
    except unreadable:
        return UNREADABLE
    count = len(prices)
    if level_row_reserve(row, count) < 0:
        raise MemoryError
    for i in range(count):
        row.keys[i] = key_of(prices[i], side)
        row.sizes[i] = <double>sizes[i]
    row.count = count
    return rejected


cdef int raise_no_memory() except -1 nogil:
    with gil:
        raise MemoryError


cdef int sum_best(const BookSide *side, double *total) except -1 nogil:
    cdef size_t count
    cdef const double *sizes = book_side_summed(side, &count)
    return total_of(sizes, count, total)


cdef list top_of(const BookSide *side, Key side_bits, size_t count):
    cdef Level *top
    cdef size_t i
    count = min(count, book_side_count(side))
    top = <Level *>malloc((count + 1) * sizeof(Level))
    if top == NULL:
        raise MemoryError
    try:
        count = book_side_top(side, count, top)
        return [[price_of(top[i].key, side_bits), top[i].size] for i in range(count)]
    finally:
        free(top)


cdef list sizes_of(const BookSide *side, Key side_bits, prices):
    cdef double price
    found = []
    for price in prices:
        # What is no price must not become a key: 0 marks a free slot (level_table.h).
        found.append(book_side_size(side, key_of(price, side_bits)) if price > 0.0 else 0.0)
    return found


cdef int drop_older(
        BookSide *bids, BookSide *asks, const LevelRow *bid_row, const LevelRow *ask_row) except -1:
    """Drop the levels that cross one of the row's own, unless they are of the row too."""
    cdef set own_bids = keys_of(bid_row), own_asks = keys_of(ask_row)
    crossing_asks = keys_down_to(asks, ~best_of(bids, own_bids))
    crossing_bids = keys_down_to(bids, ~best_of(asks, own_asks))
    drop(asks, crossing_asks - own_asks)
    drop(bids, crossing_bids - own_bids)
    return 0


cdef set keys_of(const LevelRow *row):
    cdef size_t i
    return {row.keys[i] for i in range(row.count)}


cdef Key best_of(const BookSide *side, set keys) except? 0:
    """Return the best of `keys` that is in the book now, or 0."""
    return max([key for key in keys if book_side_size(side, key) != 0.0], default=0)


cdef set keys_down_to(const BookSide *side, Key limit):
    """Return the keys from the best of the side to `limit`."""
    cdef size_t count = book_side_count(side), i
    if book_side_best(side) < limit:
        return set()
    cdef Level *levels = <Level *>malloc(count * sizeof(Level))
    if levels == NULL:
        raise MemoryError
    count = book_side_top(side, count, levels)
    try:
        return {levels[i].key for i in range(count) if levels[i].key >= limit}
    finally:
        free(levels)


cdef int drop(BookSide *side, set keys) except -1:
    cdef Key key
    cdef double deleted = 0.0, before
    for key in keys:
        if book_side_apply(side, &key, &deleted, 1, &before) < 0:
            raise MemoryError
    return 0


cdef object samples_of(const Row *work, Py_ssize_t count):
    cdef Samples samples = new_samples(count)
    cdef Sample *sample = samples._first
    cdef Py_ssize_t i
    for i in range(count):
        if work[i].outcome == SAMPLED:
            sample.timestamp = work[i].timestamp
            sample.bid_sum, sample.ask_sum = work[i].bid_sum, work[i].ask_sum
            sample += 1
    samples._count = sample - samples._first
    return samples


cdef Row new_row(bids, asks, bint snapshot, long long timestamp) except *:
    cdef Level none = Level(0, 0.0)
    return Row(
        <PyObject *>bids, <PyObject *>asks, snapshot, UNSAMPLED, False, False, False, NULL, NULL, 0,
        0, 0, timestamp, 0.0, 0.0, none, none)


cdef int quote_best(const BookSide *side, Level *best) noexcept nogil:
    best.size = 0.0
    return book_side_top(side, 1, best)


cdef object quote_of(const Row *row):
    """Return the best of the book after a row and its OBI: see `orderflow.events.Quote`."""
    cdef double total = row.bid_sum + row.ask_sum
    if row.outcome == SKIPPED:
        return None
    bid = ask = bid_size = ask_size = obi = None
    if row.bid.size != 0.0:
        bid, bid_size = price_of(row.bid.key, BIDS), row.bid.size
    if row.ask.size != 0.0:
        ask, ask_size = price_of(row.ask.key, ASKS), row.ask.size
    if row.outcome == SAMPLED and total < inf:
        obi = (row.bid_sum - row.ask_sum) / total
    return bid, ask, bid_size, ask_size, obi


cdef class OrderbookManager:
    """Rebuild one instrument's book from rows of changed levels, in compiled code.

    Constructor, methods, counts, errors and results are those of
    `orderbook_manager.PythonOrderbookManager`, to the last bit; see there.
    """

    engine = "compiled"

    cdef BookSide _bids
    cdef BookSide _asks
    cdef LevelRow _bid_row
    cdef LevelRow _ask_row
    cdef bint _uncross
    cdef bint _busy
    cdef HeatColumns _columns  # or None
    cdef Heat *_heat  # of the columns, or NULL
    cdef RowRecorder _recorder  # or None
    cdef LevelLog _level_log  # or None
    cdef public Py_ssize_t levels_rejected
    cdef public Py_ssize_t rows_skipped
    cdef public Py_ssize_t crossed_books

    def __cinit__(self, depth_levels=50, *, uncross=False, HeatColumns columns=None,
                  RowRecorder recorder=None, LevelLog level_log=None):
        if depth_levels < 1:
            raise needed("OrderflowError")(f"depth is at least 1 level a side; found {depth_levels}")
        cdef size_t depth = min(depth_levels, DEEPEST)
        book_side_init(&self._bids, depth, SEED)
        book_side_init(&self._asks, depth, SEED)
        self._uncross = uncross
        self._columns = columns
        self._heat = NULL if columns is None else &columns._heat
        self._recorder = recorder
        self._level_log = level_log

    def __dealloc__(self):
        book_side_free(&self._bids)
        book_side_free(&self._asks)
        level_row_free(&self._bid_row)
        level_row_free(&self._ask_row)

    def update(self, bids, asks, bint snapshot=False):
        """Apply one row and return the sums of the best N sizes, `(bid_sum, ask_sum)`.

        Sizes are absolute, 0 deletes. A `snapshot` replaces the book. Return None when a side is
        empty or the row could not be parsed (see `rows_skipped`).
        """
        cdef Row row = new_row(bids, asks, snapshot, 0)
        self._check_idle()
        self._busy = True
        try:
            self._apply_row(&row)
            if self._heat != NULL:
                heat_forget(self._heat)
        finally:
            self._busy = False
        return (row.bid_sum, row.ask_sum) if row.outcome == SAMPLED else None

    def update_rows(self, rows, snapshots):
        """Apply rows; return the samples after each, and which rows were odd.

        Releases the GIL; a use of the book by another thread before this returns raises
        `OrderflowError`.
        """
        outcome_class = needed("BookOutcome")
        cdef Py_ssize_t count, i
        cdef Row *work = self._apply_rows(rows, snapshots, False, &count)
        try:
            return outcome_class(
                samples_of(work, count),
                [i for i in range(count) if work[i].outcome == SKIPPED],
                [i for i in range(count) if work[i].crossed],
                [(i, work[i].rejected) for i in range(count) if work[i].rejected],
            )
        finally:
            free(work)

    def quote_rows(self, rows, snapshots):
        """Apply rows as `update_rows` does; return the best of the book after each, and OBI."""
        cdef Py_ssize_t count, i
        cdef Row *work = self._apply_rows(rows, snapshots, True, &count)
        try:
            return [quote_of(&work[i]) for i in range(count)]
        finally:
            free(work)

    cdef Row *_apply_rows(self, rows, snapshots, bint quoted, Py_ssize_t *applied) except NULL:
        """Return memory with what became of each row, for the caller to free."""
        cdef bint parsed = isinstance(rows, needed("ParsedRows"))
        cdef tuple kept = () if parsed else tuple(rows)  # keeps the texts alive while they are read
        cdef tuple marks = tuple(snapshots)
        cdef tuple row
        cdef Py_ssize_t count = len(rows) if parsed else len(kept), i
        cdef const long long[::1] times
        cdef bint recorded = self._recorder is not None and not quoted
        cdef bint row_levels = self._level_log is not None and not quoted
        if count != len(marks):
            raise ValueError(f"{count} rows with {len(marks)} snapshot marks")
        cdef Row *work = <Row *>malloc((count + 1) * sizeof(Row))
        if work == NULL:
            raise MemoryError
        try:
            if parsed:
                times = rows.times
                for i in range(count):
                    work[i] = new_row(None, None, marks[i], times[i])
                point_at_levels(work, count, rows)
            for i in range(len(kept)):
                row = kept[i]
                if len(row) < 4:
                    raise ValueError(f"a row of {len(row)} fields; its sides are the third and fourth")
                work[i] = new_row(row[2], row[3], marks[i], row[0])
            self._check_idle()
            if self._columns is not None:
                self._columns._take_tick()
            if self._recorder is not None:
                self._recorder._reserve(count)
            self._busy = True  # the GIL is still held: no thread runs between check and mark
            try:
                with nogil:
                    for i in range(count):
                        if self._heat != NULL and work[i].timestamp >= self._heat.end_ms:
                            self._columns._move_to(work[i].timestamp, &self._bids, &self._asks)
                        self._apply_row(&work[i])
                        if quoted:
                            quote_best(&self._bids, &work[i].bid)
                            quote_best(&self._asks, &work[i].ask)
                        if self._heat != NULL and work[i].outcome != SKIPPED:
                            heat_note(
                                self._heat, work[i].timestamp, best_price(&self._bids, BIDS),
                                best_price(&self._asks, ASKS))
                        if recorded and work[i].outcome == SAMPLED:
                            self._recorder._note(&self._bids, &self._asks, &work[i])
                        if row_levels and work[i].outcome != SKIPPED:
                            self._level_log._note(&self._bid_row, &self._ask_row, &work[i])
            finally:
                self._busy = False
        except:
            free(work)
            raise
        applied[0] = count
        return work

    cdef int _check_idle(self) except -1:
        if self._busy:
            raise needed("OrderflowError")(
                "the book is at work in another thread; wait until it is done")
        return 0

    cdef int _apply_row(self, Row *row) except -1 nogil:
        cdef LevelRow *bids = &self._bid_row
        cdef LevelRow *asks = &self._ask_row
        cdef Py_ssize_t bids_rejected = UNREADABLE, asks_rejected = UNREADABLE
        if row.parsed:
            if not row.unreadable:
                bids_rejected = row.rejected + take_side(
                    row.prices, row.sizes, row.bid_levels, BIDS, bids)
                asks_rejected = take_side(
                    row.prices + row.bid_levels, row.sizes + row.bid_levels, row.ask_levels, ASKS,
                    asks)
        else:
            bids_rejected = read_side(row.bids, BIDS, bids)
            if bids_rejected != UNREADABLE:
                asks_rejected = read_side(row.asks, ASKS, asks)
        if asks_rejected == UNREADABLE:
            self.rows_skipped += 1
            row.outcome = SKIPPED
            return 0
        row.rejected = bids_rejected + asks_rejected
        self.levels_rejected += row.rejected
        if row.snapshot:
            book_side_clear(&self._bids)
            book_side_clear(&self._asks)
            if self._heat != NULL:
                heat_forget(self._heat)
        if (book_side_apply(&self._bids, bids.keys, bids.sizes, bids.count, bids.before) < 0
                or book_side_apply(&self._asks, asks.keys, asks.sizes, asks.count, asks.before) < 0):
            raise_no_memory()
        if self._heat != NULL:
            heat_apply(self._heat, BIDS, bids.keys, bids.sizes, bids.before, bids.count)
            heat_apply(self._heat, ASKS, asks.keys, asks.sizes, asks.before, asks.count)
        if book_side_best(&self._bids) >= ~book_side_best(&self._asks):
            row.crossed = True
            self._note_crossed()
        if not book_side_count(&self._bids) or not book_side_count(&self._asks):
            row.outcome = UNSAMPLED
            return 0
        row.outcome = SAMPLED
        sum_best(&self._bids, &row.bid_sum)
        sum_best(&self._asks, &row.ask_sum)
        return 0

    cdef int _note_crossed(self) except -1 nogil:
        self.crossed_books += 1
        if self._uncross:
            if self._heat != NULL:
                heat_forget(self._heat)
            with gil:
                drop_older(&self._bids, &self._asks, &self._bid_row, &self._ask_row)
        return 0

    def clear(self):
        """Empty the book, as before a snapshot."""
        self._check_idle()
        book_side_clear(&self._bids)
        book_side_clear(&self._asks)
        if self._heat != NULL:
            heat_forget(self._heat)

    @property
    def is_empty(self):
        """Return whether neither side holds a level."""
        self._check_idle()
        return not book_side_count(&self._bids) and not book_side_count(&self._asks)

    @property
    def level_counts(self):
        """Return how many levels are kept, `(bids, asks)`."""
        self._check_idle()
        return book_side_count(&self._bids), book_side_count(&self._asks)

    def top_levels(self, count):
        """Return the best `count` levels a side, `([[price, size], ...], ...)`, best first."""
        self._check_idle()
        cdef size_t wanted = max(0, min(count, DEEPEST))
        return top_of(&self._bids, BIDS, wanted), top_of(&self._asks, ASKS, wanted)

    def all_levels(self):
        """Return all levels as `(price, size)`, bids then asks, in any order."""
        self._check_idle()
        return levels_of(&self._bids, BIDS), levels_of(&self._asks, ASKS)

    def sizes_at(self, bid_prices, ask_prices):
        """Return the sizes of the bids and of the asks at these prices, 0 where there is none."""
        self._check_idle()
        return sizes_of(&self._bids, BIDS, bid_prices), sizes_of(&self._asks, ASKS, ask_prices)


def parse_plain_side(bytes text):
    """Read one side as the compiled book does, for tests.

    Return `(prices, sizes)`, or None where the text is not plain and is left to `level_parser`.
    """
    cdef LevelRow row = LevelRow(NULL, NULL, NULL, 0, 0)
    cdef size_t i
    cdef int outcome = level_text_read(text, len(text), BIDS, &row)
    try:
        if outcome == LEVELS_NO_MEMORY:
            raise MemoryError
        if outcome != LEVELS_READ:
            return None
        return [price_of(row.keys[i], BIDS) for i in range(row.count)], [row.sizes[i] for i in range(row.count)]
    finally:
        level_row_free(&row)
