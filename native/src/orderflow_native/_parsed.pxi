"""Rows of which the levels are numbers already, a part of `_book.pyx`: taken, and made of text."""

cdef enum:
    READ_STATE = 0  # as in orderflow.parsed_rows
    UNREADABLE_STATE = 2


cdef Py_ssize_t take_side(
        const double *prices, const double *sizes, size_t count, Key side, LevelRow *row,
        ) except? FAILED nogil:
    """Take the levels of a side into `row`; return 0, as none of them is rejected."""
    cdef size_t i
    if level_row_reserve(row, count) < 0:
        raise_no_memory()
    for i in range(count):
        # What is no price must not become a key: 0 marks a free slot (level_table.h).
        if not (0.0 < prices[i] < HUGE_VAL and 0.0 <= sizes[i] < HUGE_VAL):
            with gil:
                raise needed("OrderflowError")(
                    f"a parsed level is a price and a size; found {prices[i]} and {sizes[i]}")
        row.keys[i] = key_of(prices[i], side)
        row.sizes[i] = sizes[i]
    row.count = count
    return 0


cdef int point_at_levels(Row *work, Py_ssize_t count, rows) except -1:
    """Let each row name its levels, in columns that the caller keeps alive."""
    cdef const int[::1] starts = rows.starts, bid_levels = rows.bid_levels, rejected = rows.rejected
    cdef const double[::1] prices = rows.prices, sizes = rows.sizes
    cdef const unsigned char[::1] states = rows.states
    cdef Py_ssize_t i
    cdef int levels
    if (starts.shape[0] != count + 1 or bid_levels.shape[0] != count
            or rejected.shape[0] != count or states.shape[0] != count
            or prices.shape[0] != sizes.shape[0]):
        raise ValueError("columns of parsed rows must be of one length")
    for i in range(count):
        levels = starts[i + 1] - starts[i]
        if not (0 <= starts[i] and 0 <= bid_levels[i] <= levels
                and starts[i + 1] <= prices.shape[0]):
            raise ValueError("parsed rows must name levels that are there, in order")
        work[i].parsed = True
        work[i].unreadable = states[i] == UNREADABLE_STATE
        work[i].rejected = rejected[i]
        work[i].bid_levels, work[i].ask_levels = bid_levels[i], levels - bid_levels[i]
        work[i].prices = work[i].sizes = NULL
        if levels:
            work[i].prices, work[i].sizes = &prices[starts[i]], &sizes[starts[i]]
    return 0


def parse_levels(rows):
    """Return the levels of recorded rows in columns: see `level_parser.python_parse_levels`."""
    cdef c_array.array counts = array("i"), bid_levels = array("i"), rejected = array("i")
    cdef c_array.array prices = array("d"), sizes = array("d"), states = array("B")
    cdef LevelRow bids = LevelRow(NULL, NULL, NULL, 0, 0), asks = LevelRow(NULL, NULL, NULL, 0, 0)
    cdef Py_ssize_t bids_rejected, asks_rejected
    cdef tuple row
    try:
        for row in rows:
            bids_rejected = asks_rejected = UNREADABLE
            bids_rejected = read_side(<PyObject *>row[2], BIDS, &bids)
            if bids_rejected != UNREADABLE:
                asks_rejected = read_side(<PyObject *>row[3], ASKS, &asks)
            if asks_rejected == UNREADABLE:
                bids.count = asks.count = 0
                bids_rejected = asks_rejected = 0
                states.append(UNREADABLE_STATE)
            else:
                states.append(READ_STATE)
            counts.append(<int>(bids.count + asks.count))
            bid_levels.append(<int>bids.count)
            rejected.append(<int>(bids_rejected + asks_rejected))
            append_levels(&bids, BIDS, prices, sizes)
            append_levels(&asks, ASKS, prices, sizes)
    finally:
        level_row_free(&bids)
        level_row_free(&asks)
    return counts, bid_levels, prices, sizes, rejected, states


cdef int append_levels(
        const LevelRow *row, Key side, c_array.array prices, c_array.array sizes) except -1:
    cdef Py_ssize_t before = len(prices), i, count = row.count
    c_array.resize_smart(prices, before + count)
    c_array.resize_smart(sizes, before + count)
    for i in range(count):
        prices.data.as_doubles[before + i] = price_of(row.keys[i], side)
        sizes.data.as_doubles[before + i] = row.sizes[i]
    return 0
