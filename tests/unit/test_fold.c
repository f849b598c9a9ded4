/* fold.h: the rows of a pass equal a serial fold written apart, for any number of workers; faults
 * name the event. */
#include "log_fixture.h"
#include "rebuild/fold.h"

TestSuite(fold, .init = fixture_make, .fini = fixture_remove);

static const uint32_t worker_counts[] = {0, 1, 2, 3, 8};
enum { WORKER_COUNTS = 5, STREAMS = 60, TEXT_SIZE = 64 };

/* ---- a projection that uses everything ---- */

struct row {
    int64_t n;
    int64_t lacking; /* events without n */
    int64_t price;   /* in 0.01 */
    double share;
    bool ok;
    rf_slice who;
    rf_slice memo; /* made by the handler: the last name twice */
    rf_slice tags;
    int64_t at;
    int64_t on;
    rf_slice type;
    rf_slice category;
    rf_slice stream;
    int64_t version;
    int64_t position;
    int64_t schema;
    int64_t time;
    int64_t events;
    int64_t scratch; /* no column */
};

struct event {
    int64_t n;
    int64_t price;
    double share;
    rf_slice who;
    rf_slice tags;
    int64_t at;
    int64_t on;
    rf_slice type;
    rf_slice category;
    rf_slice stream;
    int64_t version;
    int64_t position;
    int64_t schema;
    int64_t time;
    bool ok;
    bool has_n;
};

static rf_fold_result on_event(rf_fold *fold, void *any_row, const void *any_event)
{
    struct row *row = any_row;
    const struct event *event = any_event;

    if (!rf_add(&row->n, event->n))
        return rf_fold_fail(fold, "n is beyond 64 bits");
    row->lacking += !event->has_n;
    row->price += event->price;
    row->share += event->share;
    row->ok = event->ok;
    row->who = event->who;
    if (event->who.data) {
        char *memo = rf_fold_alloc(fold, 2 * event->who.size);
        memcpy(memo, event->who.data, event->who.size);
        memcpy(memo + event->who.size, event->who.data, event->who.size);
        row->memo = (rf_slice){memo, 2 * event->who.size};
    }
    row->tags = event->tags;
    row->at = event->at;
    row->on = event->on;
    row->type = event->type;
    row->category = event->category;
    row->stream = event->stream;
    row->version = event->version;
    row->position = event->position;
    row->schema = event->schema;
    row->time = event->time;
    row->scratch++;
    row->events = row->scratch;
    return RF_ROW_WRITTEN;
}

static rf_fold_result on_delete(rf_fold *fold, void *row, const void *event)
{
    (void)fold, (void)row, (void)event;
    return RF_ROW_DELETED;
}

static rf_fold_result on_nothing(rf_fold *fold, void *row, const void *event)
{
    (void)fold, (void)row, (void)event;
    return RF_ROW_UNCHANGED;
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, n, RF_INT),        RF_COLUMN(struct row, lacking, RF_INT),
    RF_COLUMN_DECIMAL(struct row, price, 2), RF_COLUMN(struct row, share, RF_FLOAT),
    RF_COLUMN(struct row, ok, RF_BOOL),      RF_COLUMN(struct row, who, RF_TEXT),
    RF_COLUMN(struct row, memo, RF_TEXT),    RF_COLUMN(struct row, tags, RF_JSON),
    RF_COLUMN(struct row, at, RF_TIME),      RF_COLUMN(struct row, on, RF_DATE),
    RF_COLUMN(struct row, type, RF_TEXT),    RF_COLUMN(struct row, category, RF_TEXT),
    RF_COLUMN(struct row, stream, RF_TEXT),  RF_COLUMN(struct row, version, RF_INT),
    RF_COLUMN(struct row, position, RF_INT), RF_COLUMN(struct row, schema, RF_INT),
    RF_COLUMN(struct row, time, RF_TIME),    RF_COLUMN(struct row, events, RF_INT),
};

#define PAYLOAD_FIELD(member, kind, path)                                                          \
    {                                                                                              \
        RF_PAYLOAD, (kind), 0, 1, 0, offsetof(struct event, member), RF_NO_PRESENT, (path)            \
    }

