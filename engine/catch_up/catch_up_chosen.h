/* Chosen rows folded anew: what a repair and a look at the past are made of.
 *
 *     rf_catch_up_open (one generation) -> rf_catch_up_refold -> its move is committed -> close
 *     rf_catch_up_open (one generation) -> rf_catch_up_as_of … -> close
 *
 * It is a catch-up's fold on another input: instead of new events of all keys, all events of chosen
 * ones. Where rows are made of one stream's events, only these streams are folded; otherwise everything is,
 * and only chosen rows are looked at. What differs from what is stored becomes changes of the delta. What
 * is stored and damaged is taken for what the fold gives, since that is what the digest counts: the row
 * comes into the delta, before the damaged block.
 *
 * Threads: as for a catch-up. What others committed since it was opened makes the move be refused.
 */
#ifndef RF_CATCH_UP_CHOSEN_H
#define RF_CATCH_UP_CHOSEN_H

#include "base/arena.h"
#include "catch_up/catch_up.h"

/* Which rows: those of the keys, which are encoded, in order and different, or of all keys that begin with
 * the prefix (empty: all), if there are no keys. */
typedef struct rf_chosen {
    const rf_slice *keys;
    uint32_t key_count;
    rf_slice prefix;
} rf_chosen;

/* A row that changes, as it is stored. */
typedef struct rf_refolded {
    rf_slice key;
    rf_slice before, after; /* data NULL: there is none */
    bool was_damaged;       /* what was stored could not be read */
} rf_refolded;

typedef struct rf_refold_result {
    rf_refolded *changes; /* in key order; owned, with their text */
    size_t change_count;
    uint64_t rows;      /* chosen ones that the events give */
    bool is_unsearched; /* stored rows that no event gives were not all looked for: blocks are damaged */
    rf_arena text;
} rf_refold_result;

/* Folds the events up to where the generation is; its move stays there. */
rf_status rf_catch_up_refold(rf_catch_up *catch_up, const rf_chosen *chosen,
                             const volatile int *cancel, rf_refold_result *result_out, rf_err *err);
void rf_refold_result_free(rf_refold_result *result); /* a zeroed one too */

/* A row of one stream's events as the generation's definition gives it from the events up to `position`, which the
 * log has, appended to `row_out` as it is stored. RF_ERR_USAGE where rows may be of several streams'. */
rf_status rf_catch_up_as_of(rf_catch_up *catch_up, rf_slice key, uint64_t position, rf_buf *row_out,
                            bool *found_out, rf_err *err);

#endif
