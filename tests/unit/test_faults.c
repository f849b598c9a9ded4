/* faults.h and fold_guarded.c: what a policy leaves out is what a fold written apart leaves out, for
 * any number of workers and any memory; a row is as it was before an event that fails. */
#include "log_fixture.h"
#include "rebuild/fold.h"

TestSuite(faults, .init = fixture_make, .fini = fixture_remove);

enum { STREAMS = 240, EVENTS = 3000, FAIL_AT = 9, TEXT_SIZE = 64 };

/* ---- a projection that fails half-way ---- */

struct row {
    int64_t n;
    rf_slice text;
    int64_t steps;
};

struct event {
    int64_t n;
    rf_slice text;
};

/* Changes all of the row before it fails. */
static rf_fold_result on_added(rf_fold *fold, void *any_row, const void *any_event)
{
    struct row *row = any_row;
    const struct event *event = any_event;

    row->n += event->n;
    row->steps++;
    if (event->text.data) {
        char *text = rf_fold_alloc(fold, event->text.size + 1);
        memcpy(text, event->text.data, event->text.size);
        text[event->text.size] = '!';
        row->text = (rf_slice){text, event->text.size + 1};
    }
    return event->n == FAIL_AT ? rf_fold_fail(fold, "nine\nis\xff too much") : RF_ROW_WRITTEN;
}

/* Runs after on_added: what that did is undone too where this fails. */
static rf_fold_result on_added_too(rf_fold *fold, void *any_row, const void *any_event)
{
    const struct event *event = any_event;

    (void)any_row;
    return event->n == FAIL_AT - 1 ? rf_fold_fail(fold, "eight") : RF_ROW_UNCHANGED;
}

static rf_fold_result on_cleared(rf_fold *fold, void *row, const void *event)
{
    (void)fold, (void)row, (void)event;
    return RF_ROW_DELETED;
}

static const rf_column columns[] = {
    RF_COLUMN(struct row, n, RF_INT),
    RF_COLUMN(struct row, text, RF_TEXT),
    RF_COLUMN(struct row, steps, RF_INT),
};
static const rf_field fields[] = {
    RF_FIELD_OPTIONAL(struct event, n, RF_INT),
    RF_FIELD_OPTIONAL(struct event, text, RF_TEXT),
};
static const rf_handler handlers[] = {
    RF_HANDLER("Added", on_added, struct event, fields),
    RF_HANDLER("Added", on_added_too, struct event, fields),
    RF_HANDLER_BARE("Cleared", on_cleared),
};
static const rf_projection table = {
    RF_PROJECTION_HEAD,
    .name = "sample",
    .version = 1,
    .key = "stream",
    .columns = columns,
    .row_size = sizeof(struct row),
    .handlers = handlers,
    .column_count = RF_COUNT_OF(columns),
    .handler_count = RF_COUNT_OF(handlers),
};

static rf_definition *define(void)
{
    rf_definition *definition;
    rf_err err = {0};

    cr_assert_eq(rf_definition_of(&table, RF_SLICE("x"), &definition, &err), RF_OK, "%s",
                 err.message);
    return definition;
}

/* ---- events, and a fold written apart ---- */

struct made {
    int stream;
    int n; /* -1: a text, -2: an array, -3: Cleared */
};
static struct made made[EVENTS];
static int64_t versions[STREAMS];

static void make_log(void)
{
    uint64_t random = 20;
    rf_appender *appender = fixture_begin(NULL, false);

    for (int i = 0; i < EVENTS; i++) {
        char stream[TEXT_SIZE], data[TEXT_SIZE];
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint32_t pick = (uint32_t)(random >> 33);
        int kind = (int)(pick / STREAMS % 100);
        made[i] = (struct made){(int)(pick % STREAMS), kind < 2   ? -1
                                                       : kind < 3 ? -2
                                                       : kind < 5 ? -3
                                                                  : kind % (FAIL_AT + 1)};
        if (made[i].n == FAIL_AT && kind > 25)
            made[i].n = 1;
        (void)snprintf(stream, sizeof stream, "thing-%d", made[i].stream);
        (void)snprintf(data, sizeof data,
                       made[i].n == -1   ? "{\"n\":\"no\",\"text\":\"t%d\"}"
                       : made[i].n == -2 ? "{\"n\":[%d]}"
                                         : "{\"n\":%d,\"text\":\"t\"}",
                       made[i].n);
        (void)fixture_event(stream, ++versions[made[i].stream], made[i].n == -3 ? "Cleared" : "Added", data);
        if (i % 700 == 699)
            fixture_add(appender);
    }
    fixture_add(appender);
    fixture_finish(appender);
}

struct state {
    int64_t n, steps;
    bool has_text;
    bool exists, shut;
};

struct expected {
    struct state states[STREAMS];
    uint64_t positions[EVENTS];
    uint32_t count;
    uint64_t events;
};

static bool has(const uint64_t *positions, uint32_t count, uint64_t position)
{
    for (uint32_t i = 0; i < count; i++)
        if (positions[i] == position)
            return true;
    return false;
}

