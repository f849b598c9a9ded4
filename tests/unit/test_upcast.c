/* Upcasters in a fold: what handlers get, what is read, and how faults are told. */
#include "log_fixture.h"
#include "projection/evolution.h"
#include "rebuild/fold.h"

TestSuite(upcast, .init = fixture_make, .fini = fixture_remove);

/* ---- an order: names once in one text, prices once in text ---- */

struct row {
    rf_slice first, last;
    rf_slice channel;
    int64_t total; /* in 0.01 */
    int64_t schema;
    rf_slice type;
    rf_slice extra; /* json */
    int64_t events;
};

struct placed {
    rf_slice first, last, channel, type, extra;
    int64_t schema;
    bool has_channel;
};

struct item {
    int64_t price;
    int64_t qty;
    int64_t schema;
    rf_slice type;
};

static rf_fold_result on_placed(rf_fold *fold, void *any_row, const void *any_event)
{
    struct row *row = any_row;
    const struct placed *event = any_event;

    (void)fold;
    row->first = event->first;
    row->last = event->last;
    row->channel = event->has_channel ? event->channel : (rf_slice){NULL, 0};
    row->schema = event->schema;
    row->type = event->type;
    row->extra = event->extra;
    row->events++;
    return RF_ROW_WRITTEN;
}

static rf_fold_result on_item(rf_fold *fold, void *any_row, const void *any_event)
{
    struct row *row = any_row;
    const struct item *event = any_event;

    (void)fold;
    row->total += event->price * event->qty;
    row->schema = event->schema;
    row->type = event->type;
    row->events++;
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, first, RF_TEXT),   RF_COLUMN(struct row, last, RF_TEXT),
    RF_COLUMN(struct row, channel, RF_TEXT), RF_COLUMN_DECIMAL(struct row, total, 2),
    RF_COLUMN(struct row, schema, RF_INT),   RF_COLUMN(struct row, type, RF_TEXT),
    RF_COLUMN(struct row, extra, RF_JSON),   RF_COLUMN(struct row, events, RF_INT),
};

static const rf_field placed_fields[] = {
    RF_FIELD(struct placed, first, RF_TEXT),
    RF_FIELD(struct placed, last, RF_TEXT),
    {.kind = RF_TEXT,
     .offset = offsetof(struct placed, channel),
     .present_offset = offsetof(struct placed, has_channel),
     .path = "channel"},
    RF_FIELD_OPTIONAL(struct placed, extra, RF_JSON),
    RF_FIELD_OF_EVENT(struct placed, schema, RF_EVENT_SCHEMA, RF_INT),
    RF_FIELD_OF_EVENT(struct placed, type, RF_EVENT_TYPE, RF_TEXT),
};

static const rf_field item_fields[] = {
    RF_FIELD_DECIMAL(struct item, price, 2),
    RF_FIELD(struct item, qty, RF_INT),
    RF_FIELD_OF_EVENT(struct item, schema, RF_EVENT_SCHEMA, RF_INT),
    RF_FIELD_OF_EVENT(struct item, type, RF_EVENT_TYPE, RF_TEXT),
};

static const rf_handler handlers[] = {
    RF_HANDLER("Placed", on_placed, struct placed, placed_fields),
    RF_HANDLER("ItemAdded", on_item, struct item, item_fields),
};

/* ---- its evolution ---- */

struct named {
    rf_slice customer;
};

struct priced {
    rf_slice price;
};

static const rf_field named_fields[] = {RF_FIELD(struct named, customer, RF_TEXT)};
static const rf_field priced_fields[] = {RF_FIELD(struct priced, price, RF_TEXT)};
static const char *const names[] = {"first", "last", "extra"};
static const char *const prices[] = {"price"};
static const rf_upcast_move web[] = {
    {.to = "channel", .from = "channel", .fallback = {RF_ASSIGNED_TEXT, {.text = {"web", 3}}}}};
static const rf_rename renames[] = {{"ItemPut", "ItemAdded"}};

enum { SPLIT, PRICE };
static int opened, closed;

static rf_status open_state(void *arg, const volatile int *cancel, void **state_out, rf_err *err)
{
    (void)err, (void)cancel;
    __atomic_fetch_add(&opened, 1, __ATOMIC_RELAXED);
    *state_out = malloc(8);
    return arg ? RF_OK : RF_ERR_MEMORY;
}

