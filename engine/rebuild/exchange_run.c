/* Handlers and computed keys of Lua projections in an exchange: calls go to the worker's runner, a
 * batch at a time; see exchange.h and projection/runner.h. */
#include "rebuild/exchange_job.h"

#include <stdlib.h>

_Static_assert((int)RF_EXCHANGE_BATCH >= (int)RF_EXCHANGE_PENDING,
               "what waits to be combined is one batch");

struct rf_exchange_batch {
    rf_runner *runner;
    rf_runner_call calls[RF_EXCHANGE_BATCH];
    const rf_exchange_record *records[RF_EXCHANGE_BATCH];
    rf_keyed_row *rows[RF_EXCHANGE_BATCH];
    uint8_t flags[RF_EXCHANGE_BATCH]; /* of the rows that are combined afterwards */
    char *combined;            /* these rows, `stride` bytes each */
    size_t stride;
    uint32_t count;
    /* computed keys: what they are computed of, and their parts */
    rf_runner_call key_calls[RF_EXCHANGE_PENDING];
    char *key_events, *key_parts;
    size_t event_stride, parts_stride;
    uint8_t key_flags; /* which tell nothing */
    rf_err found; /* why a call failed that was tried */
};

/* Room for keys that are computed. False without memory. */
static bool begin_keys(struct rf_exchange_batch *batch, const rf_keying *keying)
{
    for (uint32_t i = 0; i < keying->derived.handler_count; i++) {
        const rf_definition_key *key = keying->handlers[i].computed;
        size_t event = key ? (key->event_size + 15u) & ~(size_t)15 : 0;
        size_t parts = key ? (key->parts_size + 15u) & ~(size_t)15 : 0;
        batch->event_stride = event > batch->event_stride ? event : batch->event_stride;
        batch->parts_stride = parts > batch->parts_stride ? parts : batch->parts_stride;
    }
    if (batch->parts_stride == 0)
        return true;
    batch->key_events = malloc(RF_EXCHANGE_PENDING * (batch->event_stride + 1));
    batch->key_parts = malloc(RF_EXCHANGE_PENDING * batch->parts_stride);
    return batch->key_events && batch->key_parts;
}

rf_status rf_exchange_run_begin(rf_exchange_worker *worker, rf_err *err)
{
    const rf_exchange *job = worker->job;
    const rf_definition *definition = job->keying.definition;

    if (!definition->lua)
        return RF_OK;
    worker->batch = calloc(1, sizeof *worker->batch);
    if (worker->batch && definition->combines) {
        worker->batch->stride = (job->combiner.row_size + 15u) & ~(size_t)15;
        worker->batch->combined = malloc(RF_EXCHANGE_PENDING * worker->batch->stride);
    }
    if (!worker->batch || (definition->combines && !worker->batch->combined) ||
        !begin_keys(worker->batch, &job->keying))
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a batch of events",
                       definition->name);
    return rf_runner_new(definition, job->options->cancel, &worker->batch->runner, err);
}

void rf_exchange_run_end(rf_exchange_worker *worker)
{
    if (!worker->batch)
        return;
    rf_runner_free(worker->batch->runner);
    free(worker->batch->combined);
    free(worker->batch->key_events);
    free(worker->batch->key_parts);
    free(worker->batch);
}

void rf_exchange_run_forget(rf_exchange_worker *worker)
{
    if (worker->batch)
        rf_runner_forget(worker->batch->runner);
}

static uint32_t handler_of(const rf_exchange *job, uint32_t index)
{
    return (uint32_t)(job->keying.handlers[index].handler - job->keying.definition->handlers);
}

/* Runs the calls; false at a fault, which is kept. *failed_out: one failed, which is not kept
 * where the fold is careful. */
static bool run(rf_exchange_worker *worker, uint32_t count, bool *failed_out)
{
    struct rf_exchange_batch *batch = worker->batch;
    uint32_t failed = 0;
    rf_err found = {0};

    rf_status status = rf_runner_run(batch->runner, &worker->context.fold, batch->calls, count,
                                     &failed, &found);
    if (status == RF_OK && worker->out_of_memory)
        status = rf_fail(&found, RF_ERR_MEMORY, "out of memory for text that a handler makes");
    *failed_out = status == RF_ERR_PLUGIN && worker->job->careful;
    if (*failed_out)
        batch->found = found;
    if (status == RF_OK || *failed_out)
        return true;
    const rf_exchange_record *record = batch->records[failed];
    rf_exchange_fault(worker->job, status, record->position, rf_exchange_record_handler(record),
                      rf_keyed_row_key(batch->rows[failed]), found.message);
    return false;
}

bool rf_exchange_run_flush(rf_exchange_worker *worker)
{
    uint32_t count = worker->batch ? worker->batch->count : 0;
    bool failed;

    if (count == 0)
        return true;
    worker->batch->count = 0;
    return run(worker, count, &failed);
}

