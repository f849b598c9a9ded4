/* Fuzz target of segments: any bytes give a segment whose readers stay inside of it, or one error.
 *
 * The first byte chooses between the rest as it is and edits of three bytes each (place, what to
 * xor) to one of two valid segments, small and compressed. Size and checksum of the header are put
 * right, and so are the checksums in the opened directory, so that decoders are reached that the
 * checksums guard.
 */
#include "log/segment_format.h"

#include "base/checksum.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_event(rf_segment_builder *builder, rf_json_parser *parser, int i)
{
    char data[300] = {0};
    char metadata[100] = {0};
    const rf_json_node *nodes;
    const rf_json_node *metadata_nodes;
    uint32_t count, metadata_count;
    rf_err err;

    (void)snprintf(data, sizeof data - RF_JSON_PADDING,
                   "{\"sku\":\"s%d\",\"qty\":%d,\"price\":%d.%d,\"gift\":%s,\"big\":%de30,\"to\":{"
                   "\"city\":\"a city with a long name %d\"},\"tags\":[%d]}",
                   i % 5, i * i, i, i % 10, i % 3 ? "true" : "null", i, i, i);
    (void)snprintf(metadata, sizeof metadata - RF_JSON_PADDING, "{\"user\":%d}", i % 2);
    rf_slice data_slice = rf_slice_of(data), metadata_slice = rf_slice_of(metadata);
    RF_ASSERT(rf_json_parse(parser, data_slice, &nodes, &count, &err) == RF_OK);
    RF_ASSERT(rf_json_parse(parser, metadata_slice, &metadata_nodes, &metadata_count, &err) ==
              RF_OK);
    rf_event event = {.stream = RF_SLICE("s-1"),
                      .type = i % 4 ? RF_SLICE("Item") : RF_SLICE("Placed"),
                      .schema = 1,
                      .time = i % 7 == 3 ? RF_TIME_NONE : 1700000000000000 + i,
                      .data = data_slice,
                      .data_nodes = nodes,
                      .data_node_count = count};
    if (i % 2) {
        event.metadata = metadata_slice;
        event.metadata_nodes = metadata_nodes;
        event.metadata_node_count = metadata_count;
    }
    rf_placement placement = {.position = (uint64_t)i * 2 + 1,
                              .stream_number = (uint32_t)(i * 7 % 20),
                              .version = i,
                              .fingerprint = rf_event_fingerprint(&event)};
    RF_ASSERT(rf_segment_builder_add(builder, &event, &placement, &err) == RF_OK);
    rf_json_parser_reset(parser);
}

/* A valid segment of so many events; kept for the whole run. */
static rf_slice valid_segment(int events)
{
    rf_segment_builder *builder = rf_segment_builder_new(3);
    rf_json_parser *parser = rf_json_parser_new();
    static rf_buf bufs[2];
    rf_buf *buf = &bufs[events > 20];
    rf_err err;

    if (!buf->data) {
        rf_buf_init(buf, 1 << 24);
        for (int i = 0; i < events; i++)
            add_event(builder, parser, i);
        RF_ASSERT(rf_segment_builder_finish(builder, buf, &err) == RF_OK);
    }
    rf_segment_builder_free(builder);
    rf_json_parser_free(parser);
    return rf_buf_slice(buf);
}

/* The directory as if the bytes were those that were written. */
static void fix_checksums(rf_segment *segment)
{
    rf_segment_column *columns;
    rf_segment_chunk *chunks;

    memcpy(&columns, &segment->columns, sizeof columns); /* they lie in our arena */
    memcpy(&chunks, &segment->chunks, sizeof chunks);
    for (uint32_t i = 0; i < segment->column_count; i++)
        columns[i].checksum = (uint32_t)rf_checksum(columns[i].stored);
    segment->shapes_checksum = (uint32_t)rf_checksum(segment->shapes);
    for (uint32_t i = 0; i < segment->chunk_count; i++) {
        chunks[i].checksum = (uint32_t)rf_checksum(chunks[i].stored);
        if (chunks[i].stored.size == chunks[i].raw_size)
            chunks[i].raw_checksum = chunks[i].checksum;
    }
}

