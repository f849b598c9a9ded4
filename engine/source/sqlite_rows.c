/* See sqlite_rows.h. */
#include "source/sqlite_rows.h"

#include "base/checksum.h"
#include "source/eventsourcing.h"
#include "source/line_text.h"
#include "source/stored_state.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SQL_BYTES_MAX = 1 << 20,
    TABLE_NAME_MAX = 200,
    TABLES_SHOWN = 8,
};

/* An event's members, as columns; presets select them in this order. */
typedef enum row_column {
    COLUMN_POSITION,
    COLUMN_STREAM,
    COLUMN_VERSION,
    COLUMN_TYPE,
    COLUMN_SCHEMA,
    COLUMN_TIME,
    COLUMN_DATA,
    COLUMN_METADATA,
    COLUMN_COUNT,
} row_column;

static const char *const column_names[COLUMN_COUNT] = {
    "position", "stream", "version", "type", "schema", "time", "data", "metadata",
};

typedef struct sqlite_preset {
    const char *name;
    const char *table;
    const char *position;
    const char *columns; /* the others, in order; NULL stands for one that it has not */
    const char *where;   /* which rows are events */
    const char *order;   /* where there is no position; NULL: there always is */
} sqlite_preset;

static const sqlite_preset presets[] = {
    {"eventsourcing", "stored_events", "rowid",
     "originator_id, originator_version, topic, NULL, NULL, state, NULL", "1",
     "originator_id, originator_version"},
    /* Its own readers leave archived messages out, too. message_schema_version is no schema: the library writes the
     * version there that it expected the stream to have. */
    {"emmett", "emt_messages", "global_position",
     "stream_id, stream_position, message_type, NULL, created, message_data, message_metadata",
     "message_kind = 'E' AND is_archived = 0", NULL},
};
enum { PRESET_COUNT = sizeof presets / sizeof presets[0] };

struct rf_sqlite_rows {
    const sqlite_preset *preset; /* NULL: a query */
    rf_slice path;               /* borrowed */
    char what[TABLE_NAME_MAX + 40];
    bool has_positions;
    int columns[COLUMN_COUNT]; /* -1: it has none */
    rf_buf sql;
    rf_buf sql_at;
    rf_buf sql_lost;
    rf_eventsourcing *decoder; /* of its preset only */
    rf_stored_state *state;    /* of a query: for values that are bytes */
};

/* ---- which table ---- */

/* *is_table_out: an ordinary table of this name is there; views and virtual tables run code. */
static rf_status table_find(rf_sqlite *db, rf_slice name, bool *found_out, bool *is_table_out,
                            rf_err *err)
{
    rf_sqlite_statement *statement = NULL;
    bool row = false;

    *is_table_out = false;
    rf_status status = rf_sqlite_prepare(
        db,
        RF_SLICE("SELECT type = 'table' AND sql NOT LIKE 'create virtual%' FROM sqlite_master "
                 "WHERE lower(name) = lower(?1) AND type IN ('table', 'view')"),
        &statement, err);
    if (status)
        return status;
    rf_sqlite_bind_text(statement, 1, name);
    status = rf_sqlite_step(statement, &row, err);
    if (!status && row)
        *is_table_out = rf_sqlite_column_integer(statement, 0) == 1;
    *found_out = row;
    rf_sqlite_statement_free(statement);
    return status;
}

/* "; its tables are a, b" for messages. */
static void tables_show(rf_sqlite *db, char *out, size_t size)
{
    rf_sqlite_statement *statement = NULL;
    bool row = true;
    size_t used = 0;

    out[0] = '\0';
    if (rf_sqlite_prepare(db,
                          RF_SLICE("SELECT substr(name, 1, 60) FROM sqlite_master WHERE "
                                   "type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"),
                          &statement, NULL) != RF_OK)
        return;
    for (int i = 0; i < TABLES_SHOWN; i++) {
        if (rf_sqlite_step(statement, &row, NULL) != RF_OK || !row)
            break;
        rf_slice name = rf_sqlite_column_bytes(statement, 0);
        int written = snprintf(out + used, size - used, "%s%.*s", i ? ", " : "; its tables are ",
                               (int)name.size, name.data);
        used += written > 0 && (size_t)written < size - used ? (size_t)written : 0;
    }
    if (used == 0)
        (void)snprintf(out, size, "; it has no tables");
    rf_sqlite_statement_free(statement);
}

