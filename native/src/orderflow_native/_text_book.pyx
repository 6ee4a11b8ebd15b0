# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""The compiled twin of `exchanges.depth.PythonTextBook`: levels as text, in C."""

from orderflow_native._needs import needed

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t
from libc.stdlib cimport free


cdef extern from "Python.h":
    int PyUnicode_CheckExact(object value)
    int PyUnicode_IS_COMPACT_ASCII(object value)
    const char *PyUnicode_1BYTE_DATA(object value)
    Py_ssize_t PyUnicode_GET_LENGTH(object value)
    object PyUnicode_DecodeASCII(const char *text, Py_ssize_t length, const char *errors)


cdef extern from "text_row.h":
    ctypedef struct GivenLevel:
        const char *price
        const char *size
        const char *orders
        uint8_t price_length
        uint8_t size_length
        uint8_t orders_length
    ctypedef struct GivenRow:
        GivenLevel *levels
        size_t count
        size_t price_decimals
        size_t size_decimals
    enum:
        ROW_READ
        ROW_NO_MEMORY
    void given_row_free(GivenRow *row)
    int given_row_reserve(GivenRow *row, size_t count)
    int given_row_read(const char *text, size_t length, bint is_bids, GivenRow *row)
    int given_level_measure(GivenLevel *level, bint is_bids, GivenRow *row)


cdef extern from "text_side.h":
    size_t WHOLE_SIDE
    ctypedef struct BookLevel:
        uint8_t price_length
        uint8_t size_length
        uint8_t orders_length
        uint8_t has_orders
        const char *text
    ctypedef struct Entry:
        BookLevel *level
    ctypedef struct Change:
        const BookLevel *level
        bint deletes
    ctypedef struct ChangeList:
        Change *items
        size_t count
    ctypedef struct TextSide:
        size_t count
    void text_side_free(TextSide *side)
    int text_side_put(TextSide *side, const GivenRow *row)
    int text_side_replace(TextSide *side, const GivenRow *row)
    const Entry *text_side_at(const TextSide *side, size_t rank)
    int text_side_changes(const TextSide *side, size_t depth, bint delete_fallen, bint with_orders, ChangeList *found)


cdef extern from "text_form.h":
    ctypedef struct Piece:
        const char *text
        size_t length
    ctypedef struct Form:
        Piece opening
        Piece between
        Piece before_orders
        Piece closing
        size_t price_decimals
        size_t size_decimals
        bint numbers
    ctypedef struct Text:
        char *bytes
        size_t count
    int write_changes(const ChangeList *changes, const Form *form, Text *text)
    int write_best(const TextSide *side, size_t depth, const Form *form, Text *text)


