/* Reading segments; see segment.h. Every bound is checked when the header is opened, every checksum when its
 * column is read, so that bytes from a damaged disk become errors and nothing else. */
#include "log/segment_layout.h"

#include <stdlib.h>

enum {
    TYPES_MAX = RF_SEGMENT_EVENTS_MAX,
    COLUMNS_MAX = 1 << 20,
};

static rf_status damaged(rf_err *err, const char *what)
{
    return rf_fail(err, RF_ERR_DAMAGED, "a segment is damaged: %s", what);
}

static rf_status check_prefix(rf_slice bytes, rf_slice *header_out, rf_err *err)
{
    if (bytes.size < SEGMENT_PREFIX_SIZE || bytes.size > SEGMENT_SIZE_MAX)
        return damaged(err, "its size");
    if (rf_load_u32(bytes.data) != SEGMENT_MAGIC)
        return damaged(err, "it does not begin like one");
    if (rf_load_u16(bytes.data + 4) != SEGMENT_FORMAT)
        return rf_fail(err, RF_ERR_FORMAT, "a segment of format %u; this refold reads %d",
                       rf_load_u16(bytes.data + 4), SEGMENT_FORMAT);
    uint32_t size = rf_load_u32(bytes.data + 8);
    if (size < SEGMENT_PREFIX_SIZE || size > bytes.size || rf_load_u16(bytes.data + 6) != 0 ||
        rf_load_u32(bytes.data + 12) != 0)
        return damaged(err, "its header");
    rf_slice header = {bytes.data + SEGMENT_PREFIX_SIZE, size - SEGMENT_PREFIX_SIZE};
    if (rf_checksum_seeded(header, size) != rf_load_u64(bytes.data + 16))
        return damaged(err, "the checksum of its header");
    *header_out = header;
    return RF_OK;
}

static rf_status read_types(rf_bytes_reader *reader, rf_arena *arena, rf_segment *segment, rf_err *err)
{
    uint64_t count = rf_read_varint(reader);
    uint64_t events = 0;

    if (reader->failed || count == 0 || count > TYPES_MAX || count > segment->count)
        return damaged(err, "its types");
    rf_segment_type *types = rf_arena_alloc(arena, (size_t)count * sizeof *types);
    if (!types)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment's types");
    for (size_t i = 0; i < count; i++) {
        uint64_t size = rf_read_varint(reader);
        if (size == 0 || size > RF_TYPE_SIZE_MAX)
            return damaged(err, "its types");
        types[i].name = rf_read_slice(reader, (size_t)size);
        types[i].count = (uint32_t)rf_read_varint(reader);
        types[i].capped = rf_read_byte(reader) != 0;
        if (types[i].count > segment->count)
            return damaged(err, "its types");
        events += types[i].count;
    }
    if (reader->failed || events != segment->count)
        return damaged(err, "its types");
    segment->types = types;
    segment->type_count = (uint32_t)count;
    return RF_OK;
}

static bool read_path(rf_bytes_reader *reader, rf_arena *arena, bool metadata, rf_path *path)
{
    unsigned depth = rf_read_byte(reader);

    if (depth == 0 || depth > RF_SEGMENT_DEPTH_MAX)
        return false;
    rf_slice *parts = rf_arena_alloc(arena, depth * sizeof *parts);
    if (!parts)
        return false;
    for (unsigned i = 0; i < depth; i++) {
        uint64_t size = rf_read_varint(reader);
        if (reader->failed || size > rf_bytes_left(reader))
            return false;
        parts[i] = rf_read_slice(reader, (size_t)size);
    }
    *path = (rf_path){.metadata = metadata, .part_count = (uint8_t)depth, .parts = parts};
    return true;
}