static rf_status preset_find(rf_sqlite *db, const char *path, const rf_import_options *options,
                             const sqlite_preset **preset_out, rf_err *err)
{
    char tables[RF_ERR_MESSAGE_SIZE / 2];

    *preset_out = NULL;
    for (int i = 0; i < PRESET_COUNT; i++) {
        bool found = false;
        bool is_table;
        if (options->preset) {
            if (strcmp(options->preset, presets[i].name) == 0)
                *preset_out = &presets[i];
            continue;
        }
        rf_status status = options->table ? RF_OK
                                          : table_find(db, rf_slice_of(presets[i].table), &found,
                                                       &is_table, err);
        if (status)
            return status;
        if (found && !*preset_out)
            *preset_out = &presets[i];
    }
    if (*preset_out)
        return RF_OK;
    if (options->table)
        return rf_fail(err, RF_ERR_USAGE, "--table needs --preset, which says what is in it");
    tables_show(db, tables, sizeof tables);
    return rf_fail(err, RF_ERR_INPUT,
                   "sqlite %s has neither stored_events (preset eventsourcing) nor emt_messages "
                   "(emmett); --preset with --table, or --query, says where its events are%s",
                   path, tables);
}

/* ---- SQL ---- */

static void select_append(rf_buf *out, const rf_sqlite_rows *rows, rf_slice table)
{
    rf_buf_append_format(out, "SELECT %s, %s FROM ",
                         rows->has_positions ? rows->preset->position : "NULL",
                         rows->preset->columns);
    rf_sqlite_quote(out, table);
}

static rf_status preset_sql(rf_sqlite_rows *rows, rf_slice table, rf_err *err)
{
    const sqlite_preset *preset = rows->preset;

    rf_buf_clear(&rows->sql);
    rf_buf_clear(&rows->sql_at);
    select_append(&rows->sql, rows, table);
    if (rows->has_positions) {
        rf_buf_append_format(&rows->sql, " WHERE %s > ?1 AND %s ORDER BY %s", preset->position,
                             preset->where, preset->position);
        select_append(&rows->sql_at, rows, table);
        rf_buf_append_format(&rows->sql_at, " WHERE %s = ?1", preset->position);
    } else {
        rf_buf_append_format(&rows->sql, " WHERE %s ORDER BY %s", preset->where, preset->order);
    }
    return rf_buf_check(&rows->sql, "a query", err);
}

static bool can_prepare(rf_sqlite *db, rf_slice sql, rf_err *err)
{
    rf_sqlite_statement *statement = NULL;
    rf_status status = rf_sqlite_prepare(db, sql, &statement, err);

    rf_sqlite_statement_free(statement);
    return status == RF_OK;
}

static rf_status preset_open(rf_sqlite_rows *rows, rf_sqlite *db,
                             const rf_import_options *options, rf_err *err)
{
    char tables[RF_ERR_MESSAGE_SIZE / 2];
    rf_slice table = rf_slice_of(options->table ? options->table : rows->preset->table);
    bool found = false;
    bool is_table = false;

    if (table.size == 0 || table.size > TABLE_NAME_MAX)
        return rf_fail(err, RF_ERR_USAGE, "--table takes a name of 1 to %d bytes", TABLE_NAME_MAX);
    rf_status status = table_find(db, table, &found, &is_table, err);
    if (!status && !found) {
        tables_show(db, tables, sizeof tables);
        return rf_fail(err, RF_ERR_INPUT, "sqlite %s has no table %s, which preset %s reads%s",
                       rows->path.data, table.data, rows->preset->name, tables);
    }
    if (!status && !is_table)
        status = rf_fail(err, RF_ERR_INPUT, "sqlite %s: %s is a view, where preset %s has a table",
                         rows->path.data, table.data, rows->preset->name);
    if (status)
        return status;
    (void)snprintf(rows->what, sizeof rows->what, "%s %s", rows->preset->name, table.data);
    for (int i = 0; i < COLUMN_COUNT; i++)
        rows->columns[i] = i;
    rows->has_positions = true;
    status = preset_sql(rows, table, err);
    if (!status && !can_prepare(db, rf_buf_slice(&rows->sql), err) && rows->preset->order) {
        rows->has_positions = false; /* WITHOUT ROWID */
        status = preset_sql(rows, table, err);
    }
    if (!status && !can_prepare(db, rf_buf_slice(&rows->sql), err))
        return rf_fail(err, RF_ERR_INPUT,
                       "sqlite %s: table %s has not the columns that preset %s reads (%s, %s)",
                       rows->path.data, table.data, rows->preset->name, rows->preset->position,
                       rows->preset->columns);
    return status;
}

