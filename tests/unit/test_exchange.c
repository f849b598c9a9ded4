/* exchange.h: rows of other keys than the stream, the same for any workers and memory; faults name
 * the first event. tests/model/keyed.py compares random projections with a serial fold. */
#include "log_fixture.h"
#include "rebuild/fold.h"

TestSuite(exchange, .init = fixture_make, .fini = fixture_remove);

static const uint32_t worker_counts[] = {0, 1, 2, 8};
static const uint64_t budgets[] = {1, 1 << 20, 1 << 28};
enum { WORKER_COUNTS = 4, BUDGETS = 3 };

struct row {
    int64_t mixed; /* depends on the order of events */
    int64_t calls;
    rf_slice last;
};

struct event {
    int64_t n;
    int64_t position;
    rf_slice note;
};

static rf_fold_result on_event(rf_fold *fold, void *any_row, const void *any_event)
{
    struct row *row = any_row;
    const struct event *event = any_event;

    if (event->n == 13)
        return rf_fold_fail(fold, "thirteen");
    row->mixed = (row->mixed * 31 + event->position) % 1000003;
    row->calls++;
    row->last = event->note;
    return RF_ROW_WRITTEN;
}

static rf_fold_result on_total(rf_fold *fold, void *any_row, const void *any_event)
{
    struct row *row = any_row;
    const struct event *event = any_event;

    (void)fold;
    row->mixed = event->n;
    row->calls = 1;
    return event->n == -13 ? RF_ROW_DELETED : RF_ROW_WRITTEN;
}

static const rf_field fields[] = {
    RF_FIELD_OPTIONAL(struct event, n, RF_INT),
    RF_FIELD_OF_EVENT(struct event, position, RF_EVENT_POSITION, RF_INT),
    RF_FIELD_OPTIONAL(struct event, note, RF_TEXT),
};
static const rf_column columns[] = {
    RF_COLUMN(struct row, mixed, RF_INT),
    RF_COLUMN(struct row, calls, RF_INT),
    RF_COLUMN(struct row, last, RF_TEXT),
};
static const rf_column combined[] = {
    {"mixed", RF_INT, 0, RF_COMBINE_SUM, offsetof(struct row, mixed)},
    {"calls", RF_INT, 0, RF_COMBINE_COUNT, offsetof(struct row, calls)},
};
static const rf_handler handlers[] = {RF_HANDLER("E", on_event, struct event, fields)};
static const rf_handler totals[] = {RF_HANDLER("E", on_total, struct event, fields)};
static const rf_field sku[] = {RF_KEY_PART("sku", RF_TEXT)};
static const rf_field pair[] = {RF_KEY_PART("sku", RF_TEXT), RF_KEY_PART("n", RF_INT)};
static const rf_key by_sku = {.parts = sku, .part_count = 1};
static const rf_key by_pair = {.parts = pair, .part_count = 2};

static rf_projection ordered_by(const rf_key *key)
{
    return (rf_projection){
        RF_PROJECTION_HEAD,     .name = "sample",
        .version = 1,           .row_size = sizeof(struct row),
        .key_by = key,          .columns = columns,
        .column_count = 3,      .handlers = handlers,
        .handler_count = 1,
    };
}

static rf_projection combined_by(const rf_key *key)
{
    rf_projection tables = ordered_by(key);

    tables.columns = combined;
    tables.column_count = 2;
    tables.handlers = totals;
    return tables;
}

/* Rows of each partition as text; partitions are confined to a worker each. */
struct collected {
    rf_buf rows[FIXTURE_PARTITIONS];
    int ended[FIXTURE_PARTITIONS];
};

static rf_status take_row(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                          const void *any_row, rf_err *err)
{
    struct collected *collected = arg;
    const struct row *row = any_row;

    (void)worker, (void)err;
    cr_assert_eq(rf_partition_of(key, FIXTURE_PARTITIONS), partition);
    rf_buf_append_slice(&collected->rows[partition], key);
    rf_buf_append_format(&collected->rows[partition], " %lld %lld %.*s\n", (long long)row->mixed,
                         (long long)row->calls, (int)row->last.size,
                         row->last.data ? row->last.data : "");
    return RF_OK;
}