static void close_state(void *state)
{
    __atomic_fetch_add(&closed, 1, __ATOMIC_RELAXED);
    free(state);
}

/* "Ann Lee" -> "Ann", "Lee" and the whole as json. */
static rf_status split(rf_upcast_batch *batch, rf_err *err)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        rf_slice name = ((const struct named *)(const void *)(batch->events +
                                                              i * batch->event_size))->customer;
        const char *blank = name.data ? memchr(name.data, ' ', name.size) : NULL;
        if (!blank) {
            batch->failed = i;
            return rf_fail(err, RF_ERR_PLUGIN, "a customer of one word");
        }
        size_t size = (size_t)(blank - name.data);
        batch->assigned[0][i] = (rf_assigned){RF_ASSIGNED_TEXT, {.text = {name.data, size}}};
        batch->assigned[1][i] = (rf_assigned){
            RF_ASSIGNED_TEXT, {.text = {blank + 1, name.size - size - 1}}};
        batch->assigned[2][i] = (rf_assigned){RF_ASSIGNED_TEXT, {.text = name}};
    }
    return RF_OK;
}

/* "12.50 EUR" -> 1250; "free" -> 0.5, which is none. */
static rf_status reprice(rf_upcast_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        rf_slice price = ((const struct priced *)(const void *)(batch->events +
                                                                i * batch->event_size))->price;
        int64_t cents = 0;
        for (size_t k = 0; k < price.size; k++)
            if (price.data[k] >= '0' && price.data[k] <= '9')
                cents = 10 * cents + price.data[k] - '0';
        batch->assigned[0][i] = (rf_assigned){RF_ASSIGNED_INT, {.number = cents}};
        if (rf_slice_is(price, "free"))
            batch->assigned[0][i] = (rf_assigned){RF_ASSIGNED_FLOAT, {.real = 0.5}};
    }
    return RF_OK;
}

static rf_status run(void *state, uint32_t index, rf_upcast_batch *batch, rf_err *err)
{
    cr_assert_not_null(state);
    return index == SPLIT ? split(batch, err) : reprice(batch);
}

static const rf_upcast_ops ops = {.open = open_state, .close = close_state, .run = run};

static rf_evolution *evolution(void)
{
    static const rf_upcast upcasts[] = {
        [SPLIT] = {.type = "Placed",
                   .schema = 1,
                   .fields = named_fields,
                   .field_count = 1,
                   .event_size = sizeof(struct named),
                   .assigned = names,
                   .assigned_count = 3},
        [PRICE] = {.type = "ItemAdded",
                   .schema = 1,
                   .fields = priced_fields,
                   .field_count = 1,
                   .event_size = sizeof(struct priced),
                   .assigned = prices,
                   .assigned_count = 1},
        {.type = "Placed", .schema = 2, .moves = web, .move_count = 1},
    };
    const rf_evolution_tables tables = {.renames = renames,
                                        .rename_count = 1,
                                        .upcasts = upcasts,
                                        .upcast_count = RF_COUNT_OF(upcasts),
                                        .ops = &ops,
                                        .ops_arg = &opened};
    rf_evolution *made;
    rf_err err = {0};

    cr_assert_eq(rf_evolution_new(&tables, &made, &err), RF_OK, "%s", err.message);
    return made;
}

static rf_definition *define(const char *name, bool evolved)
{
    static rf_projection tables[4];
    static uint32_t used;
    rf_projection *table = &tables[used++ % 4];
    rf_definition *definition;
    rf_err err = {0};

    *table = (rf_projection){
        RF_PROJECTION_HEAD,   .name = name,       .version = 1,
        .key = "stream",      .columns = columns, .row_size = sizeof(struct row),
        .handlers = handlers, .column_count = RF_COUNT_OF(columns),
        .handler_count = RF_COUNT_OF(handlers),
    };
    cr_assert_eq(rf_definition_of(table, RF_SLICE("x"), &definition, &err), RF_OK);
    if (evolved)
        cr_assert_eq(rf_definition_evolve(definition, evolution(), RF_SLICE("y"), &err), RF_OK,
                     "%s", err.message);
    return definition;
}

