#include "log/segment.h"

#include "base/checksum.h"
#include "event/value.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

/* Events are made from JSON, with a parser that is never reset. */
typedef struct fixture {
    rf_segment_builder *builder;
    rf_json_parser *parser;
    rf_arena arena; /* texts, directories, decoded columns */
    rf_codec *codec;
    rf_payload_reader *payloads;
    rf_buf bytes;
    uint64_t position;
} fixture;

static fixture begin(void)
{
    fixture f = {.builder = rf_segment_builder_new(7),
                 .parser = rf_json_parser_new(),
                 .codec = rf_codec_new(),
                 .payloads = rf_payload_reader_new(),
                 .position = 1000};

    rf_arena_init(&f.arena, 256 << 20);
    rf_buf_init(&f.bytes, 256 << 20);
    cr_assert(f.builder && f.parser && f.codec && f.payloads);
    return f;
}

static void end(fixture *f)
{
    rf_segment_builder_free(f->builder);
    rf_json_parser_free(f->parser);
    rf_codec_free(f->codec);
    rf_payload_reader_free(f->payloads);
    rf_arena_free(&f->arena);
    rf_buf_free(&f->bytes);
}

static rf_slice padded(fixture *f, rf_slice text)
{
    char *copy = rf_arena_bytes(&f->arena, text.size + RF_JSON_PADDING);

    cr_assert_not_null(copy);
    memcpy(copy, text.data, text.size);
    memset(copy + text.size, 0, RF_JSON_PADDING);
    return (rf_slice){copy, text.size};
}

static rf_event event_of(fixture *f, const char *type, rf_slice data, const char *metadata)
{
    rf_event event = {.stream = RF_SLICE("order-1"),
                      .type = rf_slice_of(type),
                      .version = 0,
                      .schema = 1,
                      .time = RF_TIME_NONE,
                      .data = padded(f, data)};
    rf_err err;

    cr_assert_eq(
        rf_json_parse(f->parser, event.data, &event.data_nodes, &event.data_node_count, &err),
        RF_OK, "%s", err.message);
    if (metadata) {
        event.metadata = padded(f, rf_slice_of(metadata));
        cr_assert_eq(rf_json_parse(f->parser, event.metadata, &event.metadata_nodes,
                                   &event.metadata_node_count, &err),
                     RF_OK, "%s", err.message);
    }
    return event;
}

static void add_event(fixture *f, const rf_event *event)
{
    rf_placement placement = {.position = f->position, .fingerprint = rf_event_fingerprint(event)};
    rf_err err;

    f->position += 3;
    rf_status status = rf_segment_builder_add(f->builder, event, &placement, &err);
    cr_assert_eq(status, RF_OK, "%s", err.message);
}

static void add(fixture *f, const char *type, const char *data)
{
    rf_event event = event_of(f, type, rf_slice_of(data), NULL);
    add_event(f, &event);
}

static rf_segment finish(fixture *f)
{
    rf_segment segment;
    rf_err err;

    rf_buf_clear(&f->bytes);
    rf_status status = rf_segment_builder_finish(f->builder, &f->bytes, &err);
    cr_assert_eq(status, RF_OK, "%s", err.message);
    cr_assert_eq(rf_segment_builder_count(f->builder), 0);
    status = rf_segment_open(rf_buf_slice(&f->bytes), &f->arena, &segment, &err);
    cr_assert_eq(status, RF_OK, "%s", err.message);
    status = rf_segment_verify(&segment, &err);
    cr_assert_eq(status, RF_OK, "%s", err.message);
    return segment;
}

/* A field by its path, parts divided by '/', "@" in front for metadata. */
static uint32_t field(fixture *f, const rf_segment *segment, uint32_t type, const char *text,
                      rf_field_column columns[5], bool *capped)
{
    rf_slice parts[RF_PATH_PARTS_MAX];
    rf_path path = {.metadata = *text == '@', .parts = parts};
    uint32_t count = 99;
    uint64_t decoded = 0;
    rf_err err;

    text += path.metadata;
    for (const char *at = text;; at++) {
        if (*at && *at != '/')
            continue;
        parts[path.part_count++] = (rf_slice){text, (size_t)(at - text)};
        text = at + 1;
        if (!*at)
            break;
    }
    rf_status status = rf_segment_field(segment, type, &path, f->codec, &f->arena, &f->arena, columns, &count,
                                        capped, &decoded, &err);
    cr_assert_eq(status, RF_OK, "%s", err.message);
    cr_assert_eq(decoded > 0, count > 0);
    return count;
}

