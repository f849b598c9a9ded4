/* rf_log_verify (see log.h): everything that the log stores, checked against each other.
 *
 * First a snapshot of the records, in one transaction: position, directory, sources, census. Then
 * partition by partition, a transaction a segment, all events up to that position: each segment by
 * itself, its place under its key, versions that rise in each stream, and sums for the checks at
 * the end: counts, the census, and that positions 1 to N are there exactly once (a sum of a hash of
 * each, which a missing or doubled one changes). Appends and merges beside it do no harm: what
 * comes after the snapshot is left out.
 */
#include "log/record.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { VERIFY_ARENA_MAX = 64 << 20 };
#define VERIFY_NAMES_MAX ((size_t)64 << 30)

/* What was counted of one (type, schema). */
typedef struct tally {
    rf_slice type; /* in the verify's arena */
    int64_t schema;
    uint64_t events, first_position, last_position;
    int64_t time_min, time_max;
} tally;

typedef struct verify {
    rf_log *log;
    void (*report)(void *arg, const rf_err *damage);
    void *arg;
    uint64_t damages;
    rf_kv_txn *txn;
    /* of the snapshot */
    uint64_t position;
    rf_directory_record *records; /* by partition */
    uint32_t source_count;
    rf_census *census;
    /* counted */
    uint64_t events;
    uint64_t position_sum;
    bool is_complete; /* every segment could be read */
    tally *tallies;
    uint32_t tally_count, tally_room;
    uint32_t tally_hints[64]; /* by type in the segment at hand: index plus one of the last hit */
    rf_arena names;           /* of types */
    rf_arena arena;           /* of one segment */
    int64_t *columns[RF_ENVELOPE_COUNT];
    /* of the partition at hand */
    uint32_t partition;
    int64_t *last_versions; /* by stream number */
    uint64_t partition_events;
    uint64_t last_position; /* 0: none yet */
} verify;

static void damage_report(verify *run, const rf_err *damage)
{
    run->damages++;
    if (run->report)
        run->report(run->arg, damage);
}

__attribute__((format(printf, 2, 3))) static void damage(verify *run, const char *format, ...)
{
    char text[RF_ERR_MESSAGE_SIZE];
    rf_err err = {0};
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)rf_fail(&err, RF_ERR_DAMAGED, "log: %s", text);
    damage_report(run, &err);
}

/* Damage is reported and the check goes on; anything else ends it. */
static rf_status damage_or_fail(verify *run, rf_status status, const rf_err *found, rf_err *err)
{
    if (status == RF_ERR_DAMAGED) {
        damage_report(run, found);
        return RF_OK;
    }
    if (status && err)
        *err = *found;
    return status;
}

static uint64_t position_hash(uint64_t position)
{
    uint64_t hash = position * 0x9e3779b97f4a7c15u;

    hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ (hash >> 27)) * 0x94d049bb133111ebu;
    return hash ^ (hash >> 31);
}

static rf_status snapshot_sources(verify *run, rf_err *err)
{
    rf_log_source *sources = NULL;
    uint64_t events = 0;
    rf_err found = {0};

    rf_status status = rf_sources_read(run->txn, &sources, &run->source_count, &found);
    if (status) {
        run->source_count = RF_LOG_SOURCES_MAX;
        return damage_or_fail(run, status, &found, err);
    }
    for (uint32_t i = 0; i < run->source_count; i++)
        events += sources[i].events;
    free(sources);
    if (events != run->position)
        damage(run, "its sources gave %" PRIu64 " events, its last position is %" PRIu64, events,
               run->position);
    return RF_OK;
}

