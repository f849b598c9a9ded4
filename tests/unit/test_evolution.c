/* evolution.h and trace.h: tables that are refused, chains, and where fields come from. */
#include "projection/trace.h"

#include <criterion/criterion.h>

static rf_arena arena;

static void make(void)
{
    rf_arena_init(&arena, 1 << 20);
}

static void drop(void)
{
    rf_arena_free(&arena);
}

TestSuite(evolution, .init = make, .fini = drop);

static rf_status run_nothing(void *state, uint32_t index, rf_upcast_batch *batch, rf_err *err)
{
    (void)state, (void)index, (void)batch, (void)err;
    return RF_OK;
}

static const rf_upcast_ops ops = {.run = run_nothing};

static rf_evolution *evolve(const rf_evolution_tables *tables)
{
    rf_evolution *evolution = NULL;
    rf_err err = {0};

    cr_assert_eq(rf_evolution_new(tables, &evolution, &err), RF_OK, "%s", err.message);
    return evolution;
}

static void refuses(const rf_evolution_tables *tables, const char *words)
{
    rf_evolution *evolution = NULL;
    rf_err err = {0};

    cr_assert_eq(rf_evolution_new(tables, &evolution, &err), RF_ERR_PLUGIN);
    cr_assert_not_null(strstr(err.message, words), "%s", err.message);
    cr_assert_null(evolution);
}

Test(evolution, follows_renames_to_the_end_whatever_their_order)
{
    static const rf_rename renames[] = {
        {"C", "D"}, {"A", "B"}, {"B", "C"}, {"ItemPut", "ItemAdded"}, {"Old", "D"}};
    rf_evolution *evolution =
        evolve(&(rf_evolution_tables){.renames = renames, .rename_count = RF_COUNT_OF(renames)});

    cr_assert(rf_slice_is(rf_evolution_type(evolution, RF_SLICE("A")), "D"));
    cr_assert(rf_slice_is(rf_evolution_type(evolution, RF_SLICE("B")), "D"));
    cr_assert(rf_slice_is(rf_evolution_type(evolution, RF_SLICE("Old")), "D"));
    cr_assert(rf_slice_is(rf_evolution_type(evolution, RF_SLICE("ItemPut")), "ItemAdded"));
    cr_assert(rf_slice_is(rf_evolution_type(evolution, RF_SLICE("ItemAdded")), "ItemAdded"));
    cr_assert(rf_slice_is(rf_evolution_type(NULL, RF_SLICE("A")), "A"));
    rf_evolution_free(evolution);
}

Test(evolution, refuses_renames_that_come_back_or_stand_twice)
{
    static const rf_rename loop[] = {{"A", "B"}, {"B", "C"}, {"C", "A"}};
    static const rf_rename self[] = {{"A", "A"}};
    static const rf_rename into_loop[] = {{"X", "A"}, {"A", "B"}, {"B", "A"}};
    static const rf_rename twice[] = {{"A", "B"}, {"A", "C"}};
    static const rf_rename star[] = {{"*", "B"}};
    static const rf_rename empty[] = {{"A", ""}};

    refuses(&(rf_evolution_tables){.renames = loop, .rename_count = 3}, "it comes back to");
    refuses(&(rf_evolution_tables){.renames = self, .rename_count = 1}, "it comes back to A");
    refuses(&(rf_evolution_tables){.renames = into_loop, .rename_count = 3}, "it comes back to");
    refuses(&(rf_evolution_tables){.renames = twice, .rename_count = 2}, "A is renamed twice");
    refuses(&(rf_evolution_tables){.renames = star, .rename_count = 1}, "rename of no type");
    refuses(&(rf_evolution_tables){.renames = empty, .rename_count = 1}, "rename of no type");
}

static const char *const name_path[] = {"name"};
static const char *const overlapping[] = {"name", "name.first"};
static const rf_upcast_move no_source[] = {{.to = "price"}};
static const rf_upcast_move copy[] = {{.to = "price", .from = "unit_price"}};

