/* refold/read.h: get, cursors, refresh; one generation at a time, whatever happens beside it. */
#include "refold/read.h"

#include "base/file.h"
#include "generations_fixture.h"
#include "refold/generation.h"
#include "store/store.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <unistd.h>

enum { ROWS = 500 };
static char dir[64], path[80];
static rf_store *store;

static void make_store(void)
{
    rf_store_options options = {.create = true, .partitions = 16};
    rf_err err = {0};

    (void)snprintf(dir, sizeof dir, "/tmp/refold-read-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/s.refold", dir);
    cr_assert_eq(rf_store_open(path, &options, &store, &err), RF_OK, "%s", err.message);
}

static void remove_store(void)
{
    rf_store_close(store);
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(read, .init = make_store, .fini = remove_store);

static uint64_t add(int rows)
{
    return fixture_generation(store->catalog, "stamps", 1, 16, rows, 0);
}

static void make_live(uint64_t number)
{
    const char *name = "stamps";
    rf_flip flip;
    rf_err err = {0};

    cr_assert_eq(rf_swap(store, &name, 1, number, 0, &flip, &err), RF_OK, "%s", err.message);
}

static rf_reader *open_reader(uint64_t generation)
{
    rf_reader *reader;
    rf_err err = {0};

    cr_assert_eq(rf_reader_open(store, "stamps", generation, &reader, &err), RF_OK, "%s", err.message);
    return reader;
}

Test(read, is_absent_where_nothing_is_live)
{
    rf_reader *reader;
    char long_name[100];
    rf_err err;

    memset(long_name, 'a', sizeof long_name);
    long_name[99] = '\0';
    cr_assert_eq(rf_reader_open(store, "stamps", 0, &reader, &err), RF_ERR_ABSENT);
    cr_assert_eq(rf_reader_open(store, long_name, 0, &reader, &err), RF_ERR_ABSENT);
    cr_assert_eq(rf_reader_open(store, "", 0, &reader, &err), RF_ERR_ABSENT);
    (void)add(1);
    cr_assert_eq(rf_reader_open(store, "stamps", 0, &reader, &err), RF_ERR_ABSENT);
    cr_assert_eq(rf_reader_open(store, "stamps", 2, &reader, &err), RF_ERR_ABSENT);
    rf_reader_close(NULL);
}

Test(read, gets_rows_and_says_what_they_are)
{
    rf_row row;
    rf_err err;

    make_live(add(ROWS));
    rf_reader *reader = open_reader(0);
    const rf_reader_info *info = rf_reader_get_info(reader);
    cr_assert_str_eq(info->name, "stamps");
    cr_assert_eq(info->generation, 1);
    cr_assert_eq(info->rows, ROWS);
    cr_assert_eq(info->column_count, 1);
    cr_assert_str_eq(info->columns[0].name, "stamp");
    cr_assert_eq(strlen(info->digest), 32);
    cr_assert_eq(rf_reader_get(reader, RF_SLICE("r-000123"), &row, &err), RF_OK);
    cr_assert_eq(row.values[0].integer, 1);
    cr_assert(rf_slice_equal(row.key, RF_SLICE("r-000123")));
    cr_assert_eq(rf_reader_get(reader, RF_SLICE("r-000500"), &row, &err), RF_ERR_NO_ROW);
    cr_assert_eq(rf_reader_get(reader, RF_SLICE(""), &row, &err), RF_ERR_NO_ROW);
    static char huge[10000];
    cr_assert_eq(rf_reader_get(reader, (rf_slice){huge, sizeof huge}, &row, &err), RF_ERR_NO_ROW);
    rf_reader_close(reader);
}

static int count_range(rf_reader *reader, rf_range range, const char *first)
{
    rf_cursor *cursor;
    rf_row row;
    rf_err err;
    char before[64] = "";
    int count = 0;

    cr_assert_eq(rf_cursor_open(reader, &range, &cursor, &err), RF_OK);
    while (rf_cursor_next(cursor, &row, &err) == RF_OK) {
        if (count == 0 && first)
            cr_assert(rf_slice_equal(row.key, rf_slice_of(first)));
        cr_assert_gt(rf_slice_compare(row.key, rf_slice_of(before)), 0);
        memcpy(before, row.key.data, row.key.size);
        before[row.key.size] = '\0';
        count++;
    }
    cr_assert_eq(err.status, RF_ERR_NO_ROW);
    cr_assert_eq(rf_cursor_next(cursor, &row, &err), RF_ERR_NO_ROW, "the end stays the end");
    rf_cursor_close(cursor);
    return count;
}

Test(read, scans_prefixes_and_ranges_in_key_order)
{
    static char huge[1000];

    make_live(add(ROWS));
    rf_reader *reader = open_reader(0);
    cr_assert_eq(count_range(reader, (rf_range){0}, "r-000000"), ROWS);
    cr_assert_eq(count_range(reader, (rf_range){.prefix = RF_SLICE("r-0001")}, "r-000100"), 100);
    cr_assert_eq(count_range(reader, (rf_range){.prefix = RF_SLICE("x")}, NULL), 0);
    cr_assert_eq(count_range(reader, (rf_range){.from = RF_SLICE("r-000490")}, "r-000490"), 10);
    cr_assert_eq(count_range(reader, (rf_range){.to = RF_SLICE("r-000010")}, "r-000000"), 10);
    cr_assert_eq(count_range(reader, (rf_range){.from = RF_SLICE("r-000007x"), .to = RF_SLICE("r-000010")},
                             "r-000008"), 2);
    cr_assert_eq(count_range(reader, (rf_range){.prefix = RF_SLICE("r-0001"), .from = RF_SLICE("r-000150"),
                                                .to = RF_SLICE("r-000160")}, "r-000150"), 10);
    cr_assert_eq(count_range(reader, (rf_range){.to = RF_SLICE("")}, NULL), 0);
    cr_assert_eq(count_range(reader, (rf_range){.from = RF_SLICE("r-000200"), .to = RF_SLICE("r-000100")},
                             NULL), 0);
    memset(huge, 'r', sizeof huge);
    cr_assert_eq(count_range(reader, (rf_range){.prefix = {huge, sizeof huge}}, NULL), 0);
    rf_reader_close(reader);
}

Test(read, stays_on_its_generation_until_it_is_refreshed)
{
    rf_gc_result result;
    rf_row row;
    rf_err err;
    bool changed = true;

    make_live(add(10));
    rf_reader *reader = open_reader(0);
    cr_assert_eq(rf_reader_refresh(reader, &changed, &err), RF_OK);
    cr_assert_not(changed);
    make_live(add(20));
    cr_assert_eq(rf_gc(store, "stamps", 1, 0, &result, &err), RF_OK);
    cr_assert_eq(result.in_use, 1);
    cr_assert_eq(rf_reader_get(reader, RF_SLICE("r-000001"), &row, &err), RF_OK);
    cr_assert_eq(row.values[0].integer, 1);
    cr_assert_eq(rf_reader_refresh(reader, &changed, &err), RF_OK);
    cr_assert(changed);
    cr_assert_eq(rf_reader_get_info(reader)->generation, 2);
    cr_assert_eq(rf_reader_get(reader, RF_SLICE("r-000015"), &row, &err), RF_OK);
    cr_assert_eq(row.values[0].integer, 2);
    cr_assert_eq(rf_gc(store, "stamps", 1, 0, &result, &err), RF_OK);
    cr_assert_eq(result.removed, 1);
    rf_reader_close(reader);
}

Test(read, stays_with_its_version_until_that_is_retired)
{
    rf_reader *old, *live, *none;
    rf_retired retired = {0};
    bool changed = true;
    rf_err err = {0};

    for (uint32_t version = 3; version <= 4; version++) {
        (void)fixture_version(store->catalog, "stamps", version, version, 16, 5, 0);
        make_live(version - 2);
    }
    cr_assert_eq(rf_reader_open(store, "stamps@3", 0, &old, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_reader_open(store, "stamps@4", 0, &live, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_reader_get_info(old)->generation, 1);
    cr_assert_str_eq(rf_reader_get_info(old)->name, "stamps");
    cr_assert_eq(rf_reader_get_info(live)->generation, 2);
    /* built again and live: another generation is this version */
    (void)fixture_version(store->catalog, "stamps", 3, 7, 16, 5, 0);
    make_live(3);
    cr_assert_eq(rf_reader_refresh(old, &changed, &err), RF_OK, "%s", err.message);
    cr_assert(changed);
    cr_assert_eq(rf_reader_get_info(old)->generation, 3);
    cr_assert_eq(rf_reader_refresh(live, &changed, &err), RF_OK);
    cr_assert_not(changed, "version 4 is where it was, and not live any more");
    cr_assert_eq(rf_retire(store, "stamps@3", &retired, &err), RF_ERR_REFUSED);
    cr_assert_eq(rf_retire(store, "stamps@4", &retired, &err), RF_OK, "%s", err.message);
    cr_assert_eq(retired.generation, 2);
    cr_assert_gt(retired.bytes, 4096);
    cr_assert_eq(rf_reader_refresh(live, &changed, &err), RF_ERR_ABSENT);
    cr_assert_not_null(strstr(err.message, "@3 (live)"), "%s", err.message);
    rf_row row;
    cr_assert_eq(rf_reader_get(live, RF_SLICE("r-000001"), &row, &err), RF_OK, "%s", err.message);
    cr_assert_eq(row.values[0].integer, 2, "it reads on where it was");
    cr_assert_eq(rf_reader_open(store, "stamps@4", 0, &none, &err), RF_ERR_ABSENT);
    cr_assert_eq(rf_reader_open(store, "stamps@3", 3, &none, &err), RF_ERR_USAGE);
    rf_reader_close(old);
    rf_reader_close(live);
}

Test(read, stays_where_it_was_when_a_refresh_fails)
{
    char file[RF_PATH_SIZE];
    rf_row row;
    rf_err err;
    bool changed = true;

    make_live(add(10));
    rf_reader *reader = open_reader(0);
    make_live(add(10));
    cr_assert_eq(rf_path_format(file, "%s/generations/stamps/000002/base-00.mdb", NULL, path), RF_OK);
    cr_assert_eq(truncate(file, 4096), 0);
    cr_assert_eq(rf_reader_refresh(reader, &changed, &err), RF_ERR_DAMAGED);
    cr_assert(changed, "outputs change only on success");
    cr_assert_eq(rf_reader_get_info(reader)->generation, 1);
    cr_assert_eq(rf_reader_get(reader, RF_SLICE("r-000001"), &row, &err), RF_OK);
    rf_reader_close(reader);
}

Test(read, opens_an_older_generation_by_number)
{
    (void)add(10);
    make_live(add(20));
    rf_reader *reader = open_reader(1);
    cr_assert_eq(rf_reader_get_info(reader)->rows, 10);
    rf_reader_close(reader);
}

/* A row whose bytes changed on the disk is never served, by get or scan. */
Test(read, refuses_damaged_rows)
{
    char file[RF_PATH_SIZE], bytes[4096];
    rf_cursor *cursor;
    rf_status status;
    rf_row row;
    rf_err err;
    off_t at = 0;

    make_live(add(ROWS));
    cr_assert_eq(rf_path_format(file, "%s/generations/stamps/000001/base-00.mdb", NULL, path), RF_OK);
    int fd = open(file, O_RDWR);
    for (;; at += 4096) {
        cr_assert_eq(pread(fd, bytes, sizeof bytes, at), (ssize_t)sizeof bytes);
        char *found = memmem(bytes, sizeof bytes, "r-000321\x91\x01", 10);
        if (found) {
            at += found - bytes + 9;
            break;
        }
    }
    cr_assert_eq(pwrite(fd, "\x02", 1, at), 1);
    (void)close(fd);
    rf_reader *reader = open_reader(0);
    cr_assert_eq(rf_reader_get(reader, RF_SLICE("r-000321"), &row, &err), RF_ERR_DAMAGED);
    cr_assert_not_null(strstr(err.message, "base-00.mdb"), "%s", err.message);
    status = rf_cursor_open(reader, NULL, &cursor, &err);
    while (status == RF_OK && rf_cursor_next(cursor, &row, &err) == RF_OK)
        cr_assert_eq(row.values[0].integer, 1);
    cr_assert_eq(err.status, RF_ERR_DAMAGED);
    if (status == RF_OK)
        rf_cursor_close(cursor);
    rf_reader_close(reader);
}
