/* catalog/delta.h and rows.h: base and delta read as one, against a plain array of rows. */
#include "catalog/delta_changes.h"

#include "catalog/record.h"
#include "catalog/rows.h"
#include "generations_fixture.h"
#include "refold/generation.h"
#include "refold/read.h"
#include "store/store.h"

#include <criterion/criterion.h>

enum { BASE_ROWS = 300, KEYS = 400, PARTITIONS = 16, WORKERS = 3 };
static char dir[64], path[80];
static rf_store *store;

/* The plain model: the stamp of key i, -1 where there is no row. */
static int64_t model[KEYS];
static uint64_t number;

static const rf_column column[] = {{.name = "stamp", .kind = RF_INT}};

static void make_store(void)
{
    rf_store_options options = {.create = true, .partitions = PARTITIONS};
    const char *name = "stamps";
    rf_flip flip;
    rf_err err = {0};

    (void)snprintf(dir, sizeof dir, "/tmp/refold-delta-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/s.refold", dir);
    cr_assert_eq(rf_store_open(path, &options, &store, &err), RF_OK, "%s", err.message);
    number = fixture_generation(store->catalog, name, 1, PARTITIONS, BASE_ROWS, 10);
    cr_assert_eq(rf_swap(store, &name, 1, number, 0, &flip, &err), RF_OK, "%s", err.message);
    for (int i = 0; i < KEYS; i++)
        model[i] = i < BASE_ROWS ? (int64_t)number : -1;
}

