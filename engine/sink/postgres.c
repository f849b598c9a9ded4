#include "sink/postgres.h"

#include "base/clock.h"
#include "base/wait_note.h"
#include "sink/postgres_plan.h"

#include <stdlib.h>
#include <time.h>

enum {
    KEEP_DEFAULT = 2,
    WAIT_SECONDS_DEFAULT = 60, /* for readers of what is replaced */
    PAUSE_MS = 300,        /* in which queries that wait behind the publication go on */
    LOCK_POLL_MS = 200,
    LOOKS_MAX = 100,       /* at a read model, until it and a cursor are at one position */
    LOCK_NUMBER = 1919247983, /* "refo" */
};

struct publication {
    const rf_sink_postgres_options *options;
    const char *schema;
    rf_sql sql;
    rf_publish_plan *plans;
    uint32_t count;
    rf_sink_watch watch;
    bool commits; /* the one transaction: from then on a lost connection leaves it open what came of it */
};

static rf_status pause_for(const struct publication *publication, long milliseconds, rf_err *err)
{
    const volatile int *cancel = publication->options->run->cancel;
    struct timespec pause = {0, milliseconds * 1000000};

    (void)nanosleep(&pause, NULL);
    if (cancel && *cancel)
        return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted");
    return RF_OK;
}

/* One publication at a time into a schema: the lock goes with the connection. */
static rf_status try_lock(struct publication *publication, rf_err *err)
{
    int64_t wait_ms = publication->options->run->wait_lock_ms;
    double end = rf_clock_seconds() + (double)wait_ms / 1000;
    rf_status status = RF_OK;

    for (;;) {
        uint64_t locked = 0;
        rf_sql_add(&publication->sql, "SELECT pg_try_advisory_lock(%u, hashtext(%q))::int::bigint",
                   (uint64_t)LOCK_NUMBER, publication->schema);
        status = rf_sql_count(&publication->sql, &locked, err);
        if (status != RF_OK || locked)
            return status;
        if (wait_ms >= 0 && rf_clock_seconds() >= end)
            return rf_fail(err, RF_ERR_LOCKED, "another export publishes to the schema %s of %s",
                           publication->schema, rf_postgres_name(publication->sql.db));
        status = pause_for(publication, LOCK_POLL_MS, err);
        if (status != RF_OK)
            return status;
    }
}

static rf_status lock(struct publication *publication, rf_err *err)
{
    rf_wait_note wait = {.what = "another export publishes to the same schema",
                    .is_bounded = publication->options->run->wait_lock_ms >= 0};

    rf_wait_note_begin(&wait);
    rf_status status = try_lock(publication, err);
    rf_wait_note_end(&wait);
    return status;
}

static rf_status roll_back(struct publication *publication, rf_status status)
{
    if (!rf_postgres_is_lost(publication->sql.db))
        (void)rf_postgres_run(publication->sql.db, "ROLLBACK", NULL);
    return status;
}

/* While the server works on its own: progress goes on, as a sign of life. */
static rf_status on_wait(void *arg, rf_err *err)
{
    struct publication *publication = arg;
    return rf_sink_watch_look(&publication->watch, err);
}

/* A cursor, and what the read model is at the position that it has: a generation that is followed moves on. */
static rf_status open_cursor(const struct publication *publication, rf_publish_plan *plan,
                             rf_cursor **cursor_out, rf_err *err)
{
    const uint32_t index = (uint32_t)(plan - publication->plans);
    rf_sink_model *model = plan->model;

    for (int tries = 0;; tries++) {
        rf_cursor *cursor = NULL;
        rf_status status = rf_cursor_open(model->reader, NULL, &cursor, err);
        if (status == RF_OK)
            status = rf_publish_look(plan, index, publication->options, err);
        const rf_reader_info *info = rf_reader_get_info(model->reader);
        bool same = status == RF_OK && strcmp(info->digest, model->digest) == 0;
        if (status == RF_OK && (same || tries == LOOKS_MAX)) {
            model->position = info->position;
            model->rows = info->rows;
            memcpy(model->digest, info->digest, sizeof model->digest);
            if (!same)
                plan->note = (rf_slice){NULL, 0};
            *cursor_out = cursor;
            return RF_OK;
        }
        rf_cursor_close(cursor);
        if (status != RF_OK)
            return status;
    }
}

/* One generation, in a transaction of its own. */
static rf_status load(struct publication *publication, rf_publish_plan *plan, rf_err *err)
{
    rf_sql *sql = &publication->sql;
    rf_cursor *cursor = NULL;

    rf_status status = rf_publish_name_schema(sql, plan, err);
    if (status == RF_OK)
        status = open_cursor(publication, plan, &cursor, err);
    if (status != RF_OK)
        return status;
    rf_table_place place = {plan->data_schema, plan->place.name};
    rf_sql_add(sql, "BEGIN; CREATE SCHEMA %n", plan->data_schema);
    status = rf_sql_run(sql, err);
    if (status == RF_OK)
        status = rf_postgres_table_load(sql, &plan->layout, plan->model->reader, cursor, place,
                                        &publication->watch, err);
    rf_cursor_close(cursor);
    if (status != RF_OK)
        return roll_back(publication, status);
    rf_publish_record_loaded(sql, plan);
    rf_sql_add(sql, "COMMIT");
    status = rf_sql_run(sql, err);
    return status == RF_OK ? RF_OK : roll_back(publication, status);
}

