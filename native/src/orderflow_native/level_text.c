#include "level_text.h"

#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHORTEST_LEVEL = 6,  /* bytes of `[1,2],` */
    LONGEST_NUMBER = 64, /* bytes; longer ones are left to Python */
    EXACT_DIGITS = 19,   /* any number of this many digits fits into 64 bits */
    EXACT_POWER = 22,    /* 10**22 is a double, 10**23 is not */
    WORD = 8,
    OUT_OF_SIGHT = 3 << 16, /* two more marks past the 16 bytes looked at */
    LOOK_AHEAD = 3 * WORD + 1 /* bytes the fast number reader may look at */
};
static const uint64_t EXACT_INTEGER = UINT64_C(1) << 53;
static const double POWERS[EXACT_POWER + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
static const uint64_t INTEGER_POWERS[WORD + 1] = {1,      10,      100,      1000,     10000,
                                                  100000, 1000000, 10000000, 100000000};

void level_row_free(LevelRow *row)
{
    free(row->keys);
    free(row->sizes);
    free(row->before);
    memset(row, 0, sizeof *row);
}

int level_row_reserve(LevelRow *row, size_t count)
{
    if (count <= row->room)
        return 0;
    size_t room = count + count / 2;
    Key *keys = realloc(row->keys, room * sizeof *keys);
    if (!keys)
        return -1;
    row->keys = keys;
    double *sizes = realloc(row->sizes, room * sizeof *sizes);
    if (!sizes)
        return -1;
    row->sizes = sizes;
    double *before = realloc(row->before, room * sizeof *before);
    if (!before)
        return -1;
    row->before = before;
    row->room = room;
    return 0;
}

static inline int is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

static inline const char *skip_blanks(const char *at)
{
    while (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t')
        at++;
    return at;
}

/* Skip a mark and the blanks around it; without blanks, as in most texts, that is one comparison.
   Return NULL if the mark is missing. */
static inline const char *skip_mark(const char *at, char mark)
{
    if (*at != mark && *(at = skip_blanks(at)) != mark)
        return NULL;
    at++;
    return (unsigned char)*at > ' ' ? at : skip_blanks(at);
}

static const char *skip_digits(const char *at)
{
    while (is_digit(*at))
        at++;
    return at;
}

/* Return the end of the JSON number without a sign at `at`, or NULL if there is none. */
static const char *number_end(const char *at)
{
    const char *end = skip_digits(at);
    if (end == at || (*at == '0' && end != at + 1))
        return NULL;
    if (*end == '.') {
        const char *fraction = end + 1;
        end = skip_digits(fraction);
        if (end == fraction)
            return NULL;
    }
    if (*end == 'e' || *end == 'E') {
        const char *exponent = end + 1 + (end[1] == '-' || end[1] == '+');
        end = skip_digits(exponent);
        if (end == exponent)
            return NULL;
    }
    return end;
}

/* Let Python round the number, which is right for any digits. Return its end or NULL. */
static const char *read_any(const char *at, double *value)
{
    const char *end = number_end(at);
    char *stopped;
    if (!end || end - at > LONGEST_NUMBER || !PyGILState_Check())
        return NULL;
    *value = PyOS_string_to_double(at, &stopped, NULL);
    if (*value == -1.0 && PyErr_Occurred()) {
        PyErr_Clear(); /* most likely no memory: Python's parser, which comes next, reports it */
        return NULL;
    }
    return stopped == end && *value < HUGE_VAL ? end : NULL;
}

/* Read a number digit by digit where it has few enough of them to be rounded once. */
static const char *read_digits(const char *at, double *value)
{
    const char *end = skip_digits(at), *point = end;
    if (end == at || (*at == '0' && end != at + 1))
        return NULL;
    if (*point == '.')
        end = skip_digits(point + 1);
    if (end == point + 1 || end - at > EXACT_DIGITS || (*end | 0x20) == 'e')
        return read_any(at, value);
    uint64_t digits = 0;
    for (const char *digit = at; digit < end; digit++)
        if (digit != point)
            digits = 10 * digits + (uint64_t)(*digit - '0');
    if (digits > EXACT_INTEGER)
        return read_any(at, value);
    /* Both are exact, so there is one rounding (Clinger 1990). */
    *value = (double)(int64_t)digits / POWERS[end > point ? end - point - 1 : 0];
    return end;
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ && defined(__GNUC__)

/* Return 16 bits, the lowest for the byte at `at`: 1 where a byte is no digit. */
#ifdef __SSE2__ /* which every 64-bit x86 has */
#include <emmintrin.h>
static inline unsigned find_others(const char *at)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)at);
    __m128i below = _mm_cmplt_epi8(bytes, _mm_set1_epi8('0')); /* signed: bytes past 127 too */
    __m128i above = _mm_cmpgt_epi8(bytes, _mm_set1_epi8('9'));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(below, above));
}
#else
static inline unsigned find_others(const char *at)
{
    unsigned found = 0;
    for (int half = 0; half < 2; half++) {
        uint64_t word;
        memcpy(&word, at + half * WORD, sizeof word);
        word ^= UINT64_C(0x3030303030303030); /* digits become 0 to 9 */
        word |= (word & UINT64_C(0x7f7f7f7f7f7f7f7f)) + UINT64_C(0x7676767676767676);
        word = (word & UINT64_C(0x8080808080808080)) >> 7;
        found |= (unsigned)(word * UINT64_C(0x0102040810204080) >> 56) << (half * WORD);
    }
    return found;
}
#endif