cdef class TextBook:
    """Keep a book of levels as text, in compiled code.

    Methods, values and results are those of `exchanges.depth.PythonTextBook`; see there. From the
    first level on that has no place here, such as a price of more than 19 digits before the point,
    it is such a book that keeps the levels.
    """

    engine = "compiled"

    cdef TextSide _bids
    cdef TextSide _asks
    cdef GivenRow _bid_row
    cdef GivenRow _ask_row
    cdef ChangeList _changes
    cdef Text _text
    cdef object _bids_given  # the texts of the rows
    cdef object _asks_given
    cdef bint _snapshot
    cdef object _python
    cdef readonly Py_ssize_t rejected
    cdef readonly Py_ssize_t unreadable
    cdef readonly size_t price_decimals
    cdef readonly size_t size_decimals

    def __cinit__(self):
        self._bids_given = self._asks_given = ()

    def __dealloc__(self):
        text_side_free(&self._bids)
        text_side_free(&self._asks)
        given_row_free(&self._bid_row)
        given_row_free(&self._ask_row)
        free(self._changes.items)
        free(self._text.bytes)

    def __len__(self):
        return len(self._python) if self._python is not None else self._bids.count + self._asks.count

    def read(self, bids, asks, *, bint snapshot=False):
        """Write a row into the book as it was recorded; see `PythonTextBook.read`."""
        self.rejected = self.unreadable = 0
        if self._python is None:
            bids_given, asks_given = bids, asks
            if read_text(bids, True, &self._bid_row) != ROW_READ:
                bids_given = self._odd_side(bids)
            if read_text(asks, False, &self._ask_row) != ROW_READ:
                asks_given = self._odd_side(asks)
            if ((bids_given is bids or take_levels(bids_given, True, &self._bid_row))
                    and (asks_given is asks or take_levels(asks_given, False, &self._ask_row))):
                self._note_decimals()
                self._put(bids_given, asks_given, snapshot)
                return
            self._go_on_in_python()
        self._python.read(bids, asks, snapshot=snapshot)
        self._take_notes()

    def apply(self, bids, asks, *, bint snapshot=False):
        """Write levels into the book; see `PythonTextBook.apply`."""
        self.rejected = self.unreadable = 0
        if self._python is None:
            bids_given, asks_given = tuple(bids), tuple(asks)
            if (take_levels(bids_given, True, &self._bid_row)
                    and take_levels(asks_given, False, &self._ask_row)):
                self._put(bids_given, asks_given, snapshot)
                return
            self._go_on_in_python()
            bids, asks = bids_given, asks_given
        self._python.apply(bids, asks, snapshot=snapshot)

    cdef list _odd_side(self, object raw):
        """Read a side that is not plain as Python does, and count what is of no use."""
        unreadable = needed("LevelFormatError")
        try:
            levels, rejected = needed("read_side")(raw)
        except unreadable:
            self.unreadable += 1
            return []
        self.rejected += rejected
        return levels

    cdef int _note_decimals(self) except -1:
        cdef GivenRow *bids = &self._bid_row
        cdef GivenRow *asks = &self._ask_row
        self.price_decimals = max(self.price_decimals, bids.price_decimals, asks.price_decimals)
        self.size_decimals = max(self.size_decimals, bids.size_decimals, asks.size_decimals)
        return 0

    cdef int _put(self, object bids, object asks, bint snapshot) except -1:
        """Write the rows that have been read; `bids` and `asks` hold their texts."""
        cdef int failed
        self._bids_given, self._asks_given, self._snapshot = bids, asks, snapshot
        if snapshot:
            failed = (text_side_replace(&self._bids, &self._bid_row) < 0
                      or text_side_replace(&self._asks, &self._ask_row) < 0)
        else:
            failed = (text_side_put(&self._bids, &self._bid_row) < 0
                      or text_side_put(&self._asks, &self._ask_row) < 0)
        if failed:
            raise MemoryError
        return 0

    cdef int _go_on_in_python(self) except -1:
        python = needed("PythonTextBook")()
        python.apply(best_of(&self._bids, WHOLE_SIDE), best_of(&self._asks, WHOLE_SIDE))
        python.price_decimals, python.size_decimals = self.price_decimals, self.size_decimals
        self._python = python
        self._bids_given = self._asks_given = ()
        text_side_free(&self._bids)
        text_side_free(&self._asks)
        return 0

    cdef int _take_notes(self) except -1:
        self.rejected, self.unreadable = self._python.rejected, self._python.unreadable
        self.price_decimals = self._python.price_decimals
        self.size_decimals = self._python.size_decimals
        return 0

    def row_changes(self):
        """Return what the last row says to one who follows each change."""
        if self._python is not None:
            return self._python.row_changes()
        if self._snapshot:
            return self.changes(None, delete_fallen=True)
        return needed("Changes")(
            given_levels(self._bids_given, &self._bid_row),
            given_levels(self._asks_given, &self._ask_row))

    def changes(self, depth, *, bint delete_fallen, bint with_orders=False):
        """Return what the last row changed within the best `depth` levels."""
        if self._python is not None:
            return self._python.changes(depth, delete_fallen=delete_fallen, with_orders=with_orders)
        cdef size_t most = depth_of(depth)
        self._collect(&self._bids, most, delete_fallen, with_orders)
        bids = changed_levels(&self._changes)
        self._collect(&self._asks, most, delete_fallen, with_orders)
        return needed("Changes")(bids, changed_levels(&self._changes))

    def changes_text(self, depth, form, *, bint delete_fallen, bint with_orders=False):
        """Return the text of `changes`, `(bids, asks)`; None where nothing has changed."""
        if self._python is not None:
            return self._python.changes_text(
                depth, form, delete_fallen=delete_fallen, with_orders=with_orders)
        cdef size_t most = depth_of(depth), changed
        cdef Form pieces
        take_form(form, &pieces)
        self._collect(&self._bids, most, delete_fallen, with_orders)
        changed = self._changes.count
        bids = self._changes_text(&pieces)
        self._collect(&self._asks, most, delete_fallen, with_orders)
        if not changed and not self._changes.count:
            return None
        return bids, self._changes_text(&pieces)

    def view(self, depth):
        """Return the best `depth` levels of each side, all of them for None."""
        if self._python is not None:
            return self._python.view(depth)
        cdef size_t most = depth_of(depth)
        return needed("DepthView")(depth, best_of(&self._bids, most), best_of(&self._asks, most))

    def view_text(self, depth, form):
        """Return the text of `view`, `(bids, asks)`."""
        if self._python is not None:
            return self._python.view_text(depth, form)
        cdef size_t most = depth_of(depth)
        cdef Form pieces
        take_form(form, &pieces)
        return self._best_text(&self._bids, most, &pieces), self._best_text(&self._asks, most, &pieces)

    cdef int _collect(
            self, const TextSide *side, size_t depth, bint delete_fallen, bint with_orders) except -1:
        if text_side_changes(side, depth, delete_fallen, with_orders, &self._changes) < 0:
            raise MemoryError
        return 0

    cdef bytes _changes_text(self, const Form *form):
        if write_changes(&self._changes, form, &self._text) < 0:
            raise MemoryError
        return PyBytes_FromStringAndSize(self._text.bytes, self._text.count)

    cdef bytes _best_text(self, const TextSide *side, size_t depth, const Form *form):
        if write_best(side, depth, form, &self._text) < 0:
            raise MemoryError
        return PyBytes_FromStringAndSize(self._text.bytes, self._text.count)


