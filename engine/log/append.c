/* See append.h and append_state.h: the call's way through the phases, and what is serial in it. */
#include "log/append_state.h"

#include "base/checksum.h"

#include <stdlib.h>

enum {
    EVENT_HELD = 64,   /* memory that an event takes until its commit, beside its bytes */
    STREAM_HELD = 128, /* and its stream, where it is new */
};
#define IDENTITY_BYTES_MAX ((size_t)160 << 20)

static rf_status source_name_check(const char *name, rf_err *err)
{
    size_t size = strlen(name);
    rf_slice text = {name, size};

    if (size == 0 || size >= sizeof((rf_log_source){0}.name) || !rf_utf8_valid(text))
        return rf_fail(err, RF_ERR_INPUT, "source \"%.80s\": a name has 1 to 63 bytes of UTF-8",
                       name);
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)name[i] < 0x20)
            return rf_fail(err, RF_ERR_INPUT, "source \"%.80s\": a name has no control characters",
                           name);
    return RF_OK;
}

rf_status rf_appender_begin(rf_log *log, rf_pool *pool, const rf_append_options *options,
                            rf_appender **appender_out, rf_err *err)
{
    const char *source = options && options->source ? options->source : "main";
    uint32_t slots = rf_pool_worker_slots(pool);
    rf_log_info info;

    rf_status status = source_name_check(source, err);
    if (status)
        return status;
    rf_appender *appender = calloc(1, sizeof *appender);
    if (!appender)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to append");
    appender->log = log;
    appender->pool = pool;
    appender->partitions = rf_log_partitions(log);
    appender->gaps_allow = options && options->gaps_allow;
    appender->identity_bytes_max = IDENTITY_BYTES_MAX / appender->partitions;
    memcpy(appender->source_name, source, strlen(source) + 1);
    appender->parts = calloc(appender->partitions, sizeof *appender->parts);
    appender->active = calloc(appender->partitions, sizeof *appender->active);
    appender->merges = calloc(appender->partitions, sizeof *appender->merges);
    appender->reads = calloc(slots, sizeof(rf_kv_txn *));
    appender->workspaces = calloc(slots, sizeof(rf_segment_workspace *));
    appender->censuses = calloc(slots, sizeof(rf_census *));
    appender->leaving.censuses = calloc(slots, sizeof(rf_census *));
    appender->leaving.partitions =
        calloc(appender->partitions, sizeof *appender->leaving.partitions);
    if (!appender->leaving.censuses || !appender->leaving.partitions || !appender->parts || !appender->active || !appender->merges || !appender->reads ||
        !appender->workspaces || !appender->censuses) {
        status = rf_fail(err, RF_ERR_MEMORY, "log: no memory to append");
        goto fail;
    }
    /* A crash between a commit and its HEAD left events that nobody acknowledged. They are
     * acknowledged from here on, as duplicates, so HEAD must cover them first. */
    status = rf_log_get_info(log, &info, err);
    if (!status)
        status = rf_head_raise(rf_log_path(log), info.position, 0, err);
    if (status)
        goto fail;
    appender->position = info.position;
    appender->counts.position = info.position;
    *appender_out = appender;
    return RF_OK;
fail:
    rf_appender_free(appender);
    return status;
}

void rf_appender_free(rf_appender *appender)
{
    if (!appender)
        return;
    (void)rf_append_leaving_end(appender, true, NULL);
    rf_kv_abort(appender->txn);
    for (uint32_t i = 0; appender->reads && i < rf_pool_worker_slots(appender->pool); i++)
        rf_kv_abort(appender->reads[i]);
    for (uint32_t i = 0; appender->workspaces && i < rf_pool_worker_slots(appender->pool); i++)
        rf_segment_workspace_free(appender->workspaces[i]);
    for (uint32_t i = 0; appender->censuses && i < rf_pool_worker_slots(appender->pool); i++)
        rf_census_free(appender->censuses[i]);
    for (uint32_t i = 0; appender->leaving.censuses && i < rf_pool_worker_slots(appender->pool);
         i++)
        rf_census_free(appender->leaving.censuses[i]);
    for (uint32_t i = 0; appender->parts && i < appender->partitions; i++)
        rf_append_part_free(&appender->parts[i]);
    free(appender->parts);
    free(appender->active);
    free(appender->merges);
    free(appender->reads);
    free(appender->workspaces);
    free(appender->censuses);
    free(appender->leaving.censuses);
    free(appender->leaving.partitions);
    free(appender->places);
    free(appender->positions);
    free(appender);
}

rf_status rf_append_read_begin(rf_appender *appender, uint32_t worker, rf_kv_txn **txn_out,
                               rf_err *err)
{
    rf_kv_txn **txn = &appender->reads[worker];
    rf_status status =
        *txn ? rf_kv_renew(*txn, err) : rf_kv_begin(rf_log_kv(appender->log), false, txn, err);

    if (!status)
        *txn_out = *txn;
    return status;
}

void rf_append_read_end(rf_appender *appender, uint32_t worker)
{
    if (appender->reads[worker])
        rf_kv_reset(appender->reads[worker]);
}

