#include "sink/sqlite.h"

#include "base/clock.h"
#include "database/sqlite.h"
#include "database/sqlite_write.h"
#include "sink/sqlite_value.h"
#include "sink/target_file.h"
#include "sink/watch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    APPLICATION = 0x72666c64, /* "rfld" */
    HEADER_SIZE = 100,
    SQL_BYTES_MAX = 1 << 20,
};

struct file {
    const rf_sink_sqlite_options *options;
    const char *path;
    rf_target_file target;
    rf_sqlite_writer *writer;
    rf_buf sql;
    rf_sink_watch watch;
};

/* ---- what is there ---- */

static rf_status refuse_journals(const struct file *file, rf_err *err)
{
    static const char *const ends[] = {"-journal", "-wal"};
    char beside[RF_PATH_SIZE];

    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        rf_status status = rf_path_format(beside, "%s%s", err, file->target.path, ends[i]);
        if (status != RF_OK)
            return status;
        if (rf_path_exists(beside))
            return rf_fail(err, RF_ERR_REFUSED,
                           "%s is there: a program writes to the database, or died while it did; "
                           "nothing was published",
                           beside);
    }
    return RF_OK;
}

/* Whether refold wrote the file that is there; an empty one is nobody's. */
static rf_status is_own(const char *path, bool *own_out, rf_err *err)
{
    static const char magic[] = "SQLite format 3";
    char header[HEADER_SIZE] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return rf_fail_errno(err, "%s: cannot open", path);
    ssize_t size = read(fd, header, sizeof header);
    (void)close(fd);
    if (size < 0)
        return rf_fail_errno(err, "%s: cannot read", path);
    uint32_t application;
    memcpy(&application, header + RF_SQLITE_APPLICATION_AT, sizeof application);
    *own_out = size == 0 || (size == sizeof header && memcmp(header, magic, sizeof magic) == 0 &&
                             __builtin_bswap32(application) == APPLICATION);
    return RF_OK;
}

static const char *name_of(const rf_sink_sqlite_options *options, rf_reader *const *readers,
                           uint32_t index)
{
    return options->names ? options->names[index] : rf_reader_get_info(readers[index])->name;
}

static bool is_exported(const rf_sink_sqlite_options *options, rf_reader *const *readers,
                        uint32_t count, rf_slice name)
{
    for (uint32_t i = 0; i < count; i++)
        if (rf_slice_equal(rf_slice_of(name_of(options, readers, i)), name))
            return true;
    return false;
}

/* A read model that is published in the old file and would be gone. */
static rf_status refuse_what_goes(const struct file *file, rf_reader *const *readers,
                                  uint32_t count, rf_err *err)
{
    rf_sqlite *db = NULL;
    rf_sqlite_statement *statement = NULL;
    bool row = false;

    rf_status status =
        rf_sqlite_open_read(file->target.path, file->options->run->cancel, &db, err);
    if (status == RF_OK)
        status = rf_sqlite_prepare(db, RF_SLICE("SELECT name FROM refold_published ORDER BY 1"),
                                   &statement, err);
    while (status == RF_OK && (status = rf_sqlite_step(statement, &row, err)) == RF_OK && row) {
        rf_slice name = rf_sqlite_column_bytes(statement, 0);
        if (!is_exported(file->options, readers, count, name))
            status = rf_fail(err, RF_ERR_REFUSED,
                             "%s has the read model %.*s too, which would be gone: name it, or "
                             "--replace; nothing was published",
                             file->path, (int)name.size, name.data);
    }
    rf_sqlite_statement_free(statement);
    rf_sqlite_close(db);
    return status;
}

static rf_status look_at_target(const struct file *file, rf_reader *const *readers, uint32_t count,
                                rf_err *err)
{
    bool own = false;
    struct stat info;

    if (stat(file->target.path, &info) != 0)
        return RF_OK;
    rf_status status = refuse_journals(file, err);
    if (status != RF_OK || file->options->replace || info.st_size == 0)
        return status;
    status = is_own(file->target.path, &own, err);
    if (status == RF_OK && !own)
        status = rf_fail(err, RF_ERR_REFUSED,
                         "%s is a file that refold did not write; nothing was published "
                         "(--replace takes its place)",
                         file->path);
    return status == RF_OK ? refuse_what_goes(file, readers, count, err) : status;
}

