/* What a walk over two generations finds, counted: rows by what became of them, and columns.
 *
 *     rf_diff_tally_new -> rf_diff_walk (with rf_diff_tally_row) -> rf_diff_tally_sum -> free
 *
 * One part a partition, confined to the worker that walks it. Of rows only keys are kept, the first few
 * of each kind of change and the first in which a column differs: so memory does not depend on how
 * much differs, and what is shown not on the workers.
 */
#ifndef RF_DIFF_TALLY_H
#define RF_DIFF_TALLY_H

#include "base/arena.h"
#include "compare/diff_columns.h"

typedef struct rf_diff_tally rf_diff_tally;

/* All borrowed. `samples`: keys that are kept of each kind of change. */
rf_status rf_diff_tally_new(const rf_diff_columns *columns, uint32_t partitions, uint32_t samples,
                            const volatile int *cancel, rf_diff_tally **tally_out, rf_err *err);
void rf_diff_tally_free(rf_diff_tally *tally); /* takes NULL */

/* An rf_diff_fn whose `arg` is the tally. */
rf_status rf_diff_tally_row(void *arg, uint32_t partition, const rf_diff_row *row, rf_err *err);
/* The same where the row is compared already: `differs` is what the values say. */
rf_status rf_diff_tally_note(rf_diff_tally *tally, uint32_t partition, const rf_diff_row *row,
                             const rf_diff_values *values, bool differs, rf_err *err);

typedef struct rf_diff_sum {
    uint64_t counts[RF_DIFF_OPS];
    uint64_t *changed;    /* one a pair of the columns; owned, as all that follows */
    rf_slice *first_keys; /* one a pair, of the first row in which it differs; data NULL: there is none */
    rf_slice *keys[RF_DIFF_OPS]; /* the first ones, in order */
    uint32_t key_counts[RF_DIFF_OPS];
    rf_arena memory;
} rf_diff_sum;
rf_status rf_diff_tally_sum(const rf_diff_tally *tally, rf_diff_sum *sum_out, rf_err *err);
void rf_diff_sum_free(rf_diff_sum *sum); /* a zeroed one too */

#endif
