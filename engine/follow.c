/* Following; see refold/follow.h.
 *
 * What is followed moves as one group: one fold for all, one transaction. Where they are at different
 * positions, those behind are brought to the first one's position each by itself; and where a group's
 * fold fails, each goes on by itself, which tells whose event it is. After every commit of the catalog it is
 * looked whether other generations are live or kept beside them now, or something was suspended or resumed.
 * Colours are in the group as the live ones are; one that fails is suspended by itself. */
#include "refold/follow.h"

#include "base/clock.h"
#include "base/machine.h"
#include "catalog/named.h"
#include "catch_up/catch_up.h"
#include "follow_merge.h"
#include "store/store.h"
#include "store/unseen.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { IDLE_MS = 20, TAKE_MS = 200 /* between tries to take what another run followed */ };

/* What is asked for: a read model with its colours, or one version of it. */
typedef struct asked {
    rf_named named;
    int lock; /* FOLLOW; -1: another run's */
} asked;

/* A generation that is followed for it. */
typedef struct followed {
    rf_named named; /* for people, and for what is live: NAME, or NAME@VERSION of a colour */
    uint64_t number;
    bool may_fail; /* a colour that nobody asked for by its version */
    bool is_left;  /* to another run */
    bool suspended;
} followed;

typedef struct follower {
    rf_store *store;
    const rf_follow_options *options;
    rf_pool *pool;
    asked *asked;
    uint32_t asked_count;
    followed *models; /* as they were when it was last looked */
    uint32_t count;
    uint64_t stamp;     /* of the catalog when it was last looked */
    rf_catch_up *group; /* NULL: to be made */
    double take_due;    /* when it is tried again to take what another run follows */
    rf_unseen unseen;
    rf_follow_merge merges;
} follower;

static bool is_cancelled(const follower *run)
{
    return run->options->run.cancel && *run->options->run.cancel;
}

static void pause_idle(void)
{
    const struct timespec idle = {.tv_nsec = IDLE_MS * 1000000L};

    (void)nanosleep(&idle, NULL);
}

__attribute__((format(printf, 2, 3))) static void tell(const follower *run, const char *format, ...)
{
    char line[1024];
    va_list values;

    if (!run->options->report)
        return;
    va_start(values, format);
    (void)vsnprintf(line, sizeof line, format, values);
    va_end(values);
    run->options->report(run->options->report_arg, line);
}

static void drop_group(follower *run)
{
    rf_catch_up_close(run->group);
    run->group = NULL;
}

/* ---- which read models ---- */

/* Takes FOLLOW. What another run follows is left to it where that is asked for, or it came later. */
static rf_status take_asked(follower *run, const rf_named *named, bool may_share, asked **asked_out,
                            rf_err *err)
{
    int64_t wait_ms = may_share ? 0 : run->options->run.wait_lock_ms;
    rf_err failure = {0};
    int lock = -1;

    for (uint32_t i = 0; i < run->asked_count; i++) {
        *asked_out = &run->asked[i];
        if (rf_named_equal(&run->asked[i].named, named))
            return RF_OK;
    }
    asked *grown = realloc(run->asked, (run->asked_count + 1) * sizeof *grown);
    if (!grown)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", run->asked_count + 1);
    run->asked = grown;
    rf_status status = rf_catalog_lock_follow(run->store->catalog, named, wait_ms, &lock, &failure);
    if (status != RF_OK && !(status == RF_ERR_LOCKED && may_share)) {
        if (err)
            *err = failure;
        return status;
    }
    *asked_out = &run->asked[run->asked_count++];
    **asked_out = (asked){*named, lock};
    return RF_OK;
}

static bool is_left_to_another(const follower *run)
{
    for (uint32_t i = 0; i < run->asked_count; i++)
        if (run->asked[i].lock < 0)
            return true;
    return false;
}

