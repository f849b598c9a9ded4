/* What upcasters make of an event's fields; see plan_state.h.
 *
 * A traced fill goes from its last upcaster down: each layer gives what it assigned, and what is
 * stored is read for the rest only, so that a value that was assigned anew need not be of the field's
 * kind where it was stored.
 */
#include "rebuild/plan_state.h"

#include "rebuild/assigned.h"

#include <stdlib.h>

enum { BATCH_EVENTS = 512 };

static rf_status no_memory(rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "out of memory for what upcasters assign");
}

/* ---- traced fills ---- */

/* A value that an upcaster, or a default, gives to an event, as a member at `to`. `who`: whose
 * it is. */
static rf_status assign(const rf_fill *fill, const rf_assigned *assigned,
                        const rf_evolution_upcast *who, rf_arena *text, char *to, rf_err *err)
{
    rf_convert_fault found = {.ordinal = 0};
    char digits[RF_VALUE_TEXT_SIZE];
    bool memory;

    found.fault = rf_assigned_convert(&fill->origin->field, assigned, text, to, &memory);
    if (found.fault == RF_VALUE_OK)
        return RF_OK;
    if (memory)
        return no_memory(err);
    found.compound = !rf_assigned_show(assigned, digits, &found.scalar);
    rf_status status = rf_convert_refuse(fill->origin, &found, err);
    (void)rf_err_context(err, "upcast of %.*s %lld", (int)who->type.size, who->type.data,
                         (long long)who->schema);
    return status;
}

/* What went wrong with an event: noted where the plan is lenient, else the bind's failure. */
static rf_status tell(rf_plan *plan, const rf_plan_input *input, uint32_t lane, uint32_t ordinal,
                      uint32_t definition, const rf_err *found, rf_plan_fault *fault_out,
                      rf_err *err)
{
    rf_status status = rf_plan_forgive(plan, lane, ordinal, definition, found->status, found, err);

    if (status != RF_OK && status != RF_ERR_MEMORY && status != RF_ERR_INTERRUPTED)
        rf_plan_blame(plan, input->segment, lane, ordinal, definition, fault_out);
    return status;
}

/* The same as assign, for event `ordinal` among the fill's members. */
static rf_status put_assigned(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                              const rf_fill *fill, uint32_t ordinal, const rf_assigned *assigned,
                              const rf_evolution_upcast *who, rf_plan_fault *fault_out,
                              rf_err *err)
{
    size_t size = rf_kind_size(fill->field->field.kind);
    rf_err found;

    fill->members.present[ordinal] = true;
    rf_status status =
        assign(fill, assigned, who, input->text, fill->members.values + ordinal * size, &found);
    return status == RF_OK ? RF_OK
                           : tell(plan, input, lane, ordinal, fill->call->definition, &found,
                                  fault_out, err);
}

/* Takes what one layer assigned; what it left stays in *left, of which there are *left_count. */
static rf_status take_layer(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                            const rf_fill *fill, const rf_trace_layer *layer, uint8_t *left,
                            uint32_t *left_count, rf_plan_fault *fault_out, rf_err *err)
{
    const rf_producer *producer = &fill->producers[layer->step];
    const rf_assigned *values = producer->assigned[layer->assigned];
    rf_status status = RF_OK;

    for (uint32_t i = fill->members.begin; status == RF_OK && i < fill->members.end; i++) {
        const rf_assigned *value = &values[i];
        if (!left[i] || value->kind == RF_ASSIGNED_NOT)
            continue;
        left[i] = 0;
        --*left_count;
        bool missing = layer->hides || value->kind == RF_ASSIGNED_NIL;
        if (!missing)
            status = put_assigned(plan, input, lane, fill, i, value, producer->upcast, fault_out,
                                  err);
        else if (layer->fallback.value.kind > RF_ASSIGNED_NIL)
            status = put_assigned(plan, input, lane, fill, i, &layer->fallback.value,
                                  layer->fallback.of, fault_out, err);
    }
    return status;
}

