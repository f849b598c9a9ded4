/* The appender's commit. See append.h and append_state.h.
 *
 * Segments and runs are finished on the pool, and moved out of the way of what is added next. Then one
 * thread puts them into a write transaction, commits it and raises HEAD: LMDB has one writer, and what
 * it does is copying and waiting for the disk. That thread is the caller's, or the pool's thread beside,
 * which lets two cores go on with the next batch for what was one tenth of an import's time. The
 * transaction is that thread's from its begin to its end.
 */
#include "log/append_state.h"
#include "log/merge.h"

enum { RUN_BYTES_MAX = 1 << 30 };

static rf_status finish_task(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    rf_appender *appender = arg;
    uint32_t partition = appender->active[index];
    rf_append_part *part = &appender->parts[partition];
    rf_buf *run = &part->batch.run;

    rf_status status = rf_append_finish_builder(appender, part, worker, err);
    if (status)
        return status;
    rf_buf_init(run, RUN_BYTES_MAX);
    status = rf_streams_flush(part->streams, run, err);
    if (!status)
        status = rf_buf_check(run, "a run of stream names", err);
    if (!status && run->size > 0)
        status = rf_append_merge_runs(appender, partition, worker,
                                      appender->known_txn + 1 + partition, err);
    return status;
}

/* The partitions that the batch changed become the active ones. */
static void batch_active(rf_appender *appender)
{
    appender->active_count = 0;
    for (uint32_t i = 0; i < appender->partitions; i++)
        if (appender->parts[i].batch.events > 0)
            appender->active[appender->active_count++] = i;
}

static rf_status put_segments(rf_append_part *part, rf_kv_txn *txn, rf_err *err)
{
    rf_append_batch *batch = &part->leaving;
    rf_status status = RF_OK;

    for (uint32_t i = 0; i < batch->segment_count && !status; i++) {
        rf_append_segment *segment = &batch->segments[i];
        rf_segment_key key = rf_segment_key_of(&segment->span);
        char *room;
        status = rf_kv_put_room(txn, RF_LOG_SEGMENTS, rf_segment_key_slice(&key),
                                segment->bytes.size, &room, err);
        if (status)
            return status;
        memcpy(room, segment->bytes.data, segment->bytes.size);
        rf_buf_free(&segment->bytes); /* what is pending need not be in memory twice */
        rf_merge_note_segment(&part->record, segment->span.first_position, segment->events,
                              segment->raw_bytes);
    }
    return status;
}

static rf_status put_names(rf_append_part *part, rf_kv_txn *txn, uint32_t partition, rf_err *err)
{
    rf_append_batch *batch = &part->leaving;
    rf_log_partition *counts = &part->record.counts;
    rf_status status = RF_OK;

    if (batch->merged.size > 0)
        status =
            rf_streams_put_merged(txn, RF_LOG_STREAMS, partition, rf_buf_slice(&batch->merged),
                                  batch->merged_count, err);
    rf_buf_free(&batch->merged);
    if (!status && batch->run.size > 0)
        status = rf_streams_put_run(txn, RF_LOG_STREAMS, partition, rf_buf_slice(&batch->run), err);
    rf_buf_free(&batch->run);
    if (status)
        return status;
    counts->events += batch->events;
    counts->raw_bytes += batch->raw_bytes;
    counts->last_position = batch->last_position;
    counts->segments += batch->segment_count;
    counts->streams = batch->streams;
    return rf_directory_write(txn, partition, &part->record, err);
}

static rf_status census_put(rf_append_leaving *leaving, rf_kv_txn *txn, uint32_t workers,
                            rf_err *err)
{
    rf_census *all = rf_census_new();
    rf_status status = RF_OK;

    if (!all)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory for the census");
    for (uint32_t i = 0; i < workers && !status; i++) {
        if (!leaving->censuses[i])
            continue;
        status = rf_census_settle(leaving->censuses[i], err);
        if (!status)
            status = rf_census_add(all, leaving->censuses[i], err);
        rf_census_clear(leaving->censuses[i]);
    }
    if (!status)
        status = rf_census_store(txn, RF_LOG_CENSUS, all, err);
    rf_census_free(all);
    return status;
}

