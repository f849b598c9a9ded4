/* Combining in an exchange: what handlers write into the worker's own rows; see exchange.h and
 * combine.h.
 *
 * Where a segment is gone through call by call, events come a batch at a time, with their rows. Else
 * calls come in the order of events, as records that wait until there is a batch of them. Either
 * way the rows of a whole batch are on their way into the caches before the first is needed. */
#include "rebuild/exchange_job.h"

#include <stdlib.h>

enum { ROWS_AHEAD = 16 };

/* What of a handler's row is no sum. False at a fault. */
static __attribute__((noinline)) bool add_others(rf_exchange_worker *worker, const char *written,
                                                 uint64_t position, rf_keyed_row *row)
{
    const rf_exchange *job = worker->job;
    rf_exchange_rows *rows = &worker->own[row->hash & (job->partition_count - 1)];

    if (rf_combiner_add_others(&job->combiner, rf_keyed_row_data(row), written, position,
                               &rows->text))
        return true;
    rf_exchange_fault(worker->job, RF_ERR_MEMORY, position, 0, RF_SLICE(""),
                      "out of memory for the text of rows");
    return false;
}

/* What a handler wrote, into the row of the key. False at a fault. */
static inline bool add_written(rf_exchange_worker *worker, const char *written, uint64_t position,
                               rf_keyed_row *row)
{
    const rf_combiner *combiner = &worker->job->combiner;

    row->flags = RF_STATE_TOUCHED | RF_STATE_EXISTS;
    rf_combiner_add_sums(combiner, rf_keyed_row_data(row), written);
    return combiner->other_count == 0 || add_others(worker, written, position, row);
}

/* Under a policy: a call that failed. One whose row was shut before does not count. */
static void note_failed(rf_exchange_worker *worker, uint64_t position, uint32_t rank,
                        rf_keyed_row *row, const char *reason)
{
    const rf_exchange *job = worker->job;
    const rf_slice key = rf_keyed_row_key(row);

    if (job->guard.shuts && position > rf_exchange_shut_at(job, row))
        return;
    rf_exchange_note_call(worker, position, rank, &key, reason);
    if (job->guard.shuts)
        rf_exchange_shut(job, row, position);
}

/* A handler wrote nothing. False at a fault. */
static __attribute__((noinline)) bool take_result(rf_exchange_worker *worker, rf_fold_result result,
                                                  uint64_t position, uint32_t handler,
                                                  rf_keyed_row *row)
{
    rf_exchange *job = worker->job;

    if (result == RF_FOLD_FAILED && !worker->out_of_memory && job->guard.on) {
        note_failed(worker, position, handler + 1, row, rf_exchange_reason(worker));
        worker->context.reason[0] = '\0';
        return true;
    }
    if (result != RF_ROW_DELETED)
        return !rf_exchange_refuse(worker, result, position, handler, rf_keyed_row_key(row));
    rf_exchange_fault(job, RF_ERR_PLUGIN, position, handler, rf_keyed_row_key(row),
                      "rows of combined columns cannot be deleted");
    return false;
}

/* One handler for an unset row, what it wrote into the row of the key. False at a fault. */
static inline __attribute__((always_inline)) bool
combine_event(rf_exchange_worker *worker, const rf_keying_handler *handler, const void *event,
              uint64_t position, rf_keyed_row *row)
{
    rf_exchange *job = worker->job;

    rf_exchange_copy(worker->row, job->combiner.row_template, job->combiner.row_size);
    rf_fold_result result = handler->handler->fold(&worker->context.fold, worker->row, event);
    if (__builtin_expect(result != RF_ROW_WRITTEN || worker->out_of_memory, false))
        return take_result(worker, result, position, (uint32_t)(handler - job->keying.handlers),
                           row);
    return add_written(worker, worker->row, position, row);
}

/* ---- records that wait ---- */

/* Lists the records and fetches their rows. */
static void list_pending(const rf_exchange_worker *worker,
                         const rf_exchange_record *records[RF_EXCHANGE_PENDING])
{
    const rf_keying_handler *handlers = worker->job->keying.handlers;
    const size_t stride = worker->own[0].table.stride;
    const char *at = worker->pending;

    for (uint32_t i = 0; i < worker->pending_count; i++) {
        const rf_exchange_record *record = (const rf_exchange_record *)(const void *)at;
        records[i] = record;
        rf_exchange_fetch_row(rf_exchange_record_row(record), stride);
        at += sizeof *record + handlers[rf_exchange_record_handler(record)].event_size;
    }
}

/* A record by itself: of an event that is tried, or of a batch in which one failed. */
static bool combine_one(rf_exchange_worker *worker, const rf_exchange_record *record)
{
    const rf_exchange *job = worker->job;
    uint32_t index = rf_exchange_record_handler(record);
    const rf_keying_handler *handler = &job->keying.handlers[index];
    rf_keyed_row *row = rf_exchange_record_row(record);
    bool shuts = worker->tried && job->guard.shuts;
    bool failed = false;
    bool fine = true;

    if (worker->spoilt) {
        note_failed(worker, record->position, 0, row, worker->spoilt);
    } else if (worker->batch) {
        fine = rf_exchange_run_combined(worker, &record, 1, &failed);
        const char *written = fine && !failed ? rf_exchange_run_row(worker, 0) : NULL;
        if (failed && !job->guard.on) {
            rf_exchange_fault(worker->job, RF_ERR_PLUGIN, record->position, index,
                              rf_keyed_row_key(row), rf_exchange_run_reason(worker));
            return false;
        }
        if (failed)
            note_failed(worker, record->position, index + 1, row,
                        rf_exchange_run_reason(worker));
        else if (written && !worker->tried)
            fine = add_written(worker, written, record->position, row);
    } else {
        rf_exchange_copy(worker->row, job->combiner.row_template, job->combiner.row_size);
        rf_fold_result result =
            handler->handler->fold(&worker->context.fold, worker->row, record + 1);
        if (result != RF_ROW_WRITTEN || worker->out_of_memory)
            fine = take_result(worker, result, record->position, index, row);
        else if (!worker->tried)
            fine = add_written(worker, worker->row, record->position, row);
    }
    if (fine && shuts)
        rf_exchange_shut(job, row, record->position);
    return fine;
}

