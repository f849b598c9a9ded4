/* diff.h: two generations against plain arrays of their rows, deltas included. */
#include "compare/diff.h"

#include "catalog/record.h"
#include "generations_fixture.h"

#include <criterion/criterion.h>

enum { ROWS_BEFORE = 300, ROWS_AFTER = 280, KEYS = 400, PARTITIONS = 16 };
static char dir[64], path[80];
static rf_store *store;
static uint64_t numbers[2];
/* The stamp of key i in each of the two, -1 where there is no row. */
static int64_t stamps[2][KEYS];

static const rf_column column[] = {{.name = "stamp", .kind = RF_INT}};

static void make_store(void)
{
    rf_store_options options = {.create = true, .partitions = PARTITIONS};
    rf_err err = {0};

    (void)snprintf(dir, sizeof dir, "/tmp/refold-diff-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/s.refold", dir);
    cr_assert_eq(rf_store_open(path, &options, &store, &err), RF_OK, "%s", err.message);
    numbers[0] = fixture_generation(store->catalog, "stamps", 1, PARTITIONS, ROWS_BEFORE, 10);
    numbers[1] = fixture_generation(store->catalog, "stamps", 2, PARTITIONS, ROWS_AFTER, 10);
    for (int i = 0; i < KEYS; i++) {
        stamps[0][i] = i < ROWS_BEFORE ? (int64_t)numbers[0] : -1;
        stamps[1][i] = i < ROWS_AFTER ? (int64_t)numbers[1] : -1;
    }
}

