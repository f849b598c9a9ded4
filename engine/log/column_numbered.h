/* Texts that are one beginning with a number behind it, as keys of customers, articles and shipments
 * are: only the number is stored, as an integer column.
 *
 * The number has as many decimal digits as it needs ("c-7", "c-10"), or all have the same ("c-007"),
 * or the same hexadecimal ones ("88c5cfd3"). Part of column_text.c, which says where a column has
 * this form; pure functions.
 */
#ifndef RF_LOG_COLUMN_NUMBERED_H
#define RF_LOG_COLUMN_NUMBERED_H

#include "log/column.h"

typedef struct rf_numbered {
    rf_slice beginning; /* borrowed from the first text */
    unsigned digits;    /* 0: as many as each needs */
    bool hexadecimal;
    uint64_t range; /* greatest number less the least */
    int64_t *numbers; /* in the scratch arena */
} rf_numbered;

/* False where the texts are otherwise, or where there is no memory for trying. */
bool rf_numbered_measure(const rf_slice *values, size_t count, rf_arena *scratch,
                         rf_numbered *numbered_out);
/* What follows the column's flags. */
void rf_numbered_append(const rf_numbered *numbered, size_t count, rf_arena *scratch, rf_buf *out);
/* The numbers again, in `arena`. Their texts together have at most `size_max` bytes. */
rf_status rf_numbered_decode(rf_bytes_reader *reader, size_t count, bool hexadecimal,
                             size_t size_max, rf_arena *arena, const rf_text_numbers **numbered_out,
                             rf_err *err);

#endif
