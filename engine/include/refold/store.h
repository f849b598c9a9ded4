/* A store: one directory with the event log, the live read models and their generations.
 *
 * An rf_store may be used by several threads at once; each call that changes something takes the
 * store's own locks, also against other processes. One process opens a store as often as it likes.
 */
#ifndef REFOLD_STORE_H
#define REFOLD_STORE_H

#include "refold/error.h"
#include "refold/types.h"

typedef struct rf_store rf_store;

typedef struct rf_store_options {
    bool create;         /* make the store if the path does not exist or is an empty directory */
    uint32_t partitions; /* for a new store: a power of two, 1 to 1024; 0: 64 */
} rf_store_options;

/* `options` may be NULL: open what is there. RF_ERR_ABSENT if there is no store, RF_ERR_FORMAT if
 * it is of a newer format, RF_ERR_DAMAGED if its log or catalog went back behind its witness.
 * A store on a file system that is read-only as a whole is read without locks, and must not be mounted to be written while it is open. Where only
 * this process may not write, it needs the right to write lock.mdb in log/ and live/ to read: else RF_ERR_IO. */
RF_API rf_status rf_store_open(const char *path, const rf_store_options *options,
                               rf_store **store_out, rf_err *err);
/* Takes NULL. Readers are closed before. */
RF_API void rf_store_close(rf_store *store);
RF_API const char *rf_store_path(const rf_store *store);
RF_API uint32_t rf_store_partitions(const rf_store *store);

/* Progress of a long call, about once a second, on the calling thread or a worker, never under a
 * lock. */
typedef struct rf_progress {
    const char *what; /* "import", "rebuild", … */
    const char *unit; /* of what is counted, "rows"; NULL: events */
    uint64_t done;
    uint64_t total;   /* 0: unknown */
    double seconds;
} rf_progress;
typedef void (*rf_progress_fn)(void *arg, const rf_progress *progress);

/* What every long call takes. All members may be zero. */
typedef struct rf_run {
    uint32_t workers;     /* 0: inline, in order, unless `workers_default` */
    bool workers_default; /* one per processor */
    int64_t wait_lock_ms; /* 0: fail at once with RF_ERR_LOCKED, unless it is a merge of follow, which ends by itself;
                           * -1: wait for ever. Whom for, rf_waiting_look tells (refold/waiting.h) */
    const volatile int
        *cancel; /* non-zero: end soon with RF_ERR_INTERRUPTED, nothing half-applied */
    rf_progress_fn progress;
    void *progress_arg;
} rf_run;

#endif
