/* See catch_up_late.h. */
#include "catch_up/catch_up_late.h"

#include <stdlib.h>

enum { TRIES_MAX = 100 };

/* How far rounds go. */
enum late_goal {
    TO_TARGET,    /* where the targets are */
    TO_LOG,       /* there, and to the log's end if that is far */
    AHEAD_OF_LIVE /* behind the targets, to the log's end if that is near */
};

static rf_status position_of(rf_catalog *catalog, const rf_catch_up_late_of *of,
                             uint64_t *position_out, rf_err *err)
{
    return rf_catalog_get_position(catalog, of->name, of->number, position_out, err);
}

/* Of the one that is furthest behind. */
static rf_status late_position(const rf_catch_up_late *late, uint64_t *position_out, rf_err *err)
{
    uint64_t position = UINT64_MAX;
    rf_status status = RF_OK;

    if (late->catch_up) {
        *position_out = rf_catch_up_position(late->catch_up);
        return RF_OK;
    }
    for (uint32_t i = 0; status == RF_OK && i < late->count; i++) {
        uint64_t at = 0;
        status = position_of(late->store->catalog, &late->of[i], &at, err);
        position = at < position ? at : position;
    }
    *position_out = position;
    return status;
}

static rf_status say_moved_on(const rf_catch_up_late *late, rf_err *err)
{
    return rf_fail(err, RF_ERR_LOCKED, "%s: the live generation moved on meanwhile", late->of[0].name);
}

static rf_status say_due(rf_catch_up_late *late, rf_err *err)
{
    late->is_due = true;
    return say_moved_on(late, err);
}

/* One that is behind the others alone: generations move on together from one position only. */
static rf_status bring_one(rf_catch_up_late *late, const rf_catch_up_late_of *one, uint64_t position,
                           rf_err *err)
{
    const rf_catch_up_of of = {one->name, one->number, false};
    rf_catch_up *catch_up = NULL;

    rf_status status = rf_catch_up_open(late->store, late->pool, &of, 1, &catch_up, err);
    if (status == RF_OK)
        rf_catch_up_ask_expectations(catch_up, late->asks && late->past_gates);
    if (status == RF_OK)
        status = rf_catch_up_run(catch_up, position, late->cancel, err);
    rf_catch_up_close(catch_up);
    return status;
}

static rf_status make_level(rf_catch_up_late *late, rf_err *err)
{
    rf_catalog *catalog = late->store->catalog;
    uint64_t furthest = 0;
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < late->count; i++) {
        uint64_t at = 0;
        status = position_of(catalog, &late->of[i], &at, err);
        furthest = at > furthest ? at : furthest;
    }
    for (uint32_t i = 0; status == RF_OK && i < late->count; i++) {
        uint64_t at = 0;
        status = position_of(catalog, &late->of[i], &at, err);
        if (status == RF_OK && at < furthest)
            status = bring_one(late, &late->of[i], furthest, err);
    }
    return status;
}

static rf_status make_open(rf_catch_up_late *late, rf_err *err)
{
    rf_catch_up_of *of = calloc(late->count, sizeof *of);

    if (!of)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a catch-up");
    for (uint32_t i = 0; i < late->count; i++)
        of[i] = (rf_catch_up_of){late->of[i].name, late->of[i].number, false};
    rf_status status = make_level(late, err);
    if (status == RF_OK)
        status = rf_catch_up_open(late->store, late->pool, of, late->count, &late->catch_up, err);
    free(of);
    return status;
}

static rf_status run_once(rf_catch_up_late *late, uint64_t position, rf_err *err)
{
    uint64_t at = 0;

    rf_status status = late_position(late, &at, err);
    if (status != RF_OK || at >= position)
        return status;
    if (!late->pool)
        return say_due(late, err);
    if (!late->catch_up)
        status = make_open(late, err);
    if (status != RF_OK)
        return status;
    rf_catch_up_ask_expectations(late->catch_up, late->asks && late->past_gates);
    rf_catch_up_only_go_on(late->catch_up, false);
    return rf_catch_up_run(late->catch_up, position, late->cancel, err);
}

