/* pool.h: every task once, the same failure for any number of workers. */
#include "base/pool.h"

#include <criterion/criterion.h>
#include <stdatomic.h>

struct run {
    atomic_int started[100];
    size_t failing; /* tasks from here on fail */
};

static rf_status count_task(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    struct run *run = arg;

    (void)worker;
    atomic_fetch_add(&run->started[index], 1);
    if (index >= run->failing)
        return rf_fail(err, RF_ERR_INPUT, "task %zu", index);
    return RF_OK;
}

static const uint32_t worker_counts[] = {0, 1, 2, 3, 8};

Test(pool, runs_every_task_once)
{
    for (size_t i = 0; i < 5; i++) {
        struct run run = {.failing = SIZE_MAX};
        rf_pool *pool;
        cr_assert_eq(rf_pool_new(worker_counts[i], &pool, NULL), RF_OK);
        for (int round = 0; round < 20; round++)
            cr_assert_eq(rf_pool_run(pool, 100, count_task, &run, NULL), RF_OK);
        for (size_t task = 0; task < 100; task++)
            cr_assert_eq(atomic_load(&run.started[task]), 20);
        rf_pool_free(pool);
    }
}

Test(pool, reports_the_lowest_failing_task_for_any_number_of_workers)
{
    for (size_t i = 0; i < 5; i++) {
        struct run run = {.failing = 17};
        rf_pool *pool;
        rf_err err;
        cr_assert_eq(rf_pool_new(worker_counts[i], &pool, NULL), RF_OK);
        for (int round = 0; round < 20; round++) {
            cr_assert_eq(rf_pool_run(pool, 100, count_task, &run, &err), RF_ERR_INPUT);
            cr_assert_str_eq(err.message, "task 17");
        }
        rf_pool_free(pool);
    }
}

Test(pool, can_run_again_after_a_failure)
{
    struct run run = {.failing = 0};
    rf_pool *pool;

    cr_assert_eq(rf_pool_new(2, &pool, NULL), RF_OK);
    cr_assert_eq(rf_pool_run(pool, 10, count_task, &run, NULL), RF_ERR_INPUT);
    run.failing = SIZE_MAX;
    cr_assert_eq(rf_pool_run(pool, 10, count_task, &run, NULL), RF_OK);
    cr_assert_eq(rf_pool_run(pool, 0, count_task, &run, NULL), RF_OK);
    rf_pool_free(pool);
}

Test(pool, refuses_too_many_workers)
{
    rf_pool *pool;
    cr_assert_eq(rf_pool_new(RF_POOL_WORKERS_MAX + 1, &pool, NULL), RF_ERR_USAGE);
}

/* Work ahead and runs between, on the same workers. */
Test(pool, runs_every_task_ahead_once_beside_other_runs)
{
    for (size_t i = 0; i < 5; i++) {
        struct run run = {.failing = SIZE_MAX};
        struct run ahead = {.failing = SIZE_MAX};
        rf_pool *pool;
        cr_assert_eq(rf_pool_new(worker_counts[i], &pool, NULL), RF_OK);
        for (int round = 0; round < 200; round++) {
            rf_pool_begin_ahead(pool, 100, count_task, &ahead);
            for (int k = 0; k < round % 4; k++)
                cr_assert_eq(rf_pool_run(pool, 100, count_task, &run, NULL), RF_OK);
            cr_assert_eq(rf_pool_end_ahead(pool, NULL), RF_OK);
        }
        for (size_t task = 0; task < 100; task++) {
            cr_assert_eq(atomic_load(&run.started[task]), 300);
            cr_assert_eq(atomic_load(&ahead.started[task]), 200);
        }
        rf_pool_free(pool);
    }
}

