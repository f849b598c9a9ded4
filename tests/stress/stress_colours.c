/* Two versions of a read model side by side: imports, following, flips between them, retiring, gc and readers of
 * each version, all at once. Rows count the events of their stream in both versions, so the sum over one scan is
 * the scan's position; and a version never goes back, whatever is flipped, retired and brought back beside it.
 * A program of its own, because Criterion and ThreadSanitizer do not go together.
 *
 *     stress_colours PLUGIN1 PLUGIN2 [FLIPS]      40 without; of one name, versions 1 and 2
 */
#include "base/file.h"
#include "refold/refold.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

enum { STREAMS = 100, BATCH = 20, PARTITIONS = 4, VERSIONS = 2, COLUMN_COUNT = 0 };
static const char model[] = "counting";
static const char *const names[VERSIONS] = {"counting@1", "counting@2"};

typedef struct race_state {
    /* fixed after start */
    rf_store *store;
    char dir[64];
    /* atomic */
    atomic_bool is_over;
    atomic_ulong imported, scans, retired;
} race_state;

static void check_ok(rf_status status, const rf_err *err, const char *what)
{
    if (status == RF_OK)
        return;
    (void)fprintf(stderr, "%s: %s\n", what, err->message);
    abort();
}

static void import_batch(race_state *race, unsigned *seed)
{
    char path[96];
    const char *paths[] = {path};
    const rf_import_options options = {.time_unit = RF_TIME_UNIT_MS};
    rf_import_summary summary;
    rf_err err = {0};

    (void)snprintf(path, sizeof path, "%s/events.jsonl", race->dir);
    FILE *file = fopen(path, "w");
    CHECK(file != NULL);
    for (int i = 0; i < BATCH; i++)
        (void)fprintf(file,
                      "{\"stream\":\"s-%d\",\"type\":\"ItemAdded\",\"time\":1,\"data\":{\"qty\":1}}\n",
                      rand_r(seed) % STREAMS);
    CHECK(fclose(file) == 0);
    check_ok(rf_import_files(race->store, paths, 1, &options, &summary, &err), &err, "import");
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

static void *follow_all(void *arg)
{
    race_state *race = arg;
    const rf_follow_options options = {.once = true, .run = {.workers = 2}};
    rf_err err = {0};

    while (!atomic_load(&race->is_over))
        check_ok(rf_follow(race->store, &options, &err), &err, "follow");
    return NULL;
}

/* Beside it, with a lock of its own: both move the same generation. */
static void *follow_one(void *arg)
{
    race_state *race = arg;
    const rf_follow_options options = {
        .names = &names[0], .name_count = 1, .once = true, .run = {.workers = 0}};
    rf_err err = {0};

    while (!atomic_load(&race->is_over)) {
        rf_status status = rf_follow(race->store, &options, &err);
        if (status != RF_ERR_ABSENT) /* it is retired now and then */
            check_ok(status, &err, "follow counting@1");
        (void)usleep(2000);
    }
    return NULL;
}

static void read_scan(race_state *race, rf_reader *reader, uint64_t *position_out)
{
    const rf_reader_info *info = rf_reader_get_info(reader);
    rf_cursor *cursor;
    rf_row row;
    rf_err err = {0};
    uint64_t sum = 0;

    CHECK(rf_cursor_open(reader, NULL, &cursor, NULL) == RF_OK);
    uint64_t position = info->position;
    while (rf_cursor_next(cursor, &row, &err) == RF_OK)
        sum += (uint64_t)row.values[COLUMN_COUNT].integer;
    CHECK(err.status == RF_ERR_NO_ROW);
    if (sum != position) {
        (void)fprintf(stderr, "%llu events in a scan at position %llu of version %u\n",
                      (unsigned long long)sum, (unsigned long long)position, info->version);
        abort();
    }
    rf_cursor_close(cursor);
    *position_out = position;
    atomic_fetch_add(&race->scans, 1);
}

static void *read_versions(void *arg)
{
    race_state *race = arg;
    uint64_t last[VERSIONS] = {0};

    for (unsigned at = 0; !atomic_load(&race->is_over); at++) {
        unsigned which = at % VERSIONS;
        rf_reader *reader;
        rf_err err = {0};
        rf_status status = rf_reader_open(race->store, names[which], 0, &reader, &err);
        if (status == RF_ERR_ABSENT)
            continue;
        check_ok(status, &err, "open");
        for (int i = 0; i < 10 && status == RF_OK && !atomic_load(&race->is_over); i++) {
            uint64_t position = 0;
            read_scan(race, reader, &position);
            CHECK(rf_reader_get_info(reader)->version == which + 1);
            CHECK(position >= last[which]);
            last[which] = position;
            status = rf_reader_refresh(reader, NULL, &err);
            CHECK(status == RF_OK || status == RF_ERR_ABSENT);
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

    check_ok(rf_rebuild(race->store, &plugin, 1, &options, &report, &err), &err, "rebuild");
    CHECK(report->projections[0].live);
    rf_rebuild_report_free(report);
}

/* To the other version and back; now and then what was left is retired, and comes back with the next flip. */
static void flip(race_state *race, int turn)
{
    const char *name = model;
    rf_flip flipped;
    rf_gc_result collected;
    rf_retired retired;
    rf_err err = {0};

    rf_status status =
        turn % 2 == 0 ? (turn % 4 == 0 ? rf_rollback_caught_up : rf_rollback)(
                            race->store, &name, 1, 0, -1, &flipped, &err)
                      : rf_swap(race->store, &name, 1, 0, -1, &flipped, &err);
    check_ok(status, &err, turn % 2 == 0 ? "rollback" : "swap");
    if (turn % 5 == 4) {
        const char *left = names[turn % 2 == 0 ? 1 : 0];
        check_ok(rf_retire(race->store, left, &retired, &err), &err, "retire");
        atomic_fetch_add(&race->retired, 1);
    }
    status = rf_retire(race->store, names[turn % 2 == 0 ? 0 : 1], &retired, &err);
    CHECK(status == RF_ERR_REFUSED); /* what is live */
    check_ok(rf_gc(race->store, model, 2, -1, &collected, &err), &err, "gc");
}

static void check_end(race_state *race)
{
    const rf_follow_options once = {.once = true, .run = {.workers = 2}};
    const rf_verify_options serial = {.serial = true};
    rf_verify_result result;
    rf_err err = {0};

    check_ok(rf_follow(race->store, &once, &err), &err, "follow");
    for (int i = 0; i < VERSIONS; i++) {
        rf_reader *reader;
        uint64_t position = 0;
        rf_status status = rf_reader_open(race->store, names[i], 0, &reader, &err);
        if (status == RF_ERR_ABSENT)
            continue;
        check_ok(status, &err, "open");
        read_scan(race, reader, &position);
        CHECK(position == atomic_load(&race->imported));
        rf_reader_close(reader);
    }
    check_ok(rf_verify(race->store, &serial, &result, &err), &err, "verify");
}

int main(int argc, char **argv)
{
    void *(*const jobs[])(void *) = {write_events, follow_all, follow_one, read_versions,
                                     read_versions};
    enum { JOBS = sizeof jobs / sizeof jobs[0] };
    int flips = argc > 3 ? atoi(argv[3]) : 40;
    rf_store_options options = {.create = true, .partitions = PARTITIONS};
    race_state race = {.dir = "/tmp/refold-stress-XXXXXX"};
    pthread_t threads[JOBS];
    char path[80];
    unsigned seed = 2;
    rf_err err = {0};

    CHECK(argc > 2 && flips > 0);
    /* The thread sanitizer leaves too little address space for maps of full size. */
    CHECK(setenv("REFOLD_MAP_BYTES", "1073741824", 0) == 0);
    CHECK(mkdtemp(race.dir) != NULL);
    (void)snprintf(path, sizeof path, "%s/s.refold", race.dir);
    check_ok(rf_store_open(path, &options, &race.store, &err), &err, "open");
    import_batch(&race, &seed);
    rebuild(&race, argv[1]);
    rebuild(&race, argv[2]);
    for (int i = 0; i < JOBS; i++)
        CHECK(pthread_create(&threads[i], NULL, jobs[i], &race) == 0);
    for (int turn = 0; turn < flips; turn++) {
        flip(&race, turn);
        (void)usleep(3000);
    }
    atomic_store(&race.is_over, true);
    for (int i = 0; i < JOBS; i++)
        (void)pthread_join(threads[i], NULL);
    check_end(&race);
    (void)printf("%d flips, %lu retired; %lu events, %lu scans\n", flips,
                 atomic_load(&race.retired), atomic_load(&race.imported),
                 atomic_load(&race.scans));
    rf_store_close(race.store);
    CHECK(rf_dir_remove(race.dir, NULL) == RF_OK);
    return 0;
}
