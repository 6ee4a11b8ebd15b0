"""Rows of a table of books, parsed as they are stepped through, a part of `_book.pyx`."""

cdef enum:
    HEARTBEAT_STATE = 1  # as in orderflow.parsed_rows
    ROW_TAKEN = 1
    NO_MORE_ROWS = 0
    ROW_ODD = 2
    ROW_OUT_OF_ORDER = 3

cdef int64 FIRST_ROW_MS = 10 ** 11, LAST_ROW_MS = 10 ** 14
# Of a longer one what is kept while it is parsed would take many times the text.
cdef int LONGEST_SIDE = 1 << 20
cdef int64 NO_ROW = -(2 ** 63)
cdef Py_ssize_t MUCH = 1 << 17  # bytes; to copy them takes longer than to hand over the GIL

cdef struct RowColumns:
    int64 *times
    int64 *ids
    int64 *seq_ids
    int64 *prev_seq_ids
    int *ends  # of the levels
    int *bid_levels
    int *rejected
    unsigned char *states
    unsigned char *actions
    unsigned char *nulls  # 1 for no seq_id, 2 for no prev_seq_id
    Py_ssize_t count
    Py_ssize_t room
    double *prices
    double *sizes
    Py_ssize_t levels
    Py_ssize_t level_room


cdef class BookReader(StatementReader):
    """Read rows `time, key, bids, asks`, or with `action, seq_id, prev_seq_id` after these.

    Text and blobs are one to it: the file's text must be UTF-8. It goes on as long as rows are as
    most are: times are integers in ms, and keys are in order, or times and then keys with
    `by_time`.
    What `read` returns is as `orderflow.parsed_rows.ParsedRows` has it.
    """

    cdef bint _marked
    cdef bint _by_time
    cdef int64 _last_ms
    cdef int64 _last_key
    cdef readonly long long size
    cdef readonly bint in_order
    cdef readonly bint keys_disordered
    cdef LevelRow _bids
    cdef LevelRow _asks
    cdef RowColumns _rows

    def __init__(self, *_, bint marked, bint by_time):
        self._marked, self._by_time = marked, by_time
        self._last_ms = self._last_key = NO_ROW

    def __dealloc__(self):
        level_row_free(&self._bids)
        level_row_free(&self._asks)
        free_rows(&self._rows)

    def read(self, Py_ssize_t most_rows, long long most_bytes):
        """Return the next rows as a dict of columns; None where one of them is not as most are.

        They are at most `most_rows`, and no more once their levels have `most_bytes`. `size` is then
        how many bytes they had, `in_order` whether none was earlier than the one before it; `ended`
        says that no row follows, `keys_disordered` that the next lies before one that was read, as
        only damage does it.
        """
        cdef int found = ROW_TAKEN
        cdef RowColumns *rows = &self._rows
        self.size, self.in_order = 0, True
        if self._statement == NULL:
            return None
        reserve_rows(rows, most_rows)
        rows.count = rows.levels = 0
        with nogil:
            while found == ROW_TAKEN and rows.count < most_rows and self.size < most_bytes:
                found = self._take_row()
        if found == ROW_ODD:
            return None
        self.ended = found == NO_MORE_ROWS
        self.keys_disordered = found == ROW_OUT_OF_ORDER
        return columns_of(rows, self._marked)

    cdef int _take_row(self) except -1 nogil:
        cdef void *statement = self._statement
        cdef int stepped = self._step(statement), found
        if stepped == SQLITE_DONE:
            return NO_MORE_ROWS
        if stepped != SQLITE_ROW:
            return ROW_ODD
        found = self._take_position()
        if found != ROW_TAKEN:
            return found
        if self._marked and not self._take_marks():
            return ROW_ODD
        return self._take_levels()

    cdef int _take_position(self) noexcept nogil:
        """Take the time and the key of a row, unless they are odd or out of order."""
        cdef void *statement = self._statement
        cdef Py_ssize_t place = self._rows.count
        cdef int64 ms, key
        if self._type(statement, 0) != INTEGER_TYPE or self._type(statement, 1) != INTEGER_TYPE:
            return ROW_ODD
        ms, key = self._integer(statement, 0), self._integer(statement, 1)
        if not FIRST_ROW_MS <= ms < LAST_ROW_MS:
            return ROW_ODD
        if ms < self._last_ms:
            if self._by_time:
                return ROW_OUT_OF_ORDER
            self.in_order = False
        if self._last_ms != NO_ROW and key <= self._last_key and not (
                self._by_time and ms > self._last_ms):
            # An index may have an entry twice.
            return ROW_ODD if self._by_time and key == self._last_key else ROW_OUT_OF_ORDER
        self._rows.times[place], self._rows.ids[place] = ms, key
        self._last_ms, self._last_key = ms, key
        return ROW_TAKEN

    cdef bint _take_marks(self) noexcept nogil:
        cdef void *statement = self._statement
        cdef RowColumns *rows = &self._rows
        cdef Py_ssize_t place = rows.count
        cdef int kind, missing = 0
        kind = self._type(statement, 4)
        rows.actions[place] = 0
        if kind == TEXT_TYPE:
            rows.actions[place] = action_of(
                self._text(statement, 4), self._bytes(statement, 4))
            if not rows.actions[place]:
                return False
        elif kind != NULL_TYPE:
            return False
        kind = self._type(statement, 5)
        rows.seq_ids[place] = 0 if kind == NULL_TYPE else self._integer(statement, 5)
        if kind != INTEGER_TYPE:
            missing |= 1
            if kind != NULL_TYPE:
                return False
        kind = self._type(statement, 6)
        rows.prev_seq_ids[place] = 0 if kind == NULL_TYPE else self._integer(statement, 6)
        if kind != INTEGER_TYPE:
            missing |= 2
            if kind != NULL_TYPE:
                return False
        rows.nulls[place] = <unsigned char>missing
        return True

    cdef int _take_levels(self) except -1 nogil:
        cdef RowColumns *rows = &self._rows
        cdef Py_ssize_t place = rows.count, bids_rejected, asks_rejected = UNREADABLE
        cdef bint none, no_bids = False, no_asks = False
        bids_rejected = self._read_side(2, BIDS, &self._bids, &no_bids)
        if bids_rejected == FAILED:
            return ROW_ODD
        if bids_rejected != UNREADABLE:
            asks_rejected = self._read_side(3, ASKS, &self._asks, &no_asks)
            if asks_rejected == FAILED:
                return ROW_ODD
        if asks_rejected == UNREADABLE:
            # The size of a batch counts what nobody reads too.
            self.size += self._bytes(self._statement, 3) if bids_rejected == UNREADABLE else 0
            self._bids.count = self._asks.count = 0
            bids_rejected = asks_rejected = 0
            rows.states[place] = UNREADABLE_STATE
        else:
            none = no_bids and no_asks
            rows.states[place] = HEARTBEAT_STATE if none else READ_STATE
        rows.bid_levels[place] = <int>self._bids.count
        rows.rejected[place] = <int>(bids_rejected + asks_rejected)
        if not (take_levels(rows, &self._bids, BIDS) and take_levels(rows, &self._asks, ASKS)):
            raise_no_memory()
        rows.ends[place] = <int>rows.levels
        rows.count += 1
        return ROW_TAKEN

    cdef Py_ssize_t _read_side(
            self, int column, Key side, LevelRow *row, bint *none) except? FAILED nogil:
        """Read a side as `read_side` does; FAILED, without an exception, where there is none."""
        cdef const char *text = self._text(self._statement, column)
        cdef int length = self._bytes(self._statement, column)
        if text == NULL or length > LONGEST_SIDE:
            return FAILED
        self.size += length
        none[0] = length == 0 or (length == 2 and text[0] == b"[" and text[1] == b"]")
        if level_text_read(text, <size_t>length, side, row) == LEVELS_READ:
            return 0
        with gil:
            return read_odd_side(<object>text[:length], side, row)


