/* The appender's commit, and the merging of small segments after it. See append.h and
 * append_state.h.
 *
 * Segments and runs are finished on the pool; then one thread puts them into the write transaction:
 * LMDB has one writer, and what it does here is copying.
 */
#include "log/append_state.h"
#include "log/merge.h"

enum { RUN_BYTES_MAX = 1 << 30 };

static rf_status finish_task(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    rf_appender *appender = arg;
    rf_append_part *part = &appender->parts[appender->active[index]];

    rf_status status = rf_append_finish_builder(appender, part, worker, err);
    if (status)
        return status;
    rf_buf_init(&part->run, RUN_BYTES_MAX);
    status = rf_streams_flush(part->streams, &part->run, err);
    if (!status)
        status = rf_buf_check(&part->run, "a run of stream names", err);
    if (!status && part->run.size > 0)
        status = rf_append_merge_runs(appender, appender->active[index], worker,
                                      rf_kv_txn_id(appender->txn) + appender->active[index], err);
    return status;
}

/* The partitions that the batch changed become the active ones. */
static void batch_active(rf_appender *appender)
{
    appender->active_count = 0;
    for (uint32_t i = 0; i < appender->partitions; i++)
        if (appender->parts[i].batch_events > 0)
            appender->active[appender->active_count++] = i;
}

static rf_status put_segments(rf_appender *appender, uint32_t partition, rf_err *err)
{
    rf_append_part *part = &appender->parts[partition];
    rf_status status = RF_OK;

    if (part->identity)
        rf_identity_committed(part->identity);
    for (uint32_t i = 0; i < part->segment_count && !status; i++) {
        rf_append_segment *segment = &part->segments[i];
        rf_segment_key key = rf_segment_key_of(partition, segment->first_position);
        char *room;
        status = rf_kv_put_room(appender->txn, RF_LOG_SEGMENTS, rf_segment_key_slice(&key),
                                segment->bytes.size, &room, err);
        if (status)
            return status;
        memcpy(room, segment->bytes.data, segment->bytes.size);
        rf_buf_free(&segment->bytes); /* what is pending need not be in memory twice */
        rf_merge_note_segment(&part->record, segment->first_position, segment->events,
                              segment->raw_bytes);
    }
    return status;
}

static rf_status put_names(rf_appender *appender, uint32_t partition, rf_err *err)
{
    rf_append_part *part = &appender->parts[partition];
    rf_log_partition *counts = &part->record.counts;
    rf_status status = RF_OK;

    if (part->merged.size > 0)
        status = rf_streams_put_merged(appender->txn, RF_LOG_STREAMS, partition,
                                       rf_buf_slice(&part->merged), part->merged_count, err);
    rf_buf_free(&part->merged);
    if (!status && part->run.size > 0)
        status = rf_streams_put_run(appender->txn, RF_LOG_STREAMS, partition,
                                    rf_buf_slice(&part->run), err);
    rf_buf_free(&part->run);
    if (status)
        return status;
    counts->events += part->batch_events;
    counts->raw_bytes += part->batch_raw;
    counts->last_position = part->batch_last;
    counts->segments += part->segment_count;
    counts->streams = rf_streams_count(part->streams);
    return rf_directory_write(appender->txn, partition, &part->record, err);
}

static rf_status census_put(rf_appender *appender, rf_err *err)
{
    rf_census *all = rf_census_new();
    rf_status status = RF_OK;

    if (!all)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory for the census");
    for (uint32_t i = 0; i < rf_pool_worker_slots(appender->pool) && !status; i++) {
        if (!appender->censuses[i])
            continue;
        status = rf_census_settle(appender->censuses[i], err);
        if (!status)
            status = rf_census_add(all, appender->censuses[i], err);
    }
    if (!status)
        status = rf_census_store(appender->txn, RF_LOG_CENSUS, all, err);
    rf_census_free(all);
    return status;
}

/* After the commit: what was pending is history. */
static void part_committed(rf_append_part *part)
{
    rf_streams_flushed(part->streams);
    part->segment_count = 0;
    part->batch_events = 0;
    part->batch_raw = 0;
}

