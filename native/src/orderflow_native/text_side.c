#include "text_side.h"

#include <stdlib.h>
#include <string.h>

enum {
    COMMON_TEXT = 60,   /* bytes; levels with so much text have room of one size */
    COPIED_AT_MOST = 64 /* entries a level of a row, where to search each costs more */
};

struct FreeLevel {
    FreeLevel *next;
};

/* Return memory for `wanted` items and one more, NULL when there is none. */
static void *grown(void *items, size_t *room, size_t wanted, size_t size)
{
    if (wanted < *room)
        return items;
    size_t new_room = wanted + wanted / 2 + 8;
    void *larger = realloc(items, new_room * size);
    if (larger)
        *room = new_room;
    return larger;
}

static int reserve_entries(Entry **entries, size_t *room, size_t count)
{
    Entry *larger = grown(*entries, room, count, sizeof **entries);
    if (!larger)
        return -1;
    *entries = larger;
    return 0;
}

static int reserve_touches(TextSide *side, size_t count)
{
    Touch *touches = grown(side->touches, &side->touch_room, count, sizeof *touches);
    if (!touches)
        return -1;
    side->touches = touches;
    return 0;
}

/* Return room for a level with so much text, NULL without memory. */
static inline BookLevel *take_room(TextSide *side, size_t length)
{
    FreeLevel *first = side->free_levels;
    if (length > COMMON_TEXT)
        return malloc(sizeof(BookLevel) + length);
    if (!first)
        return malloc(sizeof(BookLevel) + COMMON_TEXT);
    side->free_levels = first->next;
    return (BookLevel *)first;
}

static inline void release(TextSide *side, BookLevel *level)
{
    if (!level)
        return;
    if ((size_t)level->price_length + level->size_length + level->orders_length > COMMON_TEXT) {
        free(level);
        return;
    }
    FreeLevel *freed = (FreeLevel *)level;
    freed->next = side->free_levels;
    side->free_levels = freed;
}

static void forget_touches(TextSide *side)
{
    for (size_t i = 0; i < side->touch_count; i++)
        release(side, side->touches[i].before);
    side->touch_count = 0;
}

void text_side_free(TextSide *side)
{
    forget_touches(side);
    for (size_t i = 0; i < side->count; i++)
        release(side, side->entries[i].level);
    while (side->free_levels) {
        FreeLevel *next = side->free_levels->next;
        free(side->free_levels);
        side->free_levels = next;
    }
    free(side->entries);
    free(side->spare);
    free(side->order);
    free(side->touches);
    memset(side, 0, sizeof *side);
}

/* Return where a key is from `from` on, or where it would be inserted. */
static inline size_t place_of(const TextSide *side, size_t from, PriceKey key)
{
    const Entry *base = side->entries + from;
    size_t left = side->count - from;
    while (left > 1) {
        size_t half = left / 2;
        base += is_better(key, base[half - 1].key) ? half : 0;
        left -= half;
    }
    size_t place = (size_t)(base - side->entries);
    return place + (left == 1 && is_better(key, base->key));
}

/* Make a level; a price that is in the book already, with `before`, keeps its text. */
static inline BookLevel *new_level(TextSide *side, const BookLevel *before, const GivenLevel *given)
{
    size_t price_length = before ? before->price_length : given->price_length;
    size_t length = price_length + given->size_length + given->orders_length;
    BookLevel *level = take_room(side, length);
    if (!level)
        return NULL;
    level->price_length = (uint8_t)price_length;
    level->size_length = given->size_length;
    level->orders_length = given->orders_length;
    level->has_orders = given->orders != NULL;
    char *at = level->text;
    memcpy(at, before ? before->text : given->price, price_length);
    memcpy(at += price_length, given->size, given->size_length);
    if (given->orders)
        memcpy(at + given->size_length, given->orders, given->orders_length);
    return level;
}

/* Write one level; there is room for an entry and for a touch. */
static inline int put_level(TextSide *side, const GivenLevel *given)
{
    size_t place = place_of(side, 0, given->key);
    Entry *entry = &side->entries[place];
    size_t beyond = (side->count - place) * sizeof *entry;
    int known = beyond && is_same(entry->key, given->key);
    BookLevel *before = known ? entry->level : NULL, *after = NULL;
    if (!given->deletes) {
        if (!(after = new_level(side, before, given)))
            return -1;
        if (!known) {
            memmove(entry + 1, entry, beyond);
            entry->key = given->key;
            side->count++;
        }
        entry->level = after;
    } else if (known) {
        memmove(entry, entry + 1, beyond - sizeof *entry);
        side->count--;
    }
    size_t turn = side->touch_count++;
    side->touches[turn] = (Touch){given->key, before, after, turn};
    return 0;
}

