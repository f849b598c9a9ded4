/* plan.h: what is decoded of a segment, where it is put, and what is left alone. */
#include "rebuild/plan.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

struct event {
    int64_t qty;
    rf_slice sku;
    int64_t at;
    bool has_sku;
};

struct row {
    int64_t a;
};

static rf_fold_result fold_nothing(rf_fold *fold, void *row, const void *event)
{
    (void)fold, (void)row, (void)event;
    return RF_ROW_UNCHANGED;
}

static const rf_column columns[] = {RF_COLUMN(struct row, a, RF_INT)};
static const rf_field all_fields[] = {
    RF_FIELD(struct event, qty, RF_INT),
    {RF_PAYLOAD, RF_TEXT, 0, 1, 0, offsetof(struct event, sku), offsetof(struct event, has_sku),
     "sku"},
    RF_FIELD(struct event, at, RF_TIME),
};
static const rf_field qty_field[] = {RF_FIELD(struct event, qty, RF_INT)};

static rf_segment_builder *builder;
static rf_json_parser *parser;
static rf_buf bytes;
static rf_arena arena;
static rf_segment segment;

static void make(void)
{
    builder = rf_segment_builder_new(0);
    parser = rf_json_parser_new();
    rf_buf_init(&bytes, 64 << 20);
    rf_arena_init(&arena, 64 << 20);
}

static void drop(void)
{
    rf_segment_builder_free(builder);
    rf_json_parser_free(parser);
    rf_buf_free(&bytes);
    rf_arena_free(&arena);
}

TestSuite(plan, .init = make, .fini = drop);

static void add(uint32_t stream, const char *type, const char *data)
{
    char padded[512] = {0};
    rf_event event = {
        .stream = RF_SLICE("s"), .type = rf_slice_of(type), .schema = 1, .time = RF_TIME_NONE};
    rf_placement placement = {
        .position = rf_segment_builder_count(builder) + 1, .stream_number = stream, .version = 1};

    (void)snprintf(padded, sizeof padded - RF_JSON_PADDING, "%s", data);
    event.data = rf_slice_of(padded);
    cr_assert_eq(rf_json_parse(parser, event.data, &event.data_nodes, &event.data_node_count, NULL),
                 RF_OK);
    cr_assert_eq(rf_segment_builder_add(builder, &event, &placement, NULL), RF_OK);
    rf_json_parser_reset(parser);
}