static void batch_counted(rf_appender *appender)
{
    rf_append_counts *counts = &appender->counts;

    counts->added += appender->batch.added;
    counts->duplicates += appender->batch.duplicates;
    counts->late += appender->batch.late;
    counts->streams += appender->batch.streams;
    counts->position = appender->position;
    appender->batch = (rf_append_counts){0};
    appender->pending_bytes = 0;
    appender->pending_compressed = 0;
}

static rf_status batch_put(rf_appender *appender, rf_err *err)
{
    rf_status status = RF_OK;

    /* The parts' own records change at once: after a failure the appender is only freed. Names lie
     * together, because they are read all the time, and with each page that is read the system maps up
     * to 2 MiB around it. */
    for (uint32_t i = 0; i < appender->active_count && !status; i++)
        status = put_segments(appender, appender->active[i], err);
    for (uint32_t i = 0; i < appender->active_count && !status; i++)
        status = put_names(appender, appender->active[i], err);
    if (!status)
        status = census_put(appender, err);
    if (!status)
        status = rf_source_write(appender->txn, &appender->source, err);
    if (!status)
        status = rf_meta_write(appender->txn, appender->partitions, appender->position, err);
    return status;
}

static rf_status batch_commit(rf_appender *appender, rf_err *err)
{
    batch_active(appender);
    rf_status status =
        rf_pool_run(appender->pool, appender->active_count, finish_task, appender, err);
    if (!status)
        status = batch_put(appender, err);
    if (status)
        return status;
    uint64_t txn_id = rf_kv_txn_id(appender->txn);
    rf_kv_txn *txn = appender->txn;
    appender->txn = NULL;
    status = rf_kv_commit(txn, err);
    if (status)
        return status;
    appender->known_txn = txn_id;
    appender->source_is_new = false;
    appender->cursor_is_new = false;
    for (uint32_t i = 0; i < appender->active_count; i++)
        part_committed(&appender->parts[appender->active[i]]);
    for (uint32_t i = 0; i < rf_pool_worker_slots(appender->pool); i++)
        if (appender->censuses[i])
            rf_census_clear(appender->censuses[i]);
    batch_counted(appender); /* it is in the log, whatever becomes of HEAD */
    rf_kv_unload(rf_log_kv(appender->log));
    return rf_head_raise(rf_log_path(appender->log), appender->position, txn_id, err);
}

/* What was looked up of the names need not stay. None is new. */
static void names_forget(rf_appender *appender)
{
    for (uint32_t i = 0; i < appender->partitions; i++)
        if (appender->parts[i].streams)
            rf_streams_flushed(appender->parts[i].streams);
}

/* Step `append` of tests/model/swap.pml. */
rf_status rf_appender_commit(rf_appender *appender, rf_err *err)
{
    RF_ASSERT(!appender->is_failed);
    if (!appender->txn)
        return RF_OK;
    rf_status status;
    if (appender->batch.added == 0 && !appender->cursor_is_new) {
        rf_kv_abort(appender->txn);
        appender->txn = NULL;
        batch_counted(appender);
        /* Nor what was compared. */
        rf_kv_unload(rf_log_kv(appender->log));
        names_forget(appender);
        /* What it has in duplicate may be of a process that died before it wrote HEAD. */
        status = rf_head_raise(rf_log_path(appender->log), appender->position, 0, err);
        appender->is_failed = status != RF_OK;
        return status;
    }
    bool only_cursor = appender->batch.added == 0;
    status = batch_commit(appender, err);
    if (only_cursor)
        names_forget(appender);
    if (!status)
        status = rf_append_merge(appender, RF_MERGE_TAIL_COMMIT, err);
    appender->is_failed = status != RF_OK;
    return status;
}

rf_status rf_appender_finish(rf_appender *appender, rf_err *err)
{
    rf_status status = rf_appender_commit(appender, err);
    if (!status)
        status = rf_append_merge(appender, RF_MERGE_TAIL_FINISH, err);
    if (!status)
        status = rf_append_merge_names(appender, err);
    appender->is_failed = status != RF_OK;
    return status;
}

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

static bool merge_due(rf_appender *appender, uint32_t tail_min)
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
    *done_out = !merge_due(appender, tail_min);
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
    bool done = !appender->is_known || !merge_due(appender, tail_min);

    RF_ASSERT(!appender->txn);
    while (!done && !status)
        status = merge_some(appender, tail_min, &done, err);
    return status;
}
