/* segments_seen.h: a second walk goes to the segments that have events of its streams, and to no other. */
#include "rebuild/segments_seen.h"

#include <criterion/criterion.h>

enum { SEGMENTS = 200, UNTIL = 100 * SEGMENTS };

/* Segment i has positions 100 i + 1 to 100 i + 90 and streams 10 i to 10 i + 14. */
static rf_segment segment_of(uint32_t i)
{
    return (rf_segment){
        .first_position = 100 * i + 1,
        .last_position = 100 * i + 90,
        .stream_min = 10 * i,
        .stream_max = 10 * i + 14,
    };
}

static void walk_all(rf_segments_seen *seen, uint32_t partition)
{
    uint64_t position = 0;

    rf_segments_seen_begin(seen, partition, 1, UNTIL);
    for (uint32_t i = 0; i < SEGMENTS; i++) {
        rf_segment segment = segment_of(i);
        cr_assert(rf_segments_seen_next(seen, 0, 10, 100 * i + 1, &position));
        cr_assert_eq(position, 100 * i + 1, "nothing is left out while the list is made");
        rf_segments_seen_add(seen, &segment);
    }
    rf_segments_seen_end(seen);
}

Test(segments_seen, a_walk_goes_to_segments_of_its_streams_only)
{
    rf_segments_seen seen = {0};
    uint64_t position = 1;

    walk_all(&seen, 3);
    rf_segments_seen_begin(&seen, 3, 1, UNTIL);
    for (uint32_t i = 49; i <= 59; i++) { /* 10 i to 10 i + 14 of 500 to 599 */
        cr_assert(rf_segments_seen_next(&seen, 500, 100, position, &position));
        cr_assert_eq(position, 100 * i + 1, "%llu", (unsigned long long)position);
        position = 100 * i + 91;
    }
    cr_assert_not(rf_segments_seen_next(&seen, 500, 100, position, &position));
    rf_segments_seen_free(&seen);
}

Test(segments_seen, what_a_merge_took_together_is_passed_once)
{
    rf_segments_seen seen = {0};
    uint64_t position = 1;

    walk_all(&seen, 0);
    rf_segments_seen_begin(&seen, 0, 1, UNTIL);
    cr_assert(rf_segments_seen_next(&seen, 500, 100, position, &position));
    cr_assert_eq(position, 4901);
    /* the walk met one with what the next three had too, and stands behind it */
    cr_assert(rf_segments_seen_next(&seen, 500, 100, 5291, &position));
    cr_assert_eq(position, 5301);
    /* and then in the middle of one */
    cr_assert(rf_segments_seen_next(&seen, 500, 100, 5450, &position));
    cr_assert_eq(position, 5450);
    rf_segments_seen_free(&seen);
}

Test(segments_seen, another_partition_or_end_begins_a_new_list)
{
    rf_segments_seen seen = {0};
    uint64_t position = 0;

    walk_all(&seen, 0);
    rf_segments_seen_begin(&seen, 1, 1, UNTIL);
    cr_assert(rf_segments_seen_next(&seen, 500, 100, 1, &position));
    cr_assert_eq(position, 1);
    walk_all(&seen, 1);
    rf_segments_seen_begin(&seen, 1, 1, UNTIL - 1);
    cr_assert(rf_segments_seen_next(&seen, 500, 100, 1, &position));
    cr_assert_eq(position, 1);
    rf_segments_seen_free(&seen);
}

Test(segments_seen, a_walk_that_broke_off_leaves_no_list)
{
    rf_segments_seen seen = {0};
    uint64_t position = 0;
    rf_segment segment = segment_of(0);

    rf_segments_seen_begin(&seen, 0, 1, UNTIL);
    rf_segments_seen_add(&seen, &segment);
    rf_segments_seen_begin(&seen, 0, 1, UNTIL);
    cr_assert(rf_segments_seen_next(&seen, 500, 100, 1, &position));
    cr_assert_eq(position, 1);
    rf_segments_seen_free(&seen);
}
