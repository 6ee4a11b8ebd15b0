#include "text_form.h"

#include <stdlib.h>
#include <string.h>

static const char UNKNOWN_ORDERS = '1'; /* exchanges/levels.py */

static inline char *put(char *at, const char *text, size_t length)
{
    memcpy(at, text, length);
    return at + length;
}

/* Write a decimal with at least so many decimals; as a number it has no zeros in front. */
static inline char *put_decimal(char *at, const char *text, size_t length, size_t decimals, int number)
{
    const char *point = decimals || number ? memchr(text, '.', length) : NULL;
    size_t whole = point ? (size_t)(point - text) : length;
    size_t has = point ? length - whole - 1 : 0;
    if (number) {
        size_t zeros = 0;
        while (zeros < whole && text[zeros] == '0')
            zeros++;
        if (zeros == whole)
            *at++ = '0';
        text += zeros;
        length -= zeros;
    }
    at = put(at, text, length);
    if (has >= decimals)
        return at;
    if (!point)
        *at++ = '.';
    memset(at, '0', decimals - has);
    return at + (decimals - has);
}

static inline char *put_orders(char *at, const BookLevel *level, int deletes)
{
    if (deletes)
        *at++ = '0';
    else if (!level->orders_length)
        *at++ = UNKNOWN_ORDERS;
    else
        at = put(at, level->text + level->price_length + level->size_length, level->orders_length);
    return at;
}

static int reserve(Text *text, size_t more)
{
    if (text->room - text->count >= more)
        return 0;
    size_t room = 2 * (text->count + more);
    char *bytes = realloc(text->bytes, room);
    if (!bytes)
        return -1;
    text->bytes = bytes;
    text->room = room;
    return 0;
}

static int write_level(const BookLevel *level, int deletes, const Form *form, Text *text)
{
    size_t most = form->opening.length + form->between.length + form->before_orders.length +
                  form->closing.length + form->price_decimals + form->size_decimals +
                  level->price_length + level->size_length + level->orders_length + 8;
    if (reserve(text, most) < 0)
        return -1;
    char *at = text->bytes + text->count;
    if (text->count > 1)
        *at++ = ',';
    at = put(at, form->opening.text, form->opening.length);
    at = put_decimal(at, level->text, level->price_length, form->price_decimals, form->numbers);
    at = put(at, form->between.text, form->between.length);
    if (deletes)
        at = put_decimal(at, "0", 1, form->size_decimals, form->numbers);
    else
        at = put_decimal(at, level->text + level->price_length, level->size_length,
                         form->size_decimals, form->numbers);
    if (form->before_orders.text) {
        at = put(at, form->before_orders.text, form->before_orders.length);
        at = put_orders(at, level, deletes);
    }
    at = put(at, form->closing.text, form->closing.length);
    text->count = (size_t)(at - text->bytes);
    return 0;
}

static int begin(Text *text)
{
    text->count = 0;
    if (reserve(text, 16) < 0)
        return -1;
    text->bytes[text->count++] = '[';
    return 0;
}

static int end(Text *text)
{
    if (reserve(text, 1) < 0)
        return -1;
    text->bytes[text->count++] = ']';
    return 0;
}

int write_changes(const ChangeList *changes, const Form *form, Text *text)
{
    if (begin(text) < 0)
        return -1;
    for (size_t i = 0; i < changes->count; i++) {
        const Change *change = &changes->items[i];
        if (write_level(change->level, change->deletes, form, text) < 0)
            return -1;
    }
    return end(text);
}

int write_best(const TextSide *side, size_t depth, const Form *form, Text *text)
{
    size_t count = depth < side->count ? depth : side->count;
    if (begin(text) < 0)
        return -1;
    for (size_t i = 0; i < count; i++)
        if (write_level(text_side_at(side, i)->level, 0, form, text) < 0)
            return -1;
    return end(text);
}
