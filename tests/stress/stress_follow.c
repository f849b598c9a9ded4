/* Imports, programs that append in their request loops, following, rebuilds, gc and readers, all at once. The read model
 * counts the events of each stream, so the sum over one scan is the scan's position: an event that is lost, doubled or seen
 * too early shows in any scan. Who appended reads its event at once, two of three by a store handle that they share. A program of its own, because Criterion and ThreadSanitizer do not go together.
 *
 *     stress_follow PROJECTION [REBUILDS [READERS]]      12 and 3 without; PROJECTION is case_summary.so or .lua
 */
#include "base/clock.h"
#include "base/file.h"
#include "refold/refold.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                   \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { STREAMS = 200, BATCH = 50, PARTITIONS = 8, READERS_MAX = 64, COLUMN_EVENTS = 0, APPENDERS = 3 };

typedef struct race_state {
    /* fixed after start */
    rf_store *store;
    char dir[64];
    char path[80];
    /* atomic */
    atomic_bool is_over;
    atomic_ulong scans, moves, imported, appended, removed;
    atomic_int cancel_seen;
} race_state;

static void import_batch(race_state *race, unsigned *seed)
{
    char path[96];
    const char *paths[] = {path};
    const rf_import_options options = {.time_unit = RF_TIME_UNIT_MS, .run = {.wait_lock_ms = -1}};
    rf_import_summary summary;
    rf_err err = {0};

    (void)snprintf(path, sizeof path, "%s/events.jsonl", race->dir);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    for (int i = 0; i < BATCH; i++)
        (void)fprintf(file, "{\"stream\":\"s-%d\",\"type\":\"Happened\",\"time\":1,\"data\":{}}\n",
                      rand_r(seed) % STREAMS);
    CHECK(fclose(file) == 0);
    if (rf_import_files(race->store, paths, 1, &options, &summary, &err) != RF_OK) {
        (void)fprintf(stderr, "import: %s\n", err.message);
        abort();
    }
    atomic_fetch_add(&race->imported, BATCH);
}

static void *write_events(void *arg)
{
    race_state *race = arg;
    unsigned seed = 1;

    while (!atomic_load(&race->is_over)) {
        import_batch(race, &seed);
        (void)usleep(1000);
    }
    return NULL;
}

static void *follow(void *arg)
{
    race_state *race = arg;
    const rf_follow_options options = {.once = true, .share = true, .run = {.workers = 2}};
    rf_err err = {0};

    while (!atomic_load(&race->is_over)) {
        if (rf_follow(race->store, &options, &err) != RF_OK) {
            (void)fprintf(stderr, "follow: %s\n", err.message);
            abort();
        }
    }
    return NULL;
}

/* A stream of its own: its row has as many events as were acknowledged, whoever moved it on. */
static void append_one(rf_store *store, const char *stream, int64_t version, uint32_t workers,
                       rf_reader *reader)
{
    const rf_appending appending = {.run = {.workers = workers, .wait_lock_ms = -1}};
    const rf_new_event event = {.stream = {stream, strlen(stream)}, .type = {"Happened", 8},
                                .data = {"{}", 2}, .version = version, .has_version = true,
                                .time = 1, .has_time = true};
    rf_appended appended;
    rf_err err = {0};
    rf_row row;

    if (rf_append_events(store, &event, 1, &appending, &appended, &err) != RF_OK) {
        (void)fprintf(stderr, "append: %s\n", err.message);
        abort();
    }
    CHECK(appended.added == 1);
    CHECK(rf_reader_refresh(reader, NULL, NULL) == RF_OK);
    CHECK(rf_reader_get_info(reader)->position >= appended.position);
    CHECK(rf_reader_get(reader, event.stream, &row, NULL) == RF_OK);
    CHECK(row.values[COLUMN_EVENTS].integer == version);
}

typedef struct appender {
    race_state *race;
    uint32_t index;
} appender;

static void *append_events(void *arg)
{
    const appender *of = arg;
    race_state *race = of->race;
    rf_store *store = race->store, *own = NULL;
    rf_reader *reader;
    char stream[16];

    (void)snprintf(stream, sizeof stream, "own-%u", of->index);
    if (of->index == 0) {
        CHECK(rf_store_open(race->path, NULL, &own, NULL) == RF_OK);
        store = own;
    }
    CHECK(rf_reader_open(store, "case_summary", 0, &reader, NULL) == RF_OK);
    for (int64_t version = 1; !atomic_load(&race->is_over); version++) {
        append_one(store, stream, version, of->index, reader);
        atomic_fetch_add(&race->imported, 1);
        atomic_fetch_add(&race->appended, 1);
    }
    rf_reader_close(reader);
    rf_store_close(own);
    return NULL;
}

static void read_scan(race_state *race, rf_reader *reader)
{
    rf_cursor *cursor;
    rf_row row;
    rf_err err = {0};
    uint64_t sum = 0;

    CHECK(rf_cursor_open(reader, NULL, &cursor, NULL) == RF_OK);
    uint64_t position = rf_reader_get_info(reader)->position;
    while (rf_cursor_next(cursor, &row, &err) == RF_OK)
        sum += (uint64_t)row.values[COLUMN_EVENTS].integer;
    CHECK(err.status == RF_ERR_NO_ROW);
    if (sum != position) {
        (void)fprintf(stderr, "%llu events in a scan at position %llu of generation %llu\n",
                      (unsigned long long)sum, (unsigned long long)position,
                      (unsigned long long)rf_reader_get_info(reader)->generation);
        abort();
    }
    rf_cursor_close(cursor);
    atomic_fetch_add(&race->scans, 1);
}