bool rf_exchange_run_has_room(const rf_exchange_worker *worker, uint32_t calls)
{
    return worker->batch && calls < RF_EXCHANGE_BATCH &&
           worker->batch->count < RF_EXCHANGE_BATCH - calls;
}

bool rf_exchange_run_try(rf_exchange_worker *worker, bool *failed_out)
{
    bool fine = run(worker, worker->batch->count, failed_out);

    if (!*failed_out)
        worker->batch->count = 0;
    return fine;
}

uint32_t rf_exchange_run_take(rf_exchange_worker *worker,
                              const rf_exchange_record *const **records_out,
                              rf_keyed_row *const **rows_out)
{
    uint32_t count = worker->batch->count;

    worker->batch->count = 0;
    *records_out = worker->batch->records;
    *rows_out = worker->batch->rows;
    return count;
}

const char *rf_exchange_run_reason(const rf_exchange_worker *worker)
{
    return worker->batch->found.message;
}

void rf_exchange_run_gather(rf_exchange_worker *worker, const rf_exchange_record *record,
                            rf_keyed_row *row)
{
    struct rf_exchange_batch *batch = worker->batch;
    const rf_definition *definition = worker->job->keying.definition;
    char *data = rf_keyed_row_data(row);

    if (!(row->flags & RF_STATE_TOUCHED)) {
        memcpy(data, definition->row_template, definition->row_size);
        row->flags = RF_STATE_TOUCHED;
    }
    batch->records[batch->count] = record;
    batch->rows[batch->count] = row;
    batch->calls[batch->count++] = (rf_runner_call){
        .row = data,
        .flags = &row->flags,
        .event = record + 1,
        .handler = handler_of(worker->job, rf_exchange_record_handler(record)),
    };
    RF_ASSERT(batch->count <= RF_EXCHANGE_BATCH);
}

bool rf_exchange_run_add(rf_exchange_worker *worker, const rf_exchange_record *record,
                         rf_keyed_row *row)
{
    rf_exchange_run_gather(worker, record, row);
    return worker->batch->count < RF_EXCHANGE_BATCH || rf_exchange_run_flush(worker);
}

bool rf_exchange_run_combined(rf_exchange_worker *worker, const rf_exchange_record *const *records,
                              uint32_t count, bool *failed_out)
{
    struct rf_exchange_batch *batch = worker->batch;
    const rf_combiner *combiner = &worker->job->combiner;

    RF_ASSERT(count <= RF_EXCHANGE_PENDING);
    for (uint32_t i = 0; i < count; i++) {
        char *row = batch->combined + i * batch->stride;
        memcpy(row, combiner->row_template, combiner->row_size);
        batch->flags[i] = RF_RUNNER_TOUCHED;
        batch->records[i] = records[i];
        batch->rows[i] = rf_exchange_record_row(records[i]);
        batch->calls[i] = (rf_runner_call){
            .row = row,
            .flags = &batch->flags[i],
            .event = records[i] + 1,
            .handler = handler_of(worker->job, rf_exchange_record_handler(records[i])),
        };
    }
    *failed_out = false;
    return count == 0 || run(worker, count, failed_out);
}

const char *rf_exchange_run_row(const rf_exchange_worker *worker, uint32_t index)
{
    const struct rf_exchange_batch *batch = worker->batch;

    return batch->flags[index] & RF_RUNNER_EXISTS ? batch->combined + index * batch->stride : NULL;
}

/* ---- computed keys ---- */

char *rf_exchange_run_key_parts(const rf_exchange_worker *worker, uint32_t index)
{
    RF_ASSERT(index < RF_EXCHANGE_PENDING);
    return worker->batch->key_parts + index * worker->batch->parts_stride;
}

void rf_exchange_run_add_key(rf_exchange_worker *worker, const rf_keying_handler *handler,
                             uint32_t index, const char *event)
{
    const rf_exchange *job = worker->job;
    struct rf_exchange_batch *batch = worker->batch;
    char *copy = batch->key_events + index * batch->event_stride;

    RF_ASSERT(index < RF_EXCHANGE_PENDING);
    memcpy(copy, event + handler->computed_offset, handler->computed->event_size);
    batch->key_calls[index] = (rf_runner_call){
        .row = rf_exchange_run_key_parts(worker, index),
        .flags = &batch->key_flags,
        .event = copy,
        .handler = job->keying.definition->handler_count +
                   handler_of(job, (uint32_t)(handler - job->keying.handlers)),
    };
}

rf_status rf_exchange_run_keys(rf_exchange_worker *worker, uint32_t begin, uint32_t end,
                               uint32_t *end_out)
{
    struct rf_exchange_batch *batch = worker->batch;
    uint32_t failed = 0;

    worker->alloc_from = &worker->text;
    rf_status status = rf_runner_run(batch->runner, &worker->context.fold, batch->key_calls + begin,
                                     end - begin, &failed, &batch->found);
    if (status == RF_OK && worker->out_of_memory)
        status = rf_fail(&batch->found, RF_ERR_MEMORY, "out of memory for a computed key");
    *end_out = status == RF_OK ? end : begin + failed;
    return status;
}
