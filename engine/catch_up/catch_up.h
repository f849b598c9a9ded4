/* Catch-up: generations move on from their checkpoint to a later position of the log, each with the
 * definition and the policy that it keeps.
 *
 *     rf_catch_up_open -> (rf_catch_up_fold -> its moves are committed -> rf_catch_up_done) … -> close
 *
 * A fold reads the events after the checkpoint only. Rows of the keys that have any begin as they are
 * stored, in base or delta, and what becomes of them are changes of the delta: the new row, or a
 * tombstone. Where a definition's rows do not tell all that its next event needs (see
 * rf_catch_up_resumes), it is folded from the first event on, and compared with what is stored, row
 * by row: slower, and the same changes. Changes and the new checkpoint are committed in one
 * transaction, by rf_catch_up_run or together with a flip.
 *
 * Threads: one, which the pool works for. Who moves a live generation on holds FOLLOW of its read model;
 * who moves another one, LOCK. Where both meet in a flip, the later commit is refused.
 */
#ifndef RF_CATCH_UP_H
#define RF_CATCH_UP_H

#include "base/pool.h"
#include "projection/definition.h"
#include "store/store.h"

typedef struct rf_catch_up rf_catch_up;
struct rf_build;

/* Generations that are at one position. */
typedef struct rf_catch_up_of {
    const char *name;
    uint64_t number;
    bool if_followed; /* it moves on only as long as it is live or a colour: for the holder of FOLLOW */
} rf_catch_up_of;

/* RF_ERR_LOCKED where they are at different positions by now. */
rf_status rf_catch_up_open(rf_store *store, rf_pool *pool, const rf_catch_up_of *of, uint32_t count,
                           rf_catch_up **catch_up_out, rf_err *err);
void rf_catch_up_close(rf_catch_up *catch_up); /* takes NULL */
/* That handlers got so far, of all generations together. */
uint64_t rf_catch_up_events(const rf_catch_up *catch_up);
/* Where all of them are. */
uint64_t rf_catch_up_position(const rf_catch_up *catch_up);

/* Folds the events after the position up to `until`, which the log has. Nothing that anybody reads
 * changes; err->position is that of an event which ended it. */
rf_status rf_catch_up_fold(rf_catch_up *catch_up, uint64_t until, const volatile int *cancel,
                           rf_err *err);
/* What the last fold made of each, in the order of open; valid until the next fold. */
const rf_catalog_move *rf_catch_up_moves(const rf_catch_up *catch_up, uint32_t *count_out);
/* They were committed. */
void rf_catch_up_done(rf_catch_up *catch_up);

/* From now on a fold fails (RF_ERR_REFUSED) where stored rows turn out to tell too little, instead of folding
 * everything anew. */
void rf_catch_up_only_go_on(rf_catch_up *catch_up, bool only);
/* Whether the last fold failed for that. */
bool rf_catch_up_told_too_little(const rf_catch_up *catch_up);

/* From now on a fold fails (RF_ERR_REFUSED) where a row that changes breaks what the definition expects of it, and
 * held before. So it is for who follows, from open on. */
void rf_catch_up_ask_expectations(rf_catch_up *catch_up, bool asks);
/* Whether the last fold failed for that. */
bool rf_catch_up_is_broken(const rf_catch_up *catch_up, const rf_err *failure);
/* After a run that failed with `status`, and *failure: moves on to just before the event that it failed for.
 * Where a row breaks what is expected on the way, or cannot be stored or have its place in an index, or that
 * was the failure, this is found, and *failure tells of that event. Returns what failed. */
rf_status rf_catch_up_stop_before(rf_catch_up *catch_up, rf_status status,
                                  const volatile int *cancel, rf_err *failure);

/* Folds and commits, round by round; what was committed stays after a failure. */
rf_status rf_catch_up_run(rf_catch_up *catch_up, uint64_t until, const volatile int *cancel,
                          rf_err *err);

/* The changes of one fold become, with the rows that did not change, a new base: see base_merge.h.
 *
 *     rf_catch_up_open (of one) -> merge_into -> (rf_catch_up_fold, if it resumes) -> merge_end
 *
 * `build` has rf_catch_up_definition for its definition, and is sealed and recorded by the caller. What is
 * stored is read as it was at merge_into, whatever moves the generation on meanwhile. *whole_out false
 * where stored rows turned out to tell too little: then the build is nothing. */
const rf_definition *rf_catch_up_definition(const rf_catch_up *catch_up);
rf_status rf_catch_up_merge_into(rf_catch_up *catch_up, struct rf_build *build, rf_err *err);
rf_status rf_catch_up_merge_end(rf_catch_up *catch_up, bool *whole_out, rf_err *err);

/* Where one of them is by what was folded and committed here, and what it was sealed as. */
const rf_checkpoint *rf_catch_up_checkpoint(const rf_catch_up *catch_up, uint32_t index,
                                            const rf_manifest **manifest_out);
uint32_t rf_catch_up_count(const rf_catch_up *catch_up);
/* Whether all of them go on from stored rows, as a rule. */
bool rf_catch_up_resumes_all(const rf_catch_up *catch_up);
/* Whether stored rows are all that the definition's fold goes on from. */
bool rf_catch_up_resumes(const rf_definition *definition);

#endif
