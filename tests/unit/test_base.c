/* base.h: base files of any number of partitions, read back; damage is refused, not served. */
#include "catalog/base.h"

#include "base/checksum.h"
#include "base/file.h"
#include "catalog/row.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static void make_dir(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/refold-base-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(base, .init = make_dir, .fini = remove_dir);

static rf_status put(void *arg, rf_slice first_key, size_t size, char **room_out, rf_err *err)
{
    rf_base_part **part = arg;
    return rf_base_part_room(*part, first_key, size, room_out, err);
}

static rf_base_part *begin_part(rf_base_writer *writer, uint32_t partition)
{
    rf_base_part *part = NULL;

    cr_assert_eq(rf_base_part_begin(writer, partition, &part, NULL), RF_OK);
    return part;
}

static rf_status seal(rf_base_writer *writer, rf_base_file *files, uint32_t *count, rf_err *err)
{
    rf_status status = RF_OK;

    *count = rf_base_writer_file_count(writer);
    for (uint32_t i = 0; status == RF_OK && i < *count; i++)
        status = rf_base_writer_seal_file(writer, i, &files[i], err);
    return status;
}

static void key_of(char key_out[32], int row)
{
    (void)snprintf(key_out, 32, "order-%07d", row);
}

typedef struct built {
    rf_base_file files[RF_BASE_FILES_MAX];
    uint32_t count;
} built;

/* Rows order-0000000 to the last, whose content is "row of KEY"; partitions in falling order. */
static built build(uint32_t partitions, int rows, uint64_t expected_bytes)
{
    rf_base_writer *writer;
    rf_base_part *part;
    built result;
    rf_err err = {0};
    char key[32], row[64];

    cr_assert_eq(rf_base_writer_new(dir, NULL, partitions, expected_bytes, &writer, &err), RF_OK, "%s",
                 err.message);
    rf_block_builder *builder = rf_block_builder_new(put, &part);
    for (uint32_t p = partitions; p-- > 0;) {
        part = begin_part(writer, p);
        for (int i = 0; i < rows; i++) {
            key_of(key, i);
            if (rf_partition_of(rf_slice_of(key), partitions) != p)
                continue;
            (void)snprintf(row, sizeof row, "row of %s", key);
            cr_assert_eq(rf_block_builder_add(builder, rf_slice_of(key), rf_slice_of(row), &err), RF_OK);
        }
        cr_assert_eq(rf_block_builder_flush(builder, &err), RF_OK);
        cr_assert_eq(rf_base_part_end(part, &err), RF_OK);
    }
    cr_assert_eq(seal(writer, result.files, &result.count, &err), RF_OK, "%s",
                 err.message);
    rf_base_writer_free(writer);
    rf_block_builder_free(builder);
    return result;
}

static rf_base *open_base(const built *b, uint32_t partitions)
{
    rf_base *base;
    rf_err err = {0};

    cr_assert_eq(rf_base_open(dir, partitions, b->files, b->count, &base, &err), RF_OK, "%s", err.message);
    return base;
}

static void check_all(rf_base *base, int rows)
{
    rf_base_reader *reader;
    rf_base_cursor *cursor;
    rf_slice key_out, row;
    char key[32], expected[64];
    rf_err err = {0};
    bool found;

    cr_assert_eq(rf_base_reader_open(base, &reader, &err), RF_OK);
    for (int i = 0; i < rows; i++) {
        key_of(key, i);
        (void)snprintf(expected, sizeof expected, "row of %s", key);
        cr_assert_eq(rf_base_reader_get(reader, rf_slice_of(key), &row, &found, &err), RF_OK, "%s", err.message);
        cr_assert(found, "%s", key);
        cr_assert(rf_slice_equal(row, rf_slice_of(expected)));
    }
    cr_assert_eq(rf_base_reader_get(reader, RF_SLICE("a"), &row, &found, &err), RF_OK);
    cr_assert_not(found);
    cr_assert_eq(rf_base_reader_get(reader, RF_SLICE("order-00000005"), &row, &found, &err), RF_OK);
    cr_assert_not(found);
    cr_assert_eq(rf_base_reader_get(reader, RF_SLICE("z"), &row, &found, &err), RF_OK);
    cr_assert_not(found);
    rf_base_reader_close(reader);

    cr_assert_eq(rf_base_cursor_open(base, RF_BASE_ALL, RF_SLICE(""), &cursor, &err), RF_OK);
    for (int i = 0; i <= rows; i++) {
        key_of(key, i);
        cr_assert_eq(rf_base_cursor_next(cursor, &key_out, &row, &found, &err), RF_OK);
        cr_assert_eq(found, i < rows);
        if (found)
            cr_assert(rf_slice_equal(key_out, rf_slice_of(key)));
    }
    cr_assert_eq(rf_base_cursor_next(cursor, &key_out, &row, &found, &err), RF_OK);
    cr_assert_not(found, "the end stays the end");
    rf_base_cursor_close(cursor);
}