static rf_status end_partition(void *arg, uint32_t worker, uint32_t partition, rf_err *err)
{
    (void)worker, (void)err;
    ((struct collected *)arg)->ended[partition]++;
    return RF_OK;
}

/* Of the folds of a test; each begins with none. */
static rf_fault_policy policy;
static uint64_t until; /* 0: the log's last position */

static rf_status fold(const rf_projection *tables, uint32_t workers, uint64_t memory_bytes,
                      struct collected *collected, rf_fold_target *target, rf_err *err)
{
    const rf_fold_options options = {.until = until ? until : fixture_position(),
                                     .memory_bytes = memory_bytes};
    rf_definition *definition;
    rf_fold_stats stats;
    rf_pool *pool;

    cr_assert_eq(rf_definition_of(tables, RF_SLICE("x"), &definition, err), RF_OK, "%s",
                 err->message);
    for (int i = 0; i < FIXTURE_PARTITIONS; i++) {
        rf_buf_init(&collected->rows[i], 1 << 24);
        collected->ended[i] = 0;
    }
    *target = (rf_fold_target){.definition = definition, .row = take_row,
                               .partition_end = end_partition, .sink_arg = collected,
                               .policy = policy};
    cr_assert_eq(rf_pool_new(workers, &pool, NULL), RF_OK);
    rf_status status = rf_fold_run(fixture_log, pool, target, 1, &options, &stats, err);
    rf_pool_free(pool);
    rf_definition_free(definition);
    return status;
}

static void collected_free(struct collected *collected)
{
    for (int i = 0; i < FIXTURE_PARTITIONS; i++)
        rf_buf_free(&collected->rows[i]);
}

/* Folds with all workers and budgets: all rows are those of the first. */
static void all_agree(const rf_projection *tables, uint64_t events)
{
    struct collected first, more;
    rf_fold_target target;
    rf_err err = {0};

    cr_assert_eq(fold(tables, 0, 1 << 30, &first, &target, &err), RF_OK, "%s", err.message);
    cr_assert_eq(target.events, events);
    for (int w = 0; w < WORKER_COUNTS; w++)
        for (int b = 0; b < BUDGETS; b++) {
            cr_assert_eq(fold(tables, worker_counts[w], budgets[b], &more, &target, &err), RF_OK,
                         "%s", err.message);
            cr_assert_eq(target.events, events);
            for (int i = 0; i < FIXTURE_PARTITIONS; i++) {
                cr_assert_eq(more.ended[i], 1);
                cr_assert(rf_slice_equal(rf_buf_slice(&first.rows[i]), rf_buf_slice(&more.rows[i])));
            }
            collected_free(&more);
        }
    collected_free(&first);
}

/* `skewed`: half of the events have one key. */
static void append_events(int count, bool skewed)
{
    char stream[32], data[128];

    for (int i = 0; i < count; i++) {
        (void)snprintf(stream, sizeof stream, "s-%d", i % 97);
        (void)snprintf(data, sizeof data, "{\"sku\":\"sku-%d\",\"n\":%d,\"note\":\"note %d of many\"}",
                       skewed && i % 2 ? 0 : i % 311, i % 5, i % 7);
        (void)fixture_event(stream, i / 97 + 1, "E", data);
        if (i % 2000 == 1999)
            (void)fixture_append();
    }
    (void)fixture_append();
}

Test(exchange, gives_the_same_rows_for_any_workers_and_memory)
{
    rf_projection by_text = ordered_by(&by_sku), by_tuple = ordered_by(&by_pair);
    rf_projection sums = combined_by(&by_pair), text_sums = combined_by(&by_sku);

    append_events(10000, false);
    all_agree(&by_text, 10000);
    all_agree(&by_tuple, 10000);
    all_agree(&sums, 10000);
    all_agree(&text_sums, 10000);
}

