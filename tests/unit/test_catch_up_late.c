/* catch_up_late.h: generations that go live together, wherever each of them and what is live are. */
#include "catch_up/catch_up_late.h"
#include "shop_logs.h"

enum { MODELS = 2 };
static const char *const names[MODELS] = {"shops", "owners"};
static rf_pool *pool;
static char files[MODELS][160];
static rf_rebuilt live[MODELS], made[MODELS];
static rf_catch_up_late_of of[MODELS];
static rf_catch_up_late late;

static void begin(void)
{
    make_store();
    seed = 11;
    cr_assert_eq(rf_pool_new(2, &pool, NULL), RF_OK);
    for (int i = 0; i < MODELS; i++)
        write_projection(i, files[i]);
    import_events(300);
}

static void end(void)
{
    rf_catch_up_late_close(&late);
    rf_pool_free(pool);
    verify();
    remove_store();
}

TestSuite(catch_up_late, .init = begin, .fini = end);

static rf_catalog_generation generation_of(int index)
{
    rf_catalog_generation generation;
    bool found = false;

    cr_assert_eq(rf_catalog_get_generation(store->catalog, names[index], made[index].generation,
                                           &generation, &found, NULL),
                 RF_OK);
    cr_assert(found);
    return generation;
}

/* Of each a live generation at one position, and one that was sealed at another and is to go live. */
static void make(uint64_t live_first, uint64_t live_second, uint64_t first, uint64_t second)
{
    const uint64_t lives[MODELS] = {live_first, live_second}, at[MODELS] = {first, second};

    for (int i = 0; i < MODELS; i++) {
        rebuild(files[i], lives[i], &live[i]);
        rf_flip flip;
        cr_assert_eq(rf_swap(store, &names[i], 1, live[i].generation, 0, &flip, NULL), RF_OK);
        rebuild(files[i], at[i], &made[i]);
        of[i] = (rf_catch_up_late_of){.name = names[i], .number = made[i].generation};
    }
    late = (rf_catch_up_late){.store = store, .pool = pool, .of = of, .count = MODELS};
}

/* All of them are at a position, with the rows that a rebuild up to there gives. */
static void check_at(uint64_t position)
{
    for (int i = 0; i < MODELS; i++) {
        rf_rebuilt whole;
        rf_reader *reader;
        cr_assert_eq(generation_of(i).position, position);
        rebuild(files[i], position, &whole);
        cr_assert_eq(rf_reader_open(store, names[i], made[i].generation, &reader, NULL), RF_OK);
        cr_assert_str_eq(rf_reader_get_info(reader)->digest, whole.digest);
        rf_reader_close(reader);
    }
}

static void check_live(void)
{
    for (int i = 0; i < MODELS; i++) {
        rf_catalog_model model;
        bool found = false;
        cr_assert_eq(rf_catalog_get_model(store->catalog, names[i], &model, &found, NULL), RF_OK);
        cr_assert_eq(model.live, made[i].generation);
    }
}

static void make_changes(rf_catalog_change changes[MODELS])
{
    for (int i = 0; i < MODELS; i++)
        changes[i] = (rf_catalog_change){.name = names[i],
                                         .to = made[i].generation,
                                         .expected = live[i].generation,
                                         .catch_up = rf_catch_up_in_flip,
                                         .catch_up_arg = &late};
}

Test(catch_up_late, brings_generations_that_are_at_different_positions_to_one)
{
    rf_err err = {0};

    make(250, 250, 100, 170);
    cr_assert_eq(rf_catch_up_late_run(&late, 220, &err), RF_OK, "%s", err.message);
    check_at(220);
}

Test(catch_up_late, goes_in_rounds_to_the_live_one_that_is_furthest)
{
    rf_err err = {0};

    make(230, 260, 200, 200);
    cr_assert_eq(rf_catch_up_late_rounds(&late, false, &err), RF_OK, "%s", err.message);
    check_at(260);
}

Test(catch_up_late, moves_all_of_them_by_one_fold_within_a_flip)
{
    rf_catalog_change changes[MODELS];
    uint64_t from[MODELS];
    rf_err err = {0};

    make(230, 260, 200, 200);
    cr_assert_eq(rf_catch_up_late_run(&late, 210, &err), RF_OK, "%s", err.message);
    uint64_t events = rf_catch_up_events(late.catch_up);
    make_changes(changes);
    cr_assert_eq(rf_catalog_flip(store->catalog, changes, MODELS, 0, from, &err), RF_OK, "%s",
                 err.message);
    cr_assert(late.in_flip);
    cr_assert_gt(rf_catch_up_events(late.catch_up), events);
    cr_assert_leq(rf_catch_up_events(late.catch_up), events + (uint64_t)MODELS * 50);
    rf_catch_up_done(late.catch_up);
    cr_assert_eq(rf_catch_up_position(late.catch_up), 260);
    check_live();
    check_at(260);
}