cdef unsigned char action_of(const char *text, int length) noexcept nogil:
    """Return what an action says as `orderflow.parsed_rows` numbers it; 0 for an unknown one."""
    # Text may go on after a NUL, and then says something else.
    if text == NULL or strlen(text) != <size_t>length:
        return 0
    if strcmp(text, b"update") == 0:
        return 1
    return 2 if strcmp(text, b"snapshot") == 0 or strcmp(text, b"partial") == 0 else 0


cdef int reserve_rows(RowColumns *rows, Py_ssize_t room) except -1:
    if room <= rows.room:
        return 0
    rows.times = <int64 *>grown(rows.times, room, sizeof(int64))
    rows.ids = <int64 *>grown(rows.ids, room, sizeof(int64))
    rows.seq_ids = <int64 *>grown(rows.seq_ids, room, sizeof(int64))
    rows.prev_seq_ids = <int64 *>grown(rows.prev_seq_ids, room, sizeof(int64))
    rows.ends = <int *>grown(rows.ends, room, sizeof(int))
    rows.bid_levels = <int *>grown(rows.bid_levels, room, sizeof(int))
    rows.rejected = <int *>grown(rows.rejected, room, sizeof(int))
    rows.states = <unsigned char *>grown(rows.states, room, 1)
    rows.actions = <unsigned char *>grown(rows.actions, room, 1)
    rows.nulls = <unsigned char *>grown(rows.nulls, room, 1)
    rows.room = room
    return 0


