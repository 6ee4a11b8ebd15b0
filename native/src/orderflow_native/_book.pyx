# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The compiled twin of `orderbook_manager.PythonOrderbookManager`.

What costs is done here, in C: reading plain level text, keeping the book, summing its best levels.
What a level is, is not decided here: a side that is not plain goes through `level_parser`.
"""

import os
from math import fsum, inf

from errors import LevelFormatError, OrderflowError
from level_parser import parse_side

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, malloc


cdef extern from "level_table.h":
    ctypedef uint64_t Key
    ctypedef struct Level:
        Key key
        double size
    Key key_of(double price, Key side)
    double price_of(Key key, Key side)


cdef extern from "book_side.h":
    ctypedef struct BookSide:
        pass
    void book_side_init(BookSide *side, size_t depth, uint64_t seed)
    void book_side_free(BookSide *side)
    void book_side_clear(BookSide *side)
    int book_side_apply(BookSide *side, const Key *keys, const double *sizes, size_t count)
    size_t book_side_count(const BookSide *side)
    Key book_side_best(const BookSide *side)
    size_t book_side_top(const BookSide *side, size_t wanted, Level *top)
    int book_side_sum(const BookSide *side, double *sum)
    const double *book_side_summed(const BookSide *side, size_t *count)


cdef extern from "uncross.h":
    int uncross(BookSide *bids, BookSide *asks, Key *bid_keys, size_t bid_count,
                Key *ask_keys, size_t ask_count)


cdef extern from "level_text.h":
    ctypedef struct LevelRow:
        Key *keys
        double *sizes
        size_t count
        size_t room
    enum:
        LEVELS_READ
        LEVELS_NO_MEMORY
    void level_row_free(LevelRow *row)
    int level_row_reserve(LevelRow *row, size_t count)
    int level_text_read(const char *text, size_t length, Key side, LevelRow *row)


# No book is deeper; it keeps the arithmetic on depths far from overflow.
cdef object DEEPEST = 1 << 40
# The side of a key (level_table.h).
cdef Key BIDS = 0
cdef Key ASKS = ~BIDS
# Of this process alone, so that nobody can write a recording whose prices collide (level_table.h).
cdef uint64_t SEED = int.from_bytes(os.urandom(8), "little")


cdef object read_side(object raw, Key side, LevelRow *row):
    """Read a side into `row` and return how many of its levels were rejected."""
    cdef int outcome
    cdef size_t i, count
    if raw is None:
        row.count = 0
        return 0
    if PyBytes_CheckExact(raw):
        outcome = level_text_read(
            PyBytes_AS_STRING(raw), <size_t>PyBytes_GET_SIZE(raw), side, row)
        if outcome == LEVELS_READ:
            return 0
        if outcome == LEVELS_NO_MEMORY:
            raise MemoryError
    prices, sizes, rejected = parse_side(raw)
    count = len(prices)
    if level_row_reserve(row, count) < 0:
        raise MemoryError
    for i in range(count):
        row.keys[i] = key_of(prices[i], side)
        row.sizes[i] = <double>sizes[i]
    row.count = count
    return rejected


cdef object sum_best(const BookSide *side):
    cdef double total
    cdef const double *sizes
    cdef size_t count, i
    if book_side_sum(side, &total):
        return total
    sizes = book_side_summed(side, &count)
    best = [sizes[count - 1 - i] for i in range(count)]
    try:
        return fsum(best)
    except OverflowError:
        return inf


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
    cdef public object levels_rejected
    cdef public object rows_skipped
    cdef public object crossed_books

    def __cinit__(self, depth_levels=50, *, uncross=False):
        if depth_levels < 1:
            raise OrderflowError(f"depth is at least 1 level a side; found {depth_levels}")
        cdef size_t depth = min(depth_levels, DEEPEST)
        book_side_init(&self._bids, depth, SEED)
        book_side_init(&self._asks, depth, SEED)
        self._uncross = uncross
        self.levels_rejected = 0
        self.rows_skipped = 0
        self.crossed_books = 0

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
        cdef LevelRow *bid_row = &self._bid_row
        cdef LevelRow *ask_row = &self._ask_row
        try:
            bids_rejected = read_side(bids, BIDS, bid_row)
            asks_rejected = read_side(asks, ASKS, ask_row)
        except LevelFormatError:
            self.rows_skipped += 1
            return None
        if bids_rejected or asks_rejected:
            self.levels_rejected += bids_rejected + asks_rejected
        if snapshot:
            self.clear()
        if (book_side_apply(&self._bids, bid_row.keys, bid_row.sizes, bid_row.count) < 0
                or book_side_apply(&self._asks, ask_row.keys, ask_row.sizes, ask_row.count) < 0):
            raise MemoryError
        if book_side_best(&self._bids) >= ~book_side_best(&self._asks):
            self._note_crossed()
        if not book_side_count(&self._bids) or not book_side_count(&self._asks):
            return None
        return sum_best(&self._bids), sum_best(&self._asks)

    cdef int _note_crossed(self) except -1:
        self.crossed_books += 1
        if not self._uncross:
            return 0
        if uncross(&self._bids, &self._asks, self._bid_row.keys, self._bid_row.count,
                   self._ask_row.keys, self._ask_row.count) < 0:
            raise MemoryError
        return 0

    cpdef void clear(self) noexcept:
        """Empty the book, as before a snapshot."""
        book_side_clear(&self._bids)
        book_side_clear(&self._asks)

    @property
    def is_empty(self):
        """Tell whether neither side holds a level."""
        return not book_side_count(&self._bids) and not book_side_count(&self._asks)

    @property
    def level_counts(self):
        """Count the levels kept, `(bids, asks)`."""
        return book_side_count(&self._bids), book_side_count(&self._asks)

    def top_levels(self, count):
        """Return the best `count` levels a side, `([[price, size], ...], ...)`, best first."""
        cdef size_t wanted = max(0, min(count, DEEPEST))
        return top_of(&self._bids, BIDS, wanted), top_of(&self._asks, ASKS, wanted)


def parse_plain_side(bytes text):
    """Read one side as the compiled book does; for tests.

    Return `(prices, sizes)`, or None where the text is not plain and is left to `level_parser`.
    """
    cdef LevelRow row = LevelRow(NULL, NULL, 0, 0)
    cdef size_t i
    cdef int outcome = level_text_read(PyBytes_AS_STRING(text), len(text), BIDS, &row)
    try:
        if outcome == LEVELS_NO_MEMORY:
            raise MemoryError
        if outcome != LEVELS_READ:
            return None
        return [price_of(row.keys[i], BIDS) for i in range(row.count)], [row.sizes[i] for i in range(row.count)]
    finally:
        level_row_free(&row)
