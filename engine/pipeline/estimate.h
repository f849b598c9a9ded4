/* What a rebuild would read and about how long it would take, from a sample of the log's segments
 * that is decoded as a fold would decode it.
 *
 * Some segments, spread over partitions and positions (all, where there are few), are bound by a
 * plan: so what is counted is what a rebuild reads, columns, payloads and what upcasters read, and
 * the time is that of this machine. What follows decoding, which cannot be tried without folding,
 * is reckoned by event and row, at rates that were measured (estimate.c). A sampled event that could
 * not be taken is a finding: it would stop the rebuild.
 */
#ifndef RF_ESTIMATE_H
#define RF_ESTIMATE_H

#include "pipeline/preflight.h"

typedef struct rf_estimate {
    uint64_t bytes;   /* stored, of the columns that are read */
    double seconds;   /* of a rebuild on `workers` */
    uint32_t workers; /* one a processor */
} rf_estimate;

/* Adds findings to the preflight's list. `position`: the log's last. */
rf_status rf_estimate_run(rf_store *store, const rf_resolved *resolved, uint64_t position,
                          rf_preflight *preflight, rf_estimate *estimate_out, rf_err *err);

#endif
