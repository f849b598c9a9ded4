/* A program that adds events in its request loop: append STORE PLUGIN LUA. See ../library_append.sh. */
#include <refold/refold.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static rf_err err;

static void must(rf_status status)
{
    if (status != RF_OK) {
        (void)fprintf(stderr, "append: %s\n", err.message);
        exit(rf_status_exit_code(status));
    }
}

static rf_slice text(const char *bytes)
{
    return (rf_slice){bytes, strlen(bytes)};
}

static rf_new_event note(const char *stream, const char *data, int64_t version)
{
    return (rf_new_event){.stream = text(stream),
                          .type = text("Noted"),
                          .data = text(data),
                          .version = version,
                          .has_version = version > 0,
                          .time = 1720612800000000,
                          .has_time = true};
}

/* What was just acknowledged is read at once. */
static void print_row(rf_reader *reader, const char *key)
{
    rf_row row;

    must(rf_reader_refresh(reader, NULL, &err));
    must(rf_reader_get(reader, text(key), &row, &err));
    printf("%s: %lld events at position %llu\n", key, (long long)row.values[0].integer,
           (unsigned long long)rf_reader_get_info(reader)->position);
}

static void print_appended(const rf_appended *appended)
{
    printf("added %llu, stored already %llu, position %llu\n",
           (unsigned long long)appended->added, (unsigned long long)appended->duplicates,
           (unsigned long long)appended->position);
}

static void print_refusal(rf_status status, const rf_appended *appended)
{
    printf("refused with exit code %d: %s\n", rf_status_exit_code(status), err.message);
    print_appended(appended);
}

static void rebuild(rf_store *store, const char *projection)
{
    rf_rebuild_report *report = NULL;

    must(rf_rebuild(store, &projection, 1, NULL, &report, &err));
    rf_rebuild_report_free(report);
}

/* Another read model that cannot take an event, and a swap between two calls. */
static void other_read_models(rf_store *store, const char *plugin, const char *lua, rf_reader *reader)
{
    static const char *const names[] = {"case_summary"};
    const rf_appending one = {.names = names, .name_count = 1, .merges_left = true};
    rf_appended appended;

    rebuild(store, lua);
    rf_new_event event = note("case-1", "{\"n\":7}", 4);
    must(rf_append_events(store, &event, 1, NULL, &appended, &err));
    event = note("case-1", "{\"n\":700}", 5);
    print_refusal(rf_append_events(store, &event, 1, NULL, &appended, &err), &appended);
    print_row(reader, "case-1");
    must(rf_append_events(store, &event, 1, &one, &appended, &err));
    print_appended(&appended);

    rebuild(store, plugin);
    event = note("case-1", "{\"n\":8}", 6);
    print_refusal(rf_append_events(store, &event, 1, NULL, &appended, &err), &appended);
    print_row(reader, "case-1");

    /* What was wrong is put right: here, the event is put aside. */
    must(rf_skip(store, "small", 9, "a typo", NULL, &err));
    must(rf_resume(store, "small", &err));
    event = note("case-1", "{\"n\":9}", 7);
    must(rf_append_events(store, &event, 1, NULL, &appended, &err));
    print_appended(&appended);
    must(rf_wait(store, NULL, 0, appended.position, 0, NULL, &err));
}

/* Each of 1,100 streams has a row that is new: more than a tenth of them. */
static void large_delta(rf_store *store, rf_reader *reader)
{
    enum { COUNT = 1100 };
    const rf_appending left = {.merges_left = true};
    static rf_new_event events[COUNT];
    static char streams[COUNT][16];
    rf_appended appended;

    must(rf_reader_refresh(reader, NULL, &err));
    uint64_t generation = rf_reader_get_info(reader)->generation;
    for (int i = 0; i < COUNT; i++) {
        (void)snprintf(streams[i], sizeof streams[i], "bulk-%d", i);
        events[i] = note(streams[i], "{}", 1);
    }
    must(rf_append_events(store, events, COUNT, &left, &appended, &err));
    must(rf_reader_refresh(reader, NULL, &err));
    printf("merged: %d\n", rf_reader_get_info(reader)->generation != generation);
    must(rf_append_events(store, events, 1, NULL, &appended, &err));
    must(rf_reader_refresh(reader, NULL, &err));
    printf("merged: %d\n", rf_reader_get_info(reader)->generation != generation);
    print_row(reader, "bulk-7");
}