static const rf_field fields[] = {
    {RF_PAYLOAD, RF_INT, 0, 1, 0, offsetof(struct event, n), offsetof(struct event, has_n), "n"},
    {RF_PAYLOAD, RF_DECIMAL, 2, 1, 0, offsetof(struct event, price), RF_NO_PRESENT, "price"},
    PAYLOAD_FIELD(share, RF_FLOAT, "sub.share"),
    PAYLOAD_FIELD(who, RF_TEXT, "sub.\"who is\""),
    PAYLOAD_FIELD(tags, RF_JSON, "tags"),
    PAYLOAD_FIELD(at, RF_TIME, "at"),
    PAYLOAD_FIELD(on, RF_DATE, "on"),
    PAYLOAD_FIELD(ok, RF_BOOL, "ok"),
    RF_FIELD_OF_EVENT(struct event, type, RF_EVENT_TYPE, RF_TEXT),
    RF_FIELD_OF_EVENT(struct event, category, RF_EVENT_CATEGORY, RF_TEXT),
    RF_FIELD_OF_EVENT(struct event, stream, RF_EVENT_STREAM, RF_TEXT),
    RF_FIELD_OF_EVENT(struct event, version, RF_EVENT_VERSION, RF_INT),
    RF_FIELD_OF_EVENT(struct event, position, RF_EVENT_POSITION, RF_INT),
    RF_FIELD_OF_EVENT(struct event, schema, RF_EVENT_SCHEMA, RF_INT),
    RF_FIELD_OF_EVENT(struct event, time, RF_EVENT_TIME, RF_TIME),
};

static const rf_handler handlers[] = {
    RF_HANDLER("Changed", on_event, struct event, fields),
    RF_HANDLER("Moved", on_event, struct event, fields),
    RF_HANDLER_BARE("Deleted", on_delete),
    RF_HANDLER_BARE("*", on_nothing),
};

static rf_definition *define(const rf_handler *of, uint32_t handler_count)
{
    static rf_projection tables[8];
    static uint32_t used;
    rf_definition *definition;
    rf_err err = {0};

    rf_projection *table = &tables[used++ % 8];
    *table = (rf_projection){
        RF_PROJECTION_HEAD,
        .name = "sample",
        .version = 1,
        .key = "stream",
        .columns = columns,
        .row_size = sizeof(struct row),
        .handlers = of,
        .column_count = RF_COUNT_OF(columns),
        .handler_count = handler_count,
    };
    cr_assert_eq(rf_definition_of(table, RF_SLICE("x"), &definition, &err), RF_OK, "%s",
                 err.message);
    return definition;
}

/* ---- rows as text ---- */

enum { ROW_TEXT_SIZE = 4096 };

/* Rows of each partition in the order in which they came. */
struct collected {
    rf_buf rows[FIXTURE_PARTITIONS];
    char last_key[FIXTURE_PARTITIONS][TEXT_SIZE];
    int ended[FIXTURE_PARTITIONS];
    uint64_t events;
};

static void print_row(rf_buf *out, const char *key, const struct row *row)
{
    rf_buf_append_format(
        out,
        "%s n=%lld/%lld price=%lld share=%.17g ok=%d who=%s%.*s memo=%.*s tags=%.*s at=%lld "
        "on=%lld",
        key, (long long)row->n, (long long)row->lacking, (long long)row->price, row->share, row->ok,
        row->who.data ? "=" : "", (int)row->who.size, row->who.data ? row->who.data : "",
        (int)row->memo.size, row->memo.data ? row->memo.data : "", (int)row->tags.size,
        row->tags.data ? row->tags.data : "", (long long)row->at, (long long)row->on);
    rf_buf_append_format(out, " %.*s %.*s %.*s v=%lld p=%lld s=%lld t=%lld events=%lld\n",
                         (int)row->type.size, row->type.data, (int)row->category.size,
                         row->category.data, (int)row->stream.size, row->stream.data,
                         (long long)row->version, (long long)row->position, (long long)row->schema,
                         (long long)row->time, (long long)row->events);
}

static rf_status take_row(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                          const void *row, rf_err *err)
{
    struct collected *collected = arg;
    char *last = collected->last_key[partition];
    char name[TEXT_SIZE];

    (void)worker, (void)err;
    (void)snprintf(name, sizeof name, "%.*s", (int)key.size, key.data);
    cr_assert_lt(strcmp(last, name), 0, "%s after %s", name, last);
    memcpy(last, name, sizeof name);
    cr_assert_eq(collected->ended[partition], 0);
    print_row(&collected->rows[partition], name, row);
    return RF_OK;
}

static rf_status end_partition(void *arg, uint32_t worker, uint32_t partition, rf_err *err)
{
    struct collected *collected = arg;

    (void)worker, (void)err;
    collected->ended[partition]++;
    return RF_OK;
}

static struct collected *collected_new(void)
{
    struct collected *collected = calloc(1, sizeof *collected);

    for (int i = 0; i < FIXTURE_PARTITIONS; i++)
        rf_buf_init(&collected->rows[i], 64 << 20);
    return collected;
}

