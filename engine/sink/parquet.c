#include "sink/parquet.h"

#include "sink/parquet_file.h"
#include "sink/target_file.h"
#include "sink/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { FACTS = 6, FACT_SIZE = 24 };

struct rows {
    rf_reader *reader;
    rf_cursor *cursor;
    rf_layout layout;
    rf_value *values;
    rf_sink_watch watch;
};

static rf_status next(void *arg, const rf_value **values_out, rf_err *err)
{
    struct rows *rows = arg;
    rf_row row;

    rf_status status = rf_cursor_next(rows->cursor, &row, err);
    if (status == RF_OK)
        status = rf_layout_values(&rows->layout, rows->reader, &row, rows->values, err);
    if (status == RF_OK)
        status = rf_sink_watch_row(&rows->watch, err);
    *values_out = rows->values;
    return status;
}

static rf_status write_rows(struct rows *rows, const char *path, rf_err *err)
{
    /* The cursor is open: these are the facts of what it reads. */
    const rf_reader_info *info = rf_reader_get_info(rows->reader);
    char generation[FACT_SIZE], version[FACT_SIZE], position[FACT_SIZE], count[FACT_SIZE];
    const char *const facts[2 * FACTS] = {
        "refold_name",       info->name, "refold_generation", generation, "refold_version", version,
        "refold_position",   position,   "refold_rows",       count,      "refold_digest",  info->digest,
    };
    const rf_parquet_table table = {.columns = rows->layout.columns,
                                    .column_count = rows->layout.column_count,
                                    .facts = facts,
                                    .fact_count = FACTS,
                                    .next = next,
                                    .arg = rows};

    (void)snprintf(generation, sizeof generation, "%llu", (unsigned long long)info->generation);
    (void)snprintf(version, sizeof version, "%u", info->version);
    (void)snprintf(position, sizeof position, "%llu", (unsigned long long)info->position);
    (void)snprintf(count, sizeof count, "%llu", (unsigned long long)info->rows);
    return rf_parquet_write(path, &table, err);
}

rf_status rf_sink_parquet_check(const char *path, rf_err *err)
{
    rf_status status = rf_parquet_load(err);
    return status == RF_OK ? RF_OK
                           : rf_err_context(err, "%s: a Parquet file is written by DuckDB's library "
                                                 "(libduckdb.so, or REFOLD_DUCKDB_LIBRARY names it)",
                                            path);
}

rf_status rf_sink_parquet(rf_reader *reader, const char *path, const rf_run *run, uint64_t *bytes_out,
                          rf_err *err)
{
    struct rows rows = {.reader = reader};
    rf_target_file file = {.fd = -1};
    struct stat written;

    rf_status status = rf_sink_parquet_check(path, err);
    if (status == RF_OK)
        status = rf_layout_make(rf_reader_get_info(reader), &rows.layout, err);
    if (status != RF_OK)
        return status;
    rows.values = calloc(rows.layout.column_count, sizeof *rows.values);
    if (!rows.values)
        status = rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a row", path);
    if (status == RF_OK)
        status = rf_target_file_begin(&file, path, err);
    if (status == RF_OK)
        status = rf_cursor_open(reader, NULL, &rows.cursor, err);
    if (status == RF_OK) {
        rf_sink_watch_begin(&rows.watch, run, rf_reader_get_info(reader)->rows);
        status = rf_sink_watch_look(&rows.watch, err);
    }
    if (status == RF_OK)
        status = write_rows(&rows, file.part, err);
    if (status == RF_OK && stat(file.part, &written) == 0)
        *bytes_out = (uint64_t)written.st_size;
    if (status == RF_OK)
        status = rf_target_file_finish(&file, err);
    rf_target_file_abandon(&file);
    rf_cursor_close(rows.cursor);
    rf_layout_free(&rows.layout);
    free(rows.values);
    return status;
}
