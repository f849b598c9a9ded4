/* Colours and pins in the catalog: what a flip leaves, what names it, and what gc leaves alone. */
#include "base/file.h"
#include "catalog/named.h"
#include "generations_fixture.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static rf_catalog *catalog;

static void open_catalog(bool create)
{
    rf_err err = {0};
    cr_assert_eq(rf_catalog_open(dir, create, &catalog, &err), RF_OK, "%s", err.message);
}

static void make_store(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/refold-colours-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    open_catalog(true);
}

static void remove_store(void)
{
    rf_catalog_close(catalog);
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(colours, .init = make_store, .fini = remove_store);

static void reopen(void)
{
    rf_catalog_close(catalog);
    catalog = NULL;
    open_catalog(false);
}

/* Generations are numbered from 1; each has its version for content. */
static uint64_t add(uint32_t version)
{
    return fixture_version(catalog, "orders", version, version, 4, 10, 100);
}

static rf_status try_flip(uint64_t to, bool is_rollback, rf_err *err)
{
    rf_catalog_change change = {.name = "orders",
                                .to = to,
                                .expected = RF_CATALOG_ANY,
                                .is_rollback = is_rollback,
                                .lifts_hold = !is_rollback};
    uint64_t from;

    return rf_catalog_flip(catalog, &change, 1, 0, &from, err);
}

static void flip(uint64_t to)
{
    rf_err err = {0};
    cr_assert_eq(try_flip(to, false, &err), RF_OK, "%s", err.message);
}

static rf_catalog_model model_now(void)
{
    rf_catalog_model model;
    bool found;

    cr_assert_eq(rf_catalog_get_model(catalog, "orders", &model, &found, NULL), RF_OK);
    cr_assert(found);
    return model;
}

/* "1:2 4:7": version and generation of each colour. */
static const char *colours(void)
{
    static char text[RF_CATALOG_COLOURS_MAX * 16];
    rf_catalog_model model = model_now();
    size_t size = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < model.colour_count; i++)
        size += (size_t)snprintf(text + size, sizeof text - size, "%s%u:%d", i ? " " : "",
                                 model.colours[i].version, (int)model.colours[i].number);
    return text;
}

static rf_status find(const char *text, uint64_t *number_out, rf_err *err)
{
    rf_catalog_generation generation;
    rf_named named;

    rf_status status = rf_named_parse(text, &named, err);
    if (status == RF_OK)
        status = rf_named_find(catalog, &named, &generation, err);
    if (status == RF_OK)
        *number_out = generation.number;
    return status;
}

static rf_status retire(const char *text, rf_err *err)
{
    rf_catalog_colour colour;
    rf_named named;

    rf_status status = rf_named_parse(text, &named, err);
    return status == RF_OK ? rf_catalog_retire(catalog, &named, &colour, err) : status;
}

static rf_gc_result collect(uint32_t keep)
{
    rf_gc_result result = {0};
    rf_err err = {0};

    cr_assert_eq(rf_catalog_gc(catalog, "orders", keep, false, 0, &result, &err), RF_OK, "%s",
                 err.message);
    return result;
}

static bool is_there(uint64_t number)
{
    rf_catalog_generation generation;
    bool found;

    cr_assert_eq(rf_catalog_get_generation(catalog, "orders", number, &generation, &found, NULL),
                 RF_OK);
    return found;
}

Test(colours, a_flip_to_another_version_leaves_one)
{
    for (uint32_t version = 3; version <= 5; version++)
        (void)add(version);
    flip(1);
    cr_assert_str_eq(colours(), "", "nothing was live before");
    flip(2);
    cr_assert_str_eq(colours(), "3:1");
    flip(3);
    reopen();
    cr_assert_str_eq(colours(), "3:1 4:2");
    cr_assert_eq(model_now().live, 3);
}

Test(colours, a_flip_within_a_version_leaves_none)
{
    (void)add(3);
    (void)add(3);
    flip(1);
    flip(2);
    cr_assert_str_eq(colours(), "");
    (void)add(4);
    flip(3);
    cr_assert_str_eq(colours(), "3:2", "the newest live one of the version");
}

Test(colours, a_rollback_changes_places)
{
    (void)add(3);
    (void)add(4);
    flip(1);
    flip(2);
    cr_assert_eq(try_flip(1, true, NULL), RF_OK);
    cr_assert_str_eq(colours(), "4:2");
    cr_assert_eq(model_now().held_count, 1, "and it is held as before");
    flip(2);
    cr_assert_str_eq(colours(), "3:1");
}

