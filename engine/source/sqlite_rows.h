/* Which rows of a SQLite file are events, and how one becomes a line: what a preset means there.
 *
 * A preset reads one table; a query reads what it says, its columns named as an event's members. Rows come
 * in the order of their position, which SQLite gives in the order of commits: a rowid is one more than
 * the highest of the table, and it is given inside the write transaction, of which there is one at a
 * time. So who has read up to a position has missed nothing below it.
 *
 * The feed (sqlite_feed.c) steps through the statement; this file knows its columns. Confined to one
 * thread at a time.
 */
#ifndef RF_SOURCE_SQLITE_ROWS_H
#define RF_SOURCE_SQLITE_ROWS_H

#include "database/sqlite.h"
#include "refold/import.h"

typedef struct rf_sqlite_rows rf_sqlite_rows;

/* Chooses the preset where the options name none. */
rf_status rf_sqlite_rows_open(rf_sqlite *db, const char *path, const rf_import_options *options,
                              rf_sqlite_rows **rows_out, rf_err *err);
void rf_sqlite_rows_close(rf_sqlite_rows *rows); /* takes NULL */
/* "eventsourcing stored_events": what a cursor begins with, and messages name. */
const char *rf_sqlite_rows_what(const rf_sqlite_rows *rows);
/* Whether rows have positions; without, all are read each time. */
bool rf_sqlite_rows_have_positions(const rf_sqlite_rows *rows);
/* Whether two rows may have one position: of a query, which cannot be known. */
bool rf_sqlite_rows_may_repeat(const rf_sqlite_rows *rows);

/* SQL of the rows behind a position (?1), or of all; and of the one at a position, whether it is an event
 * or not any more. Both have the columns that the rest reads. */
rf_slice rf_sqlite_rows_sql(const rf_sqlite_rows *rows);
rf_slice rf_sqlite_rows_sql_at(const rf_sqlite_rows *rows);
/* SQL that has a row where a row has no position and would be missed; empty where there can be none. */
rf_slice rf_sqlite_rows_sql_lost(const rf_sqlite_rows *rows);
rf_status rf_sqlite_rows_position(const rf_sqlite_rows *rows, rf_sqlite_statement *statement,
                                  int64_t *position_out, rf_err *err);
/* A number that tells this row from another one that got its position. */
uint64_t rf_sqlite_rows_mark(const rf_sqlite_rows *rows, rf_sqlite_statement *statement);
rf_status rf_sqlite_rows_line(rf_sqlite_rows *rows, rf_sqlite_statement *statement, rf_buf *out,
                              rf_err *err);

#endif
