/* catch_up.h: a generation that moves on is what a rebuild up to the same position gives, for logs
 * made at random and cut at random places, with every way that keys and columns come about. */
#include "shop_logs.h"

TestSuite(catch_up, .init = make_store, .fini = remove_store);

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

Test(catch_up, leaves_out_what_fails_of_rows_of_other_keys)
{
    on_error = RF_ON_ERROR_SKIP;
    check_projection(1, 2);
}

Test(catch_up, carries_nothing_of_events_that_failed_before)
{
    on_error = RF_ON_ERROR_SKIP;
    check_projection(2, 2);
}

Test(catch_up, folds_all_anew_once_a_key_that_is_no_stream_is_in_quarantine)
{
    on_error = RF_ON_ERROR_QUARANTINE;
    check_projection(2, 2);
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

Test(catch_up, lets_a_rebuild_go_on_with_what_streams_carry)
{
    check_incremental(2, projections[2].name);
}

Test(catch_up, lets_a_rebuild_go_on_with_handlers_that_get_every_row)
{
    check_incremental(4, projections[4].name);
}

/* A least value of 0 may be the lack of one, so rows do not tell what becomes of them with more. All are 0 but
 * for what later events give. */
static const char lows[] =
    "name 'lows' version (1) key { Added = 'sku text' }\n"
    "columns { 'low int' } combine { low = 'min' }\n"
    "on ('Added', { 'qty int' }, function (row, e)\n"
    "  row.low = e.position > 3600 and e.qty + 1 or 0 end)\n";

/* What there is of a read model: two generations, of which the one that is live has no delta. */
static void check_nothing_is_left(const char *name, uint64_t before, uint64_t live)
{
    rf_generations *list = NULL;
    uint32_t count = 0;

    cr_assert_eq(rf_generations_list(store, name, &list, NULL), RF_OK);
    const rf_generation *items = rf_generations_items(list, &count);
    cr_assert_eq(count, 2, "%u generations of %s", count, name);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(items[i].number == before || items[i].number == live);
        cr_assert_eq(items[i].delta_rows, 0, "%s", name);
    }
    rf_generations_free(list);
    for (uint64_t number = 1; number <= live; number++) {
        char folder[200];
        (void)snprintf(folder, sizeof folder, "%s/generations/%s/%06llu", path, name,
                       (unsigned long long)number);
        cr_assert_eq(rf_path_is_dir(folder), number == before || number == live, "%s", folder);
    }
}

/* A rebuild of both, of which one alone could go on, after so many events more. */
static void check_all_is_folded(unsigned fresh)
{
    char shops[160], file[160];
    const char *both[] = {shops, file};
    const rf_rebuild_options options = {.allow_missing = true, .keep = 100};
    rf_rebuild_report *first = NULL, *second = NULL;
    rf_rebuilt whole;

    seed = 91;
    write_projection(0, shops);
    (void)snprintf(file, sizeof file, "%s/lows.lua", dir);
    FILE *out = fopen(file, "w");
    cr_assert_not_null(out);
    (void)fputs(lows, out);
    cr_assert_eq(fclose(out), 0);
    import_events(3600);
    cr_assert_eq(rf_rebuild(store, both, 2, &options, &first, NULL), RF_OK);
    import_events(fresh);
    cr_assert_eq(rf_rebuild(store, both, 2, &options, &second, NULL), RF_OK);
    for (uint32_t i = 0; i < 2; i++) {
        const rf_rebuilt *built = &second->projections[i];
        cr_assert_not(built->reused, "%s", built->name);
        cr_assert_not(built->merged, "%s", built->name);
        cr_assert_eq(built->folded, built->events);
        cr_assert_eq(built->position, 3600 + fresh);
        cr_assert(built->live);
        check_nothing_is_left(built->name, first->projections[i].generation, built->generation);
        rebuild(both[i], log_position(), &whole);
        cr_assert_str_eq(built->digest, whole.digest);
        cr_assert_eq(built->events, whole.events);
    }
    cr_assert_eq(first->timings.discarded, 0);
    cr_assert_gt(second->timings.discarded, 0);
    cr_assert_lt(second->timings.discarded, second->seconds);
    rf_rebuild_report_free(first);
    rf_rebuild_report_free(second);
    verify();
}

Test(catch_up, lets_a_rebuild_fold_all_where_rows_that_few_events_change_tell_too_little)
{
    check_all_is_folded(20);
}

Test(catch_up, lets_a_rebuild_fold_all_where_a_merge_is_due_and_rows_tell_too_little)
{
    check_all_is_folded(1100);
}
