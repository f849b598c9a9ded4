/* Repairing a read model: chosen rows folded anew from their events.
 *
 * Of the live generation, or of a colour (NAME@VERSION), with the definition and the policy that it keeps, and up to where it is. Rows that
 * turn out otherwise than they are stored are put right in one transaction, in the generation's delta;
 * its position stays. So a row that a handler got wrong once, or whose block on the disk is damaged, is
 * served right again without a rebuild. Where rows are made of one stream's events each, only these
 * streams are folded; otherwise all events are, and only chosen rows compared.
 */
#ifndef REFOLD_REPAIR_H
#define REFOLD_REPAIR_H

#include "refold/diff.h"

/* A row that was repaired. What it points at is valid for the call. */
typedef struct rf_repaired {
    const rf_reader_info *info; /* of key and columns; rows and digest as they were before */
    rf_diff_op op;
    rf_row before; /* values NULL: there was none, or it could not be read */
    rf_row after;  /* values NULL: there is none */
    bool was_damaged; /* what was stored could not be read; then op is never RF_DIFF_ADD */
} rf_repaired;

typedef struct rf_repair_options {
    const char *const *keys; /* as the command line takes them */
    uint32_t key_count;
    const char *prefix; /* instead of keys: all that begin with it; "" is every row */
    bool dry_run;       /* tells what would change; takes no lock and writes nothing */
    /* Called on the calling thread, in key order, once it is committed (or would be). NULL: not asked for. */
    rf_status (*visit)(void *arg, const rf_repaired *repaired, rf_err *err);
    void *visit_arg;
    rf_run run;
} rf_repair_options;

typedef struct rf_repair_result {
    uint64_t generation;
    uint64_t position;
    uint64_t rows; /* chosen ones that the events give */
    uint64_t counts[RF_DIFF_OPS];
    uint64_t damaged;   /* of these: could not be read */
    bool is_unsearched; /* with a prefix: whether there are stored rows that no event gives is not known,
                           because blocks cannot be read */
} rf_repair_result;

/* Takes LOCK. Whoever follows the read model goes on meanwhile; where it moves faster than rows are
 * folded, RF_ERR_LOCKED, and nothing is changed. RF_ERR_USAGE for keys that do not fit. */
RF_API rf_status rf_repair(rf_store *store, const char *name, const rf_repair_options *options,
                           rf_repair_result *result_out, rf_err *err);

#endif