/* ---- rows ---- */

static char shown[4096];

static rf_status take_row(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                          const void *any_row, rf_err *err)
{
    const struct row *row = any_row;
    char *text = arg;
    size_t size = strlen(text);

    (void)worker, (void)partition, (void)err;
    (void)snprintf(text + size, sizeof shown - size,
                   "%.*s: %.*s/%.*s %.*s %lld schema %lld %.*s %.*s; ", (int)key.size, key.data,
                   (int)row->first.size, row->first.data, (int)row->last.size, row->last.data,
                   (int)row->channel.size, row->channel.data, (long long)row->total,
                   (long long)row->schema, (int)row->type.size, row->type.data,
                   (int)row->extra.size, row->extra.data);
    return RF_OK;
}

static rf_status end_partition(void *arg, uint32_t worker, uint32_t partition, rf_err *err)
{
    (void)arg, (void)worker, (void)partition, (void)err;
    return RF_OK;
}

static rf_status fold_all(rf_definition *const *definitions, uint32_t count, rf_err *err)
{
    const rf_fold_options options = {.until = fixture_position(), .memory_bytes = 64 << 20};
    rf_fold_target targets[2];
    rf_fold_stats stats;

    shown[0] = '\0';
    for (uint32_t i = 0; i < count; i++)
        targets[i] = (rf_fold_target){.definition = definitions[i],
                                      .row = take_row,
                                      .partition_end = end_partition,
                                      .sink_arg = shown};
    return rf_fold_run(fixture_log, fixture_pool, targets, count, &options, &stats, err);
}

static void gives(const char *rows)
{
    rf_definition *definition = define("orders", true);
    rf_err err = {0};

    cr_assert_eq(fold_all(&definition, 1, &err), RF_OK, "%s", err.message);
    cr_assert_str_eq(shown, rows);
    rf_definition_free(definition);
    cr_assert_eq(opened, closed);
}

static void fails(const char *message)
{
    rf_definition *definition = define("orders", true);
    rf_err err = {0};

    cr_assert_neq(fold_all(&definition, 1, &err), RF_OK);
    cr_assert_str_eq(err.message, message);
    rf_definition_free(definition);
    cr_assert_eq(opened, closed);
}

static void add(const char *stream, int64_t version, const char *type, int64_t schema,
                const char *data)
{
    fixture_event(stream, version, type, data)->schema = schema;
}

Test(upcast, gives_handlers_todays_form_of_every_schema)
{
    add("a", 1, "Placed", 1, "{\"customer\":\"Ann Lee\"}");
    add("a", 2, "Placed", 2, "{\"first\":\"Bo\",\"last\":\"Ek\",\"extra\":[1]}");
    (void)fixture_append();
    gives("a: Bo/Ek web 0 schema 3 Placed [1]; ");
    add("a", 3, "Placed", 3, "{\"first\":\"Cy\",\"last\":\"Fu\",\"channel\":\"app\"}");
    (void)fixture_append();
    gives("a: Cy/Fu app 0 schema 3 Placed ; ");
    add("a", 4, "Placed", 3, "{\"first\":\"Cy\",\"last\":\"Fu\"}");
    (void)fixture_append();
    gives("a: Cy/Fu  0 schema 3 Placed ; ");
    add("a", 5, "Placed", 1, "{\"customer\":\"Di Orr\"}");
    (void)fixture_append();
    gives("a: Di/Orr web 0 schema 3 Placed \"Di Orr\"; ");
}

Test(upcast, calls_old_types_by_their_name_of_today)
{
    add("a", 1, "ItemPut", 1, "{\"price\":\"2.50 EUR\",\"qty\":2}");
    (void)fixture_append();
    gives("a: /  500 schema 2 ItemAdded ; ");
    add("a", 2, "ItemAdded", 2, "{\"price\":1.25,\"qty\":4}");
    (void)fixture_append();
    gives("a: /  1000 schema 2 ItemAdded ; ");
}