static const rf_carry carries[] = {{"sku", "E", RF_KEY_PART("sku", RF_TEXT)}};
static const rf_field carried[] = {{RF_CARRIED, RF_TEXT, 0, 0, 0, 0, RF_NO_PRESENT, "sku"}};
static const rf_key by_carried = {.parts = carried, .part_count = 1};

/* Each event carries its own sku, so the rows are those of the sku itself. */
static void carried_agrees(rf_projection tables, rf_projection wanted, uint64_t events)
{
    struct collected got, expected;
    rf_fold_target target;
    rf_err err = {0};

    tables.key_by = &by_carried;
    tables.carries = carries;
    tables.carry_count = 1;
    all_agree(&tables, events);
    cr_assert_eq(fold(&tables, 2, 1 << 28, &got, &target, &err), RF_OK, "%s", err.message);
    cr_assert_eq(fold(&wanted, 2, 1 << 28, &expected, &target, &err), RF_OK);
    for (int i = 0; i < FIXTURE_PARTITIONS; i++)
        cr_assert(rf_slice_equal(rf_buf_slice(&got.rows[i]), rf_buf_slice(&expected.rows[i])));
    collected_free(&got);
    collected_free(&expected);
}

Test(exchange, carries_keys_in_order_and_combined)
{
    append_events(10000, false);
    carried_agrees(ordered_by(&by_sku), ordered_by(&by_sku), 10000);
    carried_agrees(combined_by(&by_sku), combined_by(&by_sku), 10000);
}

/* Keys that segments have as numbers behind a beginning, of more forms than are known by number, and
 * numbers for which there is no room. */
Test(exchange, finds_keys_that_are_numbered_in_any_form)
{
    rf_projection tables = ordered_by(&by_sku), sums = combined_by(&by_sku);
    char stream[32], data[128];

    for (int i = 0; i < 6000; i++) {
        int form = i / 300 % 20;
        (void)snprintf(stream, sizeof stream, "s-%d", i % 97);
        (void)snprintf(data, sizeof data, form % 5 == 4 ? "{\"sku\":\"a%c%08xf\",\"n\":%d}"
                                                        : "{\"sku\":\"a%c-%d\",\"n\":%d}",
                       'a' + form % 11, i % 3 ? i * 7 % 400 : i * 1000, i % 5);
        (void)fixture_event(stream, i / 97 + 1, "E", data);
        if (i % 300 == 299)
            (void)fixture_append();
    }
    all_agree(&tables, 6000);
    all_agree(&sums, 6000);
    carried_agrees(tables, tables, 6000);
    carried_agrees(sums, sums, 6000);
}

Test(exchange, bears_a_key_with_half_of_all_events)
{
    rf_projection tables = ordered_by(&by_sku);

    append_events(10000, true);
    all_agree(&tables, 10000);
}

/* A worker has long ended its small partitions when another one, with the large partition, finds that
 * the rows are too many and leaves some to another pass. */
Test(exchange, keeps_no_rows_of_a_partition_that_is_left_to_another_pass)
{
    rf_projection sums = combined_by(&by_sku);
    char stream[32], data[64];

    for (int i = 0; i < 20000; i++) {
        (void)snprintf(stream, sizeof stream, i < 400 ? "s-%d" : "large", i % 20);
        (void)snprintf(data, sizeof data, "{\"sku\":\"a long name of sku %d\",\"n\":1}",
                       i < 400 ? i : i % 3000);
        (void)fixture_event(stream, i < 400 ? i / 20 + 1 : i - 399, "E", data);
        if (i % 2000 == 1999)
            (void)fixture_append();
    }
    all_agree(&sums, 20000);
}

