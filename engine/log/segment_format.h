/* What writer and reader of segments share: magic, limits of the stored form, and the private parts
 * of an opened segment. docs/FORMAT.md gives the layout byte by byte. */
#ifndef RF_LOG_SEGMENT_FORMAT_H
#define RF_LOG_SEGMENT_FORMAT_H

#include "log/segment.h"

enum {
    RF_SEGMENT_MAGIC = 0x31534652, /* "RFS1" */
    RF_SEGMENT_HEAD_SIZE = 20,     /* checksum u64, magic u32, header size u32, segment size u32 */
    RF_SEGMENT_KEY_SIZE_MAX = 255, /* longer member names have no column */
    RF_SEGMENT_CHUNK_RAW_MAX = 17 << 20,
    RF_SEGMENT_LEVEL = 1, /* of payloads: import is bound by it, and 3 gains a tenth of the bytes */
};

/* Stored behind the envelope columns, but private. The sizes are those of what stands in the chunks:
 * for an event without shape its data, and its metadata (0: none); for one with a shape each array.
 */
enum {
    RF_SEGMENT_SHAPE = RF_ENVELOPE_COUNT, /* number of the shape within the type; 0: none */
    RF_SEGMENT_PER_EVENT,                 /* count of columns that have one value per event */
    RF_SEGMENT_SIZES = RF_SEGMENT_PER_EVENT,
    RF_SEGMENT_METADATA_SIZES,
    RF_SEGMENT_FIXED_COLUMNS, /* count of columns that every segment has */
};

/* What follows the bytes in front of a slot of a shape, a varint. From RF_SLOT_VALUE on: path *
 * RF_SLOT_STYLES + style; the style is how many decimals a number with a fraction has, 0 for as
 * many as it needs, one at least. */
enum {
    RF_SLOT_END = 0,
    RF_SLOT_METADATA = 1, /* the data is complete */
    RF_SLOT_REST = 2,     /* an array, which stands in a chunk */
    RF_SLOT_VALUE = 3,
    RF_SLOT_STYLES = 19,
};

/* First byte of a time column. */
enum { RF_TIMES_ALL = 0, RF_TIMES_NONE = 1, RF_TIMES_SOME = 2 };

/* First byte of a path in the directory; 0 ends the paths of a type. Bits 0 to 4 are the kinds from
 * RF_FIELD_INT on. */
enum {
    RF_PATH_KINDS = 0x1f,
    RF_PATH_METADATA = 0x20,
    RF_PATH_CAPPED = 0x40, /* what is below this path has no columns */
    RF_PATH_HIDDEN = 0x80, /* its columns lack events, and are there for shapes only */
};

/* Not a kind of values: marks a path below which there are no columns. */
enum { RF_FIELD_CAPPED = 0, RF_FIELD_PER_EVENT = 255 };

typedef struct rf_segment_column {
    rf_slice stored;
    uint32_t checksum; /* of `stored`, low half of rf_checksum */
    uint32_t present_count;
    const rf_slice *parts;
    uint8_t part_count;
    uint8_t kind; /* rf_field_kind, RF_FIELD_CAPPED or RF_FIELD_PER_EVENT */
    uint8_t scale;
    bool metadata;
    bool hidden;
} rf_segment_column;

typedef struct rf_segment_chunk {
    rf_slice stored;
    uint32_t raw_size; /* as the stored one: not compressed */
    uint32_t checksum; /* of `stored` */
    uint32_t raw_checksum;
    uint32_t begin, end; /* events */
} rf_segment_chunk;

/* Header checksum: what a cache knows a segment's content by. */
static inline uint64_t rf_segment_identity(const rf_segment *segment)
{
    return rf_load_u64(segment->bytes.data);
}

/* `count` values of RF_SEGMENT_SIZES or RF_SEGMENT_METADATA_SIZES, which are sizes. */
rf_status rf_segment_sizes(const rf_segment *segment, unsigned column, uint32_t count,
                           int64_t *values_out, uint64_t *bytes_decoded, rf_err *err);
/* A column of a type's field, into `arena`, its text into `text`. */
rf_status rf_segment_decode_field(const rf_segment *segment, uint32_t type_count,
                                  const rf_segment_column *column, rf_codec *codec, rf_arena *arena,
                                  rf_arena *text, rf_field_column *out, uint64_t *bytes_decoded,
                                  rf_err *err);
/* The values of any per-event column, the private one included. */
rf_status rf_segment_per_event(const rf_segment *segment, unsigned column, int64_t *values_out,
                               uint64_t *bytes_decoded, rf_err *err);

#endif
