/* The library as a user has it: public headers only, from a file of events to rows and back to an
 * older generation. */
#include "refold/refold.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN REFOLD_PROJECTIONS "/order_summary.so"
#define OTHER_PLUGIN REFOLD_PROJECTIONS "/case_summary.so"

static char dir[64];
static char store_path[128];
static rf_store *store;

static void import_text(const char *text)
{
    char path[128];
    const char *paths[] = {path};
    rf_import_options options = {.time_unit = RF_TIME_UNIT_MS};
    rf_import_summary summary;
    rf_err err = {0};

    (void)snprintf(path, sizeof path, "%s/events.jsonl", dir);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    (void)fputs(text, file);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(rf_import_files(store, paths, 1, &options, &summary, &err), RF_OK, "%s",
                 err.message);
}

static const char placed[] =
    "{\"stream\":\"order-1\",\"type\":\"OrderPlaced\",\"time\":1000,\"data\":{\"customer\":\"c-1\"}}\n"
    "{\"stream\":\"order-2\",\"type\":\"OrderPlaced\",\"time\":2000,\"data\":{\"customer\":\"c-2\"}}\n"
    "{\"stream\":\"order-1\",\"type\":\"ItemAdded\",\"time\":3000,\"data\":{\"qty\":2,\"price\":50}}\n"
    "{\"stream\":\"order-1\",\"type\":\"ItemRemoved\",\"time\":4000,\"data\":{\"qty\":1,\"price\":50}}\n";

