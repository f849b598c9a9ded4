/* What a rebuild may take over from the live generation; see pipeline.c.
 *
 * Where a definition and what it is run with are the live one's, only what came since has to be
 * folded: the new generation has the same base files under second names, a copy of the delta, and
 * catches up. That is for few changes; past a tenth of the rows base, delta and what came since are
 * merged into a new base. Where a fold does not go on from stored rows, or most of the log is new, all
 * is folded. Where that turns out under way, so it is too, and what was made till then is discarded: to compare all
 * with what is stored would cost more, and leave a delta that may be most of the rows.
 */
#include "base/clock.h"
#include "catch_up/base_merge.h"
#include "pipeline/pipeline_job.h"

#include <stdlib.h>
#include <string.h>

enum { NEW_SHARE = 3 /* it pays where at most one event in so many is new */ };

/* Whether a live generation was run with what this rebuild would be, and left out what it would: the
 * same skips on record, and by the same policy where that left anything out. */
static rf_status same_run(struct pipeline *pipeline, const rf_definition *definition,
                          const rf_catalog_generation *live, bool *same_out, rf_err *err)
{
    const char *name = definition->name;
    rf_catalog *catalog = pipeline->store->catalog;
    char dir[RF_PATH_SIZE];
    rf_manifest manifest = {0};
    rf_left_out_list had = {0};
    rf_left_out_list skips = {0};
    uint32_t at = 0;
    bool same = true;

    rf_status status = rf_catalog_path(catalog, name, live->number, dir, err);
    if (status == RF_OK)
        status = rf_manifest_read(dir, &manifest, err);
    if (status != RF_OK)
        return status;
    status = rf_catalog_left_out(catalog, &manifest, &had, err);
    if (status == RF_OK)
        status = rf_catalog_skips(catalog, name, &skips, err);
    same = manifest.engine_hash.low == definition->engine_hash.low &&
           manifest.engine_hash.high == definition->engine_hash.high;
    while (skips.count > 0 && skips.items[skips.count - 1].position > live->position)
        skips.count--;
    for (uint32_t i = 0; i < had.count; i++) {
        if (had.items[i].cause != RF_CAUSE_ON_RECORD)
            same = same && manifest.on_error == pipeline->options->on_error;
        else if (at < skips.count && skips.items[at].position == had.items[i].position)
            at++;
        else
            same = false;
    }
    *same_out = same && at == skips.count;
    rf_left_out_list_free(&skips);
    rf_left_out_list_free(&had);
    rf_manifest_free(&manifest);
    return status;
}

/* Whether every live generation has this very definition at this position. */
rf_status rf_pipeline_check_changed(struct pipeline *pipeline, rf_err *err)
{
    for (uint32_t i = 0; i < pipeline->resolved.count; i++) {
        const rf_definition *definition = pipeline->resolved.definitions[i];
        rf_catalog *catalog = pipeline->store->catalog;
        rf_catalog_model model;
        rf_catalog_generation live;
        bool found = false;

        rf_status status = rf_catalog_get_model(catalog, definition->name, &model, &found, err);
        if (status == RF_OK && found)
            status = rf_catalog_get_generation(catalog, definition->name, model.live, &live, &found,
                                               err);
        if (status != RF_OK || !found)
            return status;
        if (live.position != pipeline->position ||
            live.content_hash.low != definition->content_hash.low ||
            live.content_hash.high != definition->content_hash.high)
            return RF_OK;
        bool same = false;
        status = same_run(pipeline, definition, &live, &same, err);
        if (status != RF_OK || !same)
            return status;
    }
    if (pipeline->position == 0)
        return rf_fail(err, RF_ERR_NOTHING, "nothing changed: the log has no events yet");
    return rf_fail(err, RF_ERR_NOTHING,
                   "nothing changed: the live generations are at position %llu",
                   (unsigned long long)pipeline->position);
}

/* ---- taking over ---- */

