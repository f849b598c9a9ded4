/* See postgres_bound.h. */
#include "source/postgres_bound.h"

#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { SQL_SIZE_MAX = 1 << 20, PAUSE_MS_MIN = 5, PAUSE_MS_MAX = 200, USER_OID_MIN = 16384 };

/* Those that may hold a position: a lock of a writer, on the table or on where positions are drawn. $1: tables, $2: sequences,
 * $3: only these transactions, all where it is null. */
static const char writers_sql[] =
    "SELECT DISTINCT l.virtualtransaction, l.pid, "
    "(SELECT a.application_name FROM pg_catalog.pg_stat_activity a WHERE a.pid = l.pid LIMIT 1) "
    "FROM pg_catalog.pg_locks l WHERE l.locktype = 'relation' AND l.granted "
    "AND l.database = (SELECT oid FROM pg_catalog.pg_database "
    "  WHERE datname = pg_catalog.current_database()) "
    "AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', "
    "  'AccessExclusiveLock') "
    "AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid() "
    "AND CASE WHEN $1::oid[] IS NULL THEN l.relation >= 16384 "
    "  WHEN l.relation = ANY ($1::oid[]) THEN true "
    "  WHEN $2::oid[] IS NOT NULL THEN l.relation = ANY ($2::oid[]) "
    "  ELSE l.relation IN (SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relkind = 'S') END "
    "AND ($3::text[] IS NULL OR l.virtualtransaction = ANY ($3::text[])) ORDER BY 2, 1";

static rf_status query_one(rf_postgres *postgres, rf_buf *sql, rf_postgres_rows **rows_out,
                           rf_err *err)
{
    rf_buf_append_byte(sql, '\0');
    rf_status status = rf_buf_check(sql, "an SQL statement", err);

    if (status == RF_OK)
        status = rf_postgres_query(postgres, sql->data, NULL, 0, rows_out, err);
    if (status == RF_OK && rf_postgres_row_count(*rows_out) != 1) {
        rf_postgres_rows_free(*rows_out);
        *rows_out = NULL;
        status = rf_fail(err, RF_ERR_INPUT, "%s: no row where there is always one",
                         rf_postgres_name(postgres));
    }
    return status;
}

/* What stands behind `after`, and is an event. */
static void where_after(const rf_postgres_layout *layout, rf_postgres_mark after, rf_buf *sql)
{
    if (!layout->transaction)
        rf_buf_append_format(sql, " WHERE %s > %" PRId64, layout->position, after.position);
    else if (after.transaction == 0 && after.position == 0)
        rf_buf_append_format(sql, " WHERE true");
    else
        rf_buf_append_format(sql, " WHERE (%s, %s) > ('%" PRId64 "'::xid8, %" PRId64 ")",
                             layout->transaction, layout->position, after.transaction,
                             after.position);
    rf_buf_append(sql, layout->filter, strlen(layout->filter));
}

void rf_postgres_bound_where(const rf_postgres_layout *layout, rf_postgres_mark after,
                             rf_postgres_mark bound, rf_buf *sql)
{
    where_after(layout, after, sql);
    if (layout->transaction)
        rf_buf_append_format(sql, " AND %s <= '%" PRId64 "'::xid8", layout->transaction,
                             bound.transaction);
    else
        rf_buf_append_format(sql, " AND %s <= %" PRId64, layout->position, bound.position);
}

rf_status rf_postgres_bound_look(rf_postgres *postgres, const rf_postgres_layout *layout,
                                 rf_postgres_mark after, bool *any_out, rf_postgres_mark *highest_out,
                                 rf_err *err)
{
    rf_postgres_rows *rows = NULL;
    rf_buf sql;

    rf_buf_init(&sql, SQL_SIZE_MAX);
    if (layout->transaction) {
        rf_buf_append_format(&sql, "SELECT %s::text::int8 FROM %s", layout->transaction,
                             layout->table);
        where_after(layout, after, &sql);
        rf_buf_append_format(&sql, " ORDER BY %s DESC LIMIT 1", layout->transaction);
        /* An order by one column, for its index; a row also where there is none. */
        rf_buf inner = sql;
        rf_buf_init(&sql, SQL_SIZE_MAX);
        rf_buf_append_format(&sql, "SELECT max(q.t) FROM (%.*s) AS q (t)", (int)inner.size,
                             inner.data ? inner.data : "");
        rf_buf_free(&inner);
    } else {
        rf_buf_append_format(&sql, "SELECT max(%s)::int8 FROM %s", layout->position,
                             layout->table ? layout->table : layout->from);
        where_after(layout, after, &sql);
    }
    rf_status status = query_one(postgres, &sql, &rows, err);
    rf_buf_free(&sql);
    if (status != RF_OK)
        return status;
    *any_out = !rf_postgres_is_null(rows, 0, 0);
    int64_t value = rf_postgres_int(rows, 0, 0);
    *highest_out = layout->transaction ? (rf_postgres_mark){value, 0} : (rf_postgres_mark){0, value};
    rf_postgres_rows_free(rows);
    return RF_OK;
}

