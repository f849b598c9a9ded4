/* The end of a rebuild: sealed generations catch up with what came meanwhile, pass their gates and go
 * live; see pipeline.c. Another flip that comes in between means gates again. */
#include "base/clock.h"
#include "pipeline/pipeline_job.h"

#include <stdlib.h>

enum { FLIP_TRIES_MAX = 8 /* times that another flip may come in between */ };

rf_status rf_pipeline_check_cancel(const struct pipeline *pipeline, rf_err *err)
{
    if (pipeline->options->run.cancel && *pipeline->options->run.cancel)
        return rf_fail(err, RF_ERR_INTERRUPTED,
                       "interrupted; what was live is live, nothing was swapped");
    return RF_OK;
}

static bool goes_together(const struct pipeline *pipeline)
{
    return pipeline->resolved.count > 1 && !pipeline->options->independent;
}

static rf_status refuse_held(const rf_gates *gates, const rf_manifest *manifest, rf_err *err)
{
    rf_status status = rf_fail(err, RF_ERR_REFUSED,
                               "%s: a rollback left this definition, so generation %llu is kept, not live",
                               manifest->name, (unsigned long long)manifest->number);
    rf_gates_tell_swap(gates, manifest, "", err);
    return status;
}

/* Gates of one definition against what is live now, and whether a rollback holds its content. */
static rf_status pass_gates(struct pipeline *pipeline, uint32_t index, rf_catch_up_late *late,
                            rf_err *err)
{
    const rf_manifest *manifest = rf_pipeline_manifest(pipeline, index);
    const rf_gates gates = {pipeline->store, pipeline->pool, &pipeline->options->gates,
                            pipeline->options->run.cancel, &pipeline->gate_keys,
                            goes_together(pipeline) ? pipeline->set : 0};
    rf_catalog_model model = {0};
    bool found = false;

    rf_status status =
        rf_catalog_get_model(pipeline->store->catalog, manifest->name, &model, &found, err);
    if (status != RF_OK)
        return status;
    pipeline->live[index] = found ? model.live : 0;
    status = rf_gates_check(&gates, pipeline->resolved.definitions[index], manifest,
                            pipeline->live[index], late, &pipeline->counts[index], err);
    for (uint32_t i = 0; status == RF_OK && i < model.held_count; i++)
        if (model.held[i].content.low == manifest->content_hash.low &&
            model.held[i].content.high == manifest->content_hash.high)
            return refuse_held(&gates, manifest, err);
    return status;
}

/* Flips definitions [begin, end) together. Another flip that came in between means gates again. */
static rf_status flip(struct pipeline *pipeline, uint32_t begin, uint32_t end, rf_err *err)
{
    uint32_t count = end - begin;
    rf_status status = RF_ERR_LOCKED;

    rf_catalog_change *changes = calloc(count, sizeof *changes);
    uint64_t *from = calloc(count, sizeof *from);
    rf_catch_up_late_of *of = calloc(count, sizeof *of);
    rf_catch_up_late late = {.store = pipeline->store,
                             .pool = pipeline->pool,
                             .of = of,
                             .count = count,
                             .asks = true,
                             .cancel = pipeline->options->run.cancel};
    if (!changes || !from || !of) {
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for %u projections", count);
        goto done;
    }
    for (uint32_t i = 0; i < count; i++) {
        const rf_manifest *manifest = rf_pipeline_manifest(pipeline, begin + i);
        of[i] = (rf_catch_up_late_of){.name = manifest->name, .number = manifest->number};
    }
    status = rf_catch_up_late_rounds(&late, true, err);
    if (status != RF_OK)
        goto done;
    status = RF_ERR_LOCKED;
    for (int tries = 0; status == RF_ERR_LOCKED && tries < FLIP_TRIES_MAX; tries++) {
        for (uint32_t i = 0; i < count; i++) {
            status = pass_gates(pipeline, begin + i, &late, err);
            if (status != RF_OK)
                goto done;
            const rf_manifest *manifest = rf_pipeline_manifest(pipeline, begin + i);
            changes[i] = (rf_catalog_change){.name = manifest->name,
                                             .to = manifest->number,
                                             .expected = pipeline->live[begin + i],
                                             .catch_up = rf_catch_up_in_flip,
                                             .catch_up_arg = &late};
        }
        status = rf_pipeline_check_cancel(pipeline, err);
        pipeline->flip_tried = pipeline->flip_tried || status == RF_OK;
        if (status == RF_OK)
            status = rf_catch_up_flip(pipeline->store->catalog, changes, count, -1, from, err);
    }
    for (uint32_t i = begin; status == RF_OK && i < end; i++)
        pipeline->flipped[i] = true;
done:
    rf_catch_up_late_close(&late);
    free(of);
    free(changes);
    free(from);
    return status;
}

rf_status rf_pipeline_flip(struct pipeline *pipeline, rf_err *err)
{
    double start = rf_clock_seconds();
    uint32_t count = pipeline->resolved.count;
    rf_status status = RF_OK;

    if (!pipeline->options->independent) {
        status = flip(pipeline, 0, count, err);
    } else {
        for (uint32_t i = 0; i < count; i++) {
            rf_err failure = {0};
            rf_status one = flip(pipeline, i, i + 1, &failure);
            if (one != RF_OK && status == RF_OK) {
                status = one;
                if (err)
                    *err = failure;
            }
        }
    }
    pipeline->swap_s = rf_clock_seconds() - start;
    return status;
}