static rf_status may_reuse(struct pipeline *pipeline, const rf_definition *definition,
                           bool *may_out, bool *merges_out, rf_err *err)
{
    rf_catalog *catalog = pipeline->store->catalog;
    rf_catalog_model model;
    rf_catalog_generation live;
    rf_manifest manifest;
    rf_checkpoint checkpoint;
    char dir[RF_PATH_SIZE];
    bool found = false;

    *may_out = false;
    rf_status status = rf_catalog_get_model(catalog, definition->name, &model, &found, err);
    if (status == RF_OK && found)
        status = rf_catalog_get_generation(catalog, definition->name, model.live, &live, &found,
                                           err);
    if (status != RF_OK || !found || live.position >= pipeline->position ||
        live.content_hash.low != definition->content_hash.low ||
        live.content_hash.high != definition->content_hash.high ||
        !rf_catch_up_resumes(definition))
        return status;
    status = rf_catalog_path(catalog, live.name, live.number, dir, err);
    if (status == RF_OK)
        status = rf_manifest_read(dir, &manifest, err);
    if (status != RF_OK)
        return status;
    bool same_policy = manifest.on_error == pipeline->options->on_error &&
                       (definition->by_stream || manifest.on_error != RF_ON_ERROR_QUARANTINE);
    status = rf_catalog_checkpoint(catalog, &manifest, &checkpoint, err);
    if (status == RF_OK)
        *merges_out =
            rf_base_merge_is_due(&manifest, &checkpoint, pipeline->position - live.position);
    rf_manifest_free(&manifest);
    uint64_t fresh = pipeline->position - live.position;
    if (status != RF_OK || !same_policy || fresh > pipeline->position / NEW_SHARE)
        return status;
    return same_run(pipeline, definition, &live, may_out, err);
}

rf_status rf_pipeline_find_reuse(struct pipeline *pipeline, bool *reuses_out, rf_err *err)
{
    bool may = !pipeline->options->full;
    rf_status status = RF_OK;
    rf_reused *reused = calloc(pipeline->resolved.count, sizeof *reused);

    if (!reused)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u projections",
                       pipeline->resolved.count);
    for (uint32_t i = 0; status == RF_OK && may && i < pipeline->resolved.count; i++)
        status = may_reuse(pipeline, pipeline->resolved.definitions[i], &may, &reused[i].merges,
                           err);
    *reuses_out = status == RF_OK && may;
    if (*reuses_out)
        pipeline->reused = reused;
    else
        free(reused);
    return status;
}

struct linking {
    const char *from, *to;
};

/* Everything but MANIFEST gets a second name; directories are made anew. */
static rf_status link_entry(void *arg, const char *name, rf_err *err)
{
    const struct linking *linking = arg;
    char from[RF_PATH_SIZE], to[RF_PATH_SIZE];

    if (strcmp(name, "MANIFEST") == 0)
        return RF_OK;
    rf_status status = rf_path_format(from, "%s/%s", err, linking->from, name);
    if (status == RF_OK)
        status = rf_path_format(to, "%s/%s", err, linking->to, name);
    if (status != RF_OK)
        return status;
    if (!rf_path_is_dir(from))
        return rf_file_link(from, to, err);
    const struct linking inner = {from, to};
    status = rf_dir_make(to, err);
    if (status == RF_OK)
        status = rf_dir_list(from, link_entry, (void *)(uintptr_t)&inner, err);
    return status == RF_OK ? rf_dir_sync(to, err) : status;
}

/* The generation, sealed where the live one was, and as far as that one is. */
static rf_status take_base(struct pipeline *pipeline, const char *name, uint64_t live,
                           rf_manifest *manifest_out, rf_err *err)
{
    rf_catalog *catalog = pipeline->store->catalog;
    char from[RF_PATH_SIZE], to[RF_PATH_SIZE];
    const struct linking linking = {from, to};
    rf_manifest manifest;

    rf_status status = rf_catalog_path(catalog, name, live, from, err);
    if (status == RF_OK)
        status = rf_manifest_read(from, &manifest, err);
    if (status != RF_OK)
        return status;
    status = rf_catalog_new_generation(catalog, name, &manifest.number, to, err);
    if (status != RF_OK) {
        rf_manifest_free(&manifest);
        return status;
    }
    manifest.sealed_at = rf_clock_wall_us();
    status = rf_dir_list(from, link_entry, (void *)(uintptr_t)&linking, err);
    if (status == RF_OK)
        status = rf_dir_sync(to, err);
    if (status == RF_OK)
        status = rf_manifest_write(to, &manifest, err);
    if (status == RF_OK)
        status = rf_catalog_sync_directories(catalog, name, err);
    if (status == RF_OK)
        status = rf_catalog_add_copy(catalog, &manifest, live, &pipeline->set, err);
    if (status != RF_OK) {
        (void)rf_dir_remove(to, NULL); /* else it is a leftover */
        rf_manifest_free(&manifest);
        return status;
    }
    *manifest_out = manifest;
    return RF_OK;
}

