"""Rows of a table, stepped through and parsed without the GIL, a part of `_book.pyx`.

SQLite's functions are those of the library that Python's own module uses; their addresses are given
(`recordings.sqlite_library`). There are no declarations of its header here, as it may be missing.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_New, PyTuple_SET_ITEM
from libc.stdlib cimport qsort, realloc
from libc.string cimport strcmp, strlen

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

cdef const char *PRAGMAS = b"PRAGMA query_only = 1; PRAGMA trusted_schema = 0; PRAGMA mmap_size = 0"


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