/* ---- the tables ---- */

static void add(struct file *file, const char *text)
{
    rf_buf_append(&file->sql, text, strlen(text));
}

static void add_name(struct file *file, const char *name)
{
    rf_sqlite_quote(&file->sql, rf_slice_of(name));
}

/* The statement, ended by a NUL; valid until the next add. */
static rf_status sql_of(struct file *file, const char **sql_out, rf_err *err)
{
    rf_buf_append_byte(&file->sql, '\0');
    *sql_out = file->sql.data;
    rf_status status = rf_buf_check(&file->sql, "SQL", err);
    rf_buf_clear(&file->sql);
    return status;
}

static rf_status run_sql(struct file *file, rf_err *err)
{
    const char *sql = NULL;
    rf_status status = sql_of(file, &sql, err);
    return status == RF_OK ? rf_sqlite_writer_run(file->writer, sql, err) : status;
}

/* A table in key order: rows are found by key without a second look. */
static rf_status create_table(struct file *file, const rf_layout *layout, rf_err *err)
{
    if (strncasecmp(layout->name, "sqlite_", 7) == 0 ||
        strcmp(layout->name, "refold_published") == 0)
        return rf_fail(err, RF_ERR_INPUT, "%s: SQLite or refold keeps that name for itself",
                       layout->name);
    add(file, "CREATE TABLE ");
    add_name(file, layout->name);
    for (uint32_t i = 0; i < layout->column_count; i++) {
        add(file, i ? ", " : " (");
        add_name(file, layout->columns[i].name);
        add(file, " ");
        add(file, rf_sqlite_type_name(&layout->columns[i], file->options->decimals_text));
        add(file, i < layout->key_count ? " NOT NULL" : "");
    }
    for (uint32_t i = 0; i < layout->key_count; i++) {
        add(file, i ? ", " : ", PRIMARY KEY (");
        add_name(file, layout->columns[i].name);
    }
    add(file, ")) WITHOUT ROWID");
    return run_sql(file, err);
}

static rf_status create_indexes(struct file *file, const rf_layout *layout, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < layout->info->index_count; i++) {
        char name[160];
        (void)snprintf(name, sizeof name, "%s_index_%u", layout->name, i + 1);
        add(file, "CREATE INDEX ");
        add_name(file, name);
        add(file, " ON ");
        add_name(file, layout->name);
        for (uint32_t k = 0; k < layout->info->indexes[i].column_count; k++) {
            add(file, k ? ", " : " (");
            add_name(file, layout->columns[rf_layout_indexed(layout, i, k)].name);
        }
        add(file, ")");
        status = run_sql(file, err);
    }
    return status;
}

static rf_status prepare_insert(struct file *file, const rf_layout *layout, rf_err *err)
{
    const char *sql = NULL;

    add(file, "INSERT INTO ");
    add_name(file, layout->name);
    for (uint32_t i = 0; i < layout->column_count; i++)
        add(file, i ? ", ?" : " VALUES (?");
    add(file, ")");
    rf_status status = sql_of(file, &sql, err);
    return status == RF_OK ? rf_sqlite_writer_insert(file->writer, sql, err) : status;
}

static rf_status insert_rows(struct file *file, const rf_layout *layout, rf_reader *reader,
                             rf_err *err)
{
    rf_value *values = calloc(layout->column_count, sizeof *values);
    rf_cursor *cursor = NULL;
    rf_row row;

    rf_status status = values ? rf_cursor_open(reader, NULL, &cursor, err)
                              : rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a row",
                                        layout->name);
    while (status == RF_OK && (status = rf_cursor_next(cursor, &row, err)) == RF_OK) {
        status = rf_layout_values(layout, reader, &row, values, err);
        for (uint32_t i = 0; status == RF_OK && i < layout->column_count; i++) {
            if (!rf_sqlite_bind(file->writer, i, &values[i], file->options->decimals_text))
                status = rf_fail(err, RF_ERR_INPUT,
                                 "%s, column %s: a decimal of more than 15 digits is no exact "
                                 "number in SQLite (--decimals text keeps all as texts)",
                                 layout->name, layout->columns[i].name);
        }
        if (status == RF_OK)
            status = rf_sqlite_writer_row(file->writer, err);
        if (status == RF_OK)
            status = rf_sink_watch_row(&file->watch, err);
    }
    rf_cursor_close(cursor);
    free(values);
    return status == RF_ERR_NO_ROW ? RF_OK : status;
}