static void collected_free(struct collected *collected)
{
    for (int i = 0; i < FIXTURE_PARTITIONS; i++)
        rf_buf_free(&collected->rows[i]);
    free(collected);
}

static rf_fold_target target_of(const rf_definition *definition, struct collected *collected)
{
    return (rf_fold_target){
        .definition = definition,
        .row = take_row,
        .partition_end = end_partition,
        .sink_arg = collected,
    };
}

static rf_status fold(uint32_t workers, rf_fold_target *targets, uint32_t count, uint64_t until,
                      rf_fold_stats *stats, rf_err *err)
{
    const rf_fold_options options = {.until = until, .memory_bytes = 1 << 20};
    rf_pool *pool;

    cr_assert_eq(rf_pool_new(workers, &pool, NULL), RF_OK);
    rf_status status = rf_fold_run(fixture_log, pool, targets, count, &options, stats, err);
    rf_pool_free(pool);
    return status;
}

/* ---- the serial fold ---- */

struct model {
    struct row row;
    bool exists;
    char who[2100];
    char memo[4200];
    char tags[256];
    char name[TEXT_SIZE];
};

static struct model *models;
static int64_t versions[STREAMS];
static uint64_t random_state;

static uint32_t pick(uint32_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % below;
}

static void begin_model(uint64_t seed)
{
    random_state = seed;
    models = calloc(STREAMS, sizeof *models);
    memset(versions, 0, sizeof versions);
    for (int i = 0; i < STREAMS; i++)
        (void)snprintf(models[i].name, TEXT_SIZE, i % 3 ? "order-%d" : "crate%d", i * 7919 % 1000);
}

static void begin_row(struct row *row)
{
    *row = (struct row){.at = RF_TIME_NONE, .on = RF_TIME_NONE, .time = RF_TIME_NONE};
}

/* One random event, as JSON for the log and as values for the model. */
static void add_event(uint64_t position, size_t name_size, const char *more)
{
    static const char *const types[] = {"Changed", "Moved", "Changed", "Deleted", "Ignored"};
    struct model *model = &models[pick(STREAMS)];
    size_t stream = (size_t)(model - models);
    const char *type = types[pick(16) ? pick(3) : 3 + pick(2)];
    struct row *row = &model->row;
    bool counts = strcmp(type, "Changed") == 0 || strcmp(type, "Moved") == 0;
    char data[8192];
    rf_buf json;

    if (!model->exists)
        begin_row(row);
    rf_buf_init(&json, sizeof data - 1);
    rf_buf_append_format(&json, "{\"x\":%u", pick(100));
    int64_t number = (int64_t)pick(1000) - 500;
    if (pick(4) == 0) {
        row->lacking++;
    } else {
        rf_buf_append_format(&json, ",\"n\":");
        uint32_t form = pick(8) ? 0 : pick(3);
        /* a literal a format: the compiler checks them */
        if (form == 0)
            rf_buf_append_format(&json, "%lld", (long long)number);
        else if (form == 1)
            rf_buf_append_format(&json, "%lld.0", (long long)number);
        else
            rf_buf_append_format(&json, "%llde0", (long long)number);
        row->n += number;
    }
    int64_t cents = pick(100000);
    switch (pick(4)) {
    case 0:
        rf_buf_append_format(&json, ",\"price\":\"%lld.%02lld\"", (long long)cents / 100,
                             (long long)cents % 100);
        row->price += cents;
        break;
    case 1:
        rf_buf_append_format(&json, ",\"price\":%lld.%02lld00", (long long)cents / 100,
                             (long long)cents % 100);
        row->price += cents;
        break;
    case 2:
        rf_buf_append_format(&json, ",\"price\":%lld", (long long)cents);
        row->price += cents * 100;
        break;
    default:
        rf_buf_append_format(&json, ",\"price\":null");
    }
    rf_buf_append_format(&json, ",\"sub\":{\"share\":%u.%03u", pick(10), pick(1000));
    row->share += strtod(json.data + json.size - 5, NULL);
    row->who = (rf_slice){NULL, 0};
    if (pick(3)) {
        size_t size =
            (size_t)snprintf(model->who, sizeof model->who, "%s%u", pick(2) ? "é " : "", pick(30));
        for (; size < name_size; size++)
            model->who[size] = (char)('a' + pick(26));
        rf_buf_append_format(&json, ",\"who is\":\"%.*s\"", (int)size, model->who);
        row->who = (rf_slice){model->who, size};
        if (counts) {
            memcpy(model->memo, model->who, size);
            memcpy(model->memo + size, model->who, size);
            row->memo = (rf_slice){model->memo, 2 * size};
        }
    }
    rf_buf_append_format(&json, "}");
    row->tags = (rf_slice){NULL, 0};
    if (pick(2)) {
        int size = snprintf(model->tags, sizeof model->tags, "[%u,  {\"a\":\"\\u00e9\"}]", pick(9));
        row->tags = (rf_slice){model->tags, (size_t)size};
        rf_buf_append_format(&json, ",\"tags\":%s", model->tags);
    }
    row->at = row->on = RF_TIME_NONE;
    if (pick(2)) {
        uint32_t second = pick(60);
        rf_buf_append_format(&json, ",\"at\":\"2024-07-10T12:00:%02uZ\",\"on\":\"2024-07-%02u\"",
                             second, 1 + second % 28);
        row->at = (1720612800 + (int64_t)second) * 1000000;
        row->on = 19905 + second % 28;
    }
    row->ok = pick(2);
    rf_buf_append_format(&json, ",\"ok\":%s%s}", row->ok ? "true" : "false", more);
    cr_assert_not(json.failed);
    memcpy(data, json.data, json.size);
    data[json.size] = '\0';
    rf_buf_free(&json);

    rf_event *event = fixture_event(model->name, ++versions[stream], type, data);
    event->schema = 1 + pick(3);
    event->time = pick(5) ? (int64_t)position * 1000 : RF_TIME_NONE;
    row->schema = event->schema;
    row->time = event->time;
    row->version = versions[stream];
    row->position = (int64_t)position;
    row->type = rf_slice_of(type);
    row->stream = rf_slice_of(model->name);
    row->category = stream % 3 ? RF_SLICE("order") : row->stream;
    row->events++;
    if (strcmp(type, "Deleted") == 0)
        model->exists = false;
    else if (counts)
        model->exists = true;
}

