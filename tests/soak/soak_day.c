/* A day of following, compressed: small commits one after the other, a process that follows, each night a
 * rebuild and gc, and a reader that pauses in the middle of a scan over two of the nights. What must not grow
 * does not: the read models' files, the delta, the follower's memory, and the log beyond what its events need.
 *
 *     soak_day SEED COMMITS
 *
 * The log is known from outside (known_log.h). Where TMPDIR is in memory, commits cost no wait for a disk.
 */
#include "known_log.h"
#include "roles.h"

#include <ftw.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    PARTITIONS = 8,
    STREAMS_FIRST = 20000, /* each has one event before the day begins */
    STREAMS_MAX = 60000,
    STREAMS_HOT = 1000, /* that most events are of */
    BATCH_MAX = 8,
    NIGHTS = 6,
    KEEP = 2,
    AHEAD_MAX = 4, /* commits of the log before the follower, so that its own are small too */
    POLL_MS = 2,
    READ_MS = 500, /* between two scans */
    MEBI = 1 << 20,
};

struct shared {
    atomic_bool is_over;
    atomic_bool may_resume; /* the paused reader */
    atomic_bool is_paused, has_resumed;
    atomic_uint night; /* how many have been */
    atomic_ulong commits, events, stream_count;
    atomic_uint versions[STREAMS_MAX];
    roles_largest write, lag_seconds;
};

struct day {
    uint64_t seed;
    unsigned long commits;
    char dir[128];
    char store_path[160];
    struct shared *shared;
    volatile int *stop;
};

static rf_store *open_store(const struct day *day)
{
    rf_store *store = NULL;

    MUST(rf_store_open(day->store_path, NULL, &store, &must_err));
    return store;
}

/* ---- writing ---- */

static void import_streams(struct day *day, rf_store *store, known_log *log,
                           const uint32_t *streams, uint32_t count)
{
    char path[192];
    const char *paths[] = {path};
    const rf_import_options options = {.run = {.workers = 0}};
    rf_import_summary summary;

    (void)snprintf(path, sizeof path, "%s/events.jsonl", day->dir);
    FILE *file = fopen(path, "w");
    CHECK(file);
    for (uint32_t i = 0; i < count; i++)
        known_write(log, file, streams[i], ++log->written[streams[i]]);
    CHECK(fclose(file) == 0);
    double begun = roles_seconds();
    MUST(rf_import_files(store, paths, 1, &options, &summary, &must_err));
    roles_measure(&day->shared->write, begun);
    CHECK(summary.added == count);
    for (uint32_t i = 0; i < count; i++)
        atomic_fetch_add(&day->shared->versions[streams[i]], 1);
    atomic_fetch_add(&day->shared->events, count);
}

/* Most events are of few streams; now and then one begins. */
static uint32_t choose_stream(struct shared *shared, uint64_t *random)
{
    uint32_t count = (uint32_t)atomic_load(&shared->stream_count);
    uint32_t dice = known_random(random) % 100;

    if (dice == 0 && count < STREAMS_MAX) {
        atomic_store(&shared->stream_count, count + 1);
        return count;
    }
    return known_random(random) % (dice < 80 ? STREAMS_HOT : count);
}

/* Until the follower has what was written up to AHEAD_MAX commits ago. */
static void wait_for_follower(rf_store *store, uint64_t position)
{
    bool has_arrived = false;

    while (!has_arrived) {
        rf_status_report *report = NULL;
        MUST(rf_store_status(store, &report, &must_err));
        has_arrived = true;
        for (uint32_t i = 0; i < report->model_count; i++)
            has_arrived = has_arrived && report->models[i].position >= position;
        rf_status_report_free(report);
        if (!has_arrived)
            roles_sleep_ms(POLL_MS);
    }
}

