/* pattern.h: a line by a pattern and the same line read in full are the same event. */
#include "source/pattern.h"

#include "base/bytes.h"
#include "log/census.h"
#include "log/segment.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_ROOM = 4096 };

typedef struct fixture {
    rf_mapping *mapping;
    rf_event_shapes *shapes;
    rf_patterns *patterns;
    rf_json_parser *parser;
    rf_arena memory;
    rf_unused_members unused;      /* of lines by pattern */
    rf_unused_members unused_full; /* of the same lines read in full */
    char text[TEXT_ROOM + RF_JSON_PADDING];
} fixture;

static fixture *begin(const char *map)
{
    fixture *f = calloc(1, sizeof *f);
    rf_import_options options = {.maps = &map, .map_count = map ? 1 : 0};
    rf_err err;

    cr_assert_eq(rf_mapping_new(&options, &f->mapping, &err), RF_OK, "%s", err.message);
    f->shapes = rf_event_shapes_new();
    f->patterns = rf_patterns_new(f->mapping, f->shapes);
    f->parser = rf_json_parser_new();
    rf_arena_init(&f->memory, 64 << 20);
    return f;
}

static void end(fixture *f)
{
    rf_patterns_free(f->patterns);
    rf_event_shapes_free(f->shapes);
    rf_mapping_free(f->mapping);
    rf_json_parser_free(f->parser);
    rf_arena_free(&f->memory);
    free(f);
}

static void put(fixture *f, const char *line, size_t size)
{
    cr_assert_lt(size, TEXT_ROOM);
    memset(f->text, 0, sizeof f->text);
    memcpy(f->text, line, size);
}

static rf_status read_full(fixture *f, size_t size, bool learn, rf_event *event)
{
    rf_line_members members;
    rf_err err;
    rf_slice line = {f->text, size};

    rf_status status = rf_mapping_read_members(f->mapping, f->parser, line,
                                               learn ? &f->unused : &f->unused_full, &members,
                                               event, &err);
    if (status == RF_OK && learn)
        rf_patterns_learn(f->patterns, line, &members, event);
    return status;
}

static void learn(fixture *f, const char *line)
{
    rf_event event;

    put(f, line, strlen(line));
    cr_assert_eq(read_full(f, strlen(line), true, &event), RF_OK, "%s", line);
    f->unused_full = f->unused;
}

static bool read_pattern(fixture *f, const char *line, rf_event *event)
{
    const char *at = f->text;

    put(f, line, strlen(line));
    bool matched = rf_patterns_read(f->patterns, &at, f->text + strlen(line), &f->memory,
                                    &f->unused, event);
    cr_assert_eq(at, matched ? f->text + strlen(line) : f->text, "%s", line);
    return matched;
}

static void expect_same(fixture *f, const rf_event *a, const rf_event *b)
{
    cr_assert(rf_slice_equal(a->stream, b->stream) && rf_slice_equal(a->type, b->type));
    cr_assert(a->version == b->version && a->schema == b->schema && a->time == b->time &&
              a->source_position == b->source_position);
    cr_assert(rf_slice_equal(a->data, b->data) && !a->metadata.data == !b->metadata.data &&
              rf_slice_equal(a->metadata, b->metadata));
    cr_assert_eq(f->unused.count, f->unused_full.count);
    for (uint32_t i = 0; i < f->unused.count; i++) {
        cr_assert_str_eq(f->unused.members[i].name, f->unused_full.members[i].name);
        cr_assert_eq(f->unused.members[i].count, f->unused_full.members[i].count);
    }
}

static void expect_nodes(const rf_json_node *a, const rf_json_node *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(a[i].kind == b[i].kind && a[i].depth == b[i].depth && a[i].next == b[i].next);
        cr_assert(rf_slice_equal(rf_json_key(&a[i]), rf_json_key(&b[i])));
        if (a[i].kind == RF_JSON_INTEGER || a[i].kind == RF_JSON_NUMBER ||
            a[i].kind == RF_JSON_STRING)
            cr_assert(rf_slice_equal(rf_json_text(&a[i]), rf_json_text(&b[i])));
    }
}