Test(upcast, reads_what_was_assigned_anew_from_no_column)
{
    /* price is text in one schema and a number in the other, beside each other in a segment */
    add("a", 1, "ItemAdded", 1, "{\"price\":\"12.50 EUR\",\"qty\":2}");
    add("a", 2, "ItemAdded", 2, "{\"price\":1.25,\"qty\":4}");
    add("a", 3, "ItemAdded", 1, "{\"price\":\"1.00 EUR\",\"qty\":1}");
    (void)fixture_append();
    gives("a: /  3100 schema 2 ItemAdded ; ");
}

Test(upcast, leaves_the_definition_beside_it_alone)
{
    rf_definition *definitions[] = {define("evolved", true), define("plain", false)};
    rf_err err = {0};

    add("a", 1, "Placed", 2, "{\"first\":\"Bo\",\"last\":\"Ek\"}");
    add("a", 2, "ItemPut", 1, "{\"price\":\"1.00\",\"qty\":1}");
    (void)fixture_append();
    cr_assert_eq(fold_all(definitions, 2, &err), RF_OK, "%s", err.message);
    cr_assert_str_eq(shown, "a: Bo/Ek web 100 schema 2 ItemAdded ; "
                            "a: Bo/Ek  0 schema 2 Placed ; ");
    rf_definition_free(definitions[0]);
    rf_definition_free(definitions[1]);
}

Test(upcast, names_upcaster_and_event_of_a_function_that_fails)
{
    for (int i = 1; i <= 700; i++) /* more than a batch */
        add("a", i, "Placed", 1, "{\"customer\":\"Ann Lee\"}");
    add("a", 701, "ItemPut", 1, "{\"price\":\"1\",\"qty\":1}");
    add("b-7", 1, "Placed", 1, "{\"customer\":\"Ann Lee\"}");
    add("a", 702, "Placed", 1, "{\"customer\":\"Cher\"}");
    (void)fixture_append();
    fails("orders: upcast of Placed 1: a customer of one word, at position 703 (stream a, type "
          "Placed)");
}

Test(upcast, names_upcaster_and_event_of_a_value_that_a_field_cannot_read)
{
    add("a", 1, "ItemPut", 1, "{\"price\":\"1\",\"qty\":1}");
    add("a", 2, "ItemPut", 1, "{\"price\":\"free\",\"qty\":1}");
    (void)fixture_append();
    fails("orders: upcast of ItemAdded 1: field price: 0.5 has more decimals than decimal(2), at "
          "position 2 (stream a, type ItemPut)");
}

Test(upcast, refuses_values_that_an_upcaster_cannot_read)
{
    add("a", 1, "Placed", 1, "{\"customer\":\"Ann Lee\"}");
    add("a", 2, "Placed", 1, "{\"customer\":7}");
    (void)fixture_append();
    fails("orders: upcast of Placed 1: field customer: 7 is no text, at position 2 (stream a, type "
          "Placed)");
}

Test(upcast, stops_at_a_schema_above_the_current_one)
{
    add("a", 1, "Placed", 3, "{\"first\":\"Cy\"}");
    add("a", 2, "Placed", 4, "{\"first\":\"Cy\"}");
    (void)fixture_append();
    fails("orders: its schema 4 is above 3, the current one of Placed, at position 2 (stream a, "
          "type Placed)");
}

/* Folds with a policy; the events that are left out, one a line. */
static void leaves_out(rf_on_error on_error, const uint64_t *skips, uint32_t skip_count,
                       const char *rows, const char *lines)
{
    rf_definition *definition = define("orders", true);
    const rf_fold_options options = {.until = fixture_position(), .memory_bytes = 64 << 20};
    rf_fold_target target = {.definition = definition,
                             .row = take_row,
                             .partition_end = end_partition,
                             .sink_arg = shown,
                             .policy = {on_error, 100, skips, skip_count}};
    char text[2048] = "";
    rf_fold_stats stats;
    rf_err err = {0};

    shown[0] = '\0';
    cr_assert_eq(rf_fold_run(fixture_log, fixture_pool, &target, 1, &options, &stats, &err), RF_OK,
                 "%s", err.message);
    cr_assert_str_eq(shown, rows);
    for (uint32_t i = 0; i < target.faults.count; i++) {
        const rf_fault *fault = &target.faults.items[i];
        size_t size = strlen(text);
        (void)snprintf(text + size, sizeof text - size, "%llu %s %s\n",
                       (unsigned long long)fault->position, fault->stream.data,
                       fault->reason.data);
    }
    cr_assert_str_eq(text, lines);
    rf_faults_free(&target.faults);
    rf_definition_free(definition);
    cr_assert_eq(opened, closed);
}

