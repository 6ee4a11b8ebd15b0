/* What a row changed within the best levels of a side. */
#include "text_side.h"

#include <stdlib.h>
#include <string.h>

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
    if (wanted <= found->room)
        return 0;
    Change *items = realloc(found->items, 2 * wanted * sizeof *items);
    if (!items)
        return -1;
    found->items = items;
    found->room = 2 * wanted;
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