static void finish(void)
{
    rf_err err = {0};

    cr_assert_eq(rf_segment_builder_finish(builder, &bytes, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_segment_open(rf_buf_slice(&bytes), &arena, &segment, &err), RF_OK, "%s",
                 err.message);
}

static rf_definition *define(rf_projection *tables, const rf_handler *handlers, uint32_t count)
{
    rf_definition *definition;
    rf_err err = {0};

    *tables = (rf_projection){
        RF_PROJECTION_HEAD,   .name = "sample",   .version = 1,
        .key = "stream",      .columns = columns, .row_size = sizeof(struct row),
        .handlers = handlers, .column_count = 1,  .handler_count = count,
    };
    cr_assert_eq(rf_definition_of(tables, RF_SLICE("x"), &definition, &err), RF_OK, "%s",
                 err.message);
    return definition;
}

static rf_status bind_wanted(rf_plan *plan, uint32_t stream_count, const uint8_t *wanted,
                             rf_plan_segment *out, rf_err *err)
{
    rf_plan_input input = {
        .segment = &segment,
        .begin = 0,
        .end = segment.count,
        .stream_count = stream_count,
        .stream_end = stream_count,
        .wanted = wanted,
        .text = &arena,
    };
    rf_plan_fault fault;

    return rf_plan_bind(plan, &input, out, &fault, err);
}

static rf_status bind(rf_plan *plan, uint32_t stream_count, rf_plan_segment *out, rf_err *err)
{
    return bind_wanted(plan, stream_count, NULL, out, err);
}

/* The struct of the first call for an event, the type's `ordinal`-th. */
static const struct event *event_of(const rf_plan_segment *bound, uint32_t event, uint32_t ordinal)
{
    const rf_plan_type *type = &bound->types[bound->event_types[event]];

    return rf_plan_event(&type->calls[0], event, ordinal, bound->event_streams[event]);
}

Test(plan, fills_one_struct_an_event_in_the_order_of_the_type)
{
    static const rf_handler handlers[] = {
        RF_HANDLER("Added", fold_nothing, struct event, all_fields)};
    rf_projection tables;
    rf_plan_segment bound;
    rf_err err = {0};

    add(0, "Added", "{\"qty\":1,\"sku\":\"x\",\"at\":\"1970-01-01T00:00:01Z\"}");
    add(1, "Other", "{\"qty\":\"of another kind\"}");
    add(0, "Added", "{\"sku\":null}");
    add(1, "Added", "{\"qty\":3,\"sku\":\"\"}");
    finish();
    rf_definition *definition = define(&tables, handlers, 1);
    const rf_definition *list[] = {definition};
    rf_plan *plan = rf_plan_new(list, 1, NULL, 0);
    cr_assert_not(rf_plan_reads_stream(plan));
    cr_assert_eq(bind(plan, 2, &bound, &err), RF_OK, "%s", err.message);

    const rf_plan_type *type = &bound.types[bound.event_types[0]];
    cr_assert(rf_slice_equal(type->name, RF_SLICE("Added")));
    cr_assert_eq(type->call_count, 1);
    cr_assert_eq(bound.types[bound.event_types[1]].call_count, 0);
    cr_assert_eq(bound.event_streams[3], 1);
    struct event events[3];
    for (uint32_t i = 0, ordinal = 0; i < segment.count; i++)
        if (bound.event_types[i] == bound.event_types[0])
            memcpy(&events[ordinal], event_of(&bound, i, ordinal), sizeof events[0]), ordinal++;
    cr_assert_eq(events[0].qty, 1);
    cr_assert(rf_slice_is(events[0].sku, "x") && events[0].has_sku);
    cr_assert_eq(events[0].at, 1000000);
    cr_assert_eq(events[1].qty, 0);
    cr_assert(events[1].sku.data == NULL && !events[1].has_sku);
    cr_assert_eq(events[1].at, RF_TIME_NONE);
    cr_assert_eq(events[2].qty, 3);
    cr_assert(events[2].sku.data != NULL && events[2].sku.size == 0 && events[2].has_sku);
    rf_plan_free(plan);
    rf_definition_free(definition);
}

/* Whether a segment in which stream 1 has the only event that is handled is bound. `others`: so many events are not, of
 * stream 0. */
static void check_wanted(uint32_t others)
{
    static const rf_handler handlers[] = {
        RF_HANDLER("Added", fold_nothing, struct event, all_fields)};
    static const uint8_t wanted[3][3] = {{1, 0, 0}, {0, 0, 1}, {0, 1, 0}};
    rf_projection tables;
    rf_plan_segment bound;
    rf_err err = {0};

    for (uint32_t i = 0; i < others; i++)
        add(0, "Other", "{\"qty\":1}");
    add(1, "Added", "{\"qty\":7}");
    finish();
    rf_definition *definition = define(&tables, handlers, 1);
    const rf_definition *list[] = {definition};
    rf_plan *plan = rf_plan_new(list, 1, NULL, 0);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert_eq(bind_wanted(plan, 3, wanted[i], &bound, &err), RF_OK, "%s", err.message);
        cr_assert_null(bound.event_types);
        cr_assert_eq(bound.type_count, 2);
    }
    cr_assert_eq(bind_wanted(plan, 3, wanted[2], &bound, &err), RF_OK, "%s", err.message);
    cr_assert_not_null(bound.event_types);
    cr_assert_eq(bound.listed != NULL, others >= 3);
    cr_assert_eq(event_of(&bound, others, 0)->qty, 7);
    rf_plan_free(plan);
    rf_definition_free(definition);
}

