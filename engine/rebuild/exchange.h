/* The exchange: rows of other keys than the stream.
 *
 * Events of one key lie in many partitions of the log, and are folded in position order. So the log
 * is gone through window by window of positions, and each window has two halves:
 *
 *     scatter   a task is a partition of the log: its segments are decoded, what is carried is
 *               carried on, the row of each call's key is found or added, and the call becomes a
 *               record (position, handler, row, the event's struct) for the partition of that row
 *     fold      a task is a partition of the rows: its records are sorted by position, and the
 *               handlers called with their rows
 *
 * and in the end the rows of each partition are sorted by key and leave. Where all columns are
 * combined (combine.h) nothing has to be in order: workers fold what they decode into tables of
 * their own, which are merged when the rows leave.
 *
 * Memory: a window has as many events as fit their share of the budget. Where the rows themselves
 * turn out to be beyond theirs, some partitions of the rows are dropped and left to another pass
 * over the log. What is carried, eight bytes a stream and name and perhaps the text, stays in memory.
 *
 * Of chosen streams (fold.h) only the partitions and segments are gone through that have any (exchange_chosen.c).
 *
 * Faults: of all events that fail the first one by position is reported, whatever the number of
 * workers, windows and passes.
 */
#ifndef RF_REBUILD_EXCHANGE_H
#define RF_REBUILD_EXCHANGE_H

#include "rebuild/fold.h"

/* As rf_fold_run, for one definition that is not by_stream. */
rf_status rf_exchange_run(rf_log *log, rf_pool *pool, rf_fold_target *target,
                          const rf_fold_options *options, rf_fold_stats *stats_out, rf_err *err);

#endif
