/* Gates: the last look at a sealed generation, beside the live one, before it may go live.
 *
 * Keys of both are compared partition by partition, in key order, on the pool. A gate that refuses
 * leaves the generation sealed and kept, not live.
 */
#ifndef RF_GATES_H
#define RF_GATES_H

#include "base/pool.h"
#include "catch_up_late.h"
#include "refold/rebuild.h"
#include "store.h"

typedef struct rf_gate_counts {
    uint64_t rows_before;
    uint64_t added, removed; /* keys */
} rf_gate_counts;

/* Compares the generation of `manifest` with generation `live` of the same read model (0: none), at
 * one position: where that one is further, `late` brings the new one there first.
 * RF_ERR_REFUSED with the reason when a gate refuses; *counts_out is filled then, too. */
rf_status rf_gates_check(rf_store *store, rf_pool *pool, const rf_manifest *manifest, uint64_t live,
                         rf_catch_up_late *late, const rf_rebuild_options *options, rf_gate_counts *counts_out,
                         rf_err *err);

#endif