/* The model folded an event that the projection does not handle: takes it back. */
static void add_events(uint64_t from, uint64_t count, size_t name_size, const char *more)
{
    for (uint64_t i = 0; i < count; i++) {
        struct model *before = malloc(STREAMS * sizeof *before);
        memcpy(before, models, STREAMS * sizeof *before);
        add_event(from + i, name_size, more);
        const rf_event *event = &fixture_events[fixture_event_count - 1];
        if (rf_slice_equal(event->type, RF_SLICE("Ignored"))) {
            /* texts of a row point into its own model: it goes back where it was */
            memcpy(models, before, STREAMS * sizeof *before);
        }
        free(before);
    }
}

static int compare_models(const void *a, const void *b)
{
    return strcmp(((const struct model *)a)->name, ((const struct model *)b)->name);
}

/* Rows of the model as the partitions should give them. */
static struct collected *expected_rows(void)
{
    struct collected *expected = collected_new();
    struct model **order = calloc(STREAMS, sizeof *order);

    for (int i = 0; i < STREAMS; i++) {
        struct model *least = NULL;
        for (int k = 0; k < STREAMS; k++) {
            struct model *model = &models[k];
            if ((!least || compare_models(model, least) < 0) &&
                (i == 0 || compare_models(model, order[i - 1]) > 0))
                least = model;
        }
        order[i] = least;
        uint32_t partition = rf_partition_of(rf_slice_of(least->name), FIXTURE_PARTITIONS);
        if (least->exists)
            print_row(&expected->rows[partition], least->name, &least->row);
    }
    free(order);
    return expected;
}

static void compare(const struct collected *got, const struct collected *expected)
{
    for (int i = 0; i < FIXTURE_PARTITIONS; i++) {
        rf_slice a = rf_buf_slice(&got->rows[i]);
        rf_slice b = rf_buf_slice(&expected->rows[i]);
        size_t at = 0;
        while (at < a.size && at < b.size && a.data[at] == b.data[at])
            at++;
        while (at > 0 && a.data[at - 1] != '\n')
            at--;
        cr_assert(rf_slice_equal(a, b), "partition %d\n%.300s\n%.300s", i, a.data + at,
                  b.data + at);
        cr_assert_eq(got->ended[i], 1);
    }
}

/* Folds with each number of workers and compares with the model. */
static void all_workers_agree(uint64_t until)
{
    rf_definition *definition = define(handlers, RF_COUNT_OF(handlers));
    struct collected *expected = expected_rows();

    for (int i = 0; i < WORKER_COUNTS; i++) {
        struct collected *got = collected_new();
        rf_fold_target target = target_of(definition, got);
        rf_fold_stats stats;
        rf_err err = {0};
        cr_assert_eq(fold(worker_counts[i], &target, 1, until, &stats, &err), RF_OK, "%s",
                     err.message);
        cr_assert_eq(target.events, until);
        cr_assert_eq(stats.bytes_decoded > 0, until > 0);
        compare(got, expected);
        collected_free(got);
    }
    collected_free(expected);
    rf_definition_free(definition);
}