/* The view of a read model shows the table of its live version, which is what it is to be by now. */
static rf_status apply_shown(struct publication *publication, rf_publish_plan *plan, rf_err *err)
{
    const rf_publish_plan *live = plan->shows;
    rf_sink_model *model = plan->model;
    rf_status status = RF_OK;

    model->position = live->model->position;
    model->rows = live->model->rows;
    memcpy(model->digest, live->model->digest, sizeof model->digest);
    plan->note = live->note;
    plan->changes = live->changes;
    if (plan->is_published && plan->seen.exists && plan->same_layout && !plan->seen.must_drop &&
        strcmp(plan->data_schema, live->data_schema) == 0) {
        model->way = live->model->way == RF_SINK_CHANGED ? RF_SINK_CHANGED : RF_SINK_SAME;
    } else {
        model->way = live->model->way == RF_SINK_LOADED ? RF_SINK_LOADED : RF_SINK_SHOWN;
        memcpy(plan->data_schema, live->data_schema, sizeof plan->data_schema);
        status = rf_public_show(&publication->sql, &plan->layout, plan->place, plan->form,
                                &plan->seen, (rf_table_place){live->data_schema, live->place.name},
                                err);
    }
    if (status != RF_OK)
        return status;
    rf_publish_record_published(&publication->sql, plan);
    return rf_sql_run(&publication->sql, err);
}

/* What readers see of one read model becomes another. */
static rf_status apply(struct publication *publication, rf_publish_plan *plan, bool *fits_out, rf_err *err)
{
    rf_sql *sql = &publication->sql;
    rf_table_place data = {plan->data_schema, plan->place.name};
    rf_sink_model *model = plan->model;
    bool is_table = plan->form == RF_PUBLIC_TABLE;
    rf_status status = RF_OK;

    *fits_out = true;
    if (plan->shows)
        return apply_shown(publication, plan, err);
    switch (model->way) {
    case RF_SINK_SAME:
        break;
    case RF_SINK_CHANGED:
        status = rf_postgres_table_change(sql, &plan->layout, model->reader,
                                          is_table ? plan->place : data, plan->changes.items,
                                          plan->changes.count, plan->changes.rows, fits_out, err);
        break;
    case RF_SINK_LOADED:
    case RF_SINK_SHOWN:
        if (is_table && plan->seen.exists && !plan->seen.must_drop) {
            status = rf_postgres_table_align(sql, &plan->layout, plan->place, data, err);
            rf_sql_add(sql, "DROP TABLE %t; DROP SCHEMA %n; ", data.schema, data.name,
                       data.schema);
        } else {
            status = rf_public_show(sql, &plan->layout, plan->place, plan->form, &plan->seen, data,
                                    err);
        }
        break;
    }
    if (status != RF_OK || !*fits_out)
        return status;
    rf_publish_record_published(sql, plan);
    return rf_sql_run(sql, err);
}

/* Whether waiting and trying again may help: a lock was not got in time, or a deadlock. */
static bool is_in_the_way(const struct publication *publication)
{
    static const char *const states[] = {"55P03", "40P01", "40001"};
    const char *state = rf_postgres_sqlstate(publication->sql.db);

    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
        if (strcmp(state, states[i]) == 0)
            return !rf_postgres_is_lost(publication->sql.db);
    return false;
}

/* The one transaction. *blocked_out tells whether trying again may help. */
static rf_status publish_once(struct publication *publication, bool *fits_out, bool *blocked_out,
                              rf_err *err)
{
    rf_status status = rf_postgres_run(publication->sql.db,
                                       "BEGIN; SET LOCAL lock_timeout = '1s'", err);

    *fits_out = true;
    for (uint32_t i = 0; status == RF_OK && *fits_out && i < publication->count; i++) {
        if (publication->plans[i].model->is_left_out)
            continue;
        status = apply(publication, &publication->plans[i], fits_out, err);
        if (!*fits_out)
            publication->plans[i].refuse_changes = true;
        if (status != RF_OK && publication->plans[i].is_published)
            rf_publish_tell_owner(&publication->sql, err);
    }
    publication->commits = status == RF_OK && *fits_out;
    if (publication->commits)
        status = rf_postgres_run(publication->sql.db, "COMMIT", err);
    *blocked_out = status != RF_OK && is_in_the_way(publication);
    return status == RF_OK && *fits_out ? RF_OK : roll_back(publication, status);
}

static rf_status publish(struct publication *publication, bool *fits_out, rf_err *err)
{
    uint32_t wait_s = publication->options->wait_readers_s;
    wait_s = wait_s ? wait_s : WAIT_SECONDS_DEFAULT;
    double end = rf_clock_seconds() + wait_s;

    for (;;) {
        bool blocked = false;
        rf_status status = publish_once(publication, fits_out, &blocked, err);
        if (status == RF_OK || !blocked)
            return status;
        if (rf_clock_seconds() >= end) {
            (void)rf_err_context(err, "queries that read it stood in the way for %u s", wait_s);
            return status;
        }
        status = pause_for(publication, PAUSE_MS, err);
        if (status != RF_OK)
            return status;
    }
}

