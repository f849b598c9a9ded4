/* check.h: schemas and upcasters against a census. */
#include "base/bytes.h"
#include "projection/evolution.h"
#include "rebuild/check.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static rf_census *census;
static rf_arena arena;
static rf_json_parser *parser;
static uint64_t position;

static void make(void)
{
    census = rf_census_new();
    parser = rf_json_parser_new();
    rf_arena_init(&arena, 1 << 20);
    position = 0;
}

static void drop(void)
{
    rf_census_free(census);
    rf_json_parser_free(parser);
    rf_arena_free(&arena);
}

TestSuite(check_schemas, .init = make, .fini = drop);

static void count(const char *type, int64_t schema, const char *data)
{
    char padded[512] = {0};
    rf_event event = {
        .stream = RF_SLICE("a"), .type = rf_slice_of(type), .schema = schema, .time = RF_TIME_NONE};

    (void)snprintf(padded, sizeof padded - RF_JSON_PADDING, "%s", data);
    event.data = rf_slice_of(padded);
    cr_assert_eq(rf_json_parse(parser, event.data, &event.data_nodes, &event.data_node_count, NULL),
                 RF_OK);
    cr_assert_eq(rf_census_count_event(census, &event, ++position, NULL), RF_OK);
    rf_json_parser_reset(parser);
}

struct row {
    int64_t a;
};

struct event {
    int64_t price;
};

static rf_fold_result fold_nothing(rf_fold *fold, void *row, const void *event)
{
    (void)fold, (void)row, (void)event;
    return RF_ROW_UNCHANGED;
}

static rf_status run_nothing(void *state, uint32_t index, rf_upcast_batch *batch, rf_err *err)
{
    (void)state, (void)index, (void)batch, (void)err;
    return RF_OK;
}

static const rf_upcast_ops ops = {.run = run_nothing};
static const rf_column columns[] = {RF_COLUMN(struct row, a, RF_INT)};
static const rf_field price[] = {RF_FIELD_DECIMAL(struct event, price, 2)};
static const rf_handler items[] = {RF_HANDLER("ItemAdded", fold_nothing, struct event, price)};
static const rf_handler bare[] = {RF_HANDLER_BARE("ItemAdded", fold_nothing)};
static const rf_handler star[] = {RF_HANDLER("*", fold_nothing, struct event, price)};
static const rf_upcast_move copy[] = {{.to = "price", .from = "unit_price"}};
static const char *const assigned[] = {"price"};
static const rf_upcast moves[] = {
    {.type = "ItemAdded", .schema = 1, .moves = copy, .move_count = 1}};
static const rf_upcast function[] = {{.type = "ItemAdded",
                                      .schema = 1,
                                      .fields = price,
                                      .field_count = 1,
                                      .event_size = sizeof(struct event),
                                      .assigned = assigned,
                                      .assigned_count = 1}};

static rf_check_list check(const rf_handler *handlers, const rf_evolution_tables *evolution)
{
    const rf_projection tables = {
        RF_PROJECTION_HEAD,   .name = "sample",   .version = 1,
        .key = "stream",      .columns = columns, .row_size = sizeof(struct row),
        .handlers = handlers, .column_count = 1,  .handler_count = 1,
    };
    rf_check_list list = {0};
    rf_definition *definition;
    rf_evolution *made;
    rf_err err = {0};

    cr_assert_eq(rf_definition_of(&tables, RF_SLICE("x"), &definition, &err), RF_OK, "%s",
                 err.message);
    if (evolution) {
        cr_assert_eq(rf_evolution_new(evolution, &made, &err), RF_OK, "%s", err.message);
        cr_assert_eq(rf_definition_evolve(definition, made, RF_SLICE("y"), &err), RF_OK, "%s",
                     err.message);
    }
    cr_assert_eq(rf_check_definition(definition, census, &arena, &list, &err), RF_OK, "%s",
                 err.message);
    rf_definition_free(definition);
    return list;
}

static const rf_evolution_tables by_moves = {.upcasts = moves, .upcast_count = 1};
static const rf_evolution_tables by_function = {
    .upcasts = function, .upcast_count = 1, .ops = &ops};

/* The only finding is this one. */
static void finds(rf_check_list list, bool refuses, const char *text)
{
    cr_assert_eq(list.finding_count, 1, "%u findings, %s", list.finding_count,
                 list.finding_count ? list.findings[0].text : "");
    cr_assert_str_eq(list.findings[0].text, text);
    cr_assert_eq(list.findings[0].refuses, refuses);
    cr_assert_eq(list.refused, refuses);
}

/* Nothing is found, and this is the schema of ItemAdded; 0: none is kept. */
static void keeps(rf_check_list list, int64_t schema)
{
    cr_assert_eq(list.finding_count, 0, "%s", list.finding_count ? list.findings[0].text : "");
    cr_assert_eq(list.schema_count, schema != 0);
    if (schema != 0) {
        cr_assert(rf_slice_is(list.schemas[0].type, "ItemAdded"));
        cr_assert_eq(list.schemas[0].schema, schema);
    }
}

