/* See pool.h.
 *
 * The caller works too, as worker 0. One mutex guards both runs; indexes are given out under it:
 * tasks are large (a partition, a block of lines), so it is never contended enough to matter. A
 * worker without work looks for some for a while before it sleeps, because waking one costs more
 * than a short run: `posted` is raised with each run. `work` is signalled when a run begins or the
 * pool ends, `done` when the last worker that joined a run has nothing left of it. The thread beside
 * sleeps without looking, and where it cannot be started its tasks run as with 0 workers.
 */
#include "base/pool.h"

#include "base/bytes.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

/* How often a worker looks for work before it sleeps: some 20 us. */
enum { LOOKS_MAX = 500 };

struct worker {
    rf_pool *pool; /* fixed after start */
    pthread_t thread;
    uint32_t number;
};

/* Numbered tasks; guarded by the pool's mutex. */
typedef struct run {
    rf_task task;
    void *arg;
    size_t next;
    size_t count;
    uint32_t running;    /* tasks that have begun and not ended */
    size_t failed_index; /* SIZE_MAX: none */
    rf_err failure;
} run;

/* The task beside; guarded by the pool's mutex. */
typedef struct beside {
    rf_task_beside task; /* NULL: none is begun */
    void *arg;
    bool is_done; /* it has returned, and what stands below */
    rf_status status;
    rf_err failure;
} beside;

struct rf_pool {
    /* fixed after start */
    uint32_t worker_count;
    uint32_t thread_count;  /* one less: the caller is worker 0 */
    struct worker *workers; /* of the threads */

    pthread_mutex_t mutex;
    pthread_cond_t work;
    pthread_cond_t done;
    pthread_cond_t beside_work; /* a task beside is begun, or the pool ends */
    pthread_cond_t beside_done; /* it has returned */

    /* confined to the caller */
    bool has_beside_thread;
    pthread_t beside_thread;

    /* atomic */
    _Atomic uint32_t posted; /* raised by each run and by the end, under the mutex */
    _Atomic uint32_t ended;  /* raised when a run has no task left that runs, likewise */

    /* guarded by mutex */
    bool ending;
    uint32_t sleeping; /* threads that wait for `work` */
    bool waiting;      /* the caller waits for `done` */
    run main;
    run ahead;
    beside beside;
};

static bool has_task(const run *of)
{
    return of->next < of->count && of->failed_index == SIZE_MAX;
}

/* Runs the next task. Called with the mutex held, returns with it held. */
static void run_task(rf_pool *pool, run *of, uint32_t worker)
{
    size_t index = of->next++;
    rf_task task = of->task;
    void *arg = of->arg;
    rf_err failure;

    of->running++;
    (void)pthread_mutex_unlock(&pool->mutex);
    failure.message[0] = '\0';
    rf_status status = task(arg, worker, index, &failure);
    (void)pthread_mutex_lock(&pool->mutex);
    if (status != RF_OK && index < of->failed_index) {
        failure.status = status;
        of->failed_index = index;
        of->failure = failure;
    }
    RF_ASSERT(of->running > 0);
    if (--of->running > 0 || has_task(of))
        return;
    atomic_fetch_add_explicit(&pool->ended, 1, memory_order_release);
    if (pool->waiting)
        (void)pthread_cond_signal(&pool->done);
}

