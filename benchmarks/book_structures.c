/* Try structures for one side of the book on the levels of a recording, without any parsing.

   Each structure applies every row and sums its best 50 after it; all must reach the same sums.
   The input holds, per row and side, a count (int64), the keys (see level_table.h) and the sizes
   (doubles): `benchmarks/book.py --dump LEVELS.bin RECORDING.db` writes it.

     cc -O2 -I native/src/orderflow_native benchmarks/book_structures.c \
        native/src/orderflow_native/book_side.c native/src/orderflow_native/level_table.c -lm
     ./a.out LEVELS.bin [REPEATS]

   What came of it is in docs/adr/adr-011-compiled-book.md. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "book_side.h"

enum { DEPTH = 50, MOST = 1 << 20, BLOCK = 64 };

/* Whole side in sorted arrays, best first: a change moves all that is worse. */
typedef struct {
    Key *keys;
    double *sizes;
    size_t count;
} Sorted;

static size_t sorted_position(const Key *keys, size_t count, Key key)
{
    const Key *base = keys;
    if (!count)
        return 0;
    while (count > 1) {
        size_t half = count / 2;
        base += half & (0 - (size_t)(base[half - 1] > key));
        count -= half;
    }
    return (size_t)(base - keys) + (*base > key);
}

static void *sorted_new(size_t limit)
{
    (void)limit;
    Sorted *side = calloc(1, sizeof *side);
    side->keys = malloc(MOST * sizeof(Key));
    side->sizes = malloc(MOST * sizeof(double));
    return side;
}

static void sorted_set(Key *keys, double *sizes, size_t *count, Key key, double size)
{
    size_t at = sorted_position(keys, *count, key), rest = *count - at;
    int found = rest && keys[at] == key;
    if (found && size != 0.0) {
        sizes[at] = size;
    } else if (found) {
        memmove(keys + at, keys + at + 1, (rest - 1) * sizeof *keys);
        memmove(sizes + at, sizes + at + 1, (rest - 1) * sizeof *sizes);
        --*count;
    } else if (size != 0.0) {
        memmove(keys + at + 1, keys + at, rest * sizeof *keys);
        memmove(sizes + at + 1, sizes + at, rest * sizeof *sizes);
        keys[at] = key;
        sizes[at] = size;
        ++*count;
    }
}

static void sorted_apply(void *made, const Key *keys, const double *sizes, size_t count)
{
    Sorted *side = made;
    for (size_t i = 0; i < count; i++)
        sorted_set(side->keys, side->sizes, &side->count, keys[i], sizes[i]);
}

static double sum_of(const double *sizes, size_t count)
{
    BookSide side = {.sizes = (double *)sizes, .count = count, .depth = DEPTH};
    double sum = NAN;
    return book_side_sum(&side, &sum) ? sum : NAN;
}

static double sorted_sum(void *made)
{
    Sorted *side = made;
    return sum_of(side->sizes, side->count < DEPTH ? side->count : DEPTH);
}

/* Sorted blocks of at most BLOCK levels, found by a search over their first keys. */
typedef struct {
    Key keys[BLOCK];
    double sizes[BLOCK];
    size_t count;
} Block;

typedef struct {
    Key *firsts;
    Block **blocks;
    size_t count;
} Blocks;

static void *blocks_new(size_t limit)
{
    (void)limit;
    Blocks *side = calloc(1, sizeof *side);
    side->firsts = malloc(MOST / 8 * sizeof(Key));
    side->blocks = malloc(MOST / 8 * sizeof(Block *));
    side->firsts[0] = UINT64_MAX;
    side->blocks[0] = calloc(1, sizeof(Block));
    side->count = 1;
    return side;
}

static void block_split(Blocks *side, size_t at)
{
    size_t rest = side->count - at - 1;
    memmove(side->firsts + at + 2, side->firsts + at + 1, rest * sizeof(Key));
    memmove(side->blocks + at + 2, side->blocks + at + 1, rest * sizeof(Block *));
    Block *old = side->blocks[at], *new = malloc(sizeof *new);
    old->count = new->count = BLOCK / 2;
    memcpy(new->keys, old->keys + BLOCK / 2, sizeof new->keys / 2);
    memcpy(new->sizes, old->sizes + BLOCK / 2, sizeof new->sizes / 2);
    side->blocks[at + 1] = new;
    side->firsts[at + 1] = new->keys[0];
    side->count++;
}

static void block_drop(Blocks *side, size_t at)
{
    free(side->blocks[at]);
    memmove(side->firsts + at, side->firsts + at + 1, (side->count - at - 1) * sizeof(Key));
    memmove(side->blocks + at, side->blocks + at + 1, (side->count - at - 1) * sizeof(Block *));
    side->count--;
    side->firsts[0] = UINT64_MAX;
}

static void blocks_apply(void *made, const Key *keys, const double *sizes, size_t count)
{
    Blocks *side = made;
    for (size_t i = 0; i < count; i++) {
        /* the last block whose first key is not below the key */
        size_t at = sorted_position(side->firsts, side->count, keys[i]);
        if (at == side->count || side->firsts[at] != keys[i])
            at--;
        Block *block = side->blocks[at];
        if (block->count == BLOCK) {
            block_split(side, at);
            if (keys[i] <= side->firsts[at + 1])
                at++;
            block = side->blocks[at];
        }
        sorted_set(block->keys, block->sizes, &block->count, keys[i], sizes[i]);
        if (!block->count && side->count > 1)
            block_drop(side, at);
    }
}

