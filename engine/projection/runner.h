/* A runner: handlers that are no C functions, run a batch at a time.
 *
 *     new -> (forget -> run …) … -> free
 *
 * The fold fills an array of calls; the runner runs them in order. A call's row has its bytes set
 * (RF_RUNNER_TOUCHED); after it the flags say whether the row exists: a handler that writes nothing
 * leaves them, one that deletes the row leaves the bytes of a fresh one. Text that a handler makes
 * comes from the fold's alloc.
 *
 * One runner a worker and definition, confined to its thread. Only Lua projections have one.
 */
#ifndef RF_PROJECTION_RUNNER_H
#define RF_PROJECTION_RUNNER_H

#include "projection/definition.h"

enum { RF_RUNNER_TOUCHED = 1, RF_RUNNER_EXISTS = 2 };

typedef struct rf_runner_call {
    void *row;
    uint8_t *flags;
    const void *event; /* the handler's event struct */
    uint32_t handler;  /* index in the definition */
} rf_runner_call;

typedef struct rf_runner rf_runner;

/* `cancel` is looked at now and then; NULL: never. */
rf_status rf_runner_new(const rf_definition *definition, const volatile int *cancel,
                        rf_runner **runner_out, rf_err *err);
void rf_runner_free(rf_runner *runner); /* takes NULL */
/* Text that rows and events refer to may have moved, or its memory may be used anew. */
void rf_runner_forget(rf_runner *runner);
/* Runs the calls in order, up to one that fails: *failed_out is its index then. A call whose handler
 * is handler_count + i computes the key of handler i (where its key has `compute`): `event` is the
 * key's event struct then, `row` the struct of its parts, which begin unset, and the flags tell
 * nothing. */
rf_status rf_runner_run(rf_runner *runner, rf_fold *fold, const rf_runner_call *calls,
                        uint32_t count, uint32_t *failed_out, rf_err *err);

/* What stands in rf_key.compute of a key that a runner computes; it fails when it is called. */
rf_fold_result rf_runner_computes(rf_fold *fold, const void *event, void *parts);

#endif