Test(exchange, ends_with_the_log_where_the_last_position_is_beyond_it)
{
    rf_projection tables = ordered_by(&by_sku);

    append_events(3000, false);
    until = UINT64_MAX;
    all_agree(&tables, 3000);
}

Test(exchange, gives_no_rows_for_an_empty_log)
{
    rf_projection tables = ordered_by(&by_sku), sums = combined_by(&by_sku);

    all_agree(&tables, 0);
    all_agree(&sums, 0);
}

/* ---- faults ---- */

static void fails(const rf_projection *tables, rf_status status, const char *message)
{
    struct collected got;
    rf_fold_target target;
    rf_err err = {0};

    for (int w = 0; w < WORKER_COUNTS; w++)
        for (int b = 0; b < BUDGETS; b++) {
            cr_assert_eq(fold(tables, worker_counts[w], budgets[b], &got, &target, &err), status,
                         "%s", err.message);
            cr_assert_str_eq(err.message, message);
            collected_free(&got);
        }
}

/* Many events of which the 3,001st has these data, and others are wrong after it. */
static void append_wrong(const char *data)
{
    char stream[32], other[64];

    for (int i = 0; i < 4000; i++) {
        bool wrong = i == 3000 || i > 3900;
        (void)snprintf(stream, sizeof stream, "s-%d", i % 97);
        (void)snprintf(other, sizeof other, "{\"sku\":\"sku-%d\",\"n\":%d}", i % 31, i % 5);
        (void)fixture_event(stream, i / 97 + 1, "E", wrong ? data : other);
    }
    (void)fixture_append();
}

Test(exchange, names_the_first_event_whose_handler_fails)
{
    rf_projection tables = ordered_by(&by_sku);

    append_wrong("{\"sku\":\"sku-1\",\"n\":13}");
    fails(&tables, RF_ERR_PLUGIN, "sample: thirteen, at position 3001 (stream s-90, type E)");
}

Test(exchange, names_the_first_event_without_key)
{
    rf_projection tables = ordered_by(&by_pair);

    append_wrong("{\"sku\":\"sku-1\"}");
    fails(&tables, RF_ERR_INPUT,
          "sample: the event has no key: n is unset, at position 3001 (stream s-90, type E)");
}

Test(exchange, leaves_out_events_without_key_where_it_is_told_to)
{
    rf_projection tables = ordered_by(&by_sku);
    struct collected got;
    rf_fold_target target;
    rf_err err;

    tables.flags = RF_PROJECTION_NO_KEY_IGNORE;
    append_wrong("{\"n\":1}");
    for (int w = 0; w < WORKER_COUNTS; w++) {
        cr_assert_eq(fold(&tables, worker_counts[w], 1, &got, &target, &err), RF_OK);
        cr_assert_eq(target.keyless, 100);
        cr_assert_eq(target.events, 4000);
        collected_free(&got);
    }
}

Test(exchange, names_the_first_event_for_which_no_key_is_carried)
{
    rf_projection tables = combined_by(&by_carried);
    char stream[32];

    tables.carries = carries;
    tables.carry_count = 1;
    for (int i = 0, right = 0; i < 400; i++) {
        bool wrong = i == 300 || i > 390;
        (void)snprintf(stream, sizeof stream, wrong ? "none-%d" : "s-%d", wrong ? i : right % 17);
        (void)fixture_event(stream, wrong ? 1 : right / 17 + 1, "E",
                            wrong || i >= 17 ? "{\"n\":1}" : "{\"sku\":\"a\"}");
        right += !wrong;
    }
    (void)fixture_append();
    fails(&tables, RF_ERR_INPUT,
          "sample: the event has no key: carried.sku is unset, at position 301 (stream none-300, type E)");
}

Test(exchange, names_the_first_event_whose_carried_key_cannot_be_one)
{
    rf_projection tables = ordered_by(&by_carried);

    tables.carries = carries;
    tables.carry_count = 1;
    append_wrong("{\"sku\":\"a\\u0000b\"}");
    fails(&tables, RF_ERR_INPUT,
          "sample: the event's key has a zero byte, at position 3001 (stream s-90, type E)");
}

