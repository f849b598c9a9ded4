#include "sink/postgres_table.h"

#include "catalog/row.h"
#include "sink/postgres_row.h"

#include <stdlib.h>

/* What is sent at once; a row of 16 MiB has to fit beside it. */
enum { PIECE_BYTES = 1 << 17, PIECE_BYTES_MAX = 64 << 20 };

/* Tables of a transaction that changes rows: gone at its end. */
static const rf_table_place changed_place = {"refold_published", "changed"};
static const rf_table_place gone_place = {"refold_published", "gone"};

rf_status rf_postgres_table_check(const rf_layout *layout, rf_err *err)
{
    static const char *const kept[] = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"};

    for (uint32_t i = 0; i < layout->column_count; i++)
        for (size_t k = 0; k < sizeof kept / sizeof kept[0]; k++)
            if (strcmp(layout->columns[i].name, kept[k]) == 0)
                return rf_fail(err, RF_ERR_INPUT,
                               "%s: PostgreSQL keeps the name %s for itself: no column can be "
                               "called that",
                               layout->name, kept[k]);
    return RF_OK;
}

rf_status rf_postgres_table_describe(const rf_layout *layout, rf_buf *text_out, rf_err *err)
{
    for (uint32_t i = 0; i < layout->column_count; i++) {
        const rf_layout_column *column = &layout->columns[i];
        rf_buf_append_format(text_out, "%s%s %s%s", i ? ", " : "", column->name,
                             rf_postgres_type_name(column->kind),
                             i < layout->key_count ? " key" : "");
        if (column->kind == RF_DECIMAL)
            rf_buf_append_format(text_out, " scale %u", column->scale);
    }
    for (uint32_t i = 0; i < layout->info->index_count; i++)
        for (uint32_t k = 0; k < layout->info->indexes[i].column_count; k++)
            rf_buf_append_format(text_out, "%s%s", k ? ", " : "; index ",
                                 layout->columns[rf_layout_indexed(layout, i, k)].name);
    rf_buf_append_byte(text_out, '\0');
    return rf_buf_check(text_out, "the columns of a table", err);
}

void rf_postgres_table_columns(rf_sql *sql, const rf_layout *layout, uint32_t count,
                               const char *prefix)
{
    for (uint32_t i = 0; i < count; i++)
        rf_sql_add(sql, "%s%s%n", i ? ", " : "", prefix, layout->columns[i].name);
}

/* ---- rows to the server ---- */

struct sender {
    const rf_layout *layout;
    rf_postgres *db;
    rf_buf piece;
    rf_value *values;
};

static rf_status sender_begin(struct sender *sender, rf_sql *sql, const rf_layout *layout,
                              rf_err *err)
{
    *sender = (struct sender){.layout = layout, .db = sql->db};
    rf_buf_init(&sender->piece, PIECE_BYTES_MAX);
    sender->values = calloc(layout->column_count, sizeof *sender->values);
    if (!sender->values)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a row", layout->name);
    rf_postgres_row_begin(&sender->piece);
    return rf_sql_copy_in(sql, err);
}

static rf_status sender_flush(struct sender *sender, rf_err *err)
{
    rf_status status = rf_postgres_copy_write(sender->db, rf_buf_slice(&sender->piece), err);
    rf_buf_clear(&sender->piece);
    return status;
}

/* The first `count` of `values`. */
static rf_status sender_add(struct sender *sender, uint32_t count, rf_err *err)
{
    uint32_t fault = count;

    rf_status status =
        rf_postgres_row_add(&sender->piece, sender->values, count, &fault, err);
    if (status != RF_OK && fault < count)
        return rf_err_context(err, "%s, column %s", sender->layout->name,
                              sender->layout->columns[fault].name);
    if (status == RF_OK && sender->piece.size >= PIECE_BYTES)
        status = sender_flush(sender, err);
    return status;
}

/* Frees it, and ends the COPY: well or, after a failure, by giving it up. */
static rf_status sender_end(struct sender *sender, rf_status status, rf_err *err)
{
    uint64_t rows = 0;

    if (status == RF_OK) {
        rf_postgres_row_end(&sender->piece);
        status = sender_flush(sender, err);
        if (status == RF_OK)
            status = rf_postgres_copy_end(sender->db, &rows, err);
    } else if (!rf_postgres_is_lost(sender->db)) {
        (void)rf_postgres_copy_abort(sender->db, NULL);
    }
    rf_buf_free(&sender->piece);
    free(sender->values);
    return status;
}