static int compare_touches(const void *one, const void *other)
{
    const Touch *a = one, *b = other;
    if (is_same(a->key, b->key))
        return a->turn < b->turn ? -1 : 1;
    return is_better(a->key, b->key) ? -1 : 1;
}

static void reverse_touches(TextSide *side)
{
    for (size_t i = 0, j = side->touch_count; i + 1 < j; i++) {
        Touch kept = side->touches[i];
        side->touches[i] = side->touches[--j];
        side->touches[j] = kept;
    }
}

/* Put the touches in order, the best first, and join those of one price. */
static void settle_touches(TextSide *side)
{
    Touch *touches = side->touches;
    size_t count = side->touch_count, falls = 0, rises = 0, kept = 0;
    for (size_t i = 1; i < count; i++) {
        falls += (size_t)is_better(touches[i - 1].key, touches[i].key);
        rises += (size_t)is_better(touches[i].key, touches[i - 1].key);
    }
    if (falls + 1 >= count && !rises)
        return;
    if (rises + 1 == count) {
        reverse_touches(side);
        return;
    }
    qsort(touches, count, sizeof *touches, compare_touches);
    for (size_t i = 1; i < count; i++) {
        if (is_same(touches[kept].key, touches[i].key)) {
            touches[kept].after = touches[i].after;
            release(side, touches[i].before);
        } else {
            touches[++kept] = touches[i];
        }
    }
    side->touch_count = kept + 1;
}

/* In the order of addresses, which is that of the row, where the price is the same. */
static int compare_given(const void *one, const void *other)
{
    const GivenLevel *a = *(const GivenLevel *const *)one, *b = *(const GivenLevel *const *)other;
    if (is_same(a->key, b->key))
        return a < b ? -1 : 1;
    return is_better(a->key, b->key) ? 1 : -1;
}

/* Put the levels of a row in order, the worst first: most rows have it the other way around. */
static int order_row(TextSide *side, const GivenRow *row)
{
    int ordered = 1;
    const GivenLevel **order = grown(side->order, &side->order_room, row->count, sizeof *order);
    if (!order)
        return -1;
    side->order = order;
    for (size_t i = row->count; i-- > 0;) {
        *order++ = &row->levels[i];
        ordered &= i == 0 || is_better(row->levels[i - 1].key, row->levels[i].key);
    }
    if (!ordered)
        qsort(side->order, row->count, sizeof *order, compare_given);
    return 0;
}

/* Write the levels of one price, from `at` to `end`, after each other; `*level` is what is left. */
static int write_price(
    TextSide *side, const GivenLevel **at, const GivenLevel **end, BookLevel *before, BookLevel **level)
{
    *level = before;
    for (; at < end; at++) {
        BookLevel *last = *level;
        *level = (*at)->deletes ? NULL : new_level(side, last, *at);
        if (last != before)
            release(side, last);
        if (!*level && !(*at)->deletes)
            return -1;
    }
    return 0;
}

/* Write a row by copying the side as it becomes. Without memory the side stays as it was. */
static int merge(TextSide *side, const GivenRow *row)
{
    Entry *entries = side->entries, *at = side->spare;
    const GivenLevel **level = side->order, **end = level + row->count, **next;
    size_t taken = 0;
    for (; level < end; level = next) {
        PriceKey key = (*level)->key;
        for (next = level + 1; next < end && is_same((*next)->key, key);)
            next++;
        size_t place = place_of(side, taken, key);
        int known = place < side->count && is_same(entries[place].key, key);
        BookLevel *before = known ? entries[place].level : NULL, *after;
        if (write_price(side, level, next, before, &after) < 0) {
            while (side->touch_count)
                release(side, side->touches[--side->touch_count].after);
            return -1;
        }
        memcpy(at, entries + taken, (place - taken) * sizeof *at);
        at += place - taken;
        if (after)
            *at++ = (Entry){key, after};
        taken = place + (size_t)known;
        side->touches[side->touch_count++] = (Touch){key, before, after, 0};
    }
    memcpy(at, entries + taken, (side->count - taken) * sizeof *at);
    at += side->count - taken;
    size_t room = side->room;
    side->entries = side->spare;
    side->room = side->spare_room;
    side->count = (size_t)(at - side->entries);
    side->spare = entries;
    side->spare_room = room;
    reverse_touches(side);
    return 0;
}

