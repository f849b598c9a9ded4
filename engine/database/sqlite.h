/* SQLite files, the only file that knows the library: reading those of others.
 *
 * A file that somebody else wrote may have been made to do harm. It is opened such that nothing in it
 * runs: read-only, defensive, its schema not trusted, no extensions, no triggers, limits on all sizes; an
 * authorizer lets through what reads, and only that, whatever SQL the user gave; a progress handler ends
 * what takes for ever when *cancel is set. What is damaged gives an error where it is met.
 *
 * Call order: open -> (prepare -> bind -> step until there is no row -> reset or free)... -> close.
 * A statement that stands at a row holds a read transaction: it sees the file as it was at its first
 * step, and reset ends that. Where another program holds the file locked, a step waits, and ends with
 * RF_ERR_UNREACHABLE. Confined to one thread at a time.
 */
#ifndef RF_DATABASE_SQLITE_H
#define RF_DATABASE_SQLITE_H

#include "base/bytes.h"

typedef struct rf_sqlite rf_sqlite;
typedef struct rf_sqlite_statement rf_sqlite_statement;

typedef enum rf_sqlite_kind {
    RF_SQLITE_NULL,
    RF_SQLITE_INTEGER,
    RF_SQLITE_REAL,
    RF_SQLITE_TEXT,
    RF_SQLITE_BLOB,
} rf_sqlite_kind;

/* How long a step waits for another program that holds the file locked. */
enum { RF_SQLITE_WAIT_MS = 30000 };

/* `cancel` may be NULL. RF_ERR_IO where there is no such file, RF_ERR_INPUT where it is no database. */
rf_status rf_sqlite_open_read(const char *path, const volatile int *cancel, rf_sqlite **db_out,
                              rf_err *err);
void rf_sqlite_close(rf_sqlite *db); /* takes NULL; after its statements were freed */
/* Whether readers and a writer do not wait for each other (WAL), so that a read may last. */
bool rf_sqlite_readers_are_free(const rf_sqlite *db);
/* A number that changes when another connection commits to the file. */
rf_status rf_sqlite_changes(rf_sqlite *db, int64_t *changes_out, rf_err *err);
/* RF_ERR_INPUT where there is another file by that name now. */
rf_status rf_sqlite_is_same_file(const rf_sqlite *db, rf_err *err);

/* One statement that reads; RF_ERR_USAGE with the library's words where it is none. */
rf_status rf_sqlite_prepare(rf_sqlite *db, rf_slice sql, rf_sqlite_statement **statement_out,
                            rf_err *err);
void rf_sqlite_statement_free(rf_sqlite_statement *statement); /* takes NULL */
void rf_sqlite_reset(rf_sqlite_statement *statement);
/* Indexes begin at 1, columns at 0, as in SQL's own interface. `text` is copied. */
void rf_sqlite_bind_integer(rf_sqlite_statement *statement, int index, int64_t value);
void rf_sqlite_bind_text(rf_sqlite_statement *statement, int index, rf_slice text);
rf_status rf_sqlite_step(rf_sqlite_statement *statement, bool *row_out, rf_err *err);
int rf_sqlite_column_count(const rf_sqlite_statement *statement);
const char *rf_sqlite_column_name(const rf_sqlite_statement *statement, int column);
/* Of the row at hand; bytes are valid until the next step or reset. */
rf_sqlite_kind rf_sqlite_column_kind(rf_sqlite_statement *statement, int column);
int64_t rf_sqlite_column_integer(rf_sqlite_statement *statement, int column);
/* Of TEXT and BLOB as they stand; of numbers as text; empty of NULL. */
rf_slice rf_sqlite_column_bytes(rf_sqlite_statement *statement, int column);

/* Appends `name` as an identifier of SQL, in quotes. */
void rf_sqlite_quote(rf_buf *out, rf_slice name);

#endif
