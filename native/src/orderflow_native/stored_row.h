/* Read a row of the simulator's store where it is written as most are; the rest is for Python. */
#ifndef ORDERFLOW_STORED_ROW_H
#define ORDERFLOW_STORED_ROW_H

#include <stddef.h>

/* A part of the line, `text` NULL for null. */
typedef struct {
    const char *text;
    size_t length;
} Span;

typedef struct {
    long long value;
    int is_null;
} Number;

enum { ROW_OTHER = 0, ROW_BOOK = 1, ROW_TRADE = 2 };

typedef struct {
    long long seq;
    long long ts;
    int snapshot;
    int reliable;
    Number seq_id;
    Number prev_seq_id;
    Span bids;
    Span asks;
    Span id;
    Span price;
    Span size;
    Span side;
} StoredRow;

/* Return the kind of row; what is set of `row` belongs to it. ROW_OTHER is for all that
   `simulator.stored_rows.python_parse_row` must look at. `line` ends in a NUL after its `length`
   bytes, as the data of a bytes object does. */
int stored_row_read(const char *line, size_t length, StoredRow *row);

#endif
