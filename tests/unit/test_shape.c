#include "log/segment_format.h"

#include "base/checksum.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { EVENTS_MAX = 6000, TEXT_MAX = 4096 };

/* Events as they are added, and what is expected back. */
typedef struct fixture {
    rf_segment_builder *builder;
    rf_json_parser *parser;
    rf_arena arena;
    rf_buf bytes;
    rf_slice data[EVENTS_MAX];
    rf_slice metadata[EVENTS_MAX];
    uint32_t count;
} fixture;

static fixture *begin(void)
{
    fixture *f = calloc(1, sizeof *f);

    cr_assert_not_null(f);
    f->builder = rf_segment_builder_new(7);
    f->parser = rf_json_parser_new();
    rf_arena_init(&f->arena, 256 << 20);
    rf_buf_init(&f->bytes, 256 << 20);
    return f;
}

static void end(fixture *f)
{
    rf_segment_builder_free(f->builder);
    rf_json_parser_free(f->parser);
    rf_arena_free(&f->arena);
    rf_buf_free(&f->bytes);
    free(f);
}

static rf_slice padded(fixture *f, const char *text)
{
    size_t size = strlen(text);
    char *copy = rf_arena_bytes(&f->arena, size + RF_JSON_PADDING);

    cr_assert_not_null(copy);
    memcpy(copy, text, size);
    memset(copy + size, 0, RF_JSON_PADDING);
    return (rf_slice){copy, size};
}

static void add(fixture *f, const char *type, const char *data, const char *metadata)
{
    rf_event event = {.stream = RF_SLICE("s"),
                      .type = rf_slice_of(type),
                      .schema = 1,
                      .time = RF_TIME_NONE,
                      .data = padded(f, data)};
    rf_err err;

    cr_assert_lt(f->count, EVENTS_MAX);
    cr_assert_eq(
        rf_json_parse(f->parser, event.data, &event.data_nodes, &event.data_node_count, &err),
        RF_OK, "%s", err.message);
    if (metadata) {
        event.metadata = padded(f, metadata);
        cr_assert_eq(rf_json_parse(f->parser, event.metadata, &event.metadata_nodes,
                                   &event.metadata_node_count, &err),
                     RF_OK, "%s", err.message);
    }
    f->data[f->count] = event.data;
    f->metadata[f->count] = event.metadata;
    f->count++;
    rf_placement placement = {.position = f->count, .fingerprint = rf_event_fingerprint(&event)};
    cr_assert_eq(rf_segment_builder_add(f->builder, &event, &placement, &err), RF_OK);
    rf_json_parser_reset(f->parser);
}

/* As many raw bytes as a segment has before it makes shapes. */
static void fill(fixture *f)
{
    char data[200];

    for (int i = 0; i < 26; i++) {
        (void)snprintf(data, sizeof data, "{\"fill\":\"%0150d\"}", i);
        add(f, "Fill", data, NULL);
    }
}

static void expect_event(fixture *f, rf_payload_reader *reader, const rf_segment *segment,
                         uint32_t index)
{
    rf_slice data, metadata;
    rf_err err;

    cr_assert_eq(rf_payload_read(reader, segment, index, &data, &metadata, NULL, &err), RF_OK,
                 "event %u: %s", index, err.message);
    cr_assert(rf_slice_equal(data, f->data[index]), "event %u: '%.*s' instead of '%.*s'", index,
              (int)data.size, data.data, (int)f->data[index].size, f->data[index].data);
    cr_assert_eq(metadata.data != NULL, f->metadata[index].data != NULL);
    cr_assert(rf_slice_equal(metadata, f->metadata[index]), "event %u: '%.*s' instead of '%.*s'",
              index, (int)metadata.size, metadata.data, (int)f->metadata[index].size,
              f->metadata[index].data);
}

