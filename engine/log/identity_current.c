/* See identity_current.h. */
#include "log/identity_current.h"

#include <stdlib.h>

enum { CURRENT_ARENA_MAX = 64 << 20 };

void rf_identity_current_init(rf_identity_current *now)
{
    *now = (rf_identity_current){0};
    rf_arena_init(&now->arena, CURRENT_ARENA_MAX);
}

void rf_identity_current_clear(rf_identity_current *now)
{
    free(now->bytes);
    free(now->positions);
    free(now->types);
    free(now->schemas);
    free(now->times);
    rf_payload_reader_free(now->reader);
    now->bytes = NULL;
    now->positions = NULL;
    now->types = NULL;
    now->schemas = NULL;
    now->times = NULL;
    now->reader = NULL;
    now->segment = (rf_segment){0};
    now->next = 0;
    rf_arena_reset(&now->arena);
}

void rf_identity_current_free(rf_identity_current *now)
{
    rf_identity_current_clear(now);
    rf_arena_free(&now->arena);
}

static rf_status current_column(const rf_identity_current *now, rf_envelope column, int64_t **out,
                                rf_err *err)
{
    *out = malloc(now->segment.count * sizeof **out);
    if (!*out)
        return rf_fail(err, RF_ERR_MEMORY, "log: no memory to compare a duplicate");
    return rf_segment_envelope(&now->segment, column, *out, NULL, err);
}

rf_status rf_identity_current_load(rf_identity_current *now, rf_slice bytes, rf_err *err)
{
    rf_status status = RF_OK;

    rf_identity_current_clear(now);
    now->bytes = malloc(bytes.size);
    now->reader = rf_payload_reader_new();
    if (!now->bytes || !now->reader)
        status = rf_fail(err, RF_ERR_MEMORY, "log: no memory to compare a duplicate");
    if (!status) {
        memcpy(now->bytes, bytes.data, bytes.size);
        status =
            rf_segment_open((rf_slice){now->bytes, bytes.size}, &now->arena, &now->segment, err);
    }
    if (!status)
        status = current_column(now, RF_ENVELOPE_POSITION, &now->positions, err);
    if (!status)
        status = current_column(now, RF_ENVELOPE_TYPE, &now->types, err);
    if (!status)
        status = current_column(now, RF_ENVELOPE_SCHEMA, &now->schemas, err);
    if (!status)
        status = current_column(now, RF_ENVELOPE_TIME, &now->times, err);
    if (status)
        rf_identity_current_clear(now);
    return status;
}

bool rf_identity_current_holds(const rf_identity_current *now, uint64_t position)
{
    return now->segment.count > 0 && position >= now->segment.first_position &&
           position <= now->segment.last_position;
}

/* Index of the first event at or behind `position`; most often it is the next one. */
static uint32_t index_at_least(const rf_identity_current *now, uint64_t position)
{
    uint32_t low = 0;
    uint32_t high = now->segment.count;

    if (now->next < high && (uint64_t)now->positions[now->next] == position)
        return now->next;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if ((uint64_t)now->positions[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

rf_status rf_identity_current_same(rf_identity_current *now, uint64_t position,
                                   const rf_event *event, bool *same_out, rf_err *err)
{
    uint32_t low = index_at_least(now, position);

    if (low == now->segment.count || (uint64_t)now->positions[low] != position ||
        now->types[low] < 0 || now->types[low] >= (int64_t)now->segment.type_count)
        return rf_fail(err, RF_ERR_DAMAGED, "log: the segment of position %llu does not hold it",
                       (unsigned long long)position);
    now->next = low + 1;
    *same_out = false;
    if (now->schemas[low] != event->schema || now->times[low] != event->time ||
        !rf_slice_equal(now->segment.types[now->types[low]].name, event->type))
        return RF_OK;
    return rf_payload_same(now->reader, &now->segment, low, event, same_out, err);
}
