/* Combining in an exchange: what handlers write into the worker's own rows; see exchange.h and
 * combine.h.
 *
 * Where nothing is carried the order of events does not matter at all, so a segment is gone through
 * call by call, a batch of events at a time: the rows of the whole batch are on their way into the
 * caches before the first is needed. Short keys are known again by their bytes: a memo leads from
 * them to the row, without the hash that places keys in partitions. Where something is carried calls
 * come in the order of events, as records that wait until there is a batch of them. */
#include "rebuild/exchange_job.h"

#include <stdlib.h>

enum { MEMO_BITS = 15, MEMO_KEY_MIN = 8, MEMO_KEY_MAX = 16 };

/* A key of 8 to 16 bytes, by its first and last eight. */
struct rf_exchange_memo {
    uint64_t first, last;
    uint64_t size; /* 0: none */
    rf_keyed_row *row;
};

bool rf_exchange_memo_begin(rf_exchange_worker *worker)
{
    worker->memo = aligned_alloc(64, sizeof *worker->memo << MEMO_BITS);
    return worker->memo != NULL;
}

void rf_exchange_memo_clear(rf_exchange_worker *worker)
{
    if (worker->memo)
        memset(worker->memo, 0, sizeof *worker->memo << MEMO_BITS);
}

/* What a handler wrote, into the row of the key. False at a fault. */
static inline bool add_written(rf_exchange_worker *worker, const char *written, uint64_t position,
                               rf_keyed_row *row)
{
    const rf_exchange *job = worker->job;
    rf_exchange_rows *rows = &worker->own[row->hash & (job->partition_count - 1)];

    row->flags = RF_STATE_TOUCHED | RF_STATE_EXISTS;
    if (rf_combiner_add(&job->combiner, rf_keyed_row_data(row), written, position, &rows->text))
        return true;
    rf_exchange_fault(worker->job, RF_ERR_MEMORY, position, 0, RF_SLICE(""),
                      "out of memory for the text of rows");
    return false;
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
    uint32_t index = (uint32_t)(handler - job->keying.handlers);

    rf_exchange_copy(worker->row, job->combiner.row_template, job->combiner.row_size);
    rf_fold_result result = handler->handler->fold(&worker->context.fold, worker->row, event);
    if (__builtin_expect(result != RF_ROW_WRITTEN || worker->out_of_memory, false))
        return take_result(worker, result, position, index, row);
    return add_written(worker, worker->row, position, row);
}

/* The worker's own row of a key; NULL without memory, which is a fault then. */
static rf_keyed_row *take_row(rf_exchange_worker *worker, uint64_t position, rf_slice key,
                              uint32_t hash)
{
    const rf_exchange *job = worker->job;

    rf_keyed_row *row =
        rf_key_table_take(&worker->own[hash & (job->partition_count - 1)].table, hash, key);
    if (!row) {
        rf_exchange_fault(worker->job, RF_ERR_MEMORY, position, 0, RF_SLICE(""),
                          "out of memory for rows");
    } else if (row->flags == 0) {
        rf_combiner_clear(&job->combiner, rf_keyed_row_data(row));
        row->flags = RF_STATE_TOUCHED;
    }
    return row;
}

/* ---- records that wait ---- */

static inline bool is_known(const rf_exchange_record *record)
{
    return record->key_size == RF_EXCHANGE_ROW_KNOWN;
}

static inline const rf_key_table *table_of(const rf_exchange_worker *worker, uint32_t hash)
{
    return &worker->own[hash & (worker->job->partition_count - 1)].table;
}

/* Lists the records and fetches what they will need: rows that are known, else their slots. */
static void list_pending(const rf_exchange_worker *worker,
                         const rf_exchange_record *records[RF_EXCHANGE_PENDING])
{
    const rf_keying_handler *handlers = worker->job->keying.handlers;
    const char *at = worker->pending;

    for (uint32_t i = 0; i < worker->pending_count; i++) {
        const rf_exchange_record *record = (const rf_exchange_record *)(const void *)at;
        records[i] = record;
        if (is_known(record)) {
            __builtin_prefetch(record->key);
            __builtin_prefetch(record->key + 64);
        } else {
            rf_key_table_fetch_slot(table_of(worker, record->hash), record->hash);
        }
        at += sizeof *record + handlers[record->handler].event_size;
    }
    for (uint32_t i = 0; i < worker->pending_count; i++)
        if (!is_known(records[i]))
            rf_key_table_fetch_row(table_of(worker, records[i]->hash), records[i]->hash);
}

