/* The difference of two generations of a read model, row by row.
 *
 *     rf_diff_open (both) -> rf_diff_walk -> rf_diff_close (both)
 *
 * Each side is base and delta as they were when it was opened. Partitions are walked on the pool, each
 * in key order; a row has one encoding, so rows are compared as bytes and nothing is decoded. That
 * means something only where both have the same columns; keys it tells of always.
 */
#ifndef RF_DIFF_H
#define RF_DIFF_H

#include "base/pool.h"
#include "catalog/rows.h"
#include "store/store.h"

typedef struct rf_diff_side {
    rf_pinned pinned;
    rf_delta_part delta;
    rf_checkpoint checkpoint;
} rf_diff_side;

/* A side that is none: close takes it. */
#define RF_DIFF_NONE ((rf_diff_side){.pinned = {.lock_fd = -1}})

rf_status rf_diff_open(rf_store *store, const char *name, uint64_t generation,
                       rf_diff_side *side_out, rf_err *err);
void rf_diff_close(rf_diff_side *side);
/* Whether they have the same rows, by their digests. */
bool rf_diff_is_empty(const rf_diff_side *before, const rf_diff_side *after);

typedef struct rf_diff_row {
    rf_slice key;
    rf_slice before, after; /* as stored; data NULL: there is none */
} rf_diff_row;

/* Called for each key whose rows differ, by the worker that has the partition; what it points at is
 * valid for the call. A failure ends the walk. */
typedef rf_status (*rf_diff_fn)(void *arg, uint32_t partition, const rf_diff_row *row, rf_err *err);

typedef struct rf_diff_counts {
    uint64_t added, removed, changed; /* keys */
} rf_diff_counts;

/* `visit` and `cancel` may be NULL. */
rf_status rf_diff_walk(rf_store *store, rf_pool *pool, const volatile int *cancel,
                       const rf_diff_side *before, const rf_diff_side *after, rf_diff_fn visit,
                       void *arg, rf_diff_counts *counts_out, rf_err *err);

/* The same on the calling thread, `visit` called in key order over all partitions. */
rf_status rf_diff_walk_in_order(const volatile int *cancel, const rf_diff_side *before,
                                const rf_diff_side *after, rf_diff_fn visit, void *arg, rf_diff_counts *counts_out,
                                rf_err *err);

/* The same where both stand on one base: only keys of either delta are looked at. `visit` is called in key order, for
 * partition 0. */
rf_status rf_diff_walk_deltas(const volatile int *cancel, const rf_diff_side *before,
                              const rf_diff_side *after, rf_diff_fn visit, void *arg, rf_err *err);

/* A row of a side, by `reader` of its base: *row_out has no data where there is none. Valid while the side
 * and the reader are open. */
rf_status rf_diff_find(const rf_diff_side *side, rf_base_reader *reader, rf_slice key,
                       rf_slice *row_out, rf_err *err);

#endif
