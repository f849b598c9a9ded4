/* Comparing an event with a stored one value by value, where both have a shape.
 *
 * The shape that an event comes with (event/event_shape.h) and one of a segment are paired once:
 * where their literal bytes are the same, the events of both are equal when the values are. What is
 * literal in an event's shape and a value in the segment's (null, true, false) is a step without
 * value. Shapes that cannot be paired so are compared as text. payload_shape.c goes through the
 * steps.
 */
#ifndef RF_LOG_PAYLOAD_PAIR_H
#define RF_LOG_PAYLOAD_PAIR_H

#include "base/arena.h"
#include "event/event_shape.h"

#include <stdbool.h>

struct rf_shape_slot;

/* A value of the segment's shape, and what of the event it is. */
typedef struct rf_pair_step {
    uint32_t column_begin, column_end; /* of the segment's columns */
    uint32_t value;                    /* of the event; none of null, true and false */
    uint8_t kind;                      /* rf_json_kind */
    uint8_t style;
} rf_pair_step;

typedef struct rf_shape_pair {
    const rf_event_shape *shape; /* NULL: free */
    const rf_pair_step *steps;   /* in the arena; NULL: these do not pair */
    uint32_t step_count;
} rf_shape_pair;

/* Pairs `shape` with the slots of a segment's shape, the last of which is RF_SLOT_END. The steps
 * are in `arena`. False without memory. */
bool rf_shape_pair_make(const rf_event_shape *shape, const struct rf_shape_slot *slots,
                        rf_arena *arena, rf_shape_pair *pair_out);

#endif
