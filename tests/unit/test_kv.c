/* kv.h: fixed tables, transactions, cursors, refusal of damage. */
#include "base/file.h"
#include "base/kv.h"
#include "base/kv_bulk.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64];

static void make_dir(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/refold-kv-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(kv, .init = make_dir, .fini = remove_dir);

static const rf_kv_options two_tables = {.tables = {"first", "second"}, .create = true};

static rf_kv *open_kv(const rf_kv_options *options)
{
    rf_kv *kv = NULL;
    rf_err err = {0};
    cr_assert_eq(rf_kv_open(dir, options, &kv, &err), RF_OK, "%s", err.message);
    return kv;
}

static void put(rf_kv *kv, uint32_t table, const char *key, const char *value)
{
    rf_kv_txn *txn;
    cr_assert_eq(rf_kv_begin(kv, true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_put(txn, table, rf_slice_of(key), rf_slice_of(value), NULL), RF_OK);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
}

Test(kv, keeps_what_was_committed_and_forgets_what_was_aborted)
{
    rf_kv *kv = open_kv(&two_tables);
    rf_kv_txn *txn;
    rf_slice value;
    bool found;

    put(kv, 1, "a", "kept");
    cr_assert_eq(rf_kv_begin(kv, true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_put(txn, 1, RF_SLICE("b"), RF_SLICE("lost"), NULL), RF_OK);
    rf_kv_abort(txn);
    rf_kv_close(kv);

    kv = open_kv(&two_tables);
    cr_assert_eq(rf_kv_begin(kv, false, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_get(txn, 1, RF_SLICE("a"), &value, &found, NULL), RF_OK);
    cr_assert(found && rf_slice_equal(value, RF_SLICE("kept")));
    cr_assert_eq(rf_kv_get(txn, 1, RF_SLICE("b"), &value, &found, NULL), RF_OK);
    cr_assert_not(found);
    cr_assert_eq(rf_kv_get(txn, 0, RF_SLICE("a"), &value, &found, NULL), RF_OK);
    cr_assert_not(found);
    rf_kv_abort(txn);
    rf_kv_close(kv);
}

Test(kv, seeks_at_least_and_at_most)
{
    rf_kv *kv = open_kv(&two_tables);
    rf_kv_txn *txn;
    rf_kv_cursor *cursor;
    rf_slice key;
    rf_slice value;
    bool found;

    put(kv, 0, "b", "1");
    put(kv, 0, "d", "2");
    cr_assert_eq(rf_kv_begin(kv, false, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_cursor_open(txn, 0, &cursor, NULL), RF_OK);
    const struct {
        rf_kv_seek seek;
        const char *at;
        const char *expected; /* NULL: none */
    } cases[] = {
        {RF_KV_AT_MOST, "a", NULL}, {RF_KV_AT_MOST, "b", "b"},  {RF_KV_AT_MOST, "c", "b"},
        {RF_KV_AT_MOST, "d", "d"},  {RF_KV_AT_MOST, "e", "d"},  {RF_KV_AT_LEAST, "a", "b"},
        {RF_KV_AT_LEAST, "c", "d"}, {RF_KV_AT_LEAST, "e", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(rf_kv_cursor_seek(cursor, cases[i].seek, rf_slice_of(cases[i].at), &key, &value,
                                       &found, NULL),
                     RF_OK);
        cr_assert_eq(found, cases[i].expected != NULL, "case %zu", i);
        if (!found)
            continue;
        cr_assert(rf_slice_equal(key, rf_slice_of(cases[i].expected)), "case %zu", i);
        rf_slice there;
        cr_assert_eq(rf_kv_cursor_seek(cursor, RF_KV_HERE, RF_SLICE(""), &key, &there, &found, NULL),
                     RF_OK);
        cr_assert(found && rf_slice_equal(there, value), "case %zu", i);
    }
    rf_kv_cursor_close(cursor);
    rf_kv_abort(txn);
    rf_kv_close(kv);
}

/* Keys of three commits through a cursor: behind all, between those, and beside deletions. */
static void put_through_cursor(rf_kv *kv, int first, int step, int count, bool behind)
{
    rf_kv_cursor *cursor;
    rf_kv_txn *txn;
    char text[16];
    char *room;

    cr_assert_eq(rf_kv_begin(kv, true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_cursor_open(txn, 0, &cursor, NULL), RF_OK);
    for (int i = 0; i < count; i++) {
        int number = first + i * step;
        rf_slice key = {text, (size_t)snprintf(text, sizeof text, "%06d", number)};
        size_t size = sizeof number + (size_t)(number % 7) * 100;
        cr_assert_eq(rf_kv_cursor_put_room(cursor, key, size, behind, &room, NULL), RF_OK);
        memset(room, number % 256, size);
        memcpy(room, &number, sizeof number);
        if (!behind && number % 5 == 0)
            cr_assert_eq(rf_kv_delete(txn, 0, key, NULL), RF_OK);
    }
    rf_kv_cursor_close(cursor);
    cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
}

Test(kv, takes_entries_through_a_cursor_in_order)
{
    enum { COUNT = 3000 };
    rf_kv *kv = open_kv(&two_tables);
    rf_kv_cursor *cursor;
    rf_kv_txn *txn;
    rf_slice key, value;
    bool found;
    int at = 0;

    put_through_cursor(kv, 0, 2, COUNT, true);
    put_through_cursor(kv, 1, 2, COUNT, false);
    put_through_cursor(kv, 0, 10, COUNT / 5, false); /* all of them go */
    cr_assert_eq(rf_kv_begin(kv, false, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_cursor_open(txn, 0, &cursor, NULL), RF_OK);
    cr_assert_eq(rf_kv_cursor_seek(cursor, RF_KV_FIRST, RF_SLICE(""), &key, &value, &found, NULL), RF_OK);
    for (; found; at++) {
        char text[16];
        int number;
        while (at % 10 == 0 || (at % 2 == 1 && at % 5 == 0))
            at++;
        rf_slice due = {text, (size_t)snprintf(text, sizeof text, "%06d", at)};
        cr_assert(rf_slice_equal(key, due));
        memcpy(&number, value.data, sizeof number);
        cr_assert_eq(number, at);
        cr_assert_eq(value.size, sizeof number + (size_t)(at % 7) * 100);
        cr_assert_eq(rf_kv_cursor_seek(cursor, RF_KV_NEXT, RF_SLICE(""), &key, &value, &found, NULL),
                     RF_OK);
    }
    cr_assert_eq(at, 2 * COUNT);
    rf_kv_cursor_close(cursor);
    rf_kv_abort(txn);
    rf_kv_close(kv);
}

Test(kv, copies_what_a_transaction_reads_while_others_write)
{
    enum { SIZE = 300000 };
    rf_kv *kv = open_kv(&two_tables);
    rf_kv_txn *txn;
    rf_slice value;
    bool found;
    char *large = malloc(SIZE + 1);
    char *copy = malloc(SIZE);

    memset(large, 'x', SIZE);
    large[SIZE] = '\0';
    put(kv, 0, "k", "small");
    put(kv, 1, "k", large);
    cr_assert_eq(rf_kv_begin(kv, false, &txn, NULL), RF_OK);
    put(kv, 0, "k", "newer");
    put(kv, 1, "k", "newer");
    put(kv, 1, "l", large);
    cr_assert_eq(rf_kv_get(txn, 0, RF_SLICE("k"), &value, &found, NULL), RF_OK);
    cr_assert_eq(rf_kv_copy(kv, value, copy, NULL), RF_OK);
    cr_assert(value.size == 5 && memcmp(copy, "small", 5) == 0);
    cr_assert_eq(rf_kv_get(txn, 1, RF_SLICE("k"), &value, &found, NULL), RF_OK);
    cr_assert_eq(rf_kv_copy(kv, value, copy, NULL), RF_OK);
    cr_assert(value.size == SIZE && memcmp(copy, large, SIZE) == 0);
    cr_assert_eq(rf_kv_copy(kv, (rf_slice){value.data + 5000, 7}, copy, NULL), RF_OK);
    cr_assert(memcmp(copy, "xxxxxxx", 7) == 0);
    rf_kv_abort(txn);
    rf_kv_close(kv);
    free(large);
    free(copy);
}

/* The page that a value of several pages begins, of which the file says that it has fewer. */
static void damage_page_count(const char *path, size_t value_size)
{
    enum { PAGE = 4096, HEADER = 16, FLAGS_AT = 10, COUNT_AT = 12, OVERFLOW_PAGE = 4 };
    const uint32_t pages = (uint32_t)((HEADER + value_size + PAGE - 1) / PAGE);
    char page[PAGE];
    bool found = false;
    int fd = open(path, O_RDWR);

    cr_assert_geq(fd, 0);
    for (off_t at = 0; !found && pread(fd, page, PAGE, at) == PAGE; at += PAGE) {
        if (rf_load_u16(page + FLAGS_AT) != OVERFLOW_PAGE || rf_load_u32(page + COUNT_AT) != pages)
            continue;
        rf_store_u32(page + COUNT_AT, pages - 1);
        cr_assert_eq(pwrite(fd, page, PAGE, at), PAGE);
        found = true;
    }
    cr_assert(found);
    (void)close(fd);
}

Test(kv, refuses_a_value_that_is_larger_than_its_pages_mapped_or_copied)
{
    enum { SIZE = 20000 };
    rf_kv *kv = open_kv(&two_tables);
    rf_kv_txn *txn;
    rf_kv_cursor *cursor;
    rf_slice key, value;
    bool found;
    char path[128];
    char *large = malloc(SIZE + 1);

    memset(large, 'x', SIZE);
    large[SIZE] = '\0';
    put(kv, 1, "k", large);
    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
    for (int damaged = 0; damaged < 2; damaged++) {
        for (int copied = 0; copied < 2; copied++) {
            rf_status expected = damaged ? RF_ERR_DAMAGED : RF_OK;
            cr_assert_eq(rf_kv_begin(kv, false, &txn, NULL), RF_OK);
            if (copied)
                rf_kv_read_copied(txn);
            cr_assert_eq(rf_kv_get(txn, 1, RF_SLICE("k"), &value, &found, NULL), expected);
            cr_assert_eq(rf_kv_cursor_open(txn, 1, &cursor, NULL), RF_OK);
            cr_assert_eq(rf_kv_cursor_seek(cursor, RF_KV_FIRST, RF_SLICE(""), &key, &value, &found,
                                           NULL),
                         expected);
            cr_assert_eq(rf_kv_cursor_seek(cursor, RF_KV_FIRST, RF_SLICE(""), &key, NULL, &found, NULL),
                         RF_OK); /* the key alone */
            cr_assert(found && rf_slice_equal(key, RF_SLICE("k")));
            cr_assert_eq(rf_kv_cursor_seek(cursor, RF_KV_HERE, RF_SLICE(""), &key, &value, &found, NULL),
                         expected);
            rf_kv_cursor_close(cursor);
            rf_kv_abort(txn);
        }
        if (!damaged)
            damage_page_count(path, SIZE);
    }
    rf_kv_close(kv);
    free(large);
}

Test(kv, opens_a_file_only_once_in_a_process)
{
    rf_kv *first = open_kv(&two_tables);
    rf_kv *second = open_kv(&two_tables);

    cr_assert_eq(first, second);
    rf_kv_close(second);
    put(first, 0, "a", "still open");
    rf_kv_close(first);
}

Test(kv, refuses_a_data_file_that_is_shorter_than_its_last_page)
{
    rf_kv *kv = open_kv(&two_tables);
    char path[128];
    rf_err err;

    for (int i = 0; i < 2000; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%06d", i);
        put(kv, 0, key, "some value of some length, so that a few pages are filled");
    }
    rf_kv_info info;
    rf_kv_get_info(kv, &info);
    rf_kv_close(kv);
    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
    for (off_t size = (off_t)info.bytes_used - 512; size >= 0; size -= 512 * 37) {
        cr_assert_eq(truncate(path, size), 0);
        rf_kv_options there = {.tables = {"first", "second"}};
        cr_assert_eq(rf_kv_open(dir, &there, &kv, &err), RF_ERR_DAMAGED, "%lld", (long long)size);
    }
}

Test(kv, says_absent_for_a_store_that_is_not_there)
{
    rf_kv_options there = {.tables = {"first"}};
    rf_kv *kv;
    rf_err err;

    cr_assert_eq(rf_kv_open(dir, &there, &kv, &err), RF_ERR_ABSENT);
}

Test(kv, preallocates_the_lock_file)
{
    rf_kv *kv = open_kv(&two_tables);
    char path[128];

    (void)snprintf(path, sizeof path, "%s/lock.mdb", dir);
    cr_assert_geq(rf_file_freed(path), 64 << 10);
    rf_kv_close(kv);
}

Test(kv, refuses_a_key_that_lmdb_cannot_hold)
{
    rf_kv *kv = open_kv(&two_tables);
    rf_kv_txn *txn;
    char key[RF_KV_KEY_SIZE_MAX + 1] = {0};
    rf_err err;

    cr_assert_eq(rf_kv_begin(kv, true, &txn, NULL), RF_OK);
    rf_slice longest = {key, RF_KV_KEY_SIZE_MAX};
    rf_slice too_long = {key, RF_KV_KEY_SIZE_MAX + 1};
    cr_assert_eq(rf_kv_put(txn, 0, longest, RF_SLICE("x"), &err), RF_OK);
    cr_assert_eq(rf_kv_put(txn, 0, too_long, RF_SLICE("x"), &err), RF_ERR_INPUT);
    cr_assert_eq(rf_kv_put(txn, 0, (rf_slice){key, 0}, RF_SLICE("x"), &err), RF_ERR_INPUT);
    rf_kv_abort(txn);
    rf_kv_close(kv);
}

Test(kv, says_what_is_full_when_the_map_is_full)
{
    cr_assert_eq(setenv("REFOLD_MAP_BYTES", "131072", 1), 0);
    rf_kv *kv = open_kv(&two_tables);
    rf_kv_txn *txn;
    char *room;
    rf_err err;

    cr_assert_eq(rf_kv_begin(kv, true, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_put_room(txn, 0, RF_SLICE("a"), 1 << 20, &room, &err), RF_ERR_IO);
    cr_assert_neq(err.cause, 0);
    cr_assert_not_null(strstr(err.message, dir));
    rf_kv_abort(txn);
    rf_kv_close(kv);
}

Test(kv, a_renewed_read_transaction_sees_what_came_meanwhile)
{
    rf_kv *kv = open_kv(&two_tables);
    rf_kv_txn *txn;
    rf_slice value;
    bool found;

    cr_assert_eq(rf_kv_begin(kv, false, &txn, NULL), RF_OK);
    put(kv, 0, "a", "new");
    cr_assert_eq(rf_kv_get(txn, 0, RF_SLICE("a"), &value, &found, NULL), RF_OK);
    cr_assert_not(found);
    rf_kv_reset(txn);
    cr_assert_eq(rf_kv_renew(txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_get(txn, 0, RF_SLICE("a"), &value, &found, NULL), RF_OK);
    cr_assert(found);
    rf_kv_abort(txn);
    rf_kv_close(kv);
}

/* A file with so many rows: "a", "b" and on. */
static void build_file(const char *path, int rows)
{
    rf_kv_bulk *bulk;
    rf_kv_bulk_run *run;
    uint64_t size;
    char *room;

    cr_assert_eq(rf_kv_bulk_new(path, false, 1, &bulk, NULL), RF_OK);
    cr_assert_eq(rf_kv_bulk_run_new(bulk, 0, &run, NULL), RF_OK);
    for (int i = 0; i < rows; i++) {
        char key = (char)('a' + i);
        cr_assert_eq(rf_kv_bulk_room(run, (rf_slice){&key, 1}, 3, &room, NULL), RF_OK);
        memcpy(room, "row", 3);
    }
    cr_assert_eq(rf_kv_bulk_run_end(run, NULL), RF_OK);
    cr_assert_eq(rf_kv_bulk_finish(bulk, &size, NULL), RF_OK);
    rf_kv_bulk_free(bulk);
}

Test(kv, reads_a_built_file_without_any_lock_file)
{
    rf_kv_options reading = {.immutable = true};
    char path[128];
    char lock[160];
    rf_kv *kv;
    rf_kv_txn *txn;
    rf_slice value;
    bool found;

    (void)snprintf(path, sizeof path, "%s/base-00.mdb", dir);
    (void)snprintf(lock, sizeof lock, "%s-lock", path);
    build_file(path, 1);

    cr_assert_eq(rf_kv_open(path, &reading, &kv, NULL), RF_OK);
    cr_assert_eq(rf_kv_begin(kv, false, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_get(txn, 0, RF_SLICE("a"), &value, &found, NULL), RF_OK);
    cr_assert(found && rf_slice_equal(value, RF_SLICE("row")));
    rf_kv_abort(txn);
    rf_kv_close(kv);
    cr_assert_not(rf_path_exists(lock));
}

/* Offset in the data file of the first page number in the list of free pages. */
static off_t find_free_number(rf_kv *kv)
{
    rf_kv_txn *txn;
    rf_kv_cursor *cursor;
    rf_kv_info info;
    rf_slice key;
    rf_slice record;
    bool found = false;

    rf_kv_get_info(kv, &info);
    cr_assert_eq(rf_kv_begin(kv, false, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_cursor_open(txn, RF_KV_TABLE_FREE, &cursor, NULL), RF_OK);
    cr_assert_eq(rf_kv_cursor_seek(cursor, RF_KV_FIRST, RF_SLICE(""), &key, &record, &found, NULL),
                 RF_OK);
    cr_assert(found && rf_load_u64(record.data) > 0);
    size_t in_page = (uintptr_t)record.data % info.page_size;
    uint64_t page = rf_load_u64(record.data - in_page);
    rf_kv_cursor_close(cursor);
    rf_kv_abort(txn);
    return (off_t)(page * info.page_size + in_page + 8);
}

Test(kv, finds_a_damaged_list_of_free_pages)
{
    rf_kv *kv = open_kv(&two_tables);
    char value[20000] = {0};
    char path[128];
    rf_err err;

    for (size_t i = 0; i < 40; i++) {
        rf_kv_txn *txn;
        rf_slice large = {value, 4000 + i * 400};
        cr_assert_eq(rf_kv_begin(kv, true, &txn, NULL), RF_OK);
        cr_assert_eq(rf_kv_put(txn, 0, RF_SLICE("large"), large, NULL), RF_OK);
        cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    }
    cr_assert_eq(rf_kv_check_pages(kv, &err), RF_OK, "%s", err.message);
    off_t at = find_free_number(kv);
    rf_kv_close(kv);
    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);

    int found = 0;
    for (int bit = 0; bit < 64; bit++) {
        int fd = open(path, O_RDWR);
        uint64_t page = 0;
        cr_assert_eq(pread(fd, &page, 8, at), 8);
        page ^= (uint64_t)1 << bit;
        cr_assert_eq(pwrite(fd, &page, 8, at), 8);
        kv = open_kv(&two_tables);
        found += rf_kv_check_pages(kv, &err) == RF_ERR_DAMAGED;
        rf_kv_close(kv);
        page ^= (uint64_t)1 << bit;
        cr_assert_eq(pwrite(fd, &page, 8, at), 8);
        cr_assert_eq(close(fd), 0);
    }
    cr_assert_geq(found, 55, "%d of 64", found); /* low bits may name another page that is free by right */
}

/* Flips each bit of both meta pages, one at a time: opening must refuse or serve the newest state. */
Test(kv, refuses_meta_pages_that_make_no_sense)
{
    enum { META_SIZE = 152, PAGE = 4096 };
    rf_kv_options reading = {.immutable = true};
    char path[128];
    int refused = 0;
    rf_kv *kv;

    (void)snprintf(path, sizeof path, "%s/base-00.mdb", dir);
    build_file(path, 4);

    FILE *file = fopen(path, "r+b");
    cr_assert_not_null(file);
    for (int bit = 0; bit < 2 * META_SIZE * 8; bit++) {
        rf_kv_txn *txn;
        uint64_t count = 0;
        long at = bit / 8 / META_SIZE * PAGE + bit / 8 % META_SIZE;
        cr_assert_eq(fseek(file, at, SEEK_SET), 0);
        int was = fgetc(file);
        cr_assert_eq(fseek(file, at, SEEK_SET), 0);
        cr_assert_neq(fputc(was ^ (1 << bit % 8), file), EOF);
        cr_assert_eq(fflush(file), 0);
        if (rf_kv_open(path, &reading, &kv, NULL) == RF_OK) {
            cr_assert_eq(rf_kv_begin(kv, false, &txn, NULL), RF_OK);
            cr_assert_eq(rf_kv_get(txn, 0, RF_SLICE("d"), &(rf_slice){0}, &(bool){0}, NULL), RF_OK);
            cr_assert_eq(rf_kv_count(txn, 0, &count, NULL), RF_OK);
            rf_kv_abort(txn);
            rf_kv_close(kv);
            /* the count itself, and the statistics beside it, have nothing to be held against */
            cr_assert(count == 4 || at % PAGE / 8 == 120 / 8, "byte %ld bit %d", at, bit % 8);
        } else {
            refused++;
        }
        cr_assert_eq(fseek(file, at, SEEK_SET), 0);
        cr_assert_neq(fputc(was, file), EOF);
        cr_assert_eq(fflush(file), 0);
    }
    (void)fclose(file);
    cr_assert_gt(refused, 400);
}

/* Where the entries of a page lie: two of them change places, which a search would not notice. */
Test(kv, entries_out_of_order_are_damage)
{
    enum { PAGE = 4096, OFFSETS = 16 };
    char path[128], pair[4], swapped[4];
    rf_kv *kv = open_kv(&two_tables);
    rf_kv_txn *txn;
    rf_kv_info info;
    rf_slice value;
    bool found;
    int refused = 0;

    put(kv, 0, "a", "1");
    put(kv, 0, "b", "2");
    rf_kv_get_info(kv, &info);
    rf_kv_close(kv);
    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
    int fd = open(path, O_RDWR);
    for (uint64_t page = 2; page <= info.last_page; page++) {
        off_t at = (off_t)(page * PAGE + OFFSETS);
        rf_err err = {0};
        cr_assert_eq(pread(fd, pair, 4, at), 4);
        memcpy(swapped, pair + 2, 2);
        memcpy(swapped + 2, pair, 2);
        cr_assert_eq(pwrite(fd, swapped, 4, at), 4);
        rf_status status = rf_kv_open(dir, &two_tables, &kv, &err);
        if (status == RF_OK) {
            cr_assert_eq(rf_kv_begin(kv, false, &txn, NULL), RF_OK);
            status = rf_kv_get(txn, 0, RF_SLICE("a"), &value, &found, &err);
            cr_assert(status == RF_ERR_DAMAGED || found);
            rf_kv_abort(txn);
            rf_kv_close(kv);
        }
        refused += status == RF_ERR_DAMAGED && strstr(err.message, "out of order") != NULL;
        cr_assert_eq(pwrite(fd, pair, 4, at), 4);
    }
    (void)close(fd);
    cr_assert_geq(refused, 2, "the tree of names, and the table: %d", refused);
}

/* Reads every entry and then writes: what a damaged page leads to is one answer or the other, and no crash. */
static bool reads_and_writes(const rf_kv_options *options)
{
    rf_kv *kv = NULL;
    rf_kv_txn *txn = NULL;
    rf_status status = rf_kv_open(dir, options, &kv, NULL);

    for (uint32_t table = 0; status == RF_OK && table < 2; table++) {
        rf_kv_cursor *cursor = NULL;
        rf_slice key, value;
        bool found = true;
        uint32_t entries = 0;
        status = rf_kv_begin(kv, false, &txn, NULL);
        if (status == RF_OK)
            status = rf_kv_cursor_open(txn, table, &cursor, NULL);
        for (rf_kv_seek seek = RF_KV_FIRST; status == RF_OK && found && entries < 1000;
             seek = RF_KV_NEXT, entries++)
            status = rf_kv_cursor_seek(cursor, seek, RF_SLICE(""), &key, &value, &found, NULL);
        rf_kv_cursor_close(cursor);
        if (status == RF_OK)
            status = rf_kv_get(txn, table, RF_SLICE("key-0070"), &value, &found, NULL);
        rf_kv_abort(txn);
        txn = NULL;
    }
    for (uint32_t i = 0; status == RF_OK && i < 2; i++) {
        status = rf_kv_begin(kv, true, &txn, NULL);
        if (status == RF_OK)
            status = rf_kv_put(txn, i, RF_SLICE("key-0044"), RF_SLICE("another"), NULL);
        if (status == RF_OK)
            status = rf_kv_delete(txn, i, RF_SLICE("key-0100"), NULL);
        if (txn && status == RF_OK)
            status = rf_kv_commit(txn, NULL);
        else
            rf_kv_abort(txn);
        txn = NULL;
    }
    rf_kv_close(kv);
    return status == RF_OK;
}

static void copy_into(const char *path, rf_slice bytes)
{
    int fd = open(path, O_WRONLY | O_TRUNC);

    cr_assert_eq(write(fd, bytes.data, bytes.size), (ssize_t)bytes.size);
    cr_assert_eq(close(fd), 0);
}

/* Every byte of what pages begin with, and some of the others. */
Test(kv, no_flipped_byte_in_a_page_crashes_who_reads_or_writes, .timeout = 300)
{
    enum { PAGE = 4096, HEAD = 40, STEP = 67, FLIPS = 2 };
    static const char flips[FLIPS] = {1, (char)0xff};
    const rf_kv_options reading = {.tables = {"first", "second"}};
    char path[128], key[16], value[64] = "some value of an entry, longer than its key";
    uint32_t refused = 0, all = 0;
    rf_kv *kv = open_kv(&two_tables);
    rf_kv_info info;
    rf_buf bytes;

    for (uint32_t i = 0; i < 6; i++) { /* the list of free pages has some */
        rf_kv_txn *txn;
        cr_assert_eq(rf_kv_begin(kv, true, &txn, NULL), RF_OK);
        for (uint32_t k = 0; k < 40; k++) {
            (void)snprintf(key, sizeof key, "key-%04u", 40 * i + k);
            cr_assert_eq(rf_kv_put(txn, k % 2, rf_slice_of(key), rf_slice_of(value), NULL), RF_OK);
        }
        cr_assert_eq(rf_kv_commit(txn, NULL), RF_OK);
    }
    rf_kv_get_info(kv, &info);
    rf_kv_close(kv);
    (void)snprintf(path, sizeof path, "%s/data.mdb", dir);
    rf_buf_init(&bytes, 64 << 20);
    cr_assert_eq(rf_file_read(path, &bytes, NULL), RF_OK);
    bytes.size = info.bytes_used; /* behind it there is a hole */
    copy_into(path, rf_buf_slice(&bytes));
    cr_assert(reads_and_writes(&reading));

    for (size_t at = 2 * PAGE; at < bytes.size; at += at % PAGE < HEAD ? 1 : STEP)
        for (int i = 0; i < FLIPS; i++) {
            bytes.data[at] = (char)(bytes.data[at] ^ flips[i]);
            copy_into(path, rf_buf_slice(&bytes));
            bytes.data[at] = (char)(bytes.data[at] ^ flips[i]);
            refused += !reads_and_writes(&reading);
            all++;
        }
    rf_buf_free(&bytes);
    cr_assert_gt(refused, all / 20, "%u of %u", refused, all);
}
