/* See pool.h.
 *
 * The caller works too, as worker 0. One mutex guards the run; `work` is signalled when a run
 * begins or the pool ends, `done` when the last worker that joined a run has nothing left. A worker
 * that wakes too late for a run does not join it. Indexes are given out under the mutex: tasks are
 * large (a partition, a block of lines), so it is never contended enough to matter.
 */
#include "base/pool.h"

#include "base/bytes.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

struct worker {
    rf_pool *pool; /* fixed after start */
    pthread_t thread;
    uint32_t number;
};

struct rf_pool {
    /* fixed after start */
    uint32_t worker_count;
    uint32_t thread_count;  /* one less: the caller is worker 0 */
    struct worker *workers; /* of the threads */

    pthread_mutex_t mutex;
    pthread_cond_t work;
    pthread_cond_t done;

    /* guarded by mutex */
    bool ending;
    uint64_t run;     /* raised by each run, so that a worker knows a new one */
    uint32_t running; /* threads that have joined the present run and not left it */
    rf_task task;
    void *arg;
    size_t next;
    size_t count;
    size_t failed_index; /* SIZE_MAX: none */
    rf_err failure;
};

static void note_failure(rf_pool *pool, size_t index, const rf_err *failure)
{
    if (index < pool->failed_index) {
        pool->failed_index = index;
        pool->failure = *failure;
    }
}

/* Takes tasks until none is left or one failed. Called with the mutex held, returns with it held.
 */
static void work_on_run(rf_pool *pool, uint32_t worker)
{
    while (pool->next < pool->count && pool->failed_index == SIZE_MAX) {
        size_t index = pool->next++;
        rf_task task = pool->task;
        void *arg = pool->arg;
        rf_err failure;

        (void)pthread_mutex_unlock(&pool->mutex);
        failure.message[0] = '\0';
        rf_status status = task(arg, worker, index, &failure);
        (void)pthread_mutex_lock(&pool->mutex);
        if (status != RF_OK) {
            failure.status = status;
            note_failure(pool, index, &failure);
        }
    }
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    rf_pool *pool = worker->pool;
    uint64_t seen = 0;

    (void)pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (!pool->ending && pool->run == seen)
            (void)pthread_cond_wait(&pool->work, &pool->mutex);
        if (pool->ending)
            break;
        seen = pool->run;
        if (pool->next >= pool->count)
            continue;
        pool->running++;
        work_on_run(pool, worker->number);
        RF_ASSERT(pool->running > 0);
        if (--pool->running == 0)
            (void)pthread_cond_signal(&pool->done);
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
    pool->failed_index = SIZE_MAX;
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
    (void)pthread_cond_broadcast(&pool->work);
    (void)pthread_mutex_unlock(&pool->mutex);
    for (uint32_t i = 0; i < pool->thread_count; i++)
        (void)pthread_join(pool->workers[i].thread, NULL);
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

rf_status rf_pool_run(rf_pool *pool, size_t count, rf_task task, void *arg, rf_err *err)
{
    (void)pthread_mutex_lock(&pool->mutex);
    RF_ASSERT(pool->running == 0);
    pool->task = task;
    pool->arg = arg;
    pool->next = 0;
    pool->count = count;
    pool->failed_index = SIZE_MAX;
    pool->run++;
    if (count > pool->thread_count)
        (void)pthread_cond_broadcast(&pool->work);
    else
        for (size_t i = 1; i < count; i++)
            (void)pthread_cond_signal(&pool->work);
    work_on_run(pool, 0);
    while (pool->running > 0)
        (void)pthread_cond_wait(&pool->done, &pool->mutex);
    rf_status status = RF_OK;
    if (pool->failed_index != SIZE_MAX) {
        status = pool->failure.status;
        if (err)
            *err = pool->failure;
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return status;
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