/* One entry of the directory; `*body` is where its bytes begin, and moves past them. */
static bool read_column(rf_bytes_reader *reader, rf_arena *arena, const rf_segment *segment,
                        rf_slice *body, struct rf_segment_column *column)
{
    *column = (struct rf_segment_column){.kind = rf_read_byte(reader),
                                         .present_count = segment->count};
    if (column->kind >= SEGMENT_FIELD_BASE) {
        unsigned kind = column->kind - (unsigned)SEGMENT_FIELD_BASE;
        if (kind < RF_FIELD_INT || kind > RF_FIELD_TEXT)
            return false;
        column->flags = rf_read_byte(reader);
        column->scale = rf_read_byte(reader);
        uint64_t type = rf_read_varint(reader);
        uint64_t values = rf_read_varint(reader);
        if (reader->failed || type >= segment->type_count || values == 0 || column->scale > 18 ||
            column->flags > (SEGMENT_COLUMN_METADATA | SEGMENT_COLUMN_PRESENCE))
            return false;
        column->type = (uint32_t)type;
        column->present_count = (uint32_t)values;
        bool presence = column->flags & SEGMENT_COLUMN_PRESENCE;
        uint32_t events = segment->types[type].count;
        if (presence ? values >= events : values != events)
            return false;
        if (!read_path(reader, arena, column->flags & SEGMENT_COLUMN_METADATA, &column->path))
            return false;
    } else if (column->kind >= RF_ENVELOPE_COUNT) {
        return false;
    }
    uint64_t size = rf_read_varint(reader);
    column->checksum = rf_read_u32(reader);
    if (reader->failed || size > body->size)
        return false;
    column->stored = body->data;
    column->size = (size_t)size;
    body->data += size;
    body->size -= (size_t)size;
    return true;
}

static rf_status read_columns(rf_bytes_reader *reader, rf_arena *arena, rf_segment *segment,
                              rf_slice *body, rf_err *err)
{
    uint64_t count = rf_read_varint(reader);

    if (reader->failed || count < RF_ENVELOPE_COUNT || count > COLUMNS_MAX ||
        count > rf_bytes_left(reader))
        return damaged(err, "its directory");
    struct rf_segment_column *columns = rf_arena_alloc(arena, (size_t)count * sizeof *columns);
    if (!columns)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment's directory");
    for (size_t i = 0; i < count; i++) {
        if (!read_column(reader, arena, segment, body, &columns[i]))
            return damaged(err, "its directory");
        if (i < RF_ENVELOPE_COUNT ? columns[i].kind != i : columns[i].kind < SEGMENT_FIELD_BASE)
            return damaged(err, "its directory");
    }
    segment->columns = columns;
    segment->column_count = (uint32_t)count;
    return RF_OK;
}

static rf_status read_chunks(rf_bytes_reader *reader, rf_arena *arena, rf_segment *segment,
                             rf_slice *body, rf_err *err)
{
    uint64_t count = rf_read_varint(reader);
    uint64_t first = 0;

    if (reader->failed || count == 0 || count > segment->count)
        return damaged(err, "its chunks");
    struct rf_segment_chunk *chunks = rf_arena_alloc(arena, (size_t)count * sizeof *chunks);
    if (!chunks)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment's chunks");
    for (size_t i = 0; i < count; i++) {
        uint64_t events = rf_read_varint(reader);
        uint8_t flags = rf_read_byte(reader);
        uint64_t raw_size = rf_read_varint(reader);
        uint64_t size = rf_read_varint(reader);
        uint32_t checksum = rf_read_u32(reader);
        if (reader->failed || events == 0 || events > segment->count - first ||
            flags > SEGMENT_CHUNK_COMPRESSED || raw_size > SEGMENT_CHUNK_RAW_MAX + (1 << 20) ||
            size > body->size || (flags == 0 && size != raw_size))
            return damaged(err, "its chunks");
        chunks[i] = (struct rf_segment_chunk){
            .first = (uint32_t)first,
            .count = (uint32_t)events,
            .raw_size = (uint32_t)raw_size,
            .flags = flags,
            .stored = body->data,
            .size = (size_t)size,
            .checksum = checksum,
        };
        first += events;
        body->data += size;
        body->size -= (size_t)size;
    }
    if (first != segment->count || rf_bytes_left(reader) != 0 || body->size != 0)
        return damaged(err, "its chunks");
    segment->chunks = chunks;
    segment->chunk_count = (uint32_t)count;
    return RF_OK;
}

static rf_status read_counts(rf_bytes_reader *reader, rf_segment *segment, rf_err *err)
{
    uint64_t partition = rf_read_varint(reader);
    uint64_t count = rf_read_varint(reader);
    uint64_t first = rf_read_varint(reader);
    uint64_t span = rf_read_varint(reader);

    segment->time_min = rf_unzigzag(rf_read_varint(reader));
    segment->time_max = rf_unzigzag(rf_read_varint(reader));
    uint64_t stream_min = rf_read_varint(reader);
    uint64_t stream_max = rf_read_varint(reader);
    segment->raw_bytes = rf_read_varint(reader);
    if (reader->failed || partition > UINT16_MAX || count == 0 || count > RF_SEGMENT_EVENTS_MAX ||
        first == 0 || first > INT64_MAX || span > INT64_MAX - first || span < count - 1 ||
        stream_min > stream_max || stream_max > UINT32_MAX ||
        segment->time_min > segment->time_max)
        return damaged(err, "its counts");
    segment->partition = (uint32_t)partition;
    segment->count = (uint32_t)count;
    segment->first_position = first;
    segment->last_position = first + span;
    segment->stream_min = (uint32_t)stream_min;
    segment->stream_max = (uint32_t)stream_max;
    return RF_OK;
}