Test(fold, equals_a_serial_fold_for_any_number_of_workers)
{
    begin_model(1);
    for (int batch = 0; batch < 5; batch++) {
        add_events(1 + 400 * (uint64_t)batch, 400, 0, "");
        (void)fixture_append();
    }
    all_workers_agree(2000);
    free(models);
}

Test(fold, folds_up_to_a_position_and_no_further)
{
    begin_model(2);
    add_events(1, 700, 0, "");
    struct model *until = malloc(STREAMS * sizeof *until);
    memcpy(until, models, STREAMS * sizeof *until);
    add_events(701, 300, 0, "");
    (void)fixture_append();
    /* beyond the end a value may be of the wrong kind */
    (void)fixture_event("bad-1", 1, "Changed", "{\"n\":\"no number\"}");
    (void)fixture_append();
    memcpy(models, until, STREAMS * sizeof *until);
    free(until);
    all_workers_agree(700);
    free(models);
}

Test(fold, keeps_the_text_of_rows_while_it_lets_go_of_the_rest)
{
    begin_model(3);
    for (int batch = 0; batch < 8; batch++) { /* 2 KiB a name, far past the budget of 1 MiB */
        add_events(1 + 250 * (uint64_t)batch, 250, 2000, "");
        (void)fixture_append();
    }
    all_workers_agree(2000);
    free(models);
}

/* Events of so many streams, in so many commits, each with a text of `text_size` bytes. */
static void append_streams(int streams, int commits, int text_size)
{
    char *data = malloc((size_t)text_size + 64);
    char stream[32];

    for (int commit = 0; commit < commits; commit++) {
        for (int i = 0; i < streams; i++) {
            (void)snprintf(stream, sizeof stream, "s%05d", i * 7919 % streams);
            int size = sprintf(data, "{\"n\":%d,\"sub\":{\"who is\":\"%d", i + commit, i % 17);
            memset(data + size, 'w', (size_t)text_size);
            memcpy(data + size + text_size, "\"}}", 4);
            (void)fixture_event(stream, commit + 1, i % 100 == 50 ? "Deleted" : "Changed", data);
            if (fixture_event_count == 500)
                (void)fixture_append();
        }
        (void)fixture_append();
    }
    free(data);
}

/* The rows of one definition, or those of the first of two. */
static struct collected *fold_within(uint32_t workers, uint64_t memory_bytes, const char *spill_dir,
                                     uint32_t definition_count, uint64_t *ranges_out)
{
    const rf_fold_options options = {
        .until = fixture_position(), .memory_bytes = memory_bytes, .spill_dir = spill_dir};
    rf_definition *definitions[] = {define(handlers, RF_COUNT_OF(handlers)),
                                    define(handlers + 1, RF_COUNT_OF(handlers) - 1)};
    struct collected *got[] = {collected_new(), collected_new()};
    rf_fold_target targets[] = {target_of(definitions[0], got[0]), target_of(definitions[1], got[1])};
    rf_fold_stats stats;
    rf_pool *pool;
    rf_err err = {0};

    cr_assert_eq(rf_pool_new(workers, &pool, NULL), RF_OK);
    cr_assert_eq(rf_fold_run(fixture_log, pool, targets, definition_count, &options, &stats, &err),
                 RF_OK, "%s", err.message);
    rf_pool_free(pool);
    for (int i = 0; i < FIXTURE_PARTITIONS; i++)
        cr_assert_eq(got[0]->ended[i], 1);
    *ranges_out = stats.ranges_spilled;
    collected_free(got[1]);
    rf_definition_free(definitions[0]);
    rf_definition_free(definitions[1]);
    return got[0];
}

static void any_budget_agrees(uint64_t ranges_min)
{
    uint64_t ranges;
    struct collected *expected = fold_within(0, 1 << 30, NULL, 1, &ranges);

    cr_assert_eq(ranges, 0);
    for (int i = 0; i < WORKER_COUNTS; i++)
        for (uint32_t definitions = 1; definitions <= 2; definitions++) {
            struct collected *got =
                fold_within(worker_counts[i], 1, fixture_dir, definitions, &ranges);
            cr_assert_geq(ranges, ranges_min);
            for (int p = 0; p < FIXTURE_PARTITIONS; p++)
                cr_assert(rf_slice_equal(rf_buf_slice(&expected->rows[p]),
                                         rf_buf_slice(&got->rows[p])));
            collected_free(got);
        }
    collected_free(expected);
}

