#include "book_side.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#if FLT_EVAL_METHOD != 0
#error "doubles are kept with excess precision here: the sums would not be exact"
#endif

enum { SPARE = 64, FIRST_ROOM = 256, LANES = 4, BATCH = 64 };

void book_side_init(BookSide *side, size_t depth, uint64_t seed)
{
    memset(side, 0, sizeof *side);
    side->depth = depth;
    side->limit = depth + (depth > SPARE ? depth : SPARE);
    side->floor = 0;
    level_table_init(&side->outside, seed);
}

void book_side_free(BookSide *side)
{
    free(side->keys);
    free(side->sizes);
    level_table_free(&side->outside);
}

void book_side_clear(BookSide *side)
{
    side->count = 0;
    side->start = side->room / 2;
    side->floor = 0;
    level_table_clear(&side->outside);
}

static void move_levels(BookSide *side, size_t to, size_t from, size_t count)
{
    memmove(side->keys + to, side->keys + from, count * sizeof *side->keys);
    memmove(side->sizes + to, side->sizes + from, count * sizeof *side->sizes);
}

/* Move the window to the middle of its arrays; make them larger if it fills more than half. */
static int make_room(BookSide *side)
{
    if (2 * side->count >= side->room) {
        size_t room = side->room ? 2 * side->room : FIRST_ROOM;
        Key *keys = realloc(side->keys, room * sizeof *keys);
        if (!keys)
            return -1;
        side->keys = keys;
        double *sizes = realloc(side->sizes, room * sizeof *sizes);
        if (!sizes)
            return -1;
        side->sizes = sizes;
        side->room = room;
    }
    size_t start = (side->room - side->count) / 2;
    move_levels(side, start, side->start, side->count);
    side->start = start;
    return 0;
}

/* Insert before the window's level `at`, moving the levels on the side that has fewer. */
static int insert(BookSide *side, size_t at, Key key, double size)
{
    int down = 2 * at < side->count;
    if ((down ? side->start == 0 : side->start + side->count == side->room) && make_room(side) < 0)
        return -1;
    if (down) {
        move_levels(side, side->start - 1, side->start, at);
        side->start--;
    } else {
        move_levels(side, side->start + at + 1, side->start + at, side->count - at);
    }
    side->keys[side->start + at] = key;
    side->sizes[side->start + at] = size;
    side->count++;
    return 0;
}

static void erase(BookSide *side, size_t at)
{
    side->count--;
    if (2 * at < side->count) {
        move_levels(side, side->start + 1, side->start, at);
        side->start++;
    } else {
        move_levels(side, side->start + at, side->start + at + 1, side->count - at);
    }
}

/* Move the worst levels to the table until `limit` are left. */
static int cut(BookSide *side)
{
    double before;
    while (side->count > side->limit) {
        if (level_table_put(&side->outside, side->keys[side->start], side->sizes[side->start],
                            &before) < 0)
            return -1;
        side->start++;
        side->count--;
        side->floor = side->keys[side->start];
    }
    return 0;
}

static int refill(BookSide *side)
{
    size_t wanted = side->limit - side->count;
    if (wanted > side->outside.count)
        wanted = side->outside.count;
    Level *best = malloc((wanted + 1) * sizeof *best);
    if (!best)
        return -1;
    int failed = 0;
    size_t count = level_table_best(&side->outside, wanted, best);
    for (size_t i = 0; i < count && !failed; i++) {
        failed = insert(side, 0, best[i].key, best[i].size) < 0;
        if (!failed) {
            level_table_remove(&side->outside, best[i].key);
            side->floor = best[i].key;
        }
    }
    free(best);
    if (!side->outside.count)
        side->floor = 0;
    return failed ? -1 : 0;
}

/* Return the position in the window of the first key that is not below `key`. */
static size_t position_of(const BookSide *side, Key key)
{
    const Key *keys = side->keys + side->start, *base = keys;
    size_t count = side->count;
    if (!count)
        return 0;
    while (count > 1) {
        size_t half = count / 2;
        base += half & (0 - (size_t)(base[half - 1] < key)); /* no branch: it would be mispredicted */
        count -= half;
    }
    return (size_t)(base - keys) + (*base < key);
}

static int set_outside(BookSide *side, Key key, double size, double *before)
{
    if (size != 0.0)
        return level_table_put(&side->outside, key, size, before);
    *before = level_table_remove(&side->outside, key);
    return 0;
}

/* Set the level whose place in the window, which is not full, is `at`. */
static int set_at(BookSide *side, size_t at, Key key, double size, double *before)
{
    int found = at < side->count && side->keys[side->start + at] == key;
    *before = found ? side->sizes[side->start + at] : 0.0;
    if (size == 0.0) {
        if (found)
            erase(side, at);
    } else if (found) {
        side->sizes[side->start + at] = size;
    } else {
        return insert(side, at, key, size);
    }
    return 0;
}

static int set_in_window(BookSide *side, Key key, double size, double *before)
{
    if (side->count == 2 * side->limit) {
        if (cut(side) < 0)
            return -1;
        if (key < side->floor)
            return set_outside(side, key, size, before);
    }
    return set_at(side, position_of(side, key), key, size, before);
}

static int set(BookSide *side, Key key, double size, double *before)
{
    return key < side->floor ? set_outside(side, key, size, before)
                             : set_in_window(side, key, size, before);
}

/* Return whether each key is below the one before it, taking every `step`-th from `keys`. */
static int is_descending(const Key *keys, ptrdiff_t step, size_t count)
{
    int descending = 1;
    for (size_t i = 1; i < count; i++, keys += step)
        descending &= keys[step] < keys[0];
    return descending;
}

