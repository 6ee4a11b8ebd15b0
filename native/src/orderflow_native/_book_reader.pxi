"""Rows of a table, stepped through and parsed without the GIL, a part of `_book.pyx`.

SQLite's functions are those of the library that Python's own module uses; their addresses are given
(`recordings.sqlite_library`). There are no declarations of its header here, as it may be missing.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdlib cimport qsort, realloc
from libc.string cimport strcmp

cdef extern from * nogil:
    ctypedef long long int64 "long long"

ctypedef int (*OpenFunction)(const char *, void **, int, const char *) noexcept nogil
ctypedef int (*CloseFunction)(void *) noexcept nogil
ctypedef int (*ExecFunction)(void *, const char *, void *, void *, char **) noexcept nogil
ctypedef int (*LimitFunction)(void *, int, int) noexcept nogil
ctypedef int (*PrepareFunction)(void *, const char *, int, void **, const char **) noexcept nogil
ctypedef int (*IndexFunction)(void *, const char *) noexcept nogil
ctypedef int (*BindTextFunction)(void *, int, const char *, int, void *) noexcept nogil
ctypedef int (*StepFunction)(void *) noexcept nogil
ctypedef int (*OfColumnFunction)(void *, int) noexcept nogil
ctypedef int (*OfStatementFunction)(void *) noexcept nogil
ctypedef double (*RealFunction)(void *, int) noexcept nogil
ctypedef int64 (*IntegerFunction)(void *, int) noexcept nogil
ctypedef const char *(*TextFunction)(void *, int) noexcept nogil

cdef enum:
    OPEN_FLAGS = 0x1 | 0x40 | 0x8000  # read only, by URI, used by one thread at a time
    LIMIT_LENGTH = 0
    SQLITE_OK = 0
    SQLITE_ROW = 100
    SQLITE_DONE = 101
    INTEGER_TYPE = 1
    REAL_TYPE = 2
    TEXT_TYPE = 3
    NULL_TYPE = 5

cdef enum:
    HEARTBEAT_STATE = 1  # as in orderflow.parsed_rows
    ROW_TAKEN = 1
    NO_MORE_ROWS = 0
    ROW_ODD = 2

cdef int64 FIRST_ROW_MS = 10 ** 11, LAST_ROW_MS = 10 ** 14
cdef int64 NO_ROW = -(2 ** 63)
cdef const char *PRAGMAS = b"PRAGMA query_only = 1; PRAGMA trusted_schema = 0; PRAGMA mmap_size = 0"


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


cdef class StatementReader:
    """A statement over a whole table, for one of the readers below.

    Where the file cannot be opened, or the statement not be prepared, there is nothing to read.
    """

    cdef void *_db
    cdef void *_statement
    cdef readonly bint ended
    cdef CloseFunction _close
    cdef CloseFunction _finalize
    cdef StepFunction _step
    cdef OfColumnFunction _type
    cdef OfColumnFunction _bytes
    cdef IntegerFunction _integer
    cdef RealFunction _real
    cdef TextFunction _text
    cdef TextFunction _blob

    def __cinit__(self, dict addresses, bytes uri, bytes sql, instrument, int largest, **_):
        self._close = <CloseFunction><size_t>addresses["close_v2"]
        self._finalize = <CloseFunction><size_t>addresses["finalize"]
        self._step = <StepFunction><size_t>addresses["step"]
        self._type = <OfColumnFunction><size_t>addresses["column_type"]
        self._bytes = <OfColumnFunction><size_t>addresses["column_bytes"]
        self._integer = <IntegerFunction><size_t>addresses["column_int64"]
        self._real = <RealFunction><size_t>addresses["column_double"]
        self._text = <TextFunction><size_t>addresses["column_text"]
        self._blob = <TextFunction><size_t>addresses["column_blob"]
        if not self._begin(addresses, uri, sql, instrument, largest):
            self.close()

    cdef bint _begin(self, dict addresses, bytes uri, bytes sql, instrument, int largest) except -1:
        """Open the file and prepare the statement; return whether that went well."""
        cdef OpenFunction open_file = <OpenFunction><size_t>addresses["open_v2"]
        cdef ExecFunction execute = <ExecFunction><size_t>addresses["exec"]
        cdef LimitFunction limit = <LimitFunction><size_t>addresses["limit"]
        cdef PrepareFunction prepare = <PrepareFunction><size_t>addresses["prepare_v2"]
        cdef IndexFunction place_of = <IndexFunction><size_t>addresses["bind_parameter_index"]
        cdef BindTextFunction bind = <BindTextFunction><size_t>addresses["bind_text"]
        cdef bytes name
        cdef int place
        if open_file(uri, &self._db, OPEN_FLAGS, NULL) != SQLITE_OK:
            return False
        limit(self._db, LIMIT_LENGTH, largest)
        if execute(self._db, PRAGMAS, NULL, NULL, NULL) != SQLITE_OK:
            return False
        if prepare(self._db, sql, -1, &self._statement, NULL) != SQLITE_OK:
            return False
        place = place_of(self._statement, b":instrument")
        if not place:
            return True
        name = instrument.encode()
        # SQLite copies the text, which -1 asks for.
        return bind(self._statement, place, name, <int>len(name), <void *><size_t>-1) == SQLITE_OK

    def close(self):
        """Give the file free; harmless when repeated."""
        if self._statement != NULL:
            self._finalize(self._statement)
            self._statement = NULL
        if self._db != NULL:
            self._close(self._db)
            self._db = NULL

    def __dealloc__(self):
        self.close()


cdef struct Value:
    int kind
    int64 integer  # or where its bytes begin
    double real
    int length


cdef class RowReader(StatementReader):
    """Read rows as tuples, as Python's own module gives them where text comes as bytes."""

    cdef Value *_values
    cdef Py_ssize_t _room
    cdef char *_bytes_read
    cdef Py_ssize_t _bytes_count
    cdef Py_ssize_t _bytes_room
    cdef int _columns

    def __init__(self, dict addresses, *_):
        cdef OfStatementFunction count = <OfStatementFunction><size_t>addresses["column_count"]
        self._columns = count(self._statement) if self._statement != NULL else 0

    def __dealloc__(self):
        free(self._values)
        free(self._bytes_read)

    def read(self, Py_ssize_t most_rows):
        """Return the next rows, at most that many; None where one of them cannot be read.

        `ended` says that no row follows.
        """
        cdef Py_ssize_t taken = 0, i
        cdef int stepped = SQLITE_ROW
        if self._statement == NULL:
            return None
        if self.ended:  # SQLite would begin anew
            return []
        if most_rows * self._columns > self._room:
            self._values = <Value *>grown(self._values, most_rows * self._columns, sizeof(Value))
            self._room = most_rows * self._columns
        self._bytes_count = 0
        with nogil:
            while taken < most_rows:
                stepped = self._step(self._statement)
                if stepped != SQLITE_ROW:
                    break
                if not self._take_values(self._values + taken * self._columns):
                    stepped = SQLITE_DONE + 1
                    break
                taken += 1
        if stepped != SQLITE_ROW and stepped != SQLITE_DONE:
            return None
        self.ended = stepped == SQLITE_DONE
        return [self._row(self._values + i * self._columns) for i in range(taken)]

    cdef bint _take_values(self, Value *values) noexcept nogil:
        """Take what the columns of a row hold; return False where there is no memory."""
        cdef int column, kind
        cdef const char *text
        cdef TextFunction read
        for column in range(self._columns):
            kind = values[column].kind = self._type(self._statement, column)
            if kind == INTEGER_TYPE:
                values[column].integer = self._integer(self._statement, column)
            elif kind == REAL_TYPE:
                values[column].real = self._real(self._statement, column)
            elif kind != NULL_TYPE:
                read = self._text if kind == TEXT_TYPE else self._blob
                text = read(self._statement, column)
                values[column].length = self._bytes(self._statement, column)
                values[column].integer = self._bytes_count
                if text == NULL:  # an empty blob, or no memory
                    if values[column].length or kind == TEXT_TYPE:
                        return False
                elif not self._keep(text, values[column].length):
                    return False
        return True

    cdef bint _keep(self, const char *text, Py_ssize_t length) noexcept nogil:
        cdef Py_ssize_t room = self._bytes_count + length
        cdef char *memory
        if room > self._bytes_room:
            memory = <char *>realloc(self._bytes_read, 2 * room)
            if memory == NULL:
                return False
            self._bytes_read, self._bytes_room = memory, 2 * room
        memcpy(self._bytes_read + self._bytes_count, text, length)
        self._bytes_count = room
        return True

    cdef tuple _row(self, const Value *values):
        cdef tuple row = PyTuple_New(self._columns)
        cdef int column
        for column in range(self._columns):
            value = self._object(&values[column])
            Py_INCREF(value)
            PyTuple_SET_ITEM(row, column, value)
        return row

    cdef object _object(self, const Value *value):
        if value.kind == INTEGER_TYPE:
            return value.integer
        if value.kind == REAL_TYPE:
            return value.real
        if value.kind == NULL_TYPE:
            return None
        return PyBytes_FromStringAndSize(self._bytes_read + value.integer, value.length)


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

    def read(self, Py_ssize_t most_rows, long long most_bytes, Py_ssize_t chunk_rows):
        """Return the next rows as a dict of columns; None where one of them is not as most are.

        They are at most `most_rows`, and no more once their levels have `most_bytes`, at which is
        looked after 1, 2, 4, …, at most `chunk_rows`, rows. `size` is then how many bytes they had,
        `in_order` whether none was earlier than the one before it; `ended` says that no row follows.
        """
        cdef Py_ssize_t chunk = 1, taken, known = 0
        cdef int found = ROW_TAKEN
        cdef RowColumns *rows = &self._rows
        self.size, self.in_order = 0, True
        if self._statement == NULL:
            return None
        reserve_rows(rows, most_rows)
        rows.count = rows.levels = 0
        with nogil:
            while found == ROW_TAKEN and known < most_rows and self.size < most_bytes:
                taken = 0
                while taken < chunk:
                    found = self._take_row()
                    if found != ROW_TAKEN:
                        break
                    taken += 1
                known += taken
                chunk = min(2 * chunk, chunk_rows, most_rows - known)
        if found == ROW_ODD:
            return None
        self.ended = found == NO_MORE_ROWS
        return columns_of(rows, self._marked)

    cdef int _take_row(self) except -1 nogil:
        cdef void *statement = self._statement
        cdef int stepped = self._step(statement)
        if stepped == SQLITE_DONE:
            return NO_MORE_ROWS
        if stepped != SQLITE_ROW or not self._take_position():
            return ROW_ODD
        if self._marked and not self._take_marks():
            return ROW_ODD
        return self._take_levels()

    cdef bint _take_position(self) noexcept nogil:
        """Take the time and the key of a row; return False where they are odd or out of order."""
        cdef void *statement = self._statement
        cdef Py_ssize_t place = self._rows.count
        cdef int64 ms, key
        if self._type(statement, 0) != INTEGER_TYPE or self._type(statement, 1) != INTEGER_TYPE:
            return False
        ms, key = self._integer(statement, 0), self._integer(statement, 1)
        if not FIRST_ROW_MS <= ms < LAST_ROW_MS:
            return False
        if ms < self._last_ms:
            self.in_order = False
        if key <= self._last_key and not (self._by_time and ms > self._last_ms):
            return False
        if self._by_time and ms < self._last_ms:
            return False
        self._rows.times[place], self._rows.ids[place] = ms, key
        self._last_ms, self._last_key = ms, key
        return True

    cdef bint _take_marks(self) noexcept nogil:
        cdef void *statement = self._statement
        cdef RowColumns *rows = &self._rows
        cdef Py_ssize_t place = rows.count
        cdef int kind, missing = 0
        kind = self._type(statement, 4)
        rows.actions[place] = 0
        if kind == TEXT_TYPE:
            rows.actions[place] = action_of(self._text(statement, 4))
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
        if text == NULL:
            return FAILED
        self.size += length
        none[0] = length == 0 or (length == 2 and text[0] == b"[" and text[1] == b"]")
        if level_text_read(text, <size_t>length, side, row) == LEVELS_READ:
            return 0
        with gil:
            return read_odd_side(<object>text[:length], side, row)


