#include "sink/postgres_public.h"

#include "sink/postgres_row.h"

#include <stdio.h>

enum { NAMES_BYTES_MAX = 4096, NAMES_SHOWN = 5 };

/* ---- what is there ---- */

static const char *kind_words(char kind)
{
    switch (kind) {
    case 'r':
        return "a table";
    case 'v':
        return "a view";
    case 'm':
        return "a materialized view";
    case 'p':
        return "a partitioned table";
    case 'f':
        return "a foreign table";
    default:
        return "something else";
    }
}

static rf_status look_at_facts(rf_sql *sql, rf_table_place place, rf_public *out, rf_err *err)
{
    rf_sql_add(sql,
               "SELECT c.oid::bigint, c.relkind, CASE WHEN c.relowner <> u.oid"
               " THEN quote_ident(pg_get_userbyid(c.relowner)) END,"
               " array_to_string(c.reloptions, ', ')"
               " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_roles u"
               " WHERE u.rolname = current_user AND n.nspname = %q AND c.relname = %q",
               place.schema, place.name);
    rf_status status = rf_sql_query(sql, &out->facts, err);
    if (status != RF_OK || rf_postgres_row_count(out->facts) == 0)
        return status;
    out->exists = true;
    out->oid = (uint64_t)rf_postgres_int(out->facts, 0, 0);
    out->is_table = *rf_postgres_text(out->facts, 0, 1) == 'r';
    rf_sql_add(sql,
               "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
               " WHERE attrelid = %u AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
               out->oid);
    return rf_sql_query(sql, &out->columns, err);
}

/* Owner, grants (of columns that stay) and comment, as statements. */
static rf_status look_at_grants(rf_sql *sql, const rf_layout *layout, rf_table_place place,
                                rf_public_form form, rf_public *out, rf_err *err)
{
    const char *kind = form == RF_PUBLIC_TABLE ? "TABLE" : "VIEW"; /* that it will be */
    rf_buf name;
    rf_sql quoted = {0};

    rf_sql_begin(&quoted, sql->db);
    rf_sql_add(&quoted, "%t", place.schema, place.name);
    rf_buf_init(&name, NAMES_BYTES_MAX);
    rf_buf_append_slice(&name, rf_buf_slice(&quoted.text));
    rf_buf_append_byte(&name, '\0');
    rf_status status = quoted.status == RF_OK ? rf_buf_check(&name, "a name", err) : quoted.status;
    if (status == RF_OK) {
        /* The order matters: an owner's grants are given by the owner. */
        rf_sql_add(sql,
                   "SELECT line FROM (SELECT 1 AS step, format('GRANT %%s ON %%s TO %%s%%s',"
                   " a.privilege_type, %q::text, CASE a.grantee WHEN 0 THEN 'PUBLIC'"
                   " ELSE quote_ident(pg_get_userbyid(a.grantee)) END,"
                   " CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS line"
                   " FROM pg_class c, aclexplode(c.relacl) a"
                   " WHERE c.oid = %u AND a.grantee <> c.relowner",
                   name.data, out->oid);
        rf_sql_add(sql,
                   " UNION ALL SELECT 2, format('GRANT %%s(%%I) ON %%s TO %%s%%s',"
                   " a.privilege_type, t.attname, %q::text, CASE a.grantee WHEN 0 THEN 'PUBLIC'"
                   " ELSE quote_ident(pg_get_userbyid(a.grantee)) END,"
                   " CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
                   " FROM pg_attribute t, aclexplode(t.attacl) a"
                   " WHERE t.attrelid = %u AND t.attnum > 0 AND NOT t.attisdropped"
                   " AND t.attname IN (",
                   name.data, out->oid);
        for (uint32_t i = 0; i < layout->column_count; i++)
            rf_sql_add(sql, "%s%q", i ? ", " : "", layout->columns[i].name);
        rf_sql_add(sql,
                   ") UNION ALL SELECT 3, format('COMMENT ON %s %%s IS %%L', %q::text,"
                   " obj_description(%u, 'pg_class'))"
                   " WHERE obj_description(%u, 'pg_class') IS NOT NULL",
                   kind, name.data, out->oid, out->oid);
        rf_sql_add(sql,
                   " UNION ALL SELECT 4, format('ALTER %s %%s OWNER TO %%I', %q::text,"
                   " pg_get_userbyid(c.relowner)) FROM pg_class c, pg_roles u WHERE c.oid = %u"
                   " AND u.rolname = current_user AND c.relowner <> u.oid) x ORDER BY step, line",
                   kind, name.data, out->oid);
        status = rf_sql_query(sql, &out->restore, err);
    } else if (quoted.status != RF_OK && err) {
        *err = quoted.err;
    }
    rf_buf_free(&name);
    rf_sql_end(&quoted);
    return status;
}

