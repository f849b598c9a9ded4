/* Steps: the segments of a partition in position order, decoded, for the worker that folds them;
 * decoded ahead by workers that have nothing else to do.
 *
 * Folding a partition is one worker's work, because events of a key are folded in order. Decoding
 * is not: a segment does not depend on the one before. So each worker opens its partition's steps
 * and decodes them itself, one by one; and a worker that finds no partition left to begin helps
 * another, decoding the next segments into steps of its own until some RF_STEPS_AHEAD wait there.
 * That is what a log with one large stream, or the last partitions of any log, need.
 *
 *     folding:   begin -> (next -> done) … -> end            of rf_ahead_steps(ahead, worker)
 *     helping:   rf_ahead_help, once all partitions have been begun
 *
 * Threads: each rf_steps has a mutex, and rf_ahead one; none is taken under another. A step belongs
 * to the worker that decodes it, then to the one that folds it (at next), then to the first again
 * (at done).
 */
#ifndef RF_REBUILD_STEPS_H
#define RF_REBUILD_STEPS_H

#include "log/log.h"
#include "rebuild/plan.h"

typedef struct rf_ahead rf_ahead;
typedef struct rf_steps rf_steps;

enum { RF_STEPS_AHEAD = 4 }; /* decoded and not folded, of a partition */

typedef struct rf_ahead_config {
    rf_log *log;
    const rf_definition *const *definitions; /* borrowed, as the census, until free */
    uint32_t definition_count;
    const rf_census_type *census;
    uint32_t census_count;
    uint32_t worker_count;
    uint32_t partition_count; /* that will be folded */
    uint64_t until;           /* last position */
    bool lenient;             /* see rf_plan_be_lenient */
    const volatile int *cancel; /* see rf_plan_set_cancel */
} rf_ahead_config;

rf_ahead *rf_ahead_new(const rf_ahead_config *config); /* NULL without memory */
void rf_ahead_free(rf_ahead *ahead);                   /* takes NULL */
rf_steps *rf_ahead_steps(rf_ahead *ahead, uint32_t worker);
/* Whether any handler reads the event's stream or its category; its category. */
bool rf_ahead_reads_names(const rf_ahead *ahead);
bool rf_ahead_reads_category(const rf_ahead *ahead);
/* Once nobody works: so many partitions will be folded now. */
void rf_ahead_restart(rf_ahead *ahead, uint32_t partition_count);
/* A partition was folded, or failed. */
void rf_ahead_partition_done(rf_ahead *ahead);
/* Decodes for others until all partitions are done. */
void rf_ahead_help(rf_ahead *ahead, uint32_t worker);
/* Over all workers, once none works. */
uint64_t rf_ahead_bytes_decoded(const rf_ahead *ahead);
double rf_ahead_decode_seconds(const rf_ahead *ahead);

/* Which events of a partition are wanted: those of the streams [first, first + count). Segments
 * that have none of these are left out. */
typedef struct rf_steps_range {
    uint32_t partition;
    uint32_t first, count;
    uint32_t stream_count;      /* of the partition */
    const rf_slice *streams;    /* see rf_plan_input */
    const rf_slice *categories;
    rf_arena *text; /* keeps what event structs refer to, until the caller lets go of it */
    uint64_t from, until; /* positions; 0: from the first, until that of the config */
} rf_steps_range;

typedef struct rf_step {
    rf_log_step log; /* valid until done */
    rf_plan_segment bound;
    /* private */
    struct rf_plan *plan;
    rf_log_scan *scan;
    rf_arena text;
    uint64_t sequence;
    rf_plan_fault fault;
    rf_status status;
    rf_err failure;
    _Atomic int state;
} rf_step;

void rf_steps_begin(rf_steps *steps, const rf_steps_range *range);
/* *step_out is NULL at the end. For a failure to decode, *fault_out says whose event it is, and
 * *step_out where. */
rf_status rf_steps_next(rf_steps *steps, rf_step **step_out, rf_plan_fault *fault_out, rf_err *err);
void rf_steps_done(rf_steps *steps, rf_step *step);
/* Also in the middle, after a failure. */
void rf_steps_end(rf_steps *steps);

#endif
