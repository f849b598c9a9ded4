/* See follow_merge.h. */
#include "follow_merge.h"

#include "base/clock.h"
#include "catch_up/base_merge.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BUSY_S = 1, FAILED_S = 60 /* until it is tried again */ };
/* Before what was merged is merged again: who wants LOCK, a rebuild say, finds it free most of the time, also
 * where each commit changes a tenth of the rows. */
enum { REST_S = 1, REST_SHARE = 19 };

rf_status rf_follow_merge_begin(rf_follow_merge *merges, rf_store *store,
                                const rf_follow_options *options, uint32_t workers, rf_err *err)
{
    *merges = (rf_follow_merge){.store = store,
                                .cancel = options->run.cancel,
                                .tell = options->report,
                                .tell_arg = options->report_arg,
                                .lock = -1,
                                .merge_lock = -1};
    rf_status status = rf_pool_new(workers > 0 ? 1 : 0, &merges->beside, err);
    return status == RF_OK ? rf_pool_new(0, &merges->inner, err) : status;
}

static void tell(const rf_follow_merge *merges, const char *line)
{
    if (merges->tell)
        merges->tell(merges->tell_arg, line);
}

/* ---- beside ---- */

static rf_status merge(rf_follow_merge *merges, rf_err *err)
{
    rf_base_merge *made = NULL;

    rf_catalog_sweep(merges->store->catalog, merges->name);
    rf_status status = rf_base_merge_begin(merges->store, merges->inner, merges->name, merges->from,
                                           0, merges->cancel, &made, err);
    if (status == RF_OK)
        status = rf_base_merge_replace(made, err);
    if (status == RF_OK)
        merges->to = rf_base_merge_manifest(made)->number;
    rf_base_merge_free(made);
    return status;
}

/* With LOCK, which the thread that follows holds. */
static rf_status run_beside(void *arg, rf_err *err)
{
    rf_follow_merge *merges = arg;
    rf_gc_result removed;

    if (!merges->clears)
        return merge(merges, err);
    /* Only what was replaced goes; where a reader holds it, a later gc takes it. */
    return rf_catalog_gc(merges->store->catalog, NULL, UINT32_MAX, true, 0, &removed, err);
}

/* ---- from the thread that follows ---- */

static void tell_merged(rf_follow_merge *merges, rf_status status)
{
    char line[RF_ERR_MESSAGE_SIZE + 128];

    if (status == RF_OK) {
        (void)snprintf(line, sizeof line,
                       "%s: base and delta of generation %" PRIu64 " were merged: generation %" PRIu64
                       " has its place",
                       merges->name, merges->from, merges->to);
        tell(merges, line);
        return;
    }
    merges->due = rf_clock_seconds() + FAILED_S;
    if (status == RF_ERR_INTERRUPTED)
        return;
    (void)snprintf(line, sizeof line, "%s: base and delta were not merged: %s", merges->name,
                   merges->failure.message);
    tell(merges, line);
}

static void end_beside(rf_follow_merge *merges, rf_catch_up **group)
{
    rf_err failure = {0};
    rf_status status = rf_pool_end_beside(merges->beside, &failure);

    if (!merges->clears) {
        merges->failure = failure;
        tell_merged(merges, status);
    }
    if (!merges->clears && status == RF_OK) {
        double now = rf_clock_seconds();
        double rest = REST_SHARE * (now - merges->begun);
        merges->rested = now + (rest > REST_S ? rest : REST_S);
        rf_catch_up_close(*group); /* it holds what was replaced */
        *group = NULL;
        merges->clears = true;
        rf_pool_begin_beside(merges->beside, run_beside, merges);
        return;
    }
    rf_lock_release(merges->merge_lock);
    rf_lock_release(merges->lock);
    merges->lock = merges->merge_lock = -1;
}

/* The first of the group that is due, if LOCK is free. */
static void begin_beside(rf_follow_merge *merges, const rf_catch_up *group)
{
    for (uint32_t i = 0; i < rf_catch_up_count(group); i++) {
        const rf_manifest *manifest;
        const rf_checkpoint *checkpoint = rf_catch_up_checkpoint(group, i, &manifest);
        rf_err failure = {0};
        bool rests = strcmp(manifest->name, merges->name) == 0 && manifest->number == merges->to &&
                     rf_clock_seconds() < merges->rested;
        if (rests || !rf_base_merge_is_due(manifest, checkpoint, 0))
            continue;
        if (rf_store_lock_merge(merges->store, &merges->lock, &merges->merge_lock, &failure) !=
            RF_OK) {
            merges->lock = merges->merge_lock = -1;
            merges->due = rf_clock_seconds() + BUSY_S;
            return;
        }
        RF_ASSERT(strlen(manifest->name) < sizeof merges->name);
        memcpy(merges->name, manifest->name, strlen(manifest->name) + 1);
        merges->from = manifest->number;
        merges->clears = false;
        merges->begun = rf_clock_seconds();
        rf_pool_begin_beside(merges->beside, run_beside, merges);
        return;
    }
}

bool rf_follow_merge_has_ended(const rf_follow_merge *merges)
{
    return merges->lock >= 0 && rf_pool_beside_is_done(merges->beside);
}

void rf_follow_merge_run(rf_follow_merge *merges, rf_catch_up **group)
{
    if (rf_follow_merge_has_ended(merges))
        end_beside(merges, group);
    else if (merges->lock < 0 && *group && rf_clock_seconds() >= merges->due)
        begin_beside(merges, *group);
}

static void wait_beside(rf_follow_merge *merges, rf_catch_up **group)
{
    while (merges->beside && merges->lock >= 0)
        end_beside(merges, group);
}

bool rf_follow_merge_at_once(rf_follow_merge *merges, rf_catch_up **group)
{
    bool had = *group != NULL;

    rf_follow_merge_run(merges, group);
    wait_beside(merges, group);
    return had && !*group;
}

void rf_follow_merge_end(rf_follow_merge *merges, rf_catch_up **group)
{
    wait_beside(merges, group);
    rf_pool_free(merges->beside);
    rf_pool_free(merges->inner);
}