/* Now and then: who followed what was left to it may have ended, or was killed. */
static rf_status take_free(follower *run, rf_err *err)
{
    if (!is_left_to_another(run) || rf_clock_seconds() < run->take_due)
        return RF_OK;
    run->take_due = rf_clock_seconds() + TAKE_MS / 1e3;
    for (uint32_t i = 0; i < run->asked_count; i++) {
        asked *at = &run->asked[i];
        rf_err failure = {0};
        if (at->lock >= 0)
            continue;
        rf_status status =
            rf_catalog_lock_follow(run->store->catalog, &at->named, 0, &at->lock, &failure);
        if (status == RF_OK) {
            drop_group(run);
            run->stamp = UINT64_MAX;
        } else if (status != RF_ERR_LOCKED) {
            if (err)
                *err = failure;
            return status;
        }
    }
    return RF_OK;
}

/* What is followed from now on, while it is gathered. */
typedef struct looking {
    followed *models;
    uint32_t count;
} looking;

static rf_status add_followed(follower *run, looking *now, followed model, rf_err *err)
{
    rf_catalog_suspension suspension;

    followed *grown = realloc(now->models, (now->count + 1) * sizeof *grown);
    if (!grown)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", now->count + 1);
    now->models = grown;
    rf_status status = rf_catalog_get_suspension(run->store->catalog, model.named.name,
                                                 model.number, &suspension, &model.suspended, err);
    if (status == RF_OK)
        now->models[now->count++] = model;
    return status;
}

/* The live generation of a read model and its colours. */
static rf_status look_at(follower *run, const rf_catalog_model *known, bool first, looking *now,
                         rf_err *err)
{
    followed model = {.number = known->live};
    asked *taken = NULL;

    memcpy(model.named.name, known->name, sizeof model.named.name);
    rf_status status = take_asked(run, &model.named, run->options->share || !first, &taken, err);
    if (status != RF_OK)
        return status;
    model.is_left = taken->lock < 0;
    status = add_followed(run, now, model, err);
    model.may_fail = true;
    for (uint32_t i = 0; status == RF_OK && i < known->colour_count; i++) {
        model.named.version = known->colours[i].version;
        model.number = known->colours[i].number;
        status = add_followed(run, now, model, err);
    }
    return status;
}

/* One version, whether it is live or not. What is gone may come back. */
static rf_status look_at_version(follower *run, const rf_named *named, bool first, looking *now,
                                 rf_err *err)
{
    rf_catalog_generation generation;
    rf_err failure = {0};
    asked *taken = NULL;

    rf_status status = rf_named_find(run->store->catalog, named, &generation, &failure);
    if (status == RF_ERR_ABSENT && !first)
        return RF_OK;
    if (status != RF_OK) {
        if (err)
            *err = failure;
        return status;
    }
    status = take_asked(run, named, run->options->share || !first, &taken, err);
    if (status != RF_OK)
        return status;
    const followed model = {
        .named = *named, .number = generation.number, .is_left = taken->lock < 0};
    return add_followed(run, now, model, err);
}

static rf_status look_at_named(follower *run, const char *text, const rf_catalog_model *known,
                               uint32_t count, bool first, looking *now, rf_err *err)
{
    rf_named named;

    rf_status status = rf_named_parse(text, &named, err);
    if (status != RF_OK)
        return status;
    if (named.version != 0)
        return look_at_version(run, &named, first, now, err);
    for (uint32_t i = 0; i < count; i++)
        if (known[i].live != 0 && strcmp(known[i].name, named.name) == 0)
            return look_at(run, &known[i], first, now, err);
    return first ? rf_fail(err, RF_ERR_ABSENT, "%s: no live read model of this name", named.name)
                 : RF_OK;
}

static rf_status look_at_all(follower *run, bool first, looking *now, rf_err *err)
{
    const rf_follow_options *options = run->options;
    rf_catalog_model *known = NULL;
    uint32_t count = 0;

    rf_status status = rf_catalog_models(run->store->catalog, &known, &count, err);
    for (uint32_t i = 0; status == RF_OK && options->name_count == 0 && i < count; i++)
        if (known[i].live != 0)
            status = look_at(run, &known[i], first, now, err);
    for (uint32_t i = 0; status == RF_OK && i < options->name_count; i++)
        status = look_at_named(run, options->names[i], known, count, first, now, err);
    free(known);
    return status;
}

static const followed *find_followed(const followed *models, uint32_t count, const rf_named *named)
{
    for (uint32_t i = 0; i < count; i++)
        if (rf_named_equal(&models[i].named, named))
            return &models[i];
    return NULL;
}

