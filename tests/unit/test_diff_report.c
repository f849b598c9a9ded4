/* diff_report.c, and the walks of diff.h behind it: two generations with deltas, against plain arrays. */
#include "compare/diff.h"

#include "base/pool.h"
#include "catalog/record.h"
#include "generations_fixture.h"
#include "refold/diff.h"

#include <criterion/criterion.h>

enum { BASE_ROWS = 300, KEYS = 380, NONE = -1 };
static char dir[64], path[80];
static rf_store *store;
static rf_diff_side sides[2];

/* The plain model: the stamp of key i on either side. */
static int64_t model[2][KEYS];
static uint64_t random_state;

static const rf_column column[] = {{.name = "stamp", .kind = RF_INT}};

static uint32_t draw(uint32_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % below;
}

static rf_slice key_of(char text[32], int index)
{
    (void)snprintf(text, 32, "r-%06d", index);
    return rf_slice_of(text);
}

/* Moves a generation on: some rows go, some are others, some come. */
static void put_delta(int side, uint64_t number, int changes)
{
    rf_checkpoint checkpoint = {.position = 20, .time_last = RF_TIME_NONE, .delta_rows = KEYS};
    rf_catalog_generation known;
    rf_kv_txn *txn;
    char text[32];
    bool found;
    rf_buf row;

    cr_assert_eq(rf_catalog_get_generation(store->catalog, "stamps", number, &known, &found, NULL),
                 RF_OK);
    rf_buf_init(&row, 100);
    cr_assert_eq(rf_kv_begin(rf_catalog_kv(store->catalog), true, &txn, NULL), RF_OK);
    for (int n = 0; n < changes; n++) {
        int i = (int)draw(KEYS);
        int64_t stamp = (int64_t)draw(4) - 1;
        rf_delta_entry entry = {.key = key_of(text, i)};
        model[side][i] = stamp;
        rf_buf_clear(&row);
        rf_row_encode(column, 1, &stamp, &row);
        if (stamp != NONE)
            entry.row = rf_buf_slice(&row);
        if (stamp == NONE && i >= BASE_ROWS)
            cr_assert_eq(rf_delta_delete(txn, known.delta, RF_DELTA_ROWS, entry.key, NULL), RF_OK);
        else
            fixture_delta_put(txn, known.delta, &entry);
    }
    for (int i = 0; i < KEYS; i++) {
        if (model[side][i] == NONE)
            continue;
        rf_buf_clear(&row);
        rf_row_encode(column, 1, &model[side][i], &row);
        rf_digest_add_row(&checkpoint.digest, key_of(text, i), rf_buf_slice(&row));
    }
    cr_assert_eq(rf_record_put_checkpoint(txn, "stamps", number, &checkpoint, NULL), RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    rf_buf_free(&row);
}

static void make(uint32_t partitions, uint64_t seed, int changes)
{
    rf_store_options options = {.create = true, .partitions = partitions};
    rf_err err = {0};

    random_state = seed;
    (void)snprintf(dir, sizeof dir, "/tmp/refold-diff-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/s.refold", dir);
    cr_assert_eq(rf_store_open(path, &options, &store, &err), RF_OK, "%s", err.message);
    for (int side = 0; side < 2; side++) {
        uint64_t number = fixture_generation(store->catalog, "stamps", 1 + (uint64_t)side,
                                             partitions, BASE_ROWS, 10);
        for (int i = 0; i < KEYS; i++)
            model[side][i] = i < BASE_ROWS ? (int64_t)number : NONE;
        put_delta(side, number, changes);
        cr_assert_eq(rf_diff_open(store, "stamps", number, &sides[side], &err), RF_OK, "%s",
                     err.message);
    }
}

static void drop(void)
{
    rf_diff_close(&sides[0]);
    rf_diff_close(&sides[1]);
    rf_store_close(store);
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

/* What a walk told, by key: 0 nothing, else how often. */
struct told {
    int times[KEYS];
    int64_t stamps[2][KEYS];
    int last; /* key of a walk in order */
    bool rises;
};

static int64_t stamp_of(rf_slice row)
{
    const rf_reader_column as[] = {{"stamp", RF_INT, 0}};
    rf_value value;

    if (!row.data)
        return NONE;
    cr_assert_eq(rf_row_decode(row, as, 1, &value, NULL), RF_OK);
    return value.integer;
}

static rf_status tell(void *arg, uint32_t partition, const rf_diff_row *row, rf_err *err)
{
    struct told *told = arg;
    int i = atoi(row->key.data + 2);

    (void)partition;
    (void)err;
    told->times[i]++;
    told->stamps[0][i] = stamp_of(row->before);
    told->stamps[1][i] = stamp_of(row->after);
    told->rises = told->rises && i > told->last;
    told->last = i;
    return RF_OK;
}

static void check_told(const struct told *told, const rf_diff_counts *counts)
{
    rf_diff_counts expected = {0};

    for (int i = 0; i < KEYS; i++) {
        int64_t before = model[0][i];
        int64_t after = model[1][i];
        cr_assert_eq(told->times[i], before != after, "key %d", i);
        if (before == after)
            continue;
        cr_assert_eq(told->stamps[0][i], before, "key %d", i);
        cr_assert_eq(told->stamps[1][i], after, "key %d", i);
        expected.added += before == NONE;
        expected.removed += after == NONE;
        expected.changed += before != NONE && after != NONE;
    }
    cr_assert_eq(counts->added, expected.added);
    cr_assert_eq(counts->removed, expected.removed);
    cr_assert_eq(counts->changed, expected.changed);
}

Test(diff_report, tells_of_each_row_that_differs_for_any_workers_and_partitions)
{
    for (uint32_t round = 0; round < 8; round++) {
        make(round % 2 ? 1 : 16, round, (int)round * 60);
        struct told told = {.last = -1, .rises = true};
        rf_diff_counts counts;
        rf_pool *pool;
        cr_assert_eq(rf_pool_new(round % 3, &pool, NULL), RF_OK);
        cr_assert_eq(rf_diff_walk(store, pool, NULL, &sides[0], &sides[1], tell, &told, &counts, NULL),
                     RF_OK);
        check_told(&told, &counts);
        rf_pool_free(pool);
        drop();
    }
}

Test(diff_report, tells_of_rows_in_key_order_over_all_partitions)
{
    for (uint32_t round = 0; round < 4; round++) {
        make(round % 2 ? 1 : 16, 100 + round, 120);
        struct told told = {.last = -1, .rises = true};
        rf_diff_counts counts;
        cr_assert_eq(
            rf_diff_walk_in_order(NULL, &sides[0], &sides[1], tell, &told, &counts, NULL), RF_OK);
        check_told(&told, &counts);
        cr_assert(told.rises);
        drop();
    }
}

Test(diff_report, finds_a_row_in_base_or_delta)
{
    make(16, 7, 200);
    for (int side = 0; side < 2; side++) {
        rf_base_reader *reader;
        cr_assert_eq(rf_base_reader_open(sides[side].pinned.base, &reader, NULL), RF_OK);
        for (int i = 0; i < KEYS; i++) {
            char text[32];
            rf_slice row = RF_SLICE("none");
            cr_assert_eq(rf_diff_find(&sides[side], reader, key_of(text, i), &row, NULL), RF_OK);
            cr_assert_eq(stamp_of(row), model[side][i], "key %d", i);
        }
        rf_base_reader_close(reader);
    }
    drop();
}

Test(diff_report, ends_when_it_is_cancelled)
{
    volatile int cancel = 1;
    rf_diff_counts counts;
    rf_diff_report *report;
    rf_diff_options options = {.before = 1, .after = 2, .run = {.cancel = &cancel}};

    make(1, 1, 10);
    struct told told = {.last = -1};
    rf_err err = {0};
    cr_assert_eq(rf_diff(store, "stamps", &options, &report, &err), RF_ERR_INTERRUPTED, "%s",
                 err.message);
    cancel = 0;
    cr_assert_eq(rf_diff_walk_in_order(&cancel, &sides[0], &sides[1], tell, &told, &counts, NULL),
                 RF_OK);
    drop();
}

Test(diff_report, reports_counts_columns_and_the_first_keys)
{
    make(16, 11, 150);
    rf_diff_options options = {.before = 1, .after = 2, .samples = 4, .run = {.workers = 2}};
    rf_diff_counts expected = {0};
    rf_diff_report *report;
    rf_err err = {0};
    int first = NONE;

    for (int i = 0; i < KEYS; i++) {
        bool changed = model[0][i] != NONE && model[1][i] != NONE && model[0][i] != model[1][i];
        expected.added += model[0][i] == NONE && model[1][i] != NONE;
        expected.removed += model[0][i] != NONE && model[1][i] == NONE;
        expected.changed += changed;
        if (changed && first == NONE)
            first = i;
    }
    cr_assert_eq(rf_diff(store, "stamps", &options, &report, &err), RF_OK, "%s", err.message);
    cr_assert_eq(report->counts[RF_DIFF_ADD], expected.added);
    cr_assert_eq(report->counts[RF_DIFF_REMOVE], expected.removed);
    cr_assert_eq(report->counts[RF_DIFF_CHANGE], expected.changed);
    cr_assert_eq(report->columns[0].changed, expected.changed);
    cr_assert_not(report->same);
    cr_assert_eq(report->sample_counts[RF_DIFF_CHANGE], 4);
    char text[40];
    (void)snprintf(text, sizeof text, "\"r-%06d\"", first);
    cr_assert_str_eq(report->samples[RF_DIFF_CHANGE][0].key, text);
    cr_assert_str_eq(report->columns[0].example_key, text);
    rf_diff_report_free(report);
    drop();
}
