#include "sink/postgres_plan.h"

#include <stdio.h>

enum {
    DESCRIPTION_BYTES_MAX = 256 << 10,
    NOTE_BYTES_MAX = 64 << 20,
    NAME_TRIES_MAX = 1000,
    SWEPT_MAX = 100,
};

rf_status rf_publish_prepare(rf_sql *sql, const char *schema, rf_err *err)
{
    uint64_t found = 0;

    rf_sql_add(sql, "SELECT count(*) FROM pg_namespace WHERE nspname = %q", schema);
    rf_status status = rf_sql_count(sql, &found, err);
    if (status == RF_OK && found == 0)
        return rf_fail(err, RF_ERR_INPUT, "%s has no schema %s; nothing was published",
                       rf_postgres_name(sql->db), schema);
    if (status == RF_OK) {
        rf_sql_add(sql, "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid ="
                        " c.relnamespace WHERE n.nspname = 'refold_published' AND"
                        " (c.relname = 'tables' OR c.relname = 'models' AND (SELECT count(*) FROM"
                        " pg_attribute a WHERE a.attrelid = c.oid AND a.attname IN ('note', 'version_of'))"
                        " = 2)");
        status = rf_sql_count(sql, &found, err);
    }
    if (status != RF_OK || found == 2)
        return status;
    rf_sql_add(sql,
               "CREATE SCHEMA IF NOT EXISTS refold_published;"
               " CREATE TABLE IF NOT EXISTS refold_published.models (schema_name text, name text,"
               " generation bigint NOT NULL, version bigint NOT NULL, position bigint NOT NULL,"
               " digest text NOT NULL, rows bigint NOT NULL, form text NOT NULL,"
               " data_schema text, layout text NOT NULL,"
               " published_at timestamptz NOT NULL, note bytea, version_of text, PRIMARY KEY (schema_name, name));"
               " ALTER TABLE refold_published.models ADD COLUMN IF NOT EXISTS note bytea;"
               " ALTER TABLE refold_published.models ADD COLUMN IF NOT EXISTS version_of text;"
               " CREATE TABLE IF NOT EXISTS refold_published.tables (data_schema text PRIMARY KEY,"
               " schema_name text NOT NULL, name text NOT NULL, generation bigint NOT NULL,"
               " position bigint NOT NULL, digest text NOT NULL, rows bigint NOT NULL,"
               " layout text NOT NULL, loaded_at timestamptz NOT NULL, published_at timestamptz)");
    status = rf_sql_run(sql, err);
    return status == RF_OK ? RF_OK
                           : rf_err_context(err, "publishing makes a schema refold_published, and one for each "
                                                 "generation (GRANT CREATE ON DATABASE)");
}

void rf_publish_tell_owner(const rf_sql *sql, rf_err *err)
{
    if (strcmp(rf_postgres_sqlstate(sql->db), "42501") == 0)
        (void)rf_err_suffix(err, "another role has published there: publish as that one, or as a "
                                 "member of it (GRANT)");
}

/* ---- what is to do ---- */

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What is no note is told by its checksum later. */
static void take_note(rf_publish_plan *plan, const char *hex)
{
    rf_buf_clear(&plan->published_note);
    for (; digit_of(hex[0]) >= 0 && digit_of(hex[1]) >= 0; hex += 2)
        rf_buf_append_byte(&plan->published_note, (uint8_t)(digit_of(hex[0]) << 4 | digit_of(hex[1])));
}