rf_status rf_catch_up_late_run(rf_catch_up_late *late, uint64_t position, rf_err *err)
{
    rf_status status = RF_ERR_LOCKED;
    rf_err failure = {0};

    for (int tries = 0; status == RF_ERR_LOCKED && !late->is_due && tries < TRIES_MAX; tries++) {
        if (tries > 0)
            rf_catch_up_late_close(late); /* somebody else moved it on: where it is by now */
        status = run_once(late, position, &failure);
    }
    if (status != RF_OK && err)
        *err = failure;
    return status;
}

/* Of what one is brought up to; 0 where there is none. */
static rf_status target_position(rf_catalog *catalog, const rf_catch_up_late_of *of,
                                 uint64_t *position_out, rf_err *err)
{
    rf_catalog_generation target;
    rf_catalog_model model = {.live = of->target};
    bool found = true;

    *position_out = 0;
    rf_status status =
        of->target ? RF_OK : rf_catalog_get_model(catalog, of->name, &model, &found, err);
    if (status != RF_OK || !found || model.live == 0)
        return status;
    status = rf_catalog_get_generation(catalog, of->name, model.live, &target, &found, err);
    if (status == RF_OK && found)
        *position_out = target.position;
    return status;
}

static rf_status furthest_target(const rf_catch_up_late *late, uint64_t *position_out, rf_err *err)
{
    rf_status status = RF_OK;

    *position_out = 0;
    for (uint32_t i = 0; status == RF_OK && i < late->count; i++) {
        uint64_t position = 0;
        status = target_position(late->store->catalog, &late->of[i], &position, err);
        *position_out = position > *position_out ? position : *position_out;
    }
    return status;
}

/* As long as each round leaves less than half of what the one before found: where events come about as fast as
 * they are folded, more rounds bring nothing nearer. */
static rf_status run_rounds(rf_catch_up_late *late, enum late_goal goal, rf_err *err)
{
    uint64_t left = UINT64_MAX;
    rf_status status = RF_OK;

    for (int round = 0; status == RF_OK && round < RF_CATCH_UP_ROUNDS; round++) {
        uint64_t at = 0, target = 0;
        rf_log_info log = {0};
        status = late_position(late, &at, err);
        if (status == RF_OK)
            status = furthest_target(late, &target, err);
        if (status == RF_OK && goal != TO_TARGET)
            status = rf_log_get_info(late->store->log, &log, err);
        if (goal == TO_LOG && log.position > at + RF_CATCH_UP_BEHIND)
            target = log.position;
        if (goal == AHEAD_OF_LIVE && target > at && log.position > target &&
            log.position - target <= RF_CATCH_UP_BEHIND)
            target = log.position;
        if (status != RF_OK || target <= at || target - at > left / 2)
            break;
        left = target - at;
        status = rf_catch_up_late_run(late, target, err);
    }
    return status;
}

/* Step `rounds` of tests/model/swap.pml. */
rf_status rf_catch_up_late_rounds(rf_catch_up_late *late, bool to_log, rf_err *err)
{
    return run_rounds(late, to_log ? TO_LOG : TO_TARGET, err);
}

/* Whether a flip can wait for the events up to `position`. */
static bool is_near(const rf_catch_up_late *late, uint64_t position)
{
    return rf_catch_up_resumes_all(late->catch_up) &&
           position - rf_catch_up_position(late->catch_up) <= RF_CATCH_UP_IN_FLIP_MAX;
}

