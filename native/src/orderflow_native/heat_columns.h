/* Columns of resting size by price row: see metrics/heat_columns.py, whose results these are.

   Sums of the finest rows are kept up to date with each changed level, in whole lots, so that they
   do not drift; the book is walked only when they are not known: at first, after a snapshot, when
   tick, lot or rows have changed, and when the price has left the rows that are summed. */
#ifndef ORDERFLOW_HEAT_COLUMNS_H
#define ORDERFLOW_HEAT_COLUMNS_H

#include "book_side.h"

enum {
    HEAT_LEVELS = 5,
    HEAT_COLUMNS = 1024,
    HEAT_ROWS = 400,
    HEAT_COLUMN_MS = 250,
    HEAT_SUMS = 9216, /* what the coarsest rows need, 6400 to 8000, and a little to move in */
    HEAT_WORDS = HEAT_SUMS / 64,
    HEAT_BEST = 20000
};

typedef struct {
    double low, row, bid, ask;
} ColumnHead;

typedef struct {
    int64_t first; /* number of the oldest column; number modulo HEAT_COLUMNS is its slot */
    size_t count;
    ColumnHead *heads;
    uint16_t *updates;
    uint16_t *cells;
    int64_t rows_before; /* rows noted when the column in progress began */
    int64_t base;        /* of the newest column, in rows */
    uint64_t walks;      /* of the newest column: with another number of walks it is of no use */
    uint64_t changed[HEAT_WORDS]; /* sums that have changed since the newest column */
} HeatRing;

typedef struct {
    double time, bid, ask;
} BestChange;

typedef struct {
    HeatRing rings[HEAT_LEVELS];
    double *sums[2]; /* bids and asks, in lots, of the rows from `origin` on */
    int64_t origin;  /* a multiple of 64 */
    int is_known;    /* whether the sums are those of the book, and stay so by `heat_apply` */
    uint64_t walks;

    double ticks_per_price, units, power; /* a tick is units / power */
    int any_price;                        /* prices need be no multiples of the tick */
    int lot_decimals;
    double scale; /* lots in a size of 1 */
    double total; /* lots in the book, while the sums are known */

    int64_t mid; /* twice the mid, in ticks */
    int64_t row; /* the finest row, in ticks; 0 before there is one */
    double row_mid;
    int shifts[HEAT_LEVELS];

    int64_t start_ms, end_ms; /* rows before `end_ms` belong to the column in progress */
    int64_t number;           /* of that, -1 before the first */
    int64_t rows;

    BestChange *best; /* a ring */
    BestChange newest;
    int64_t best_count;
} Heat;

/* Return 0, or -1 when there is no memory. */
int heat_init(Heat *heat, int64_t start_ms);
void heat_free(Heat *heat);

#define HEAT_MAX_MID (INT64_C(1) << 46)

/* Take over the tick, `finer` of which are as many as one of before; 0 units while none is known.
   0 as `finer` is for a mid that would be over HEAT_MAX_MID: it is forgotten, as are the rows. */
void heat_set_tick(Heat *heat, double units, double power, double ticks_per_price, int any_price,
                   int64_t finer);

/* Follow a row's levels, with the sizes that they replaced. */
void heat_apply(Heat *heat, Key side, const Key *keys, const double *sizes, const double *before,
                size_t count);
static inline void heat_forget(Heat *heat)
{
    heat->is_known = 0;
}

/* Note a row that was applied, and the best prices after it, 0 where a side is empty. */
void heat_note(Heat *heat, int64_t timestamp, double bid, double ask);

enum { HEAT_READY = 0, HEAT_NO_BOOK = 1, HEAT_NEEDS_TICK = 2 };
/* Make the sums those of the book, and where `fit` make the rows fit it. HEAT_NEEDS_TICK: the
   tick must fit the book's prices first. HEAT_NO_BOOK: there was no level yet. */
int heat_look(Heat *heat, const BookSide *bids, const BookSide *asks, int fit);
/* After a look, which gave `look`: put the columns that end before column `number`. Return 0, or -1
   when there is no memory. */
int heat_close(Heat *heat, const BookSide *bids, const BookSide *asks, int look, int64_t number);
/* After a look: write the column of `level` in progress. */
void heat_write(const Heat *heat, int level, const BookSide *bids, const BookSide *asks,
                ColumnHead *head, uint16_t *updates, uint16_t *cells);

static inline double best_price(const BookSide *side, Key bits)
{
    Key key = book_side_best(side);
    return key ? price_of(key, bits) : 0.0;
}

#endif
