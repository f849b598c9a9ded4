/* Rebuilds beside writers at full rate, readers and a follower, each a process of its own. The log is known
 * from outside (known_log.h): each row that is read is compared with the serial fold of as many events of its
 * stream, so an event that is lost, doubled or out of its order shows at once, in any read. A scan has rows
 * of one version only, and they have as many events as the position that it is at: no read is mixed. What
 * was acknowledged before a call began is in what it gives. The version before the live one stays as a colour
 * until the next comes, and is read too.
 *
 *     soak_rebuilds SEED REBUILDS [WRITERS [READERS]]      4 and 4 without
 */
#include "known_log.h"
#include "roles.h"

#include <ftw.h>
#include <string.h>
#include <unistd.h>

enum {
    PARTITIONS = 8,
    STREAMS = 20000, /* so that few events change less than a tenth of the rows: then rebuilds reuse */
    BATCH_MAX = 16,
    READS_EACH = 20, /* of a reader, before it opens another */
    WRITERS_MAX = 16,
    BASELINE_MS = 3000,
    KEEP = 3,
};

enum phase { BEFORE, BESIDE, PHASES };

typedef struct shared_state {
    atomic_bool is_over;
    atomic_int phase;
    atomic_uint rollbacks; /* odd: one is under way */
    atomic_uint version; /* of the definitions, the newest that was rebuilt */
    atomic_uint versions[STREAMS]; /* acknowledged events of each stream */
    atomic_ulong acknowledged, commits, scans, gets, opened, moved;
    roles_largest write[PHASES], stand[PHASES], get[PHASES], scan[PHASES], open[PHASES];
} shared_state;

struct soak {
    uint64_t seed;
    uint32_t writers, readers;
    char dir[64];
    char store_path[96];
    shared_state *shared;
    volatile int *stop; /* of the follower */
};

struct role {
    struct soak *soak;
    uint32_t number;
};

static rf_slice slice_of(const char *text)
{
    return (rf_slice){text, strlen(text)};
}

static rf_store *open_store(const struct soak *soak)
{
    rf_store *store = NULL;

    MUST(rf_store_open(soak->store_path, NULL, &store, &must_err));
    return store;
}

static bool is_over(const struct soak *soak)
{
    return atomic_load(&soak->shared->is_over);
}

static void measure(struct soak *soak, roles_largest largest[PHASES], double begun)
{
    roles_measure(&largest[atomic_load(&soak->shared->phase)], begun);
}

/* ---- writing ---- */

/* One commit: the next event of each of the streams, which are this writer's. */
static void write_streams(struct soak *soak, rf_store *store, known_log *log, uint32_t writer,
                          const uint32_t *streams, uint32_t count)
{
    char path[128], source[16];
    const char *paths[] = {path};
    rf_import_summary summary;

    (void)snprintf(path, sizeof path, "%s/writer-%u.jsonl", soak->dir, writer);
    (void)snprintf(source, sizeof source, "writer-%u", writer);
    const rf_import_options options = {.source = source, .run = {.wait_lock_ms = -1}};
    FILE *file = fopen(path, "w");
    CHECK(file);
    for (uint32_t i = 0; i < count; i++)
        known_write(log, file, streams[i], ++log->written[streams[i]]);
    CHECK(fclose(file) == 0);
    double begun = roles_seconds();
    MUST(rf_import_files(store, paths, 1, &options, &summary, &must_err));
    measure(soak, soak->shared->write, begun);
    CHECK(summary.added == count && summary.duplicates == 0);
    for (uint32_t i = 0; i < count; i++)
        atomic_fetch_add(&soak->shared->versions[streams[i]], 1);
    atomic_fetch_add(&soak->shared->acknowledged, count);
    atomic_fetch_add(&soak->shared->commits, 1);
}