Test(colours, another_generation_of_a_version_takes_its_place_only_when_it_is_live)
{
    (void)add(3);
    (void)add(4);
    flip(1);
    flip(2);
    (void)add(3);
    cr_assert_str_eq(colours(), "3:1", "built, and nothing else");
    flip(3);
    cr_assert_str_eq(colours(), "4:2", "version 3 is live");
    flip(2);
    cr_assert_str_eq(colours(), "3:3");
}

Test(colours, a_version_names_the_live_one_or_the_colour)
{
    uint64_t number = 0;
    rf_err err = {0};

    cr_assert_eq(find("orders", &number, &err), RF_ERR_ABSENT);
    (void)add(3);
    cr_assert_eq(find("orders@3", &number, &err), RF_ERR_ABSENT, "sealed, and never live");
    (void)add(4);
    flip(1);
    flip(2);
    cr_assert_eq(find("orders", &number, &err), RF_OK);
    cr_assert_eq(number, 2);
    cr_assert_eq(find("orders@4", &number, &err), RF_OK);
    cr_assert_eq(number, 2);
    cr_assert_eq(find("orders@3", &number, &err), RF_OK);
    cr_assert_eq(number, 1);
    cr_assert_eq(find("orders@2", &number, &err), RF_ERR_ABSENT);
    cr_assert_not_null(strstr(err.message, "@4 (live), @3"), "%s", err.message);
    cr_assert_eq(number, 1);
}

Test(colours, what_is_no_version_is_refused)
{
    static const char *const bad[] = {"orders@", "orders@0", "orders@03", "orders@x", "orders@3x",
                                      "orders@-1", "orders@4294967296", "orders@3@4", "orders@ 3"};
    rf_named named = {.version = 77};
    char text[RF_NAMED_TEXT_SIZE];
    rf_err err;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_assert_eq(rf_named_parse(bad[i], &named, &err), RF_ERR_USAGE, "%s", bad[i]);
    cr_assert_eq(rf_named_parse("Orders@3", &named, &err), RF_ERR_ABSENT);
    cr_assert_eq(rf_named_parse("@3", &named, &err), RF_ERR_ABSENT);
    cr_assert_eq(rf_named_parse("../x@3", &named, &err), RF_ERR_ABSENT);
    cr_assert_eq(named.version, 77, "outputs change on success only");
    cr_assert_eq(rf_named_parse("orders@4294967295", &named, &err), RF_OK);
    cr_assert_eq(named.version, UINT32_MAX);
    rf_named_format(&named, text);
    cr_assert_str_eq(text, "orders@4294967295");
}

Test(colours, gc_leaves_them_alone_and_does_not_count_them)
{
    for (uint32_t i = 0; i < 4; i++)
        (void)add(3);
    for (uint64_t number = 1; number <= 4; number++)
        flip(number);
    (void)add(4);
    flip(5);
    (void)collect(2);
    cr_assert(is_there(5) && is_there(4), "live, and the colour");
    cr_assert(is_there(3), "the second that counts");
    cr_assert_not(is_there(2));
    (void)collect(1);
    cr_assert_not(is_there(3));
    cr_assert(is_there(4));
    rf_err err = {0};
    cr_assert_eq(retire("orders@3", &err), RF_OK, "%s", err.message);
    cr_assert_str_eq(colours(), "");
    (void)collect(1);
    cr_assert_not(is_there(4));
    cr_assert(is_there(5));
}

Test(colours, only_what_is_kept_and_not_live_is_retired)
{
    rf_err err;

    (void)add(3);
    (void)add(4);
    cr_assert_eq(retire("orders@3", &err), RF_ERR_ABSENT);
    flip(1);
    flip(2);
    cr_assert_eq(retire("orders@4", &err), RF_ERR_REFUSED);
    cr_assert_not_null(strstr(err.message, "live"), "%s", err.message);
    cr_assert_eq(retire("orders@5", &err), RF_ERR_ABSENT);
    cr_assert_eq(retire("orders@3", &err), RF_OK);
    cr_assert_eq(retire("orders@3", &err), RF_ERR_ABSENT, "once");
    cr_assert_eq(try_flip(1, true, &err), RF_OK, "what is still there can be gone back to");
    cr_assert_str_eq(colours(), "4:2");
}

Test(colours, a_reader_of_a_version_holds_what_was_retired)
{
    const rf_named named = {"orders", 3};
    rf_pinned pinned;
    rf_err err = {0};

    (void)add(3);
    (void)add(4);
    flip(1);
    flip(2);
    cr_assert_eq(rf_catalog_pin_named(catalog, &named, &pinned, &err), RF_OK, "%s", err.message);
    cr_assert_eq(pinned.manifest.number, 1);
    cr_assert_eq(retire("orders@3", &err), RF_OK);
    cr_assert_eq(collect(1).in_use, 1);
    cr_assert(is_there(1));
    rf_catalog_unpin(&pinned);
    cr_assert_eq(collect(1).removed, 1);
    cr_assert_eq(rf_catalog_pin_named(catalog, &named, &pinned, &err), RF_ERR_ABSENT);
}