rf_status rf_segment_open(rf_slice bytes, rf_arena *arena, rf_segment *segment_out, rf_err *err)
{
    rf_segment segment = {.bytes = bytes};
    rf_slice header = {NULL, 0};

    rf_status status = check_prefix(bytes, &header, err);
    if (status != RF_OK)
        return status;
    size_t header_size = SEGMENT_PREFIX_SIZE + header.size;
    rf_slice body = {bytes.data + header_size, bytes.size - header_size};
    rf_bytes_reader reader = rf_bytes_reader_of(header);
    status = read_counts(&reader, &segment, err);
    if (status == RF_OK)
        status = read_types(&reader, arena, &segment, err);
    if (status == RF_OK)
        status = read_columns(&reader, arena, &segment, &body, err);
    if (status == RF_OK)
        status = read_chunks(&reader, arena, &segment, &body, err);
    if (status == RF_OK)
        *segment_out = segment;
    return status;
}

static rf_status damaged_column(const rf_segment *segment, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED,
                   "the segment of partition %u from position %llu is damaged: the checksum of a "
                   "column",
                   segment->partition, (unsigned long long)segment->first_position);
}

static rf_status stored_of(const rf_segment *segment, const struct rf_segment_column *column,
                           rf_slice *stored_out, uint64_t *bytes_decoded, rf_err *err)
{
    rf_slice stored = {column->stored, column->size};

    if (segment_checksum(stored) != column->checksum)
        return damaged_column(segment, err);
    if (bytes_decoded)
        *bytes_decoded += stored.size;
    *stored_out = stored;
    return RF_OK;
}

rf_status rf_segment_envelope(const rf_segment *segment, rf_envelope column, int64_t *values_out,
                              uint64_t *bytes_decoded, rf_err *err)
{
    rf_slice stored;

    RF_ASSERT(column < RF_ENVELOPE_COUNT);
    rf_status status = stored_of(segment, &segment->columns[column], &stored, bytes_decoded, err);
    if (status == RF_OK)
        status = rf_int_column_decode(stored, segment->count, values_out, err);
    if (status != RF_OK || column != RF_ENVELOPE_TYPE)
        return status;
    for (uint32_t i = 0; i < segment->count; i++)
        if ((uint64_t)values_out[i] >= segment->type_count)
            return damaged_column(segment, err);
    return RF_OK;
}

static bool same_path(const rf_path *a, const rf_path *b)
{
    if (a->metadata != b->metadata || a->part_count != b->part_count)
        return false;
    for (unsigned i = 0; i < a->part_count; i++)
        if (!rf_slice_equal(a->parts[i], b->parts[i]))
            return false;
    return true;
}

static rf_status decode_field(const rf_segment *segment, const struct rf_segment_column *column,
                              rf_codec *codec, rf_arena *arena, rf_field_column *out,
                              uint64_t *bytes_decoded, rf_err *err)
{
    rf_slice stored;
    rf_field_column field = {
        .kind = (rf_field_kind)(column->kind - SEGMENT_FIELD_BASE),
        .scale = column->scale,
        .present_count = column->present_count,
    };

    rf_status status = stored_of(segment, column, &stored, bytes_decoded, err);
    if (status != RF_OK)
        return status;
    if (column->flags & SEGMENT_COLUMN_PRESENCE) {
        size_t events = segment->types[column->type].count;
        size_t size = (events + 7) / 8;
        uint32_t present = 0;
        if (stored.size < size)
            return damaged_column(segment, err);
        uint8_t *bits = rf_arena_alloc(arena, size);
        if (!bits)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for a column");
        memcpy(bits, stored.data, size);
        for (size_t i = 0; i < events; i++)
            present += rf_bitmap_get(bits, i);
        if (present != column->present_count)
            return damaged_column(segment, err);
        field.present = bits;
        stored.data += size;
        stored.size -= size;
    }
    if (field.kind == RF_FIELD_TEXT || field.kind == RF_FIELD_NUMBER) {
        status = rf_text_column_decode(stored, column->present_count, codec, arena, &field.text, err);
    } else {
        int64_t *ints = rf_arena_alloc(arena, column->present_count * sizeof *ints);
        if (!ints)
            return rf_fail(err, RF_ERR_MEMORY, "out of memory for a column");
        status = rf_int_column_decode(stored, column->present_count, ints, err);
        field.ints = ints;
    }
    if (status == RF_OK)
        *out = field;
    return status;
}