cdef int read_text(object raw, bint is_bids, GivenRow *row) except? -2:
    if not PyBytes_CheckExact(raw):
        return ROW_READ + 1
    cdef int outcome = given_row_read(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), is_bids, row)
    if outcome == ROW_NO_MEMORY:
        raise MemoryError
    return outcome


cdef bint take_levels(object levels, bint is_bids, GivenRow *row) except -1:
    """Read levels into a row; return whether all of them have a place here."""
    cdef GivenLevel *given
    row.count = row.price_decimals = row.size_decimals = 0
    if given_row_reserve(row, len(levels)) < 0:
        raise MemoryError
    for price, size, orders in levels:
        given = &row.levels[row.count]
        given.orders, given.orders_length = NULL, 0
        if not (take_text(price, &given.price, &given.price_length)
                and take_text(size, &given.size, &given.size_length)):
            return False
        if orders is not None and not (
                take_text(orders, &given.orders, &given.orders_length) and given.orders_length):
            return False
        if given_level_measure(given, is_bids, row) < 0:
            return False
        row.count += 1
    return True


cdef bint take_text(object text, const char **begin, uint8_t *length):
    if not PyUnicode_CheckExact(text) or not PyUnicode_IS_COMPACT_ASCII(text):
        return False
    if PyUnicode_GET_LENGTH(text) > 255:
        return False
    begin[0], length[0] = PyUnicode_1BYTE_DATA(text), <uint8_t>PyUnicode_GET_LENGTH(text)
    return True


cdef size_t depth_of(object depth) except? 0:
    if depth is None:
        return WHOLE_SIDE
    if depth < 1:
        raise ValueError(f"a view has 1 level a side at least; found {depth}")
    return min(depth, 1 << 40)


cdef int take_form(object form, Form *pieces) except -1:
    cdef object opening, between, before_orders, closing
    opening, between, before_orders, closing, price_decimals, size_decimals, numbers = form
    pieces.opening = piece_of(opening)
    pieces.between = piece_of(between)
    pieces.before_orders = Piece(NULL, 0) if before_orders is None else piece_of(before_orders)
    pieces.closing = piece_of(closing)
    pieces.price_decimals, pieces.size_decimals = price_decimals, size_decimals
    pieces.numbers = numbers
    return 0


cdef Piece piece_of(bytes text) except *:
    # `form` keeps it alive.
    return Piece(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))


cdef object text_of(const char *text, Py_ssize_t length):
    return PyUnicode_DecodeASCII(text, length, NULL)


cdef object orders_of(const BookLevel *level):
    if not level.has_orders:
        return None
    return text_of(level.text + level.price_length + level.size_length, level.orders_length)


cdef tuple best_of(const TextSide *side, size_t depth):
    cdef const BookLevel *level
    cdef size_t i
    kind = needed("Level")
    levels = []
    for i in range(min(depth, side.count)):
        level = text_side_at(side, i).level
        price = text_of(level.text, level.price_length)
        size = text_of(level.text + level.price_length, level.size_length)
        levels.append(tuple.__new__(kind, (price, size, orders_of(level))))
    return tuple(levels)


cdef tuple changed_levels(const ChangeList *changes):
    cdef const BookLevel *level
    cdef size_t i
    kind = needed("Level")
    levels = []
    for i in range(changes.count):
        level = changes.items[i].level
        price = text_of(level.text, level.price_length)
        if changes.items[i].deletes:
            levels.append(tuple.__new__(kind, (price, "0", "0")))
            continue
        size = text_of(level.text + level.price_length, level.size_length)
        levels.append(tuple.__new__(kind, (price, size, orders_of(level))))
    return tuple(levels)


cdef tuple given_levels(object given, const GivenRow *row):
    cdef const GivenLevel *level
    cdef size_t i
    if not PyBytes_CheckExact(given):
        return tuple(given)
    kind = needed("Level")
    levels = []
    for i in range(row.count):
        level = &row.levels[i]
        orders = text_of(level.orders, level.orders_length) if level.orders != NULL else None
        price = text_of(level.price, level.price_length)
        levels.append(tuple.__new__(kind, (price, text_of(level.size, level.size_length), orders)))
    return tuple(levels)
