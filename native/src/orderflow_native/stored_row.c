#include "stored_row.h"

#include <string.h>

enum { MOST_DIGITS = 18 };

/* Skip a text; as it has no NUL, nothing past the line's end is looked at. */
static inline int skip(const char **at, const char *text, size_t length)
{
    if (strncmp(*at, text, length) != 0)
        return 0;
    *at += length;
    return 1;
}
#define SKIP(at, text) skip(&(at), text, sizeof(text) - 1)

static inline int read_integer(const char **at, long long *value)
{
    const char *begin = *at + (**at == '-'), *digit = begin;
    long long read = 0;
    while (*digit >= '0' && *digit <= '9' && digit - begin < MOST_DIGITS)
        read = 10 * read + (*digit++ - '0');
    int leads_with_zero = *begin == '0' && (digit > begin + 1 || begin > *at);
    if (digit == begin || leads_with_zero || (*digit >= '0' && *digit <= '9'))
        return 0;
    *value = begin > *at ? -read : read;
    *at = digit;
    return *digit == ',' || *digit == '}';
}

static inline int read_number(const char **at, Number *number)
{
    number->is_null = SKIP(*at, "null");
    return number->is_null || read_integer(at, &number->value);
}

static inline int read_boolean(const char **at, int *value)
{
    *value = SKIP(*at, "true");
    return *value || SKIP(*at, "false");
}

/* Read a string of plain ASCII without escapes, or null. */
static inline int read_text(const char **at, Span *span)
{
    span->text = NULL;
    if (SKIP(*at, "null"))
        return 1;
    if (**at != '"')
        return 0;
    const char *begin = ++*at;
    while (**at >= ' ' && **at < 0x7f && **at != '"' && **at != '\\')
        ++*at;
    if (**at != '"')
        return 0;
    span->text = begin;
    span->length = (size_t)(*at - begin);
    ++*at;
    return 1;
}

static int read_book(const char *at, const char *end, StoredRow *row)
{
    row->seq_id.is_null = row->prev_seq_id.is_null = 1;
    if (!read_boolean(&at, &row->snapshot) || !SKIP(at, ",\"reliable\":") ||
        !read_boolean(&at, &row->reliable))
        return ROW_OTHER;
    if (SKIP(at, ",\"seq_id\":") &&
        (!read_number(&at, &row->seq_id) || !SKIP(at, ",\"prev_seq_id\":") ||
         !read_number(&at, &row->prev_seq_id)))
        return ROW_OTHER;
    if (!SKIP(at, ",\"bids\":")) /* rows were lost before it */
        return ROW_OTHER;
    row->bids.text = at;
    /* Levels have no letters, or few. */
    const char *name;
    while ((name = memchr(at, 'a', (size_t)(end - at)))) {
        const char *asks = name - 2;
        at = name + 1;
        if (asks >= row->bids.text && SKIP(asks, ",\"asks\":")) {
            row->bids.length = (size_t)(name - 2 - row->bids.text);
            row->asks.text = asks;
            while (end > asks && end[-1] == '\n')
                end--;
            row->asks.length = (size_t)(end - 1 - asks);
            return end > asks ? ROW_BOOK : ROW_OTHER;
        }
    }
    return ROW_OTHER;
}

static int read_trade(const char *at, StoredRow *row)
{
    if (!read_text(&at, &row->id) || !SKIP(at, ",\"price\":") || !read_text(&at, &row->price) ||
        !SKIP(at, ",\"size\":") || !read_text(&at, &row->size) || !SKIP(at, ",\"side\":") ||
        !read_text(&at, &row->side) || *at++ != '}')
        return ROW_OTHER;
    at += *at == '\n';
    return *at == '\0' ? ROW_TRADE : ROW_OTHER;
}

int stored_row_read(const char *line, size_t length, StoredRow *row)
{
    const char *at = line, *end = line + length;
    if (!SKIP(at, "{\"seq\":") || !read_integer(&at, &row->seq) || !SKIP(at, ",\"ts\":") ||
        !read_integer(&at, &row->ts))
        return ROW_OTHER;
    if (SKIP(at, ",\"kind\":\"book\",\"snapshot\":"))
        return read_book(at, end, row);
    if (SKIP(at, ",\"kind\":\"trade\",\"id\":"))
        return read_trade(at, row);
    return ROW_OTHER;
}