/* The row of a record; that of a text which is carried is remembered with it. */
static rf_keyed_row *row_of(rf_exchange_worker *worker, const rf_exchange_record *record,
                            const rf_keying_handler *handler)
{
    if (is_known(record))
        return (rf_keyed_row *)(uintptr_t)record->key;
    rf_keyed_row *row = take_row(worker, record->position, (rf_slice){record->key, record->key_size}, record->hash);
    if (handler->text_slot != UINT32_MAX)
        rf_carried_text_at(record->key)->row = row;
    return row;
}

/* A record by itself: of an event that is tried, or of a batch in which one failed. */
static bool combine_one(rf_exchange_worker *worker, const rf_exchange_record *record)
{
    const rf_exchange *job = worker->job;
    const rf_keying_handler *handler = &job->keying.handlers[record->handler];
    bool shuts = worker->tried && job->guard.shuts;
    bool failed = false;
    bool fine = true;

    rf_keyed_row *row = row_of(worker, record, handler);
    if (!row)
        return false;
    if (worker->spoilt) {
        note_failed(worker, record->position, 0, row, worker->spoilt);
    } else if (worker->batch) {
        fine = rf_exchange_run_combined(worker, &record, 1, &failed);
        const char *written = fine && !failed ? rf_exchange_run_row(worker, 0) : NULL;
        if (failed && !job->guard.on) {
            rf_exchange_fault(worker->job, RF_ERR_PLUGIN, record->position, record->handler,
                              rf_keyed_row_key(row), rf_exchange_run_reason(worker));
            return false;
        }
        if (failed)
            note_failed(worker, record->position, record->handler + 1u, row,
                        rf_exchange_run_reason(worker));
        else if (written && !worker->tried)
            fine = add_written(worker, written, record->position, row);
    } else {
        rf_exchange_copy(worker->row, job->combiner.row_template, job->combiner.row_size);
        rf_fold_result result =
            handler->handler->fold(&worker->context.fold, worker->row, record + 1);
        if (result != RF_ROW_WRITTEN || worker->out_of_memory)
            fine = take_result(worker, result, record->position, record->handler, row);
        else if (!worker->tried)
            fine = add_written(worker, worker->row, record->position, row);
    }
    if (fine && shuts)
        rf_exchange_shut(job, row, record->position);
    return fine;
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
        rf_keyed_row *row = row_of(worker, record, &handlers[record->handler]);
        if (row && worker->batch) {
            const char *written = rf_exchange_run_row(worker, i);
            fine = !written || add_written(worker, written, record->position, row);
            continue;
        }
        fine = row && combine_event(worker, &handlers[record->handler], record + 1,
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

/* As many partitions stay that have half of the share: they have more to come. */
static void leave_partitions(rf_exchange_worker *worker, size_t share)
{
    rf_exchange *job = worker->job;
    size_t kept = 0;
    bool first = true;

    (void)pthread_mutex_lock(&job->mutex);
    for (uint32_t i = 0; i < job->partition_count; i++) {
        if (!job->active[i])
            continue;
        kept += rf_exchange_rows_bytes(&worker->own[i]);
        if (!first && kept > share / 2)
            job->active[i] = false;
        first = false;
    }
    job->drops++;
    (void)pthread_mutex_unlock(&job->mutex);
}

void rf_exchange_bound_own(rf_exchange_worker *worker)
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
    for (uint32_t i = 0; i < job->partition_count; i++)
        if (!job->active[i])
            rf_exchange_rows_free(&worker->own[i]);
    rf_exchange_memo_clear(worker);
}

/* ---- call by call ---- */

bool rf_exchange_any_order(const rf_exchange *job)
{
    const rf_definition *definition = job->keying.definition;

    return definition->combines && definition->carry_count == 0 && !definition->no_key_ignore &&
           !definition->lua && job->target->policy.skip_count == 0;
}

/* Events of one call that are taken together. */
typedef struct call_batch {
    uint32_t count;
    uint32_t ordinals[RF_EXCHANGE_PENDING];
    rf_slice keys[RF_EXCHANGE_PENDING];
    struct rf_exchange_memo *memos[RF_EXCHANGE_PENDING]; /* NULL: it has none */
    rf_keyed_row *rows[RF_EXCHANGE_PENDING];
} call_batch;

static inline struct rf_exchange_memo *memo_of(rf_exchange_worker *worker, rf_slice key)
{
    if (!worker->memo || key.size < MEMO_KEY_MIN || key.size > MEMO_KEY_MAX)
        return NULL;
    const uint64_t factor = 0x9e3779b97f4a7c15u;
    uint64_t mixed =
        rf_load_u64(key.data) * factor ^ rf_load_u64(key.data + key.size - 8) * 0xd6e8feb86659fd93u;
    return &worker->memo[((mixed ^ mixed >> 32) * factor) >> (64 - MEMO_BITS)];
}

static inline bool memo_has(const struct rf_exchange_memo *memo, rf_slice key)
{
    return memo->size == key.size && memo->first == rf_load_u64(key.data) &&
           memo->last == rf_load_u64(key.data + key.size - 8);
}

/* A key's second place, in the same line of the cache. */
static inline struct rf_exchange_memo *memo_beside(rf_exchange_worker *worker,
                                                   struct rf_exchange_memo *memo)
{
    return &worker->memo[(memo - worker->memo) ^ 1];
}

/* Puts the event's struct together. */
static inline void fill(const rf_exchange_worker *worker, const rf_step *step,
                        const rf_exchange_call *call, uint32_t index, uint32_t ordinal)
{
    if (call->fills)
        (void)rf_plan_event(call->plan, index, ordinal,
                            step->bound.event_streams[index] - worker->first_stream);
}

/* The row of a text that was not known, or of a key that has to be made; NULL for one of another
 * pass. False at a fault. */
static __attribute__((noinline)) bool find_row(rf_exchange_worker *worker, const rf_step *step,
                                               const rf_exchange_call *call, uint32_t index,
                                               uint32_t ordinal, struct rf_exchange_memo *memo,
                                               rf_keyed_row **row_out)
{
    const rf_exchange *job = worker->job;
    uint64_t position = (uint64_t)worker->positions[index];
    rf_exchange_key key;

    *row_out = NULL;
    fill(worker, step, call, index, ordinal);
    worker->goes_on = false;
    if (!rf_exchange_make_key(worker, call->handler, NULL, 0, call->plan->event, position, &key))
        return worker->goes_on;
    if (!job->active[key.hash & (job->partition_count - 1)])
        return true;
    *row_out = take_row(worker, position, key.bytes, key.hash);
    if (memo && memo->size > 0)
        memo = memo_beside(worker, memo);
    if (memo && *row_out)
        *memo = (struct rf_exchange_memo){rf_load_u64(key.bytes.data),
                                          rf_load_u64(key.bytes.data + key.bytes.size - 8),
                                          key.bytes.size, *row_out};
    return *row_out != NULL;
}

/* Where texts of the key stand, without the plan's struct: the move that puts them there. NULL where
 * there is none. */
static const rf_slice *texts_of(const rf_exchange_call *call)
{
    const rf_plan_word *words = call->plan->words;

    if (call->way != RF_EXCHANGE_TEXT)
        return NULL;
    for (uint32_t i = 0; i < call->plan->word_count; i++)
        if (words[i].offset == call->key_offset && words[i].by_ordinal == sizeof(rf_slice))
            return (const rf_slice *)(const void *)words[i].from;
    return NULL;
}

/* Looks where the memo has the batch's keys, then takes what it has. */
static void look_up(rf_exchange_worker *worker, call_batch *batch, const rf_slice *texts)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        rf_slice key = texts[batch->ordinals[i]];
        batch->keys[i] = key;
        batch->memos[i] = key.data ? memo_of(worker, key) : NULL;
        if (batch->memos[i])
            __builtin_prefetch(batch->memos[i]);
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        struct rf_exchange_memo *memo = batch->memos[i];
        rf_slice key = batch->keys[i];
        batch->rows[i] = NULL;
        if (memo && !memo_has(memo, key))
            memo = memo_has(memo_beside(worker, memo), key) ? memo_beside(worker, memo) : NULL;
        if (memo) {
            batch->rows[i] = memo->row;
            __builtin_prefetch(memo->row);
            __builtin_prefetch((const char *)memo->row + 64);
        }
    }
}