/* Every event comes back byte for byte, forwards and in leaps. Returns how many have a shape. */
static uint32_t expect_all(fixture *f, rf_segment *segment)
{
    static int64_t shapes[EVENTS_MAX];
    rf_payload_reader *reader = rf_payload_reader_new();
    uint32_t shaped = 0;
    rf_err err;

    cr_assert_eq(rf_segment_builder_finish(f->builder, &f->bytes, &err), RF_OK);
    cr_assert_eq(rf_segment_open(rf_buf_slice(&f->bytes), &f->arena, segment, &err), RF_OK, "%s",
                 err.message);
    cr_assert_eq(rf_segment_verify(segment, &err), RF_OK, "%s", err.message);
    cr_assert_eq(segment->count, f->count);
    for (uint32_t i = 0; i < f->count; i++)
        expect_event(f, reader, segment, i);
    for (uint32_t i = 0; i < f->count; i++)
        expect_event(f, reader, segment, (uint32_t)((uint64_t)i * 7919 % f->count));
    rf_payload_reader_free(reader);
    cr_assert_eq(rf_segment_per_event(segment, RF_SEGMENT_SHAPE, shapes, NULL, &err), RF_OK);
    for (uint32_t i = 0; i < f->count; i++)
        shaped += shapes[i] != 0;
    return shaped;
}

Test(shape, stores_no_bytes_of_events_that_look_alike)
{
    fixture *f = begin();
    rf_segment segment;
    char data[200], metadata[100];

    fill(f);
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(data, sizeof data,
                       "{\"sku\": \"s%d\", \"qty\":%d ,\"gone\":null,\"to\":{\"city\":\"c%d\"}}",
                       i % 37, i * i - 1000, i);
        (void)snprintf(metadata, sizeof metadata, "{\"user\":%d,\"is\":%s}", i % 5,
                       i % 3 ? "true" : "false");
        add(f, i % 2 ? "A" : "B", data, i % 4 < 2 ? metadata : NULL);
    }
    cr_assert_eq(expect_all(f, &segment), 2000);
    cr_assert_eq(segment.chunk_count, 1);
    cr_assert_lt(segment.chunks[0].raw_size, 6000);
    end(f);
}

Test(shape, keeps_how_numbers_with_a_fraction_are_written)
{
    static const char *const prices[] = {"1.50", "2.25",  "0.05", "-0.75", "100.00", "12",
                                         "1.5",  "2.125", "3.0",  "0.0",   "-0.0",   "-0",
                                         "1e3",  "2.50E-2", "123456789012345678901234567890",
                                         "0.1234567890123456789", "9007199254740993.5"};
    fixture *f = begin();
    rf_segment segment;
    char data[200];

    fill(f);
    for (unsigned i = 0; i < 500; i++) {
        (void)snprintf(data, sizeof data, "{\"fixed\":%s,\"any\":%s}", prices[i % 5],
                       prices[i % (sizeof prices / sizeof *prices)]);
        add(f, "Priced", data, NULL);
    }
    for (unsigned i = 0; i < 500; i++) {
        (void)snprintf(data, sizeof data, "{\"fixed\":%u.%02u,\"short\":%u.%u}", i, i % 100, i,
                       i % 9 + 1);
        add(f, "Plain", data, NULL);
    }
    cr_assert_geq(expect_all(f, &segment), 500);
    end(f);
}

Test(shape, writes_texts_with_the_escapes_that_json_demands)
{
    static const char *const texts[] = {"plain", "a \\\"quote\\\"", "back\\\\slash", "line\\nend",
                                        "tab\\t", "\\u0001", "\\u00e4", "\xc3\xa4", "sla\\/sh",
                                        "\\b\\f\\r", "", "\\ud83d\\ude00", "\\u001F", "\\u001f"};
    enum { COUNT = sizeof texts / sizeof *texts };
    fixture *f = begin();
    rf_segment segment;
    char data[200];

    fill(f);
    for (unsigned i = 0; i < 50 * COUNT; i++) {
        (void)snprintf(data, sizeof data, "{\"a\":\"%s\",\"b\":\"%s\"}", texts[i % COUNT],
                       texts[i / COUNT % 2]);
        add(f, "Said", data, NULL);
    }
    /* Not in the one way: \u00e4, \/, the face and \u001F. */
    cr_assert_eq(expect_all(f, &segment), 50 * (COUNT - 4));
    end(f);
}

Test(shape, keeps_arrays_beside_the_shape)
{
    fixture *f = begin();
    rf_segment segment;
    char data[300], metadata[100];

    fill(f);
    for (int i = 0; i < 3000; i++) {
        (void)snprintf(data, sizeof data,
                       "{\"tags\":[%d,{\"x\":[%d]}],\"n\":%d,\"none\":[],\"more\":[\"%0*d\"]}", i,
                       i, i, i % 100 + 1, i);
        (void)snprintf(metadata, sizeof metadata, "{\"trace\":[\"%d\"]}", i);
        add(f, "Tagged", data, i % 2 ? metadata : NULL);
    }
    cr_assert_eq(expect_all(f, &segment), 3000);
    cr_assert_gt(segment.chunk_count, 0);
    end(f);
}