static rf_status send_all(struct sender *sender, rf_reader *reader, rf_cursor *cursor,
                          rf_sink_watch *watch, rf_err *err)
{
    rf_status status = RF_OK;
    rf_row row;

    while (status == RF_OK && (status = rf_cursor_next(cursor, &row, err)) == RF_OK) {
        status = rf_layout_values(sender->layout, reader, &row, sender->values, err);
        if (status == RF_OK)
            status = sender_add(sender, sender->layout->column_count, err);
        if (status == RF_OK)
            status = rf_sink_watch_row(watch, err);
    }
    return status == RF_ERR_NO_ROW ? RF_OK : status;
}

/* ---- a whole table ---- */

static void add_definition(rf_sql *sql, const rf_layout *layout, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        rf_sql_add(sql, "%s%n %s", i ? ", " : "", layout->columns[i].name,
                   rf_postgres_type_name(layout->columns[i].kind));
}

static rf_status finish_table(rf_sql *sql, const rf_layout *layout, rf_table_place place,
                              rf_err *err)
{
    rf_sql_add(sql, "ALTER TABLE %t ADD PRIMARY KEY (", place.schema, place.name);
    rf_postgres_table_columns(sql, layout, layout->key_count, "");
    rf_sql_add(sql, ")");
    for (uint32_t i = 0; i < layout->info->index_count; i++) {
        rf_sql_add(sql, "; CREATE INDEX ON %t (", place.schema, place.name);
        for (uint32_t k = 0; k < layout->info->indexes[i].column_count; k++)
            rf_sql_add(sql, "%s%n", k ? ", " : "",
                       layout->columns[rf_layout_indexed(layout, i, k)].name);
        rf_sql_add(sql, ")");
    }
    rf_sql_add(sql, "; ANALYZE %t", place.schema, place.name);
    return rf_sql_run(sql, err);
}

rf_status rf_postgres_table_load(rf_sql *sql, const rf_layout *layout, rf_reader *reader,
                                 rf_cursor *cursor, rf_table_place place, rf_sink_watch *watch, rf_err *err)
{
    struct sender sender;

    rf_sql_add(sql, "CREATE TABLE %t (", place.schema, place.name);
    add_definition(sql, layout, layout->column_count);
    rf_sql_add(sql, ")");
    rf_status status = rf_sql_run(sql, err);
    if (status != RF_OK)
        return status;
    /* FREEZE: the table is of this transaction, so its rows need no second look later. */
    rf_sql_add(sql, "COPY %t FROM STDIN (FORMAT binary, FREEZE)", place.schema, place.name);
    status = sender_begin(&sender, sql, layout, err);
    if (status == RF_OK)
        status = send_all(&sender, reader, cursor, watch, err);
    status = sender_end(&sender, status, err);
    return status == RF_OK ? finish_table(sql, layout, place, err) : status;
}

/* ---- some rows ---- */

static rf_status decode_change(const rf_layout *layout, rf_reader *reader,
                               const rf_table_change *change, rf_value *values, rf_err *err)
{
    rf_status status = rf_reader_key_values(reader, change->key, values, err);

    if (status == RF_OK && change->row.data)
        status = rf_row_decode(change->row, layout->info->columns, layout->info->column_count,
                               values + layout->key_count, err);
    return status;
}

/* The changes that leave a row, or those that do not. */
static rf_status send_changes(rf_sql *sql, const rf_layout *layout, rf_reader *reader,
                              const rf_table_change *changes, uint64_t count, bool gone,
                              uint64_t *sent_out, rf_err *err)
{
    rf_table_place place = gone ? gone_place : changed_place;
    uint32_t columns = gone ? layout->key_count : layout->column_count;
    struct sender sender;

    *sent_out = 0;
    rf_sql_add(sql, "CREATE TABLE %t (", place.schema, place.name);
    add_definition(sql, layout, columns);
    rf_sql_add(sql, ")");
    rf_status status = rf_sql_run(sql, err);
    if (status != RF_OK)
        return status;
    rf_sql_add(sql, "COPY %t FROM STDIN (FORMAT binary, FREEZE)", place.schema, place.name);
    status = sender_begin(&sender, sql, layout, err);
    for (uint64_t i = 0; status == RF_OK && i < count; i++) {
        if (gone != !changes[i].row.data)
            continue;
        status = decode_change(layout, reader, &changes[i], sender.values, err);
        if (status == RF_OK)
            status = sender_add(&sender, columns, err);
        ++*sent_out;
    }
    return sender_end(&sender, status, err);
}

static void add_key_match(rf_sql *sql, const rf_layout *layout)
{
    for (uint32_t i = 0; i < layout->key_count; i++)
        rf_sql_add(sql, "%st.%n = s.%n", i ? " AND " : "", layout->columns[i].name,
                   layout->columns[i].name);
}

