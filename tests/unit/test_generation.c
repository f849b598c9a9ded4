/* refold/generation.h: listing, swap, rollback, gc and status through the library. */
#include "refold/generation.h"

#include "base/file.h"
#include "generations_fixture.h"
#include "store/store.h"

#include <criterion/criterion.h>
#include <unistd.h>

static char dir[64], path[80];
static rf_store *store;

static void make_store(void)
{
    rf_store_options options = {.create = true, .partitions = 4};
    rf_err err = {0};

    (void)snprintf(dir, sizeof dir, "/tmp/refold-generation-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/s.refold", dir);
    cr_assert_eq(rf_store_open(path, &options, &store, &err), RF_OK, "%s", err.message);
}

static void remove_store(void)
{
    rf_store_close(store);
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(generation, .init = make_store, .fini = remove_store);

static uint64_t add(const char *name, uint64_t content)
{
    return fixture_generation(store->catalog, name, content, 4, 10, 0);
}

static rf_flip swap_to(const char *name, uint64_t number)
{
    rf_flip flip = {0};
    rf_err err = {0};

    cr_assert_eq(rf_swap(store, &name, 1, number, 0, &flip, &err), RF_OK, "%s", err.message);
    return flip;
}

static rf_status back(const char *name, uint64_t number, rf_flip *flip, rf_err *err)
{
    return rf_rollback(store, &name, 1, number, 0, flip, err);
}

Test(generation, swap_takes_the_newest_and_rollback_goes_back)
{
    const char *name = "orders";
    rf_flip flip;
    rf_err err;

    cr_assert_eq(rf_swap(store, &name, 1, 0, 0, &flip, &err), RF_ERR_ABSENT);
    for (int i = 0; i < 3; i++)
        (void)add("orders", 1);
    cr_assert_eq(back("orders", 0, &flip, &err), RF_ERR_ABSENT, "nothing is live");
    flip = swap_to("orders", 1);
    cr_assert_eq(flip.from, 0);
    cr_assert_eq(flip.to, 1);
    cr_assert_eq(back("orders", 0, &flip, &err), RF_ERR_ABSENT, "nothing was before");
    flip = swap_to("orders", 0);
    cr_assert_eq(flip.from, 1);
    cr_assert_eq(flip.to, 3);
    cr_assert_eq(flip.behind, 0);
    cr_assert_eq(flip.name, name);
    cr_assert_eq(rf_swap(store, &name, 1, 0, 0, &flip, &err), RF_ERR_ABSENT, "none is younger");
    cr_assert_not_null(strstr(err.message, "nothing to swap to"));
    cr_assert_eq(back("orders", 0, &flip, &err), RF_OK);
    cr_assert_eq(flip.from, 3);
    cr_assert_eq(flip.to, 1);
    cr_assert_eq(back("orders", 2, &flip, &err), RF_ERR_ABSENT, "it was never live");
    cr_assert_eq(rf_swap(store, &name, 1, 9, 0, &flip, &err), RF_ERR_ABSENT);
}

Test(generation, several_models_flip_together)
{
    static const char *const both[] = {"a", "b"};
    static const char *const twice[] = {"a", "a"};
    rf_flip flips[2] = {{0}};
    rf_err err;

    (void)add("a", 1);
    cr_assert_eq(rf_swap(store, both, 2, 0, 0, flips, &err), RF_ERR_ABSENT);
    (void)add("b", 1);
    cr_assert_eq(rf_swap(store, both, 2, 1, 0, flips, &err), RF_ERR_USAGE);
    cr_assert_eq(rf_swap(store, twice, 2, 0, 0, flips, &err), RF_ERR_USAGE);
    cr_assert_eq(rf_swap(store, both, 0, 0, 0, flips, &err), RF_ERR_USAGE);
    cr_assert_null(flips[0].name);
    cr_assert_eq(rf_swap(store, both, 2, 0, 0, flips, &err), RF_OK);
    cr_assert_eq(flips[1].to, 1);
}

Test(generation, is_listed_with_what_its_manifest_says)
{
    rf_generations *list;
    rf_flip flip;
    uint32_t count;
    rf_err err;

    cr_assert_eq(rf_generations_list(store, "orders", &list, &err), RF_ERR_ABSENT);
    (void)add("orders", 1);
    (void)add("orders", 2);
    (void)add("aside", 3);
    (void)swap_to("orders", 1);
    (void)swap_to("orders", 2);
    cr_assert_eq(back("orders", 0, &flip, &err), RF_OK);
    cr_assert_eq(rf_generations_list(store, NULL, &list, &err), RF_OK);
    const rf_generation *items = rf_generations_items(list, &count);
    cr_assert_eq(count, 3);
    cr_assert_str_eq(items[0].name, "aside");
    cr_assert_not(items[0].live);
    cr_assert_eq(items[1].number, 1);
    cr_assert(items[1].live);
    cr_assert_not(items[1].held);
    cr_assert(items[2].held);
    cr_assert_not(items[2].live);
    cr_assert_eq(items[2].rows, 10);
    cr_assert_gt(items[2].bytes, 4096);
    cr_assert_gt(items[2].sealed_at, 0);
    cr_assert_eq(strlen(items[2].digest), 32);
    cr_assert_eq(strlen(items[2].content_hash), 32);
    cr_assert_str_eq(items[2].definition_file, "stamps.so");
    rf_generations_free(list);
    rf_generations_free(NULL);
}

Test(generation, is_listed_also_when_its_manifest_is_gone)
{
    char file[RF_PATH_SIZE];
    rf_generations *list;
    uint32_t count;
    rf_err err;

    (void)add("orders", 1);
    cr_assert_eq(rf_path_format(file, "%s/generations/orders/000001/MANIFEST", NULL, path), RF_OK);
    cr_assert_eq(unlink(file), 0);
    cr_assert_eq(rf_generations_list(store, "orders", &list, &err), RF_OK);
    const rf_generation *items = rf_generations_items(list, &count);
    cr_assert_eq(count, 1);
    cr_assert_eq(items[0].rows, 10);
    cr_assert_str_eq(items[0].digest, "");
    rf_generations_free(list);
}

Test(generation, gc_keeps_three_unless_told_and_needs_the_lock)
{
    rf_gc_result result;
    rf_err err;
    int lock;

    for (int i = 0; i < 5; i++)
        (void)add("orders", 1);
    (void)swap_to("orders", 5);
    cr_assert_eq(rf_store_lock(store, 0, &lock, &err), RF_OK);
    cr_assert_eq(rf_gc(store, NULL, 0, 0, &result, &err), RF_ERR_LOCKED);
    rf_lock_release(lock);
    cr_assert_eq(rf_gc(store, NULL, 0, 0, &result, &err), RF_OK);
    cr_assert_eq(result.removed, 2);
    cr_assert_eq(rf_gc(store, "none", 0, 0, &result, &err), RF_ERR_ABSENT);
}

Test(generation, status_names_what_is_live)
{
    rf_status_report *report;
    rf_flip flip;
    rf_err err = {0};

    (void)add("a", 1);
    (void)add("b", 1);
    (void)add("b", 2);
    (void)swap_to("b", 1);
    cr_assert_eq(rf_store_status(store, &report, &err), RF_OK, "%s", err.message);
    cr_assert_eq(report->model_count, 1);
    cr_assert_str_eq(report->models[0].name, "b");
    cr_assert_eq(report->models[0].generation, 1);
    cr_assert_eq(report->models[0].lag, 0);
    cr_assert_eq(report->models[0].rows, 10);
    cr_assert_lt(report->models[0].staleness_s, 0, "no event has a time");
    cr_assert_not(report->models[0].held);
    rf_status_report_free(report);
    (void)swap_to("b", 2);
    cr_assert_eq(back("b", 0, &flip, &err), RF_OK);
    cr_assert_eq(rf_store_status(store, &report, &err), RF_OK);
    cr_assert(report->models[0].held);
    rf_status_report_free(report);
    rf_status_report_free(NULL);
}
