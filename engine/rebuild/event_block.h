/* Event structs of the next events of one type, put together column by column.
 *
 *     begin (once a segment) -> next -> fill ... -> next -> fill …
 *
 * rf_plan_event puts an event's struct together when its turn comes, value by value: which column, which
 * place, how far from one value to the next. Most values are counted by the events of their type, so
 * those of the next few events may be moved ahead of them, one column at a time, each by a loop of a
 * load and a store; what is left for the event's turn is what is counted by all events: its time, for most.
 * A block is small enough to stay in the nearest cache with those of the other types.
 *
 * Confined to one thread; valid as long as what the plan's bind gave.
 */
#ifndef RF_REBUILD_EVENT_BLOCK_H
#define RF_REBUILD_EVENT_BLOCK_H

#include "rebuild/plan.h"

enum {
    RF_EVENT_BLOCK_EVENTS = 32,
    RF_EVENT_BLOCK_BYTES = 4096, /* of one type's structs; larger ones are fewer at a time */
};

typedef struct rf_event_block {
    char *at, *end; /* structs of events to come */
    rf_handler_fn fold;
    const rf_plan_call *call;
    /* a word that is counted by events; where there is none, it fills nothing */
    const char *from;
    uint32_t step;   /* bytes from one event to the next */
    uint32_t offset; /* of the member */
    uint32_t stride; /* from one struct to the next */
    /* what is not needed for each event */
    uint32_t next; /* the ordinal of the first event without a struct */
    char *structs;
    uint32_t capacity;
    uint32_t count; /* ordinals are below it */
} rf_event_block;

/* Bytes of `structs` that the call's block takes, if it can have one: no member may need more than a column
 * and the event's numbers, and few events are not worth it. 0: it cannot. */
size_t rf_event_block_size(const rf_plan_call *call, uint32_t count);
/* Begins with event number `ordinal` of the type's `count`. */
void rf_event_block_begin(rf_event_block *block, const rf_plan_call *call, char *structs,
                          uint32_t ordinal, uint32_t count);
/* More structs; there are events left. */
void rf_event_block_fill(rf_event_block *block);

/* The struct of the type's next event, which is number `event` of the segment. */
static inline const void *rf_event_block_next(rf_event_block *block, uint32_t event)
{
    if (__builtin_expect(block->at == block->end, false))
        rf_event_block_fill(block);
    char *to = block->at;
    block->at += block->stride;
    memcpy(to + block->offset, block->from + (size_t)event * block->step, 8);
    return to;
}

#endif