cdef unsigned char action_of(const char *text) noexcept nogil:
    """Return what an action says as `orderflow.parsed_rows` numbers it; 0 for an unknown one."""
    if text == NULL:
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
    if count:
        memcpy(made.data.as_chars, data, count * size)
    return memoryview(made)


cdef list known_ids(const int64 *ids, const unsigned char *nulls, int null, Py_ssize_t count):
    cdef Py_ssize_t i
    return [None if nulls[i] & null else ids[i] for i in range(count)]


cdef struct Place:
    int64 ms
    int64 id
    Py_ssize_t part
    Py_ssize_t row


cdef struct Part:
    const int64 *times
    const int64 *ids
    const int *starts
    const int *bid_levels
    const int *rejected
    const unsigned char *states
    const double *prices
    const double *sizes


cdef int by_time_and_id(const void *first, const void *second) noexcept nogil:
    cdef const Place *a = <const Place *>first
    cdef const Place *b = <const Place *>second
    if a.ms != b.ms:
        return -1 if a.ms < b.ms else 1
    return -1 if a.id < b.id else a.id > b.id


def merged_rows(list rows not None):
    """Return the columns of parsed rows, a list of `ParsedRows`, in the order of time and id."""
    cdef Py_ssize_t count = sum(map(len, rows)), levels = 0, part, row, i = 0
    cdef Part *parts = <Part *>grown(NULL, len(rows), sizeof(Part))
    cdef Place *places = NULL
    try:
        places = <Place *>grown(NULL, count, sizeof(Place))
        for part in range(len(rows)):
            parts[part] = part_of(rows[part])
            for row in range(len(rows[part])):
                places[i] = Place(parts[part].times[row], parts[part].ids[row], part, row)
                levels += parts[part].starts[row + 1] - parts[part].starts[row]
                i += 1
        qsort(places, count, sizeof(Place), by_time_and_id)
        return gathered(rows, parts, places, count, levels)
    finally:
        free(parts)
        free(places)


