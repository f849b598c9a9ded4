/* The fold: one pass over the log's partitions for any number of definitions.
 *
 * A task is a partition. A worker walks its segments; per segment it decodes the columns that the
 * handlers name, of the types that they handle (plan.h), then runs over the events in position order
 * and calls each handler with the row of the event's stream: states are an array by stream number,
 * confined to the worker. Then it emits: names in name order, each existing row to the sink. Nothing
 * is sorted, nothing leaves the worker before its rows do. A worker that finds no partition left
 * decodes ahead for the others (steps.h).
 *
 * Text that rows refer to stays alive as long as it is needed: the decoded text of a partition is
 * kept in an arena, and when that has grown past its budget the live text columns are copied to a
 * fresh one (evacuation).
 *
 * Where the states of a partition are beyond the budget of memory, its streams are folded range by
 * range of their numbers: each range reads the segments that have any of it, which are few, since
 * numbers are given as streams begin. The rows of a range go to the disk in name order (spill.h),
 * and in the end the ranges are read side by side. So rows and digest are the same for any budget.
 *
 * A fold may also begin behind the log's first event (options.from): then the rows of the keys that
 * have events begin as the target's `start` gives them, and only these keys leave, to `row` or, where
 * they have none now, to `gone` (fold_start.c). Or it is of chosen streams only (options.chosen), from
 * the first event on: these leave in the same way, and of the log only segments that may have any of
 * them are decoded (fold_chosen.c).
 */
#ifndef RF_REBUILD_FOLD_H
#define RF_REBUILD_FOLD_H

#include "base/pool.h"
#include "log/log.h"
#include "projection/definition.h"
#include "rebuild/faults.h"
#include "refold/store.h"

/* Rows of one definition and partition, in key order. `row` is the definition's row struct; both
 * are valid during the call. */
typedef rf_status (*rf_row_sink)(void *arg, uint32_t worker, uint32_t partition, rf_slice key,
                                 const void *row, rf_err *err);
/* The partition is complete for this definition. */
typedef rf_status (*rf_partition_sink)(void *arg, uint32_t worker, uint32_t partition, rf_err *err);

/* How a key stood before the first event that is folded. */
typedef enum rf_start {
    RF_START_NONE,     /* there was no such row */
    RF_START_ROW,      /* it is in `row` now, which was unset, its text in `text` */
    RF_START_SHUT_OUT, /* an event of it failed: it is in quarantine */
} rf_start;
typedef rf_status (*rf_row_source)(void *arg, uint32_t worker, rf_slice key, rf_arena *text,
                                   void *row, rf_start *start_out, rf_err *err);
/* The keys of rows as they stood before the first event that is folded: those that begin with the key of
 * a stream, `visit` is called for each with a key that is valid during the call. */
typedef rf_status (*rf_key_visit)(void *arg, rf_slice key, rf_err *err);
typedef rf_status (*rf_key_source)(void *arg, uint32_t worker, rf_slice stream_key,
                                   rf_key_visit visit, void *visit_arg, rf_err *err);
/* A key that had events, and no row now. */
typedef rf_status (*rf_gone_sink)(void *arg, uint32_t worker, rf_slice key, rf_err *err);

typedef struct rf_fold_target {
    const rf_definition *definition;
    rf_row_sink row;
    rf_partition_sink partition_end; /* NULL: not asked for */
    rf_row_source start; /* where the fold does not begin with the first event */
    rf_key_source list;  /* likewise, for handlers that get every row of a stream */
    rf_gone_sink gone;   /* likewise, and where it is of chosen streams */
    void *sink_arg;
    rf_fault_policy policy; /* zeroed: the first event that fails ends the fold */
    uint64_t events;  /* out: that its handlers got */
    bool needs_all;   /* out: stored rows did not tell enough to go on from; nothing it gave counts */
    uint64_t keyless; /* out: that some handler did not get for want of a key */
    rf_faults faults; /* out: what was left out by its policy, in position order; after success or
                         failure the caller frees it */
} rf_fold_target;

/* The event that ended a fold. */
typedef struct rf_fold_failure {
    uint64_t position; /* 0: it was no event's fault */
    uint32_t target;
} rf_fold_failure;

/* A stream that is folded alone. */
typedef struct rf_fold_stream {
    uint32_t partition, number;
    rf_slice name;
} rf_fold_stream;

typedef struct rf_fold_options {
    uint64_t from;         /* first position folded; 0 and 1: from empty rows on */
    uint64_t until;        /* last position folded */
    uint64_t memory_bytes; /* for rows, text and mapped pages of the log, over all workers */
    const char *spill_dir; /* where rows go for which memory is too small; NULL: nowhere */
    const volatile int *cancel;
    rf_progress_fn progress;
    void *progress_arg;
    rf_fold_failure *failure_out; /* NULL: not asked for */
    /* With a count, these streams, by partition and number; for definitions whose rows are of_streams, and
     * with `from` 0. Rows of other streams may leave to `row` too, and are right; `gone` is only told where
     * they are by_stream. */
    const rf_fold_stream *chosen;
    size_t chosen_count;
} rf_fold_options;

typedef struct rf_fold_stats {
    uint64_t bytes_decoded;
    double decode_s, fold_s, emit_s; /* added over the workers */
    uint64_t ranges_spilled; /* whose rows went to the disk first */
} rf_fold_stats;

/* Definitions whose rows are not those of streams are folded one after another (exchange.h). */
rf_status rf_fold_run(rf_log *log, rf_pool *pool, rf_fold_target *targets, uint32_t target_count,
                      const rf_fold_options *options, rf_fold_stats *stats_out, rf_err *err);

/* The chosen streams of a partition, which may be none. */
size_t rf_fold_chosen_of(const rf_fold_options *options, uint32_t partition,
                         const rf_fold_stream **streams_out);

/* The order in which partitions are best folded, for rf_log_partitions of them. */
rf_status rf_fold_order(rf_log *log, uint32_t *order, rf_err *err);
/* Bytes of the log that a worker may have mapped (rf_log_touched). */
uint64_t rf_fold_mapped_budget(const rf_fold_options *options, uint32_t worker_count);

#endif
