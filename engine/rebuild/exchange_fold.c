/* Folding: the records of one partition of the rows in one window; see exchange.h.
 *
 * Records come in runs, one a partition of the log, and are sorted by position: what is sorted are
 * pairs of position and place, by digits from the lowest up, which keeps the order of one event's
 * calls. What a call needs is fetched some records ahead: its record, then its row.
 */
#include "rebuild/exchange_job.h"

#include "base/clock.h"

#include <stdlib.h>

enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS, RECORD_AHEAD = 40, ROW_AHEAD = 16 };

/* ---- order ---- */

static rf_status reserve_entries(rf_exchange_worker *worker, size_t count, rf_err *err)
{
    if (count <= worker->entry_capacity)
        return RF_OK;
    free(worker->entries);
    free(worker->sorted);
    worker->entries = malloc(count * sizeof *worker->entries);
    worker->sorted = malloc(count * sizeof *worker->sorted);
    worker->entry_capacity = worker->entries && worker->sorted ? count : 0;
    return worker->entry_capacity
               ? RF_OK
               : rf_fail(err, RF_ERR_MEMORY, "out of memory for %zu events of a window", count);
}

/* Lists the records of all workers; *sorted_out: whether they are in order already. */
static size_t list_records(rf_exchange_worker *worker, uint32_t partition, bool *sorted_out)
{
    const rf_exchange *job = worker->job;
    size_t count = 0;
    uint32_t last = 0;

    *sorted_out = true;
    for (uint32_t w = 0; w < job->worker_count; w++) {
        const rf_exchange_bucket *bucket = &job->workers[w].buckets[partition];
        for (const rf_exchange_chunk *chunk = bucket->first; chunk; chunk = chunk->next) {
            const char *at = chunk->bytes;
            const char *end = chunk == bucket->last ? bucket->at : at + chunk->used;
            while (at < end) {
                const rf_exchange_record *record = (const rf_exchange_record *)(const void *)at;
                uint32_t position = (uint32_t)(record->position - job->from);
                worker->entries[count++] = (rf_exchange_entry){position, record};
                *sorted_out = *sorted_out && position >= last;
                last = position;
                at += sizeof *record +
                      job->keying.handlers[rf_exchange_record_handler(record)].event_size;
            }
        }
    }
    return count;
}

static void sort_digit(const rf_exchange_entry *from, rf_exchange_entry *to, size_t count,
                       unsigned shift)
{
    uint32_t starts[DIGITS] = {0};
    uint32_t sum = 0;

    for (size_t i = 0; i < count; i++)
        starts[from[i].position >> shift & (DIGITS - 1)]++;
    for (uint32_t d = 0; d < DIGITS; d++) {
        uint32_t held = starts[d];
        starts[d] = sum;
        sum += held;
    }
    for (size_t i = 0; i < count; i++)
        to[starts[from[i].position >> shift & (DIGITS - 1)]++] = from[i];
}

/* The worker's entries in the order of their positions. */
static const rf_exchange_entry *sort_entries(rf_exchange_worker *worker, size_t count)
{
    uint64_t span = worker->job->until - worker->job->from;

    for (unsigned shift = 0; shift < 32 && span >> shift > 0; shift += DIGIT_BITS) {
        sort_digit(worker->entries, worker->sorted, count, shift);
        rf_exchange_entry *swapped = worker->entries;
        worker->entries = worker->sorted;
        worker->sorted = swapped;
    }
    return worker->entries;
}

/* ---- calls ---- */

bool rf_exchange_mark_dirty(rf_exchange_worker *worker, rf_keyed_row *row)
{
    if (row->marks & RF_EXCHANGE_DIRTY)
        return true;
    if (worker->dirty_count == worker->dirty_capacity) {
        size_t capacity = worker->dirty_capacity ? 2 * worker->dirty_capacity : 1024;
        rf_keyed_row **dirty = realloc(worker->dirty, capacity * sizeof(rf_keyed_row *));
        if (!dirty)
            return false;
        worker->dirty = dirty;
        worker->dirty_capacity = capacity;
    }
    row->marks |= RF_EXCHANGE_DIRTY;
    worker->dirty[worker->dirty_count++] = row;
    return true;
}

