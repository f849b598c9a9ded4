/* Shapes: what events of the same make have in common.
 *
 * A program writes its events with the same members in the same order and between the same bytes,
 * so that a log of millions of events has a few dozen shapes. A shape is the type and the raw bytes
 * of data and metadata but for their values, which are its numbers and strings. Events of one shape
 * differ in these alone (and in what the envelope says). A source that knows the shape of a line by
 * its bytes (source/pattern.h) hands over the event with it and with its values, and makes no
 * nodes. Whoever takes events may keep by the shape's id what it would else find out again for
 * each: where its values go, which fields the census counts.
 *
 * An event that has a shape: `data_nodes` and `metadata_nodes` are those of the shape, with names
 * and kinds, but without texts (also of null, false and true). The values stand in rf_event.values,
 * one for each INTEGER, NUMBER and STRING, in the order of shape->values. Integers are within 64
 * bits and not "-0"; numbers are exact (18 digits at most, no exponent, no zero with a sign), so
 * that `value` and `scale` say all of the literal; strings have no escapes, so that text is what
 * stands between the quotes. Data is an object, and so is metadata if there is any; there are no
 * arrays in them, and no object has two members of one name. An event that is otherwise has no
 * shape.
 *
 * Shapes have dense ids from 0, given by a registry that all workers of an import share, and stay
 * until it is freed. rf_event_shapes_find may be called by many threads.
 */
#ifndef RF_EVENT_EVENT_SHAPE_H
#define RF_EVENT_EVENT_SHAPE_H

#include "event/json.h"

enum {
    RF_EVENT_SHAPES_MAX = 1024, /* ids are below it; what comes later has no shape */
    RF_EVENT_VALUES_MAX = 96,   /* an event with more has no shape */
    RF_EVENT_VALUE_HEAD = 16,
};

/* A value of an event that has a shape. */
typedef struct rf_event_value {
    const char *text; /* of a string without its quotes; of a number its literal; as it lies in the
                         line, with RF_JSON_PADDING readable bytes behind that */
    union {
        int64_t value; /* of an INTEGER; of a NUMBER its digits without the point */
        char head[RF_EVENT_VALUE_HEAD]; /* the first bytes of a string, with what is behind it in the
                                           line: who takes short ones need not touch that, which lies
                                           in no cache */
    };
    uint32_t text_size;
    uint8_t scale; /* of a NUMBER: digits behind the point; else not set */
} rf_event_value;

/* Of a string; valid as long as the value. */
static inline rf_slice rf_event_value_text(const rf_event_value *value)
{
    const char *text = value->text_size <= RF_EVENT_VALUE_HEAD ? value->head : value->text;

    return (rf_slice){text, value->text_size};
}

/* The same value of all events of a shape. */
typedef struct rf_shape_value {
    rf_slice before; /* raw bytes between it and the value before it, or the beginning of its data
                        or metadata; a string's quotes are not its own */
    uint32_t node;   /* counts from data_nodes, in metadata too */
    uint8_t kind;    /* rf_json_kind */
} rf_shape_value;

typedef struct rf_event_shape {
    uint32_t id;
    rf_slice type;
    uint64_t type_hash; /* rf_checksum */
    uint32_t data_node_count;
    uint32_t metadata_node_count;       /* 0: no metadata */
    const rf_json_node *data_nodes;     /* `next` counts from the same array, as in an event */
    const rf_json_node *metadata_nodes; /* right behind those of data */
    uint32_t value_count;
    const rf_shape_value *values;    /* as they stand in the line */
    bool metadata_first;             /* those of metadata come before those of data */
    rf_slice data_end, metadata_end; /* raw bytes behind the last value */
} rf_event_shape;

typedef struct rf_event_shapes rf_event_shapes;
struct rf_event;

rf_event_shapes *rf_event_shapes_new(void);         /* NULL without memory */
void rf_event_shapes_free(rf_event_shapes *shapes); /* takes NULL */
/* The shape of an event that was parsed (it has nodes), made if it is new. NULL where it can have
 * none, or there is no room or no memory. */
const rf_event_shape *rf_event_shapes_find(rf_event_shapes *shapes, const struct rf_event *event);
/* Nodes with texts for an event that has a shape: those of data, then those of metadata, as many as
 * the shape has. Texts of objects, null, false and true stay empty. */
void rf_event_fill_nodes(const struct rf_event *event, rf_json_node *nodes_out);

#endif
