"""Parsed rows put into the order of time, a part of `_book.pyx`."""

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
