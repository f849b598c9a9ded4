/* Payloads: the original bytes of data and metadata, by chunks. See segment.h.
 *
 * A reader knows a segment by its header's checksum, which covers the checksums of all chunks: it
 * computes the offsets of all payloads once for a segment, and decompresses a chunk once as long as
 * the events that are asked for stay in it. */
#include "log/segment_format.h"

#include "base/checksum.h"
#include "event/json.h"

#include <stdlib.h>

struct rf_payload_reader {
    rf_codec *codec;
    bool has_segment;
    bool has_chunk;
    uint64_t segment; /* identity of the one whose offsets these are */
    uint32_t chunk;   /* the one that `raw` holds */
    char *raw;
    size_t raw_capacity;
    uint32_t event_capacity;
    uint32_t *offsets; /* of data, in its chunk */
    int64_t *data_sizes;
    int64_t *metadata_sizes;
};

rf_payload_reader *rf_payload_reader_new(void)
{
    return calloc(1, sizeof(rf_payload_reader));
}

void rf_payload_reader_free(rf_payload_reader *reader)
{
    if (!reader)
        return;
    rf_codec_free(reader->codec);
    free(reader->raw);
    free(reader->offsets);
    free(reader->data_sizes);
    free(reader->metadata_sizes);
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

static bool grow_events(rf_payload_reader *reader, uint32_t count)
{
    if (count <= reader->event_capacity)
        return true;
    free(reader->offsets);
    free(reader->data_sizes);
    free(reader->metadata_sizes);
    reader->event_capacity = 0;
    reader->offsets = malloc(count * sizeof *reader->offsets);
    reader->data_sizes = malloc(count * sizeof *reader->data_sizes);
    reader->metadata_sizes = malloc(count * sizeof *reader->metadata_sizes);
    if (!reader->offsets || !reader->data_sizes || !reader->metadata_sizes)
        return false;
    reader->event_capacity = count;
    return true;
}

static rf_status load_offsets(rf_payload_reader *reader, const rf_segment *segment,
                              uint64_t *bytes_decoded, rf_err *err)
{
    reader->has_segment = false;
    reader->has_chunk = false;
    if (!grow_events(reader, segment->count))
        return no_memory(err);
    rf_status status =
        rf_segment_per_event(segment, RF_SEGMENT_DATA_SIZE, reader->data_sizes, bytes_decoded, err);
    if (status == RF_OK)
        status = rf_segment_per_event(segment, RF_SEGMENT_METADATA_SIZE, reader->metadata_sizes,
                                      bytes_decoded, err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; i < segment->chunk_count; i++) {
        const rf_segment_chunk *chunk = &segment->chunks[i];
        uint64_t at = 0;
        for (uint32_t event = chunk->begin; event < chunk->end; event++) {
            reader->offsets[event] = (uint32_t)at;
            at += (uint64_t)reader->data_sizes[event] + (uint64_t)reader->metadata_sizes[event];
            if (reader->data_sizes[event] == 0 || at > chunk->raw_size)
                return damaged(segment, "the sizes of its payloads are not right", err);
        }
        if (at != chunk->raw_size)
            return damaged(segment, "the sizes of its payloads are not right", err);
    }
    reader->segment = rf_segment_identity(segment);
    reader->has_segment = true;
    return RF_OK;
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
        memcpy(reader->raw, chunk->stored.data, chunk->raw_size);
    } else {
        if (!reader->codec)
            reader->codec = rf_codec_new();
        if (!reader->codec)
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

rf_status rf_payload_read(rf_payload_reader *reader, const rf_segment *segment, uint32_t index,
                          rf_slice *data_out, rf_slice *metadata_out, uint64_t *bytes_decoded,
                          rf_err *err)
{
    rf_status status = RF_OK;

    RF_ASSERT(index < segment->count && segment->chunk_count > 0);
    if (!reader->has_segment || reader->segment != rf_segment_identity(segment))
        status = load_offsets(reader, segment, bytes_decoded, err);
    if (status != RF_OK)
        return status;
    uint32_t chunk = chunk_of(segment, index);
    if (!reader->has_chunk || reader->chunk != chunk)
        status = load_chunk(reader, segment, chunk, bytes_decoded, err);
    if (status != RF_OK)
        return status;
    const char *data = reader->raw + reader->offsets[index];
    size_t data_size = (size_t)reader->data_sizes[index];
    size_t metadata_size = (size_t)reader->metadata_sizes[index];
    *data_out = (rf_slice){data, data_size};
    *metadata_out = metadata_size ? (rf_slice){data + data_size, metadata_size} : (rf_slice){0};
    return RF_OK;
}