/* Touches every byte, for the sanitizer. */
static uint64_t touched;
static void touch(rf_slice slice)
{
    touched += rf_checksum(slice);
}

static void touch_field(const rf_field_column *column, uint32_t type_count)
{
    if (column->present) {
        uint32_t ones = 0;
        for (uint32_t i = 0; i < type_count; i++)
            ones += rf_bitmap_get(column->present, i);
        RF_ASSERT(ones == column->present_count);
    } else {
        RF_ASSERT(column->present_count == type_count);
    }
    for (uint32_t i = 0; i < column->present_count; i++) {
        if (column->kind == RF_FIELD_TEXT || column->kind == RF_FIELD_NUMBER)
            touch(rf_text_column_at(&column->text, i));
        else
            touched += (uint64_t)column->ints[i];
    }
}

static void read_fields(const rf_segment *segment, rf_arena *arena)
{
    rf_field_info *infos;
    uint32_t count;
    rf_err err;
    rf_codec *codec = rf_codec_new();

    if (rf_segment_fields(segment, arena, &infos, &count, &err) != RF_OK)
        count = 0;
    for (uint32_t i = 0; i < count && i < 64; i++) {
        rf_field_column columns[5];
        uint32_t column_count;
        bool capped;
        if (rf_segment_field(segment, infos[i].type, &infos[i].path, codec, arena, arena, columns,
                             &column_count, &capped, NULL, &err) != RF_OK)
            continue;
        for (uint32_t c = 0; c < column_count; c++)
            touch_field(&columns[c], segment->types[infos[i].type].count);
    }
    rf_codec_free(codec);
}

static void read_all(const rf_segment *segment, rf_arena *arena)
{
    int64_t *values = malloc(segment->count * sizeof *values);
    rf_payload_reader *payloads = rf_payload_reader_new();
    rf_err err;

    for (unsigned i = 0; i < RF_ENVELOPE_COUNT; i++) {
        if (rf_segment_envelope(segment, (rf_envelope)i, values, NULL, &err) != RF_OK)
            continue;
        for (uint32_t at = 0; at < segment->count && i == RF_ENVELOPE_TYPE; at++)
            RF_ASSERT((uint64_t)values[at] < segment->type_count);
    }
    read_fields(segment, arena);
    for (uint32_t i = 0; i < segment->count; i++) {
        rf_slice data, metadata;
        if (rf_payload_read(payloads, segment, i, &data, &metadata, NULL, &err) != RF_OK)
            break;
        touch((rf_slice){data.data, data.size + RF_JSON_PADDING});
        if (metadata.data)
            touch((rf_slice){metadata.data, metadata.size + RF_JSON_PADDING});
    }
    (void)rf_segment_verify(segment, &err);
    rf_payload_reader_free(payloads);
    free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rf_segment segment;
    rf_arena arena;
    rf_err err;

    if (size < 1)
        return 0;
    unsigned mode = data[0] % 3;
    rf_slice base = mode == 0   ? (rf_slice){(const char *)data + 1, size - 1}
                    : mode == 1 ? valid_segment(9)
                                : valid_segment(90);
    char *bytes = malloc(base.size + 1); /* exact but for one byte, so that overruns show */
    memcpy(bytes, base.data, base.size);
    for (size_t at = 1; mode != 0 && at + 3 <= size; at += 3)
        bytes[rf_load_u16(data + at) % base.size] ^= (char)data[at + 2];
    if (base.size >= RF_SEGMENT_HEAD_SIZE) {
        uint32_t header_size = rf_load_u32(bytes + 12);
        rf_store_u32(bytes + 8, RF_SEGMENT_MAGIC);
        rf_store_u32(bytes + 16, (uint32_t)base.size);
        if (header_size >= RF_SEGMENT_HEAD_SIZE && header_size <= base.size)
            rf_store_u64(bytes, rf_checksum((rf_slice){bytes + 8, header_size - 8}));
    }
    rf_arena_init(&arena, 256 << 20);
    if (rf_segment_open((rf_slice){bytes, base.size}, &arena, &segment, &err) == RF_OK) {
        fix_checksums(&segment);
        read_all(&segment, &arena);
    }
    rf_arena_free(&arena);
    free(bytes);
    return 0;
}
