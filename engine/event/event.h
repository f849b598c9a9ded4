/* An event on its way into the log, as a source hands it over.
 *
 * All slices and nodes are borrowed: whoever makes one says until when it is valid (sources: until
 * the call that takes it returns).
 */
#ifndef RF_EVENT_EVENT_H
#define RF_EVENT_EVENT_H

#include "event/event_shape.h"

enum {
    RF_STREAM_NAME_SIZE_MAX = 480,
    RF_TYPE_SIZE_MAX = 255,
    RF_EVENT_SIZE_MAX = 16 << 20,
};

#define RF_VERSION_NONE INT64_MIN

/* What stands in the place of an event's source position where it has none, but an id of its own: the id's
 * hash. Its highest bit, which no position has, says so. */
#define RF_EVENT_ID (UINT64_C(1) << 63)
static inline bool rf_event_is_id(uint64_t source_position)
{
    return (source_position & RF_EVENT_ID) != 0;
}

typedef struct rf_event {
    rf_slice stream;          /* 1 to 480 bytes of UTF-8 without NUL */
    rf_slice type;            /* 1 to 255 bytes, likewise */
    int64_t version;          /* >= 0, or RF_VERSION_NONE: the stream's next */
    int64_t schema;           /* 1 if absent */
    int64_t time;             /* microseconds UTC, or RF_TIME_NONE */
    uint64_t source_position; /* 0: none; with RF_EVENT_ID: an id instead */
    rf_slice data;            /* the raw JSON bytes of the member, as they came */
    rf_slice metadata;        /* likewise; data NULL if absent */
    const rf_json_node
        *data_nodes; /* data_nodes[0] is the value itself; `next` counts from the same array */
    const rf_json_node *metadata_nodes;
    uint32_t data_node_count;
    uint32_t metadata_node_count; /* 0 if absent */
    const rf_event_shape *shape;        /* NULL: none; else the nodes are its own, without texts */
    const rf_event_value *values; /* of a shape; see event_shape.h */
    rf_slice file;                /* for messages; empty for events that came through the library */
    uint64_t line;                /* 1 and up; 0: the source position says where; or the index in
                                     the batch */
} rf_event;

#endif
