/* One rebuild: the only file that sees the whole way of the data.
 *
 *     lock -> resolve -> checks -> end position -> begin builds -> fold -> seal -> catch-up -> gates
 *     -> flip -> gc
 *
 * Before the flip nothing that readers see has changed; a failure anywhere removes what was not
 * sealed and leaves the live generations as they were. Sealed generations that a gate refused stay,
 * not live. LOCK is held from start to end, live/SWAP by the flip only.
 */
#include "base/clock.h"
#include "pipeline/pipeline_job.h"
#include "store/quarantine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEEP_DEFAULT = 3 };

struct report {
    rf_rebuild_report report;
    rf_arena arena;
};

static rf_status check_options(const rf_rebuild_options *options, rf_err *err)
{
    if ((options->until != 0 || options->has_until_time) && !options->no_swap)
        return rf_fail(
            err, RF_ERR_USAGE,
            "a rebuild up to a position or time needs --no-swap: it would go live behind");
    if (options->until != 0 && options->has_until_time)
        return rf_fail(err, RF_ERR_USAGE, "either a position or a time to end at, not both");
    if (options->no_swap && (options->gates.has_max_changed || options->gates.expect_keys))
        return rf_fail(err, RF_ERR_USAGE,
                       "--max-changed and --expect-keys are gates of what goes live: not with "
                       "--no-swap");
    if (options->has_max_errors && options->max_errors > RF_MAX_ERRORS_MAX)
        return rf_fail(err, RF_ERR_USAGE, "at most %d events that fail can be kept count of",
                       RF_MAX_ERRORS_MAX);
    return RF_OK;
}

/* The end position, fixed here once: later events are not in this rebuild. */
static rf_status find_end(struct pipeline *pipeline, rf_err *err)
{
    const rf_rebuild_options *options = pipeline->options;
    rf_log_info info;

    rf_status status = rf_log_get_info(pipeline->store->log, &info, err);
    if (status != RF_OK)
        return status;
    pipeline->position = info.position;
    if (options->has_until_time)
        return rf_log_position_at_time(pipeline->store->log, options->until_time,
                                       &pipeline->position, err);
    if (options->until > info.position)
        return rf_fail(err, RF_ERR_USAGE, "the log ends at position %llu, before %llu",
                       (unsigned long long)info.position, (unsigned long long)options->until);
    if (options->until != 0)
        pipeline->position = options->until;
    return RF_OK;
}

/* Read before anything is built, so that a bad file costs nothing. */
static rf_status read_gate_keys(struct pipeline *pipeline, rf_err *err)
{
    const char *path = pipeline->options->gates.expect_keys;

    if (!path)
        return RF_OK;
    if (pipeline->resolved.count != 1)
        return rf_fail(err, RF_ERR_USAGE, "--expect-keys goes with one projection");
    return rf_gate_keys_read(path, pipeline->resolved.definitions[0], &pipeline->gate_keys, err);
}

static rf_status check_definitions(struct pipeline *pipeline, rf_err *err)
{
    const rf_preflight_options options = {
        .until = pipeline->position,
        .ignore_unknown = pipeline->options->ignore_unknown,
    };
    rf_status status = RF_OK;

    for (uint32_t i = 0; status == RF_OK && i < pipeline->resolved.count; i++) {
        const rf_definition *definition = pipeline->resolved.definitions[i];
        if (!pipeline->options->dev)
            status = rf_preflight_version(pipeline->store, definition, err);
        if (status == RF_OK && !pipeline->options->no_swap)
            status = rf_catalog_check_colours(pipeline->store->catalog, definition->name,
                                              definition->version, err);
    }
    if (status == RF_OK)
        status =
            rf_preflight_run(pipeline->store, &pipeline->resolved, &options, &pipeline->preflight,
                             err);
    if (status != RF_OK)
        return status;
    pipeline->preflight_done = true;
    pipeline->time_last = pipeline->preflight.time_last;
    if (pipeline->options->until != 0 || pipeline->options->has_until_time)
        pipeline->time_last = RF_TIME_NONE; /* the census knows the whole log only */
    return rf_preflight_refusal(&pipeline->preflight, pipeline->options->allow_missing, err);
}