static rf_status leaving_put(rf_appender *appender, rf_kv_txn *txn, rf_err *err)
{
    rf_append_leaving *leaving = &appender->leaving;
    rf_status status = RF_OK;

    /* The parts' own records change at once: after a failure the appender is only freed. Names lie
     * together, because they are read all the time, and with each page that is read the system maps up
     * to 2 MiB around it. */
    for (uint32_t i = 0; i < leaving->partition_count && !status; i++) {
        uint32_t partition = leaving->partitions[i];
        status = put_segments(&appender->parts[partition], txn, err);
    }
    for (uint32_t i = 0; i < leaving->partition_count && !status; i++) {
        uint32_t partition = leaving->partitions[i];
        status = put_names(&appender->parts[partition], txn, partition, err);
    }
    if (!status)
        status = census_put(leaving, txn, rf_pool_worker_slots(appender->pool), err);
    if (!status)
        status = rf_source_write(txn, &leaving->source, err);
    if (!status)
        status = rf_meta_write(txn, appender->partitions, leaving->position, err);
    return status;
}

/* Writes what is leaving: a whole transaction, and HEAD. Where it does not run on the caller's thread
 * it reads nothing of the appender that changes meanwhile. */
static rf_status leaving_commit(void *arg, rf_err *err)
{
    rf_appender *appender = arg;
    rf_append_leaving *leaving = &appender->leaving;
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(rf_log_kv(appender->log), true, &txn, err);
    if (status)
        return status;
    leaving->txn_id = rf_kv_txn_id(txn);
    if (leaving->txn_id != appender->known_txn + 1)
        status = rf_fail(err, RF_ERR_LOCKED,
                         "log: another process appended to it while this one was about to");
    if (!status)
        status = leaving_put(appender, txn, err);
    if (status) {
        rf_kv_abort(txn);
        return status;
    }
    status = rf_kv_commit(txn, err);
    if (status)
        return status;
    leaving->is_committed = true;
    rf_kv_unload(rf_log_kv(appender->log));
    return rf_head_raise(rf_log_path(appender->log), leaving->position, leaving->txn_id, err);
}

/* Moves the batch, whose segments and runs are finished, out of the way of the next. */
static void batch_leave(rf_appender *appender)
{
    rf_append_leaving *leaving = &appender->leaving;
    rf_census **censuses = leaving->censuses;

    leaving->partition_count = appender->active_count;
    leaving->bytes = 0;
    for (uint32_t i = 0; i < appender->active_count; i++) {
        rf_append_part *part = &appender->parts[appender->active[i]];
        rf_append_batch next = part->leaving; /* empty, but for its room */
        leaving->partitions[i] = appender->active[i];
        part->batch.streams = rf_streams_count(part->streams);
        for (uint32_t k = 0; k < part->batch.segment_count; k++)
            leaving->bytes += part->batch.segments[k].bytes.size;
        leaving->bytes += part->batch.run.size + part->batch.merged.size;
        part->leaving = part->batch;
        part->batch = (rf_append_batch){.segments = next.segments,
                                        .segment_room = next.segment_room};
        rf_streams_leave(part->streams);
        if (part->identity)
            rf_identity_committed(part->identity); /* nobody asks it before they are */
    }
    leaving->position = appender->position;
    leaving->source = appender->source;
    leaving->counts = appender->batch;
    leaving->censuses = appender->censuses;
    leaving->is_committed = false;
    appender->censuses = censuses;
    appender->cursor_is_new = false;
    appender->has_batch = false;
    appender->batch = (rf_append_counts){0};
    appender->pending_bytes = 0;
    appender->pending_compressed = 0;
}

