/* See log.h. */
#include "log/log.h"

#include "base/checksum.h"
#include "base/file.h"
#include "log/record.h"

#include <inttypes.h>
#include <stdlib.h>

struct rf_log {
    /* fixed after open */
    char *path;
    uint32_t partitions;
    rf_kv *kv;
};

/* Writes the records of an empty log. A crash in between leaves a log without HEAD at position 0,
 * which the next creation completes. */
static rf_status log_make(rf_log *log, rf_err *err)
{
    rf_kv_txn *txn;
    bool found = false;
    uint32_t partitions;
    uint64_t position;

    rf_status status = rf_kv_begin(log->kv, true, &txn, err);
    if (status)
        return status;
    status = rf_meta_read(txn, &partitions, &position, &found, err);
    if (!status && !found)
        status = rf_meta_write(txn, log->partitions, 0, err);
    if (status) {
        rf_kv_abort(txn);
        return status;
    }
    rf_head head = {position, rf_kv_txn_id(txn)};
    status = rf_kv_commit(txn, err);
    if (status)
        return status;

    rf_head old;
    status = rf_head_read(log->path, &old, &found, err);
    if (status || found || position > 0)
        return status;
    return rf_head_write(log->path, &head, err);
}

/* HEAD is read before the position, which only grows, so that a commit in between is no alarm. */
static rf_status log_check(rf_log *log, rf_err *err)
{
    rf_head head;
    bool head_found;
    bool found = false;
    uint32_t partitions = 0;
    uint64_t position = 0;
    rf_kv_txn *txn;

    rf_status status = rf_head_read(log->path, &head, &head_found, err);
    if (status)
        return status;
    status = rf_kv_begin(log->kv, false, &txn, err);
    if (status)
        return status;
    status = rf_meta_read(txn, &partitions, &position, &found, err);
    rf_kv_abort(txn);
    if (status)
        return status;
    if (!found)
        return rf_fail(err, RF_ERR_DAMAGED, "%s: the log has no record of its position", log->path);
    if (partitions != log->partitions)
        return rf_fail(err, RF_ERR_DAMAGED, "%s: the log has %u partitions, the store %u",
                       log->path, partitions, log->partitions);
    if (!head_found)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "%s/HEAD is missing: the log (at position %" PRIu64 ") has no witness",
                       log->path, position);
    if (position < head.position)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "%s: the log went back: it ends at position %" PRIu64 ", but %" PRIu64
                       " was acknowledged",
                       log->path, position, head.position);
    return RF_OK;
}

rf_status rf_log_open(const char *path, uint32_t partitions, bool create, rf_log **log_out,
                      rf_err *err)
{
    rf_kv_options options = {
        .tables = {"segments", "directory", "streams", "census", "meta"},
        .create = create,
    };
    rf_status status = RF_OK;

    RF_ASSERT(partitions > 0 && (partitions & (partitions - 1)) == 0);
    rf_log *log = calloc(1, sizeof *log);
    if (!log || !(log->path = strdup(path))) {
        status = rf_fail(err, RF_ERR_MEMORY, "%s: no memory to open the log", path);
        goto fail;
    }
    log->partitions = partitions;
    if (create) {
        status = rf_dir_make(path, err);
        if (status)
            goto fail;
    }
    status = rf_kv_open(path, &options, &log->kv, err);
    if (status)
        goto fail;
    if (create) {
        status = log_make(log, err);
        if (status)
            goto fail;
    }
    status = log_check(log, err);
    if (status)
        goto fail;
    *log_out = log;
    return RF_OK;
fail:
    rf_log_close(log);
    return status;
}

void rf_log_close(rf_log *log)
{
    if (!log)
        return;
    if (log->kv)
        rf_kv_close(log->kv);
    free(log->path);
    free(log);
}

uint32_t rf_log_partitions(const rf_log *log)
{
    return log->partitions;
}

rf_kv *rf_log_kv(rf_log *log)
{
    return log->kv;
}

const char *rf_log_path(const rf_log *log)
{
    return log->path;
}

