/* One side of the book: a sorted window of its best levels, the rest in a hash table.

   A level is in one of the two: in the window when its key is at or above `floor`. The window is
   refilled from the table when it holds fewer levels than are summed, and gives its worst to the
   table when it has grown too large, so that a change costs the same in a book of any size. */
#ifndef ORDERFLOW_BOOK_SIDE_H
#define ORDERFLOW_BOOK_SIDE_H

#include "level_table.h"

typedef struct {
    Key *keys; /* ascending, the best last: most changes are near the best and move few */
    double *sizes;
    size_t start; /* where the window begins in both arrays */
    size_t count;
    size_t room;
    size_t depth; /* levels summed */
    size_t limit; /* levels left in the window when it is refilled or cut */
    Key floor; /* 0 while the window holds the whole side */
    LevelTable outside;
} BookSide;

/* `depth` is at least 1. */
void book_side_init(BookSide *side, size_t depth, uint64_t seed);
void book_side_free(BookSide *side);
void book_side_clear(BookSide *side);

/* Set the levels of a row; a size of 0 deletes. Write the size that each had before, 0 where there
   was none, to `before`. Return 0, or -1 when there is no memory. */
int book_side_apply(BookSide *side, const Key *keys, const double *sizes, size_t count,
                    double *before);

size_t book_side_count(const BookSide *side);
/* Return the largest key, or 0 for an empty side. */
Key book_side_best(const BookSide *side);
/* Return the size at a key, or 0 where there is none. */
double book_side_size(const BookSide *side, Key key);
/* Write at most `wanted` levels, best first, and return how many. */
size_t book_side_top(const BookSide *side, size_t wanted, Level *top);

/* Call `visit` for each level, in any order. */
typedef void LevelVisitor(void *context, Key key, double size);
void book_side_visit(const BookSide *side, LevelVisitor *visit, void *context);

/* Sum the sizes of the best `depth` levels. Return 1 with the correctly rounded sum, or 0 when
   two doubles could not hold it exactly and it has to be summed in another way. */
int book_side_sum(const BookSide *side, double *sum);
/* The sizes that are summed: `*count` of them, the best last. */
const double *book_side_summed(const BookSide *side, size_t *count);
/* Sum sizes, with the result of `book_side_sum`. */
int sum_sizes(const double *sizes, size_t count, double *sum);
/* Write the sizes of the levels from `worst` to `best`, in any order, and return how many there are;
   there must be room for the whole side. */
size_t book_side_sizes_between(const BookSide *side, Key worst, Key best, double *sizes);

#endif
