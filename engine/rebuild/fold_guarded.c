/* Folding a segment's events where some may have to be left out; see faults.h and fold.h.
 *
 * The same as the loop of fold_events.c, but that each event is looked at first: whether its key is
 * in quarantine, whether it is put aside, whether its values converted. The row is copied before a
 * handler gets it, and given back where one fails. So no other path pays for it. Rows whose faults
 * show late (rf_definition.faults_late) go this way too: the event is found by repeating.
 */
#include "rebuild/fold_job.h"

#include <stdio.h>
#include <stdlib.h>

/* What is left of the lists that go along with the events of a segment. */
struct guard {
    const rf_fault_policy *policy;
    uint32_t target;
    uint32_t skip;   /* next position that is put aside */
    uint32_t faulty; /* next event whose values do not convert */
};

static bool is_put_aside(struct guard *guard, uint64_t position)
{
    const rf_fault_policy *policy = guard->policy;

    while (guard->skip < policy->skip_count && policy->skips[guard->skip] < position)
        guard->skip++;
    return guard->skip < policy->skip_count && policy->skips[guard->skip] == position;
}

/* Why the event's values do not convert; NULL if they do. */
static const rf_slice *conversion_fault(struct guard *guard, const rf_plan_segment *bound,
                                        uint32_t event)
{
    while (guard->faulty < bound->fault_count && bound->faults[guard->faulty].event < event)
        guard->faulty++;
    for (uint32_t i = guard->faulty; i < bound->fault_count && bound->faults[i].event == event; i++)
        if (bound->faults[i].definition == guard->target)
            return &bound->faults[i].reason;
    return NULL;
}

rf_status rf_fold_leave_out(rf_fold_worker *worker, const rf_step *step, uint32_t target,
                            uint32_t event, rf_slice reason, rf_err *err)
{
    const rf_fault_policy *policy = &worker->job->targets[target].policy;
    rf_faults *faults = &worker->faults[target];
    uint32_t stream = step->bound.event_streams[event];
    const rf_fault fault = {
        .position = (uint64_t)worker->positions[event],
        .stream_number = stream,
        .type = step->bound.types[step->bound.event_types[event]].name,
        .reason = reason,
    };

    rf_status status = rf_faults_add(faults, &fault, err);
    if (status != RF_OK)
        return status;
    if (policy->on_error == RF_ON_ERROR_QUARANTINE)
        worker->states[target].flags[stream - worker->range.first] = RF_STATE_QUARANTINED;
    if (faults->count - worker->faults_begin[target] <= policy->errors_max)
        return RF_OK;
    char why[RF_FOLD_REASON_SIZE + 64];
    (void)snprintf(why, sizeof why, "more than %llu events failed (--max-errors); one: %.*s",
                   (unsigned long long)policy->errors_max,
                   (int)(reason.size < RF_FOLD_REASON_SIZE - 64 ? reason.size
                                                                : RF_FOLD_REASON_SIZE - 64),
                   reason.data);
    status = rf_fold_blame(worker, &step->log, event, target, RF_ERR_PLUGIN, why, err);
    worker->failure = (rf_fold_failure){0}; /* putting this one aside would not help */
    return status;
}

/* One event's handlers, the row kept aside meanwhile. *reason_out is NULL where it was folded. */
static rf_status fold_one(rf_fold_worker *worker, const struct guard *guard, const rf_step *step,
                          uint32_t event, uint32_t ordinal, uint32_t stream,
                          const char **reason_out, rf_err *err)
{
    const rf_state *state = &worker->states[guard->target];
    const rf_fold_lane *lane = &worker->lanes[step->bound.event_types[event]];
    char *row = state->rows + stream * state->stride;
    uint8_t flags = state->flags[stream];

    if (flags & RF_STATE_TOUCHED)
        memcpy(worker->row_before, row, state->definition->row_size);
    worker->context.reason[0] = '\0';
    rf_fold_result result =
        rf_fold_call(&worker->context.fold, state, lane, event, ordinal, stream);
    *reason_out = NULL;
    if (!worker->out_of_memory &&
        (result == RF_ROW_WRITTEN || result == RF_ROW_UNCHANGED || result == RF_ROW_DELETED)) {
        worker->events[guard->target]++;
        return RF_OK;
    }
    if (worker->out_of_memory || result != RF_FOLD_FAILED ||
        guard->policy->on_error == RF_ON_ERROR_STOP)
        return rf_fold_refuse_result(worker, &step->log, event, guard->target, result, err);
    if (flags & RF_STATE_TOUCHED)
        memcpy(row, worker->row_before, state->definition->row_size);
    state->flags[stream] = flags;
    *reason_out = worker->context.reason[0] ? worker->context.reason : RF_FOLD_NO_REASON;
    return RF_OK;
}

