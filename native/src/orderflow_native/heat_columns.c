#include "heat_columns.h"

#include <math.h>
#include <stdlib.h>

#if FLT_EVAL_METHOD != 0
#error "doubles are kept with excess precision here: sums would not be whole lots"
#endif

#ifdef __GNUC__
#define ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define ALWAYS_INLINE inline
#endif

enum { STEP = 100, FINEST_LOT = 15, COARSEST_LOT = -300, BATCH = 64, NEGATIVE = 0x8000, LARGEST = 0x7f7f };
static const double ROW_SHARE = 1.6e-5;
static const double MAX_TICKS = 35184372088832.0;    /* 2^45 */
static const double MAX_LOTS = 2251799813685248.0;   /* 2^51 */
static const double QUOTIENT_ERROR = 0x1p-50;
static const double ROUNDER = 6755399441055744.0; /* 1.5 * 2^52: adding it leaves no fraction */
static const Key SIDES[2] = {0, ~(Key)0};

int heat_init(Heat *heat, int64_t start_ms)
{
    memset(heat, 0, sizeof *heat);
    heat->start_ms = start_ms;
    heat->end_ms = start_ms > 0 ? start_ms : 0;
    heat->number = -1;
    heat->scale = 1.0;
    heat->sums[0] = calloc(2 * HEAT_SUMS, sizeof **heat->sums);
    heat->best = malloc(HEAT_BEST * sizeof *heat->best);
    if (!heat->sums[0] || !heat->best)
        return -1;
    heat->sums[1] = heat->sums[0] + HEAT_SUMS;
    return 0;
}

void heat_free(Heat *heat)
{
    for (int level = 0; level < HEAT_LEVELS; level++) {
        free(heat->rings[level].heads);
        free(heat->rings[level].updates);
        free(heat->rings[level].cells);
    }
    free(heat->sums[0]);
    free(heat->best);
}

void heat_set_tick(Heat *heat, double units, double power, double ticks_per_price, int any_price,
                   int64_t finer)
{
    heat->units = units;
    heat->power = power;
    heat->ticks_per_price = ticks_per_price;
    heat->any_price = any_price;
    heat->row *= finer;
    heat->mid *= finer;
    if (!finer)
        heat->row_mid = 0.0;
    heat_forget(heat);
}

/* Round a number below 2^51 to the nearest whole one, to the even one of two. */
static inline double whole(double x)
{
    return (x + ROUNDER) - ROUNDER;
}

static inline double ticks_of(const Heat *heat, double price)
{
    double ticks = price * heat->ticks_per_price;
    return whole(ticks < MAX_TICKS ? ticks : MAX_TICKS);
}

static inline int is_on_tick(const Heat *heat, double price)
{
    double ticks = price * heat->ticks_per_price;
    return ticks > 0.0 && ticks < MAX_TICKS && fabs(ticks - whole(ticks)) <= ticks * QUOTIENT_ERROR;
}

static inline int is_whole_lots(double lots)
{
    return !(lots < MAX_LOTS) || fabs(lots - whole(lots)) <= lots * QUOTIENT_ERROR;
}

static double price_of_ticks(const Heat *heat, double ticks)
{
    return ticks * heat->units / heat->power;
}

/* Two numbers at once: all processors that matter have registers for that. */
typedef double Pair __attribute__((vector_size(16)));
typedef int64_t PairBits __attribute__((vector_size(16)));

static ALWAYS_INLINE Pair load(const void *from)
{
    Pair pair;
    memcpy(&pair, from, sizeof pair);
    return pair;
}

static ALWAYS_INLINE Pair size_of_pair(Pair x)
{
    return (Pair)((PairBits)x & INT64_MAX);
}

static ALWAYS_INLINE Pair whole_pair(Pair x)
{
    return (x + ROUNDER) - ROUNDER;
}

/* What a row's levels are measured by, worked out once a row. */
typedef struct {
    double ticks_per_price, scale, rows_per_tick, origin, tick_error, most_ticks;
} Measures;

/* Write the places of the sums of two levels, -1 for none, and by how many lots they change; set
   bits of `odd` for a level that is no whole number of ticks or lots. */
