#include "level_table.h"

#include <stdlib.h>

enum { FIRST_ROOM = 64, KEPT_ROOM = 4096 };

void level_table_init(LevelTable *table, uint64_t seed)
{
    memset(table, 0, sizeof *table);
    table->seed = seed;
}

void level_table_free(LevelTable *table)
{
    free(table->slots);
    level_table_init(table, table->seed);
}

void level_table_clear(LevelTable *table)
{
    /* A recording of full snapshots clears the table at each row: after one huge row, each later
       one must not have to wipe what it left. */
    if (table->room > KEPT_ROOM && table->count < table->room / 8)
        level_table_free(table);
    else if (table->count)
        memset(table->slots, 0, table->room * sizeof *table->slots);
    table->count = 0;
}

static size_t place_of(const LevelTable *table, Key key)
{
    uint64_t bits = key ^ table->seed;
    bits ^= bits >> 32;
    bits *= UINT64_C(0xd6e8feb86659fd93);
    bits ^= bits >> 32;
    bits *= UINT64_C(0xd6e8feb86659fd93);
    bits ^= bits >> 32;
    return (size_t)bits & (table->room - 1);
}

/* Return the slot of `key`, or the free one where it would go. */
static size_t slot_of(const LevelTable *table, Key key)
{
    size_t slot = place_of(table, key);
    while (table->slots[slot].key != key && table->slots[slot].key != 0)
        slot = (slot + 1) & (table->room - 1);
    return slot;
}

static int grow(LevelTable *table)
{
    LevelTable larger = *table;
    larger.room = table->room ? 2 * table->room : FIRST_ROOM;
    larger.slots = calloc(larger.room, sizeof *larger.slots);
    if (!larger.slots)
        return -1;
    for (size_t slot = 0; slot < table->room; slot++)
        if (table->slots[slot].key != 0)
            larger.slots[slot_of(&larger, table->slots[slot].key)] = table->slots[slot];
    free(table->slots);
    *table = larger;
    return 0;
}

int level_table_put(LevelTable *table, Key key, double size, double *before)
{
    /* At most half full, so that a probe stays short. */
    if (2 * (table->count + 1) > table->room && grow(table) < 0)
        return -1;
    Level *slot = &table->slots[slot_of(table, key)];
    table->count += slot->key == 0;
    *before = slot->key ? slot->size : 0.0;
    slot->key = key;
    slot->size = size;
    return 0;
}

double level_table_remove(LevelTable *table, Key key)
{
    if (!table->count)
        return 0.0;
    size_t mask = table->room - 1, hole = slot_of(table, key);
    if (table->slots[hole].key == 0)
        return 0.0;
    double before = table->slots[hole].size;
    table->count--;
    /* Close the gap: a later level of the same run moves up unless it is at home past the hole. */
    for (size_t next = (hole + 1) & mask; table->slots[next].key != 0; next = (next + 1) & mask) {
        size_t home = place_of(table, table->slots[next].key);
        if (((next - home) & mask) >= ((next - hole) & mask)) {
            table->slots[hole] = table->slots[next];
            hole = next;
        }
    }
    table->slots[hole].key = 0;
    return before;
}

double level_table_size(const LevelTable *table, Key key)
{
    if (!table->count)
        return 0.0;
    const Level *slot = &table->slots[slot_of(table, key)];
    return slot->key ? slot->size : 0.0;
}

/* Let heap[at] sink to its place in a heap whose root is the worst level. */
static void sink(Level *heap, size_t count, size_t at)
{
    Level level = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && heap[child + 1].key < heap[child].key)
            child++;
        if (level.key <= heap[child].key)
            break;
        heap[at] = heap[child];
    }
    heap[at] = level;
}

size_t level_table_best(const LevelTable *table, size_t wanted, Level *best)
{
    size_t count = 0;
    for (size_t slot = 0; wanted && slot < table->room; slot++) {
        Level level = table->slots[slot];
        if (level.key == 0)
            continue;
        if (count < wanted) {
            best[count++] = level;
            if (count == wanted)
                for (size_t at = count / 2; at-- > 0;)
                    sink(best, count, at);
        } else if (level.key > best[0].key) {
            best[0] = level;
            sink(best, count, 0);
        }
    }
    if (count < wanted)
        for (size_t at = count / 2; at-- > 0;)
            sink(best, count, at);
    for (size_t rest = count; rest-- > 1;) { /* the worst to the end, and so on */
        Level worst = best[0];
        best[0] = best[rest];
        best[rest] = worst;
        sink(best, rest, 0);
    }
    return count;
}
