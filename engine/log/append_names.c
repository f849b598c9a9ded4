/* Merging runs of names: at a commit where there are many, and at the end of an import, when those that
 * its commits wrote become one a partition. See append.h and append_state.h.
 *
 * At the end partitions are merged on the pool, a few at a time, into memory; one thread puts what comes out
 * into the write transaction, which is committed whenever it has some bytes.
 */
#include "log/append_state.h"

enum {
    RUN_BYTES_MAX = 1 << 30,
    PARTITIONS_AT_ONCE = 4,
    COMMIT_BYTES = 6 << 20, /* what a commit frees the one after the next writes over */
};

rf_status rf_append_merge_runs(rf_appender *appender, uint32_t partition, uint32_t worker,
                               uint64_t turn, rf_err *err)
{
    rf_append_part *part = &appender->parts[partition];
    rf_kv_txn *txn;

    rf_buf_init(&part->batch.merged, RUN_BYTES_MAX);
    rf_status status = rf_append_read_begin(appender, worker, &txn, err);
    if (!status)
        status = rf_streams_merge(txn, RF_LOG_STREAMS, partition, turn, &part->batch.merged,
                                  &part->batch.merged_count, err);
    rf_append_read_end(appender, worker);
    return status;
}

static rf_status names_task(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    rf_appender *appender = arg;

    return rf_append_merge_runs(appender, appender->active[index], worker, RF_STREAMS_TURN_LAST,
                                err);
}

/* The next partitions from *at on that were appended to, made one run each in the transaction. */
static rf_status names_some(rf_appender *appender, uint32_t *at, uint64_t *bytes, rf_err *err)
{
    appender->active_count = 0;
    for (; *at < appender->partitions && appender->active_count < PARTITIONS_AT_ONCE; ++*at)
        if (appender->parts[*at].streams)
            appender->active[appender->active_count++] = *at;
    rf_status status =
        rf_pool_run(appender->pool, appender->active_count, names_task, appender, err);
    for (uint32_t i = 0; i < appender->active_count; i++) {
        rf_append_batch *batch = &appender->parts[appender->active[i]].batch;
        if (!status && batch->merged.size > 0)
            status = rf_streams_put_merged(appender->txn, RF_LOG_STREAMS, appender->active[i],
                                           rf_buf_slice(&batch->merged), batch->merged_count, err);
        *bytes += batch->merged.size;
        rf_buf_free(&batch->merged);
    }
    return status;
}

rf_status rf_append_merge_names(rf_appender *appender, rf_err *err)
{
    uint32_t at = 0;
    rf_status status = RF_OK;

    RF_ASSERT(!appender->txn && !appender->is_leaving);
    while (at < appender->partitions && !status) {
        uint64_t bytes = 0;
        status = rf_append_txn_begin(appender, err);
        /* Where another process appended, the views are gone, and so are the partitions. */
        while (!status && at < appender->partitions && bytes < COMMIT_BYTES)
            status = names_some(appender, &at, &bytes, err);
        rf_kv_txn *txn = appender->txn;
        appender->txn = NULL;
        if (status || bytes == 0) {
            rf_kv_abort(txn);
            continue;
        }
        uint64_t txn_id = rf_kv_txn_id(txn);
        status = rf_kv_commit(txn, err);
        appender->known_txn = status ? appender->known_txn : txn_id;
        rf_kv_unload(rf_log_kv(appender->log));
    }
    return status;
}
