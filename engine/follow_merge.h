/* Merges that following starts by itself: of base and delta of what it follows, once the delta has grown too
 * large (rf_base_merge_is_due). The new generation takes the old one's place; see base_merge.h.
 *
 * It takes LOCK without waiting: where a rebuild or gc holds it, it is tried again later. Nobody else moves
 * the generation on meanwhile: the caller holds FOLLOW. One thread, which the pool works for.
 */
#ifndef RF_FOLLOW_MERGE_H
#define RF_FOLLOW_MERGE_H

#include "catch_up.h"

typedef struct rf_follow_merge {
    rf_store *store;
    rf_pool *pool;
    const volatile int *cancel;
    void (*tell)(void *arg, const char *line); /* what came of it */
    void *tell_arg;
    double due; /* by the clock: not before then */
} rf_follow_merge;

/* All of the group (NULL: none) whose delta is too large. If any was merged the group's generations are not those that
 * are live any more: it is closed, and NULL, and what was replaced is removed unless a reader holds it.
 * What fails is told and tried again later; RF_ERR_INTERRUPTED is the only failure. */
rf_status rf_follow_merge_run(rf_follow_merge *merges, rf_catch_up **group, rf_err *err);

#endif