rf_status rf_postgres_bound_foreign(rf_postgres *postgres, const rf_postgres_layout *layout,
                                    bool *foreign_out, rf_err *err)
{
    rf_postgres_mark highest;
    rf_postgres_rows *rows = NULL;
    bool any;

    *foreign_out = false;
    rf_status status =
        rf_postgres_bound_look(postgres, layout, (rf_postgres_mark){0, 0}, &any, &highest, err);
    if (status != RF_OK || !any)
        return status;
    /* Looked at later, the snapshot has the ids of all that is visible. */
    status = rf_postgres_query(
        postgres, "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::int8",
        NULL, 0, &rows, err);
    if (status == RF_OK)
        *foreign_out = highest.transaction >= rf_postgres_int(rows, 0, 0);
    rf_postgres_rows_free(rows);
    return status;
}

typedef struct bound_wait {
    rf_postgres *postgres;
    int64_t wait_ms;
    double begun;
    int pause_ms;
} bound_wait;

/* Sleeps a little; RF_ERR_UNREACHABLE when all the time is used, with what was waited for. */
static rf_status wait_step(bound_wait *wait, const char *for_what, rf_err *err)
{
    double waited_ms = (rf_clock_seconds() - wait->begun) * 1000;
    bool ready;

    if (wait->wait_ms >= 0 && waited_ms >= (double)wait->wait_ms)
        return rf_fail(err, RF_ERR_UNREACHABLE,
                       "%s: waited %.0f s for %s, which may still add an earlier event; "
                       "nothing is skipped: import again, or wait longer (--wait-writers)",
                       rf_postgres_name(wait->postgres), waited_ms / 1000, for_what);
    rf_status status = rf_postgres_wait(&wait->postgres, 1, wait->pause_ms, &ready, err);
    if (status == RF_OK && ready) /* nothing to read: the connection's end, or a notification */
        status = rf_postgres_notified(wait->postgres, &ready, err);
    wait->pause_ms = wait->pause_ms * 2 > PAUSE_MS_MAX ? PAUSE_MS_MAX : wait->pause_ms * 2;
    return status;
}

/* The transactions of the rows as an array of SQL. */
static rf_status transactions_keep(const rf_postgres_rows *rows, rf_buf *array, rf_err *err)
{
    rf_buf_clear(array);
    for (uint32_t i = 0; i < rf_postgres_row_count(rows); i++)
        rf_buf_append_format(array, "%s%s", i ? "," : "{", rf_postgres_text(rows, i, 0));
    rf_buf_append(array, "}", 2);
    return rf_buf_check(array, "an SQL statement", err);
}

static void describe_writer(const rf_postgres_rows *rows, char out[160])
{
    const char *application = rf_postgres_text(rows, 0, 2);
    uint32_t count = rf_postgres_row_count(rows);
    char others[48] = "";

    if (count > 1)
        (void)snprintf(others, sizeof others, " and %" PRIu32 " more", count - 1);
    if (rf_postgres_is_null(rows, 0, 1))
        (void)snprintf(out, 160, "a prepared transaction%s", others);
    else
        (void)snprintf(out, 160, "the transaction of process %s%s%.60s%s%s",
                       rf_postgres_text(rows, 0, 1), *application ? " (" : "", application,
                       *application ? ")" : "", others);
}

/* Waits until all have ended that now hold a lock of a writer. */
static rf_status writers_wait(rf_postgres *postgres, const rf_postgres_layout *layout,
                              int64_t wait_ms, rf_err *err)
{
    bound_wait wait = {postgres, wait_ms, rf_clock_seconds(), PAUSE_MS_MIN};
    rf_status status = RF_OK;
    rf_buf array;

    rf_buf_init(&array, SQL_SIZE_MAX);
    for (bool first = true, done = false; !done && status == RF_OK; first = false) {
        const char *parameters[] = {layout->relations, layout->sequences, first ? NULL : array.data};
        rf_postgres_rows *rows = NULL;
        status = rf_postgres_query(postgres, writers_sql, parameters, 3, &rows, err);
        if (status != RF_OK)
            break;
        done = rf_postgres_row_count(rows) == 0;
        if (!done) {
            char who[160];
            describe_writer(rows, who);
            status = transactions_keep(rows, &array, err);
            if (status == RF_OK)
                status = wait_step(&wait, who, err);
        }
        rf_postgres_rows_free(rows);
    }
    rf_buf_free(&array);
    return status;
}

