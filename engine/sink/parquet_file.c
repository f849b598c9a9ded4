#include "sink/parquet_file.h"

#include "catalog/row.h"
#include "database/libduckdb.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SQL_BYTES_MAX = 64 << 10,
    DECIMAL_WIDTH = 19,
    CHUNK_BYTES = 1 << 20, /* of texts, when a chunk ends before it has all the rows that it can have */
};

/* What DuckDB's callbacks see. */
struct writer {
    const rf_parquet_table *table;
    struct column *columns; /* of the chunk that is being filled */
    rf_status status;       /* of the rows; RF_ERR_NO_ROW when all were given */
    rf_err err;
    rf_duckdb_handle database, connection;
};

struct column {
    rf_duckdb_handle vector;
    void *data;
    uint64_t *validity; /* NULL as long as nothing in the chunk is null */
};

/* ---- rows ---- */

static rf_duckdb_handle make_type(const rf_layout_column *column)
{
    static const int types[] = {
        [RF_INT] = RF_DUCKDB_BIGINT,   [RF_FLOAT] = RF_DUCKDB_DOUBLE,
        [RF_BOOL] = RF_DUCKDB_BOOLEAN, [RF_TEXT] = RF_DUCKDB_VARCHAR,
        [RF_DATE] = RF_DUCKDB_DATE,    [RF_TIME] = RF_DUCKDB_TIMESTAMP_TZ,
        [RF_JSON] = RF_DUCKDB_VARCHAR,
    };

    if (column->kind == RF_DECIMAL)
        return rf_libduckdb.create_decimal_type(DECIMAL_WIDTH, column->scale);
    rf_duckdb_handle type = rf_libduckdb.create_logical_type(types[column->kind]);
    /* Not a cast, which would parse each value. */
    if (column->kind == RF_JSON)
        rf_libduckdb.logical_type_set_alias(type, "JSON");
    return type;
}

static void on_bind(rf_duckdb_handle info)
{
    const struct writer *writer = rf_libduckdb.bind_get_extra_info(info);

    for (uint32_t i = 0; i < writer->table->column_count; i++) {
        rf_duckdb_handle type = make_type(&writer->table->columns[i]);
        rf_libduckdb.bind_add_result_column(info, writer->table->columns[i].name, type);
        rf_libduckdb.destroy_logical_type(&type);
    }
}

static void on_init(rf_duckdb_handle info)
{
    rf_libduckdb.init_set_max_threads(info, 1);
}

static void put_null(struct column *column, uint64_t row)
{
    if (!column->validity) {
        rf_libduckdb.vector_ensure_validity_writable(column->vector);
        column->validity = rf_libduckdb.vector_get_validity(column->vector);
    }
    rf_libduckdb.validity_set_row_invalid(column->validity, row);
}

/* Returns the bytes of a text. */
static size_t put(struct column *column, uint64_t row, const rf_value *value)
{
    if (rf_value_is_null(value)) {
        put_null(column, row);
        return 0;
    }
    switch (value->kind) {
    case RF_INT:
    case RF_TIME:
        ((int64_t *)column->data)[row] = value->integer;
        break;
    case RF_DECIMAL: {
        int64_t halves[2] = {value->integer, value->integer < 0 ? -1 : 0}; /* 128 bits, low first */
        memcpy((char *)column->data + row * sizeof halves, halves, sizeof halves);
        break;
    }
    case RF_FLOAT:
        ((double *)column->data)[row] = value->number;
        break;
    case RF_BOOL:
        ((bool *)column->data)[row] = value->boolean;
        break;
    case RF_DATE:
        ((int32_t *)column->data)[row] = (int32_t)value->integer;
        break;
    case RF_TEXT:
    case RF_JSON:
        rf_libduckdb.vector_assign_string_element_len(column->vector, row, value->text.data,
                                                      value->text.size);
        return value->text.size;
    }
    return 0;
}

/* Fills a chunk; one without rows is the end. */
static void on_rows(rf_duckdb_handle info, rf_duckdb_handle chunk)
{
    struct writer *writer = rf_libduckdb.function_get_extra_info(info);
    const rf_parquet_table *table = writer->table;
    uint64_t size = rf_libduckdb.vector_size(), row = 0;
    const rf_value *values = NULL;
    size_t bytes = 0;

    for (uint32_t i = 0; i < table->column_count; i++) {
        rf_duckdb_handle vector = rf_libduckdb.data_chunk_get_vector(chunk, i);
        writer->columns[i] =
            (struct column){.vector = vector, .data = rf_libduckdb.vector_get_data(vector)};
    }
    for (; writer->status == RF_OK && row < size && bytes < CHUNK_BYTES; row++) {
        writer->status = table->next(table->arg, &values, &writer->err);
        if (writer->status != RF_OK)
            break;
        for (uint32_t i = 0; i < table->column_count; i++)
            bytes += put(&writer->columns[i], row, &values[i]);
    }
    rf_libduckdb.data_chunk_set_size(chunk, row);
    if (writer->status != RF_OK && writer->status != RF_ERR_NO_ROW)
        rf_libduckdb.function_set_error(info, writer->err.message);
}

/* ---- the database ---- */

