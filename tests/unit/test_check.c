/* check.h: refusals and notes against a census, nearest names. */
#include "base/bytes.h"
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

TestSuite(check, .init = make, .fini = drop);

static void count(const char *type, const char *data)
{
    char padded[512] = {0};
    rf_event event = {
        .stream = RF_SLICE("a"), .type = rf_slice_of(type), .schema = 1, .time = RF_TIME_NONE};

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
    int64_t qty;
    rf_slice note;
};

static rf_fold_result fold_nothing(rf_fold *fold, void *row, const void *event)
{
    (void)fold, (void)row, (void)event;
    return RF_ROW_UNCHANGED;
}

static const rf_column columns[] = {RF_COLUMN(struct row, a, RF_INT)};

/* Checks handlers against what was counted. */
static rf_check_list check(const rf_handler *handlers, uint32_t handler_count)
{
    const rf_projection tables = {
        RF_PROJECTION_HEAD,
        .name = "sample",
        .version = 1,
        .key = "stream",
        .row_size = sizeof(struct row),
        .columns = columns,
        .column_count = 1,
        .handlers = handlers,
        .handler_count = handler_count,
    };
    rf_check_list list = {0};
    rf_definition *definition;
    rf_err err = {0};

    cr_assert_eq(rf_definition_of(&tables, RF_SLICE("x"), &definition, &err), RF_OK, "%s",
                 err.message);
    cr_assert_eq(rf_check_definition(definition, census, &arena, &list, &err), RF_OK, "%s",
                 err.message);
    rf_definition_free(definition);
    return list;
}

/* The only finding is this one. */
static void finds(rf_check_list list, bool refuses, const char *text)
{
    cr_assert_eq(list.finding_count, 1, "%u findings", list.finding_count);
    cr_assert_str_eq(list.findings[0].text, text);
    cr_assert_eq(list.findings[0].refuses, refuses);
    cr_assert_eq(list.refused, refuses);
}

static const rf_field qty[] = {RF_FIELD(struct event, qty, RF_INT)};
static const rf_field qty_optional[] = {RF_FIELD_OPTIONAL(struct event, qty, RF_INT)};
static const rf_field note_json[] = {RF_FIELD(struct event, note, RF_JSON)};
static const rf_field note_text[] = {RF_FIELD(struct event, note, RF_TEXT)};

Test(check, finds_nothing_where_everything_is_there)
{
    count("ItemAdded", "{\"qty\":1}");
    count("Other", "{}");
    const rf_handler handlers[] = {RF_HANDLER("ItemAdded", fold_nothing, struct event, qty)};
    rf_check_list list = check(handlers, 1);
    cr_assert_eq(list.finding_count, 0);
    cr_assert_not(list.refused);
    cr_assert_eq(list.events_handled, 1);
    cr_assert_eq(list.field_count, 1);
    cr_assert_str_eq(list.fields[0].type, "ItemAdded");
    cr_assert_str_eq(list.fields[0].path, "qty");
    cr_assert_eq(list.fields[0].events, 1);
    cr_assert_eq(list.fields[0].present, 1);
}

Test(check, refuses_where_no_handled_type_ever_occurred)
{
    count("ItemAdded", "{\"qty\":1}");
    count("OrderPlaced", "{}");
    const rf_handler handlers[] = {RF_HANDLER("ItmeAdded", fold_nothing, struct event, qty)};
    finds(
        check(handlers, 1), true,
        "sample: no event of type ItmeAdded ever occurred, nor of any other type that it handles; "
        "the nearest is ItemAdded");
}

Test(check, refuses_an_empty_log)
{
    const rf_handler handlers[] = {RF_HANDLER_BARE("*", fold_nothing)};
    finds(check(handlers, 1), true, "sample: the log has no events");
}

Test(check, notes_a_type_that_has_not_occurred_once)
{
    count("ItemAdded", "{\"qty\":1}");
    count("ItemTaken", "{\"qty\":1}");
    const rf_handler handlers[] = {RF_HANDLER("ItemAdded", fold_nothing, struct event, qty),
                                   RF_HANDLER("ItemTakne", fold_nothing, struct event, qty),
                                   RF_HANDLER_BARE("ItemTakne", fold_nothing)};
    finds(check(handlers, 3), false,
          "sample: no event of type ItemTakne has occurred yet; the nearest is ItemTaken");
}

Test(check, refuses_a_field_that_no_event_ever_had)
{
    count("ItemAdded", "{\"quantity\":1,\"sku\":\"x\",\"qty\":null}");
    const rf_handler handlers[] = {RF_HANDLER("ItemAdded", fold_nothing, struct event, qty)};
    finds(check(handlers, 1), true,
          "sample: no event of type ItemAdded ever had the field qty; the nearest is sku");
}

