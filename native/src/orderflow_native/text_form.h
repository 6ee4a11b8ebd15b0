/* Write levels of a book as an exchange does. */
#ifndef ORDERFLOW_TEXT_FORM_H
#define ORDERFLOW_TEXT_FORM_H

#include "text_side.h"

typedef struct {
    const char *text;
    size_t length;
} Piece;

/* See `exchanges.level_form.LevelForm`. */
typedef struct {
    Piece opening;
    Piece between;
    Piece before_orders; /* `text` is NULL where no orders are written */
    Piece closing;
    size_t price_decimals;
    size_t size_decimals;
    int numbers;
} Form;

typedef struct {
    char *bytes;
    size_t count;
    size_t room;
} Text;

/* Both replace `text` by an array of levels, and return 0, or -1 when there is no memory. */
int write_changes(const ChangeList *changes, const Form *form, Text *text);
int write_best(const TextSide *side, size_t depth, const Form *form, Text *text);

#endif
