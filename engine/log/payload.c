/* Payloads: the original bytes of data and metadata, by chunks. See segment.h.
 *
 * A reader knows a segment by its header's checksum, which covers the checksums of all chunks: it
 * computes the places of all payloads once for a segment, and decompresses a chunk once as long as
 * the events that are asked for stay in it. Events without shape lie in a chunk as they came; the
 * others are put together by payload_shape.c. */
#include "log/payload_shape.h"

#include "base/checksum.h"
#include "event/json.h"

#include <stdlib.h>

/* Where an event's bytes are. */
typedef struct place {
    uint32_t offset;  /* in its chunk */
    uint32_t size_at; /* the first of its sizes */
    uint16_t type;
    uint16_t ordinal; /* within the type */
    rf_shape_view *shape; /* NULL: none */
} place;

struct rf_payload_reader {
    rf_codec *codec;
    bool has_segment;
    bool has_chunk;
    uint64_t segment; /* identity of the one whose places these are */
    uint32_t chunk;   /* the one that `raw` holds */
    char *raw;
    size_t raw_capacity;
    rf_buf written; /* the last event that has a shape */
    rf_shapes shapes;
    rf_arena arena; /* what follows */
    place *places;
    int64_t *sizes;
    int64_t *metadata_sizes; /* of events without shape */
};

enum { EVENT_BYTES_MAX = 2 * RF_SEGMENT_CHUNK_RAW_MAX, PLACES_ARENA_MAX = 256 << 20 };

rf_payload_reader *rf_payload_reader_new(void)
{
    rf_payload_reader *reader = calloc(1, sizeof(rf_payload_reader));

    if (!reader)
        return NULL;
    rf_buf_init(&reader->written, EVENT_BYTES_MAX);
    rf_arena_init(&reader->arena, PLACES_ARENA_MAX);
    rf_shapes_init(&reader->shapes);
    return reader;
}

void rf_payload_reader_free(rf_payload_reader *reader)
{
    if (!reader)
        return;
    rf_codec_free(reader->codec);
    free(reader->raw);
    rf_buf_free(&reader->written);
    rf_arena_free(&reader->arena);
    rf_shapes_free(&reader->shapes);
    free(reader);
}

static rf_status damaged(const rf_segment *segment, const char *what, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED, "segment of partition %u at position %llu: %s",
                   segment->partition, (unsigned long long)segment->first_position, what);
}

static rf_status no_memory(rf_err *err)
{
    return rf_fail(err, RF_ERR_MEMORY, "reading payloads: out of memory");
}

/* Type, place within the type and shape of each event; how many sizes they have. */
static rf_status load_shapes(rf_payload_reader *reader, const rf_segment *segment,
                             uint32_t *size_count_out, uint32_t *metadata_count_out,
                             uint64_t *bytes_decoded, rf_err *err)
{
    int64_t *values = rf_arena_alloc(&reader->arena, segment->count * sizeof *values);
    uint32_t *counts = rf_arena_alloc(&reader->arena, segment->type_count * sizeof *counts);
    uint64_t size_count = 0;
    uint32_t metadata_count = 0;

    if (!values || !counts)
        return no_memory(err);
    memset(counts, 0, segment->type_count * sizeof *counts);
    rf_status status =
        rf_segment_per_event(segment, RF_ENVELOPE_TYPE, values, bytes_decoded, err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; i < segment->count; i++)
        reader->places[i] = (place){.type = (uint16_t)values[i],
                                    .ordinal = (uint16_t)counts[values[i]]++};
    status = rf_shapes_open(&reader->shapes, segment, bytes_decoded, err);
    if (status == RF_OK)
        status = rf_segment_per_event(segment, RF_SEGMENT_SHAPE, values, bytes_decoded, err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; i < segment->count; i++) {
        place *at = &reader->places[i];
        at->shape = rf_shapes_find(&reader->shapes, at->type, values[i]);
        if (!at->shape && values[i] != 0)
            return damaged(segment, "an event has a shape that its type lacks", err);
        at->size_at = (uint32_t)size_count;
        size_count += at->shape ? at->shape->rest_count : 1;
        metadata_count += !at->shape;
    }
    if (size_count > UINT32_MAX / 16)
        return damaged(segment, "its payloads have more parts than can be", err);
    *size_count_out = (uint32_t)size_count;
    *metadata_count_out = metadata_count;
    return RF_OK;
}