rf_status rf_catch_up_in_flip(void *arg, uint64_t position, const rf_catalog_move **moves_out,
                              uint32_t *count_out, rf_err *err)
{
    rf_catch_up_late *late = arg;

    if (!late->pool)
        return say_due(late, err);
    late->is_far = !late->catch_up || (!late->takes_all && !is_near(late, position));
    if (late->is_far)
        return say_moved_on(late, err);
    rf_catch_up_ask_expectations(late->catch_up, late->asks);
    rf_catch_up_only_go_on(late->catch_up, !late->takes_all); /* all of the log is no less too much */
    rf_status status = rf_catch_up_fold(late->catch_up, position, late->cancel, err);
    late->is_far = status != RF_OK && rf_catch_up_told_too_little(late->catch_up);
    if (status != RF_OK)
        return late->is_far ? say_moved_on(late, err) : status;
    *moves_out = rf_catch_up_moves(late->catch_up, count_out);
    late->in_flip = true;
    return RF_OK;
}

/* That of one change, where no change before has the same; else NULL. */
static rf_catch_up_late *late_of(const rf_catalog_change *changes, uint32_t index)
{
    const rf_catalog_change *change = &changes[index];

    if (change->catch_up != rf_catch_up_in_flip)
        return NULL;
    for (uint32_t i = 0; i < index; i++)
        if (changes[i].catch_up_arg == change->catch_up_arg)
            return NULL;
    return change->catch_up_arg;
}

/* The last try is ready for what may be left. */
static rf_status begin_try(rf_catch_up_late *late, enum late_goal goal, bool is_last, rf_err *err)
{
    late->in_flip = late->is_far = false;
    late->takes_all = is_last;
    late->past_gates = true;
    rf_status status = run_rounds(late, goal, err);
    return status == RF_OK && is_last && late->pool && !late->catch_up ? make_open(late, err) : status;
}

static void end_try(rf_catch_up_late *late, rf_status status)
{
    late->past_gates = false;
    if (late->in_flip && status == RF_OK)
        rf_catch_up_done(late->catch_up);
}

rf_status rf_catch_up_replace(rf_catch_up_late *late, const rf_manifest *manifest, rf_err *err)
{
    rf_status status = RF_ERR_LOCKED;

    RF_ASSERT(late->count == 1);
    late->is_far = true;
    for (int round = 1; status == RF_ERR_LOCKED && late->is_far && round <= RF_CATCH_UP_TRIES;
         round++) {
        rf_err failure = {0};
        status = begin_try(late, TO_TARGET, round == RF_CATCH_UP_TRIES, &failure);
        if (status == RF_OK)
            status = rf_catalog_replace(late->store->catalog, manifest, late->of[0].target,
                                        rf_catch_up_in_flip, late, -1, &failure);
        end_try(late, status);
        if (status != RF_OK && err)
            *err = failure;
    }
    return status;
}

/* Step `again` of tests/model/swap.pml. */
rf_status rf_catch_up_flip(rf_catalog *catalog, const rf_catalog_change *changes, uint32_t count,
                           int64_t wait_lock_ms, uint64_t *from_out, rf_err *err)
{
    rf_status status = RF_OK;
    bool again = true;

    for (int round = 1; again && round <= RF_CATCH_UP_TRIES; round++) {
        rf_err failure = {0};
        again = false;
        status = RF_OK;
        for (uint32_t i = 0; status == RF_OK && i < count; i++)
            if (late_of(changes, i))
                status = begin_try(late_of(changes, i), AHEAD_OF_LIVE, round == RF_CATCH_UP_TRIES,
                                   &failure);
        if (status == RF_OK)
            status = rf_catalog_flip(catalog, changes, count, wait_lock_ms, from_out, &failure);
        for (uint32_t i = 0; i < count; i++) {
            rf_catch_up_late *late = late_of(changes, i);
            if (!late)
                continue;
            again = again || (status == RF_ERR_LOCKED && late->is_far);
            end_try(late, status);
        }
        if (status != RF_OK && err)
            *err = failure;
    }
    return status;
}

void rf_catch_up_late_close(rf_catch_up_late *late)
{
    rf_catch_up_close(late->catch_up);
    late->catch_up = NULL;
}