static struct expected *expect(rf_on_error on_error, const uint64_t *skips, uint32_t skip_count)
{
    struct expected *expected = calloc(1, sizeof *expected);

    for (int i = 0; i < EVENTS; i++) {
        struct state *state = &expected->states[made[i].stream];
        int n = made[i].n;
        if (state->shut || has(skips, skip_count, (uint64_t)i + 1))
            continue;
        if (n == -1 || n == -2 || n == FAIL_AT || n == FAIL_AT - 1) {
            expected->positions[expected->count++] = (uint64_t)i + 1;
            state->shut = on_error == RF_ON_ERROR_QUARANTINE;
            continue;
        }
        expected->events++;
        if (n == -3) {
            *state = (struct state){0};
            continue;
        }
        state->n += n;
        state->steps++;
        state->has_text = state->exists = true;
    }
    return expected;
}

/* ---- folding and comparing ---- */

struct got {
    int rows[FIXTURE_PARTITIONS];
    const struct expected *expected;
};

static rf_status take_row(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                          const void *any_row, rf_err *err)
{
    struct got *got = arg;
    const struct row *row = any_row;

    (void)worker, (void)err;
    char name[TEXT_SIZE] = "";
    memcpy(name, key.data, key.size);
    int stream = atoi(name + sizeof "thing-" - 1);
    const struct state *state = &got->expected->states[stream];
    got->rows[partition]++;
    cr_assert(state->exists && !state->shut, "stream %d", stream);
    cr_assert_eq(row->n, state->n, "stream %d", stream);
    cr_assert_eq(row->steps, state->steps, "stream %d", stream);
    cr_assert_eq(row->text.size, state->has_text ? 2 : 0);
    cr_assert(!state->has_text || memcmp(row->text.data, "t!", 2) == 0);
    return RF_OK;
}

static rf_status end_partition(void *arg, uint32_t worker, uint32_t partition, rf_err *err)
{
    (void)arg, (void)worker, (void)partition, (void)err;
    return RF_OK;
}

static void compare(const rf_definition *definition, const rf_fault_policy *policy,
                    uint32_t workers, uint64_t memory_bytes)
{
    struct expected *expected = expect(policy->on_error, policy->skips, policy->skip_count);
    struct got got = {.expected = expected};
    rf_fold_target target = {
        .definition = definition,
        .row = take_row,
        .partition_end = end_partition,
        .sink_arg = &got,
        .policy = *policy,
    };
    const rf_fold_options options = {
        .until = EVENTS, .memory_bytes = memory_bytes, .spill_dir = fixture_dir};
    rf_fold_stats stats;
    rf_pool *pool;
    rf_err err = {0};
    int rows = 0, wanted = 0;

    cr_assert_eq(rf_pool_new(workers, &pool, NULL), RF_OK);
    cr_assert_eq(rf_fold_run(fixture_log, pool, &target, 1, &options, &stats, &err), RF_OK, "%s",
                 err.message);
    rf_pool_free(pool);
    for (int i = 0; i < FIXTURE_PARTITIONS; i++)
        rows += got.rows[i];
    for (int i = 0; i < STREAMS; i++)
        wanted += expected->states[i].exists && !expected->states[i].shut;
    cr_assert_eq(rows, wanted);
    cr_assert_eq(target.events, expected->events);
    cr_assert_eq(target.faults.count, expected->count);
    cr_assert(memory_bytes > 1 || stats.ranges_spilled > 0);
    for (uint32_t i = 0; i < expected->count; i++) {
        const rf_fault *fault = &target.faults.items[i];
        char name[TEXT_SIZE];
        int n = made[fault->position - 1].n;
        cr_assert_eq(fault->position, expected->positions[i]);
        (void)snprintf(name, sizeof name, "thing-%d", made[fault->position - 1].stream);
        cr_assert(rf_slice_equal(fault->stream, rf_slice_of(name)));
        cr_assert(rf_slice_equal(fault->type, RF_SLICE("Added")));
        cr_assert_str_eq(fault->reason.data, n == -1        ? "field n: \"no\" is no int"
                                             : n == -2      ? "field n: an array or object is no int"
                                             : n == FAIL_AT ? "nine?is? too much"
                                                            : "eight");
    }
    rf_faults_free(&target.faults);
    free(expected);
}

static const uint64_t skips[] = {1, 2, 3, 500, 501, 777, 1999, 3000, 5000};

Test(faults, are_those_of_a_serial_fold_for_any_workers_and_memory)
{
    static const uint32_t worker_counts[] = {0, 1, 2, 8};
    rf_definition *definition = define();

    make_log();
    for (rf_on_error on_error = RF_ON_ERROR_SKIP; on_error <= RF_ON_ERROR_QUARANTINE; on_error++)
        for (uint32_t put_aside = 0; put_aside <= RF_COUNT_OF(skips); put_aside += 9)
            for (size_t i = 0; i < sizeof worker_counts / sizeof *worker_counts; i++)
                for (uint64_t memory = 1; memory <= 1 << 20; memory <<= 20) {
                    const rf_fault_policy policy = {on_error, EVENTS, skips, put_aside};
                    compare(definition, &policy, worker_counts[i], memory);
                }
    rf_definition_free(definition);
}