/* Looks at a counter for a while, without the mutex; false where it stayed as it was. */
static bool look_for_change(rf_pool *pool, _Atomic uint32_t *counter)
{
    uint32_t before = atomic_load_explicit(counter, memory_order_relaxed);
    bool changed = false;

    (void)pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < LOOKS_MAX && !changed; i++) {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
        changed = atomic_load_explicit(counter, memory_order_acquire) != before;
    }
    (void)pthread_mutex_lock(&pool->mutex);
    return changed || atomic_load_explicit(counter, memory_order_relaxed) != before;
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    rf_pool *pool = worker->pool;

    (void)pthread_mutex_lock(&pool->mutex);
    while (!pool->ending) {
        if (has_task(&pool->main)) {
            run_task(pool, &pool->main, worker->number);
        } else if (has_task(&pool->ahead)) {
            run_task(pool, &pool->ahead, worker->number);
        } else if (!look_for_change(pool, &pool->posted)) {
            pool->sleeping++;
            (void)pthread_cond_wait(&pool->work, &pool->mutex);
            pool->sleeping--;
        }
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

rf_status rf_pool_new(uint32_t workers, rf_pool **pool_out, rf_err *err)
{
    if (workers > RF_POOL_WORKERS_MAX)
        return rf_fail(err, RF_ERR_USAGE, "%u workers are more than %d", workers,
                       RF_POOL_WORKERS_MAX);
    rf_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a pool of workers");
    (void)pthread_mutex_init(&pool->mutex, NULL);
    (void)pthread_cond_init(&pool->work, NULL);
    (void)pthread_cond_init(&pool->done, NULL);
    (void)pthread_cond_init(&pool->beside_work, NULL);
    (void)pthread_cond_init(&pool->beside_done, NULL);
    pool->main.failed_index = SIZE_MAX;
    pool->ahead.failed_index = SIZE_MAX;
    pool->workers = calloc(workers ? workers : 1, sizeof *pool->workers);
    if (!pool->workers) {
        rf_pool_free(pool);
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for a pool of workers");
    }
    pool->worker_count = workers;
    for (uint32_t i = 0; i + 1 < workers; i++) {
        struct worker *worker = &pool->workers[i];
        *worker = (struct worker){.pool = pool, .number = i + 1};
        int cause = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (cause != 0) {
            rf_pool_free(pool);
            return rf_fail(err, RF_ERR_IO, "cannot start worker %u of %u: error %d", i + 2, workers,
                           cause);
        }
        pool->thread_count++;
    }
    *pool_out = pool;
    return RF_OK;
}

void rf_pool_free(rf_pool *pool)
{
    if (!pool)
        return;
    (void)pthread_mutex_lock(&pool->mutex);
    pool->ending = true;
    atomic_fetch_add_explicit(&pool->posted, 1, memory_order_release);
    (void)pthread_cond_broadcast(&pool->work);
    (void)pthread_cond_signal(&pool->beside_work);
    (void)pthread_mutex_unlock(&pool->mutex);
    for (uint32_t i = 0; i < pool->thread_count; i++)
        (void)pthread_join(pool->workers[i].thread, NULL);
    if (pool->has_beside_thread)
        (void)pthread_join(pool->beside_thread, NULL);
    RF_ASSERT(!pool->beside.task);
    (void)pthread_cond_destroy(&pool->beside_done);
    (void)pthread_cond_destroy(&pool->beside_work);
    (void)pthread_cond_destroy(&pool->done);
    (void)pthread_cond_destroy(&pool->work);
    (void)pthread_mutex_destroy(&pool->mutex);
    free(pool->workers);
    free(pool);
}

uint32_t rf_pool_worker_slots(const rf_pool *pool)
{
    return pool->worker_count ? pool->worker_count : 1;
}

/* Makes a run known and wakes as many as it can use; with the mutex held. */
static void run_post(rf_pool *pool, run *of, size_t count, rf_task task, void *arg, size_t helpers)
{
    RF_ASSERT(of->running == 0 && !has_task(of));
    *of = (run){.task = task, .arg = arg, .count = count, .failed_index = SIZE_MAX};
    atomic_fetch_add_explicit(&pool->posted, 1, memory_order_release);
    if (helpers >= pool->sleeping)
        (void)pthread_cond_broadcast(&pool->work);
    else
        for (size_t i = 0; i < helpers; i++)
            (void)pthread_cond_signal(&pool->work);
}

/* The caller's part of a run, up to its end; with the mutex held. Tasks ahead are taken while others
 * end the main run. */
static rf_status run_finish(rf_pool *pool, run *of, rf_err *err)
{
    while (has_task(of) || of->running > 0) {
        if (has_task(of)) {
            run_task(pool, of, 0);
        } else if (of == &pool->main && pool->thread_count > 0 && has_task(&pool->ahead)) {
            run_task(pool, &pool->ahead, 0);
        } else if (!look_for_change(pool, &pool->ended)) {
            pool->waiting = true;
            (void)pthread_cond_wait(&pool->done, &pool->mutex);
            pool->waiting = false;
        }
    }
    rf_status status = RF_OK;
    if (of->failed_index != SIZE_MAX) {
        status = of->failure.status;
        if (err)
            *err = of->failure;
    }
    of->count = 0;
    of->next = 0;
    return status;
}

rf_status rf_pool_run(rf_pool *pool, size_t count, rf_task task, void *arg, rf_err *err)
{
    (void)pthread_mutex_lock(&pool->mutex);
    run_post(pool, &pool->main, count, task, arg, count > 1 ? count - 1 : 0);
    rf_status status = run_finish(pool, &pool->main, err);
    (void)pthread_mutex_unlock(&pool->mutex);
    return status;
}

void rf_pool_begin_ahead(rf_pool *pool, size_t count, rf_task task, void *arg)
{
    (void)pthread_mutex_lock(&pool->mutex);
    run_post(pool, &pool->ahead, count, task, arg, count);
    (void)pthread_mutex_unlock(&pool->mutex);
}

rf_status rf_pool_end_ahead(rf_pool *pool, rf_err *err)
{
    (void)pthread_mutex_lock(&pool->mutex);
    rf_status status = run_finish(pool, &pool->ahead, err);
    (void)pthread_mutex_unlock(&pool->mutex);
    return status;
}

/* Called with the mutex held, returns with it held. */
static void beside_run(rf_pool *pool)
{
    beside *of = &pool->beside;
    rf_task_beside task = of->task;
    void *arg = of->arg;

    (void)pthread_mutex_unlock(&pool->mutex);
    of->failure.message[0] = '\0'; /* nobody else looks at it before it is done */
    of->status = task(arg, &of->failure);
    (void)pthread_mutex_lock(&pool->mutex);
    of->failure.status = of->status;
    of->is_done = true;
    (void)pthread_cond_broadcast(&pool->beside_done);
}

static void *beside_main(void *arg)
{
    rf_pool *pool = arg;

    (void)pthread_mutex_lock(&pool->mutex);
    while (!pool->ending) {
        if (pool->beside.task && !pool->beside.is_done)
            beside_run(pool);
        else
            (void)pthread_cond_wait(&pool->beside_work, &pool->mutex);
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

void rf_pool_begin_beside(rf_pool *pool, rf_task_beside task, void *arg)
{
    if (pool->worker_count > 0 && !pool->has_beside_thread)
        pool->has_beside_thread =
            pthread_create(&pool->beside_thread, NULL, beside_main, pool) == 0;
    (void)pthread_mutex_lock(&pool->mutex);
    RF_ASSERT(!pool->beside.task);
    pool->beside.task = task;
    pool->beside.arg = arg;
    pool->beside.is_done = false;
    if (pool->has_beside_thread)
        (void)pthread_cond_signal(&pool->beside_work);
    else
        beside_run(pool);
    (void)pthread_mutex_unlock(&pool->mutex);
}

bool rf_pool_beside_is_done(rf_pool *pool)
{
    (void)pthread_mutex_lock(&pool->mutex);
    RF_ASSERT(pool->beside.task);
    bool is_done = pool->beside.is_done;
    (void)pthread_mutex_unlock(&pool->mutex);
    return is_done;
}

static rf_status beside_wait(rf_pool *pool, bool is_end, rf_err *err)
{
    beside *of = &pool->beside;

    (void)pthread_mutex_lock(&pool->mutex);
    RF_ASSERT(of->task);
    while (!of->is_done)
        (void)pthread_cond_wait(&pool->beside_done, &pool->mutex);
    rf_status status = of->status;
    if (status && err)
        *err = of->failure;
    if (is_end)
        of->task = NULL;
    (void)pthread_mutex_unlock(&pool->mutex);
    return status;
}

rf_status rf_pool_wait_beside(rf_pool *pool, rf_err *err)
{
    return beside_wait(pool, false, err);
}

rf_status rf_pool_end_beside(rf_pool *pool, rf_err *err)
{
    return beside_wait(pool, true, err);
}

uint32_t rf_processor_count(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int count = CPU_COUNT(&set);
    if (count < 1)
        return 1;
    return count > RF_POOL_WORKERS_MAX ? RF_POOL_WORKERS_MAX : (uint32_t)count;
}
