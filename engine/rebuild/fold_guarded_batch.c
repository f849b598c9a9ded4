/* Folding by a runner where some events may have to be left out; see fold_guarded.c.
 *
 * Rows are copied when their calls are gathered, so the copies are from before the batch. Where an
 * event fails, all rows of the batch get their copies back, the calls before the event are run once
 * more, which gives what it gave before, and the event's calls are dropped; with a quarantine, the
 * later ones of its key too. The rest is a batch again.
 */
#include "rebuild/fold_job.h"

#include <stdlib.h>

static rf_status make_room(rf_fold_worker *worker, rf_err *err)
{
    size_t size = 1;

    if (worker->rows_before && worker->flags_before)
        return RF_OK;
    for (uint32_t i = 0; i < worker->job->target_count; i++)
        if (worker->job->definitions[i]->row_size > size)
            size = worker->job->definitions[i]->row_size;
    if (!worker->rows_before)
        worker->rows_before = malloc(RF_FOLD_BATCH * size);
    if (!worker->flags_before)
        worker->flags_before = malloc(RF_FOLD_BATCH * sizeof *worker->flags_before);
    if (!worker->rows_before || !worker->flags_before)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the rows of a batch");
    return RF_OK;
}

static void keep_aside(rf_fold_worker *worker, uint32_t target, uint32_t begin, uint32_t end)
{
    const rf_fold_batch *batch = worker->batches[target];
    size_t size = worker->states[target].definition->row_size;

    for (uint32_t i = begin; i < end; i++) {
        memcpy(worker->rows_before + i * size, batch->calls[i].row, size);
        worker->flags_before[i] = *batch->calls[i].flags;
    }
}

static void give_back(rf_fold_worker *worker, uint32_t target, uint32_t count)
{
    const rf_fold_batch *batch = worker->batches[target];
    size_t size = worker->states[target].definition->row_size;

    for (uint32_t i = 0; i < count; i++) {
        memcpy(batch->calls[i].row, worker->rows_before + i * size, size);
        *batch->calls[i].flags = worker->flags_before[i];
    }
}

static void count_events(rf_fold_worker *worker, uint32_t target, uint32_t end)
{
    const rf_fold_batch *batch = worker->batches[target];

    for (uint32_t i = 0; i < end; i++)
        worker->events[target] += i == 0 || batch->events[i] != batch->events[i - 1];
}

static rf_status run(rf_fold_worker *worker, uint32_t target, uint32_t count, uint32_t *failed_out,
                     rf_err *err)
{
    rf_status status = rf_runner_run(worker->runners[target], &worker->context.fold,
                                     worker->batches[target]->calls, count, failed_out, err);

    if (status == RF_OK && worker->out_of_memory)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for text that a handler makes");
    return status;
}

/* Takes the calls [first, last) out of the batch, and what comes before them: that was run. */
static void drop(rf_fold_worker *worker, uint32_t target, uint32_t last)
{
    rf_fold_batch *batch = worker->batches[target];
    uint32_t kept = 0;

    for (uint32_t i = last; i < batch->count; i++) {
        if (*batch->calls[i].flags & RF_STATE_QUARANTINED)
            continue;
        /* an event's struct stays where it is: calls only move to the front */
        batch->events[kept] = batch->events[i];
        batch->calls[kept++] = batch->calls[i];
    }
    batch->count = kept;
    keep_aside(worker, target, 0, kept);
}

/* The calls [first, last) of the event of call `failed`. */
static void event_range(const rf_fold_batch *batch, uint32_t failed, uint32_t *first, uint32_t *last)
{
    *first = failed;
    *last = failed + 1;
    while (*first > 0 && batch->events[*first - 1] == batch->events[failed])
        --*first;
    while (*last < batch->count && batch->events[*last] == batch->events[failed])
        ++*last;
}

/* What came before the event of call `failed`, once more. */
static rf_status run_before(rf_fold_worker *worker, uint32_t target, uint32_t *failed,
                            uint32_t first, rf_err *found)
{
    give_back(worker, target, worker->batches[target]->count);
    return first > 0 ? run(worker, target, first, failed, found) : RF_OK;
}

