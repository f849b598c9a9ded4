/* Live read models: kept current as events arrive, waited for, tried again. */
#ifndef REFOLD_FOLLOW_H
#define REFOLD_FOLLOW_H

#include "refold/store.h"

typedef struct rf_follow_options {
    const char *const *names; /* of live read models, each with its colours; NAME@VERSION: only that version */
    uint32_t name_count;      /* 0: all, also those that become live later */
    bool once; /* end when all are where the log was at the begin; else only when cancelled */
    bool share; /* read models that another run follows are waited for instead of refused; with once. For
                 * run.wait_lock_ms where that is above zero, then RF_ERR_LOCKED; else as long as it takes */
    bool merges_left; /* base and delta are not merged, however large the delta becomes: another run, or a rebuild, does */
    /* One line when a read model is suspended, goes on, or is followed with another generation. */
    void (*report)(void *arg, const char *line);
    void *report_arg;
    rf_run run;
} rf_follow_options;

/* Moves the live generations of the read models and their colours (refold/generation.h) on as the log grows,
 * each with the definition that it keeps, across swaps and rollbacks. Delta and checkpoint of all that are followed together are one
 * transaction, so that every event counts once, whatever is killed. One that an event fails for is
 * suspended at its own position; the others go on. One run at a time follows a read model:
 * RF_ERR_LOCKED otherwise. RF_ERR_INTERRUPTED where it is cancelled; with `once` RF_ERR_REFUSED if one
 * is suspended that is live, or was named by its version: a colour's failure is told, and is no failure of the
 * live one. */
RF_API rf_status rf_follow(rf_store *store, const rf_follow_options *options, rf_err *err);

/* Lets a suspended read model be tried again, with its colours, by whoever follows it; NAME@VERSION: only that
 * version. */
RF_API rf_status rf_resume(rf_store *store, const char *name, rf_err *err);

/* Waits until the live generations of the read models (none named: all), or those of the versions that are named
 * (NAME@VERSION), have all events up to `position` (0: what the log has now). RF_ERR_UNREACHABLE after `timeout_ms` (-1: never), RF_ERR_REFUSED
 * if one is suspended before that position. */
RF_API rf_status rf_wait(rf_store *store, const char *const *names, uint32_t name_count,
                         uint64_t position, int64_t timeout_ms, const volatile int *cancel,
                         rf_err *err);

#endif
