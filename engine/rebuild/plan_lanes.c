/* Lanes of a segment whose events upcasters tell apart; see plan_state.h. */
#include "rebuild/plan_state.h"

#include <stdlib.h>

static rf_status no_memory(rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment's events");
}

static rf_status reserve_events(rf_plan *plan, rf_err *err)
{
    if (!plan->event_lanes)
        plan->event_lanes = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *plan->event_lanes);
    if (!plan->event_ordinals)
        plan->event_ordinals = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *plan->event_ordinals);
    return plan->event_lanes && plan->event_ordinals ? RF_OK : no_memory(err);
}

/* The lane of a type's events of a schema: the type's own for the first one that is met. */
static rf_status lane_of(rf_plan *plan, uint32_t type, int64_t schema, uint32_t *lane_out,
                         rf_err *err)
{
    uint32_t lane = plan->lane_count;

    if (plan->lanes[type].schema == schema || plan->lanes[type].schema == 0) {
        plan->lanes[type].schema = schema;
        *lane_out = type;
        return RF_OK;
    }
    for (uint32_t l = 0; l < plan->lane_count; l++)
        if (plan->lanes[l].stored_type == type && plan->lanes[l].schema == schema) {
            *lane_out = l;
            return RF_OK;
        }
    rf_status status = rf_plan_reserve_lanes(plan, lane + 1, err);
    if (status != RF_OK)
        return status;
    plan->lane_count++;
    plan->lanes[lane] = plan->lanes[type];
    plan->lanes[lane].schema = schema;
    plan->types[lane] = plan->types[type];
    plan->types[lane].count = 0;
    *lane_out = lane;
    return RF_OK;
}

/* Lanes and ordinals of all events, and the events of each lane counted. */
static rf_status tell_apart(rf_plan *plan, const rf_segment *segment, rf_err *err)
{
    uint32_t *ordinals = rf_arena_alloc(&plan->scratch, segment->type_count * sizeof *ordinals);

    if (!ordinals)
        return no_memory(err);
    memset(ordinals, 0, segment->type_count * sizeof *ordinals);
    for (uint32_t t = 0; t < segment->type_count; t++)
        plan->types[t].count = 0;
    for (uint32_t i = 0; i < segment->count; i++) {
        uint32_t type = plan->event_types[i];
        uint32_t lane = type;
        if (plan->lanes[type].binding->by_schema) {
            rf_status status =
                lane_of(plan, type, plan->envelope[RF_ENVELOPE_SCHEMA][i], &lane, err);
            if (status != RF_OK)
                return status;
        }
        plan->types[lane].count++;
        plan->event_lanes[i] = lane;
        plan->event_ordinals[i] = ordinals[type]++;
    }
    return RF_OK;
}

/* A mask for each lane that has not all events of its type, or whose upcasters shall not see those
 * whose streams are out of range. */
static rf_status make_masks(rf_plan *plan, const rf_plan_input *input, rf_err *err)
{
    const rf_segment *segment = input->segment;
    bool ranged = input->stream_first > 0 || input->stream_end < input->stream_count;
    uint8_t **masks = rf_arena_alloc(&plan->scratch, plan->lane_count * sizeof *masks);

    if (!masks)
        return no_memory(err);
    for (uint32_t lane = 0; lane < plan->lane_count; lane++) {
        uint32_t count = segment->types[plan->lanes[lane].stored_type].count;
        bool part = plan->types[lane].count < count;
        masks[lane] = NULL;
        if (plan->types[lane].call_count == 0 ||
            (!part && !(ranged && plan->lanes[lane].binding->traced)))
            continue;
        masks[lane] = rf_arena_alloc(&plan->scratch, count);
        if (!masks[lane])
            return no_memory(err);
        memset(masks[lane], 0, count);
        plan->lanes[lane].mask = masks[lane];
    }
    for (uint32_t i = input->begin; i < input->end; i++) {
        uint8_t *mask = masks[plan->event_lanes[i]];
        uint32_t stream = plan->event_streams[i];
        if (mask && stream >= input->stream_first && stream < input->stream_end)
            mask[plan->event_ordinals[i]] = 1;
    }
    return RF_OK;
}

rf_status rf_plan_split(rf_plan *plan, const rf_plan_input *input, rf_err *err)
{
    rf_status status = reserve_events(plan, err);

    if (status == RF_OK)
        status = rf_plan_read_envelope(plan, input->segment, RF_ENVELOPE_SCHEMA, err);
    if (status == RF_OK)
        status = tell_apart(plan, input->segment, err);
    if (status != RF_OK)
        return status;
    for (uint32_t lane = 0; lane < plan->lane_count; lane++) {
        rf_plan_lane *own = &plan->lanes[lane];
        if (!own->binding->by_schema || own->schema == 0)
            continue;
        rf_binding *binding = rf_binder_find(&plan->binder, own->binding->name, own->schema);
        if (!binding)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for the types of events");
        uint32_t before = plan->types[lane].events_before;
        rf_plan_bind_lane(plan, lane, binding, plan->types[lane].count);
        plan->types[lane].events_before = before;
    }
    plan->split = true;
    return make_masks(plan, input, err);
}

/* Makes note of the events that cannot be taken, by their ordinals. */
static void note_refused(rf_plan *plan, const rf_plan_input *input, uint32_t lane)
{
    const rf_binding *binding = plan->lanes[lane].binding;
    uint32_t type = plan->lanes[lane].stored_type;
    uint32_t ordinal = 0;

    for (uint32_t i = 0; i < input->end; i++) {
        if (plan->event_types[i] != type)
            continue;
        if (i >= input->begin && rf_plan_in_lane(plan, i, lane))
            rf_plan_faults_add(&plan->faults, type, ordinal, binding->refusal_definition,
                               RF_RANK_SCHEMA, UINT64_MAX, binding->refusal);
        ordinal++;
    }
}

rf_status rf_plan_check_lanes(rf_plan *plan, const rf_plan_input *input, rf_plan_fault *fault_out,
                              rf_err *err)
{
    bool refused = false;

    if (plan->faults.wanted) {
        for (uint32_t lane = 0; lane < plan->lane_count; lane++)
            if (plan->lanes[lane].binding->refusal)
                note_refused(plan, input, lane);
        return RF_OK;
    }

    for (uint32_t lane = 0; lane < plan->lane_count; lane++)
        refused = refused || plan->lanes[lane].binding->refusal;
    for (uint32_t i = input->begin; refused && i < input->end; i++) {
        uint32_t lane = (plan->split ? plan->event_lanes : plan->event_types)[i];
        uint32_t stream = plan->event_streams[i];
        if (lane >= plan->lane_count) /* of a type that is not read, nothing was checked */
            continue;
        const rf_binding *binding = plan->lanes[lane].binding;
        if (!binding->refusal || stream < input->stream_first || stream >= input->stream_end)
            continue;
        *fault_out = (rf_plan_fault){.event = i, .definition = binding->refusal_definition};
        return rf_fail(err, RF_ERR_INPUT, "%s", binding->refusal);
    }
    return RF_OK;
}