static void writer_role(void *arg)
{
    struct day *day = arg;
    rf_store *store = open_store(day);
    uint64_t random = known_mix(day->seed, 1, 0);
    uint64_t positions[AHEAD_MAX] = {0};
    known_log log = {0};

    known_init(&log, day->seed, STREAMS_MAX);
    for (uint32_t i = 0; i < STREAMS_MAX; i++)
        log.written[i] = atomic_load(&day->shared->versions[i]);
    while (atomic_load(&day->shared->commits) < day->commits) {
        uint32_t streams[BATCH_MAX], count = 1 + known_random(&random) % BATCH_MAX;
        for (uint32_t i = 0; i < count; i++)
            streams[i] = choose_stream(day->shared, &random);
        unsigned long commits = atomic_load(&day->shared->commits);
        wait_for_follower(store, positions[commits % AHEAD_MAX]);
        import_streams(day, store, &log, streams, count);
        positions[commits++ % AHEAD_MAX] = atomic_load(&day->shared->events);
        atomic_store(&day->shared->commits, commits);
        /* the log waits for the night to begin, so that each has as many commits */
        while (commits % (day->commits / NIGHTS) == 0 &&
               atomic_load(&day->shared->night) < commits / (day->commits / NIGHTS))
            roles_sleep_ms(5);
    }
    known_free(&log);
    rf_store_close(store);
}

/* ---- following, reading ---- */

static void follower_role(void *arg)
{
    struct day *day = arg;
    rf_store *store = open_store(day);
    const rf_follow_options options = {.run = {.workers = 0, .cancel = day->stop}};
    rf_err err = {0};

    rf_status status = rf_follow(store, &options, &err);
    if (status != RF_ERR_INTERRUPTED)
        roles_must(status == RF_OK ? RF_ERR_USAGE : status, &err, __FILE__, __LINE__);
    rf_store_close(store);
}

static rf_slice slice_of(const char *text)
{
    return (rf_slice){text, strlen(text)};
}

/* Reads half of the rows, pauses, reads the others: they are all of the position where it began. */
static void scan_with_pause(struct day *day, rf_reader *reader, known_log *log, bool pauses)
{
    const rf_reader_info *info = rf_reader_get_info(reader);
    rf_cursor *cursor = NULL;
    rf_err err = {0};
    uint64_t events = 0, rows = 0;
    rf_row row;

    MUST(rf_cursor_open(reader, NULL, &cursor, &must_err));
    uint64_t position = info->position, wanted = info->rows;
    while (rf_cursor_next(cursor, &row, &err) == RF_OK) {
        events += known_check_row(log, &row, info->version, pauses ? "paused scan" : "scan");
        if (++rows == wanted / 2 && pauses) {
            atomic_store(&day->shared->is_paused, true);
            while (!atomic_load(&day->shared->may_resume))
                roles_sleep_ms(20);
        }
    }
    CHECK(err.status == RF_ERR_NO_ROW);
    CHECK(events == position && rows == wanted);
    rf_cursor_close(cursor);
}

static void paused_reader_role(void *arg)
{
    struct day *day = arg;
    rf_store *store = open_store(day);
    rf_reader *reader = NULL;
    known_log log = {0};

    while (atomic_load(&day->shared->night) < 2)
        roles_sleep_ms(20);
    known_init(&log, day->seed, STREAMS_MAX);
    MUST(rf_reader_open(store, "soak_streams", 0, &reader, &must_err));
    scan_with_pause(day, reader, &log, true);
    rf_reader_close(reader);
    known_free(&log);
    rf_store_close(store);
    atomic_store(&day->shared->has_resumed, true);
}

static void reader_role(void *arg)
{
    struct day *day = arg;
    rf_store *store = open_store(day);
    rf_reader *reader = NULL;
    known_log log = {0};

    known_init(&log, day->seed, STREAMS_MAX);
    MUST(rf_reader_open(store, "soak_streams", 0, &reader, &must_err));
    while (!atomic_load(&day->shared->is_over)) {
        scan_with_pause(day, reader, &log, false);
        roles_sleep_ms(READ_MS);
        MUST(rf_reader_refresh(reader, NULL, &must_err));
    }
    rf_reader_close(reader);
    known_free(&log);
    rf_store_close(store);
}

/* ---- measuring ---- */

