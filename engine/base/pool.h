/* A pool of workers that run numbered tasks.
 *
 * rf_pool_run(pool, count, task, arg) calls task(arg, worker, index, err) once for each index below
 * `count`, in ascending order of start, and returns when all have ended. With 0 workers the
 * caller runs them all itself, in order: the same code, deterministic. With n workers the caller is
 * one of them (number 0) and n - 1 threads help it, so that short runs wake few threads. After a
 * failure no further task is started; the failure with the lowest index is returned, which is the
 * same for any number of workers because lower indexes have all been started before and run to
 * their end.
 *
 * Work ahead: rf_pool_begin_ahead names tasks of a second run, which workers take while the runs of
 * rf_pool_run leave them nothing to do: at the end of a run, while its last tasks end, and between
 * runs. rf_pool_end_ahead runs what is left of them and returns like rf_pool_run. With 0 workers all
 * of them run there.
 *
 * Work beside: rf_pool_begin_beside gives one task to a thread that is no worker and is always the same
 * one, for what mostly waits; all else goes on. rf_pool_end_beside waits for its end, once for each
 * begin. With 0 workers it runs when it is begun. The thread starts with the first such task.
 *
 * A task knows its worker (0 to rf_pool_worker_slots() - 1) and keeps per-worker state by it,
 * confined, between the two runs too. All calls are made by one thread at a time, and not by tasks,
 * but for rf_pool_wait_beside.
 */
#ifndef RF_BASE_POOL_H
#define RF_BASE_POOL_H

#include "base/error.h"

typedef struct rf_pool rf_pool;

enum { RF_POOL_WORKERS_MAX = 256 };

typedef rf_status (*rf_task)(void *arg, uint32_t worker, size_t index, rf_err *err);
typedef rf_status (*rf_task_beside)(void *arg, rf_err *err);

/* `workers` 0 to RF_POOL_WORKERS_MAX. */
rf_status rf_pool_new(uint32_t workers, rf_pool **pool_out, rf_err *err);
void rf_pool_free(rf_pool *pool);
/* How many per-worker states a caller needs: the workers, or 1 for 0. */
uint32_t rf_pool_worker_slots(const rf_pool *pool);
rf_status rf_pool_run(rf_pool *pool, size_t count, rf_task task, void *arg, rf_err *err);
/* Between the two calls `arg` belongs to the tasks. Every begin has its end. */
void rf_pool_begin_ahead(rf_pool *pool, size_t count, rf_task task, void *arg);
rf_status rf_pool_end_ahead(rf_pool *pool, rf_err *err);
/* Between begin and end `arg` belongs to the task. */
void rf_pool_begin_beside(rf_pool *pool, rf_task_beside task, void *arg);
/* Whether the task has returned, so that ending it takes no time. */
bool rf_pool_beside_is_done(rf_pool *pool);
/* Waits until it has returned, and gives what it returned, without ending it: for tasks of the other
 * kinds that need what it does, while it lasts. */
rf_status rf_pool_wait_beside(rf_pool *pool, rf_err *err);
rf_status rf_pool_end_beside(rf_pool *pool, rf_err *err);
/* Processors that this process may use, at least 1: the default number of workers. */
uint32_t rf_processor_count(void);

#endif
