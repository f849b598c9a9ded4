/* Deciding about each event: new, a duplicate or refused. See append.h and append_state.h. */
#include "log/append_state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    WHERE_SIZE = 320,
    NAME_SHOWN_MAX = 128,
    RECENT_BYTES = 64 << 20, /* names that an import keeps at hand, over all partitions */
};

/* The event of a block that is being decided, and what it takes. */
typedef struct decide {
    rf_appender *appender;
    rf_append_part *part;
    uint32_t partition;
    uint32_t worker;
    rf_kv_txn *txn;
    const rf_event *event;
    rf_append_place *place;
    rf_stream *stream;
} decide;

static void event_where(const rf_event *event, char where_out[WHERE_SIZE])
{
    int file_size = (int)(event->file.size < 200 ? event->file.size : 200);

    if (event->file.size > 0 && event->line == 0)
        (void)snprintf(where_out, WHERE_SIZE, "%.*s, position %" PRIu64, file_size,
                       event->file.data, event->source_position);
    else if (event->file.size > 0)
        (void)snprintf(where_out, WHERE_SIZE, "%.*s:%" PRIu64, file_size, event->file.data,
                       event->line);
    else
        (void)snprintf(where_out, WHERE_SIZE, "event %" PRIu64, event->line);
}

/* The names of streams may have 480 bytes; messages show their beginning. */
static int shown(rf_slice name)
{
    return (int)(name.size < NAME_SHOWN_MAX ? name.size : NAME_SHOWN_MAX);
}

static rf_status refuse_duplicate(const decide *at, const rf_identity_key *key, const char *stored,
                                  uint64_t position, rf_err *err)
{
    char where[WHERE_SIZE];
    const rf_slice stream = at->event->stream;

    event_where(at->event, where);
    if (key->by_source && rf_event_is_id(key->source_position))
        rf_fail(err, RF_ERR_INPUT,
                "%s: stream %.*s, an event with its id is stored with other content (%s)", where,
                shown(stream), stream.data, stored);
    else if (key->by_source)
        rf_fail(err, RF_ERR_INPUT,
                "%s: stream %.*s, source position %" PRIu64 " is stored with other content (%s)",
                where, shown(stream), stream.data, key->source_position, stored);
    else
        rf_fail(err, RF_ERR_INPUT,
                "%s: stream %.*s, version %" PRId64 " is stored with other content (%s)", where,
                shown(stream), stream.data, key->version, stored);
    if (err)
        err->position = position;
    return RF_ERR_INPUT;
}

static bool events_same(const rf_event *a, const rf_event *b)
{
    return a->schema == b->schema && a->time == b->time && rf_slice_equal(a->type, b->type) &&
           rf_slice_equal(a->data, b->data) &&
           (a->metadata.data != NULL) == (b->metadata.data != NULL) &&
           rf_slice_equal(a->metadata, b->metadata);
}

/* Known from now on: pending segments too, where the search begins only now. */
static rf_status identity_make(const decide *at, rf_err *err)
{
    rf_append_part *part = at->part;
    rf_status status = RF_OK;

    if (part->identity)
        return RF_OK;
    part->identity =
        rf_identity_new(at->partition, RF_LOG_SEGMENTS, at->appender->identity_bytes_max);
    if (!part->identity)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to look for duplicates");
    for (uint32_t i = 0; i < part->batch.segment_count && !status; i++)
        status = rf_identity_add_pending(part->identity,
                                         rf_buf_slice(&part->batch.segments[i].bytes), err);
    return status;
}

static rf_status compare_later(rf_append_part *part, const rf_identity_key *key, uint64_t position,
                               uint32_t index, rf_err *err)
{
    if (part->compare_count == part->compare_room) {
        uint32_t room = part->compare_room ? 2 * part->compare_room : 64;
        rf_append_compare *grown = realloc(part->compares, room * sizeof *grown);
        if (!grown)
            return rf_fail(err, RF_ERR_MEMORY, "log: no memory to compare %u duplicates", room);
        part->compares = grown;
        part->compare_room = room;
    }
    part->compares[part->compare_count++] = (rf_append_compare){position, *key, index};
    return RF_OK;
}

/* Waits until what is leaving is stored, and sees it from then on. */
static rf_status leaving_see(const decide *at, rf_err *err)
{
    const rf_appender *appender = at->appender;

    if (!appender->is_leaving || rf_kv_txn_id(at->txn) != appender->known_txn)
        return RF_OK;
    rf_status status = rf_pool_wait_beside(appender->pool, err);
    if (status)
        return status;
    rf_kv_reset(at->txn);
    return rf_kv_renew(at->txn, err);
}

