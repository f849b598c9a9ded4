/* Import: parsing lines, appending what was parsed, reading the names of streams back. The floors:
 * reading the file and finding its lines; copying the names.
 */
#include "micro.h"

#include "base/clock.h"
#include "base/file.h"
#include "event/event_shape.h"
#include "log/append.h"
#include "source/jsonl.h"
#include "source/lines.h"
#include "store/store.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_SIZE = 512 << 10 };
#define NAMES_BYTES_MAX ((size_t)1 << 30)

/* Confined to the bench. */
struct import {
    const char *log, *folder;
    uint32_t stores; /* made so far: each append needs a fresh one */
    rf_pool *pool;   /* 0 workers */
    rf_appender *appender;
    double seconds; /* in the appender */
    uint64_t lines, bytes;
    rf_store *store; /* of the last append */
    rf_event_shapes *shapes;
    char *names;
    size_t names_size;
};

static rf_status find_lines(void *arg, double *seconds_out, rf_err *err)
{
    struct import *import = arg;
    char *buffer = malloc(READ_SIZE);
    int fd = open(import->log, O_RDONLY | O_CLOEXEC);
    ssize_t got = -1;
    uint64_t lines = 0;

    (void)seconds_out;
    while (buffer && fd >= 0 && (got = read(fd, buffer, READ_SIZE)) > 0)
        for (char *at = buffer; (at = memchr(at, '\n', (size_t)(buffer + got - at))); at++)
            lines++;
    if (fd >= 0)
        (void)close(fd);
    free(buffer);
    import->lines = lines;
    return got == 0 ? RF_OK : rf_fail(err, RF_ERR_IO, "%s: cannot be read", import->log);
}

static rf_status drop(void *arg, const rf_event *events, const rf_event_note *notes, size_t count,
                      rf_slice cursor, rf_err *err)
{
    (void)arg;
    (void)events;
    (void)notes;
    (void)count;
    (void)cursor;
    (void)err;
    return RF_OK;
}

static rf_status read_log(struct import *import, rf_events_take into, rf_jsonl_stats *stats,
                          rf_err *err)
{
    const rf_import_options options = {0};
    rf_feed *feed = NULL;

    rf_status status = rf_lines_open(import->log, NULL, &feed, err);
    if (status == RF_OK)
        status = rf_jsonl_read(feed, &options, import->pool, import->shapes,
                               &(rf_events_sink){into, NULL, import}, stats, err);
    rf_feed_close(feed);
    return status;
}

static rf_status parse(void *arg, double *seconds_out, rf_err *err)
{
    struct import *import = arg;
    rf_jsonl_stats stats = {0};

    (void)seconds_out;
    rf_status status = read_log(import, drop, &stats, err);
    import->lines = stats.lines;
    import->bytes = stats.bytes;
    return status;
}

static rf_status take(void *arg, const rf_event *events, const rf_event_note *notes, size_t count,
                      rf_slice cursor, rf_err *err)
{
    struct import *import = arg;
    (void)cursor;
    double start = rf_clock_seconds();

    rf_status status = rf_appender_add(import->appender, events, notes, count, err);
    import->seconds += rf_clock_seconds() - start;
    return status;
}

static rf_status open_store(struct import *import, rf_err *err)
{
    const rf_store_options options = {.create = true};
    char path[RF_PATH_SIZE];

    rf_store_close(import->store);
    import->store = NULL;
    if (mkdir(import->folder, 0777) != 0 && import->stores == 0)
        return rf_fail(err, RF_ERR_IO, "%s: cannot be made, or is there", import->folder);
    snprintf(path, sizeof path, "%s/%u.refold", import->folder, import->stores++);
    return rf_store_open(path, &options, &import->store, err);
}

/* Of the time only what the appender takes, commits and the merge at the end included. */
static rf_status append(void *arg, double *seconds_out, rf_err *err)
{
    struct import *import = arg;
    const rf_append_options options = {0};
    rf_jsonl_stats stats = {0};

    import->seconds = 0;
    rf_status status = open_store(import, err);
    if (status == RF_OK)
        status = rf_appender_begin(import->store->log, import->pool, &options, &import->appender,
                                   err);
    if (status == RF_OK)
        status = read_log(import, take, &stats, err);
    double start = rf_clock_seconds();
    if (status == RF_OK)
        status = rf_appender_finish(import->appender, err);
    *seconds_out = import->seconds + rf_clock_seconds() - start;
    rf_appender_free(import->appender);
    import->appender = NULL;
    return status;
}

/* ---- names ---- */

static rf_status list_names(void *arg, double *seconds_out, rf_err *err)
{
    struct import *import = arg;
    rf_log *log = import->store->log;
    rf_status status = RF_OK;
    rf_arena arena;

    (void)seconds_out;
    import->lines = 0;
    import->names_size = 0;
    rf_arena_init(&arena, NAMES_BYTES_MAX);
    for (uint32_t p = 0; status == RF_OK && p < import->store->partitions; p++) {
        rf_log_partition partition;
        rf_stream_name *names;
        uint32_t count = 0;
        rf_arena_reset(&arena);
        status = rf_log_get_partition(log, p, &partition, err);
        if (status == RF_OK)
            status = rf_log_names(log, p, partition.streams, &arena, &names, &count, err);
        import->lines += count;
        for (uint32_t i = 0; status == RF_OK && i < count; i++)
            import->names_size += names[i].name.size;
    }
    rf_arena_free(&arena);
    return status;
}

static rf_status copy_names(void *arg, double *seconds_out, rf_err *err)
{
    struct import *import = arg;

    (void)seconds_out;
    (void)err;
    memcpy(import->names, import->names + import->names_size, import->names_size);
    __asm__ volatile("" : : "r"(import->names) : "memory");
    return RF_OK;
}

static rf_status measure_names(micro *bench, struct import *import, rf_err *err)
{
    double seconds;
    rf_status status = list_names(import, &seconds, err);
    if (status != RF_OK)
        return status;
    import->names = calloc(2, import->names_size);
    if (!import->names)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for names");
    micro_case one = {
        "copying them", "name", import->lines, import->names_size, true, copy_names, import};
    micro_title("names of streams, in order");
    status = micro_measure(bench, &one, err);
    one = (micro_case){
        "listing them", "name", import->lines, import->names_size, false, list_names, import};
    if (status == RF_OK)
        status = micro_measure(bench, &one, err);
    free(import->names);
    return status;
}

rf_status micro_import(micro *bench, rf_err *err)
{
    struct import import = {.log = bench->log, .folder = bench->folder};
    double seconds;

    rf_status status = rf_pool_new(0, &import.pool, err);
    import.shapes = rf_event_shapes_new();
    if (status == RF_OK && !import.shapes)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for the shapes of events");
    if (status == RF_OK)
        status = parse(&import, &seconds, err);
    if (status == RF_OK) {
        micro_case one = {
            "reading the file, finding lines", "event", import.lines, import.bytes, true,
            find_lines, &import};
        micro_title("import");
        status = micro_measure(bench, &one, err);
        one = (micro_case){"parsing", "event", import.lines, import.bytes, false, parse, &import};
        if (status == RF_OK)
            status = micro_measure(bench, &one, err);
        one.name = "appending, durable";
        one.run = append;
        if (status == RF_OK)
            status = micro_measure(bench, &one, err);
    }
    if (status == RF_OK)
        status = measure_names(bench, &import, err);
    rf_store_close(import.store);
    rf_event_shapes_free(import.shapes);
    rf_pool_free(import.pool);
    return status;
}
