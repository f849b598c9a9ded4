/* Following; see refold/follow.h.
 *
 * What is followed moves as one group: one fold for all, one transaction. Where they are at different
 * positions, those behind are brought to the first one's position each by itself; and where a group's
 * fold fails, each goes on by itself, which tells whose event it is. follow_set.h has which they are.
 * Colours are in the group as the live ones are; one that fails is suspended by itself. */
#include "refold/follow.h"

#include "base/clock.h"
#include "base/holder.h"
#include "base/machine.h"
#include "base/wait_note.h"
#include "catch_up/catch_up.h"
#include "follow_merge.h"
#include "follow_set.h"
#include "store/store.h"
#include "store/unseen.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Looks for what is new come soon after something came, and then less and less often; so do those of who waits for
 * another run. */
enum { PAUSE_FIRST_US = 250, IDLE_MS = 20, WAIT_MS = 4 };

typedef struct follower {
    rf_store *store;
    const rf_follow_options *options;
    rf_pool *pool;
    rf_follow_set set;
    rf_catch_up *group; /* of all in the set that are active; NULL: to be made */
    long pause_us;      /* the last pause; 0: something came since */
    rf_unseen unseen;
    rf_follow_merge merges;
    rf_wait_note wait; /* for another run that follows; `what` NULL: none */
    char wait_path[RF_PATH_SIZE];
    char wait_what[RF_NAMED_TEXT_SIZE + 32];
} follower;

static bool is_cancelled(const follower *run)
{
    return run->options->run.cancel && *run->options->run.cancel;
}

static void pause_longer(follower *run, long ms_max)
{
    long us = run->pause_us > 0 ? 2 * run->pause_us : PAUSE_FIRST_US;

    run->pause_us = us < ms_max * 1000 ? us : ms_max * 1000;
    const struct timespec pause = {.tv_nsec = run->pause_us * 1000};
    (void)nanosleep(&pause, NULL);
}

static void drop_group(follower *run)
{
    rf_catch_up_close(run->group);
    run->group = NULL;
}

static rf_status look(follower *run, bool first, rf_err *err)
{
    bool changed;
    rf_status status = rf_follow_set_look(&run->set, first, &changed, err);

    if (changed)
        drop_group(run);
    return status;
}

static rf_status take_free(follower *run, rf_err *err)
{
    bool taken;
    rf_status status = rf_follow_set_take_free(&run->set, &taken, err);

    if (taken)
        drop_group(run);
    return status;
}

static bool is_active(const rf_followed *model)
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

static rf_status suspend(follower *run, rf_followed *model, const rf_err *failure, rf_err *err)
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
    rf_follow_tell(run->options, "%s: suspended: %s", name, suspension.reason);
    return rf_catalog_suspend(run->store->catalog, model->named.name, &suspension, err);
}

/* Moves one read model to `until`, or suspends it before the event that it fails for. */
static rf_status move_one(follower *run, rf_followed *model, uint64_t until, rf_err *err)
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

static rf_status position_of(follower *run, const rf_followed *model, uint64_t *position_out,
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

    rf_catch_up_of *of = calloc(run->set.count + 1, sizeof *of);
    if (!of)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u read models", run->set.count);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; status == RF_OK && i < run->set.count; i++) {
            rf_followed *model = &run->set.models[i];
            uint64_t position = 0;
            if (!is_active(model))
                continue;
            status = position_of(run, model, &position, err);
            if (pass == 0)
                first = position > first ? position : first;
            else if (status == RF_OK && position < first)
                status = move_one(run, model, first, err);
        }
    for (uint32_t i = 0; i < run->set.count; i++)
        if (is_active(&run->set.models[i]))
            of[count++] =
                (rf_catch_up_of){run->set.models[i].named.name, run->set.models[i].number, true};
    rf_err failure = {0};
    if (status == RF_OK && count > 0) {
        status = rf_catch_up_open(run->store, run->pool, of, count, &run->group, &failure);
        if (status != RF_OK && err)
            *err = failure;
    }
    free(of);
    /* one whose definition cannot be loaded is found, and suspended, by itself */
    for (uint32_t i = 0; suspends(status) && i < run->set.count; i++) {
        if (!is_active(&run->set.models[i]))
            continue;
        rf_status one = move_one(run, &run->set.models[i], first, err);
        if (one != RF_OK)
            return one;
    }
    return suspends(status) ? RF_OK : status;
}

static rf_status move_each(follower *run, uint64_t until, rf_err *err)
{
    rf_status status = RF_OK;

    drop_group(run);
    for (uint32_t i = 0; status == RF_OK && i < run->set.count; i++)
        if (is_active(&run->set.models[i]))
            status = move_one(run, &run->set.models[i], until, err);
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
        rf_follow_set_forget(&run->set);
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
    for (uint32_t i = 0; status == RF_OK && i < run->set.count; i++) {
        uint64_t position = until;
        if (!run->set.models[i].suspended)
            status = position_of(run, &run->set.models[i], &position, err);
        *arrived_out = *arrived_out && position >= until;
    }
    return status;
}

