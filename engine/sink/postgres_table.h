/* The tables that a publication makes in PostgreSQL: filled, with their keys, indexes and
 * statistics; and the same table with some of its rows changed.
 *
 * What is called runs inside a transaction of the caller.
 */
#ifndef RF_SINK_POSTGRES_TABLE_H
#define RF_SINK_POSTGRES_TABLE_H

#include "sink/layout.h"
#include "sink/postgres_sql.h"
#include "sink/watch.h"

typedef struct rf_table_place {
    const char *schema;
    const char *name;
} rf_table_place;

/* Names that the server keeps for itself: RF_ERR_INPUT. */
rf_status rf_postgres_table_check(const rf_layout *layout, rf_err *err);
/* What the table is, in one line of text: two that are alike have the same columns and indexes. */
rf_status rf_postgres_table_describe(const rf_layout *layout, rf_buf *text_out, rf_err *err);
/* "key", "customer", …: the first `count` columns. */
void rf_postgres_table_columns(rf_sql *sql, const rf_layout *layout, uint32_t count,
                               const char *prefix);

/* CREATE TABLE, the rows of the reader's cursor by COPY, primary key, indexes, ANALYZE. */
rf_status rf_postgres_table_load(rf_sql *sql, const rf_layout *layout, rf_reader *reader,
                                 rf_cursor *cursor, rf_table_place place, rf_sink_watch *watch, rf_err *err);

/* A row that is another in the state to come; `row` is as generations store it, its data NULL where
 * the row is gone. */
typedef struct rf_table_change {
    rf_slice key;
    rf_slice row;
} rf_table_change;

/* Rows inserted or updated, and deleted, by keys. *fits_out is false where the table is not what
 * the changes are from (rows that had to be there were not, or it has another number of rows than
 * `rows_after` in the end): the caller rolls back. */
rf_status rf_postgres_table_change(rf_sql *sql, const rf_layout *layout, rf_reader *reader,
                                   rf_table_place place, const rf_table_change *changes,
                                   uint64_t count, uint64_t rows_after, bool *fits_out,
                                   rf_err *err);
/* Makes `place` hold the rows of `from`, whose columns are the same, by writing those that differ. */
rf_status rf_postgres_table_align(rf_sql *sql, const rf_layout *layout, rf_table_place place,
                                  rf_table_place from, rf_err *err);

#endif
