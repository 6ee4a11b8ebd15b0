/* One side of a book of levels as text, and what the last row did to it. */
#ifndef ORDERFLOW_TEXT_SIDE_H
#define ORDERFLOW_TEXT_SIDE_H

#include "text_row.h"

#define WHOLE_SIDE SIZE_MAX /* as a depth */

/* A level never changes: a new size is another one, so that the old can be looked at. */
typedef struct {
    uint8_t price_length;
    uint8_t size_length;
    uint8_t orders_length;
    uint8_t has_orders;
    char text[]; /* price, size and orders, one after the other */
} BookLevel;

typedef struct {
    PriceKey key;
    BookLevel *level;
} Entry;

/* The room of a level that is gone, for the next one. */
typedef struct FreeLevel FreeLevel;

/* What a row did to a price: the level before and after, NULL for none. */
typedef struct {
    PriceKey key;
    BookLevel *before; /* owned */
    BookLevel *after;  /* the side's */
    size_t turn;       /* in the order of the row */
} Touch;

/* A level to send: `deletes` says to delete its price. */
typedef struct {
    PriceKey key;
    const BookLevel *level;
    int deletes;
} Change;

typedef struct {
    Change *items;
    size_t count;
    size_t room;
} ChangeList;

typedef struct {
    Entry *entries; /* the best last: most changes are near it and move few */
    size_t count;
    size_t room;
    Entry *spare; /* what a row is merged into */
    size_t spare_room;
    const GivenLevel **order; /* the levels of a row, the worst first */
    size_t order_room;
    FreeLevel *free_levels;
    Touch *touches; /* of the last row, the best first, one for each price */
    size_t touch_count;
    size_t touch_room;
} TextSide;

void text_side_free(TextSide *side);
/* Both return 0, or -1 when there is no memory: the side is then of no use any more. */
int text_side_put(TextSide *side, const GivenRow *row);
int text_side_replace(TextSide *side, const GivenRow *row);

/* Return the level of a rank, 0 for the best; `rank` is below `count`. */
static inline const Entry *text_side_at(const TextSide *side, size_t rank)
{
    return &side->entries[side->count - 1 - rank];
}

/* Collect what the last row changed within the best `depth` levels, deletes first; see
   `exchanges.depth.BookSide.changes`. The levels live until the next row. Return 0, or -1 when
   there is no memory. */
int text_side_changes(
    const TextSide *side, size_t depth, int delete_fallen, int with_orders, ChangeList *found);

#endif