static rf_status make_arrays(struct pipeline *pipeline, rf_err *err)
{
    uint32_t count = pipeline->resolved.count;

    pipeline->live = calloc(count, sizeof *pipeline->live);
    pipeline->counts = calloc(count, sizeof *pipeline->counts);
    pipeline->flipped = calloc(count, sizeof *pipeline->flipped);
    if (!pipeline->live || !pipeline->counts || !pipeline->flipped)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for %u projections", count);
    for (uint32_t i = 0; i < count; i++)
        rf_catalog_sweep(pipeline->store->catalog, pipeline->resolved.definitions[i]->name);
    return RF_OK;
}

static rf_status begin(struct pipeline *pipeline, rf_err *err)
{
    rf_status status = rf_replay_begin(&pipeline->replay, pipeline->store, &pipeline->resolved,
                                       pipeline->pool, false, err);
    pipeline->replay.on_error = pipeline->options->on_error;
    pipeline->replay.errors_max = pipeline->options->has_max_errors
                                      ? pipeline->options->max_errors
                                      : RF_MAX_ERRORS_DEFAULT;
    return status;
}

static rf_status fold(struct pipeline *pipeline, rf_err *err)
{
    const rf_rebuild_options *options = pipeline->options;
    const rf_fold_options fold_options = {
        .until = pipeline->position,
        .memory_bytes = options->memory_bytes,
        .cancel = options->run.cancel,
        .progress = options->run.progress,
        .progress_arg = options->run.progress_arg,
        .failure_out = &pipeline->failure,
    };

    return rf_replay_fold(&pipeline->replay, &fold_options, err);
}

static rf_status seal(struct pipeline *pipeline, rf_err *err)
{
    const rf_check_list *checked = &pipeline->preflight.list;
    rf_status status = rf_pipeline_check_cancel(pipeline, err);

    for (uint32_t i = 0; status == RF_OK && i < pipeline->resolved.count; i++)
        status = rf_build_keep_schemas(pipeline->replay.builds[i], checked->schemas,
                                       checked->schema_count, err);
    if (status == RF_OK)
        status =
            rf_replay_seal(&pipeline->replay, pipeline->position, pipeline->time_last, err);
    pipeline->sealed = status == RF_OK;
    pipeline->set = pipeline->replay.set;
    return status;
}

/* Old generations go; failing to remove some is no failure of the rebuild, the next gc tries again.
 */
static void collect_garbage(struct pipeline *pipeline)
{
    uint32_t keep = pipeline->options->keep ? pipeline->options->keep : KEEP_DEFAULT;
    rf_gc_result removed;

    for (uint32_t i = 0; i < pipeline->resolved.count; i++)
        (void)rf_catalog_gc(pipeline->store->catalog, pipeline->resolved.definitions[i]->name, keep,
                            true, -1, &removed, NULL);
}

/* A failure before the flips adds what still serves; a refusal says so itself. */
static rf_status add_what_serves(const struct pipeline *pipeline, rf_status status, rf_err *err)
{
    rf_catalog_model model = {0};
    const char *name = pipeline->resolved.definitions[0]->name;
    bool found = false;
    char line[sizeof err->message];
    char what[160] = "what was live is live";

    if (status == RF_OK || status == RF_ERR_REFUSED || status == RF_ERR_NOTHING ||
        status == RF_ERR_USAGE || status == RF_ERR_INTERRUPTED)
        return status;
    if (pipeline->resolved.count == 1 &&
        rf_catalog_get_model(pipeline->store->catalog, name, &model, &found, NULL) == RF_OK) {
        if (found && model.live != 0)
            (void)snprintf(what, sizeof what, "generation %llu stays live",
                           (unsigned long long)model.live);
        else
            (void)snprintf(what, sizeof what, "nothing was built");
    }
    memcpy(line, err->message, sizeof line);
    (void)snprintf(err->message, sizeof err->message, "%.*s; %s",
                   (int)(sizeof line - sizeof what - 4), line, what);
    return status;
}

