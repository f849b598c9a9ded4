#include "database/sqlite_write.h"

#include "database/sqlite_state.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct rf_sqlite_writer {
    sqlite3 *handle;
    sqlite3_stmt *insert;
    char *path; /* owned */
};

static rf_status writer_fail(const rf_sqlite_writer *writer, rf_err *err)
{
    int code = writer->handle ? sqlite3_extended_errcode(writer->handle) : SQLITE_NOMEM;
    const char *words = writer->handle ? sqlite3_errmsg(writer->handle) : "out of memory";

    if ((code & 0xff) == SQLITE_FULL)
        return rf_fail(err, RF_ERR_IO, "sqlite %s: No space left on device", writer->path);
    return rf_fail(err, (code & 0xff) == SQLITE_NOMEM ? RF_ERR_MEMORY : RF_ERR_IO, "sqlite %s: %s",
                   writer->path, words);
}

rf_status rf_sqlite_writer_open(const char *path, uint32_t application,
                                rf_sqlite_writer **writer_out, rf_err *err)
{
    char sql[256];
    rf_sqlite_writer *writer = calloc(1, sizeof *writer);

    if (writer)
        writer->path = strdup(path);
    if (!writer || !writer->path) {
        free(writer);
        return rf_fail(err, RF_ERR_MEMORY, "sqlite %s: out of memory", path);
    }
    rf_status status = RF_OK;
    if (sqlite3_open_v2(path, &writer->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK)
        status = writer_fail(writer, err);
    (void)snprintf(sql, sizeof sql,
                   "PRAGMA application_id = %d; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
                   " PRAGMA locking_mode = EXCLUSIVE; PRAGMA cache_size = -32768; BEGIN EXCLUSIVE",
                   (int)application);
    if (status == RF_OK)
        status = rf_sqlite_writer_run(writer, sql, err);
    if (status != RF_OK) {
        rf_sqlite_writer_abandon(writer);
        return status;
    }
    *writer_out = writer;
    return RF_OK;
}

rf_status rf_sqlite_writer_run(rf_sqlite_writer *writer, const char *sql, rf_err *err)
{
    return sqlite3_exec(writer->handle, sql, NULL, NULL, NULL) == SQLITE_OK
               ? RF_OK
               : writer_fail(writer, err);
}

rf_status rf_sqlite_writer_insert(rf_sqlite_writer *writer, const char *sql, rf_err *err)
{
    (void)sqlite3_finalize(writer->insert);
    writer->insert = NULL;
    return sqlite3_prepare_v2(writer->handle, sql, -1, &writer->insert, NULL) == SQLITE_OK
               ? RF_OK
               : writer_fail(writer, err);
}

/* A failure of these is met by the step: an index out of range is a programmer's error, and a text
 * that is too long leaves a null that a NOT NULL column would refuse; texts have 16 MiB at most. */
void rf_sqlite_writer_integer(rf_sqlite_writer *writer, int index, int64_t value)
{
    (void)sqlite3_bind_int64(writer->insert, index, value);
}

void rf_sqlite_writer_real(rf_sqlite_writer *writer, int index, double value)
{
    (void)sqlite3_bind_double(writer->insert, index, value);
}

void rf_sqlite_writer_text(rf_sqlite_writer *writer, int index, rf_slice text)
{
    RF_ASSERT(text.size < INT_MAX);
    (void)sqlite3_bind_text(writer->insert, index, text.data, (int)text.size, SQLITE_STATIC);
}

void rf_sqlite_writer_copy(rf_sqlite_writer *writer, int index, rf_slice text)
{
    RF_ASSERT(text.size < INT_MAX);
    (void)sqlite3_bind_text(writer->insert, index, text.data, (int)text.size, SQLITE_TRANSIENT);
}

rf_status rf_sqlite_writer_row(rf_sqlite_writer *writer, rf_err *err)
{
    rf_status status =
        sqlite3_step(writer->insert) == SQLITE_DONE ? RF_OK : writer_fail(writer, err);
    (void)sqlite3_reset(writer->insert);
    (void)sqlite3_clear_bindings(writer->insert);
    return status;
}

rf_status rf_sqlite_writer_finish(rf_sqlite_writer *writer, rf_err *err)
{
    (void)sqlite3_finalize(writer->insert);
    writer->insert = NULL;
    rf_status status = rf_sqlite_writer_run(writer, "COMMIT", err);
    if (status == RF_OK && sqlite3_close(writer->handle) != SQLITE_OK)
        status = writer_fail(writer, err);
    else if (status == RF_OK)
        writer->handle = NULL;
    rf_sqlite_writer_abandon(writer);
    return status;
}

void rf_sqlite_writer_abandon(rf_sqlite_writer *writer)
{
    if (!writer)
        return;
    (void)sqlite3_finalize(writer->insert);
    (void)sqlite3_close(writer->handle);
    free(writer->path);
    free(writer);
}
