/* Workers of an exchange: what each has for itself, and what handlers may call; see exchange.h. */
#include "rebuild/exchange_job.h"

#include <stdlib.h>

enum { FOLD_ALLOC_MAX = 16 << 20 };
#define ARENA_BYTES_MAX ((size_t)1 << 40)

/* ---- what handlers may call ---- */

static char *context_alloc(rf_fold *fold, size_t size)
{
    rf_exchange_worker *worker = ((rf_exchange_context *)fold)->worker;
    char *bytes = size > FOLD_ALLOC_MAX ? NULL : rf_arena_bytes(worker->alloc_from, size);

    if (bytes)
        return bytes;
    worker->out_of_memory = true;
    return size > FOLD_ALLOC_MAX ? NULL : worker->spare;
}

static void context_fail(rf_fold *fold, const char *reason)
{
    rf_exchange_context *context = (rf_exchange_context *)fold;
    size_t size = reason ? strnlen(reason, RF_EXCHANGE_REASON_SIZE - 1) : 0;

    memcpy(context->reason, reason ? reason : "", size);
    context->reason[size] = '\0';
}

/* ---- begin and end ---- */

/* The largest struct that a computed key needs. */
static size_t key_parts_size(const rf_keying *keying)
{
    size_t size = 1;

    for (uint32_t i = 0; i < keying->derived.handler_count; i++) {
        const rf_definition_key *key = keying->handlers[i].computed;
        size = key && key->parts_size > size ? key->parts_size : size;
    }
    return size;
}

static size_t record_size_max(const rf_keying *keying)
{
    size_t size = 0;

    for (uint32_t i = 0; i < keying->derived.handler_count; i++)
        size = keying->handlers[i].event_size > size ? keying->handlers[i].event_size : size;
    return sizeof(rf_exchange_record) + size;
}

size_t rf_exchange_row_size(const rf_exchange *job)
{
    if (!job->keying.definition->combines)
        return job->keying.definition->row_size;
    return job->combiner.size + (job->guard.shuts ? sizeof(uint64_t) : 0);
}

rf_status rf_exchange_worker_begin(rf_exchange_worker *worker, rf_exchange *job, uint32_t index,
                                   rf_err *err)
{
    const rf_definition *definition = job->keying.definition;

    worker->job = job;
    worker->mapped.budget = job->mapped_budget;
    worker->index = index;
    worker->last_progress = job->start;
    worker->context = (rf_exchange_context){
        .fold = {.abi = RF_PROJECTION_ABI, .alloc = context_alloc, .fail = context_fail},
        .worker = worker,
    };
    rf_arena_init(&worker->text, ARENA_BYTES_MAX);
    rf_arena_init(&worker->scratch, ARENA_BYTES_MAX);
    rf_arena_init(&worker->made, ARENA_BYTES_MAX);
    rf_arena_init(&worker->prior_text, ARENA_BYTES_MAX);
    rf_key_room_begin(&worker->room, rf_key_chunk_size(rf_exchange_row_size(job)),
                      job->rows_budget / job->worker_count / 8);
    worker->alloc_from = &worker->made;
    worker->steps = rf_ahead_steps(job->ahead, index);
    worker->spare = malloc(FOLD_ALLOC_MAX);
    worker->key_parts = malloc(key_parts_size(&job->keying));
    worker->buckets = calloc(job->partition_count, sizeof *worker->buckets);
    worker->row = aligned_alloc(64, (definition->row_size + 63u) & ~(size_t)63);
    worker->positions = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *worker->positions);
    if (definition->combines) {
        worker->own = calloc(job->partition_count, sizeof *worker->own);
        worker->pending = malloc(RF_EXCHANGE_PENDING * record_size_max(&job->keying));
    }
    worker->listed = malloc((RF_SEGMENT_EVENTS_MAX + 1) * sizeof *worker->listed);
    bool can_combine = !definition->combines || (worker->own && worker->pending);
    if (!worker->spare || !worker->key_parts || !worker->buckets || !worker->row ||
        !worker->positions || !worker->listed || !can_combine || !rf_exchange_memo_begin(worker))
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for worker %u of a fold", index + 1);
    for (uint32_t i = 0; worker->own && i < job->partition_count; i++)
        rf_exchange_rows_init(&worker->own[i], rf_exchange_row_size(job));
    rf_status status = rf_exchange_run_begin(worker, err);
    return status == RF_OK ? rf_log_names_open(job->log, &worker->names, err) : status;
}

void rf_exchange_worker_end(rf_exchange_worker *worker)
{
    if (!worker->job)
        return;
    rf_exchange_run_end(worker);
    rf_log_names_close(worker->names);
    rf_log_scan_close(worker->scan);
    rf_exchange_free_buckets(worker);
    free(worker->own);
    free(worker->spare);
    free(worker->key_parts);
    free(worker->row);
    free(worker->lanes);
    free(worker->positions);
    free(worker->pending);
    free(worker->listed);
    rf_exchange_memo_end(worker);
    free(worker->entries);
    free(worker->sorted);
    free(worker->dirty);
    free(worker->touched);
    rf_plan_free(worker->prior_plan);
    free(worker->spoilt_events.items);
    rf_exchange_frame_free(worker->frame);
    rf_arena_free(&worker->text);
    rf_arena_free(&worker->scratch);
    rf_arena_free(&worker->made);
    rf_arena_free(&worker->prior_text);
    rf_key_room_end(&worker->room);
}
