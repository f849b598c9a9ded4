/* Writing the bytes of events that have a shape, from the columns of their segment.
 *
 * What segment_shape.c took apart is put together: the literals of the shape, the values of the
 * event out of the type's columns, arrays out of what a chunk has of it. Columns are decoded when a
 * value of theirs is first wanted, and kept until another segment is opened.
 *
 * open -> (write | same) again and again -> free. Everything stored is checked. Confined to one thread.
 */
#ifndef RF_LOG_PAYLOAD_SHAPE_H
#define RF_LOG_PAYLOAD_SHAPE_H

#include "log/payload_pair.h"
#include "log/segment_format.h"

/* Bytes up to a place where something else comes. */
typedef struct rf_shape_slot {
    rf_slice before;
    uint32_t column_begin, column_end; /* of a value: of the segment's columns */
    uint8_t code;                      /* RF_SLOT_END to RF_SLOT_VALUE */
    uint8_t style;
} rf_shape_slot;

enum { RF_SHAPE_PAIRS = 4 };

typedef struct rf_shape_view {
    uint32_t slot_begin; /* the last of its slots is RF_SLOT_END */
    uint32_t rest_count;
    rf_shape_pair *pairs; /* RF_SHAPE_PAIRS of them; NULL before the first */
} rf_shape_view;

/* A column, decoded, with the number of its values before each 64 events of the type. */
typedef struct rf_shape_column {
    bool decoded;
    rf_field_column field;
    const uint64_t *bits; /* NULL: all have it */
    const uint16_t *ranks;
} rf_shape_column;

typedef struct rf_shapes {
    rf_arena arena;
    rf_shape_slot *slots;
    rf_shape_view *views;  /* of all types, one type's after the other's */
    uint32_t *view_begins; /* by type, and the end */
    rf_shape_column *columns;
} rf_shapes;

void rf_shapes_init(rf_shapes *shapes);
void rf_shapes_free(rf_shapes *shapes);
/* Learns the shapes of `segment`, forgetting those of another. */
rf_status rf_shapes_open(rf_shapes *shapes, const rf_segment *segment, uint64_t *bytes_decoded,
                         rf_err *err);
/* Shape `number` of `type`; NULL if there is none. */
rf_shape_view *rf_shapes_find(const rf_shapes *shapes, uint32_t type, int64_t number);

/* An event with a shape. */
typedef struct rf_shaped {
    rf_shape_view *view;
    uint32_t type;
    uint32_t ordinal;          /* within the type */
    const char *rest;          /* its arrays, one after the other */
    const int64_t *rest_sizes; /* view->rest_count */
} rf_shaped;
/* Appends data, then metadata; *data_size_out is where one ends and the other begins. */
rf_status rf_shapes_write(rf_shapes *shapes, const rf_segment *segment, const rf_shaped *event,
                          rf_codec *codec, rf_buf *out, size_t *data_size_out,
                          uint64_t *bytes_decoded, rf_err *err);

typedef enum rf_same { RF_SAME_NO, RF_SAME_YES, RF_SAME_UNKNOWN } rf_same;
/* Whether the bytes that are stored of `shaped` are those of `event`, which came with a shape, by
 * their values; RF_SAME_UNKNOWN where that needs the text. All events until the next open have
 * shapes of one registry. */
rf_status rf_shapes_same(rf_shapes *shapes, const rf_segment *segment, const rf_shaped *shaped,
                         const rf_event *event, rf_codec *codec, rf_same *same_out, rf_err *err);

#endif
