/* See known_ids.h.
 *
 * Open addressing with linear probing, of 32 bits of each id; zero is a free slot. At most half of the slots are
 * taken.
 */
#include "log/known_ids.h"

#include "event/event.h"
#include "log/record.h"

#include <stdlib.h>

enum { SLOTS_MIN = 256, ARENA_BYTES_MAX = 64 << 20 };

struct rf_known_ids {
    uint32_t *slots; /* owned */
    size_t slot_count;
    size_t count;
};

rf_known_ids *rf_known_ids_new(void)
{
    rf_known_ids *ids = calloc(1, sizeof *ids);

    if (ids)
        ids->slots = calloc(SLOTS_MIN, sizeof *ids->slots);
    if (!ids || !ids->slots) {
        free(ids);
        return NULL;
    }
    ids->slot_count = SLOTS_MIN;
    return ids;
}

void rf_known_ids_free(rf_known_ids *ids)
{
    if (!ids)
        return;
    free(ids->slots);
    free(ids);
}

/* Ids are hashes: any bits of them will do. */
static uint32_t tag_of(uint64_t id)
{
    uint32_t tag = (uint32_t)id;

    return tag ? tag : 1;
}

/* The slot that has the tag, or the free one where it would be. */
static uint32_t *slot_of(const rf_known_ids *ids, uint32_t tag)
{
    size_t mask = ids->slot_count - 1;
    size_t at = tag & mask;

    while (ids->slots[at] && ids->slots[at] != tag)
        at = (at + 1) & mask;
    return &ids->slots[at];
}

bool rf_known_ids_may_have(const rf_known_ids *ids, uint64_t id)
{
    return *slot_of(ids, tag_of(id)) != 0;
}

static rf_status slots_double(rf_known_ids *ids, rf_err *err)
{
    rf_known_ids larger = {.slot_count = 2 * ids->slot_count, .count = ids->count};

    larger.slots = calloc(larger.slot_count, sizeof *larger.slots);
    if (!larger.slots)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to know %zu ids", larger.slot_count);
    for (size_t i = 0; i < ids->slot_count; i++) {
        if (ids->slots[i])
            *slot_of(&larger, ids->slots[i]) = ids->slots[i];
    }
    free(ids->slots);
    *ids = larger;
    return RF_OK;
}

rf_status rf_known_ids_add(rf_known_ids *ids, uint64_t id, rf_err *err)
{
    rf_status status = RF_OK;

    if (!rf_event_is_id(id))
        return RF_OK;
    if (2 * (ids->count + 1) > ids->slot_count)
        status = slots_double(ids, err);
    if (status)
        return status;
    uint32_t *slot = slot_of(ids, tag_of(id));
    ids->count += *slot == 0;
    *slot = tag_of(id);
    return RF_OK;
}

static rf_status segment_add(rf_known_ids *ids, const rf_segment *segment, int64_t *values,
                             rf_err *err)
{
    rf_status status =
        rf_segment_envelope(segment, RF_ENVELOPE_SOURCE_POSITION, values, NULL, err);

    for (uint32_t i = 0; i < segment->count && !status; i++)
        status = rf_known_ids_add(ids, (uint64_t)values[i], err);
    return status;
}

/* Opens, reads and forgets a segment. */
static rf_status bytes_add(rf_known_ids *ids, rf_slice bytes, rf_arena *arena, int64_t *values,
                           uint64_t *last_position_out, rf_err *err)
{
    rf_segment segment;

    rf_arena_reset(arena);
    rf_status status = rf_segment_open(bytes, arena, &segment, err);
    if (status)
        return status;
    *last_position_out = segment.last_position;
    return segment_add(ids, &segment, values, err);
}

rf_status rf_known_ids_add_segment(rf_known_ids *ids, rf_slice bytes, rf_err *err)
{
    int64_t *values = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *values);
    uint64_t last;
    rf_arena arena;

    if (!values)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to know ids");
    rf_arena_init(&arena, ARENA_BYTES_MAX);
    rf_status status = bytes_add(ids, bytes, &arena, values, &last, err);
    rf_arena_free(&arena);
    free(values);
    return status;
}

static rf_status partition_walk(rf_known_ids *ids, rf_kv_cursor *cursor, uint32_t partition,
                                rf_arena *arena, int64_t *values, rf_err *err)
{
    uint64_t from = 1, last = 0;

    for (;;) {
        rf_segment_key wanted = rf_segment_key_from(partition, from);
        rf_segment_span span;
        rf_slice key, value;
        bool found;
        rf_status status = rf_kv_cursor_seek(cursor, RF_KV_AT_LEAST, rf_segment_key_slice(&wanted),
                                             &key, &value, &found, err);
        if (status || !found)
            return status;
        status = rf_segment_key_parse(key, &span, err);
        if (status || span.partition != partition)
            return status;
        status = bytes_add(ids, value, arena, values, &last, err);
        if (!status && (last < span.first_position || last < from))
            status = rf_fail(err, RF_ERR_DAMAGED,
                             "log, partition %u: the segment at position %llu is not what its key says",
                             partition, (unsigned long long)span.first_position);
        if (status)
            return status;
        from = last + 1;
    }
}

rf_status rf_known_ids_add_partition(rf_known_ids *ids, rf_kv_txn *txn, uint32_t table,
                                     uint32_t partition, rf_err *err)
{
    int64_t *values = malloc(RF_SEGMENT_EVENTS_MAX * sizeof *values);
    rf_kv_cursor *cursor = NULL;
    rf_arena arena;

    if (!values)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to know ids");
    rf_arena_init(&arena, ARENA_BYTES_MAX);
    rf_status status = rf_kv_cursor_open(txn, table, &cursor, err);
    if (!status)
        status = partition_walk(ids, cursor, partition, &arena, values, err);
    rf_kv_cursor_close(cursor);
    rf_arena_free(&arena);
    free(values);
    return status;
}