static rf_status snapshot(verify *run, rf_err *err)
{
    rf_err found_err = {0};
    rf_head head;
    bool found;
    uint32_t partitions;
    uint64_t events = 0;

    rf_status status = rf_head_read(rf_log_path(run->log), &head, &found, &found_err);
    if (status) {
        head.position = 0;
        status = damage_or_fail(run, status, &found_err, err);
    } else if (!found) {
        head.position = 0;
        damage(run, "HEAD is missing");
    }
    if (!status)
        status = rf_kv_begin(rf_log_kv(run->log), false, &run->txn, err);
    if (status)
        return status;
    status = rf_meta_read(run->txn, &partitions, &run->position, &found, err);
    if (status)
        return status;
    if (run->position < head.position)
        damage(run,
               "it went back: it ends at position %" PRIu64 ", but %" PRIu64 " was acknowledged",
               run->position, head.position);
    for (uint32_t i = 0; i < rf_log_partitions(run->log) && !status; i++) {
        status = rf_directory_read(run->txn, i, &run->records[i], &found_err);
        status = damage_or_fail(run, status, &found_err, err);
        events += run->records[i].counts.events;
    }
    if (!status && events != run->position)
        damage(run, "its directory counts %" PRIu64 " events, its last position is %" PRIu64,
               events, run->position);
    if (!status)
        status = snapshot_sources(run, err);
    if (!status) {
        status = rf_census_load(run->txn, RF_LOG_CENSUS, run->census, &found_err);
        status = damage_or_fail(run, status, &found_err, err);
    }
    rf_kv_reset(run->txn);
    return status;
}

static rf_status tally_of(verify *run, rf_slice type, int64_t schema, tally **out, rf_err *err)
{
    for (uint32_t i = 0; i < run->tally_count; i++) {
        if (run->tallies[i].schema == schema && rf_slice_equal(run->tallies[i].type, type)) {
            *out = &run->tallies[i];
            return RF_OK;
        }
    }
    if (run->tally_count == run->tally_room) {
        uint32_t room = run->tally_room ? 2 * run->tally_room : 32;
        tally *grown = realloc(run->tallies, room * sizeof *grown);
        if (!grown)
            return rf_fail(err, RF_ERR_MEMORY, "log: no memory to count %u types", room);
        run->tallies = grown;
        run->tally_room = room;
    }
    rf_slice name = rf_arena_copy(&run->names, type);
    if (!name.data)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory for the names of types");
    *out = &run->tallies[run->tally_count++];
    **out =
        (tally){.type = name, .schema = schema, .time_min = RF_TIME_NONE, .time_max = RF_TIME_NONE};
    return RF_OK;
}

static void tally_event(tally *at, uint64_t position, int64_t time)
{
    at->events++;
    if (at->first_position == 0 || position < at->first_position)
        at->first_position = position;
    if (position > at->last_position)
        at->last_position = position;
    if (time == RF_TIME_NONE)
        return;
    if (at->time_min == RF_TIME_NONE || time < at->time_min)
        at->time_min = time;
    if (at->time_max == RF_TIME_NONE || time > at->time_max)
        at->time_max = time;
}