static rf_status guard_event(rf_fold_worker *worker, struct guard *guard, const rf_step *step,
                             uint32_t event, uint32_t ordinal, uint32_t stream, rf_err *err)
{
    const uint8_t *flags = &worker->states[guard->target].flags[stream];
    bool batched = worker->runners[guard->target] != NULL;
    const char *failed = NULL;
    rf_status status = RF_OK;

    if ((*flags & RF_STATE_QUARANTINED) ||
        is_put_aside(guard, (uint64_t)worker->positions[event]))
        return RF_OK;
    const rf_slice *reason = conversion_fault(guard, &step->bound, event);
    if (!reason && batched)
        return rf_fold_guarded_batch_add(worker, step, guard->target, event, ordinal, stream, err);
    if (reason && batched) /* what waits may shut the key out before this event does */
        status = rf_fold_guarded_batch_settle(worker, step, guard->target, err);
    if (status != RF_OK || (*flags & RF_STATE_QUARANTINED))
        return status;
    if (reason && guard->policy->on_error == RF_ON_ERROR_STOP)
        return rf_fold_blame(worker, &step->log, event, guard->target, RF_ERR_INPUT, reason->data,
                             err);
    if (reason)
        return rf_fold_leave_out(worker, step, guard->target, event, *reason, err);
    status = fold_one(worker, guard, step, event, ordinal, stream, &failed, err);
    if (status == RF_OK && failed)
        status = rf_fold_leave_out(worker, step, guard->target, event, rf_slice_of(failed), err);
    return status;
}

bool rf_fold_needs_guard(const rf_fold_worker *worker, const rf_step *step, uint32_t target)
{
    const rf_fault_policy *policy = &worker->job->targets[target].policy;

    return worker->job->definitions[target]->faults_late ||
           policy->on_error != RF_ON_ERROR_STOP || step->bound.fault_count > 0 ||
           rf_fault_policy_skips_any(policy, step->log.segment.first_position,
                                     step->log.segment.last_position);
}

rf_status rf_fold_guarded(rf_fold_worker *worker, const rf_step *step, uint32_t target, rf_err *err)
{
    const rf_fold_target *to = &worker->job->targets[target];
    const uint32_t *listed = step->bound.listed;
    uint32_t begin = listed ? 0 : step->log.begin;
    uint32_t end = listed ? step->bound.listed_count : step->log.end;
    const uint32_t *types = step->bound.event_types;
    const uint32_t *streams = step->bound.event_streams;
    struct guard guard = {
        .policy = &to->policy,
        .target = target,
        .skip = rf_fault_policy_seek(&to->policy, step->log.segment.first_position),
    };

    if (!worker->positions)
        worker->positions = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *worker->positions);
    if (!worker->positions)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the positions of events");
    if (worker->runners[target])
        rf_runner_forget(worker->runners[target]);
    rf_status status = rf_segment_envelope(&step->log.segment, RF_ENVELOPE_POSITION,
                                           worker->positions, NULL, err);
    for (uint32_t at = begin; status == RF_OK && at < end; at++) {
        uint32_t i = listed ? listed[at] : at;
        rf_fold_lane *lane = &worker->lanes[types[i]];
        uint32_t ordinal =
            step->bound.event_ordinals ? step->bound.event_ordinals[i] : lane->ordinal++;
        uint32_t stream = streams[i] - worker->range.first;
        if (lane->call_count > 0 && stream < worker->range.count)
            status = guard_event(worker, &guard, step, i, ordinal, stream, err);
    }
    if (status == RF_OK && worker->runners[target])
        status = rf_fold_guarded_batch_settle(worker, step, target, err);
    return status;
}
