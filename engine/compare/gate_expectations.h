/* The expectations of a definition, asked of every row of a generation; see projection/expectation.h.
 *
 * Partitions are walked on the pool, base and delta as one. What is told does not depend on the workers: of
 * the expectations that do not hold the first in the file, and of its rows the first by key.
 */
#ifndef RF_GATE_EXPECTATIONS_H
#define RF_GATE_EXPECTATIONS_H

#include "base/pool.h"
#include "compare/diff.h"
#include "projection/definition.h"

typedef struct rf_broken {
    uint32_t expectation; /* of the definition */
    uint64_t rows;        /* for which it does not hold */
    char keys[400];       /* of the first of these, with commas, as JSON */
} rf_broken;

/* *found_out false where all hold for all rows. */
rf_status rf_gate_expectations(const rf_definition *definition, rf_pool *pool,
                               const rf_diff_side *side, const volatile int *cancel,
                               rf_broken *broken_out, bool *found_out, rf_err *err);

#endif
