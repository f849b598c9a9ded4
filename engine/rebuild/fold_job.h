/* What the parts of a fold share: the job, and its workers. Private to the files fold*.c; see
 * fold.h. */
#ifndef RF_REBUILD_FOLD_JOB_H
#define RF_REBUILD_FOLD_JOB_H

#include "log/names.h"
#include "projection/runner.h"
#include "rebuild/event_block.h"
#include "rebuild/fold.h"
#include "rebuild/spill.h"
#include "rebuild/state.h"
#include "rebuild/steps.h"

#include <stdatomic.h>

enum { RF_FOLD_REASON_SIZE = 256 };
#define RF_FOLD_NO_REASON "a handler failed without giving a reason"

typedef struct rf_fold_job rf_fold_job;
typedef struct rf_fold_worker rf_fold_worker;

/* What handlers get; `fold` is first. */
typedef struct rf_fold_context {
    rf_fold fold;
    rf_fold_worker *worker;
    char reason[RF_FOLD_REASON_SIZE];
} rf_fold_context;

/* The calls of one definition for one type of the segment at hand. What most events need of it is in
 * one line of the cache. */
typedef struct rf_fold_lane {
    _Alignas(64) rf_event_block block; /* of the only call; `call` is NULL where it has none */
    const rf_plan_call *calls;
    uint32_t call_count;
    uint32_t ordinal; /* of the next event of the type; not counted where there is a block */
} rf_fold_lane;
enum { RF_FOLD_BLOCKS_BYTES = 64 << 10 }; /* of all lanes' blocks: types beyond them go without */

/* Calls that wait for a runner, with a copy of each one's event struct. */
enum { RF_FOLD_BATCH = 512 };
typedef struct rf_fold_batch {
    rf_runner_call calls[RF_FOLD_BATCH];
    uint32_t events[RF_FOLD_BATCH]; /* of the segment, by call */
    char *structs;                  /* `stride` bytes a call */
    size_t stride;
    uint32_t count;
} rf_fold_batch;

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
    rf_runner **runners; /* NULL for definitions whose handlers are C functions */
    rf_fold_batch **batches; /* likewise */
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
    /* fold_start.c: of the partition's streams, which have events, and their names in name order */
    uint8_t *touched;
    uint32_t touched_count;
    rf_stream_name *touched_names; /* in names_arena */
    rf_log_scan *scan;
    uint8_t *exists; /* of the range, for several definitions: whether any has the row */
    rf_fold_lane *lanes;
    uint32_t lane_capacity;
    char *blocks; /* RF_FOLD_BLOCKS_BYTES */
    rf_log_mapped mapped;
    double last_progress;
    double fold_s, emit_s;
    uint64_t ranges_spilled;
    /* events that were left out: one list per definition; how many before the partition at hand, and
     * before the range */
    rf_faults *faults;
    uint32_t *faults_begin, *faults_before;
    int64_t *positions; /* of a segment's events; NULL until needed */
    char *row_before;   /* of the row at hand, before the event at hand */
    char *rows_before;  /* of a batch's rows, before it; NULL until needed, as the next */
    uint8_t *flags_before;
    rf_fold_failure failure; /* that this worker met last */
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

/* fold_batch.c: runners and batches for the definitions that need them. */
rf_status rf_fold_batch_begin(rf_fold_worker *worker, rf_err *err);
void rf_fold_batch_end(rf_fold_worker *worker);
/* Folds those events begin to end of a segment that a lane handles, or of those `listed`. A failure's
 * event is *event_out; UINT32_MAX where it is about none. */
rf_status rf_fold_batch_events(rf_fold_worker *worker, const rf_step *step, uint32_t target,
                               const uint32_t *listed, uint32_t begin, uint32_t end,
                               uint32_t *event_out, rf_err *err);
/* The calls of one event, to be run later; the batch has room for them. */
void rf_fold_batch_add(rf_fold_batch *batch, const rf_state *state, const rf_fold_lane *lane,
                       uint32_t event, uint32_t ordinal, uint32_t stream);

/* fold_guarded.c: whether the segment may have events of the definition that are left out, and how
 * it is folded then. The worker's lanes are set. */
bool rf_fold_needs_guard(const rf_fold_worker *worker, const rf_step *step, uint32_t target);
rf_status rf_fold_guarded(rf_fold_worker *worker, const rf_step *step, uint32_t target,
                          rf_err *err);
/* Makes note of an event that failed, and shuts its key out where that is the policy. */
rf_status rf_fold_leave_out(rf_fold_worker *worker, const rf_step *step, uint32_t target,
                            uint32_t event, rf_slice reason, rf_err *err);

/* fold_guarded_batch.c: the same for a runner's calls. add gathers an event's; settle runs what was
 * gathered, and leaves out events that fail. */
rf_status rf_fold_guarded_batch_add(rf_fold_worker *worker, const rf_step *step, uint32_t target,
                                    uint32_t event, uint32_t ordinal, uint32_t stream, rf_err *err);
rf_status rf_fold_guarded_batch_settle(rf_fold_worker *worker, const rf_step *step, uint32_t target,
                                       rf_err *err);

/* fold_events.c: the handlers of one event, in their order, up to one that fails. */
rf_fold_result rf_fold_call(rf_fold *fold, const rf_state *state, const rf_fold_lane *lane,
                            uint32_t event, uint32_t ordinal, uint32_t stream);
/* Says of which event `reason` is. */
rf_status rf_fold_blame(rf_fold_worker *worker, const rf_log_step *step, uint32_t event,
                        uint32_t target, rf_status failure, const char *reason, rf_err *err);
rf_status rf_fold_refuse_result(rf_fold_worker *worker, const rf_log_step *step, uint32_t event,
                                uint32_t target, rf_fold_result result, rf_err *err);

/* fold_names.c: names for handlers that read them: of all streams of the range, or of those that are
 * given, which stay valid; the others' are empty. */
rf_status rf_fold_read_names(rf_fold_worker *worker, rf_err *err);
rf_status rf_fold_index_names(rf_fold_worker *worker, const rf_stream_name *names, uint32_t count,
                              rf_err *err);

/* fold_start.c, for a fold that begins behind the first event. begin sets the states of the range,
 * which is all of the partition, to what the targets' sources give for its streams that have events;
 * emit gives these to the sinks. */
rf_status rf_fold_start_begin(rf_fold_worker *worker, rf_err *err);
rf_status rf_fold_start_emit(rf_fold_worker *worker, rf_err *err);

/* fold.c: sets the worker's states to those of a range of its partition before the first event. */
rf_status rf_fold_range_begin(rf_fold_worker *worker, rf_fold_range range, rf_err *err);
/* What a range adds beside its rows is forgotten where it is begun anew. */
void rf_fold_range_mark(rf_fold_worker *worker);
void rf_fold_range_forget(rf_fold_worker *worker);

/* fold_chosen.c: folds the chosen streams of the worker's partition, and gives their rows to the sinks. */
rf_status rf_fold_chosen(rf_fold_worker *worker, rf_err *err);

/* fold_emit.c: the rows of the worker's range, which is all of the partition, to the sinks. */
rf_status rf_fold_emit(rf_fold_worker *worker, rf_err *err);
/* The rows of the worker's range to a run of their own; and in the end all runs, of which `ranges` tells
 * the streams, and the range at hand, which has the others, to the sinks. */
rf_status rf_fold_spill(rf_fold_worker *worker, rf_err *err);
rf_status rf_fold_emit_spilled(rf_fold_worker *worker, const rf_fold_range *ranges, uint32_t count,
                               rf_err *err);

#endif
