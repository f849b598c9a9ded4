/* A segment: an immutable block of one partition's events in position order, by columns.
 *
 * Layout (docs/FORMAT.md has every byte): a checksummed header (counts, position and time range,
 * the types with counts, the directory of columns with checksum, stored and raw size each), then
 * the columns, then the payload chunks. A replay reads the header and the columns that its
 * projections name; payload chunks (original bytes of data and metadata, up to 256 KiB raw, a
 * larger event alone) are touched only by `events`, by comparisons of duplicates and by fields that
 * have no column.
 *
 * Envelope columns have one value per event; field columns belong to one (type, path, kind) and
 * have one value per event of that type that has the field, with a presence bitmap where some lack
 * it. A path may have columns of several kinds when its values differ in kind; JSON null counts as
 * missing, and so do arrays and objects. Below an object with more than RF_SEGMENT_MEMBERS_MAX
 * member names in a segment, or deeper than RF_SEGMENT_DEPTH_MAX, nothing has a column, nor has
 * what goes past RF_SEGMENT_COLUMNS_MAX columns a type: the type is marked `capped`, and who wants
 * such a path (rf_segment_field tells which) reads the payload.
 *
 * Call order: new, then (add …, finish) again and again, free. A builder is confined to one thread;
 * an rf_segment is a read-only view, usable by many.
 */
#ifndef RF_LOG_SEGMENT_H
#define RF_LOG_SEGMENT_H

#include "base/kv.h"
#include "event/event_note.h"
#include "log/column.h"

enum {
    RF_SEGMENT_EVENTS_MAX = 16384,
    RF_SEGMENT_RAW_MAX = 4 << 20, /* raw payload bytes; one larger event stands alone */
    RF_SEGMENT_CHUNK_RAW = 256 << 10,
    RF_SEGMENT_COLUMNS_MAX = 256, /* per type */
    RF_SEGMENT_MEMBERS_MAX = 64,
    RF_SEGMENT_DEPTH_MAX = 8,
    RF_SEGMENT_COMPRESS_MIN = 4096, /* smaller segments are not compressed */
};

/* Envelope columns. */
typedef enum rf_envelope {
    RF_ENVELOPE_STREAM, /* stream number in the partition */
    RF_ENVELOPE_VERSION,
    RF_ENVELOPE_POSITION,
    RF_ENVELOPE_SOURCE,          /* source number, see log.h */
    RF_ENVELOPE_SOURCE_POSITION, /* 0: none; or an id: rf_event_is_id */
    RF_ENVELOPE_TIME,            /* RF_TIME_NONE: none */
    RF_ENVELOPE_TYPE,            /* index into the segment's types */
    RF_ENVELOPE_SCHEMA,
    RF_ENVELOPE_FINGERPRINT, /* 16 bits, of type, schema, time, data, metadata */
    RF_ENVELOPE_COUNT,
} rf_envelope;

/* Value kinds of field columns. */
typedef enum rf_field_kind {
    RF_FIELD_INT = 1,   /* integer literals within 64 bits */
    RF_FIELD_EXACT = 2, /* numbers with a fraction, exact: mantissa of the column's scale */
    RF_FIELD_NUMBER =
        3, /* other number literals, as text (exponents, beyond 64 bits or 18 digits) */
    RF_FIELD_BOOL = 4,
    RF_FIELD_TEXT = 5,
} rf_field_kind;

typedef struct rf_segment_builder rf_segment_builder;
/* Memory for encoding: buffers and a compressor. Builders that are used in turn may share one. */
typedef struct rf_segment_workspace rf_segment_workspace;

/* What the appender decided about an event. */
typedef struct rf_placement {
    uint64_t position;
    uint32_t stream_number;
    uint32_t source;
    int64_t version;
    uint32_t fingerprint;
} rf_placement;

rf_segment_builder *rf_segment_builder_new(uint32_t partition); /* NULL without memory */
void rf_segment_builder_free(rf_segment_builder *builder);
rf_segment_workspace *rf_segment_workspace_new(void);            /* NULL without memory */
void rf_segment_workspace_free(rf_segment_workspace *workspace); /* takes NULL */
/* What add and finish work in from now on, borrowed; a builder that was given none makes its own.
 */