Test(exchange, names_the_first_event_whose_value_is_of_the_wrong_kind)
{
    rf_projection tables = ordered_by(&by_sku);

    append_wrong("{\"sku\":7}");
    fails(&tables, RF_ERR_INPUT,
          "sample: field sku: 7 is no text, at position 3001 (stream s-90, type E)");
}

Test(exchange, refuses_keys_with_a_zero_byte_or_too_long)
{
    rf_projection tables = ordered_by(&by_sku);
    char data[600];

    append_wrong("{\"sku\":\"a\\u0000b\"}");
    fails(&tables, RF_ERR_INPUT,
          "sample: the event's key has a zero byte, at position 3001 (stream s-90, type E)");
    fixture_remove();
    fixture_make();
    (void)snprintf(data, sizeof data, "{\"sku\":\"%0481d\"}", 0);
    append_wrong(data);
    fails(&tables, RF_ERR_INPUT,
          "sample: the event's key is longer than 480 bytes, at position 3001 (stream s-90, type "
          "E)");
}

Test(exchange, refuses_a_combined_row_that_is_deleted)
{
    rf_projection tables = combined_by(&by_sku);

    append_wrong("{\"sku\":\"sku-1\",\"n\":-13}");
    fails(&tables, RF_ERR_PLUGIN,
          "sample: rows of combined columns cannot be deleted, at position 3001 (stream s-90, type "
          "E)");
}

Test(exchange, sums_beyond_64_bits_in_between_but_not_in_the_end)
{
    rf_projection tables = combined_by(&by_sku);
    struct collected got;
    rf_fold_target target;
    rf_err err = {0};

    (void)fixture_event("a-1", 1, "E", "{\"sku\":\"x\",\"n\":9223372036854775807}");
    (void)fixture_event("a-2", 1, "E", "{\"sku\":\"x\",\"n\":9223372036854775807}");
    (void)fixture_event("a-3", 1, "E", "{\"sku\":\"x\",\"n\":-9223372036854775808}");
    (void)fixture_append();
    cr_assert_eq(fold(&tables, 2, 1, &got, &target, &err), RF_OK, "%s", err.message);
    rf_buf *rows = &got.rows[rf_partition_of(RF_SLICE("x"), FIXTURE_PARTITIONS)];
    cr_assert(rf_slice_equal(rf_buf_slice(rows), RF_SLICE("x 9223372036854775806 3 \n")));
    collected_free(&got);
    (void)fixture_event("a-4", 1, "E", "{\"sku\":\"x\",\"n\":2}");
    (void)fixture_append();
    cr_assert_eq(fold(&tables, 2, 1, &got, &target, &err), RF_ERR_PLUGIN);
    cr_assert_str_eq(err.message, "sample: column mixed of row \"x\" is beyond 64 bits");
    collected_free(&got);
}

Test(exchange, ends_when_it_is_cancelled)
{
    static const volatile int cancel = 1;
    const rf_projection tables = ordered_by(&by_sku);
    const rf_fold_options options = {.until = 1, .cancel = &cancel};
    rf_definition *definition;
    rf_fold_stats stats;
    rf_err err;

    (void)fixture_event("order-1", 1, "E", "{\"sku\":\"a\"}");
    (void)fixture_append();
    cr_assert_eq(rf_definition_of(&tables, RF_SLICE("x"), &definition, &err), RF_OK);
    rf_fold_target target = {.definition = definition, .row = take_row};
    cr_assert_eq(rf_fold_run(fixture_log, fixture_pool, &target, 1, &options, &stats, NULL),
                 RF_ERR_INTERRUPTED);
    rf_definition_free(definition);
}

/* ---- policies ---- */