/* Waits until every transaction up to `highest` has ended. */
static rf_status transactions_wait(rf_postgres *postgres, int64_t highest, int64_t wait_ms,
                                   rf_err *err)
{
    bound_wait wait = {postgres, wait_ms, rf_clock_seconds(), PAUSE_MS_MIN};

    for (;;) {
        rf_postgres_rows *rows = NULL;
        rf_status status = rf_postgres_query(
            postgres,
            "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text::int8",
            NULL, 0, &rows, err);
        if (status != RF_OK)
            return status;
        int64_t xmin = rf_postgres_int(rows, 0, 0);
        rf_postgres_rows_free(rows);
        if (xmin > highest)
            return RF_OK;
        char who[80];
        (void)snprintf(who, sizeof who, "transaction %" PRId64, xmin);
        status = wait_step(&wait, who, err);
        if (status != RF_OK)
            return status;
    }
}

static rf_status refuse_standby(rf_postgres *postgres, rf_err *err)
{
    rf_postgres_rows *rows = NULL;
    rf_status status =
        rf_postgres_query(postgres, "SELECT pg_catalog.pg_is_in_recovery()", NULL, 0, &rows, err);

    if (status == RF_OK && rf_postgres_text(rows, 0, 0)[0] == 't')
        status = rf_fail(err, RF_ERR_INPUT,
                         "%s is a standby, which does not know who still writes: an event could be "
                         "skipped; read from the primary",
                         rf_postgres_name(postgres));
    rf_postgres_rows_free(rows);
    return status;
}

/* The highest position, read while no writer holds one that is not visible. */
static rf_status look_strictly(rf_postgres *postgres, const rf_postgres_layout *layout,
                               const rf_postgres_bound_options *options, rf_postgres_mark after,
                               bool *any_out, rf_postgres_mark *highest_out, rf_err *err)
{
    rf_buf sql;

    if (!layout->table)
        return rf_fail(err, RF_ERR_USAGE,
                       "--strict locks the table of a preset; whose tables a query reads is not known");
    rf_buf_init(&sql, SQL_SIZE_MAX);
    rf_buf_append_format(&sql, "BEGIN; SET LOCAL lock_timeout = %" PRId64 "; LOCK TABLE %.*s IN SHARE MODE",
                         options->wait_ms < 0 ? 0 : options->wait_ms > 0 ? options->wait_ms : 1,
                         (int)(strlen(layout->table) - strlen(" AS e")), layout->table);
    rf_buf_append_byte(&sql, '\0');
    rf_status status = rf_buf_check(&sql, "an SQL statement", err);
    if (status == RF_OK)
        status = rf_postgres_run(postgres, sql.data, err);
    rf_buf_free(&sql);
    if (status == RF_OK)
        status = rf_postgres_bound_look(postgres, layout, after, any_out, highest_out, err);
    if (status == RF_OK)
        return rf_postgres_run(postgres, "COMMIT", err);
    if (strcmp(rf_postgres_sqlstate(postgres), "55P03") == 0)
        (void)rf_err_suffix(err, "--strict waited for writers in vain, nothing is skipped");
    if (!rf_postgres_is_lost(postgres))
        (void)rf_postgres_run(postgres, "ROLLBACK", NULL);
    return status;
}

rf_status rf_postgres_bound_find(rf_postgres *postgres, const rf_postgres_layout *layout,
                                 const rf_postgres_bound_options *options, rf_postgres_mark after,
                                 bool *any_out, rf_postgres_mark *bound_out, rf_err *err)
{
    rf_status status = layout->transaction ? RF_OK : refuse_standby(postgres, err);

    if (status != RF_OK)
        return status;
    status = options->strict
                 ? look_strictly(postgres, layout, options, after, any_out, bound_out, err)
                 : rf_postgres_bound_look(postgres, layout, after, any_out, bound_out, err);
    if (status != RF_OK || !*any_out)
        return status;
    if (layout->transaction)
        return transactions_wait(postgres, bound_out->transaction, options->wait_ms, err);
    return writers_wait(postgres, layout, options->wait_ms, err);
}
