/* Rows in the binary format of PostgreSQL's COPY: what the server takes with the least work.
 *
 *     rf_postgres_row_begin -> rf_postgres_row_add … -> rf_postgres_row_end
 *
 * int is bigint, decimal numeric with its scale, float double precision, bool boolean, text text,
 * time timestamptz, date date, json jsonb. Pure functions that append to a buffer.
 */
#ifndef RF_SINK_POSTGRES_ROW_H
#define RF_SINK_POSTGRES_ROW_H

#include "base/bytes.h"
#include "refold/read.h"

/* What CREATE TABLE calls it. */
const char *rf_postgres_type_name(rf_kind kind);

void rf_postgres_row_begin(rf_buf *out);
/* RF_ERR_INPUT with the value's index in *fault_out for a text with a NUL, which the server cannot
 * hold; *out has a part of the row then. */
rf_status rf_postgres_row_add(rf_buf *out, const rf_value *values, uint32_t count,
                               uint32_t *fault_out, rf_err *err);
void rf_postgres_row_end(rf_buf *out);

#endif
