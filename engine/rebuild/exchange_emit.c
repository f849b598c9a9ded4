/* Emitting: the rows of a partition, sorted by key, to the sink; see exchange.h. Where columns are
 * combined the workers' rows are merged first, into those of the first worker. */
#include "rebuild/exchange_job.h"

#include "base/clock.h"

#include <stdlib.h>

enum { SLOTS_AHEAD = 24, ROWS_AHEAD = 12 };

/* What the row at `index` of another table will be merged into, and that which comes after it. */
static inline void fetch_merged(const rf_key_table *into, const rf_key_table *from, uint32_t index)
{
    if (index + SLOTS_AHEAD < from->row_count)
        rf_key_table_fetch_slot(into, rf_key_table_row(from, index + SLOTS_AHEAD)->hash);
    if (index + ROWS_AHEAD < from->row_count)
        rf_key_table_fetch_row(into, rf_key_table_row(from, index + ROWS_AHEAD)->hash);
}

static rf_status merge_rows(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    rf_exchange *job = worker->job;
    rf_exchange_rows *into = &job->workers[0].own[partition];

    for (uint32_t w = 1; w < job->worker_count; w++) {
        rf_exchange_rows *from = &job->workers[w].own[partition];
        for (uint32_t i = 0; i < from->table.row_count; i++) {
            rf_keyed_row *other = rf_key_table_row(&from->table, i);
            uint64_t shut = rf_exchange_shut_at(job, other);
            fetch_merged(&into->table, &from->table, i);
            if (!(other->flags & RF_STATE_EXISTS) && shut == UINT64_MAX)
                continue;
            rf_keyed_row *row = rf_key_table_take(&into->table, &worker->room, other->hash,
                                                  rf_keyed_row_key(other));
            if (!row)
                return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its rows",
                               job->keying.definition->name);
            if (shut != UINT64_MAX) { /* for good: it does not matter what it would be */
                rf_exchange_shut(job, row, shut);
                continue;
            }
            if (row->flags == 0)
                rf_combiner_clear(&job->combiner, rf_keyed_row_data(row));
            row->flags = RF_STATE_TOUCHED | RF_STATE_EXISTS;
            if (!rf_combiner_merge(&job->combiner, rf_keyed_row_data(row),
                                   rf_keyed_row_data(other), &into->text))
                return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for the text of its rows",
                               job->keying.definition->name);
        }
        rf_exchange_rows_free(from, &worker->room);
    }
    return RF_OK;
}

/* Rows that a quarantine left out do not exist. */
static void leave_shut(const rf_exchange *job, rf_exchange_rows *rows)
{
    for (uint32_t i = 0; job->guard.shuts && i < rows->table.row_count; i++) {
        rf_keyed_row *row = rf_key_table_row(&rows->table, i);
        if (row->marks & RF_EXCHANGE_SHUT)
            row->flags = 0;
    }
}

/* A combined value that does not fit; it belongs to no single event. */
static rf_status refuse_overflow(const rf_exchange *job, const rf_column *column, rf_slice key,
                                 rf_err *err)
{
    const rf_definition *definition = job->keying.definition;
    rf_buf shown;

    rf_buf_init(&shown, 8 * RF_KEY_BYTES_MAX);
    rf_key_append_json(&shown, key, definition->key_parts, definition->key_part_count);
    rf_slice text = rf_buf_slice(&shown);
    rf_status status = rf_fail(err, RF_ERR_PLUGIN, "%s: column %s of row %.*s is beyond 64 bits",
                               definition->name, column->name, (int)text.size, text.data);
    rf_buf_free(&shown);
    return status;
}

static rf_status emit_rows(rf_exchange_worker *worker, uint32_t partition, rf_exchange_rows *from,
                           rf_keyed_row **rows, uint32_t count, rf_err *err)
{
    const rf_exchange *job = worker->job;
    const rf_fold_target *target = job->target;
    const size_t stride = from->table.stride;
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        if (i + ROWS_AHEAD < count) /* rows lie as they were added */
            rf_exchange_fetch_row(rows[i + ROWS_AHEAD], stride);
        const void *row = rf_keyed_row_data(rows[i]);
        rf_slice key = rf_keyed_row_key(rows[i]);
        if (!(rows[i]->flags & RF_STATE_EXISTS)) {
            if (!(rows[i]->marks & (RF_EXCHANGE_STARTED | RF_EXCHANGE_SHUT)))
                continue;
            status = target->gone(target->sink_arg, worker->index, key, err);
            continue;
        }
        if (worker->own && rf_exchange_goes_on(job))
            status = rf_exchange_start_combined(worker, from, rows[i], err);
        if (status != RF_OK)
            return status;
        if (worker->own) {
            const rf_column *column = rf_combiner_finish(&job->combiner, row, worker->row);
            if (column)
                return refuse_overflow(job, column, key, err);
            row = worker->row;
        }
        status = target->row(target->sink_arg, worker->index, partition, key, row, err);
    }
    return status;
}

rf_status rf_exchange_emit(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    rf_exchange *job = worker->job;
    rf_keyed_row **rows = NULL;
    uint32_t count = 0;
    double start = rf_clock_seconds();
    rf_status status = RF_OK;

    if (worker->own) {
        status = merge_rows(worker, partition, err);
        leave_shut(job, &job->workers[0].own[partition]);
    }
    rf_exchange_rows *from = worker->own ? &job->workers[0].own[partition] : &job->rows[partition];
    /* Of a fold that goes on rows may be gone; combined ones where a quarantine left them out. */
    uint8_t wanted = rf_exchange_goes_on(job) && (!worker->own || job->guard.shuts) ? 0 : RF_STATE_EXISTS;
    if (status == RF_OK && !rf_key_table_sort(&from->table, wanted, &rows, &count))
        status = rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its rows",
                         job->keying.definition->name);
    if (status == RF_OK)
        status = emit_rows(worker, partition, from, rows, count, err);
    if (status == RF_OK && job->target->partition_end)
        status = job->target->partition_end(job->target->sink_arg, worker->index, partition, err);
    free(rows);
    rf_exchange_rows_free(from, &worker->room);
    worker->emit_s += rf_clock_seconds() - start;
    return status;
}