static void expect_text(rf_slice actual, const char *expected)
{
    cr_assert(rf_slice_equal(actual, rf_slice_of(expected)), "'%.*s' instead of '%s'",
              (int)actual.size, actual.data, expected);
}

static void expect_value(const rf_segment *segment, rf_envelope column, size_t index,
                         int64_t expected)
{
    static int64_t values[RF_SEGMENT_EVENTS_MAX];
    rf_err err;

    cr_assert_eq(rf_segment_envelope(segment, column, values, NULL, &err), RF_OK);
    cr_assert_eq(values[index], expected);
}

Test(segment, gives_back_envelopes_and_payloads)
{
    fixture f = begin();
    enum { EVENTS = 5000 };
    static int64_t values[EVENTS];
    char data[200], metadata[100];
    rf_err err;

    for (int i = 0; i < EVENTS; i++) {
        (void)snprintf(data, sizeof data, "{\"sku\": \"s%d\", \"qty\":%d ,\"fill\":\"%0*d\"}",
                       i % 37, i, i % 90 + 1, 5);
        (void)snprintf(metadata, sizeof metadata, "{\"user\":%d}", i % 5);
        rf_event event = event_of(&f, i % 3 ? "ItemAdded" : "Placed", rf_slice_of(data),
                                  i % 2 ? metadata : NULL);
        event.time = i % 7 == 6 ? RF_TIME_NONE : 1700000000000000 + (i * 7919 % 1000) * 1000;
        event.schema = i % 11 == 0 ? 2 : 1;
        event.source_position = (uint64_t)i * 2;
        rf_placement placement = {.position = 50 + (uint64_t)i * 3,
                                  .stream_number = (uint32_t)(10 + i * 31 % 100),
                                  .source = 3,
                                  .version = i / 100,
                                  .fingerprint = rf_event_fingerprint(&event)};
        cr_assert_eq(rf_segment_builder_add(f.builder, &event, &placement, &err), RF_OK);
    }
    rf_segment s = finish(&f);
    cr_assert_eq(s.partition, 7);
    cr_assert_eq(s.count, EVENTS);
    cr_assert_eq(s.first_position, 50);
    cr_assert_eq(s.last_position, 50 + (EVENTS - 1) * 3);
    cr_assert_eq(s.time_min, 1700000000000000);
    cr_assert_eq(s.time_max, 1700000000999000);
    cr_assert_eq(s.stream_min, 10);
    cr_assert_eq(s.stream_max, 109);
    cr_assert_eq(s.type_count, 2);
    expect_text(s.types[0].name, "Placed");
    cr_assert_eq(s.types[1].count, EVENTS - (EVENTS + 2) / 3);
    cr_assert_lt(f.bytes.size, s.raw_bytes / 2);

    expect_value(&s, RF_ENVELOPE_STREAM, 1, 41);
    expect_value(&s, RF_ENVELOPE_VERSION, 4999, 49);
    expect_value(&s, RF_ENVELOPE_POSITION, 100, 350);
    expect_value(&s, RF_ENVELOPE_SOURCE, 100, 3);
    expect_value(&s, RF_ENVELOPE_SOURCE_POSITION, 100, 200);
    expect_value(&s, RF_ENVELOPE_TYPE, 3, 0);
    expect_value(&s, RF_ENVELOPE_TYPE, 4, 1);
    expect_value(&s, RF_ENVELOPE_SCHEMA, 21, 1);
    expect_value(&s, RF_ENVELOPE_SCHEMA, 22, 2);
    cr_assert_eq(rf_segment_envelope(&s, RF_ENVELOPE_TIME, values, NULL, &err), RF_OK);
    for (int i = 0; i < EVENTS; i++)
        cr_assert_eq(values[i],
                     i % 7 == 6 ? RF_TIME_NONE : 1700000000000000 + (i * 7919 % 1000) * 1000);
    for (int i = 0; i < EVENTS; i++) {
        rf_slice data_again, metadata_again;
        (void)snprintf(data, sizeof data, "{\"sku\": \"s%d\", \"qty\":%d ,\"fill\":\"%0*d\"}",
                       i % 37, i, i % 90 + 1, 5);
        (void)snprintf(metadata, sizeof metadata, "{\"user\":%d}", i % 5);
        cr_assert_eq(
            rf_payload_read(f.payloads, &s, (uint32_t)i, &data_again, &metadata_again, NULL, &err),
            RF_OK);
        expect_text(data_again, data);
        if (i % 2)
            expect_text(metadata_again, metadata);
        else
            cr_assert_null(metadata_again.data);
    }
    end(&f);
}

