/* Gates: the last look at a sealed generation, beside the live one, before it may go live.
 *
 * Keys of both, and rows where that is asked for, are compared partition by partition, in key order, on the
 * pool; then keys that must be there are looked for, and the definition's expectations asked of every
 * row. A gate that refuses leaves the generation sealed and kept, not live, and says which it was, with
 * its figures and the commands to go on with.
 */
#ifndef RF_GATES_H
#define RF_GATES_H

#include "base/pool.h"
#include "catch_up/catch_up_late.h"
#include "compare/gate_keys.h"
#include "refold/generation.h"
#include "store/store.h"

typedef struct rf_gate_counts {
    uint64_t rows_before;
    uint64_t added, removed; /* keys */
    uint64_t changed;        /* rows of both that differ, see refold/diff.h; counted where a gate asks */
} rf_gate_counts;

/* All borrowed. */
typedef struct rf_gates {
    rf_store *store;
    rf_pool *pool;
    const rf_gate_options *options;
    const volatile int *cancel;
    const rf_gate_keys *keys; /* that must be there */
    uint64_t set; /* of read models that go live together; 0: each goes alone */
} rf_gates;

/* Ends the line of a refusal with the command that makes the generation live all the same: what goes with it too,
 * where it is of a set. `option` may be empty. */
void rf_gates_tell_swap(const rf_gates *gates, const rf_manifest *manifest, const char *option, rf_err *err);

/* Compares the generation of `manifest`, made by `definition`, with generation `live` of the same read
 * model (0: none), at one position: where that one is further, `late` brings the new one there first.
 * RF_ERR_REFUSED with the reason when a gate refuses; *counts_out is filled then, too. */
rf_status rf_gates_check(const rf_gates *gates, const rf_definition *definition,
                         const rf_manifest *manifest, uint64_t live, rf_catch_up_late *late,
                         rf_gate_counts *counts_out, rf_err *err);

#endif