static void *read_rows(void *arg)
{
    race_state *race = arg;
    uint64_t last = 0;

    while (!atomic_load(&race->is_over)) {
        rf_reader *reader;
        CHECK(rf_reader_open(race->store, "case_summary", 0, &reader, NULL) == RF_OK);
        for (int i = 0; i < 20 && !atomic_load(&race->is_over); i++) {
            bool changed;
            read_scan(race, reader);
            CHECK(rf_reader_refresh(reader, &changed, NULL) == RF_OK);
            /* what is live never goes back: a swap has every event that was seen before */
            CHECK(rf_reader_get_info(reader)->position >= last);
            last = rf_reader_get_info(reader)->position;
            atomic_fetch_add(&race->moves, changed ? 1 : 0);
        }
        rf_reader_close(reader);
    }
    return NULL;
}

static void rebuild(race_state *race, const char *plugin)
{
    const rf_rebuild_options options = {.run = {.workers = 2, .wait_lock_ms = -1}};
    rf_rebuild_report *report = NULL;
    rf_err err = {0};

    if (rf_rebuild(race->store, &plugin, 1, &options, &report, &err) != RF_OK) {
        (void)fprintf(stderr, "rebuild: %s\n", err.message);
        abort();
    }
    CHECK(report->projections[0].live);
    rf_rebuild_report_free(report);
}

static void collect(race_state *race, uint32_t *in_use_out)
{
    rf_gc_result result;
    rf_err err = {0};

    if (rf_gc(race->store, NULL, 1, -1, &result, &err) != RF_OK) {
        (void)fprintf(stderr, "gc: %s\n", err.message);
        abort();
    }
    atomic_fetch_add(&race->removed, result.removed);
    *in_use_out = result.in_use;
}

static void check_end(race_state *race)
{
    const rf_follow_options once = {.once = true, .run = {.workers = 2}};
    const rf_verify_options serial = {.serial = true};
    rf_verify_result result;
    rf_reader *reader;
    rf_err err = {0};
    uint32_t in_use;

    CHECK(rf_follow(race->store, &once, &err) == RF_OK);
    /* Who appended holds nothing between its calls, while it has the store open. */
    collect(race, &in_use);
    CHECK(in_use == 0);
    CHECK(rf_reader_open(race->store, "case_summary", 0, &reader, NULL) == RF_OK);
    CHECK(rf_reader_get_info(reader)->position == atomic_load(&race->imported));
    read_scan(race, reader);
    rf_reader_close(reader);
    if (rf_verify(race->store, &serial, &result, &err) != RF_OK) {
        (void)fprintf(stderr, "verify: %s\n", err.message);
        abort();
    }
}

int main(int argc, char **argv)
{
    int rebuilds = argc > 2 ? atoi(argv[2]) : 12;
    int readers = argc > 3 ? atoi(argv[3]) : 3;
    rf_store_options options = {.create = true, .partitions = PARTITIONS};
    pthread_t threads[READERS_MAX], writer, follower, appending[APPENDERS];
    appender appenders[APPENDERS];
    race_state race = {.dir = "/tmp/refold-stress-XXXXXX"};
    unsigned seed = 2;
    rf_err err = {0};
    double slowest = 0;
    uint32_t in_use;

    CHECK(argc > 1 && readers > 0 && readers <= READERS_MAX);
    /* The thread sanitizer leaves too little address space for maps of full size. */
    CHECK(setenv("REFOLD_MAP_BYTES", "1073741824", 0) == 0);
    CHECK(mkdtemp(race.dir) != NULL);
    (void)snprintf(race.path, sizeof race.path, "%s/s.refold", race.dir);
    if (rf_store_open(race.path, &options, &race.store, &err) != RF_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    import_batch(&race, &seed);
    rebuild(&race, argv[1]);
    CHECK(pthread_create(&writer, NULL, write_events, &race) == 0);
    CHECK(pthread_create(&follower, NULL, follow, &race) == 0);
    for (int i = 0; i < readers; i++)
        CHECK(pthread_create(&threads[i], NULL, read_rows, &race) == 0);
    for (uint32_t i = 0; i < APPENDERS; i++) {
        appenders[i] = (appender){&race, i};
        CHECK(pthread_create(&appending[i], NULL, append_events, &appenders[i]) == 0);
    }
    for (int i = 0; i < rebuilds; i++) {
        double start = rf_clock_seconds();
        rebuild(&race, argv[1]);
        collect(&race, &in_use);
        double took = rf_clock_seconds() - start;
        slowest = took > slowest ? took : slowest;
    }
    atomic_store(&race.is_over, true);
    (void)pthread_join(writer, NULL);
    for (int i = 0; i < readers; i++)
        (void)pthread_join(threads[i], NULL);
    for (int i = 0; i < APPENDERS; i++)
        (void)pthread_join(appending[i], NULL);
    (void)pthread_join(follower, NULL);
    check_end(&race);
    (void)printf("%d rebuilds, slowest %.0f ms; %lu events, %lu appended one by one; %lu generations removed; "
                 "%d readers: %lu scans, moved %lu times\n",
                 rebuilds, slowest * 1e3, atomic_load(&race.imported), atomic_load(&race.appended),
                 atomic_load(&race.removed), readers, atomic_load(&race.scans), atomic_load(&race.moves));
    rf_store_close(race.store);
    CHECK(rf_dir_remove(race.dir, NULL) == RF_OK);
    return 0;
}