/* Somebody follows, and has stopped to. */
static void left_to_another(rf_store *store, const char *path)
{
    const rf_appending limited = {.run = {.wait_lock_ms = 200}};
    rf_new_event event = note("case-1", "{\"n\":1}", 8);
    rf_appended appended;
    char lock[1024];

    (void)snprintf(lock, sizeof lock, "%s/generations/case_summary/FOLLOW", path);
    int fd = open(lock, O_RDWR);
    if (fd < 0 || flock(fd, LOCK_EX) != 0)
        exit(1);
    print_refusal(rf_append_events(store, &event, 1, &limited, &appended, &err), &appended);
    (void)close(fd);
    must(rf_append_events(store, &event, 1, &limited, &appended, &err));
    print_appended(&appended);
}

int main(int argc, char **argv)
{
    const rf_store_options create = {.create = true};
    rf_rebuild_report *report = NULL;
    rf_appended appended;
    rf_reader *reader;
    rf_store *store;

    if (argc != 4)
        return 2;
    const char *plugin = argv[2];
    must(rf_store_open(argv[1], &create, &store, &err));
    rf_new_event events[] = {note("case-1", "{\"n\":1}", 1),
                             note("case-2", "{\n  \"n\": 2\r\n}", 1),
                             note("case-1", "{\"n\":3}", 2)};
    must(rf_append_events(store, events, 2, NULL, &appended, &err));
    print_appended(&appended);
    must(rf_rebuild(store, &plugin, 1, NULL, &report, &err));
    rf_rebuild_report_free(report);
    must(rf_reader_open(store, "case_summary", 0, &reader, &err));
    print_row(reader, "case-1");

    must(rf_append_events(store, events + 2, 1, NULL, &appended, &err));
    print_appended(&appended);
    print_row(reader, "case-1");
    /* The answer was lost, say: once more. */
    must(rf_append_events(store, events, 3, NULL, &appended, &err));
    print_appended(&appended);
    print_row(reader, "case-1");
    must(rf_append_lines(store,
                         text("{\"stream\":\"case-2\",\"type\":\"Noted\",\"data\":{}}\n"
                              "{\"stream\":\"case-2\",\"type\":\"Noted\",\"data\":{}}"),
                         NULL, &appended, &err));
    print_appended(&appended);
    print_row(reader, "case-2");

    /* The log alone: read models are behind until the next call, or a follower, brings them on. */
    const rf_appending log_only = {.log_only = true};
    events[0] = note("case-1", "{\"n\":4}", 3);
    must(rf_append_events(store, events, 1, &log_only, &appended, &err));
    print_row(reader, "case-1");

    /* All or none. */
    events[0] = note("case-3", "{\"n\":5}", 1);
    events[1] = note("case-1", "{\"n\":6}", 9);
    print_refusal(rf_append_events(store, events, 2, NULL, &appended, &err), &appended);
    events[1] = note("case-1", "{},\"stream\":\"case-9\"", 4);
    print_refusal(rf_append_events(store, events, 2, NULL, &appended, &err), &appended);
    events[1] = (rf_new_event){.stream = text("case-1"), .type = text("Noted")};
    print_refusal(rf_append_events(store, events, 2, NULL, &appended, &err), &appended);
    must(rf_append_events(store, events, 1, NULL, &appended, &err));
    print_appended(&appended);
    print_row(reader, "case-1");
    other_read_models(store, argv[2], argv[3], reader);
    large_delta(store, reader);
    left_to_another(store, argv[1]);
    rf_reader_close(reader);
    rf_store_close(store);
    return 0;
}