Test(segment, gives_a_column_to_every_kind_of_a_path)
{
    fixture f = begin();
    rf_field_column c[5];
    bool capped;

    add(&f, "T", "{\"a\":1}");
    add(&f, "T", "{\"a\":19.90}");
    add(&f, "T", "{\"a\":\"x\\u00e4\"}");
    add(&f, "T", "{\"a\":true}");
    add(&f, "T", "{\"a\":null}");
    add(&f, "T", "{\"a\":1e3}");
    add(&f, "T", "{\"b\":1}");
    add(&f, "T", "{\"a\":[1]}");
    add(&f, "T", "{\"a\":{\"c\":2}}");
    add(&f, "T", "{\"a\":-5.125}");
    add(&f, "T", "{\"a\":-0}");
    add(&f, "T", "{\"a\":9223372036854775808}");
    add(&f, "T", "{\"a\":-9223372036854775808}");
    add(&f, "T", "3");
    rf_segment s = finish(&f);
    cr_assert_eq(field(&f, &s, 0, "a", c, &capped), 5);
    cr_assert_not(capped);
    cr_assert_eq(c[0].kind, RF_FIELD_INT);
    cr_assert_eq(c[0].present_count, 2);
    cr_assert_eq(c[0].ints[0], 1);
    cr_assert_eq(c[0].ints[1], INT64_MIN);
    cr_assert(rf_bitmap_get(c[0].present, 0) && !rf_bitmap_get(c[0].present, 1) &&
              rf_bitmap_get(c[0].present, 12));
    cr_assert_eq(c[1].kind, RF_FIELD_EXACT);
    cr_assert_eq(c[1].scale, 3);
    cr_assert_eq(c[1].ints[0], 19900);
    cr_assert_eq(c[1].ints[1], -5125);
    cr_assert_eq(c[2].kind, RF_FIELD_NUMBER);
    cr_assert_eq(c[2].present_count, 3);
    expect_text(rf_text_column_at(&c[2].text, 0), "1e3");
    expect_text(rf_text_column_at(&c[2].text, 1), "-0");
    expect_text(rf_text_column_at(&c[2].text, 2), "9223372036854775808");
    cr_assert_eq(c[3].kind, RF_FIELD_BOOL);
    cr_assert_eq(c[3].ints[0], 1);
    cr_assert_eq(c[4].kind, RF_FIELD_TEXT);
    expect_text(rf_text_column_at(&c[4].text, 0), "x\xc3\xa4");
    cr_assert_eq(field(&f, &s, 0, "a/c", c, &capped), 1);
    cr_assert_eq(c[0].ints[0], 2);
    cr_assert_eq(field(&f, &s, 0, "nothing", c, &capped), 0);
    cr_assert_not(capped);
    end(&f);
}

Test(segment, keeps_metadata_and_data_apart)
{
    fixture f = begin();
    rf_field_column c[5];
    bool capped;

    rf_event event = event_of(&f, "T", RF_SLICE("{\"a\":1}"), "{\"a\":\"m\",\"b\":{\"c\":false}}");
    add_event(&f, &event);
    rf_segment s = finish(&f);
    cr_assert_eq(field(&f, &s, 0, "a", c, &capped), 1);
    cr_assert_eq(c[0].kind, RF_FIELD_INT);
    cr_assert_null(c[0].present, "all have it");
    cr_assert_eq(field(&f, &s, 0, "@a", c, &capped), 1);
    cr_assert_eq(c[0].kind, RF_FIELD_TEXT);
    cr_assert_eq(field(&f, &s, 0, "@b/c", c, &capped), 1);
    cr_assert_eq(c[0].ints[0], 0);
    cr_assert_eq(field(&f, &s, 0, "b/c", c, &capped), 0);

    rf_field_info *infos;
    uint32_t count;
    rf_err err;
    cr_assert_eq(rf_segment_fields(&s, &f.arena, &infos, &count, &err), RF_OK);
    cr_assert_eq(count, 3);
    cr_assert_eq(infos[2].path.part_count, 2);
    cr_assert(infos[2].path.metadata);
    expect_text(infos[2].path.parts[0], "b");
    expect_text(infos[2].path.parts[1], "c");
    end(&f);
}

