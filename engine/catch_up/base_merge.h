/* A merge: what a generation has in base and delta, with the events that came since, becomes the base of a
 * new one.
 *
 *     rf_base_merge_begin -> rf_base_merge_record, or rf_base_merge_replace -> rf_base_merge_free
 *
 * The fold of a catch-up whose changes go between the rows that did not change. So it costs what is new and
 * one copy of the table at most; blocks of the base that no change lies in are copied as they stand.
 * Rows, digest and what is left out are those of a full rebuild with the definition and policy that the
 * generation keeps.
 *
 * Threads: one, which the pool works for; the holder of LOCK.
 */
#ifndef RF_BASE_MERGE_H
#define RF_BASE_MERGE_H

#include "base/pool.h"
#include "catalog/catalog.h"
#include "store/store.h"

typedef struct rf_base_merge rf_base_merge;

/* Whether the delta of a generation has grown so large, or would by `fresh` events more, that a new base
 * serves better: more than a tenth of the rows, or 64 MiB that are also a sixteenth of the base. Of few rows
 * it never has. */
bool rf_base_merge_is_due(const rf_manifest *manifest, const rf_checkpoint *checkpoint,
                          uint64_t fresh);

/* Of generation `number` of `name` with the events up to `until`, or where it is if that is further (0):
 * sealed, and not yet known to the catalog. NULL in *merge_out where that cannot be: where there are new
 * events, and the definition's rows do not tell what the next one needs (rf_catch_up_resumes). */
rf_status rf_base_merge_begin(rf_store *store, rf_pool *pool, const char *name, uint64_t number,
                         uint64_t until, const volatile int *cancel, rf_base_merge **merge_out,
                         rf_err *err);
/* Of the new generation; valid until free. */
const rf_manifest *rf_base_merge_manifest(const rf_base_merge *merge);
/* That handlers got. */
uint64_t rf_base_merge_events(const rf_base_merge *merge);
/* The catalog gets a generation more, of that set (see rf_catalog_add_generations). */
rf_status rf_base_merge_record(rf_base_merge *merge, uint64_t *set, rf_err *err);
/* It takes the place of the old one (rf_catalog_replace). Who follows that one moves it on meanwhile: the new
 * one is brought there in rounds, the last within the transaction, as for a flip. */
rf_status rf_base_merge_replace(rf_base_merge *merge, rf_err *err);
/* Takes NULL. What neither was recorded nor took the old one's place is removed. */
void rf_base_merge_free(rf_base_merge *merge);

#endif
