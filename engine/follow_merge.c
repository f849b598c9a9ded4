/* See follow_merge.h. */
#include "follow_merge.h"

#include "base/clock.h"
#include "base_merge.h"

#include <inttypes.h>
#include <stdio.h>

enum { BUSY_S = 1, FAILED_S = 60 /* until it is tried again */ };

static void tell(const rf_follow_merge *merges, const char *line)
{
    if (merges->tell)
        merges->tell(merges->tell_arg, line);
}

/* With LOCK. */
static rf_status merge(const rf_follow_merge *merges, const rf_manifest *of, rf_err *err)
{
    rf_base_merge *made = NULL;
    char line[256];

    rf_catalog_sweep(merges->store->catalog, of->name);
    rf_status status = rf_base_merge_begin(merges->store, merges->pool, of->name, of->number, 0,
                                           merges->cancel, &made, err);
    if (status == RF_OK)
        status = rf_base_merge_replace(made, err);
    if (status == RF_OK) {
        (void)snprintf(line, sizeof line,
                       "%s: base and delta of generation %" PRIu64 " were merged: generation %" PRIu64
                       " has its place",
                       of->name, of->number, rf_base_merge_manifest(made)->number);
        tell(merges, line);
    }
    rf_base_merge_free(made);
    return status;
}

rf_status rf_follow_merge_run(rf_follow_merge *merges, rf_catch_up **group, rf_err *err)
{
    rf_gc_result removed;
    bool merged = false;
    int lock = -1;
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && *group && i < rf_catch_up_count(*group); i++) {
        const rf_manifest *manifest;
        const rf_checkpoint *checkpoint = rf_catch_up_checkpoint(*group, i, &manifest);
        rf_err failure = {0};
        char line[RF_ERR_MESSAGE_SIZE + 128];
        if (!rf_base_merge_is_due(manifest, checkpoint, 0) || rf_clock_seconds() < merges->due)
            continue;
        if (lock < 0 && rf_store_lock(merges->store, 0, &lock, &failure) != RF_OK) {
            merges->due = rf_clock_seconds() + BUSY_S;
            return RF_OK;
        }
        rf_status one = merge(merges, manifest, &failure);
        merged = merged || one == RF_OK;
        if (one == RF_ERR_INTERRUPTED) {
            status = one;
            if (err)
                *err = failure;
        } else if (one != RF_OK) {
            merges->due = rf_clock_seconds() + FAILED_S;
            (void)snprintf(line, sizeof line, "%s: base and delta were not merged: %s",
                           manifest->name, failure.message);
            tell(merges, line);
        }
    }
    if (merged) {
        rf_catch_up_close(*group);
        *group = NULL;
        /* Only what was replaced goes; where a reader holds it, a later gc takes it. */
        (void)rf_catalog_gc(merges->store->catalog, NULL, UINT32_MAX, true, 0, &removed, NULL);
    }
    rf_lock_release(lock);
    return status;
}