/* The line matches and is what it is when read in full. */
static void expect_match(fixture *f, const char *line)
{
    rf_event by_pattern, full;
    rf_json_node nodes[256];

    rf_json_parser_reset(f->parser);
    cr_assert(read_pattern(f, line, &by_pattern), "%s", line);
    size_t size = strcspn(line, "\n");
    char after = f->text[size];
    cr_assert_eq(read_full(f, size, false, &full), RF_OK, "%s", line);
    f->text[size] = after;
    expect_same(f, &by_pattern, &full);
    cr_assert_not_null(by_pattern.shape);
    cr_assert_null(full.shape);
    cr_assert_eq(by_pattern.data_node_count, full.data_node_count);
    cr_assert_eq(by_pattern.metadata_node_count, full.metadata_node_count);
    rf_event_fill_nodes(&by_pattern, nodes);
    expect_nodes(nodes, full.data_nodes, full.data_node_count);
    expect_nodes(nodes + full.data_node_count, full.metadata_nodes, full.metadata_node_count);
    for (uint32_t i = 0; i < by_pattern.shape->value_count; i++) {
        const rf_json_node *node = &nodes[by_pattern.shape->values[i].node];
        const rf_event_value *value = &by_pattern.values[i];
        int64_t number = 0;
        unsigned scale = 0;
        cr_assert_eq(by_pattern.shape->values[i].kind, node->kind);
        if (node->kind == RF_JSON_INTEGER)
            cr_assert(rf_parse_int(rf_json_text(node), &number) == RF_VALUE_OK &&
                      number == value->value);
        if (node->kind == RF_JSON_NUMBER)
            cr_assert(rf_parse_exact(rf_json_text(node), &number, &scale) &&
                      number == value->value && scale == value->scale);
    }
}

static void expect_none(fixture *f, const char *line)
{
    rf_event event;

    cr_assert_not(read_pattern(f, line, &event), "%s", line);
}

#define ORDER "{\"position\":1,\"stream\":\"a-1\",\"version\":2,\"time\":1700000000019,"
#define PLACED ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":1,\"price\":1.50}}"

Test(pattern, reads_a_line_that_differs_in_its_values)
{
    fixture *f = begin(NULL);

    expect_none(f, PLACED);
    learn(f, PLACED);
    expect_match(f, PLACED);
    expect_match(f, "{\"position\":123456789012345678,\"stream\":\"another-one-that-is-long\","
                    "\"version\":0,\"time\":-2208988800000,\"type\":\"Placed\",\"data\":{\"note\":"
                    "\"\",\"qty\":-12345678,\"price\":0.00000000000000001}}\n");
    expect_match(f, "{\"position\":87654321,\"stream\":\"b\",\"version\":999999999,"
                    "\"time\":1700000000020,\"type\":\"Placed\",\"data\":{\"note\":\"0123456789abcdef"
                    "0123456789abcdef {}[],:\x7f\",\"qty\":0,\"price\":-123456789.5}}\r\n");
    end(f);
}