typedef struct size_bytes {
    uint64_t log, live, generations;
} size_bytes;

static size_bytes measured; /* what the walk below adds to */
static size_t walk_root;    /* size of the store's path */

/* What has two names counts half for each; what lost its last one meanwhile, nothing. */
static int measure_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    const char *inside = path + walk_root;
    uint64_t bytes = kind == FTW_F && info->st_nlink > 0
                         ? (uint64_t)info->st_blocks * 512 / info->st_nlink
                         : 0;

    (void)walk;
    if (strncmp(inside, "/log/", 5) == 0)
        measured.log += bytes;
    else if (strncmp(inside, "/live/", 6) == 0)
        measured.live += bytes;
    else if (strncmp(inside, "/generations/", 13) == 0)
        measured.generations += bytes;
    return 0;
}

static size_bytes measure_store(const struct day *day)
{
    measured = (size_bytes){0};
    walk_root = strlen(day->store_path);
    /* files come and go beside the walk: then it is a little off */
    (void)nftw(day->store_path, measure_entry, 16, FTW_PHYS);
    return measured;
}

/* Of a process: memory that is its own, in KiB. */
static unsigned long memory_kib(pid_t pid)
{
    char path[64], line[128];
    unsigned long kib = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    CHECK(file);
    while (fgets(line, sizeof line, file))
        (void)sscanf(line, "RssAnon: %lu", &kib);
    (void)fclose(file);
    return kib;
}

struct watch {
    unsigned long moves; /* commits of the follower that were seen */
    uint64_t position_last;
    uint64_t lag_largest, delta_rows_largest, rows;
    unsigned long memory_largest_kib;
    size_bytes largest;
    double looked;
};

static void look_at_delta(rf_store *store, struct watch *watch)
{
    rf_generations *list = NULL;
    uint32_t count = 0;

    MUST(rf_generations_list(store, "soak_streams", &list, &must_err));
    const rf_generation *items = rf_generations_items(list, &count);
    for (uint32_t i = 0; i < count; i++)
        if (items[i].live) {
            watch->rows = items[i].rows;
            if (items[i].delta_rows > watch->delta_rows_largest)
                watch->delta_rows_largest = items[i].delta_rows;
        }
    rf_generations_free(list);
}

static void look(const struct day *day, rf_store *store, pid_t follower, struct watch *watch)
{
    rf_status_report *report = NULL;

    MUST(rf_store_status(store, &report, &must_err));
    for (uint32_t i = 0; i < report->model_count; i++) {
        const rf_model_status *model = &report->models[i];
        CHECK(!model->suspended);
        if (strcmp(model->name, "soak_streams") != 0)
            continue;
        watch->moves += model->position != watch->position_last;
        watch->position_last = model->position;
        watch->lag_largest = model->lag > watch->lag_largest ? model->lag : watch->lag_largest;
    }
    rf_status_report_free(report);
    if (roles_seconds() - watch->looked < 0.25)
        return;
    watch->looked = roles_seconds();
    look_at_delta(store, watch);
    unsigned long kib = memory_kib(follower);
    watch->memory_largest_kib = kib > watch->memory_largest_kib ? kib : watch->memory_largest_kib;
    size_bytes now = measure_store(day);
    if (now.live > watch->largest.live)
        watch->largest.live = now.live;
    if (now.generations > watch->largest.generations)
        watch->largest.generations = now.generations;
    watch->largest.log = now.log;
}

static void tell(const struct day *day, const char *when, const struct watch *watch, size_bytes now)
{
    printf("%s: %lu commits, %lu events, %llu rows; follower: %lu moves seen, at most %llu events "
           "behind, %.1f MiB; delta at most %llu rows; largest live/ %.1f MiB, generations/ %.1f "
           "MiB; now log/ %.1f, live/ %.1f, generations/ %.1f MiB\n",
           when, atomic_load(&day->shared->commits), atomic_load(&day->shared->events),
           (unsigned long long)watch->rows, watch->moves, (unsigned long long)watch->lag_largest,
           (double)watch->memory_largest_kib / 1024,
           (unsigned long long)watch->delta_rows_largest, (double)watch->largest.live / MEBI,
           (double)watch->largest.generations / MEBI, (double)now.log / MEBI,
           (double)now.live / MEBI, (double)now.generations / MEBI);
    (void)fflush(stdout);
}

