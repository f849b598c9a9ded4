/* store.h: creation, what is refused, and the whole way of import and events through the library.
 */
#include "base/file.h"
#include "refold/refold.h"
#include "store/store.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static char path[96];

static void make_dir(void)
{
    (void)snprintf(dir, sizeof dir, "/tmp/refold-store-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/shop.refold", dir);
}

static void remove_dir(void)
{
    cr_assert_eq(rf_dir_remove(dir, NULL), RF_OK);
}

TestSuite(store, .init = make_dir, .fini = remove_dir);

static rf_store *create(uint32_t partitions)
{
    rf_store_options options = {.create = true, .partitions = partitions};
    rf_store *store;
    rf_err err = {0};

    cr_assert_eq(rf_store_open(path, &options, &store, &err), RF_OK, "%s", err.message);
    return store;
}

static void write_file(const char *name, const char *text, char path_out[RF_PATH_SIZE])
{
    cr_assert_eq(rf_path_format(path_out, "%s/%s", NULL, dir, name), RF_OK);
    cr_assert_eq(rf_file_replace(path_out, rf_slice_of(text), NULL), RF_OK);
}

static void refuse(const rf_store_options *options, rf_status status, const char *words)
{
    rf_store *store = NULL;
    rf_err err = {0};

    cr_assert_eq(rf_store_open(path, options, &store, &err), status, "%s", err.message);
    cr_assert_null(store);
    cr_assert_not_null(strstr(err.message, words), "%s", err.message);
}