static ALWAYS_INLINE void measure_pair(const Measures *by, Pair price, Pair size, Pair before,
                                       int *places, double *deltas, PairBits *odd)
{
    Pair ticks = price * by->ticks_per_price, tick = whole_pair(ticks);
    Pair lots = size * by->scale, lot = whole_pair(lots);
    *odd |= (lots != 0.0) & ((size_of_pair(ticks - tick) > ticks * by->tick_error) |
                             (ticks >= by->most_ticks) |
                             (size_of_pair(lots - lot) > lots * QUOTIENT_ERROR));
    Pair place = (tick + 0.5) * by->rows_per_tick - by->origin;
    PairBits within = (place >= 0.0) & (place < (double)HEAT_SUMS);
    place = (Pair)(((PairBits)place & within) | ((PairBits)(Pair){-1.0, -1.0} & ~within));
    Pair delta = lot - whole_pair(before * by->scale);
    for (int i = 0; i < 2; i++) {
        places[i] = (int)place[i];
        deltas[i] = delta[i];
    }
}

void heat_apply(Heat *heat, Key side, const Key *keys, const double *sizes, const double *before,
                size_t count)
{
    if (!heat->is_known)
        return;
    double *sums = heat->sums[side != 0], total = heat->total, deltas[BATCH];
    uint64_t *changed = heat->rings[0].changed;
    const Measures by = {heat->ticks_per_price,
                         heat->scale,
                         1.0 / (double)heat->row,
                         (double)heat->origin,
                         heat->any_price ? HUGE_VAL : QUOTIENT_ERROR,
                         heat->any_price ? HUGE_VAL : MAX_TICKS};
    const PairBits sides = {(int64_t)side, (int64_t)side};
    PairBits odd = {0, 0};
    int places[BATCH];
    for (size_t done = 0, batch; done < count; done += batch) {
        batch = count - done < BATCH ? count - done : BATCH;
        size_t i = 0;
        for (; i + 2 <= batch; i += 2)
            measure_pair(&by, (Pair)((PairBits)load(keys + done + i) ^ sides),
                         load(sizes + done + i), load(before + done + i), places + i, deltas + i,
                         &odd);
        if (i < batch) {
            double price = price_of(keys[done + i], side), size = sizes[done + i];
            double old = before[done + i];
            measure_pair(&by, (Pair){price, price}, (Pair){size, size}, (Pair){old, old},
                         places + i, deltas + i, &odd);
        }
        for (i = 0; i < batch; i++) {
            unsigned place = (unsigned)places[i];
            total += deltas[i];
            if (place < HEAT_SUMS) {
                sums[place] += deltas[i];
                changed[place / 64] |= UINT64_C(1) << place % 64;
            }
        }
    }
    heat->total = total;
    if (odd[0] | odd[1] || !(total < MAX_LOTS))
        heat_forget(heat);
}

void heat_note(Heat *heat, int64_t timestamp, double bid, double ask)
{
    if (timestamp < heat->start_ms)
        return;
    heat->rows++;
    if (bid == heat->newest.bid && ask == heat->newest.ask)
        return;
    heat->newest = (BestChange){(double)timestamp, bid, ask};
    heat->best[heat->best_count++ % HEAT_BEST] = heat->newest;
}

typedef struct {
    Heat *heat;
    Key side;
    double *sums;
    double total;
    double largest;
    int odd;
} Walk;

static void visit_price(void *context, Key key, double size)
{
    Walk *walk = context;
    (void)size;
    walk->odd |= !is_on_tick(walk->heat, price_of(key, walk->side));
}

static void visit_size(void *context, Key key, double size)
{
    Walk *walk = context;
    (void)key;
    walk->total += size;
    walk->odd |= !is_whole_lots(size * walk->heat->scale);
}

static void visit_sum(void *context, Key key, double size)
{
    Walk *walk = context;
    Heat *heat = walk->heat;
    double lots = size * heat->scale;
    lots = lots < MAX_LOTS ? whole(lots) : lots;
    walk->total += lots;
    int64_t row = (int64_t)ticks_of(heat, price_of(key, walk->side)) / heat->row - heat->origin;
    if (row >= 0 && row < HEAT_SUMS)
        walk->sums[row] += lots;
}