static void write_batch(struct soak *soak, rf_store *store, known_log *log, uint32_t writer,
                        uint64_t *random)
{
    uint32_t streams[BATCH_MAX], count = 1 + known_random(random) % BATCH_MAX;

    for (uint32_t i = 0; i < count; i++)
        streams[i] = writer + soak->writers * (known_random(random) % (STREAMS / soak->writers));
    write_streams(soak, store, log, writer, streams, count);
}

static void writer_role(void *arg)
{
    const struct role *role = arg;
    rf_store *store = open_store(role->soak);
    uint64_t random = known_mix(role->soak->seed, 1, role->number);
    known_log log = {0};

    known_init(&log, role->soak->seed, STREAMS);
    for (uint32_t i = 0; i < STREAMS; i++)
        log.written[i] = atomic_load(&role->soak->shared->versions[i]);
    while (!is_over(role->soak))
        write_batch(role->soak, store, &log, role->number, &random);
    known_free(&log);
    rf_store_close(store);
}

/* ---- following ---- */

static void follower_role(void *arg)
{
    struct soak *soak = arg;
    rf_store *store = open_store(soak);
    const rf_follow_options options = {.run = {.workers = 2, .cancel = soak->stop}};
    rf_err err = {0};

    rf_status status = rf_follow(store, &options, &err);
    if (status != RF_ERR_INTERRUPTED)
        roles_must(status == RF_OK ? RF_ERR_USAGE : status, &err, __FILE__, __LINE__);
    rf_store_close(store);
}

/* Sees how long a read model stands still while the log has more: what a follower is held up, with all
 * that it does. What was acknowledged has to be in the log, and no flip but a rollback takes events back. */
static void watcher_role(void *arg)
{
    struct soak *soak = arg;
    rf_store *store = open_store(soak);
    uint32_t rollbacks_last = UINT32_MAX;
    uint64_t seen[2] = {0};
    double since[2] = {roles_seconds(), roles_seconds()};

    while (!is_over(soak)) {
        rf_status_report *report = NULL;
        uint64_t acknowledged = atomic_load(&soak->shared->acknowledged);
        uint32_t rollbacks = atomic_load(&soak->shared->rollbacks);
        MUST(rf_store_status(store, &report, &must_err));
        bool may_go_back = rollbacks % 2 || rollbacks != rollbacks_last ||
                           rollbacks != atomic_load(&soak->shared->rollbacks);
        rollbacks_last = rollbacks;
        CHECK(report->position >= acknowledged && report->model_count == 2);
        for (uint32_t i = 0; i < 2; i++) {
            const rf_model_status *model = &report->models[i];
            CHECK(!model->suspended);
            CHECK(may_go_back || model->position >= seen[i]);
            if (model->position != seen[i] || model->lag == 0)
                since[i] = roles_seconds();
            else
                measure(soak, soak->shared->stand, since[i]);
            seen[i] = model->position;
        }
        rf_status_report_free(report);
        roles_sleep_ms(1);
    }
    rf_store_close(store);
}

/* ---- reading ---- */

struct reading {
    struct soak *soak;
    known_log log;
    uint64_t random;
    uint64_t position_last; /* seen by this reader */
    uint32_t rollbacks_last;
};

/* What is live has everything that was seen before, unless a rollback took it back. */
static void check_position(struct reading *reading, uint32_t rollbacks, uint64_t position)
{
    if (rollbacks % 2 == 0 && rollbacks == reading->rollbacks_last &&
        rollbacks == atomic_load(&reading->soak->shared->rollbacks))
        CHECK(position >= reading->position_last);
    reading->position_last = position;
    reading->rollbacks_last = rollbacks;
}

static void check_owner(const rf_row *row, uint32_t version, uint64_t *events)
{
    CHECK(row->values[2].integer == (int64_t)version);
    CHECK(row->values[0].integer > 0);
    *events += (uint64_t)row->values[0].integer;
}