static rf_status run_sql(struct writer *writer, const char *path, const char *sql, rf_err *err)
{
    rf_duckdb_result result = {0};
    rf_status status = RF_OK;

    if (rf_libduckdb.query(writer->connection, sql, &result) != 0) {
        const char *said = rf_libduckdb.result_error(&result); /* facts, then lines of advice */
        bool ours = writer->status != RF_OK && writer->status != RF_ERR_NO_ROW;
        status = ours ? rf_fail(err, writer->status, "%s", writer->err.message)
                      : rf_fail(err, RF_ERR_IO, "%s: DuckDB says: %.*s", path,
                                said ? (int)strcspn(said, "\n") : 0, said ? said : "");
    }
    rf_libduckdb.destroy_result(&result);
    return status;
}

/* In memory, on the calling thread, without looking for extensions on disk or net. */
static rf_status open_database(struct writer *writer, const char *path, rf_err *err)
{
    static const char *const settings[][2] = {
        {"threads", "1"},
        {"temp_directory", ""},
        {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions", "false"},
        /* For groups of rows that end by bytes; with one thread rows keep their order all the same. */
        {"preserve_insertion_order", "false"},
    };
    rf_duckdb_handle config = NULL;
    char *said = NULL;

    bool failed = rf_libduckdb.create_config(&config) != 0;
    for (size_t i = 0; !failed && i < sizeof settings / sizeof settings[0]; i++)
        failed = rf_libduckdb.set_config(config, settings[i][0], settings[i][1]) != 0;
    failed = failed || rf_libduckdb.open_ext(NULL, &writer->database, config, &said) != 0 ||
             rf_libduckdb.connect(writer->database, &writer->connection) != 0;
    if (failed)
        (void)rf_fail(err, RF_ERR_IO, "%s: DuckDB cannot be started%s%s", path, said ? ": " : "",
                      said ? said : "");
    if (said)
        rf_libduckdb.free(said);
    rf_libduckdb.destroy_config(&config);
    return failed ? RF_ERR_IO : RF_OK;
}

static rf_status register_rows(struct writer *writer, const char *path, rf_err *err)
{
    rf_duckdb_handle function = rf_libduckdb.create_table_function();

    rf_libduckdb.table_function_set_name(function, "refold_rows");
    rf_libduckdb.table_function_set_extra_info(function, writer, NULL);
    rf_libduckdb.table_function_set_bind(function, on_bind);
    rf_libduckdb.table_function_set_init(function, on_init);
    rf_libduckdb.table_function_set_function(function, on_rows);
    bool failed = rf_libduckdb.register_table_function(writer->connection, function) != 0;
    rf_libduckdb.destroy_table_function(&function);
    return failed ? rf_fail(err, RF_ERR_IO, "%s: DuckDB takes no table from refold", path) : RF_OK;
}

static void add_quoted(rf_buf *sql, const char *text)
{
    rf_buf_append_byte(sql, '\'');
    for (const char *at = text; *at; at++) {
        if (*at == '\'')
            rf_buf_append_byte(sql, '\'');
        rf_buf_append_byte(sql, (uint8_t)*at);
    }
    rf_buf_append_byte(sql, '\'');
}

static rf_status copy(struct writer *writer, const char *path, rf_err *err)
{
    const rf_parquet_table *table = writer->table;
    rf_buf sql, place;

    rf_buf_init(&sql, SQL_BYTES_MAX);
    rf_buf_init(&place, SQL_BYTES_MAX);
    /* A name that begins with a tilde is a name. */
    rf_buf_append_format(&place, "%s%s", *path == '/' ? "" : "./", path);
    rf_buf_append_byte(&place, '\0');
    rf_status status = rf_buf_check(&place, "a path", err);
    if (status == RF_OK) {
        rf_buf_append_format(&sql, "COPY (SELECT * FROM refold_rows()) TO ");
        add_quoted(&sql, place.data);
        rf_buf_append_format(&sql, " (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false,"
                                   " ROW_GROUP_SIZE 122880, ROW_GROUP_SIZE_BYTES '32MB'");
        for (uint32_t i = 0; i < table->fact_count; i++) {
            rf_buf_append_format(&sql, i ? ", " : ", KV_METADATA {");
            add_quoted(&sql, table->facts[2 * i]);
            rf_buf_append_format(&sql, ": ");
            add_quoted(&sql, table->facts[2 * i + 1]);
        }
        rf_buf_append_format(&sql, table->fact_count ? "})" : ")");
        rf_buf_append_byte(&sql, '\0');
        status = rf_buf_check(&sql, "SQL", err);
    }
    if (status == RF_OK)
        status = run_sql(writer, path, sql.data, err);
    rf_buf_free(&place);
    rf_buf_free(&sql);
    return status;
}

rf_status rf_parquet_load(rf_err *err)
{
    return rf_libduckdb_load(err);
}

rf_status rf_parquet_write(const char *path, const rf_parquet_table *table, rf_err *err)
{
    struct writer writer = {.table = table};

    rf_status status = rf_libduckdb_load(err);
    if (status != RF_OK)
        return status;
    writer.columns = calloc(table->column_count + 1, sizeof *writer.columns);
    if (!writer.columns)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its columns", path);
    status = open_database(&writer, path, err);
    if (status == RF_OK)
        status = register_rows(&writer, path, err);
    if (status == RF_OK)
        status = copy(&writer, path, err);
    if (writer.connection)
        rf_libduckdb.disconnect(&writer.connection);
    if (writer.database)
        rf_libduckdb.close(&writer.database);
    free(writer.columns);
    if (status == RF_OK && writer.status != RF_ERR_NO_ROW)
        return rf_fail(err, RF_ERR_IO, "%s: DuckDB did not take all rows", path);
    return status;
}