/* The same for all events: it is put into the struct. */
static rf_status put_constant(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                              rf_fill *fill, rf_plan_fault *fault_out, rf_err *err)
{
    const rf_field *field = &fill->field->field;
    bool present = fill->fallback.value.kind > RF_ASSIGNED_NIL;
    rf_members one = {.count = 1};
    rf_members all = rf_plan_members(plan, input, lane);
    rf_err found;

    fill->members = (rf_members){0};
    rf_status status = rf_convert_unset(field, &one, &plan->scratch, err);
    if (status != RF_OK)
        return status;
    if (present && assign(fill, &fill->fallback.value, fill->fallback.of, input->text, one.values,
                          &found) != RF_OK)
        for (uint32_t i = all.begin; status == RF_OK && i < all.end; i++)
            if (!all.mask || all.mask[i])
                status = tell(plan, input, lane, i, fill->call->definition, &found, fault_out, err);
    if (status != RF_OK)
        return status;
    memcpy(fill->call->event + field->offset, one.values, rf_kind_size(field->kind));
    if (field->present_offset != RF_NO_PRESENT)
        *(bool *)(fill->call->event + field->present_offset) = present;
    return RF_OK;
}

/* From the columns of the stored path, for the events that are left. */
static rf_status take_columns(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                              const rf_fill *fill, const rf_path_columns *path,
                              rf_plan_fault *fault_out, rf_err *err)
{
    rf_plan_faults_of of;
    rf_convert_fault found = rf_plan_note(plan, lane, fill, &of);
    rf_converted from;
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < path->count; i++) {
        status = rf_convert_column(&fill->field->field, &path->columns[i], &plan->scratch, &from,
                                   err);
        if (status == RF_OK)
            rf_convert_scatter(&fill->field->field, &path->columns[i], &from, &fill->members,
                               &found);
    }
    if (status != RF_OK || found.ordinal == UINT32_MAX)
        return status;
    return rf_plan_refuse(plan, input->segment, lane, fill, &found, fault_out, err);
}

/* Members with a presence, and a mask that changes. */
static rf_status begin_members(rf_plan *plan, rf_fill *fill, uint8_t **left_out,
                               uint32_t *left_count_out, rf_err *err)
{
    const uint8_t *lane_mask = fill->members.mask;
    rf_members *members = &fill->members;
    uint8_t *left = rf_arena_alloc(&plan->scratch, members->count);

    rf_status status = rf_convert_unset(&fill->field->field, members, &plan->scratch, err);
    if (status != RF_OK || !left)
        return status == RF_OK ? no_memory(err) : status;
    if (!members->present) {
        members->present = rf_arena_alloc(&plan->scratch, members->count * sizeof(bool));
        if (!members->present)
            return no_memory(err);
        memset(members->present, 0, members->count * sizeof(bool));
    }
    *left_count_out = 0;
    for (uint32_t i = 0; i < members->count; i++) {
        left[i] = i >= members->begin && i < members->end && (!lane_mask || lane_mask[i]);
        *left_count_out += left[i];
    }
    members->mask = left;
    *left_out = left;
    return RF_OK;
}

/* A column that all events have needs no default. */
static bool take_whole(rf_plan *plan, const rf_fill *fill, const rf_path_columns *path)
{
    const rf_field *field = &fill->field->field;
    rf_converted from;

    if (fill->layer_count > 0 || fill->payload || path->count != 1 || path->columns[0].present ||
        field->present_offset != RF_NO_PRESENT ||
        rf_convert_column(field, &path->columns[0], &plan->scratch, &from, NULL) != RF_OK ||
        from.faults)
        return false;
    rf_plan_add_move(fill->call, &(rf_plan_move){.from = from.values,
                                                 .codes = from.codes,
                                                 .offset = field->offset,
                                                 .size = (uint8_t)from.size,
                                                 .by = RF_BY_ORDINAL});
    return true;
}

rf_status rf_plan_fill_traced(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                              rf_fill *fill, const rf_path_columns *path, rf_plan_fault *fault_out,
                              rf_err *err)
{
    uint8_t *left = NULL;
    uint32_t left_count = 0;

    fill->payload = fill->payload && fill->field->path_text.data != NULL;
    fill->members = rf_plan_members(plan, input, lane);
    if (fill->layer_count == 0 && path->count == 0 && !fill->payload)
        return put_constant(plan, input, lane, fill, fault_out, err);
    if (take_whole(plan, fill, path)) {
        fill->members = (rf_members){0};
        return RF_OK;
    }
    rf_status status = begin_members(plan, fill, &left, &left_count, err);
    for (uint32_t i = 0; status == RF_OK && i < fill->layer_count && left_count > 0; i++)
        status = take_layer(plan, input, lane, fill, &fill->layers[i], left, &left_count,
                            fault_out, err);
    fill->payload = fill->payload && left_count > 0;
    if (status == RF_OK && !fill->payload && left_count > 0)
        status = take_columns(plan, input, lane, fill, path, fault_out, err);
    if (status != RF_OK)
        return status;
    rf_members asked = fill->members;
    if (fill->field->field.present_offset == RF_NO_PRESENT)
        asked.present = NULL;
    rf_plan_add_members(fill->call, &fill->field->field, &asked);
    return RF_OK;
}

