/* See catch_up_late.h. */
#include "catch_up/catch_up_late.h"

enum { TRIES_MAX = 100 };

static rf_status position_of(rf_catch_up_late *late, uint64_t *position_out, rf_err *err)
{
    rf_catalog_generation generation;
    bool found = false;

    if (late->catch_up) {
        *position_out = rf_catch_up_position(late->catch_up);
        return RF_OK;
    }
    rf_status status = rf_catalog_get_generation(late->store->catalog, late->name, late->number,
                                                 &generation, &found, err);
    if (status == RF_OK && !found)
        status = rf_fail(err, RF_ERR_ABSENT, "%s has no sealed generation %llu", late->name,
                         (unsigned long long)late->number);
    if (status == RF_OK)
        *position_out = generation.position;
    return status;
}

static rf_status make_open(rf_catch_up_late *late, rf_err *err)
{
    const rf_catch_up_of of = {late->name, late->number, false};

    if (late->catch_up)
        return RF_OK;
    if (late->pool)
        return rf_catch_up_open(late->store, late->pool, &of, 1, &late->catch_up, err);
    late->is_due = true;
    return rf_fail(err, RF_ERR_LOCKED, "%s: the live generation moved on meanwhile", late->name);
}

static rf_status run_once(rf_catch_up_late *late, uint64_t position, rf_err *err)
{
    uint64_t at = 0;

    rf_status status = position_of(late, &at, err);
    if (status != RF_OK || at >= position)
        return status;
    status = make_open(late, err);
    if (status != RF_OK)
        return status;
    rf_catch_up_ask_expectations(late->catch_up, late->asks && late->past_gates);
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

/* Of the generation that it is brought up to; 0 where there is none. */
static rf_status target_position(rf_catch_up_late *late, uint64_t *position_out, rf_err *err)
{
    rf_catalog_generation live;
    rf_catalog_model model;
    bool found = false;

    *position_out = 0;
    model.live = late->target;
    rf_status status = late->target ? RF_OK
                                    : rf_catalog_get_model(late->store->catalog, late->name, &model,
                                                           &found, err);
    if (status != RF_OK || (!late->target && !found) || model.live == 0)
        return status;
    status = rf_catalog_get_generation(late->store->catalog, late->name, model.live, &live, &found,
                                       err);
    if (status == RF_OK && found)
        *position_out = live.position;
    return status;
}

/* Step `rounds` of tests/model/swap.pml. */
rf_status rf_catch_up_late_rounds(rf_catch_up_late *late, bool to_log, rf_err *err)
{
    rf_status status = RF_OK;

    for (int round = 0; status == RF_OK && round < RF_CATCH_UP_ROUNDS; round++) {
        uint64_t at = 0, target = 0;
        rf_log_info log = {0};
        status = position_of(late, &at, err);
        if (status == RF_OK)
            status = target_position(late, &target, err);
        if (status == RF_OK && to_log)
            status = rf_log_get_info(late->store->log, &log, err);
        if (status == RF_OK && log.position > at + RF_CATCH_UP_BEHIND)
            target = log.position;
        if (status != RF_OK || target <= at)
            break;
        status = rf_catch_up_late_run(late, target, err);
    }
    return status;
}

/* Whether a flip can wait for the events up to `position`. */
static bool is_near(const rf_catch_up_late *late, uint64_t position)
{
    return late->catch_up && rf_catch_up_resumes_all(late->catch_up) &&
           position - rf_catch_up_position(late->catch_up) <= RF_CATCH_UP_IN_FLIP_MAX;
}

rf_status rf_catch_up_in_flip(void *arg, uint64_t position, const rf_catalog_move **move_out,
                              rf_err *err)
{
    rf_catch_up_late *late = arg;
    uint32_t count;

    late->is_far = late->pool && !late->takes_all && !is_near(late, position);
    if (late->is_far)
        return rf_fail(err, RF_ERR_LOCKED, "%s: the live generation moved on meanwhile", late->name);
    rf_status status = make_open(late, err);
    if (status == RF_OK)
        rf_catch_up_ask_expectations(late->catch_up, late->asks);
    if (status == RF_OK)
        status = rf_catch_up_fold(late->catch_up, position, late->cancel, err);
    if (status != RF_OK)
        return status;
    *move_out = rf_catch_up_moves(late->catch_up, &count);
    late->in_flip = true;
    RF_ASSERT(count == 1);
    return RF_OK;
}

static rf_catch_up_late *late_of(const rf_catalog_change *change)
{
    return change->catch_up == rf_catch_up_in_flip ? change->catch_up_arg : NULL;
}

static rf_status begin_try(rf_catch_up_late *late, bool is_last, rf_err *err)
{
    late->in_flip = late->is_far = false;
    late->takes_all = is_last;
    late->past_gates = true;
    return rf_catch_up_late_rounds(late, false, err);
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

    late->is_far = true;
    for (int round = 1; status == RF_ERR_LOCKED && late->is_far && round <= RF_CATCH_UP_ROUNDS;
         round++) {
        rf_err failure = {0};
        status = begin_try(late, round == RF_CATCH_UP_ROUNDS, &failure);
        if (status == RF_OK)
            status = rf_catalog_replace(late->store->catalog, manifest, late->target,
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

    for (int round = 1; again && round <= RF_CATCH_UP_ROUNDS; round++) {
        rf_err failure = {0};
        again = false;
        status = RF_OK;
        for (uint32_t i = 0; status == RF_OK && i < count; i++)
            if (late_of(&changes[i]))
                status = begin_try(late_of(&changes[i]), round == RF_CATCH_UP_ROUNDS, &failure);
        if (status == RF_OK)
            status = rf_catalog_flip(catalog, changes, count, wait_lock_ms, from_out, &failure);
        for (uint32_t i = 0; i < count; i++) {
            rf_catch_up_late *late = late_of(&changes[i]);
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