static rf_status run(struct publication *publication, rf_err *err)
{
    bool fits = false;

    /* Twice, where a table was not what its pointer says: then it is loaded whole. */
    for (int tries = 0; !fits && tries < 2; tries++) {
        rf_status status = RF_OK;
        uint64_t total = 0;
        for (uint32_t i = 0; status == RF_OK && i < publication->count; i++) {
            if (publication->plans[i].model->is_left_out)
                continue;
            status = rf_publish_make(&publication->sql, &publication->plans[i], i,
                                  publication->options, err);
            if (publication->plans[i].model->way == RF_SINK_LOADED)
                total += publication->plans[i].model->rows;
        }
        rf_sink_watch_begin(&publication->watch, publication->options->run, total);
        for (uint32_t i = 0; status == RF_OK && i < publication->count; i++)
            if (!publication->plans[i].model->is_left_out &&
                publication->plans[i].model->way == RF_SINK_LOADED)
                status = load(publication, &publication->plans[i], err);
        if (status == RF_OK)
            status = rf_sink_watch_look(&publication->watch, err);
        if (status == RF_OK)
            status = publish(publication, &fits, err);
        if (status != RF_OK)
            return status;
    }
    RF_ASSERT(fits);
    return RF_OK;
}

static void count_changes(rf_publish_plan *plan)
{
    for (uint64_t i = 0; plan->model->way == RF_SINK_CHANGED && i < plan->changes.count; i++) {
        plan->model->upserted += plan->changes.items[i].row.data != NULL;
        plan->model->deleted += plan->changes.items[i].row.data == NULL;
    }
}

/* Which read models are shown by version: asked once, before anything is planned. */
static rf_status choose_versions(struct publication *publication, rf_err *err)
{
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < publication->count; i++) {
        const rf_sink_model *model = publication->plans[i].model;
        bool shown = false;
        if (model->shows == 0)
            continue;
        status = rf_publish_by_version(&publication->sql, model, publication->schema,
                                       publication->options->form, &shown, err);
        if (shown)
            publication->plans[i].shows = &publication->plans[model->shows - 1];
    }
    for (uint32_t i = 0; i < publication->count; i++) {
        rf_sink_model *model = publication->plans[i].model;
        model->is_left_out = model->beside != 0 && !publication->plans[model->beside - 1].shows;
    }
    return status;
}

static void clean_up(struct publication *publication)
{
    uint32_t keep = publication->options->keep ? publication->options->keep : KEEP_DEFAULT;

    for (uint32_t i = 0; i < publication->count; i++) {
        rf_publish_plan *plan = &publication->plans[i];
        if (plan->model->is_left_out)
            continue;
        count_changes(plan);
        rf_publish_sweep(&publication->sql, plan, keep);
        if (plan->model->shows != 0)
            rf_publish_drop_retired(&publication->sql, plan, publication->plans, publication->count);
    }
}

rf_status rf_sink_postgres(const char *url, rf_sink_model *models, uint32_t model_count,
                           const rf_sink_postgres_options *options, char **target_out, rf_err *err)
{
    const rf_postgres_options connect = {.cancel = options->run->cancel};
    rf_postgres *db = NULL;

    rf_status status = rf_postgres_open(url, &connect, &db, err);
    if (status != RF_OK)
        return status;
    struct publication publication = {.options = options, .count = model_count,
                                      .schema = options->schema ? options->schema : "public"};
    rf_sink_watch_begin(&publication.watch, options->run, 0);
    rf_postgres_on_wait(db, on_wait, &publication);
    rf_sql_begin(&publication.sql, db);
    publication.plans = calloc(model_count, sizeof *publication.plans);
    *target_out = strdup(rf_postgres_name(db));
    if (!publication.plans || !*target_out)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", model_count);
    for (uint32_t i = 0; publication.plans && i < model_count; i++)
        publication.plans[i].model = &models[i];
    if (status == RF_OK)
        status = lock(&publication, err);
    if (status == RF_OK)
        status = rf_publish_prepare(&publication.sql, publication.schema, err);
    if (status == RF_OK)
        status = choose_versions(&publication, err);
    if (status == RF_OK) {
        status = run(&publication, err);
        if (status != RF_OK && publication.commits && rf_postgres_is_lost(db))
            (void)rf_err_suffix(err, "it went away while it committed: the next export tells what is "
                                     "published");
        else if (status != RF_OK && status != RF_ERR_REFUSED)
            (void)rf_err_suffix(err, "what was published stays");
    }
    if (status == RF_OK)
        clean_up(&publication);
    for (uint32_t i = 0; publication.plans && i < model_count; i++)
        rf_publish_free(&publication.plans[i]);
    free(publication.plans);
    rf_sql_end(&publication.sql);
    rf_postgres_close(db);
    return status;
}
