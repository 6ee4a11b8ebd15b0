/* The levels beyond the window: a hash table from key to size, open addressing. */
#ifndef ORDERFLOW_LEVEL_TABLE_H
#define ORDERFLOW_LEVEL_TABLE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The bits of a bid's price, which are in the order of positive prices, or the bits of an ask's,
   all inverted: so that the best level of either side has the largest key. Never 0. The key of
   the same price on the other side is ~key. */
typedef uint64_t Key;

/* `side` is 0 for bids and ~0 for asks. */
static inline Key key_of(double price, Key side)
{
    Key bits;
    memcpy(&bits, &price, sizeof bits);
    return bits ^ side;
}

static inline double price_of(Key key, Key side)
{
    double price;
    key ^= side;
    memcpy(&price, &key, sizeof price);
    return price;
}

typedef struct {
    Key key;
    double size; /* never 0 in a book */
} Level;

typedef struct {
    Level *slots; /* a key of 0 marks a free slot */
    size_t room;  /* slots, a power of two, or 0 before the first level */
    size_t count;
    uint64_t seed;
} LevelTable;

/* Whoever writes a recording must not be able to guess `seed`, or prices could be chosen that all
   fall into one slot. Nothing that is read from a table depends on it. */
void level_table_init(LevelTable *table, uint64_t seed);
void level_table_free(LevelTable *table);
void level_table_clear(LevelTable *table);

/* Write the size that was at the key before, 0 where there was none, to `*before`. Return 0, or -1
   when there is no memory; the table is then as it was. */
int level_table_put(LevelTable *table, Key key, double size, double *before);
/* Deleting what is not there is normal. Return the size that was at the key, or 0. */
double level_table_remove(LevelTable *table, Key key);
/* Return the size at a key, or 0 where there is none. */
double level_table_size(const LevelTable *table, Key key);

/* Write the best `wanted` levels, best first, or all where there are fewer. Takes time in
   proportion to the table, not to its square, however the keys lie. Return how many. */
size_t level_table_best(const LevelTable *table, size_t wanted, Level *best);

#endif