rf_status rf_log_get_info(rf_log *log, rf_log_info *info_out, rf_err *err)
{
    rf_log_info info = {0};
    rf_kv_txn *txn;
    uint32_t partitions;
    bool found;

    rf_status status = rf_kv_begin(log->kv, false, &txn, err);
    if (status)
        return status;
    status = rf_meta_read(txn, &partitions, &info.position, &found, err);
    for (uint32_t i = 0; i < log->partitions && !status; i++) {
        rf_directory_record record;
        status = rf_directory_read(txn, i, &record, err);
        if (status)
            break;
        info.events += record.counts.events;
        info.streams += record.counts.streams;
        info.segments += record.counts.segments;
        info.raw_bytes += record.counts.raw_bytes;
    }
    rf_kv_abort(txn);
    /* Positions have no holes. A record whose key was damaged, in a page that has no checksum, looks
     * like a partition without events. */
    if (!status && info.events != info.position)
        status = rf_fail(err, RF_ERR_DAMAGED,
                         "log: its directory has %llu events, its last position is %llu",
                         (unsigned long long)info.events, (unsigned long long)info.position);
    if (status)
        return status;
    rf_kv_info kv_info;
    rf_kv_get_info(log->kv, &kv_info);
    info.bytes = kv_info.bytes_used;
    *info_out = info;
    return RF_OK;
}

rf_status rf_log_get_partition(rf_log *log, uint32_t partition, rf_log_partition *out, rf_err *err)
{
    rf_directory_record record;
    rf_kv_txn *txn;

    RF_ASSERT(partition < log->partitions);
    rf_status status = rf_kv_begin(log->kv, false, &txn, err);
    if (status)
        return status;
    status = rf_directory_read(txn, partition, &record, err);
    rf_kv_abort(txn);
    if (!status)
        *out = record.counts;
    return status;
}

rf_status rf_log_get_partitions(rf_log *log, rf_log_partition *out, rf_err *err)
{
    rf_directory_record record;
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(log->kv, false, &txn, err);
    if (status)
        return status;
    for (uint32_t i = 0; i < log->partitions && !status; i++) {
        status = rf_directory_read(txn, i, &record, err);
        if (!status)
            out[i] = record.counts;
    }
    rf_kv_abort(txn);
    return status;
}

rf_status rf_log_sources(rf_log *log, rf_log_source **sources_out, uint32_t *count_out, rf_err *err)
{
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(log->kv, false, &txn, err);
    if (status)
        return status;
    status = rf_sources_read(txn, sources_out, count_out, err);
    rf_kv_abort(txn);
    return status;
}

rf_status rf_log_census(rf_log *log, rf_census *census_out, rf_err *err)
{
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(log->kv, false, &txn, err);
    if (status)
        return status;
    status = rf_census_load(txn, RF_LOG_CENSUS, census_out, err);
    rf_kv_abort(txn);
    return status;
}

rf_status rf_log_names(rf_log *log, uint32_t partition, uint32_t number_end, rf_arena *arena,
                       rf_stream_name **names_out, uint32_t *count_out, rf_err *err)
{
    rf_kv_txn *txn;

    RF_ASSERT(partition < log->partitions);
    rf_status status = rf_kv_begin(log->kv, false, &txn, err);
    if (status)
        return status;
    status = rf_streams_list(txn, RF_LOG_STREAMS, partition, number_end, arena, names_out,
                             count_out, err);
    rf_kv_abort(txn);
    return status;
}

void rf_log_unload(rf_log *log)
{
    rf_kv_unload(log->kv);
}

void rf_log_touched(rf_log *log, rf_log_mapped *mapped, rf_slice at, uint64_t bytes)
{
    uint64_t piece = (uint64_t)(uintptr_t)at.data / RF_LOG_MAPPED_AROUND;
    uint64_t *word = &mapped->around[piece / 64 % 16];
    uint64_t bit = (uint64_t)1 << (piece % 64);

    if ((*word & bit) && bytes <= RF_LOG_MAPPED_AROUND)
        return;
    *word |= bit;
    mapped->bytes += bytes;
    if (mapped->bytes < mapped->budget)
        return;
    *mapped = (rf_log_mapped){.budget = mapped->budget};
    rf_log_unload(log);
}

rf_status rf_log_find_stream(rf_log *log, rf_slice name, uint32_t *partition_out,
                             rf_stream_name *out, bool *found_out, rf_err *err)
{
    uint32_t partition = rf_partition_of(name, log->partitions);
    rf_kv_txn *txn;

    rf_status status = rf_kv_begin(log->kv, false, &txn, err);
    if (status)
        return status;
    status = rf_streams_get(txn, RF_LOG_STREAMS, partition, name, out, found_out, err);
    rf_kv_abort(txn);
    if (status)
        return status;
    out->name = name; /* the one in the table ended with the transaction */
    *partition_out = partition;
    return RF_OK;
}