Test(pool, reports_the_lowest_failing_task_ahead_and_spares_other_runs)
{
    for (size_t i = 0; i < 5; i++) {
        struct run run = {.failing = SIZE_MAX};
        struct run ahead = {.failing = 23};
        rf_pool *pool;
        rf_err err;
        cr_assert_eq(rf_pool_new(worker_counts[i], &pool, NULL), RF_OK);
        for (int round = 0; round < 20; round++) {
            rf_pool_begin_ahead(pool, 100, count_task, &ahead);
            cr_assert_eq(rf_pool_run(pool, 100, count_task, &run, &err), RF_OK);
            cr_assert_eq(rf_pool_end_ahead(pool, &err), RF_ERR_INPUT);
            cr_assert_str_eq(err.message, "task 23");
        }
        rf_pool_free(pool);
    }
}

/* A task beside that lasts until it is told to go on. */
struct beside {
    atomic_int begun;
    atomic_int may_end;
    rf_status status;
    struct run *seen_by; /* whose tasks wait for it */
    rf_pool *pool;
};

static rf_status beside_task(void *arg, rf_err *err)
{
    struct beside *beside = arg;

    atomic_fetch_add(&beside->begun, 1);
    while (!atomic_load(&beside->may_end))
        ;
    return beside->status ? rf_fail(err, beside->status, "beside") : RF_OK;
}

Test(pool, runs_a_task_beside_all_others)
{
    for (size_t i = 1; i < 5; i++) {
        struct run run = {.failing = SIZE_MAX};
        struct beside beside = {.status = RF_OK};
        rf_pool *pool;
        cr_assert_eq(rf_pool_new(worker_counts[i], &pool, NULL), RF_OK);
        for (int round = 0; round < 20; round++) {
            atomic_store(&beside.may_end, 0);
            rf_pool_begin_beside(pool, beside_task, &beside);
            cr_assert_eq(rf_pool_run(pool, 100, count_task, &run, NULL), RF_OK);
            cr_assert_not(rf_pool_beside_is_done(pool));
            atomic_store(&beside.may_end, 1);
            cr_assert_eq(rf_pool_end_beside(pool, NULL), RF_OK);
            cr_assert_eq(atomic_load(&beside.begun), round + 1);
        }
        cr_assert_eq(atomic_load(&run.started[99]), 20);
        rf_pool_free(pool);
    }
}

Test(pool, of_no_workers_runs_a_task_beside_when_it_is_begun)
{
    struct beside beside = {.may_end = 1, .status = RF_ERR_IO};
    rf_pool *pool;
    rf_err err;

    cr_assert_eq(rf_pool_new(0, &pool, NULL), RF_OK);
    rf_pool_begin_beside(pool, beside_task, &beside);
    cr_assert_eq(atomic_load(&beside.begun), 1);
    cr_assert(rf_pool_beside_is_done(pool));
    cr_assert_eq(rf_pool_end_beside(pool, &err), RF_ERR_IO);
    cr_assert_str_eq(err.message, "beside");
    rf_pool_free(pool);
}

static rf_status waiting_task(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    struct beside *beside = arg;

    if (index == 0)
        atomic_store(&beside->may_end, 1);
    rf_err seen = {0};
    rf_status status = rf_pool_wait_beside(beside->pool, &seen);
    if (status != beside->status || (status && seen.status != status))
        return rf_fail(err, RF_ERR_DAMAGED, "seen");
    return count_task(beside->seen_by, worker, index, err);
}

Test(pool, lets_tasks_wait_for_the_one_beside_and_see_what_became_of_it)
{
    for (int failing = 0; failing < 2; failing++)
        for (size_t i = 1; i < 5; i++) {
            struct run run = {.failing = SIZE_MAX};
            struct beside beside = {.status = failing ? RF_ERR_IO : RF_OK, .seen_by = &run};
            rf_pool *pool;
            cr_assert_eq(rf_pool_new(worker_counts[i], &pool, NULL), RF_OK);
            beside.pool = pool;
            rf_pool_begin_beside(pool, beside_task, &beside);
            cr_assert_eq(rf_pool_run(pool, 100, waiting_task, &beside, NULL), RF_OK);
            cr_assert_eq(rf_pool_end_beside(pool, NULL), beside.status);
            for (size_t task = 0; task < 100; task++)
                cr_assert_eq(atomic_load(&run.started[task]), 1);
            rf_pool_free(pool);
        }
}