cdef Part part_of(rows) except *:
    cdef const int64[::1] times = rows.times, ids = rows.ids
    cdef const int[::1] starts = rows.starts, bid_levels = rows.bid_levels, rejected = rows.rejected
    cdef const unsigned char[::1] states = rows.states
    cdef const double[::1] prices = rows.prices, sizes = rows.sizes
    cdef Part part = Part(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
    if len(rows):
        part.times, part.ids, part.starts = &times[0], &ids[0], &starts[0]
        part.bid_levels, part.rejected, part.states = &bid_levels[0], &rejected[0], &states[0]
    if prices.shape[0]:
        part.prices, part.sizes = &prices[0], &sizes[0]
    return part


cdef dict gathered(
        list rows, const Part *parts, const Place *places, Py_ssize_t count, Py_ssize_t levels):
    cdef c_array.array times = numbers_of("q", count), ids = numbers_of("q", count)
    cdef c_array.array starts = numbers_of("i", count + 1), bid_levels = numbers_of("i", count)
    cdef c_array.array rejected = numbers_of("i", count), states = numbers_of("B", count)
    cdef c_array.array prices = numbers_of("d", levels), sizes = numbers_of("d", levels)
    cdef const Part *part
    cdef Py_ssize_t i, row, first, length, done = 0
    for i in range(count):
        part, row = &parts[places[i].part], places[i].row
        first = part.starts[row]
        length = part.starts[row + 1] - first
        times.data.as_longlongs[i], ids.data.as_longlongs[i] = places[i].ms, places[i].id
        starts.data.as_ints[i] = <int>done
        bid_levels.data.as_ints[i] = part.bid_levels[row]
        rejected.data.as_ints[i] = part.rejected[row]
        states.data.as_uchars[i] = part.states[row]
        if length:
            memcpy(prices.data.as_doubles + done, part.prices + first, length * sizeof(double))
            memcpy(sizes.data.as_doubles + done, part.sizes + first, length * sizeof(double))
        done += length
    starts.data.as_ints[count] = <int>done
    columns = {
        "times": memoryview(times), "ids": memoryview(ids), "starts": memoryview(starts),
        "bid_levels": memoryview(bid_levels), "rejected": memoryview(rejected),
        "states": memoryview(states), "prices": memoryview(prices), "sizes": memoryview(sizes),
    }
    if rows[0].marks is not None:
        for name in ("actions", "seq_ids", "prev_seq_ids"):
            each = [getattr(one.marks, name) for one in rows]
            columns[name] = [each[places[i].part][places[i].row] for i in range(count)]
    return columns


cdef c_array.array numbers_of(str form, Py_ssize_t count):
    cdef c_array.array made = array(form)
    c_array.resize(made, count)
    return made