static rf_status look_at_pointer(rf_sql *sql, rf_publish_plan *plan, rf_err *err)
{
    rf_postgres_rows *rows = NULL;

    rf_sql_add(sql,
               "SELECT p.generation, p.digest, p.layout, p.data_schema, p.form,"
               " CASE WHEN p.data_schema IS NOT NULL THEN"
               " to_regclass(format('%%I.%%I', p.data_schema, p.name)) IS NOT NULL END,"
               " encode(p.note, 'hex')"
               " FROM refold_published.models p WHERE schema_name = %q AND name = %q",
               plan->place.schema, plan->place.name);
    rf_status status = rf_sql_query(sql, &rows, err);
    if (status != RF_OK)
        rf_publish_tell_owner(sql, err);
    if (status == RF_OK && rf_postgres_row_count(rows) == 1) {
        plan->is_published = true;
        plan->model->generation_before = (uint64_t)rf_postgres_int(rows, 0, 0);
        plan->same_layout = strcmp(rf_postgres_text(rows, 0, 2), plan->description.data) == 0;
        (void)snprintf(plan->published_digest, sizeof plan->published_digest, "%s",
                       rf_postgres_text(rows, 0, 1));
        (void)snprintf(plan->data_schema, sizeof plan->data_schema, "%s",
                       rf_postgres_text(rows, 0, 3));
        take_note(plan, rf_postgres_text(rows, 0, 6));
        if (plan->form == RF_PUBLIC_AS_BEFORE)
            plan->form = strcmp(rf_postgres_text(rows, 0, 4), "table") == 0 ? RF_PUBLIC_TABLE
                                                                             : RF_PUBLIC_VIEW;
        /* Somebody dropped the table itself. */
        if (!plan->shows && plan->data_schema[0] != '\0' && *rf_postgres_text(rows, 0, 5) != 't')
            plan->same_layout = false;
    }
    if (plan->form == RF_PUBLIC_AS_BEFORE)
        plan->form = RF_PUBLIC_VIEW;
    rf_postgres_rows_free(rows);
    return status;
}

/* A table that was loaded before and has these rows. */
static rf_status find_loaded(rf_sql *sql, const rf_publish_plan *plan, char schema_out[64], rf_err *err)
{
    rf_postgres_rows *rows = NULL;

    rf_sql_add(sql,
               "SELECT data_schema FROM refold_published.tables WHERE schema_name = %q AND name = %q"
               " AND digest = %q AND layout = %q"
               " AND to_regclass(format('%%I.%%I', data_schema, name)) IS NOT NULL"
               " ORDER BY loaded_at DESC LIMIT 1",
               plan->place.schema, plan->place.name, plan->model->digest, plan->description.data);
    rf_status status = rf_sql_query(sql, &rows, err);
    if (status == RF_OK && rf_postgres_row_count(rows) == 1)
        (void)snprintf(schema_out, 64, "%s", rf_postgres_text(rows, 0, 0));
    rf_postgres_rows_free(rows);
    return status;
}

static rf_status find_changes(rf_publish_plan *plan, uint32_t index,
                              const rf_sink_postgres_options *options, bool *found_out, rf_err *err)
{
    rf_sink_model *model = plan->model;

    *found_out = false;
    if (!plan->is_published || !plan->same_layout || plan->seen.must_drop || !plan->seen.exists ||
        plan->refuse_changes || options->load_all)
        return RF_OK;
    rf_slice note = rf_buf_slice(&plan->published_note);
    rf_status status = options->source.find_changes(
        options->source.arg, index, model->generation_before, plan->published_digest,
        note.size ? note : (rf_slice){NULL, 0}, &plan->changes, found_out, err);
    if (status != RF_OK || !*found_out)
        return status;
    model->position = plan->changes.position;
    model->rows = plan->changes.rows;
    memcpy(model->digest, plan->changes.digest, sizeof model->digest);
    return RF_OK;
}

/* From the cheapest way to the dearest. */
static rf_status choose_way(rf_sql *sql, rf_publish_plan *plan, uint32_t index,
                            const rf_sink_postgres_options *options, rf_err *err)
{
    rf_sink_model *model = plan->model;
    bool stands = plan->is_published && plan->seen.exists && plan->same_layout;
    char loaded[64] = "";
    bool found = false;
    rf_status status = RF_OK;

    if (stands && !plan->seen.must_drop && !plan->refuse_changes &&
        strcmp(plan->published_digest, model->digest) == 0) {
        model->way = RF_SINK_SAME;
        return RF_OK;
    }
    if (!plan->refuse_changes)
        status = find_loaded(sql, plan, loaded, err);
    if (status == RF_OK && loaded[0] != '\0') {
        memcpy(plan->data_schema, loaded, sizeof plan->data_schema);
        model->way = RF_SINK_SHOWN;
        return RF_OK;
    }
    if (status == RF_OK)
        status = find_changes(plan, index, options, &found, err);
    if (status != RF_OK)
        return status;
    model->way = found ? RF_SINK_CHANGED : RF_SINK_LOADED;
    if (!found)
        plan->data_schema[0] = '\0';
    if (!found && options->changes_only)
        return rf_fail(err, RF_ERR_REFUSED,
                       "%s: generation %llu, which is published, and this one cannot be compared, "
                       "or differ in too much; nothing was published (without --changes all rows "
                       "are copied)",
                       plan->layout.name, (unsigned long long)model->generation_before);
    return RF_OK;
}

