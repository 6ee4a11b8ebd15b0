/* Drop the older of the levels that cross. */
#ifndef ORDERFLOW_UNCROSS_H
#define ORDERFLOW_UNCROSS_H

#include "book_side.h"

/* Drop the levels that cross one of the row's own, which are in the book by now, unless they are
   of the row too. Sorts the keys of the row. Return 0, or -1 when there is no memory. */
int uncross(BookSide *bids, BookSide *asks, Key *bid_keys, size_t bid_count, Key *ask_keys,
            size_t ask_count);

#endif