static void read_scan(struct reading *reading, rf_reader *reader)
{
    const rf_reader_info *info = rf_reader_get_info(reader);
    bool is_streams = strcmp(info->name, "soak_streams") == 0;
    char last[32] = "";
    rf_cursor *cursor = NULL;
    rf_err err = {0};
    uint64_t events = 0, rows = 0;
    rf_row row;

    double begun = roles_seconds();
    MUST(rf_cursor_open(reader, NULL, &cursor, &must_err));
    uint64_t position = info->position, generation = info->generation, rows_wanted = info->rows;
    while (rf_cursor_next(cursor, &row, &err) == RF_OK) {
        char key[sizeof last] = "";
        CHECK(row.key.size < sizeof key);
        memcpy(key, row.key.data, row.key.size);
        CHECK(strcmp(last, key) < 0);
        memcpy(last, key, sizeof last);
        if (is_streams)
            events += known_check_row(&reading->log, &row, info->version, "scan");
        else
            check_owner(&row, info->version, &events);
        rows++;
    }
    CHECK(err.status == RF_ERR_NO_ROW);
    measure(reading->soak, reading->soak->shared->scan, begun);
    if (events != position || rows != rows_wanted) {
        (void)fprintf(stderr,
                      "%s generation %llu: a scan at position %llu has %llu events in %llu rows of "
                      "%llu\n",
                      info->name, (unsigned long long)generation, (unsigned long long)position,
                      (unsigned long long)events, (unsigned long long)rows,
                      (unsigned long long)rows_wanted);
        abort();
    }
    rf_cursor_close(cursor);
    atomic_fetch_add(&reading->soak->shared->scans, 1);
}

/* Rows one by one. Each is at a position that is not before the one that was read last. */
static void read_gets(struct reading *reading, rf_reader *reader)
{
    const rf_reader_info *info = rf_reader_get_info(reader);
    uint64_t position = info->position;

    for (int i = 0; i < 200; i++) {
        char key[32];
        rf_row row;
        rf_err err = {0};
        uint32_t stream = known_random(&reading->random) % STREAMS;
        (void)snprintf(key, sizeof key, "s-%06u", stream);
        double begun = roles_seconds();
        rf_status status = rf_reader_get(reader, slice_of(key), &row, &err);
        measure(reading->soak, reading->soak->shared->get, begun);
        if (status == RF_OK)
            (void)known_check_row(&reading->log, &row, info->version, "get");
        else
            roles_must(status == RF_ERR_NO_ROW ? RF_OK : status, &err, __FILE__, __LINE__);
        CHECK(info->position >= position);
        position = info->position;
    }
    atomic_fetch_add(&reading->soak->shared->gets, 200);
}

/* The live one, or the version before it, if that is not retired yet. */
static rf_reader *open_one(struct reading *reading, rf_store *store, const char *name)
{
    uint32_t version = atomic_load(&reading->soak->shared->version);
    rf_reader *reader = NULL;
    rf_err err = {0};
    char named[64];

    if (known_random(&reading->random) % 4 == 0) {
        (void)snprintf(named, sizeof named, "%s@%u", name, version - 1);
        rf_status status = rf_reader_open(store, named, 0, &reader, &err);
        if (status == RF_OK)
            CHECK(rf_reader_get_info(reader)->version == version - 1);
        else
            roles_must(status == RF_ERR_ABSENT ? RF_OK : status, &err, __FILE__, __LINE__);
    }
    if (!reader) {
        double begun = roles_seconds();
        MUST(rf_reader_open(store, name, 0, &reader, &must_err));
        measure(reading->soak, reading->soak->shared->open, begun);
    }
    return reader;
}

