/* quarantine.h: what a generation left out comes back as it was, or is refused. */
#include "catalog/quarantine.h"

#include "base/checksum.h"
#include "base/file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static char dir[64];

static void make_dir(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/refold-quarantine-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(quarantine, .init = make_dir, .fini = remove_dir);

static const rf_left_out sample[] = {
    {7, RF_CAUSE_SKIPPED, {"order-1", 7}, {"ItemAdded", 9}, {"field qty: \"two\" is no int", 26}},
    {7, RF_CAUSE_QUARANTINED, {"", 0}, {"T", 1}, {"", 0}},
    {1ULL << 60, RF_CAUSE_ON_RECORD, {"order-\xc3\xa9", 8}, {"B", 1}, {"by hand", 7}},
};
enum { SAMPLE = 3 };

Test(quarantine, gives_back_what_was_written)
{
    rf_left_out_list list;
    uint64_t checksum = 0;
    rf_err err = {0};

    cr_assert_eq(rf_quarantine_write(dir, sample, SAMPLE, &checksum, &err), RF_OK, "%s",
                 err.message);
    cr_assert_eq(rf_quarantine_read(dir, SAMPLE, checksum, &list, &err), RF_OK, "%s", err.message);
    cr_assert_eq(list.count, SAMPLE);
    for (uint32_t i = 0; i < SAMPLE; i++) {
        cr_assert_eq(list.items[i].position, sample[i].position);
        cr_assert_eq(list.items[i].cause, sample[i].cause);
        cr_assert(rf_slice_equal(list.items[i].stream, sample[i].stream));
        cr_assert(rf_slice_equal(list.items[i].type, sample[i].type));
        cr_assert(rf_slice_equal(list.items[i].reason, sample[i].reason));
    }
    rf_left_out_list_free(&list);
    cr_assert_eq(rf_quarantine_read(dir, SAMPLE, checksum + 1, &list, &err), RF_ERR_DAMAGED);
    cr_assert_eq(rf_quarantine_read(dir, SAMPLE - 1, checksum, &list, &err), RF_ERR_DAMAGED);
}

Test(quarantine, of_nothing_is_no_file)
{
    rf_left_out_list list;
    uint64_t checksum = 1;
    rf_err err = {0};

    cr_assert_eq(rf_quarantine_write(dir, NULL, 0, &checksum, NULL), RF_OK);
    cr_assert_eq(checksum, 0);
    cr_assert_eq(rf_quarantine_read(dir, 0, 0, &list, NULL), RF_OK);
    cr_assert_eq(list.count, 0);
    rf_left_out_list_free(&list);
    cr_assert_eq(rf_quarantine_read(dir, 1, 0, &list, &err), RF_ERR_DAMAGED);
    cr_assert_not_null(strstr(err.message, "missing"));
}

static rf_status decode(rf_slice bytes)
{
    rf_left_out_list list;
    uint64_t checksum;
    rf_err err;

    rf_left_out_list_init(&list);
    rf_status status = rf_quarantine_decode(bytes, &list, &checksum, &err);
    rf_left_out_list_free(&list);
    return status;
}

Test(quarantine, refuses_every_flipped_bit_and_every_cut)
{
    rf_buf bytes;

    rf_buf_init(&bytes, 4096);
    cr_assert_eq(rf_quarantine_encode(sample, SAMPLE, &bytes, NULL), RF_OK);
    cr_assert_eq(decode(rf_buf_slice(&bytes)), RF_OK);
    for (size_t size = 0; size < bytes.size; size++)
        cr_assert_eq(decode((rf_slice){bytes.data, size}), RF_ERR_DAMAGED);
    for (size_t bit = 0; bit < 8 * bytes.size; bit++) {
        bytes.data[bit / 8] ^= (char)(1 << bit % 8);
        cr_assert_eq(decode(rf_buf_slice(&bytes)), RF_ERR_DAMAGED);
        bytes.data[bit / 8] ^= (char)(1 << bit % 8);
    }
    rf_buf_free(&bytes);
}

/* The sample with one byte changed and a checksum that holds. */
static rf_status decode_changed(size_t at, char byte)
{
    rf_buf bytes;

    rf_buf_init(&bytes, 4096);
    cr_assert_eq(rf_quarantine_encode(sample, SAMPLE, &bytes, NULL), RF_OK);
    bytes.data[at] = byte;
    rf_store_u64(bytes.data + bytes.size - 8,
                 rf_checksum((rf_slice){bytes.data, bytes.size - 8}));
    rf_status status = decode(rf_buf_slice(&bytes));
    rf_buf_free(&bytes);
    return status;
}

Test(quarantine, refuses_what_cannot_be_under_a_checksum_that_holds)
{
    cr_assert_eq(decode_changed(8, 7), RF_OK);
    cr_assert_eq(decode_changed(0, 'X'), RF_ERR_DAMAGED);
    cr_assert_eq(decode_changed(4, SAMPLE + 1), RF_ERR_DAMAGED); /* items */
    cr_assert_eq(decode_changed(4, SAMPLE - 1), RF_ERR_DAMAGED);
    cr_assert_eq(decode_changed(7, 1), RF_ERR_DAMAGED);
    cr_assert_eq(decode_changed(9, 1), RF_ERR_DAMAGED); /* positions that fall */
    cr_assert_eq(decode_changed(16, 0), RF_ERR_DAMAGED); /* causes */
    cr_assert_eq(decode_changed(16, 4), RF_ERR_DAMAGED);
    cr_assert_eq(decode_changed(18, (char)0xff), RF_ERR_DAMAGED); /* text */
}