int text_side_put(TextSide *side, const GivenRow *row)
{
    size_t most = side->count + row->count;
    forget_touches(side);
    if (reserve_entries(&side->entries, &side->room, most) < 0 ||
        reserve_touches(side, row->count) < 0)
        return -1;
    if (side->count < COPIED_AT_MOST * row->count) {
        if (reserve_entries(&side->spare, &side->spare_room, most) < 0 || order_row(side, row) < 0)
            return -1;
        return merge(side, row);
    }
    for (size_t i = 0; i < row->count; i++)
        if (put_level(side, &row->levels[i]) < 0)
            return -1;
    settle_touches(side);
    return 0;
}

/* Note for each level of before and of now what became of it. */
static int touch_both(TextSide *side, Entry *old, size_t old_count)
{
    size_t now = side->count, before = old_count, count = 0;
    if (reserve_touches(side, now + before) < 0)
        return -1;
    while (now || before) {
        const Entry *is = now ? &side->entries[now - 1] : NULL;
        const Entry *was = before ? &old[before - 1] : NULL;
        int has = is && (!was || !is_better(was->key, is->key));
        int had = was && (!is || !is_better(is->key, was->key));
        side->touches[count] = (Touch){
            has ? is->key : was->key, had ? was->level : NULL, has ? is->level : NULL, count};
        count++;
        now -= (size_t)has;
        before -= (size_t)had;
    }
    side->touch_count = count;
    return 0;
}

int text_side_replace(TextSide *side, const GivenRow *row)
{
    Entry *old = side->entries;
    size_t old_count = side->count;
    forget_touches(side);
    side->entries = NULL;
    side->count = side->room = 0;
    int failed = text_side_put(side, row);
    forget_touches(side);
    failed = failed < 0 || touch_both(side, old, old_count) < 0;
    for (size_t i = 0; failed && i < old_count; i++)
        release(side, old[i].level);
    free(old);
    return failed ? -1 : 0;
}

/* Return the last of the best `depth` keys, the worst of all where there is room for more. */
static PriceKey last_of(const TextSide *side, size_t depth)
{
    return depth > side->count ? WORST_KEY : text_side_at(side, depth - 1)->key;
}

static inline int has_come(const Touch *touch)
{
    return !touch->before && touch->after;
}

static inline int has_gone(const Touch *touch)
{
    return touch->before && !touch->after;
}

/* Return the `wanted`th key, from 1, of before the row: of the entries from rank `from` and the
   touches from `touched` on. */
static PriceKey nth_before(
    const TextSide *side, size_t from, size_t until, size_t touched, size_t wanted)
{
    size_t i = from, t = touched;
    while (i < until || t < side->touch_count) {
        const Touch *touch = t < side->touch_count ? &side->touches[t] : NULL;
        if (touch && !has_come(touch) && !has_gone(touch)) {
            t++;
            continue;
        }
        PriceKey key = i < until ? text_side_at(side, i)->key : WORST_KEY;
        int entry_next = i < until && (!touch || !is_better(touch->key, key));
        if (entry_next && touch && is_same(touch->key, key)) { /* it was not there */
            i++;
            t++;
        } else if (entry_next) {
            if (--wanted == 0)
                return key;
            i++;
        } else {
            if (has_gone(touch) && --wanted == 0)
                return touch->key;
            t++;
        }
    }
    return WORST_KEY;
}

/* Return the key that was the last of the best `depth` before the row. */
static PriceKey last_before(const TextSide *side, size_t depth)
{
    size_t come = 0, gone = 0, come_before = 0, gone_before = 0, touched = 0;
    if (depth == WHOLE_SIDE)
        return WORST_KEY;
    for (size_t t = 0; t < side->touch_count; t++) {
        come += (size_t)has_come(&side->touches[t]);
        gone += (size_t)has_gone(&side->touches[t]);
    }
    if (!come && !gone)
        return last_of(side, depth);
    /* A level that stayed has moved by as many places as came or went before it. */
    size_t start = depth - 1 > gone ? depth - 1 - gone : 0;
    size_t until = depth + come < side->count ? depth + come : side->count;
    PriceKey first = start && start < until ? text_side_at(side, start)->key : BEST_KEY;
    for (; touched < side->touch_count; touched++) {
        const Touch *touch = &side->touches[touched];
        if (!is_better(touch->key, first))
            break;
        come_before += (size_t)has_come(touch);
        gone_before += (size_t)has_gone(touch);
    }
    size_t passed = start + gone_before - come_before;
    return nth_before(side, start, until, touched, depth - passed);
}

