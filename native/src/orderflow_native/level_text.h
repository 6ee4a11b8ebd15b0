/* Read the text of one side of a row where it is plain; everything odd is left to Python. */
#ifndef ORDERFLOW_LEVEL_TEXT_H
#define ORDERFLOW_LEVEL_TEXT_H

#include "level_table.h"

/* The levels of a row, in parallel arrays of `room`; `before` has room for the sizes that they
   replace. */
typedef struct {
    Key *keys;
    double *sizes;
    double *before;
    size_t count;
    size_t room;
} LevelRow;

void level_row_free(LevelRow *row);
/* Make room for `count` levels. Return 0, or -1 when there is no memory. */
int level_row_reserve(LevelRow *row, size_t count);

enum { LEVELS_READ = 0, LEVELS_NOT_PLAIN = 1, LEVELS_NO_MEMORY = -1 };

/* Read a JSON array of levels, `[[price, size, ...], ...]`, whose fields are numbers or strings of
   such. `side` is that of `key_of`.

   LEVELS_READ means that `level_parser.parse_side` reads the same levels, to the last bit, and
   rejects none: all prices are positive, all sizes not negative, all finite. Anything else (other
   text, a sign, a nested field, a number out of range) is LEVELS_NOT_PLAIN.

   `text` must end in a NUL after its `length` bytes, as the data of bytes and of str objects does.
   May be called with or without the GIL; without it, numbers with too many digits to be rounded
   here are not plain. */
int level_text_read(const char *text, size_t length, Key side, LevelRow *row);

#endif
