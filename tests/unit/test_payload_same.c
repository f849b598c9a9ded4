/* rf_payload_same: an event is the stored one if its bytes are, with a shape and without. */
#include "log/payload_shape.h"

#include "event/value.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { EVENTS_MAX = 200, VALUES_MAX = 16 };

typedef struct fixture {
    rf_json_parser *parser;
    rf_event_shapes *shapes;
    rf_arena arena;
    rf_event events[EVENTS_MAX]; /* without shape */
    rf_event shaped[EVENTS_MAX]; /* with one where they can have one */
    uint32_t count;
} fixture;

static fixture *begin(void)
{
    fixture *f = calloc(1, sizeof *f);

    cr_assert_not_null(f);
    f->parser = rf_json_parser_new();
    f->shapes = rf_event_shapes_new();
    rf_arena_init(&f->arena, 64 << 20);
    return f;
}

static void end(fixture *f)
{
    rf_json_parser_free(f->parser);
    rf_event_shapes_free(f->shapes);
    rf_arena_free(&f->arena);
    free(f);
}

static rf_slice padded(fixture *f, const char *text)
{
    size_t size = strlen(text);
    char *copy = rf_arena_bytes(&f->arena, size + RF_JSON_PADDING);

    memcpy(copy, text, size);
    memset(copy + size, 0, RF_JSON_PADDING);
    return (rf_slice){copy, size};
}

/* A value as event_shape.h wants it; false where it is none. */
static bool value_of(const rf_json_node *node, rf_event_value *value)
{
    rf_slice text = rf_json_text(node);
    unsigned scale = 0;

    *value = (rf_event_value){.text = text.data, .text_size = (uint32_t)text.size};
    if (node->kind == RF_JSON_STRING) {
        memcpy(value->head, text.data, RF_EVENT_VALUE_HEAD);
        return true;
    }
    if (node->kind == RF_JSON_INTEGER)
        return rf_parse_int(text, &value->value) == RF_VALUE_OK &&
               !rf_slice_equal(text, RF_SLICE("-0"));
    bool exact = !memchr(text.data, 'e', text.size) && !rf_slice_equal(text, RF_SLICE("-0.0")) &&
                 rf_parse_exact(text, &value->value, &scale);
    value->scale = (uint8_t)(text.data + text.size - 1 - (const char *)memchr(text.data, '.', text.size));
    for (; exact && scale < value->scale; scale++)
        value->value *= 10;
    return exact;
}

static void shape_give(fixture *f, rf_event *event)
{
    rf_event_value *values = rf_arena_alloc(&f->arena, VALUES_MAX * sizeof *values);
    const rf_event_shape *shape = NULL;
    bool whole = !memchr(event->data.data, '\\', event->data.size);

    if (whole)
        shape = rf_event_shapes_find(f->shapes, event);
    if (!shape)
        return;
    for (uint32_t i = 0; i < shape->value_count; i++) {
        uint32_t node = shape->values[i].node;
        const rf_json_node *at = node < event->data_node_count
                                     ? &event->data_nodes[node]
                                     : &event->metadata_nodes[node - event->data_node_count];
        whole &= value_of(at, &values[i]);
    }
    if (!whole)
        return;
    event->shape = shape;
    event->values = values;
    event->data_nodes = shape->data_nodes;
    event->metadata_nodes = shape->metadata_nodes;
}

