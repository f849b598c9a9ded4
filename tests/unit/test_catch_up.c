/* catch_up.h: a generation that moves on is what a rebuild up to the same position gives, for logs
 * made at random and cut at random places, with every way that keys and columns come about. */
#include "catch_up.h"

#include "refold/refold.h"
#include "store.h"

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

static unsigned roll(unsigned below)
{
    return (unsigned)rand_r(&seed) % below;
}

static void make_store(void)
{
    rf_store_options options = {.create = true, .partitions = 4};
    rf_err err = {0};

    (void)snprintf(dir, sizeof dir, "/tmp/refold-catch-up-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/s.refold", dir);
    cr_assert_eq(rf_store_open(path, &options, &store, &err), RF_OK, "%s", err.message);
    memset(versions, 0, sizeof versions);
}

static void remove_store(void)
{
    rf_store_close(store);
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(catch_up, .init = make_store, .fini = remove_store);

static void write_event(FILE *file, bool spoilt)
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
static void import_some(unsigned count, bool spoilt)
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

static void import_events(unsigned count)
{
    import_some(count, false);
}

static void write_projection(int index, char file_name[160])
{
    (void)snprintf(file_name, 160, "%s/%s.lua", dir, projections[index].name);
    FILE *file = fopen(file_name, "w");
    cr_assert_not_null(file);
    (void)fputs(projections[index].text, file);
    cr_assert_eq(fclose(file), 0);
}

static rf_on_error on_error;
static bool fold_all = true;

static void rebuild(const char *projection, uint64_t until, rf_rebuilt *out)
{
    const rf_rebuild_options options = {.full = fold_all,
                                        .until = until,
                                        .no_swap = until != 0,
                                        .allow_missing = true,
                                        .has_max_removed = true,
                                        .max_removed = 1,
                                        .keep = 100,
                                        .on_error = on_error,
                                        .has_min_rows = true};
    rf_rebuild_report *report = NULL;
    rf_err err = {0};

    cr_assert_eq(rf_rebuild(store, &projection, 1, &options, &report, &err), RF_OK, "%s",
                 err.message);
    *out = report->projections[0];
    rf_rebuild_report_free(report);
}

static uint64_t log_position(void)
{
    rf_log_info info;

    cr_assert_eq(rf_log_get_info(store->log, &info, NULL), RF_OK);
    return info.position;
}

static void move_on(const char *name, uint64_t number, uint64_t until, uint32_t workers)
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

static void report_damage(void *arg, const char *line)
{
    (void)arg;
    cr_log_error("%s", line);
}

static void verify(void)
{
    const rf_verify_options options = {.serial = true, .report = report_damage};
    rf_verify_result result;
    rf_err err = {0};

    cr_assert_eq(rf_verify(store, &options, &result, &err), RF_OK, "%s", err.message);
}

/* The live generation of a projection moves on over random cuts; at each it is what a rebuild gives. */
static void check_projection(int index, uint32_t workers)
{
    char file[160];
    rf_rebuilt first, other;
    rf_reader *reader;

    const char *other_seed = getenv("REFOLD_SEED"); /* for longer runs by hand */
    seed = 1000u + (unsigned)index * 10 + workers +
           (other_seed ? 100u * (unsigned)strtoul(other_seed, NULL, 10) : 0);
    write_projection(index, file);
    import_events(150);
    rebuild(file, 0, &first);
    cr_assert_eq(rf_reader_open(store, projections[index].name, 0, &reader, NULL), RF_OK);
    for (int cut = 0; cut < 8; cut++) {
        import_some(1 + roll(120), on_error != RF_ON_ERROR_STOP);
        uint64_t at = rf_reader_get_info(reader)->position;
        uint64_t until = at + 1 + roll((unsigned)(log_position() - at));
        move_on(projections[index].name, first.generation, until, workers);
        rebuild(file, until, &other);
        cr_assert_eq(rf_reader_refresh(reader, NULL, NULL), RF_OK);
        cr_assert_eq(rf_reader_get_info(reader)->position, until);
        cr_assert_eq(rf_reader_get_info(reader)->rows, other.rows, "cut %d", cut);
        cr_assert_str_eq(rf_reader_get_info(reader)->digest, other.digest);
    }
    rf_reader_close(reader);
    verify();
}

Test(catch_up, of_rows_of_streams_gives_what_a_rebuild_gives)
{
    check_projection(0, 0);
}

Test(catch_up, of_rows_of_streams_is_the_same_for_several_workers)
{
    check_projection(0, 3);
}

Test(catch_up, of_rows_of_another_key_gives_what_a_rebuild_gives)
{
    check_projection(1, 2);
}

Test(catch_up, of_rows_of_a_carried_key_gives_what_a_rebuild_gives)
{
    check_projection(2, 2);
}

Test(catch_up, of_combined_columns_gives_what_a_rebuild_gives)
{
    check_projection(3, 2);
}

Test(catch_up, of_handlers_that_get_every_row_gives_what_a_rebuild_gives)
{
    check_projection(4, 2);
}

Test(catch_up, leaves_out_events_that_fail_where_the_generation_does)
{
    on_error = RF_ON_ERROR_SKIP;
    check_projection(0, 2);
}

Test(catch_up, leaves_keys_in_quarantine_that_were_and_puts_new_ones_there)
{
    on_error = RF_ON_ERROR_QUARANTINE;
    check_projection(0, 2);
}

Test(catch_up, stops_at_an_event_that_fails_and_stays_where_it_was)
{
    char file[160];
    rf_rebuilt built;
    rf_catch_up *catch_up;
    rf_pool *pool;
    rf_err err = {0};

    seed = 5;
    write_projection(0, file);
    import_events(100);
    rebuild(file, 0, &built);
    import_some(200, true);
    const rf_catch_up_of of = {"shops", built.generation, false};
    cr_assert_eq(rf_pool_new(0, &pool, NULL), RF_OK);
    cr_assert_eq(rf_catch_up_open(store, pool, &of, 1, &catch_up, &err), RF_OK);
    cr_assert_eq(rf_catch_up_run(catch_up, 300, NULL, &err), RF_ERR_INPUT, "%s", err.message);
    cr_assert_gt(err.position, 100);
    cr_assert_eq(rf_catch_up_position(catch_up), 100);
    /* put aside on record, the next one is met */
    uint64_t at = err.position;
    cr_assert_eq(rf_skip(store, "shops", at, "no number", NULL, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_catch_up_run(catch_up, at, NULL, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_catch_up_position(catch_up), at);
    rf_catch_up_close(catch_up);
    rf_pool_free(pool);
    verify();
}

Test(catch_up, is_refused_where_another_moved_the_generation_meanwhile)
{
    char file[160];
    rf_rebuilt built;
    rf_catch_up *first, *second;
    rf_pool *pool;
    rf_err err = {0};

    seed = 6;
    write_projection(1, file);
    import_events(100);
    rebuild(file, 0, &built);
    import_events(100);
    const rf_catch_up_of of = {"owners", built.generation, false};
    cr_assert_eq(rf_pool_new(0, &pool, NULL), RF_OK);
    cr_assert_eq(rf_catch_up_open(store, pool, &of, 1, &first, &err), RF_OK);
    cr_assert_eq(rf_catch_up_open(store, pool, &of, 1, &second, &err), RF_OK);
    cr_assert_eq(rf_catch_up_run(first, 150, NULL, &err), RF_OK);
    cr_assert_eq(rf_catch_up_run(second, 200, NULL, &err), RF_ERR_LOCKED);
    rf_catch_up_close(first);
    rf_catch_up_close(second);
    rf_pool_free(pool);
    verify();
}

static rf_flip swap_to(const char *name, uint64_t number)
{
    rf_flip flip;
    rf_err err = {0};

    cr_assert_eq(rf_swap(store, &name, 1, number, 0, &flip, &err), RF_OK, "%s", err.message);
    return flip;
}

/* A live generation at 250, one that was sealed at 100 beside it, the log at 300. */
static void make_two(const char *file, rf_rebuilt *live, rf_rebuilt *other)
{
    seed = 8;
    import_events(100);
    rebuild(file, 0, live);
    rebuild(file, 100, other);
    import_events(200);
    move_on("owners", live->generation, 250, 0);
}

Test(catch_up, comes_before_a_swap_to_a_generation_that_is_behind)
{
    char file[160];
    rf_rebuilt live, other, whole;
    rf_reader *reader;

    write_projection(1, file);
    make_two(file, &live, &other);
    rebuild(file, 250, &whole);
    rf_flip flip = swap_to("owners", other.generation);
    cr_assert_eq(flip.position, 250);
    cr_assert_eq(flip.behind, 50);
    cr_assert_eq(rf_reader_open(store, "owners", 0, &reader, NULL), RF_OK);
    cr_assert_eq(rf_reader_get_info(reader)->generation, other.generation);
    cr_assert_eq(rf_reader_get_info(reader)->position, 250);
    cr_assert_str_eq(rf_reader_get_info(reader)->digest, whole.digest);
    rf_reader_close(reader);
    verify();
}

Test(catch_up, does_not_come_before_a_rollback_unless_it_is_asked_for)
{
    const char *name = "owners";
    char file[160];
    rf_rebuilt live, other;
    rf_flip flip;
    rf_err err = {0};

    write_projection(1, file);
    make_two(file, &live, &other);
    (void)swap_to("owners", other.generation);
    move_on("owners", other.generation, 280, 0);
    cr_assert_eq(rf_rollback(store, &name, 1, 0, 0, &flip, &err), RF_OK, "%s", err.message);
    cr_assert_eq(flip.to, live.generation);
    cr_assert_eq(flip.position, 250);
    cr_assert_eq(flip.behind, 50);
    (void)swap_to("owners", other.generation);
    cr_assert_eq(rf_rollback_caught_up(store, &name, 1, 0, 0, &flip, &err), RF_OK, "%s",
                 err.message);
    cr_assert_eq(flip.position, 280);
    verify();
}

Test(catch_up, of_what_is_rebuilt_reaches_a_live_generation_that_moved_on_meanwhile)
{
    char file[160];
    rf_rebuilt live, whole, again;

    write_projection(1, file);
    seed = 9;
    import_events(100);
    rebuild(file, 0, &live);
    import_events(50);
    move_on("owners", live.generation, 150, 0);
    rebuild(file, 0, &again);
    cr_assert_eq(again.position, 150);
    cr_assert(again.live);
    rebuild(file, 150, &whole);
    cr_assert_str_eq(again.digest, whole.digest);
}

/* Of rebuilds one after another, each few events later, all but the first go on from the one before; the
 * digest is that of a full one. */
static void check_incremental(int index, const char *name)
{
    char file[160];
    rf_rebuilt built, whole;
    int reused = 0;

    seed = 77u + (unsigned)index;
    write_projection(index, file);
    for (int i = 0; i < 12; i++)
        import_events(200);
    rebuild(file, 0, &built);
    cr_assert(!built.reused);
    for (int i = 0; i < 6; i++) {
        import_events(1);
        fold_all = false;
        rebuild(i % 2 ? name : file, 0, &built);
        fold_all = true;
        reused += built.reused;
        rebuild(file, log_position(), &whole);
        cr_assert_eq(built.position, log_position());
        cr_assert_eq(built.rows, whole.rows);
        cr_assert_str_eq(built.digest, whole.digest);
        cr_assert(built.live);
    }
    cr_assert_geq(reused, 3, "%d of them went on", reused);
    verify();
}

Test(catch_up, lets_a_rebuild_of_the_same_definition_fold_only_what_is_new)
{
    check_incremental(0, "shops");
}

Test(catch_up, of_what_is_carried_is_never_taken_for_a_rebuild_that_could_go_on)
{
    char file[160];
    rf_rebuilt built;

    seed = 3;
    write_projection(2, file);
    import_events(2000);
    rebuild(file, 0, &built);
    import_events(1);
    fold_all = false;
    rebuild(file, 0, &built);
    cr_assert(!built.reused);
    fold_all = true;
}
