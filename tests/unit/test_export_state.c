/* export_state.h: what is noted of published rows comes back, and nothing else is taken for it. */
#include "export_state.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { ENTRIES = 300, PARTITIONS = 8 };

static char keys[ENTRIES][32], rows[ENTRIES][40];

/* Entry i: every seventh is gone, every ninth has a row of no bytes. */
static void make_side(rf_diff_side *side, uint32_t count)
{
    *side = RF_DIFF_NONE;
    side->pinned.manifest.digest = (rf_digest){.low = 7, .high = 8};
    side->pinned.manifest.rows = 9;
    side->delta.entries = calloc(count + 1, sizeof *side->delta.entries);
    side->delta.count = count;
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(keys[i], sizeof keys[i], "key-%06u", i);
        (void)snprintf(rows[i], sizeof rows[i], "a row %u", i * 7919);
        side->delta.entries[i].key = rf_slice_of(keys[i]);
        if (i % 7 != 0)
            side->delta.entries[i].row = (rf_slice){rows[i], i % 9 == 0 ? 0 : strlen(rows[i])};
    }
}

static rf_status read_back(rf_slice bytes, rf_digest *base, rf_delta_part *part)
{
    rf_err err = {0};
    return rf_export_state_read(bytes, PARTITIONS, base, part, &err);
}

static void check(uint32_t count)
{
    rf_diff_side side;
    rf_buf bytes = {0};
    rf_delta_part part;
    rf_digest base;
    rf_err err;

    make_side(&side, count);
    cr_assert_eq(rf_export_state_write(&side, &bytes, &err), RF_OK);
    cr_assert_gt(bytes.size, 0u);
    cr_assert_eq(read_back(rf_buf_slice(&bytes), &base, &part), RF_OK);
    cr_assert(base.low == 7 && base.high == 8 && base.rows == 9);
    cr_assert_eq(part.count, count);
    for (uint32_t i = 0; i < count; i++) {
        const rf_delta_entry *entry = &side.delta.entries[i];
        cr_assert(rf_slice_equal(part.entries[i].key, entry->key));
        cr_assert(rf_export_state_has(&part, entry->key, entry->row));
        cr_assert_not(rf_export_state_has(&part, entry->key, RF_SLICE("another")));
        cr_assert_eq(rf_export_state_has(&part, entry->key, (rf_slice){NULL, 0}), i % 7 == 0);
    }
    cr_assert_not(rf_export_state_has(&part, RF_SLICE("key-x"), (rf_slice){NULL, 0}));
    rf_delta_part_free(&part);
    rf_buf_free(&bytes);
    free(side.delta.entries);
}

Test(export_state, what_was_noted_comes_back)
{
    check(0);
    check(1);
    check(ENTRIES);
}

Test(export_state, the_same_row_of_another_key_is_another)
{
    rf_diff_side side;
    rf_buf bytes = {0};
    rf_delta_part part;
    rf_digest base;

    make_side(&side, 3);
    side.delta.entries[2].row = side.delta.entries[1].row;
    cr_assert_eq(rf_export_state_write(&side, &bytes, NULL), RF_OK);
    cr_assert_eq(read_back(rf_buf_slice(&bytes), &base, &part), RF_OK);
    cr_assert_not(rf_slice_equal(part.entries[1].row, part.entries[2].row));
    rf_delta_part_free(&part);
    rf_buf_free(&bytes);
    free(side.delta.entries);
}

Test(export_state, a_flipped_bit_or_a_cut_is_refused)
{
    rf_diff_side side;
    rf_buf bytes = {0};
    rf_delta_part part;
    rf_digest base;

    make_side(&side, 40);
    cr_assert_eq(rf_export_state_write(&side, &bytes, NULL), RF_OK);
    for (size_t i = 0; i < bytes.size; i++) {
        bytes.data[i] ^= 4;
        cr_assert_eq(read_back(rf_buf_slice(&bytes), &base, &part), RF_ERR_DAMAGED, "byte %zu", i);
        bytes.data[i] ^= 4;
        cr_assert_eq(read_back((rf_slice){bytes.data, i}, &base, &part), RF_ERR_DAMAGED, "%zu", i);
    }
    rf_buf_free(&bytes);
    free(side.delta.entries);
}

Test(export_state, a_delta_with_too_many_rows_has_no_note)
{
    enum { MANY = 1200000 };
    rf_diff_side side = RF_DIFF_NONE;
    rf_buf bytes = {0};
    char *text = malloc(MANY * 8);

    side.delta.entries = calloc(MANY, sizeof *side.delta.entries);
    side.delta.count = MANY;
    for (uint32_t i = 0; i < MANY; i++) {
        (void)snprintf(text + 8 * i, 8, "%07u", i);
        side.delta.entries[i] = (rf_delta_entry){{text + 8 * i, 7}, {text + 8 * i, 7}};
    }
    cr_assert_eq(rf_export_state_write(&side, &bytes, NULL), RF_OK);
    cr_assert_eq(bytes.size, 0u);
    rf_buf_free(&bytes);
    free(side.delta.entries);
    free(text);
}