/* Offsets in the chunks. */
static rf_status load_offsets(rf_payload_reader *reader, const rf_segment *segment, rf_err *err)
{
    const int64_t *metadata = reader->metadata_sizes;

    for (uint32_t i = 0; i < segment->chunk_count; i++) {
        const rf_segment_chunk *chunk = &segment->chunks[i];
        uint64_t at = 0;
        for (uint32_t event = chunk->begin; event < chunk->end; event++) {
            place *it = &reader->places[event];
            const int64_t *sizes = &reader->sizes[it->size_at];
            it->offset = (uint32_t)at;
            for (uint32_t k = 0; it->shape && k < it->shape->rest_count; k++)
                at += (uint64_t)sizes[k];
            if (!it->shape)
                at += (uint64_t)sizes[0] + (uint64_t)*metadata++;
            if ((!it->shape && sizes[0] == 0) || at > chunk->raw_size)
                return damaged(segment, "the sizes of its payloads are not right", err);
        }
        if (at != chunk->raw_size)
            return damaged(segment, "the sizes of its payloads are not right", err);
    }
    return RF_OK;
}

static rf_status load_places(rf_payload_reader *reader, const rf_segment *segment,
                             uint64_t *bytes_decoded, rf_err *err)
{
    uint32_t size_count = 0, metadata_count = 0;

    reader->has_segment = false;
    reader->has_chunk = false;
    rf_arena_rewind(&reader->arena);
    reader->places = rf_arena_alloc(&reader->arena, segment->count * sizeof *reader->places);
    if (!reader->places)
        return no_memory(err);
    rf_status status =
        load_shapes(reader, segment, &size_count, &metadata_count, bytes_decoded, err);
    if (status != RF_OK)
        return status;
    reader->sizes = rf_arena_alloc(&reader->arena, size_count * sizeof *reader->sizes);
    reader->metadata_sizes =
        rf_arena_alloc(&reader->arena, metadata_count * sizeof *reader->metadata_sizes);
    if (!reader->sizes || !reader->metadata_sizes)
        return no_memory(err);
    status = rf_segment_sizes(segment, RF_SEGMENT_SIZES, size_count, reader->sizes, bytes_decoded,
                              err);
    if (status == RF_OK)
        status = rf_segment_sizes(segment, RF_SEGMENT_METADATA_SIZES, metadata_count,
                                  reader->metadata_sizes, bytes_decoded, err);
    if (status == RF_OK)
        status = load_offsets(reader, segment, err);
    if (status != RF_OK)
        return status;
    reader->segment = rf_segment_identity(segment);
    reader->has_segment = true;
    return RF_OK;
}

static bool codec_make(rf_payload_reader *reader)
{
    if (!reader->codec)
        reader->codec = rf_codec_new();
    return reader->codec != NULL;
}

static rf_status load_chunk(rf_payload_reader *reader, const rf_segment *segment, uint32_t index,
                            uint64_t *bytes_decoded, rf_err *err)
{
    const rf_segment_chunk *chunk = &segment->chunks[index];
    size_t room = (size_t)chunk->raw_size + RF_JSON_PADDING;

    reader->has_chunk = false;
    if ((uint32_t)rf_checksum(chunk->stored) != chunk->checksum)
        return damaged(segment, "a chunk of payloads does not match its checksum", err);
    if (room > reader->raw_capacity) {
        free(reader->raw);
        reader->raw = malloc(room);
        reader->raw_capacity = reader->raw ? room : 0;
        if (!reader->raw)
            return no_memory(err);
    }
    if (chunk->stored.size == chunk->raw_size) {
        if (chunk->raw_size > 0)
            memcpy(reader->raw, chunk->stored.data, chunk->raw_size);
    } else {
        if (!codec_make(reader))
            return no_memory(err);
        rf_status status =
            rf_codec_decompress(reader->codec, chunk->stored, reader->raw, chunk->raw_size, err);
        if (status != RF_OK)
            return rf_err_context(err, "segment of partition %u at position %llu",
                                  segment->partition, (unsigned long long)segment->first_position);
        if ((uint32_t)rf_checksum((rf_slice){reader->raw, chunk->raw_size}) != chunk->raw_checksum)
            return damaged(segment, "payloads do not match their checksum", err);
    }
    memset(reader->raw + chunk->raw_size, 0, RF_JSON_PADDING);
    if (bytes_decoded)
        *bytes_decoded += chunk->stored.size;
    reader->chunk = index;
    reader->has_chunk = true;
    return RF_OK;
}