Test(check, accepts_an_optional_field_and_notes_one_that_looks_misspelt)
{
    count("ItemAdded", "{\"price\":1}");
    const rf_handler handlers[] = {
        RF_HANDLER("ItemAdded", fold_nothing, struct event, qty_optional)};
    cr_assert_eq(check(handlers, 1).finding_count, 0);
    count("ItemAdded", "{\"qyt\":1}");
    finds(
        check(handlers, 1), false,
        "sample: no event of type ItemAdded ever had the field qty (optional); the nearest is qyt");
}

Test(check, notes_a_field_that_some_events_lack)
{
    count("ItemAdded", "{\"qty\":1}");
    count("ItemAdded", "{\"qty\":null}");
    count("ItemAdded", "{}");
    const rf_handler handlers[] = {RF_HANDLER("ItemAdded", fold_nothing, struct event, qty)};
    finds(check(handlers, 1), false,
          "sample: 2 of 3 events of type ItemAdded lack the field qty; it is zero there");
}

Test(check, refuses_a_field_whose_values_were_never_of_its_kind)
{
    count("ItemAdded", "{\"qty\":[1]}");
    count("ItemAdded", "{\"qty\":{\"n\":1}}");
    const rf_handler strict[] = {RF_HANDLER("ItemAdded", fold_nothing, struct event, qty)};
    const rf_handler optional[] = {
        RF_HANDLER("ItemAdded", fold_nothing, struct event, qty_optional)};
    const char *text =
        "sample: field qty of type ItemAdded is declared as int and was always array, "
        "object";
    finds(check(strict, 1), true, text);
    finds(check(optional, 1), true, text);
}

Test(check, accepts_anything_as_json)
{
    count("ItemAdded", "{\"note\":[1]}");
    const rf_handler json[] = {RF_HANDLER("ItemAdded", fold_nothing, struct event, note_json)};
    const rf_handler text[] = {RF_HANDLER("ItemAdded", fold_nothing, struct event, note_text)};
    cr_assert_eq(check(json, 1).finding_count, 0);
    cr_assert(check(text, 1).refused);
}

Test(check, is_content_under_a_star_if_one_type_has_the_field)
{
    count("ItemAdded", "{\"qty\":1}");
    count("OrderPlaced", "{}");
    const rf_handler handlers[] = {RF_HANDLER("*", fold_nothing, struct event, qty)};
    rf_check_list list = check(handlers, 1);
    cr_assert_not(list.refused);
    cr_assert_eq(list.events_handled, 2);
    cr_assert_str_eq(list.fields[0].type, "*");
}

Test(check, adds_to_a_list_that_has_something_already)
{
    count("ItemAdded", "{}");
    const rf_handler handlers[] = {RF_HANDLER("ItemAdded", fold_nothing, struct event, qty)};
    const rf_projection tables = {
        RF_PROJECTION_HEAD,
        .name = "sample",
        .version = 1,
        .key = "stream",
        .row_size = sizeof(struct row),
        .columns = columns,
        .column_count = 1,
        .handlers = handlers,
        .handler_count = 1,
    };
    rf_check_list list = {0};
    rf_definition *definition;

    cr_assert_eq(rf_definition_of(&tables, RF_SLICE("x"), &definition, NULL), RF_OK);
    for (int i = 0; i < 40; i++) {
        (void)snprintf(definition->name, sizeof definition->name, "sample_%d", i);
        for (int again = 0; again < 2; again++) /* what is found twice is said once */
            cr_assert_eq(rf_check_definition(definition, census, &arena, &list, NULL), RF_OK);
    }
    cr_assert_eq(list.finding_count, 40);
    cr_assert_eq(list.field_count, 80);
    cr_assert_str_eq(list.findings[39].text + sizeof "sample_39",
                     list.findings[0].text + sizeof "sample_0");
    rf_definition_free(definition);
}

Test(check, measures_the_distance_of_names)
{
    const struct {
        const char *a;
        const char *b;
        uint32_t distance;
    } cases[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"abc", "", 3},
        {"abc", "abc", 0},
        {"abc", "abd", 1},
        {"abc", "acb", 1},
        {"ca", "abc", 3},
        {"kitten", "sitting", 3},
        {"ItmeAdded", "ItemAdded", 1},
        {"abcdef", "badcfe", 3},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rf_slice a = rf_slice_of(cases[i].a);
        rf_slice b = rf_slice_of(cases[i].b);
        cr_assert_eq(rf_name_distance(a, b), cases[i].distance, "%s %s", cases[i].a, cases[i].b);
        cr_assert_eq(rf_name_distance(b, a), cases[i].distance, "%s %s", cases[i].b, cases[i].a);
    }
}