static Walk walk_book(Heat *heat, const BookSide *bids, const BookSide *asks, LevelVisitor *visit)
{
    Walk walk = {.heat = heat, .side = SIDES[0], .sums = heat->sums[0]};
    book_side_visit(bids, visit, &walk);
    walk.side = SIDES[1];
    walk.sums = heat->sums[1];
    book_side_visit(asks, visit, &walk);
    return walk;
}

/* Choose the decimals of a lot: all that the sizes have, as far as sums stay exact. */
static void fit_lots(Heat *heat, const BookSide *bids, const BookSide *asks)
{
    double total = 0.0;
    for (;;) {
        heat->scale = pow(10.0, heat->lot_decimals);
        Walk walk = walk_book(heat, bids, asks, visit_size);
        total = walk.total;
        if (!walk.odd || heat->lot_decimals == FINEST_LOT ||
            !(total * pow(10.0, heat->lot_decimals + 1) < MAX_LOTS))
            break;
        heat->lot_decimals++;
    }
    while (total * pow(10.0, heat->lot_decimals) >= MAX_LOTS && heat->lot_decimals > COARSEST_LOT)
        heat->lot_decimals--;
    heat->scale = pow(10.0, heat->lot_decimals);
}

static int64_t mid_of(const Heat *heat, double bid, double ask)
{
    if (bid != 0.0 && ask != 0.0)
        return (int64_t)(ticks_of(heat, bid) + ticks_of(heat, ask));
    return heat->mid ? heat->mid : 2 * (int64_t)ticks_of(heat, bid != 0.0 ? bid : ask);
}

static int64_t finest_row(double share)
{
    for (int64_t power = 1;; power *= 10) {
        if ((double)power >= share)
            return power;
        if ((double)(2 * power) >= share)
            return 2 * power;
        if ((double)(5 * power) >= share)
            return 5 * power;
    }
}

/* Choose the rows where the mid has moved far; return whether they are others. */
static int fit_rows(Heat *heat, double bid, double ask)
{
    heat->mid = mid_of(heat, bid, ask);
    double mid = price_of_ticks(heat, (double)heat->mid / 2);
    if (heat->row_mid / 2 <= mid && mid <= heat->row_mid * 2)
        return 0;
    heat->row_mid = mid;
    double share = ROW_SHARE * mid * heat->ticks_per_price;
    heat->row = finest_row(share);
    for (int level = 0; level < HEAT_LEVELS; level++) {
        int shift = 0;
        while ((double)(heat->row << shift) < share * (1 << level))
            shift++;
        heat->shifts[level] = shift;
    }
    return 1;
}

static int64_t base_of(const Heat *heat, int level, int64_t mid)
{
    int64_t base = (mid / (2 * heat->row) >> heat->shifts[level]) / STEP * STEP - 3 * STEP / 2;
    return base > 0 ? base : 0;
}

/* Return whether the rows of all levels are among those that are summed. */
static int is_within_sums(const Heat *heat, int64_t mid)
{
    for (int level = 0; level < HEAT_LEVELS; level++) {
        int64_t base = base_of(heat, level, mid), shift = heat->shifts[level];
        if (base << shift < heat->origin || (base + HEAT_ROWS) << shift > heat->origin + HEAT_SUMS)
            return 0;
    }
    return 1;
}

static void sum_book(Heat *heat, const BookSide *bids, const BookSide *asks, int64_t mid)
{
    int64_t origin = mid / (2 * heat->row) - HEAT_SUMS / 2;
    heat->origin = origin > 0 ? origin / 64 * 64 : 0;
    memset(heat->sums[0], 0, 2 * HEAT_SUMS * sizeof **heat->sums);
    heat->total = walk_book(heat, bids, asks, visit_sum).total;
    heat->walks++;
    for (int level = 0; level < HEAT_LEVELS; level++)
        memset(heat->rings[level].changed, 0, sizeof heat->rings[level].changed);
}