/* Set levels of which each is worse than the one before. All positions are looked up first: the
   look-ups do not wait for one another, and changes do not move the positions of worse levels. */
static int set_descending(BookSide *side, const Key *keys, const double *sizes, ptrdiff_t step,
                          size_t count, double *before)
{
    size_t at[BATCH], i = 0;
    ptrdiff_t from = 0;
    for (; i < count && keys[from] >= side->floor; i++, from += step)
        at[i] = position_of(side, keys[from]);
    size_t in_window = i;
    for (i = 0, from = 0; i < in_window && side->count < 2 * side->limit; i++, from += step)
        if (set_at(side, at[i], keys[from], sizes[from], before + from) < 0)
            return -1;
    for (; i < count; i++, from += step)
        if (set(side, keys[from], sizes[from], before + from) < 0)
            return -1;
    return 0;
}

static int set_any(BookSide *side, const Key *keys, const double *sizes, size_t count,
                   double *before)
{
    for (size_t i = 0; i < count; i++)
        if (set(side, keys[i], sizes[i], before + i) < 0)
            return -1;
    return 0;
}

int book_side_apply(BookSide *side, const Key *keys, const double *sizes, size_t count,
                    double *before)
{
    for (size_t done = 0, batch; done < count; done += batch) {
        batch = count - done < BATCH ? count - done : BATCH;
        const Key *first = keys + done, *last = first + batch - 1;
        int failed;
        if (is_descending(first, 1, batch))
            failed = set_descending(side, first, sizes + done, 1, batch, before + done);
        else if (is_descending(last, -1, batch))
            failed = set_descending(side, last, sizes + done + batch - 1, -1, batch,
                                    before + done + batch - 1);
        else
            failed = set_any(side, first, sizes + done, batch, before + done);
        if (failed < 0)
            return -1;
    }
    if (side->count < side->depth && side->floor)
        return refill(side);
    return 0;
}

size_t book_side_count(const BookSide *side)
{
    return side->count + side->outside.count;
}

Key book_side_best(const BookSide *side)
{
    return side->count ? side->keys[side->start + side->count - 1] : 0;
}

double book_side_size(const BookSide *side, Key key)
{
    if (key < side->floor)
        return level_table_size(&side->outside, key);
    size_t at = position_of(side, key);
    return at < side->count && side->keys[side->start + at] == key ? side->sizes[side->start + at]
                                                                   : 0.0;
}

size_t book_side_top(const BookSide *side, size_t wanted, Level *top)
{
    size_t count = wanted < side->count ? wanted : side->count;
    for (size_t i = 0; i < count; i++) {
        size_t at = side->start + side->count - 1 - i;
        top[i] = (Level){side->keys[at], side->sizes[at]};
    }
    return count + level_table_best(&side->outside, wanted - count, top + count);
}

void book_side_visit(const BookSide *side, LevelVisitor *visit, void *context)
{
    for (size_t at = side->start; at < side->start + side->count; at++)
        visit(context, side->keys[at], side->sizes[at]);
    for (size_t slot = 0; slot < side->outside.room; slot++)
        if (side->outside.slots[slot].key != 0)
            visit(context, side->outside.slots[slot].key, side->outside.slots[slot].size);
}

const double *book_side_summed(const BookSide *side, size_t *count)
{
    *count = side->depth < side->count ? side->depth : side->count;
    return side->sizes + side->start + (side->count - *count);
}

/* Add `x` to `*sum` and return what rounding took away, exactly (Knuth's TwoSum). */
static inline double add(double *sum, double x)
{
    double old = *sum, total = old + x, part = total - old;
    *sum = total;
    return (old - (total - part)) + (x - part);
}

size_t book_side_sizes_between(const BookSide *side, Key worst, Key best, double *sizes)
{
    size_t found = 0, at = side->start + side->count;
    while (at > side->start && side->keys[at - 1] > best)
        at--;
    for (; at > side->start && side->keys[at - 1] >= worst; at--)
        sizes[found++] = side->sizes[at - 1];
    if (worst >= side->floor)
        return found;
    for (size_t slot = 0; slot < side->outside.room; slot++) {
        Key key = side->outside.slots[slot].key;
        if (key >= worst && key <= best && key != 0)
            sizes[found++] = side->outside.slots[slot].size;
    }
    return found;
}

int book_side_sum(const BookSide *side, double *sum)
{
    size_t count;
    const double *sizes = book_side_summed(side, &count);
    return sum_sizes(sizes, count, sum);
}

int sum_sizes(const double *sizes, size_t count, double *sum)
{
    /* Each lane is a pair (high, low) of exact value high + low as long as `lost` is 0; lanes are
       independent, so that the processor adds several at once. Overflow makes `lost` NaN. */
    double high[LANES] = {0.0}, low[LANES] = {0.0}, lost[LANES] = {0.0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            lost[lane] += fabs(add(&low[lane], add(&high[lane], sizes[i + (size_t)lane])));
    for (int lane = 0; i < count; i++, lane++)
        lost[lane] += fabs(add(&low[lane], add(&high[lane], sizes[i])));
    for (int lane = 1; lane < LANES; lane++) {
        lost[0] += lost[lane] + fabs(add(&low[0], add(&high[0], high[lane])));
        lost[0] += fabs(add(&low[0], low[lane]));
    }
    *sum = high[0] + low[0]; /* one rounding, of the exact sum */
    return lost[0] == 0.0;
}