Test(pattern, leaves_all_other_lines_to_be_read_in_full)
{
    static const char *const others[] = {
        "",
        "\n",
        "{\"position\":1}",
        /* out of range, or no number by the grammar, or more than the value holds */
        "{\"position\":0,\"stream\":\"a\",\"version\":2,\"time\":1,\"type\":\"Placed\","
        "\"data\":{\"note\":\"n\",\"qty\":1,\"price\":1.50}}",
        "{\"position\":1,\"stream\":\"\",\"version\":2,\"time\":1,\"type\":\"Placed\","
        "\"data\":{\"note\":\"n\",\"qty\":1,\"price\":1.50}}",
        "{\"position\":1,\"stream\":\"a\",\"version\":-1,\"time\":1,\"type\":\"Placed\","
        "\"data\":{\"note\":\"n\",\"qty\":1,\"price\":1.50}}",
        "{\"position\":1,\"stream\":\"a\",\"version\":1,\"time\":99999999999999,"
        "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":1,\"price\":1.50}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":01,\"price\":1.50}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":-0,\"price\":1.50}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":1,\"price\":-0.0}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":1,\"price\":1.}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":1,\"price\":.5}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":1,\"price\":00.5}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":1,\"price\":1.5e1}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":,\"price\":1.50}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":-,\"price\":1.50}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":+1,\"price\":1.50}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":1234567890123456789,"
              "\"price\":1.50}}",
        /* another kind */
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":1,\"price\":1}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":null,\"qty\":1,\"price\":1.50}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":\"1\",\"price\":1.50}}",
        /* strings that are more than printable ASCII */
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"\\n\",\"qty\":1,\"price\":1.50}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"a\tb\",\"qty\":1,\"price\":1.50}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"\xc3\xa9\",\"qty\":1,\"price\":1.50}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"\xff\",\"qty\":1,\"price\":1.50}}",
        /* another structure, or no end */
        ORDER "\"type\":\"Paid\",\"data\":{\"note\":\"n\",\"qty\":1,\"price\":1.50}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\": \"n\",\"qty\":1,\"price\":1.50}}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":1,\"price\":1.50},\"x\":1}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":1,\"price\":1.50}} ",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":1,\"price\":1.50}}\rx",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n\",\"qty\":1,\"price\":1.50}",
        ORDER "\"type\":\"Placed\",\"data\":{\"note\":\"n",
    };
    fixture *f = begin(NULL);

    learn(f, PLACED);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        expect_none(f, others[i]);
    end(f);
}

Test(pattern, refuses_a_stream_name_that_is_too_long)
{
    fixture *f = begin(NULL);
    char line[1024];

    learn(f, "{\"stream\":\"a\",\"type\":\"T\",\"data\":{}}");
    snprintf(line, sizeof line, "{\"stream\":\"%0480d\",\"type\":\"T\",\"data\":{}}", 0);
    expect_match(f, line);
    snprintf(line, sizeof line, "{\"stream\":\"%0481d\",\"type\":\"T\",\"data\":{}}", 0);
    expect_none(f, line);
    end(f);
}

Test(pattern, knows_many_forms_of_lines)
{
    static const char *const lines[] = {
        PLACED,
        ORDER "\"type\":\"Paid\",\"data\":{}}",
        ORDER "\"type\":\"Paid\",\"data\":{\"a\":{\"b\":1,\"c\":{\"d\":\"x\",\"e\":true}},\"f\":null}}",
        ORDER "\"type\":\"Paid\",\"data\":{\"a\":{\"b\":1,\"c\":{\"d\":\"x\",\"e\":false}},\"f\":2}}",
        "{\"metadata\":{\"user\":\"u\",\"n\":1},\"stream\":\"s\",\"type\":\"T\",\"data\":{\"k\":1}}",
        "{\"data\":{\"k\":1},\"metadata\":{\"user\":\"u\"},\"type\":\"T\",\"stream\":\"s\"}",
        "{\"stream\":\"s\",\"type\":\"T\",\"data\":{\"k\":1},\"metadata\":null,\"schema\":3}",
        "{ \"stream\" : \"s\", \"type\" : \"T\", \"data\" : { \"k\" : 1.25 } }",
        "{\"stream\":\"s\",\"extra\":[1,{\"y\":\"z\"}],\"type\":\"T\",\"other\":7,\"data\":{\"k\":1}}",
        "{\"stream\":\"s\",\"type\":\"Caf\xc3\xa9 \\\"\",\"data\":{\"\\u006b\xc3\xa9y\":1}}",
        "{\"stream\":\"s\",\"time\":\"2024-07-10T12:00:00Z\",\"type\":\"T\",\"data\":{\"k\":\"v\"}}",
    };
    fixture *f = begin(NULL);

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        learn(f, lines[i]);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        expect_match(f, lines[i]);
    expect_none(f, "{\"stream\":\"s\",\"time\":\"2024-07-10T12:00:00\",\"type\":\"T\","
                   "\"data\":{\"k\":\"v\"}}");
    end(f);
}