int heat_look(Heat *heat, const BookSide *bids, const BookSide *asks, int fit)
{
    double bid = best_price(bids, SIDES[0]), ask = best_price(asks, SIDES[1]);
    int is_new = !heat->is_known, knows = heat->is_known;
    if (bid != 0.0 || ask != 0.0) {
        if (is_new) {
            if (fit && !heat->any_price && walk_book(heat, bids, asks, visit_price).odd)
                return HEAT_NEEDS_TICK;
            fit_lots(heat, bids, asks);
            knows = fit && !walk_book(heat, bids, asks, visit_size).odd;
        }
        if (fit)
            is_new |= fit_rows(heat, bid, ask);
    }
    if (!heat->row)
        return HEAT_NO_BOOK;
    int64_t mid = mid_of(heat, bid, ask);
    if (is_new || !is_within_sums(heat, mid)) {
        sum_book(heat, bids, asks, mid);
        heat->is_known = knows && heat->total < MAX_LOTS;
    }
    return HEAT_READY;
}

/* Return the upper 16 bits of a size as a float, rounded to nearest, ties to even. */
static ALWAYS_INLINE uint16_t to_bfloat16(double size)
{
    float number = (float)size;
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    bits = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)(bits < LARGEST ? bits : LARGEST);
}

/* Return the cell whose rows begin with the sum at `place`. */
static ALWAYS_INLINE uint16_t cell_of(const double *bids, const double *asks, int64_t place,
                                      int shift, double scale)
{
    double bid = 0.0, ask = 0.0;
    for (int64_t end = place + (1 << shift); place < end; place++) {
        bid += bids[place];
        ask += asks[place];
    }
    /* Without branches: which side rests here cannot be predicted. */
    unsigned sign = bid < ask ? NEGATIVE : 0;
    return (uint16_t)(to_bfloat16((bid < ask ? ask : bid) / scale) | sign);
}

static ALWAYS_INLINE void write_cells_of(const Heat *heat, int shift, int64_t base,
                                         uint16_t *cells)
{
    const double *bids = heat->sums[0], *asks = heat->sums[1], scale = heat->scale;
    int64_t place = (base << shift) - heat->origin;
    for (int row = 0; row < HEAT_ROWS; row++)
        cells[row] = cell_of(bids, asks, place + ((int64_t)row << shift), shift, scale);
}

/* Write the cells that have changed since the ring's newest column. */
static ALWAYS_INLINE void update_cells_of(const Heat *heat, const HeatRing *ring, int shift,
                                          uint16_t *cells)
{
    const double *bids = heat->sums[0], *asks = heat->sums[1], scale = heat->scale;
    uint64_t group = (UINT64_C(1) << (1 << shift)) - 1; /* the sums of a cell are in one word */
    int64_t low = (ring->base << shift) - heat->origin, high = low + ((int64_t)HEAT_ROWS << shift);
    for (int64_t word = low / 64; word * 64 < high; word++) {
        uint64_t bits = ring->changed[word];
        while (bits) {
            int64_t place = word * 64 + __builtin_ctzll(bits) / (1 << shift) * (1 << shift);
            bits &= ~(group << place % 64);
            if (place >= low && place < high)
                cells[(place - low) >> shift] = cell_of(bids, asks, place, shift, scale);
        }
    }
}

/* The number of sums in a cell is a constant in each case, so that compilers unroll their loop. */
#define FOR_SHIFT(shift, call) \
    do { \
        switch (shift) { \
        case 0: call(0); break; \
        case 1: call(1); break; \
        case 2: call(2); break; \
        case 3: call(3); break; \
        default: call(4); break; \
        } \
    } while (0)

static void write_cells(const Heat *heat, int level, int64_t base, uint16_t *cells)
{
#define WRITE(shift) write_cells_of(heat, shift, base, cells)
    FOR_SHIFT(heat->shifts[level], WRITE);
}

static void update_cells(const Heat *heat, int level, uint16_t *cells)
{
#define UPDATE(shift) update_cells_of(heat, &heat->rings[level], shift, cells)
    FOR_SHIFT(heat->shifts[level], UPDATE);
}

static int make_ring(HeatRing *ring)
{
    if (ring->cells)
        return 0;
    ring->heads = malloc(HEAT_COLUMNS * sizeof *ring->heads);
    ring->updates = malloc(HEAT_COLUMNS * sizeof *ring->updates);
    ring->cells = malloc((size_t)HEAT_COLUMNS * HEAT_ROWS * sizeof *ring->cells);
    return ring->heads && ring->updates && ring->cells ? 0 : -1;
}

