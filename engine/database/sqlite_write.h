/* Writing a new SQLite file, from empty to finished, by one program that nobody watches.
 *
 *     open -> (run | insert -> (bind -> row)…)… -> finish | abandon
 *
 * All is one transaction without a journal: a file that did not finish is rubbish, and is removed by
 * the caller, who also fsyncs a finished one. Confined to one thread.
 */
#ifndef RF_DATABASE_SQLITE_WRITE_H
#define RF_DATABASE_SQLITE_WRITE_H

#include "base/bytes.h"

typedef struct rf_sqlite_writer rf_sqlite_writer;

/* `path` is an empty file. `application` is kept in its header, at RF_SQLITE_APPLICATION_AT. */
enum { RF_SQLITE_APPLICATION_AT = 68 }; /* 4 bytes, BE */
rf_status rf_sqlite_writer_open(const char *path, uint32_t application,
                                rf_sqlite_writer **writer_out, rf_err *err);
/* Statements that give no rows. */
rf_status rf_sqlite_writer_run(rf_sqlite_writer *writer, const char *sql, rf_err *err);
/* The statement that rows are bound for, until the next. */
rf_status rf_sqlite_writer_insert(rf_sqlite_writer *writer, const char *sql, rf_err *err);
/* Parameters begin at 1; one that is not bound is null. Text is borrowed until row returns. */
void rf_sqlite_writer_integer(rf_sqlite_writer *writer, int index, int64_t value);
void rf_sqlite_writer_real(rf_sqlite_writer *writer, int index, double value);
void rf_sqlite_writer_text(rf_sqlite_writer *writer, int index, rf_slice text);
void rf_sqlite_writer_copy(rf_sqlite_writer *writer, int index, rf_slice text); /* not borrowed */
rf_status rf_sqlite_writer_row(rf_sqlite_writer *writer, rf_err *err);
/* Commits and frees it, also on failure. */
rf_status rf_sqlite_writer_finish(rf_sqlite_writer *writer, rf_err *err);
void rf_sqlite_writer_abandon(rf_sqlite_writer *writer); /* takes NULL */

#endif