Test(catch_up_late, is_refused_in_a_flip_where_there_is_too_much_left)
{
    rf_catalog_change changes[MODELS];
    uint64_t from[MODELS];
    rf_err err = {0};

    make(300, 300, 100, 100);
    make_changes(changes); /* nothing is open yet: what is needed is not known to be little */
    cr_assert_eq(rf_catalog_flip(store->catalog, changes, MODELS, 0, from, &err), RF_ERR_LOCKED);
    cr_assert(late.is_far);
    check_at(100);
}

/* A least value of 0 may be the lack of one: what becomes of it with more is only known from all events. */
static const char lows[] = "name 'owners' version (1) key { Added = 'sku text' }\n"
                           "columns { 'low int' } combine { low = 'min' }\n"
                           "on ('Added', { 'qty int' }, function (row, e)\n"
                           "  row.low = e.position > 220 and e.qty + 1 or 0 end)\n";

Test(catch_up_late, is_refused_in_a_flip_where_rows_tell_too_little_to_go_on_from)
{
    rf_catalog_change changes[MODELS];
    uint64_t from[MODELS];
    rf_err err = {0};

    FILE *file = fopen(files[1], "w");
    cr_assert_not_null(file);
    (void)fputs(lows, file);
    cr_assert_eq(fclose(file), 0);
    make(260, 260, 200, 200);
    make_changes(changes);
    cr_assert_eq(rf_catch_up_late_run(&late, 220, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_catalog_flip(store->catalog, changes, MODELS, 0, from, &err), RF_ERR_LOCKED);
    cr_assert(late.is_far);
    check_at(220);
    cr_assert_eq(rf_catch_up_flip(store->catalog, changes, MODELS, 0, from, &err), RF_OK, "%s",
                 err.message);
    check_live();
    check_at(300);
}

Test(catch_up_late, takes_in_the_last_try_what_is_left_however_much)
{
    rf_catalog_change changes[MODELS];
    uint64_t from[MODELS];
    rf_err err = {0};

    import_events(RF_CATCH_UP_IN_FLIP_MAX + 100);
    make(0, 0, 200, 200);
    make_changes(changes);
    cr_assert_eq(rf_catch_up_late_run(&late, 220, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_catalog_flip(store->catalog, changes, MODELS, 0, from, &err), RF_ERR_LOCKED);
    cr_assert(late.is_far);
    late.takes_all = true;
    cr_assert_eq(rf_catalog_flip(store->catalog, changes, MODELS, 0, from, &err), RF_OK, "%s",
                 err.message);
    rf_catch_up_done(late.catch_up);
    check_live();
    check_at(log_position());
}

Test(catch_up_late, goes_ahead_of_what_is_live_where_the_end_of_the_log_is_near)
{
    rf_catalog_change changes[MODELS];
    uint64_t from[MODELS];
    rf_err err = {0};

    make(230, 260, 200, 170);
    make_changes(changes);
    cr_assert_eq(rf_catch_up_flip(store->catalog, changes, MODELS, 0, from, &err), RF_OK, "%s",
                 err.message);
    cr_assert(!late.in_flip); /* there was nothing left to fold in the flip */
    for (int i = 0; i < MODELS; i++)
        cr_assert_eq(from[i], live[i].generation);
    check_live();
    check_at(300);
}

Test(catch_up_late, comes_before_a_swap_of_several_names)
{
    rf_flip flips[MODELS];
    rf_err err = {0};

    make(230, 260, 200, 170);
    cr_assert_eq(rf_swap(store, names, MODELS, 0, 0, flips, &err), RF_OK, "%s", err.message);
    for (int i = 0; i < MODELS; i++) {
        cr_assert_eq(flips[i].from, live[i].generation);
        cr_assert_eq(flips[i].position, 260);
    }
    check_live();
    check_at(260);
}

Test(catch_up_late, leaves_alone_what_is_as_far_as_what_is_live)
{
    rf_catalog_change changes[MODELS];
    uint64_t from[MODELS];
    rf_err err = {0};

    make(200, 200, 220, 220);
    make_changes(changes);
    cr_assert_eq(rf_catch_up_flip(store->catalog, changes, MODELS, 0, from, &err), RF_OK, "%s",
                 err.message);
    cr_assert_null(late.catch_up);
    check_live();
    check_at(220);
}

Test(catch_up_late, says_that_it_is_due_where_nothing_may_be_moved)
{
    rf_catalog_change changes[MODELS];
    uint64_t from[MODELS];
    rf_err err = {0};

    make(250, 250, 200, 200);
    late.pool = NULL;
    make_changes(changes);
    cr_assert_eq(rf_catch_up_flip(store->catalog, changes, MODELS, 0, from, &err), RF_ERR_LOCKED);
    cr_assert(late.is_due);
    check_at(200);
}