/* Looks for the event among what is stored: *found_out, and then it is the same, or an error. */
static rf_status find_stored(const decide *at, const rf_identity_key *key, bool recent_only,
                             bool *found_out, rf_err *err)
{
    const rf_recent_event *recent;
    rf_identity_hit hit;
    char stored[WHERE_SIZE];

    *found_out = false;
    rf_status status = rf_recent_find(&at->part->recent, key, &recent, err);
    if (status)
        return status;
    if (recent && recent->block_index != RF_RECENT_BUILT) {
        const rf_event *first = &at->appender->events[recent->block_index];
        *found_out = true;
        if (recent->fingerprint == at->place->fingerprint && events_same(first, at->event))
            return RF_OK;
        event_where(first, stored);
        return refuse_duplicate(at, key, stored, 0, err);
    }
    if (recent) /* it is in the open builder: once that is finished it can be read */
        status = rf_append_finish_builder(at->appender, at->part, at->worker, err);
    else if (recent_only)
        return RF_OK;
    if (!status)
        status = leaving_see(at, err);
    if (!status)
        status = identity_make(at, err);
    if (!status)
        status = rf_identity_find(at->part->identity, at->txn, key, &hit, found_out, err);
    if (status || !*found_out)
        return status;
    if (hit.fingerprint == at->place->fingerprint)
        return compare_later(at->part, key, hit.position, at->place->index, err);
    (void)snprintf(stored, sizeof stored, "position %" PRIu64, hit.position);
    return refuse_duplicate(at, key, stored, hit.position, err);
}

static rf_status refuse_version(const decide *at, const char *why, rf_err *err)
{
    char where[WHERE_SIZE];
    const rf_slice stream = at->event->stream;

    event_where(at->event, where);
    return rf_fail(err, RF_ERR_INPUT, "%s: stream %.*s: %s", where, shown(stream), stream.data,
                   why);
}

/* An event that says its version. *is_new_out: it is not stored. */
static rf_status decide_versioned(const decide *at, bool *is_new_out, rf_err *err)
{
    const int64_t version = at->event->version;
    const int64_t last = at->stream->last_version;
    rf_identity_key key = {.stream = at->stream->number, .version = version};
    char why[160];
    bool found = false;

    at->place->version = version;
    if (version < 0 || version == INT64_MAX) {
        (void)snprintf(why, sizeof why, "version %" PRId64 " is out of range", version);
        return refuse_version(at, why, err);
    }
    if (last == RF_VERSION_NONE) {
        *is_new_out = version <= 1 || at->appender->gaps_allow;
        if (*is_new_out)
            return RF_OK;
        (void)snprintf(why, sizeof why, "it begins at version %" PRId64 ", not 0 or 1 (a gap)",
                       version);
        return refuse_version(at, why, err);
    }
    if (version > last) {
        *is_new_out = version == last + 1 || at->appender->gaps_allow;
        if (*is_new_out)
            return RF_OK;
        (void)snprintf(why, sizeof why, "version %" PRId64 " after %" PRId64 " (a gap)", version,
                       last);
        return refuse_version(at, why, err);
    }
    rf_status status = find_stored(at, &key, false, &found, err);
    if (status || found)
        return status;
    (void)snprintf(why, sizeof why, "version %" PRId64 " is not stored, but %" PRId64 " is already",
                   version, last);
    return refuse_version(at, why, err);
}

/* The ids of all that the partition holds: committed, waiting for the commit, and in the builder. */
static rf_status ids_make(const decide *at, rf_err *err)
{
    rf_append_part *part = at->part;

    part->ids = rf_known_ids_new();
    if (!part->ids)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to know ids");
    rf_status status = leaving_see(at, err);
    if (!status)
        status =
            rf_known_ids_add_partition(part->ids, at->txn, RF_LOG_SEGMENTS, at->partition, err);
    for (uint32_t i = 0; i < part->batch.segment_count && !status; i++)
        status =
            rf_known_ids_add_segment(part->ids, rf_buf_slice(&part->batch.segments[i].bytes), err);
    for (uint32_t i = 0; i < part->recent.count && !status; i++)
        status = rf_known_ids_add(part->ids, part->recent.events[i].source_position, err);
    return status;
}

/* Whether an event with its source position, or id, may be there already; *recent_only_out: only in this
 * block. */