static void counts_add(rf_append_counts *counts, const rf_append_counts *more)
{
    counts->added += more->added;
    counts->duplicates += more->duplicates;
    counts->late += more->late;
    counts->streams += more->streams;
}

/* What was leaving is history. */
static void leaving_ended(rf_appender *appender)
{
    rf_append_leaving *leaving = &appender->leaving;

    if (!leaving->is_committed)
        return;
    counts_add(&appender->counts, &leaving->counts);
    appender->counts.position = leaving->position;
    appender->known_txn = leaving->txn_id;
    for (uint32_t i = 0; i < leaving->partition_count; i++) {
        rf_append_part *part = &appender->parts[leaving->partitions[i]];
        rf_streams_left(part->streams);
        part->leaving.segment_count = 0;
    }
}

rf_status rf_append_leaving_end(rf_appender *appender, bool wait, rf_err *err)
{
    if (!appender->is_leaving || (!wait && !rf_pool_beside_is_done(appender->pool)))
        return RF_OK;
    rf_status status = rf_pool_end_beside(appender->pool, err);
    appender->is_leaving = false;
    leaving_ended(appender);
    appender->is_failed = appender->is_failed || status != RF_OK;
    return status;
}

rf_status rf_appender_settle(rf_appender *appender, rf_err *err)
{
    return rf_append_leaving_end(appender, true, err);
}

/* A batch that adds nothing. */
static rf_status batch_empty(rf_appender *appender, rf_err *err)
{
    counts_add(&appender->counts, &appender->batch);
    appender->batch = (rf_append_counts){0};
    appender->has_batch = false;
    /* What was compared or looked up need not stay. No name is new. */
    rf_kv_unload(rf_log_kv(appender->log));
    for (uint32_t i = 0; i < appender->partitions; i++)
        if (appender->parts[i].streams)
            rf_streams_flushed(appender->parts[i].streams);
    /* What it has in duplicate may be of a process that died before it wrote HEAD. */
    return rf_head_raise(rf_log_path(appender->log), appender->position, 0, err);
}

static rf_status batch_commit(rf_appender *appender, bool beside, rf_err *err)
{
    bool only_cursor = appender->batch.added == 0;

    batch_active(appender);
    rf_status status =
        rf_pool_run(appender->pool, appender->active_count, finish_task, appender, err);
    if (status)
        return status;
    batch_leave(appender);
    if (beside && !only_cursor) {
        appender->is_leaving = true;
        rf_pool_begin_beside(appender->pool, leaving_commit, appender);
        return RF_OK;
    }
    status = leaving_commit(appender, err);
    leaving_ended(appender);
    for (uint32_t i = 0; only_cursor && i < appender->partitions; i++)
        if (appender->parts[i].streams)
            rf_streams_flushed(appender->parts[i].streams);
    return status;
}

static rf_status commit(rf_appender *appender, bool beside, rf_err *err)
{
    RF_ASSERT(!appender->is_failed);
    rf_status status = rf_append_leaving_end(appender, true, err);
    if (status || !appender->has_batch)
        return status;
    bool merges = rf_append_merge_is_due(appender, RF_MERGE_TAIL_COMMIT - 1);
    if (appender->batch.added == 0 && !appender->cursor_is_new)
        status = batch_empty(appender, err);
    else
        status = batch_commit(appender, beside && !merges, err);
    /* A merge needs the log as it is then. */
    if (!status && !appender->is_leaving)
        status = rf_append_merge(appender, RF_MERGE_TAIL_COMMIT, err);
    appender->is_failed = status != RF_OK;
    return status;
}

/* Step `append` of tests/model/swap.pml. */
rf_status rf_appender_commit(rf_appender *appender, rf_err *err)
{
    return commit(appender, false, err);
}

rf_status rf_appender_commit_begin(rf_appender *appender, rf_err *err)
{
    return commit(appender, true, err);
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