Test(segment, lets_the_last_of_two_equal_members_win)
{
    fixture f = begin();
    rf_field_column c[5];
    bool capped;

    add(&f, "T", "{\"a\":1,\"a\":2}");
    add(&f, "T", "{\"a\":\"old\",\"b\":{\"x\":1,\"y\":2},\"b\":{\"y\":3},\"a\":4}");
    add(&f, "T", "{\"a\":7,\"a\":null}");
    add(&f, "T", "{\"b\":{\"x\":5},\"b\":6,\"a\":\"s\",\"a\":\"t\"}");
    rf_segment s = finish(&f);
    cr_assert_eq(field(&f, &s, 0, "a", c, &capped), 2);
    cr_assert_eq(c[0].present_count, 2);
    cr_assert_eq(c[0].ints[0], 2);
    cr_assert_eq(c[0].ints[1], 4);
    cr_assert_eq(c[1].present_count, 1);
    expect_text(rf_text_column_at(&c[1].text, 0), "t");
    cr_assert_eq(field(&f, &s, 0, "b/x", c, &capped), 0);
    cr_assert_eq(field(&f, &s, 0, "b/y", c, &capped), 1);
    cr_assert_eq(c[0].ints[0], 3);
    cr_assert_eq(field(&f, &s, 0, "b", c, &capped), 1);
    cr_assert_eq(c[0].ints[0], 6);
    end(&f);
}

Test(segment, gives_exact_numbers_that_do_not_fit_the_scale_as_text)
{
    fixture f = begin();
    rf_field_column c[5];
    bool capped;

    add(&f, "T", "{\"a\":123456789012345.5}");
    add(&f, "T", "{\"a\":1e1}");
    add(&f, "T", "{\"a\":0.000000000000000001}");
    add(&f, "T", "{\"a\":1.5}");
    rf_segment s = finish(&f);
    cr_assert_eq(field(&f, &s, 0, "a", c, &capped), 2);
    cr_assert_eq(c[0].kind, RF_FIELD_EXACT);
    cr_assert_eq(c[0].scale, 18);
    cr_assert_eq(c[0].present_count, 2);
    cr_assert_eq(c[0].ints[0], 1);
    cr_assert_eq(c[0].ints[1], 1500000000000000000);
    cr_assert_eq(c[1].kind, RF_FIELD_NUMBER);
    expect_text(rf_text_column_at(&c[1].text, 0), "123456789012345.5");
    expect_text(rf_text_column_at(&c[1].text, 1), "1e1");
    end(&f);
}

/* {"NAME0":0,"NAME1":1,…} */
static rf_slice many_members(fixture *f, const char *name, int count)
{
    rf_buf buf;

    rf_buf_init(&buf, 1 << 20);
    for (int i = 0; i < count; i++)
        rf_buf_append_format(&buf, "%c\"%s%d\":%d", i ? ',' : '{', name, i, i);
    rf_buf_append_byte(&buf, '}');
    rf_slice copy = rf_arena_copy(&f->arena, rf_buf_slice(&buf));
    rf_buf_free(&buf);
    return copy;
}