static rf_status insert_pointer(struct file *file, const char *name, const rf_reader_info *info,
                                rf_err *err)
{
    rf_sqlite_writer *writer = file->writer;

    rf_status status = rf_sqlite_writer_insert(
        writer,
        "INSERT INTO refold_published VALUES (?, ?, ?, ?, ?, ?,"
        " strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))",
        err);
    if (status != RF_OK)
        return status;
    rf_sqlite_writer_text(writer, 1, rf_slice_of(name));
    rf_sqlite_writer_integer(writer, 2, (int64_t)info->generation);
    rf_sqlite_writer_integer(writer, 3, info->version);
    rf_sqlite_writer_integer(writer, 4, (int64_t)info->position);
    rf_sqlite_writer_text(writer, 5, rf_slice_of(info->digest));
    rf_sqlite_writer_integer(writer, 6, (int64_t)info->rows);
    return rf_sqlite_writer_row(writer, err);
}

static rf_status write_model(struct file *file, const char *name, rf_reader *reader, rf_err *err)
{
    rf_layout layout = {0};

    rf_status status = rf_layout_make(rf_reader_get_info(reader), &layout, err);
    layout.name = name;
    if (status == RF_OK)
        status = create_table(file, &layout, err);
    if (status == RF_OK)
        status = prepare_insert(file, &layout, err);
    if (status == RF_OK)
        status = insert_rows(file, &layout, reader, err);
    if (status == RF_OK)
        status = create_indexes(file, &layout, err);
    if (status == RF_OK)
        status = insert_pointer(file, name, layout.info, err);
    rf_layout_free(&layout);
    return status;
}

static rf_status write_all(struct file *file, rf_reader *const *readers, uint32_t count,
                           rf_err *err)
{
    rf_status status =
        rf_sqlite_writer_open(file->target.part, APPLICATION, &file->writer, err);

    if (status == RF_OK)
        status = rf_sqlite_writer_run(
            file->writer,
            "CREATE TABLE refold_published (name TEXT PRIMARY KEY, generation INTEGER, version"
            " INTEGER, position INTEGER, digest TEXT, rows INTEGER, published_at TEXT)",
            err);
    for (uint32_t i = 0; status == RF_OK && i < count; i++)
        status = write_model(file, name_of(file->options, readers, i), readers[i], err);
    if (status == RF_OK)
        status = rf_sqlite_writer_run(file->writer, "ANALYZE", err);
    if (status == RF_OK)
        return rf_sqlite_writer_finish(file->writer, err);
    rf_sqlite_writer_abandon(file->writer);
    return status;
}

rf_status rf_sink_sqlite(const char *path, rf_reader *const *readers, uint32_t count,
                         const rf_sink_sqlite_options *options, uint64_t *bytes_out, rf_err *err)
{
    struct file file = {.options = options, .path = path};
    struct stat info;
    uint64_t rows = 0;

    rf_status status = rf_target_file_begin(&file.target, path, err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; i < count; i++)
        rows += rf_reader_get_info(readers[i])->rows;
    rf_buf_init(&file.sql, SQL_BYTES_MAX);
    rf_sink_watch_begin(&file.watch, options->run, rows);
    status = look_at_target(&file, readers, count, err);
    if (status == RF_OK)
        status = write_all(&file, readers, count, err);
    if (status == RF_OK && stat(file.target.part, &info) == 0)
        *bytes_out = (uint64_t)info.st_size;
    if (status == RF_OK)
        status = rf_target_file_finish(&file.target, err);
    rf_target_file_abandon(&file.target);
    rf_buf_free(&file.sql);
    return status;
}