Test(plan, binds_nothing_of_a_segment_that_has_no_handled_event_of_streams_that_are_wanted)
{
    check_wanted(1);
}

Test(plan, binds_nothing_of_one_of_which_little_is_handled_and_that_is_of_other_streams)
{
    check_wanted(5);
}

static uint64_t bytes_of(const rf_definition *const *definitions, uint32_t count)
{
    rf_plan *plan = rf_plan_new(definitions, count, NULL, 0);
    rf_plan_segment bound;
    rf_err err = {0};

    cr_assert_eq(bind(plan, 100, &bound, &err), RF_OK, "%s", err.message);
    uint64_t decoded = rf_plan_bytes_decoded(plan);
    rf_plan_free(plan);
    return decoded;
}

Test(plan, decodes_what_is_named_and_each_column_once)
{
    static const rf_handler qty_only[] = {
        RF_HANDLER("Added", fold_nothing, struct event, qty_field)};
    static const rf_handler all[] = {RF_HANDLER("Added", fold_nothing, struct event, all_fields)};
    static const rf_handler never[] = {RF_HANDLER("Never", fold_nothing, struct event, all_fields)};
    rf_projection tables[4];

    for (uint32_t i = 0; i < 2000; i++) {
        char data[128];
        (void)snprintf(data, sizeof data, "{\"qty\":%u,\"sku\":\"%u\",\"other\":\"%u\"}",
                       i * 7 % 100, i * 7919, i);
        add(i % 100, i % 2 ? "Added" : "Taken", data);
    }
    finish();
    rf_definition *made[] = {define(&tables[0], qty_only, 1), define(&tables[1], qty_only, 1),
                             define(&tables[2], all, 1), define(&tables[3], never, 1)};
    const rf_definition *const *list = (const rf_definition *const *)made;
    uint64_t one = bytes_of(list, 1);
    cr_assert_gt(one, 0);
    cr_assert_eq(bytes_of(list, 2), one, "two that read the same read it once");
    cr_assert_gt(bytes_of(list + 2, 1), one);
    cr_assert_eq(bytes_of(list, 3), bytes_of(list + 2, 1));
    cr_assert_eq(bytes_of(list + 3, 1), 0, "types that nobody handles are not read");
    for (int i = 0; i < 4; i++)
        rf_definition_free(made[i]);
}

Test(plan, refuses_a_stream_number_that_was_not_given)
{
    static const rf_handler handlers[] = {
        RF_HANDLER("Added", fold_nothing, struct event, qty_field)};
    rf_projection tables;
    rf_plan_segment bound;
    rf_err err = {0};

    add(7, "Added", "{\"qty\":1}");
    finish();
    rf_definition *definition = define(&tables, handlers, 1);
    const rf_definition *list[] = {definition};
    rf_plan *plan = rf_plan_new(list, 1, NULL, 0);
    cr_assert_eq(bind(plan, 7, &bound, &err), RF_ERR_DAMAGED);
    cr_assert_eq(bind(plan, 8, &bound, &err), RF_OK);
    rf_plan_free(plan);
    rf_definition_free(definition);
}

Test(plan, remembers_any_number_of_types)
{
    static const rf_handler handlers[] = {RF_HANDLER("*", fold_nothing, struct event, qty_field)};
    rf_projection tables;
    rf_plan_segment bound;
    rf_err err = {0};

    for (int i = 0; i < 500; i++) {
        char type[32];
        (void)snprintf(type, sizeof type, "Type%d", i);
        add(0, type, "{\"qty\":5}");
    }
    finish();
    rf_definition *definition = define(&tables, handlers, 1);
    const rf_definition *list[] = {definition};
    rf_plan *plan = rf_plan_new(list, 1, NULL, 0);
    for (int round = 0; round < 2; round++) {
        cr_assert_eq(bind(plan, 1, &bound, &err), RF_OK, "%s", err.message);
        for (uint32_t i = 0; i < 500; i++) {
            cr_assert_eq(event_of(&bound, i, 0)->qty, 5);
        }
    }
    rf_plan_free(plan);
    rf_definition_free(definition);
}