static rf_status build(struct pipeline *pipeline, rf_err *err)
{
    const rf_rebuild_options *options = pipeline->options;
    uint32_t workers = options->run.workers_default ? rf_processor_count() : options->run.workers;
    bool reuses = false;

    rf_status status = rf_pool_new(workers, &pipeline->pool, err);
    if (status == RF_OK)
        status = find_end(pipeline, err);
    if (status == RF_OK)
        status = read_gate_keys(pipeline, err);
    if (status == RF_OK && options->if_changed)
        status = rf_pipeline_check_changed(pipeline, err); /* what is live has passed the checks, or was allowed to */
    if (status == RF_OK)
        status = check_definitions(pipeline, err);
    if (status == RF_OK)
        status = make_arrays(pipeline, err);
    if (status == RF_OK)
        status = rf_pipeline_find_reuse(pipeline, &reuses, err);
    if (status == RF_OK && reuses)
        status = rf_pipeline_reuse(pipeline, &reuses, err);
    if (status == RF_OK && reuses)
        return RF_OK;
    if (status == RF_OK)
        status = begin(pipeline, err);
    if (status == RF_OK)
        status = fold(pipeline, err);
    if (status == RF_OK)
        status = seal(pipeline, err);
    return add_what_serves(pipeline, status, err);
}

static rf_status run(struct pipeline *pipeline, rf_err *err)
{
    const rf_rebuild_options *options = pipeline->options;

    rf_status status = build(pipeline, err);
    if (status == RF_OK && !options->no_swap)
        status = rf_pipeline_flip(pipeline, err);
    if (status == RF_OK && !options->no_swap)
        collect_garbage(pipeline);
    return status;
}

static rf_status count_left_out(const struct pipeline *pipeline, uint32_t index, rf_rebuilt *out,
                                rf_err *err)
{
    const rf_manifest *manifest = rf_pipeline_manifest(pipeline, index);
    rf_left_out_list list;

    rf_status status = rf_catalog_left_out(pipeline->store->catalog, manifest, &list, err);
    if (status != RF_OK)
        return status;
    for (uint32_t i = 0; i < list.count; i++) {
        out->skipped += list.items[i].cause == RF_CAUSE_SKIPPED;
        out->quarantined += list.items[i].cause == RF_CAUSE_QUARANTINED;
        out->on_record += list.items[i].cause == RF_CAUSE_ON_RECORD;
    }
    rf_left_out_list_free(&list);
    return RF_OK;
}

static rf_status report_projection(const struct pipeline *pipeline, uint32_t index, rf_arena *arena,
                                   rf_rebuilt *out, rf_err *err)
{
    const rf_manifest *manifest = rf_pipeline_manifest(pipeline, index);
    rf_checkpoint checkpoint;

    rf_status status =
        rf_catalog_checkpoint(pipeline->store->catalog, manifest, &checkpoint, err);
    if (status != RF_OK)
        return status;
    *out = (rf_rebuilt){
        .name = rf_arena_copy(arena, rf_slice_of(manifest->name)).data,
        .version = manifest->version,
        .generation = manifest->number,
        .position = checkpoint.position,
        .rows = checkpoint.digest.rows,
        .reused = pipeline->reused != NULL,
        .merged = pipeline->reused && pipeline->reused[index].merges,
        .events = checkpoint.events,
        .folded = pipeline->reused ? pipeline->reused[index].events : checkpoint.events,
        .events_without_key = pipeline->reused ? 0 : pipeline->replay.keyless[index],
        .live = pipeline->flipped[index],
        .generation_before = pipeline->live[index],
        .rows_before = pipeline->counts[index].rows_before,
        .rows_added = pipeline->counts[index].added,
        .rows_removed = pipeline->counts[index].removed,
    };
    status = count_left_out(pipeline, index, out, err);
    for (uint32_t i = 0; i < manifest->file_count; i++)
        out->bytes += manifest->files[i].size;
    rf_digest_format(&checkpoint.digest, out->digest);
    return status;
}

/* What was built and found, in memory of its own. A refused check has findings and no projections.
 */
