/* Import: events into the log, in batches. See refold/import.h.
 *
 * lock -> pool and appender -> per source: its feed from where it stood -> blocks of parsed events -> appender, commit at a bound of
 * bytes or time -> the small segments merged. A commit is written while the next blocks are taken. Whatever
 * fails, what was committed stays, and the message says how far the store is.
 *
 * Who follows has the lock only while it reads and takes, up to the end of the commit. What another import
 * brought meanwhile the appender learns with its next batch: what both read is known again.
 */
#include "import_lines.h"

#include "base/clock.h"
#include "log/append.h"
#include "source/jsonl.h"
#include "source/memory_feed.h"
#include "source/source.h"
#include "store/store.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

/* A batch ends with whichever comes first. The bytes are those that it holds in memory. Stored they are
 * a tenth to a third, and each commit makes a segment a partition: of large events few go into one. */
#define BATCH_BYTES_MAX ((uint64_t)192 << 20)
#define BATCH_SECONDS_MAX 1.0
#define PROGRESS_SECONDS 1.0
enum { LOCK_STEP_MS = 200 };

typedef struct import {
    const rf_import_options *options;
    rf_store *store;
    rf_log *log;
    int lock; /* log/IMPORT; -1: not held, and nothing is taken that is not committed */
    rf_appender *appender;
    double begun;
    double batch_begun; /* 0: nothing taken since the last commit */
    double progress_told;
    uint64_t events; /* taken */
    rf_feed *first; /* opened before there was a store, for the first source; NULL: it is opened in its turn */
    bool may_unmake; /* the store is this import's own: one that fails and adds nothing leaves none behind */
    bool is_unmade;
} import;

static void import_tell(import *run, double now)
{
    const rf_run *options = &run->options->run;
    rf_progress progress = {.what = "import", .done = run->events, .seconds = now - run->begun};

    run->progress_told = now;
    options->progress(options->progress_arg, &progress);
}

/* Whether what was taken is to be committed now. One that follows has nothing to wait for. */
static bool batch_is_due(const import *run, double now, bool is_waiting)
{
    return !run->options->atomic && run->batch_begun > 0 &&
           (rf_appender_pending_bytes(run->appender) >= BATCH_BYTES_MAX ||
            now - run->batch_begun >= BATCH_SECONDS_MAX || (is_waiting && run->options->follow));
}

static bool is_cancelled(const import *run)
{
    return run->options->run.cancel && *run->options->run.cancel;
}

/* Before anything is read or taken after a wait: others' imports have an end. */
static rf_status import_lock(void *arg, rf_err *err)
{
    import *run = arg;
    rf_status status = run->lock < 0 ? RF_ERR_LOCKED : RF_OK;

    while (status == RF_ERR_LOCKED && !is_cancelled(run))
        status = rf_store_lock_import(run->store, LOCK_STEP_MS, &run->lock, err);
    return status == RF_ERR_LOCKED ? rf_fail(err, RF_ERR_INTERRUPTED, "import interrupted") : status;
}

/* While nothing comes. */
static void import_unlock(import *run)
{
    rf_lock_release(run->lock);
    run->lock = -1;
}

static rf_status import_take(void *arg, const rf_event *events, const rf_event_note *notes,
                             size_t count, rf_slice cursor, rf_err *err)
{
    import *run = arg;
    const rf_run *options = &run->options->run;

    bool is_waiting = count == 0 && cursor.size == 0;
    if (is_cancelled(run))
        return rf_fail(err, RF_ERR_INTERRUPTED, "import interrupted");
    rf_status status = is_waiting ? RF_OK : import_lock(run, err);
    if (!status)
        status = rf_appender_add(run->appender, events, notes, count, err);
    if (!status && cursor.size > 0)
        status = rf_appender_set_cursor(run->appender, cursor, err);
    if (status)
        return status;
    run->events += count;
    double now = rf_clock_seconds();
    if (run->batch_begun == 0 && !is_waiting)
        run->batch_begun = now;
    if (batch_is_due(run, now, is_waiting)) {
        /* Nobody may come by for long where it waits. */
        status = is_waiting ? rf_appender_commit(run->appender, err)
                            : rf_appender_commit_begin(run->appender, err);
        run->batch_begun = 0;
        now = rf_clock_seconds();
    }
    if (!status && is_waiting)
        status = rf_appender_settle(run->appender, err);
    if (!status && is_waiting && run->options->follow && run->batch_begun == 0)
        import_unlock(run);
    if (options->progress && now - run->progress_told >= PROGRESS_SECONDS)
        import_tell(run, now);
    return status;
}