/* Which column of the query is which member. */
static rf_status query_columns(rf_sqlite_rows *rows, rf_sqlite *db, rf_slice query, rf_err *err)
{
    rf_sqlite_statement *statement = NULL;

    rf_status status = rf_sqlite_prepare(db, query, &statement, err);
    for (int i = 0; i < COLUMN_COUNT; i++)
        rows->columns[i] = -1;
    for (int i = 0; !status && i < rf_sqlite_column_count(statement); i++) {
        const char *name = rf_sqlite_column_name(statement, i);
        int member = 0;
        while (member < COLUMN_COUNT && strcmp(column_names[member], name) != 0)
            member++;
        if (member == COLUMN_COUNT)
            status = rf_fail(err, RF_ERR_USAGE,
                             "--query: the column %.60s is no member of an event; these are "
                             "position, stream, version, type, schema, time, data and metadata",
                             name);
        else if (rows->columns[member] >= 0)
            status = rf_fail(err, RF_ERR_USAGE, "--query: the column %s stands twice", name);
        else
            rows->columns[member] = i;
    }
    rf_sqlite_statement_free(statement);
    for (int i = 0; !status && i < COLUMN_COUNT; i++) {
        bool is_needed = i == COLUMN_STREAM || i == COLUMN_TYPE || i == COLUMN_DATA;
        if (is_needed && rows->columns[i] < 0)
            status = rf_fail(err, RF_ERR_USAGE,
                             "--query: no column is called %s; stream, type and data are needed",
                             column_names[i]);
    }
    return status;
}

/* Without the semicolon at its end. */
static rf_slice query_trim(rf_slice query)
{
    while (query.size > 0 && strchr(" \t\r\n;", query.data[query.size - 1]))
        query.size--;
    return query;
}

static rf_status query_wrap(rf_buf *out, rf_slice query, const char *where, rf_err *err)
{
    /* Behind a comment at its end the brackets begin a new line. */
    rf_buf_append_slice(out, RF_SLICE("SELECT * FROM (\n"));
    rf_buf_append_slice(out, query);
    rf_buf_append_format(out, "\n) WHERE %s", where);
    return rf_buf_check(out, "a query", err);
}

static rf_status query_open(rf_sqlite_rows *rows, rf_sqlite *db, const rf_import_options *options,
                            rf_err *err)
{
    rf_slice query = query_trim(rf_slice_of(options->query));

    rf_status status = query_columns(rows, db, query, err);
    if (status)
        return status;
    (void)snprintf(rows->what, sizeof rows->what, "query");
    rows->has_positions = rows->columns[COLUMN_POSITION] >= 0;
    if (!rows->has_positions) {
        rf_buf_append_slice(&rows->sql, query);
        return rf_buf_check(&rows->sql, "a query", err);
    }
    status = query_wrap(&rows->sql, query, "position > ?1 ORDER BY position", err);
    if (!status)
        status = query_wrap(&rows->sql_at, query, "position = ?1", err);
    if (!status)
        status = query_wrap(&rows->sql_lost, query, "position IS NULL LIMIT 1", err);
    if (!status && !can_prepare(db, rf_buf_slice(&rows->sql), err))
        status = rf_err_context(err, "--query");
    return status;
}

rf_status rf_sqlite_rows_open(rf_sqlite *db, const char *path, const rf_import_options *options,
                              rf_sqlite_rows **rows_out, rf_err *err)
{
    rf_sqlite_rows *rows = calloc(1, sizeof *rows);
    rf_status status = RF_OK;

    if (!rows)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for sqlite %s", path);
    rows->path = rf_slice_of(path);
    rf_buf_init(&rows->sql, SQL_BYTES_MAX);
    rf_buf_init(&rows->sql_at, SQL_BYTES_MAX);
    rf_buf_init(&rows->sql_lost, SQL_BYTES_MAX);
    if (options->query) {
        status = query_open(rows, db, options, err);
        if (!status)
            status = rf_stored_state_new(options, &rows->state, err);
    } else {
        status = preset_find(db, path, options, &rows->preset, err);
        if (!status)
            status = preset_open(rows, db, options, err);
        if (!status && strcmp(rows->preset->name, "eventsourcing") == 0)
            status = rf_eventsourcing_new(options, &rows->decoder, err);
        else if (!status && (options->decompress || options->cipher_key_env))
            status = rf_fail(err, RF_ERR_USAGE,
                             "--decompress and --cipher-key-env are not for preset %s",
                             rows->preset->name);
    }
    if (status) {
        rf_sqlite_rows_close(rows);
        return status;
    }
    *rows_out = rows;
    return RF_OK;
}

