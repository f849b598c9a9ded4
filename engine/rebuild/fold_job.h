/* What the parts of a fold share: the job, and its workers. Private to fold.c, fold_events.c and
 * fold_emit.c; see fold.h. */
#ifndef RF_REBUILD_FOLD_JOB_H
#define RF_REBUILD_FOLD_JOB_H

#include "log/names.h"
#include "rebuild/fold.h"
#include "rebuild/spill.h"
#include "rebuild/state.h"
#include "rebuild/steps.h"

#include <stdatomic.h>

enum { RF_FOLD_REASON_SIZE = 256 };

typedef struct rf_fold_job rf_fold_job;
typedef struct rf_fold_worker rf_fold_worker;

/* What handlers get; `fold` is first. */
typedef struct rf_fold_context {
    rf_fold fold;
    rf_fold_worker *worker;
    char reason[RF_FOLD_REASON_SIZE];
} rf_fold_context;

/* The calls of one definition for one type of the segment at hand. */
typedef struct rf_fold_lane {
    const rf_plan_call *calls;
    uint32_t call_count;
    uint32_t ordinal; /* of the next event of the type */
} rf_fold_lane;

/* Streams that are folded together: of a partition all, where memory allows. */
typedef struct rf_fold_range {
    uint32_t first, count;
} rf_fold_range;

/* Confined to its thread. */
struct rf_fold_worker {
    rf_fold_job *job;
    uint32_t index;
    rf_fold_context context;
    rf_steps *steps;
    rf_state *states; /* one per definition, as the next two */
    uint64_t *events; /* that its handlers got */
    uint64_t *events_before; /* the same, before the range at hand */
    rf_spill **spills; /* NULL until needed */
    rf_arena text;    /* what rows and event structs refer to */
    size_t text_live; /* bytes of it after the last evacuation */
    char *spare; /* what alloc gives when there is no memory: the fold fails, the handler goes on */
    bool out_of_memory;
    uint32_t partition;
    uint32_t stream_count; /* of the partition */
    rf_fold_range range;
    rf_log_names_cursor *names;
    rf_arena names_arena;
    rf_slice *names_by_number;      /* of the range; NULL unless a handler reads these */
    rf_slice *categories_by_number; /* likewise */
    uint32_t *listed; /* events of a segment */
    uint8_t *wanted;  /* by type: whether the definition at hand has calls */
    uint8_t *exists; /* of the range, for several definitions: whether any has the row */
    rf_fold_lane *lanes;
    uint32_t lane_capacity;
    uint64_t mapped_bytes; /* of the log that were read since it was last unloaded */
    double last_progress;
    double fold_s, emit_s;
    uint64_t ranges_spilled;
};

struct rf_fold_job {
    /* fixed after start */
    rf_log *log;
    rf_fold_target *targets;
    uint32_t target_count;
    const rf_fold_options *options;
    const rf_definition **definitions;
    uint32_t *order; /* partitions, largest first */
    uint32_t partition_count;
    rf_census *census;
    rf_ahead *ahead;
    size_t text_budget;      /* of a worker, as the next two */
    uint32_t streams_budget; /* how many are folded together */
    uint64_t mapped_budget;
    double start;
    rf_fold_worker *workers;
    uint32_t worker_count;
    /* atomic */
    atomic_uint_fast64_t events_done;
};

/* fold_events.c: folds the events of the worker's range into its states. *fits_out is false where
 * the text of so many rows is beyond the budget: the states are to be dropped then. */
rf_status rf_fold_range_fold(rf_fold_worker *worker, bool *fits_out, rf_err *err);

/* fold_emit.c: the rows of the worker's range, which is all of the partition, to the sinks. */
rf_status rf_fold_emit(rf_fold_worker *worker, rf_err *err);
/* The rows of the worker's range to a run of their own, and in the end all runs to the sinks. */
rf_status rf_fold_spill(rf_fold_worker *worker, rf_err *err);
rf_status rf_fold_emit_spilled(rf_fold_worker *worker, const rf_fold_range *ranges, uint32_t count,
                               rf_err *err);

#endif