Test(evolution, refuses_upcasters_that_cannot_be)
{
    static const rf_upcast twice[] = {{.type = "A", .schema = 1, .moves = copy, .move_count = 1},
                                      {.type = "A", .schema = 1, .moves = copy, .move_count = 1}};
    static const rf_upcast zero[] = {{.type = "A", .schema = 0, .moves = copy, .move_count = 1}};
    static const rf_upcast nothing[] = {
        {.type = "A", .schema = 1, .moves = no_source, .move_count = 1}};
    static const rf_upcast function[] = {
        {.type = "A", .schema = 1, .assigned = name_path, .assigned_count = 1}};
    static const rf_upcast both[] = {
        {.type = "A", .schema = 2, .assigned = overlapping, .assigned_count = 2}};
    static const int64_t schemas[] = {1, 2};
    static const int64_t same[] = {2, 2};
    static const rf_accepted accepted[] = {{"A", schemas, 2}};
    static const rf_accepted repeated[] = {{"A", same, 2}};
    static const rf_rename renames[] = {{"A", "B"}};

    refuses(&(rf_evolution_tables){.upcasts = twice, .upcast_count = 2}, "two upcasters of A 1");
    refuses(&(rf_evolution_tables){.upcasts = zero, .upcast_count = 1}, "0 is no schema");
    refuses(&(rf_evolution_tables){.upcasts = nothing, .upcast_count = 1}, "moves nothing");
    refuses(&(rf_evolution_tables){.upcasts = function, .upcast_count = 1},
            "upcast of A 1: evolution: it has neither moves nor a function");
    refuses(&(rf_evolution_tables){.upcasts = both, .upcast_count = 1, .ops = &ops},
            "assigns name and name.first, which overlap");
    refuses(&(rf_evolution_tables){.upcasts = function,
                                   .upcast_count = 1,
                                   .ops = &ops,
                                   .accepted = accepted,
                                   .accepted_count = 1},
            "schema 1 of A has an upcaster and is accepted as it is");
    refuses(&(rf_evolution_tables){.accepted = repeated, .accepted_count = 1},
            "schema 2 of A is accepted twice");
    refuses(&(rf_evolution_tables){.name = "evolution.lua",
                                   .renames = renames,
                                   .rename_count = 1,
                                   .upcasts = function,
                                   .upcast_count = 1,
                                   .ops = &ops},
            "evolution.lua: upcast of A, which is renamed to B");
    refuses(&(rf_evolution_tables){.renames = renames,
                                   .rename_count = 1,
                                   .accepted = accepted,
                                   .accepted_count = 1},
            "schemas of A, which is renamed to B");
}