static bool may_be_known(const decide *at, bool *recent_only_out)
{
    const uint64_t source_position = at->event->source_position;

    *recent_only_out = false;
    if (at->stream->last_version == RF_VERSION_NONE || source_position == 0)
        return false;
    if (rf_event_is_id(source_position))
        return rf_known_ids_may_have(at->part->ids, source_position);
    *recent_only_out = source_position > at->appender->source.mark;
    return !*recent_only_out || source_position <= at->part->recent.source_position_max;
}

/* An event without version is known by its source position or id; without these it is always new. */
static rf_status decide_unversioned(const decide *at, bool *is_new_out, rf_err *err)
{
    const int64_t last = at->stream->last_version;
    const uint64_t source_position = at->event->source_position;
    bool found = false, recent_only;
    rf_status status = RF_OK;

    if (rf_event_is_id(source_position) && !at->part->ids)
        status = ids_make(at, err);
    if (!status && may_be_known(at, &recent_only)) {
        rf_identity_key key = {.stream = at->stream->number,
                               .by_source = true,
                               .source = at->appender->source.number,
                               .source_position = source_position};
        status = find_stored(at, &key, recent_only, &found, err);
    }
    if (status || found)
        return status;
    if (last == INT64_MAX - 1)
        return refuse_version(at, "it has no more versions", err);
    at->place->version = last == RF_VERSION_NONE ? 1 : last + 1;
    *is_new_out = true;
    return RF_OK;
}

/* Takes a new event: what comes later is decided beside it. */
static rf_status take_new(const decide *at, rf_err *err)
{
    rf_append_part *part = at->part;
    const rf_append_place *place = at->place;
    const rf_event *event = at->event;
    const rf_recent_event recent = {
        .version = place->version,
        .source_position = event->source_position,
        .stream = place->stream_number,
        .source = at->appender->source.number,
        .fingerprint = place->fingerprint,
        .block_index = place->index,
    };

    part->block_streams += at->stream->last_version == RF_VERSION_NONE;
    at->stream->last_version = place->version;
    at->stream->touched = true;
    part->block_new++;
    part->block_raw += event->data.size + event->metadata.size;
    part->block_names += event->stream.size;
    rf_status status = rf_recent_add(&part->recent, &recent, err);
    if (!status && part->ids)
        status = rf_known_ids_add(part->ids, event->source_position, err);
    return status;
}

static rf_status decide_event(decide *at, rf_err *err)
{
    rf_appender *appender = at->appender;
    rf_append_place *place = at->place;
    const rf_event *event = at->event;
    bool is_new = false;

    RF_ASSERT(event->stream.size > 0 && event->stream.size <= RF_STREAM_NAME_SIZE_MAX);
    RF_ASSERT(event->type.size > 0 && event->type.size <= RF_TYPE_SIZE_MAX);
    rf_status status = rf_streams_find_or_add(at->part->streams, at->txn, event->stream,
                                              place->stream_hash, &at->stream, err);
    if (status)
        return status;
    place->stream_number = at->stream->number;
    status = event->version == RF_VERSION_NONE ? decide_unversioned(at, &is_new, err)
                                               : decide_versioned(at, &is_new, err);
    if (status)
        return status;
    appender->positions[place->index] = is_new ? appender->position + 1 + place->index : 0;
    if (is_new)
        return take_new(at, err);
    at->part->block_duplicates++;
    return RF_OK;
}

static int compare_order(const void *a, const void *b)
{
    const rf_append_compare *left = a;
    const rf_append_compare *right = b;

    if (left->position != right->position)
        return left->position < right->position ? -1 : 1;
    return (left->index > right->index) - (left->index < right->index);
}

/* In the order of the log; they mostly are. */
static void compares_sort(rf_append_part *part)
{
    for (uint32_t i = 1; i < part->compare_count; i++) {
        if (compare_order(&part->compares[i - 1], &part->compares[i]) > 0) {
            qsort(part->compares, part->compare_count, sizeof *part->compares, compare_order);
            return;
        }
    }
}

/* What the compare some places on needs of its event, which lies somewhere in the block. */
static void prefetch_compared(const rf_appender *appender, const rf_append_part *part, uint32_t at)
{
    if (at + 8 < part->compare_count) {
        const char *event = (const char *)&appender->events[part->compares[at + 8].index];
        __builtin_prefetch(event);
        __builtin_prefetch(event + 64);
        __builtin_prefetch(event + 128);
    }
    if (at + 4 < part->compare_count) {
        const rf_event *event = &appender->events[part->compares[at + 4].index];
        __builtin_prefetch(event->type.data);
        __builtin_prefetch(event->data.data);
        __builtin_prefetch(event->data.data + 64);
        if (event->shape)
            __builtin_prefetch(event->values);
    }
}

