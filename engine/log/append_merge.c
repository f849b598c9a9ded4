/* Merging the small segments at the ends of partitions, between commits. See append.h, append_state.h and
 * merge.h.
 *
 * Tails are read and built again on the pool; the caller puts what comes out into its write transaction,
 * which it began before.
 */
#include "log/append_state.h"
#include "log/merge.h"

static rf_status merge_task(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    rf_appender *appender = arg;
    uint32_t partition = appender->active[index];
    rf_kv_txn *txn;
    rf_merge *merge = NULL;

    rf_status status = rf_append_read_begin(appender, worker, &txn, err);
    if (!status)
        status = rf_merge_read(txn, partition, &appender->parts[partition].record, &merge, err);
    rf_append_read_end(appender, worker);
    appender->merges[index] = merge;
    return status;
}

bool rf_append_merge_is_due(rf_appender *appender, uint32_t tail_min)
{
    appender->active_count = 0;
    for (uint32_t i = 0; i < appender->partitions; i++)
        if (appender->parts[i].record.tail_count >= tail_min)
            appender->active[appender->active_count++] = i;
    return appender->active_count > 0;
}

/* Of at most so many partitions in one transaction, to bound its memory. */
enum { MERGE_PARTITIONS_MAX = 16 };

static rf_status merge_some(rf_appender *appender, uint32_t tail_min, bool *done_out, rf_err *err)
{
    rf_status status = rf_append_txn_begin(appender, err);
    if (status)
        return status;
    /* The state may be another one than before: others appended or merged. */
    *done_out = !rf_append_merge_is_due(appender, tail_min);
    if (*done_out) {
        rf_kv_abort(appender->txn);
        appender->txn = NULL;
        return RF_OK;
    }
    if (appender->active_count > MERGE_PARTITIONS_MAX)
        appender->active_count = MERGE_PARTITIONS_MAX;
    for (uint32_t i = 0; i < appender->active_count; i++)
        appender->merges[i] = NULL;
    status = rf_pool_run(appender->pool, appender->active_count, merge_task, appender, err);
    for (uint32_t i = 0; i < appender->active_count && !status; i++)
        status = rf_merge_apply(appender->merges[i], appender->txn,
                                &appender->parts[appender->active[i]].record, err);
    for (uint32_t i = 0; i < appender->active_count; i++)
        rf_merge_free(appender->merges[i]);
    uint64_t txn_id = rf_kv_txn_id(appender->txn);
    rf_kv_txn *txn = appender->txn;
    appender->txn = NULL;
    if (status) {
        rf_kv_abort(txn);
        return status;
    }
    status = rf_kv_commit(txn, err);
    if (status)
        return status;
    appender->known_txn = txn_id;
    for (uint32_t i = 0; i < appender->active_count; i++) {
        rf_append_part *part = &appender->parts[appender->active[i]];
        if (part->identity)
            rf_identity_forget(part->identity);
    }
    return RF_OK;
}

rf_status rf_append_merge(rf_appender *appender, uint32_t tail_min, rf_err *err)
{
    rf_status status = RF_OK;
    bool done = !appender->is_known || !rf_append_merge_is_due(appender, tail_min);

    RF_ASSERT(!appender->txn);
    while (!done && !status)
        status = merge_some(appender, tail_min, &done, err);
    return status;
}
