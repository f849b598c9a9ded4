/* Merges that following starts by itself: of base and delta of what it follows, once the delta has grown too
 * large (rf_base_merge_is_due). The new generation takes the old one's place; see base_merge.h.
 *
 *     begin -> run, or at_once … -> end
 *
 * A merge goes on beside following, on a thread of its own, and what is followed moves on meanwhile. It takes
 * LOCK without waiting: where a rebuild or gc holds it, it is tried again later; these wait for its end. All calls are made by the
 * thread that follows. Fields of the job are handed over to the thread beside at rf_pool_begin_beside, and back
 * at rf_pool_end_beside.
 */
#ifndef RF_FOLLOW_MERGE_H
#define RF_FOLLOW_MERGE_H

#include "catch_up/catch_up.h"
#include "refold/follow.h"

typedef struct rf_follow_merge {
    /* fixed after begin */
    rf_store *store;
    rf_pool *beside; /* whose thread beside merges */
    rf_pool *inner;  /* what a merge runs on: that thread alone */
    const volatile int *cancel;
    void (*tell)(void *arg, const char *line); /* what came of it */
    void *tell_arg;
    /* confined to the thread that follows */
    double due; /* by the clock: not before then */
    double begun, rested; /* the last one, and when what it made may be merged again */
    int lock, merge_lock; /* LOCK and live/MERGE, while anything runs beside; else -1 */
    /* the job: handed over */
    bool clears; /* what was replaced goes; else it merges */
    char name[64];
    uint64_t from, to;
    rf_err failure;
} rf_follow_merge;

/* With 0 workers merges run within rf_follow_merge_run. */
rf_status rf_follow_merge_begin(rf_follow_merge *merges, rf_store *store,
                                const rf_follow_options *options, uint32_t workers, rf_err *err);
/* Begins a merge of one of the group (NULL: none) whose delta is too large, or ends what has ended. If any was
 * merged the group's generations are not those that are live any more: it is closed, and NULL, and
 * what was replaced is removed unless a reader holds it. What fails is told and tried again later. */
void rf_follow_merge_run(rf_follow_merge *merges, rf_catch_up **group);
/* Whether run has something to end. */
bool rf_follow_merge_has_ended(const rf_follow_merge *merges);
/* The same from begin to end, of one that is due; whether any was merged. */
bool rf_follow_merge_at_once(rf_follow_merge *merges, rf_catch_up **group);
/* Waits for what runs. Also of one that is zeroed, or whose begin failed. */
void rf_follow_merge_end(rf_follow_merge *merges, rf_catch_up **group);

#endif