rf_status rf_publish_look(rf_publish_plan *plan, uint32_t index,
                          const rf_sink_postgres_options *options, rf_err *err)
{
    rf_sink_model *model = plan->model;
    rf_sink_state state;

    rf_status status = options->source.look(options->source.arg, index, &state, err);
    if (status != RF_OK)
        return status;
    model->position = state.position;
    model->rows = state.rows;
    memcpy(model->digest, state.digest, sizeof model->digest);
    plan->note = state.note;
    return RF_OK;
}

rf_status rf_publish_make(rf_sql *sql, rf_publish_plan *plan, uint32_t index,
                       const rf_sink_postgres_options *options, rf_err *err)
{
    rf_sink_model *model = plan->model;
    const rf_reader_info *info = rf_reader_get_info(model->reader);

    plan->is_published = false;
    plan->form = options->form;
    plan->same_layout = false;
    plan->data_schema[0] = '\0';
    rf_public_free(&plan->seen);
    rf_layout_free(&plan->layout);
    rf_buf_free(&plan->description);
    rf_buf_init(&plan->description, DESCRIPTION_BYTES_MAX);
    rf_buf_free(&plan->published_note);
    rf_buf_init(&plan->published_note, NOTE_BYTES_MAX);
    *model = (rf_sink_model){.reader = model->reader,
                             .public_name = model->public_name,
                             .version_of = model->version_of,
                             .shows = model->shows,
                             .beside = model->beside,
                             .has_colours = model->has_colours};
    rf_status status = rf_publish_look(plan, index, options, err);
    if (status == RF_OK)
        status = rf_layout_make(info, &plan->layout, err);
    if (status != RF_OK)
        return status;
    if (model->public_name)
        plan->layout.name = model->public_name;
    plan->place = (rf_table_place){options->schema ? options->schema : "public", plan->layout.name};
    status = rf_postgres_table_check(&plan->layout, err);
    if (status == RF_OK)
        status = rf_postgres_table_describe(&plan->layout, &plan->description, err);
    if (status == RF_OK)
        status = look_at_pointer(sql, plan, err);
    if (status == RF_OK)
        status = rf_public_look(sql, &plan->layout, plan->place, plan->form, plan->is_published,
                                plan->same_layout, options->replace, &plan->seen, err);
    if (plan->shows)
        model->way = RF_SINK_SHOWN;
    else if (status == RF_OK)
        status = choose_way(sql, plan, index, options, err);
    if (status == RF_OK && plan->seen.dropped.size > 1)
        (void)snprintf(model->note, sizeof model->note, "%s.%s was made anew, and these went: %s",
                       plan->place.schema, plan->place.name, plan->seen.dropped.data);
    else if (status == RF_OK && plan->seen.must_drop)
        (void)snprintf(model->note, sizeof model->note,
                       "%s.%s was made anew, with the grants of the old one", plan->place.schema,
                       plan->place.name);
    return status;
}

void rf_publish_free(rf_publish_plan *plan)
{
    rf_public_free(&plan->seen);
    rf_layout_free(&plan->layout);
    rf_buf_free(&plan->description);
    rf_buf_free(&plan->published_note);
}

/* ---- what is written down ---- */

rf_status rf_publish_name_schema(rf_sql *sql, rf_publish_plan *plan, rf_err *err)
{
    for (unsigned number = 1; number < NAME_TRIES_MAX; number++) {
        char end[40];
        uint64_t found = 0;
        int size = number == 1
                       ? snprintf(end, sizeof end, "_g%llu",
                                  (unsigned long long)plan->layout.info->generation)
                       : snprintf(end, sizeof end, "_g%llu_%u",
                                  (unsigned long long)plan->layout.info->generation, number);
        (void)snprintf(plan->data_schema, sizeof plan->data_schema, "%.*s%s",
                       (int)sizeof plan->data_schema - 1 - size, plan->layout.name, end);
        rf_sql_add(sql, "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = %q) +"
                        " (SELECT count(*) FROM refold_published.tables WHERE data_schema = %q)",
                   plan->data_schema, plan->data_schema);
        rf_status status = rf_sql_count(sql, &found, err);
        if (status != RF_OK || found == 0)
            return status;
    }
    return rf_fail(err, RF_ERR_INPUT, "%s: no name of a schema is free, up to %s",
                   plan->layout.name, plan->data_schema);
}

