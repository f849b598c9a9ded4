/* Random logs of several schemas under random evolutions: the rows equal those of a slow model that
 * knows nothing of columns (upcast_model.h). */
#include "log_fixture.h"
#include "rebuild/fold.h"
#include "upcast_model.h"

TestSuite(upcast_random, .init = fixture_make, .fini = fixture_remove);

enum { STREAMS = 300, EVENTS = 2400 };

struct row {
    int64_t sum; /* of all that was read, in order */
    int64_t events;
};

struct event {
    rf_slice value[FIELDS]; /* room for any kind */
    bool present[FIELDS];
    int64_t schema;
    rf_slice type;
};

static int64_t mix(int64_t sum, int64_t value)
{
    uint64_t mixed = ((uint64_t)sum ^ (uint64_t)value) * 0x9e3779b97f4a7c15u;

    return (int64_t)(mixed ^ mixed >> 29);
}

static int64_t mix_text(int64_t sum, rf_slice text)
{
    for (size_t i = 0; i < text.size; i++)
        sum = mix(sum, text.data[i]);
    return sum;
}

static int64_t number_of(const struct event *event, int field)
{
    int64_t number;

    memcpy(&number, &event->value[field], sizeof number);
    return number;
}

static rf_fold_result on_new(rf_fold *fold, void *any_row, const void *any_event)
{
    struct row *row = any_row;
    const struct event *event = any_event;

    (void)fold;
    row->sum = mix(row->sum, event->schema);
    row->sum = mix_text(row->sum, event->type);
    for (int f = 0; f < FIELDS; f++) {
        rf_kind kind = model_kind(f);
        if (kind == (rf_kind)0)
            continue;
        row->sum = mix(row->sum, event->present[f]);
        if (kind == RF_TEXT || kind == RF_JSON)
            row->sum = mix_text(row->sum, event->value[f]);
        else
            row->sum = mix(row->sum, number_of(event, f));
    }
    row->events++;
    return RF_ROW_WRITTEN;
}

static const rf_column columns[] = {RF_COLUMN(struct row, sum, RF_INT),
                                    RF_COLUMN(struct row, events, RF_INT)};

static rf_definition *define(rf_evolution *evolution)
{
    static rf_field fields[FIELDS + 2];
    static rf_handler handlers[] = {
        {.type = "New", .fold = on_new, .fields = fields, .event_size = sizeof(struct event)}};
    static rf_projection tables = {
        RF_PROJECTION_HEAD,   .name = "sample",   .version = 1,
        .key = "stream",      .columns = columns, .row_size = sizeof(struct row),
        .handlers = handlers, .column_count = 2,  .handler_count = 1,
    };
    rf_definition *definition;
    uint32_t count = 0;
    rf_err err = {0};

    for (int f = 0; f < FIELDS; f++)
        if (model_kind(f) != (rf_kind)0)
            fields[count++] = (rf_field){
                .kind = model_kind(f),
                .scale = model_kind(f) == RF_DECIMAL ? 2 : 0,
                .optional = 1,
                .offset = (uint32_t)(offsetof(struct event, value) + sizeof(rf_slice) * (size_t)f),
                .present_offset = (uint32_t)(offsetof(struct event, present) + (size_t)f),
                .path = model_names[f],
            };
    fields[count++] =
        (rf_field)RF_FIELD_OF_EVENT(struct event, schema, RF_EVENT_SCHEMA, RF_INT);
    fields[count++] = (rf_field)RF_FIELD_OF_EVENT(struct event, type, RF_EVENT_TYPE, RF_TEXT);
    handlers[0].field_count = count;
    cr_assert_eq(rf_definition_of(&tables, RF_SLICE("x"), &definition, &err), RF_OK, "%s",
                 err.message);
    cr_assert_eq(rf_definition_evolve(definition, evolution, RF_SLICE("y"), &err), RF_OK, "%s",
                 err.message);
    return definition;
}

/* ---- events, and the model's rows ---- */

static struct row rows[STREAMS];
static int64_t versions[STREAMS];

static void append_value(rf_buf *json, int field, model_value value)
{
    rf_kind kind = model_kind(field);
    const char *name = strchr(model_names[field], '.');

    rf_buf_append_format(json, "%s\"%s\":", json->data[json->size - 1] == '{' ? "" : ",",
                         name ? name + 1 : model_names[field]);
    if (value.state == MISSING)
        rf_buf_append_format(json, "null");
    else if (kind == RF_TEXT)
        rf_buf_append_format(json, "\"t%lld\"", (long long)value.number);
    else if (kind == RF_JSON)
        rf_buf_append_format(json, "[%lld]", (long long)value.number);
    else if (kind == RF_DECIMAL && pick(2))
        rf_buf_append_format(json, "%lld.00", (long long)value.number);
    else
        rf_buf_append_format(json, "%lld", (long long)value.number);
}

/* Members of one object: [begin, end). */
static void append_fields(rf_buf *json, model_value event[FIELDS], int begin, int end)
{
    for (int f = begin; f < end; f++) {
        event[f] = (model_value){pick(4) ? STORED : MISSING, (int64_t)pick(90) - 30};
        if (event[f].state == STORED || pick(4) == 0)
            append_value(json, f, event[f]);
    }
}

