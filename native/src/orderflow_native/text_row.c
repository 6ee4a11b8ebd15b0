#include "text_row.h"

#include <stdlib.h>
#include <string.h>

enum {
    SHORTEST_LEVEL = 10,  /* bytes of `["1","2"],` */
    MOST_WHOLE = 30,      /* digits, leading zeros too (exchanges/decimals.py) */
    MOST_WHOLE_VALUE = 19, /* digits from the first that is not 0: they fit into 64 bits */
    MOST_DECIMALS = 18,
    MOST_ORDERS = 18
};
static const uint64_t POWERS[MOST_DECIMALS + 1] = {
    1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000,
    100000000000, 1000000000000, 10000000000000, 100000000000000, 1000000000000000,
    10000000000000000, 100000000000000000, 1000000000000000000};

void given_row_free(GivenRow *row)
{
    free(row->levels);
    memset(row, 0, sizeof *row);
}

int given_row_reserve(GivenRow *row, size_t count)
{
    if (count <= row->room)
        return 0;
    size_t room = count + count / 2;
    GivenLevel *levels = realloc(row->levels, room * sizeof *levels);
    if (!levels)
        return -1;
    row->levels = levels;
    row->room = room;
    return 0;
}

static inline int is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

static inline const char *skip_digits(const char *at)
{
    while (is_digit(*at))
        at++;
    return at;
}

static inline size_t larger(size_t one, size_t other)
{
    return one > other ? one : other;
}

/* Read the price at `at` into its key; return its end, or NULL where it has none here. */
static inline const char *read_price(const char *at, int is_bids, PriceKey *key, size_t *decimals)
{
    const char *begin = at;
    while (*at == '0')
        at++;
    const char *first = at;
    uint64_t whole = 0, fraction = 0;
    for (; is_digit(*at); at++)
        whole = 10 * whole + (uint64_t)(*at - '0');
    if (at == begin || at - begin > MOST_WHOLE || at - first > MOST_WHOLE_VALUE)
        return NULL;
    *decimals = 0;
    if (*at == '.') {
        const char *point = at++;
        for (; is_digit(*at); at++)
            fraction = 10 * fraction + (uint64_t)(*at - '0');
        *decimals = (size_t)(at - point) - 1;
        if (*decimals == 0 || *decimals > MOST_DECIMALS)
            return NULL;
        fraction *= POWERS[MOST_DECIMALS - *decimals];
    }
    if (whole == 0 && fraction == 0)
        return NULL;
    *key = is_bids ? (PriceKey){whole, fraction} : (PriceKey){~whole, ~fraction};
    return at;
}

/* Return the end of a plain decimal at `at`, or NULL. */
static inline const char *read_size(const char *at, uint8_t *is_zero, size_t *decimals)
{
    const char *begin = at;
    unsigned char any = 0;
    for (; is_digit(*at); at++)
        any |= (unsigned char)(*at - '0');
    if (at == begin || at - begin > MOST_WHOLE)
        return NULL;
    *decimals = 0;
    if (*at == '.') {
        const char *point = at++;
        for (; is_digit(*at); at++)
            any |= (unsigned char)(*at - '0');
        *decimals = (size_t)(at - point) - 1;
        if (*decimals == 0 || *decimals > MOST_DECIMALS)
            return NULL;
    }
    *is_zero = any == 0;
    return at;
}

/* Return what stands after `","` and blanks, NULL where that is not there. */
static inline const char *next_field(const char *at)
{
    if (at[0] != '"' || at[1] != ',')
        return NULL;
    at += 2;
    while (*at == ' ')
        at++;
    return *at == '"' ? at + 1 : NULL;
}

/* Read the fields after price and size: none, the orders, or OKX's "0" and the orders. */
static inline const char *read_orders(const char *at, GivenLevel *level)
{
    level->orders = NULL;
    level->orders_length = 0;
    if (at[0] == '"' && at[1] == ']')
        return at + 2;
    const char *field = next_field(at);
    if (!field || (at = skip_digits(field)) == field)
        return NULL;
    if (at[0] != '"' || at[1] != ']') {
        field = next_field(at);
        if (!field || (at = skip_digits(field)) == field || at[0] != '"' || at[1] != ']')
            return NULL;
    }
    if (at - field > MOST_ORDERS)
        return NULL;
    level->orders = field;
    level->orders_length = (uint8_t)(at - field);
    return at + 2;
}

static inline const char *read_level(const char *at, int is_bids, GivenLevel *level, GivenRow *row)
{
    size_t decimals;
    if (at[0] != '[' || at[1] != '"')
        return NULL;
    level->price = at + 2;
    if (!(at = read_price(level->price, is_bids, &level->key, &decimals)))
        return NULL;
    level->price_length = (uint8_t)(at - level->price);
    row->price_decimals = larger(row->price_decimals, decimals);
    if (!(level->size = next_field(at)) ||
        !(at = read_size(level->size, &level->deletes, &decimals)))
        return NULL;
    level->size_length = (uint8_t)(at - level->size);
    row->size_decimals = larger(row->size_decimals, decimals);
    return read_orders(at, level);
}

int given_row_read(const char *text, size_t length, int is_bids, GivenRow *row)
{
    const char *at = text, *end = text + length;
    row->count = row->price_decimals = row->size_decimals = 0;
    if (length == 2 && at[0] == '[' && at[1] == ']')
        return ROW_READ;
    if (length == 0 || *at++ != '[')
        return ROW_NOT_PLAIN;
    if (given_row_reserve(row, length / SHORTEST_LEVEL + 1) < 0)
        return ROW_NO_MEMORY;
    GivenLevel *level = row->levels;
    for (;;) {
        if (!(at = read_level(at, is_bids, level++, row)))
            return ROW_NOT_PLAIN;
        if (*at == ']')
            break;
        if (*at++ != ',')
            return ROW_NOT_PLAIN;
        while (*at == ' ')
            at++;
    }
    row->count = (size_t)(level - row->levels);
    return at + 1 == end ? ROW_READ : ROW_NOT_PLAIN;
}

/* Return how many characters stand after the first point of a text. */
static size_t decimals_of(const char *text, size_t length)
{
    const char *point = memchr(text, '.', length);
    return point ? length - (size_t)(point - text) - 1 : 0;
}

int given_level_measure(GivenLevel *level, int is_bids, GivenRow *row)
{
    size_t decimals;
    const char *end = read_price(level->price, is_bids, &level->key, &decimals);
    if (!end || end != level->price + level->price_length)
        return -1;
    level->deletes = 1;
    for (size_t i = 0; i < level->size_length; i++)
        level->deletes &= level->size[i] == '0' || level->size[i] == '.';
    row->price_decimals = larger(row->price_decimals, decimals);
    row->size_decimals =
        larger(row->size_decimals, decimals_of(level->size, level->size_length));
    return 0;
}
