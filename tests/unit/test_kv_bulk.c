/* kv_bulk.h: what it writes is an LMDB file, which LMDB itself reads. */
#include "base/kv_bulk.h"

#include "base/file.h"
#include "base/kv.h"
#include "base/kv_meta.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

static char dir[64];
static char path[128];
static bool is_narrow; /* few entries a page: all keys are long, and no value is large */

static void make_dir(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/refold-bulk-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/bulk.mdb", dir);
}

static void remove_dir(void)
{
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(kv_bulk, .init = make_dir, .fini = remove_dir);

/* Sizes around what stands in a leaf and what fills one page, two, and more than a buffer. */
static size_t size_of(int entry)
{
    static const size_t sizes[] = {1, 2, 100, 2000, 2030, 2040, 4080, 4081, 8176, 8177, 20000};

    if (is_narrow)
        return 1;
    return entry == 77 ? (3u << 20) : sizes[(size_t)entry % (sizeof sizes / sizeof sizes[0])];
}

static size_t key_of(char key_out[512], int entry)
{
    size_t size = (size_t)snprintf(key_out, 512, "%08d", entry);

    /* long ones make a tree of several levels */
    memset(key_out + size, 'k', 490);
    return is_narrow ? size + 490 : size + (entry % 3 == 0 ? 300 : 0);
}

/* `count` entries in `runs` runs, which are written in falling order. */
static uint64_t write_file(int count, uint32_t runs, bool over)
{
    rf_kv_bulk *bulk;
    rf_kv_bulk_run *run;
    uint64_t size = 0;
    char key[512];
    char *room;
    rf_err err = {0};

    cr_assert_eq(rf_kv_bulk_new(path, over, runs, &bulk, &err), RF_OK, "%s", err.message);
    for (uint32_t r = runs; r-- > 0;) {
        cr_assert_eq(rf_kv_bulk_run_new(bulk, r, &run, &err), RF_OK);
        int begin = (int)((uint64_t)count * r / runs);
        int end = (int)((uint64_t)count * (r + 1) / runs);
        for (int i = begin; i < end; i++) {
            rf_slice slice = {key, key_of(key, i)};
            cr_assert_eq(rf_kv_bulk_room(run, slice, size_of(i), &room, &err), RF_OK);
            memset(room, 'a' + i % 26, size_of(i));
        }
        cr_assert_eq(rf_kv_bulk_run_end(run, &err), RF_OK);
    }
    cr_assert_eq(rf_kv_bulk_finish(bulk, &size, &err), RF_OK, "%s", err.message);
    rf_kv_bulk_free(bulk);
    return size;
}

static rf_kv *open_file(void)
{
    rf_kv_options options = {.immutable = true};
    rf_kv *kv;
    rf_err err = {0};

    cr_assert_eq(rf_kv_meta_check(path, true, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_kv_open(path, &options, &kv, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_kv_check_pages(kv, &err), RF_OK, "%s", err.message);
    return kv;
}

static void check_value(int entry, rf_slice value)
{
    cr_assert_eq(value.size, size_of(entry), "entry %d", entry);
    for (size_t i = 0; i < value.size; i++)
        if (value.data[i] != 'a' + entry % 26)
            cr_assert_fail("entry %d, byte %zu", entry, i);
}

static void check_file(int count)
{
    rf_kv *kv = open_file();
    rf_kv_txn *txn;
    rf_kv_cursor *cursor;
    uint64_t found_count = 0;
    char key[512];
    rf_slice found_key, value;
    bool found;

    cr_assert_eq(rf_kv_begin(kv, false, &txn, NULL), RF_OK);
    cr_assert_eq(rf_kv_count(txn, 0, &found_count, NULL), RF_OK);
    cr_assert_eq(found_count, (uint64_t)count);
    cr_assert_eq(rf_kv_cursor_open(txn, 0, &cursor, NULL), RF_OK);
    for (int i = 0; i < count; i++) {
        rf_slice wanted = {key, key_of(key, i)};
        cr_assert_eq(rf_kv_cursor_seek(cursor, i ? RF_KV_NEXT : RF_KV_FIRST, RF_SLICE(""), &found_key,
                                       &value, &found, NULL), RF_OK);
        cr_assert(found && rf_slice_equal(found_key, wanted), "entry %d", i);
        check_value(i, value);
        cr_assert_eq(rf_kv_get(txn, 0, wanted, &value, &found, NULL), RF_OK);
        cr_assert(found);
        check_value(i, value);
    }
    rf_kv_cursor_close(cursor);
    rf_kv_abort(txn);
    rf_kv_close(kv);
}

Test(kv_bulk, writes_a_file_of_any_number_of_entries_that_lmdb_reads)
{
    static const int counts[] = {0, 1, 2, 13, 500, 20000};

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (uint32_t runs = 1; runs <= 8; runs *= 2) {
            uint64_t size = write_file(counts[i], runs, false);
            cr_assert_eq(size % 4096, 0);
            check_file(counts[i]);
            cr_assert_eq(remove(path), 0);
        }
}

/* LMDB ends the process over a branch page with one node, which the last of a level could become. */
Test(kv_bulk, writes_no_branch_page_with_one_node, .timeout = 120)
{
    is_narrow = true;
    for (int count = 1; count <= 450; count++) {
        (void)write_file(count, 3, false);
        check_file(count);
        cr_assert_eq(remove(path), 0);
    }
}

Test(kv_bulk, keeps_small_values_in_leaves)
{
    rf_kv_bulk *bulk;
    rf_kv_bulk_run *run;
    uint64_t size;
    char *room;

    cr_assert_eq(rf_kv_bulk_new(path, false, 1, &bulk, NULL), RF_OK);
    cr_assert_eq(rf_kv_bulk_run_new(bulk, 0, &run, NULL), RF_OK);
    cr_assert_eq(rf_kv_bulk_room(run, RF_SLICE("k"), 1000, &room, NULL), RF_OK);
    memset(room, 'v', 1000);
    cr_assert_eq(rf_kv_bulk_run_end(run, NULL), RF_OK);
    cr_assert_eq(rf_kv_bulk_finish(bulk, &size, NULL), RF_OK);
    rf_kv_bulk_free(bulk);
    cr_assert_eq(size, 3 * 4096, "two metas and a leaf");
}

Test(kv_bulk, refuses_a_file_that_is_there)
{
    rf_kv_bulk *bulk;
    rf_err err;

    (void)write_file(1, 1, false);
    cr_assert_eq(rf_kv_bulk_new(path, false, 1, &bulk, &err), RF_ERR_IO);
}

/* A limit on the size of files stands for a full disk. */
Test(kv_bulk, fails_from_then_on_after_a_failed_write)
{
    rf_kv_bulk *bulk;
    rf_kv_bulk_run *run;
    uint64_t size;
    char *room;
    rf_err err;

    cr_assert_eq(rf_kv_bulk_new("/dev/full", false, 1, &bulk, &err), RF_ERR_IO);
    cr_assert_eq(rf_kv_bulk_new(path, false, 1, &bulk, &err), RF_OK);
    cr_assert_eq(rf_kv_bulk_run_new(bulk, 0, &run, &err), RF_OK);
    cr_assert_eq(rf_kv_bulk_room(run, RF_SLICE("k"), 100000, &room, &err), RF_OK);
    memset(room, 'v', 100000);
    struct rlimit limit = {4096, RLIM_INFINITY};
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert_eq(rf_kv_bulk_run_end(run, &err), RF_ERR_IO);
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert_eq(rf_kv_bulk_finish(bulk, &size, &err), RF_ERR_IO);
    rf_kv_bulk_free(bulk);
}

/* Which of them is reported depends on their numbers: each has to say why. */
Test(kv_bulk, tells_in_every_run_why_one_of_them_could_not_be_written)
{
    rf_kv_bulk *bulk;
    rf_kv_bulk_run *runs[2];
    uint64_t size;
    char *room;
    rf_err first, other, last;
    const struct rlimit limit = {4096, RLIM_INFINITY};

    cr_assert_eq(rf_kv_bulk_new(path, false, 2, &bulk, &first), RF_OK);
    for (uint32_t i = 0; i < 2; i++)
        cr_assert_eq(rf_kv_bulk_run_new(bulk, i, &runs[i], &first), RF_OK);
    cr_assert_eq(rf_kv_bulk_room(runs[1], RF_SLICE("k"), 100000, &room, &first), RF_OK);
    memset(room, 'v', 100000);
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert_eq(rf_kv_bulk_run_end(runs[1], &first), RF_ERR_IO);
    cr_assert_not_null(strstr(first.message, "File too large"), "%s", first.message);
    cr_assert_eq(rf_kv_bulk_room(runs[0], RF_SLICE("k"), 1, &room, &other), RF_ERR_IO);
    cr_assert_str_eq(other.message, first.message);
    cr_assert_eq(rf_kv_bulk_finish(bulk, &size, &last), RF_ERR_IO);
    cr_assert_str_eq(last.message, first.message);
    rf_kv_bulk_free(bulk);
}

Test(kv_bulk, writes_over_a_file_that_is_longer_or_shorter)
{
    static const int counts[] = {500, 20000, 13, 0, 1, 500};

    (void)write_file(2000, 3, false);
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        (void)write_file(counts[i], 2, true);
        check_file(counts[i]);
    }
}

Test(kv_bulk, has_nothing_to_write_over_where_no_file_is)
{
    rf_kv_bulk *bulk;
    rf_err err;

    cr_assert_eq(rf_kv_bulk_new(path, true, 1, &bulk, &err), RF_ERR_IO);
}
