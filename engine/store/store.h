/* The store as the engine sees it: its parts, opened together, and its locks. */
#ifndef RF_STORE_H
#define RF_STORE_H

#include "base/file.h"
#include "catalog/catalog.h"
#include "log/log.h"
#include "refold/store.h"
#include "store/kept.h"

#define RF_STORE_FORMAT 1

struct rf_store {
    /* fixed after open */
    char *path;
    uint32_t partitions;
    rf_log *log;
    rf_catalog *catalog;
    rf_kept *kept;      /* definitions that were loaded */
    bool is_made;       /* by this open */
    bool is_made_whole; /* its directory, too */
};

/* The store's LOCK: rebuild, gc, repair. A merge that following began is waited for also with wait_ms 0: nobody asked for
 * it, and it ends by itself. */
rf_status rf_store_lock(rf_store *store, int64_t wait_ms, int *fd_out, rf_err *err);
/* LOCK for such a merge, without waiting; and live/MERGE, by which the others tell. Both are the caller's. */
rf_status rf_store_lock_merge(rf_store *store, int *fd_out, int *merge_fd_out, rf_err *err);
/* log/IMPORT: one import at a time. */
rf_status rf_store_lock_import(rf_store *store, int64_t wait_ms, int *fd_out, rf_err *err);

/* Takes back what this open has made, while nothing is in its log; a directory that was there before stays. The
 * caller has log/IMPORT, and only closes the store afterwards. On failure the store is as it was, or one
 * whose creation was interrupted. */
rf_status rf_store_unmake(rf_store *store, rf_err *err);

#endif
