/* Logs of shops made at random, projections over them with every way that keys and columns come about, and what
 * is done with both. Included by test programs only. */
#ifndef RF_TESTS_SHOP_LOGS_H
#define RF_TESTS_SHOP_LOGS_H

#include "catch_up/catch_up.h"

#include "refold/refold.h"
#include "store/store.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows of streams: all kinds of columns, deletion, indexes. */
static const char by_stream[] =
    "name 'shops' version (1) key 'stream'\n"
    "columns { 'owner text', 'n int', 'total decimal(2)', 'ratio float', 'open bool', 'at time',\n"
    "          'day date', 'lines list(sku text, qty int)', 'notes json' }\n"
    "index 'owner' index { 'open', 'n' }\n"
    "on ('Opened', { 'owner text' }, function (row, e)\n"
    "  row.owner, row.open, row.at, row.day = e.owner, true, e.time, date (e.time) end)\n"
    "on ('Added', { 'sku text', 'qty int', 'price decimal(2)' }, function (row, e)\n"
    "  row.n = row.n + e.qty row.total = row.total + e.qty * e.price row.ratio = row.total / 3\n"
    "  row.lines[#row.lines + 1] = { sku = e.sku, qty = e.qty }\n"
    "  if #row.lines > 4 then row.lines = {} end\n"
    "  row.notes = row.notes or {} row.notes[e.sku] = e.qty end)\n"
    "on ('Moved', { 'owner text' }, function (row, e) row.owner, row.open = e.owner, not row.open end)\n"
    "on ('Closed', function (row, e) row:delete() end)\n";

/* Rows of other keys. */
static const char by_owner[] =
    "name 'owners' version (1) key { Opened = 'owner text', Moved = 'owner text' }\n"
    "columns { 'times int', 'last text' } index 'times'\n"
    "on ('Opened', {}, function (row, e) row.times, row.last = row.times + 1, e.stream end)\n"
    "on ('Moved', {}, function (row, e)\n"
    "  row.times, row.last = row.times + 1, e.stream\n"
    "  if row.times % 5 == 0 then row:delete() end end)\n";
static const char carried[] =
    "name 'sales' version (1) key 'carried.owner text' no_key 'ignore'\n"
    "carry { owner = { Opened = 'owner text', Moved = 'owner text' } }\n"
    "columns { 'total decimal(2)', 'last text' }\n"
    "on ('Added', { 'sku text', 'qty int', 'price decimal(2)' }, function (row, e)\n"
    "  row.total, row.last = row.total + e.qty * e.price, e.sku end)\n";
static const char combined[] =
    "name 'skus' version (1) key { Added = 'sku text' }\n"
    "columns { 'sold int', 'most int', 'least int', 'first_at time', 'latest text', 'one int' }\n"
    "combine { sold = 'sum', most = 'max', least = 'min', first_at = 'min', latest = 'last',\n"
    "          one = 'first' }\n"
    "on ('Added', { 'sku text', 'qty int' }, function (row, e)\n"
    "  row.sold, row.latest = row.sold + e.qty, e.stream\n"
    "  row.first_at = e.time\n"
    "  if e.qty % 2 == 0 then\n"
    "    row.most, row.least = math.max (row.most, e.qty - 4), math.min (row.least, e.qty - 4)\n"
    "    row.one = e.qty - 4 end end)\n";
static const char every_row[] =
    "name 'stock' version (1) key { 'stream', 'sku text' }\n"
    "columns { 'n int', 'open bool' }\n"
    "on ('Added', { 'qty int' }, function (row, e)\n"
    "  row.n, row.open = row.n + e.qty, true end)\n"
    "on ('Moved', {}, every_row, function (row, e) row.open = not row.open end)\n"
    "on ('Closed', {}, every_row, function (row, e) row:delete() end)\n";

static const struct {
    const char *name, *text;
} projections[] = {{"shops", by_stream}, {"owners", by_owner}, {"sales", carried},
                   {"skus", combined}, {"stock", every_row}};
enum { PROJECTIONS = sizeof projections / sizeof projections[0] };

static char dir[64], path[128];
static rf_store *store;
static unsigned seed;
static uint64_t versions[64];

static inline unsigned roll(unsigned below)
{
    return (unsigned)rand_r(&seed) % below;
}