/* Learns position, directory and sources anew, and drops the views of what was there before. */
static rf_status state_load(rf_appender *appender, rf_kv_txn *txn, rf_err *err)
{
    rf_log_source *sources = NULL;
    uint32_t source_count = 0;
    uint32_t partitions;
    bool found;

    rf_status status = rf_meta_read(txn, &partitions, &appender->position, &found, err);
    for (uint32_t i = 0; i < appender->partitions && !status; i++) {
        rf_append_part_forget(&appender->parts[i]);
        status = rf_directory_read(txn, i, &appender->parts[i].record, err);
    }
    if (!status)
        status = rf_sources_read(txn, &sources, &source_count, err);
    if (status)
        return status;
    appender->source = (rf_log_source){.number = source_count};
    memcpy(appender->source.name, appender->source_name, sizeof appender->source.name);
    bool is_new = true;
    for (uint32_t i = 0; i < source_count; i++) {
        if (strcmp(sources[i].name, appender->source_name) == 0) {
            appender->source = sources[i];
            is_new = false;
        }
    }
    free(sources);
    if (is_new && source_count == RF_LOG_SOURCES_MAX)
        return rf_fail(err, RF_ERR_INPUT, "source %s: the log has %d sources already, its most",
                       appender->source_name, RF_LOG_SOURCES_MAX);
    appender->counts.position = appender->position;
    return RF_OK;
}

/* The state of the log after the commit `last`, which the transaction sees. */
static rf_status state_know(rf_appender *appender, rf_kv_txn *txn, uint64_t last, rf_err *err)
{
    if (appender->is_known && last == appender->known_txn)
        return RF_OK;
    rf_status status = state_load(appender, txn, err);
    if (status)
        return status;
    appender->is_known = true;
    appender->known_txn = last;
    return RF_OK;
}

rf_status rf_append_txn_begin(rf_appender *appender, rf_err *err)
{
    RF_ASSERT(!appender->txn && !appender->has_batch && !appender->is_leaving);
    rf_status status = rf_kv_begin(rf_log_kv(appender->log), true, &appender->txn, err);
    if (status)
        return status;
    status = state_know(appender, appender->txn, rf_kv_txn_id(appender->txn) - 1, err);
    if (status) {
        rf_kv_abort(appender->txn);
        appender->txn = NULL;
    }
    return status;
}

/* Before the first event of a batch. What is decided goes on from the log, or from what is leaving. */
static rf_status batch_begin(rf_appender *appender, rf_err *err)
{
    rf_kv_txn *txn;
    rf_status status = rf_append_leaving_end(appender, false, err);

    if (status || appender->has_batch)
        return status;
    if (!appender->is_leaving) {
        status = rf_append_read_begin(appender, 0, &txn, err);
        if (!status)
            status = state_know(appender, txn, rf_kv_txn_id(txn), err);
        rf_append_read_end(appender, 0);
    }
    appender->has_batch = !status;
    return status;
}

static rf_status block_room(rf_appender *appender, size_t count, rf_err *err)
{
    if (count <= appender->event_room)
        return RF_OK;
    free(appender->places);
    free(appender->positions);
    appender->event_room = 0;
    appender->places = malloc(count * sizeof *appender->places);
    appender->positions = malloc(count * sizeof *appender->positions);
    if (!appender->places || !appender->positions)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory for a block of %zu events", count);
    appender->event_room = count;
    return RF_OK;
}

/* Sorts the block's events by partition, keeping their order within each. */
static void block_group(rf_appender *appender)
{
    const rf_event_note *notes = appender->notes;
    const uint32_t mask = appender->partitions - 1;
    size_t count = appender->event_count;
    uint32_t at = 0;

    for (uint32_t i = 0; i < appender->partitions; i++) {
        rf_append_part *part = &appender->parts[i];
        part->block_end = 0;
        part->block_new = 0;
        part->block_duplicates = 0;
        part->block_streams = 0;
        part->block_raw = 0;
        part->block_names = 0;
        part->block_is_built = false;
        part->failure = RF_OK;
    }
    for (size_t i = 0; i < count; i++)
        appender->parts[notes[i].partition_hash & mask].block_end++;
    appender->active_count = 0;
    for (uint32_t i = 0; i < appender->partitions; i++) {
        rf_append_part *part = &appender->parts[i];
        part->block_begin = at;
        at += part->block_end;
        if (part->block_end > 0)
            appender->active[appender->active_count++] = i;
        part->block_end = part->block_begin;
    }
    for (size_t i = 0; i < count; i++) {
        rf_append_part *part = &appender->parts[notes[i].partition_hash & mask];
        rf_append_place *place = &appender->places[part->block_end++];
        place->stream_hash = notes[i].stream_hash;
        place->index = (uint32_t)i;
        place->fingerprint = notes[i].fingerprint;
    }
}

/* The failure of the lowest event, whichever worker met it first. */
static rf_status block_failure(const rf_appender *appender, rf_err *err)
{
    const rf_append_part *lowest = NULL;

    for (uint32_t i = 0; i < appender->active_count; i++) {
        const rf_append_part *part = &appender->parts[appender->active[i]];
        if (part->failure && (!lowest || part->failure_index < lowest->failure_index))
            lowest = part;
    }
    if (!lowest)
        return RF_OK;
    if (err)
        *err = lowest->failure_err;
    return lowest->failure;
}