void rf_segment_builder_use(rf_segment_builder *builder, rf_segment_workspace *workspace);
/* Asks for the memory that adding writes to; with `tails` for what stands behind what was asked for before. For who
 * adds to many builders in turn, some at a time. */
void rf_segment_builder_prefetch(const rf_segment_builder *builder, bool tails);
/* Copies what it needs of `event`. Positions must rise. */
rf_status rf_segment_builder_add(rf_segment_builder *builder, const rf_event *event,
                                 const rf_placement *placement, rf_err *err);
/* Gives an event that was added, which is the one at `index`, another position. They rise again before finish. */
void rf_segment_builder_move(rf_segment_builder *builder, uint32_t index, uint64_t position);
uint32_t rf_segment_builder_count(const rf_segment_builder *builder);
/* Whether `event` still fits beside what was added (events, raw bytes). */
bool rf_segment_builder_fits(const rf_segment_builder *builder, const rf_event *event);
/* Appends the segment's bytes to `out` and empties the builder. Compressed parts have been
 * decompressed and compared. */
rf_status rf_segment_builder_finish(rf_segment_builder *builder, rf_buf *out, rf_err *err);

/* What a segment may hold, as its header says. */
typedef struct rf_segment_span {
    uint32_t partition;
    uint64_t first_position, last_position;
    uint32_t stream_min, stream_max;
} rf_segment_span;
/* Of the segment that was finished last. */
rf_segment_span rf_segment_builder_span(const rf_segment_builder *builder);

typedef struct rf_segment_type {
    rf_slice name;
    uint32_t count; /* events of this type in the segment */
    bool capped;    /* some paths have no column here */
    bool overflow;  /* private, as the next two: any path without column may occur nevertheless */
    uint32_t column_begin, column_end;
} rf_segment_type;

typedef struct rf_segment {
    rf_slice bytes; /* borrowed: the view is valid as long as they are */
    uint32_t partition;
    uint32_t count;
    uint64_t first_position;
    uint64_t last_position;
    int64_t time_min, time_max; /* RF_TIME_NONE: no event has a time */
    uint32_t stream_min, stream_max;
    uint64_t raw_bytes;           /* of data and metadata */
    const rf_segment_type *types; /* in the arena given to rf_segment_open, as all that follows */
    uint32_t type_count;
    const struct rf_segment_column *columns; /* private */
    uint32_t column_count;
    const struct rf_segment_chunk *chunks; /* private */
    uint32_t chunk_count;
    rf_slice shapes; /* private, as the next two */
    uint32_t shapes_checksum;
    struct rf_segment_copies *copies; /* columns are copied there to be decoded; NULL: read as they
                                         stand */
} rf_segment;

/* Checks the header's checksum and every bound; `bytes` is what finish appended. Nothing else is
 * touched. The directory lives in `arena`. Messages name partition and position; the caller adds
 * the store. */
rf_status rf_segment_open(rf_slice bytes, rf_arena *arena, rf_segment *segment_out, rf_err *err);

/* Memory for what is copied of segments (rf_kv_copy), one at a time. Confined to one thread. */
typedef struct rf_segment_copies {
    rf_kv *kv;
    rf_buf header; /* of the segment that was opened last */
    rf_buf column; /* the one that was decoded last */
} rf_segment_copies;
void rf_segment_copies_begin(rf_segment_copies *copies, rf_kv *kv);
void rf_segment_copies_end(rf_segment_copies *copies);
/* The same for `bytes` that a read transaction of copies->kv gave, and which stay where they are: the
 * header is copied, and each column when it is decoded. The view is valid until the next one. */
rf_status rf_segment_open_copied(rf_slice bytes, rf_segment_copies *copies, rf_arena *arena,
                                 rf_segment *segment_out, rf_err *err);

/* All `count` values of an envelope column. Adds the stored bytes that it read to *bytes_decoded
 * (may be NULL). */