Test(segment, gives_no_columns_to_an_object_with_too_many_names)
{
    fixture f = begin();
    rf_field_column c[5];
    bool capped;
    char data[4096];

    rf_slice members = many_members(&f, "k", 65);
    (void)snprintf(data, sizeof data, "{\"map\":%.*s,\"other\":1}", (int)members.size,
                   members.data);
    add(&f, "T", data);
    members = many_members(&f, "k", 64);
    (void)snprintf(data, sizeof data, "{\"map\":%.*s,\"other\":1}", (int)members.size,
                   members.data);
    add(&f, "U", data);
    rf_segment s = finish(&f);
    cr_assert(s.types[0].capped);
    cr_assert_not(s.types[1].capped);
    cr_assert_eq(field(&f, &s, 0, "map/k3", c, &capped), 0);
    cr_assert(capped);
    cr_assert_eq(field(&f, &s, 0, "map/k3/deeper", c, &capped), 0);
    cr_assert(capped);
    cr_assert_eq(field(&f, &s, 0, "other", c, &capped), 1);
    cr_assert_not(capped, "beside the capped object columns are complete");
    cr_assert_eq(field(&f, &s, 0, "missing", c, &capped), 0);
    cr_assert_not(capped);
    cr_assert_eq(field(&f, &s, 1, "map/k63", c, &capped), 1);
    cr_assert_not(capped);
    end(&f);
}

Test(segment, gives_no_columns_to_a_root_with_too_many_names)
{
    fixture f = begin();
    rf_field_column c[5];
    bool capped;

    rf_event event = event_of(&f, "T", many_members(&f, "k", 65), "{\"m\":1}");
    add_event(&f, &event);
    rf_segment s = finish(&f);
    cr_assert_eq(field(&f, &s, 0, "k3", c, &capped), 0);
    cr_assert(capped);
    cr_assert_eq(field(&f, &s, 0, "@m", c, &capped), 1);
    cr_assert_not(capped);
    end(&f);
}

Test(segment, gives_no_column_below_depth_eight)
{
    fixture f = begin();
    rf_field_column c[5];
    bool capped;

    add(&f, "T",
        "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1,\"b\":{\"c\":2}}}}}}}}}");
    rf_segment s = finish(&f);
    cr_assert(s.types[0].capped);
    cr_assert_eq(field(&f, &s, 0, "a/a/a/a/a/a/a/a", c, &capped), 1);
    cr_assert_not(capped);
    cr_assert_eq(field(&f, &s, 0, "a/a/a/a/a/a/a/b/c", c, &capped), 0);
    cr_assert(capped);
    end(&f);
}

Test(segment, gives_a_type_at_most_256_columns)
{
    fixture f = begin();
    rf_field_column c[5];
    bool capped;
    rf_buf data;
    uint32_t found = 0;

    rf_buf_init(&data, 1 << 20);
    for (int i = 0; i < 5; i++) {
        rf_slice members = many_members(&f, "k", 52);
        rf_buf_append_format(&data, "%c\"o%d\":%.*s", i ? ',' : '{', i, (int)members.size,
                             members.data);
    }
    rf_buf_append_byte(&data, '}');
    rf_event event = event_of(&f, "T", rf_buf_slice(&data), NULL);
    add_event(&f, &event);
    rf_segment s = finish(&f);
    cr_assert(s.types[0].capped);
    for (int i = 0; i < 5 * 52; i++) {
        char path[40];
        (void)snprintf(path, sizeof path, "o%d/k%d", i / 52, i % 52);
        uint32_t count = field(&f, &s, 0, path, c, &capped);
        found += count;
        cr_assert_eq(capped, count == 0, "%s", path);
    }
    cr_assert_eq(found, 256);
    cr_assert_eq(field(&f, &s, 0, "unknown", c, &capped), 0);
    cr_assert(capped, "nobody can tell");
    rf_buf_free(&data);
    end(&f);
}

Test(segment, gives_no_column_to_a_very_long_name)
{
    fixture f = begin();
    rf_field_column c[5];
    bool capped;
    char data[600], name[301] = {0};

    memset(name, 'n', 300);
    (void)snprintf(data, sizeof data, "{\"%s\":1,\"b\":2}", name);
    add(&f, "T", data);
    rf_segment s = finish(&f);
    cr_assert_eq(field(&f, &s, 0, name, c, &capped), 0);
    cr_assert(capped);
    cr_assert_eq(field(&f, &s, 0, "b", c, &capped), 1);
    cr_assert_not(capped);
    end(&f);
}