void rf_publish_record_loaded(rf_sql *sql, const rf_publish_plan *plan)
{
    const rf_sink_model *model = plan->model;

    rf_sql_add(sql, "INSERT INTO refold_published.tables VALUES (%q, %q, %q, %u, ", plan->data_schema,
               plan->place.schema, plan->place.name, plan->layout.info->generation);
    rf_sql_add(sql, "%u, %q, %u, %q, now(), NULL); ", model->position, model->digest, model->rows,
               plan->description.data);
}

void rf_publish_record_published(rf_sql *sql, const rf_publish_plan *plan)
{
    const rf_sink_model *model = plan->model;
    bool is_view = plan->form == RF_PUBLIC_VIEW;

    rf_sql_add(sql,
               "INSERT INTO refold_published.models (schema_name, name, generation, version, position,"
               " digest, rows, form, data_schema, layout, published_at, note, version_of)"
               " VALUES (%q, %q, %u, %u, ",
               plan->place.schema, plan->place.name, plan->layout.info->generation,
               (uint64_t)plan->layout.info->version);
    rf_sql_add(sql, "%u, %q, %u, %q, ", model->position, model->digest, model->rows,
               is_view ? "view" : "table");
    if (is_view)
        rf_sql_add(sql, "%q", plan->data_schema);
    else
        rf_sql_add(sql, "NULL");
    rf_sql_add(sql,
               ", %q, now(), ", plan->description.data);
    if (plan->note.data)
        rf_sql_add(sql, "decode(%x, 'hex')", plan->note);
    else
        rf_sql_add(sql, "NULL");
    if (model->version_of)
        rf_sql_add(sql, ", %q", model->version_of);
    else
        rf_sql_add(sql, ", NULL");
    rf_sql_add(sql,
               ") ON CONFLICT (schema_name, name) DO UPDATE SET generation ="
               " EXCLUDED.generation, version = EXCLUDED.version, position = EXCLUDED.position,"
               " digest = EXCLUDED.digest, rows = EXCLUDED.rows, form = EXCLUDED.form,"
               " data_schema = EXCLUDED.data_schema, layout = EXCLUDED.layout,"
               " published_at = EXCLUDED.published_at, note = EXCLUDED.note,"
               " version_of = EXCLUDED.version_of; ");
    if (is_view)
        rf_sql_add(sql,
                   "UPDATE refold_published.tables SET generation = %u, position = %u, digest = %q, rows ="
                   " %u, published_at = now() WHERE data_schema = %q; ",
                   plan->layout.info->generation, model->position, model->digest, model->rows,
                   plan->data_schema);
    else
        rf_sql_add(sql, "DELETE FROM refold_published.tables WHERE data_schema = %q; ", plan->data_schema);
}

void rf_publish_sweep(rf_sql *sql, const rf_publish_plan *plan, uint32_t keep)
{
    rf_postgres_rows *rows = NULL;

    rf_sql_add(sql,
               "SELECT data_schema FROM (SELECT l.data_schema, l.published_at, row_number() OVER"
               " (ORDER BY l.data_schema = p.data_schema DESC NULLS LAST,"
               " l.published_at DESC NULLS LAST) AS place, l.data_schema IS NOT DISTINCT FROM"
               " p.data_schema AS shown FROM refold_published.tables l LEFT JOIN refold_published.models p"
               " USING (schema_name, name) WHERE l.schema_name = %q AND l.name = %q) x"
               " WHERE NOT shown AND (published_at IS NULL OR place > %u) LIMIT %u",
               plan->place.schema, plan->place.name, (uint64_t)keep, (uint64_t)SWEPT_MAX);
    if (rf_sql_query(sql, &rows, NULL) != RF_OK)
        return;
    for (uint32_t i = 0; i < rf_postgres_row_count(rows) && !rf_postgres_is_lost(sql->db); i++) {
        const char *schema = rf_postgres_text(rows, i, 0);
        rf_sql_add(sql,
                   "BEGIN; SET LOCAL lock_timeout = '1s'; DROP TABLE IF EXISTS %t; DROP SCHEMA IF"
                   " EXISTS %n; DELETE FROM refold_published.tables WHERE data_schema = %q; COMMIT",
                   schema, plan->place.name, schema, schema);
        if (rf_sql_run(sql, NULL) != RF_OK)
            (void)rf_postgres_run(sql->db, "ROLLBACK", NULL);
    }
    rf_postgres_rows_free(rows);
}