rf_status rf_segment_field(const rf_segment *segment, uint32_t type, const rf_path *path,
                           rf_codec *codec, rf_arena *arena, rf_field_column columns_out[5],
                           uint32_t *column_count_out, bool *capped_out, uint64_t *bytes_decoded,
                           rf_err *err)
{
    uint32_t count = 0;

    RF_ASSERT(type < segment->type_count);
    for (uint32_t i = RF_ENVELOPE_COUNT; i < segment->column_count; i++) {
        const struct rf_segment_column *column = &segment->columns[i];
        if (column->type != type || !same_path(&column->path, path))
            continue;
        if (count == 5)
            return damaged(err, "a path has too many columns");
        rf_status status = decode_field(segment, column, codec, arena, &columns_out[count],
                                        bytes_decoded, err);
        if (status != RF_OK)
            return status;
        count++;
    }
    *column_count_out = count;
    *capped_out = segment->types[type].capped;
    return RF_OK;
}

rf_status rf_segment_fields(const rf_segment *segment, rf_arena *arena, rf_field_info **infos_out,
                            uint32_t *count_out, rf_err *err)
{
    uint32_t count = segment->column_count - RF_ENVELOPE_COUNT;

    rf_field_info *infos = rf_arena_alloc(arena, count * sizeof *infos);
    if (!infos)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a segment's fields");
    for (uint32_t i = 0; i < count; i++) {
        const struct rf_segment_column *column = &segment->columns[RF_ENVELOPE_COUNT + i];
        infos[i] = (rf_field_info){
            .type = column->type,
            .kind = (rf_field_kind)(column->kind - SEGMENT_FIELD_BASE),
            .path = column->path,
            .count = column->present_count,
        };
    }
    *infos_out = infos;
    *count_out = count;
    return RF_OK;
}

static rf_status verify_envelope(const rf_segment *segment, int64_t *values, rf_err *err)
{
    for (int i = 0; i < RF_ENVELOPE_COUNT; i++) {
        rf_status status = rf_segment_envelope(segment, (rf_envelope)i, values, NULL, err);
        if (status != RF_OK)
            return status;
        if (i != RF_ENVELOPE_POSITION)
            continue;
        for (uint32_t at = 1; at < segment->count; at++)
            if (values[at] <= values[at - 1])
                return damaged(err, "its positions do not rise");
        if ((uint64_t)values[0] != segment->first_position ||
            (uint64_t)values[segment->count - 1] != segment->last_position)
            return damaged(err, "its positions are not those of the header");
    }
    return RF_OK;
}

static rf_status verify_fields(const rf_segment *segment, rf_codec *codec, rf_arena *arena,
                               rf_err *err)
{
    for (uint32_t i = RF_ENVELOPE_COUNT; i < segment->column_count; i++) {
        rf_field_column field;
        rf_arena_reset(arena);
        rf_status status =
            decode_field(segment, &segment->columns[i], codec, arena, &field, NULL, err);
        if (status != RF_OK)
            return status;
    }
    return RF_OK;
}

static rf_status verify_payloads(const rf_segment *segment, rf_payload_reader *payloads, rf_err *err)
{
    uint64_t raw_bytes = 0;

    for (uint32_t i = 0; i < segment->count; i++) {
        rf_slice data;
        rf_slice metadata;
        rf_status status = rf_payload_read(payloads, segment, i, &data, &metadata, NULL, err);
        if (status != RF_OK)
            return status;
        raw_bytes += data.size + metadata.size;
    }
    return raw_bytes == segment->raw_bytes ? RF_OK : damaged(err, "the size of its payloads");
}

rf_status rf_segment_verify(const rf_segment *segment, rf_err *err)
{
    rf_arena arena;

    rf_arena_init(&arena, (size_t)512 << 20);
    rf_codec *codec = rf_codec_new();
    rf_payload_reader *payloads = rf_payload_reader_new();
    int64_t *values = malloc(segment->count * sizeof *values);
    rf_status status = RF_OK;
    if (!codec || !payloads || !values)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for verifying a segment");
    if (status == RF_OK)
        status = verify_envelope(segment, values, err);
    if (status == RF_OK)
        status = verify_fields(segment, codec, &arena, err);
    if (status == RF_OK)
        status = verify_payloads(segment, payloads, err);
    free(values);
    rf_payload_reader_free(payloads);
    rf_codec_free(codec);
    rf_arena_free(&arena);
    return status;
}