/* One event against its neighbours. */
static rf_status check_event(verify *run, const rf_segment *segment, uint32_t i, rf_err *err)
{
    int64_t *const *columns = run->columns;
    uint64_t position = (uint64_t)columns[RF_ENVELOPE_POSITION][i];
    int64_t stream = columns[RF_ENVELOPE_STREAM][i];
    int64_t version = columns[RF_ENVELOPE_VERSION][i];
    int64_t type = columns[RF_ENVELOPE_TYPE][i];
    tally *at = NULL;

    if (position <= run->last_position)
        damage(run, "partition %u, position %" PRIu64 " comes after %" PRIu64, run->partition,
               position, run->last_position);
    run->last_position = position;
    run->events++;
    run->partition_events++;
    run->position_sum += position_hash(position);
    if (columns[RF_ENVELOPE_SOURCE][i] < 0 || columns[RF_ENVELOPE_SOURCE][i] >= run->source_count)
        damage(run, "position %" PRIu64 " is of source %" PRId64 ", there are %u", position,
               columns[RF_ENVELOPE_SOURCE][i], run->source_count);
    if (stream < 0 || stream >= run->records[run->partition].counts.streams) {
        damage(run, "position %" PRIu64 " is of stream %" PRId64 " of partition %u, which has %u",
               position, stream, run->partition, run->records[run->partition].counts.streams);
    } else {
        int64_t *last = &run->last_versions[stream];
        if (version < 0 || (*last != RF_VERSION_NONE && version <= *last))
            damage(run,
                   "position %" PRIu64 " has version %" PRId64 " after %" PRId64 " of its stream",
                   position, version, *last);
        *last = version;
    }
    if (type < 0 || type >= (int64_t)segment->type_count) {
        damage(run, "position %" PRIu64 " has no type", position);
        return RF_OK;
    }
    uint32_t hint = type < 64 ? run->tally_hints[type] : 0;
    if (hint > 0 && run->tallies[hint - 1].schema == columns[RF_ENVELOPE_SCHEMA][i]) {
        tally_event(&run->tallies[hint - 1], position, columns[RF_ENVELOPE_TIME][i]);
        return RF_OK;
    }
    rf_status status =
        tally_of(run, segment->types[type].name, columns[RF_ENVELOPE_SCHEMA][i], &at, err);
    if (status)
        return status;
    if (type < 64)
        run->tally_hints[type] = (uint32_t)(at - run->tallies) + 1;
    tally_event(at, position, columns[RF_ENVELOPE_TIME][i]);
    return RF_OK;
}

/* The events of one segment from `from` on, that the snapshot has. */
static rf_status check_segment(verify *run, const rf_segment *segment, uint64_t from, rf_err *err)
{
    rf_err found = {0};

    rf_status status = rf_segment_verify(segment, &found);
    for (uint32_t i = 0; i < RF_ENVELOPE_COUNT && !status; i++)
        status = rf_segment_envelope(segment, (rf_envelope)i, run->columns[i], NULL, &found);
    if (status) {
        run->is_complete = false;
        return damage_or_fail(run, status, &found, err);
    }
    if (run->columns[RF_ENVELOPE_POSITION][0] != (int64_t)segment->first_position ||
        run->columns[RF_ENVELOPE_POSITION][segment->count - 1] != (int64_t)segment->last_position)
        damage(run,
               "partition %u, the segment at position %" PRIu64
               " has other positions than its header says",
               run->partition, segment->first_position);
    for (uint32_t i = 0; i < segment->count && !status; i++) {
        uint64_t position = (uint64_t)run->columns[RF_ENVELOPE_POSITION][i];
        if (position >= from && position <= run->position)
            status = check_event(run, segment, i, err);
    }
    return status;
}

/* One step's place: the key that was read last, and the view that it was read in. */
typedef struct place {
    uint64_t key;    /* first position of the last segment; 0: none */
    uint64_t wanted; /* position after the last segment */
    uint64_t txn_id;
} place;

/* Finds and opens the next segment. Where nothing was committed since the last step it is simply
 * the next key, so that overlaps are seen; else a merge may have put it under an earlier key.
 * *found_out false at the end. */
static rf_status next_segment(verify *run, place *at, rf_kv_cursor *cursor, rf_segment *segment_out,
                              bool *found_out, bool *is_whole_out, rf_err *err)
{
    bool is_same_view = rf_kv_txn_id(run->txn) == at->txn_id;
    rf_kv_seek seeks[2] = {RF_KV_AT_MOST, RF_KV_AT_LEAST};
    uint64_t wanted = is_same_view ? at->key + 1 : at->wanted;
    rf_segment_key keys[2] = {rf_segment_key_up_to(run->partition, wanted),
                              rf_segment_key_from(run->partition, wanted)};

    at->txn_id = rf_kv_txn_id(run->txn);
    for (int i = is_same_view ? 1 : 0; i < 2; i++) {
        rf_slice key, value;
        rf_segment_span span;
        rf_err found_err = {0};

        rf_status status = rf_kv_cursor_seek(cursor, seeks[i], rf_segment_key_slice(&keys[i]), &key,
                                             &value, found_out, err);
        if (status)
            return status;
        if (*found_out)
            status = rf_segment_key_parse(key, &span, &found_err);
        if (status && i == 1) { /* what is behind it has no place */
            run->is_complete = *found_out = false;
            return damage_or_fail(run, status, &found_err, err);
        }
        if (!*found_out || status || span.partition != run->partition) {
            *found_out = false;
            continue;
        }
        rf_arena_reset(&run->arena);
        status = rf_segment_open(value, &run->arena, segment_out, &found_err);
        if (!status)
            status = rf_segment_span_check(&span, segment_out, &found_err);
        if (!status && i == 0 && segment_out->last_position < at->wanted)
            continue;
        *is_whole_out = status == RF_OK;
        if (!*is_whole_out && i == 0 && span.first_position <= at->key)
            continue; /* reported already */
        at->key = span.first_position;
        at->wanted = *is_whole_out ? segment_out->last_position + 1 : span.first_position + 1;
        return damage_or_fail(run, status, &found_err, err);
    }
    return RF_OK;
}