rf_status rf_plan_finish_traced(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                                const rf_fill *fill, rf_plan_fault *fault_out, rf_err *err)
{
    const rf_members *members = &fill->members;
    rf_status status = RF_OK;

    if (!members->values || fill->fallback.value.kind <= RF_ASSIGNED_NIL)
        return RF_OK;
    for (uint32_t i = members->begin; status == RF_OK && i < members->end; i++)
        if (members->mask[i] && !members->present[i])
            status = put_assigned(plan, input, lane, fill, i, &fill->fallback.value,
                                  fill->fallback.of, fault_out, err);
    return status;
}

/* ---- running upcasters ---- */

/* Events of the lane, on their way through a function. */
struct batch {
    char *events;
    uint32_t *ordinals;
    rf_assigned **assigned;
    rf_assigned **rest; /* the same behind an event that failed */
    uint32_t count;
};

static rf_status state_of(rf_plan *plan, uint32_t definition, const rf_upcast_ops *ops, void *arg,
                          void **state_out, rf_err *err)
{
    if (!plan->upcast_states)
        plan->upcast_states = calloc(plan->binder.definition_count, sizeof(void *));
    if (!plan->upcast_states)
        return no_memory(err);
    rf_status status = RF_OK;
    if (!plan->upcast_states[definition] && ops->open)
        status = ops->open(arg, plan->cancel, &plan->upcast_states[definition], err);
    *state_out = ops->open ? plan->upcast_states[definition] : arg;
    return status;
}

void rf_plan_close_upcasts(rf_plan *plan)
{
    for (uint32_t d = 0; plan->upcast_states && d < plan->binder.definition_count; d++) {
        void *arg;
        const rf_evolution *evolution = plan->binder.definitions[d]->evolution;
        if (plan->upcast_states[d])
            rf_evolution_ops(evolution, &arg)->close(plan->upcast_states[d]);
    }
    free(plan->upcast_states);
    plan->upcast_states = NULL;
}

static rf_status begin_batch(rf_plan *plan, const rf_evolution_upcast *upcast, struct batch *batch,
                             rf_err *err)
{
    batch->count = 0;
    batch->events = rf_arena_alloc(&plan->scratch, BATCH_EVENTS * upcast->input.event_size);
    batch->ordinals = rf_arena_alloc(&plan->scratch, BATCH_EVENTS * sizeof *batch->ordinals);
    batch->assigned =
        rf_arena_alloc(&plan->scratch, upcast->assigned_count * sizeof(rf_assigned *));
    batch->rest =
        rf_arena_alloc(&plan->scratch, upcast->assigned_count * sizeof(rf_assigned *));
    bool made = batch->events && batch->ordinals && batch->assigned && batch->rest;
    for (uint32_t i = 0; made && i < upcast->assigned_count; i++) {
        batch->assigned[i] = rf_arena_alloc(&plan->scratch, BATCH_EVENTS * sizeof(rf_assigned));
        made = batch->assigned[i] != NULL;
    }
    return made ? RF_OK : no_memory(err);
}

/* Moves that read their field as some kind: what is missing becomes missing. */
static void run_moves(const rf_evolution_upcast *upcast, const struct batch *batch)
{
    for (uint32_t m = 0; m < upcast->assigned_count; m++) {
        if (!upcast->moves[m].typed)
            continue;
        const rf_field *field = &upcast->input.fields[upcast->moves[m].input].field;
        for (uint32_t i = 0; i < batch->count; i++) {
            const char *event = batch->events + i * upcast->input.event_size;
            batch->assigned[m][i] = *(const bool *)(event + field->present_offset)
                                        ? rf_assigned_of(field, event)
                                        : (rf_assigned){.kind = RF_ASSIGNED_NIL};
        }
    }
}