static void read_many(struct reading *reading, rf_store *store)
{
    shared_state *shared = reading->soak->shared;
    bool is_streams = known_random(&reading->random) % 4 != 0;
    rf_reader *reader = open_one(reading, store, is_streams ? "soak_streams" : "soak_owners");

    reading->rollbacks_last = UINT32_MAX; /* another read model has another history */
    for (int i = 0; i < READS_EACH && !is_over(reading->soak); i++) {
        bool changed = false;
        if (is_streams)
            read_gets(reading, reader);
        read_scan(reading, reader);
        uint32_t rollbacks = atomic_load(&shared->rollbacks);
        double begun = roles_seconds();
        rf_err err = {0};
        rf_status status = rf_reader_refresh(reader, &changed, &err);
        if (status == RF_ERR_ABSENT) /* a version that was retired meanwhile */
            break;
        roles_must(status, &err, __FILE__, __LINE__);
        measure(reading->soak, shared->open, begun);
        check_position(reading, rollbacks, rf_reader_get_info(reader)->position);
        atomic_fetch_add(&shared->moved, changed ? 1 : 0);
    }
    rf_reader_close(reader);
    atomic_fetch_add(&shared->opened, 1);
}

static void reader_role(void *arg)
{
    const struct role *role = arg;
    rf_store *store = open_store(role->soak);
    struct reading reading = {.soak = role->soak, .random = known_mix(role->soak->seed, 2, role->number)};

    known_init(&reading.log, role->soak->seed, STREAMS);
    while (!is_over(role->soak))
        read_many(&reading, store);
    known_free(&reading.log);
    rf_store_close(store);
}

/* ---- rebuilding ---- */

struct rebuilding {
    struct soak *soak;
    rf_store *store;
    char streams[96], owners[96]; /* definitions */
    uint32_t version;
    uint64_t random;
    uint32_t reused;
    double slowest;
};

/* The version before the one before; who reads it reads on. */
static void retire_old(struct rebuilding *rebuilding)
{
    static const char *const names[] = {"soak_streams", "soak_owners"};

    atomic_store(&rebuilding->soak->shared->version, rebuilding->version);
    for (uint32_t i = 0; i < 2 && rebuilding->version > 2; i++) {
        rf_retired retired;
        char named[64];
        (void)snprintf(named, sizeof named, "%s@%u", names[i], rebuilding->version - 2);
        MUST(rf_retire(rebuilding->store, named, &retired, &must_err));
    }
}

enum made { OF_A_NEW_VERSION, BY_NAME, STREAMS_BY_NAME };

static void rebuild(struct rebuilding *rebuilding, enum made made)
{
    uint32_t count = made == STREAMS_BY_NAME ? 1 : 2;
    const rf_rebuild_options options = {.keep = KEEP,
                                        .run = {.workers = 2, .wait_lock_ms = -1}};
    const char *paths[] = {rebuilding->streams, rebuilding->owners};
    const char *names[] = {"soak_streams", "soak_owners"};
    uint64_t acknowledged = atomic_load(&rebuilding->soak->shared->acknowledged);
    rf_rebuild_report *report = NULL;

    if (made == OF_A_NEW_VERSION)
        known_write_definitions(paths[0], paths[1], ++rebuilding->version);
    double begun = roles_seconds();
    MUST(rf_rebuild(rebuilding->store, made == OF_A_NEW_VERSION ? paths : names, count, &options,
                    &report, &must_err));
    double took = roles_seconds() - begun;
    rebuilding->slowest = took > rebuilding->slowest ? took : rebuilding->slowest;
    for (uint32_t i = 0; i < count; i++) {
        CHECK(report->projections[i].live && report->projections[i].position >= acknowledged);
        rebuilding->reused += report->projections[i].reused ? 1 : 0;
    }
    rf_rebuild_report_free(report);
    if (made == OF_A_NEW_VERSION)
        retire_old(rebuilding);
}

/* Back, and forward again. */
static void go_back(struct rebuilding *rebuilding)
{
    static const char *const names[] = {"soak_streams", "soak_owners"};
    shared_state *shared = rebuilding->soak->shared;
    rf_flip flips[2];

    atomic_fetch_add(&shared->rollbacks, 1);
    MUST(rf_rollback(rebuilding->store, names, 2, 0, -1, flips, &must_err));
    /* where a merge gave the older one's place to another, its number is the larger one */
    CHECK(flips[0].to != flips[0].from && flips[1].to != flips[1].from);
    atomic_fetch_add(&shared->rollbacks, 1);
    roles_sleep_ms(known_random(&rebuilding->random) % 100);
    MUST(rf_swap(rebuilding->store, names, 2, 0, -1, flips, &must_err));
    CHECK(flips[0].to != flips[0].from && flips[1].to != flips[1].from);
}