Test(store, is_created_with_64_partitions_and_opened_again)
{
    rf_store *store = create(0);
    struct stat info;

    cr_assert_eq(rf_store_partitions(store), 64);
    cr_assert_str_eq(rf_store_path(store), path);
    rf_store_close(store);
    cr_assert_eq(rf_store_open(path, NULL, &store, NULL), RF_OK);
    cr_assert_eq(rf_store_partitions(store), 64);
    rf_store_close(store);
    cr_assert_eq(stat(path, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0700);
    store = create(64);
    rf_store_close(store);
}

Test(store, takes_any_power_of_two_of_partitions_and_refuses_others)
{
    rf_store_options options = {.create = true, .partitions = 48};

    refuse(&options, RF_ERR_USAGE, "48 partitions");
    options.partitions = 2048;
    refuse(&options, RF_ERR_USAGE, "2048 partitions");
    rf_store *store = create(16);
    cr_assert_eq(rf_store_partitions(store), 16);
    rf_store_close(store);
    options.partitions = 32;
    refuse(&options, RF_ERR_INPUT, "has 16 partitions");
}

Test(store, that_is_not_there_is_absent)
{
    refuse(NULL, RF_ERR_ABSENT, "there is no store at");
    cr_assert_eq(mkdir(path, 0700), 0);
    refuse(NULL, RF_ERR_ABSENT, "there is no store at");
}

Test(store, refuses_a_file_and_a_directory_of_something_else)
{
    rf_store_options options = {.create = true};
    char file[RF_PATH_SIZE];

    write_file("shop.refold", "hello", file);
    refuse(&options, RF_ERR_INPUT, "is a file, not a store");
    cr_assert_eq(remove(file), 0);
    cr_assert_eq(mkdir(path, 0700), 0);
    write_file("shop.refold/log", "hello", file);
    refuse(&options, RF_ERR_INPUT, "is not a store and not empty");
    cr_assert_eq(remove(file), 0);
    write_file("shop.refold/letters.txt", "hello", file);
    refuse(&options, RF_ERR_INPUT, "letters.txt");
    cr_assert(rf_path_exists(file));
}

Test(store, of_a_newer_format_is_refused_and_left_as_it_is)
{
    char file[RF_PATH_SIZE];
    rf_buf text;

    rf_store_close(create(0));
    write_file("shop.refold/FORMAT", "refold 2\nwhatever\n", file);
    refuse(NULL, RF_ERR_FORMAT, "is of format 2");
    rf_buf_init(&text, 1 << 10);
    cr_assert_eq(rf_file_read(file, &text, NULL), RF_OK);
    cr_assert_eq(text.size, strlen("refold 2\nwhatever\n"));
    rf_buf_free(&text);
}

Test(store, with_a_damaged_format_is_refused)
{
    char file[RF_PATH_SIZE];

    rf_store_close(create(0));
    write_file("shop.refold/FORMAT", "refold 1\npartitions 64\nchecksum 0000000000000000\n", file);
    refuse(NULL, RF_ERR_DAMAGED, "FORMAT is damaged");
    write_file("shop.refold/FORMAT", "", file);
    refuse(NULL, RF_ERR_DAMAGED, "FORMAT is damaged");
}

Test(store, whose_creation_was_interrupted_is_completed_by_the_next_one)
{
    char file[RF_PATH_SIZE];

    rf_store_close(create(16));
    cr_assert_eq(rf_path_format(file, "%s/FORMAT", NULL, path), RF_OK);
    cr_assert_eq(remove(file), 0);
    refuse(NULL, RF_ERR_ABSENT, "was interrupted");
    rf_store *store = create(4);
    cr_assert_eq(rf_store_partitions(store), 4);
    rf_store_close(store);
}

Test(store, may_be_opened_twice_in_one_process)
{
    rf_store *first = create(4);
    rf_store *second;

    cr_assert_eq(rf_store_open(path, NULL, &second, NULL), RF_OK);
    rf_store_close(first);
    rf_info info;
    cr_assert_eq(rf_store_info(second, &info, NULL), RF_OK);
    cr_assert_eq(info.partitions, 4);
    rf_store_close(second);
}

Test(store, locks_are_held_by_one_at_a_time)
{
    rf_store *store = create(4);
    int first, second;
    rf_err err = {0};

    cr_assert_eq(rf_store_lock(store, 0, &first, NULL), RF_OK);
    cr_assert_eq(rf_store_lock(store, 0, &second, &err), RF_ERR_LOCKED);
    rf_lock_release(first);
    cr_assert_eq(rf_store_lock_import(store, 0, &first, NULL), RF_OK);
    cr_assert_eq(rf_store_lock_import(store, 0, &second, &err), RF_ERR_LOCKED);
    cr_assert_not_null(strstr(err.message, "another import is running"), "%s", err.message);
    rf_lock_release(first);
    rf_store_close(store);
}

/* One file after another through the library. */
static rf_status import_text(rf_store *store, const char *text, const rf_import_options *options,
                             rf_import_summary *summary_out, rf_err *err)
{
    char file[RF_PATH_SIZE];

    write_file("events.jsonl", text, file);
    const char *files[] = {file};
    return rf_import_files(store, files, 1, options, summary_out, err);
}

static const char three_events[] =
    "{\"stream\":\"order-1\",\"version\":1,\"type\":\"OrderPlaced\",\"position\":11,"
    "\"time\":\"2024-07-10T12:00:00Z\",\"data\":{\"total\": 1.50, \"a\":[1, 2]}}\n"
    "{\"stream\":\"order-2\",\"version\":1,\"type\":\"OrderPlaced\",\"schema\":2,\"data\":{},"
    "\"metadata\":{\"user\" : \"x\"}}\n"
    "{\"stream\":\"order-1\",\"version\":2,\"type\":\"ItemAdded\",\"position\":12,"
    "\"time\":\"2024-07-11T12:00:00Z\",\"data\":{\"qty\":2}}\n";

static void import_three(rf_store *store)
{
    rf_import_summary summary;
    rf_err err = {0};

    cr_assert_eq(import_text(store, three_events, NULL, &summary, &err), RF_OK, "%s", err.message);
    cr_assert_eq(summary.lines, 3);
    cr_assert_eq(summary.added, 3);
    cr_assert_eq(summary.streams, 2);
    cr_assert_eq(summary.position, 3);
}

Test(store, imports_a_file_and_ignores_it_the_second_time)
{
    rf_store *store = create(4);
    rf_import_summary summary;

    import_three(store);
    cr_assert_eq(import_text(store, three_events, NULL, &summary, NULL), RF_OK);
    cr_assert_eq(summary.duplicates, 3);
    cr_assert_eq(summary.added, 0);
    cr_assert_eq(summary.position, 3);
    rf_store_close(store);
}

Test(store, import_says_after_a_refusal_how_far_the_store_is)
{
    rf_store *store = create(4);
    rf_import_summary summary;
    rf_err err = {0};
    rf_import_options options = {.atomic = true};

    import_three(store);
    static const char bad[] = "{\"stream\":\"a\",\"version\":1,\"type\":\"T\",\"data\":{}}\n"
                              "{\"stream\":\"a\",\"version\":9,\"type\":\"T\",\"data\":{}}\n";
    cr_assert_eq(import_text(store, bad, NULL, &summary, &err), RF_ERR_INPUT);
    cr_assert_not_null(strstr(err.message, "events.jsonl:2"), "%s", err.message);
    cr_assert_not_null(strstr(err.message, "nothing was added, the store is at position 3"), "%s",
                       err.message);
    cr_assert_eq(summary.position, 3);
    cr_assert_eq(import_text(store, bad, &options, &summary, &err), RF_ERR_INPUT);
    cr_assert_not_null(strstr(err.message, "nothing was added, the store is at position 3"), "%s",
                       err.message);
    options.gaps_allow = true;
    cr_assert_eq(import_text(store, bad, &options, &summary, &err), RF_OK);
    cr_assert_eq(summary.position, 5);
    rf_store_close(store);
}

Test(store, import_is_refused_while_another_runs)
{
    rf_store *store = create(4);
    rf_err err = {0};
    int lock;

    cr_assert_eq(rf_store_lock_import(store, 0, &lock, NULL), RF_OK);
    cr_assert_eq(import_text(store, three_events, NULL, NULL, &err), RF_ERR_LOCKED);
    rf_lock_release(lock);
    rf_store_close(store);
}

Test(store, takes_back_only_what_this_open_has_made_and_nothing_is_in)
{
    rf_store *store = create(4);
    rf_store *again;
    int lock;
    rf_err err = {0};

    cr_assert_eq(rf_store_open(path, NULL, &again, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_store_unmake(again, &err), RF_ERR_REFUSED);
    cr_assert_eq(rf_store_lock(again, 0, &lock, NULL), RF_OK);
    cr_assert_eq(rf_store_unmake(store, &err), RF_ERR_LOCKED);
    rf_lock_release(lock);
    cr_assert_eq(import_text(store, three_events, NULL, NULL, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_store_unmake(store, &err), RF_ERR_REFUSED);
    cr_assert(rf_path_exists(path));
    rf_store_close(again);
    rf_store_close(store);
}

Test(store, who_has_one_open_that_was_taken_back_gets_no_lock)
{
    rf_store *store = create(4);
    rf_store *other;
    rf_store *new;
    int lock;
    rf_err err = {0};

    cr_assert_eq(rf_store_open(path, NULL, &other, &err), RF_OK, "%s", err.message);
    cr_assert_eq(rf_store_unmake(store, &err), RF_OK, "%s", err.message);
    cr_assert(!rf_path_exists(path));
    new = create(8);
    cr_assert_eq(rf_store_lock_import(other, 0, &lock, &err), RF_ERR_ABSENT);
    cr_assert_eq(rf_store_lock(other, 0, &lock, &err), RF_ERR_ABSENT);
    cr_assert_not_null(strstr(err.message, "was removed"), "%s", err.message);
    cr_assert_eq(rf_store_lock(new, 0, &lock, &err), RF_OK, "%s", err.message);
    rf_lock_release(lock);
    rf_store_close(other);
    rf_store_close(store);
    rf_store_close(new);
}

Test(store, import_ends_where_it_is_cancelled)
{
    rf_store *store = create(4);
    volatile int cancel = 1;
    rf_import_options options = {.run = {.cancel = &cancel}};
    rf_import_summary summary;
    rf_err err = {0};

    cr_assert_eq(import_text(store, three_events, &options, &summary, &err), RF_ERR_INTERRUPTED);
    cr_assert_not_null(strstr(err.message, "the store is at position 0"), "%s", err.message);
    rf_store_close(store);
}

static void expect_next(rf_events *events, uint64_t position)
{
    rf_stored_event event;
    rf_err err = {0};

    cr_assert_eq(rf_events_next(events, &event, &err), RF_OK, "%s", err.message);
    cr_assert_eq(event.position, position);
}

/* The positions that a query gives, as text. */
static void expect_events(rf_store *store, rf_event_query query, const char *positions)
{
    rf_events *events;
    rf_stored_event event;
    char text[256] = "";
    rf_err err = {0};
    rf_status status;

    cr_assert_eq(rf_events_open(store, &query, &events, &err), RF_OK, "%s", err.message);
    while ((status = rf_events_next(events, &event, &err)) == RF_OK)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), "%d ", (int)event.position);
    cr_assert_eq(status, RF_ERR_NO_ROW, "%s", err.message);
    cr_assert_str_eq(text, positions);
    rf_events_close(events);
}

Test(store, gives_events_back_byte_for_byte)
{
    rf_store *store = create(4);
    rf_events *events;
    rf_stored_event event;

    import_three(store);
    cr_assert_eq(rf_events_open(store, NULL, &events, NULL), RF_OK);
    cr_assert_eq(rf_events_next(events, &event, NULL), RF_OK);
    cr_assert_eq(event.position, 1);
    cr_assert_eq(event.source_position, 11);
    cr_assert(rf_slice_equal(event.source, RF_SLICE("main")));
    cr_assert(rf_slice_equal(event.stream, RF_SLICE("order-1")));
    cr_assert(rf_slice_equal(event.type, RF_SLICE("OrderPlaced")));
    cr_assert(rf_slice_equal(event.data, RF_SLICE("{\"total\": 1.50, \"a\":[1, 2]}")));
    cr_assert_null(event.metadata.data);
    cr_assert_eq(event.version, 1);
    cr_assert_eq(event.schema, 1);
    cr_assert_eq(event.time, 1720612800000000);
    cr_assert_eq(rf_events_next(events, &event, NULL), RF_OK);
    cr_assert(rf_slice_equal(event.stream, RF_SLICE("order-2")));
    cr_assert(rf_slice_equal(event.metadata, RF_SLICE("{\"user\" : \"x\"}")));
    cr_assert_eq(event.schema, 2);
    cr_assert_eq(event.time, RF_TIME_NONE);
    expect_next(events, 3);
    cr_assert_eq(rf_events_next(events, &event, NULL), RF_ERR_NO_ROW);
    rf_events_close(events);
    rf_store_close(store);
}

Test(store, gives_the_events_that_a_query_asks_for)
{
    rf_store *store = create(16);
    char text[8192];
    size_t size = 0;

    for (int i = 0; i < 12; i++)
        size += (size_t)snprintf(text + size, sizeof text - size,
                                 "{\"stream\":\"s-%d\",\"type\":\"%s\",\"time\":%d,\"data\":{}}\n",
                                 i % 5, i % 2 ? "Odd" : "Even", i * 1000);
    cr_assert_eq(import_text(store, text, NULL, NULL, NULL), RF_OK);
    expect_events(store, (rf_event_query){0}, "1 2 3 4 5 6 7 8 9 10 11 12 ");
    expect_events(store, (rf_event_query){.stream = RF_SLICE("s-1")}, "2 7 12 ");
    expect_events(store, (rf_event_query){.stream = RF_SLICE("s-9")}, "");
    expect_events(store, (rf_event_query){.type = RF_SLICE("Odd")}, "2 4 6 8 10 12 ");
    expect_events(store, (rf_event_query){.type = RF_SLICE("None")}, "");
    expect_events(store, (rf_event_query){.from = 4, .until = 6}, "4 5 6 ");
    expect_events(store, (rf_event_query){.from = 11}, "11 12 ");
    expect_events(store, (rf_event_query){.from = 13}, "");
    expect_events(store, (rf_event_query){.limit = 3}, "1 2 3 ");
    expect_events(store,
                  (rf_event_query){.time_from = 2000000,
                                   .has_time_from = true,
                                   .time_until = 4000000,
                                   .has_time_until = true},
                  "3 4 5 ");
    expect_events(store,
                  (rf_event_query){.stream = RF_SLICE("s-1"), .type = RF_SLICE("Even"), .limit = 1},
                  "7 ");
    rf_store_close(store);
}

Test(store, tells_types_and_sources)
{
    rf_store *store = create(4);
    rf_types *types;
    uint32_t count;
    rf_err err = {0};

    import_three(store);
    cr_assert_eq(rf_store_types(store, &types, &err), RF_OK, "%s", err.message);
    const rf_type_info *list = rf_types_list(types, &count);
    cr_assert_eq(count, 3);
    cr_assert_str_eq(list[0].type, "ItemAdded");
    cr_assert_eq(list[0].events, 1);
    cr_assert_eq(list[0].first_position, 3);
    cr_assert_str_eq(list[0].fields[0].path, "qty");
    cr_assert_eq(list[0].fields[0].ints, 1);
    cr_assert_str_eq(list[2].type, "OrderPlaced");
    cr_assert_eq(list[2].schema, 2);
    const rf_source_info *sources = rf_types_sources(types, &count);
    cr_assert_eq(count, 1);
    cr_assert_str_eq(sources[0].name, "main");
    cr_assert_eq(sources[0].mark, 12);
    cr_assert_eq(sources[0].events, 3);
    rf_types_free(types);
    rf_info info;
    cr_assert_eq(rf_store_info(store, &info, NULL), RF_OK);
    cr_assert_eq(info.events, 3);
    cr_assert_eq(info.streams, 2);
    cr_assert_eq(info.source_count, 1);
    rf_store_close(store);
}

Test(store, imports_several_files_and_refuses_all_of_them_where_atomic)
{
    rf_store *store = create(4);
    char first[RF_PATH_SIZE], second[RF_PATH_SIZE];
    rf_import_options options = {.atomic = true, .run = {.workers = 2}};
    rf_import_summary summary;
    rf_err err = {0};

    write_file("a.jsonl", "{\"stream\":\"a\",\"type\":\"T\",\"data\":{}}", first);
    write_file("b.jsonl", "{\"stream\":\"a\",\"type\":\"T\",\"data\":nonsense}\n", second);
    const char *files[] = {first, second};
    cr_assert_eq(rf_import_files(store, files, 2, &options, &summary, &err), RF_ERR_INPUT);
    cr_assert_not_null(strstr(err.message, "b.jsonl:1"), "%s", err.message);
    cr_assert_eq(summary.position, 0);
    write_file("b.jsonl", "\n{\"stream\":\"a\",\"type\":\"T\",\"data\":{}}\n", second);
    cr_assert_eq(rf_import_files(store, files, 2, &options, &summary, &err), RF_OK, "%s",
                 err.message);
    cr_assert_eq(summary.added, 2);
    rf_store_close(store);
}