/* ---- the nights ---- */

static void rebuild(const struct day *day, rf_store *store)
{
    static const char *const names[] = {"soak_streams", "soak_owners"};
    const rf_rebuild_options options = {.keep = KEEP, .run = {.workers = 2, .wait_lock_ms = -1}};
    rf_rebuild_report *report = NULL;

    /* one by one: where few rows of one changed, it is not folded with the other */
    for (int i = 0; i < 2; i++) {
        MUST(rf_rebuild(store, &names[i], 1, &options, &report, &must_err));
        CHECK(report->projections[0].live);
        rf_rebuild_report_free(report);
    }
    (void)day;
}

static void collect(rf_store *store)
{
    rf_gc_result result;

    MUST(rf_gc(store, NULL, KEEP, -1, &result, &must_err));
}

/* Nobody pauses any more: what is left is what gc was told to keep, and one that the other reader may hold. */
static void check_collected(rf_store *store)
{
    rf_generations *list = NULL;
    uint32_t count = 0;

    MUST(rf_generations_list(store, "soak_streams", &list, &must_err));
    (void)rf_generations_items(list, &count);
    CHECK(count <= KEEP + 1);
    rf_generations_free(list);
}

/* ---- a day ---- */

static void begin(struct day *day)
{
    const rf_store_options options = {.create = true, .partitions = PARTITIONS};
    const rf_rebuild_options rebuild = {.run = {.workers = 2}};
    char streams_path[160], owners_path[160];
    const char *paths[] = {streams_path, owners_path};
    static uint32_t streams[STREAMS_FIRST];
    rf_rebuild_report *report = NULL;
    rf_store *store = NULL;
    known_log log = {0};

    MUST(rf_store_open(day->store_path, &options, &store, &must_err));
    known_init(&log, day->seed, STREAMS_MAX);
    for (uint32_t i = 0; i < STREAMS_FIRST; i++)
        streams[i] = i;
    import_streams(day, store, &log, streams, STREAMS_FIRST);
    known_free(&log);
    atomic_store(&day->shared->stream_count, STREAMS_FIRST);
    (void)snprintf(streams_path, sizeof streams_path, "%s/streams.lua", day->dir);
    (void)snprintf(owners_path, sizeof owners_path, "%s/owners.lua", day->dir);
    known_write_definitions(streams_path, owners_path, 1);
    MUST(rf_rebuild(store, paths, 2, &rebuild, &report, &must_err));
    rf_rebuild_report_free(report);
    rf_store_close(store);
}

/* All commits up to the next night, and the night. */
static void pass_day(struct day *day, rf_store *store, pid_t follower, uint32_t night,
                     struct watch *watch)
{
    while (atomic_load(&day->shared->commits) < (night + 1) * (day->commits / NIGHTS)) {
        look(day, store, follower, watch);
        roles_look();
        roles_sleep_ms(POLL_MS);
    }
    rebuild(day, store);
    collect(store);
    if (night >= 4)
        check_collected(store);
    atomic_fetch_add(&day->shared->night, 1);
}

static void wait_for(const atomic_bool *flag)
{
    double end = roles_seconds() + 60;

    while (!atomic_load(flag)) {
        CHECK(roles_seconds() < end);
        roles_sleep_ms(5);
    }
}

/* What was measured after the first nights is what it may be after the last. */
static void check_bounds(const size_bytes *first, const size_bytes *last, uint64_t rows_first,
                         uint64_t rows_last, unsigned long memory_first_kib,
                         unsigned long memory_last_kib)
{
    double more_rows = (double)rows_last / (double)rows_first;

    CHECK((double)last->generations <= 1.5 * more_rows * (double)first->generations + MEBI);
    CHECK((double)last->live <= 1.5 * more_rows * (double)first->live + MEBI);
    CHECK((double)memory_last_kib <= 1.5 * (double)memory_first_kib + 4096);
}

