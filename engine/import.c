/* Import: files of events into the log, in batches. See refold/import.h.
 *
 * lock -> pool and appender -> per file: blocks of parsed events -> appender, commit at a bound of
 * bytes or time -> the small segments merged. Whatever fails, what was committed stays, and the
 * message says how far the store is.
 */
#include "refold/import.h"

#include "base/clock.h"
#include "log/append.h"
#include "source/jsonl.h"
#include "store.h"

#include <inttypes.h>

/* A batch ends with whichever comes first. The bytes are those that it holds in memory. Stored they are
 * a tenth to a third, and each commit makes a segment a partition: of large events few go into one. */
#define BATCH_BYTES_MAX ((uint64_t)192 << 20)
#define BATCH_SECONDS_MAX 1.0
#define PROGRESS_SECONDS 1.0

typedef struct import {
    const rf_import_options *options;
    rf_appender *appender;
    double begun;
    double batch_begun; /* 0: nothing taken since the last commit */
    double progress_told;
    uint64_t events; /* taken */
} import;

static void import_tell(import *run, double now)
{
    const rf_run *options = &run->options->run;
    rf_progress progress = {.what = "import", .done = run->events, .seconds = now - run->begun};

    run->progress_told = now;
    options->progress(options->progress_arg, &progress);
}

static rf_status import_take(void *arg, const rf_event *events, size_t count, rf_err *err)
{
    import *run = arg;
    const rf_run *options = &run->options->run;

    if (options->cancel && *options->cancel)
        return rf_fail(err, RF_ERR_INTERRUPTED, "import interrupted");
    rf_status status = rf_appender_add(run->appender, events, count, err);
    if (status)
        return status;
    run->events += count;
    double now = rf_clock_seconds();
    if (run->batch_begun == 0 && count > 0)
        run->batch_begun = now;
    if (!run->options->atomic && run->batch_begun > 0 &&
        (rf_appender_pending_bytes(run->appender) >= BATCH_BYTES_MAX ||
         now - run->batch_begun >= BATCH_SECONDS_MAX)) {
        status = rf_appender_commit(run->appender, err);
        run->batch_begun = 0;
        now = rf_clock_seconds();
    }
    if (options->progress && now - run->progress_told >= PROGRESS_SECONDS)
        import_tell(run, now);
    return status;
}

/* Adds to a failure what still holds. */
static void import_failed(const import *run, rf_err *err)
{
    rf_append_counts counts;

    rf_appender_get_counts(run->appender, &counts);
    if (counts.added > 0)
        (void)rf_err_suffix(err,
                            "%" PRIu64 " event%s added, up to position %" PRIu64
                            ", and none after",
                            counts.added, counts.added == 1 ? " was" : "s were", counts.position);
    else
        (void)rf_err_suffix(err, "nothing was added, the store is at position %" PRIu64,
                            counts.position);
}

static rf_status import_files(import *run, const char *const *paths, uint32_t path_count,
                              rf_pool *pool, rf_jsonl_stats *stats, rf_err *err)
{
    rf_event_shapes *shapes = rf_event_shapes_new();
    rf_status status = RF_OK;

    if (!shapes)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for importing");
    for (uint32_t i = 0; i < path_count && !status; i++)
        status = rf_jsonl_read(paths[i], run->options, pool, shapes, import_take, run, stats, err);
    if (!status && run->options->run.cancel && *run->options->run.cancel)
        status = rf_fail(err, RF_ERR_INTERRUPTED, "import interrupted");
    if (!status)
        status = rf_appender_finish(run->appender, err);
    if (status)
        import_failed(run, err);
    rf_event_shapes_free(shapes);
    return status;
}

static void import_sum(const import *run, const rf_jsonl_stats *stats, rf_import_summary *out)
{
    rf_append_counts counts;

    rf_appender_get_counts(run->appender, &counts);
    *out = (rf_import_summary){
        .lines = stats->lines,
        .bytes = stats->bytes,
        .added = counts.added,
        .duplicates = counts.duplicates,
        .late = counts.late,
        .streams = counts.streams,
        .position = counts.position,
        .seconds = rf_clock_seconds() - run->begun,
        .member_count = stats->member_count,
    };
    memcpy(out->members, stats->members, sizeof out->members);
}

rf_status rf_import_files(rf_store *store, const char *const *paths, uint32_t path_count,
                          const rf_import_options *options, rf_import_summary *summary_out,
                          rf_err *err)
{
    rf_import_options none = {.run = {.workers_default = true}};
    import run = {.options = options ? options : &none, .begun = rf_clock_seconds() };
    rf_import_summary summary = {0};
    rf_jsonl_stats stats = {0};
    rf_pool *pool = NULL;
    rf_err own = {0}; /* the message is added to, also where the caller wants none */
    int lock = -1;

    run.progress_told = run.begun;
    const rf_run *options_run = &run.options->run;
    rf_append_options append = {run.options->source, run.options->gaps_allow};
    rf_status status = rf_store_lock_import(store, options_run->wait_lock_ms, &lock, &own);
    if (!status)
        status =
            rf_pool_new(options_run->workers_default ? rf_processor_count() : options_run->workers,
                        &pool, &own);
    if (!status)
        status = rf_appender_begin(store->log, pool, &append, &run.appender, &own);
    if (!status) {
        status = import_files(&run, paths, path_count, pool, &stats, &own);
        import_sum(&run, &stats, &summary);
    }
    rf_appender_free(run.appender);
    rf_pool_free(pool);
    rf_lock_release(lock);
    if (summary_out)
        *summary_out = summary;
    if (status && err)
        *err = own;
    return status;
}
