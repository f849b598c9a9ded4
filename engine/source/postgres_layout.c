/* See postgres_layout.h.
 *
 * find table -> its columns and their types -> which of the preset's are there -> index, sequences.
 */
#include "source/postgres_layout.h"

#include "event/value.h"
#include "source/mapping.h"
#include "source/postgres_preset.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    SQL_SIZE_MAX = 1 << 20,
    VERSION_MIN = 100000,
    /* OIDs of types, which never change. */
    TYPE_BOOL = 16,
    TYPE_BYTEA = 17,
    TYPE_INT8 = 20,
    TYPE_INT2 = 21,
    TYPE_INT4 = 23,
    TYPE_OID = 26,
    TYPE_JSON = 114,
    TYPE_FLOAT4 = 700,
    TYPE_FLOAT8 = 701,
    TYPE_TIMESTAMP = 1114,
    TYPE_TIMESTAMPTZ = 1184,
    TYPE_NUMERIC = 1700,
    TYPE_UUID = 2950,
    TYPE_JSONB = 3802,
    TYPE_XID8 = 5069,
};

typedef struct layout_finder {
    rf_postgres *postgres;
    const rf_import_options *options;
    const rf_postgres_preset *preset; /* NULL: a query */
    rf_postgres_layout *layout;
    rf_buf select; /* so far */
    rf_buf filter;
    char oid[24];  /* of the table */
    char number[24]; /* of the position's column */
} layout_finder;