/* Inserts, or updates where the key is there, what the query that the caller added last gives. */
static void add_on_conflict(rf_sql *sql, const rf_layout *layout)
{
    rf_sql_add(sql, " ON CONFLICT (");
    rf_postgres_table_columns(sql, layout, layout->key_count, "");
    if (layout->column_count == layout->key_count) {
        rf_sql_add(sql, ") DO NOTHING");
        return;
    }
    rf_sql_add(sql, ") DO UPDATE SET ");
    for (uint32_t i = layout->key_count; i < layout->column_count; i++)
        rf_sql_add(sql, "%s%n = EXCLUDED.%n", i > layout->key_count ? ", " : "",
                   layout->columns[i].name, layout->columns[i].name);
}

static rf_status delete_gone(rf_sql *sql, const rf_layout *layout, rf_table_place place,
                             uint64_t *count_out, rf_err *err)
{
    rf_sql_add(sql, "WITH d AS (DELETE FROM %t t USING %t s WHERE ", place.schema, place.name,
               gone_place.schema, gone_place.name);
    add_key_match(sql, layout);
    rf_sql_add(sql, " RETURNING 1) SELECT count(*) FROM d");
    return rf_sql_count(sql, count_out, err);
}

static rf_status upsert_changed(rf_sql *sql, const rf_layout *layout, rf_table_place place,
                                rf_err *err)
{
    rf_sql_add(sql, "INSERT INTO %t (", place.schema, place.name);
    rf_postgres_table_columns(sql, layout, layout->column_count, "");
    rf_sql_add(sql, ") SELECT ");
    rf_postgres_table_columns(sql, layout, layout->column_count, "");
    rf_sql_add(sql, " FROM %t", changed_place.schema, changed_place.name);
    add_on_conflict(sql, layout);
    rf_sql_add(sql, "; DROP TABLE %t, %t", changed_place.schema, changed_place.name,
               gone_place.schema, gone_place.name);
    return rf_sql_run(sql, err);
}

rf_status rf_postgres_table_change(rf_sql *sql, const rf_layout *layout, rf_reader *reader,
                                   rf_table_place place, const rf_table_change *changes,
                                   uint64_t count, uint64_t rows_after, bool *fits_out,
                                   rf_err *err)
{
    uint64_t gone = 0, changed = 0, deleted = 0, rows = 0;

    rf_status status = send_changes(sql, layout, reader, changes, count, true, &gone, err);
    if (status == RF_OK)
        status = send_changes(sql, layout, reader, changes, count, false, &changed, err);
    if (status == RF_OK)
        status = delete_gone(sql, layout, place, &deleted, err);
    if (status == RF_OK)
        status = upsert_changed(sql, layout, place, err);
    if (status != RF_OK)
        return status;
    rf_sql_add(sql, "SELECT count(*) FROM %t", place.schema, place.name);
    status = rf_sql_count(sql, &rows, err);
    *fits_out = status == RF_OK && deleted == gone && rows == rows_after;
    return status;
}

rf_status rf_postgres_table_align(rf_sql *sql, const rf_layout *layout, rf_table_place place,
                                  rf_table_place from, rf_err *err)
{
    /* Readers go on: they see the rows of before until the commit. */
    rf_sql_add(sql, "LOCK TABLE %t IN SHARE ROW EXCLUSIVE MODE; ", place.schema, place.name);
    rf_sql_add(sql, "DELETE FROM %t t WHERE NOT EXISTS (SELECT FROM %t s WHERE ", place.schema,
               place.name, from.schema, from.name);
    add_key_match(sql, layout);
    rf_sql_add(sql, "); INSERT INTO %t (", place.schema, place.name);
    rf_postgres_table_columns(sql, layout, layout->column_count, "");
    rf_sql_add(sql, ") SELECT ");
    rf_postgres_table_columns(sql, layout, layout->column_count, "s.");
    rf_sql_add(sql, " FROM %t s LEFT JOIN %t t ON ", from.schema, from.name, place.schema,
               place.name);
    add_key_match(sql, layout);
    rf_sql_add(sql, " WHERE t.%n IS NULL OR (", layout->columns[0].name);
    rf_postgres_table_columns(sql, layout, layout->column_count, "s.");
    rf_sql_add(sql, ") IS DISTINCT FROM (");
    rf_postgres_table_columns(sql, layout, layout->column_count, "t.");
    rf_sql_add(sql, ")");
    add_on_conflict(sql, layout);
    return rf_sql_run(sql, err);
}