/* A store that only this import knows, and nothing is in. */
static bool store_unmake(import *run)
{
    rf_err unused;

    run->is_unmade =
        run->may_unmake && run->lock >= 0 && rf_store_unmake(run->store, &unused) == RF_OK;
    return run->is_unmade;
}

/* Adds to a failure what still holds. A commit that was on its way comes before it. */
static rf_status import_failed(import *run, rf_status status, rf_err *err)
{
    rf_append_counts counts;
    rf_err before;

    rf_status settled = rf_appender_settle(run->appender, &before);
    if (settled) {
        status = settled;
        *err = before;
    }
    rf_appender_get_counts(run->appender, &counts);
    if (counts.added > 0)
        (void)rf_err_suffix(err,
                            "%" PRIu64 " event%s added, up to position %" PRIu64
                            ", and none after",
                            counts.added, counts.added == 1 ? " was" : "s were", counts.position);
    else if (store_unmake(run))
        (void)rf_err_suffix(err, "nothing was added, and no store was made");
    else
        (void)rf_err_suffix(err, "nothing was added, the store is at position %" PRIu64,
                            counts.position);
    return status;
}

/* Where the source stands. Only an import changes that, and this one has the lock. */
static rf_status source_find(const import *run, rf_log_source *source_out, rf_err *err)
{
    const char *name = run->options->source ? run->options->source : "main";
    rf_log_source *sources;
    uint32_t count;

    rf_status status = rf_log_sources(run->log, &sources, &count, err);
    if (status)
        return status;
    *source_out = (rf_log_source){0};
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(sources[i].name, name) == 0)
            *source_out = sources[i];
    }
    free(sources);
    return RF_OK;
}

/* `name` NULL: what the program writes. */
static rf_status import_source(import *run, const char *name, rf_pool *pool,
                               rf_event_shapes *shapes, rf_jsonl_stats *stats, rf_err *err)
{
    rf_feed *feed = run->first;
    rf_log_source source = {0};
    const rf_events_sink sink = {import_take, import_lock, run};
    rf_status status = RF_OK;

    run->first = NULL;
    if (feed) {
        status = rf_jsonl_read(feed, run->options, pool, shapes, &sink, stats, err);
        rf_feed_close(feed);
        return status;
    }
    if (!name || rf_source_kind_of(name) != RF_SOURCE_FILE) {
        /* What an earlier source of this call brought is part of where this one begins. */
        status = run->options->atomic ? RF_OK : rf_appender_commit(run->appender, err);
        run->batch_begun = 0;
        if (!status)
            status = source_find(run, &source, err);
        if (status)
            return status;
    }
    rf_feed_start start = {.mark = source.mark, .cursor = {source.cursor, source.cursor_size}};
    if (run->options->from_start)
        start.cursor = RF_SLICE("");
    status = rf_source_open(name, run->options, &start, &feed, err);
    if (!status)
        status = rf_jsonl_read(feed, run->options, pool, shapes, &sink, stats, err);
    rf_feed_close(feed);
    return status;
}

enum { EXEC_PAUSE_FIRST_MS = 1000, EXEC_PAUSE_LAST_MS = 30000, PAUSE_STEP_MS = 100 };

