/* Rebuilds by many workers of a log in which one stream has half of the events, within little memory and
 * beside an import: workers fold, spill, and decode ahead for each other. Every rebuild up to the same
 * position has to give the same digest. A program of its own, because Criterion and ThreadSanitizer do not go
 * together.
 *
 *     stress_rebuild PROJECTION [REBUILDS [WORKERS]]      10 and 8 without
 */
#include "base/file.h"
#include "refold/import.h"
#include "refold/rebuild.h"
#include "refold/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EVENTS = 40000, LATER_FILES = 5 };

#define CHECK(condition, err)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, (err).message); \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct later_import {
    /* fixed after start */
    rf_store *store;
    const char *dir;
} later_import;

static void write_events(const char *path, int begin, int count)
{
    FILE *file = fopen(path, "w");

    if (!file)
        abort();
    for (int i = begin; i < begin + count; i++)
        (void)fprintf(file,
                      "{\"stream\":\"%s-%d\",\"type\":\"%s\",\"time\":\"2024-07-10T12:00:00Z\",\"data\":{\"n\":%d}}\n",
                      i % 2 ? "case" : "large", i % 2 ? i % 7001 : 0, i % 3 ? "Moved" : "Changed", i);
    if (fclose(file) != 0)
        abort();
}

static void import_file(rf_store *store, const char *path)
{
    rf_import_summary summary;
    rf_err err = {0};

    CHECK(rf_import_files(store, &path, 1, NULL, &summary, &err) == RF_OK, err);
}

static void *import_later(void *arg)
{
    later_import *later = arg;
    char path[128];

    (void)snprintf(path, sizeof path, "%s/later.jsonl", later->dir);
    for (int i = 0; i < LATER_FILES; i++) {
        write_events(path, EVENTS + i * 1000, 1000);
        import_file(later->store, path);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int rebuilds = argc > 2 ? atoi(argv[2]) : 10;
    uint32_t workers = argc > 3 ? (uint32_t)atoi(argv[3]) : 8;
    rf_store_options store_options = {.create = true, .partitions = 8};
    char dir[] = "/tmp/refold-stress-XXXXXX", path[128], digest[33] = "";
    rf_store *store;
    pthread_t thread;
    rf_err err = {0};

    if (argc < 2)
        return 2;
    /* The thread sanitizer leaves too little address space for maps of full size. */
    CHECK(setenv("REFOLD_MAP_BYTES", "1073741824", 0) == 0, err);
    CHECK(mkdtemp(dir) != NULL, err);
    (void)snprintf(path, sizeof path, "%s/s.refold", dir);
    CHECK(rf_store_open(path, &store_options, &store, &err) == RF_OK, err);
    (void)snprintf(path, sizeof path, "%s/events.jsonl", dir);
    write_events(path, 0, EVENTS);
    import_file(store, path);
    later_import later = {store, dir};
    CHECK(pthread_create(&thread, NULL, import_later, &later) == 0, err);
    for (int i = 0; i < rebuilds; i++) {
        rf_rebuild_options options = {
            .until = EVENTS,
            .no_swap = true,
            .memory_bytes = i % 2 ? 1 : 0,
            .run = {.workers = workers},
        };
        rf_rebuild_report *report = NULL;
        const char *projection = argv[1];
        CHECK(rf_rebuild(store, &projection, 1, &options, &report, &err) == RF_OK, err);
        CHECK(i == 0 || strcmp(report->projections[0].digest, digest) == 0, err);
        memcpy(digest, report->projections[0].digest, sizeof digest);
        rf_rebuild_report_free(report);
    }
    (void)pthread_join(thread, NULL);
    (void)printf("%d rebuilds by %u workers: %s\n", rebuilds, workers, digest);
    rf_store_close(store);
    CHECK(rf_dir_remove(dir, NULL) == RF_OK, err);
    return 0;
}
