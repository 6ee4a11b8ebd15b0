# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The compiled twin of `formats.snapshot_proof.PythonLevelBook`: sizes by side and price, in C."""

import os

from orderflow_native._needs import needed

from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport uint64_t
from libc.string cimport memset


cdef extern from "level_table.h":
    ctypedef uint64_t Key
    ctypedef struct Level:
        Key key
        double size
    ctypedef struct LevelTable:
        Level *slots
        size_t room
        size_t count
    Key key_of(double price, Key side)
    void level_table_init(LevelTable *table, uint64_t seed)
    void level_table_free(LevelTable *table)
    int level_table_put(LevelTable *table, Key key, double size, double *before)
    double level_table_remove(LevelTable *table, Key key)
    double level_table_size(const LevelTable *table, Key key)


cdef extern from "level_text.h":
    ctypedef struct LevelRow:
        Key *keys
        double *sizes
        size_t count
    enum:
        LEVELS_READ
        LEVELS_NO_MEMORY
    void level_row_free(LevelRow *row)
    int level_row_reserve(LevelRow *row, size_t count)
    int level_text_read(const char *text, size_t length, Key side, LevelRow *row)


# The side of a key (level_table.h); bids and asks share a table, for no key of one is the other's.
cdef Key BIDS = 0
cdef Key ASKS = ~BIDS
cdef uint64_t SEED = int.from_bytes(os.urandom(8), "little")


cdef class LevelBook:
    """Keep a book of which nothing is asked but how another differs from it; see the Python one."""

    engine = "compiled"

    cdef LevelTable _table
    cdef LevelRow _bids
    cdef LevelRow _asks

    def __cinit__(self):
        level_table_init(&self._table, SEED)
        memset(&self._bids, 0, sizeof(LevelRow))
        memset(&self._asks, 0, sizeof(LevelRow))

    def __dealloc__(self):
        level_table_free(&self._table)
        level_row_free(&self._bids)
        level_row_free(&self._asks)

    def __len__(self):
        return self._table.count

    def apply(self, list rows not None, Py_ssize_t start, Py_ssize_t stop):
        """Write the rows from `start` to before `stop` over the book."""
        cdef Py_ssize_t index
        cdef tuple row
        for index in range(max(start, 0), min(stop, len(rows))):
            row = rows[index]
            if self._read(row):
                write(&self._bids, &self._table)
                write(&self._asks, &self._table)

    def replace(self, tuple row not None):
        """Make a row the book; return how many levels differ, None where there is no telling."""
        cdef LevelTable said, before
        cdef size_t slot, differing = 0
        if not self._read(row):
            return None
        level_table_init(&said, SEED)
        try:
            write(&self._bids, &said)
            write(&self._asks, &said)
        except MemoryError:
            level_table_free(&said)
            raise
        before, self._table = self._table, said
        for slot in range(said.room):
            if said.slots[slot].key != 0:
                differing += level_table_size(&before, said.slots[slot].key) != said.slots[slot].size
        for slot in range(before.room):
            if before.slots[slot].key != 0:
                differing += level_table_size(&said, before.slots[slot].key) == 0.0
        cdef bint is_known = before.count > 0 and said.count > 0
        level_table_free(&before)
        return differing if is_known else None

    cdef bint _read(self, tuple row) except -1:
        return read_side(row[1], BIDS, &self._bids) and read_side(row[2], ASKS, &self._asks)


cdef bint read_side(str text, Key side, LevelRow *row) except -1:
    """Read a side; return False for what is no array of levels."""
    cdef Py_ssize_t length
    cdef const char *given = PyUnicode_AsUTF8AndSize(text, &length)
    cdef int found = level_text_read(given, <size_t>length, side, row)
    if found == LEVELS_READ:
        return True
    if found == LEVELS_NO_MEMORY:
        raise MemoryError()
    cdef size_t i
    try:
        prices, sizes, _ = needed("parse_side")(text)
    except needed("LevelFormatError"):
        return False
    if level_row_reserve(row, len(prices)) < 0:
        raise MemoryError()
    for i in range(<size_t>len(prices)):
        row.keys[i], row.sizes[i] = key_of(prices[i], side), sizes[i]
    row.count = len(prices)
    return True


cdef int write(const LevelRow *row, LevelTable *table) except -1:
    cdef size_t i
    cdef double before
    for i in range(row.count):
        if row.sizes[i] == 0.0:
            level_table_remove(table, row.keys[i])
        elif level_table_put(table, row.keys[i], row.sizes[i], &before) < 0:
            raise MemoryError()
    return 0