static rf_status make_report(const struct pipeline *pipeline, rf_rebuild_report **report_out,
                             rf_err *err)
{
    struct report *report = calloc(1, sizeof *report);
    uint32_t count = pipeline->sealed ? pipeline->resolved.count : 0;
    uint32_t findings = pipeline->preflight.list.finding_count;

    if (!report)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the report");
    rf_arena_init(&report->arena, (size_t)64 << 20);
    rf_rebuild_report *out = &report->report;
    *out = (rf_rebuild_report){
        .position = pipeline->position,
        .set = pipeline->set,
        .workers = pipeline->options->run.workers_default ? rf_processor_count()
                                                          : pipeline->options->run.workers,
        .seconds = rf_clock_seconds() - pipeline->start,
        .events = pipeline->position,
        .bytes_decoded = pipeline->replay.bytes_decoded,
        .timings = pipeline->replay.timings,
        .projection_count = count,
        .finding_count = findings,
    };
    out->timings.swap = pipeline->swap_s;
    out->timings.discarded = pipeline->discarded_s;
    out->projections = rf_arena_alloc(&report->arena, count * sizeof *out->projections);
    out->findings = rf_arena_alloc(&report->arena, findings * sizeof *out->findings);
    if (!out->projections || !out->findings) {
        rf_rebuild_report_free(out);
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the report");
    }
    for (uint32_t i = 0; i < count; i++) {
        rf_status status =
            report_projection(pipeline, i, &report->arena, &out->projections[i], err);
        if (status != RF_OK) {
            rf_rebuild_report_free(out);
            return status;
        }
        if (i == 0 || out->projections[i].position < out->position)
            out->position = out->projections[i].position;
    }
    for (uint32_t i = 0; i < findings; i++) {
        const rf_finding *finding = &pipeline->preflight.list.findings[i];
        out->findings[i].refuses = finding->refuses;
        out->findings[i].text = rf_arena_copy(&report->arena, rf_slice_of(finding->text)).data;
    }
    *report_out = out;
    return RF_OK;
}

/* Where nothing had changed: the generations that are live. */
static rf_status make_unchanged_report(const struct pipeline *pipeline,
                                       rf_rebuild_report **report_out, rf_err *err)
{
    struct report *report = calloc(1, sizeof *report);
    uint32_t count = pipeline->resolved.count;
    rf_status status = RF_OK;

    if (!report)
        return rf_fail(err, RF_ERR_MEMORY, "out of memory for the report");
    rf_arena_init(&report->arena, (size_t)64 << 20);
    rf_rebuild_report *out = &report->report;
    out->position = pipeline->position;
    out->projections = rf_arena_alloc(&report->arena, count * sizeof *out->projections);
    if (!out->projections)
        status = rf_fail(err, RF_ERR_MEMORY, "out of memory for the report");
    for (uint32_t i = 0; status == RF_OK && i < count; i++) {
        const char *name = pipeline->resolved.definitions[i]->name;
        rf_catalog_generation live = {0};
        rf_catalog_model model = {0};
        bool found = false;
        status = rf_catalog_get_model(pipeline->store->catalog, name, &model, &found, err);
        if (status == RF_OK && found)
            status = rf_catalog_get_generation(pipeline->store->catalog, name, model.live, &live,
                                               &found, err);
        if (status != RF_OK || !found)
            continue;
        out->projections[out->projection_count++] = (rf_rebuilt){
            .name = rf_arena_copy(&report->arena, rf_slice_of(live.name)).data,
            .version = live.version,
            .generation = live.number,
            .position = live.position,
            .rows = live.rows,
            .live = true,
            .generation_before = live.number,
            .rows_before = live.rows,
        };
    }
    if (status == RF_OK)
        *report_out = out;
    else
        rf_rebuild_report_free(out);
    return status;
}

static void pipeline_end(struct pipeline *pipeline)
{
    rf_pipeline_free_reused(pipeline);
    rf_replay_end(&pipeline->replay);
    rf_gate_keys_free(&pipeline->gate_keys);
    free(pipeline->live);
    free(pipeline->counts);
    free(pipeline->flipped);
    if (pipeline->preflight_done)
        rf_preflight_free(&pipeline->preflight);
    rf_pool_free(pipeline->pool);
    if (!pipeline->resolved_lent)
        rf_resolved_free(&pipeline->resolved);
    rf_lock_release(pipeline->lock);
}

