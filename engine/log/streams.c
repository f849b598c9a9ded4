/* See streams.h: the appender's view of a partition. What is stored: streams_table.c.
 *
 * Whatever of the recent part (streams_recent.h) was handed out since the last flush is listed in `used`, so
 * that a flush looks at these only. A table that is past its bound is emptied by a flush, but not before what it
 * knows can be read: until then it is the table before, in which names are sought that the new one lacks. Names that are not in the table are looked for in the runs, newest
 * first, where the filters answer for most names that are new. The parts' places are kept for one
 * snapshot (transaction id) and found again in the next.
 */
#include "log/streams.h"

#include "log/streams_merge.h"
#include "log/streams_recent.h"
#include "log/streams_sort.h"

#include <stdlib.h>

enum { USED_MIN = 64, RUNS_ASKED = 32 };

typedef struct view_part {
    uint64_t run;
    rf_streams_part part;
    bool filter_checked;
    rf_streams_known known;
} view_part;

/* Parts [first, end) are one run. */
typedef struct view_run {
    uint32_t first;
    uint32_t end;
} view_run;

struct rf_streams {
    uint32_t partition;
    uint32_t table;
    uint32_t count;
    uint32_t round;
    size_t cache_bytes;

    rf_streams_recent now;
    rf_streams_recent before; /* nothing in it but between leave and left */
    bool is_leaving;
    rf_streams_slot *used;     /* owned; handed out since the last flush */
    size_t used_count;
    size_t used_capacity;

    bool has_snapshot;
    uint64_t snapshot; /* transaction id for which the parts are found */
    view_part *parts;  /* owned; oldest run first */
    uint32_t part_count;
    uint32_t part_capacity;
    view_run *runs; /* owned; oldest first */
    uint32_t run_count;
    uint32_t run_capacity;
    uint64_t *keys; /* owned; of each part its first name's, behind `shared` bytes */
    uint32_t shared; /* with which all first names begin */
};

static void parts_free(view_part *parts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(parts[i].known.keys);
    free(parts);
}

rf_streams *rf_streams_new(uint32_t partition, uint32_t table, uint32_t stream_count)
{
    rf_streams *streams = calloc(1, sizeof *streams);

    RF_ASSERT(partition <= UINT16_MAX);
    if (!streams)
        return NULL;
    streams->partition = partition;
    streams->table = table;
    streams->count = stream_count;
    streams->round = 1;
    streams->cache_bytes = RF_STREAMS_CACHE_BYTES;
    rf_streams_recent_init(&streams->now);
    rf_streams_recent_init(&streams->before);
    return streams;
}

void rf_streams_free(rf_streams *streams)
{
    if (!streams)
        return;
    rf_streams_recent_free(&streams->now);
    rf_streams_recent_free(&streams->before);
    free(streams->used);
    parts_free(streams->parts, streams->part_count);
    free(streams->runs);
    free(streams->keys);
    free(streams);
}

void rf_streams_set_cache_bytes(rf_streams *streams, size_t cache_bytes)
{
    streams->cache_bytes = cache_bytes;
}

uint32_t rf_streams_count(const rf_streams *streams)
{
    return streams->count;
}

static rf_status out_of_memory(const rf_streams *streams, rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY,
                   "streams of partition %u: out of memory with %zu names in the recent part",
                   streams->partition, streams->now.entry_count);
}

/* Parts found in a new snapshot; those known from the one before need no second check. */
typedef struct part_scan {
    rf_streams *streams;
    view_part *parts; /* owned */
    uint32_t count;
    uint32_t capacity;
    uint32_t known; /* next part of the snapshot before */
} part_scan;

static bool part_is_before(const view_part *a, uint64_t run, uint32_t number)
{
    return a->run < run || (a->run == run && a->part.part < number);
}

