/* Swaps and rollbacks between two generations beside reading threads. Each row carries its generation's number;
 * no reader may ever see two numbers in one scan or between a scan and the gets after it. A program of its own,
 * because Criterion and ThreadSanitizer do not go together.
 *
 *     stress_swap [SWAPS [READERS]]      1,000 and 4 without
 */
#include "../unit/generations_fixture.h"
#include "base/file.h"
#include "refold/generation.h"
#include "refold/read.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ROWS = 2000, PARTITIONS = 16, READERS_MAX = 64 };

typedef struct race_state {
    /* fixed after start */
    rf_store *store;
    /* atomic */
    atomic_bool is_over;
    atomic_ulong scans, gets, moves;
} race_state;

static void read_scan(race_state *race, rf_reader *reader)
{
    int64_t generation = (int64_t)rf_reader_get_info(reader)->generation;
    rf_cursor *cursor;
    rf_row row;
    rf_err err;
    unsigned long rows = 0;

    FIXTURE_CHECK(rf_cursor_open(reader, NULL, &cursor, NULL) == RF_OK);
    while (rf_cursor_next(cursor, &row, &err) == RF_OK) {
        FIXTURE_CHECK(row.values[0].integer == generation);
        rows++;
    }
    FIXTURE_CHECK(err.status == RF_ERR_NO_ROW);
    FIXTURE_CHECK(rows == ROWS);
    rf_cursor_close(cursor);
    atomic_fetch_add(&race->scans, 1);
}

static void read_gets(race_state *race, rf_reader *reader, unsigned *seed)
{
    int64_t generation = (int64_t)rf_reader_get_info(reader)->generation;
    rf_row row;
    char key[32];

    for (int i = 0; i < 200; i++) {
        (void)snprintf(key, sizeof key, "r-%06d", (int)((unsigned)rand_r(seed) % ROWS));
        FIXTURE_CHECK(rf_reader_get(reader, rf_slice_of(key), &row, NULL) == RF_OK);
        FIXTURE_CHECK(row.values[0].integer == generation);
    }
    atomic_fetch_add(&race->gets, 200);
}

static void *read_rows(void *arg)
{
    race_state *race = arg;
    unsigned seed = (unsigned)(uintptr_t)&race;

    while (!atomic_load(&race->is_over)) {
        rf_reader *reader;
        FIXTURE_CHECK(rf_reader_open(race->store, "stamps", 0, &reader, NULL) == RF_OK);
        for (int i = 0; i < 20 && !atomic_load(&race->is_over); i++) {
            bool changed;
            read_gets(race, reader, &seed);
            read_scan(race, reader);
            FIXTURE_CHECK(rf_reader_refresh(reader, &changed, NULL) == RF_OK);
            atomic_fetch_add(&race->moves, changed ? 1 : 0);
        }
        rf_reader_close(reader);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int swaps = argc > 1 ? atoi(argv[1]) : 1000;
    int readers = argc > 2 ? atoi(argv[2]) : 4;
    rf_store_options options = {.create = true, .partitions = PARTITIONS};
    static const char *const name = "stamps";
    pthread_t threads[READERS_MAX];
    char dir[] = "/tmp/refold-stress-XXXXXX", path[64];
    rf_gc_result removed;
    race_state race = {0};
    rf_flip flip;
    rf_err err = {0};
    double slowest = 0;

    FIXTURE_CHECK(readers > 0 && readers <= READERS_MAX);
    /* The thread sanitizer leaves too little address space for maps of full size. */
    FIXTURE_CHECK(setenv("REFOLD_MAP_BYTES", "1073741824", 0) == 0);
    FIXTURE_CHECK(mkdtemp(dir) != NULL);
    (void)snprintf(path, sizeof path, "%s/s.refold", dir);
    if (rf_store_open(path, &options, &race.store, &err) != RF_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    for (int i = 0; i < 2; i++)
        (void)fixture_generation(race.store->catalog, name, (uint64_t)i, PARTITIONS, ROWS, 0);
    FIXTURE_CHECK(rf_swap(race.store, &name, 1, 1, 0, &flip, &err) == RF_OK);
    for (int i = 0; i < readers; i++)
        FIXTURE_CHECK(pthread_create(&threads[i], NULL, read_rows, &race) == 0);
    for (int i = 0; i < swaps; i++) {
        double start = rf_clock_seconds();
        if (i % 2 == 0)
            FIXTURE_CHECK(rf_swap(race.store, &name, 1, 0, 0, &flip, &err) == RF_OK);
        else
            FIXTURE_CHECK(rf_rollback(race.store, &name, 1, 0, 0, &flip, &err) == RF_OK);
        FIXTURE_CHECK(flip.to == (i % 2 == 0 ? 2 : 1));
        double took = rf_clock_seconds() - start;
        slowest = took > slowest ? took : slowest;
        /* gc beside readers: both generations are among the two that it keeps. */
        if (i % 100 == 99) {
            FIXTURE_CHECK(rf_gc(race.store, name, 2, 0, &removed, &err) == RF_OK);
            FIXTURE_CHECK(removed.removed == 0);
        }
    }
    atomic_store(&race.is_over, true);
    for (int i = 0; i < readers; i++)
        (void)pthread_join(threads[i], NULL);
    (void)printf("%d swaps, slowest %.1f ms; %d readers: %lu scans, %lu gets, moved %lu times\n", swaps,
                 slowest * 1e3, readers, atomic_load(&race.scans), atomic_load(&race.gets),
                 atomic_load(&race.moves));
    rf_store_close(race.store);
    FIXTURE_CHECK(rf_dir_remove(dir, NULL) == RF_OK);
    return 0;
}