/* Runs a function over a batch; of a lenient plan, past events that fail. */
static rf_status run_function(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                              const rf_producer *producer, const struct batch *batch,
                              rf_plan_fault *fault_out, rf_err *err)
{
    const rf_evolution_upcast *upcast = producer->upcast;
    const rf_evolution *evolution = plan->binder.definitions[producer->definition]->evolution;
    void *state = NULL;
    void *arg;

    const rf_upcast_ops *ops = rf_evolution_ops(evolution, &arg);
    rf_status status = state_of(plan, producer->definition, ops, arg, &state, err);
    for (uint32_t done = 0; status == RF_OK && done < batch->count;) {
        rf_upcast_batch run = {
            .events = batch->events + done * upcast->input.event_size,
            .event_size = upcast->input.event_size,
            .count = batch->count - done,
            .assigned = batch->rest,
            .text = input->text,
        };
        rf_err found;
        for (uint32_t i = 0; i < upcast->assigned_count; i++)
            batch->rest[i] = batch->assigned[i] + done;
        if (ops->run(state, upcast->index, &run, &found) == RF_OK)
            break;
        done += run.failed < run.count ? run.failed : 0;
        if (found.status != RF_ERR_INTERRUPTED)
            (void)rf_err_context(&found, "upcast of %.*s %lld", (int)upcast->type.size,
                                 upcast->type.data, (long long)upcast->schema);
        status = tell(plan, input, lane, batch->ordinals[done++], producer->definition, &found,
                      fault_out, err);
    }
    return status;
}

/* Runs a batch and puts what it assigned to the type's events. */
static rf_status run_batch(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                           const rf_producer *producer, struct batch *batch,
                           rf_plan_fault *fault_out, rf_err *err)
{
    const rf_evolution_upcast *upcast = producer->upcast;
    rf_status status = RF_OK;

    for (uint32_t i = 0; i < upcast->assigned_count; i++)
        memset(batch->assigned[i], 0, batch->count * sizeof(rf_assigned));
    if (upcast->function)
        status = run_function(plan, input, lane, producer, batch, fault_out, err);
    else
        run_moves(upcast, batch);
    for (uint32_t i = 0; status == RF_OK && i < upcast->assigned_count; i++)
        for (uint32_t k = 0; k < batch->count; k++)
            producer->assigned[i][batch->ordinals[k]] = batch->assigned[i][k];
    batch->count = 0;
    return status;
}

rf_status rf_plan_produce(rf_plan *plan, const rf_plan_input *input, uint32_t lane,
                          const rf_stage *stage, rf_plan_fault *fault_out, rf_err *err)
{
    const rf_producer *producer = stage->producer;
    const rf_evolution_upcast *upcast = producer->upcast;
    uint32_t type_count = input->segment->types[plan->lanes[lane].stored_type].count;
    size_t event_size = upcast->input.event_size;
    uint32_t next = plan->types[lane].events_before;
    struct batch batch;

    rf_status status = begin_batch(plan, upcast, &batch, err);
    for (uint32_t i = 0; status == RF_OK && i < upcast->assigned_count; i++) {
        producer->assigned[i] = rf_arena_alloc(&plan->scratch, type_count * sizeof(rf_assigned));
        if (!producer->assigned[i])
            return no_memory(err);
        memset(producer->assigned[i], 0, type_count * sizeof(rf_assigned));
    }
    for (uint32_t i = input->begin; status == RF_OK && i < input->end; i++) {
        uint32_t stream = plan->event_streams[i];
        if (!rf_plan_in_lane(plan, i, lane))
            continue;
        uint32_t ordinal = plan->split ? plan->event_ordinals[i] : next++;
        if (stream < input->stream_first || stream >= input->stream_end)
            continue;
        if (event_size > 0)
            memcpy(batch.events + batch.count * event_size,
                   rf_plan_event(&stage->calls[0], i, ordinal, stream - input->stream_first),
                   event_size);
        batch.ordinals[batch.count++] = ordinal;
        if (batch.count == BATCH_EVENTS)
            status = run_batch(plan, input, lane, producer, &batch, fault_out, err);
    }
    if (status == RF_OK && batch.count > 0)
        status = run_batch(plan, input, lane, producer, &batch, fault_out, err);
    return status;
}