static const char tables_sql[] =
    "SELECT c.oid, n.nspname, c.relname, c.reltuples::bigint, "
    "NOT (pg_catalog.pg_table_is_visible(c.oid) OR n.nspname = $2) AS other "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND (CASE WHEN $1::text IS NULL "
    "THEN (SELECT count(*) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid "
    "  AND NOT a.attisdropped AND a.attname = ANY (string_to_array($3, '|'))) = 5 "
    "ELSE (c.relname = ANY (string_to_array($1, '|')) AND $2 IN ('', n.nspname)) "
    "  OR n.nspname || '.' || c.relname = $1 END) "
    "ORDER BY other, n.nspname, c.relname";

static const char columns_sql[] =
    "SELECT attname, atttypid, attnum FROM pg_catalog.pg_attribute "
    "WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum";

static const char relations_sql[] =
    "WITH RECURSIVE t (oid) AS (SELECT $1::oid UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i "
    "JOIN t ON i.inhparent = t.oid) SELECT array_agg(t.oid)::text, "
    "EXISTS (SELECT FROM pg_catalog.pg_index WHERE indrelid = $1::oid AND indisvalid "
    "  AND indpred IS NULL AND indkey[0] = $2::int), pg_catalog.current_database() FROM t";

static const char sequences_sql[] =
    "WITH own AS (SELECT d.objid AS oid FROM pg_catalog.pg_depend d "
    "  WHERE d.classid = 'pg_catalog.pg_class'::regclass "
    "  AND d.refclassid = 'pg_catalog.pg_class'::regclass "
    "  AND d.refobjid = $1::oid AND d.refobjsubid = $2::int "
    " UNION SELECT d.refobjid FROM pg_catalog.pg_attrdef a JOIN pg_catalog.pg_depend d "
    "  ON d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = a.oid "
    "  AND d.refclassid = 'pg_catalog.pg_class'::regclass "
    "  WHERE a.adrelid = $1::oid AND a.adnum = $2::int), "
    "named AS (SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relnamespace = "
    "  (SELECT relnamespace FROM pg_catalog.pg_class WHERE oid = $1::oid) "
    "  AND c.relname = ANY (string_to_array($3, '|'))) "
    "SELECT array_agg(q.seqrelid)::text, bool_or(q.seqcache > 1 OR q.seqcycle "
    "OR (q.seqincrement <> 1 AND q.seqrelid IN (SELECT oid FROM named))) "
    "FROM pg_catalog.pg_sequence q "
    "WHERE q.seqrelid IN (SELECT oid FROM own UNION SELECT oid FROM named)";

void rf_postgres_layout_free(rf_postgres_layout *layout)
{
    if (!layout)
        return;
    free(layout->identity);
    free(layout->name);
    free(layout->select);
    free(layout->from);
    free(layout->table);
    free(layout->position);
    free(layout->transaction);
    free(layout->filter);
    free(layout->relations);
    free(layout->sequences);
    free(layout->channel);
    free(layout);
}

void rf_postgres_layout_order_by_position(rf_postgres_layout *layout)
{
    free(layout->transaction);
    layout->transaction = NULL;
}

/* A copy with a NUL behind. */
static rf_status text_keep(rf_slice text, char **copy_out, rf_err *err)
{
    char *copy = malloc(text.size + 1);

    if (!copy)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a database's columns");
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    free(*copy_out);
    *copy_out = copy;
    return RF_OK;
}

static rf_status buf_keep(rf_buf *buf, char **copy_out, rf_err *err)
{
    rf_status status = rf_buf_check(buf, "an SQL statement", err);

    return status == RF_OK ? text_keep(rf_buf_slice(buf), copy_out, err) : status;
}

/* Whether `name` is one of those with '|' between. */
static bool is_one_of(const char *name, const char *names)
{
    size_t size = strlen(name);

    for (const char *at = names; at; at = strchr(at, '|')) {
        at += *at == '|';
        if (strncmp(at, name, size) == 0 && (at[size] == '\0' || at[size] == '|'))
            return true;
    }
    return false;
}

/* How values of a type are sent, and the cast that makes them so. */
static rf_postgres_kind kind_of(uint32_t type, const char **cast_out)
{
    *cast_out = "";
    switch (type) {
    case TYPE_BOOL:
        return RF_KIND_BOOL;
    case TYPE_BYTEA:
        return RF_KIND_BYTES;
    case TYPE_INT8:
        return RF_KIND_INTEGER;
    case TYPE_INT2:
    case TYPE_INT4:
    case TYPE_OID:
        *cast_out = "::int8";
        return RF_KIND_INTEGER;
    case TYPE_XID8:
        *cast_out = "::text::int8";
        return RF_KIND_INTEGER;
    case TYPE_JSON:
        return RF_KIND_JSON;
    case TYPE_JSONB:
        return RF_KIND_JSONB;
    case TYPE_TIMESTAMP:
        return RF_KIND_LOCAL_TIME;
    case TYPE_TIMESTAMPTZ:
        return RF_KIND_TIME;
    case TYPE_UUID:
        return RF_KIND_UUID;
    case TYPE_FLOAT4:
    case TYPE_FLOAT8:
    case TYPE_NUMERIC:
        *cast_out = "::text";
        return RF_KIND_NUMBER;
    default:
        *cast_out = "::text";
        return RF_KIND_TEXT;
    }
}

static bool is_payload(rf_postgres_role role)
{
    return role == RF_ROLE_DATA || role == RF_ROLE_METADATA || role == RF_ROLE_STATE;
}

/* What a preset knows of a column beyond its type. */
static void kind_choose(const layout_finder *finder, rf_postgres_column *column, bool *is_object_out,
                        uint32_t type)
{
    const rf_postgres_preset *preset = finder->preset;

    *is_object_out = preset && is_payload(column->role) && type == TYPE_OID;
    if (!preset)
        return;
    if (column->role == RF_ROLE_STREAM && column->kind == RF_KIND_UUID && !preset->tables)
        column->kind = RF_KIND_HEX;
    if (column->role == RF_ROLE_STREAM && preset->streams)
        column->kind = RF_KIND_TEXT;
    /* What it says is JSON is that also in a column of text, bytes or large objects. */
    if (is_payload(column->role) && column->kind == RF_KIND_TEXT)
        column->kind = RF_KIND_JSON;
    if (*is_object_out)
        column->kind = RF_KIND_BYTES;
    /* Its times without zone are UTC. */
    if (column->kind == RF_KIND_LOCAL_TIME)
        column->kind = RF_KIND_TIME;
}

/* Whether values of the column can be what its role asks for. */
static bool kind_fits(const layout_finder *finder, const rf_postgres_column *column)
{
    bool is_stored = finder->preset && !finder->preset->tables;

    if (column->role == RF_ROLE_POSITION || column->role == RF_ROLE_TRANSACTION)
        return column->kind == RF_KIND_INTEGER;
    if (column->role == RF_ROLE_PREFIX)
        return column->kind == RF_KIND_TEXT;
    if (column->role == RF_ROLE_STATE)
        return column->kind == RF_KIND_BYTES;
    if (is_stored && column->role == RF_ROLE_STREAM)
        return column->kind == RF_KIND_TEXT || column->kind == RF_KIND_HEX;
    if (is_stored)
        return column->kind == (strcmp(column->member, "version") == 0 ? RF_KIND_INTEGER
                                                                      : RF_KIND_TEXT);
    return true;
}

/* Adds a column to the select list, or its condition to the filter. */
static rf_status column_add(layout_finder *finder, const char *name, uint32_t type,
                            const rf_postgres_preset_column *wanted, rf_err *err)
{
    rf_postgres_layout *layout = finder->layout;
    rf_postgres_role role = wanted->role;
    const char *cast;
    bool is_object;
    rf_buf quoted;

    if (layout->column_count == RF_POSTGRES_COLUMNS_MAX)
        return rf_fail(err, RF_ERR_INPUT, "%s has more than %d columns", layout->name,
                       RF_POSTGRES_COLUMNS_MAX);
    rf_postgres_column column = {.role = role, .kind = kind_of(type, &cast), .omitted = wanted->omitted};
    (void)snprintf(column.member, sizeof column.member, "%s", wanted->member);
    kind_choose(finder, &column, &is_object, type);
    if (!kind_fits(finder, &column))
        return rf_fail(err, RF_ERR_INPUT, "%s: column '%s' of %s is of a type that is no %s",
                       rf_postgres_name(finder->postgres), name, layout->name, wanted->member);
    rf_buf_init(&quoted, SQL_SIZE_MAX);
    rf_buf_append(&quoted, "e.", 2);
    rf_status status = rf_postgres_quote_name(finder->postgres, rf_slice_of(name), &quoted, err);
    if (status == RF_OK && role == RF_ROLE_POSITION)
        status = buf_keep(&quoted, &layout->position, err);
    if (status == RF_OK && role == RF_ROLE_TRANSACTION)
        status = buf_keep(&quoted, &layout->transaction, err);
    rf_slice text = rf_buf_slice(&quoted);
    if (status == RF_OK && role == RF_ROLE_FILTER) {
        rf_buf_append_format(&finder->filter, " AND %.*s %s", (int)text.size, text.data, wanted->member);
    } else if (status == RF_OK) {
        bool is_joined = role == RF_ROLE_STREAM && finder->preset && finder->preset->streams;
        const char *begin = is_object ? "pg_catalog.lo_get(" : is_joined ? "coalesce(s.stream, " : "";
        const char *end = is_object ? ")" : is_joined ? "::text)" : cast;
        rf_buf_append_format(&finder->select, "%s%s%.*s%s", layout->column_count ? ", " : "", begin,
                             (int)text.size, text.data, end);
        layout->columns[layout->column_count++] = column;
    }
    rf_buf_free(&quoted);
    return status;
}

/* Of a preset: "it is no messagedb store". */
static rf_status fail_preset(const layout_finder *finder, const char *what, const char *names,
                             rf_err *err)
{
    return rf_fail(err, RF_ERR_INPUT, "%s: %s '%s': this is no store of %s, or --table names another table",
                   rf_postgres_name(finder->postgres), what, names, finder->preset->name);
}

static rf_status columns_choose(layout_finder *finder, rf_err *err)
{
    rf_postgres_rows *rows = NULL;
    const char *parameters[] = {finder->oid};
    rf_status status = rf_postgres_query(finder->postgres, columns_sql, parameters, 1, &rows, err);

    if (status != RF_OK)
        return status;
    uint32_t count = rf_postgres_row_count(rows);
    for (const rf_postgres_preset_column *wanted = finder->preset->columns;
         wanted->names && status == RF_OK; wanted++) {
        uint32_t at = 0;
        while (at < count && !is_one_of(rf_postgres_text(rows, at, 0), wanted->names))
            at++;
        if (at == count && !wanted->is_optional) {
            char what[160];
            (void)snprintf(what, sizeof what, "table %s has no column", finder->layout->name);
            status = fail_preset(finder, what, wanted->names, err);
        } else if (at < count) {
            if (finder->layout->fixed_count == 0 && is_payload(wanted->role))
                finder->layout->fixed_count = finder->layout->column_count;
            if (wanted->role == RF_ROLE_POSITION)
                (void)snprintf(finder->number, sizeof finder->number, "%s",
                               rf_postgres_text(rows, at, 2));
            status = column_add(finder, rf_postgres_text(rows, at, 0),
                                (uint32_t)rf_postgres_int(rows, at, 1), wanted, err);
        }
    }
    rf_postgres_rows_free(rows);
    return status;
}

/* What the catalog says of the table and of where its positions come from. */
static rf_status relations_find(layout_finder *finder, rf_err *err)
{
    rf_postgres_layout *layout = finder->layout;
    rf_postgres_rows *rows = NULL;
    const char *names = finder->preset->sequences ? finder->preset->sequences : "";
    const char *parameters[] = {finder->oid, finder->number, names};
    rf_buf identity;

    rf_status status =
        rf_postgres_query(finder->postgres, relations_sql, parameters, 2, &rows, err);
    if (status != RF_OK)
        return status;
    rf_buf_init(&identity, SQL_SIZE_MAX);
    rf_buf_append_format(&identity, "%s %s %s", finder->preset->name, rf_postgres_text(rows, 0, 2),
                         layout->name);
    layout->has_index = rf_postgres_text(rows, 0, 1)[0] == 't';
    status = text_keep(rf_slice_of(rf_postgres_text(rows, 0, 0)), &layout->relations, err);
    if (status == RF_OK)
        status = buf_keep(&identity, &layout->identity, err);
    rf_buf_free(&identity);
    rf_postgres_rows_free(rows);
    rows = NULL;
    if (status == RF_OK)
        status = rf_postgres_query(finder->postgres, sequences_sql, parameters, 3, &rows, err);
    if (status == RF_OK && !rf_postgres_is_null(rows, 0, 0)) {
        layout->is_unordered = rf_postgres_text(rows, 0, 1)[0] == 't';
        status = text_keep(rf_slice_of(rf_postgres_text(rows, 0, 0)), &layout->sequences, err);
    }
    rf_postgres_rows_free(rows);
    return status;
}

/* The table's name, quoted, and what is read from. */
static rf_status from_make(layout_finder *finder, const char *schema, const char *table,
                           rf_err *err)
{
    rf_postgres_layout *layout = finder->layout;
    rf_postgres *postgres = finder->postgres;
    const char *streams = finder->preset->streams;
    rf_buf sql, names;

    rf_buf_init(&sql, SQL_SIZE_MAX);
    rf_buf_init(&names, SQL_SIZE_MAX);
    rf_status status = rf_postgres_quote_name(postgres, rf_slice_of(schema), &sql, err);
    rf_buf_append_byte(&sql, '.');
    if (status == RF_OK)
        status = rf_postgres_quote_name(postgres, rf_slice_of(table), &sql, err);
    rf_buf_append(&sql, " AS e", 5);
    if (status == RF_OK)
        status = buf_keep(&sql, &layout->table, err);
    if (status == RF_OK && streams) {
        /* An event may be linked into more streams later: the first is where it was written. */
        rf_buf_append_format(&sql, " LEFT JOIN LATERAL (SELECT i.stream FROM ");
        status = rf_postgres_quote_name(postgres, rf_slice_of(schema), &sql, err);
        rf_buf_append_format(&sql, ".%s AS i WHERE i.event_id = e.event_id ORDER BY i.id LIMIT 1) AS s ON true",
                             streams);
    }
    if (status == RF_OK)
        status = buf_keep(&sql, &layout->from, err);
    rf_buf_append_format(&names, "%s.%s", schema, table);
    if (status == RF_OK)
        status = buf_keep(&names, &layout->name, err);
    if (status == RF_OK && finder->preset->notifies) {
        status = text_keep(rf_slice_of(table), &layout->channel, err);
        for (char *at = layout->channel; status == RF_OK && (at = strchr(at, '.')) != NULL;)
            *at = '_';
    }
    rf_buf_free(&sql);
    rf_buf_free(&names);
    return status;
}

/* `table_out` gets the row of the one table; none where there is none. */
static rf_status tables_find(const layout_finder *finder, rf_postgres_rows **rows_out, rf_err *err)
{
    const rf_postgres_preset *preset = finder->preset;
    const char *parameters[] = {
        finder->options->table ? finder->options->table : preset->tables,
        preset->schema && !finder->options->table ? preset->schema : "",
        "originator_id|originator_version|topic|state|notification_id",
    };

    return rf_postgres_query(finder->postgres, tables_sql, parameters, 3, rows_out, err);
}

/* Whether the first of the tables found is the one meant. */
static bool is_clear(const rf_postgres_rows *rows)
{
    uint32_t count = rf_postgres_row_count(rows);

    return count == 1 || (count > 1 && strcmp(rf_postgres_text(rows, 0, 4),
                                              rf_postgres_text(rows, 1, 4)) != 0);
}

static rf_status fail_tables(const layout_finder *finder, const rf_postgres_rows *rows, rf_err *err)
{
    const rf_postgres_preset *preset = finder->preset;

    if (rf_postgres_row_count(rows) > 1)
        return rf_fail(err, RF_ERR_INPUT,
                       "%s: more than one table may have the events, %s.%s and %s.%s: --table names one",
                       rf_postgres_name(finder->postgres), rf_postgres_text(rows, 0, 1),
                       rf_postgres_text(rows, 0, 2), rf_postgres_text(rows, 1, 1),
                       rf_postgres_text(rows, 1, 2));
    if (finder->options->table)
        return rf_fail(err, RF_ERR_INPUT, "%s: there is no table '%s'",
                       rf_postgres_name(finder->postgres), finder->options->table);
    if (!preset->tables)
        return fail_preset(finder, "no table has the columns", "originator_id, ... notification_id", err);
    return fail_preset(finder, "there is no table", preset->tables, err);
}

static rf_status preset_layout(layout_finder *finder, rf_err *err)
{
    rf_postgres_rows *rows = NULL;
    rf_status status = tables_find(finder, &rows, err);

    if (status != RF_OK)
        return status;
    if (!is_clear(rows))
        status = fail_tables(finder, rows, err);
    if (status == RF_OK) {
        (void)snprintf(finder->oid, sizeof finder->oid, "%s", rf_postgres_text(rows, 0, 0));
        finder->layout->row_estimate = rf_postgres_int(rows, 0, 3);
        status = from_make(finder, rf_postgres_text(rows, 0, 1), rf_postgres_text(rows, 0, 2), err);
    }
    rf_postgres_rows_free(rows);
    if (status == RF_OK)
        status = columns_choose(finder, err);
    return status == RF_OK ? relations_find(finder, err) : status;
}

/* The one preset whose table is there. */
static rf_status preset_guess(layout_finder *finder, rf_err *err)
{
    const rf_postgres_preset *found = NULL;
    rf_status status = RF_OK;

    if (finder->options->table)
        return rf_fail(err, RF_ERR_USAGE, "--table needs --preset, which says what is in it");
    for (uint32_t i = 0; (finder->preset = rf_postgres_preset_at(i)) != NULL && status == RF_OK; i++) {
        rf_postgres_rows *rows = NULL;
        status = tables_find(finder, &rows, err);
        bool is_there = status == RF_OK && rf_postgres_row_count(rows) > 0;
        rf_postgres_rows_free(rows);
        if (is_there && found)
            return rf_fail(err, RF_ERR_USAGE, "%s has tables of %s and of %s: --preset says which",
                           rf_postgres_name(finder->postgres), found->name, finder->preset->name);
        if (is_there)
            found = finder->preset;
    }
    finder->preset = found;
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_USAGE,
                         "%s has no events that are known: --query names them, or --preset and --table",
                         rf_postgres_name(finder->postgres));
    return status;
}