Test(pattern, has_none_for_lines_that_it_could_get_wrong)
{
    static const char *const lines[] = {
        "{\"stream\":\"s\",\"type\":\"T\",\"data\":[1]}",
        "{\"stream\":\"s\",\"type\":\"T\",\"data\":\"text\"}",
        "{\"stream\":\"s\",\"type\":\"T\",\"data\":{\"list\":[1,2]}}",
        "{\"stream\":\"s\",\"type\":\"T\",\"data\":{\"a\":1,\"a\":2}}",
        "{\"stream\":\"s\\u0041\",\"type\":\"T\",\"data\":{\"a\":1}}",
        "{\"stream\":\"s\",\"type\":\"T\",\"data\":{\"a\":\"\\\"\"}}",
        "{\"stream\":\"s\",\"type\":\"T\",\"data\":{\"a\":1},\"metadata\":[]}",
    };
    fixture *f = begin(NULL);

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        learn(f, lines[i]);
        expect_none(f, lines[i]);
    }
    end(f);
}

Test(pattern, follows_maps_of_members_and_leaves_those_of_paths)
{
    fixture *f = begin("stream=entity,position=id");

    learn(f, "{\"id\":5,\"entity\":\"e\",\"type\":\"T\",\"data\":{\"k\":1},\"stream\":\"unused\"}");
    expect_match(f,
                 "{\"id\":6,\"entity\":\"e2\",\"type\":\"T\",\"data\":{\"k\":2},\"stream\":\"u\"}");
    end(f);
    f = begin("schema=data.v");
    learn(f, "{\"stream\":\"s\",\"type\":\"T\",\"data\":{\"v\":2}}");
    expect_none(f, "{\"stream\":\"s\",\"type\":\"T\",\"data\":{\"v\":2}}");
    end(f);
    f = begin("stream=x,type=x");
    learn(f, "{\"x\":\"s\",\"data\":{\"v\":2}}");
    expect_none(f, "{\"x\":\"s\",\"data\":{\"v\":2}}");
    end(f);
}

Test(pattern, stays_within_its_room)
{
    fixture *f = begin(NULL);
    char line[256];

    for (unsigned i = 0; i < 3000; i++) {
        snprintf(line, sizeof line, "{\"stream\":\"s\",\"type\":\"T%u\",\"data\":{\"k%u\":1}}", i, i);
        learn(f, line);
        rf_json_parser_reset(f->parser);
    }
    expect_match(f, "{\"stream\":\"s\",\"type\":\"T0\",\"data\":{\"k0\":17}}");
    expect_none(f, "{\"stream\":\"s\",\"type\":\"T2999\",\"data\":{\"k2999\":1}}");
    end(f);
}

/* Line `i` of a log: types and members change, some lines can have no pattern. */
static void make_line(unsigned i, char *line, size_t size)
{
    static const char *const notes[] = {"", "plain", "with \\\"escape\\\"", "caf\xc3\xa9"};
    unsigned r = i * 2654435761u >> 7;

    switch (r % 5) {
    case 0:
        snprintf(line, size,
                 "{\"stream\":\"s-%u\",\"type\":\"Placed\",\"data\":{\"note\":\"%s\",\"total\":%u.%02u}}",
                 r % 7, notes[r / 5 % 4], r % 1000, r % 100);
        break;
    case 1:
        snprintf(line, size,
                 "{\"stream\":\"s-%u\",\"type\":\"Placed\",\"data\":{\"total\":%u,\"vip\":%s}}", r % 7,
                 r % 1000, r % 2 ? "true" : "false");
        break;
    case 2:
        snprintf(line, size,
                 "{\"stream\":\"s\",\"type\":\"Paid\",\"data\":{\"by\":{\"card\":\"%u\",\"n\":%u}},"
                 "\"metadata\":{\"user\":\"u%u\"}}",
                 r, r % 10, r % 3);
        break;
    case 3:
        snprintf(line, size, "{\"stream\":\"s\",\"type\":\"Map\",\"data\":{\"k%u\":%u}}", r % 70, r);
        break;
    default:
        snprintf(line, size,
                 "{\"stream\":\"s\",\"type\":\"Listed\",\"schema\":%u,\"data\":{\"l\":[%u],\"q\":%s}}",
                 1 + r % 2, r, r % 3 ? "null" : "1e2");
    }
}