/* Compares the bytes of what looked equal. All of them stand before the event that failed, if one
 * did. */
static void compare_all(decide *at)
{
    rf_append_part *part = at->part;

    compares_sort(part);
    for (uint32_t i = 0; i < part->compare_count; i++) {
        const rf_append_compare *compare = &part->compares[i];
        char stored[WHERE_SIZE];
        rf_err err = {0};
        bool same = false;

        prefetch_compared(at->appender, part, i);
        if (part->failure && part->failure_index < compare->index)
            continue;
        at->event = &at->appender->events[compare->index];
        rf_status status =
            rf_identity_same(part->identity, at->txn, compare->position, at->event, &same, &err);
        if (!status && !same) {
            (void)snprintf(stored, sizeof stored, "position %" PRIu64, compare->position);
            status = refuse_duplicate(at, &compare->key, stored, compare->position, &err);
        }
        if (status) {
            part->failure = status;
            part->failure_index = compare->index;
            part->failure_err = err;
        }
    }
    part->compare_count = 0;
}

/* The events of a partition lie scattered over the block, and the table of streams is larger than the caches:
 * what an event needs is asked for some places before it, in two steps, and of the first ones at once. */
enum { EVENTS_AHEAD = 12, ENTRIES_AHEAD = 6 };

static inline void prefetch_event(const rf_appender *appender, const rf_append_part *part,
                                  uint32_t at)
{
    if (at >= part->block_end)
        return;
    const rf_append_place *place = &appender->places[at];
    const char *event = (const char *)&appender->events[place->index];
    __builtin_prefetch(event);
    __builtin_prefetch(event + 64);
    __builtin_prefetch(event + 128);
    rf_streams_prefetch_slot(part->streams, place->stream_hash);
}

static inline void prefetch_entry(const rf_appender *appender, const rf_append_part *part,
                                  uint32_t at)
{
    if (at >= part->block_end)
        return;
    const rf_append_place *place = &appender->places[at];
    __builtin_prefetch(appender->events[place->index].stream.data);
    rf_streams_prefetch_entry(part->streams, place->stream_hash);
}

static void prefetch_first(const rf_appender *appender, const rf_append_part *part)
{
    for (uint32_t i = 0; i < EVENTS_AHEAD; i++)
        prefetch_event(appender, part, part->block_begin + i);
    for (uint32_t i = 0; i < ENTRIES_AHEAD; i++)
        prefetch_entry(appender, part, part->block_begin + i);
}

static rf_status streams_make(const decide *at, rf_err *err)
{
    rf_append_part *part = at->part;

    if (part->streams)
        return RF_OK;
    part->streams = rf_streams_new(at->partition, RF_LOG_STREAMS, part->record.counts.streams);
    if (!part->streams)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory for streams");
    rf_streams_set_cache_bytes(part->streams, RECENT_BYTES / at->appender->partitions);
    return RF_OK;
}

rf_status rf_append_decide_task(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    rf_appender *appender = arg;
    decide at = {.appender = appender, .partition = appender->active[index], .worker = worker};
    rf_append_part *part = &appender->parts[at.partition];

    (void)err;
    at.part = part;
    part->failure_index = appender->places[part->block_begin].index;
    if (part->builder)
        rf_segment_builder_prefetch(part->builder, false);
    part->failure = rf_append_read_begin(appender, worker, &at.txn, &part->failure_err);
    if (!part->failure)
        part->failure = streams_make(&at, &part->failure_err);
    if (!part->failure)
        prefetch_first(appender, part);
    for (uint32_t i = part->block_begin; i < part->block_end && !part->failure; i++) {
        prefetch_event(appender, part, i + EVENTS_AHEAD);
        prefetch_entry(appender, part, i + ENTRIES_AHEAD);
        at.place = &appender->places[i];
        at.event = &appender->events[at.place->index];
        part->failure = decide_event(&at, &part->failure_err);
        part->failure_index = at.place->index;
    }
    if (part->compare_count > 0)
        compare_all(&at);
    rf_append_read_end(appender, worker);
    /* Where all are new the positions are right if they are in the other partitions too. */
    part->block_is_built = !part->failure && part->block_duplicates == 0 && rf_append_build_fits(part);
    if (part->block_is_built)
        rf_append_build_part(appender, at.partition, worker);
    return RF_OK;
}
