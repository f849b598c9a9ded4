/* See base_merge.h. catch_up_merge.c puts the rows together. */
#include "base_merge.h"

#include "build.h"
#include "catch_up.h"

#include <stdlib.h>

enum { CHANGED_SHARE = 10 /* one row in so many */, CHANGED_MIN = 1000 };
#define DELTA_BYTES_MAX ((uint64_t)64 << 20)

struct rf_base_merge {
    rf_catch_up *catch_up;
    rf_build *build;
};

bool rf_base_merge_is_due(const rf_checkpoint *checkpoint, uint64_t rows, uint64_t fresh)
{
    uint64_t most = rows / CHANGED_SHARE > CHANGED_MIN ? rows / CHANGED_SHARE : CHANGED_MIN;

    return checkpoint->delta_bytes > DELTA_BYTES_MAX || checkpoint->delta_rows + fresh > most;
}

static rf_status sync_piece(void *arg, uint32_t worker, size_t index, rf_err *err)
{
    (void)worker;
    return rf_build_sync(arg, (uint32_t)index, err);
}

/* Folds, writes and seals. */
static rf_status run(rf_store *store, rf_pool *pool, rf_base_merge *merge, uint64_t until,
                     const volatile int *cancel, bool *whole_out, rf_err *err)
{
    const rf_build_options options = {.worker_slots = rf_pool_worker_slots(pool)};

    rf_status status = rf_build_begin(store, rf_catch_up_definition(merge->catch_up), &options,
                                      &merge->build, err);
    if (status == RF_OK)
        status = rf_catch_up_merge_into(merge->catch_up, merge->build, err);
    if (status != RF_OK)
        return status;
    uint64_t position = rf_catch_up_position(merge->catch_up);
    status =
        rf_catch_up_fold(merge->catch_up, until > position ? until : position, cancel, err);
    if (status == RF_OK)
        status = rf_catch_up_merge_end(merge->catch_up, whole_out, err);
    if (status != RF_OK || !*whole_out)
        return status;
    status = rf_pool_run(pool, rf_build_sync_count(merge->build), sync_piece, merge->build, err);
    return status == RF_OK ? rf_build_seal(merge->build, err) : status;
}

rf_status rf_base_merge_begin(rf_store *store, rf_pool *pool, const char *name, uint64_t number,
                         uint64_t until, const volatile int *cancel, rf_base_merge **merge_out,
                         rf_err *err)
{
    const rf_catch_up_of of = {.name = name, .number = number};
    rf_base_merge *merge = calloc(1, sizeof *merge);
    bool whole = false;

    *merge_out = NULL;
    if (!merge)
        return rf_fail(err, RF_ERR_MEMORY, "%s: out of memory for a merge", name);
    rf_status status = rf_catch_up_open(store, pool, &of, 1, &merge->catch_up, err);
    if (status == RF_OK && rf_catch_up_may_merge(merge->catch_up))
        status = run(store, pool, merge, until, cancel, &whole, err);
    if (status != RF_OK || !whole) {
        rf_base_merge_free(merge);
        return status;
    }
    *merge_out = merge;
    return RF_OK;
}

const rf_manifest *rf_base_merge_manifest(const rf_base_merge *merge)
{
    return rf_build_manifest(merge->build);
}

uint64_t rf_base_merge_events(const rf_base_merge *merge)
{
    return rf_catch_up_events(merge->catch_up);
}

rf_status rf_base_merge_record(rf_base_merge *merge, uint64_t *set, rf_err *err)
{
    return rf_build_record(&merge->build, 1, set, err);
}

void rf_base_merge_free(rf_base_merge *merge)
{
    if (!merge)
        return;
    rf_build_free(merge->build);
    rf_catch_up_close(merge->catch_up);
    free(merge);
}
