/* Appending to the log: identity, positions, segments, streams, census, HEAD, in commits.
 *
 * begin -> (add … commit or commit_begin) again and again -> finish -> free
 *
 * rf_appender_add takes events in order and decides for each: new, a duplicate (ignored and
 * counted) or refused. What it took becomes visible and durable with the next commit, all together;
 * a refusal leaves only what was committed before. Events of a batch are handled partition by
 * partition on the pool, positions given in between in the order of the events. Processes that append
 * keep others out, as an import does (log/IMPORT): a commit refuses to go on from another state of the
 * log than its events were decided on.
 *
 * Small segments (of small commits) of a partition are merged past a bound and by finish, each
 * event at most once. An appender is confined to one thread; it runs its tasks on `pool`, and writes what
 * commit_begin is given on the pool's thread beside, while the next events are added. One commit is on
 * its way at a time.
 */
#ifndef RF_LOG_APPEND_H
#define RF_LOG_APPEND_H

#include "base/pool.h"
#include "event/event_note.h"
#include "log/log.h"

typedef struct rf_appender rf_appender;

typedef struct rf_append_options {
    const char *source; /* NULL: "main" */
    bool gaps_allow;
} rf_append_options;

typedef struct rf_append_counts {
    uint64_t added;
    uint64_t duplicates;
    uint64_t late;     /* added, though below the source's mark */
    uint64_t streams;  /* new ones */
    uint64_t position; /* the log's last, committed */
} rf_append_counts;

rf_status rf_appender_begin(rf_log *log, rf_pool *pool, const rf_append_options *options,
                            rf_appender **appender_out, rf_err *err);
/* The events, their notes and what they point at are borrowed until it returns. After a failure only settle,
 * get_counts and free are allowed. */
rf_status rf_appender_add(rf_appender *appender, const rf_event *events, const rf_event_note *notes,
                          size_t count, rf_err *err);
/* What the source says of how far it was read, all that was added included: kept with the next commit, in
 * its transaction, also where that commits nothing else. At most RF_LOG_CURSOR_SIZE_MAX bytes. */
rf_status rf_appender_set_cursor(rf_appender *appender, rf_slice cursor, rf_err *err);
/* Memory that what was taken since the last commit takes, and a commit on its way, about, for the
 * caller's limit. */
uint64_t rf_appender_pending_bytes(const rf_appender *appender);
/* Durable with HEAD when it returns RF_OK. */
rf_status rf_appender_commit(rf_appender *appender, rf_err *err);
/* The same, but it may still be on its way when this returns: durable, and in the counts, when the next
 * commit, or settle, has returned RF_OK. Its failure is that of the next call. */
rf_status rf_appender_commit_begin(rf_appender *appender, rf_err *err);
/* Waits for a commit that was begun. Also after a failure: what the counts then tell is what is stored.
 */
rf_status rf_appender_settle(rf_appender *appender, rf_err *err);
/* Commits, then merges small segments. */
rf_status rf_appender_finish(rf_appender *appender, rf_err *err);
/* So far; `position` and `added` of what is committed. */
void rf_appender_get_counts(const rf_appender *appender, rf_append_counts *counts_out);
/* Takes NULL. Waits for a commit that was begun; abandons what is not committed. */
void rf_appender_free(rf_appender *appender);

#endif