Test(segment, holds_one_event_of_five_mebibytes_alone)
{
    fixture f = begin();
    size_t size = 5 << 20;
    char *text = malloc(size);
    rf_field_column c[5];
    rf_slice data, metadata;
    bool capped;
    rf_err err;

    memset(text, 'x', size);
    memcpy(text, "{\"a\":\"", 6);
    memcpy(text + size - 2, "\"}", 2);
    rf_event event = event_of(&f, "Big", (rf_slice){text, size}, NULL);
    cr_assert(rf_segment_builder_fits(f.builder, &event));
    add_event(&f, &event);
    rf_event small = event_of(&f, "Small", RF_SLICE("{}"), NULL);
    cr_assert_not(rf_segment_builder_fits(f.builder, &small));
    rf_segment s = finish(&f);
    cr_assert_eq(rf_payload_read(f.payloads, &s, 0, &data, &metadata, NULL, &err), RF_OK);
    cr_assert(rf_slice_equal(data, (rf_slice){text, size}));
    cr_assert_eq(field(&f, &s, 0, "a", c, &capped), 1);
    cr_assert_eq(rf_text_column_at(&c[0].text, 0).size, size - 8);
    free(text);
    end(&f);
}

Test(segment, is_full_at_16384_events)
{
    fixture f = begin();

    rf_event event = event_of(&f, "T", RF_SLICE("{}"), NULL);
    for (int i = 0; i < RF_SEGMENT_EVENTS_MAX; i++) {
        cr_assert(rf_segment_builder_fits(f.builder, &event));
        add_event(&f, &event);
    }
    cr_assert_not(rf_segment_builder_fits(f.builder, &event));
    cr_assert_eq(finish(&f).count, RF_SEGMENT_EVENTS_MAX);
    end(&f);
}

Test(segment, of_one_event_is_small)
{
    fixture f = begin();

    rf_event event = event_of(&f, "ItemAdded",
                              RF_SLICE("{\"sku\":\"sku-004711\",\"qty\":3,\"price\":1999}"), NULL);
    event.time = 1700000000000000;
    add_event(&f, &event);
    finish(&f);
    cr_assert_lt(f.bytes.size, 300, "%zu bytes", f.bytes.size);
    end(&f);
}

Test(segment, is_the_same_from_a_builder_that_was_used_before)
{
    fixture f = begin();
    rf_buf first;

    rf_buf_init(&first, 1 << 20);
    for (int round = 0; round < 3; round++) {
        f.position = 1;
        add(&f, "A", "{\"x\":1,\"y\":\"t\",\"z\":{\"w\":2.5}}");
        add(&f, "B", "{\"y\":\"u\",\"x\":null}");
        finish(&f);
        if (round == 0)
            rf_buf_append_slice(&first, rf_buf_slice(&f.bytes));
        else
            cr_assert(rf_slice_equal(rf_buf_slice(&first), rf_buf_slice(&f.bytes)));
        for (int i = 0; i < 300; i++) /* something else in between */
            add(&f, "C", "{\"q\":\"other\",\"x\":true,\"y\":7}");
        finish(&f);
    }
    rf_buf_free(&first);
    end(&f);
}

static void fill_small(fixture *f)
{
    for (int i = 0; i < 12; i++) {
        char data[120];
        (void)snprintf(data, sizeof data, "{\"sku\":\"s%d\",\"qty\":%d,\"p\":%d.5,\"o\":%s}", i % 3,
                       i * i, i, i % 2 ? "true" : "null");
        rf_event event = event_of(f, i % 3 ? "Item" : "Placed", rf_slice_of(data),
                                  i % 4 ? NULL : "{\"u\":\"me\"}");
        event.time = i == 5 ? RF_TIME_NONE : 1700000000000000 + i;
        add_event(f, &event);
    }
}

/* Opens and verifies a copy of exactly that size. */
static rf_status open_and_verify(const char *bytes, size_t size, rf_arena *arena)
{
    char *copy = malloc(size + (size == 0));
    rf_segment segment;
    rf_err err;

    memcpy(copy, bytes, size);
    rf_arena_reset(arena);
    rf_status status = rf_segment_open((rf_slice){copy, size}, arena, &segment, &err);
    if (status == RF_OK)
        status = rf_segment_verify(&segment, &err);
    free(copy);
    return status;
}