Test(check_schemas, keeps_the_only_schema_that_occurred)
{
    count("ItemAdded", 4, "{\"price\":1}");
    count("Other", 1, "{}");
    count("Other", 2, "{}");
    keeps(check(items, NULL), 4);
    keeps(check(bare, NULL), 0);
}

Test(check_schemas, refuses_several_schemas_that_nobody_declared)
{
    count("ItemAdded", 1, "{\"price\":1}");
    count("ItemAdded", 2, "{\"price\":1}");
    count("ItemAdded", 2, "{\"price\":1}");
    finds(check(items, NULL), true,
          "sample: 1 events of type ItemAdded have schema 1 and 2 have 2, and there is no upcaster "
          "from 1; `schemas` takes several as they are");
    cr_assert(check(star, NULL).refused);
    keeps(check(bare, NULL), 0);
}

Test(check_schemas, accepts_several_schemas_that_are_declared)
{
    static const int64_t schemas[] = {1, 2};
    static const rf_accepted accepted[] = {{"ItemAdded", schemas, 2}};
    const rf_evolution_tables tables = {.accepted = accepted, .accepted_count = 1};

    count("ItemAdded", 1, "{\"price\":1}");
    count("ItemAdded", 2, "{\"price\":1}");
    keeps(check(items, &tables), 2);
    count("ItemAdded", 3, "{\"price\":1}");
    finds(check(items, &tables), true,
          "sample: 1 events of type ItemAdded have schema 3, above the current one, 2");
}

Test(check_schemas, counts_old_names_among_the_events_of_todays)
{
    static const rf_rename renames[] = {{"ItemPut", "ItemAdded"}};
    const rf_evolution_tables renamed = {.renames = renames, .rename_count = 1};

    count("ItemPut", 1, "{\"price\":1}");
    rf_check_list list = check(items, &renamed);
    keeps(list, 1);
    cr_assert_eq(list.events_handled, 1);
    cr_assert_eq(list.fields[0].present, 1);
    count("ItemAdded", 2, "{\"price\":1}");
    cr_assert(check(items, &renamed).refused);
}

Test(check_schemas, looks_for_a_field_where_it_was_stored)
{
    count("ItemAdded", 1, "{\"unit_price\":1}");
    count("ItemAdded", 2, "{\"price\":1}");
    rf_check_list list = check(items, &by_moves);
    keeps(list, 2);
    cr_assert_eq(list.fields[0].present, 2);
    cr_assert_eq(list.fields[0].events, 2);
}

Test(check_schemas, counts_what_upcasters_may_assign_as_had)
{
    count("ItemAdded", 1, "{\"price\":\"1 EUR\"}");
    rf_check_list list = check(items, &by_function);
    keeps(list, 2);
    cr_assert_eq(list.fields[0].present, 1);
}

Test(check_schemas, looks_for_the_fields_of_upcasters_in_events_of_their_schema)
{
    count("ItemAdded", 1, "{\"unitprice\":1}");
    count("ItemAdded", 2, "{\"price\":1,\"unit_price\":2}");
    rf_check_list list = check(items, &by_moves);
    cr_assert(list.refused);
    cr_assert_str_eq(list.findings[list.finding_count - 1].text,
                     "sample: no event of type ItemAdded of schema 1 ever had the field "
                     "unit_price; the nearest is unitprice");
    list = check(items, &by_function);
    finds(list, true,
          "sample: no event of type ItemAdded of schema 1 ever had the field price; the nearest "
          "is unitprice");
}

Test(check_schemas, notes_an_upcaster_of_a_schema_that_never_occurred)
{
    count("ItemAdded", 2, "{\"price\":1}");
    finds(check(items, &by_moves), false,
          "sample: upcast of ItemAdded 1: no event of that schema has occurred");
    count("Other", 1, "{}");
    const rf_handler other[] = {RF_HANDLER_BARE("Other", fold_nothing)};
    cr_assert_eq(check(other, &by_moves).finding_count, 0);
}

Test(check_schemas, refuses_schemas_from_which_no_upcaster_leads_on)
{
    static const rf_upcast upcasts[] = {
        {.type = "ItemAdded", .schema = 3, .moves = copy, .move_count = 1}};
    const rf_evolution_tables tables = {.upcasts = upcasts, .upcast_count = 1};

    count("ItemAdded", 3, "{\"unit_price\":1}");
    keeps(check(items, &tables), 4);
    count("ItemAdded", 2, "{\"price\":1}");
    finds(check(items, &tables), true,
          "sample: 1 events of type ItemAdded have schema 2, and there is no upcaster from 2");
}
