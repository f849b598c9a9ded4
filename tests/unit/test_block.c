#include "catalog/block.h"

#include "base/checksum.h"
#include "catalog/row.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { BLOCK_SIZE = 2 * 4096 - 16 };

typedef struct blocks {
    uint32_t count;
    rf_buf bytes[64];
    char first_keys[64][RF_KEY_SIZE_MAX];
    size_t first_key_sizes[64];
    rf_status answer;
} blocks;

static rf_status keep(void *arg, rf_slice first_key, size_t size, char **room_out, rf_err *err)
{
    blocks *kept = arg;

    if (kept->answer != RF_OK)
        return rf_fail(err, kept->answer, "the sink fails");
    cr_assert_lt(kept->count, 64);
    rf_buf_init(&kept->bytes[kept->count], 32 << 20);
    *room_out = rf_buf_reserve(&kept->bytes[kept->count], size);
    cr_assert_not_null(*room_out);
    kept->bytes[kept->count].size = size;
    memcpy(kept->first_keys[kept->count], first_key.data, first_key.size);
    kept->first_key_sizes[kept->count++] = first_key.size;
    return RF_OK;
}

static void drop(blocks *kept)
{
    for (uint32_t i = 0; i < kept->count; i++)
        rf_buf_free(&kept->bytes[i]);
    kept->count = 0;
}

static rf_block open_kept(const blocks *kept, uint32_t index)
{
    rf_block block;
    rf_err err;

    cr_assert_eq(rf_block_open(rf_buf_slice(&kept->bytes[index]), true, &block, &err), RF_OK);
    return block;
}

Test(block, gives_back_rows_in_blocks_of_two_pages)
{
    enum { ROWS = 2000 };
    static blocks kept;
    rf_block_builder *builder = rf_block_builder_new(keep, &kept);
    char key[32], row[64];
    rf_slice key_out, row_out;
    rf_err err;
    int seen = 0;

    for (int i = 0; i < ROWS; i++) {
        (void)snprintf(key, sizeof key, "order-%06d", i);
        (void)snprintf(row, sizeof row, "%0*d", i % 60, i);
        cr_assert_eq(rf_block_builder_add(builder, rf_slice_of(key), rf_slice_of(row), &err), RF_OK);
    }
    cr_assert_eq(rf_block_builder_flush(builder, &err), RF_OK);
    for (uint32_t i = 0; i < kept.count; i++) {
        rf_block block = open_kept(&kept, i);
        cr_assert_leq(block.bytes.size, BLOCK_SIZE);
        if (i + 1 < kept.count)
            cr_assert_gt(block.bytes.size, BLOCK_SIZE - 100);
        for (uint32_t r = 0; r < block.count; r++, seen++) {
            bool equal;
            (void)snprintf(key, sizeof key, "order-%06d", seen);
            (void)snprintf(row, sizeof row, "%0*d", seen % 60, seen);
            cr_assert_eq(rf_block_row(&block, r, &key_out, &row_out, &err), RF_OK);
            cr_assert(rf_slice_equal(key_out, rf_slice_of(key)));
            cr_assert(rf_slice_equal(row_out, rf_slice_of(row)));
            cr_assert_eq(rf_block_find(&block, key_out, &equal), r);
            cr_assert(equal);
            if (r == 0)
                cr_assert(rf_slice_equal(key_out, (rf_slice){kept.first_keys[i],
                                                             kept.first_key_sizes[i]}));
        }
    }
    cr_assert_eq(seen, ROWS);
    rf_block_builder_free(builder);
    drop(&kept);
}

Test(block, fills_its_pages_to_the_last_byte)
{
    static blocks kept;
    static char row[BLOCK_SIZE];
    rf_block_builder *builder = rf_block_builder_new(keep, &kept);
    rf_err err;

    /* header 12, two entries of 4, keys of 1, rows: together exactly the size; then one byte more. */
    for (size_t more = 0; more < 2; more++) {
        size_t second = BLOCK_SIZE - 12 - 8 - 2 - 1000 + more;
        cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("a"), (rf_slice){row, 1000}, &err), RF_OK);
        cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("b"), (rf_slice){row, second}, &err), RF_OK);
        cr_assert_eq(rf_block_builder_flush(builder, &err), RF_OK);
        cr_assert_eq(kept.count, 1 + more);
        if (more == 0)
            cr_assert_eq(kept.bytes[0].size, BLOCK_SIZE);
        drop(&kept);
    }
    rf_block_builder_free(builder);
}

Test(block, gives_a_large_row_a_block_of_its_own)
{
    static blocks kept;
    char *row = calloc(1, RF_ROW_SIZE_MAX);
    rf_block_builder *builder = rf_block_builder_new(keep, &kept);
    rf_slice key_out, row_out;
    rf_err err;

    cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("a"), RF_SLICE("x"), &err), RF_OK);
    cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("b"), (rf_slice){row, RF_ROW_SIZE_MAX}, &err), RF_OK);
    cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("c"), RF_SLICE("y"), &err), RF_OK);
    cr_assert_eq(rf_block_builder_flush(builder, &err), RF_OK);
    cr_assert_eq(kept.count, 3);
    rf_block block = open_kept(&kept, 1);
    cr_assert_eq(rf_block_row(&block, 0, &key_out, &row_out, &err), RF_OK);
    cr_assert_eq(row_out.size, RF_ROW_SIZE_MAX);
    rf_block_builder_free(builder);
    drop(&kept);
    free(row);
}

