/* SQL text for PostgreSQL, in which nothing stands that was not quoted for its place.
 *
 *     rf_sql_begin -> rf_sql_add … -> rf_sql_run | rf_sql_query -> rf_sql_begin … -> rf_sql_end
 *
 * The first failure sticks: adding goes on without effect, running tells it. Confined to one thread.
 */
#ifndef RF_SINK_POSTGRES_SQL_H
#define RF_SINK_POSTGRES_SQL_H

#include "database/postgres.h"

typedef struct rf_sql {
    rf_postgres *db;
    rf_buf text; /* owned */
    rf_status status;
    rf_err err; /* of the first failure */
} rf_sql;

/* Of a zeroed or used one: empty text for this connection. */
void rf_sql_begin(rf_sql *sql, rf_postgres *db);
void rf_sql_end(rf_sql *sql);
/* %n: a name (const char *), quoted; %t: a schema and a table (two); %q: a text (const char *) as a
 * literal; %x: bytes (rf_slice) as a
 * literal of their hex digits; %s: SQL as it is; %u: a uint64_t; %%: a
 * percent sign. Everything else is copied. */
void rf_sql_add(rf_sql *sql, const char *format, ...);
/* The statements so far; the text is empty afterwards. */
rf_status rf_sql_run(rf_sql *sql, rf_err *err);
rf_status rf_sql_query(rf_sql *sql, rf_postgres_rows **rows_out, rf_err *err);
/* A query whose first row's first column is a bigint. */
rf_status rf_sql_count(rf_sql *sql, uint64_t *count_out, rf_err *err);
/* Begins a COPY … FROM STDIN. */
rf_status rf_sql_copy_in(rf_sql *sql, rf_err *err);

#endif