/* What became of it since it was last looked. */
static void tell_changes(const follower *run, const looking *now)
{
    char name[RF_NAMED_TEXT_SIZE];

    for (uint32_t i = 0; i < now->count; i++) {
        const followed *model = &now->models[i];
        const followed *before = find_followed(run->models, run->count, &model->named);
        rf_named_format(&model->named, name);
        if (!before && model->may_fail)
            tell(run, "%s: generation %" PRIu64 " is kept current beside the live one", name,
                 model->number);
        else if (before && before->number != model->number)
            tell(run, "%s: generation %" PRIu64 " is %s now", name, model->number,
                 model->named.version ? "the one of this version" : "live");
        else if (before && before->suspended && !model->suspended)
            tell(run, "%s: goes on", name);
    }
    for (uint32_t i = 0; i < run->count; i++) {
        rf_named_format(&run->models[i].named, name);
        if (run->models[i].named.version != 0 &&
            !find_followed(now->models, now->count, &run->models[i].named))
            tell(run, "%s: is not kept beside the live one any more", name);
    }
}

static bool is_same(const follower *run, const looking *now)
{
    bool same = run->count == now->count;

    for (uint32_t i = 0; same && i < now->count; i++)
        same = run->models[i].number == now->models[i].number &&
               run->models[i].is_left == now->models[i].is_left &&
               run->models[i].suspended == now->models[i].suspended &&
               rf_named_equal(&run->models[i].named, &now->models[i].named);
    return same;
}

static rf_status look(follower *run, bool first, rf_err *err)
{
    looking now = {NULL, 0};
    uint64_t visible = 0;

    if (!first && rf_catalog_stamp(run->store->catalog) == run->stamp)
        return RF_OK;
    rf_status status = rf_kv_visible(rf_catalog_kv(run->store->catalog), &visible, err);
    if (status == RF_OK)
        status = look_at_all(run, first, &now, err);
    if (status != RF_OK) {
        free(now.models);
        return status;
    }
    if (!is_same(run, &now)) {
        drop_group(run);
        if (!first)
            tell_changes(run, &now);
    }
    free(run->models);
    run->models = now.models;
    run->count = now.count;
    run->stamp = visible;
    return RF_OK;
}

static bool is_active(const followed *model)
{
    return !model->is_left && !model->suspended;
}

/* ---- one by one ---- */

/* Whether a failure is the definition's or an event's, and not the machine's or another run's. */
static bool suspends(rf_status status)
{
    return status == RF_ERR_PLUGIN || status == RF_ERR_INPUT || status == RF_ERR_REFUSED ||
           status == RF_ERR_FORMAT;
}

static rf_status suspend(follower *run, followed *model, const rf_err *failure, rf_err *err)
{
    rf_catalog_suspension suspension = {.generation = model->number,
                                        .position = failure->position};
    char name[RF_NAMED_TEXT_SIZE];

    size_t size = strnlen(failure->message, sizeof suspension.reason - 1);
    memcpy(suspension.reason, failure->message, size);
    while (size > 0 && !rf_utf8_valid((rf_slice){suspension.reason, size}))
        suspension.reason[--size] = '\0'; /* cut inside a character */
    model->suspended = true;
    rf_named_format(&model->named, name);
    tell(run, "%s: suspended: %s", name, suspension.reason);
    return rf_catalog_suspend(run->store->catalog, model->named.name, &suspension, err);
}

/* Moves one read model to `until`, or suspends it before the event that it fails for. */
static rf_status move_one(follower *run, followed *model, uint64_t until, rf_err *err)
{
    const rf_catch_up_of of = {model->named.name, model->number, true};
    rf_catch_up *catch_up = NULL;
    rf_err failure = {0};

    rf_status status = rf_catch_up_open(run->store, run->pool, &of, 1, &catch_up, &failure);
    if (status == RF_OK && rf_catch_up_position(catch_up) < until)
        status = rf_catch_up_run(catch_up, until, run->options->run.cancel, &failure);
    if (suspends(status) && catch_up)
        status = rf_catch_up_stop_before(catch_up, status, run->options->run.cancel, &failure);
    rf_catch_up_close(catch_up);
    if (suspends(status))
        return suspend(run, model, &failure, err);
    if (status != RF_OK && err)
        *err = failure;
    return status;
}