Test(base, gives_back_rows_of_any_number_of_partitions)
{
    static const uint32_t partitions[] = {1, 16, 256};

    for (size_t i = 0; i < 3; i++) {
        built b = build(partitions[i], 5000, 0);
        cr_assert_eq(b.count, 1);
        rf_base *base = open_base(&b, partitions[i]);
        check_all(base, 5000);
        rf_base_close(base);
        remove_dir();
        make_dir();
    }
}

Test(base, has_files_by_expected_bytes_in_equal_groups)
{
    static const struct {
        uint64_t expected;
        uint32_t files;
    } cases[] = {{0, 1}, {64ull << 20, 1}, {(64ull << 20) + 1, 2}, {129ull << 20, 4},
                 {1ull << 40, 16}};

    for (size_t i = 0; i < 5; i++) {
        built b = build(16, 1000, cases[i].expected);
        cr_assert_eq(b.count, cases[i].files);
        for (uint32_t f = 0; f < b.count; f++) {
            cr_assert_eq(b.files[f].first_partition, f * 16 / b.count);
            cr_assert_eq(b.files[f].last_partition, (f + 1) * 16 / b.count - 1);
        }
        rf_base *base = open_base(&b, 16);
        check_all(base, 1000);
        rf_base_close(base);
        remove_dir();
        make_dir();
    }
}

static rf_status refuse_locks(void *arg, const char *name, rf_err *err)
{
    (void)arg;
    (void)err;
    cr_assert_null(strstr(name, "lock"), "%s", name);
    return RF_OK;
}

Test(base, leaves_no_lock_file_and_holds_no_rows_at_all)
{
    built b = build(16, 0, 0);
    rf_base *base = open_base(&b, 16);

    check_all(base, 0);
    rf_base_close(base);
    cr_assert_eq(rf_dir_list(dir, refuse_locks, NULL, NULL), RF_OK);
}

Test(base, holds_a_huge_row)
{
    rf_base_writer *writer;
    rf_base_reader *reader;
    built b;
    rf_err err = {0};
    char *huge = calloc(1, RF_ROW_SIZE_MAX);
    rf_slice row;
    bool found;

    cr_assert_eq(rf_base_writer_new(dir, NULL, 1, 0, &writer, &err), RF_OK);
    rf_base_part *part = begin_part(writer, 0);
    rf_block_builder *builder = rf_block_builder_new(put, &part);
    huge[RF_ROW_SIZE_MAX - 1] = 'x';
    cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("a"), (rf_slice){huge, RF_ROW_SIZE_MAX}, &err), RF_OK);
    cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("b"), RF_SLICE("small"), &err), RF_OK);
    cr_assert_eq(rf_block_builder_flush(builder, &err), RF_OK);
    cr_assert_eq(rf_base_part_end(part, &err), RF_OK);
    cr_assert_eq(seal(writer, b.files, &b.count, &err), RF_OK);
    rf_base_writer_free(writer);
    rf_base *base = open_base(&b, 1);
    cr_assert_eq(rf_base_reader_open(base, &reader, &err), RF_OK);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(rf_base_reader_get(reader, RF_SLICE("a"), &row, &found, &err), RF_OK);
        cr_assert(found && rf_slice_equal(row, (rf_slice){huge, RF_ROW_SIZE_MAX}));
        cr_assert_eq(rf_base_reader_get(reader, RF_SLICE("b"), &row, &found, &err), RF_OK);
        cr_assert(found && rf_slice_equal(row, RF_SLICE("small")));
    }
    rf_base_reader_close(reader);
    rf_base_close(base);
    rf_block_builder_free(builder);
    free(huge);
}

