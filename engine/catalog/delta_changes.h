/* Changes of a delta, until a transaction writes them.
 *
 * Each worker gathers its own; then they are sorted, side by side on the workers, and last
 * rf_delta_apply merges them while it writes: whoever holds the catalog's write transaction holds all
 * who follow, so as little as possible is left to do in it. Several changes of one key, where the last
 * counts, have to be one worker's. Confined to one thread at a time.
 */
#ifndef RF_CATALOG_DELTA_CHANGES_H
#define RF_CATALOG_DELTA_CHANGES_H

#include "catalog/delta.h"

/* Private to delta_changes.c. `lead`: table, and what follows in a key what all of them begin with. */
typedef struct rf_delta_change {
    uint64_t lead;
    size_t at; /* in `bytes` */
} rf_delta_change;

typedef struct rf_delta_changes {
    rf_buf bytes;
    rf_delta_change *list; /* owned */
    size_t count, capacity;
    size_t shared; /* bytes that all keys begin with */
    bool is_sorted;
} rf_delta_changes;

void rf_delta_changes_init(rf_delta_changes *changes);
void rf_delta_changes_free(rf_delta_changes *changes);
void rf_delta_changes_put(rf_delta_changes *changes, uint32_t table, const rf_delta_entry *entry);
/* The base's row holds again, or there is none. */
void rf_delta_changes_delete(rf_delta_changes *changes, uint32_t table, rf_slice key);
/* RF_ERR_MEMORY with `what` in the message where one of those above found none. */
rf_status rf_delta_changes_check(const rf_delta_changes *changes, const char *what, rf_err *err);
/* When there come no more. */
void rf_delta_changes_sort(rf_delta_changes *changes);

/* In key order: LMDB finds the pages of neighbours in the cache, and appends where it can. All of
 * them are sorted. */
rf_status rf_delta_apply(rf_kv_txn *txn, uint32_t delta, const rf_delta_changes *const *changes,
                         uint32_t count, rf_err *err);

#endif
