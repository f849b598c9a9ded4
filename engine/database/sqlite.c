/* See sqlite.h. */
#include "database/sqlite.h"

#include "database/sqlite_state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PROGRESS_STEPS = 20000, /* of the library's machine, between two looks at *cancel */
    BUSY_SLEEP_MS = 50,
    VALUE_BYTES_MAX = 40 << 20,
    SQL_BYTES_MAX = 1 << 20,
    MAGIC_SIZE = 16,
    HEADER_SIZE = 20,
    READ_VERSION_AT = 19, /* 2: WAL */
};

struct rf_sqlite {
    sqlite3 *handle;
    char *path; /* owned */
    const volatile int *cancel;
    dev_t device;
    ino_t inode;
    bool is_wal;
};

struct rf_sqlite_statement {
    rf_sqlite *db;
    sqlite3_stmt *handle;
};

static bool is_cancelled(const rf_sqlite *db)
{
    return db->cancel && *db->cancel;
}

/* `of_query`: what the library does not understand is the caller's SQL. */
static rf_status db_fail(const rf_sqlite *db, bool of_query, rf_err *err)
{
    int code = db->handle ? sqlite3_extended_errcode(db->handle) : SQLITE_NOMEM;
    const char *words = db->handle ? sqlite3_errmsg(db->handle) : "out of memory";
    rf_status status;

    switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        if (is_cancelled(db))
            return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted while waiting for sqlite %s",
                           db->path);
        return rf_fail(err, RF_ERR_UNREACHABLE,
                       "sqlite %s: another program holds it locked (waited %d s)", db->path,
                       RF_SQLITE_WAIT_MS / 1000);
    case SQLITE_INTERRUPT:
        return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted while reading sqlite %s", db->path);
    case SQLITE_NOMEM:
        return rf_fail(err, RF_ERR_MEMORY, "sqlite %s: out of memory", db->path);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        status = RF_ERR_IO;
        break;
    case SQLITE_ERROR:
    case SQLITE_AUTH:
        status = of_query ? RF_ERR_USAGE : RF_ERR_INPUT;
        break;
    default:
        status = RF_ERR_INPUT;
        break;
    }
    return rf_fail(err, status, "sqlite %s: %s", db->path, words);
}

/* The pragma that only tells something. */
static bool pragma_is_harmless(const char *name, const char *value)
{
    return name && !value && sqlite3_stricmp(name, "data_version") == 0;
}