static void add(fixture *f, const char *data, const char *metadata)
{
    rf_event event = {.stream = RF_SLICE("s"),
                      .type = RF_SLICE("T"),
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
    f->events[f->count] = event;
    shape_give(f, &event);
    f->shaped[f->count++] = event;
}

/* Every event beside every stored one; the events are stored with their shapes or without. Returns
 * how many comparisons values alone decided. */
static uint32_t expect_by_bytes(fixture *f, bool stored_shaped)
{
    rf_segment_builder *builder = rf_segment_builder_new(7);
    rf_payload_reader *reader = rf_payload_reader_new();
    rf_segment segment;
    rf_shapes shapes;
    rf_buf bytes;
    rf_err err;
    static int64_t numbers[EVENTS_MAX];
    uint32_t by_value = 0;

    rf_buf_init(&bytes, 64 << 20);
    for (uint32_t i = 0; i < f->count; i++) {
        const rf_event *event = stored_shaped ? &f->shaped[i] : &f->events[i];
        rf_placement placement = {.position = i + 1, .fingerprint = rf_event_fingerprint(event)};
        cr_assert_eq(rf_segment_builder_add(builder, event, &placement, &err), RF_OK);
    }
    cr_assert_eq(rf_segment_builder_finish(builder, &bytes, &err), RF_OK);
    cr_assert_eq(rf_segment_open(rf_buf_slice(&bytes), &f->arena, &segment, &err), RF_OK);
    for (uint32_t i = 0; i < f->count; i++) {
        for (uint32_t k = 0; k < 2 * f->count; k++) {
            const rf_event *asked = k < f->count ? &f->events[k] : &f->shaped[k - f->count];
            const rf_event *stored = &f->events[i];
            bool wanted = rf_slice_equal(asked->data, stored->data) &&
                          !asked->metadata.data == !stored->metadata.data &&
                          rf_slice_equal(asked->metadata, stored->metadata);
            bool same = !wanted;
            cr_assert_eq(rf_payload_same(reader, &segment, i, asked, &same, &err), RF_OK, "%s",
                         err.message);
            cr_assert_eq(same, wanted, "%.*s beside %.*s", (int)asked->data.size,
                         asked->data.data, (int)stored->data.size, stored->data.data);
        }
    }
    rf_shapes_init(&shapes);
    cr_assert_eq(rf_shapes_open(&shapes, &segment, NULL, &err), RF_OK);
    cr_assert_eq(rf_segment_per_event(&segment, RF_SEGMENT_SHAPE, numbers, NULL, &err), RF_OK);
    rf_codec *codec = rf_codec_new();
    for (uint32_t i = 0; i < f->count; i++) {
        rf_same same = RF_SAME_UNKNOWN;
        rf_shaped at = {rf_shapes_find(&shapes, 0, numbers[i]), .ordinal = i};
        if (!f->shaped[i].shape || !at.view || at.view->rest_count > 0)
            continue;
        cr_assert_eq(
            rf_shapes_same(&shapes, &segment, &at, &f->shaped[i], codec, &same, &err), RF_OK);
        cr_assert_neq(same, RF_SAME_NO);
        by_value += same == RF_SAME_YES;
    }
    rf_codec_free(codec);
    rf_shapes_free(&shapes);
    rf_segment_builder_free(builder);
    rf_payload_reader_free(reader);
    rf_buf_free(&bytes);
    return by_value;
}

/* As many raw bytes as a segment has before it makes shapes. */
static void fill(fixture *f)
{
    char data[200];

    for (int i = 0; i < 26; i++) {
        (void)snprintf(data, sizeof data, "{\"fill\":\"%0150d\"}", i);
        add(f, data, NULL);
    }
}

static const char *const TEXTS[] = {
    "{\"a\":1,\"b\":\"x\"}",      "{\"a\":1,\"b\":\"y\"}",      "{\"a\":2,\"b\":\"x\"}",
    "{\"a\":1,\"b\":null}",       "{\"a\":1,\"b\":true}",       "{\"a\":1,\"b\":false}",
    "{\"a\":1,\"b\":\"true\"}",   "{\"a\":1,\"b\":\"null\"}",   "{\"a\":1,\"b\":\"\"}",
    "{\"a\":1,\"b\":\"1\"}",      "{\"a\":1,\"b\":1}",          "{\"a\":1,\"b\":1.0}",
    "{\"a\":1,\"b\":1.00}",       "{\"a\":1,\"b\":1.5}",        "{\"a\":1,\"b\":1.50}",
    "{\"a\":1,\"b\":15}",         "{\"a\":1,\"b\":-1.5}",       "{\"a\":1,\"b\":0.0}",
    "{\"a\":1,\"b\":-0.0}",       "{\"a\":1,\"b\":-0}",         "{\"a\":1,\"b\":0}",
    "{\"a\":1,\"b\":1e0}",        "{\"a\":1,\"b\":1.25}",       "{\"a\": 1,\"b\":\"x\"}",
    "{\"b\":\"x\",\"a\":1}",      "{\"a\":1,\"b\":\"x\" }",     "{\"a\":1}",
    "{}",                         "{\"a\":{\"c\":1},\"b\":2}",  "{\"a\":{\"c\":null},\"b\":2}",
    "{\"a\":1,\"b\":\"a\\nb\"}",  "{\"a\":1,\"b\":\"a\\\\nb\"}", "{\"a\":1,\"b\":\"\\u0041\"}",
    "{\"a\":1,\"b\":\"A\"}",      "{\"a\":1,\"b\":[1,2]}",      "{\"a\":1,\"b\":[]}",
    "{\"a\":9223372036854775807,\"b\":0}", "{\"a\":9223372036854775808,\"b\":0}",
    "{\"a\":null,\"b\":null}",    "{\"a\":true,\"b\":true}",    "{\"a\":false,\"b\":true}",
};
enum { TEXT_COUNT = sizeof TEXTS / sizeof *TEXTS };

Test(payload_same, is_decided_by_the_bytes_of_data)
{
    fixture *f = begin();

    fill(f);
    for (unsigned i = 0; i < TEXT_COUNT; i++)
        add(f, TEXTS[i], NULL);
    cr_expect_gt(expect_by_bytes(f, false), 15u);
    cr_expect_gt(expect_by_bytes(f, true), 15u);
    end(f);
}

Test(payload_same, is_decided_by_the_bytes_of_metadata)
{
    fixture *f = begin();

    fill(f);
    for (unsigned i = 0; i < TEXT_COUNT; i++)
        add(f, "{\"a\":1,\"b\":\"x\"}", TEXTS[i]);
    add(f, "{\"a\":1,\"b\":\"x\"}", NULL);
    expect_by_bytes(f, false);
    expect_by_bytes(f, true);
    end(f);
}

Test(payload_same, tells_apart_what_ends_in_data_and_begins_in_metadata)
{
    fixture *f = begin();

    fill(f);
    for (unsigned i = 0; i < 4; i++) {
        add(f, "{\"a\":1}", "{\"b\":\"x\"}");
        add(f, "{\"a\":1}", "{\"b\":\"y\"}");
        add(f, "{\"a\":1}", NULL);
        add(f, "{\"b\":\"x\"}", "{\"a\":1}");
    }
    cr_expect_gt(expect_by_bytes(f, false), 15u);
    cr_expect_gt(expect_by_bytes(f, true), 15u);
    end(f);
}