/* Adds to what went wrong under way what still holds; refusals and interruptions say it. */
static void tell_what_holds(const struct pipeline *pipeline, rf_err *failure)
{
    switch (failure->status) {
    case RF_ERR_IO:
    case RF_ERR_MEMORY:
    case RF_ERR_INPUT:
    case RF_ERR_DAMAGED:
    case RF_ERR_PLUGIN:
        if (!pipeline->flip_tried)
            (void)rf_err_suffix(failure, "nothing was swapped, what was live is live");
        break;
    case RF_OK:
    case RF_ERR_ABSENT:
    case RF_ERR_FORMAT:
    case RF_ERR_USAGE:
    case RF_ERR_NO_ROW:
    case RF_ERR_NOTHING:
    case RF_ERR_REFUSED:
    case RF_ERR_LOCKED:
    case RF_ERR_UNREACHABLE:
    case RF_ERR_INTERRUPTED:
        break;
    }
}

/* Ends the line of a failure that is one event's with the command that puts it aside. */
static void tell_skip(const struct pipeline *pipeline, rf_err *failure)
{
    char path[RF_ERR_MESSAGE_SIZE / 4];

    if (failure->status == RF_ERR_MEMORY || pipeline->failure.position == 0 || pipeline->failure.position != failure->position ||
        !rf_shell_quote(pipeline->store->path, path, sizeof path))
        return;
    (void)rf_err_suffix(failure, "to put it aside: refold skip %s %s %llu --reason \"%s\"", path,
                        pipeline->resolved.definitions[pipeline->failure.target]->name,
                        (unsigned long long)failure->position,
                        failure->status == RF_ERR_INPUT ? "wrong kind" : "handler failed");
}

/* `resolved` NULL: what is named. */
static rf_status rebuild(rf_store *store, const char *const *projections, uint32_t projection_count,
                         const rf_resolved *resolved, const rf_rebuild_options *options,
                         rf_rebuild_report **report_out, rf_err *err)
{
    const rf_rebuild_options none = {.run = {.workers_default = true}};
    struct pipeline pipeline = {
        .store = store,
        .options = options ? options : &none,
        .lock = -1,
        .time_last = RF_TIME_NONE,
    };
    rf_err failure = {0};

    *report_out = NULL;
    rf_status status = check_options(pipeline.options, err);
    if (status != RF_OK)
        return status;
    status = rf_store_lock(store, pipeline.options->run.wait_lock_ms, &pipeline.lock, &failure);
    if (status == RF_OK && resolved) {
        pipeline.resolved = *resolved;
        pipeline.resolved_lent = true;
    } else if (status == RF_OK) {
        status = rf_resolve(store, projections, projection_count, pipeline.options->all,
                            &pipeline.resolved, &failure);
    }
    if (status == RF_OK)
        status = rf_resolve_evolution(&pipeline.resolved, projections, pipeline.options->evolution,
                                      &failure);
    pipeline.start = rf_clock_seconds(); /* waiting for the lock is no work */
    if (status == RF_OK)
        status = run(&pipeline, &failure);
    if (status != RF_OK)
        tell_what_holds(&pipeline, &failure);
    if (status != RF_OK)
        tell_skip(&pipeline, &failure);
    if (status == RF_OK || (status == RF_ERR_REFUSED && pipeline.preflight_done)) {
        rf_status reported = make_report(&pipeline, report_out, &failure);
        status = reported == RF_OK ? status : reported;
    }
    if (status == RF_ERR_NOTHING) {
        rf_err fault = {0};
        if (make_unchanged_report(&pipeline, report_out, &fault) != RF_OK) {
            failure = fault;
            status = fault.status;
        }
    }
    if (status != RF_OK && err)
        *err = failure;
    pipeline_end(&pipeline);
    return status;
}

rf_status rf_rebuild(rf_store *store, const char *const *projections, uint32_t projection_count,
                     const rf_rebuild_options *options, rf_rebuild_report **report_out, rf_err *err)
{
    return rebuild(store, projections, projection_count, NULL, options, report_out, err);
}

rf_status rf_rebuild_resolved(rf_store *store, const rf_resolved *resolved,
                              const rf_rebuild_options *options, rf_rebuild_report **report_out,
                              rf_err *err)
{
    RF_ASSERT(resolved->count > 0);
    return rebuild(store, NULL, 0, resolved, options, report_out, err);
}

void rf_rebuild_report_free(rf_rebuild_report *report)
{
    if (!report)
        return;
    struct report *owner = (struct report *)report;
    rf_arena_free(&owner->arena);
    free(owner);
}