Test(shape, gives_hidden_columns_to_what_is_capped_later)
{
    fixture *f = begin();
    rf_segment segment;
    rf_field_column columns[5];
    rf_slice parts[] = {RF_SLICE("map"), RF_SLICE("k1")};
    rf_path path = {.part_count = 2, .parts = parts};
    uint32_t count;
    bool capped;
    char data[200];
    rf_err err;

    fill(f);
    for (int i = 0; i < 300; i++)
        add(f, "Map", "{\"map\":{\"k1\":5,\"k2\":\"x\"}}", NULL);
    for (int i = 0; i < 300; i++) {
        (void)snprintf(data, sizeof data, "{\"map\":{\"key%d\":%d}}", i, i);
        add(f, "Map", data, NULL);
    }
    for (int i = 0; i < 300; i++)
        add(f, "Map", "{\"map\":{\"k1\":6,\"k2\":\"y\"}}", NULL);
    cr_assert_geq(expect_all(f, &segment), 600);
    rf_codec *codec = rf_codec_new();
    cr_assert_eq(rf_segment_field(&segment, 1, &path, codec, &f->arena, &f->arena, columns, &count, &capped,
                                  NULL, &err),
                 RF_OK);
    cr_assert_eq(count, 0, "what reads fields does not see them");
    cr_assert(capped);
    rf_codec_free(codec);
    end(f);
}

Test(shape, gives_up_where_events_do_not_look_alike)
{
    fixture *f = begin();
    rf_segment segment;
    char data[200];

    fill(f);
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(data, sizeof data, "{\"a%d\":1,\"b%d\":\"x\",\"a%d\":2}", i, i % 7, i);
        add(f, "Odd", data, NULL); /* a member twice */
    }
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(data, sizeof data, "{\"%*s\":1}", i % 150 + 1, "k");
        add(f, "Spread", data, i % 2 ? "[1]" : NULL);
    }
    add(f, "Scalar", "5", "\"x\"");
    add(f, "Scalar", "{}", NULL);
    cr_assert_lt(expect_all(f, &segment), 2000);
    cr_assert_lt(segment.shapes.size, segment.raw_bytes / 8);
    end(f);
}

/* A value of any kind, as any program may write it. */
static int made_value(char *out, size_t size, unsigned seed, int depth)
{
    static const char *const values[] = {"null", "true", "\"t\\n\"", "[]", "[1,\"]\"]", "{}",
                                         "-7", "0.10", "\"\\u0041\"", "1e-3", "\"\""};
    unsigned kind = seed % 16;

    if (kind < sizeof values / sizeof *values)
        return snprintf(out, size, "%s", values[kind]);
    if (kind < 13)
        return snprintf(out, size, "%u", seed);
    if (kind < 15 || depth == 0)
        return snprintf(out, size, "\"text %u\"", seed % 1000);
    int at = snprintf(out, size, "{\"in\" :");
    at += made_value(out + at, size - (size_t)at, seed / 16, depth - 1);
    return at + snprintf(out + at, size - (size_t)at, " }");
}

Test(shape, gives_back_any_json)
{
    fixture *f = begin();
    rf_segment segment;
    char data[TEXT_MAX];
    uint64_t state = 88172645463325252u;

    fill(f);
    for (int i = 0; i < 5000; i++) {
        int at = snprintf(data, sizeof data, "{");
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        for (unsigned k = 0; k < 4; k++) {
            if (i % 3 == 0 && state >> (k + 40) & 1)
                continue;
            at += snprintf(data + at, sizeof data - (size_t)at, "%s\"m%u\":", at > 1 ? "," : "", k);
            unsigned seed = (unsigned)(state >> (8 * k)) & 0xffff;
            at += made_value(data + at, sizeof data - (size_t)at, i % 2 ? seed | 12 : seed, 3);
        }
        (void)snprintf(data + at, sizeof data - (size_t)at, "}");
        add(f, i % 2 ? "Some" : "Any", data, i % 5 ? NULL : "{\"user\":1}");
    }
    cr_assert_gt(expect_all(f, &segment), 0);
    end(f);
}
