/* The segments that a walk over a partition met, so that the next walk goes to those alone that have
 * events of its streams.
 *
 *     begin -> (next -> add) … -> end       the first time
 *     begin -> next …                       from then on
 *
 * Streams get their numbers in the order of the log and most are short, so a range of them lies in few
 * segments; without a list each walk opens all to see which. Kept are positions, no places: where a
 * merge takes segments together meanwhile, one holds what several held, and a walk goes on behind it.
 * Confined, or guarded by who has it.
 */
#ifndef RF_REBUILD_SEGMENTS_SEEN_H
#define RF_REBUILD_SEGMENTS_SEEN_H

#include "log/segment.h"

typedef struct rf_segment_seen {
    uint64_t first_position, last_position;
    uint32_t stream_min, stream_max;
} rf_segment_seen;

typedef struct rf_segments_seen {
    uint32_t partition;
    uint64_t from, until; /* positions */
    bool is_whole;        /* the list has all segments */
    bool is_lost;         /* there was no memory for it */
    rf_segment_seen *items; /* owned */
    uint32_t count, capacity;
    uint32_t at; /* of the walk, in a list that is whole */
} rf_segments_seen;

void rf_segments_seen_free(rf_segments_seen *seen);
/* A walk over the segments with events between two positions. */
void rf_segments_seen_begin(rf_segments_seen *seen, uint32_t partition, uint64_t from, uint64_t until);
/* The walk is at `position`: that of the next segment that may have events of streams [first, first +
 * count); it is told nothing before the list is whole. False: none is left. */
bool rf_segments_seen_next(rf_segments_seen *seen, uint32_t first, uint32_t count, uint64_t position,
                           uint64_t *position_out);
void rf_segments_seen_add(rf_segments_seen *seen, const rf_segment *segment);
/* The walk has met its last segment. */
void rf_segments_seen_end(rf_segments_seen *seen);

/* Whether segments of these streams may have events of the range [first, first + count). */
static inline bool rf_streams_overlap(uint32_t stream_min, uint32_t stream_max, uint32_t first,
                                      uint32_t count)
{
    return stream_max >= first && (stream_min < first || stream_min - first < count);
}

#endif