Test(block, finds_the_first_row_not_below_a_key)
{
    static blocks kept;
    rf_block_builder *builder = rf_block_builder_new(keep, &kept);
    rf_err err;
    bool equal;

    cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("b"), RF_SLICE(""), &err), RF_OK);
    cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("d"), RF_SLICE(""), &err), RF_OK);
    cr_assert_eq(rf_block_builder_flush(builder, &err), RF_OK);
    rf_block block = open_kept(&kept, 0);
    cr_assert_eq(rf_block_find(&block, RF_SLICE("a"), &equal), 0);
    cr_assert_not(equal);
    cr_assert_eq(rf_block_find(&block, RF_SLICE("b"), &equal), 0);
    cr_assert(equal);
    cr_assert_eq(rf_block_find(&block, RF_SLICE("bb"), &equal), 1);
    cr_assert_not(equal);
    cr_assert_eq(rf_block_find(&block, RF_SLICE("e"), &equal), 2);
    cr_assert_not(equal);
    rf_block_builder_free(builder);
    drop(&kept);
}

Test(block, refuses_keys_that_do_not_rise_and_rows_over_the_limits)
{
    static blocks kept;
    static char long_key[RF_KEY_SIZE_MAX + 1];
    rf_block_builder *builder = rf_block_builder_new(keep, &kept);
    rf_err err;

    cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("b"), RF_SLICE(""), &err), RF_OK);
    cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("b"), RF_SLICE(""), &err), RF_ERR_INPUT);
    cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("a"), RF_SLICE(""), &err), RF_ERR_INPUT);
    cr_assert_eq(rf_block_builder_add(builder, (rf_slice){long_key, sizeof long_key}, RF_SLICE(""), &err),
                 RF_ERR_INPUT);
    cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("c"),
                                      (rf_slice){long_key, RF_ROW_SIZE_MAX + 1}, &err), RF_ERR_INPUT);
    cr_assert_eq(rf_block_builder_flush(builder, &err), RF_OK);
    cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("a"), RF_SLICE(""), &err), RF_OK,
                 "the next partition begins anew");
    kept.answer = RF_ERR_IO;
    cr_assert_eq(rf_block_builder_flush(builder, &err), RF_ERR_IO);
    rf_block_builder_free(builder);
    drop(&kept);
}

Test(block, finds_every_flipped_bit)
{
    static blocks kept;
    rf_block_builder *builder = rf_block_builder_new(keep, &kept);
    rf_block block;
    rf_err err;

    cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("key-1"), RF_SLICE("row one"), &err), RF_OK);
    cr_assert_eq(rf_block_builder_add(builder, RF_SLICE("key-2"), RF_SLICE("row two"), &err), RF_OK);
    cr_assert_eq(rf_block_builder_flush(builder, &err), RF_OK);
    for (size_t bit = 0; bit < 8 * kept.bytes[0].size; bit++) {
        kept.bytes[0].data[bit / 8] ^= (char)(1 << bit % 8);
        cr_assert_eq(rf_block_open(rf_buf_slice(&kept.bytes[0]), true, &block, &err), RF_ERR_DAMAGED,
                     "bit %zu", bit);
        kept.bytes[0].data[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (size_t size = 0; size < kept.bytes[0].size; size++)
        cr_assert_eq(rf_block_open((rf_slice){kept.bytes[0].data, size}, true, &block, &err),
                     RF_ERR_DAMAGED);
    rf_block_builder_free(builder);
    drop(&kept);
}

/* A block whose checksum is right and whose table is not must not be read outside of its bytes. */
Test(block, stays_inside_whatever_its_table_says)
{
    rf_slice key, row;
    rf_block block;
    rf_err err;
    bool equal;

    srand(1);
    for (int round = 0; round < 20000; round++) {
        size_t size = 16 + (size_t)(rand() % 60);
        char *bytes = malloc(size); /* of exact size, for the address sanitizer */
        for (size_t i = 0; i < size; i++)
            bytes[i] = (char)(rand() % 4 ? rand() % 40 : rand());
        rf_store_u32(bytes + 8, (uint32_t)(1 + rand() % 4));
        rf_store_u64(bytes, rf_checksum((rf_slice){bytes + 8, size - 8}));
        if (rf_block_open((rf_slice){bytes, size}, true, &block, &err) == RF_OK) {
            (void)rf_block_find(&block, RF_SLICE("abc"), &equal);
            for (uint32_t i = 0; i < block.count; i++)
                if (rf_block_row(&block, i, &key, &row, &err) == RF_OK) {
                    cr_assert_geq(key.data, bytes);
                    cr_assert_leq(row.data + row.size, bytes + size);
                }
        }
        free(bytes);
    }
}