static inline void make_store(void)
{
    rf_store_options options = {.create = true, .partitions = 4};
    rf_err err = {0};

    (void)snprintf(dir, sizeof dir, "/tmp/refold-catch-up-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/s.refold", dir);
    cr_assert_eq(rf_store_open(path, &options, &store, &err), RF_OK, "%s", err.message);
    memset(versions, 0, sizeof versions);
}

static inline void remove_store(void)
{
    rf_store_close(store);
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

static inline void write_event(FILE *file, bool spoilt)
{
    static const char *const types[] = {"Added", "Added", "Added", "Opened", "Moved", "Closed", "Else"};
    unsigned stream = roll(40);
    const char *type = types[roll(7)];

    (void)fprintf(file, "{\"stream\":\"shop-%u\",\"type\":\"%s\",\"time\":%u,\"data\":{", stream, type,
                  1700000000u + roll(100000));
    const char *quote = spoilt && roll(10) == 0 ? "\"?" : "";
    if (strcmp(type, "Added") == 0)
        (void)fprintf(file, "\"sku\":\"s%u\",\"qty\":%u,\"price\":%s%u.%02u%s", roll(9), roll(9),
                      quote, roll(50), roll(100), *quote ? "\"" : "");
    if (strcmp(type, "Opened") == 0 || strcmp(type, "Moved") == 0)
        (void)fprintf(file, "\"owner\":\"o%u\"", roll(12));
    (void)fprintf(file, "}}\n");
}

/* Some of spoilt events have a price that is no number. */
static inline void import_some(unsigned count, bool spoilt)
{
    char name[160];
    const char *paths[] = {name};
    rf_import_options options = {.time_unit = RF_TIME_UNIT_MS};
    rf_import_summary summary;
    rf_err err = {0};

    (void)snprintf(name, sizeof name, "%s/events.jsonl", dir);
    FILE *file = fopen(name, "w");
    cr_assert_not_null(file);
    for (unsigned i = 0; i < count; i++)
        write_event(file, spoilt);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(rf_import_files(store, paths, 1, &options, &summary, &err), RF_OK, "%s",
                 err.message);
}

static inline void import_events(unsigned count)
{
    import_some(count, false);
}

static inline void write_projection(int index, char file_name[160])
{
    (void)snprintf(file_name, 160, "%s/%s.lua", dir, projections[index].name);
    FILE *file = fopen(file_name, "w");
    cr_assert_not_null(file);
    (void)fputs(projections[index].text, file);
    cr_assert_eq(fclose(file), 0);
}

static rf_on_error on_error;
static bool fold_all = true;

static inline void rebuild(const char *projection, uint64_t until, rf_rebuilt *out)
{
    const rf_rebuild_options options = {.full = fold_all,
                                        .until = until,
                                        .no_swap = until != 0,
                                        .allow_missing = true,
                                        .gates.has_max_removed = true,
                                        .gates.max_removed = 1,
                                        .keep = 100,
                                        .on_error = on_error,
                                        .gates.has_min_rows = true};
    rf_rebuild_report *report = NULL;
    rf_err err = {0};

    cr_assert_eq(rf_rebuild(store, &projection, 1, &options, &report, &err), RF_OK, "%s",
                 err.message);
    *out = report->projections[0];
    rf_rebuild_report_free(report);
}

static inline uint64_t log_position(void)
{
    rf_log_info info;

    cr_assert_eq(rf_log_get_info(store->log, &info, NULL), RF_OK);
    return info.position;
}

static inline void move_on(const char *name, uint64_t number, uint64_t until, uint32_t workers)
{
    const rf_catch_up_of of = {name, number, false};
    rf_catch_up *catch_up;
    rf_pool *pool;
    rf_err err = {0};

    cr_assert_eq(rf_pool_new(workers, &pool, NULL), RF_OK);
    cr_assert_eq(rf_catch_up_open(store, pool, &of, 1, &catch_up, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_catch_up_run(catch_up, until, NULL, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_catch_up_position(catch_up), until);
    rf_catch_up_close(catch_up);
    rf_pool_free(pool);
}

static inline void report_damage(void *arg, const char *line)
{
    (void)arg;
    cr_log_error("%s", line);
}

static inline void verify(void)
{
    const rf_verify_options options = {.serial = true, .report = report_damage};
    rf_verify_result result;
    rf_err err = {0};

    cr_assert_eq(rf_verify(store, &options, &result, &err), RF_OK, "%s", err.message);
}

#endif