/* By way of the same base and a delta; *made_out false where stored rows turned out to tell too little. */
static rf_status link_one(struct pipeline *pipeline, const char *name, uint64_t live,
                          rf_reused *reused, bool *made_out, rf_err *err)
{
    rf_catch_up *catch_up = NULL;
    rf_err failure = {0};

    *made_out = false;
    rf_status status = take_base(pipeline, name, live, &reused->manifest, err);
    if (status != RF_OK)
        return status;
    const rf_catch_up_of of = {.name = name, .number = reused->manifest.number};
    status = rf_catch_up_open(pipeline->store, pipeline->pool, &of, 1, &catch_up, &failure);
    if (status == RF_OK) {
        rf_catch_up_only_go_on(catch_up, true);
        status = rf_catch_up_run(catch_up, pipeline->position, pipeline->options->run.cancel,
                                 &failure);
        reused->events = rf_catch_up_events(catch_up);
        *made_out = status == RF_OK;
        if (status != RF_OK && rf_catch_up_told_too_little(catch_up))
            status = RF_OK;
    }
    rf_catch_up_close(catch_up);
    if (status != RF_OK && err)
        *err = failure;
    return status;
}

/* By way of a new base; *made_out false where that cannot be. */
static rf_status merge_one(struct pipeline *pipeline, const char *name, uint64_t live,
                           rf_reused *reused, bool *made_out, rf_err *err)
{
    char dir[RF_PATH_SIZE];
    rf_base_merge *merge = NULL;

    rf_status status = rf_base_merge_begin(pipeline->store, pipeline->pool, name, live,
                                      pipeline->position, pipeline->options->run.cancel, &merge,
                                      err);
    *made_out = merge != NULL;
    if (status != RF_OK || !merge)
        return status;
    status = rf_base_merge_record(merge, &pipeline->set, err);
    reused->events = rf_base_merge_events(merge);
    if (status == RF_OK)
        status = rf_catalog_path(pipeline->store->catalog, name, rf_base_merge_manifest(merge)->number,
                                 dir, err);
    rf_base_merge_free(merge);
    return status == RF_OK ? rf_manifest_read(dir, &reused->manifest, err) : status;
}

static rf_status reuse_one(struct pipeline *pipeline, uint32_t index, bool *made_out, rf_err *err)
{
    const char *name = pipeline->resolved.definitions[index]->name;
    rf_reused *reused = &pipeline->reused[index];
    rf_catalog_model model = {0};
    bool found = false;

    *made_out = false;
    rf_status status =
        rf_catalog_get_model(pipeline->store->catalog, name, &model, &found, err);
    if (status != RF_OK)
        return status;
    return reused->merges ? merge_one(pipeline, name, model.live, reused, made_out, err)
                          : link_one(pipeline, name, model.live, reused, made_out, err);
}

/* What is linked is sealed before it caught up. */
static void discard_reused(struct pipeline *pipeline)
{
    for (uint32_t i = 0; i < pipeline->resolved.count; i++)
        if (pipeline->reused[i].manifest.number != 0)
            rf_catalog_discard(pipeline->store->catalog, pipeline->resolved.definitions[i]->name,
                               pipeline->reused[i].manifest.number);
    rf_pipeline_free_reused(pipeline);
    pipeline->set = 0;
}

rf_status rf_pipeline_reuse(struct pipeline *pipeline, bool *made_out, rf_err *err)
{
    double start = rf_clock_seconds();
    rf_status status = RF_OK;
    bool made = true;

    for (uint32_t i = 0; status == RF_OK && made && i < pipeline->resolved.count; i++) {
        status = reuse_one(pipeline, i, &made, err);
        if (status != RF_OK && status != RF_ERR_REFUSED && err && err->position != 0)
            pipeline->failure = (rf_fold_failure){err->position, i};
    }
    *made_out = status == RF_OK && made;
    if (!*made_out)
        discard_reused(pipeline); /* all or none */
    if (*made_out)
        pipeline->replay.timings.fold = rf_clock_seconds() - start;
    else
        pipeline->discarded_s = rf_clock_seconds() - start;
    pipeline->sealed = *made_out;
    return status;
}

void rf_pipeline_free_reused(struct pipeline *pipeline)
{
    for (uint32_t i = 0; pipeline->reused && i < pipeline->resolved.count; i++)
        rf_manifest_free(&pipeline->reused[i].manifest);
    free(pipeline->reused);
    pipeline->reused = NULL;
}
