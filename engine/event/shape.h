/* Shapes: what events of the same make have in common.
 *
 * A program writes its events with the same members in the same order, so that a log of millions
 * of events has a few dozen shapes. A shape is the type, the member names and the kinds of values
 * of data and metadata, in order: everything of their nodes but the texts. A source that knows the
 * shape of a line by its bytes (source/pattern.h) hands over the event with its shape and with the
 * values of its numbers and strings, and no nodes of its own. Whoever takes events may keep by the
 * shape's id what it would else find out again for each: which columns its values go to, which
 * fields the census counts.
 *
 * Event and shape: `data_nodes` and `metadata_nodes` of such an event are those of the shape. Their
 * texts are empty (of null, false and true as well): the event's values stand in rf_event.values,
 * one for each INTEGER, NUMBER and STRING, in the order of shape->value_nodes. Integers are within
 * 64 bits and not "-0", numbers are exact (18 digits at most, no exponent, not "-0.0"), so that
 * `value` and `scale` have all of them; strings have no escapes; no object has two members of one
 * name. An event that is otherwise comes without a shape, with nodes.
 *
 * Shapes have dense ids from 0, given by a registry that all workers of an import share, and stay
 * until it is freed. rf_shapes_find may be called by many threads.
 */
#ifndef RF_EVENT_SHAPE_H
#define RF_EVENT_SHAPE_H

#include "event/json.h"

enum {
    RF_SHAPES_MAX = 1024,      /* ids are below it; what comes later has no shape */
    RF_SHAPE_VALUES_MAX = 96,  /* an event with more has no shape */
};

typedef struct rf_shape_value {
    const char *text;   /* of a string without its quotes; of a number its literal */
    int64_t value;      /* of an INTEGER; of a NUMBER its digits without the point */
    uint32_t text_size;
    uint8_t scale;      /* of a NUMBER: digits behind the point */
} rf_shape_value;

typedef struct rf_shape {
    uint32_t id;
    rf_slice type;
    uint32_t data_node_count;
    uint32_t metadata_node_count;       /* 0: no metadata */
    const rf_json_node *data_nodes;     /* `next` counts from the same array, as in an event */
    const rf_json_node *metadata_nodes; /* right behind those of data */
    uint32_t value_count;
    const uint32_t *value_nodes; /* of each value its node; counts from data_nodes for both */
    bool metadata_first;         /* its values come before those of data */
    uint64_t hash;
} rf_shape;

typedef struct rf_shapes rf_shapes;

rf_shapes *rf_shapes_new(void); /* NULL without memory */
void rf_shapes_free(rf_shapes *shapes); /* takes NULL */
/* The shape of an event with these nodes, made if it is new. `metadata_first`: the values of
 * metadata come before those of data. NULL where there is no room or no memory. */
const rf_shape *rf_shapes_find(rf_shapes *shapes, rf_slice type, const rf_json_node *data_nodes,
                               uint32_t data_node_count, const rf_json_node *metadata_nodes,
                               uint32_t metadata_node_count, bool metadata_first);

#endif