/* A second handler of the same events, for the row of another key. */
static const rf_field others[] = {RF_KEY_PART("other", RF_TEXT)};
static const rf_key by_other = {.parts = others, .part_count = 1};
static const rf_handler twice[] = {
    RF_HANDLER("E", on_event, struct event, fields),
    {"E", on_event, fields, RF_COUNT_OF(fields), sizeof(struct event), 0, &by_other},
};

static rf_projection both(rf_projection tables)
{
    tables.handlers = twice;
    tables.handler_count = 2;
    return tables;
}

/* Now and then an event fails: its handlers, for want of a key, or by the kind of a value. */
static void append_failing(int count)
{
    char stream[32], data[128], n[16];

    for (int i = 0; i < count; i++) {
        (void)snprintf(stream, sizeof stream, "s-%d", i % 97);
        (void)snprintf(n, sizeof n, i % 701 == 9 ? "\"no\"" : "%d", i % 499 == 7 ? 13 : i % 5);
        (void)snprintf(data, sizeof data, "{\"%s\":\"sku-%d\",\"other\":\"o-%d\",\"n\":%s}",
                       i % 911 == 5 ? "none" : "sku", i % 311, i % 283, n);
        (void)fixture_event(stream, i / 97 + 1, "E", data);
        if (i % 2000 == 1999)
            (void)fixture_append();
    }
    (void)fixture_append();
}

static bool fails_at(int i)
{
    return i % 701 == 9 || i % 499 == 7 || i % 911 == 5;
}

/* Rows and what is left out are the same for any workers and memory; gives the last. */
static void policy_agrees(const rf_projection *tables, struct collected *more,
                          rf_fold_target *target)
{
    struct collected first;
    rf_fold_target serial;
    rf_err err = {0};

    cr_assert_eq(fold(tables, 0, 1 << 30, &first, &serial, &err), RF_OK, "%s", err.message);
    for (int w = 0; w < WORKER_COUNTS; w++)
        for (int b = 0; b < BUDGETS; b++) {
            if (w + b > 0) {
                collected_free(more);
                rf_faults_free(&target->faults);
            }
            cr_assert_eq(fold(tables, worker_counts[w], budgets[b], more, target, &err), RF_OK,
                         "%s", err.message);
            cr_assert_eq(target->events, serial.events);
            cr_assert_eq(target->faults.count, serial.faults.count);
            for (uint32_t i = 0; i < serial.faults.count; i++) {
                const rf_fault *got = &target->faults.items[i], *wanted = &serial.faults.items[i];
                cr_assert_eq(got->position, wanted->position);
                cr_assert(rf_slice_equal(got->stream, wanted->stream));
                cr_assert(rf_slice_equal(got->type, RF_SLICE("E")));
                cr_assert(rf_slice_equal(got->reason, wanted->reason));
            }
            for (int i = 0; i < FIXTURE_PARTITIONS; i++) {
                cr_assert_eq(more->ended[i], 1);
                cr_assert(
                    rf_slice_equal(rf_buf_slice(&first.rows[i]), rf_buf_slice(&more->rows[i])));
            }
        }
    collected_free(&first);
    rf_faults_free(&serial.faults);
}

/* What is skipped is what fails, and rows are as if it were put aside on record. */
static void skips_as_on_record(const rf_projection *tables, int count)
{
    struct collected skipped, aside;
    rf_fold_target target, other;
    uint64_t *positions = calloc((size_t)count, sizeof *positions);
    uint32_t failing = 0;
    rf_err err = {0};

    for (int i = 0; i < count; i++)
        if (fails_at(i))
            positions[failing++] = (uint64_t)i + 1;
    policy = (rf_fault_policy){.on_error = RF_ON_ERROR_SKIP, .errors_max = failing};
    policy_agrees(tables, &skipped, &target);
    cr_assert_eq(target.faults.count, failing);
    for (uint32_t i = 0; i < failing; i++)
        cr_assert_eq(target.faults.items[i].position, positions[i]);
    policy = (rf_fault_policy){.skips = positions, .skip_count = failing};
    cr_assert_eq(fold(tables, 2, 1 << 28, &aside, &other, &err), RF_OK, "%s", err.message);
    cr_assert_eq(target.events, other.events);
    for (int i = 0; i < FIXTURE_PARTITIONS; i++)
        cr_assert(rf_slice_equal(rf_buf_slice(&skipped.rows[i]), rf_buf_slice(&aside.rows[i])));
    collected_free(&skipped);
    collected_free(&aside);
    rf_faults_free(&target.faults);
    free(positions);
}

