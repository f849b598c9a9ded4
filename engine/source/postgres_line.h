/* A row of COPY's binary form becomes a line of JSON, by a layout.
 *
 * Nothing of a row is trusted to be as long as it says. The members come in the order of the layout's columns,
 * metadata last, so that lines of a type look alike (source/pattern.h).
 */
#ifndef RF_SOURCE_POSTGRES_LINE_H
#define RF_SOURCE_POSTGRES_LINE_H

#include "source/eventsourcing.h"
#include "source/postgres_layout.h"

/* How far a row is in the order of its store. */
typedef struct rf_postgres_mark {
    int64_t transaction; /* 0 where the position alone is the order */
    int64_t position;
} rf_postgres_mark;

/* Where a row's line stands in a buffer, and what of it never changes: a store may mask or mark what comes behind. */
typedef struct rf_postgres_place {
    rf_postgres_mark mark;
    size_t begin;
    size_t fixed_end;
} rf_postgres_place;

/* Appends the line of the row to `out` and sets *place_out. `row` is one piece of the copy; the first has the
 * file's header in front (*is_begun_io is set then), and one without a row, the end, appends nothing and sets
 * *is_row_out to false. Errors name the position, if it is known. `decoder` reads states, where the layout has them. */
rf_status rf_postgres_line_append(const rf_postgres_layout *layout, rf_eventsourcing *decoder,
                                  rf_slice row, bool *is_begun_io,
                                  rf_buf *out, rf_postgres_place *place_out, bool *is_row_out,
                                  rf_err *err);

#endif