/* RF_OK where none is that has to have the events. */
static rf_status tell_suspended(const follower *run, uint64_t until, rf_err *err)
{
    rf_catalog_suspension suspension = {.position = 0};
    const rf_followed *first = NULL;
    char name[RF_NAMED_TEXT_SIZE];
    bool found = false;
    uint32_t count = 0;

    for (uint32_t i = 0; i < run->set.count; i++) {
        bool is_meant = run->set.models[i].suspended && !run->set.models[i].may_fail;
        first = is_meant && !first ? &run->set.models[i] : first;
        count += is_meant;
    }
    if (!first)
        return RF_OK;
    rf_named_format(&first->named, name);
    rf_status status = rf_catalog_get_suspension(run->store->catalog, first->named.name,
                                                 first->number, &suspension, &found, err);
    if (status != RF_OK)
        return status;
    status = rf_fail(err, RF_ERR_REFUSED, "%s is suspended: %s", name, suspension.reason);
    if (err)
        err->position = suspension.position;
    if (count > 1)
        (void)rf_err_suffix(err, "so are others, %" PRIu32 " in all, see status", count);
    if (run->set.count > count)
        (void)rf_err_suffix(err, "the others are at position %" PRIu64, until);
    return status;
}

/* The first that is left to another run and not at `until`; NULL: none. */
static const rf_followed *find_left(follower *run, uint64_t until, uint64_t *position_out, rf_err *err)
{
    for (uint32_t i = 0; i < run->set.count; i++) {
        const rf_followed *model = &run->set.models[i];
        if (model->is_left && !model->suspended && position_of(run, model, position_out, err) == RF_OK &&
            *position_out < until)
            return model;
    }
    return NULL;
}

static void end_wait(follower *run)
{
    if (run->wait.what)
        rf_wait_note_end(&run->wait);
    run->wait.what = NULL;
}

/* So that it can be told whom this waits for. A colour is moved by who holds FOLLOW of its read model. */
static void begin_wait(follower *run, const rf_followed *model)
{
    rf_named named = model->named;
    char name[RF_NAMED_TEXT_SIZE];

    for (uint32_t i = 0; i < run->set.asked_count; i++)
        if (run->set.asked[i].lock < 0 && strcmp(run->set.asked[i].named.name, named.name) == 0)
            named = run->set.asked[i].named;
    if (rf_catalog_follow_path(run->store->catalog, &named, run->wait_path, NULL) != RF_OK)
        return;
    rf_named_format(&model->named, name);
    (void)snprintf(run->wait_what, sizeof run->wait_what, "another run follows %s", name);
    run->wait = (rf_wait_note){.path = run->wait_path,
                          .what = run->wait_what,
                          .is_bounded = run->options->run.wait_lock_ms > 0};
    rf_wait_note_begin(&run->wait);
}

/* A moment, for who moves what is left to it; and no longer in all than a lock is waited for, where that has a limit. */
static rf_status wait_for_others(follower *run, uint64_t until, rf_err *err)
{
    const int64_t limit_ms = run->options->run.wait_lock_ms;
    char holder[RF_HOLDER_TEXT_SIZE], name[RF_NAMED_TEXT_SIZE];
    uint64_t position = 0;

    const rf_followed *model = find_left(run, until, &position, NULL);
    if (model && !run->wait.what)
        begin_wait(run, model);
    if (model && run->wait.what && limit_ms > 0 &&
        rf_clock_seconds() - run->wait.begun >= (double)limit_ms / 1000) {
        bool known = rf_holder_of_lock(run->wait_path, holder);
        rf_named_format(&model->named, name);
        return rf_fail(err, RF_ERR_LOCKED, "%s is at position %" PRIu64 ", not at %" PRIu64 ": another run follows it%s%s",
                       name, position, until, known ? ", " : "", holder);
    }
    pause_longer(run, WAIT_MS);
    return RF_OK;
}

static rf_status run_once(follower *run, rf_err *err)
{
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
        if (status == RF_OK && !run->options->merges_left &&
            rf_follow_merge_at_once(&run->merges, &run->group))
            arrived = false; /* another one may be due */
        if (status == RF_ERR_LOCKED)
            status = RF_OK;
        if (status == RF_OK && is_cancelled(run))
            status = rf_fail(err, RF_ERR_INTERRUPTED,
                             "interrupted; what is followed has every event once");
        if (status == RF_OK && !arrived && rf_follow_set_is_left(&run->set))
            status = wait_for_others(run, until, err);
    }
    end_wait(run);
    return status == RF_OK ? tell_suspended(run, until, err) : status;
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
                       rf_catalog_stamp(run->store->catalog) == run->set.stamp &&
                       !rf_follow_merge_has_ended(&run->merges);
        if (is_idle) {
            pause_longer(run, IDLE_MS);
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
        if (status == RF_OK && !run->options->merges_left)
            rf_follow_merge_run(&run->merges, &run->group);
        seen = run->group || status != RF_OK ? visible : UINT64_MAX;
        if (run->group)
            run->pause_us = 0;
        else
            pause_longer(run, IDLE_MS); /* everything is suspended, or to be looked at again */
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

    run.set = (rf_follow_set){.store = store, .options = run.options};
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
    rf_follow_set_end(&run.set);
    rf_pool_free(run.pool);
    return status;
}