static rf_status import_pause(const import *run, int ms, rf_err *err)
{
    const struct timespec step = {0, PAUSE_STEP_MS * 1000000L};

    for (int waited = 0; waited < ms; waited += PAUSE_STEP_MS) {
        if (is_cancelled(run))
            return rf_fail(err, RF_ERR_INTERRUPTED, "import interrupted");
        (void)nanosleep(&step, NULL);
    }
    return RF_OK;
}

/* What the program writes; to follow it is to run it again and again, less and less often while it has
 * nothing new. */
static rf_status import_exec(import *run, rf_pool *pool, rf_event_shapes *shapes,
                             rf_jsonl_stats *stats, rf_err *err)
{
    int pause = EXEC_PAUSE_FIRST_MS;
    rf_status status = import_source(run, NULL, pool, shapes, stats, err);

    while (!status && run->options->follow) {
        rf_append_counts before, after;
        rf_appender_get_counts(run->appender, &before);
        status = rf_appender_commit(run->appender, err);
        run->batch_begun = 0;
        if (!status) {
            import_unlock(run);
            status = import_pause(run, pause, err);
        }
        if (!status)
            status = import_lock(run, err);
        if (!status)
            status = import_source(run, NULL, pool, shapes, stats, err);
        if (!status)
            status = rf_appender_commit(run->appender, err);
        rf_appender_get_counts(run->appender, &after);
        pause = after.added > before.added ? EXEC_PAUSE_FIRST_MS : 2 * pause;
        if (pause > EXEC_PAUSE_LAST_MS)
            pause = EXEC_PAUSE_LAST_MS;
    }
    return status;
}

static rf_status follow_ended(const import *run, rf_err *err)
{
    rf_status status = run->lock < 0 ? RF_OK : rf_appender_commit(run->appender, err);

    return status ? status : rf_fail(err, RF_ERR_INTERRUPTED, "import interrupted");
}

