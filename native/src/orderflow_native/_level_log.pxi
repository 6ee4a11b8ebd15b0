"""The compiled twin of `metrics.level_log.PythonLevelLog`, a part of `_book.pyx`."""

cdef c_array.array TIMES = array("q")
cdef c_array.array COUNTS = array("i")
cdef c_array.array MARKS = array("b")


cdef class LevelLog:
    """Keep the levels of each row as they were read: see `metrics.level_log.PythonLevelLog`."""

    cdef long long *_times
    cdef int *_counts  # of each row, its bids and its asks
    cdef signed char *_marks
    cdef double *_prices
    cdef double *_sizes
    cdef size_t _rows
    cdef size_t _row_room
    cdef size_t _levels
    cdef size_t _level_room

    def __dealloc__(self):
        free(self._times)
        free(self._counts)
        free(self._marks)
        free(self._prices)
        free(self._sizes)

    cdef int _reserve(self, size_t levels) except -1 nogil:
        """Make room for one row more, of so many levels."""
        cdef size_t room
        cdef void *moved
        if self._rows == self._row_room:
            room = 2 * self._row_room + 1024
            moved = realloc(self._times, room * sizeof(long long))
            if moved == NULL:
                raise_no_memory()
            self._times = <long long *>moved
            moved = realloc(self._counts, 2 * room * sizeof(int))
            if moved == NULL:
                raise_no_memory()
            self._counts = <int *>moved
            moved = realloc(self._marks, room)
            if moved == NULL:
                raise_no_memory()
            self._marks = <signed char *>moved
            self._row_room = room
        if self._levels + levels > self._level_room:
            room = 2 * (self._levels + levels)
            moved = realloc(self._prices, room * sizeof(double))
            if moved == NULL:
                raise_no_memory()
            self._prices = <double *>moved
            moved = realloc(self._sizes, room * sizeof(double))
            if moved == NULL:
                raise_no_memory()
            self._sizes = <double *>moved
            self._level_room = room
        return 0

    cdef int _note(self, const LevelRow *bids, const LevelRow *asks, const Row *row) except -1 nogil:
        self._reserve(bids.count + asks.count)
        self._times[self._rows] = row.timestamp
        self._counts[2 * self._rows] = <int>bids.count
        self._counts[2 * self._rows + 1] = <int>asks.count
        self._marks[self._rows] = row.snapshot
        self._rows += 1
        self._note_side(bids, BIDS)
        self._note_side(asks, ASKS)
        return 0

    cdef int _note_side(self, const LevelRow *side, Key bits) except -1 nogil:
        cdef size_t i
        for i in range(side.count):
            self._prices[self._levels + i] = price_of(side.keys[i], bits)
        memcpy(self._sizes + self._levels, side.sizes, side.count * sizeof(double))
        self._levels += side.count
        return 0

    def take(self):
        """Return the columns of the rows, and begin anew."""
        cdef c_array.array times = c_array.clone(TIMES, self._rows, False)
        cdef c_array.array counts = c_array.clone(COUNTS, 2 * self._rows, False)
        cdef c_array.array marks = c_array.clone(MARKS, self._rows, False)
        cdef c_array.array prices = c_array.clone(DOUBLES, self._levels, False)
        cdef c_array.array sizes = c_array.clone(DOUBLES, self._levels, False)
        if self._rows:
            memcpy(times.data.as_voidptr, self._times, self._rows * sizeof(long long))
            memcpy(counts.data.as_voidptr, self._counts, 2 * self._rows * sizeof(int))
            memcpy(marks.data.as_voidptr, self._marks, self._rows)
        if self._levels:
            memcpy(prices.data.as_voidptr, self._prices, self._levels * sizeof(double))
            memcpy(sizes.data.as_voidptr, self._sizes, self._levels * sizeof(double))
        self._rows = self._levels = 0
        return times, marks, counts, prices, sizes