void rf_sqlite_rows_close(rf_sqlite_rows *rows)
{
    if (!rows)
        return;
    rf_eventsourcing_free(rows->decoder);
    rf_stored_state_free(rows->state);
    rf_buf_free(&rows->sql);
    rf_buf_free(&rows->sql_at);
    rf_buf_free(&rows->sql_lost);
    free(rows);
}

const char *rf_sqlite_rows_what(const rf_sqlite_rows *rows)
{
    return rows->what;
}

bool rf_sqlite_rows_have_positions(const rf_sqlite_rows *rows)
{
    return rows->has_positions;
}

bool rf_sqlite_rows_may_repeat(const rf_sqlite_rows *rows)
{
    return !rows->preset;
}

rf_slice rf_sqlite_rows_sql(const rf_sqlite_rows *rows)
{
    return rf_buf_slice(&rows->sql);
}

rf_slice rf_sqlite_rows_sql_lost(const rf_sqlite_rows *rows)
{
    return rf_buf_slice(&rows->sql_lost);
}

rf_slice rf_sqlite_rows_sql_at(const rf_sqlite_rows *rows)
{
    return rf_buf_slice(&rows->sql_at);
}

/* ---- rows ---- */

static const char *const kind_names[] = {
    [RF_SQLITE_NULL] = "NULL", [RF_SQLITE_INTEGER] = "an integer", [RF_SQLITE_REAL] = "a real",
    [RF_SQLITE_TEXT] = "text", [RF_SQLITE_BLOB] = "a blob",
};

static rf_status refuse_kind(row_column column, rf_sqlite_kind kind, const char *due, rf_err *err)
{
    return rf_fail(err, RF_ERR_INPUT, "%s is %s where %s is due", column_names[column],
                   kind_names[kind], due);
}

static rf_sqlite_kind kind_of(const rf_sqlite_rows *rows, rf_sqlite_statement *statement,
                              row_column column)
{
    return rows->columns[column] < 0
               ? RF_SQLITE_NULL
               : rf_sqlite_column_kind(statement, rows->columns[column]);
}

static rf_slice bytes_of(const rf_sqlite_rows *rows, rf_sqlite_statement *statement,
                         row_column column)
{
    return rows->columns[column] < 0 ? RF_SLICE("")
                                     : rf_sqlite_column_bytes(statement, rows->columns[column]);
}

rf_status rf_sqlite_rows_position(const rf_sqlite_rows *rows, rf_sqlite_statement *statement,
                                  int64_t *position_out, rf_err *err)
{
    rf_sqlite_kind kind = kind_of(rows, statement, COLUMN_POSITION);

    if (kind != RF_SQLITE_INTEGER)
        return refuse_kind(COLUMN_POSITION, kind, "an integer", err);
    *position_out = rf_sqlite_column_integer(statement, rows->columns[COLUMN_POSITION]);
    return RF_OK;
}

uint64_t rf_sqlite_rows_mark(const rf_sqlite_rows *rows, rf_sqlite_statement *statement)
{
    static const row_column marked[] = {COLUMN_STREAM, COLUMN_VERSION, COLUMN_TYPE,
                                        COLUMN_TIME};
    uint64_t mark = 0;

    for (size_t i = 0; i < sizeof marked / sizeof marked[0]; i++)
        mark = mark * UINT64_C(0x9e3779b97f4a7c15) +
               rf_checksum(bytes_of(rows, statement, marked[i]));
    return mark;
}

/* A number that stands as an integer or as text. */
static rf_status integer_append(const rf_sqlite_rows *rows, rf_sqlite_statement *statement,
                                row_column column, rf_buf *out, rf_err *err)
{
    rf_sqlite_kind kind = kind_of(rows, statement, column);
    rf_slice text = bytes_of(rows, statement, column);
    int64_t value;

    if (kind == RF_SQLITE_NULL)
        return RF_OK;
    if (kind == RF_SQLITE_INTEGER)
        value = rf_sqlite_column_integer(statement, rows->columns[column]);
    else if (kind != RF_SQLITE_TEXT || rf_parse_int(text, &value) != RF_VALUE_OK)
        return refuse_kind(column, kind, "an integer", err);
    rf_line_integer(out, column_names[column], value);
    return RF_OK;
}

/* Numbers may name streams, too. */
static rf_status text_append(const rf_sqlite_rows *rows, rf_sqlite_statement *statement,
                             row_column column, rf_buf *out, rf_err *err)
{
    rf_sqlite_kind kind = kind_of(rows, statement, column);

    if (kind != RF_SQLITE_TEXT && kind != RF_SQLITE_INTEGER)
        return refuse_kind(column, kind, "text", err);
    rf_line_string(out, column_names[column], bytes_of(rows, statement, column));
    return RF_OK;
}

