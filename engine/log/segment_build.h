/* Inside a segment builder: what adding (segment_build.c) gathers and finishing (segment_finish.c)
 * encodes, columns with a value per event in segment_envelope.c.
 *
 * Every type has a tree of member names for data and one for metadata. A node that had scalar
 * values has a list of them per kind, with the ordinals of their events within the type. Members
 * come in the same order in most events of a type, so the search of a name begins behind the one
 * found last. Lists are a pool: their memory is kept from segment to segment.
 *
 * Shapes (segment_shape.c): what the events of a type have in common is kept once, as the bytes
 * between their values. An event that has a shape of its type gives its values to the lists and
 * nothing else, without a search for names; only one that has none is looked at member by member,
 * and its bytes go to the chunks.
 */
#ifndef RF_LOG_SEGMENT_BUILD_H
#define RF_LOG_SEGMENT_BUILD_H

#include "log/segment_format.h"

enum {
    RF_BUILD_KINDS = RF_FIELD_TEXT + 1,
    RF_BUILD_NODES_MAX = 1024, /* per type; names past it have no column */
    RF_BUILD_TYPE_BUCKETS = 1024,
    RF_BUILD_KEPT_BYTES_MAX = 16 << 20,
    RF_BUILD_TEXT_KEPT_MAX = 128 << 10, /* of one list */
    RF_BUILD_SLOTS_MAX = RF_EVENT_VALUES_MAX, /* values of a shape */
    RF_BUILD_SHAPES_MAX = 1024, /* of a segment */
};

/* Values of one kind of one path. As long as every event of the type has one, nothing says which
 * ones have: lists of 64 partitions are written in turn, and each array more is a page more that the
 * processor has to find. */
typedef struct rf_build_list {
    uint32_t count;
    uint32_t capacity;
    int64_t *values; /* integer, mantissa, 0 or 1, or the end of the text in `bytes` */
    rf_buf bytes;
    bool sparse;
    uint32_t ordinal_capacity, scale_capacity;
    uint16_t *ordinals; /* of the events within the type, if `sparse`; else they are 0, 1, 2 ... */
    uint8_t *scales;    /* of exact numbers */
} rf_build_list;

static inline uint32_t rf_build_ordinal(const rf_build_list *list, uint32_t index)
{
    return list->sparse ? list->ordinals[index] : index;
}

/* Indexes are into the builder's arrays; 0 is none. */
typedef struct rf_build_node {
    rf_slice key;
    uint32_t first_child, last_child, next_sibling;
    uint32_t child_count;
    uint32_t last_seen; /* ordinal + 1 of the event that had it last */
    uint32_t lists[RF_BUILD_KINDS];
    uint32_t path; /* number of its path among those of the type that have columns; by finish */
    uint8_t depth; /* parts of its path */
    bool capped;   /* nothing below it gets columns */
    bool shaped;   /* a shape has its values here: it has columns whatever the limits */
} rf_build_node;

/* How a slot writes numbers with a fraction. */
typedef enum rf_build_style {
    RF_STYLE_ANY,     /* none came yet */
    RF_STYLE_EITHER,  /* all with `scale` decimals, and no zero at the end */
    RF_STYLE_FIXED,   /* all with `scale` decimals */
    RF_STYLE_TRIMMED, /* without zeros at the end */
} rf_build_style;

/* A value of a shape: the bytes in front of it, and where its values are. */
typedef struct rf_build_slot {
    rf_slice before;
    uint32_t node; /* 0: an array, whose bytes go to the chunks */
    uint8_t style; /* rf_build_style */
    uint8_t scale;
} rf_build_slot;

/* Slots of data, then those of metadata. */
typedef struct rf_build_shape {
    uint32_t next; /* of the type; 0: none */
    uint32_t slot_begin;
    uint8_t slot_counts[2];
    rf_slice ends[2]; /* bytes behind the last slot; of metadata NULL where there is none */
    uint32_t variant; /* the next one of the same plan, which writes numbers otherwise; 0: none */
    uint16_t number;  /* within the type, from 1 */
    bool has_rest;    /* has arrays */
} rf_build_shape;