static void write_head(const Heat *heat, int level, int64_t base, const BookSide *bids,
                       const BookSide *asks, ColumnHead *head, uint16_t *updates)
{
    double height = (double)(heat->row << heat->shifts[level]);
    int64_t rows = heat->rows - heat->rings[level].rows_before;
    head->low = price_of_ticks(heat, (double)base * height);
    head->row = price_of_ticks(heat, height);
    head->bid = best_price(bids, SIDES[0]);
    head->ask = best_price(asks, SIDES[1]);
    *updates = (uint16_t)(rows < UINT16_MAX ? rows : UINT16_MAX);
}

void heat_write(const Heat *heat, int level, const BookSide *bids, const BookSide *asks,
                ColumnHead *head, uint16_t *updates, uint16_t *cells)
{
    int64_t mid = mid_of(heat, best_price(bids, SIDES[0]), best_price(asks, SIDES[1]));
    int64_t base = base_of(heat, level, mid);
    write_head(heat, level, base, bids, asks, head, updates);
    write_cells(heat, level, base, cells);
}

/* Put the column `number`, and repeat it up to before `after`. */
static void put_column(Heat *heat, int level, const BookSide *bids, const BookSide *asks,
                       int64_t number, int64_t after)
{
    HeatRing *ring = &heat->rings[level];
    size_t slot = (size_t)number % HEAT_COLUMNS, row_bytes = HEAT_ROWS * sizeof *ring->cells;
    uint16_t *cells = ring->cells + slot * HEAT_ROWS;
    int64_t base = base_of(heat, level, heat->mid);
    if (ring->count && ring->walks == heat->walks && ring->base == base) {
        size_t newest = (slot + HEAT_COLUMNS - 1) % HEAT_COLUMNS;
        memcpy(cells, ring->cells + newest * HEAT_ROWS, row_bytes);
        update_cells(heat, level, cells);
    } else {
        write_cells(heat, level, base, cells);
    }
    write_head(heat, level, base, bids, asks, &ring->heads[slot], &ring->updates[slot]);
    ring->base = base;
    ring->walks = heat->walks;
    ring->rows_before = heat->rows;
    int64_t from = after - HEAT_COLUMNS > number + 1 ? after - HEAT_COLUMNS : number + 1;
    for (int64_t copy = from; copy < after; copy++) {
        size_t other = (size_t)copy % HEAT_COLUMNS;
        if (other == slot)
            continue;
        memcpy(ring->cells + other * HEAT_ROWS, cells, row_bytes);
        ring->heads[other] = ring->heads[slot];
        ring->updates[other] = 0;
    }
    if (after - number > HEAT_COLUMNS)
        ring->updates[slot] = 0; /* it has been left behind by its own copies */
    size_t count = ring->count + (size_t)(after - number);
    ring->count = count < HEAT_COLUMNS ? count : HEAT_COLUMNS;
    ring->first = after - (int64_t)ring->count;
}

/* What has changed since the newest column of a level has changed for the next level too. */
static void pass_on(HeatRing *ring, HeatRing *next)
{
    if (next)
        for (int word = 0; word < HEAT_WORDS; word += 2) {
            PairBits both = (PairBits)load(next->changed + word) | (PairBits)load(ring->changed + word);
            memcpy(next->changed + word, &both, sizeof both);
        }
    memset(ring->changed, 0, sizeof ring->changed);
}

int heat_close(Heat *heat, const BookSide *bids, const BookSide *asks, int look, int64_t number)
{
    for (int level = 0; level < HEAT_LEVELS; level++) {
        HeatRing *ring = &heat->rings[level];
        int64_t current = heat->number >> 2 * level, after = number >> 2 * level;
        if (current == after)
            break;
        if (look == HEAT_NO_BOOK) {
            ring->rows_before = heat->rows;
            continue;
        }
        if (make_ring(ring) < 0)
            return -1;
        put_column(heat, level, bids, asks, current, after);
        pass_on(ring, level + 1 < HEAT_LEVELS ? ring + 1 : NULL);
    }
    return 0;
}