static void collect(struct rebuilding *rebuilding)
{
    rf_gc_result result;

    MUST(rf_gc(rebuilding->store, NULL, 2, -1, &result, &must_err));
}

static void rebuild_many(struct rebuilding *rebuilding, int rebuilds)
{
    for (int i = 0; i < rebuilds; i++) {
        uint32_t dice = known_random(&rebuilding->random) % 100;
        rebuild(rebuilding, dice < 50   ? OF_A_NEW_VERSION
                            : dice < 60 ? BY_NAME
                                        : STREAMS_BY_NAME);
        if (dice % 8 == 0)
            go_back(rebuilding);
        if (dice % 16 == 1)
            collect(rebuilding);
        roles_look();
    }
}

/* ---- the end ---- */

/* All rows are those of the serial fold of all that was acknowledged. */
static void check_end(struct rebuilding *rebuilding)
{
    struct soak *soak = rebuilding->soak;
    const rf_follow_options once = {.once = true, .run = {.workers = 2}};
    const rf_verify_options serial = {.serial = true};
    uint64_t acknowledged = atomic_load(&soak->shared->acknowledged);
    struct reading reading = {.soak = soak};
    static uint32_t versions[STREAMS];
    rf_verify_result result;
    rf_reader *reader = NULL;
    rf_row row;

    MUST(rf_follow(rebuilding->store, &once, &must_err));
    known_init(&reading.log, soak->seed, STREAMS);
    MUST(rf_reader_open(rebuilding->store, "soak_streams", 0, &reader, &must_err));
    CHECK(rf_reader_get_info(reader)->position == acknowledged);
    read_scan(&reading, reader);
    for (uint32_t i = 0; i < STREAMS; i++) {
        char key[32];
        versions[i] = atomic_load(&soak->shared->versions[i]);
        (void)snprintf(key, sizeof key, "s-%06u", i);
        if (versions[i] == 0)
            continue;
        MUST(rf_reader_get(reader, slice_of(key), &row, &must_err));
        CHECK(row.values[0].integer == (int64_t)versions[i]);
    }
    rf_reader_close(reader);
    MUST(rf_reader_open(rebuilding->store, "soak_owners", 0, &reader, &must_err));
    read_scan(&reading, reader);
    for (uint32_t i = 0; i < KNOWN_OWNERS; i++) {
        char key[32];
        known_state wanted = known_fold_owner(&reading.log, versions, i);
        (void)snprintf(key, sizeof key, "o-%02u", i);
        MUST(rf_reader_get(reader, slice_of(key), &row, &must_err));
        CHECK(row.values[0].integer == wanted.events && row.values[1].integer == wanted.sum);
    }
    rf_reader_close(reader);
    known_free(&reading.log);
    MUST(rf_verify(rebuilding->store, &serial, &result, &must_err));
}