static rf_status check_segments(verify *run, rf_err *err)
{
    place at = {.wanted = 1, .txn_id = UINT64_MAX};
    rf_status status = RF_OK;

    while (!status) {
        rf_kv_cursor *cursor = NULL;
        rf_segment segment;
        bool found = false;
        bool is_whole = false;

        status = rf_kv_renew(run->txn, err);
        if (status)
            return status;
        uint64_t from = at.wanted;
        if (rf_kv_txn_id(run->txn) == at.txn_id)
            from = 1; /* what overlaps is looked at in full */
        status = rf_kv_cursor_open(run->txn, RF_LOG_SEGMENTS, &cursor, err);
        if (!status)
            status = next_segment(run, &at, cursor, &segment, &found, &is_whole, err);
        if (!status && found && is_whole && segment.first_position <= run->position) {
            memset(run->tally_hints, 0, sizeof run->tally_hints);
            status = check_segment(run, &segment, from, err);
        } else if (!status && found && !is_whole) {
            run->is_complete = false;
        }
        rf_kv_cursor_close(cursor);
        rf_kv_reset(run->txn);
        if (!found || at.key > run->position)
            break;
    }
    return status;
}

/* Runs of names, and that the versions they keep are those of the events; the latter only if
 * nothing was appended to the partition since the snapshot. */
static rf_status check_streams(verify *run, rf_err *err)
{
    rf_directory_record now;
    rf_err found = {0};
    rf_arena arena;
    rf_stream_name *names;
    uint32_t count = 0;

    rf_status status = rf_kv_renew(run->txn, err);
    if (status)
        return status;
    rf_arena_init(&arena, VERIFY_NAMES_MAX);
    status = rf_directory_read(run->txn, run->partition, &now, &found);
    if (!status)
        status =
            rf_streams_verify(run->txn, RF_LOG_STREAMS, run->partition, now.counts.streams, &found);
    if (!status && now.counts.events == run->records[run->partition].counts.events)
        status = rf_streams_list(run->txn, RF_LOG_STREAMS, run->partition, now.counts.streams,
                                 &arena, &names, &count, &found);
    rf_kv_reset(run->txn);
    for (uint32_t i = 0; i < count && !status && run->is_complete; i++) {
        uint32_t number = names[i].number;
        if (number < run->records[run->partition].counts.streams &&
            names[i].last_version != run->last_versions[number])
            damage(run, "stream %.*s is at version %" PRId64 ", its events end at %" PRId64,
                   (int)names[i].name.size, names[i].name.data, names[i].last_version,
                   run->last_versions[number]);
    }
    rf_arena_free(&arena);
    return damage_or_fail(run, status, &found, err);
}