bool rf_exchange_wait(rf_exchange_worker *worker, const rf_exchange_call *call, uint64_t position,
                      rf_exchange_place place)
{
    rf_exchange_record *record =
        (rf_exchange_record *)(void *)(worker->pending + worker->pending_used);

    RF_ASSERT(worker->pending_count < RF_EXCHANGE_PENDING);
    worker->pending_used += sizeof *record + call->event_size;
    worker->pending_count++;
    record->position = position;
    record->place = (uint64_t)(uintptr_t)rf_exchange_place_row(place) |
                    (uint64_t)call->index << RF_PLACE_SHIFT;
    rf_exchange_copy(record + 1, call->plan->event, call->event_size);
    return worker->pending_count < RF_EXCHANGE_PENDING || rf_exchange_combine(worker);
}

bool rf_exchange_combine(rf_exchange_worker *worker)
{
    const rf_keying_handler *handlers = worker->job->keying.handlers;
    const rf_exchange_record *records[RF_EXCHANGE_PENDING];
    uint32_t count = worker->pending_count;
    bool singly = worker->tried;
    bool fine = true;

    if (count == 0)
        return true;
    list_pending(worker, records);
    worker->alloc_from = &worker->made;
    if (worker->batch && !singly)
        fine = rf_exchange_run_combined(worker, records, count, &singly);
    for (uint32_t i = 0; fine && i < count; i++) {
        const rf_exchange_record *record = records[i];
        if (singly) {
            fine = combine_one(worker, record);
            continue;
        }
        rf_keyed_row *row = rf_exchange_record_row(record);
        if (worker->batch) {
            const char *written = rf_exchange_run_row(worker, i);
            fine = !written || add_written(worker, written, record->position, row);
            continue;
        }
        fine = combine_event(worker, &handlers[rf_exchange_record_handler(record)], record + 1,
                             record->position, row);
    }
    worker->pending_count = 0;
    worker->pending_used = 0;
    return fine;
}

/* ---- memory ---- */

static size_t own_bytes(const rf_exchange_worker *worker)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < worker->job->partition_count; i++)
        bytes += worker->job->active[i] ? rf_exchange_rows_bytes(&worker->own[i]) : 0;
    return bytes;
}

static void leave_partitions(rf_exchange_worker *worker, size_t share)
{
    rf_exchange *job = worker->job;
    size_t kept_max = rf_exchange_kept_max(job, share, atomic_load(&job->events_done));
    size_t kept = 0;
    bool first = true;

    (void)pthread_mutex_lock(&job->mutex);
    for (uint32_t i = 0; i < job->partition_count; i++) {
        if (!job->active[i])
            continue;
        kept += rf_exchange_rows_bytes(&worker->own[i]);
        if (!first && kept > kept_max)
            job->active[i] = false;
        first = false;
    }
    job->drops++;
    (void)pthread_mutex_unlock(&job->mutex);
}

void rf_exchange_bound_own(rf_exchange_worker *worker, rf_carried *carried)
{
    rf_exchange *job = worker->job;
    size_t share = job->rows_budget / job->worker_count;

    RF_ASSERT(worker->pending_count == 0);
    if (own_bytes(worker) > share)
        leave_partitions(worker, share);
    uint32_t drops = job->drops;
    if (worker->drops_seen == drops)
        return;
    worker->drops_seen = drops;
    rf_exchange_forget_places(job, carried);
    for (uint32_t i = 0; i < job->partition_count; i++)
        if (!job->active[i])
            rf_exchange_rows_free(&worker->own[i], &worker->room);
    rf_exchange_memo_clear(worker);
}

/* ---- call by call ---- */

/* For handlers that a runner runs. */
static bool combine_batch(rf_exchange_worker *worker, const rf_step *step,
                          const rf_exchange_call *call, const rf_exchange_events *events)
{
    bool fine = true;

    for (uint32_t i = 0; fine && i < events->count; i++) {
        uint32_t index = events->indexes[i];
        rf_exchange_fill(worker, step, call, index, events->ordinals[i]);
        fine = rf_exchange_wait(worker, call, (uint64_t)worker->positions[index],
                                events->places[i]);
    }
    return fine && rf_exchange_combine(worker);
}

bool rf_exchange_combine_events(rf_exchange_worker *worker, const rf_step *step,
                                const rf_exchange_call *call, const rf_exchange_events *events)
{
    const size_t stride = worker->own[0].table.stride;
    bool fine = true;

    if (worker->batch)
        return combine_batch(worker, step, call, events);
    for (uint32_t i = 0; i < events->count && i < ROWS_AHEAD; i++)
        rf_exchange_fetch_row(rf_exchange_place_row(events->places[i]), stride);
    worker->alloc_from = &worker->made;
    for (uint32_t i = 0; fine && i < events->count; i++) {
        uint32_t index = events->indexes[i];
        if (i + ROWS_AHEAD < events->count)
            rf_exchange_fetch_row(rf_exchange_place_row(events->places[i + ROWS_AHEAD]), stride);
        rf_exchange_fill(worker, step, call, index, events->ordinals[i]);
        fine = combine_event(worker, call->handler, call->plan->event,
                             (uint64_t)worker->positions[index],
                             rf_exchange_place_row(events->places[i]));
    }
    return fine;
}