Test(exchange, skips_an_event_as_if_it_were_put_aside)
{
    rf_projection single = ordered_by(&by_sku), several = both(ordered_by(&by_sku));
    rf_projection sums = both(combined_by(&by_sku));

    append_failing(6000);
    skips_as_on_record(&single, 6000);
    skips_as_on_record(&several, 6000);
    skips_as_on_record(&sums, 6000);
}

static bool has_row(const struct collected *collected, const char *key)
{
    rf_slice of = rf_slice_of(key);
    const rf_buf *rows = &collected->rows[rf_partition_of(of, FIXTURE_PARTITIONS)];
    char begin[64];

    (void)snprintf(begin, sizeof begin, "\n%s ", key);
    return (rows->size > of.size && memcmp(rows->data, begin + 1, of.size + 1) == 0) ||
           memmem(rows->data, rows->size, begin, strlen(begin)) != NULL;
}

/* All rows but those of failing events' keys, by a loop over the events. */
static void quarantines_keys(const rf_projection *tables, int count, bool has_others)
{
    struct collected got;
    rf_fold_target target;
    bool shut[311] = {false}, other_shut[283] = {false};
    uint32_t listed = 0;
    char key[32];

    policy = (rf_fault_policy){.on_error = RF_ON_ERROR_QUARANTINE, .errors_max = 1000};
    policy_agrees(tables, &got, &target);
    for (int i = 0; i < count; i++) {
        bool has_key = i % 911 != 5;
        bool all_shut = has_key && shut[i % 311] && (!has_others || other_shut[i % 283]);
        if (!fails_at(i) || all_shut)
            continue;
        cr_assert_lt(listed, target.faults.count);
        cr_assert_eq(target.faults.items[listed++].position, (uint64_t)i + 1);
        shut[i % 311] = shut[i % 311] || has_key;
        other_shut[i % 283] = true;
    }
    cr_assert_eq(target.faults.count, listed);
    for (int i = 0; i < 311; i++) {
        (void)snprintf(key, sizeof key, "sku-%d", i);
        cr_assert_eq(has_row(&got, key), !shut[i], "%s", key);
    }
    for (int i = 0; has_others && i < 283; i++) {
        (void)snprintf(key, sizeof key, "o-%d", i);
        cr_assert_eq(has_row(&got, key), !other_shut[i], "%s", key);
    }
    collected_free(&got);
    rf_faults_free(&target.faults);
}

Test(exchange, quarantines_all_keys_of_an_event)
{
    rf_projection single = ordered_by(&by_sku), several = both(ordered_by(&by_sku));
    rf_projection sums = both(combined_by(&by_sku));

    append_failing(6000);
    quarantines_keys(&single, 6000, false);
    quarantines_keys(&several, 6000, true);
    quarantines_keys(&sums, 6000, true);
}

Test(exchange, refuses_the_event_that_is_one_too_many)
{
    rf_projection single = ordered_by(&by_sku), several = both(ordered_by(&by_sku));
    rf_projection sums = both(combined_by(&by_sku));

    append_failing(6000);
    policy = (rf_fault_policy){.on_error = RF_ON_ERROR_SKIP, .errors_max = 3};
    for (int i = 0; i < 3; i++)
        fails(i == 0 ? &single : i == 1 ? &several : &sums, RF_ERR_PLUGIN,
              "sample: more than 3 events failed (--max-errors); one: thirteen, at position 507 "
              "(stream s-21, type E)");
}