typedef struct rf_build_type {
    rf_slice name;
    uint64_t hash;
    uint32_t next_in_bucket; /* index + 1 */
    uint32_t count;
    uint32_t roots[2]; /* of data, of metadata */
    uint32_t node_count;
    uint32_t shape_first, shape_end, shape_last; /* the first made, the last made, the last used */
    uint16_t shape_count;
    bool overflow; /* a path that has no column may nevertheless occur */
} rf_build_type;

/* What an event has of the columns that have a value per event: one line of the cache, because a
 * partition's builder is touched again only after all others were. */
typedef struct rf_build_row {
    int64_t version;
    uint64_t position;
    uint64_t source_position;
    int64_t time;
    int64_t schema;
    uint32_t stream;
    uint32_t source;
    uint32_t fingerprint;
    uint16_t type;  /* index */
    uint16_t shape; /* its number within the type; 0: none, the bytes are in a chunk */
    uint64_t free;
} rf_build_row;
_Static_assert(sizeof(rf_build_row) == 64, "a row of the builder is a cache line");

/* Where the values of a shape go (segment_plan.c). Made once a segment for each shape that occurs
 * in it. */
typedef struct rf_build_target {
    uint32_t list;  /* index */
    uint16_t value; /* index of the event's value; RF_BUILD_CONSTANT */
    uint8_t kind;   /* rf_field_kind */
    uint8_t constant;
    uint32_t node; /* that has the list */
    uint16_t slot; /* of the shape, counting from its first */
} rf_build_target;

enum { RF_BUILD_CONSTANT = UINT16_MAX };

typedef struct rf_build_plan {
    uint32_t type;  /* index */
    uint32_t shape; /* of the segment, as most events have it; 0: none yet */
    bool whole;     /* all values have a target, so that it may have a shape */
    bool has_fractions;
    uint32_t target_count;
    rf_build_target targets[];
} rf_build_plan;

struct rf_segment_builder {
    uint32_t partition;
    bool failed;
    uint32_t count;
    uint32_t capacity;
    rf_build_row *rows;
    uint64_t raw_bytes;
    rf_arena names; /* of types and members, until the segment is finished */

    rf_build_type *types;
    uint32_t type_count, type_capacity;
    uint32_t buckets[RF_BUILD_TYPE_BUCKETS];
    rf_build_node *nodes;
    uint32_t node_count, node_capacity;
    rf_build_list *lists;
    uint32_t list_count, list_capacity; /* lists past `list_count` wait with their memory */

    rf_build_slot *slots;
    uint32_t slot_count, slot_capacity;
    rf_build_shape *shapes;
    uint32_t shape_count, shape_capacity;
    size_t shape_bytes; /* that the shapes will take */
    /* of the event at hand, which was looked at member by member */
    uint32_t leaves[RF_BUILD_SLOTS_MAX]; /* nodes of its values in order, 0 for an array */
    uint32_t leaf_count;
    bool leaves_whole; /* they are all that it has */
    /* of what is in the chunks: an event's data, or each array of an event with a shape */
    uint32_t *sizes;
    uint32_t size_count, size_capacity;
    uint32_t *metadata_sizes; /* of events without shape */
    uint32_t metadata_count, metadata_capacity;
    rf_buf escaped; /* a text as it would be written */
    /* owned; RF_EVENT_SHAPES_MAX by id, in `names`; NULL before the first */
    rf_build_plan **plans;
    uint32_t plan_count; /* ids below it may have one */

    rf_segment_workspace *work; /* NULL before the first use */
    rf_segment_workspace *own;  /* NULL where it was given one */
    rf_buf chunk;               /* raw bytes of the open chunk */
    uint32_t chunk_events;
    uint32_t chunk_count;
    rf_buf chunk_directory;
    rf_buf chunks; /* stored */
    uint32_t column_count;
    rf_segment_span span; /* of the segment that was finished last */
};