static int authorize(void *arg, int action, const char *a, const char *b, const char *database,
                     const char *trigger)
{
    (void)arg;
    (void)database;
    (void)trigger;
    switch (action) {
    case SQLITE_SELECT:
    case SQLITE_READ:
    case SQLITE_RECURSIVE:
        return SQLITE_OK;
    case SQLITE_FUNCTION:
        return sqlite3_stricmp(b, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
    case SQLITE_PRAGMA:
        return pragma_is_harmless(a, b) ? SQLITE_OK : SQLITE_DENY;
    default:
        return SQLITE_DENY;
    }
}

static int on_progress(void *arg)
{
    return is_cancelled(arg);
}

static int on_busy(void *arg, int times)
{
    if (is_cancelled(arg) || times >= RF_SQLITE_WAIT_MS / BUSY_SLEEP_MS)
        return 0;
    (void)usleep(BUSY_SLEEP_MS * 1000);
    return 1;
}

/* Looks at the file before the library does. */
static rf_status file_check(rf_sqlite *db, rf_err *err)
{
    static const char magic[MAGIC_SIZE] = "SQLite format 3";
    char header[HEADER_SIZE] = {0};
    struct stat info;

    int fd = open(db->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rf_fail_errno(err, "sqlite %s cannot be opened", db->path);
    if (fstat(fd, &info) != 0) {
        rf_status status = rf_fail_errno(err, "sqlite %s cannot be opened", db->path);
        (void)close(fd);
        return status;
    }
    ssize_t got = S_ISREG(info.st_mode) ? read(fd, header, sizeof header) : 0;
    (void)close(fd);
    if (!S_ISREG(info.st_mode))
        return rf_fail(err, RF_ERR_INPUT, "sqlite %s is no file", db->path);
    if (info.st_size > 0 && (got != HEADER_SIZE || memcmp(header, magic, MAGIC_SIZE) != 0))
        return rf_fail(err, RF_ERR_INPUT, "%s is no SQLite database", db->path);
    db->is_wal = header[READ_VERSION_AT] == 2;
    db->device = info.st_dev;
    db->inode = info.st_ino;
    return RF_OK;
}

static void harden(sqlite3 *handle)
{
    static const struct {
        int limit, value;
    } limits[] = {
        {SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX}, {SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX},
        {SQLITE_LIMIT_EXPR_DEPTH, 200},         {SQLITE_LIMIT_COMPOUND_SELECT, 50},
        {SQLITE_LIMIT_VDBE_OP, 250000},         {SQLITE_LIMIT_FUNCTION_ARG, 32},
        {SQLITE_LIMIT_ATTACHED, 0},             {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 1},        {SQLITE_LIMIT_WORKER_THREADS, 0},
    };

    (void)sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    (void)sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    (void)sqlite3_db_config(handle, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0, NULL);
    (void)sqlite3_exec(handle, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0;"
                               "PRAGMA query_only=ON",
                       NULL, NULL, NULL);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        (void)sqlite3_limit(handle, limits[i].limit, limits[i].value);
}

/* A file in WAL mode needs files beside it, also for reading. Where none can be made, and none is there,
 * nobody can be writing. */
static bool nobody_can_write(const char *path)
{
    char beside[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int size = snprintf(beside, sizeof beside, "%s-wal", path);

    if (size < 0 || (size_t)size >= sizeof beside || access(beside, F_OK) == 0)
        return false;
    (void)snprintf(beside, sizeof beside, "%.*s", slash ? (int)(slash - path + 1) : 1,
                   slash ? path : ".");
    return access(beside, W_OK) != 0;
}

static rf_status open_immutable(rf_sqlite *db, rf_err *err)
{
    rf_buf uri;

    rf_buf_init(&uri, 4 * PATH_MAX);
    rf_buf_append_slice(&uri, RF_SLICE("file:"));
    for (const char *at = db->path; *at; at++) {
        if (*at == '%' || *at == '?' || *at == '#')
            rf_buf_append_format(&uri, "%%%02x", (unsigned)(unsigned char)*at);
        else
            rf_buf_append_byte(&uri, (uint8_t)*at);
    }
    rf_buf_append(&uri, "?immutable=1", sizeof "?immutable=1");
    rf_status status = rf_buf_check(&uri, "a path", err);
    if (!status) {
        (void)sqlite3_close_v2(db->handle);
        db->handle = NULL;
        if (sqlite3_open_v2(uri.data, &db->handle,
                            SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI,
                            NULL) != SQLITE_OK)
            status = db_fail(db, false, err);
    }
    rf_buf_free(&uri);
    return status;
}

/* Reads the schema, so that what is wrong with the file shows here. */
static int schema_read(const rf_sqlite *db)
{
    return sqlite3_exec(db->handle, "SELECT count(*) FROM sqlite_master", NULL, NULL, NULL);
}

rf_status rf_sqlite_open_read(const char *path, const volatile int *cancel, rf_sqlite **db_out,
                              rf_err *err)
{
    rf_sqlite *db = calloc(1, sizeof *db);
    rf_status status = RF_OK;

    if (!db || !(db->path = strdup(path))) {
        free(db);
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for sqlite %s", path);
    }
    db->cancel = cancel;
    status = file_check(db, err);
    if (!status && sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
                                   NULL) != SQLITE_OK)
        status = db_fail(db, false, err);
    if (status)
        goto fail;
    harden(db->handle);
    (void)sqlite3_busy_handler(db->handle, on_busy, db);
    sqlite3_progress_handler(db->handle, PROGRESS_STEPS, on_progress, db);
    if (schema_read(db) != SQLITE_OK) {
        if ((sqlite3_errcode(db->handle) & 0xff) == SQLITE_CANTOPEN && nobody_can_write(path)) {
            status = open_immutable(db, err);
            if (status)
                goto fail;
            harden(db->handle);
            sqlite3_progress_handler(db->handle, PROGRESS_STEPS, on_progress, db);
        }
        if (schema_read(db) != SQLITE_OK) {
            status = db_fail(db, false, err);
            goto fail;
        }
    }
    (void)sqlite3_set_authorizer(db->handle, authorize, NULL);
    *db_out = db;
    return RF_OK;
fail:
    rf_sqlite_close(db);
    return status;
}

void rf_sqlite_close(rf_sqlite *db)
{
    if (!db)
        return;
    (void)sqlite3_close_v2(db->handle);
    free(db->path);
    free(db);
}

bool rf_sqlite_readers_are_free(const rf_sqlite *db)
{
    return db->is_wal;
}

rf_status rf_sqlite_changes(rf_sqlite *db, int64_t *changes_out, rf_err *err)
{
    rf_sqlite_statement *statement = NULL;
    bool row = false;

    rf_status status =
        rf_sqlite_prepare(db, RF_SLICE("PRAGMA data_version"), &statement, err);
    if (status)
        return status;
    status = rf_sqlite_step(statement, &row, err);
    if (!status)
        *changes_out = row ? rf_sqlite_column_integer(statement, 0) : 0;
    rf_sqlite_statement_free(statement);
    return status;
}

rf_status rf_sqlite_is_same_file(const rf_sqlite *db, rf_err *err)
{
    struct stat info;

    if (stat(db->path, &info) != 0)
        return rf_fail_errno(err, "sqlite %s is gone", db->path);
    if (info.st_dev != db->device || info.st_ino != db->inode)
        return rf_fail(err, RF_ERR_INPUT, "sqlite %s was replaced by another file", db->path);
    return RF_OK;
}

rf_status rf_sqlite_prepare(rf_sqlite *db, rf_slice sql, rf_sqlite_statement **statement_out,
                            rf_err *err)
{
    rf_sqlite_statement *statement = calloc(1, sizeof *statement);
    const char *rest = NULL;
    rf_status status = RF_OK;

    if (!statement)
        return rf_fail(err, RF_ERR_MEMORY, "sqlite %s: out of memory", db->path);
    statement->db = db;
    if (sql.size >= SQL_BYTES_MAX) {
        status = rf_fail(err, RF_ERR_USAGE, "a query of more than %d bytes", SQL_BYTES_MAX);
    } else if (sqlite3_prepare_v2(db->handle, sql.data, (int)sql.size, &statement->handle, &rest) !=
               SQLITE_OK) {
        status = db_fail(db, true, err);
    } else if (!statement->handle) {
        status = rf_fail(err, RF_ERR_USAGE, "sqlite %s: the query has no statement", db->path);
    } else if (!sqlite3_stmt_readonly(statement->handle)) {
        status = rf_fail(err, RF_ERR_USAGE, "sqlite %s: the query does more than read", db->path);
    } else {
        for (; rest < sql.data + sql.size; rest++)
            if (!strchr(" \t\r\n;", *rest) || !*rest)
                status = rf_fail(err, RF_ERR_USAGE,
                                 "sqlite %s: the query is more than one statement", db->path);
    }
    if (status) {
        rf_sqlite_statement_free(statement);
        return status;
    }
    *statement_out = statement;
    return RF_OK;
}

void rf_sqlite_statement_free(rf_sqlite_statement *statement)
{
    if (!statement)
        return;
    (void)sqlite3_finalize(statement->handle);
    free(statement);
}

void rf_sqlite_reset(rf_sqlite_statement *statement)
{
    (void)sqlite3_reset(statement->handle);
}

void rf_sqlite_bind_integer(rf_sqlite_statement *statement, int index, int64_t value)
{
    int code = sqlite3_bind_int64(statement->handle, index, value);

    RF_ASSERT(code == SQLITE_OK);
}

void rf_sqlite_bind_text(rf_sqlite_statement *statement, int index, rf_slice text)
{
    RF_ASSERT(text.size < INT_MAX);
    int code = sqlite3_bind_text(statement->handle, index, text.data, (int)text.size,
                                 SQLITE_TRANSIENT);
    RF_ASSERT(code == SQLITE_OK);
}

rf_status rf_sqlite_step(rf_sqlite_statement *statement, bool *row_out, rf_err *err)
{
    int code = sqlite3_step(statement->handle);

    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return db_fail(statement->db, false, err);
    *row_out = code == SQLITE_ROW;
    return RF_OK;
}

int rf_sqlite_column_count(const rf_sqlite_statement *statement)
{
    return sqlite3_column_count(statement->handle);
}

const char *rf_sqlite_column_name(const rf_sqlite_statement *statement, int column)
{
    const char *name = sqlite3_column_name(statement->handle, column);

    return name ? name : "";
}

rf_sqlite_kind rf_sqlite_column_kind(rf_sqlite_statement *statement, int column)
{
    switch (sqlite3_column_type(statement->handle, column)) {
    case SQLITE_INTEGER:
        return RF_SQLITE_INTEGER;
    case SQLITE_FLOAT:
        return RF_SQLITE_REAL;
    case SQLITE_TEXT:
        return RF_SQLITE_TEXT;
    case SQLITE_BLOB:
        return RF_SQLITE_BLOB;
    default:
        return RF_SQLITE_NULL;
    }
}

int64_t rf_sqlite_column_integer(rf_sqlite_statement *statement, int column)
{
    return sqlite3_column_int64(statement->handle, column);
}

rf_slice rf_sqlite_column_bytes(rf_sqlite_statement *statement, int column)
{
    /* Bytes before their size: of a number the size is that of the text it becomes. */
    const void *bytes = sqlite3_column_type(statement->handle, column) == SQLITE_BLOB
                            ? sqlite3_column_blob(statement->handle, column)
                            : (const void *)sqlite3_column_text(statement->handle, column);
    int size = sqlite3_column_bytes(statement->handle, column);

    return bytes ? (rf_slice){bytes, (size_t)size} : RF_SLICE("");
}

void rf_sqlite_quote(rf_buf *out, rf_slice name)
{
    rf_buf_append_byte(out, '"');
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == '"')
            rf_buf_append_byte(out, '"');
        rf_buf_append_byte(out, (uint8_t)name.data[i]);
    }
    rf_buf_append_byte(out, '"');
}