static void set_pinned(uint64_t number, bool pinned, bool changes)
{
    bool changed;
    rf_err err = {0};

    cr_assert_eq(rf_catalog_set_pinned(catalog, "orders", number, pinned, &changed, &err), RF_OK,
                 "%s", err.message);
    cr_assert_eq(changed, changes);
}

Test(colours, gc_leaves_what_is_pinned_and_does_not_count_it)
{
    rf_err err;
    bool changed;

    for (uint64_t number = 1; number <= 5; number++) {
        (void)add(3);
        flip(number);
    }
    set_pinned(1, true, true);
    set_pinned(1, true, false);
    set_pinned(4, true, true);
    reopen();
    (void)collect(2);
    cr_assert(is_there(1) && is_there(4) && is_there(5));
    cr_assert(is_there(3), "what is pinned does not count");
    cr_assert_not(is_there(2));
    set_pinned(1, false, true);
    (void)collect(1);
    cr_assert_not(is_there(1));
    cr_assert(is_there(4));
    cr_assert_eq(rf_catalog_set_pinned(catalog, "orders", 9, true, &changed, &err), RF_ERR_ABSENT);
    cr_assert_eq(rf_catalog_set_pinned(catalog, "others", 1, true, &changed, &err), RF_ERR_ABSENT);
}

Test(colours, there_are_at_most_so_many_and_a_rollback_has_room)
{
    uint64_t last = RF_CATALOG_COLOURS_SWAP + 1;
    rf_err err;

    for (uint32_t version = 1; version <= last + 1; version++)
        (void)add(version);
    for (uint64_t number = 1; number <= last; number++)
        flip(number);
    cr_assert_eq(model_now().colour_count, RF_CATALOG_COLOURS_SWAP);
    cr_assert_eq(try_flip(last + 1, false, &err), RF_ERR_REFUSED);
    cr_assert_not_null(strstr(err.message, "orders@1 ends the oldest"), "%s", err.message);
    cr_assert_eq(model_now().live, last, "nothing was changed");
    cr_assert_eq(retire("orders@1", &err), RF_OK);
    flip(last + 1);
    cr_assert_eq(try_flip(1, true, &err), RF_OK, "%s", err.message);
    cr_assert_eq(model_now().colour_count, RF_CATALOG_COLOURS_SWAP + 1);
}

static rf_status suspend(uint64_t number)
{
    const rf_catalog_suspension suspension = {number, 7, "no"};

    return rf_catalog_suspend(catalog, "orders", &suspension, NULL);
}

static bool is_suspended(uint64_t number)
{
    rf_catalog_suspension suspension;
    bool found;

    cr_assert_eq(
        rf_catalog_get_suspension(catalog, "orders", number, &suspension, &found, NULL), RF_OK);
    return found && suspension.generation == number && suspension.position == 7;
}

Test(colours, each_generation_is_suspended_by_itself)
{
    (void)add(3);
    (void)add(4);
    flip(1);
    flip(2);
    cr_assert_eq(suspend(1), RF_OK);
    cr_assert(is_suspended(1));
    cr_assert_not(is_suspended(2), "the live one goes on");
    cr_assert_eq(suspend(2), RF_OK);
    cr_assert_eq(rf_catalog_resume(catalog, "orders", 1, NULL), RF_OK);
    cr_assert_not(is_suspended(1));
    cr_assert(is_suspended(2));
    cr_assert_eq(suspend(1), RF_OK);
    cr_assert_eq(rf_catalog_resume(catalog, "orders", 0, NULL), RF_OK);
    cr_assert_not(is_suspended(1) || is_suspended(2));
    cr_assert_eq(suspend(1), RF_OK);
    cr_assert_eq(retire("orders@3", NULL), RF_OK);
    cr_assert_not(is_suspended(1), "what is retired is tried again if it comes back");
}

Test(colours, a_colour_is_moved_on_by_who_follows_and_a_retired_one_is_not)
{
    rf_catalog_move move = {.name = "orders",
                            .number = 1,
                            .if_followed = true,
                            .from = {.position = 100},
                            .to = {.position = 101, .time_last = RF_TIME_NONE}};

    (void)add(3);
    (void)add(4);
    flip(1);
    flip(2);
    cr_assert_eq(rf_catalog_move_on(catalog, &move, 1, NULL), RF_OK);
    cr_assert_eq(retire("orders@3", NULL), RF_OK);
    move.from = move.to;
    move.to.position = 102;
    cr_assert_eq(rf_catalog_move_on(catalog, &move, 1, NULL), RF_ERR_LOCKED);
}