static void open_store(void)
{
    rf_store_options options = {.create = true, .partitions = 4};
    rf_err err = {0};

    (void)snprintf(dir, sizeof dir, "/tmp/refold-rebuild-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(store_path, sizeof store_path, "%s/shop.refold", dir);
    cr_assert_eq(rf_store_open(store_path, &options, &store, &err), RF_OK, "%s", err.message);
    import_text(placed);
}

static void remove_store(void)
{
    char command[160];

    rf_store_close(store);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(rebuild, .init = open_store, .fini = remove_store);

static rf_status rebuild(const char *projection, const rf_rebuild_options *options,
                         rf_rebuilt *first_out, rf_err *err)
{
    rf_rebuild_report *report = NULL;
    rf_status status = rf_rebuild(store, &projection, 1, options, &report, err);

    if (report && report->projection_count > 0 && first_out) {
        *first_out = report->projections[0];
        first_out->name = NULL; /* it goes with the report */
    }
    rf_rebuild_report_free(report);
    return status;
}

static const rf_value *value_of(const rf_reader *reader, const rf_row *row, const char *column)
{
    const rf_reader_info *info = rf_reader_get_info(reader);

    for (uint32_t i = 0; i < info->column_count; i++)
        if (strcmp(info->columns[i].name, column) == 0)
            return &row->values[i];
    cr_assert_fail("no column %s", column);
    return NULL;
}

Test(rebuild, folds_events_into_rows_that_a_reader_finds_by_key)
{
    const rf_rebuild_options options = {.run = {.workers = 2}};
    rf_rebuilt built = {0};
    rf_reader *reader;
    rf_row row;
    rf_err err = {0};

    cr_assert_eq(rebuild(PLUGIN, &options, &built, &err), RF_OK, "%s", err.message);
    cr_assert_eq(built.rows, 2);
    cr_assert_eq(built.events, 4);
    cr_assert(built.live);
    cr_assert_eq(rf_reader_open(store, "order_summary", 0, &reader, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_reader_get_info(reader)->position, 4);
    cr_assert_eq(rf_reader_get(reader, (rf_slice){"order-1", 7}, &row, &err), RF_OK);
    cr_assert_eq(value_of(reader, &row, "items")->integer, 1);
    cr_assert_eq(value_of(reader, &row, "total")->integer, 50);
    cr_assert_eq(value_of(reader, &row, "placed_at")->integer, 1000 * 1000);
    cr_assert_eq(value_of(reader, &row, "last_at")->integer, 4000 * 1000);
    cr_assert_eq(memcmp(value_of(reader, &row, "status")->text.data, "ItemRemoved", 11), 0);
    cr_assert_eq(rf_reader_get(reader, (rf_slice){"order-3", 7}, &row, &err), RF_ERR_NO_ROW);
    rf_reader_close(reader);
}

Test(rebuild, gives_the_same_digest_for_any_number_of_workers)
{
    const uint32_t workers[] = {0, 1, 2, 3, 8};
    rf_rebuilt first = {0};
    rf_err err = {0};

    for (size_t i = 0; i < 5; i++) {
        rf_rebuild_options options = {.run = {.workers = workers[i]}};
        rf_rebuilt built = {0};
        cr_assert_eq(rebuild(PLUGIN, &options, &built, &err), RF_OK, "%s", err.message);
        if (i == 0)
            first = built;
        cr_assert_str_eq(built.digest, first.digest);
        cr_assert_eq(built.generation, i + 1);
    }
}

Test(rebuild, a_reader_stays_with_its_generation_until_it_is_refreshed)
{
    rf_reader *reader;
    rf_row row;
    rf_err err = {0};
    bool changed = false;

    cr_assert_eq(rebuild(PLUGIN, NULL, NULL, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_reader_open(store, "order_summary", 0, &reader, &err), RF_OK);
    import_text("{\"stream\":\"order-1\",\"type\":\"OrderPaid\",\"time\":5000,\"data\":{}}\n");
    cr_assert_eq(rebuild("order_summary", NULL, NULL, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_reader_get(reader, (rf_slice){"order-1", 7}, &row, &err), RF_OK);
    cr_assert_eq(value_of(reader, &row, "events")->integer, 3);
    cr_assert_eq(rf_reader_refresh(reader, &changed, &err), RF_OK);
    cr_assert(changed);
    cr_assert_eq(rf_reader_get(reader, (rf_slice){"order-1", 7}, &row, &err), RF_OK);
    cr_assert_eq(value_of(reader, &row, "events")->integer, 4);
    rf_reader_close(reader);
}

Test(rebuild, rolls_back_and_swaps_forward_at_once)
{
    const char *name = "order_summary";
    rf_flip flip;
    rf_err err = {0};

    cr_assert_eq(rebuild(PLUGIN, NULL, NULL, &err), RF_OK, "%s", err.message);
    import_text("{\"stream\":\"order-1\",\"type\":\"OrderPaid\",\"time\":5000,\"data\":{}}\n");
    cr_assert_eq(rebuild(PLUGIN, NULL, NULL, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_rollback(store, &name, 1, 0, 0, &flip, &err), RF_OK, "%s", err.message);
    cr_assert_eq(flip.from, 2);
    cr_assert_eq(flip.to, 1);
    cr_assert_eq(flip.position, 4);
    cr_assert_eq(flip.behind, 1);
    cr_assert_eq(rf_swap(store, &name, 1, 0, 0, &flip, &err), RF_OK, "%s", err.message);
    cr_assert_eq(flip.to, 2);
    cr_assert_eq(flip.behind, 0);
}

Test(rebuild, keeps_a_generation_with_no_swap_and_serves_the_live_one)
{
    const rf_rebuild_options no_swap = {.no_swap = true};
    rf_rebuilt built = {0};
    rf_reader *reader;
    rf_err err = {0};

    cr_assert_eq(rebuild(PLUGIN, &no_swap, &built, &err), RF_OK, "%s", err.message);
    cr_assert_not(built.live);
    cr_assert_eq(rf_reader_open(store, "order_summary", 0, &reader, &err), RF_ERR_ABSENT);
    cr_assert_eq(rf_reader_open(store, "order_summary", 1, &reader, &err), RF_OK, "%s", err.message);
    rf_reader_close(reader);
}

Test(rebuild, ends_at_a_position_only_without_a_swap)
{
    rf_rebuild_options options = {.until = 2};
    rf_rebuilt built = {0};
    rf_err err;

    cr_assert_eq(rebuild(PLUGIN, &options, &built, &err), RF_ERR_USAGE);
    options.no_swap = true;
    options.allow_missing = true;
    cr_assert_eq(rebuild(PLUGIN, &options, &built, &err), RF_OK);
    cr_assert_eq(built.events, 2);
    options.until = 5;
    cr_assert_eq(rebuild(PLUGIN, &options, &built, &err), RF_ERR_USAGE);
}

Test(rebuild, says_that_nothing_changed_where_that_was_asked)
{
    const rf_rebuild_options if_changed = {.if_changed = true};
    rf_err err;

    cr_assert_eq(rebuild(PLUGIN, &if_changed, NULL, &err), RF_OK);
    cr_assert_eq(rebuild(PLUGIN, &if_changed, NULL, &err), RF_ERR_NOTHING);
    import_text("{\"stream\":\"order-9\",\"type\":\"OrderPaid\",\"time\":5000,\"data\":{}}\n");
    cr_assert_eq(rebuild(PLUGIN, &if_changed, NULL, &err), RF_OK);
}

Test(rebuild, a_gate_keeps_a_generation_with_too_few_rows_from_going_live)
{
    rf_rebuild_options options = {.gates = {.min_rows = 3, .has_min_rows = true}};
    rf_rebuilt built = {0};
    rf_reader *reader;
    rf_err err;

    cr_assert_eq(rebuild(PLUGIN, &options, &built, &err), RF_ERR_REFUSED);
    cr_assert_eq(built.rows, 2);
    cr_assert_not(built.live);
    cr_assert_eq(rf_reader_open(store, "order_summary", 0, &reader, &err), RF_ERR_ABSENT);
    cr_assert_eq(rf_reader_open(store, "order_summary", built.generation, &reader, &err), RF_OK);
    rf_reader_close(reader);
}

Test(rebuild, several_projections_share_a_pass_and_swap_together_or_not_at_all)
{
    const char *both[] = {PLUGIN, OTHER_PLUGIN};
    rf_rebuild_options options = {.gates = {.min_rows = 3, .has_min_rows = true}};
    rf_rebuild_report *report = NULL;
    rf_reader *reader;
    rf_err err;

    cr_assert_eq(rf_rebuild(store, both, 2, &options, &report, &err), RF_ERR_REFUSED);
    cr_assert_eq(report->projection_count, 2);
    rf_rebuild_report_free(report);
    cr_assert_eq(rf_reader_open(store, "order_summary", 0, &reader, &err), RF_ERR_ABSENT);
    cr_assert_eq(rf_reader_open(store, "case_summary", 0, &reader, &err), RF_ERR_ABSENT);
    options.gates.has_min_rows = false;
    cr_assert_eq(rf_rebuild(store, both, 2, &options, &report, &err), RF_OK);
    cr_assert(report->projections[0].live && report->projections[1].live);
    rf_rebuild_report_free(report);
}

Test(rebuild, refuses_the_same_projection_twice_and_names_that_are_not_live)
{
    const char *twice[] = {PLUGIN, PLUGIN};
    rf_rebuild_report *report = NULL;
    rf_err err;

    cr_assert_eq(rf_rebuild(store, twice, 2, NULL, &report, &err), RF_ERR_USAGE);
    cr_assert_null(report);
    cr_assert_eq(rebuild("order_summary", NULL, NULL, &err), RF_ERR_ABSENT);
    cr_assert_eq(rebuild("no/such/plugin.so", NULL, NULL, &err), RF_ERR_ABSENT);
}

Test(rebuild, ends_soon_when_it_is_cancelled_and_leaves_nothing_half_built)
{
    static volatile int cancel = 1;
    const rf_rebuild_options options = {.run = {.cancel = &cancel}};
    rf_generations *list;
    uint32_t count;
    rf_err err;

    cr_assert_eq(rebuild(PLUGIN, &options, NULL, &err), RF_ERR_INTERRUPTED);
    cr_assert_eq(rf_generations_list(store, NULL, &list, &err), RF_OK);
    (void)rf_generations_items(list, &count);
    cr_assert_eq(count, 0);
    rf_generations_free(list);
}

Test(rebuild, verify_finds_nothing_wrong_and_a_serial_fold_agrees)
{
    const rf_verify_options options = {.serial = true};
    rf_verify_result result;
    rf_err err = {0};

    cr_assert_eq(rebuild(PLUGIN, NULL, NULL, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_verify(store, &options, &result, &err), RF_OK, "%s", err.message);
    cr_assert_eq(result.generations, 1);
    cr_assert_eq(result.rows, 2);
    cr_assert_eq(result.damages, 0);
}

static void count_damage(void *arg, const char *line)
{
    (void)line;
    ++*(int *)arg;
}

Test(rebuild, verify_that_is_interrupted_reports_no_damage)
{
    int damages = 0;
    volatile int cancel = 1;
    rf_verify_options options = {.run = {.cancel = &cancel},
                                 .serial = true,
                                 .report = count_damage,
                                 .report_arg = &damages};
    rf_verify_result result;
    rf_err err = {0};

    cr_assert_eq(rebuild(PLUGIN, NULL, NULL, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_verify(store, &options, &result, &err), RF_ERR_INTERRUPTED, "%s", err.message);
    cr_assert_eq(damages, 0);
    cr_assert_eq(result.damages, 0);
}

Test(rebuild, two_handles_of_a_store_in_a_process_share_it)
{
    rf_store *other;
    rf_reader *reader;
    rf_rebuilt first;
    rf_row row;
    bool changed = false;
    rf_err err = {0};

    cr_assert_eq(rebuild(PLUGIN, NULL, &first, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_store_open(store_path, NULL, &other, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_reader_open(other, "order_summary", 0, &reader, &err), RF_OK, "%s",
                 err.message);
    /* what one handle removes the other still reads */
    rf_gc_result removed;
    rf_rebuild_options keep = {.keep = 1, .run = {.workers = 1}};
    cr_assert_eq(rebuild(PLUGIN, &keep, &first, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_gc(store, NULL, 1, 0, &removed, &err), RF_OK, "%s", err.message);
    cr_assert_eq(removed.removed, 0);
    cr_assert_eq(removed.in_use, 1);
    cr_assert_eq(rf_reader_get(reader, RF_SLICE("order-1"), &row, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_reader_refresh(reader, &changed, &err), RF_OK, "%s", err.message);
    cr_assert(changed);
    cr_assert_eq(rf_gc(store, NULL, 1, 0, &removed, &err), RF_OK, "%s", err.message);
    cr_assert_eq(removed.removed, 1);
    rf_store *kept = store;
    rf_reader_close(reader);
    rf_store_close(other);
    import_text("{\"stream\":\"order-9\",\"type\":\"OrderPlaced\",\"data\":{\"customer\":\"c\"}}\n");
    cr_assert_eq(store, kept);
}

Test(rebuild, a_failure_says_what_still_holds)
{
    char command[512];
    rf_rebuilt first;
    rf_err err = {0};

    cr_assert_eq(rebuild(PLUGIN, NULL, &first, &err), RF_OK, "%s", err.message);
    /* no folder can be made below what is a file */
    (void)snprintf(command, sizeof command,
                   "rm -rf '%s/generations/order_summary' && touch '%s/generations/order_summary'",
                   store_path, store_path);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(rebuild(PLUGIN, NULL, &first, &err), RF_ERR_IO);
    cr_assert_not_null(strstr(err.message, "nothing was swapped, what was live is live"), "%s",
                       err.message);
}
