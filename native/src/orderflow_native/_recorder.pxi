"""The compiled twin of `metrics.book_rows.PythonRowRecorder`, a part of `_book.pyx`."""

from array import array

from cpython cimport array as c_array
from libc.math cimport INFINITY
from libc.stdlib cimport realloc

cdef c_array.array DOUBLES = array("d")

cdef enum:
    PLAIN = 7  # time, best prices and sizes, sums

cdef double ROUNDING = 2.0 ** -50


cdef class RowRecorder:
    """Record the book after each row: see `metrics.book_rows.PythonRowRecorder`."""

    cdef size_t _levels
    cdef size_t _wanted  # levels looked up
    cdef list _depths
    cdef list _ranges
    cdef size_t *_depth_list
    cdef double *_range_list
    cdef size_t _depth_count
    cdef size_t _range_count
    cdef size_t _width  # doubles a row
    cdef size_t _count  # rows
    cdef size_t _room
    cdef double *_rows  # row by row: plain, sums by depth, sums by range, levels
    cdef Level *_top
    cdef double *_sizes
    cdef size_t _size_room

    def __cinit__(self, depths=(), levels=0, ranges=()):
        cdef size_t i
        self._depths, self._ranges, self._levels = list(depths), list(ranges), levels
        self._wanted = max([1, levels] + self._depths)
        self._depth_count, self._range_count = len(self._depths), len(self._ranges)
        self._width = PLAIN + 2 * self._depth_count + 2 * self._range_count + 4 * self._levels
        self._depth_list = <size_t *>malloc((self._depth_count + 1) * sizeof(size_t))
        self._range_list = <double *>malloc((self._range_count + 1) * sizeof(double))
        self._top = <Level *>malloc(self._wanted * sizeof(Level))
        if self._depth_list == NULL or self._range_list == NULL or self._top == NULL:
            raise MemoryError
        for i in range(self._depth_count):
            self._depth_list[i] = self._depths[i]
        for i in range(self._range_count):
            self._range_list[i] = self._ranges[i]
        self._reserve_sizes(self._wanted)

    def __dealloc__(self):
        free(self._depth_list)
        free(self._range_list)
        free(self._rows)
        free(self._top)
        free(self._sizes)

    cdef int _reserve_sizes(self, size_t count) except -1 nogil:
        cdef double *sizes
        if count > self._size_room:
            sizes = <double *>realloc(self._sizes, 2 * count * sizeof(double))
            if sizes == NULL:
                raise_no_memory()
            self._sizes, self._size_room = sizes, 2 * count
        return 0

    cdef int _reserve(self, size_t count) except -1:
        """Make room for so many rows more."""
        cdef double *rows
        if self._count + count > self._room:
            rows = <double *>realloc(
                self._rows, (self._count + count) * self._width * sizeof(double))
            if rows == NULL:
                raise MemoryError
            self._rows, self._room = rows, self._count + count
        return 0

    cdef int _note(self, const BookSide *bids, const BookSide *asks, const Row *row) except -1 nogil:
        """Record the book after a row, for which there is room."""
        cdef double *kept = self._rows + self._count * self._width
        kept[0] = <double>row.timestamp
        kept[5], kept[6] = row.bid_sum, row.ask_sum
        self._note_side(bids, BIDS, kept, 0)
        self._note_side(asks, ASKS, kept, 1)
        if self._range_count:
            self._note_ranges(bids, asks, (kept[1] + kept[3]) / 2, kept)
        self._count += 1
        return 0

    cdef int _note_side(
            self, const BookSide *side, Key bits, double *kept, size_t place) except -1 nogil:
        cdef size_t count = book_side_top(side, self._wanted, self._top), i, depth
        cdef double *levels
        kept[1 + 2 * place] = price_of(self._top[0].key, bits)
        kept[2 + 2 * place] = self._top[0].size
        for i in range(count):
            self._sizes[i] = self._top[i].size
        for i in range(self._depth_count):
            depth = min(self._depth_list[i], count)
            total_of(self._sizes, depth, kept + PLAIN + 2 * i + place)
        levels = kept + PLAIN + 2 * self._depth_count + 2 * self._range_count
        levels += 2 * self._levels * place
        for i in range(self._levels):
            if i < count:
                levels[i] = price_of(self._top[i].key, bits)
                levels[self._levels + i] = self._top[i].size
            else:
                levels[i] = INFINITY if place else 0.0
                levels[self._levels + i] = 0.0
        return 0

    cdef int _note_ranges(
            self, const BookSide *bids, const BookSide *asks, double mid, double *kept,
            ) except -1 nogil:
        cdef double *sums = kept + PLAIN + 2 * self._depth_count
        cdef double share, low, high
        cdef size_t i, count
        self._reserve_sizes(max(book_side_count(bids), book_side_count(asks)))
        for i in range(self._range_count):
            share = self._range_list[i] / 10000.0
            low, high = mid * (1.0 - share - ROUNDING), mid * (1.0 + share + ROUNDING)
            count = book_side_sizes_between(
                bids, key_of(low, BIDS), key_of(high, BIDS), self._sizes)
            total_of(self._sizes, count, sums + 2 * i)
            count = book_side_sizes_between(
                asks, key_of(high, ASKS), key_of(low, ASKS), self._sizes)
            total_of(self._sizes, count, sums + 2 * i + 1)
        return 0

    def take(self):
        """Return the columns recorded, and begin anew."""
        cdef size_t first = PLAIN, depths = 2 * self._depth_count, ranges = 2 * self._range_count
        taken = (
            [self._column(i, 1) for i in range(first)],
            [self._column(first + i, 1) for i in range(depths)],
            [self._column(first + depths + i, 1) for i in range(ranges)],
            [
                self._column(first + depths + ranges + i * self._levels, self._levels)
                for i in range(4)
            ],
        )
        self._count = 0
        return taken

    cdef c_array.array _column(self, size_t first, size_t count):
        """Return `count` doubles of each row, from place `first` on."""
        cdef c_array.array column = c_array.clone(DOUBLES, self._count * count, False)
        cdef double *values = column.data.as_doubles
        cdef const double *row = self._rows + first
        cdef size_t i, j
        for i in range(self._count):
            for j in range(count):
                values[i * count + j] = row[j]
            row += self._width
        return column


cdef int total_of(const double *sizes, size_t count, double *total) except -1 nogil:
    """Sum sizes, correctly rounded; infinite where no double is as large."""
    cdef size_t i
    if sum_sizes(sizes, count, total):
        return 0
    with gil:
        try:
            total[0] = fsum([sizes[i] for i in range(<Py_ssize_t>count)])
        except OverflowError:
            total[0] = inf
    return 0
