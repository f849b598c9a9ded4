/* Folding by a runner: calls are gathered with a copy of each event struct, and run a batch at a
 * time; see fold.h and projection/runner.h.
 *
 * What the loop of fold_events.c does with a call's result, the runner does with the row's flags.
 */
#include "rebuild/fold_job.h"

#include <stdlib.h>

_Static_assert((int)RF_RUNNER_TOUCHED == (int)RF_STATE_TOUCHED, "flags of rows");
_Static_assert((int)RF_RUNNER_EXISTS == (int)RF_STATE_EXISTS, "flags of rows");

static rf_status batch_new(const rf_definition *definition, rf_fold_batch **batch_out, rf_err *err)
{
    rf_fold_batch *batch = calloc(1, sizeof *batch);

    if (batch) {
        for (uint32_t i = 0; i < definition->handler_count; i++)
            if (definition->handlers[i].event_size > batch->stride)
                batch->stride = definition->handlers[i].event_size;
        batch->structs = malloc(RF_FOLD_BATCH * batch->stride + 1);
    }
    if (!batch || !batch->structs) {
        free(batch);
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a batch of events",
                       definition->name);
    }
    *batch_out = batch;
    return RF_OK;
}

rf_status rf_fold_batch_begin(rf_fold_worker *worker, rf_err *err)
{
    const rf_fold_job *job = worker->job;
    rf_status status = RF_OK;

    worker->runners = calloc(job->target_count, sizeof(rf_runner *));
    worker->batches = calloc(job->target_count, sizeof(rf_fold_batch *));
    if (!worker->runners || !worker->batches)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for worker %u of a fold",
                       worker->index + 1);
    for (uint32_t i = 0; status == RF_OK && i < job->target_count; i++) {
        if (!job->definitions[i]->lua)
            continue;
        status = rf_runner_new(job->definitions[i], job->options->cancel, &worker->runners[i], err);
        if (status == RF_OK)
            status = batch_new(job->definitions[i], &worker->batches[i], err);
    }
    return status;
}

void rf_fold_batch_end(rf_fold_worker *worker)
{
    for (uint32_t i = 0; worker->runners && i < worker->job->target_count; i++)
        rf_runner_free(worker->runners[i]);
    for (uint32_t i = 0; worker->batches && i < worker->job->target_count; i++) {
        if (worker->batches[i])
            free(worker->batches[i]->structs);
        free(worker->batches[i]);
    }
    free(worker->runners);
    free(worker->batches);
}

static inline void add_call(rf_fold_batch *batch, const rf_state *state, const rf_plan_call *call,
                            uint32_t event, uint32_t ordinal, uint32_t stream)
{
    const rf_definition *definition = state->definition;
    char *row = state->rows + stream * state->stride;
    uint8_t *flags = &state->flags[stream];
    char *to = batch->structs + batch->count * batch->stride;

    if (!(*flags & RF_STATE_TOUCHED)) {
        memcpy(row, definition->row_template, definition->row_size);
        *flags = RF_STATE_TOUCHED;
    }
    memcpy(to, rf_plan_event(call, event, ordinal, stream), call->handler->event_size);
    batch->events[batch->count] = event;
    batch->calls[batch->count++] = (rf_runner_call){
        .row = row,
        .flags = flags,
        .event = to,
        .handler = (uint32_t)(call->handler - definition->handlers),
    };
}

void rf_fold_batch_add(rf_fold_batch *batch, const rf_state *state, const rf_fold_lane *lane,
                       uint32_t event, uint32_t ordinal, uint32_t stream)
{
    RF_ASSERT(lane->call_count <= RF_FOLD_BATCH - batch->count);
    for (uint32_t c = 0; c < lane->call_count; c++)
        add_call(batch, state, &lane->calls[c], event, ordinal, stream);
}

static rf_status flush(rf_fold_worker *worker, uint32_t target, uint32_t *event_out, rf_err *err)
{
    rf_fold_batch *batch = worker->batches[target];
    uint32_t count = batch->count;
    uint32_t failed = 0;

    if (count == 0)
        return RF_OK;
    batch->count = 0;
    rf_status status = rf_runner_run(worker->runners[target], &worker->context.fold, batch->calls,
                                     count, &failed, err);
    if (status == RF_OK && worker->out_of_memory)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for text that a handler makes");
    if (status != RF_OK && status != RF_ERR_INTERRUPTED)
        *event_out = batch->events[failed];
    return status;
}

rf_status rf_fold_batch_events(rf_fold_worker *worker, const rf_step *step, uint32_t target,
                               const uint32_t *listed, uint32_t begin, uint32_t end,
                               uint32_t *event_out, rf_err *err)
{
    const rf_state *state = &worker->states[target];
    const rf_fold_range range = worker->range;
    rf_fold_lane *lanes = worker->lanes;
    rf_fold_batch *batch = worker->batches[target];
    uint64_t events = 0;
    rf_status status = RF_OK;

    rf_runner_forget(worker->runners[target]);
    for (uint32_t at = begin; status == RF_OK && at < end; at++) {
        uint32_t i = listed ? listed[at] : at;
        rf_fold_lane *lane = &lanes[step->bound.event_types[i]];
        uint32_t ordinal =
            step->bound.event_ordinals ? step->bound.event_ordinals[i] : lane->ordinal++;
        uint32_t stream = step->bound.event_streams[i] - range.first;
        if (lane->call_count == 0 || stream >= range.count)
            continue;
        events++;
        for (uint32_t c = 0; status == RF_OK && c < lane->call_count; c++) {
            add_call(batch, state, &lane->calls[c], i, ordinal, stream);
            if (batch->count == RF_FOLD_BATCH)
                status = flush(worker, target, event_out, err);
        }
    }
    worker->events[target] += events;
    return status == RF_OK ? flush(worker, target, event_out, err) : status;
}