static void fold_model(struct row *row, const model_value event[FIELDS], int64_t schema)
{
    row->sum = mix(row->sum, schema);
    row->sum = mix_text(row->sum, RF_SLICE("New"));
    for (int f = 0; f < FIELDS; f++) {
        rf_kind kind = model_kind(f);
        bool present = event[f].state != MISSING;
        char text[32] = "";
        if (kind == (rf_kind)0)
            continue;
        row->sum = mix(row->sum, present);
        if (kind != RF_TEXT && kind != RF_JSON) {
            row->sum = mix(row->sum, present ? read_as(event[f], kind) : 0);
            continue;
        }
        if (present)
            (void)snprintf(text, sizeof text, kind == RF_TEXT ? "t%lld" : "[%lld]",
                           (long long)event[f].number);
        row->sum = mix_text(row->sum, rf_slice_of(text));
    }
    row->events++;
}

static void add_event(int64_t position, int64_t only_schema)
{
    static const char *const types[] = {"New", "Old", "Older", "Unknown"};
    uint32_t stream = pick(STREAMS);
    const char *type = types[pick(4)];
    model_value event[FIELDS] = {{MISSING, 0}};
    char name[32];
    rf_buf json;

    rf_buf_init(&json, 4096);
    rf_buf_append_format(&json, "{");
    append_fields(&json, event, I0, O);
    for (int parent = O; parent <= P; parent += P - O) {
        rf_buf_append_format(&json, "%s\"%s\":{", json.size > 1 ? "," : "", model_names[parent]);
        append_fields(&json, event, parent + 1, parent + 3);
        rf_buf_append_format(&json, "}");
        event[parent].state = OBJECT;
    }
    append_fields(&json, event, D0, FIELDS);
    rf_buf_append_format(&json, "}");
    rf_buf_append_byte(&json, '\0');
    (void)snprintf(name, sizeof name, "s-%u", stream);
    rf_event *made = fixture_event(name, ++versions[stream], type, json.data);
    made->schema = only_schema ? only_schema : 1 + pick(SCHEMAS);
    int64_t schema = model_upcast(event, made->schema, position);
    if (strcmp(type, "Unknown") != 0)
        fold_model(&rows[stream], event, schema);
    rf_buf_free(&json);
}

/* ---- comparing ---- */

static rf_status take_row(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                          const void *row, rf_err *err)
{
    struct row *got = arg;

    char number[32];

    (void)worker, (void)partition, (void)err;
    (void)snprintf(number, sizeof number, "%.*s", (int)key.size - 2, key.data + 2);
    got[strtoul(number, NULL, 10)] = *(const struct row *)row;
    return RF_OK;
}

static rf_status end_partition(void *arg, uint32_t worker, uint32_t partition, rf_err *err)
{
    (void)arg, (void)worker, (void)partition, (void)err;
    return RF_OK;
}

static void compare(rf_definition *definition, uint32_t workers, uint64_t memory_bytes)
{
    struct row *got = calloc(STREAMS, sizeof *got);
    rf_fold_target target = {.definition = definition,
                             .row = take_row,
                             .partition_end = end_partition,
                             .sink_arg = got};
    const rf_fold_options options = {
        .until = EVENTS, .memory_bytes = memory_bytes, .spill_dir = fixture_dir};
    rf_fold_stats stats;
    rf_pool *pool;
    rf_err err = {0};

    cr_assert_eq(rf_pool_new(workers, &pool, NULL), RF_OK);
    cr_assert_eq(rf_fold_run(fixture_log, pool, &target, 1, &options, &stats, &err), RF_OK, "%s",
                 err.message);
    rf_pool_free(pool);
    for (int i = 0; i < STREAMS; i++) {
        cr_assert_eq(got[i].events, rows[i].events, "stream %d", i);
        cr_assert_eq(got[i].sum, rows[i].sum, "stream %d", i);
    }
    free(got);
}

/* Half of the seeds have runs of one schema: whole segments of it. */
static void run(uint64_t seed)
{
    rf_definition *definition = define(make_evolution(seed));

    memset(rows, 0, sizeof rows);
    memset(versions, 0, sizeof versions);
    for (int batch = 0; batch < 6; batch++) {
        int64_t only = seed % 2 ? 1 + batch % SCHEMAS : 0;
        for (int i = 0; i < EVENTS / 6; i++)
            add_event(batch * (EVENTS / 6) + i + 1, only);
        (void)fixture_append();
    }
    compare(definition, 0, (uint64_t)64 << 20);
    compare(definition, 3, (uint64_t)64 << 20);
    compare(definition, 2, 1); /* ranges of streams */
    rf_definition_free(definition);
}

Test(upcast_random, equals_the_model_for_any_evolution)
{
    const char *seeds = getenv("REFOLD_SEEDS");
    uint64_t count = seeds ? strtoull(seeds, NULL, 10) : 12;

    for (uint64_t seed = 1; seed <= count; seed++) {
        run(seed);
        fixture_remove();
        fixture_make();
    }
}