/* The chunk of an event; chunks cover all events, in order. */
static uint32_t chunk_of(const rf_segment *segment, uint32_t event)
{
    uint32_t low = 0;
    uint32_t high = segment->chunk_count - 1;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (event < segment->chunks[middle].end)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* An event that has a shape. */
static rf_status read_shaped(rf_payload_reader *reader, const rf_segment *segment,
                             const place *at, rf_slice *data_out, rf_slice *metadata_out,
                             uint64_t *bytes_decoded, rf_err *err)
{
    rf_shaped event = {
        .view = at->shape,
        .type = at->type,
        .ordinal = at->ordinal,
        .rest = at->shape->rest_count > 0 ? reader->raw + at->offset : NULL,
        .rest_sizes = &reader->sizes[at->size_at],
    };
    size_t data_size = 0;

    if (!codec_make(reader))
        return no_memory(err);
    rf_buf_clear(&reader->written);
    rf_status status = rf_shapes_write(&reader->shapes, segment, &event, reader->codec,
                                       &reader->written, &data_size, bytes_decoded, err);
    if (status != RF_OK)
        return status;
    size_t size = reader->written.size;
    char *padding = rf_buf_reserve(&reader->written, RF_JSON_PADDING);
    if (!padding)
        return no_memory(err);
    memset(padding, 0, RF_JSON_PADDING);
    *data_out = (rf_slice){reader->written.data, data_size};
    *metadata_out = size > data_size
                        ? (rf_slice){reader->written.data + data_size, size - data_size}
                        : (rf_slice){0};
    return RF_OK;
}

/* What of the event is in its chunk as it came. */
static void read_raw(const rf_payload_reader *reader, const rf_segment *segment, uint32_t index,
                     rf_slice *data_out, rf_slice *metadata_out)
{
    const place *at = &reader->places[index];
    const char *data = reader->raw + at->offset;
    size_t data_size = (size_t)reader->sizes[at->size_at];
    uint32_t end = index + 1 < segment->chunks[reader->chunk].end
                       ? reader->places[index + 1].offset
                       : segment->chunks[reader->chunk].raw_size;
    size_t metadata_size = end - at->offset - data_size;

    *data_out = (rf_slice){data, data_size};
    *metadata_out = metadata_size ? (rf_slice){data + data_size, metadata_size} : (rf_slice){0};
}

rf_status rf_payload_read(rf_payload_reader *reader, const rf_segment *segment, uint32_t index,
                          rf_slice *data_out, rf_slice *metadata_out, uint64_t *bytes_decoded,
                          rf_err *err)
{
    rf_status status = RF_OK;

    RF_ASSERT(index < segment->count && segment->chunk_count > 0);
    if (!reader->has_segment || reader->segment != rf_segment_identity(segment))
        status = load_places(reader, segment, bytes_decoded, err);
    if (status != RF_OK)
        return status;
    const place *at = &reader->places[index];
    uint32_t chunk = chunk_of(segment, index);
    if ((!at->shape || at->shape->rest_count > 0) &&
        (!reader->has_chunk || reader->chunk != chunk))
        status = load_chunk(reader, segment, chunk, bytes_decoded, err);
    if (status != RF_OK)
        return status;
    if (at->shape)
        return read_shaped(reader, segment, at, data_out, metadata_out, bytes_decoded, err);
    read_raw(reader, segment, index, data_out, metadata_out);
    return RF_OK;
}

rf_status rf_payload_same(rf_payload_reader *reader, const rf_segment *segment, uint32_t index,
                          const rf_event *event, bool *same_out, rf_err *err)
{
    rf_status status = RF_OK;
    rf_same same = RF_SAME_UNKNOWN;
    rf_slice data, metadata;

    RF_ASSERT(index < segment->count);
    if (!reader->has_segment || reader->segment != rf_segment_identity(segment))
        status = load_places(reader, segment, NULL, err);
    if (status != RF_OK)
        return status;
    const place *at = &reader->places[index];
    if (event->shape && at->shape && at->shape->rest_count == 0) {
        rf_shaped shaped = {.view = at->shape, .type = at->type, .ordinal = at->ordinal};
        if (!codec_make(reader))
            return no_memory(err);
        status = rf_shapes_same(&reader->shapes, segment, &shaped, event, reader->codec, &same, err);
    }
    if (status == RF_OK && same == RF_SAME_UNKNOWN) {
        status = rf_payload_read(reader, segment, index, &data, &metadata, NULL, err);
        if (status == RF_OK)
            same = rf_slice_equal(data, event->data) &&
                           (metadata.data != NULL) == (event->metadata.data != NULL) &&
                           rf_slice_equal(metadata, event->metadata)
                       ? RF_SAME_YES
                       : RF_SAME_NO;
    }
    if (status == RF_OK)
        *same_out = same == RF_SAME_YES;
    return status;
}