rf_status rf_segment_envelope(const rf_segment *segment, rf_envelope column, int64_t *values_out,
                              uint64_t *bytes_decoded, rf_err *err);

/* Stream numbers or types, in half of the memory: a replay needs them all the time. `scratch` has
 * room for `count` values. */
rf_status rf_segment_envelope_u32(const rf_segment *segment, rf_envelope column,
                                  uint32_t *values_out, int64_t *scratch, uint64_t *bytes_decoded,
                                  rf_err *err);

/* Of the events whose type has a wanted[type], all of which are listed in order: the type, and the
 * stream's number, each at the event's place in an array of `count`. The other places mean nothing,
 * and of the other events only the checksums were looked at. */
typedef struct rf_segment_listed {
    uint32_t *events;
    uint32_t *types, *streams;
    uint32_t event_count; /* out */
} rf_segment_listed;
rf_status rf_segment_list_events(const rf_segment *segment, const uint8_t *wanted,
                                 rf_segment_listed *listed, int64_t *scratch,
                                 uint64_t *bytes_decoded, rf_err *err);

/* One kind of one path of one type. `present` is a bitmap over the type's events in the segment (in
 * order), NULL when all have it; the values are dense, one per present event. */
typedef struct rf_field_column {
    rf_field_kind kind;
    uint8_t scale; /* EXACT */
    uint32_t present_count;
    const uint8_t *present;
    const int64_t *ints; /* INT, EXACT; BOOL as 0 and 1 */
    rf_text_column text; /* TEXT, NUMBER */
} rf_field_column;

/* A path inside an event. `metadata` says which member it starts in; parts are member names. */
typedef struct rf_path {
    bool metadata;
    uint8_t part_count; /* 1 to RF_PATH_PARTS_MAX */
    const rf_slice *parts;
} rf_path;
enum { RF_PATH_PARTS_MAX = 16 };

/* Decodes the columns (0 to 5) of a path of types[type]. They live in `arena`, the bytes of texts in
 * `text`, which may be the same, or NULL (column.h). `*capped_out` says that the path may occur without column: read
 * the payload instead. */
rf_status rf_segment_field(const rf_segment *segment, uint32_t type, const rf_path *path,
                           rf_codec *codec, rf_arena *arena, rf_arena *text,
                           rf_field_column columns_out[5], uint32_t *column_count_out,
                           bool *capped_out, uint64_t *bytes_decoded, rf_err *err);

/* For the census and `types`: each (type, path, kind) with its count, in directory order. The path
 * is its parts joined as stored; see rf_field_info. */
typedef struct rf_field_info {
    uint32_t type;
    rf_field_kind kind;
    rf_path path;
    uint32_t count;
} rf_field_info;
rf_status rf_segment_fields(const rf_segment *segment, rf_arena *arena, rf_field_info **infos_out,
                            uint32_t *count_out, rf_err *err);

/* Reads payloads chunk by chunk; keeps the last chunk decompressed. Confined to one thread. */
typedef struct rf_payload_reader rf_payload_reader;
rf_payload_reader *rf_payload_reader_new(void);
void rf_payload_reader_free(rf_payload_reader *reader);
/* Bytes of event `index`; valid until the next call, and followed by RF_JSON_PADDING readable
 * bytes. metadata.data is NULL if the event has none. */
rf_status rf_payload_read(rf_payload_reader *reader, const rf_segment *segment, uint32_t index,
                          rf_slice *data_out, rf_slice *metadata_out, uint64_t *bytes_decoded,
                          rf_err *err);
/* Whether data and metadata of event `index` are those of `event`, byte for byte. Events that it is
 * asked of have shapes of one registry (event/event_shape.h). */
rf_status rf_payload_same(rf_payload_reader *reader, const rf_segment *segment, uint32_t index,
                          const rf_event *event, bool *same_out, rf_err *err);
/* Reads and checks everything: every checksum, every column decoded, every payload's size. For
 * verify. */
rf_status rf_segment_verify(const rf_segment *segment, rf_err *err);

#endif