Test(evolution, chains_upcasters_up_to_the_current_or_an_accepted_schema)
{
    static const int64_t schemas[] = {3, 7};
    static const rf_accepted accepted[] = {{"B", schemas, 2}};
    static const rf_upcast upcasts[] = {{.type = "B", .schema = 2, .moves = copy, .move_count = 1},
                                        {.type = "A", .schema = 3, .moves = copy, .move_count = 1},
                                        {.type = "A", .schema = 1, .moves = copy, .move_count = 1},
                                        {.type = "A", .schema = 2, .moves = copy, .move_count = 1},
                                        {.type = "B", .schema = 5, .moves = copy, .move_count = 1}};
    rf_evolution *evolution = evolve(&(rf_evolution_tables){.upcasts = upcasts,
                                                            .upcast_count = RF_COUNT_OF(upcasts),
                                                            .accepted = accepted,
                                                            .accepted_count = 1});
    const struct {
        const char *type;
        int64_t schema;
        uint32_t count;
        int64_t end;
        bool broken;
    } cases[] = {
        {"A", 1, 3, 4, false}, {"A", 2, 2, 4, false}, {"A", 4, 0, 4, false},
        {"A", 5, 0, 5, true},  {"B", 1, 0, 1, true},  {"B", 2, 1, 3, false},
        {"B", 3, 0, 3, false}, {"B", 5, 1, 6, true},  {"B", 7, 0, 7, false},
        {"C", 9, 0, 9, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rf_evolution_chain chain =
            rf_evolution_chain_of(evolution, rf_slice_of(cases[i].type), cases[i].schema);
        cr_assert_eq(chain.count, cases[i].count, "%zu", i);
        cr_assert_eq(chain.schema, cases[i].end, "%zu", i);
        cr_assert_eq(chain.broken, cases[i].broken, "%zu", i);
        for (uint32_t k = 0; k < chain.count; k++)
            cr_assert_eq(chain.steps[k].schema, cases[i].schema + k);
    }
    cr_assert_eq(rf_evolution_current(evolution, RF_SLICE("A")), 4);
    cr_assert_eq(rf_evolution_current(evolution, RF_SLICE("B")), 7);
    cr_assert_eq(rf_evolution_current(evolution, RF_SLICE("C")), 0);
    cr_assert_eq(rf_evolution_current(NULL, RF_SLICE("A")), 0);
    cr_assert_not(rf_evolution_chain_of(NULL, RF_SLICE("A"), 3).broken);
    rf_evolution_free(evolution);
}

/* ---- traces ---- */

/* "LAYERS PATH", a layer as STEP:ASSIGNED, with ^ where it hides; "-" where nothing is stored. */
static const char *trace(const rf_evolution *evolution, const char *path, rf_kind kind,
                         uint8_t scale)
{
    rf_evolution_chain chain = rf_evolution_chain_of(evolution, RF_SLICE("A"), 1);
    rf_definition_field field = {.field = {.kind = kind, .scale = scale}};
    rf_trace traced;
    rf_err err = {0};
    rf_buf text;

    cr_assert_eq(rf_definition_take_path(&arena, "test", path, &field.path, &field.path_text, &err),
                 RF_OK, "%s", err.message);
    if (rf_trace_field(&chain, chain.count, &field, &arena, &traced, &err) != RF_OK)
        return rf_arena_copy(&arena, rf_slice_of(err.message)).data;
    rf_buf_init(&text, 4096);
    for (uint32_t i = 0; i < traced.layer_count; i++)
        rf_buf_append_format(&text, "%u:%u%s ", traced.layers[i].step, traced.layers[i].assigned,
                             traced.layers[i].hides ? "^" : "");
    rf_buf_append_format(&text, "%.*s", traced.stored ? (int)traced.path_text.size : 1,
                         traced.stored ? traced.path_text.data : "-");
    if (traced.fallback.value.kind == RF_ASSIGNED_INT)
        rf_buf_append_format(&text, " or %lld", (long long)traced.fallback.value.as.number);
    rf_slice shown = rf_arena_copy(&arena, rf_buf_slice(&text));
    rf_buf_free(&text);
    return shown.data;
}

Test(evolution, traces_fields_through_moves)
{
    static const rf_upcast_move first[] = {
        {.to = "client", .from = "customer"},
        {.to = "unit_price", .from = "amount.\"per unit\""},
        {.to = "count", .fallback = {RF_ASSIGNED_INT, {.number = 7}}},
    };
    static const rf_upcast_move second[] = {
        {.to = "buyer", .from = "client"},
        {.to = "price", .from = "unit_price", .typed = true, .kind = RF_DECIMAL, .scale = 2},
        {.to = "qty", .from = "qty", .fallback = {RF_ASSIGNED_INT, {.number = 1}}},
        {.to = "amount", .from = "count", .fallback = {RF_ASSIGNED_INT, {.number = 2}}},
    };
    static const rf_upcast upcasts[] = {
        {.type = "A", .schema = 1, .moves = first, .move_count = RF_COUNT_OF(first)},
        {.type = "A", .schema = 2, .moves = second, .move_count = RF_COUNT_OF(second)}};
    rf_evolution *evolution =
        evolve(&(rf_evolution_tables){.upcasts = upcasts, .upcast_count = 2});

    cr_assert_str_eq(trace(evolution, "other", RF_INT, 0), "other");
    cr_assert_str_eq(trace(evolution, "buyer", RF_TEXT, 0), "customer");
    cr_assert_str_eq(trace(evolution, "buyer.address.city", RF_TEXT, 0), "customer.address.city");
    cr_assert_str_eq(trace(evolution, "buyer", RF_JSON, 0), "customer");
    cr_assert_str_eq(trace(evolution, "price", RF_DECIMAL, 2), "amount.\"per unit\"");
    cr_assert_str_eq(trace(evolution, "price", RF_DECIMAL, 3), "1:1 -");
    cr_assert_str_eq(trace(evolution, "price.of", RF_INT, 0), "-");
    cr_assert_str_eq(trace(evolution, "qty", RF_INT, 0), "qty or 1");
    cr_assert_str_eq(trace(evolution, "amount", RF_INT, 0), "- or 7");
    cr_assert_str_eq(trace(evolution, "amount.\"per unit\"", RF_INT, 0), "-");
    cr_assert_str_eq(trace(evolution, "metadata.buyer", RF_TEXT, 0), "metadata.buyer");
    rf_evolution_free(evolution);
}

Test(evolution, traces_fields_through_functions)
{
    static const char *const one[] = {"total", "customer"};
    static const char *const two[] = {"customer.first", "customer.last"};
    static const rf_upcast upcasts[] = {
        {.type = "A", .schema = 1, .assigned = one, .assigned_count = 2},
        {.type = "A", .schema = 2, .assigned = two, .assigned_count = 2}};
    rf_evolution *evolution =
        evolve(&(rf_evolution_tables){.upcasts = upcasts, .upcast_count = 2, .ops = &ops});

    cr_assert_str_eq(trace(evolution, "total", RF_INT, 0), "0:0 total");
    cr_assert_str_eq(trace(evolution, "customer.last", RF_TEXT, 0), "1:1 0:1^ customer.last");
    cr_assert_str_eq(trace(evolution, "customer.born", RF_DATE, 0), "0:1^ customer.born");
    cr_assert_str_eq(trace(evolution, "customer", RF_TEXT, 0), "0:1 customer");
    cr_assert_not_null(strstr(trace(evolution, "customer", RF_JSON, 0),
                              "field customer json: upcast of A 2 assigns a part of it"));
    rf_evolution_free(evolution);
}

/* ---- a definition's ---- */

struct row {
    int64_t a;
};

struct event {
    rf_slice customer;
};

static rf_fold_result fold_nothing(rf_fold *fold, void *row, const void *event)
{
    (void)fold, (void)row, (void)event;
    return RF_ROW_UNCHANGED;
}

static const rf_column columns[] = {RF_COLUMN(struct row, a, RF_INT)};
static const rf_field json_field[] = {RF_FIELD(struct event, customer, RF_JSON)};

static rf_status give(const char *type, rf_evolution *evolution, rf_err *err)
{
    const rf_handler handlers[] = {RF_HANDLER(type, fold_nothing, struct event, json_field)};
    const rf_projection tables = {
        RF_PROJECTION_HEAD,   .name = "sample",   .version = 1,
        .key = "stream",      .columns = columns, .row_size = sizeof(struct row),
        .handlers = handlers, .column_count = 1,  .handler_count = 1,
    };
    rf_definition *definition;

    cr_assert_eq(rf_definition_of(&tables, RF_SLICE("x"), &definition, err), RF_OK);
    rf_hash128 before = definition->content_hash;
    rf_status status = rf_definition_evolve(definition, evolution, RF_SLICE("y"), err);
    cr_assert(definition->content_hash.low != before.low);
    rf_definition_free(definition);
    return status;
}

Test(evolution, refuses_handlers_of_old_names_and_json_fields_in_parts)
{
    static const rf_rename renames[] = {{"Old", "A"}};
    static const char *const parts[] = {"customer.first"};
    static const rf_upcast upcasts[] = {
        {.type = "A", .schema = 1, .assigned = parts, .assigned_count = 1}};
    const rf_evolution_tables tables = {.renames = renames,
                                        .rename_count = 1,
                                        .upcasts = upcasts,
                                        .upcast_count = 1,
                                        .ops = &ops};
    rf_err err = {0};

    cr_assert_eq(give("Old", evolve(&tables), &err), RF_ERR_PLUGIN);
    cr_assert_not_null(strstr(err.message, "handler of Old, which is renamed to A"), "%s",
                       err.message);
    cr_assert_eq(give("A", evolve(&tables), &err), RF_ERR_PLUGIN);
    cr_assert_not_null(strstr(err.message, "assigns a part of it"), "%s", err.message);
    cr_assert_eq(give("*", evolve(&tables), &err), RF_ERR_PLUGIN);
    cr_assert_eq(give("B", evolve(&tables), &err), RF_OK);
}
