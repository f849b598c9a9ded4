/* A catch-up that is opened when it turns out to be needed: of generations that are to go live, and may be
 * behind what is live by then. They move on together: one fold, one transaction.
 *
 *     rf_catch_up_late_rounds -> rf_catch_up_late_run … -> rf_catch_up_flip of changes that have
 *     rf_catch_up_in_flip -> rf_catch_up_late_close
 *
 * Each is nothing but a look at the catalog where the generations are far enough. One thread; the holder
 * of LOCK. A generation that is a colour may be followed meanwhile: who finds that it was moved on looks again.
 */
#ifndef RF_CATCH_UP_LATE_H
#define RF_CATCH_UP_LATE_H

#include "catch_up/catch_up.h"

typedef struct rf_catch_up_late_of {
    const char *name;
    uint64_t number;
    uint64_t target; /* the generation that it is brought up to; 0: the live one */
} rf_catch_up_late_of;

typedef struct rf_catch_up_late {
    rf_store *store;
    rf_pool *pool; /* NULL: without LOCK nothing may be moved, and RF_ERR_LOCKED says that it is due */
    const rf_catch_up_late_of *of;
    uint32_t count;
    const volatile int *cancel;
    rf_catch_up *catch_up; /* NULL until it is needed */
    bool in_flip; /* what was folded last is committed with the flip, or was to be */
    bool is_far;  /* there was too much for a flip to wait for */
    bool takes_all; /* the flip takes what is left, whatever it is */
    bool past_gates;
    bool asks; /* past gates: what the definition expects of its rows, as they did */
    bool is_due; /* they had to be moved, and LOCK was not held */
} rf_catch_up_late;

/* How far behind the log a generation may be when it goes live; of what is live it has every event. */
enum { RF_CATCH_UP_BEHIND = 64 << 10 };

/* Rounds until they are as far as the live generations, or about as near as these let them come, and, with
 * `to_log`, not more than RF_CATCH_UP_BEHIND events behind the log as it stands: RF_CATCH_UP_ROUNDS at most. */
enum { RF_CATCH_UP_ROUNDS = 8 };
rf_status rf_catch_up_late_rounds(rf_catch_up_late *late, bool to_log, rf_err *err);
/* Up to a position, where one is behind that. */
rf_status rf_catch_up_late_run(rf_catch_up_late *late, uint64_t position, rf_err *err);
/* How many events a flip folds in its transaction, which followers wait for. */
enum { RF_CATCH_UP_IN_FLIP_MAX = 1024 };
/* How often a flip is tried: the last takes what is left. */
enum { RF_CATCH_UP_TRIES = 16 };
/* For rf_catalog_change: `arg` is the rf_catch_up_late. RF_ERR_LOCKED where that is too much. */
rf_status rf_catch_up_in_flip(void *arg, uint64_t position, const rf_catalog_move **moves_out,
                              uint32_t *count_out, rf_err *err);
/* Rounds, then rf_catalog_flip, and both again where what is live has moved on by too much in between; the
 * last of RF_CATCH_UP_TRIES takes what is left. What is behind goes on to the log's end here, where who follows is
 * about to be too: then the flip has nothing to fold. Of changes without rf_catch_up_in_flip only the flip. */
rf_status rf_catch_up_flip(rf_catalog *catalog, const rf_catalog_change *changes, uint32_t count,
                           int64_t wait_lock_ms, uint64_t *from_out, rf_err *err);
/* The same for one that takes the place of its target, and goes no further than that one. */
rf_status rf_catch_up_replace(rf_catch_up_late *late, const rf_manifest *manifest, rf_err *err);
void rf_catch_up_late_close(rf_catch_up_late *late); /* a zeroed one too */

#endif