/* Return the value of the `count` digits at `at`, 1 to 8 of them, eight at a time. */
static inline uint64_t value_of(const char *at, unsigned count)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    word ^= UINT64_C(0x3030303030303030);
    word <<= 8 * (WORD - count); /* leading zeros instead of what follows */
    word = (word * (10 * 0x100 + 1) >> 8) & UINT64_C(0x00ff00ff00ff00ff);
    word = (word * (100 * 0x10000 + 1) >> 16) & UINT64_C(0x0000ffff0000ffff);
    return word * (10000 * UINT64_C(0x100000000) + 1) >> 32;
}

/* Read a number such as most are: at most 8 digits before the point, at most 15 in all, and one
   before it only if that is 0. LOOK_AHEAD bytes of text are left. Return NULL for others. */
static inline const char *read_common(const char *at, double *value)
{
    unsigned others = find_others(at) | OUT_OF_SIGHT, places = 0;
    unsigned point = (unsigned)__builtin_ctz(others), stop = point;
    uint64_t digits = (uint64_t)(*at - '0');
    if (point != 1) {
        if (point - 1 >= WORD || digits == 0)
            return NULL;
        digits = value_of(at, point);
    }
    if (at[point] == '.') {
        stop = (unsigned)__builtin_ctz(others & (others - 1));
        places = stop - point - 1;
        if (places == 0 || stop >= 2 * WORD)
            return NULL;
        unsigned first = places < WORD ? places : WORD;
        digits = digits * INTEGER_POWERS[first] + value_of(at + point + 1, first);
        if (places > WORD)
            digits = digits * INTEGER_POWERS[places - WORD] +
                     value_of(at + point + 1 + WORD, places - WORD);
    }
    *value = (double)(int64_t)digits / POWERS[places];
    return at + stop;
}

/* Read a number whose end is marked by a byte that could not be in it. */
static inline __attribute__((always_inline)) const char *read_number(const char *at, const char *end, int quoted, double *value)
{
    const char *stop;
    if (end - at >= LOOK_AHEAD && (stop = read_common(at, value)) &&
        (quoted ? *stop == '"' : (*stop | 0x20) != 'e'))
        return stop;
    return read_digits(at, value);
}

#else

static inline const char *read_number(const char *at, const char *end, int quoted, double *value)
{
    (void)end;
    (void)quoted;
    return read_digits(at, value);
}

#endif

/* Read a number, or a string that is one. */
static inline const char *read_field(const char *at, const char *end, double *value)
{
    if (*at != '"')
        return read_number(at, end, 0, value);
    at = read_number(at + 1, end, 1, value);
    return at && *at == '"' ? at + 1 : NULL;
}

/* Skip a field that is not used: a number, or a string of what numbers are written with. */
static inline const char *skip_field(const char *at)
{
    if (*at != '"')
        return number_end(at);
    if (is_digit(at[1]) && at[2] == '"') /* as most are: a count of orders, or "0" */
        return at + 3;
    do
        at++;
    while (is_digit(*at) || *at == '.' || *at == '-' || *at == ' ' || *at == ',');
    return *at == '"' ? at + 1 : NULL;
}

/* Read `[price, size, ...]`; return its end, or NULL unless it is plain and to be accepted. */
static inline const char *read_level(const char *at, const char *end, double *price, double *size)
{
    const char *next;
    if (!(at = skip_mark(at, '[')) || !(at = read_field(at, end, price)) || !(*price > 0.0))
        return NULL;
    if (!(at = skip_mark(at, ',')) || !(at = read_field(at, end, size)))
        return NULL;
    while ((next = skip_mark(at, ',')))
        if (!(at = skip_field(next)))
            return NULL;
    return skip_mark(at, ']');
}

static const char *read_levels(const char *at, const char *end, Key side, LevelRow *row)
{
    Key *keys = row->keys;
    double *sizes = row->sizes, price, size;
    const char *next = at;
    if (*at == ']')
        return at + 1;
    do {
        if (!(at = read_level(next, end, &price, &size)))
            return NULL;
        *keys++ = key_of(price, side);
        *sizes++ = size;
    } while ((next = skip_mark(at, ',')));
    row->count = (size_t)(keys - row->keys);
    return skip_mark(at, ']');
}

int level_text_read(const char *text, size_t length, Key side, LevelRow *row)
{
    const char *end = text + length, *at = text;
    row->count = 0;
    if (length == 0)
        return LEVELS_READ;
    if (level_row_reserve(row, length / SHORTEST_LEVEL + 1) < 0)
        return LEVELS_NO_MEMORY;
    at = skip_mark(at, '[');
    if (!at || !(at = read_levels(at, end, side, row)))
        return LEVELS_NOT_PLAIN;
    return skip_blanks(at) == end ? LEVELS_READ : LEVELS_NOT_PLAIN;
}
