/* The levels of one side of a row as text, in the order given; only what is plain is read here. */
#ifndef ORDERFLOW_TEXT_ROW_H
#define ORDERFLOW_TEXT_ROW_H

#include <stddef.h>
#include <stdint.h>

/* A price without rounding; the greater key is the better price, of bids and of asks. */
typedef struct {
    uint64_t whole;
    uint64_t fraction; /* in units of 10**-18 */
} PriceKey;

/* No price has these keys: one is worse than all, the other better. */
#define WORST_KEY ((PriceKey){0, 0})
#define BEST_KEY ((PriceKey){UINT64_MAX, UINT64_MAX})

static inline int is_better(PriceKey one, PriceKey other)
{
    return (one.whole > other.whole) |
           ((one.whole == other.whole) & (one.fraction > other.fraction));
}

static inline int is_same(PriceKey one, PriceKey other)
{
    return one.whole == other.whole && one.fraction == other.fraction;
}

/* The texts are the caller's, who keeps them for as long as the row is used. */
typedef struct {
    PriceKey key;
    const char *price;
    const char *size;
    const char *orders; /* NULL where the source does not say */
    uint8_t price_length;
    uint8_t size_length;
    uint8_t orders_length;
    uint8_t deletes; /* the size is zero */
} GivenLevel;

typedef struct {
    GivenLevel *levels;
    size_t count;
    size_t room;
    size_t price_decimals; /* the most that a level has */
    size_t size_decimals;
} GivenRow;

void given_row_free(GivenRow *row);
/* Make room for `count` levels. Return 0, or -1 when there is no memory. */
int given_row_reserve(GivenRow *row, size_t count);

enum { ROW_READ = 0, ROW_NOT_PLAIN = 1, ROW_NO_MEMORY = -1 };

/* Read `[["price","size",...],...]`, every field a quoted decimal, blanks after commas allowed.

   ROW_READ means that `exchanges.levels.read_side` reads the same levels and rejects none.
   Anything else, if only a price of more than 19 digits before the point, is ROW_NOT_PLAIN.
   `text` must end in a NUL after its `length` bytes, as the data of a bytes object does. */
int given_row_read(const char *text, size_t length, int is_bids, GivenRow *row);

/* Set the key of a level and what follows of its texts. Return 0, or -1 where the price is not
   plain, or has no key here. */
int given_level_measure(GivenLevel *level, int is_bids, GivenRow *row);

#endif
