/* See segments_seen.h. */
#include "rebuild/segments_seen.h"

#include <stdlib.h>

void rf_segments_seen_free(rf_segments_seen *seen)
{
    free(seen->items);
    *seen = (rf_segments_seen){0};
}

void rf_segments_seen_begin(rf_segments_seen *seen, uint32_t partition, uint64_t from, uint64_t until)
{
    seen->at = 0;
    if (seen->is_whole && seen->partition == partition && seen->from == from && seen->until == until)
        return;
    seen->partition = partition;
    seen->from = from;
    seen->until = until;
    seen->is_whole = seen->is_lost = false;
    seen->count = 0;
}

bool rf_segments_seen_next(rf_segments_seen *seen, uint32_t first, uint32_t count, uint64_t position,
                           uint64_t *position_out)
{
    *position_out = position;
    if (!seen->is_whole)
        return true;
    for (; seen->at < seen->count; seen->at++) {
        const rf_segment_seen *item = &seen->items[seen->at];
        if (item->last_position < position ||
            !rf_streams_overlap(item->stream_min, item->stream_max, first, count))
            continue;
        if (item->first_position > position)
            *position_out = item->first_position;
        return true;
    }
    return false;
}

void rf_segments_seen_add(rf_segments_seen *seen, const rf_segment *segment)
{
    if (seen->is_whole || seen->is_lost)
        return;
    if (seen->count == seen->capacity) {
        uint32_t capacity = seen->capacity ? 2 * seen->capacity : 64;
        rf_segment_seen *items = realloc(seen->items, capacity * sizeof *items);
        seen->is_lost = items == NULL;
        if (!items)
            return;
        seen->items = items;
        seen->capacity = capacity;
    }
    seen->items[seen->count++] = (rf_segment_seen){
        .first_position = segment->first_position,
        .last_position = segment->last_position,
        .stream_min = segment->stream_min,
        .stream_max = segment->stream_max,
    };
}

void rf_segments_seen_end(rf_segments_seen *seen)
{
    seen->is_whole = !seen->is_lost;
}