cdef void *grown(void *memory, Py_ssize_t count, size_t size) except NULL:
    cdef void *found = realloc(memory, (count + 1) * size)
    if found == NULL:
        raise MemoryError
    return found


cdef void free_rows(RowColumns *rows) noexcept:
    free(rows.times)
    free(rows.ids)
    free(rows.seq_ids)
    free(rows.prev_seq_ids)
    free(rows.ends)
    free(rows.bid_levels)
    free(rows.rejected)
    free(rows.states)
    free(rows.actions)
    free(rows.nulls)
    free(rows.prices)
    free(rows.sizes)


cdef bint take_levels(RowColumns *rows, const LevelRow *side, Key bits) noexcept nogil:
    """Add the levels of a side; return False where there is no memory."""
    cdef size_t i
    cdef Py_ssize_t room = rows.levels + <Py_ssize_t>side.count
    cdef double *prices
    cdef double *sizes
    if room > rows.level_room:
        room *= 2
        prices = <double *>realloc(rows.prices, room * sizeof(double))
        if prices == NULL:
            return False
        rows.prices = prices
        sizes = <double *>realloc(rows.sizes, room * sizeof(double))
        if sizes == NULL:
            return False
        rows.sizes = sizes
        rows.level_room = room
    prices, sizes = rows.prices + rows.levels, rows.sizes + rows.levels
    for i in range(side.count):
        prices[i] = price_of(side.keys[i], bits)
        sizes[i] = side.sizes[i]
    rows.levels += <Py_ssize_t>side.count
    return True


cdef dict columns_of(const RowColumns *rows, bint marked):
    cdef Py_ssize_t count = rows.count
    columns = {
        "times": view_of("q", rows.times, count, sizeof(int64)),
        "ids": view_of("q", rows.ids, count, sizeof(int64)),
        "starts": memoryview(array("i", [0]) + view_of("i", rows.ends, count, sizeof(int)).obj),
        "bid_levels": view_of("i", rows.bid_levels, count, sizeof(int)),
        "prices": view_of("d", rows.prices, rows.levels, sizeof(double)),
        "sizes": view_of("d", rows.sizes, rows.levels, sizeof(double)),
        "rejected": view_of("i", rows.rejected, count, sizeof(int)),
        "states": view_of("B", rows.states, count, 1),
    }
    if marked:
        columns["actions"] = view_of("B", rows.actions, count, 1)
        columns["seq_ids"] = known_ids(rows.seq_ids, rows.nulls, 1, count)
        columns["prev_seq_ids"] = known_ids(rows.prev_seq_ids, rows.nulls, 2, count)
    return columns


cdef object view_of(str form, const void *data, Py_ssize_t count, size_t size):
    cdef c_array.array made = numbers_of(form, count)
    cdef char *into = made.data.as_chars
    if count * size < MUCH:
        memcpy(into, data, count * size)
    else:
        with nogil:  # another thread has bars to make
            memcpy(into, data, count * size)
    return memoryview(made)


cdef list known_ids(const int64 *ids, const unsigned char *nulls, int null, Py_ssize_t count):
    cdef Py_ssize_t i
    return [None if nulls[i] & null else ids[i] for i in range(count)]
