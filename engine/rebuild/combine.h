/* Combining: partial values of a row's columns, put together by what each column says.
 *
 * A handler of such a projection never sees what was there before: it gets an unset row for each
 * event, and what it writes is combined into the accumulator of the row's key. Accumulators of
 * several workers are merged in the end. So events need no exchange and no order; sums are 128 bits
 * wide; first and last go by position. What a handler left as it was has no effect: texts, times and
 * dates are unset, sums 0, the least of a number begins as the greatest there is and the other way
 * round. A number that nothing was given is 0.
 *
 * Immutable after begin, shared by threads; an accumulator is confined.
 */
#ifndef RF_REBUILD_COMBINE_H
#define RF_REBUILD_COMBINE_H

#include "base/arena.h"
#include "projection/definition.h"

typedef struct rf_combiner {
    const rf_definition *definition;
    struct rf_combined_column *columns; /* private, as the next three */
    uint32_t *sums;                     /* where they stand in a row */
    struct rf_combined_column *others;  /* that are no sums */
    uint32_t sum_count, other_count;
    size_t size;                        /* of an accumulator, which is aligned to 16 */
    char *row_template;                 /* what a handler gets */
    size_t row_size;                    /* of it: the definition's, rounded up to 8 */
} rf_combiner;

/* False without memory; then only end is allowed. */
bool rf_combiner_begin(rf_combiner *combiner, const rf_definition *definition);
void rf_combiner_end(rf_combiner *combiner);
void rf_combiner_clear(const rf_combiner *combiner, char *accumulator);
/* What of a row that a handler wrote for the event at `position` is no sum. Texts are copied into
 * `text`. False without memory. */
bool rf_combiner_add_others(const rf_combiner *combiner, char *accumulator, const char *row,
                            uint64_t position, rf_arena *text);
/* What is. */
static inline void rf_combiner_add_sums(const rf_combiner *combiner, char *accumulator,
                                        const char *row)
{
    __int128 *sums = (__int128 *)(void *)accumulator; /* the first of all, one after another */

    for (uint32_t i = 0; i < combiner->sum_count; i++) {
        int64_t word;
        memcpy(&word, row + combiner->sums[i], sizeof word);
        sums[i] += word;
    }
}
bool rf_combiner_merge(const rf_combiner *combiner, char *accumulator, const char *other,
                       rf_arena *text);
/* What a row was that was finished and stored, before the first of the events that `accumulator` has:
 * one that there is. A stored zero may be a value or the lack of one; where that matters *ambiguous_out
 * is set, and the row has to be folded from its first event on. False without memory. */
bool rf_combiner_add_stored(const rf_combiner *combiner, char *accumulator, const char *row,
                            rf_arena *text, bool *ambiguous_out);
/* The row; its text stays the accumulator's. NULL, or the column whose value is beyond 64 bits. */
const rf_column *rf_combiner_finish(const rf_combiner *combiner, const char *accumulator,
                                    char *row_out);

#endif