typedef struct made {
    rf_segment_builder *builder;
    rf_census *census;
    rf_buf segment;
    rf_buf census_text;
} made;

static void made_begin(made *to)
{
    to->builder = rf_segment_builder_new(3);
    to->census = rf_census_new();
    rf_buf_init(&to->segment, 64 << 20);
    rf_buf_init(&to->census_text, 64 << 20);
}

static void made_add(made *to, const rf_event *event, uint64_t position)
{
    rf_placement placement = {.position = position, .fingerprint = rf_event_fingerprint(event)};
    rf_err err;

    cr_assert_eq(rf_segment_builder_add(to->builder, event, &placement, &err), RF_OK, "%s",
                 err.message);
    cr_assert_eq(rf_census_count_event(to->census, event, position, &err), RF_OK);
}

static void made_end(made *to)
{
    const rf_census_type *types;
    uint32_t count;
    rf_err err;

    rf_buf_clear(&to->segment);
    cr_assert_eq(rf_segment_builder_finish(to->builder, &to->segment, &err), RF_OK);
    cr_assert_eq(rf_census_settle(to->census, &err), RF_OK);
    cr_assert_eq(rf_census_list(to->census, &types, &count, &err), RF_OK);
    rf_buf_clear(&to->census_text);
    for (uint32_t i = 0; i < count; i++) {
        rf_buf_append_format(&to->census_text, "%.*s %lld %llu %d\n", (int)types[i].type.size,
                             types[i].type.data, (long long)types[i].schema,
                             (unsigned long long)types[i].events, types[i].capped);
        for (uint32_t k = 0; k < types[i].field_count; k++) {
            const rf_census_field *field = &types[i].fields[k];
            rf_buf_append_slice(&to->census_text, field->path);
            rf_buf_append(&to->census_text, field->counts, sizeof field->counts);
        }
    }
}

static void made_free(made *to)
{
    rf_segment_builder_free(to->builder);
    rf_census_free(to->census);
    rf_buf_free(&to->segment);
    rf_buf_free(&to->census_text);
}

/* A field's columns: their kinds, and which of the events have which values. */
static void expect_same_field(const rf_segment *a, const rf_segment *b, const rf_field_info *info,
                              rf_codec *codec, rf_arena *arena)
{
    const rf_segment *both[2] = {a, b};
    rf_field_column columns[2][5];
    uint32_t counts[2];
    bool capped[2];
    rf_err err;

    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(rf_segment_field(both[i], info->type, &info->path, codec, arena, arena,
                                      columns[i], &counts[i], &capped[i], NULL, &err),
                     RF_OK, "%s", err.message);
    cr_assert_eq(counts[0], counts[1]);
    cr_assert_eq(capped[0], capped[1]);
    for (uint32_t c = 0; c < counts[0]; c++) {
        const rf_field_column *x = &columns[0][c], *y = &columns[1][c];
        size_t bitmap = ((size_t)a->types[info->type].count + 7) / 8;
        cr_assert(x->kind == y->kind && x->scale == y->scale &&
                  x->present_count == y->present_count);
        cr_assert_eq(x->present != NULL, y->present != NULL);
        cr_assert(!x->present || memcmp(x->present, y->present, bitmap) == 0);
        for (uint32_t i = 0; i < x->present_count; i++)
            cr_assert(x->ints ? x->ints[i] == y->ints[i]
                              : rf_slice_equal(rf_text_column_at(&x->text, i),
                                               rf_text_column_at(&y->text, i)));
    }
}