Test(fold, gives_the_same_rows_for_any_budget_of_rows)
{
    append_streams(3000, 2, 5);
    any_budget_agrees(8);
}

Test(fold, gives_the_same_rows_for_any_budget_of_text)
{
    append_streams(700, 2, 6000);
    any_budget_agrees(8);
}

Test(fold, fails_where_rows_cannot_leave_memory)
{
    const rf_fold_options options = {.until = 3000, .memory_bytes = 1, .spill_dir = "/nowhere"};
    rf_definition *definition = define(handlers, RF_COUNT_OF(handlers));
    struct collected *got = collected_new();
    rf_fold_target target = target_of(definition, got);
    rf_fold_stats stats;
    rf_err err;

    append_streams(3000, 1, 5);
    cr_assert_eq(rf_fold_run(fixture_log, fixture_pool, &target, 1, &options, &stats, &err),
                 RF_ERR_IO);
    cr_assert_not_null(strstr(err.message, "/nowhere"), "%s", err.message);
    collected_free(got);
    rf_definition_free(definition);
}

/* One stream has nearly all events: its partition is alone in the end, and all decode for it. */
Test(fold, decodes_ahead_for_a_partition_that_is_alone)
{
    begin_model(9);
    for (int batch = 0; batch < 5; batch++) {
        for (int i = 0; i < 3000; i++)
            (void)fixture_event("large", batch * 3000 + i + 1, "Changed", "{\"n\":1}");
        (void)fixture_append();
    }
    uint64_t ranges;
    struct collected *expected = fold_within(0, 1 << 30, NULL, 1, &ranges);
    for (int round = 0; round < 10; round++) {
        struct collected *got = fold_within(8, 1 << 30, NULL, 1, &ranges);
        for (int p = 0; p < FIXTURE_PARTITIONS; p++)
            cr_assert(rf_slice_equal(rf_buf_slice(&expected->rows[p]), rf_buf_slice(&got->rows[p])));
        collected_free(got);
    }
    collected_free(expected);
    free(models);
}

Test(fold, reads_the_payload_of_capped_types_with_the_same_result)
{
    char more[4000] = "";
    char map[3000] = "";

    for (int i = 0; i < RF_SEGMENT_MEMBERS_MAX + 10; i++)
        (void)snprintf(map + strlen(map), sizeof map - strlen(map), "%s\"m%d\":%d", i ? "," : "", i,
                       i);
    (void)snprintf(more, sizeof more, ",\"map\":{%s},\"n2\":1", map);
    begin_model(4);
    add_events(1, 500, 0, more);
    (void)fixture_append();
    all_workers_agree(500);
    free(models);
}

Test(fold, folds_several_definitions_in_one_pass)
{
    static const rf_handler only_moved[] = {RF_HANDLER("Moved", on_event, struct event, fields)};
    static const rf_handler none[] = {RF_HANDLER("Never", on_event, struct event, fields)};
    rf_definition *definitions[3] = {define(handlers, RF_COUNT_OF(handlers)), define(only_moved, 1),
                                     define(none, 1)};
    rf_fold_target together[3];
    rf_fold_stats stats;

    begin_model(5);
    add_events(1, 600, 0, "");
    (void)fixture_append();
    for (int i = 0; i < 3; i++)
        together[i] = target_of(definitions[i], collected_new());
    cr_assert_eq(fold(2, together, 3, 600, &stats, NULL), RF_OK);
    for (int i = 0; i < 3; i++) {
        rf_fold_target alone = target_of(definitions[i], collected_new());
        cr_assert_eq(fold(0, &alone, 1, 600, &stats, NULL), RF_OK);
        compare(together[i].sink_arg, alone.sink_arg);
        cr_assert_eq(together[i].events, alone.events);
        collected_free(alone.sink_arg);
    }
    cr_assert_eq(together[2].events, 0);
    cr_assert_eq(stats.bytes_decoded, 0, "a pass whose types never occurred reads nothing");
    for (int i = 0; i < 3; i++) {
        collected_free(together[i].sink_arg);
        rf_definition_free(definitions[i]);
    }
    free(models);
}

Test(fold, gives_no_rows_for_an_empty_log)
{
    begin_model(6);
    all_workers_agree(0);
    free(models);
}

/* ---- faults ---- */

/* The same failure for any number of workers. */
static void fails(const rf_handler *of, uint32_t count, rf_status status, uint64_t position,
                  const char *message)
{
    rf_definition *definition = define(of, count);

    for (int i = 0; i < WORKER_COUNTS; i++) {
        struct collected *got = collected_new();
        rf_fold_target target = target_of(definition, got);
        rf_fold_stats stats;
        rf_err err = {0};
        cr_assert_eq(fold(worker_counts[i], &target, 1, fixture_position(), &stats, &err), status,
                     "%s", err.message);
        cr_assert_str_eq(err.message, message);
        cr_assert_eq(err.position, position);
        collected_free(got);
    }
    rf_definition_free(definition);
}

