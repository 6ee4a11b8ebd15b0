#include "uncross.h"

#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    Key a = *(const Key *)left, b = *(const Key *)right;
    return (a > b) - (a < b);
}

/* Return the best of `keys` that is in the book now, or 0. */
static Key best_of(const BookSide *side, const Key *keys, size_t count)
{
    Key best = 0;
    for (size_t i = 0; i < count; i++)
        if (keys[i] > best && book_side_has(side, keys[i]))
            best = keys[i];
    return best;
}

/* List the keys at or above `limit` that are not among the sorted `kept`; `*keys` is to be freed. */
static int list_crossing(const BookSide *side, Key limit, const Key *kept, size_t kept_count,
                         Key **keys, size_t *count)
{
    *count = 0;
    *keys = NULL;
    if (book_side_best(side) < limit)
        return 0;
    size_t total = book_side_count(side);
    Level *levels = malloc(total * sizeof *levels);
    *keys = malloc(total * sizeof **keys);
    int failed = !levels || !*keys;
    if (!failed)
        total = book_side_top(side, total, levels);
    for (size_t i = 0; !failed && i < total && levels[i].key >= limit; i++)
        if (!bsearch(&levels[i].key, kept, kept_count, sizeof *kept, compare))
            (*keys)[(*count)++] = levels[i].key;
    free(levels);
    return failed ? -1 : 0;
}

static int drop(BookSide *side, const Key *keys, size_t count)
{
    double *zeros = calloc(count + 1, sizeof *zeros);
    int failed = !zeros || book_side_apply(side, keys, zeros, count) < 0;
    free(zeros);
    return failed ? -1 : 0;
}

int uncross(BookSide *bids, BookSide *asks, Key *bid_keys, size_t bid_count, Key *ask_keys,
            size_t ask_count)
{
    Key *old_bids = NULL, *old_asks = NULL;
    size_t old_bid_count, old_ask_count;
    qsort(bid_keys, bid_count, sizeof *bid_keys, compare);
    qsort(ask_keys, ask_count, sizeof *ask_keys, compare);
    Key best_bid = best_of(bids, bid_keys, bid_count);
    Key best_ask = best_of(asks, ask_keys, ask_count);
    int failed =
        list_crossing(asks, ~best_bid, ask_keys, ask_count, &old_asks, &old_ask_count) < 0 ||
        list_crossing(bids, ~best_ask, bid_keys, bid_count, &old_bids, &old_bid_count) < 0 ||
        drop(asks, old_asks, old_ask_count) < 0 || drop(bids, old_bids, old_bid_count) < 0;
    free(old_bids);
    free(old_asks);
    return failed ? -1 : 0;
}
