/* store/kept.h: which definitions are here, and that who has a share of one keeps it. */
#include "store/kept.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

struct row {
    int64_t count;
};

static rf_fold_result fold_nothing(rf_fold *fold, void *row, const void *event)
{
    (void)fold, (void)row, (void)event;
    return RF_ROW_UNCHANGED;
}

/* Tables outlive their definitions. */
static struct tables {
    char name[16];
    rf_projection projection;
} tables[2 * RF_KEPT_MAX];
static uint32_t table_count;

static rf_definition *make(const char *name, uint32_t version)
{
    static const rf_column columns[] = {RF_COLUMN(struct row, count, RF_INT)};
    static const rf_handler handlers[] = {{.type = "A", .fold = fold_nothing}};
    rf_definition *definition = NULL;
    rf_err err = {0};

    cr_assert_lt(table_count, 2 * RF_KEPT_MAX);
    struct tables *of = &tables[table_count++];
    (void)snprintf(of->name, sizeof of->name, "%s", name);
    of->projection = (rf_projection){RF_PROJECTION_HEAD, .name = of->name, .version = version,
                                     .key = "stream", .row_size = sizeof(struct row),
                                     .columns = columns, .column_count = 1,
                                     .handlers = handlers, .handler_count = 1};
    rf_status status =
        rf_definition_of(&of->projection, RF_SLICE("of a test"), &definition, &err);
    cr_assert_eq(status, RF_OK, "%s", err.message);
    return definition;
}

/* As it is loaded: the loader's own share goes. */
static void put(rf_kept *kept, const char *name, uint32_t version, uint64_t number)
{
    rf_definition *definition = make(name, version);

    rf_kept_put(kept, number, definition);
    rf_definition_free(definition);
}

static bool has(rf_kept *kept, const char *name, uint64_t number)
{
    rf_definition *found = rf_kept_find(kept, name, number);
    bool is_here = found != NULL;

    if (found)
        cr_expect_str_eq(found->name, name);
    rf_definition_free(found);
    return is_here;
}

static rf_kept *begin(void)
{
    rf_kept *kept = NULL;

    cr_assert_eq(rf_kept_new(&kept, NULL), RF_OK);
    return kept;
}

Test(kept, finds_what_was_put_by_name_and_number)
{
    rf_kept *kept = begin();

    cr_expect_not(has(kept, "orders", 1));
    put(kept, "orders", 1, 7);
    put(kept, "payments", 1, 8);
    cr_expect(has(kept, "orders", 7));
    cr_expect(has(kept, "payments", 8));
    cr_expect_not(has(kept, "orders", 8));
    cr_expect_not(has(kept, "order", 7));
    rf_kept_free(kept);
}

Test(kept, has_one_generation_of_a_version_and_all_versions)
{
    rf_kept *kept = begin();

    put(kept, "orders", 1, 7);
    put(kept, "orders", 2, 8);
    put(kept, "orders", 2, 9);
    cr_expect(has(kept, "orders", 7), "the colour is moved on too");
    cr_expect_not(has(kept, "orders", 8));
    cr_expect(has(kept, "orders", 9));
    put(kept, "orders", 2, 8); /* a rollback: it is live again */
    cr_expect(has(kept, "orders", 8));
    cr_expect_not(has(kept, "orders", 9));
    rf_kept_free(kept);
}

Test(kept, what_nobody_asked_for_longest_goes)
{
    rf_kept *kept = begin();
    char name[16];

    for (uint32_t i = 0; i < RF_KEPT_MAX; i++) {
        (void)snprintf(name, sizeof name, "model_%u", i);
        put(kept, name, 1, i + 1);
    }
    cr_expect(has(kept, "model_0", 1));
    put(kept, "one_more", 1, 1);
    cr_expect(has(kept, "one_more", 1));
    cr_expect(has(kept, "model_0", 1));
    cr_expect_not(has(kept, "model_1", 2));
    cr_expect(has(kept, "model_2", 3));
    rf_kept_free(kept);
}

Test(kept, who_has_a_share_keeps_what_goes)
{
    rf_kept *kept = begin();

    put(kept, "orders", 1, 7);
    rf_definition *mine = rf_kept_find(kept, "orders", 7);
    put(kept, "orders", 1, 8);
    rf_kept_free(kept);
    cr_assert_str_eq(mine->name, "orders");
    cr_expect_eq(mine->column_count, 1);
    rf_definition_free(mine);
}