/* The column of a name among those that are there; its count: none. */
static uint32_t find_column(const rf_public *seen, const char *name)
{
    uint32_t count = rf_postgres_row_count(seen->columns);
    uint32_t at = 0;

    while (at < count && strcmp(rf_postgres_text(seen->columns, at, 0), name) != 0)
        at++;
    return at;
}

static const rf_layout_column *find_layout(const rf_layout *layout, const char *name)
{
    for (uint32_t i = 0; i < layout->column_count; i++)
        if (strcmp(layout->columns[i].name, name) == 0)
            return &layout->columns[i];
    return NULL;
}

/* The first column that is there and cannot stay. */
static const char *column_in_the_way(const rf_public *seen, const rf_layout *layout)
{
    for (uint32_t i = 0; i < rf_postgres_row_count(seen->columns); i++) {
        const char *name = rf_postgres_text(seen->columns, i, 0);
        const rf_layout_column *column = find_layout(layout, name);
        if (!column || strcmp(rf_postgres_text(seen->columns, i, 1),
                              rf_postgres_type_name(column->kind)) != 0)
            return name;
    }
    return NULL;
}

/* ---- what stands in the way ---- */

static rf_status find_dependents(rf_sql *sql, const rf_public *seen, rf_postgres_rows **rows_out,
                                 rf_err *err)
{
    rf_sql_add(sql,
               "SELECT DISTINCT format('%%I.%%I', n.nspname, v.relname) FROM pg_depend d"
               " JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class"
               " JOIN pg_namespace n ON n.oid = v.relnamespace"
               " WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass"
               " AND d.refobjid = %u AND v.oid <> %u"
               " UNION SELECT conrelid::regclass::text FROM pg_constraint WHERE confrelid = %u"
               " ORDER BY 1",
               seen->oid, seen->oid, seen->oid);
    return rf_sql_query(sql, rows_out, err);
}

static rf_status judge_dependents(rf_sql *sql, rf_table_place place, const char *why, bool replace,
                                  rf_public *out, rf_err *err)
{
    rf_postgres_rows *rows = NULL;

    rf_status status = find_dependents(sql, out, &rows, err);
    uint32_t count = status == RF_OK ? rf_postgres_row_count(rows) : 0;
    for (uint32_t i = 0; i < count && i < NAMES_SHOWN; i++)
        rf_buf_append_format(&out->dropped, "%s%s", i ? ", " : "", rf_postgres_text(rows, i, 0));
    if (count > NAMES_SHOWN)
        rf_buf_append_format(&out->dropped, " and %u more", count - NAMES_SHOWN);
    rf_buf_append_byte(&out->dropped, '\0');
    if (status == RF_OK && count > 0 && !replace)
        status = rf_fail(err, RF_ERR_REFUSED,
                         "%s.%s has to be made anew (%s), and %s stand%s on it; nothing was "
                         "published (--replace drops %s too)",
                         place.schema, place.name, why, out->dropped.data, count > 1 ? "" : "s",
                         count > 1 ? "them" : "it");
    rf_postgres_rows_free(rows);
    return status;
}

static rf_status judge(rf_sql *sql, const rf_layout *layout, rf_table_place place,
                       rf_public_form form, bool published, bool same_layout, bool replace,
                       rf_public *out, rf_err *err)
{
    char kind = *rf_postgres_text(out->facts, 0, 1);
    char why[160];

    if (kind != 'r' && kind != 'v')
        return rf_fail(err, RF_ERR_REFUSED, "%s.%s is %s; nothing was published", place.schema,
                       place.name, kind_words(kind));
    if (!published && !replace)
        return rf_fail(err, RF_ERR_REFUSED,
                       "%s.%s is %s that refold did not publish; nothing was published (--replace "
                       "takes its place)",
                       place.schema, place.name, kind_words(kind));
    const char *column = column_in_the_way(out, layout);
    bool other_form = out->is_table != (form == RF_PUBLIC_TABLE);
    out->must_drop =
        column || other_form || !published || (form == RF_PUBLIC_TABLE && !same_layout);
    if (!out->must_drop)
        return RF_OK;
    rf_buf_free(&out->dropped);
    rf_buf_init(&out->dropped, NAMES_BYTES_MAX);
    if (out->is_table && !other_form && published && !column)
        (void)snprintf(why, sizeof why, "its columns or indexes are others");
    else if (column && !other_form)
        (void)snprintf(why, sizeof why, "column %.63s went or has another type", column);
    else
        (void)snprintf(why, sizeof why, "it is %s", kind_words(kind));
    return judge_dependents(sql, place, why, replace, out, err);
}

