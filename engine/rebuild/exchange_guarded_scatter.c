/* Scattering a segment's events of which some are left out: those put aside on record, those whose
 * values are not of their kinds and, under a policy, those that are known to fail. What is left out
 * carries nothing. See exchange_guard.h.
 *
 * An event that is left out by a policy is tried: it carries what it would, its keys are made and its
 * calls delivered, and what it carried is taken back. Whoever folds the calls knows that they are
 * tried. One whose values are not of their kinds cannot be tried: its calls only tell which rows it
 * is of, where a quarantine shuts these. */
#include "rebuild/exchange_job.h"

/* A carried value before an event that is tried. */
typedef struct kept_value {
    uint32_t slot;
    rf_carried_value value;
} kept_value;

/* Bit of a handler among those whose keys cannot be told (rf_plan_faulty). */
static bool is_unknown(const rf_plan_faulty *faulty, const rf_exchange_call *call)
{
    return faulty && (faulty->marks & rf_keying_mark(call->index)) != 0;
}

/* The calls of an event that is tried, in order; *certain_out: it fails whatever becomes of its rows,
 * because it has a key that cannot be told. False at a fault. */
static bool try_calls(rf_exchange_worker *worker, const rf_exchange_lane *lane,
                      const rf_exchange_stand *at, uint32_t index, uint32_t ordinal,
                      const rf_plan_faulty *faulty, bool *certain_out)
{
    rf_carried *carried = &at->source->carried;
    kept_value *kept = rf_arena_alloc(&worker->scratch, (lane->call_count + 1) * sizeof *kept);
    uint32_t kept_count = 0;
    bool keyed = false;
    bool fine = kept != NULL;

    *certain_out = false;
    if (!kept)
        rf_exchange_fault(worker->job, RF_ERR_MEMORY, at->position, 0, RF_SLICE(""),
                          "out of memory for what is carried");
    for (uint32_t c = 0; fine && c < lane->call_count; c++) {
        const rf_exchange_call *call = &lane->calls[c];
        if (is_unknown(faulty, call)) {
            *certain_out = true;
            continue;
        }
        if (call->way == RF_EXCHANGE_CARRY) {
            uint32_t slot = call->handler->slot;
            kept[kept_count++] = (kept_value){slot, rf_carried_keep(carried, slot, at->stream)};
        }
        worker->goes_on = worker->lacks_key = false;
        fine = rf_exchange_scatter_call(worker, call, at, index, ordinal);
        keyed = keyed || (call->way != RF_EXCHANGE_CARRY && call->way != RF_EXCHANGE_EVERY_ROW &&
                          !worker->lacks_key);
        *certain_out = *certain_out || (worker->goes_on && !worker->lacks_key);
    }
    while (kept_count > 0) {
        kept_count--;
        rf_carried_take_back(carried, kept[kept_count].slot, at->stream, kept[kept_count].value);
    }
    *certain_out = *certain_out || !keyed;
    return fine;
}

/* Under a policy: an event that is known to fail, or whose values are not of their kinds. False at a
 * fault. */
static bool try_event(rf_exchange_worker *worker, const rf_exchange_lane *lane,
                      const rf_exchange_stand *at, uint32_t index, uint32_t ordinal,
                      const rf_plan_faulty *faulty)
{
    const rf_exchange *job = worker->job;
    bool certain = true;
    bool fine = true;

    if (worker->own && !rf_exchange_combine(worker))
        return false;
    worker->tried = true;
    worker->spoilt = faulty ? faulty->reason.data : NULL;
    if (!faulty || job->guard.shuts)
        fine = try_calls(worker, lane, at, index, ordinal, faulty, &certain);
    if (fine && worker->own)
        fine = rf_exchange_combine(worker);
    if (fine && faulty && certain)
        rf_exchange_note_call(worker, at->position, 0, NULL, faulty->reason.data);
    if (fine && faulty && job->guard.shuts && !worker->own) {
        rf_slice reason = rf_arena_copy(&worker->text, faulty->reason);
        fine = reason.data && rf_exchange_spoilt_add(&worker->spoilt_events, at->position, reason);
        if (!fine)
            rf_exchange_fault(worker->job, RF_ERR_MEMORY, at->position, 0, RF_SLICE(""),
                              "out of memory for events that failed");
    }
    worker->tried = false;
    worker->spoilt = NULL;
    return fine;
}

/* What goes along with a segment's events. */
typedef struct walk {
    uint32_t skip, known; /* next of those put aside on record, and of those known to fail */
    const rf_plan_faulty *faulty, *faulty_end;
} walk;

static bool is_listed(const uint64_t *positions, uint32_t count, uint32_t *next, uint64_t position)
{
    while (*next < count && positions[*next] < position)
        ++*next;
    return *next < count && positions[*next] == position;
}

/* One event. False at a fault. */
static bool take_event(rf_exchange_worker *worker, const rf_exchange_lane *lane,
                       const rf_exchange_stand *at, uint32_t index, uint32_t ordinal,
                       walk *along)
{
    rf_exchange *job = worker->job;
    const rf_fault_policy *policy = &job->target->policy;
    const rf_exchange_guard *guard = &job->guard;

    while (along->faulty < along->faulty_end && along->faulty->event < index)
        along->faulty++;
    bool spoilt = along->faulty < along->faulty_end && along->faulty->event == index;
    bool known = is_listed(guard->known, guard->known_count, &along->known, at->position);
    if (lane->call_count == 0 ||
        is_listed(policy->skips, policy->skip_count, &along->skip, at->position))
        return true;
    worker->lacks_key = false;
    if (guard->on && (spoilt || known))
        return try_event(worker, lane, at, index, ordinal, spoilt ? along->faulty : NULL);
    worker->events += job->counts && lane->is_handled;
    if (spoilt) {
        rf_exchange_fault(job, RF_ERR_INPUT, at->position, 0, RF_SLICE(""),
                          along->faulty->reason.data);
        return false;
    }
    bool fine = rf_exchange_scatter_event(worker, lane, at, index, ordinal);
    worker->keyless += job->counts && worker->lacks_key;
    return fine;
}

bool rf_exchange_scatter_guarded(rf_exchange_worker *worker, const rf_step *step,
                                 rf_exchange_source *source)
{
    const uint32_t *listed = step->bound.listed;
    uint32_t begin = listed ? 0 : step->log.begin;
    uint32_t end = listed ? step->bound.listed_count : step->log.end;
    uint64_t first = step->log.segment.first_position;
    walk along = {
        .skip = rf_fault_policy_seek(&worker->job->target->policy, first),
        .known = rf_exchange_guard_seek(&worker->job->guard, first),
        .faulty = step->bound.faults,
        .faulty_end = step->bound.faults + step->bound.fault_count,
    };
    bool fine = true;

    for (uint32_t at_event = begin; fine && at_event < end; at_event++) {
        uint32_t i = listed ? listed[at_event] : at_event;
        rf_exchange_lane *lane = &worker->lanes[step->bound.event_types[i]];
        const rf_exchange_stand at = {(uint64_t)worker->positions[i],
                                             step->bound.event_streams[i], source};
        uint32_t ordinal =
            step->bound.event_ordinals ? step->bound.event_ordinals[i] : lane->ordinal++;
        fine = take_event(worker, lane, &at, i, ordinal, &along);
    }
    return (worker->pending_count == 0 || rf_exchange_combine(worker)) && fine;
}