/* One handler with one row: the place where they are called, one by one. False at a fault. */
static inline bool call_row(rf_exchange_worker *worker, const rf_exchange_record *record,
                            rf_keyed_row *row)
{
    const rf_exchange *job = worker->job;
    const rf_definition *definition = job->keying.definition;
    uint32_t index = rf_exchange_record_handler(record);
    const rf_definition_handler *handler = job->keying.handlers[index].handler;
    char *data = rf_keyed_row_data(row);

    if (worker->batch)
        return (!job->row_texts || rf_exchange_mark_dirty(worker, row)) &&
               rf_exchange_run_add(worker, record, row);
    if (!(row->flags & RF_STATE_TOUCHED)) {
        memcpy(data, definition->row_template, definition->row_size);
        row->flags = RF_STATE_TOUCHED;
    }
    rf_fold_result result = handler->fold(&worker->context.fold, data, record + 1);
    if (result == RF_ROW_WRITTEN)
        row->flags = RF_STATE_TOUCHED | RF_STATE_EXISTS;
    else if (result == RF_ROW_DELETED)
        row->flags = 0;
    else if (__builtin_expect(result != RF_ROW_UNCHANGED, false))
        return !rf_exchange_refuse(worker, result, record->position, index, rf_keyed_row_key(row));
    if (__builtin_expect(worker->out_of_memory, false))
        return !rf_exchange_refuse(worker, result, record->position, index, rf_keyed_row_key(row));
    return !job->row_texts || rf_exchange_mark_dirty(worker, row);
}

static int compare_rows(const void *left, const void *right)
{
    return rf_slice_compare(rf_keyed_row_key(*(rf_keyed_row *const *)left),
                            rf_keyed_row_key(*(rf_keyed_row *const *)right));
}

rf_keyed_row **rf_exchange_rows_of_stream(rf_exchange_rows *rows, const rf_exchange_record *record,
                                          size_t *count_out)
{
    const rf_keyed_row *list = rf_exchange_record_row(record);
    size_t count = 0;
    size_t room = 1;

    uint32_t first = list->next;
    for (uint32_t index = first; index != RF_KEY_ROW_NONE; room++)
        index = rf_key_table_row(&rows->table, index)->next;
    rf_keyed_row **found = malloc(room * sizeof(rf_keyed_row *));
    for (uint32_t index = found ? first : RF_KEY_ROW_NONE; index != RF_KEY_ROW_NONE;) {
        rf_keyed_row *row = rf_key_table_row(&rows->table, index);
        if (row->flags & RF_STATE_EXISTS)
            found[count++] = row;
        index = row->next;
    }
    if (count > 1)
        qsort(found, count, sizeof(rf_keyed_row *), compare_rows);
    *count_out = count;
    return found;
}

/* A handler of every row: the stream's rows that exist, in key order. False at a fault; without
 * memory *status_out says so. */
static bool call_every_row(rf_exchange_worker *worker, rf_exchange_rows *rows,
                           const rf_exchange_record *record, rf_status *status_out, rf_err *err)
{
    size_t count = 0;
    bool fine = rf_exchange_run_flush(worker); /* which rows exist is known then */

    if (!fine)
        return false;
    rf_keyed_row **found = rf_exchange_rows_of_stream(rows, record, &count);
    if (!found) {
        *status_out = rf_fail(err, RF_ERR_MEMORY, "out of memory for the rows of a stream");
        return false;
    }
    for (size_t i = 0; fine && i < count; i++)
        fine = call_row(worker, record, found[i]);
    free(found);
    return fine;
}