/* Empty between two calls of the builder, but for its memory. */
struct rf_segment_workspace {
    rf_codec *codec;
    rf_arena scratch;
    rf_buf compressed; /* a chunk */
    rf_buf columns;    /* stored */
    rf_buf per_event;  /* directory of the columns that have a value per event */
    rf_buf fields;     /* directory of the others, and of shapes */
    rf_buf shapes;
    rf_buf literal; /* of a shape */
    rf_buf header;
    int64_t *gathered; /* columns that have a value per event, not encoded; owned */
    uint32_t gathered_capacity;
};

/* Makes room for a value that cannot simply be written behind the last; false without memory. */
bool rf_build_list_room(rf_build_list *list, uint32_t ordinal);
/* Appends the value of an event; false without memory. */
static inline bool rf_build_list_put(rf_build_list *list, uint32_t ordinal, int64_t value)
{
    if ((list->count == list->capacity || list->sparse || ordinal != list->count) &&
        !rf_build_list_room(list, ordinal))
        return false;
    list->values[list->count++] = value;
    return true;
}
/* The same for an exact number and a text. */
bool rf_build_list_put_exact(rf_build_list *list, uint32_t ordinal, int64_t value, uint8_t scale);
static inline bool rf_build_list_put_text(rf_build_list *list, uint32_t ordinal, rf_slice text)
{
    rf_buf_append_slice(&list->bytes, text);
    return !list->bytes.failed && rf_build_list_put(list, ordinal, (int64_t)list->bytes.size);
}
/* The list of a node's values of one kind; NULL without memory. */
rf_build_list *rf_build_list_of(rf_segment_builder *builder, rf_build_node *node,
                                rf_field_kind kind);
/* Takes the members of data or metadata. */
void rf_build_take_root(rf_segment_builder *builder, rf_build_type *type, bool metadata,
                        uint32_t ordinal, const rf_json_node *json, uint32_t json_count);
/* Takes data and metadata of an event with a shape, of the type whose index is given. */
void rf_build_take_planned(rf_segment_builder *builder, uint32_t type, uint32_t ordinal,
                         const rf_event *event);
/* The plan of a shape in this segment; NULL: none yet. */
static inline rf_build_plan *rf_build_plan_of(const rf_segment_builder *builder,
                                              const rf_event_shape *shape)
{
    return shape && shape->id < builder->plan_count ? builder->plans[shape->id] : NULL;
}
/* Sees to it that there is a workspace. */
rf_status rf_build_work(rf_segment_builder *builder, rf_err *err);
/* Ends the open chunk. */
rf_status rf_build_flush_chunk(rf_segment_builder *builder, bool compress, rf_err *err);
/* Appends the columns that have a value per event, and those of sizes, to the workspace's. */
rf_status rf_build_append_envelope(rf_segment_builder *builder, rf_err *err);
/* Size and checksum of the column that was appended from `begin` on. */
void rf_build_describe_column(rf_segment_builder *builder, size_t begin, rf_buf *directory);
/* Room for one more of `size` bytes each in an array that grows by halves: 64 partitions have one;
 * false without memory. */
bool rf_build_grow(void *array_at, uint32_t count, uint32_t *capacity, uint32_t first, size_t size);
/* Puts a scalar into the list of a node; nothing for null. Without memory the builder has failed. */
void rf_build_take_value(rf_segment_builder *builder, uint32_t node, uint32_t ordinal,
                         const rf_json_node *json);

/* The shape of a type that an event has, taking the one used last first; 0: none. */
uint32_t rf_shape_find(rf_segment_builder *builder, rf_build_type *type, const rf_event *event);
/* Gives the values of an event to the lists of its shape. */
void rf_shape_take(rf_segment_builder *builder, uint32_t shape, uint32_t ordinal,
                   const rf_event *event);
/* Makes a shape of the event that was looked at member by member; 0 where it gets none. */
uint32_t rf_shape_learn(rf_segment_builder *builder, rf_build_type *type, const rf_event *event);
/* The shape of an event that came with one of its own and was taken by its plan; 0: none. */
uint32_t rf_shape_planned(rf_segment_builder *builder, rf_build_type *type, const rf_event *event);
/* All shapes as they are stored. Paths have their numbers. */
void rf_shape_append(rf_segment_builder *builder, rf_buf *out);
/* Forgets all events, keeps memory. */
void rf_build_reset(rf_segment_builder *builder);

#endif