/* ---- together ---- */

static rf_status position_of(follower *run, const followed *model, uint64_t *position_out,
                             rf_err *err)
{
    rf_catalog_generation generation;
    bool found = false;

    rf_status status = rf_catalog_get_generation(run->store->catalog, model->named.name,
                                                 model->number, &generation, &found, err);
    if (status == RF_OK && !found)
        return rf_fail(err, RF_ERR_LOCKED, "%s generation %" PRIu64 " is gone",
                       model->named.name, model->number);
    if (status == RF_OK)
        *position_out = generation.position;
    return status;
}

/* Brings all to the position of the first, and makes them a group. */
static rf_status make_group(follower *run, rf_err *err)
{
    uint64_t first = 0;
    uint32_t count = 0;
    rf_status status = RF_OK;

    rf_catch_up_of *of = calloc(run->count + 1, sizeof *of);
    if (!of)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", run->count);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; status == RF_OK && i < run->count; i++) {
            followed *model = &run->models[i];
            uint64_t position = 0;
            if (!is_active(model))
                continue;
            status = position_of(run, model, &position, err);
            if (pass == 0)
                first = position > first ? position : first;
            else if (status == RF_OK && position < first)
                status = move_one(run, model, first, err);
        }
    for (uint32_t i = 0; i < run->count; i++)
        if (is_active(&run->models[i]))
            of[count++] =
                (rf_catch_up_of){run->models[i].named.name, run->models[i].number, true};
    rf_err failure = {0};
    if (status == RF_OK && count > 0) {
        status = rf_catch_up_open(run->store, run->pool, of, count, &run->group, &failure);
        if (status != RF_OK && err)
            *err = failure;
    }
    free(of);
    /* one whose definition cannot be loaded is found, and suspended, by itself */
    for (uint32_t i = 0; suspends(status) && i < run->count; i++) {
        if (!is_active(&run->models[i]))
            continue;
        rf_status one = move_one(run, &run->models[i], first, err);
        if (one != RF_OK)
            return one;
    }
    return suspends(status) ? RF_OK : status;
}

static rf_status move_each(follower *run, uint64_t until, rf_err *err)
{
    rf_status status = RF_OK;

    drop_group(run);
    for (uint32_t i = 0; status == RF_OK && i < run->count; i++)
        if (is_active(&run->models[i]))
            status = move_one(run, &run->models[i], until, err);
    return status;
}

/* All that are active have the events up to `until` afterwards. Step `follow` of tests/model/swap.pml. */
static rf_status advance(follower *run, uint64_t until, rf_err *err)
{
    rf_err failure = {0};
    rf_status status = run->group ? RF_OK : make_group(run, &failure);

    if (status == RF_OK && run->group && rf_catch_up_position(run->group) < until)
        status = rf_catch_up_run(run->group, until, run->options->run.cancel, &failure);
    if (suspends(status))
        return move_each(run, until, err);
    if (status == RF_ERR_LOCKED || status == RF_ERR_ABSENT) {
        /* somebody else moved or removed one: look again */
        drop_group(run);
        run->stamp = UINT64_MAX;
        return RF_OK;
    }
    if (status != RF_OK && err)
        *err = failure;
    return status;
}

/* ---- a run ---- */

static rf_status log_position(rf_store *store, uint64_t *position_out, rf_err *err)
{
    rf_log_info info;
    rf_status status = rf_log_get_info(store->log, &info, err);

    if (status == RF_OK)
        *position_out = info.position;
    return status;
}

/* Whether all, also those that another run follows, are at `until`; what is suspended does not get there. */
static rf_status have_arrived(follower *run, uint64_t until, bool *arrived_out, rf_err *err)
{
    rf_status status = RF_OK;

    *arrived_out = true;
    for (uint32_t i = 0; status == RF_OK && i < run->count; i++) {
        uint64_t position = until;
        if (!run->models[i].suspended)
            status = position_of(run, &run->models[i], &position, err);
        *arrived_out = *arrived_out && position >= until;
    }
    return status;
}