/* The stream that a key begins with, as it is encoded. */
static rf_slice stream_of(const rf_exchange *job, rf_slice key)
{
    if (job->keying.definition->key_part_count == 1)
        return key;
    const char *end = memchr(key.data + 1, 0, key.size - 1);
    return (rf_slice){key.data, end ? (size_t)(end + 1 - key.data) : key.size};
}

rf_status rf_exchange_take_row(rf_exchange_worker *worker, rf_exchange_rows *rows,
                               const rf_exchange_record *record, rf_keyed_row **row_out, rf_err *err)
{
    const rf_exchange *job = worker->job;
    rf_keyed_row *row = rf_exchange_record_row(record);
    bool linked = !job->keying.has_every_row || row->marks & RF_EXCHANGE_LINKED ||
                  rf_exchange_rows_link(rows, stream_of(job, rf_keyed_row_key(row)), row);

    *row_out = row;
    if (!linked)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for its rows",
                       job->keying.definition->name);
    return rf_exchange_goes_on(job) ? rf_exchange_start_row(worker, rows, row, err) : RF_OK;
}

static rf_status fold_records(rf_exchange_worker *worker, rf_exchange_rows *rows,
                              const rf_exchange_entry *entries, size_t count, rf_err *err)
{
    rf_exchange *job = worker->job;
    const size_t stride = rows->table.stride;
    rf_status status = RF_OK;
    bool fine = true;

    /* what comes after a fault that is known does not count */
    while (count > 0 && entries[count - 1].record->position > atomic_load(&job->limit))
        count--;
    for (size_t i = 0; fine && i < count; i++) {
        const rf_exchange_record *record = entries[i].record;
        if (i + RECORD_AHEAD < count)
            __builtin_prefetch(entries[i + RECORD_AHEAD].record);
        if (i + ROW_AHEAD < count)
            rf_exchange_fetch_row(rf_exchange_record_row(entries[i + ROW_AHEAD].record), stride);
        if (job->keying.handlers[rf_exchange_record_handler(record)].every_row) {
            fine = call_every_row(worker, rows, record, &status, err);
            continue;
        }
        rf_keyed_row *row = NULL;
        status = rf_exchange_take_row(worker, rows, record, &row, err);
        if (status != RF_OK)
            return status;
        fine = rf_exchange_only_lists(job, record) || call_row(worker, record, row);
    }
    if (fine)
        (void)rf_exchange_run_flush(worker);
    return status;
}

rf_status rf_exchange_fold(rf_exchange_worker *worker, uint32_t partition, rf_err *err)
{
    rf_exchange *job = worker->job;
    rf_exchange_rows *rows = &job->rows[partition];
    double start = rf_clock_seconds();
    size_t count = 0;
    bool sorted;

    if (job->options->cancel && *job->options->cancel)
        return rf_fail(err, RF_ERR_INTERRUPTED, "interrupted while folding; what was live is live");
    for (uint32_t w = 0; w < job->worker_count; w++)
        count += job->workers[w].buckets[partition].count;
    if (count == 0)
        return RF_OK;
    rf_status status = reserve_entries(worker, count, err);
    if (status != RF_OK)
        return status;
    RF_ASSERT(list_records(worker, partition, &sorted) == count);
    const rf_exchange_entry *entries = sorted ? worker->entries : sort_entries(worker, count);
    worker->alloc_from = &worker->made;
    worker->dirty_count = 0;
    rf_exchange_run_forget(worker);
    status = job->careful ? rf_exchange_fold_guarded(worker, rows, entries, count, err)
                           : fold_records(worker, rows, entries, count, err);
    if (status == RF_OK && !rf_exchange_rows_keep_texts(rows, job->keying.definition, worker->dirty,
                                                        worker->dirty_count))
        status = rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for the text of its rows",
                         job->keying.definition->name);
    rf_arena_rewind(&worker->made);
    worker->fold_s += rf_clock_seconds() - start;
    return status;
}