static int differ(const BookLevel *one, const BookLevel *other, int with_orders)
{
    size_t size = one->size_length, orders = one->orders_length;
    if (size != other->size_length ||
        memcmp(one->text + one->price_length, other->text + other->price_length, size))
        return 1;
    if (!with_orders)
        return 0;
    return one->has_orders != other->has_orders || orders != other->orders_length ||
           memcmp(one->text + one->price_length + size, other->text + other->price_length + size,
                  orders);
}

static int is_touched(const TextSide *side, PriceKey key)
{
    size_t low = 0, high = side->touch_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (is_better(side->touches[middle].key, key))
            low = middle + 1;
        else
            high = middle;
    }
    return low < side->touch_count && is_same(side->touches[low].key, key);
}

static inline void add(ChangeList *found, PriceKey key, const BookLevel *level, int deletes)
{
    found->items[found->count++] = (Change){key, level, deletes};
}

/* Insert a change into those from `begin` on, which are in order. */
static void insert(ChangeList *found, size_t begin, PriceKey key, const BookLevel *level, int deletes)
{
    size_t place = found->count++;
    for (; place > begin && is_better(key, found->items[place - 1].key); place--)
        found->items[place] = found->items[place - 1];
    found->items[place] = (Change){key, level, deletes};
}

static int reserve_changes(ChangeList *found, size_t wanted)
{
    Change *items = grown(found->items, &found->room, wanted, sizeof *items);
    if (!items)
        return -1;
    found->items = items;
    return 0;
}

static void add_deletes(
    const TextSide *side, size_t depth, PriceKey last_was, PriceKey last, int delete_fallen, ChangeList *found)
{
    for (size_t t = 0; t < side->touch_count; t++) {
        const Touch *touch = &side->touches[t];
        int was_seen = touch->before && !is_better(last_was, touch->key);
        int is_gone = !touch->after || is_better(last, touch->key);
        if (was_seen && is_gone && (delete_fallen || is_better(touch->key, last)))
            add(found, touch->key, touch->before, 1);
    }
    if (!delete_fallen || !is_better(last, last_was))
        return;
    for (size_t i = depth; i < side->count; i++) {
        const Entry *entry = text_side_at(side, i);
        if (is_better(last_was, entry->key))
            break;
        if (!is_touched(side, entry->key))
            insert(found, 0, entry->key, entry->level, 1);
    }
}

static void add_writes(
    const TextSide *side, size_t depth, PriceKey last_was, PriceKey last, int with_orders, ChangeList *found)
{
    size_t begin = found->count;
    for (size_t t = 0; t < side->touch_count; t++) {
        const Touch *touch = &side->touches[t];
        if (!touch->after || is_better(last, touch->key))
            continue;
        if (!touch->before || is_better(last_was, touch->key) ||
            differ(touch->before, touch->after, with_orders))
            add(found, touch->key, touch->after, 0);
    }
    if (is_better(last, last_was))
        return;
    size_t end = depth < side->count ? depth : side->count, i = end;
    while (i > 0 && is_better(last_was, text_side_at(side, i - 1)->key))
        i--;
    for (; i < end; i++) {
        const Entry *entry = text_side_at(side, i);
        if (!is_touched(side, entry->key))
            insert(found, begin, entry->key, entry->level, 0);
    }
}

int text_side_changes(
    const TextSide *side, size_t depth, int delete_fallen, int with_orders, ChangeList *found)
{
    /* Where the view ended before and where it ends now; beyond both nothing is of interest. */
    PriceKey last_was = last_before(side, depth), last = last_of(side, depth);
    found->count = 0;
    /* Each touch may be deleted and written, and as many levels as that fall out or come in. */
    if (reserve_changes(found, 4 * side->touch_count + 1) < 0)
        return -1;
    add_deletes(side, depth, last_was, last, delete_fallen, found);
    add_writes(side, depth, last_was, last, with_orders, found);
    return 0;
}
