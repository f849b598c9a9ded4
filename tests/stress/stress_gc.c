/* New generations, swaps and gc with keep 1 beside readers that open and close all the time: whatever a reader opened
 * stays whole until it closes, and everything else is collected in the end.
 *
 *     stress_gc [GENERATIONS [READERS]]      100 and 4 without
 */
#include "../unit/generations_fixture.h"
#include "base/file.h"
#include "refold/generation.h"
#include "refold/read.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ROWS = 300, PARTITIONS = 4, READERS_MAX = 64 };

typedef struct race_state {
    /* fixed after start */
    rf_store *store;
    /* atomic */
    atomic_bool is_over;
    atomic_ulong opened;
} race_state;

static void *read_rows(void *arg)
{
    race_state *race = arg;

    while (!atomic_load(&race->is_over)) {
        rf_reader *reader;
        rf_cursor *cursor;
        rf_row row;
        rf_err err = {0};
        unsigned long rows = 0;
        rf_status status = rf_reader_open(race->store, "stamps", 0, &reader, &err);
        if (status != RF_OK)
            (void)fprintf(stderr, "%s\n", err.message);
        FIXTURE_CHECK(status == RF_OK);
        int64_t generation = (int64_t)rf_reader_get_info(reader)->generation;
        FIXTURE_CHECK(rf_cursor_open(reader, NULL, &cursor, &err) == RF_OK);
        while (rf_cursor_next(cursor, &row, &err) == RF_OK) {
            FIXTURE_CHECK(row.values[0].integer == generation);
            rows++;
        }
        FIXTURE_CHECK(rows == ROWS);
        rf_cursor_close(cursor);
        rf_reader_close(reader);
        atomic_fetch_add(&race->opened, 1);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int generations = argc > 1 ? atoi(argv[1]) : 100;
    int readers = argc > 2 ? atoi(argv[2]) : 4;
    rf_store_options options = {.create = true, .partitions = PARTITIONS};
    static const char *const name = "stamps";
    pthread_t threads[READERS_MAX];
    char dir[] = "/tmp/refold-stress-XXXXXX", path[64];
    rf_gc_result result;
    race_state race = {0};
    rf_generations *list;
    rf_flip flip;
    rf_err err = {0};
    uint32_t removed = 0, in_use = 0, left;

    FIXTURE_CHECK(readers > 0 && readers <= READERS_MAX);
    /* The thread sanitizer leaves too little address space for maps of full size. */
    FIXTURE_CHECK(setenv("REFOLD_MAP_BYTES", "1073741824", 0) == 0);
    FIXTURE_CHECK(mkdtemp(dir) != NULL);
    (void)snprintf(path, sizeof path, "%s/s.refold", dir);
    if (rf_store_open(path, &options, &race.store, &err) != RF_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    for (int i = 0; i < generations; i++) {
        (void)fixture_generation(race.store->catalog, name, 1, PARTITIONS, ROWS, 0);
        FIXTURE_CHECK(rf_swap(race.store, &name, 1, 0, 0, &flip, &err) == RF_OK);
        for (int t = 0; i == 0 && t < readers; t++)
            FIXTURE_CHECK(pthread_create(&threads[t], NULL, read_rows, &race) == 0);
        FIXTURE_CHECK(rf_gc(race.store, name, 1, -1, &result, &err) == RF_OK);
        removed += result.removed;
        in_use += result.in_use;
    }
    atomic_store(&race.is_over, true);
    for (int t = 0; t < readers; t++)
        (void)pthread_join(threads[t], NULL);
    FIXTURE_CHECK(rf_gc(race.store, name, 1, 0, &result, &err) == RF_OK);
    FIXTURE_CHECK(result.in_use == 0);
    FIXTURE_CHECK(removed + result.removed == (uint32_t)generations - 1);
    FIXTURE_CHECK(rf_generations_list(race.store, name, &list, &err) == RF_OK);
    FIXTURE_CHECK(rf_generations_items(list, &left)[0].number == (uint64_t)generations && left == 1);
    rf_generations_free(list);
    (void)printf("%d generations beside %lu readers, %u skipped while in use, all collected\n",
                 generations, atomic_load(&race.opened), in_use);
    rf_store_close(race.store);
    FIXTURE_CHECK(rf_dir_remove(dir, NULL) == RF_OK);
    return 0;
}