static void remove_store(void)
{
    rf_store_close(store);
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(diff, .init = make_store, .fini = remove_store);

/* In the delta of side `side`, key `index` becomes `stamp`; -1: it goes. */
static void change(int side, int index, int64_t stamp)
{
    rf_checkpoint checkpoint = {.position = 11, .time_last = RF_TIME_NONE, .delta_rows = KEYS};
    rf_catalog_generation known;
    rf_kv_txn *txn;
    char key[32];
    bool found;
    rf_buf row;

    cr_assert_eq(rf_catalog_get_generation(store->catalog, "stamps", numbers[side], &known, &found,
                                           NULL),
                 RF_OK);
    (void)snprintf(key, sizeof key, "r-%06d", index);
    rf_buf_init(&row, 100);
    rf_row_encode(column, 1, &stamp, &row);
    rf_delta_entry entry = {.key = rf_slice_of(key)};
    if (stamp >= 0)
        entry.row = rf_buf_slice(&row);
    stamps[side][index] = stamp;
    cr_assert_eq(rf_kv_begin(rf_catalog_kv(store->catalog), true, &txn, NULL), RF_OK);
    fixture_delta_put(txn, known.delta, &entry);
    for (int i = 0; i < KEYS; i++) {
        char name[32];
        rf_buf one;
        if (stamps[side][i] < 0)
            continue;
        rf_buf_init(&one, 100);
        rf_row_encode(column, 1, &stamps[side][i], &one);
        (void)snprintf(name, sizeof name, "r-%06d", i);
        rf_digest_add_row(&checkpoint.digest, rf_slice_of(name), rf_buf_slice(&one));
        rf_buf_free(&one);
    }
    cr_assert_eq(rf_record_put_checkpoint(txn, "stamps", numbers[side], &checkpoint, NULL), RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    rf_buf_free(&row);
}

static int64_t stamp_of(rf_slice row)
{
    const rf_reader_column columns[] = {{"stamp", RF_INT, 0}};
    rf_value value;

    if (!row.data)
        return -1;
    cr_assert_eq(rf_row_decode(row, columns, 1, &value, NULL), RF_OK);
    return value.integer;
}

/* Each key once; workers write to different ones. */
static int seen[KEYS];

static rf_status visit(void *arg, uint32_t partition, const rf_diff_row *row, rf_err *err)
{
    char key[32];

    (void)arg;
    (void)err;
    (void)snprintf(key, sizeof key, "%.*s", (int)row->key.size, row->key.data);
    int index = atoi(key + 2);
    seen[index]++;
    if (partition != rf_partition_of(row->key, PARTITIONS) ||
        stamp_of(row->before) != stamps[0][index] || stamp_of(row->after) != stamps[1][index])
        seen[index] = 1000;
    return RF_OK;
}

static rf_status visit_any(void *arg, uint32_t partition, const rf_diff_row *row, rf_err *err)
{
    cr_assert_eq(partition, 0u);
    return visit(arg, rf_partition_of(row->key, PARTITIONS), row, err);
}

static rf_status stop(void *arg, uint32_t partition, const rf_diff_row *row, rf_err *err)
{
    (void)arg;
    (void)partition;
    (void)row;
    return rf_fail(err, RF_ERR_NOTHING, "enough");
}

static void check_walk(uint32_t workers)
{
    rf_diff_side before, after;
    rf_diff_counts counts = {0}, expected = {0};
    rf_pool *pool;

    memset(seen, 0, sizeof seen);
    cr_assert_eq(rf_pool_new(workers, &pool, NULL), RF_OK);
    cr_assert_eq(rf_diff_open(store, "stamps", numbers[0], &before, NULL), RF_OK);
    cr_assert_eq(rf_diff_open(store, "stamps", numbers[1], &after, NULL), RF_OK);
    cr_assert_eq(rf_diff_walk(store, pool, NULL, &before, &after, visit, NULL, &counts, NULL), RF_OK);
    for (int i = 0; i < KEYS; i++) {
        int64_t a = stamps[0][i], b = stamps[1][i];
        cr_assert_eq(seen[i], a != b, "key %d: %lld, %lld", i, (long long)a, (long long)b);
        expected.added += a < 0 && b >= 0;
        expected.removed += a >= 0 && b < 0;
        expected.changed += a >= 0 && b >= 0 && a != b;
    }
    cr_assert_eq(counts.added, expected.added);
    cr_assert_eq(counts.removed, expected.removed);
    cr_assert_eq(counts.changed, expected.changed);
    rf_diff_close(&before);
    rf_diff_close(&after);
    rf_pool_free(pool);
}

Test(diff, tells_each_key_that_differs_once_for_any_number_of_workers)
{
    check_walk(0);
    check_walk(3);
}

Test(diff, reads_base_and_delta_as_one)
{
    for (int i = 0; i < ROWS_AFTER; i += 3)
        change(0, i, (int64_t)numbers[1]); /* now the same */
    change(0, 5, -1);
    change(1, 7, -1);
    change(1, 350, 9);
    change(0, 351, 9);
    change(1, 351, 9);
    check_walk(0);
    check_walk(2);
}

Test(diff, of_one_base_looks_at_the_deltas_only)
{
    int64_t was[KEYS];
    rf_diff_side before, after;

    change(1, 3, 100);
    change(1, 4, -1);
    change(1, 350, 9);
    change(1, 351, 9);
    memcpy(was, stamps[1], sizeof was);
    cr_assert_eq(rf_diff_open(store, "stamps", numbers[1], &before, NULL), RF_OK);
    change(1, 3, 101);
    change(1, 350, -1);
    change(1, 5, -1);
    change(1, 352, 9);
    change(1, 6, (int64_t)numbers[1]); /* as it was */
    cr_assert_eq(rf_diff_open(store, "stamps", numbers[1], &after, NULL), RF_OK);
    memcpy(stamps[0], was, sizeof was);
    memset(seen, 0, sizeof seen);
    cr_assert_eq(rf_diff_walk_deltas(NULL, &before, &after, visit_any, NULL, NULL), RF_OK);
    for (int i = 0; i < KEYS; i++)
        cr_assert_eq(seen[i], stamps[0][i] != stamps[1][i], "key %d", i);
    cr_assert_eq(rf_diff_walk_deltas(NULL, &before, &after, stop, NULL, NULL), RF_ERR_NOTHING);
    rf_diff_close(&before);
    rf_diff_close(&after);
}

Test(diff, of_the_same_rows_is_empty)
{
    rf_diff_side a, b;

    cr_assert_eq(rf_diff_open(store, "stamps", numbers[0], &a, NULL), RF_OK);
    cr_assert_eq(rf_diff_open(store, "stamps", numbers[1], &b, NULL), RF_OK);
    cr_assert(rf_diff_is_empty(&a, &a));
    cr_assert_not(rf_diff_is_empty(&a, &b));
    rf_diff_close(&a);
    rf_diff_close(&b);
}

Test(diff, ends_when_the_visitor_wants_it)
{
    rf_diff_side before, after;
    rf_diff_counts counts;
    rf_pool *pool;

    cr_assert_eq(rf_pool_new(2, &pool, NULL), RF_OK);
    cr_assert_eq(rf_diff_open(store, "stamps", numbers[0], &before, NULL), RF_OK);
    cr_assert_eq(rf_diff_open(store, "stamps", numbers[1], &after, NULL), RF_OK);
    cr_assert_eq(rf_diff_walk(store, pool, NULL, &before, &after, stop, NULL, &counts, NULL),
                 RF_ERR_NOTHING);
    rf_diff_close(&before);
    rf_diff_close(&after);
    rf_pool_free(pool);
}

Test(diff, of_a_generation_that_is_not_there_is_refused)
{
    rf_diff_side side;
    cr_assert_eq(rf_diff_open(store, "stamps", 77, &side, NULL), RF_ERR_ABSENT);
}
