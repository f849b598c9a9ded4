/* See base_merge.h. catch_up_merge.c puts the rows together. */
#include "catch_up/base_merge.h"

#include "catch_up/catch_up_late.h"
#include "generation/build.h"

#include <stdlib.h>

enum { CHANGED_SHARE = 10 /* one row in so many */, CHANGED_MIN = 1000, BYTES_SHARE = 16 };
#define DELTA_BYTES_MIN ((uint64_t)64 << 20)

struct rf_base_merge {
    rf_store *store;
    rf_pool *pool;
    const volatile int *cancel;
    rf_catch_up *catch_up;
    rf_build *build;
    uint64_t from;
};

bool rf_base_merge_is_due(const rf_manifest *manifest, const rf_checkpoint *checkpoint,
                          uint64_t fresh)
{
    uint64_t rows = checkpoint->digest.rows / CHANGED_SHARE;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < manifest->file_count; i++)
        bytes += manifest->files[i].size / BYTES_SHARE;
    return checkpoint->delta_rows + fresh > (rows > CHANGED_MIN ? rows : CHANGED_MIN) ||
           checkpoint->delta_bytes > (bytes > DELTA_BYTES_MIN ? bytes : DELTA_BYTES_MIN);
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
    if (until > rf_catch_up_position(merge->catch_up))
        status = rf_catch_up_fold(merge->catch_up, until, cancel, err);
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
    *merge = (rf_base_merge){.store = store, .pool = pool, .cancel = cancel, .from = number};
    rf_status status = rf_catch_up_open(store, pool, &of, 1, &merge->catch_up, err);
    if (status == RF_OK && (until <= rf_catch_up_position(merge->catch_up) ||
                            rf_catch_up_resumes_all(merge->catch_up)))
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

rf_status rf_base_merge_replace(rf_base_merge *merge, rf_err *err)
{
    const rf_manifest *manifest = rf_build_manifest(merge->build);
    const rf_catch_up_late_of of = {manifest->name, manifest->number, merge->from};
    rf_catch_up_late late = {.store = merge->store,
                             .pool = merge->pool,
                             .of = &of,
                             .count = 1,
                             .cancel = merge->cancel};

    rf_status status = rf_build_record_replacing(merge->build, err);
    if (status != RF_OK)
        return status;
    status = rf_catch_up_replace(&late, manifest, err);
    rf_catch_up_late_close(&late);
    if (status != RF_OK)
        rf_catalog_discard(merge->store->catalog, manifest->name, manifest->number);
    return status;
}

void rf_base_merge_free(rf_base_merge *merge)
{
    if (!merge)
        return;
    rf_build_free(merge->build);
    rf_catch_up_close(merge->catch_up);
    free(merge);
}
