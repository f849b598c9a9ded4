/* Combining in an exchange: records that wait, a handful at a time, into the worker's own rows; see
 * exchange.h and combine.h. */
#include "rebuild/exchange_job.h"

/* What the handler of a record wrote, into the row of the key. */
static bool add_written(rf_exchange_worker *worker, const rf_exchange_record *record,
                        const char *written, rf_exchange_rows *rows, rf_keyed_row *row)
{
    row->flags |= RF_STATE_EXISTS;
    if (rf_combiner_add(&worker->job->combiner, rf_keyed_row_data(row), written, record->position,
                        &rows->text))
        return true;
    rf_exchange_fault(worker->job, RF_ERR_MEMORY, record->position, 0, RF_SLICE(""),
                      "out of memory for the text of rows");
    return false;
}

/* One handler for an unset row, and what it wrote; record `index` of those that waited. */
static bool combine_record(rf_exchange_worker *worker, const rf_exchange_record *record,
                           uint32_t index, rf_exchange_rows *rows, rf_keyed_row *row)
{
    const rf_exchange *job = worker->job;

    if (row->flags == 0) {
        rf_combiner_clear(&job->combiner, rf_keyed_row_data(row));
        row->flags = RF_STATE_TOUCHED;
    }
    if (worker->batch) {
        const char *written = rf_exchange_run_row(worker, index);
        return !written || add_written(worker, record, written, rows, row);
    }
    const rf_keying_handler *handler = &job->keying.handlers[record->handler];
    rf_exchange_copy(worker->row, job->combiner.row_template, job->combiner.row_size);
    rf_fold_result result =
        handler->handler->fold(&worker->context.fold, worker->row, record + 1);
    if (__builtin_expect(result == RF_ROW_DELETED, false)) {
        rf_exchange_fault(worker->job, RF_ERR_PLUGIN, record->position, record->handler,
                          rf_keyed_row_key(row), "rows of combined columns cannot be deleted");
        return false;
    }
    if (__builtin_expect(result != RF_ROW_WRITTEN || worker->out_of_memory, false))
        return !rf_exchange_refuse(worker, result, record->position, record->handler,
                                   rf_keyed_row_key(row));
    return add_written(worker, record, worker->row, rows, row);
}

bool rf_exchange_combine(rf_exchange_worker *worker)
{
    const rf_exchange *job = worker->job;
    const rf_exchange_record *records[RF_EXCHANGE_PENDING];
    uint32_t mask = job->partition_count - 1;
    uint32_t count = worker->pending_count;
    const char *at = worker->pending;
    bool fine = true;

    if (count == 0)
        return true;
    for (uint32_t i = 0; i < count; i++) {
        records[i] = (const rf_exchange_record *)(const void *)at;
        rf_key_table_fetch_slot(&worker->own[records[i]->hash & mask].table, records[i]->hash);
        at += sizeof *records[i] + job->keying.handlers[records[i]->handler].event_size;
    }
    for (uint32_t i = 0; i < count; i++)
        rf_key_table_fetch_row(&worker->own[records[i]->hash & mask].table, records[i]->hash);
    worker->alloc_from = &worker->made;
    fine = !worker->batch || rf_exchange_run_combined(worker, records, count);
    for (uint32_t i = 0; fine && i < count; i++) {
        const rf_exchange_record *record = records[i];
        rf_exchange_rows *rows = &worker->own[record->hash & mask];
        rf_keyed_row *row = rf_key_table_take(&rows->table, record->hash,
                                              (rf_slice){record->key, record->key_size});
        if (!row)
            rf_exchange_fault(worker->job, RF_ERR_MEMORY, record->position, 0, RF_SLICE(""),
                              "out of memory for rows");
        fine = row && combine_record(worker, record, i, rows, row);
    }
    worker->pending_count = 0;
    worker->pending_used = 0;
    return fine;
}
