/* Payload chunks of a segment: the original bytes of data and metadata; see rf_payload_reader in segment.h.
 *
 * A chunk begins with two varints per event (size of data; size of metadata + 1, or 0 for none), then the
 * bytes of all events one after another.
 */
#include "log/segment_layout.h"

#include <stdlib.h>

struct rf_payload_reader {
    rf_codec *codec;
    rf_buf raw;          /* the chunk, with padding behind */
    rf_buf places;       /* struct place per event of the chunk */
    rf_slice segment; /* of which segment, and which chunk; data NULL for none */
    uint64_t position;
    uint32_t chunk;
};

struct place {
    size_t data_at, data_size;
    size_t metadata_at, metadata_size;
    bool has_metadata;
};

rf_payload_reader *rf_payload_reader_new(void)
{
    rf_payload_reader *reader = calloc(1, sizeof *reader);

    if (!reader)
        return NULL;
    rf_buf_init(&reader->raw, SEGMENT_CHUNK_RAW_MAX + (4 << 20));
    rf_buf_init(&reader->places, RF_SEGMENT_EVENTS_MAX * sizeof(struct place));
    reader->codec = rf_codec_new();
    if (!reader->codec) {
        rf_payload_reader_free(reader);
        return NULL;
    }
    return reader;
}

void rf_payload_reader_free(rf_payload_reader *reader)
{
    if (!reader)
        return;
    rf_codec_free(reader->codec);
    rf_buf_free(&reader->raw);
    rf_buf_free(&reader->places);
    free(reader);
}

static rf_status damaged(const rf_segment *segment, rf_err *err)
{
    return rf_fail(err, RF_ERR_DAMAGED,
                   "the segment of partition %u from position %llu is damaged: its payloads",
                   segment->partition, (unsigned long long)segment->first_position);
}

static rf_status find_places(rf_payload_reader *reader, const rf_segment *segment, uint32_t count,
                             rf_err *err)
{
    rf_bytes_reader bytes = rf_bytes_reader_of(rf_buf_slice(&reader->raw));

    rf_buf_clear(&reader->places);
    struct place *places = (void *)rf_buf_reserve(&reader->places, count * sizeof *places);
    if (!places)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for payloads");
    for (uint32_t i = 0; i < count; i++) {
        places[i].data_size = (size_t)rf_read_varint(&bytes);
        places[i].metadata_size = (size_t)rf_read_varint(&bytes);
        places[i].has_metadata = places[i].metadata_size > 0;
        places[i].metadata_size -= places[i].has_metadata;
    }
    for (uint32_t i = 0; i < count; i++) {
        places[i].data_at = (size_t)(bytes.at - reader->raw.data);
        (void)rf_read_slice(&bytes, places[i].data_size);
        places[i].metadata_at = (size_t)(bytes.at - reader->raw.data);
        (void)rf_read_slice(&bytes, places[i].metadata_size);
    }
    if (bytes.failed || rf_bytes_left(&bytes) != 0)
        return damaged(segment, err);
    return RF_OK;
}

static rf_status load_chunk(rf_payload_reader *reader, const rf_segment *segment, uint32_t chunk_index,
                            uint64_t *bytes_decoded, rf_err *err)
{
    const struct rf_segment_chunk *chunk = &segment->chunks[chunk_index];
    rf_slice stored = {chunk->stored, chunk->size};

    reader->segment = (rf_slice){NULL, 0};
    if (segment_checksum(stored) != chunk->checksum)
        return damaged(segment, err);
    rf_buf_clear(&reader->raw);
    char *raw = rf_buf_reserve(&reader->raw, chunk->raw_size + (size_t)RF_JSON_PADDING);
    if (!raw)
        return rf_buf_check(&reader->raw, "a segment's payloads", err);
    rf_status status = RF_OK;
    if (chunk->flags & SEGMENT_CHUNK_COMPRESSED)
        status = rf_codec_decompress(reader->codec, stored, raw, chunk->raw_size, err);
    else
        memcpy(raw, stored.data, stored.size);
    if (status != RF_OK)
        return status;
    memset(raw + chunk->raw_size, 0, RF_JSON_PADDING);
    reader->raw.size = chunk->raw_size;
    status = find_places(reader, segment, chunk->count, err);
    if (status != RF_OK)
        return status;
    if (bytes_decoded)
        *bytes_decoded += stored.size;
    reader->segment = segment->bytes;
    reader->position = segment->first_position;
    reader->chunk = chunk_index;
    return RF_OK;
}

/* The last chunk that begins at or before the event. */
static uint32_t chunk_of(const rf_segment *segment, uint32_t index)
{
    uint32_t low = 0;
    uint32_t high = segment->chunk_count - 1;

    while (low < high) {
        uint32_t middle = (low + high + 1) / 2;
        if (segment->chunks[middle].first <= index)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

rf_status rf_payload_read(rf_payload_reader *reader, const rf_segment *segment, uint32_t index,
                          rf_slice *data_out, rf_slice *metadata_out, uint64_t *bytes_decoded,
                          rf_err *err)
{
    RF_ASSERT(index < segment->count);
    uint32_t chunk = chunk_of(segment, index);
    bool loaded = reader->segment.data == segment->bytes.data &&
                  reader->segment.size == segment->bytes.size &&
                  reader->position == segment->first_position && reader->chunk == chunk;
    if (!loaded) {
        rf_status status = load_chunk(reader, segment, chunk, bytes_decoded, err);
        if (status != RF_OK)
            return status;
    }
    const struct place *place =
        (const struct place *)(const void *)reader->places.data + (index - segment->chunks[chunk].first);
    *data_out = (rf_slice){reader->raw.data + place->data_at, place->data_size};
    *metadata_out = (rf_slice){NULL, 0};
    if (place->has_metadata)
        *metadata_out = (rf_slice){reader->raw.data + place->metadata_at, place->metadata_size};
    return RF_OK;
}