static rf_status run_once(follower *run, rf_err *err)
{
    char name[RF_NAMED_TEXT_SIZE];
    uint64_t until = 0;
    bool arrived = false;

    rf_status status = log_position(run->store, &until, err);
    while (status == RF_OK && !arrived) {
        status = look(run, false, err);
        if (status == RF_OK)
            status = take_free(run, err);
        if (status == RF_OK)
            status = advance(run, until, err);
        if (status == RF_OK)
            status = have_arrived(run, until, &arrived, err);
        if (status == RF_OK && rf_follow_merge_at_once(&run->merges, &run->group))
            arrived = false; /* another one may be due */
        if (status == RF_ERR_LOCKED)
            status = RF_OK;
        if (status == RF_OK && is_cancelled(run))
            status = rf_fail(err, RF_ERR_INTERRUPTED,
                             "interrupted; what is followed has every event once");
        if (status == RF_OK && !arrived && is_left_to_another(run))
            pause_idle();
    }
    uint32_t suspended = 0;
    for (uint32_t i = 0; status == RF_OK && i < run->count; i++)
        if (run->models[i].suspended && !run->models[i].may_fail && suspended++ == 0)
            rf_named_format(&run->models[i].named, name);
    return suspended == 0 ? status
                          : rf_fail(err, RF_ERR_REFUSED,
                                    "%s is suspended (%" PRIu32 " in all), see status; the others are "
                                    "at position %" PRIu64, name, suspended, until);
}

static rf_status run_on(follower *run, rf_err *err)
{
    uint64_t seen = UINT64_MAX;
    rf_status status = RF_OK;

    while (status == RF_OK && !is_cancelled(run)) {
        uint64_t until = 0, visible = 0;
        status = take_free(run, err);
        if (status != RF_OK)
            break;
        bool is_idle = rf_kv_last_txn_id(rf_log_kv(run->store->log)) == seen &&
                       rf_catalog_stamp(run->store->catalog) == run->stamp &&
                       !rf_follow_merge_has_ended(&run->merges);
        if (is_idle) {
            pause_idle();
            continue;
        }
        status = look(run, false, err);
        if (status == RF_OK)
            status = rf_kv_visible(rf_log_kv(run->store->log), &visible, err);
        if (status == RF_OK)
            status = log_position(run->store, &until, err);
        if (status == RF_OK)
            status = advance(run, until, err);
        if (status == RF_OK)
            status = rf_unseen_look(&run->unseen, run->store, err);
        if (status == RF_OK)
            rf_follow_merge_run(&run->merges, &run->group);
        seen = run->group || status != RF_OK ? visible : UINT64_MAX;
        if (!run->group)
            pause_idle(); /* everything is suspended, or to be looked at again */
    }
    return status == RF_OK ? rf_fail(err, RF_ERR_INTERRUPTED,
                                     "interrupted; what is followed has every event once")
                           : status;
}

rf_status rf_follow(rf_store *store, const rf_follow_options *options, rf_err *err)
{
    const rf_follow_options none = {.run = {.workers_default = true}};
    follower run = {.store = store, .options = options ? options : &none};
    uint32_t workers = run.options->run.workers;

    workers = run.options->run.workers_default ? rf_processor_count() : workers;
    rf_status status = rf_pool_new(workers, &run.pool, err);
    if (status == RF_OK)
        status = rf_follow_merge_begin(&run.merges, store, run.options, workers, err);
    if (status == RF_OK)
        status = look(&run, true, err);
    if (status == RF_OK)
        status = run.options->once ? run_once(&run, err) : run_on(&run, err);
    rf_follow_merge_end(&run.merges, &run.group);
    drop_group(&run);
    for (uint32_t i = 0; i < run.asked_count; i++)
        rf_lock_release(run.asked[i].lock);
    free(run.asked);
    free(run.models);
    rf_pool_free(run.pool);
    return status;
}

rf_status rf_resume(rf_store *store, const char *name, rf_err *err)
{
    rf_catalog_generation generation = {.number = 0};
    rf_named named;

    rf_status status = rf_named_parse(name, &named, err);
    if (status == RF_OK && named.version != 0)
        status = rf_named_find(store->catalog, &named, &generation, err);
    return status == RF_OK
               ? rf_catalog_resume(store->catalog, named.name, generation.number, err)
               : status;
}