/* The same where a dictionary has the keys: rows by code, as far as they are known. */
static void look_up_codes(const rf_exchange_call *call, call_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        batch->rows[i] =
            (rf_keyed_row *)(uintptr_t)call->known[call->codes[batch->ordinals[i]]];
        __builtin_prefetch(batch->rows[i]);
        __builtin_prefetch((const char *)batch->rows[i] + 64);
    }
}

static bool combine_batch(rf_exchange_worker *worker, const rf_step *step,
                          const rf_exchange_call *call, const rf_slice *texts, call_batch *batch,
                          const uint32_t *indexes)
{
    bool fine = true;

    if (texts)
        look_up(worker, batch, texts);
    else if (call->codes)
        look_up_codes(call, batch);
    for (uint32_t i = 0; fine && i < batch->count; i++) {
        uint32_t ordinal = batch->ordinals[i];
        uint32_t index = indexes[i];
        rf_keyed_row *row = texts || call->codes ? batch->rows[i] : NULL;
        if (!row)
            fine = find_row(worker, step, call, index, ordinal, texts ? batch->memos[i] : NULL,
                            &row);
        if (call->codes)
            call->known[call->codes[ordinal]] = (uint64_t)(uintptr_t)row;
        if (!row)
            continue;
        fill(worker, step, call, index, ordinal);
        worker->alloc_from = &worker->made;
        fine = combine_event(worker, call->handler, call->plan->event,
                             (uint64_t)worker->positions[index], row);
    }
    return fine;
}

