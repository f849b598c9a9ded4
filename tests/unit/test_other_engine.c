/* A live generation that was run with another plugin ABI: its definition is the same, so it is folded anew in
 * full, and never refused. The ABI is in the engine hash of its MANIFEST, which is exchanged here. */
#include "catalog/catalog.h"
#include "catalog/manifest.h"
#include "refold/refold.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PLUGIN REFOLD_PROJECTIONS "/order_summary.so"

static char dir[64], store_path[128], lua_path[128];
static rf_store *store;

static void open_store(bool create)
{
    const rf_store_options options = {.create = create, .partitions = create ? 4 : 0};
    rf_err err = {0};

    cr_assert_eq(rf_store_open(store_path, &options, &store, &err), RF_OK, "%s", err.message);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    cr_assert_not_null(file);
    cr_assert(fputs(text, file) >= 0);
    cr_assert_eq(fclose(file), 0);
}

static void import_orders(int first, int count)
{
    char path[128], text[8192] = "";
    const char *paths[] = {path};
    const rf_import_options options = {.time_unit = RF_TIME_UNIT_MS};
    rf_import_summary summary;
    rf_err err = {0};

    (void)snprintf(path, sizeof path, "%s/events.jsonl", dir);
    for (int i = first; i < first + count; i++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text),
                       "{\"stream\":\"order-%d\",\"type\":\"OrderPlaced\",\"time\":%d,"
                       "\"data\":{\"customer\":\"c-%d\"}}\n",
                       i, i + 1, i);
    write_file(path, text);
    cr_assert_eq(rf_import_files(store, paths, 1, &options, &summary, &err), RF_OK, "%s",
                 err.message);
    cr_assert_eq(summary.added, (uint64_t)count);
}

static void begin(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/refold-engine-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(store_path, sizeof store_path, "%s/shop.refold", dir);
    (void)snprintf(lua_path, sizeof lua_path, "%s/buyers.lua", dir);
    write_file(lua_path, "name \"buyers\"\nversion (1)\ncolumns { \"customer text\" }\n"
                         "on (\"OrderPlaced\", { \"customer text\" }, function (row, e)\n"
                         "  row.customer = e.customer\nend)\n");
    open_store(true);
    import_orders(0, 40);
}

static void end(void)
{
    char command[160];

    rf_store_close(store);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(other_engine, .init = begin, .fini = end);

static rf_status rebuild(const char *projection, rf_rebuild_options options, rf_rebuilt *built_out)
{
    rf_rebuild_report *report = NULL;
    rf_err err = {0};

    rf_status status = rf_rebuild(store, &projection, 1, &options, &report, &err);
    cr_assert(status == RF_OK || status == RF_ERR_NOTHING, "%s", err.message);
    if (status == RF_OK)
        *built_out = report->projections[0];
    rf_rebuild_report_free(report);
    return status;
}

static const rf_rebuild_options if_changed = {.if_changed = true};

/* A generation of the projection becomes live that a refold with another ABI has built. */
static void live_by_another_engine(const char *projection, const char *name)
{
    const rf_rebuild_options aside = {.no_swap = true, .full = true};
    rf_rebuilt built;
    rf_flip flip;
    char path[RF_PATH_SIZE], folder[RF_PATH_SIZE];
    rf_catalog *catalog;
    rf_manifest manifest;
    uint64_t set = 0;
    const rf_manifest *added[] = {&manifest};
    rf_err err = {0};

    cr_assert_eq(rebuild(projection, aside, &built), RF_OK);
    rf_store_close(store);
    cr_assert_eq(rf_catalog_open(store_path, false, &catalog, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_catalog_path(catalog, name, built.generation, folder, &err), RF_OK);
    cr_assert_eq(rf_manifest_read(folder, &manifest, &err), RF_OK, "%s", err.message);
    manifest.engine_hash.low ^= 1;
    cr_assert_eq(rf_path_format(path, "%s/MANIFEST", &err, folder), RF_OK);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rf_manifest_write(folder, &manifest, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_catalog_add_generations(catalog, added, 1, &set, &err), RF_OK, "%s",
                 err.message);
    rf_manifest_free(&manifest);
    rf_catalog_close(catalog);
    open_store(false);
    cr_assert_eq(rf_swap(store, &name, 1, built.generation, 0, &flip, &err), RF_OK, "%s", err.message);
}

static void is_folded_anew(const char *projection, const char *name)
{
    rf_rebuilt first, again;

    cr_assert_eq(rebuild(projection, (rf_rebuild_options){0}, &first), RF_OK);
    cr_assert_eq(rebuild(projection, if_changed, &again), RF_ERR_NOTHING);
    live_by_another_engine(projection, name);
    /* Nothing is new but the engine; once it is the own one again, nothing is. */
    cr_assert_eq(rebuild(projection, if_changed, &again), RF_OK);
    cr_assert_eq(again.generation, first.generation + 2);
    cr_assert_not(again.reused);
    cr_assert_eq(again.folded, 40);
    cr_assert_str_eq(again.digest, first.digest);
    cr_assert_eq(rebuild(projection, if_changed, &again), RF_ERR_NOTHING);
    cr_assert_eq(rebuild(name, if_changed, &again), RF_ERR_NOTHING);
    /* One event more is folded alone into what is there, but not where the engine was another. */
    import_orders(40, 1);
    cr_assert_eq(rebuild(projection, if_changed, &again), RF_OK);
    cr_assert(again.reused);
    cr_assert_eq(again.folded, 1);
    live_by_another_engine(projection, name);
    import_orders(41, 1);
    cr_assert_eq(rebuild(name, if_changed, &again), RF_OK);
    cr_assert_not(again.reused);
    cr_assert_eq(again.folded, 42);
    cr_assert_eq(again.rows, 42);
}

Test(other_engine, a_plugin_that_was_run_with_another_abi_is_folded_anew)
{
    is_folded_anew(PLUGIN, "order_summary");
}

Test(other_engine, a_lua_file_that_was_run_with_another_abi_is_folded_anew)
{
    is_folded_anew(lua_path, "buyers");
}