Test(base, cursors_begin_in_the_middle_and_keep_to_a_partition)
{
    enum { ROWS = 3000 };
    built b = build(16, ROWS, 0);
    rf_base *base = open_base(&b, 16);
    rf_base_cursor *cursor;
    rf_slice key_out, row;
    char key[32];
    rf_err err;
    bool found;
    int seen = 0;

    for (int from = 0; from < ROWS; from += 97) {
        key_of(key, from);
        cr_assert_eq(rf_base_cursor_open(base, RF_BASE_ALL, rf_slice_of(key), &cursor, &err), RF_OK);
        for (int i = from; i < from + 20 && i < ROWS; i++) {
            key_of(key, i);
            cr_assert_eq(rf_base_cursor_next(cursor, &key_out, &row, &found, &err), RF_OK);
            cr_assert(found && rf_slice_equal(key_out, rf_slice_of(key)));
        }
        rf_base_cursor_close(cursor);
    }
    for (uint32_t p = 0; p < 16; p++) {
        cr_assert_eq(rf_base_cursor_open(base, p, RF_SLICE("order-0001"), &cursor, &err), RF_OK);
        for (;; seen++) {
            cr_assert_eq(rf_base_cursor_next(cursor, &key_out, &row, &found, &err), RF_OK);
            if (!found)
                break;
            cr_assert_eq(rf_partition_of(key_out, 16), p);
        }
        rf_base_cursor_close(cursor);
    }
    cr_assert_eq(seen, ROWS - 1000);
    rf_base_close(base);
}

static void path_of_file(char path_out[128], const built *b)
{
    (void)snprintf(path_out, 128, "%s/%s", dir, b->files[0].name);
}

Test(base, refuses_files_that_are_missing_or_of_another_size)
{
    built b = build(16, 3000, 0);
    char path[128];
    rf_base *base;
    rf_err err;

    path_of_file(path, &b);
    cr_assert_eq(truncate(path, (off_t)b.files[0].size - 4096), 0);
    cr_assert_eq(rf_base_open(dir, 16, b.files, b.count, &base, &err), RF_ERR_DAMAGED);
    cr_assert_eq(truncate(path, (off_t)b.files[0].size + 1), 0);
    cr_assert_eq(rf_base_open(dir, 16, b.files, b.count, &base, &err), RF_ERR_DAMAGED);
    cr_assert_eq(truncate(path, 0), 0);
    b.files[0].size = 0;
    cr_assert_eq(rf_base_open(dir, 16, b.files, b.count, &base, &err), RF_ERR_DAMAGED);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rf_base_open(dir, 16, b.files, b.count, &base, &err), RF_ERR_DAMAGED);
    cr_assert_not_null(strstr(err.message, "base-00.mdb"));
}

Test(base, refuses_files_that_leave_out_partitions)
{
    built b = build(16, 100, 1ull << 40);
    rf_base *base;
    rf_err err;

    cr_assert_eq(rf_base_open(dir, 16, b.files, b.count - 1, &base, &err), RF_ERR_DAMAGED);
    cr_assert_eq(rf_base_open(dir, 16, b.files + 1, b.count - 1, &base, &err), RF_ERR_DAMAGED);
}