/* One event with these data among others; the others are fine. */
static void value_fails(const char *data, const char *what)
{
    char message[256];

    fixture_remove();
    fixture_make();
    for (int i = 0; i < 20; i++)
        (void)fixture_event("order-1", i + 1, i % 2 ? "Moved" : "Changed",
                            i == 7 ? data : "{\"n\":1}");
    (void)fixture_event("crate", 1, "Changed", "{\"n\":1}");
    (void)fixture_append();
    (void)snprintf(message, sizeof message,
                   "sample: %s, at position 8 (stream order-1, type Moved)", what);
    fails(handlers, RF_COUNT_OF(handlers), RF_ERR_INPUT, 8, message);
}

Test(fold, names_the_event_whose_value_is_of_the_wrong_kind)
{
    value_fails("{\"n\":\"3\"}", "field n: \"3\" is no int");
    value_fails("{\"n\":true}", "field n: true is no int");
    value_fails("{\"n\":3.5}", "field n: 3.5 has more decimals than int");
    value_fails("{\"n\":9223372036854775808}",
                "field n: 9223372036854775808 is beyond the range of int");
    value_fails("{\"n\":1e19}", "field n: 1e19 is beyond the range of int");
    value_fails("{\"n\":[1]}", "field n: an array or object is no int");
    value_fails("{\"n\":{}}", "field n: an array or object is no int");
    value_fails("{\"price\":\"1.999\"}",
                "field price: \"1.999\" has more decimals than decimal(2)");
    value_fails("{\"price\":\"cheap\"}", "field price: \"cheap\" is no decimal(2)");
    value_fails("{\"price\":false}", "field price: false is no decimal(2)");
    value_fails("{\"sub\":{\"share\":\"1.5\"}}", "field sub.share: \"1.5\" is no float");
    value_fails("{\"sub\":{\"share\":1e999}}",
                "field sub.share: 1e999 is beyond the range of float");
    value_fails("{\"sub\":{\"who is\":7}}", "field sub.\"who is\": 7 is no text");
    value_fails("{\"ok\":1}", "field ok: 1 is no bool");
    value_fails("{\"at\":\"yesterday\"}", "field at: \"yesterday\" is no time");
    value_fails("{\"at\":\"2024-07-10T12:00:00\"}",
                "field at: \"2024-07-10T12:00:00\" has no offset from UTC, so it is no time");
    value_fails("{\"on\":20240710}", "field on: 20240710 is no date");
}

static rf_fold_result on_share(rf_fold *fold, void *any_row, const void *event)
{
    struct row *row = any_row;

    (void)fold;
    row->share = ((const struct event *)event)->share; /* no sum: that would lose the sign of -0 */
    return RF_ROW_WRITTEN;
}

static void numbers_are_exact(const char *more)
{
    static const rf_handler assigns[] = {RF_HANDLER("Changed", on_share, struct event, fields)};
    const struct {
        const char *literal;
        double value;
    } cases[] = {
        {"0.1", 0.1},
        {"3", 3},
        {"9007199254740993", 9007199254740992.0},
        {"0.30000000000000004", 0.30000000000000004},
        {"123456789012345.678", 123456789012345.678},
        {"1e23", 1e23},
        {"2.5e-310", 2.5e-310},
        {"-0", -0.0},
        {"-0.0", -0.0},
        {"179769313486231570000000000000000000000", 179769313486231570000000000000000000000.0},
    };
    rf_definition *definition = define(assigns, 1);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char data[4096];
        char stream[32];
        (void)snprintf(data, sizeof data, "{\"sub\":{\"share\":%s%s}}", cases[i].literal, more);
        (void)snprintf(stream, sizeof stream, "s%zu", i);
        (void)fixture_event(stream, 1, "Changed", data);
    }
    (void)fixture_append();
    struct collected *got = collected_new();
    rf_fold_target target = target_of(definition, got);
    rf_fold_stats stats;
    cr_assert_eq(fold(0, &target, 1, fixture_position(), &stats, NULL), RF_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char stream[32];
        char wanted[64];
        (void)snprintf(stream, sizeof stream, "s%zu", i);
        (void)snprintf(wanted, sizeof wanted, "s%zu n=0/0 price=0 share=%.17g ok", i,
                       cases[i].value);
        uint32_t partition = rf_partition_of(rf_slice_of(stream), FIXTURE_PARTITIONS);
        rf_buf_append_byte(&got->rows[partition], 0);
        cr_assert_not_null(strstr(got->rows[partition].data, wanted), "%s in %s", wanted,
                           got->rows[partition].data);
        got->rows[partition].size--;
    }
    collected_free(got);
    rf_definition_free(definition);
}