/* The calls [*first_out, *last_out) of the event that fails; what came before it is run. What a row
 * cannot hold may be noticed at the end of a run only, and is then told of the row's last call: where
 * the calls before that one fail as well, an earlier event is the one. Its calls are made one by one,
 * so that *found is of the handler that failed. */
static rf_status find_failed(rf_fold_worker *worker, uint32_t target, uint32_t failed,
                             uint32_t *first_out, uint32_t *last_out, rf_err *found)
{
    const rf_fold_batch *batch = worker->batches[target];
    rf_err single = {0};
    uint32_t ignored;
    rf_status status;

    do {
        event_range(batch, failed, first_out, last_out);
        status = run_before(worker, target, &failed, *first_out, found);
    } while (status == RF_ERR_PLUGIN);
    if (status != RF_OK || *last_out - *first_out == 1)
        return status;
    rf_status outcome = RF_OK;
    for (uint32_t i = *first_out; outcome == RF_OK && i < *last_out; i++)
        outcome = rf_runner_run(worker->runners[target], &worker->context.fold, &batch->calls[i], 1,
                                &ignored, &single);
    if (outcome == RF_ERR_PLUGIN)
        *found = single;
    return run_before(worker, target, &ignored, *first_out, &single);
}

/* The event of call `failed` is left out, or ends the fold; what came before it is run. */
static rf_status leave_out(rf_fold_worker *worker, const rf_step *step, uint32_t target,
                           uint32_t failed, rf_err *found, rf_err *err)
{
    const rf_fold_batch *batch = worker->batches[target];
    uint32_t first = 0, last = 0;

    rf_status status = find_failed(worker, target, failed, &first, &last, found);
    if (status == RF_OK && worker->job->targets[target].policy.on_error == RF_ON_ERROR_STOP)
        return rf_fold_blame(worker, &step->log, batch->events[first], target, RF_ERR_PLUGIN,
                             found->message, err);
    if (status != RF_OK) {
        if (err)
            *err = *found;
        return status;
    }
    count_events(worker, target, first);
    status = rf_fold_leave_out(worker, step, target, batch->events[first],
                               rf_slice_of(found->message), err);
    drop(worker, target, last);
    return status;
}

rf_status rf_fold_guarded_batch_settle(rf_fold_worker *worker, const rf_step *step, uint32_t target,
                                       rf_err *err)
{
    rf_fold_batch *batch = worker->batches[target];
    rf_status status = RF_OK;

    while (status == RF_OK && batch->count > 0) {
        uint32_t failed = 0;
        rf_err found = {0};
        rf_status outcome = run(worker, target, batch->count, &failed, &found);
        if (outcome == RF_OK) {
            count_events(worker, target, batch->count);
            batch->count = 0;
        } else if (outcome == RF_ERR_PLUGIN) {
            status = leave_out(worker, step, target, failed, &found, err);
        } else if (outcome == RF_ERR_INTERRUPTED) {
            status = outcome;
            if (err)
                *err = found;
        } else {
            status = rf_fold_blame(worker, &step->log, batch->events[failed], target, outcome,
                                   found.message, err);
        }
    }
    if (status != RF_OK)
        batch->count = 0;
    return status;
}

rf_status rf_fold_guarded_batch_add(rf_fold_worker *worker, const rf_step *step, uint32_t target,
                                    uint32_t event, uint32_t ordinal, uint32_t stream, rf_err *err)
{
    const rf_fold_lane *lane = &worker->lanes[step->bound.event_types[event]];
    rf_fold_batch *batch = worker->batches[target];
    rf_status status = make_room(worker, err);

    if (status == RF_OK && lane->call_count > RF_FOLD_BATCH)
        return rf_fail(err, RF_ERR_PLUGIN, "%s: more than %d handlers of one type",
                       worker->job->definitions[target]->name, RF_FOLD_BATCH);
    if (status == RF_OK && lane->call_count > RF_FOLD_BATCH - batch->count)
        status = rf_fold_guarded_batch_settle(worker, step, target, err);
    if (status != RF_OK ||
        (worker->states[target].flags[stream] & RF_STATE_QUARANTINED)) /* just now */
        return status;
    uint32_t begin = batch->count;
    rf_fold_batch_add(batch, &worker->states[target], lane, event, ordinal, stream);
    keep_aside(worker, target, begin, batch->count);
    return RF_OK;
}