rf_status rf_public_look(rf_sql *sql, const rf_layout *layout, rf_table_place place,
                         rf_public_form form, bool published, bool same_layout, bool replace,
                         rf_public *out, rf_err *err)
{
    *out = (rf_public){0};
    rf_buf_init(&out->dropped, NAMES_BYTES_MAX);
    rf_status status = look_at_facts(sql, place, out, err);
    if (status == RF_OK && out->exists)
        status = look_at_grants(sql, layout, place, form, out, err);
    if (status == RF_OK && out->exists)
        status = judge(sql, layout, place, form, published, same_layout, replace, out, err);
    if (status != RF_OK)
        rf_public_free(out);
    return status;
}

void rf_public_free(rf_public *seen)
{
    rf_postgres_rows_free(seen->columns);
    rf_postgres_rows_free(seen->restore);
    rf_postgres_rows_free(seen->facts);
    rf_buf_free(&seen->dropped);
    *seen = (rf_public){0};
}

/* ---- what is done ---- */

static void add_drop(rf_sql *sql, rf_table_place place, const rf_public *before)
{
    bool others = before->dropped.size > 1;
    rf_sql_add(sql, "DROP %s %t%s; ", before->is_table ? "TABLE" : "VIEW", place.schema, place.name,
               others ? " CASCADE" : "");
}

/* Columns in the order that the view has, then those that it has not yet. */
static void add_view(rf_sql *sql, const rf_layout *layout, rf_table_place place,
                     const rf_public *before, rf_table_place data)
{
    bool keeps = before->exists && !before->must_drop;
    uint32_t kept = keeps ? rf_postgres_row_count(before->columns) : 0;
    bool has_options =
        before->exists && !before->is_table && !rf_postgres_is_null(before->facts, 0, 3);

    rf_sql_add(sql, "CREATE OR REPLACE VIEW %t", place.schema, place.name);
    if (has_options)
        rf_sql_add(sql, " WITH (%s)", rf_postgres_text(before->facts, 0, 3));
    rf_sql_add(sql, " AS SELECT ");
    for (uint32_t i = 0; i < kept; i++)
        rf_sql_add(sql, "%s%n", i ? ", " : "", rf_postgres_text(before->columns, i, 0));
    for (uint32_t i = 0; i < layout->column_count; i++)
        if (!keeps || find_column(before, layout->columns[i].name) == kept)
            rf_sql_add(sql, "%s%n", i || kept ? ", " : "", layout->columns[i].name);
    rf_sql_add(sql, " FROM %t; ", data.schema, data.name);
}

rf_status rf_public_show(rf_sql *sql, const rf_layout *layout, rf_table_place place,
                         rf_public_form form, const rf_public *before, rf_table_place data,
                         rf_err *err)
{
    bool anew = before->exists && before->must_drop;

    if (anew)
        add_drop(sql, place, before);
    if (form == RF_PUBLIC_TABLE)
        rf_sql_add(sql, "ALTER TABLE %t SET SCHEMA %n; DROP SCHEMA %n; ", data.schema, data.name,
                   place.schema, data.schema);
    else
        add_view(sql, layout, place, before, data);
    /* A view reads with its owner's rights. */
    if (form == RF_PUBLIC_VIEW && before->exists && !rf_postgres_is_null(before->facts, 0, 2)) {
        const char *owner = rf_postgres_text(before->facts, 0, 2);
        rf_sql_add(sql, "GRANT USAGE ON SCHEMA %n TO %s; GRANT SELECT ON %t TO %s; ", data.schema,
                   owner, data.schema, data.name, owner);
    }
    rf_status status = rf_sql_run(sql, err);
    for (uint32_t i = 0; status == RF_OK && anew && i < rf_postgres_row_count(before->restore);
         i++) {
        rf_sql_add(sql, "%s", rf_postgres_text(before->restore, i, 0));
        status = rf_sql_run(sql, err);
    }
    return status;
}