static void remove_store(void)
{
    rf_store_close(store);
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(delta, .init = make_store, .fini = remove_store);

static rf_slice key_of(char text[32], int index)
{
    (void)snprintf(text, 32, "r-%06d", index);
    return rf_slice_of(text);
}

static uint32_t delta_of(uint64_t generation)
{
    rf_catalog_generation known;
    bool found;

    cr_assert_eq(rf_catalog_get_generation(store->catalog, "stamps", generation, &known, &found,
                                           NULL),
                 RF_OK);
    cr_assert(found);
    return known.delta;
}

/* One commit: key i becomes `stamp` (-1: goes) for each of the changes, as the workers of a catch-up
 * would gather them: in any order, those of one key by one worker, where the last counts. */
static void commit(uint64_t position, const int *keys, const int64_t *stamps, int count)
{
    rf_checkpoint checkpoint = {.position = position, .time_last = RF_TIME_NONE, .delta_rows = KEYS};
    uint32_t delta = delta_of(number);
    rf_delta_changes changes[WORKERS];
    const rf_delta_changes *all[WORKERS];
    rf_kv_txn *txn;
    char text[32];
    rf_buf row;

    rf_buf_init(&row, 100);
    for (int i = 0; i < WORKERS; i++)
        rf_delta_changes_init(&changes[i]);
    for (int i = 0; i < count; i++) {
        rf_delta_entry entry = {.key = key_of(text, keys[i])};
        model[keys[i]] = stamps[i];
        rf_buf_clear(&row);
        rf_row_encode(column, 1, &stamps[i], &row);
        if (stamps[i] >= 0)
            entry.row = rf_buf_slice(&row);
        if (stamps[i] < 0 && keys[i] >= BASE_ROWS)
            rf_delta_changes_delete(&changes[keys[i] % WORKERS], RF_DELTA_ROWS, entry.key);
        else
            rf_delta_changes_put(&changes[keys[i] % WORKERS], RF_DELTA_ROWS, &entry);
    }
    for (int i = 0; i < WORKERS; i++) {
        all[i] = &changes[i];
        rf_delta_changes_sort(&changes[i]);
    }
    cr_assert_eq(rf_kv_begin(rf_catalog_kv(store->catalog), true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_delta_apply(txn, delta, all, WORKERS, NULL), RF_OK);
    for (int i = 0; i < KEYS; i++) {
        if (model[i] < 0)
            continue;
        rf_buf_clear(&row);
        rf_row_encode(column, 1, &model[i], &row);
        rf_digest_add_row(&checkpoint.digest, key_of(text, i), rf_buf_slice(&row));
    }
    cr_assert_eq(rf_record_put_checkpoint(txn, "stamps", number, &checkpoint, NULL), RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    for (int i = 0; i < WORKERS; i++)
        rf_delta_changes_free(&changes[i]);
    rf_buf_free(&row);
}

/* Rows `from` to `to` - 1 come, in order, and none else. */
static void check_scan(rf_reader *reader, int from, int to, uint64_t limit)
{
    char from_text[32], to_text[32], text[32];
    rf_range range = {.from = key_of(from_text, from), .to = key_of(to_text, to), .limit = limit};
    rf_cursor *cursor;
    rf_row row;

    cr_assert_eq(rf_cursor_open(reader, &range, &cursor, NULL), RF_OK);
    for (int i = from; i < to && limit != UINT64_MAX; i++) {
        if (model[i] < 0)
            continue;
        cr_assert_eq(rf_cursor_next(cursor, &row, NULL), RF_OK, "row %d of %d to %d", i, from, to);
        cr_assert(rf_slice_equal(row.key, key_of(text, i)));
        cr_assert_eq(row.values[0].integer, model[i]);
        if (limit > 0 && --limit == 0)
            limit = UINT64_MAX;
    }
    if (limit != UINT64_MAX)
        cr_assert_eq(rf_cursor_next(cursor, &row, NULL), RF_ERR_NO_ROW);
    rf_cursor_close(cursor);
}

static void check_all(rf_reader *reader, unsigned *seed)
{
    char text[32];
    rf_row row;

    for (int i = 0; i < KEYS; i++) {
        rf_status status = rf_reader_get(reader, key_of(text, i), &row, NULL);
        cr_assert_eq(status, model[i] < 0 ? RF_ERR_NO_ROW : RF_OK, "row %d", i);
        if (status == RF_OK)
            cr_assert_eq(row.values[0].integer, model[i]);
    }
    check_scan(reader, 0, KEYS, 0);
    for (int i = 0; i < 20; i++) {
        int from = rand_r(seed) % KEYS;
        check_scan(reader, from, from + rand_r(seed) % (KEYS - from), 0);
        check_scan(reader, from, KEYS, 1 + (uint64_t)rand_r(seed) % 50);
    }
}

Test(delta, and_base_are_read_as_one_whatever_is_changed_added_or_gone)
{
    unsigned seed = 7;
    rf_reader *reader;

    cr_assert_eq(rf_reader_open(store, "stamps", 0, &reader, NULL), RF_OK);
    for (int round = 0; round < 40; round++) {
        int keys[30];
        int64_t stamps[30];
        int count = rand_r(&seed) % 30;
        for (int i = 0; i < count; i++) {
            keys[i] = rand_r(&seed) % KEYS;
            stamps[i] = rand_r(&seed) % 3 == 0 ? -1 : rand_r(&seed) % 100000;
        }
        commit(100 + (uint64_t)round, keys, stamps, count);
        check_all(reader, &seed);
        cr_assert_eq(rf_reader_get_info(reader)->position, 100 + (uint64_t)round);
    }
    rf_reader_close(reader);
}

Test(delta, gives_a_reader_the_digest_of_its_rows)
{
    rf_reader *reader;
    rf_digest digest = {0};
    char text[33], key[32];
    rf_buf row;

    commit(11, (int[]){5, 350, 0}, (int64_t[]){9, 9, -1}, 3);
    rf_buf_init(&row, 100);
    for (int i = 0; i < KEYS; i++) {
        rf_buf_clear(&row);
        rf_row_encode(column, 1, &model[i], &row);
        if (model[i] >= 0)
            rf_digest_add_row(&digest, key_of(key, i), rf_buf_slice(&row));
    }
    rf_digest_format(&digest, text);
    cr_assert_eq(rf_reader_open(store, "stamps", 0, &reader, NULL), RF_OK);
    cr_assert_str_eq(rf_reader_get_info(reader)->digest, text);
    cr_assert_eq(rf_reader_get_info(reader)->rows, BASE_ROWS);
    cr_assert_eq(rf_reader_get_info(reader)->position, 11);
    rf_reader_close(reader);
    rf_buf_free(&row);
}

Test(delta, does_not_change_under_an_open_cursor)
{
    rf_reader *reader;
    rf_cursor *cursor;
    rf_row row;

    commit(11, (int[]){1, 310}, (int64_t[]){77, 78}, 2);
    cr_assert_eq(rf_reader_open(store, "stamps", 0, &reader, NULL), RF_OK);
    cr_assert_eq(rf_cursor_open(reader, NULL, &cursor, NULL), RF_OK);
    int64_t before[KEYS];
    memcpy(before, model, sizeof before);
    commit(12, (int[]){1, 2, 310, 320}, (int64_t[]){-1, 5, 6, 7}, 4);
    for (int i = 0; i < KEYS; i++) {
        if (before[i] < 0)
            continue;
        cr_assert_eq(rf_cursor_next(cursor, &row, NULL), RF_OK);
        cr_assert_eq(row.values[0].integer, before[i]);
    }
    cr_assert_eq(rf_cursor_next(cursor, &row, NULL), RF_ERR_NO_ROW);
    rf_cursor_close(cursor);
    bool changed = false;
    cr_assert_eq(rf_reader_refresh(reader, &changed, NULL), RF_OK);
    cr_assert(changed);
    check_scan(reader, 0, KEYS, 0);
    rf_reader_close(reader);
}

Test(delta, of_a_generation_that_gc_took_goes_with_it)
{
    uint32_t before = delta_of(number);
    const char *name = "stamps";
    rf_gc_result result;
    rf_flip flip;
    uint64_t entries;
    rf_kv_txn *txn;

    commit(11, (int[]){1, 310}, (int64_t[]){77, 78}, 2);
    uint64_t next = fixture_generation(store->catalog, name, 1, PARTITIONS, 10, 20);
    cr_assert_neq(delta_of(next), before, "no number is given twice");
    cr_assert_eq(rf_swap(store, &name, 1, next, 0, &flip, NULL), RF_OK);
    cr_assert_eq(rf_gc(store, name, 1, 0, &result, NULL), RF_OK);
    cr_assert_eq(result.removed, 1);
    cr_assert_eq(rf_kv_begin(rf_catalog_kv(store->catalog), false, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_count(txn, RF_CATALOG_DELTA_TABLE, &entries, NULL), RF_OK);
    rf_kv_abort(txn);
    cr_assert_eq(entries, 0);
}

static void check_same_entries(uint32_t table, uint32_t delta, uint32_t other, uint32_t count)
{
    const rf_delta_range all = {.limit = 0};
    rf_delta_part part, copy;
    rf_kv_txn *txn;

    cr_assert_eq(rf_kv_begin(rf_catalog_kv(store->catalog), false, &txn, NULL), RF_OK);
    cr_assert_eq(rf_delta_take(txn, delta, table, &all, &part, NULL), RF_OK);
    cr_assert_eq(rf_delta_take(txn, other, table, &all, &copy, NULL), RF_OK);
    rf_kv_abort(txn);
    cr_assert_eq(part.count, count);
    cr_assert_eq(copy.count, count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(rf_slice_equal(part.entries[i].key, copy.entries[i].key));
        cr_assert(rf_slice_equal(part.entries[i].row, copy.entries[i].row));
        cr_assert_eq(!part.entries[i].row.data, !copy.entries[i].row.data);
    }
    rf_delta_part_free(&part);
    rf_delta_part_free(&copy);
}

enum { LARGE_ROWS = 800, LARGE_BYTES = 16 << 10 }; /* more than one transaction of a copy takes */

/* Rows and their entries in an index, each third row gone; and one event left out. */
static void put_large_delta(void)
{
    const rf_left_out left_out = {.position = 12, .cause = RF_CAUSE_SKIPPED, .reason = RF_SLICE("no")};
    const rf_checkpoint checkpoint = {.position = 13, .time_last = RF_TIME_NONE, .delta_rows = LARGE_ROWS};
    char *row = calloc(1, LARGE_BYTES);
    char text[32];
    rf_kv_txn *txn;
    rf_delta_changes changes;
    const rf_delta_changes *all = &changes;

    cr_assert_not_null(row);
    rf_delta_changes_init(&changes);
    for (int i = 0; i < LARGE_ROWS; i++) {
        rf_delta_entry entry = {.key = key_of(text, i)};
        memcpy(row, &i, sizeof i);
        if (i % 3 > 0)
            entry.row = (rf_slice){row, LARGE_BYTES};
        rf_delta_changes_put(&changes, RF_DELTA_ROWS, &entry);
        rf_delta_changes_put(&changes, RF_DELTA_INDEXES, &entry);
    }
    rf_delta_changes_sort(&changes);
    cr_assert_eq(rf_kv_begin(rf_catalog_kv(store->catalog), true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_delta_apply(txn, delta_of(number), &all, 1, NULL), RF_OK);
    cr_assert_eq(rf_record_put_left_out(txn, "stamps", number, &left_out, NULL), RF_OK);
    cr_assert_eq(rf_record_put_checkpoint(txn, "stamps", number, &checkpoint, NULL), RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    rf_delta_changes_free(&changes);
    free(row);
}

Test(delta, of_a_copy_is_that_of_the_other_generation_also_where_it_takes_several_transactions)
{
    char dir_of[RF_PATH_SIZE];
    rf_manifest manifest;
    rf_checkpoint checkpoint;
    rf_left_out_list left_out;
    uint64_t set = 0;
    rf_kv_txn *txn;
    rf_err err = {0};

    put_large_delta();
    uint64_t copy = fixture_generation(store->catalog, "stamps", 1, PARTITIONS, BASE_ROWS, 10);
    cr_assert_eq(rf_catalog_path(store->catalog, "stamps", copy, dir_of, NULL), RF_OK);
    cr_assert_eq(rf_manifest_read(dir_of, &manifest, NULL), RF_OK);
    cr_assert_eq(rf_kv_begin(rf_catalog_kv(store->catalog), true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_record_delete_generation(txn, "stamps", copy, NULL), RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);

    cr_assert_eq(rf_catalog_add_copy(store->catalog, &manifest, number, &set, &err), RF_OK, "%s",
                 err.message);
    cr_assert_neq(set, 0);
    cr_assert_neq(delta_of(copy), delta_of(number));
    for (uint32_t table = RF_DELTA_ROWS; table <= RF_DELTA_INDEXES; table++)
        check_same_entries(table, delta_of(number), delta_of(copy), LARGE_ROWS);
    cr_assert_eq(rf_catalog_checkpoint(store->catalog, &manifest, &checkpoint, NULL), RF_OK);
    cr_assert_eq(checkpoint.position, 13);
    cr_assert_eq(checkpoint.delta_rows, LARGE_ROWS);
    cr_assert_eq(rf_catalog_left_out(store->catalog, &manifest, &left_out, NULL), RF_OK);
    cr_assert_eq(left_out.count, 1);
    cr_assert_eq(left_out.items[0].position, 12);
    rf_left_out_list_free(&left_out);
    rf_manifest_free(&manifest);
}

Test(delta, that_no_generation_has_is_removed_by_gc)
{
    const rf_delta_entry entry = {.key = RF_SLICE("r-000001"), .row = RF_SLICE("a row")};
    rf_gc_result result;
    uint64_t entries;
    rf_kv_txn *txn;

    cr_assert_eq(rf_kv_begin(rf_catalog_kv(store->catalog), true, &txn, NULL), RF_OK);
    fixture_delta_put(txn, delta_of(number) + 1, &entry); /* as a copy that was killed leaves it */
    fixture_delta_put(txn, delta_of(number), &entry);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    cr_assert_eq(rf_gc(store, NULL, 1, 0, &result, NULL), RF_OK);
    cr_assert_eq(rf_kv_begin(rf_catalog_kv(store->catalog), false, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_count(txn, RF_CATALOG_DELTA_TABLE, &entries, NULL), RF_OK);
    rf_kv_abort(txn);
    cr_assert_eq(entries, 1);
}

Test(delta, refuses_an_entry_whose_checksum_does_not_hold)
{
    uint32_t delta = delta_of(number);
    char at[] = {(char)(delta >> 24), (char)(delta >> 16), (char)(delta >> 8), (char)delta, 0,
                 'r', '-', '0', '0', '0', '0', '0', '1'};
    rf_reader *reader;
    rf_kv_txn *txn;
    rf_row row;
    rf_err err = {0};

    commit(11, (int[]){1}, (int64_t[]){77}, 1);
    cr_assert_eq(rf_kv_begin(rf_catalog_kv(store->catalog), true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_put(txn, RF_CATALOG_DELTA_TABLE, (rf_slice){at, sizeof at},
                           RF_SLICE("\x91\x4d""12345678"), NULL),
                 RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    cr_assert_eq(rf_reader_open(store, "stamps", 0, &reader, NULL), RF_OK);
    cr_assert_eq(rf_reader_get(reader, RF_SLICE("r-000001"), &row, &err), RF_ERR_DAMAGED);
    cr_assert_eq(rf_reader_get(reader, RF_SLICE("r-000002"), &row, &err), RF_OK);
    rf_reader_close(reader);
}