static void add_what_fails(void)
{
    add("a", 1, "Placed", 1, "{\"customer\":\"Ann Lee\"}");
    add("a", 2, "ItemPut", 1, "{\"price\":\"free\",\"qty\":1}");
    add("b", 1, "Placed", 1, "{\"customer\":\"Cher\"}");
    add("a", 3, "ItemPut", 1, "{\"price\":\"1.00\",\"qty\":1}");
    add("c", 1, "Placed", 1, "{\"customer\":7}");
    add("a", 4, "Placed", 4, "{\"first\":\"Cy\"}");
    add("a", 5, "ItemPut", 1, "{\"price\":\"2.00\",\"qty\":1}");
    (void)fixture_append();
}
static const char rows_without[] = "a: Ann/Lee web 300 schema 2 ItemAdded \"Ann Lee\"; ";
static const char what_fails[] =
    "2 a upcast of ItemAdded 1: field price: 0.5 has more decimals than decimal(2)\n"
    "3 b upcast of Placed 1: a customer of one word\n"
    "5 c upcast of Placed 1: field customer: 7 is no text\n"
    "6 a its schema 4 is above 3, the current one of Placed\n";

Test(upcast, that_fails_is_left_out_by_a_policy)
{
    add_what_fails();
    leaves_out(RF_ON_ERROR_SKIP, NULL, 0, rows_without, what_fails);
}

Test(upcast, that_fails_quarantines_a_key)
{
    static const char lines[] =
        "2 a upcast of ItemAdded 1: field price: 0.5 has more decimals than decimal(2)\n"
        "3 b upcast of Placed 1: a customer of one word\n"
        "5 c upcast of Placed 1: field customer: 7 is no text\n";

    add_what_fails();
    leaves_out(RF_ON_ERROR_QUARANTINE, NULL, 0, "", lines);
}

Test(upcast, that_fails_does_not_stop_a_fold_where_the_event_is_put_aside)
{
    static const uint64_t skips[] = {2, 3, 5, 6};

    add_what_fails();
    leaves_out(RF_ON_ERROR_STOP, skips, 4, rows_without, "");
}

Test(upcast, says_how_a_field_is_called_today_where_it_was_stored_under_another_name)
{
    static const rf_upcast_move moves[] = {{.to = "price", .from = "unit_price"}};
    static const rf_upcast upcasts[] = {
        {.type = "ItemAdded", .schema = 1, .moves = moves, .move_count = 1}};
    rf_projection tables = {
        RF_PROJECTION_HEAD,   .name = "orders",   .version = 1,
        .key = "stream",      .columns = columns, .row_size = sizeof(struct row),
        .handlers = handlers, .column_count = RF_COUNT_OF(columns),
        .handler_count = RF_COUNT_OF(handlers),
    };
    rf_definition *definition;
    rf_evolution *made;
    rf_err err = {0};

    cr_assert_eq(rf_evolution_new(&(rf_evolution_tables){.upcasts = upcasts, .upcast_count = 1},
                                  &made, &err),
                 RF_OK);
    cr_assert_eq(rf_definition_of(&tables, RF_SLICE("x"), &definition, &err), RF_OK);
    cr_assert_eq(rf_definition_evolve(definition, made, RF_SLICE("y"), &err), RF_OK);
    add("a", 1, "ItemAdded", 1, "{\"unit_price\":1.5,\"qty\":2}");
    (void)fixture_append();
    cr_assert_eq(fold_all(&definition, 1, &err), RF_OK, "%s", err.message);
    cr_assert_str_eq(shown, "a: /  300 schema 2 ItemAdded ; ");
    add("a", 2, "ItemAdded", 1, "{\"unit_price\":true,\"qty\":2}");
    (void)fixture_append();
    cr_assert_eq(fold_all(&definition, 1, &err), RF_ERR_INPUT);
    cr_assert_str_eq(err.message, "orders: price, before it was upcast: field unit_price: true is "
                                  "no decimal(2), at position 2 (stream a, type ItemAdded)");
    rf_definition_free(definition);
}