/* The position first: messages take it from there. Then what never changes in a row, then all else. */
static unsigned query_turn(const layout_finder *finder, const char *name)
{
    static const char *const fixed[] = {"stream", "version", "type", "time"};

    if (rf_slice_equal(rf_slice_of(name), rf_mapping_path(finder->options, "position")))
        return 0;
    for (unsigned i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (rf_slice_equal(rf_slice_of(name), rf_mapping_path(finder->options, fixed[i])))
            return 1;
    return 2;
}

static rf_status query_columns(layout_finder *finder, const rf_postgres_rows *rows, rf_err *err)
{
    rf_slice position = rf_mapping_path(finder->options, "position");
    rf_status status = RF_OK;

    for (unsigned turn = 0; turn < 3; turn++) {
        for (uint32_t i = 0; i < rf_postgres_column_count(rows) && status == RF_OK; i++) {
            const char *name = rf_postgres_column_name(rows, i);
            uint32_t type = rf_postgres_column_type(rows, i);
            if (query_turn(finder, name) != turn)
                continue;
            rf_postgres_preset_column wanted = {
                .role = turn == 0 ? RF_ROLE_POSITION : RF_ROLE_MEMBER, .member = name};
            if (type == TYPE_BYTEA)
                status = rf_fail(err, RF_ERR_INPUT,
                                 "column '%s' of the query is bytea, which no event has: cast it", name);
            else
                status = column_add(finder, name, type, &wanted, err);
        }
        if (turn == 1)
            finder->layout->fixed_count = finder->layout->column_count;
    }
    if (status == RF_OK && !finder->layout->position)
        status = rf_fail(err, RF_ERR_INPUT,
                         "the query has no column '%.*s': an integer that gives the order of events",
                         (int)position.size, position.data);
    return status;
}

static rf_status query_layout(layout_finder *finder, rf_err *err)
{
    rf_postgres_layout *layout = finder->layout;
    rf_slice query = rf_slice_of(finder->options->query);
    rf_postgres_rows *rows = NULL;
    rf_buf sql;

    while (query.size > 0 && strchr(" \t\r\n;", query.data[query.size - 1]))
        query.size--;
    rf_buf_init(&sql, SQL_SIZE_MAX);
    rf_status status = text_keep(RF_SLICE("query"), &layout->name, err);
    rf_buf_append_format(&sql, "(\n%.*s\n) AS e", (int)query.size, query.data);
    if (status == RF_OK)
        status = buf_keep(&sql, &layout->from, err);
    rf_buf_clear(&sql);
    if (status == RF_OK) {
        rf_buf_append_format(&sql, "SELECT * FROM %s", layout->from);
        rf_buf_append_byte(&sql, '\0');
        status = rf_buf_check(&sql, "an SQL statement", err);
    }
    if (status == RF_OK)
        status = rf_postgres_describe(finder->postgres, sql.data, &rows, err);
    if (status == RF_OK)
        status = query_columns(finder, rows, err);
    rf_postgres_rows_free(rows);
    rows = NULL;
    if (status == RF_OK)
        status = rf_postgres_query(finder->postgres, "SELECT pg_catalog.current_database()", NULL, 0,
                                   &rows, err);
    rf_buf_clear(&sql);
    if (status == RF_OK) {
        rf_buf_append_format(&sql, "query %s", rf_postgres_text(rows, 0, 0));
        status = buf_keep(&sql, &layout->identity, err);
    }
    rf_postgres_rows_free(rows);
    rf_buf_free(&sql);
    return status;
}

rf_status rf_postgres_layout_find(rf_postgres *postgres, const rf_import_options *options,
                                  rf_postgres_layout **layout_out, rf_err *err)
{
    layout_finder finder = {.postgres = postgres, .options = options};
    rf_status status = RF_OK;

    if (rf_postgres_server_version(postgres) < VERSION_MIN)
        return rf_fail(err, RF_ERR_INPUT, "%s is older than PostgreSQL 10",
                       rf_postgres_name(postgres));
    finder.layout = calloc(1, sizeof *finder.layout);
    if (!finder.layout)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a database's columns");
    rf_buf_init(&finder.select, SQL_SIZE_MAX);
    rf_buf_init(&finder.filter, SQL_SIZE_MAX);
    if (options->preset)
        finder.preset = rf_postgres_preset_find(options->preset);
    if (options->preset && !finder.preset)
        status = rf_fail(err, RF_ERR_USAGE, "there is no preset '%s' for PostgreSQL",
                         options->preset);
    else if (!options->preset && !options->query)
        status = preset_guess(&finder, err);
    if (status == RF_OK)
        status = finder.preset ? preset_layout(&finder, err) : query_layout(&finder, err);
    if (status == RF_OK)
        status = buf_keep(&finder.select, &finder.layout->select, err);
    if (status == RF_OK)
        status = buf_keep(&finder.filter, &finder.layout->filter, err);
    rf_buf_free(&finder.select);
    rf_buf_free(&finder.filter);
    if (status == RF_OK)
        *layout_out = finder.layout;
    else
        rf_postgres_layout_free(finder.layout);
    return status;
}