static rf_status scan_part(void *arg, uint64_t run, rf_slice bytes, rf_err *err)
{
    part_scan *scan = arg;
    rf_streams *streams = scan->streams;

    if (scan->count == scan->capacity) {
        uint32_t capacity = scan->capacity ? 2 * scan->capacity : 16;
        view_part *parts = realloc(scan->parts, capacity * sizeof *parts);
        if (!parts)
            return out_of_memory(streams, err);
        scan->parts = parts;
        scan->capacity = capacity;
    }
    bool same_run = scan->count > 0 && scan->parts[scan->count - 1].run == run;
    uint32_t number = same_run ? scan->parts[scan->count - 1].part.part + 1 : 0;
    while (scan->known < streams->part_count &&
           part_is_before(&streams->parts[scan->known], run, number))
        scan->known++;
    view_part *known =
        scan->known < streams->part_count ? &streams->parts[scan->known] : NULL;
    bool checked = known && known->run == run && known->part.part == number;
    view_part found = {.run = run, .filter_checked = checked && known->filter_checked};
    rf_status status = rf_streams_part_open(bytes, streams->partition, checked, &found.part, err);
    if (status != RF_OK)
        return status;
    if (checked) {
        found.known = known->known;
        known->known = (rf_streams_known){0};
    }
    scan->parts[scan->count++] = found;
    return RF_OK;
}

static rf_status group_runs(rf_streams *streams, rf_err *err)
{
    streams->run_count = 0;
    for (uint32_t i = 0; i < streams->part_count; i++) {
        if (i > 0 && streams->parts[i].run == streams->parts[i - 1].run) {
            streams->runs[streams->run_count - 1].end++;
            continue;
        }
        if (streams->run_count == streams->run_capacity) {
            uint32_t capacity = streams->run_capacity ? 2 * streams->run_capacity : 16;
            view_run *runs = realloc(streams->runs, capacity * sizeof *runs);
            if (!runs)
                return out_of_memory(streams, err);
            streams->runs = runs;
            streams->run_capacity = capacity;
        }
        streams->runs[streams->run_count++] = (view_run){i, i + 1};
    }
    return RF_OK;
}

/* Parts are sought for each name that is new, run by run: their first names lie scattered, so eight
 * bytes of each stand side by side. */
static rf_status keys_make(rf_streams *streams, rf_err *err)
{
    rf_slice first = {"", 0};

    free(streams->keys);
    streams->keys = malloc((streams->part_count + 1) * sizeof *streams->keys);
    if (!streams->keys)
        return out_of_memory(streams, err);
    for (uint32_t i = 0; i < streams->part_count; i++) {
        rf_slice name = rf_streams_part_first(&streams->parts[i].part, 0);
        size_t shared = 0;
        first = i == 0 ? name : first;
        while (shared < first.size && shared < name.size && first.data[shared] == name.data[shared])
            shared++;
        first.size = shared;
    }
    streams->shared = (uint32_t)first.size;
    for (uint32_t i = 0; i < streams->part_count; i++)
        streams->keys[i] = rf_streams_order_key(rf_streams_part_first(&streams->parts[i].part, 0),
                                                streams->shared);
    return RF_OK;
}

static rf_status find_parts(rf_streams *streams, rf_kv_txn *txn, rf_err *err)
{
    part_scan scan = {.streams = streams};

    streams->has_snapshot = false;
    rf_status status =
        rf_streams_each_part(txn, streams->table, streams->partition, scan_part, &scan, err);
    if (status != RF_OK) {
        parts_free(scan.parts, scan.count);
        return status;
    }
    parts_free(streams->parts, streams->part_count);
    streams->parts = scan.parts;
    streams->part_count = scan.count;
    streams->part_capacity = scan.capacity;
    status = group_runs(streams, err);
    if (status == RF_OK)
        status = keys_make(streams, err);
    if (status != RF_OK)
        return status;
    streams->snapshot = rf_kv_txn_id(txn);
    streams->has_snapshot = true;
    return RF_OK;
}

/* A name that is sought, and its key where it begins as all first names do. */
typedef struct sought_name {
    rf_slice name;
    uint64_t key;
    bool has_key;
} sought_name;

static sought_name sought_of(const rf_streams *streams, rf_slice name)
{
    sought_name sought = {.name = name};

    if (streams->part_count == 0 || name.size < streams->shared)
        return sought;
    rf_slice first = rf_streams_part_first(&streams->parts[0].part, 0);
    sought.has_key = memcmp(name.data, first.data, streams->shared) == 0;
    if (sought.has_key)
        sought.key = rf_streams_order_key(name, streams->shared);
    return sought;
}