/* CURRENT_TIMESTAMP is UTC, and does not say so: "2024-07-10 12:00:00". */
static bool is_current_timestamp(rf_slice text)
{
    int64_t us;

    return rf_parse_time(text, false, 0, &us) == RF_VALUE_NO_ZONE;
}

static rf_status time_append(const rf_sqlite_rows *rows, rf_sqlite_statement *statement,
                             rf_buf *out, rf_err *err)
{
    rf_sqlite_kind kind = kind_of(rows, statement, COLUMN_TIME);
    rf_slice text = bytes_of(rows, statement, COLUMN_TIME);
    char utc[RF_VALUE_TEXT_SIZE];

    if (kind == RF_SQLITE_NULL)
        return RF_OK;
    if (kind == RF_SQLITE_INTEGER)
        return integer_append(rows, statement, COLUMN_TIME, out, err);
    if (kind != RF_SQLITE_TEXT)
        return refuse_kind(COLUMN_TIME, kind, "a time as text or an integer", err);
    if (rows->preset && text.size + 2 < sizeof utc && is_current_timestamp(text)) {
        int size = snprintf(utc, sizeof utc, "%.*sZ", (int)text.size, text.data);
        text = (rf_slice){utc, (size_t)size};
    }
    rf_line_string(out, "time", text);
    return RF_OK;
}

static rf_status json_append(const rf_sqlite_rows *rows, rf_sqlite_statement *statement,
                             row_column column, rf_buf *out, rf_err *err)
{
    rf_sqlite_kind kind = kind_of(rows, statement, column);
    rf_slice json = bytes_of(rows, statement, column);

    if (kind == RF_SQLITE_NULL && column == COLUMN_METADATA)
        return RF_OK;
    if (kind == RF_SQLITE_NULL)
        json = RF_SLICE("null");
    if (kind == RF_SQLITE_BLOB && !rows->state)
        return refuse_kind(column, kind, "JSON as text", err);
    if (kind == RF_SQLITE_BLOB) {
        rf_status status = rf_stored_state_read(rows->state, json, &json, err);
        if (status)
            return status;
    }
    if (!rf_line_json(out, column_names[column], json))
        return rf_fail(err, RF_ERR_INPUT, "%s is not valid JSON", column_names[column]);
    return RF_OK;
}

static rf_status eventsourcing_append(rf_sqlite_rows *rows, rf_sqlite_statement *statement,
                                      rf_buf *out, rf_err *err)
{
    rf_sqlite_kind kind = kind_of(rows, statement, COLUMN_VERSION);

    if (kind != RF_SQLITE_INTEGER)
        return refuse_kind(COLUMN_VERSION, kind, "an integer", err);
    rf_eventsourcing_row row = {
        .originator = bytes_of(rows, statement, COLUMN_STREAM),
        .version = rf_sqlite_column_integer(statement, COLUMN_VERSION),
        .topic = bytes_of(rows, statement, COLUMN_TYPE),
        .state = bytes_of(rows, statement, COLUMN_DATA),
    };
    if (rows->has_positions)
        row.position = rf_sqlite_column_integer(statement, COLUMN_POSITION);
    return rf_eventsourcing_line(rows->decoder, &row, out, err);
}

rf_status rf_sqlite_rows_line(rf_sqlite_rows *rows, rf_sqlite_statement *statement, rf_buf *out,
                              rf_err *err)
{
    if (rows->decoder)
        return eventsourcing_append(rows, statement, out, err);
    rf_line_begin(out);
    rf_status status = integer_append(rows, statement, COLUMN_POSITION, out, err);
    if (!status)
        status = text_append(rows, statement, COLUMN_STREAM, out, err);
    if (!status)
        status = integer_append(rows, statement, COLUMN_VERSION, out, err);
    if (!status)
        status = text_append(rows, statement, COLUMN_TYPE, out, err);
    if (!status)
        status = integer_append(rows, statement, COLUMN_SCHEMA, out, err);
    if (!status)
        status = time_append(rows, statement, out, err);
    if (!status)
        status = json_append(rows, statement, COLUMN_DATA, out, err);
    if (!status)
        status = json_append(rows, statement, COLUMN_METADATA, out, err);
    if (status)
        return status;
    rf_line_end(out);
    return rf_buf_check(out, "a block of events", err);
}