static rf_status check_partition(verify *run, rf_err *err)
{
    const rf_log_partition *counts = &run->records[run->partition].counts;

    run->partition_events = 0;
    run->last_position = 0;
    run->last_versions = malloc(((size_t)counts->streams + 1) * sizeof *run->last_versions);
    if (!run->last_versions)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to check %u streams", counts->streams);
    for (uint32_t i = 0; i < counts->streams; i++)
        run->last_versions[i] = RF_VERSION_NONE;
    rf_status status = check_segments(run, err);
    if (!status && run->is_complete && run->partition_events != counts->events)
        damage(run, "partition %u has %" PRIu64 " events, its directory says %" PRIu64,
               run->partition, run->partition_events, counts->events);
    if (!status)
        status = check_streams(run, err);
    free(run->last_versions);
    run->last_versions = NULL;
    return status;
}

/* The census against what was counted. */
static rf_status check_census(verify *run, rf_err *err)
{
    const rf_census_type *types;
    uint32_t count;

    rf_status status = rf_census_list(run->census, &types, &count, err);
    if (status)
        return status;
    if (count != run->tally_count)
        damage(run, "the census has %u types and schemas, the events %u", count, run->tally_count);
    for (uint32_t i = 0; i < run->tally_count; i++) {
        const tally *at = &run->tallies[i];
        const rf_census_type *same = NULL;
        for (uint32_t k = 0; k < count; k++)
            if (types[k].schema == at->schema && rf_slice_equal(types[k].type, at->type))
                same = &types[k];
        if (!same || same->events != at->events || same->first_position != at->first_position ||
            same->last_position != at->last_position || same->time_min != at->time_min ||
            same->time_max != at->time_max)
            damage(run,
                   "the census of type %.*s, schema %" PRId64 " is wrong: it counts %" PRIu64
                   " events, there are %" PRIu64,
                   (int)at->type.size, at->type.data, at->schema, same ? same->events : 0,
                   at->events);
    }
    return RF_OK;
}

static void check_positions(verify *run)
{
    uint64_t sum = 0;

    for (uint64_t i = 1; i <= run->position; i++)
        sum += position_hash(i);
    if (run->events != run->position || sum != run->position_sum)
        damage(run,
               "positions 1 to %" PRIu64 " are not there once each: there are %" PRIu64 " events",
               run->position, run->events);
}

static rf_status verify_run(verify *run, rf_err *err)
{
    rf_status status = snapshot(run, err);

    run->is_complete = true;
    for (uint32_t i = 0; i < rf_log_partitions(run->log) && !status; i++) {
        run->partition = i;
        status = check_partition(run, err);
    }
    /* With unreadable segments the sums would only repeat what was said. */
    if (!status && run->is_complete) {
        check_positions(run);
        status = check_census(run, err);
    }
    return status;
}

rf_status rf_log_verify(rf_log *log, void (*report)(void *arg, const rf_err *damage), void *arg,
                        rf_err *err)
{
    verify run = {.log = log, .report = report, .arg = arg};
    rf_status status = RF_OK;
    bool has_memory = true;

    rf_arena_init(&run.arena, VERIFY_ARENA_MAX);
    rf_arena_init(&run.names, VERIFY_ARENA_MAX);
    run.records = calloc(rf_log_partitions(log), sizeof *run.records);
    run.census = rf_census_new();
    for (uint32_t i = 0; i < RF_ENVELOPE_COUNT; i++) {
        run.columns[i] = malloc(RF_SEGMENT_EVENTS_MAX * sizeof(int64_t));
        has_memory = has_memory && run.columns[i];
    }
    if (!has_memory || !run.records || !run.census)
        status = rf_fail(err, RF_ERR_MEMORY, "log: no memory to verify it");
    if (!status)
        status = verify_run(&run, err);
    rf_kv_abort(run.txn);
    rf_census_free(run.census);
    for (uint32_t i = 0; i < RF_ENVELOPE_COUNT; i++)
        free(run.columns[i]);
    rf_arena_free(&run.arena);
    rf_arena_free(&run.names);
    free(run.tallies);
    free(run.records);
    if (!status && run.damages > 0)
        status = rf_fail(err, RF_ERR_DAMAGED, "log: %" PRIu64 " damages found", run.damages);
    return status;
}