static void check_end(struct day *day, rf_store *store)
{
    const rf_follow_options once = {.once = true, .run = {.workers = 2}};
    const rf_verify_options serial = {.serial = true};
    rf_verify_result result;
    rf_reader *reader = NULL;
    known_log log = {0};
    rf_row row;

    MUST(rf_follow(store, &once, &must_err));
    known_init(&log, day->seed, STREAMS_MAX);
    MUST(rf_reader_open(store, "soak_streams", 0, &reader, &must_err));
    CHECK(rf_reader_get_info(reader)->position == atomic_load(&day->shared->events));
    scan_with_pause(day, reader, &log, false);
    for (uint32_t i = 0; i < atomic_load(&day->shared->stream_count); i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "s-%06u", i);
        MUST(rf_reader_get(reader, slice_of(key), &row, &must_err));
        CHECK(row.values[0].integer == (int64_t)atomic_load(&day->shared->versions[i]));
    }
    rf_reader_close(reader);
    known_free(&log);
    MUST(rf_verify(store, &serial, &result, &must_err));
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    return remove(path);
}

static void run(struct day *day)
{
    struct watch total = {0};
    size_bytes first = {0}, now = {0};
    uint64_t rows_first = 0;
    unsigned long memory_first_kib = 0;

    (void)roles_start_ending("the writer", writer_role, day);
    pid_t follower = roles_start("the follower", follower_role, day);
    (void)roles_start_ending("the paused reader", paused_reader_role, day);
    (void)roles_start("the reader", reader_role, day);
    rf_store *store = open_store(day);
    for (uint32_t night = 0; night < NIGHTS; night++) {
        char when[32];
        struct watch watch = {.position_last = total.position_last};
        if (night == 4) {
            atomic_store(&day->shared->may_resume, true);
            wait_for(&day->shared->has_resumed);
        }
        pass_day(day, store, follower, night, &watch);
        if (night == 2)
            wait_for(&day->shared->is_paused);
        now = measure_store(day);
        (void)snprintf(when, sizeof when, "day %u", night + 1);
        tell(day, when, &watch, now);
        if (night == 1) {
            first = now;
            rows_first = watch.rows;
            memory_first_kib = watch.memory_largest_kib;
        }
        /* a merge is due at a tenth of the rows; while a night has LOCK it waits */
        CHECK(watch.delta_rows_largest <= watch.rows / 4);
        total.moves += watch.moves;
        total.position_last = watch.position_last;
        total.rows = watch.rows;
        total.memory_largest_kib = watch.memory_largest_kib;
    }
    printf("%lu moves of the follower seen, slowest commit of the log %.1f ms\n", total.moves,
           roles_largest_ms(&day->shared->write));
    atomic_store(&day->shared->is_over, true);
    *day->stop = 1;
    roles_end();
    check_end(day, store);
    check_bounds(&first, &now, rows_first, total.rows, memory_first_kib,
                 total.memory_largest_kib);
    rf_store_close(store);
}

int main(int argc, char **argv)
{
    CHECK(argc > 2);
    struct day day = {.seed = strtoull(argv[1], NULL, 10),
                      .commits = strtoul(argv[2], NULL, 10)};
    const char *folder = getenv("TMPDIR");

    CHECK(day.commits >= NIGHTS);
    day.commits -= day.commits % NIGHTS;
    day.shared = roles_share(sizeof *day.shared);
    day.stop = roles_share(sizeof *day.stop);
    (void)snprintf(day.dir, sizeof day.dir, "%s/refold-soak-XXXXXX", folder ? folder : "/tmp");
    CHECK(mkdtemp(day.dir));
    (void)snprintf(day.store_path, sizeof day.store_path, "%s/s.refold", day.dir);
    printf("seed %llu\n", (unsigned long long)day.seed);
    begin(&day);
    run(&day);
    CHECK(nftw(day.dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
    return 0;
}
