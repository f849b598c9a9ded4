/* Writing a Parquet file, by DuckDB's library: a database in memory that copies a table into the file, whose rows are
 * those that the caller gives one after another.
 *
 *     rf_parquet_load -> rf_parquet_write
 *
 * Rows are asked for on the calling thread, a chunk at a time, and leave memory with each group of rows (122,880, or 32 MB
 * of them): memory does not grow with the table. They stand in the file in their order, compressed by zstd.
 *
 * int is BIGINT, decimal(n) DECIMAL(19,n), which holds every one of 64 bits, float DOUBLE, bool BOOLEAN, text VARCHAR, json
 * VARCHAR that is marked as JSON, time TIMESTAMP WITH TIME ZONE in microseconds of UTC, date DATE.
 */
#ifndef RF_SINK_PARQUET_FILE_H
#define RF_SINK_PARQUET_FILE_H

#include "sink/layout.h"

/* The next row, as many values as there are columns, valid until the next call; RF_ERR_NO_ROW at the end. */
typedef rf_status (*rf_parquet_next_fn)(void *arg, const rf_value **values_out, rf_err *err);

typedef struct rf_parquet_table {
    const rf_layout_column *columns;
    uint32_t column_count;
    /* Pairs of a name and a text that the file keeps beside the rows. */
    const char *const *facts;
    uint32_t fact_count; /* pairs */
    rf_parquet_next_fn next;
    void *arg;
} rf_parquet_table;

/* Whether files can be written: RF_ERR_USAGE where the library is not found. */
rf_status rf_parquet_load(rf_err *err);
/* Writes over the file `path`, which the caller has made and will fsync. */
rf_status rf_parquet_write(const char *path, const rf_parquet_table *table, rf_err *err);

#endif
