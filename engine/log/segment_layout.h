/* The layout of a segment, shared by who writes it (segment_build.c) and who reads it (segment_read.c,
 * payload.c). docs/FORMAT.md has every byte.
 *
 * The prefix has fixed offsets:
 *     0  u32  magic "RFSG"
 *     4  u16  format
 *     6  u16  zero
 *     8  u32  size of the header, prefix included
 *    12  u32  zero
 *    16  u64  checksum of the header after the prefix, with the size as seed
 * Then the header: varints, the types, the directory of columns, the directory of chunks. Then the columns and
 * the chunks, in the order of their directories, nothing in between.
 */
#ifndef RF_LOG_SEGMENT_LAYOUT_H
#define RF_LOG_SEGMENT_LAYOUT_H

#include "base/checksum.h"
#include "log/segment.h"

enum {
    SEGMENT_FORMAT = 1,
    SEGMENT_PREFIX_SIZE = 24,
    SEGMENT_FIELD_BASE = 32,      /* directory kind of a field column: this + rf_field_kind */
    SEGMENT_COLUMN_METADATA = 1,  /* flags of a field column */
    SEGMENT_COLUMN_PRESENCE = 2,
    SEGMENT_CHUNK_COMPRESSED = 1, /* flags of a chunk */
    SEGMENT_CHUNK_RAW_MAX = RF_EVENT_SIZE_MAX + (1 << 20),
    SEGMENT_SIZE_MAX = 256 << 20,
};
#define SEGMENT_MAGIC 0x47534652u /* "RFSG" */

struct rf_segment_column {
    uint8_t kind; /* rf_envelope, or SEGMENT_FIELD_BASE + rf_field_kind */
    uint8_t flags;
    uint8_t scale;
    uint32_t type;
    uint32_t present_count; /* values in the column */
    rf_path path;
    const char *stored;
    size_t size;
    uint32_t checksum; /* of the stored bytes; 32 bits of rf_checksum */
};

struct rf_segment_chunk {
    uint32_t first; /* event */
    uint32_t count;
    uint32_t raw_size;
    uint8_t flags;
    const char *stored;
    size_t size;
    uint32_t checksum;
};

static inline uint32_t segment_checksum(rf_slice bytes)
{
    return (uint32_t)rf_checksum(bytes);
}

#endif