Test(faults, of_events_that_are_put_aside_do_not_stop_a_strict_fold)
{
    rf_definition *definition = define();

    make_log();
    struct expected *expected = expect(RF_ON_ERROR_SKIP, NULL, 0);
    const rf_fault_policy policy = {RF_ON_ERROR_STOP, 0, expected->positions, expected->count};
    cr_assert_gt(expected->count, 20);
    compare(definition, &policy, 0, 1 << 20);
    compare(definition, &policy, 2, 1);
    free(expected);
    rf_definition_free(definition);
}

static rf_status fold_with(const rf_definition *definition, const rf_fault_policy *policy,
                           uint32_t workers, rf_fold_failure *failure, rf_err *err)
{
    struct expected *expected = expect(RF_ON_ERROR_SKIP, policy->skips, policy->skip_count);
    struct got got = {.expected = expected};
    rf_fold_target target = {
        .definition = definition,
        .row = take_row,
        .partition_end = end_partition,
        .sink_arg = &got,
        .policy = *policy,
    };
    const rf_fold_options options = {
        .until = EVENTS, .memory_bytes = 1 << 20, .failure_out = failure};
    rf_fold_stats stats;
    rf_pool *pool;

    cr_assert_eq(rf_pool_new(workers, &pool, NULL), RF_OK);
    rf_status status = rf_fold_run(fixture_log, pool, &target, 1, &options, &stats, err);
    rf_pool_free(pool);
    rf_faults_free(&target.faults);
    free(expected);
    return status;
}

Test(faults, that_stop_a_fold_name_the_event)
{
    rf_definition *definition = define();
    const rf_fault_policy strict = {0};
    const rf_fault_policy with_skips = {.skips = skips, .skip_count = RF_COUNT_OF(skips)};

    make_log();
    for (uint32_t workers = 0; workers <= 2; workers++) {
        rf_fold_failure failure = {0};
        rf_err err = {0};
        cr_assert_neq(fold_with(definition, &strict, workers, &failure, &err), RF_OK);
        cr_assert_gt(failure.position, 0);
        cr_assert_eq(failure.position, err.position);
        failure = (rf_fold_failure){0};
        cr_assert_neq(fold_with(definition, &with_skips, workers, &failure, &err), RF_OK);
        cr_assert_eq(failure.position, err.position);
    }
    rf_definition_free(definition);
}

Test(faults, past_the_maximum_fail_the_fold_the_same_for_any_workers)
{
    rf_definition *definition = define();
    char first[RF_ERR_MESSAGE_SIZE] = "";

    make_log();
    struct expected *expected = expect(RF_ON_ERROR_SKIP, NULL, 0);
    for (uint64_t most = 0; most < 2 * expected->count; most = 2 * most + 1) {
        for (uint32_t workers = 0; workers <= 8; workers += 2) {
            const rf_fault_policy policy = {RF_ON_ERROR_SKIP, most, NULL, 0};
            rf_fold_failure failure = {0};
            rf_err err = {0};
            rf_status status = fold_with(definition, &policy, workers, &failure, &err);
            cr_assert_eq(status, most >= expected->count ? RF_OK : RF_ERR_PLUGIN);
            cr_assert_eq(failure.position, 0);
            if (workers == 0)
                memcpy(first, err.message, sizeof first);
            cr_assert_str_eq(err.message, first);
        }
    }
    free(expected);
    rf_definition_free(definition);
}

Test(faults, seek_finds_the_first_skip_at_or_after_a_position)
{
    const rf_fault_policy policy = {.skips = skips, .skip_count = RF_COUNT_OF(skips)};

    cr_assert_eq(rf_fault_policy_seek(&policy, 0), 0);
    cr_assert_eq(rf_fault_policy_seek(&policy, 3), 2);
    cr_assert_eq(rf_fault_policy_seek(&policy, 4), 3);
    cr_assert_eq(rf_fault_policy_seek(&policy, 5001), RF_COUNT_OF(skips));
    cr_assert_eq(rf_fault_policy_seek(&(rf_fault_policy){0}, 1), 0);
}

Test(faults, reasons_are_cut_to_whole_characters_of_one_line)
{
    char reason[RF_FAULT_REASON_SIZE_MAX + 10];
    rf_faults faults;

    memset(reason, 'x', sizeof reason);
    memcpy(reason + RF_FAULT_REASON_SIZE_MAX - 1, "\xc3\xa9", 2);
    rf_faults_init(&faults);
    const rf_fault fault = {.position = 1, .type = RF_SLICE("T"), .reason = {reason, sizeof reason}};
    cr_assert_eq(rf_faults_add(&faults, &fault, NULL), RF_OK);
    cr_assert_eq(faults.items[0].reason.size, RF_FAULT_REASON_SIZE_MAX - 1);
    cr_assert(rf_utf8_valid(faults.items[0].reason));
    rf_faults_free(&faults);
}