/* Counts what is new, and gives positions in the order of the events. What was built has them already
 * where all are. Active are the partitions that have more to do. */
static void block_place(rf_appender *appender)
{
    uint32_t active_count = 0;
    uint64_t new_count = 0;

    for (uint32_t i = 0; i < appender->active_count; i++)
        new_count += appender->parts[appender->active[i]].block_new;
    bool all_new = new_count == appender->event_count;
    for (uint32_t i = 0; i < appender->active_count; i++) {
        const rf_append_part *part = &appender->parts[appender->active[i]];
        appender->batch.added += part->block_new;
        appender->batch.duplicates += part->block_duplicates;
        appender->batch.streams += part->block_streams;
        appender->pending_bytes += part->block_raw + part->block_names +
                                   (uint64_t)part->block_new * EVENT_HELD +
                                   (uint64_t)part->block_streams * STREAM_HELD;
        if (part->block_new > 0 && !(all_new && part->block_is_built))
            appender->active[active_count++] = appender->active[i];
    }
    appender->active_count = active_count;
    appender->source.events += new_count;
    if (all_new) {
        appender->position += new_count;
        return;
    }
    for (size_t i = 0; i < appender->event_count; i++)
        if (appender->positions[i])
            appender->positions[i] = ++appender->position;
}

/* The source's mark, and which events are below it. */
static void block_mark(rf_appender *appender)
{
    uint64_t mark = appender->source.mark;

    for (size_t i = 0; i < appender->event_count; i++) {
        uint64_t source_position = appender->notes[i].source_position;
        if (!appender->positions[i] || source_position == 0 || rf_event_is_id(source_position))
            continue;
        appender->batch.late += source_position < mark;
        mark = source_position > mark ? source_position : mark;
    }
    appender->source.mark = mark;
}

/* Finished segments wait in memory for the commit. */
static rf_status pending_check(rf_appender *appender, rf_err *err)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < appender->partitions; i++)
        for (uint32_t k = 0; k < appender->parts[i].batch.segment_count; k++)
            bytes += appender->parts[i].batch.segments[k].bytes.size;
    appender->pending_compressed = bytes;
    if (bytes > RF_APPEND_COMPRESSED_MAX)
        return rf_fail(err, RF_ERR_MEMORY,
                       "log: one commit of more than %llu bytes, compressed; import in parts",
                       (unsigned long long)RF_APPEND_COMPRESSED_MAX);
    return RF_OK;
}

static rf_status block_run(rf_appender *appender, rf_err *err)
{
    rf_status status = block_room(appender, appender->event_count, err);
    if (status)
        return status;
    block_group(appender);
    status = rf_pool_run(appender->pool, appender->active_count, rf_append_decide_task, appender,
                         err);
    if (!status)
        status = block_failure(appender, err);
    if (status)
        return status;
    block_place(appender);
    block_mark(appender);
    status = rf_pool_run(appender->pool, rf_append_build_tasks(appender), rf_append_build_task,
                         appender, err);
    if (!status)
        status = block_failure(appender, err);
    return status ? status : pending_check(appender, err);
}

rf_status rf_appender_add(rf_appender *appender, const rf_event *events, const rf_event_note *notes,
                          size_t count, rf_err *err)
{
    rf_status status = RF_OK;

    RF_ASSERT(!appender->is_failed);
    RF_ASSERT(count < UINT32_MAX);
    if (count == 0)
        return RF_OK;
    status = batch_begin(appender, err);
    appender->events = events;
    appender->notes = notes;
    appender->event_count = count;
    if (!status)
        status = block_run(appender, err);
    appender->events = NULL;
    appender->notes = NULL;
    appender->event_count = 0;
    appender->is_failed = status != RF_OK;
    return status;
}

rf_status rf_appender_set_cursor(rf_appender *appender, rf_slice cursor, rf_err *err)
{
    rf_log_source *source = &appender->source;
    rf_status status = RF_OK;

    RF_ASSERT(!appender->is_failed);
    RF_ASSERT(cursor.size > 0 && cursor.size <= RF_LOG_CURSOR_SIZE_MAX);
    status = batch_begin(appender, err);
    appender->is_failed = status != RF_OK;
    if (status || rf_slice_equal(cursor, (rf_slice){source->cursor, source->cursor_size}))
        return status;
    memset(source->cursor, 0, sizeof source->cursor);
    memcpy(source->cursor, cursor.data, cursor.size);
    source->cursor_size = (uint32_t)cursor.size;
    appender->cursor_is_new = true;
    return RF_OK;
}

uint64_t rf_appender_pending_bytes(const rf_appender *appender)
{
    return appender->pending_bytes + (appender->is_leaving ? appender->leaving.bytes : 0);
}

void rf_appender_get_counts(const rf_appender *appender, rf_append_counts *counts_out)
{
    *counts_out = appender->counts;
}
