/* spill.h: rows come back from the disk as they went, run by run. */
#include "rebuild/spill.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

struct row {
    int64_t n;
    rf_slice a, b;
};

static const rf_column columns[] = {
    RF_COLUMN(struct row, n, RF_INT),
    RF_COLUMN(struct row, a, RF_TEXT),
    RF_COLUMN(struct row, b, RF_JSON),
};

static rf_fold_result fold_nothing(rf_fold *fold, void *row, const void *event)
{
    (void)fold, (void)row, (void)event;
    return RF_ROW_UNCHANGED;
}

static const rf_handler handlers[] = {RF_HANDLER_BARE("*", fold_nothing)};

static rf_definition *define(void)
{
    static const rf_projection table = {
        RF_PROJECTION_HEAD,  .name = "sample",   .version = 1,
        .key = "stream",     .columns = columns, .row_size = sizeof(struct row),
        .handlers = handlers, .column_count = 3, .handler_count = 1,
    };
    rf_definition *definition;

    cr_assert_eq(rf_definition_of(&table, RF_SLICE("x"), &definition, NULL), RF_OK);
    return definition;
}

enum { RUNS = 5, ROWS = 3000, TEXT_MAX = 300000 };

static char text[TEXT_MAX];

/* Numbers of a run rise by three; texts are unset, empty, short and, now and then, long. */
static struct row row_of(uint32_t run, uint32_t i)
{
    struct row row = {.n = run * 1000000 + i};

    if (i % 4 > 0)
        row.a = (rf_slice){text, i % 4 == 1 ? 0 : i % 50};
    if (i % 3 > 0)
        row.b = (rf_slice){text + 1, i % 1000 == 7 ? TEXT_MAX - 1 : 3};
    return row;
}

static bool same(rf_slice a, rf_slice b)
{
    return (a.data != NULL) == (b.data != NULL) && (!a.data || rf_slice_equal(a, b));
}

static void round_trip(rf_spill *spill, uint32_t runs)
{
    rf_err err = {0};

    for (uint32_t r = 0; r < runs; r++) {
        cr_assert_eq(rf_spill_run_begin(spill, &err), RF_OK);
        for (uint32_t i = 0; i < ROWS; i++) {
            struct row row = row_of(r, i);
            cr_assert_eq(rf_spill_add(spill, 3 * i, &row, &err), RF_OK);
        }
        cr_assert_eq(rf_spill_run_end(spill, &err), RF_OK);
    }
    rf_spill_read_begin(spill, 1);
    for (uint32_t number = 0; number < 3 * ROWS + 10; number++)
        for (uint32_t r = 0; r < runs; r++) {
            const void *found;
            cr_assert_eq(rf_spill_find(spill, r, number, &found, &err), RF_OK);
            cr_assert_eq(found != NULL, number % 3 == 0 && number < 3 * ROWS);
            if (!found)
                continue;
            struct row expected = row_of(r, number / 3);
            const struct row *row = found;
            cr_assert_eq(row->n, expected.n);
            cr_assert(same(row->a, expected.a) && same(row->b, expected.b), "row %u", number);
        }
    cr_assert_eq(rf_spill_clear(spill, &err), RF_OK);
}

Test(spill, gives_back_rows_of_several_runs_side_by_side)
{
    rf_definition *definition = define();
    rf_spill *spill;
    rf_err err = {0};

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 26);
    cr_assert_eq(rf_spill_new(definition, "/tmp", &spill, &err), RF_OK, "%s", err.message);
    for (int round = 0; round < 2; round++)
        round_trip(spill, RUNS);
    rf_spill_free(spill);
    rf_definition_free(definition);
}

Test(spill, is_refused_a_directory_that_is_not_there)
{
    rf_definition *definition = define();
    rf_spill *spill;
    rf_err err;

    cr_assert_eq(rf_spill_new(definition, "/nowhere", &spill, &err), RF_ERR_IO);
    rf_definition_free(definition);
}