Test(fold, reads_all_numbers_exactly)
{
    numbers_are_exact("");
}

Test(fold, reads_the_same_numbers_from_payloads)
{
    char more[2048] = "";

    for (int i = 0; i <= RF_SEGMENT_MEMBERS_MAX; i++)
        (void)snprintf(more + strlen(more), sizeof more - strlen(more), ",\"m%d\":%d", i, i);
    numbers_are_exact(more);
}

static rf_fold_result on_third(rf_fold *fold, void *any_row, const void *event)
{
    struct row *row = any_row;

    (void)event;
    if (++row->events == 3)
        return rf_fold_fail(fold, "three are too many");
    return RF_ROW_WRITTEN;
}

static rf_fold_result on_silence(rf_fold *fold, void *row, const void *event)
{
    (void)fold, (void)row, (void)event;
    return RF_FOLD_FAILED;
}

static rf_fold_result on_nonsense(rf_fold *fold, void *row, const void *event)
{
    (void)fold, (void)row, (void)event;
    return (rf_fold_result)77;
}

static rf_fold_result on_greed(rf_fold *fold, void *row, const void *event)
{
    (void)row, (void)event;
    return rf_fold_alloc(fold, ((size_t)16 << 20) + 1) ? RF_ROW_WRITTEN : RF_ROW_UNCHANGED;
}

Test(fold, stops_at_a_handler_that_fails_and_names_the_event)
{
    static const rf_handler third[] = {RF_HANDLER_BARE("*", on_third)};
    static const rf_handler silence[] = {RF_HANDLER_BARE("B", on_silence)};
    static const rf_handler nonsense[] = {RF_HANDLER_BARE("B", on_nonsense)};
    static const rf_handler greed[] = {RF_HANDLER_BARE("B", on_greed)};

    (void)fixture_event("order-1", 1, "A", "{}");
    (void)fixture_event("order-2", 1, "A", "{}");
    (void)fixture_event("order-1", 2, "A", "{}");
    (void)fixture_event("order-1", 3, "B", "{}");
    (void)fixture_append();
    fails(third, 1, RF_ERR_PLUGIN, 4,
          "sample: three are too many, at position 4 (stream order-1, type B)");
    fails(
        silence, 1, RF_ERR_PLUGIN, 4,
        "sample: a handler failed without giving a reason, at position 4 (stream order-1, type B)");
    fails(nonsense, 1, RF_ERR_PLUGIN, 4,
          "sample: a handler returned what is no rf_fold_result, at position 4 (stream order-1, "
          "type B)");
    fails(
        greed, 1, RF_ERR_MEMORY, 4,
        "sample: out of memory for text that a handler makes (16 MiB a piece at most), at position "
        "4 (stream order-1, type B)");
}

static rf_status refuse_row(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                            const void *row, rf_err *err)
{
    (void)arg, (void)worker, (void)partition, (void)key, (void)row;
    return rf_fail(err, RF_ERR_IO, "the disk is full");
}

Test(fold, passes_on_what_a_sink_says)
{
    rf_definition *definition = define(handlers, RF_COUNT_OF(handlers));
    struct collected *got = collected_new();
    rf_fold_target target = target_of(definition, got);
    rf_fold_stats stats;
    rf_err err = {0};

    target.row = refuse_row;
    (void)fixture_event("order-1", 1, "Changed", "{}");
    (void)fixture_append();
    cr_assert_eq(fold(2, &target, 1, 1, &stats, &err), RF_ERR_IO);
    cr_assert_str_eq(err.message, "the disk is full");
    collected_free(got);
    rf_definition_free(definition);
}

Test(fold, ends_when_it_is_cancelled)
{
    rf_definition *definition = define(handlers, RF_COUNT_OF(handlers));
    struct collected *got = collected_new();
    rf_fold_target target = target_of(definition, got);
    static const volatile int cancel = 1;
    const rf_fold_options options = {.until = 1, .cancel = &cancel};
    rf_fold_stats stats;

    (void)fixture_event("order-1", 1, "Changed", "{}");
    (void)fixture_append();
    cr_assert_eq(rf_fold_run(fixture_log, fixture_pool, &target, 1, &options, &stats, NULL),
                 RF_ERR_INTERRUPTED);
    collected_free(got);
    rf_definition_free(definition);
}
