/* A replay: the log folded once, from its start to a position, into sealed builds of any number of
 * definitions. What `rebuild` and `bench` have in common, and all that bench measures.
 *
 *     rf_replay_begin -> rf_replay_fold -> rf_replay_seal -> rf_replay_build … -> rf_replay_end
 *
 * After a failure only end is called. Called by the holder of the store's LOCK, on one thread.
 */
#ifndef RF_REPLAY_H
#define RF_REPLAY_H

#include "generation/build.h"
#include "generation/resolve.h"
#include "refold/rebuild.h"

#define RF_REPLAY_MEMORY_DEFAULT ((uint64_t)256 << 20)

typedef struct rf_replay {
    /* fixed after begin, borrowed until end */
    rf_store *store;
    const rf_resolved *resolved;
    rf_pool *pool;
    bool scratch;
    /* set by the caller between begin and fold; zeroed: the first event that fails ends it */
    rf_on_error on_error;
    uint64_t errors_max;
    /* owned; one per definition */
    rf_build **builds;
    rf_left_out_list *skips; /* on record at begin */
    rf_faults *faults;       /* what the fold left out */
    uint64_t *events; /* that its handlers got */
    uint64_t *keyless; /* that were left out by a handler for want of a key */
    /* results */
    uint64_t set; /* that the catalog has the builds as */
    uint64_t bytes_decoded;
    rf_timings timings; /* load, fold, emit, write and seal */
} rf_replay;

/* Makes the builds, and fixes which events are put aside. `scratch`: they are no generations, see build.h. Zeroed or begun, a replay may
 * be ended. */
rf_status rf_replay_begin(rf_replay *replay, rf_store *store, const rf_resolved *resolved,
                          rf_pool *pool, bool scratch, rf_err *err);
/* options->memory_bytes 0: 256 MiB. */
rf_status rf_replay_fold(rf_replay *replay, const rf_fold_options *options, rf_err *err);
/* Makes all builds durable and tells the catalog, see build.h. What was left out up to `position` is kept with the generations. */
rf_status rf_replay_seal(rf_replay *replay, uint64_t position, int64_t time_last, rf_err *err);
/* How many of the skips of a definition are of events up to `position`. */
uint32_t rf_replay_skips_until(const rf_replay *replay, uint32_t index, uint64_t position);
void rf_replay_end(rf_replay *replay);

#endif