static rf_status import_sources(import *run, const char *const *sources, uint32_t source_count,
                                rf_pool *pool, rf_jsonl_stats *stats, rf_err *err)
{
    rf_event_shapes *shapes = rf_event_shapes_new();
    rf_status status = RF_OK;

    if (!shapes)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for importing");
    for (uint32_t i = 0; i < source_count && !status; i++)
        status = import_source(run, sources[i], pool, shapes, stats, err);
    if (!status && run->options->exec)
        status = import_exec(run, pool, shapes, stats, err);
    if (!status && is_cancelled(run))
        status = rf_fail(err, RF_ERR_INTERRUPTED, "import interrupted");
    if (!status)
        status = rf_appender_finish(run->appender, err);
    /* Who follows ends by an interrupt; what was taken is whole up to there. */
    if (status == RF_ERR_INTERRUPTED && run->options->follow)
        status = follow_ended(run, err);
    if (status)
        status = import_failed(run, status, err);
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

rf_status rf_import_check(const char *const *sources, uint32_t source_count,
                          const rf_import_options *options, rf_err *err)
{
    rf_import_options none = {0};
    rf_status status = RF_OK;

    options = options ? options : &none;
    if (options->follow && source_count + (options->exec != NULL) > 1)
        return rf_fail(err, RF_ERR_USAGE, "--follow takes one source");
    for (uint32_t i = 0; i < source_count && !status; i++)
        status = rf_source_check(sources[i], options, err);
    if (!status && options->exec)
        status = rf_source_check(NULL, options, err);
    return status;
}

static const rf_import_options import_defaults = {.run = {.workers_default = true}};

/* `first` is closed. `unmade_out` NULL: the store stays, whatever becomes of the import. */
static rf_status import_into(rf_store *store, const char *const *sources, uint32_t source_count,
                             const rf_import_options *options, rf_feed *first, bool *unmade_out,
                             rf_import_summary *summary_out, rf_err *err)
{
    import run = {.options = options,
                  .first = first,
                  .may_unmake = unmade_out != NULL && store->is_made,
                  .store = store,
                  .log = store->log,
                  .lock = -1,
                  .begun = rf_clock_seconds()};
    rf_import_summary summary = {0};
    rf_jsonl_stats stats = {0};
    rf_pool *pool = NULL;
    rf_err own = {0}; /* the message is added to, also where the caller wants none */

    run.progress_told = run.begun;
    const rf_run *options_run = &run.options->run;
    rf_append_options append = {run.options->source, run.options->gaps_allow};
    rf_status status = rf_store_lock_import(store, options_run->wait_lock_ms, &run.lock, &own);
    if (!status)
        status =
            rf_pool_new(options_run->workers_default ? rf_processor_count() : options_run->workers,
                        &pool, &own);
    if (!status)
        status = rf_appender_begin(store->log, pool, &append, &run.appender, &own);
    if (!status) {
        status = import_sources(&run, sources, source_count, pool, &stats, &own);
        import_sum(&run, &stats, &summary);
    }
    rf_feed_close(run.first);
    rf_appender_free(run.appender);
    rf_pool_free(pool);
    import_unlock(&run);
    if (summary_out)
        *summary_out = summary;
    if (unmade_out)
        *unmade_out = run.is_unmade;
    if (status && err)
        *err = own;
    return status;
}

rf_status rf_import_files(rf_store *store, const char *const *sources, uint32_t source_count,
                          const rf_import_options *options, rf_import_summary *summary_out,
                          rf_err *err)
{
    return import_into(store, sources, source_count, options ? options : &import_defaults, NULL, NULL,
                       summary_out, err);
}

rf_status rf_import_lines(rf_store *store, rf_slice lines, const rf_import_options *options,
                          rf_import_summary *summary_out, rf_err *err)
{
    const char *name = "events";
    rf_feed *feed = NULL;

    *summary_out = (rf_import_summary){0};
    rf_status status = rf_memory_feed_open(lines, &feed, err);
    return status == RF_OK ? import_into(store, &name, 1, options, feed, NULL, summary_out, err)
                           : status;
}

/* A database that cannot be read is known before there is a store. */
static rf_status source_begin(const char *source, const rf_import_options *options,
                              rf_feed **feed_out, rf_err *err)
{
    const rf_feed_start start = {.cursor = RF_SLICE("")};
    rf_source_kind kind = rf_source_kind_of(source);

    if (kind != RF_SOURCE_SQLITE && kind != RF_SOURCE_POSTGRES)
        return RF_OK;
    rf_status status = rf_source_open(source, options, &start, feed_out, err);
    if (!status)
        status = rf_feed_begin(*feed_out, err);
    if (status)
        (void)rf_err_suffix(err, "nothing was added, and no store was made");
    return status;
}

rf_status rf_import_create(const char *path, uint32_t partitions, const char *const *sources,
                           uint32_t source_count, const rf_import_options *options,
                           rf_store **store_out, rf_import_summary *summary_out, rf_err *err)
{
    rf_store_options made = {.create = false, .partitions = partitions};
    rf_feed *first = NULL;
    rf_store *store = NULL;
    bool is_unmade = false;
    rf_err own = {0};

    options = options ? options : &import_defaults;
    *summary_out = (rf_import_summary){0};
    rf_status status = rf_store_open(path, &made, &store, &own);
    if (status == RF_ERR_ABSENT) {
        made.create = true;
        status = source_count > 0 ? source_begin(sources[0], options, &first, &own) : RF_OK;
        if (!status)
            status = rf_store_open(path, &made, &store, &own);
    }
    if (status)
        rf_feed_close(first);
    else
        status = import_into(store, sources, source_count, options, first, &is_unmade, summary_out,
                             &own);
    if (is_unmade) {
        rf_store_close(store);
        store = NULL;
    }
    *store_out = store;
    if (status && err)
        *err = own;
    return status;
}