/* All events of a type, for one of its calls. False at a fault. */
static bool combine_call(rf_exchange_worker *worker, const rf_step *step,
                         const rf_exchange_call *call, const uint32_t *indexes, uint32_t first,
                         uint32_t count)
{
    const uint32_t *ordinals = step->bound.event_ordinals;
    const rf_slice *texts = texts_of(call);
    call_batch batch;
    bool fine = true;

    for (uint32_t begin = 0; fine && begin < count; begin += RF_EXCHANGE_PENDING) {
        uint32_t left = count - begin;
        batch.count = left < RF_EXCHANGE_PENDING ? left : RF_EXCHANGE_PENDING;
        for (uint32_t i = 0; i < batch.count; i++)
            batch.ordinals[i] = ordinals ? ordinals[indexes[begin + i]] : first + begin + i;
        fine = combine_batch(worker, step, call, texts, &batch, indexes + begin);
    }
    return fine;
}

/* Lists the step's events of a type. */
static uint32_t list_type(rf_exchange_worker *worker, const rf_step *step, uint32_t type)
{
    const uint32_t *types = step->bound.event_types;
    const uint32_t *listed = step->bound.listed;
    uint32_t count = 0;

    for (uint32_t i = 0; listed && i < step->bound.listed_count; i++) {
        worker->listed[count] = listed[i];
        count += types[listed[i]] == type;
    }
    for (uint32_t i = step->log.begin; !listed && i < step->log.end; i++) {
        worker->listed[count] = i;
        count += types[i] == type;
    }
    return count;
}

bool rf_exchange_combine_segment(rf_exchange_worker *worker, const rf_step *step)
{
    bool fine = true;

    for (uint32_t t = 0; t < step->bound.type_count; t++) {
        const rf_exchange_lane *lane = &worker->lanes[t];
        if (lane->call_count == 0)
            continue;
        uint32_t count = list_type(worker, step, t);
        worker->events += worker->job->counts ? count : 0;
        for (uint32_t c = 0; c < lane->call_count; c++)
            if (!combine_call(worker, step, &lane->calls[c], worker->listed, lane->ordinal, count))
                fine = false;
    }
    return fine;
}