/* The part of a run that has the name if any has; NULL if it is before all. */
static view_part *part_for(rf_streams *streams, const view_run *run, const sought_name *sought)
{
    uint32_t low = run->first;
    uint32_t count = run->end - run->first;

    if (count == 1)
        return &streams->parts[low];
    while (count > 0 && sought->has_key) { /* keys before `low` are not above */
        uint32_t half = count / 2;
        bool above = streams->keys[low + half] > sought->key;
        low = above ? low : low + half + 1;
        count = above ? half : count - half - 1;
    }
    /* Where keys do not tell, names do. */
    if (!sought->has_key || (low > run->first && streams->keys[low - 1] == sought->key)) {
        uint32_t high = sought->has_key ? low : run->end;
        low = run->first;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            rf_slice first = rf_streams_part_first(&streams->parts[middle].part, 0);
            if (rf_slice_compare(first, sought->name) <= 0)
                low = middle + 1;
            else
                high = middle;
        }
    }
    return low == run->first ? NULL : &streams->parts[low - 1];
}

static rf_status find_in_part(view_part *at, rf_slice name, uint64_t hash, rf_stream *stream,
                              bool *found_out, rf_err *err)
{
    rf_status status = RF_OK;

    if (!at->filter_checked)
        status = rf_streams_part_check_filter(&at->part, err);
    if (status != RF_OK)
        return status;
    at->filter_checked = true;
    if (!rf_streams_part_may_have(&at->part, hash))
        return RF_OK;
    return rf_streams_part_find(&at->part, name, &at->known, &stream->number,
                                &stream->last_version, found_out, err);
}

static rf_status find_stored(rf_streams *streams, rf_kv_txn *txn, rf_slice name, uint64_t hash,
                             rf_stream *stream, bool *found_out, rf_err *err)
{
    *found_out = false;
    if (!streams->has_snapshot || streams->snapshot != rf_kv_txn_id(txn)) {
        rf_status status = find_parts(streams, txn, err);
        if (status != RF_OK)
            return status;
    }
    const sought_name sought = sought_of(streams, name);
    view_part *parts[RUNS_ASKED]; /* of runs that are asked next, newest first */
    for (uint32_t end = streams->run_count; end > 0 && !*found_out;) {
        uint32_t count = end < RUNS_ASKED ? end : RUNS_ASKED;
        /* A filter is not in the caches: all are asked for before one is looked at. */
        for (uint32_t i = 0; i < count; i++) {
            parts[i] = part_for(streams, &streams->runs[end - 1 - i], &sought);
            if (parts[i])
                rf_streams_part_prefetch(&parts[i]->part, hash);
        }
        for (uint32_t i = 0; i < count && !*found_out; i++) {
            rf_status status = RF_OK;
            if (parts[i])
                status = find_in_part(parts[i], name, hash, stream, found_out, err);
            if (status != RF_OK)
                return status;
        }
        end -= count;
    }
    return RF_OK;
}

static bool use(rf_streams *streams, rf_streams_found *found, uint64_t hash)
{
    if (streams->used_count == streams->used_capacity) {
        size_t capacity = streams->used_capacity ? 2 * streams->used_capacity : USED_MIN;
        rf_streams_slot *used = realloc(streams->used, capacity * sizeof *used);
        if (!used)
            return false;
        streams->used = used;
        streams->used_capacity = capacity;
    }
    streams->used[streams->used_count++] = (rf_streams_slot){hash, found};
    found->round = streams->round;
    return true;
}

static rf_status add(rf_streams *streams, rf_slice name, uint64_t hash, rf_stream stream,
                     rf_streams_found **found_out, rf_err *err)
{
    rf_streams_found *made = rf_streams_recent_add(&streams->now, name, hash, stream);

    if (!made)
        return out_of_memory(streams, err);
    *found_out = made;
    return RF_OK;
}

static rf_status find_or_make(rf_streams *streams, rf_kv_txn *txn, rf_slice name, uint64_t hash,
                              rf_streams_found **found_out, rf_err *err)
{
    rf_stream stream = {.last_version = RF_VERSION_NONE};
    bool found = false;

    const rf_streams_found *before = rf_streams_recent_find(&streams->before, name, hash);
    if (before)
        return add(streams, name, hash, before->stream, found_out, err);
    if (streams->count > 0) {
        rf_status status = find_stored(streams, txn, name, hash, &stream, &found, err);
        if (status != RF_OK)
            return status;
    }
    if (found && stream.number >= streams->count)
        return rf_fail(err, RF_ERR_DAMAGED,
                       "streams of partition %u: %.*s has number %u, though only %u were given",
                       streams->partition, (int)name.size, name.data, stream.number,
                       streams->count);
    if (!found) {
        if (streams->count == UINT32_MAX)
            return rf_fail(err, RF_ERR_INPUT,
                           "streams of partition %u: no number is left for stream %.*s",
                           streams->partition, (int)name.size, name.data);
        stream.number = streams->count;
        stream.is_new = true;
    }
    rf_status status = add(streams, name, hash, stream, found_out, err);
    if (status == RF_OK && !found)
        streams->count++;
    return status;
}