/* One bit flipped in each row's bytes on the disk: never another row than was written. */
Test(base, finds_flipped_bits_and_names_file_and_key)
{
    enum { ROWS = 2000 };
    built b = build(4, ROWS, 0);
    char path[128], key[32], expected[64];
    rf_base_reader *reader;
    rf_slice row;
    rf_err err;
    bool found;
    int detected = 0;

    path_of_file(path, &b);
    for (int i = 0; i < ROWS; i += 200) {
        char *bytes = malloc(b.files[0].size);
        int fd = open(path, O_RDWR);
        cr_assert_eq(pread(fd, bytes, b.files[0].size, 0), (ssize_t)b.files[0].size);
        key_of(key, i);
        (void)snprintf(expected, sizeof expected, "row of %s", key);
        char *at = memmem(bytes, b.files[0].size, expected, strlen(expected));
        cr_assert_not_null(at);
        char flipped = (char)(at[3] ^ 4);
        cr_assert_eq(pwrite(fd, &flipped, 1, at + 3 - bytes), 1);
        rf_base *base = open_base(&b, 4);
        cr_assert_eq(rf_base_reader_open(base, &reader, &err), RF_OK);
        for (int again = 0; again < 2; again++) {
            cr_assert_eq(rf_base_reader_get(reader, rf_slice_of(key), &row, &found, &err), RF_ERR_DAMAGED);
            cr_assert_not_null(strstr(err.message, "base-00.mdb"));
            cr_assert_not_null(strstr(err.message, "order-"));
            detected++;
        }
        rf_base_reader_close(reader);
        rf_base_close(base);
        cr_assert_eq(pwrite(fd, at + 3, 1, at + 3 - bytes), 1);
        (void)close(fd);
        free(bytes);
    }
    cr_assert_eq(detected, 20);
    rf_base *base = open_base(&b, 4);
    check_all(base, ROWS);
    rf_base_close(base);
}

typedef struct job {
    rf_base_writer *writer;
    uint32_t first, step, partitions;
    int rows;
} job;

static void *write_partitions(void *arg)
{
    job *j = arg;
    rf_base_part *part = NULL;
    rf_block_builder *builder = rf_block_builder_new(put, &part);
    char key[32], row[64];

    for (uint32_t p = j->first; p < j->partitions; p += j->step) {
        part = begin_part(j->writer, p);
        for (int i = 0; i < j->rows; i++) {
            key_of(key, i);
            if (rf_partition_of(rf_slice_of(key), j->partitions) != p)
                continue;
            (void)snprintf(row, sizeof row, "row of %s", key);
            cr_assert_eq(rf_block_builder_add(builder, rf_slice_of(key), rf_slice_of(row), NULL), RF_OK);
        }
        cr_assert_eq(rf_block_builder_flush(builder, NULL), RF_OK);
        cr_assert_eq(rf_base_part_end(part, NULL), RF_OK);
    }
    rf_block_builder_free(builder);
    return NULL;
}

Test(base, is_written_by_several_threads_into_several_files)
{
    enum { THREADS = 4, ROWS = 20000 };
    pthread_t threads[THREADS];
    job jobs[THREADS];
    rf_base_writer *writer;
    built b;

    cr_assert_eq(rf_base_writer_new(dir, NULL, 16, 200ull << 20, &writer, NULL), RF_OK);
    for (uint32_t i = 0; i < THREADS; i++) {
        jobs[i] = (job){writer, i, THREADS, 16, ROWS};
        cr_assert_eq(pthread_create(&threads[i], NULL, write_partitions, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    cr_assert_eq(seal(writer, b.files, &b.count, NULL), RF_OK);
    rf_base_writer_free(writer);
    cr_assert_eq(b.count, 4);
    rf_base *base = open_base(&b, 16);
    check_all(base, ROWS);
    rf_base_close(base);
}

Test(base, refuses_a_key_over_the_limit)
{
    static char long_key[RF_KEY_SIZE_MAX + 1];
    rf_base_writer *writer;
    char *room;
    rf_err err;

    cr_assert_eq(rf_base_writer_new(dir, NULL, 1, 0, &writer, &err), RF_OK);
    rf_base_part *part = begin_part(writer, 0);
    cr_assert_eq(rf_base_part_room(part, (rf_slice){long_key, sizeof long_key}, 1, &room, &err), RF_ERR_INPUT);
    cr_assert_eq(rf_base_part_end(part, &err), RF_OK);
    rf_base_writer_free(writer);
}