static double blocks_sum(void *made)
{
    Blocks *side = made;
    double sizes[DEPTH];
    size_t count = 0;
    for (size_t at = 0; at < side->count && count < DEPTH; at++) {
        size_t taken = side->blocks[at]->count;
        if (taken > DEPTH - count)
            taken = DEPTH - count;
        memcpy(sizes + count, side->blocks[at]->sizes, taken * sizeof *sizes);
        count += taken;
    }
    return sum_of(sizes, count);
}

/* All levels in the hash table, the best also in a sorted window (as the Python class). */
typedef struct {
    LevelTable all;
    Sorted window;
    Key floor;
    size_t limit;
} Doubled;

static void *doubled_new(size_t limit)
{
    Doubled *side = calloc(1, sizeof *side);
    Sorted *window = sorted_new(0);
    side->window = *window;
    free(window);
    level_table_init(&side->all, 1);
    side->floor = 0;
    side->limit = limit;
    return side;
}

static void doubled_refill(Doubled *side)
{
    Level *best = malloc((side->limit + 1) * sizeof *best);
    side->window.count = level_table_best(&side->all, side->limit, best);
    for (size_t i = 0; i < side->window.count; i++) {
        side->window.keys[i] = best[i].key;
        side->window.sizes[i] = best[i].size;
    }
    side->floor = side->window.count < side->all.count ? best[side->window.count - 1].key : 0;
    free(best);
}

static void doubled_apply(void *made, const Key *keys, const double *sizes, size_t count)
{
    Doubled *side = made;
    Sorted *window = &side->window;
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] != 0.0)
            level_table_put(&side->all, keys[i], sizes[i]);
        else
            level_table_remove(&side->all, keys[i]);
        if (keys[i] >= side->floor)
            sorted_set(window->keys, window->sizes, &window->count, keys[i], sizes[i]);
        if (window->count > 2 * side->limit) {
            window->count = side->limit;
            side->floor = window->keys[side->limit - 1];
        }
    }
    if (window->count < DEPTH && side->floor)
        doubled_refill(side);
}

static double doubled_sum(void *made)
{
    return sorted_sum(&((Doubled *)made)->window);
}

/* What was chosen; with a limit no book reaches it is a whole side in sorted arrays. */
static void *chosen_new(size_t limit)
{
    BookSide *side = malloc(sizeof *side);
    book_side_init(side, DEPTH, 1);
    side->limit = limit;
    return side;
}

static void chosen_apply(void *made, const Key *keys, const double *sizes, size_t count)
{
    book_side_apply(made, keys, sizes, count);
}

static double chosen_sum(void *made)
{
    double sum = NAN;
    return book_side_sum(made, &sum) ? sum : NAN;
}

typedef struct {
    const char *name;
    void *(*make)(size_t limit);
    void (*apply)(void *, const Key *, const double *, size_t);
    double (*sum)(void *);
    size_t limit;
} Structure;

static const Structure STRUCTURES[] = {
    {"sorted arrays, best first", sorted_new, sorted_apply, sorted_sum, 0},
    {"sorted arrays, best last, both ends open", chosen_new, chosen_apply, chosen_sum, MOST},
    {"sorted blocks of 64", blocks_new, blocks_apply, blocks_sum, 0},
    {"hash of all + sorted window of 114", doubled_new, doubled_apply, doubled_sum, 114},
    {"window of 82, hash of the rest", chosen_new, chosen_apply, chosen_sum, 82},
    {"window of 114, hash of the rest (chosen)", chosen_new, chosen_apply, chosen_sum, 114},
    {"window of 178, hash of the rest", chosen_new, chosen_apply, chosen_sum, 178},
    {"window of 306, hash of the rest", chosen_new, chosen_apply, chosen_sum, 306},
};
enum { STRUCTURES_COUNT = sizeof STRUCTURES / sizeof *STRUCTURES };

/* Apply all rows; return nanoseconds, and in `total` a figure that tells whether sums agree. */
static double run(const Structure *structure, const char *data, size_t length, double *total)
{
    void *sides[2] = {structure->make(structure->limit), structure->make(structure->limit)};
    struct timespec from, to;
    *total = 0.0;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (size_t at = 0, which = 0; at < length; which ^= 1) {
        size_t count = *(const size_t *)(data + at);
        const Key *keys = (const Key *)(data + at + sizeof count);
        const double *sizes = (const double *)(keys + count);
        structure->apply(sides[which], keys, sizes, count);
        *total += structure->sum(sides[which]) * (double)(which + 1);
        at += sizeof count + 2 * count * sizeof(double);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    return (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
}

int main(int argc, char **argv)
{
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    if (!file || fseek(file, 0, SEEK_END) < 0)
        return fprintf(stderr, "usage: book_structures LEVELS.bin [REPEATS]\n"), 2;
    size_t length = (size_t)ftell(file), rows = 0;
    char *data = malloc(length);
    rewind(file);
    if (fread(data, 1, length, file) != length)
        return fprintf(stderr, "%s cannot be read whole\n", argv[1]), 1;
    for (size_t at = 0; at < length; rows++)
        at += sizeof(size_t) + 2 * *(const size_t *)(data + at) * sizeof(double);
    double best[STRUCTURES_COUNT], total, expected = NAN;
    for (int repeat = 0; repeat < (argc > 2 ? atoi(argv[2]) : 5); repeat++)
        for (int i = 0; i < STRUCTURES_COUNT; i++) {
            double took = run(&STRUCTURES[i], data, length, &total);
            best[i] = repeat && best[i] < took ? best[i] : took;
            expected = repeat || i ? expected : total;
            if (total != expected)
                return fprintf(stderr, "%s: other sums\n", STRUCTURES[i].name), 1;
        }
    for (int i = 0; i < STRUCTURES_COUNT; i++)
        printf("%8.0f ns a row  %s\n", 2 * best[i] / (double)rows, STRUCTURES[i].name);
    return 0;
}