static void report(const struct soak *soak, const struct rebuilding *rebuilding, int rebuilds, double seconds)
{
    shared_state *shared = soak->shared;
    static const char *const when[PHASES] = {"without rebuilds", "beside rebuilds"};

    printf("seed %llu: %d rebuilds (%u generations reused) in %.1f s, slowest %.0f ms; %u writers: "
           "%lu events in %lu commits; %u readers: %lu scans, %lu gets, %lu moves\n",
           (unsigned long long)soak->seed, rebuilds, rebuilding->reused, seconds,
           rebuilding->slowest * 1e3, soak->writers, atomic_load(&shared->acknowledged),
           atomic_load(&shared->commits), soak->readers, atomic_load(&shared->scans),
           atomic_load(&shared->gets), atomic_load(&shared->moved));
    for (int i = 0; i < PHASES; i++)
        printf("  longest, %s: follower stood still %.1f ms, commit of a writer %.1f ms, open or "
               "refresh %.1f ms, get %.1f ms, scan %.1f ms\n",
               when[i], roles_largest_ms(&shared->stand[i]), roles_largest_ms(&shared->write[i]),
               roles_largest_ms(&shared->open[i]), roles_largest_ms(&shared->get[i]),
               roles_largest_ms(&shared->scan[i]));
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

/* A store with a first event of each stream, and both read models. */
static void begin(struct rebuilding *rebuilding)
{
    struct soak *soak = rebuilding->soak;
    const rf_store_options options = {.create = true, .partitions = PARTITIONS};
    known_log log = {0};

    MUST(rf_store_open(soak->store_path, &options, &rebuilding->store, &must_err));
    uint32_t *streams = malloc(STREAMS * sizeof *streams);
    known_init(&log, soak->seed, STREAMS);
    CHECK(streams);
    for (uint32_t i = 0; i < STREAMS; i++)
        streams[i] = i;
    write_streams(soak, rebuilding->store, &log, 0, streams, STREAMS);
    free(streams);
    known_free(&log);
    rebuild(rebuilding, OF_A_NEW_VERSION);
    rebuild(rebuilding, OF_A_NEW_VERSION);
    /* roles are started without an open store: LMDB's must not be carried over a fork */
    rf_store_close(rebuilding->store);
}

static void start_roles(struct soak *soak, struct role *writers, struct role *readers)
{
    for (uint32_t i = 0; i < soak->writers; i++) {
        writers[i] = (struct role){soak, i};
        (void)roles_start("a writer", writer_role, &writers[i]);
    }
    for (uint32_t i = 0; i < soak->readers; i++) {
        readers[i] = (struct role){soak, i};
        (void)roles_start("a reader", reader_role, &readers[i]);
    }
    (void)roles_start("the follower", follower_role, soak);
    (void)roles_start("the watcher", watcher_role, soak);
}

int main(int argc, char **argv)
{
    CHECK(argc > 2);
    int rebuilds = atoi(argv[2]);
    struct soak soak = {.seed = strtoull(argv[1], NULL, 10),
                 .writers = argc > 3 ? (uint32_t)atoi(argv[3]) : 4,
                 .readers = argc > 4 ? (uint32_t)atoi(argv[4]) : 4};
    struct rebuilding rebuilding = {.soak = &soak, .random = known_mix(soak.seed, 0, 0)};
    struct role writers[WRITERS_MAX], readers[WRITERS_MAX];
    const char *folder = getenv("TMPDIR");

    CHECK(soak.writers > 0 && soak.writers <= WRITERS_MAX && soak.readers <= WRITERS_MAX);
    soak.shared = roles_share(sizeof *soak.shared);
    soak.stop = roles_share(sizeof *soak.stop);
    (void)snprintf(soak.dir, sizeof soak.dir, "%s/refold-soak-XXXXXX", folder ? folder : "/tmp");
    CHECK(mkdtemp(soak.dir));
    (void)snprintf(soak.store_path, sizeof soak.store_path, "%s/s.refold", soak.dir);
    (void)snprintf(rebuilding.streams, sizeof rebuilding.streams, "%s/streams.lua", soak.dir);
    (void)snprintf(rebuilding.owners, sizeof rebuilding.owners, "%s/owners.lua", soak.dir);
    begin(&rebuilding);
    start_roles(&soak, writers, readers);
    rebuilding.store = open_store(&soak);
    roles_sleep_ms(BASELINE_MS);
    atomic_store(&soak.shared->phase, BESIDE);
    double begun = roles_seconds();
    rebuild_many(&rebuilding, rebuilds);
    double seconds = roles_seconds() - begun;
    atomic_store(&soak.shared->is_over, true);
    *soak.stop = 1;
    roles_end();
    check_end(&rebuilding);
    report(&soak, &rebuilding, rebuilds, seconds);
    rf_store_close(rebuilding.store);
    CHECK(nftw(soak.dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
    return 0;
}