void rf_streams_prefetch_slot(const rf_streams *streams, uint64_t hash)
{
    rf_streams_recent_prefetch_slot(&streams->now, hash);
}

void rf_streams_prefetch_entry(const rf_streams *streams, uint64_t hash)
{
    rf_streams_recent_prefetch_entry(&streams->now, hash);
}

rf_status rf_streams_find_or_add(rf_streams *streams, rf_kv_txn *txn, rf_slice name, uint64_t hash,
                                 rf_stream **stream_out, rf_err *err)
{
    RF_ASSERT(name.size >= 1 && name.size <= RF_STREAM_NAME_SIZE_MAX);
    rf_streams_found *found = rf_streams_recent_find(&streams->now, name, hash);
    if (!found) {
        rf_status status = find_or_make(streams, txn, name, hash, &found, err);
        if (status != RF_OK)
            return status;
    }
    if (found->round != streams->round && !use(streams, found, hash))
        return out_of_memory(streams, err);
    *stream_out = &found->stream;
    return RF_OK;
}

static rf_status write_items(rf_streams *streams, const rf_streams_item *items, size_t count,
                             rf_buf *out, rf_err *err)
{
    rf_streams_writer writer;
    rf_status status = RF_OK;

    rf_streams_writer_init(&writer, streams->partition);
    for (size_t i = 0; i < count && status == RF_OK; i++) {
        const rf_streams_slot *used = &streams->used[items[i].index];
        if (rf_streams_writer_full(&writer))
            status = rf_streams_writer_finish(&writer, false, out, err);
        rf_streams_writer_add(&writer, (rf_slice){items[i].name, items[i].name_size}, used->hash,
                              used->entry->stream.number, used->entry->stream.last_version);
    }
    if (status == RF_OK)
        status = rf_streams_writer_finish(&writer, true, out, err);
    rf_streams_writer_free(&writer);
    return status;
}

rf_status rf_streams_flush(rf_streams *streams, rf_buf *out, rf_err *err)
{
    size_t count = 0;

    if (streams->used_count == 0)
        return RF_OK;
    RF_ASSERT(streams->used_count <= UINT32_MAX);
    rf_streams_item *items = malloc(2 * streams->used_count * sizeof *items);
    if (!items)
        return out_of_memory(streams, err);
    for (size_t i = 0; i < streams->used_count; i++) {
        const rf_streams_found *at = streams->used[i].entry;
        if (at->stream.is_new || at->stream.touched)
            items[count++] = (rf_streams_item){
                .name = at->name, .name_size = at->name_size, .index = (uint32_t)i};
    }
    rf_status status = RF_OK;
    if (count > 0) {
        rf_streams_sort(items, items + streams->used_count, count);
        status = write_items(streams, items, count, out, err);
    }
    free(items);
    return status;
}

void rf_streams_leave(rf_streams *streams)
{
    RF_ASSERT(!streams->is_leaving);
    for (size_t i = 0; i < streams->used_count; i++) {
        streams->used[i].entry->stream.touched = false;
        streams->used[i].entry->stream.is_new = false;
    }
    streams->used_count = 0;
    streams->round++;
    streams->is_leaving = true;
    streams->has_snapshot = false; /* places found in a write transaction end with it */

    size_t bytes = streams->now.arena.bytes + streams->now.slot_count * sizeof(rf_streams_slot) +
                   streams->used_capacity * sizeof *streams->used;
    if (bytes <= streams->cache_bytes)
        return;
    streams->before = streams->now;
    rf_streams_recent_init(&streams->now);
    free(streams->used);
    streams->used = NULL;
    streams->used_capacity = 0;
}

void rf_streams_left(rf_streams *streams)
{
    RF_ASSERT(streams->is_leaving);
    rf_streams_recent_free(&streams->before);
    streams->is_leaving = false;
}

void rf_streams_flushed(rf_streams *streams)
{
    rf_streams_leave(streams);
    rf_streams_left(streams);
}