/* The same events with the same fields; how their bytes are kept may differ. */
static void expect_same_segments(rf_slice a_bytes, rf_slice b_bytes)
{
    static int64_t values[2][RF_SEGMENT_EVENTS_MAX];
    rf_payload_reader *readers[2] = {rf_payload_reader_new(), rf_payload_reader_new()};
    rf_codec *codec = rf_codec_new();
    rf_field_info *infos[2];
    uint32_t counts[2];
    rf_segment a, b;
    rf_arena arena;
    rf_err err;

    rf_arena_init(&arena, 256 << 20);
    cr_assert_eq(rf_segment_open(a_bytes, &arena, &a, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_segment_open(b_bytes, &arena, &b, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_segment_verify(&a, &err), RF_OK, "%s", err.message);
    cr_assert_eq(a.count, b.count);
    for (unsigned i = 0; i < RF_ENVELOPE_COUNT; i++) {
        cr_assert_eq(rf_segment_envelope(&a, (rf_envelope)i, values[0], NULL, &err), RF_OK);
        cr_assert_eq(rf_segment_envelope(&b, (rf_envelope)i, values[1], NULL, &err), RF_OK);
        cr_assert_eq(memcmp(values[0], values[1], a.count * sizeof values[0][0]), 0);
    }
    for (uint32_t i = 0; i < a.count; i++) {
        rf_slice data[2], metadata[2];
        cr_assert_eq(rf_payload_read(readers[0], &a, i, &data[0], &metadata[0], NULL, &err), RF_OK);
        cr_assert_eq(rf_payload_read(readers[1], &b, i, &data[1], &metadata[1], NULL, &err), RF_OK);
        cr_assert(rf_slice_equal(data[0], data[1]) && rf_slice_equal(metadata[0], metadata[1]));
    }
    cr_assert_eq(rf_segment_fields(&a, &arena, &infos[0], &counts[0], &err), RF_OK);
    cr_assert_eq(rf_segment_fields(&b, &arena, &infos[1], &counts[1], &err), RF_OK);
    cr_assert_eq(counts[0], counts[1]);
    for (uint32_t i = 0; i < counts[0]; i++)
        expect_same_field(&a, &b, &infos[0][i], codec, &arena);
    rf_codec_free(codec);
    rf_payload_reader_free(readers[0]);
    rf_payload_reader_free(readers[1]);
    rf_arena_free(&arena);
}

/* Events by pattern give the segment and the counts of a census that nodes give. */
Test(pattern, gives_the_same_segment_and_census_as_reading_in_full)
{
    fixture *f = begin(NULL);
    made by_pattern, full;
    uint64_t shaped = 0;

    made_begin(&by_pattern);
    made_begin(&full);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 3000; i++) {
            char line[512];
            rf_event event, plain;
            rf_json_parser_reset(f->parser);
            rf_patterns_leave(f->patterns);
            rf_arena_rewind(&f->memory);
            make_line(round * 3000 + i, line, sizeof line);
            if (!read_pattern(f, line, &event))
                cr_assert_eq(read_full(f, strlen(line), true, &event), RF_OK, "%s", line);
            shaped += event.shape != NULL;
            made_add(&by_pattern, &event, i + 1);
            cr_assert_eq(read_full(f, strlen(line), false, &plain), RF_OK);
            made_add(&full, &plain, i + 1);
        }
        made_end(&by_pattern);
        made_end(&full);
        expect_same_segments(rf_buf_slice(&by_pattern.segment), rf_buf_slice(&full.segment));
        cr_assert(
            rf_slice_equal(rf_buf_slice(&by_pattern.census_text), rf_buf_slice(&full.census_text)));
    }
    cr_assert_gt(shaped, 3000);
    made_free(&by_pattern);
    made_free(&full);
    end(f);
}