Test(segment, finds_every_flipped_bit, .timeout = 110)
{
    fixture f = begin();
    rf_arena arena;

    rf_arena_init(&arena, 16 << 20);
    fill_small(&f);
    finish(&f);
    for (size_t bit = 0; bit < f.bytes.size * 8; bit++) {
        f.bytes.data[bit / 8] = (char)(f.bytes.data[bit / 8] ^ 1 << (bit % 8));
        cr_assert_eq(open_and_verify(f.bytes.data, f.bytes.size, &arena), RF_ERR_DAMAGED, "bit %zu",
                     bit);
        f.bytes.data[bit / 8] = (char)(f.bytes.data[bit / 8] ^ 1 << (bit % 8));
    }
    cr_assert_eq(open_and_verify(f.bytes.data, f.bytes.size, &arena), RF_OK);
    rf_arena_free(&arena);
    end(&f);
}

Test(segment, finds_a_flipped_bit_in_every_compressed_byte, .timeout = 110)
{
    fixture f = begin();
    rf_arena arena;

    rf_arena_init(&arena, 16 << 20);
    for (int i = 0; i < 40; i++)
        fill_small(&f);
    rf_segment s = finish(&f);
    cr_assert_lt(f.bytes.size, s.raw_bytes, "compressed");
    for (size_t at = 0; at < f.bytes.size; at++) {
        f.bytes.data[at] = (char)(f.bytes.data[at] ^ 1 << (at % 8));
        cr_assert_eq(open_and_verify(f.bytes.data, f.bytes.size, &arena), RF_ERR_DAMAGED,
                     "byte %zu", at);
        f.bytes.data[at] = (char)(f.bytes.data[at] ^ 1 << (at % 8));
    }
    rf_arena_free(&arena);
    end(&f);
}

Test(segment, refuses_to_open_at_any_other_length)
{
    fixture f = begin();
    rf_arena arena;

    rf_arena_init(&arena, 16 << 20);
    fill_small(&f);
    finish(&f);
    for (size_t size = 0; size < f.bytes.size; size++)
        cr_assert_eq(open_and_verify(f.bytes.data, size, &arena), RF_ERR_DAMAGED, "%zu bytes",
                     size);
    rf_buf_append_byte(&f.bytes, 0);
    cr_assert_eq(open_and_verify(f.bytes.data, f.bytes.size, &arena), RF_ERR_DAMAGED);
    rf_arena_free(&arena);
    end(&f);
}

Test(segment, says_when_the_arena_is_too_small)
{
    fixture f = begin();
    rf_arena arena;
    rf_segment segment;
    rf_err err;

    rf_arena_init(&arena, 64);
    fill_small(&f);
    finish(&f);
    cr_assert_eq(rf_segment_open(rf_buf_slice(&f.bytes), &arena, &segment, &err), RF_ERR_MEMORY);
    rf_arena_free(&arena);
    end(&f);
}

Test(segment, says_when_the_output_has_no_room)
{
    fixture f = begin();
    rf_buf out;
    rf_err err;

    rf_buf_init(&out, 100);
    fill_small(&f);
    cr_assert_eq(rf_segment_builder_finish(f.builder, &out, &err), RF_ERR_MEMORY);
    rf_buf_free(&out);
    end(&f);
}

Test(segment, fingerprints_tell_contents_apart)
{
    fixture f = begin();
    rf_event a = event_of(&f, "T", RF_SLICE("{\"a\":1}"), NULL);
    uint32_t of_a = rf_event_fingerprint(&a);

    rf_event b = a;
    b.stream = RF_SLICE("another");
    b.version = 9;
    b.source_position = 3;
    cr_assert_eq(rf_event_fingerprint(&b), of_a,
                 "stream, version and source position are no content");
    b = a;
    b.time = 5;
    cr_assert_neq(rf_event_fingerprint(&b), of_a);
    b = a;
    b.schema = 2;
    cr_assert_neq(rf_event_fingerprint(&b), of_a);
    b = event_of(&f, "U", RF_SLICE("{\"a\":1}"), NULL);
    cr_assert_neq(rf_event_fingerprint(&b), of_a);
    b = event_of(&f, "T", RF_SLICE("{\"a\":2}"), NULL);
    cr_assert_neq(rf_event_fingerprint(&b), of_a);
    b = event_of(&f, "T", RF_SLICE("{\"a\":1}"), "{}");
    cr_assert_neq(rf_event_fingerprint(&b), of_a);
    end(&f);
}