/* ---- versions ---- */

rf_status rf_publish_by_version(rf_sql *sql, const rf_sink_model *model, const char *schema,
                                rf_public_form form, bool *is_out, rf_err *err)
{
    const char *name = rf_reader_get_info(model->reader)->name;
    uint64_t tables = 0, versions = 0;

    rf_sql_add(sql,
               "SELECT count(*) FROM refold_published.models WHERE schema_name = %q AND name = %q"
               " AND form = 'table'",
               schema, name);
    rf_status status = rf_sql_count(sql, &tables, err);
    if (status != RF_OK)
        rf_publish_tell_owner(sql, err);
    if (status == RF_OK && !model->has_colours) {
        rf_sql_add(sql,
                   "SELECT count(*) FROM refold_published.models WHERE schema_name = %q"
                   " AND version_of = %q",
                   schema, name);
        status = rf_sql_count(sql, &versions, err);
    }
    bool is_view = form == RF_PUBLIC_VIEW || (form == RF_PUBLIC_AS_BEFORE && tables == 0);
    *is_out = is_view && (model->has_colours || versions > 0);
    return status;
}

static bool is_planned(const char *name, const rf_publish_plan *plans, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!plans[i].model->is_left_out && plans[i].place.name &&
            strcmp(plans[i].place.name, name) == 0)
            return true;
    return false;
}

/* Each in a transaction of its own: a failure of one is no failure of what was published. */
static bool try_alone(rf_sql *sql)
{
    if (rf_postgres_is_lost(sql->db) || rf_sql_run(sql, NULL) == RF_OK)
        return !rf_postgres_is_lost(sql->db);
    (void)rf_postgres_run(sql->db, "ROLLBACK", NULL);
    return false;
}

static void drop_version(rf_sql *sql, const char *schema, const char *name)
{
    rf_postgres_rows *rows = NULL;

    rf_sql_add(sql,
               "BEGIN; SET LOCAL lock_timeout = '1s'; DROP VIEW IF EXISTS %t; DELETE FROM"
               " refold_published.models WHERE schema_name = %q AND name = %q; COMMIT",
               schema, name, schema, name);
    if (!try_alone(sql))
        return;
    rf_sql_add(sql,
               "SELECT data_schema FROM refold_published.tables WHERE schema_name = %q AND name = %q"
               " AND data_schema NOT IN (SELECT data_schema FROM refold_published.models"
               " WHERE data_schema IS NOT NULL)",
               schema, name);
    if (rf_sql_query(sql, &rows, NULL) != RF_OK)
        return;
    for (uint32_t i = 0; i < rf_postgres_row_count(rows); i++) {
        const char *data = rf_postgres_text(rows, i, 0);
        rf_sql_add(sql,
                   "BEGIN; SET LOCAL lock_timeout = '1s'; DROP TABLE IF EXISTS %t; DROP SCHEMA IF"
                   " EXISTS %n; DELETE FROM refold_published.tables WHERE data_schema = %q; COMMIT",
                   data, name, data, data);
        (void)try_alone(sql);
    }
    rf_postgres_rows_free(rows);
}

void rf_publish_drop_retired(rf_sql *sql, const rf_publish_plan *plan, const rf_publish_plan *plans,
                             uint32_t count)
{
    rf_postgres_rows *rows = NULL;

    rf_sql_add(sql,
               "SELECT name FROM refold_published.models WHERE schema_name = %q AND version_of = %q",
               plan->place.schema, plan->place.name);
    if (rf_sql_query(sql, &rows, NULL) != RF_OK)
        return;
    for (uint32_t i = 0; i < rf_postgres_row_count(rows); i++)
        if (!is_planned(rf_postgres_text(rows, i, 0), plans, count))
            drop_version(sql, plan->place.schema, rf_postgres_text(rows, i, 0));
    rf_postgres_rows_free(rows);
}
